//! The server: one supervised thread per camera, the export beside them, and an end that does not wait for anybody.

use crate::av;
use crate::camera::{Camera, Outcome};
use crate::config::{Config, ExportConfig};
use crate::export::{BaseError, CameraError, Export};
use crate::memory;
use crate::redact;
use crate::source::{RtspSource, Source};
use crate::status::{Counters, Snapshot};
use crate::stop::Stop;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vas_shm_proto::CameraId;

/// How often each camera's counters are told.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// How long the camera threads have for their end. Whoever is stuck longer (name resolution cannot be interrupted) is left
/// behind: the process ends without it.
const STOP_TIMEOUT: Duration = Duration::from_millis(1200);
/// Two seconds are promised; the export takes half a second of them at most (`STOP_PATIENCE` of the writer).
const _: () = assert!(STOP_TIMEOUT.as_millis() + 500 <= 2000);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The base directory cannot be trusted or used. Better no server than one that exports where it must not.
    #[error("frames cannot be exported: {0}")]
    Export(#[from] BaseError),
    /// A camera's export.
    #[error("frames cannot be exported: {0}")]
    Camera(#[from] CameraError),
    /// The machine gives no thread.
    #[error("start the thread of camera {id}: {error}")]
    Thread {
        /// Whose.
        id: CameraId,
        /// Why.
        error: io::Error,
    },
}

/// How a server's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop, or every camera's file was played to its end.
    Well,
    /// No camera is left, and at least one of them failed.
    Failed,
}

enum Event {
    Stop,
    CameraEnded { index: usize, outcome: Outcome },
}

/// Asks a server to stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    events: Sender<Event>,
    stop: Arc<Stop>,
}

impl Stopper {
    /// Asks. Returns at once.
    pub fn stop(&self) {
        self.stop.request();
        // A server that is gone needs no telling.
        let _ = self.events.send(Event::Stop);
    }
}

struct Running {
    id: CameraId,
    counters: Arc<Counters>,
    /// What the last summary told.
    told: Snapshot,
    thread: Option<JoinHandle<()>>,
    outcome: Option<Outcome>,
}

impl Running {
    /// The last summary: everything since the start.
    fn tell_total(&self, time: Duration, exporting: bool) {
        tracing::info!(camera = %self.id, "ended; {}", self.counters.snapshot().line(time, exporting));
    }
}

/// When the counters are told.
struct Summaries {
    told_at: Instant,
}

impl Summaries {
    fn due(&self) -> Instant {
        self.told_at + SUMMARY_EVERY
    }

    /// They are told now; the time they are about. After a pause of the process there is one summary, of all that time, and not
    /// one for each minute of it.
    fn take(&mut self, now: Instant) -> Duration {
        now.duration_since(std::mem::replace(&mut self.told_at, now))
    }
}

/// A running server.
pub struct Server {
    cameras: Vec<Running>,
    export: Option<Export>,
    events: Receiver<Event>,
    stopper: Stopper,
    started: Instant,
}

impl Server {
    /// Starts the export, if it is wanted, and a thread for each camera.
    ///
    /// # Errors
    /// The export is refused, or a thread cannot be had. Nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        av::log::install();
        let (sender, events) = mpsc::channel();
        let export = config.export.as_ref().map(Export::start).transpose()?;
        if let Some(export) = &config.export {
            tell_memory(export, config.cameras.len());
        }
        let stopper = Stopper { events: sender, stop: Arc::default() };
        let mut server = Self { cameras: Vec::new(), export, events, stopper, started: Instant::now() };
        for camera in config.cameras {
            if let Err(error) = server.start_camera(camera) {
                server.stop();
                return Err(error);
            }
        }
        Ok(server)
    }

    fn start_camera(&mut self, config: crate::config::CameraConfig) -> Result<(), StartError> {
        let (id, index) = (config.id, self.cameras.len());
        if let Source::Rtsp(RtspSource { username, password: Some(password), .. }) = &config.source {
            redact::remember(username.as_deref(), password);
        }
        let counters = Arc::new(Counters::default());
        let export = self.export.as_ref().map(|export| export.camera(id)).transpose()?;
        let camera = Camera::new(config, export, Arc::clone(&counters), Arc::clone(&self.stopper.stop));
        let events = self.stopper.events.clone();
        let thread = std::thread::Builder::new()
            .name(format!("vas-{id}"))
            .spawn(move || {
                let span = tracing::info_span!("camera", %id);
                // A camera catches the panics of its sessions; one outside of them must not leave the server waiting.
                let run = AssertUnwindSafe(|| span.in_scope(|| camera.run()));
                let outcome = catch_unwind(run).unwrap_or(Outcome::Failed);
                // The server may have stopped waiting for us.
                let _ = events.send(Event::CameraEnded { index, outcome });
            })
            .map_err(|error| StartError::Thread { id, error })?;
        let told = Snapshot::default();
        self.cameras.push(Running { id, counters, told, thread: Some(thread), outcome: None });
        Ok(())
    }

    /// A handle to ask for the end.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the stop, or for the end of every camera; tells what the cameras do meanwhile; then stops everything.
    pub fn run(mut self) -> Ended {
        let mut summaries = Summaries { told_at: Instant::now() };
        while self.cameras.iter().any(|camera| camera.outcome.is_none()) {
            match self.events.recv_timeout(summaries.due().saturating_duration_since(Instant::now())) {
                Ok(Event::Stop) => {
                    self.stop();
                    return Ended::Well;
                }
                Ok(Event::CameraEnded { index, outcome }) => self.camera_ended(index, outcome),
                Err(RecvTimeoutError::Timeout) => {
                    let time = summaries.take(Instant::now());
                    self.summarise(time);
                }
                // Cannot be: a sender is in `self`.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let failed = self.cameras.iter().any(|camera| camera.outcome == Some(Outcome::Failed));
        self.stop();
        if failed { Ended::Failed } else { Ended::Well }
    }

    fn camera_ended(&mut self, index: usize, outcome: Outcome) {
        let Some(camera) = self.cameras.get_mut(index) else { return };
        camera.outcome = Some(outcome);
        if let Some(thread) = camera.thread.take() {
            // It sent its last word: what is left of it is quick.
            let _ = thread.join();
        }
        camera.tell_total(self.started.elapsed(), self.export.is_some());
    }

    fn summarise(&mut self, time: Duration) {
        for camera in self.cameras.iter_mut().filter(|camera| camera.outcome.is_none()) {
            let now = camera.counters.snapshot();
            let line = now.since(&camera.told).line(time, self.export.is_some());
            tracing::info!(camera = %camera.id, "{line}");
            camera.told = now;
        }
    }

    /// Ends everything within about two seconds, whatever a camera is stuck in.
    fn stop(mut self) {
        self.stopper.stop.request();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.cameras.iter().any(|camera| camera.outcome.is_none()) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::CameraEnded { index, outcome }) => self.camera_ended(index, outcome),
                Ok(Event::Stop) => {}
                Err(_) => break,
            }
        }
        // Files of a camera that is left behind are removed here.
        let exporting = self.export.is_some();
        if let Some(export) = self.export.take() {
            export.shutdown();
        }
        for camera in self.cameras.iter().filter(|camera| camera.outcome.is_none()) {
            camera.tell_total(self.started.elapsed(), exporting);
            tracing::warn!(camera = %camera.id, "its thread does not end (name resolution?), the process ends without it");
        }
    }
}

/// What the cameras will cost, once what an earlier server left has been removed.
fn tell_memory(export: &ExportConfig, cameras: usize) {
    match memory::forecast(export, cameras) {
        Ok(forecast) => {
            tracing::info!("{}", forecast.line);
            forecast.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        Err(error) => tracing::warn!("how much room there is for the export is not known: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_pause_there_is_one_summary_of_all_that_time() {
        let start = Instant::now();
        let mut summaries = Summaries { told_at: start };
        assert_eq!(summaries.due(), start + SUMMARY_EVERY);
        let late = start + 10 * SUMMARY_EVERY;
        assert_eq!(summaries.take(late), 10 * SUMMARY_EVERY);
        assert_eq!(summaries.due(), late + SUMMARY_EVERY);
    }
}
