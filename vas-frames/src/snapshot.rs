//! `snapshot`: the newest frame as a picture file.

use crate::cli::{CameraArgument, OwnerArgument, seconds};
use crate::color::Conversion;
use crate::failure::Failure;
use crate::human;
use crate::watch::no_frame;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_reader::{Color, Event, Frame, FrameStream, Mode, Nv12, Overwritten, Reader, StreamStatus};
use yuv::{YuvBiPlanarImage, YuvConversionMode, yuv_nv12_to_rgb};

/// Of JPEG, 1 to 100.
const JPEG_QUALITY: u8 = 90;
/// With `--old`: how often the slots are looked at while there is no picture at all.
const OLD_TICK: Duration = Duration::from_millis(20);

/// Arguments of `snapshot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: CameraArgument,
    /// Where to write the picture; the end of the name, .png or .jpg, is the format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How long to wait for a current frame
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Duration,
    /// Take the picture that stands there, however old, even from a server that no longer lives
    #[arg(long)]
    old: bool,
    #[command(flatten)]
    owner: OwnerArgument,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Png,
    Jpeg,
}

/// A private copy of a frame.
#[derive(Debug)]
struct Picture {
    geometry: Nv12,
    color: Color,
    /// NV12 without stride padding.
    packed: Vec<u8>,
    frame_id: u64,
    age: Duration,
    is_damaged: bool,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let camera = arguments.camera.id()?;
    let path = &arguments.output;
    let format = Format::of(path)?;
    let stream = FrameStream::new(base, camera).mode(Mode::Latest).options(arguments.owner.options());
    let picture = take(stream, arguments)?;
    let conversion = Conversion::choose(picture.color, picture.geometry.height());
    let rgb = to_rgb(&picture.geometry, &picture.packed, &conversion)?;
    let encoded = encode(&rgb, &picture.geometry, format)
        .map_err(|error| Failure::Encode { path: path.clone(), error })?;
    write_whole(path, &encoded).map_err(|error| Failure::Picture { path: path.clone(), error })?;
    writeln!(
        out,
        "wrote {}: {}x{}, {}, camera {camera} frame {}{}, {} old, {}",
        path.display(),
        picture.geometry.width(),
        picture.geometry.height(),
        human::bytes(encoded.len() as u64),
        picture.frame_id,
        if picture.is_damaged { " (damaged)" } else { "" },
        human::duration(picture.age),
        conversion.describe(),
    )?;
    Ok(())
}

/// Waits for a frame that can be copied whole. A frame that is overwritten meanwhile is followed by a newer one.
fn take(mut stream: FrameStream, arguments: &Arguments) -> Result<Picture, Failure> {
    let began = Instant::now();
    let mut last: Option<StreamStatus> = None;
    loop {
        let left = arguments.timeout.saturating_sub(began.elapsed());
        let tick = if arguments.old { left.min(OLD_TICK) } else { left };
        let event = stream.next_event(tick);
        match event {
            Event::Frame(frame) => {
                if let Ok(picture) = copy(&frame) {
                    return Ok(picture);
                }
            }
            Event::Status(StreamStatus::Refused(why)) => return Err(Failure::Refused(why)),
            Event::Status(status) => last = Some(status),
            Event::Timeout => {}
        }
        if arguments.old {
            let standing = stream.reader().and_then(Reader::last_picture);
            if let Some(Ok(picture)) = standing.map(|frame| copy(&frame)) {
                return Ok(picture);
            }
        }
        if began.elapsed() >= arguments.timeout {
            return Err(no_frame(stream.camera().as_str(), arguments.timeout, last.as_ref()));
        }
    }
}

fn copy(frame: &Frame<'_>) -> Result<Picture, Overwritten> {
    let packed = frame.to_packed()?;
    Ok(Picture {
        geometry: *frame.picture(),
        color: frame.color(),
        packed,
        frame_id: frame.id().get(),
        age: frame.age(),
        is_damaged: frame.is_damaged(),
    })
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

/// Packed NV12 to packed RGB, rows without padding.
fn to_rgb(geometry: &Nv12, packed: &[u8], conversion: &Conversion) -> Result<Vec<u8>, Failure> {
    let (width, height) = (geometry.width(), geometry.height());
    let (luma, chroma) = packed.split_at(width as usize * height as usize);
    let image = YuvBiPlanarImage {
        y_plane: luma,
        y_stride: width,
        uv_plane: chroma,
        uv_stride: geometry.chroma_row_bytes(),
        width,
        height,
    };
    let rgb_stride = width * 3;
    let mut rgb = vec![0; rgb_stride as usize * height as usize];
    let Conversion { matrix, range, .. } = *conversion;
    yuv_nv12_to_rgb(&image, &mut rgb, rgb_stride, range, matrix, YuvConversionMode::Balanced)
        .map_err(|error| Failure::Convert { error })?;
    Ok(rgb)
}

fn encode(rgb: &[u8], geometry: &Nv12, format: Format) -> image::ImageResult<Vec<u8>> {
    let (width, height) = (geometry.width(), geometry.height());
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
    use vas_shm_reader::ColorRange;

    fn convert(width: u32, height: u32, luma: u8, cb: u8, cr: u8) -> Vec<u8> {
        let geometry = Nv12::for_picture(width, height).expect("a picture");
        let mut packed = vec![luma; width as usize * height as usize];
        packed.resize(geometry.packed_size() as usize, cb);
        packed[(width * height) as usize..].iter_mut().skip(1).step_by(2).for_each(|byte| *byte = cr);
        let color = Color { range: ColorRange::Limited, matrix: 6, ..Color::UNSPECIFIED };
        to_rgb(&geometry, &packed, &Conversion::choose(color, height)).expect("it converts")
    }

    #[test]
    fn odd_sizes_have_the_colour_to_their_last_column_and_row() {
        // Red of the BT.601 colour bars.
        for (width, height) in [(1, 1), (1, 2), (2, 1), (3, 3), (33, 5), (641, 479)] {
            let rgb = convert(width, height, 81, 90, 240);
            assert_eq!(rgb.len(), (width * height * 3) as usize);
            for (at, pixel) in rgb.chunks_exact(3).enumerate() {
                let near = pixel.iter().zip([254, 0, 0]).all(|(&found, wanted)| found.abs_diff(wanted) <= 2);
                assert!(near, "{width}x{height}, pixel {at}: {pixel:?}");
            }
        }
    }

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
