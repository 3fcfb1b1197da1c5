//! The path of a frame driven by hand, as fast as it decodes: for measuring what the export adds to it (`bench/cost`).
//!
//! The code that runs is the server's own: `Stream::next`, `FramePath::take` and behind it `CameraExport`. What is here only
//! chooses the outlet and plays the loop of `camera.rs` without pace, deadlines and reconnecting.
#![allow(missing_docs, reason = "no interface: compiled for one program of this repository")]

use crate::av::interrupt::Interrupt;
use crate::clock::FramePeriod;
use crate::config::{self, ExportConfig};
use crate::decode::{Decoded, Next, Stream};
use crate::export::{CameraExport, Export};
use crate::path::{FramePath, Outlet};
use crate::ring::Ring;
use crate::source::FileSource;
use crate::status::Counters;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vas_shm_proto::{CameraId, SlotCount};

/// A server's default.
const RING_FRAMES: usize = 4;
/// Keyframes come first in every clip.
const KEY_WAIT: Duration = Duration::from_secs(10);

/// What a loop does with its frames besides keeping them in the ring.
#[derive(Debug)]
pub enum Exporting<'b> {
    /// Phase 1: nothing of an export is compiled into this loop.
    NotCompiledIn,
    /// The export of a server whose flag is off.
    Off,
    /// The export of a server whose flag is on, under this base directory.
    On(&'b Path),
    /// The same, behind a mistake: each picture is copied before anybody is asked whether it is wanted.
    OnAfterACopy(&'b Path),
}

/// Phase 1's outlet: none.
struct NoOutlet;

impl Outlet for NoOutlet {
    fn pull(&mut self, _: &Ring<Decoded>, _: &Counters) {}

    fn set_live(&mut self, _: bool) {}

    fn set_frame_period(&mut self, _: Duration) {}
}

/// The mistake that the check has to find.
struct CopyFirst {
    export: CameraExport,
    copy: Vec<u8>,
}

impl Outlet for CopyFirst {
    fn pull(&mut self, ring: &Ring<Decoded>, counters: &Counters) {
        if let Some(pulled) = ring.newest_unseen(&mut crate::ring::Cursor::default()) {
            let picture = &pulled.frame.picture;
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            if let Some(luma) = picture.plane(0, width, height) {
                self.copy.clear();
                self.copy.extend_from_slice(luma.data);
                std::hint::black_box(&self.copy);
            }
        }
        self.export.pull(ring, counters);
    }

    fn set_live(&mut self, live: bool) {
        self.export.set_live(live);
    }

    fn set_frame_period(&mut self, period: Duration) {
        self.export.set_frame_period(period);
    }
}

enum AnyPath {
    NotCompiledIn(FramePath<NoOutlet>),
    Server(FramePath<Option<CameraExport>>),
    CopyFirst(FramePath<Option<CopyFirst>>),
}

/// What became of the frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub decoded: u64,
    pub exported: u64,
    pub unwatched: u64,
    pub not_exported: u64,
}

/// A camera's loop over a file.
pub struct Loop {
    // The camera leaves its exporter before that ends.
    path: AnyPath,
    stream: Stream,
    period: FramePeriod,
    counters: Arc<Counters>,
    export: Option<Export>,
}

impl Loop {
    /// Opens the file, and the export if there is to be one.
    ///
    /// # Errors
    /// What was tried and why it failed.
    pub fn open(file: &Path, camera: CameraId, exporting: &Exporting<'_>) -> Result<Self, String> {
        crate::av::log::install();
        let tell = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let source = FileSource { path: file.to_owned(), repeat: false };
        let input = source.open(&Interrupt::new(Arc::default())).map_err(|error| tell(&error))?;
        let stream =
            Stream::new(input, crate::av::decoder::Decoding::ALL, KEY_WAIT).map_err(|error| tell(&error))?;
        let period = FramePeriod::new(stream.nominal_period());
        let counters = Arc::<Counters>::default();
        let export = match exporting {
            Exporting::NotCompiledIn | Exporting::Off => None,
            Exporting::On(base) | Exporting::OnAfterACopy(base) => {
                let when = config::ExportWhen::Attached;
                let config =
                    ExportConfig { base: (*base).into(), group: None, slots: SlotCount::DEFAULT, when };
                Some(Export::start(&config).map_err(|error| error.to_string())?)
            }
        };
        let outlet = export.as_ref().map(|export| export.camera(camera)).transpose();
        let outlet = outlet.map_err(|error| error.to_string())?;
        let shared = Arc::clone(&counters);
        let path = match exporting {
            Exporting::NotCompiledIn => AnyPath::NotCompiledIn(FramePath::new(RING_FRAMES, NoOutlet, shared)),
            Exporting::Off | Exporting::On(_) => AnyPath::Server(FramePath::new(RING_FRAMES, outlet, shared)),
            Exporting::OnAfterACopy(_) => {
                let outlet = outlet.map(|export| CopyFirst { export, copy: Vec::new() });
                AnyPath::CopyFirst(FramePath::new(RING_FRAMES, outlet, shared))
            }
        };
        Ok(Self { path, stream, period, counters, export })
    }

    /// Plays so many frames. `mark` is called before and after each of them is handed over.
    ///
    /// # Errors
    /// The file ended before, or cannot be read.
    pub fn play(&mut self, frames: u64, mark: impl Fn()) -> Result<(), String> {
        let Self { path, stream, period, counters, .. } = self;
        match path {
            AnyPath::NotCompiledIn(path) => play(stream, counters, path, period, frames, mark),
            AnyPath::Server(path) => play(stream, counters, path, period, frames, mark),
            AnyPath::CopyFirst(path) => play(stream, counters, path, period, frames, mark),
        }
    }

    /// What became of the frames so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let now = self.counters.snapshot();
        Counts {
            decoded: now.decoded,
            exported: now.exported,
            unwatched: now.unwatched,
            not_exported: now.not_exported.iter().sum(),
        }
    }

    /// Ends it; every file is removed.
    pub fn end(self) {
        drop(self.path);
        if let Some(export) = self.export {
            export.shutdown();
        }
    }
}

/// The loop of `camera.rs`.
fn play<O: Outlet>(
    stream: &mut Stream,
    counters: &Counters,
    path: &mut FramePath<O>,
    period: &mut FramePeriod,
    frames: u64,
    mark: impl Fn(),
) -> Result<(), String> {
    for _ in 0..frames {
        let frame = loop {
            match stream.next(counters) {
                Ok(Next::Frame(frame)) => break frame,
                Ok(Next::Nothing) => {}
                Ok(Next::Ended) => return Err("the clip ended too early".into()),
                Err(error) => return Err(error.to_string()),
            }
        };
        mark();
        hand_over(path, frame, period);
        mark();
    }
    Ok(())
}

/// The part of the loop that the export is in: found by this name in what callgrind writes.
#[inline(never)]
fn hand_over<O: Outlet>(path: &mut FramePath<O>, frame: Decoded, period: &mut FramePeriod) {
    path.take(frame, period);
}
