//! How pixels get out of shared memory.
//!
//! The server may be writing any byte while it is read. So every load of these functions is either made by a block of assembly
//! that is opaque to the compiler (it may read and write anything, so it stays on its side of every fence, and no Rust-level
//! access to shared memory takes place), or it is a relaxed atomic.
//!
//! Not by `rep movsb`, which looks as good: a processor is known that takes more than three times as long for it when the target
//! begins a few bytes further into its page than the source, and a large `Vec` begins 16 bytes into a page
//! (`docs/decisions/0004-how-pixels-get-into-a-slot.md`).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes that the portable function loads at once.
const WORD_BYTES: usize = size_of::<u64>();

/// Copies bytes that another process may be writing.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` bytes, and they must not overlap.
pub(super) unsafe fn from_shared(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: what the caller vouches for.
    unsafe {
        copy_by_sse2(from, to, len);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: what the caller vouches for.
    unsafe {
        copy_by_words(from, to, len);
    }
}

/// By SSE2, which is part of x86-64: sixty-four bytes at a time, then sixteen. The last sixteen are taken from the end, so some
/// bytes may be read and written twice; which of two values stays there is as open as when each was read.
///
/// # Safety
/// As [`from_shared`].
#[cfg(target_arch = "x86_64")]
unsafe fn copy_by_sse2(from: *const u8, to: *mut u8, len: usize) {
    const BLOCK_BYTES: usize = 64;
    const SSE2_BYTES: usize = 16;
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

/// By relaxed atomic loads of eight bytes where `from` is aligned for them, and of single bytes before and after.
///
/// # Safety
/// As [`from_shared`].
unsafe fn copy_by_words(from: *const u8, to: *mut u8, len: usize) {
    let byte = |at: usize| {
        let place = from.wrapping_add(at).cast::<AtomicU8>();
        // SAFETY: at < len, so the byte is readable (caller), and it is always aligned; std allows relaxed loads of this size
        // from read-only pages.
        let value = unsafe { &*place }.load(Ordering::Relaxed);
        // SAFETY: at < len, so the byte is writable (caller).
        unsafe { to.wrapping_add(at).write(value) }
    };
    let head = from.align_offset(WORD_BYTES).min(len);
    let words_end = len - (len - head) % WORD_BYTES;
    (0..head).for_each(byte);
    for at in (head..words_end).step_by(WORD_BYTES) {
        let place = from.wrapping_add(at).cast::<AtomicU64>();
        // SAFETY: at + 8 <= words_end <= len, so eight bytes are readable (caller); at is head plus a multiple of 8, so they are
        // aligned; as above.
        let value = unsafe { &*place }.load(Ordering::Relaxed);
        // SAFETY: at + 8 <= len, so eight bytes are writable (caller), at any alignment.
        unsafe { to.wrapping_add(at).cast::<u64>().write_unaligned(value) }
    }
    (words_end..len).for_each(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands around the target, and must stand there afterwards.
    const AROUND: u8 = 0xA5;
    const MARGIN: usize = 80;

    type Copy = unsafe fn(*const u8, *mut u8, usize);
    const WAYS: &[(&str, Copy)] = &[
        ("words", copy_by_words),
        #[cfg(target_arch = "x86_64")]
        ("SSE2", copy_by_sse2),
        ("the one in use", from_shared),
    ];

    #[test]
    fn every_way_out_copies_every_length_from_every_place_and_writes_nothing_beside_it() {
        let source: Vec<u8> = (0..600).map(|at| (at * 37 % 251) as u8).collect();
        for (name, copy) in WAYS {
            for len in 0..200 {
                for (begin, place) in (0..17).flat_map(|begin| [0, 1, 8, 15].map(|place| (begin, place))) {
                    let mut memory = [AROUND; 2 * MARGIN + 16 + 200];
                    let place = MARGIN + place;
                    // SAFETY: begin + len <= 217 bytes are there, place + len <= 296 of the target, and they are apart.
                    unsafe { copy(source[begin..].as_ptr(), memory[place..].as_mut_ptr(), len) };
                    let what = format!("{name}: {len} bytes from {begin} to {place}");
                    assert_eq!(memory[place..][..len], source[begin..][..len], "{what}");
                    let beside = memory[..place].iter().chain(&memory[place + len..]);
                    assert!(beside.into_iter().all(|&byte| byte == AROUND), "{what}: bytes beside it");
                }
            }
        }
    }
}
