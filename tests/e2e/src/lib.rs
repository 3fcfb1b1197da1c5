//! Real processes for tests that go from a camera to a picture: cameras, `vas-ingest`, `vas-frames`.
//!
//! Nothing here builds anything: the programs are taken from the folder in which cargo put this crate's tests. Run the tests
//! through `cargo xtask test`, which builds the programs and the clips first. What this machine lacks makes a test say
//! `SKIPPED: why` and end well; with `VAS_NO_SKIP=1` it fails instead.
//!
//! | module | what it holds |
//! |---|---|
//! | [`process`] | a process that never outlives its test, and what it says |
//! | [`scene`] | the folders of one test |
//! | [`camera`] | our RTSP camera, GStreamer's, and a host that never answers |
//! | [`server`] | `vas-ingest` |
//! | [`reader`] | `vas-frames` |
//! | [`relay`] | a way to a camera that is listened to, and that loses UDP |
//! | [`clips`] | clips, and what the `ffmpeg` program decodes from them |
//! | [`compare`] | whether what a reader got is what was played |
//! | [`mount`] | file systems that can be filled |
//! | [`attempt`] | what a hostile reader tries; the only unsafe |
//! | [`pattern`] | pictures that say of themselves whether they are whole |

pub mod attempt;
pub mod camera;
pub mod clips;
pub mod compare;
pub mod mount;
pub mod pattern;
pub mod process;
pub mod reader;
pub mod relay;
pub mod scene;
pub mod server;

use std::time::{Duration, Instant};

/// Far beyond what a loaded machine needs. Tests wait for states; this is when a state counts as "never".
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Why a test cannot run on this machine.
pub type Lacking = String;

/// Waits for a state; panics when it does not come within [`DEADLINE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub use vas_test_support::skipped as skip;

/// Gives the value, or skips the test that it stands in.
#[macro_export]
macro_rules! require {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(why) => {
                let why: $crate::Lacking = why;
                $crate::skip(&why);
                return;
            }
        }
    };
}
