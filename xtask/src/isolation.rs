//! `cargo xtask isolation`: what publishing a frame costs a server with readers and without, in pairs (tests/isolation).

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// For how long; each condition is measured once in any case
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Frames a second
    #[arg(long, default_value_t = 60)]
    fps: u32,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// What continuous integration measures, in seconds: each condition once.
const QUICK_SECONDS: u64 = 3;

/// Builds it as it would be released and measures. No figure makes it fail, only a frame that was not published.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    ui::stage("Isolation");
    let mut command = program(workspace, true)?;
    command.args(["--seconds", &options.seconds.to_string(), "--fps", &options.fps.to_string()]);
    if options.json {
        command.arg("--json");
    }
    run::step(&mut command)
}

/// Whether it works; its figures mean nothing beside everything else.
pub(crate) fn quick(workspace: &Workspace, shared_memory: &Path) -> Outcome {
    ui::stage("Isolation");
    let mut command = program(workspace, false)?;
    command.args(["--seconds", &QUICK_SECONDS.to_string()]);
    run::step(command.env("VAS_TEST_SHM", shared_memory))
}

fn program(workspace: &Workspace, release: bool) -> Outcome<Command> {
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--package", "vas-isolation"]);
    if release {
        build.arg("--release");
    }
    run::step(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    let mut command = Command::new(workspace.target.join(profile).join("vas-isolation"));
    command.current_dir(&workspace.root);
    Ok(command)
}
