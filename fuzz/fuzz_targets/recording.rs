//! Any bytes as a recording, with checksums that fit, so that what they protect is reached: an answer, never a panic, and whatever
//! is read says the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vas_recording::{Ending, HEADER_SIZE, Reader, Record, Writer};

/// Bytes of a record before its body.
const HEAD_SIZE: usize = 16;

fuzz_target!(|input: &[u8]| {
    // As it is, which mostly ends at the first checksum, and put right.
    read(input);
    let mut bytes = input.to_vec();
    put_right(&mut bytes);
    read(&bytes);
});

/// Makes every checksum fit, as far as the lengths lead.
fn put_right(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..HEADER_SIZE) else { return };
    let (fields, crc) = header.split_at_mut(HEADER_SIZE - 4);
    crc.copy_from_slice(&crc32fast::hash(fields).to_le_bytes());
    let mut at = HEADER_SIZE;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEAD_SIZE) {
        let (head, body) = rest.split_at_mut(HEAD_SIZE);
        // A length that leads out of the input leads to its end, every second time.
        let mut length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > body.len() && length % 2 == 0 {
            length = body.len();
            head[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        }
        if let Some(body) = body.get(..length) {
            head[8..12].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        }
        let crc = crc32fast::hash(&head[..12]);
        head[12..].copy_from_slice(&crc.to_le_bytes());
        at = at.saturating_add(HEAD_SIZE).saturating_add(length);
    }
}

/// Everything of a recording: records, and the pixels of frames.
fn read(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let start = *reader.start();
    let mut writer = Writer::new(Vec::new(), &start).expect("a vector takes all");
    let mut records = Vec::new();
    let mut pixels = Vec::new();
    let mut frame_bytes = None;
    let end = loop {
        assert!(reader.offset() <= bytes.len() as u64);
        match reader.next_record(&mut pixels) {
            Ok(record @ Record::Section(section)) => {
                writer.section(&section).expect("a vector takes all");
                frame_bytes = Some(section.frame_bytes());
                records.push((record, Vec::new()));
            }
            Ok(record @ Record::Frame(info)) => {
                assert_eq!(Some(pixels.len() as u64), frame_bytes);
                writer.frame(&info, &pixels).expect("the section's size");
                records.push((record, pixels.clone()));
            }
            Ok(record @ Record::State(change)) => {
                writer.state(&change).expect("a vector takes all");
                records.push((record, Vec::new()));
            }
            Ok(Record::Ended(Ending::Whole(end))) => {
                writer.end(&end).expect("a vector takes all");
                break Some(end);
            }
            Ok(Record::Ended(Ending::Cut { offset })) => {
                assert_eq!(offset, reader.offset());
                break None;
            }
            Err(error) => {
                assert!(!error.to_string().contains('\n'));
                break None;
            }
        }
    };
    // Memory was asked for as bytes came.
    assert!(pixels.capacity() <= (2 << 20) + 2 * bytes.len());
    let bytes = writer.into_inner();
    let mut again = Reader::new(&*bytes).expect("what was written is read");
    assert_eq!(*again.start(), start);
    for (record, kept) in records {
        assert_eq!(again.next_record(&mut pixels).expect("what was written is read"), record);
        if let Record::Frame(_) = record {
            assert_eq!(pixels, kept);
        }
    }
    let ended = again.next_record(&mut pixels).expect("what was written is read");
    let offset = bytes.len() as u64;
    assert_eq!(ended, Record::Ended(end.map_or(Ending::Cut { offset }, Ending::Whole)));
}
