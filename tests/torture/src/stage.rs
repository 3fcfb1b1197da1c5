//! Where a scenario is played: its folders, its processes, its clock, and what all of them saw.

use crate::impostor::ImpostorSpec;
use crate::ledger::{Entry, LedgerPaths, Word};
use crate::os::Page;
use crate::picture;
use crate::reader::{Manner, ReaderSpec};
use crate::report::Tally;
use crate::role::{Call, LEASH, ROLE, Role};
use crate::server::ServerSpec;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Found, Frame, Opened, Options, Reader, open};

/// Far beyond what a loaded machine needs; what has not happened until then counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Between two looks whether the processes still run.
const WATCH_AGAIN: Duration = Duration::from_millis(50);
/// The camera of every scenario.
pub(crate) const CAMERA: &str = "front";
/// Lines of a process's stderr that are shown when something went wrong.
const LINES_SHOWN: usize = 20;
/// Findings of one kind that are told in full.
const TOLD: usize = 3;

/// Why a scenario ends before its time.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A promise was broken, or something never happened.
    Failed(String),
    /// This machine cannot play it.
    Skipped(String),
    /// The person pressed Ctrl-C.
    Interrupted,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(crate) type Played<T = ()> = Result<T, Stop>;

/// What all scenarios of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) is_blind: bool,
    pub(crate) interrupted: std::sync::Arc<AtomicBool>,
    /// The run's folder in shared memory.
    pub(crate) folder: PathBuf,
}

/// A process, by its number on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server { index: u64 },
    Reader { counts_switches: bool },
    Impostor,
}

/// How a process is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// User and group.
    pub(crate) user: Option<(u32, u32)>,
    /// A command in front of the program, which starts it with the same arguments.
    pub(crate) wrapper: Vec<String>,
    /// The seconds between two pairs count as recoveries.
    pub(crate) counts_switches: bool,
}

#[derive(Debug)]
struct Process {
    name: String,
    kind: Kind,
    child: Child,
    is_running: bool,
    counters: Counters,
    paths: LedgerPaths,
    stderr: PathBuf,
}

/// The counters of a process: in its page, and in a copy once it has ended, so that a long run does not keep every page.
#[derive(Debug)]
enum Counters {
    Live(Page),
    Ended(Vec<u64>),
}

impl Counters {
    fn get(&self, word: Word) -> u64 {
        match self {
            Self::Live(page) => page.get(word),
            Self::Ended(words) => words[word as usize],
        }
    }

    fn end(&mut self) {
        if let Self::Live(page) = self {
            *self = Self::Ended(page.words());
        }
    }
}

/// A scenario's stage. Dropping it ends every process on it.
#[derive(Debug)]
pub(crate) struct Stage<'r> {
    run: &'r Run,
    folder: PathBuf,
    deadline: Instant,
    watched_at: Instant,
    pub(crate) rng: fastrand::Rng,
    pub(crate) tally: Tally,
    /// Stands beside the verdict.
    pub(crate) note: Option<String>,
    processes: Vec<Process>,
    started: usize,
    /// Of each server so far: the highest number that it promised.
    promised: Vec<u64>,
    offsets: HashSet<u64>,
    accepted: Vec<(String, u64, u64)>,
    findings: Vec<String>,
}

impl<'r> Stage<'r> {
    pub(crate) fn new(run: &'r Run, name: &'static str, time: Duration) -> Played<Self> {
        let folder = run.folder.join(name);
        make_folder(&folder)?;
        // The same scenario gets the same numbers whatever others are played beside it.
        let salt = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Self {
            run,

            folder,
            deadline: Instant::now() + time,
            watched_at: Instant::now(),
            rng: fastrand::Rng::with_seed(run.seed ^ salt),
            tally: Tally::default(),
            note: None,
            processes: Vec::new(),
            started: 0,
            promised: Vec::new(),
            offsets: HashSet::new(),
            accepted: Vec::new(),
            findings: Vec::new(),
        })
    }

    // --- Where and when

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.join("vas")
    }

    pub(crate) fn camera_directory(&self) -> PathBuf {
        self.base().join(CAMERA)
    }

    /// A new folder of the scenario's.
    pub(crate) fn subfolder(&mut self, name: &str) -> Played<PathBuf> {
        self.started += 1;
        let folder = self.folder.join(format!("{name}-{}", self.started));
        make_folder(&folder)?;
        Ok(folder)
    }

    pub(crate) fn has_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    pub(crate) fn is_blind(&self) -> bool {
        self.run.is_blind
    }

    /// One more thing was done to somebody.
    pub(crate) fn event(&mut self) {
        self.tally.events += 1;
    }

    pub(crate) fn events(&mut self, more: u64) {
        self.tally.events += more;
    }

    pub(crate) fn fail<T>(&self, why: impl Into<String>) -> Played<T> {
        Err(Stop::Failed(why.into()))
    }

    /// Waits a random time of at most this.
    pub(crate) fn wait_random(&mut self, most: Duration) -> Played {
        let micros = self.rng.u64(0..=most.as_micros() as u64);
        self.wait(Duration::from_micros(micros))
    }

    pub(crate) fn wait(&mut self, time: Duration) -> Played {
        let until = Instant::now() + time;
        loop {
            self.watch()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
    }

    /// Waits for a state, and looks after the processes meanwhile.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> Played<T> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            self.watch()?;
            if Instant::now() >= deadline {
                return self.fail(format!("never happened within {DEADLINE:?}: {what}{}", self.all_said()));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Fails when a process ended that should not have.
    fn watch(&mut self) -> Played {
        if self.run.interrupted.load(Ordering::Relaxed) {
            return Err(Stop::Interrupted);
        }
        if self.watched_at.elapsed() < WATCH_AGAIN {
            return Ok(());
        }
        self.watched_at = Instant::now();
        for process in self.processes.iter_mut().filter(|process| process.is_running) {
            if let Some(status) = process.child.try_wait()? {
                process.is_running = false;
                return Err(Stop::Failed(process.ended_badly(status)));
            }
        }
        Ok(())
    }

    fn all_said(&self) -> String {
        self.processes.iter().map(Process::said).collect()
    }

    // --- Processes

    /// What a server is told unless a scenario wants it otherwise: flat out, three slots, small pictures.
    pub(crate) fn server_spec(&self) -> ServerSpec {
        ServerSpec {
            base: self.base(),
            camera: CAMERA.into(),
            slots: 3,
            group: None,
            formats: vec![picture::SMALL],
            change_ms: 0,
            period_us: 0,
            first_number: picture::first_number(self.promised.len() as u64).get(),
            fork_each_ms: 0,
            child_lives_ms: 0,
            restart_each_ms: 0,
        }
    }

    /// Starts a server.
    pub(crate) fn server(&mut self, spec: ServerSpec) -> Played<Actor> {
        if spec.period_us > 0 {
            self.tally.period_ns = spec.period_us * 1000;
        }
        let index = self.promised.len() as u64;
        // A spec may be used again; each server has numbers of its own.
        let spec = ServerSpec { first_number: picture::first_number(index).get(), ..spec };
        self.promised.push(0);
        self.start(Kind::Server { index }, "server", Role::Server(spec), &Circumstances::default())
    }

    /// Starts a server and waits until it publishes.
    pub(crate) fn live_server(&mut self, spec: ServerSpec) -> Played<Actor> {
        let server = self.server(spec)?;
        self.until("the server publishes", |stage| (stage.get(server, Word::Published) > 0).then_some(()))?;
        Ok(server)
    }

    /// Starts a reader of the scenario's camera.
    pub(crate) fn reader(&mut self, manner: Manner) -> Played<Actor> {
        self.reader_in(manner, &Circumstances::default(), None)
    }

    /// Starts a reader in circumstances of its own, and perhaps of another base directory.
    pub(crate) fn reader_in(
        &mut self,
        manner: Manner,
        circumstances: &Circumstances,
        base: Option<PathBuf>,
    ) -> Played<Actor> {
        let spec = ReaderSpec {
            base: base.unwrap_or_else(|| self.base()),
            camera: CAMERA.into(),
            manner,
            is_blind: self.run.is_blind,
            seed: self.rng.u64(..),
        };
        let kind = Kind::Reader { counts_switches: circumstances.counts_switches };
        let name = format!("reader-{manner:?}").to_lowercase().replace([' ', '{', '}', ':'], "");
        self.start(kind, &name, Role::Reader(spec), circumstances)
    }

    /// Starts an impostor, of another user.
    pub(crate) fn impostor(&mut self, server: Actor, user: (u32, u32)) -> Played<Actor> {
        let own = self.subfolder("impostor")?;
        chown(&own, Some(user.0), Some(user.1))?;
        let spec = ImpostorSpec {
            base: self.base(),
            camera: CAMERA.into(),
            server: self.processes[server.0].child.id(),
            own,
            seed: self.rng.u64(..),
        };
        let circumstances = Circumstances { user: Some(user), ..Circumstances::default() };
        self.start(Kind::Impostor, "impostor", Role::Impostor(spec), &circumstances)
    }

    fn start(&mut self, kind: Kind, name: &str, role: Role, how: &Circumstances) -> Played<Actor> {
        self.started += 1;
        let name = format!("{name}-{}", self.started);
        let paths = LedgerPaths::new(&self.folder, &name);
        let page = paths.make()?;
        if let Some((uid, gid)) = how.user {
            for path in [&paths.page, &paths.log] {
                chown(path, Some(uid), Some(gid))?;
            }
        }
        let own = std::process::id();
        let parent = if how.wrapper.is_empty() { own } else { 0 };
        let call = Call { parent, ledger: paths.clone(), role };
        let call = serde_json::to_string(&call).expect("a call is plain data");
        // Through /proc: another user may not be let into the folder in which this program stands.
        let program = format!("/proc/{own}/exe");
        let mut command = Command::new(if how.wrapper.is_empty() { "/proc/self/exe" } else { &program });
        if !how.wrapper.is_empty() {
            command.arg(LEASH).args(&how.wrapper).arg(&program);
        }
        command.args([ROLE, &call]).process_group(0).current_dir("/");
        if let Some((uid, gid)) = how.user {
            command.uid(uid).gid(gid);
        }
        let stderr = self.folder.join(format!("{name}.stderr"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr)?);
        let child = command.spawn().map_err(|error| Stop::Failed(format!("start {name}: {error}")))?;
        self.processes.push(Process {
            name,
            kind,
            child,
            is_running: true,
            counters: Counters::Live(page),
            paths,
            stderr,
        });
        Ok(Actor(self.processes.len() - 1))
    }

    pub(crate) fn pid(&self, actor: Actor) -> u32 {
        self.processes[actor.0].child.id()
    }

    /// A counter of a process, alive or dead.
    pub(crate) fn get(&self, actor: Actor, word: Word) -> u64 {
        self.processes[actor.0].counters.get(word)
    }

    /// Waits until a reader has accepted a frame.
    pub(crate) fn until_reading(&mut self, reader: Actor) -> Played {
        self.until("the reader accepts a frame", |stage| (stage.accepted(reader) > 0).then_some(()))
    }

    pub(crate) fn accepted(&self, reader: Actor) -> u64 {
        self.get(reader, Word::AcceptedSmall) + self.get(reader, Word::AcceptedLarge)
    }

    /// Waits until a reader accepts a frame that was published after this moment.
    pub(crate) fn until_current(&mut self, server: Actor, reader: Actor) -> Played {
        let now = self.get(server, Word::Promised);
        self.until("the reader accepts a new frame", |stage| {
            (stage.get(reader, Word::Number) > now).then_some(())
        })
    }

    /// Waits until a server has published this many more frames.
    pub(crate) fn until_published(&mut self, server: Actor, more: u64) -> Played {
        let now = self.get(server, Word::Published);
        self.until("the server goes on publishing", |stage| {
            (stage.get(server, Word::Published) >= now + more).then_some(())
        })
    }

    /// Waits until a reader that was there before has a frame of another pair, and counts that as a recovery.
    pub(crate) fn until_recovered(&mut self, reader: Actor, old_generation: u64, since: Instant) -> Played {
        let at = self.until("a reader that was there before has frames again", |stage| {
            (stage.get(reader, Word::Generation) != old_generation).then(Instant::now)
        })?;
        self.tally.recovered(at - since);
        Ok(())
    }

    pub(crate) fn signal(&self, actor: Actor, signal: Signal) -> Played {
        let process = &self.processes[actor.0];
        kill_process(Pid::from_child(&process.child), signal)
            .or_else(|errno| self.fail(format!("send {signal:?} to {}: {errno}", process.name)))
    }

    /// SIGKILL, and its end. Children that it forked stay.
    pub(crate) fn kill(&mut self, actor: Actor) -> Played {
        // Not to be taken for an end of its own.
        self.processes[actor.0].is_running = false;
        self.signal(actor, Signal::KILL)?;
        let process = &mut self.processes[actor.0];
        // With a wrapper in front, what has to die is behind it.
        if matches!(process.kind, Kind::Reader { .. }) {
            let _ = kill_process_group(Pid::from_child(&process.child), Signal::KILL);
        }
        process.child.wait()?;
        self.harvest(actor)
    }

    /// Asks a process to end, waits for it, and takes its ledger.
    pub(crate) fn end(&mut self, actor: Actor) -> Played {
        let process = &mut self.processes[actor.0];
        process.is_running = false;
        if let Counters::Live(page) = &process.counters {
            page.set(Word::End, 1);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let process = &mut self.processes[actor.0];
            match process.child.try_wait()? {
                Some(status) if status.success() => return self.harvest(actor),
                Some(status) => return Err(Stop::Failed(process.ended_badly(status))),
                None if Instant::now() >= deadline => {
                    let sentence =
                        format!("{} was asked to end, and had not {DEADLINE:?} later", process.name);
                    return Err(Stop::Failed(sentence + &process.said()));
                }
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Ends all processes that still run, readers first.
    pub(crate) fn end_all(&mut self) -> Played {
        let running = |is_server: bool, stage: &Self| {
            let of_kind = |process: &Process| matches!(process.kind, Kind::Server { .. }) == is_server;
            let all = stage.processes.iter().enumerate();
            all.filter(|(_, process)| process.is_running && of_kind(process))
                .map(|(index, _)| Actor(index))
                .collect::<Vec<_>>()
        };
        for is_server in [false, true] {
            for actor in running(is_server, self) {
                self.end(actor)?;
            }
        }
        Ok(())
    }

    /// Kills whatever still runs, and takes the ledgers as far as they go.
    pub(crate) fn kill_all(&mut self) {
        for index in 0..self.processes.len() {
            let is_harvested = matches!(self.processes[index].counters, Counters::Ended(_));
            if !is_harvested {
                // The scenario has failed already; this cannot make it worse.
                let _ = self.kill(Actor(index)).or_else(|_| self.harvest(Actor(index)));
            }
        }
    }

    // --- What they saw

    /// Takes over what a process that has ended wrote down.
    fn harvest(&mut self, actor: Actor) -> Played {
        self.processes[actor.0].counters.end();
        let process = &self.processes[actor.0];
        let get = |word| process.counters.get(word);
        let tally = &mut self.tally;
        let said = format!("{}{}", process.name, process.said());
        match process.kind {
            Kind::Server { index } => self.promised[index as usize] = get(Word::Promised),
            Kind::Reader { counts_switches } => {
                tally.accepted_small += get(Word::AcceptedSmall);
                tally.accepted_large += get(Word::AcceptedLarge);
                tally.torn += get(Word::Torn);
                tally.overwritten += get(Word::Overwritten);
                tally.overruns += get(Word::Overruns);
                tally.refused += get(Word::Refused);
                if counts_switches {
                    tally.recoveries += get(Word::Switches);
                    tally.worst_recovery_ns = tally.worst_recovery_ns.max(get(Word::WorstSwitch));
                }
                let highest = get(Word::HighestNumber);
                if highest > 0 {
                    // Which pair it was in is in the log; here only whether it was ever promised.
                    self.accepted.push((process.name.clone(), 0, highest));
                }
                if get(Word::Refused) > 0 {
                    self.findings.push(format!("{said}: an open was refused: {:?}", process.notes()));
                }
            }
            Kind::Impostor => {}
        }
        for entry in process.paths.entries()? {
            match entry {
                Entry::Pair { offset } => {
                    self.offsets.insert(offset);
                }
                Entry::Accepted { offset, number } => {
                    self.accepted.push((process.name.clone(), offset, number));
                }
                Entry::Torn { frame, generation, why } if !self.run.is_blind => {
                    self.findings.push(format!(
                        "{} accepted frame {frame} of generation {generation}, which was not whole: {why}",
                        process.name
                    ));
                }
                Entry::Breach { what } => self.findings.push(what),
                Entry::Torn { .. } | Entry::Note { .. } => {}
            }
        }
        process.paths.remove();
        let _ = fs::remove_file(&process.stderr);
        Ok(())
    }

    /// Compares what readers accepted with what servers published, once all have ended.
    fn compare(&mut self) {
        for (reader, offset, number) in std::mem::take(&mut self.accepted) {
            let promised = self.promised.get(picture::server_of(number) as usize).copied().unwrap_or(0);
            if number > promised {
                let finding =
                    format!("{reader} accepted picture {number}; its server had promised up to {promised}");
                self.findings.push(finding);
            } else if offset != 0 && !self.offsets.contains(&offset) && number != promised {
                // (A server that is killed at the first frame of a pair has no time to write the pair down.)
                self.findings.push(format!(
                    "{reader} accepted picture {number} as frame {}, which no server published",
                    number.wrapping_add(offset)
                ));
            }
        }
    }

    /// The verdict on what is known so far. A scenario that was played to its end has to have proved something.
    pub(crate) fn conclude(&mut self, is_complete: bool) -> Played {
        if !self.run.is_blind {
            self.compare();
        }
        if !self.run.is_blind && self.tally.torn > 0 && self.findings.is_empty() {
            self.findings.push(format!("{} torn frames were accepted", self.tally.torn));
        }
        if is_complete && self.tally.accepted() == 0 {
            self.findings.push("no frame was accepted, so nothing was proved".into());
        }
        match &self.findings[..] {
            [] => Ok(()),
            findings => {
                let mut told = findings[..findings.len().min(TOLD)].join("; ");
                if findings.len() > TOLD {
                    told += &format!("; and {} more", findings.len() - TOLD);
                }
                Err(Stop::Failed(told))
            }
        }
    }

    /// Counts a frame that this process itself looked at.
    pub(crate) fn saw(&mut self, frame: &Frame<'_>, number: u64) {
        if picture::Format::is_large(frame.picture().width()) {
            self.tally.accepted_large += 1;
        } else {
            self.tally.accepted_small += 1;
        }
        self.accepted.push(("the torture itself".into(), picture::offset(frame, number), number));
    }

    pub(crate) fn torn(&mut self, what: String) {
        self.tally.torn += 1;
        self.findings.push(what);
    }

    /// Opens the camera as a consumer does that comes just now.
    pub(crate) fn open(&self) -> Opened {
        open(&self.base(), &CameraId::new(CAMERA).expect("a camera id"), &Options::new())
    }

    /// Opens the camera, waited for.
    pub(crate) fn open_ready(&mut self) -> Played<Reader> {
        self.until("the camera can be opened", |stage| match stage.open() {
            Opened::Ready(reader) => Some(reader),
            Opened::NotYet(_) | Opened::Refused(_) => None,
        })
    }

    /// Waits until a consumer that comes just now gets a current frame of a pair that is not this one.
    pub(crate) fn until_served(&mut self, old_generation: u64) -> Played {
        let mut reader: Option<Reader> = None;
        self.until("somebody who comes just now gets frames", |stage| {
            reader = reader.take().filter(|reader| {
                !reader.observe().state.is_over()
                    && reader.is_still_named()
                    && reader.header().generation() != old_generation
            });
            if reader.is_none() {
                if let Opened::Ready(opened) = stage.open() {
                    reader = Some(opened);
                }
            }
            let reader = reader.as_ref().filter(|reader| reader.header().generation() != old_generation)?;
            matches!(reader.latest(None), Found::Frame(_)).then_some(())
        })
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Also what it forked. A process that was reaped has left its number to nobody while one of its group lives, and
            // one that is not reaped keeps it.
            if process.is_running || process.child.try_wait().is_ok_and(|status| status.is_none()) {
                let _ = kill_process_group(Pid::from_child(&process.child), Signal::KILL);
                let _ = process.child.wait();
            }
        }
        // A folder of a run is removed with the run; this keeps a long run's memory small.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Process {
    fn ended_badly(&self, status: ExitStatus) -> String {
        format!("{} ended by itself: {status}{}", self.name, self.said())
    }

    /// The end of what it wrote to stderr.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.stderr).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LINES_SHOWN);
        lines[from..].iter().map(|line| format!("\n    | {}: {line}", self.name)).collect()
    }

    fn notes(&self) -> Vec<String> {
        let entries = self.paths.entries().unwrap_or_default();
        let notes = entries.into_iter().filter_map(|entry| match entry {
            Entry::Note { what } => Some(what),
            _ => None,
        });
        notes.collect()
    }
}

/// Others than this user have to get through: some readers are other users.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}
