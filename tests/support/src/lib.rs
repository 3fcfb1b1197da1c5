//! How a test says that it cannot run on this machine.

use std::io::Write;

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
