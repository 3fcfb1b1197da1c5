//! `cargo xtask vectors`: the conformance files, made, compared, shown to a reader. All of it is done by `vas-vectors` of
//! tests/interop; here are only the words.

use std::ffi::OsString;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, ui};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Write them all, and remove what is not one of them
    Make,
    /// Make them all in memory and compare with what is committed
    Check,
    /// Show each to a reader: a probe, started as PROGRAM BASE CAMERA (vas-shm-proto/conformance/README.md)
    Run {
        /// Only vectors whose name contains this
        #[arg(long)]
        only: Option<String>,
        /// The probe, and arguments that come before BASE and CAMERA
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

pub(crate) fn command(workspace: &Workspace, verb: &Verb) -> Outcome {
    ui::stage("Conformance files");
    // Not in the workspace's root: a probe's path is relative to where the person is.
    let mut command = run::cargo();
    command.args(["run", "--locked", "--quiet", "--manifest-path"]).arg(workspace.root.join("Cargo.toml"));
    command.args(["--package", "vas-interop", "--bin", "vas-vectors", "--"]);
    match verb {
        Verb::Make => command.arg("make"),
        Verb::Check => command.arg("check"),
        Verb::Run { only, program } => {
            command.arg("run").args(only.iter().flat_map(|part| ["--only", part]));
            command.arg("--").args(program)
        }
    };
    run::step(&mut command)
}
