//! A server in a scene of its own: configuration, clip, status file; killed when the test is over.

use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Nothing here takes longer, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody listens there, and no port that a system hands out is that one: of a free port another test makes its own.
pub(crate) const CLOSED: &str = "127.0.0.1:1";

/// The program, without what the environment of the test may say to it.
pub(crate) fn program() -> Command {
    let mut command = Command::new("/usr/bin/env");
    // Whatever these tests were started from: in a shell's background signals would be ignored.
    command.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_vas-ingest")]);
    for name in [
        "AI_FRAME_EXPORT_ENABLED",
        "VAS_SHM_BASE",
        "VAS_LOG",
        "VAS_LOG_FORMAT",
        "RUNTIME_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs it to its end, which comes in time: its exit code, and what it said.
pub(crate) fn ended(command: &mut Command) -> (Option<i32>, String) {
    let mut program = Running::start(command);
    (program.wait(), program.log())
}

/// As [`ended`], again if these words are not in what it said: the last ones are lost where it gets no processor for longer than its end
/// may take.
pub(crate) fn ended_saying(words: &str, command: &mut Command) -> (Option<i32>, String) {
    let mut program = ended(command);
    for _ in 0..4 {
        if program.1.contains(words) {
            break;
        }
        program = ended(command);
    }
    program
}

/// Moving pictures, 25 a second, by the ffmpeg program.
fn make_clip(file: &Path, seconds: u32) -> std::io::Result<Output> {
    let pictures = format!("testsrc2=s=160x120:r=25:d={seconds}");
    Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &pictures, "-c:v", "libx264", "-pix_fmt", "yuv420p"])
        .arg(file)
        .output()
}

/// A directory with a clip and a configuration.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    /// None, and the reason on stderr, if there is no ffmpeg program.
    pub(crate) fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        match make_clip(&directory.path().join("clip.mp4"), 1) {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(why) => {
                vas_test_support::skipped(&format!("no clip, the ffmpeg program cannot be started: {why}"));
                return None;
            }
        }
        Some(Self { directory })
    }

    /// Another clip, beside the one of a second.
    pub(crate) fn add_clip(&self, name: &str, seconds: u32) {
        let made = make_clip(&self.path(name), seconds).unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn status_file(&self) -> PathBuf {
        self.path("status.json")
    }

    /// Writes the configuration; paths in it are relative to the scene.
    pub(crate) fn configure(&self, text: &str) -> PathBuf {
        let file = self.path("vas.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(crate) fn run(&self) -> Command {
        let mut command = program();
        command.args(["run", "--config"]).arg(self.path("vas.toml"));
        command
    }

    /// What `vas-ingest status` says of it.
    pub(crate) fn status(&self, arguments: &[&str]) -> Output {
        program().arg("status").args(arguments).arg("--file").arg(self.status_file()).output().unwrap()
    }

    /// The status file, once it fits.
    pub(crate) fn status_with(
        &self,
        what: &str,
        fits: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        until(what, || {
            let text = std::fs::read_to_string(self.status_file()).ok()?;
            // Never half of one.
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            fits(&value).then_some(value)
        })
    }
}

/// The camera of that name in a status.
pub(crate) fn camera<'v>(status: &'v serde_json::Value, id: &str) -> Option<&'v serde_json::Value> {
    status["cameras"].as_array().unwrap().iter().find(|camera| camera["id"] == id)
}

pub(crate) fn is_in_state(status: &serde_json::Value, id: &str, state: &str) -> bool {
    camera(status, id).is_some_and(|camera| camera["state"] == state)
}

/// A looping camera's tables in a configuration.
pub(crate) fn looping(ids: &[&str]) -> String {
    let table = |id: &&str| format!("[[camera]]\nid = {id:?}\nurl = \"clip.mp4\"\nloop = true\n");
    ids.iter().map(table).collect()
}

pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        // Unless it was sent elsewhere: then there are no lines.
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// What it prints, for whoever wants to read it.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => {
                    self.seen.push(line.clone());
                    return line;
                }
                Ok(line) => self.seen.push(line),
                Err(why) => panic!("no line with {part:?} ({why}); seen: {:#?}", self.seen),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> Option<i32> {
        until("its end", || self.child.try_wait().unwrap()).code()
    }

    /// Its exit code, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait(), Some(0), "{}", self.log());
    }

    /// Everything on stderr, once it ended.
    pub(crate) fn log(&mut self) -> String {
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}
