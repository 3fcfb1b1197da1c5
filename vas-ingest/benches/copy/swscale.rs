//! swscale as a way into a slot, as `av/scaler.rs` uses it for formats that the writer does not know.
#![allow(unsafe_code, reason = "FFmpeg is a C library")]

use ffmpeg_sys_next as ff;
use std::ffi::c_int;
use std::ptr::{self, NonNull};
use vas_bench_copy::{Foreign, Planar};
use vas_shm_writer::RawPlanes;

/// The plain format, and its twin with full range as it would be without its twin's name.
pub(crate) fn ways(width: usize, height: usize) -> Vec<Box<dyn Foreign>> {
    use ff::AVPixelFormat::{AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P};
    let of = |name, format, keeps_numbers| -> Box<dyn Foreign> {
        Box::new(Swscale::new(name, format, keeps_numbers, width as c_int, height as c_int))
    };
    vec![
        of("swscale, from yuv420p", AV_PIX_FMT_YUV420P, true),
        of("swscale, from yuvj420p", AV_PIX_FMT_YUVJ420P, false),
    ]
}

struct Swscale {
    name: &'static str,
    keeps_numbers: bool,
    ctx: NonNull<ff::SwsContext>,
    height: c_int,
}

impl Swscale {
    fn new(
        name: &'static str,
        format: ff::AVPixelFormat,
        keeps_numbers: bool,
        width: c_int,
        height: c_int,
    ) -> Self {
        /// SWS_BICUBIC.
        const FLAGS: c_int = 4;
        let nv12 = ff::AVPixelFormat::AV_PIX_FMT_NV12;
        // SAFETY: formats that swscale knows; no filters, no parameters. The result is null or ours.
        let ctx = unsafe {
            ff::sws_getContext(
                width,
                height,
                format,
                width,
                height,
                nv12,
                FLAGS as _,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            )
        };
        Self { name, keeps_numbers, ctx: NonNull::new(ctx).expect("sws_getContext"), height }
    }
}

impl Foreign for Swscale {
    fn name(&self) -> &'static str {
        self.name
    }

    fn keeps_numbers(&self) -> bool {
        self.keeps_numbers
    }

    fn convert(&mut self, picture: &Planar<'_>, to: &RawPlanes<'_>) {
        let stride_bytes = to.picture().stride_bytes() as c_int;
        let [luma, cb, cr] = picture.planes.map(<[u8]>::as_ptr);
        let strides = picture.strides_bytes.map(|stride_bytes| stride_bytes as c_int);
        // SAFETY: the source has the size that the context was made for, and the slot's planes may be written while they are
        // borrowed, by rows up to the stride. Arrays of four entries, as swscale wants.
        unsafe {
            ff::sws_scale(
                self.ctx.as_ptr(),
                [luma, cb, cr, ptr::null()].as_ptr(),
                [strides[0], strides[1], strides[2], 0].as_ptr(),
                0,
                self.height,
                [to.luma_ptr(), to.chroma_ptr(), ptr::null_mut(), ptr::null_mut()].as_ptr(),
                [stride_bytes, stride_bytes, 0, 0].as_ptr(),
            );
        }
    }
}

impl Drop for Swscale {
    fn drop(&mut self) {
        // SAFETY: ours, and not used after this.
        unsafe { ff::sws_freeContext(self.ctx.as_ptr()) };
    }
}
