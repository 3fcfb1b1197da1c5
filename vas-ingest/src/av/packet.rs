//! A packet of compressed video.

use super::{AvError, check};
use ffmpeg_sys_next as ff;
use std::ffi::c_int;
use std::ptr::{self, NonNull};

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

    /// What it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: as in `flags`.
        let data = unsafe { (*self.raw.as_ptr()).data };
        let len_bytes = usize::try_from(self.len_bytes()).unwrap_or(0);
        if data.is_null() || len_bytes == 0 {
            return &[];
        }
        // SAFETY: a packet's data are so many bytes, and nobody writes them while `&self` lasts.
        unsafe { std::slice::from_raw_parts(data, len_bytes) }
    }

    /// When its picture is to be shown, in the stream's time base.
    pub(crate) fn pts(&self) -> Option<i64> {
        // SAFETY: as in `flags`.
        let pts = unsafe { (*self.raw.as_ptr()).pts };
        Some(pts).filter(|&pts| pts != ff::AV_NOPTS_VALUE)
    }

    /// `AV_PKT_DATA_PRFT`: what the camera's clock said, in nanoseconds since 1970, as FFmpeg has it from RTCP sender reports.
    pub(crate) fn producer_time_ns(&self) -> Option<i64> {
        let mut size = 0;
        let kind = ff::AVPacketSideDataType::AV_PKT_DATA_PRFT;
        // SAFETY: the packet is alive; the result is null or `size` bytes of the packet's.
        let data = unsafe { ff::av_packet_get_side_data(self.raw.as_ptr(), kind, &raw mut size) };
        if data.is_null() || size < size_of::<ff::AVProducerReferenceTime>() {
            return None;
        }
        // SAFETY: side data of this kind is this struct, whose size was checked; it is copied, whatever its alignment.
        let time = unsafe { data.cast::<ff::AVProducerReferenceTime>().read_unaligned() };
        time.wallclock.checked_mul(1000)
    }

    /// `av_new_packet`, filled with the pieces one behind the other, whatever the packet held before.
    pub(crate) fn fill(&mut self, pieces: &[&[u8]], key: bool, pts: i64) -> Result<(), AvError> {
        self.clear();
        let len_bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let size = c_int::try_from(len_bytes)
            .map_err(|_| AvError { call: "av_new_packet", code: ff::AVERROR(ff::EINVAL) })?;
        // SAFETY: the packet is blank and ours; on success it holds `size` bytes and zeroed padding behind them.
        let code = unsafe { ff::av_new_packet(self.raw.as_ptr(), size) };
        check("av_new_packet", code)?;
        // SAFETY: as in `flags`.
        let data = unsafe { (*self.raw.as_ptr()).data };
        let mut at = 0;
        for piece in pieces {
            // SAFETY: `at` is at most the sum of the lengths, which is what the packet holds.
            let to = unsafe { data.add(at) };
            // SAFETY: `piece.len()` bytes from `to` lie within the packet, which nobody else has yet.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len()) };
            at += piece.len();
        }
        // SAFETY: the packet is ours alone.
        unsafe { (*self.raw.as_ptr()).pts = pts };
        // SAFETY: as above.
        unsafe { (*self.raw.as_ptr()).flags = if key { ff::AV_PKT_FLAG_KEY } else { 0 } };
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_filled_again_and_again_and_holds_the_last() {
        let mut packet = Packet::new().unwrap();
        assert_eq!(packet.bytes(), b"");
        assert_eq!((packet.pts(), packet.producer_time_ns()), (None, None));
        packet.fill(&[b"first, and longer"], true, 7).unwrap();
        packet.fill(&[b"ab", b"", b"cde"], false, -3).unwrap();
        assert_eq!((packet.pts(), packet.is_key(), packet.is_corrupt()), (Some(-3), false, false));
        assert_eq!(packet.bytes(), b"abcde");
    }
}
