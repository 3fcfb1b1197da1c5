//! The reader most people want: it opens by itself, waits, comes back after a restart, and counts what it skipped.

use crate::clock::monotonic_ns;
use crate::error::{Absent, Refused};
use crate::frame::Frame;
use crate::held::HeldFrame;
use crate::liveness::{Liveness, Status};
use crate::open::{self, Found, Opened, Options, Reader};
use crate::rest::Canceller;
use crate::wait::{Policy, Schedule};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vas_shm_proto::snapshot::Snapshot;
use vas_shm_proto::{CameraId, FrameId};

/// Between two tries to open a camera that is not there.
const ABSENT_RETRY_NS: u64 = 100_000_000;
/// Between two tries to open a camera that was refused.
const REFUSED_RETRY_NS: u64 = 1_000_000_000;
/// Between two looks at the file's name while nothing comes.
const NAME_CHECK_NS: u64 = 100_000_000;

/// Before the next look when the server was faster than this reader: an overrun is an answer, not a reason to spin.
const AFTER_OVERRUN: Duration = Duration::from_micros(100);

/// Which frame comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The newest one: for displays and detectors.
    #[default]
    Latest,
    /// The oldest one that was not seen yet: for recorders and tests. Frames that were overwritten unseen are counted.
    Next,
}

/// The frames of one camera, through restarts of the server and changes of the picture.
///
/// Nothing here needs the camera to exist: a stream may be made before the server starts.
///
/// ```
/// use std::time::Duration;
/// use vas_shm_reader::{CameraId, Event, FrameStream, Mode};
///
/// let mut stream = FrameStream::new("/dev/shm/vas", CameraId::new("not-started-yet")?).mode(Mode::Next);
/// match stream.next_event(Duration::from_millis(10)) {
///     Event::Frame(frame) => println!("frame {}, {} missed", frame.id(), frame.skipped()),
///     Event::Status(status) => println!("{status}"), // waiting: ...
///     Event::Timeout => println!("nothing yet"),
/// }
/// # Ok::<(), vas_shm_reader::CameraIdError>(())
/// ```
#[derive(Debug)]
pub struct FrameStream {
    base: PathBuf,
    camera: CameraId,
    options: Options,
    mode: Mode,
    policy: Policy,
    canceller: Canceller,
    open: Option<Pair>,
    next_open_ns: u64,
    told: Option<StreamStatus>,
    skipped_total: u64,
}

/// What belongs to the pair that is open.
#[derive(Debug)]
struct Pair {
    reader: Arc<Reader>,
    liveness: Liveness,
    schedule: Schedule,
    seen: Option<FrameId>,
    next_name_check_ns: u64,
}

/// What a stream has to say.
#[derive(Debug)]
pub enum Event<'s> {
    /// A frame, by reference.
    Frame(StreamFrame<'s>),
    /// Something changed; said once per change. The stream goes on by itself whatever it is.
    Status(StreamStatus),
    /// Nothing happened in the time given, or the stream was [cancelled](FrameStream::canceller).
    Timeout,
}

/// What a stream has to say at this moment: [`FrameStream::try_event`].
#[derive(Debug)]
pub enum Turn<'s> {
    /// A frame, by reference.
    Frame(StreamFrame<'s>),
    /// As [`Event::Status`].
    Status(StreamStatus),
    /// Nothing, and there will hardly be anything before this moment.
    Later(Look),
}

/// When a stream wants to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    at_ns: u64,
}

impl Look {
    /// CLOCK_MONOTONIC in nanoseconds; never more than a second away. A moment that is over means: at once, a frame is due.
    #[must_use]
    pub fn at_ns(self) -> u64 {
        self.at_ns
    }
}

/// A [`Frame`], and how many before it this reader did not see.
#[derive(Clone, Copy, Debug)]
pub struct StreamFrame<'s> {
    frame: Frame<'s>,
    reader: &'s Arc<Reader>,
    skipped: u64,
}

impl StreamFrame<'_> {
    /// Keeps the frame beyond the next call of the stream. Nothing is copied, and the server will overwrite it as any other.
    #[must_use]
    pub fn hold(&self) -> HeldFrame {
        HeldFrame::new(self.reader, self.frame.snapshot(), self.skipped)
    }

    /// Frames between the one handed out before and this one. The first frame of a generation skips none.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl<'s> Deref for StreamFrame<'s> {
    type Target = Frame<'s>;

    fn deref(&self) -> &Frame<'s> {
        &self.frame
    }
}

/// The state of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// The camera is not there (yet, or any more).
    Waiting(Absent),
    /// The camera is there and cannot be read.
    Refused(Refused),
    /// The camera is open and this is what it says.
    Open(Status),
}

impl StreamStatus {
    /// The name used in tools: `waiting`, `refused`, or that of the [`Status`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Refused(_) => "refused",
            Self::Open(status) => status.name(),
        }
    }

    /// Whether two statuses are the same news. What exactly is missing while waiting is none.
    fn is_same_news(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Waiting(_), Self::Waiting(_)) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(why) => write!(f, "waiting: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Open(Status::ServerGone) => {
                f.write_str("server gone: no sign of life for three seconds (waiting for it to come back)")
            }
            Self::Open(status) => f.write_str(status.name()),
        }
    }
}

/// What one step of the stream found, without borrowing it.
pub(crate) enum Step {
    Frame(Snapshot, u64),
    Status(StreamStatus),
    /// The moment of the next look.
    Later(u64),
    /// Something was opened or closed: take the next step at once.
    Again,
}

impl FrameStream {
    /// A stream of a camera's newest frames.
    pub fn new(base: impl Into<PathBuf>, camera: CameraId) -> Self {
        let base = base.into();
        Self {
            // The name is looked at again and again; the working directory may have changed by then.
            base: std::path::absolute(&base).unwrap_or(base),
            camera,
            options: Options::new(),
            mode: Mode::Latest,
            policy: Policy::default(),
            canceller: Canceller::default(),
            open: None,
            next_open_ns: 0,
            told: None,
            skipped_total: 0,
        }
    }

    /// Chooses which frame comes next.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Chooses what waiting costs and how soon a frame is found.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what is asked for beyond the camera.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The camera.
    #[must_use]
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// The pair that is open, if one is.
    #[must_use]
    pub fn reader(&self) -> Option<&Reader> {
        self.open.as_ref().map(|open| &*open.reader)
    }

    /// Frames that were overwritten unseen, over all generations.
    #[must_use]
    pub fn skipped_total(&self) -> u64 {
        self.skipped_total
    }

    /// Waits for the next frame or the next change of state, at most for `timeout`.
    pub fn next_event(&mut self, timeout: Duration) -> Event<'_> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = monotonic_ns().saturating_add(timeout_ns);
        let found = loop {
            // Before all else: of a camera that always has a frame the cancelled would never hear otherwise.
            if self.canceller.is_cancelled() {
                return Event::Timeout;
            }
            let now_ns = monotonic_ns();
            match self.step_to_news(now_ns) {
                Step::Later(_) | Step::Again if now_ns >= deadline_ns => return Event::Timeout,
                Step::Later(at_ns) => self.canceller.rest_until(at_ns.min(deadline_ns)),
                Step::Again => {}
                news => break news,
            }
        };
        match self.lend(found) {
            Turn::Frame(frame) => Event::Frame(frame),
            Turn::Status(status) => Event::Status(status),
            Turn::Later(_) => Event::Timeout,
        }
    }

    /// What there is now, without waiting: for loops of one's own, over several streams or among other work. At most a few
    /// system calls when something has to be opened or looked after, otherwise none. It looks whether or not it was cancelled: loops of
    /// one's own ask the canceller.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
    /// use std::time::Duration;
    /// use vas_shm_reader::{CameraId, FrameStream, Turn};
    ///
    /// # let server = server::Server::start();
    /// # let base = server.path();
    /// let mut stream = FrameStream::new(base, CameraId::new("front")?);
    /// loop {
    ///     let look = match stream.try_event() {
    ///         Turn::Frame(frame) => {
    ///             println!("frame {}", frame.id());
    ///             break;
    ///         }
    ///         Turn::Status(_) => continue,
    ///         Turn::Later(look) => look,
    ///     };
    ///     // ... other work, until look.at_ns() ...
    ///     stream.wait(look, Duration::from_millis(20));
    ///     if stream.canceller().is_cancelled() {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), vas_shm_reader::CameraIdError>(())
    /// ```
    pub fn try_event(&mut self) -> Turn<'_> {
        let now_ns = monotonic_ns();
        // Leaving a pair and opening the next are two steps; after them there is a frame, news, or a moment to wait for.
        let mut found = Step::Again;
        for _ in 0..4 {
            found = self.step_to_news(now_ns);
            if !matches!(found, Step::Again) {
                break;
            }
        }
        self.lend(found)
    }

    /// Waits for the moment of that look, for `at_most`, or until cancelled, whichever is first; may return a little early. Once
    /// cancelled it does not wait at all.
    pub fn wait(&self, look: Look, at_most: Duration) {
        let at_most_ns = u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX);
        self.canceller.rest_until(look.at_ns.min(monotonic_ns().saturating_add(at_most_ns)));
    }

    /// Ends the waiting from another thread or from a signal handler.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    pub(crate) fn with_canceller(mut self, canceller: Canceller) -> Self {
        self.canceller = canceller;
        self
    }

    /// A step, without news that was told before.
    pub(crate) fn step_to_news(&mut self, now_ns: u64) -> Step {
        match self.step(now_ns) {
            Step::Status(status) if self.told.as_ref().is_some_and(|told| told.is_same_news(&status)) => {
                Step::Again
            }
            Step::Status(status) => {
                self.told = Some(status.clone());
                Step::Status(status)
            }
            other => other,
        }
    }

    pub(crate) fn lend(&self, found: Step) -> Turn<'_> {
        match (found, &self.open) {
            (Step::Frame(snapshot, skipped), Some(open)) => {
                Turn::Frame(StreamFrame { frame: open.reader.frame(snapshot), reader: &open.reader, skipped })
            }
            (Step::Status(status), _) => Turn::Status(status),
            (Step::Later(at_ns), _) => Turn::Later(Look { at_ns }),
            // A step that found a frame leaves its pair open; and what is opened and closed again and again wants no haste.
            (Step::Frame(..) | Step::Again, _) => Turn::Later(Look { at_ns: 0 }),
        }
    }

    /// Leaves the pair that is open: unmaps it, so that the dead pair's memory can go, also from under frames that are held.
    fn leave(&mut self) {
        if let Some(open) = self.open.take() {
            if Arc::strong_count(&open.reader) > 1 {
                open.reader.let_go();
            }
        }
    }

    fn step(&mut self, now_ns: u64) -> Step {
        let Some(open) = &mut self.open else {
            return self.step_closed(now_ns);
        };
        let found = match self.mode {
            Mode::Latest => open.reader.latest(open.seen),
            Mode::Next => open.reader.next(open.seen),
        };
        if let Found::Frame(frame) = found {
            let id = frame.id();
            let skipped = open.seen.map_or(0, |seen| id.get().saturating_sub(seen.get()).saturating_sub(1));
            let snapshot = frame.snapshot();
            open.seen = Some(id);
            open.schedule.frame_found(now_ns, snapshot.timestamp_ns(), skipped.saturating_add(1));
            self.skipped_total = self.skipped_total.saturating_add(skipped);
            // Frames say "live" by themselves; a later stall or stop is news again, unless it was told of before this frame.
            self.told = Some(StreamStatus::Open(Status::Live));
            return Step::Frame(snapshot, skipped);
        }
        let overrun = matches!(found, Found::Overrun);
        let status = open.liveness.observe(open.reader.observe(), now_ns);
        if status.is_over() {
            self.leave();
            return Step::Status(StreamStatus::Open(status));
        }
        if now_ns >= open.next_name_check_ns {
            open.next_name_check_ns = now_ns + NAME_CHECK_NS;
            if !open.reader.is_still_named() {
                self.leave();
                return Step::Again;
            }
        }
        let status = StreamStatus::Open(status);
        // "Unproven" lasts for a heartbeat or a frame at most, or ends as "server gone": no news.
        let is_news = !self.told.as_ref().is_some_and(|told| told.is_same_news(&status));
        if is_news && status != StreamStatus::Open(Status::Unproven) {
            return Step::Status(status);
        }
        let nap = if overrun { AFTER_OVERRUN } else { open.schedule.nap(now_ns) };
        Step::Later(now_ns.saturating_add(nap.as_nanos() as u64))
    }

    fn step_closed(&mut self, now_ns: u64) -> Step {
        if now_ns < self.next_open_ns {
            return Step::Later(self.next_open_ns);
        }
        let status = match open::open(&self.base, &self.camera, &self.options) {
            Opened::Ready(reader) => {
                // Should this pair be over soon, the next is not looked for before this moment.
                self.next_open_ns = now_ns + ABSENT_RETRY_NS;
                self.open = Some(Pair {
                    liveness: Liveness::new(reader.observed_at_open(), now_ns),
                    schedule: Schedule::new(reader.frame_period_ns()).policy(self.policy),
                    seen: None,
                    next_name_check_ns: now_ns + NAME_CHECK_NS,
                    reader: Arc::new(reader),
                });
                return Step::Again;
            }
            Opened::NotYet(why) => {
                self.next_open_ns = now_ns + ABSENT_RETRY_NS;
                StreamStatus::Waiting(why)
            }
            Opened::Refused(why) => {
                self.next_open_ns = now_ns + REFUSED_RETRY_NS;
                StreamStatus::Refused(why)
            }
        };
        Step::Status(status)
    }
}

#[cfg(test)]
mod properties;
