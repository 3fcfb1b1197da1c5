//! A program of somebody who has no std: it reads a header that was copied from shared memory.
//!
//! This crate brings its own panic handler and no allocator. If vas-shm-proto, or anything it depends on, linked std or
//! alloc, this would not build. `cargo xtask deps` builds it.
#![no_std]
#![forbid(unsafe_code)]

use core::panic::PanicInfo;

use vas_shm_proto::layout::HEADER_SIZE;
use vas_shm_proto::{CameraId, Files, Header};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Whether the bytes are the header of a pair of files that a reader may use.
pub extern "C" fn accepts(bytes: &[u8; HEADER_SIZE], data_size_bytes: u64, data_inode: u64) -> bool {
    let files = Files { meta_size_bytes: HEADER_SIZE as u64, data_size_bytes, data_inode };
    Header::check(bytes, &files).is_ok()
}

/// Whether the text is a camera's name.
pub extern "C" fn names_a_camera(text: &[u8; 8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| CameraId::new(text).is_ok())
}
