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
//! generates the layout takes it from there. [`RawHeader`], [`RawSlotRecord`] and [`RawTail`] are the same as structs, for
//! bytes that have been *copied* out of the file; live memory is only ever touched word by word ([`crate::words`]).
//!
//! **Append-only** (§15.2). A later version adds fields at three cursors and nowhere else: stream fields from 128 to 255 and
//! then from 768 on; per-frame fields from 288 to 319 of each record and then in a table of their own. [`RawHeader`] stays the
//! 768 bytes of version 1 for ever; what comes behind them is [`RawTail`], which is empty until a version needs it. Nothing
//! moves, shrinks, widens, changes its meaning or becomes reserved again. `frozen.rs` holds the numbers of what has been decided;
//! `cargo xtask layout check` compares this file with the printed tables in `layout/`, by rules with names. That check
//! compiles this file by itself, so nothing of the crate is used here.

use core::mem::{offset_of, size_of};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a constant of the contract is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, a size or an offset in bytes, a bit.
    Number(u64),
    /// Bytes as they stand in the file.
    Bytes(&'static [u8]),
    /// A name.
    Text(&'static str),
}

/// One constant of the contract. After its release its value never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Name here and, after a prefix, in generated headers.
    pub name: &'static str,
    /// What it is.
    pub value: Value,
    /// First version that has it.
    pub since: u32,
    /// Meaning. Part of the contract, as those of the fields are.
    pub meaning: &'static str,
}

// One table makes both the constants (with the meanings as their documentation) and the rows of CONSTANTS.
macro_rules! constants {
    ($($name:ident: $rust:ty = $value:expr, $kind:ident($row:expr), since $since:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            #[allow(rustdoc::broken_intra_doc_links, reason = "slot[i] is the name of a field and no link")]
            pub const $name: $rust = $value;
        )*

        /// The constants of the contract, one row each.
        pub const CONSTANTS: &[Constant] = &[$(Constant {
            name: stringify!($name),
            value: Value::$kind($row),
            since: $since,
            meaning: $meaning,
        }),*];
    };
}

constants! {
    HEADER_SIZE: usize = 768, Number(HEADER_SIZE as u64), since 1,
        "bytes of the header of version 1; later versions are never smaller";
    SLOT_TABLE_OFFSET: usize = 256, Number(SLOT_TABLE_OFFSET as u64), since 1,
        "bytes from the start of frame.meta to the slot table, fixed for ever";
    SLOT_RECORD_SIZE: usize = 64, Number(SLOT_RECORD_SIZE as u64), since 1,
        "bytes of one slot record, fixed for ever";
    MIN_SLOTS: usize = 2, Number(MIN_SLOTS as u64), since 1,
        "the fewest slots with which a reader can hold a frame while the next one is written";
    MAX_SLOTS: usize = 8, Number(MAX_SLOTS as u64), since 1,
        "records that the slot table has room for; more slots need a new table in a new version";
    PAGE_SIZE: usize = 4096, Number(PAGE_SIZE as u64), since 1,
        "alignment of each slot in frame.data and, in version 1, size of frame.meta, in bytes";
    MAX_DIMENSION: u32 = 16384, Number(MAX_DIMENSION as u64), since 1, "largest width and height, in pixels";
    MAGIC: [u8; 8] = *b"VASFRAME", Bytes(&MAGIC), since 1, "what stands at offset 120";
    PIXEL_FORMAT_NV12: u32 = 0x3231_564E, Number(PIXEL_FORMAT_NV12 as u64), since 1,
        "pixel_format of NV12: the fourcc, first letter in the lowest byte";
    STATE_LIVE: u32 = 1, Number(STATE_LIVE as u64), since 1, "state: frames come, or would come if anybody were attached";
    STATE_STALLED: u32 = 2, Number(STATE_STALLED as u64), since 1, "state: the source is lost, the server is reconnecting";
    STATE_STOPPED: u32 = 3, Number(STATE_STOPPED as u64), since 1, "state: the camera was stopped, the files are gone";
    STATE_REPLACED: u32 = 4, Number(STATE_REPLACED as u64), since 1, "state: another pair took these names";
    FLAG_IDLE: u32 = 1, Number(FLAG_IDLE as u64), since 1, "mask of bit 0 in flags, idle: nobody attached, pixels are not being copied";
    FRAME_FLAG_DAMAGED: u64 = 1, Number(FRAME_FLAG_DAMAGED), since 1,
        "mask of bit 0 in slot[i].flags, damaged: the decoder reported loss or concealment in this frame or in one that it refers to";
    COLOR_RANGE_UNKNOWN: u8 = 0, Number(COLOR_RANGE_UNKNOWN as u64), since 1, "color_range: the source did not say";
    COLOR_RANGE_LIMITED: u8 = 1, Number(COLOR_RANGE_LIMITED as u64), since 1, "color_range: luma 16 to 235, chroma 16 to 240";
    COLOR_RANGE_FULL: u8 = 2, Number(COLOR_RANGE_FULL as u64), since 1, "color_range: luma and chroma 0 to 255";
    COLOR_UNSPECIFIED: u8 = 2, Number(COLOR_UNSPECIFIED as u64), since 1,
        "color_primaries, color_transfer, color_matrix: the source did not say (ITU-T H.273)";
    META_NAME: &str = "frame.meta", Text(META_NAME), since 1, "name of the header file in a camera's directory";
    DATA_NAME: &str = "frame.data", Text(DATA_NAME), since 1, "name of the pixel file in a camera's directory";
    DEFAULT_BASE: &str = "/dev/shm/vas", Text(DEFAULT_BASE), since 1,
        "where the cameras' directories are unless an operator says otherwise";
}

/// The version of the layout that this file describes, and that the writer writes.
pub const VERSION: u32 = 1;
/// Slots that a writer uses unless it is told otherwise. Its own choice, which no reader may rely on.
pub const DEFAULT_SLOTS: usize = 3;

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
            "version of the layout that the writer wrote; a reader accepts every version >= 1 and uses the fields it knows";
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
        magic: [u8; 8], "8 bytes", Constant, since 1, "VASFRAME in ASCII (the version has to come first, so the magic stands here)";
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

layout! {
    /// What later versions append behind the header of version 1: stream fields that found no room before the slot table, from
    /// offset 768 on, copied. Version 1 has none.
    struct RawTail at HEADER_SIZE, prefix "", rows TAIL_FIELDS {
    }
}

/// The first 768 bytes of `frame.meta`, copied: stream fields, then the slot table. The whole header of version 1, and the
/// beginning of every later one.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// Offsets 0 to 255.
    pub stream: RawStream,
    /// Offsets 256 to 767.
    pub slots: [RawSlotRecord; MAX_SLOTS],
}

/// Bytes of the whole header of [`VERSION`]: what its writer puts into `header_size`.
pub const WHOLE_HEADER_SIZE: usize = size_of::<RawHeader>() + size_of::<RawTail>();

const FIELD_COUNT: usize = STREAM_FIELDS.len() + SLOT_FIELDS.len() + TAIL_FIELDS.len();

/// The table: every field of the layout, in order of offset. Rows whose name begins with `slot[i].` have the offset of
/// record 0; record i lies [`SLOT_RECORD_SIZE`] * i further on.
pub const FIELDS: [Field; FIELD_COUNT] = {
    let parts = [STREAM_FIELDS, SLOT_FIELDS, TAIL_FIELDS];
    let mut all = [STREAM_FIELDS[0]; FIELD_COUNT];
    let (mut part, mut row, mut i) = (0, 0, 0);
    while i < all.len() {
        if row == parts[part].len() {
            (part, row) = (part + 1, 0);
            continue;
        }
        all[i] = parts[part][row];
        (row, i) = (row + 1, i + 1);
    }
    all
};

/// What the compiler makes of the structs: name and size in bytes.
pub const SIZES: [(&str, usize); 2] =
    [("header", WHOLE_HEADER_SIZE), ("slot_record", size_of::<RawSlotRecord>())];
