//! `snapshot`: the newest frame as a picture file, of one camera or of all.

use crate::cli::{CameraArgument, OwnerArgument, seconds};
use crate::failure::Failure;
use crate::human;
use crate::list::base_failure;
use crate::watch::no_frame;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_reader::convert::{Conversion, ConvertError, Converter, Picture, PixelLayout};
use vas_shm_reader::{CameraId, Event, Frame, FrameStream, Mode, Reader, StreamStatus, cameras};

/// Of JPEG, 1 to 100.
const JPEG_QUALITY: u8 = 90;
/// With `--all`: cameras that are waited for at a time.
const AT_A_TIME: usize = 8;
/// With `--old`: how often the slots are looked at while there is no picture at all.
const OLD_TICK: Duration = Duration::from_millis(20);

/// Arguments of `snapshot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: Option<CameraArgument>,
    /// Take one of every camera that is there; each has its id as its name
    #[arg(long, conflicts_with = "camera", required_unless_present = "camera")]
    all: bool,
    /// Where to write the picture; the end of the name, .png or .jpg, is the format. With --all: the directory
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// With --all: the format of the pictures
    #[arg(long, value_name = "FORMAT", default_value = "png", requires = "all")]
    format: Format,
    /// Print a JSON object per picture, one a line
    #[arg(long)]
    json: bool,
    /// How long to wait for a current frame
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Duration,
    /// Take the picture that stands there, however old, even from a server that no longer lives
    #[arg(long)]
    old: bool,
    #[command(flatten)]
    owner: OwnerArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Format {
    Png,
    #[value(name = "jpg", alias = "jpeg")]
    Jpeg,
}

/// A frame's picture and what is told of it.
#[derive(Debug)]
struct Taken {
    rgb: Picture,
    conversion: Conversion,
    frame_id: u64,
    age: Duration,
    is_damaged: bool,
}

/// A picture that was written, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Written {
    camera: String,
    path: String,
    width: u32,
    height: u32,
    size_bytes: u64,
    frame_id: u64,
    damaged: bool,
    age_ms: f64,
    /// Matrix and range that it was converted with, and which of them were assumed.
    conversion: String,
}

/// A picture that was not, as `--json` shows it.
#[derive(Debug, Serialize)]
struct NotWritten<'a> {
    camera: &'a str,
    error: String,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.camera {
        Some(camera) => {
            let format = Format::of(&arguments.output)?;
            let written = one(base, camera.id()?, &arguments.output, format, arguments)?;
            print(out, &written, arguments.json)
        }
        None => all(base, arguments, out),
    }
}

/// A picture of every camera. What one of them lacks does not keep the others from theirs.
fn all(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let cameras = cameras(base).map_err(|error| base_failure(base, error))?;
    let directory = &arguments.output;
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::Picture { path: directory.clone(), error })?;
    let mut missing = 0;
    // So many wait at a time; each holds a picture in memory.
    for some in cameras.chunks(AT_A_TIME) {
        let written: Vec<_> = std::thread::scope(|scope| {
            let take = |camera: CameraId| {
                let extension = if arguments.format == Format::Png { "png" } else { "jpg" };
                let path = directory.join(format!("{camera}.{extension}"));
                scope.spawn(move || one(base, camera, &path, arguments.format, arguments))
            };
            let threads: Vec<_> = some.iter().copied().map(take).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for (camera, written) in some.iter().zip(written) {
            match written {
                Ok(Ok(written)) => print(out, &written, arguments.json)?,
                Ok(Err(failure)) => {
                    missing += 1;
                    if arguments.json {
                        let row = NotWritten { camera: camera.as_str(), error: failure.to_string() };
                        serde_json::to_writer(&mut *out, &row)?;
                        writeln!(out)?;
                    } else {
                        crate::say(&failure);
                    }
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        out.flush()?;
    }
    match missing {
        0 if cameras.is_empty() => Err(Failure::NoCameras { base: base.to_owned() }),
        0 => Ok(()),
        _ => Err(Failure::Missing { missing, of: cameras.len() }),
    }
}

fn one(
    base: &Path,
    camera: CameraId,
    path: &Path,
    format: Format,
    arguments: &Arguments,
) -> Result<Written, Failure> {
    let stream = FrameStream::new(base, camera).mode(Mode::Latest).options(arguments.owner.options());
    let taken = take(stream, arguments)?;
    let encoded =
        encode(&taken.rgb, format).map_err(|error| Failure::Encode { path: path.to_owned(), error })?;
    write_whole(path, &encoded).map_err(|error| Failure::Picture { path: path.to_owned(), error })?;
    Ok(Written {
        camera: camera.to_string(),
        path: path.display().to_string(),
        width: taken.rgb.width,
        height: taken.rgb.height,
        size_bytes: encoded.len() as u64,
        frame_id: taken.frame_id,
        damaged: taken.is_damaged,
        age_ms: human::milliseconds(taken.age),
        conversion: taken.conversion.to_string(),
    })
}

fn print(out: &mut dyn Write, written: &Written, json: bool) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, written)?;
        return Ok(writeln!(out)?);
    }
    let Written { camera, path, width, height, size_bytes, frame_id, conversion, .. } = written;
    let damaged = if written.damaged { " (damaged)" } else { "" };
    let age = human::duration(Duration::from_secs_f64(written.age_ms / 1e3));
    let size = human::bytes(*size_bytes);
    Ok(writeln!(
        out,
        "wrote {path}: {width}x{height}, {size}, camera {camera} frame {frame_id}{damaged}, {age} old, {conversion}"
    )?)
}

/// Waits for a frame that can be converted whole. A frame that is overwritten meanwhile is followed by a newer one.
fn take(mut stream: FrameStream, arguments: &Arguments) -> Result<Taken, Failure> {
    let began = Instant::now();
    let mut last: Option<StreamStatus> = None;
    loop {
        let left = arguments.timeout.saturating_sub(began.elapsed());
        let tick = if arguments.old { left.min(OLD_TICK) } else { left };
        let event = stream.next_event(tick);
        match event {
            Event::Frame(frame) => {
                if let Some(taken) = convert(&frame)? {
                    return Ok(taken);
                }
            }
            Event::Status(StreamStatus::Refused(why)) => return Err(Failure::Refused(why)),
            Event::Status(status) => last = Some(status),
            Event::Timeout => {}
        }
        if arguments.old {
            let standing = stream.reader().and_then(Reader::last_picture);
            if let Some(taken) = standing.map(|frame| convert(&frame)).transpose()?.flatten() {
                return Ok(taken);
            }
        }
        if began.elapsed() >= arguments.timeout {
            return Err(no_frame(stream.camera().as_str(), arguments.timeout, last.as_ref()));
        }
    }
}

/// The frame in colours, `None` if it was overwritten meanwhile. A matrix that nothing converts is converted by the rule for
/// those that are not said, and the line that is printed says so: an operator wants to see what the camera sees.
fn convert(frame: &Frame<'_>) -> Result<Option<Taken>, Failure> {
    let conversion = frame.conversion();
    let rgb = match Converter::new().with_conversion(conversion).to_picture(frame, PixelLayout::Rgb) {
        Ok(rgb) => rgb,
        Err(ConvertError::Overwritten(_)) => return Ok(None),
        Err(error) => return Err(Failure::Convert { error }),
    };
    Ok(Some(Taken {
        rgb,
        conversion,
        frame_id: frame.id().get(),
        age: frame.age(),
        is_damaged: frame.is_damaged(),
    }))
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("png") => Ok(Self::Png),
            Some("jpg" | "jpeg") => Ok(Self::Jpeg),
            _ => Err(Failure::Extension { path: path.to_owned() }),
        }
    }
}

fn encode(rgb: &Picture, format: Format) -> image::ImageResult<Vec<u8>> {
    let Picture { width, height, bytes: rgb, .. } = rgb;
    let (width, height) = (*width, *height);
    let mut encoded = Vec::new();
    match format {
        Format::Png => {
            PngEncoder::new(&mut encoded).write_image(rgb, width, height, ExtendedColorType::Rgb8)?;
        }
        Format::Jpeg => JpegEncoder::new_with_quality(&mut encoded, JPEG_QUALITY).write_image(
            rgb,
            width,
            height,
            ExtendedColorType::Rgb8,
        )?,
    }
    Ok(encoded)
}

/// The file appears under its name whole or not at all: whoever looks at a picture that is made again and again never sees
/// half of one, and a full disk leaves the one before.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The kernel's answer alone: tempfile would add the random name of its file, which only puzzles.
    let mut answer = None;
    let mut file = tempfile::Builder::new()
        .prefix(".vas-frames-")
        .suffix(".tmp")
        .make_in(directory, |path| {
            // Not tempfile's private mode: as for any file that a program creates, the umask decides.
            File::create_new(path).inspect_err(|error| answer = error.raw_os_error())
        })
        .map_err(|error| answer.map_or(error, io::Error::from_raw_os_error))?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_format_is_the_end_of_the_name_in_any_case() {
        assert_eq!(Format::of(Path::new("a.PNG")).expect("png"), Format::Png);
        assert_eq!(Format::of(Path::new("dir.png/a.jpeg")).expect("jpeg"), Format::Jpeg);
        for name in ["a", "a.gif", ".png", "-"] {
            assert_eq!(Format::of(Path::new(name)).expect_err(name).exit_code(), 2, "{name}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let taken = directory.path().join("taken.png");
        std::fs::create_dir(&taken).expect("a directory in the way");
        assert!(write_whole(&taken, b"bytes").is_err());
        let names: Vec<_> = std::fs::read_dir(directory.path()).expect("readable").flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_picture_may_be_read_by_whom_the_umask_lets() {
        let directory = tempfile::tempdir().expect("a directory");
        let [ours, plain] = ["ours.png", "plain"].map(|name| directory.path().join(name));
        write_whole(&ours, b"bytes").expect("written");
        std::fs::write(&plain, b"bytes").expect("written");
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
