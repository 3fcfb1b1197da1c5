//! A video server: cameras over RTSP through FFmpeg into a frame ring, per camera, and from there to local readers.
//!
//! ```text
//! source -> decode -> ring -> export (convert once, into a slot) -> vas-shm-writer
//! '------------ one supervised thread per camera ------------'
//! ```
//!
//! The program `vas-ingest` is a thin wrapper: read [`config::Config`], start a [`server::Server`], wait.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | file, command line and environment, checked before anything starts; every key once, in a table |
//! | [`server`] | supervises the cameras, sums up, stops in bounded time |
//! | `notify` | what systemd is told |
//! | `reload` | what a new configuration means for the cameras that run |
//! | `camera`, `session` | one camera's thread, one connection of it |
//! | `life` | a camera's life as a pure state machine: live, stalled, when to try again |
//! | `vitals` | what the camera's thread and the server both know of it |
//! | `address`, [`source`] | where video comes from, and how it is opened |
//! | `decode` | packets to frames; which frames are damaged |
//! | `path`, `ring` | where a decoded frame goes; the newest ones of a camera |
//! | `convert`, `export` | what a frame is as NV12; slots, filled and published |
//! | `claims` | which cameras of a base directory are this server's, told to other servers |
//! | [`memory`] | what the cameras will cost in shared memory, told before they connect |
//! | `clock` | pace of files, distance of frames: pure schedules |
//! | `status` | counters, and the line that tells them |
//! | [`report`], [`status_file`], `metrics`, `telling` | what the server tells of itself: the file of `vas-ingest status`, the lock beside it, metrics |
//! | `bench` | the path of a frame driven by hand; only with the feature of that name, for `bench/` |
//! | [`probe`] | what a camera offers, asked once |
//! | [`redact`] | text from outside without passwords |
//! | `av` | FFmpeg, and all of this crate's unsafe code |

mod address;
mod av;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod camera;
mod claims;
mod clock;
pub mod config;
mod convert;
mod decode;
mod export;
mod life;
pub mod memory;
mod metrics;
mod notify;
mod path;
pub mod probe;
pub mod redact;
mod reload;
pub mod report;
mod ring;
pub mod server;
mod session;
pub mod source;
mod status;
pub mod status_file;
mod stop;
mod telling;
mod vitals;
