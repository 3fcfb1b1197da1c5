//! How long a picture takes into a slot, and out of it again for a reader, by each of several ways.
//!
//! A server and a reader as they are shipped, each on a processor of its own. In each round every way brings a new picture into
//! a slot of the same camera, the reader copies it out, and the times are compared with those of the first way in that
//! same round: so what changes slowly on the machine is in both. Times are those that the thread itself took of the
//! processor; a ratio is the median over all rounds.
//!
//! swscale is measured too, but only `vas-ingest` may know FFmpeg: so the program is its benchmark, and this is all but that
//! one way. Run it through `cargo xtask bench copy`.

mod kernels;
mod machine;
mod report;
mod run;

pub use run::{Foreign, Planar};

use clap::Parser;
use std::process::ExitCode;

/// Measures how long a picture takes into a slot, and out of it again for a reader, by each of several ways.
#[derive(Parser)]
#[command(name = "copy", version)]
pub(crate) struct Cli {
    /// Rounds of the smallest pictures; larger ones have fewer
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// What cargo hands to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The whole program. `foreign` makes what converts planar pictures of a width and a height, in pixels.
#[must_use]
pub fn main(foreign: &dyn Fn(usize, usize) -> Vec<Box<dyn Foreign>>) -> ExitCode {
    match run::run(&Cli::parse(), foreign) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("copy: {error}");
            ExitCode::FAILURE
        }
    }
}
