//! `reload`: asks a running server to read its configuration again, and tells what became of it.
//!
//! Who the server is stands in its status file, and so does what it did. It is signalled through a pidfd, opened and then compared
//! with the time at which that process began: a process that got the same number later is never signalled.

use crate::{EXIT_FAILED, EXIT_USAGE, EXIT_WELL, say};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Deserialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_ingest::config::{Config, Environment, Request};
use vas_ingest::status_file;

/// How often the status file is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What this command needs of a status file; everything else in it is passed over.
#[derive(Deserialize)]
struct Status {
    server: Server,
    reload: Option<Reload>,
}

#[derive(Deserialize)]
struct Server {
    pid: i32,
    start_ticks: u64,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Reload {
    at_unix_ms: u64,
    ok: bool,
    sentence: String,
}

/// The server of this status file, or of the one that this configuration names, or of the usual one.
pub(crate) fn reload(file: Option<PathBuf>, config: Option<PathBuf>, timeout: Duration) -> u8 {
    let file = match (file, config) {
        (Some(file), _) => file,
        (None, None) => usual_file(),
        (None, Some(config)) => {
            // One that cannot be used is refused before anybody is asked to use it.
            let request = Request { file: Some(config), ..Request::default() };
            match Config::load(&request, &Environment::of_process()) {
                Ok(config) => {
                    crate::with_status_file(config, None).server.status_file.unwrap_or_else(usual_file)
                }
                Err(error) => {
                    say(&format!("vas-ingest: {error}"));
                    return EXIT_USAGE;
                }
            }
        }
    };
    match ask(&file, timeout) {
        Ok(Reload { ok: true, sentence, .. }) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stdout(), "{sentence}");
            EXIT_WELL
        }
        Ok(Reload { sentence, .. }) => {
            say(&format!("vas-ingest: the reload failed: {sentence}"));
            EXIT_FAILED
        }
        Err(sentence) => {
            say(&format!("vas-ingest: {sentence}"));
            EXIT_FAILED
        }
    }
}

/// As `vas-ingest status` has it.
fn usual_file() -> PathBuf {
    status_file::default_path(&crate::variable).unwrap_or_else(|| status_file::DEFAULT_FILE.into())
}

fn ask(file: &Path, timeout: Duration) -> Result<Reload, String> {
    let name = file.display();
    let before = read(file)?;
    let Server { pid, start_ticks } = before.server;
    let gone =
        || format!("no server runs that wrote {name}: its process {pid} is gone; start it, or give --file");
    let process = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(|| format!("{name} names no process"))?;
    let pidfd = pidfd_open(process, PidfdFlags::empty()).map_err(|_| gone())?;
    // Now that it is held, the number cannot go to another process unnoticed.
    if began(pid) != Some(start_ticks) {
        return Err(gone());
    }
    // Whoever can write this file could have put any number into it.
    let owner = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let (writer, runner) = (owner(file), owner(Path::new(&format!("/proc/{pid}"))));
    if writer.is_none() || writer != runner {
        return Err(format!(
            "{name} belongs to another user than the process {pid} that it names: not signalled"
        ));
    }
    pidfd_send_signal(&pidfd, Signal::HUP).map_err(|error| {
        format!("signal the server (pid {pid}): {error}; run this as its user or as root")
    })?;
    let deadline = Instant::now() + timeout;
    loop {
        // Between two files there is always one: it is replaced by a rename.
        if let Ok(Status { reload: Some(reload), .. }) = read(file)
            && before.reload.as_ref() != Some(&reload)
        {
            return Ok(reload);
        }
        if began(pid) != Some(start_ticks) {
            return Err(format!(
                "the server (pid {pid}) ended when it was asked to reload; its log says why"
            ));
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "the server (pid {pid}) was asked to reload, and {name} does not say within {} s what became of it; \
                 its log may",
                timeout.as_secs_f64()
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn read(file: &Path) -> Result<Status, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "run this as root, or as the server's user",
            _ => "the server writes it where [server] status_file says",
        };
        format!("read the status file {name}: {error}; {what}")
    })?;
    serde_json::from_str(&text)
        .map_err(|_| format!("{name} is not the status file of a vas-ingest that runs"))
}

/// When a process began, in the kernel's ticks: field 22 of its stat. None if it is gone, or has ended and not been waited for.
fn began(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, in which anything may stand.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(ticks)
}
