//! The path of a decoded frame: into the ring, and from there to whoever the camera has an outlet for.

use crate::clock::FramePeriod;
use crate::decode::Decoded;
use crate::ring::Ring;
use crate::status::Counters;
use std::sync::Arc;
use std::time::Duration;

/// Where the frames of a ring go besides staying in it for a while. Called on the camera's thread, so nothing in it may wait.
pub(crate) trait Outlet {
    /// There is a new frame in the ring.
    fn pull(&mut self, ring: &Ring<Decoded>, counters: &Counters);

    /// The source is lost, or back.
    fn set_live(&mut self, live: bool);

    /// How far apart frames are.
    fn set_frame_period(&mut self, period: Duration);
}

/// None: the outlet is off, and this branch is all that is left of it (§13).
impl<O: Outlet> Outlet for Option<O> {
    fn pull(&mut self, ring: &Ring<Decoded>, counters: &Counters) {
        if let Some(outlet) = self {
            outlet.pull(ring, counters);
        }
    }

    fn set_live(&mut self, live: bool) {
        if let Some(outlet) = self {
            outlet.set_live(live);
        }
    }

    fn set_frame_period(&mut self, period: Duration) {
        if let Some(outlet) = self {
            outlet.set_frame_period(period);
        }
    }
}

/// What a camera's thread does with each frame that it decoded.
pub(crate) struct FramePath<O> {
    ring: Ring<Decoded>,
    outlet: O,
    counters: Arc<Counters>,
    /// The outlet was told that the source delivers.
    is_live: bool,
}

impl<O: Outlet> FramePath<O> {
    pub(crate) fn new(ring_frames: usize, outlet: O, counters: Arc<Counters>) -> Self {
        Self { ring: Ring::new(ring_frames), outlet, counters, is_live: false }
    }

    /// A frame came: into the ring, and from there to the readers. Some: frames are that far apart, which is news.
    pub(crate) fn take(&mut self, frame: Decoded, period: &mut FramePeriod) -> Option<Duration> {
        let news = period.frame(frame.timestamp_ns);
        self.ring.push(frame);
        self.set_live(true);
        if let Some(period) = news {
            self.outlet.set_frame_period(period);
        }
        self.outlet.pull(&self.ring, &self.counters);
        news
    }

    /// Somebody else told the outlet that the source delivers nothing: the next frame says that it does.
    pub(crate) fn was_stalled(&mut self) {
        self.is_live = false;
    }

    /// What the frames go to.
    pub(crate) fn into_outlet(self) -> O {
        self.outlet
    }

    pub(crate) fn set_live(&mut self, live: bool) {
        if std::mem::replace(&mut self.is_live, live) != live {
            self.outlet.set_live(live);
        }
    }
}
