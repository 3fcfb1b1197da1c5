//! A server in thirty lines: exports a moving test pattern until it is interrupted, or until so many frames were published: while
//! nobody looks, none is.
//!
//! `cargo run -p vas-shm-writer --example test_pattern -- [BASE [CAMERA [FRAMES]]]`, then `vas-frames --base BASE watch CAMERA`.

use std::time::Duration;
use vas_shm_writer::{CameraId, Color, ColorRange, Exporter, ExporterConfig, PictureFormat, Plane, Stamp};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const PERIOD: Duration = Duration::from_millis(40);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let base = args.next().unwrap_or_else(|| "/dev/shm/vas".into());
    let camera = args.next().unwrap_or_else(|| "pattern".into());
    let frames = args.next().map_or(Ok(u64::MAX), |number| number.parse())?;
    let exporter = Exporter::start(ExporterConfig::new(base))?;
    let mut camera = exporter.camera(CameraId::new(&camera)?)?;
    camera.set_frame_period(Some(PERIOD));
    let color = Color { range: ColorRange::Full, ..Color::UNSPECIFIED };
    let format = PictureFormat::new(WIDTH as u32, HEIGHT as u32, color);
    for tick in 0.. {
        if let Ok(mut slot) = camera.slot(format) {
            // A grey ramp that moves to the left, and two colour ramps that stand still.
            let (rows, pairs) = (HEIGHT / 2, WIDTH / 2);
            let luma: Vec<u8> =
                (0..HEIGHT).flat_map(|_| (0..WIDTH).map(move |x| (x + 4 * tick) as u8)).collect();
            let cb: Vec<u8> =
                (0..rows).flat_map(|_| (0..pairs).map(move |x| (x * 255 / pairs) as u8)).collect();
            let cr: Vec<u8> =
                (0..rows).flat_map(|y| (0..pairs).map(move |_| (y * 255 / rows) as u8)).collect();
            slot.write_yuv420p(Plane::new(&luma, WIDTH), Plane::new(&cb, pairs), Plane::new(&cr, pairs))?;
            slot.publish(Stamp::now());
        }
        if camera.counters().published >= frames {
            break;
        }
        std::thread::sleep(PERIOD);
    }
    Ok(())
}
