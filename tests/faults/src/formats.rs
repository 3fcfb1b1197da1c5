//! Every pixel format that FFmpeg's software decoders give, as readers get it, against the `ffmpeg` program.
//!
//! One server plays all clips as files; each plane that a reader gets has to be, byte for byte, what the `ffmpeg` program makes
//! of the same picture with the same range and matrix. Cameras send H.264, H.265 and MJPEG; formats that none of these three
//! encoders makes here (4:4:0, 4:1:1, more than 12 bits) come from FFV1, VP9 or raw video, whose decoders give such planes too.

use crate::runner::{INTERRUPTED, interruption};
use md5::{Digest as _, Md5};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use vas_e2e::clips::ffmpeg;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, file_camera};
use vas_shm_reader::{CameraId, Color, ColorRange, Event, FrameStream, Mode};

/// Pictures of each clip, and how many of them a reader looks at.
const PICTURES: usize = 50;
const COMPARED: usize = 10;
const READERS: usize = 4;
/// Cameras of one server: all of them decode all the time, and only few are looked at.
const CAMERAS: usize = 12;
/// When a first frame counts as "never".
const NEVER: Duration = Duration::from_secs(180);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only rows whose name holds this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

/// What the reference does with the range: what the server promises.
#[derive(Clone, Copy)]
enum Kept {
    /// The `ffmpeg` program's own conversion as it stands.
    AsIs,
    /// Full-range samples stay full-range samples; by itself ffmpeg squeezes them.
    Full,
    /// The same, and chroma is 128: the `ffmpeg` program writes zeroes then, which is green.
    Grey,
}

/// A clip, what its decoder has to give, and what a reader has to be told.
struct Format {
    name: &'static str,
    /// What draws it, behind the test picture of a size.
    size: &'static str,
    /// What of it has to be seen.
    visible: &'static str,
    filter: &'static str,
    encode: &'static str,
    extension: &'static str,
    /// The decoder's pixel format, as ffprobe has it.
    pixels: &'static str,
    kept: Kept,
    range: ColorRange,
    /// H.273 MatrixCoefficients.
    matrix: u8,
}

const fn row(
    name: &'static str,
    encode: &'static str,
    extension: &'static str,
    pixels: &'static str,
) -> Format {
    Format {
        name,
        size: "320x240",
        visible: "320x240",
        filter: "",
        encode,
        extension,
        pixels,
        kept: Kept::AsIs,
        range: ColorRange::Unknown,
        matrix: 2,
    }
}

impl Format {
    const fn size(mut self, size: &'static str) -> Self {
        (self.size, self.visible) = (size, size);
        self
    }

    const fn cropped(mut self, visible: &'static str) -> Self {
        self.visible = visible;
        self
    }

    const fn full(mut self) -> Self {
        (self.kept, self.range) = (Kept::Full, Full);
        self
    }

    /// FFmpeg's encoders take grey for full range, and say so.
    const fn grey(mut self) -> Self {
        (self.kept, self.range) = (Kept::Grey, Full);
        self
    }

    const fn told(mut self, range: ColorRange, matrix: u8) -> Self {
        (self.range, self.matrix) = (range, matrix);
        self
    }

    const fn filter(mut self, filter: &'static str) -> Self {
        self.filter = filter;
        self
    }
}

const X264: &str = "-c:v libx264 -preset ultrafast -bf 0 -pix_fmt ";
const X265: &str =
    "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=none:frame-threads=1 -pix_fmt ";
const FFV1: &str = "-c:v ffv1 -pix_fmt ";
const MJPEG: &str = "-c:v mjpeg -strict unofficial -q:v 4 -pix_fmt ";

/// The encoder's words: codec and pixel format, then what is special.
fn words(format: &Format) -> Vec<String> {
    let (codec, rest) = format.encode.split_once(' ').unwrap_or((format.encode, ""));
    let codec = match codec {
        "x264" => X264,
        "x265" => X265,
        "ffv1" => FFV1,
        "mjpeg" => MJPEG,
        other => other,
    };
    format!("{codec}{}{rest}", if codec.ends_with(' ') { "" } else { " " })
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

use ColorRange::{Full, Limited};

const ALL: &[Format] = &[
    row("h264 4:2:0", "x264 yuv420p", "mp4", "yuv420p"),
    row("h264 4:2:0 full range", "x264 yuvj420p", "mp4", "yuvj420p").filter("scale=out_range=full,").full(),
    row("h264 4:2:2", "x264 yuv422p", "mp4", "yuv422p"),
    row("h264 4:2:2 full range", "x264 yuvj422p", "mp4", "yuvj422p").filter("scale=out_range=full,").full(),
    row("h264 4:4:4", "x264 yuv444p", "mp4", "yuv444p"),
    row("h264 4:4:4 full range", "x264 yuvj444p", "mp4", "yuvj444p").filter("scale=out_range=full,").full(),
    row("h264 4:4:4 odd size", "x264 yuv444p", "mp4", "yuv444p").size("321x241"),
    row("h264 4:2:0 10 bit", "x264 yuv420p10le", "mp4", "yuv420p10le"),
    row("h264 4:2:2 10 bit", "x264 yuv422p10le", "mp4", "yuv422p10le"),
    row("h264 4:4:4 10 bit", "x264 yuv444p10le", "mp4", "yuv444p10le"),
    row("h264 grey", "x264 gray", "mp4", "yuvj420p").full(),
    row("h264 grey 10 bit", "x264 gray10le", "mp4", "yuv420p10le").full(),
    row("h264 rgb", "-c:v libx264rgb -preset ultrafast -bf 0 -pix_fmt rgb24", "mp4", "gbrp").told(Limited, 6),
    row("h264 cropped", "x264 yuv420p", "mp4", "yuv420p").size("330x246"),
    row(
        "h264 cropped on all sides",
        "x264 yuv420p -bsf:v h264_metadata=crop_left=16:crop_top=6:crop_right=2:crop_bottom=4",
        "mp4",
        "yuv420p",
    )
    .cropped("302x230"),
    row("h264 interlaced", "x264 yuv420p -flags +ildct+ilme -x264-params tff=1", "mp4", "yuv420p"),
    row("h264 interlaced 4:2:2", "x264 yuv422p -flags +ildct+ilme -x264-params tff=1", "mp4", "yuv422p"),
    row("h264 B-frames", "-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p", "mp4", "yuv420p"),
    row("h264 rotated in its file", "x264 yuv420p -metadata:s:v:0 rotate=90", "mp4", "yuv420p"),
    row(
        "h264 bt.601",
        "x264 yuv420p -color_range tv -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m",
        "mp4",
        "yuv420p",
    )
    .told(Limited, 6),
    row(
        "h264 bt.709",
        "x264 yuv420p -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709",
        "mp4",
        "yuv420p",
    )
    .told(Limited, 1),
    row(
        "h264 bt.709 full range",
        "x264 yuvj420p -color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709",
        "mp4",
        "yuvj420p",
    )
    .filter("scale=out_range=full,")
    .full()
    .told(Full, 1),
    row(
        "h264 4:4:4 bt.709",
        "x264 yuv444p -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709",
        "mp4",
        "yuv444p",
    )
    .told(Limited, 1),
    row("h265 4:2:0", "x265 yuv420p", "mp4", "yuv420p").told(Limited, 2),
    row("h265 4:2:0 full range", "x265 yuvj420p", "mp4", "yuvj420p").filter("scale=out_range=full,").full(),
    row("h265 4:2:2", "x265 yuv422p", "mp4", "yuv422p").told(Limited, 2),
    row("h265 4:4:4", "x265 yuv444p", "mp4", "yuv444p").told(Limited, 2),
    row("h265 4:2:0 10 bit", "x265 yuv420p10le", "mp4", "yuv420p10le").told(Limited, 2),
    row("h265 4:2:0 10 bit full range", "x265 yuv420p10le -color_range pc", "mp4", "yuv420p10le")
        .filter("scale=out_range=full,")
        .full(),
    row("h265 4:2:2 10 bit", "x265 yuv422p10le", "mp4", "yuv422p10le").told(Limited, 2),
    row("h265 4:4:4 10 bit", "x265 yuv444p10le", "mp4", "yuv444p10le").told(Limited, 2),
    row("h265 4:2:0 12 bit", "x265 yuv420p12le", "mp4", "yuv420p12le").told(Limited, 2),
    row("h265 4:2:2 12 bit", "x265 yuv422p12le", "mp4", "yuv422p12le").told(Limited, 2),
    row("h265 4:4:4 12 bit", "x265 yuv444p12le", "mp4", "yuv444p12le").told(Limited, 2),
    row("h265 grey", "x265 gray", "mp4", "gray").grey(),
    row("h265 grey 10 bit", "x265 gray10le", "mp4", "gray10le").grey(),
    row("h265 grey 12 bit", "x265 gray12le", "mp4", "gray12le").grey(),
    row("h265 rgb", "x265 gbrp", "mp4", "gbrp").told(Limited, 6),
    row("h265 rgb 10 bit", "x265 gbrp10le", "mp4", "gbrp10le").told(Limited, 6),
    row("h265 cropped", "x265 yuv420p", "mp4", "yuv420p").size("330x246").told(Limited, 2),
    row(
        "h265 bt.709",
        "x265 yuv420p -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709",
        "mp4",
        "yuv420p",
    )
    .told(Limited, 1),
    row(
        "h265 bt.2020 10 bit",
        "x265 yuv420p10le -color_range tv -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084",
        "mp4",
        "yuv420p10le",
    )
    .told(Limited, 9),
    row("mjpeg 4:2:0", "mjpeg yuvj420p", "avi", "yuvj420p")
        .filter("scale=out_range=full,")
        .full()
        .told(Full, 5),
    row("mjpeg 4:2:2", "mjpeg yuvj422p", "avi", "yuvj422p")
        .filter("scale=out_range=full,")
        .full()
        .told(Full, 5),
    row("mjpeg 4:4:4", "mjpeg yuvj444p", "avi", "yuvj444p")
        .filter("scale=out_range=full,")
        .full()
        .told(Full, 5),
    row("mjpeg 4:2:0 odd size", "mjpeg yuvj420p", "avi", "yuvj420p")
        .size("321x241")
        .filter("scale=out_range=full,")
        .full()
        .told(Full, 5),
    row("mjpeg 4:2:2 odd size", "mjpeg yuvj422p", "avi", "yuvj422p")
        .size("321x241")
        .filter("scale=out_range=full,")
        .full()
        .told(Full, 5),
    row("mpeg4 4:2:0 odd size", "-c:v mpeg4 -q:v 4 -bf 0 -pix_fmt yuv420p", "avi", "yuv420p").size("321x241"),
    row("raw nv12", "-c:v rawvideo -pix_fmt nv12", "nut", "nv12"),
    row("raw 4:1:1", "-c:v rawvideo -pix_fmt yuv411p", "nut", "yuv411p"),
    row("raw 4:4:0", "-c:v rawvideo -pix_fmt yuv440p", "nut", "yuv440p"),
    row(
        "vp9 4:2:0 odd size",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
        "mkv",
        "yuv420p",
    )
    .size("321x241")
    .told(Limited, 2),
    row("vp9 4:4:0", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv440p", "mkv", "yuv440p")
        .told(Limited, 2),
    row("ffv1 4:1:1", "ffv1 yuv411p", "mkv", "yuv411p").told(Limited, 2),
    row("ffv1 4:1:0", "ffv1 yuv410p", "mkv", "yuv410p").told(Limited, 2),
    row("ffv1 4:4:0 10 bit", "ffv1 yuv440p10le", "mkv", "yuv440p10le").told(Limited, 2),
    row("ffv1 4:2:0 16 bit", "ffv1 yuv420p16le", "mkv", "yuv420p16le").told(Limited, 2),
    row("ffv1 grey 16 bit", "ffv1 gray16le", "mkv", "gray16le").grey(),
    row("ffv1 4:2:0 odd size", "ffv1 yuv420p", "mkv", "yuv420p").size("321x241").told(Limited, 2),
];

/// What came of a row.
struct Outcome {
    frames: usize,
    /// The largest difference of a sample, by plane; what is compared are hashes, so none means that those are equal.
    worst: [u8; 2],
    color: Color,
    why: Option<String>,
}

/// A picture as two planes.
struct Planes {
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl Planes {
    fn new(packed: &[u8], width: usize, height: usize) -> Self {
        let (luma, chroma) = packed.split_at((width * height).min(packed.len()));
        Self { luma: luma.to_vec(), chroma: chroma.to_vec() }
    }

    fn hashes(&self) -> [String; 2] {
        [&self.luma, &self.chroma].map(|plane| format!("{:x}", Md5::digest(plane)))
    }

    fn worst(&self, other: &Self) -> [u8; 2] {
        let worst = |one: &[u8], two: &[u8]| {
            let same_len = one.len() == two.len();
            let worst = one.iter().zip(two).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            if same_len { worst } else { u8::MAX }
        };
        [worst(&self.luma, &other.luma), worst(&self.chroma, &other.chroma)]
    }
}

/// Makes the clips, plays them, compares.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let interrupted = interruption()?;
    let started = Instant::now();
    let scene = Scene::new();
    let formats: Vec<(usize, &Format)> = ALL
        .iter()
        .enumerate()
        .filter(|(_, format)| options.only.as_ref().is_none_or(|words| format.name.contains(words.as_str())))
        .collect();
    if formats.is_empty() {
        return Err("no format has a name with these words in it".into());
    }
    let clips = in_lanes(&formats, |&(index, format)| make(format, index, scene.files()));
    let clips = clips.into_iter().collect::<Result<Vec<_>, _>>()?;
    let made = started.elapsed();
    let all: Vec<(&(usize, &Format), &PathBuf)> = formats.iter().zip(&clips).collect();
    let mut outcomes = Vec::new();
    for batch in all.chunks(CAMERAS) {
        let cameras = batch.iter().map(|((index, _), clip)| file_camera(&id(*index), clip, true));
        let server = Server::start(&scene, &format!("[export]\nslots = 8\n{}", cameras.collect::<String>()));
        outcomes.extend(in_lanes(batch, |((index, format), clip)| {
            look(&scene, format, *index, clip, &interrupted)
        }));
        server.stop_well();
    }
    if interrupted.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    println!(
        "{:<40} {:<12} {:>9} {:>6} {:>10} {:>10}  {:<8} primaries/transfer/matrix  verdict",
        "clip", "decoded as", "size", "frames", "luma", "chroma", "range"
    );
    let mut broken = Vec::new();
    for ((_, format), outcome) in formats.iter().zip(&outcomes) {
        let plane = |worst: u8| if worst == 0 { "equal".to_owned() } else { format!("+-{worst}") };
        let color = outcome.color;
        println!(
            "{:<40} {:<12} {:>9} {:>6} {:>10} {:>10}  {:<8} {:>25}  {}",
            format.name,
            format.pixels,
            format.visible,
            outcome.frames,
            plane(outcome.worst[0]),
            plane(outcome.worst[1]),
            format!("{:?}", color.range).to_lowercase(),
            format!("{}/{}/{}", color.primaries, color.transfer, color.matrix),
            outcome.why.as_deref().unwrap_or("holds"),
        );
        if outcome.why.is_some() {
            broken.push(format.name);
        }
    }
    println!(
        "{} of {} hold; {:.0} s, {:.0} s of them for making the clips",
        outcomes.len() - broken.len(),
        formats.len(),
        started.elapsed().as_secs_f64(),
        made.as_secs_f64()
    );
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("broken: {}", broken.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The same for each, on a few threads; in order.
fn in_lanes<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0..all.len());
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                loop {
                    let Some(at) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    let result = work(&all[at]);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn id(index: usize) -> String {
    format!("format-{index}")
}

fn make(format: &Format, index: usize, folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join(format!("{index}.{}", format.extension));
    // Without quartered chroma: with it the source rounds its size.
    let picture = format!("testsrc2=s={}:r=25,format=yuv444p", format.size);
    // What is behind the comma is the encoder's pixel format, which FFmpeg converts to by itself.
    let filter = format!("{picture},{}null", format.filter);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &filter]);
    command.args(["-frames:v", &PICTURES.to_string(), "-threads", "1"]).args(words(format)).arg(&path);
    ffmpeg(&mut command)?;
    Ok(path)
}

fn probe(path: &Path) -> Result<String, String> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=pix_fmt",
        "-of",
        "csv=p=0",
    ]);
    Ok(ffmpeg(command.arg(path))?.trim().trim_end_matches(',').to_owned())
}

/// The right pictures, by the `ffmpeg` program.
fn reference(format: &Format, clip: &Path, width: usize, height: usize) -> Result<Vec<Planes>, String> {
    let raw = clip.with_extension("raw");
    let mut command = Command::new("ffmpeg");
    // Unaligned: a cropped left edge is exact. By itself the program moves it to where its filters like it.
    command.args(["-nostdin", "-v", "error", "-y", "-threads", "1", "-flags", "unaligned", "-noautorotate"]);
    command.arg("-i").arg(clip);
    command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    if !matches!(format.kept, Kept::AsIs) {
        command.args(["-vf", "scale=in_range=full:out_range=full"]);
    }
    ffmpeg(command.args(["-pix_fmt", "nv12", "-f", "rawvideo"]).arg(&raw))?;
    let bytes = std::fs::read(&raw).map_err(|error| format!("read {}: {error}", raw.display()))?;
    // It is large, and there are many.
    let _ = std::fs::remove_file(&raw);
    let len = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let mut pictures: Vec<Planes> =
        bytes.chunks_exact(len).map(|picture| Planes::new(picture, width, height)).collect();
    if matches!(format.kept, Kept::Grey) {
        pictures.iter_mut().for_each(|picture| picture.chroma.fill(128));
    }
    Ok(pictures)
}

fn look(scene: &Scene, format: &Format, index: usize, clip: &Path, interrupted: &AtomicBool) -> Outcome {
    let mut outcome = Outcome { frames: 0, worst: [0, 0], color: Color::UNSPECIFIED, why: None };
    if let Err(why) = compare(scene, format, index, clip, interrupted, &mut outcome) {
        outcome.why = Some(why);
    }
    outcome
}

fn compare(
    scene: &Scene,
    format: &Format,
    index: usize,
    clip: &Path,
    interrupted: &AtomicBool,
    outcome: &mut Outcome,
) -> Result<(), String> {
    // By the libraries that the server is linked with.
    let probed = probe(clip)?;
    if probed != format.pixels {
        return Err(format!("it is decoded as {probed}"));
    }
    let camera = CameraId::new(&id(index)).map_err(|error| error.to_string())?;
    let mut stream = FrameStream::new(scene.base(), camera).mode(Mode::Next);
    let mut deadline = Instant::now() + NEVER;
    let mut right = Vec::new();
    let mut first = None;
    while outcome.frames < COMPARED {
        if interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        if Instant::now() > deadline {
            return Err(format!("{} frames within {} s", outcome.frames, NEVER.as_secs()));
        }
        let Event::Frame(frame) = stream.next_event(Duration::from_millis(100)) else { continue };
        let Ok(packed) = frame.to_packed() else { continue };
        let (frame_id, color, damaged) = (frame.id().get(), frame.color(), frame.is_damaged());
        let (width, height) = (frame.picture().width() as usize, frame.picture().height() as usize);
        if damaged {
            return Err(format!("frame {frame_id} is damaged"));
        }
        if format!("{width}x{height}") != format.visible {
            return Err(format!("it is seen as {width}x{height}"));
        }
        if right.is_empty() {
            right = reference(format, clip, width, height)?;
            if right.len() != PICTURES {
                return Err(format!("ffmpeg gives {} pictures of {width}x{height}", right.len()));
            }
            // What that took is the program's time and not the server's.
            deadline = Instant::now() + NEVER;
        }
        let planes = Planes::new(&packed, width, height);
        // Pictures all differ; from the first one on, numbers say which one it has to be.
        let (from_id, from) = *first.get_or_insert_with(|| {
            let worst = |at: &usize| planes.worst(&right[*at]).map(u32::from).iter().sum::<u32>();
            (frame_id, (0..PICTURES).min_by_key(worst).unwrap_or(0))
        });
        let distance = usize::try_from(frame_id - from_id).map_err(|error| error.to_string())?;
        let expected = &right[(from + distance) % PICTURES];
        outcome.frames += 1;
        outcome.color = color;
        if planes.hashes() != expected.hashes() {
            let worst = planes.worst(expected);
            outcome.worst = [0, 1].map(|plane| outcome.worst[plane].max(worst[plane]));
        }
    }
    if outcome.worst != [0, 0] {
        return Err("planes differ".into());
    }
    if (outcome.color.range, outcome.color.matrix) != (format.range, format.matrix) {
        return Err(format!("told has to be {:?} and matrix {}", format.range, format.matrix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_that_differ_are_told_by_how_much() {
        let one = Planes::new(&[1, 2, 3, 4, 9, 9], 2, 2);
        let two = Planes::new(&[1, 2, 3, 7, 9, 9], 2, 2);
        assert_eq!((one.worst(&two), one.worst(&one)), ([3, 0], [0, 0]));
        assert_eq!(one.hashes()[1], two.hashes()[1]);
        assert_ne!(one.hashes()[0], two.hashes()[0]);
        assert_eq!(one.worst(&Planes::new(&[1, 2, 3], 2, 2))[0], u8::MAX, "another size is no equality");
    }

    #[test]
    fn every_format_has_a_name_of_its_own() {
        for (index, format) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != format.name), "{}", format.name);
        }
    }
}
