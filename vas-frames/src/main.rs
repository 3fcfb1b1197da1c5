//! The reader's command line: which cameras are there, what their headers say, their frames as they come, a picture.
//!
//! One verb a file. Everything is read through `vas-shm-reader`; nothing here could write to a shared file, and nothing of
//! the server is linked.
#![forbid(unsafe_code)]

mod cli;
mod color;
mod doctor;
mod failure;
mod human;
mod inspect;
mod list;
mod look;
mod manual;
mod pipe;
mod record;
mod recording;
mod replay;
mod snapshot;
mod top;
mod watch;

use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match cli::Cli::try_parse() {
        Ok(cli) => {
            let mut out = io::stdout().lock();
            cli.run(&mut out).and_then(|()| Ok(out.flush()?))
        }
        Err(error) => cli::answer(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                say(&failure);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Says a sentence on stderr. If nobody hears it there is nobody left to tell: `eprintln!` would panic.
fn say(sentence: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "vas-frames: {sentence}");
}
