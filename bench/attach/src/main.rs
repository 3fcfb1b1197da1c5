//! `vas-attach`: how soon a reader of an idle camera has its first frame, and how soon the camera is idle again.
//!
//! A real camera, a real server and real readers. The server has many cameras on the one RTSP stream, because one that a reader
//! has left is looked at every five seconds only: so readers come to the others meanwhile. Run it through
//! `cargo xtask attach`.

use clap::Parser;
use serde::Deserialize;
use std::error::Error;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use vas_e2e::camera::Camera;
use vas_e2e::process::Process;
use vas_e2e::reader;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};

/// Measures the time from an open to the first frame, and from a reader's end to an idle camera.
#[derive(Parser)]
#[command(name = "vas-attach", version)]
struct Cli {
    /// An Annex-B clip of 25 pictures a second for the camera
    #[arg(long, value_name = "FILE")]
    clip: std::path::PathBuf,
    /// Readers that come to an idle camera, one after the other
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
    /// Cameras of the server
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    cameras: u32,
    /// Readers that are killed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
}

/// A camera that its last reader has left is idle again by then.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// So long nobody comes to a camera that was left: a little more than it has for becoming idle.
const REST: Duration = Duration::from_millis(10_500);
const PERIOD: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(30);
/// The flag "idle" in the header's word at this offset (PROTOCOL.md).
const FLAGS_OFFSET: usize = 60;
const IDLE: u8 = 1;

/// What is read of a frame's line.
#[derive(Debug, Deserialize)]
struct First {
    timestamp_ns: u64,
    found_ns: u64,
    since_start_ns: u64,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-attach: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let scene = Scene::new();
    let rtsp = Camera::start(&[&cli.clip]);
    let names: Vec<String> = (0..cli.cameras).map(|number| format!("camera-{number}")).collect();
    let config: String = names.iter().map(|name| camera(name, rtsp.url())).collect();
    let server = Server::start(&scene, &config);
    for name in &names {
        let meta = scene.base().join(name).join("frame.meta");
        wait_until(PATIENCE, || meta.exists())
            .ok_or_else(|| format!("{} was not made within {PATIENCE:?}", meta.display()))?;
    }

    let ratios = attach(&scene, &names, cli.times)?;
    let median = percentile(&ratios, 50);
    println!(
        "{} readers came to an idle camera of 25 frames a second: from before the open to the first frame, in frame \
         periods of {} ms: median {median:.2}, 90 of 100 within {:.2}, longest {:.2}, shortest {:.2}",
        cli.times,
        PERIOD.as_millis(),
        percentile(&ratios, 90),
        percentile(&ratios, 100),
        percentile(&ratios, 0),
    );

    let idle_after = kill(&scene, &names, cli.kills)?;
    let seconds: Vec<f64> = idle_after.iter().map(Duration::as_secs_f64).collect();
    println!(
        "{} readers were killed with SIGKILL: idle again after (s): median {:.2}, shortest {:.2}, longest {:.2}; the bound is {}",
        cli.kills,
        percentile(&seconds, 50),
        percentile(&seconds, 0),
        percentile(&seconds, 100),
        IDLE_LIMIT.as_secs()
    );
    server.stop_well();
    if median > 1.0 {
        return Err(format!("the median is {median:.2} frame periods, at most 1 expected").into());
    }
    Ok(())
}

/// Readers come to idle cameras; how long each waited, in frame periods.
fn attach(scene: &Scene, names: &[String], times: u32) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut left_at: Vec<Option<Instant>> = vec![None; names.len()];
    let mut ratios = Vec::new();
    for round in 0..times as usize {
        let place = round % names.len();
        if let Some(left_at) = left_at[place] {
            // Nobody may look whether it is idle: who opens the file attaches. Its first frame will say.
            std::thread::sleep(REST.saturating_sub(left_at.elapsed()));
        }
        // Readers come at any moment between two frames.
        std::thread::sleep(Duration::from_millis(round as u64 * 7 % PERIOD.as_millis() as u64));
        let words = ["watch", &names[place], "--json", "--count", "1", "--timeout", "30"];
        let ended = Process::run("vas-frames watch", &mut reader::command(scene, &words));
        left_at[place] = Some(Instant::now());
        let line = ended.stdout.lines().find(|line| line.contains("\"frame_id\""));
        let line = line.ok_or_else(|| format!("{} had no frame: {}", names[place], ended.stderr))?;
        let first: First = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if first.timestamp_ns < first.found_ns - first.since_start_ns {
            return Err(format!(
                "{} was not idle: its first frame was decoded before its reader came",
                names[place]
            )
            .into());
        }
        ratios.push(first.since_start_ns as f64 / PERIOD.as_nanos() as f64);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios)
}

/// Readers that have frames are killed; how long their camera took to be idle.
fn kill(scene: &Scene, names: &[String], times: u32) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut all = Vec::new();
    for round in 0..times as usize {
        let name = &names[round % names.len()];
        let words = ["watch", name, "--json"];
        let reader = Process::start("vas-frames watch", &mut reader::command(scene, &words));
        let mut lines = 0;
        while !reader.stdout.line(lines).ok_or("the watch ended")?.contains("\"frame_id\"") {
            lines += 1;
        }
        reader.kill();
        let killed_at = Instant::now();
        let meta = scene.base().join(name).join("frame.meta");
        wait_until(IDLE_LIMIT, || is_idle(&meta))
            .ok_or_else(|| format!("{name} was not idle {IDLE_LIMIT:?} after its last reader was killed"))?;
        all.push(killed_at.elapsed());
    }
    all.sort();
    Ok(all)
}

/// Whether the header says "idle" at the moment of this open. Its few microseconds count as a reader's.
fn is_idle(meta: &Path) -> bool {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let Ok(mut file) = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(meta) else {
        return false;
    };
    let mut header = [0; FLAGS_OFFSET + 4];
    file.read_exact(&mut header).is_ok() && header[FLAGS_OFFSET] & IDLE != 0
}

fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> Option<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if is_so() {
            return Some(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Of sorted values: the smallest that so many of a hundred do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len());
    sorted[place - 1]
}
