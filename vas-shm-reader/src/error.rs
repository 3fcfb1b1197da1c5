//! Why there is no frame: not there (passes by itself), refused (somebody has to act), overwritten (take the next one).

use rustix::io::Errno;
use std::fmt;
use std::path::PathBuf;
use vas_shm_proto::{NotYet, Refusal};

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

    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self { code: error.raw_os_error().unwrap_or_else(|| Errno::INVAL.raw_os_error()) }
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.code).fmt(f)
    }
}

/// The camera is not there yet, or there no more: ask again, with at least 100 ms between tries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absent {
    /// A file or a directory on the way to it does not exist.
    #[error("{}: not there", .path.display())]
    NoFile {
        /// What was looked for.
        path: PathBuf,
    },
    /// The server was looking for readers at this very moment (`EAGAIN`), twice.
    #[error("open {}: busy for a moment", .path.display())]
    Busy {
        /// What was opened.
        path: PathBuf,
    },
    /// The header says so: stopped, replaced, or the two files are just being exchanged.
    #[error("{}: {why}", .path.display())]
    Header {
        /// The header file.
        path: PathBuf,
        /// What it says.
        why: NotYet,
    },
}

/// The camera is there and cannot be read: ask again at most once a second.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A name that has to be a regular file is something else.
    #[error("{}: is a {found}, not a regular file", .path.display())]
    NotRegular {
        /// The name.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// `EACCES`.
    #[error(
        "open {}: permission denied: {} belongs to uid {uid}, gid {gid}, mode {mode:04o}; run as that user or as a member of that group",
        .path.display(), .at.display()
    )]
    Access {
        /// What was opened.
        path: PathBuf,
        /// The file or directory that lets nobody else in.
        at: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The reader insists on an owner and found another.
    #[error("{}: belongs to uid {found}, this reader insists on uid {wanted}", .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// The owner that was asked for.
        wanted: u32,
    },
    /// A field of the header is out of bounds.
    #[error("{}: {why}", .path.display())]
    Header {
        /// The header file.
        path: PathBuf,
        /// Which field, its value, the bound.
        why: Refusal,
    },
    /// The kernel said no in some other way.
    #[error("{call} {}: {}", .path.display(), .errno)]
    Io {
        /// The system call.
        call: &'static str,
        /// What it was made on.
        path: PathBuf,
        /// What the kernel answered.
        errno: OsError,
    },
}

/// The frame was overwritten while it was looked at: whatever was read of it means nothing. Take a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame was overwritten while it was being read")]
pub struct Overwritten;

/// Why a frame was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// As [`Overwritten`]; the buffer holds a mixture.
    #[error(transparent)]
    Overwritten(#[from] Overwritten),
    /// The buffer is too small; nothing was copied.
    #[error("the buffer has {have} bytes, the picture needs {need}")]
    BufferTooSmall {
        /// Bytes of the buffer.
        have: usize,
        /// Bytes of the packed picture.
        need: usize,
    },
}
