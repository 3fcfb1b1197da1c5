//! `replay`: hands over to `vas-replay`, which links the writer. This program must not.

use crate::failure::Failure;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "vas-replay";

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What vas-replay takes: FILE, --speed, --loop, --camera and more
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the program beside this one, or else the one on PATH. Comes back only if there is none.
pub(crate) fn run(base: Option<&Path>, arguments: &Arguments) -> Result<(), Failure> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    for program in beside.as_deref().into_iter().chain([Path::new(PROGRAM)]) {
        let mut command = Command::new(program);
        if let Some(base) = base {
            command.arg("--base").arg(base);
        }
        let error = command.args(&arguments.arguments).exec();
        if error.kind() != ErrorKind::NotFound {
            return Err(Failure::System { what: format!("start {}", program.display()), error });
        }
    }
    Err(Failure::NoReplay { beside })
}
