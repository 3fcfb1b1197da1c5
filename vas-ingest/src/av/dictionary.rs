//! Options of a call, and which of them it did not take.

use super::{AvError, check};
use ffmpeg_sys_next as ff;
use std::ffi::{CStr, CString};
use std::ptr;

/// Owner of an `AVDictionary`.
pub(crate) struct Dictionary {
    /// Null while empty: FFmpeg allocates it with the first entry and frees it with the last.
    raw: *mut ff::AVDictionary,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        Self { raw: ptr::null_mut() }
    }

    /// `av_dict_set`; FFmpeg copies both texts.
    pub(crate) fn set(&mut self, key: &CStr, value: &str) -> Result<(), AvError> {
        let value = CString::new(value)
            .map_err(|_| AvError { call: "av_dict_set", code: ff::AVERROR(ff::EINVAL) })?;
        // SAFETY: the field is null or a dictionary that this owner holds; both texts are terminated and are copied.
        let code = unsafe { ff::av_dict_set(&raw mut self.raw, key.as_ptr(), value.as_ptr(), 0) };
        check("av_dict_set", code).map(drop)
    }

    /// For a call that takes its options out of the dictionary and leaves the others there. Such a call may replace the
    /// pointer, never with something that another owner holds.
    pub(super) fn as_mut_ptr(&mut self) -> *mut *mut ff::AVDictionary {
        &raw mut self.raw
    }

    /// The keys in it: after a call, those that it did not understand.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut entry: *const ff::AVDictionaryEntry = ptr::null();
        loop {
            // SAFETY: the dictionary is null or ours, and `entry` is null or what the call before returned for the same,
            // unchanged dictionary. The empty prefix matches every key.
            entry = unsafe { ff::av_dict_get(self.raw, c"".as_ptr(), entry, ff::AV_DICT_IGNORE_SUFFIX) };
            if entry.is_null() {
                return keys;
            }
            // SAFETY: a non-null result points to an entry of the living dictionary.
            let key = unsafe { (*entry).key };
            // SAFETY: an entry's key is a terminated text, and it is copied before the dictionary can change.
            let key = unsafe { CStr::from_ptr(key) };
            keys.push(key.to_string_lossy().into_owned());
        }
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        // SAFETY: null or a dictionary that nobody else holds; the call sets the field to null.
        unsafe { ff::av_dict_free(&raw mut self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_listed() {
        let mut options = Dictionary::new();
        assert!(options.keys().is_empty());
        options.set(c"rtsp_transport", "tcp").unwrap();
        options.set(c"timeout", "10000000").unwrap();
        options.set(c"timeout", "5").unwrap();
        assert_eq!(options.keys(), ["rtsp_transport", "timeout"]);
        assert!(options.set(c"x", "a\0b").is_err());
    }
}
