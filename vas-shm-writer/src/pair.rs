//! The two files of a pair: birth under hidden names, retirement, removal.

use crate::base::{Directory, Identity};
use crate::error::BaseError;
use crate::frame::PictureFormat;
use crate::gate::Gate;
use crate::guard::{NEW_DATA_NAME, NEW_META_NAME, punch};
use crate::map::{PairMap, is_attached};
use rustix::fd::OwnedFd;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vas_shm_proto::compose::NewHeader;
use vas_shm_proto::words::{PublishWords, Word32, Word64};
use vas_shm_proto::{
    DATA_NAME, META_NAME, Nv12, PairSize, SlotCount, SlotIndex, State, StreamFlags, publish,
};
use zerocopy::IntoBytes;

/// How long a retired pair keeps its pixels: a courtesy to readers that are still working on a frame. Emptying is safe at any
/// moment, because readers check what they read.
const EMPTY_AFTER: Duration = Duration::from_secs(10);

/// What the frame path needs of a pair; shared with the library's thread.
#[derive(Debug)]
pub(crate) struct Live {
    map: PairMap,
    gate: Gate,
    format: PictureFormat,
    picture: Nv12,
    slots: SlotCount,
    slot_bytes: u64,
    generation: u64,
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
}

/// Why a pair was not born. Nothing of it is left.
#[derive(Debug)]
pub(crate) enum BuildError {
    NoRoom { need_bytes: u64, free_bytes: u64 },
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
    meta: File,
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
        // Asked first: a fallocate that fails halfway would fill the file system for everybody for a moment.
        let free_bytes = directory.free_bytes()?;
        if size.total_bytes() > free_bytes {
            return Err(BuildError::NoRoom { need_bytes: size.total_bytes(), free_bytes });
        }
        let built = Self::build_hidden(directory, birth, size);
        let named = built.and_then(|pair| {
            directory.rename(NEW_DATA_NAME, DATA_NAME)?;
            directory.rename(NEW_META_NAME, META_NAME)?;
            Ok(pair)
        });
        if named.is_err() {
            for name in [NEW_META_NAME, NEW_DATA_NAME] {
                let _ = directory.unlink(name);
            }
        }
        named
    }

    fn build_hidden(directory: &Directory, birth: &Birth, size: PairSize) -> Result<Self, BuildError> {
        // The guard is held, so nothing under these names is anybody's.
        directory.unlink(NEW_DATA_NAME)?;
        directory.unlink(NEW_META_NAME)?;
        let data = directory.create_new(NEW_DATA_NAME)?;
        let meta = directory.create_new(NEW_META_NAME)?;
        // Every page is allocated now; later stores cannot find the file system full.
        allocate(directory, &data, NEW_DATA_NAME, size.data_bytes)?;
        allocate(directory, &meta, NEW_META_NAME, size.meta_bytes)?;

        let io = |call, name: &str| {
            let path = directory.path().join(name);
            move |errno| BaseError::Io { call, path, errno }
        };
        let data_identity = Identity::of(&rustix::fs::fstat(&data).map_err(io("fstat", NEW_DATA_NAME))?);
        let meta_identity = Identity::of(&rustix::fs::fstat(&meta).map_err(io("fstat", NEW_META_NAME))?);
        let header = NewHeader {
            picture: birth.picture,
            color: birth.format.color,
            slots: birth.slots,
            data_inode: data_identity.inode(),
            generation: birth.generation,
            state: birth.state,
            flags: StreamFlags::default(),
            heartbeat_ns: birth.heartbeat_ns,
            frame_period_ns: birth.frame_period_ns,
        }
        .to_raw();
        // Through the descriptor, before anything is mapped and before anybody can see it: a plain write of a page that is
        // allocated is never short.
        rustix::io::pwrite(&meta, header.as_bytes(), 0).map_err(io("pwrite", NEW_META_NAME))?;

        let (meta, data) = (File::from(meta), File::from(data));
        // usize has 64 bits on every supported target.
        let map = PairMap::new(&meta, size.meta_bytes as usize, &data, size.data_bytes as usize).map_err(
            |error| {
                let errno = error.raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error);
                io("mmap", NEW_DATA_NAME)(errno)
            },
        )?;
        let live = Live {
            map,
            gate: Gate::default(),
            format: birth.format,
            picture: birth.picture,
            slots: birth.slots,
            slot_bytes: size.slot_bytes,
            generation: birth.generation,
        };
        Ok(Self {
            live: Arc::new(live),
            meta,
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

    pub(crate) fn set_frame_period(&self, period_ns: u64) {
        self.live.map.store_u64(Word64::FRAME_PERIOD_NS, period_ns);
    }

    pub(crate) fn set_state(&self, state: State) {
        self.live.map.store_u32_release(Word32::STATE, state.to_word());
    }

    /// Takes the names away, as far as they still are ours: header first, so that nobody finds half a pair who does not look
    /// for it.
    pub(crate) fn unlink(&self, directory: &Directory) -> Result<(), BaseError> {
        directory.unlink_if(META_NAME, self.meta_identity)?;
        directory.unlink_if(DATA_NAME, self.data_identity)
    }

    /// Tells the readers that this pair is over and puts it aside.
    pub(crate) fn retire(self, last_words: State, now: Instant) -> Retired {
        self.set_state(last_words);
        Retired {
            live: Some(self.live),
            meta: self.meta,
            data: self.data.into(),
            data_bytes: self.data_bytes,
            empty_at: now + EMPTY_AFTER,
        }
    }
}

fn allocate(directory: &Directory, fd: &OwnedFd, name: &str, bytes: u64) -> Result<(), BuildError> {
    rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes).map_err(|errno| match errno {
        // Somebody else took the room between the question and the allocation.
        Errno::NOSPC => {
            BuildError::NoRoom { need_bytes: bytes, free_bytes: directory.free_bytes().unwrap_or(0) }
        }
        errno => BaseError::Io { call: "fallocate", path: directory.path().join(name), errno }.into(),
    })
}

/// A pair that has no names any more, but perhaps readers.
///
/// Its memory is given back after ten seconds whatever they do. A reader that looks at a hole through its mapping makes the
/// kernel allocate it again, so the descriptors are kept, and the hole made again, until nobody has the header open.
#[derive(Debug)]
pub(crate) struct Retired {
    // Until it is emptied.
    live: Option<Arc<Live>>,
    meta: File,
    data: OwnedFd,
    data_bytes: u64,
    empty_at: Instant,
}

impl Retired {
    /// Gives the memory back as soon as the frame path is out of it. `false`: it is inside at this moment; call again.
    pub(crate) fn empty(&mut self) -> bool {
        let Some(live) = &self.live else {
            return true;
        };
        if !live.gate.close() {
            return false;
        }
        publish::withdraw(&live.map, live.slots);
        // A file system that cannot punch holes keeps the memory until the last reader goes; tmpfs always can.
        let _ = punch(&self.data, self.data_bytes);
        self.live = None;
        true
    }

    pub(crate) fn hurry(&mut self, now: Instant) {
        self.empty_at = self.empty_at.min(now);
    }

    /// One round of housekeeping. `false`: nothing is left to be done for this pair.
    pub(crate) fn tend(&mut self, now: Instant) -> bool {
        if self.live.is_some() {
            if now >= self.empty_at {
                self.empty();
            }
            return true;
        }
        let refilled = rustix::fs::fstat(self.data.as_fd()).is_ok_and(|stat| stat.st_blocks > 0);
        if refilled {
            let _ = punch(&self.data, self.data_bytes);
        }
        // Without leases nobody can tell; the memory was given back, so nothing is lost but the watch.
        is_attached(&self.meta).unwrap_or(false)
    }
}
