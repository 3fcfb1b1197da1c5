//! Is the server alive? A pure state machine over what a reader sees in the header.

use vas_shm_proto::{State, StreamFlags};

/// How long the heartbeat may stand still on the reader's own clock before the server counts as gone, in nanoseconds.
pub const HEARTBEAT_LIMIT_NS: u64 = 3_000_000_000;

/// The words a verdict is made from, loaded one by one at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// State of the pair.
    pub state: State,
    /// Flags of the stream.
    pub flags: StreamFlags,
    /// The heartbeat. Only whether it *changes* counts: a container may have another clock than the server.
    pub heartbeat_ns: u64,
    /// The publish word.
    pub frame_id: u64,
}

/// What a reader says of a camera that it has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Opened, but nothing has changed since: the server may be dead, and what stands there old.
    Unproven,
    /// Frames come.
    Live,
    /// The server lives; nobody was attached, so no pixels were copied. The first frame comes within a frame period.
    Idle,
    /// The server lives; its source is lost and it is reconnecting.
    Stalled,
    /// The camera was stopped. Unmap and open again.
    Stopped,
    /// Another pair took the names. Unmap and open again.
    Replaced,
    /// The heartbeat stood still for three seconds. An observation, not a verdict: a heartbeat that moves is live again.
    ServerGone,
}

impl Status {
    /// The name used in tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
            Self::ServerGone => "server_gone",
        }
    }

    /// Whether the reader has to leave this pair.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Replaced)
    }
}

/// The memory of the state machine: what was seen last and since when.
///
/// ```
/// use vas_shm_reader::{Liveness, Observation, State, Status, StreamFlags};
///
/// let at_open = Observation { state: State::Live, flags: StreamFlags::default(), heartbeat_ns: 5, frame_id: 0 };
/// let mut liveness = Liveness::new(at_open, 0);
/// let beat = Observation { heartbeat_ns: 6, ..at_open };
/// assert_eq!(liveness.observe(beat, 1_000_000_000), Status::Live);
/// // The same heartbeat three seconds later, by the reader's own clock:
/// assert_eq!(liveness.observe(beat, 4_000_000_000), Status::ServerGone);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    heartbeat_ns: u64,
    frame_id: u64,
    changed_at_ns: u64,
    proven: bool,
}

impl Liveness {
    /// Starts from what stood in the header when it was opened. `now_ns` is any clock of the reader's that rises.
    #[must_use]
    pub const fn new(at_open: Observation, now_ns: u64) -> Self {
        Self {
            heartbeat_ns: at_open.heartbeat_ns,
            frame_id: at_open.frame_id,
            changed_at_ns: now_ns,
            proven: false,
        }
    }

    /// Takes another look into account.
    pub fn observe(&mut self, seen: Observation, now_ns: u64) -> Status {
        if seen.heartbeat_ns != self.heartbeat_ns || seen.frame_id != self.frame_id {
            self.heartbeat_ns = seen.heartbeat_ns;
            self.frame_id = seen.frame_id;
            self.changed_at_ns = now_ns;
            self.proven = true;
        }
        match seen.state {
            State::Stopped => return Status::Stopped,
            State::Replaced => return Status::Replaced,
            State::Live | State::Stalled | State::Other(_) => {}
        }
        if now_ns.saturating_sub(self.changed_at_ns) >= HEARTBEAT_LIMIT_NS {
            return Status::ServerGone;
        }
        if !self.proven {
            return Status::Unproven;
        }
        match seen.state {
            State::Stalled => Status::Stalled,
            _ if seen.flags.is_idle() => Status::Idle,
            _ => Status::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BORN: Observation =
        Observation { state: State::Live, flags: StreamFlags(0), heartbeat_ns: 5, frame_id: 0 };

    // Proves LIVE-1.
    #[test]
    fn nothing_is_live_before_something_changed_after_the_open() {
        let mut liveness = Liveness::new(BORN, 0);
        assert_eq!(liveness.observe(BORN, SECOND), Status::Unproven);
        assert_eq!(liveness.observe(Observation { frame_id: 1, ..BORN }, SECOND), Status::Live);
    }

    // Proves LIVE-3 and LIVE-4.
    #[test]
    fn a_heartbeat_that_stands_still_for_three_seconds_is_a_server_gone_and_one_that_moves_is_live_again() {
        let mut liveness = Liveness::new(BORN, 0);
        let moved = Observation { heartbeat_ns: 6, ..BORN };
        assert_eq!(liveness.observe(moved, SECOND), Status::Live);
        assert_eq!(liveness.observe(moved, 4 * SECOND - 1), Status::Live);
        assert_eq!(liveness.observe(moved, 4 * SECOND), Status::ServerGone);
        assert_eq!(liveness.observe(Observation { heartbeat_ns: 7, ..BORN }, 9 * SECOND), Status::Live);
    }

    #[test]
    fn a_server_that_was_dead_at_the_open_is_gone_without_having_been_live() {
        let mut liveness = Liveness::new(BORN, 0);
        assert_eq!(liveness.observe(BORN, 3 * SECOND), Status::ServerGone);
    }

    // Proves LIVE-2.
    #[test]
    fn the_end_of_a_pair_is_told_before_anything_else() {
        let mut liveness = Liveness::new(BORN, 0);
        assert_eq!(
            liveness.observe(Observation { state: State::Stopped, ..BORN }, 9 * SECOND),
            Status::Stopped
        );
        assert_eq!(
            liveness.observe(Observation { state: State::Replaced, ..BORN }, 9 * SECOND),
            Status::Replaced
        );
    }

    // Proves LIVE-6 and HEAD-7.
    #[test]
    fn stalled_idle_and_unknown_states_are_told_apart() {
        let mut liveness = Liveness::new(BORN, 0);
        let stalled = Observation { state: State::Stalled, heartbeat_ns: 6, ..BORN };
        assert_eq!(liveness.observe(stalled, 1), Status::Stalled);
        let idle = Observation { flags: StreamFlags::IDLE, heartbeat_ns: 7, ..BORN };
        assert_eq!(liveness.observe(idle, 2), Status::Idle);
        let later_version = Observation { state: State::Other(9), heartbeat_ns: 8, ..BORN };
        assert_eq!(liveness.observe(later_version, 3), Status::Live);
    }
}
