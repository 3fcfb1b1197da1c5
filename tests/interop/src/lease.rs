//! The lease that a writer holds on `frame.meta` for some microseconds to learn whether anybody reads (IDLE-4), here held for
//! as long as a reader is asked: the only unsafe of this crate.
#![allow(unsafe_code, reason = "F_SETLEASE and F_SETSIG are wrapped by no safe crate")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long a lease is asked for that another process stands in the way of.
const BUSY_LIMIT: Duration = Duration::from_secs(30);

/// A write lease, until this is dropped. Whoever opens the file meanwhile waits, or is told `EAGAIN`.
#[derive(Debug)]
pub(crate) struct Lease {
    file: File,
}

impl Lease {
    /// Takes a lease on a file that is open nowhere else.
    ///
    /// # Errors
    /// The kernel gives none.
    pub(crate) fn take(file: File) -> io::Result<Self> {
        // The kernel signals that somebody wants to open the file: SIGIO would end this process, SIGURG is ignored.
        fcntl(&file, F_SETSIG, libc::SIGURG)?;
        // A process that another thread of this one is just starting has copies of all descriptors, closed ones too, until it is its
        // own program.
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            match fcntl(&file, libc::F_SETLEASE, libc::F_WRLCK) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                taken => return taken.map(|()| Self { file }),
            }
        }
    }

    /// The file, for whoever has to read it in spite of the lease.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

// Linux has it, libc does not name it for every target.
const F_SETSIG: libc::c_int = 10;

fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: F_SETSIG and F_SETLEASE take an int and touch no memory of this process; the descriptor is open.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
