//! Camera ids: a name that is safe as a directory entry, on a command line and in a log.

use core::fmt;

/// Longest camera id, in bytes.
pub const MAX_LEN: usize = 64;

/// A checked camera id: a letter or digit, then up to 63 letters, digits, `_` or `-`; all ASCII.
///
/// Such a name can never be `.`, `..`, hidden, an option, or a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CameraId {
    // Bytes after `len` are zero, so that the derived comparisons see the name alone (and sort as text does).
    bytes: [u8; MAX_LEN],
    len: u8,
}

/// Why a text is no camera id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraIdError {
    /// Nothing there.
    #[error("a camera id cannot be empty")]
    Empty,
    /// More than 64 bytes.
    #[error("a camera id has at most {MAX_LEN} characters, this one has {len}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// A character that is not allowed in its place.
    #[error(
        "a camera id has only letters, digits, '_' and '-' (ASCII) and begins with a letter or digit; found {found:?} at position {position}"
    )]
    Character {
        /// The character found.
        found: char,
        /// Where, in bytes from 0.
        position: usize,
    },
}

impl CameraId {
    /// Checks a text.
    ///
    /// ```
    /// use vas_shm_proto::CameraId;
    /// assert_eq!(CameraId::new("front-2").unwrap().as_str(), "front-2");
    /// assert!(CameraId::new("../x").is_err());
    /// ```
    ///
    /// # Errors
    /// Names the first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, CameraIdError> {
        if text.is_empty() {
            return Err(CameraIdError::Empty);
        }
        for (position, found) in text.char_indices() {
            let ok = found.is_ascii_alphanumeric() || (position > 0 && matches!(found, '_' | '-'));
            if !ok {
                return Err(CameraIdError::Character { found, position });
            }
        }
        if text.len() > MAX_LEN {
            return Err(CameraIdError::TooLong { len: text.len() });
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: text.len() as u8 })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII was let in, so this never takes the empty branch.
        core::str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or_default()
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraId({:?})", self.as_str())
    }
}

impl core::str::FromStr for CameraId {
    type Err = CameraIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}
