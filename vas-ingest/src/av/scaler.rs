//! Any pixel format into NV12, written straight into a slot of shared memory.

use super::frame::{Frame, is_grey};
use super::{AvError, check};
use ffmpeg_sys_next as ff;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{self, NonNull};
use vas_shm_writer::RawPlanes;

unsafe extern "C" {
    // Declared here, and not taken from the bindings, because there the parameter is a Rust enum.
    fn sws_isSupportedInput(pixel_format: c_int) -> c_int;
}

/// The ffmpeg program's default. A macro in FFmpeg's headers at first, an enum later; the number stays.
const SWS_BICUBIC: i64 = 4;
/// The usual matrix; grey has no use for it, but the call wants one.
const SWS_CS_DEFAULT: c_int = 5;

/// Chroma without colour.
pub(crate) const NO_COLOR: u8 = 128;

/// swscale looks at four planes, whatever the format has.
const PLANES: usize = 4;

/// Owner of an `SwsContext` for one size, one source format and one range.
///
/// No change of size ever happens here. The flags are those of the ffmpeg program's own conversions, so that results are
/// the same bit by bit.
pub(crate) struct Scaler {
    ctx: NonNull<ff::SwsContext>,
    width: u32,
    height: u32,
    source_format: c_int,
    full_range: bool,
    /// Only luma comes out of it.
    is_grey: bool,
}

// SAFETY: an SwsContext is plain memory of its owner: it has no ties to the thread that made it (it starts threads of its own
// only when told to, and it is not), and every call on it takes `&mut self`.
unsafe impl Send for Scaler {}

impl Scaler {
    /// `sws_alloc_context`, options, `sws_init_context`. `source_format` is an `AV_PIX_FMT_` value; by way of an option,
    /// because the functions that take it directly want it as a Rust enum. The range
    /// matters to grey alone; all others keep theirs.
    pub(crate) fn new(
        width: u32,
        height: u32,
        source_format: c_int,
        full_range: bool,
    ) -> Result<Self, AvError> {
        // SAFETY: any int is allowed. Asked first: sws_init_context aborts the process over a format it does not know.
        if unsafe { sws_isSupportedInput(source_format) } == 0 {
            return Err(AvError { call: "sws_isSupportedInput", code: ff::AVERROR(ff::EINVAL) });
        }
        // SAFETY: takes nothing, returns null or a context that is ours.
        let ctx = unsafe { ff::sws_alloc_context() };
        let ctx = NonNull::new(ctx).ok_or(AvError::out_of_memory("sws_alloc_context"))?;
        let is_grey = is_grey(source_format);
        let scaler = Self { ctx, width, height, source_format, full_range, is_grey };
        // swscale takes every grey format for full range. On the way to NV12 it would squeeze that; and told not to, it leaves
        // chroma unwritten. On the way to grey it keeps the numbers, whichever range they have.
        let destination_format = if is_grey {
            ff::AVPixelFormat::AV_PIX_FMT_GRAY8 as c_int
        } else {
            ff::AVPixelFormat::AV_PIX_FMT_NV12 as c_int
        };
        scaler.set(c"srcw", i64::from(width))?;
        scaler.set(c"srch", i64::from(height))?;
        scaler.set(c"src_format", i64::from(source_format))?;
        scaler.set(c"dstw", i64::from(width))?;
        scaler.set(c"dsth", i64::from(height))?;
        scaler.set(c"dst_format", i64::from(destination_format))?;
        scaler.set(c"sws_flags", SWS_BICUBIC)?;
        // SAFETY: the context is ours and was not initialised before; no filters.
        let code = unsafe { ff::sws_init_context(ctx.as_ptr(), ptr::null_mut(), ptr::null_mut()) };
        check("sws_init_context", code)?;
        if is_grey && !full_range {
            scaler.set_limited_range();
        }
        Ok(scaler)
    }

    fn set(&self, name: &CStr, value: i64) -> Result<(), AvError> {
        // SAFETY: an SwsContext begins with an AVClass pointer, which is what av_opt_set_int wants; the name is terminated.
        let code = unsafe { ff::av_opt_set_int(self.ctx.as_ptr().cast::<c_void>(), name.as_ptr(), value, 0) };
        check("av_opt_set_int", code).map(drop)
    }

    /// Tells swscale that a grey format has limited range, before and after: sws_init_context took it for full range. It decides
    /// how many bits become eight: by a shift (940 of 1023 is 235 of 255), or so that the largest number stays the largest.
    fn set_limited_range(&self) {
        const LIMITED: c_int = 0;
        const UNCHANGED: c_int = 1 << 16;
        // SAFETY: any int is allowed; the result is a static array of four.
        let table = unsafe { ff::sws_getCoefficients(SWS_CS_DEFAULT) };
        let table = table.cast();
        // The result says nothing: from luma to luma it is -1 also when everything was set.
        // SAFETY: the context is ours and initialised; both tables have four entries and are copied.
        let _ = unsafe {
            ff::sws_setColorspaceDetails(
                self.ctx.as_ptr(),
                table,
                LIMITED,
                table,
                LIMITED,
                0,
                UNCHANGED,
                UNCHANGED,
            )
        };
    }

    /// Is this the one for frames of that size, format and range?
    pub(crate) fn fits(&self, width: u32, height: u32, source_format: c_int, full_range: bool) -> bool {
        let mine = (self.width, self.height, self.source_format, self.full_range);
        mine == (width, height, source_format, full_range)
    }

    /// `sws_scale`: the whole picture, into the slot's planes.
    pub(crate) fn convert(&mut self, frame: &Frame, to: &RawPlanes<'_>) -> Result<(), AvError> {
        let picture = to.picture();
        let is_mine = (frame.width(), frame.height()) == (self.width, self.height)
            && (picture.width(), picture.height()) == (self.width, self.height)
            && crate::convert::plain_twin(frame.pixel_format()) == self.source_format;
        let stride_bytes = c_int::try_from(picture.stride_bytes()).ok().filter(|_| is_mine);
        let Some(stride_bytes) = stride_bytes else {
            return Err(AvError { call: "sws_scale", code: ff::AVERROR(ff::EINVAL) });
        };
        let (from, from_strides) = frame.planes_for_scaler();
        let (chroma, chroma_stride) =
            if self.is_grey { (ptr::null_mut(), 0) } else { (to.chroma_ptr(), stride_bytes) };
        let planes: [*mut u8; PLANES] = [to.luma_ptr(), chroma, ptr::null_mut(), ptr::null_mut()];
        let strides: [c_int; PLANES] = [stride_bytes, chroma_stride, 0, 0];
        // SAFETY: the frame has the size and format that the context was made for (checked above), so its planes hold what
        // swscale reads; it stays alive during the call. The slot's planes may be written for stride * height and
        // stride * ceil(height / 2) bytes while it is borrowed (RawPlanes), and swscale writes no further than a row rounded
        // up to 64 bytes, which is what the stride is. All four arrays have the four entries that it looks at.
        let rows = unsafe {
            ff::sws_scale(
                self.ctx.as_ptr(),
                from,
                from_strides,
                0,
                self.height as c_int,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
        check("sws_scale", rows)?;
        if self.is_grey {
            let chroma_bytes = picture.stride_bytes() as usize * picture.chroma_rows() as usize;
            // SAFETY: the slot's chroma plane may be written for that many bytes while it is borrowed (RawPlanes).
            unsafe { ptr::write_bytes(to.chroma_ptr(), NO_COLOR, chroma_bytes) };
        }
        Ok(())
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the context is ours alone and is not used after this.
        unsafe { ff::sws_freeContext(self.ctx.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_nothing_can_convert_are_an_error() {
        assert!(Scaler::new(64, 48, ff::AVPixelFormat::AV_PIX_FMT_YUV444P as c_int, false).is_ok());
        assert!(Scaler::new(64, 48, 1_000_000, false).is_err());
        assert!(Scaler::new(0, 48, ff::AVPixelFormat::AV_PIX_FMT_YUV444P as c_int, false).is_err());
    }
}
