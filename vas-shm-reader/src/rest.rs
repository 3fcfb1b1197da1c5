//! Waiting that somebody else may end: a nap on a word of this process.
//!
//! Nobody outside this process is waited for: the word is private, and the server knows nothing of it.

use crate::clock::monotonic_ns;
use rustix::thread::futex;
use rustix::time::Timespec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const GO_ON: u32 = 0;
const CANCELLED: u32 = 1;

/// Ends the waiting of a [`crate::FrameStream`] or a [`crate::FrameSet`] from another thread or from a signal handler.
///
/// Sticky: what is cancelled waits no more, neither in this call nor in the next, until [`Canceller::reset`]. A [`crate::FrameSet`] has
/// a canceller of its own, which takes the place of those that its streams had.
///
/// ```
/// use std::time::Duration;
/// use vas_shm_reader::{CameraId, Event, FrameStream};
///
/// let mut stream = FrameStream::new("/dev/shm/vas", CameraId::new("not-started-yet")?);
/// let canceller = stream.canceller();
/// std::thread::spawn(move || canceller.cancel());
/// loop {
///     match stream.next_event(Duration::from_secs(3600)) {
///         Event::Timeout => break, // long before the hour is over
///         Event::Frame(_) | Event::Status(_) => {}
///     }
/// }
/// assert!(stream.canceller().is_cancelled());
/// # Ok::<(), vas_shm_reader::CameraIdError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Canceller {
    word: Arc<AtomicU32>,
}

impl Canceller {
    /// Ends the waiting, now and from now on. One store and one system call; may be called in a signal handler.
    pub fn cancel(&self) {
        self.word.store(CANCELLED, Ordering::SeqCst);
        // More than this process has threads cannot wait. Waking nobody is no failure.
        let _ = futex::wake(&self.word, futex::Flags::PRIVATE, u32::MAX >> 1);
    }

    /// Whether somebody cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.word.load(Ordering::SeqCst) == CANCELLED
    }

    /// Lets it wait again. Only after the call that was to end has returned: who sleeps while it is cancelled and reset goes on sleeping.
    pub fn reset(&self) {
        self.word.store(GO_ON, Ordering::SeqCst);
    }

    /// Sleeps until `at_ns` of CLOCK_MONOTONIC, or until cancelled, or a little less if a signal came. Returns at once for a
    /// moment that is over.
    pub(crate) fn rest_until(&self, at_ns: u64) {
        let now_ns = monotonic_ns();
        if at_ns <= now_ns || self.is_cancelled() {
            std::hint::spin_loop();
            return;
        }
        let nap = Duration::from_nanos(at_ns - now_ns);
        // Less than a second's worth of hundred years fits into any field.
        let timeout =
            Timespec { tv_sec: nap.as_secs().min(1 << 31) as i64, tv_nsec: i64::from(nap.subsec_nanos()) };
        // Whatever ends it (time, cancel, a signal, a word that changed meanwhile): the caller looks again.
        let _ = futex::wait(&self.word, futex::Flags::PRIVATE, GO_ON, Some(&timeout));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_rest_ends_and_stays_ended_until_it_is_reset() {
        let canceller = Canceller::default();
        let other = canceller.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let rester = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            // A signal may end one nap; only the cancel ends the loop.
            while !other.is_cancelled() {
                other.rest_until(u64::MAX);
            }
            tell.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
        });
        let thread = told.recv().unwrap();
        // Asleep: who is awake finds out by itself, and the wake-up would not be tried.
        let stat = format!("/proc/self/task/{thread}/stat");
        let state = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('S');
        while !state() {
            std::thread::yield_now();
        }
        canceller.cancel();
        let within = Duration::from_secs(60);
        assert_eq!(told.recv_timeout(within), Ok(thread), "nobody woke it");
        rester.join().unwrap();
        canceller.rest_until(u64::MAX);
        canceller.reset();
        assert!(!canceller.is_cancelled());
    }

    #[test]
    fn a_rest_lasts_at_least_until_its_moment() {
        let canceller = Canceller::default();
        let at_ns = monotonic_ns() + 2_000_000;
        while monotonic_ns() < at_ns {
            canceller.rest_until(at_ns);
        }
        // A moment that is over ends at once, or this never would.
        canceller.rest_until(0);
    }
}
