//! Memory that numpy looks at, by its array interface: an address as a number, a shape, and an owner that numpy keeps.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use vas_shm_reader::HeldFrame;

/// Bytes, arranged in two or three dimensions.
#[derive(Debug)]
struct Layout {
    address: usize,
    is_read_only: bool,
    shape: Vec<usize>,
    /// Bytes from one element to the next in each dimension.
    strides_bytes: Vec<usize>,
}

impl Layout {
    /// As numpy wants to be told: version 3 of the array interface.
    fn interface<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", "|u1")?;
        interface.set_item("data", (self.address, self.is_read_only))?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("strides", PyTuple::new(py, &self.strides_bytes)?)?;
        Ok(interface)
    }
}

/// One plane of a frame, where it lies in shared memory. Read-only; the mapping stays as long as this does.
#[pyclass(frozen, module = "vas_frames._native")]
#[derive(Debug)]
pub(crate) struct Plane {
    layout: Layout,
    /// Keeps the mapping.
    _held: HeldFrame,
}

#[pymethods]
impl Plane {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.layout.interface(py)
    }
}

/// `height` rows of `width` bytes.
pub(crate) fn luma<'py>(py: Python<'py>, held: &HeldFrame) -> PyResult<Bound<'py, PyAny>> {
    let frame = held.frame();
    let picture = *frame.picture();
    let mut address = 0;
    // Where it lies is true of a frame that was overwritten too.
    let _ = frame.with(|nv12| address = nv12.luma_ptr() as usize);
    let shape = vec![picture.height() as usize, picture.width() as usize];
    plane(py, held, address, shape, vec![picture.stride_bytes() as usize, 1])
}

/// `ceil(height / 2)` rows of `ceil(width / 2)` pairs Cb, Cr.
pub(crate) fn chroma<'py>(py: Python<'py>, held: &HeldFrame) -> PyResult<Bound<'py, PyAny>> {
    let frame = held.frame();
    let picture = *frame.picture();
    let mut address = 0;
    let _ = frame.with(|nv12| address = nv12.chroma_ptr() as usize);
    let shape = vec![picture.chroma_rows() as usize, picture.chroma_row_bytes() as usize / 2, 2];
    plane(py, held, address, shape, vec![picture.stride_bytes() as usize, 2, 1])
}

fn plane<'py>(
    py: Python<'py>,
    held: &HeldFrame,
    address: usize,
    shape: Vec<usize>,
    strides_bytes: Vec<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let layout = Layout { address, is_read_only: true, shape, strides_bytes };
    array(Bound::new(py, Plane { layout, _held: held.clone() })?.into_any())
}

/// A picture of the caller's own: memory that belongs to this object and, through numpy, to whoever holds the array.
#[pyclass(frozen, module = "vas_frames._native")]
#[derive(Debug)]
pub(crate) struct Picture {
    layout: Layout,
    /// Not looked at again: from here on the bytes are numpy's to read and write. Freed with this object.
    _bytes: Vec<u8>,
}

#[pymethods]
impl Picture {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.layout.interface(py)
    }
}

/// A writable array over bytes without gaps, which are not copied.
pub(crate) fn owned(py: Python<'_>, mut bytes: Vec<u8>, shape: Vec<usize>) -> PyResult<Bound<'_, PyAny>> {
    assert_eq!(bytes.len(), shape.iter().product::<usize>(), "the array is as long as its memory");
    let mut strides_bytes = vec![1; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides_bytes[dimension - 1] = strides_bytes[dimension] * shape[dimension];
    }
    // A vector keeps its place when it is moved.
    let layout = Layout { address: bytes.as_mut_ptr() as usize, is_read_only: false, shape, strides_bytes };
    array(Bound::new(py, Picture { layout, _bytes: bytes })?.into_any())
}

/// numpy's view of an object. numpy is imported at the first one.
fn array(owner: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    static AS_ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    AS_ARRAY.import(owner.py(), "numpy", "asarray")?.call1((owner,))
}
