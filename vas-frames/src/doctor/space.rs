//! Whether the file system has room for what comes next.

use super::fault::Fault;
use super::names::{quoted, shown};
use super::{Doctor, Space};
use crate::human;
use rustix::fs::statvfs;
use vas_shm_proto::{Nv12, PAGE_SIZE, PairSize, SlotCount};

/// A camera at most takes that many inodes (docs/operating.md, "Memory").
const INODES_OF_A_CAMERA: u64 = 6;

/// Compares what is free with what one more pair of the largest camera takes: a camera that changes its size has two for a
/// while. Where there is no camera yet, with one of 1920x1080.
pub(super) fn look(doctor: &mut Doctor, largest_pair: u64) -> Option<Space> {
    let stat = statvfs(&doctor.base).ok()?;
    let size_bytes = stat.f_blocks * stat.f_frsize;
    let free_bytes = stat.f_bavail * stat.f_frsize;
    let needed_bytes = if largest_pair > 0 { largest_pair } else { usual_pair() };
    let base = doctor.base.clone();
    let mount = mount_point(&base);
    // A tmpfs without a limit says 0 of everything.
    if size_bytes > 0 && free_bytes < needed_bytes {
        // What is short, and as much again; in whole MiB.
        let wanted_mib = (size_bytes + 2 * (needed_bytes - free_bytes)).div_ceil(1 << 20);
        let sentence = format!(
            "{} has {} free of {}, and one more pair of the largest camera takes {}: a change of its size, or another camera, would find no room",
            shown(&mount),
            human::bytes(free_bytes),
            human::bytes(size_bytes),
            human::bytes(needed_bytes)
        );
        let fix = match &doctor.container {
            Some(_) if mount == std::path::Path::new("/dev/shm") => {
                format!(
                    "docker run --shm-size={wanted_mib}m ...   # on the host, in place of the command that started this container"
                )
            }
            _ => format!("mount -o remount,size={wanted_mib}m {}", quoted(&mount)),
        };
        doctor.find(Fault::ShmTooSmall, None, &base, sentence, fix);
    }
    if stat.f_files > 0 && stat.f_favail < INODES_OF_A_CAMERA {
        let sentence = format!(
            "{} takes only {} further files, and a camera makes up to {INODES_OF_A_CAMERA}",
            shown(&mount),
            stat.f_favail
        );
        let fix = format!("mount -o remount,nr_inodes={} {}", stat.f_files * 2 + 1024, quoted(&mount));
        doctor.find(Fault::ShmNoInodes, None, &base, sentence, fix);
    }
    Some(Space { size_bytes, free_bytes, needed_bytes })
}

fn usual_pair() -> u64 {
    let picture = Nv12::for_picture(1920, 1080).ok();
    picture.map_or(0, |picture| PairSize::new(&picture, SlotCount::DEFAULT).data_bytes + PAGE_SIZE as u64)
}

/// The first directory upwards that has another device above it.
pub(super) fn mount_point(path: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &std::path::Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let own = device(path);
    path.ancestors().take_while(|at| device(at) == own).last().unwrap_or(path).to_owned()
}
