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
//! | [`follow`] | what a reader in any language has to bear |
//! | [`python`] | an environment with the Python package, built as its users build it |
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
pub mod follow;
pub mod mount;
pub mod pattern;
pub mod process;
pub mod python;
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

/// Datagrams that the kernel threw away since this machine's start because the buffer of a socket had no room for them, whichever process
/// they were for.
///
/// # Panics
/// When the kernel does not say.
#[must_use]
pub fn datagrams_without_room() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("read /proc/net/snmp");
    // A line of names, and behind it one of numbers.
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut fields = names.split(' ').zip(numbers.split(' '));
    let found = fields.find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, number)| number.parse().ok()).expect("RcvbufErrors among the numbers of UDP")
}

/// Plays something over UDP until it goes well. Whoever gets no processor for some tenths of a second has what the kernel's buffer holds
/// and no more: where that is what went wrong, which the kernel counts, it is played once more. Anything else is told at once.
///
/// # Panics
/// With what went wrong, when it was not for want of room, or ten times in a row.
pub fn over_udp(mut play: impl FnMut() -> Result<(), String>) {
    const TRIES: usize = 10;
    for number in 1..=TRIES {
        let before = datagrams_without_room();
        let Err(why) = play() else { return };
        let thrown_away = datagrams_without_room() - before;
        assert!(
            thrown_away > 0 && number < TRIES,
            "{thrown_away} datagrams without room, try {number}: {why}"
        );
        let sentence = why.lines().next().unwrap_or_default();
        println!("try {number}: {thrown_away} datagrams found no room; once more, for {sentence}");
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
