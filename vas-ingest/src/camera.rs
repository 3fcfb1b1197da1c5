//! One camera's thread: connect, decode, ring, export; and when its source is lost, wait and begin again.

use crate::config::CameraConfig;
use crate::export::CameraExport;
use crate::life::{Effect, Event, Trouble, seconds};
use crate::path::FramePath;
use crate::session::{End, Failure, Session};
use crate::source::choice::Choice;
use crate::source::{FileSource, Source};
use crate::status::Counters;
use crate::stop::{Stop, Woken};
use crate::vitals::{self, Vitals};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How a camera's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server is stopping, or the camera left its configuration.
    Stopped,
    /// Its file was played to the end.
    Finished,
    /// It cannot go on: a file that cannot be played.
    Failed,
}

/// One camera, on its own thread.
pub(crate) struct Camera {
    config: CameraConfig,
    stop: Arc<Stop>,
    counters: Arc<Counters>,
    vitals: Arc<Vitals>,
    /// Its outlet is None while the export is off.
    path: FramePath<Option<CameraExport>>,
    choice: Choice,
}

impl Camera {
    pub(crate) fn new(
        config: CameraConfig,
        export: Option<CameraExport>,
        counters: Arc<Counters>,
        vitals: Arc<Vitals>,
        stop: Arc<Stop>,
    ) -> Self {
        // Before anything is opened.
        crate::av::bound_allocations(config.max_pixels);
        let path = FramePath::new(config.ring_frames, export, Arc::clone(&counters));
        Self { config, stop, counters, vitals, path, choice: Choice::default() }
    }

    /// Runs until the stop, or to the end of a file; `session` is one connection, [`Camera::session`] except in tests. A panic in
    /// one costs that connection, not the camera.
    pub(crate) fn run(&mut self, mut session: impl FnMut(&mut Self) -> End) -> Outcome {
        self.vitals.enter_thread();
        if self.wait_on().is_stop() {
            return self.stopped();
        }
        let mut was_unready = false;
        loop {
            self.stop.forget_nudge();
            self.vitals.connect();
            // What a panic may leave half done: the session's own values, which are dropped; a slot, which its drop gives
            // back unpublished; the ring and the counters, whose every step is complete in itself.
            let end = catch_unwind(AssertUnwindSafe(|| session(self)))
                .unwrap_or_else(|_| End::Failed(Failure::lost("its thread panicked (the log says where)")));
            // Whatever failed after the stop was asked for failed because of it.
            if self.stop.is_requested() {
                return self.stopped();
            }
            let failure = match end {
                End::Stopped => return self.stopped(),
                End::Finished => {
                    tracing::info!("played to the end");
                    self.vitals.on(Event::Finished);
                    return Outcome::Finished;
                }
                End::Failed(failure) => failure,
            };
            // The life first, and then the readers: a look that finds a last frame would tell them that it is live again.
            was_unready |= failure.is_unready;
            // A file that came late may still be coming.
            let is_late = was_unready && self.counters.snapshot().decoded == 0;
            if let Source::File(FileSource { repeat: false, .. }) = self.config.source
                && !is_late
            {
                tracing::error!("{}", failure.sentence);
                self.vitals.on(Event::GaveUp(failure.sentence));
                self.path.set_live(false);
                return Outcome::Failed;
            }
            self.counters.reconnects.add(1);
            let effect = self.vitals.on(Event::Failed(failure.trouble, failure.sentence.clone()));
            self.path.set_live(false);
            let Effect::Wait(wait) = effect else {
                // Its life is over, so somebody stops it.
                return self.stopped();
            };
            if failure.is_unready {
                // No camera puts that right, somebody has to.
                tracing::error!("{}; trying again in {}", failure.sentence, seconds(wait));
            } else {
                tracing::warn!("{}; trying again in {}", failure.sentence, seconds(wait));
            }
            // Nobody shortens the wait of one that was refused: each try brings the account nearer to being locked.
            let woken = match failure.trouble {
                Trouble::Lost => self.stop.wait_for_next_try(wait),
                Trouble::Refused => self.stop.wait_for(wait),
            };
            match woken {
                Woken::Stop => return self.stopped(),
                Woken::Nudge => {
                    self.vitals.on(Event::Retry);
                    tracing::info!("trying again at once, since the configuration was read again");
                }
                Woken::Time => {}
            }
        }
    }

    /// One that was refused and is started again with the same credentials waits for as long as it would have.
    fn wait_on(&self) -> Woken {
        let life = self.vitals.life();
        let Some(retry_at) = life.retry_at() else { return Woken::Time };
        let wait = retry_at.saturating_sub(vitals::now());
        tracing::warn!("{}; trying again in {}", life.reason().unwrap_or_default(), seconds(wait));
        self.stop.wait_for(wait)
    }

    fn stopped(&self) -> Outcome {
        self.vitals.on(Event::Stop);
        Outcome::Stopped
    }

    /// From opening the source to its end.
    pub(crate) fn session(&mut self) -> End {
        if let Err(sentence) = self.config.make_ready() {
            return End::Failed(Failure::unready(sentence));
        }
        let mut session = Session {
            config: &self.config,
            stop: &self.stop,
            counters: &self.counters,
            path: &mut self.path,
            vitals: &self.vitals,
            choice: &mut self.choice,
        };
        session.run()
    }

    /// The camera left the configuration: what readers see of it goes, its directory too.
    pub(crate) fn remove(self) {
        if let Some(export) = self.path.into_outlet() {
            export.remove();
        }
    }
}

#[cfg(test)]
impl Camera {
    /// A session of a camera with a frame every few milliseconds, without any pictures: for tests of what is around it.
    pub(crate) fn count_until_stopped(&mut self) -> End {
        let pause = std::time::Duration::from_millis(5);
        while !self.stop.wait_until(std::time::Instant::now() + pause) {
            self.counters.decoded.add(1);
            self.vitals.frame(crate::clock::monotonic_ns());
        }
        End::Stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::RtspSource;
    use crate::config::{Config, Environment, Request};
    use crate::life::State;
    use std::time::{Duration, Instant};

    /// A camera whose address nobody connects to: its sessions are the test's.
    fn camera(stop: &Arc<Stop>, vitals: &Arc<Vitals>) -> Camera {
        let request = Request { cameras: vec!["front=rtsp://127.0.0.1/s".into()], ..Request::default() };
        let mut config = Config::load(&request, &Environment::default()).unwrap();
        let config = config.cameras.remove(0);
        assert!(matches!(config.source, Source::Rtsp(RtspSource { .. })));
        Camera::new(config, None, Arc::default(), Arc::clone(vitals), Arc::clone(stop))
    }

    #[test]
    fn a_panic_in_a_session_costs_that_session_and_is_tried_again_after_a_wait() {
        let (stop, vitals) = (Arc::<Stop>::default(), Arc::new(Vitals::new("front", None)));
        let mut camera = camera(&stop, &vitals);
        let counters = Arc::clone(&camera.counters);
        let mut begun = Vec::new();
        let outcome = camera.run(|camera| {
            begun.push(Instant::now());
            match begun.len() {
                1 => panic!("on purpose, by the test of a panic"),
                2 => {
                    assert_eq!(vitals.life().last_error(), Some("its thread panicked (the log says where)"));
                    assert_eq!(vitals.life().state(), State::Connecting);
                    assert!(!camera.vitals.frame(crate::clock::monotonic_ns()));
                    assert_eq!(vitals.life().state(), State::Live);
                    stop.request();
                    End::Stopped
                }
                _ => unreachable!(),
            }
        });
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!((vitals.life().state(), counters.snapshot().reconnects), (State::Stopped, 1));
        assert!(begun[1] - begun[0] >= Duration::from_millis(750), "{begun:?}");
    }

    #[test]
    fn a_nudge_ends_the_wait_after_a_loss_and_not_the_one_after_a_refusal() {
        let (stop, vitals) = (Arc::<Stop>::default(), Arc::new(Vitals::new("front", None)));
        let mut camera = camera(&stop, &vitals);
        let camera_vitals = Arc::clone(&vitals);
        let mut sessions = 0;
        let outcome = camera.run(|_| {
            sessions += 1;
            let (stop, vitals) = (Arc::clone(&stop), Arc::clone(&vitals));
            let is_lost = sessions == 1;
            std::thread::spawn(move || {
                let awaited = if is_lost { State::Backoff } else { State::AuthFailed };
                while vitals.life().state() != awaited {
                    std::thread::yield_now();
                }
                stop.nudge();
                if !is_lost {
                    // Whoever takes the nudge connects again.
                    std::thread::sleep(Duration::from_millis(100));
                    stop.request();
                }
            });
            if is_lost {
                // The first wait is shorter than this test may take, the eighth is not.
                for _ in 0..7 {
                    camera_vitals.on(Event::Failed(Trouble::Lost, "gone".into()));
                }
                End::Failed(Failure::lost("gone"))
            } else {
                End::Failed(Failure::refused("wrong password"))
            }
        });
        assert_eq!((outcome, sessions), (Outcome::Stopped, 2));
    }

    #[test]
    fn a_camera_that_was_refused_before_it_was_started_again_waits_before_it_tries() {
        let (stop, vitals) = (Arc::<Stop>::default(), Arc::new(Vitals::new("front", None)));
        let before = Vitals::new("front", None);
        before.on(Event::Failed(Trouble::Refused, "wrong password".into()));
        vitals.inherit_refusals(&before.life());
        let mut camera = camera(&stop, &vitals);
        let waiting = Arc::clone(&stop);
        let asked = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            waiting.request();
        });
        let mut tries = 0;
        let outcome = camera.run(|_| {
            tries += 1;
            End::Stopped
        });
        asked.join().unwrap();
        assert_eq!((outcome, tries), (Outcome::Stopped, 0));
    }
}
