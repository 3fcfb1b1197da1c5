//! The server's side: the writer as it is shipped, at a camera's pace, each call measured.

use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, Stamp,
};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
/// The camera that is measured, and one beside it for readers that have nothing to do with the first. Its frames come just after,
/// so that its readers are awake when those of the first would be.
pub(crate) const CAMERA: &str = "measured";
pub(crate) const OTHER_CAMERA: &str = "other";
/// A camera without readers: a frame of it comes just before each that is measured, so that the code is in the caches and what is
/// measured is what the camera's own words and pixels cost.
const WARM_UP_CAMERA: &str = "warm-up";
/// Empty measurements from which the cost of looking at the clocks is known.
const CALIBRATIONS: usize = 10_001;
/// Files are made within this time on any machine.
const FILES_WITHIN: Duration = Duration::from_secs(120);

const FORMAT: PictureFormat = PictureFormat::new(WIDTH, HEIGHT, Color::UNSPECIFIED);

/// What one call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// By CLOCK_MONOTONIC: what else the processor did meanwhile is in it.
    pub(crate) wall_ns: u64,
    /// By CLOCK_THREAD_CPUTIME_ID: what this thread itself took of the processor.
    pub(crate) processor_ns: u64,
}

/// What was measured in a block of frames.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Claim and publish, without pixels.
    pub(crate) words: Vec<Cost>,
    /// Claim, 1080p copied in, publish.
    pub(crate) pictures: Vec<Cost>,
}

fn now_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither is negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn measured(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Cost, Box<dyn Error>> {
    let processor = now_ns(ClockId::ThreadCPUTime);
    let wall = now_ns(ClockId::Monotonic);
    work()?;
    let wall_ns = now_ns(ClockId::Monotonic) - wall;
    let processor_ns = now_ns(ClockId::ThreadCPUTime) - processor;
    Ok(Cost { wall_ns, processor_ns })
}

/// Why a frame was not published.
fn refused(why: impl std::fmt::Display) -> Box<dyn Error> {
    why.to_string().into()
}

/// A frame without pixels.
fn publish_words(camera: &mut Camera) -> Result<(), Box<dyn Error>> {
    camera.slot(FORMAT).map_err(refused)?.publish(Stamp::now());
    Ok(())
}

/// The writer, with nothing else beside it that costs.
pub(crate) struct Server {
    camera: Camera,
    warm_up: Camera,
    other: Camera,
    luma: Vec<u8>,
    chroma: Vec<u8>,
    period: Duration,
    next: Instant,
    /// What looking at the clocks costs.
    clocks: Cost,
    /// Frames that were to be published, and those that were not.
    frames: u64,
    lost: u64,
    interrupted: Arc<AtomicBool>,
    _exporter: Exporter,
}

impl Server {
    /// Starts the cameras and waits for their files.
    pub(crate) fn start(base: &Path, fps: u32, interrupted: Arc<AtomicBool>) -> Result<Self, Box<dyn Error>> {
        let exporter = Exporter::start(ExporterConfig::new(base).when(ExportWhen::Always))?;
        let period = Duration::from_secs(1) / fps;
        let mut camera = exporter.camera(CameraId::new(CAMERA)?)?;
        let mut other = exporter.camera(CameraId::new(OTHER_CAMERA)?)?;
        let mut warm_up = exporter.camera(CameraId::new(WARM_UP_CAMERA)?)?;
        for camera in [&mut camera, &mut other, &mut warm_up] {
            camera.set_frame_period(Some(period));
            let deadline = Instant::now() + FILES_WITHIN;
            while let Err(why) = camera.slot(FORMAT).map(drop) {
                if Instant::now() > deadline {
                    return Err(refused(why));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let mut empty = (0..CALIBRATIONS).map(|_| measured(|| Ok(()))).collect::<Result<Vec<_>, _>>()?;
        empty.sort_unstable_by_key(|cost| cost.wall_ns);
        let wall_ns = empty[CALIBRATIONS / 2].wall_ns;
        empty.sort_unstable_by_key(|cost| cost.processor_ns);
        let processor_ns = empty[CALIBRATIONS / 2].processor_ns;

        let (luma_bytes, chroma_bytes) = ((WIDTH * HEIGHT) as usize, (WIDTH * HEIGHT / 2) as usize);
        Ok(Self {
            camera,
            warm_up,
            other,
            luma: vec![80; luma_bytes],
            chroma: vec![128; chroma_bytes],
            period,
            next: Instant::now(),
            clocks: Cost { wall_ns, processor_ns },
            frames: 0,
            lost: 0,
            interrupted,
            _exporter: exporter,
        })
    }

    pub(crate) fn clocks(&self) -> Cost {
        self.clocks
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn until_due(&mut self) {
        let now = Instant::now();
        self.next = (self.next + self.period).max(now);
        std::thread::sleep(self.next - now);
    }

    /// Publishes a frame when it is due; `None` when that was refused.
    fn frame(&mut self, with_pixels: bool) -> Option<Cost> {
        self.until_due();
        self.frames += 1;
        let _ = measured(|| publish_words(&mut self.warm_up));
        let (camera, luma, chroma) = (&mut self.camera, &self.luma, &self.chroma);
        let cost = measured(|| {
            let mut slot = camera.slot(FORMAT).map_err(refused)?;
            if with_pixels {
                let stride = WIDTH as usize;
                slot.write_nv12(Plane::new(luma, stride), Plane::new(chroma, stride)).map_err(refused)?;
            }
            slot.publish(Stamp::now());
            Ok(())
        });
        let beside = publish_words(&mut self.other);
        match cost.and_then(|cost| beside.map(|()| cost)) {
            Ok(cost) => Some(Cost {
                wall_ns: cost.wall_ns.saturating_sub(self.clocks.wall_ns),
                processor_ns: cost.processor_ns.saturating_sub(self.clocks.processor_ns),
            }),
            Err(why) => {
                eprintln!("vas-isolation: a frame was not published: {why}");
                self.lost += 1;
                None
            }
        }
    }

    /// Publishes frames, unmeasured, until something has happened; `false`: it did not in time.
    pub(crate) fn publish_until(&mut self, limit: Duration, mut has_happened: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !has_happened() {
            if Instant::now() > deadline || self.is_interrupted() {
                return false;
            }
            let _ = self.frame(true);
        }
        true
    }

    /// Publishes and measures so many frames of both kinds.
    pub(crate) fn block(&mut self, frames: usize) -> Block {
        let mut block = Block::default();
        for _ in 0..frames {
            if self.is_interrupted() {
                break;
            }
            block.words.extend(self.frame(false));
            block.pictures.extend(self.frame(true));
        }
        block
    }
}
