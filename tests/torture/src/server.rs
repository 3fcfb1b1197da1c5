//! The role of a server: a video server without cameras, that promises each picture in its ledger before it publishes it.

use crate::ledger::{Entry, Ledger, Word};
use crate::os::{self, Forked};
use crate::picture::{self, Format};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Camera, CameraId, ExportWhen, Exporter, ExporterConfig, FrameId, NotExported, Plane, Slot, SlotCount,
};

/// Before the next try while there are no files yet.
const NOT_EXPORTED_NAP: Duration = Duration::from_micros(200);

/// What a server does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerSpec {
    pub(crate) base: PathBuf,
    pub(crate) camera: String,
    pub(crate) slots: u32,
    /// Members of this group may read.
    pub(crate) group: Option<u32>,
    /// Formats, one after the other, each for `change_ms`.
    pub(crate) formats: Vec<u8>,
    pub(crate) change_ms: u64,
    /// Between two frames; 0: flat out.
    pub(crate) period_us: u64,
    pub(crate) first_number: u64,
    /// Forks a child every so often; 0: never.
    pub(crate) fork_each_ms: u64,
    /// How long such a child lives.
    pub(crate) child_lives_ms: u64,
    /// Stops and starts the camera every so often; 0: never.
    pub(crate) restart_each_ms: u64,
}

/// Publishes until it is asked to end.
pub(crate) fn run(spec: &ServerSpec, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let config = ExporterConfig::new(&spec.base)
        .slots(SlotCount::new(spec.slots)?)
        .group(spec.group)
        .when(ExportWhen::Always);
    let exporter = Exporter::start(config)?;
    let id = CameraId::new(&spec.camera)?;
    let mut camera = open(&exporter, id, spec)?;
    let mut film = Film::new(spec);
    let mut children: Vec<Pid> = Vec::new();
    let mut fork_at = after(spec.fork_each_ms);
    let mut restart_at = after(spec.restart_each_ms);
    let mut due = Instant::now();
    while !ledger.is_to_end() {
        match film.publish(&mut camera, ledger)? {
            Some(_) => {
                if spec.period_us > 0 {
                    // A frame that is late does not hurry the ones after it: a camera's network does that, not its clock.
                    due = (due + Duration::from_micros(spec.period_us)).max(Instant::now());
                    nap_until(due, ledger);
                }
            }
            None => std::thread::sleep(NOT_EXPORTED_NAP),
        }
        if is_due(restart_at) {
            drop(camera);
            camera = open(&exporter, id, spec)?;
            restart_at = after(spec.restart_each_ms);
        }
        if is_due(fork_at) {
            fork_at = after(spec.fork_each_ms);
            match os::fork()? {
                Forked::Parent(child) => {
                    children.extend(Pid::from_raw(child));
                    ledger.add(Word::Forks, 1);
                }
                Forked::Child => {
                    live_as_a_child(spec, camera, exporter);
                }
            }
        }
        children.retain(|child| matches!(waitpid(Some(*child), WaitOptions::NOHANG), Ok(None)));
    }
    drop(camera);
    exporter.shutdown();
    for child in children {
        // Each lives for `child_lives_ms` at most.
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
    Ok(())
}

/// What a careless embedding program's child does: it lives for a while with copies of everything, drops them, and ends.
fn live_as_a_child(spec: &ServerSpec, camera: Camera, exporter: Exporter) -> ! {
    std::thread::sleep(Duration::from_millis(spec.child_lives_ms));
    // Does nothing in a child, by the documentation of `Exporter`.
    drop(camera);
    drop(exporter);
    os::leave()
}

fn open(exporter: &Exporter, id: CameraId, spec: &ServerSpec) -> Result<Camera, Box<dyn Error>> {
    let mut camera = exporter.camera(id)?;
    if spec.period_us > 0 {
        camera.set_frame_period(Some(Duration::from_micros(spec.period_us)));
    }
    Ok(camera)
}

fn after(each_ms: u64) -> Option<Instant> {
    (each_ms > 0).then(|| Instant::now() + Duration::from_millis(each_ms))
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() >= at)
}

fn nap_until(due: Instant, ledger: &Ledger) {
    while !ledger.is_to_end() {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// The pictures of a server, one after the other.
struct Film {
    formats: Vec<u8>,
    change: Option<Duration>,
    at: usize,
    /// Since the first frame in this format.
    since: Option<Instant>,
    number: u64,
    last: Option<FrameId>,
    /// The next picture, and the word that it is filled with.
    packed: Vec<u8>,
    filled: Option<u64>,
}

impl Film {
    fn new(spec: &ServerSpec) -> Self {
        Self {
            formats: spec.formats.clone(),
            change: (spec.change_ms > 0).then(|| Duration::from_millis(spec.change_ms)),
            at: 0,
            since: None,
            number: spec.first_number,
            last: None,
            packed: Vec::new(),
            filled: None,
        }
    }

    /// Publishes the next picture; `None`: there is no slot for it.
    fn publish(&mut self, camera: &mut Camera, ledger: &Ledger) -> Result<Option<FrameId>, Box<dyn Error>> {
        let index = self.formats[self.at];
        let format = Format::of(index).ok_or("there is no such format")?;
        let word = picture::word(index, self.number);
        if self.filled != Some(word) {
            self.packed.resize(format.packed_bytes(), 0);
            picture::paint(index, self.number, &mut self.packed);
            self.filled = Some(word);
        }
        let mut slot: Slot<'_> = match camera.slot(format.to_picture_format()) {
            Ok(slot) => slot,
            Err(why) => {
                ledger.add(Word::NotExported, 1);
                if why == NotExported::HeldByAnother {
                    ledger.add(Word::HeldByAnother, 1);
                }
                return Ok(None);
            }
        };
        let (luma, chroma) = self.packed.split_at((format.width * format.height) as usize);
        let stride = format.width as usize;
        ledger.set(Word::Promised, self.number);
        slot.write_nv12(Plane::new(luma, stride), Plane::new(chroma, stride))?;
        let id = slot.publish(picture::stamp(self.number));
        if self.last.is_none_or(|last| last.next() != id) {
            ledger.say(&Entry::Pair { offset: id.get().wrapping_sub(self.number) });
            ledger.add(Word::Pairs, 1);
        }
        ledger.set(Word::Published, self.number);
        self.last = Some(id);
        self.number += 1;
        let shown_for = self.since.get_or_insert_with(Instant::now).elapsed();
        if self.change.is_some_and(|change| shown_for >= change) {
            self.at = (self.at + 1) % self.formats.len();
            self.since = None;
        }
        Ok(Some(id))
    }
}
