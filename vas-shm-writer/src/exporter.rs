//! What a server embeds: one [`Exporter`] per process, one [`Camera`] per camera.

use crate::base;
use crate::clock::monotonic_ns;
use crate::error::{BaseError, CameraError, NotExported, OsError};
use crate::frame::{OwnedSlot, PictureFormat, Slot};
use crate::guard::{self, Guard, Leftovers};
use crate::keeper::{self, Message, Shared, Want};
use crate::pair::Live;
use crate::room::CameraMemory;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use tracing::dispatcher::{self, Dispatch};
use tracing::subscriber::NoSubscriber;
use vas_shm_proto::{CameraId, FrameId, Nv12, SlotCount, State, publish};

/// How long a camera that is dropped waits for its files to be removed. They are removed all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// When pixels are put into shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportWhen {
    /// While somebody has the camera's `frame.meta` open or mapped, and a few seconds longer. Else [`Camera::slot`] says
    /// [`NotExported::Idle`] before any pixel is made, at the price of three system calls.
    ///
    /// The kernel says who is there: readers write nothing and are asked nothing. Where it has no leases (fcntl(2), `F_SETLEASE`),
    /// this is as [`ExportWhen::Always`], and the log says so once a camera.
    #[default]
    Attached,
    /// Always, whether or not anybody looks.
    Always,
}

/// Who says that the server is alive. Readers take one for gone that neither beats nor publishes for three seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heartbeat {
    /// The library's thread, twice a second: the process lives.
    #[default]
    Thread,
    /// The program, by [`Exporter::beat`], for instance from the loop that watches its cameras: a program that hangs is seen to
    /// hang. The library's thread hands the last beat on twice a second.
    Caller,
}

/// Where and how to export.
///
/// ```
/// use vas_shm_writer::{ExporterConfig, SlotCount};
///
/// // Room for readers that need five frame periods per picture, who are in the group 4711.
/// let config = ExporterConfig::new("/dev/shm/vas").slots(SlotCount::new(6)?).group(Some(4711));
/// # assert_eq!(config.slots.get(), 6);
/// # Ok::<(), vas_shm_writer::SlotCountError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExporterConfig {
    /// The base directory, on a tmpfs; `/dev/shm/vas` by convention. Made if missing, the directories above it are not.
    pub base: PathBuf,
    /// The group whose members may read, by number. `None`: whatever group the directory has.
    pub group: Option<u32>,
    /// Slots per camera.
    pub slots: SlotCount,
    /// When pixels are copied.
    pub when: ExportWhen,
    /// Who says that the server is alive.
    pub heartbeat: Heartbeat,
}

impl ExporterConfig {
    /// Three slots, no particular group, exporting while somebody is attached.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            group: None,
            slots: SlotCount::DEFAULT,
            when: ExportWhen::default(),
            heartbeat: Heartbeat::default(),
        }
    }

    /// Chooses the group whose members may read, by number.
    #[must_use]
    pub fn group(mut self, gid: Option<u32>) -> Self {
        self.group = gid;
        self
    }

    /// Chooses the number of slots per camera.
    #[must_use]
    pub fn slots(mut self, slots: SlotCount) -> Self {
        self.slots = slots;
        self
    }

    /// What the export of a camera with such pictures takes of the tmpfs and of this process's memory; `None`: its size cannot be
    /// exported. What there is for it says [`Room::at`](crate::Room::at).
    #[must_use]
    pub fn memory(&self, format: PictureFormat) -> Option<CameraMemory> {
        CameraMemory::new(format, self.slots)
    }

    /// Chooses when pixels are copied.
    #[must_use]
    pub fn when(mut self, when: ExportWhen) -> Self {
        self.when = when;
        self
    }

    /// Chooses who says that the server is alive.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.heartbeat = heartbeat;
        self
    }
}

/// Exports the cameras of a process. Owns one thread, which makes, watches and removes the files.
///
/// What goes wrong, and what is made and removed, is said by `tracing`: to the subscriber that was the default of the thread which
/// started the exporter, or, if there was none, to the one of the whole program.
///
/// No global state: two exporters with different base directories do not know of each other. A child that is forked must not
/// touch the exporter and cameras of its parent (the mappings are not inherited, and dropping them there does nothing); if it
/// wants to export, it starts its own.
///
/// A child that goes on without `exec` has its parent's sole-writer locks open. It takes none from a parent that lives or ends in
/// order; but if the parent is killed, no other server gets its cameras before the child ends too.
///
/// ```
/// use vas_shm_writer::{CameraError, CameraId, Exporter, ExporterConfig};
///
/// # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
/// # let directory = tempfile::tempdir_in(shared_memory)?;
/// # let base = directory.path().join("vas");
/// let exporter = Exporter::start(ExporterConfig::new(base))?;
/// let front = exporter.camera(CameraId::new("front")?)?;
/// let yard = exporter.camera(CameraId::new("yard")?)?;
/// assert!(matches!(exporter.camera(CameraId::new("front")?), Err(CameraError::Duplicate(_))));
///
/// drop(yard); // stops this one camera
/// exporter.shutdown(); // and this all others
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exporter {
    keeper: Keeper,
    thread: Option<JoinHandle<()>>,
    cameras: Arc<Mutex<HashSet<CameraId>>>,
    when: ExportWhen,
    beat_ns: Arc<AtomicU64>,
    owner_pid: u32,
}

/// How to reach the library's thread.
#[derive(Clone, Debug)]
struct Keeper {
    messages: Sender<Message>,
    thread: Thread,
}

impl Keeper {
    /// Not for the frame path: sending may allocate.
    fn send(&self, message: Message) -> Result<(), NotExported> {
        self.messages.send(message).map_err(|_| NotExported::ShutDown)?;
        self.wake();
        Ok(())
    }

    /// Never waits.
    fn wake(&self) {
        self.thread.unpark();
    }
}

impl Exporter {
    /// Checks the base directory, removes what killed servers left of cameras that nobody writes now, and starts the thread.
    ///
    /// # Errors
    /// The base directory cannot be trusted or used: nothing is exported, and the text says what to do.
    pub fn start(mut config: ExporterConfig) -> Result<Self, BaseError> {
        // The names are looked at again all the time; the working directory may have changed by then.
        config.base = std::path::absolute(&config.base).map_err(|error| BaseError::Io {
            call: "getcwd",
            path: config.base.clone(),
            errno: OsError::of(&error),
        })?;
        let directory = base::open_base(&config.base, config.group)?;
        let mut retired = Vec::new();
        for camera in directory.cameras()? {
            match sweep(&directory, &camera) {
                Ok(None) => {}
                Ok(Some(leftovers)) => {
                    tracing::info!(%camera, "removed the files that an earlier server left behind");
                    retired.extend(leftovers.pair.map(|pair| (camera, pair)));
                }
                // One camera's trouble does not keep the others from being exported.
                Err(error) => tracing::warn!(%camera, "what an earlier server left was not removed: {error}"),
            }
        }
        let when = config.when;
        let (messages, from_cameras) = mpsc::channel();
        let beat_ns = Arc::new(AtomicU64::new(monotonic_ns()));
        let beats = Arc::clone(&beat_ns);
        let thread = std::thread::Builder::new()
            .name("vas-export".into())
            .spawn(in_this_log(move || keeper::run(&config, &from_cameras, retired, &beats)))
            .map_err(|error| BaseError::Thread { errno: OsError::of(&error) })?;
        let keeper = Keeper { messages, thread: thread.thread().clone() };
        let owner_pid = std::process::id();
        Ok(Self { keeper, thread: Some(thread), cameras: Arc::default(), when, beat_ns, owner_pid })
    }

    /// Does the thread that makes the files still run? It ends with the exporter; if it does before that it has panicked, and no
    /// frame is exported any more.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// A camera to export. Nothing is made on disk before its first frame: only then is the geometry known.
    ///
    /// # Errors
    /// This exporter has such a camera already, or was shut down.
    pub fn camera(&self, id: CameraId) -> Result<Camera, CameraError> {
        if !lock(&self.cameras).insert(id) {
            return Err(CameraError::Duplicate(id));
        }
        let shared = Arc::new(Shared::default());
        let asks = self.when == ExportWhen::Attached;
        // From here on dropping `camera` gives the id back.
        let camera = Camera {
            id,
            shared: Arc::clone(&shared),
            keeper: self.keeper.clone(),
            cameras: Arc::clone(&self.cameras),
            owner_pid: self.owner_pid,
            live: None,
            asks,
            is_idle: asks,
            asked: None,
            last: None,
            is_stopped: false,
            counters: CameraCounters::default(),
        };
        self.keeper.send(Message::Register { id, shared }).map_err(|_| CameraError::ShutDown(id))?;
        Ok(camera)
    }

    /// Says that the server is alive, if it was agreed that the caller does ([`Heartbeat::Caller`]); else nothing comes of it. To be
    /// called at least four times a second, by any thread: it never waits, and is a look at the clock and a store.
    pub fn beat(&self) {
        self.beat_ns.store(monotonic_ns(), Ordering::Relaxed);
    }

    /// Stops the export of every camera: readers are told, files removed, memory given back. Bounded: it waits for files that are
    /// just being made, and together at most half a second for readers that have not closed the files yet and for a slot that is
    /// just being filled.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if std::process::id() != self.owner_pid {
            // A forked child has no such thread, and the files are its parent's.
            std::mem::forget(thread);
            return;
        }
        let _ = self.keeper.send(Message::Shutdown);
        let _ = thread.join();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Removes what is left of a camera, if anything is and nobody writes it.
fn sweep(directory: &base::Directory, camera: &CameraId) -> Result<Option<Leftovers>, BaseError> {
    let of_camera = directory.existing_camera(camera)?;
    if !guard::has_leftovers(&of_camera)? {
        return Ok(None);
    }
    match Guard::acquire(directory, camera)? {
        Some(guard) => guard::remove_leftovers(&of_camera, &guard),
        None => Ok(None),
    }
}

/// What the source of a camera does; readers see it as the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Frames come.
    #[default]
    Live,
    /// The source is lost; the server is trying to get it back.
    Stalled,
}

impl SourceState {
    pub(crate) const fn to_state(self) -> State {
        match self {
            Self::Live => State::Live,
            Self::Stalled => State::Stalled,
        }
    }
}

/// What became of a camera's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CameraCounters {
    /// Frames published.
    pub published: u64,
    /// Calls of [`Camera::slot`] that gave none.
    pub not_exported: u64,
}

/// The frame path of one camera; lives on the thread that has its frames. Dropping it stops the camera: readers are told and
/// the files removed before the drop returns (bounded by a second).
///
/// ```
/// use std::time::Duration;
/// use vas_shm_writer::{CameraId, Exporter, ExporterConfig, SourceState};
///
/// # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
/// # let directory = tempfile::tempdir_in(shared_memory)?;
/// # let base = directory.path().join("vas");
/// # let exporter = Exporter::start(ExporterConfig::new(base))?;
/// let mut camera = exporter.camera(CameraId::new("front")?)?;
/// camera.set_frame_period(Some(Duration::from_millis(40)));
/// // The connection to the camera is lost:
/// camera.set_source_state(SourceState::Stalled);
/// // The camera leaves the configuration:
/// camera.remove();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Camera {
    id: CameraId,
    shared: Arc<Shared>,
    keeper: Keeper,
    cameras: Arc<Mutex<HashSet<CameraId>>>,
    owner_pid: u32,
    live: Option<Arc<Live>>,
    /// Whether pixels depend on somebody being attached.
    asks: bool,
    /// Whether the readers of `live` are told that nobody is attached.
    is_idle: bool,
    asked: Option<PictureFormat>,
    // The newest published frame and the generation of its pair.
    last: Option<(FrameId, u64)>,
    is_stopped: bool,
    counters: CameraCounters,
}

impl Camera {
    /// The camera's id.
    #[must_use]
    pub fn id(&self) -> &CameraId {
        &self.id
    }

    /// Takes a slot for a frame of this format, **before** its pixels are made: if there is none, nothing needs to be converted.
    ///
    /// Never waits and takes no lock that another thread could hold it up with. For a format that has no files yet, they are
    /// asked for, and frames until then are not exported; a format that comes back before its files were replaced goes on in
    /// them.
    ///
    /// # Errors
    /// Why this frame is not exported.
    pub fn slot(&mut self, format: PictureFormat) -> Result<Slot<'_>, NotExported> {
        let (live, id) = self.try_enter(format)?;
        Ok(Slot::begin(self, live, id))
    }

    /// As [`Camera::slot`], for a server whose own frame has the slot in it, so that there is no lifetime: the camera goes into
    /// the slot and comes back when that is published or abandoned.
    ///
    /// ```
    /// use vas_shm_writer::{Camera, CameraId, Color, Exporter, ExporterConfig, OwnedSlot, PictureFormat, Stamp};
    ///
    /// /// A frame of the server's own, which goes from thread to thread.
    /// enum Output {
    ///     NotWanted(Camera),
    ///     Wanted(OwnedSlot),
    /// }
    ///
    /// fn begin(camera: Camera, format: PictureFormat) -> Output {
    ///     match camera.into_slot(format) {
    ///         Ok(slot) => Output::Wanted(slot),
    ///         Err((camera, _why)) => Output::NotWanted(camera),
    ///     }
    /// }
    ///
    /// fn end(output: Output) -> Camera {
    ///     match output {
    ///         Output::Wanted(slot) => slot.publish(Stamp::now()).0,
    ///         Output::NotWanted(camera) => camera,
    ///     }
    /// }
    /// # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
    /// # let directory = tempfile::tempdir_in(shared_memory)?;
    /// # let base = directory.path().join("vas");
    /// # let (meta, mut _reader) = (base.join("front/frame.meta"), None);
    /// # let exporter = Exporter::start(ExporterConfig::new(base))?;
    /// # let mut camera = exporter.camera(CameraId::new("front")?)?;
    /// # let format = PictureFormat::new(640, 480, Color::UNSPECIFIED);
    /// # while camera.counters().published == 0 {
    /// #     _reader = std::fs::File::open(&meta).ok();
    /// #     camera = std::thread::spawn(move || end(begin(camera, format))).join().unwrap();
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Why this frame is not exported, and the camera.
    #[allow(clippy::result_large_err, reason = "the camera comes back; a box would be an allocation a frame")]
    pub fn into_slot(mut self, format: PictureFormat) -> Result<OwnedSlot, (Self, NotExported)> {
        match self.try_enter(format) {
            Ok((live, id)) => Ok(OwnedSlot::begin(self, live, id)),
            Err(why) => Err((self, why)),
        }
    }

    /// [`Camera::enter`], counted.
    fn try_enter(&mut self, format: PictureFormat) -> Result<(Arc<Live>, FrameId), NotExported> {
        let entered = self.enter(format);
        self.counters.not_exported += u64::from(entered.is_err());
        entered
    }

    /// Finds the pair for a format and passes its gate.
    fn enter(&mut self, format: PictureFormat) -> Result<(Arc<Live>, FrameId), NotExported> {
        self.look_for_pair();
        if self.asked != Some(format) {
            let picture = Nv12::for_picture(format.width, format.height).map_err(|_| NotExported::Size)?;
            if self.shared.ask(Want { format, picture }) {
                self.asked = Some(format);
                self.keeper.wake();
            }
        }
        match &self.live {
            Some(live) if live.format() == format => {
                let live = Arc::clone(live);
                if !self.is_wanted(&live) {
                    return Err(NotExported::Idle);
                }
                if live.gate().enter() {
                    let id = match self.last {
                        Some((last, generation)) if generation == live.generation() => last.next(),
                        last => FrameId::first_of_pair(last.map(|(id, _)| id), live.generation()),
                    };
                    return Ok((live, id));
                }
                // Given up by the library's thread (names taken away, no room): it builds another by itself.
                self.live = None;
            }
            _ => {}
        }
        Err(NotExported::from_code(self.shared.condition.load(Ordering::Relaxed)))
    }

    /// Takes over a pair that the library's thread has made meanwhile.
    fn look_for_pair(&mut self) {
        if let Some(live) = self.shared.take_pair() {
            live.tell(self.shared.source().to_state());
            live.tell_frame_period(self.shared.period_ns.load(Ordering::Relaxed));
            self.leave_pair();
            self.is_idle = live.is_born_idle();
            // It was born by what was so then.
            self.shared.set_attached(!self.is_idle);
            self.live = Some(live);
        }
    }

    /// Leaves the pair for good. Whoever calls has the camera, so no slot of it is held: one that was forgotten (`mem::forget`)
    /// gives its place at the gate back here. Nobody else could, and the pair's memory would never be given back.
    fn leave_pair(&mut self) {
        if let Some(live) = self.live.take() {
            live.gate().leave();
        }
    }

    /// Whether anybody is attached who would see a frame.
    fn is_wanted(&mut self, live: &Live) -> bool {
        if !self.asks {
            return true;
        }
        if !self.is_idle && !self.shared.take_deserted() {
            return true;
        }
        match live.has_readers() {
            Ok(true) => true,
            Ok(false) => {
                if !self.is_idle {
                    publish::go_idle(live.map(), live.slots());
                    self.is_idle = true;
                    self.shared.set_attached(false);
                }
                false
            }
            Err(errno) => {
                // The library's thread says so: a log may block.
                self.shared.set_no_leases(errno);
                self.asks = false;
                true
            }
        }
    }

    pub(crate) fn published(&mut self, id: FrameId, live: &Live) {
        if std::mem::replace(&mut self.is_idle, false) {
            publish::wake(live.map());
            self.shared.set_attached(true);
        }
        self.last = Some((id, live.generation()));
        self.counters.published += 1;
    }

    /// Tells readers whether the source delivers. Never waits; call it on each change, before the frame that follows.
    pub fn set_source_state(&mut self, state: SourceState) {
        self.shared.set_source(state);
        self.look_for_pair();
        if let Some(live) = &self.live {
            live.tell(state.to_state());
        }
    }

    /// A handle for the other threads of the server: one that watches this camera, one that tells operators of it.
    #[must_use]
    pub fn monitor(&self) -> CameraMonitor {
        CameraMonitor { shared: Arc::clone(&self.shared) }
    }

    /// Tells readers how far apart frames are expected; `None` = unknown. Never waits; call it on each change.
    pub fn set_frame_period(&mut self, period: Option<Duration>) {
        let period_ns = period.map_or(0, |period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX));
        self.shared.period_ns.store(period_ns, Ordering::Relaxed);
        self.look_for_pair();
        if let Some(live) = &self.live {
            live.tell_frame_period(period_ns);
        }
    }

    /// What became of the frames so far.
    #[must_use]
    pub fn counters(&self) -> CameraCounters {
        self.counters
    }

    /// Stops the camera and removes its directory too: for a camera that leaves the configuration. (A camera that is merely
    /// stopped keeps its directory, so that a container may go on bind-mounting it.)
    pub fn remove(mut self) {
        self.stop(true);
    }

    fn stop(&mut self, remove_directory: bool) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        if std::process::id() != self.owner_pid {
            // A forked child has no such mapping, and perhaps something of its own in that place by now.
            std::mem::forget(self.live.take());
            return;
        }
        // The frame path leaves the pair before the files go.
        self.leave_pair();
        let (done, wait) = mpsc::channel();
        if self.keeper.send(Message::Unregister { id: self.id, remove_directory, done }).is_ok() {
            let _ = wait.recv_timeout(STOP_TIMEOUT);
        }
        lock(&self.cameras).remove(&self.id);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// What threads other than a camera's own may know of it, and say of it; from [`Camera::monitor`].
///
/// The thread that has a camera's frames often waits for the next one inside somebody else's code, and cannot tell readers that
/// none comes. A thread that watches it can. Never waits; a camera that has ended is not held up by it, and hears nothing.
///
/// ```
/// use vas_shm_writer::{CameraId, Exporter, ExporterConfig, SourceState};
///
/// # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
/// # let directory = tempfile::tempdir_in(shared_memory)?;
/// # let base = directory.path().join("vas");
/// # let exporter = Exporter::start(ExporterConfig::new(base))?;
/// let camera = exporter.camera(CameraId::new("front")?)?;
/// let monitor = camera.monitor();
/// let watchdog = std::thread::spawn(move || {
///     // No frame has come for a while:
///     monitor.set_source_state(SourceState::Stalled);
///     println!("{} bytes, watched: {}", monitor.file_bytes(), monitor.is_watched());
/// });
/// # watchdog.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CameraMonitor {
    shared: Arc<Shared>,
}

impl CameraMonitor {
    /// Tells readers whether the source delivers: the library's thread does, within half a second. Whoever spoke last counts, this
    /// or [`Camera::set_source_state`], which is for the frame that follows a pause.
    pub fn set_source_state(&self, state: SourceState) {
        self.shared.set_source(state);
    }

    /// Whether anybody had the camera's files open when that was last asked: with a frame while nobody had, every five seconds
    /// while somebody has. Where the kernel does not say, it is `true`.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.shared.is_watched()
    }

    /// What the camera's files take of the file system in bytes, those among them that were replaced and not given back yet; half a
    /// second old at most.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes()
    }
}

/// The work, with its events going where those of the calling thread go. A subscriber of this thread alone (`with_default`) would
/// else not hear the library's.
fn in_this_log(work: impl FnOnce()) -> impl FnOnce() {
    let log = dispatcher::get_default(Dispatch::clone);
    move || {
        if log.is::<NoSubscriber>() {
            // The program may still choose one for all its threads.
            work();
        } else {
            dispatcher::with_default(&log, work);
        }
    }
}

/// The set is consistent after every operation on it, so a panic elsewhere does not spoil it.
fn lock(cameras: &Mutex<HashSet<CameraId>>) -> MutexGuard<'_, HashSet<CameraId>> {
    cameras.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Stamp;
    use std::time::Instant;
    use vas_shm_proto::Color;

    // Proves IDLE-3.
    #[test]
    fn a_reader_that_came_after_the_look_which_found_nobody_misses_no_frame() {
        let folder = tempfile::tempdir_in(vas_test_support::shared_memory()).unwrap();
        let base = folder.path().join("vas");
        let exporter = Exporter::start(ExporterConfig::new(&base)).unwrap();
        let mut camera = exporter.camera(CameraId::new("front").unwrap()).unwrap();
        let format = PictureFormat::new(64, 48, Color::UNSPECIFIED);
        let deadline = Instant::now() + Duration::from_secs(30);
        while camera.slot(format).err() != Some(NotExported::Idle) {
            assert!(Instant::now() < deadline, "the files were never made");
            std::thread::sleep(Duration::from_millis(2));
        }
        let reader = std::fs::File::open(base.join("front/frame.meta")).unwrap();
        camera.slot(format).expect("somebody is attached").publish(Stamp::now());
        // Between two frames the last reader went, the library's thread looked, and another one came.
        camera.shared.set_deserted(true);
        camera.slot(format).expect("what decides is the answer of this moment").publish(Stamp::now());
        // And none came.
        drop(reader);
        // The library's thread may be asking at this moment, and a child that another test is just starting has a copy of the reader's
        // descriptor until it is its own program.
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            camera.shared.set_deserted(true);
            if camera.slot(format).err() == Some(NotExported::Idle) {
                break;
            }
            assert!(Instant::now() < deadline, "nobody is there, and frames are made for nobody");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
