//! Exports the decoded frames of cameras to other processes on the same host, at no risk to the server that embeds it.
//!
//! The frame path never waits: no reader can delay it, the files are made by a thread of the library, and
//! what cannot be exported is counted and dropped. Readers map the files read-only; the server reads nothing back from them.
//! While nobody has a camera's files open, [`Camera::slot`] says so before a pixel is made ([`ExportWhen`]).
//!
//! ```
//! use vas_shm_writer::{CameraId, Color, Exporter, ExporterConfig, PictureFormat, Plane, Stamp};
//!
//! let base = "/dev/shm/vas";
//! # let shared_memory = std::env::var_os("VAS_TEST_SHM").unwrap_or_else(|| "/dev/shm".into());
//! # let directory = tempfile::tempdir_in(shared_memory)?;
//! # let base = directory.path().join("vas");
//! # let (meta, mut _reader) = (base.join("front/frame.meta"), None);
//! let exporter = Exporter::start(ExporterConfig::new(base))?;
//! let mut camera = exporter.camera(CameraId::new("front")?)?;
//! let (luma, chroma) = (vec![16; 640 * 480], vec![128; 640 * 240]);
//! loop {
//!     # _reader = std::fs::File::open(&meta).ok();
//!     // ... decode a frame, then:
//!     let format = PictureFormat::new(640, 480, Color::UNSPECIFIED);
//!     match camera.slot(format) {
//!         Ok(mut slot) => {
//!             slot.write_nv12(Plane::new(&luma, 640), Plane::new(&chroma, 640))?;
//!             slot.publish(Stamp::now());
//!             # break;
//!         }
//!         Err(_not_exported) => {} // nobody is looking, or the files are still being made
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A slot borrows its camera, so a second one before the first is published does not compile; one that is dropped
//! unpublished leaves nothing visible:
//!
//! ```compile_fail,E0499
//! # fn f(camera: &mut vas_shm_writer::Camera, format: vas_shm_writer::PictureFormat, stamp: vas_shm_writer::Stamp) {
//! let first = camera.slot(format).unwrap();
//! let second = camera.slot(format).unwrap(); // error[E0499]: cannot borrow `*camera` as mutable more than once
//! first.publish(stamp);
//! # }
//! ```
//!
//! Nor can what leads into a slot outlive its publication:
//!
//! ```compile_fail,E0505
//! # fn f(camera: &mut vas_shm_writer::Camera, format: vas_shm_writer::PictureFormat, stamp: vas_shm_writer::Stamp) {
//! let mut slot = camera.slot(format).unwrap();
//! let planes = slot.planes();
//! slot.publish(stamp); // error[E0505]: cannot move out of `slot` because it is borrowed
//! planes.luma_ptr();
//! # }
//! ```
//!
//! # Threads, signals, users, forks
//!
//! - An [`Exporter`] is `Send` and `Sync`: any thread may add cameras or [`beat`](Exporter::beat). It owns one thread, "vas-export".
//! - A [`Camera`] is `Send`, so it may go to the thread that has its frames, and from one to another between two frames. Whatever
//!   fills a slot borrows it exclusively, so two threads cannot fill at once. Both hold because all that is shared with the library's
//!   thread are atomics and mailboxes behind a lock that the frame path only ever tries; the one raw pointer, [`RawPlanes`], is
//!   neither `Send` nor `Sync`.
//! - A [`CameraMonitor`] is `Send`, `Sync` and `Clone`, for threads that watch a camera: all that it does are loads and stores of atomics.
//! - No signal disposition or mask is changed and none is raised: the signal that the kernel may send when a file is opened during
//!   a look for readers is set to `SIGURG`, which is ignored unless the program asks for it.
//! - A program that gives up privileges does so before [`Exporter::start`]: the files belong to the user who makes them, and the
//!   kernel tells only their owner (or `CAP_LEASE`) whether somebody has them open. One that changes its user later
//!   exports all the time, and cannot make files for new formats if the base directory is not the new user's.
//! - A forked child has none of the mappings; [`Exporter`] says what it may not do.
//! - What is worth saying goes to [`tracing`](https://docs.rs/tracing), once when it begins and not with each frame: to the subscriber
//!   of the thread that starts the exporter, or to that of the program.
//!
//! | module | what it holds |
//! |---|---|
//! | `exporter` | [`Exporter`] and [`Camera`]: what a server embeds |
//! | `frame` | [`Slot`]: begin, fill, publish, as types |
//! | `keeper` | the library's thread: builds, beats, replaces, retires, looks after names |
//! | `base` | the base directory and its checks, free space, opening beneath it |
//! | `guard` | sole writer per camera; leftovers of a server that was killed |
//! | `pair` | birth, retirement and removal of the two files |
//! | `room` | [`CameraMemory`], [`Room`]: what a camera costs, what the file system and the memory limit leave |
//! | `gate` | keeps the frame path out of a pair whose memory is being given back |
//! | `map` | the only unsafe: writable mappings, words, copies, leases |
//!
//! The format and its guarantees are in `PROTOCOL.md` of the crate [`vas_shm_proto`].
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("the format is for 64-bit little-endian machines (PROTOCOL.md)");

mod base;
mod clock;
mod error;
mod exporter;
mod frame;
mod gate;
mod guard;
mod keeper;
mod map;
mod pair;
mod room;

pub use clock::monotonic_ns;
pub use error::{BaseError, CameraError, FillError, NotExported, OsError};
pub use exporter::{
    Camera, CameraCounters, CameraMonitor, ExportWhen, Exporter, ExporterConfig, Heartbeat, SourceState,
};
pub use frame::{OwnedSlot, PictureFormat, Plane, Slot, SlotOf, Stamp};
pub use map::RawPlanes;
pub use room::{CameraMemory, FileSystemRoom, Have, MemoryLimit, Room, Shortage};
pub use vas_shm_proto::words::SlotCountError;
pub use vas_shm_proto::{CameraId, CameraIdError, Color, ColorRange, FrameId, Nv12, PairSize, SlotCount};

// The example on the crate's front page is compiled with the others. It is not run: it would export for ever.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
