//! retina as the source: RTSP cameras by a client written in Rust.
//!
//! It hands out a picture as soon as its last packet is there (FFmpeg's client waits for the next picture's first), and tells
//! for each what was lost before it. It is asynchronous and made for tokio, so a camera's thread has a runtime of its own, of
//! that one thread, and every call from here blocks in it; nothing else of this program is asynchronous.
//!
//! retina logs to the crate `log`, where nobody listens: at its finer levels it prints URLs and headers.

use super::{Arrival, PacketSource, SourceError};
use crate::address::{RtspSource, Transport};
use crate::av::decoder::{Decoder, Decoding};
use crate::av::interrupt::Interrupt;
use crate::av::packet::Packet;
use crate::av::{AvError, Rational};
use crate::clock::{self, CameraClock};
use crate::redact;
use futures::StreamExt as _;
use retina::client::{
    Credentials, Demuxed, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions,
    TcpTransportOptions, UdpTransportOptions,
};
use retina::codec::{CodecItem, FrameFormat, ParameterSetInsertion, ParametersRef, VideoFrame, h26x};
use secrecy::ExposeSecret;
use std::ffi::CStr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a call that blocks looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long closing may take for a word of farewell to the camera, as with FFmpeg's client.
const FAREWELL: Duration = Duration::from_millis(200);

/// So many packets in a row that cannot be taken apart, without a picture in between, are no accident any more. The rest of a large
/// keyframe behind a bad packet is a thousand.
const MOST_BAD_PACKETS: u32 = 5000;

/// What retina's words about one bad packet have that no other of its errors has: errors have no kinds that could be asked for.
/// The stream goes on behind such a packet, if it is not out of step for good.
const ONE_PACKET: &str = "\npkt: ";

/// The codecs that retina takes apart, by their names in a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    H264,
    H265,
    Jpeg,
}

impl Codec {
    fn named(encoding_name: &str) -> Option<Self> {
        match encoding_name {
            "h264" => Some(Self::H264),
            "h265" => Some(Self::H265),
            "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }

    /// FFmpeg's decoder for it.
    fn decoder(self) -> &'static CStr {
        match self {
            Self::H264 => c"h264",
            Self::H265 => c"hevc",
            Self::Jpeg => c"mjpeg",
        }
    }

    /// Can decoding begin with this picture? As FFmpeg's parsers have it, so that both clients mean the same: in H.264 recovery
    /// points are keys too, since some cameras never send anything else (intra refresh).
    fn is_key(self, annex_b: &[u8]) -> bool {
        match self {
            Self::Jpeg => true,
            Self::H264 => nal_units(annex_b)
                .find_map(|nal| match nal.first()? & 0x1F {
                    1..=4 => Some(false),
                    5 => Some(true),
                    6 if is_recovery_point(&nal[1..]) => Some(true),
                    _ => None,
                })
                .unwrap_or(false),
            // Intra random access points (ITU-T H.265 7.4.2.2): BLA, IDR, CRA; below 16 are other slices.
            Self::H265 => nal_units(annex_b)
                .find_map(|nal| match nal.first()? >> 1 & 0x3F {
                    0..=15 => Some(false),
                    16..=21 => Some(true),
                    _ => None,
                })
                .unwrap_or(false),
        }
    }
}

/// The NAL units of a picture with start codes of four bytes, which are retina's own. Within a unit there is none.
fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START_CODE: [u8; 4] = [0, 0, 0, 1];
    let mut rest = annex_b.strip_prefix(&START_CODE).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.windows(START_CODE.len()).position(|bytes| bytes == START_CODE);
        let (unit, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.get(START_CODE.len()..).unwrap_or_default();
        Some(unit)
    })
}

/// Is the first message of this SEI a recovery point, or one behind it (ITU-T H.264 7.3.2.3.1)? Its payload is short, and the
/// emulation prevention bytes of others only move what cannot be found then.
fn is_recovery_point(sei: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    let mut rest = sei;
    // The last byte is the trailing bits.
    while rest.len() > 1 {
        let mut number = || {
            let mut sum = 0;
            loop {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                sum += usize::from(byte);
                if byte != 0xFF {
                    return Some(sum);
                }
            }
        };
        let (Some(kind), Some(len_bytes)) = (number(), number()) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        rest = rest.get(len_bytes..).unwrap_or_default();
    }
    false
}

/// A runtime whose calls end as an interrupt says. Outlives what runs in it.
struct Caller {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    interrupt: Arc<Interrupt>,
}

impl Caller {
    fn new(interrupt: &Arc<Interrupt>) -> Result<Self, SourceError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // One thread may come beside the camera's own, for as long as a host name is resolved.
            .max_blocking_threads(1)
            .thread_name("vas-resolve")
            .thread_keep_alive(Duration::from_millis(1))
            .build()
            .map_err(|error| SourceError::Retina(format!("start a runtime: {error}")))?;
        Ok(Self { runtime: Some(runtime), interrupt: Arc::clone(interrupt) })
    }

    /// Runs it to its end, or until the interrupt: then it is dropped halfway.
    fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, SourceError> {
        let Some(runtime) = &self.runtime else { return Err(SourceError::Interrupted) };
        runtime.block_on(async {
            let mut future = pin!(future);
            loop {
                if self.interrupt.cause().is_some() {
                    return Err(SourceError::Interrupted);
                }
                if let Ok(done) = tokio::time::timeout(LOOK_EVERY, future.as_mut()).await {
                    return Ok(done);
                }
            }
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Without waiting for a host name that nobody resolves.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sessions of one source: those that were dropped are told to the camera by a task of the runtime.
struct Farewell<'a> {
    caller: &'a Caller,
    group: &'a SessionGroup,
}

impl Farewell<'_> {
    /// Drops what may be a session, and waits a moment for its TEARDOWN to be answered, stop or not.
    fn say<T>(self, session: T) {
        let Some(runtime) = &self.caller.runtime else { return };
        runtime.block_on(async {
            drop(session);
            // However that ends: the camera had its word, or does not listen.
            let _ = tokio::time::timeout(FAREWELL, self.group.await_teardown()).await;
        });
    }
}

/// Pictures of a camera by retina.
pub(crate) struct RetinaSource {
    caller: Caller,
    group: Arc<SessionGroup>,
    /// None only while it is dropped.
    playing: Option<Demuxed>,
    stream_index: usize,
    codec: Codec,
    clock_rate: NonZeroU32,
    nominal_period: Option<Duration>,
    camera_clock: CameraClock,
    bad_packets: u32,
    /// A packet was bad: the next picture tells it as loss.
    lost_packets: u64,
}

/// What a camera plays, once it does.
struct Played {
    playing: Demuxed,
    stream_index: usize,
    codec: Codec,
    clock_rate: NonZeroU32,
    nominal_period: Option<Duration>,
}

impl RetinaSource {
    pub(super) fn open(
        rtsp: &RtspSource,
        transport: Transport,
        interrupt: &Arc<Interrupt>,
    ) -> Result<Self, SourceError> {
        let caller = Caller::new(interrupt)?;
        let group = Arc::new(SessionGroup::default());
        let opened = caller.wait(play(rtsp, transport, Arc::clone(&group))).and_then(|played| played);
        match opened {
            Ok(Played { playing, stream_index, codec, clock_rate, nominal_period }) => Ok(Self {
                caller,
                group,
                playing: Some(playing),
                stream_index,
                codec,
                clock_rate,
                nominal_period,
                camera_clock: CameraClock::default(),
                bad_packets: 0,
                lost_packets: 0,
            }),
            Err(error) => {
                // A session may have begun: dropped already, and its TEARDOWN under way.
                Farewell { caller: &caller, group: &group }.say(());
                Err(error)
            }
        }
    }

    fn time_base(&self) -> Rational {
        Rational { numerator: 1, denominator: i32::try_from(self.clock_rate.get()).unwrap_or(i32::MAX) }
    }

    /// Puts a picture into the packet. Parameter sets go before each key and wherever they changed: retina takes them out of the
    /// stream, and knows those of the session description too.
    fn fill(&mut self, packet: &mut Packet, frame: &VideoFrame) -> Result<Arrival, SourceError> {
        let key = self.codec.is_key(frame.data());
        let parameters = self.playing.as_ref().and_then(|playing| {
            match playing.streams().get(self.stream_index)?.parameters()? {
                ParametersRef::Video(parameters) if key || frame.has_new_parameters() => {
                    Some(parameters.extra_data())
                }
                _ => None,
            }
        });
        let pts = frame.timestamp().timestamp();
        packet.fill(&[parameters.unwrap_or_default(), frame.data()], key, pts)?;
        Ok(Arrival {
            received_ns: clock::monotonic_ns_of(frame.end_ctx().received()),
            camera_ns: self.pts_ns(pts).and_then(|pts_ns| self.camera_clock.frame(pts_ns)),
            lost_packets: u64::from(frame.loss()) + std::mem::take(&mut self.lost_packets),
        })
    }

    fn take_report(&mut self, packet: &retina::rtcp::ReceivedCompoundPacket) {
        let report = packet.pkts().next().and_then(|first| first.as_sender_report().ok().flatten());
        let at = packet.rtp_timestamp().and_then(|timestamp| self.pts_ns(timestamp.timestamp()));
        if let (Some(report), Some(pts_ns)) = (report, at) {
            self.camera_clock.report(pts_ns, report.ntp_timestamp().0);
        }
    }
}

impl PacketSource for RetinaSource {
    fn decoder(&self, decoding: Decoding) -> Result<Decoder, AvError> {
        Decoder::by_name(self.codec.decoder(), self.time_base(), decoding)
    }

    fn nominal_period(&self) -> Option<Duration> {
        self.nominal_period
    }

    fn pts_ns(&self, pts: i64) -> Option<i64> {
        self.time_base().ticks_to_ns(pts)
    }

    fn next(&mut self, packet: &mut Packet) -> Result<Option<Arrival>, SourceError> {
        loop {
            let Some(playing) = &mut self.playing else { return Ok(None) };
            let item = self.caller.wait(playing.next())?;
            let error = match item {
                None => return Ok(None),
                Some(Ok(CodecItem::VideoFrame(frame))) => {
                    self.bad_packets = 0;
                    return self.fill(packet, &frame).map(Some);
                }
                Some(Ok(CodecItem::Rtcp(report))) => {
                    self.take_report(&report);
                    continue;
                }
                // Nothing else was set up.
                Some(Ok(_)) => continue,
                Some(Err(error)) => error.to_string(),
            };
            self.bad_packets += 1;
            self.lost_packets += 1;
            if !error.contains(ONE_PACKET) || self.bad_packets > MOST_BAD_PACKETS {
                return Err(SourceError::Retina(sentence(&error)));
            }
            tracing::debug!("a packet of the camera's is wrong: {}", sentence(&error));
        }
    }
}

impl Drop for RetinaSource {
    fn drop(&mut self) {
        let playing = self.playing.take();
        Farewell { caller: &self.caller, group: &self.group }.say(playing);
    }
}

/// From the connection to the answer to PLAY.
async fn play(
    rtsp: &RtspSource,
    transport: Transport,
    group: Arc<SessionGroup>,
) -> Result<Played, SourceError> {
    let credentials = rtsp.password.as_ref().map(|password| Credentials {
        username: rtsp.username.clone().unwrap_or_default(),
        password: password.expose_secret().to_owned(),
    });
    let options = SessionOptions::default()
        .creds(credentials)
        .user_agent(concat!("vas-ingest/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_group(group);
    let mut session =
        Session::describe(rtsp.address.clone(), options).await.map_err(|error| explain(&error))?;

    let videos = || session.streams().iter().enumerate().filter(|(_, stream)| stream.media() == "video");
    let playable = videos().find_map(|(index, stream)| Some((index, Codec::named(stream.encoding_name())?)));
    let Some((stream_index, codec)) = playable else {
        return Err(match videos().next() {
            None => SourceError::Open(crate::av::input::OpenError::NoVideo),
            Some((_, stream)) => SourceError::NotForRetina(format!(
                "its video is {:?}; retina takes h264, h265 and jpeg",
                redact::text(stream.encoding_name())
            )),
        });
    };
    let stream = &session.streams()[stream_index];
    // retina keeps to the connection that it has, whatever address the camera names; what it asks for there is the camera's
    // business. That the camera means another host is told all the same.
    if let Some(host) =
        stream.control().and_then(|control| super::redirected_host(&rtsp.address, control.as_str()))
    {
        return Err(SourceError::Redirected { host });
    }
    let clock_rate =
        NonZeroU32::new(stream.clock_rate_hz()).unwrap_or(const { NonZeroU32::new(90_000).unwrap() });
    let nominal_period = stream.framerate().and_then(|fps| {
        let thousandths = (f64::from(fps) * 1000.0).round();
        clock::plausible_period(Rational { numerator: thousandths as i32, denominator: 1000 })
    });

    let wanted = match transport {
        Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
        Transport::Tcp | Transport::Auto => retina::client::Transport::Tcp(TcpTransportOptions::default()),
    };
    let format = FrameFormat {
        h26x_framing: h26x::Framing::AnnexB,
        // `RetinaSource::fill` puts them in, also where retina sees no random access point.
        parameter_set_insertion: ParameterSetInsertion::Never,
        ..FrameFormat::SIMPLE
    };
    let options = SetupOptions::default().transport(wanted).frame_format(format);
    session.setup(stream_index, options).await.map_err(|error| match error.status_code() {
        Some(461) => SourceError::TransportRefused(transport.name()),
        _ => explain(&error),
    })?;
    let session = session.play(PlayOptions::default()).await.map_err(|error| explain(&error))?;
    let playing = session.demuxed().map_err(|error| explain(&error))?;
    Ok(Played { playing, stream_index, codec, clock_rate, nominal_period })
}

/// What an error before the first packet means.
fn explain(error: &retina::Error) -> SourceError {
    let text = sentence(&error.to_string());
    match error.status_code() {
        Some(401) => return SourceError::Refused("the camera answered 401 Unauthorized".into()),
        Some(403) => return SourceError::Refused("the camera answered 403 Forbidden".into()),
        Some(status @ (301 | 302 | 303 | 305 | 307 | 308)) => {
            return SourceError::NotForRetina(format!(
                "the camera redirects to another address ({status}), which retina does not follow"
            ));
        }
        _ => {}
    }
    match text.split_once(UNRESOLVED) {
        Some((_, why)) => SourceError::Unresolved(why.to_owned()),
        None => SourceError::Retina(text),
    }
}

/// How the standard library begins when the system has no address for a name.
const UNRESOLVED: &str = "failed to lookup address information: ";

/// retina's first line: behind it come addresses and byte positions, and dumps of what the camera sent.
fn sentence(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    redact::text(first.split("; buffered:").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    #[test]
    fn units_are_found_between_their_start_codes() {
        let stream = annex_b(&[&[9, 1], &[6], &[0x65, 0, 0, 3, 1, 7]]);
        assert_eq!(nal_units(&stream).collect::<Vec<_>>(), [&[9, 1][..], &[6], &[0x65, 0, 0, 3, 1, 7]]);
        assert_eq!(nal_units(&[]).count(), 0);
        assert_eq!(nal_units(b"no start code").count(), 0);
    }

    #[test]
    fn keys_of_h264_are_idr_pictures_and_recovery_points() {
        let is_key = |units: &[&[u8]]| Codec::H264.is_key(&annex_b(units));
        assert!(is_key(&[&[9, 0xF0], &[0x65, 1]]));
        assert!(!is_key(&[&[9, 0xF0], &[0x41, 1]]));
        // A user data message of 300 bytes, then a recovery point.
        let mut sei = vec![6, 5, 0xFF, 45];
        sei.extend([7; 300]);
        sei.extend([6, 1, 0xC4, 0x80]);
        assert!(is_key(&[&sei, &[0x41, 1]]));
        assert!(!is_key(&[&sei[..sei.len() - 4], &[0x41, 1]]));
        assert!(!is_key(&[&[6, 1, 1, 5, 0x80], &[0x41, 1]]), "a picture timing");
        assert!(!is_key(&[&[6, 0xFF]]), "cut off");
        assert!(!is_key(&[&[7, 1], &[8, 1]]), "parameter sets alone are no picture");
        assert!(!is_key(&[]));
    }

    #[test]
    fn keys_of_h265_are_its_random_access_points() {
        let is_key = |kind: u8| Codec::H265.is_key(&annex_b(&[&[35 << 1, 1], &[kind << 1, 1]]));
        assert!((16..=21).all(is_key));
        assert!(!(0..=15).any(is_key));
        assert!(!is_key(39));
    }

    #[test]
    fn what_is_told_of_an_error_is_its_first_line_without_passwords() {
        let told =
            sentence("404 response to DESCRIBE CSeq=1: at rtsp://u:geheim@h/\n\nconn: 127.0.0.1:1(me)");
        assert_eq!(told, "404 response to DESCRIBE CSeq=1: at rtsp://***@h/");
        assert_eq!(
            sentence("corrupt RTP header: x\nLength: 2 (0x2) bytes\n00 11\n\nconn: y"),
            "corrupt RTP header: x"
        );
        assert_eq!(sentence("Invalid RTSP message: x; buffered:\n00 11"), "Invalid RTSP message: x");
    }
}
