//! Where everything stands: FORMAT.md in numbers.

/// The first eight bytes of a recording.
pub const MAGIC: [u8; 8] = *b"VASREC\r\n";
/// The only version there is.
pub const VERSION: u32 = 1;
/// Bytes before the first record.
pub const HEADER_SIZE: usize = 128;
/// Bytes of the camera's id, filled with zeros.
pub(crate) const CAMERA_SIZE: usize = 64;
/// Where the header's checksum stands, which is of all that stands before it.
pub(crate) const HEADER_CRC: usize = HEADER_SIZE - 4;

/// Bytes of the head of a record.
pub(crate) const HEAD_SIZE: usize = 16;
/// Where the head's checksum stands, which is of all that stands before it.
pub(crate) const HEAD_CRC: usize = HEAD_SIZE - 4;

/// Kinds of records.
pub(crate) mod kind {
    pub(crate) const SECTION: [u8; 4] = *b"SECT";
    pub(crate) const FRAME: [u8; 4] = *b"FRAM";
    pub(crate) const STATE: [u8; 4] = *b"STAT";
    pub(crate) const END: [u8; 4] = *b"ENDS";
}

/// Bytes that version 1 puts into the body of each kind; of a frame those before the pixels.
pub(crate) const SECTION_SIZE: usize = 32;
pub(crate) const FRAME_SIZE: usize = 48;
pub(crate) const STATE_SIZE: usize = 16;
pub(crate) const END_SIZE: usize = 40;
/// Fields may be added at the end of a body (of a frame: before the pixels), up to so many bytes of fields.
pub(crate) const FIELDS_LIMIT: usize = 4096;

/// Pixels as packed NV12.
pub(crate) const ENCODING_PACKED_NV12: u32 = 0;

/// Little-endian numbers, one behind the other.
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl Fields<'_> {
    /// The next bytes; zeros where there are none, which callers rule out by looking at the length first.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => [0; N],
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}
