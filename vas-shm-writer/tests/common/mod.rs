//! What the tests of this crate share. A reader is no part of them: files are looked at as bytes, as a stranger would.
#![allow(unreachable_pub, reason = "pub means: for the test file beside it")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use vas_shm_proto::header::{Files, Header};
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_writer::{
    Camera, CameraId, Color, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, Stamp,
};

/// A base directory of one test, on the host's tmpfs, removed with everything in it.
pub struct Base(pub PathBuf);

impl Base {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vas-test-writer-{}-{number}", std::process::id());
        Self(vas_test_support::shared_memory().join(name))
    }

    pub fn start(&self) -> Exporter {
        Exporter::start(ExporterConfig::new(&self.0)).expect("the exporter starts")
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
    let deadline = Instant::now() + Duration::from_secs(30);
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
