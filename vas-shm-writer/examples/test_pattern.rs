//! A server in thirty lines: exports a moving test pattern until it is interrupted.
//!
//! `cargo run -p vas-shm-writer --example test_pattern -- [BASE [CAMERA]]`, then `vas-frames --base BASE watch CAMERA`.

use std::time::Duration;
use vas_shm_writer::{CameraId, Color, ColorRange, Exporter, ExporterConfig, PictureFormat, Plane, Stamp};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let base = args.next().unwrap_or_else(|| "/dev/shm/vas".into());
    let camera = args.next().unwrap_or_else(|| "pattern".into());
    let exporter = Exporter::start(ExporterConfig::new(base))?;
    let mut camera = exporter.camera(CameraId::new(&camera)?)?;
    camera.set_frame_period(Some(Duration::from_millis(40)));
    let color = Color { range: ColorRange::Full, ..Color::UNSPECIFIED };
    let format = PictureFormat::new(WIDTH as u32, HEIGHT as u32, color);
    for tick in 0.. {
        if let Ok(mut slot) = camera.slot(format) {
            // A grey ramp that moves to the left, and two colour ramps that stand still.
            let luma: Vec<u8> =
                (0..HEIGHT).flat_map(|_| (0..WIDTH).map(move |x| (x + 4 * tick) as u8)).collect();
            let cb: Vec<u8> =
                (0..HEIGHT / 2).flat_map(|_| (0..WIDTH / 2).map(|x| (x * 255 / (WIDTH / 2)) as u8)).collect();
            let cr: Vec<u8> = (0..HEIGHT / 2)
                .flat_map(|y| (0..WIDTH / 2).map(move |_| (y * 255 / (HEIGHT / 2)) as u8))
                .collect();
            slot.write_yuv420p(
                Plane::new(&luma, WIDTH),
                Plane::new(&cb, WIDTH / 2),
                Plane::new(&cr, WIDTH / 2),
            )?;
            slot.publish(Stamp::now());
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    Ok(())
}
