//! Which cameras of a base directory this server has, told to other servers, so that a second one is refused when it starts.
//!
//! The writer's guard of a camera comes with its first picture: two servers whose cameras are away know nothing of each other, and the
//! one that comes second goes on without its export. So there is one file more in the base, which holds nothing. A camera is one byte of
//! it, far behind its end, where a hash of its name says; whoever has the camera has a record lock (fcntl(2), `F_SETLK`) on that byte.
//! The kernel knows whose it is and drops it with the process, so that a server which was killed is in nobody's way. Servers with other
//! cameras have other bytes.
//!
//! It guards no frame: that is the writer's to do. Where there is no such lock (no room for the file) the servers start.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_proto::CameraId;

/// No camera's guard can have that name, since no id begins like this.
const FILE_NAME: &str = "._servers.lock";

/// Its owner alone, as a guard: whoever can open it can hold it.
const MODE: u32 = 0o600;

/// How long a start waits for a predecessor that is just ending, or was killed a moment ago: the kernel gives back its memory first, and
/// then its locks.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(3);

/// How long a reload does, while the cameras go on and nobody looks after them.
pub(crate) const RELOAD_PATIENCE: Duration = Duration::from_secs(1);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Another server has a camera of the same base directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "another vas-ingest{who} has {cameras} of the base directory {}: stop that one first, or give this one another base (--base) or \
     other cameras", .base.display()
)]
pub struct Taken {
    /// The base directory.
    base: PathBuf,
    /// Its process number, if it is known.
    who: String,
    /// Which, in words.
    cameras: String,
}

/// What this process has. Such locks are the process's: a second `Claims` of the same base would give up those of the first when it
/// goes, so there is one.
#[derive(Debug)]
pub(crate) struct Claims {
    base: PathBuf,
    /// None: it cannot be had, and so no camera can be claimed.
    file: Option<File>,
}

impl Claims {
    /// For a base directory that the writer has checked: it belongs to this user, and nobody else can write there.
    pub(crate) fn new(base: &Path) -> Self {
        let path = base.join(FILE_NAME);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(&path, flags, Mode::from_raw_mode(MODE)) {
            Ok(file) => {
                // Whatever the umask took; it is not ours if that fails, and then its owner knows.
                let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(MODE));
                Some(File::from(file))
            }
            Err(error) => {
                tracing::warn!(
                    "{}: {error}; a second server of the same cameras would not be refused at its start",
                    path.display()
                );
                None
            }
        };
        Self { base: base.to_owned(), file }
    }

    /// Claims all of these cameras, and waits until `deadline` for a server that ends.
    pub(crate) fn take(&self, cameras: &[CameraId], deadline: Instant) -> Result<(), Taken> {
        let Some(file) = &self.file else { return Ok(()) };
        // One after the other in an order that all servers have, and none behind one that another has: of two servers that start at
        // the same time one gets all.
        let mut ordered = cameras.to_vec();
        ordered.sort_unstable_by_key(|camera| place_of(*camera));
        loop {
            let Some(pid) = ordered.iter().find_map(|camera| try_lock(file, *camera)) else { return Ok(()) };
            let has_other = |camera: &&CameraId| matches!(holder(file, **camera), Ok(Some(_)));
            let names: Vec<&str> = cameras.iter().filter(has_other).map(CameraId::as_str).collect();
            // None: given up between the two looks.
            if Instant::now() >= deadline && !names.is_empty() {
                let noun = if names.len() == 1 { "camera" } else { "cameras" };
                return Err(Taken {
                    base: self.base.clone(),
                    // 0: one of another container.
                    who: if pid > 0 { format!(" (pid {pid})") } else { String::new() },
                    cameras: format!("{noun} {}", names.join(", ")),
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A camera that left the configuration is another server's, if one wants it.
    pub(crate) fn give_up(&self, camera: CameraId) {
        if let Some(file) = &self.file {
            // What cannot be given up goes with the process.
            let _ = fcntl(file, FcntlArg::F_SETLK(&lock_of(camera, libc::F_UNLCK)));
        }
    }
}

/// None: this process has the camera, or nobody can. Some: whoever has it, by number.
fn try_lock(file: &File, camera: CameraId) -> Option<i32> {
    loop {
        match fcntl(file, FcntlArg::F_SETLK(&lock_of(camera, libc::F_WRLCK))) {
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            // A file system without locks among them.
            _ => return None,
        }
        match holder(file, camera) {
            // Gone between the two calls: once more.
            Ok(None) => {}
            Ok(pid) => return pid,
            Err(_) => return None,
        }
    }
}

/// Which other process has the camera.
fn holder(file: &File, camera: CameraId) -> Result<Option<i32>, Errno> {
    let mut found = lock_of(camera, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut found))?;
    Ok((i32::from(found.l_type) != libc::F_UNLCK).then_some(found.l_pid))
}

/// A camera's byte: 63 bits of FNV-1a of its name. Should two cameras ever meet there, the servers of the two cannot share a base.
fn place_of(camera: CameraId) -> libc::off_t {
    let hash = camera.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 1) as libc::off_t
}

fn lock_of(camera: CameraId, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: place_of(camera),
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_no_cameras_guard_and_each_camera_has_a_place_of_its_own_in_it() {
        let id = FILE_NAME.strip_prefix('.').and_then(|name| name.strip_suffix(".lock")).unwrap();
        assert!(CameraId::new(id).is_err());
        let mut places: Vec<i64> =
            (0..10_000).map(|n| place_of(CameraId::new(&format!("camera-{n}")).unwrap())).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 10_000);
        assert!(places[0] >= 0, "a place before the file is none");
    }
}
