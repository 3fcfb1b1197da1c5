//! What waiting for frames costs a reader, and how soon after its publication it has a frame in its hands.
//!
//! One publisher, the real writer with small pictures, so that nothing but the waiting is measured; readers as processes of their
//! own, one after the other in rounds (A B C, A B C), each attached to the same camera for the same time. A reader says when it
//! found each frame; a frame's timestamp is the clock as it was read right before its publication. A process's processor time is the
//! kernel's, over just the time in which it waited.
#![forbid(unsafe_code)]

mod measure;
mod publish;
mod read;
mod report;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// The camera's name.
const CAMERA: &str = "waiting";

#[derive(Parser)]
#[command(about = "What waiting for frames costs, by policy and language")]
enum Verb {
    /// Measure everything and print the table
    Measure(measure::Options),
    /// The publisher: a frame every period, until it is killed
    #[command(hide = true)]
    Publish(publish::Options),
    /// One reader in Rust
    #[command(hide = true)]
    Read(read::Options),
}

/// Where the publisher writes and the readers look.
#[derive(clap::Args)]
struct Base {
    /// The base directory
    #[arg(long)]
    base: PathBuf,
}

fn main() -> ExitCode {
    let done = match Verb::parse() {
        Verb::Measure(options) => measure::run(&options),
        Verb::Publish(options) => publish::run(&options),
        Verb::Read(options) => read::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-waiting: {error}");
            ExitCode::FAILURE
        }
    }
}
