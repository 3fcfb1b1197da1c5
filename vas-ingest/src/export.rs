//! The export of a camera's frames (§5): pull the newest one, take a slot, convert once, publish.
//!
//! With the flag off there is no [`Export`], and so nothing: no file, no thread, no system call, no allocation (§13).

use crate::av::AvError;
use crate::av::frame::{Frame, PlaneRef};
use crate::av::scaler::Scaler;
use crate::config::ExportConfig;
use crate::convert::{self, Way};
use crate::decode::Decoded;
use crate::ring::{Cursor, Ring};
use crate::status::Counters;
use std::ffi::c_int;
use std::time::Duration;
use vas_shm_proto::CameraId;
use vas_shm_writer::{
    Camera, ExportWhen, Exporter, ExporterConfig, FillError, PictureFormat, Plane, Slot, SourceState, Stamp,
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
        let exporter = Exporter::start(writer.when(ExportWhen::Always))?;
        Ok(Self { exporter })
    }

    /// The export of one camera; nothing is on disk before its first frame.
    pub(crate) fn camera(&self, id: CameraId) -> Result<CameraExport, CameraError> {
        let camera = self.exporter.camera(id)?;
        Ok(CameraExport { camera, cursor: Cursor::default(), scaler: None, refused_format: None })
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
    scaler: Option<Scaler>,
    /// The pixel format whose conversion failed last: said once, counted always.
    refused_format: Option<c_int>,
}

/// Why a frame did not get into its slot.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Av(#[from] AvError),
}

impl CameraExport {
    /// Publishes the newest frame of the ring that was not published yet, if there is one. Never waits.
    pub(crate) fn pull(&mut self, ring: &Ring<Decoded>, counters: &Counters) {
        let Some(pulled) = ring.newest_unseen(&mut self.cursor) else { return };
        counters.ring_dropped.add(pulled.skipped);
        let picture = &pulled.frame.picture;
        let format = PictureFormat::new(picture.width(), picture.height(), convert::color(picture));
        let mut slot = match self.camera.slot(format) {
            Ok(slot) => slot,
            Err(why) => return counters.not_exported(&why),
        };
        match fill(&mut slot, picture, &mut self.scaler) {
            Ok(()) => {
                let stamp = Stamp::at(pulled.frame.timestamp_ns);
                slot.publish(stamp.damaged(pulled.frame.damaged));
                counters.exported.add(1);
                self.refused_format = None;
            }
            Err(why) => {
                // The slot is dropped unpublished: readers see nothing of it.
                counters.not_exported(&"the picture cannot be converted to NV12");
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
    pub(crate) fn set_live(&mut self, live: bool) {
        self.camera.set_source_state(if live { SourceState::Live } else { SourceState::Stalled });
    }

    /// Tells readers how far apart frames are.
    pub(crate) fn set_frame_period(&mut self, period: Duration) {
        self.camera.set_frame_period(Some(period));
    }
}

/// Puts the picture into the slot, each byte once.
fn fill(slot: &mut Slot<'_>, picture: &Frame, scaler: &mut Option<Scaler>) -> Result<(), ConvertError> {
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
        Way::Scale(_) => [None; 3],
    };
    match (way, planes) {
        (Way::Yuv420p, [Some(luma), Some(cb), Some(cr)]) => {
            Ok(slot.write_yuv420p(plane(luma), plane(cb), plane(cr))?)
        }
        (Way::Nv12, [Some(luma), Some(chroma), _]) => Ok(slot.write_nv12(plane(luma), plane(chroma))?),
        // Also for planes that cannot be had as slices, such as those whose rows run upwards.
        _ => scale(slot, picture, scaler),
    }
}

fn plane(from: PlaneRef<'_>) -> Plane<'_> {
    Plane::new(from.data, from.stride_bytes)
}

fn scale(slot: &mut Slot<'_>, picture: &Frame, scaler: &mut Option<Scaler>) -> Result<(), ConvertError> {
    let (width, height) = (picture.width(), picture.height());
    let source_format = convert::plain_twin(picture.pixel_format());
    let fitting = match scaler.take() {
        Some(kept) if kept.fits(width, height, source_format) => kept,
        _ => Scaler::new(width, height, source_format)?,
    };
    Ok(scaler.insert(fitting).convert(picture, &slot.planes())?)
}
