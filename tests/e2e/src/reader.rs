//! `vas-frames` as a process.

use crate::DEADLINE;
use crate::process::{Ended, Process, program};
use crate::scene::Scene;
use crate::server::clean;
use rustix::process::Signal;
use serde::Deserialize;
use std::process::Command;
use std::time::Instant;

/// A frame, as `vas-frames watch --json --hash md5` prints it.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub struct Frame {
    /// The frame's number.
    pub frame_id: u64,
    /// CLOCK_MONOTONIC when the server had it decoded.
    pub timestamp_ns: u64,
    /// CLOCK_MONOTONIC when the reader found it; 0 from readers that do not tell.
    #[serde(default)]
    pub found_ns: u64,
    /// From before the reader's first look for the camera's files until it found this frame; as above.
    #[serde(default)]
    pub since_start_ns: u64,
    /// Frames before it that the reader did not see.
    pub skipped: u64,
    /// The decoder reported loss.
    pub damaged: bool,
    /// Luma pixels per row.
    pub width: u32,
    /// Luma rows.
    pub height: u32,
    /// Which pair of files it is from.
    pub generation: u64,
    /// MD5 of the visible picture as NV12.
    pub md5: String,
}

#[derive(Debug, Deserialize)]
struct StateLine {
    state: String,
}

/// A line of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A frame.
    Frame(Frame),
    /// A change of state, by its name.
    State(String),
}

/// `vas-frames` with words of one's own.
#[must_use]
pub fn command(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = clean(Command::new(program("vas-frames")), scene);
    command.args(arguments);
    command
}

/// Runs `vas-frames` to its end.
#[must_use]
pub fn run(scene: &Scene, arguments: &[&str]) -> Ended {
    Process::run("vas-frames", &mut command(scene, arguments))
}

/// A running `vas-frames watch`, or another program that prints what it prints.
#[derive(Debug)]
pub struct Watch {
    process: Process,
    next: usize,
}

impl Watch {
    /// Watches a camera, which need not be there yet.
    #[must_use]
    pub fn start(scene: &Scene, camera: &str) -> Self {
        let mut command = command(scene, &["watch", camera, "--json", "--hash", "md5"]);
        Self::of(&format!("vas-frames watch {camera}"), &mut command)
    }

    /// Starts a program that prints the same lines.
    #[must_use]
    pub fn of(name: &str, command: &mut Command) -> Self {
        Self { process: Process::start(name, command), next: 0 }
    }

    /// The next line, waited for; `None` when the watch has ended.
    ///
    /// # Panics
    /// When it is not JSON of the promised form.
    pub fn next_line(&mut self) -> Option<Line> {
        let text = self.process.stdout.line(self.next)?;
        self.next += 1;
        let line = if text.contains("\"state\"") {
            serde_json::from_str(&text).map(|line: StateLine| Line::State(line.state))
        } else {
            serde_json::from_str(&text).map(Line::Frame)
        };
        Some(line.unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    fn line(&mut self) -> Line {
        self.next_line().unwrap_or_else(|| panic!("the watch ended: {}", self.process.stderr.so_far()))
    }

    /// The next frame, whatever is said before it.
    pub fn frame(&mut self) -> Frame {
        loop {
            if let Line::Frame(frame) = self.line() {
                return frame;
            }
        }
    }

    /// The next `count` frames.
    pub fn frames(&mut self, count: usize) -> Vec<Frame> {
        (0..count).map(|_| self.frame()).collect()
    }

    /// Reads on until a state is told; gives the frames before it.
    pub fn frames_until_state(&mut self, state: &str) -> Vec<Frame> {
        self.frames_until_any_state(&[state])
    }

    /// Reads on until one of the states is told; gives the frames before it.
    pub fn frames_until_any_state(&mut self, states: &[&str]) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.line() {
                Line::Frame(frame) => frames.push(frame),
                Line::State(told) if states.contains(&told.as_str()) => return frames,
                Line::State(_) => {}
            }
        }
    }

    /// Reads on until one of the states is told; gives its name.
    pub fn until_any_state(&mut self, states: &[&str]) -> String {
        loop {
            if let Line::State(told) = self.line() {
                if states.contains(&told.as_str()) {
                    return told;
                }
            }
        }
    }

    /// Reads on until a frame is as wanted; gives it.
    ///
    /// # Panics
    /// When none of the frames that come in time is.
    pub fn until_frame(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let frame = self.frame();
            if wanted(&frame) {
                return frame;
            }
            assert!(Instant::now() < deadline, "no such frame came; the last one is {frame:?}");
        }
    }

    /// Forgets what was said until now: what comes next is news.
    pub fn skip_to_now(&mut self) {
        self.next = self.process.stdout.lines_so_far();
    }

    /// The next `count` frames of those that the server decoded behind that moment of CLOCK_MONOTONIC. What was decoded before may be
    /// told later than that: it stands in the pipe for as long as nobody has a processor for it.
    pub fn frames_after(&mut self, moment_ns: u64, count: usize) -> Vec<Frame> {
        let mut frames = vec![self.until_frame(|frame| frame.timestamp_ns > moment_ns)];
        frames.extend(self.frames(count.saturating_sub(1)));
        frames
    }

    /// Whether it has a file mapped whose path ends like this.
    #[must_use]
    pub fn has_mapped(&self, end: &str) -> bool {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.process.id()));
        maps.is_ok_and(|maps| maps.lines().any(|line| line.ends_with(end)))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}
