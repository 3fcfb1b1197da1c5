//! `cargo xtask cost`: what the export adds to a decoded frame, in instructions, system calls and allocations (bench/cost).

use std::path::Path;
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// Fewer frames, with what continuous integration has built already: the profile dev
    #[arg(long)]
    quick: bool,
    /// Makes a mistake on purpose; succeeds if the check finds it
    #[arg(long)]
    mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mutant {
    /// Copies each picture before asking whether anybody wants it
    CopyFirst,
}

/// Frames that count: fewer than the small clip has behind the warm-up.
const FRAMES: u64 = 50;
const QUICK_FRAMES: u64 = 10;

/// The same video in two sizes, the larger one with twelve times as many pixels.
const CLIPS: [&str; 2] = ["yard.mp4", clips::STREET];

/// The exit code of a check that found something.
const FOUND: u8 = 1;

/// Builds it, as it would be released unless it is to be quick, and counts.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    measure(workspace, options, None)
}

/// The counts as they have to be, and the mistake that has to be found.
pub(crate) fn quick(workspace: &Workspace, shared_memory: &Path) -> Outcome {
    for mutant in [None, Some(Mutant::CopyFirst)] {
        measure(workspace, &Options { quick: true, mutant }, Some(shared_memory))?;
    }
    Ok(())
}

fn measure(workspace: &Workspace, options: &Options, shared_memory: Option<&Path>) -> Outcome {
    setup::run(setup::Level::Sanitize)?;
    let folder = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("What the export adds to a frame");
    if !cfg!(target_arch = "x86_64") {
        ui::skipped("the figures that are expected are those of x86_64");
        return Ok(());
    }
    let mut command = program(workspace, !options.quick)?;
    command.arg("--clips").args(CLIPS.map(|name| folder.join(name)));
    let frames = if options.quick { QUICK_FRAMES } else { FRAMES };
    command.args(["--frames", &frames.to_string()]);
    if let Some(shared_memory) = shared_memory {
        command.env("VAS_TEST_SHM", shared_memory);
    }
    let Some(mutant) = options.mutant else { return run::step(&mut command) };

    let name = mutant.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    command.args(["--mutant", &name]);
    match run::step(&mut command) {
        Err(failure) if failure.code == FOUND => {
            ui::good(&format!("the check finds the mistake {name}"));
            Ok(())
        }
        Err(failure) => Err(failure),
        Ok(()) => Err(Failure::new(format!("the check does not find the mistake {name}: it proves nothing"))),
    }
}

fn program(workspace: &Workspace, release: bool) -> Outcome<Command> {
    let mut build = workspace.cargo();
    // vas-e2e: what ends the reader should this end before it.
    build.args([
        "build",
        "--locked",
        "--package",
        "vas-cost",
        "--package",
        "vas-frames",
        "--package",
        "vas-e2e",
    ]);
    if release {
        build.arg("--release");
    }
    run::step(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    let mut command = Command::new(workspace.target.join(profile).join("vas-cost"));
    command.current_dir(&workspace.root);
    Ok(command)
}
