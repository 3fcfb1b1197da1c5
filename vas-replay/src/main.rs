//! Plays a recording through the writer that servers use, as a camera that is not there: consumers see what they would see of a
//! server, and `vas-frames record` is where recordings come from.
//!
//! Its own program, and not a verb of `vas-frames`, because that links nothing that could write to a shared file.
#![forbid(unsafe_code)]

mod failure;
mod play;
mod schedule;
mod source;

use clap::Parser;
use clap::error::ErrorKind;
use failure::Failure;
use play::{Ended, Played, Player, Wishes};
use serde::Serialize;
use source::{Choice, Source};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;
use vas_recording::Ending;
use vas_shm_proto::DEFAULT_BASE;
use vas_shm_writer::{CameraId, ExportWhen, Exporter, ExporterConfig, Heartbeat, SlotCount, monotonic_ns};

/// Play a recording of a camera, as a server would show that camera.
///
/// Frames come with the spacing they had, with new times of this machine's CLOCK_MONOTONIC; what changed its size then does so now,
/// what stalled stalls. As a server does, it copies pixels while somebody has the camera's files open. Ends with the recording, by SIGINT
/// or by SIGTERM, and removes the camera's files.
#[derive(Debug, Parser)]
#[command(name = "vas-replay", version, after_help = EXIT_CODES)]
struct Cli {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory to export in, on a tmpfs [default: VAS_SHM_BASE, or else /dev/shm/vas]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Play it as this camera [default: the one that was recorded]
    #[arg(long, value_name = "ID")]
    camera: Option<String>,
    /// So many times as fast
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed, allow_negative_numbers = true)]
    speed: f64,
    /// Begin again at the end, for ever
    #[arg(long = "loop")]
    repeat: bool,
    /// Begin with this frame; 1 is the first
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// End after so many frames (with --loop: begin again after them)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Begin when somebody has the camera's files open, so that no frame is missed
    #[arg(long)]
    wait: bool,
    /// Copy pixels also while nobody looks
    #[arg(long, conflicts_with = "wait")]
    always: bool,
    /// Slots of the camera
    #[arg(long, value_name = "N", default_value_t = SlotCount::DEFAULT.get(), value_parser = clap::value_parser!(u32).range(2..=8))]
    slots: u32,
    /// The group whose members may read, by number
    #[arg(long, value_name = "GID")]
    group: Option<u32>,
    /// Print what was played as a JSON object
    #[arg(long)]
    json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 played, or ended by SIGINT or SIGTERM; 1 not there, no room or failed; 2 usage; 3 refused: a damaged \
recording, a base directory that cannot be used, or a camera that another process exports.";

/// What was played, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Report<'r> {
    camera: &'r str,
    /// `end`, `cut`, `damaged` or `signal`.
    ended: &'static str,
    /// Of the first byte that is not a whole record; of a recording that was cut or is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    frames: u64,
    published: u64,
    unwatched: u64,
    lost: u64,
    late: u64,
    worst_late_ms: f64,
    shifted_ms: f64,
    new_pairs: u64,
    laps: u64,
    seconds: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Says a sentence on stderr. If nobody hears it there is nobody left to tell: `eprintln!` would panic.
fn say(sentence: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "vas-replay: {sentence}");
}

fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    if cli.repeat && cli.file == Path::new("-") {
        return Err(Failure::LoopOfStdin);
    }
    let given = cli
        .camera
        .as_deref()
        .map(|given| CameraId::new(given).map_err(|why| Failure::CameraId { given: given.to_owned(), why }));
    let given = given.transpose()?;
    // What the writer has to say, in its own words.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::WARN)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .init();
    // Before it listens to signals: a pipe may have nothing to say for long, and until then there is nothing to clean up.
    let reader = source::open(&cli.file)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register(*signal, Arc::clone(&stop))
            .map_err(|error| Failure::System { what: "listen to signals", error })?;
    }
    let camera = given.unwrap_or(reader.start().camera);
    let base = cli.base.clone().unwrap_or_else(default_base);
    let choice = Choice { from: cli.from, count: cli.count, repeat: cli.repeat };
    let source = Source::start(reader, cli.file.clone(), choice)?;

    // A directory that somebody made beforehand stays: a container may have it mounted.
    let was_there = base.join(camera.as_str()).exists();
    let config = ExporterConfig::new(&base)
        .group(cli.group)
        .slots(SlotCount::new(cli.slots).unwrap_or(SlotCount::DEFAULT))
        .when(if cli.always { ExportWhen::Always } else { ExportWhen::Attached })
        .heartbeat(Heartbeat::Caller);
    let exporter = Exporter::start(config)?;
    let wishes = Wishes { speed: cli.speed, wait: cli.wait };
    let (played, ended, exported) = Player::new(&exporter, camera, wishes, &stop).run(&source)?;
    if let Some(exported) = exported {
        if was_there {
            drop(exported);
        } else {
            exported.remove();
        }
    }
    exporter.shutdown();
    if !was_there {
        // Where the recording itself ended in a stop the camera is gone, and its directory is not; one that holds anything stays.
        let _ = std::fs::remove_dir(base.join(camera.as_str()));
    }
    report(&cli, &camera, &played, &ended);
    match ended {
        Ended::Damaged(error) => Err(Failure::Recording { path: cli.file, error }),
        Ended::Recording(_) if played.frames == 0 => {
            let why = if cli.from > 1 { ": it has fewer than --from says" } else { "" };
            Err(Failure::NoFrame { path: cli.file, why })
        }
        Ended::Recording(_) | Ended::Signal => Ok(()),
    }
}

fn report(cli: &Cli, camera: &CameraId, played: &Played, ended: &Ended) {
    let (name, offset) = match ended {
        Ended::Recording(Some(Ending::Cut { offset })) => ("cut", Some(*offset)),
        Ended::Recording(_) => ("end", None),
        Ended::Damaged(vas_recording::ReadError::Damaged { offset, .. }) => ("damaged", Some(*offset)),
        Ended::Damaged(_) => ("damaged", None),
        Ended::Signal => ("signal", None),
    };
    let seconds =
        played.first_ns.map_or(0.0, |first_ns| milliseconds(monotonic_ns().saturating_sub(first_ns)) / 1e3);
    let report = Report {
        camera: camera.as_str(),
        ended: name,
        offset,
        frames: played.frames,
        published: played.published,
        unwatched: played.unwatched,
        lost: played.lost,
        late: played.late,
        worst_late_ms: milliseconds(played.worst_late_ns),
        shifted_ms: milliseconds(played.shifted_ns),
        new_pairs: played.new_pairs,
        laps: played.laps,
        seconds,
    };
    let text = if cli.json {
        serde_json::to_string(&report).unwrap_or_default()
    } else {
        let Report { frames, published, unwatched, lost, late, worst_late_ms, shifted_ms, .. } = report;
        let broken_off = match offset {
            Some(offset) => format!("; the recording is broken off at byte {offset}"),
            None => String::new(),
        };
        format!(
            "played {frames} frames as camera {camera} in {seconds:.1} s: {published} published, {unwatched} while nobody looked, {lost} without a slot, {late} late (worst {worst_late_ms:.1} ms), all {shifted_ms:.0} ms later than recorded{broken_off}"
        )
    };
    // Whoever started this may have left.
    let _ = writeln!(io::stdout(), "{text}");
}

fn milliseconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_micros() as f64 / 1e3
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.01 to 1000 is needed, such as 1 or 0.5".to_owned()),
    }
}

/// The variable's directory. An empty variable is one that is not set; clap would take it for a mistake.
fn default_base() -> PathBuf {
    let base = std::env::var_os("VAS_SHM_BASE").filter(|base| !base.is_empty());
    base.map_or_else(|| PathBuf::from(DEFAULT_BASE), PathBuf::from)
}

/// What clap has to say: help and version are output like any other, the rest is one sentence.
fn answer(error: &clap::Error) -> Result<(), Failure> {
    if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
        let _ = error.print();
        return Ok(());
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // The first paragraph says what is wrong; usage lines and tips follow it.
    let first = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    Err(Failure::Usage { sentence: first.collect::<Vec<_>>().join(" ") })
}
