//! `completions` and `man`: words for shells and pages for man(1), made from the command line's own definition.

use crate::cli::Cli;
use crate::failure::Failure;
use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;

const NAME: &str = "vas-frames";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArguments {
    /// The shell that is to complete
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// Write a page for the program and one for each verb into this directory [default: print the program's page]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &CompletionsArguments, out: &mut dyn Write) -> Result<(), Failure> {
    // By way of memory: the generator panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), NAME, &mut text);
    if arguments.shell == clap_complete::Shell::Bash {
        // clap_complete 4.6.11 takes the hyphen of the program's name for the end of a word in one half of its script and not in
        // the other, so nothing behind a verb would be completed. Without effect once that is put right.
        let script = String::from_utf8_lossy(&text).replace("vas__subcmd__frames", "vas__frames");
        text = script.into_bytes();
    }
    Ok(out.write_all(&text)?)
}

pub(crate) fn man(arguments: &ManArguments, out: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.directory {
        None => Ok(clap_mangen::Man::new(Cli::command()).render(out)?),
        Some(directory) => clap_mangen::generate_to(Cli::command(), directory)
            .map_err(|error| Failure::Picture { path: directory.clone(), error }),
    }
}
