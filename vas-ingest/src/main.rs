//! `vas-ingest`: the server's command line.

mod commands;
mod logging;
mod stderr;

use clap::{Parser, Subcommand};
use logging::Format;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::ffi::c_int;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use stderr::Stderr;
use tracing::subscriber::set_global_default;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use vas_ingest::config::{
    self, Config, EXPORT_ENABLED_VARIABLE, Environment, ProbeRequest, Request, UsualStatusFile,
};
use vas_ingest::memory;
use vas_ingest::redact;
use vas_ingest::server::{Control, Ended, Server, StartError};
use vas_ingest::status_file::{self, LockError, NoStatus};

/// Stopped as asked, or every file played to its end.
const EXIT_WELL: u8 = 0;
/// Something failed at run time.
const EXIT_FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const EXIT_USAGE: u8 = 2;
/// The export was refused at start: the base directory cannot be trusted or used.
const EXIT_EXPORT_REFUSED: u8 = 3;

/// `status`: no server is running.
const EXIT_NO_SERVER: u8 = 4;
/// `run`: another server has the status file, the metrics file, or a camera of the same base directory.
const EXIT_ANOTHER_RUNS: u8 = 5;
/// `status`: there is a status file, and it cannot be read or is one of another version.
const EXIT_UNREADABLE: u8 = 6;

/// How long the thread that waits for signals has for its last line, which may be on its way when the server has ended.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(500);

/// Log filter, as tracing-subscriber's EnvFilter has it.
const LOG_VARIABLE: &str = "VAS_LOG";

/// Decodes RTSP cameras and video files, and shows the frames to local processes through shared memory.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Environment:
  AI_FRAME_EXPORT_ENABLED      true: export frames; false (the default): nothing of the export exists
  VAS_SHM_BASE                 base directory of the export (default /dev/shm/vas)
  VAS_CAMERAS                  names of cameras that no file has, such as front,yard
  VAS_CAMERA_<ID>_<KEY>        a key of that camera, such as VAS_CAMERA_FRONT_URL or VAS_CAMERA_FRONT_PASSWORD (its id
                               in capitals, - as _); VAS_DEFAULTS_<KEY>, VAS_EXPORT_<KEY>, VAS_SERVER_<KEY> likewise
  VAS_LOG                      log filter: error, warn, info (the default), debug
  VAS_LOG_FORMAT               text, json or journald; without it, journald if stderr is the journal, else text

Exit status: 0 stopped as asked, or every file played to its end; 1 failed at run time; 2 wrong usage or
configuration; 3 export refused; 5 another server runs with the same status file or metrics file, or exports one of
these cameras to the same base directory.
Of status: 0 every camera is live; 1 one of them is not; 2 wrong usage or configuration; 4 no server runs, or it has
not written for five seconds; 6 the status file cannot be read, or is one of another version.
Of reload: 0 done; 1 refused, or nobody answers; 2 wrong usage or configuration.
Of probe: 0 a transport works; 1 none does; 2 wrong usage or configuration.";

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGTERM, SIGINT or SIGQUIT; SIGHUP reads the configuration again.
    ///
    /// With SIGHUP, cameras whose keys or credentials changed are started again, new ones are started, those that are gone are
    /// stopped, and all others go on; [server] and [export] need a restart. What is wrong with the new configuration is said, and
    /// then nothing changes; a password file or a video that is not there is its own camera's matter alone. Variables and systemd credentials are those of the start; files with passwords are read again. When the
    /// terminal that it was started from goes away, the server stops.
    Run(Chosen),
    /// Shows what a running server's cameras do: a row each.
    ///
    /// Exit status: 0 every camera is live; 1 one of them is not; 2 wrong usage or configuration; 4 no server runs, or it has not
    /// written for five seconds; 6 the status file cannot be read, or is one of another version.
    Status {
        /// The status file as it is, in JSON.
        #[arg(long)]
        json: bool,
        /// Again every second, until it is ended.
        #[arg(long)]
        watch: bool,
        /// The status file ([server] status_file); without this and --config it is /run/vas/status.json.
        #[arg(long, value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// The server's configuration file, which says where the status file is.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Checks a configuration and says what is in it.
    CheckConfig(Chosen),
    /// Prints the configuration in effect as a configuration file, with where each value comes from; without passwords.
    PrintConfig(Chosen),
    /// Asks the running server to read its configuration again, and tells what became of it.
    ///
    /// Exit status: 0 done; 1 refused, or nobody answers; 2 wrong usage or configuration.
    Reload {
        /// The server's status file.
        #[arg(long, value_name = "STATUS_FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// Its configuration, which says where the status file is; checked before the server is asked.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How long to wait for its answer.
        #[arg(long, value_name = "MS", default_value_t = 10_000)]
        timeout_ms: u64,
    },
    /// Asks a camera what it offers, over which transports, and what it will cost. User name and password: VAS_PROBE_USERNAME and
    /// VAS_PROBE_PASSWORD, or the options; never in the URL.
    ///
    /// Exit status: 0 a transport works; 1 none does; 2 wrong usage or configuration.
    Probe(Probe),
    /// Prints what a camera takes of the shared memory and of the server's, by size of its pictures and number of slots.
    Memory,
}

/// What the cameras are.
#[derive(clap::Args)]
struct Chosen {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A camera: rtsp://.. (never with a password in it) or a video file. Can be given again.
    #[arg(long, value_name = "ID=URL_OR_FILE")]
    camera: Vec<String>,
    /// Base directory of the export.
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Probe {
    /// rtsp://.. (never with a password in it) or a video file.
    #[arg(value_name = "URL_OR_FILE")]
    place: String,
    /// The one transport to try; without it tcp and udp are tried.
    #[arg(long, value_name = "NAME")]
    transport: Option<String>,
    /// Whose RTSP client talks to the camera.
    #[arg(long, value_name = "NAME")]
    rtsp_client: Option<String>,
    /// User name.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A file with the password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// How long a transport may take to connect, and again to its first picture.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout_ms: u64,
    /// For programs.
    #[arg(long)]
    json: bool,
}

impl From<Chosen> for Request {
    fn from(chosen: Chosen) -> Self {
        Self { file: chosen.config, cameras: chosen.camera, base: chosen.base }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                say(&without_passwords(text));
                return EXIT_USAGE.into();
            }
            // Help and version; a closed pipe is nobody's fault.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return EXIT_WELL.into();
        }
    };
    let code = match cli.command {
        Command::Run(chosen) => run(&chosen.into()),
        Command::Status { json, watch, file, config } => status(json, watch, file, config),
        Command::CheckConfig(chosen) => commands::check_config(&chosen.into()),
        Command::Reload { file, config, timeout_ms } => {
            commands::reload(file, config, Duration::from_millis(timeout_ms))
        }
        Command::Probe(probe) => {
            let json = probe.json;
            let request = ProbeRequest {
                place: probe.place,
                username: probe.username,
                password_file: probe.password_file,
                transport: probe.transport,
                rtsp_client: probe.rtsp_client,
                timeout_ms: probe.timeout_ms,
            };
            commands::probe(&request, json)
        }
        Command::PrintConfig(chosen) => commands::print_config(&chosen.into()),
        Command::Memory => {
            let _ = std::io::stdout().write_all(memory::table().as_bytes());
            EXIT_WELL
        }
    };
    code.into()
}

/// clap repeats what it was given, and that may be an URL with a password.
fn without_passwords(mut text: String) -> String {
    // Whole arguments first, and then what stands behind their = signs: clap takes `--camera=..` apart.
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let mut given: Vec<String> = arguments.filter(|argument| argument.contains('@')).collect();
    for argument in given.clone() {
        let parts = argument.match_indices('=').map(|(i, _)| argument[i + 1..].to_owned());
        given.extend(parts.filter(|part| part.contains('@')));
    }
    given.sort_by_key(|part| std::cmp::Reverse(part.len()));
    for part in given {
        text = text.replace(&part, &redact::argument(&part));
    }
    redact::text(&text)
}

/// To stderr; a closed pipe is nobody's fault, and no reason to panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Where a server writes its status that was not told where: in systemd's directory, or in the usual one, if it is this user's.
fn usual_status_file() -> UsualStatusFile {
    let found = |path, because: &str| UsualStatusFile { path: Some(path), because: because.to_owned() };
    if let Some(path) = status_file::default_path(&variable) {
        return found(path, "the directory that systemd made, RUNTIME_DIRECTORY");
    }
    if let Some(path) = status_file::usual_path() {
        return found(path, "this user's directory /run/vas");
    }
    let because = match status_file::usual_directory_owner() {
        Some(uid) => format!(
            "/run/vas belongs to uid {uid}: a server of that user writes {}, one of this user no status",
            status_file::DEFAULT_FILE
        ),
        None => "there is no RUNTIME_DIRECTORY and no /run/vas, so a server that was started here writes no status"
            .to_owned(),
    };
    UsualStatusFile { path: None, because }
}

/// The configuration with that in the place of a key that is missing.
fn with_status_file(mut config: Config, default: Option<&PathBuf>) -> Config {
    let path = config.server.status_file.take().filter(|path| !path.as_os_str().is_empty());
    config.server.status_file = path.or_else(|| default.cloned());
    config
}

fn status(json: bool, watch: bool, file: Option<PathBuf>, config: Option<PathBuf>) -> u8 {
    let named = match (file, config) {
        (Some(file), _) => Some(file),
        (None, None) => None,
        // No more of it than that: whoever is editing it may look at the cameras all the same.
        (None, Some(name)) => match config::status_file(&name, &Environment::of_process()) {
            Ok(path) => path,
            Err(error) => {
                say(&format!("vas-ingest: {error}"));
                return EXIT_USAGE;
            }
        },
    };
    let path = named
        .or_else(|| status_file::default_path(&variable))
        .unwrap_or_else(|| status_file::DEFAULT_FILE.into());
    let clear = if watch && std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        let (text, code) = match status_file::read(&path) {
            Ok(status) => {
                let code = if status.report.is_all_live() { EXIT_WELL } else { EXIT_FAILED };
                (if json { status.text } else { status.report.table() }, code)
            }
            Err(why) => {
                let code = match why {
                    NoStatus::NotRunning(_) => EXIT_NO_SERVER,
                    NoStatus::Unreadable(_) => EXIT_UNREADABLE,
                };
                if !watch {
                    say(&format!("vas-ingest: {why}"));
                    return code;
                }
                (format!("vas-ingest: {why}\n"), code)
            }
        };
        let mut out = std::io::stdout();
        let written = write!(out, "{clear}{text}").and_then(|()| out.flush());
        // Whoever read it has gone.
        if !watch || written.is_err() {
            return code;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn run(request: &Request) -> u8 {
    leave_no_core();
    // Dropped at the end of this function, whichever it is: what is in the queue is written then.
    let log = match start_log() {
        Ok(log) => log,
        Err(sentence) => {
            say(&format!("vas-ingest: {sentence}"));
            return EXIT_USAGE;
        }
    };
    let default = usual_status_file().path;
    let config = match Config::load(request, &Environment::of_process()) {
        Ok(config) => with_status_file(config, default.as_ref()),
        Err(error) => {
            log.say(&format!("vas-ingest: {error}"));
            return EXIT_USAGE;
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let count = match config.cameras.len() {
        1 => "1 camera".to_owned(),
        count => format!("{count} cameras"),
    };
    match &config.export {
        Some(export) => tracing::info!(
            "{count}; the export is switched on, its base directory is {}",
            export.base.display()
        ),
        None => tracing::info!(
            "{count}; frames are not exported: set {EXPORT_ENABLED_VARIABLE}=true to export them"
        ),
    }
    // Before anything has a file that a signal's default would leave behind.
    let has_terminal = has_terminal();
    let mut signals = match signal_hook::iterator::Signals::new(signals()) {
        Ok(signals) => signals,
        Err(error) => {
            log.say(&format!("vas-ingest: take over SIGTERM and the like: {error}"));
            return EXIT_FAILED;
        }
    };
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => {
            log.say(&format!("vas-ingest: {error}"));
            return match error {
                StartError::Export(_) => EXIT_EXPORT_REFUSED,
                StartError::Taken(_) | StartError::Lock(LockError::Taken { .. }) => EXIT_ANOTHER_RUNS,
                _ => EXIT_FAILED,
            };
        }
    };
    let control = server.control();
    let handle = signals.handle();
    let reloader =
        Reloader { request: request.clone(), default, control: control.clone(), loading: Arc::default() };
    let (done, last_line) = mpsc::channel();
    let waiter = std::thread::Builder::new().name("vas-signals".into()).spawn(move || {
        // A server that nobody can stop in order any more is to stop now.
        let _guard = GiveUp(control.clone());
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            // The kernel sends the same signal when a terminal goes away.
            if signal == SIGHUP && (!has_terminal || self::has_terminal()) {
                tracing::info!("{name}: reading the configuration again");
                reloader.ask();
                continue;
            }
            // First the stop, then the talk: whatever becomes of the log, the server ends.
            control.stop();
            tracing::info!("{name}: stopping");
        }
        let _ = done.send(());
    });
    if let Err(error) = waiter {
        log.say(&format!("vas-ingest: start the thread for signals: {error}"));
        server.control().stop();
        server.run();
        return EXIT_FAILED;
    }
    let ended = server.run();
    // Its line about the signal may still be on the way.
    handle.close();
    let _ = last_line.recv_timeout(LAST_LINE_TIMEOUT);
    match ended {
        Ended::Well => EXIT_WELL,
        Ended::Failed => EXIT_FAILED,
    }
}

/// Reads the configuration again, in a thread that is there for as long as that takes: a file with a password may be one that
/// nobody writes to, or lie on a file system that hangs, and whoever waits for signals has to hear the next one.
struct Reloader {
    request: Request,
    /// Where the status is if the configuration does not say, as it was found at the start.
    default: Option<PathBuf>,
    control: Control,
    loading: Arc<Mutex<Loading>>,
}

/// One at a time.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Loading {
    #[default]
    Nothing,
    One,
    /// And what it reads may be old by now: once more after it.
    OneAndAnother,
}

impl Reloader {
    fn ask(&self) {
        {
            let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
            if *loading != Loading::Nothing {
                *loading = Loading::OneAndAnother;
                return;
            }
            *loading = Loading::One;
        }
        let (request, default) = (self.request.clone(), self.default.clone());
        let (control, loading) = (self.control.clone(), Arc::clone(&self.loading));
        let load = move || {
            loop {
                control.reloading();
                let load = || Config::load(&request, &Environment::of_process());
                match std::panic::catch_unwind(std::panic::AssertUnwindSafe(load)) {
                    Ok(config) => {
                        control.reload(config.map(|config| with_status_file(config, default.as_ref())));
                    }
                    // The panic's line has the rest. The next reload is a try of its own.
                    Err(_) => tracing::error!("the reload failed: its thread panicked"),
                }
                let mut loading = loading.lock().unwrap_or_else(PoisonError::into_inner);
                if *loading == Loading::One {
                    *loading = Loading::Nothing;
                    return;
                }
                *loading = Loading::One;
            }
        };
        if let Err(error) = std::thread::Builder::new().name("vas-reload".into()).spawn(load) {
            *self.loading.lock().unwrap_or_else(PoisonError::into_inner) = Loading::Nothing;
            tracing::error!("the reload failed: start the thread that reads the configuration: {error}");
        }
    }
}

/// Ends the server if the thread that has this panics.
struct GiveUp(Control);

impl Drop for GiveUp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

/// Passwords are in memory: a crash leaves none of it on a disk, unless somebody raises the limit again (prlimit(1)).
///
/// Of one byte: no file is written, which would have to be larger; and nothing is handed to a program that the system pipes cores to
/// (systemd-coredump, apport), for which a limit of 0 means nothing (core(5)) and one of 1 means that there is none
/// (kernel, `do_coredump`).
fn leave_no_core() {
    let limit = getrlimit(Resource::Core);
    // Where nothing at all is allowed only root can allow a byte.
    let wanted = Rlimit { current: Some(1), maximum: limit.maximum.map(|maximum| maximum.max(1)) };
    let set = setrlimit(Resource::Core, wanted)
        .or_else(|_| setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit }));
    if let Err(error) = set {
        tracing::debug!("a crash may leave a core file: {error}");
    }
}

/// Is there a terminal that could go away?
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// The signals that stop the server in order, the default of each would leave the files of the export behind; and SIGHUP.
///
/// SIGHUP and SIGQUIT only if whoever started the server did not have them ignored: nohup ignores the one so that the server
/// outlives its terminal, a shell the other for what runs in the background.
fn signals() -> Vec<c_int> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = vec![SIGTERM, SIGINT];
    signals.extend([SIGHUP, SIGQUIT].into_iter().filter(|&signal| !is_ignored(&status, signal)));
    signals
}

/// Does the mask `SigIgn` of a `/proc/PID/status` have this signal? Without one (no /proc) none is ignored.
fn is_ignored(status: &str, signal: c_int) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// What is told of a panic's message: its beginning, without passwords. Libraries print what they had in hand, such as pictures.
fn panic_sentence(message: &str) -> String {
    const MOST_CHARS: usize = 200;
    // In this order: of half an address it cannot be seen that it holds a password.
    redact::text(message).lines().next().unwrap_or_default().chars().take(MOST_CHARS).collect()
}

/// Logs to stderr; panics go there too, without the URL that may be in their message.
fn start_log() -> Result<Stderr, String> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) if !text.is_empty() => parse_filter(&text)?,
        Ok(_) | Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{LOG_VARIABLE} is not UTF-8")),
    };
    let format = Format::choose()?;
    let log = Stderr::start(format);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.writer())
        .with_ansi(format == Format::Text && std::io::stderr().is_terminal())
        .with_target(false)
        // Its own way to tell of a closed stderr is to print to stderr, which panics.
        .log_internal_errors(false);
    // Not by `init`: in a build where another crate asks for it, that takes in the crate `log` too, and with it what retina says,
    // headers and all, without the redaction.
    let set = match format {
        Format::Text => set_global_default(subscriber.finish()),
        Format::Json => set_global_default(subscriber.event_format(logging::Json).finish()),
        Format::Journald => set_global_default(subscriber.event_format(logging::Journald).finish()),
    };
    set.map_err(|error| format!("start the log: {error}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!("thread {thread} panicked at {place}: {}", panic_sentence(message));
    }));
    Ok(log)
}

/// EnvFilter takes a word that is no level for the name of a target, and shows nothing else: `warning` would be silence.
fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    const USE: &str = "use error, warn, info or debug";
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.contains(['=', '['])) {
        if directive.parse::<LevelFilter>().is_err() {
            return Err(format!("{LOG_VARIABLE} is {text:?}: {directive:?} is no level; {USE}"));
        }
    }
    EnvFilter::try_new(text).map_err(|why| format!("{LOG_VARIABLE} is {text:?}: {why}; {USE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_panic_the_beginning_is_told_and_no_password() {
        assert_eq!(panic_sentence("at rtsp://u:geheim@h/\nFrame([1, 2])"), "at rtsp://***@h/");
        let long = format!(
            "push with data already pending: rtsp://u:{}@h/ {}",
            "geheim".repeat(40),
            "7, ".repeat(900)
        );
        let told = panic_sentence(&long);
        assert!(told.chars().count() == 200 && !told.contains("geheim"), "{told}");
    }
}
