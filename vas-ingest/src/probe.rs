//! What a camera offers, asked by being its client for a moment: `vas-ingest probe`.
//!
//! It goes the same way as a camera of the server: the source is opened, packets are decoded, and nothing is exported. So what works
//! here works there, and what it costs here it costs there.

use crate::address::{Source, Transport};
use crate::av::frame::{Frame, pixel_format_name};
use crate::av::input::OpenError;
use crate::av::interrupt::{Cause, Interrupt};
use crate::av::log::with_errors_held;
use crate::config::CameraConfig;
use crate::convert;
use crate::decode::{Next, Stream};
use crate::memory;
use crate::redact;
use crate::ring::Ring;
use crate::session::is_undecodable;
use crate::source::choice::{self, Choice, Hint};
use crate::source::{PacketSource, SourceError};
use crate::status::Counters;
use crate::stop::Stop;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use vas_shm_proto::ColorRange;

/// What is measured once pictures come: this long, unless there are two keyframes and this many pictures before.
const LOOK: Duration = Duration::from_secs(5);
const PICTURES: usize = 50;

/// Name resolution cannot be interrupted. An attempt that has not ended this long after its time is left behind.
const STUCK: Duration = Duration::from_secs(2);

/// What was found out.
#[derive(Debug, Serialize)]
pub struct Probe {
    /// The address or the file, without credentials.
    pub place: String,
    /// Each way that was tried. A file has one, without a transport.
    pub ways: Vec<Way>,
    /// The video, as the first way that works brought it.
    pub video: Option<Video>,
}

/// One way to the video.
#[derive(Debug, Serialize)]
pub struct Way {
    /// How RTP comes: `tcp`, `udp` or `auto`.
    pub transport: Option<&'static str>,
    /// From the first word to the camera until its first decoded picture.
    pub first_frame_ms: Option<u64>,
    /// Why it does not work.
    pub trouble: Option<String>,
}

/// What the video is.
#[derive(Debug, Serialize)]
pub struct Video {
    /// The codec's short name.
    pub codec: String,
    /// In pixels.
    pub width: u32,
    /// In rows.
    pub height: u32,
    /// FFmpeg's name for how pixels are stored.
    pub pixel_format: String,
    /// `limited`, `full`, or `unknown`: the stream does not say.
    pub range: &'static str,
    /// H.273 MatrixCoefficients; 2 is unspecified.
    pub matrix: u8,
    /// Pictures that were looked at.
    pub frames: usize,
    /// Those of them that were damaged.
    pub damaged: usize,
    /// Pictures a second: by their timestamps, or where these make no sense by when they came.
    pub fps: Option<f64>,
    /// Pictures from one keyframe to the next; None: there was none to see but the first.
    pub keyframe_interval_frames: Option<usize>,
    /// Bits a second, of the video alone.
    pub bits_per_s: Option<u64>,
    /// Packets that a picture comes later than its own, because of B-frames.
    pub delay_packets: u32,
    /// Pictures that the ring of such a camera holds.
    pub ring_frames: usize,
    /// What they take: that many times the memory of one of these pictures.
    pub ring_bytes: u64,
    /// What decoder, client and thread take beside them. Measured: by so much this process has grown, with a ring as a server has
    /// it, less the pictures in that; None: the kernel does not say.
    pub decoder_bytes: Option<u64>,
    /// Shared memory that an export takes, with the default number of slots.
    pub shared_memory_bytes: Option<u64>,
    /// All of it, as a memory limit of the server counts it.
    pub memory_bytes: Option<u64>,
    /// Processor time of this process for each picture behind the first: receiving and decoding, no export.
    pub cpu_ms_per_frame: f64,
    /// That at the rate above, in hundredths of one processor.
    pub cpu_percent: Option<f64>,
}

/// Asks the camera, over each transport that may work. Bounded: an attempt takes the camera's `open_timeout`, as long again for the
/// first picture, all that once more where retina finds none and FFmpeg may, and a few seconds to look at pictures.
#[must_use]
pub fn probe(camera: &CameraConfig, transport_is_given: bool) -> Probe {
    crate::av::log::install();
    crate::av::bound_allocations(camera.max_pixels);
    // Once: what an attempt leaves behind, the next one has not to take.
    let memory_before = memory::private_bytes();
    let mut probe = Probe { place: place(&camera.source), ways: Vec::new(), video: None };
    let transports = match &camera.source {
        Source::File(_) => vec![None],
        Source::Rtsp(rtsp) if transport_is_given => vec![Some(rtsp.transport)],
        Source::Rtsp(rtsp) if rtsp.address.scheme() != "rtsp" => vec![Some(Transport::Tcp)],
        Source::Rtsp(_) => vec![Some(Transport::Tcp), Some(Transport::Udp)],
    };
    for transport in transports {
        let mut camera = camera.clone();
        if let (Source::Rtsp(rtsp), Some(transport)) = (&mut camera.source, transport) {
            rtsp.transport = transport;
            if let Some(password) = rtsp.password() {
                redact::remember(rtsp.username.as_deref(), password);
            }
        }
        // One look at the pictures is enough.
        let look = if probe.video.is_none() { LOOK } else { Duration::ZERO };
        let mut way = Way { transport: transport.map(Transport::name), first_frame_ms: None, trouble: None };
        match attempt(camera, look, memory_before) {
            Ok(found) => {
                way.first_frame_ms = u64::try_from(found.first_frame.as_millis()).ok();
                if probe.video.is_none() {
                    probe.video = Some(found.video);
                }
            }
            Err(sentence) => way.trouble = Some(redact::text(&sentence)),
        }
        probe.ways.push(way);
    }
    probe
}

fn place(source: &Source) -> String {
    match source {
        Source::Rtsp(rtsp) => redact::text(rtsp.address.as_str()),
        Source::File(file) => file.path.display().to_string(),
    }
}

struct Found {
    first_frame: Duration,
    video: Video,
}

/// One attempt, on a thread that can be left behind.
fn attempt(camera: CameraConfig, look: Duration, memory_before: Option<u64>) -> Result<Found, String> {
    let (tell, told) = mpsc::channel();
    // When connecting was over, so that the time for what comes after it counts from there.
    let opened = Arc::new(OnceLock::new());
    let limit = camera.open_timeout * 4 + look + STUCK;
    let on_thread = Arc::clone(&opened);
    let thread = std::thread::Builder::new().name("vas-probe".into()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = tell.send(play(&camera, look, memory_before, &on_thread));
    });
    if let Err(error) = thread {
        return Err(format!("start a thread: {error}"));
    }
    match told.recv_timeout(limit) {
        Ok(found) => found,
        Err(mpsc::RecvTimeoutError::Timeout) if opened.get().is_none() => {
            Err("connecting does not end: is the host's name in DNS, and does DNS answer?".into())
        }
        Err(mpsc::RecvTimeoutError::Timeout) => Err("decoding does not end".into()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("its thread panicked".into()),
    }
}

/// Why there is no picture, and whether another way may lead to one.
struct Trouble {
    sentence: String,
    hint: Option<Hint>,
}

impl From<String> for Trouble {
    fn from(sentence: String) -> Self {
        Self { sentence, hint: None }
    }
}

/// By the clients that a server would take, one after the other.
fn play(
    camera: &CameraConfig,
    look: Duration,
    memory_before: Option<u64>,
    opened: &OnceLock<()>,
) -> Result<Found, String> {
    let Source::Rtsp(rtsp) = &camera.source else {
        return play_by(camera, None, look, memory_before, opened).map_err(|trouble| trouble.sentence);
    };
    let mut choice = Choice::default();
    loop {
        let way = choice.way(rtsp);
        let trouble = match play_by(camera, Some(way), look, memory_before, opened) {
            Ok(found) => return Ok(found),
            Err(trouble) => trouble,
        };
        let other = trouble.hint.and_then(|hint| choice.learn(rtsp, way, hint));
        if other.is_none() {
            return Err(trouble.sentence);
        }
    }
}

fn open(
    camera: &CameraConfig,
    way: Option<choice::Way>,
    silence: Duration,
    interrupt: &Arc<Interrupt>,
) -> Result<Box<dyn PacketSource>, SourceError> {
    match (&camera.source, way) {
        (Source::File(file), _) => Ok(file.open(interrupt)?),
        (Source::Rtsp(rtsp), Some(way)) => rtsp.open(way, silence, interrupt),
        (Source::Rtsp(rtsp), None) => rtsp.open(Choice::default().way(rtsp), silence, interrupt),
    }
}

fn play_by(
    camera: &CameraConfig,
    way: Option<choice::Way>,
    look: Duration,
    memory_before: Option<u64>,
    opened: &OnceLock<()>,
) -> Result<Found, Trouble> {
    let limit = camera.open_timeout;
    let interrupt = Interrupt::new(Arc::new(Stop::default()));
    interrupt.arm(limit);
    let started = Instant::now();
    let cpu_before = cpu_time();
    let (stream, detail) = with_errors_held(|| {
        Stream::new(open(camera, way, limit * 2, &interrupt)?, camera.into(), limit)
            .map_err(SourceError::from)
    });
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(_) if interrupt.cause() == Some(Cause::Deadline) => {
            return Err(format!("no answer within {}", seconds(limit)).into());
        }
        Err(SourceError::Open(OpenError::Call(call))) if call.is_refused() => {
            return Err(refused(&call.reason()).into());
        }
        Err(SourceError::Refused(why)) => return Err(refused(&why).into()),
        Err(error) => {
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            return Err(Trouble { sentence: format!("{error}{detail}"), hint: error.hint() });
        }
    };
    let _ = opened.set(());
    interrupt.arm(limit);
    let counters = Counters::default();
    let mut pictures = Pictures::default();
    let mut first: Option<(Duration, Duration, Facts)> = None;
    // Pictures stay where they would stay in a server: those that nobody holds a decoder uses again.
    let mut ring = Ring::new(camera.ring_frames);
    let (ended, _) = with_errors_held(|| {
        loop {
            let next = stream.next(&counters);
            if interrupt.cause().is_some() {
                return Ok(());
            }
            match next {
                Ok(Next::Frame(frame)) => {
                    pictures.add(frame.pts_ns, frame.timestamp_ns, frame.picture.is_key(), frame.damaged);
                    if first.is_none() {
                        first = Some((started.elapsed(), cpu_time(), Facts::of(&frame.picture)));
                        interrupt.arm(look);
                    }
                    ring.push(frame);
                    if look.is_zero() || pictures.are_enough() {
                        return Ok(());
                    }
                }
                Ok(Next::Nothing) => {}
                Ok(Next::Ended) => return Ok(()),
                // What came until then can be told all the same.
                Err(_) if first.is_some() => return Ok(()),
                Err(error) => return Err(Trouble { sentence: error.to_string(), hint: error.hint() }),
            }
        }
    });
    ended?;
    let cpu_now = cpu_time();
    let was_decodable =
        !(stream.had_bad_packets() || is_undecodable(stream.had_sent(), stream.since_packet(), limit));
    let Some((first_frame, cpu_at_first, facts)) = first else {
        let what = match (&camera.source, interrupt.cause()) {
            (_, Some(_)) => format!("connected, but no first picture within {}", seconds(limit)),
            (Source::File(_), None) => "no picture in it could be decoded".to_owned(),
            (Source::Rtsp(_), None) => "the camera ended the stream before its first picture".to_owned(),
        };
        return Err(Trouble { sentence: what, hint: (!was_decodable).then_some(Hint::NothingDecoded) });
    };
    let grown = memory::private_bytes().zip(memory_before).map(|(now, before)| now.saturating_sub(before));
    let in_ring = pictures.keys.len().min(camera.ring_frames) as u64 * facts.bytes;
    let decoder_bytes = grown.map(|grown| grown.saturating_sub(in_ring));
    let ring_bytes = camera.ring_frames as u64 * facts.bytes;
    let shared_memory_bytes = memory::of_picture(facts.width, facts.height).map(|memory| memory.pair_bytes);
    let fps = pictures.fps().or_else(|| stream.nominal_period().map(|period| 1.0 / period.as_secs_f64()));
    // Connecting is not a part of what each picture costs, unless there is but one to tell by.
    let (cpu_before, count) = match pictures.keys.len() {
        1 => (cpu_before, 1),
        count => (cpu_at_first, count - 1),
    };
    let cpu_ms_per_frame = cpu_now.saturating_sub(cpu_before).as_secs_f64() * 1000.0 / count as f64;
    let video = Video {
        codec: stream.codec_name(),
        width: facts.width,
        height: facts.height,
        pixel_format: facts.pixel_format,
        range: facts.range,
        matrix: facts.matrix,
        frames: pictures.keys.len(),
        damaged: pictures.damaged,
        fps,
        keyframe_interval_frames: pictures.keyframe_interval(),
        bits_per_s: fps
            .map(|fps| (stream.received_bytes() as f64 * 8.0 * fps / pictures.keys.len() as f64) as u64),
        delay_packets: stream.delay_packets(),
        ring_frames: camera.ring_frames,
        ring_bytes,
        decoder_bytes,
        shared_memory_bytes,
        memory_bytes: decoder_bytes.map(|decoder| ring_bytes + decoder + shared_memory_bytes.unwrap_or(0)),
        cpu_ms_per_frame,
        cpu_percent: fps.map(|fps| cpu_ms_per_frame * fps / 10.0),
    };
    Ok(Found { first_frame, video })
}

/// 401 or 403.
fn refused(why: &str) -> String {
    let what = match why.contains("403") {
        true => {
            "the camera forbids its stream to that user (his rights there), or to this address (its filter), or wants user name and \
             password, or others"
        }
        false => "the camera refuses user name and password, or wants some",
    };
    format!("{what}: {why}; they are asked of VAS_PROBE_USERNAME and VAS_PROBE_PASSWORD")
}

/// Of this process: a decoder or a client may have threads of its own.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// What one picture says of all.
struct Facts {
    width: u32,
    height: u32,
    /// Its memory.
    bytes: u64,
    pixel_format: String,
    range: &'static str,
    matrix: u8,
}

impl Facts {
    fn of(picture: &Frame) -> Self {
        let color = convert::color(picture);
        Self {
            width: picture.width(),
            height: picture.height(),
            bytes: picture.buffer_bytes(),
            pixel_format: pixel_format_name(picture.pixel_format()),
            range: match color.range {
                ColorRange::Limited => "limited",
                ColorRange::Full => "full",
                _ => "unknown",
            },
            matrix: color.matrix,
        }
    }
}

/// The pictures that came, in order.
#[derive(Default)]
struct Pictures {
    pts_ns: Vec<i64>,
    came_ns: Vec<u64>,
    keys: Vec<bool>,
    damaged: usize,
}

impl Pictures {
    fn add(&mut self, pts_ns: Option<i64>, came_ns: u64, is_key: bool, is_damaged: bool) {
        self.pts_ns.extend(pts_ns);
        self.came_ns.push(came_ns);
        self.keys.push(is_key);
        self.damaged += usize::from(is_damaged);
    }

    fn are_enough(&self) -> bool {
        self.keys.len() >= PICTURES && self.keyframe_interval().is_some()
    }

    /// From the first keyframe to the next.
    fn keyframe_interval(&self) -> Option<usize> {
        let mut at = self.keys.iter().enumerate().filter(|(_, is_key)| **is_key).map(|(at, _)| at);
        let first = at.next()?;
        at.next().map(|second| second - first)
    }

    fn fps(&self) -> Option<f64> {
        let rate = |count: usize, span_ns: f64| {
            (count >= 2 && span_ns > 0.0).then(|| (count - 1) as f64 * 1e9 / span_ns)
        };
        let is_rising = self.pts_ns.windows(2).all(|two| two[0] < two[1]);
        // The first picture after PLAY may come without a timestamp.
        let by_pts = match (self.pts_ns.first(), self.pts_ns.last()) {
            (Some(first), Some(last)) if is_rising => rate(self.pts_ns.len(), (last - first) as f64),
            _ => None,
        };
        let came = self.came_ns.last().zip(self.came_ns.first());
        by_pts.or_else(|| came.and_then(|(last, first)| rate(self.came_ns.len(), (last - first) as f64)))
    }
}

impl Probe {
    /// Does any way work?
    #[must_use]
    pub fn works(&self) -> bool {
        self.ways.iter().any(|way| way.trouble.is_none())
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        // Writing to a String cannot fail.
        let mut out = format!("{}\n", self.place);
        for way in &self.ways {
            let name = way.transport.unwrap_or("file");
            let _ = match (&way.trouble, way.first_frame_ms) {
                (Some(sentence), _) => writeln!(out, "  {name:<11}does not work: {sentence}"),
                (None, ms) => writeln!(out, "  {name:<11}works; first picture after {} ms", ms.unwrap_or(0)),
            };
        }
        if let Some(video) = &self.video {
            video.write(&mut out);
        }
        out
    }
}

impl Video {
    fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "  video      {} {}x{} {}, range {}, matrix {}",
            self.codec,
            self.width,
            self.height,
            self.pixel_format,
            self.range,
            matrix_name(self.matrix)
        );
        let fps =
            self.fps.map_or_else(|| "at a rate that cannot be told".to_owned(), |fps| format!("{fps:.1}/s"));
        let bits =
            self.bits_per_s.map(|bits| format!(", {:.2} Mbit/s", bits as f64 / 1e6)).unwrap_or_default();
        let damaged =
            if self.damaged == 0 { String::new() } else { format!(", {} of them damaged", self.damaged) };
        let _ = writeln!(out, "  pictures   {fps}{bits}; {} looked at{damaged}", self.frames);
        let _ = match self.keyframe_interval_frames {
            Some(1) => writeln!(out, "  keyframes  every picture is one"),
            Some(frames) => writeln!(out, "  keyframes  one in {frames} pictures"),
            None => writeln!(
                out,
                "  keyframes  no second one among them: skip = \"keyframes\" shows little of this video"
            ),
        };
        let _ = match self.delay_packets {
            0 => writeln!(out, "  delay      none: a picture comes out with its packet"),
            packets => {
                writeln!(out, "  delay      a picture comes out up to {packets} packets late (B-frames)")
            }
        };
        if let Some(bytes) = self.memory_bytes {
            let _ = writeln!(out, "  memory     {} a camera:", memory::human(bytes));
        }
        let _ = writeln!(
            out,
            "  - ring     {} for {} pictures",
            memory::human(self.ring_bytes),
            self.ring_frames
        );
        if let Some(bytes) = self.decoder_bytes {
            let _ = writeln!(
                out,
                "  - decoder  {}, with its client and thread: measured, this process has grown by as much",
                memory::human(bytes)
            );
        }
        let _ = match self.shared_memory_bytes {
            Some(bytes) => writeln!(
                out,
                "  - shared   {} of shared memory with 3 slots, twice that while its size changes",
                memory::human(bytes)
            ),
            None => writeln!(out, "  - shared   none: pictures of this size cannot be exported"),
        };
        let percent =
            self.cpu_percent.map(|percent| format!(", {percent:.1} % of a processor")).unwrap_or_default();
        let _ = writeln!(
            out,
            "  cpu        {:.2} ms a picture{percent}, for receiving and decoding; a reader adds one copy of each",
            self.cpu_ms_per_frame
        );
    }
}

/// H.273, the usual ones.
fn matrix_name(matrix: u8) -> String {
    match matrix {
        1 => "BT.709".to_owned(),
        2 => "unknown".to_owned(),
        5 | 6 => "BT.601".to_owned(),
        9 | 10 => "BT.2020".to_owned(),
        other => format!("{other} of H.273"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn pictures(pts_ms: &[i64], came_ms: &[u64], keys: &[usize]) -> Pictures {
        let mut pictures = Pictures::default();
        for (at, came) in came_ms.iter().enumerate() {
            pictures.add(pts_ms.get(at).map(|pts| pts * MS), came * MS as u64, keys.contains(&at), false);
        }
        pictures
    }

    #[test]
    fn the_rate_is_that_of_the_timestamps_or_else_of_the_clock() {
        assert_eq!(pictures(&[0, 40, 80], &[0, 1, 2], &[]).fps(), Some(25.0));
        assert_eq!(pictures(&[0, 40, 40], &[0, 100, 200], &[]).fps(), Some(10.0), "they do not rise");
        assert_eq!(pictures(&[], &[0, 100, 200], &[]).fps(), Some(10.0));
        assert_eq!(pictures(&[0], &[0], &[]).fps(), None);
    }

    #[test]
    fn keyframes_are_as_far_apart_as_the_first_two() {
        assert_eq!(pictures(&[], &[0; 60], &[0, 25, 50]).keyframe_interval(), Some(25));
        assert_eq!(pictures(&[], &[0; 60], &[3]).keyframe_interval(), None);
        assert!(pictures(&[], &[0; 60], &[0, 25]).are_enough());
        assert!(!pictures(&[], &[0; 60], &[0]).are_enough());
        assert!(!pictures(&[], &[0; 30], &[0, 25]).are_enough());
    }
}
