//! A program that runs beside this one and is always stopped: as asked, or by dropping it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Context, Failure, Outcome};
use crate::run;

/// A program that was asked to stop gets this long.
const STOP_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    /// What it says on stdout and on stderr, line by line.
    pub(crate) stdout: Receiver<String>,
    pub(crate) stderr: Receiver<String>,
}

impl Process {
    /// Starts it in a process group of its own: Ctrl-C then reaches this program alone, which stops the others in order.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Outcome<Self> {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context(|| format!("start {name} ({})", command.get_program().to_string_lossy()))?;
        let stdout = lines(child.stdout.take());
        let stderr = lines(child.stderr.take());
        Ok(Self { name, child, stdout, stderr })
    }

    /// How it ended, if it did by itself.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.child.try_wait().context(|| format!("look after {}", self.name))
    }

    /// Closes its standard input, sends SIGTERM, and waits.
    pub(crate) fn stop(&mut self) -> Outcome<ExitStatus> {
        drop(self.child.stdin.take());
        if self.ended()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)
                .context(|| format!("send SIGTERM to {}", self.name))?;
        }
        self.wait()
    }

    /// Closes its standard input and waits, for a program that ends with that.
    pub(crate) fn close(&mut self) -> Outcome<ExitStatus> {
        drop(self.child.stdin.take());
        self.wait()
    }

    fn wait(&mut self) -> Outcome<ExitStatus> {
        let name = self.name;
        // The outer answer is the deadline's, the inner one the system's.
        let ended = run::wait_for(STOP_LIMIT, || self.ended().transpose());
        ended.ok_or_else(|| {
            // Its end is asked for by force; the failure says so, whatever comes of it.
            let _ = self.child.kill();
            Failure::new(format!(
                "{name} was asked to stop and was still running {STOP_LIMIT:?} later: it was killed"
            ))
        })?
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill; wait() reaps it in both cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines<R: Read + Send + 'static>(pipe: Option<R>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = pipe {
        // Reads on even if nobody listens any more, so that the program never waits for us.
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_with_its_input_is_closed() {
        let mut cat = Process::start("cat", &mut Command::new("cat")).unwrap();
        assert!(cat.close().unwrap().success());
    }

    #[test]
    fn a_program_that_waits_is_stopped() {
        let mut sleep = Process::start("sleep", Command::new("sleep").arg("600")).unwrap();
        assert!(!sleep.stop().unwrap().success());
    }
}
