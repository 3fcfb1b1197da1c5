//! `cargo xtask bench`: measurements that decisions were made by (docs/decisions), to be made again on another machine.

use std::process::Command;

use clap::{Args, Subcommand};

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// How long a picture takes into a slot and out of it again, by each of several ways (bench/copy)
    Copy(Copy),
    /// From the last packet of a picture to a frame that a reader has, by each RTSP client (bench/clients)
    Clients(Clients),
}

#[derive(Args)]
pub(crate) struct Clients {
    /// Frames that each reader takes of each camera
    #[arg(long, default_value_t = 150)]
    frames: u32,
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
    let options = match verb {
        Verb::Copy(options) => options,
        Verb::Clients(options) => return clients(workspace, options),
    };
    ui::stage("Ways into a slot");
    let mut command = workspace.cargo();
    command.args(["bench", "--locked", "--package", "vas-ingest", "--bench", "copy", "--"]);
    run::step(command.args(["--rounds", &options.rounds.to_string()]))
}

fn clients(workspace: &Workspace, options: &Clients) -> Outcome {
    let folder = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("From the last packet to the frame");
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--release"]);
    let packages = ["vas-clients", "vas-frames", "vas-ingest", "vas-test-camera", "vas-e2e"];
    run::step(build.args(packages.map(|name| ["--package", name]).concat()))?;
    let mut command = Command::new(workspace.target.join("release").join("vas-clients"));
    command.args(["--frames", &options.frames.to_string(), "--clips"]).arg(folder);
    run::step(command.current_dir(&workspace.root))
}
