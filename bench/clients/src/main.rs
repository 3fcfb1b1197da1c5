//! `vas-clients`: how long a picture takes from its last packet to a reader, by each RTSP client.
//!
//! A real camera, one real server that has the camera twice (by retina and by FFmpeg's client), and two real readers. Both see the
//! same pictures, which are told by their hashes; for both, a picture begins when its last packet was there, as retina tells it. Run it
//! through `cargo xtask bench clients`.

use clap::Parser;
use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use vas_e2e::camera::Camera;
use vas_e2e::clips::ffmpeg;
use vas_e2e::reader::{Frame, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, CLIENTS, Server, rtsp_camera};

/// Measures the time from a picture's last packet to its frame, by both RTSP clients.
#[derive(Parser)]
#[command(name = "vas-clients", version)]
struct Cli {
    /// The folder with the clips h264.h264 and h265.h265
    #[arg(long, value_name = "DIRECTORY")]
    clips: PathBuf,
    /// Frames that each reader takes of each camera
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    frames: u32,
}

/// Two frames with one hash that are further apart are of two rounds of the clip.
const SAME_PICTURE_NS: u64 = 1_000_000_000;

/// What the server's log has of a frame.
#[derive(Clone, Copy)]
struct Times {
    decode_ns: u64,
    received_ns: u64,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-clients: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let heavy = heavy_clip(folder.path())?;
    println!("Times in ms from the last packet of a picture: median (90 of 100 within).\n");
    println!(
        "{:<18} {:<9} {:<7} {:>7} {:>8} {:>16} {:>15} {:>16} {:>16}",
        "clip",
        "transport",
        "client",
        "frames",
        "damaged",
        "decoded",
        "decoding alone",
        "the rest of it",
        "a reader has it"
    );
    for (name, clip) in [
        ("h264 640x480", cli.clips.join("h264.h264")),
        ("h265 640x480", cli.clips.join("h265.h265")),
        ("h264 1280x720 *", heavy),
    ] {
        for transport in ["tcp", "udp"] {
            measure(name, &clip, transport, cli.frames as usize)?;
        }
    }
    println!(
        "\n* noise of 16 Mbit/s, with keyframes that are larger than the kernel's default buffer of a UDP socket"
    );
    Ok(())
}

/// Noise, so that keyframes are large.
fn heavy_clip(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let clip = folder.join("heavy.h264");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=1280x720:r=25,noise=alls=24:allf=t",
    ]);
    command.args([
        "-frames:v",
        "100",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-b:v",
        "16M",
    ]);
    command.args(["-x264-params", "aud=1:keyint=25:scenecut=0"]);
    ffmpeg(command.arg(&clip))?;
    Ok(clip)
}

fn measure(name: &str, clip: &Path, transport: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let scene = Scene::new();
    // Whoever comes sees what the camera sees now, and not the clip's beginning.
    let rtsp = Camera::start_with(&[clip], &["--join", "idr"]);
    let mut watches = CLIENTS.map(|client| Watch::start(&scene, client));
    let config = CLIENTS.map(|client| rtsp_camera(client, rtsp.url(), client, transport)).concat();
    let config = scene.file("vas.toml", &config);
    let mut command = server::command(&scene);
    command.args(["run", "--config"]).arg(config).env("VAS_LOG", "info,vas_ingest::frames=trace");
    let server = Server::start_command(&mut command);
    let frames = watches.each_mut().map(|watch| {
        // The first ones are of the connecting.
        let _ = watch.frames(10);
        watch.frames(count)
    });
    let (ended, _) = server.stop();
    let times: HashMap<u64, Times> = ended.stderr.lines().filter_map(times_of).collect();
    let [by_retina, _] = &frames;
    for (client, frames) in CLIENTS.iter().zip(&frames) {
        let (mut decoded, mut decoding, mut rest, mut found) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for frame in frames {
            let Some(same) = by_retina.iter().find(|other| is_same(frame, other)) else { continue };
            let (Some(own), Some(first)) = (times.get(&frame.timestamp_ns), times.get(&same.timestamp_ns))
            else {
                continue;
            };
            let since = |ns: u64| (ns as f64 - first.received_ns as f64) / 1e6;
            decoded.push(since(frame.timestamp_ns));
            decoding.push(own.decode_ns as f64 / 1e6);
            rest.push(since(frame.timestamp_ns) - own.decode_ns as f64 / 1e6);
            found.push(since(frame.found_ns));
        }
        let damaged = frames.iter().filter(|frame| frame.damaged).count();
        println!(
            "{name:<18} {transport:<9} {client:<7} {:>7} {damaged:>8} {:>16} {:>15} {:>16} {:>16}",
            frames.len(),
            told(decoded),
            told(decoding),
            told(rest),
            told(found)
        );
    }
    Ok(())
}

fn is_same(frame: &Frame, other: &Frame) -> bool {
    !frame.damaged
        && !other.damaged
        && frame.md5 == other.md5
        && frame.timestamp_ns.abs_diff(other.timestamp_ns) < SAME_PICTURE_NS
}

/// A line about one frame, by the time when it was decoded, which readers know too.
fn times_of(line: &str) -> Option<(u64, Times)> {
    let field = |name: &str| {
        let value = line.split(name).nth(1)?;
        value.split(' ').next()?.parse::<u64>().ok()
    };
    let times = Times { decode_ns: field(" decode_ns=")?, received_ns: field(" received_ns=")? };
    Some((field(" decoded_ns=")?, times))
}

/// Median, and what 90 of 100 do not exceed.
fn told(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (values.len() * percent).div_ceil(100).max(1);
        values.get(place - 1).copied()
    };
    match (at(50), at(90)) {
        (Some(median), Some(most)) => format!("{median:.2} ({most:.2})"),
        _ => "-".into(),
    }
}
