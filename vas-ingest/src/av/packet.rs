//! A packet of compressed video.

use super::AvError;
use ffmpeg_sys_next as ff;
use std::ffi::c_int;
use std::ptr::NonNull;

/// Owner of an `AVPacket`, used again for every packet of a stream.
pub(crate) struct Packet {
    raw: NonNull<ff::AVPacket>,
}

impl Packet {
    pub(crate) fn new() -> Result<Self, AvError> {
        // SAFETY: takes nothing, returns null or a blank packet that is ours.
        let raw = unsafe { ff::av_packet_alloc() };
        NonNull::new(raw).map(|raw| Self { raw }).ok_or(AvError::out_of_memory("av_packet_alloc"))
    }

    /// A keyframe begins here, or a point from which a stream without keyframes recovers.
    pub(crate) fn is_key(&self) -> bool {
        self.flags() & ff::AV_PKT_FLAG_KEY != 0
    }

    /// The demuxer knows that bytes are wrong or missing.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.flags() & ff::AV_PKT_FLAG_CORRUPT != 0
    }

    /// Its bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        // SAFETY: as in `flags`.
        u64::try_from(unsafe { (*self.raw.as_ptr()).size }).unwrap_or(0)
    }

    fn flags(&self) -> c_int {
        // SAFETY: the packet is alive while self is, and `&self` means that nothing writes it.
        unsafe { (*self.raw.as_ptr()).flags }
    }

    /// Which stream it belongs to.
    pub(super) fn stream_index(&self) -> c_int {
        // SAFETY: as in `flags`.
        unsafe { (*self.raw.as_ptr()).stream_index }
    }

    /// `av_packet_unref`: lets go of the data. Reading into a packet that still holds some would leak it.
    pub(super) fn clear(&mut self) {
        // SAFETY: the packet is alive and ours alone; unreferencing a blank packet is allowed.
        unsafe { ff::av_packet_unref(self.raw.as_ptr()) };
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ff::AVPacket {
        self.raw.as_ptr()
    }

    pub(super) fn as_ptr(&self) -> *const ff::AVPacket {
        self.raw.as_ptr()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        // SAFETY: the packet is ours alone and is not used after this; the call sets the local pointer to null.
        unsafe { ff::av_packet_free(&raw mut raw) };
    }
}
