//! Why a recording is not played, and the exit code for it. The codes are those of `vas-frames`.

use std::io;
use std::path::PathBuf;
use vas_recording::ReadError;
use vas_shm_proto::CameraIdError;
use vas_shm_writer::{BaseError, CameraError, FillError, NotExported};

/// Everything that ends a replay early. The text is the sentence an operator reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{sentence} (see vas-replay --help)")]
    Usage { sentence: String },
    #[error("{given:?} is no camera id: {why}")]
    CameraId { given: String, why: CameraIdError },
    #[error("--loop with - : standard input comes only once; give a file")]
    LoopOfStdin,
    #[error("open {}: {error}", .path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{}: {error}", .path.display())]
    Recording { path: PathBuf, error: ReadError },
    #[error("{}: there is no frame to play{}", .path.display(), .why)]
    NoFrame { path: PathBuf, why: &'static str },
    #[error("{0}")]
    Base(#[from] BaseError),
    #[error("{0}")]
    Camera(#[from] CameraError),
    #[error("camera {camera} is not played: {why}")]
    NotExported { camera: String, why: NotExported },
    #[error("a frame of the recording does not fit its slot: {0}")]
    Fill(#[from] FillError),
    #[error("{what}: {error}")]
    System { what: &'static str, error: io::Error },
}

impl Failure {
    /// 1 not there or failed, 2 usage, 3 refused.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::CameraId { .. } | Self::LoopOfStdin => 2,
            Self::Recording { error: ReadError::Io { .. }, .. } => 1,
            Self::Recording { .. } | Self::Base(_) | Self::Camera(_) => 3,
            Self::NotExported { why: NotExported::HeldByAnother | NotExported::Unavailable, .. } => 3,
            Self::Open { .. }
            | Self::NoFrame { .. }
            | Self::NotExported { .. }
            | Self::Fill(_)
            | Self::System { .. } => 1,
        }
    }
}
