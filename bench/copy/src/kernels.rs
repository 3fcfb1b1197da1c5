//! The ways that are compared: the writer's own, from its own source file, and others that it could have.
#![allow(unsafe_code, reason = "writes into slots through raw pointers, as the writer does")]

#[path = "../../../vas-shm-writer/src/map/copy.rs"]
#[allow(dead_code, reason = "the writer's choice between the functions is not asked for here")]
mod copy;

use crate::run::{Shape, Source};
use vas_shm_writer::RawPlanes;

type Copy = unsafe fn(*const u8, *mut u8, usize);
type Interleave = unsafe fn(*const u8, *const u8, *mut u8, usize);

/// A way to write a picture into a slot.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    copy: Copy,
    chroma: Chroma,
    is_non_temporal: bool,
}

enum Chroma {
    Direct(Interleave),
    /// A row is interleaved in private memory, by what the compiler makes of a plain loop, and copied from there.
    ByRow,
}

/// Where a picture goes: a slot, or private memory.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    luma: *mut u8,
    chroma: *mut u8,
    stride_bytes: usize,
}

impl Target {
    pub(crate) fn slot(planes: &RawPlanes<'_>) -> Self {
        let stride_bytes = planes.picture().stride_bytes() as usize;
        Self { luma: planes.luma_ptr(), chroma: planes.chroma_ptr(), stride_bytes }
    }

    /// Panics if the memory is not what a picture of this shape needs.
    pub(crate) fn private(memory: &mut [u8], shape: Shape) -> Self {
        let luma_bytes = shape.width * shape.height;
        assert!(memory.len() >= luma_bytes + luma_bytes / 2);
        let luma = memory.as_mut_ptr();
        Self { luma, chroma: luma.wrapping_add(luma_bytes), stride_bytes: shape.width }
    }
}

/// Ways to copy an NV12 picture. The first is what the others are compared with.
pub(crate) fn copies() -> Vec<Way> {
    let mut ways = vec![way("memcpy of libc", memcpy, Chroma::ByRow)];
    #[cfg(target_arch = "x86_64")]
    ways.extend([
        way("rep movsb", strings, Chroma::ByRow),
        way("SSE2", copy::copy_by_sse2, Chroma::ByRow),
        Way { is_non_temporal: true, ..way("SSE2, non-temporal", non_temporal, Chroma::ByRow) },
    ]);
    ways.push(way("words (portable)", copy::copy_by_words, Chroma::ByRow));
    ways
}

/// Ways to bring a planar picture into a slot. The first is what the others are compared with.
pub(crate) fn interleaves() -> Vec<Way> {
    let mut ways = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        ways.extend([
            way("rep movsb, chroma by a row in private memory", strings, Chroma::ByRow),
            way("rep movsb, chroma by SSE2", strings, Chroma::Direct(copy::interleave_by_sse2)),
            way("rep movsb, chroma by words", strings, Chroma::Direct(copy::interleave_by_words)),
        ]);
        if std::arch::is_x86_feature_detected!("avx2") {
            ways.push(way("rep movsb, chroma by AVX2", strings, Chroma::Direct(avx2_pairs)));
        }
        ways.extend([
            way("SSE2, chroma by SSE2", copy::copy_by_sse2, Chroma::Direct(copy::interleave_by_sse2)),
            Way {
                is_non_temporal: true,
                ..way("both non-temporal", non_temporal, Chroma::Direct(non_temporal_pairs))
            },
            way("words, chroma by SSE2", copy::copy_by_words, Chroma::Direct(copy::interleave_by_sse2)),
        ]);
    }
    ways.push(way("words, chroma by a row in private memory", copy::copy_by_words, Chroma::ByRow));
    ways.push(way(
        "words, chroma by words (portable)",
        copy::copy_by_words,
        Chroma::Direct(copy::interleave_by_words),
    ));
    ways
}

const fn way(name: &'static str, copy: Copy, chroma: Chroma) -> Way {
    Way { name, copy, chroma, is_non_temporal: false }
}

impl Way {
    /// Writes the picture; `row` is kept from one picture to the next.
    ///
    /// Panics if the source does not hold a picture of this shape.
    pub(crate) fn write(&self, source: &Source, target: Target, row: &mut Vec<u8>) {
        self.write_planes(source, target, row);
        if self.is_non_temporal {
            // What such a writer needs before it publishes; the writer as it is shipped has it there for foreign code.
            fence_stores();
        }
    }

    fn write_planes(&self, source: &Source, target: Target, row: &mut Vec<u8>) {
        let Shape { width, height } = source.shape();
        self.plane(source.plane(0), source.stride_bytes(0), target.luma, target.stride_bytes, width, height);
        if !source.is_planar() {
            let (chroma, stride_bytes) = (source.plane(1), source.stride_bytes(1));
            return self.plane(chroma, stride_bytes, target.chroma, target.stride_bytes, width, height / 2);
        }
        let pairs = width / 2;
        row.resize(width, 0);
        for y in 0..height / 2 {
            let cb = &source.plane(1)[y * source.stride_bytes(1)..][..pairs];
            let cr = &source.plane(2)[y * source.stride_bytes(2)..][..pairs];
            let to = target.chroma.wrapping_add(y * target.stride_bytes);
            match self.chroma {
                // SAFETY: a target has height / 2 rows of width bytes for chroma, and both sources have half of that in a row.
                Chroma::Direct(interleave) => unsafe { interleave(cb.as_ptr(), cr.as_ptr(), to, pairs) },
                Chroma::ByRow => {
                    for ((pair, &cb), &cr) in row.chunks_exact_mut(2).zip(cb).zip(cr) {
                        pair[0] = cb;
                        pair[1] = cr;
                    }
                    // SAFETY: as above; row has width bytes.
                    unsafe { (self.copy)(row.as_ptr(), to, width) };
                }
            }
        }
    }

    fn plane(
        &self,
        from: &[u8],
        from_stride: usize,
        to: *mut u8,
        to_stride: usize,
        width: usize,
        rows: usize,
    ) {
        if from_stride == width && to_stride == width {
            let from = &from[..width * rows];
            // SAFETY: a target has that many rows of that many bytes back to back.
            return unsafe { (self.copy)(from.as_ptr(), to, from.len()) };
        }
        for y in 0..rows {
            let from = &from[y * from_stride..][..width];
            let to = to.wrapping_add(y * to_stride);
            // SAFETY: a target has that many rows of that many bytes, to_stride apart.
            unsafe { (self.copy)(from.as_ptr(), to, width) };
        }
    }
}

fn fence_stores() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: sfence touches nothing, and every x86_64 processor has it.
    unsafe {
        std::arch::asm!("sfence", options(nostack, preserves_flags));
    }
}

// All that follow: the caller promises what Kernels::copy and Kernels::interleave ask for.

unsafe fn memcpy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: see above.
    unsafe { libc::memcpy(to.cast(), from.cast(), len) };
}

#[cfg(target_arch = "x86_64")]
unsafe fn strings(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the direction flag is clear by the ABI; no stack is used.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
}

// The others are for the widths that are measured: multiples of 64 bytes, and targets that are too.

#[cfg(target_arch = "x86_64")]
unsafe fn non_temporal(from: *const u8, to: *mut u8, len: usize) {
    const AT_ONCE: usize = 64;
    assert!(len % AT_ONCE == 0 && to.addr() % AT_ONCE == 0);
    for at in (0..len).step_by(AT_ONCE) {
        // SAFETY: 64 bytes of both lie within len, which the caller vouches for; the target is aligned (asserted).
        unsafe {
            std::arch::asm!(
                "movdqu {a}, [{from}]",
                "movdqu {b}, [{from} + 16]",
                "movdqu {c}, [{from} + 32]",
                "movdqu {d}, [{from} + 48]",
                "movntdq [{to}], {a}",
                "movntdq [{to} + 16], {b}",
                "movntdq [{to} + 32], {c}",
                "movntdq [{to} + 48], {d}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn non_temporal_pairs(cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize) {
    const AT_ONCE: usize = 16;
    assert!(pairs % AT_ONCE == 0 && to.addr() % AT_ONCE == 0);
    for at in (0..pairs).step_by(AT_ONCE) {
        // SAFETY: 16 bytes of both sources and 32 of the target lie within what the caller vouches for; aligned (asserted).
        unsafe {
            std::arch::asm!(
                "movdqu {low}, [{cb}]",
                "movdqu {other}, [{cr}]",
                "movdqa {high}, {low}",
                "punpcklbw {low}, {other}",
                "punpckhbw {high}, {other}",
                "movntdq [{to}], {low}",
                "movntdq [{to} + 16], {high}",
                cb = in(reg) cb.wrapping_add(at),
                cr = in(reg) cr.wrapping_add(at),
                to = in(reg) to.wrapping_add(2 * at),
                low = out(xmm_reg) _, high = out(xmm_reg) _, other = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Used only where the processor has AVX2.
#[cfg(target_arch = "x86_64")]
unsafe fn avx2_pairs(cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize) {
    const AT_ONCE: usize = 32;
    assert!(pairs % AT_ONCE == 0);
    for at in (0..pairs).step_by(AT_ONCE) {
        // SAFETY: 32 bytes of both sources and 64 of the target lie within what the caller vouches for; unaligned accesses.
        unsafe {
            std::arch::asm!(
                "vmovdqu ymm0, [{cb}]",
                "vmovdqu ymm1, [{cr}]",
                "vpunpckhbw ymm2, ymm0, ymm1",
                "vpunpcklbw ymm0, ymm0, ymm1",
                "vperm2i128 ymm1, ymm0, ymm2, 0x20",
                "vperm2i128 ymm2, ymm0, ymm2, 0x31",
                "vmovdqu [{to}], ymm1",
                "vmovdqu [{to} + 32], ymm2",
                cb = in(reg) cb.wrapping_add(at),
                cr = in(reg) cr.wrapping_add(at),
                to = in(reg) to.wrapping_add(2 * at),
                // The lower halves; the compiler does not use the upper ones in code for every x86-64.
                out("xmm0") _, out("xmm1") _, out("xmm2") _,
                options(nostack, preserves_flags)
            );
        }
    }
    // SAFETY: part of AVX; without it the code after this would be slower.
    unsafe { std::arch::asm!("vzeroupper", options(nostack, preserves_flags)) };
}
