//! Bytes into records, whoever made the bytes.

use crate::layout::{
    self, CAMERA_SIZE, ENCODING_PACKED_NV12, FIELDS_LIMIT, FRAME_SIZE, Fields, HEAD_CRC, HEAD_SIZE,
    HEADER_CRC, HEADER_SIZE, kind,
};
use crate::record::{
    End, EndReason, Ending, FrameInfo, Record, Section, SectionError, Start, StreamState, StreamStateChange,
};
use crc32fast::Hasher;
use std::io::{self, Read};
use vas_shm_proto::layout::{MAX_DIMENSION, PIXEL_FORMAT_NV12};
use vas_shm_proto::{CameraId, CameraIdError, Color, ColorRange, FrameFlags};

/// No frame has more pixels.
const MAX_FRAME_BYTES: u64 = MAX_DIMENSION as u64 * (MAX_DIMENSION as u64 / 2 * 3);
/// How much is taken at once of what is not kept.
const SKIP_BYTES: usize = 16 * 1024;
/// How much more memory is asked for at once: what a record claims to have is not believed before it is there.
const GROWTH_BYTES: u64 = 1024 * 1024;

/// Why a recording cannot be read, or not further than here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The first bytes are others.
    #[error("this is no recording: it begins with {}, a recording with {}", .found.escape_ascii(), layout::MAGIC.escape_ascii())]
    NotARecording {
        /// What stands there.
        found: [u8; 8],
    },
    /// It ends before its header does.
    #[error("the recording ends after {bytes} bytes, before any frame (its header alone has {HEADER_SIZE})")]
    NoHeader {
        /// How many bytes there are.
        bytes: usize,
    },
    /// Made by a later program.
    #[error(
        "the recording has version {found} of the format, this program knows version {}",
        layout::VERSION
    )]
    Version {
        /// The version that it names.
        found: u32,
    },
    /// The bytes are not what was written.
    #[error("the recording is damaged at byte {offset}: {damage}; what stands before that is whole")]
    Damaged {
        /// Where the header or the record begins that is damaged, in bytes from the beginning.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// What is read from said no.
    #[error("read at byte {offset}: {error}")]
    Io {
        /// How many bytes were read before.
        offset: u64,
        /// What it said.
        error: io::Error,
    },
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A checksum does not fit.
    #[error("the checksum of its {part} is {found:08x}, the bytes give {computed:08x}")]
    Checksum {
        /// `header`, `head` or `body`.
        part: &'static str,
        /// As it stands there.
        found: u32,
        /// Of the bytes that stand there.
        computed: u32,
    },
    /// The header's size.
    #[error("header_size is {found}, version 1 has {HEADER_SIZE}")]
    HeaderSize {
        /// As it stands there.
        found: u32,
    },
    /// The camera's id.
    #[error("the camera's id: {why}")]
    Camera {
        /// What is wrong with it.
        why: CameraIdError,
    },
    /// A body that is too short or too long for its kind.
    #[error("a record of kind {} has {found} bytes, {min} to {max} are possible", .kind.escape_ascii())]
    BodySize {
        /// Its kind.
        kind: [u8; 4],
        /// As it stands there.
        found: u32,
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
    /// A frame's size is not that of its section.
    #[error("a frame has {found} bytes of pixels, its section's pictures have {need}")]
    FrameSize {
        /// What there is.
        found: u64,
        /// What there should be.
        need: u64,
    },
    /// A frame before any section.
    #[error("a frame stands before the first section")]
    NoSection,
    /// A section with a size that there is not.
    #[error("a section: {0}")]
    Section(SectionError),
    /// Pixels that are not NV12.
    #[error("pixel_format is {found:#010x}, version 1 has NV12 ({PIXEL_FORMAT_NV12:#010x}) alone")]
    PixelFormat {
        /// As it stands there.
        found: u32,
    },
    /// Pixels in another form than packed rows.
    #[error("encoding is {found}, this program knows {ENCODING_PACKED_NV12} (packed rows)")]
    Encoding {
        /// As it stands there.
        found: u32,
    },
    /// The end counts other frames than there are.
    #[error("the end counts {counted} frames, there are {found}")]
    Frames {
        /// What the end says.
        counted: u64,
        /// What was read.
        found: u64,
    },
    /// Bytes behind the end.
    #[error("there are bytes behind the recording's end")]
    BehindTheEnd,
}

/// Reads a recording, record by record. It takes many small reads: give it a [`BufReader`](io::BufReader).
///
/// Whatever the bytes are: no panic, no allocation that is larger than twice what there is to read and a megabyte.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    start: Start,
    offset: u64,
    section: Option<Section>,
    frames: u64,
    ended: Option<Ending>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is no recording, or its header is damaged.
    pub fn new(mut from: R) -> Result<Self, ReadError> {
        let mut header = [0; HEADER_SIZE];
        let got = fill(&mut from, &mut header)
            .map_err(|(got, error)| ReadError::Io { offset: got as u64, error })?;
        let mut fields = Fields(&header);
        let magic = fields.bytes();
        // What is no recording is told so however short it is.
        let comparable = got.min(magic.len());
        if magic[..comparable] != layout::MAGIC[..comparable] {
            return Err(ReadError::NotARecording { found: magic });
        }
        if got < HEADER_SIZE {
            return Err(ReadError::NoHeader { bytes: got });
        }
        let damaged = |damage| ReadError::Damaged { offset: 0, damage };
        check("header", &header[..HEADER_CRC], &header[HEADER_CRC..]).map_err(damaged)?;
        let version = fields.u32();
        if version != layout::VERSION {
            return Err(ReadError::Version { found: version });
        }
        let header_size = fields.u32();
        if header_size as usize != HEADER_SIZE {
            return Err(damaged(Damage::HeaderSize { found: header_size }));
        }
        let (wall_ns, monotonic_ns) = (fields.u64(), fields.u64());
        let camera: [u8; CAMERA_SIZE] = fields.bytes();
        let length = camera.iter().position(|&byte| byte == 0).unwrap_or(CAMERA_SIZE);
        let camera = CameraId::new(&String::from_utf8_lossy(&camera[..length]))
            .map_err(|why| damaged(Damage::Camera { why }))?;
        Ok(Self {
            from,
            start: Start { camera, wall_ns, monotonic_ns },
            offset: HEADER_SIZE as u64,
            section: None,
            frames: 0,
            ended: None,
        })
    }

    /// The next record. The pixels of a frame go into `pixels`, packed NV12; at any other record it may hold anything.
    ///
    /// # Errors
    /// The recording is damaged here, or cannot be read. Whoever asks again is told the same or that the recording was cut here:
    /// behind damage nothing is looked for.
    pub fn next_record(&mut self, pixels: &mut Vec<u8>) -> Result<Record, ReadError> {
        loop {
            if let Some(ended) = self.ended {
                return Ok(Record::Ended(ended));
            }
            match self.read(pixels) {
                // Of a later program: whole, and not for us.
                Ok(None) => {}
                Ok(Some(record)) => {
                    if let Record::Ended(ending) = record {
                        self.ended = Some(ending);
                    }
                    return Ok(record);
                }
                Err(error) => {
                    self.ended = Some(Ending::Cut { offset: self.offset });
                    return Err(error);
                }
            }
        }
    }

    fn read(&mut self, pixels: &mut Vec<u8>) -> Result<Option<Record>, ReadError> {
        let offset = self.offset;
        let io = |error| ReadError::Io { offset, error };
        let damaged = |damage| ReadError::Damaged { offset, damage };
        let cut = Ok(Some(Record::Ended(Ending::Cut { offset })));

        let mut head = [0; HEAD_SIZE];
        if fill(&mut self.from, &mut head).map_err(|(_, error)| io(error))? < HEAD_SIZE {
            return cut;
        }
        // Before the length is used: a wrong one would look like a recording that was cut.
        check("head", &head[..HEAD_CRC], &head[HEAD_CRC..]).map_err(damaged)?;
        let mut fields = Fields(&head);
        let (kind, body_bytes, body_crc) = (fields.bytes(), fields.u32(), fields.u32());

        // How many bytes are fields for sure, and how many there may be.
        let limit = FIELDS_LIMIT as u64;
        let (fields_bytes, max) = match kind {
            kind::SECTION => (layout::SECTION_SIZE, limit),
            kind::FRAME => (FRAME_SIZE, limit + MAX_FRAME_BYTES),
            kind::STATE => (layout::STATE_SIZE, limit),
            kind::END => (layout::END_SIZE, limit),
            _ => (0, u64::from(u32::MAX)),
        };
        let length = u64::from(body_bytes);
        if length < fields_bytes as u64 || length > max {
            let min = fields_bytes as u64;
            return Err(damaged(Damage::BodySize { kind, found: body_bytes, min, max }));
        }

        let mut body = [0; FRAME_SIZE];
        let body = &mut body[..fields_bytes];
        if fill(&mut self.from, body).map_err(|(_, error)| io(error))? < fields_bytes {
            return cut;
        }
        let mut crc = Hasher::new();
        crc.update(body);
        let rest = length - fields_bytes as u64;
        if kind == kind::FRAME {
            if !take(&mut self.from, rest, pixels).map_err(io)? {
                return cut;
            }
            crc.update(pixels);
        } else if !skip(&mut self.from, rest, &mut crc).map_err(io)? {
            return cut;
        }
        let computed = crc.finalize();
        if computed != body_crc {
            return Err(damaged(Damage::Checksum { part: "body", found: body_crc, computed }));
        }

        let record = match kind {
            kind::SECTION => {
                let section = section(body).map_err(damaged)?;
                self.section = Some(section);
                Record::Section(section)
            }
            kind::FRAME => {
                let info = self.frame(body, pixels).map_err(damaged)?;
                self.frames += 1;
                Record::Frame(info)
            }
            kind::STATE => Record::State(state(body)),
            kind::END => {
                let end = end(body);
                if end.frames != self.frames {
                    return Err(damaged(Damage::Frames { counted: end.frames, found: self.frames }));
                }
                if fill(&mut self.from, &mut [0]).map_err(|(_, error)| io(error))? > 0 {
                    return Err(damaged(Damage::BehindTheEnd));
                }
                Record::Ended(Ending::Whole(end))
            }
            _ => {
                self.offset += HEAD_SIZE as u64 + length;
                return Ok(None);
            }
        };
        self.offset += HEAD_SIZE as u64 + length;
        Ok(Some(record))
    }

    fn frame(&self, body: &[u8], pixels: &mut Vec<u8>) -> Result<FrameInfo, Damage> {
        let mut fields = Fields(body);
        let (fields_size, encoding) = (u64::from(fields.u32()), fields.u32());
        let section = self.section.ok_or(Damage::NoSection)?;
        if encoding != ENCODING_PACKED_NV12 {
            return Err(Damage::Encoding { found: encoding });
        }
        let need = section.frame_bytes();
        let all = (FRAME_SIZE + pixels.len()) as u64;
        let found = all.saturating_sub(fields_size);
        if found != need || !(FRAME_SIZE as u64..=FIELDS_LIMIT as u64).contains(&fields_size) {
            return Err(Damage::FrameSize { found, need });
        }
        // Fields of a later program.
        pixels.drain(..pixels.len() - need as usize);
        Ok(FrameInfo {
            frame_id: fields.u64(),
            timestamp_ns: fields.u64(),
            flags: FrameFlags(fields.u64()),
            overwritten: fields.u64(),
            dropped: fields.u64(),
        })
    }
}

impl<R> Reader<R> {
    /// Where and when the recording was begun.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// Bytes from the beginning of the recording to the end of the last record that was read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

fn section(body: &[u8]) -> Result<Section, Damage> {
    let mut fields = Fields(body);
    let (generation, width, height, pixel_format) = (fields.u64(), fields.u32(), fields.u32(), fields.u32());
    let [range, primaries, transfer, matrix] = fields.bytes();
    let frame_period_ns = fields.u64();
    if pixel_format != PIXEL_FORMAT_NV12 {
        return Err(Damage::PixelFormat { found: pixel_format });
    }
    let color = Color { range: ColorRange::from_byte(range), primaries, transfer, matrix };
    Section::new(generation, width, height, color, frame_period_ns).map_err(Damage::Section)
}

fn state(body: &[u8]) -> StreamStateChange {
    let mut fields = Fields(body);
    let (state, _reserved) = (fields.u32(), fields.u32());
    StreamStateChange { state: StreamState::from_number(state), at_ns: fields.u64() }
}

fn end(body: &[u8]) -> End {
    let mut fields = Fields(body);
    End {
        frames: fields.u64(),
        overwritten: fields.u64(),
        dropped: fields.u64(),
        at_ns: fields.u64(),
        reason: EndReason::from_number(fields.u32()),
    }
}

fn check(part: &'static str, bytes: &[u8], crc: &[u8]) -> Result<(), Damage> {
    let (found, computed) = (Fields(crc).u32(), crc32fast::hash(bytes));
    if found == computed { Ok(()) } else { Err(Damage::Checksum { part, found, computed }) }
}

/// Reads until the buffer is full or nothing comes any more; says how many bytes came.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((got, error)),
        }
    }
    Ok(got)
}

/// Reads so many bytes into the buffer, which grows with what comes; says whether all came.
fn take(from: &mut impl Read, bytes: u64, into: &mut Vec<u8>) -> io::Result<bool> {
    into.clear();
    while (into.len() as u64) < bytes {
        let left = bytes - into.len() as u64;
        // A buffer that was used before has its room already.
        let room = (into.capacity() - into.len()) as u64;
        let step = left.min(room.max(GROWTH_BYTES).max(into.len() as u64)) as usize;
        let from_here = into.len();
        into.resize(from_here + step, 0);
        let got = fill(from, &mut into[from_here..]).map_err(|(_, error)| error)?;
        if got < step {
            into.truncate(from_here + got);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads so many bytes for their checksum alone; says whether all came.
fn skip(from: &mut impl Read, bytes: u64, crc: &mut Hasher) -> io::Result<bool> {
    let mut left = bytes;
    let mut buffer = [0; SKIP_BYTES];
    while left > 0 {
        let step = left.min(SKIP_BYTES as u64) as usize;
        let got = fill(from, &mut buffer[..step]).map_err(|(_, error)| error)?;
        crc.update(&buffer[..got]);
        if got < step {
            return Ok(false);
        }
        left -= got as u64;
    }
    Ok(true)
}
