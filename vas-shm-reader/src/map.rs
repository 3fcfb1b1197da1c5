//! Read-only mappings: the only unsafe of this crate.
//!
//! The memory here is written by another process at any time. So no reference to it and no slice of it comes into being:
//! words are relaxed atomics found by checked offsets, pixels are copied out by code that the compiler cannot look through,
//! or handed on as raw pointers for which the caller answers.
#![allow(unsafe_code, reason = "the one module of this crate that touches the mappings")]

mod copy;

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use vas_shm_proto::Nv12;
use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_proto::words::{SnapshotWords, Word32, Word64};

/// The header of a pair, mapped `PROT_READ`: [`HEADER_SIZE`] bytes.
#[derive(Debug)]
pub(crate) struct MetaMap {
    map: MmapRaw,
}

impl MetaMap {
    /// Maps the header. `frame.meta` has at least [`HEADER_SIZE`] bytes (checked by the caller with fstat), so that no page of
    /// the mapping lies past its end, unless a server breaks its word and makes the file shorter (TRUST-2).
    pub(crate) fn new(meta: &File) -> io::Result<Self> {
        let map = MmapOptions::new().len(HEADER_SIZE).map_raw_read_only(meta)?;
        assert!(map.len() >= HEADER_SIZE);
        Ok(Self { map })
    }

    /// Lets go of the file and stays readable: from now on every word is zero. See [`let_go`].
    pub(crate) fn let_go(&self) -> io::Result<()> {
        let_go(&self.map)
    }
}

/// Puts empty private pages in the place of a mapping: the file is mapped no more, and whoever still reads at these addresses,
/// on another thread perhaps, reads zeros instead of dying.
fn let_go(map: &MmapRaw) -> io::Result<()> {
    // SAFETY: `map` owns these addresses from its base, which is page-aligned since the mapping began at offset 0 of its file, to
    // the end of the page that holds its last byte, which is what the kernel takes for `len`; so MAP_FIXED replaces nothing of
    // anybody else's. The new pages can be read as the old ones could, and stay until `map` unmaps them like the old ones. That
    // their bytes change at once is what every reader of a shared mapping has to bear anyway: words are loaded as atomics, pixels
    // by opaque copies or through pointers that promise nothing of their contents.
    unsafe {
        mmap_anonymous(
            map.as_mut_ptr().cast(),
            map.len(),
            ProtFlags::READ,
            MapFlags::PRIVATE | MapFlags::FIXED,
        )
    }?;
    Ok(())
}

impl SnapshotWords for MetaMap {
    fn load_u64(&self, word: Word64) -> u64 {
        // SAFETY: a Word64 has an offset of at most HEADER_SIZE - 8 (proto's const assertions; `new` asserts the length), so
        // the result stays inside the mapping.
        let place = unsafe { self.map.as_ptr().add(word.offset()) };
        // SAFETY: page-aligned base plus a multiple of 8: aligned. The mapping lives as long as self, and all that touch
        // these bytes in this process do so through atomics. `AtomicU64::from_ptr` would ask for a writable place; a shared
        // reference to an atomic on a PROT_READ page is what std's documentation allows for relaxed loads of up to 8 bytes.
        let atomic = unsafe { &*place.cast::<AtomicU64>() };
        atomic.load(Ordering::Relaxed)
    }

    fn load_u32(&self, word: Word32) -> u32 {
        // SAFETY: a Word32 has an offset of at most HEADER_SIZE - 4; see load_u64.
        let place = unsafe { self.map.as_ptr().add(word.offset()) };
        // SAFETY: page-aligned base plus a multiple of 4: aligned; else as in load_u64.
        let atomic = unsafe { &*place.cast::<AtomicU32>() };
        atomic.load(Ordering::Relaxed)
    }

    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }
}

/// The pixels of a pair, mapped `PROT_READ`.
#[derive(Debug)]
pub(crate) struct DataMap {
    map: MmapRaw,
}

impl DataMap {
    /// Maps `len` bytes, not more than the file has (checked by the caller with fstat). Pages are faulted in at once, so that
    /// the first frames cost no more than later ones.
    pub(crate) fn new(data: &File, len: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(len).populate().map_raw_read_only(data)? })
    }

    /// Lets go of the file and stays readable: from now on every byte is zero. See [`let_go`].
    pub(crate) fn let_go(&self) -> io::Result<()> {
        let_go(&self.map)
    }

    /// The frame that begins at `offset`; `None` if it would not lie inside the mapping.
    pub(crate) fn frame<'m>(&'m self, offset: u64, picture: &'m Nv12) -> Option<RawNv12<'m>> {
        let end = offset.checked_add(picture.data_size())?;
        if end > self.map.len() as u64 {
            return None;
        }
        // SAFETY: offset <= end <= length of the mapping.
        let base = unsafe { self.map.as_ptr().add(offset as usize) };
        Some(RawNv12 { base, picture, mapping: PhantomData })
    }
}

/// The two planes of a frame that lies in shared memory and **may be overwritten at any moment**.
///
/// What is read here means something only if the frame is intact afterwards; [`crate::Frame::with`] sees to that. The safe
/// methods copy; the pointers are for code of one's own (converters, C libraries), with the same rule.
#[derive(Clone, Copy, Debug)]
pub struct RawNv12<'m> {
    base: *const u8,
    picture: &'m Nv12,
    mapping: PhantomData<&'m MmapRaw>,
}

// SAFETY: the pointer leads into a read-only mapping that the lifetime keeps alive; reading from it is as good from one
// thread as from another.
unsafe impl Send for RawNv12<'_> {}
// SAFETY: as above; there is no interior state.
unsafe impl Sync for RawNv12<'_> {}

impl RawNv12<'_> {
    /// Sizes, stride and offsets.
    #[must_use]
    pub fn picture(&self) -> &Nv12 {
        self.picture
    }

    /// First byte of the luma plane: `height` rows of `width` bytes, `stride_bytes` apart.
    ///
    /// Valid for reads of `stride_bytes * height` bytes while the reader lives. The bytes may change between any two reads, so a
    /// Rust slice of them is unsound by the letter; see [`RawNv12::as_slice`].
    ///
    /// Two things end a process that reads here, by SIGBUS, and nothing on a tmpfs can prevent either: a server that makes the
    /// file shorter (TRUST-2), and pixels of a pair that ended more than ten seconds ago on a file system that is full
    /// (LIFE-7). So let go of a pair that is over, as LIFE-6 asks.
    #[must_use]
    pub fn luma_ptr(&self) -> *const u8 {
        self.base
    }

    /// First byte of the chroma plane: `ceil(height / 2)` rows of `ceil(width / 2)` pairs Cb, Cr, `stride_bytes` apart. As
    /// [`RawNv12::luma_ptr`].
    #[must_use]
    pub fn chroma_ptr(&self) -> *const u8 {
        // SAFETY: a checked geometry has uv_offset <= data_size, and data_size bytes from base lie in the mapping
        // (DataMap::frame).
        unsafe { self.base.add(self.picture.uv_offset() as usize) }
    }

    /// The whole frame, padding included, as a slice.
    ///
    /// # Safety
    /// Another process may write these bytes while the slice exists, which Rust's rules do not allow for. The caller must not
    /// let anything depend on two reads agreeing (bounds, enum values, UTF-8), must not keep the slice beyond the check with
    /// [`crate::Frame::is_intact`], and must throw away all that was derived from it if that check fails.
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: data_size bytes from base lie in the mapping (DataMap::frame), which outlives self; bytes have no invalid
        // values. That they do not change is what the caller answers for.
        unsafe { std::slice::from_raw_parts(self.base, self.picture.data_size() as usize) }
    }

    /// Copies the visible part of luma row `y`.
    ///
    /// # Panics
    /// If there is no such row or `out` is not `width` bytes long.
    pub fn copy_luma_row(&self, y: u32, out: &mut [u8]) {
        assert!(y < self.picture.height(), "luma row {y} of {}", self.picture.height());
        assert_eq!(out.len(), self.picture.width() as usize, "a luma row has width bytes");
        self.copy_out(u64::from(y) * u64::from(self.picture.stride_bytes()), out);
    }

    /// Copies the visible part of chroma row `y`.
    ///
    /// # Panics
    /// If there is no such row or `out` is not `2 * ceil(width / 2)` bytes long.
    pub fn copy_chroma_row(&self, y: u32, out: &mut [u8]) {
        assert!(y < self.picture.chroma_rows(), "chroma row {y} of {}", self.picture.chroma_rows());
        assert_eq!(
            out.len(),
            self.picture.chroma_row_bytes() as usize,
            "a chroma row has 2 * ceil(width / 2) bytes"
        );
        self.copy_out(self.picture.uv_offset() + u64::from(y) * u64::from(self.picture.stride_bytes()), out);
    }

    /// Copies the visible picture without padding, [`Nv12::packed_size`] bytes: luma rows, then chroma rows.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn copy_packed_to(&self, out: &mut [u8]) {
        assert_eq!(
            out.len() as u64,
            self.picture.packed_size(),
            "the buffer has the size of the packed picture"
        );
        let width = self.picture.width() as usize;
        let (luma, chroma) = out.split_at_mut(width * self.picture.height() as usize);
        self.copy_plane(0, width, luma);
        self.copy_plane(self.picture.uv_offset(), self.picture.chroma_row_bytes() as usize, chroma);
    }

    fn copy_plane(&self, offset: u64, row_bytes: usize, out: &mut [u8]) {
        let stride = self.picture.stride_bytes();
        if row_bytes == stride as usize {
            self.copy_out(offset, out);
            return;
        }
        for (y, row) in out.chunks_exact_mut(row_bytes).enumerate() {
            self.copy_out(offset + y as u64 * u64::from(stride), row);
        }
    }

    /// Copies out of the frame, from `offset` bytes after its start.
    fn copy_out(&self, offset: u64, out: &mut [u8]) {
        let end = offset.checked_add(out.len() as u64);
        assert!(end.is_some_and(|end| end <= self.picture.data_size()), "a copy stays inside its frame");
        // SAFETY: offset <= data_size, and data_size bytes from base lie in the mapping (DataMap::frame).
        let from = unsafe { self.base.add(offset as usize) };
        // SAFETY: out.len() bytes from there lie in the frame (asserted above); out is a private buffer of that many bytes,
        // so the two do not overlap.
        unsafe { copy::from_shared(from, out.as_mut_ptr(), out.len()) }
    }
}
