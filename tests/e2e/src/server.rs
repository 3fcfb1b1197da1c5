//! `vas-ingest` as a process.

use crate::process::{Ended, Process, program};
use crate::scene::Scene;
use rustix::process::Signal;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
}

/// One camera of a configuration file.
#[must_use]
pub fn camera(id: &str, url: &str) -> String {
    format!("[[camera]]\nid = {id:?}\nurl = {url:?}\n")
}

/// Whose RTSP client the server talks with.
pub const CLIENTS: [&str; 2] = ["retina", "ffmpeg"];

/// One RTSP camera of a configuration file, by that client and transport.
#[must_use]
pub fn rtsp_camera(id: &str, url: &str, client: &str, transport: &str) -> String {
    format!("{}rtsp_client = {client:?}\ntransport = {transport:?}\n", camera(id, url))
}

/// A file as a camera.
#[must_use]
pub fn file_camera(id: &str, file: &Path, repeat: bool) -> String {
    format!("{}loop = {repeat}\n", camera(id, &file.display().to_string()))
}

/// The program with the scene's base directory, and with nothing that the surroundings say about it. The export is on.
#[must_use]
pub fn command(scene: &Scene) -> Command {
    clean(Command::new(program("vas-ingest")), scene)
}

/// As [`command`], behind another program that starts it.
#[must_use]
pub fn clean(mut command: Command, scene: &Scene) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("VAS_") || text.starts_with("RUST_") {
            command.env_remove(&name);
        }
    }
    command
        .env("AI_FRAME_EXPORT_ENABLED", "true")
        .env("VAS_SHM_BASE", scene.base())
        // Were there a panic, it would show itself in full.
        .env("RUST_BACKTRACE", "1");
    command
}

impl Server {
    /// Starts it with a configuration file of that text.
    #[must_use]
    pub fn start(scene: &Scene, config: &str) -> Self {
        let config = scene.file("vas.toml", config);
        let mut command = command(scene);
        command.args(["run", "--config"]).arg(config);
        Self::start_command(&mut command)
    }

    /// Starts what the caller made of [`command`].
    #[must_use]
    pub fn start_command(command: &mut Command) -> Self {
        Self { process: Process::start("vas-ingest", command) }
    }

    /// SIGTERM, and its end, and how long that took.
    #[must_use]
    pub fn stop(self) -> (Ended, Duration) {
        self.stop_by(Signal::TERM)
    }

    /// A signal, and its end, and how long that took.
    #[must_use]
    pub fn stop_by(self, signal: Signal) -> (Ended, Duration) {
        let asked = Instant::now();
        self.process.signal(signal);
        let ended = self.process.wait();
        (ended, asked.elapsed())
    }

    /// SIGTERM; it has to end well, and to have stayed free of panics.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop_well(self) {
        let (ended, _) = self.stop();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }

    /// Waits for its end by itself.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.process.wait()
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
