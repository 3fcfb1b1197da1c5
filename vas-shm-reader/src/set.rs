//! Several cameras in one loop.

use crate::clock::monotonic_ns;
use crate::rest::Canceller;
use crate::stream::{Event, FrameStream, Step, Turn};
use std::time::Duration;

/// Several streams, waited for together on one thread.
///
/// Each camera keeps its own rhythm: a stream is looked at when its next frame is due, not whenever another has one. Whoever was
/// served last comes last the next time, so that a fast camera does not keep a slow one waiting.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// use std::time::Duration;
/// use vas_shm_reader::{Event, FrameSet, FrameStream, cameras};
///
/// # let server = server::Server::start();
/// # let base = server.path();
/// let mut set = FrameSet::new();
/// for camera in cameras(base)? {
///     set.add(FrameStream::new(base, camera));
/// }
/// while let Some((index, event)) = set.next_event(Duration::from_secs(5)) {
///     if let Event::Frame(frame) = event {
///         println!("camera {index}: frame {}", frame.id());
///         # break;
///     }
/// }
/// println!("the last one was of {}", set.streams()[0].camera());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct FrameSet {
    streams: Vec<FrameStream>,
    /// When each of them wants to be looked at again.
    looks_ns: Vec<u64>,
    canceller: Canceller,
    /// The stream that is asked first.
    first: usize,
}

impl FrameSet {
    /// No stream yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream and gives its index: 0 for the first, and one more each time. From now on the set's
    /// [canceller](FrameSet::canceller) is the stream's, too; one that was taken from the stream before has no hold on it any more.
    pub fn add(&mut self, stream: FrameStream) -> usize {
        self.streams.push(stream.with_canceller(self.canceller.clone()));
        self.looks_ns.push(0);
        self.streams.len() - 1
    }

    /// The streams, by index.
    #[must_use]
    pub fn streams(&self) -> &[FrameStream] {
        &self.streams
    }

    /// Ends the waiting from another thread or from a signal handler.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Waits for the next frame or the next change of state of any camera: its index and what it is, never [`Event::Timeout`].
    /// `None` if nothing happened for `timeout`, or it was cancelled.
    pub fn next_event(&mut self, timeout: Duration) -> Option<(usize, Event<'_>)> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = monotonic_ns().saturating_add(timeout_ns);
        let (index, found) = 'found: loop {
            if self.canceller.is_cancelled() {
                return None;
            }
            let now_ns = monotonic_ns();
            for turn in 0..self.streams.len() {
                let index = (self.first + turn) % self.streams.len();
                if self.looks_ns[index] > now_ns {
                    continue;
                }
                // Anew for each: one before it may have taken its time to open.
                let now_ns = monotonic_ns();
                match self.streams[index].step_to_news(now_ns) {
                    Step::Later(at_ns) => self.looks_ns[index] = at_ns,
                    Step::Again => self.looks_ns[index] = now_ns,
                    news => break 'found (index, news),
                }
            }
            if now_ns >= deadline_ns {
                return None;
            }
            let look_ns = self.looks_ns.iter().copied().min().unwrap_or(u64::MAX);
            self.canceller.rest_until(look_ns.min(deadline_ns));
        };
        self.first = (index + 1) % self.streams.len();
        // There may be more than one frame, or the next is found to be far off.
        self.looks_ns[index] = 0;
        match self.streams[index].lend(found) {
            Turn::Frame(frame) => Some((index, Event::Frame(frame))),
            Turn::Status(status) => Some((index, Event::Status(status))),
            Turn::Later(_) => None,
        }
    }
}
