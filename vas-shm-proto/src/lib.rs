//! The contract of VAS frame export: what the bytes mean, and the two halves of the algorithm that makes them safe to read.
//!
//! A video server shows its decoded camera frames to other processes on the same host through two files per camera,
//! `frame.meta` (a fixed binary header) and `frame.data` (raw NV12). This crate fixes that header, checks what a reader
//! finds in it, and holds the store-and-fence sequences of the writer ([`publish`]) and of the reader ([`snapshot`]).
//! It does no I/O, needs no `std` and contains no `unsafe`: files and mappings are the business of `vas-shm-writer` and
//! `vas-shm-reader`, which both depend on this crate and never on each other.
//!
//! `PROTOCOL.md` beside this crate says the same in prose for readers written in other languages.
//!
//! | module | what it holds |
//! |---|---|
//! | [`layout`] | the picture, the table, the structs: every offset, size and constant of the format |
//! | [`version`] | which versions a reader accepts, and what a later version may do |
//! | [`geometry`] | NV12 planes and slots, in checked arithmetic |
//! | [`header`] | copied bytes to a checked [`Header`], or the first reason why not |
//! | [`compose`] | the header of a new pair |
//! | [`words`] | what the algorithm may do to shared words: load, store, fence |
//! | [`publish`], [`snapshot`] | the writer's and the reader's steps, over those words |
//! | [`camera_id`], [`color`], [`state`] | names, colour code points, states and flags |
//!
//! # Example
//!
//! Check a header that was copied out of a file:
//!
//! ```
//! use vas_shm_proto::header::{Files, Header};
//!
//! let bytes = [0u8; vas_shm_proto::layout::HEADER_SIZE];
//! let files = Files { meta_size_bytes: 4096, data_size_bytes: 0, data_inode: 0 };
//! let problem = Header::check(&bytes, &files).unwrap_err();
//! assert_eq!(problem.to_string(), "version is 0, the lowest a writer may put there is 1");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod camera_id;
pub mod color;
pub mod compose;
mod frozen;
pub mod geometry;
pub mod header;
pub mod layout;
pub mod publish;
pub mod snapshot;
pub mod state;
pub mod version;
pub mod words;

pub use camera_id::{CameraId, CameraIdError};
pub use color::{Color, ColorRange};
pub use geometry::{Nv12, PairSize};
pub use header::{Files, Header, NotYet, Problem, Refusal};
pub use layout::{DATA_NAME, DEFAULT_BASE, META_NAME, PAGE_SIZE};
pub use state::{FrameFlags, State, StreamFlags};
pub use words::{FrameId, SlotCount, SlotIndex};

// The example on the crate's front page runs with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
