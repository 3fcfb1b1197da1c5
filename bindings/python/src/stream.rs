//! Waiting for frames: without the interpreter's lock, and in slices, so that Python's signal handlers run meanwhile.

use crate::arguments::{self, Limit};
use crate::errors::{Cancelled, Refused, Timeout};
use crate::frame::Frame;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Canceller, Event, FrameStream, HeldFrame, Options, StreamStatus};

/// The longest wait between two looks at signals, half of what Ctrl-C may take.
const SLICE: Duration = Duration::from_millis(50);
/// How long a refusal may last before it is an exception: two tries. A server that is just starting may be seen half way.
const REFUSAL_LIMIT: Duration = Duration::from_millis(1500);

/// The frames of one camera, through restarts of the server and changes of the picture: what vas_frames.open gives.
///
/// An iterator of frames and a context manager. It may be used by several threads; each frame goes to one of them. Waiting leaves
/// the interpreter to other threads, and Ctrl-C ends it.
#[pyclass(frozen, module = "vas_frames", name = "Stream")]
#[derive(Debug)]
pub(crate) struct Stream {
    camera: CameraId,
    base: PathBuf,
    timeout: Limit,
    raise_on_refused: bool,
    on_status: Option<Py<PyAny>>,
    canceller: Canceller,
    /// Locked for one slice at most, by each thread in its turn, and never while the interpreter's lock is held or waited for. `None` once
    /// it was closed.
    frames: parking_lot::FairMutex<Option<FrameStream>>,
    /// Locked for a moment.
    known: Mutex<Known>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Known {
    status: Option<StreamStatus>,
    refused_since: Option<Instant>,
    skipped_total: u64,
    is_closed: bool,
}

/// An [`Event`] that borrows nothing.
enum Got {
    Frame(HeldFrame),
    Status(StreamStatus),
    Nothing,
    Ended,
}

/// What a wait ended with.
enum Came {
    Frame(Frame),
    Status(Status),
    Nothing,
    Ended,
}

/// What a wait ends for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Frames,
    FramesAndStatuses,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// One slice, without the interpreter's lock. The turn of another thread counts as waiting.
    fn slice(&self, at_most: Duration) -> Got {
        let until = Instant::now() + at_most;
        let Some(mut frames) = self.frames.try_lock_until(until) else { return Got::Nothing };
        let at_most = until.saturating_duration_since(Instant::now());
        let Some(frames) = frames.as_mut() else { return Got::Ended };
        let (got, skipped) = match frames.next_event(at_most) {
            Event::Frame(frame) => (Got::Frame(frame.hold()), frame.skipped()),
            Event::Status(status) => (Got::Status(status), 0),
            Event::Timeout if self.canceller.is_cancelled() => (Got::Ended, 0),
            Event::Timeout => (Got::Nothing, 0),
        };
        let mut known = lock(&self.known);
        known.skipped_total = known.skipped_total.saturating_add(skipped);
        match &got {
            Got::Frame(_) => {
                known.status = Some(StreamStatus::Open(vas_shm_reader::Status::Live));
                known.refused_since = None;
            }
            Got::Status(status) => {
                known.status = Some(status.clone());
                known.refused_since = match status {
                    StreamStatus::Refused(_) => known.refused_since.or_else(|| Some(Instant::now())),
                    StreamStatus::Waiting(_) | StreamStatus::Open(_) => None,
                };
            }
            Got::Nothing | Got::Ended => {}
        }
        got
    }

    /// Waits for what is asked for, at most for `limit`.
    fn wait(&self, py: Python<'_>, limit: Limit, wanted: For) -> PyResult<Came> {
        let deadline = limit.deadline();
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            match py.detach(|| self.slice(left.min(SLICE))) {
                Got::Frame(held) => return Ok(Came::Frame(Frame::new(self.camera, held))),
                Got::Status(status) => {
                    let status = Status { camera: self.camera, status };
                    self.tell(py, &status)?;
                    if wanted == For::FramesAndStatuses {
                        return Ok(Came::Status(status));
                    }
                }
                Got::Nothing => {}
                Got::Ended => return Ok(Came::Ended),
            }
            // Handlers may raise: KeyboardInterrupt for Ctrl-C. Where this returns instead, the interpreter runs them.
            py.check_signals()?;
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            self.raise_refusal()?;
            if is_over {
                return Ok(Came::Nothing);
            }
        }
    }

    fn tell(&self, py: Python<'_>, status: &Status) -> PyResult<()> {
        let logger = py.import("logging")?.call_method1("getLogger", ("vas_frames",))?;
        let method = if status.needs_attention() { "warning" } else { "info" };
        logger.call_method1(method, ("camera %s: %s", self.camera.as_str(), status.status.to_string()))?;
        if let Some(on_status) = &self.on_status {
            on_status.call1(py, (Status { camera: status.camera, status: status.status.clone() },))?;
        }
        Ok(())
    }

    /// Raises what was refused for long enough.
    fn raise_refusal(&self) -> PyResult<()> {
        let refused_since = lock(&self.known).refused_since;
        match refused_since {
            Some(since) if since.elapsed() >= REFUSAL_LIMIT => self.refusal().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// What is refused now, if that is to be raised.
    fn refusal(&self) -> Option<PyErr> {
        match &lock(&self.known).status {
            Some(StreamStatus::Refused(why)) if self.raise_on_refused => {
                Some(Refused::new_err(why.to_string()))
            }
            _ => None,
        }
    }

    /// What a wait for that long raises in the end: a refusal says more than that nothing came.
    fn timed_out(&self, limit: Limit) -> PyErr {
        self.refusal().unwrap_or_else(|| {
            let seconds = limit.0.unwrap_or_default().as_secs_f64();
            let last = lock(&self.known).status.as_ref().map(ToString::to_string);
            let last = last.unwrap_or_else(|| "no sign of life from its server".to_owned());
            Timeout::new_err(format!(
                "no frame of camera {} within {seconds} s; its state: {last}",
                self.camera
            ))
        })
    }

    fn cancelled(&self) -> PyErr {
        let what = if lock(&self.known).is_closed { "closed" } else { "cancelled" };
        Cancelled::new_err(format!("the stream of camera {} was {what}", self.camera))
    }

    fn repr(&self) -> String {
        format!("camera {} in {}", self.camera, self.base.display())
    }
}

#[pymethods]
impl Stream {
    /// The camera's id.
    #[getter]
    fn camera(&self) -> &str {
        self.camera.as_str()
    }

    /// The base directory.
    #[getter]
    fn base(&self) -> &std::path::Path {
        &self.base
    }

    /// The state that was told last: "opening" before anything is known, "waiting" (not there yet, or any more), "refused", "live",
    /// "idle", "stalled" (the server has lost its source and is reconnecting), "stopped", "replaced" or "server_gone".
    #[getter]
    fn status(&self) -> &'static str {
        lock(&self.known).status.as_ref().map_or("opening", StreamStatus::name)
    }

    /// Frames that were overwritten unseen.
    #[getter]
    fn skipped_total(&self) -> u64 {
        lock(&self.known).skipped_total
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        lock(&self.known).is_closed
    }

    /// The next frame, waited for.
    ///
    /// timeout: seconds or a timedelta, math.inf for as long as it takes; without one, that of vas_frames.open.
    ///
    /// Raises Timeout when none came in that time, Refused as vas_frames.open says, Cancelled once it was cancelled or closed.
    #[pyo3(signature = (timeout = None))]
    fn next(&self, py: Python<'_>, timeout: Option<Limit>) -> PyResult<Frame> {
        let limit = timeout.unwrap_or(self.timeout);
        match self.wait(py, limit, For::Frames)? {
            Came::Frame(frame) => Ok(frame),
            Came::Nothing | Came::Status(_) => Err(self.timed_out(limit)),
            Came::Ended => Err(self.cancelled()),
        }
    }

    /// The next frame, or None when none came within the timeout: by default a look that does not wait (and finds nothing while another
    /// thread has its turn).
    ///
    /// Raises Refused as vas_frames.open says, Cancelled once it was cancelled or closed.
    #[pyo3(signature = (timeout = Limit(Some(Duration::ZERO))), text_signature = "($self, timeout=0.0)")]
    fn read(&self, py: Python<'_>, timeout: Limit) -> PyResult<Option<Frame>> {
        match self.wait(py, timeout, For::Frames)? {
            Came::Frame(frame) => Ok(Some(frame)),
            Came::Nothing | Came::Status(_) => Ok(None),
            Came::Ended => Err(self.cancelled()),
        }
    }

    /// An iterator of frames and changes of state (Status), as they come. The timeout is that of vas_frames.open, for either.
    fn events(this: Bound<'_, Self>) -> Events {
        Events { stream: this.unbind() }
    }

    /// Ends the stream for whoever waits for it: iterators end, next() and read() raise Cancelled. Never waits itself; from any thread.
    fn cancel(&self) {
        self.canceller.cancel();
    }

    /// As cancel(), and lets go of the camera. Frames that are held stay readable. From any thread, any number of times.
    fn close(&self, py: Python<'_>) {
        lock(&self.known).is_closed = true;
        self.canceller.cancel();
        // Whoever waits leaves at once. Unmapped without the interpreter's lock, as it was mapped.
        py.detach(|| drop(self.frames.lock().take()));
    }

    fn __iter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        match self.wait(py, self.timeout, For::Frames)? {
            Came::Frame(frame) => Ok(Some(frame)),
            Came::Nothing | Came::Status(_) => Err(self.timed_out(self.timeout)),
            Came::Ended => Ok(None),
        }
    }

    fn __enter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, pyo3::types::PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        format!("<vas_frames.Stream of {}: {}>", self.repr(), self.status())
    }

    /// Asked by pickle and by the module copy.
    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a vas_frames.Stream reads the memory of this host and cannot be pickled: open the camera in the process that reads it",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_status)
    }
}

/// Frames and changes of state, as they come: what Stream.events gives.
#[pyclass(frozen, module = "vas_frames", name = "Events")]
#[derive(Debug)]
pub(crate) struct Events {
    stream: Py<Stream>,
}

#[pymethods]
impl Events {
    fn __iter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let stream = self.stream.get();
        match stream.wait(py, stream.timeout, For::FramesAndStatuses)? {
            Came::Frame(frame) => Ok(Some(Bound::new(py, frame)?.into_any())),
            Came::Status(status) => Ok(Some(Bound::new(py, status)?.into_any())),
            Came::Nothing => Err(stream.timed_out(stream.timeout)),
            Came::Ended => Ok(None),
        }
    }

    fn __repr__(&self) -> String {
        format!("<vas_frames.Events of {}>", self.stream.get().repr())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stream)
    }
}

/// A change of a camera's state, told once. str() of it is a sentence.
#[pyclass(frozen, module = "vas_frames", name = "Status")]
#[derive(Debug)]
pub(crate) struct Status {
    camera: CameraId,
    status: StreamStatus,
}

impl Status {
    /// Whether somebody may have to do something before frames come.
    fn needs_attention(&self) -> bool {
        use vas_shm_reader::Status::{ServerGone, Stalled};
        match self.status {
            StreamStatus::Waiting(_) | StreamStatus::Refused(_) => true,
            StreamStatus::Open(status) => matches!(status, ServerGone | Stalled),
        }
    }
}

#[pymethods]
impl Status {
    /// The camera's id.
    #[getter]
    fn camera(&self) -> &str {
        self.camera.as_str()
    }

    /// Its state, as Stream.status names them.
    #[getter]
    fn state(&self) -> &'static str {
        self.status.name()
    }

    /// What is missing or was refused, as a sentence; None in other states.
    #[getter]
    fn why(&self) -> Option<String> {
        match &self.status {
            StreamStatus::Waiting(why) => Some(why.to_string()),
            StreamStatus::Refused(why) => Some(why.to_string()),
            StreamStatus::Open(_) => None,
        }
    }

    fn __str__(&self) -> String {
        self.status.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<vas_frames.Status of {}: {}>", self.camera, self.status)
    }
}

/// Opens a camera, which need not be there yet: the stream waits for it, and comes back after every restart of the server.
///
/// base: the base directory; default: the variable VAS_SHM_BASE, else /dev/shm/vas.
/// mode: "latest" for the newest frame (displays, detectors), "next" for the oldest that was not seen yet (recorders).
/// timeout: seconds or a timedelta; a wait for a frame that takes longer raises Timeout. Default: wait for as long as it takes.
/// policy: how a frame is waited for: "low_latency", "balanced" or "economy" of processor time.
/// owner_uid: insist that the files belong to this user.
/// on_status: called with each Status while a frame is waited for, in the thread that waits. The same is logged by the logger
/// "vas_frames".
/// raise_on_refused: a camera that is there and cannot be read (permissions, a header that makes no sense) raises Refused when it
/// stays so for a second and a half. False: it is waited for as one that is not there.
///
/// Raises ValueError for arguments that mean nothing.
#[pyfunction]
#[pyo3(signature = (
    camera, *, base = None, mode = "latest", timeout = Limit::NONE, policy = "balanced", owner_uid = None,
    on_status = None, raise_on_refused = true
), text_signature = "(camera, *, base=None, mode='latest', timeout=None, policy='balanced', owner_uid=None, on_status=None, raise_on_refused=True)")]
#[expect(clippy::too_many_arguments, reason = "Python's callers name them")]
pub(crate) fn open(
    camera: &str,
    base: Option<PathBuf>,
    mode: &str,
    timeout: Limit,
    policy: &str,
    owner_uid: Option<u32>,
    on_status: Option<Py<PyAny>>,
    raise_on_refused: bool,
) -> PyResult<Stream> {
    let camera = CameraId::new(camera).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let base = arguments::base(base);
    let base = std::path::absolute(&base).unwrap_or(base);
    let mut options = Options::new();
    if let Some(uid) = owner_uid {
        options = options.owner_uid(uid);
    }
    let frames = FrameStream::new(&base, camera)
        .mode(arguments::mode(mode)?)
        .policy(arguments::policy(policy)?)
        .options(options);
    Ok(Stream {
        camera,
        base,
        timeout,
        raise_on_refused,
        on_status,
        canceller: frames.canceller(),
        frames: parking_lot::FairMutex::new(Some(frames)),
        known: Mutex::default(),
    })
}

/// The ids of the cameras that have a directory under the base directory, sorted; open says whether one can be read.
///
/// base: as that of open. Raises an OSError when it cannot be read, FileNotFoundError when no server ever made it.
#[pyfunction]
#[pyo3(signature = (base = None))]
pub(crate) fn cameras(base: Option<PathBuf>) -> PyResult<Vec<String>> {
    let base = arguments::base(base);
    let found = vas_shm_reader::cameras(&base).map_err(|error| {
        // Of a number, a text and a path OSError makes the class that belongs to the number.
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_owned();
        PyOSError::new_err((error.raw_os_error(), text, base.into_os_string()))
    })?;
    Ok(found.iter().map(ToString::to_string).collect())
}
