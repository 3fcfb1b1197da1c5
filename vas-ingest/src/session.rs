//! One connection to a camera: from opening its source to the end of it, whatever ends it.

use crate::address::Skip;
use crate::av::AvError;
use crate::av::frame::pixel_format_name;
use crate::av::input::OpenError;
use crate::av::interrupt::{Cause, Interrupt};
use crate::av::log::with_errors_held;
use crate::clock::{self, FramePeriod, Pacer};
use crate::config::CameraConfig;
use crate::decode::{Decoded, Next, Stream};
use crate::export::CameraExport;
use crate::life::{Event, Trouble};
use crate::path::FramePath;
use crate::source::choice::{Choice, Hint, Way};
use crate::source::{RtspSource, Source, SourceError, Transport};
use crate::status::Counters;
use crate::stop::Stop;
use crate::vitals::Vitals;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connected camera may take this many frame timeouts for its first frame: one to wait for a keyframe, one as always.
const FIRST_FRAME_TIMEOUTS: u32 = 2;

/// While it is not known whether UDP passes, the first packet may take this part of the frame timeout.
const UDP_TRIAL_DIVISOR: u32 = 2;

/// A packet that came this part of the frame timeout ago says that packets still come.
const STILL_COMING_DIVISOR: u32 = 4;

/// A socket may be silent for this much longer than any deadline of ours, so that ours come first: they know what to say.
const SILENCE_MARGIN: Duration = Duration::from_secs(2);

/// How FFmpeg's line about a host name begins (libavformat/tcp.c and udp.c).
const UNRESOLVED: &str = "Failed to resolve hostname ";

/// Why a session ended without being asked to.
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    pub(crate) sentence: String,
    /// Another way to the camera may do.
    hint: Option<Hint>,
    /// Nothing was tried: a file that it takes is not there.
    pub(crate) is_unready: bool,
}

impl Failure {
    pub(crate) fn lost(sentence: impl Into<String>) -> Self {
        Self { trouble: Trouble::Lost, sentence: sentence.into(), hint: None, is_unready: false }
    }

    pub(crate) fn refused(sentence: impl Into<String>) -> Self {
        Self { trouble: Trouble::Refused, ..Self::lost(sentence) }
    }

    /// A file that has to be there before anything can be tried.
    pub(crate) fn unready(sentence: impl Into<String>) -> Self {
        Self { is_unready: true, ..Self::lost(sentence) }
    }

    fn with_hint(self, hint: Option<Hint>) -> Self {
        Self { hint, ..self }
    }
}

/// How a session ended.
pub(crate) enum End {
    Stopped,
    Finished,
    Failed(Failure),
}

/// What a session borrows of its camera.
pub(crate) struct Session<'a> {
    pub(crate) config: &'a CameraConfig,
    pub(crate) stop: &'a Arc<Stop>,
    pub(crate) counters: &'a Counters,
    pub(crate) path: &'a mut FramePath<Option<CameraExport>>,
    pub(crate) vitals: &'a Vitals,
    pub(crate) choice: &'a mut Choice,
}

impl Session<'_> {
    /// Until the stop, the end of a file, or a trouble that no other way to the camera cures.
    pub(crate) fn run(&mut self) -> End {
        self.choice.begin();
        loop {
            let way = match &self.config.source {
                Source::Rtsp(rtsp) => Some(self.choice.way(rtsp)),
                Source::File(_) => None,
            };
            let interrupt = Interrupt::new(Arc::clone(self.stop));
            let mut had_frame = false;
            let failure = match self.open_and_play(&interrupt, way, &mut had_frame) {
                Ok(end) => return end,
                Err(failure) => failure,
            };
            let other = match (&self.config.source, way, failure.hint) {
                (Source::Rtsp(rtsp), Some(tried), Some(hint)) => self.choice.learn(rtsp, tried, hint),
                _ => None,
            };
            let Some(other) = other else {
                if let Some(way) = way.filter(|_| !had_frame) {
                    self.choice.had_no_frame(way);
                }
                return End::Failed(failure);
            };
            tracing::info!(
                "{}; from now on over {} by {}",
                failure.sentence,
                other.transport.name(),
                other.client.name()
            );
            if had_frame {
                // A stream that was live until now, and may be so again in a moment: no look takes what lies between for a silence.
                self.vitals.connect();
                self.path.set_live(false);
            }
        }
    }

    fn open_and_play(
        &mut self,
        interrupt: &Arc<Interrupt>,
        way: Option<Way>,
        had_frame: &mut bool,
    ) -> Result<End, Failure> {
        let frame_timeout = self.config.frame_timeout;
        interrupt.arm(self.config.open_timeout);
        let longest = self.config.open_timeout.max(frame_timeout.saturating_mul(FIRST_FRAME_TIMEOUTS));
        let silence = longest.saturating_add(SILENCE_MARGIN);
        let opened = with_errors_held(|| {
            let source = match (&self.config.source, way) {
                (Source::Rtsp(rtsp), Some(way)) => rtsp.open(way, silence, interrupt)?,
                (Source::Rtsp(rtsp), None) => rtsp.open(self.choice.way(rtsp), silence, interrupt)?,
                (Source::File(file), _) => file.open(interrupt)?,
            };
            Ok(Stream::new(source, self.config.into(), frame_timeout)?)
        });
        let mut stream = match opened {
            (Ok(stream), _) => stream,
            (Err(error), detail) => {
                return self.explain_open(way, &error, detail.as_deref(), interrupt.cause());
            }
        };

        let nominal = stream.nominal_period();
        let mut period = FramePeriod::new(nominal);
        let mut pacer = match self.config.source {
            Source::File(_) => Some(Pacer::new(nominal)),
            Source::Rtsp(_) => None,
        };
        let only_keyframes = self.config.skip == Skip::Keyframes;
        if only_keyframes {
            // How long its groups of pictures are is not known, and may change: the deadline alone says that one is overdue.
            self.vitals.on(Event::FramePeriod(frame_timeout));
        }
        let mut first_frame_at: Option<Instant> = None;
        let mut frames_since_start = 0_u64;
        let first_frame_timeout = frame_timeout * FIRST_FRAME_TIMEOUTS;
        let mut udp_trial = match (&self.config.source, way) {
            (Source::Rtsp(rtsp), Some(way)) if rtsp.transport == Transport::Auto => {
                way.transport == Transport::Udp && !self.choice.udp_works()
            }
            _ => false,
        };
        let udp_timeout = frame_timeout / UDP_TRIAL_DIVISOR;
        interrupt.arm(if udp_trial { udp_timeout } else { first_frame_timeout });
        loop {
            let next = stream.next(self.counters);
            if udp_trial && stream.had_packet() {
                udp_trial = false;
                interrupt.arm(first_frame_timeout);
            }
            // The code of an interrupted call means nothing, and a stream that never blocks is never interrupted: so the
            // interrupt is asked first, and each time.
            match interrupt.cause() {
                Some(Cause::Stopped) => return Ok(End::Stopped),
                Some(Cause::Deadline) if udp_trial => {
                    let limit = seconds(udp_timeout);
                    let sentence = format!("{}: no packet within {limit} s", self.describe(way));
                    return Err(Failure::lost(sentence).with_hint(Some(Hint::NoPacket)));
                }
                Some(Cause::Deadline) => {
                    let is_undecodable = first_frame_at.is_none()
                        && (stream.had_bad_packets()
                            || is_undecodable(stream.had_sent(), stream.since_packet(), frame_timeout));
                    let hint = is_undecodable.then_some(Hint::NothingDecoded);
                    return Err(self.silent(way, first_frame_at.is_some()).with_hint(hint));
                }
                None => {}
            }
            match next {
                Ok(Next::Nothing) => {}
                Ok(Next::Frame(mut frame)) => {
                    if let Some(pacer) = &mut pacer {
                        if self.stop.wait_until(pacer.due(Instant::now(), frame.pts_ns)) {
                            return Ok(End::Stopped);
                        }
                        // A file's frame comes when it is due, as a camera's would.
                        frame.timestamp_ns = clock::monotonic_ns();
                    }
                    interrupt.arm(frame_timeout);
                    frames_since_start += 1;
                    tell_times(&frame);
                    *had_frame = true;
                    if let (None, Some(way)) = (first_frame_at, way) {
                        self.choice.had_frame(way);
                        self.vitals.comes_by(way.transport.name(), way.client.name());
                    }
                    first_frame_at.get_or_insert_with(|| {
                        let client = way.map(|way| format!(" by {}", way.client.name()));
                        tracing::info!(
                            "live: {}{}, {} {}x{} {}",
                            self.describe(way),
                            client.unwrap_or_default(),
                            stream.codec_name(),
                            frame.picture.width(),
                            frame.picture.height(),
                            pixel_format_name(frame.picture.pixel_format()),
                        );
                        Instant::now()
                    });
                    if self.vitals.frame(frame.timestamp_ns) {
                        self.path.was_stalled();
                    }
                    if let Some(period) = self.path.take(frame, &mut period)
                        && !only_keyframes
                    {
                        self.vitals.on(Event::FramePeriod(period));
                    }
                }
                Ok(Next::Ended) => {
                    let Source::File(file) = &self.config.source else {
                        return Err(Failure::lost(format!(
                            "{}: the camera ended the stream",
                            self.describe(way)
                        )));
                    };
                    if frames_since_start == 0 {
                        return Err(Failure::lost(format!(
                            "{}: no picture in it could be decoded",
                            file.path.display()
                        )));
                    }
                    if !file.repeat {
                        return Ok(End::Finished);
                    }
                    frames_since_start = 0;
                    tracing::debug!("{}: from its beginning", file.path.display());
                    interrupt.arm(self.config.open_timeout);
                    // With a decoder of its own: the file may be another one by now.
                    let opened = with_errors_held(|| {
                        let source = file.open(interrupt)?;
                        Ok(Stream::new(source, self.config.into(), frame_timeout)?)
                    });
                    match opened {
                        (Ok(again), _) => stream = again,
                        (Err(error), detail) => {
                            return self.explain_open(way, &error, detail.as_deref(), interrupt.cause());
                        }
                    }
                    interrupt.arm(frame_timeout);
                    if let Some(pacer) = &mut pacer {
                        pacer.rewind();
                    }
                }
                Err(error) => {
                    let hint = error.hint().filter(|_| first_frame_at.is_none() || error.is_for_good());
                    return Err(Failure::lost(format!("{}: {error}", self.describe(way))).with_hint(hint));
                }
            }
        }
    }

    /// The source, with the way that it is tried by.
    fn describe(&self, way: Option<Way>) -> String {
        match (&self.config.source, way) {
            (Source::Rtsp(rtsp), Some(way)) => rtsp.describe(way.transport),
            (source, _) => source.describe(),
        }
    }

    /// The deadline passed on an open source.
    fn silent(&self, way: Option<Way>, had_frames: bool) -> Failure {
        let frame_timeout = self.config.frame_timeout;
        Failure::lost(if had_frames {
            format!("{}: no frame for {} s", self.describe(way), seconds(frame_timeout))
        } else {
            let limit = seconds(frame_timeout * FIRST_FRAME_TIMEOUTS);
            format!("{}: connected, but no first frame within {limit} s", self.describe(way))
        })
    }

    fn explain_open(
        &self,
        way: Option<Way>,
        error: &SourceError,
        detail: Option<&str>,
        cause: Option<Cause>,
    ) -> Result<End, Failure> {
        let place = self.describe(way);
        match (cause, error, &self.config.source) {
            (Some(Cause::Stopped), ..) => Ok(End::Stopped),
            (Some(Cause::Deadline), ..) => {
                let limit = seconds(self.config.open_timeout);
                Err(Failure::lost(format!("{place}: no answer within {limit} s")))
            }
            (None, SourceError::Open(OpenError::Call(call)), Source::Rtsp(rtsp)) if call.is_refused() => {
                Err(self.refused(rtsp, &call.reason()))
            }
            (None, SourceError::Refused(reason), Source::Rtsp(rtsp)) => Err(self.refused(rtsp, reason)),
            (None, SourceError::Open(OpenError::Call(call)), Source::File(_)) if call.is_invalid_data() => {
                Err(Failure::lost(format!("{place}: {}", self.not_a_media_file(*call, detail))))
            }
            (None, SourceError::Open(OpenError::Call(_)), Source::Rtsp(rtsp))
                if detail.is_some_and(|detail| detail.starts_with(UNRESOLVED)) =>
            {
                let why = detail.and_then(|detail| detail.rsplit_once(": ")).map_or("", |(_, why)| why);
                Err(unresolved(&place, rtsp, why))
            }
            (None, SourceError::Unresolved(why), Source::Rtsp(rtsp)) => Err(unresolved(&place, rtsp, why)),
            // Of a certificate that it refuses FFmpeg says something before.
            (None, SourceError::Open(OpenError::Call(call)), Source::Rtsp(rtsp))
                if rtsp.is_http() && call.is_io_error() && detail.is_none() =>
            {
                Err(Failure::lost(format!("{place}: {}", SourceError::NotFollowed)))
            }
            (None, error, _) => {
                // These say it all; what FFmpeg said before is about how it came to it.
                let says_it_all = !matches!(
                    error,
                    SourceError::Open(OpenError::Call(_) | OpenError::OptionsNotTaken(_))
                        | SourceError::Retina(_)
                        | SourceError::NotUnderstood(_)
                );
                let detail = detail.filter(|_| !says_it_all);
                let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
                Err(Failure::lost(format!("{place}: {error}{detail}")).with_hint(error.hint()))
            }
        }
    }

    /// 401 or 403.
    fn refused(&self, rtsp: &RtspSource, reason: &str) -> Failure {
        let username = rtsp.username.as_deref().unwrap_or_default();
        let who = match (&rtsp.username, rtsp.password()) {
            (None, None) => "without user name and password".to_owned(),
            (_, None) => format!("user {username:?} without a password"),
            (_, Some(_)) => format!("user {username:?} and its password"),
        };
        let (id, host) = (self.config.id, rtsp.host());
        if reason.contains("403") && rtsp.username.is_none() && rtsp.password.is_none() {
            return Failure::refused(format!(
                "camera {id} at {host} forbids its stream to whoever asks {who}: {reason}; it wants some, or its filter of addresses \
                 keeps this server out"
            ));
        }
        if reason.contains("403") {
            return Failure::refused(format!(
                "camera {id} at {host} forbids its stream to {who}: {reason}; that user's rights on the camera, or the camera's filter \
                 of addresses, keep this server out, or its password is wrong after all"
            ));
        }
        Failure::refused(format!(
            "camera {id} at {host} refuses {who}: {reason}; correct username and password in the configuration"
        ))
    }

    /// A file that FFmpeg can make nothing of.
    fn not_a_media_file(&self, error: AvError, detail: Option<&str>) -> String {
        let Source::File(file) = &self.config.source else { return "no video can be found in it".to_owned() };
        if std::fs::metadata(&file.path).is_ok_and(|metadata| metadata.len() == 0) {
            return "the file is empty".to_owned();
        }
        format!(
            "it is no video file, or a damaged one: {}",
            detail.map_or_else(|| error.reason(), str::to_owned)
        )
    }
}

/// The deadline of the first frame passed. Does the decoder make nothing of what comes (it was sent something, and packets still
/// come), or has the camera merely fallen silent?
pub(crate) fn is_undecodable(
    had_sent: bool,
    since_packet: Option<Duration>,
    frame_timeout: Duration,
) -> bool {
    had_sent && since_packet.is_some_and(|age| age < frame_timeout / STILL_COMING_DIVISOR)
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

fn unresolved(place: &str, rtsp: &RtspSource, why: &str) -> Failure {
    Failure::lost(format!("{place}: the host name {} cannot be resolved: {why}", rtsp.host()))
}

/// Every time that is known of a frame, for whoever asks for it (`VAS_LOG=vas_ingest::frames=trace`).
fn tell_times(frame: &Decoded) {
    let arrival = frame.arrival.as_ref();
    tracing::trace!(
        target: "vas_ingest::frames",
        decoded_ns = frame.timestamp_ns,
        decode_ns = frame.decode_time.as_nanos() as u64,
        received_ns = arrival.map(|arrival| arrival.received_ns),
        pts_ns = frame.pts_ns,
        camera_ns = arrival.and_then(|arrival| arrival.camera_ns),
        "frame"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_falls_silent_before_its_first_frame_is_no_matter_of_the_client() {
        let timeout = Duration::from_secs(4);
        let ago = |ms| Some(Duration::from_millis(ms));
        assert!(is_undecodable(true, ago(40), timeout));
        assert!(!is_undecodable(true, ago(1000), timeout), "nothing came for a while");
        assert!(!is_undecodable(false, ago(40), timeout), "a keyframe was waited for");
        assert!(!is_undecodable(false, None, timeout), "nothing ever came");
    }
}
