//! An RTSP camera for tests and demos: it plays H.264 and H.265 clips (Annex-B files) and MJPEG clips round and round as a live
//! stream, and misbehaves on demand. MJPEG it sends by HTTP too, on the same port and path, to whoever asks by GET.
//!
//! It listens on 127.0.0.1 only, speaks RTP over the RTSP connection (TCP, interleaved) and over UDP, and asks for a
//! password when told to (Basic, Digest). A clip is parsed once at the start; what a client gets depends only on the
//! clip, on [`Options`] and on the commands given, so two runs send the same pictures and lose the same packets.
//!
//! Several clips may be given: `clip N` switches between them in mid-stream, as a camera does whose resolution is
//! changed in its web page.
//!
//! ```no_run
//! use vas_test_camera::{Clip, Options, TestCamera};
//!
//! let clip = Clip::load("street.h264".as_ref())?;
//! let camera = TestCamera::start(vec![clip], Options::default())?;
//! println!("{}", camera.url());
//! camera.command("loss 5")?; // five RTP packets in a thousand are not sent
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it is not: a server for a network (no RTSPS, no multicast, no audio, no session timeout), or a reference for
//! how strict a camera is (it accepts what real clients send).

mod annexb;
mod auth;
mod bits;
mod clip;
mod clock;
mod control;
mod jpeg;
mod order;
mod rtp;
mod rtsp;
mod sdp;
mod server;
mod session;
mod stats;
mod stream;

pub use annexb::Codec;
pub use auth::{Auth, AuthScheme, CredentialsError};
pub use clip::{Clip, ClipError};
pub use control::{COMMANDS, CommandError};
pub use sdp::ParameterSets;
pub use server::{Join, Options, PaceFrom, StartError, TestCamera};
pub use stats::Stats;
