//! What a server embeds: one [`Exporter`] per process, one [`Camera`] per camera.

use crate::base;
use crate::error::{BaseError, CameraError, NotExported};
use crate::frame::{PictureFormat, Slot};
use crate::guard::{self, Guard};
use crate::keeper::{self, Message, Shared};
use crate::pair::Live;
use rustix::io::Errno;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use vas_shm_proto::{CameraId, FrameId, Nv12, SlotCount};

/// How long a camera that is dropped waits for its files to be removed. They are removed all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// When pixels are put into shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportWhen {
    /// Always, whether or not anybody looks.
    #[default]
    Always,
}

/// Where and how to export.
#[derive(Clone, Debug)]
pub struct ExporterConfig {
    /// The base directory, on a tmpfs; `/dev/shm/vas` by convention. Made if missing, the directories above it are not.
    pub base: PathBuf,
    /// The group whose members may read, by number. `None`: whatever group the directory has.
    pub group: Option<u32>,
    /// Slots per camera.
    pub slots: SlotCount,
    /// When pixels are copied.
    pub when: ExportWhen,
}

impl ExporterConfig {
    /// Three slots, no particular group.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), group: None, slots: SlotCount::DEFAULT, when: ExportWhen::default() }
    }
}

/// Exports the cameras of a process. Owns one thread, which makes, watches and removes the files.
///
/// No global state: two exporters with different base directories do not know of each other. Nothing of it survives a fork
/// (the mappings are not inherited); a child that wants to export starts its own.
#[derive(Debug)]
pub struct Exporter {
    to_keeper: Sender<Message>,
    keeper: Option<JoinHandle<()>>,
    cameras: Arc<Mutex<HashSet<CameraId>>>,
}

impl Exporter {
    /// Checks the base directory, removes what killed servers left of cameras that nobody writes now, and starts the thread.
    ///
    /// # Errors
    /// The base directory cannot be trusted or used: nothing is exported, and the text says what to do.
    pub fn start(config: ExporterConfig) -> Result<Self, BaseError> {
        let directory = base::open_base(&config.base, config.group)?;
        for camera in directory.cameras()? {
            // One camera's trouble is told when that camera starts, not here.
            let swept = Guard::acquire(&directory, &camera).and_then(|guard| match guard {
                Some(_held) => guard::remove_leftovers(&directory.existing_camera(&camera)?),
                None => Ok(false),
            });
            if swept == Ok(true) {
                tracing::info!(%camera, "removed the files that an earlier server left behind");
            }
        }
        let (to_keeper, messages) = mpsc::channel();
        let keeper = std::thread::Builder::new()
            .name("vas-export".into())
            .spawn(move || keeper::run(&config, &messages))
            .map_err(|error| BaseError::Thread {
                errno: error.raw_os_error().map_or(Errno::AGAIN, Errno::from_raw_os_error),
            })?;
        Ok(Self { to_keeper, keeper: Some(keeper), cameras: Arc::default() })
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
        let (pairs, from_keeper) = mpsc::channel();
        let camera = Camera {
            id,
            shared: Arc::clone(&shared),
            to_keeper: self.to_keeper.clone(),
            from_keeper,
            cameras: Arc::clone(&self.cameras),
            live: None,
            asked: None,
            last: None,
            stopped: false,
            counters: CameraCounters::default(),
            row: Vec::new(),
        };
        // From here on dropping `camera` gives the id back.
        self.to_keeper
            .send(Message::Register { id, shared, pairs })
            .map_err(|_| CameraError::ShutDown(id))?;
        Ok(camera)
    }

    /// Stops the export of every camera: readers are told, files removed, memory given back. Bounded: it waits for no reader
    /// and for no frame path.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let _ = self.to_keeper.send(Message::Shutdown);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
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

/// What became of a camera's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraCounters {
    /// Frames published.
    pub published: u64,
    /// Calls of [`Camera::slot`] that gave none.
    pub not_exported: u64,
}

/// The frame path of one camera; lives on the thread that has its frames. Dropping it stops the camera: readers are told and
/// the files removed before the drop returns (bounded by a second).
#[derive(Debug)]
pub struct Camera {
    id: CameraId,
    shared: Arc<Shared>,
    to_keeper: Sender<Message>,
    from_keeper: Receiver<Arc<Live>>,
    cameras: Arc<Mutex<HashSet<CameraId>>>,
    live: Option<Arc<Live>>,
    asked: Option<PictureFormat>,
    // The newest published frame and the generation of its pair.
    last: Option<(FrameId, u64)>,
    stopped: bool,
    counters: CameraCounters,
    // Where a row of chroma is interleaved; kept between frames so that none allocates.
    pub(crate) row: Vec<u8>,
}

impl Camera {
    /// The camera's id.
    #[must_use]
    pub fn id(&self) -> &CameraId {
        &self.id
    }

    /// Takes a slot for a frame of this format, **before** its pixels are made: if there is none, nothing needs to be converted.
    ///
    /// Never waits. For a format that has no files yet, they are asked for, and frames until then are not exported; a format
    /// that comes back before its files were replaced goes on in them.
    ///
    /// # Errors
    /// Why this frame is not exported.
    pub fn slot(&mut self, format: PictureFormat) -> Result<Slot<'_>, NotExported> {
        match self.enter(format) {
            Ok((live, id)) => Ok(Slot::begin(self, live, id)),
            Err(why) => {
                self.counters.not_exported += 1;
                Err(why)
            }
        }
    }

    /// Finds the pair for a format and passes its gate.
    fn enter(&mut self, format: PictureFormat) -> Result<(Arc<Live>, FrameId), NotExported> {
        while let Ok(live) = self.from_keeper.try_recv() {
            self.live = Some(live);
        }
        if self.asked != Some(format) {
            let picture = Nv12::for_picture(format.width, format.height).map_err(|_| NotExported::Size)?;
            let want = Message::Want { id: self.id, format, picture };
            self.to_keeper.send(want).map_err(|_| NotExported::ShutDown)?;
            self.asked = Some(format);
        }
        match &self.live {
            Some(live) if live.format() == format => {
                if live.gate().enter() {
                    let id = match self.last {
                        Some((last, generation)) if generation == live.generation() => last.next(),
                        last => FrameId::first_of_pair(last.map(|(id, _)| id), live.generation()),
                    };
                    return Ok((Arc::clone(live), id));
                }
                // Given up by the library's thread (names taken away, no room): it builds another by itself.
                self.live = None;
            }
            _ => {}
        }
        Err(NotExported::from_code(self.shared.condition.load(Ordering::Relaxed)))
    }

    pub(crate) fn published(&mut self, id: FrameId, generation: u64) {
        self.last = Some((id, generation));
        self.counters.published += 1;
    }

    /// Tells readers whether the source delivers. Cheap; call it on each change.
    pub fn set_source_state(&mut self, state: SourceState) {
        let _ = self.to_keeper.send(Message::SourceState { id: self.id, state });
    }

    /// Tells readers how far apart frames are expected; `None` = unknown. Cheap; call it on each change.
    pub fn set_frame_period(&mut self, period: Option<Duration>) {
        let period_ns = period.map_or(0, |period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX));
        let _ = self.to_keeper.send(Message::FramePeriod { id: self.id, period_ns });
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
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        // The frame path leaves the pair before the files go.
        self.live = None;
        let (done, wait) = mpsc::channel();
        if self.to_keeper.send(Message::Unregister { id: self.id, remove_directory, done }).is_ok() {
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

/// The set is consistent after every operation on it, so a panic elsewhere does not spoil it.
fn lock(cameras: &Mutex<HashSet<CameraId>>) -> std::sync::MutexGuard<'_, HashSet<CameraId>> {
    cameras.lock().unwrap_or_else(PoisonError::into_inner)
}
