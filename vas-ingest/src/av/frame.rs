//! A reference to a decoded picture.

use super::AvError;
use ffmpeg_sys_next as ff;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;

unsafe extern "C" {
    // Declared here, and not taken from the bindings, because there the parameter is a Rust enum: a format that our
    // headers lack could not be passed. In C it is an int like any other.
    fn av_get_pix_fmt_name(pixel_format: c_int) -> *const c_char;
    fn av_pix_fmt_desc_get(pixel_format: c_int) -> *const ff::AVPixFmtDescriptor;
}

/// The value of a field of the frame, read by a raw pointer: a reference to the whole struct would claim that its fields which
/// are Rust enums in the bindings hold values that our headers know.
macro_rules! field {
    ($frame:expr, $field:ident) => {{
        // SAFETY: the frame is alive while its owner is, and is changed through `&mut` only; the field is an integer
        // or an array of integers or pointers, and is copied.
        unsafe { (*$frame.raw.as_ptr()).$field }
    }};
}

/// Owner of an `AVFrame`: one counted reference to a picture that nobody writes any more.
///
/// The decoder may go on reading the picture (other pictures refer to it), but it does not change what it has handed out:
/// with one decoder thread a picture is complete when it comes.
pub(crate) struct Frame {
    raw: NonNull<ff::AVFrame>,
}

// SAFETY: an AVFrame is plain memory without ties to a thread. What it refers to is counted atomically and freed, or given
// back to the decoder's pool under the pool's lock, by whichever thread drops the last reference (libavutil/buffer.c).
// The test `a_frame_outlives_its_decoder_on_another_thread` would notice.
unsafe impl Send for Frame {}

/// One plane of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaneRef<'a> {
    /// From the first byte of the first row to the last visible byte of the last row.
    pub(crate) data: &'a [u8],
    pub(crate) stride_bytes: usize,
}

/// The colour description as FFmpeg has it: H.273 code points, and a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawColor {
    pub(crate) range: c_int,
    pub(crate) primaries: c_int,
    pub(crate) transfer: c_int,
    pub(crate) matrix: c_int,
}

impl Frame {
    pub(super) fn new() -> Result<Self, AvError> {
        // SAFETY: takes nothing, returns null or a blank frame that is ours.
        let raw = unsafe { ff::av_frame_alloc() };
        NonNull::new(raw).map(|raw| Self { raw }).ok_or(AvError::out_of_memory("av_frame_alloc"))
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ff::AVFrame {
        self.raw.as_ptr()
    }

    /// Width in luma pixels; 0 if FFmpeg says something impossible.
    pub(crate) fn width(&self) -> u32 {
        u32::try_from(field!(self, width)).unwrap_or(0)
    }

    /// Height in luma rows; 0 if FFmpeg says something impossible.
    pub(crate) fn height(&self) -> u32 {
        u32::try_from(field!(self, height)).unwrap_or(0)
    }

    /// An `AV_PIX_FMT_` value.
    pub(crate) fn pixel_format(&self) -> c_int {
        field!(self, format)
    }

    /// The decoder calls it a keyframe.
    #[cfg(not(ffmpeg_6_1))]
    pub(crate) fn is_key(&self) -> bool {
        field!(self, key_frame) != 0
    }

    /// The decoder calls it a keyframe.
    #[cfg(ffmpeg_6_1)]
    pub(crate) fn is_key(&self) -> bool {
        field!(self, flags) & ff::AV_FRAME_FLAG_KEY != 0
    }

    /// The decoder knows of damage: corrupt input, concealment, slices that failed.
    pub(crate) fn is_flagged(&self) -> bool {
        field!(self, flags) & ff::AV_FRAME_FLAG_CORRUPT != 0 || field!(self, decode_error_flags) != 0
    }

    /// The best guess at its presentation time, in the stream's time base.
    pub(crate) fn pts(&self) -> Option<i64> {
        Some(field!(self, best_effort_timestamp)).filter(|&pts| pts != ff::AV_NOPTS_VALUE)
    }

    /// The pts of the packet that it was made from.
    pub(crate) fn packet_pts(&self) -> Option<i64> {
        Some(field!(self, pts)).filter(|&pts| pts != ff::AV_NOPTS_VALUE)
    }

    /// Range and H.273 code points, as integers.
    pub(crate) fn color(&self) -> RawColor {
        /// Reads a C enum as the int it is.
        macro_rules! raw_enum {
            ($field:ident) => {{
                // SAFETY: the frame is alive; taking a field's address reads nothing.
                let place = unsafe { &raw const (*self.raw.as_ptr()).$field };
                // SAFETY: the field is a C enum, which is an int here and is read as one.
                unsafe { place.cast::<c_int>().read() }
            }};
        }
        RawColor {
            range: raw_enum!(color_range),
            primaries: raw_enum!(color_primaries),
            transfer: raw_enum!(color_trc),
            matrix: raw_enum!(colorspace),
        }
    }

    /// Memory that the picture takes, padding included. Every reference to it shares this memory, the decoder's own among them.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        let buffers = field!(self, buf);
        let sizes = buffers.iter().filter_map(|&buffer| NonNull::new(buffer)).map(|buffer| {
            // SAFETY: a buffer reference of the living frame.
            unsafe { buffer.as_ref() }.size as u64
        });
        sizes.sum()
    }

    /// The planes and strides as swscale wants them: eight entries each, valid as long as the frame is.
    pub(super) fn planes_for_scaler(&self) -> (*const *const u8, *const c_int) {
        // SAFETY: the frame is alive; taking a field's address reads nothing.
        let data = unsafe { &raw const (*self.raw.as_ptr()).data };
        // SAFETY: as above.
        let strides = unsafe { &raw const (*self.raw.as_ptr()).linesize };
        (data.cast(), strides.cast())
    }

    /// One plane, whose visible part is `rows` rows of `row_bytes` bytes.
    ///
    /// None when the memory that FFmpeg states for the plane does not hold that, or when its rows run upwards.
    pub(crate) fn plane(&self, index: usize, row_bytes: usize, rows: usize) -> Option<PlaneRef<'_>> {
        let first = NonNull::new(*field!(self, data).get(index)?)?;
        let stride_bytes = usize::try_from(*field!(self, linesize).get(index)?).ok()?;
        if stride_bytes < row_bytes {
            return None;
        }
        let len = stride_bytes.checked_mul(rows.checked_sub(1)?)?.checked_add(row_bytes)?;
        // SAFETY: the frame is alive; the call only looks at it and returns null or one of its buffer references.
        let buffer = unsafe { ff::av_frame_get_plane_buffer(self.raw.as_ptr(), index as c_int) };
        let buffer = NonNull::new(buffer)?;
        // SAFETY: a buffer reference of the living frame.
        let buffer = unsafe { buffer.as_ref() };
        let end = (buffer.data as usize).checked_add(buffer.size)?;
        if (first.as_ptr() as usize) < buffer.data as usize
            || (first.as_ptr() as usize).checked_add(len)? > end
        {
            return None;
        }
        // SAFETY: `len` bytes from `first` lie inside the plane's buffer (checked above), which the frame keeps alive for
        // as long as the slice borrows it. All of them have a value, those between rows too: FFmpeg's pools zero a buffer when
        // they make it (libavcodec/get_buffer.c), and a buffer that is a packet's was written by the demuxer. A decoder
        // writes no picture that it has handed out: with several threads it hands out what a packet completed when the thread of
        // that packet and of each before it have ended (libavcodec/pthread_frame.c), and later ones only read it.
        let data = unsafe { std::slice::from_raw_parts(first.as_ptr(), len) };
        Some(PlaneRef { data, stride_bytes })
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        // SAFETY: the frame is ours alone and is not used after this; its reference to the picture is given back.
        unsafe { ff::av_frame_free(&raw mut raw) };
    }
}

/// The name of an `AV_PIX_FMT_` value, such as `yuv420p`.
pub(crate) fn pixel_format_name(pixel_format: c_int) -> String {
    // SAFETY: any int is allowed; the result is null or a static text.
    let name = unsafe { av_get_pix_fmt_name(pixel_format) };
    if name.is_null() {
        return format!("pixel format {pixel_format}");
    }
    // SAFETY: a static, terminated text.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// What FFmpeg knows of a pixel format: a static object, without enums in it.
fn descriptor(pixel_format: c_int) -> Option<&'static ff::AVPixFmtDescriptor> {
    // SAFETY: any int is allowed; the result is null or a static object.
    let descriptor = unsafe { av_pix_fmt_desc_get(pixel_format) };
    // SAFETY: null, or a static object that is never written.
    unsafe { descriptor.as_ref() }
}

/// True for RGB and palettes: formats whose numbers a conversion to NV12 has to turn into luma and chroma.
pub(crate) fn is_rgb(pixel_format: c_int) -> bool {
    let rgb = (ff::AV_PIX_FMT_FLAG_RGB | ff::AV_PIX_FMT_FLAG_PAL) as u64;
    descriptor(pixel_format).is_some_and(|descriptor| descriptor.flags & rgb != 0)
}

/// True for luma without chroma, of any depth, with or without transparency. Not for one bit a pixel.
pub(crate) fn is_grey(pixel_format: c_int) -> bool {
    let others = (ff::AV_PIX_FMT_FLAG_RGB
        | ff::AV_PIX_FMT_FLAG_PAL
        | ff::AV_PIX_FMT_FLAG_HWACCEL
        | ff::AV_PIX_FMT_FLAG_BITSTREAM) as u64;
    descriptor(pixel_format).is_some_and(|descriptor| {
        (1..=2).contains(&descriptor.nb_components) && descriptor.flags & others == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ff::AVPixelFormat::*;

    #[test]
    fn formats_have_names_also_those_that_do_not_exist() {
        assert_eq!(pixel_format_name(AV_PIX_FMT_YUV420P as c_int), "yuv420p");
        assert_eq!(pixel_format_name(-1), "pixel format -1");
        assert_eq!(pixel_format_name(1_000_000), "pixel format 1000000");
    }

    #[test]
    fn rgb_and_palettes_are_told_from_luma_and_chroma() {
        assert!(is_rgb(AV_PIX_FMT_RGB24 as c_int));
        assert!(is_rgb(AV_PIX_FMT_PAL8 as c_int));
        assert!(!is_rgb(AV_PIX_FMT_YUV444P as c_int));
        assert!(!is_rgb(AV_PIX_FMT_GRAY8 as c_int));
        assert!(!is_rgb(1_000_000));
    }

    #[test]
    fn grey_is_luma_alone_of_any_depth() {
        for grey in [AV_PIX_FMT_GRAY8, AV_PIX_FMT_GRAY10LE, AV_PIX_FMT_GRAY16BE, AV_PIX_FMT_YA8] {
            assert!(is_grey(grey as c_int), "{grey:?}");
        }
        for other in
            [AV_PIX_FMT_YUV420P, AV_PIX_FMT_NV12, AV_PIX_FMT_PAL8, AV_PIX_FMT_RGB24, AV_PIX_FMT_MONOBLACK]
        {
            assert!(!is_grey(other as c_int), "{other:?}");
        }
        assert!(!is_grey(1_000_000));
    }

    #[test]
    fn a_blank_frame_has_no_planes() {
        let frame = Frame::new().unwrap();
        assert!(frame.plane(0, 16, 16).is_none());
        assert!(frame.plane(99, 16, 16).is_none());
        assert_eq!(frame.buffer_bytes(), 0);
    }
}
