//! The reader's half: find a frame, look at it, prove that it was whole.
//!
//! ```text
//! 1  n = frame_id                    Relaxed   0, or seen already: nothing new
//! 2  slot[n mod S].frame_id == n     Relaxed   else: frame_id changed? again from 1 : nothing new
//! 3  fence(Acquire)                  SYNC B, C <- writer's steps 4 and 6
//! 4  slot's timestamp_ns, flags      Relaxed;  the pixels, by reference or copied
//! 5  fence(Acquire)                  SYNC A <- writer's fence 2
//! 6  slot[n mod S].frame_id == n     Relaxed   => everything read between 3 and 5 is frame n, whole
//! ```
//!
//! Steps 1 to 4 (its words) are [`latest`], [`next`] and [`at`]; steps 5 and 6 are [`is_intact`], which may be repeated in
//! the middle of long work. Until it has returned `true` *after* a value was read, that value means nothing: it may be part
//! of another frame. Every loop is bounded; nothing here waits.

use crate::state::FrameFlags;
use crate::words::{FrameId, SlotCount, SlotIndex, SnapshotWords, Word64};

/// A frame that stood complete in its slot when it was looked for (steps 1 to 4).
///
/// Its numbers are proven only by a later [`is_intact`], like the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    id: FrameId,
    slot: SlotIndex,
    timestamp_ns: u64,
    flags: FrameFlags,
}

impl Snapshot {
    /// The frame's number.
    #[must_use]
    pub const fn id(&self) -> FrameId {
        self.id
    }

    /// Where its pixels are.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        self.slot
    }

    /// CLOCK_MONOTONIC in nanoseconds when the server had the frame decoded.
    #[must_use]
    pub const fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// Flags of the frame.
    #[must_use]
    pub const fn flags(&self) -> FrameFlags {
        self.flags
    }
}

/// What a look at the words found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No frame yet, none after the one seen, or none that may be handed out at the moment.
    NothingNew,
    /// A frame.
    Frame(Snapshot),
    /// The writer overwrote each frame before it could be looked at, as many times in a row as there are slots. An answer,
    /// not a reason to spin: try again when it suits.
    Overrun,
}

/// The newest frame, unless it is `seen`.
pub fn latest<W: SnapshotWords>(words: &W, slots: SlotCount, seen: Option<FrameId>) -> Found {
    let mut newest = words.load_u64(Word64::FRAME_ID);
    for _ in 0..slots.get() {
        let id = match FrameId::new(newest) {
            Some(id) if Some(id) != seen => id,
            _ => return Found::NothingNew,
        };
        if let Some(frame) = in_its_slot(words, slots, id) {
            return Found::Frame(frame);
        }
        let again = words.load_u64(Word64::FRAME_ID);
        if again == newest {
            // Its slot is empty and nothing newer is there: the writer went idle or gave the memory back.
            return Found::NothingNew;
        }
        newest = again;
    }
    Found::Overrun
}

/// The oldest frame after `seen` that still stands complete: for readers that want every frame. The ids between `seen` and
/// the answer were overwritten before this reader came. Without `seen`: the newest frame.
pub fn next<W: SnapshotWords>(words: &W, slots: SlotCount, seen: Option<FrameId>) -> Found {
    let Some(seen) = seen else {
        return latest(words, slots, None);
    };
    let mut newest = words.load_u64(Word64::FRAME_ID);
    for _ in 0..slots.get() {
        if newest <= seen.get() {
            return Found::NothingNew;
        }
        // At most S candidates: older ones share a slot with a newer frame.
        let oldest = newest.saturating_sub(u64::from(slots.get()) - 1).max(seen.next().get());
        for id in (oldest..=newest).filter_map(FrameId::new) {
            if let Some(frame) = in_its_slot(words, slots, id) {
                return Found::Frame(frame);
            }
        }
        let again = words.load_u64(Word64::FRAME_ID);
        if again == newest {
            return Found::NothingNew;
        }
        newest = again;
    }
    Found::Overrun
}

/// One particular frame, if it stands: one of the newest S that were published, complete in its slot.
pub fn at<W: SnapshotWords>(words: &W, slots: SlotCount, id: FrameId) -> Option<Snapshot> {
    let behind = words.load_u64(Word64::FRAME_ID).checked_sub(id.get())?;
    if behind >= u64::from(slots.get()) {
        return None;
    }
    in_its_slot(words, slots, id)
}

/// Steps 2 to 4.
fn in_its_slot<W: SnapshotWords>(words: &W, slots: SlotCount, id: FrameId) -> Option<Snapshot> {
    let slot = id.slot(slots);
    if words.load_u64(Word64::slot_frame_id(slot)) != id.get() {
        return None;
    }
    words.fence_acquire();
    Some(Snapshot {
        id,
        slot,
        timestamp_ns: words.load_u64(Word64::slot_timestamp_ns(slot)),
        flags: FrameFlags(words.load_u64(Word64::slot_flags(slot))),
    })
}

/// Steps 5 and 6: whether everything that was read of this frame before this call, its numbers and its pixels, is that frame
/// and nothing else.
pub fn is_intact<W: SnapshotWords>(words: &W, frame: &Snapshot) -> bool {
    words.fence_acquire();
    words.load_u64(Word64::slot_frame_id(frame.slot)) == frame.id.get()
}
