//! What Python callers say, checked.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vas_shm_reader::{Mode, Policy};

/// Where cameras are when nothing else is said.
const DEFAULT_BASE: &str = "/dev/shm/vas";
/// The variable by which the server's other tools are told of another place.
const BASE_VARIABLE: &str = "VAS_SHM_BASE";

/// The base directory: the argument, else the environment, else the default.
pub(crate) fn base(argument: Option<PathBuf>) -> PathBuf {
    argument
        .or_else(|| std::env::var_os(BASE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_BASE))
}

pub(crate) fn mode(name: &str) -> PyResult<Mode> {
    match name {
        "latest" => Ok(Mode::Latest),
        "next" => Ok(Mode::Next),
        _ => Err(PyValueError::new_err(format!("mode is \"latest\" or \"next\", not {name:?}"))),
    }
}

pub(crate) fn policy(name: &str) -> PyResult<Policy> {
    match name {
        "low_latency" => Ok(Policy::LowLatency),
        "balanced" => Ok(Policy::Balanced),
        "economy" => Ok(Policy::Economy),
        _ => Err(PyValueError::new_err(format!(
            "policy is \"low_latency\", \"balanced\" or \"economy\", not {name:?}"
        ))),
    }
}

/// A time to wait: seconds or a `timedelta`, none or infinity for "as long as it takes".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Limit {
    pub(crate) const NONE: Self = Self(None);

    /// The moment at which the time is over; never, if it is longer than clocks count.
    pub(crate) fn deadline(self) -> Option<Instant> {
        self.0.and_then(|limit| Instant::now().checked_add(limit))
    }
}

impl FromPyObject<'_, '_> for Limit {
    type Error = PyErr;

    fn extract(argument: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if argument.is_none() {
            return Ok(Self::NONE);
        }
        if let Ok(limit) = argument.extract::<Duration>() {
            return Ok(Self(Some(limit)));
        }
        let wrong = || PyValueError::new_err("a timeout is a number of seconds or a timedelta, 0 or more");
        let seconds: f64 = argument.extract().map_err(|_| wrong())?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(wrong());
        }
        // What is too long for a Duration is for ever too.
        Ok(Self(Duration::try_from_secs_f64(seconds).ok()))
    }
}
