//! Packets in, pictures out.

use super::frame::Frame;
use super::input::Input;
use super::log::Voice;
use super::packet::Packet;
use super::{AvError, Rational, check};
use crate::address::Skip;
use ffmpeg_sys_next as ff;
use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

/// How packets are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoding {
    /// Pictures with more pixels are refused.
    pub(crate) max_pixels: u64,
    /// 1: every picture comes out with its own packet. More decode several pictures at a time, each a picture later.
    pub(crate) threads: u32,
    /// Which pictures are left out.
    pub(crate) skip: Skip,
}

#[cfg(any(test, feature = "bench"))]
impl Decoding {
    /// Everything, of any size, on one thread.
    pub(crate) const ALL: Self = Self { max_pixels: u64::MAX, threads: 1, skip: Skip::None };
}

/// Owner of an `AVCodecContext`. Not `Send`: it stays with its input.
pub(crate) struct Decoder {
    ctx: NonNull<ff::AVCodecContext>,
    /// Outlives the context and its threads, which end in `drop`.
    voice: Voice,
}

/// What a decoder answers when it is asked for a picture. Only [`AvError`] is a failure.
pub(crate) enum Received {
    /// A picture.
    Frame(Frame),
    /// None before it gets another packet.
    NeedsPacket,
    /// None any more: it was drained.
    Drained,
}

impl Decoder {
    /// `avcodec_open2` for the input's video.
    ///
    /// Further threads decode further pictures (frame threads), and never slices of one: so what a thread costs is the same with
    /// every camera, one picture of delay. Most cameras send one slice a picture, where slice threads gain nothing. Damaged
    /// pictures that a decoder would rather hold back stay held back (no OUTPUT_CORRUPT).
    pub(crate) fn open(input: &Input, decoding: Decoding) -> Result<Self, AvError> {
        let decoder = Self::blank(input.codec())?;
        // SAFETY: the context is ours, the parameters belong to the input, which is alive; they are copied.
        let code =
            unsafe { ff::avcodec_parameters_to_context(decoder.ctx.as_ptr(), input.codec_parameters()) };
        check("avcodec_parameters_to_context", code)?;
        decoder.opened(input.codec(), input.time_base(), decoding)
    }

    /// `avcodec_find_decoder_by_name`, then as [`Decoder::open`], for packets that do not come from an [`Input`]: whatever else
    /// the decoder needs to know (parameter sets) stands in them.
    pub(crate) fn by_name(name: &CStr, time_base: Rational, decoding: Decoding) -> Result<Self, AvError> {
        // SAFETY: a terminated text; the result is null or a static object of the library.
        let codec = unsafe { ff::avcodec_find_decoder_by_name(name.as_ptr()) };
        if codec.is_null() {
            return Err(AvError {
                call: "avcodec_find_decoder_by_name",
                code: ff::AVERROR_DECODER_NOT_FOUND,
            });
        }
        Self::blank(codec)?.opened(codec, time_base, decoding)
    }

    fn blank(codec: *const ff::AVCodec) -> Result<Self, AvError> {
        // SAFETY: the codec is a static object of the library.
        let ctx = unsafe { ff::avcodec_alloc_context3(codec) };
        let ctx = NonNull::new(ctx).ok_or(AvError::out_of_memory("avcodec_alloc_context3"))?;
        Ok(Self { ctx, voice: Voice::of_this_thread() })
    }

    fn opened(
        self,
        codec: *const ff::AVCodec,
        time_base: Rational,
        decoding: Decoding,
    ) -> Result<Self, AvError> {
        let raw = self.ctx.as_ptr();
        // SAFETY: the context is ours and not opened yet, which is when these fields are set.
        unsafe { (*raw).thread_count = c_int::try_from(decoding.threads).unwrap_or(1) };
        // By this what it says on threads of its own is known as its camera's.
        // SAFETY: as above. FFmpeg copies it to the contexts of those threads and never follows it.
        unsafe { (*raw).opaque = self.voice.address() };
        // Cropping to the pixel. Without it, FFmpeg leaves pixels at the left that the camera meant to be cut off, wherever a row
        // would else begin at an odd address.
        // SAFETY: as above.
        unsafe { (*raw).flags |= ff::AV_CODEC_FLAG_UNALIGNED as c_int };
        // SAFETY: as above.
        unsafe { (*raw).thread_type = ff::FF_THREAD_FRAME };
        // SAFETY: as above. A value of our headers goes into C; none comes out.
        unsafe {
            (*raw).skip_frame = match decoding.skip {
                Skip::None => ff::AVDiscard::AVDISCARD_DEFAULT,
                Skip::Nonref => ff::AVDiscard::AVDISCARD_NONREF,
                Skip::Keyframes => ff::AVDiscard::AVDISCARD_NONKEY,
            }
        };
        // SAFETY: as above.
        unsafe { (*raw).max_pixels = i64::try_from(decoding.max_pixels).unwrap_or(i64::MAX) };
        // SAFETY: as above.
        unsafe {
            (*raw).pkt_timebase = ff::AVRational { num: time_base.numerator, den: time_base.denominator };
        }
        if self.codec_id() == ff::AVCodecID::AV_CODEC_ID_HEVC as c_int {
            // FFmpeg's HEVC decoder never marks a damaged picture: an error in its place beats a silent smear.
            // SAFETY: as above.
            unsafe { (*raw).err_recognition |= ff::AV_EF_EXPLODE };
        }
        // Options by name could be left over; fields that this FFmpeg does not have would not compile.
        // SAFETY: the context was made for this codec; no options.
        let code = unsafe { ff::avcodec_open2(raw, codec, ptr::null_mut()) };
        check("avcodec_open2", code)?;
        Ok(self)
    }

    /// The codec id as the integer it is in C.
    fn codec_id(&self) -> c_int {
        // SAFETY: the context is alive; taking a field's address reads nothing.
        let place = unsafe { &raw const (*self.ctx.as_ptr()).codec_id };
        // SAFETY: a C enum is an int here, and is read as one: a value that our headers lack is no problem.
        unsafe { place.cast::<c_int>().read() }
    }

    /// The codec's short name, such as `h264`.
    pub(crate) fn codec_name(&self) -> String {
        // SAFETY: the context is alive.
        let codec = unsafe { (*self.ctx.as_ptr()).codec };
        // SAFETY: an opened context has its codec, a static object.
        let name = unsafe { (*codec).name };
        // SAFETY: a codec's name is a static, terminated text.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// How many packets a picture may come later than its own: the reordering that B-frames need, and the pictures that further
    /// threads have in hand.
    pub(crate) fn delay_packets(&self) -> u32 {
        // SAFETY: the context is alive.
        let reordered = unsafe { (*self.ctx.as_ptr()).has_b_frames };
        // SAFETY: as above. Which kind of threads it has was decided when it was opened; some codecs have none.
        let kind = unsafe { (*self.ctx.as_ptr()).active_thread_type };
        // SAFETY: as above.
        let threads = unsafe { (*self.ctx.as_ptr()).thread_count };
        let in_hand = if kind & ff::FF_THREAD_FRAME == 0 { 0 } else { threads - 1 };
        u32::try_from(reordered).unwrap_or(0) + u32::try_from(in_hand).unwrap_or(0)
    }

    /// `avcodec_send_packet`. False: full, [`Decoder::receive`] first and then send the same packet again.
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<bool, AvError> {
        // SAFETY: both are alive; the decoder takes its own reference to the data.
        let code = unsafe { ff::avcodec_send_packet(self.ctx.as_ptr(), packet.as_ptr()) };
        if code == ff::AVERROR(ff::EAGAIN) {
            return Ok(false);
        }
        check("avcodec_send_packet", code).map(|_| true)
    }

    /// `avcodec_send_packet(NULL)`: no more packets; the pictures still inside come out.
    pub(crate) fn drain(&mut self) -> Result<(), AvError> {
        // SAFETY: the context is alive; null means the end.
        let code = unsafe { ff::avcodec_send_packet(self.ctx.as_ptr(), ptr::null()) };
        if code == ff::AVERROR_EOF { Ok(()) } else { check("avcodec_send_packet", code).map(drop) }
    }

    /// `avcodec_receive_frame`.
    pub(crate) fn receive(&mut self) -> Result<Received, AvError> {
        let mut frame = Frame::new()?;
        // SAFETY: both are alive, and the frame is ours and blank.
        let code = unsafe { ff::avcodec_receive_frame(self.ctx.as_ptr(), frame.as_mut_ptr()) };
        if code == ff::AVERROR(ff::EAGAIN) {
            return Ok(Received::NeedsPacket);
        }
        if code == ff::AVERROR_EOF {
            return Ok(Received::Drained);
        }
        check("avcodec_receive_frame", code).map(|_| Received::Frame(frame))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut ctx = self.ctx.as_ptr();
        // SAFETY: the context is ours alone and is not used after this. Frames handed out keep the buffers they refer to.
        unsafe { ff::avcodec_free_context(&raw mut ctx) };
    }
}
