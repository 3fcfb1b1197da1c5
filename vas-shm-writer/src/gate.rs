//! Keeps the frame path out of a pair whose memory is being given back.
//!
//! A pair may be emptied only while no slot of it is being filled: pixels that were written before the emptying would be
//! gone, and the frame published all the same. So the frame path goes through this gate around each slot, and the library's
//! thread closes it before it empties. Neither ever waits: a thread that finds the gate closed takes no slot of this pair any
//! more, and one that finds it passed through looks again at its next round.

use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const INSIDE: u8 = 1;
const CLOSED: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// The frame path goes in. `false`: the pair is closed for ever. There is one frame path, so nobody else can be inside.
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        // Acquire: nothing that is done to the slot moves before this point.
        self.0.compare_exchange(OPEN, INSIDE, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The frame path comes out.
    pub(crate) fn leave(&self) {
        // Release: all that was done to the slot comes before whatever is done by the one who closes.
        self.0.store(OPEN, Ordering::Release);
    }

    /// The library's thread closes. `false`: the frame path is inside at this moment.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        match self.0.compare_exchange(OPEN, CLOSED, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) | Err(CLOSED) => true,
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_closes_only_while_nobody_is_inside_and_stays_closed() {
        let gate = Gate::default();
        assert!(gate.enter());
        assert!(!gate.close());
        gate.leave();
        assert!(gate.close());
        assert!(gate.close());
        assert!(!gate.enter());
    }
}
