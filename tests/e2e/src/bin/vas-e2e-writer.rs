//! A server without cameras for the tests: publishes marked pictures flat out until its standard input ends, and says on stderr why
//! it does not.
//!
//! `vas-e2e-writer BASE CAMERA SLOTS steady|sizes|restarts`: one size; another size again and again; the camera stopped and
//! started again and again.

use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_e2e::pattern::{self, Mark, SIZES};
use vas_shm_writer::{
    CameraId, Color, ExportWhen, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, SlotCount,
    Stamp,
};

/// How long one size stays once it is published.
const SIZE_STAYS: Duration = Duration::from_millis(100);
/// How long a camera runs once it publishes; a reader looks for its successor at most every 100 ms.
const RUN_LASTS: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-e2e-writer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [base, camera, slots, mode] = arguments else {
        return Err("give BASE CAMERA SLOTS steady|sizes|restarts".into());
    };
    let (changes_size, restarts) = match mode.as_str() {
        "steady" => (false, false),
        "sizes" => (true, false),
        "restarts" => (false, true),
        other => return Err(format!("{other}: give steady, sizes or restarts").into()),
    };
    let ended = Arc::new(AtomicBool::new(false));
    let ours = Arc::clone(&ended);
    std::thread::spawn(move || {
        // Whatever comes: it has ended.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ours.store(true, Ordering::Relaxed);
    });

    let exporter = Exporter::start(
        ExporterConfig::new(base).slots(SlotCount::new(slots.parse()?)?).when(ExportWhen::Always),
    )?;
    let id = CameraId::new(camera)?;
    let mut camera = Some(exporter.camera(id)?);
    let mut next = Mark { size: 0, number: 1 };
    let mut since: Option<Instant> = None;
    let mut why_not: Option<NotExported> = None;
    while !ended.load(Ordering::Relaxed) {
        let Some(open) = &mut camera else {
            camera = Some(exporter.camera(id)?);
            continue;
        };
        let (width, height) = SIZES[usize::from(next.size)];
        let packed = pattern::picture(next);
        let (luma, chroma) = packed.split_at((width * height) as usize);
        // While files are being made there is no slot: a picture less.
        let mut slot = match open.slot(PictureFormat::new(width, height, Color::UNSPECIFIED)) {
            Ok(slot) => slot,
            Err(why) => {
                if why_not.replace(why) != Some(why) {
                    eprintln!("not exported: {why}");
                }
                std::thread::yield_now();
                continue;
            }
        };
        why_not = None;
        slot.write_nv12(Plane::new(luma, width as usize), Plane::new(chroma, width as usize))?;
        slot.publish(Stamp::at(next.timestamp_ns()));
        next.number += 1;
        let published_for = since.get_or_insert_with(Instant::now).elapsed();
        if changes_size && published_for > SIZE_STAYS {
            next.size = 1 - next.size;
            since = None;
        }
        if restarts && published_for > RUN_LASTS {
            camera = None;
            since = None;
        }
    }
    drop(camera);
    exporter.shutdown();
    Ok(())
}
