//! What the tests of this crate share: a valid pair to begin with, and shared words over plain atomics.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::layout::{HEADER_SIZE, PAGE_SIZE, RawHeader};
use vas_shm_proto::words::{PublishWords, SnapshotWords, Word32, Word64};
use vas_shm_proto::{
    Color, ColorRange, Files, Header, Nv12, PairSize, Problem, SlotCount, State, StreamFlags,
};
use zerocopy::{FromBytes, IntoBytes};

/// A pair of files as `fstat` and a copy of `frame.meta` show it.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) raw: RawHeader,
    pub(crate) files: Files,
}

impl Pair {
    /// A pair that every reader accepts.
    pub(crate) fn new(width: u32, height: u32, slots: u32) -> Self {
        let picture = Nv12::for_picture(width, height).unwrap();
        let slots = SlotCount::new(slots).unwrap();
        let raw = NewHeader {
            picture,
            color: Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 },
            slots,
            data_inode: 77,
            generation: 5_000_000_000_000,
            state: State::Live,
            flags: StreamFlags::default(),
            heartbeat_ns: 5_000_000_000_123,
            frame_period_ns: 40_000_000,
        }
        .to_raw();
        let files = Files {
            meta_size_bytes: PAGE_SIZE as u64,
            data_size_bytes: PairSize::new(&picture, slots).data_bytes,
            data_inode: 77,
        };
        Self { raw, files }
    }

    pub(crate) fn check(&self) -> Result<Header, Problem> {
        Header::check(self.raw.as_bytes(), &self.files)
    }
}

/// The words of a header as plain atomics, without any file: what a mapping is to the real writer and reader.
pub(crate) struct PlainWords {
    u64s: [AtomicU64; HEADER_SIZE / 8],
    // The two 32-bit words live apart, so that no word is ever touched in two sizes.
    state: AtomicU32,
    flags: AtomicU32,
}

impl PlainWords {
    pub(crate) fn zeroed() -> Self {
        Self {
            u64s: std::array::from_fn(|_| AtomicU64::new(0)),
            state: AtomicU32::new(0),
            flags: AtomicU32::new(0),
        }
    }

    pub(crate) fn of(raw: &RawHeader) -> Self {
        let words = Self::zeroed();
        for (word, bytes) in words.u64s.iter().zip(raw.as_bytes().chunks_exact(8)) {
            word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Ordering::Relaxed);
        }
        words.state.store(raw.stream.state.get(), Ordering::Relaxed);
        words.flags.store(raw.stream.flags.get(), Ordering::Relaxed);
        words
    }

    pub(crate) fn to_raw(&self) -> RawHeader {
        let bytes: Vec<u8> =
            self.u64s.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let mut raw = RawHeader::read_from_bytes(&bytes).unwrap();
        raw.stream.state.set(self.state.load(Ordering::Relaxed));
        raw.stream.flags.set(self.flags.load(Ordering::Relaxed));
        raw
    }

    fn word32(&self, word: Word32) -> &AtomicU32 {
        if word == Word32::STATE { &self.state } else { &self.flags }
    }
}

impl SnapshotWords for PlainWords {
    fn load_u64(&self, word: Word64) -> u64 {
        self.u64s[word.offset() / 8].load(Ordering::Relaxed)
    }

    fn load_u32(&self, word: Word32) -> u32 {
        self.word32(word).load(Ordering::Relaxed)
    }

    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }
}

impl PublishWords for PlainWords {
    fn store_u64(&self, word: Word64, value: u64) {
        self.u64s[word.offset() / 8].store(value, Ordering::Relaxed);
    }

    fn store_u64_release(&self, word: Word64, value: u64) {
        self.u64s[word.offset() / 8].store(value, Ordering::Release);
    }

    fn store_u32_release(&self, word: Word32, value: u32) {
        self.word32(word).store(value, Ordering::Release);
    }

    fn fence_release(&self) {
        fence(Ordering::Release);
    }

    // Nothing here stores past the caches, so there is nothing to wait for.
    fn fence_foreign_stores(&self) {}
}
