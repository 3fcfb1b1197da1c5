//! What a camera's files cost in memory, and how much the file system and the control group leave for them.
//!
//! The pages of a tmpfs are charged to the memory control group of whoever allocates them, so a pair that exceeds the group's limit
//! does not fail with an error number: the kernel ends the server. Therefore this is asked before anything is allocated
//! (docs/decisions/0005).

use crate::error::{BaseError, OsError};
use crate::frame::PictureFormat;
use rustix::fs::StatVfs;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use vas_shm_proto::{Nv12, PairSize, SlotCount};

const MIB: u64 = 1 << 20;
/// What a container gets as /dev/shm from Docker and from Podman unless it is told otherwise.
const CONTAINER_DEFAULT_BYTES: u64 = 64 * MIB;
/// The share of a memory limit that no pair may take: the server goes on decoding, and the kernel needs page tables for what it
/// maps.
const KEPT_BACK_SHARE: u64 = 16;
/// More than this need not be kept back.
const KEPT_BACK_MAX_BYTES: u64 = 64 * MIB;
/// Version 1 of control groups says "no limit" with a number near this.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// What the export of one camera takes, computed before anything is made.
///
/// ```
/// use vas_shm_writer::{CameraMemory, Color, ExporterConfig, PictureFormat};
///
/// let config = ExporterConfig::new("/dev/shm/vas");
/// let memory = config.memory(PictureFormat::new(1920, 1080, Color::UNSPECIFIED)).expect("a size that can be exported");
/// assert_eq!(memory.pair_bytes, 9_342_976);
/// assert_eq!(memory.peak_bytes, 2 * memory.pair_bytes);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CameraMemory {
    /// Bytes of the tmpfs while the picture keeps its size: both files. The server maps them whole, so its resident memory has
    /// as many (`RssShmem` of /proc/PID/status); they are the same pages and count once.
    pub pair_bytes: u64,
    /// The most that there can be, at a change of size or colour: two pairs. What was replaced is given back at once if nobody
    /// has it open, else ten seconds later.
    pub peak_bytes: u64,
    /// The most inodes: the camera's directory, its lock, and the files of two pairs.
    pub peak_inodes: u64,
}

impl CameraMemory {
    /// `None`: the format has no size that can be exported.
    #[must_use]
    pub fn new(format: PictureFormat, slots: SlotCount) -> Option<Self> {
        let picture = Nv12::for_picture(format.width, format.height).ok()?;
        let pair_bytes = PairSize::new(&picture, slots).total_bytes();
        Some(Self { pair_bytes, peak_bytes: pair_bytes.saturating_mul(2), peak_inodes: 6 })
    }
}

/// What there is for the files of an export, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// The file system of the base directory.
    pub file_system: FileSystemRoom,
    /// Of this process's control group and those above it, as far as they can be seen from here, the one that leaves least. `None`:
    /// none of them has a limit.
    pub memory_limit: Option<MemoryLimit>,
}

/// What a file system has left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystemRoom {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its size; `None`: it has no limit.
    pub size_bytes: Option<u64>,
    /// Bytes that are free; `u64::MAX` if it has no limit.
    pub free_bytes: u64,
    /// Inodes that are free; `None`: it has no limit.
    pub free_inodes: Option<u64>,
}

/// A memory limit of a control group, version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimit {
    /// The file that says it: `memory.max`, `memory.high` or `memory.limit_in_bytes`.
    pub path: PathBuf,
    /// The limit.
    pub limit_bytes: u64,
    /// What is in use, without the page cache that has not been used lately: the kernel takes that back first. Monitoring knows
    /// this number as the working set.
    pub used_bytes: u64,
}

impl MemoryLimit {
    /// What no pair may take of the limit: a sixteenth, at most 64 MiB.
    #[must_use]
    pub fn kept_back_bytes(&self) -> u64 {
        kept_back(self.limit_bytes)
    }

    /// What is left for further pairs.
    #[must_use]
    pub fn spare_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes).saturating_sub(self.kept_back_bytes())
    }

    /// The option that says this limit, for people.
    fn option(&self) -> &'static str {
        if self.path.ends_with("memory.high") { "MemoryHigh" } else { "MemoryMax" }
    }
}

fn kept_back(limit_bytes: u64) -> u64 {
    (limit_bytes / KEPT_BACK_SHARE).min(KEPT_BACK_MAX_BYTES)
}

impl Room {
    /// What there is for a base directory. If it is missing, the nearest directory above it answers.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn at(base: &Path) -> Result<Self, BaseError> {
        let io = |call: &'static str| {
            let path = base.to_owned();
            move |errno| BaseError::Io { call, path, errno }
        };
        let base = std::path::absolute(base).map_err(|error| io("getcwd")(OsError::of(&error)))?;
        let place = base.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/"));
        let stat = rustix::fs::statvfs(place).map_err(|errno| io("statvfs")(OsError::of_errno(errno)))?;
        Ok(Self::of(&stat, place))
    }

    pub(crate) fn of(stat: &StatVfs, place: &Path) -> Self {
        // A tmpfs without a limit says that it has no blocks at all, or no inodes.
        let is_limited = stat.f_blocks > 0;
        let file_system = FileSystemRoom {
            mount_point: mount_point(place),
            size_bytes: is_limited.then(|| stat.f_blocks.saturating_mul(stat.f_frsize)),
            free_bytes: if is_limited { stat.f_bavail.saturating_mul(stat.f_frsize) } else { u64::MAX },
            free_inodes: (stat.f_files > 0).then_some(stat.f_ffree),
        };
        Self { file_system, memory_limit: memory_limit(Path::new("/")) }
    }

    /// What may be allocated: the smaller of what the file system and the memory limit leave; `u64::MAX` if neither has a limit.
    #[must_use]
    pub fn spare_bytes(&self) -> u64 {
        let of_limit = self.memory_limit.as_ref().map_or(u64::MAX, MemoryLimit::spare_bytes);
        self.file_system.free_bytes.min(of_limit)
    }

    /// What is missing for so many bytes, if anything is.
    ///
    /// `later_bytes`: room that is to be had besides when the shortage is put right, such as for a successor.
    #[must_use]
    pub fn shortage(&self, need_bytes: u64, later_bytes: u64) -> Option<Shortage> {
        (need_bytes > self.spare_bytes()).then(|| self.to_shortage(need_bytes, later_bytes))
    }

    /// The tighter of the two is the one to speak of.
    pub(crate) fn to_shortage(&self, need_bytes: u64, later_bytes: u64) -> Shortage {
        let wanted_bytes = need_bytes.saturating_add(later_bytes);
        let limit = self.memory_limit.as_ref();
        let have = match limit.filter(|limit| limit.spare_bytes() < self.file_system.free_bytes) {
            Some(limit) => Have::MemoryLimit(limit.clone()),
            None => Have::FileSystem(self.file_system.clone()),
        };
        Shortage { need_bytes, wanted_bytes, have }
    }
}

/// Less room than is needed. Its text says how much is needed, how much there is, and the option that puts it right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// What is needed now.
    pub need_bytes: u64,
    /// What to make room for when it is put right.
    pub wanted_bytes: u64,
    /// What there is instead.
    pub have: Have,
}

/// Where too little room is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Have {
    /// On the file system.
    FileSystem(FileSystemRoom),
    /// Below the memory limit of a control group.
    MemoryLimit(MemoryLimit),
}

impl Shortage {
    /// What there was.
    pub(crate) fn spare_bytes(&self) -> u64 {
        match &self.have {
            Have::FileSystem(room) => room.free_bytes,
            Have::MemoryLimit(limit) => limit.spare_bytes(),
        }
    }

    /// Whether somebody who was told of the one knows the other. A little more or less room is no news.
    pub(crate) fn is_same_news(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.have) == std::mem::discriminant(&other.have)
            && self.need_bytes == other.need_bytes
    }

    /// The smallest size or limit that is enough, in MiB; `None`: it has no limit now.
    #[must_use]
    pub fn enough_mib(&self) -> Option<u64> {
        let enough_bytes = match &self.have {
            Have::FileSystem(room) => {
                let used_bytes = room.size_bytes?.saturating_sub(room.free_bytes);
                used_bytes.saturating_add(self.wanted_bytes)
            }
            Have::MemoryLimit(limit) => {
                let used_bytes = limit.used_bytes.saturating_add(self.wanted_bytes);
                // The smallest limit that still has this when its own share is kept back.
                let kept_back = used_bytes.div_ceil(KEPT_BACK_SHARE - 1).min(KEPT_BACK_MAX_BYTES);
                used_bytes.saturating_add(kept_back)
            }
        };
        Some(enough_bytes.div_ceil(MIB))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are needed, ", self.need_bytes)?;
        let mib = self.enough_mib();
        match &self.have {
            Have::FileSystem(room) => {
                write!(f, "{} are free; make room or mount a larger tmpfs there", room.free_bytes)?;
                let Some(mib) = mib else { return Ok(()) };
                if room.size_bytes == Some(CONTAINER_DEFAULT_BYTES) {
                    write!(
                        f,
                        " (64 MiB is what a container gets that does not say otherwise: `docker run --shm-size={mib}m`"
                    )?;
                } else {
                    write!(
                        f,
                        " (`mount -o remount,size={mib}m {}`; in a container: `--shm-size={mib}m`",
                        room.mount_point.display()
                    )?;
                }
                write!(
                    f,
                    ", compose `shm_size: {mib}m`, Kubernetes `emptyDir: {{medium: Memory, sizeLimit: {mib}Mi}}`)"
                )
            }
            Have::MemoryLimit(limit) => {
                write!(
                    f,
                    "{} are left below the memory limit of {} bytes in {} ({} are in use, {} are kept back for the server itself)",
                    limit.spare_bytes(),
                    limit.limit_bytes,
                    limit.path.display(),
                    limit.used_bytes,
                    limit.kept_back_bytes()
                )?;
                let Some(mib) = mib else { return Ok(()) };
                write!(
                    f,
                    "; raise it to {mib} MiB at least (systemd: `{}={mib}M`, `docker run --memory={mib}m`, Kubernetes: `resources.limits.memory: {mib}Mi`)",
                    limit.option()
                )
            }
        }
    }
}

/// The topmost directory of the file system that has this one, by the way down to it.
fn mount_point(place: &Path) -> PathBuf {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let own = device(place);
    place.ancestors().take_while(|above| device(above) == own).last().unwrap_or(place).to_owned()
}

/// The limit that leaves least, of the control groups that this process is in. `root`: where /proc is found, and what the mount points
/// in it are below.
fn memory_limit(root: &Path) -> Option<MemoryLimit> {
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let limits = groups.lines().filter_map(|line| group_directory(root, line, &mounts)).flat_map(
        |(hierarchy, mount, directory)| {
            // The mount point itself is the topmost group that can be seen from here.
            let upwards: Vec<_> =
                directory.ancestors().take_while(|above| above.starts_with(&mount)).collect();
            upwards.into_iter().flat_map(move |group| hierarchy.limits(group)).collect::<Vec<_>>()
        },
    );
    limits.min_by_key(MemoryLimit::spare_bytes)
}

/// Which version of control groups a hierarchy is of.
#[derive(Clone, Copy)]
enum Hierarchy {
    V1,
    V2,
}

impl Hierarchy {
    fn limits(self, group: &Path) -> Vec<MemoryLimit> {
        let (names, usage, inactive): (&[_], _, _) = match self {
            // Beyond memory.high nobody is killed, but the whole server is slowed down, which it is not to be either.
            Self::V2 => (&["memory.max", "memory.high"], "memory.current", "inactive_file"),
            Self::V1 => (&["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_inactive_file"),
        };
        let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let limits = names.iter().filter_map(|name| {
            // "max" is no number, and no limit.
            let limit_bytes = number(name).filter(|&limit| limit < NO_LIMIT_BYTES)?;
            let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
            let mut words = statistics.lines().filter_map(|line| line.split_once(' '));
            let inactive_bytes = words.find(|(word, _)| *word == inactive).and_then(|(_, n)| n.parse().ok());
            let used_bytes = number(usage)?.saturating_sub(inactive_bytes.unwrap_or(0));
            Some(MemoryLimit { path: group.join(name), limit_bytes, used_bytes })
        });
        limits.collect()
    }
}

/// Where the group of a line of /proc/self/cgroup is to be seen, and the mount point above it.
fn group_directory(root: &Path, line: &str, mounts: &str) -> Option<(Hierarchy, PathBuf, PathBuf)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, Path::new(parts.next()?));
    let hierarchy = match controllers {
        "" => Hierarchy::V2,
        _ if has_word(controllers, "memory") => Hierarchy::V1,
        _ => return None,
    };
    mounts.lines().find_map(|mount| {
        let (before, after) = mount.split_once(" - ")?;
        let mut after = after.split(' ');
        let is_it = match (hierarchy, after.next()?) {
            (Hierarchy::V2, "cgroup2") => true,
            (Hierarchy::V1, "cgroup") => has_word(after.nth(1)?, "memory"),
            _ => false,
        };
        let mut before = before.split(' ').skip(3);
        let (top, point) = (unescape(before.next()?), unescape(before.next()?));
        // A container may see a part of the hierarchy only; a group outside of that part is not to be seen.
        let below = group
            .strip_prefix(&top)
            .ok()
            .filter(|below| is_it && below.components().all(|part| matches!(part, Component::Normal(_))))?;
        let point = root.join(point.strip_prefix("/").unwrap_or(&point));
        let directory = point.join(below);
        Some((hierarchy, point, directory))
    })
}

fn has_word(list: &str, word: &str) -> bool {
    list.split(',').any(|entry| entry == word)
}

/// A path as /proc writes it: spaces, tabs, line ends and backslashes as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(char::from(byte));
                path.push_str(&part[3..]);
            }
            None => path.push_str(part),
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const CGROUP2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A made-up machine: files by name.
    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn limit_of(files: &[(&str, &str)]) -> Option<(String, u64, u64)> {
        let root = machine(files);
        let limit = memory_limit(root.path())?;
        let path = limit.path.strip_prefix(root.path()).unwrap().display().to_string();
        Some((path, limit.limit_bytes, limit.used_bytes))
    }

    #[test]
    fn of_all_groups_up_the_tree_the_one_that_leaves_least_counts() {
        let service = "sys/fs/cgroup/vas.slice/vas.service";
        let found = limit_of(&[
            ("proc/self/cgroup", "0::/vas.slice/vas.service\n"),
            ("proc/self/mountinfo", CGROUP2),
            (&format!("{service}/memory.max"), "1073741824\n"),
            (&format!("{service}/memory.high"), "max\n"),
            (&format!("{service}/memory.current"), "104857600\n"),
            (&format!("{service}/memory.stat"), "anon 1\ninactive_file 4857600\nactive_file 5000000\n"),
            ("sys/fs/cgroup/vas.slice/memory.max", "536870912\n"),
            ("sys/fs/cgroup/vas.slice/memory.high", "max\n"),
            ("sys/fs/cgroup/vas.slice/memory.current", "500000000\n"),
            ("sys/fs/cgroup/vas.slice/memory.stat", "inactive_file 0\n"),
        ]);
        assert_eq!(found, Some(("sys/fs/cgroup/vas.slice/memory.max".into(), 536_870_912, 500_000_000)));
    }

    #[test]
    fn page_cache_that_was_not_used_lately_does_not_count_as_used_and_other_page_cache_does() {
        let found = limit_of(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", CGROUP2),
            ("sys/fs/cgroup/memory.max", "1000000\n"),
            ("sys/fs/cgroup/memory.current", "900000\n"),
            ("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 300000\nactive_file 500000\n"),
        ]);
        assert_eq!(found, Some(("sys/fs/cgroup/memory.max".into(), 1_000_000, 600_000)));
    }

    #[test]
    fn a_limit_that_only_slows_down_counts_as_one() {
        let found = limit_of(&[
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", CGROUP2),
            ("sys/fs/cgroup/a/memory.max", "900000000\n"),
            ("sys/fs/cgroup/a/memory.high", "700000000\n"),
            ("sys/fs/cgroup/a/memory.current", "100000000\n"),
            ("sys/fs/cgroup/a/memory.stat", "inactive_file 0\n"),
        ]);
        assert_eq!(found, Some(("sys/fs/cgroup/a/memory.high".into(), 700_000_000, 100_000_000)));
    }

    #[test]
    fn groups_of_version_1_are_found_beside_version_2_without_memory() {
        let mounts = "40 32 0:35 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 32 0:36 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      42 32 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let folder = "sys/fs/cgroup/memory/docker/abc";
        let found = limit_of(&[
            ("proc/self/cgroup", "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n"),
            ("proc/self/mountinfo", mounts),
            (&format!("{folder}/memory.limit_in_bytes"), "67108864\n"),
            (&format!("{folder}/memory.usage_in_bytes"), "40000000\n"),
            (&format!("{folder}/memory.stat"), "inactive_file 7\ntotal_inactive_file 10000000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
        ]);
        let path = format!("{folder}/memory.limit_in_bytes");
        assert_eq!(found, Some((path, 67_108_864, 30_000_000)));
    }

    #[test]
    fn a_container_that_sees_only_its_own_part_of_the_tree_finds_its_limit_there() {
        // The hierarchy's own name for what is mounted, with a space and a backslash in it.
        let mounts = "41 32 0:36 /docker/a\\040\\134x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let limit = ("sys/fs/cgroup/memory.max", "1000\n");
        let usage = ("sys/fs/cgroup/memory.current", "10\n");
        let group = ("proc/self/cgroup", "0::/docker/a \\x\n");
        let found = limit_of(&[group, ("proc/self/mountinfo", mounts), limit, usage]);
        assert_eq!(found, Some(("sys/fs/cgroup/memory.max".into(), 1000, 10)));
        // One that was moved out of it sees no limit that is its own.
        for outside in ["0::/docker/b\n", "0::/../b\n", "0::/docker/a \\x/../../b\n"] {
            let group = ("proc/self/cgroup", outside);
            assert_eq!(limit_of(&[group, ("proc/self/mountinfo", mounts), limit, usage]), None, "{outside}");
        }
    }

    #[test]
    fn without_a_limit_or_without_proc_there_is_none() {
        assert_eq!(limit_of(&[]), None);
        let group = ("proc/self/cgroup", "0::/a\n");
        assert_eq!(limit_of(&[group]), None);
        for limit in ["max\n", "9223372036854771712\n", "", "-1\n", "many\n"] {
            let files = [group, ("proc/self/mountinfo", CGROUP2), ("sys/fs/cgroup/a/memory.max", limit)];
            assert_eq!(limit_of(&files), None, "{limit:?}");
        }
    }

    fn room(size_mib: u64, free_bytes: u64, limit: Option<(u64, u64)>) -> Room {
        Room {
            file_system: FileSystemRoom {
                mount_point: "/dev/shm".into(),
                size_bytes: Some(size_mib * MIB),
                free_bytes,
                free_inodes: None,
            },
            memory_limit: limit.map(|(limit_bytes, used_bytes)| MemoryLimit {
                path: "/sys/fs/cgroup/memory.max".into(),
                limit_bytes,
                used_bytes,
            }),
        }
    }

    #[test]
    fn a_pair_fits_to_the_last_byte_and_not_beyond_it() {
        assert_eq!(room(64, 1000, None).shortage(1000, 1000), None);
        assert!(room(64, 1000, None).shortage(1001, 0).is_some());
        // Of 160 MiB ten are kept back.
        let limited = room(1000, 900 * MIB, Some((160 * MIB, 100 * MIB)));
        assert_eq!(limited.spare_bytes(), 50 * MIB);
        assert_eq!(limited.shortage(50 * MIB, 0), None);
        assert!(limited.shortage(50 * MIB + 1, 0).is_some());
        // Used up, and beyond.
        assert_eq!(room(1000, 900 * MIB, Some((160 * MIB, 170 * MIB))).spare_bytes(), 0);
        // Not more than 64 MiB of a large one.
        assert_eq!(room(64 << 10, u64::MAX, Some((32 << 30, 0))).spare_bytes(), (32 << 30) - 64 * MIB);
    }

    #[test]
    fn the_limit_that_is_named_is_enough_and_a_smaller_one_would_not_be() {
        for used_bytes in [0, 1, 20 * MIB, 333 * MIB + 7, 5000 * MIB] {
            for need_bytes in [4096, 9_342_976, 400 * MIB] {
                let told =
                    room(1 << 20, u64::MAX, Some((used_bytes / 2, used_bytes))).shortage(need_bytes, 0);
                let mib = told.unwrap().enough_mib().unwrap();
                let with = |mib: u64| room(1 << 20, u64::MAX, Some((mib * MIB, used_bytes)));
                assert_eq!(with(mib).shortage(need_bytes, 0), None, "{used_bytes} {need_bytes} {mib}");
                assert!(with(mib - 1).shortage(need_bytes, 0).is_some(), "{used_bytes} {need_bytes} {mib}");
            }
        }
    }

    #[test]
    fn a_shortage_names_need_have_and_the_option_for_each_cause() {
        let text = |room: Room| room.shortage(50 * MIB, 50 * MIB).unwrap().to_string();
        assert_eq!(
            text(room(64, 30 * MIB, None)),
            "52428800 bytes are needed, 31457280 are free; make room or mount a larger tmpfs there (64 MiB is what a \
             container gets that does not say otherwise: `docker run --shm-size=134m`, compose `shm_size: 134m`, \
             Kubernetes `emptyDir: {medium: Memory, sizeLimit: 134Mi}`)"
        );
        assert_eq!(
            text(room(100, 30 * MIB, None)),
            "52428800 bytes are needed, 31457280 are free; make room or mount a larger tmpfs there \
             (`mount -o remount,size=170m /dev/shm`; in a container: `--shm-size=170m`, compose `shm_size: 170m`, \
             Kubernetes `emptyDir: {medium: Memory, sizeLimit: 170Mi}`)"
        );
        assert_eq!(
            text(room(1000, 900 * MIB, Some((160 * MIB, 140 * MIB)))),
            "52428800 bytes are needed, 10485760 are left below the memory limit of 167772160 bytes in \
             /sys/fs/cgroup/memory.max (146800640 are in use, 10485760 are kept back for the server itself); raise it to \
             256 MiB at least (systemd: `MemoryMax=256M`, `docker run --memory=256m`, Kubernetes: \
             `resources.limits.memory: 256Mi`)"
        );
    }

    #[test]
    fn a_directory_that_is_missing_is_asked_for_above_itself() {
        let shm = vas_test_support::shared_memory();
        let found = Room::at(&shm.join("vas-is-not-here/nor/this")).unwrap();
        let expected = Room::at(&shm).unwrap();
        assert_eq!(found.file_system.mount_point, expected.file_system.mount_point);
        assert_eq!(found.file_system.size_bytes, expected.file_system.size_bytes);
    }

    #[test]
    fn what_a_camera_costs_is_what_its_files_take() {
        let format = |width, height| PictureFormat::new(width, height, vas_shm_proto::Color::UNSPECIFIED);
        let memory = CameraMemory::new(format(1920, 1080), SlotCount::DEFAULT).unwrap();
        // Three slots of 1920 * 1080 * 3 / 2 bytes on pages, and the page of the header.
        assert_eq!(memory.pair_bytes, 3 * (760 * 4096) + 4096);
        assert_eq!(CameraMemory::new(format(0, 1080), SlotCount::DEFAULT), None);
    }
}
