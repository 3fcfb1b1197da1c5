//! The writer's half: claim, fill, complete, publish.
//!
//! Frame n goes into slot i = n mod S. The steps, numbered as in `PROTOCOL.md`:
//!
//! ```text
//! 1  slot[i].frame_id = 0            Relaxed   claim                      claim()
//! 2  fence(Release)                  SYNC A -> reader's fence 5
//! 3  pixels; slot[i].timestamp_ns, slot[i].flags    Relaxed               the caller; publish()
//! 4  slot[i].frame_id = n            Release   complete, SYNC B -> reader's fence 3
//! 5  timestamp_ns = ...              Relaxed   mirror
//! 6  frame_id = n                    Release   publish, SYNC C -> reader's fence 3
//! ```
//!
//! SYNC A: whoever reads a pixel or word stored in step 3 and then, past its fence 5, looks at the slot's id, finds the 0 of
//! step 1 or something newer, never the id that stood there before: so it knows that the slot was taken away.
//! SYNC B, C: whoever finds n in the slot's id (or in the publish word) and passes its fence 3 sees everything that was
//! stored before.
//!
//! A writer that is killed anywhere leaves the newest published frame readable: there is no odd state, and each promise is
//! one equality on one word.

use crate::state::{FrameFlags, StreamFlags};
use crate::words::{FrameId, PublishWords, SlotCount, SlotIndex, Word32, Word64};

/// A slot that was taken from the readers and is being filled: steps 1 and 2 are done.
///
/// Dropping it leaves the slot empty and everything else as it was; the same frame id may be claimed again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claimed slot is lost to the readers until a frame is published in it"]
pub struct Claim {
    id: FrameId,
    slot: SlotIndex,
}

impl Claim {
    /// The frame that will stand in the slot.
    #[must_use]
    pub const fn id(&self) -> FrameId {
        self.id
    }

    /// The slot to fill.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        self.slot
    }
}

/// What is said of a frame when it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// CLOCK_MONOTONIC in nanoseconds when the server had the frame decoded.
    pub timestamp_ns: u64,
    /// Flags of the frame.
    pub flags: FrameFlags,
}

/// Steps 1 and 2: takes the slot of frame `id` from the readers. Pixels may be stored once this returns.
pub fn claim<W: PublishWords>(words: &W, slots: SlotCount, id: FrameId) -> Claim {
    let slot = id.slot(slots);
    words.store_u64(Word64::slot_frame_id(slot), 0);
    words.fence_release();
    Claim { id, slot }
}

/// Steps 3 (its words) to 6: hands the filled slot to the readers. Its number is what is published from here on.
pub fn publish<W: PublishWords>(words: &W, claim: Claim, frame: FrameInfo) -> FrameId {
    let Claim { id, slot } = claim;
    words.fence_foreign_stores();
    words.store_u64(Word64::slot_timestamp_ns(slot), frame.timestamp_ns);
    words.store_u64(Word64::slot_flags(slot), frame.flags.0);
    words.store_u64_release(Word64::slot_frame_id(slot), id.get());
    words.store_u64(Word64::TIMESTAMP_NS, frame.timestamp_ns);
    words.store_u64_release(Word64::FRAME_ID, id.get());
    id
}

/// Takes every slot from the readers: afterwards no frame of this pair validates, and its pixels may be thrown away.
/// Used before a pair's memory is given back, at any moment that suits the writer.
pub fn withdraw<W: PublishWords>(words: &W, slots: SlotCount) {
    for slot in slots.indices() {
        words.store_u64(Word64::slot_frame_id(slot), 0);
    }
    words.fence_release();
}

/// Nobody is attached: says so, then takes every slot from the readers, so that nobody who comes is handed an old picture as
/// current (IDLE-2).
pub fn go_idle<W: PublishWords>(words: &W, slots: SlotCount) {
    words.store_u32_release(Word32::FLAGS, StreamFlags::IDLE.0);
    // A release store holds back what comes before it; what comes after it is held back by this.
    words.fence_release();
    withdraw(words, slots);
}

/// Somebody is attached again, and the first new frame is published: whoever sees the flag cleared finds that frame (IDLE-3).
pub fn wake<W: PublishWords>(words: &W) {
    words.store_u32_release(Word32::FLAGS, StreamFlags::default().0);
}
