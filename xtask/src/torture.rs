//! `cargo xtask torture`: real servers and readers that are killed, stopped, starved and lied to (tests/torture).

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, ui};

#[derive(Args)]
pub(crate) struct Options {
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
    #[arg(long, value_name = "N")]
    lanes: Option<usize>,
    /// Takes less of the processor when others want it: 1 to 19
    #[arg(long, value_name = "N")]
    nice: Option<u8>,
    /// The writer and reader as they are released, without overflow checks: takes a build of its own
    #[arg(long)]
    release: bool,
    /// Names the scenarios and what they do
    #[arg(long)]
    list: bool,
}

/// What continuous integration plays, in seconds.
const QUICK_SECONDS: u64 = 20;
const QUICK_BLIND_SECONDS: u64 = 5;

/// Builds it and plays what was asked for.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    ui::stage("Torture");
    let mut command = program(workspace, options.release)?;
    command.args(["--seconds", &options.seconds.to_string(), "--seed", &options.seed.to_string()]);
    command.args(options.scenarios.iter().flat_map(|name| ["--scenario", name]));
    for (word, is_wanted) in [("--blind", options.blind), ("--json", options.json), ("--list", options.list)]
    {
        if is_wanted {
            command.arg(word);
        }
    }
    if let Some(lanes) = options.lanes {
        command.args(["--lanes", &lanes.to_string()]);
    }
    if let Some(nice) = options.nice {
        command.args(["--nice", &nice.to_string()]);
    }
    run::step(&mut command)
}

/// A short run of everything, and one that has to see tears.
pub(crate) fn quick(workspace: &Workspace, shared_memory: &Path) -> Outcome {
    ui::stage("Torture");
    for (seconds, blind) in [(QUICK_SECONDS, None), (QUICK_BLIND_SECONDS, Some("--blind"))] {
        let mut command = program(workspace, false)?;
        command.args(["--seed", "1", "--seconds", &seconds.to_string()]).args(blind);
        command.env("VAS_TEST_SHM", shared_memory);
        // As for the tests: what root cannot play on a machine that was set up is lost.
        if rustix::process::geteuid().is_root() {
            command.env("VAS_NO_SKIP", "1");
        }
        run::step(&mut command)?;
    }
    Ok(())
}

fn program(workspace: &Workspace, release: bool) -> Outcome<Command> {
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--package", "vas-torture"]);
    if release {
        build.arg("--release");
    }
    run::step(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    let mut command = Command::new(workspace.target.join(profile).join("vas-torture"));
    command.current_dir(&workspace.root);
    Ok(command)
}
