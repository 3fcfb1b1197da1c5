//! `cargo xtask demo`: a camera, the server, and a reader in a process of its own, for a few seconds.
//!
//! Everything that it makes is removed again, on Ctrl-C too: a private base directory in shared memory and three
//! processes. What stays is one picture.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::address::Address;
use crate::failure::{Context, Failure, Outcome};
use crate::leftovers::{SHARED_MEMORY, sweep};
use crate::process::Process;
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

/// The camera's id; ingest takes its user and password from variables with this in their names.
const CAMERA: &str = "demo";
const USERNAME: &str = "VAS_CAMERA_DEMO_USERNAME";
const PASSWORD: &str = "VAS_CAMERA_DEMO_PASSWORD";
const BASE_PREFIX: &str = "vas-demo-";
/// From the server's start to the first frame; some cameras take half a minute to begin.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(45);
/// Without a frame for this long the demo ends: something is wrong and the log says what.
const STALL_LIMIT: Duration = Duration::from_secs(15);
const READY_LIMIT: Duration = Duration::from_secs(10);
/// The reader learns of a stop within its polling interval; this is far above it.
const STOPPED_LIMIT: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Options {
    /// A camera of your own instead of the test camera, such as rtsp://192.0.2.7/stream. User and password are best
    /// given in VAS_CAMERA_DEMO_USERNAME and VAS_CAMERA_DEMO_PASSWORD: the list of processes shows command lines
    #[arg(long, value_name = "URL")]
    camera: Option<String>,
    /// How long frames are shown
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86400))]
    seconds: u64,
    /// Where the picture goes (.png or .jpg) [default: demo.png in cargo's build folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Build optimised programs, as they would run for real: frames are younger, the first build takes three times as long
    #[arg(long)]
    release: bool,
}

pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    let address = options.camera.as_deref().map(Address::parse).transpose()?;
    let picture = match &options.output {
        Some(path) => {
            std::path::absolute(path).context(|| format!("find out where {} is", path.display()))?
        }
        None => workspace.target.join("demo.png"),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    if address.as_ref().is_some_and(|address| address.password.is_some()) {
        ui::note(&format!(
            "the password is on this command line, which the list of processes and the shell's history show: {USERNAME} and {PASSWORD} in the environment keep it out of both"
        ));
    }
    setup::run(setup::Level::Demo)?;
    let clip = match address {
        Some(_) => None,
        None => Some(clips::make(workspace, clips::Wanted::Demo)?.join(clips::STREET)),
    };
    build(workspace, clip.is_some(), options.release)?;

    // From here on a signal ends the demo in order; before, it ended cargo's and ffmpeg's work as usual.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context(|| "watch for Ctrl-C".into())?;
    }
    ui::stage("Demo");
    sweep(BASE_PREFIX);
    let base = Base::make()?;
    let mut demo = Demo {
        programs: workspace.target.join(if options.release { "release" } else { "debug" }),
        base,
        interrupted,
    };
    demo.run(address, clip.as_deref(), Duration::from_secs(options.seconds), &picture)
}

/// Not optimised unless asked: it is what the tests need too, so that the second command begins where this one ends.
fn build(workspace: &Workspace, with_camera: bool, release: bool) -> Outcome {
    ui::stage("Build");
    let mut command = workspace.cargo();
    command.args(["build", "-p", "vas-ingest", "-p", "vas-frames"]);
    if release {
        command.arg("--release");
    }
    if with_camera {
        command.args(["-p", "vas-test-camera"]);
    }
    run::step(&mut command)
}

/// The private base directory; dropping it removes it.
struct Base {
    path: PathBuf,
}

impl Base {
    fn make() -> Outcome<Self> {
        let path = Path::new(SHARED_MEMORY).join(format!("{BASE_PREFIX}{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o750)
            .create(&path)
            .context(|| format!("make the directory {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            ui::bad(&format!("remove {}: {error}", self.path.display()));
        }
    }
}

struct Demo {
    programs: PathBuf,
    base: Base,
    interrupted: Arc<AtomicBool>,
}

impl Demo {
    fn run(
        &mut self,
        address: Option<Address>,
        clip: Option<&Path>,
        time: Duration,
        picture: &Path,
    ) -> Outcome {
        let mut camera = clip.map(|clip| self.start_camera(clip)).transpose()?;
        let address = match (&camera, address) {
            (Some((_, url)), _) => Address::parse(url)?,
            (None, Some(address)) => address,
            (None, None) => return Err(Failure::new("no camera: neither a clip nor an address")),
        };
        ui::note(&format!("camera  {address}"));
        let mut ingest = self.start_ingest(&address)?;
        ui::note(&format!("server  vas-ingest, exports to {}", self.base.path.display()));
        let mut reader = self.start_reader()?;
        ui::note("reader  vas-frames watch, a process of its own");

        let mut log = Log::default();
        let watched = self.watch(&mut ingest, &mut reader, &mut log, time);
        let watched = watched.and_then(|seen| {
            self.snapshot(picture)?;
            Ok(seen)
        });
        // Stopped in order whether that went well or not; the first thing that went wrong is what is told.
        let stopped = self.stop(&mut ingest, &mut reader, camera.as_mut().map(|(process, _)| process));
        log.take(&ingest);
        let seen = match watched {
            Ok(seen) => seen,
            Err(failure) => {
                if !self.interrupted.load(Ordering::Relaxed) {
                    log.show();
                }
                return Err(failure);
            }
        };
        if let Err(failure) = stopped {
            log.show();
            return Err(failure);
        }
        ui::good(&seen.summary());
        ui::good("stopped: the server ended with exit code 0 and removed its files, nothing is left running");
        println!("{}", picture.display());
        Ok(())
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    fn is_interrupted(&self) -> Outcome {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure {
                sentence: "interrupted; everything was stopped and removed".into(),
                code: 130,
            });
        }
        Ok(())
    }

    /// Gives the camera and its address.
    fn start_camera(&self, clip: &Path) -> Outcome<(Process, String)> {
        let mut camera = Process::start(
            "the test camera",
            self.program("vas-test-camera").args(["--port", "0"]).arg(clip),
        )?;
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            self.is_interrupted()?;
            match camera.stdout.recv_timeout(TICK) {
                Ok(line) => {
                    if let Some(url) = line.strip_prefix("READY ") {
                        return Ok((camera, url.trim().to_owned()));
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => {
                    let ended = camera
                        .ended()?
                        .map_or("is not ready".into(), |status| format!("ended with {status}"));
                    let said: Vec<_> = camera.stderr.try_iter().collect();
                    return Err(Failure::new(format!("the test camera {ended}: {}", said.join(" "))));
                }
            }
        }
    }

    fn start_ingest(&self, address: &Address) -> Outcome<Process> {
        let mut command = self.program("vas-ingest");
        command
            .args(["run", "--camera", &format!("{CAMERA}={}", address.url), "--base"])
            .arg(&self.base.path);
        command.env("AI_FRAME_EXPORT_ENABLED", "true");
        // By the environment, which only this user can see; a command line can be seen by everybody.
        for (name, value) in [(USERNAME, &address.username), (PASSWORD, &address.password)] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Process::start("vas-ingest", &mut command)
    }

    fn reader(&self) -> Command {
        let mut command = self.program("vas-frames");
        command.arg("--base").arg(&self.base.path);
        command
    }

    fn start_reader(&self) -> Outcome<Process> {
        Process::start("vas-frames watch", self.reader().args(["watch", CAMERA, "--json"]))
    }

    /// Shows frames for this long, counted from the first one.
    fn watch(
        &self,
        ingest: &mut Process,
        reader: &mut Process,
        log: &mut Log,
        time: Duration,
    ) -> Outcome<Seen> {
        let mut seen = Seen::default();
        let mut row = ui::LiveRow::new();
        let started = Instant::now();
        let mut newest = started;
        let mut first: Option<Instant> = None;
        let mut next_row = started;
        let outcome = loop {
            if let Err(failure) = self.is_interrupted() {
                break Err(failure);
            }
            // What keeps the first frame from coming (a refused password, say) is worth knowing at once.
            for warning in log.take(ingest) {
                row.keep(&format!("the server says: {warning}"));
            }
            match reader.stdout.recv_timeout(TICK) {
                Ok(line) => match Said::parse(&line) {
                    Said::Frame(frame) => {
                        newest = Instant::now();
                        if first.is_none() {
                            first = Some(newest);
                            next_row = newest + Duration::from_secs(1);
                            row.keep(&format!(
                                "first frame {} after the server's start",
                                ui::elapsed(started.elapsed())
                            ));
                            row.keep(&Seen::heading());
                        }
                        seen.add(frame, newest);
                        row.draw(&seen.row(newest));
                    }
                    Said::State(state) => {
                        // Waiting for the server's first frame is what everybody expects here.
                        if first.is_some() {
                            row.keep(&format!("the reader says: {state}"));
                        }
                    }
                    Said::Nothing => {}
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let said: Vec<_> = reader.stderr.try_iter().collect();
                    break Err(Failure::new(format!("vas-frames watch ended by itself: {}", said.join(" "))));
                }
            }
            if let Some(status) = ingest.ended()? {
                break Err(Failure::new(format!("vas-ingest ended by itself with {status}")));
            }
            let now = Instant::now();
            match first {
                None if started.elapsed() > FIRST_FRAME_LIMIT => {
                    break Err(Failure::new(format!(
                        "no frame came within {FIRST_FRAME_LIMIT:?}: is the camera there?"
                    )));
                }
                None => row.draw(&format!("waiting for the first frame {} s", started.elapsed().as_secs())),
                Some(_) if newest.elapsed() > STALL_LIMIT => {
                    break Err(Failure::new(format!("frames stopped coming for {STALL_LIMIT:?}")));
                }
                Some(first) => {
                    if now >= next_row {
                        next_row += Duration::from_secs(1);
                        row.keep(&seen.row(now));
                    }
                    if first.elapsed() >= time {
                        break Ok(());
                    }
                }
            }
        };
        row.clear();
        outcome.map(|()| seen)
    }

    fn snapshot(&self, picture: &Path) -> Outcome {
        if let Some(folder) = picture.parent() {
            fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
        }
        run::output(self.reader().args(["snapshot", CAMERA, "--timeout", "5", "-o"]).arg(picture))?;
        ui::good("a picture was taken by vas-frames snapshot");
        Ok(())
    }

    /// The server first, so that the reader sees it go; then the reader and the camera.
    fn stop(&self, ingest: &mut Process, reader: &mut Process, camera: Option<&mut Process>) -> Outcome {
        let status = ingest.stop()?;
        let left = files(&self.base.path);
        let told = run::wait_for(STOPPED_LIMIT, || {
            reader
                .stdout
                .try_iter()
                .find(|line| matches!(Said::parse(line), Said::State(state) if state == "stopped"))
        });
        // It waits for the server to come back, so it is ended by a signal: its exit status says nothing.
        reader.stop()?;
        if let Some(camera) = camera {
            let status = camera.close()?;
            if !status.success() {
                return Err(Failure::new(format!("the test camera ended with {status}")));
            }
        }
        if !status.success() {
            return Err(Failure::with_code(format!("vas-ingest ended with {status}"), status.code()));
        }
        if !left.is_empty() {
            return Err(Failure::new(format!("vas-ingest left behind: {}", left.join(", "))));
        }
        if told.is_none() {
            return Err(Failure::new(format!(
                "the reader did not say within {STOPPED_LIMIT:?} that the server had stopped"
            )));
        }
        Ok(())
    }
}

/// What the export has to remove: everything in a camera's directory.
fn files(base: &Path) -> Vec<String> {
    let camera = base.join(CAMERA);
    fs::read_dir(camera)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// The last words of the server, shown when something went wrong. It keeps passwords out of them itself.
#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
}

impl Log {
    const KEPT: usize = 20;

    /// Takes what is new; gives the warnings and errors among it.
    fn take(&mut self, process: &Process) -> Vec<String> {
        let new: Vec<String> = process.stderr.try_iter().collect();
        let grave = |line: &&String| line.contains(" WARN ") || line.contains(" ERROR ");
        let warnings = new.iter().filter(grave).cloned().collect();
        self.lines.extend(new);
        while self.lines.len() > Self::KEPT {
            self.lines.pop_front();
        }
        warnings
    }

    fn show(&self) {
        for line in &self.lines {
            ui::note(&format!("| {line}"));
        }
    }
}

struct Frame {
    id: u64,
    age_ms: f64,
    skipped: u64,
    damaged: bool,
    width: u64,
    height: u64,
}

/// A line of `vas-frames watch --json`.
enum Said {
    Frame(Frame),
    State(String),
    Nothing,
}

impl Said {
    fn parse(line: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return Self::Nothing };
        if let Some(state) = value["state"].as_str() {
            return Self::State(state.to_owned());
        }
        let frame = || {
            Some(Frame {
                id: value["frame_id"].as_u64()?,
                age_ms: value["age_ms"].as_f64()?,
                skipped: value["skipped"].as_u64()?,
                damaged: value["damaged"].as_bool()?,
                width: value["width"].as_u64()?,
                height: value["height"].as_u64()?,
            })
        };
        frame().map_or(Self::Nothing, Self::Frame)
    }
}

/// What the reader has seen so far.
#[derive(Default)]
struct Seen {
    newest: Option<Frame>,
    frames: u64,
    skipped: u64,
    damaged: u64,
    ages_ms: Vec<f64>,
    /// When the frames of the last second arrived.
    recent: VecDeque<Instant>,
    span: Option<(Instant, Instant)>,
}

impl Seen {
    fn add(&mut self, frame: Frame, now: Instant) {
        self.frames += 1;
        self.skipped += frame.skipped;
        self.damaged += u64::from(frame.damaged);
        self.ages_ms.push(frame.age_ms);
        self.recent.push_back(now);
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
        self.newest = Some(frame);
    }

    fn heading() -> String {
        format!(
            "{:>16}  {:>11}  {:>8}  {:>9}  {:>7}  {:>7}",
            "frame", "picture", "age", "rate", "skipped", "damaged"
        )
    }

    fn row(&mut self, now: Instant) -> String {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        let Some(frame) = &self.newest else { return String::new() };
        format!(
            "{:>16}  {:>11}  {:>5.1} ms  {:>5} fps  {:>7}  {:>7}",
            frame.id,
            format!("{}x{}", frame.width, frame.height),
            frame.age_ms,
            self.recent.len(),
            self.skipped,
            self.damaged
        )
    }

    fn summary(&self) -> String {
        let mut ages = self.ages_ms.clone();
        ages.sort_by(f64::total_cmp);
        let age = |share: usize| {
            ages.get((ages.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default()
        };
        let seconds = self.span.map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
        let rate = if seconds > 0.0 { (self.frames.saturating_sub(1)) as f64 / seconds } else { 0.0 };
        format!(
            "{} frames at {rate:.1} fps, age {:.1} ms (median) to {:.1} ms, {} skipped, {} damaged",
            self.frames,
            age(50),
            age(100),
            self.skipped,
            self.damaged
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_frame_or_a_state_or_nothing() {
        let frame = r#"{"frame_id":7,"timestamp_ns":1,"age_ms":1.5,"skipped":2,"damaged":false,"width":640,"height":480,"generation":3}"#;
        assert!(matches!(Said::parse(frame), Said::Frame(Frame { id: 7, skipped: 2, .. })));
        assert!(
            matches!(Said::parse(r#"{"state":"stopped","camera":"demo"}"#), Said::State(state) if state == "stopped")
        );
        assert!(matches!(Said::parse("no json"), Said::Nothing));
    }

    #[test]
    fn the_summary_counts_over_the_whole_time() {
        let mut seen = Seen::default();
        let start = Instant::now();
        for index in 0..26 {
            let frame =
                Frame { id: index, age_ms: 2.0, skipped: 0, damaged: index == 3, width: 2, height: 2 };
            seen.add(frame, start + Duration::from_millis(40 * index));
        }
        assert_eq!(
            seen.summary(),
            "26 frames at 25.0 fps, age 2.0 ms (median) to 2.0 ms, 0 skipped, 1 damaged"
        );
    }
}
