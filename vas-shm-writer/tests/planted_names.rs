//! Names that somebody else made, before the server or under it: links, FIFOs, foreign files, and names that change while the
//! server looks. Whatever is planted, nothing outside the base directory changes by a byte, in its mode or in its owner.

mod common;

use common::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use vas_shm_writer::{BaseError, ExportWhen, Exporter, ExporterConfig, NotExported};

const NOBODY: u32 = 65534;
/// A group that the server is not in.
const READERS: u32 = 65533;
const SECRET: &[u8] = b"the only copy of something dear, and more than a page of it";

fn needs_root() {
    vas_test_support::skipped("needs root to make what belongs to other users");
}

/// Files outside the base directory, on the same tmpfs so that they can be linked, and what they are like.
struct Outside {
    folder: Base,
    was: Vec<String>,
}

impl Outside {
    const VICTIM: &str = "victim";
    const NAMES: [&str; 5] =
        ["frame.meta", "frame.data", ".frame.meta.new", ".frame.data.new", ".front.lock"];

    /// A folder with a file under every name that a server could be led to, and one more.
    fn new() -> Self {
        let folder = Base::new();
        fs::create_dir(&folder.0).unwrap();
        for name in Self::NAMES.iter().chain([&Self::VICTIM]) {
            fs::write(folder.path(name), SECRET.repeat(100)).unwrap();
            fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o604)).unwrap();
        }
        fs::create_dir(folder.path("inner")).unwrap();
        fs::set_permissions(folder.path("inner"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o705)).unwrap();
        let was = Self::look(&folder.0);
        Self { folder, was }
    }

    fn victim(&self) -> PathBuf {
        self.folder.path(Self::VICTIM)
    }

    /// All that may not change, the folder itself included. Not the time of change, which a link more or less moves.
    fn look(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.chain([folder.to_owned()]) {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let is_whole = bytes == SECRET.repeat(100);
            found.push(format!(
                "{} mode {:o} uid {} gid {} {} bytes, {} blocks, as written: {is_whole}",
                path.display(),
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                bytes.len(),
                if metadata.is_file() { metadata.blocks() } else { 0 },
            ));
        }
        found.sort();
        found
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        assert_eq!(Self::look(&self.folder.0), self.was, "{what}");
    }
}

/// What somebody plants under a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    Link,
    LinkToNothing,
    LinkToFolder,
    HardLink,
    Fifo,
    Socket,
    EmptyFolder,
    FullFolder,
    FileOfAnother,
}

impl Planted {
    const ALL: [Self; 9] = [
        Self::Link,
        Self::LinkToNothing,
        Self::LinkToFolder,
        Self::HardLink,
        Self::Fifo,
        Self::Socket,
        Self::EmptyFolder,
        Self::FullFolder,
        Self::FileOfAnother,
    ];

    fn plant(self, at: &Path, outside: &Outside) {
        match self {
            Self::Link => symlink(outside.victim(), at).unwrap(),
            Self::LinkToNothing => symlink(outside.folder.path("made-through-a-link"), at).unwrap(),
            Self::LinkToFolder => symlink(outside.folder.path("inner"), at).unwrap(),
            Self::HardLink => fs::hard_link(outside.victim(), at).unwrap(),
            Self::Fifo => assert!(Command::new("mkfifo").arg(at).status().unwrap().success()),
            // Gone with its process, its name stays.
            Self::Socket => drop(UnixListener::bind(at).unwrap()),
            Self::EmptyFolder => fs::create_dir(at).unwrap(),
            Self::FullFolder => {
                fs::create_dir(at).unwrap();
                fs::write(at.join("file"), b"").unwrap();
            }
            Self::FileOfAnother => {
                fs::write(at, b"").unwrap();
                chown(at, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }

    /// Why it cannot stand in the lock's place, which is never removed; `None` if it may stay there.
    fn as_lock(self) -> &'static str {
        match self {
            Self::Link | Self::LinkToNothing | Self::LinkToFolder => "is a symbolic link, where",
            Self::HardLink => "is a file with another name elsewhere, where",
            Self::Fifo => "is a FIFO, where",
            Self::Socket => "is a socket, where",
            Self::EmptyFolder | Self::FullFolder => "is a directory, where",
            Self::FileOfAnother => "belongs to uid 65534, this server runs as uid 0",
        }
    }
}

/// What became of the camera: exported, or the sentence.
fn outcome(base: &Base) -> Result<(), String> {
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("an answer", || match camera.slot(SMALL) {
        Ok(slot) => {
            slot.publish(vas_shm_writer::Stamp::now());
            header_of(&open(&base.meta("front")), &open(&base.data("front"))).expect("as readers want it");
            Some(Ok(()))
        }
        Err(NotExported::Preparing) => None,
        Err(_) => said_of(&base.0).into_iter().find(|line| line.contains("not exported")).map(Err),
    })
}

// Proves TRUST-5, FILE-3 and LIFE-9.
#[test]
fn whatever_stands_under_the_servers_names_is_removed_or_refused_and_never_followed() {
    if !is_root() {
        return needs_root();
    }
    listen();
    for name in Outside::NAMES {
        for planted in Planted::ALL {
            let (base, outside) = (Base::new(), Outside::new());
            fs::create_dir(&base.0).unwrap();
            fs::set_permissions(&base.0, fs::Permissions::from_mode(0o750)).unwrap();
            fs::create_dir(base.path("front")).unwrap();
            fs::set_permissions(base.path("front"), fs::Permissions::from_mode(0o750)).unwrap();
            let is_lock = name == ".front.lock";
            let at = if is_lock { base.path(name) } else { base.path("front").join(name) };
            planted.plant(&at, &outside);
            let what = format!("{planted:?} as {name}");

            let outcome = outcome(&base);
            outside.assert_untouched(&what);
            let is_folder = matches!(planted, Planted::EmptyFolder | Planted::FullFolder);
            match &outcome {
                Ok(()) => assert!(!is_lock && !is_folder, "{what} was taken for our own"),
                Err(said) if is_lock => {
                    assert!(said.contains(planted.as_lock()) && said.contains("remove it"), "{what}: {said}");
                }
                Err(said) => {
                    assert!(is_folder && said.contains("Is a directory"), "{what}: {said}");
                    assert!(said.contains(at.to_str().unwrap()), "{what}: {said}");
                }
            }
            println!("{what}: {}", if outcome.is_ok() { "removed, exported" } else { "refused, said" });
        }
    }
}

/// `.{camera}.lock` that a server made once, so that leftovers may be ended and not only removed.
fn old_lock(base: &Base) {
    fs::write(base.path(".front.lock"), b"").unwrap();
    fs::set_permissions(base.path(".front.lock"), fs::Permissions::from_mode(0o600)).unwrap();
}

// Proves LIFE-12 and TRUST-5.
#[test]
fn a_header_of_another_user_does_not_lead_to_the_emptying_of_a_file_that_he_linked() {
    if !is_root() {
        return needs_root();
    }
    let (base, outside) = (Base::new(), Outside::new());
    {
        let exporter = base.start();
        let mut camera = exporter.camera(id("front")).unwrap();
        publish(&mut camera, SMALL, 1);
        let header = fs::read(base.meta("front")).unwrap();
        let since = std::time::Instant::now();
        drop(camera);
        base.await_end("front", since);
        // As long as the directory was open to everybody: a real header that names the victim as its data file.
        fs::write(base.meta("front"), header).unwrap();
    }
    fs::hard_link(outside.victim(), base.data("front")).unwrap();
    let meta = fs::OpenOptions::new().read(true).write(true).open(base.meta("front")).unwrap();
    let inode = fs::metadata(outside.victim()).unwrap().ino();
    meta.write_all_at(&inode.to_le_bytes(), DATA_INODE).unwrap();
    chown(base.meta("front"), Some(NOBODY), Some(NOBODY)).unwrap();
    old_lock(&base);

    let exporter = base.start();
    assert!(!base.data("front").exists(), "the names are taken away");
    outside.assert_untouched("a pair that another user put together");
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    outside.assert_untouched("and after the first frame");
}

// Proves LIFE-12.
#[test]
fn a_file_of_ours_that_is_no_header_is_not_written_to_wherever_it_points() {
    if !is_root() {
        return needs_root();
    }
    let (base, outside) = (Base::new(), Outside::new());
    fs::create_dir(&base.0).unwrap();
    fs::create_dir(base.path("front")).unwrap();
    for folder in [base.0.clone(), base.path("front")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
    }
    old_lock(&base);
    // Somebody's table of numbers that has the right one in the right place.
    let table = outside.folder.path("table");
    let inode = fs::metadata(outside.victim()).unwrap().ino();
    fs::write(&table, inode.to_le_bytes().repeat(512)).unwrap();
    let numbers = fs::read(&table).unwrap();
    fs::hard_link(&table, base.meta("front")).unwrap();
    fs::hard_link(outside.victim(), base.data("front")).unwrap();
    let _exporter = base.start();
    assert!(!base.meta("front").exists() && !base.data("front").exists());
    assert_eq!(fs::read(&table).unwrap(), numbers);
    fs::remove_file(&table).unwrap();
    outside.assert_untouched("two files of ours under the names of a pair");
}

// Proves LIFE-9 and TRUST-5.
#[test]
fn names_that_are_exchanged_under_a_live_pair_lead_the_server_nowhere() {
    if !is_root() {
        return needs_root();
    }
    listen();
    // Side by side: each waits for heartbeats.
    std::thread::scope(|scope| {
        for name in ["front/frame.meta", "front/frame.data", ".front.lock", "front", ""] {
            for planted in [Planted::Link, Planted::LinkToFolder, Planted::HardLink] {
                if planted != Planted::HardLink || !matches!(name, "front" | "") {
                    scope.spawn(move || exchange_under_a_live_pair(name, planted));
                }
            }
        }
    });
}

fn exchange_under_a_live_pair(name: &str, planted: Planted) {
    let (base, outside) = (Base::new(), Outside::new());
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    let aside = Base::new();
    let at = if name.is_empty() { base.0.clone() } else { base.path(name) };
    // Exchanged in one step: the library's thread makes anew what is missing for a moment.
    planted.plant(&aside.0, &outside);
    renameat_with(CWD, &at, CWD, &aside.0, RenameFlags::EXCHANGE).unwrap();

    until("the old pair says stopped", || {
        if let Ok(slot) = camera.slot(SMALL) {
            slot.publish(vas_shm_writer::Stamp::now());
        }
        (word_u32(&meta, STATE) == STOPPED).then_some(())
    });
    if name.starts_with("front/") {
        // What stands there is no directory: the next pair takes its name.
        publish(&mut camera, SMALL, 2);
    } else {
        until("the camera is not exported", || {
            // A slot may be had until the end that was just told has been carried out.
            camera.slot(SMALL).is_err_and(|why| why == NotExported::Unavailable).then_some(())
        });
        until("and it is said where", || {
            let said = said_of(&base.0);
            said.iter().any(|line| line.contains(at.to_str().unwrap())).then_some(())
        });
        renameat_with(CWD, &at, CWD, &aside.0, RenameFlags::EXCHANGE).unwrap();
        fs::remove_file(&aside.0).unwrap();
        until("exported again", || camera.slot(SMALL).ok().map(drop));
    }
    outside.assert_untouched(&format!("{planted:?} in place of {name:?}"));
}

/// Exchanges two names while the work is done; how often.
fn exchanging<T>(one: &Path, other: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    let (over, exchanges) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
                    exchanges.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let ends = Over(&over);
        let done = work();
        drop(ends);
        (done, exchanges.load(Ordering::Relaxed))
    })
}

// Proves TRUST-5 and LIFE-9.
#[test]
fn a_camera_directory_that_is_a_link_every_other_moment_lets_nothing_out_of_the_base() {
    let (base, outside) = (Base::new(), Outside::new());
    let exporter = base.start();
    let spare = base.path(".spare");
    symlink(&outside.folder.0, &spare).unwrap();
    let mut answers = [0_u32; 2];
    // Where a directory was just made, a mode that is set by name would be that of what a link there leads to.
    let ((), exchanges) = exchanging(&base.path("front"), &spare, || {
        for round in 0..1000 {
            let mut camera = exporter.camera(id("front")).unwrap();
            let answer = until("an answer", || match camera.slot(SMALL) {
                Ok(_) => Some(Ok(())),
                Err(NotExported::Preparing) => None,
                Err(why) => Some(Err(why)),
            });
            answers[usize::from(answer.is_err())] += 1;
            camera.remove();
            if round % 100 == 0 {
                outside.assert_untouched("while names are exchanged");
            }
        }
    });
    outside.assert_untouched("after names were exchanged");
    println!("{exchanges} exchanges: {} times exported, {} times refused", answers[0], answers[1]);
    assert!(exchanges > 0, "the test is blind");
}

// Proves TRUST-5 and LIFE-1.
#[test]
fn hidden_names_that_are_planted_while_a_pair_is_built_are_not_written_through() {
    let (base, outside) = (Base::new(), Outside::new());
    let exporter = base.start();
    fs::create_dir(base.path("front")).unwrap();
    fs::set_permissions(base.path("front"), fs::Permissions::from_mode(0o750)).unwrap();
    let over = AtomicBool::new(false);
    let (exported, planted) = std::thread::scope(|scope| {
        let planter = scope.spawn(|| {
            let mut planted = 0_u64;
            while !over.load(Ordering::Relaxed) {
                for name in [".frame.data.new", ".frame.meta.new"] {
                    let at = base.path("front").join(name);
                    planted += u64::from(symlink(outside.victim(), &at).is_ok());
                    let _ = fs::remove_file(&at);
                    planted += u64::from(fs::hard_link(outside.victim(), &at).is_ok());
                }
            }
            planted
        });
        let ends = Over(&over);
        let mut exported = 0;
        for _ in 0..600 {
            let mut camera = exporter.camera(id("front")).unwrap();
            until("an answer", || match camera.slot(SMALL) {
                Ok(_) => {
                    exported += 1;
                    Some(())
                }
                Err(NotExported::Preparing) => None,
                Err(_) => Some(()),
            });
        }
        drop(ends);
        (exported, planter.join().unwrap())
    });
    outside.assert_untouched("after names were planted");
    println!("{planted} names planted in 600 births, {exported} of them exported");
    assert!(planted > 0, "the test is blind");
}

// Proves TRUST-5.
#[test]
fn a_base_that_is_exchanged_for_a_link_while_it_is_made_changes_no_mode_elsewhere() {
    // The directory above belongs to somebody who may rename what others make in it.
    let (above, outside) = (Base::new(), Outside::new());
    fs::create_dir(&above.0).unwrap();
    let (base, spare) = (above.path("vas"), above.path("spare"));
    symlink(&outside.folder.0, &spare).unwrap();
    let mut refused = 0_u32;
    let ((), exchanges) = exchanging(&base, &spare, || {
        for _ in 0..3000 {
            refused += u32::from(Exporter::start(ExporterConfig::new(&base)).is_err());
            // Whichever of the two names the directory has at the moment.
            let _ = fs::remove_dir(&base);
            let _ = fs::remove_dir(&spare);
            let _ = renameat_with(CWD, &base, CWD, &spare, RenameFlags::NOREPLACE);
        }
    });
    outside.assert_untouched("after the base was exchanged");
    println!("{exchanges} exchanges in 3000 starts, {refused} of them refused");
    assert!(exchanges > 0, "the test is blind");
}

fn refusal(config: ExporterConfig) -> BaseError {
    Exporter::start(config).expect_err("the base directory is refused")
}

// Proves TRUST-5.
#[test]
fn what_is_no_directory_in_place_of_the_base_is_refused_at_once() {
    for planted in [Planted::Fifo, Planted::Socket, Planted::LinkToNothing, Planted::LinkToFolder] {
        let (base, outside) = (Base::new(), Outside::new());
        planted.plant(&base.0, &outside);
        let refused = refusal(ExporterConfig::new(&base.0));
        assert!(matches!(refused, BaseError::NotDirectory { .. }), "{planted:?}: {refused}");
        assert!(refused.to_string().contains("is not a directory (symbolic links are not followed)"));
        outside.assert_untouched(&format!("{planted:?}"));
    }
}

// Proves TRUST-5.
#[test]
fn a_sticky_base_and_one_that_another_user_made_first_are_refused_and_stay_as_they_are() {
    if !is_root() {
        return needs_root();
    }
    for (uid, mode, words) in [
        (0, 0o1777, "has mode 1777, others than its owner may write in it; run `chmod go-w"),
        (0, 0o1770, "has mode 1770, others"),
        (0, 0o3775, "has mode 3775, others"),
        (NOBODY, 0o1777, "belongs to uid 65534, this server runs as uid 0"),
        (NOBODY, 0o750, "belongs to uid 65534"),
        (NOBODY, 0o000, "belongs to uid 65534"),
    ] {
        let base = Base::new();
        fs::create_dir(&base.0).unwrap();
        chown(&base.0, Some(uid), None).unwrap();
        fs::set_permissions(&base.0, fs::Permissions::from_mode(mode)).unwrap();
        // Even with the right group it has to be given up, not taken over.
        for group in [None, Some(READERS)] {
            let refused = refusal(ExporterConfig::new(&base.0).group(group)).to_string();
            assert!(refused.contains(words), "{refused}");
            let found = fs::metadata(&base.0).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (uid, 0, mode));
            assert_eq!(fs::read_dir(&base.0).unwrap().count(), 0);
        }
    }
}

// Proves TRUST-5.
#[test]
fn a_camera_directory_of_another_user_or_open_to_others_is_refused_with_what_to_do() {
    if !is_root() {
        return needs_root();
    }
    listen();
    for (uid, mode, words) in [
        (NOBODY, 0o750, "belongs to uid 65534, this server runs as uid 0"),
        (0, 0o770, "has mode 0770, others than its owner may write in it; run `chmod go-w"),
        (0, 0o1777, "has mode 1777"),
    ] {
        let base = Base::new();
        fs::create_dir(&base.0).unwrap();
        fs::set_permissions(&base.0, fs::Permissions::from_mode(0o750)).unwrap();
        fs::create_dir(base.path("front")).unwrap();
        chown(base.path("front"), Some(uid), None).unwrap();
        fs::set_permissions(base.path("front"), fs::Permissions::from_mode(mode)).unwrap();
        let said = outcome(&base).expect_err("not exported");
        assert!(said.contains(words), "{said}");
        assert_eq!(fs::read_dir(base.path("front")).unwrap().count(), 0);
        assert_eq!(fs::metadata(base.path("front")).unwrap().mode() & 0o7777, mode);
    }
}

/// Does something as another user with one group. On Linux the system calls themselves change the calling thread alone, and the
/// threads that it starts.
fn as_user<T: Send + 'static>(uid: u32, gid: u32, work: impl FnOnce() -> T + Send + 'static) -> T {
    let as_user = move || {
        let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        work()
    };
    std::thread::spawn(as_user).join().unwrap()
}

// Proves FILE-5. Neither directory is given a mode that it has already: an owner outside the group would lose the set-group-id bit.
#[test]
fn a_reader_group_that_the_server_is_not_in_is_refused_unless_the_operator_made_the_base() {
    if !is_root() {
        return needs_root();
    }
    let base = Base::new();
    fs::create_dir(&base.0).unwrap();
    chown(&base.0, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&base.0, fs::Permissions::from_mode(0o750)).unwrap();
    let config = ExporterConfig::new(&base.0).group(Some(READERS)).when(ExportWhen::Always);
    let refused = as_user(NOBODY, NOBODY, {
        let config = config.clone();
        move || refusal(config).to_string()
    });
    let words = "has group 65534 and mode 2750, group 65533 with the set-group-id bit was configured; the server's user has to be a member of group 65533, or the directory be made beforehand with that group and mode 2750";
    assert!(refused.contains(words), "{refused}");

    chown(&base.0, None, Some(READERS)).unwrap();
    fs::set_permissions(&base.0, fs::Permissions::from_mode(0o2750)).unwrap();
    let base = as_user(NOBODY, NOBODY, move || {
        let exporter = Exporter::start(config).unwrap();
        let mut camera = exporter.camera(id("front")).unwrap();
        publish(&mut camera, SMALL, 1);
        for (path, mode) in
            [(base.path("front"), 0o2750), (base.meta("front"), 0o640), (base.data("front"), 0o640)]
        {
            let found = fs::metadata(&path).unwrap();
            assert_eq!(
                (found.uid(), found.gid(), found.mode() & 0o7777),
                (NOBODY, READERS, mode),
                "{path:?}"
            );
        }
        base
    });
    drop(base);
}

// Proves TRUST-5.
#[test]
fn a_base_of_root_is_refused_to_a_server_that_is_not_root() {
    if !is_root() {
        return needs_root();
    }
    for mode in [0o755, 0o700] {
        let base = Base::new();
        fs::create_dir(&base.0).unwrap();
        fs::set_permissions(&base.0, fs::Permissions::from_mode(mode)).unwrap();
        let config = ExporterConfig::new(&base.0).when(ExportWhen::Always);
        let refused = as_user(NOBODY, NOBODY, move || refusal(config).to_string());
        assert!(refused.contains("belongs to uid 0, this server runs as uid 65534"), "{refused}");
    }
}

#[test]
fn a_link_above_the_base_is_the_operators_way_to_it() {
    let real = Base::new();
    fs::create_dir(&real.0).unwrap();
    let way = Base::new();
    symlink(&real.0, &way.0).unwrap();
    let base = Base(way.path("vas"));
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    assert!(real.path("vas/front/frame.meta").is_file());
    // It leads elsewhere from now on: that is another base, which is judged as any other.
    let meta = open(&base.meta("front"));
    let other = Base::new();
    fs::create_dir(&other.0).unwrap();
    fs::remove_file(&way.0).unwrap();
    symlink(&other.0, &way.0).unwrap();
    until("the old pair says stopped", || (word_u32(&meta, STATE) == STOPPED).then_some(()));
    // A slot may be had until the end that was just told has been carried out.
    until("exported where the link leads now", || {
        let _ = camera.slot(SMALL);
        other.path("vas/front/frame.meta").is_file().then_some(())
    });
    until("and frames go there", || camera.slot(SMALL).ok().map(drop));
}
