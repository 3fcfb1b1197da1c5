//! Records into bytes.

use crate::layout::{self, FRAME_SIZE, HEAD_CRC, HEAD_SIZE, HEADER_CRC, HEADER_SIZE, kind};
use crate::record::{End, FrameInfo, Section, Start, StreamStateChange};
use crc32fast::Hasher;
use std::io::{self, Write};
use vas_shm_proto::layout::PIXEL_FORMAT_NV12;

/// Writes a recording, record by record. Nothing is held back: when a call returns, `out` was given all of the record.
///
/// After an error the last record may be there in part; [`Writer::whole_bytes`] says where it begins, so that a file can be cut there.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    whole_bytes: u64,
    frame_bytes: Option<u64>,
    frames: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, start: &Start) -> io::Result<Self> {
        let mut header = [0; HEADER_SIZE];
        put(&mut header, 0, &layout::MAGIC);
        put(&mut header, 8, &layout::VERSION.to_le_bytes());
        put(&mut header, 12, &(HEADER_SIZE as u32).to_le_bytes());
        put(&mut header, 16, &start.wall_ns.to_le_bytes());
        put(&mut header, 24, &start.monotonic_ns.to_le_bytes());
        put(&mut header, 32, start.camera.as_str().as_bytes());
        let crc = crc32fast::hash(&header[..HEADER_CRC]);
        put(&mut header, HEADER_CRC, &crc.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, whole_bytes: HEADER_SIZE as u64, frame_bytes: None, frames: 0 })
    }

    /// Begins a section.
    ///
    /// # Errors
    /// What `out` says.
    pub fn section(&mut self, section: &Section) -> io::Result<()> {
        let mut body = [0; layout::SECTION_SIZE];
        let color = section.color();
        put(&mut body, 0, &section.generation().to_le_bytes());
        put(&mut body, 8, &section.picture().width().to_le_bytes());
        put(&mut body, 12, &section.picture().height().to_le_bytes());
        put(&mut body, 16, &PIXEL_FORMAT_NV12.to_le_bytes());
        put(&mut body, 20, &[color.range.to_byte(), color.primaries, color.transfer, color.matrix]);
        put(&mut body, 24, &section.frame_period_ns().to_le_bytes());
        self.record(kind::SECTION, &body, &[])?;
        self.frame_bytes = Some(section.frame_bytes());
        Ok(())
    }

    /// Writes a frame of the section that was begun last; `pixels` as packed NV12.
    ///
    /// # Errors
    /// What `out` says; `InvalidInput` if no section was begun or the pixels are not as many as its pictures have.
    pub fn frame(&mut self, info: &FrameInfo, pixels: &[u8]) -> io::Result<()> {
        if self.frame_bytes != Some(pixels.len() as u64) {
            let need =
                self.frame_bytes.map_or_else(|| "a section".to_owned(), |bytes| format!("{bytes} bytes"));
            let sentence = format!("a frame of {} bytes where {need} is needed", pixels.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
        }
        let mut fields = [0; FRAME_SIZE];
        put(&mut fields, 0, &(FRAME_SIZE as u32).to_le_bytes());
        put(&mut fields, 4, &layout::ENCODING_PACKED_NV12.to_le_bytes());
        put(&mut fields, 8, &info.frame_id.to_le_bytes());
        put(&mut fields, 16, &info.timestamp_ns.to_le_bytes());
        put(&mut fields, 24, &info.flags.0.to_le_bytes());
        put(&mut fields, 32, &info.overwritten.to_le_bytes());
        put(&mut fields, 40, &info.dropped.to_le_bytes());
        self.record(kind::FRAME, &fields, pixels)?;
        self.frames += 1;
        Ok(())
    }

    /// Writes a change of state.
    ///
    /// # Errors
    /// What `out` says.
    pub fn state(&mut self, change: &StreamStateChange) -> io::Result<()> {
        let mut body = [0; layout::STATE_SIZE];
        put(&mut body, 0, &change.state.number().to_le_bytes());
        put(&mut body, 8, &change.at_ns.to_le_bytes());
        self.record(kind::STATE, &body, &[])
    }

    /// Writes the end. `end.frames` is what this writer has counted, whatever stands in it.
    ///
    /// # Errors
    /// What `out` says.
    pub fn end(&mut self, end: &End) -> io::Result<()> {
        let mut body = [0; layout::END_SIZE];
        put(&mut body, 0, &self.frames.to_le_bytes());
        put(&mut body, 8, &end.overwritten.to_le_bytes());
        put(&mut body, 16, &end.dropped.to_le_bytes());
        put(&mut body, 24, &end.at_ns.to_le_bytes());
        put(&mut body, 32, &end.reason.number().to_le_bytes());
        self.record(kind::END, &body, &[])?;
        self.out.flush()
    }

    fn record(&mut self, kind: [u8; 4], fields: &[u8], pixels: &[u8]) -> io::Result<()> {
        // At most 16384 * 24576 bytes of pixels: far below 2^32.
        let body_bytes = fields.len() + pixels.len();
        let mut crc = Hasher::new();
        crc.update(fields);
        crc.update(pixels);
        // Head and fields in one piece; none of them is longer.
        let mut first = [0; HEAD_SIZE + FRAME_SIZE];
        put(&mut first, 0, &kind);
        put(&mut first, 4, &(body_bytes as u32).to_le_bytes());
        put(&mut first, 8, &crc.finalize().to_le_bytes());
        let head_crc = crc32fast::hash(&first[..HEAD_CRC]);
        put(&mut first, HEAD_CRC, &head_crc.to_le_bytes());
        put(&mut first, HEAD_SIZE, fields);
        self.out.write_all(&first[..HEAD_SIZE + fields.len()])?;
        self.out.write_all(pixels)?;
        self.whole_bytes += (HEAD_SIZE + body_bytes) as u64;
        Ok(())
    }
}

impl<W> Writer<W> {
    /// Bytes of a record of a frame with so many bytes of pixels.
    #[must_use]
    pub const fn frame_record_bytes(frame_bytes: u64) -> u64 {
        (HEAD_SIZE + FRAME_SIZE) as u64 + frame_bytes
    }

    /// Bytes that the records beside frames take, for whoever has a limit: a section, a change of state and the end together.
    #[must_use]
    pub const fn other_record_bytes() -> u64 {
        (3 * HEAD_SIZE + layout::SECTION_SIZE + layout::STATE_SIZE + layout::END_SIZE) as u64
    }

    /// Bytes from the beginning to the end of the last whole record.
    #[must_use]
    pub fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }

    /// Frames written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// What is written to, back.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.out
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}
