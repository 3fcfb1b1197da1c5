//! The element: a live source that waits for a camera's frames, negotiates when they change, and copies each into a buffer.
//!
//! The streaming thread owns the stream of frames ([`Streaming`]); what other threads ask for or end stands apart ([`Shared`], the
//! counters), so that nobody ever waits for a frame but that thread. A pause and a flush reach it at the [`Gate`].

use crate::gate::{Gate, Pass, Visit};
use crate::picture;
use crate::settings::Settings;
use crate::time::Timeline;
use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gst_video::{VideoBufferPool, VideoFrameRef, VideoInfo, VideoMeta};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vas_shm_reader::{Event, FrameStream, HeldFrame, Reader, Status, StreamStatus};

/// The name of the element messages that tell of a change.
const STATUS_MESSAGE: &str = "vas-frames-status";
/// What a buffer's reference timestamp is: CLOCK_MONOTONIC when the server had the frame decoded.
const REFERENCE: &str = "timestamp/x-vas-monotonic";
/// Longer than anybody waits in one go; the canceller ends it.
const LONG: Duration = Duration::from_secs(3600);
/// A rate that the camera does not tell of, for the answer to how late frames are.
const USUAL_PERIOD: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Slots of a pair that was not opened yet.
const USUAL_SLOTS: u64 = 3;

static CATEGORY: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "vasframesrc",
        gst::DebugColorFlags::empty(),
        Some("Frames of a VAS server's camera"),
    )
});
static REFERENCE_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| gst::Caps::builder(REFERENCE).build());

/// What the streaming thread alone works with.
#[derive(Debug)]
struct Streaming {
    stream: FrameStream,
    timeout: Option<Duration>,
    timeline: Timeline,
    /// Of the buffers that are made now.
    shown: Option<Shown>,
    /// Something is missing between the buffer before and the next one.
    is_gap: bool,
}

/// What was negotiated, and for which frames.
#[derive(Clone, Debug)]
struct Shown {
    generation: u64,
    period_ns: u64,
    info: VideoInfo,
}

/// What any thread may ask for.
#[derive(Debug, Default)]
struct Shared {
    caps: Option<gst::Caps>,
    status: Option<String>,
    period_ns: u64,
    slots: u64,
}

/// The element's instance.
#[derive(Debug, Default)]
pub struct VasFrameSrc {
    settings: Mutex<Settings>,
    streaming: Mutex<Option<Streaming>>,
    shared: Mutex<Shared>,
    gate: Gate,
    frames: AtomicU64,
    skipped: AtomicU64,
    generation: AtomicU64,
}

/// A panic of one thread is GStreamer's to tell; the next one finds what is there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for VasFrameSrc {
    const NAME: &'static str = "GstVasFrameSrc";
    type Type = super::VasFrameSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for VasFrameSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = Settings::properties().to_vec();
            properties.extend([
                glib::ParamSpecUInt64::builder("frames")
                    .nick("Frames")
                    .blurb("Frames that were handed on since the start")
                    .read_only()
                    .build(),
                glib::ParamSpecUInt64::builder("skipped")
                    .nick("Skipped")
                    .blurb("Frames of the camera that were not handed on since the start: overwritten before they were seen or while they were copied")
                    .read_only()
                    .build(),
                glib::ParamSpecUInt64::builder("generation")
                    .nick("Generation")
                    .blurb("Which pair of files the newest buffer is from; another one means another picture size or another run of the server (0: none yet)")
                    .read_only()
                    .build(),
                glib::ParamSpecString::builder("status")
                    .nick("Status")
                    .blurb("What is known of the camera: waiting, refused, live, idle, stalled, stopped, replaced, server_gone (null: not started)")
                    .read_only()
                    .build(),
            ]);
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        lock(&self.settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "frames" => self.frames.load(Ordering::Relaxed).to_value(),
            "skipped" => self.skipped.load(Ordering::Relaxed).to_value(),
            "generation" => self.generation.load(Ordering::Relaxed).to_value(),
            "status" => lock(&self.shared).status.to_value(),
            name => lock(&self.settings).get(name).unwrap_or_else(|| pspec.default_value().clone()),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for VasFrameSrc {}

impl ElementImpl for VasFrameSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "VAS frame source",
                "Source/Video",
                "Shows the frames of a camera that a VAS video server exports through shared memory, through restarts of the server and changes of the picture",
                "The authors of VAS frame export",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            // PROTOCOL.md's bounds of a picture.
            let caps = gst_video::VideoCapsBuilder::new()
                .format(gst_video::VideoFormat::Nv12)
                .width_range(1..=16384)
                .height_range(1..=16384)
                .build();
            gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, &caps)
                .into_iter()
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::PlayingToPaused => self.gate.pause(),
            gst::StateChange::PausedToPlaying => self.gate.resume(),
            _ => {}
        }
        self.parent_change_state(transition)
    }
}

impl BaseSrcImpl for VasFrameSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let stream =
            settings.stream().map_err(|why| gst::error_msg!(gst::ResourceError::Settings, ("{why}")))?;
        self.gate.guard(Some(stream.canceller()));
        for counter in [&self.frames, &self.skipped, &self.generation] {
            counter.store(0, Ordering::Relaxed);
        }
        *lock(&self.shared) = Shared::default();
        *lock(&self.streaming) = Some(Streaming {
            stream,
            timeout: settings.timeout(),
            timeline: Timeline::default(),
            shown: None,
            is_gap: false,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.gate.guard(None);
        // Unmaps: the server sees that nobody is attached any more.
        *lock(&self.streaming) = None;
        *lock(&self.shared) = Shared::default();
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.gate.flush();
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.gate.end_flush();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let caps = lock(&self.shared).caps.clone();
        let caps = caps.unwrap_or_else(|| self.obj().src_pad().pad_template_caps());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        if lock(&self.shared).caps.is_none() {
            // Nothing is known before the first frame, which negotiates.
            return Ok(());
        }
        self.parent_negotiate()
    }

    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        let (caps, _) = query.get_owned();
        let Some(info) = caps.as_deref().and_then(|caps| VideoInfo::from_caps(caps).ok()) else {
            return self.parent_decide_allocation(query);
        };
        let info_size = u32::try_from(info.size())
            .map_err(|_| gst::loggable_error!(CATEGORY, "a picture of {} bytes", info.size()))?;
        let offered = query.allocation_pools().next();
        let is_first = offered.is_none();
        let (pool, size, min, max) = match offered {
            Some((Some(pool), size, min, max)) => (pool, size.max(info_size), min, max),
            Some((None, size, min, max)) => (VideoBufferPool::new().upcast(), size.max(info_size), min, max),
            None => (VideoBufferPool::new().upcast(), info_size, 0, 0),
        };
        let mut config = pool.config();
        config.set_params(caps.as_ref(), size, min, max);
        if pool.has_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META) {
            // Each buffer says itself where its rows are, and rows may lie as downstream likes them.
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        if let Err(why) = pool.set_config(config) {
            // It has changed it to what it can do, or is in use already. The base class looks at what it is now, and decides.
            gst::info!(CATEGORY, imp = self, "the pool of buffers has its own mind: {why}");
        }
        if is_first {
            query.add_allocation_pool(Some(&pool), size, min, max);
        } else {
            query.set_nth_allocation_pool(0, Some(&pool), size, min, max);
        }
        self.parent_decide_allocation(query)
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(answer) = query.view_mut() {
            let (period, slots) = self.period_and_slots();
            // A frame is stamped when the server has it, and handed on at most a period later. Downstream may let this element wait
            // until the slots are used up; what it lets wait longer is skipped.
            let most =
                gst::ClockTime::from_nseconds(period.nseconds().saturating_mul(slots).min(u64::MAX - 1));
            answer.set(true, period, most);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }
}

impl PushSrcImpl for VasFrameSrc {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let mut streaming = lock(&self.streaming);
        let streaming = streaming.as_mut().ok_or(gst::FlowError::Flushing)?;
        let visit = self.gate.enter();
        let mut asked = Instant::now();
        loop {
            match self.gate.pass(visit) {
                Pass::Open => {}
                Pass::AfterPause => asked = Instant::now(),
                Pass::Flushing => return Err(gst::FlowError::Flushing),
            }
            let left = streaming.timeout.map(|timeout| timeout.saturating_sub(asked.elapsed()));
            let (held, skipped) = match streaming.stream.next_event(left.unwrap_or(LONG).min(LONG)) {
                Event::Frame(frame) => (frame.hold(), frame.skipped()),
                Event::Status(status) => {
                    self.tell(streaming.stream.camera().as_str(), &status);
                    continue;
                }
                Event::Timeout => {
                    if left.is_some_and(|left| left.is_zero()) && !self.gate.is_closed(visit) {
                        return Err(self.no_frame(streaming));
                    }
                    continue;
                }
            };
            self.count_skipped(streaming, skipped);
            if self.gate.is_closed(visit) {
                // Found while the pipeline was about to pause: it would be handed on in the pause, and shown after it.
                self.count_skipped(streaming, 1);
                continue;
            }
            if let Some(buffer) = self.buffer(streaming, visit, &held)? {
                self.frames.fetch_add(1, Ordering::Relaxed);
                return Ok(CreateSuccess::NewBuffer(buffer));
            }
            // Overwritten before the copy was whole: what the buffer holds is two pictures, and nobody gets it.
            self.count_skipped(streaming, 1);
        }
    }
}

impl VasFrameSrc {
    /// A buffer with the frame; none if the server overwrote it meanwhile.
    fn buffer(
        &self,
        streaming: &mut Streaming,
        visit: Visit,
        held: &HeldFrame,
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let frame = held.frame();
        let picture = *frame.picture();
        let known = streaming.stream.reader().map_or(0, Reader::frame_period_ns);
        let known = picture::known_period(known);
        let before = streaming.shown.as_ref().filter(|shown| shown.generation == frame.generation());
        // A server that does not know the rate any more has said it before.
        let period_ns = if known > 0 { known } else { before.map_or(0, |shown| shown.period_ns) };
        let mut packed = None;
        let info = match before.filter(|shown| shown.period_ns == period_ns) {
            Some(shown) => shown.info.clone(),
            None => {
                // Negotiating may take downstream longer than a slot lives.
                let Ok(copy) = frame.to_packed() else { return Ok(None) };
                packed = Some(copy);
                self.show(streaming, visit, held, period_ns)?
            }
        };
        let mut buffer = self.acquire(&info)?;
        let writable = buffer.get_mut().ok_or(gst::FlowError::Error)?;
        let copied =
            VideoFrameRef::from_buffer_ref_writable(&mut *writable, &info).and_then(
                |mut out| match &packed {
                    Some(packed) => picture::copy_from_packed(packed, &picture, &mut out).map(|()| true),
                    None => match frame.with(|nv12| picture::copy_from_shared(nv12, &mut out)) {
                        Ok(copied) => copied.map(|()| true),
                        Err(_overwritten) => Ok(false),
                    },
                },
            );
        match copied {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) => {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Write,
                    (
                        "copy a picture of {}x{} into a buffer of downstream's: {why}",
                        picture.width(),
                        picture.height()
                    )
                );
                return Err(gst::FlowError::Error);
            }
        }
        writable.set_pts(streaming.timeline.pts(self.obj().upcast_ref(), frame.timestamp_ns()));
        writable.set_duration((period_ns > 0).then(|| gst::ClockTime::from_nseconds(period_ns)));
        writable.set_offset(frame.id().get());
        writable.set_offset_end(frame.id().get().saturating_add(1));
        if frame.is_damaged() {
            writable.set_flags(gst::BufferFlags::CORRUPTED);
        }
        if std::mem::take(&mut streaming.is_gap) {
            writable.set_flags(gst::BufferFlags::DISCONT);
        }
        // GStreamer's word for "no time" is the largest number, and its Rust binding ends the process for it.
        if let Some(timestamp) = Some(frame.timestamp_ns()).filter(|&ns| ns != u64::MAX) {
            let timestamp = gst::ClockTime::from_nseconds(timestamp);
            gst::ReferenceTimestampMeta::add(writable, &REFERENCE_CAPS, timestamp, gst::ClockTime::NONE);
        }
        self.generation.store(frame.generation(), Ordering::Relaxed);
        if lock(&self.shared).status.as_deref() != Some(Status::Live.name()) {
            // The stream lets frames speak for themselves; an application waits for the word.
            self.tell(streaming.stream.camera().as_str(), &StreamStatus::Open(Status::Live));
        }
        Ok(Some(buffer))
    }

    /// Negotiates for the frames of a pair, or for another rate of them.
    fn show(
        &self,
        streaming: &mut Streaming,
        visit: Visit,
        held: &HeldFrame,
        period_ns: u64,
    ) -> Result<VideoInfo, gst::FlowError> {
        let frame = held.frame();
        let refused = |why: &dyn std::fmt::Display| {
            let picture = frame.picture();
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                (
                    "camera {} now has pictures of {}x{}, and they cannot be handed on: {why}",
                    streaming.stream.camera().as_str(),
                    picture.width(),
                    picture.height()
                )
            );
            gst::FlowError::NotNegotiated
        };
        let caps = picture::caps(frame.picture(), frame.color(), period_ns).map_err(|why| refused(&why))?;
        let info = VideoInfo::from_caps(&caps).map_err(|why| refused(&why))?;
        let slots =
            streaming.stream.reader().map_or(USUAL_SLOTS, |reader| u64::from(reader.header().slots().get()));
        let before = {
            let mut shared = lock(&self.shared);
            let before = (shared.period_ns, shared.slots);
            (shared.period_ns, shared.slots) = (period_ns, slots);
            shared.caps = Some(caps.clone());
            before
        };
        if streaming.shown.as_ref().is_none_or(|shown| shown.generation != frame.generation()) {
            // The numbers of another pair's frames say nothing of how many were missed.
            streaming.is_gap = true;
        }
        if self.obj().src_pad().current_caps().as_ref() != Some(&caps) {
            gst::info!(CATEGORY, imp = self, "frame {}: {caps}", frame.id());
            if !self.obj().negotiate() {
                let is_flushing = self.obj().src_pad().pad_flags().contains(gst::PadFlags::FLUSHING);
                if is_flushing || self.gate.ends(visit) {
                    return Err(gst::FlowError::Flushing);
                }
                return Err(refused(&format_args!(
                    "what stands behind this element does not take {caps}; a videoscale, videorate or videoconvert before it would"
                )));
            }
        }
        if before != (period_ns, slots) {
            // Everybody asks again how late frames are.
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
        streaming.shown = Some(Shown { generation: frame.generation(), period_ns, info: info.clone() });
        Ok(info)
    }

    /// A buffer of the pool that was agreed on. Downstream may let this wait until it gives one back; frames go by meanwhile, and are
    /// counted.
    fn acquire(&self, info: &VideoInfo) -> Result<gst::Buffer, gst::FlowError> {
        if let Some(pool) = self.obj().buffer_pool() {
            return pool.acquire_buffer(None);
        }
        let mut buffer = gst::Buffer::with_size(info.size()).map_err(|_| gst::FlowError::Error)?;
        let writable = buffer.get_mut().ok_or(gst::FlowError::Error)?;
        VideoMeta::add(
            writable,
            gst_video::VideoFrameFlags::empty(),
            info.format(),
            info.width(),
            info.height(),
        )
        .map_err(|_| gst::FlowError::Error)?;
        Ok(buffer)
    }

    fn count_skipped(&self, streaming: &mut Streaming, frames: u64) {
        if frames > 0 {
            streaming.is_gap = true;
            self.skipped.fetch_add(frames, Ordering::Relaxed);
        }
    }

    /// Tells the application of a change: a message, the property, and a line for people who watch a terminal.
    fn tell(&self, camera: &str, status: &StreamStatus) {
        let sentence = format!("camera {camera}: {status}");
        lock(&self.shared).status = Some(status.name().to_owned());
        let why = match status {
            StreamStatus::Waiting(why) => Some(why.to_string()),
            StreamStatus::Refused(why) => Some(why.to_string()),
            StreamStatus::Open(_) => None,
        };
        let structure = gst::Structure::builder(STATUS_MESSAGE)
            .field("camera", camera)
            .field("state", status.name())
            .field_if_some("why", why)
            .build();
        gst::info!(CATEGORY, imp = self, "{sentence}");
        let _ = self.obj().post_message(gst::message::Element::builder(structure).src(&*self.obj()).build());
        self.obj().notify("status");
        match status {
            StreamStatus::Refused(_) => {
                gst::element_imp_warning!(self, gst::ResourceError::OpenRead, ("{sentence}"));
            }
            StreamStatus::Open(Status::Live | Status::Idle) => {}
            StreamStatus::Waiting(_) | StreamStatus::Open(_) => {
                gst::element_imp_info!(self, gst::ResourceError::Read, ("{sentence}"));
            }
        }
    }

    fn no_frame(&self, streaming: &Streaming) -> gst::FlowError {
        let status = lock(&self.shared).status.clone();
        gst::element_imp_error!(
            self,
            gst::ResourceError::Read,
            (
                "camera {}: no frame for {} seconds (the property timeout); it was last seen {}",
                streaming.stream.camera().as_str(),
                streaming.timeout.unwrap_or_default().as_secs_f64(),
                status.as_deref().unwrap_or("not at all")
            )
        );
        gst::FlowError::Error
    }

    fn period_and_slots(&self) -> (gst::ClockTime, u64) {
        let shared = lock(&self.shared);
        let period =
            if shared.period_ns > 0 { gst::ClockTime::from_nseconds(shared.period_ns) } else { USUAL_PERIOD };
        (period, if shared.slots > 0 { shared.slots } else { USUAL_SLOTS })
    }
}
