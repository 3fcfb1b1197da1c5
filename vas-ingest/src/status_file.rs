//! The status file: written whole and by rename, so that nobody reads half of one; and the lock beside it, which keeps a second
//! server from running with the same one.
//!
//! The lock is flock(2) on a file of its own (the status file is another one each second) that is never removed. The kernel drops it
//! with the process, so a server that was killed leaves nothing in the way.

use crate::config::ServerConfig;
use crate::report::{Report, VERSION};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Where a server that systemd's RuntimeDirectory= gave a directory writes, and where `vas-ingest status` looks.
pub const DEFAULT_FILE: &str = "/run/vas/status.json";

/// The name in systemd's directory.
const FILE_NAME: &str = "status.json";

/// A server writes once a second. One that has not for this long hangs, or has no disk to write to.
const FRESH: Duration = Duration::from_secs(5);

/// Owner and group, as the base directory's files.
pub(crate) const MODE: u32 = 0o640;

/// Its owner alone: whoever can open it can hold it, and keep a server from starting.
const LOCK_MODE: u32 = 0o600;

/// How long a server tries for the lock: `vas-ingest status` has it for a moment when it asks whether somebody has.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);

/// Where the status file is if the configuration does not say: in the directory that systemd made for this service, if it did.
#[must_use]
pub fn default_path(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directories = environment("RUNTIME_DIRECTORY")?.into_string().ok()?;
    let first = directories.split(':').next().filter(|first| !first.is_empty())?;
    Some(Path::new(first).join(FILE_NAME))
}

/// The usual place, if the directory is there and belongs to this process's user: then it was made for this server, and a second one
/// that is started by hand finds the lock of the first.
#[must_use]
pub fn usual_path() -> Option<PathBuf> {
    let is_ours = usual_directory_owner()? == rustix::process::geteuid().as_raw();
    is_ours.then(|| DEFAULT_FILE.into())
}

/// Whose the directory of the usual place is, if there is one.
#[must_use]
pub fn usual_directory_owner() -> Option<u32> {
    let directory = std::fs::symlink_metadata(Path::new(DEFAULT_FILE).parent()?).ok()?;
    directory.is_dir().then(|| directory.uid())
}

/// A server cannot have the lock of its status file.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "another vas-ingest{who} runs with the {} {}: stop that one first, or give this one a {key} of its own in [server]",
        .key.replace('_', " "), .path.display()
    )]
    Taken {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its process number, if it is known.
        who: String,
    },
    /// The file of the lock is somebody else's, or not what it should be.
    #[error(
        "{key} {}: {} {what}: remove it, or choose another {key} in [server]", .path.display(), .lock.display()
    )]
    Foreign {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The file of the lock.
        lock: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file cannot be made.
    #[error("{} {}: open {}: {error}; {}", .key.replace('_', " "), .path.display(), .lock.display(), advice(.key, .error))]
    Io {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The file of the lock.
        lock: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What to do about a lock that cannot be made.
fn advice(key: &str, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "make that directory",
        io::ErrorKind::PermissionDenied => {
            "it, or its directory, belongs to another user than this server's: remove it, or give the directory to this user"
        }
        io::ErrorKind::StorageFull => "make room there",
        _ => "make it possible",
    };
    format!("{what}, or choose another {key} in [server]")
}

/// The right to write the status file, or the metrics, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Those of all files that the server writes.
    pub(crate) fn take_all(server: &ServerConfig) -> Result<Vec<Self>, LockError> {
        let mut locks = Vec::new();
        if let Some(path) = &server.status_file {
            locks.push(Self::take("status_file", path)?);
        }
        if let Some(path) = &server.metrics_file {
            match Self::take("metrics_file", path) {
                Ok(lock) => locks.push(lock),
                // A directory that is not there: the cameras need no metrics, and the log says that none are written.
                Err(LockError::Io { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(locks)
    }

    /// Takes it, or says who has it.
    pub(crate) fn take(key: &'static str, path: &Path) -> Result<Self, LockError> {
        let lock = lock_path(path);
        let io = |error: io::Error| LockError::Io { key, path: path.to_owned(), lock: lock.clone(), error };
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let file = rustix::fs::open(&lock, flags, Mode::from_raw_mode(LOCK_MODE))
                .map_err(|errno| io(errno.into()))?;
            let mut file = File::from(file);
            if let Some(what) = foreign(&file.metadata().map_err(io)?) {
                return Err(LockError::Foreign { key, path: path.to_owned(), lock, what });
            }
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                // A file system without locks, or without room for one: nobody has it, and nobody can.
                Err(errno) if errno != rustix::io::Errno::WOULDBLOCK => return Err(io(errno.into())),
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(_) => {
                    let mut pid = String::new();
                    let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                    let pid = pid.trim().parse::<u32>();
                    let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                    return Err(LockError::Taken { key, path: path.to_owned(), who });
                }
            }
            // Somebody may have removed the name meanwhile: then this is nobody's lock.
            let ours = file.metadata().map_err(io)?.ino();
            if std::fs::metadata(&lock).is_ok_and(|named| named.ino() == ours) {
                file.set_permissions(Permissions::from_mode(LOCK_MODE)).map_err(io)?;
                // For the sentence of a second server alone: one that cannot be written, for want of room, keeps nobody from running.
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                return Ok(Self { _file: file });
            }
        }
    }
}

/// Why a file that was opened as a lock is none of this server's: it would be emptied, and its mode changed.
fn foreign(metadata: &Metadata) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Some("is no regular file".to_owned());
    }
    if metadata.uid() != user {
        return Some(format!("belongs to uid {}, this server runs as uid {user}", metadata.uid()));
    }
    (metadata.nlink() > 1).then(|| format!("has {} names", metadata.nlink()))
}

fn lock_path(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Puts `text` in the place of the file, whole: who reads sees the old one or the new one.
pub(crate) fn replace(path: &Path, mode: u32, text: &[u8]) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    let written = write_new(&new, mode, text).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, mode: u32, text: &[u8]) -> io::Result<()> {
    // Left by a server that was killed; or planted there, and then it is not followed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // Whatever the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text)
}

/// Why there is no status, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum NoStatus {
    /// There is no server to speak of.
    #[error("{0}")]
    NotRunning(String),
    /// There may be one, and what it says cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// What is read of a status file of any version.
#[derive(serde::Deserialize)]
struct AnyVersion {
    version: u32,
}

/// A status file as it was read.
#[derive(Debug)]
pub struct Status {
    /// Its text.
    pub text: String,
    /// What it says.
    pub report: Report,
}

/// Reads the status of a server that runs.
///
/// # Errors
/// There is no such file, or nobody writes it any more; in a sentence.
pub fn read(path: &Path) -> Result<Status, NoStatus> {
    let name = path.display();
    let (fail, unreadable) = (NoStatus::NotRunning, NoStatus::Unreadable);
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail(format!(
            "no server: {name} is not there; its place is status_file in [server] of the server's configuration \
             (--config FILE), or --file FILE"
        )),
        io::ErrorKind::PermissionDenied => unreadable(format!(
            "read {name}: {error}; run this as root, as the server's user, or as somebody in its group"
        )),
        _ => unreadable(format!("read {name}: {error}")),
    })?;
    match serde_json::from_str(&text) {
        Ok(AnyVersion { version }) if version != VERSION => {
            return Err(unreadable(format!(
                "{name} has version {version} and this program knows version {VERSION}: use the vas-ingest of that server, or \
                 start the server again with this one"
            )));
        }
        _ => {}
    }
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        unreadable(format!(
            "{name} is no status file that this program knows (version {VERSION}): {error}; its place is status_file in [server] \
             of the server's configuration"
        ))
    })?;
    let age = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(report.updated_unix_ms))
        .unwrap_or_default();
    let (pid, seconds) = (report.server.pid, age.as_secs());
    match is_locked(path) {
        Some(false) => Err(fail(format!(
            "no server: the one that wrote {name} (pid {pid}) is gone since {seconds} s, without having ended in order"
        ))),
        _ if age > FRESH => Err(fail(format!(
            "the server that writes {name} (pid {pid}) has not written for {seconds} s: it hangs or was stopped, or there is no \
             room for the file; its log says more"
        ))),
        _ => Ok(Status { text, report }),
    }
}

/// Has a server the lock? None: that cannot be found out.
fn is_locked(path: &Path) -> Option<bool> {
    let file = File::open(lock_path(path)).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        // Given back when the file is closed.
        Ok(()) => Some(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Some(true),
        Err(_) => None,
    }
}

/// When a process began, in clock ticks since the machine did: field 22 of `/proc/PID/stat`. Tells a process from a later one with
/// the same number.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything but ends with the last parenthesis; it is field 2.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    /// Looks again and again until there is something.
    fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whatever this process just starts beside the test holds each of its locks too, until it has become another program.
    fn until_free(path: &Path) {
        until("nobody has the lock", || (is_locked(path) == Some(false)).then_some(()));
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn one_server_at_a_time_has_the_lock_and_says_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let take = |path: &Path| Lock::take("status_file", path);
        let first = take(&path).unwrap();
        let why = take(&path).unwrap_err().to_string();
        let start = format!("another vas-ingest (pid {}) runs with the status file", std::process::id());
        assert!(why.starts_with(&start), "{why}");
        assert_eq!(is_locked(&path), Some(true));
        drop(first);
        until_free(&path);
        let again = until("the lock is there for the next one", || take(&path).ok());
        // Somebody tidies up: the name is free, and who takes it next is the one.
        std::fs::remove_file(lock_path(&path)).unwrap();
        take(&path).unwrap();
        drop(again);
        let nowhere = take(&directory.path().join("none/status.json")).unwrap_err().to_string();
        assert!(nowhere.contains("none/status.json.lock: No such file or directory"), "{nowhere}");
        assert!(
            nowhere.ends_with("; make that directory, or choose another status_file in [server]"),
            "{nowhere}"
        );
        // A directory is no help against everything.
        std::fs::write(directory.path().join("file"), "").unwrap();
        let beneath = take(&directory.path().join("file/status.json")).unwrap_err().to_string();
        assert!(
            !beneath.contains("make that directory") && beneath.contains("or choose another status_file"),
            "{beneath}"
        );
    }

    #[test]
    fn whoever_may_read_the_status_cannot_hold_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let lock = Lock::take("status_file", &path).unwrap();
        assert_eq!(mode(&lock_path(&path)), 0o600);
        drop(lock);
        // As an earlier version left it, which let its group open it.
        std::fs::set_permissions(lock_path(&path), Permissions::from_mode(0o640)).unwrap();
        let _lock = until("the lock is there for the next one", || Lock::take("status_file", &path).ok());
        assert_eq!(mode(&lock_path(&path)), 0o600);
    }

    #[test]
    fn a_lock_that_is_no_file_of_this_server_alone_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("s"), directory.path().join("victim"));
        std::fs::write(&victim, "kept").unwrap();
        std::fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        std::fs::hard_link(&victim, lock_path(&path)).unwrap();
        let why = Lock::take("status_file", &path).unwrap_err().to_string();
        assert!(why.contains("s.lock has 2 names: remove it, or choose another status_file"), "{why}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
        assert_eq!(mode(&victim), 0o600);
        std::fs::remove_file(lock_path(&path)).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            lock_path(&path),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let why = Lock::take("status_file", &path).unwrap_err().to_string();
        assert!(why.contains("s.lock is no regular file: remove it"), "{why}");
        // Root may open what is another's.
        let another = File::open("/proc/1/status").unwrap().metadata().unwrap();
        let is_mine = another.uid() == rustix::process::geteuid().as_raw();
        assert_eq!(foreign(&another).is_none(), is_mine);
    }

    #[test]
    fn the_metrics_are_one_servers_too_and_a_missing_directory_of_theirs_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let server =
            |name: &str| ServerConfig { status_file: None, metrics_file: Some(directory.path().join(name)) };
        let first = Lock::take_all(&server("vas.prom")).unwrap();
        let why = Lock::take_all(&server("vas.prom")).unwrap_err().to_string();
        assert!(
            why.contains("runs with the metrics file ") && why.contains("a metrics_file of its own"),
            "{why}"
        );
        drop(first);
        until_free(&directory.path().join("vas.prom"));
        let again = until("the lock is there for the next one", || Lock::take_all(&server("vas.prom")).ok());
        assert_eq!(again.len(), 1);
        assert_eq!(Lock::take_all(&server("none/vas.prom")).unwrap().len(), 0);
    }

    #[test]
    fn a_status_that_cannot_be_read_is_told_from_a_server_that_does_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        assert!(matches!(read(&path), Err(NoStatus::NotRunning(_))));
        std::fs::write(&path, "{\"version\": 7, \"servers\": []}").unwrap();
        let why = read(&path).unwrap_err();
        assert!(matches!(why, NoStatus::Unreadable(_)));
        assert!(why.to_string().contains("has version 7 and this program knows version 1: use "), "{why}");
        assert!(matches!(read(directory.path()), Err(NoStatus::Unreadable(_))));
    }

    #[test]
    fn a_status_is_one_of_a_server_that_runs_and_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let why = |path: &Path| read(path).unwrap_err().to_string();
        assert!(why(&path).starts_with("no server: "), "{}", why(&path));
        let lock = Lock::take("status_file", &path).unwrap();
        let write = |report: &Report| {
            replace(&path, MODE, &serde_json::to_vec(report).unwrap()).unwrap();
        };
        let mut report = example();
        write(&report);
        assert!(why(&path).contains("has not written for "), "{}", why(&path));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        report.updated_unix_ms = now.as_millis() as u64;
        write(&report);
        assert_eq!(read(&path).unwrap().report, report);
        assert_eq!(mode(&path), MODE);
        drop(lock);
        until_free(&path);
        assert!(why(&path).contains("(pid 4711) is gone"), "{}", why(&path));
        std::fs::write(&path, "{}").unwrap();
        assert!(why(&path).contains("is no status file that this program knows"), "{}", why(&path));
    }

    #[test]
    fn what_was_planted_under_the_temporary_name_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("s"), directory.path().join("victim"));
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join("s.new")).unwrap();
        replace(&path, MODE, b"text").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
        assert!(!directory.path().join("s.new").exists());
    }

    #[test]
    fn the_directory_that_systemd_made_is_the_place_if_there_is_one() {
        let place = |value: Option<&str>| default_path(&|_| value.map(Into::into));
        assert_eq!(place(Some("/run/vas")), Some("/run/vas/status.json".into()));
        assert_eq!(place(Some("/run/a:/run/b")), Some("/run/a/status.json".into()));
        assert_eq!((place(Some("")), place(None)), (None, None));
    }

    #[test]
    fn a_process_has_a_beginning() {
        assert!(start_ticks(std::process::id()).is_some_and(|ticks| ticks > 0));
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
