//! `cargo xtask bench`: measurements that decisions were made by (docs/decisions), to be made again on another machine.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, Subcommand};

use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::{clips, run, setup, ui};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// How long a picture takes into a slot and out of it again, by each of several ways (bench/copy)
    Copy(Copy),
    /// From the last packet of a picture to a frame that a reader has, by each RTSP client (bench/clients)
    Clients(Clients),
    /// How long a frame takes to RGB, grey and a model's input, beside swscale and OpenCV (bench/convert)
    Convert(Convert),
    /// What waiting costs a reader and how soon it has a frame, by policy and language, beside a poll every millisecond (bench/waiting)
    #[command(long_flag = "waiting")]
    Waiting(Waiting),
}

#[derive(Args)]
pub(crate) struct Waiting {
    /// Rounds: each reader once a round
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Frames that each reader counts in a round
    #[arg(long, default_value_t = 300)]
    frames: u32,
    /// Write every figure as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Clients {
    /// Frames that each reader takes of each camera
    #[arg(long, default_value_t = 150)]
    frames: u32,
}

#[derive(Args)]
pub(crate) struct Convert {
    /// Rounds of each task
    #[arg(long, default_value_t = 200)]
    rounds: u32,
}

#[derive(Args)]
pub(crate) struct Copy {
    /// Rounds of the smallest pictures; larger ones have fewer
    #[arg(long, default_value_t = 400)]
    rounds: u32,
}

/// Builds it as it would be released and measures. No figure makes it fail, only a way that brings in another picture.
pub(crate) fn command(workspace: &Workspace, verb: &Verb) -> Outcome {
    setup::run(setup::Level::Test)?;
    let options = match verb {
        Verb::Copy(options) => options,
        Verb::Clients(options) => return clients(workspace, options),
        Verb::Convert(options) => return convert(workspace, options),
        Verb::Waiting(options) => return waiting(workspace, options),
    };
    ui::stage("Ways into a slot");
    let mut command = workspace.cargo();
    command.args(["bench", "--locked", "--package", "vas-ingest", "--bench", "copy", "--"]);
    run::step(command.args(["--rounds", &options.rounds.to_string()]))
}

fn clients(workspace: &Workspace, options: &Clients) -> Outcome {
    let folder = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("From the last packet to the frame");
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--release"]);
    let packages = ["vas-clients", "vas-frames", "vas-ingest", "vas-test-camera", "vas-e2e"];
    run::step(build.args(packages.map(|name| ["--package", name]).concat()))?;
    let mut command = Command::new(workspace.target.join("release").join("vas-clients"));
    command.args(["--frames", &options.frames.to_string(), "--clips"]).arg(folder);
    run::step(command.current_dir(&workspace.root))
}

fn waiting(workspace: &Workspace, options: &Waiting) -> Outcome {
    ui::stage("Waiting for frames");
    run::step(workspace.cargo().args(["build", "--locked", "--release", "--package", "vas-waiting"]))?;
    let release = workspace.target.join("release");
    let in_c = release.join("vas-waiting-c");
    let mut compile = Command::new("gcc");
    compile.args(["-std=c11", "-O2", "-I", "bindings/c/include", "bench/waiting/c/read.c", "-o"]).arg(&in_c);
    run::step(compile.current_dir(&workspace.root))?;
    let mut command = Command::new(release.join("vas-waiting"));
    command.arg("measure").args(["--rounds", &options.rounds.to_string()]);
    command.args(["--frames", &options.frames.to_string()]);
    command.arg("--program").arg(format!("C={}", in_c.display()));
    match python(workspace) {
        Ok(python) => {
            command.arg("--program").arg(format!("Python={} bench/waiting/python/read.py", python.display()));
        }
        Err(why) => ui::note(&format!("   SKIPPED: the reader in Python: {why}")),
    }
    if let Some(file) = &options.json {
        command.arg("--json").arg(file);
    }
    run::step(command.current_dir(&workspace.root))
}

/// The interpreter of an environment with the package of this working tree, built as it would be released.
fn python(workspace: &Workspace) -> Result<PathBuf, Failure> {
    ui::stage("The Python package");
    let environment = workspace.target.join("waiting-python");
    run::step(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin").join("python");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--force-reinstall", "./bindings/python"]);
    run::step(install.current_dir(&workspace.root))?;
    Ok(python)
}

/// OpenCV for Python, which alone is compared with it: fetched where it can be, and named as skipped where it cannot.
const OPENCV: &str = "opencv-python-headless==4.12.0.88";

fn convert(workspace: &Workspace, options: &Convert) -> Outcome {
    let clips = clips::make(workspace, clips::Wanted::All)?;
    ui::stage("OpenCV");
    let packages = workspace.target.join("opencv");
    if !packages.join("cv2").is_dir() {
        let mut fetch = Command::new("python3");
        fetch.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]).arg(&packages);
        // The program says itself that it goes without.
        if let Err(why) = run::step(fetch.arg(OPENCV)) {
            ui::note(&format!("   not fetched: {why}"));
        }
    }
    ui::stage("A frame to pixels");
    let mut command = workspace.cargo();
    command.args(["bench", "--locked", "--package", "vas-ingest", "--bench", "convert", "--"]);
    command.args(["--rounds", &options.rounds.to_string(), "--python", "python3", "--clips"]).arg(clips);
    run::step(command.env("PYTHONPATH", packages))
}
