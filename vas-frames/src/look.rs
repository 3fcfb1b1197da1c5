//! A bounded look at several cameras at once, to tell the live from the dead.

use std::path::Path;
use std::time::Duration;
use vas_shm_reader::{CameraId, Liveness, Opened, Options, Reader, Status, monotonic_ns, open};

/// How long a look may take for all cameras together. A server that lives changes each heartbeat at least once a second, so
/// only cameras of a dead server make a look last that long.
pub(crate) const LOOK: Duration = Duration::from_millis(1200);
/// Between two glances.
const GLANCE: Duration = Duration::from_millis(5);

/// A camera, and what a look at it found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) camera: CameraId,
    pub(crate) opened: Opened,
    /// `None` if it could not be opened; [`Status::Unproven`] if there was no sign of life during the whole look.
    pub(crate) status: Option<Status>,
}

/// Opens the cameras and watches them until each has given a sign of life, at most for [`LOOK`].
pub(crate) fn look(base: &Path, cameras: &[CameraId]) -> Vec<Looked> {
    look_for(base, cameras, LOOK)
}

/// As [`look`], at most for `limit`.
pub(crate) fn look_for(base: &Path, cameras: &[CameraId], limit: Duration) -> Vec<Looked> {
    let began_ns = monotonic_ns();
    let mut looks: Vec<(Looked, Option<Liveness>)> = cameras
        .iter()
        .map(|&camera| {
            let opened = open(base, &camera, &Options::new());
            let liveness = match &opened {
                Opened::Ready(reader) => Some(Liveness::new(reader.observed_at_open(), began_ns)),
                Opened::NotYet(_) | Opened::Refused(_) => None,
            };
            let status = liveness.map(|_| Status::Unproven);
            (Looked { camera, opened, status }, liveness)
        })
        .collect();
    loop {
        let now_ns = monotonic_ns();
        let mut is_any_unproven = false;
        for (looked, liveness) in &mut looks {
            let (Opened::Ready(reader), Some(liveness)) = (&looked.opened, liveness) else { continue };
            if looked.status != Some(Status::Unproven) {
                continue;
            }
            let status = liveness.observe(reader.observe(), now_ns);
            looked.status = Some(without_ourselves(reader, status));
            is_any_unproven |= status == Status::Unproven;
        }
        let elapsed = Duration::from_nanos(now_ns - began_ns);
        if !is_any_unproven || elapsed >= limit {
            return looks.into_iter().map(|(looked, _)| looked).collect();
        }
        std::thread::sleep(GLANCE);
    }
}

/// An idle camera wakes because this very process attached to it. What stood there before is what was asked for.
fn without_ourselves(reader: &Reader, status: Status) -> Status {
    match status {
        Status::Live if reader.observed_at_open().flags.is_idle() => Status::Idle,
        other => other,
    }
}
