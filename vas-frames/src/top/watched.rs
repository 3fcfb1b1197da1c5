//! What is known of each camera, from looking at its frames as they come. No pixel is read here.

use super::readers::{self, Readers};
use crate::{human, list};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Event, FrameStream, Mode, Status, StreamStatus, cameras, monotonic_ns};

/// Rate and jitter are those of so long.
const WINDOW_NS: u64 = 5_000_000_000;
/// How often directories, memory and readers are looked at.
const SLOW_LOOK: Duration = Duration::from_secs(1);
/// The most frames that are taken of one camera before the next one has its turn.
const FRAMES_A_TURN: usize = 8;

/// All cameras under a base directory.
pub(super) struct Watched {
    base: PathBuf,
    cameras: BTreeMap<CameraId, Camera>,
    looked_at: Option<Instant>,
}

struct Camera {
    stream: FrameStream,
    status: Option<StreamStatus>,
    /// Of the frames of the last seconds, oldest first.
    timestamps_ns: VecDeque<u64>,
    newest_ns: Option<u64>,
    frames: u64,
    skipped: u64,
    damaged: u64,
    memory_bytes: Option<u64>,
    readers: Readers,
}

/// A camera at one moment, as `--json` shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) camera: String,
    pub(super) state: &'static str,
    pub(super) why: Option<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    /// Frames a second, measured.
    pub(super) fps: Option<f64>,
    /// Since the newest frame was decoded.
    pub(super) age_ms: Option<f64>,
    /// How far the times between frames are from their mean, on average.
    pub(super) jitter_ms: Option<f64>,
    /// Since this began to look, like the next two.
    pub(super) frames: u64,
    pub(super) skipped: u64,
    pub(super) damaged: u64,
    /// Other processes that have the camera's header open, if they can be counted.
    pub(super) readers: Option<u64>,
    /// Whether there may be more: some processes do not let this user look.
    pub(super) readers_is_minimum: bool,
    pub(super) memory_bytes: Option<u64>,
}

impl Watched {
    pub(super) fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), cameras: BTreeMap::new(), looked_at: None }
    }

    /// Takes what came since the last call. Never waits.
    ///
    /// # Errors
    /// The base directory cannot be read; one that is not there holds no cameras.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        if self.looked_at.is_none_or(|at| at.elapsed() >= SLOW_LOOK) {
            self.look_around()?;
            self.looked_at = Some(Instant::now());
        }
        for camera in self.cameras.values_mut() {
            camera.turn();
        }
        Ok(())
    }

    fn look_around(&mut self) -> io::Result<()> {
        let found = match cameras(&self.base) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            answer => answer?,
        };
        self.cameras.retain(|camera, _| found.contains(camera));
        for &id in &found {
            self.cameras.entry(id).or_insert_with(|| Camera::new(&self.base, id));
        }
        let count = readers::count(&self.base, &found);
        for ((id, camera), readers) in self.cameras.iter_mut().zip(count) {
            camera.memory_bytes = list::memory_bytes(&self.base, id);
            camera.readers = readers;
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let now_ns = monotonic_ns();
        self.cameras.iter().map(|(id, camera)| camera.row(id, now_ns)).collect()
    }

    /// The stream of a camera, for a look at its picture.
    pub(super) fn stream(&self, camera: &str) -> Option<&FrameStream> {
        let id = CameraId::new(camera).ok()?;
        self.cameras.get(&id).map(|camera| &camera.stream)
    }
}

impl Camera {
    fn new(base: &Path, id: CameraId) -> Self {
        Self {
            stream: FrameStream::new(base, id).mode(Mode::Next),
            status: None,
            timestamps_ns: VecDeque::new(),
            newest_ns: None,
            frames: 0,
            skipped: 0,
            damaged: 0,
            memory_bytes: None,
            readers: Readers::default(),
        }
    }

    fn turn(&mut self) {
        for _ in 0..FRAMES_A_TURN {
            match self.stream.next_event(Duration::ZERO) {
                Event::Frame(frame) => {
                    let (timestamp_ns, is_damaged) = (frame.timestamp_ns(), frame.is_damaged());
                    self.skipped += frame.skipped();
                    self.status = Some(StreamStatus::Open(Status::Live));
                    if !frame.is_intact() {
                        self.skipped += 1;
                        continue;
                    }
                    self.frames += 1;
                    self.damaged += u64::from(is_damaged);
                    // Another run of the server may be on another clock only in theory; times that fall begin anew.
                    if self.newest_ns.is_some_and(|newest_ns| timestamp_ns < newest_ns) {
                        self.timestamps_ns.clear();
                    }
                    self.newest_ns = Some(timestamp_ns);
                    self.timestamps_ns.push_back(timestamp_ns);
                }
                Event::Status(status) => self.status = Some(status),
                Event::Timeout => break,
            }
        }
        let oldest_ns = monotonic_ns().saturating_sub(WINDOW_NS);
        while self.timestamps_ns.front().is_some_and(|&at_ns| at_ns < oldest_ns) {
            self.timestamps_ns.pop_front();
        }
    }

    fn row(&self, id: &CameraId, now_ns: u64) -> Row {
        let picture = self.stream.reader().map(|reader| *reader.header().picture());
        let pace = pace(&self.timestamps_ns.iter().copied().collect::<Vec<_>>());
        let why = match &self.status {
            Some(StreamStatus::Waiting(why)) => Some(why.to_string()),
            Some(StreamStatus::Refused(why)) => Some(why.to_string()),
            _ => None,
        };
        Row {
            camera: id.to_string(),
            state: self.status.as_ref().map_or(Status::Unproven.name(), StreamStatus::name),
            why,
            width: picture.map(|picture| picture.width()),
            height: picture.map(|picture| picture.height()),
            fps: pace.map(|pace| (pace.fps * 1e2).round() / 1e2),
            age_ms: self
                .newest_ns
                .map(|at_ns| human::milliseconds(Duration::from_nanos(now_ns.saturating_sub(at_ns)))),
            jitter_ms: pace.map(|pace| (pace.jitter_ms * 1e3).round() / 1e3),
            frames: self.frames,
            skipped: self.skipped,
            damaged: self.damaged,
            readers: self.readers.known(),
            readers_is_minimum: self.readers.is_minimum,
            memory_bytes: self.memory_bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    fps: f64,
    jitter_ms: f64,
}

/// Rate and jitter of frames that were decoded at these times; `None` below three frames.
fn pace(timestamps_ns: &[u64]) -> Option<Pace> {
    let periods: Vec<f64> =
        timestamps_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64).collect();
    let mean = periods.iter().sum::<f64>() / periods.len() as f64;
    if periods.len() < 2 || mean <= 0.0 {
        return None;
    }
    let away = periods.iter().map(|period| (period - mean).abs()).sum::<f64>() / periods.len() as f64;
    Some(Pace { fps: 1e9 / mean, jitter_ms: away / 1e6 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_come_like_a_clock_have_a_rate_and_no_jitter() {
        let times: Vec<u64> = (0..10).map(|number| number * 40_000_000).collect();
        assert_eq!(pace(&times), Some(Pace { fps: 25.0, jitter_ms: 0.0 }));
    }

    #[test]
    fn jitter_is_how_far_periods_are_from_their_mean() {
        assert_eq!(pace(&[0, 30_000_000, 80_000_000]), Some(Pace { fps: 25.0, jitter_ms: 10.0 }));
    }

    #[test]
    fn two_frames_are_no_rate() {
        assert_eq!(pace(&[]), None);
        assert_eq!(pace(&[5]), None);
        assert_eq!(pace(&[5, 10]), None);
        assert_eq!(pace(&[5, 5, 5]), None);
    }
}
