//! The layout of version 1, written out once more by hand, and the document that strangers read: code and document cannot
//! drift apart, and neither can change by accident. What a later version appends leaves all of this as it is.
//!
//! `BLESS_PROTOCOL=1 cargo test -p vas-shm-proto --test layout_is_frozen` writes the worked header in `PROTOCOL.md` anew (its
//! tables are `cargo xtask generate`'s).
//! Before version 1 is released that is how a correction gets there; afterwards a difference is a break of the contract.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use support::PlainWords;
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::layout::{self, FIELDS, Kind, SIZES};
use vas_shm_proto::publish::{FrameInfo, claim, publish};
use vas_shm_proto::words::{Word32, Word64};
use vas_shm_proto::{Color, ColorRange, FrameFlags, FrameId, Nv12, SlotCount, State, StreamFlags, version};
use zerocopy::IntoBytes;

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

// Proves HEAD-1, HEAD-2 and CHANGE-1.
#[test]
fn every_field_stands_where_version_1_put_it() {
    const C: Kind = Kind::Constant;
    const A: Kind = Kind::Atomic;
    let frozen: [(usize, usize, &str, &str, Kind); 29] = [
        (0, 4, "u32", "version", C),
        (4, 4, "u32", "header_size", C),
        (8, 8, "u64", "frame_id", A),
        (16, 8, "u64", "timestamp_ns", A),
        (24, 4, "u32", "width", C),
        (28, 4, "u32", "height", C),
        (32, 4, "u32", "pixel_format", C),
        (36, 4, "u32", "stride", C),
        (40, 8, "u64", "data_size", C),
        (48, 8, "u64", "uv_offset", C),
        (56, 4, "u32", "state", A),
        (60, 4, "u32", "flags", A),
        (64, 4, "u32", "slot_count", C),
        (68, 4, "u32", "slot_record_size", C),
        (72, 4, "u32", "slot_table_offset", C),
        (76, 1, "u8", "color_range", C),
        (77, 1, "u8", "color_primaries", C),
        (78, 1, "u8", "color_transfer", C),
        (79, 1, "u8", "color_matrix", C),
        (80, 8, "u64", "data_file_size", C),
        (88, 8, "u64", "data_inode", C),
        (96, 8, "u64", "generation", C),
        (104, 8, "u64", "heartbeat_ns", A),
        (112, 8, "u64", "frame_period_ns", A),
        (120, 8, "8 bytes", "magic", C),
        (256, 8, "u64", "slot[i].frame_id", A),
        (264, 8, "u64", "slot[i].timestamp_ns", A),
        (272, 8, "u64", "slot[i].data_offset", C),
        (280, 8, "u64", "slot[i].flags", A),
    ];
    let of_version_1 = FIELDS.iter().filter(|field| field.since == 1 && field.kind != Kind::Reserved);
    let found: Vec<_> =
        of_version_1.map(|field| (field.offset, field.size, field.ty, field.name, field.kind)).collect();
    assert_eq!(found, frozen);
}

// Proves CHANGE-2 and CHANGE-3.
#[test]
fn what_later_versions_append_stands_where_version_1_had_nothing() {
    for field in FIELDS.iter().filter(|field| field.since > 1) {
        let places = [128..256, 288..320, 768..usize::MAX];
        let end = field.offset + field.size;
        assert!(places.iter().any(|place| place.contains(&field.offset) && end <= place.end), "{field:?}");
        assert!(field.since <= version::VERSION, "{field:?}");
    }
}

// Proves CHANGE-3.
#[test]
fn a_new_header_says_how_far_its_fields_reach_and_begins_with_that_of_version_1() {
    let new = NewHeader {
        picture: Nv12::for_picture(640, 480).unwrap(),
        color: Color::UNSPECIFIED,
        slots: SlotCount::DEFAULT,
        data_inode: 1,
        generation: 1,
        state: State::Live,
        flags: StreamFlags::default(),
        heartbeat_ns: 1,
        frame_period_ns: 0,
    };
    let (bytes, raw) = (new.to_bytes(), new.to_raw());
    let whole = SIZES.iter().find(|(name, _)| *name == "header").unwrap().1;
    assert_eq!((bytes.len(), raw.stream.header_size.get() as usize), (whole, whole));
    assert_eq!(bytes[..768], *raw.as_bytes());
    let end = FIELDS.iter().filter(|field| field.offset >= 768).map(|field| field.offset + field.size).max();
    assert_eq!(whole, end.unwrap_or(768));
}

// Proves FILE-1, FILE-6 and CHANGE-7.
#[test]
fn every_constant_is_what_version_1_made_it() {
    const { assert!(version::VERSION >= 1) };
    assert_eq!(layout::HEADER_SIZE, 768);
    assert_eq!(layout::SLOT_TABLE_OFFSET, 256);
    assert_eq!(layout::SLOT_RECORD_SIZE, 64);
    assert_eq!((layout::MIN_SLOTS, layout::DEFAULT_SLOTS, layout::MAX_SLOTS), (2, 3, 8));
    assert_eq!(layout::PAGE_SIZE, 4096);
    assert_eq!(layout::MAX_DIMENSION, 16384);
    assert_eq!(layout::MAGIC, *b"VASFRAME");
    assert_eq!(layout::PIXEL_FORMAT_NV12.to_le_bytes(), *b"NV12");
    assert_eq!((layout::META_NAME, layout::DATA_NAME), ("frame.meta", "frame.data"));
    assert_eq!(layout::DEFAULT_BASE, "/dev/shm/vas");
    assert_eq!((StreamFlags::IDLE.0, FrameFlags::DAMAGED.0), (1, 1));
    let states = [State::Live, State::Stalled, State::Stopped, State::Replaced];
    assert_eq!(states.map(State::to_word), [1, 2, 3, 4]);
    let ranges = [ColorRange::Unknown, ColorRange::Limited, ColorRange::Full];
    assert_eq!(ranges.map(ColorRange::to_byte), [0, 1, 2]);
    assert_eq!(
        Color::UNSPECIFIED,
        Color { range: ColorRange::Unknown, primaries: 2, transfer: 2, matrix: 2 }
    );
}

// Proves HEAD-5.
#[test]
fn the_shared_words_are_those_of_the_table() {
    assert_eq!((Word64::FRAME_ID.offset(), Word64::TIMESTAMP_NS.offset()), (8, 16));
    assert_eq!((Word64::HEARTBEAT_NS.offset(), Word64::FRAME_PERIOD_NS.offset()), (104, 112));
    assert_eq!((Word32::STATE.offset(), Word32::FLAGS.offset()), (56, 60));
    let slots = SlotCount::new(8).unwrap();
    for n in 1..=20u64 {
        let slot = FrameId::new(n).unwrap().slot(slots);
        let record = 256 + 64 * (n % 8) as usize;
        assert_eq!(Word64::slot_frame_id(slot).offset(), record);
        assert_eq!(Word64::slot_timestamp_ns(slot).offset(), record + 8);
        assert_eq!(Word64::slot_flags(slot).offset(), record + 24);
    }
}

// Proves PUB-1 to PUB-6 as far as bytes show them, and HEAD-9.
#[test]
fn the_document_shows_the_bytes_that_the_code_makes() {
    let slots = SlotCount::DEFAULT;
    let generation = 5_000_000_000_000;
    let new = NewHeader {
        picture: Nv12::for_picture(1920, 1080).unwrap(),
        color: Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 },
        slots,
        data_inode: 0x2a,
        generation,
        state: State::Live,
        flags: StreamFlags::default(),
        heartbeat_ns: generation,
        frame_period_ns: 40_000_000,
    };
    assert_block("new header", &indented(&hexdump(&new.to_bytes())));

    let new = new.to_raw();
    let words = PlainWords::of(&new);
    let first = claim(&words, slots, FrameId::first_of_pair(None, generation));
    publish(&words, first, FrameInfo { timestamp_ns: 5_000_020_000_000, flags: FrameFlags::DAMAGED });
    let published = words.to_raw();
    let changed: String = lines_of_16(published.as_bytes())
        .zip(lines_of_16(new.as_bytes()))
        .filter(|(after, before)| after != before)
        .map(|((offset, bytes), _)| hex_line(offset, bytes))
        .collect();
    assert_block("after one frame", &indented(&changed));
}

#[test]
fn the_document_has_the_picture_of_the_source() {
    let source = include_str!("../src/layout.rs");
    let (_, rest) = source.split_once("//! ```text\n").unwrap();
    let (picture, _) = rest.split_once("//! ```\n").unwrap();
    for line in picture.lines() {
        let line = line.trim_start_matches("//!");
        assert!(PROTOCOL.contains(line), "PROTOCOL.md lacks this line of the picture in layout.rs: {line}");
    }
}

#[test]
fn every_clause_has_one_number_and_one_role() {
    let clauses = defined_clauses();
    assert!(clauses.contains_key("READ") && clauses.contains_key("OPEN"), "{clauses:?}");
    for (area, numbers) in &clauses {
        let expected: Vec<u32> = (1..=numbers.len() as u32).collect();
        assert_eq!(numbers, &expected, "clauses of {area} are numbered in order, without gap or repetition");
    }

    let mut roles: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for role in ["reader", "writer", "both"] {
        let row = format!("| {role} | ");
        let row = PROTOCOL.lines().find_map(|line| line.strip_prefix(row.as_str())).unwrap();
        for item in row.trim_end_matches(" |").split(", ") {
            let (area, numbers) = item.split_once('-').unwrap();
            let (first, last) = numbers.split_once(" to ").unwrap_or((numbers, numbers));
            roles
                .entry(area.to_owned())
                .or_default()
                .extend(first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap());
        }
    }
    roles.values_mut().for_each(|numbers| numbers.sort_unstable());
    assert_eq!(roles, clauses, "roles (left) and clauses (right)");
}

#[test]
fn the_clauses_that_are_referred_to_exist() {
    let clauses = defined_clauses();
    let sources = [
        ("PROTOCOL.md", PROTOCOL),
        ("algorithm.rs", include_str!("algorithm.rs")),
        ("header_checks.rs", include_str!("header_checks.rs")),
        ("layout_is_frozen.rs", include_str!("layout_is_frozen.rs")),
        ("properties.rs", include_str!("properties.rs")),
    ];
    for (name, text) in sources {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let Some((area, number)) = word.split_once('-') else { continue };
            if let (Some(known), Ok(number)) = (clauses.get(area), number.parse::<u32>()) {
                assert!(known.contains(&number), "{name} refers to {word}, which does not exist");
            }
        }
    }
}

/// Clauses as `PROTOCOL.md` defines them (`- **AREA-1** ...`): numbers by area, in the order found.
fn defined_clauses() -> BTreeMap<String, Vec<u32>> {
    let mut clauses: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in PROTOCOL.lines() {
        let Some((clause, _)) = line.strip_prefix("- **").and_then(|rest| rest.split_once("**")) else {
            continue;
        };
        let (area, number) = clause.split_once('-').unwrap();
        clauses.entry(area.to_owned()).or_default().push(number.parse().unwrap());
    }
    clauses
}

/// Compares a generated part of `PROTOCOL.md` with what the code makes of it.
#[track_caller]
fn assert_block(name: &str, expected: &str) {
    let (begin, end) = (format!("<!-- begin {name}"), format!("\n<!-- end {name} -->"));
    let (before, rest) = PROTOCOL.split_once(&begin).unwrap();
    let (comment, rest) = rest.split_once("-->").unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    let expected = format!("\n\n{expected}");
    if std::env::var_os("BLESS_PROTOCOL").is_some() && found != expected {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md");
        std::fs::write(path, format!("{before}{begin}{comment}-->{expected}{end}{after}")).unwrap();
        panic!("wrote {name} anew; run again until nothing is left to write");
    }
    assert!(
        found == expected,
        "PROTOCOL.md and the code differ in the part {name:?}; the code says:{expected}"
    );
}

fn lines_of_16(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.chunks(16).enumerate().map(|(i, line)| (16 * i, line))
}

/// As `hexdump -C`: lines equal to the one above as one asterisk, the size at the end.
fn hexdump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut above: Option<&[u8]> = None;
    let mut starred = false;
    for (offset, line) in lines_of_16(bytes) {
        if above == Some(line) {
            if !starred {
                text.push_str("*\n");
            }
            starred = true;
            continue;
        }
        starred = false;
        above = Some(line);
        text.push_str(&hex_line(offset, line));
    }
    writeln!(text, "{:08x}", bytes.len()).unwrap();
    text
}

fn hex_line(offset: usize, bytes: &[u8]) -> String {
    let hex = |half: &[u8]| half.iter().map(|b| format!("{b:02x} ")).collect::<String>();
    let (left, right) = bytes.split_at(bytes.len().min(8));
    let ascii: String =
        bytes.iter().map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }).collect();
    format!("{offset:08x}  {:<24} {:<24} |{ascii}|\n", hex(left), hex(right))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
