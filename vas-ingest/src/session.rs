//! One connection to a camera: from opening its source to the end of it, whatever ends it.

use crate::address::Skip;
use crate::av::AvError;
use crate::av::frame::pixel_format_name;
use crate::av::input::OpenError;
use crate::av::interrupt::{Cause, Interrupt};
use crate::av::log::with_errors_held;
use crate::clock::{self, FramePeriod, Pacer};
use crate::config::CameraConfig;
use crate::decode::{Next, Stream};
use crate::export::CameraExport;
use crate::life::{Event, Trouble};
use crate::path::FramePath;
use crate::source::{Source, SourceError};
use crate::status::Counters;
use crate::stop::Stop;
use crate::vitals::Vitals;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connected camera may take this many frame timeouts for its first frame: one to wait for a keyframe, one as always.
const FIRST_FRAME_TIMEOUTS: u32 = 2;

/// A socket may be silent for this much longer than any deadline of ours, so that ours come first: they know what to say.
const SILENCE_MARGIN: Duration = Duration::from_secs(2);

/// How FFmpeg's line about a host name begins (libavformat/tcp.c and udp.c).
const UNRESOLVED: &str = "Failed to resolve hostname ";

/// Why a session ended without being asked to.
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    pub(crate) sentence: String,
}

impl Failure {
    pub(crate) fn lost(sentence: impl Into<String>) -> Self {
        Self { trouble: Trouble::Lost, sentence: sentence.into() }
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
}

impl Session<'_> {
    /// Until the stop, the end of a file, or a trouble.
    pub(crate) fn run(&mut self) -> End {
        let interrupt = Interrupt::new(Arc::clone(self.stop));
        match self.open_and_play(&interrupt) {
            Ok(end) => end,
            Err(failure) => End::Failed(failure),
        }
    }

    fn open_and_play(&mut self, interrupt: &Arc<Interrupt>) -> Result<End, Failure> {
        let frame_timeout = self.config.frame_timeout;
        interrupt.arm(self.config.open_timeout);
        let longest = self.config.open_timeout.max(frame_timeout.saturating_mul(FIRST_FRAME_TIMEOUTS));
        let silence = longest.saturating_add(SILENCE_MARGIN);
        let opened = with_errors_held(|| {
            let input = self.config.source.open(silence, interrupt)?;
            Ok(Stream::new(input, self.config.into(), frame_timeout)?)
        });
        let mut stream = match opened {
            (Ok(stream), _) => stream,
            (Err(error), detail) => return self.explain_open(&error, detail.as_deref(), interrupt.cause()),
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
        interrupt.arm(frame_timeout * FIRST_FRAME_TIMEOUTS);
        loop {
            let next = stream.next(self.counters);
            // The code of an interrupted call means nothing, and a stream that never blocks is never interrupted: so the
            // interrupt is asked first, and each time.
            match interrupt.cause() {
                Some(Cause::Stopped) => return Ok(End::Stopped),
                Some(Cause::Deadline) => return Err(self.silent(first_frame_at.is_some())),
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
                    first_frame_at.get_or_insert_with(|| {
                        tracing::info!(
                            "live: {}, {} {}x{} {}",
                            self.config.source.describe(),
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
                            self.describe()
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
                        let input = file.open(interrupt)?;
                        Ok(Stream::new(input, self.config.into(), frame_timeout)?)
                    });
                    match opened {
                        (Ok(again), _) => stream = again,
                        (Err(error), detail) => {
                            return self.explain_open(&error, detail.as_deref(), interrupt.cause());
                        }
                    }
                    interrupt.arm(frame_timeout);
                    if let Some(pacer) = &mut pacer {
                        pacer.rewind();
                    }
                }
                Err(error) => return Err(Failure::lost(format!("{}: {error}", self.describe()))),
            }
        }
    }

    fn describe(&self) -> String {
        self.config.source.describe()
    }

    /// The deadline passed on an open source.
    fn silent(&self, had_frames: bool) -> Failure {
        let seconds = |time: Duration| time.as_millis() as f64 / 1000.0;
        let frame_timeout = self.config.frame_timeout;
        Failure::lost(if had_frames {
            format!("{}: no frame for {} s", self.describe(), seconds(frame_timeout))
        } else {
            let limit = seconds(frame_timeout * FIRST_FRAME_TIMEOUTS);
            format!("{}: connected, but no first frame within {limit} s", self.describe())
        })
    }

    fn explain_open(
        &self,
        error: &SourceError,
        detail: Option<&str>,
        cause: Option<Cause>,
    ) -> Result<End, Failure> {
        let place = self.describe();
        match (cause, error, &self.config.source) {
            (Some(Cause::Stopped), ..) => Ok(End::Stopped),
            (Some(Cause::Deadline), ..) => {
                let limit = self.config.open_timeout.as_millis() as f64 / 1000.0;
                Err(Failure::lost(format!("{place}: no answer within {limit} s")))
            }
            (None, SourceError::Open(OpenError::Call(call)), Source::Rtsp(rtsp)) if call.is_refused() => {
                let who = match (&rtsp.username, &rtsp.password) {
                    (None, None) => "without user name and password".to_owned(),
                    (username, None) => {
                        format!("user {:?} without a password", username.as_deref().unwrap_or_default())
                    }
                    (username, Some(_)) => {
                        format!("user {:?} and its password", username.as_deref().unwrap_or_default())
                    }
                };
                Err(Failure {
                    trouble: Trouble::Refused,
                    sentence: format!(
                        "camera {} at {} refuses {who}: {}; correct username and password in the configuration",
                        self.config.id,
                        rtsp.host(),
                        call.reason()
                    ),
                })
            }
            (None, SourceError::Open(OpenError::Call(call)), Source::File(_)) if call.is_invalid_data() => {
                Err(Failure::lost(format!("{place}: {}", self.not_a_media_file(*call, detail))))
            }
            (None, SourceError::Open(OpenError::Call(_)), Source::Rtsp(rtsp))
                if detail.is_some_and(|detail| detail.starts_with(UNRESOLVED)) =>
            {
                let why = detail.and_then(|detail| detail.rsplit_once(": ")).map_or("", |(_, why)| why);
                Err(Failure::lost(format!(
                    "{place}: the host name {} cannot be resolved: {why}",
                    rtsp.host()
                )))
            }
            // These say it all; what FFmpeg said before is about how it came to it.
            (None, SourceError::Redirected { .. }, _)
            | (
                None,
                SourceError::Open(
                    OpenError::NoVideo | OpenError::NoDecoder(_) | OpenError::CodecNotAllowed { .. },
                ),
                _,
            ) => Err(Failure::lost(format!("{place}: {error}"))),
            (None, error, _) => {
                let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
                Err(Failure::lost(format!("{place}: {error}{detail}")))
            }
        }
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
