//! The exceptions of `vas_frames/_errors.py`, which is where their hierarchy stands.

use pyo3::PyErr;
use pyo3::exceptions::PyValueError;
use vas_shm_reader::convert::ConvertError;

pyo3::import_exception!(vas_frames._errors, Cancelled);
pyo3::import_exception!(vas_frames._errors, Overwritten);
pyo3::import_exception!(vas_frames._errors, Refused);
pyo3::import_exception!(vas_frames._errors, Timeout);

/// The exception for a picture that was not converted.
pub(crate) fn not_converted(error: ConvertError) -> PyErr {
    match error {
        ConvertError::Overwritten(why) => Overwritten::new_err(why.to_string()),
        ConvertError::UnsupportedMatrix { code_point } => PyValueError::new_err(format!(
            "the camera's matrix is {code_point} of ITU-T H.273, which is not converted: take frame.to_gray(), or frame.copy() and a \
             converter of your own"
        )),
        other => PyValueError::new_err(other.to_string()),
    }
}
