//! What no safe crate wraps: a page of counters that outlives its process, leases, locks of open file descriptions, fork. The
//! only unsafe of this crate.
#![allow(
    unsafe_code,
    reason = "shared counters, F_SETLEASE, F_OFD_SETLK and fork are wrapped by no safe crate"
)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;

const PAGE_BYTES: usize = 4096;
const WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// A file of words that several processes count in. What was stored stays when a process is killed at any instruction.
#[derive(Debug)]
pub(crate) struct Page {
    map: MmapRaw,
}

impl Page {
    /// Makes the file, all zero, and maps it.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(PAGE_BYTES as u64)?;
        Self::map(&file)
    }

    /// Maps one that another process made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Err(io::Error::other("the page of counters is too short"));
        }
        Self::map(&file)
    }

    fn map(file: &File) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(PAGE_BYTES).map_raw(file)? })
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "a page has {WORDS} words");
        // SAFETY: index * 8 < PAGE_BYTES (asserted above), the length of the mapping.
        let place = unsafe { self.map.as_mut_ptr().add(index * size_of::<u64>()) };
        // SAFETY: page-aligned base plus a multiple of 8: aligned. The mapping is writable and lives as long as self; every
        // process touches these words by atomics only, and nobody makes the file shorter.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }
}

/// Asks for a read lease: who opens the file for writing would have to wait until it is given back.
///
/// # Errors
/// The kernel gives none: the file is open for writing somewhere, or belongs to somebody else.
pub(crate) fn take_read_lease(file: &File) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes an int and touches no memory of this process; the descriptor is open.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })
}

/// Takes a lock of the open file description over the whole file, without waiting.
///
/// # Errors
/// Somebody has one that is in the way, or the descriptor does not allow this kind.
pub(crate) fn take_description_lock(file: &File, exclusive: bool) -> io::Result<()> {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    // From the start, of no particular length: to the end, wherever that will be.
    #[allow(clippy::unnecessary_cast, reason = "the types of these constants differ between architectures")]
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: F_OFD_SETLK takes a pointer to a flock, which lives during the call; the descriptor is open.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) })
}

/// Who returned from [`fork`].
#[derive(Debug)]
pub(crate) enum Forked {
    /// The process that forked; the child's id.
    Parent(i32),
    /// The child, which has this one thread only.
    Child,
}

/// Makes a child that goes on here, as a careless embedding program would.
///
/// # Errors
/// The kernel allows no more processes.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: fork has no precondition. The child has one thread and copies of all memory; what it does until it ends by
    // `leave` allocates at most (glibc hands its allocator to the child in order) and takes no lock of the lost threads.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent(child)),
    }
}

/// Ends a forked child without running anything that belongs to its parent.
pub(crate) fn leave() -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(0) }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
