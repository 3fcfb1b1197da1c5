//! A frame that needs no borrow of the stream it came from.

use crate::frame::Frame;
use crate::minder;
use crate::open::Reader;
use std::sync::Arc;
use vas_shm_proto::snapshot::Snapshot;

/// A frame that may be kept, sent to another thread or handed to another language: [`crate::StreamFrame::hold`].
///
/// What it holds is the mapping, not the picture: the server goes on and overwrites the slot as it would anyway, and then
/// [`Frame::is_intact`] says so. Its memory can be read as long as it lives, whatever becomes of the server and of the stream. A tenth of a
/// second after the server has ended the pair that the frame is from (it stopped, or put another pair in its place), or as soon as the
/// stream has left it, its pixels are zeros and it is not intact: a held frame keeps no memory of a pair that is over, and is not there when
/// the server takes that memory back. A thread of this crate looks after that; it is started with the first frame that is held, looks ten
/// times a second, and ends with the last pair that frames were held of. (A child made by `fork` inherits what was held, and nothing
/// that looks after it: it opens the camera anew, and reads no frame of its parent's.)
///
/// While any frame of a camera is held, the camera has a reader and goes on exporting.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// use std::time::Duration;
/// use vas_shm_reader::{CameraId, Event, FrameStream};
///
/// # let server = server::Server::start();
/// # let base = server.path();
/// let mut stream = FrameStream::new(base, CameraId::new("front")?);
/// let held = loop {
///     if let Event::Frame(frame) = stream.next_event(Duration::from_secs(5)) {
///         break frame.hold();
///     }
/// };
/// let worker = std::thread::spawn(move || held.frame().to_packed().map(|nv12| nv12.len()));
/// assert_eq!(worker.join().unwrap()?, 64 * 48 * 3 / 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeldFrame {
    reader: Arc<Reader>,
    snapshot: Snapshot,
    skipped: u64,
}

impl HeldFrame {
    pub(crate) fn new(reader: &Arc<Reader>, snapshot: Snapshot, skipped: u64) -> Self {
        minder::mind(reader);
        Self { reader: Arc::clone(reader), snapshot, skipped }
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        self.reader.frame(self.snapshot)
    }

    /// As [`crate::StreamFrame::skipped`].
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}
