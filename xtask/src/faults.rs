//! `cargo xtask faults`, `soak`, `formats`: a real server, cameras that misbehave, readers that say what they saw (tests/faults).

use std::path::Path;
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Args)]
pub(crate) struct Faults {
    /// Whose RTSP client the server uses
    #[arg(long, value_enum, default_value_t = Client::All)]
    client: Client,
    /// Only this fault; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Fewer faults, as continuous integration plays them
    #[arg(long)]
    quick: bool,
    /// Faults that are played at the same time
    #[arg(long, value_name = "N")]
    lanes: Option<usize>,
    /// Names the faults and what they are
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    Retina,
    Ffmpeg,
    /// The server chooses: few faults are played so
    Auto,
    All,
}

#[derive(Args)]
pub(crate) struct Soak {
    /// For how long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// How many cameras
    #[arg(long, default_value_t = 16)]
    cameras: u16,
    /// What is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
pub(crate) struct Formats {
    /// Only formats whose name holds these words
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

/// Builds it and plays what was asked for.
pub(crate) fn faults(workspace: &Workspace, options: &Faults) -> Outcome {
    ui::stage("Cameras that misbehave");
    let mut command = program(workspace, "faults")?;
    let client = match options.client {
        Client::Retina => "retina",
        Client::Ffmpeg => "ffmpeg",
        Client::Auto => "auto",
        Client::All => "all",
    };
    command.args(["--client", client]);
    command.args(options.only.iter().flat_map(|name| ["--only", name]));
    for (word, is_wanted) in [("--quick", options.quick), ("--list", options.list)] {
        if is_wanted {
            command.arg(word);
        }
    }
    if let Some(lanes) = options.lanes {
        command.args(["--lanes", &lanes.to_string()]);
    }
    run::step(&mut command)
}

/// Many cameras for long.
pub(crate) fn soak(workspace: &Workspace, options: &Soak) -> Outcome {
    ui::stage("Soak");
    let mut command = program(workspace, "soak")?;
    command.args(["--minutes", &options.minutes.to_string()]);
    command.args(["--cameras", &options.cameras.to_string(), "--seed", &options.seed.to_string()]);
    run::step(&mut command)
}

/// Every pixel format.
pub(crate) fn formats(workspace: &Workspace, options: &Formats) -> Outcome {
    ui::stage("Pixel formats");
    let mut command = program(workspace, "formats")?;
    command.args(options.only.iter().flat_map(|words| ["--only", words]));
    run::step(&mut command)
}

/// The short form of the faults, and all formats. Two faults at a time: a machine of continuous integration has two processors.
pub(crate) fn quick(workspace: &Workspace, shared_memory: &Path) -> Outcome {
    for (stage, verb, words) in [
        ("Cameras that misbehave", "faults", &["--quick", "--lanes", "2"][..]),
        ("Pixel formats", "formats", &[]),
    ] {
        ui::stage(stage);
        let mut command = program(workspace, verb)?;
        command.args(words).env("VAS_TEST_SHM", shared_memory);
        run::step(&mut command)?;
    }
    Ok(())
}

fn program(workspace: &Workspace, verb: &str) -> Outcome<Command> {
    setup::run(setup::Level::Test)?;
    let clips = clips::make(workspace, clips::Wanted::All)?;
    let packages = ["--package", "vas-faults", "--package", "vas-ingest", "--package", "vas-e2e"];
    run::step(workspace.cargo().args(["build", "--locked", "--bins"]).args(packages))?;
    let mut command = Command::new(workspace.target.join("debug").join("vas-faults"));
    command.current_dir(&workspace.root).arg(verb).env("VAS_CLIPS", clips);
    Ok(command)
}
