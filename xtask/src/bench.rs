//! `cargo xtask bench`: measurements that decisions were made by (docs/decisions), to be made again on another machine.

use clap::{Args, Subcommand};

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, setup, ui};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// How long a picture takes into a slot and out of it again, by each of several ways (bench/copy)
    Copy(Copy),
}

#[derive(Args)]
pub(crate) struct Copy {
    /// Rounds of the smallest pictures; larger ones have fewer
    #[arg(long, default_value_t = 400)]
    rounds: u32,
}

/// Builds it as it would be released and measures. No figure makes it fail, only a way that brings in another picture.
pub(crate) fn command(workspace: &Workspace, verb: &Verb) -> Outcome {
    setup::run(setup::Level::Test)?;
    let Verb::Copy(options) = verb;
    ui::stage("Ways into a slot");
    let mut command = workspace.cargo();
    command.args(["bench", "--locked", "--package", "vas-ingest", "--bench", "copy", "--"]);
    run::step(command.args(["--rounds", &options.rounds.to_string()]))
}
