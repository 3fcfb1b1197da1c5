//! The real program with a stderr that nobody reads, and with the signals of a terminal that goes away.

use rustix::process::Signal;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use vas_test_support::skipped;

/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where a header has the newest frame's id.
const FRAME_ID_OFFSET: u64 = 8;

/// A directory in shared memory with a looping file's configuration; None, and the reason on stderr, if there is no ffmpeg
/// program or no shared memory.
struct Scene {
    memory: tempfile::TempDir,
    _files: tempfile::TempDir,
    config: PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let clip = files.path().join("clip.mp4");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1"])
            .args(["-c:v", "libx264", "-pix_fmt", "yuv420p"])
            .arg(&clip)
            .output();
        match made {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(why) => {
                skipped(&format!("no clip, the ffmpeg program cannot be started: {why}"));
                return None;
            }
        }
        let config = files.path().join("vas.toml");
        // Frames come although this test only looks at the header now and then.
        let text = "[export]\nwhen = \"always\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\nloop = true\n";
        std::fs::write(&config, text).unwrap();
        let memory =
            tempfile::Builder::new().prefix("vas-ingest-test-").tempdir_in(vas_test_support::shared_memory());
        match memory {
            Ok(memory) => Some(Self { memory, _files: files, config }),
            Err(why) => {
                skipped(&format!("no directory in shared memory: {why}"));
                None
            }
        }
    }

    fn base(&self) -> PathBuf {
        self.memory.path().join("vas")
    }

    /// `program`, with the arguments and the environment of a server that exports.
    fn export_with(&self, program: &mut Command) -> Command {
        let mut command = std::mem::replace(program, Command::new(""));
        command.args(["run", "--config"]).arg(&self.config).arg("--base").arg(self.base());
        command.env("AI_FRAME_EXPORT_ENABLED", "true").env_remove("VAS_LOG").env_remove("VAS_SHM_BASE");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// As from a shell's foreground, whatever these tests were started from: in its background signals would be ignored.
    fn server(&self) -> Command {
        let mut env = Command::new("/usr/bin/env");
        env.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_vas-ingest")]);
        self.export_with(&mut env)
    }

    /// The newest frame's id, 0 as long as there is none.
    fn frame_id(&self) -> u64 {
        let mut word = [0; 8];
        let header = File::open(self.base().join("a/frame.meta"));
        match header.and_then(|header| header.read_exact_at(&mut word, FRAME_ID_OFFSET)) {
            Ok(()) => u64::from_le_bytes(word),
            Err(_) => 0,
        }
    }

    fn wait_for_frame(&self, id: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.frame_id() < id {
            assert!(Instant::now() < deadline, "frame {id} does not come, the newest is {}", self.frame_id());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn assert_no_files_are_left(&self) {
        for name in ["frame.meta", "frame.data"] {
            assert!(!self.base().join("a").join(name).exists(), "{name} is left");
        }
    }
}

/// A server that is killed when the test is over.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks for the end with this signal; it has to come in order and within the bounds: two seconds for the cameras, one for the log,
    /// and what a busy machine adds.
    fn stop(&mut self, signal: Signal) {
        let asked = Instant::now();
        self.signal(signal);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}: {status}");
        assert!(asked.elapsed() < Duration::from_secs(30), "{signal:?}: {:?}", asked.elapsed());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pipe without room for another byte. Its reading end has to be kept: without one, a write fails instead of waiting.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while rustix::io::write(&writer, &[b'x'; 4096][..size]).is_ok() {}
    }
    // The server's writes wait, as they would on a pipe that filled up later.
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[test]
fn a_stderr_that_nobody_reads_stops_neither_frames_nor_the_end() {
    let Some(scene) = Scene::new() else { return };
    let (_unread, full) = full_pipe();
    // Both, as of `vas-ingest 2>&1 | something that hangs`. Each loop of the file is a line.
    let mut command = scene.server();
    command.env("VAS_LOG", "debug").stdout(full.try_clone().unwrap()).stderr(full);
    let mut server = Running::start(&mut command);
    drop(command);
    scene.wait_for_frame(1);
    // Ids do not begin at 1.
    scene.wait_for_frame(scene.frame_id() + 60);
    server.stop(Signal::TERM);
    scene.assert_no_files_are_left();
}

#[test]
fn a_stderr_that_nobody_reads_stops_no_refusal_to_start() {
    let (_unread, full) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-ingest"));
    command.args(["run", "--camera", "../x=rtsp://127.0.0.1/s"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = Running::start(command.stderr(full));
    drop(command);
    assert_eq!(server.wait().code(), Some(2));
}

#[test]
fn the_last_lines_reach_a_stderr_that_is_read() {
    let Some(scene) = Scene::new() else { return };
    let mut command = scene.server();
    let mut server = Running::start(command.stderr(Stdio::piped()));
    scene.wait_for_frame(1);
    server.stop(Signal::TERM);
    let mut log = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("SIGTERM: stopping") && log.contains("ended; "), "{log}");
}

#[test]
fn a_quit_stops_it_in_order() {
    let Some(scene) = Scene::new() else { return };
    let mut server = Running::start(&mut scene.server());
    scene.wait_for_frame(1);
    server.stop(Signal::QUIT);
    scene.assert_no_files_are_left();
}

/// The kernel says so by the signal that otherwise means: read the configuration again.
#[test]
fn a_terminal_that_goes_away_stops_it_in_order() {
    if !Path::new("/usr/bin/script").exists() {
        return skipped("there is no program script, which makes terminals");
    }
    let Some(scene) = Scene::new() else { return };
    let command = format!(
        "exec {} run --config {} --base {}",
        env!("CARGO_BIN_EXE_vas-ingest"),
        scene.config.display(),
        scene.base().display()
    );
    let mut script = Command::new("/usr/bin/env");
    script.args(["--default-signal=HUP,INT,QUIT,TERM", "/usr/bin/script", "-q", "-c", &command, "/dev/null"]);
    script.env("AI_FRAME_EXPORT_ENABLED", "true").env_remove("VAS_LOG").env_remove("VAS_SHM_BASE");
    // Its lock there says who it is: nobody's child, once the terminal is gone.
    script.env("RUNTIME_DIRECTORY", scene.memory.path());
    let mut terminal =
        Running::start(script.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    scene.wait_for_frame(1);
    terminal.signal(Signal::KILL);
    terminal.wait();
    let deadline = Instant::now() + PATIENCE;
    while scene.base().join("a/frame.meta").exists() {
        if Instant::now() >= deadline {
            let pid = std::fs::read_to_string(scene.memory.path().join("status.json.lock")).unwrap();
            let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            panic!("it goes on without its terminal");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.assert_no_files_are_left();
}

#[test]
fn a_hangup_without_the_loss_of_a_terminal_stops_nothing() {
    let Some(scene) = Scene::new() else { return };
    let mut server = Running::start(&mut scene.server());
    scene.wait_for_frame(1);
    server.signal(Signal::HUP);
    // Two more loops of the file: long enough for a stop to have come through.
    scene.wait_for_frame(scene.frame_id() + 50);
    server.stop(Signal::TERM);
    scene.assert_no_files_are_left();
}

#[test]
fn under_nohup_it_outlives_its_terminal() {
    if !Path::new("/usr/bin/nohup").exists() {
        return skipped("there is no nohup program");
    }
    let Some(scene) = Scene::new() else { return };
    let mut nohup = Command::new("/usr/bin/nohup");
    nohup.arg(env!("CARGO_BIN_EXE_vas-ingest"));
    let mut server = Running::start(&mut scene.export_with(&mut nohup));
    scene.wait_for_frame(1);
    server.signal(Signal::HUP);
    // Two more loops of the file: long enough for a stop to have come through.
    scene.wait_for_frame(scene.frame_id() + 50);
    server.stop(Signal::TERM);
    scene.assert_no_files_are_left();
}
