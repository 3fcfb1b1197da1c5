//! Where the streaming thread asks whether it may go on: a pause holds it up, a flush sends it home.
//!
//! GStreamer (1.18 to 1.26) ends a source's waiting for a flush, not for a pause: `create` goes on, and a frame that it finds meanwhile
//! would be handed on with a time of the pause. So the element is asked for its change of state, and waits here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use vas_shm_reader::Canceller;

/// One for the element.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Of the stream of frames that stands behind the gate; none while the element is stopped.
    canceller: Option<Canceller>,
    is_paused: bool,
    is_flushing: bool,
    /// How often it began to flush: a call that was under way then ends, however short the flush was.
    flushes: u64,
}

/// One call of the streaming thread, from its beginning to its return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    flushes: u64,
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Go on.
    Open,
    /// Go on; there was a pause before.
    AfterPause,
    /// Return.
    Flushing,
}

impl State {
    fn cancel(&self) {
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }

    fn ends(&self, visit: Visit) -> bool {
        self.is_flushing || self.flushes != visit.flushes
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another stream of frames stands behind it from now on, or none.
    pub(crate) fn guard(&self, canceller: Option<Canceller>) {
        self.state().canceller = canceller;
    }

    /// Nobody gets past from now on, and who waits for a frame returns to the gate.
    pub(crate) fn pause(&self) {
        let mut state = self.state();
        state.is_paused = true;
        state.cancel();
    }

    /// The pause is over.
    pub(crate) fn resume(&self) {
        self.state().is_paused = false;
        self.changed.notify_all();
    }

    /// Every call that is under way ends, and those that come before [`Gate::end_flush`].
    pub(crate) fn flush(&self) {
        let mut state = self.state();
        state.is_flushing = true;
        state.flushes += 1;
        state.cancel();
        self.changed.notify_all();
    }

    /// Calls that come from now on may pass.
    pub(crate) fn end_flush(&self) {
        self.state().is_flushing = false;
    }

    /// The streaming thread is here.
    pub(crate) fn enter(&self) -> Visit {
        Visit { flushes: self.state().flushes }
    }

    /// Waits while there is a pause. The streaming thread asks before it waits for a frame: what was cancelled is that waiting, which has
    /// returned when this is called, so it may wait again.
    pub(crate) fn pass(&self, visit: Visit) -> Pass {
        let mut state = self.state();
        let mut pass = Pass::Open;
        while state.is_paused && !state.ends(visit) {
            pass = Pass::AfterPause;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ends(visit) {
            return Pass::Flushing;
        }
        if let Some(canceller) = &state.canceller {
            canceller.reset();
        }
        pass
    }

    /// Whether [`Gate::pass`] would not say [`Pass::Open`] now.
    pub(crate) fn is_closed(&self, visit: Visit) -> bool {
        let state = self.state();
        state.is_paused || state.ends(visit)
    }

    /// Whether the call has to return.
    pub(crate) fn ends(&self, visit: Visit) -> bool {
        self.state().ends(visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_ends_the_call_that_it_met_however_short_it_was() {
        let gate = Gate::default();
        let before = gate.enter();
        assert_eq!(gate.pass(before), Pass::Open);
        gate.flush();
        let during = gate.enter();
        assert_eq!(gate.pass(during), Pass::Flushing);
        gate.end_flush();
        assert_eq!(gate.pass(before), Pass::Flushing);
        assert_eq!(gate.pass(gate.enter()), Pass::Open);
    }

    #[test]
    fn a_pause_holds_up_until_it_is_over_or_a_flush_comes() {
        for (ends, said) in
            [(Gate::resume as fn(&Gate), Pass::AfterPause), (Gate::flush as fn(&Gate), Pass::Flushing)]
        {
            let gate = Gate::default();
            let visit = gate.enter();
            gate.pause();
            assert!(gate.is_closed(visit) && !gate.ends(visit));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| gate.pass(visit));
                ends(&gate);
                // One that came too late for the pause saw none.
                let pass = waiting.join().expect("it returns");
                assert!(pass == said || (said == Pass::AfterPause && pass == Pass::Open), "{pass:?}");
            });
        }
    }
}
