//! Copied bytes to a checked header, or the first reason why not.
//!
//! A reader copies the first 768 bytes of `frame.meta` once, checks the copy and uses the copy: [`Header`] is the only type
//! that later code accepts, and every range it names lies inside `frame.data`. Bytes are treated as hostile: all arithmetic
//! is checked, every comparison is with what `fstat` said of the files themselves.

use crate::color::{Color, ColorRange};
use crate::geometry::Nv12;
use crate::layout::{
    HEADER_SIZE, MAGIC, MAX_DIMENSION, MAX_SLOTS, PAGE_SIZE, PIXEL_FORMAT_NV12, RawHeader, SLOT_RECORD_SIZE,
    SLOT_TABLE_OFFSET,
};
use crate::state::{State, StreamFlags};
use crate::version;
use crate::words::{SlotCount, SlotIndex};
use zerocopy::FromBytes;

/// What `fstat` says of the two open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// `st_size` of `frame.meta`, in bytes.
    pub meta_size_bytes: u64,
    /// `st_size` of `frame.data`, in bytes.
    pub data_size_bytes: u64,
    /// `st_ino` of `frame.data`.
    pub data_inode: u64,
}

/// A header that passed every check: the constants of a pair of files, with the atomics as they stood when it was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    version: u32,
    header_size: u32,
    picture: Nv12,
    color: Color,
    slots: SlotCount,
    slot_offsets: [u64; MAX_SLOTS],
    data_file_size: u64,
    data_inode: u64,
    generation: u64,
    at_copy: AtCopy,
}

/// The atomic words of the header as they stood in the copy. They are no picture of one moment, and a copy made by read(2)
/// may even have caught one of them half-way: good to look at, nothing to rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtCopy {
    /// The publish word, 0 = none yet.
    pub frame_id: u64,
    /// The mirror of the newest frame's timestamp, in nanoseconds.
    pub timestamp_ns: u64,
    /// State of the pair.
    pub state: State,
    /// Flags of the stream.
    pub flags: StreamFlags,
    /// The heartbeat, in nanoseconds.
    pub heartbeat_ns: u64,
    /// Expected time between frames in nanoseconds, 0 = unknown.
    pub frame_period_ns: u64,
}

/// Why a header cannot be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not there yet, or there no more: ask again.
    #[error(transparent)]
    NotYet(#[from] NotYet),
    /// Not a header that this reader understands: ask again at most once a second.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A pair that is not there yet, or there no more. Not an error: a state that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// The two files belong to different pairs: the writer is exchanging them at this moment.
    #[error(
        "the two files belong to different pairs: frame.meta names inode {expected}, frame.data is inode {found}"
    )]
    MixedPair {
        /// `data_inode` of the header.
        expected: u64,
        /// `st_ino` of the file.
        found: u64,
    },
    /// State 3.
    #[error("the camera was stopped")]
    Stopped,
    /// State 4.
    #[error("the pair was replaced by another")]
    Replaced,
}

/// The first check that a header failed: the field, its value and the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The file is shorter than any version's header.
    #[error("frame.meta has {size} bytes, version 1 needs {HEADER_SIZE}")]
    MetaSize {
        /// Bytes of the file, or of those given to be checked if these are fewer.
        size: u64,
    },
    /// No version is 0: the header is not written yet, or is none.
    #[error("version is 0, the lowest a writer may put there is 1")]
    Version,
    /// The file is something else.
    #[error("magic is \"{}\", version 1 has \"{}\"", .found.escape_ascii(), MAGIC.escape_ascii())]
    Magic {
        /// The eight bytes at its place.
        found: [u8; 8],
    },
    /// Later headers are longer, never shorter.
    #[error("header_size is {header_size}, version 1 needs {HEADER_SIZE}")]
    HeaderSizeTooSmall {
        /// The field.
        header_size: u32,
    },
    /// The header says that it is longer than its file.
    #[error("header_size is {header_size}, frame.meta has only {file_size} bytes")]
    HeaderSizeBeyondFile {
        /// The field.
        header_size: u32,
        /// Bytes of `frame.meta`.
        file_size: u64,
    },
    /// Pixels that this version of the crate cannot find its way in.
    #[error("pixel_format is {found:#010x}, this reader knows NV12 = {PIXEL_FORMAT_NV12:#010x}")]
    PixelFormat {
        /// The field.
        found: u32,
    },
    /// No pixels in a row, or too many.
    #[error("width is {width}, it has to be 1 to {MAX_DIMENSION}")]
    Width {
        /// The field.
        width: u32,
    },
    /// No rows, or too many.
    #[error("height is {height}, it has to be 1 to {MAX_DIMENSION}")]
    Height {
        /// The field.
        height: u32,
    },
    /// Rows would overlap.
    #[error("stride is {stride}, rows of this width need {min}")]
    Stride {
        /// The field.
        stride: u32,
        /// Bytes of a row of chroma of this width, which is never shorter than a row of luma.
        min: u32,
    },
    /// The planes would overlap.
    #[error("uv_offset is {uv_offset}, the luma plane ends at {min}")]
    UvOffset {
        /// The field.
        uv_offset: u64,
        /// Where the luma plane ends.
        min: u64,
    },
    /// The end of the chroma plane cannot be said in 64 bits.
    #[error("uv_offset is {uv_offset}, so that the chroma plane would end past 2^64")]
    UvOffsetOverflow {
        /// The field.
        uv_offset: u64,
    },
    /// A frame would be longer than the header says.
    #[error("data_size is {data_size}, the chroma plane ends at {min}")]
    DataSize {
        /// The field.
        data_size: u64,
        /// Where the chroma plane ends.
        min: u64,
    },
    /// Fewer than two slots cannot be read safely, more than eight have no record.
    #[error("slot_count is {slot_count}, it has to be 2 to {MAX_SLOTS}")]
    SlotCount {
        /// The field.
        slot_count: u32,
    },
    /// Fixed for ever.
    #[error("slot_record_size is {found}, it is {SLOT_RECORD_SIZE} in every version")]
    SlotRecordSize {
        /// The field.
        found: u32,
    },
    /// Fixed for ever.
    #[error("slot_table_offset is {found}, it is {SLOT_TABLE_OFFSET} in every version")]
    SlotTableOffset {
        /// The field.
        found: u32,
    },
    /// A slot does not begin on a page.
    #[error("slot[{slot}].data_offset is {data_offset}, it has to be a multiple of {PAGE_SIZE}")]
    SlotAlignment {
        /// Which slot.
        slot: usize,
        /// The field.
        data_offset: u64,
    },
    /// A slot ends outside the file.
    #[error(
        "slot[{slot}].data_offset is {data_offset}: with data_size {data_size} it ends past data_file_size {data_file_size}"
    )]
    SlotBeyondFile {
        /// Which slot.
        slot: usize,
        /// The field.
        data_offset: u64,
        /// Bytes of a frame.
        data_size: u64,
        /// What the header says of the length of `frame.data`.
        data_file_size: u64,
    },
    /// Two slots share bytes.
    #[error(
        "slot[{first}] and slot[{second}] overlap: data_offset {first_offset} and {second_offset}, data_size {data_size}"
    )]
    SlotsOverlap {
        /// Which slot.
        first: usize,
        /// And which other one, the higher number.
        second: usize,
        /// Where the first begins.
        first_offset: u64,
        /// Where the second begins.
        second_offset: u64,
        /// Bytes of a frame.
        data_size: u64,
    },
    /// The file is shorter than the header says.
    #[error("data_file_size is {data_file_size}, frame.data has only {file_size} bytes")]
    DataFileSize {
        /// The field.
        data_file_size: u64,
        /// Bytes of `frame.data`.
        file_size: u64,
    },
}

impl Refusal {
    /// The field that was refused, by its name in [`crate::layout::FIELDS`] (`frame.meta` for the file's own size).
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::MetaSize { .. } => "frame.meta",
            Self::Version => "version",
            Self::Magic { .. } => "magic",
            Self::HeaderSizeTooSmall { .. } | Self::HeaderSizeBeyondFile { .. } => "header_size",
            Self::PixelFormat { .. } => "pixel_format",
            Self::Width { .. } => "width",
            Self::Height { .. } => "height",
            Self::Stride { .. } => "stride",
            Self::UvOffset { .. } | Self::UvOffsetOverflow { .. } => "uv_offset",
            Self::DataSize { .. } => "data_size",
            Self::SlotCount { .. } => "slot_count",
            Self::SlotRecordSize { .. } => "slot_record_size",
            Self::SlotTableOffset { .. } => "slot_table_offset",
            Self::SlotAlignment { .. } | Self::SlotBeyondFile { .. } | Self::SlotsOverlap { .. } => {
                "slot[i].data_offset"
            }
            Self::DataFileSize { .. } => "data_file_size",
        }
    }
}

impl Header {
    /// Checks the first bytes of `frame.meta`, in the order that `PROTOCOL.md` gives. `bytes` may be longer than the header;
    /// what lies past offset 768 belongs to later versions and is not looked at.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(bytes: &[u8], files: &Files) -> Result<Self, Problem> {
        let size = files.meta_size_bytes.min(bytes.len() as u64);
        let (raw, _) = RawHeader::read_from_prefix(bytes).map_err(|_| Refusal::MetaSize { size })?;
        if size < HEADER_SIZE as u64 {
            return Err(Refusal::MetaSize { size }.into());
        }
        let stream = &raw.stream;

        // Is it ours at all?
        let version = stream.version.get();
        if !version::is_readable(version) {
            return Err(Refusal::Version.into());
        }
        if stream.magic != MAGIC {
            return Err(Refusal::Magic { found: stream.magic }.into());
        }
        let header_size = stream.header_size.get();
        if (header_size as usize) < HEADER_SIZE {
            return Err(Refusal::HeaderSizeTooSmall { header_size }.into());
        }
        if u64::from(header_size) > files.meta_size_bytes {
            return Err(
                Refusal::HeaderSizeBeyondFile { header_size, file_size: files.meta_size_bytes }.into()
            );
        }

        // Do the two files belong together? Asked before anything is compared with frame.data.
        let data_inode = stream.data_inode.get();
        if data_inode != files.data_inode {
            return Err(NotYet::MixedPair { expected: data_inode, found: files.data_inode }.into());
        }

        let pixel_format = stream.pixel_format.get();
        if pixel_format != PIXEL_FORMAT_NV12 {
            return Err(Refusal::PixelFormat { found: pixel_format }.into());
        }
        let picture = Nv12::check(
            stream.width.get(),
            stream.height.get(),
            stream.stride.get(),
            stream.uv_offset.get(),
            stream.data_size.get(),
        )?;
        let slot_count = stream.slot_count.get();
        let slots = SlotCount::new(slot_count).map_err(|_| Refusal::SlotCount { slot_count })?;
        let found = stream.slot_record_size.get();
        if found as usize != SLOT_RECORD_SIZE {
            return Err(Refusal::SlotRecordSize { found }.into());
        }
        let found = stream.slot_table_offset.get();
        if found as usize != SLOT_TABLE_OFFSET {
            return Err(Refusal::SlotTableOffset { found }.into());
        }
        let slot_offsets = raw.slots.each_ref().map(|slot| slot.data_offset.get());
        let data_file_size = stream.data_file_size.get();
        check_slots(&slot_offsets[..slots.get() as usize], picture.data_size(), data_file_size)?;
        if data_file_size > files.data_size_bytes {
            let file_size = files.data_size_bytes;
            return Err(Refusal::DataFileSize { data_file_size, file_size }.into());
        }

        let state = State::from_word(stream.state.get());
        match state {
            State::Stopped => return Err(NotYet::Stopped.into()),
            State::Replaced => return Err(NotYet::Replaced.into()),
            State::Live | State::Stalled | State::Other(_) => {}
        }
        Ok(Self {
            version,
            header_size,
            picture,
            color: Color {
                range: ColorRange::from_byte(stream.color_range),
                primaries: stream.color_primaries,
                transfer: stream.color_transfer,
                matrix: stream.color_matrix,
            },
            slots,
            slot_offsets,
            data_file_size,
            data_inode,
            generation: stream.generation.get(),
            at_copy: AtCopy {
                frame_id: stream.frame_id.get(),
                timestamp_ns: stream.timestamp_ns.get(),
                state,
                flags: StreamFlags(stream.flags.get()),
                heartbeat_ns: stream.heartbeat_ns.get(),
                frame_period_ns: stream.frame_period_ns.get(),
            },
        })
    }

    /// Version of the layout that the writer wrote.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of the header that the writer wrote.
    #[must_use]
    pub const fn header_size(&self) -> u32 {
        self.header_size
    }

    /// Geometry of every frame of this pair.
    #[must_use]
    pub const fn picture(&self) -> &Nv12 {
        &self.picture
    }

    /// Colour description of every frame of this pair.
    #[must_use]
    pub const fn color(&self) -> Color {
        self.color
    }

    /// Number of slots.
    #[must_use]
    pub const fn slots(&self) -> SlotCount {
        self.slots
    }

    /// Bytes from the start of `frame.data` to a slot. For every slot of [`Header::slots`] the whole frame from there on lies
    /// inside [`Header::data_file_size`].
    #[must_use]
    pub const fn slot_offset(&self, slot: SlotIndex) -> u64 {
        self.slot_offsets[slot.get()]
    }

    /// Bytes of `frame.data` to map.
    #[must_use]
    pub const fn data_file_size(&self) -> u64 {
        self.data_file_size
    }

    /// `st_ino` of the `frame.data` this header belongs to.
    #[must_use]
    pub const fn data_inode(&self) -> u64 {
        self.data_inode
    }

    /// When the pair was built, CLOCK_MONOTONIC in nanoseconds; differs for every pair.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The atomic words as they stood when the header was copied.
    #[must_use]
    pub const fn at_copy(&self) -> AtCopy {
        self.at_copy
    }
}

fn check_slots(offsets: &[u64], data_size: u64, data_file_size: u64) -> Result<(), Refusal> {
    for (slot, &data_offset) in offsets.iter().enumerate() {
        if data_offset % PAGE_SIZE as u64 != 0 {
            return Err(Refusal::SlotAlignment { slot, data_offset });
        }
        let end = data_offset.checked_add(data_size);
        if end.is_none_or(|end| end > data_file_size) {
            return Err(Refusal::SlotBeyondFile { slot, data_offset, data_size, data_file_size });
        }
    }
    for (second, &second_offset) in offsets.iter().enumerate() {
        for (first, &first_offset) in offsets[..second].iter().enumerate() {
            if first_offset.abs_diff(second_offset) < data_size {
                return Err(Refusal::SlotsOverlap { first, second, first_offset, second_offset, data_size });
            }
        }
    }
    Ok(())
}
