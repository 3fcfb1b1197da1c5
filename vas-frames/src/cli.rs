//! The command line itself.

use crate::failure::Failure;
use crate::{doctor, inspect, list, manual, pipe, record, recording, replay, snapshot, top, watch};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use vas_shm_proto::DEFAULT_BASE;
use vas_shm_reader::{CameraId, Options};

/// Look at the camera frames that a VAS video server shows to other processes of this host.
///
/// Only reads: whatever is done here, the server does not notice, apart from knowing that somebody is attached.
#[derive(Debug, Parser)]
#[command(name = "vas-frames", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Directory under which the server exports its cameras [default: VAS_SHM_BASE, or else /dev/shm/vas]
    #[arg(long, global = true, value_name = "DIR")]
    base: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, or the output was closed by its reader; 1 not there, no frame in time, or \
nothing could be written; 2 usage; 3 refused; 4 the picture changed in a pipe. An interrupted watch ends by the signal, which shells show as 130.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every camera with its state, picture size, rate, memory and the age of its newest frame
    List(list::Arguments),
    /// Show every field of a camera's header, raw and decoded, also of a header that is refused
    ///
    /// The bytes are those that stood there when this opened the file. So the flag "idle" is shown as it was before: the look itself
    /// counts as a reader, and wakes an idle camera for some seconds, as `list` and `snapshot` do.
    Inspect(inspect::Arguments),
    /// Print a line per frame, through restarts of the server
    Watch(watch::Arguments),
    /// Write the newest frame as a PNG or JPEG picture, of one camera or of all
    Snapshot(snapshot::Arguments),
    /// Write a camera's frames with their times into a file, raw and whole
    ///
    /// Ends by --seconds, --count, --max-bytes, or SIGINT or SIGTERM. A recording that was broken off otherwise has all frames before
    /// that.
    Record(record::Arguments),
    /// Show what is in a recording, and whether all of it is whole
    Recording(recording::Arguments),
    /// Play a recording as a camera, by the program vas-replay (see `vas-replay --help`)
    #[command(disable_help_flag = true)]
    Replay(replay::Arguments),
    /// Write the pictures themselves to standard output, for `ffmpeg -i -` and `ffplay -`
    ///
    /// At the source's pace. Whoever reads slowly misses frames, which are counted on stderr at the end. A restart of the server
    /// with the same picture size goes on; a camera whose size or colour range changes ends it with exit code 4, since neither
    /// form can change on the way.
    Pipe(pipe::Arguments),
    /// Show all cameras as they are now, again and again: rate, age, jitter, readers, memory, and one with its picture
    ///
    /// In a terminal: q ends, the arrows choose, enter shows one camera with a small live picture. Elsewhere the table is printed
    /// once an interval. It holds the cameras open all the time, as any reader does: the server exports each of them meanwhile.
    /// READERS are other processes that have the camera open, as far as /proc tells this user: 2+ there may be more, ? not known.
    Top(top::Arguments),
    /// Find what keeps readers from a camera, and say the command that ends it
    ///
    /// Run it as the reader's user. It only reads; opening the cameras counts as a reader, and wakes an idle one for some seconds.
    /// Exit code 0 if nothing is found, 1 if something is.
    Doctor(doctor::Arguments),
    /// Print what a shell needs to complete this program's words
    ///
    /// For example: vas-frames completions bash > /usr/share/bash-completion/completions/vas-frames
    Completions(manual::CompletionsArguments),
    /// Print the manual page, or write one for each verb
    ///
    /// For example: vas-frames man /usr/local/share/man/man1
    Man(manual::ManArguments),
}

impl Cli {
    pub(crate) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let base = self.base.clone().unwrap_or_else(default_base);
        match &self.verb {
            Verb::List(arguments) => list::run(&base, arguments, out),
            Verb::Inspect(arguments) => inspect::run(&base, arguments, out),
            Verb::Watch(arguments) => watch::run(&base, arguments, out),
            Verb::Snapshot(arguments) => snapshot::run(&base, arguments, out),
            Verb::Record(arguments) => record::run(&base, arguments, out),
            Verb::Recording(arguments) => recording::run(arguments, out),
            Verb::Replay(arguments) => replay::run(self.base.as_deref(), arguments),
            Verb::Pipe(arguments) => pipe::run(&base, arguments),
            Verb::Top(arguments) => top::run(&base, arguments, out),
            Verb::Doctor(arguments) => doctor::run(&base, arguments, out),
            Verb::Completions(arguments) => manual::completions(arguments, out),
            Verb::Man(arguments) => manual::man(arguments, out),
        }
    }
}

/// The variable's directory. An empty variable is one that is not set; clap would take it for a mistake.
fn default_base() -> PathBuf {
    let base = std::env::var_os("VAS_SHM_BASE").filter(|base| !base.is_empty());
    base.map_or_else(|| PathBuf::from(DEFAULT_BASE), PathBuf::from)
}

/// The camera a verb works on.
#[derive(Debug, Args)]
pub(crate) struct CameraArgument {
    /// Id of the camera: the name of its directory
    #[arg(value_name = "CAMERA")]
    camera: String,
}

impl CameraArgument {
    /// Checked here and not by a value parser of clap, whose message would be four lines long.
    pub(crate) fn id(&self) -> Result<CameraId, Failure> {
        CameraId::new(&self.camera).map_err(|why| Failure::CameraId { given: self.camera.clone(), why })
    }
}

/// What a reader insists on beyond the camera.
#[derive(Debug, Args)]
pub(crate) struct OwnerArgument {
    /// Insist that the camera's files belong to this user (a number)
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
}

impl OwnerArgument {
    pub(crate) fn uid(&self) -> Option<u32> {
        self.owner
    }

    pub(crate) fn options(&self) -> Options {
        match self.owner {
            Some(uid) => Options::new().owner_uid(uid),
            None => Options::new(),
        }
    }
}

/// Seconds, with a fraction if wanted: more than nothing, at most a year.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 365.0 * 86400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds above 0 is needed, such as 5 or 0.5".to_owned()),
    }
}

/// What clap has to say: help and version are output like any other, the rest is one sentence.
pub(crate) fn answer(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print()?;
            Ok(std::io::stdout().flush()?)
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let sentence =
                "a verb is missing: list, top, watch, snapshot, pipe, inspect, doctor, record, recording or replay"
                    .to_owned();
            Err(Failure::Usage { sentence })
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // The first paragraph says what is wrong; usage lines and tips follow it.
            let first = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            Err(Failure::Usage { sentence: first.collect::<Vec<_>>().join(" ") })
        }
    }
}
