//! A borrowed frame.

use crate::clock::monotonic_ns;
use crate::error::{CopyError, Overwritten};
use crate::map::RawNv12;
use crate::open::Reader;
use std::time::Duration;
use vas_shm_proto::snapshot::Snapshot;
use vas_shm_proto::{Color, FrameFlags, FrameId, Nv12};

/// A frame that stood complete in shared memory when it was found. Nothing was copied.
///
/// The server goes on writing: at a steady rate the frame stays for at least S - 1 frame periods (S slots, three by default),
/// in a burst for less. So nothing that is read of it counts until the check afterwards: [`Frame::with`] and
/// [`Frame::copy_to`] do that check, [`Frame::is_intact`] is the check itself.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'r> {
    reader: &'r Reader,
    snapshot: Snapshot,
    raw: RawNv12<'r>,
}

impl<'r> Frame<'r> {
    pub(crate) fn new(reader: &'r Reader, snapshot: Snapshot) -> Self {
        let raw = reader.raw(&snapshot);
        Self { reader, snapshot, raw }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    /// For what does the check itself.
    #[cfg(feature = "convert")]
    pub(crate) fn raw(&self) -> RawNv12<'r> {
        self.raw
    }

    /// The frame's number. Rises by one per exported frame; comparable inside one generation only.
    #[must_use]
    pub fn id(&self) -> FrameId {
        self.snapshot.id()
    }

    /// CLOCK_MONOTONIC in nanoseconds when the server had the frame decoded.
    #[must_use]
    pub fn timestamp_ns(&self) -> u64 {
        self.snapshot.timestamp_ns()
    }

    /// How long ago the server had the frame decoded; zero if this process has a clock of its own that says otherwise.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(monotonic_ns().saturating_sub(self.timestamp_ns()))
    }

    /// All flags of the frame.
    #[must_use]
    pub fn flags(&self) -> FrameFlags {
        self.snapshot.flags()
    }

    /// Whether the decoder reported loss or concealment: good to look at, not to measure by.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.flags().is_damaged()
    }

    /// Which pair of files the frame is from; another generation means another geometry or another run of the server.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.reader.header().generation()
    }

    /// Sizes, stride and offsets.
    #[must_use]
    pub fn picture(&self) -> &'r Nv12 {
        self.reader.header().picture()
    }

    /// Colour description.
    #[must_use]
    pub fn color(&self) -> Color {
        self.reader.header().color()
    }

    /// Whether everything read of this frame so far, through any of its methods or pointers, is this frame and nothing else.
    /// Costs a fence and a load; may be asked in the middle of long work.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.reader.is_intact(&self.snapshot)
    }

    /// Works on the frame in place and lets the result out only if the frame was whole to the end. The planes themselves cannot
    /// be let out.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
    /// use vas_shm_reader::{Frame, Overwritten};
    ///
    /// fn brightness(frame: &Frame<'_>) -> Result<u64, Overwritten> {
    ///     frame.with(|nv12| {
    ///         let mut row = vec![0; nv12.picture().width() as usize];
    ///         nv12.copy_luma_row(0, &mut row);
    ///         row.iter().map(|&luma| u64::from(luma)).sum::<u64>() / row.len() as u64
    ///     })
    /// }
    /// # let server = server::Server::start();
    /// # let camera = vas_shm_reader::CameraId::new("front")?;
    /// # let mut stream = vas_shm_reader::FrameStream::new(server.path(), camera);
    /// # let mut events = 0;
    /// # let frame = loop {
    /// #     events += 1;
    /// #     assert!(events < 10, "no frame");
    /// #     match stream.next_event(std::time::Duration::from_secs(60)) {
    /// #         vas_shm_reader::Event::Frame(frame) => break frame,
    /// #         _ => {}
    /// #     }
    /// # };
    /// assert_eq!(brightness(&frame)?, 16); // a black picture: limited range begins at 16
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Overwritten`]; the result is thrown away.
    pub fn with<R>(&self, work: impl FnOnce(RawNv12<'_>) -> R) -> Result<R, Overwritten> {
        let result = work(self.raw);
        if self.is_intact() { Ok(result) } else { Err(Overwritten) }
    }

    /// Copies the visible picture without padding into `out`, which has at least [`Nv12::packed_size`] bytes.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
    /// # let server = server::Server::start();
    /// # let camera = vas_shm_reader::CameraId::new("front")?;
    /// # let mut stream = vas_shm_reader::FrameStream::new(server.path(), camera);
    /// # let mut events = 0;
    /// # let frame = loop {
    /// #     events += 1;
    /// #     assert!(events < 10, "no frame");
    /// #     match stream.next_event(std::time::Duration::from_secs(60)) {
    /// #         vas_shm_reader::Event::Frame(frame) => break frame,
    /// #         _ => {}
    /// #     }
    /// # };
    /// let mut buffer = vec![0; frame.picture().packed_size() as usize]; // kept from frame to frame
    /// frame.copy_to(&mut buffer)?;
    /// # assert_eq!(buffer, [16; 64 * 48 * 3 / 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CopyError::Overwritten`] (the buffer then holds a mixture), [`CopyError::BufferTooSmall`].
    pub fn copy_to(&self, out: &mut [u8]) -> Result<(), CopyError> {
        let need = self.picture().packed_size() as usize;
        let have = out.len();
        let out = out.get_mut(..need).ok_or(CopyError::BufferTooSmall { have, need })?;
        Ok(self.with(|nv12| nv12.copy_packed_to(out))?)
    }

    /// A private copy of the visible picture without padding.
    ///
    /// # Errors
    /// [`Overwritten`].
    pub fn to_packed(&self) -> Result<Vec<u8>, Overwritten> {
        let mut out = vec![0; self.picture().packed_size() as usize];
        self.with(|nv12| nv12.copy_packed_to(&mut out))?;
        Ok(out)
    }
}
