//! The sole writer of a camera, and what a writer that was killed left behind.
//!
//! The guard is a flock on a file that no reader can open. It is the only lock there is: no consumer can see it, nothing on
//! the frame path takes it, and it goes with the process that held it.

use crate::base::{Directory, Identity, euid};
use crate::error::{BaseError, OsError};
use crate::pair::Retired;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, FileType, FlockOperation};
use rustix::io::Errno;
use std::time::Instant;
use vas_shm_proto::layout::{HEADER_SIZE, MAGIC, MAX_SLOTS, RawHeader};
use vas_shm_proto::words::{Word32, Word64};
use vas_shm_proto::{CameraId, DATA_NAME, META_NAME, SlotCount, State};
use zerocopy::FromBytes;

/// Names under which a pair is built before it becomes visible.
pub(crate) const NEW_META_NAME: &str = ".frame.meta.new";
/// As [`NEW_META_NAME`].
pub(crate) const NEW_DATA_NAME: &str = ".frame.data.new";

/// Held while this process is the writer of a camera.
#[derive(Debug)]
pub(crate) struct Guard {
    fd: OwnedFd,
    identity: Identity,
    owner_pid: u32,
    is_new: bool,
}

impl Guard {
    pub(crate) fn name(camera: &CameraId) -> String {
        format!(".{camera}.lock")
    }

    /// Takes the guard; `None` if another process holds it. Never waits.
    pub(crate) fn acquire(base: &Directory, camera: &CameraId) -> Result<Option<Self>, BaseError> {
        let name = Self::name(camera);
        let (fd, is_new) = base.open_private(&name)?;
        let io = |call| {
            let path = base.path().join(&name);
            move |errno: Errno| BaseError::Io { call, path, errno: OsError::of_errno(errno) }
        };
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(io("flock")(errno)),
        }
        // A file that was removed between the open and the lock guards nothing: somebody else may hold its successor.
        let identity = Identity::of(&rustix::fs::fstat(&fd).map_err(io("fstat"))?);
        let named = base.look(&name)?.map(|stat| Identity::of(&stat));
        let guard = Self { fd, identity, owner_pid: std::process::id(), is_new };
        Ok((named == Some(identity)).then_some(guard))
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether holding it proves that no other writer of this camera lives. A lock file that had to be made proves nothing: its
    /// predecessor may have been removed under a writer that still writes.
    pub(crate) fn proves_sole_writer(&self) -> bool {
        !self.is_new
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing alone would not do: the lock belongs to the open file description, which a forked child shares. And in such a
        // child the lock is the parent's.
        if std::process::id() == self.owner_pid {
            let _ = rustix::fs::flock(&self.fd, FlockOperation::Unlock);
        }
    }
}

/// Whether an earlier writer left anything.
pub(crate) fn has_leftovers(directory: &Directory) -> Result<bool, BaseError> {
    for name in [META_NAME, DATA_NAME, NEW_META_NAME, NEW_DATA_NAME] {
        if directory.look(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an earlier writer left was removed.
#[derive(Debug)]
pub(crate) struct Leftovers {
    /// The camera's last pair. Its readers were told, but those that have it open still may be working on a frame.
    pub(crate) pair: Option<Retired>,
}

/// Removes what an earlier writer of this camera left, the guard being held; `None` if there was nothing. Readers are told
/// "stopped", and no frame validates any more, before the pair's memory may be given back. Where this cannot be had, the names go
/// and the memory stays until the last reader goes.
pub(crate) fn remove_leftovers(directory: &Directory, guard: &Guard) -> Result<Option<Leftovers>, BaseError> {
    if !has_leftovers(directory)? {
        return Ok(None);
    }
    let ended = if guard.proves_sole_writer() { end_pair(directory) } else { None };
    for name in [META_NAME, DATA_NAME, NEW_META_NAME, NEW_DATA_NAME] {
        directory.unlink(name)?;
    }
    // Only now that nobody finds it any more.
    let now = Instant::now();
    let mut pair = ended.map(|(data, len)| Retired::new(None, data, len, now));
    let _ = pair.as_mut().map(|pair| pair.release(now));
    Ok(Some(Leftovers { pair }))
}

/// Ends the pair that stands under the visible names. `None` unless each of its readers is certain to notice: without that its
/// pixels must not change.
fn end_pair(directory: &Directory) -> Option<(OwnedFd, u64)> {
    let open = |name: &str| {
        let stat = directory.look(name).ok().flatten()?;
        FileType::from_raw_mode(stat.st_mode).is_file().then(|| directory.open_existing(name).ok())?
    };
    let (meta, data) = (open(META_NAME)?, open(DATA_NAME)?);
    let (meta_stat, data_stat) = (rustix::fs::fstat(&meta).ok()?, rustix::fs::fstat(&data).ok()?);
    // A header that somebody else wrote, while he could, may name any file of ours that he linked here.
    if meta_stat.st_uid != euid() || data_stat.st_uid != euid() {
        return None;
    }
    let mut bytes = [0; HEADER_SIZE];
    if rustix::io::pread(&meta, &mut bytes, 0).ok()? != HEADER_SIZE {
        return None;
    }
    let header = RawHeader::ref_from_bytes(&bytes).ok()?;
    let stream = &header.stream;
    if stream.magic != MAGIC || stream.data_inode.get() != data_stat.st_ino {
        return None;
    }
    end_header(&meta).ok()?;
    Some((data, data_stat.st_size as u64))
}

/// Writes "stopped" and empties every slot record, through the descriptor: a file that we did not make is not mapped. A reader
/// that sees only some bytes of an id gone sees another number than its frame's, which is all it asks.
fn end_header(meta: &OwnedFd) -> Result<(), Errno> {
    write_at(meta, &State::Stopped.to_word().to_le_bytes(), Word32::STATE.offset())?;
    let every_slot = SlotCount::new(MAX_SLOTS as u32).unwrap_or_default();
    for slot in every_slot.indices() {
        write_at(meta, &0u64.to_le_bytes(), Word64::slot_frame_id(slot).offset())?;
    }
    Ok(())
}

fn write_at(file: &OwnedFd, bytes: &[u8], offset: usize) -> Result<(), Errno> {
    let written = rustix::io::pwrite(file, bytes, offset as u64)?;
    if written == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Gives the memory of a file back and leaves its size as it is.
pub(crate) fn punch(file: &OwnedFd, len: u64) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, len)
    })
}
