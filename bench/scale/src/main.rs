//! `vas-scale`: what a server of 1, 16, 64 cameras takes, and whether the sixty-fourth takes what the second took.
//!
//! Real cameras (all of them in this process), a real server beside it with the export on and nobody looking, and what the kernel says
//! of that server. Run it through `cargo xtask scale`.
//!
//! | module | what it holds |
//! |---|---|
//! | `usage` | what /proc says of the server |
//! | `verdict` | the table, what a camera takes, and what has to hold of it |

mod usage;
mod verdict;

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use usage::Usage;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};
use vas_test_camera::{Clip, Options, PaceFrom, TestCamera};

/// Measures what a server of many cameras takes.
#[derive(Parser)]
#[command(name = "vas-scale", version)]
pub(crate) struct Cli {
    /// What every camera plays, an Annex-B file
    #[arg(long, value_name = "FILE")]
    clip: PathBuf,
    /// Numbers of cameras, each larger than the one before
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    cameras: Vec<usize>,
    /// Pictures a second of each camera
    #[arg(long, default_value_t = 5.0)]
    fps: f64,
    /// How long each row is measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// What the cameras skip, a row for each
    #[arg(long, value_delimiter = ',', default_value = "none,keyframes")]
    skip: Vec<String>,
}

/// One measurement.
pub(crate) struct Row {
    pub(crate) cameras: usize,
    pub(crate) skip: String,
    pub(crate) usage: Usage,
    /// Pictures decoded a second and camera, from the first to the last word of the server.
    pub(crate) pictures_per_s: f64,
}

fn main() -> ExitCode {
    match command(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    if cli.cameras.is_empty() || cli.cameras.windows(2).any(|two| two[0] >= two[1]) || cli.cameras[0] == 0 {
        return Err("--cameras wants numbers that rise, such as 1,16,64".into());
    }
    let most = cli.cameras.last().copied().unwrap_or(0);
    let mut cameras = Vec::with_capacity(most);
    for _ in 0..most {
        // The clip is parsed for each: they are cameras of their own, and this process is not the one that is measured.
        let options = Options { fps: cli.fps, pace_from: PaceFrom::FirstPlay, ..Options::default() };
        cameras.push(TestCamera::start(vec![Clip::load(&cli.clip)?], options)?);
    }
    let mut rows = Vec::new();
    for skip in &cli.skip {
        for &count in &cli.cameras {
            let row = measure(&cameras[..count], skip, Duration::from_secs(cli.seconds))?;
            println!("{}", verdict::progress(&row));
            rows.push(row);
        }
    }
    print!("\n{}", verdict::table(&rows, &verdict::video(&cli.clip, cli.fps)));
    let broken = verdict::broken(&rows, cli.fps);
    for sentence in &broken {
        println!("BROKEN: {sentence}");
    }
    match broken.len() {
        0 => Ok(()),
        count => Err(format!("{count} of what has to hold does not, see above").into()),
    }
}

fn measure(cameras: &[TestCamera], skip: &str, time: Duration) -> Result<Row, Box<dyn std::error::Error>> {
    let scene = Scene::new();
    let mut text = format!("[defaults]\nskip = {skip:?}\n");
    for (n, source) in cameras.iter().enumerate() {
        text += &camera(&format!("c{n}"), &source.url());
    }
    let server = Server::start(&scene, &text);
    // The line is the server's word that the first picture of a camera was decoded.
    let lines = (0..).map_while(|index| server.stderr.line(index));
    if lines.filter(|line| line.contains(" live: ")).take(cameras.len()).count() < cameras.len() {
        return Err(format!("the server ended:\n{}", server.stderr.so_far()).into());
    }
    let start = Instant::now();
    let before = usage::Cpu::of(server.id())?;
    while start.elapsed() < time {
        std::thread::sleep(time.saturating_sub(start.elapsed()));
    }
    let usage = Usage::of(server.id(), &before, start.elapsed(), scene.base().as_path())?;
    let (ended, _) = server.stop();
    if ended.code() != Some(0) {
        return Err(format!("the server ended with {:?}:\n{}", ended.code(), ended.stderr).into());
    }
    let rates = verdict::rates(&ended.stderr);
    if rates.len() != cameras.len() {
        return Err(format!(
            "{} cameras, and {} say at their end what they decoded",
            cameras.len(),
            rates.len()
        )
        .into());
    }
    let pictures_per_s = rates.iter().sum::<f64>() / rates.len() as f64;
    Ok(Row { cameras: cameras.len(), skip: skip.to_owned(), usage, pictures_per_s })
}

/// The name of the file alone.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
