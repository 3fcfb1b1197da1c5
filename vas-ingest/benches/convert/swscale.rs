//! swscale over a frame in shared memory, and the reader's own converter over it in place, without its private buffer.
#![allow(
    unsafe_code,
    reason = "FFmpeg is a C library; and a slice of shared memory is what one of the ways is"
)]

use ffmpeg_sys_next as ff;
use std::ffi::c_int;
use std::ptr::{self, NonNull};
use vas_bench_convert::{Foreign, Task};
use vas_shm_reader::RawNv12;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvRange, YuvStandardMatrix, yuv_nv12_to_bgr, yuv_nv12_to_rgb,
};

/// SWS_BILINEAR; SWS_POINT with SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP and SWS_ACCURATE_RND, as the tests have it.
const BILINEAR: c_int = 2;
const EXACT: c_int = 0x10 | 0x2000 | 0x4000 | 0x40000;

pub(crate) fn ways(task: Task, size: (u32, u32), inside: (u32, u32)) -> Vec<Box<dyn Foreign>> {
    use ff::AVPixelFormat::{AV_PIX_FMT_BGR24, AV_PIX_FMT_GRAY8, AV_PIX_FMT_RGB24};
    let of = |name, format, to: (u32, u32), channels, flags| -> Box<dyn Foreign> {
        Box::new(Swscale::new(name, format, size, to, channels, flags))
    };
    match task {
        Task::Rgb => vec![
            Box::new(InPlace { is_bgr: false }),
            of("swscale", AV_PIX_FMT_RGB24, size, 3, BILINEAR),
            of("swscale, as exact", AV_PIX_FMT_RGB24, size, 3, EXACT),
        ],
        Task::Bgr => vec![
            Box::new(InPlace { is_bgr: true }),
            of("swscale", AV_PIX_FMT_BGR24, size, 3, BILINEAR),
            of("swscale, as exact", AV_PIX_FMT_BGR24, size, 3, EXACT),
        ],
        Task::Grey => vec![of("swscale", AV_PIX_FMT_GRAY8, size, 1, BILINEAR)],
        Task::Letterbox => vec![
            of("swscale, bilinear", AV_PIX_FMT_RGB24, inside, 3, BILINEAR),
            of("swscale, bilinear, rounded", AV_PIX_FMT_RGB24, inside, 3, BILINEAR | 0x2000 | 0x40000),
        ],
    }
}

struct Swscale {
    name: &'static str,
    ctx: NonNull<ff::SwsContext>,
    height: c_int,
    row_bytes: usize,
    rows: usize,
}

impl Swscale {
    fn new(
        name: &'static str,
        format: ff::AVPixelFormat,
        from: (u32, u32),
        to: (u32, u32),
        channels: usize,
        flags: c_int,
    ) -> Self {
        // SAFETY: formats that swscale knows; no filters, no parameters. The result is null or ours.
        let ctx = unsafe {
            ff::sws_getContext(
                from.0 as c_int,
                from.1 as c_int,
                ff::AVPixelFormat::AV_PIX_FMT_NV12,
                to.0 as c_int,
                to.1 as c_int,
                format,
                flags as _,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            )
        };
        let ctx = NonNull::new(ctx).expect("sws_getContext");
        // BT.601, limited, to full: what the pictures of this program have.
        const ONE: c_int = 1 << 16;
        // SAFETY: a static table of FFmpeg's for one of its code points.
        let table = unsafe { ff::sws_getCoefficients(ff::SWS_CS_ITU601 as c_int) };
        // SAFETY: the context is ours; the tables are static and copied.
        let set = unsafe { ff::sws_setColorspaceDetails(ctx.as_ptr(), table, 0, table, 1, 0, ONE, ONE) };
        assert!(set >= 0, "{name}: sws_setColorspaceDetails");
        Self { name, ctx, height: from.1 as c_int, row_bytes: to.0 as usize * channels, rows: to.1 as usize }
    }
}

impl Foreign for Swscale {
    fn name(&self) -> &str {
        self.name
    }

    fn convert(&mut self, frame: &RawNv12<'_>, out: &mut [u8]) {
        let stride_bytes = frame.picture().stride_bytes() as c_int;
        // In the middle, for a letterbox.
        let begin = (out.len() / self.row_bytes - self.rows) / 2 * self.row_bytes;
        let out = &mut out[begin..][..self.row_bytes * self.rows];
        // SAFETY: the frame has the size that the context was made for and its planes may be read while it is borrowed; the target
        // has as many rows as the context writes (sliced above). Arrays of four entries, as swscale wants.
        unsafe {
            ff::sws_scale(
                self.ctx.as_ptr(),
                [frame.luma_ptr(), frame.chroma_ptr(), ptr::null(), ptr::null()].as_ptr(),
                [stride_bytes, stride_bytes, 0, 0].as_ptr(),
                0,
                self.height,
                [out.as_mut_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()].as_ptr(),
                [self.row_bytes as c_int, 0, 0, 0].as_ptr(),
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

/// The reader's converter over shared memory itself: what the private buffer costs is what the reader takes more.
struct InPlace {
    is_bgr: bool,
}

impl Foreign for InPlace {
    fn name(&self) -> &str {
        "the same, in place"
    }

    fn convert(&mut self, frame: &RawNv12<'_>, out: &mut [u8]) {
        let picture = frame.picture();
        // SAFETY: nobody writes this picture: the writer is in this program and publishes one only.
        let bytes = unsafe { frame.as_slice() };
        let stride = picture.stride_bytes();
        let image = YuvBiPlanarImage {
            y_plane: &bytes[..(stride * picture.height()) as usize],
            y_stride: stride,
            uv_plane: &bytes[picture.uv_offset() as usize..][..(stride * picture.chroma_rows()) as usize],
            uv_stride: stride,
            width: picture.width(),
            height: picture.height(),
        };
        let convert = if self.is_bgr { yuv_nv12_to_bgr } else { yuv_nv12_to_rgb };
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
        convert(&image, out, picture.width() * 3, range, matrix, YuvConversionMode::Balanced)
            .expect("planes and target have their sizes");
    }
}
