//! What keeps frames from being exported. Every text names what was tried, on what, what was found and what to do.

use rustix::io::Errno;
use std::fmt;
use std::path::PathBuf;
use vas_shm_proto::CameraId;

/// An error number of the kernel, errno(3). Prints as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OsError {
    code: i32,
}

impl OsError {
    /// The number.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.code
    }

    // No `From`, which would make the version of rustix a part of this crate's interface.
    pub(crate) const fn of_errno(errno: Errno) -> Self {
        Self { code: errno.raw_os_error() }
    }

    pub(crate) const fn of_code(code: i32) -> Self {
        Self { code }
    }

    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self { code: error.raw_os_error().unwrap_or_else(|| Errno::INVAL.raw_os_error()) }
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.code).fmt(f)
    }
}

/// Why nothing is exported under a base directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The directory above it does not exist; only the base itself is made.
    #[error("{}: cannot be made, {} does not exist; make it or choose another base directory", .base.display(), .parent.display())]
    NoParent {
        /// The base directory.
        base: PathBuf,
        /// The directory above it.
        parent: PathBuf,
    },
    /// A symbolic link, or not a directory at all.
    #[error("{}: is not a directory (symbolic links are not followed); remove it or choose another base directory", .base.display())]
    NotDirectory {
        /// The base directory.
        base: PathBuf,
    },
    /// Somebody else owns it.
    #[error(
        "{}: belongs to uid {found}, this server runs as uid {euid}; whoever made it could read or withhold the frames: remove it, or give it to uid {euid}",
        .base.display()
    )]
    Owner {
        /// The base directory.
        base: PathBuf,
        /// Its owner.
        found: u32,
        /// The effective user id of this process.
        euid: u32,
    },
    /// Others than the owner may write in it.
    #[error("{}: has mode {mode:04o}, others than its owner may write in it; run `chmod go-w {}`", .base.display(), .base.display())]
    Mode {
        /// The base directory.
        base: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Frames would be written to a disk, and inode numbers reused.
    #[error(
        "{}: is not on a tmpfs (file system type {fs_type:#x}); frames belong in memory: choose a directory under /dev/shm",
        .base.display()
    )]
    NotTmpfs {
        /// The base directory.
        base: PathBuf,
        /// `f_type` of statfs(2).
        fs_type: i64,
    },
    /// The group is not the one configured, and this server may not change it.
    #[error(
        "{}: has group {found} and mode {mode:04o}, group {wanted} with the set-group-id bit was configured; the server's user has to be a member of group {wanted}, or the directory be made beforehand with that group and mode 2750",
        .base.display()
    )]
    Group {
        /// The directory.
        base: PathBuf,
        /// Its group.
        found: u32,
        /// Its permission bits.
        mode: u32,
        /// The group that was configured.
        wanted: u32,
    },
    /// Something else stands where a file of this server belongs.
    #[error("{}: is a {found}, where this server's own file belongs; remove it", .path.display())]
    NotOurs {
        /// Where.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The file system takes no further file, whatever room it has.
    #[error(
        "{}: cannot be made, all {inodes} inodes of the file system are in use; remove files there or mount it with a larger nr_inodes",
        .path.display()
    )]
    NoInodes {
        /// What was to be made.
        path: PathBuf,
        /// How many files the file system takes.
        inodes: u64,
    },
    /// The kernel said no.
    #[error("{call} {}: {}", .path.display(), .errno)]
    Io {
        /// The system call.
        call: &'static str,
        /// What it was made on.
        path: PathBuf,
        /// What the kernel answered.
        errno: OsError,
    },
    /// The library's thread could not be started.
    #[error("the exporter's thread could not be started: {}", .errno)]
    Thread {
        /// What the kernel answered.
        errno: OsError,
    },
}

/// Why there is no [`crate::Camera`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// This exporter has such a camera already.
    #[error("camera {0} is exported already")]
    Duplicate(CameraId),
    /// The exporter was shut down.
    #[error("camera {0} cannot be exported: the exporter was shut down")]
    ShutDown(CameraId),
}

/// Why a frame was not exported. Returned on the frame path, so it is small, made without allocation, and never logged there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NotExported {
    /// The files for this format are being made; the first frames of a camera, and of a new geometry, end here.
    #[error("the files are being made")]
    Preparing,
    /// The file system has no room for them, or a memory limit leaves none ([`crate::Room`]).
    #[error("there is no room for the files")]
    NoRoom,
    /// Another process exports this camera.
    #[error("another process exports this camera")]
    HeldByAnother,
    /// The base directory, or something in it, cannot be used at the moment.
    #[error("the base directory cannot be used")]
    Unavailable,
    /// The picture is empty or larger than the format can say.
    #[error("the picture has no size that can be exported")]
    Size,
    /// The exporter was shut down.
    #[error("the exporter was shut down")]
    ShutDown,
    /// Nobody has the camera's files open ([`crate::ExportWhen::Attached`]).
    #[error("nobody is looking")]
    Idle,
}

impl NotExported {
    pub(crate) const fn to_code(self) -> u8 {
        match self {
            Self::Preparing => 0,
            Self::NoRoom => 1,
            Self::HeldByAnother => 2,
            Self::Unavailable => 3,
            Self::Size => 4,
            Self::ShutDown => 5,
            Self::Idle => 6,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::NoRoom,
            2 => Self::HeldByAnother,
            3 => Self::Unavailable,
            4 => Self::Size,
            5 => Self::ShutDown,
            6 => Self::Idle,
            _ => Self::Preparing,
        }
    }
}

/// A plane that does not hold the picture. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// Rows are longer than the stride.
    #[error("{plane}: the stride is {stride_bytes} bytes, a row has {row_bytes}")]
    Stride {
        /// Which plane.
        plane: &'static str,
        /// The stride given.
        stride_bytes: usize,
        /// Bytes of a row of this picture.
        row_bytes: usize,
    },
    /// The plane ends before its last row.
    #[error("{plane}: has {have} bytes, {rows} rows of stride {stride_bytes} need {need}")]
    Length {
        /// Which plane.
        plane: &'static str,
        /// Bytes given.
        have: usize,
        /// Bytes needed.
        need: usize,
        /// Rows of this picture.
        rows: usize,
        /// The stride given.
        stride_bytes: usize,
    },
}
