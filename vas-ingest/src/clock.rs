//! Time: the clock frames are stamped with, the pace of files, the distance between frames.
//!
//! Stream time (pts) is trusted for the pace of a file and for nothing else: cameras jump, wrap and start again from 0. A
//! frame's time is this machine's monotonic clock when the frame came.

use crate::av::Rational;
use std::time::{Duration, Instant};

/// CLOCK_MONOTONIC in nanoseconds, the clock of `timestamp_ns` (§7).
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither part is ever negative on this clock, and 64 bits of nanoseconds last 584 years of uptime.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The period of frames when nothing is known.
const DEFAULT_PERIOD: Duration = Duration::from_millis(40);

/// A rate outside of these is a mistake in the stream (90000 is a favourite), not a camera.
const PLAUSIBLE_FPS: std::ops::RangeInclusive<f64> = 0.5..=240.0;

/// The period behind a frame rate, if the rate can be true.
pub(crate) fn plausible_period(rate: Rational) -> Option<Duration> {
    if rate.numerator <= 0 || rate.denominator <= 0 {
        return None;
    }
    let fps = f64::from(rate.numerator) / f64::from(rate.denominator);
    PLAUSIBLE_FPS.contains(&fps).then(|| Duration::from_secs_f64(1.0 / fps))
}

/// Longest step between two frames of a file that is played as it stands; a longer one is a jump in its timestamps. Time-lapse
/// files have a picture a minute and fewer.
const LONGEST_STEP: Duration = Duration::from_secs(600);
/// A file that is this late (the machine was too slow, or asleep) goes on from now and does not hurry after.
const LATEST: Duration = Duration::from_millis(500);

/// When the frames of a file are due, so that it plays at its own speed.
#[derive(Debug)]
pub(crate) struct Pacer {
    period: Duration,
    /// A frame's pts, and when it was due.
    anchor: Option<(i64, Instant)>,
    last_due: Option<Instant>,
}

impl Pacer {
    /// `period` is used where timestamps are missing or make no sense.
    pub(crate) fn new(period: Option<Duration>) -> Self {
        Self { period: period.unwrap_or(DEFAULT_PERIOD), anchor: None, last_due: None }
    }

    /// The file begins anew: its first frame follows its last one by a period.
    pub(crate) fn rewind(&mut self) {
        self.anchor = None;
    }

    /// When the next frame is due.
    pub(crate) fn due(&mut self, now: Instant, pts_ns: Option<i64>) -> Instant {
        let due = self.next(now, pts_ns);
        let due = if now.saturating_duration_since(due) > LATEST { now } else { due };
        self.last_due = Some(due);
        // Each frame is the next one's anchor; rounding does not add up, since pts are absolute.
        self.anchor = pts_ns.map(|pts_ns| (pts_ns, due));
        due
    }

    fn next(&self, now: Instant, pts_ns: Option<i64>) -> Instant {
        let Some(last_due) = self.last_due else { return now };
        let by_pts = self.anchor.zip(pts_ns).and_then(|((anchor_pts_ns, anchor_due), pts_ns)| {
            let step = Duration::from_nanos(u64::try_from(pts_ns.checked_sub(anchor_pts_ns)?).ok()?);
            (step <= LONGEST_STEP).then_some(anchor_due + step)
        });
        by_pts.unwrap_or(last_due + self.period)
    }
}

/// Intervals that a measured period is the median of. Odd, so that there is a middle.
const INTERVALS: usize = 31;

/// The time between frames, as a hint for those who poll: the stream's own word if it is plausible, else the median of
/// recent intervals.
#[derive(Debug)]
pub(crate) struct FramePeriod {
    nominal: Option<Duration>,
    told: Option<Duration>,
    last_ns: Option<u64>,
    intervals_ns: Vec<u64>,
}

impl FramePeriod {
    pub(crate) fn new(nominal: Option<Duration>) -> Self {
        Self { nominal, told: None, last_ns: None, intervals_ns: Vec::with_capacity(INTERVALS) }
    }

    /// Takes a frame's time. Some: the period is news, or has changed by more than a tenth.
    pub(crate) fn frame(&mut self, timestamp_ns: u64) -> Option<Duration> {
        if let Some(nominal) = self.nominal {
            return self.tell(nominal);
        }
        if let Some(last_ns) = self.last_ns.replace(timestamp_ns) {
            self.intervals_ns.push(timestamp_ns.saturating_sub(last_ns));
        }
        if self.intervals_ns.len() < INTERVALS {
            return None;
        }
        let (_, median_ns, _) = self.intervals_ns.select_nth_unstable(INTERVALS / 2);
        let median = Duration::from_nanos(*median_ns);
        self.intervals_ns.clear();
        self.tell(median)
    }

    fn tell(&mut self, period: Duration) -> Option<Duration> {
        let is_news = self.told.is_none_or(|told| told.abs_diff(period) > told / 10);
        if !is_news || period.is_zero() {
            return None;
        }
        self.told = Some(period);
        Some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_file_plays_at_the_speed_of_its_timestamps() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Some(ms(40)));
        assert_eq!(pacer.due(start, Some(1000 * MS)), start);
        assert_eq!(pacer.due(start, Some(1100 * MS)), start + ms(100));
        assert_eq!(pacer.due(start + ms(100), Some(1133 * MS)), start + ms(133));
    }

    #[test]
    fn frames_without_timestamps_follow_at_the_period() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Some(ms(20)));
        assert_eq!(pacer.due(start, None), start);
        assert_eq!(pacer.due(start, None), start + ms(20));
        assert_eq!(pacer.due(start, Some(7 * MS)), start + ms(40));
        assert_eq!(pacer.due(start, Some(10 * MS)), start + ms(43));
    }

    #[test]
    fn a_picture_each_quarter_of_a_minute_stays_that_far_apart() {
        let start = Instant::now();
        let mut pacer = Pacer::new(None);
        pacer.due(start, Some(0));
        assert_eq!(pacer.due(start, Some(15_000 * MS)), start + ms(15_000));
        assert_eq!(pacer.due(start, Some(615_000 * MS)), start + ms(615_000));
    }

    #[test]
    fn jumps_of_timestamps_are_a_period_long() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Some(ms(40)));
        pacer.due(start, Some(0));
        assert_eq!(pacer.due(start, Some(3_600_000 * MS)), start + ms(40));
        assert_eq!(pacer.due(start, Some(0)), start + ms(80));
        assert_eq!(pacer.due(start, Some(i64::MIN)), start + ms(120));
        assert_eq!(pacer.due(start, Some(i64::MAX)), start + ms(160));
    }

    #[test]
    fn a_loop_goes_on_a_period_after_its_last_frame() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Some(ms(40)));
        pacer.due(start, Some(0));
        pacer.due(start, Some(40 * MS));
        pacer.rewind();
        assert_eq!(pacer.due(start, Some(0)), start + ms(80));
        assert_eq!(pacer.due(start, Some(40 * MS)), start + ms(120));
    }

    #[test]
    fn a_file_that_is_late_does_not_hurry_after() {
        let start = Instant::now();
        let mut pacer = Pacer::new(None);
        pacer.due(start, Some(0));
        let late = start + ms(5000);
        assert_eq!(pacer.due(late, Some(40 * MS)), late);
        assert_eq!(pacer.due(late, Some(80 * MS)), late + ms(40));
    }

    #[test]
    fn only_rates_that_can_be_true_are_believed() {
        let period = |numerator, denominator| plausible_period(Rational { numerator, denominator });
        assert_eq!(period(25, 1), Some(ms(40)));
        assert_eq!(period(90_000, 1), None);
        assert_eq!(period(0, 0), None);
        assert_eq!(period(1, 10), None);
        assert_eq!(period(-25, 1), None);
    }

    #[test]
    fn a_named_period_is_told_once() {
        let mut period = FramePeriod::new(Some(ms(40)));
        assert_eq!(period.frame(1), Some(ms(40)));
        for n in 2..200 {
            assert_eq!(period.frame(n), None);
        }
    }

    #[test]
    fn a_measured_period_is_the_median_and_follows_changes() {
        let mut period = FramePeriod::new(None);
        let mut now_ns = 0;
        let mut told = Vec::new();
        for n in 0..400_u64 {
            // Every seventh interval is wildly off; from frame 200 on the camera is twice as fast.
            let step_ms = if n % 7 == 0 {
                500
            } else if n < 200 {
                40
            } else {
                20
            };
            now_ns += step_ms * 1_000_000;
            told.extend(period.frame(now_ns));
        }
        assert_eq!(told, [ms(40), ms(20)]);
    }
}
