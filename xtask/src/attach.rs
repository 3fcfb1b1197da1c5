//! `cargo xtask attach`: how soon a reader of an idle camera has its first frame, and how soon the camera is idle again after
//! its reader was killed (bench/attach).

use std::process::Command;

use clap::Args;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// Readers that come to an idle camera, one after the other
    #[arg(long, default_value_t = 100)]
    times: u32,
    /// Cameras of the server, so that one can become idle again while readers come to the others
    #[arg(long, default_value_t = 20)]
    cameras: u32,
}

/// Builds it as it would be released, and measures.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    setup::run(setup::Level::Demo)?;
    let folder = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("From an open to the first frame, and back to idle");
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--release"]);
    build.args(
        ["vas-attach", "vas-frames", "vas-ingest", "vas-test-camera", "vas-e2e"]
            .map(|name| ["--package", name])
            .concat(),
    );
    run::step(&mut build)?;
    let mut command = Command::new(workspace.target.join("release").join("vas-attach"));
    command.args([
        "--times",
        &options.times.to_string(),
        "--cameras",
        &options.cameras.to_string(),
        "--clip",
    ]);
    command.arg(folder.join("yard.h264"));
    run::step(command.current_dir(&workspace.root))
}
