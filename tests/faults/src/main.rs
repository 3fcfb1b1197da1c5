//! `vas-faults`: what a server does with cameras that misbehave, and whether the cameras beside them notice.
//!
//! A real `vas-ingest` as a process of its own, real RTSP cameras under this program's control, real readers. Run it through
//! `cargo xtask faults`, `cargo xtask soak` and `cargo xtask formats`, which build what it starts.
//!
//! | module | what it holds |
//! |---|---|
//! | `faults` | what is done to a camera, one name each, and what has to come of it |
//! | `stage` | a fault's server, cameras and readers, and what holds for every fault |
//! | `watch` | a reader that writes down what it sees |
//! | `canary` | a password that is looked for everywhere |
//! | `runner` | divides faults among threads, prints the table |
//! | `soak` | many cameras, faults at random, figures at both ends |
//! | `formats` | every pixel format that FFmpeg's decoders give, against the `ffmpeg` program |
//! | `figures` | memory, descriptors and threads of a process |

mod canary;
mod faults;
mod figures;
mod formats;
mod runner;
mod soak;
mod stage;
mod watch;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Faulty cameras beside healthy ones, a server that has to bear them, readers that say what they saw.
#[derive(Parser)]
#[command(name = "vas-faults", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Each fault by itself: what the server did, how long until frames came again, what the other cameras lost
    Faults(runner::Options),
    /// Many cameras for long, faults at random
    Soak(soak::Options),
    /// Every pixel format, as readers get it, against the ffmpeg program
    Formats(formats::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Faults(options) => runner::run(&options),
        Verb::Soak(options) => soak::run(&options),
        Verb::Formats(options) => formats::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("vas-faults: {error}");
        ExitCode::FAILURE
    })
}
