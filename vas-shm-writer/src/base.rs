//! The base directory: made if missing, hostile until checked.

use crate::error::{BaseError, OsError};
use crate::room::Room;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use vas_shm_proto::CameraId;

/// `f_type` of a tmpfs, statfs(2).
const TMPFS_MAGIC: i64 = 0x0102_1994;
const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
const PRIVATE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_OR_OTHER_WRITE: u32 = 0o022;

/// Names beneath a directory are opened so that nothing leads out of it, whatever stands there.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Which file a name leads to, across file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// What stands at a path now, without following a link at its end.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        rustix::fs::lstat(path).ok().map(|stat| Self::of(&stat))
    }

    pub(crate) fn inode(self) -> u64 {
        self.inode
    }
}

/// A directory that was opened and found to be ours.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// Opens the base directory; makes it (not those above it) if it is missing.
pub(crate) fn open_base(path: &Path, group: Option<u32>) -> Result<Directory, BaseError> {
    let directory_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A slash at the end would make the kernel follow a link there.
    let path = &path.components().collect::<PathBuf>();
    let mut opened = rustix::fs::open(path, directory_flags, Mode::empty());
    let mut made = false;
    if matches!(opened, Err(Errno::NOENT)) {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => made = true,
            // Somebody was quicker; whose it is will be seen.
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => {
                let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
                return Err(BaseError::NoParent { base: path.to_owned(), parent });
            }
            Err(errno) => return Err(io("mkdir", path, errno)),
        }
        opened = rustix::fs::open(path, directory_flags, Mode::empty());
        if made && matches!(opened, Err(Errno::ACCESS)) {
            let found = rustix::fs::open(path, directory_flags | OFlags::PATH, Mode::empty());
            let_owner_in(&found.map_err(|errno| io("open", path, errno))?, path)?;
            opened = rustix::fs::open(path, directory_flags, Mode::empty());
        }
    }
    let fd = opened.map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => BaseError::NotDirectory { base: path.to_owned() },
        // A directory of another user that does not let us in: say whose it is.
        Errno::ACCESS => match rustix::fs::lstat(path) {
            Ok(stat) if stat.st_uid != euid() => owner(path, &stat),
            _ => io("open", path, errno),
        },
        errno => io("open", path, errno),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| io("fstat", path, errno))?;
    if stat.st_uid != euid() {
        return Err(owner(path, &stat));
    }
    let mode = stat.st_mode & 0o7777;
    if mode & GROUP_OR_OTHER_WRITE != 0 {
        return Err(BaseError::Mode { base: path.to_owned(), mode });
    }
    let statfs = rustix::fs::fstatfs(&fd).map_err(|errno| io("fstatfs", path, errno))?;
    #[allow(clippy::unnecessary_cast, reason = "the type of f_type differs between architectures")]
    let fs_type = statfs.f_type as i64;
    if fs_type != TMPFS_MAGIC {
        if made {
            let _ = rustix::fs::rmdir(path);
        }
        return Err(BaseError::NotTmpfs { base: path.to_owned(), fs_type });
    }
    let directory = Directory { fd, path: path.to_owned() };
    if made {
        directory.set_mode(DIRECTORY_MODE)?;
    }
    directory.adjust(group)?;
    Ok(directory)
}

/// Lets the owner into a directory that the mask left locked. Who may write above it may have put something else under its name
/// meanwhile, so nothing is changed by name: `found` was opened without following links, and has to be ours.
fn let_owner_in(found: &OwnedFd, path: &Path) -> Result<(), BaseError> {
    let stat = rustix::fs::fstat(found).map_err(|errno| io("fstat", path, errno))?;
    if stat.st_uid != euid() {
        return Err(owner(path, &stat));
    }
    // fchmod(2) does not take a descriptor that is only a place; the kernel's name for it leads nowhere else.
    let place = format!("/proc/self/fd/{}", found.as_raw_fd());
    rustix::fs::chmod(place, Mode::from_raw_mode(DIRECTORY_MODE)).map_err(|errno| io("chmod", path, errno))
}

fn owner(path: &Path, stat: &Stat) -> BaseError {
    BaseError::Owner { base: path.to_owned(), found: stat.st_uid, euid: euid() }
}

/// What stands where a file of ours belongs.
fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => "symbolic link",
        FileType::Directory => "directory",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "file of another kind",
    }
}

pub(crate) fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn io(call: &'static str, path: &Path, errno: Errno) -> BaseError {
    BaseError::Io { call, path: path.to_owned(), errno: OsError::of_errno(errno) }
}

/// Opens one name in a directory, and nothing that a link leads to.
///
/// Where the kernel has no openat2 (before Linux 5.6, some sandboxes, older valgrinds) it is asked in the older way. For a
/// single name that says the same: there is no way out of a directory by one but a link, and those are not followed.
fn open_beneath(directory: &OwnedFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(directory, name, flags, mode, BENEATH) {
        Err(Errno::NOSYS) => open_single(directory, name, flags, mode),
        opened => opened,
    }
}

fn open_single(directory: &OwnedFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(Errno::XDEV);
    }
    rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW, mode)
}

impl Directory {
    /// Opens a camera's directory beneath the base, making it if it is missing.
    pub(crate) fn camera(&self, camera: &CameraId) -> Result<Self, BaseError> {
        let path = self.path.join(camera.as_str());
        let base = self.stat()?;
        let inherited = base.st_mode & SET_GROUP_ID;
        let made = match rustix::fs::mkdirat(&self.fd, camera.as_str(), Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(self.not_made("mkdirat", &path, errno)),
        };
        let mut opened = self.existing_camera(camera);
        if made
            && matches!(&opened, Err(BaseError::Io { errno, .. }) if *errno == OsError::of_errno(Errno::ACCESS))
        {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = open_beneath(&self.fd, camera.as_str(), flags, Mode::empty());
            let_owner_in(&found.map_err(|errno| io("openat2", &path, errno))?, &path)?;
            opened = self.existing_camera(camera);
        }
        let directory = opened?;
        if made {
            // Whatever the mask was.
            directory.set_mode(DIRECTORY_MODE | inherited)?;
        }
        directory.adjust((inherited != 0).then_some(base.st_gid))?;
        Ok(directory)
    }

    /// Opens a camera's directory that has to be there.
    pub(crate) fn existing_camera(&self, camera: &CameraId) -> Result<Self, BaseError> {
        let path = self.path.join(camera.as_str());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            open_beneath(&self.fd, camera.as_str(), flags, Mode::empty()).map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => BaseError::NotDirectory { base: path.clone() },
                errno => io("openat2", &path, errno),
            })?;
        let directory = Self { fd, path };
        let stat = directory.stat()?;
        if stat.st_uid != euid() {
            return Err(owner(&directory.path, &stat));
        }
        let mode = stat.st_mode & 0o7777;
        if mode & GROUP_OR_OTHER_WRITE != 0 {
            return Err(BaseError::Mode { base: directory.path, mode });
        }
        Ok(directory)
    }

    /// Gives the directory the group that is asked for, and the mode that goes with it. Right bits are left alone: an
    /// owner outside the group who sets 2750 on a directory loses the set-group-id bit without being told.
    fn adjust(&self, group: Option<u32>) -> Result<(), BaseError> {
        let Some(wanted) = group else {
            // Whatever mode and group an operator chose stays.
            return Ok(());
        };
        let stat = self.stat()?;
        let wanted_mode = DIRECTORY_MODE | SET_GROUP_ID;
        if stat.st_gid != wanted {
            // An error shows below, as what was found afterwards.
            let _ = rustix::fs::fchown(&self.fd, None, Some(rustix::process::Gid::from_raw(wanted)));
        }
        let stat = self.stat()?;
        if stat.st_mode & wanted_mode != wanted_mode {
            let _ = rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(wanted_mode));
        }
        let stat = self.stat()?;
        if stat.st_gid != wanted || stat.st_mode & wanted_mode != wanted_mode {
            return Err(BaseError::Group {
                base: self.path.clone(),
                found: stat.st_gid,
                mode: stat.st_mode & 0o7777,
                wanted,
            });
        }
        Ok(())
    }

    /// Gives a directory that we made its mode, through the descriptor that was checked: never by name.
    fn set_mode(&self, mode: u32) -> Result<(), BaseError> {
        if self.stat()?.st_mode & 0o7777 == mode {
            return Ok(());
        }
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode))
            .map_err(|errno| io("fchmod", &self.path, errno))
    }

    /// Why a name could not be made. A file system may have room and still take no further file, which the kernel's own words
    /// ("no space left on device") hide.
    fn not_made(&self, call: &'static str, path: &Path, errno: Errno) -> BaseError {
        match rustix::fs::fstatvfs(&self.fd) {
            Ok(stat) if errno == Errno::NOSPC && stat.f_files > 0 && stat.f_ffree == 0 => {
                BaseError::NoInodes { path: path.to_owned(), inodes: stat.f_files }
            }
            _ => io(call, path, errno),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn stat(&self) -> Result<Stat, BaseError> {
        rustix::fs::fstat(&self.fd).map_err(|errno| io("fstat", &self.path, errno))
    }

    /// What the file system and the memory limit still have for us.
    pub(crate) fn room(&self) -> Result<Room, BaseError> {
        let stat = rustix::fs::fstatvfs(&self.fd).map_err(|errno| io("fstatvfs", &self.path, errno))?;
        Ok(Room::of(&stat, &self.path))
    }

    /// Makes a file that nobody had made before, readable by the group and by nobody else.
    pub(crate) fn create_new(&self, name: &str) -> Result<OwnedFd, BaseError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open_file(name, flags, FILE_MODE)?;
        let path = self.path.join(name);
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io("fstat", &path, errno))?;
        if stat.st_mode & 0o7777 != FILE_MODE {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(FILE_MODE))
                .map_err(|errno| io("fchmod", &path, errno))?;
        }
        Ok(fd)
    }

    /// Opens or makes a file for the owner alone; whether it had to be made.
    pub(crate) fn open_private(&self, name: &str) -> Result<(OwnedFd, bool), BaseError> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        let created = open_beneath(&self.fd, name, flags | OFlags::CREATE | OFlags::EXCL, PRIVATE_MODE);
        let (fd, is_new) = match created {
            Ok(fd) => (fd, true),
            Err(Errno::EXIST) => (self.open_private_existing(name, flags)?, false),
            Err(errno) => return Err(self.not_made("openat2", &path, errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io("fstat", &path, errno))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(BaseError::NotOurs { path, found: kind(&stat) });
        }
        if stat.st_uid != euid() {
            return Err(owner(&path, &stat));
        }
        // A lock that readers can open is one that readers can take.
        if stat.st_mode & 0o7777 != PRIVATE_MODE.as_raw_mode() {
            // Were it another file of ours that somebody linked here while he could, its mode would be none of our business.
            if stat.st_nlink > 1 {
                return Err(BaseError::NotOurs { path, found: "file with another name elsewhere" });
            }
            rustix::fs::fchmod(&fd, PRIVATE_MODE).map_err(|errno| io("fchmod", &path, errno))?;
        }
        Ok((fd, is_new))
    }

    fn open_private_existing(&self, name: &str, flags: OFlags) -> Result<OwnedFd, BaseError> {
        open_beneath(&self.fd, name, flags, Mode::empty()).map_err(|errno| {
            let path = self.path.join(name);
            match self.look(name) {
                Ok(Some(stat)) if !FileType::from_raw_mode(stat.st_mode).is_file() => {
                    BaseError::NotOurs { path, found: kind(&stat) }
                }
                Ok(Some(stat)) if stat.st_uid != euid() => owner(&path, &stat),
                _ => io("openat2", &path, errno),
            }
        })
    }

    /// Opens a file that is there, for writing, without ever waiting for it.
    pub(crate) fn open_existing(&self, name: &str) -> Result<OwnedFd, BaseError> {
        self.open_file(name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC, 0)
    }

    fn open_file(&self, name: &str, flags: OFlags, mode: u32) -> Result<OwnedFd, BaseError> {
        open_beneath(&self.fd, name, flags, Mode::from_raw_mode(mode))
            .map_err(|errno| self.not_made("openat2", &self.path.join(name), errno))
    }

    /// What stands under a name, without following a link; `None` if nothing does.
    pub(crate) fn look(&self, name: &str) -> Result<Option<Stat>, BaseError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(io("fstatat", &self.path.join(name), errno)),
        }
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), BaseError> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
            .map_err(|errno| io("renameat", &self.path.join(to), errno))
    }

    /// Removes a name; that it is gone already is as good.
    pub(crate) fn unlink(&self, name: &str) -> Result<(), BaseError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io("unlinkat", &self.path.join(name), errno)),
        }
    }

    /// Removes a name if it still leads to this file: whatever else took the name is not ours.
    pub(crate) fn unlink_if(&self, name: &str, identity: Identity) -> Result<(), BaseError> {
        match self.look(name)? {
            Some(stat) if Identity::of(&stat) == identity => self.unlink(name),
            _ => Ok(()),
        }
    }

    /// Removes an empty camera directory.
    pub(crate) fn remove_camera(&self, camera: &CameraId) -> Result<(), BaseError> {
        match rustix::fs::unlinkat(&self.fd, camera.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io("unlinkat", &self.path.join(camera.as_str()), errno)),
        }
    }

    /// The cameras that have a directory here.
    pub(crate) fn cameras(&self) -> Result<Vec<CameraId>, BaseError> {
        let mut cameras = Vec::new();
        let entries =
            rustix::fs::Dir::read_from(&self.fd).map_err(|errno| io("getdents", &self.path, errno))?;
        for entry in entries {
            let entry = entry.map_err(|errno| io("getdents", &self.path, errno))?;
            let Some(id) = entry.file_name().to_str().ok().and_then(|name| CameraId::new(name).ok()) else {
                continue;
            };
            let is_directory =
                self.look(id.as_str())?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
            if is_directory {
                cameras.push(id);
            }
        }
        Ok(cameras)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a name is opened, newly and in the older way.
    type Way = fn(&OwnedFd, &str, OFlags, Mode) -> Result<OwnedFd, Errno>;

    #[test]
    fn a_name_is_opened_and_no_link_is_followed_also_where_the_kernel_has_no_openat2() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        for name in ["secret", "inside/file"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        std::os::unix::fs::symlink("file", inside.join("harmless")).unwrap();
        let directory = OwnedFd::from(std::fs::File::open(&inside).unwrap());
        let ways: [(&str, Way); 2] = [("openat2", open_beneath), ("openat", open_single)];
        for (what, open) in ways {
            let opened = |name, flags| open(&directory, name, flags, Mode::empty());
            let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            assert!(opened("file", file).is_ok(), "{what}");
            for link in ["link", "harmless"] {
                assert_eq!(opened(link, file).err(), Some(Errno::LOOP), "{what} {link}");
            }
            for flags in [file | OFlags::DIRECTORY, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW] {
                let errno = opened("up", flags).err();
                assert!(matches!(errno, Some(Errno::LOOP | Errno::NOTDIR)), "{what}: {errno:?}");
            }
            for path in ["..", "../secret", "/etc/passwd"] {
                assert_eq!(opened(path, file).err(), Some(Errno::XDEV), "{what} {path}");
            }
        }
    }
}
