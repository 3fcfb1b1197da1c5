//! A fault's server, its cameras and readers, and what holds whatever the fault is.

use crate::canary::{self, Search};
use crate::figures;
use crate::watch::{Notes, Seen, Watch};
use rustix::process::Signal;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vas_e2e::camera::TlsFront;
use vas_e2e::compare::{Plays, compare};
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, Server};
use vas_test_camera::{Auth, AuthScheme, Clip, Options, Stats, TestCamera};

/// When a state that was waited for counts as "never": far beyond what a loaded machine needs.
const NEVER: Duration = Duration::from_secs(180);
const TURN: Duration = Duration::from_millis(20);

/// Pictures a second of the healthy cameras. Slow, so that a reader beside many other processes misses none of eight slots.
const HEALTHY_FPS: f64 = 10.0;
const SLOTS: u32 = 8;
/// Between two frames of a healthy camera, whatever happens beside it. Nothing is lost by a wait; this is to notice a camera that
/// has to wait for another one's timeout.
const HEALTHY_GAP: Duration = Duration::from_secs(3);

/// Frames with a longer pause between two of them are not steady.
const STEADY_GAP_NS: u64 = 1_000_000_000;

/// From SIGTERM to the end: what an operator's service manager is promised is two seconds, the rest is this machine's load. What
/// a camera may take is far more where the end is what is tried.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A server that ended so fast did not stand still, so it had the time to clear up.
const PROMPT_STOP: Duration = Duration::from_secs(1);

/// One changed byte that nothing tells of spoils the rest of its group of pictures: so many may be wrong by one accident.
const SILENT_GROUP: u64 = 25;

/// Lines of a whole row at the level `info`: what a fault may make the server say.
const MOST_LINES: usize = 120;

/// The cameras that nothing is done to.
pub(crate) const HEALTHY: [(&str, &str); 2] = [("left", "yard.h264"), ("right", "h265.h265")];
/// The one that something is done to.
pub(crate) const FAULTY: &str = "bad";

/// Why a row did not hold.
#[derive(Debug)]
pub(crate) enum Why {
    Failed(String),
    /// What a machine that stands still for some seconds brings about too: it counts if it comes each time.
    Late(String),
    Skipped(String),
    Interrupted,
}

pub(crate) type Played<T = ()> = Result<T, Why>;

pub(crate) fn failed<T>(sentence: impl Into<String>) -> Played<T> {
    Err(Why::Failed(sentence.into()))
}

/// Holds, or fails the row with this sentence.
pub(crate) fn holds(condition: bool, sentence: impl FnOnce() -> String) -> Played {
    if condition { Ok(()) } else { failed(sentence()) }
}

/// Holds, or the row came too late with this sentence, and is played again.
pub(crate) fn in_time(condition: bool, sentence: impl FnOnce() -> String) -> Played {
    if condition { Ok(()) } else { Err(Why::Late(sentence())) }
}

/// As [`in_time`], for what is told only when everything else was looked at; the first one is kept.
fn note_late(late: &mut Option<String>, condition: bool, sentence: impl FnOnce() -> String) {
    if !condition && late.is_none() {
        *late = Some(sentence());
    }
}

/// Whose RTSP client the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    Retina,
    Ffmpeg,
    /// The server chooses: what most operators have.
    Auto,
}

impl Client {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Retina, Self::Ffmpeg, Self::Auto];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Retina => "retina",
            Self::Ffmpeg => "ffmpeg",
            Self::Auto => "auto",
        }
    }
}

/// Clips and their right pictures, each made once for all rows, and what the server can do.
#[derive(Default)]
pub(crate) struct Library {
    /// It keeps a status file, so each row holds what stands in it to what happens.
    has_status: bool,
    clips: Mutex<HashMap<String, Clip>>,
    pictures: Mutex<HashMap<String, Arc<Vec<String>>>>,
}

impl Library {
    pub(crate) fn new(has_status: bool) -> Self {
        Self { has_status, ..Self::default() }
    }

    pub(crate) fn clip(&self, name: &str) -> Played<Clip> {
        let mut clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clip) = clips.get(name) {
            return Ok(clip.clone());
        }
        let path = vas_e2e::clips::clip(name).map_err(Why::Skipped)?;
        let clip = Clip::load(&path).map_err(|error| Why::Failed(error.to_string()))?;
        clips.insert(name.to_owned(), clip.clone());
        Ok(clip)
    }

    /// MD5 of each picture as NV12, by the `ffmpeg` program.
    pub(crate) fn pictures(&self, name: &str) -> Played<Arc<Vec<String>>> {
        let mut all = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pictures) = all.get(name) {
            return Ok(Arc::clone(pictures));
        }
        let path = vas_e2e::clips::clip(name).map_err(Why::Skipped)?;
        let hashes = match name.contains("full_range") || name.ends_with(".mjpeg") {
            true => vas_e2e::clips::hashes_of_full_range(&path),
            false => vas_e2e::clips::hashes(&path),
        };
        let hashes = Arc::new(hashes.map_err(Why::Skipped)?);
        all.insert(name.to_owned(), Arc::clone(&hashes));
        Ok(hashes)
    }
}

/// How the server finds the faulty camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Rtsp,
    /// RTSP, behind a TLS front.
    Rtsps,
    /// MJPEG over HTTP.
    Http,
    /// The same, behind a TLS front.
    Https,
}

impl Scheme {
    fn is_encrypted(self) -> bool {
        matches!(self, Self::Rtsps | Self::Https)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How a row is set up. The rest of it is what its `play` does.
pub(crate) struct Setup {
    /// By which of them it is played.
    pub(crate) clients: &'static [Client],
    /// The clips of the faulty camera; it begins with the first.
    pub(crate) clips: &'static [&'static str],
    pub(crate) scheme: Scheme,
    pub(crate) transport: &'static str,
    /// Pictures a second of the faulty camera.
    pub(crate) fps: f64,
    /// How it asks for its password, where the fault is about that; by turns otherwise.
    pub(crate) auth: Option<AuthScheme>,
    /// What connecting to it and each of its frames may take. Short only where the fault is a silence: a server that stood still
    /// for longer gives up a good connection.
    pub(crate) timeout_ms: u64,
    /// Further lines of its configuration.
    pub(crate) keys: &'static str,
    /// Wrong pictures without the flag that are allowed, in a hundred of those with it, but at least a group of them; 0 for nearly
    /// every row, and then there may be none.
    pub(crate) silent_percent: u64,
    /// Why the faulty camera's sessions may end without a TEARDOWN; none may in the other rows.
    pub(crate) without_farewell: Option<&'static str>,
    /// So often retina panics by this fault, which the server tells and lives with; nothing else ever does.
    pub(crate) panics_of_retina: usize,
    /// Further cameras that the server has to bear.
    pub(crate) others: fn() -> (String, Vec<std::net::TcpListener>),
    /// Commands before the server starts.
    pub(crate) before: &'static [&'static str],
    /// Time between RTCP reports.
    pub(crate) rtcp_interval_ms: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clients: &[Client::Retina, Client::Ffmpeg],
            clips: &["yard.h264"],
            scheme: Scheme::Rtsp,
            transport: "tcp",
            fps: 25.0,
            auth: None,
            timeout_ms: 1500,
            keys: "",
            silent_percent: 0,
            without_farewell: None,
            panics_of_retina: 0,
            others: || (String::new(), Vec::new()),
            before: &[],
            rtcp_interval_ms: 500,
        }
    }
}

/// Where the server has its password from, and how much it says: each row has the next of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    number: usize,
}

impl Variant {
    pub(crate) fn new(number: usize) -> Self {
        Self { number }
    }

    fn scheme(self) -> AuthScheme {
        if self.number / 4 % 2 == 0 { AuthScheme::Digest } else { AuthScheme::Basic }
    }

    fn log_level(self) -> &'static str {
        ["info", "debug", "trace"][self.number % 3]
    }
}

/// What a row tells besides whether it held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The longest time between two frames, from the fault on.
    pub(crate) outage: Duration,
    /// From the end of the fault to the next frame.
    pub(crate) again: Option<Duration>,
    /// Connections that were tried, after the first.
    pub(crate) connections: usize,
    /// Frames of the healthy cameras that their readers came too late for, both together.
    pub(crate) others_unseen: u64,
    /// Frames of the faulty camera: not flagged, flagged, and wrong without a flag.
    pub(crate) right: u64,
    pub(crate) flagged: u64,
    pub(crate) silent: u64,
    /// What the server said of it.
    pub(crate) sentence: String,
    /// Something that only this row has to say.
    pub(crate) note: String,
    pub(crate) core_limit: String,
}

/// One row's processes, cameras and readers.
pub(crate) struct Stage<'l> {
    library: &'l Library,
    interrupted: &'l AtomicBool,
    setup: &'l Setup,
    variant: Variant,
    pub(crate) client: Client,
    scene: Scene,
    pub(crate) faulty: TestCamera,
    /// Where the server finds it, without user name and password.
    faulty_url: String,
    _front: Option<TlsFront>,
    healthy: Vec<TestCamera>,
    /// Of the faulty camera, then of the healthy ones.
    watches: Vec<Watch>,
    server: Option<Server>,
    _listeners: Vec<std::net::TcpListener>,
    /// When the fault began, and what was there by then.
    began: Instant,
    frames_before: usize,
    connections_before: usize,
    lines_before: usize,
    /// What a server said that has ended.
    last_log: String,
    /// The first thing that came too late, to be told behind all that no haste excuses.
    late: Option<String>,
    pub(crate) told: Told,
    pub(crate) search: Search,
}

impl<'l> Stage<'l> {
    /// Starts all of it and waits until every camera has frames (the faulty one only if nothing was done to it before).
    pub(crate) fn new(
        library: &'l Library,
        interrupted: &'l AtomicBool,
        setup: &'l Setup,
        variant: Variant,
        client: Client,
    ) -> Played<Self> {
        let scene = Scene::new();
        let auth_scheme = setup.auth.unwrap_or(variant.scheme());
        let auth = Auth::new(auth_scheme, &format!("{}:{}", canary::USER, canary::password()));
        let auth = auth.map_err(|error| Why::Failed(error.to_string()))?;
        let start = |clips: Vec<Clip>, options| {
            TestCamera::start(clips, options).map_err(|error| Why::Failed(error.to_string()))
        };
        let clips = setup.clips.iter().map(|name| library.clip(name)).collect::<Played<Vec<_>>>()?;
        let options = Options {
            auth: Some(auth),
            fps: setup.fps,
            rtcp_interval_ms: setup.rtcp_interval_ms,
            ..Options::default()
        };
        let faulty = start(clips, options)?;
        let (faulty_url, front) = address(&faulty, setup.scheme, &scene)?;
        for line in setup.before {
            command(&faulty, line)?;
        }
        let mut healthy = Vec::new();
        for (_, clip) in HEALTHY {
            healthy
                .push(start(vec![library.clip(clip)?], Options { fps: HEALTHY_FPS, ..Options::default() })?);
        }
        let watches = [FAULTY].into_iter().chain(HEALTHY.map(|(id, _)| id));
        let watches = watches.map(|id| Watch::start(&scene.base(), id)).collect();
        let mut stage = Self {
            library,
            interrupted,
            setup,
            variant,
            client,
            scene,
            faulty,
            faulty_url,
            _front: front,
            healthy,
            watches,
            server: None,
            _listeners: Vec::new(),
            began: Instant::now(),
            frames_before: 0,
            connections_before: 0,
            lines_before: 0,
            last_log: String::new(),
            late: None,
            told: Told::default(),
            search: Search::default(),
        };
        stage.start_server()?;
        let first = usize::from(!setup.before.is_empty());
        stage
            .until("every camera has frames", |stage| {
                stage.watches[first..].iter().all(|watch| watch.notes().frames.len() >= 5)
            })
            .map_err(|why| match why {
                Why::Failed(why) => Why::Failed(format!("{why}; the server said:\n{}", stage.log())),
                other => other,
            })?;
        stage.told.core_limit = figures::core_limit(stage.server_id());
        stage.mark();
        Ok(stage)
    }

    fn start_server(&mut self) -> Played {
        let home = self.scene.files().join("home");
        std::fs::create_dir(&home)
            .map_err(|error| Why::Failed(format!("make {}: {error}", home.display())))?;
        let (others, listeners) = (self.setup.others)();
        self._listeners = listeners;
        let config = self.config(&others);
        let path = self.scene.file("vas.toml", &config);
        // In a folder of its own, so that what it wrote where nobody asked would be found.
        let mut command = server::clean(Command::new("env"), &self.scene);
        command.arg("-C").arg(&home).arg(program("vas-ingest")).args(["run", "--config"]).arg(path);
        command.env("HOME", &home).env("TMPDIR", &home).env("VAS_LOG", self.variant.log_level());
        if self.variant.number % 4 == 3 {
            command
                .env("VAS_CAMERA_BAD_USERNAME", canary::USER)
                .env("VAS_CAMERA_BAD_PASSWORD", canary::password());
        }
        self.server = Some(Server::start_command(&mut command));
        Ok(())
    }

    fn config(&self, others: &str) -> String {
        let client = self.client.name();
        let mut text = format!(
            "[server]\nstatus_file = \"status.json\"\nmetrics_file = \"metrics.prom\"\n[export]\nslots = {SLOTS}\n[defaults]\n\
             rtsp_client = {client:?}\n"
        );
        for ((id, _), camera) in HEALTHY.iter().zip(&self.healthy) {
            text += &server::camera(id, &camera.url());
        }
        text += others;
        let url = &self.faulty_url;
        let in_url = format!("{}:{}@", canary::USER, canary::in_url());
        let keys = match self.variant.number % 4 {
            0 => server::camera(FAULTY, &url.replace("//", &format!("//{in_url}"))),
            1 => {
                let (user, password) = (canary::USER, canary::password());
                format!("{}username = {user:?}\npassword = {password:?}\n", server::camera(FAULTY, url))
            }
            2 => {
                let file = self.scene.file("password", &format!("{}\n", canary::password()));
                let camera = server::camera(FAULTY, url);
                format!("{camera}username = {:?}\npassword_file = {file:?}\n", canary::USER)
            }
            _ => server::camera(FAULTY, url),
        };
        let tls = if self.setup.scheme.is_encrypted() { "tls_verify = false\n" } else { "" };
        let (transport, ms, further) = (self.setup.transport, self.setup.timeout_ms, self.setup.keys);
        text + &keys
            + &format!(
                "transport = {transport:?}\nopen_timeout_ms = {ms}\nframe_timeout_ms = {ms}\n{tls}{further}"
            )
    }

    /// The files that have to hold the password, because the operator wrote it there.
    fn inputs(&self) -> Vec<PathBuf> {
        ["vas.toml", "password"].map(|name| self.scene.files().join(name)).to_vec()
    }

    fn server_id(&self) -> u32 {
        self.server.as_ref().map_or(0, |server| server.id())
    }

    /// The fault begins now.
    pub(crate) fn mark(&mut self) {
        self.began = Instant::now();
        let frames = self.notes().frames.len();
        self.frames_before = frames;
        self.connections_before = self.faulty.stats().connections();
        self.lines_before = self.log().lines().count();
    }

    /// A command of the faulty camera, carried out when this returns.
    pub(crate) fn command(&self, line: &str) -> Played {
        command(&self.faulty, line)
    }

    /// What the reader of the faulty camera has seen.
    pub(crate) fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.watches[0].notes()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.faulty.stats()
    }

    /// The faulty camera's clock, in which it tells when connections were tried.
    pub(crate) fn uptime(&self) -> Duration {
        self.faulty.uptime()
    }

    /// Connections since the fault began.
    pub(crate) fn tries(&self) -> usize {
        self.stats().connections() - self.connections_before
    }

    /// Frames of the faulty camera since the fault began.
    pub(crate) fn frames(&self) -> Vec<Seen> {
        self.notes().frames[self.frames_before..].to_vec()
    }

    /// What the status file says of the faulty camera; `None` while there is no file.
    fn status(&self) -> Option<serde_json::Value> {
        let text = std::fs::read_to_string(self.scene.files().join("status.json")).ok()?;
        let status: serde_json::Value = serde_json::from_str(&text).ok()?;
        status["cameras"].as_array()?.iter().find(|camera| camera["id"] == FAULTY).cloned()
    }

    /// Waits until the status file says so of the faulty camera, if the server keeps one.
    pub(crate) fn status_says(&self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) -> Played {
        if !self.library.has_status {
            return Ok(());
        }
        self.until(&format!("the status file says: {what}"), |stage| {
            stage.status().is_some_and(|it| holds(&it))
        })
        .map_err(|why| match why {
            Why::Failed(why) => Why::Failed(format!("{why}; it says {:?}", self.status())),
            other => other,
        })
    }

    /// The status file says that the camera is away, and why.
    pub(crate) fn is_told_away(&self) -> Played {
        self.status_says("not live, with a reason", |camera| {
            camera["state"] != "live" && camera["reason"].as_str().is_some_and(|reason| !reason.is_empty())
        })
    }

    /// What the server has said since the fault began, of the faulty camera.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.log();
        let lines = text.lines().skip(self.lines_before);
        lines.filter(|line| line.contains(FAULTY)).map(str::to_owned).collect()
    }

    /// Waits for a state; fails the row when it does not come.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Played {
        let deadline = Instant::now() + NEVER;
        while !holds(self) {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Why::Interrupted);
            }
            if Instant::now() >= deadline {
                return failed(format!("never happened within {} s: {what}", NEVER.as_secs()));
            }
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Observes for a time during which something must not happen.
    pub(crate) fn observe(&self, time: Duration, what: &str, happened: impl Fn(&Self) -> bool) -> Played {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Why::Interrupted);
            }
            if happened(self) {
                return failed(what);
            }
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Waits until so many connections were tried since the fault began.
    pub(crate) fn until_tries(&self, count: usize) -> Played {
        self.until(&format!("{count} connections since the fault"), |stage| stage.tries() >= count)
    }

    /// Waits until the server has told of trouble so often since the fault began.
    pub(crate) fn until_troubles(&self, count: usize) -> Played {
        self.until(&format!("the server tells of trouble {count} times"), |stage| {
            stage.troubles().len() >= count
        })
    }

    /// The warnings and errors since the fault began.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
    }

    /// The fault is taken away by a command; frames have to come again, and how long that took is noted.
    pub(crate) fn heal(&mut self, line: &str) -> Played {
        if !line.is_empty() {
            self.command(line)?;
        }
        self.again(Instant::now())
    }

    /// Frames come again; counted from an instant to the first frame behind the longest gap since then.
    pub(crate) fn again(&mut self, from: Instant) -> Played {
        let came = |stage: &Self| {
            let notes = stage.notes();
            let newer = notes.frames[stage.frames_before..].iter().filter(|seen| seen.at > from);
            newer.count() >= 10
        };
        self.until("frames come again", came)?;
        // A frame may have been on its way when it was asked for.
        let gap = |notes: &Notes| {
            let ends = notes.frames.windows(2).filter(|two| two[1].at > from);
            ends.max_by_key(|two| two[1].at - two[0].at).map(|two| two[1].at)
        };
        let first = gap(&self.notes());
        self.told.again = first.map(|at| at - from);
        Ok(())
    }

    /// For how long frames of the faulty camera have come without a pause, by their own times: those of the reader, or of this
    /// program, say when somebody had the time to look.
    pub(crate) fn steady(&self) -> Duration {
        let times: Vec<u64> = self.notes().frames.iter().map(|seen| seen.frame.timestamp_ns).collect();
        let is_pause = |two: &[u64]| two[1].saturating_sub(two[0]) > STEADY_GAP_NS;
        let first = times.windows(2).rposition(is_pause).map_or(0, |at| at + 1);
        match (times.get(first), times.last()) {
            (Some(first), Some(last)) => Duration::from_nanos(last.saturating_sub(*first)),
            _ => Duration::ZERO,
        }
    }

    /// What a clip's pictures are, by their hashes.
    pub(crate) fn pictures(&self, clip: &str) -> Played<Arc<Vec<String>>> {
        self.library.pictures(clip)
    }

    /// Waits for a frame of the faulty camera, since the fault began, that is as wanted.
    pub(crate) fn until_frame(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Played {
        self.until(what, |stage| stage.notes().frames[stage.frames_before..].iter().any(&wanted))
    }

    /// The reader is told that the camera is away. For as long as it is: one that stood still meanwhile hears nothing of it.
    pub(crate) fn is_stalled(&self) -> Played {
        self.until("readers are told \"stalled\"", Self::was_stalled)
    }

    /// The reader was told that the camera is away, since the fault began.
    pub(crate) fn was_stalled(&self) -> bool {
        self.notes().states.iter().any(|(at, name)| *at >= self.began && *name == "stalled")
    }

    /// The server went on in the connection that it had.
    pub(crate) fn has_kept_its_connection(&self) -> Played {
        in_time(self.tries() == 0, || {
            format!("{} new connections, though this one was good: {}", self.tries(), self.last_sentence())
        })
    }

    fn last_sentence(&self) -> String {
        let troubles = self.troubles();
        let line = troubles.last().cloned().unwrap_or_default();
        // Behind the level and the camera's name.
        let from = ["WARN", "ERROR"].iter().find_map(|level| line.find(level).map(|at| at + level.len()));
        line[from.unwrap_or(0)..].trim().to_owned()
    }

    /// Stops the server, for a row in which that is what is tried. What took too long is told by [`Stage::conclude`].
    pub(crate) fn stop_early(&mut self) -> Played {
        if self.server.is_none() {
            return Ok(());
        }
        self.told.sentence = self.last_sentence();
        let id = self.server_id();
        self.search.process(id);
        self.search.folder(&self.scene.base(), &[]);
        // What else shows a configuration.
        for verb in ["check-config", "print-config"] {
            let mut command = server::command(&self.scene);
            let shown = Process::run(verb, command.arg(verb).arg("--config").arg(&self.inputs()[0]));
            self.search.bytes(verb, [shown.stdout, shown.stderr].concat().as_bytes());
        }
        // What it writes only while it runs.
        self.search.folder(self.scene.files(), &self.inputs());
        let Some(server) = self.server.take() else { return Ok(()) };
        let asked = Instant::now();
        server.signal(Signal::TERM);
        let ended = server.wait();
        let took = asked.elapsed();
        self.search.bytes("standard output", ended.stdout.as_bytes());
        self.search.bytes("standard error", ended.stderr.as_bytes());
        self.search.folder(self.scene.files(), &self.inputs());
        self.search.folder(&self.scene.base(), &[]);
        self.last_log.clone_from(&ended.stderr);
        holds(ended.code() == Some(0), || format!("SIGTERM: it ended with {}", ended.status))?;
        holds(took <= STOP_LIMIT, || format!("SIGTERM: it took {took:?}, and {STOP_LIMIT:?} are allowed"))?;
        let panics: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("panicked")).collect();
        let expected = if self.client == Client::Retina { self.setup.panics_of_retina } else { 0 };
        let are_retinas = panics.iter().all(|line| line.contains("retina"));
        // Where the server stood still for long, the camera may have had no session to do it in.
        let is_expected = panics.len() == expected || (self.late.is_some() && panics.len() < expected);
        holds(is_expected && are_retinas, || {
            format!("{} threads panicked, and {expected} times retina does so: {panics:?}", panics.len())
        })?;
        let left = self.scene.exported_files();
        let sentence = || format!("left behind: {left:?}");
        if took < PROMPT_STOP {
            holds(left.is_empty(), sentence)?;
        } else {
            // Its threads have a bounded time for their end, and a machine that stands still takes it from them.
            note_late(&mut self.late, left.is_empty(), sentence);
        }
        let lines = ended.stderr.lines().count();
        holds(self.variant.log_level() != "info" || lines <= MOST_LINES, || {
            format!("the log has {lines} lines, and {MOST_LINES} are allowed")
        })
    }

    /// Stops the server and checks what holds for every fault.
    pub(crate) fn conclude(&mut self) -> Played {
        self.stop_early()?;
        self.told.connections = self.stats().connections().saturating_sub(1);
        self.judge_farewells()?;
        self.judge_frames()?;
        self.judge_healthy()?;
        self.late.take().map_or(Ok(()), |why| Err(Why::Late(why)))
    }

    /// As [`Stage::conclude`], for a row that came too late halfway through: a panic, a wrong picture or a password in its log counts
    /// all the same.
    pub(crate) fn conclude_late(&mut self, why: String) -> Played {
        self.late.get_or_insert(why);
        // A camera that hangs would never see its sessions ended.
        for line in ["resume", "delay 0", "drop"] {
            self.command(line)?;
        }
        self.conclude()
    }

    /// Every session was ended by TEARDOWN, except for those that the camera itself cut.
    fn judge_farewells(&mut self) -> Played {
        // FFmpeg's client asks before each word whether the time for its farewell is over, and a server that left a thread behind
        // left its camera too: whoever stood still says nothing then. retina writes before it waits. Left to itself the server may
        // have taken either.
        let is_strict = self.client == Client::Retina && !self.log().contains("its thread does not end");
        let cameras = self.healthy.iter().chain([&self.faulty]);
        let names = HEALTHY.iter().map(|(id, _)| *id).chain([FAULTY]);
        for (camera, name) in cameras.zip(names) {
            // Its last words may still be on their way through the camera.
            self.until(&format!("camera {name} sees its sessions ended: {:?}", camera.stats()), |_| {
                camera.stats().open_now() == 0
            })?;
            let stats = camera.stats();
            if let Some(why) = self.setup.without_farewell.filter(|_| name == FAULTY) {
                let note =
                    format!("{} of {} sessions without a TEARDOWN: {why}", stats.abandoned, stats.opened);
                self.told.note = note;
                continue;
            }
            let sentence =
                || format!("camera {name}: {} of {} sessions got no TEARDOWN", stats.abandoned, stats.opened);
            if is_strict {
                holds(stats.abandoned == 0, sentence)?;
            } else {
                note_late(&mut self.late, stats.abandoned == 0, sentence);
            }
        }
        Ok(())
    }

    /// No wrong picture without the flag; times and numbers rise, whatever the camera does.
    fn judge_frames(&mut self) -> Played {
        let mut right = Vec::new();
        for name in self.setup.clips {
            right.extend(self.library.pictures(name)?.iter().cloned());
        }
        let notes = self.watches[0].notes();
        let mut silent = Vec::new();
        for seen in &notes.frames {
            let frame = &seen.frame;
            match (frame.damaged, right.contains(&frame.md5)) {
                (true, _) => self.told.flagged += 1,
                (false, true) => self.told.right += 1,
                (false, false) => silent.push(frame.frame_id),
            }
        }
        self.told.silent = silent.len() as u64;
        let from = notes.frames.get(self.frames_before.saturating_sub(1)..).unwrap_or_default();
        let gaps =
            from.windows(2).map(|two| two[1].frame.timestamp_ns.saturating_sub(two[0].frame.timestamp_ns));
        self.told.outage = Duration::from_nanos(gaps.max().unwrap_or(0));
        let allowed = match self.setup.silent_percent {
            0 => 0,
            percent => (self.told.flagged * percent / 100).max(SILENT_GROUP),
        };
        holds(self.told.silent <= allowed, || format!("wrong pictures without the flag: frames {silent:?}"))?;
        for two in notes.frames.windows(2) {
            let (before, frame) = (&two[0].frame, &two[1].frame);
            holds(frame.frame_id > before.frame_id && frame.timestamp_ns > before.timestamp_ns, || {
                format!("frame {} does not come after {}", frame.frame_id, before.frame_id)
            })?;
        }
        Ok(())
    }

    /// The healthy cameras: no frame lost, no frame wrong, one connection, no long wait. What a reader came too late for is not
    /// lost: frames are numbered as they are published, so one that the server lost moves all that follow.
    fn judge_healthy(&mut self) -> Played {
        for ((watch, camera), (id, clip)) in self.watches[1..].iter().zip(&self.healthy).zip(HEALTHY) {
            let pictures = self.library.pictures(clip)?;
            let notes = watch.notes();
            let frames: Vec<_> = notes.frames.iter().map(|seen| seen.frame.clone()).collect();
            self.told.others_unseen += frames.iter().map(|frame| frame.skipped).sum::<u64>();
            compare(&frames, &pictures, Plays::RoundAndRound)
                .map_err(|why| Why::Failed(format!("healthy camera {id}: {why}")))?;
            let gaps = frames.windows(2).map(|two| two[1].timestamp_ns - two[0].timestamp_ns);
            let gap = Duration::from_nanos(gaps.max().unwrap_or(0));
            note_late(&mut self.late, gap <= HEALTHY_GAP, || {
                format!("healthy camera {id}: {gap:?} without a frame")
            });
            let connections = camera.stats().connections();
            holds(connections == 1, || format!("healthy camera {id}: {connections} connections"))?;
        }
        Ok(())
    }

    /// What the server has said in all, for a row that failed.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map_or_else(|| self.last_log.clone(), |server| server.stderr.so_far())
    }
}

/// Where the server finds the camera, and what stands before it there.
fn address(camera: &TestCamera, scheme: Scheme, scene: &Scene) -> Played<(String, Option<TlsFront>)> {
    let url = camera.url();
    let rest = url.trim_start_matches("rtsp");
    if !scheme.is_encrypted() {
        return Ok((format!("{}{rest}", scheme.name()), None));
    }
    let port = rest.trim_start_matches("://127.0.0.1:").split('/').next().unwrap_or_default();
    let port_number = port.parse().map_err(|_| Why::Failed(format!("no port in {url}")))?;
    let front = TlsFront::start(port_number, scene.files()).map_err(Why::Skipped)?;
    Ok((format!("{}{}", scheme.name(), rest.replace(port, &front.port().to_string())), Some(front)))
}

fn command(camera: &TestCamera, line: &str) -> Played {
    camera.command(line).map(drop).map_err(|error| Why::Failed(error.to_string()))
}
