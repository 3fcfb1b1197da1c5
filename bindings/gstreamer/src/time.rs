//! A frame's time on the pipeline's clock.
//!
//! The server stamps frames with CLOCK_MONOTONIC. GStreamer's own clock is that clock, unless the application chose another or an
//! element gave one (an audio device, the network): then both are looked at once per frame, and the frame is as old on the one as it is
//! on the other.

use gst::prelude::*;
use vas_shm_reader::monotonic_ns;

/// What a clock shows at the moment when CLOCK_MONOTONIC shows the other number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    clock_ns: u64,
    monotonic_ns: u64,
}

impl Look {
    /// Of a clock that shows CLOCK_MONOTONIC itself, at any moment.
    const SAME: Self = Self { clock_ns: 0, monotonic_ns: 0 };

    fn at(clock: &gst::Clock) -> Self {
        if is_monotonic(clock) {
            return Self::SAME;
        }
        let monotonic_ns = monotonic_ns();
        Self { clock_ns: clock.time().nseconds(), monotonic_ns }
    }

    /// Nanoseconds from the pipeline's base time to the frame; negative for a frame from before it.
    fn running_ns(self, timestamp_ns: u64, base_ns: u64) -> i128 {
        let on_clock = i128::from(timestamp_ns) - i128::from(self.monotonic_ns) + i128::from(self.clock_ns);
        on_clock - i128::from(base_ns)
    }
}

/// Whether a clock shows CLOCK_MONOTONIC, to the nanosecond. Clocks of the network are of a kind of system clock too, and any clock may
/// have been made to follow another.
fn is_monotonic(clock: &gst::Clock) -> bool {
    clock.type_() == gst::SystemClock::static_type()
        && clock.property::<gst::ClockType>("clock-type") == gst::ClockType::Monotonic
        && clock.calibration() == (gst::ClockTime::ZERO, gst::ClockTime::ZERO, 1, 1)
}

/// Gives each frame a time that is later than that of the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeline {
    last: Option<gst::ClockTime>,
}

impl Timeline {
    /// The running time of a frame; none in a pipeline without a clock.
    ///
    /// A frame that the server had before the pipeline began to play is of its first moment: buffers have no times before that. Should
    /// two frames have the same time by this, the later one is a nanosecond later.
    pub(crate) fn pts(&mut self, element: &gst::Element, timestamp_ns: u64) -> Option<gst::ClockTime> {
        let clock = element.clock()?;
        let base = element.base_time()?;
        Some(self.after_last(Look::at(&clock).running_ns(timestamp_ns, base.nseconds())))
    }

    fn after_last(&mut self, running_ns: i128) -> gst::ClockTime {
        // A time of a hundred years fits.
        let running =
            gst::ClockTime::from_nseconds(u64::try_from(running_ns.max(0)).unwrap_or(u64::MAX >> 1));
        let earliest = self.last.map(|last| last + gst::ClockTime::NSECOND).unwrap_or_default();
        let pts = running.max(earliest);
        self.last = Some(pts);
        pts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn on_the_monotonic_clock_a_frame_is_at_its_own_time() {
        assert_eq!(Look::SAME.running_ns(12 * SECOND_NS, 10 * SECOND_NS), i128::from(2 * SECOND_NS));
        assert_eq!(Look::SAME.running_ns(9 * SECOND_NS, 10 * SECOND_NS), -i128::from(SECOND_NS));
    }

    #[test]
    fn on_another_clock_a_frame_is_as_old_as_it_is_on_the_monotonic_one() {
        // A wall clock far ahead; the frame is half a second old, and the pipeline began three seconds ago.
        let look = Look { clock_ns: 1_700_000_000 * SECOND_NS, monotonic_ns: 50 * SECOND_NS };
        let running = look.running_ns(50 * SECOND_NS - SECOND_NS / 2, (1_700_000_000 - 3) * SECOND_NS);
        assert_eq!(running, i128::from(SECOND_NS * 5 / 2));
        // And one that began to count when the machine had been up for long.
        let look = Look { clock_ns: SECOND_NS, monotonic_ns: 50 * SECOND_NS };
        assert_eq!(look.running_ns(50 * SECOND_NS, 0), i128::from(SECOND_NS));
    }

    #[test]
    fn the_clock_of_every_pipeline_is_the_monotonic_one_until_somebody_says_otherwise() {
        gst::init().expect("GStreamer");
        let clock = gst::SystemClock::obtain();
        assert!(is_monotonic(&clock));
        let wall: gst::SystemClock =
            gst::glib::Object::builder().property("clock-type", gst::ClockType::Realtime).build();
        assert!(!is_monotonic(wall.upcast_ref()));
        let follower: gst::SystemClock =
            gst::glib::Object::builder().property("clock-type", gst::ClockType::Monotonic).build();
        assert!(is_monotonic(follower.upcast_ref()));
        let at = gst::ClockTime::from_seconds;
        follower.set_calibration(at(1), at(2), 1, 1);
        assert!(!is_monotonic(follower.upcast_ref()));
    }

    #[test]
    fn frames_from_before_the_start_are_at_its_first_moment_and_no_two_are_at_the_same() {
        let mut timeline = Timeline::default();
        let at = gst::ClockTime::from_nseconds;
        assert_eq!(timeline.after_last(-5), at(0));
        assert_eq!(timeline.after_last(-3), at(1));
        assert_eq!(timeline.after_last(40), at(40));
        assert_eq!(timeline.after_last(40), at(41));
        assert_eq!(timeline.after_last(80), at(80));
    }
}
