//! `vas-ingest`: the server's command line.

use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use vas_ingest::config::{Config, EXPORT_ENABLED_VARIABLE, Request};
use vas_ingest::redact;
use vas_ingest::server::{Ended, Server, StartError};

/// Stopped as asked, or every file played to its end.
const EXIT_WELL: u8 = 0;
/// Something failed at run time.
const EXIT_FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const EXIT_USAGE: u8 = 2;
/// The export was refused at start: the base directory cannot be trusted or used.
const EXIT_EXPORT_REFUSED: u8 = 3;

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
  VAS_CAMERA_<ID>_USERNAME, VAS_CAMERA_<ID>_PASSWORD
                               credentials of a camera (its id in capitals, - as _)
  VAS_LOG                      log filter: error, warn, info (the default), debug

Exit status: 0 stopped as asked, or every file played to its end; 1 failed at run time; 2 wrong usage or
configuration; 3 export refused.";

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGTERM or SIGINT.
    Run {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A camera: rtsp://.. (never with a password in it) or a video file. Can be given again.
        #[arg(long, value_name = "ID=URL_OR_FILE")]
        camera: Vec<String>,
        /// Base directory of the export.
        #[arg(long, value_name = "DIR", env = "VAS_SHM_BASE")]
        base: Option<PathBuf>,
    },
    /// Checks a configuration file and says what is in it.
    CheckConfig {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap repeats what it was given, and that may be an URL with a password.
            let text = error.render().to_string();
            if error.use_stderr() {
                say(&redact::text(&text));
                return EXIT_USAGE.into();
            }
            // Help and version; a closed pipe is nobody's fault.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return EXIT_WELL.into();
        }
    };
    let code = match cli.command {
        Command::Run { config, camera, base } => run(&Request { file: config, cameras: camera, base }),
        Command::CheckConfig { config } => check_config(config),
    };
    code.into()
}

/// To stderr; a closed pipe is nobody's fault, and no reason to panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn check_config(file: PathBuf) -> u8 {
    let name = file.display().to_string();
    match Config::load(&Request { file: Some(file), ..Request::default() }, &environment) {
        Ok(config) => {
            for warning in &config.warnings {
                say(&format!("vas-ingest: {warning}"));
            }
            let ids: Vec<&str> = config.cameras.iter().map(|camera| camera.id.as_str()).collect();
            let export = if config.export.is_some() { "on" } else { "off" };
            let _ = writeln!(std::io::stdout(), "{name}: cameras {}; export {export}", ids.join(", "));
            EXIT_WELL
        }
        Err(error) => {
            say(&format!("vas-ingest: {error}"));
            EXIT_USAGE
        }
    }
}

fn run(request: &Request) -> u8 {
    if let Err(sentence) = start_log() {
        say(&format!("vas-ingest: {sentence}"));
        return EXIT_USAGE;
    }
    let config = match Config::load(request, &environment) {
        Ok(config) => config,
        Err(error) => {
            say(&format!("vas-ingest: {error}"));
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
        Some(export) => tracing::info!("{count}; frames are exported below {}", export.base.display()),
        None => tracing::info!("{count}; frames are not exported ({EXPORT_ENABLED_VARIABLE})"),
    }
    // Before anything has a file that a signal's default would leave behind.
    let signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT]);
    let mut signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("vas-ingest: take over SIGTERM and SIGINT: {error}"));
            return EXIT_FAILED;
        }
    };
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => {
            say(&format!("vas-ingest: {error}"));
            return match error {
                StartError::Export(_) => EXIT_EXPORT_REFUSED,
                _ => EXIT_FAILED,
            };
        }
    };
    let stopper = server.stopper();
    let waiter = std::thread::Builder::new().name("vas-signals".into()).spawn(move || {
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            tracing::info!("{name}: stopping");
            stopper.stop();
        }
    });
    if let Err(error) = waiter {
        say(&format!("vas-ingest: start the thread for signals: {error}"));
        server.stopper().stop();
        server.run();
        return EXIT_FAILED;
    }
    match server.run() {
        Ended::Well => EXIT_WELL,
        Ended::Failed => EXIT_FAILED,
    }
}

/// Logs to stderr; panics go there too, without the URL that may be in their message.
fn start_log() -> Result<(), String> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|why| format!("{LOG_VARIABLE} is {text:?}: {why}; use error, warn, info or debug"))?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{LOG_VARIABLE} is not UTF-8")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Its own way to tell of a closed stderr is to print to stderr, which panics.
        .log_internal_errors(false)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!("thread {thread} panicked at {place}: {}", redact::text(message));
    }));
    Ok(())
}
