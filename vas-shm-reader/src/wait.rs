//! When to look again: polling that sleeps through the time in which no frame can come.
//!
//! A camera is nearly regular. The next frame cannot come much before the last one plus the shortest of the recent intervals,
//! so the schedule sleeps until shortly before that moment and then looks often; the longer nothing comes, the more seldom. How
//! far the recent intervals lie apart is the camera's jitter: where there is hardly any, fewer looks find the frame as soon.
//! All is taken from the frames' own timestamps, not from when they were found: a frame that was found late must not make the
//! next ones late too. The server's clock may be another than the reader's (a container's time namespace), so a timestamp is
//! brought to the reader's clock by the shortest of the recent delays, whatever that is.
//! It is a pure function of what was seen, in whole nanoseconds, so that `tests/schedule.txt` holds a port to another language to the
//! same answers; the sleeping itself is done by [`crate::FrameStream`]. What the policies cost: `cargo xtask bench --waiting`.

use std::time::Duration;

/// Frames that are remembered.
const REMEMBERED: usize = 8;
/// Intervals that must be known before their spread says anything.
const ENOUGH: usize = 4;
/// Longer intervals are pauses.
const LONGEST_INTERVAL_NS: u64 = 1_000_000_000;
/// No nap is longer: the state, the heartbeat and the file's name want to be looked at too.
const LONGEST_NAP_NS: u64 = 100_000_000;
/// How long before the earliest expected moment the looking begins: at most, and where there is no jitter. The kernel wakes a thread
/// some 60 us later than it was asked to.
const MARGIN_NS: u64 = 500_000;
const LEAST_MARGIN_NS: u64 = 150_000;
/// How much after the expected moment who saves wake-ups looks: a look a hair too early costs a whole nap more.
const ECONOMY_LATE_NS: u64 = 100_000;
/// Between two looks while a frame is due: while nothing is known of the jitter, and where there is none. The kernel adds its timer
/// slack of about 50 us.
const DUE_NAP_NS: u64 = 100_000;
const LEAST_DUE_NAP_NS: u64 = 10_000;
/// How often it is looked through the spread of the intervals: what is found is late by an eightieth of the spread.
const LOOKS_A_SPREAD: u64 = 40;
/// How long a frame counts as due, beyond the spread of the intervals.
const DUE_NS: u64 = 4_000_000;
/// Between two looks when a frame is late, or nothing is known yet.
const LATE_NAP_NS: u64 = 1_000_000;
/// How long a frame counts as late.
const LATE_NS: u64 = 100_000_000;
/// Between two looks when nothing has come for long.
const LONG_NAP_NS: u64 = 5_000_000;

/// What a reader would rather save: time, or the processor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Looks without a pause while a frame is due, for at most an eighth of the camera's shortest interval, and then every 100 us: found
    /// within microseconds while the camera's jitter is below that, at some percent of a processor for each camera. For one camera a
    /// thread.
    LowLatency,
    /// Looks often while a frame is due, the oftener the more regular the camera is: forty times in its jitter.
    #[default]
    Balanced,
    /// Looks when the frame should be there, and then every millisecond: the fewest wake-ups, a frame a little later. Each eighth frame is
    /// looked for as `Balanced` does.
    Economy,
}

/// Predicts when to look for the next frame.
///
/// ```
/// use std::time::Duration;
/// use vas_shm_reader::Schedule;
///
/// let mut schedule = Schedule::new(40_000_000); // the server expects a frame every 40 ms
/// schedule.frame_found(1_000_000_000, 999_950_000, 1); // found 50 us after it was stamped
/// assert_eq!(schedule.nap(1_000_000_000), Duration::from_micros(39_500));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    last_timestamp_ns: Option<u64>,
    intervals_ns: Recent<u64>,
    // Reader's clock when the frame was found, less the server's when it was stamped.
    delays_ns: Recent<i64>,
    policy: Policy,
}

/// The last few of something.
#[derive(Clone, Debug, Default)]
struct Recent<T> {
    values: [T; REMEMBERED],
    filled: usize,
    next: usize,
}

impl<T: Copy + Ord> Recent<T> {
    fn push(&mut self, value: T) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % REMEMBERED;
        self.filled = (self.filled + 1).min(REMEMBERED);
    }

    fn least(&self) -> Option<T> {
        self.values[..self.filled].iter().min().copied()
    }

    fn most(&self) -> Option<T> {
        self.values[..self.filled].iter().max().copied()
    }
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

    /// The same schedule by another policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A frame with this timestamp was found at `now_ns`, `frames` after the one found before (1 = none skipped).
    pub fn frame_found(&mut self, now_ns: u64, timestamp_ns: u64, frames: u64) {
        if let Some(last) = self.last_timestamp_ns {
            self.push(timestamp_ns.saturating_sub(last) / frames.max(1));
        }
        self.last_timestamp_ns = Some(timestamp_ns);
        // Wraps where the two clocks have nothing to do with each other, and wraps back below.
        self.delays_ns.push(now_ns.wrapping_sub(timestamp_ns) as i64);
    }

    fn push(&mut self, interval_ns: u64) {
        // A pause says nothing of the rhythm: whatever comes after it is looked for as if it came every second.
        self.intervals_ns.push(interval_ns.min(LONGEST_INTERVAL_NS));
    }

    /// How long to sleep before the next look, when a look at `now_ns` found nothing. Zero: look again at once.
    #[must_use]
    pub fn nap(&self, now_ns: u64) -> Duration {
        let policy = match self.policy {
            // Who always looks late never sees how soon a frame can be found: the shortest delay would be a little longer each time, and
            // the looks later and later. One early look among those that are remembered keeps it true.
            Policy::Economy if self.delays_ns.next == 0 => Policy::Balanced,
            policy => policy,
        };
        let last_ns = match (self.last_timestamp_ns, self.delays_ns.least()) {
            (Some(timestamp), Some(delay)) => Some(timestamp.wrapping_add(delay as u64)),
            _ => None,
        };
        let nap_ns = match (last_ns, self.intervals_ns.least(), self.intervals_ns.most()) {
            (Some(last), Some(shortest), Some(longest)) => {
                let rhythm = Rhythm { shortest, longest, is_known: self.intervals_ns.filled >= ENOUGH };
                let due_ns = last.saturating_add(rhythm.begin_ns(policy));
                match now_ns.checked_sub(due_ns) {
                    None => (due_ns - now_ns).min(LONGEST_NAP_NS),
                    Some(over_ns) => rhythm.nap_ns(policy, over_ns),
                }
            }
            _ => LATE_NAP_NS,
        };
        Duration::from_nanos(nap_ns)
    }
}

/// What the recent intervals say.
#[derive(Clone, Copy)]
struct Rhythm {
    shortest: u64,
    longest: u64,
    /// Whether there were enough of them to speak of a spread.
    is_known: bool,
}

impl Rhythm {
    fn spread_ns(self) -> u64 {
        self.longest - self.shortest
    }

    /// From the last frame to the first look for the next.
    fn begin_ns(self, policy: Policy) -> u64 {
        let margin_ns = match policy {
            _ if !self.is_known => MARGIN_NS,
            Policy::LowLatency => LEAST_MARGIN_NS,
            Policy::Balanced => (self.spread_ns() / 2).clamp(LEAST_MARGIN_NS, MARGIN_NS),
            // Where the frame should be: three quarters through the spread, and a little later than early. Never so late that the next
            // one comes: a pause, and a header that is wrong, are a spread too.
            Policy::Economy => {
                let into_ns = (self.spread_ns() / 4 * 3).min(self.shortest / 4);
                return self.shortest.saturating_add(into_ns + ECONOMY_LATE_NS);
            }
        };
        self.shortest.saturating_sub(margin_ns)
    }

    /// Between two looks, so long after the first.
    fn nap_ns(self, policy: Policy, over_ns: u64) -> u64 {
        match policy {
            Policy::LowLatency if over_ns < self.spin_ns() => 0,
            Policy::Economy if over_ns < LATE_NS => LATE_NAP_NS,
            Policy::LowLatency if over_ns < self.due_ns() => self.due_nap_ns().min(DUE_NAP_NS),
            Policy::Balanced if over_ns < self.due_ns() => self.due_nap_ns(),
            _ if over_ns < LATE_NS => LATE_NAP_NS,
            _ => LONG_NAP_NS,
        }
    }

    /// How long a frame counts as due.
    fn due_ns(self) -> u64 {
        if self.is_known { self.spread_ns().saturating_add(DUE_NS).min(LATE_NS) } else { DUE_NS }
    }

    fn due_nap_ns(self) -> u64 {
        if !self.is_known {
            return DUE_NAP_NS;
        }
        (self.spread_ns() / LOOKS_A_SPREAD).clamp(LEAST_DUE_NAP_NS, LATE_NAP_NS)
    }

    /// How long a reader that wants no latency looks without a pause: through the spread and twice the margin, but never for more than
    /// an eighth of the interval, whatever the header or the camera says.
    fn spin_ns(self) -> u64 {
        self.spread_ns().saturating_add(2 * MARGIN_NS).min(self.shortest / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A server whose clock is this far behind the reader's, and a reader that finds each frame after 50 us.
    const OFFSET: u64 = 7_000_000_000_000;
    const DELAY: u64 = 50_000;

    fn found(schedule: &mut Schedule, stamped_ns: u64, late_ns: u64, frames: u64) -> u64 {
        let now_ns = stamped_ns + OFFSET + DELAY + late_ns;
        schedule.frame_found(now_ns, stamped_ns, frames);
        now_ns
    }

    #[test]
    fn it_sleeps_until_just_before_the_next_frame_is_due() {
        let mut schedule = Schedule::new(40 * MS);
        let now = found(&mut schedule, 1000 * MS, 0, 1);
        assert_eq!(schedule.nap(now), Duration::from_micros(39_500));
        assert_eq!(schedule.nap(now + 39 * MS), Duration::from_micros(500));
    }

    #[test]
    fn a_frame_that_was_found_late_does_not_make_the_next_ones_late() {
        let mut schedule = Schedule::new(40 * MS);
        found(&mut schedule, 1000 * MS, 0, 1);
        let now = found(&mut schedule, 1040 * MS, 9 * MS, 1);
        assert_eq!(schedule.nap(now), Duration::from_micros(30_500));
    }

    #[test]
    fn it_looks_often_while_a_frame_is_due_and_seldom_when_none_comes() {
        let mut schedule = Schedule::new(40 * MS);
        let now = found(&mut schedule, 1000 * MS, 0, 1);
        assert_eq!(schedule.nap(now + 40 * MS), Duration::from_nanos(DUE_NAP_NS));
        assert_eq!(schedule.nap(now + 50 * MS), Duration::from_nanos(LATE_NAP_NS));
        assert_eq!(schedule.nap(now + 1000 * MS), Duration::from_nanos(LONG_NAP_NS));
    }

    #[test]
    fn the_shortest_of_the_last_eight_intervals_counts_and_older_ones_are_forgotten() {
        let mut schedule = Schedule::default();
        let mut stamped = 0;
        found(&mut schedule, stamped, 0, 1);
        let mut now = 0;
        for interval in [10, 40, 40, 40, 40, 40, 40, 40] {
            stamped += interval * MS;
            now = found(&mut schedule, stamped, 0, 1);
        }
        assert_eq!(schedule.nap(now), Duration::from_micros(9_500));
        stamped += 40 * MS;
        now = found(&mut schedule, stamped, 0, 1);
        // Eight of 40 ms: there is no jitter any more, and so less of a margin.
        assert_eq!(schedule.nap(now), Duration::from_micros(39_850));
    }

    /// A schedule after eight intervals, half of them of 39 ms and half of 41, and its last frame at 0.
    fn unsteady(policy: Policy) -> (Schedule, u64) {
        let mut schedule = Schedule::default().policy(policy);
        let mut stamped = 0;
        let mut now = found(&mut schedule, stamped, 0, 1);
        for interval in [39, 41, 39, 41, 39, 41, 39, 41] {
            stamped += interval * MS;
            now = found(&mut schedule, stamped, 0, 1);
        }
        (schedule, now)
    }

    #[test]
    fn the_more_the_intervals_differ_the_earlier_it_looks_and_the_longer_between_looks() {
        let (schedule, now) = unsteady(Policy::Balanced);
        assert_eq!(schedule.nap(now), Duration::from_micros(38_500));
        assert_eq!(schedule.nap(now + 39 * MS), Duration::from_micros(50));
        let mut steady = Schedule::default();
        let now = (0..9).map(|frame| found(&mut steady, frame * 40 * MS, 0, 1)).last().unwrap();
        assert_eq!(steady.nap(now), Duration::from_micros(39_850));
        assert_eq!(steady.nap(now + 40 * MS), Duration::from_micros(10));
    }

    #[test]
    fn low_latency_looks_without_a_pause_while_a_frame_is_due_and_never_for_more_than_an_eighth_of_the_interval()
     {
        let (schedule, now) = unsteady(Policy::LowLatency);
        assert_eq!(schedule.nap(now), Duration::from_micros(38_850));
        assert_eq!(schedule.nap(now + 38_850_000), Duration::ZERO);
        // The spread of 2 ms and twice the margin.
        assert_eq!(schedule.nap(now + 38_850_000 + 3 * MS - 1), Duration::ZERO);
        assert_eq!(schedule.nap(now + 38_850_000 + 3 * MS), Duration::from_micros(50));
        let mut wild = Schedule::default().policy(Policy::LowLatency);
        let mut stamped = 0;
        for interval in [10, 90, 10, 90, 10] {
            stamped += interval * MS;
            found(&mut wild, stamped, 0, 1);
        }
        let begun = stamped + OFFSET + DELAY + 10 * MS - LEAST_MARGIN_NS;
        assert_eq!(wild.nap(begun + 10 * MS / 8 - 1), Duration::ZERO);
        assert!(!wild.nap(begun + 10 * MS / 8).is_zero());
    }

    #[test]
    fn where_the_intervals_differ_widely_a_frame_is_due_for_as_long_as_they_do() {
        let after = |policy| {
            let mut schedule = Schedule::default().policy(policy);
            let mut stamped = 0;
            let mut now = found(&mut schedule, stamped, 0, 1);
            for interval in [35, 45, 35, 45, 35, 45, 35, 45] {
                stamped += interval * MS;
                now = found(&mut schedule, stamped, 0, 1);
            }
            (schedule, now)
        };
        let (schedule, now) = after(Policy::Balanced);
        assert_eq!(schedule.nap(now + 48 * MS), Duration::from_micros(250));
        assert_eq!(schedule.nap(now + 49 * MS), Duration::from_millis(1));
        // Who wants no latency looks oftener than that.
        let (schedule, now) = after(Policy::LowLatency);
        assert_eq!(schedule.nap(now + 39 * MS), Duration::ZERO);
        assert_eq!(schedule.nap(now + 40 * MS), Duration::from_micros(100));
    }

    #[test]
    fn no_policy_comes_later_and_later_where_the_kernel_wakes_it_late() {
        for policy in [Policy::LowLatency, Policy::Balanced, Policy::Economy] {
            let mut schedule = Schedule::new(40 * MS).policy(policy);
            let mut now_ns = OFFSET;
            for frame in 1..2000 {
                let stamped_ns = frame * 40 * MS;
                while now_ns < stamped_ns + OFFSET {
                    now_ns += schedule.nap(now_ns).as_nanos() as u64 + 60_000;
                }
                let late_ns = now_ns - stamped_ns - OFFSET;
                assert!(late_ns < 1_200_000, "{policy:?}: frame {frame} was found after {late_ns} ns");
                schedule.frame_found(now_ns, stamped_ns, 1);
            }
        }
    }

    #[test]
    fn economy_does_not_oversleep_after_a_pause() {
        let mut schedule = Schedule::default().policy(Policy::Economy);
        let (mut stamped, mut now) = (0, 0);
        for interval in [40, 40, 40, 1000, 40, 40] {
            stamped += interval * MS;
            now = found(&mut schedule, stamped, 0, 1);
        }
        assert_eq!(schedule.nap(now), Duration::from_micros(50_100));
    }

    #[test]
    fn economy_looks_once_where_the_frame_should_be_and_then_every_millisecond() {
        let (schedule, now) = unsteady(Policy::Economy);
        assert_eq!(schedule.nap(now), Duration::from_micros(40_600));
        assert_eq!(schedule.nap(now + 40_600_000), Duration::from_millis(1));
        assert_eq!(schedule.nap(now + 40_600_000 + LATE_NS), Duration::from_nanos(LONG_NAP_NS));
    }

    #[test]
    fn a_gap_of_several_frames_counts_as_that_many_intervals() {
        let mut schedule = Schedule::default();
        found(&mut schedule, 0, 0, 1);
        let now = found(&mut schedule, 120 * MS, 0, 3);
        assert_eq!(schedule.nap(now), Duration::from_micros(39_500));
    }

    // Proves HOLD-5.
    #[test]
    fn no_header_no_pause_and_no_clock_makes_it_sleep_for_long() {
        let mut schedule = Schedule::new(u64::MAX);
        let now = found(&mut schedule, 1000 * MS, 0, 1);
        assert_eq!(schedule.nap(now), Duration::from_millis(100));
        for (now, timestamp) in
            [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (5, 1 << 63), (1 << 63, 5)]
        {
            schedule.frame_found(now, timestamp, u64::MAX);
            assert!(schedule.nap(now) <= Duration::from_millis(100));
        }
        let mut schedule = Schedule::default();
        found(&mut schedule, 0, 0, 1);
        let now = found(&mut schedule, 8000 * MS, 0, 1);
        assert_eq!(schedule.nap(now), Duration::from_millis(100));
        assert_eq!(schedule.nap(now + 995 * MS), Duration::from_micros(4500));
    }

    #[test]
    fn without_any_knowledge_it_looks_every_millisecond() {
        assert_eq!(Schedule::new(0).nap(5), Duration::from_millis(1));
    }
}
