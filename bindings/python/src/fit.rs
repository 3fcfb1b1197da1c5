//! A frame as a model's input, and the way back for what the model found.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use vas_shm_reader::convert::{self, Filter, ModelInput, PixelLayout};

/// The longest side of a picture, in pixels.
const LONGEST_SIDE: u32 = 16384;

/// A model's input as Python's callers describe it.
pub(crate) fn input(
    (width, height): (u32, u32),
    pad: Option<[u8; 3]>,
    layout: &str,
    filter: &str,
) -> PyResult<(ModelInput, PixelLayout)> {
    let sides = 1..=LONGEST_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(PyValueError::new_err(format!(
            "{width}x{height}: a side is 1 to {LONGEST_SIDE} pixels long"
        )));
    }
    let layout = match layout {
        "rgb" => PixelLayout::Rgb,
        "bgr" => PixelLayout::Bgr,
        "rgba" => PixelLayout::Rgba,
        "gray" => PixelLayout::Gray,
        _ => {
            return Err(PyValueError::new_err(format!(
                "layout is \"rgb\", \"bgr\", \"rgba\" or \"gray\", not {layout:?}"
            )));
        }
    };
    let filter = match filter {
        "nearest" => Filter::Nearest,
        "linear" => Filter::Linear,
        "triangle" => Filter::Triangle,
        "box" => Filter::Box,
        "catmull_rom" => Filter::CatmullRom,
        "lanczos3" => Filter::Lanczos3,
        _ => {
            return Err(PyValueError::new_err(format!(
                "filter is \"nearest\", \"linear\", \"triangle\", \"box\", \"catmull_rom\" or \"lanczos3\", not {filter:?}"
            )));
        }
    };
    let input = ModelInput::new(width, height).layout(layout).filter(filter);
    Ok((pad.map_or(input.stretch(), |pad| input.letterbox(pad)), layout))
}

/// Where a frame lies in a model's input, and the way back for what the model found: what Frame.letterbox gives.
#[pyclass(frozen, module = "vas_frames", name = "Placement")]
#[derive(Debug)]
pub(crate) struct Placement(pub(crate) convert::Placement);

#[pymethods]
impl Placement {
    /// Column of the input that the frame's first column begins at.
    #[getter]
    fn x(&self) -> u32 {
        self.0.x
    }

    /// Row of the input that the frame's first row begins at.
    #[getter]
    fn y(&self) -> u32 {
        self.0.y
    }

    /// Columns of the input that the frame fills.
    #[getter]
    fn width(&self) -> u32 {
        self.0.width
    }

    /// Rows of the input that the frame fills.
    #[getter]
    fn height(&self) -> u32 {
        self.0.height
    }

    /// From a place in the input to that in the frame, in pixels from the top left corner; it may lie outside the frame.
    fn to_frame(&self, x: f64, y: f64) -> (f64, f64) {
        self.0.to_frame(x, y)
    }

    /// From a box in the input (left, top, right, bottom, in pixels) to that in the frame, cut to the frame.
    fn box_to_frame(&self, r#box: [f64; 4]) -> (f64, f64, f64, f64) {
        self.0.box_to_frame(r#box).into()
    }

    fn __repr__(&self) -> String {
        let convert::Placement { x, y, width, height, .. } = self.0;
        format!("Placement(x={x}, y={y}, width={width}, height={height})")
    }
}
