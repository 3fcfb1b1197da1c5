//! FFmpeg, and the only unsafe code of this crate: one owner per C object, its `Drop` beside its `new`.
//!
//! | module | owns |
//! |---|---|
//! | [`interrupt`] | the deadline that FFmpeg's blocking calls look at |
//! | [`dictionary`] | `AVDictionary`: options of a call, and which of them it did not take |
//! | [`input`] | `AVFormatContext`: an opened camera or file |
//! | [`packet`] | `AVPacket` |
//! | [`decoder`] | `AVCodecContext` |
//! | [`frame`] | `AVFrame`: a reference to a decoded picture |
//! | [`scaler`] | `SwsContext`: any pixel format into NV12, straight into a slot |
//! | [`log`] | FFmpeg's log lines, and the packet loss that only they tell of |
//!
//! Rules kept throughout: C enums are read as the integers they are and compared, never turned into Rust enums, because
//! a newer library may return values that our headers did not have; nothing unwinds into C; a raw pointer never leaves
//! this module.
#![allow(unsafe_code, reason = "FFmpeg is a C library; this module is where the crate calls it")]

pub(crate) mod decoder;
pub(crate) mod dictionary;
pub(crate) mod frame;
pub(crate) mod input;
pub(crate) mod interrupt;
pub(crate) mod log;
pub(crate) mod packet;
pub(crate) mod scaler;

use ffmpeg_sys_next as ff;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::{Mutex, PoisonError};

unsafe extern "C" {
    // Declared here, and not taken from the bindings, because there the parameter is a Rust enum.
    fn avcodec_get_name(codec_id: c_int) -> *const c_char;
}

/// What a call of FFmpeg's reported, with the call's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AvError {
    /// The C function.
    pub(crate) call: &'static str,
    /// Its negative return value.
    pub(crate) code: c_int,
}

impl AvError {
    /// Longest text that `av_strerror` is given room for (FFmpeg's own AV_ERROR_MAX_STRING_SIZE is 64).
    const TEXT_LEN: usize = 128;

    fn out_of_memory(call: &'static str) -> Self {
        Self { call, code: ff::AVERROR(ff::ENOMEM) }
    }

    /// The camera asked for credentials, or did not accept those it got (401, 403).
    pub(crate) fn is_refused(self) -> bool {
        self.code == ff::AVERROR_HTTP_UNAUTHORIZED || self.code == ff::AVERROR_HTTP_FORBIDDEN
    }

    /// The camera has none of the transports that it was asked for (461 in RTSP).
    pub(crate) fn is_unsupported_transport(self) -> bool {
        self.code == ff::AVERROR(ff::EPROTONOSUPPORT)
    }

    /// Reading or writing failed, and nothing more is known.
    pub(crate) fn is_io_error(self) -> bool {
        self.code == ff::AVERROR(ff::EIO)
    }

    /// What was read is nothing that FFmpeg knows.
    pub(crate) fn is_invalid_data(self) -> bool {
        self.code == ff::AVERROR_INVALIDDATA
    }

    /// FFmpeg's words for the code.
    pub(crate) fn reason(self) -> String {
        let mut text: [c_char; Self::TEXT_LEN] = [0; Self::TEXT_LEN];
        // SAFETY: av_strerror writes at most the length it is given, with the terminator, into an array of that length.
        // A code it does not know leaves a generic text there, so the result need not be looked at.
        unsafe { ff::av_strerror(self.code, text.as_mut_ptr(), text.len()) };
        // SAFETY: the array was zeroed and av_strerror terminates what it writes, so a terminator is inside.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        text.to_string_lossy().into_owned()
    }
}

impl fmt::Display for AvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.reason())
    }
}

impl std::error::Error for AvError {}

/// Negative means failure, in every call of FFmpeg's that returns an `int`.
fn check(call: &'static str, code: c_int) -> Result<c_int, AvError> {
    if code < 0 { Err(AvError { call, code }) } else { Ok(code) }
}

/// No single piece of memory that FFmpeg takes is larger, unless pictures need it.
const LARGEST_ALLOCATION_BYTES: usize = 256 << 20;
/// The widest pixel that a decoder may put into one piece of memory: four components of 16 bits.
const WIDEST_PIXEL_BYTES: u64 = 8;

/// Bounds each piece of memory that FFmpeg takes (`av_max_alloc`) by what pictures of `max_pixels` need, for the whole process;
/// of several calls the largest bound counts. Without it, a camera that announces an answer of 1.5 GB gets 1.5 GB.
pub(crate) fn bound_allocations(max_pixels: u64) {
    static BOUND: Mutex<usize> = Mutex::new(LARGEST_ALLOCATION_BYTES);
    let pictures = usize::try_from(max_pixels.saturating_mul(WIDEST_PIXEL_BYTES)).unwrap_or(usize::MAX);
    let mut bound = BOUND.lock().unwrap_or_else(PoisonError::into_inner);
    *bound = pictures.max(*bound);
    // SAFETY: sets a number of the library's, atomically.
    unsafe { ff::av_max_alloc(*bound) };
}

/// FFmpeg's version, as its makers name it.
pub(crate) fn version() -> String {
    // SAFETY: takes nothing.
    let text = unsafe { ff::av_version_info() };
    // SAFETY: a static, terminated text.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// Has the RTSP client of this FFmpeg an option of that name?
pub(crate) fn has_rtsp_option(name: &CStr) -> bool {
    // SAFETY: a terminated text; the result is null or a static object of the library.
    let format = unsafe { ff::av_find_input_format(c"rtsp".as_ptr()) };
    if format.is_null() {
        return false;
    }
    // SAFETY: a static object.
    let mut class = unsafe { (*format).priv_class };
    if class.is_null() {
        return false;
    }
    let class_as_object = (&raw mut class).cast::<std::ffi::c_void>();
    // SAFETY: with this flag the call wants, in place of an object, a pointer to a pointer to its class, which is static; it looks and
    // changes nothing.
    let option = unsafe {
        ff::av_opt_find(class_as_object, name.as_ptr(), std::ptr::null(), 0, ff::AV_OPT_SEARCH_FAKE_OBJ)
    };
    !option.is_null()
}

/// The short name of an `AVCodecID` value, such as `h264`.
fn codec_name(codec_id: c_int) -> String {
    // SAFETY: any int is allowed.
    let name = unsafe { avcodec_get_name(codec_id) };
    // SAFETY: a static, terminated text, also for codecs that do not exist.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// A fraction as FFmpeg has them: time bases and frame rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rational {
    pub(crate) numerator: i32,
    pub(crate) denominator: i32,
}

impl Rational {
    fn from_raw(raw: ff::AVRational) -> Self {
        Self { numerator: raw.num, denominator: raw.den }
    }

    /// `ticks` of this time base in nanoseconds; None for a time base that is none, and beyond 64 bits.
    pub(crate) fn ticks_to_ns(self, ticks: i64) -> Option<i64> {
        if self.numerator <= 0 || self.denominator <= 0 {
            return None;
        }
        let ns =
            i128::from(ticks) * i128::from(self.numerator) * 1_000_000_000 / i128::from(self.denominator);
        i64::try_from(ns).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_and_speaks_ffmpegs_words() {
        let error = AvError { call: "avformat_open_input", code: ff::AVERROR(ff::ENOENT) };
        assert_eq!(error.to_string(), "avformat_open_input: No such file or directory");
    }

    #[test]
    fn options_of_the_rtsp_client_are_found_and_others_are_not() {
        assert!(has_rtsp_option(c"rtsp_transport"));
        assert!(!has_rtsp_option(c"no_such_option"));
        assert!(version().contains('.'), "{}", version());
    }

    #[test]
    fn refusals_are_401_and_403_alone() {
        let refused = |code| AvError { call: "avformat_open_input", code }.is_refused();
        assert!(refused(ff::AVERROR_HTTP_UNAUTHORIZED));
        assert!(refused(ff::AVERROR_HTTP_FORBIDDEN));
        assert!(!refused(ff::AVERROR_HTTP_NOT_FOUND));
        assert!(!refused(ff::AVERROR_EOF));
    }

    #[test]
    fn a_camera_cannot_make_ffmpeg_take_any_amount_of_memory() {
        let can_have = |bytes| {
            // SAFETY: any size is allowed; the result is null or memory that is ours.
            let memory = unsafe { ff::av_malloc(bytes) };
            // SAFETY: null, or ours and not used after this.
            unsafe { ff::av_free(memory) };
            !memory.is_null()
        };
        bound_allocations(1920 * 1080);
        assert!(!can_have(1_500_000_000));
        assert!(can_have(LARGEST_ALLOCATION_BYTES - 4096));
        // Of two cameras, the one with the larger pictures counts.
        bound_allocations(8192 * 4320);
        bound_allocations(320 * 240);
        assert!(can_have(8192 * 4320 * 8 - 4096));
        assert!(!can_have(1_500_000_000));
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        let rtp = Rational { numerator: 1, denominator: 90_000 };
        assert_eq!(rtp.ticks_to_ns(90_000), Some(1_000_000_000));
        assert_eq!(rtp.ticks_to_ns(-45_000), Some(-500_000_000));
        assert_eq!(rtp.ticks_to_ns(i64::MAX), None);
        assert_eq!(Rational { numerator: 0, denominator: 1 }.ticks_to_ns(1), None);
        assert_eq!(Rational { numerator: 1, denominator: 0 }.ticks_to_ns(1), None);
    }
}
