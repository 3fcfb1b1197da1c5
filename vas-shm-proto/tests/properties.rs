//! What holds for all inputs, not only for those that somebody thought of.

mod support;

use proptest::prelude::*;
use support::{Pair, PlainWords};
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::header::{Problem, Refusal};
use vas_shm_proto::layout::{MAX_DIMENSION, PAGE_SIZE, RawHeader};
use vas_shm_proto::snapshot::{self, Found};
use vas_shm_proto::words::{FrameId, PublishWords, Word64};
use vas_shm_proto::{
    CameraId, Color, ColorRange, Files, Header, Nv12, PairSize, SlotCount, State, StreamFlags,
};
use zerocopy::{FromBytes, IntoBytes};

/// What every later line of a reader relies on.
fn assert_in_bounds(header: &Header, files: &Files) -> Result<(), TestCaseError> {
    let picture = header.picture();
    prop_assert!((1..=MAX_DIMENSION).contains(&picture.width()));
    prop_assert!((1..=MAX_DIMENSION).contains(&picture.height()));
    let stride = u128::from(picture.stride_bytes());
    prop_assert!(stride >= u128::from(picture.width()));
    prop_assert!(stride >= u128::from(picture.chroma_row_bytes()));
    let luma_end = stride * u128::from(picture.height());
    prop_assert!(u128::from(picture.uv_offset()) >= luma_end);
    let chroma_end = u128::from(picture.uv_offset()) + stride * u128::from(picture.chroma_rows());
    prop_assert!(u128::from(picture.data_size()) >= chroma_end);

    prop_assert!((2..=8).contains(&header.slots().get()));
    prop_assert!(header.data_file_size() <= files.data_size_bytes);
    let mut ranges: Vec<(u128, u128)> = header
        .slots()
        .indices()
        .map(|slot| {
            let start = u128::from(header.slot_offset(slot));
            (start, start + u128::from(picture.data_size()))
        })
        .collect();
    for &(start, end) in &ranges {
        prop_assert_eq!(start % PAGE_SIZE as u128, 0);
        prop_assert!(end <= u128::from(header.data_file_size()));
        // Every row that a reader copies lies inside its plane, and each plane inside the slot.
        let luma = (start, picture.height(), picture.width(), start + u128::from(picture.uv_offset()));
        let chroma = (luma.3, picture.chroma_rows(), picture.chroma_row_bytes(), end);
        for (plane, rows, row_bytes, plane_end) in [luma, chroma] {
            let last_row = plane + stride * u128::from(rows - 1);
            prop_assert!(u128::from(row_bytes) <= stride);
            prop_assert!(last_row + u128::from(row_bytes) <= plane_end);
        }
    }
    ranges.sort_unstable();
    prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "slots overlap: {:?}", ranges);
    prop_assert!(!header.at_copy().state.is_over());
    prop_assert!(header.version() >= 1);
    Ok(())
}

fn any_dimension() -> impl Strategy<Value = u32> {
    // Small ones, where parity and alignment matter, the largest, and all between.
    prop_oneof![1..=130u32, (MAX_DIMENSION - 3)..=MAX_DIMENSION, 1..=MAX_DIMENSION]
}

fn any_slots() -> impl Strategy<Value = SlotCount> {
    (2..=8u32).prop_map(|count| SlotCount::new(count).unwrap())
}

fn any_range() -> impl Strategy<Value = ColorRange> {
    prop_oneof![Just(ColorRange::Unknown), Just(ColorRange::Limited), Just(ColorRange::Full)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    // Any bytes: an answer, never a panic. Proves OPEN-5 and TRUST-2.
    #[test]
    fn any_bytes_get_an_answer(
        bytes in prop::collection::vec(any::<u8>(), 0..1024),
        meta_size_bytes in any::<u64>(),
        data_size_bytes in any::<u64>(),
        data_inode in any::<u64>(),
    ) {
        let files = Files { meta_size_bytes, data_size_bytes, data_inode };
        if let Ok(header) = Header::check(&bytes, &files) {
            assert_in_bounds(&header, &files)?;
        }
    }

    // Random bytes hardly get past the magic, so: a good header with a few of its words replaced by numbers that are near
    // some bound or anything at all.
    #[test]
    fn an_accepted_header_has_only_slots_that_lie_apart_and_inside_the_file(
        width in any_dimension(),
        height in any_dimension(),
        slots in 2..=8u32,
        changes in prop::collection::vec(
            (
                0..192usize,
                prop_oneof![
                    any::<u32>(), 0..10u32, Just(4096), Just(8192), Just(64), Just(128), Just(u32::MAX),
                ],
            ),
            0..4,
        ),
        file_bytes in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
    ) {
        let mut pair = Pair::new(width, height, slots);
        let mut bytes = pair.raw.as_bytes().to_vec();
        for (word, value) in changes {
            // Not the words that are refused outright: version, header_size, pixel_format, data_inode, magic.
            if ![0, 1, 8, 22, 23, 30, 31].contains(&word) {
                bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        if let Some(file_bytes) = file_bytes {
            pair.files.data_size_bytes = file_bytes;
        }
        if let Ok(header) = Header::check(&bytes, &pair.files) {
            assert_in_bounds(&header, &pair.files)?;
        }
    }

    // The same with slots shifted by whole pages, where overlap is decided.
    #[test]
    fn slots_moved_by_pages_are_accepted_only_apart(
        dimension in 1..200u32,
        slots in 2..=8usize,
        pages in prop::array::uniform8(0..64u64),
        extra_bytes in 0..5000u64,
    ) {
        let mut pair = Pair::new(dimension, dimension, slots as u32);
        let data_size = pair.raw.stream.data_size.get() + extra_bytes;
        pair.raw.stream.data_size.set(data_size);
        pair.raw.stream.data_file_size.set(1 << 20);
        pair.files.data_size_bytes = 1 << 20;
        for (slot, page) in pair.raw.slots.iter_mut().zip(pages) {
            slot.data_offset.set(page * PAGE_SIZE as u64);
        }
        let apart = (0..slots).all(|a| (0..a).all(|b| pages[a].abs_diff(pages[b]) * PAGE_SIZE as u64 >= data_size));
        match pair.check() {
            Ok(header) => {
                prop_assert!(apart);
                assert_in_bounds(&header, &pair.files)?;
            }
            Err(Problem::Refused(Refusal::SlotsOverlap { .. })) => prop_assert!(!apart),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    // What a writer composes is what a reader finds. Proves HEAD-4 and HEAD-6.
    #[test]
    fn a_composed_header_reads_back_as_it_was_meant(
        width in any_dimension(),
        height in any_dimension(),
        slots in any_slots(),
        range in any_range(),
        (primaries, transfer, matrix) in any::<(u8, u8, u8)>(),
        (data_inode, generation, heartbeat_ns, frame_period_ns) in any::<(u64, u64, u64, u64)>(),
        stalled in any::<bool>(),
        idle in any::<bool>(),
    ) {
        let picture = Nv12::for_picture(width, height).unwrap();
        let color = Color { range, primaries, transfer, matrix };
        let state = if stalled { State::Stalled } else { State::Live };
        let flags = if idle { StreamFlags::IDLE } else { StreamFlags::default() };
        let raw = NewHeader {
            picture, color, slots, data_inode, generation, state, flags, heartbeat_ns, frame_period_ns,
        }
        .to_raw();
        let size = PairSize::new(&picture, slots);
        let files =
            Files { meta_size_bytes: size.meta_bytes, data_size_bytes: size.data_bytes, data_inode };
        let header = Header::check(raw.as_bytes(), &files).unwrap();
        assert_in_bounds(&header, &files)?;

        prop_assert_eq!(header.picture(), &picture);
        prop_assert_eq!(header.color(), color);
        prop_assert_eq!(header.slots(), slots);
        prop_assert_eq!(header.data_file_size(), size.data_bytes);
        prop_assert_eq!((header.data_inode(), header.generation()), (data_inode, generation));
        let at_copy = header.at_copy();
        prop_assert_eq!((at_copy.frame_id, at_copy.timestamp_ns), (0, 0));
        prop_assert_eq!((at_copy.state, at_copy.flags), (state, flags));
        prop_assert_eq!((at_copy.heartbeat_ns, at_copy.frame_period_ns), (heartbeat_ns, frame_period_ns));
        for slot in slots.indices() {
            prop_assert_eq!(header.slot_offset(slot), size.slot_bytes * slot.get() as u64);
        }

        // Reserved bytes and unused records are zero.
        prop_assert!(raw.stream.reserved.iter().all(|&byte| byte == 0));
        for (i, slot) in raw.slots.iter().enumerate() {
            prop_assert!(slot.reserved.iter().all(|&byte| byte == 0));
            prop_assert_eq!(slot.frame_id.get(), 0);
            prop_assert!(i < slots.get() as usize || slot.as_bytes() == [0; 64]);
        }
        // Bytes and structs are the same thing.
        let again = RawHeader::read_from_bytes(raw.as_bytes()).unwrap();
        prop_assert_eq!(again.as_bytes(), raw.as_bytes());
    }

    // The layout of a frame: aligned, no gap, no row shorter than the picture. Proves PIC-1 and PIC-2.
    #[test]
    fn a_writers_geometry_passes_the_readers_check(width in any_dimension(), height in any_dimension()) {
        let ours = Nv12::for_picture(width, height).unwrap();
        prop_assert_eq!(ours.stride_bytes() % Nv12::STRIDE_ALIGNMENT, 0);
        prop_assert!(ours.stride_bytes() < ours.chroma_row_bytes() + Nv12::STRIDE_ALIGNMENT);
        let checked =
            Nv12::check(width, height, ours.stride_bytes(), ours.uv_offset(), ours.data_size());
        prop_assert_eq!(checked, Ok(ours));
        let (w, h) = (u64::from(width), u64::from(height));
        prop_assert_eq!(ours.packed_size(), w * h + 2 * w.div_ceil(2) * h.div_ceil(2));
        prop_assert!(ours.packed_size() <= ours.data_size());
    }

    // Any five numbers: an answer without overflow, and it is the one that unbounded arithmetic gives. Proves OPEN-12.
    #[test]
    fn geometry_is_judged_as_unbounded_arithmetic_judges_it(
        width in prop_oneof![any_dimension(), any::<u32>()],
        height in prop_oneof![any_dimension(), any::<u32>()],
        stride in prop_oneof![0..40000u32, any::<u32>()],
        uv_offset in prop_oneof![0..1_000_000_000u64, any::<u64>(), (u64::MAX - 1_000_000)..=u64::MAX],
        data_size in prop_oneof![0..1_000_000_000u64, any::<u64>(), (u64::MAX - 1_000_000)..=u64::MAX],
        slots in any_slots(),
    ) {
        let luma_end = u128::from(stride) * u128::from(height);
        let chroma_end = u128::from(uv_offset) + u128::from(stride) * u128::from(height.div_ceil(2));
        let good = (1..=MAX_DIMENSION).contains(&width)
            && (1..=MAX_DIMENSION).contains(&height)
            && u64::from(stride) >= 2 * u64::from(width.div_ceil(2))
            && u128::from(uv_offset) >= luma_end
            && u128::from(data_size) >= chroma_end;
        let checked = Nv12::check(width, height, stride, uv_offset, data_size);
        prop_assert_eq!(checked.is_ok(), good, "{:?}", checked);
        if let Ok(picture) = checked {
            // Sizes that no file can have stop at the end of 64 bits.
            let size = PairSize::new(&picture, slots);
            prop_assert!(size.slot_bytes >= picture.data_size());
            prop_assert!(size.total_bytes() >= size.data_bytes);
        }
    }

    // A camera id is accepted exactly if it fits the pattern. Proves FILE-2.
    #[test]
    fn camera_ids_fit_their_pattern(text in prop_oneof!["[A-Za-z0-9_-]{0,70}", "\\PC{0,8}", "[.a/\\\\ -]{0,4}"]) {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        match CameraId::new(&text) {
            Ok(id) => {
                prop_assert!(fits);
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert_eq!(id.to_string().parse::<CameraId>(), Ok(id));
            }
            Err(problem) => {
                prop_assert!(!fits);
                prop_assert!(!problem.to_string().is_empty());
            }
        }
    }

    // Hostile words: every question gets an answer in a bounded number of steps, and a frame is never one that was seen. Proves READ-7.
    #[test]
    fn any_words_get_an_answer(
        slots in any_slots(),
        published in prop_oneof![0..20u64, any::<u64>(), (u64::MAX - 10)..=u64::MAX],
        ids in prop::array::uniform8(prop_oneof![0..20u64, any::<u64>(), (u64::MAX - 10)..=u64::MAX]),
        seen in prop_oneof![0..20u64, any::<u64>(), (u64::MAX - 10)..=u64::MAX],
    ) {
        let words = PlainWords::zeroed();
        words.store_u64(Word64::FRAME_ID, published);
        for slot in slots.indices() {
            words.store_u64(Word64::slot_frame_id(slot), ids[slot.get()]);
        }
        let seen = FrameId::new(seen);
        if let Found::Frame(frame) = snapshot::latest(&words, slots, seen) {
            prop_assert_eq!(frame.id().get(), published);
            prop_assert_ne!(Some(frame.id()), seen);
            prop_assert!(snapshot::is_intact(&words, &frame));
        }
        if let Found::Frame(frame) = snapshot::next(&words, slots, seen) {
            prop_assert!(Some(frame.id()) > seen || seen.is_none());
            prop_assert!(frame.id().get() <= published);
            prop_assert_eq!(frame.id().slot(slots), frame.slot());
            prop_assert!(snapshot::is_intact(&words, &frame));
        }
        // One particular frame: one of the newest, from the first on, by numbers that do not wrap. Proves READ-9.
        let near = (0..=9u64).flat_map(|by| [published.wrapping_sub(by), published.wrapping_add(by)]);
        for asked in near.chain(ids).filter_map(FrameId::new) {
            let is_among_the_newest =
                (0..u64::from(slots.get())).any(|by| published.checked_sub(by) == Some(asked.get()));
            let stands = ids[asked.slot(slots).get()] == asked.get();
            let found = snapshot::at(&words, slots, asked);
            prop_assert_eq!(found.map(|frame| frame.id()), Some(asked).filter(|_| is_among_the_newest && stands));
        }
    }
}

/// The field that PROTOCOL.md has refused first, by unbounded arithmetic; `None` if all of them are good.
fn refused_first(
    width: u32,
    height: u32,
    stride: u32,
    uv_offset: u64,
    data_size: u64,
) -> Option<&'static str> {
    let [w, h, stride] = [width, height, stride].map(u128::from);
    let chroma_size = stride * h.div_ceil(2);
    let chroma_end = u128::from(uv_offset) + chroma_size;
    let checks = [
        ("width", (1..=16384).contains(&w)),
        ("height", (1..=16384).contains(&h)),
        ("stride", stride >= 2 * w.div_ceil(2)),
        ("uv_offset", u128::from(uv_offset) >= stride * h),
        ("uv_offset", chroma_end < 1 << 64),
        ("data_size", u128::from(data_size) >= chroma_end),
    ];
    checks.into_iter().find(|(_, good)| !good).map(|(field, _)| field)
}

// Not by chance but all of them: each field at each of its bounds, one below, one above, and at the ends of its type, with each
// of the others. Proves OPEN-3 and OPEN-12.
#[test]
fn every_combination_of_bounds_is_judged_as_unbounded_arithmetic_judges_it() {
    let dimensions = [0, 1, 2, 3, 16383, 16384, 16385, 1 << 31, u32::MAX];
    let near =
        |bound: u128| [-1, 0, 1].map(|by| bound.saturating_add_signed(by).min(u128::from(u64::MAX)) as u64);
    let (mut accepted, mut refused) = (0, 0);
    for (width, height) in dimensions.iter().flat_map(|&w| dimensions.map(|h| (w, h))) {
        let row = u64::from(width).next_multiple_of(2);
        for stride in near(row.into()).into_iter().chain([0, 1, 1 << 31, u64::from(u32::MAX)]) {
            let Ok(stride) = u32::try_from(stride) else { continue };
            let luma = u128::from(stride) * u128::from(height);
            let chroma = u128::from(stride) * u128::from(height.div_ceil(2));
            let last = (1u128 << 64) - 1 - chroma;
            for uv_offset in near(luma).into_iter().chain(near(last)).chain([0, 1 << 32, u64::MAX]) {
                let end = u128::from(uv_offset) + chroma;
                for data_size in near(end).into_iter().chain([0, 1 << 32, u64::MAX]) {
                    let found = Nv12::check(width, height, stride, uv_offset, data_size);
                    let expected = refused_first(width, height, stride, uv_offset, data_size);
                    assert_eq!(
                        found.map_err(|refusal| refusal.field()).err(),
                        expected,
                        "{width} x {height}, stride {stride}, uv_offset {uv_offset}, data_size {data_size}"
                    );
                    if expected.is_none() { accepted += 1 } else { refused += 1 }
                }
            }
        }
    }
    assert!(accepted > 1000 && refused > 10_000, "both sides of the bounds: {accepted}, {refused}");
}

// Slots at the ends of the file and of 64 bits, with each other and with each size. Proves OPEN-15 and OPEN-16.
#[test]
fn every_combination_of_slots_at_the_bounds_is_judged_as_unbounded_arithmetic_judges_it() {
    const PAGE: u64 = PAGE_SIZE as u64;
    let mut pair = Pair::new(2, 2, 2);
    let least = pair.raw.stream.data_size.get();
    let mut accepted = 0;
    for data_size in [least, PAGE - 1, PAGE, PAGE + 1, 1 << 40, u64::MAX - PAGE, u64::MAX] {
        let rounded = data_size.checked_next_multiple_of(PAGE).unwrap_or(0);
        for data_file_size in [0, PAGE, rounded, 2 * PAGE, rounded.wrapping_add(data_size), u64::MAX] {
            let offsets = [
                0,
                1,
                PAGE - 1,
                PAGE,
                2 * PAGE,
                rounded,
                data_file_size.wrapping_sub(data_size),
                0u64.wrapping_sub(PAGE),
            ];
            for (first, second) in offsets.iter().flat_map(|&a| offsets.map(|b| (a, b))) {
                for file_bytes in [data_file_size, data_file_size.saturating_sub(1)] {
                    pair.raw.stream.data_size.set(data_size);
                    pair.raw.stream.data_file_size.set(data_file_size);
                    pair.raw.slots[0].data_offset.set(first);
                    pair.raw.slots[1].data_offset.set(second);
                    pair.files.data_size_bytes = file_bytes;
                    let [size, a, b] = [data_size, first, second].map(u128::from);
                    let inside = [a, b].iter().all(|offset| {
                        offset % u128::from(PAGE) == 0 && offset + size <= data_file_size.into()
                    });
                    let expected = if !inside || a.abs_diff(b) < size {
                        Some("slot[i].data_offset")
                    } else {
                        (data_file_size > file_bytes).then_some("data_file_size")
                    };
                    let found = match pair.check() {
                        Ok(_) => None,
                        Err(Problem::Refused(refusal)) => Some(refusal.field()),
                        Err(other) => panic!("{other}"),
                    };
                    assert_eq!(
                        found, expected,
                        "{first}, {second}, size {data_size} of {data_file_size}, {file_bytes}"
                    );
                    accepted += u32::from(expected.is_none());
                }
            }
        }
    }
    assert!(accepted >= 10, "both sides of the bounds: {accepted}");
}
