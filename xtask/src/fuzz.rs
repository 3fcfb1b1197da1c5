//! `cargo xtask fuzz`: the fuzz targets under `fuzz/`, by cargo-fuzz on a nightly toolchain.
//!
//! cargo-fuzz is installed once into `<target>/tools`. Coverage instrumentation exists on nightly only, so without one
//! this is skipped, and says so.

use std::path::PathBuf;
use std::process::Command;

use crate::ci::Verdict;
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, setup, ui};

const TARGETS: &[&str] = &["header"];
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Fuzzes each target for this long; fails when nightly is missing.
pub(crate) fn command(workspace: &Workspace, seconds: u64) -> Outcome {
    match quick(workspace, seconds)? {
        Verdict::Passed => Ok(()),
        Verdict::Skipped(reason) => Err(Failure::new(format!("fuzzing is not possible here: {reason}"))),
    }
}

/// The same for CI, where a machine without nightly is no failure.
pub(crate) fn quick(workspace: &Workspace, seconds: u64) -> Outcome<Verdict> {
    ui::stage("Fuzzing");
    if !nightly_is_there() {
        let reason = "no nightly toolchain is installed (`rustup toolchain install nightly`)";
        ui::skipped(reason);
        return Ok(Verdict::Skipped(reason.to_owned()));
    }
    setup::run(setup::Level::Fuzz)?;
    let cargo_fuzz = cargo_fuzz(workspace)?;
    for target in TARGETS {
        let mut command = Command::new("rustup");
        command.current_dir(&workspace.root).env("RUST_BACKTRACE", "0");
        // The outer cargo's own variables would make this one a stable cargo again.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO_TARGET_DIR");
        command.args(["run", "nightly"]).arg(&cargo_fuzz).args(["run", target, "--target-dir"]);
        command.arg(workspace.target.join("fuzz"));
        command.arg("--").arg(format!("-max_total_time={seconds}"));
        command.args(["-print_final_stats=1", "-max_len=4096", "-verbosity=0"]);
        ui::note(&format!("$ {}", run::shown(&command).trim_start_matches("RUST_BACKTRACE=0 ")));
        let lines =
            run::behind_ticker(&format!("fuzzing {target} for {seconds} s (and building it)"), &mut command)?;
        let executions = lines.iter().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        ui::good(&format!("{target}: {} executions, no finding", executions.unwrap_or("?").trim()));
    }
    Ok(Verdict::Passed)
}

fn nightly_is_there() -> bool {
    // rustup would otherwise install what it is asked for.
    let list = run::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    list.lines().any(|line| line.starts_with("nightly"))
}

/// Installs cargo-fuzz if it is not there; gives the program.
fn cargo_fuzz(workspace: &Workspace) -> Outcome<PathBuf> {
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.is_file() {
        let mut command = workspace.cargo();
        command
            .args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION, "--root"])
            .arg(&tools);
        ui::note(&format!("$ {}", run::shown(&command)));
        run::behind_ticker("building cargo-fuzz, once", &mut command)?;
    }
    Ok(program)
}
