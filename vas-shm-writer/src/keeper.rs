//! The library's one thread: builds pairs, lets hearts beat, replaces, retires, looks after names.
//!
//! Everything that can take time or fail happens here, so that the frame path does neither. One thread is the only one that
//! stores `state`, `heartbeat_ns` and `frame_period_ns`; the frame path stores the slot words and the publish word.

use crate::base::{self, Directory, Identity};
use crate::clock::monotonic_ns;
use crate::error::{BaseError, NotExported};
use crate::exporter::{ExporterConfig, SourceState};
use crate::frame::PictureFormat;
use crate::guard::{self, Guard};
use crate::pair::{Birth, BuildError, Live, Pair, Retired};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use vas_shm_proto::{CameraId, DATA_NAME, META_NAME, Nv12, PairSize, State};

/// Readers are promised one a second; this leaves room for a busy host.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A pair lives at least this long before the next one is built.
const BUILD_INTERVAL: Duration = Duration::from_secs(1);
/// A guard that is held is tried again this soon, as long as it may be a predecessor that is just going.
const GUARD_QUICK_RETRY: Duration = Duration::from_millis(20);
/// How long that is.
const GUARD_PATIENCE: Duration = Duration::from_millis(100);
/// And after that.
const GUARD_RETRY: Duration = Duration::from_secs(1);
/// Between two tries while there is no room, or the base directory cannot be used.
const TROUBLE_RETRY: Duration = Duration::from_secs(3);
/// Between two tries to empty a pair that the frame path is inside of.
const EMPTY_RETRY: Duration = Duration::from_millis(20);

/// What the frame path reads of this thread's mind.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Why frames are not exported while there is no pair for them: a [`NotExported`] code.
    pub(crate) condition: AtomicU8,
}

/// What this thread is told.
#[derive(Debug)]
pub(crate) enum Message {
    Register { id: CameraId, shared: Arc<Shared>, pairs: Sender<Arc<Live>> },
    Want { id: CameraId, format: PictureFormat, picture: Nv12 },
    SourceState { id: CameraId, state: SourceState },
    FramePeriod { id: CameraId, period_ns: u64 },
    Unregister { id: CameraId, remove_directory: bool, done: Sender<()> },
    Shutdown,
}

/// What stands between a camera and its pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("another process exports this camera ({} is locked); trying again every second", .lock.display())]
    Held { lock: PathBuf, patience_over: bool },
    #[error(
        "no room in {}: {need_bytes} bytes are needed, {free_bytes} are free; make room or mount a larger tmpfs there (a container: a larger shm size); the camera goes on, its export is tried again every 3 seconds",
        .base.display()
    )]
    NoRoom { base: PathBuf, need_bytes: u64, free_bytes: u64 },
    #[error("{0}; trying again every 3 seconds")]
    Base(#[from] BaseError),
}

impl Trouble {
    /// Whether this has been said when `other` has. Free space that changes a little is no news.
    fn is_same_news(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Held { .. }, Self::Held { .. }) => true,
            (Self::NoRoom { need_bytes: a, .. }, Self::NoRoom { need_bytes: b, .. }) => a == b,
            (Self::Base(a), Self::Base(b)) => a == b,
            _ => false,
        }
    }

    fn is_worth_saying(&self) -> bool {
        !matches!(self, Self::Held { patience_over: false, .. })
    }

    fn retry(&self) -> Duration {
        match self {
            Self::Held { patience_over: false, .. } => GUARD_QUICK_RETRY,
            Self::Held { .. } => GUARD_RETRY,
            Self::NoRoom { .. } | Self::Base(_) => TROUBLE_RETRY,
        }
    }

    fn to_not_exported(&self) -> NotExported {
        match self {
            Self::Held { patience_over: false, .. } => NotExported::Preparing,
            Self::Held { .. } => NotExported::HeldByAnother,
            Self::NoRoom { .. } => NotExported::NoRoom,
            Self::Base(_) => NotExported::Unavailable,
        }
    }
}

pub(crate) fn run(config: &ExporterConfig, messages: &Receiver<Message>) {
    let mut keeper =
        Keeper { config, cameras: BTreeMap::new(), retired: Vec::new(), beat_at: Instant::now() + HEARTBEAT };
    loop {
        let wait = keeper.next_due().saturating_duration_since(Instant::now());
        let mut next = match messages.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut over = false;
        while let Some(message) = next {
            over |= matches!(message, Message::Shutdown);
            keeper.handle(message);
            next = messages.try_recv().ok();
        }
        if over {
            break;
        }
        keeper.round(Instant::now());
    }
    keeper.stop_all();
}

struct Keeper<'k> {
    config: &'k ExporterConfig,
    cameras: BTreeMap<CameraId, Managed>,
    /// Of all cameras, also of those that were unregistered.
    retired: Vec<(CameraId, Retired)>,
    beat_at: Instant,
}

/// One camera, as this thread knows it.
struct Managed {
    id: CameraId,
    shared: Arc<Shared>,
    pairs: Sender<Arc<Live>>,
    want: Option<(PictureFormat, Nv12)>,
    source: SourceState,
    period_ns: u64,
    guard: Option<Guard>,
    held_since: Option<Instant>,
    directory: Option<Directory>,
    pair: Option<Pair>,
    generation: u64,
    build_at: Instant,
    said: Option<Trouble>,
}

impl Keeper<'_> {
    fn handle(&mut self, message: Message) {
        match message {
            Message::Register { id, shared, pairs } => {
                let camera = Managed {
                    id,
                    shared,
                    pairs,
                    want: None,
                    source: SourceState::Live,
                    period_ns: 0,
                    guard: None,
                    held_since: None,
                    directory: None,
                    pair: None,
                    generation: 0,
                    build_at: Instant::now(),
                    said: None,
                };
                self.cameras.insert(id, camera);
            }
            Message::Want { id, format, picture } => {
                if let Some(camera) = self.cameras.get_mut(&id) {
                    camera.want = Some((format, picture));
                }
            }
            Message::SourceState { id, state } => {
                if let Some(camera) = self.cameras.get_mut(&id) {
                    camera.source = state;
                    if let Some(pair) = &camera.pair {
                        pair.set_state(camera.state());
                    }
                }
            }
            Message::FramePeriod { id, period_ns } => {
                if let Some(camera) = self.cameras.get_mut(&id) {
                    camera.period_ns = period_ns;
                    if let Some(pair) = &camera.pair {
                        pair.set_frame_period(period_ns);
                    }
                }
            }
            Message::Unregister { id, remove_directory, done } => {
                if let Some(mut camera) = self.cameras.remove(&id) {
                    self.stop(&mut camera);
                    if remove_directory {
                        self.remove_directory(&camera);
                    }
                }
                let _ = done.send(());
            }
            Message::Shutdown => {}
        }
    }

    fn next_due(&self) -> Instant {
        let builds =
            self.cameras.values().filter(|camera| camera.wants_build()).map(|camera| camera.build_at);
        builds.fold(self.beat_at, Instant::min)
    }

    fn round(&mut self, now: Instant) {
        if now >= self.beat_at {
            self.beat_at = now + HEARTBEAT;
            self.beat(now);
        }
        let mut cameras = std::mem::take(&mut self.cameras);
        for camera in cameras.values_mut() {
            if camera.wants_build() && now >= camera.build_at {
                self.build(camera, now);
            }
        }
        self.cameras = cameras;
    }

    fn beat(&mut self, now: Instant) {
        let now_ns = monotonic_ns();
        for camera in self.cameras.values_mut() {
            let Some(pair) = &camera.pair else {
                continue;
            };
            pair.set_heartbeat(now_ns);
            if camera.names_are_ours(self.config) {
                continue;
            }
            tracing::warn!(camera = %camera.id, "the camera's files were removed or replaced by somebody else; making new ones");
            if let Some(pair) = camera.pair.take() {
                retire(&mut self.retired, camera.id, pair, State::Stopped, now);
            }
            camera.directory = None;
            if !camera.guard_is_ours(self.config) {
                camera.guard = None;
            }
        }
        self.retired.retain_mut(|(_, retired)| retired.tend(now));
    }

    fn build(&mut self, camera: &mut Managed, now: Instant) {
        match self.try_build(camera, now) {
            Ok(()) => {
                camera.build_at = now + BUILD_INTERVAL;
                camera.said = None;
                camera.shared.condition.store(NotExported::Preparing.to_code(), Ordering::Relaxed);
            }
            Err(trouble) => {
                camera.build_at = now + trouble.retry();
                camera.shared.condition.store(trouble.to_not_exported().to_code(), Ordering::Relaxed);
                let said = camera.said.as_ref().is_some_and(|said| said.is_same_news(&trouble));
                if trouble.is_worth_saying() && !said {
                    tracing::error!(camera = %camera.id, "not exported: {trouble}");
                    camera.said = Some(trouble);
                }
            }
        }
    }

    fn try_build(&mut self, camera: &mut Managed, now: Instant) -> Result<(), Trouble> {
        let Some((format, picture)) = camera.want else {
            return Ok(());
        };
        let base = base::open_base(&self.config.base, self.config.group)?;
        let is_new_writer = camera.guard.is_none();
        if is_new_writer {
            let Some(guard) = Guard::acquire(&base, &camera.id)? else {
                let since = *camera.held_since.get_or_insert(now);
                let lock = base.path().join(Guard::name(&camera.id));
                return Err(Trouble::Held { lock, patience_over: now >= since + GUARD_PATIENCE });
            };
            camera.held_since = None;
            camera.guard = Some(guard);
        }
        let directory = base.camera(&camera.id)?;
        if is_new_writer && guard::remove_leftovers(&directory)? {
            tracing::info!(camera = %camera.id, "removed the files that an earlier server left behind");
        }
        // Rises even if two pairs are built within one tick of the clock.
        camera.generation = monotonic_ns().max(camera.generation + 1);
        let birth = Birth {
            format,
            picture,
            slots: self.config.slots,
            generation: camera.generation,
            state: camera.state(),
            heartbeat_ns: monotonic_ns(),
            frame_period_ns: camera.period_ns,
        };
        let pair = self.build_pair(camera, &directory, &birth, now)?;
        tracing::info!(
            camera = %camera.id,
            width = picture.width(),
            height = picture.height(),
            slots = self.config.slots.get(),
            shared_memory_bytes = PairSize::new(&picture, self.config.slots).total_bytes(),
            "exporting to {}",
            directory.path().display()
        );
        let live = Arc::clone(pair.live());
        if let Some(old) = camera.pair.replace(pair) {
            retire(&mut self.retired, camera.id, old, State::Replaced, now);
        }
        camera.directory = Some(directory);
        // A frame path that is gone will unregister in a moment.
        let _ = camera.pairs.send(live);
        Ok(())
    }

    /// Builds; where there is no room beside what is there, that goes first: retired pairs, then the camera's own old one.
    fn build_pair(
        &mut self,
        camera: &mut Managed,
        directory: &Directory,
        birth: &Birth,
        now: Instant,
    ) -> Result<Pair, Trouble> {
        let mut built = Pair::build(directory, birth);
        if matches!(built, Err(BuildError::NoRoom { .. })) && !self.retired.is_empty() {
            for (_, retired) in &mut self.retired {
                retired.empty();
            }
            built = Pair::build(directory, birth);
        }
        if matches!(built, Err(BuildError::NoRoom { .. })) {
            if let Some(old) = camera.pair.take() {
                let _ = old.unlink(directory);
                retire(&mut self.retired, camera.id, old, State::Stopped, now);
                if let Some((_, retired)) = self.retired.last_mut() {
                    retired.empty();
                }
                built = Pair::build(directory, birth);
            }
        }
        built.map_err(|error| match error {
            BuildError::NoRoom { need_bytes, free_bytes } => {
                Trouble::NoRoom { base: self.config.base.clone(), need_bytes, free_bytes }
            }
            BuildError::Base(error) => error.into(),
        })
    }

    /// Stops a camera: readers are told, names removed, the guard given back.
    fn stop(&mut self, camera: &mut Managed) {
        if let Some(pair) = camera.pair.take() {
            // The last words come before the names go: who finds no name any more knows why.
            pair.set_state(State::Stopped);
            if let Some(directory) = &camera.directory {
                if let Err(error) = pair.unlink(directory) {
                    tracing::warn!(camera = %camera.id, "the camera's files were not removed: {error}");
                }
            }
            retire(&mut self.retired, camera.id, pair, State::Stopped, Instant::now());
        }
        camera.shared.condition.store(NotExported::ShutDown.to_code(), Ordering::Relaxed);
        camera.guard = None;
    }

    fn remove_directory(&self, camera: &Managed) {
        let removed = base::open_base(&self.config.base, self.config.group)
            .and_then(|base| base.remove_camera(&camera.id));
        if let Err(error) = removed {
            tracing::warn!(camera = %camera.id, "the camera's directory was not removed: {error}");
        }
    }

    /// The end of the exporter. What is retired is emptied at once: nobody would do it later, and readers check what they read.
    fn stop_all(&mut self) {
        for (_, mut camera) in std::mem::take(&mut self.cameras) {
            self.stop(&mut camera);
        }
        let deadline = Instant::now() + 5 * EMPTY_RETRY;
        loop {
            self.retired.retain_mut(|(_, retired)| !retired.empty());
            if self.retired.is_empty() || Instant::now() >= deadline {
                break;
            }
            // A frame is being filled at this moment; that takes well under a millisecond unless its thread is stopped.
            std::thread::sleep(EMPTY_RETRY);
        }
    }
}

/// Puts a pair aside; those of the same camera that were put aside before are emptied at the next round, so that a camera
/// never has more than two pairs' worth of memory.
fn retire(retired: &mut Vec<(CameraId, Retired)>, id: CameraId, pair: Pair, last_words: State, now: Instant) {
    for (other, earlier) in retired.iter_mut() {
        if *other == id {
            earlier.hurry(now);
            earlier.empty();
        }
    }
    retired.push((id, pair.retire(last_words, now)));
}

impl Managed {
    fn wants_build(&self) -> bool {
        self.want
            .is_some_and(|(format, _)| self.pair.as_ref().is_none_or(|pair| pair.live().format() != format))
    }

    fn state(&self) -> State {
        match self.source {
            SourceState::Live => State::Live,
            SourceState::Stalled => State::Stalled,
        }
    }

    /// Whether both names and the guard's still lead to our files, by path from the top: the base directory itself may have
    /// been removed or replaced.
    fn names_are_ours(&self, config: &ExporterConfig) -> bool {
        let directory = config.base.join(self.id.as_str());
        let Some(pair) = &self.pair else {
            return false;
        };
        Identity::at(&directory.join(META_NAME)) == Some(pair.meta_identity())
            && Identity::at(&directory.join(DATA_NAME)) == Some(pair.data_identity())
            && self.guard_is_ours(config)
    }

    fn guard_is_ours(&self, config: &ExporterConfig) -> bool {
        let named = Identity::at(&config.base.join(Guard::name(&self.id)));
        self.guard.as_ref().is_some_and(|guard| named == Some(guard.identity()))
    }
}
