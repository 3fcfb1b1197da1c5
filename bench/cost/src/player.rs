//! One row's loop: a warm-up until everything is as the row wants it, then the frames that count.

use rustix::process::getppid;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use vas_ingest::bench::{Counts, Exporting, Loop};
use vas_shm_writer::{
    Camera, CameraId, Color, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, Stamp,
};

/// What the program is called with first when it is to be a player.
pub(crate) const ROLE: &str = "play";
/// The camera's name.
pub(crate) const CAMERA: &str = "cost";
/// What it says once its files are there. It goes on with the next line that it is told.
pub(crate) const FILES: &str = "files";

/// Frames before the first that counts: the ring is full, the camera's files are made, the decoder has its buffers.
const WARM_UP: u64 = 10;
/// How long the camera's files may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a player says at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Played {
    /// Of the frames that count.
    pub(crate) exported: u64,
    pub(crate) unwatched: u64,
    pub(crate) not_exported: u64,
    /// What Rust code asked its allocator for on the frames' thread, while they counted.
    pub(crate) allocations: u64,
}

/// Stands before and behind each frame that is handed over: a system call that nothing else here makes, so that strace shows
/// which calls stand between the two.
fn mark() {
    let _ = getppid();
}

/// A loop over frames.
trait Frames {
    fn play(&mut self, frames: u64) -> Result<(), String>;
    fn counts(&self) -> Counts;
}

impl Frames for Loop {
    fn play(&mut self, frames: u64) -> Result<(), String> {
        Loop::play(self, frames, mark)
    }

    fn counts(&self) -> Counts {
        Loop::counts(self)
    }
}

/// A server of anybody's that embeds the writer: it has a planar picture in private memory, and no FFmpeg.
struct Embedder {
    camera: Camera,
    format: PictureFormat,
    planes: [Vec<u8>; 3],
    counts: Counts,
}

impl Frames for Embedder {
    fn play(&mut self, frames: u64) -> Result<(), String> {
        for _ in 0..frames {
            mark();
            let handed_over = hand_over(self);
            mark();
            handed_over?;
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// What an embedding server does with a frame; found by this name in what callgrind writes, as that of `vas-ingest` is.
#[inline(never)]
fn hand_over(embedder: &mut Embedder) -> Result<(), String> {
    let Embedder { camera, format, planes: [luma, cb, cr], counts } = embedder;
    let (width, pairs) = (format.width as usize, format.width as usize / 2);
    counts.decoded += 1;
    match camera.slot(*format) {
        Ok(mut slot) => {
            let filled =
                slot.write_yuv420p(Plane::new(luma, width), Plane::new(cb, pairs), Plane::new(cr, pairs));
            filled.map_err(|error| error.to_string())?;
            slot.publish(Stamp::at(counts.decoded));
            counts.exported += 1;
        }
        Err(NotExported::Idle) => counts.unwatched += 1,
        Err(_) => counts.not_exported += 1,
    }
    Ok(())
}

/// The frames that count, and nothing else: callgrind begins anew with it.
#[inline(never)]
fn measured(frames: &mut dyn Frames, count: u64) -> Result<(), String> {
    frames.play(count)
}

/// The program as player: `KIND SOURCE BASE FRAMES`. A source is a clip, or a size such as 640x480 for the writer alone.
pub(crate) fn play(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [kind, source, base, count] = arguments else { return Err("give KIND SOURCE BASE FRAMES".into()) };
    let (base, count) = (Path::new(base), count.parse()?);
    let id = CameraId::new(CAMERA)?;
    let clip = |exporting| Loop::open(Path::new(source), id, &exporting);
    match kind.as_str() {
        "not-compiled-in" => play_through(&mut clip(Exporting::NotCompiledIn)?, None, count),
        "off" => play_through(&mut clip(Exporting::Off)?, None, count),
        "on" => {
            let mut frames = clip(Exporting::On(base))?;
            play_through(&mut frames, Some(base), count)?;
            frames.end();
            Ok(())
        }
        "on-after-a-copy" => {
            let mut frames = clip(Exporting::OnAfterACopy(base))?;
            play_through(&mut frames, Some(base), count)?;
            frames.end();
            Ok(())
        }
        "writer" => {
            let (width, height) = source.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
            let format = PictureFormat::new(width.parse()?, height.parse()?, Color::UNSPECIFIED);
            let pixels = format.width as usize * format.height as usize;
            let planes = [vec![16; pixels], vec![128; pixels / 4], vec![128; pixels / 4]];
            let exporter = Exporter::start(ExporterConfig::new(base))?;
            let camera = exporter.camera(id)?;
            let mut frames = Embedder { camera, format, planes, counts: Counts::default() };
            play_through(&mut frames, Some(base), count)?;
            drop(frames);
            exporter.shutdown();
            Ok(())
        }
        other => Err(format!("there is no {other} to play").into()),
    }
}

/// `base`: where files have to appear before anything counts.
fn play_through(
    frames: &mut dyn Frames,
    base: Option<&Path>,
    count: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    frames.play(1)?;
    if let Some(base) = base {
        let meta = base.join(CAMERA).join("frame.meta");
        let deadline = Instant::now() + PATIENCE;
        while !meta.exists() {
            if Instant::now() >= deadline {
                return Err(format!("{} was not made within {PATIENCE:?}", meta.display()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("{FILES}");
        std::io::stdout().flush()?;
        std::io::stdin().read_line(&mut String::new())?;
        // The files are there a moment before the frames' thread is given them.
        let mut waiting = frames.counts().not_exported;
        loop {
            frames.play(1)?;
            let now = frames.counts().not_exported;
            if now == waiting {
                break;
            }
            if Instant::now() >= deadline {
                return Err(format!("no frame found the files within {PATIENCE:?}").into());
            }
            waiting = now;
            // The clip does not last for ever either: few of its frames are for this.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    frames.play(WARM_UP - 1)?;
    let before = frames.counts();
    let mut ended = Ok(());
    let allocations = allocation_counter::measure(|| {
        ended = measured(frames, count);
    });
    ended?;
    let after = frames.counts();
    let played = Played {
        exported: after.exported - before.exported,
        unwatched: after.unwatched - before.unwatched,
        not_exported: after.not_exported - before.not_exported,
        allocations: allocations.count_total,
    };
    println!("{}", serde_json::to_string(&played)?);
    Ok(())
}
