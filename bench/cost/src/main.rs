//! `vas-cost`: what the export adds to a decoded frame, in counts that are the same on every run.
//!
//! One program that starts itself again as player, once under callgrind and once under strace for each row of its table. The
//! player decodes a clip through the server's own path (`vas-ingest`, feature `bench`), on one thread, as fast as it goes; or
//! it gives pictures from private memory to `vas-shm-writer` as any server does that embeds it. Run it through
//! `cargo xtask cost`.
//!
//! | module | what it holds |
//! |---|---|
//! | `player` | one row's loop: warm-up, then the frames that count |
//! | `callgrind`, `strace` | the player beneath each, and what they wrote |
//! | `rows` | which rows there are |
//! | `verdict` | the table, and what has to hold of it |

mod callgrind;
mod player;
mod rows;
mod strace;
mod verdict;

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Counts what the export adds to a decoded frame: instructions, system calls, allocations.
#[derive(Parser)]
#[command(name = "vas-cost", version)]
pub(crate) struct Cli {
    /// The same video twice: a small one, then a larger one
    #[arg(long, value_name = "FILE", num_args = 2, required = true)]
    clips: Vec<PathBuf>,
    /// Frames that count, after the warm-up
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60))]
    frames: u64,
    /// Makes a mistake on purpose, which has to be found: the exit code is 1 then
    #[arg(long)]
    mutant: Option<Mutant>,
}

/// Mistakes that the check is there to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mutant {
    /// Copies each picture into private memory before asking whether anybody wants it
    CopyFirst,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let ended = if words.next().as_deref() == Some(player::ROLE) {
        player::play(&words.collect::<Vec<_>>())
    } else {
        command(&Cli::parse())
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    let measured = rows::measure(cli)?;
    print!("{}", verdict::table(&measured, cli.mutant.is_some()));
    let broken = verdict::broken(&measured);
    for sentence in &broken {
        println!("BROKEN: {sentence}");
    }
    match broken.len() {
        0 => Ok(()),
        count => Err(format!("{count} of what has to hold does not, see above").into()),
    }
}
