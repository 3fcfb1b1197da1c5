//! What is known of each camera, from looking at its frames as they come. No pixel is read here.

use super::readers::{self, Readers};
use crate::{human, list};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Event, FrameStream, Mode, Status, StreamStatus, cameras, monotonic_ns};

/// Rate and jitter are those of so long.
const WINDOW_NS: u64 = 5_000_000_000;
/// And of so many frames at most: times that lie ahead of this clock are never too old.
const WINDOW_FRAMES: usize = 2048;
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
    window: Window,
    newest_ns: Option<u64>,
    frames: u64,
    skipped: u64,
    damaged: u64,
    memory_bytes: Option<u64>,
    readers: Readers,
}

/// The frames of the last seconds that were seen, oldest first: all of one generation, since numbers of two tell nothing together.
#[derive(Debug, Default)]
struct Window {
    generation: u64,
    frames: VecDeque<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    id: u64,
    timestamp_ns: u64,
}

/// A camera at one moment, as `--json` shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    #[serde(serialize_with = "as_text")]
    pub(super) camera: CameraId,
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

fn as_text<S: Serializer>(id: &CameraId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

impl Row {
    /// A camera that is not there any more.
    pub(super) fn gone(camera: CameraId) -> Self {
        Self {
            camera,
            state: "gone",
            why: None,
            width: None,
            height: None,
            fps: None,
            age_ms: None,
            jitter_ms: None,
            frames: 0,
            skipped: 0,
            damaged: 0,
            readers: None,
            readers_is_minimum: true,
            memory_bytes: None,
        }
    }
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

    /// In the order of their ids.
    pub(super) fn rows(&self) -> Vec<Row> {
        let now_ns = monotonic_ns();
        self.cameras.iter().map(|(id, camera)| camera.row(*id, now_ns)).collect()
    }

    /// The stream of a camera, for a look at its picture.
    pub(super) fn stream(&self, camera: &CameraId) -> Option<&FrameStream> {
        self.cameras.get(camera).map(|camera| &camera.stream)
    }
}

impl Camera {
    fn new(base: &Path, id: CameraId) -> Self {
        Self {
            stream: FrameStream::new(base, id).mode(Mode::Next),
            status: None,
            window: Window::default(),
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
                    let seen = Seen { id: frame.id().get(), timestamp_ns: frame.timestamp_ns() };
                    let is_damaged = frame.is_damaged();
                    self.skipped += frame.skipped();
                    self.status = Some(StreamStatus::Open(Status::Live));
                    if !frame.is_intact() {
                        self.skipped += 1;
                        continue;
                    }
                    self.frames += 1;
                    self.damaged += u64::from(is_damaged);
                    self.newest_ns = Some(seen.timestamp_ns);
                    self.window.push(frame.generation(), seen);
                }
                Event::Status(status) => self.status = Some(status),
                Event::Timeout => break,
            }
        }
        self.window.forget(monotonic_ns().saturating_sub(WINDOW_NS));
    }

    fn row(&self, id: CameraId, now_ns: u64) -> Row {
        let picture = self.stream.reader().map(|reader| *reader.header().picture());
        let pace = self.window.pace();
        let why = match &self.status {
            Some(StreamStatus::Waiting(why)) => Some(why.to_string()),
            Some(StreamStatus::Refused(why)) => Some(why.to_string()),
            _ => None,
        };
        Row {
            camera: id,
            state: self.status.as_ref().map_or(Status::Unproven.name(), StreamStatus::name),
            why,
            width: picture.map(|picture| picture.width()),
            height: picture.map(|picture| picture.height()),
            fps: pace.map(|pace| (pace.fps * 1e2).round() / 1e2),
            age_ms: self
                .newest_ns
                .map(|at_ns| human::milliseconds(Duration::from_nanos(now_ns.saturating_sub(at_ns)))),
            jitter_ms: pace.and_then(|pace| pace.jitter_ms).map(|ms| (ms * 1e3).round() / 1e3),
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
    /// `None` if too few frames were seen one after the other.
    jitter_ms: Option<f64>,
}

impl Window {
    fn push(&mut self, generation: u64, seen: Seen) {
        // Within one run times fall only in theory; those that do begin anew.
        let falls = |last: &Seen| seen.timestamp_ns < last.timestamp_ns || seen.id <= last.id;
        if self.generation != generation || self.frames.back().is_some_and(falls) {
            self.frames.clear();
        }
        self.generation = generation;
        if self.frames.len() == WINDOW_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(seen);
    }

    /// What was decoded before then no longer counts.
    fn forget(&mut self, before_ns: u64) {
        while self.frames.front().is_some_and(|seen| seen.timestamp_ns < before_ns) {
            self.frames.pop_front();
        }
    }

    /// The camera's rate, by the numbers of its frames: those that were not seen count too. Its jitter, by the times between frames
    /// that follow one another: other times are multiples of the period. `None` below three frames.
    fn pace(&self) -> Option<Pace> {
        let (first, last) = (self.frames.front()?, self.frames.back()?);
        let (count, span_ns) = (last.id - first.id, last.timestamp_ns - first.timestamp_ns);
        if count < 2 || span_ns == 0 {
            return None;
        }
        let periods = || {
            let pairs = self.frames.iter().zip(self.frames.iter().skip(1));
            let neighbours = pairs.filter(|(one, other)| one.id + 1 == other.id);
            neighbours.map(|(one, other)| (other.timestamp_ns - one.timestamp_ns) as f64)
        };
        let number = periods().count();
        let mean = periods().sum::<f64>() / number as f64;
        let away = periods().map(|period| (period - mean).abs()).sum::<f64>() / number as f64;
        Some(Pace {
            fps: count as f64 * 1e9 / span_ns as f64,
            jitter_ms: (number >= 2).then_some(away / 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames by number and milliseconds.
    fn window(frames: &[(u64, u64)]) -> Window {
        let mut window = Window::default();
        for &(id, ms) in frames {
            window.push(1, Seen { id, timestamp_ns: ms * 1_000_000 });
        }
        window
    }

    fn pace(frames: &[(u64, u64)]) -> Option<Pace> {
        window(frames).pace()
    }

    #[test]
    fn frames_that_come_like_a_clock_have_a_rate_and_no_jitter() {
        let frames: Vec<_> = (0..10).map(|number| (number, number * 40)).collect();
        assert_eq!(pace(&frames), Some(Pace { fps: 25.0, jitter_ms: Some(0.0) }));
    }

    #[test]
    fn jitter_is_how_far_periods_are_from_their_mean() {
        let expected = Pace { fps: 25.0, jitter_ms: Some(10.0) };
        assert_eq!(pace(&[(0, 0), (1, 30), (2, 80)]), Some(expected));
    }

    #[test]
    fn frames_that_were_not_seen_change_neither_rate_nor_jitter() {
        let all = (0..60).map(|number| (number, number * 40));
        let some: Vec<_> = all.filter(|(number, _)| !(7..50).contains(number)).collect();
        assert_eq!(pace(&some), Some(Pace { fps: 25.0, jitter_ms: Some(0.0) }));
        // None of these follows another one.
        assert_eq!(pace(&[(0, 0), (2, 80), (5, 200)]), Some(Pace { fps: 25.0, jitter_ms: None }));
    }

    #[test]
    fn two_frames_are_no_rate() {
        assert_eq!(pace(&[]), None);
        assert_eq!(pace(&[(7, 5)]), None);
        assert_eq!(pace(&[(7, 5), (8, 10)]), None);
        assert_eq!(pace(&[(7, 5), (8, 5), (9, 5)]), None);
    }

    #[test]
    fn another_generation_begins_anew() {
        let mut window = window(&[(0, 0), (1, 40), (2, 80)]);
        window.push(2, Seen { id: 3_056_833_711, timestamp_ns: 120_000_000 });
        assert_eq!(window.pace(), None);
        assert_eq!(window.frames.len(), 1);
    }

    #[test]
    fn times_ahead_of_the_clock_do_not_pile_up() {
        let frames: Vec<_> = (0..10_000).map(|number| (number, 1_000_000_000 + number * 40)).collect();
        let mut window = window(&frames);
        window.forget(5_000_000_000);
        assert_eq!(window.frames.len(), WINDOW_FRAMES);
        assert_eq!(window.pace(), Some(Pace { fps: 25.0, jitter_ms: Some(0.0) }));
    }
}
