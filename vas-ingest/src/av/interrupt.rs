//! The deadline of a camera: FFmpeg's blocking calls ask it, several times a second, whether to give up.
//!
//! A socket timeout alone is not enough: any byte restarts it, so a camera that has stopped sending video but still sends
//! its RTCP reports would never be noticed. This deadline is renewed per decoded frame.

use crate::stop::Stop;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why a blocking call was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server is stopping.
    Stopped,
    /// The deadline passed.
    Deadline,
}

/// When a camera's blocking calls end. The error code of an interrupted call means nothing (it may well be "Invalid data
/// found"): ask [`Interrupt::cause`] first.
#[derive(Debug)]
pub(crate) struct Interrupt {
    stop: Arc<Stop>,
    origin: Instant,
    /// Microseconds after `origin`.
    deadline_us: AtomicU64,
    /// While set, the stop does not interrupt: a short deadline does, so that the camera still hears of the end.
    closing: AtomicBool,
    /// Nothing good can come of the call any more.
    given_up: AtomicBool,
}

impl Interrupt {
    /// Nothing is interrupted before the first [`Interrupt::arm`], except by the stop.
    pub(crate) fn new(stop: Arc<Stop>) -> Arc<Self> {
        let deadline_us = AtomicU64::new(u64::MAX);
        let (closing, given_up) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { stop, origin: Instant::now(), deadline_us, closing, given_up })
    }

    /// From now on calls end at once, but for the farewell. No cause of ours: whoever gave up has one to tell.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// See [`Interrupt::give_up`].
    pub(super) fn was_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// From now on, calls end `time` from now.
    pub(crate) fn arm(&self, time: Duration) {
        let deadline = self.origin.elapsed().saturating_add(time);
        self.deadline_us.store(u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Runs `close` with `time` for a farewell, stop or not. Afterwards everything is as it was: the deadline may be that of a
    /// call that failed just now, or of another input that goes on.
    pub(super) fn while_closing(&self, time: Duration, close: impl FnOnce()) {
        let deadline_us = self.deadline_us.load(Ordering::Relaxed);
        self.arm(time);
        self.closing.store(true, Ordering::Relaxed);
        close();
        self.closing.store(false, Ordering::Relaxed);
        self.deadline_us.store(deadline_us, Ordering::Relaxed);
    }

    /// Why calls end now; None: they may go on.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if self.stop.is_requested() && !self.closing.load(Ordering::Relaxed) {
            Some(Cause::Stopped)
        } else if self.origin.elapsed().as_micros() > u128::from(self.deadline_us.load(Ordering::Relaxed)) {
            Some(Cause::Deadline)
        } else {
            None
        }
    }

    /// What FFmpeg passes back to [`Interrupt::callback`].
    pub(super) fn opaque(self: &Arc<Self>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// `AVIOInterruptCB.callback`: 1 ends the call. Nothing in it can panic, so nothing unwinds into C.
    ///
    /// # Safety
    /// `opaque` is from [`Interrupt::opaque`] of an `Arc` that is alive.
    pub(super) unsafe extern "C" fn callback(opaque: *mut c_void) -> c_int {
        // SAFETY: the caller's promise: it points to a living Interrupt, which is only ever shared (all its fields are
        // atomics or constant).
        let interrupt = unsafe { &*opaque.cast::<Self>() };
        let is_given_up = interrupt.was_given_up() && !interrupt.closing.load(Ordering::Relaxed);
        c_int::from(is_given_up || interrupt.cause().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_deadline_interrupts_and_a_new_one_lets_go_on() {
        let interrupt = Interrupt::new(Arc::default());
        assert_eq!(interrupt.cause(), None);
        interrupt.arm(Duration::ZERO);
        while interrupt.cause().is_none() {
            std::hint::spin_loop();
        }
        assert_eq!(interrupt.cause(), Some(Cause::Deadline));
        interrupt.arm(Duration::from_secs(600));
        assert_eq!(interrupt.cause(), None);
    }

    #[test]
    fn the_stop_interrupts_everything_but_the_farewell() {
        let stop = Arc::new(Stop::default());
        let interrupt = Interrupt::new(Arc::clone(&stop));
        interrupt.arm(Duration::from_secs(600));
        stop.request();
        assert_eq!(interrupt.cause(), Some(Cause::Stopped));
        interrupt.while_closing(Duration::from_secs(600), || assert_eq!(interrupt.cause(), None));
        interrupt.while_closing(Duration::ZERO, || {
            while interrupt.cause().is_none() {
                std::hint::spin_loop();
            }
            assert_eq!(interrupt.cause(), Some(Cause::Deadline));
        });
        assert_eq!(interrupt.cause(), Some(Cause::Stopped), "for what goes on after the farewell");
    }

    #[test]
    fn a_deadline_that_passed_before_the_farewell_is_still_the_cause_after_it() {
        let interrupt = Interrupt::new(Arc::default());
        interrupt.arm(Duration::ZERO);
        while interrupt.cause().is_none() {
            std::hint::spin_loop();
        }
        interrupt.while_closing(Duration::from_secs(600), || assert_eq!(interrupt.cause(), None));
        assert_eq!(interrupt.cause(), Some(Cause::Deadline));
    }
}
