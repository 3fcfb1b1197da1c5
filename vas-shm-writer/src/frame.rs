//! Begin, fill, publish: a frame on its way into a slot.

use crate::error::FillError;
use crate::exporter::Camera;
use crate::map::RawPlanes;
use crate::pair::Live;
use std::borrow::BorrowMut;
use std::ops::Deref;
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

/// A slot that borrows its camera: what [`Camera::slot`] gives.
pub type Slot<'c> = SlotOf<&'c mut Camera>;

/// A slot that has its camera in it, and gives it back when it is published: what [`Camera::into_slot`] gives.
pub type OwnedSlot = SlotOf<Camera>;

/// A slot that belongs to the writer: taken from the readers, not yet handed back. As [`Slot`] it borrows its camera, as
/// [`OwnedSlot`] it owns it; everything else is the same.
///
/// Fill it, then publish it. Dropping it instead leaves nothing visible, and the frame's number for the next one.
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
pub struct SlotOf<C: BorrowMut<Camera>> {
    // Dropped in this order: the pair is left before a camera that is owned ends.
    live: Inside,
    claim: Claim,
    offset: u64,
    camera: C,
}

/// A pair inside whose gate the frame path is, until this is dropped.
#[derive(Debug)]
struct Inside(Arc<Live>);

impl Deref for Inside {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.gate().leave();
    }
}

impl<C: BorrowMut<Camera>> SlotOf<C> {
    /// Steps 1 and 2 of the protocol: the caller has passed the pair's gate.
    pub(crate) fn begin(camera: C, live: Arc<Live>, id: FrameId) -> Self {
        let claim = publish::claim(live.map(), live.slots(), id);
        let offset = live.slot_offset(claim.slot());
        Self { live: Inside(live), claim, offset, camera }
    }

    /// The camera, to look at.
    #[must_use]
    pub fn camera(&self) -> &Camera {
        self.camera.borrow()
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
        fill_nv12(&mut self.planes(), luma, chroma)
    }

    /// Converts a planar 4:2:0 picture on its way in: luma is copied, the two chroma planes are interleaved, each byte once. With any strides;
    /// the values are not touched, so full range stays full range.
    ///
    /// # Errors
    /// A plane that does not hold the picture; nothing was written.
    pub fn write_yuv420p(&mut self, luma: Plane<'_>, cb: Plane<'_>, cr: Plane<'_>) -> Result<(), FillError> {
        fill_yuv420p(&mut self.planes(), luma, cb, cr)
    }

    /// Steps 4 to 6 of the protocol.
    fn finish(self, stamp: Stamp) -> (C, FrameId) {
        let Self { live, claim, offset: _, mut camera } = self;
        let flags = if stamp.damaged { FrameFlags::DAMAGED } else { FrameFlags::default() };
        let info = FrameInfo { timestamp_ns: stamp.timestamp_ns, flags };
        // The flag "idle" goes after the frame is there (IDLE-3), which is why that is told by what publishing returns.
        let id = publish::publish(live.map(), claim, info);
        camera.borrow_mut().published(id, &live);
        (camera, id)
    }
}

impl SlotOf<&mut Camera> {
    /// Hands the frame to the readers and returns its number. Never waits, calls nothing, allocates nothing.
    pub fn publish(self, stamp: Stamp) -> FrameId {
        self.finish(stamp).1
    }
}

impl SlotOf<Camera> {
    /// Hands the frame to the readers; gives the camera back, and the frame's number. Never waits, calls nothing, allocates
    /// nothing.
    pub fn publish(self, stamp: Stamp) -> (Camera, FrameId) {
        self.finish(stamp)
    }

    /// Gives the camera back and leaves nothing visible. (Dropping the slot stops its camera.)
    #[must_use = "dropping the camera stops it"]
    pub fn abandon(self) -> Camera {
        self.camera
    }
}

fn fill_nv12(planes: &mut RawPlanes<'_>, luma: Plane<'_>, chroma: Plane<'_>) -> Result<(), FillError> {
    let picture = *planes.picture();
    let (rows, row_bytes) = (picture.height() as usize, picture.width() as usize);
    let (chroma_rows, chroma_row_bytes) =
        (picture.chroma_rows() as usize, picture.chroma_row_bytes() as usize);
    luma.check("luma", row_bytes, rows)?;
    chroma.check("chroma", chroma_row_bytes, chroma_rows)?;
    copy_plane(planes, 0, luma, row_bytes, rows);
    copy_plane(planes, picture.uv_offset(), chroma, chroma_row_bytes, chroma_rows);
    Ok(())
}

fn fill_yuv420p(
    planes: &mut RawPlanes<'_>,
    luma: Plane<'_>,
    cb: Plane<'_>,
    cr: Plane<'_>,
) -> Result<(), FillError> {
    let picture = *planes.picture();
    let (rows, row_bytes) = (picture.height() as usize, picture.width() as usize);
    let (chroma_rows, pairs) = (picture.chroma_rows() as usize, picture.chroma_row_bytes() as usize / 2);
    luma.check("luma", row_bytes, rows)?;
    cb.check("cb", pairs, chroma_rows)?;
    cr.check("cr", pairs, chroma_rows)?;
    copy_plane(planes, 0, luma, row_bytes, rows);
    for y in 0..chroma_rows {
        let offset = picture.uv_offset() + y as u64 * u64::from(picture.stride_bytes());
        planes.interleave_in(offset, cb.row(y, pairs), cr.row(y, pairs));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::stand_in::filled;
    use proptest::prelude::*;

    /// What a slot holds before; and what stands in front of it and behind it.
    const BEFORE: u8 = 0xA5;
    /// What lies between the rows of the server's pictures, and must not be seen in a slot.
    const PRIVATE: u8 = 0x5A;
    const MARGIN: usize = 64;

    /// A plane of `rows` rows, each byte like none of its neighbours and neither of the two above; as short as it may be.
    #[derive(Clone, Debug)]
    struct Picture {
        data: Vec<u8>,
        row_bytes: usize,
        stride_bytes: usize,
    }

    impl Picture {
        fn new(row_bytes: usize, rows: usize, padding_bytes: usize, seed: usize) -> Self {
            let stride_bytes = row_bytes + padding_bytes;
            let mut data = vec![PRIVATE; stride_bytes * (rows - 1) + row_bytes];
            for (y, row) in data.chunks_mut(stride_bytes).enumerate() {
                for (x, byte) in row.iter_mut().take(row_bytes).enumerate() {
                    let value = (x * 7 + y * 31 + seed) % 254;
                    // 0 to 255 without the two.
                    *byte = [value, value + 1, value + 2]
                        .map(|value| value as u8)
                        .into_iter()
                        .find(|value| ![BEFORE, PRIVATE].contains(value))
                        .unwrap_or_default();
                }
            }
            Self { data, row_bytes, stride_bytes }
        }

        fn plane(&self) -> Plane<'_> {
            Plane::new(&self.data, self.stride_bytes)
        }

        fn row(&self, y: usize) -> &[u8] {
            &self.data[y * self.stride_bytes..][..self.row_bytes]
        }
    }

    /// The slot as a plain model has it: rows where the format says, everything else untouched.
    fn model(nv12: &Nv12, luma: &Picture, chroma_rows: &[Vec<u8>]) -> Vec<u8> {
        let mut memory = vec![BEFORE; 2 * MARGIN + nv12.data_size() as usize];
        let (stride, uv) = (nv12.stride_bytes() as usize, nv12.uv_offset() as usize);
        for y in 0..nv12.height() as usize {
            let row = luma.row(y);
            memory[MARGIN + y * stride..][..row.len()].copy_from_slice(row);
        }
        for (y, row) in chroma_rows.iter().enumerate() {
            memory[MARGIN + uv + y * stride..][..row.len()].copy_from_slice(row);
        }
        memory
    }

    /// Compares without printing thousands of bytes.
    fn assert_same(what: &str, found: &[u8], expected: &[u8]) -> Result<(), TestCaseError> {
        let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
        prop_assert!(found.len() == expected.len() && at.is_none(), "{what}: differs at {at:?}");
        Ok(())
    }

    fn sizes() -> impl Strategy<Value = (u32, u32)> {
        // Every width up to several blocks of every kernel, and those around multiples of the stride's alignment.
        let near = (1_u32..6, -1_i32..2).prop_map(|(times, off)| (times * 64).saturating_add_signed(off));
        (prop_oneof![1_u32..300, near], 1_u32..10)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        // Proves PUB-7.
        #[test]
        fn planes_with_any_strides_fill_a_slot_as_the_model_does_and_leave_the_rest_of_it_alone(
            (width, height) in sizes(),
            padding in (0_usize..100, 0_usize..100, 0_usize..100),
            seed in 0_usize..254,
        ) {
            let nv12 = Nv12::for_picture(width, height).unwrap();
            let (pairs, chroma_rows) = (nv12.chroma_row_bytes() as usize / 2, nv12.chroma_rows() as usize);
            let luma = Picture::new(width as usize, height as usize, padding.0, seed);
            let chroma = Picture::new(2 * pairs, chroma_rows, padding.1, seed + 50);
            let rows: Vec<_> = (0..chroma_rows).map(|y| chroma.row(y).to_vec()).collect();
            let expected = model(&nv12, &luma, &rows);
            for (kernels, found) in filled(&nv12, BEFORE, MARGIN, |planes| {
                fill_nv12(planes, luma.plane(), chroma.plane()).unwrap();
            }) {
                assert_same(&format!("nv12 by {kernels}"), &found, &expected)?;
            }

            let cb = Picture::new(pairs, chroma_rows, padding.1, seed + 100);
            let cr = Picture::new(pairs, chroma_rows, padding.2, seed + 200);
            let pair = |y| cb.row(y).iter().zip(cr.row(y)).flat_map(|(&cb, &cr)| [cb, cr]).collect();
            let rows: Vec<_> = (0..chroma_rows).map(pair).collect();
            let expected = model(&nv12, &luma, &rows);
            for (kernels, found) in filled(&nv12, BEFORE, MARGIN, |planes| {
                fill_yuv420p(planes, luma.plane(), cb.plane(), cr.plane()).unwrap();
            }) {
                assert_same(&format!("yuv420p by {kernels}"), &found, &expected)?;
            }
        }

        #[test]
        fn planes_of_any_length_and_stride_fill_a_slot_or_are_refused_and_then_nothing_is_written(
            (width, height) in sizes(),
            strides in (0_usize..700, 0_usize..700, 0_usize..700),
            lengths in (0_usize..8000, 0_usize..4000, 0_usize..4000),
            stride in prop_oneof![Just(None), Just(Some(usize::MAX)), Just(Some(usize::MAX / 2))],
        ) {
            let nv12 = Nv12::for_picture(width, height).unwrap();
            let memory = [lengths.0, lengths.1, lengths.2].map(|len| vec![PRIVATE; len]);
            let plane = |index: usize, stride_bytes| Plane::new(&memory[index], stride.unwrap_or(stride_bytes));
            let [luma, cb, cr] = [plane(0, strides.0), plane(1, strides.1), plane(2, strides.2)];
            let holds = |plane: &Plane<'_>, row_bytes: u32, rows: u32| {
                let need = plane.stride_bytes as u128 * u128::from(rows - 1) + u128::from(row_bytes);
                plane.stride_bytes as u128 >= u128::from(row_bytes) && plane.data.len() as u128 >= need
            };
            let (row, chroma_row, chroma_rows) = (width, nv12.chroma_row_bytes(), nv12.chroma_rows());
            let nv12_fits = holds(&luma, row, height) && holds(&cb, chroma_row, chroma_rows);
            let planar_fits = holds(&luma, row, height)
                && holds(&cb, chroma_row / 2, chroma_rows)
                && holds(&cr, chroma_row / 2, chroma_rows);
            for (kernels, found) in filled(&nv12, BEFORE, MARGIN, |planes| {
                assert_eq!(fill_nv12(planes, luma, cb).is_ok(), nv12_fits);
            }) {
                prop_assert_eq!(found.contains(&PRIVATE), nv12_fits, "nv12 by {}", kernels);
            }
            for (kernels, found) in filled(&nv12, BEFORE, MARGIN, |planes| {
                assert_eq!(fill_yuv420p(planes, luma, cb, cr).is_ok(), planar_fits);
            }) {
                prop_assert_eq!(found.contains(&PRIVATE), planar_fits, "yuv420p by {}", kernels);
            }
        }
    }
}
