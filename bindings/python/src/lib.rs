//! The native half of the Python package `vas-frames`: it wraps `vas-shm-reader` and reads nothing by itself.
//!
//! | module | what it holds |
//! |---|---|
//! | `stream` | `open`, `Stream`, `Events`, `Status`: waiting without the interpreter's lock, in slices in which signals are heard |
//! | `frame` | `Frame`, `Color` |
//! | `fit` | what a model takes, and `Placement`, the way back |
//! | `array` | memory that numpy looks at: planes where they are, and pictures of one's own |
//! | `arguments` | what Python callers say, checked |
//! | `errors` | the exceptions of `vas_frames/_errors.py` |
//!
//! What users see of it is documented in `python/vas_frames/_native.pyi`. There is no unsafe code: numpy is told of addresses as
//! numbers, by its array interface, together with an object that keeps the memory alive.

mod arguments;
mod array;
mod errors;
mod fit;
mod frame;
mod stream;

/// The module `vas_frames._native`.
#[pyo3::pymodule(name = "_native", gil_used = false)]
mod native {
    #[pymodule_export]
    use crate::fit::Placement;
    #[pymodule_export]
    use crate::frame::{Color, Frame};
    #[pymodule_export]
    use crate::stream::{Events, Status, Stream, cameras, open};

    /// The version of this package.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python gives it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
