//! The library's one thread: builds pairs, lets hearts beat, replaces, retires, looks after names.
//!
//! Everything that can take time or fail happens here, so that the frame path does neither; all that it asks the kernel is whether
//! anybody is there, while nobody was. The two speak through small mailboxes ([`Shared`]) that the frame path only ever tries. This
//! thread stores the heartbeat and the end of a pair; the frame path stores the slot words, the publish word and the flag "idle"; the
//! state and the frame period are stored by both ([`Live::tell`]).

use crate::base::{self, Directory, Identity};
use crate::clock::monotonic_ns;
use crate::error::{BaseError, NotExported, OsError};
use crate::exporter::{ExportWhen, ExporterConfig, Heartbeat, SourceState};
use crate::frame::PictureFormat;
use crate::guard::{self, Guard};
use crate::pair::{Birth, BuildError, Live, Pair, Retired};
use crate::room::{Have, Shortage};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vas_shm_proto::{CameraId, DATA_NAME, META_NAME, Nv12, PairSize, State};

/// Readers are promised one a second; this leaves room for a busy host.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A caller that was to let hearts beat and has not for this long is taken for gone by readers (PROTOCOL.md, LIVE-3).
const BEAT_PATIENCE_NS: u64 = 3_000_000_000;
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
/// Between two looks whether readers have let go of a pair that is over and whose memory is wanted.
const READERS_QUICK_RETRY: Duration = Duration::from_millis(20);
/// And once that has taken long: each look of each camera asks for all retired pairs.
const READERS_RETRY: Duration = Duration::from_millis(200);
/// For this long nothing is said of such a wait: a reader that works on a frame finishes it first.
const READERS_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether the readers of an attached camera are still there. (One that is idle is looked at with each frame.)
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long the end of the exporter waits for readers, and for a slot that is being filled.
const STOP_PATIENCE: Duration = Duration::from_millis(500);
/// Retired pairs of one camera that are watched for readers which fill their holes again (docs/decisions/0001). One descriptor
/// each.
const WATCHED_PAIRS: usize = 16;

/// What the frame path asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) format: PictureFormat,
    pub(crate) picture: Nv12,
}

/// Where the frame path and this thread meet. The frame path never waits here: it tries, and tries again with its next frame.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Why frames are not exported while there is no pair for them: a [`NotExported`] code.
    pub(crate) condition: AtomicU8,
    /// The expected time between frames, 0 = unknown.
    pub(crate) period_ns: AtomicU64,
    is_stalled: AtomicBool,
    /// Whether the frame path exports because somebody is attached; stored by it alone.
    is_attached: AtomicBool,
    /// Whether anybody was attached when last asked, for [`crate::CameraMonitor`]; stored by both.
    is_watched: AtomicBool,
    /// What the camera's files take of the file system, those among them that are over and not given back yet.
    file_bytes: AtomicU64,
    /// This thread found nobody attached; the frame path takes it.
    is_deserted: AtomicBool,
    /// Why the kernel does not say whether anybody is there, 0 = it does; stored by the frame path, once.
    no_leases_errno: AtomicI32,
    want: Mutex<Option<Want>>,
    pair: Mutex<Option<Arc<Live>>>,
    has_pair: AtomicBool,
}

impl Shared {
    /// The frame path asks for a pair. `false`: not now.
    pub(crate) fn ask(&self, want: Want) -> bool {
        self.want.try_lock().is_ok_and(|mut asked| {
            *asked = Some(want);
            true
        })
    }

    fn wanted(&self) -> Option<Want> {
        *self.want.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a pair where the frame path finds it.
    fn give_pair(&self, live: &Arc<Live>) {
        let mut pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
        *pair = Some(Arc::clone(live));
        self.has_pair.store(true, Ordering::Release);
    }

    /// The frame path looks for a pair: one load unless there is one.
    pub(crate) fn take_pair(&self) -> Option<Arc<Live>> {
        if !self.has_pair.load(Ordering::Acquire) {
            return None;
        }
        let mut pair = self.pair.try_lock().ok()?;
        self.has_pair.store(false, Ordering::Relaxed);
        pair.take()
    }

    pub(crate) fn set_source(&self, source: SourceState) {
        self.is_stalled.store(source == SourceState::Stalled, Ordering::Relaxed);
    }

    /// The frame path says whether it exports because somebody is attached.
    pub(crate) fn set_attached(&self, is_attached: bool) {
        self.is_attached.store(is_attached, Ordering::Relaxed);
        self.is_watched.store(is_attached, Ordering::Relaxed);
    }

    /// Whether anybody was attached when last asked.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// What the camera's files took at the last heartbeat.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Ordering::Relaxed)
    }

    /// This thread found nobody attached.
    pub(crate) fn set_deserted(&self, is_deserted: bool) {
        self.is_deserted.store(is_deserted, Ordering::Relaxed);
    }

    /// The frame path asks whether its readers seem to have gone.
    pub(crate) fn take_deserted(&self) -> bool {
        // Looked at first: a frame path whose readers stay stores nothing here.
        self.is_deserted.load(Ordering::Relaxed) && self.is_deserted.swap(false, Ordering::Relaxed)
    }

    /// The frame path was told that there are no leases.
    pub(crate) fn set_no_leases(&self, errno: OsError) {
        self.no_leases_errno.store(errno.code(), Ordering::Relaxed);
    }

    fn take_no_leases(&self) -> Option<OsError> {
        let errno = self.no_leases_errno.swap(0, Ordering::Relaxed);
        (errno != 0).then(|| OsError::of_code(errno))
    }

    pub(crate) fn source(&self) -> SourceState {
        if self.is_stalled.load(Ordering::Relaxed) { SourceState::Stalled } else { SourceState::Live }
    }
}

/// What this thread is told, off the frame path.
#[derive(Debug)]
pub(crate) enum Message {
    Register { id: CameraId, shared: Arc<Shared> },
    Unregister { id: CameraId, remove_directory: bool, done: Sender<()> },
    Shutdown,
}

/// What stands between a camera and its pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("another process exports this camera ({} is locked); trying again every second", .lock.display())]
    Held { lock: PathBuf, patience_over: bool },
    #[error("no room in {}: {shortage}; the camera goes on, its export is tried again every 3 seconds", .base.display())]
    NoRoom { base: PathBuf, shortage: Shortage },
    /// The memory of an earlier pair is needed first.
    #[error(
        "no room beside files that were replaced or stopped and that a reader still has open; new ones are made once it closes them, at the latest 10 seconds after their end"
    )]
    Readers { patience_over: bool },
    #[error("{0}; trying again every 3 seconds")]
    Base(#[from] BaseError),
}

impl Trouble {
    /// Whether this has been said when `other` has. Free space that changes a little is no news.
    fn is_same_news(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Held { .. }, Self::Held { .. }) | (Self::Readers { .. }, Self::Readers { .. }) => true,
            (Self::NoRoom { shortage: a, .. }, Self::NoRoom { shortage: b, .. }) => a.is_same_news(b),
            (Self::Base(a), Self::Base(b)) => a == b,
            _ => false,
        }
    }

    fn is_worth_saying(&self) -> bool {
        !matches!(self, Self::Held { patience_over: false, .. } | Self::Readers { patience_over: false })
    }

    fn retry(&self) -> Duration {
        match self {
            Self::Held { patience_over: false, .. } => GUARD_QUICK_RETRY,
            Self::Held { .. } => GUARD_RETRY,
            Self::Readers { patience_over: false } => READERS_QUICK_RETRY,
            Self::Readers { .. } => READERS_RETRY,
            Self::NoRoom { .. } | Self::Base(_) => TROUBLE_RETRY,
        }
    }

    fn to_not_exported(&self) -> NotExported {
        match self {
            Self::Held { patience_over: false, .. } | Self::Readers { .. } => NotExported::Preparing,
            Self::Held { .. } => NotExported::HeldByAnother,
            Self::NoRoom { .. } | Self::Base(BaseError::NoInodes { .. }) => NotExported::NoRoom,
            Self::Base(_) => NotExported::Unavailable,
        }
    }
}

/// Runs until the exporter shuts down. `retired`: what killed servers left and readers still have open.
/// `beat_ns`: when the caller last said that it is alive.
pub(crate) fn run(
    config: &ExporterConfig,
    messages: &Receiver<Message>,
    retired: Vec<(CameraId, Retired)>,
    beat_ns: &AtomicU64,
) {
    let mut keeper = Keeper::new(config, retired, beat_ns);
    loop {
        match messages.try_recv() {
            Ok(Message::Register { id, shared }) => keeper.register(id, shared),
            Ok(Message::Unregister { id, remove_directory, done }) => {
                keeper.unregister(id, remove_directory);
                let _ = done.send(());
            }
            Ok(Message::Shutdown) | Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                keeper.build_what_is_wanted();
                let due = keeper.next_due();
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
        }
        keeper.beat_if_due();
    }
    keeper.stop_all();
}

struct Keeper<'k> {
    config: &'k ExporterConfig,
    cameras: BTreeMap<CameraId, Managed>,
    /// Of all cameras, also of those that were unregistered.
    retired: Vec<(CameraId, Retired)>,
    beat_at: Instant,
    /// When the caller last said that it is alive, CLOCK_MONOTONIC.
    beat_ns: &'k AtomicU64,
    /// Whether the log has been told that it does so no more.
    is_silence_said: bool,
}

/// One camera, as this thread knows it.
struct Managed {
    id: CameraId,
    shared: Arc<Shared>,
    guard: Option<Guard>,
    held_since: Option<Instant>,
    readers_since: Option<Instant>,
    directory: Option<Directory>,
    pair: Option<Pair>,
    generation: u64,
    build_at: Instant,
    /// When to look whether readers are still there; moved on while nobody is.
    probe_at: Instant,
    said: Option<Trouble>,
}

impl<'k> Keeper<'k> {
    fn new(config: &'k ExporterConfig, retired: Vec<(CameraId, Retired)>, beat_ns: &'k AtomicU64) -> Self {
        Self {
            config,
            cameras: BTreeMap::new(),
            retired,
            beat_at: Instant::now() + HEARTBEAT,
            beat_ns,
            is_silence_said: false,
        }
    }

    fn register(&mut self, id: CameraId, shared: Arc<Shared>) {
        let camera = Managed {
            id,
            shared,
            guard: None,
            held_since: None,
            readers_since: None,
            directory: None,
            pair: None,
            generation: 0,
            build_at: Instant::now(),
            probe_at: Instant::now(),
            said: None,
        };
        self.cameras.insert(id, camera);
    }

    fn unregister(&mut self, id: CameraId, remove_directory: bool) {
        if let Some(mut camera) = self.cameras.remove(&id) {
            self.stop(&mut camera);
            if remove_directory {
                self.remove_directory(&camera);
            }
        }
    }

    fn next_due(&self) -> Instant {
        let builds = self
            .cameras
            .values()
            .filter(|camera| camera.wants_build().is_some())
            .map(|camera| camera.build_at);
        builds.fold(self.beat_at, Instant::min)
    }

    fn build_what_is_wanted(&mut self) {
        let ids: Vec<CameraId> = self.cameras.keys().copied().collect();
        for id in ids {
            let now = Instant::now();
            let Some(mut camera) = self.cameras.remove(&id) else {
                continue;
            };
            match camera.wants_build() {
                Some(want) if now >= camera.build_at => self.build(&mut camera, want, now),
                Some(_) => {}
                // A wait that ended because the picture is as before again says nothing of the next one.
                None => camera.readers_since = None,
            }
            self.cameras.insert(id, camera);
            // Many cameras may start at once, and making the files of each takes a while.
            self.beat_if_due();
        }
    }

    fn beat_if_due(&mut self) {
        let now = Instant::now();
        if now < self.beat_at {
            return;
        }
        self.beat_at = now + HEARTBEAT;
        self.listen();
        let mut cameras = std::mem::take(&mut self.cameras);
        for camera in cameras.values_mut() {
            self.beat(camera, now);
        }
        self.cameras = cameras;
        self.retired.retain_mut(|(_, retired)| retired.tend(now));
        for camera in self.cameras.values() {
            camera.shared.file_bytes.store(self.file_bytes(camera), Ordering::Relaxed);
        }
    }

    /// What a camera's files take of the file system.
    fn file_bytes(&self, camera: &Managed) -> u64 {
        let pair_bytes = camera
            .pair
            .as_ref()
            .map_or(0, |pair| PairSize::new(pair.live().picture(), pair.live().slots()).total_bytes());
        let of_camera = self.retired.iter().filter(|(id, _)| *id == camera.id);
        of_camera.fold(pair_bytes, |sum, (_, retired)| sum + retired.kept_bytes())
    }

    /// What readers are told of the server's heart.
    fn heartbeat_ns(&self) -> u64 {
        match self.config.heartbeat {
            Heartbeat::Thread => monotonic_ns(),
            Heartbeat::Caller => self.beat_ns.load(Ordering::Relaxed),
        }
    }

    /// Says when a caller that was to let hearts beat does so no more, and when it does again.
    fn listen(&mut self) {
        if self.config.heartbeat == Heartbeat::Thread {
            return;
        }
        let silence_ns = monotonic_ns().saturating_sub(self.heartbeat_ns());
        let is_silent = silence_ns > BEAT_PATIENCE_NS;
        if is_silent != std::mem::replace(&mut self.is_silence_said, is_silent) {
            if is_silent {
                tracing::warn!(
                    "the program has not said for 3 seconds that it is alive (Exporter::beat); readers of cameras without new frames take it for gone"
                );
            } else {
                tracing::info!("the program says again that it is alive");
            }
        }
    }

    fn beat(&mut self, camera: &mut Managed, now: Instant) {
        let Some(pair) = &camera.pair else {
            return;
        };
        pair.set_heartbeat(self.heartbeat_ns());
        if let Some(errno) = camera.shared.take_no_leases() {
            tracing::warn!(camera = %camera.id, "the kernel does not say whether anybody has the files open ({errno}); frames are exported all the time");
        }
        // The frame path tells these itself; this is for a pair that it has not taken over yet, and for a state that another
        // thread found.
        pair.live().tell(camera.shared.source().to_state());
        pair.live().tell_frame_period(camera.shared.period_ns.load(Ordering::Relaxed));
        if !camera.shared.is_attached.load(Ordering::Relaxed) {
            camera.probe_at = now + PROBE_INTERVAL;
        } else if now >= camera.probe_at {
            camera.probe_at = now + PROBE_INTERVAL;
            let is_deserted = pair.live().has_readers() == Ok(false);
            camera.shared.set_deserted(is_deserted);
            camera.shared.is_watched.store(!is_deserted, Ordering::Relaxed);
        }
        if camera.names_are_ours(self.config) {
            return;
        }
        tracing::warn!(camera = %camera.id, "the camera's files were removed or replaced by somebody else; making new ones");
        if let Some(pair) = camera.pair.take() {
            pair.live().tell(State::Stopped);
            if let Some(directory) = &camera.directory {
                // Whatever name still is ours; the directory itself may be gone.
                let _ = pair.unlink(directory);
            }
            self.retire(camera.id, pair, State::Stopped, now);
        }
        camera.directory = None;
    }

    fn build(&mut self, camera: &mut Managed, want: Want, now: Instant) {
        match self.try_build(camera, want, now) {
            Ok(()) => {
                camera.build_at = now + BUILD_INTERVAL;
                camera.said = None;
                camera.shared.condition.store(NotExported::Preparing.to_code(), Ordering::Relaxed);
            }
            Err(trouble) => {
                if !matches!(trouble, Trouble::Readers { .. }) {
                    camera.readers_since = None;
                }
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

    fn try_build(&mut self, camera: &mut Managed, want: Want, now: Instant) -> Result<(), Trouble> {
        let Want { format, picture } = want;
        let base = base::open_base(&self.config.base, self.config.group)?;
        if !camera.guard_is_ours(self.config) {
            // Its name was taken away: whoever takes the name next is the writer.
            camera.guard = None;
        }
        let new_guard = match camera.guard {
            Some(_) => None,
            None => match Guard::acquire(&base, &camera.id)? {
                Some(guard) => Some(guard),
                None => {
                    let since = *camera.held_since.get_or_insert(now);
                    let lock = base.path().join(Guard::name(&camera.id));
                    return Err(Trouble::Held { lock, patience_over: now >= since + GUARD_PATIENCE });
                }
            },
        };
        camera.held_since = None;
        let directory = base.camera(&camera.id)?;
        if let Some(guard) = new_guard {
            if let Some(leftovers) = guard::remove_leftovers(&directory, &guard)? {
                tracing::info!(camera = %camera.id, "removed the files that an earlier server left behind");
                self.retired.extend(leftovers.pair.map(|pair| (camera.id, pair)));
            }
            camera.guard = Some(guard);
        }
        // Rises even if two pairs are built within one tick of the clock.
        camera.generation = monotonic_ns().max(camera.generation + 1);
        let birth = Birth {
            format,
            picture,
            slots: self.config.slots,
            generation: camera.generation,
            state: camera.shared.source().to_state(),
            heartbeat_ns: self.heartbeat_ns(),
            frame_period_ns: camera.shared.period_ns.load(Ordering::Relaxed),
            // A successor's readers are those of its predecessor, who are about to open it.
            is_idle: self.config.when == ExportWhen::Attached
                && !camera.shared.is_attached.load(Ordering::Relaxed),
        };
        let size = PairSize::new(&birth.picture, birth.slots);
        if !self.is_second_pair_at_most(
            camera,
            size.total_bytes() <= directory.room()?.file_system.free_bytes,
            now,
        ) {
            return Err(camera.wait_for_readers(now));
        }
        let pair = self.build_pair(camera, &directory, &birth, now)?;
        camera.readers_since = None;
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
            self.retire(camera.id, old, State::Replaced, now);
        }
        camera.directory = Some(directory);
        camera.shared.give_pair(&live);
        Ok(())
    }

    /// Builds; where there is no room beside what is there, that goes first: retired pairs, the camera's own old one, and what
    /// readers made of pairs that were given back.
    fn build_pair(
        &mut self,
        camera: &mut Managed,
        directory: &Directory,
        birth: &Birth,
        now: Instant,
    ) -> Result<Pair, Trouble> {
        let has_no_room = |built: &Result<_, _>| matches!(built, Err(BuildError::NoRoom(_)));
        let mut built = Pair::build(directory, birth);
        if has_no_room(&built) && self.take_back(|retired| !retired.is_empty() && retired.release(now)) {
            built = Pair::build(directory, birth);
        }
        if has_no_room(&built) {
            if let Some(old) = camera.pair.take() {
                old.live().tell(State::Stopped);
                let _ = old.unlink(directory);
                self.retire(camera.id, old, State::Stopped, now);
                self.take_back(|retired| !retired.is_empty() && retired.release(now));
                built = Pair::build(directory, birth);
            }
        }
        // What readers made of pairs that were given back is charged to them, so only a file system gets room by that; and for
        // nothing less is a reader cut off.
        let is_full = |built: &Result<_, _>| {
            matches!(built, Err(BuildError::NoRoom(Shortage { have: Have::FileSystem(_), .. })))
        };
        if is_full(&built) && self.take_back(Retired::take_refill_back) {
            built = Pair::build(directory, birth);
        }
        if is_full(&built) && self.take_back(Retired::cut_refill_off) {
            built = Pair::build(directory, birth);
        }
        built.map_err(|error| match error {
            BuildError::NoRoom(shortage) => {
                let kept_bytes: u64 = self.retired.iter().map(|(_, retired)| retired.kept_bytes()).sum();
                if kept_bytes > 0 && shortage.need_bytes <= shortage.spare_bytes().saturating_add(kept_bytes)
                {
                    return camera.wait_for_readers(now);
                }
                Trouble::NoRoom { base: self.config.base.clone(), shortage }
            }
            BuildError::Base(error) => error.into(),
        })
    }

    /// Stops a camera: readers are told, names removed.
    fn stop(&mut self, camera: &mut Managed) {
        if let Some(pair) = camera.pair.take() {
            // The last words come before the names go: who finds no name any more knows why.
            pair.live().tell(State::Stopped);
            if let Some(directory) = &camera.directory {
                if let Err(error) = pair.unlink(directory) {
                    tracing::warn!(camera = %camera.id, "the camera's files were not removed: {error}");
                }
            }
            self.retire(camera.id, pair, State::Stopped, Instant::now());
        }
        camera.shared.condition.store(NotExported::ShutDown.to_code(), Ordering::Relaxed);
    }

    /// Only the camera's writer may do this; another server may just be starting with it.
    fn remove_directory(&self, camera: &Managed) {
        if !camera.guard_is_ours(self.config) {
            return;
        }
        let removed = base::open_base(&self.config.base, self.config.group)
            .and_then(|base| base.remove_camera(&camera.id));
        if let Err(error) = removed {
            tracing::warn!(camera = %camera.id, "the camera's directory was not removed: {error}");
        }
    }

    /// Puts a pair aside.
    fn retire(&mut self, id: CameraId, pair: Pair, last_words: State, now: Instant) {
        self.retired.push((id, pair.retire(last_words, now)));
        let watched = self.retired.iter().filter(|(other, _)| *other == id).count();
        if watched > WATCHED_PAIRS {
            let oldest = self.retired.iter().position(|(other, pair)| *other == id && pair.is_empty());
            if let Some(oldest) = oldest {
                self.retired.remove(oldest);
                tracing::warn!(camera = %id, "a reader keeps {WATCHED_PAIRS} replaced pairs mapped; the oldest is no longer watched");
            }
        }
    }

    /// Sees to it that another pair of a camera is the second one that takes memory. `false`: not yet, because of readers.
    ///
    /// `has_room`: the new pair fits without what the old ones give back. Then they may go at once, oldest first: should a reader
    /// be at work on one, there is room for the zeros that it finds. Without that it would be ended by SIGBUS, so it gets its time.
    fn is_second_pair_at_most(&mut self, camera: &Managed, has_room: bool, now: Instant) -> bool {
        let mut others = usize::from(camera.pair.is_some());
        // The youngest first: of those that have to be counted, it is the one to stay.
        for (_, retired) in self.retired.iter_mut().rev().filter(|(id, _)| *id == camera.id) {
            let is_given_back = retired.release(now) || (others > 0 && has_room && retired.empty());
            others += usize::from(!is_given_back);
        }
        others <= 1
    }

    /// Takes memory back from all cameras' retired pairs: whether there is more room than before.
    fn take_back(&mut self, how: impl Fn(&mut Retired) -> bool) -> bool {
        // All of them, not only until the first that had some.
        self.retired.iter_mut().fold(false, |has_more, (_, retired)| how(retired) || has_more)
    }

    /// The end of the exporter. Nobody would give back later what is retired, so readers get a shorter time than usual.
    fn stop_all(&mut self) {
        for (_, mut camera) in std::mem::take(&mut self.cameras) {
            self.stop(&mut camera);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        loop {
            let now = Instant::now();
            self.retired.retain_mut(|(_, retired)| !retired.release(now));
            if self.retired.is_empty() || now >= deadline {
                break;
            }
            std::thread::sleep(READERS_QUICK_RETRY);
        }
        for (_, retired) in &mut self.retired {
            // One that a stopped thread is just filling stays as it is.
            retired.empty();
        }
    }
}

impl Managed {
    fn wait_for_readers(&mut self, now: Instant) -> Trouble {
        let since = *self.readers_since.get_or_insert(now);
        Trouble::Readers { patience_over: now >= since + READERS_PATIENCE }
    }

    fn wants_build(&self) -> Option<Want> {
        let want = self.shared.wanted()?;
        self.pair.as_ref().is_none_or(|pair| pair.live().format() != want.format).then_some(want)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PictureFormat;
    use vas_shm_proto::Color;

    #[test]
    fn a_wait_for_readers_that_is_over_does_not_make_the_next_one_count_as_long() {
        let front = CameraId::new("front").unwrap();
        let config = ExporterConfig::new("/nowhere/at/all");
        let shared = Arc::new(Shared::default());
        let now = Instant::now();
        let beat_ns = AtomicU64::new(0);
        let mut keeper = Keeper::new(&config, Vec::new(), &beat_ns);
        keeper.register(front, Arc::clone(&shared));
        let is_long = |keeper: &mut Keeper<'_>, now| {
            let trouble = keeper.cameras.get_mut(&front).unwrap().wait_for_readers(now);
            trouble == Trouble::Readers { patience_over: true }
        };
        assert!(!is_long(&mut keeper, now));
        assert!(is_long(&mut keeper, now + READERS_PATIENCE));
        // The picture is as before again, so nothing is wanted.
        keeper.build_what_is_wanted();
        assert!(!is_long(&mut keeper, now + 2 * READERS_PATIENCE));
        // Something else is in the way, readers no more.
        let format = PictureFormat::new(64, 48, Color::UNSPECIFIED);
        assert!(shared.ask(Want { format, picture: Nv12::for_picture(64, 48).unwrap() }));
        keeper.build_what_is_wanted();
        assert!(!is_long(&mut keeper, now + 4 * READERS_PATIENCE));
    }

    /// Decision 1: one descriptor each, and no more of them than this.
    #[test]
    fn retired_pairs_that_readers_keep_for_ever_are_watched_up_to_a_number() {
        let folder = tempfile::tempdir_in(vas_test_support::shared_memory()).unwrap();
        let base = folder.path().join("vas");
        let (front, config) = (CameraId::new("front").unwrap(), ExporterConfig::new(&base));
        let directory = base::open_base(&base, None).unwrap().camera(&front).unwrap();
        let now = Instant::now();
        let beat_ns = AtomicU64::new(0);
        let mut keeper = Keeper::new(&config, Vec::new(), &beat_ns);
        let mut readers = Vec::new();
        for generation in 1..=WATCHED_PAIRS as u64 + 3 {
            let birth = Birth {
                format: PictureFormat::new(16, 16, Color::UNSPECIFIED),
                picture: Nv12::for_picture(16, 16).unwrap(),
                slots: vas_shm_proto::SlotCount::DEFAULT,
                generation,
                state: State::Live,
                heartbeat_ns: 1,
                frame_period_ns: 0,
                is_idle: false,
            };
            let pair = Pair::build(&directory, &birth).unwrap();
            readers.push(std::fs::File::open(directory.path().join(DATA_NAME)).unwrap());
            keeper.retire(front, pair, State::Replaced, now);
            // As it is ten seconds later.
            for (_, retired) in &mut keeper.retired {
                assert!(retired.empty());
            }
            assert!(keeper.retired.len() <= WATCHED_PAIRS);
        }
        assert_eq!(keeper.retired.len(), WATCHED_PAIRS);
        drop(readers);
        // A child that another test is just starting has copies of them until it is its own program.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !keeper.retired.is_empty() {
            assert!(Instant::now() < deadline, "and none is watched once its readers have gone");
            keeper.retired.retain_mut(|(_, retired)| retired.tend(now));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn that_nobody_was_found_is_asked_about_once() {
        let shared = Shared::default();
        shared.set_deserted(true);
        assert!(shared.take_deserted());
        assert!(!shared.take_deserted(), "else each frame would ask the kernel until the next look");
    }

    #[test]
    fn a_wait_for_readers_that_lasts_is_looked_at_less_often() {
        let quick = Trouble::Readers { patience_over: false }.retry();
        assert!(Trouble::Readers { patience_over: true }.retry() >= 5 * quick);
    }
}
