//! Becomes another program that dies with the test that started it, however that test ends.
//!
//! `vas-e2e-leash PROGRAM ARGUMENTS..`. A test that is interrupted cannot clear up; programs in process groups of their own
//! would outlive it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("vas-e2e-leash: give a program and its arguments");
        return ExitCode::from(2);
    };
    let signal = Some(rustix::process::Signal::KILL);
    if let Err(error) = rustix::process::set_parent_process_death_signal(signal) {
        eprintln!("vas-e2e-leash: ask for a signal at the parent's death: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("vas-e2e-leash: start {}: {error}", program.to_string_lossy());
    ExitCode::from(127)
}
