//! When to look again: polling that sleeps through the time in which no frame can come.
//!
//! A camera is nearly regular. The next frame cannot come much before the last one plus the shortest of the recent intervals,
//! so the schedule sleeps until shortly before that moment and then looks often; the longer nothing comes, the more seldom.
//! It is a pure function of what was seen; the sleeping itself is done by [`crate::FrameStream`].

use std::time::Duration;

/// Intervals that are remembered.
const INTERVALS: usize = 8;
/// Longer intervals are pauses.
const LONGEST_INTERVAL_NS: u64 = 1_000_000_000;
/// No nap is longer: the state, the heartbeat and the file's name want to be looked at too.
const LONGEST_NAP_NS: u64 = 100_000_000;
/// How long before the earliest expected moment the looking begins.
const MARGIN_NS: u64 = 500_000;
/// Between two looks while a frame is due. The kernel adds its timer slack of about 50 us.
const DUE_NAP_NS: u64 = 100_000;
/// How long a frame counts as due.
const DUE_NS: u64 = 4_000_000;
/// Between two looks when a frame is late, or nothing is known yet.
const LATE_NAP_NS: u64 = 1_000_000;
/// How long a frame counts as late.
const LATE_NS: u64 = 100_000_000;
/// Between two looks when nothing has come for long.
const LONG_NAP_NS: u64 = 5_000_000;

/// Predicts when to look for the next frame.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    last_seen_ns: Option<u64>,
    intervals_ns: [u64; INTERVALS],
    filled: usize,
    next: usize,
}

impl Schedule {
    /// A schedule that knows the server's own expectation, in nanoseconds; 0 = unknown.
    #[must_use]
    pub fn new(frame_period_ns: u64) -> Self {
        let mut schedule = Self::default();
        if frame_period_ns > 0 {
            schedule.push(frame_period_ns);
        }
        schedule
    }

    /// A frame was found at `now_ns`, `frames` after the one found before (1 = none skipped).
    pub fn frame_found(&mut self, now_ns: u64, frames: u64) {
        if let Some(last) = self.last_seen_ns {
            self.push(now_ns.saturating_sub(last) / frames.max(1));
        }
        self.last_seen_ns = Some(now_ns);
    }

    fn push(&mut self, interval_ns: u64) {
        // A pause says nothing of the rhythm: whatever comes after it is looked for as if it came every second.
        self.intervals_ns[self.next] = interval_ns.min(LONGEST_INTERVAL_NS);
        self.next = (self.next + 1) % INTERVALS;
        self.filled = (self.filled + 1).min(INTERVALS);
    }

    /// How long to sleep before the next look, when a look at `now_ns` found nothing.
    #[must_use]
    pub fn nap(&self, now_ns: u64) -> Duration {
        let shortest = self.intervals_ns[..self.filled].iter().min();
        let nap_ns = match (self.last_seen_ns, shortest) {
            (Some(last), Some(shortest)) => {
                let due = last.saturating_add(*shortest).saturating_sub(MARGIN_NS);
                match now_ns.checked_sub(due) {
                    None => (due - now_ns).min(LONGEST_NAP_NS),
                    Some(over) if over < DUE_NS => DUE_NAP_NS,
                    Some(over) if over < LATE_NS => LATE_NAP_NS,
                    Some(_) => LONG_NAP_NS,
                }
            }
            _ => LATE_NAP_NS,
        };
        Duration::from_nanos(nap_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn it_sleeps_until_just_before_the_next_frame_is_due() {
        let mut schedule = Schedule::new(40 * MS);
        schedule.frame_found(1000 * MS, 1);
        assert_eq!(schedule.nap(1000 * MS), Duration::from_micros(39_500));
        assert_eq!(schedule.nap(1039 * MS), Duration::from_micros(500));
    }

    #[test]
    fn it_looks_often_while_a_frame_is_due_and_seldom_when_none_comes() {
        let mut schedule = Schedule::new(40 * MS);
        schedule.frame_found(1000 * MS, 1);
        assert_eq!(schedule.nap(1040 * MS), Duration::from_nanos(DUE_NAP_NS));
        assert_eq!(schedule.nap(1050 * MS), Duration::from_nanos(LATE_NAP_NS));
        assert_eq!(schedule.nap(2000 * MS), Duration::from_nanos(LONG_NAP_NS));
    }

    #[test]
    fn the_shortest_of_the_last_eight_intervals_counts_and_older_ones_are_forgotten() {
        let mut schedule = Schedule::default();
        let mut now = 0;
        schedule.frame_found(now, 1);
        for interval in [10, 40, 40, 40, 40, 40, 40, 40] {
            now += interval * MS;
            schedule.frame_found(now, 1);
        }
        assert_eq!(schedule.nap(now), Duration::from_micros(9_500));
        now += 40 * MS;
        schedule.frame_found(now, 1);
        assert_eq!(schedule.nap(now), Duration::from_micros(39_500));
    }

    #[test]
    fn a_gap_of_several_frames_counts_as_that_many_intervals() {
        let mut schedule = Schedule::default();
        schedule.frame_found(0, 1);
        schedule.frame_found(120 * MS, 3);
        assert_eq!(schedule.nap(120 * MS), Duration::from_micros(39_500));
    }

    #[test]
    fn no_header_and_no_pause_makes_it_sleep_for_long() {
        let mut schedule = Schedule::new(u64::MAX);
        schedule.frame_found(1000 * MS, 1);
        assert_eq!(schedule.nap(1000 * MS), Duration::from_millis(100));
        schedule.frame_found(u64::MAX, u64::MAX);
        assert!(schedule.nap(u64::MAX) <= Duration::from_millis(100));
        let mut schedule = Schedule::default();
        schedule.frame_found(0, 1);
        schedule.frame_found(8000 * MS, 1);
        assert_eq!(schedule.nap(8000 * MS), Duration::from_millis(100));
        assert_eq!(schedule.nap(8995 * MS), Duration::from_micros(4500));
    }

    #[test]
    fn without_any_knowledge_it_looks_every_millisecond() {
        assert_eq!(Schedule::new(0).nap(5), Duration::from_millis(1));
    }
}
