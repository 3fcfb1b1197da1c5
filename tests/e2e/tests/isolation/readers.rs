//! Readers as processes: many at once, stopped, killed.

use rustix::process::Signal;
use std::fs;
use vas_e2e::process::Process;
use vas_e2e::reader;
use vas_e2e::scene::Scene;
use vas_e2e::until;

/// `vas-frames watch` at the pace that the library has by default.
pub(crate) struct Reader {
    process: Process,
    lines_seen: usize,
    frames: usize,
    generation: Option<u64>,
}

impl Reader {
    fn start(scene: &Scene) -> Self {
        let mut command = reader::command(scene, &["watch", "front", "--json"]);
        let process = Process::start("vas-frames watch", &mut command);
        Self { process, lines_seen: 0, frames: 0, generation: None }
    }

    /// Starts one and waits until it is attached.
    pub(crate) fn attached(scene: &Scene) -> Self {
        let mut reader = Self::start(scene);
        reader.until_given(1);
        reader
    }

    /// Starts so many beside each other, and waits until all are attached.
    pub(crate) fn crowd(scene: &Scene, count: usize) -> Vec<Self> {
        let mut readers: Vec<Self> = (0..count).map(|_| Self::start(scene)).collect();
        readers.iter_mut().for_each(|reader| reader.until_given(1));
        readers
    }

    fn catch_up(&mut self) {
        while self.lines_seen < self.process.stdout.lines_so_far() {
            let line = self.process.stdout.line(self.lines_seen).unwrap_or_default();
            self.lines_seen += 1;
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(generation) = said["generation"].as_u64() {
                self.frames += 1;
                self.generation = Some(generation);
            }
        }
    }

    /// Frames that it was given until now.
    pub(crate) fn frames(&mut self) -> usize {
        self.catch_up();
        self.frames
    }

    /// The generation of the newest of them.
    pub(crate) fn generation(&mut self) -> Option<u64> {
        self.catch_up();
        self.generation
    }

    /// Waits until it is given so many more frames.
    pub(crate) fn until_given(&mut self, more: usize) {
        let wanted = self.frames() + more;
        until("a reader is given frames", || (self.frames() >= wanted).then_some(()));
    }

    /// SIGSTOP; it may take a moment.
    pub(crate) fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Waits until it stands still.
    pub(crate) fn until_stopped(&self) {
        let path = format!("/proc/{}/stat", self.process.id());
        until("the reader is stopped", || {
            let stat = fs::read_to_string(&path).unwrap_or_default();
            // Behind the name, which may have anything in it.
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            (state == Some('T')).then_some(())
        });
    }

    /// SIGKILL, without waiting for its end.
    pub(crate) fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill_and_wait(self) {
        self.process.kill();
    }
}
