//! Any bytes as the header of a camera: the check never panics, and what it accepts keeps every promise.
//!
//! The oracle says in 128-bit arithmetic, without looking at the code under test, which headers are acceptable;
//! both have to agree. Half of the inputs are patches on a valid header, so that the last checks are reached too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vas_fuzz::oracle::{self, NotReady};
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
    let expected = oracle::open(bytes, files);
    match (Header::check(bytes, files), expected) {
        (Ok(header), Ok(_)) => promises(&header, files),
        (Err(problem), Err(expected)) => {
            // Every reason can be told to a person.
            assert!(!problem.to_string().is_empty());
            let found = match problem {
                Problem::NotYet(_) => NotReady::NotYet,
                Problem::Refused(refusal) => NotReady::Refused(refusal.field()),
            };
            assert_eq!(found, expected, "{problem}");
        }
        (found, expected) => panic!("{found:?} where {expected:?} was right"),
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
