//! `recording`: what is in a recording, and whether all of it is whole.

use crate::failure::Failure;
use crate::human;
use md5::{Digest, Md5};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use vas_recording::{Ending, FrameInfo, ReadError, Reader, Record, Section};

/// Arguments of `recording`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a line per frame with its MD5 as `watch --hash md5` has it, and not the summary
    #[arg(long)]
    frames: bool,
    /// Print JSON: an object, or with --frames one per line
    #[arg(long)]
    json: bool,
}

/// What is in it, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Summary {
    camera: String,
    /// By the clock of the machine that recorded, as RFC 3339 has it.
    began: String,
    /// From the first to the last frame.
    seconds: f64,
    frames: u64,
    damaged: u64,
    overwritten: u64,
    dropped: u64,
    bytes: u64,
    /// `asked`, `signal`, `size`, `silence`; `cut` where there is no end.
    ended: &'static str,
    sections: Vec<SectionRow>,
    states: Vec<StateRow>,
}

#[derive(Debug, Serialize)]
struct SectionRow {
    width: u32,
    height: u32,
    generation: u64,
    color_range: &'static str,
    color_primaries: u8,
    color_transfer: u8,
    color_matrix: u8,
    frames_per_second: Option<f64>,
    frames: u64,
}

#[derive(Debug, Serialize)]
struct StateRow {
    /// Since the recording began.
    seconds: f64,
    state: &'static str,
}

/// A frame, as `--frames --json` shows it; the names are those of `watch`.
#[derive(Debug, Serialize)]
struct FrameLine {
    frame_id: u64,
    timestamp_ns: u64,
    overwritten: u64,
    dropped: u64,
    damaged: bool,
    width: u32,
    height: u32,
    generation: u64,
    md5: String,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let path = &arguments.file;
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::Open { path: path.clone(), error })?)
    };
    let failed = |error| Failure::Recording { path: path.clone(), error };
    let mut reader = Reader::new(BufReader::new(input)).map_err(failed)?;
    let start = *reader.start();
    let began = UNIX_EPOCH + Duration::from_nanos(start.wall_ns);
    let mut summary = Summary {
        camera: start.camera.to_string(),
        began: humantime::format_rfc3339_millis(began).to_string(),
        seconds: 0.0,
        frames: 0,
        damaged: 0,
        overwritten: 0,
        dropped: 0,
        bytes: 0,
        ended: "cut",
        sections: Vec::new(),
        states: Vec::new(),
    };
    let since = |from_ns: u64, to_ns: u64| {
        human::milliseconds(Duration::from_nanos(to_ns.saturating_sub(from_ns))) / 1e3
    };
    let mut first_ns = None;
    let mut section = None;
    let mut pixels = Vec::new();
    let damage: Option<ReadError> = loop {
        match reader.next_record(&mut pixels) {
            Ok(Record::Section(found)) => {
                // The same pair again: its period became known.
                if section.is_some_and(|last: Section| last.generation() == found.generation()) {
                    if let Some(row) = summary.sections.last_mut() {
                        row.frames_per_second = human::frames_per_second(found.frame_period_ns());
                    }
                } else {
                    summary.sections.push(row(&found));
                }
                section = Some(found);
            }
            Ok(Record::Frame(info)) => {
                summary.frames += 1;
                summary.damaged += u64::from(info.flags.is_damaged());
                // Whatever stands there: a recording may come from anywhere.
                summary.overwritten = summary.overwritten.saturating_add(info.overwritten);
                summary.dropped = summary.dropped.saturating_add(info.dropped);
                summary.seconds = since(*first_ns.get_or_insert(info.timestamp_ns), info.timestamp_ns);
                if let Some(row) = summary.sections.last_mut() {
                    row.frames += 1;
                }
                if let Some(section) = section.filter(|_| arguments.frames) {
                    frame(out, &section, &info, &pixels, arguments.json)?;
                }
            }
            Ok(Record::State(change)) => {
                let seconds = since(start.monotonic_ns, change.at_ns);
                summary.states.push(StateRow { seconds, state: change.state.name() });
            }
            Ok(Record::Ended(Ending::Whole(end))) => {
                (summary.overwritten, summary.dropped) = (end.overwritten, end.dropped);
                summary.ended = end.reason.name();
                break None;
            }
            Ok(Record::Ended(Ending::Cut { .. })) => break None,
            Err(error) => break Some(error),
        }
    };
    summary.bytes = reader.offset();
    if let Some(error) = damage {
        // What is whole was told line by line; a summary of a part would be taken for one of all.
        return Err(failed(error));
    }
    match (arguments.frames, arguments.json) {
        (true, _) => {}
        (false, true) => {
            serde_json::to_writer(&mut *out, &summary)?;
            writeln!(out)?;
        }
        (false, false) => print(out, &summary)?,
    }
    if arguments.frames && summary.ended == "cut" {
        crate::say(&format_args!(
            "{}: has no end; everything before byte {} is whole",
            path.display(),
            summary.bytes
        ));
    }
    Ok(())
}

fn row(section: &Section) -> SectionRow {
    let (picture, color) = (section.picture(), section.color());
    SectionRow {
        width: picture.width(),
        height: picture.height(),
        generation: section.generation(),
        color_range: color.range.name(),
        color_primaries: color.primaries,
        color_transfer: color.transfer,
        color_matrix: color.matrix,
        frames_per_second: human::frames_per_second(section.frame_period_ns()),
        frames: 0,
    }
}

fn frame(
    out: &mut dyn Write,
    section: &Section,
    info: &FrameInfo,
    pixels: &[u8],
    json: bool,
) -> Result<(), Failure> {
    let line = FrameLine {
        frame_id: info.frame_id,
        timestamp_ns: info.timestamp_ns,
        overwritten: info.overwritten,
        dropped: info.dropped,
        damaged: info.flags.is_damaged(),
        width: section.picture().width(),
        height: section.picture().height(),
        generation: section.generation(),
        md5: format!("{:x}", Md5::digest(pixels)),
    };
    if json {
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    } else {
        let FrameLine { frame_id, timestamp_ns, overwritten, dropped, width, height, md5, .. } = &line;
        let damaged = if line.damaged { "damaged" } else { "whole" };
        writeln!(
            out,
            "frame {frame_id} timestamp_ns {timestamp_ns} overwritten {overwritten} dropped {dropped} {width}x{height} {damaged} md5 {md5}"
        )?;
    }
    Ok(())
}

fn print(out: &mut dyn Write, summary: &Summary) -> Result<(), Failure> {
    let Summary { camera, began, seconds, frames, damaged, overwritten, dropped, .. } = summary;
    let bytes = human::bytes(summary.bytes);
    writeln!(out, "camera {camera}, recorded from {began}: {frames} frames in {seconds:.1} s, {bytes}")?;
    writeln!(
        out,
        "{damaged} damaged; not in it: {overwritten} overwritten before they were copied, {dropped} dropped as writing was too slow"
    )?;
    for section in &summary.sections {
        let SectionRow { width, height, frames, color_range, .. } = section;
        let (primaries, transfer, matrix) =
            (section.color_primaries, section.color_transfer, section.color_matrix);
        let rate = section.frames_per_second.map_or_else(String::new, |rate| format!(", {rate} a second"));
        writeln!(
            out,
            "  {width}x{height}, {frames} frames{rate}, range {color_range}, primaries {primaries}, transfer {transfer}, matrix {matrix}"
        )?;
    }
    for StateRow { seconds, state } in &summary.states {
        writeln!(out, "  after {seconds:.1} s: {state}")?;
    }
    let ended = match summary.ended {
        "cut" => "it has no end: it was broken off, and everything before that is whole".to_owned(),
        ended => format!("ended: {ended}"),
    };
    Ok(writeln!(out, "{ended}")?)
}
