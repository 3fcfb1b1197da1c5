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
    fn at(clock: &gst::Clock) -> Self {
        if is_monotonic(clock) {
            // One look: the frame has its own time, to the nanosecond.
            let now_ns = clock.time().nseconds();
            return Self { clock_ns: now_ns, monotonic_ns: now_ns };
        }
        let monotonic_ns = monotonic_ns();
        Self { clock_ns: clock.time().nseconds(), monotonic_ns }
    }

    /// Nanoseconds from the pipeline's base time to the frame; negative for a frame from before it. No frame is from the future: one
    /// whose header says so (a server on a machine that was restored from a snapshot, or a broken one) is of now, or all that follow
    /// would have to be later than it.
    fn running_ns(self, timestamp_ns: u64, base_ns: u64) -> i128 {
        let age_ns = self.monotonic_ns.saturating_sub(timestamp_ns);
        i128::from(self.clock_ns) - i128::from(age_ns) - i128::from(base_ns)
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
    /// What `last` counts from. A pause and a flush move it, and times begin anew.
    base_ns: u64,
}

impl Timeline {
    /// The running time of a frame; none in a pipeline without a clock.
    ///
    /// A frame that the server had before the pipeline began to play is of its first moment: buffers have no times before that. Should
    /// two frames have the same time by this, the later one is a nanosecond later.
    pub(crate) fn pts(&mut self, element: &gst::Element, timestamp_ns: u64) -> Option<gst::ClockTime> {
        let clock = element.clock()?;
        let base_ns = element.base_time()?.nseconds();
        Some(self.after_last(Look::at(&clock).running_ns(timestamp_ns, base_ns), base_ns))
    }

    fn after_last(&mut self, running_ns: i128, base_ns: u64) -> gst::ClockTime {
        if base_ns != self.base_ns {
            *self = Self { last: None, base_ns };
        }
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
        let look = Look { clock_ns: 20 * SECOND_NS, monotonic_ns: 20 * SECOND_NS };
        assert_eq!(look.running_ns(12 * SECOND_NS, 10 * SECOND_NS), i128::from(2 * SECOND_NS));
        assert_eq!(look.running_ns(9 * SECOND_NS, 10 * SECOND_NS), -i128::from(SECOND_NS));
    }

    #[test]
    fn a_frame_from_the_future_is_of_now() {
        let look = Look { clock_ns: 20 * SECOND_NS, monotonic_ns: 50 * SECOND_NS };
        for timestamp_ns in [50 * SECOND_NS + 1, u64::MAX] {
            assert_eq!(look.running_ns(timestamp_ns, 10 * SECOND_NS), i128::from(10 * SECOND_NS));
        }
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
        assert_eq!(timeline.after_last(-5, 7), at(0));
        assert_eq!(timeline.after_last(-3, 7), at(1));
        assert_eq!(timeline.after_last(40, 7), at(40));
        assert_eq!(timeline.after_last(40, 7), at(41));
        assert_eq!(timeline.after_last(80, 7), at(80));
        // The pipeline was paused, or flushed: what was before it says nothing of what comes.
        assert_eq!(timeline.after_last(60, 27), at(60));
        assert_eq!(timeline.after_last(60, 27), at(61));
    }
}
