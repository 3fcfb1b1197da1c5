//! `watch`: a line per frame, through restarts of the server.

use crate::cli::{CameraArgument, OwnerArgument, seconds};
use crate::failure::Failure;
use crate::human;
use md5::{Digest, Md5};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use vas_shm_reader::{
    CopyError, Event, Frame, FrameStream, Mode, Overwritten, Refused, Status, StreamStatus, monotonic_ns,
};

/// How often the output is looked at while no frame comes: whoever read it may have left.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// How long a refusal may last before the watch ends: two tries. A server that is just starting may be seen half way.
pub(crate) const REFUSAL_LIMIT: Duration = Duration::from_millis(1500);

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: CameraArgument,
    /// End after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print a JSON object per line, also for changes of state (which are on stderr otherwise)
    #[arg(long)]
    json: bool,
    /// Add a hash of the visible picture packed as NV12, comparable with `ffmpeg -pix_fmt nv12 -f framemd5`
    #[arg(long, value_name = "HASH")]
    hash: Option<Hash>,
    /// Which frame comes next: every one that still stands there, oldest first, or the newest
    #[arg(long, value_name = "MODE", default_value = "next")]
    mode: WhichNext,
    /// End with exit code 1 when no frame came for so long (default: wait for ever)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    owner: OwnerArgument,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Hash {
    Md5,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum WhichNext {
    Next,
    Latest,
}

/// A frame, as `--json` shows it.
#[derive(Debug, Serialize)]
struct FrameLine {
    frame_id: u64,
    timestamp_ns: u64,
    age_ms: f64,
    /// CLOCK_MONOTONIC when this reader found the frame.
    found_ns: u64,
    /// From before the first look for the camera's files until this frame was found: of the first frame of a camera that is
    /// there, the time from the open to the frame.
    since_start_ns: u64,
    skipped: u64,
    damaged: bool,
    width: u32,
    height: u32,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
}

/// A change of state, as `--json` shows it.
#[derive(Debug, Serialize)]
struct StateLine<'a> {
    state: &'a str,
    camera: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let camera = arguments.camera.id()?;
    let mode = match arguments.mode {
        WhichNext::Next => Mode::Next,
        WhichNext::Latest => Mode::Latest,
    };
    // Before anything is opened.
    let started_ns = monotonic_ns();
    let mut stream = FrameStream::new(base, camera).mode(mode).options(arguments.owner.options());
    let mut packed = Vec::new();
    let mut printed = 0;
    // Frames that were found but overwritten before they were hashed; told with the next line.
    let mut lost = 0;
    let mut last_frame_at = Instant::now();
    let mut last_status: Option<StreamStatus> = None;
    let mut refused: Option<(Instant, Refused)> = None;
    loop {
        let tick = arguments.timeout.map_or(TICK, |timeout| {
            TICK.min(timeout.saturating_sub(last_frame_at.elapsed())).max(Duration::from_millis(1))
        });
        match stream.next_event(tick) {
            Event::Frame(frame) => {
                last_frame_at = Instant::now();
                last_status = Some(StreamStatus::Open(Status::Live));
                refused = None;
                match line(&frame, started_ns, arguments.hash, &mut packed) {
                    Ok(mut line) => {
                        line.skipped = frame.skipped() + lost;
                        lost = 0;
                        print(out, &line, arguments.json)?;
                        printed += 1;
                        if arguments.count == Some(printed) {
                            return Ok(());
                        }
                    }
                    Err(Overwritten) => lost += frame.skipped() + 1,
                }
            }
            Event::Status(status) => {
                print_state(out, camera.as_str(), &status, arguments.json)?;
                refused = match &status {
                    StreamStatus::Refused(why) => {
                        let since = refused.map_or_else(Instant::now, |(since, _)| since);
                        Some((since, why.clone()))
                    }
                    StreamStatus::Waiting(_) | StreamStatus::Open(_) => None,
                };
                last_status = Some(status);
            }
            Event::Timeout => {
                if is_output_closed() {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
            }
        }
        let timed_out = arguments.timeout.filter(|&timeout| last_frame_at.elapsed() >= timeout);
        if let Some((_, why)) =
            refused.take_if(|(since, _)| timed_out.is_some() || since.elapsed() >= REFUSAL_LIMIT)
        {
            return Err(Failure::Refused(why));
        }
        if let Some(timeout) = timed_out {
            return Err(no_frame(camera.as_str(), timeout, last_status.as_ref()));
        }
    }
}

/// The failure of a wait that was limited.
pub(crate) fn no_frame(camera: &str, waited: Duration, last: Option<&StreamStatus>) -> Failure {
    Failure::NoFrame {
        camera: camera.to_owned(),
        seconds: waited.as_secs_f64(),
        last: last.map_or_else(|| "no sign of life from its server".to_owned(), ToString::to_string),
    }
}

/// Everything about a frame; only if it was whole to the end.
fn line(
    frame: &Frame<'_>,
    started_ns: u64,
    hash: Option<Hash>,
    packed: &mut Vec<u8>,
) -> Result<FrameLine, Overwritten> {
    let picture = frame.picture();
    // Before the hash: when the frame was found, and how old it was then.
    let found_ns = monotonic_ns();
    let age = frame.age();
    let md5 = match hash {
        None => None,
        Some(Hash::Md5) => {
            // Copied first, since hashing takes twenty times as long: most frames would be overwritten meanwhile.
            packed.resize(picture.packed_size() as usize, 0);
            match frame.copy_to(packed) {
                Ok(()) => {}
                Err(CopyError::Overwritten(overwritten)) => return Err(overwritten),
                Err(CopyError::BufferTooSmall { .. }) => unreachable!("the buffer has the packed size"),
            }
            Some(format!("{:x}", Md5::digest(&*packed)))
        }
    };
    let line = FrameLine {
        frame_id: frame.id().get(),
        timestamp_ns: frame.timestamp_ns(),
        age_ms: human::milliseconds(age),
        found_ns,
        since_start_ns: found_ns.saturating_sub(started_ns),
        skipped: 0,
        damaged: frame.is_damaged(),
        width: picture.width(),
        height: picture.height(),
        generation: frame.generation(),
        md5,
    };
    // The copy was proven when it was made; without one it is the timestamp and the flags that need the proof.
    if hash.is_some() || frame.is_intact() { Ok(line) } else { Err(Overwritten) }
}

fn print(out: &mut dyn Write, line: &FrameLine, json: bool) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, line)?;
    } else {
        let FrameLine { frame_id, timestamp_ns, age_ms, skipped, width, height, .. } = line;
        let damaged = if line.damaged { "damaged" } else { "whole" };
        write!(
            out,
            "frame {frame_id} timestamp_ns {timestamp_ns} age_ms {age_ms:.3} skipped {skipped} {width}x{height} {damaged}"
        )?;
        if let Some(md5) = &line.md5 {
            write!(out, " md5 {md5}")?;
        }
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

fn print_state(out: &mut dyn Write, camera: &str, status: &StreamStatus, json: bool) -> Result<(), Failure> {
    if !json {
        crate::say(&format_args!("camera {camera}: {status}"));
        return Ok(());
    }
    let why = match status {
        StreamStatus::Waiting(why) => Some(why.to_string()),
        StreamStatus::Refused(why) => Some(why.to_string()),
        StreamStatus::Open(_) => None,
    };
    serde_json::to_writer(&mut *out, &StateLine { state: status.name(), camera, why })?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Whether nobody reads standard output any more. Without asking, a watch of a camera that is gone would outlive its pipe.
pub(crate) fn is_output_closed() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_polled = poll(&mut fds, Some(&no_wait)).is_ok_and(|ready| ready > 0);
    is_polled && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
