//! `vas-isolation`: what publishing a frame costs the server with readers and without, measured in pairs.
//!
//! One program that starts itself again as reader. A round of a condition is two blocks of frames, one with nobody attached and
//! one with the condition's readers, in alternating order; its ratio is that of the two medians. So what changes slowly on the
//! machine is in both. Run it through `cargo xtask isolation`.
//!
//! | module | what it holds |
//! |---|---|
//! | `server` | publishes at a camera's pace and measures each call |
//! | `crowd` | readers as processes, and what happens to them |
//! | `run` | conditions, rounds |
//! | `report` | the tables, and what they say in words |

mod crowd;
mod report;
mod run;
mod server;

use clap::Parser;
use std::process::ExitCode;

/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Measures what publishing a frame costs with 0, 1 and 16 readers, with all of them stopped, and when all are killed at once.
#[derive(Parser)]
#[command(name = "vas-isolation", version)]
pub(crate) struct Cli {
    /// For how long; each condition is measured once in any case
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Frames a second
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: u32,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let ended = if words.next().as_deref() == Some(crowd::ROLE) {
        crowd::read(&words.collect::<Vec<_>>()).map(|()| ExitCode::SUCCESS)
    } else {
        command(&Cli::parse())
    };
    ended.unwrap_or_else(|error| {
        eprintln!("vas-isolation: {error}");
        ExitCode::FAILURE
    })
}

fn command(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Some(measured) = run::run(cli)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    let report = report::Report::new(cli, &measured);
    if cli.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    let lost = report.frames_lost();
    if lost == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("{lost} of {} frames were not published, though there were files for them", report.frames())
        .into())
}
