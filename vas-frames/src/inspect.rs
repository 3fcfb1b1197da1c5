//! `inspect`: every field of a header, raw and decoded, also of one that is refused.
//!
//! The rows are those of [`vas_shm_proto::layout::FIELDS`]; a field that is added there shows up here by itself.

use crate::cli::CameraArgument;
use crate::color;
use crate::failure::Failure;
use crate::human;
use crate::look;
use rustix::fs::OFlags;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use vas_shm_proto::layout::{
    FIELDS, Field, Kind, MAX_SLOTS, PIXEL_FORMAT_NV12, SLOT_RECORD_SIZE, SLOT_TABLE_OFFSET, WHOLE_HEADER_SIZE,
};
use vas_shm_proto::{ColorRange, DATA_NAME, FrameFlags, META_NAME, State, StreamFlags};
use vas_shm_reader::{Opened, Status, monotonic_ns};

/// What the names of per-frame fields begin with.
const SLOT_PREFIX: &str = "slot[i].";

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: CameraArgument,
    /// Print a JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Everything that can be said of a camera's files.
#[derive(Debug, Serialize)]
struct Report {
    camera: String,
    /// `ready`, `not_there` or `refused`.
    verdict: &'static str,
    /// Why it is not ready.
    why: Option<String>,
    /// Which field was refused, by its name in the table.
    refused_field: Option<&'static str>,
    /// State of a camera that is ready, after a look of about a second at most.
    state: Option<&'static str>,
    files: Vec<FileRow>,
    fields: Vec<FieldRow>,
    slots: Vec<SlotRow>,
}

#[derive(Debug, Serialize)]
struct FileRow {
    path: String,
    size_bytes: u64,
    allocated_bytes: u64,
    inode: u64,
    uid: u32,
    gid: u32,
    /// Permission bits in octal.
    mode: String,
}

#[derive(Debug, Serialize)]
struct FieldRow {
    name: &'static str,
    offset: usize,
    size: usize,
    #[serde(rename = "type")]
    ty: &'static str,
    kind: &'static str,
    since: u32,
    /// `None` if the file ends before the field does.
    raw: Option<Raw>,
    decoded: String,
    meaning: &'static str,
}

#[derive(Debug, Serialize)]
struct SlotRow {
    slot: usize,
    fields: Vec<FieldRow>,
}

/// The value of a field as it stands there: a number, or bytes as hexadecimal text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Bytes(String),
}

/// What a value is decoded against.
#[derive(Clone, Copy, Debug)]
struct Context {
    now_ns: u64,
    slot_count: u64,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let camera = arguments.camera.id()?;
    let directory = base.join(camera.as_str());
    // The bytes first: what is shown is what stood there before this process counted as attached.
    let bytes = read_header(&directory.join(META_NAME)).unwrap_or_default();
    let now_ns = monotonic_ns();
    let files = [META_NAME, DATA_NAME].iter().filter_map(|name| file_row(&directory.join(name))).collect();

    let mut report = Report {
        camera: camera.to_string(),
        verdict: "ready",
        why: None,
        refused_field: None,
        state: None,
        files,
        fields: fields(&bytes, now_ns),
        slots: slots(&bytes, now_ns),
    };
    let mut outcome = Ok(());
    for looked in look::look(base, &[camera]) {
        match looked.opened {
            Opened::Ready(_) => report.state = looked.status.map(Status::name),
            Opened::NotYet(why) => {
                report.verdict = "not_there";
                report.why = Some(why.to_string());
                outcome = Err(Failure::NotThere { why });
            }
            Opened::Refused(why) => {
                report.verdict = "refused";
                report.why = Some(why.to_string());
                report.refused_field = match &why {
                    vas_shm_reader::Refused::Header { why, .. } => Some(why.field()),
                    _ => None,
                };
                outcome = Err(Failure::Refused(why));
            }
        }
    }
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    out.flush()?;
    outcome
}

/// The first bytes of `frame.meta`, at most [`WHOLE_HEADER_SIZE`], whatever they are. That they cannot be read is for the verdict
/// to explain.
fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; WHOLE_HEADER_SIZE];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn file_row(path: &Path) -> Option<FileRow> {
    let file = path.symlink_metadata().ok()?;
    Some(FileRow {
        path: path.display().to_string(),
        size_bytes: file.len(),
        allocated_bytes: file.blocks() * 512,
        inode: file.ino(),
        uid: file.uid(),
        gid: file.gid(),
        mode: format!("{:04o}", file.mode() & 0o7777),
    })
}

fn fields(bytes: &[u8], now_ns: u64) -> Vec<FieldRow> {
    let context = Context { now_ns, slot_count: slot_count(bytes) as u64 };
    let stream = FIELDS.iter().filter(|field| !field.name.starts_with(SLOT_PREFIX));
    stream.map(|field| field_row(field, field.offset, bytes, context)).collect()
}

/// A record per slot; every record there is room for if the header has no number of slots to go by.
fn slots(bytes: &[u8], now_ns: u64) -> Vec<SlotRow> {
    let count = slot_count(bytes);
    let context = Context { now_ns, slot_count: count as u64 };
    let of_record: Vec<&Field> = FIELDS.iter().filter(|field| field.name.starts_with(SLOT_PREFIX)).collect();
    let rows = (0..count).filter(|slot| SLOT_TABLE_OFFSET + SLOT_RECORD_SIZE * slot < bytes.len());
    rows.map(|slot| SlotRow {
        slot,
        fields: of_record
            .iter()
            .map(|field| field_row(field, field.offset + SLOT_RECORD_SIZE * slot, bytes, context))
            .collect(),
    })
    .collect()
}

fn slot_count(bytes: &[u8]) -> usize {
    let field = FIELDS.iter().find(|field| field.name == "slot_count");
    match field.and_then(|field| raw(bytes, field.offset, field)) {
        Some(Raw::Number(count @ 1..=8)) => count as usize,
        _ => MAX_SLOTS,
    }
}

fn field_row(field: &Field, offset: usize, bytes: &[u8], context: Context) -> FieldRow {
    let raw = raw(bytes, offset, field);
    FieldRow {
        name: field.name,
        offset,
        size: field.size,
        ty: field.ty,
        kind: match field.kind {
            Kind::Constant => "constant",
            Kind::Atomic => "atomic",
            Kind::Reserved => "reserved",
        },
        since: field.since,
        decoded: match &raw {
            None => "past the end of the file".to_owned(),
            Some(raw) => decode(field.name, raw, context),
        },
        raw,
        meaning: field.meaning,
    }
}

fn raw(bytes: &[u8], offset: usize, field: &Field) -> Option<Raw> {
    let value = bytes.get(offset..offset + field.size)?;
    if field.size <= 8 && field.ty.starts_with('u') {
        let number = value.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        return Some(Raw::Number(number));
    }
    Some(Raw::Bytes(value.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// What a value means. A field of a later version that this tool has no words for is left as the number it is.
fn decode(name: &str, raw: &Raw, context: Context) -> String {
    let number = match raw {
        Raw::Bytes(hex) => return decode_bytes(name, hex),
        Raw::Number(number) => *number,
    };
    // The colour fields have one byte.
    let code_point = number as u8;
    match name {
        "version" if number == 0 => "no version a writer may put there".to_owned(),
        "version" if number > 1 => "later than this tool, which knows version 1".to_owned(),
        "frame_id" if number == 0 => "no frame yet".to_owned(),
        "frame_id" => format!("in slot {}", number % context.slot_count),
        "slot[i].frame_id" if number == 0 => "empty, or being overwritten".to_owned(),
        "timestamp_ns" | "slot[i].timestamp_ns" | "generation" | "heartbeat_ns" => {
            moment(number, context.now_ns)
        }
        "width" | "height" => format!("{number} pixels"),
        "pixel_format" => fourcc(number as u32),
        "header_size"
        | "stride"
        | "data_size"
        | "uv_offset"
        | "data_file_size"
        | "slot_record_size"
        | "slot_table_offset"
        | "slot[i].data_offset" => human::bytes(number),
        "state" => match State::from_word(number as u32) {
            State::Other(_) => "unknown, counts as live".to_owned(),
            known => known.name().to_owned(),
        },
        "flags" => {
            flags(number, u64::from(StreamFlags::IDLE.0), "idle: nobody attached, no pixels are copied")
        }
        "slot[i].flags" => flags(number, FrameFlags::DAMAGED.0, "damaged"),
        "color_range" if number > 2 => "unknown (a value of a later version)".to_owned(),
        "color_range" => ColorRange::from_byte(code_point).name().to_owned(),
        "color_primaries" => color::primaries_name(code_point).to_owned(),
        "color_transfer" => color::transfer_name(code_point).to_owned(),
        "color_matrix" => vas_shm_reader::convert::matrix_name(code_point).to_owned(),
        "frame_period_ns" => match human::frames_per_second(number) {
            None => "unknown".to_owned(),
            Some(fps) => format!("{}, {fps} frames a second", human::duration(Duration::from_nanos(number))),
        },
        _ => String::new(),
    }
}

fn decode_bytes(name: &str, hex: &str) -> String {
    if name == "magic" {
        let pairs = hex.as_bytes().chunks_exact(2);
        let bytes = pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        return format!("\"{}\"", bytes.collect::<Vec<u8>>().escape_ascii());
    }
    if hex.bytes().all(|digit| digit == b'0') { "all zero" } else { "not all zero (never inspected)" }
        .to_owned()
}

/// A CLOCK_MONOTONIC timestamp, against this process's own clock.
fn moment(at_ns: u64, now_ns: u64) -> String {
    match (at_ns, now_ns.checked_sub(at_ns)) {
        (0, _) => "none".to_owned(),
        (_, Some(ago)) => format!("{} ago", human::duration(Duration::from_nanos(ago))),
        (_, None) => "ahead of this process's clock".to_owned(),
    }
}

fn fourcc(word: u32) -> String {
    let letters = word.to_le_bytes();
    let known = if word == PIXEL_FORMAT_NV12 { "" } else { ", not known to this tool" };
    format!("'{}'{known}", letters.escape_ascii())
}

fn flags(number: u64, bit: u64, name: &str) -> String {
    let known = if number & bit == 0 { "none" } else { name };
    match number & !bit {
        0 => known.to_owned(),
        unknown => format!("{known}; unknown bits {unknown:#x}, ignored"),
    }
}

impl Raw {
    /// For a column of a table: long byte fields are cut.
    fn to_cell(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Bytes(hex) if hex.len() > 16 => format!("{}..", &hex[..16]),
            Self::Bytes(hex) => hex.clone(),
        }
    }
}

fn text(report: &Report) -> String {
    let verdict = match (report.state, &report.why) {
        (Some(state), _) => state.replace('_', " "),
        (None, _) => report.verdict.replace('_', " "),
    };
    let mut text = format!("camera {}: {verdict}\n", report.camera);
    if report.state == Some(Status::Unproven.name()) {
        let look = human::duration(look::LOOK);
        text.push_str(&format!("no sign of life for {look}: the server may be dead\n"));
    }
    if !report.files.is_empty() {
        text.push('\n');
        let rows: Vec<Vec<String>> = report.files.iter().map(file_cells).collect();
        text.push_str(&human::table(&rows));
    }
    if report.fields.iter().any(|field| field.raw.is_some()) {
        text.push('\n');
        let mut rows = vec![["offset", "field", "raw", "decoded"].map(str::to_owned).to_vec()];
        rows.extend(report.fields.iter().map(|field| field_cells(field, report.refused_field)));
        text.push_str(&human::table(&rows));
    }
    if let Some(first) = report.slots.first() {
        text.push('\n');
        let shown = |field: &&FieldRow| field.kind != "reserved";
        let mut heading = vec!["slot".to_owned(), "offset".to_owned()];
        heading.extend(first.fields.iter().filter(shown).map(|field| field.name.replace(SLOT_PREFIX, "")));
        let mut rows = vec![heading];
        for slot in &report.slots {
            let mut row = vec![slot.slot.to_string()];
            row.push(slot.fields.first().map_or(0, |field| field.offset).to_string());
            row.extend(slot.fields.iter().filter(shown).map(slot_cell));
            rows.push(row);
        }
        text.push_str(&human::table(&rows));
    }
    text
}

fn file_cells(file: &FileRow) -> Vec<String> {
    vec![
        file.path.clone(),
        format!("{} bytes ({})", file.size_bytes, human::bytes(file.size_bytes)),
        format!("{} allocated", human::bytes(file.allocated_bytes)),
        format!("mode {}", file.mode),
        format!("uid {}", file.uid),
        format!("gid {}", file.gid),
        format!("inode {}", file.inode),
    ]
}

fn field_cells(field: &FieldRow, refused: Option<&str>) -> Vec<String> {
    let mark = if refused == Some(field.name) { "  <- refused" } else { "" };
    vec![
        field.offset.to_string(),
        field.name.to_owned(),
        field.raw.as_ref().map_or_else(|| "-".to_owned(), Raw::to_cell),
        format!("{}{mark}", field.decoded),
    ]
}

/// In one cell, since the table has a row per slot.
fn slot_cell(field: &FieldRow) -> String {
    match (&field.raw, field.decoded.as_str()) {
        (None, decoded) => decoded.to_owned(),
        (Some(raw), "") => raw.to_cell(),
        (Some(raw), decoded) => format!("{} ({decoded})", raw.to_cell()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { now_ns: 5_000_000_000, slot_count: 3 };

    #[test]
    fn every_field_of_the_table_but_plain_numbers_has_a_meaning() {
        // These are complete as numbers.
        let plain = ["version", "slot_count", "data_inode", "slot[i].frame_id"];
        for field in &FIELDS {
            let bytes = [1; WHOLE_HEADER_SIZE];
            let raw = raw(&bytes, field.offset, field).expect("inside the header");
            let decoded = decode(field.name, &raw, CONTEXT);
            assert!(
                plain.contains(&field.name) || !decoded.is_empty(),
                "{} has no decoded meaning",
                field.name
            );
        }
    }

    #[test]
    fn values_that_no_writer_of_version_1_writes_are_decoded_too() {
        let decode = |name, number| decode(name, &Raw::Number(number), CONTEXT);
        assert_eq!(decode("state", 9), "unknown, counts as live");
        assert_eq!(decode("flags", 6), "none; unknown bits 0x6, ignored");
        assert_eq!(decode("pixel_format", 0x0A0B_0C0D), r"'\r\x0c\x0b\n', not known to this tool");
        assert_eq!(decode("color_matrix", 200), "reserved");
        assert_eq!(decode("color_range", 3), "unknown (a value of a later version)");
        assert_eq!(decode("heartbeat_ns", u64::MAX), "ahead of this process's clock");
    }

    #[test]
    fn a_file_that_ends_early_shows_what_it_has() {
        let rows = fields(&[1, 0, 0, 0, 9], 0);
        assert_eq!(rows[0].raw, Some(Raw::Number(1)));
        assert_eq!((rows[1].raw.clone(), rows[1].decoded.as_str()), (None, "past the end of the file"));
        assert!(slots(&[1, 0, 0, 0, 9], 0).is_empty());
    }
}
