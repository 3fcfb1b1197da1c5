//! Frames for asynchronous programs, whatever runs them.

use crate::clock::monotonic_ns;
use crate::held::HeldFrame;
use crate::stream::{FrameStream, StreamStatus, Turn};
use futures_core::Stream;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What an asynchronous stream yields.
#[derive(Clone, Debug)]
pub enum AsyncEvent {
    /// A frame.
    Frame(HeldFrame),
    /// Something changed; said once per change. The stream goes on by itself whatever it is.
    Status(StreamStatus),
}

/// A [`FrameStream`] as a [`futures_core::Stream`]. It ends when the stream is [cancelled](FrameStream::canceller), which is noticed at the
/// next look, a tenth of a second later at most; or drop it to leave.
///
/// It needs no runtime's timer: one thread of this library, started with the first of them, wakes all tasks of the process that wait
/// for frames. A wait costs that thread's switch more than [`FrameStream::next_event`]'s. With [`crate::Policy::LowLatency`] a task is
/// woken again and again while a frame is due, and others of its runtime have their turns in between. (A child made by `fork` has no such
/// thread.)
///
/// Looking for a camera's files and opening them takes a few system calls on a file system in memory; they are made where it is polled.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// use futures_lite::StreamExt;
/// use vas_shm_reader::{AsyncEvent, AsyncFrames, CameraId, FrameStream};
///
/// # let server = server::Server::start();
/// # let base = server.path();
/// let mut frames = AsyncFrames::new(FrameStream::new(base, CameraId::new("front")?));
/// # futures_lite::future::block_on(async {
/// while let Some(event) = frames.next().await {
///     if let AsyncEvent::Frame(held) = event {
///         println!("frame {}", held.frame().id());
///         # break;
///     }
/// }
/// # });
/// # Ok::<(), vas_shm_reader::CameraIdError>(())
/// ```
#[derive(Debug)]
pub struct AsyncFrames {
    stream: FrameStream,
    alarm: Option<Alarm>,
}

impl AsyncFrames {
    /// The same stream, to be awaited.
    #[must_use]
    pub fn new(stream: FrameStream) -> Self {
        Self { stream, alarm: None }
    }

    /// The stream: its camera, its counts, what it has open.
    #[must_use]
    pub fn stream(&self) -> &FrameStream {
        &self.stream
    }
}

/// # Panics
/// When the process may have no more threads, at the first wait: it would hang without a word.
impl Stream for AsyncFrames {
    type Item = AsyncEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AsyncEvent>> {
        // Whatever was set is over: this look comes now.
        self.alarm = None;
        if self.stream.canceller().is_cancelled() {
            return Poll::Ready(None);
        }
        let look = match self.stream.try_event() {
            Turn::Frame(frame) => return Poll::Ready(Some(AsyncEvent::Frame(frame.hold()))),
            Turn::Status(status) => return Poll::Ready(Some(AsyncEvent::Status(status))),
            Turn::Later(look) => look,
        };
        if look.at_ns() <= monotonic_ns() {
            context.waker().wake_by_ref();
        } else {
            self.alarm = Some(Alarm::set(look.at_ns(), context.waker()));
        }
        Poll::Pending
    }
}

/// A wake-up that is taken back when it is dropped.
#[derive(Debug)]
struct Alarm {
    key: Key,
}

/// When, and a number that tells two of the same moment apart.
type Key = (u64, u64);

#[derive(Debug, Default)]
struct Clock {
    alarms: Mutex<(u64, BTreeMap<Key, Waker>)>,
    changed: Condvar,
}

impl Clock {
    fn alarms(&self) -> MutexGuard<'_, (u64, BTreeMap<Key, Waker>)> {
        // Nothing in here panics half way through a change.
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: sleeps until the next alarm, or until there is an earlier one.
    fn tick(&self) {
        let mut alarms = self.alarms();
        loop {
            let now_ns = monotonic_ns();
            let Some((&key, _)) = alarms.1.first_key_value() else {
                alarms = self.changed.wait(alarms).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if key.0 > now_ns {
                let nap = Duration::from_nanos(key.0 - now_ns);
                alarms = self.changed.wait_timeout(alarms, nap).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let waker = alarms.1.remove(&key);
            // A waker may run code of the program's, which may set the next alarm.
            drop(alarms);
            if let Some(waker) = waker {
                // Nor does one that panics keep the others from being woken; the panic's own message is all there is to tell.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
            }
            alarms = self.alarms();
        }
    }
}

/// The clock of this process, and its thread.
fn clock() -> &'static Clock {
    static CLOCK: OnceLock<&'static Clock> = OnceLock::new();
    CLOCK.get_or_init(|| {
        let clock: &'static Clock = Box::leak(Box::default());
        let thread = std::thread::Builder::new().name("vas-frames-timer".to_owned());
        // A process that may have no more threads cannot wait; it would hang without a word.
        thread.spawn(|| clock.tick()).expect("a thread for the timer of asynchronous streams");
        clock
    })
}

impl Alarm {
    fn set(at_ns: u64, waker: &Waker) -> Self {
        let clock = clock();
        let mut alarms = clock.alarms();
        alarms.0 += 1;
        let key = (at_ns, alarms.0);
        let is_first = alarms.1.first_key_value().is_none_or(|(&first, _)| key < first);
        alarms.1.insert(key, waker.clone());
        drop(alarms);
        if is_first {
            clock.changed.notify_one();
        }
        Self { key }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // The waker is dropped behind the lock: it may be the last of a task that has an alarm of its own.
        let _waker = clock().alarms().1.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    struct Tells(Mutex<Sender<u64>>, u64);

    impl Wake for Tells {
        fn wake(self: Arc<Self>) {
            let _ = self.0.lock().expect("no panic").send(self.1);
        }
    }

    #[test]
    fn alarms_ring_in_the_order_of_their_moments_and_not_before_and_not_after_they_were_taken_back() {
        let (sender, rung) = channel();
        let waker = |number| Waker::from(Arc::new(Tells(Mutex::new(sender.clone()), number)));
        let begun_ns = monotonic_ns();
        let late = Alarm::set(begun_ns + 40_000_000, &waker(3));
        let early = Alarm::set(begun_ns + 20_000_000, &waker(1));
        let same = Alarm::set(begun_ns + 20_000_000, &waker(2));
        drop(Alarm::set(begun_ns + 1_000_000, &waker(0)));
        assert_eq!([rung.recv(), rung.recv(), rung.recv()], [Ok(1), Ok(2), Ok(3)]);
        assert!(monotonic_ns() >= begun_ns + 40_000_000);
        drop((late, early, same));
    }
}
