//! A reader in Rust: by a policy of the stream, or as one that polls every millisecond.

use crate::{Base, CAMERA};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vas_shm_reader::{CameraId, Event, Found, FrameStream, Mode, Opened, Policy, monotonic_ns, open};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    base: Base,
    #[arg(long)]
    way: Way,
    #[arg(long)]
    frames: usize,
    /// Frames before the counting begins
    #[arg(long)]
    warm_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// Looks, sleeps a millisecond, looks again: what most write first
    PollMs,
    LowLatency,
    Balanced,
    Economy,
}

/// What every reader, whatever its language, prints at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// From the publication to the moment the reader had the frame, one for each frame.
    pub(crate) latencies_ns: Vec<u64>,
    /// The process's own time on a processor while it waited.
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    pub(crate) skipped: u64,
}

/// Counts from the first frame after the warm-up on.
struct Count {
    warm_up: usize,
    frames: usize,
    begun_ns: u64,
    cpu_begun_ns: u64,
    seen: Seen,
}

impl Count {
    fn new(options: &Options) -> Self {
        let seen =
            Seen { latencies_ns: Vec::with_capacity(options.frames), cpu_ns: 0, wall_ns: 0, skipped: 0 };
        Self { warm_up: options.warm_up, frames: options.frames, begun_ns: 0, cpu_begun_ns: 0, seen }
    }

    /// Whether that was the last one.
    fn frame(&mut self, found_ns: u64, timestamp_ns: u64, skipped: u64) -> bool {
        if self.warm_up > 0 {
            self.warm_up -= 1;
            if self.warm_up == 0 {
                (self.begun_ns, self.cpu_begun_ns) = (monotonic_ns(), cpu_ns());
            }
            return false;
        }
        self.seen.latencies_ns.push(found_ns.saturating_sub(timestamp_ns));
        self.seen.skipped += skipped;
        if self.seen.latencies_ns.len() < self.frames {
            return false;
        }
        (self.seen.wall_ns, self.seen.cpu_ns) =
            (monotonic_ns() - self.begun_ns, cpu_ns() - self.cpu_begun_ns);
        true
    }
}

/// CPU time of this process.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(crate) fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let camera = CameraId::new(CAMERA)?;
    let mut count = Count::new(options);
    match options.way {
        Way::PollMs => poll(&options.base.base, &camera, &mut count)?,
        Way::LowLatency => stream(&options.base.base, camera, Policy::LowLatency, &mut count)?,
        Way::Balanced => stream(&options.base.base, camera, Policy::Balanced, &mut count)?,
        Way::Economy => stream(&options.base.base, camera, Policy::Economy, &mut count)?,
    }
    serde_json::to_writer(std::io::stdout().lock(), &count.seen)?;
    Ok(())
}

fn stream(
    base: &std::path::Path,
    camera: CameraId,
    policy: Policy,
    count: &mut Count,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = FrameStream::new(base, camera).mode(Mode::Latest).policy(policy);
    loop {
        match stream.next_event(Duration::from_secs(10)) {
            Event::Frame(frame) => {
                let found_ns = monotonic_ns();
                if count.frame(found_ns, frame.timestamp_ns(), frame.skipped()) {
                    return Ok(());
                }
            }
            Event::Status(_) => {}
            Event::Timeout => return Err("no frame for ten seconds".into()),
        }
    }
}

fn poll(
    base: &std::path::Path,
    camera: &CameraId,
    count: &mut Count,
) -> Result<(), Box<dyn std::error::Error>> {
    let Opened::Ready(reader) = open(base, camera, &vas_shm_reader::Options::new()) else {
        return Err("the camera is not there".into());
    };
    let mut seen = None;
    let mut last_ns = monotonic_ns();
    loop {
        if monotonic_ns() - last_ns > 10_000_000_000 {
            return Err("no frame for ten seconds".into());
        }
        if let Found::Frame(frame) = reader.latest(seen) {
            let found_ns = monotonic_ns();
            let skipped = seen.map_or(0, |seen: vas_shm_reader::FrameId| frame.id().get() - seen.get() - 1);
            seen = Some(frame.id());
            last_ns = found_ns;
            if count.frame(found_ns, frame.timestamp_ns(), skipped) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
