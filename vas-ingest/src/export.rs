//! The export of a camera's frames (§5): pull the newest one, take a slot, convert once, publish.
//!
//! With the flag off there is no [`Export`], and so nothing: no file, no thread, no system call, no allocation (§13).

use crate::av::AvError;
use crate::av::frame::{Frame, PlaneRef};
use crate::av::scaler::{NO_COLOR, Scaler};
use crate::config::{self, ExportConfig};
use crate::convert::{self, Way};
use crate::decode::Decoded;
use crate::path::Outlet;
use crate::ring::{Cursor, Ring};
use crate::status::{Counters, Reason};
use std::ffi::c_int;
use std::time::Duration;
use vas_shm_proto::{CameraId, ColorRange};
use vas_shm_writer::{
    Camera, CameraMonitor, ExportWhen, Exporter, ExporterConfig, FillError, NotExported, PictureFormat,
    Plane, Slot, SourceState, Stamp,
};

pub(crate) use vas_shm_writer::{BaseError, CameraError};

/// The export of a server.
pub(crate) struct Export {
    exporter: Exporter,
}

impl Export {
    /// Checks the base directory and starts the writer.
    pub(crate) fn start(config: &ExportConfig) -> Result<Self, BaseError> {
        let writer = ExporterConfig::new(&config.base).group(config.group).slots(config.slots);
        let exporter = Exporter::start(writer.when(match config.when {
            config::ExportWhen::Attached => ExportWhen::Attached,
            config::ExportWhen::Always => ExportWhen::Always,
        }))?;
        Ok(Self { exporter })
    }

    /// The export of one camera; nothing is on disk before its first frame.
    pub(crate) fn camera(&self, id: CameraId) -> Result<CameraExport, CameraError> {
        let camera = self.exporter.camera(id)?;
        Ok(CameraExport { camera, cursor: Cursor::default(), ways: Ways::default(), refused_format: None })
    }

    /// Is there still somebody who makes files and says that the server is alive?
    pub(crate) fn is_running(&self) -> bool {
        self.exporter.is_running()
    }

    /// Removes every file that is still there. Bounded.
    pub(crate) fn shutdown(self) {
        self.exporter.shutdown();
    }
}

/// The export of one camera, on the camera's thread.
pub(crate) struct CameraExport {
    camera: Camera,
    cursor: Cursor,
    ways: Ways,
    /// The pixel format whose conversion failed last: said once, counted always.
    refused_format: Option<c_int>,
}

impl CameraExport {
    /// For the threads that watch the camera.
    pub(crate) fn monitor(&self) -> CameraMonitor {
        self.camera.monitor()
    }

    /// The camera left the configuration: its directory goes too.
    pub(crate) fn remove(self) {
        self.camera.remove();
    }
}

/// What the ways into a slot keep from one frame to the next.
#[derive(Default)]
struct Ways {
    scaler: Option<Scaler>,
    /// The chroma of grey pictures.
    no_chroma: Vec<u8>,
}

/// Why a frame did not get into its slot.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Av(#[from] AvError),
}

impl Outlet for CameraExport {
    /// Publishes the newest frame of the ring that was not published yet, if there is one. Never waits.
    fn pull(&mut self, ring: &Ring<Decoded>, counters: &Counters) {
        let Some(pulled) = ring.newest_unseen(&mut self.cursor) else { return };
        counters.ring_dropped.add(pulled.skipped);
        let picture = &pulled.frame.picture;
        let format = PictureFormat::new(picture.width(), picture.height(), convert::color(picture));
        let mut slot = match self.camera.slot(format) {
            Ok(slot) => slot,
            Err(NotExported::Idle) => return counters.unwatched.add(1),
            Err(why) => return counters.not_exported(reason(why)),
        };
        match fill(&mut slot, picture, &mut self.ways) {
            Ok(()) => {
                let stamp = Stamp::at(pulled.frame.timestamp_ns);
                slot.publish(stamp.damaged(pulled.frame.damaged));
                counters.exported.add(1);
                self.refused_format = None;
            }
            Err(why) => {
                // The slot is dropped unpublished: readers see nothing of it.
                counters.not_exported(Reason::NotConvertible);
                let pixel_format = picture.pixel_format();
                if self.refused_format.replace(pixel_format) != Some(pixel_format) {
                    let name = crate::av::frame::pixel_format_name(pixel_format);
                    tracing::error!(
                        "{name} cannot be converted to NV12, such frames are not exported: {why}"
                    );
                }
            }
        }
    }

    /// Tells readers that the source is lost, or back.
    fn set_live(&mut self, live: bool) {
        self.camera.set_source_state(if live { SourceState::Live } else { SourceState::Stalled });
    }

    /// Tells readers how far apart frames are.
    fn set_frame_period(&mut self, period: Duration) {
        self.camera.set_frame_period(Some(period));
    }
}

/// The writer's reason as one that is counted.
fn reason(why: NotExported) -> Reason {
    match why {
        NotExported::Preparing => Reason::Preparing,
        NotExported::NoRoom => Reason::NoRoom,
        NotExported::HeldByAnother => Reason::HeldByAnother,
        NotExported::Unavailable => Reason::Unavailable,
        NotExported::Size => Reason::Size,
        NotExported::ShutDown => Reason::ShutDown,
        _ => Reason::Unknown,
    }
}

/// Puts the picture into the slot, each byte once.
fn fill(slot: &mut Slot<'_>, picture: &Frame, ways: &mut Ways) -> Result<(), ConvertError> {
    let (width, rows) = (picture.width() as usize, picture.height() as usize);
    let (pairs, chroma_rows) = (width.div_ceil(2), rows.div_ceil(2));
    let way = convert::way(picture.pixel_format());
    let planes = match way {
        Way::Yuv420p => [
            picture.plane(0, width, rows),
            picture.plane(1, pairs, chroma_rows),
            picture.plane(2, pairs, chroma_rows),
        ],
        Way::Nv12 => [picture.plane(0, width, rows), picture.plane(1, 2 * pairs, chroma_rows), None],
        Way::Grey => [picture.plane(0, width, rows), None, None],
        Way::Scale(_) => [None; 3],
    };
    match (way, planes) {
        (Way::Yuv420p, [Some(luma), Some(cb), Some(cr)]) => {
            Ok(slot.write_yuv420p(plane(luma), plane(cb), plane(cr))?)
        }
        (Way::Nv12, [Some(luma), Some(chroma), _]) => Ok(slot.write_nv12(plane(luma), plane(chroma))?),
        (Way::Grey, [Some(luma), ..]) => {
            ways.no_chroma.resize(2 * pairs * chroma_rows, NO_COLOR);
            Ok(slot.write_nv12(plane(luma), Plane::new(&ways.no_chroma, 2 * pairs))?)
        }
        // Also for planes that cannot be had as slices, such as those whose rows run upwards.
        _ => scale(slot, picture, &mut ways.scaler),
    }
}

fn plane(from: PlaneRef<'_>) -> Plane<'_> {
    Plane::new(from.data, from.stride_bytes)
}

fn scale(slot: &mut Slot<'_>, picture: &Frame, scaler: &mut Option<Scaler>) -> Result<(), ConvertError> {
    let (width, height) = (picture.width(), picture.height());
    let source_format = convert::plain_twin(picture.pixel_format());
    let full_range = convert::color(picture).range == ColorRange::Full;
    let fitting = match scaler.take() {
        Some(kept) if kept.fits(width, height, source_format, full_range) => kept,
        _ => Scaler::new(width, height, source_format, full_range)?,
    };
    Ok(scaler.insert(fitting).convert(picture, &slot.planes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av::interrupt::Interrupt;
    use crate::decode::{Next, Stream};
    use crate::source::FileSource;
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;
    use std::time::Instant;
    use vas_shm_proto::{Nv12, SlotCount};

    const WIDTH: u32 = 64;
    const HEIGHT: u32 = 48;

    #[test]
    fn reasons_of_the_writer_are_counted_under_its_own_words() {
        for why in [
            NotExported::Preparing,
            NotExported::NoRoom,
            NotExported::HeldByAnother,
            NotExported::Unavailable,
            NotExported::Size,
            NotExported::ShutDown,
        ] {
            assert_eq!(reason(why).text(), why.to_string());
        }
    }

    /// The first picture of a clip of one colour, made by the ffmpeg program.
    fn picture(directory: &Path, luma: u16, range: &str, format: &str, encoder: &[&str]) -> Option<Frame> {
        sized_picture(directory, (WIDTH, HEIGHT), luma, range, format, encoder)
    }

    fn sized_picture(
        directory: &Path,
        (width, height): (u32, u32),
        luma: u16,
        range: &str,
        format: &str,
        encoder: &[&str],
    ) -> Option<Frame> {
        let path = directory.join("clip.mkv");
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi"])
            .args([
                "-i",
                &format!("color=black:s={width}x{height}:r=25:d=0.2,format={format},geq=lum={luma}"),
            ])
            .args(["-color_range", range, "-pix_fmt", format])
            .args(encoder)
            .arg(&path)
            .status();
        match made {
            Ok(status) => assert!(status.success(), "{format} {encoder:?}"),
            Err(why) => {
                vas_test_support::skipped(&format!("no clip, the ffmpeg program cannot be started: {why}"));
                return None;
            }
        }
        let file = FileSource { path, repeat: false };
        let input = file.open(&Interrupt::new(Arc::default())).unwrap();
        let mut stream =
            Stream::new(input, crate::av::decoder::Decoding::ALL, Duration::from_secs(10)).unwrap();
        loop {
            match stream.next(&Counters::default()).unwrap() {
                Next::Frame(decoded) => return Some(decoded.picture),
                Next::Nothing => {}
                Next::Ended => panic!("no picture in {format} {encoder:?}"),
            }
        }
    }

    /// The luma and chroma of a picture as readers find them, each the same all over.
    fn published(base: &Path, picture: &Frame, ways: &mut Ways) -> (u8, u8) {
        let config = ExporterConfig::new(base).slots(SlotCount::new(2).unwrap());
        let exporter = Exporter::start(config.when(ExportWhen::Always)).unwrap();
        let mut camera = exporter.camera(CameraId::new("grey").unwrap()).unwrap();
        let format = PictureFormat::new(picture.width(), picture.height(), convert::color(picture));
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(why) = camera.slot(format) {
            assert!(Instant::now() < deadline, "{why}");
            std::thread::yield_now();
        }
        let mut slot = camera.slot(format).unwrap();
        fill(&mut slot, picture, ways).unwrap();
        slot.publish(Stamp::at(1));
        let data = std::fs::read(base.join("grey/frame.data")).unwrap();
        let nv12 = Nv12::for_picture(WIDTH, HEIGHT).unwrap();
        let slot = data
            .chunks(data.len() / 2)
            .find(|slot| slot[nv12.uv_offset() as usize] != 0)
            .expect("a slot with chroma");
        let (luma, chroma) = slot[..nv12.data_size() as usize].split_at(nv12.uv_offset() as usize);
        assert!(luma.iter().all(|&byte| byte == luma[0]), "luma is not the same all over");
        assert!(chroma.iter().all(|&byte| byte == chroma[0]), "chroma is not the same all over");
        exporter.shutdown();
        (luma[0], chroma[0])
    }

    // Proves PUB-7: what swscale writes stays in its slot, whose neighbour readers may be using. A slot of 128 x 21 pixels is
    // filled to its last byte by rows that are filled to theirs.
    #[test]
    fn a_conversion_writes_nothing_beyond_its_own_picture() {
        let Ok(base) =
            tempfile::Builder::new().prefix("vas-bounds-").tempdir_in(vas_test_support::shared_memory())
        else {
            return vas_test_support::skipped("no directory in shared memory");
        };
        let clips = tempfile::tempdir().unwrap();
        let mut ways = Ways::default();
        for size in [(128, 21), (64, 48), (65, 47), (190, 35)] {
            for format in ["yuv444p", "yuv422p10le", "bgr0", "gray10le"] {
                let what = format!("{format} {size:?}");
                let picture = sized_picture(clips.path(), size, 200, "tv", format, &["-c:v", "ffv1"]);
                let Some(picture) = picture else { return };
                assert!(matches!(convert::way(picture.pixel_format()), Way::Scale(_)), "{what}");
                let config = ExporterConfig::new(base.path()).slots(SlotCount::new(3).unwrap());
                let exporter = Exporter::start(config.when(ExportWhen::Always)).unwrap();
                let mut camera = exporter.camera(CameraId::new("bounds").unwrap()).unwrap();
                // The filter that makes the clip rounds what its format cannot have.
                let size = (picture.width(), picture.height());
                let format = PictureFormat::new(size.0, size.1, convert::color(&picture));
                let deadline = Instant::now() + Duration::from_secs(30);
                while let Err(why) = camera.slot(format) {
                    assert!(Instant::now() < deadline, "{what}: {why}");
                    std::thread::yield_now();
                }
                let mut slot = camera.slot(format).unwrap();
                fill(&mut slot, &picture, &mut ways).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                slot.publish(Stamp::at(1));
                let data = std::fs::read(base.path().join("bounds/frame.data")).unwrap();
                let data_size = Nv12::for_picture(size.0, size.1).unwrap().data_size() as usize;
                let slots = data.chunks(data.len() / 3);
                let written: Vec<_> = slots.filter(|slot| slot.iter().any(|&byte| byte != 0)).collect();
                assert_eq!(written.len(), 1, "{what}: another slot was written to");
                assert!(
                    written[0][data_size..].iter().all(|&byte| byte == 0),
                    "{what}: the rest of its slot"
                );
                exporter.shutdown();
            }
        }
    }

    // Proves COLOR-4. Numbers below 16 and above 240, which any conversion from full to limited range would change.
    #[test]
    fn full_range_keeps_its_numbers_and_is_said_whether_it_is_interleaved_or_scaled() {
        let Ok(base) =
            tempfile::Builder::new().prefix("vas-full-").tempdir_in(vas_test_support::shared_memory())
        else {
            return vas_test_support::skipped("no directory in shared memory");
        };
        let clips = tempfile::tempdir().unwrap();
        let mut ways = Ways::default();
        for (format, is_scaled) in [("yuvj420p", false), ("yuvj422p", true), ("yuvj444p", true)] {
            // The filters that make the clip spread these to the full range.
            for limited in [24, 230] {
                let mjpeg = ["-c:v", "mjpeg", "-q:v", "1"];
                let Some(picture) = picture(clips.path(), limited, "pc", format, &mjpeg) else { return };
                let what = format!("{format} {limited}");
                let name = crate::av::frame::pixel_format_name(picture.pixel_format());
                assert_eq!(name, format, "{what}: decoded as another format");
                let way = convert::way(picture.pixel_format());
                assert_eq!(matches!(way, Way::Scale(_)), is_scaled, "{what}");
                assert_eq!(convert::color(&picture).range, ColorRange::Full, "{what}");
                let decoded = |plane| picture.plane(plane, 1, 1).expect("a plane").data[0];
                let expected = (decoded(0), decoded(1));
                let is_telling = |number| (1..16).contains(&number) || (241..255).contains(&number);
                assert!(is_telling(expected.0) && is_telling(expected.1), "{what}: a clip of {expected:?}");
                assert_eq!(published(base.path(), &picture, &mut ways), expected, "{what}");
            }
        }
    }

    // Proves COLOR-4.
    #[test]
    fn grey_pictures_keep_their_numbers_and_their_range() {
        const FFV1: &[&str] = &["-c:v", "ffv1"];
        const X265: &[&str] = &["-c:v", "libx265", "-x265-params", "log-level=none:lossless=1"];
        let Ok(base) =
            tempfile::Builder::new().prefix("vas-grey-").tempdir_in(vas_test_support::shared_memory())
        else {
            return vas_test_support::skipped("no directory in shared memory");
        };
        let clips = tempfile::tempdir().unwrap();
        let mut ways = Ways::default();
        for (format, shift, encoder) in [
            ("gray", 0, FFV1),
            ("gray", 0, X265),
            ("gray10le", 2, FFV1),
            ("gray10le", 2, X265),
            ("gray12le", 4, X265),
            ("gray16le", 8, FFV1),
        ] {
            for (option, range, black, white) in
                [("pc", ColorRange::Full, 0, 255), ("tv", ColorRange::Limited, 16, 235)]
            {
                for wanted in [black, white] {
                    // The largest number of a depth is all ones; the others are shifted.
                    let luma = if wanted == 255 { (1_u32 << (8 + shift)) - 1 } else { wanted << shift };
                    let Some(picture) = picture(clips.path(), luma as u16, option, format, encoder) else {
                        return;
                    };
                    let what = format!("{format} {encoder:?} {option} {wanted}");
                    assert_eq!(convert::color(&picture).range, range, "{what}");
                    let found = published(base.path(), &picture, &mut ways);
                    assert_eq!(found, (wanted as u8, NO_COLOR), "{what}");
                }
            }
        }
    }
}
