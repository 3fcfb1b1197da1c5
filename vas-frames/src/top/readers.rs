//! How many processes look at a camera: those that have its header mapped or open, as far as /proc tells this user.
//!
//! Readers announce themselves to nobody; this asks the kernel, and never them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use vas_shm_proto::META_NAME;
use vas_shm_reader::CameraId;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Readers {
    found: u64,
    /// Some processes do not let this user look.
    pub(super) is_minimum: bool,
}

impl Readers {
    /// `None` if nothing is known: none was found, and not everywhere could be looked.
    pub(super) fn known(self) -> Option<u64> {
        (self.found > 0 || !self.is_minimum).then_some(self.found)
    }

    /// `2`, `2+` if there may be more, `?` if nothing is known.
    pub(super) fn describe(found: Option<u64>, is_minimum: bool) -> String {
        match found {
            Some(found) => format!("{found}{}", if is_minimum { "+" } else { "" }),
            None => "?".to_owned(),
        }
    }
}

/// The readers of each camera, in the order given; without this process, and without the server, which may write.
pub(super) fn count(base: &Path, cameras: &[CameraId]) -> Vec<Readers> {
    let headers: Vec<Option<(u64, u64)>> = cameras
        .iter()
        .map(|camera| fs::symlink_metadata(base.join(camera.as_str()).join(META_NAME)).ok())
        .map(|found| found.map(|found| (found.dev(), found.ino())))
        .collect();
    let mut counts = vec![Readers::default(); cameras.len()];
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if process == own {
            continue;
        }
        match opened_by(&entry.path()) {
            Ok(opened) => {
                for (header, readers) in headers.iter().zip(&mut counts) {
                    let is_reader = header.is_some_and(|header| {
                        opened.reads.contains(&header) && !opened.writes.contains(&header)
                    });
                    readers.found += u64::from(is_reader);
                }
            }
            // It has ended.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound) || error.raw_os_error() == Some(ESRCH) => {
            }
            Err(_) => counts.iter_mut().for_each(|readers| readers.is_minimum = true),
        }
    }
    counts
}

const ESRCH: i32 = 3;

#[derive(Debug, Default)]
struct Opened {
    reads: BTreeSet<(u64, u64)>,
    writes: BTreeSet<(u64, u64)>,
}

/// Files that a process has mapped as shared memory, or has open.
fn opened_by(process: &Path) -> io::Result<Opened> {
    let mut opened = Opened::default();
    for line in fs::read_to_string(process.join("maps"))?.lines() {
        if let Some((file, may_write)) = mapping(line) {
            let set = if may_write { &mut opened.writes } else { &mut opened.reads };
            set.insert(file);
        }
    }
    // A file that is open and not mapped: a program that reads it in the ordinary way.
    for entry in fs::read_dir(process.join("fd"))? {
        let Ok(entry) = entry else { continue };
        let is_header = fs::read_link(entry.path()).is_ok_and(|path| path.ends_with(META_NAME));
        if let (true, Ok(found)) = (is_header, fs::metadata(entry.path())) {
            opened.reads.insert((found.dev(), found.ino()));
        }
    }
    Ok(opened)
}

/// Device and inode of a shared mapping of a file, and whether it may be written: a line of /proc/PID/maps.
fn mapping(line: &str) -> Option<((u64, u64), bool)> {
    let mut words = line.split_whitespace();
    let rights = words.nth(1)?.as_bytes();
    let (major, minor) = words.nth(1)?.split_once(':')?;
    let inode: u64 = words.next()?.parse().ok()?;
    let device = |text: &str| u32::from_str_radix(text, 16).ok();
    let device = rustix::fs::makedev(device(major)?, device(minor)?);
    (inode > 0 && rights.get(3) == Some(&b's')).then_some(((device, inode), rights.get(1) == Some(&b'w')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_mapping_is_known_by_device_and_inode() {
        let line = "7f0c0a5fe000-7f0c0a5ff000 r--s 00000000 00:1b 4711   /dev/shm/vas/front/frame.meta";
        assert_eq!(mapping(line), Some(((rustix::fs::makedev(0, 0x1b), 4711), false)));
        assert_eq!(mapping(&line.replace("r--s", "rw-s")).map(|(_, may_write)| may_write), Some(true));
        assert_eq!(mapping(&line.replace("r--s", "r--p")), None);
        assert_eq!(mapping("7ffd1d5e2000-7ffd1d603000 rw-p 00000000 00:00 0   [stack]"), None);
        assert_eq!(mapping(""), None);
    }

    #[test]
    fn a_count_says_what_it_does_not_know() {
        assert_eq!(Readers { found: 0, is_minimum: true }.known(), None);
        assert_eq!(Readers::describe(Some(2), true), "2+");
        assert_eq!(Readers::describe(None, true), "?");
        assert_eq!(Readers::describe(Some(0), false), "0");
    }
}
