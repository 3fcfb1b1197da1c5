//! What a reader in the group, and a stranger outside it, can do to a server: nothing.

use rustix::fs::{Gid, Uid, chown};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Instant;
use vas_e2e::process::Process;
use vas_e2e::scene::Scene;
use vas_e2e::until;

/// A group that may read, and two users that nobody else is.
const READERS: u32 = 60010;
const READER: u32 = 60011;
const STRANGER: u32 = 60012;

const OK: i32 = 0;
const ACCES: i32 = Errno::ACCESS.raw_os_error();
const PERM: i32 = Errno::PERM.raw_os_error();
const BADF: i32 = Errno::BADF.raw_os_error();
const INVAL: i32 = Errno::INVAL.raw_os_error();

/// What a reader of the group and a stranger are answered. Strangers do not get past the base directory.
const BY_NAME: &[(&str, i32, i32)] = &[
    ("open(base, O_RDONLY)", OK, ACCES),
    ("open(camera, O_RDONLY)", OK, ACCES),
    ("open(frame.meta, O_RDONLY)", OK, ACCES),
    ("open(frame.data, O_RDONLY)", OK, ACCES),
    ("open(frame.meta, O_RDWR)", ACCES, ACCES),
    ("open(frame.data, O_RDWR)", ACCES, ACCES),
    ("open(frame.meta, O_WRONLY|O_TRUNC)", ACCES, ACCES),
    ("open(frame.data, O_RDONLY|O_TRUNC)", ACCES, ACCES),
    ("open(frame.data, O_WRONLY|O_APPEND)", ACCES, ACCES),
    ("open(.front.lock, O_RDONLY)", ACCES, ACCES),
    ("open(.front.lock, O_RDWR)", ACCES, ACCES),
    ("open(camera/new, O_CREAT)", ACCES, ACCES),
    ("open(camera/.frame.meta.new, O_CREAT)", ACCES, ACCES),
    ("open(base/.yard.lock, O_CREAT)", ACCES, ACCES),
    ("open(camera, O_TMPFILE)", ACCES, ACCES),
    ("truncate(frame.data, 0)", ACCES, ACCES),
    ("truncate(frame.meta, 0)", ACCES, ACCES),
    ("mkdir(base/yard)", ACCES, ACCES),
    ("symlink(camera/new)", ACCES, ACCES),
    ("unlink(frame.meta)", ACCES, ACCES),
    ("unlink(.front.lock)", ACCES, ACCES),
    ("rmdir(camera)", ACCES, ACCES),
    ("rename(frame.meta, frame.data)", ACCES, ACCES),
    ("rename(frame.data, own/data)", ACCES, ACCES),
    ("rename(camera, own/camera)", ACCES, ACCES),
    ("rename(base, own/base)", ACCES, ACCES),
    ("rename(own/forged, frame.meta)", ACCES, ACCES),
    ("link(own/forged, camera/new)", ACCES, ACCES),
    ("chmod(frame.meta, 0666)", PERM, ACCES),
    ("chmod(camera, 0777)", PERM, ACCES),
    ("chown(frame.data, self)", PERM, ACCES),
    ("utimensat(frame.meta)", PERM, ACCES),
    ("setxattr(frame.meta, trusted.)", PERM, ACCES),
    ("kill(server, SIGSTOP)", PERM, PERM),
    ("kill(server, SIGURG)", PERM, PERM),
    ("open(/proc/server/mem, O_RDWR)", ACCES, ACCES),
];

/// What a reader of the group is answered through descriptors that he has by right, of either file.
const BY_DESCRIPTOR: &[(&str, i32)] = &[
    ("ftruncate(0)", INVAL),
    ("fallocate(1 GiB)", BADF),
    ("fallocate(FALLOC_FL_PUNCH_HOLE)", BADF),
    ("pwrite()", BADF),
    ("copy_file_range() into it", BADF),
    ("fchmod(0666)", PERM),
    ("fchown(self)", PERM),
    ("open(/proc/self/fd/N, O_RDONLY)", OK),
    ("open(/proc/self/fd/N, O_RDWR)", ACCES),
    ("mmap(PROT_WRITE, MAP_SHARED)", ACCES),
    ("mprotect(PROT_WRITE) of a mapping", ACCES),
    ("madvise(MADV_REMOVE) of a mapping", ACCES),
    // His own copy of a page, which nobody else sees.
    ("mmap(PROT_WRITE, MAP_PRIVATE), a copy", OK),
    ("fcntl(F_ADD_SEALS, F_SEAL_WRITE)", PERM),
    ("fcntl(F_SETLEASE, F_RDLCK)", ACCES),
    ("fcntl(F_SETLEASE, F_WRLCK)", ACCES),
    ("fcntl(F_SETLK, F_WRLCK)", BADF),
    ("fcntl(F_OFD_SETLK, F_WRLCK)", BADF),
    // Allowed, and held while frames are counted.
    ("fcntl(F_OFD_SETLK, F_RDLCK), held", OK),
    ("flock(LOCK_EX), held", OK),
];

/// As the last two: allowed, harmless, and held.
const HELD: &[&str] = &[
    "inotify_add_watch(vas/front/frame.meta), held",
    "inotify_add_watch(vas/front/frame.data), held",
    "inotify_add_watch(vas/front), held",
    "inotify_add_watch(vas), held",
    "flock(LOCK_EX) of base, held",
    "flock(LOCK_EX) of camera, held",
];

/// Frames that a server has to publish beside a reader that holds on to everything it could get.
const FRAMES: u64 = 1000;

/// A server that publishes flat out for a group of readers.
struct Running {
    scene: Scene,
    writer: Process,
    meta: File,
    /// The bytes of all constants, and what every name is like.
    constants: Vec<u8>,
    names: Vec<String>,
}

impl Running {
    fn start() -> Self {
        let scene = Scene::new();
        let base = scene.base();
        fs::create_dir(&base).expect("make the base directory");
        let group = |gid| Some(Gid::from_raw(gid));
        chown(&base, None, group(READERS)).expect("give it to the group");
        fs::set_permissions(&base, fs::Permissions::from_mode(0o2750)).expect("its mode");
        fs::set_permissions(scene.shared_memory(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vas-e2e-writer"));
        command.arg(&base).args(["front", "3", "steady"]);
        let writer = Process::start("vas-e2e-writer", &mut command);
        let meta = until("the first frame", || {
            let meta = File::open(base.join("front/frame.meta")).ok()?;
            (word(&meta, 8) > 0).then_some(meta)
        });
        let (constants, names) = (constants(&meta), names(&scene));
        Self { scene, writer, meta, constants, names }
    }

    /// Starts the intruder; gives it and what it was answered.
    fn intruder(&self, uid: u32, gid: u32) -> (Process, BTreeMap<String, i32>) {
        let own = self.scene.shared_memory().join("own");
        let _ = fs::remove_dir_all(&own);
        fs::create_dir(&own).expect("make the intruder's directory");
        chown(&own, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).expect("give it away");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vas-e2e-intruder"));
        let numbers = [uid, gid, self.writer.id()].map(|number| number.to_string());
        command.arg(self.scene.shared_memory()).args(numbers);
        let process = Process::start("vas-e2e-intruder", &mut command);
        let _ = process.stdout.line_with("that is all");
        let said = process.stdout.so_far();
        let expected = [
            format!("Uid: {uid} {uid} {uid} {uid}"),
            format!("Gid: {gid} {gid} {gid} {gid}"),
            "Groups:".into(),
            "CapEff: 0000000000000000".into(),
        ];
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..4], expected, "the intruder is nobody else");
        let answers = lines.iter().filter_map(|line| line.split_once('\t'));
        let answers = answers.map(|(call, errno)| (call.to_owned(), errno.parse().expect("a number")));
        (process, answers.collect())
    }

    /// The server publishes on and its heart beats; frames a second meanwhile.
    fn publishes_on(&self) -> f64 {
        let (from, heart, since) = (word(&self.meta, 8), word(&self.meta, 104), Instant::now());
        until("frames and heartbeats", || {
            let enough =
                word(&self.meta, 8) >= from + FRAMES && word(&self.meta, 104) > heart + 1_000_000_000;
            enough.then_some(())
        });
        assert_eq!(word(&self.meta, 56) as u32, 1, "its state is live");
        (word(&self.meta, 8) - from) as f64 / since.elapsed().as_secs_f64()
    }

    /// No byte of a constant, no mode, no owner, no name and no size is other than at the start.
    fn is_as_it_was(&self) {
        assert_eq!(constants(&self.meta), self.constants);
        assert_eq!(names(&self.scene), self.names);
    }

    /// The server ends by itself and well: a signal would show here.
    fn stop(mut self) {
        self.writer.close();
        let ended = self.writer.wait();
        assert_eq!(ended.code(), Some(0), "{:?}: {}", ended.status, ended.stderr);
        assert!(self.scene.exported_files().is_empty());
    }
}

fn word(meta: &File, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    meta.read_exact_at(&mut bytes, offset).expect("a word of the header");
    u64::from_le_bytes(bytes)
}

/// The whole page of frame.meta with the words that change taken as zero.
fn constants(meta: &File) -> Vec<u8> {
    let mut page = vec![0; 4096];
    meta.read_exact_at(&mut page, 0).expect("the header");
    let records = (0..3).flat_map(|slot| [256, 264, 280].map(|offset| offset + 64 * slot));
    for offset in [8, 16, 56, 104, 112].into_iter().chain(records) {
        page[offset..offset + 8].fill(0);
    }
    page
}

/// Every name of the base directory with all that a hostile call could have changed.
fn names(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![scene.base()];
    while let Some(path) = folders.pop() {
        let metadata = fs::symlink_metadata(&path).expect("look at a name");
        found.push(format!(
            "{} inode {} mode {:o} uid {} gid {} size {} blocks {}",
            path.display(),
            metadata.ino(),
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            if metadata.is_dir() { 0 } else { metadata.len() },
            metadata.blocks(),
        ));
        if metadata.is_dir() {
            folders.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("a name").path()));
        }
    }
    found.sort();
    found
}

fn name_of(errno: i32) -> String {
    match errno {
        OK => "allowed".into(),
        ACCES => "EACCES".into(),
        PERM => "EPERM".into(),
        BADF => "EBADF".into(),
        INVAL => "EINVAL".into(),
        other => other.to_string(),
    }
}

/// Takes an answer out of those that were given and compares it.
fn compare(answers: &mut BTreeMap<String, i32>, call: &str, expected: &[i32], wrong: &mut Vec<String>) {
    match answers.remove(call) {
        Some(errno) => {
            println!("  {call}: {}", name_of(errno));
            if !expected.contains(&errno) {
                wrong.push(format!("{call}: {}, expected was {expected:?}", name_of(errno)));
            }
        }
        None => wrong.push(format!("{call}: was not tried")),
    }
}

/// Answers that depend on how this kernel is set up.
fn compare_the_rest(answers: &mut BTreeMap<String, i32>, is_reader: bool, wrong: &mut Vec<String>) {
    // A reader may give another name to what he may read, if the kernel is told not to mind. It is the same file.
    let protected =
        fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.trim() != "0");
    let link = match (is_reader, protected) {
        (false, _) => ACCES,
        (true, true) => PERM,
        (true, false) => OK,
    };
    compare(answers, "link(frame.data, own/data)", &[link], wrong);
    // Attributes of users came to tmpfs with Linux 6.6.
    let unknown = Errno::OPNOTSUPP.raw_os_error();
    compare(answers, "setxattr(frame.meta, user.)", &[ACCES, unknown], wrong);
}

// Proves TRUST-4, TRUST-1, FILE-5 and LIFE-10.
#[test]
fn a_reader_of_the_group_changes_nothing_and_holds_up_nobody_whatever_he_tries() {
    if !rustix::process::geteuid().is_root() {
        return vas_e2e::skip("needs root to become other users");
    }
    let running = Running::start();
    let alone = running.publishes_on();
    println!("a reader of the group, uid {READER}, gid {READERS}:");
    let (mut intruder, mut answers) = running.intruder(READER, READERS);
    let mut wrong = Vec::new();
    for (call, expected, _) in BY_NAME {
        compare(&mut answers, call, &[*expected], &mut wrong);
    }
    compare_the_rest(&mut answers, true, &mut wrong);
    for file in ["frame.meta", "frame.data"] {
        for (call, expected) in BY_DESCRIPTOR {
            compare(&mut answers, &format!("{call} of {file}"), &[*expected], &mut wrong);
        }
    }
    for call in HELD {
        compare(&mut answers, call, &[OK], &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answers.is_empty(), "tried, and nobody knows what to expect: {answers:?}");

    let beside = running.publishes_on();
    println!(
        "frames a second: {alone:.0} alone, {beside:.0} beside every lock, watch and mapping that there is"
    );
    running.is_as_it_was();
    intruder.close();
    let ended = intruder.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    running.stop();
}

// Proves FILE-5.
#[test]
fn a_stranger_outside_the_group_does_not_get_past_the_base_directory() {
    if !rustix::process::geteuid().is_root() {
        return vas_e2e::skip("needs root to become other users");
    }
    let running = Running::start();
    println!("a stranger, uid {STRANGER}, gid {STRANGER}:");
    let (mut intruder, mut answers) = running.intruder(STRANGER, STRANGER);
    let mut wrong = Vec::new();
    for (call, _, expected) in BY_NAME {
        compare(&mut answers, call, &[*expected], &mut wrong);
    }
    compare_the_rest(&mut answers, false, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answers.is_empty(), "a stranger got descriptors: {answers:?}");
    let _ = running.publishes_on();
    running.is_as_it_was();
    intruder.close();
    assert_eq!(intruder.wait().code(), Some(0));
    running.stop();
}

// Proves LIFE-7, TRUST-4 and LIFE-12.
#[test]
fn a_reader_that_holds_everything_does_not_keep_a_killed_servers_successor_from_starting() {
    if !rustix::process::geteuid().is_root() {
        return vas_e2e::skip("needs root to become other users");
    }
    let running = Running::start();
    let (intruder, _) = running.intruder(READER, READERS);
    let Running { scene, writer, meta, .. } = running;
    writer.kill();
    let inode = meta.metadata().expect("fstat").ino();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-e2e-writer"));
    command.arg(scene.base()).args(["front", "3", "steady"]);
    let mut writer = Process::start("vas-e2e-writer", &mut command);
    until("frames of the successor", || {
        let meta = File::open(scene.base().join("front/frame.meta")).ok()?;
        (meta.metadata().ok()?.ino() != inode && word(&meta, 8) > 0).then_some(())
    });
    assert_eq!(word(&meta, 56) as u32, 3, "the reader is told that what he holds is over");
    drop(intruder);
    writer.close();
    assert_eq!(writer.wait().code(), Some(0));
}
