//! How pixels get into shared memory: copied, or two planes of chroma interleaved on their way in.
//!
//! Readers in other processes may look at any byte while it is written. So every store of these functions is either made by
//! a block of assembly that is opaque to the compiler (it may read and write anything, so it stays on its side of every
//! fence, and no Rust-level access to shared memory takes place), or it is a relaxed atomic. Sources are private memory and
//! are read in the ordinary way. None of these stores is non-temporal: readers find the pixels in the cache.
//!
//! `docs/decisions/0004-how-pixels-get-into-a-slot.md` has the measurements.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes that the portable functions store at once.
const WORD_BYTES: usize = size_of::<u64>();
/// Bytes in a register of SSE2.
#[cfg(target_arch = "x86_64")]
const SSE2_BYTES: usize = 16;

/// The functions that write pixels, of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    copy: unsafe fn(from: *const u8, to: *mut u8, len: usize),
    interleave: unsafe fn(cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize),
}

impl Kernels {
    /// For every processor, in plain Rust.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    pub(crate) const PORTABLE: Self = Self { copy: copy_by_words, interleave: interleave_by_words };

    /// By SSE2, which is part of x86-64: nothing has to be asked of the processor.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const SSE2: Self = Self { copy: copy_by_sse2, interleave: interleave_by_sse2 };

    /// What is used.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const CHOSEN: Self = Self::SSE2;
    /// What is used.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) const CHOSEN: Self = Self::PORTABLE;

    /// Copies `len` bytes.
    ///
    /// # Safety
    /// `from` must be readable and `to` writable for `len` bytes, and they must not overlap.
    pub(crate) unsafe fn copy(&self, from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: both kinds ask for what the caller vouches for.
        unsafe { (self.copy)(from, to, len) }
    }

    /// Writes `pairs` pairs of a byte of `cb` and a byte of `cr`.
    ///
    /// # Safety
    /// `cb` and `cr` must be readable for `pairs` bytes that nobody writes, `to` must be writable for twice as many, and must overlap neither.
    pub(crate) unsafe fn interleave(&self, cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize) {
        // SAFETY: both kinds ask for what the caller vouches for.
        unsafe { (self.interleave)(cb, cr, to, pairs) }
    }
}

/// Sixty-four bytes at a time, then sixteen. The last sixteen are taken from the end, so they may write bytes of the sixteen
/// before them again, with the same values.
///
/// # Safety
/// As [`Kernels::copy`].
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn copy_by_sse2(from: *const u8, to: *mut u8, len: usize) {
    const BLOCK_BYTES: usize = 64;
    let Some(last) = len.checked_sub(SSE2_BYTES) else {
        // SAFETY: what the caller vouches for.
        return unsafe { copy_by_words(from, to, len) };
    };
    let block = |at: usize| {
        // SAFETY: 64 bytes are read from from + at and written to to + at: at + 64 <= len, so the caller vouches for all of
        // them. Loads and stores are of the unaligned kind; no stack is used; SSE2 is part of x86-64.
        unsafe {
            std::arch::asm!(
                "movdqu {a}, [{from}]",
                "movdqu {b}, [{from} + 16]",
                "movdqu {c}, [{from} + 32]",
                "movdqu {d}, [{from} + 48]",
                "movdqu [{to}], {a}",
                "movdqu [{to} + 16], {b}",
                "movdqu [{to} + 32], {c}",
                "movdqu [{to} + 48], {d}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    };
    let sixteen = |at: usize| {
        // SAFETY: as above, of 16 bytes: at + 16 <= len.
        unsafe {
            std::arch::asm!(
                "movdqu {a}, [{from}]",
                "movdqu [{to}], {a}",
                from = in(reg) from.wrapping_add(at),
                to = in(reg) to.wrapping_add(at),
                a = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    };
    let blocks_end = len - len % BLOCK_BYTES;
    (0..blocks_end).step_by(BLOCK_BYTES).for_each(block);
    (blocks_end..last).step_by(SSE2_BYTES).for_each(sixteen);
    sixteen(last);
}

/// Relaxed atomic stores of eight bytes where `to` is aligned for them, and of single bytes before and after.
///
/// # Safety
/// As [`Kernels::copy`].
pub(crate) unsafe fn copy_by_words(from: *const u8, to: *mut u8, len: usize) {
    let byte = |at: usize| {
        // SAFETY: at < len, so the byte is readable (caller).
        let value = unsafe { from.wrapping_add(at).read() };
        // SAFETY: at < len, so the byte is writable (caller).
        unsafe { store_byte(to.wrapping_add(at), value) }
    };
    let head = to.align_offset(WORD_BYTES).min(len);
    let words_end = len - (len - head) % WORD_BYTES;
    (0..head).for_each(byte);
    for at in (head..words_end).step_by(WORD_BYTES) {
        // SAFETY: at + 8 <= words_end <= len, so eight bytes are readable (caller), at any alignment.
        let value = unsafe { from.wrapping_add(at).cast::<u64>().read_unaligned() };
        // SAFETY: at + 8 <= len, so eight bytes are writable (caller); at is head plus a multiple of 8, so they are aligned.
        unsafe { store_word(to.wrapping_add(at), value) }
    }
    (words_end..len).for_each(byte);
}

/// Sixteen pairs at a time, by the interleaving instructions of SSE2.
///
/// The last sixteen are taken from the end, so they may write bytes of the sixteen before them again, with the same values.
///
/// # Safety
/// As [`Kernels::interleave`].
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn interleave_by_sse2(cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize) {
    let sixteen = |at: usize| {
        // SAFETY: 16 bytes are read from cb + at and from cr + at, and 32 written to to + 2 * at: at + 16 <= pairs, so the caller
        // vouches for all of them. Loads and stores are of the unaligned kind; no stack is used; SSE2 is part of x86-64.
        unsafe {
            std::arch::asm!(
                "movdqu {low}, [{cb}]",
                "movdqu {other}, [{cr}]",
                "movdqa {high}, {low}",
                "punpcklbw {low}, {other}",
                "punpckhbw {high}, {other}",
                "movdqu [{to}], {low}",
                "movdqu [{to} + 16], {high}",
                cb = in(reg) cb.wrapping_add(at),
                cr = in(reg) cr.wrapping_add(at),
                to = in(reg) to.wrapping_add(2 * at),
                low = out(xmm_reg) _,
                high = out(xmm_reg) _,
                other = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    };
    let Some(last) = pairs.checked_sub(SSE2_BYTES) else {
        // SAFETY: what the caller vouches for.
        return unsafe { interleave_by_words(cb, cr, to, pairs) };
    };
    (0..last).step_by(SSE2_BYTES).for_each(sixteen);
    sixteen(last);
}

/// A few pairs at a time in private memory, by whatever the compiler makes of a plain loop, and from there as
/// [`copy_by_words`] does: there is no atomic store of more than a word, and spreading bytes over words takes longer.
///
/// # Safety
/// As [`Kernels::interleave`].
pub(crate) unsafe fn interleave_by_words(cb: *const u8, cr: *const u8, to: *mut u8, pairs: usize) {
    const AT_ONCE: usize = 256;
    let mut chunk = [0; 2 * AT_ONCE];
    for at in (0..pairs).step_by(AT_ONCE) {
        let now = AT_ONCE.min(pairs - at);
        // SAFETY: at + now <= pairs, so that many bytes are readable (caller), of private memory that nobody writes.
        let cb = unsafe { std::slice::from_raw_parts(cb.wrapping_add(at), now) };
        // SAFETY: as the line before.
        let cr = unsafe { std::slice::from_raw_parts(cr.wrapping_add(at), now) };
        for ((pair, &cb), &cr) in chunk.chunks_exact_mut(2).zip(cb).zip(cr) {
            pair[0] = cb;
            pair[1] = cr;
        }
        // SAFETY: chunk has 2 * now bytes, and as many are writable 2 * at bytes further on (caller).
        unsafe { copy_by_words(chunk.as_ptr(), to.wrapping_add(2 * at), 2 * now) };
    }
}

/// # Safety
/// `to` must be writable for one byte.
unsafe fn store_byte(to: *mut u8, value: u8) {
    // SAFETY: writable (caller), and a byte is always aligned; whoever else looks at it is in another process.
    unsafe { AtomicU8::from_ptr(to) }.store(value, Ordering::Relaxed);
}

/// # Safety
/// `to` must be writable for eight bytes and a multiple of eight.
unsafe fn store_word(to: *mut u8, value: u64) {
    // SAFETY: writable and aligned (caller); as store_byte.
    unsafe { AtomicU64::from_ptr(to.cast()) }.store(value, Ordering::Relaxed);
}

/// The kernels that this machine can run: whatever is chosen, tests go through all of them.
#[cfg(test)]
pub(super) const KERNELS: &[(&str, Kernels)] = &[
    ("portable", Kernels::PORTABLE),
    #[cfg(target_arch = "x86_64")]
    ("SSE2", Kernels::SSE2),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What stands around the target, and must stand there afterwards.
    const AROUND: u8 = 0xA5;
    const MARGIN: usize = 80;

    fn private(len: usize, seed: u8) -> Vec<u8> {
        (0..len)
            .map(|at| (at as u8).wrapping_mul(37).wrapping_add((at >> 8) as u8).wrapping_add(seed))
            .collect()
    }

    /// Memory in which `work` is given the address of `len` bytes, `place` bytes after a multiple of 64.
    fn written(place: usize, len: usize, work: impl FnOnce(*mut u8)) -> Vec<u8> {
        let mut memory = vec![AROUND; MARGIN + place + len + 64 + MARGIN];
        let begin = MARGIN + memory[MARGIN..].as_ptr().align_offset(64).min(63) + place;
        work(memory[begin..].as_mut_ptr());
        let (before, rest) = memory.split_at(begin);
        let (target, after) = rest.split_at(len);
        assert!(
            before.iter().chain(after).all(|&byte| byte == AROUND),
            "bytes beside the target were written"
        );
        target.to_vec()
    }

    fn check_copy(from: &[u8], place: usize) {
        for (name, kernels) in KERNELS {
            // SAFETY: the target has from.len() bytes, of other memory.
            let copy = |to| unsafe { kernels.copy(from.as_ptr(), to, from.len()) };
            assert_eq!(written(place, from.len(), copy), from, "{name}, {} bytes to {place}", from.len());
        }
    }

    fn check_interleave(cb: &[u8], cr: &[u8], place: usize) {
        let expected: Vec<u8> = cb.iter().zip(cr).flat_map(|(&cb, &cr)| [cb, cr]).collect();
        for (name, kernels) in KERNELS {
            let pairs = cb.len();
            // SAFETY: both sources have that many bytes, the target twice as many, of other memory.
            let interleave = |to| unsafe { kernels.interleave(cb.as_ptr(), cr.as_ptr(), to, pairs) };
            assert_eq!(written(place, 2 * pairs, interleave), expected, "{name}, {pairs} pairs to {place}");
        }
    }

    // The address sanitizer sees what the portable kernels read, and no byte after a source is theirs.
    #[test]
    fn every_kernel_copies_every_length_to_every_place_and_writes_nothing_beside_it() {
        for len in 0..200 {
            for place in 0..17 {
                check_copy(&private(len, 1), place);
            }
        }
    }

    #[test]
    fn every_kernel_interleaves_every_number_of_pairs_to_every_place_and_writes_nothing_beside_it() {
        for pairs in 0..100 {
            for place in 0..17 {
                check_interleave(&private(pairs, 1), &private(pairs, 128), place);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_of_any_length_from_any_place_to_any_place_are_copied_and_interleaved_by_every_kernel(
            len in 0_usize..5000,
            begin in 0_usize..70,
            other_begin in 0_usize..70,
            place in 0_usize..70,
        ) {
            let (cb, cr) = (private(begin + len, 3), private(other_begin + len, 5));
            check_copy(&cb[begin..], place);
            check_interleave(&cb[begin..], &cr[other_begin..], place);
        }
    }
}
