//! The server: one supervised thread per camera, the export beside them, and an end that does not wait for anybody.

use crate::av;
use crate::camera::{Camera, Outcome};
use crate::claims::{self, Claims, Taken};
use crate::config::{CameraConfig, Config, ConfigError, ExportConfig, ServerConfig};
use crate::export::{BaseError, CameraError, CameraExport, Export};
use crate::life::{Event as LifeEvent, Life, State};
use crate::memory;
use crate::notify::Notify;
use crate::redact;
use crate::reload::{self, Done};
use crate::report::{CameraReport, ExportReport, ReloadReport, Report, ServerReport, VERSION};
use crate::session::End;
use crate::source::Source;
use crate::status::{Counters, Snapshot};
use crate::status_file::{self, Lock, LockError};
use crate::stop::Stop;
use crate::telling::Telling;
use crate::vitals::{self, Vitals};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use vas_shm_proto::CameraId;
use vas_shm_writer::CameraMonitor;

/// How often each camera's counters are told.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// How often the server looks whether frames come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often the status file and the metrics are written.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Rates are those of the last so many tellings.
const RATE_TELLINGS: usize = 5;

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
    /// Another server has a camera of the same base directory.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// The status file, and with it the right to be this server.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The machine gives no thread.
    #[error("start the thread that writes the status: {0}")]
    Telling(io::Error),
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
    Broken,
    Reloading,
    Reload(Box<Result<Config, ConfigError>>),
    CameraEnded { key: u64, outcome: Outcome },
}

/// Asks things of a server, from any thread.
#[derive(Clone)]
pub struct Control {
    events: Sender<Event>,
}

impl Control {
    /// Asks for the end. Returns at once.
    pub fn stop(&self) {
        self.send(Event::Stop);
    }

    /// Something without which the server cannot be run any longer has ended: it stops, and has failed. Returns at once.
    pub fn give_up(&self) {
        self.send(Event::Broken);
    }

    /// Another configuration is about to be read, to be followed by [`Control::reload`]. Returns at once.
    pub fn reloading(&self) {
        self.send(Event::Reloading);
    }

    /// Asks for another configuration to be put in force: cameras that changed are started again, all others go on. One that
    /// could not be read changes nothing, and is told of in the log and the status. Returns at once.
    pub fn reload(&self, config: Result<Config, ConfigError>) {
        self.send(Event::Reload(Box::new(config)));
    }

    fn send(&self, event: Event) {
        // A server that is gone needs no telling.
        let _ = self.events.send(event);
    }
}

struct Running {
    id: CameraId,
    config: CameraConfig,
    /// What comes after its end.
    next: Next,
    /// Of this thread: a camera that is started again has another.
    key: u64,
    stop: Arc<Stop>,
    counters: Arc<Counters>,
    vitals: Arc<Vitals>,
    /// What the last summary told.
    told: Snapshot,
    /// When how many pictures had come and been decoded, the oldest first.
    rates: VecDeque<(Instant, u64, u64)>,
    /// Processor time of its thread when that was last asked for.
    cpu_ms: Option<u64>,
    since: OnBothClocks,
    newest_frame: OnBothClocks,
    last_error_at: OnBothClocks,
    thread: Option<JoinHandle<()>>,
    started: Instant,
    outcome: Option<Outcome>,
}

impl Running {
    /// What is said here is said of this camera.
    fn in_span<T>(&self, say: impl FnOnce() -> T) -> T {
        tracing::info_span!("camera", id = %self.id).in_scope(say)
    }

    /// Its row of the report.
    fn report(&mut self, now: Instant, unix_ms: u64) -> CameraReport {
        // Before the counters: who counts a loss has it in its life a moment later.
        let life = self.vitals.life();
        let counters = self.counters.snapshot();
        self.rates.push_back((now, counters.received, counters.decoded));
        if self.rates.len() > RATE_TELLINGS + 1 {
            self.rates.pop_front();
        }
        let (then, received, decoded) = self.rates[0];
        let time_s = now.duration_since(then).as_secs_f64();
        // To a hundredth; nothing is known of an instant.
        let rate =
            |count: u64| if time_s > 0.0 { (count as f64 / time_s * 100.0).round() / 100.0 } else { 0.0 };
        if self.outcome.is_none() {
            self.cpu_ms = self.vitals.thread_id().and_then(thread_cpu_ms).or(self.cpu_ms);
        }
        let now = vitals::now();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let newest_frame = self.vitals.newest_frame();
        let export = self.vitals.export();
        let way = self.vitals.way();
        CameraReport {
            id: self.id.to_string(),
            state: life.state().name().to_owned(),
            since_unix_ms: self.since.unix_ms(life.since(), now, unix_ms),
            reason: life.reason().map(one_line),
            retry_in_ms: life.retry_at().map(|at| millis(at.saturating_sub(now))),
            last_error: life.last_error().map(one_line),
            last_error_unix_ms: life.last_error_at().map(|at| self.last_error_at.unix_ms(at, now, unix_ms)),
            received_per_s: rate(counters.received - received),
            decoded_per_s: rate(counters.decoded - decoded),
            newest_frame_age_ms: newest_frame.map(|at| millis(now.saturating_sub(at))),
            newest_frame_unix_ms: newest_frame.map(|at| self.newest_frame.unix_ms(at, now, unix_ms)),
            counters: counters.report(),
            readers_attached: export.map(CameraMonitor::is_watched),
            shared_memory_bytes: export.map(CameraMonitor::file_bytes),
            cpu_ms: self.cpu_ms,
            transport: way.map(|(transport, _)| transport.to_owned()),
            client: way.map(|(_, client)| client.to_owned()),
        }
    }

    /// The last summary: everything since the start.
    fn tell_total(&self, exporting: bool) {
        let time = self.started.elapsed();
        self.in_span(|| tracing::info!("ended; {}", self.counters.snapshot().line(time, exporting)));
    }
}

/// A sentence for a file that others read: without passwords, as in the log, and in one line.
fn one_line(sentence: &str) -> String {
    redact::text(sentence).replace('\n', " ")
}

/// Processor time of a thread of this process.
fn thread_cpu_ms(thread: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let ns: u64 = text.split(' ').next()?.parse().ok()?;
    Some(ns / 1_000_000)
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A moment, told by the calendar's clock each time as it was told first: two clocks that are read one after the other make
/// another millisecond of it each time.
#[derive(Debug, Default)]
struct OnBothClocks {
    told: Option<(vitals::Time, u64)>,
}

impl OnBothClocks {
    /// Only a calendar that was set moves what was told.
    const SET_MS: u64 = 1000;

    /// The moment `at`; `now` and `unix_ms` are the same moment on the two clocks, nearly.
    fn unix_ms(&mut self, at: vitals::Time, now: vitals::Time, unix_ms: u64) -> u64 {
        let age_ms = u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
        let found_ms = unix_ms.saturating_sub(age_ms);
        match self.told {
            Some((told_at, told_ms)) if told_at == at && told_ms.abs_diff(found_ms) < Self::SET_MS => told_ms,
            _ => {
                self.told = Some((at, found_ms));
                found_ms
            }
        }
    }
}

/// Something that is done again and again.
struct Every {
    time: Duration,
    last: Instant,
}

impl Every {
    fn new(time: Duration) -> Self {
        Self { time, last: Instant::now() }
    }

    fn due(&self) -> Instant {
        self.last + self.time
    }

    /// If it is due it is done now; the time since it was done last. After a pause of the process it is due once, for all of that
    /// time, and not once for each part of it.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        (now >= self.due()).then(|| now.duration_since(std::mem::replace(&mut self.last, now)))
    }
}

/// What comes after a camera's end.
enum Next {
    /// Nothing: its last state stays.
    Nothing,
    /// It is started again, with this. The life is what it was when that was decided.
    Start(Box<CameraConfig>, Box<Life>),
    /// It has left the configuration.
    Forget,
}

/// A running server.
pub struct Server {
    cameras: Vec<Running>,
    export: Option<Export>,
    /// Of the base directory, while frames are exported.
    claims: Option<Claims>,
    events: Receiver<Event>,
    control: Control,
    next_key: u64,
    /// What a reload cannot change.
    fixed: (ServerConfig, Option<ExportConfig>),
    /// The cameras of the configuration, in its order.
    order: Vec<CameraId>,
    reload: Option<ReloadReport>,
    about: ServerReport,
    export_report: Option<ExportReport>,
    /// None: nobody wants to be told.
    telling: Option<Telling>,
    notify: Notify,
    /// A thread that there has to be has ended.
    is_broken: bool,
}

impl Server {
    /// Starts the export, if it is wanted, and a thread for each camera.
    ///
    /// # Errors
    /// The export is refused, or a thread cannot be had. Nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        av::log::install();
        let (sender, events) = mpsc::channel();
        // Before anything is touched that belongs to a server which runs already.
        let locks = Lock::take_all(&config.server)?;
        let export = config.export.as_ref().map(Export::start).transpose()?;
        let claims = config.export.as_ref().map(|export| Claims::new(&export.base));
        let order: Vec<CameraId> = config.cameras.iter().map(|camera| camera.id).collect();
        if let Some(claims) = &claims {
            claims.take(&order, Instant::now() + claims::START_PATIENCE)?;
        }
        if let Some(export) = &config.export {
            tell_memory(export, config.cameras.len());
        }
        let control = Control { events: sender };
        let pid = std::process::id();
        let about = ServerReport {
            pid,
            start_ticks: status_file::start_ticks(pid).unwrap_or(0),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: unix_ms(),
        };
        let export_report =
            config.export.as_ref().map(|export| ExportReport { base: export.base.display().to_string() });
        let fixed = (config.server.clone(), config.export.clone());
        let telling = Telling::start(config.server.status_file, config.server.metrics_file, locks)
            .map_err(StartError::Telling)?;
        let mut server = Self {
            cameras: Vec::new(),
            export,
            claims,
            events,
            control,
            next_key: 0,
            fixed,
            order,
            reload: None,
            about,
            export_report,
            telling,
            notify: Notify::new(),
            is_broken: false,
        };
        for camera in config.cameras {
            if let Err(error) = server.start_camera(camera, None, Camera::session) {
                server.stop();
                return Err(error);
            }
        }
        Ok(server)
    }

    /// Starts a camera. If that cannot be done it is there all the same, as one that failed. `before`: the life of the one that
    /// had its address and credentials until now.
    fn start_camera(
        &mut self,
        config: CameraConfig,
        before: Option<&Life>,
        session: impl FnMut(&mut Camera) -> End + Send + 'static,
    ) -> Result<(), StartError> {
        let (id, key) = (config.id, self.next_key);
        self.next_key += 1;
        if let Source::Rtsp(rtsp) = &config.source
            && let Some(password) = rtsp.password()
        {
            redact::remember(rtsp.username.as_deref(), password);
        }
        let (counters, stop) = (Arc::<Counters>::default(), Arc::<Stop>::default());
        let (export, refused) = match self.export_of(id) {
            Ok(export) => (export, None),
            Err(error) => (None, Some(error)),
        };
        let vitals = Arc::new(Vitals::new(id.as_str(), export.as_ref().map(CameraExport::monitor)));
        if let Some(before) = before {
            vitals.inherit_refusals(before);
        }
        let started = match refused {
            Some(error) => Err(error),
            None => {
                let camera = Camera::new(
                    config.clone(),
                    export,
                    Arc::clone(&counters),
                    Arc::clone(&vitals),
                    Arc::clone(&stop),
                );
                self.spawn(id, key, camera, Arc::clone(&vitals), Arc::clone(&stop), session)
            }
        };
        let (thread, outcome, result) = match started {
            Ok(thread) => (Some(thread), None, Ok(())),
            Err(error) => {
                vitals.on(LifeEvent::GaveUp(error.to_string()));
                (None, Some(Outcome::Failed), Err(error))
            }
        };
        self.cameras.push(Running {
            id,
            config,
            next: Next::Nothing,
            key,
            stop,
            counters,
            vitals,
            told: Snapshot::default(),
            rates: VecDeque::from([(Instant::now(), 0, 0)]),
            cpu_ms: None,
            since: OnBothClocks::default(),
            newest_frame: OnBothClocks::default(),
            last_error_at: OnBothClocks::default(),
            thread,
            started: Instant::now(),
            outcome,
        });
        // Those that have left and not ended yet come last.
        let order = &self.order;
        self.cameras.sort_by_key(|camera| order.iter().position(|id| *id == camera.id).unwrap_or(usize::MAX));
        result
    }

    /// The export of a camera that no other server has, if frames are exported.
    fn export_of(&self, id: CameraId) -> Result<Option<CameraExport>, StartError> {
        if let Some(claims) = &self.claims {
            // Those who could be waited for were.
            claims.take(&[id], Instant::now())?;
        }
        Ok(self.export.as_ref().map(|export| export.camera(id)).transpose()?)
    }

    fn spawn(
        &self,
        id: CameraId,
        key: u64,
        mut camera: Camera,
        vitals: Arc<Vitals>,
        stop: Arc<Stop>,
        session: impl FnMut(&mut Camera) -> End + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let events = self.control.events.clone();
        let run = move || {
            let span = tracing::info_span!("camera", %id);
            // A camera catches the panics of its sessions; one outside of them must not leave the server waiting.
            let run = AssertUnwindSafe(|| {
                span.in_scope(|| {
                    let outcome = camera.run(session);
                    // Its files go here, before anybody is told that it has ended.
                    if stop.is_removal() {
                        camera.remove();
                    } else {
                        drop(camera);
                    }
                    outcome
                })
            });
            let outcome = catch_unwind(run).unwrap_or_else(|_| {
                vitals.on(LifeEvent::GaveUp("its thread panicked".into()));
                Outcome::Failed
            });
            // The server may have stopped waiting for us.
            let _ = events.send(Event::CameraEnded { key, outcome });
        };
        let thread = std::thread::Builder::new().name(format!("vas-{id}"));
        thread.spawn(run).map_err(|error| StartError::Thread { id, error })
    }

    /// A handle to ask for the end, or for another configuration.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the stop, or for the end of every camera; looks after them and tells what they do meanwhile; then stops
    /// everything.
    pub fn run(mut self) -> Ended {
        let (mut looks, mut summaries) = (Every::new(LOOK_EVERY), Every::new(SUMMARY_EVERY));
        let mut tellings = Every::new(TELL_EVERY);
        let mut signs_of_life = Notify::watchdog_interval().map(Every::new);
        self.notify.ready();
        self.tell();
        while !self.is_broken && self.cameras.iter().any(|camera| camera.outcome.is_none()) {
            let mut due = looks.due().min(summaries.due()).min(tellings.due());
            if let Some(signs_of_life) = &signs_of_life {
                due = due.min(signs_of_life.due());
            }
            match self.events.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Event::Stop) => {
                    self.stop();
                    return Ended::Well;
                }
                Ok(Event::CameraEnded { key, outcome }) => {
                    self.camera_ended(key, outcome);
                    self.go_on_after(key);
                }
                Ok(Event::Broken) => self.broken(),
                // Told before the files are read: that may take its time.
                Ok(Event::Reloading) => self.notify.reloading(),
                Ok(Event::Reload(config)) => self.reload(*config),
                Err(RecvTimeoutError::Timeout) => {}
                // Cannot be: a sender is in `self`.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if signs_of_life.as_mut().is_some_and(|signs| signs.take(now).is_some()) {
                self.notify.alive();
            }
            if looks.take(now).is_some() {
                self.look();
            }
            if tellings.take(now).is_some() {
                self.tell();
            }
            if let Some(time) = summaries.take(now) {
                self.summarise(time);
            }
        }
        let failed =
            self.is_broken || self.cameras.iter().any(|camera| camera.outcome == Some(Outcome::Failed));
        self.stop();
        if failed { Ended::Failed } else { Ended::Well }
    }

    /// Whether frames come, and are still exported.
    fn look(&mut self) {
        if self.export.as_ref().is_some_and(|export| !export.is_running()) {
            self.broken();
        }
        for camera in self.cameras.iter().filter(|camera| camera.outcome.is_none()) {
            if camera.in_span(|| camera.vitals.look()) {
                camera.counters.stalls.add(1);
            }
        }
    }

    /// Writes the status and the metrics, and tells systemd, if somebody wants that.
    fn tell(&mut self) {
        let live = self.cameras.iter().filter(|camera| camera.vitals.life().state() == State::Live);
        self.notify.status(live.count(), self.cameras.len());
        if self.telling.is_none() {
            return;
        }
        let report = self.report();
        if let Some(telling) = &self.telling
            && !telling.tell(report)
        {
            self.broken();
        }
    }

    fn broken(&mut self) {
        if !std::mem::replace(&mut self.is_broken, true) {
            tracing::error!("a thread that the server needs has ended: the server stops");
        }
    }

    fn report(&mut self) -> Report {
        let (now, updated_unix_ms) = (Instant::now(), unix_ms());
        Report {
            version: VERSION,
            updated_unix_ms,
            server: self.about.clone(),
            export: self.export_report.clone(),
            reload: self.reload.clone(),
            cameras: self.cameras.iter_mut().map(|camera| camera.report(now, updated_unix_ms)).collect(),
        }
    }

    fn camera_ended(&mut self, key: u64, outcome: Outcome) {
        let Some(camera) = self.cameras.iter_mut().find(|camera| camera.key == key) else { return };
        camera.outcome = Some(outcome);
        if let Some(thread) = camera.thread.take() {
            // It sent its last word: what is left of it is quick.
            let _ = thread.join();
        }
        camera.tell_total(self.export.is_some());
    }

    /// What comes after a camera's end.
    fn go_on_after(&mut self, key: u64) {
        let Some(place) = self.cameras.iter().position(|camera| camera.key == key) else { return };
        if matches!(self.cameras[place].next, Next::Nothing) {
            return;
        }
        let ended = self.cameras.remove(place);
        if let Next::Start(config, life) = ended.next {
            let before = reload::is_same_login(&ended.config, &config).then_some(&*life);
            if let Err(why) = self.start_again(*config, before) {
                self.reloaded(false, why);
            }
        } else {
            // Removed while it ended: its thread may not have known.
            self.remove_directory(&ended);
            self.give_up(ended.id);
        }
    }

    /// It has left the configuration and ended: another server may have it.
    fn give_up(&self, id: CameraId) {
        if let Some(claims) = &self.claims {
            claims.give_up(id);
        }
    }

    fn start_again(&mut self, config: CameraConfig, before: Option<&Life>) -> Result<(), String> {
        let id = config.id;
        self.start_camera(config, before, Camera::session)
            .map_err(|error| format!("camera {id} was not started: {error}"))
    }

    /// The directory of a camera that has ended and left the configuration, which readers waited for. Where another server has the
    /// camera by now it is not empty, and stays.
    fn remove_directory(&self, camera: &Running) {
        let (_, Some(export)) = &self.fixed else { return };
        // One that could not be started because another server has it has its directory there.
        if self.claims.as_ref().is_some_and(|claims| claims.take(&[camera.id], Instant::now()).is_err()) {
            return;
        }
        match std::fs::remove_dir(export.base.join(camera.id.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                camera.in_span(|| tracing::warn!("the camera's directory was not removed: {error}"));
            }
            _ => {}
        }
    }

    /// Puts another configuration in force, as far as it is another one.
    fn reload(&mut self, config: Result<Config, ConfigError>) {
        match self.change_to(config) {
            Ok(done) => self.reloaded(done.failed.is_empty(), done.sentence()),
            Err(why) => self.reloaded(false, format!("{why}; the cameras go on as they were")),
        }
        self.notify.ready();
        self.tell();
    }

    fn reloaded(&mut self, ok: bool, sentence: String) {
        if ok {
            tracing::info!("reloaded; {sentence}");
        } else {
            tracing::error!("the reload failed: {sentence}");
        }
        self.reload = Some(ReloadReport { at_unix_ms: unix_ms(), ok, sentence: one_line(&sentence) });
    }

    fn change_to(&mut self, config: Result<Config, ConfigError>) -> Result<Done, String> {
        let config = config.map_err(|error| error.to_string())?;
        let (server, export) = self.fixed.clone();
        for (section, is_same) in [("server", server == config.server), ("export", export == config.export)] {
            if !is_same {
                return Err(format!("[{section}] has changed, which needs a restart of the server"));
            }
        }
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let mut done = Done::default();
        self.order = config.cameras.iter().map(|camera| camera.id).collect();
        for camera in self.cameras.iter_mut().filter(|camera| !self.order.contains(&camera.id)) {
            camera.next = Next::Forget;
            camera.stop.request_removal();
            done.removed.push(camera.id);
        }
        // One that has ended removed its files and left its directory: nobody else is there to remove that.
        let removed = |camera: &&Running| camera.outcome.is_some() && done.removed.contains(&camera.id);
        for camera in self.cameras.iter().filter(removed) {
            self.remove_directory(camera);
            self.give_up(camera.id);
        }
        let mut to_start = Vec::new();
        for wanted in config.cameras {
            let Some(camera) = self.cameras.iter_mut().find(|camera| camera.id == wanted.id) else {
                done.failed.extend(waits(&wanted));
                done.started.push(wanted.id);
                to_start.push(wanted);
                continue;
            };
            let is_ending = camera.stop.is_requested() && camera.outcome.is_none();
            // A file that could not be played may be another one by now.
            let has_failed = camera.outcome == Some(Outcome::Failed);
            if reload::is_same(&camera.config, &wanted) && !is_ending && !has_failed {
                done.unchanged += 1;
                if let Some(why) = &wanted.missing {
                    done.failed.push(format!("camera {} goes on as it was: {why}", wanted.id));
                }
                // Not one that was refused: what it would try again is what was refused.
                if camera.vitals.life().state() == State::Backoff {
                    camera.stop.nudge();
                }
                continue;
            }
            done.failed.extend(waits(&wanted));
            done.restarted.push(wanted.id);
            if camera.outcome.is_some() {
                to_start.push(wanted);
            } else {
                let life = match std::mem::replace(&mut camera.next, Next::Nothing) {
                    // It is ending already, and its life says no more than that.
                    Next::Start(_, life) => life,
                    Next::Nothing | Next::Forget => Box::new(camera.vitals.life()),
                };
                camera.next = Next::Start(Box::new(wanted), life);
                camera.stop.request();
            }
        }
        // Those that have ended already hold nothing.
        let order = &self.order;
        self.cameras.retain(|camera| {
            camera.outcome.is_none()
                || (order.contains(&camera.id) && to_start.iter().all(|wanted| wanted.id != camera.id))
        });
        self.cameras.sort_by_key(|camera| order.iter().position(|id| *id == camera.id).unwrap_or(usize::MAX));
        if let Some(claims) = &self.claims {
            // For a camera that moves here from another server, which may just be removing it. Who has one is told below.
            let wanted: Vec<CameraId> = to_start.iter().map(|camera| camera.id).collect();
            let _ = claims.take(&wanted, Instant::now() + claims::RELOAD_PATIENCE);
        }
        done.failed.extend(to_start.into_iter().filter_map(|camera| self.start_again(camera, None).err()));
        Ok(done)
    }

    fn summarise(&mut self, time: Duration) {
        for camera in self.cameras.iter_mut().filter(|camera| camera.outcome.is_none()) {
            let now = camera.counters.snapshot();
            let line = now.since(&camera.told).line(time, self.export.is_some());
            camera.in_span(|| tracing::info!("{line}"));
            camera.told = now;
        }
    }

    /// Ends everything within about two seconds, whatever a camera is stuck in.
    fn stop(mut self) {
        self.notify.stopping();
        // All of them first: they end beside each other.
        self.cameras.iter().for_each(|camera| camera.stop.request());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.cameras.iter().any(|camera| camera.outcome.is_none()) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::CameraEnded { key, outcome }) => self.camera_ended(key, outcome),
                Ok(Event::Stop | Event::Broken | Event::Reloading | Event::Reload(_)) => {}
                Err(_) => break,
            }
        }
        // Files of a camera that is left behind are removed here.
        let exporting = self.export.is_some();
        if let Some(export) = self.export.take() {
            export.shutdown();
        }
        for camera in self.cameras.iter().filter(|camera| camera.outcome.is_none()) {
            camera.tell_total(exporting);
            let _span = tracing::info_span!("camera", id = %camera.id).entered();
            tracing::warn!("its thread does not end (name resolution?), the process ends without it");
        }
    }
}

/// What a reload says of a camera that is started and cannot be opened as things are.
fn waits(camera: &CameraConfig) -> Option<String> {
    camera.missing.as_ref().map(|why| format!("camera {} waits: {why}", camera.id))
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
    use crate::config::{Environment, Request};

    #[test]
    fn after_a_pause_there_is_one_summary_of_all_that_time() {
        let start = Instant::now();
        let mut summaries = Every { time: SUMMARY_EVERY, last: start };
        assert_eq!(summaries.due(), start + SUMMARY_EVERY);
        assert_eq!(summaries.take(start + SUMMARY_EVERY / 2), None);
        let late = start + 10 * SUMMARY_EVERY;
        assert_eq!(summaries.take(late), Some(10 * SUMMARY_EVERY));
        assert_eq!(summaries.take(late), None);
        assert_eq!(summaries.due(), late + SUMMARY_EVERY);
    }

    #[test]
    fn a_server_without_one_of_its_threads_ends_and_has_failed() {
        let request = Request { cameras: vec!["a=rtsp://127.0.0.1/s".into()], ..Request::default() };
        let config = Config::load(&request, &Environment::default()).unwrap();
        let mut server = Server::start(Config { cameras: Vec::new(), ..config.clone() }).unwrap();
        let camera = config.cameras.into_iter().next().unwrap();
        server.start_camera(camera, None, Camera::count_until_stopped).unwrap();
        // As the thread for signals does when it panics.
        server.control().give_up();
        assert_eq!(server.run(), Ended::Failed);
    }

    #[test]
    fn a_moment_is_told_as_it_was_told_first_until_the_calendar_is_set() {
        let (ms, mut moment) = (Duration::from_millis, OnBothClocks::default());
        assert_eq!(moment.unix_ms(ms(5000), ms(7000), 1_000_000), 998_000);
        // The same one, with the clocks read a little apart.
        assert_eq!(moment.unix_ms(ms(5000), ms(8003), 1_001_000), 998_000);
        assert_eq!(moment.unix_ms(ms(5000), ms(9000), 9_000_000), 8_996_000);
        assert_eq!(moment.unix_ms(ms(9000), ms(9000), 9_000_000), 9_000_000);
    }

    /// What a test reads of a camera, from outside of its threads.
    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_camera_that_panics_leaves_the_others_alone_and_is_tried_again() {
        let arguments = ["bad=rtsp://127.0.0.1/s", "good=rtsp://127.0.0.1/s"];
        let request = Request { cameras: arguments.map(str::to_owned).to_vec(), ..Request::default() };
        let config = Config::load(&request, &Environment::default()).unwrap();
        let mut server = Server::start(Config { cameras: Vec::new(), ..config.clone() }).unwrap();
        let [bad, good] = config.cameras.try_into().unwrap();
        let mut tries = 0;
        let session = move |_: &mut Camera| -> End {
            tries += 1;
            if tries > 1 {
                return End::Finished;
            }
            panic!("on purpose, by the test of panics")
        };
        server.start_camera(bad, None, session).unwrap();
        // The other one's frames: it counts them until it is told to stop.
        server.start_camera(good, None, Camera::count_until_stopped).unwrap();
        let [bad, good] = [0, 1].map(|camera: usize| Arc::clone(&server.cameras[camera].vitals));
        let frames = Arc::clone(&server.cameras[1].counters);
        let control = server.control();
        let running = std::thread::spawn(|| server.run());
        until("the panic is told", || bad.life().last_error().is_some());
        let at_panic = frames.snapshot().decoded;
        until("it was tried again", || bad.life().state() == State::Finished);
        // A second and more of frames, with no gap that a look would have found.
        until("frames of the other one", || frames.snapshot().decoded > at_panic + 10);
        let life = good.life();
        // A machine that stands still for a second is no fault of the other one's.
        assert!(matches!(life.state(), State::Live | State::Stalled), "{:?}", life.state());
        let is_pause = |why: &str| why.starts_with("connected, but no frame for ");
        assert!(life.last_error().is_none_or(is_pause), "{:?}", life.last_error());
        assert_eq!(frames.snapshot().reconnects, 0);
        control.stop();
        assert_eq!(running.join().unwrap(), Ended::Well);
        assert_eq!(good.life().state(), State::Stopped);
    }
}
