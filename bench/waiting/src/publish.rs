//! The publisher: frames at a rate, each as late as chance wants it.

use crate::{Base, CAMERA};
use std::time::Duration;
use vas_shm_reader::monotonic_ns;
use vas_shm_writer::{CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Stamp};

/// How long before its moment the publisher is awake: more than a timer is late.
const AWAKE_NS: u64 = 400_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    base: Base,
    #[arg(long)]
    period_us: u64,
    /// Each frame comes by so much later than the rhythm at most
    #[arg(long)]
    jitter_us: u64,
}

pub(crate) fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let exporter = Exporter::start(ExporterConfig::new(&options.base.base).when(ExportWhen::Always))?;
    let mut camera = exporter.camera(CameraId::new(CAMERA)?)?;
    let period_ns = options.period_us * 1000;
    camera.set_frame_period(Some(Duration::from_nanos(period_ns)));
    let format = PictureFormat::new(64, 48, Color::UNSPECIFIED);
    let started_ns = monotonic_ns() + period_ns;
    let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
    for tick in 0.. {
        // Marsaglia's xorshift: the same lateness in every run.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let late_ns = if options.jitter_us == 0 { 0 } else { chance % (options.jitter_us * 1000) };
        let at_ns = started_ns + tick * period_ns + late_ns;
        let now_ns = monotonic_ns();
        std::thread::sleep(Duration::from_nanos(at_ns.saturating_sub(AWAKE_NS).saturating_sub(now_ns)));
        let slot = camera.slot(format);
        while monotonic_ns() < at_ns {
            std::hint::spin_loop();
        }
        if let Ok(slot) = slot {
            slot.publish(Stamp::now());
        }
    }
    Ok(())
}
