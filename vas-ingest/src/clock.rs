//! Time: the clock frames are stamped with, the pace of files, the distance between frames.
//!
//! Three times, which are never mixed:
//!
//! - **stream time** (pts): trusted for the pace of a file and for nothing else, since cameras jump, wrap and start again from 0;
//! - **the camera's clock**: what its RTCP sender reports say, kept beside each frame and trusted for nothing;
//! - **this machine's** monotonic clock: when the last packet of a frame was there, and when the frame was decoded. That last one is a
//!   frame's time for readers, `timestamp_ns`.

use crate::av::Rational;
use std::time::{Duration, Instant};

/// CLOCK_MONOTONIC in nanoseconds, the clock of `timestamp_ns` (§7).
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither part is ever negative on this clock, and 64 bits of nanoseconds last 584 years of uptime.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CLOCK_MONOTONIC of an instant of a moment ago.
pub(crate) fn monotonic_ns_of(instant: Instant) -> u64 {
    let ago = u64::try_from(instant.elapsed().as_nanos()).unwrap_or(u64::MAX);
    monotonic_ns().saturating_sub(ago)
}

/// From 1900, where NTP begins, to 1970, in seconds.
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;
/// A step of stream time from one frame to the next that is longer than this, or as far back, is a jump: what the last report says
/// is over, unless it is one of after the jump. A camera may also have been still for so long; then the next report is awaited too.
const LONGEST_FRAME_STEP: Duration = Duration::from_secs(2);
/// RTCP sender reports come every few seconds. From one that is older than this nothing is concluded.
const REPORT_REACH: Duration = Duration::from_secs(120);

/// The camera's own clock (RFC 3550 6.4.1): each RTCP sender report says what time it was for one RTP timestamp.
///
/// RTP timestamps have 32 bits and wrap after 13 hours of video; what comes in here was unwrapped before (retina does: steps of
/// more than 2^31 ticks count as backwards). When they jump, the next report jumps with them; until it comes, there is no answer.
#[derive(Debug, Default)]
pub(crate) struct CameraClock {
    /// Stream time, and time since 1970, of the newest report; both in nanoseconds.
    report: Option<(i64, i64)>,
    last_pts_ns: Option<i64>,
}

impl CameraClock {
    /// A report: a stream time, and the NTP timestamp (seconds since 1900 and their fraction, 32 bits each).
    pub(crate) fn report(&mut self, pts_ns: i64, ntp: u64) {
        // A camera that does not know the time sends 0.
        if ntp == 0 {
            self.report = None;
            return;
        }
        let seconds = (ntp >> 32) as i64;
        // The seconds wrap in February 2036: small numbers are of the era that begins then (RFC 4330 section 3).
        let era = if seconds < 1 << 31 { 1 << 32 } else { 0 };
        let fraction_ns = ((ntp & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        let unix_ns = (seconds + era - NTP_TO_UNIX_SECONDS) * 1_000_000_000 + fraction_ns as i64;
        self.report = Some((pts_ns, unix_ns));
    }

    /// The camera's clock at the stream time of the next frame, in nanoseconds since 1970.
    pub(crate) fn frame(&mut self, pts_ns: i64) -> Option<i64> {
        let (report_pts_ns, unix_ns) = self.report?;
        let is_within = |from: i64, reach: Duration| u128::from(pts_ns.abs_diff(from)) <= reach.as_nanos();
        let has_jumped = self
            .last_pts_ns
            .replace(pts_ns)
            .is_some_and(|last_pts_ns| !is_within(last_pts_ns, LONGEST_FRAME_STEP));
        let reach = if has_jumped { LONGEST_FRAME_STEP } else { REPORT_REACH };
        if !is_within(report_pts_ns, reach) {
            self.report = None;
            return None;
        }
        unix_ns.checked_add(pts_ns.checked_sub(report_pts_ns)?)
    }
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
    fn an_instant_of_a_moment_ago_is_not_later_than_now() {
        let before = monotonic_ns();
        let instant = Instant::now();
        let told = monotonic_ns_of(instant);
        // Two clocks are read one after the other, so it may be a little late, never early.
        assert!(before <= told && told <= monotonic_ns());
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_report_dates_the_frames_around_it() {
        let mut clock = CameraClock::default();
        assert_eq!(clock.frame(0), None);
        // 1.5 s after 1970.
        clock.report(100 * SECOND, (2_208_988_801 << 32) | 0x8000_0000);
        assert_eq!(clock.frame(99 * SECOND), Some(SECOND / 2));
        assert_eq!(clock.frame(100 * SECOND), Some(SECOND * 3 / 2));
        assert_eq!(clock.frame(101 * SECOND), Some(SECOND * 5 / 2));
    }

    #[test]
    fn a_jump_of_stream_time_has_no_date_until_the_next_report() {
        for jump in [5 * SECOND, 3600 * SECOND, -5 * SECOND, i64::MAX] {
            let mut clock = CameraClock::default();
            clock.report(0, 3_900_000_000 << 32);
            assert!(clock.frame(0).is_some());
            assert_eq!(clock.frame(jump), None, "{jump}");
            assert_eq!(clock.frame(jump.saturating_add(1)), None, "nor do the frames behind it");
            clock.report(jump, 3_900_000_005 << 32);
            assert_eq!(clock.frame(jump), Some((3_900_000_005 - NTP_TO_UNIX_SECONDS) * SECOND));
        }
    }

    #[test]
    fn a_report_that_comes_between_the_jump_and_its_first_frame_counts() {
        let mut clock = CameraClock::default();
        clock.report(0, 3_900_000_000 << 32);
        assert!(clock.frame(0).is_some());
        clock.report(3600 * SECOND, 3_900_000_001 << 32);
        assert_eq!(clock.frame(3600 * SECOND), Some((3_900_000_001 - NTP_TO_UNIX_SECONDS) * SECOND));
    }

    #[test]
    fn a_report_that_nothing_follows_is_not_believed_for_ever() {
        let mut clock = CameraClock::default();
        clock.report(0, 3_900_000_000 << 32);
        let dated = (0..1000).filter(|second| clock.frame(second * SECOND).is_some()).count();
        assert_eq!(dated, 121);
    }

    #[test]
    fn a_camera_without_a_clock_has_no_date() {
        let mut clock = CameraClock::default();
        clock.report(0, 3_900_000_000 << 32);
        clock.report(SECOND, 0);
        assert_eq!(clock.frame(SECOND), None);
    }

    #[test]
    fn ntp_seconds_go_on_after_they_wrapped_in_2036() {
        let mut clock = CameraClock::default();
        clock.report(0, u64::from(u32::MAX) << 32);
        let last = clock.frame(0).unwrap();
        clock.report(SECOND, 1); // second 0 of the next era, and a fraction
        assert_eq!(clock.frame(SECOND), Some(last + SECOND));
        assert_eq!(last, (i64::from(u32::MAX) - NTP_TO_UNIX_SECONDS) * SECOND);
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
