//! When a frame is due: the recording's times on this machine's clock. Pure.

/// Maps times of the recording to CLOCK_MONOTONIC of now. Every moment is reckoned from one fixed point, so lateness does not add up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    speed: f64,
    recorded_ns: u64,
    due_ns: u64,
    /// What was due last: nothing is due before it, whatever the recording says.
    last_ns: u64,
}

impl Schedule {
    /// What the recording has at `recorded_ns` is due at `due_ns`.
    pub(crate) fn new(speed: f64, recorded_ns: u64, due_ns: u64) -> Self {
        Self { speed, recorded_ns, due_ns, last_ns: due_ns }
    }

    /// When that moment of the recording is due.
    pub(crate) fn due(&mut self, recorded_ns: u64) -> u64 {
        let since_ns = recorded_ns.saturating_sub(self.recorded_ns);
        let after_ns = self.stretched(since_ns);
        self.last_ns = self.due_ns.saturating_add(after_ns).max(self.last_ns);
        self.last_ns
    }

    /// A length of time of the recording as it is played.
    pub(crate) fn stretched(&self, recorded_ns: u64) -> u64 {
        // At its own speed to the nanosecond, however long it is.
        if self.speed == 1.0 { recorded_ns } else { (recorded_ns as f64 / self.speed) as u64 }
    }

    /// Everything from here on is due so much later.
    pub(crate) fn shift(&mut self, by_ns: u64) {
        self.due_ns = self.due_ns.saturating_add(by_ns);
        self.last_ns = self.last_ns.saturating_add(by_ns);
    }

    /// The recording begins again: that moment of it is due so long after what was due last.
    pub(crate) fn begin_again(&mut self, recorded_ns: u64, after_ns: u64) {
        *self = Self::new(self.speed, recorded_ns, self.last_ns.saturating_add(after_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spacing_is_the_recordings_to_the_nanosecond_and_nothing_adds_up() {
        let mut schedule = Schedule::new(1.0, 1_000, 5_000_000);
        // A day at 29.97 frames a second.
        for frame in [0, 1, 2, 2_589_408_u64] {
            assert_eq!(schedule.due(1_000 + frame * 33_366_667), 5_000_000 + frame * 33_366_667);
        }
    }

    #[test]
    fn another_speed_stretches_what_lies_between() {
        let mut schedule = Schedule::new(4.0, 1_000, 9_000);
        assert_eq!(schedule.due(1_400), 9_100);
        let mut schedule = Schedule::new(0.5, 1_000, 9_000);
        assert_eq!(schedule.due(1_400), 9_800);
        assert_eq!(schedule.stretched(40), 80);
    }

    #[test]
    fn times_that_fall_are_due_at_once_and_not_before_what_was_due() {
        let mut schedule = Schedule::new(1.0, 1_000, 9_000);
        assert_eq!(schedule.due(1_500), 9_500);
        assert_eq!(schedule.due(1_200), 9_500);
        assert_eq!(schedule.due(0), 9_500);
        assert_eq!(schedule.due(1_600), 9_600);
        assert_eq!(schedule.due(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_shift_moves_all_that_follows_and_a_new_beginning_follows_the_end() {
        let mut schedule = Schedule::new(1.0, 1_000, 9_000);
        assert_eq!(schedule.due(1_040), 9_040);
        schedule.shift(500);
        assert_eq!(schedule.due(1_080), 9_580);
        schedule.begin_again(1_000, 40);
        assert_eq!(schedule.due(1_000), 9_620);
        assert_eq!(schedule.due(1_040), 9_660);
    }
}
