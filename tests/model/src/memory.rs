//! The words and the pixels of a pair, made of a checker's atomics.

use crate::checker::{Cell, Checker};
use vas_shm_proto::words::{Word32, Word64};
use vas_shm_proto::{SlotCount, SlotIndex, State};

/// Words of pixels in a slot: two are enough to be torn.
pub const PIXEL_WORDS: usize = 2;

struct Record<C: Checker> {
    frame_id: C::Cell,
    timestamp_ns: C::Cell,
    flags: C::Cell,
    pixels: [C::Cell; PIXEL_WORDS],
}

/// One pair of files as far as the algorithm touches it. Pixels are atomics that are accessed Relaxed: the weakest access
/// for which a checker says what may be read.
pub struct Memory<C: Checker> {
    slots: SlotCount,
    frame_id: C::Cell,
    timestamp_ns: C::Cell,
    state: C::Cell,
    flags: C::Cell,
    records: Vec<Record<C>>,
}

impl<C: Checker> Memory<C> {
    /// A pair as it becomes visible: live, no frame yet.
    #[must_use]
    pub fn new(slots: SlotCount) -> Self {
        let zero = || C::Cell::new(0);
        let record =
            |_| Record { frame_id: zero(), timestamp_ns: zero(), flags: zero(), pixels: [zero(), zero()] };
        Self {
            slots,
            frame_id: zero(),
            timestamp_ns: zero(),
            state: C::Cell::new(State::Live.to_word().into()),
            flags: zero(),
            records: slots.indices().map(record).collect(),
        }
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> SlotCount {
        self.slots
    }

    /// The atomic behind a word.
    ///
    /// # Panics
    /// For a word that the algorithm has not touched so far: then this model lacks something.
    pub fn word64(&self, word: Word64) -> &C::Cell {
        if word == Word64::FRAME_ID {
            return &self.frame_id;
        }
        if word == Word64::TIMESTAMP_NS {
            return &self.timestamp_ns;
        }
        for slot in self.slots.indices() {
            let record = &self.records[slot.get()];
            if word == Word64::slot_frame_id(slot) {
                return &record.frame_id;
            }
            if word == Word64::slot_timestamp_ns(slot) {
                return &record.timestamp_ns;
            }
            if word == Word64::slot_flags(slot) {
                return &record.flags;
            }
        }
        panic!("the model has no word at offset {}", word.offset());
    }

    /// The atomic behind a word of 32 bits.
    ///
    /// # Panics
    /// As [`Memory::word64`].
    pub fn word32(&self, word: Word32) -> &C::Cell {
        match word {
            Word32::STATE => &self.state,
            Word32::FLAGS => &self.flags,
            other => panic!("the model has no word at offset {}", other.offset()),
        }
    }

    /// A word of a slot's pixels.
    pub fn pixel(&self, slot: SlotIndex, index: usize) -> &C::Cell {
        &self.records[slot.get()].pixels[index]
    }

    /// Whether a word is the id of a slot.
    #[must_use]
    pub fn is_slot_frame_id(&self, word: Word64) -> bool {
        self.slots.indices().any(|slot| word == Word64::slot_frame_id(slot))
    }

    /// Whether a word is the time of a slot.
    #[must_use]
    pub fn is_slot_timestamp(&self, word: Word64) -> bool {
        self.slots.indices().any(|slot| word == Word64::slot_timestamp_ns(slot))
    }
}
