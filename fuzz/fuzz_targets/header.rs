//! Any bytes as the header of a camera: the check never panics, and what it accepts keeps every promise.
//!
//! The oracle below says in 128-bit arithmetic, without looking at the code under test, which headers are acceptable;
//! both have to agree. Half of the inputs are patches on a valid header, so that the last checks are reached too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_proto::{
    Color, ColorRange, Files, Header, Nv12, PairSize, Problem, SlotCount, State, StreamFlags,
};
use zerocopy::IntoBytes;

fuzz_target!(|input: &[u8]| {
    let Some((&[how, width, height, slots], rest)) = input.split_first_chunk() else { return };
    if how % 2 == 0 {
        let Some((sizes, bytes)) = rest.split_first_chunk::<24>() else { return };
        let number = |at: usize| u64::from_le_bytes(sizes[at..at + 8].try_into().expect("eight bytes"));
        judge(
            bytes,
            &Files { meta_size_bytes: number(0), data_size_bytes: number(8), data_inode: number(16) },
        );
    } else {
        let picture =
            Nv12::for_picture(u32::from(width) * 64 + 1, u32::from(height) * 64 + 1).expect("in range");
        let slots = SlotCount::new(2 + u32::from(slots % 7)).expect("2 to 8");
        let data_size_bytes = PairSize::new(&picture, slots).data_bytes;
        let color = Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 };
        let raw = NewHeader {
            picture,
            color,
            slots,
            data_inode: 1,
            generation: 1,
            state: State::Live,
            flags: StreamFlags::default(),
            heartbeat_ns: 1,
            frame_period_ns: 0,
        }
        .to_raw();
        let mut bytes = [0; HEADER_SIZE];
        bytes.copy_from_slice(raw.as_bytes());
        // Each patch: an offset, then the byte that goes there.
        for patch in rest.chunks_exact(3) {
            let offset = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % HEADER_SIZE;
            bytes[offset] = patch[2];
        }
        judge(&bytes, &Files { meta_size_bytes: 4096, data_size_bytes, data_inode: 1 });
    }
});

fn judge(bytes: &[u8], files: &Files) {
    let outcome = Header::check(bytes, files);
    assert_eq!(outcome.is_ok(), acceptable(bytes, files), "{outcome:?}");
    match outcome {
        Ok(header) => promises(&header, files),
        // Every reason can be told to a person.
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    if let Err(Problem::Refused(refusal)) = Header::check(bytes, files) {
        assert!(!refusal.field().is_empty());
    }
}

/// What a reader relies on once a header is accepted.
fn promises(header: &Header, files: &Files) {
    let picture = header.picture();
    assert!((1..=16384).contains(&picture.width()) && (1..=16384).contains(&picture.height()));
    assert!(picture.stride_bytes() >= picture.chroma_row_bytes().max(picture.width()));
    let luma = u128::from(picture.stride_bytes()) * u128::from(picture.height());
    let chroma = u128::from(picture.stride_bytes()) * u128::from(picture.chroma_rows());
    assert!(u128::from(picture.uv_offset()) >= luma);
    assert!(u128::from(picture.data_size()) >= u128::from(picture.uv_offset()) + chroma);
    assert!(header.data_file_size() <= files.data_size_bytes);
    assert_eq!(header.data_inode(), files.data_inode);

    let mut ends = 0;
    let mut offsets: Vec<_> = header.slots().indices().map(|slot| header.slot_offset(slot)).collect();
    assert!((2..=8).contains(&offsets.len()));
    offsets.sort_unstable();
    for offset in offsets {
        assert_eq!(offset % 4096, 0);
        assert!(u128::from(offset) >= ends, "slots overlap");
        ends = u128::from(offset) + u128::from(picture.data_size());
        assert!(ends <= u128::from(header.data_file_size()), "a slot ends outside frame.data");
    }
}

/// The rules of PROTOCOL.md once more, by offset, in arithmetic that cannot overflow.
fn acceptable(bytes: &[u8], files: &Files) -> bool {
    if bytes.len() < HEADER_SIZE || files.meta_size_bytes < HEADER_SIZE as u64 {
        return false;
    }
    let small = |at: usize| u128::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
    let large =
        |at: usize| u128::from(u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")));
    let (width, height, stride) = (small(24), small(28), small(36));
    let (data_size, uv_offset, slots) = (large(40), large(48), small(64));
    let (chroma_row, chroma_rows) = (2 * width.div_ceil(2), height.div_ceil(2));
    let file_size = large(80);

    let known = small(0) >= 1
        && &bytes[120..128] == b"VASFRAME"
        && (768..=u128::from(files.meta_size_bytes)).contains(&small(4))
        && large(88) == u128::from(files.data_inode)
        && small(32) == 0x3231_564E
        && small(68) == 64
        && small(72) == 256;
    let geometry = (1..=16384).contains(&width)
        && (1..=16384).contains(&height)
        && stride >= chroma_row
        && uv_offset >= stride * height
        && data_size >= uv_offset + stride * chroma_rows;
    if !known || !geometry || !(2..=8).contains(&slots) {
        return false;
    }
    let offsets: Vec<u128> = (0..slots as usize).map(|slot| large(272 + 64 * slot)).collect();
    let inside = offsets.iter().all(|offset| offset % 4096 == 0 && offset + data_size <= file_size);
    let apart = offsets
        .iter()
        .enumerate()
        .all(|(index, one)| offsets[..index].iter().all(|other| one.abs_diff(*other) >= data_size));
    inside && apart && file_size <= u128::from(files.data_size_bytes) && !matches!(small(56), 3 | 4)
}
