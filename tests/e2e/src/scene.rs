//! The folders of one test.

use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder in shared memory for the base directory, and one for files; both are removed at the end, and a second run beside
/// this one has its own.
#[derive(Debug)]
pub struct Scene {
    shared_memory: TempDir,
    files: TempDir,
}

impl Scene {
    /// Makes both folders.
    ///
    /// # Panics
    /// When the system does not allow it.
    #[must_use]
    pub fn new() -> Self {
        let shared_memory =
            tempfile::Builder::new().prefix("vas-e2e-").tempdir_in("/dev/shm").expect("a folder in /dev/shm");
        Self { shared_memory, files: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The base directory. It does not exist until a server makes it.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        self.shared_memory.path().join("vas")
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
