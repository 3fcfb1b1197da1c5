//! Writable mappings and leases: the only unsafe of this crate.
//!
//! What is written here is read by other processes at the same time. So no reference to the memory and no slice of it comes
//! into being: words are atomics found by checked offsets, pixels are copied in by code that the compiler cannot look
//! through, or written by foreign code through raw pointers.
#![allow(unsafe_code, reason = "the one module of this crate that touches the mappings")]

mod copy;

use copy::Kernels;
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use vas_shm_proto::Nv12;
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_proto::words::{PublishWords, Word32, Word64};

/// Both files of a pair, mapped for writing. Every page was allocated before (fallocate), so that no store can meet a full
/// file system and raise SIGBUS; the files are never made shorter.
#[derive(Debug)]
pub(crate) struct PairMap {
    meta: MmapRaw,
    data: MmapRaw,
}

impl PairMap {
    /// Maps `meta_bytes` and `data_bytes` of the two files, faulted in, not inherited by forked children.
    ///
    /// `frame.meta` is mapped through the very descriptor given: a mapping keeps its open file description, and the probe for
    /// readers counts descriptions.
    pub(crate) fn new(meta: &File, meta_bytes: usize, data: &File, data_bytes: usize) -> io::Result<Self> {
        assert!(meta_bytes >= HEADER_SIZE);
        let meta = MmapOptions::new().len(meta_bytes).populate().map_raw(meta)?;
        let data = MmapOptions::new().len(data_bytes).populate().map_raw(data)?;
        // A child that is forked by the embedding program must neither keep the memory nor write frames.
        meta.advise(Advice::DontFork)?;
        data.advise(Advice::DontFork)?;
        Ok(Self { meta, data })
    }

    fn word_u64(&self, word: Word64) -> &AtomicU64 {
        // SAFETY: a Word64 has an offset of at most HEADER_SIZE - 8 (asserted in proto's words.rs), and the mapping has at least
        // HEADER_SIZE bytes (asserted in new).
        let place = unsafe { self.meta.as_mut_ptr().add(word.offset()) };
        // SAFETY: page-aligned base plus a multiple of 8: aligned. The mapping is writable and lives as long as self; all
        // accesses to the header of a mapped pair, here and in readers, are atomic.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }

    fn word_u32(&self, word: Word32) -> &AtomicU32 {
        // SAFETY: a Word32 has an offset of at most HEADER_SIZE - 4 (asserted there too); as in word_u64.
        let place = unsafe { self.meta.as_mut_ptr().add(word.offset()) };
        // SAFETY: page-aligned base plus a multiple of 4: aligned; else as in word_u64.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }

    /// The frame that begins at `offset` of the data file.
    ///
    /// # Panics
    /// If it would not lie inside the mapping.
    pub(crate) fn planes<'m>(&'m self, offset: u64, picture: &'m Nv12) -> RawPlanes<'m> {
        let end = offset.checked_add(picture.data_size());
        assert!(end.is_some_and(|end| end <= self.data.len() as u64), "a slot lies inside its mapping");
        // SAFETY: offset is at most the length of the mapping (asserted above).
        let base = unsafe { self.data.as_mut_ptr().add(offset as usize) };
        RawPlanes { base, picture, kernels: Kernels::CHOSEN, slot: PhantomData }
    }
}

impl PublishWords for PairMap {
    fn store_u64(&self, word: Word64, value: u64) {
        self.word_u64(word).store(value, Ordering::Relaxed);
    }

    fn store_u64_release(&self, word: Word64, value: u64) {
        self.word_u64(word).store(value, Ordering::Release);
    }

    fn store_u32_release(&self, word: Word32, value: u32) {
        self.word_u32(word).store(value, Ordering::Release);
    }

    fn fence_release(&self) {
        fence(Ordering::Release);
        // On x86_64 that was no instruction; non-temporal stores of foreign code that fills the slot would not wait for the
        // claim without this one.
        store_fence();
    }

    fn fence_foreign_stores(&self) {
        store_fence();
    }
}

#[inline]
fn store_fence() {
    #[cfg(target_arch = "x86_64")]
    #[allow(unused_unsafe, reason = "a safe function since Rust 1.87, an unsafe one before")]
    // SAFETY: sfence is part of SSE, which every x86_64 processor has.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

/// The two planes of a slot that is being filled.
///
/// Nothing can be read through it, and it cannot outlive the slot: publishing consumes the slot that it borrows.
#[derive(Debug)]
pub struct RawPlanes<'s> {
    base: *mut u8,
    picture: &'s Nv12,
    kernels: Kernels,
    slot: PhantomData<&'s mut ()>,
}

impl RawPlanes<'_> {
    /// Sizes, stride and offsets.
    #[must_use]
    pub fn picture(&self) -> &Nv12 {
        self.picture
    }

    /// First byte of the luma plane: `height` rows of `width` bytes, `stride_bytes` apart.
    ///
    /// Valid for writes of `stride_bytes * height` bytes until the slot is published or dropped. Readers in other processes may
    /// look at these bytes at any time (and throw away what they see), so no Rust reference may be made of it; it is for
    /// foreign code and raw writes. Bytes between a row's end and the stride may be written.
    #[must_use]
    pub fn luma_ptr(&self) -> *mut u8 {
        self.base
    }

    /// First byte of the chroma plane: `ceil(height / 2)` rows of `ceil(width / 2)` pairs Cb, Cr, `stride_bytes` apart. As
    /// [`RawPlanes::luma_ptr`].
    #[must_use]
    pub fn chroma_ptr(&self) -> *mut u8 {
        // SAFETY: a geometry has uv_offset <= data_size, and data_size bytes from base lie in the mapping (PairMap::planes).
        unsafe { self.base.add(self.picture.uv_offset() as usize) }
    }

    /// Copies bytes into the frame, from `offset` bytes after its start.
    ///
    /// # Panics
    /// If they would not lie inside the frame.
    pub(crate) fn copy_in(&mut self, offset: u64, bytes: &[u8]) {
        let to = self.place(offset, bytes.len());
        // SAFETY: bytes.len() bytes from there lie in the frame (place); bytes is private memory, so the two do not overlap.
        unsafe { self.kernels.copy(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Writes pairs of a byte of `cb` and a byte of `cr` into the frame, from `offset` bytes after its start.
    ///
    /// # Panics
    /// If there are more bytes in one than in the other, or the pairs would not lie inside the frame.
    pub(crate) fn interleave_in(&mut self, offset: u64, cb: &[u8], cr: &[u8]) {
        assert_eq!(cb.len(), cr.len(), "a pair has both of its bytes");
        let to = self.place(offset, cb.len().saturating_mul(2));
        // SAFETY: both have cb.len() bytes (asserted), and twice as many from there lie in the frame (place); both are private
        // memory, so nothing overlaps.
        unsafe { self.kernels.interleave(cb.as_ptr(), cr.as_ptr(), to, cb.len()) }
    }

    /// The address of `len` bytes that begin `offset` bytes after the frame's start.
    fn place(&mut self, offset: u64, len: usize) -> *mut u8 {
        let end = offset.checked_add(len as u64);
        assert!(
            end.is_some_and(|end| end <= self.picture.data_size()),
            "what is written stays inside its frame"
        );
        // SAFETY: offset <= data_size, and data_size bytes from base lie in the mapping (PairMap::planes).
        unsafe { self.base.add(offset as usize) }
    }
}

/// `F_SETSIG` of fcntl(2), `asm-generic/fcntl.h`; the libc crate does not have it for every Linux target.
const F_SETSIG: libc::c_int = 10;

/// Whether anybody but this process has the file open or mapped: the kernel grants a write lease only if not.
///
/// # Errors
/// Anything but "somebody has" (`EAGAIN`): this kernel or file system has no leases.
pub(crate) fn is_attached(file: &impl AsFd) -> Result<bool, Errno> {
    // F_UNLCK resets the signal to SIGIO, whose default action ends the process; so it is set before *each* lease. SIGURG is
    // ignored unless the program asks for it.
    fcntl(file, F_SETSIG, libc::SIGURG)?;
    match fcntl(file, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => {
            fcntl(file, libc::F_SETLEASE, libc::F_UNLCK)?;
            Ok(false)
        }
        Err(Errno::AGAIN) => Ok(true),
        Err(errno) => Err(errno),
    }
}

fn fcntl(file: &impl AsFd, command: libc::c_int, argument: libc::c_int) -> Result<(), Errno> {
    // SAFETY: F_SETSIG and F_SETLEASE take an int and touch no memory of this process; the descriptor is open.
    let result = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) };
    if result == -1 {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        return Err(Errno::from_raw_os_error(errno));
    }
    Ok(())
}

/// Planes in private memory, written by each kind of kernels: for tests of what fills them.
#[cfg(test)]
pub(crate) mod stand_in {
    use super::*;

    /// What every kind of kernels makes of memory that holds `around` in each byte, when `work` fills a frame which begins
    /// `place` bytes after its start.
    pub(crate) fn filled(
        picture: &Nv12,
        around: u8,
        place: usize,
        work: impl Fn(&mut RawPlanes<'_>),
    ) -> Vec<(&'static str, Vec<u8>)> {
        let kinds = copy::KERNELS.iter().map(|&(name, kernels)| {
            let mut memory = vec![around; 2 * place + picture.data_size() as usize];
            let base = memory[place..].as_mut_ptr();
            work(&mut RawPlanes { base, picture, kernels, slot: PhantomData });
            (name, memory)
        });
        kinds.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    // Proves TRUST-4.
    #[test]
    fn an_open_in_the_middle_of_the_probe_for_readers_does_not_end_the_server() {
        // The signal of a broken lease would end the whole process, so the work is done in another.
        let this = std::env::current_exe().unwrap();
        let helper = "map::tests::helper_that_is_opened_while_it_probes";
        let status = Command::new(this).args(["--exact", helper, "--ignored"]).status().unwrap();
        assert!(status.success(), "{status}");
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn helper_that_is_opened_while_it_probes() {
        let folder = tempfile::tempdir_in(vas_test_support::shared_memory()).unwrap();
        let path = folder.path().join("probed");
        let file = File::create_new(&path).unwrap();
        let is_done = AtomicBool::new(false);
        let caught = std::thread::scope(|scope| {
            let opener = scope.spawn(|| {
                let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
                let mut caught = 0;
                while !is_done.load(Ordering::Relaxed) && caught < 100 {
                    let opened = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
                    caught += u32::from(matches!(opened, Err(Errno::AGAIN)));
                }
                caught
            });
            let deadline = Instant::now() + Duration::from_secs(30);
            while !opener.is_finished() && Instant::now() < deadline {
                let _ = is_attached(&file).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
            opener.join().unwrap()
        });
        assert!(caught > 0, "no open fell into a probe: this proves nothing");
    }
}
