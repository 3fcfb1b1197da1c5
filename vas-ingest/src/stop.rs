//! One flag that asks everything to stop, and that can be waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Set once; polled by FFmpeg's blocking calls and waited for by everything that sleeps.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    requested: AtomicBool,
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

    /// Has the stop been asked for?
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Sleeps until `due`, or until the stop. True: it was the stop.
    pub(crate) fn wait_until(&self, due: Instant) -> bool {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_requested() {
                return true;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sleeps for `time`, or until the stop. True: it was the stop.
    pub(crate) fn wait_for(&self, time: Duration) -> bool {
        self.wait_until(Instant::now() + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_wait_ends_early_when_the_stop_comes() {
        let stop = Arc::new(Stop::default());
        let waiter = Arc::clone(&stop);
        let thread = std::thread::spawn(move || waiter.wait_for(Duration::from_secs(600)));
        stop.request();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_wait_without_a_stop_lasts_its_time() {
        let start = Instant::now();
        assert!(!Stop::default().wait_for(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
