//! What the algorithm may do to the shared words: load, store, fence.
//!
//! The header of a live pair is never looked at as bytes or structs, only as naturally aligned words found by offset. The
//! types here can only name words that lie inside the 768 bytes of the header and are aligned for their size; whoever
//! implements the traits over a mapping of at least 768 bytes that starts on a page boundary needs no further check.
//!
//! Two traits, so that the algorithm in [`crate::publish`] and [`crate::snapshot`] runs unchanged over a mapping, over plain
//! atomics in a test, and over the words of a model checker: [`PublishWords`] cannot load and [`SnapshotWords`] cannot
//! store.

use crate::layout::{
    HEADER_SIZE, MAX_SLOTS, MIN_SLOTS, RawSlotRecord, RawStream, SLOT_RECORD_SIZE, SLOT_TABLE_OFFSET,
};
use core::fmt;
use core::mem::offset_of;
use core::num::NonZeroU64;

/// A 64-bit word of the header: its offset is a multiple of 8 and at most 760.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word64(u16);

impl Word64 {
    /// The publish word.
    pub const FRAME_ID: Self = Self(offset_of!(RawStream, frame_id) as u16);
    /// The mirror of the newest frame's timestamp.
    pub const TIMESTAMP_NS: Self = Self(offset_of!(RawStream, timestamp_ns) as u16);
    /// The heartbeat.
    pub const HEARTBEAT_NS: Self = Self(offset_of!(RawStream, heartbeat_ns) as u16);
    /// The expected time between frames.
    pub const FRAME_PERIOD_NS: Self = Self(offset_of!(RawStream, frame_period_ns) as u16);

    /// The id of the frame in a slot.
    #[must_use]
    pub const fn slot_frame_id(slot: SlotIndex) -> Self {
        Self::in_slot(slot, offset_of!(RawSlotRecord, frame_id))
    }

    /// The timestamp of the frame in a slot.
    #[must_use]
    pub const fn slot_timestamp_ns(slot: SlotIndex) -> Self {
        Self::in_slot(slot, offset_of!(RawSlotRecord, timestamp_ns))
    }

    /// The flags of the frame in a slot.
    #[must_use]
    pub const fn slot_flags(slot: SlotIndex) -> Self {
        Self::in_slot(slot, offset_of!(RawSlotRecord, flags))
    }

    const fn in_slot(slot: SlotIndex, field: usize) -> Self {
        Self((SLOT_TABLE_OFFSET + SLOT_RECORD_SIZE * slot.0 as usize + field) as u16)
    }

    /// Bytes from the start of `frame.meta`.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.0 as usize
    }
}

const _: () = {
    let last = Word64::in_slot(SlotIndex(MAX_SLOTS as u8 - 1), SLOT_RECORD_SIZE - 8);
    assert!(last.offset() == HEADER_SIZE - 8);
    assert!(
        Word64::FRAME_PERIOD_NS.offset() < SLOT_TABLE_OFFSET && Word32::FLAGS.offset() <= HEADER_SIZE - 4
    );
};

/// A 32-bit word of the header: its offset is a multiple of 4 and at most 764.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word32(u16);

impl Word32 {
    /// The state of the pair.
    pub const STATE: Self = Self(offset_of!(RawStream, state) as u16);
    /// The flags of the stream.
    pub const FLAGS: Self = Self(offset_of!(RawStream, flags) as u16);

    /// Bytes from the start of `frame.meta`.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.0 as usize
    }
}

/// The reader's side of the shared words. All loads are Relaxed: that is all Rust promises on a page mapped `PROT_READ`
/// (`std::sync::atomic`, "Atomic accesses to read-only memory"); ordering comes from the fence.
pub trait SnapshotWords {
    /// Loads a word whole, Relaxed.
    fn load_u64(&self, word: Word64) -> u64;
    /// Loads a word whole, Relaxed.
    fn load_u32(&self, word: Word32) -> u32;
    /// `fence(Acquire)`: no load before it, of words or pixels, moves past any load or store after it.
    fn fence_acquire(&self);
}

/// The writer's side of the shared words. It cannot load: nothing that stands in shared memory steers the server.
pub trait PublishWords {
    /// Stores a word whole, Relaxed.
    fn store_u64(&self, word: Word64, value: u64);
    /// Stores a word whole, Release: no store before it, of words or pixels, moves past it.
    fn store_u64_release(&self, word: Word64, value: u64);
    /// Stores a word whole, Release.
    fn store_u32_release(&self, word: Word32, value: u32);
    /// `fence(Release)`, and on `x86_64` an `sfence`: no later store moves before an earlier one, even if the later ones are
    /// non-temporal stores of foreign code.
    fn fence_release(&self);
    /// On `x86_64` an `sfence`, elsewhere nothing: stores that foreign code made on this thread, perhaps non-temporal ones, come
    /// before every later store. (Those of other threads are for these to fence.)
    fn fence_foreign_stores(&self);
}

/// The number of a frame: rises by one per exported frame, never 0, never repeats in one pair of files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(NonZeroU64);

impl FrameId {
    /// The id behind a word; `None` for 0, which means "none".
    #[must_use]
    pub const fn new(word: u64) -> Option<Self> {
        match NonZeroU64::new(word) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The word.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The following id. (At a thousand frames a second the ids last for 500 million years; the end saturates.)
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The first id of a pair: ids go on rising across geometry changes, and across server restarts of one boot without any
    /// stored memory, as long as a camera has fewer than a million frames a second.
    #[must_use]
    pub fn first_of_pair(previous: Option<Self>, generation_ns: u64) -> Self {
        let after_previous = previous.map_or(1, |id| id.next().get());
        let by_generation = generation_ns / 1000;
        // At least 1, so the fallback is never taken.
        Self::new(after_previous.max(by_generation)).unwrap_or(Self(NonZeroU64::MIN))
    }

    /// The slot that holds this frame: `id mod slots`.
    #[must_use]
    pub const fn slot(self, slots: SlotCount) -> SlotIndex {
        SlotIndex((self.get() % slots.0 as u64) as u8)
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameId({})", self.0)
    }
}

/// A number of slots, 2 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotCount(u8);

/// A number of slots outside 2 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot count is {0}, it has to be 2 to 8")]
pub struct SlotCountError(pub u32);

impl SlotCount {
    /// Three: one being written, one that a reader holds, one between them.
    pub const DEFAULT: Self = Self(crate::layout::DEFAULT_SLOTS as u8);

    /// Checks a number of slots.
    ///
    /// # Errors
    /// Outside 2 to 8.
    pub const fn new(count: u32) -> Result<Self, SlotCountError> {
        if count < MIN_SLOTS as u32 || count > MAX_SLOTS as u32 {
            return Err(SlotCountError(count));
        }
        Ok(Self(count as u8))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Every slot, in order.
    pub fn indices(self) -> impl Iterator<Item = SlotIndex> + use<> {
        (0..self.0).map(SlotIndex)
    }
}

impl Default for SlotCount {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The index of a slot, 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotIndex(u8);

impl SlotIndex {
    /// The number, 0 to 7.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}
