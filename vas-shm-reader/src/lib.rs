//! Reads the camera frames that a VAS video server shows to other processes on the same host.
//!
//! Reading is polling two read-only mappings. The server is never asked, told or delayed by anything a reader does, and a
//! reader proves for itself that what it read is one whole frame. This crate holds no code that could write to the shared
//! files, and nothing of the server.
//!
//! ```
//! # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
//! use std::time::Duration;
//! use vas_shm_reader::{CameraId, Event, FrameStream};
//!
//! let base = "/dev/shm/vas";
//! # let server = server::Server::start();
//! # let base = server.path();
//! let mut stream = FrameStream::new(base, CameraId::new("front")?);
//! loop {
//!     match stream.next_event(Duration::from_secs(5)) {
//!         Event::Frame(frame) => {
//!             let picture = frame.to_packed()?; // NV12: luma rows, then chroma rows, without padding
//!             println!("frame {}: {} bytes, {} skipped", frame.id(), picture.len(), frame.skipped());
//!             # assert_eq!(picture, [16; 64 * 48 * 3 / 2]);
//!             # break;
//!         }
//!         Event::Status(status) => eprintln!("{status}"),
//!         Event::Timeout => eprintln!("nothing for five seconds"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | what | when |
//! |---|---|
//! | [`FrameStream`] | the reader most people want: opens, waits, reopens after a restart, counts what it skipped |
//! | [`FrameSet`] | several cameras in one loop |
//! | [`HeldFrame`] | a frame that outlives the stream's next call, for threads and other languages |
//! | `AsyncFrames` | the same for asynchronous programs (feature `async`) |
//! | [`Policy`], [`Canceller`] | what waiting costs; how it is ended |
//! | [`open`], [`Reader`] | one pair of files, without waiting: for loops of one's own |
//! | [`Frame`] | one frame, by reference: [`Frame::with`], [`Frame::copy_to`], [`Frame::is_intact`] |
#![cfg_attr(
    feature = "convert",
    doc = "| [`convert`] | frames as RGB, BGR, RGBA, BGRA or grey, and as a model's input |"
)]
//! | [`cameras`] | which cameras are there |
//! | [`Liveness`], [`Schedule`] | the rules behind the stream, as pure state machines |
//!
//! The format, its guarantees and its limits are in `PROTOCOL.md` of the crate [`vas_shm_proto`].
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("the format is for 64-bit little-endian machines (PROTOCOL.md)");

#[cfg(feature = "async")]
mod async_frames;
mod clock;
#[cfg(feature = "convert")]
pub mod convert;
mod error;
mod frame;
mod held;
mod liveness;
mod map;
mod minder;
mod open;
mod rest;
mod set;
mod stream;
mod wait;

#[cfg(feature = "async")]
pub use async_frames::{AsyncEvent, AsyncFrames};
pub use clock::monotonic_ns;
pub use error::{Absent, CopyError, OsError, Overwritten, Refused};
pub use frame::Frame;
pub use held::HeldFrame;
pub use liveness::{HEARTBEAT_LIMIT_NS, Liveness, Observation, Status};
pub use map::RawNv12;
pub use open::{Found, Opened, Options, Reader, cameras, open};
pub use rest::Canceller;
pub use set::FrameSet;
pub use stream::{Event, FrameStream, Look, Mode, StreamFrame, StreamStatus, Turn};
pub use vas_shm_proto::{
    CameraId, CameraIdError, Color, ColorRange, FrameFlags, FrameId, Header, Nv12, State, StreamFlags,
};
pub use wait::{Policy, Schedule};

// The example on the crate's front page is compiled with the others. It is not run: it is a loop that waits for a server.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
