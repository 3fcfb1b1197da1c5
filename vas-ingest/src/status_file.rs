//! The status file: written whole and by rename, so that nobody reads half of one; and the lock beside it, which keeps a second
//! server from running with the same one.
//!
//! The lock is flock(2) on a file of its own (the status file is another one each second) that is never removed. The kernel drops it
//! with the process, so a server that was killed leaves nothing in the way.

use crate::report::{Report, VERSION};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::ffi::OsString;
use std::fs::{File, Permissions};
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

/// How long a server tries for the lock: `vas-ingest status` has it for a moment when it asks whether somebody has.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);

/// Where the status file is if the configuration does not say: in the directory that systemd made for this service, if it did.
#[must_use]
pub fn default_path(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directories = environment("RUNTIME_DIRECTORY")?.into_string().ok()?;
    let first = directories.split(':').next().filter(|first| !first.is_empty())?;
    Some(Path::new(first).join(FILE_NAME))
}

/// A server cannot have the lock of its status file.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "another vas-ingest{who} runs with the status file {}: stop that one first, or give this one a status_file of its own \
         in [server]", .path.display()
    )]
    Taken {
        /// The status file.
        path: PathBuf,
        /// Its process number, if it is known.
        who: String,
    },
    /// The file cannot be made.
    #[error("status file {}: open {}: {error}; make that directory, or choose another status_file in [server]", .path.display(), .lock.display())]
    Io {
        /// The status file.
        path: PathBuf,
        /// The file of the lock.
        lock: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The right to write a status file, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let lock = lock_path(path);
        let io = |error: io::Error| LockError::Io { path: path.to_owned(), lock: lock.clone(), error };
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(&lock, flags, Mode::from_raw_mode(MODE))
                .map_err(|errno| io(errno.into()))?;
            let mut file = File::from(file);
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(_) => {
                    let mut pid = String::new();
                    let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                    let pid = pid.trim().parse::<u32>();
                    let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                    return Err(LockError::Taken { path: path.to_owned(), who });
                }
            }
            // Somebody may have removed the name meanwhile: then this is nobody's lock.
            let ours = file.metadata().map_err(io)?.ino();
            if std::fs::metadata(&lock).is_ok_and(|named| named.ino() == ours) {
                file.set_permissions(Permissions::from_mode(MODE)).map_err(io)?;
                file.set_len(0).map_err(io)?;
                writeln!(file, "{}", std::process::id()).map_err(io)?;
                return Ok(Self { _file: file });
            }
        }
    }
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

/// Why there is no server to speak of, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotRunning(String);

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
pub fn read(path: &Path) -> Result<Status, NotRunning> {
    let name = path.display();
    let fail = |sentence: String| NotRunning(sentence);
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail(format!(
            "no server: {name} is not there; its place is status_file in [server] of the server's configuration \
             (--config FILE), or --file FILE"
        )),
        _ => fail(format!("read {name}: {error}")),
    })?;
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        fail(format!("{name} is no status file that this program knows (version {VERSION}): {error}"))
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

    #[test]
    fn one_server_at_a_time_has_the_lock_and_says_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let first = Lock::take(&path).unwrap();
        let why = Lock::take(&path).unwrap_err().to_string();
        let start = format!("another vas-ingest (pid {}) runs with the status file", std::process::id());
        assert!(why.starts_with(&start), "{why}");
        assert_eq!(is_locked(&path), Some(true));
        drop(first);
        assert_eq!(is_locked(&path), Some(false));
        let again = Lock::take(&path).unwrap();
        // Somebody tidies up: the name is free, and who takes it next is the one.
        std::fs::remove_file(lock_path(&path)).unwrap();
        Lock::take(&path).unwrap();
        drop(again);
        let nowhere = Lock::take(&directory.path().join("none/status.json")).unwrap_err().to_string();
        assert!(nowhere.contains("none/status.json.lock: No such file or directory"), "{nowhere}");
    }

    #[test]
    fn a_status_is_one_of_a_server_that_runs_and_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        let why = |path: &Path| read(path).unwrap_err().to_string();
        assert!(why(&path).starts_with("no server: "), "{}", why(&path));
        let lock = Lock::take(&path).unwrap();
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
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        drop(lock);
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
