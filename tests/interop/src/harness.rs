//! Shows every conformance file to a reader under test, as real files in shared memory, and compares what it says.
//!
//! The reader is a program, a *probe*: `PROBE BASE CAMERA` takes commands from stdin, one a line, and answers each with one
//! line. `vas-shm-proto/conformance/README.md` has the commands and their answers.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::CapabilitySet;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vas_shm_proto::{DATA_NAME, META_NAME};

use crate::held::{self, Held};
use crate::lease::Lease;
use crate::schema::{Case, Directory, File, Kind, Latest, Open, Step, Store};
use crate::standing::Standing;

/// How long a reader may think about one answer. Generous: an interpreter on a busy machine has to start within it.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// How long a reader may take to give back what it has closed: a garbage collector may have to run.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);
/// Where `data_inode` stands in `frame.meta`.
const DATA_INODE: std::ops::Range<usize> = 88..96;
/// How a probe ends that was started with something that is no camera id.
const USAGE: i32 = 2;
/// Lines of a probe's stderr that are shown.
const STDERR_LINES: usize = 5;

/// One vector, as loaded.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The JSON.
    pub case: Case,
    /// The stored bytes of `frame.meta`, empty if none are stored.
    pub meta: Vec<u8>,
    /// The stored bytes of `frame.data`, empty if none are stored.
    pub data: Vec<u8>,
}

/// A vector for which a reader did not say what it has to say, and how not.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The vector's name.
    pub name: String,
    /// One sentence for each thing that was wrong.
    pub mismatches: Vec<String>,
}

/// What came of showing vectors to a reader.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Names of those that it read rightly.
    pub passed: Vec<String>,
    /// Those that it did not.
    pub failed: Vec<Failed>,
    /// Those that could not be staged here, and why not.
    pub skipped: Vec<(String, String)>,
}

impl Report {
    /// Vectors in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.skipped.len()
    }

    /// Everything that went wrong, a line each, then the counts.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for failed in &self.failed {
            for mismatch in &failed.mismatches {
                text += &format!("FAILED {}: {mismatch}\n", failed.name);
            }
        }
        for (name, why) in &self.skipped {
            text += &format!("SKIPPED {name}: {why}\n");
        }
        let (passed, failed, skipped) = (self.passed.len(), self.failed.len(), self.skipped.len());
        text + &format!("{passed} vectors passed, {failed} failed, {skipped} skipped\n")
    }
}

/// The committed conformance files.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vas-shm-proto/conformance")
}

/// Loads every vector of a directory of conformance files, sorted by name.
///
/// # Errors
/// A file cannot be read or is no vector; the sentence names it.
pub fn load(directory: &Path) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for folder in ["accept", "refuse", "wait"] {
        let folder = directory.join("v1").join(folder);
        let entries = fs::read_dir(&folder).map_err(|error| format!("list {}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("list {}: {error}", folder.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                vectors.push(load_one(&path)?);
            }
        }
    }
    vectors.sort_by(|a, b| a.case.name.cmp(&b.case.name));
    if vectors.is_empty() {
        return Err(format!("there is no vector below {}", directory.display()));
    }
    Ok(vectors)
}

fn load_one(json: &Path) -> Result<Vector, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("read {}: {error}", path.display()));
    let case: Case = serde_json::from_slice(&read(json)?)
        .map_err(|error| format!("{}: this is no vector: {error}", json.display()))?;
    if !json.with_extension("").ends_with(&case.name) {
        return Err(format!("{}: the name in it is {}", json.display(), case.name));
    }
    let stored = |file: &File, extension| {
        if file.kind.has_bytes() { read(&json.with_extension(extension)) } else { Ok(Vec::new()) }
    };
    Ok(Vector { meta: stored(&case.meta, "meta")?, data: stored(&case.data, "data")?, case })
}

/// Shows every committed vector to the reader `program`, which is a program and its first arguments.
///
/// # Panics
/// If the conformance files cannot be loaded.
#[must_use]
pub fn run_all(program: &[OsString]) -> Report {
    let vectors = load(&directory()).unwrap_or_else(|error| panic!("{error}"));
    run(&vectors, &vectors, program)
}

/// Shows the `chosen` vectors to the reader `program`. A step may put any of `all` in place.
#[must_use]
pub fn run(all: &[Vector], chosen: &[Vector], program: &[OsString]) -> Report {
    let mut report = Report::default();
    for vector in chosen {
        let name = vector.case.name.clone();
        match run_one(vector, all, program) {
            Ok(mismatches) if mismatches.is_empty() => report.passed.push(name),
            Ok(mismatches) => report.failed.push(Failed { name, mismatches }),
            Err(why) => report.skipped.push((name, why)),
        }
    }
    report
}

/// Shows one vector: what was wrong, a sentence each. `Err`: it cannot be staged on this machine.
fn run_one(vector: &Vector, all: &[Vector], program: &[OsString]) -> Result<Vec<String>, String> {
    let mut stage = match Stage::make(vector, all) {
        Ok(stage) => stage,
        Err(NoStage::NotHere(why)) => return Err(why),
        Err(NoStage::Failed(sentence)) => return Ok(vec![sentence]),
    };
    let needs_privilege_gone =
        [&vector.case.meta, &vector.case.data].iter().any(|f| f.kind == Kind::Unreadable);
    let mut probe = match Probe::start(program, &stage, needs_privilege_gone)? {
        Ok(probe) => probe,
        Err(sentence) => return Ok(vec![sentence]),
    };
    let mut mismatches = Vec::new();
    if vector.case.open == Open::NoCameraId {
        probe.end(&mut mismatches, USAGE);
        stage.compare(&mut mismatches);
        return Ok(mismatches);
    }
    if let Err(Broken(sentence)) = converse(vector, &mut stage, &mut probe, &mut mismatches) {
        mismatches.push(sentence);
        probe.kill();
    }
    probe.end(&mut mismatches, 0);
    stage.compare(&mut mismatches);
    Ok(mismatches)
}

/// Why the files of a vector do not stand.
enum NoStage {
    /// This machine cannot have them.
    NotHere(String),
    /// Something went wrong that has nothing to do with the vector.
    Failed(String),
}

/// The files of a vector in a fresh directory, which goes when this goes.
struct Stage<'v> {
    base: TempDir,
    /// Where the reader writes planes to, which is none of its business otherwise.
    planes: TempDir,
    camera: &'v str,
    all: &'v [Vector],
    inode: u64,
    planes_asked: usize,
    lease: Option<Lease>,
    /// What this harness itself put into `base`.
    standing: Standing,
}

impl<'v> Stage<'v> {
    fn make(vector: &'v Vector, all: &'v [Vector]) -> Result<Self, NoStage> {
        // As /proc will name it.
        let shm = vas_test_support::shared_memory();
        let shm = shm.canonicalize().unwrap_or(shm);
        let directory = |prefix| {
            let made = tempfile::Builder::new().prefix(prefix).tempdir_in(&shm);
            made.map_err(|error| NoStage::Failed(format!("make a directory in {}: {error}", shm.display())))
        };
        let mut stage = Self {
            base: directory("vas-vector-")?,
            planes: directory("vas-planes-")?,
            camera: &vector.case.camera,
            all,
            inode: 0,
            planes_asked: 0,
            lease: None,
            standing: Standing::default(),
        };
        let failed = |error| NoStage::Failed(format!("stage the files in {}: {error}", shm.display()));
        if vector.case.directory == Directory::Present {
            stage.fill(vector).map_err(failed)?;
        }
        if vector.case.meta.kind == Kind::Leased {
            let meta = fs::File::options().read(true).write(true).open(stage.camera().join(META_NAME));
            stage.lease = Some(Lease::take(meta.map_err(failed)?).map_err(|error| {
                NoStage::NotHere(format!("the kernel gives no lease on a file in {}: {error}", shm.display()))
            })?);
        }
        stage.standing = stage.look().map_err(failed)?;
        Ok(stage)
    }

    fn look(&self) -> std::io::Result<Standing> {
        Standing::look(self.base.path(), self.lease.as_ref().map(Lease::file))
    }

    /// Notes what stands there otherwise than this harness put it.
    fn compare(&self, wrong: &mut Vec<String>) {
        match self.look() {
            Ok(now) => wrong.extend(now.changes_since(&self.standing)),
            Err(error) => wrong.push(format!("look at {}: {error}", self.base.path().display())),
        }
    }

    fn camera(&self) -> PathBuf {
        self.base.path().join(self.camera)
    }

    fn fill(&mut self, vector: &Vector) -> std::io::Result<()> {
        fs::create_dir(self.camera())?;
        self.inode = self.build(vector, DATA_NAME, META_NAME)?;
        Ok(())
    }

    /// Puts the two files under these names of the camera's directory, and gives the inode of the data.
    fn build(&self, vector: &Vector, data_name: &str, meta_name: &str) -> std::io::Result<u64> {
        let data = self.put(&vector.case.data, data_name, &vector.data)?;
        // Where there is no data file there is no inode either; the header keeps the stored one.
        let inode = data.unwrap_or(vector.case.data_inode.0);
        let mut meta = vector.meta.clone();
        if let Some(bytes) = meta.get_mut(DATA_INODE) {
            bytes.copy_from_slice(&(inode ^ vector.case.data_inode_xor.0).to_le_bytes());
        }
        self.put(&vector.case.meta, meta_name, &meta)?;
        Ok(inode)
    }

    /// Puts one file in place; gives its inode if it has bytes.
    fn put(&self, file: &File, name: &str, bytes: &[u8]) -> std::io::Result<Option<u64>> {
        let path = self.camera().join(name);
        let regular = |path: &Path, mode| {
            let made = fs::File::create_new(path)?;
            made.write_all_at(bytes, 0)?;
            made.set_len(file.size.map_or(bytes.len() as u64, u64::from))?;
            made.set_permissions(fs::Permissions::from_mode(mode))?;
            std::io::Result::Ok(Some(made.metadata()?.ino()))
        };
        match file.kind {
            Kind::Missing => Ok(None),
            Kind::Regular | Kind::Leased => regular(&path, 0o640),
            Kind::Unreadable => regular(&path, 0o000),
            Kind::Directory => fs::create_dir(&path).map(|()| None),
            Kind::Fifo => {
                let mode = rustix::fs::Mode::from_raw_mode(0o640);
                rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)?;
                Ok(None)
            }
            Kind::Symlink => {
                let target = self.base.path().join(format!("{name}.target"));
                let inode = regular(&target, 0o640)?;
                symlink(&target, &path)?;
                Ok(inode)
            }
        }
    }

    fn vector(&self, name: &str) -> Result<&'v Vector, String> {
        let vector = self.all.iter().find(|vector| vector.case.name == *name);
        vector.ok_or_else(|| format!("there is no vector {name}"))
    }

    /// What the writer does in a step, and how the files stand then.
    fn act(&mut self, step: &Step) -> std::io::Result<()> {
        self.carry_out(step)?;
        self.standing = self.look()?;
        Ok(())
    }

    fn carry_out(&mut self, step: &Step) -> std::io::Result<()> {
        let open = |name| fs::File::options().write(true).open(self.camera().join(name));
        match step {
            Step::Store { store: Store { offset, u32, u64 } } => {
                let meta = open(META_NAME)?;
                if let Some(word) = u32 {
                    meta.write_all_at(&word.to_le_bytes(), u64::from(*offset))?;
                }
                if let Some(word) = u64 {
                    meta.write_all_at(&word.0.to_le_bytes(), u64::from(*offset))?;
                }
                Ok(())
            }
            Step::Fill { fill } => {
                open(DATA_NAME)?.write_all_at(&vec![fill.byte; fill.bytes as usize], u64::from(fill.offset))
            }
            Step::RenamePair { rename_pair } => {
                let other = self.vector(rename_pair).map_err(std::io::Error::other)?;
                self.inode = self.build(other, ".frame.data.new", ".frame.meta.new")?;
                for name in [DATA_NAME, META_NAME] {
                    fs::rename(self.camera().join(format!(".{name}.new")), self.camera().join(name))?;
                }
                Ok(())
            }
            Step::Unlink { unlink } => fs::remove_file(self.camera().join(format!("frame.{unlink}"))),
            Step::Planes { .. } | Step::Header { .. } | Step::Do { .. } => Ok(()),
        }
    }
}

/// The conversation cannot go on, and why not.
struct Broken(String);

fn converse(
    vector: &Vector,
    stage: &mut Stage<'_>,
    probe: &mut Probe,
    wrong: &mut Vec<String>,
) -> Result<(), Broken> {
    let case = &vector.case;
    if !expect(probe, wrong, "open", &case.open.line())? {
        return Ok(());
    }
    if case.open != Open::Ready {
        probe.has_given_back(stage, wrong, "an open that was not ready");
        return Ok(());
    }
    if let Some(mut header) = case.header.clone() {
        header.data_inode.0 = stage.inode;
        expect(probe, wrong, "header", &header.line())?;
    }
    match &case.latest {
        Some(Latest::Frame(id)) => {
            let frame = case.frames.iter().find(|frame| frame.id == *id);
            let frame =
                frame.ok_or_else(|| Broken(format!("the vector has no frame {} to be the newest", id.0)))?;
            if expect(probe, wrong, "latest", &frame.line())? {
                planes(probe, stage, wrong, &frame.luma_sha256, &frame.chroma_sha256)?;
                expect(probe, wrong, "intact", "yes")?;
            }
            // It was seen already.
            expect(probe, wrong, "latest", "nothing")?;
        }
        Some(Latest::Nothing) => {
            expect(probe, wrong, "latest", "nothing")?;
        }
        None => {}
    }
    for frame in &case.frames {
        if expect(probe, wrong, &format!("at {}", frame.id.0), &frame.line())? {
            planes(probe, stage, wrong, &frame.luma_sha256, &frame.chroma_sha256)?;
            expect(probe, wrong, "intact", "yes")?;
        }
    }
    probe.holds_as_a_reader(stage, wrong);
    if expect(probe, wrong, "close", "ok")? {
        probe.has_given_back(stage, wrong, "`close`");
    }
    if case.steps.is_empty() {
        return Ok(());
    }
    expect(probe, wrong, "open", "ready")?;
    for (at, step) in case.steps.iter().enumerate() {
        let before = wrong.len();
        match step {
            Step::Do { command, expect: answer } => {
                let is_right = expect(probe, wrong, command, answer)?;
                if is_right && (command == "close" || (command == "open" && answer != "ready")) {
                    probe.has_given_back(stage, wrong, &format!("`{command}`, answered with `{answer}`,"));
                }
            }
            Step::Planes { luma_sha256, chroma_sha256 } => {
                planes(probe, stage, wrong, luma_sha256, chroma_sha256)?;
            }
            Step::Header { header_of } => {
                let other = &stage.vector(header_of).map_err(Broken)?.case;
                let header = other.header.clone();
                let mut header = header.ok_or_else(|| Broken(format!("{header_of} has no header")))?;
                header.data_inode.0 = stage.inode;
                expect(probe, wrong, "header", &header.line())?;
            }
            step => {
                stage.compare(wrong);
                stage.act(step).map_err(|error| Broken(format!("the writer's step {step:?}: {error}")))?;
            }
        }
        for sentence in &mut wrong[before..] {
            *sentence = format!("step {}: {sentence}", at + 1);
        }
    }
    Ok(())
}

/// Asks, and notes an answer that is not the expected one.
fn expect(probe: &mut Probe, wrong: &mut Vec<String>, command: &str, answer: &str) -> Result<bool, Broken> {
    let found = probe.ask(command)?;
    if found != answer {
        wrong.push(format!("`{command}` has to be answered with `{answer}`, the reader says `{found}`"));
    }
    Ok(found == answer)
}

/// Has the held frame written to files, and compares the digests of its planes.
fn planes(
    probe: &mut Probe,
    stage: &mut Stage<'_>,
    wrong: &mut Vec<String>,
    luma_sha256: &str,
    chroma_sha256: &str,
) -> Result<(), Broken> {
    stage.planes_asked += 1;
    let prefix = stage.planes.path().join(stage.planes_asked.to_string());
    let prefix = prefix.display().to_string();
    if !expect(probe, wrong, &format!("planes {prefix}"), "ok")? {
        return Ok(());
    }
    for (plane, digest) in [("luma", luma_sha256), ("chroma", chroma_sha256)] {
        match fs::read(format!("{prefix}.{plane}")) {
            Ok(bytes) if sha256(&bytes) == digest => {}
            Ok(bytes) => wrong.push(format!(
                "the {plane} plane has SHA-256 {digest}, the reader's {} bytes have {}",
                bytes.len(),
                sha256(&bytes)
            )),
            Err(error) => {
                wrong.push(format!("`planes` was answered with `ok`, but {prefix}.{plane}: {error}"));
            }
        }
    }
    Ok(())
}

/// The SHA-256 of some bytes, in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reader under test, running. It does not outlive this.
struct Probe {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    camera: String,
}

impl Probe {
    /// The outer error is this machine's, the inner one the reader's.
    fn start(
        program: &[OsString],
        stage: &Stage<'_>,
        unprivileged: bool,
    ) -> Result<Result<Self, String>, String> {
        let Some((name, args)) = program.split_first() else {
            return Ok(Err("no program was given".to_owned()));
        };
        let mut command = Command::new(name);
        command.args(args).arg(stage.base.path()).arg(stage.camera);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = if unprivileged { spawn_unprivileged(command)? } else { spawn(command) };
        let mut child = match child {
            Ok(child) => child,
            Err(sentence) => return Ok(Err(sentence)),
        };
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What a probe says besides its answers only helps to understand them.
            let _ = stderr.read_to_end(&mut bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<_> = text.trim_end().lines().collect();
            lines[lines.len().saturating_sub(STDERR_LINES)..].join(" | ")
        });
        let stdin = child.stdin.take();
        Ok(Ok(Self { child, stdin, answers, stderr: Some(stderr), camera: stage.camera.to_owned() }))
    }

    fn ask(&mut self, command: &str) -> Result<String, Broken> {
        if let Ok(extra) = self.answers.try_recv() {
            return Err(Broken(format!("before `{command}` was asked the reader said `{extra}`")));
        }
        let stdin = self.stdin.as_mut().expect("stdin is open until the end");
        // A pipe that is closed shows in the answer that does not come.
        let _ = stdin.write_all(format!("{command}\n").as_bytes()).and_then(|()| stdin.flush());
        match self.answers.recv_timeout(ANSWER_LIMIT) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                Err(Broken(format!("no answer to `{command}` within {} s", ANSWER_LIMIT.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Broken(format!("the reader ended without an answer to `{command}`")))
            }
        }
    }

    /// What the reader holds of the files at this moment. One that has ended holds nothing, which shows elsewhere.
    fn held(&mut self, stage: &Stage<'_>, wrong: &mut Vec<String>) -> Vec<Held> {
        match held::by(self.child.id(), stage.base.path()) {
            Ok(held) => held,
            Err(_) if matches!(self.wait(Duration::from_millis(500)), Ok(Some(_))) => Vec::new(),
            Err(error) => {
                wrong.push(format!("look at what the reader has open: {error}"));
                Vec::new()
            }
        }
    }

    /// With a pair open: read-only, shared, and for no child to inherit.
    fn holds_as_a_reader(&mut self, stage: &Stage<'_>, wrong: &mut Vec<String>) {
        for held in self.held(stage, wrong) {
            wrong.extend(held.faults.iter().map(|fault| format!("the reader has {}: {fault}", held.what)));
        }
    }

    /// With nothing open: no mapping and no descriptor of anything below the base.
    fn has_given_back(&mut self, stage: &Stage<'_>, wrong: &mut Vec<String>, after: &str) {
        let deadline = Instant::now() + RELEASE_LIMIT;
        loop {
            let held = self.held(stage, wrong);
            if held.is_empty() {
                return;
            }
            if Instant::now() >= deadline {
                let held: Vec<_> = held.into_iter().map(|held| held.what).collect();
                wrong.push(format!("after {after} the reader still has {} (LIFE-6)", held.join(" and ")));
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self) {
        // One that has ended already keeps its own exit status.
        if !matches!(self.wait(Duration::from_millis(500)), Ok(Some(_))) {
            let _ = self.child.kill();
        }
    }

    fn wait(&mut self, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the conversation: the reader has to end with this exit code and without another word.
    fn end(mut self, wrong: &mut Vec<String>, exit_code: i32) {
        self.stdin = None;
        let before = wrong.len();
        loop {
            match self.answers.recv_timeout(ANSWER_LIMIT) {
                Ok(extra) => wrong.push(format!("the reader said `{extra}`, which nobody asked for")),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    wrong.push("the reader does not end when its input ends".to_owned());
                    let _ = self.child.kill();
                    break;
                }
            }
        }
        match self.wait(ANSWER_LIMIT) {
            Ok(Some(status)) if status.code() == Some(exit_code) => {}
            Ok(Some(status)) if exit_code == 0 => wrong.push(format!("the reader ended with {status}")),
            Ok(Some(status)) => {
                wrong.push(format!(
                    "the reader has to end with exit code {exit_code}, as {:?} is no camera id, and ended with {status}",
                    self.camera
                ));
            }
            Ok(None) => wrong.push("the reader does not end when its input ends".to_owned()),
            Err(error) => wrong.push(format!("wait for the reader: {error}")),
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if (before < wrong.len() || before > 0) && !stderr.is_empty() {
            wrong.push(format!("its last words were: {stderr}"));
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command) -> Result<Child, String> {
    command.spawn().map_err(|error| format!("start {}: {error}", Path::new(command.get_program()).display()))
}

/// Starts a probe that a file's mode holds back, even if this process is root: the privileges to pass by modes are taken from
/// a thread of its own, from which the probe inherits the lack of them.
fn spawn_unprivileged(command: Command) -> Result<Result<Child, String>, String> {
    let thread = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let passes_by_modes = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            let lost = |error| format!("root cannot give up its privilege to open every file: {error}");
            for one in passes_by_modes.iter() {
                rustix::thread::remove_capability_from_bounding_set(one).map_err(lost)?;
            }
            let mut sets = rustix::thread::capabilities(None).map_err(lost)?;
            sets.inheritable.remove(passes_by_modes);
            rustix::thread::set_capabilities(None, sets).map_err(lost)?;
        }
        Ok(spawn(command))
    });
    thread.join().map_err(|_| "the thread that starts the reader panicked".to_owned())?
}
