//! One camera's life: open, decode, ring, export; and when its source is lost, wait and begin again.

use crate::config::CameraConfig;
use crate::export::CameraExport;
use crate::path::FramePath;
use crate::reconnect::Backoff;
use crate::session::{End, Failure, Session};
use crate::source::{FileSource, Source};
use crate::status::Counters;
use crate::stop::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How a camera's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server is stopping.
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
    /// Its outlet is None while the export is off.
    path: FramePath<Option<CameraExport>>,
    backoff: Backoff,
}

impl Camera {
    pub(crate) fn new(
        config: CameraConfig,
        export: Option<CameraExport>,
        counters: Arc<Counters>,
        stop: Arc<Stop>,
    ) -> Self {
        // Before anything is opened.
        crate::av::bound_allocations(config.max_pixels);
        let path = FramePath::new(config.ring_frames, export, Arc::clone(&counters));
        Self { config, stop, counters, path, backoff: Backoff::default() }
    }

    /// Runs until the stop, or to the end of a file. A panic in between costs one session, not the camera.
    pub(crate) fn run(mut self) -> Outcome {
        loop {
            // What a panic may leave half done: the session's own values, which are dropped; a slot, which its drop gives
            // back unpublished; the ring and the counters, whose every step is complete in itself.
            let end = catch_unwind(AssertUnwindSafe(|| self.session()))
                .unwrap_or_else(|_| End::Failed(Failure::lost("its thread panicked (see the line before)")));
            // Whatever failed after the stop was asked for failed because of it.
            if self.stop.is_requested() {
                return Outcome::Stopped;
            }
            let failure = match end {
                End::Stopped => return Outcome::Stopped,
                End::Finished => {
                    tracing::info!("played to the end");
                    return Outcome::Finished;
                }
                End::Failed(failure) => failure,
            };
            self.path.set_live(false);
            if let Source::File(FileSource { repeat: false, .. }) = self.config.source {
                tracing::error!("{}", failure.sentence);
                return Outcome::Failed;
            }
            self.counters.reconnects.add(1);
            let delay = self.backoff.after(failure.trouble);
            tracing::warn!("{}; trying again in {} s", failure.sentence, delay.as_secs());
            if self.stop.wait_for(delay) {
                return Outcome::Stopped;
            }
        }
    }

    /// From opening the source to its end.
    fn session(&mut self) -> End {
        let mut session = Session {
            config: &self.config,
            stop: &self.stop,
            counters: &self.counters,
            path: &mut self.path,
            backoff: &mut self.backoff,
        };
        session.run()
    }
}
