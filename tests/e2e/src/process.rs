//! A process that never outlives its test, and what it says.

use crate::{DEADLINE, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The program of that name that cargo built beside this crate's tests.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    // <target>/<profile>/deps/<test>, or without deps/ for programs of this crate.
    let folder = own.parent().expect("a test stands in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run the tests through `cargo xtask test`, which builds the programs first",
        path.display()
    );
    path
}

/// What a process says on one of its pipes, kept whole.
#[derive(Debug, Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    is_closed: bool,
}

impl Output {
    /// Reads on whether or not anybody listens, so that the process never waits for its test.
    fn of<R: Read + Send + 'static>(pipe: R) -> Self {
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                ours.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
                ours.changed.notify_all();
            }
            ours.lock().is_closed = true;
            ours.changed.notify_all();
        });
        Self { shared }
    }

    /// Line number `index` from 0, waited for; `None` when the pipe was closed before it.
    ///
    /// # Panics
    /// When it does not come in time.
    #[must_use]
    pub fn line(&self, index: usize) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut said = self.shared.lock();
        loop {
            if let Some(line) = said.lines.get(index) {
                return Some(line.clone());
            }
            if said.is_closed {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing was said for {DEADLINE:?} after {:?}", said.lines.last());
            (said, _) = self.shared.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first line that holds `words`, waited for.
    ///
    /// # Panics
    /// When it does not come in time, or the pipe is closed without it.
    #[must_use]
    pub fn line_with(&self, words: &str) -> String {
        self.line_with_from(0, words)
    }

    /// As [`Output::line_with`], beginning with the line of this number.
    pub fn line_with_from(&self, first: usize, words: &str) -> String {
        self.find(first, &[words])
    }

    /// As [`Output::line_with`], the first line that holds all of these.
    #[must_use]
    pub fn line_with_all(&self, words: &[&str]) -> String {
        self.find(0, words)
    }

    fn find(&self, first: usize, words: &[&str]) -> String {
        (first..)
            .map_while(|index| self.line(index))
            .find(|line| words.iter().all(|part| line.contains(*part)))
            .unwrap_or_else(|| panic!("ended without saying {words:?}; said was:\n{}", self.so_far()))
    }

    /// Everything until now.
    #[must_use]
    pub fn so_far(&self) -> String {
        self.shared.lock().lines.join("\n")
    }

    /// How many lines there are until now.
    #[must_use]
    pub fn lines_so_far(&self) -> usize {
        self.shared.lock().lines.len()
    }

    /// Everything, once the pipe is closed.
    #[must_use]
    pub fn whole(&self) -> String {
        until("the end of the output", || self.shared.lock().is_closed.then_some(()));
        self.so_far()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command behind `vas-e2e-leash`, which becomes it.
fn on_leash(command: &Command) -> Command {
    let mut leash = Command::new(program("vas-e2e-leash"));
    leash.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        leash.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leash.env(name, value),
            None => leash.env_remove(name),
        };
    }
    leash
}

/// A running program, in a process group of its own; killed with its group and reaped when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it says on standard output.
    pub stdout: Output,
    /// What it says on standard error.
    pub stderr: Output,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// The exit code; `None` after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Process {
    /// Starts a program. It dies with this thread, should the test not come to clear up.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = on_leash(command)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {name} ({command:?}): {error}"));
        let stdout = Output::of(child.stdout.take().expect("a pipe"));
        let stderr = Output::of(child.stderr.take().expect("a pipe"));
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, stdout, stderr }
    }

    /// Runs a program to its end.
    #[must_use]
    pub fn run(name: &str, command: &mut Command) -> Ended {
        let mut process = Self::start(name, command);
        process.close();
        process.wait()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it has none any more.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("tell {} {line:?}: {error}", self.name));
    }

    /// Closes its standard input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("send {signal:?} to {}: {error}", self.name));
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let name = self.name.clone();
        let status = until(&format!("the end of {name}"), || self.child.try_wait().expect("wait"));
        Ended { status, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    /// SIGKILL, and its end.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        let _ = self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Captured by the test harness and shown with the failure.
            let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
            let from = stdout.char_indices().rev().nth(2000).map_or(0, |(at, _)| at);
            eprintln!(
                "---- {} said on stdout (its end):\n{}\n---- and on stderr:\n{stderr}",
                self.name,
                &stdout[from..]
            );
        }
        // The group may be gone already; wait() reaps in both cases.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
