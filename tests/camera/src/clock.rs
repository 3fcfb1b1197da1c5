//! The live clock of the camera: which picture is due when, and what its RTP timestamp is.
//!
//! Pictures are due on ticks, `1 / fps` apart and reckoned from a fixed instant, so that pacing stays even however late
//! a thread wakes up. A change of the rate opens a new segment; old segments stay, because pictures that were taken
//! before the change may still have to be stamped.

use std::time::{Duration, Instant};

use crate::rtp::CLOCK_HZ;

#[derive(Debug)]
pub(crate) struct Clock {
    segments: Vec<Segment>, // never empty; one more with each change of the rate
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    tick: u64,
    at: Instant,
    media: f64,
    fps: f64,
}

impl Clock {
    pub(crate) fn new(at: Instant, fps: f64) -> Clock {
        Clock { segments: vec![Segment { tick: 0, at, media: 0.0, fps }] }
    }

    fn current(&self) -> Segment {
        self.segments[self.segments.len() - 1]
    }

    pub(crate) fn fps(&self) -> f64 {
        self.current().fps
    }

    /// The tick that came last.
    pub(crate) fn tick_at(&self, now: Instant) -> u64 {
        let current = self.current();
        current.tick + (now.saturating_duration_since(current.at).as_secs_f64() * current.fps) as u64
    }

    /// When a tick of the present or the future is due.
    pub(crate) fn instant_of(&self, tick: u64) -> Instant {
        let current = self.current();
        current.at + Duration::from_secs_f64(tick.saturating_sub(current.tick) as f64 / current.fps)
    }

    /// Media time at an instant, in 90 kHz steps since the clock began.
    pub(crate) fn media_at(&self, now: Instant) -> f64 {
        let current = self.current();
        current.media + now.saturating_duration_since(current.at).as_secs_f64() * CLOCK_HZ
    }

    /// Media time of a tick, in 90 kHz steps; ticks before the clock began have one, too.
    pub(crate) fn media_of(&self, tick: i64) -> f64 {
        let began_before = |segment: &&Segment| (segment.tick as i64) < tick;
        let segment = self.segments.iter().rev().find(began_before).unwrap_or(&self.segments[0]);
        segment.media + (tick - segment.tick as i64) as f64 * CLOCK_HZ / segment.fps
    }

    /// Changes the rate: the next tick is one new period from now.
    pub(crate) fn set_fps(&mut self, now: Instant, fps: f64) {
        self.segments.push(Segment { tick: self.tick_at(now), at: now, media: self.media_at(now), fps });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_media_time_follow_the_rate_and_its_changes() {
        let start = Instant::now();
        let mut clock = Clock::new(start, 25.0);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.tick_at(after(199)), 4);
        assert_eq!(clock.instant_of(5), after(200));
        assert_eq!((clock.media_of(5), clock.media_of(-1)), (18_000.0, -3_600.0));

        clock.set_fps(after(210), 10.0); // tick 5 came at 200 ms
        assert_eq!(clock.instant_of(6), after(310));
        assert_eq!(clock.tick_at(after(410)), 7);
        assert_eq!((clock.media_of(5), clock.media_of(6)), (18_000.0, 27_900.0));
        assert_eq!(clock.media_at(after(310)), 27_900.0);
    }
}
