//! The base directory, and whether the caller gets into it.

use super::Doctor;
use super::fault::Fault;
use super::names::{group, is_group, is_member, primary_group, quoted, shown, user};
use super::space::mount_point;
use super::surroundings;
use rustix::fs::{FileType, Stat, lstat, stat, statfs};
use rustix::io::Errno;
use std::path::Path;
use vas_shm_proto::{DEFAULT_BASE, META_NAME};
use vas_shm_reader::CameraId;

const SET_GROUP_ID: u32 = 0o2000;
/// Everybody may make something there, and nobody removes what is another's: what /dev/shm and /tmp have.
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
/// statfs(2).
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// Where vas-ingest says which cameras are which server's.
pub(super) const SERVERS_LOCK: &str = "._servers.lock";
/// Directories of the whole machine's, whatever their modes.
const OF_ALL: [&str; 8] = ["/", "/dev", "/dev/shm", "/home", "/run", "/tmp", "/var", "/var/tmp"];

/// What became of the look at the base directory.
pub(super) enum Look {
    /// It is one, and what is beneath it can be looked at too.
    Into(Stat),
    /// What is beneath it cannot be seen.
    Before,
    /// It is not what was meant: nothing else is looked at, so that no command is told that concerns what is another's.
    Elsewhere,
}

/// Looks at the base directory.
pub(super) fn look(doctor: &mut Doctor) -> Look {
    let base = doctor.base.clone();
    let at = shown(&base);
    let word = quoted(&base);
    let found = match lstat(&base) {
        Ok(found) => found,
        Err(Errno::ACCESS) => {
            access_denied(doctor, &base, None);
            return Look::Before;
        }
        Err(errno) => {
            missing(doctor, &base, errno);
            return Look::Before;
        }
    };
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        let sentence = format!("{at} is a {}; the server takes only a directory", kind(&found));
        // A link in /dev/shm is nobody's loss. Any other, and all files, may well be what somebody needs.
        let is_planted = FileType::from_raw_mode(found.st_mode).is_symlink() && base.starts_with("/dev/shm");
        let fix = if is_planted {
            format!("rm {word}")
        } else {
            format!("ls -ld {word}   # what is it? --base names the server's base directory")
        };
        doctor.find(Fault::BaseNotDirectory, None, &base, sentence, fix);
        return Look::Elsewhere;
    }
    if found.st_nlink == 0 {
        removed(doctor, &base);
        return Look::Before;
    }
    let mode = found.st_mode & 0o7777;
    if let Some(why) = why_not_a_base(&base, mode) {
        let sentence = format!("{at} {why}: it is not the base directory of a server");
        let fix = match nearby_base(&base) {
            Some(nearby) => format!("vas-frames doctor --base {}", quoted(nearby)),
            None if base == Path::new(DEFAULT_BASE) => {
                format!("ls -lA {word}   # what is it? --base names the server's base directory")
            }
            None => format!(
                "vas-frames doctor --base {DEFAULT_BASE}   # or where the server exports: [export] base"
            ),
        };
        doctor.find(Fault::NotABase, None, &base, sentence, fix);
        return Look::Elsewhere;
    }
    if let Some(asked) = doctor.owner_asked.filter(|&asked| asked != found.st_uid) {
        let (owner, asked) = (user(found.st_uid), user(asked));
        let sentence = format!(
            "{at} belongs to {owner}, and {asked} was asked for: no reader that insists on {asked} takes its cameras"
        );
        let fix = format!(
            "vas-frames doctor --base {word} --owner {}   # or start the server as {asked}",
            found.st_uid
        );
        doctor.find(Fault::ForeignOwner, None, &base, sentence, fix);
        return Look::Elsewhere;
    }
    foreign_to_unit(doctor, &base, &found);
    // Reading the directory wants one right, and looking behind it another.
    let is_listed = std::fs::read_dir(&base).is_ok();
    let is_entered = !matches!(lstat(base.join("x")), Err(Errno::ACCESS));
    if !is_listed || !is_entered {
        access_denied(doctor, &base, None);
        return Look::Before;
    }
    if !is_on_tmpfs(&base) {
        let sentence = format!(
            "{at} is not on a tmpfs; pictures must not be written to a disk, and the server refuses it"
        );
        let fix = mount_fix(&word, &found);
        doctor.find(Fault::BaseNotTmpfs, None, &base, sentence, fix);
    }
    if mode & OTHERS_WRITE != 0 {
        let sentence = format!(
            "{at} has mode {mode:04o}: others than its owner may write in it, and the server refuses it"
        );
        doctor.find(Fault::BaseWritable, None, &base, sentence, format!("chmod go-w {word}"));
    }
    let own_group = primary_group(found.st_uid);
    if own_group.is_some_and(|own| own != found.st_gid) && mode & SET_GROUP_ID == 0 {
        let sentence = format!(
            "{at} has group {} and mode {mode:04o}: without the set-group-id bit new cameras get the server's own group, which the readers are not in",
            group(found.st_gid)
        );
        doctor.find(Fault::BaseNotSetgid, None, &base, sentence, format!("chmod g+s {word}"));
    }
    Look::Into(found)
}

/// What a directory holds.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// A lock of a server's, or a camera.
    Base,
    Nothing,
    /// Something, and nothing of a server's.
    Other,
    /// It cannot be listed.
    Unseen,
}

/// A lock of a camera's alone says little, since other programs have such files too, as /etc/.pwd.lock: what it locks is there as well,
/// or nothing but locks is.
fn content(directory: &Path) -> Content {
    let is_file = |found: &Stat| FileType::from_raw_mode(found.st_mode).is_file();
    if lstat(directory.join(SERVERS_LOCK)).is_ok_and(|found| is_file(&found)) {
        return Content::Base;
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return Content::Unseen };
    let (mut locks, mut others) = (0, 0);
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let locked = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".lock"));
        let is_lock = lstat(&path).is_ok_and(|found| is_file(&found) && found.st_size == 0);
        match locked.filter(|id| is_lock && CameraId::new(id).is_ok()) {
            Some(id) if lstat(directory.join(id)).is_ok() => return Content::Base,
            Some(_) => locks += 1,
            None => others += 1,
        }
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && CameraId::new(&name).is_ok() && lstat(path.join(META_NAME)).is_ok() {
            return Content::Base;
        }
    }
    match (locks, others) {
        (0, 0) => Content::Nothing,
        (_, 0) => Content::Base,
        _ => Content::Other,
    }
}

/// Why a directory is no server's, if so. Commands that remove files and change modes are only for one that is.
fn why_not_a_base(base: &Path, mode: u32) -> Option<&'static str> {
    if mode & STICKY != 0 || OF_ALL.iter().any(|of_all| base == Path::new(of_all)) {
        return Some("is a directory for everybody");
    }
    match content(base) {
        Content::Other => Some("holds something, and neither a camera nor a server's lock"),
        Content::Nothing if mode & OTHERS_WRITE != 0 && mount_point(base) == base => {
            Some("is the root of a file system in which others may write, and empty")
        }
        Content::Base | Content::Nothing | Content::Unseen => None,
    }
}

/// A base directory that may have been meant: `vas` in this one, or the one above, where a camera's was named.
fn nearby_base(base: &Path) -> Option<std::path::PathBuf> {
    let nearby = [Some(base.join("vas")), base.parent().map(Path::to_owned)];
    nearby.into_iter().flatten().find(|path| {
        let is_directory = lstat(path).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir());
        is_directory && content(path) == Content::Base
    })
}

fn is_on_tmpfs(path: &Path) -> bool {
    // Where it cannot be asked nothing says otherwise.
    statfs(path).map_or(true, |file_system| file_system.f_type as u64 == TMPFS_MAGIC)
}

/// The new root takes the old one's place, for the same readers.
fn mount_fix(word: &str, found: &Stat) -> String {
    let mode = found.st_mode & 0o2750 | 0o750;
    format!(
        "mount -t tmpfs -o size=512m,uid={},gid={},mode={mode:04o} tmpfs {word}",
        found.st_uid, found.st_gid
    )
}

fn removed(doctor: &mut Doctor, base: &Path) {
    let sentence = format!(
        "{} is a directory that was removed and is still mounted here; the server's new one is another",
        shown(base)
    );
    let fix = if doctor.container.is_some() {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!(
            "docker restart {}   # on the host; by default a container's host name is its id",
            quoted(name)
        )
    } else {
        format!("umount {}   # then mount the new one, as the old one was", quoted(base))
    };
    doctor.find(Fault::BaseRemoved, None, base, sentence, fix);
}

/// Compares with the user of the server's unit, whose base this is.
fn foreign_to_unit(doctor: &mut Doctor, base: &Path, found: &Stat) {
    let Some(unit) = &doctor.unit else { return };
    let Some((name, uid)) = unit.user().filter(|&(_, uid)| uid != found.st_uid && unit.base() == base) else {
        return;
    };
    // Of this user namespace the numbers of the host may be others.
    if doctor.container.is_some() && surroundings::is_unmapped_group(found.st_gid) {
        return;
    }
    let sentence = format!(
        "{} belongs to {}, and {} runs its server as {name} (uid {uid}), who is refused a base directory of another's",
        shown(base),
        user(found.st_uid),
        unit.name
    );
    let service = quoted(&unit.name);
    let fix = format!(
        "systemctl stop {service}; chown -R {} {} && systemctl start {service}",
        quoted(name),
        quoted(base)
    );
    doctor.find(Fault::ForeignOwner, None, base, sentence, fix);
}

fn missing(doctor: &mut Doctor, base: &Path, errno: Errno) {
    let at = shown(base);
    let container = doctor.container.as_ref().filter(|_| base.starts_with("/dev/shm"));
    if let Some(container) = container {
        let sentence = format!(
            "{at} is not there, and this is a container ({}): its /dev/shm is its own, and the host's base directory is not mounted in it",
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
        format!("{at}: {what}; no server exports cameras under it (--base or VAS_SHM_BASE names another)");
    let fix = doctor.restart();
    doctor.find(Fault::BaseMissing, None, base, sentence, fix);
}

/// Says why the caller gets no further than `path`: the first thing on the way that keeps him out.
pub(super) fn access_denied(doctor: &mut Doctor, path: &Path, camera: Option<&CameraId>) {
    // What refuses is the last thing on the way that can be looked at: what is behind it cannot.
    let Some((at, found)) = path.ancestors().find_map(|at| Some((at, stat(at).ok()?))) else { return };
    let (fault, sentence, fix) = why_denied(doctor, path, at, &found);
    let at = at.to_owned();
    let is_known = doctor
        .findings
        .iter()
        .any(|finding| finding.name == fault.name() && finding.path == at.display().to_string());
    if !is_known {
        doctor.find(fault, camera, &at, sentence, fix);
    }
}

fn why_denied(doctor: &Doctor, path: &Path, at: &Path, found: &Stat) -> (Fault, String, String) {
    let word = quoted(at);
    let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
    let wanted = if is_directory { 0o050 } else { 0o040 };
    let mode = found.st_mode & 0o7777;
    let of_group = group(found.st_gid);
    let name = doctor.caller.name();
    let has = format!("{} belongs to {}, group {of_group}, mode {mode:04o}", shown(at), user(found.st_uid));
    // Above the base directory is what may be a person's own, and not for the readers' group: one user gets through, and reads nothing.
    if at != doctor.base && doctor.base.starts_with(at) {
        return (
            Fault::AccessDenied,
            format!("{has}: it stands above the base directory, and {name} does not get through it"),
            format!("setfacl -m u:{name}:x {word}"),
        );
    }
    if surroundings::is_unmapped_group(found.st_gid) {
        return (
            Fault::ContainerUserNamespace,
            format!(
                "{has}: that number stands for every group of the host that this user namespace does not have, so no membership counts"
            ),
            "podman run --group-add keep-groups ...   # on the host, as a member of the group".to_owned(),
        );
    }
    // Nobody is let into what may be somebody's own.
    let careful = |fix: String| {
        if at != doctor.base || may_be_base(at, found) {
            fix
        } else {
            format!("namei -l {word}   # is it the server's? --base names its base directory")
        }
    };
    if mode & wanted != wanted {
        let bits = if is_directory { "g+rx" } else { "g+r" };
        return (
            Fault::NoGroupAccess,
            format!("{has}: its group may not read it"),
            careful(format!("chmod {bits} {word}")),
        );
    }
    if doctor.caller.is_in(found.st_gid) {
        return (
            Fault::AccessDenied,
            format!(
                "{has}: {name} is in that group and gets no further all the same (an access list, or a security module)"
            ),
            format!("namei -l {}", quoted(path)),
        );
    }
    if is_member(&name, found.st_gid) {
        return (
            Fault::GroupNeedsLogin,
            format!("{has}: {name} is in group {of_group} since after this login, which does not count yet"),
            format!("newgrp {of_group}   # for this shell; log in again for all others"),
        );
    }
    if doctor.container.is_some() {
        return (
            Fault::CallerNotInGroup,
            format!(
                "{has}: uid {} of this container is not in group {}; the number counts, not the name",
                doctor.caller.uid, found.st_gid
            ),
            format!(
                "docker run --group-add {} ...   # on the host, in place of the command that started this container",
                found.st_gid
            ),
        );
    }
    if found.st_gid == 0 || Some(found.st_gid) == primary_group(found.st_uid) {
        return (
            Fault::CallerNotInGroup,
            format!(
                "{has}, which is the server's own group: it has no group of readers, so {name} is kept out; [export] group = \"vas-frames\" in vas.toml makes it last"
            ),
            careful(readers_group(&name, &quoted(&doctor.base))),
        );
    }
    (
        Fault::CallerNotInGroup,
        format!("{has}: {name} is not in group {of_group}"),
        careful(membership(&name, &of_group, is_group("vas-frames"))),
    )
}

/// Whether a directory that cannot be listed looks like a server's: on a tmpfs, and not the whole of one that is a person's or a
/// program's.
fn may_be_base(base: &Path, found: &Stat) -> bool {
    let is_prepared = base == Path::new(DEFAULT_BASE) || found.st_mode & SET_GROUP_ID != 0;
    content(base) == Content::Base
        || is_on_tmpfs(base) && !base.starts_with("/run/user") && (is_prepared || mount_point(base) != base)
}

/// The command that gives a base directory a group of readers.
fn readers_group(name: &str, base: &str) -> String {
    format!(
        "groupadd -f vas-frames && usermod -aG vas-frames {name} && chgrp -R vas-frames {base} && chmod 2750 {base} && find {base} -mindepth 1 -maxdepth 1 -type d -exec chmod 2750 {{}} +"
    )
}

/// The command that puts a user into a group. Either may be a number that no name stands for, which usermod does not take.
fn membership(name: &str, of_group: &str, is_name_taken: bool) -> String {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(name) {
        return format!(
            "setpriv --reuid {name} --regid {of_group} --clear-groups vas-frames doctor   # any program, started so by root: there is no user {name}"
        );
    }
    if !is_number(of_group) {
        return format!("usermod -aG {of_group} {name}   # counts from the next login on");
    }
    let new = if is_name_taken { format!("vas-frames-{of_group}") } else { "vas-frames".to_owned() };
    format!("groupadd -g {of_group} {new} && usermod -aG {new} {name}   # counts from the next login on")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_put_into_a_group_that_has_a_name_then() {
        assert!(membership("eve", "readers", true).starts_with("usermod -aG readers eve "));
        let made = membership("eve", "54321", false);
        assert!(made.starts_with("groupadd -g 54321 vas-frames && usermod -aG vas-frames eve "), "{made}");
        let made = membership("eve", "54321", true);
        assert!(made.starts_with("groupadd -g 54321 vas-frames-54321 && usermod -aG vas-frames-54321 eve "));
        assert!(!membership("54321", "readers", true).contains("usermod"));
    }

    #[test]
    fn a_base_without_cameras_gets_its_modes_too() {
        use std::os::unix::fs::PermissionsExt as _;
        let base = tempfile::tempdir().expect("a folder");
        let command = readers_group("eve", &quoted(base.path()));
        let modes = command.split_once("&& chmod").expect("the modes").1;
        let run = || std::process::Command::new("sh").args(["-ec", &format!("chmod{modes}")]).status();
        assert!(run().is_ok_and(|status| status.success()), "{modes}");
        std::fs::create_dir(base.path().join("front")).expect("a camera");
        std::fs::write(base.path().join(".front.lock"), "").expect("its lock");
        let mode = |name: &str| {
            base.path().join(name).metadata().expect("it is there").permissions().mode() & 0o7777
        };
        let of_lock = mode(".front.lock");
        assert!(run().is_ok_and(|status| status.success()), "{modes}");
        assert_eq!((mode(""), mode("front"), mode(".front.lock")), (0o2750, 0o2750, of_lock));
    }

    #[test]
    fn what_holds_no_lock_and_no_camera_is_no_base() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path();
        assert_eq!(content(base), Content::Nothing);
        std::fs::create_dir(base.join("PostgreSQL.123")).expect("somebody's");
        assert_eq!(content(base), Content::Other);
        std::fs::write(base.join(".front.lock"), "with something in it").expect("somebody's");
        assert_eq!(content(base), Content::Other);
        // As /etc/.pwd.lock.
        std::fs::write(base.join(".front.lock"), "").expect("a lock");
        assert_eq!(content(base), Content::Other);
        std::fs::create_dir(base.join("front")).expect("a camera's");
        assert_eq!(content(base), Content::Base);
        std::fs::remove_file(base.join(".front.lock")).expect("removed");
        assert_eq!(content(base), Content::Other);
        std::fs::write(base.join("front/frame.meta"), "").expect("a header");
        assert_eq!(content(base), Content::Base);
        std::fs::remove_dir_all(base.join("front")).expect("removed");
        std::fs::write(base.join("._servers.lock"), "").expect("a lock");
        assert_eq!(content(base), Content::Base);
        std::fs::remove_file(base.join("._servers.lock")).expect("removed");
        std::fs::remove_dir(base.join("PostgreSQL.123")).expect("removed");
        std::fs::write(base.join(".front.lock"), "").expect("a lock");
        assert_eq!(content(base), Content::Base);
    }

    #[test]
    fn a_tmpfs_in_its_place_has_the_same_group_and_hands_it_on() {
        let mut found = stat(".").expect("a directory");
        (found.st_uid, found.st_gid, found.st_mode) = (7, 8, 0o042_775);
        let fix = mount_fix("/run/vas", &found);
        assert_eq!(fix, "mount -t tmpfs -o size=512m,uid=7,gid=8,mode=2750 tmpfs /run/vas");
    }
}
