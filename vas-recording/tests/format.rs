//! What is written is what FORMAT.md says, and what is read is what was written, whatever happened to the bytes.

use proptest::prelude::*;
use vas_recording::{
    Damage, End, EndReason, Ending, FrameInfo, HEADER_SIZE, ReadError, Reader, Record, Section, Start,
    StreamState, StreamStateChange, Writer,
};
use vas_shm_proto::{CameraId, Color, ColorRange, FrameFlags};

/// Everything of a recording: its records with their pixels, and how reading ended.
type Everything = (Vec<(Record, Vec<u8>)>, Result<Ending, ReadError>);

fn read(bytes: &[u8]) -> Everything {
    let mut records = Vec::new();
    let mut pixels = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (records, Err(error)),
    };
    loop {
        match reader.next_record(&mut pixels) {
            Ok(Record::Ended(ending)) => return (records, Ok(ending)),
            Ok(record @ Record::Frame(_)) => records.push((record, pixels.clone())),
            Ok(record) => records.push((record, Vec::new())),
            Err(error) => {
                // Behind damage there is nothing, however often it is asked for.
                let offset = reader.offset();
                let again = reader.next_record(&mut pixels).expect("an end");
                assert_eq!(again, Record::Ended(Ending::Cut { offset }));
                return (records, Err(error));
            }
        }
    }
}

fn start() -> Start {
    let camera = CameraId::new("front").expect("an id");
    Start { camera, wall_ns: 1_700_000_000_000_000_000, monotonic_ns: 5_000_000_000 }
}

fn section(width: u32, height: u32) -> Section {
    let color = Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 };
    Section::new(4_900_000_000, width, height, color, 40_000_000).expect("a size")
}

/// Two sections, four frames, two states, the end; and where each record begins, the end of all last.
fn example() -> (Vec<u8>, Vec<usize>) {
    let mut offsets = vec![HEADER_SIZE];
    let mut writer = Writer::new(Vec::new(), &start()).expect("a vector takes all");
    let mut written = |writer: &Writer<Vec<u8>>| offsets.push(writer.whole_bytes() as usize);
    let mut id = 100;
    for (width, height) in [(16, 8), (5, 3)] {
        let section = section(width, height);
        writer.section(&section).expect("written");
        written(&writer);
        for _ in 0..2 {
            id += 1;
            let flags = FrameFlags(id % 2);
            let info = FrameInfo { frame_id: id, timestamp_ns: id * 40, flags, overwritten: 1, dropped: 2 };
            writer.frame(&info, &vec![id as u8; section.frame_bytes() as usize]).expect("written");
            written(&writer);
        }
        writer
            .state(&StreamStateChange { state: StreamState::Stalled, at_ns: id * 40 + 9 })
            .expect("written");
        written(&writer);
    }
    let end = End { frames: 0, overwritten: 4, dropped: 8, at_ns: 9_999, reason: EndReason::Signal };
    writer.end(&end).expect("written");
    written(&writer);
    (writer.into_inner(), offsets)
}

#[test]
fn what_is_read_is_what_was_written() {
    let (bytes, offsets) = example();
    let (records, ending) = read(&bytes);
    assert_eq!(records.len(), 8);
    assert_eq!(offsets.len(), records.len() + 2);
    let frames: Vec<_> = records
        .iter()
        .filter_map(|(record, pixels)| match record {
            Record::Frame(info) => Some((info.frame_id, info.flags.is_damaged(), pixels.len(), pixels[0])),
            _ => None,
        })
        .collect();
    // 5x3: 15 of luma, two chroma rows of 6.
    assert_eq!(
        frames,
        [(101, true, 192, 101), (102, false, 192, 102), (103, true, 27, 103), (104, false, 27, 104)]
    );
    assert_eq!(records[0].0, Record::Section(section(16, 8)));
    assert_eq!(
        records[3].0,
        Record::State(StreamStateChange { state: StreamState::Stalled, at_ns: 102 * 40 + 9 })
    );
    let Ok(Ending::Whole(end)) = ending else { panic!("{ending:?}") };
    assert_eq!(end, End { frames: 4, overwritten: 4, dropped: 8, at_ns: 9_999, reason: EndReason::Signal });
}

/// The example of FORMAT.md is made once more, and compared byte by byte.
#[test]
fn the_bytes_are_those_of_the_document() {
    let mut writer = Writer::new(Vec::new(), &start()).expect("a vector takes all");
    writer.section(&section(4, 2)).expect("written");
    let info = FrameInfo {
        frame_id: 4_900_001,
        timestamp_ns: 5_010_000_000,
        flags: FrameFlags::DAMAGED,
        overwritten: 2,
        dropped: 0,
    };
    writer.frame(&info, &[16, 17, 18, 19, 20, 21, 22, 23, 128, 129, 130, 131]).expect("written");
    writer.state(&StreamStateChange { state: StreamState::Stalled, at_ns: 8_000_000_000 }).expect("written");
    let end = End { frames: 0, overwritten: 2, dropped: 0, at_ns: 9_000_000_000, reason: EndReason::Asked };
    writer.end(&end).expect("written");
    let bytes = writer.into_inner();
    let ours: Vec<String> = bytes
        .chunks(16)
        .enumerate()
        .map(|(row, bytes)| {
            let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:04x}  {}", row * 16, hex.join(" "))
        })
        .collect();
    let document = include_str!("../FORMAT.md");
    let example = document.split_once("```hex\n").and_then(|(_, rest)| rest.split_once("```"));
    let example = example.expect("an example").0;
    assert_eq!(example.trim_end(), ours.join("\n"), "what the writer makes:\n{}", ours.join("\n"));
}

#[test]
fn a_recording_that_is_cut_anywhere_has_all_whole_records_before_the_cut_and_says_where_it_is() {
    let (bytes, offsets) = example();
    for length in HEADER_SIZE..bytes.len() {
        let (records, ending) = read(&bytes[..length]);
        let whole = offsets.iter().filter(|&&offset| offset <= length).count() - 1;
        assert_eq!(records.len(), whole, "cut to {length} bytes");
        let Ok(Ending::Cut { offset }) = ending else { panic!("cut to {length} bytes: {ending:?}") };
        assert_eq!(offset as usize, offsets[whole]);
    }
    for length in 0..HEADER_SIZE {
        let (_, ending) = read(&bytes[..length]);
        assert!(matches!(ending, Err(ReadError::NoHeader { bytes }) if bytes == length), "{ending:?}");
    }
}

#[test]
fn every_flipped_bit_is_refused_at_the_record_it_is_in_and_all_records_before_it_are_read() {
    let (bytes, offsets) = example();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (records, ending) = read(&bytes);
        let error = ending.expect_err("a flipped bit");
        if bit / 8 < HEADER_SIZE {
            assert!(records.is_empty(), "bit {bit}");
            continue;
        }
        let record = offsets.iter().filter(|&&offset| offset <= bit / 8).count() - 1;
        assert_eq!(records.len(), record, "bit {bit}: {error}");
        let ReadError::Damaged { offset, damage: Damage::Checksum { .. } } = error else {
            panic!("bit {bit}: {error}");
        };
        assert_eq!(offset as usize, offsets[record], "bit {bit}");
        assert!(error.to_string().contains(&format!("damaged at byte {offset}: the checksum of its ")));
    }
}

/// A record with checksums that fit, whatever is in it.
fn record(kind: &[u8; 4], body: &[u8], body_bytes: u32) -> Vec<u8> {
    let mut record = kind.to_vec();
    record.extend(body_bytes.to_le_bytes());
    record.extend(crc32fast::hash(body).to_le_bytes());
    record.extend(crc32fast::hash(&record).to_le_bytes());
    record.extend(body);
    record
}

fn head() -> Vec<u8> {
    Writer::new(Vec::new(), &start()).expect("a vector takes all").into_inner()
}

fn frame_body(fields_size: u32, encoding: u32, more: &[u8]) -> Vec<u8> {
    let mut body = fields_size.to_le_bytes().to_vec();
    body.extend(encoding.to_le_bytes());
    body.extend([0; 40]);
    body.extend(more);
    body
}

#[test]
fn what_a_later_program_adds_is_passed_over() {
    let mut bytes = head();
    bytes.extend(record(b"WAVE", &[7; 100_000], 100_000));
    let (whole, offsets) = example();
    let section = &whole[offsets[0] + 16..offsets[1]];
    bytes.extend(record(b"SECT", &[section, &[9; 8]].concat(), 40));
    let body = frame_body(52, 0, &[&[1, 2, 3, 4][..], &[50; 192]].concat());
    bytes.extend(record(b"FRAM", &body, body.len() as u32));
    let (records, ending) = read(&bytes);
    assert_eq!(records.len(), 2, "{ending:?}");
    assert_eq!(records[1].1, [50; 192]);
    assert!(matches!(ending, Ok(Ending::Cut { offset }) if offset as usize == bytes.len()));
}

#[test]
fn what_fits_its_checksum_and_makes_no_sense_is_refused_with_what_is_wrong() {
    let (whole, offsets) = example();
    let section = whole[offsets[0]..offsets[1]].to_vec();
    let changed = |at: usize, byte: u8| {
        let mut body = section[16..].to_vec();
        body[at] = byte;
        record(b"SECT", &body, 32)
    };
    let frame = |fields_size, encoding, more: &[u8]| {
        let body = frame_body(fields_size, encoding, more);
        [section.clone(), record(b"FRAM", &body, body.len() as u32)].concat()
    };
    let nothing_before = |body: &[u8]| record(b"FRAM", body, body.len() as u32);
    for (bytes, words) in [
        (nothing_before(&frame_body(48, 0, &[0; 192])), "a frame stands before the first section"),
        (changed(8, 0), "a section: width is 0"),
        (changed(10, 255), "a section: width is"),
        (changed(16, b'M'), "pixel_format is 0x3231564d, version 1 has NV12 (0x3231564e) alone"),
        (record(b"SECT", &[0; 31], 31), "a record of kind SECT has 31 bytes, 32 to 4096 are possible"),
        (record(b"STAT", &[0; 5000], 5000), "a record of kind STAT has 5000 bytes, 16 to 4096 are possible"),
        (
            record(b"FRAM", &[], u32::MAX),
            "a record of kind FRAM has 4294967295 bytes, 48 to 402657280 are possible",
        ),
        (frame(48, 1, &[0; 192]), "encoding is 1, this program knows 0 (packed rows)"),
        (frame(48, 0, &[0; 191]), "a frame has 191 bytes of pixels, its section's pictures have 192"),
        (frame(48, 0, &[0; 193]), "a frame has 193 bytes of pixels, its section's pictures have 192"),
        (frame(40, 0, &[0; 184]), "a frame has 192 bytes of pixels, its section's pictures have 192"),
        (frame(u32::MAX, 0, &[0; 192]), "a frame has 0 bytes of pixels, its section's pictures have 192"),
        (record(b"ENDS", &[1; 40], 40), "the end counts 72340172838076673 frames, there are 0"),
        ([record(b"ENDS", &[0; 40], 40), vec![0]].concat(), "there are bytes behind the recording's end"),
    ] {
        let (_, ending) = read(&[head(), bytes].concat());
        let sentence = ending.expect_err(words).to_string();
        assert!(sentence.contains(words), "{words:?} is not in: {sentence}");
        assert!(sentence.starts_with("the recording is damaged at byte "), "{sentence}");
    }
}

#[test]
fn what_is_no_recording_or_of_another_version_is_told_so() {
    let with = |at: usize, bytes: &[u8]| {
        let mut header = head();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc32fast::hash(&header[..124]);
        header[124..].copy_from_slice(&crc.to_le_bytes());
        header
    };
    for (bytes, words) in [
        (
            b"YUV4MPEG2 W640".to_vec(),
            r"this is no recording: it begins with YUV4MPEG, a recording with VASREC\r\n",
        ),
        (b"x".to_vec(), "this is no recording: it begins with x"),
        (vec![], "ends after 0 bytes, before any frame (its header alone has 128)"),
        (with(8, &[2]), "has version 2 of the format, this program knows version 1"),
        (with(12, &[0]), "header_size is 0, version 1 has 128"),
        (with(32, b"../x"), "the camera's id: "),
        (with(32, &[0xFF]), "the camera's id: "),
    ] {
        let (_, ending) = read(&bytes);
        let sentence = ending.expect_err(words).to_string();
        assert!(sentence.contains(words), "{words:?} is not in: {sentence}");
    }
}

#[test]
fn a_frame_of_another_size_or_before_any_section_is_not_written() {
    let mut writer = Writer::new(Vec::new(), &start()).expect("a vector takes all");
    assert!(writer.frame(&FrameInfo::default(), &[0; 192]).is_err());
    writer.section(&section(16, 8)).expect("written");
    let error = writer.frame(&FrameInfo::default(), &[0; 191]).expect_err("too short");
    assert_eq!(error.to_string(), "a frame of 191 bytes where 192 bytes is needed");
    assert_eq!(writer.into_inner().len(), HEADER_SIZE + 16 + 32);
}

#[test]
fn memory_is_asked_for_as_bytes_come_and_not_as_they_are_claimed() {
    // A frame of the largest picture that there is, with three bytes of it; and a record of 4 GiB that nobody knows.
    let mut largest = Writer::new(Vec::new(), &start()).expect("a vector takes all");
    largest.section(&section(16384, 16384)).expect("written");
    let mut frame = record(b"FRAM", &frame_body(48, 0, &[1, 2, 3]), 48 + 402_653_184);
    let mut unknown = head();
    unknown.extend(record(b"HUGE", &[1, 2, 3], u32::MAX));
    for bytes in [[largest.into_inner(), std::mem::take(&mut frame)].concat(), unknown] {
        let mut ending = None;
        let allocated = allocation_counter::measure(|| ending = Some(read(&bytes).1));
        assert!(matches!(ending, Some(Ok(Ending::Cut { .. }))), "{ending:?}");
        assert!(allocated.bytes_max < 3 << 20, "{allocated:?}");
    }
}

/// A piece of a recording, whole or not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![Just(*b"SECT"), Just(*b"FRAM"), Just(*b"STAT"), Just(*b"ENDS"), any::<[u8; 4]>()];
    let honest = (kinds.clone(), proptest::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(kind, body)| record(&kind, &body, body.len() as u32));
    let liar = (kinds, proptest::collection::vec(any::<u8>(), 0..300), any::<u32>())
        .prop_map(|(kind, body, bytes)| record(&kind, &body, bytes));
    let (whole, offsets) = example();
    let real = (0..offsets.len() - 1).prop_map(move |at| whole[offsets[at]..offsets[at + 1]].to_vec());
    let small_frame = (0_u32..200, 0_u32..3, proptest::collection::vec(any::<u8>(), 0..300)).prop_map(
        |(fields, encoding, more)| {
            let body = frame_body(fields, encoding, &more);
            record(b"FRAM", &body, body.len() as u32)
        },
    );
    prop_oneof![4 => real, 2 => small_frame, 1 => honest, 1 => liar, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_well_within_a_bounded_memory(
        pieces in proptest::collection::vec(piece(), 0..12),
        has_header in prop_oneof![9 => Just(true), 1 => Just(false)],
        flip in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = if has_header { head() } else { Vec::new() };
        bytes.extend(pieces.concat());
        if let Some(flip) = flip.filter(|_| !bytes.is_empty()) {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let mut found = None;
        let allocated = allocation_counter::measure(|| found = Some(read(&bytes)));
        let Some((records, ending)) = found else { unreachable!("it was read") };
        // What was collected here, and what the reader needs.
        prop_assert!(allocated.bytes_max < (4 << 20) + 4 * bytes.len() as u64, "{:?}", allocated);
        let mut frame_bytes = None;
        for (record, pixels) in &records {
            match record {
                Record::Section(section) => frame_bytes = Some(section.frame_bytes()),
                Record::Frame(_) => prop_assert_eq!(Some(pixels.len() as u64), frame_bytes),
                _ => {}
            }
        }
        match ending {
            Ok(Ending::Cut { offset }) => prop_assert!(offset as usize <= bytes.len()),
            Ok(Ending::Whole(end)) => {
                let frames = records.iter().filter(|(record, _)| matches!(record, Record::Frame(_))).count();
                prop_assert_eq!(end.frames, frames as u64);
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
