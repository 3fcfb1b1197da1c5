//! Which versions a reader accepts, and what append-only means.
//!
//! There is no negotiation and no lowest-reader field: under the append-only rule (§15.2, [`crate::layout`]) a reader of
//! version 1 finds every field it knows in every later version, so it accepts them all and ignores what it does not know.
//! The version of the bytes and the version of this crate are different things and are never compared.

pub use crate::layout::VERSION;

/// Whether a reader that knows version 1 can read `version`: every version but 0, which no writer may put there.
///
/// ```
/// assert!(!vas_shm_proto::version::is_readable(0));
/// assert!(vas_shm_proto::version::is_readable(1));
/// assert!(vas_shm_proto::version::is_readable(7));
/// ```
#[must_use]
pub const fn is_readable(version: u32) -> bool {
    version >= 1
}
