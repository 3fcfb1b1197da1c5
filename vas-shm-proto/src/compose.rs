//! The header of a new pair, as a writer puts it into the file before anybody can see it.

use crate::color::Color;
use crate::geometry::{Nv12, PairSize};
use crate::layout::{
    HEADER_SIZE, MAGIC, PIXEL_FORMAT_NV12, RawHeader, RawTail, SLOT_RECORD_SIZE, SLOT_TABLE_OFFSET,
    WHOLE_HEADER_SIZE,
};
use crate::state::{State, StreamFlags};
use crate::version::VERSION;
use crate::words::SlotCount;
use zerocopy::{FromZeros, IntoBytes};

/// Everything that a new header says. No frame stands in it yet.
#[derive(Clone, Copy, Debug)]
pub struct NewHeader {
    /// Geometry of the frames.
    pub picture: Nv12,
    /// Colour description of the frames.
    pub color: Color,
    /// Number of slots.
    pub slots: SlotCount,
    /// `st_ino` of the new `frame.data`.
    pub data_inode: u64,
    /// When the pair was built, CLOCK_MONOTONIC in nanoseconds; higher than that of every earlier pair of this camera.
    pub generation: u64,
    /// State at birth: live or stalled.
    pub state: State,
    /// Flags at birth.
    pub flags: StreamFlags,
    /// First heartbeat, CLOCK_MONOTONIC in nanoseconds.
    pub heartbeat_ns: u64,
    /// Expected time between frames in nanoseconds, 0 = unknown.
    pub frame_period_ns: u64,
}

impl NewHeader {
    /// The whole header, as it goes into the file: [`NewHeader::to_raw`], and what later versions append behind it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; WHOLE_HEADER_SIZE] {
        let mut bytes = [0; WHOLE_HEADER_SIZE];
        let (header, tail) = bytes.split_at_mut(HEADER_SIZE);
        header.copy_from_slice(self.to_raw().as_bytes());
        tail.copy_from_slice(self.tail().as_bytes());
        bytes
    }

    /// Behind the header of version 1, where version 1 has nothing.
    fn tail(&self) -> RawTail {
        RawTail::new_zeroed()
    }

    /// The first 768 bytes, which are all of them in version 1: every constant, every slot empty, everything reserved zero.
    #[must_use]
    pub fn to_raw(&self) -> RawHeader {
        let size = PairSize::new(&self.picture, self.slots);
        let mut raw = RawHeader::new_zeroed();
        let stream = &mut raw.stream;
        stream.version.set(VERSION);
        stream.header_size.set(WHOLE_HEADER_SIZE as u32);
        stream.width.set(self.picture.width());
        stream.height.set(self.picture.height());
        stream.pixel_format.set(PIXEL_FORMAT_NV12);
        stream.stride.set(self.picture.stride_bytes());
        stream.data_size.set(self.picture.data_size());
        stream.uv_offset.set(self.picture.uv_offset());
        stream.state.set(self.state.to_word());
        stream.flags.set(self.flags.0);
        stream.slot_count.set(self.slots.get());
        stream.slot_record_size.set(SLOT_RECORD_SIZE as u32);
        stream.slot_table_offset.set(SLOT_TABLE_OFFSET as u32);
        stream.color_range = self.color.range.to_byte();
        stream.color_primaries = self.color.primaries;
        stream.color_transfer = self.color.transfer;
        stream.color_matrix = self.color.matrix;
        stream.data_file_size.set(size.data_bytes);
        stream.data_inode.set(self.data_inode);
        stream.generation.set(self.generation);
        stream.heartbeat_ns.set(self.heartbeat_ns);
        stream.frame_period_ns.set(self.frame_period_ns);
        stream.magic = MAGIC;
        for slot in self.slots.indices() {
            // Saturates only for a geometry that no file can hold; `Header::check` refuses what comes out then.
            let offset = size.slot_bytes.saturating_mul(slot.get() as u64);
            raw.slots[slot.get()].data_offset.set(offset);
        }
        raw
    }
}
