//! Recordings of exported camera frames: the file format alone.
//!
//! A recording is what one reader saw of one camera: its frames with their times, what the pictures looked like, what the server
//! said between them. `vas-frames record` writes it, `vas-replay` plays it. This crate knows neither shared memory nor files: it
//! writes into any [`io::Write`](std::io::Write) and reads from any [`io::Read`](std::io::Read).
//!
//! ```
//! use vas_recording::{Ending, FrameInfo, Reader, Record, Section, Start, Writer};
//! use vas_shm_proto::{CameraId, Color, FrameFlags};
//!
//! let start = Start { camera: CameraId::new("front")?, wall_ns: 1_700_000_000_000_000_000, monotonic_ns: 5_000 };
//! let section = Section::new(7, 4, 2, Color::UNSPECIFIED, 40_000_000)?;
//! let frame = FrameInfo { frame_id: 9, timestamp_ns: 6_000, flags: FrameFlags::DAMAGED, ..FrameInfo::default() };
//!
//! let mut writer = Writer::new(Vec::new(), &start)?;
//! writer.section(&section)?;
//! writer.frame(&frame, &[16; 12])?; // packed NV12: rows without padding
//! let bytes = writer.into_inner(); // no end: as if the recorder had been killed
//!
//! let mut pixels = Vec::new();
//! let mut reader = Reader::new(&*bytes)?;
//! assert_eq!(reader.start(), &start);
//! assert_eq!(reader.next_record(&mut pixels)?, Record::Section(section));
//! assert_eq!(reader.next_record(&mut pixels)?, Record::Frame(frame));
//! assert_eq!(pixels, [16; 12]);
//! assert_eq!(reader.next_record(&mut pixels)?, Record::Ended(Ending::Cut { offset: bytes.len() as u64 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The bytes are described in `FORMAT.md` beside this crate's manifest.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod layout;
mod read;
mod record;
mod write;

pub use layout::{HEADER_SIZE, MAGIC, VERSION};
pub use read::{Damage, ReadError, Reader};
pub use record::{
    End, EndReason, Ending, FrameInfo, Record, Section, SectionError, Start, StreamState, StreamStateChange,
};
pub use write::Writer;
