//! A camera's two files on tmpfs, whose contents are known at every moment, and a reader that is asked about them.
//!
//! The same two inodes serve every input: they are made longer, shorter and written anew while nobody has them mapped. So an
//! execution costs no name, and a store through a descriptor is seen by the mapping as one of another process would be.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use vas_shm_proto::{CameraId, Files};
use vas_shm_reader::{CopyError, Found, Frame, FrameId, Options, Reader};

use crate::input::{Case, Step};
use crate::oracle::{self, Constants};

/// The directory of a camera, and its files.
pub struct Stage {
    base: PathBuf,
    pub camera: CameraId,
    pub owner_uid: u32,
    meta: File,
    data: File,
    inode: u64,
}

/// A directory of this process in shared memory. `cargo xtask fuzz` removes what is in `VAS_TEST_SHM`; directories of fuzzers
/// that were started by hand and have ended are removed by the next.
pub fn directory() -> PathBuf {
    const PREFIX: &str = "vas-fuzz-";
    let shm = std::env::var_os("VAS_TEST_SHM").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    for entry in std::fs::read_dir(&shm).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(id).exists() {
            // One of another user stays; it is theirs to remove.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let own = shm.join(format!("{PREFIX}{}", std::process::id()));
    std::fs::create_dir(&own).expect("a directory in shared memory");
    own
}

/// What stands in the two files.
pub struct Shared {
    pub meta: Vec<u8>,
    pub data: Vec<u8>,
}

impl Stage {
    #[expect(clippy::new_without_default, reason = "it makes files, which no default should")]
    pub fn new() -> Self {
        let base = directory();
        let camera = CameraId::new("front").expect("a camera id");
        let folder = base.join(camera.as_str());
        std::fs::create_dir(&folder).expect("mkdir");
        let create = |name| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).open(folder.join(name)).expect("create")
        };
        let (meta, data) = (create(vas_shm_proto::META_NAME), create(vas_shm_proto::DATA_NAME));
        let stat = data.metadata().expect("fstat");
        Self { base, camera, owner_uid: stat.uid(), inode: stat.ino(), meta, data }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Writes both files as the input wants them.
    pub fn put(&self, case: &Case) -> (Shared, Files) {
        let mut meta = case.meta.clone();
        if let Some(inode) = meta.get_mut(88..96).filter(|_| !case.keeps_inode) {
            inode.copy_from_slice(&self.inode.to_le_bytes());
        }
        for (file, bytes) in [(&self.meta, &meta), (&self.data, &case.data)] {
            file.set_len(bytes.len() as u64).expect("ftruncate");
            file.write_all_at(bytes, 0).expect("pwrite");
        }
        let files = Files {
            meta_size_bytes: meta.len() as u64,
            data_size_bytes: case.data.len() as u64,
            data_inode: self.inode,
        };
        (Shared { meta, data: case.data.clone() }, files)
    }

    pub fn options(&self, case: &Case) -> Options {
        let stranger = u32::from(case.insists_on_stranger);
        Options::new().owner_uid(self.owner_uid.wrapping_add(stranger))
    }

    /// Stores into `frame.meta`, past the end of which nothing goes.
    pub fn store(&self, shared: &mut Shared, offset: usize, bytes: &[u8]) {
        if let Some(place) = shared.meta.get_mut(offset..offset + bytes.len()) {
            place.copy_from_slice(bytes);
            self.meta.write_all_at(bytes, offset as u64).expect("pwrite");
        }
    }

    /// Does one of the writer's steps; false if it is a question.
    pub fn write(&self, shared: &mut Shared, constants: &Constants, step: Step) -> bool {
        let newest = oracle::large(&shared.meta, 8);
        match step {
            Step::Store64 { offset, value } => self.store(shared, offset, &value.to_le_bytes()),
            Step::StoreNear { offset, delta } => {
                let value = newest.wrapping_add_signed(i64::from(delta));
                self.store(shared, offset, &value.to_le_bytes());
            }
            Step::Store32 { offset, value } => self.store(shared, offset, &value.to_le_bytes()),
            Step::Fill { block, value } => {
                let at = usize::from(block) * 64;
                if let Some(place) = shared.data.get_mut(at..at + 64) {
                    place.fill(value);
                    self.data.write_all_at(place, at as u64).expect("pwrite");
                }
            }
            Step::Publish => {
                let id = newest.wrapping_add(1);
                let record = constants.record(id);
                self.store(shared, record, &0u64.to_le_bytes());
                self.store(shared, record + 8, &id.wrapping_mul(1000).to_le_bytes());
                self.store(shared, record + 24, &(id & 1).to_le_bytes());
                self.store(shared, record, &id.to_le_bytes());
                self.store(shared, 8, &id.to_le_bytes());
            }
            Step::Follow | Step::Behind { .. } | Step::AskAll => return false,
        }
        true
    }
}

/// A reader that was opened, and what it has to say.
pub struct Asked<'r> {
    pub reader: &'r Reader,
    pub constants: Constants,
    opened_with: (u64, u64),
}

impl<'r> Asked<'r> {
    pub fn new(reader: &'r Reader, constants: Constants, shared: &Shared) -> Self {
        Self { reader, constants, opened_with: signs_of_life(shared) }
    }

    /// LIVE-1.
    fn is_proven(&self, shared: &Shared) -> bool {
        signs_of_life(shared) != self.opened_with
    }

    pub fn latest(&self, shared: &Shared, seen: Option<u64>) -> Option<u64> {
        let expected = self.constants.latest(&shared.meta, seen).filter(|_| self.is_proven(shared));
        self.judge(shared, self.reader.latest(seen.and_then(FrameId::new)), expected)
    }

    pub fn next(&self, shared: &Shared, seen: Option<u64>) -> Option<u64> {
        let expected = self.constants.next(&shared.meta, seen).filter(|_| self.is_proven(shared));
        self.judge(shared, self.reader.next(seen.and_then(FrameId::new)), expected)
    }

    pub fn at(&self, shared: &Shared, id: u64) {
        let Some(name) = FrameId::new(id) else { return };
        let found = self.reader.at(name);
        assert_eq!(found.is_some(), self.constants.at(&shared.meta, id), "frame {id}");
        if let Some(frame) = found {
            self.frame(shared, &frame, id);
        }
    }

    /// Every question, with ids around the published one and at the ends of the range.
    pub fn everything(&self, shared: &Shared) {
        let newest = oracle::large(&shared.meta, 8);
        for seen in
            [None, Some(1), Some(u64::MAX), newest.checked_sub(1), newest.checked_sub(2), Some(newest)]
        {
            let seen = seen.filter(|&seen| seen != 0);
            self.latest(shared, seen);
            self.next(shared, seen);
        }
        for by in 0..=8 {
            self.at(shared, newest.wrapping_sub(by));
        }
        self.at(shared, newest.wrapping_add(1));
        let last = self.reader.last_picture();
        assert_eq!(last.map(|frame| frame.id().get()), self.constants.latest(&shared.meta, None));

        let observed = self.reader.observe();
        assert_eq!(observed.state.to_word(), oracle::small(&shared.meta, 56));
        assert_eq!(observed.flags.0, oracle::small(&shared.meta, 60));
        assert_eq!((observed.frame_id, observed.heartbeat_ns), signs_of_life(shared));
        assert_eq!(self.reader.frame_period_ns(), oracle::large(&shared.meta, 112));
        assert!(self.reader.is_still_named());
    }

    fn judge(&self, shared: &Shared, found: Found<'_>, expected: Option<u64>) -> Option<u64> {
        match found {
            Found::Frame(frame) => {
                assert_eq!(Some(frame.id().get()), expected);
                self.frame(shared, &frame, frame.id().get());
            }
            Found::NothingNew => assert_eq!(expected, None),
            Found::Overrun => panic!("nobody else stores, and yet every frame was overwritten"),
        }
        expected
    }

    /// One frame in every form in which a reader gives it out.
    fn frame(&self, shared: &Shared, frame: &Frame<'_>, id: u64) {
        let record = self.constants.record(id);
        assert_eq!(frame.id().get(), id);
        assert_eq!(frame.timestamp_ns(), oracle::large(&shared.meta, record + 8));
        assert_eq!(frame.flags().0, oracle::large(&shared.meta, record + 24));
        let _ = frame.age();
        assert!(frame.is_intact());
        let packed = self.constants.packed(&shared.data, id);
        assert!(frame.to_packed().as_ref() == Ok(&packed), "the picture of frame {id} is another");
        let mut room = vec![0; packed.len() + 3];
        assert_eq!(frame.copy_to(&mut room), Ok(()));
        assert!(room[..packed.len()] == packed && room[packed.len()..] == [0; 3]);
        let few = packed.len() - 1;
        let too_small = CopyError::BufferTooSmall { have: few, need: packed.len() };
        assert_eq!(frame.copy_to(&mut room[..few]), Err(too_small));
        let last_chroma = frame.with(|nv12| {
            let picture = nv12.picture();
            let mut row = vec![0; picture.width() as usize];
            nv12.copy_luma_row(picture.height() - 1, &mut row);
            let mut row = vec![0; picture.chroma_row_bytes() as usize];
            nv12.copy_chroma_row(picture.chroma_rows() - 1, &mut row);
            row
        });
        assert!(last_chroma.is_ok_and(|row| packed.ends_with(&row)));
    }
}

fn signs_of_life(shared: &Shared) -> (u64, u64) {
    (oracle::large(&shared.meta, 8), oracle::large(&shared.meta, 104))
}

/// What holds whatever another thread stores at the same moment.
pub fn ask_blindly(reader: &Reader, seen: Option<FrameId>) -> Option<FrameId> {
    let look = |frame: &Frame<'_>| {
        let need = frame.picture().packed_size() as usize;
        if let Ok(packed) = frame.to_packed() {
            assert_eq!(packed.len(), need);
        }
        let _ = (frame.is_intact(), frame.age(), frame.flags(), frame.timestamp_ns());
    };
    if let Found::Frame(frame) = reader.latest(seen) {
        assert_ne!(Some(frame.id()), seen);
        look(&frame);
    }
    if let Some(frame) = reader.last_picture() {
        look(&frame);
    }
    let _ = (reader.observe(), reader.frame_period_ns(), reader.is_still_named());
    match reader.next(seen) {
        Found::Frame(frame) => {
            assert!(seen.is_none_or(|seen| frame.id() > seen));
            look(&frame);
            assert!(reader.at(frame.id()).is_none_or(|again| again.id() == frame.id()));
            Some(frame.id())
        }
        Found::NothingNew | Found::Overrun => None,
    }
}
