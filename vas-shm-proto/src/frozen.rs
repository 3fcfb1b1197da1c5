//! The compiler guards the layout: every offset and size of version 1, and natural alignment.
//!
//! The numbers are written out on purpose: they are the contract, the structs of [`crate::layout`] only follow it. A field that
//! a later version appends gets a line of its own here, those of [`RawTail`] too; no line ever changes or goes. (Reserved bytes
//! have none, and the tail has no size here: these are what later versions append to.)

use crate::layout::{
    FIELDS, HEADER_SIZE, Kind, MAX_SLOTS, RawHeader, RawSlotRecord, RawStream, RawTail, SLOT_RECORD_SIZE,
    SLOT_TABLE_OFFSET, WHOLE_HEADER_SIZE,
};
use core::mem::{align_of, offset_of, size_of};

const _: () = {
    assert!(size_of::<RawHeader>() == 768 && align_of::<RawHeader>() == 1);
    assert!(size_of::<RawStream>() == 256 && offset_of!(RawHeader, stream) == 0);
    assert!(size_of::<RawSlotRecord>() == 64 && align_of::<RawSlotRecord>() == 1);
    assert!(offset_of!(RawStream, version) == 0);
    assert!(offset_of!(RawStream, header_size) == 4);
    assert!(offset_of!(RawStream, frame_id) == 8);
    assert!(offset_of!(RawStream, timestamp_ns) == 16);
    assert!(offset_of!(RawStream, width) == 24);
    assert!(offset_of!(RawStream, height) == 28);
    assert!(offset_of!(RawStream, pixel_format) == 32);
    assert!(offset_of!(RawStream, stride) == 36);
    assert!(offset_of!(RawStream, data_size) == 40);
    assert!(offset_of!(RawStream, uv_offset) == 48);
    assert!(offset_of!(RawStream, state) == 56);
    assert!(offset_of!(RawStream, flags) == 60);
    assert!(offset_of!(RawStream, slot_count) == 64);
    assert!(offset_of!(RawStream, slot_record_size) == 68);
    assert!(offset_of!(RawStream, slot_table_offset) == 72);
    assert!(offset_of!(RawStream, color_range) == 76);
    assert!(offset_of!(RawStream, color_primaries) == 77);
    assert!(offset_of!(RawStream, color_transfer) == 78);
    assert!(offset_of!(RawStream, color_matrix) == 79);
    assert!(offset_of!(RawStream, data_file_size) == 80);
    assert!(offset_of!(RawStream, data_inode) == 88);
    assert!(offset_of!(RawStream, generation) == 96);
    assert!(offset_of!(RawStream, heartbeat_ns) == 104);
    assert!(offset_of!(RawStream, frame_period_ns) == 112);
    assert!(offset_of!(RawStream, magic) == 120);
    assert!(offset_of!(RawHeader, slots) == 256);
    assert!(offset_of!(RawSlotRecord, frame_id) == 0);
    assert!(offset_of!(RawSlotRecord, timestamp_ns) == 8);
    assert!(offset_of!(RawSlotRecord, data_offset) == 16);
    assert!(offset_of!(RawSlotRecord, flags) == 24);

    assert!(HEADER_SIZE == size_of::<RawHeader>());
    assert!(SLOT_RECORD_SIZE == size_of::<RawSlotRecord>());
    assert!(SLOT_TABLE_OFFSET == offset_of!(RawHeader, slots));
    assert!(SLOT_TABLE_OFFSET + MAX_SLOTS * SLOT_RECORD_SIZE == HEADER_SIZE);

    assert!(WHOLE_HEADER_SIZE == HEADER_SIZE + size_of::<RawTail>() && align_of::<RawTail>() == 1);

    // Words that change are naturally aligned, and the table has neither gap nor overlap: the stream fields, then record 0 of
    // the slot table, then, behind the last record, what later versions append.
    let end_of_record_0 = SLOT_TABLE_OFFSET + SLOT_RECORD_SIZE;
    let mut end = 0;
    let mut i = 0;
    while i < FIELDS.len() {
        let field = FIELDS[i];
        assert!(field.offset == end || (end == end_of_record_0 && field.offset == HEADER_SIZE));
        assert!(!matches!(field.kind, Kind::Atomic) || field.offset % field.size == 0);
        end = field.offset + field.size;
        i += 1;
    }
    assert!(end == if size_of::<RawTail>() == 0 { end_of_record_0 } else { WHOLE_HEADER_SIZE });
};
