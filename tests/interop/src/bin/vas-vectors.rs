//! `vas-vectors make|check|run`: the one program that makes the conformance files, and shows them to readers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vas_interop::{harness, vectors};

#[derive(Parser)]
#[command(about = "Makes the conformance files, checks them, and shows them to a reader")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// The conformance files, unless they are those of this repository
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Write them all, and remove what is not one of them
    Make,
    /// Make them all in memory and compare
    Check,
    /// Show each to a reader: a probe, started as PROGRAM BASE CAMERA
    Run {
        /// The probe, and arguments that come before BASE and CAMERA
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
        /// Only vectors whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let directory = cli.directory.unwrap_or_else(harness::directory);
    let outcome = match cli.verb {
        Verb::Make => vectors::make(&directory),
        Verb::Check => vectors::check(&directory),
        Verb::Run { program, only } => run(&directory, &program, only.as_deref()),
    };
    match outcome {
        Ok(sentence) => {
            println!("{sentence}");
            ExitCode::SUCCESS
        }
        Err(sentences) => {
            for sentence in sentences {
                eprintln!("vas-vectors: {sentence}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(directory: &std::path::Path, program: &[OsString], only: Option<&str>) -> vectors::Outcome {
    let vectors = harness::load(directory).map_err(|error| vec![error])?;
    let chosen: Vec<_> = vectors
        .iter()
        .filter(|vector| only.is_none_or(|part| vector.case.name.contains(part)))
        .cloned()
        .collect();
    if chosen.is_empty() {
        return Err(vec![format!("no vector has {:?} in its name", only.unwrap_or_default())]);
    }
    let report = harness::run(&vectors, &chosen, program);
    print!("{}", report.text());
    let manifest = directory.join(vectors::MANIFEST);
    let manifest =
        std::fs::read(&manifest).map_err(|error| vec![format!("read {}: {error}", manifest.display())])?;
    let passed = report.passed.len();
    if !report.failed.is_empty() {
        return Err(vec![format!("{} of {} vectors failed", report.failed.len(), report.total())]);
    }
    if passed == 0 {
        return Err(vec![format!("none of {} vectors could be shown, which says nothing", report.total())]);
    }
    // A part of the vectors is no claim.
    if let Some(part) = only {
        return Ok(format!("only those with {part:?} in their names: {passed} of {}", vectors.len()));
    }
    let claim = if passed == vectors.len() { "reads" } else { "reads, with some left out," };
    Ok(format!(
        "{claim} conformance v1: {passed} of {} at MANIFEST {}",
        vectors.len(),
        harness::sha256(&manifest)
    ))
}
