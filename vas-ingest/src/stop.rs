//! One flag that asks a camera to stop, and that can be waited for; and one that ends a wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Set once; polled by FFmpeg's blocking calls and waited for by everything that sleeps.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    requested: AtomicBool,
    /// The camera leaves the configuration.
    is_removal: AtomicBool,
    /// Whoever waits for its next try is to try now.
    nudged: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// Asks for the stop. Calling it again changes nothing.
    pub(crate) fn request(&self) {
        // Set under the lock: a waiter between its check and its wait would otherwise miss the notification.
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.requested.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Asks for the stop of a camera that leaves the configuration.
    pub(crate) fn request_removal(&self) {
        self.is_removal.store(true, Ordering::Release);
        self.request();
    }

    /// Does the camera leave the configuration?
    pub(crate) fn is_removal(&self) -> bool {
        self.is_removal.load(Ordering::Acquire)
    }

    /// Has the stop been asked for?
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Ends a wait for the next try, the one that goes on or else the next one.
    pub(crate) fn nudge(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.nudged.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// A nudge that nobody waited for is forgotten.
    pub(crate) fn forget_nudge(&self) {
        self.nudged.store(false, Ordering::Release);
    }

    /// Sleeps until `due`, or until the stop. True: it was the stop.
    pub(crate) fn wait_until(&self, due: Instant) -> bool {
        self.wait(due, || None) == Woken::Stop
    }

    /// Sleeps for `time`, or until the stop or a nudge.
    pub(crate) fn wait_for_next_try(&self, time: Duration) -> Woken {
        self.wait(Instant::now() + time, || self.nudged.swap(false, Ordering::AcqRel).then_some(Woken::Nudge))
    }

    /// Sleeps for `time`, or until the stop; a nudge does not count.
    pub(crate) fn wait_for(&self, time: Duration) -> Woken {
        self.wait(Instant::now() + time, || None)
    }

    fn wait(&self, due: Instant, other: impl Fn() -> Option<Woken>) -> Woken {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_requested() {
                return Woken::Stop;
            }
            if let Some(woken) = other() {
                return woken;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Time;
            }
            guard = self.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Woken {
    pub(crate) fn is_stop(self) -> bool {
        self == Self::Stop
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The stop.
    Stop,
    /// Somebody wants the next try now.
    Nudge,
    /// Its time was up.
    Time,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_wait_ends_early_when_the_stop_comes() {
        let stop = Arc::new(Stop::default());
        let waiter = Arc::clone(&stop);
        let thread = std::thread::spawn(move || waiter.wait_for_next_try(Duration::from_secs(600)));
        stop.request();
        assert_eq!(thread.join().unwrap(), Woken::Stop);
    }

    #[test]
    fn a_nudge_ends_one_wait_for_the_next_try_and_no_other() {
        let stop = Stop::default();
        stop.nudge();
        assert!(!stop.wait_until(Instant::now() + Duration::from_millis(20)));
        assert_eq!(stop.wait_for_next_try(Duration::from_secs(600)), Woken::Nudge);
        assert_eq!(stop.wait_for_next_try(Duration::from_millis(20)), Woken::Time);
        stop.nudge();
        stop.forget_nudge();
        assert_eq!(stop.wait_for_next_try(Duration::from_millis(20)), Woken::Time);
    }

    #[test]
    fn a_wait_without_a_stop_lasts_its_time() {
        let start = Instant::now();
        assert!(!Stop::default().wait_until(start + Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
