//! A frame, as Python holds it.

use crate::array;
use crate::errors::{Overwritten, not_converted};
use crate::fit::{self, Placement};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::time::{Duration, SystemTime};
use vas_shm_reader::convert::{Converter, PixelLayout};
use vas_shm_reader::{CameraId, HeldFrame, monotonic_ns};

thread_local! {
    /// What converting needs besides the frame, kept from one to the next.
    static CONVERTER: RefCell<Converter> = RefCell::default();
}

/// A frame in shared memory, as it stood complete when it was found. Nothing was copied.
///
/// The server goes on writing: at a steady rate a frame stays for two frame periods (with three slots, the default). A frame and its
/// planes may be held longer: the memory stays mapped, intact says that it was overwritten. Holding is free, except that the memory
/// of a camera that was stopped or changed its size goes only when the stream is asked again, or closed.
#[pyclass(frozen, module = "vas_frames", name = "Frame")]
#[derive(Debug)]
pub(crate) struct Frame {
    held: HeldFrame,
    camera: CameraId,
    captured_at: SystemTime,
}

impl Frame {
    pub(crate) fn new(camera: CameraId, held: HeldFrame) -> Self {
        // The two clocks are read when the frame is found: whoever sets the wall clock later does not change when a frame was taken.
        let age_ns = monotonic_ns().saturating_sub(held.frame().timestamp_ns());
        let now = SystemTime::now();
        let captured_at = now.checked_sub(Duration::from_nanos(age_ns)).unwrap_or(now);
        Self { held, camera, captured_at }
    }

    /// The picture with such pixels, as an array of the caller's own; made without the interpreter's lock.
    fn converted<'py>(&self, py: Python<'py>, layout: PixelLayout) -> PyResult<Bound<'py, PyAny>> {
        let convert = || {
            let frame = self.held.frame();
            CONVERTER.with_borrow_mut(|converter| converter.to_picture(&frame, layout))
        };
        let picture = py.detach(convert).map_err(not_converted)?;
        array::owned(py, picture.bytes, shape((picture.width, picture.height), layout))
    }

    /// The picture at another size, as an array of the caller's own, and where it lies in that.
    fn fitted<'py>(
        &self,
        py: Python<'py>,
        size: (u32, u32),
        pad: Option<[u8; 3]>,
        layout: &str,
        filter: &str,
    ) -> PyResult<(Bound<'py, PyAny>, Placement)> {
        let (input, layout) = fit::input(size, pad, layout, filter)?;
        let fit = || {
            let frame = self.held.frame();
            let mut bytes = vec![0; input.bytes()];
            let placement = CONVERTER.with_borrow_mut(|converter| {
                converter.fit(&frame, &input, &mut bytes, input.stride_bytes())
            })?;
            Ok((bytes, placement))
        };
        let (bytes, placement) = py.detach(fit).map_err(not_converted)?;
        Ok((array::owned(py, bytes, shape(size, layout))?, Placement(placement)))
    }
}

fn shape((width, height): (u32, u32), layout: PixelLayout) -> Vec<usize> {
    let mut shape = vec![height as usize, width as usize];
    if layout != PixelLayout::Gray {
        shape.push(layout.bytes_per_pixel());
    }
    shape
}

#[pymethods]
impl Frame {
    /// The camera's id.
    #[getter]
    fn camera(&self) -> &str {
        self.camera.as_str()
    }

    /// The frame's number: rises by one per exported frame, comparable inside one generation only.
    #[getter]
    fn id(&self) -> u64 {
        self.held.frame().id().get()
    }

    /// CLOCK_MONOTONIC in nanoseconds when the server had the frame decoded: the clock of time.monotonic_ns().
    #[getter]
    fn timestamp_ns(&self) -> u64 {
        self.held.frame().timestamp_ns()
    }

    /// The same moment by the wall clock, as a datetime with its zone (UTC). The two clocks were compared when the frame was found.
    #[getter]
    fn captured_at(&self) -> SystemTime {
        self.captured_at
    }

    /// How long ago that was, as a timedelta; it grows.
    #[getter]
    fn age(&self) -> Duration {
        self.held.frame().age()
    }

    /// Frames between the one handed out before and this one. The first frame of a generation skips none.
    #[getter]
    fn skipped(&self) -> u64 {
        self.held.skipped()
    }

    /// Whether the decoder reported loss: good to look at, not to measure by.
    #[getter]
    fn damaged(&self) -> bool {
        self.held.frame().is_damaged()
    }

    /// Which pair of files the frame is from: another one after each restart of the server and each change of the picture.
    #[getter]
    fn generation(&self) -> u64 {
        self.held.frame().generation()
    }

    /// Luma pixels per row.
    #[getter]
    fn width(&self) -> u32 {
        self.held.frame().picture().width()
    }

    /// Luma rows.
    #[getter]
    fn height(&self) -> u32 {
        self.held.frame().picture().height()
    }

    /// Bytes from one row to the next in shared memory, in both planes.
    #[getter]
    fn stride_bytes(&self) -> u32 {
        self.held.frame().picture().stride_bytes()
    }

    /// How the numbers become colours.
    #[getter]
    fn color(&self) -> Color {
        Color(self.held.frame().color())
    }

    /// Whether everything that was read of this frame so far, through luma and chroma, is this frame and nothing else.
    ///
    /// Ask after reading: once it is false it stays false, and what was read means nothing. Costs next to nothing.
    #[getter]
    fn intact(&self) -> bool {
        self.held.frame().is_intact()
    }

    /// The luma plane where it lies: a read-only array (height, width) of uint8, not copied.
    ///
    /// The server goes on writing. What was read of it counts if intact is true afterwards. The array may be kept: its memory stays mapped.
    #[getter]
    fn luma<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array::luma(py, &self.held)
    }

    /// The chroma plane where it lies: a read-only array (ceil(height / 2), ceil(width / 2), 2) of uint8, Cb and Cr. As luma.
    #[getter]
    fn chroma<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array::chroma(py, &self.held)
    }

    /// A copy of the picture as NV12 without padding: a writable array of your own.
    ///
    /// Its shape is (height * 3 / 2, width), as cv2.cvtColor(..., cv2.COLOR_YUV2BGR_NV12) wants it. With an odd width or height there is no
    /// such rectangle: then it is flat, luma rows before chroma rows of 2 * ceil(width / 2) bytes.
    ///
    /// Raises Overwritten.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let packed = py.detach(|| self.held.frame().to_packed());
        let packed = packed.map_err(|why| Overwritten::new_err(why.to_string()))?;
        let frame = self.held.frame();
        let (width, height) = (frame.picture().width() as usize, frame.picture().height() as usize);
        // Odd sizes have chroma rows of another length than luma rows, so there is no rectangle for both.
        let shape =
            if width % 2 == 0 && height % 2 == 0 { vec![height / 2 * 3, width] } else { vec![packed.len()] };
        array::owned(py, packed, shape)
    }

    /// The picture as red, green, blue: as Pillow, torch and most models take it: a writable array (height, width, 3) of uint8, your own.
    ///
    /// By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
    fn to_rgb<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.converted(py, PixelLayout::Rgb)
    }

    /// The picture as blue, green, red: as OpenCV takes it: a writable array (height, width, 3) of uint8, your own.
    ///
    /// By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
    fn to_bgr<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.converted(py, PixelLayout::Bgr)
    }

    /// The picture as red, green, blue, alpha, which is 255: a writable array (height, width, 4) of uint8, your own.
    ///
    /// By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
    fn to_rgba<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.converted(py, PixelLayout::Rgba)
    }

    /// The picture as grey, from 0 for black to 255 for white whatever the camera's range: a writable array (height, width) of uint8, your own.
    ///
    /// Raises Overwritten.
    fn to_gray<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.converted(py, PixelLayout::Gray)
    }

    /// The picture at this size in pixels, stretched: a writable array (height, width, channels) of uint8, your own.
    ///
    /// layout: "rgb", "bgr", "rgba" or "gray", which is (height, width).
    /// filter: "nearest", "linear" (as OpenCV's INTER_LINEAR), "triangle" (as Pillow's BILINEAR, the default), "box" (as INTER_AREA),
    /// "catmull_rom" or "lanczos3".
    ///
    /// Raises as to_rgb, and ValueError for arguments that mean nothing.
    #[pyo3(signature = (width, height, *, layout = "rgb", filter = "triangle"))]
    fn resize<'py>(
        &self,
        py: Python<'py>,
        width: u32,
        height: u32,
        layout: &str,
        filter: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.fitted(py, (width, height), None, layout, filter)?.0)
    }

    /// The picture in its own proportion in the middle of an array of this size, as detectors want it, and its Placement there: the
    /// way back for what a detector finds.
    ///
    /// pad: red, green and blue of the bars; in grey their mean. layout and filter: as those of resize. Raises as resize.
    #[pyo3(signature = (width, height, *, layout = "rgb", filter = "triangle", pad = [114, 114, 114]),
           text_signature = "($self, width, height, *, layout='rgb', filter='triangle', pad=(114, 114, 114))")]
    fn letterbox<'py>(
        &self,
        py: Python<'py>,
        width: u32,
        height: u32,
        layout: &str,
        filter: &str,
        pad: [u8; 3],
    ) -> PyResult<(Bound<'py, PyAny>, Placement)> {
        self.fitted(py, (width, height), Some(pad), layout, filter)
    }

    fn __repr__(&self) -> String {
        let frame = self.held.frame();
        let (camera, id, picture) = (&self.camera, frame.id().get(), frame.picture());
        let damaged = if frame.is_damaged() { ", damaged" } else { "" };
        let intact = if frame.is_intact() { "intact" } else { "overwritten" };
        format!(
            "<vas_frames.Frame {id} of {camera}: {}x{}, {intact}{damaged}>",
            picture.width(),
            picture.height()
        )
    }

    /// Asked by pickle and by the module copy.
    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a vas_frames.Frame is a view of shared memory and cannot be pickled: send frame.copy() or frame.to_rgb(), which are arrays, \
             or open the camera in the process that needs it",
        ))
    }
}

/// How the numbers of a picture become colours. Conversions here go by it.
#[pyclass(frozen, eq, hash, module = "vas_frames", name = "Color")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Color(vas_shm_reader::Color);

#[pymethods]
impl Color {
    /// "limited" (luma 16 to 235), "full" (0 to 255), or "unknown": taken for limited.
    #[getter]
    fn range(&self) -> &'static str {
        self.0.range.name()
    }

    /// ColourPrimaries of ITU-T H.273; 2 is unspecified.
    #[getter]
    fn primaries(&self) -> u8 {
        self.0.primaries
    }

    /// TransferCharacteristics of ITU-T H.273; 2 is unspecified.
    #[getter]
    fn transfer(&self) -> u8 {
        self.0.transfer
    }

    /// MatrixCoefficients of ITU-T H.273; 2 is unspecified.
    #[getter]
    fn matrix(&self) -> u8 {
        self.0.matrix
    }

    fn __repr__(&self) -> String {
        let vas_shm_reader::Color { range, primaries, transfer, matrix } = self.0;
        format!(
            "Color(range='{}', primaries={primaries}, transfer={transfer}, matrix={matrix})",
            range.name()
        )
    }
}
