//! What the tests of this crate share. A reader is no part of them: files are looked at as bytes, as a stranger would.
#![allow(unreachable_pub, reason = "pub means: for the test file beside it")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};
use vas_shm_proto::header::{Files, Header};
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, Stamp,
};

/// How long dropping a camera waits for its files' end: the constant of this name in src/exporter.rs.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A base directory of one test, on the host's tmpfs, removed with everything in it.
pub struct Base(pub PathBuf);

impl Base {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vas-test-writer-{}-{number:04}", std::process::id());
        Self(vas_test_support::shared_memory().join(name))
    }

    pub fn start(&self) -> Exporter {
        let config = ExporterConfig::new(&self.0).when(ExportWhen::Always);
        Exporter::start(config).expect("the exporter starts")
    }

    /// The files of a camera that was dropped are gone when that returns, unless it took all the time that it is given for it.
    pub fn await_end(&self, camera: &str, since: Instant) {
        if since.elapsed() >= STOP_TIMEOUT {
            let is_gone = || !self.meta(camera).exists() && !self.data(camera).exists();
            until("the files go", || is_gone().then_some(()));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn meta(&self, camera: &str) -> PathBuf {
        self.0.join(camera).join("frame.meta")
    }

    pub fn data(&self, camera: &str) -> PathBuf {
        self.0.join(camera).join("frame.data")
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn id(text: &str) -> CameraId {
    CameraId::new(text).expect("a camera id")
}

pub const SMALL: PictureFormat = PictureFormat::new(64, 48, Color::UNSPECIFIED);
pub const OTHER: PictureFormat = PictureFormat::new(32, 24, Color::UNSPECIFIED);

/// Waits for a state, not for a time; the deadline is far beyond what a loaded machine needs.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Publishes one frame whose bytes are all `value`; waits until there are files for the format.
pub fn publish(camera: &mut Camera, format: PictureFormat, value: u8) -> u64 {
    let (width, height) = (format.width as usize, format.height as usize);
    let luma = vec![value; width * height];
    let chroma_row = 2 * width.div_ceil(2);
    let chroma = vec![value; chroma_row * height.div_ceil(2)];
    until("a slot", || match camera.slot(format) {
        Ok(mut slot) => {
            slot.write_nv12(Plane::new(&luma, width), Plane::new(&chroma, chroma_row))
                .expect("the planes fit");
            Some(slot.publish(Stamp::now()).get())
        }
        Err(NotExported::Preparing) => None,
        Err(other) => panic!("not exported: {other}"),
    })
}

/// The header as it stands in an open file.
pub fn header_of(meta: &File, data: &File) -> Result<Header, vas_shm_proto::Problem> {
    let mut bytes = [0; HEADER_SIZE];
    meta.read_exact_at(&mut bytes, 0).expect("frame.meta has a header");
    let (meta, data) = (meta.metadata().expect("fstat"), data.metadata().expect("fstat"));
    let files = Files { meta_size_bytes: meta.len(), data_size_bytes: data.len(), data_inode: data.ino() };
    Header::check(&bytes, &files)
}

pub fn open(path: &Path) -> File {
    OpenOptions::new().read(true).open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Looks at a file without having it open, as far as the kernel is concerned: nobody takes this for a reader.
pub fn look(path: &Path) -> File {
    let flags = rustix::fs::OFlags::PATH.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path).expect("a file to look at")
}

pub fn word_u64(meta: &File, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    meta.read_exact_at(&mut bytes, offset).expect("a word");
    u64::from_le_bytes(bytes)
}

pub fn word_u32(meta: &File, offset: u64) -> u32 {
    let mut bytes = [0; 4];
    meta.read_exact_at(&mut bytes, offset).expect("a word");
    u32::from_le_bytes(bytes)
}

pub const STATE: u64 = 56;
pub const FRAME_ID: u64 = 8;
pub const DATA_INODE: u64 = 88;
pub const HEARTBEAT: u64 = 104;
pub const SLOT_TABLE: u64 = 256;
pub const LIVE: u32 = 1;
pub const STALLED: u32 = 2;
pub const STOPPED: u32 = 3;
pub const REPLACED: u32 = 4;

pub fn blocks(file: &File) -> u64 {
    file.metadata().expect("fstat").blocks()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A tmpfs of its own, unmounted at the end.
pub struct Mount(pub Base);

impl Mount {
    /// `None`: this user may not mount.
    pub fn of_size(size: &str) -> Option<Self> {
        Self::with_options(&format!("size={size}"))
    }

    /// As [`Mount::of_size`], with options of tmpfs(5).
    pub fn with_options(options: &str) -> Option<Self> {
        let base = Base::new();
        std::fs::create_dir(&base.0).expect("a directory to mount on");
        let options = format!("{options},mode=0755");
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
                .arg(&base.0)
                .status()
                .is_ok_and(|s| s.success());
        mounted.then_some(Self(base))
    }

    pub fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0.0).status().unwrap().success());
    }

    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.0.0).expect("statvfs");
        stat.f_bavail * stat.f_frsize
    }

    /// A file of another program that takes every byte there is.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.path("another-programs-file");
        let file = OpenOptions::new().append(true).create(true).open(&path).expect("make a file");
        // As a program would: it writes until it is told that there is no room.
        while { &file }.write(&[7; 4096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

/// Says that it is over however the work ends: a scope waits for its threads after a panic too.
pub struct Over<'o>(pub &'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the library says, of one test: lines that name its base directory.
pub fn said_of(base: &Path) -> Vec<String> {
    said_with(&base.display().to_string())
}

/// What the library says, of all tests: lines with these words.
pub fn said_with(words: &str) -> Vec<String> {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.iter().filter(|line| line.contains(words)).cloned().collect()
}

/// Keeps what the library says from now on. All tests of a file share it, and each looks for its own.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).expect("the first subscriber"));
}

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The smallest subscriber: one line an event.
struct Listener;

impl tracing::Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, " {}={value:?}", field.name());
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
