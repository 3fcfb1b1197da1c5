//! How a camera's video is opened, and the packets that come out of it: one trait, whoever talks to the camera.
//!
//! | module | what it plays |
//! |---|---|
//! | `ffmpeg` | files, MJPEG over HTTP, and RTSP cameras by FFmpeg's own client |
//! | `retina` | RTSP cameras by retina: whole pictures at once, loss told for each |
//! | `choice` | which of them, and which transport, is tried next |
//! | `lookup` | a host's address, asked for by one thread a camera |

pub(crate) mod choice;
mod ffmpeg;
mod lookup;
mod retina;

use crate::av::AvError;
use crate::av::decoder::{Decoder, Decoding};
use crate::av::input::OpenError;
use crate::av::interrupt::Interrupt;
use crate::av::packet::Packet;
use choice::{Hint, Way};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

pub use crate::address::{FileSource, RtspClient, RtspSource, Source, Transport};

/// The decoders that a camera may choose by its description. FFmpeg has hundreds more, old and little tested ones among them.
const RTSP_CODECS: &str = "h264,hevc,mjpeg,mpeg4";

/// Packets of one video, in the order in which they were sent. Each holds one picture (or one field of it), whole unless
/// something of it was lost.
///
/// Every call ends as the [`Interrupt`] says with which it was opened, and dropping it takes leave of the camera, in bounded time.
pub(crate) trait PacketSource {
    /// The decoder for these packets.
    fn decoder(&self, decoding: Decoding) -> Result<Decoder, AvError>;

    /// A decoder that knows nothing of these packets yet, if everything that it needs to know stands in them, with start codes.
    fn fresh_decoder(&self, decoding: Decoding) -> Option<Result<Decoder, AvError>>;

    /// The time between frames that the stream itself names, if it can be true.
    fn nominal_period(&self) -> Option<Duration>;

    /// The unit of the packets' pts, in nanoseconds; None beyond 64 bits.
    fn pts_ns(&self, pts: i64) -> Option<i64>;

    /// The next packet, whatever `packet` held before. None: the end.
    fn next(&mut self, packet: &mut Packet) -> Result<Option<Arrival>, SourceError>;

    /// Was there a packet that could not be used, as far as the client tells?
    fn had_bad_packets(&self) -> bool {
        false
    }
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// CLOCK_MONOTONIC when the last of it was there. FFmpeg's RTSP client does not tell; then it is when the packet was handed
    /// out, a picture later.
    pub(crate) received_ns: u64,
    /// The camera's own clock when it took the picture, in nanoseconds since 1970, if it sends RTCP sender reports. Cameras' clocks
    /// may be years off, and jump.
    pub(crate) camera_ns: Option<i64>,
    /// RTP packets that were lost since the packet before, some of this one's among them perhaps.
    pub(crate) lost_packets: u64,
}

/// Why a source was not opened, or gives no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// FFmpeg did not open it, or what it opened is of no use.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The camera sent us to another host.
    #[error(
        "the camera redirects to {host}, another host than the one in the configuration; if that is intended, put its \
         address into url; user name and password may have reached it already"
    )]
    Redirected {
        /// The other host.
        host: String,
    },
    /// The camera asked for credentials, or did not accept those it got.
    #[error("{0}")]
    Refused(String),
    /// An HTTP camera sent us elsewhere. FFmpeg says no more than that it failed.
    #[error(
        "its answer redirects to another address, or broke off; no redirection is followed: put the address that it leads to \
         into url"
    )]
    NotFollowed,
    /// The host has no address.
    #[error("{0}")]
    Unresolved(String),
    /// The camera has video, and retina cannot take it apart.
    #[error("{0}; rtsp_client = \"ffmpeg\" may play it")]
    NotForRetina(String),
    /// retina's words about something that the camera says or sends: another client may make more of it.
    #[error("{0}")]
    NotUnderstood(String),
    /// What came was not a picture and became none.
    #[error(
        "the camera has sent {mib} MiB since its last picture, and no other is complete yet: they are not kept any longer"
    )]
    Unfinished {
        /// So much.
        mib: u64,
    },
    /// FFmpeg drops all that comes, for its old numbers.
    #[error("the camera began a new sequence of packets in mid-stream")]
    OutOfStep,
    /// 461: the camera does not have this transport.
    #[error("the camera refuses to send over {0} (461 Unsupported Transport); try another transport")]
    TransportRefused(&'static str),
    /// rtsps, and nobody would look at the certificate.
    #[error(
        "this FFmpeg ({0}) cannot check the certificate of an rtsps camera; tls_verify = false plays it unchecked: whoever \
         answers in its place then gets user name and password"
    )]
    CannotVerify(String),
    /// retina's words about the connection, or the camera's about itself, made fit for a log.
    #[error("{0}")]
    Retina(String),
    /// The interrupt ended the call: ask it why.
    #[error("interrupted")]
    Interrupted,
}

impl SourceError {
    /// What it says of other ways to the camera.
    pub(crate) fn hint(&self) -> Option<Hint> {
        match self {
            Self::TransportRefused(_) => Some(Hint::TransportRefused),
            Self::NotForRetina(_) | Self::NotUnderstood(_) => Some(Hint::NotForRetina),
            _ => None,
        }
    }

    /// Would it come again, also where frames came before it?
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::NotForRetina(_))
    }
}

impl From<AvError> for SourceError {
    fn from(error: AvError) -> Self {
        Self::Open(error.into())
    }
}

/// The host of `opened`, if it is another one than that of `configured`.
fn redirected_host(configured: &Url, opened: &str) -> Option<String> {
    let opened = Url::parse(opened).ok();
    let host = opened.as_ref().and_then(Url::host_str).unwrap_or("an address without a host");
    let is_same = configured.host_str().is_some_and(|ours| ours.eq_ignore_ascii_case(host));
    (!is_same).then(|| crate::redact::text(host))
}

impl RtspSource {
    /// Opens it that way. A socket may be silent for `silence`; apart from that, blocking calls end as `interrupt` says. The host's
    /// name is asked for before either client does it, neither of which can be interrupted there.
    pub(crate) fn open(
        &self,
        way: Way,
        silence: Duration,
        interrupt: &Arc<Interrupt>,
    ) -> Result<Box<dyn PacketSource>, SourceError> {
        lookup::resolve(&self.address, interrupt)?;
        match way.client {
            RtspClient::Retina => Ok(Box::new(retina::RetinaSource::open(self, way.transport, interrupt)?)),
            RtspClient::Ffmpeg | RtspClient::Auto => {
                Ok(Box::new(ffmpeg::open_camera(self, way.transport, silence, interrupt)?))
            }
        }
    }
}

impl FileSource {
    /// Opens it at its beginning. It is probed each time: some formats tell of their streams only while packets are read.
    pub(crate) fn open(&self, interrupt: &Arc<Interrupt>) -> Result<Box<dyn PacketSource>, OpenError> {
        Ok(Box::new(ffmpeg::open_file(self, interrupt)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_is_one_if_the_host_changes() {
        let ours = Url::parse("rtsp://cam.lan:554/s").unwrap();
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@CAM.lan/other?x=1"), None);
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@cam.lan:8554/s"), None);
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@evil.lan/s").as_deref(), Some("evil.lan"));
        assert_eq!(redirected_host(&ours, "rtsp://cam.lan@evil.lan/s").as_deref(), Some("evil.lan"));
        assert_eq!(redirected_host(&ours, "no address").as_deref(), Some("an address without a host"));
    }
}
