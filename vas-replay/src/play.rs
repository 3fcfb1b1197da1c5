//! A recording through the writer, as a server would.

use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::source::{Item, Source};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vas_recording::{Ending, FrameInfo, ReadError, Section, StreamState, StreamStateChange};
use vas_shm_writer::{
    Camera, CameraId, Exporter, NotExported, PictureFormat, Plane, SourceState, Stamp, monotonic_ns,
};

/// The longest sleep: between two of them the heart beats and the signals are looked at.
const SLICE: Duration = Duration::from_millis(50);
/// Between two looks whether a pair is there, or a reader.
const LOOK: Duration = Duration::from_millis(2);
/// How long before its first frame a pair is asked for, so that it is there when that is due.
const PREPARE_NS: u64 = 300_000_000;
/// How long a pair may take: a second lies between two of one camera, and a full file system is tried again every few.
const PAIR_LIMIT_NS: u64 = 30_000_000_000;
/// How long a pair that follows another waits for a reader: whoever was there looks ten times a second.
const FOLLOW_LIMIT_NS: u64 = 5_000_000_000;
/// A frame that is published so long after it was due counts as late, where no period is known.
const LATE_NS: u64 = 20_000_000;
/// The last frame is shown for so long at most, whatever period the recording names.
const LONGEST_HOLD_NS: u64 = 60_000_000_000;

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Played {
    /// Frames that were due.
    pub(crate) frames: u64,
    /// Those of them that stood in shared memory.
    pub(crate) published: u64,
    /// Those of them that were not, as nobody was looking.
    pub(crate) unwatched: u64,
    /// Those of them for which there was no slot.
    pub(crate) lost: u64,
    /// Published more than half a period after they were due.
    pub(crate) late: u64,
    pub(crate) worst_late_ns: u64,
    /// How much later than the recording says everything is, as pairs were not ready or readers were waited for.
    pub(crate) shifted_ns: u64,
    /// Pairs of files after the first one.
    pub(crate) new_pairs: u64,
    /// How often the recording was begun.
    pub(crate) laps: u64,
    pub(crate) first_ns: Option<u64>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// `None`: with the frames that were chosen.
    Recording(Option<Ending>),
    Damaged(ReadError),
    Signal,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    pub(crate) speed: f64,
    /// No frame before somebody looks.
    pub(crate) wait: bool,
}

pub(crate) struct Player<'p> {
    exporter: &'p Exporter,
    id: CameraId,
    wishes: Wishes,
    stop: &'p AtomicBool,
    camera: Option<Camera>,
    section: Option<Section>,
    schedule: Option<Schedule>,
    is_beating: bool,
    is_stalled: bool,
    /// The recording has begun again, and no frame of it came yet.
    is_again: bool,
    played: Played,
}

/// A signal asked for the end.
struct Stopped;

enum Interrupted {
    Stopped,
    Failed(Failure),
}

impl From<Stopped> for Interrupted {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl<E: Into<Failure>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<'p> Player<'p> {
    pub(crate) fn new(exporter: &'p Exporter, id: CameraId, wishes: Wishes, stop: &'p AtomicBool) -> Self {
        Self {
            exporter,
            id,
            wishes,
            stop,
            camera: None,
            section: None,
            schedule: None,
            is_beating: true,
            is_stalled: false,
            is_again: false,
            played: Played { laps: 1, ..Played::default() },
        }
    }

    /// Plays to the end, or until a signal. The camera is left to the caller, who ends it.
    pub(crate) fn run(mut self, source: &Source) -> Result<(Played, Ended, Option<Camera>), Failure> {
        match self.play(source) {
            Ok(ended) => Ok((self.played, ended, self.camera)),
            Err(Interrupted::Stopped) => Ok((self.played, Ended::Signal, self.camera)),
            Err(Interrupted::Failed(failure)) => Err(failure),
        }
    }

    fn play(&mut self, source: &Source) -> Result<Ended, Interrupted> {
        loop {
            let Some(item) = source.next(SLICE) else {
                self.look()?;
                continue;
            };
            match item {
                Item::Frame { section, info, pixels } => {
                    self.frame(&section, &info, &pixels)?;
                    source.give_back(pixels);
                }
                Item::State(change) => self.state(change)?,
                Item::Again => {
                    self.played.laps += 1;
                    self.is_again = true;
                }
                Item::Ended(ending) => {
                    self.hold_last()?;
                    return Ok(Ended::Recording(ending));
                }
                Item::Failed(error) => {
                    self.hold_last()?;
                    return Ok(Ended::Damaged(error));
                }
            }
        }
    }

    fn frame(&mut self, section: &Section, info: &FrameInfo, pixels: &[u8]) -> Result<(), Interrupted> {
        let picture = section.picture();
        let format = PictureFormat::new(picture.width(), picture.height(), section.color());
        if std::mem::take(&mut self.is_again) {
            let period_ns = period_or(section, 0);
            if let Some(schedule) = &mut self.schedule {
                let after_ns = schedule.stretched(period_ns);
                schedule.begin_again(info.timestamp_ns, after_ns);
            }
        }
        let is_new =
            self.camera.is_none() || self.section.as_ref().is_none_or(|old| !is_same_pair(old, section));
        if is_new {
            self.begin_section(section, format, info.timestamp_ns)?;
        }
        let speed = self.wishes.speed;
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(speed, info.timestamp_ns, monotonic_ns()));
        let due_ns = schedule.due(info.timestamp_ns);
        let schedule = *schedule;
        let late_limit_ns = match schedule.stretched(section.frame_period_ns()) {
            0 => LATE_NS,
            period_ns => period_ns / 2,
        };
        self.wait_until(due_ns)?;
        self.is_beating = true;
        self.exporter.beat();
        self.played.first_ns.get_or_insert(due_ns);
        // It is there: begin_section made it.
        let Some(camera) = &mut self.camera else { return Ok(()) };
        if std::mem::take(&mut self.is_stalled) {
            camera.set_source_state(SourceState::Live);
        }
        // The recorder learned it later than the first frame.
        if self.section.as_ref().is_some_and(|old| old.frame_period_ns() != section.frame_period_ns()) {
            camera.set_frame_period(period(&schedule, section));
            self.section = Some(*section);
        }
        self.played.frames += 1;
        match camera.slot(format) {
            Ok(mut slot) => {
                let (width, chroma_row) = (picture.width() as usize, picture.chroma_row_bytes() as usize);
                let (luma, chroma) = pixels.split_at(width * picture.height() as usize);
                slot.write_nv12(Plane::new(luma, width), Plane::new(chroma, chroma_row))?;
                slot.publish(Stamp::at(due_ns).damaged(info.flags.is_damaged()));
                self.played.published += 1;
                let late_ns = monotonic_ns().saturating_sub(due_ns);
                self.played.worst_late_ns = self.played.worst_late_ns.max(late_ns);
                self.played.late += u64::from(late_ns > late_limit_ns);
            }
            Err(NotExported::Idle) => self.played.unwatched += 1,
            Err(_) => self.played.lost += 1,
        }
        Ok(())
    }

    /// Sees that there are files for what follows, before its first frame is due if that is possible. If it is not, all that follows
    /// is due later: a burst of frames would be lost to readers.
    fn begin_section(
        &mut self,
        section: &Section,
        format: PictureFormat,
        first_ns: u64,
    ) -> Result<(), Interrupted> {
        let due_ns = self.schedule.as_mut().map(|schedule| schedule.due(first_ns));
        if let Some(due_ns) = due_ns {
            self.wait_until(due_ns.saturating_sub(PREPARE_NS))?;
        }
        let follows = self.section.is_some();
        // The server was started again: the same pictures in other files. Else the writer itself sees that there are others.
        if self.section.as_ref().is_some_and(|old| is_same_format(old, section)) {
            self.camera = None;
        }
        self.is_beating = true;
        self.exporter.beat();
        let mut camera = match self.camera.take() {
            Some(camera) => camera,
            None => self.exporter.camera(self.id)?,
        };
        let schedule = self.schedule.unwrap_or_else(|| Schedule::new(self.wishes.speed, 0, 0));
        camera.set_frame_period(period(&schedule, section));
        camera.set_source_state(SourceState::Live);
        self.is_stalled = false;
        let began_ns = monotonic_ns();
        let made = loop {
            match camera.slot(format).map(drop) {
                Ok(()) => break Ok(()),
                Err(NotExported::Idle) => {
                    let limit_ns = if follows { FOLLOW_LIMIT_NS } else { u64::MAX };
                    if !self.wishes.wait || monotonic_ns() - began_ns > limit_ns {
                        break Ok(());
                    }
                }
                Err(NotExported::Preparing) if monotonic_ns() - began_ns < PAIR_LIMIT_NS => {}
                Err(why) => break Err(Failure::NotExported { camera: self.id.to_string(), why }),
            }
            if let Err(Stopped) = self.look() {
                self.camera = Some(camera);
                return Err(Interrupted::Stopped);
            }
            std::thread::sleep(LOOK);
        };
        // Kept whatever came of it: the caller ends it.
        self.camera = Some(camera);
        made?;
        self.played.new_pairs += u64::from(follows);
        self.section = Some(*section);
        if let (Some(schedule), Some(due_ns)) = (&mut self.schedule, due_ns) {
            let over_ns = monotonic_ns().saturating_sub(due_ns);
            schedule.shift(over_ns);
            self.played.shifted_ns += over_ns;
        }
        Ok(())
    }

    fn state(&mut self, change: StreamStateChange) -> Result<(), Interrupted> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        let due_ns = schedule.due(change.at_ns);
        // Whoever noticed had waited for three seconds: the silence began before.
        self.is_beating &= change.state != StreamState::ServerGone;
        self.wait_until(due_ns)?;
        match change.state {
            StreamState::Stalled => {
                self.is_stalled = true;
                if let Some(camera) = &mut self.camera {
                    camera.set_source_state(SourceState::Stalled);
                }
            }
            StreamState::Live if self.is_stalled => {
                self.is_stalled = false;
                if let Some(camera) = &mut self.camera {
                    camera.set_source_state(SourceState::Live);
                }
            }
            StreamState::Stopped => self.camera = None,
            // Readers of the replay say for themselves whether anybody looks; what replaces a pair is the section that follows.
            _ => {}
        }
        Ok(())
    }

    /// The last frame is shown for as long as any other.
    fn hold_last(&mut self) -> Result<(), Interrupted> {
        let (Some(schedule), Some(section)) = (&mut self.schedule, &self.section) else { return Ok(()) };
        let period_ns = period_or(section, LATE_NS).min(LONGEST_HOLD_NS);
        let until_ns = schedule.due(0).saturating_add(schedule.stretched(period_ns));
        Ok(self.wait_until(until_ns)?)
    }

    /// A sign of life, and whether a signal came.
    fn look(&self) -> Result<(), Stopped> {
        if self.is_beating {
            self.exporter.beat();
        }
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    fn wait_until(&self, due_ns: u64) -> Result<(), Stopped> {
        loop {
            self.look()?;
            let left_ns = due_ns.saturating_sub(monotonic_ns());
            if left_ns == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_nanos(left_ns).min(SLICE));
        }
    }
}

/// Expected time between frames as they are played, if that is known.
fn period(schedule: &Schedule, section: &Section) -> Option<Duration> {
    let period_ns = schedule.stretched(section.frame_period_ns());
    (period_ns > 0).then(|| Duration::from_nanos(period_ns))
}

/// Expected time between frames as it was recorded; a usual one where none is known.
fn period_or(section: &Section, at_least_ns: u64) -> u64 {
    match section.frame_period_ns() {
        0 => 40_000_000,
        period_ns => period_ns.max(at_least_ns),
    }
}

fn is_same_format(one: &Section, other: &Section) -> bool {
    (one.picture(), one.color()) == (other.picture(), other.color())
}

fn is_same_pair(one: &Section, other: &Section) -> bool {
    is_same_format(one, other) && one.generation() == other.generation()
}
