//! An opened camera or file: packets of its video come out.

use super::dictionary::Dictionary;
use super::interrupt::Interrupt;
use super::log::{self, LossWatch};
use super::packet::Packet;
use super::{AvError, Rational, check};
use ffmpeg_sys_next as ff;
use secrecy::SecretString;
use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

/// How long closing may take for a word of farewell to the camera (some count the sessions that nobody ended).
const FAREWELL: Duration = Duration::from_millis(200);

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A call failed; ask the interrupt before believing its code.
    #[error(transparent)]
    Call(#[from] AvError),
    /// Options that nothing understood: this FFmpeg is not the one they were written for.
    #[error("this FFmpeg does not know the option {}", .0.join(", "))]
    OptionsNotTaken(Vec<String>),
    /// Sound perhaps, but no video.
    #[error("it has no video")]
    NoVideo,
    /// Video, but of a codec that this FFmpeg cannot decode.
    #[error("its video is {0}, and this FFmpeg has no decoder for that")]
    NoDecoder(String),
    /// Video of a codec that this kind of source may not choose.
    #[error("its video is {codec}; only {allowed} are accepted from it")]
    CodecNotAllowed {
        /// The decoder's name.
        codec: String,
        /// Those that are allowed, with commas.
        allowed: &'static str,
    },
}

/// Owner of an `AVFormatContext` with one video stream chosen.
///
/// Not `Send`: the context stays on the thread that opened it.
pub(crate) struct Input {
    ctx: NonNull<ff::AVFormatContext>,
    /// FFmpeg holds its address: it must outlive the context, which `Drop` closes first.
    interrupt: Arc<Interrupt>,
    loss: LossWatch,
    /// Index of the video stream, checked against the context's streams.
    stream_index: c_int,
    /// The decoder that FFmpeg chose for it; codecs are static objects of the library.
    codec: NonNull<ff::AVCodec>,
}

impl Input {
    /// `avformat_open_input`, then the choice of the best video stream; every other stream is discarded.
    ///
    /// `probe` runs `avformat_find_stream_info`: right for files; for RTSP it would cost a second and tell nothing that
    /// the decoder does not find out by itself.
    pub(crate) fn open(
        url: &CStr,
        mut options: Dictionary,
        interrupt: &Arc<Interrupt>,
        probe: bool,
    ) -> Result<Self, OpenError> {
        // SAFETY: takes nothing, returns null or a context that is ours.
        let ctx = unsafe { ff::avformat_alloc_context() };
        let ctx = NonNull::new(ctx).ok_or(AvError::out_of_memory("avformat_alloc_context"))?;
        let callback =
            ff::AVIOInterruptCB { callback: Some(Interrupt::callback), opaque: interrupt.opaque() };
        // SAFETY: the context is alive and nobody else knows of it yet. Before the open: a callback that is set later
        // does not guard the connecting.
        unsafe { (*ctx.as_ptr()).interrupt_callback = callback };
        let loss = log::watch_loss(ctx, interrupt);

        let mut opened = ctx.as_ptr();
        // SAFETY: `opened` is a context from avformat_alloc_context, the url is terminated, no input format is forced,
        // and the dictionary is ours. On failure the call frees the context and sets `opened` to null.
        let code = unsafe {
            ff::avformat_open_input(&raw mut opened, url.as_ptr(), ptr::null(), options.as_mut_ptr())
        };
        // On failure the context is gone: only the watch's entry still has its address, and never follows it.
        check("avformat_open_input", code)?;

        // From here on dropping `input` closes the context. The stream is filled in below.
        let mut input = Self {
            ctx,
            interrupt: Arc::clone(interrupt),
            loss,
            stream_index: -1,
            codec: NonNull::dangling(),
        };
        let not_taken = options.keys();
        if !not_taken.is_empty() {
            return Err(OpenError::OptionsNotTaken(not_taken));
        }
        if probe {
            // SAFETY: the context is open; no options for the streams' decoders.
            let code = unsafe { ff::avformat_find_stream_info(ctx.as_ptr(), ptr::null_mut()) };
            check("avformat_find_stream_info", code)?;
        }
        input.choose_video()?;
        Ok(input)
    }

    /// `av_find_best_stream`, which also finds the decoder: so no codec id has to pass through our hands.
    fn choose_video(&mut self) -> Result<(), OpenError> {
        let mut codec: *const ff::AVCodec = ptr::null();
        let video = ff::AVMediaType::AVMEDIA_TYPE_VIDEO;
        // SAFETY: the context is open, and `codec` is a place for one pointer.
        let index = unsafe { ff::av_find_best_stream(self.ctx.as_ptr(), video, -1, -1, &raw mut codec, 0) };
        self.stream_index = match index {
            ff::AVERROR_STREAM_NOT_FOUND => return Err(OpenError::NoVideo),
            ff::AVERROR_DECODER_NOT_FOUND => return Err(OpenError::NoDecoder(self.first_video_codec())),
            index => check("av_find_best_stream", index)?,
        };
        self.codec = NonNull::new(codec.cast_mut())
            .ok_or(AvError { call: "av_find_best_stream", code: ff::AVERROR_DECODER_NOT_FOUND })?;

        // SAFETY: the context is open.
        let count = unsafe { (*self.ctx.as_ptr()).nb_streams };
        for index in (0..count as usize).filter(|&index| index != self.stream_index as usize) {
            let stream = self.stream_at(index);
            // SAFETY: a stream of the open context, which only this thread touches.
            unsafe { (*stream).discard = ff::AVDiscard::AVDISCARD_ALL };
        }
        Ok(())
    }

    /// The name of the codec of the first video stream, decoder or not.
    fn first_video_codec(&self) -> String {
        // SAFETY: the context is open.
        let count = unsafe { (*self.ctx.as_ptr()).nb_streams };
        for index in 0..count as usize {
            // SAFETY: a stream always has codec parameters.
            let parameters = unsafe { (*self.stream_at(index)).codecpar };
            // SAFETY: as above; taking a field's address reads nothing.
            let media_type = unsafe { &raw const (*parameters).codec_type };
            // SAFETY: as above.
            let codec_id = unsafe { &raw const (*parameters).codec_id };
            // SAFETY: a C enum is an int here, and is read as one.
            let media_type = unsafe { media_type.cast::<c_int>().read() };
            if media_type == ff::AVMediaType::AVMEDIA_TYPE_VIDEO as c_int {
                // SAFETY: as above.
                return super::codec_name(unsafe { codec_id.cast::<c_int>().read() });
            }
        }
        super::codec_name(ff::AVCodecID::AV_CODEC_ID_NONE as c_int)
    }

    /// The name of the chosen decoder, such as `h264`.
    pub(crate) fn decoder_name(&self) -> String {
        // SAFETY: a codec is a static object with a static, terminated name.
        let name = unsafe { (*self.codec.as_ptr()).name };
        // SAFETY: as above.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// Where it was opened in the end: a camera may send its clients elsewhere. With what stood in the first address, which
    /// may be a password.
    pub(crate) fn url(&self) -> SecretString {
        // SAFETY: the context is open.
        let url = unsafe { (*self.ctx.as_ptr()).url };
        if url.is_null() {
            return SecretString::default();
        }
        // SAFETY: a terminated text that is the context's, copied before anything can change it.
        unsafe { CStr::from_ptr(url) }.to_string_lossy().into_owned().into()
    }

    /// A stream of the context; `index` is below `nb_streams`.
    fn stream_at(&self, index: usize) -> *mut ff::AVStream {
        // SAFETY: the context is open.
        let streams = unsafe { (*self.ctx.as_ptr()).streams };
        // SAFETY: `streams` is an array of nb_streams pointers, and the callers keep `index` below that.
        let place = unsafe { streams.add(index) };
        // SAFETY: inside the array, whose entries all point to streams that live as long as the context.
        unsafe { *place }
    }

    fn video(&self) -> *mut ff::AVStream {
        self.stream_at(self.stream_index as usize)
    }

    /// The unit of the packets' and frames' timestamps.
    pub(crate) fn time_base(&self) -> Rational {
        // SAFETY: the chosen stream lives as long as the context.
        Rational::from_raw(unsafe { (*self.video()).time_base })
    }

    /// Frame rates that the stream names: the average, then the lowest common one. Either may be 0/0 or plain wrong.
    pub(crate) fn frame_rates(&self) -> [Rational; 2] {
        let stream = self.video();
        // SAFETY: the chosen stream lives as long as the context.
        let average = unsafe { (*stream).avg_frame_rate };
        // SAFETY: as above.
        let lowest = unsafe { (*stream).r_frame_rate };
        [average, lowest].map(Rational::from_raw)
    }

    pub(super) fn codec(&self) -> *const ff::AVCodec {
        self.codec.as_ptr()
    }

    /// Valid as long as the input is.
    pub(super) fn codec_parameters(&self) -> *const ff::AVCodecParameters {
        // SAFETY: the chosen stream lives as long as the context, and always has codec parameters.
        unsafe { (*self.video()).codecpar }
    }

    /// `av_read_frame`: the next packet of the video, whatever the packet held before. False: the end.
    pub(crate) fn read(&mut self, packet: &mut Packet) -> Result<bool, AvError> {
        loop {
            packet.clear();
            // SAFETY: the context is open, and the packet is ours and blank.
            let code = unsafe { ff::av_read_frame(self.ctx.as_ptr(), packet.as_mut_ptr()) };
            if code == ff::AVERROR_EOF {
                return Ok(false);
            }
            check("av_read_frame", code)?;
            if packet.stream_index() == self.stream_index {
                self.loss.picture();
                return Ok(true);
            }
            // A demuxer that ignores `discard` must not hold us here for ever.
            if self.interrupt.cause().is_some() {
                return Err(AvError { call: "av_read_frame", code: ff::AVERROR_EXIT });
            }
        }
    }

    /// Did reading end because all that came was dropped for its old numbers?
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.interrupt.was_given_up()
    }

    /// RTP packets that were lost since the last call.
    pub(crate) fn take_lost_packets(&self) -> u64 {
        self.loss.take()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let mut ctx = self.ctx.as_ptr();
        self.interrupt.while_closing(FAREWELL, || {
            // SAFETY: the context was opened, is ours alone and is not used after this. The interrupt it points to is a field
            // of self, dropped after this function.
            unsafe { ff::avformat_close_input(&raw mut ctx) };
        });
    }
}
