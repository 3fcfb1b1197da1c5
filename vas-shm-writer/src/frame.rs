//! Begin, fill, publish: a frame on its way into a slot.

use crate::error::FillError;
use crate::exporter::Camera;
use crate::map::RawPlanes;
use crate::pair::Live;
use std::sync::Arc;
use vas_shm_proto::publish::{self, Claim, FrameInfo};
use vas_shm_proto::{Color, FrameFlags, FrameId, Nv12};

/// What the pictures of a camera look like. A change means new files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PictureFormat {
    /// Luma pixels per row, 1 to 16384.
    pub width: u32,
    /// Luma rows, 1 to 16384.
    pub height: u32,
    /// Colour description.
    pub color: Color,
}

impl PictureFormat {
    /// A picture of this size, in pixels, with these colours.
    #[must_use]
    pub const fn new(width: u32, height: u32, color: Color) -> Self {
        Self { width, height, color }
    }
}

/// What is said of a frame when it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamp {
    /// CLOCK_MONOTONIC in nanoseconds when the frame was decoded ([`crate::monotonic_ns`]).
    pub timestamp_ns: u64,
    /// The decoder reported loss or concealment in this frame or in one that it refers to.
    pub damaged: bool,
}

impl Stamp {
    /// An undamaged frame that was decoded at this moment, CLOCK_MONOTONIC in nanoseconds.
    #[must_use]
    pub const fn at(timestamp_ns: u64) -> Self {
        Self { timestamp_ns, damaged: false }
    }

    /// An undamaged frame that was decoded just now.
    #[must_use]
    pub fn now() -> Self {
        Self::at(crate::monotonic_ns())
    }

    /// Says whether the frame is damaged.
    #[must_use]
    pub const fn damaged(mut self, damaged: bool) -> Self {
        self.damaged = damaged;
        self
    }
}

/// A plane of a picture in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'p> {
    /// The rows, from the first byte of the first one; the last one may end with its visible bytes.
    pub data: &'p [u8],
    /// Bytes from one row to the next.
    pub stride_bytes: usize,
}

impl<'p> Plane<'p> {
    /// A plane.
    #[must_use]
    pub const fn new(data: &'p [u8], stride_bytes: usize) -> Self {
        Self { data, stride_bytes }
    }

    fn check(&self, plane: &'static str, row_bytes: usize, rows: usize) -> Result<(), FillError> {
        let Self { data, stride_bytes } = *self;
        if stride_bytes < row_bytes {
            return Err(FillError::Stride { plane, stride_bytes, row_bytes });
        }
        // rows is at least 1: a picture has no empty plane.
        let need = stride_bytes.saturating_mul(rows - 1).saturating_add(row_bytes);
        if data.len() < need {
            return Err(FillError::Length { plane, have: data.len(), need, rows, stride_bytes });
        }
        Ok(())
    }

    fn row(&self, y: usize, row_bytes: usize) -> &'p [u8] {
        &self.data[y * self.stride_bytes..][..row_bytes]
    }
}

/// A slot that belongs to the writer: taken from the readers, not yet handed back.
///
/// Fill it, then [`Slot::publish`]. Dropping it instead leaves nothing visible, and the frame's number for the next one.
///
/// ```
/// use vas_shm_writer::{Color, ColorRange, PictureFormat, Plane, Stamp};
///
/// # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
/// # let directory = tempfile::tempdir_in(shared_memory)?;
/// # let base = directory.path().join("vas");
/// # let (meta, mut _reader) = (base.join("front/frame.meta"), None);
/// # let exporter = vas_shm_writer::Exporter::start(vas_shm_writer::ExporterConfig::new(base))?;
/// # let mut camera = exporter.camera(vas_shm_writer::CameraId::new("front")?)?;
/// // JPEG's full range is said, not converted.
/// let format = PictureFormat::new(64, 48, Color { range: ColorRange::Full, ..Color::UNSPECIFIED });
/// let (luma, cb, cr) = ([0; 64 * 48], [128; 32 * 24], [128; 32 * 24]);
/// loop {
///     # _reader = std::fs::File::open(&meta).ok();
///     let Ok(mut slot) = camera.slot(format) else {
///         continue; // nobody is looking, or the files are being made: a server would go on with its next frame
///     };
///     slot.write_yuv420p(Plane::new(&luma, 64), Plane::new(&cb, 32), Plane::new(&cr, 32))?;
///     let id = slot.publish(Stamp::now().damaged(false));
///     println!("frame {id}");
///     # break;
/// }
/// # assert_eq!(camera.counters().published, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a slot that is not published was filled for nobody"]
pub struct Slot<'c> {
    camera: &'c mut Camera,
    live: Arc<Live>,
    // Taken out by publish; a slot that still has it when it is dropped was abandoned.
    claim: Option<Claim>,
    offset: u64,
}

impl<'c> Slot<'c> {
    /// Steps 1 and 2 of the protocol: the caller has passed the pair's gate.
    pub(crate) fn begin(camera: &'c mut Camera, live: Arc<Live>, id: FrameId) -> Self {
        let claim = publish::claim(live.map(), live.slots(), id);
        let offset = live.slot_offset(claim.slot());
        Self { camera, live, claim: Some(claim), offset }
    }

    /// Sizes, stride and offsets of the frame to be filled.
    #[must_use]
    pub fn picture(&self) -> &Nv12 {
        self.live.picture()
    }

    /// The planes, for foreign code that writes through pointers. Its stores may be non-temporal if they are made by the thread
    /// that publishes, which fences them; worker threads fence their own before they say that they are done. (Readers then read
    /// from memory what they could have had from the cache.)
    pub fn planes(&mut self) -> RawPlanes<'_> {
        self.live.map().planes(self.offset, self.live.picture())
    }

    /// Copies an NV12 picture in: luma, then interleaved chroma, with any strides.
    ///
    /// # Errors
    /// A plane that does not hold the picture; nothing was written.
    pub fn write_nv12(&mut self, luma: Plane<'_>, chroma: Plane<'_>) -> Result<(), FillError> {
        let picture = *self.picture();
        let (rows, row_bytes) = (picture.height() as usize, picture.width() as usize);
        let (chroma_rows, chroma_row_bytes) =
            (picture.chroma_rows() as usize, picture.chroma_row_bytes() as usize);
        luma.check("luma", row_bytes, rows)?;
        chroma.check("chroma", chroma_row_bytes, chroma_rows)?;
        let mut planes = self.planes();
        copy_plane(&mut planes, 0, luma, row_bytes, rows);
        copy_plane(&mut planes, picture.uv_offset(), chroma, chroma_row_bytes, chroma_rows);
        Ok(())
    }

    /// Converts a planar 4:2:0 picture on its way in: luma is copied, the two chroma planes are interleaved. With any strides;
    /// the values are not touched, so full range stays full range.
    ///
    /// # Errors
    /// A plane that does not hold the picture; nothing was written.
    pub fn write_yuv420p(&mut self, luma: Plane<'_>, cb: Plane<'_>, cr: Plane<'_>) -> Result<(), FillError> {
        let picture = *self.picture();
        let (rows, row_bytes) = (picture.height() as usize, picture.width() as usize);
        let (chroma_rows, pairs) = (picture.chroma_rows() as usize, picture.chroma_row_bytes() as usize / 2);
        luma.check("luma", row_bytes, rows)?;
        cb.check("cb", pairs, chroma_rows)?;
        cr.check("cr", pairs, chroma_rows)?;
        // A row is interleaved in private memory that stays in the first-level cache, and copied from there: the compiler
        // vectorises the first, and the second is the one way by which pixels go into shared memory.
        let mut row = std::mem::take(&mut self.camera.row);
        row.resize(pairs * 2, 0);
        let mut planes = self.live.map().planes(self.offset, self.live.picture());
        copy_plane(&mut planes, 0, luma, row_bytes, rows);
        for y in 0..chroma_rows {
            interleave(cb.row(y, pairs), cr.row(y, pairs), &mut row);
            planes.copy_in(picture.uv_offset() + y as u64 * u64::from(picture.stride_bytes()), &row);
        }
        self.camera.row = row;
        Ok(())
    }

    /// Hands the frame to the readers and returns its number. Never waits, calls nothing, allocates nothing.
    pub fn publish(mut self, stamp: Stamp) -> FrameId {
        let flags = if stamp.damaged { FrameFlags::DAMAGED } else { FrameFlags::default() };
        let claim = self.claim.take().expect("a slot has its claim until it is published");
        let id = claim.id();
        publish::publish(self.live.map(), claim, FrameInfo { timestamp_ns: stamp.timestamp_ns, flags });
        self.camera.published(id, &self.live);
        id
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.live.gate().leave();
    }
}

fn copy_plane(planes: &mut RawPlanes<'_>, offset: u64, from: Plane<'_>, row_bytes: usize, rows: usize) {
    let stride = planes.picture().stride_bytes();
    if from.stride_bytes == row_bytes && row_bytes == stride as usize {
        planes.copy_in(offset, &from.data[..row_bytes * rows]);
        return;
    }
    // Row by row where rows have padding: what lies there is the server's private memory, and no reader's business.
    for y in 0..rows {
        planes.copy_in(offset + y as u64 * u64::from(stride), from.row(y, row_bytes));
    }
}

fn interleave(cb: &[u8], cr: &[u8], out: &mut [u8]) {
    for ((pair, &cb), &cr) in out.chunks_exact_mut(2).zip(cb).zip(cr) {
        pair[0] = cb;
        pair[1] = cr;
    }
}
