//! A tmpfs of a test's own, so that it can be full without anybody else noticing.

use crate::Lacking;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs; unmounted when it is dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts a tmpfs with options of tmpfs(5) on a directory, which is made.
    ///
    /// # Errors
    /// This user may not mount.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn on(at: &Path, options: &str) -> Result<Self, Lacking> {
        if !rustix::process::geteuid().is_root() {
            return Err("needs root to mount a tmpfs".into());
        }
        std::fs::create_dir(at).unwrap_or_else(|error| panic!("make {}: {error}", at.display()));
        let mount = ["-t", "tmpfs", "-o", &format!("{options},mode=0750"), "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self { at: at.to_owned() }),
            Ok(output) => Err(format!("mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("start mount: {error}")),
        }
    }

    /// Changes its options.
    ///
    /// # Panics
    /// When the system does not allow it.
    pub fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.at).status();
        assert!(status.is_ok_and(|status| status.success()), "mount -o remount,{options}");
    }

    /// Bytes that are free.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.at).expect("statvfs");
        stat.f_bavail * stat.f_frsize
    }

    /// A file of another program, which takes every byte that is free.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.at.join("another-programs-file");
        let mut file = std::fs::File::create(&path).expect("make a file");
        // As a program would: it writes until it is told that there is no room.
        while file.write(&[7; 4096]).is_ok_and(|written| written > 0) {}
        assert_eq!(self.free_bytes(), 0);
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
