//! `pipe`: the pictures themselves on standard output, for `ffmpeg -i -` and `ffplay -`.
//!
//! Neither form of output can change its picture size on the way, so a camera that does ends the pipe.

use crate::cli::{CameraArgument, OwnerArgument, seconds};
use crate::failure::Failure;
use crate::watch::{REFUSAL_LIMIT, TICK, is_output_closed, no_frame};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};
use vas_shm_reader::{
    Color, ColorRange, CopyError, Event, Frame, FrameStream, Mode, Nv12, Reader, Refused, Status,
    StreamStatus,
};

/// Where the header names no rate: it is measured over so many frames, which are not written.
const MEASURED_FRAMES: u64 = 10;

/// Arguments of `pipe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: CameraArgument,
    /// What is written: YUV4MPEG2, which says its size and rate itself, or nothing but the bytes of each picture as NV12
    #[arg(long, value_name = "FORMAT", default_value = "y4m")]
    format: Form,
    /// End after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Frames a second that the y4m header names [default: those that the camera names, or else those measured]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,
    /// End with exit code 1 when no frame came for so long (default: wait for ever)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    owner: OwnerArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Form {
    Y4m,
    Nv12,
}

/// Frames a second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    frames: u64,
    seconds: u64,
}

/// What may not change while a pipe stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    width: u32,
    height: u32,
    range: ColorRange,
}

impl Shape {
    fn of(frame: &Frame<'_>) -> Self {
        let Color { range, .. } = frame.color();
        Self { width: frame.picture().width(), height: frame.picture().height(), range }
    }

    fn describe(self) -> String {
        let range = match self.range {
            ColorRange::Full => "full",
            ColorRange::Limited => "limited",
            ColorRange::Unknown => "unknown",
        };
        format!("{}x{}, range {range}", self.width, self.height)
    }
}

/// What became of the frames.
#[derive(Debug, Default)]
struct Counts {
    written: u64,
    skipped: u64,
}

pub(crate) fn run(base: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let camera = arguments.camera.id()?;
    if io::stdout().is_terminal() {
        return Err(Failure::Terminal { camera: camera.to_string() });
    }
    // Past the buffer of standard output, which would look for the ends of lines in pictures.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let stream = FrameStream::new(base, camera).mode(Mode::Next).options(arguments.owner.options());
    let mut counts = Counts::default();
    let done = copy(stream, arguments, &mut out, &mut counts);
    let Counts { written, skipped } = counts;
    crate::say(&format_args!("camera {camera}: {written} frames written, {skipped} skipped"));
    done
}

fn copy(
    mut stream: FrameStream,
    arguments: &Arguments,
    out: &mut File,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut rate = arguments.rate;
    let mut first: Option<Stamp> = None;
    let mut shape: Option<Shape> = None;
    let mut packed = Vec::new();
    let mut bytes = Vec::new();
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
                counts.skipped += if shape.is_some() { frame.skipped() } else { 0 };
                let found = Shape::of(&frame);
                if let Some(was) = shape.filter(|was| *was != found) {
                    return Err(Failure::Changed { was: was.describe(), now: found.describe() });
                }
                packed.resize(frame.picture().packed_size() as usize, 0);
                match frame.copy_to(&mut packed) {
                    Ok(()) => {}
                    Err(CopyError::Overwritten(_)) => {
                        counts.skipped += u64::from(shape.is_some());
                        continue;
                    }
                    Err(CopyError::BufferTooSmall { .. }) => unreachable!("the buffer has the packed size"),
                }
                let (picture, is_first) = (*frame.picture(), shape.is_none());
                let stamp = Stamp {
                    generation: frame.generation(),
                    id: frame.id().get(),
                    timestamp_ns: frame.timestamp_ns(),
                };
                bytes.clear();
                if arguments.format == Form::Nv12 {
                    if is_first {
                        crate::say(&format_args!("{}", how_to_read(&picture)));
                    }
                    bytes.extend_from_slice(&packed);
                } else {
                    if is_first {
                        let period_ns = stream.reader().map_or(0, Reader::frame_period_ns);
                        rate = rate.or_else(|| Rate::of(period_ns)).or_else(|| measured(&mut first, stamp));
                        let Some(rate) = rate else { continue };
                        bytes.extend_from_slice(header(found, rate).as_bytes());
                    }
                    planar(&picture, &packed, &mut bytes);
                }
                shape = Some(found);
                // Whole pictures only. Whoever reads slowly keeps this process waiting and nobody else: what is overwritten
                // meanwhile was skipped.
                out.write_all(&bytes)?;
                // How long that took is the reader's doing, not the camera's: the timeout is the camera's alone.
                last_frame_at = Instant::now();
                counts.written += 1;
                if arguments.count == Some(counts.written) {
                    return Ok(());
                }
            }
            Event::Status(status) => {
                refused = match &status {
                    StreamStatus::Refused(why) => {
                        let since = refused.map_or_else(Instant::now, |(since, _)| since);
                        Some((since, why.clone()))
                    }
                    StreamStatus::Waiting(_) | StreamStatus::Open(_) => None,
                };
                crate::say(&format_args!("camera {}: {status}", stream.camera()));
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
            return Err(no_frame(stream.camera().as_str(), timeout, last_status.as_ref()));
        }
    }
}

/// The header of YUV4MPEG2. Chroma lies to the left of its luma, as in MPEG; full-range pictures are JPEG's, where it lies in
/// the middle (the camera's header does not say).
fn header(shape: Shape, rate: Rate) -> String {
    let Shape { width, height, range } = shape;
    let (chroma, range) = match range {
        ColorRange::Full => ("420jpeg", " XCOLORRANGE=FULL"),
        ColorRange::Limited => ("420mpeg2", " XCOLORRANGE=LIMITED"),
        ColorRange::Unknown => ("420mpeg2", ""),
    };
    format!("YUV4MPEG2 W{width} H{height} F{}:{} Ip A0:0 C{chroma}{range}\n", rate.frames, rate.seconds)
}

/// A frame of YUV4MPEG2: there is no NV12 in it, so the chroma is taken apart.
fn planar(picture: &Nv12, packed: &[u8], bytes: &mut Vec<u8>) {
    let (luma, chroma) = packed.split_at(picture.width() as usize * picture.height() as usize);
    bytes.extend_from_slice(b"FRAME\n");
    bytes.extend_from_slice(luma);
    for plane in 0..2 {
        bytes.extend(chroma.chunks_exact(2).map(|pair| pair[plane]));
    }
}

fn how_to_read(picture: &Nv12) -> String {
    let (width, height) = (picture.width(), picture.height());
    format!(
        "{width}x{height}; read it with: ffmpeg -f rawvideo -pixel_format nv12 -video_size {width}x{height} -i -"
    )
}

/// Which frame it is, and when it was decoded.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    generation: u64,
    id: u64,
    timestamp_ns: u64,
}

/// The rate over the first frames, once there are enough of them. Numbers of another generation say nothing about how many
/// frames there were: it begins anew with the first one of those.
fn measured(first: &mut Option<Stamp>, stamp: Stamp) -> Option<Rate> {
    let first = first.insert(first.filter(|first| first.generation == stamp.generation).unwrap_or(stamp));
    let frames = stamp.id.checked_sub(first.id).filter(|&frames| frames >= MEASURED_FRAMES)?;
    Rate::of(stamp.timestamp_ns.saturating_sub(first.timestamp_ns) / frames)
}

impl Rate {
    /// The rate behind a frame period: one that cameras are set to, if it is near one. `None` for 0 = unknown.
    fn of(period_ns: u64) -> Option<Self> {
        if period_ns == 0 {
            return None;
        }
        let exact = 1e9 / period_ns as f64;
        let whole = exact.round().max(1.0);
        let is_near = |rate: f64| (exact / rate - 1.0).abs() < 2e-4;
        if is_near(whole) {
            return Some(Self { frames: whole as u64, seconds: 1 });
        }
        // 24, 30 and 60 of television are a thousandth slower.
        if is_near(whole * 1000.0 / 1001.0) {
            return Some(Self { frames: whole as u64 * 1000, seconds: 1001 });
        }
        // To a thousandth: the numbers have to stay small enough for every reader.
        Some(Self { frames: (exact * 1e3).round().max(1.0) as u64, seconds: 1000 })
    }
}

/// `25`, `29.97` or `30000/1001`.
fn rate(text: &str) -> Result<Rate, String> {
    let sentence = || "frames a second are needed, such as 25, 29.97 or 30000/1001".to_owned();
    if let Some((frames, seconds)) = text.split_once('/') {
        let number = |text: &str| text.parse::<u32>().ok().filter(|&number| number > 0).map(u64::from);
        return match (number(frames), number(seconds)) {
            (Some(frames), Some(seconds)) => Ok(Rate { frames, seconds }),
            _ => Err(sentence()),
        };
    }
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => {
            Rate::of((1e9 / rate).round() as u64).ok_or_else(sentence)
        }
        _ => Err(sentence()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_becomes_the_rate_that_a_camera_is_set_to() {
        for (period_ns, frames, seconds) in [
            (40_000_000, 25, 1),
            (33_333_333, 30, 1),
            (33_366_667, 30_000, 1001),
            (41_708_333, 24_000, 1001),
            (200_000_000, 5, 1),
            (80_000_000, 12_500, 1000),
            (5_000_000_000, 200, 1000),
        ] {
            assert_eq!(Rate::of(period_ns), Some(Rate { frames, seconds }), "{period_ns}");
        }
        assert_eq!(Rate::of(0), None);
    }

    #[test]
    fn a_rate_may_be_a_fraction() {
        assert_eq!(rate("29.97"), Ok(Rate { frames: 30_000, seconds: 1001 }));
        assert_eq!(rate("30000/1001"), Ok(Rate { frames: 30_000, seconds: 1001 }));
        for wrong in ["", "0", "-1", "NaN", "1/0", "a/b", "1e99"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_that_nobody_names_is_measured_over_frames_that_were_skipped_too() {
        let mut first = None;
        assert_eq!(measured(&mut first, stamp(1, 100, 1_000_000_000)), None);
        assert_eq!(measured(&mut first, stamp(1, 105, 1_200_000_000)), None);
        let rate = Rate { frames: 25, seconds: 1 };
        assert_eq!(measured(&mut first, stamp(1, 110, 1_400_000_000)), Some(rate));
    }

    fn stamp(generation: u64, id: u64, timestamp_ns: u64) -> Stamp {
        Stamp { generation, id, timestamp_ns }
    }

    #[test]
    fn a_rate_is_measured_anew_when_the_server_starts_again_meanwhile() {
        let mut first = None;
        assert_eq!(measured(&mut first, stamp(1, 100, 1_000_000_000)), None);
        assert_eq!(measured(&mut first, stamp(1, 105, 1_200_000_000)), None);
        // Numbers of another run begin anywhere.
        assert_eq!(measured(&mut first, stamp(2, 3_056_833_711, 3_000_000_000)), None);
        assert_eq!(measured(&mut first, stamp(2, 3_056_833_716, 3_500_000_000)), None);
        let rate = Rate { frames: 10, seconds: 1 };
        assert_eq!(measured(&mut first, stamp(2, 3_056_833_721, 4_000_000_000)), Some(rate));
        // Also below those before.
        let mut first = None;
        assert_eq!(measured(&mut first, stamp(2, 3_056_833_711, 3_000_000_000)), None);
        assert_eq!(measured(&mut first, stamp(3, 1, 5_000_000_000)), None);
        assert_eq!(measured(&mut first, stamp(3, 11, 6_000_000_000)), Some(rate));
    }

    #[test]
    fn odd_pictures_have_chroma_to_their_last_column_and_row() {
        let picture = Nv12::for_picture(3, 3).expect("a picture");
        let packed: Vec<u8> = (0..picture.packed_size() as u8).collect();
        let mut bytes = Vec::new();
        planar(&picture, &packed, &mut bytes);
        assert_eq!(bytes[..6], *b"FRAME\n");
        assert_eq!(bytes[6..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 10, 12, 14, 16]);
    }
}
