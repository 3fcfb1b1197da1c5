//! How a test says that it cannot run on this machine, and where it puts what has to lie in shared memory.

use std::io::Write;
use std::path::PathBuf;

/// The directory, on a tmpfs, in which a test makes its base directories: `VAS_TEST_SHM`, else `/dev/shm`.
///
/// Continuous integration gives each of its runs one of its own, so that it can tell what that run left behind from what
/// another run beside it is using.
#[must_use]
pub fn shared_memory() -> PathBuf {
    std::env::var_os("VAS_TEST_SHM").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from)
}

/// Says that a test is skipped, and why; to be followed by `return`. Written past the test harness, which shows nothing of a
/// test that ends well.
///
/// # Panics
/// With `VAS_NO_SKIP=1`, set where everything has to run: in continuous integration as root.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("VAS_NO_SKIP").is_none_or(|value| value != "1"), "{test} cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}
