//! retina as the source: RTSP cameras by a client written in Rust.
//!
//! It hands out a picture as soon as its last packet is there (FFmpeg's client waits for the next picture's first), and tells
//! for each what was lost before it. It is asynchronous and made for tokio, so a camera's thread has a runtime of its own, of
//! that one thread, and every call from here blocks in it; nothing else of this program is asynchronous.
//!
//! retina logs to the crate `log`, where nobody listens: at its finer levels it prints URLs and headers.

use super::lookup;
use super::{Arrival, PacketSource, SourceError};
use crate::address::{RtspClient, RtspSource, Transport};
use crate::av::decoder::{Decoder, Decoding};
use crate::av::interrupt::Interrupt;
use crate::av::packet::Packet;
use crate::av::{AvError, Rational};
use crate::clock::{self, CameraClock};
use crate::redact;
use futures::StreamExt as _;
use retina::client::{
    Credentials, Demuxed, InitialSequenceNumberPolicy, PlayOptions, Session, SessionGroup, SessionOptions,
    SetupOptions, TcpTransportOptions, UdpTransportOptions,
};
use retina::codec::{CodecItem, FrameFormat, ParameterSetInsertion, ParametersRef, VideoFrame, h26x};
use secrecy::ExposeSecret;
use std::cell::Cell;
use std::ffi::CStr;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often a call that blocks looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long closing may take for a word of farewell to the camera, as with FFmpeg's client.
const FAREWELL: Duration = Duration::from_millis(200);

/// retina keeps what it has read of a message, or of a picture, until that is complete, however much it is. A camera that has sent so
/// much since its last picture does not mean to complete one: the largest keyframes are a tenth of it.
const MOST_UNFINISHED_BYTES: u64 = 32 << 20;

/// So many packets in a row that cannot be taken apart, without a picture in between, are no accident any more. The rest of a large
/// keyframe behind a bad packet is a thousand.
const MOST_BAD_PACKETS: u32 = 5000;

/// What retina's words about one bad packet have that no other of its errors has: errors have no kinds that could be asked for.
/// The stream goes on behind such a packet, if it is not out of step for good.
const ONE_PACKET: &str = "\npkt: ";

/// How retina's words about a packet begin that belongs to another sequence of packets than the one before.
const OUT_OF_STEP: [&str; 2] = ["wrong ssrc after ", "Out-of-order packet or large loss"];

/// After so many of those without a picture in between, the camera has begun anew, and retina would wait for ever. A few may be
/// left over from a session before: some cameras send them.
const MOST_OUT_OF_STEP: u32 = 10;

/// How retina's words about the connection begin: nothing that another client would understand better.
const OF_THE_CONNECTION: [&str; 5] = [
    "Unable to connect to RTSP server",
    "Error reading from RTSP peer",
    "Error writing to RTSP peer",
    "Error receiving UDP packet",
    "Timeout",
];

/// What retina says when a camera leaves its keepalive without an answer, whatever else it sends.
const NO_KEEPALIVE: &str = "failed to respond to keepalive";

/// A camera that sent a picture this short a time ago is there.
const STILL_SENDING: Duration = Duration::from_secs(5);

/// The codecs that are left to retina, by their names in a session description. It can do JPEG too, but joins what is left of a
/// picture whose middle was lost, and says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    H264,
    H265,
}

impl Codec {
    fn named(encoding_name: &str) -> Option<Self> {
        match encoding_name {
            "h264" => Some(Self::H264),
            "h265" => Some(Self::H265),
            _ => None,
        }
    }

    /// FFmpeg's decoder for it.
    fn decoder(self) -> &'static CStr {
        match self {
            Self::H264 => c"h264",
            Self::H265 => c"hevc",
        }
    }

    /// Can decoding begin with this picture? As FFmpeg's parsers have it, so that both clients mean the same: in H.264 recovery
    /// points are keys too, since some cameras never send anything else (intra refresh).
    fn is_key(self, annex_b: &[u8]) -> bool {
        match self {
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

/// What this thread has read from connections and files since it began, as the kernel counts it: retina's connection is nobody
/// else's, so nothing nearer can be asked. Datagrams are not in it. None: the kernel does not say.
fn read_bytes_so_far() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

/// What a camera has sent without completing a picture, looked at where none comes for [`LOOK_EVERY`]: a camera whose pictures come
/// as they should is never asked about.
struct Unfinished {
    looked_at: Cell<Instant>,
    /// When the last picture came, or soon after it; None: not asked since.
    read_before: Cell<Option<u64>>,
}

impl Unfinished {
    fn new() -> Self {
        Self { looked_at: Cell::new(Instant::now()), read_before: Cell::new(read_bytes_so_far()) }
    }

    fn picture(&self) {
        self.looked_at.set(Instant::now());
        self.read_before.set(None);
    }

    fn is_too_much(&self) -> bool {
        if self.looked_at.get().elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked_at.set(Instant::now());
        let read = read_bytes_so_far();
        match self.read_before.get() {
            None => {
                self.read_before.set(read);
                false
            }
            Some(before) => read.is_some_and(|read| read.saturating_sub(before) > MOST_UNFINISHED_BYTES),
        }
    }
}

/// A runtime whose calls end as an interrupt says. Outlives what runs in it.
struct Caller {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    interrupt: Arc<Interrupt>,
    unfinished: Unfinished,
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
        let interrupt = Arc::clone(interrupt);
        Ok(Self { runtime: Some(runtime), interrupt, unfinished: Unfinished::new() })
    }

    /// Runs it to its end, or until the interrupt, or until more has come than can be meant: then it is dropped halfway.
    fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, SourceError> {
        let Some(runtime) = &self.runtime else { return Err(SourceError::Interrupted) };
        runtime.block_on(async {
            let mut future = pin!(future);
            loop {
                if self.interrupt.cause().is_some() {
                    return Err(SourceError::Interrupted);
                }
                if self.unfinished.is_too_much() {
                    return Err(SourceError::Unfinished { mib: MOST_UNFINISHED_BYTES >> 20 });
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
    bad_packets: BadPackets,
    /// A packet was bad: the next picture tells it as loss.
    lost_packets: u64,
    key_seen: bool,
    last_picture_at: Option<Instant>,
}

/// Packets that retina could not use, until there are too many of them.
#[derive(Debug, Default)]
struct BadPackets {
    /// Without a picture in between.
    in_a_row: u32,
    out_of_step: u32,
    /// What retina said of the last one, while no picture came since.
    last: Option<String>,
    /// There was one.
    any: bool,
}

impl BadPackets {
    /// A picture came: what was wrong before it did no lasting harm.
    fn picture(&mut self) {
        *self = Self { any: self.any, ..Self::default() };
    }

    /// retina's error about one packet. Some: the stream is out of step for good.
    fn packet(&mut self, error: &str) -> Option<SourceError> {
        let text = sentence(error);
        self.any = true;
        self.in_a_row += 1;
        self.out_of_step += u32::from(OUT_OF_STEP.iter().any(|words| text.starts_with(words)));
        if self.in_a_row > MOST_BAD_PACKETS || self.out_of_step >= MOST_OUT_OF_STEP {
            return Some(SourceError::NotUnderstood(text));
        }
        self.last = Some(text);
        None
    }

    /// retina's stream is over. Behind certain bad packets it ends without a further word: then that packet is why.
    fn end(&mut self) -> Result<(), SourceError> {
        self.last.take().map_or(Ok(()), |text| Err(SourceError::NotUnderstood(text)))
    }
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
                bad_packets: BadPackets::default(),
                lost_packets: 0,
                key_seen: false,
                last_picture_at: None,
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

    /// Puts a picture into the packet. Parameter sets go before each key, wherever they changed, and before everything until the
    /// first key, for a camera that never sends one: retina takes them out of the stream, and knows those of the session description
    /// too.
    fn fill(&mut self, packet: &mut Packet, frame: &VideoFrame) -> Result<Arrival, SourceError> {
        let key = self.codec.is_key(frame.data());
        let wants_parameters = key || frame.has_new_parameters() || !self.key_seen;
        self.key_seen |= key;
        let parameters = self.playing.as_ref().and_then(|playing| {
            match playing.streams().get(self.stream_index)?.parameters()? {
                ParametersRef::Video(parameters) if wants_parameters => Some(parameters.extra_data()),
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

    fn fresh_decoder(&self, decoding: Decoding) -> Option<Result<Decoder, AvError>> {
        Some(self.decoder(decoding))
    }

    fn nominal_period(&self) -> Option<Duration> {
        self.nominal_period
    }

    fn pts_ns(&self, pts: i64) -> Option<i64> {
        self.time_base().ticks_to_ns(pts)
    }

    fn had_bad_packets(&self) -> bool {
        self.bad_packets.any
    }

    fn next(&mut self, packet: &mut Packet) -> Result<Option<Arrival>, SourceError> {
        loop {
            let Some(playing) = &mut self.playing else { return Ok(None) };
            // A bad packet behind a picture that was not handed out yet makes retina panic. The panic hook tells it; here it ends
            // the session, and nothing is asked of retina afterwards but to close it.
            let caught = std::panic::catch_unwind(AssertUnwindSafe(|| self.caller.wait(playing.next())));
            let Ok(item) = caught else {
                let text = "a packet of the camera's made retina panic, which ends the connection";
                return Err(SourceError::NotUnderstood(text.to_owned()));
            };
            if let Err(SourceError::Unfinished { .. }) = item {
                // No picture came of it because retina could not take it apart: then that is what is wrong.
                self.bad_packets.end()?;
            }
            let error = match item? {
                None => return self.bad_packets.end().map(|()| None),
                Some(Ok(CodecItem::VideoFrame(frame))) => {
                    self.bad_packets.picture();
                    self.caller.unfinished.picture();
                    self.last_picture_at = Some(Instant::now());
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
            if !error.contains(ONE_PACKET) {
                let is_sending = self.last_picture_at.is_some_and(|at| at.elapsed() < STILL_SENDING);
                return Err(broken(&sentence(&error), is_sending));
            }
            self.lost_packets += 1;
            if let Some(error) = self.bad_packets.packet(&error) {
                return Err(error);
            }
            tracing::debug!("a packet of the camera's is wrong: {}", sentence(&error));
        }
    }
}

/// What an error that is not about one packet means, behind the answer to PLAY. `is_sending`: pictures were coming.
fn broken(text: &str, is_sending: bool) -> SourceError {
    if is_sending && text.contains(NO_KEEPALIVE) {
        SourceError::NotForRetina("the camera sends, and does not answer what keeps its session alive".into())
    } else if is_of_the_connection(text) {
        SourceError::Retina(text.to_owned())
    } else {
        SourceError::NotUnderstood(text.to_owned())
    }
}

fn is_of_the_connection(text: &str) -> bool {
    OF_THE_CONNECTION.iter().any(|words| text.starts_with(words))
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
    let credentials = rtsp.password().map(|password| Credentials {
        username: rtsp.username.clone().unwrap_or_default(),
        password: password.expose_secret().to_owned(),
    });
    let options = SessionOptions::default()
        .creds(credentials)
        .user_agent(concat!("vas-ingest/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_group(group);
    let mut session =
        Session::describe(rtsp.address.clone(), options).await.map_err(|error| explain(&error, false))?;
    // A password that DESCRIBE was given is right, and a later 401 is about something else, such as a nonce that is too old:
    // FFmpeg asks again then, once. Where FFmpeg must not be asked, retina would try and try: the camera's account comes first.
    let was_let_in = rtsp.password().is_some() && rtsp.client == RtspClient::Auto;

    let videos = || session.streams().iter().enumerate().filter(|(_, stream)| stream.media() == "video");
    let playable = videos().find_map(|(index, stream)| Some((index, Codec::named(stream.encoding_name())?)));
    let Some((stream_index, codec)) = playable else {
        return Err(match videos().next() {
            None => SourceError::Open(crate::av::input::OpenError::NoVideo),
            Some((_, stream)) => SourceError::NotForRetina(format!(
                "its video is {:?}; h264 and h265 are left to retina",
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
        _ => explain(&error, was_let_in),
    })?;
    // Cameras name a first sequence number that is not that of their first packet.
    let options = PlayOptions::default().initial_seq(InitialSequenceNumberPolicy::Ignore);
    let session = session.play(options).await.map_err(|error| explain(&error, was_let_in))?;
    let playing = session.demuxed().map_err(|error| explain(&error, was_let_in))?;
    Ok(Played { playing, stream_index, codec, clock_rate, nominal_period })
}

/// What an error before the first packet means. `was_let_in`: the camera has taken the password before.
fn explain(error: &retina::Error, was_let_in: bool) -> SourceError {
    meaning(error.status_code(), &sentence(&error.to_string()), was_let_in)
}

fn meaning(status: Option<u16>, text: &str, was_let_in: bool) -> SourceError {
    match status {
        Some(401) if was_let_in => SourceError::NotForRetina(
            "the camera answered 401 Unauthorized to a password that it had taken before".into(),
        ),
        Some(401) if text.contains(UNKNOWN_CHALLENGE) => SourceError::NotForRetina(
            "the camera asks for a password in a way that retina does not understand".into(),
        ),
        Some(401) if text.contains(NO_CHALLENGE) => SourceError::Refused(
            "the camera answered 401 Unauthorized, and not how it wants to be told the password".into(),
        ),
        Some(401) => SourceError::Refused("the camera answered 401 Unauthorized".into()),
        Some(403) => SourceError::Refused("the camera answered 403 Forbidden".into()),
        Some(status @ (301 | 302 | 303 | 305 | 307 | 308)) => SourceError::NotForRetina(format!(
            "the camera redirects to another address ({status}), which retina does not follow"
        )),
        // It is not there, or is busy: with another client too.
        Some(404 | 453 | 500..) => SourceError::Retina(text.to_owned()),
        // An answer that retina makes nothing of, and one to a request that the camera makes nothing of.
        Some(_) => SourceError::NotUnderstood(text.to_owned()),
        None => match text.split_once(lookup::UNRESOLVED) {
            Some((_, why)) => SourceError::Unresolved(why.to_owned()),
            None if is_of_the_connection(text) => SourceError::Retina(text.to_owned()),
            None => SourceError::NotUnderstood(text.to_owned()),
        },
    }
}

/// retina's words about a WWW-Authenticate that it cannot read, and about one that is missing.
const UNKNOWN_CHALLENGE: &str = "Can't understand WWW-Authenticate";
const NO_CHALLENGE: &str = "without WWW-Authenticate";

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
    fn jpeg_is_not_left_to_retina() {
        assert_eq!(Codec::named("jpeg"), None);
        assert_eq!((Codec::named("h264"), Codec::named("h265")), (Some(Codec::H264), Some(Codec::H265)));
    }

    fn wrong_ssrc(n: u32) -> String {
        format!("wrong ssrc after {n} RTP pkts; expecting ssrc=1\n\nconn: c\nstream: s\npkt: p")
    }

    #[test]
    fn packets_of_another_sequence_end_the_session_unless_pictures_come_between_them() {
        let mut bad = BadPackets::default();
        assert!(!bad.any);
        for n in 1..MOST_OUT_OF_STEP {
            assert!(bad.packet(&wrong_ssrc(n)).is_none(), "{n}");
        }
        bad.picture();
        assert!(bad.any, "a picture does not make that forgotten");
        for n in 1..MOST_OUT_OF_STEP {
            assert!(bad.packet(&wrong_ssrc(n)).is_none(), "{n} after a picture");
        }
        let error = bad.packet("Out-of-order packet or large loss; expecting seq=1\n\npkt: p");
        let Some(SourceError::NotUnderstood(text)) = error else { panic!("{error:?}") };
        assert_eq!(text, "Out-of-order packet or large loss; expecting seq=1");
    }

    #[test]
    fn packets_that_are_merely_wrong_are_borne_longer() {
        let mut bad = BadPackets::default();
        let borne = (0..).take_while(|_| bad.packet("Empty NAL\n\npkt: p").is_none()).count();
        assert_eq!(borne, MOST_BAD_PACKETS as usize);
    }

    #[test]
    fn an_end_right_behind_a_bad_packet_is_told_as_that_packet() {
        let mut bad = BadPackets::default();
        assert!(bad.end().is_ok(), "the camera ended it");
        assert!(bad.packet("timestamp changed from 1 to 2\n\npkt: p").is_none());
        let error = bad.end();
        assert!(
            matches!(&error, Err(SourceError::NotUnderstood(text)) if text == "timestamp changed from 1 to 2"),
            "{error:?}"
        );
        assert!(bad.packet("Empty NAL\n\npkt: p").is_none());
        bad.picture();
        assert!(bad.end().is_ok(), "a picture came behind it");
    }

    #[test]
    fn an_answer_that_retina_does_not_understand_is_told_from_a_camera_that_is_not_there() {
        let not_understood =
            |status, text| matches!(meaning(status, text, false), SourceError::NotUnderstood(_));
        assert!(not_understood(None, "RTSP framing error: x"));
        assert!(not_understood(Some(200), "200 OK response to SETUP CSeq=3: Transport header is missing"));
        assert!(not_understood(Some(400), "400 Bad Request response to PLAY CSeq=4: x"));
        for text in OF_THE_CONNECTION {
            assert!(!not_understood(None, text), "{text}");
            assert!(matches!(broken(text, true), SourceError::Retina(_)), "{text}");
        }
        for status in [404, 453, 500, 503] {
            assert!(!not_understood(Some(status), "x"), "{status}");
        }
        let unresolved = meaning(
            None,
            "Unable to connect to RTSP server: failed to lookup address information: why",
            false,
        );
        assert!(matches!(&unresolved, SourceError::Unresolved(why) if why == "why"), "{unresolved:?}");
    }

    #[test]
    fn an_unanswered_keepalive_of_a_camera_that_sends_is_for_the_other_client() {
        let text = "Error reading from RTSP peer: Server failed to respond to keepalive 7 within 30s";
        assert!(matches!(broken(text, true), SourceError::NotForRetina(_)));
        assert!(matches!(broken(text, false), SourceError::Retina(_)), "it is silent altogether");
        assert!(matches!(broken("RTSP framing error: x", true), SourceError::NotUnderstood(_)));
    }

    #[test]
    fn an_unauthorized_is_a_refusal_where_the_password_was_never_taken() {
        let refused = |text: &str| match meaning(Some(401), text, false) {
            SourceError::Refused(why) => why,
            other => panic!("{other:?}"),
        };
        let again =
            "401 Unauthorized response to SETUP CSeq=4: Received Unauthorized after trying digest auth";
        assert_eq!(refused(again), "the camera answered 401 Unauthorized");
        assert!(matches!(meaning(Some(401), again, true), SourceError::NotForRetina(_)));
        let unsaid =
            "401 Unauthorized response to DESCRIBE CSeq=1: Unauthorized without WWW-Authenticate header";
        assert!(refused(unsaid).ends_with("and not how it wants to be told the password"));
        let unknown =
            "401 Unauthorized response to DESCRIBE CSeq=1: Can't understand WWW-Authenticate header: x";
        assert!(matches!(meaning(Some(401), unknown, false), SourceError::NotForRetina(_)));
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
