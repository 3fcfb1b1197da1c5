//! `vas-probe BASE CAMERA`: the production reader in Rust as a program that can be asked, one command a line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use vas_interop::probe::{self, Fault};
use vas_shm_reader::CameraId;

#[derive(Parser)]
#[command(about = "The Rust reader, asked by lines on stdin (vas-shm-proto/conformance/README.md)")]
struct Cli {
    /// The base directory
    base: PathBuf,
    /// The camera's id
    camera: String,
    /// Give wrong answers, to prove that a harness notices
    #[arg(long)]
    fault: Option<Fault>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let camera = match CameraId::new(&cli.camera) {
        Ok(camera) => camera,
        Err(_) if cli.fault == Some(Fault::Camera) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-probe: camera {:?}: {error}", cli.camera);
            return ExitCode::from(2);
        }
    };
    match probe::run(&cli.base, &camera, cli.fault, std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) if cli.fault == Some(Fault::ExitCode) => ExitCode::from(3),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-probe: {error}");
            ExitCode::FAILURE
        }
    }
}
