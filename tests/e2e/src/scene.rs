//! The folders of one test.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use vas_test_support::shared_memory;

const PREFIX: &str = "vas-e2e-";
const BASE: &str = "vas";
/// A folder that is younger may just not be locked yet.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder in shared memory for the base directory, and one for files; both are removed at the end, and a second run beside
/// this one has its own.
#[derive(Debug)]
pub struct Scene {
    shared_memory: TempDir,
    files: TempDir,
    /// Says to others that the folder is in use. Gone with the process, however that ends.
    _lock: File,
}

/// Removes what tests left in shared memory that were interrupted.
fn remove_abandoned() {
    for entry in std::fs::read_dir(shared_memory()).into_iter().flatten().flatten() {
        let is_settled = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SETTLED));
        if !is_settled || !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Another user's, or removed by another test at this moment: not ours to remove.
        let Ok(folder) = File::open(entry.path()) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // A test that was killed has left its file system mounted too.
            let _ = rustix::mount::unmount(entry.path().join(BASE), rustix::mount::UnmountFlags::DETACH);
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Scene {
    /// Makes both folders.
    ///
    /// # Panics
    /// When the system does not allow it.
    #[must_use]
    pub fn new() -> Self {
        remove_abandoned();
        let shared_memory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(shared_memory());
        let shared_memory = shared_memory.expect("a folder in shared memory");
        let lock = File::open(shared_memory.path()).expect("open the folder just made");
        flock(&lock, FlockOperation::LockExclusive).expect("lock the folder just made");
        Self { shared_memory, files: tempfile::tempdir().expect("a temporary folder"), _lock: lock }
    }

    /// The base directory. It does not exist until a server makes it.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        self.shared_memory.path().join(BASE)
    }

    /// The folder on a tmpfs in which the base directory will be.
    #[must_use]
    pub fn shared_memory(&self) -> &Path {
        self.shared_memory.path()
    }

    /// A folder for configurations and pictures.
    #[must_use]
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Writes a file into it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files().join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }

    /// Every regular file beneath the base directory that is not a guard (§6: those stay).
    #[must_use]
    pub fn exported_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.base()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|extension| extension != "lock") {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
