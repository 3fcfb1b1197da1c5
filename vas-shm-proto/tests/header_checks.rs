//! What a reader accepts, what it refuses and why, and what it waits for: each bound from both sides.
//!
//! Comments name the clauses of `PROTOCOL.md` that a test proves.

mod support;

use support::Pair;
use vas_shm_proto::header::{NotYet, Problem, Refusal};
use vas_shm_proto::layout::{HEADER_SIZE, PAGE_SIZE, VERSION, WHOLE_HEADER_SIZE};
use vas_shm_proto::{ColorRange, Files, FrameFlags, Header, State, StreamFlags};
use zerocopy::IntoBytes;

/// The pair that most tests change in one place: odd in both directions, three slots.
fn pair() -> Pair {
    Pair::new(641, 479, 3)
}

/// What a reader says after `change`.
#[track_caller]
fn after(change: impl FnOnce(&mut Pair)) -> Result<Header, Problem> {
    let mut pair = pair();
    change(&mut pair);
    pair.check()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Pair)) -> Refusal {
    match after(change) {
        Err(Problem::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut Pair)) -> Header {
    after(change).unwrap_or_else(|problem| panic!("expected a header, got: {problem}"))
}

#[test]
fn a_new_pair_is_accepted_with_everything_it_says() {
    let header = accepted(|_| {});
    assert_eq!((header.version(), header.header_size()), (VERSION, WHOLE_HEADER_SIZE as u32));
    let picture = header.picture();
    assert_eq!((picture.width(), picture.height(), picture.stride_bytes()), (641, 479, 704));
    assert_eq!((picture.uv_offset(), picture.data_size()), (704 * 479, 704 * (479 + 240)));
    let color = header.color();
    assert_eq!((color.range, color.primaries, color.transfer, color.matrix), (ColorRange::Limited, 1, 1, 1));
    let offsets: Vec<u64> = header.slots().indices().map(|slot| header.slot_offset(slot)).collect();
    assert_eq!(offsets, [0, 507_904, 1_015_808]);
    assert_eq!((header.data_file_size(), header.data_inode()), (1_523_712, 77));
    assert_eq!(header.generation(), 5_000_000_000_000);
    let at_copy = header.at_copy();
    assert_eq!((at_copy.frame_id, at_copy.timestamp_ns, at_copy.state), (0, 0, State::Live));
    assert_eq!((at_copy.heartbeat_ns, at_copy.frame_period_ns), (5_000_000_000_123, 40_000_000));
}

// Proves OPEN-6.
#[test]
fn a_meta_file_needs_768_bytes() {
    let mut small = pair();
    small.files.meta_size_bytes = 767;
    assert_eq!(small.check(), Err(Refusal::MetaSize { size: 767 }.into()));
    // Whatever fstat said, fewer bytes than that cannot be looked at.
    let pair = pair();
    for len in [0, 1, 4, 767] {
        let bytes = &pair.raw.as_bytes()[..len];
        assert_eq!(
            Header::check(bytes, &pair.files),
            Err(Refusal::MetaSize { size: len as u64 }.into()),
            "{len} bytes"
        );
    }
    let mut just_enough = pair;
    just_enough.files.meta_size_bytes = 768;
    just_enough.raw.stream.header_size.set(768);
    assert!(just_enough.check().is_ok());
}

// Proves OPEN-7 and CHANGE-4.
#[test]
fn every_version_but_zero_is_accepted() {
    assert_eq!(refused(|p| p.raw.stream.version.set(0)), Refusal::Version);
    for version in [1, 2, 1000, u32::MAX] {
        assert_eq!(accepted(|p| p.raw.stream.version.set(version)).version(), version);
    }
}

// Proves OPEN-8.
#[test]
fn every_byte_of_the_magic_counts() {
    for i in 0..8 {
        let refusal = refused(|p| p.raw.stream.magic[i] ^= 0x20);
        assert_eq!(refusal.field(), "magic", "byte {i}");
    }
    let text = refused(|p| p.raw.stream.magic = *b"\x7fELF\0\0\0\n").to_string();
    assert_eq!(text, r#"magic is "\x7fELF\x00\x00\x00\n", version 1 has "VASFRAME""#);
}

// Proves OPEN-9 and CHANGE-4.
#[test]
fn a_header_is_never_smaller_than_version_1_and_never_longer_than_its_file() {
    assert_eq!(
        refused(|p| p.raw.stream.header_size.set(767)),
        Refusal::HeaderSizeTooSmall { header_size: 767 }
    );
    assert_eq!(
        refused(|p| p.raw.stream.header_size.set(4097)),
        Refusal::HeaderSizeBeyondFile { header_size: 4097, file_size: 4096 }
    );
    assert_eq!(refused(|p| p.raw.stream.header_size.set(u32::MAX)).field(), "header_size");
    for size in [768, 769, 1024, 4096] {
        assert_eq!(accepted(|p| p.raw.stream.header_size.set(size)).header_size(), size);
    }
}

// Proves OPEN-10.
#[test]
fn files_of_two_pairs_are_not_there_yet() {
    assert_eq!(after(|p| p.files.data_inode = 78), Err(NotYet::MixedPair { expected: 77, found: 78 }.into()));
    // The pair comes before everything that is compared with frame.data: a mixed pair may well have two geometries.
    assert_eq!(
        after(|p| {
            p.files = Files { data_inode: 78, data_size_bytes: 0, ..p.files };
            p.raw.stream.width.set(0);
        }),
        Err(NotYet::MixedPair { expected: 77, found: 78 }.into())
    );
}

// Proves OPEN-11.
#[test]
fn nv12_is_the_only_pixel_format() {
    let refusal = refused(|p| p.raw.stream.pixel_format.set(u32::from_le_bytes(*b"I420")));
    assert_eq!(refusal.to_string(), "pixel_format is 0x30323449, this reader knows NV12 = 0x3231564e");
    assert_eq!(refused(|p| p.raw.stream.pixel_format.set(0)).field(), "pixel_format");
}

// Proves OPEN-12.
#[test]
fn width_and_height_are_1_to_16384() {
    for (width, height) in [(1, 1), (1, 16384), (16384, 1), (16384, 16384), (2, 3), (3, 2)] {
        assert!(Pair::new(width, height, 2).check().is_ok(), "{width} x {height}");
    }
    for bad in [0, 16385, u32::MAX] {
        assert_eq!(refused(|p| p.raw.stream.width.set(bad)), Refusal::Width { width: bad });
        assert_eq!(refused(|p| p.raw.stream.height.set(bad)), Refusal::Height { height: bad });
    }
}

// Proves OPEN-12.
#[test]
fn a_row_of_odd_width_needs_room_for_a_whole_last_pair_of_chroma() {
    assert_eq!(refused(|p| p.raw.stream.stride.set(641)), Refusal::Stride { stride: 641, min: 642 });
    assert_eq!(accepted(|p| p.raw.stream.stride.set(642)).picture().stride_bytes(), 642);
    // A wider stride moves the end of the planes with it.
    assert_eq!(refused(|p| p.raw.stream.stride.set(705)).field(), "uv_offset");
    assert_eq!(refused(|p| p.raw.stream.stride.set(u32::MAX)).field(), "uv_offset");
}

// Proves OPEN-12.
#[test]
fn the_chroma_plane_begins_after_the_luma_plane() {
    let luma = 704 * 479;
    assert_eq!(
        refused(|p| p.raw.stream.uv_offset.set(luma - 1)),
        Refusal::UvOffset { uv_offset: luma - 1, min: luma }
    );
    assert_eq!(accepted(|p| p.raw.stream.uv_offset.set(luma)).picture().uv_offset(), luma);
    // A gap between the planes is allowed as long as the frame has room for it.
    let gap = accepted(|p| {
        p.raw.stream.uv_offset.set(luma + 1);
        p.raw.stream.data_size.set(704 * (479 + 240) + 1);
    });
    assert_eq!(gap.picture().uv_offset(), luma + 1);
}

// Proves OPEN-12.
#[test]
fn a_frame_ends_after_its_chroma_plane() {
    let whole = 704 * (479 + 240);
    assert_eq!(
        refused(|p| p.raw.stream.data_size.set(whole - 1)),
        Refusal::DataSize { data_size: whole - 1, min: whole }
    );
    assert_eq!(accepted(|p| p.raw.stream.data_size.set(whole + 1)).picture().data_size(), whole + 1);
}

// Proves OPEN-12.
#[test]
fn geometry_near_the_end_of_64_bits_is_refused_not_wrapped() {
    assert_eq!(
        refused(|p| p.raw.stream.uv_offset.set(u64::MAX)),
        Refusal::UvOffsetOverflow { uv_offset: u64::MAX }
    );
    let last = u64::MAX - 704 * 240;
    assert_eq!(refused(|p| p.raw.stream.uv_offset.set(last)).field(), "data_size");
    assert_eq!(
        refused(|p| p.raw.stream.uv_offset.set(last + 1)),
        Refusal::UvOffsetOverflow { uv_offset: last + 1 }
    );
    // data_offset + data_size would wrap to a small number.
    assert_eq!(
        refused(|p| p.raw.stream.data_size.set(u64::MAX)),
        Refusal::SlotBeyondFile { slot: 0, data_offset: 0, data_size: u64::MAX, data_file_size: 1_523_712 }
    );
    assert_eq!(
        refused(|p| p.raw.slots[1].data_offset.set(u64::MAX - 4095)),
        Refusal::SlotBeyondFile {
            slot: 1,
            data_offset: u64::MAX - 4095,
            data_size: 704 * (479 + 240),
            data_file_size: 1_523_712
        }
    );
}

// Proves OPEN-13.
#[test]
fn there_are_two_to_eight_slots() {
    for slots in 2..=8 {
        assert_eq!(Pair::new(641, 479, slots).check().unwrap().slots().get(), slots);
    }
    for bad in [0, 1, 9, u32::MAX] {
        assert_eq!(refused(|p| p.raw.stream.slot_count.set(bad)), Refusal::SlotCount { slot_count: bad });
    }
}

// Proves OPEN-14.
#[test]
fn the_slot_table_has_its_fixed_place_and_record_size() {
    for bad in [0, 63, 65, 128, u32::MAX] {
        assert_eq!(
            refused(|p| p.raw.stream.slot_record_size.set(bad)),
            Refusal::SlotRecordSize { found: bad }
        );
    }
    for bad in [0, 255, 257, 512, u32::MAX] {
        assert_eq!(
            refused(|p| p.raw.stream.slot_table_offset.set(bad)),
            Refusal::SlotTableOffset { found: bad }
        );
    }
}

// Proves OPEN-15.
#[test]
fn slots_begin_at_multiples_of_4096() {
    for (slot, shift) in [(0, 1), (1, 64), (2, 2048), (2, 4095)] {
        let refusal = refused(|p| {
            let offset = p.raw.slots[slot].data_offset.get();
            p.raw.slots[slot].data_offset.set(offset + shift);
        });
        assert!(matches!(refusal, Refusal::SlotAlignment { slot: found, .. } if found == slot), "{refusal}");
    }
}

// Proves OPEN-15.
#[test]
fn every_slot_ends_within_the_data_file() {
    let last_end = 1_015_808 + 704 * (479 + 240);
    // The padding behind the last frame is not needed.
    assert_eq!(accepted(|p| p.raw.stream.data_file_size.set(last_end)).data_file_size(), last_end);
    assert_eq!(
        refused(|p| p.raw.stream.data_file_size.set(last_end - 1)),
        Refusal::SlotBeyondFile {
            slot: 2,
            data_offset: 1_015_808,
            data_size: 704 * (479 + 240),
            data_file_size: last_end - 1
        }
    );
}

// Proves OPEN-15.
#[test]
fn slots_do_not_overlap() {
    assert_eq!(
        refused(|p| p.raw.slots[2].data_offset.set(0)),
        Refusal::SlotsOverlap {
            first: 0,
            second: 2,
            first_offset: 0,
            second_offset: 0,
            data_size: 704 * (479 + 240)
        }
    );
    // One page too early, in either order of the two.
    assert_eq!(refused(|p| p.raw.slots[1].data_offset.set(507_904 - 4096)).field(), "slot[i].data_offset");
    let swapped = |p: &mut Pair, second: u64| {
        p.raw.slots[0].data_offset.set(507_904);
        p.raw.slots[1].data_offset.set(second);
    };
    assert_eq!(refused(|p| swapped(p, 4096)).field(), "slot[i].data_offset");
    assert!(after(|p| swapped(p, 0)).is_ok(), "the order of the slots in the file is free");
}

// Proves OPEN-15: a slot may begin exactly where the other's frame ends.
#[test]
fn slots_may_touch() {
    // 64 x 64 with a data_size of exactly two pages.
    let mut pair = Pair::new(64, 64, 2);
    pair.raw.stream.data_size.set(8192);
    pair.raw.slots[1].data_offset.set(8192);
    pair.raw.stream.data_file_size.set(16384);
    pair.files.data_size_bytes = 16384;
    assert!(pair.check().is_ok());
    pair.raw.stream.data_size.set(8193);
    pair.raw.stream.data_file_size.set(16385);
    assert!(matches!(pair.check(), Err(Problem::Refused(Refusal::SlotsOverlap { first: 0, second: 1, .. }))));
}

// Proves HEAD-6.
#[test]
fn records_past_the_last_slot_are_not_looked_at() {
    let header = accepted(|p| {
        for slot in &mut p.raw.slots[3..] {
            slot.data_offset.set(u64::MAX);
            slot.frame_id.set(u64::MAX);
        }
    });
    assert_eq!(header.slots().get(), 3);
}

// Proves OPEN-16.
#[test]
fn the_data_file_is_at_least_as_long_as_the_header_says() {
    assert_eq!(
        refused(|p| p.files.data_size_bytes -= 1),
        Refusal::DataFileSize { data_file_size: 1_523_712, file_size: 1_523_711 }
    );
    assert_eq!(accepted(|p| p.files.data_size_bytes += 1).data_file_size(), 1_523_712);
}

// Proves OPEN-17.
#[test]
fn a_stopped_or_replaced_pair_is_not_there_yet() {
    assert_eq!(after(|p| p.raw.stream.state.set(3)), Err(NotYet::Stopped.into()));
    assert_eq!(after(|p| p.raw.stream.state.set(4)), Err(NotYet::Replaced.into()));
}

// Proves HEAD-7.
#[test]
fn states_and_flags_of_later_versions_are_accepted() {
    for (word, state) in [(1, State::Live), (2, State::Stalled), (0, State::Other(0)), (5, State::Other(5))] {
        assert_eq!(accepted(|p| p.raw.stream.state.set(word)).at_copy().state, state);
    }
    assert_eq!(State::Other(5).name(), "live");
    let flags = accepted(|p| p.raw.stream.flags.set(0xFFFF_FFFE)).at_copy().flags;
    assert!(!flags.is_idle());
    assert!(accepted(|p| p.raw.stream.flags.set(u32::MAX)).at_copy().flags.is_idle());
    // A colour range of a later version is one that this reader does not know.
    assert_eq!(accepted(|p| p.raw.stream.color_range = 3).color().range, ColorRange::Unknown);
    assert_eq!(accepted(|p| p.raw.stream.color_matrix = 255).color().matrix, 255);
}

// Proves CHANGE-4 and HEAD-4.
#[test]
fn what_a_later_version_appends_is_ignored() {
    let pair = pair();
    let expected = pair.check().unwrap();

    let mut later = pair.clone();
    later.raw.stream.reserved.fill(0xA5);
    for slot in &mut later.raw.slots {
        slot.reserved.fill(0xA5);
    }
    assert_eq!(later.check().unwrap(), expected, "fields in what version 1 reserved");

    let mut bytes = later.raw.as_bytes().to_vec();
    bytes.resize(PAGE_SIZE, 0xA5);
    assert_eq!(
        Header::check(&bytes, &later.files).unwrap(),
        expected,
        "fields after the header of version 1"
    );

    later.raw.stream.version.set(2);
    later.raw.stream.header_size.set(1024);
    bytes[..HEADER_SIZE].copy_from_slice(later.raw.as_bytes());
    let seen = Header::check(&bytes, &later.files).unwrap();
    assert_eq!((seen.version(), seen.header_size()), (2, 1024));
    assert_eq!((seen.picture(), seen.color()), (expected.picture(), expected.color()));
}

// Proves OPEN-5: broken everywhere, a pair is refused for its first broken rule. Rules are broken from the last to the first,
// so that each in turn is the first broken one while all later ones stay broken.
#[test]
fn the_first_broken_rule_is_the_one_named() {
    type Rule = (&'static str, fn(&mut Pair));
    let rules: [Rule; 20] = [
        ("frame.meta", |p| p.files.meta_size_bytes = 767),
        ("version", |p| p.raw.stream.version.set(0)),
        ("magic", |p| p.raw.stream.magic = [0; 8]),
        ("header_size", |p| p.raw.stream.header_size.set(0)),
        ("mixed pair", |p| p.files.data_inode += 1),
        ("pixel_format", |p| p.raw.stream.pixel_format.set(0)),
        ("width", |p| p.raw.stream.width.set(0)),
        ("height", |p| p.raw.stream.height.set(0)),
        ("stride", |p| p.raw.stream.stride.set(0)),
        ("uv_offset", |p| p.raw.stream.uv_offset.set(0)),
        ("data_size", |p| p.raw.stream.data_size.set(0)),
        ("slot_count", |p| p.raw.stream.slot_count.set(0)),
        ("slot_record_size", |p| p.raw.stream.slot_record_size.set(0)),
        ("slot_table_offset", |p| p.raw.stream.slot_table_offset.set(0)),
        ("slot alignment", |p| p.raw.slots[0].data_offset.set(1)),
        ("slot beyond file", |p| p.raw.slots[1].data_offset.set(1 << 40)),
        ("slots overlap", |p| p.raw.slots[2].data_offset.set(507_904)),
        ("data_file_size", |p| p.files.data_size_bytes -= 1),
        ("stopped", |p| p.raw.stream.state.set(3)),
        ("nothing", |_| {}),
    ];
    let mut pair = pair();
    for (rule, break_it) in rules.into_iter().rev() {
        break_it(&mut pair);
        let named = match pair.check() {
            Ok(_) => "nothing",
            Err(Problem::NotYet(NotYet::MixedPair { .. })) => "mixed pair",
            Err(Problem::NotYet(NotYet::Stopped)) => "stopped",
            Err(Problem::NotYet(NotYet::Replaced)) => "replaced",
            Err(Problem::Refused(Refusal::SlotAlignment { .. })) => "slot alignment",
            Err(Problem::Refused(Refusal::SlotBeyondFile { .. })) => "slot beyond file",
            Err(Problem::Refused(Refusal::SlotsOverlap { .. })) => "slots overlap",
            Err(Problem::Refused(refusal)) => refusal.field(),
        };
        assert_eq!(named, rule);
    }
}

// Proves OPEN-3: a refusal has the field, the value and the bound.
#[test]
fn a_refusal_says_field_value_and_bound() {
    for (refusal, text) in [
        (refused(|p| p.raw.stream.header_size.set(512)), "header_size is 512, version 1 needs 768"),
        (refused(|p| p.raw.stream.width.set(20000)), "width is 20000, it has to be 1 to 16384"),
        (refused(|p| p.raw.stream.slot_count.set(9)), "slot_count is 9, it has to be 2 to 8"),
        (refused(|p| p.raw.stream.stride.set(640)), "stride is 640, rows of this width need 642"),
        (refused(|p| p.files.data_size_bytes = 0), "data_file_size is 1523712, frame.data has only 0 bytes"),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}

// Proves HEAD-7 and LIFE-6.
#[test]
fn every_word_is_a_state_and_only_two_of_them_are_the_end() {
    for word in (0..300).chain([u32::MAX - 1, u32::MAX]) {
        let state = State::from_word(word);
        assert_eq!(state.to_word(), word);
        assert_eq!(state.is_over(), word == 3 || word == 4, "{word}");
        let name = match word {
            2 => "stalled",
            3 => "stopped",
            4 => "replaced",
            _ => "live",
        };
        assert_eq!(state.name(), name, "{word}");
    }
}

// Proves HEAD-7 and HEAD-12.
#[test]
fn one_bit_of_each_set_of_flags_is_known_and_the_others_are_ignored() {
    for (bits, damaged) in [(0, false), (1, true), (u64::MAX, true), (u64::MAX - 1, false), (3, true)] {
        assert_eq!(FrameFlags(bits).is_damaged(), damaged, "{bits:#x}");
    }
    for (bits, idle) in [(0, false), (1, true), (u32::MAX, true), (u32::MAX - 1, false), (3, true)] {
        assert_eq!(StreamFlags(bits).is_idle(), idle, "{bits:#x}");
    }
}
