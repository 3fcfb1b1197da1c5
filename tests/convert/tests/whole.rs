//! A picture that was overwritten while it was converted is nobody's picture.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vas_shm_reader::convert::{ConvertError, Converter, ModelInput, PixelLayout};
use vas_shm_reader::{Event, FrameStream};
use vas_shm_writer::{
    CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, SlotCount, Stamp,
};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const WAYS: [&str; 6] = ["rgb", "rgba", "gray", "input of that size", "resized", "resized gray"];
/// Of each way that many whole pictures and that many that were overwritten, before it is believed.
const ENOUGH: u64 = 20;
/// A loaded machine needs seconds.
const WITHIN: Duration = Duration::from_secs(120);

/// Pictures of one value each, every other one dark, with that pause between them, until it is over.
fn publish(exporter: &Exporter, id: CameraId, pause_us: &AtomicU64, is_over: &AtomicBool) {
    let mut camera = exporter.camera(id).expect("a camera");
    let format = PictureFormat::new(WIDTH, HEIGHT, Color::UNSPECIFIED);
    let pixels = (WIDTH * HEIGHT) as usize;
    let chroma = vec![128; pixels / 2];
    for number in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let luma = vec![if number % 2 == 0 { 60 } else { 180 }; pixels];
        if let Ok(mut slot) = camera.slot(format) {
            let row_bytes = WIDTH as usize;
            slot.write_nv12(Plane::new(&luma, row_bytes), Plane::new(&chroma, row_bytes)).expect("fits");
            slot.publish(Stamp::now());
        }
        std::thread::sleep(Duration::from_micros(pause_us.load(Ordering::Relaxed)));
    }
}

#[test]
fn what_is_converted_is_one_picture_or_none_whoever_overwrites_it_meanwhile() {
    let scene = vas_e2e::scene::Scene::new();
    let id = CameraId::new("busy").expect("an id");
    let config =
        ExporterConfig::new(scene.base()).when(ExportWhen::Always).slots(SlotCount::new(2).expect("two"));
    let exporter = Exporter::start(config).expect("an exporter");
    let (is_over, pause_us) = (AtomicBool::new(false), AtomicU64::new(0));
    let (whole_input, small_input) = (ModelInput::new(WIDTH, HEIGHT), ModelInput::new(320, 320).stretch());
    // Whole and overwritten, by way.
    let mut seen: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&exporter, id, &pause_us, &is_over));
        let read = scope.spawn(|| {
            let mut stream = FrameStream::new(scene.base(), id);
            let mut converter = Converter::new();
            let mut out = vec![0; (WIDTH * HEIGHT * 4) as usize];
            let begun = Instant::now();
            // One way after the other: first with so much time between pictures that some are whole, then flat out.
            let next = |seen: &BTreeMap<&str, [u64; 2]>| {
                WAYS.iter().find_map(|&way| {
                    let [whole, overwritten] = seen.get(way).copied().unwrap_or_default();
                    pause_us.store(if whole < ENOUGH { 20_000 } else { 0 }, Ordering::Relaxed);
                    (whole < ENOUGH || overwritten < ENOUGH).then_some(way)
                })
            };
            while let Some(way) = next(&seen) {
                assert!(begun.elapsed() < WITHIN, "the test is blind: whole and overwritten are {seen:?}");
                let Event::Frame(frame) = stream.next_event(Duration::from_secs(1)) else { continue };
                let mut judge = |way: &'static str,
                                 bytes: usize,
                                 pixel: usize,
                                 done: Result<(), ConvertError>,
                                 out: &[u8]| {
                    match done {
                        Ok(()) => {
                            let picture = &out[..bytes];
                            // Each pixel against the one before it.
                            let is_one = picture[pixel..] == picture[..bytes - pixel];
                            assert!(is_one, "{way}: a torn picture was given out as whole");
                            seen.entry(way).or_default()[0] += 1;
                        }
                        Err(ConvertError::Overwritten(_)) => seen.entry(way).or_default()[1] += 1,
                        Err(other) => panic!("{way}: {other}"),
                    }
                };
                let layout = match way {
                    "rgba" => PixelLayout::Rgba,
                    "gray" | "resized gray" => PixelLayout::Gray,
                    _ => PixelLayout::Rgb,
                };
                let pixel = layout.bytes_per_pixel();
                if way.starts_with("resized") || way == "input of that size" {
                    let input =
                        if way.starts_with("resized") { small_input } else { whole_input }.layout(layout);
                    let done = converter.fit(&frame, &input, &mut out, input.stride_bytes());
                    judge(way, input.bytes(), pixel, done.map(|_| ()), &out);
                } else {
                    let stride = WIDTH as usize * pixel;
                    let done = converter.convert(&frame, layout, &mut out, stride);
                    judge(way, stride * HEIGHT as usize, pixel, done, &out);
                }
            }
        });
        let read = read.join();
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = read {
            std::panic::resume_unwind(panic);
        }
    });
    println!("whole and overwritten: {seen:?}");
    exporter.shutdown();
}
