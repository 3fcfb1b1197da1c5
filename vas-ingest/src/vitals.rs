//! What a camera's own thread and the server's both know of a camera, and how the two speak of it.
//!
//! The camera's thread waits inside FFmpeg for the next frame most of the time, so it cannot find out that none comes; the server
//! looks several times a second. With each frame the camera's thread stores a number and loads a flag; it takes the lock only when
//! the state changes, and only if the lock is free: if not, its next frame does it, or the next look.

pub(crate) use crate::life::Time;
use crate::life::{Effect, Event, Life, seconds};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use vas_shm_writer::{CameraMonitor, SourceState};

/// No frame has come yet.
const NO_FRAME: u64 = 0;

/// One camera, seen from every thread.
#[derive(Debug)]
pub(crate) struct Vitals {
    life: Mutex<Life>,
    /// The newest decoded frame's time, CLOCK_MONOTONIC.
    newest_frame_ns: AtomicU64,
    /// How far apart frames of this connection came, the newest ones counting most; stored by the camera's thread alone.
    interval_ns: AtomicU64,
    /// The newest frame is the first of its connection, or there was none.
    is_first: AtomicBool,
    /// It is not live, so the next frame is an event.
    is_frame_news: AtomicBool,
    /// The camera's thread as the kernel knows it, 0 = not started.
    thread_id: AtomicI32,
    /// How the newest frames came: transport and client.
    way: Mutex<Option<(&'static str, &'static str)>>,
    /// None while the export is off.
    export: Option<CameraMonitor>,
}

/// CLOCK_MONOTONIC.
pub(crate) fn now() -> Time {
    Duration::from_nanos(crate::clock::monotonic_ns())
}

impl Vitals {
    /// A camera that is about to start.
    pub(crate) fn new(name: &str, export: Option<CameraMonitor>) -> Self {
        Self {
            life: Mutex::new(Life::new(name, now())),
            newest_frame_ns: AtomicU64::new(NO_FRAME),
            interval_ns: AtomicU64::new(0),
            is_first: AtomicBool::new(true),
            is_frame_news: AtomicBool::new(true),
            thread_id: AtomicI32::new(0),
            way: Mutex::new(None),
            export,
        }
    }

    /// What the camera before this one, of the same address and credentials, leaves to it.
    pub(crate) fn inherit_refusals(&self, before: &Life) {
        self.lock().inherit_refusals(before);
    }

    /// The camera's thread begins to connect.
    pub(crate) fn connect(&self) {
        self.interval_ns.store(0, Ordering::Relaxed);
        self.is_first.store(true, Ordering::Relaxed);
        self.on(Event::Connect);
    }

    /// Something happened that is no frame.
    pub(crate) fn on(&self, event: Event) -> Effect {
        let mut life = self.lock();
        self.step(&mut life, now(), event)
    }

    /// A frame was decoded. True: readers were told that the camera is stalled, and have to be told that it is not.
    pub(crate) fn frame(&self, timestamp_ns: u64) -> bool {
        let last_ns = self.newest_frame_ns.swap(timestamp_ns, Ordering::Relaxed);
        if !self.is_first.swap(false, Ordering::Relaxed) {
            self.measure(timestamp_ns.saturating_sub(last_ns));
        }
        if !self.is_frame_news.load(Ordering::Relaxed) {
            return false;
        }
        let mut life = match self.life.try_lock() {
            Ok(life) => life,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A look is going on. It, or the next frame, does this.
            Err(TryLockError::WouldBlock) => return false,
        };
        let effect = self.step(&mut life, now(), Event::Frame(Duration::from_nanos(timestamp_ns)));
        drop(life);
        tell_pause(effect)
    }

    /// What a stream says of its rate is not enough: a camera may send a picture every few seconds and promise 25 a second, and of
    /// a stream of which only some are decoded most pictures never come.
    fn measure(&self, interval_ns: u64) {
        let known_ns = self.interval_ns.load(Ordering::Relaxed);
        // A quarter of each new one: a single pause is forgotten within a second, a slow camera is known after a few pictures.
        let known_ns = known_ns - known_ns / 4 + interval_ns / 4;
        self.interval_ns.store(known_ns, Ordering::Relaxed);
    }

    /// The server looks: has the camera fallen silent, or is it back? True: it has fallen silent since the last look.
    pub(crate) fn look(&self) -> bool {
        let mut life = self.lock();
        let now = now();
        let frame = match self.newest_frame_ns.load(Ordering::Relaxed) {
            NO_FRAME => Effect::Nothing,
            ns => self.step(&mut life, now, Event::Frame(Duration::from_nanos(ns))),
        };
        let interval = Duration::from_nanos(self.interval_ns.load(Ordering::Relaxed));
        self.step(&mut life, now, Event::FrameInterval(interval));
        let silence = self.step(&mut life, now, Event::Look);
        // Readers are told before the lock is free: whoever takes it next has the last word.
        if matches!(frame, Effect::Live(Some(_))) {
            self.tell_readers(SourceState::Live);
        }
        if matches!(silence, Effect::Stalled(_)) {
            self.tell_readers(SourceState::Stalled);
        }
        drop(life);
        tell_pause(frame);
        let Effect::Stalled(silence) = silence else { return false };
        tracing::warn!("connected, but no frame for {}: stalled", seconds(silence));
        true
    }

    /// The state as it is now.
    pub(crate) fn life(&self) -> Life {
        self.lock().clone()
    }

    /// When the newest frame was decoded.
    pub(crate) fn newest_frame(&self) -> Option<Time> {
        let ns = self.newest_frame_ns.load(Ordering::Relaxed);
        (ns != NO_FRAME).then_some(Duration::from_nanos(ns))
    }

    /// From now on frames come over this transport, by this client.
    pub(crate) fn comes_by(&self, transport: &'static str, client: &'static str) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = Some((transport, client));
    }

    /// Transport and client of the newest frames.
    pub(crate) fn way(&self) -> Option<(&'static str, &'static str)> {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the calling thread is the camera's.
    pub(crate) fn enter_thread(&self) {
        self.thread_id.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// The camera's thread as the kernel knows it.
    pub(crate) fn thread_id(&self) -> Option<i32> {
        Some(self.thread_id.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// What the export knows of the camera.
    pub(crate) fn export(&self) -> Option<&CameraMonitor> {
        self.export.as_ref()
    }

    fn tell_readers(&self, state: SourceState) {
        if let Some(export) = &self.export {
            export.set_source_state(state);
        }
    }

    fn step(&self, life: &mut Life, now: Time, event: Event) -> Effect {
        let effect = life.on(now, event);
        self.is_frame_news.store(life.state() != crate::life::State::Live, Ordering::Relaxed);
        effect
    }

    /// Each of its steps is complete in itself, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says in the log that frames come again, if they do after a pause.
fn tell_pause(effect: Effect) -> bool {
    let Effect::Live(Some(pause)) = effect else { return false };
    tracing::info!("frames come again, after {}", seconds(pause));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::State;

    #[test]
    fn a_stall_that_a_look_finds_ends_with_the_next_frame_or_the_next_look() {
        let vitals = Vitals::new("front", None);
        // Long ago, as time goes here.
        *vitals.lock() = Life::new("front", Duration::ZERO);
        let old_ns = now().saturating_sub(Duration::from_secs(60)).as_nanos() as u64;
        assert!(!vitals.frame(old_ns), "the first frame is no end of a pause");
        assert_eq!(vitals.life().state(), State::Live);
        assert!(vitals.look());
        assert_eq!(vitals.life().state(), State::Stalled);
        assert!(vitals.frame(now().as_nanos() as u64));
        assert_eq!(vitals.life().state(), State::Live);

        vitals.newest_frame_ns.store(old_ns, Ordering::Relaxed);
        *vitals.lock() = Life::new("front", Duration::ZERO);
        assert!(vitals.look());
        assert_eq!(vitals.life().state(), State::Stalled);
        // A frame that came while the lock was taken.
        let lock = vitals.lock();
        assert!(!vitals.frame(now().as_nanos() as u64));
        drop(lock);
        assert!(!vitals.look());
        assert_eq!(vitals.life().state(), State::Live);
    }

    /// A camera whose frames came this far apart, the newest of them so long ago.
    fn camera_with(intervals: &[Duration], ago: Duration) -> Vitals {
        let vitals = Vitals::new("front", None);
        *vitals.lock() = Life::new("front", Duration::ZERO);
        vitals.connect();
        let mut at = now().saturating_sub(ago).saturating_sub(intervals.iter().sum());
        *vitals.lock() = Life::new("front", Duration::ZERO);
        vitals.frame(at.as_nanos() as u64);
        for interval in intervals {
            at += *interval;
            vitals.frame(at.as_nanos() as u64);
        }
        vitals
    }

    #[test]
    fn how_long_is_too_long_is_measured() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        // Of a test that has no processor between the last frame and the look, the camera is silent for as long: not each time.
        let is_let_alone =
            |intervals: &[Duration], ago: Duration| (0..20).any(|_| !camera_with(intervals, ago).look());
        assert!(camera_with(&[ms(40); 30], ms(2100)).look());
        assert!(is_let_alone(&[ms(40); 30], ms(1500)));
        // A picture every five seconds.
        assert!(is_let_alone(&[s(5); 6], s(7)));
        assert!(camera_with(&[s(5); 6], s(11)).look());
        // One long pause of a quick camera is soon forgotten.
        let mut once = vec![s(30)];
        once.resize(30, ms(40));
        assert!(camera_with(&once, ms(2100)).look());
    }

    #[test]
    fn the_pause_before_a_connection_is_no_interval() {
        let vitals = camera_with(&[Duration::from_millis(40); 3], Duration::from_secs(60));
        vitals.connect();
        vitals.frame(now().as_nanos() as u64);
        assert_eq!(vitals.interval_ns.load(Ordering::Relaxed), 0);
    }
}
