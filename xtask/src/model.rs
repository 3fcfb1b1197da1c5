//! `cargo xtask model`: the algorithm as shipped under model checkers, and mutants that have to be caught.

use std::process::Command;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, ui};

/// What `cargo test -p vas-model` runs; in the long form also what that bounds or leaves out, and herd7 where it is installed.
pub(crate) fn command(workspace: &Workspace, long: bool) -> Outcome {
    ui::stage("The model");
    let mut command = workspace.cargo();
    command.args(["test", "-p", "vas-model"]);
    if !long {
        return run::step(&mut command);
    }
    run::step(command.env("VAS_MODEL", "long"))?;

    ui::stage("Litmus tests");
    let herd = std::env::var_os("HERD7").unwrap_or_else(|| "herd7".into());
    if run::output(Command::new(herd).arg("-version")).is_err() {
        ui::skipped(
            "herd7 is not on PATH and HERD7 names none; tests/model/litmus/README.md says where it comes from",
        );
        return Ok(());
    }
    run::step(
        workspace
            .cargo()
            .args(["test", "-p", "vas-model", "--test", "litmus", "--"])
            .args(["--ignored", "--nocapture"]),
    )
}
