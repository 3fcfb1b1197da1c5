//! System calls that a hostile reader makes and no safe crate wraps: the only unsafe of this crate.
//!
//! Each gives the kernel's answer. What is mapped is never read or written here.
#![allow(
    unsafe_code,
    reason = "mmap, mprotect, madvise, truncate and fcntl with locks and leases are wrapped by no safe crate"
)]

use rustix::io::Errno;
use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};

/// One page of every file that is mapped here.
const LEN: usize = 4096;

fn answer(result: c_int) -> Result<(), Errno> {
    if result == -1 { Err(last()) } else { Ok(()) }
}

fn last() -> Errno {
    let errno = std::io::Error::last_os_error().raw_os_error();
    Errno::from_raw_os_error(errno.unwrap_or(libc::EINVAL))
}

/// The first page of a file; unmapped when it is dropped.
#[derive(Debug)]
pub struct Page(*mut c_void);

impl Page {
    /// `mmap(NULL, 4096, protection, flags, fd, 0)`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn map(file: &impl AsFd, protection: c_int, flags: c_int) -> Result<Self, Errno> {
        let fd = file.as_fd().as_raw_fd();
        // SAFETY: without MAP_FIXED, which no caller of this crate passes, the kernel chooses a place where nothing is.
        let place =
            unsafe { libc::mmap(std::ptr::null_mut(), LEN, protection, flags & !libc::MAP_FIXED, fd, 0) };
        if place == libc::MAP_FAILED { Err(last()) } else { Ok(Self(place)) }
    }

    /// `mprotect(2)`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn protect(&self, protection: c_int) -> Result<(), Errno> {
        // SAFETY: the page was mapped by map() and no reference to it exists.
        answer(unsafe { libc::mprotect(self.0, LEN, protection) })
    }

    /// `madvise(2)`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn advise(&self, advice: c_int) -> Result<(), Errno> {
        // SAFETY: as in protect().
        answer(unsafe { libc::madvise(self.0, LEN, advice) })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: as in protect(); nobody else knows the address.
        let _ = unsafe { libc::munmap(self.0, LEN) };
    }
}

/// `truncate(2)`.
///
/// # Errors
/// What the kernel answers.
pub fn truncate(path: &CStr, len: i64) -> Result<(), Errno> {
    // SAFETY: the path ends with a zero byte by its type; the call reads nothing else.
    answer(unsafe { libc::truncate(path.as_ptr(), len) })
}

/// `fcntl(fd, F_SETLEASE, lease)`.
///
/// # Errors
/// What the kernel answers.
pub fn lease(file: &impl AsFd, lease: c_int) -> Result<(), Errno> {
    // SAFETY: F_SETLEASE takes an int and touches no memory of this process; the descriptor is open.
    answer(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETLEASE, lease) })
}

/// `fcntl(fd, F_ADD_SEALS, seals)`.
///
/// # Errors
/// What the kernel answers.
pub fn seal(file: &impl AsFd, seals: c_int) -> Result<(), Errno> {
    // SAFETY: F_ADD_SEALS takes an int and touches no memory of this process; the descriptor is open.
    answer(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_ADD_SEALS, seals) })
}

/// `fcntl(fd, F_SETLK or F_OFD_SETLK, F_RDLCK or F_WRLCK on the whole file)`.
///
/// # Errors
/// What the kernel answers.
///
/// # Panics
/// For any other command: one that writes what it is given would write to what is lent for reading.
pub fn record_lock(file: &impl AsFd, command: c_int, kind: c_int) -> Result<(), Errno> {
    assert!([libc::F_SETLK, libc::F_OFD_SETLK].contains(&command), "command {command} takes no lock");
    // Zeroes mean: from the start to the end, and for open file descriptions l_pid has to be zero.
    // SAFETY: flock is a struct of integers, for which zeroes are values.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    // SAFETY: both commands (asserted above) read one flock, which lives across the call; the descriptor is open.
    answer(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw const lock) })
}
