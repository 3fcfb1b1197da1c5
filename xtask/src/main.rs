//! `cargo xtask`: set-up, demo, tests and checks of this repository. One command a file.

mod address;
mod api;
mod attach;
mod bench;
mod ci;
mod clauses;
mod clips;
mod cost;
mod demo;
mod deny;
mod deps;
mod failure;
mod faults;
mod fresh;
mod fuzz;
mod generate;
mod git;
mod isolation;
mod layout;
mod leftovers;
mod model;
mod msrv;
mod no_std;
mod package;
mod process;
mod release;
mod run;
mod sanitize;
mod scale;
mod setup;
mod test;
mod torture;
mod ui;
mod unsafe_code;
mod vectors;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Outcome;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Set-up, demo, tests and checks of this repository"
)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what this machine lacks (Debian packages); says what and why
    Setup {
        /// What the machine is to be made ready for
        #[arg(long = "for", value_enum, default_value = "test")]
        level: setup::Level,
    },
    /// Show frames of a camera arriving in another process, take a picture, clean up
    Demo(demo::Options),
    /// Make the cameras' video clips and print where they are
    Clips,
    /// Set up, build and run every test
    Test {
        /// Handed to `cargo test`, such as `-p vas-shm-proto` or `-- --nocapture`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Everything that has to hold before a change lands, with a table at the end
    Ci,
    /// Demo and tests in a clean Debian with only git, a C compiler and Rust (needs root; by hand)
    Fresh(fresh::Options),
    /// Prove the walls between the crates
    Deps,
    /// The layout of the format as text, and the rules that keep every released reader working
    Layout {
        #[command(subcommand)]
        verb: layout::Verb,
    },
    /// Which tests and conformance files prove which clause of PROTOCOL.md, and which clause nothing proves
    Clauses,
    /// Every `unsafe` is in docs/unsafe.md, and every test that it, SECURITY.md or docs/testing.md names is there
    Unsafe,
    /// Write what is made from the layout: the C header, Python's constants, the table in PROTOCOL.md
    Generate {
        /// Write nothing, fail if a file is not what the layout makes of it
        #[arg(long)]
        check: bool,
    },
    /// The conformance files: pairs of files that every reader reads, refuses or waits for
    Vectors {
        #[command(subcommand)]
        verb: vectors::Verb,
    },
    /// The public interfaces of the published crates, against docs/api
    Api {
        #[command(subcommand)]
        verb: api::Verb,
    },
    /// Check every crate with the oldest Rust that it promises
    Msrv,
    /// Licences, sources, doubled versions and known weaknesses of dependencies
    Deny {
        /// Licences and sources only, without cargo-deny
        #[arg(long)]
        quick: bool,
    },
    /// Pack the crates that are for publication, look into the packages and build from them
    Package,
    /// Everything that has to hold before a release, and what a person types then
    Release(release::Options),
    /// Kill, stop, starve and mislead servers and readers, and see that no reader is misled and no server hurt
    Torture(torture::Options),
    /// Cameras that misbehave: what the server does, how soon frames come again, what the other cameras lose; and a password that
    /// is looked for everywhere
    Faults(faults::Faults),
    /// Many cameras for long with faults at random: memory, descriptors, threads, wrong frames, files left
    Soak(faults::Soak),
    /// Every pixel format that FFmpeg decodes, as readers get it, against the ffmpeg program
    Formats(faults::Formats),
    /// What publishing a frame costs a server with 0, 1 and 16 readers, stopped ones and killed ones
    Isolation(isolation::Options),
    /// Measure again what decisions were made by (docs/decisions); by hand
    Bench {
        #[command(subcommand)]
        verb: bench::Verb,
    },
    /// What the export adds to a decoded frame: instructions, system calls, allocations; fails if it is more than it may be
    Cost(cost::Options),
    /// What a server of 1, 16 and 64 cameras takes: threads, descriptors, memory, processor time; fails if it is no straight line
    Scale(scale::Options),
    /// How soon a reader of an idle camera has its first frame, and how soon the camera is idle again after it was killed
    Attach(attach::Options),
    /// The algorithm as shipped under model checkers, and mutants that have to be caught
    Model {
        /// Explore in full what the quick form bounds, and what it leaves out; run herd7 where it is installed
        #[arg(long)]
        long: bool,
    },
    /// The tests under AddressSanitizer and LeakSanitizer, the C reader under valgrind
    Sanitize(sanitize::Options),
    /// Fuzz the checks of the format, both readers and the configuration (needs a nightly toolchain)
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match carry_out(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui::failure(&failure.sentence);
            ExitCode::from(failure.code)
        }
    }
}

fn carry_out(verb: Verb) -> Outcome {
    // Asked for where it is needed: set-up needs nothing of the workspace, not even cargo.
    let workspace = Workspace::find;
    match verb {
        Verb::Setup { level } => setup::command(level),
        Verb::Demo(options) => demo::command(&workspace()?, &options),
        Verb::Clips => clips::command(&workspace()?),
        Verb::Test { args } => test::command(&workspace()?, &args, None),
        Verb::Ci => ci::command(&workspace()?),
        Verb::Fresh(options) => fresh::command(&workspace()?, &options),
        Verb::Deps => deps::command(&workspace()?),
        Verb::Layout { verb } => layout::command(workspace, &verb),
        Verb::Clauses => clauses::command(&workspace()?),
        Verb::Unsafe => unsafe_code::command(&workspace()?),
        Verb::Generate { check } => generate::command(&workspace()?, check),
        Verb::Vectors { verb } => vectors::command(&workspace()?, &verb),
        Verb::Api { verb } => api::command(&workspace()?, &verb),
        Verb::Msrv => msrv::command(&workspace()?),
        Verb::Deny { quick: true } => deny::quick(&workspace()?),
        Verb::Deny { quick: false } => deny::command(&workspace()?).map(drop),
        Verb::Package => package::command(&workspace()?, package::Tree::AsItStands),
        Verb::Release(options) => release::command(&workspace()?, &options),
        Verb::Torture(options) => torture::command(&workspace()?, &options),
        Verb::Faults(options) => faults::faults(&workspace()?, &options),
        Verb::Soak(options) => faults::soak(&workspace()?, &options),
        Verb::Formats(options) => faults::formats(&workspace()?, &options),
        Verb::Isolation(options) => isolation::command(&workspace()?, &options),
        Verb::Bench { verb } => bench::command(&workspace()?, &verb),
        Verb::Cost(options) => cost::command(&workspace()?, &options),
        Verb::Scale(options) => scale::command(&workspace()?, &options),
        Verb::Attach(options) => attach::command(&workspace()?, &options),
        Verb::Model { long } => model::command(&workspace()?, long),
        Verb::Sanitize(options) => sanitize::command(&workspace()?, &options),
        Verb::Fuzz(options) => fuzz::command(&workspace()?, &options),
    }
}
