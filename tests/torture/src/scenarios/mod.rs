//! What is done to whom. Each scenario has a name, counts what it does, and goes on until its time is over, once at least.

mod dead_servers;
mod files;
mod hostile_readers;
mod places;
mod rates;
mod unlucky_readers;

use crate::stage::{Played, Stage};

/// One way to torture.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Its share of the time.
    pub(crate) weight: u64,
    /// Readers without the check accept torn frames here.
    pub(crate) shows_tears: bool,
    pub(crate) play: fn(&mut Stage<'_>) -> Played,
}

const fn scenario(
    name: &'static str,
    weight: u64,
    play: fn(&mut Stage<'_>) -> Played,
    what: &'static str,
) -> Scenario {
    Scenario { name, what, weight, shows_tears: false, play }
}

const fn showing_tears(scenario: Scenario) -> Scenario {
    Scenario { shows_tears: true, ..scenario }
}

/// All scenarios, the longest ones first.
pub(crate) const ALL: &[Scenario] = &[
    scenario(
        "thousand-opens",
        1,
        hostile_readers::thousand_opens,
        "readers open, take one frame and close, a thousand times at least, while pairs are replaced",
    ),
    scenario(
        "hoard",
        2,
        hostile_readers::hoard,
        "a reader never unmaps replaced pairs: the server's shared memory and descriptors stay bounded",
    ),
    scenario(
        "hoard-and-read",
        2,
        hostile_readers::hoard_and_read,
        "a reader reads replaced pairs on and on: what it makes the kernel allocate again is given back",
    ),
    scenario(
        "names-removed",
        2,
        files::names_removed,
        "base, camera directory, files or guard are removed or moved under a live server: it comes back by itself",
    ),
    scenario(
        "two-servers",
        2,
        dead_servers::two_servers,
        "a second server waits for the camera, and takes over when the first is killed",
    ),
    showing_tears(scenario(
        "full-rate-small",
        2,
        rates::full_rate_small,
        "small pictures flat out, with 2, 3 and 8 slots: readers that spin, that want all, that want older ones",
    )),
    showing_tears(scenario(
        "full-rate-1080p",
        3,
        rates::full_rate_large,
        "1080p pictures flat out, with 2, 3 and 8 slots: readers that spin and that stream",
    )),
    showing_tears(scenario(
        "hold-30fps",
        2,
        rates::hold_at_a_rate,
        "1080p at 30 frames a second: readers pause for 40 ms and for 250 ms in the middle of a frame, in place",
    )),
    showing_tears(scenario(
        "hold-full-rate",
        1,
        rates::hold_at_full_rate,
        "1080p flat out: readers pause for 40 ms and for 250 ms in the middle of a frame, in place",
    )),
    scenario(
        "kill-server",
        1,
        dead_servers::kill_small,
        "SIGKILL of the server at random moments, small pictures: the newest published frame is intact",
    ),
    scenario(
        "kill-server-in-copy",
        1,
        dead_servers::kill_large,
        "the same with 1080p, where most of these moments are inside a copy",
    ),
    scenario(
        "other-slots",
        1,
        dead_servers::other_slots,
        "the server comes back with 2, 3 and 8 slots, after its end and after SIGKILL",
    ),
    scenario(
        "stop-server",
        1,
        dead_servers::stop_server,
        "SIGSTOP of the server inside a copy, now and then for longer than its heartbeat is waited for",
    ),
    scenario(
        "fork",
        1,
        dead_servers::fork,
        "the embedding program forks while it exports, and is killed while a child lives",
    ),
    scenario("kill-reader", 1, unlucky_readers::kill, "SIGKILL of readers at random moments"),
    scenario(
        "stop-reader",
        1,
        unlucky_readers::stop,
        "SIGSTOP of readers for longer than a lap, anywhere in a frame, then SIGCONT",
    ),
    scenario(
        "starve-reader",
        1,
        unlucky_readers::starve,
        "readers with too few descriptors and too little address space",
    ),
    scenario(
        "locks",
        1,
        hostile_readers::locks,
        "a reader takes every lock and lease that it can; the server replaces, stops and starts",
    ),
    scenario(
        "poke",
        1,
        hostile_readers::poke,
        "readers open the files with O_NONBLOCK in a loop, into every probe of the server",
    ),
    scenario(
        "replacement",
        1,
        files::replacement,
        "geometry and colours change as often as the server allows, the camera stops and starts",
    ),
    scenario(
        "time-namespace",
        1,
        places::time_namespace,
        "readers with a clock of their own, a day ahead and behind (needs root)",
    ),
    scenario(
        "read-only-mount",
        1,
        places::read_only_mount,
        "a reader that sees one camera's directory only, bind-mounted read-only (needs root)",
    ),
    scenario(
        "impostor",
        1,
        hostile_readers::impostors,
        "other users, in the readers' group and outside, try to write, truncate, unlink, rename (needs root)",
    ),
];

/// Why a scenario that needs root is not played.
fn need_root() -> Played {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(crate::stage::Stop::Skipped("needs root".into()))
    }
}
