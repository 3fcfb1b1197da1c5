//! A JSON line per frame and per change of state, from an appsink behind `vasframesrc`: what `vas-frames watch --json --hash md5` prints.
//!
//! `GST_PLUGIN_PATH=target/debug cargo run -p gst-plugin-vasframes --example gst_watch -- CAMERA [FRAMES]`; the base directory is that of
//! `VAS_SHM_BASE`, or else /dev/shm/vas. Ends after so many frames, or when nobody reads its output any more.

use gst::prelude::*;
use gst_app::AppSink;
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use md5::{Digest, Md5};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("gst_watch: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let camera = arguments.next().ok_or("usage: gst_watch CAMERA [FRAMES]")?;
    let limit = arguments.next().map(|frames| frames.parse::<u64>()).transpose()?;
    let started_ns = vas_shm_reader::monotonic_ns();

    gst::init()?;
    let source = gst::ElementFactory::make("vasframesrc")
        .property("camera", &camera)
        .property_from_str("mode", "next")
        .build()
        .map_err(|why| format!("{why} Does GST_PLUGIN_PATH name the folder of libgstvasframes.so?"))?;
    // Each frame when it is there, and not at its time on the clock.
    let sink = AppSink::builder().sync(false).build();
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, sink.upcast_ref()])?;
    source.link(&sink)?;

    // Frames and changes are told in the order in which they happened: both by the element's own thread.
    let watched = source.clone();
    let (printed, skipped_before) = (AtomicU64::new(0), AtomicU64::new(0));
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let found_ns = vas_shm_reader::monotonic_ns();
                let skipped_total = watched.property::<u64>("skipped");
                let skipped = skipped_total - skipped_before.swap(skipped_total, Ordering::Relaxed);
                let line = line(&sample, found_ns, started_ns, skipped, watched.property("generation"))
                    .ok_or(gst::FlowError::Error)?;
                say(&line).map_err(|_| gst::FlowError::Eos)?;
                if Some(printed.fetch_add(1, Ordering::Relaxed) + 1) == limit {
                    return Err(gst::FlowError::Eos);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    bus.set_sync_handler(|_, message| {
        let element = match message.view() {
            gst::MessageView::Element(element) => element.structure(),
            _ => None,
        };
        if let Some(status) = element.filter(|status| status.name() == "vas-frames-status") {
            let text = |name| status.get::<String>(name).ok();
            let mut line = serde_json::json!({ "state": text("state"), "camera": text("camera") });
            if let Some(why) = text("why") {
                line["why"] = why.into();
            }
            // Whoever left is noticed at the next frame.
            let _ = say(&line);
        }
        gst::BusSyncReply::Pass
    });

    // What is wrong when this fails is said on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut outcome = Ok(());
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => {
                outcome = Err(error.error().to_string().into());
                break;
            }
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null)?;
    outcome
}

/// Everything about a frame; none if the buffer is not what the element promises.
fn line(
    sample: &gst::Sample,
    found_ns: u64,
    started_ns: u64,
    skipped: u64,
    generation: u64,
) -> Option<serde_json::Value> {
    let buffer = sample.buffer()?;
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let picture = VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    // Rows may have padding behind them, and planes may lie apart: the buffer says where they are.
    let (width, height) = (info.width() as usize, info.height() as usize);
    let planes = [(width, height), (2 * width.div_ceil(2), height.div_ceil(2))];
    let mut hash = Md5::new();
    for (plane, (row_bytes, rows)) in planes.into_iter().enumerate() {
        let stride = usize::try_from(*picture.plane_stride().get(plane)?).ok()?;
        let bytes = picture.plane_data(plane as u32).ok()?;
        for y in 0..rows {
            hash.update(bytes.get(y * stride..)?.get(..row_bytes)?);
        }
    }
    let timestamp = buffer.meta::<gst::ReferenceTimestampMeta>()?.timestamp();
    Some(serde_json::json!({
        "frame_id": buffer.offset(),
        "timestamp_ns": timestamp.nseconds(),
        "found_ns": found_ns,
        "since_start_ns": found_ns.saturating_sub(started_ns),
        "skipped": skipped,
        "damaged": buffer.flags().contains(gst::BufferFlags::CORRUPTED),
        "width": info.width(),
        "height": info.height(),
        "generation": generation,
        "md5": format!("{:x}", hash.finalize()),
    }))
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
