//! `cargo xtask scale`: what a server of many cameras takes, and whether it grows in a straight line (bench/scale).

use std::process::Command;

use clap::Args;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// Numbers of cameras, each larger than the one before
    #[arg(long, default_value = "1,16,64")]
    cameras: String,
    /// Pictures a second of each camera
    #[arg(long, default_value = "5")]
    fps: String,
    /// How long each row is measured
    #[arg(long, default_value = "20")]
    seconds: String,
    /// What the cameras skip, rows for each
    #[arg(long, default_value = "none,keyframes")]
    skip: String,
    /// Not optimised: for trying this command out
    #[arg(long)]
    dev: bool,
}

/// 320x240, a keyframe every 25 pictures: what two processors can play 64 times.
const CLIP: &str = "yard.h264";

/// Builds the server as it would be released, and measures.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    setup::run(setup::Level::Test)?;
    let folder = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("What each camera takes");
    let mut build = workspace.cargo();
    build.args(["build", "--locked"]);
    // vas-e2e: what ends the server should this end before it.
    for package in ["vas-scale", "vas-ingest", "vas-e2e"] {
        build.args(["--package", package]);
    }
    if !options.dev {
        build.arg("--release");
    }
    run::step(&mut build)?;
    let profile = if options.dev { "debug" } else { "release" };
    let mut command = Command::new(workspace.target.join(profile).join("vas-scale"));
    command
        .current_dir(&workspace.root)
        .arg("--clip")
        .arg(folder.join(CLIP))
        .args(["--cameras", &options.cameras, "--fps", &options.fps])
        .args(["--seconds", &options.seconds, "--skip", &options.skip]);
    run::step(&mut command)
}
