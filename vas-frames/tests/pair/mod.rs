//! A camera's pair of files made by hand: plain file writes in the order that the contract gives, no code of the writer.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::layout::RawHeader;
use vas_shm_proto::publish::{FrameInfo, claim, publish};
use vas_shm_proto::words::{PublishWords, Word32, Word64};
use vas_shm_proto::{
    Color, DATA_NAME, FrameFlags, FrameId, META_NAME, Nv12, PAGE_SIZE, PairSize, SlotCount, State,
    StreamFlags,
};
use zerocopy::IntoBytes;

/// What stands in the padding of each row: it must never show.
const PADDING: u8 = 0xEE;

/// The two files of one camera, open for writing.
pub(crate) struct Pair {
    directory: PathBuf,
    meta: Meta,
    data: File,
    picture: Nv12,
    slots: SlotCount,
    next_id: FrameId,
}

struct Meta(File);

impl Meta {
    fn store(&self, offset: usize, bytes: &[u8]) {
        self.0.write_all_at(bytes, offset as u64).expect("frame.meta is written");
    }
}

/// One `pwrite` a word: the page cache that the mapping of the reader shows takes aligned words whole.
impl PublishWords for Meta {
    fn store_u64(&self, word: Word64, value: u64) {
        self.store(word.offset(), &value.to_le_bytes());
    }
    fn store_u64_release(&self, word: Word64, value: u64) {
        self.store(word.offset(), &value.to_le_bytes());
    }
    fn store_u32_release(&self, word: Word32, value: u32) {
        self.store(word.offset(), &value.to_le_bytes());
    }
    fn fence_release(&self) {}
    fn fence_foreign_stores(&self) {}
}

impl Pair {
    /// A pair with no frame in it yet, under `base`.
    pub(crate) fn new(base: &Path, camera: &str, width: u32, height: u32, color: Color) -> Self {
        Self::with_header(base, camera, width, height, color, StreamFlags(0), |_| {})
    }

    /// The same, with the header spoilt in some way before anybody can see it.
    pub(crate) fn with_header(
        base: &Path,
        camera: &str,
        width: u32,
        height: u32,
        color: Color,
        flags: StreamFlags,
        change: impl FnOnce(&mut RawHeader),
    ) -> Self {
        let directory = base.join(camera);
        fs::create_dir_all(&directory).expect("the camera's directory");
        let picture = Nv12::for_picture(width, height).expect("a picture size");
        let slots = SlotCount::DEFAULT;
        let data = File::create(directory.join("data.new")).expect("a file");
        data.set_len(PairSize::new(&picture, slots).data_bytes).expect("its size");
        let generation = vas_shm_reader::monotonic_ns();
        let header = NewHeader {
            picture,
            color,
            slots,
            data_inode: data.metadata().expect("its inode").ino(),
            generation,
            state: State::Live,
            flags,
            heartbeat_ns: generation,
            frame_period_ns: 40_000_000,
        };
        let mut raw = header.to_raw();
        change(&mut raw);
        let meta = File::create(directory.join("meta.new")).expect("a file");
        meta.set_len(PAGE_SIZE as u64).expect("its size");
        meta.write_all_at(raw.as_bytes(), 0).expect("the header");
        fs::rename(directory.join("data.new"), directory.join(DATA_NAME)).expect("its name");
        fs::rename(directory.join("meta.new"), directory.join(META_NAME)).expect("its name");
        let next_id = FrameId::first_of_pair(None, generation);
        Self { directory, meta: Meta(meta), data, picture, slots, next_id }
    }

    /// Exports a frame given as packed NV12.
    pub(crate) fn publish(&mut self, packed: &[u8], flags: FrameFlags) -> FrameId {
        assert_eq!(packed.len() as u64, self.picture.packed_size());
        let id = self.next_id;
        let claimed = claim(&self.meta, self.slots, id);
        let slot_bytes = PairSize::new(&self.picture, self.slots).slot_bytes;
        let stride = self.picture.stride_bytes() as usize;
        let (luma, chroma) = packed.split_at((self.picture.width() * self.picture.height()) as usize);
        let mut padded = Vec::new();
        for (plane, row_bytes) in [(luma, self.picture.width()), (chroma, self.picture.chroma_row_bytes())] {
            for row in plane.chunks_exact(row_bytes as usize) {
                padded.extend_from_slice(row);
                padded.resize(padded.len().next_multiple_of(stride), PADDING);
            }
        }
        let offset = slot_bytes * claimed.slot().get() as u64;
        self.data.write_all_at(&padded, offset).expect("the pixels");
        publish(&self.meta, claimed, FrameInfo { timestamp_ns: vas_shm_reader::monotonic_ns(), flags });
        self.next_id = id.next();
        id
    }

    /// A frame of one grey.
    pub(crate) fn publish_grey(&mut self, luma: u8) -> FrameId {
        let packed = self.grey(luma);
        self.publish(&packed, FrameFlags(0))
    }

    /// That frame, packed.
    pub(crate) fn grey(&self, luma: u8) -> Vec<u8> {
        let mut packed = vec![luma; (self.picture.width() * self.picture.height()) as usize];
        packed.resize(self.picture.packed_size() as usize, 128);
        packed
    }

    /// A sign of life.
    pub(crate) fn beat(&self) {
        self.meta.store_u64(Word64::HEARTBEAT_NS, vas_shm_reader::monotonic_ns());
    }

    /// Gives a sign of life, and with `is_publishing` a frame, every 20 ms from now on.
    pub(crate) fn run(mut self, is_publishing: bool) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !is_stopped.load(Ordering::Relaxed) {
                self.beat();
                if is_publishing {
                    self.publish_grey(self.next_id.get() as u8);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self
        });
        Running { stop, thread: Some(thread) }
    }

    /// Stops the camera as a server does: the state, then the names.
    pub(crate) fn stop(self) {
        self.meta.store_u32_release(Word32::STATE, State::Stopped.to_word());
        for name in [META_NAME, DATA_NAME] {
            fs::remove_file(self.directory.join(name)).expect("the name goes");
        }
    }
}

/// A pair that lives until this is dropped.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Pair>>,
}

impl Running {
    /// Ends the signs of life, as a server does that is killed; the files stay.
    pub(crate) fn halt(mut self) -> Pair {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("halted once").join().expect("the thread ends well")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if it had one, was printed.
            let _ = thread.join();
        }
    }
}
