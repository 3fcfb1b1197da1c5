//! Packets to frames: wait for a keyframe, send, receive until the decoder wants more, and know which frames are damaged.
//!
//! A decoder marks at best the picture that was hit, never those that refer to it, and FFmpeg's HEVC decoder marks nothing
//! at all. So every sign of damage taints all that follows, until the picture has come anew ([`Taint`]). Whoever reads a damaged frame is told so; whoever wants none skips it.

use crate::address::Skip;
use crate::av::AvError;
use crate::av::decoder::{Decoder, Decoding, Received};
use crate::av::frame::Frame;
use crate::av::packet::Packet;
use crate::clock;
use crate::config::CameraConfig;
use crate::source::{Arrival, PacketSource, SourceError};
use crate::status::Counters;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A decoded picture and what is known of it.
pub(crate) struct Decoded {
    pub(crate) picture: Frame,
    /// CLOCK_MONOTONIC when the decoder gave it.
    pub(crate) timestamp_ns: u64,
    /// When the stream wants it shown, in nanoseconds from a beginning of its own. It jumps when the camera's does.
    pub(crate) pts_ns: Option<i64>,
    /// How its packet came: when the last of it was there, and what the camera's clock said. None if its packet is not known.
    pub(crate) arrival: Option<Arrival>,
    /// What its decoder took since the frame before.
    pub(crate) decode_time: Duration,
    /// Something it is made from was lost or wrong.
    pub(crate) damaged: bool,
}

/// What comes next out of a stream.
pub(crate) enum Next {
    /// A frame.
    Frame(Decoded),
    /// No frame: a packet was dropped, or the decoder refused it. A chance to look at the deadline.
    Nothing,
    /// The end of the stream; nothing is left in the decoder.
    Ended,
}

/// The decoding of one opened input.
pub(crate) struct Stream {
    source: Box<dyn PacketSource>,
    decoder: Decoder,
    decoding: Decoding,
    /// Takes over once the decoder has given all that is in it.
    successor: Option<Decoder>,
    /// As the newest keyframe had them.
    sequence_parameters: Vec<u8>,
    packet: Packet,
    sent: Sent,
    /// When something came last.
    last_packet_at: Option<Instant>,
    /// The decoder was given something.
    had_sent: bool,
    decode_time: Duration,
    /// The packet waits for room in the decoder.
    pending: bool,
    draining: bool,
    key_wait: KeyWait,
    taint: Taint,
    skip: Skip,
    received_bytes: u64,
}

impl From<&CameraConfig> for Decoding {
    fn from(camera: &CameraConfig) -> Self {
        Self { max_pixels: camera.max_pixels, threads: camera.decoder_threads, skip: camera.skip }
    }
}

impl Stream {
    /// `key_wait_limit`: after this long without a keyframe, decode what comes, marked as damaged.
    pub(crate) fn new(
        source: Box<dyn PacketSource>,
        decoding: Decoding,
        key_wait_limit: Duration,
    ) -> Result<Self, AvError> {
        let decoder = source.decoder(decoding)?;
        Ok(Self {
            source,
            decoder,
            decoding,
            successor: None,
            sequence_parameters: Vec::new(),
            packet: Packet::new()?,
            sent: Sent::default(),
            last_packet_at: None,
            had_sent: false,
            decode_time: Duration::ZERO,
            pending: false,
            draining: false,
            key_wait: KeyWait::new(Instant::now() + key_wait_limit),
            taint: Taint::default(),
            skip: decoding.skip,
            received_bytes: 0,
        })
    }

    /// The time between frames that the stream itself names, if it can be true. Where pictures are left out it names another one.
    pub(crate) fn nominal_period(&self) -> Option<Duration> {
        if self.skip != Skip::None {
            return None;
        }
        self.source.nominal_period()
    }

    /// The codec's short name.
    pub(crate) fn codec_name(&self) -> String {
        self.decoder.codec_name()
    }

    /// Bytes of all packets so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// How many packets a picture may come later than its own.
    pub(crate) fn delay_packets(&self) -> u32 {
        self.decoder.delay_packets()
    }

    /// Did anything come of it yet?
    pub(crate) fn had_packet(&self) -> bool {
        self.last_packet_at.is_some()
    }

    /// How long ago the newest packet came.
    pub(crate) fn since_packet(&self) -> Option<Duration> {
        self.last_packet_at.map(|at| at.elapsed())
    }

    /// Was the decoder given anything yet?
    pub(crate) fn had_sent(&self) -> bool {
        self.had_sent
    }

    /// Did the source meet packets that it could not use?
    pub(crate) fn had_bad_packets(&self) -> bool {
        self.source.had_bad_packets()
    }

    /// Reads and decodes until there is something to say. Errors are the source's: a packet that cannot be decoded is
    /// counted, taints what follows, and is no error.
    pub(crate) fn next(&mut self, counters: &Counters) -> Result<Next, SourceError> {
        let began = Instant::now();
        let received = self.decoder.receive();
        self.decode_time += began.elapsed();
        match received {
            Ok(Received::Frame(picture)) => return Ok(Next::Frame(self.judge(picture, counters))),
            Ok(Received::Drained) => {
                let Some(successor) = self.successor.take() else { return Ok(Next::Ended) };
                self.decoder = successor;
                return Ok(Next::Nothing);
            }
            Ok(Received::NeedsPacket) => {}
            Err(_) => {
                counters.decode_errors.add(1);
                self.taint.hit();
                return Ok(Next::Nothing);
            }
        }
        if !self.pending {
            if self.draining {
                // Asked for more after the end: a decoder never does that, and must not make this a loop.
                return Ok(Next::Ended);
            }
            let Some(arrival) = self.source.next(&mut self.packet)? else {
                self.draining = true;
                self.decoder.drain()?;
                return Ok(Next::Nothing);
            };
            self.last_packet_at = Some(Instant::now());
            counters.received.add(1);
            self.received_bytes += self.packet.len_bytes();
            let lost = arrival.lost_packets;
            counters.packets_lost.add(lost);
            self.taint.packet(self.packet.is_key(), lost > 0 || self.packet.is_corrupt());
            match self.key_wait.packet(self.packet.is_key(), Instant::now()) {
                KeyWaitVerdict::Drop => return Ok(Next::Nothing),
                KeyWaitVerdict::DecodeAnyway => self.taint.hit(),
                KeyWaitVerdict::Decode => {}
            }
            self.had_sent = true;
            self.sent.packet(self.packet.pts(), arrival);
            if self.is_another_sequence()
                && let Some(successor) = self.source.fresh_decoder(self.decoding)
            {
                self.successor = Some(successor?);
                self.decoder.drain()?;
                self.pending = true;
                return Ok(Next::Nothing);
            }
        }
        let began = Instant::now();
        let sent = self.decoder.send(&self.packet);
        self.decode_time += began.elapsed();
        match sent {
            Ok(taken) => self.pending = !taken,
            Err(_) => {
                counters.decode_errors.add(1);
                self.taint.hit();
                self.pending = false;
            }
        }
        Ok(Next::Nothing)
    }

    /// Does the packet begin a stream of another kind than the one before? A decoder keeps what the new one leaves unsaid: full
    /// range of samples, for one.
    fn is_another_sequence(&mut self) -> bool {
        if !self.packet.is_key() {
            return false;
        }
        let parameters = sequence_parameters(&self.decoder.codec_name(), self.packet.bytes());
        if parameters.is_empty() {
            return false;
        }
        let before = std::mem::replace(&mut self.sequence_parameters, parameters);
        !before.is_empty() && before != self.sequence_parameters
    }

    fn judge(&mut self, picture: Frame, counters: &Counters) -> Decoded {
        let timestamp_ns = clock::monotonic_ns();
        let damaged = self.taint.frame(picture.is_key(), picture.is_flagged(), self.decoder.delay_packets());
        counters.decoded.add(1);
        counters.damaged.add(u64::from(damaged));
        let pts_ns = picture.pts().and_then(|pts| self.source.pts_ns(pts));
        let arrival = self.sent.frame(picture.packet_pts());
        let decode_time = std::mem::take(&mut self.decode_time);
        Decoded { picture, timestamp_ns, pts_ns, arrival, decode_time, damaged }
    }
}

/// The sequence parameter sets before the first slice of a packet with start codes, one behind the other (ITU-T H.264 7.4.1,
/// H.265 7.4.2.2); nothing for other codecs.
fn sequence_parameters(codec: &str, annex_b: &[u8]) -> Vec<u8> {
    let next_unit = |bytes: &[u8]| bytes.windows(3).position(|three| three == [0, 0, 1]);
    let mut found = Vec::new();
    let mut rest = annex_b;
    while let Some(at) = next_unit(rest) {
        rest = &rest[at + 3..];
        let Some(&header) = rest.first() else { break };
        let (is_slice, is_wanted) = match codec {
            "h264" => (matches!(header & 0x1F, 1..=5), header & 0x1F == 7),
            "hevc" => ((header >> 1 & 0x3F) < 32, header >> 1 & 0x3F == 33),
            _ => break,
        };
        if is_slice {
            break;
        }
        if is_wanted {
            let unit = &rest[..next_unit(rest).unwrap_or(rest.len())];
            // Zeros behind a unit belong to the next start code.
            let len_bytes = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            found.extend_from_slice(&unit[..len_bytes]);
        }
    }
    found
}

/// Pictures come out of a decoder in another order than their packets went in: this finds a picture's packet again, by its pts,
/// which decoders pass on as it is.
#[derive(Debug, Default)]
struct Sent(VecDeque<(Option<i64>, Arrival)>);

impl Sent {
    /// More than any decoder holds back: H.264 and H.265 reorder by 16 pictures at most.
    const MOST: usize = 64;

    fn packet(&mut self, pts: Option<i64>, arrival: Arrival) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((pts, arrival));
    }

    /// Of several packets with this pts the oldest: cameras are known to say the same twice.
    fn frame(&mut self, pts: Option<i64>) -> Option<Arrival> {
        let place = self.0.iter().position(|(sent, _)| *sent == pts)?;
        self.0.remove(place).map(|(_, arrival)| arrival)
    }
}

/// A refresh shorter than this is not believed: an encoder that announces a recovery point with every picture would heal
/// nothing by two of them.
const SHORTEST_REFRESH_PACKETS: u32 = 10;

/// Are pictures made from something lost or wrong?
///
/// Two things heal. A keyframe, if its own packet was whole. And, for cameras that never send one but renew the picture bit
/// by bit (intra refresh), all packets from one recovery point up to the next, if they were whole: then every part of the
/// picture has come anew.
#[derive(Debug, Default)]
pub(crate) struct Taint {
    tainted: bool,
    /// Whole packets in a row, up to and with the newest.
    whole_packets: u32,
    /// Packets since a whole recovery point, with nothing wrong in between.
    since_recovery_point: Option<u32>,
    /// Packets since a whole refresh was complete, with nothing wrong in between.
    since_refresh: Option<u32>,
}

impl Taint {
    /// A packet came. `key`: a keyframe, or a recovery point. `hit`: bytes of it are wrong, or packets before it were lost.
    pub(crate) fn packet(&mut self, key: bool, hit: bool) {
        self.whole_packets = self.whole_packets.saturating_add(1);
        for count in [&mut self.since_recovery_point, &mut self.since_refresh] {
            *count = count.map(|count| count.saturating_add(1));
        }
        if hit {
            self.hit();
        } else if key {
            if self.since_recovery_point.is_some_and(|packets| packets >= SHORTEST_REFRESH_PACKETS) {
                self.since_refresh = Some(0);
            }
            self.since_recovery_point = Some(0);
        }
    }

    /// The newest packet did damage.
    pub(crate) fn hit(&mut self) {
        *self = Self { tainted: true, ..Self::default() };
    }

    /// A frame came out of the decoder, up to `delay_packets` packets after its own. True: it is damaged.
    ///
    /// Which packet a frame came from is not said, so a keyframe heals only if every packet that may be its own was whole,
    /// and a refresh heals no frame that may be older than it.
    pub(crate) fn frame(&mut self, key: bool, flagged: bool, delay_packets: u32) -> bool {
        let is_refreshed = self.since_refresh.is_some_and(|packets| packets >= delay_packets);
        if (key && self.whole_packets > delay_packets) || is_refreshed {
            self.tainted = false;
        }
        if flagged {
            self.tainted = true;
            self.since_recovery_point = None;
            self.since_refresh = None;
        }
        self.tainted
    }
}

/// Drops packets until a keyframe, but not for ever: some cameras never send one.
#[derive(Debug)]
pub(crate) struct KeyWait {
    /// None: the wait is over.
    until: Option<Instant>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyWaitVerdict {
    /// Nothing can be made of it yet.
    Drop,
    /// The wait was over before, or ends with this packet.
    Decode,
    /// The time is up, without a keyframe.
    DecodeAnyway,
}

impl KeyWait {
    pub(crate) fn new(until: Instant) -> Self {
        Self { until: Some(until) }
    }

    pub(crate) fn packet(&mut self, key: bool, now: Instant) -> KeyWaitVerdict {
        let Some(until) = self.until else { return KeyWaitVerdict::Decode };
        if !key && now < until {
            return KeyWaitVerdict::Drop;
        }
        self.until = None;
        if key { KeyWaitVerdict::Decode } else { KeyWaitVerdict::DecodeAnyway }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: bool = true;
    const OTHER: bool = false;
    const WHOLE: bool = false;
    const HIT: bool = true;

    #[test]
    fn a_whole_stream_is_never_damaged() {
        let mut taint = Taint::default();
        for n in 0..100 {
            taint.packet(OTHER, WHOLE);
            assert!(!taint.frame(n % 10 == 0, false, 0));
        }
    }

    #[test]
    fn damage_lasts_until_the_next_keyframe() {
        let mut taint = Taint::default();
        taint.packet(OTHER, WHOLE);
        assert!(!taint.frame(KEY, false, 0));
        taint.packet(OTHER, HIT);
        assert!(taint.frame(OTHER, false, 0));
        taint.packet(OTHER, WHOLE);
        assert!(taint.frame(OTHER, false, 0), "it refers to the damaged one");
        taint.packet(OTHER, WHOLE);
        assert!(!taint.frame(KEY, false, 0));
        taint.packet(OTHER, WHOLE);
        assert!(!taint.frame(OTHER, false, 0));
    }

    #[test]
    fn a_keyframe_that_was_hit_itself_does_not_heal() {
        let mut taint = Taint::default();
        taint.packet(OTHER, HIT);
        assert!(taint.frame(KEY, false, 0));
        taint.packet(OTHER, WHOLE);
        assert!(taint.frame(OTHER, false, 0));
    }

    #[test]
    fn a_keyframe_that_the_decoder_marks_is_damaged() {
        let mut taint = Taint::default();
        taint.packet(OTHER, WHOLE);
        assert!(taint.frame(KEY, true, 0));
        taint.packet(OTHER, WHOLE);
        assert!(taint.frame(OTHER, false, 0));
    }

    #[test]
    fn a_keyframe_that_comes_out_late_does_not_heal_the_hit_on_its_own_packet() {
        let mut taint = Taint::default();
        // B-frames: pictures come out up to two packets after their own.
        taint.packet(OTHER, HIT);
        taint.packet(OTHER, WHOLE);
        taint.packet(OTHER, WHOLE);
        assert!(taint.frame(KEY, false, 2), "the packet that was hit may be the keyframe's");
        taint.packet(OTHER, WHOLE);
        assert!(!taint.frame(KEY, false, 2), "three whole packets: its own is among them");
    }

    #[test]
    fn an_error_of_the_decoder_taints_too() {
        let mut taint = Taint::default();
        taint.packet(OTHER, WHOLE);
        taint.hit();
        assert!(taint.frame(OTHER, false, 0));
    }

    /// Packets and frames of an intra-refresh camera: a recovery point every 25 packets, never a keyframe. Returns which of
    /// the frames are damaged.
    fn refreshed(
        taint: &mut Taint,
        packets: std::ops::Range<u32>,
        hit_at: u32,
        delay_packets: u32,
    ) -> Vec<bool> {
        packets
            .map(|n| {
                taint.packet(n % 25 == 0, n == hit_at);
                taint.frame(OTHER, false, delay_packets)
            })
            .collect()
    }

    #[test]
    fn a_camera_without_keyframes_heals_by_a_whole_refresh() {
        let mut taint = Taint::default();
        let damaged = refreshed(&mut taint, 0..200, 30, 0);
        // Hit at 30: recovery points come at 50 and 75, and between these two everything was whole.
        assert_eq!(damaged.iter().position(|&damaged| damaged), Some(30));
        assert_eq!(damaged.iter().rposition(|&damaged| damaged), Some(74));
    }

    #[test]
    fn a_refresh_heals_late_when_frames_come_late() {
        let mut taint = Taint::default();
        let damaged = refreshed(&mut taint, 0..200, 30, 2);
        assert_eq!(damaged.iter().rposition(|&damaged| damaged), Some(76));
    }

    #[test]
    fn a_refresh_that_was_hit_does_not_heal() {
        let mut taint = Taint::default();
        refreshed(&mut taint, 0..60, 30, 0);
        let damaged = refreshed(&mut taint, 60..99, 60, 0);
        assert!(
            damaged.iter().all(|&damaged| damaged),
            "hit at 60: from 75 to 100 is the first whole refresh"
        );
    }

    #[test]
    fn recovery_points_without_a_distance_heal_nothing() {
        let mut taint = Taint::default();
        taint.packet(KEY, HIT);
        for _ in 0..100 {
            taint.packet(KEY, WHOLE);
            assert!(taint.frame(OTHER, false, 0));
        }
    }

    #[test]
    fn packets_before_the_first_keyframe_are_dropped() {
        let now = Instant::now();
        let mut wait = KeyWait::new(now + Duration::from_secs(5));
        assert_eq!(wait.packet(OTHER, now), KeyWaitVerdict::Drop);
        assert_eq!(wait.packet(KEY, now), KeyWaitVerdict::Decode);
        assert_eq!(wait.packet(OTHER, now), KeyWaitVerdict::Decode);
    }

    #[test]
    fn a_camera_without_keyframes_is_decoded_after_the_limit() {
        let now = Instant::now();
        let mut wait = KeyWait::new(now + Duration::from_secs(5));
        assert_eq!(wait.packet(OTHER, now + Duration::from_secs(5)), KeyWaitVerdict::DecodeAnyway);
        assert_eq!(wait.packet(OTHER, now + Duration::from_secs(5)), KeyWaitVerdict::Decode);
    }

    #[test]
    fn a_picture_finds_its_packet_again_whatever_the_order() {
        let arrival = |received_ns| Arrival { received_ns, camera_ns: None, lost_packets: 0 };
        let mut sent = Sent::default();
        for (pts, received_ns) in [(None, 1), (Some(80), 2), (Some(40), 3), (Some(40), 4)] {
            sent.packet(pts, arrival(received_ns));
        }
        let found = [None, Some(40), Some(40), Some(80), Some(80)].map(|pts| sent.frame(pts));
        assert_eq!(
            found.map(|found| found.map(|found| found.received_ns)),
            [Some(1), Some(3), Some(4), Some(2), None]
        );
        for pts in 0..1000 {
            sent.packet(Some(pts), arrival(0));
        }
        assert_eq!(sent.0.len(), Sent::MOST, "pictures that never come leave nothing behind for ever");
    }

    /// A clip of 25 pictures with B-frames, opened; None, and the reason on stderr, if there is no ffmpeg program.
    fn clip() -> Option<(tempfile::TempDir, crate::source::FileSource)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clip.mp4");
        let made = std::process::Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=1"])
            .args(["-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p"])
            .arg(&path)
            .status();
        match made {
            Ok(status) => assert!(status.success()),
            Err(why) => {
                vas_test_support::skipped(&format!("no clip, the ffmpeg program cannot be started: {why}"));
                return None;
            }
        }
        Some((directory, crate::source::FileSource { path, repeat: false }))
    }

    fn open(file: &crate::source::FileSource) -> Stream {
        let interrupt = crate::av::interrupt::Interrupt::new(std::sync::Arc::default());
        let input = file.open(&interrupt).unwrap();
        Stream::new(input, Decoding::ALL, Duration::from_secs(10)).unwrap()
    }

    fn frames(stream: &mut Stream) -> Vec<Decoded> {
        let counters = Counters::default();
        let mut frames = Vec::new();
        loop {
            match stream.next(&counters).unwrap() {
                Next::Frame(frame) => frames.push(frame),
                Next::Nothing => {}
                Next::Ended => return frames,
            }
        }
    }

    #[test]
    fn every_picture_of_a_clip_comes_out_once_and_in_order() {
        let Some((_directory, file)) = clip() else { return };
        let mut stream = open(&file);
        assert_eq!(stream.nominal_period(), Some(Duration::from_millis(40)));
        for _round in 0..2 {
            let frames = frames(&mut stream);
            let pts_ms: Vec<i64> = frames.iter().map(|frame| frame.pts_ns.unwrap() / 1_000_000).collect();
            assert_eq!(pts_ms, (0..25).map(|n| n * 40).collect::<Vec<_>>());
            assert!(frames.iter().all(|frame| !frame.damaged));
            stream = open(&file);
        }
    }

    /// 50 pictures in groups of 25, with B-frames that nothing refers to; the same for each codec.
    fn clip_of_groups(
        codec: &str,
        parameters: &str,
    ) -> Option<(tempfile::TempDir, crate::source::FileSource)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clip.mp4");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2"])
            .args(["-c:v", codec, &format!("-{}-params", codec.trim_start_matches("lib")), parameters])
            .args(["-pix_fmt", "yuv420p"])
            .arg(&path)
            .output();
        match made {
            Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
            Err(why) => {
                vas_test_support::skipped(&format!("no clip, the ffmpeg program cannot be started: {why}"));
                return None;
            }
        }
        Some((directory, crate::source::FileSource { path, repeat: false }))
    }

    fn open_with(file: &crate::source::FileSource, decoding: Decoding) -> Stream {
        let interrupt = crate::av::interrupt::Interrupt::new(std::sync::Arc::default());
        let input = file.open(&interrupt).unwrap();
        Stream::new(input, decoding, Duration::from_secs(10)).unwrap()
    }

    /// What makes two pictures the same: their time and their luma.
    fn fingerprint(frame: &Decoded) -> (Option<i64>, u64) {
        let plane = frame.picture.plane(0, 320, 240).unwrap();
        let sum = plane
            .data
            .iter()
            .zip(1_u64..)
            .fold(0, |sum: u64, (&byte, at)| sum.wrapping_add(u64::from(byte).wrapping_mul(at)));
        (frame.pts_ns, sum)
    }

    const GROUPS: [(&str, &str); 2] = [
        ("libx264", "keyint=25:min-keyint=25:scenecut=0:bframes=2:b-adapt=0:b-pyramid=none"),
        (
            "libx265",
            "keyint=25:min-keyint=25:scenecut=0:bframes=2:b-adapt=0:b-pyramid=0:open-gop=0:log-level=error",
        ),
    ];

    #[test]
    fn of_a_group_of_pictures_only_those_are_decoded_that_are_asked_for() {
        for (codec, parameters) in GROUPS {
            let Some((_directory, file)) = clip_of_groups(codec, parameters) else { return };
            let decode = |skip| frames(&mut open_with(&file, Decoding { skip, ..Decoding::ALL }));
            let all = decode(Skip::None);
            assert_eq!(all.len(), 50, "{codec}");
            let all: Vec<_> = all.iter().map(fingerprint).collect();

            let keyframes = decode(Skip::Keyframes);
            assert!(keyframes.iter().all(|frame| frame.picture.is_key() && !frame.damaged), "{codec}");
            let keyframes: Vec<_> = keyframes.iter().map(fingerprint).collect();
            assert_eq!(keyframes, [all[0], all[25]], "{codec}");

            // Each keyframe, and each third picture behind it: two B-frames between, and none behind the last of a group.
            let nonref = decode(Skip::Nonref);
            assert!(nonref.iter().all(|frame| !frame.damaged), "{codec}");
            let nonref: Vec<_> = nonref.iter().map(fingerprint).collect();
            assert_eq!(nonref.len(), 18, "{codec}");
            assert!(nonref.iter().all(|frame| all.contains(frame)), "{codec}: a picture of its own");
        }
    }

    #[test]
    fn where_pictures_are_left_out_the_stream_does_not_know_their_period() {
        let Some((_directory, file)) = clip() else { return };
        for (skip, period) in
            [(Skip::None, Some(Duration::from_millis(40))), (Skip::Nonref, None), (Skip::Keyframes, None)]
        {
            let stream = open_with(&file, Decoding { skip, ..Decoding::ALL });
            assert_eq!(stream.nominal_period(), period);
        }
    }

    #[test]
    fn each_further_thread_delays_pictures_by_one_and_changes_none() {
        for (codec, parameters) in GROUPS {
            // Without reordering: what is late is late because of the threads.
            let parameters = parameters.replace("bframes=2", "bframes=0");
            let Some((_directory, file)) = clip_of_groups(codec, &parameters) else { return };
            let mut expected = None;
            for threads in 1..=4 {
                let mut stream = open_with(&file, Decoding { threads, ..Decoding::ALL });
                let counters = Counters::default();
                let mut sent = 0;
                let first = loop {
                    match stream.next(&counters).unwrap() {
                        Next::Frame(frame) => break frame,
                        Next::Nothing => sent += 1,
                        Next::Ended => panic!("no picture"),
                    }
                };
                assert_eq!(sent, threads, "{codec}: packets before the first picture");
                assert_eq!(stream.decoder.delay_packets(), threads - 1, "{codec}");
                let pictures: Vec<_> = std::iter::once(first)
                    .chain(frames(&mut stream))
                    .map(|frame| fingerprint(&frame))
                    .collect();
                assert_eq!(pictures.len(), 50, "{codec}: those in hand come out at the end");
                assert_eq!(*expected.get_or_insert_with(|| pictures.clone()), pictures, "{codec}: {threads}");
            }
        }
    }

    #[test]
    fn sequence_parameters_are_those_before_the_first_slice() {
        let before = [0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x67, 66, 30];
        let behind = [0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 0, 0, 1, 0x67, 7];
        let h264 = [before.as_slice(), &behind].concat();
        assert_eq!(sequence_parameters("h264", &h264), [0x67, 66, 30]);
        assert_eq!(sequence_parameters("h264", &before), [0x67, 66, 30]);
        let h265 = [0, 0, 1, 32 << 1, 1, 5, 0, 0, 0, 1, 33 << 1, 1, 7, 0, 0, 0, 1, 19 << 1, 1, 0x80];
        assert_eq!(sequence_parameters("hevc", &h265), [33 << 1, 1, 7]);
        assert_eq!(sequence_parameters("mjpeg", &h265), b"");
        assert_eq!(sequence_parameters("h264", &[]), b"");
        assert_eq!(sequence_parameters("h264", &[0, 0, 1]), b"");
    }

    /// A file whose packets have start codes and parameter sets, as those of a camera.
    struct AsFromCamera(Box<dyn PacketSource>);

    impl PacketSource for AsFromCamera {
        fn decoder(&self, decoding: Decoding) -> Result<Decoder, AvError> {
            self.0.decoder(decoding)
        }

        fn fresh_decoder(&self, decoding: Decoding) -> Option<Result<Decoder, AvError>> {
            let time_base = crate::av::Rational { numerator: 1, denominator: 1_200_000 };
            Some(Decoder::by_name(c"h264", time_base, decoding))
        }

        fn nominal_period(&self) -> Option<Duration> {
            self.0.nominal_period()
        }

        fn pts_ns(&self, pts: i64) -> Option<i64> {
            self.0.pts_ns(pts)
        }

        fn next(&mut self, packet: &mut Packet) -> Result<Option<Arrival>, SourceError> {
            self.0.next(packet)
        }
    }

    #[test]
    fn a_stream_that_names_no_range_is_not_told_with_that_of_the_one_before() {
        let Some((directory, whole)) = clip() else { return };
        let part = |name: &str, words: &[&str]| {
            let path = directory.path().join(name);
            let made = std::process::Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(&whole.path)
                .args(["-c:v", "copy", "-bsf:v"])
                .args(words)
                .arg(&path)
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            std::fs::read(path).unwrap()
        };
        let full = part("full.h264", &["h264_mp4toannexb,h264_metadata=video_full_range_flag=1"]);
        let plain = part("plain.h264", &["h264_mp4toannexb"]);
        let path = directory.path().join("both.h264");
        std::fs::write(&path, [full.as_slice(), &plain, &full].concat()).unwrap();
        let file = crate::source::FileSource { path, repeat: false };
        let interrupt = crate::av::interrupt::Interrupt::new(std::sync::Arc::default());
        let source = Box::new(AsFromCamera(file.open(&interrupt).unwrap()));
        let mut stream = Stream::new(source, Decoding::ALL, Duration::from_secs(10)).unwrap();
        let frames = frames(&mut stream);
        let ranges: Vec<i32> = frames.iter().map(|frame| frame.picture.color().range).collect();
        assert_eq!(ranges, [[2; 25], [0; 25], [2; 25]].concat());
        assert!(frames.iter().all(|frame| !frame.damaged));
    }

    #[test]
    fn a_frame_outlives_its_decoder_on_another_thread() {
        let Some((_directory, file)) = clip() else { return };
        let frames = frames(&mut open(&file));
        let luma = |frame: &Decoded| {
            let plane = frame.picture.plane(0, 320, 240).unwrap();
            plane.data.iter().map(|&byte| u64::from(byte)).sum::<u64>()
        };
        let here: Vec<u64> = frames.iter().map(luma).collect();
        let there = std::thread::spawn(move || frames.iter().map(luma).collect::<Vec<u64>>());
        assert_eq!(there.join().unwrap(), here);
    }

    #[test]
    fn pictures_larger_than_allowed_are_not_decoded() {
        let Some((_directory, file)) = clip() else { return };
        let interrupt = crate::av::interrupt::Interrupt::new(std::sync::Arc::default());
        let input = file.open(&interrupt).unwrap();
        let decoding = Decoding { max_pixels: 320 * 240 - 1, ..Decoding::ALL };
        match Stream::new(input, decoding, Duration::from_secs(10)) {
            Err(error) => assert_eq!(error.call, "avcodec_open2"),
            Ok(mut stream) => assert!(frames(&mut stream).is_empty()),
        }
    }

    #[test]
    fn opening_and_closing_two_hundred_times_leaves_nothing_behind() {
        fn resident_bytes() -> u64 {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
        }
        let Some((_directory, file)) = clip() else { return };
        for _ in 0..50 {
            frames(&mut open(&file));
        }
        let before = resident_bytes();
        for _ in 0..200 {
            frames(&mut open(&file));
        }
        let grown = resident_bytes().saturating_sub(before);
        // One picture lost each time would be 23 MB, one context with its probe buffers as much.
        assert!(grown < 4 << 20, "{grown} bytes more after 200 times");
    }
}
