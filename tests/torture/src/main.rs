//! `vas-torture`: servers and readers as real processes that are killed, stopped, starved, moved and lied to.
//!
//! One program that starts itself in other roles. Every picture carries its number in each of its bytes, so that whoever
//! accepts a mixture is found out; every process writes what it saw into a ledger that outlives it; at the end both sides are
//! compared. Run it through `cargo xtask torture`.
//!
//! | module | what it holds |
//! |---|---|
//! | `scenarios` | what is done to whom, one name each |
//! | `stage` | a scenario's processes, folders and clock, and what all of them saw |
//! | `server`, `reader`, `impostor` | the roles |
//! | `witness` | how a reader looks at a frame, and what it writes down |
//! | `picture` | pictures, times and flags that follow from a number |
//! | `ledger` | counters and lines that survive SIGKILL |
//! | `report` | the table |
//! | `os` | the only unsafe: counters shared by processes, leases, locks, fork |

mod impostor;
mod ledger;
mod os;
mod picture;
mod reader;
mod report;
mod role;
mod runner;
mod scenarios;
mod server;
mod stage;
mod witness;

use clap::Parser;
use std::process::ExitCode;

/// Tortures servers and readers, and fails if a reader was misled or a server hurt.
#[derive(Parser)]
#[command(name = "vas-torture", version)]
pub(crate) struct Cli {
    /// For how long, all scenarios together; each is played once in any case
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Readers accept frames without the check, and must be seen to accept torn ones
    #[arg(long)]
    blind: bool,
    /// Only this one; may be given again
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
    /// Scenarios that are played at the same time
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// Takes less of the processor when others want it: 0 to 19
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
    /// Names the scenarios and what they do
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let played = match words.next().as_deref().and_then(|word| word.to_str()) {
        Some(role::ROLE) => {
            let call = words.next().and_then(|call| call.into_string().ok()).unwrap_or_default();
            role::play(&call).map(|()| ExitCode::SUCCESS)
        }
        Some(role::LEASH) => role::leash(words).map(|()| ExitCode::SUCCESS),
        _ => runner::run(&Cli::parse()),
    };
    played.unwrap_or_else(|error| {
        eprintln!("vas-torture: {error}");
        ExitCode::FAILURE
    })
}
