//! The sole writer of a camera, and what a writer that was killed left behind.
//!
//! The guard is a flock on a file that no reader can open. It is the only lock there is: no consumer can see it, nothing on
//! the frame path takes it, and it goes with the process that held it.

use crate::base::{Directory, Identity};
use crate::error::BaseError;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, FileType, FlockOperation};
use rustix::io::Errno;
use vas_shm_proto::layout::{HEADER_SIZE, MAX_SLOTS};
use vas_shm_proto::words::{Word32, Word64};
use vas_shm_proto::{CameraId, DATA_NAME, META_NAME, SlotCount, State};

/// Names under which a pair is built before it becomes visible.
pub(crate) const NEW_META_NAME: &str = ".frame.meta.new";
/// As [`NEW_META_NAME`].
pub(crate) const NEW_DATA_NAME: &str = ".frame.data.new";

/// Held while this process is the writer of a camera.
#[derive(Debug)]
pub(crate) struct Guard {
    // Closing it gives the lock back.
    _fd: OwnedFd,
    identity: Identity,
}

impl Guard {
    pub(crate) fn name(camera: &CameraId) -> String {
        format!(".{camera}.lock")
    }

    /// Takes the guard; `None` if another process holds it. Never waits.
    pub(crate) fn acquire(base: &Directory, camera: &CameraId) -> Result<Option<Self>, BaseError> {
        let name = Self::name(camera);
        let fd = base.open_private(&name)?;
        let io = |call| {
            let path = base.path().join(&name);
            move |errno| BaseError::Io { call, path, errno }
        };
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(io("flock")(errno)),
        }
        // A file that was removed between the open and the lock guards nothing: somebody else may hold its successor.
        let identity = Identity::of(&rustix::fs::fstat(&fd).map_err(io("fstat"))?);
        let named = base.look(&name)?.map(|stat| Identity::of(&stat));
        Ok((named == Some(identity)).then_some(Self { _fd: fd, identity }))
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }
}

/// Empties and removes what an earlier writer of this camera left, the guard being held. Its readers are told "stopped", and no
/// frame of it validates any more, before the memory goes.
pub(crate) fn remove_leftovers(directory: &Directory) -> Result<bool, BaseError> {
    let mut found = false;
    for name in [META_NAME, DATA_NAME, NEW_META_NAME, NEW_DATA_NAME] {
        let Some(stat) = directory.look(name)? else {
            continue;
        };
        found = true;
        // Anything that is no file of ours is merely unlinked. What cannot be emptied (a file system that says no) is, too:
        // the memory then goes with the last reader.
        if FileType::from_raw_mode(stat.st_mode).is_file() {
            if let Ok(fd) = directory.open_existing(name) {
                if name == META_NAME && stat.st_size as u64 >= HEADER_SIZE as u64 {
                    let _ = end_header(&fd);
                }
                if name == DATA_NAME {
                    let _ = punch(&fd, stat.st_size as u64);
                }
            }
        }
        directory.unlink(name)?;
    }
    Ok(found)
}

/// Writes "stopped" and empties every slot record, through the descriptor: a file that we did not make is not mapped.
fn end_header(meta: &OwnedFd) -> Result<(), Errno> {
    write_at(meta, &State::Stopped.to_word().to_le_bytes(), Word32::STATE.offset())?;
    let every_slot = SlotCount::new(MAX_SLOTS as u32).unwrap_or_default();
    for slot in every_slot.indices() {
        write_at(meta, &0u64.to_le_bytes(), Word64::slot_frame_id(slot).offset())?;
    }
    Ok(())
}

/// One aligned word: the kernel copies it whole.
fn write_at(file: &OwnedFd, bytes: &[u8], offset: usize) -> Result<(), Errno> {
    rustix::io::pwrite(file, bytes, offset as u64).map(drop)
}

/// Gives the memory of a file back and leaves its size as it is.
pub(crate) fn punch(file: &OwnedFd, len: u64) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, len)
}
