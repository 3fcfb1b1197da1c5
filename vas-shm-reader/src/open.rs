//! Opening a pair: ready, not there yet, or refused.

use crate::clock::monotonic_ns;
use crate::error::{Absent, OsError, Refused};
use crate::frame::Frame;
use crate::liveness::Observation;
use crate::map::{DataMap, MetaMap, RawNv12};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_proto::snapshot::{self, Snapshot};
use vas_shm_proto::words::{SnapshotWords, Word32, Word64};
use vas_shm_proto::{
    CameraId, DATA_NAME, Files, FrameId, Header, META_NAME, NotYet, Problem, State, StreamFlags,
};

/// How often an open looks (clause OPEN-10) when the two files were exchanged between one open and the other.
const PAIR_TRIES: usize = 8;

/// What a reader asks for beyond the camera.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    owner_uid: Option<u32>,
}

impl Options {
    /// No further wishes.
    #[must_use]
    pub const fn new() -> Self {
        Self { owner_uid: None }
    }

    /// Insists that both files belong to this user: a defence where others might plant a camera of their own.
    #[must_use]
    pub const fn owner_uid(mut self, uid: u32) -> Self {
        self.owner_uid = Some(uid);
        self
    }
}

/// The answer of an [`open`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "moved once, and a reader in a box would be in everybody's way")]
pub enum Opened {
    /// Mapped and checked.
    Ready(Reader),
    /// Not there yet, or there no more. Ask again, with at least 100 ms between tries.
    NotYet(Absent),
    /// There, and cannot be read. Ask again at most once a second.
    Refused(Refused),
}

/// What a look for a frame found.
#[derive(Debug)]
pub enum Found<'r> {
    /// No frame yet, or none after the one seen.
    NothingNew,
    /// A frame, by reference.
    Frame(Frame<'r>),
    /// The server overwrote each frame before it could be looked at, several times in a row: try again when it suits.
    Overrun,
}

/// One pair of files, mapped read-only: the frames of one camera until its geometry changes or its server stops.
///
/// Keeping a reader that was told stopped or replaced keeps the memory of a dead pair; drop it and open again.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// use vas_shm_reader::{Found, Opened, Options, open};
///
/// # let server = server::Server::start();
/// # let (base, camera) = (server.path(), vas_shm_reader::CameraId::new("front")?);
/// let Opened::Ready(reader) = open(base, &camera, &Options::new()) else {
///     return Err("not there".into());
/// };
/// let mut seen = None;
/// loop {
///     match reader.latest(seen) {
///         Found::Frame(frame) => {
///             seen = Some(frame.id());
///             println!("{:?}", frame.picture());
///             # break;
///         }
///         Found::NothingNew | Found::Overrun => std::thread::sleep(std::time::Duration::from_millis(1)),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    header: Header,
    meta: MetaMap,
    data: DataMap,
    meta_path: PathBuf,
    meta_identity: (u64, u64),
    // Loaded word by word from the mapping: the copy of the header was made by read(2), which promises no whole words.
    at_open: Observation,
    opened_at_ns: u64,
    /// What the header said last, once the files were let go of.
    last_words: OnceLock<Observation>,
    is_minded: AtomicBool,
}

/// Opens a camera's pair of files under a base directory (`/dev/shm/vas` unless the operator chose another).
///
/// Both files are opened `O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW`; the header is copied once and checked; the pair is
/// accepted only if the header names the very `frame.data` that was opened. Nothing here waits.
///
/// ```
/// # use std::path::Path;
/// use vas_shm_reader::{CameraId, Opened, Options, open};
///
/// match open(Path::new("/dev/shm/vas"), &CameraId::new("no-such-camera")?, &Options::new()) {
///     Opened::Ready(reader) => println!("{} slots", reader.header().slots().get()),
///     Opened::NotYet(why) => println!("{why}"), // ask again, after 100 ms or more
///     Opened::Refused(why) => eprintln!("{why}"),
/// }
/// # Ok::<(), vas_shm_reader::CameraIdError>(())
/// ```
#[must_use]
pub fn open(base: &Path, camera: &CameraId, options: &Options) -> Opened {
    let directory = base.join(camera.as_str());
    let mut mixed = None;
    for _ in 0..PAIR_TRIES {
        match try_open(&directory, options) {
            Ok(reader) => return Opened::Ready(reader),
            // The files were exchanged between the two opens, or while they were: look again.
            Err(Failure::NotYet(
                why @ Absent::Header { why: NotYet::MixedPair { .. } | NotYet::Replaced, .. },
            )) => {
                mixed = Some(why);
            }
            Err(Failure::NotYet(why)) => return Opened::NotYet(why),
            Err(Failure::Refused(why)) => return Opened::Refused(why),
        }
    }
    match mixed {
        Some(why) => Opened::NotYet(why),
        None => Opened::NotYet(Absent::NoFile { path: directory.join(META_NAME) }),
    }
}

/// The cameras that have a directory under `base`, sorted; whether each can be read is for [`open`] to say. Entries that are no
/// camera ids or no directories are passed over.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// # let server = server::Server::start();
/// # let base = server.path();
/// for camera in vas_shm_reader::cameras(base)? {
///     println!("{camera}");
/// }
/// # assert_eq!(vas_shm_reader::cameras(base)?, [vas_shm_reader::CameraId::new("front").unwrap()]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The base directory cannot be read.
pub fn cameras(base: &Path) -> std::io::Result<Vec<CameraId>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(base)? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| CameraId::new(name).ok());
        if let Some(id) = id {
            if entry.file_type()?.is_dir() {
                found.push(id);
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Reader {
    /// The constants of this pair, and the words as they stood at the open.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The newest frame, unless it is `seen`. One load when there is nothing new.
    ///
    /// The frame that stood there at the open is handed out only once something has changed since, the heartbeat or the frame:
    /// before that it may be the last picture of a server that died long ago ([`Reader::last_picture`] gives that one too).
    #[must_use]
    pub fn latest(&self, seen: Option<FrameId>) -> Found<'_> {
        self.current(snapshot::latest(&self.meta, self.header.slots(), seen))
    }

    /// The oldest frame after `seen` that still stands complete, for readers that want every frame; without `seen` the newest.
    /// The ids between `seen` and the answer were overwritten unseen. As [`Reader::latest`], nothing old counts as current.
    #[must_use]
    pub fn next(&self, seen: Option<FrameId>) -> Found<'_> {
        self.current(snapshot::next(&self.meta, self.header.slots(), seen))
    }

    /// One particular frame, if it still stands complete, from a live server or a dead one.
    #[must_use]
    pub fn at(&self, id: FrameId) -> Option<Frame<'_>> {
        snapshot::at(&self.meta, self.header.slots(), id).map(|snapshot| Frame::new(self, snapshot))
    }

    /// The newest picture there is, however old, even from a server that no longer lives. Look at its age.
    #[must_use]
    pub fn last_picture(&self) -> Option<Frame<'_>> {
        match snapshot::latest(&self.meta, self.header.slots(), None) {
            snapshot::Found::Frame(found) => Some(Frame::new(self, found)),
            snapshot::Found::NothingNew | snapshot::Found::Overrun => None,
        }
    }

    fn current(&self, found: snapshot::Found) -> Found<'_> {
        match found {
            snapshot::Found::Frame(found) if self.is_proven() => Found::Frame(Frame::new(self, found)),
            snapshot::Found::Frame(_) | snapshot::Found::NothingNew => Found::NothingNew,
            snapshot::Found::Overrun => Found::Overrun,
        }
    }

    /// Whether the server gave a sign of life after the open. Ids and heartbeats only rise, so "differs from what stood there at
    /// the open" never becomes false again.
    fn is_proven(&self) -> bool {
        self.meta.load_u64(Word64::FRAME_ID) != self.at_open.frame_id
            || self.meta.load_u64(Word64::HEARTBEAT_NS) != self.at_open.heartbeat_ns
    }

    /// What the header says at this moment, for [`crate::Liveness`].
    #[must_use]
    pub fn observe(&self) -> Observation {
        let now = observe(&self.meta);
        // Asked after the words: zeros that were read there are there because the last words were kept before.
        self.last_words.get().copied().unwrap_or(now)
    }

    /// Whether this pair's memory may go at any moment.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.observe().state, State::Stopped | State::Replaced)
    }

    /// True for the first who asks.
    pub(crate) fn is_minded_from_now_on(&self) -> bool {
        !self.is_minded.swap(true, Ordering::Relaxed)
    }

    /// What stood in the header at the open, for [`crate::Liveness`].
    #[must_use]
    pub fn observed_at_open(&self) -> Observation {
        self.at_open
    }

    /// When this pair was opened, CLOCK_MONOTONIC in nanoseconds.
    #[must_use]
    pub fn opened_at_ns(&self) -> u64 {
        self.opened_at_ns
    }

    /// The expected time between frames in nanoseconds, 0 = unknown.
    #[must_use]
    pub fn frame_period_ns(&self) -> u64 {
        self.meta.load_u64(Word64::FRAME_PERIOD_NS)
    }

    /// Whether the name `frame.meta` still is the file that this reader has mapped. One system call; worth it every 100 ms or
    /// so while nothing comes: a server that was killed cannot say "stopped".
    #[must_use]
    pub fn is_still_named(&self) -> bool {
        rustix::fs::lstat(&self.meta_path).is_ok_and(|stat| identity(&stat) == self.meta_identity)
    }

    pub(crate) fn raw(&self, snapshot: &Snapshot) -> RawNv12<'_> {
        let offset = self.header.slot_offset(snapshot.slot());
        // The checked header has every slot inside data_file_size, which is the length of the mapping.
        self.data.frame(offset, self.header.picture()).expect("a checked slot lies inside the mapping")
    }

    pub(crate) fn frame(&self, snapshot: Snapshot) -> Frame<'_> {
        Frame::new(self, snapshot)
    }

    /// Lets go of both files while frames of this pair are still held: their pixels become zeros, and none of them is intact any
    /// more. The header first: whoever has read a zero of the pixels finds the zero of the header too.
    ///
    /// If the kernel refuses (a limit of this process), the mappings stay as they are, and with them the memory of the pair: what the
    /// frames say stays true. From any thread, any number of times.
    pub(crate) fn let_go(&self) {
        let _ = self.last_words.set(observe(&self.meta));
        if self.meta.let_go().is_ok() {
            let _ = self.data.let_go();
        }
    }

    pub(crate) fn is_intact(&self, snapshot: &Snapshot) -> bool {
        snapshot::is_intact(&self.meta, snapshot)
    }
}

enum Failure {
    NotYet(Absent),
    Refused(Refused),
}

fn try_open(directory: &Path, options: &Options) -> Result<Reader, Failure> {
    let meta_path = directory.join(META_NAME);
    let data_path = directory.join(DATA_NAME);
    let (meta, meta_stat) = open_file(&meta_path, options)?;
    let (data, data_stat) = open_file(&data_path, options)?;
    let files = Files {
        meta_size_bytes: meta_stat.st_size as u64,
        data_size_bytes: data_stat.st_size as u64,
        data_inode: data_stat.st_ino,
    };
    let mut bytes = [0; HEADER_SIZE];
    let len = read_header(&meta, &mut bytes).map_err(|errno| io(&meta_path, "read")(errno))?;
    let header = Header::check(&bytes[..len], &files).map_err(|problem| match problem {
        Problem::NotYet(why) => Failure::NotYet(Absent::Header { path: meta_path.clone(), why }),
        Problem::Refused(why) => Failure::Refused(Refused::Header { path: meta_path.clone(), why }),
    })?;
    let map_failed = |path: &Path, error: std::io::Error| {
        let errno = OsError::of(&error);
        Failure::Refused(Refused::Io { call: "mmap", path: path.to_owned(), errno })
    };
    let meta_map = MetaMap::new(&meta).map_err(|error| map_failed(&meta_path, error))?;
    // Fits: it is at most the size of a file that exists, and usize has 64 bits on every supported target.
    let len = header.data_file_size() as usize;
    let data_map = DataMap::new(&data, len).map_err(|error| map_failed(&data_path, error))?;
    Ok(Reader {
        header,
        at_open: observe(&meta_map),
        meta: meta_map,
        data: data_map,
        meta_identity: identity(&meta_stat),
        meta_path,
        opened_at_ns: monotonic_ns(),
        last_words: OnceLock::new(),
        is_minded: AtomicBool::new(false),
    })
}

fn observe(meta: &MetaMap) -> Observation {
    Observation {
        state: State::from_word(meta.load_u32(Word32::STATE)),
        flags: StreamFlags(meta.load_u32(Word32::FLAGS)),
        heartbeat_ns: meta.load_u64(Word64::HEARTBEAT_NS),
        frame_id: meta.load_u64(Word64::FRAME_ID),
    }
}

fn open_file(path: &Path, options: &Options) -> Result<(File, Stat), Failure> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // The server probes for readers by a lease; an open in that microsecond gets EAGAIN.
    let mut opened = rustix::fs::open(path, flags, Mode::empty());
    if matches!(opened, Err(Errno::AGAIN)) {
        opened = rustix::fs::open(path, flags, Mode::empty());
    }
    let fd = opened.map_err(|errno| match errno {
        Errno::NOENT => Failure::NotYet(Absent::NoFile { path: path.to_owned() }),
        Errno::AGAIN => Failure::NotYet(Absent::Busy { path: path.to_owned() }),
        Errno::LOOP => {
            Failure::Refused(Refused::NotRegular { path: path.to_owned(), found: "symbolic link" })
        }
        Errno::NXIO => Failure::Refused(Refused::NotRegular { path: path.to_owned(), found: "socket" }),
        Errno::ACCESS => Failure::Refused(access_denied(path)),
        errno => io(path, "open")(errno),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| io(path, "fstat")(errno))?;
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("directory"),
        FileType::Fifo => Some("FIFO"),
        FileType::Symlink => Some("symbolic link"),
        FileType::Socket => Some("socket"),
        _ => Some("device"),
    };
    if let Some(found) = found {
        return Err(Failure::Refused(Refused::NotRegular { path: path.to_owned(), found }));
    }
    if let Some(wanted) = options.owner_uid {
        if stat.st_uid != wanted {
            return Err(Failure::Refused(Refused::Owner {
                path: path.to_owned(),
                found: stat.st_uid,
                wanted,
            }));
        }
    }
    Ok((File::from(fd), stat))
}

/// Names the file or directory that lets nobody in: the last one on the way that can be looked at.
fn access_denied(path: &Path) -> Refused {
    for at in path.ancestors() {
        if let Ok(stat) = rustix::fs::stat(at) {
            let mode = stat.st_mode & 0o7777;
            return Refused::Access {
                path: path.to_owned(),
                at: at.to_owned(),
                uid: stat.st_uid,
                gid: stat.st_gid,
                mode,
            };
        }
    }
    Refused::Io { call: "open", path: path.to_owned(), errno: OsError::of_errno(Errno::ACCESS) }
}

fn io(path: &Path, call: &'static str) -> impl FnOnce(Errno) -> Failure {
    let path = path.to_owned();
    move |errno| Failure::Refused(Refused::Io { call, path, errno: OsError::of_errno(errno) })
}

/// Copies the header out through the descriptor: one copy, checked and used as a copy.
fn read_header(meta: &File, bytes: &mut [u8; HEADER_SIZE]) -> Result<usize, Errno> {
    let mut len = 0;
    while len < bytes.len() {
        match rustix::io::pread(meta, &mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
