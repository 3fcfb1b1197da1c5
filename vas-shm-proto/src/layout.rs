//! The layout of `frame.meta`, version 1: the picture, the table, the structs.
//!
//! ```text
//!      0        8        16       24       32       40       48       56      64
//!    0 |ver|size|frame_id|time_ns |w  |h   |fmt|strd|data_sz |uv_off  |st |flg |   <- what pollers look at
//!   64 |S  |rec |tab|colr|file_sz |inode   |generat.|heartb. |period  |VASFRAME|
//!  128 | reserved: stream fields of later versions                             |
//!  192 |                                                                       |
//!  256 |frame_id|time_ns |offset  |flags   | reserved: per-frame fields        |   <- slot 0, where the writer claims
//!  320 | slot 1 ...                                                            |
//!  704 | slot 7                                                                |
//!  768 end of the header; the file is one page
//! ```
//!
//! All fields are little-endian and naturally aligned. [`FIELDS`] is the table: every tool that prints, checks or
//! generates the layout takes it from there. [`RawHeader`] and [`RawSlotRecord`] are the same as structs, for bytes that
//! have been *copied* out of the file; live memory is only ever touched word by word ([`crate::words`]).
//!
//! **Append-only** (§15.2). A later version adds fields at three cursors and nowhere else: stream fields from 128 to 255 and
//! then from 768 on; per-frame fields from 288 to 319 of each record and then in a table of their own. Nothing moves,
//! shrinks, widens, changes its meaning or becomes reserved again.

use core::mem::{align_of, offset_of, size_of};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of the header of version 1, in bytes. Later versions are never smaller.
pub const HEADER_SIZE: usize = 768;
/// Offset of the slot table from the start of `frame.meta`, in bytes. Fixed for ever.
pub const SLOT_TABLE_OFFSET: usize = 256;
/// Size of one slot record, in bytes. Fixed for ever.
pub const SLOT_RECORD_SIZE: usize = 64;
/// Records that the slot table has room for. More slots need a new table in a new version.
pub const MAX_SLOTS: usize = 8;
/// The fewest slots with which a reader can hold a frame while the next one is written.
pub const MIN_SLOTS: usize = 2;
/// Slots that a writer uses unless it is told otherwise.
pub const DEFAULT_SLOTS: usize = 3;
/// Alignment of each slot in `frame.data` and size of the `frame.meta` file, in bytes.
pub const PAGE_SIZE: usize = 4096;
/// What stands at offset 120.
pub const MAGIC: [u8; 8] = *b"VASFRAME";
/// `pixel_format` of NV12: the fourcc, first letter in the lowest byte.
pub const PIXEL_FORMAT_NV12: u32 = 0x3231_564E;
/// Largest width and height, in pixels.
pub const MAX_DIMENSION: u32 = 16384;
/// Name of the header file in a camera's directory.
pub const META_NAME: &str = "frame.meta";
/// Name of the pixel file in a camera's directory.
pub const DATA_NAME: &str = "frame.data";
/// Where the cameras' directories are unless an operator says otherwise (§6.1).
pub const DEFAULT_BASE: &str = "/dev/shm/vas";

/// Whether a field can change after the file became visible under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Constant from the moment the file is visible.
    Constant,
    /// Changes while the file is visible; a single naturally aligned word, always loaded and stored whole.
    Atomic,
    /// Written as zero, never inspected.
    Reserved,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the structs, in `PROTOCOL.md` and in generated headers. Fields of a record begin with `slot[i].`.
    pub name: &'static str,
    /// Bytes from the start of the file, of record 0 for fields of a record.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// Type as written in the table.
    pub ty: &'static str,
    /// Constant, atomic or reserved.
    pub kind: Kind,
    /// First version that has the field.
    pub since: u32,
    /// Meaning. Part of the contract: a released meaning never changes.
    pub meaning: &'static str,
}

// One table makes both the structs (with the meanings as their documentation) and the rows of FIELDS.
macro_rules! layout {
    ($(#[$doc:meta])* struct $name:ident at $base:expr, prefix $prefix:literal, rows $rows:ident {
        $($field:ident: $rust:ty, $ty:literal, $kind:ident, since $since:literal, $meaning:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name {
            $(#[doc = $meaning] pub $field: $rust,)*
        }

        const $rows: &[Field] = &[$(Field {
            name: concat!($prefix, stringify!($field)),
            offset: $base + offset_of!($name, $field),
            size: size_of::<$rust>(),
            ty: $ty,
            kind: Kind::$kind,
            since: $since,
            meaning: $meaning,
        }),*];
    };
}

layout! {
    /// The stream fields: the first 256 bytes of `frame.meta`, copied.
    struct RawStream at 0, prefix "", rows STREAM_FIELDS {
        version: U32, "u32", Constant, since 1,
            "version of this layout, 1; a reader accepts every version >= 1 and uses the fields it knows";
        header_size: U32, "u32", Constant, since 1,
            "bytes of the header: 768 in version 1, never smaller later; readers test >= 768, never ==";
        frame_id: U64, "u64", Atomic, since 1,
            "the publish word: newest complete frame, 0 = none yet; +1 per exported frame; stored last";
        timestamp_ns: U64, "u64", Atomic, since 1,
            "CLOCK_MONOTONIC of the newest frame, in nanoseconds (a mirror; the validated one is in the slot record)";
        width: U32, "u32", Constant, since 1, "luma pixels per row, 1 to 16384, any parity";
        height: U32, "u32", Constant, since 1, "luma rows, 1 to 16384, any parity";
        pixel_format: U32, "u32", Constant, since 1, "fourcc 'NV12' = 0x3231564E";
        stride: U32, "u32", Constant, since 1, "bytes from one row to the next, in both planes";
        data_size: U64, "u64", Constant, since 1, "bytes of one frame";
        uv_offset: U64, "u64", Constant, since 1, "bytes from a frame's first byte to its UV plane";
        state: U32, "u32", Atomic, since 1,
            "1 live, 2 stalled (source lost, the server is reconnecting), 3 stopped, 4 replaced; unknown values count as live";
        flags: U32, "u32", Atomic, since 1,
            "bit 0 idle: nobody attached, pixels are not being copied; unknown bits are ignored";
        slot_count: U32, "u32", Constant, since 1, "number of slots S, 2 to 8";
        slot_record_size: U32, "u32", Constant, since 1, "64, fixed for ever";
        slot_table_offset: U32, "u32", Constant, since 1, "256, fixed for ever";
        color_range: u8, "u8", Constant, since 1, "0 unknown, 1 limited, 2 full";
        color_primaries: u8, "u8", Constant, since 1, "ITU-T H.273 code point, 2 = unspecified";
        color_transfer: u8, "u8", Constant, since 1, "ITU-T H.273 code point, 2 = unspecified";
        color_matrix: u8, "u8", Constant, since 1, "ITU-T H.273 code point, 2 = unspecified";
        data_file_size: U64, "u64", Constant, since 1, "bytes of frame.data";
        data_inode: U64, "u64", Constant, since 1, "st_ino of the frame.data this header belongs to";
        generation: U64, "u64", Constant, since 1,
            "CLOCK_MONOTONIC in nanoseconds when this pair was built, made to rise; differs for every pair of files";
        heartbeat_ns: U64, "u64", Atomic, since 1,
            "CLOCK_MONOTONIC in nanoseconds, changed at least once a second while the server lives, idle or not; set before the files are visible";
        frame_period_ns: U64, "u64", Atomic, since 1,
            "expected time between frames in nanoseconds, 0 = unknown; a hint for pollers";
        magic: [u8; 8], "8 bytes", Constant, since 1, "\"VASFRAME\" (the version has to come first, so the magic stands here)";
        reserved: [u8; 128], "128 bytes", Reserved, since 1, "written as zero, never inspected";
    }
}

layout! {
    /// One record of the slot table, copied.
    struct RawSlotRecord at SLOT_TABLE_OFFSET, prefix "slot[i].", rows SLOT_FIELDS {
        frame_id: U64, "u64", Atomic, since 1,
            "0 = empty or being overwritten, else the frame that slot i holds";
        timestamp_ns: U64, "u64", Atomic, since 1,
            "of that frame: CLOCK_MONOTONIC in nanoseconds when the server had it decoded";
        data_offset: U64, "u64", Constant, since 1,
            "bytes from the start of frame.data to the slot, a multiple of 4096";
        flags: U64, "u64", Atomic, since 1,
            "of that frame: bit 0 damaged (the decoder reported loss or concealment); unknown bits are ignored";
        reserved: [u8; 32], "32 bytes", Reserved, since 1, "written as zero, never inspected";
    }
}

/// The first 768 bytes of `frame.meta`, copied: stream fields, then the slot table.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// Offsets 0 to 255.
    pub stream: RawStream,
    /// Offsets 256 to 767.
    pub slots: [RawSlotRecord; MAX_SLOTS],
}

/// The table: every field of the layout, in order of offset. Rows whose name begins with `slot[i].` have the offset of
/// record 0; record i lies [`SLOT_RECORD_SIZE`] * i further on.
pub const FIELDS: [Field; STREAM_FIELDS.len() + SLOT_FIELDS.len()] = {
    let mut all = [STREAM_FIELDS[0]; STREAM_FIELDS.len() + SLOT_FIELDS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] =
            if i < STREAM_FIELDS.len() { STREAM_FIELDS[i] } else { SLOT_FIELDS[i - STREAM_FIELDS.len()] };
        i += 1;
    }
    all
};

// The compiler guards the layout: total sizes, each offset, natural alignment of every word that is touched atomically.
// These numbers are written out on purpose; they are the contract, the structs only follow it.
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
    assert!(offset_of!(RawStream, reserved) == 128);
    assert!(offset_of!(RawHeader, slots) == 256);
    assert!(offset_of!(RawSlotRecord, frame_id) == 0);
    assert!(offset_of!(RawSlotRecord, timestamp_ns) == 8);
    assert!(offset_of!(RawSlotRecord, data_offset) == 16);
    assert!(offset_of!(RawSlotRecord, flags) == 24);
    assert!(offset_of!(RawSlotRecord, reserved) == 32);

    assert!(HEADER_SIZE == size_of::<RawHeader>());
    assert!(SLOT_RECORD_SIZE == size_of::<RawSlotRecord>());
    assert!(SLOT_TABLE_OFFSET == offset_of!(RawHeader, slots));
    assert!(SLOT_TABLE_OFFSET + MAX_SLOTS * SLOT_RECORD_SIZE == HEADER_SIZE);

    // Every field but the byte-sized and reserved ones is naturally aligned, and the table has neither gap nor overlap.
    let mut end = 0;
    let mut i = 0;
    while i < FIELDS.len() {
        let field = FIELDS[i];
        assert!(field.offset == end);
        assert!(!matches!(field.kind, Kind::Atomic) || field.offset % field.size == 0);
        end = field.offset + field.size;
        i += 1;
    }
    assert!(end == SLOT_TABLE_OFFSET + SLOT_RECORD_SIZE);
};
