//! Keeps the frame path out of a pair whose memory is being given back.
//!
//! A pair may be emptied only while no slot of it is being filled: pixels that were written before the emptying would be
//! gone, and the frame published all the same. So the frame path goes through this gate around each slot, and the library's
//! thread closes it before it empties. Neither ever waits: who finds the gate closed takes no slot of this pair any more, and
//! who finds somebody inside while closing looks again later; the frame path cannot come back in once it has left.

use std::sync::atomic::{AtomicU8, Ordering};

const INSIDE: u8 = 1;
const CLOSED: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// The frame path goes in. `false`: the pair is closed for ever.
    ///
    /// There is one frame path, and it asks only when it holds no slot. So somebody who is inside already is a slot that was
    /// forgotten (`mem::forget`), and its place is taken over.
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        // Acquire: nothing that is done to the slot moves before this point.
        match self.0.compare_exchange(0, INSIDE, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) | Err(INSIDE) => true,
            Err(_) => {
                self.leave();
                false
            }
        }
    }

    /// The frame path comes out.
    pub(crate) fn leave(&self) {
        // Release: all that was done to the slot comes before whatever is done by the one who closes.
        self.0.fetch_and(!INSIDE, Ordering::Release);
    }

    /// The library's thread closes, for ever. `false`: the frame path is still inside; it will not come back in, and the pair
    /// may be emptied once this says `true`.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & INSIDE == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in() {
        let gate = Gate::default();
        assert!(gate.enter());
        gate.leave();
        assert!(gate.close());
        assert!(!gate.enter());
        assert!(gate.close());
    }

    #[test]
    fn a_gate_that_is_closed_around_a_slot_is_clear_once_that_slot_has_left_and_not_before() {
        let gate = Gate::default();
        assert!(gate.enter());
        assert!(!gate.close());
        assert!(!gate.close());
        gate.leave();
        assert!(!gate.enter(), "the frame path does not come back in");
        assert!(gate.close());
    }

    #[test]
    fn the_place_of_a_forgotten_slot_is_taken_over() {
        let gate = Gate::default();
        assert!(gate.enter());
        assert!(gate.enter());
        assert!(!gate.close());
        // The next call of a frame path that holds no slot clears what the forgotten one left.
        assert!(!gate.enter());
        assert!(gate.close());
    }
}
