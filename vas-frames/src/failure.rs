//! Why a verb did not do what was asked, and the exit code for it.

use std::io;
use std::path::PathBuf;
use vas_recording::ReadError;
use vas_shm_reader::{Absent, CameraIdError, Refused};

/// Everything that ends a verb early. The text is the sentence an operator reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{sentence} (see vas-frames --help)")]
    Usage { sentence: String },
    #[error("{given:?} is no camera id: {why}")]
    CameraId { given: String, why: CameraIdError },
    #[error("{}: a picture is written as .png, .jpg or .jpeg; end the name with one of these", .path.display())]
    Extension { path: PathBuf },
    #[error("{}: not there; no server exports cameras under it now (--base or VAS_SHM_BASE names another)", .base.display())]
    NoBase { base: PathBuf },
    #[error("{}: not a directory; --base is the directory under which a server exports its cameras", .base.display())]
    BaseNoDirectory { base: PathBuf },
    #[error("read {}: {error}; cameras cannot be listed without read permission for this directory", .base.display())]
    BaseRefused { base: PathBuf, error: io::Error },
    #[error("{why}; `vas-frames list` shows the cameras that are there")]
    NotThere { why: Absent },
    #[error("{0}")]
    Refused(Refused),
    #[error("camera {camera}: no current frame for {seconds} s ({last})")]
    NoFrame { camera: String, seconds: f64, last: String },
    #[error("write {}: {error}", .path.display())]
    Picture { path: PathBuf, error: io::Error },
    #[error("{}: there is a file already; --force writes over it", .path.display())]
    Exists { path: PathBuf },
    #[error(
        "write {}: {error}; what was recorded before stays, {frames} frames; make room, or keep it small by --max-bytes, --seconds or --count",
        .path.display()
    )]
    Record { path: PathBuf, error: io::Error, frames: u64 },
    #[error("no frame came, and no recording was written ({ended})")]
    NothingRecorded { ended: &'static str },
    #[error("open {}: {error}", .path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{}: {error}", .path.display())]
    Recording { path: PathBuf, error: ReadError },
    #[error(
        "vas-replay, which plays recordings, is neither beside this program{} nor on PATH; it is a program of its own, as this one cannot write frames: install it there",
        .beside.as_ref().map(|beside| format!(" ({})", beside.display())).unwrap_or_default()
    )]
    NoReplay { beside: Option<PathBuf> },
    #[error("{what}: {error}")]
    System { what: String, error: io::Error },
    #[error("encode {}: {error}", .path.display())]
    Encode { path: PathBuf, error: image::ImageError },
    #[error("convert the picture to RGB: {error}")]
    Convert { error: vas_shm_reader::convert::ConvertError },
    #[error(
        "standard output is a terminal, and pictures are for a program: vas-frames pipe {camera} | ffplay -"
    )]
    Terminal { camera: String },
    #[error("the picture changed from {was} to {now}, which a pipe cannot; start it again")]
    Changed { was: String, now: String },
    #[error("{}: no cameras", .base.display())]
    NoCameras { base: PathBuf },
    #[error("{missing} of {of} cameras gave no picture")]
    Missing { missing: usize, of: usize },
    #[error("{count} findings")]
    Findings { count: usize },
    #[error("write to standard output: {0}")]
    Stdout(#[from] io::Error),
}

impl Failure {
    /// 1 not there or failed, 2 usage, 3 refused, 4 another picture; a closed pipe is success.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::CameraId { .. } | Self::Extension { .. } | Self::Terminal { .. } => 2,
            Self::Changed { .. } => 4,
            Self::BaseNoDirectory { .. } | Self::BaseRefused { .. } | Self::Refused(_) => 3,
            Self::Recording { error: ReadError::Io { .. }, .. } => 1,
            Self::Recording { .. } => 3,
            Self::NoBase { .. }
            | Self::NotThere { .. }
            | Self::NoFrame { .. }
            | Self::Picture { .. }
            | Self::Exists { .. }
            | Self::Record { .. }
            | Self::NothingRecorded { .. }
            | Self::Open { .. }
            | Self::NoReplay { .. }
            | Self::System { .. }
            | Self::Encode { .. }
            | Self::NoCameras { .. }
            | Self::Missing { .. }
            | Self::Findings { .. }
            | Self::Convert { .. } => 1,
            Self::Stdout(_) => u8::from(!self.is_closed_pipe()),
        }
    }

    /// Whether nothing is left to say: the output has it all, or nobody reads it.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Findings { .. }) || self.is_closed_pipe()
    }

    /// Whoever read the output has seen enough (`| head -1`).
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Standard output is the only thing that the verbs write JSON to.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Stdout(error.into())
    }
}
