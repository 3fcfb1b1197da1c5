//! The two files of a pair: birth under hidden names, retirement, removal.

use crate::base::{Directory, Identity};
use crate::error::{BaseError, OsError};
use crate::frame::PictureFormat;
use crate::gate::Gate;
use crate::guard::{NEW_DATA_NAME, NEW_META_NAME, punch};
use crate::map::{PairMap, is_attached};
use crate::room::Shortage;
use rustix::fd::OwnedFd;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::words::{PublishWords, Word32, Word64};
use vas_shm_proto::{
    DATA_NAME, META_NAME, Nv12, PairSize, SlotCount, SlotIndex, State, StreamFlags, publish,
};

/// How long a pair that is over keeps its pixels while somebody still has it open and room is short. Readers check what they read,
/// so none is misled by an emptied pair; but where the file system is full, the kernel has no page even of zeros for a hole, and
/// ends the reader that touches one by SIGBUS (docs/decisions/0002).
const GRACE: Duration = Duration::from_secs(10);

/// What the frame path needs of a pair; shared with the library's thread.
#[derive(Debug)]
pub(crate) struct Live {
    map: PairMap,
    // The very descriptor through which frame.meta is mapped: the kernel counts open file descriptions, and ours is to be one. It
    // goes with the pair's names: of what is retired, only the pixels need one (docs/decisions/0001).
    meta: Weak<File>,
    gate: Gate,
    // Whether one of the two threads is just asking for readers.
    is_asking: AtomicBool,
    format: PictureFormat,
    picture: Nv12,
    slots: SlotCount,
    slot_bytes: u64,
    generation: u64,
    // Whether the pair was born with the flag "idle" set.
    is_born_idle: bool,
    // The last state told, in private memory.
    state: AtomicU32,
}

impl Live {
    pub(crate) fn map(&self) -> &PairMap {
        &self.map
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn format(&self) -> PictureFormat {
        self.format
    }

    pub(crate) fn picture(&self) -> &Nv12 {
        &self.picture
    }

    pub(crate) fn slots(&self) -> SlotCount {
        self.slots
    }

    pub(crate) fn slot_offset(&self, slot: SlotIndex) -> u64 {
        self.slot_bytes * slot.get() as u64
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_born_idle(&self) -> bool {
        self.is_born_idle
    }

    /// Whether anybody else has `frame.meta` open or mapped (IDLE-4). Of a pair that is over nobody asks any more: as before.
    ///
    /// Two threads ask, never both at once: giving back the lease of one would take the signal of the other's away, and an open in
    /// that moment would end this process. Who finds the other asking takes it that somebody is there, and asks again later.
    ///
    /// # Errors
    /// The kernel or the file system has no leases.
    pub(crate) fn has_readers(&self) -> Result<bool, OsError> {
        let Some(meta) = self.meta.upgrade() else { return Ok(true) };
        if self.is_asking.swap(true, Ordering::Acquire) {
            return Ok(true);
        }
        let answer = is_attached(&meta).map_err(OsError::of_errno);
        self.is_asking.store(false, Ordering::Release);
        answer
    }

    /// Tells the readers a state. Two threads do this, the frame path for its source and the library's thread for the end of the
    /// pair; once the pair is over it stays so, whoever speaks last.
    pub(crate) fn tell(&self, state: State) {
        let over = |word: u32| State::from_word(word).is_over();
        let told = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |told| (!over(told)).then(|| state.to_word()));
        if told.is_err() {
            return;
        }
        // The other thread may end the pair right here, and its word be overwritten by the next line; then the look afterwards
        // finds the end (with both fences on both sides, one of the two looks must).
        fence(Ordering::SeqCst);
        self.map.store_u32_release(Word32::STATE, state.to_word());
        fence(Ordering::SeqCst);
        let last = self.state.load(Ordering::Relaxed);
        if last != state.to_word() && over(last) {
            self.map.store_u32_release(Word32::STATE, last);
        }
    }

    /// Tells the readers how far apart frames are expected.
    pub(crate) fn tell_frame_period(&self, period_ns: u64) {
        self.map.store_u64(Word64::FRAME_PERIOD_NS, period_ns);
    }
}

/// How a pair is to be born.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) format: PictureFormat,
    pub(crate) picture: Nv12,
    pub(crate) slots: SlotCount,
    pub(crate) generation: u64,
    pub(crate) state: State,
    pub(crate) heartbeat_ns: u64,
    pub(crate) frame_period_ns: u64,
    pub(crate) is_idle: bool,
}

/// Why a pair was not born. Nothing of it is left.
#[derive(Debug)]
pub(crate) enum BuildError {
    NoRoom(Shortage),
    Base(BaseError),
}

impl From<BaseError> for BuildError {
    fn from(error: BaseError) -> Self {
        Self::Base(error)
    }
}

/// A pair under its visible names.
#[derive(Debug)]
pub(crate) struct Pair {
    live: Arc<Live>,
    // Held for `Live`, which has no share in it.
    _meta: Arc<File>,
    data: File,
    meta_identity: Identity,
    data_identity: Identity,
    data_bytes: u64,
}

impl Pair {
    /// Builds a pair under hidden names, whole and allocated, then gives it the visible ones: data first, then the header that
    /// names it.
    pub(crate) fn build(directory: &Directory, birth: &Birth) -> Result<Self, BuildError> {
        let size = PairSize::new(&birth.picture, birth.slots);
        // Asked first: a fallocate that fails halfway would fill the file system for everybody for a moment, and one that exceeds
        // a memory limit does not fail but ends this process. A successor is to have room too.
        let need_bytes = size.total_bytes();
        if let Some(shortage) = directory.room()?.shortage(need_bytes, need_bytes) {
            return Err(BuildError::NoRoom(shortage));
        }
        let built = Self::build_hidden(directory, birth, size).and_then(|pair| {
            directory.rename(NEW_DATA_NAME, DATA_NAME)?;
            if let Err(error) = directory.rename(NEW_META_NAME, META_NAME) {
                let _ = directory.unlink_if(DATA_NAME, pair.data_identity);
                return Err(error.into());
            }
            Ok(pair)
        });
        if built.is_err() {
            for name in [NEW_META_NAME, NEW_DATA_NAME] {
                let _ = directory.unlink(name);
            }
        }
        built
    }

    fn build_hidden(directory: &Directory, birth: &Birth, size: PairSize) -> Result<Self, BuildError> {
        // The guard is held, so nothing under these names is anybody's.
        directory.unlink(NEW_DATA_NAME)?;
        directory.unlink(NEW_META_NAME)?;
        let data = directory.create_new(NEW_DATA_NAME)?;
        let meta = directory.create_new(NEW_META_NAME)?;
        // Every page is allocated now; later stores cannot find the file system full.
        allocate(directory, &data, NEW_DATA_NAME, size.data_bytes, size.total_bytes())?;
        allocate(directory, &meta, NEW_META_NAME, size.meta_bytes, size.total_bytes())?;

        let io = |call, name: &str| {
            let path = directory.path().join(name);
            move |errno: OsError| BaseError::Io { call, path, errno }
        };
        let data_identity = Identity::of(
            &rustix::fs::fstat(&data)
                .map_err(|errno| io("fstat", NEW_DATA_NAME)(OsError::of_errno(errno)))?,
        );
        let meta_identity = Identity::of(
            &rustix::fs::fstat(&meta)
                .map_err(|errno| io("fstat", NEW_META_NAME)(OsError::of_errno(errno)))?,
        );
        let header = NewHeader {
            picture: birth.picture,
            color: birth.format.color,
            slots: birth.slots,
            data_inode: data_identity.inode(),
            generation: birth.generation,
            state: birth.state,
            flags: if birth.is_idle { StreamFlags::IDLE } else { StreamFlags::default() },
            heartbeat_ns: birth.heartbeat_ns,
            frame_period_ns: birth.frame_period_ns,
        }
        .to_bytes();
        // Through the descriptor, before anything is mapped and before anybody can see it: a plain write of a page that is
        // allocated is never short.
        rustix::io::pwrite(&meta, &header, 0)
            .map_err(|errno| io("pwrite", NEW_META_NAME)(OsError::of_errno(errno)))?;

        let (meta, data) = (File::from(meta), File::from(data));
        // usize has 64 bits on every supported target.
        let map = PairMap::new(&meta, size.meta_bytes as usize, &data, size.data_bytes as usize)
            .map_err(|error| io("mmap", NEW_DATA_NAME)(OsError::of(&error)))?;
        let meta = Arc::new(meta);
        let live = Live {
            map,
            meta: Arc::downgrade(&meta),
            gate: Gate::default(),
            is_asking: AtomicBool::new(false),
            format: birth.format,
            picture: birth.picture,
            slots: birth.slots,
            slot_bytes: size.slot_bytes,
            generation: birth.generation,
            is_born_idle: birth.is_idle,
            state: AtomicU32::new(birth.state.to_word()),
        };
        Ok(Self {
            live: Arc::new(live),
            _meta: meta,
            data,
            meta_identity,
            data_identity,
            data_bytes: size.data_bytes,
        })
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub(crate) fn meta_identity(&self) -> Identity {
        self.meta_identity
    }

    pub(crate) fn data_identity(&self) -> Identity {
        self.data_identity
    }

    pub(crate) fn set_heartbeat(&self, now_ns: u64) {
        self.live.map.store_u64(Word64::HEARTBEAT_NS, now_ns);
    }

    /// Takes the names away, as far as they still are ours: header first, so that nobody finds half a pair who does not look
    /// for it.
    pub(crate) fn unlink(&self, directory: &Directory) -> Result<(), BaseError> {
        directory.unlink_if(META_NAME, self.meta_identity)?;
        directory.unlink_if(DATA_NAME, self.data_identity)
    }

    /// Tells the readers that this pair is over and puts it aside. One that is replaced may take the frames that are on their way
    /// to it; one that is stopped takes none.
    pub(crate) fn retire(self, last_words: State, now: Instant) -> Retired {
        self.live.tell(last_words);
        if last_words == State::Stopped {
            // Who is still inside is waited for when the pair is emptied.
            let _ = self.live.gate.close();
        }
        Retired::new(Some(self.live), self.data.into(), self.data_bytes, now)
    }
}

fn allocate(
    directory: &Directory,
    fd: &OwnedFd,
    name: &str,
    bytes: u64,
    need_bytes: u64,
) -> Result<(), BuildError> {
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes)).map_err(
        |errno| match errno {
            // Somebody else took the room between the question and the allocation, or a quota or a memory limit is in the way.
            Errno::NOSPC | Errno::DQUOT | Errno::NOMEM => match directory.room() {
                Ok(room) => BuildError::NoRoom(room.to_shortage(need_bytes, need_bytes)),
                Err(error) => error.into(),
            },
            errno => BaseError::Io {
                call: "fallocate",
                path: directory.path().join(name),
                errno: OsError::of_errno(errno),
            }
            .into(),
        },
    )
}

/// A pair that has no names any more, but perhaps readers.
///
/// Its memory is given back as soon as nobody else has its pixels open, and ten seconds after its end whatever readers do. A
/// reader that looks at a hole through its mapping makes the kernel allocate it again, so the descriptor is kept, and the hole
/// made again, until nobody has the pixels open.
#[derive(Debug)]
pub(crate) struct Retired {
    /// `None`: left behind by a server that is gone; its header was ended and is not mapped here.
    live: Option<Arc<Live>>,
    data: OwnedFd,
    data_bytes: u64,
    over_since: Instant,
    is_empty: bool,
}

impl Retired {
    pub(crate) fn new(live: Option<Arc<Live>>, data: OwnedFd, data_bytes: u64, over_since: Instant) -> Self {
        Self { live, data, data_bytes, over_since, is_empty: false }
    }

    /// Gives the memory back if that can harm nobody: nobody else has the pixels open, or had ten seconds to let them go.
    /// `false`: not yet; ask again.
    pub(crate) fn release(&mut self, now: Instant) -> bool {
        if !self.is_empty && now < self.over_since + GRACE {
            // Where the kernel has no leases nobody can tell, so the time decides.
            let has_readers = is_attached(&self.data).unwrap_or(true);
            if has_readers {
                return false;
            }
        }
        self.empty()
    }

    /// Gives the memory back as soon as the frame path is out of it, whoever else has it open. `false`: it is inside at this
    /// moment; call again.
    pub(crate) fn empty(&mut self) -> bool {
        if self.is_empty {
            return true;
        }
        if let Some(live) = &self.live {
            if !live.gate.close() {
                return false;
            }
            publish::withdraw(&live.map, live.slots);
        }
        // A file system that cannot punch holes keeps the memory until the last reader goes; tmpfs always can.
        let _ = punch(&self.data, self.data_bytes);
        self.is_empty = true;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What is still to be given back.
    pub(crate) fn kept_bytes(&self) -> u64 {
        if self.is_empty { 0 } else { self.data_bytes }
    }

    /// Whether a reader made the kernel allocate zeros.
    fn is_refilled(&self) -> bool {
        self.is_empty && rustix::fs::fstat(&self.data).is_ok_and(|stat| stat.st_blocks > 0)
    }

    /// Makes the holes again. `false`: nothing was in them.
    pub(crate) fn take_refill_back(&mut self) -> bool {
        self.is_refilled() && punch(&self.data, self.data_bytes).is_ok()
    }

    /// The end of readers that fill the holes faster than they can be made again while the room is wanted: what is cut off cannot be
    /// allocated any more, and who touches it gets SIGBUS, as in a hole of a full file system. `false`: nothing was in them.
    pub(crate) fn cut_refill_off(&mut self) -> bool {
        self.is_refilled() && rustix::fs::ftruncate(&self.data, 0).is_ok()
    }

    /// One round of housekeeping. `false`: nothing is left to be done for this pair.
    pub(crate) fn tend(&mut self, now: Instant) -> bool {
        if !self.release(now) {
            return true;
        }
        self.take_refill_back();
        // The frame path's share is waited for, so that it is not the one to unmap.
        let is_shared = self.live.as_ref().is_some_and(|live| Arc::strong_count(live) > 1);
        // Our own mapping is of the same open file description as the descriptor, so it does not count. Without leases nobody
        // can tell; the memory was given back, so nothing is lost but the watch.
        is_shared || is_attached(&self.data).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves LIFE-7.
    #[test]
    fn where_the_kernel_cannot_tell_who_has_the_pixels_open_they_stay_for_the_whole_ten_seconds() {
        // Nothing but a regular file has leases.
        let without_leases = OwnedFd::from(File::open("/dev/null").unwrap());
        assert!(is_attached(&without_leases).is_err());
        let end = Instant::now();
        let mut retired = Retired::new(None, without_leases, 0, end);
        assert!(!retired.release(end));
        assert!(!retired.release(end + GRACE - Duration::from_nanos(1)));
        assert!(retired.release(end + GRACE));
    }
}
