//! The base directory, and whether the caller gets into it.

use super::Doctor;
use super::fault::Fault;
use super::names::{group, is_member, primary_group, quoted, user};
use super::surroundings;
use rustix::fs::{FileType, Stat, lstat, stat, statfs};
use rustix::io::Errno;
use std::path::Path;
use vas_shm_reader::CameraId;

const SET_GROUP_ID: u32 = 0o2000;
const OTHERS_WRITE: u32 = 0o022;
/// statfs(2).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Looks at the base directory. Its stat, if what is beneath it can be looked at too.
pub(super) fn look(doctor: &mut Doctor) -> Option<Stat> {
    let base = doctor.base.clone();
    let shown = base.display();
    let word = quoted(&base);
    let found = match lstat(&base) {
        Ok(found) => found,
        Err(Errno::ACCESS) => {
            access_denied(doctor, &base, None);
            return None;
        }
        Err(errno) => {
            missing(doctor, &base, errno);
            return None;
        }
    };
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        let sentence = format!("{shown} is a {}; the server takes only a directory", kind(&found));
        doctor.find(Fault::BaseNotDirectory, None, &base, sentence, format!("rm {word}"));
        return None;
    }
    if found.st_nlink == 0 {
        let sentence = format!(
            "{shown} is a directory that was removed and is still mounted here; the server's new one is another"
        );
        let fix =
            "docker restart \"$(hostname)\"   # on the host; by default a container's host name is its id";
        doctor.find(Fault::BaseRemoved, None, &base, sentence, fix.to_owned());
        return None;
    }
    let mode = found.st_mode & 0o7777;
    if let Some(wanted) = doctor.owner_asked.filter(|&wanted| wanted != found.st_uid) {
        let sentence =
            format!("{shown} belongs to {}, and {} was asked for", user(found.st_uid), user(wanted));
        doctor.find(Fault::ForeignOwner, None, &base, sentence, format!("chown {} {word}", user(wanted)));
    }
    if statfs(&base).is_ok_and(|file_system| file_system.f_type as u64 != TMPFS_MAGIC) {
        let sentence = format!(
            "{shown} is not on a tmpfs; pictures must not be written to a disk, and the server refuses it"
        );
        let fix = format!("mount -t tmpfs -o size=512m,uid={},mode=0755 tmpfs {word}", found.st_uid);
        doctor.find(Fault::BaseNotTmpfs, None, &base, sentence, fix);
    }
    if mode & OTHERS_WRITE != 0 {
        let sentence = format!(
            "{shown} has mode {mode:04o}: others than its owner may write in it, and the server refuses it"
        );
        doctor.find(Fault::BaseWritable, None, &base, sentence, format!("chmod go-w {word}"));
    }
    let own_group = primary_group(found.st_uid);
    if own_group.is_some_and(|own| own != found.st_gid) && mode & SET_GROUP_ID == 0 {
        let sentence = format!(
            "{shown} has group {} and mode {mode:04o}: without the set-group-id bit new cameras get the server's own group, which the readers are not in",
            group(found.st_gid)
        );
        doctor.find(Fault::BaseNotSetgid, None, &base, sentence, format!("chmod g+s {word}"));
    }
    // Reading the directory wants one right, and looking behind it another.
    let is_listed = std::fs::read_dir(&base).is_ok();
    let is_entered = !matches!(lstat(base.join("x")), Err(Errno::ACCESS));
    if is_listed && is_entered {
        return Some(found);
    }
    access_denied(doctor, &base, None);
    None
}

fn missing(doctor: &mut Doctor, base: &Path, errno: Errno) {
    let shown = base.display();
    let container = doctor.container.as_ref().filter(|_| base.starts_with("/dev/shm"));
    if let Some(container) = container {
        let sentence = format!(
            "{shown} is not there, and this is a container ({}): its /dev/shm is its own, and the host's base directory is not mounted in it",
            container.known_by
        );
        let word = quoted(base);
        let fix = format!(
            "docker run -v {word}:{word}:ro ...   # on the host, in place of the command that started this container"
        );
        doctor.find(Fault::ContainerPrivateShm, None, base, sentence, fix);
        return;
    }
    let what =
        if errno == Errno::NOENT { "not there".to_owned() } else { std::io::Error::from(errno).to_string() };
    let sentence =
        format!("{shown}: {what}; no server exports cameras under it (--base or VAS_SHM_BASE names another)");
    let fix = doctor.restart();
    doctor.find(Fault::BaseMissing, None, base, sentence, fix);
}

/// Says why the caller gets no further than `path`: the first thing on the way that keeps him out.
pub(super) fn access_denied(doctor: &mut Doctor, path: &Path, camera: Option<&CameraId>) {
    // What refuses is the last thing on the way that can be looked at: what is behind it cannot.
    let Some((at, found)) = path.ancestors().find_map(|at| Some((at, stat(at).ok()?))) else { return };
    let shown = at.display();
    let word = quoted(at);
    let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
    let wanted = if is_directory { 0o050 } else { 0o040 };
    let mode = found.st_mode & 0o7777;
    let of_group = group(found.st_gid);
    let name = doctor.caller.name();
    let has = format!("{shown} belongs to {}, group {of_group}, mode {mode:04o}", user(found.st_uid));
    let (fault, sentence, fix) = if surroundings::is_unmapped_group(found.st_gid) {
        (
            Fault::ContainerUserNamespace,
            format!(
                "{has}: that number stands for every group of the host that this user namespace does not have, so no membership counts"
            ),
            "podman run --group-add keep-groups ...   # on the host, as a member of the group".to_owned(),
        )
    } else if mode & wanted != wanted {
        let bits = if is_directory { "g+rx" } else { "g+r" };
        (Fault::NoGroupAccess, format!("{has}: its group may not read it"), format!("chmod {bits} {word}"))
    } else if doctor.caller.is_in(found.st_gid) {
        (
            Fault::AccessDenied,
            format!(
                "{has}: {name} is in that group and gets no further all the same (an access list, or a security module)"
            ),
            format!("namei -l {}", quoted(path)),
        )
    } else if is_member(&name, found.st_gid) {
        (
            Fault::GroupNeedsLogin,
            format!("{has}: {name} is in group {of_group} since after this login, which does not count yet"),
            format!("newgrp {of_group}   # for this shell; log in again for all others"),
        )
    } else if doctor.container.is_some() {
        (
            Fault::CallerNotInGroup,
            format!(
                "{has}: uid {} of this container is not in group {}; the number counts, not the name",
                doctor.caller.uid, found.st_gid
            ),
            format!(
                "docker run --group-add {} ...   # on the host, in place of the command that started this container",
                found.st_gid
            ),
        )
    } else if found.st_gid == 0 || Some(found.st_gid) == primary_group(found.st_uid) {
        (
            Fault::CallerNotInGroup,
            format!(
                "{has}, which is the server's own group: it has no group of readers, so {name} is kept out; [export] group = \"vas-frames\" in vas.toml makes it last"
            ),
            format!(
                "groupadd -f vas-frames && usermod -aG vas-frames {name} && chgrp -R vas-frames {base} && chmod 2750 {base} {base}/*/",
                base = quoted(&doctor.base)
            ),
        )
    } else {
        (
            Fault::CallerNotInGroup,
            format!("{has}: {name} is not in group {of_group}"),
            format!("usermod -aG {of_group} {name}   # counts from the next login on"),
        )
    };
    let path = at.to_owned();
    let is_known = doctor
        .findings
        .iter()
        .any(|finding| finding.name == fault.name() && finding.path == path.display().to_string());
    if !is_known {
        doctor.find(fault, camera, &path, sentence, fix);
    }
}

/// What a name is, in a word.
pub(super) fn kind(found: &Stat) -> &'static str {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        _ => "device",
    }
}
