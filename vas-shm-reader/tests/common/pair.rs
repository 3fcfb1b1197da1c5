// Pairs of files made by hand: what a reader may meet, without any writer. Included as it stands by the examples in this
// crate's documentation too, so that they run.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::layout::RawHeader;
use vas_shm_proto::words::{Word32, Word64};
use vas_shm_proto::{CameraId, Color, FrameId, Nv12, PairSize, SlotCount, State, StreamFlags};
use zerocopy::IntoBytes;

pub fn camera() -> CameraId {
    CameraId::new("front").expect("a camera id")
}

/// A base directory with one camera's directory in it.
pub struct Base(pub tempfile::TempDir);

impl Base {
    pub fn new() -> Self {
        let base = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(base.path().join("front")).expect("mkdir");
        Self(base)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn meta(&self) -> PathBuf {
        self.path().join("front/frame.meta")
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("front/frame.data")
    }
}

/// A pair that a test plays the writer of, word by word through the descriptors.
pub struct Pair {
    pub meta: File,
    pub data: File,
    pub header: NewHeader,
}

impl Pair {
    pub fn make(base: &Base, width: u32, height: u32, generation: u64) -> Self {
        Self::make_with(base, width, height, generation, |_| {})
    }

    /// As a writer does it: hidden names, then data, then meta. `change` may spoil the header.
    pub fn make_with(
        base: &Base,
        width: u32,
        height: u32,
        generation: u64,
        change: impl FnOnce(&mut RawHeader),
    ) -> Self {
        let create = |path: PathBuf| {
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("create")
        };
        let (new_meta, new_data) =
            (base.path().join("front/.frame.meta.new"), base.path().join("front/.frame.data.new"));
        let (meta, data) = (create(new_meta.clone()), create(new_data.clone()));
        let picture = Nv12::for_picture(width, height).expect("a size");
        let header = NewHeader {
            picture,
            color: Color::UNSPECIFIED,
            slots: SlotCount::DEFAULT,
            data_inode: data.metadata().expect("fstat").ino(),
            generation,
            state: State::Live,
            flags: StreamFlags::default(),
            heartbeat_ns: 1,
            frame_period_ns: 1_000_000,
        };
        data.set_len(PairSize::new(&picture, header.slots).data_bytes).expect("ftruncate");
        let mut raw = header.to_raw();
        change(&mut raw);
        meta.set_len(4096).expect("ftruncate");
        meta.write_all_at(raw.as_bytes(), 0).expect("pwrite");
        std::fs::rename(new_data, base.data()).expect("rename");
        std::fs::rename(new_meta, base.meta()).expect("rename");
        Self { meta, data, header }
    }

    pub fn store(&self, word: Word64, value: u64) {
        self.meta.write_all_at(&value.to_le_bytes(), word.offset() as u64).expect("pwrite");
    }

    pub fn store_state(&self, state: State) {
        self.meta
            .write_all_at(&state.to_word().to_le_bytes(), Word32::STATE.offset() as u64)
            .expect("pwrite");
    }

    pub fn beat(&self, value: u64) {
        self.store(Word64::HEARTBEAT_NS, value);
    }

    pub fn claim(&self, id: u64) {
        let slot = FrameId::new(id).expect("not 0").slot(self.header.slots);
        self.store(Word64::slot_frame_id(slot), 0);
    }

    /// Publishes a frame whose bytes are all `value`.
    pub fn publish(&self, id: u64, value: u8) {
        self.publish_bytes(id, &vec![value; self.header.picture.data_size() as usize]);
    }

    /// Publishes a frame of these bytes, padding included.
    pub fn publish_bytes(&self, id: u64, pixels: &[u8]) {
        self.claim(id);
        let slot = FrameId::new(id).expect("not 0").slot(self.header.slots);
        let size = PairSize::new(&self.header.picture, self.header.slots);
        assert_eq!(pixels.len() as u64, self.header.picture.data_size());
        self.data.write_all_at(pixels, size.slot_bytes * slot.get() as u64).expect("pwrite");
        self.store(Word64::slot_timestamp_ns(slot), id.wrapping_mul(1000));
        self.store(Word64::slot_flags(slot), u64::from(pixels.iter().all(|&byte| byte == 13)));
        self.store(Word64::slot_frame_id(slot), id);
        self.store(Word64::FRAME_ID, id);
    }
}

/// Plays a server with one camera, "front", whose one frame stays and whose heart beats every few milliseconds, until it is dropped.
pub struct Server {
    base: Base,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Self {
        let base = Base::new();
        let pair = Pair::make(&base, 64, 48, 1);
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        pair.publish(1, 16);
        let thread = std::thread::spawn(move || {
            for beat in 2.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                pair.beat(beat);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { base, stop, thread: Some(thread) }
    }

    pub fn path(&self) -> &Path {
        self.base.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
