//! Cameras: ours with faults on demand, GStreamer's, and a host that never answers.

use crate::process::{Process, program};
use crate::{Lacking, until};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Our RTSP camera as a process.
#[derive(Debug)]
pub struct Camera {
    process: Process,
    url: String,
    answers: usize,
}

impl Camera {
    /// Plays the clips from their first picture on, once a client comes.
    #[must_use]
    pub fn start(clips: &[&Path]) -> Self {
        Self::start_with(clips, &["--port", "0"])
    }

    /// As [`Camera::start`], with further words for its command line.
    #[must_use]
    pub fn start_with(clips: &[&Path], arguments: &[&str]) -> Self {
        Self::try_start(clips, arguments, None).unwrap_or_else(|said| panic!("the camera ended: {said}"))
    }

    /// A camera that asks for `user:password`, which it gets by its environment.
    #[must_use]
    pub fn start_with_password(clip: &Path, scheme: &str, user_and_password: &str) -> Self {
        let arguments = ["--port", "0", "--auth", scheme, "--user-env", "VAS_TEST_CAMERA_LOGIN"];
        Self::try_start(&[clip], &arguments, Some(user_and_password))
            .unwrap_or_else(|said| panic!("the camera ended: {said}"))
    }

    /// A camera on the very port of one that is gone. Somebody else may have the port for a moment.
    #[must_use]
    pub fn start_again(clips: &[&Path], port: u16) -> Self {
        until("the camera has its port again", || {
            Self::try_start(clips, &["--port", &port.to_string()], None).ok()
        })
    }

    fn try_start(clips: &[&Path], arguments: &[&str], login: Option<&str>) -> Result<Self, String> {
        let mut command = Command::new(program("vas-test-camera"));
        command.args(["--pace-from", "first-play"]).args(arguments).args(clips);
        if let Some(login) = login {
            command.env("VAS_TEST_CAMERA_LOGIN", login);
        }
        let process = Process::start("vas-test-camera", &mut command);
        match process.stdout.line(0) {
            Some(line) => {
                let url = line.strip_prefix("READY ").expect("a camera says READY first").to_owned();
                Ok(Self { process, url, answers: 1 })
            }
            None => Err(process.wait().stderr),
        }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port on 127.0.0.1.
    ///
    /// # Panics
    /// Never: the URL is its own.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("the URL has a port")
    }

    /// A command, carried out when this returns.
    ///
    /// # Panics
    /// When the camera does not understand it.
    pub fn command(&mut self, line: &str) {
        let _ = self.ask(line);
    }

    fn ask(&mut self, line: &str) -> String {
        self.process.say(line);
        let answer = self.process.stdout.line(self.answers).expect("the camera answers");
        self.answers += 1;
        assert!(answer.starts_with("OK"), "{line}: {answer}");
        answer
    }

    /// Pictures that are out, and those that are just being sent.
    fn pictures(&mut self) -> (u64, u64) {
        // A command that changes nothing: none of these cameras loses packets.
        let answer = self.ask("loss 0");
        let number_before = |words: &str| {
            let before = answer.split(words).next().unwrap_or_default();
            before.rsplit(['(', ' ']).next().and_then(|number| number.parse().ok())
        };
        let counts = (number_before(" pictures sent so far"), number_before(" on their way"));
        let (Some(sent), Some(on_their_way)) = counts else { panic!("no numbers in: {answer}") };
        (sent, on_their_way)
    }

    /// Pictures sent so far.
    #[must_use]
    pub fn pictures_sent(&mut self) -> u64 {
        self.pictures().0
    }

    /// Waits until it has sent so many more pictures.
    pub fn until_sent(&mut self, more: u64) {
        let wanted = self.pictures_sent() + more;
        until("the camera sends pictures", || (self.pictures_sent() >= wanted).then_some(()));
    }

    /// Sends no more; how many pictures it has sent, all of the last one among them.
    #[must_use]
    pub fn freeze(&mut self) -> u64 {
        self.command("freeze");
        until("the last picture is out", || {
            let (sent, on_their_way) = self.pictures();
            (on_their_way == 0).then_some(sent)
        })
    }

    /// Sends no more, closes every connection once all of the last picture is out, and lets nobody in again; how many pictures
    /// it has sent.
    #[must_use]
    pub fn end(&mut self) -> u64 {
        let sent = self.freeze();
        self.command("refuse");
        self.command("drop");
        sent
    }

    /// Power off.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// GStreamer's gst-rtsp-server as the camera: a stack that nobody here wrote.
#[derive(Debug)]
pub struct GstreamerCamera {
    _process: Process,
    url: String,
}

/// Debian's own Python: the bindings are there for no other.
const PYTHON: &str = "/usr/bin/python3";

impl GstreamerCamera {
    /// Plays an mp4 file of `codec` (h264 or h265) once for each client.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn start(file: &Path, codec: &str) -> Result<Self, Lacking> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gst_camera.py");
        if !Path::new(PYTHON).exists() {
            return Err(format!("{PYTHON} is not there"));
        }
        let probe = Process::run("gst_camera.py", Command::new(PYTHON).arg(&script).arg("--probe"));
        if !probe.status.success() {
            let why = probe.stderr.lines().last().unwrap_or_default().to_owned();
            return Err(format!("GStreamer's RTSP server is not installed: {why}"));
        }
        let mut command = Command::new(PYTHON);
        command.arg(&script).arg("--codec").arg(codec).arg(file);
        let process = Process::start("gst_camera.py", &mut command);
        let ready = process.stdout.line(0).expect("the camera says READY");
        let url = ready.strip_prefix("READY ").expect("a camera says READY first").to_owned();
        Ok(Self { _process: process, url })
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A host that takes connections and never says a word.
#[derive(Debug)]
pub struct SilentHost {
    listener: TcpListener,
}

impl SilentHost {
    /// Listens on a free port; the system accepts for it, nobody answers.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    /// Where it would be found if it were a camera.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rtsp://{}/cam", self.listener.local_addr().expect("a bound socket"))
    }
}
