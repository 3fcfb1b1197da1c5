//! The cameras' directories and files, and whether their server lives.

use super::base::{SERVERS_LOCK, access_denied, kind};
use super::fault::Fault;
use super::names::{group, quoted, shown, user};
use super::{CameraRow, Doctor};
use crate::{list, look};
use rustix::fs::{FileType, Stat, lstat};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_proto::layout::PAGE_SIZE;
use vas_shm_proto::{DATA_NAME, META_NAME, NotYet};
use vas_shm_reader::{Absent, CameraId, HEARTBEAT_LIMIT_NS, Opened, Options, Refused, Status, open};

const SET_GROUP_ID: u32 = 0o2000;
const OTHERS_WRITE: u32 = 0o022;
/// What a server that is at work may have in a camera's directory: the pair, and a pair that is being built.
const OWN_NAMES: [&str; 4] = [META_NAME, DATA_NAME, ".frame.meta.new", ".frame.data.new"];
/// How long files may be in disorder: a server that exchanges a pair is between its two renames for microseconds.
const SETTLING: Duration = Duration::from_millis(500);
const GLANCE: Duration = Duration::from_millis(20);
/// As long as a reader waits before it says "server gone", and a little.
const LIFE: Duration = Duration::from_nanos(HEARTBEAT_LIMIT_NS + 100_000_000);

/// Looks at one camera or at all. The rows of those that are there, and the bytes of the largest pair.
pub(super) fn look(doctor: &mut Doctor, base: &Stat, only: Option<CameraId>) -> (Vec<CameraRow>, u64) {
    let found_before = doctor.findings.len();
    let cameras = match only {
        Some(camera) => directory(doctor, base, camera).into_iter().collect(),
        None => entries(doctor, base),
    };
    if let (Some(camera), true) = (only, cameras.is_empty()) {
        let path = doctor.base.join(camera.as_str());
        if matches!(lstat(&path), Err(Errno::NOENT)) {
            let sentence = format!(
                "{}: not there; the server exports no such camera, or had no picture of it yet",
                shown(&path)
            );
            doctor.find(Fault::CameraMissing, Some(&camera), &path, sentence, "vas-ingest status".to_owned());
        }
    } else if cameras.is_empty() && doctor.findings.len() == found_before {
        let path = doctor.base.clone();
        let sentence = format!(
            "{} holds no camera: the server has no picture of any yet, or does not run",
            shown(&path)
        );
        doctor.find(Fault::NoCameras, None, &path, sentence, "vas-ingest status".to_owned());
    }

    // Only whole pairs are worth the wait for a sign of life.
    let whole: Vec<CameraId> = cameras.iter().copied().filter(|camera| files(doctor, base, camera)).collect();
    let mut rows = Vec::new();
    let mut largest_pair = 0;
    for looked in look::look_for(&doctor.base, &whole, LIFE) {
        let camera = looked.camera;
        let state = match &looked.opened {
            Opened::Ready(reader) => {
                largest_pair = largest_pair.max(reader.header().data_file_size() + PAGE_SIZE as u64);
                let status = looked.status.unwrap_or(Status::Unproven);
                living(doctor, &camera, status);
                status.name()
            }
            Opened::NotYet(why) => {
                let why = why.clone();
                not_there(doctor, &camera, why);
                "not_there"
            }
            Opened::Refused(why) => {
                let why = why.clone();
                refused(doctor, &camera, &why);
                "refused"
            }
        };
        let memory_bytes = list::memory_bytes(&doctor.base, &camera);
        rows.push(CameraRow { camera: camera.to_string(), state, memory_bytes });
    }
    for camera in cameras.iter().filter(|camera| !whole.contains(camera)) {
        let memory_bytes = list::memory_bytes(&doctor.base, camera);
        rows.push(CameraRow { camera: camera.to_string(), state: "not_there", memory_bytes });
    }
    rows.sort_by(|one, other| one.camera.cmp(&other.camera));
    (rows, largest_pair)
}

/// Everything directly beneath the base directory; the cameras among it.
fn entries(doctor: &mut Doctor, base: &Stat) -> Vec<CameraId> {
    let mut names: Vec<_> = std::fs::read_dir(&doctor.base)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    let mut cameras = Vec::new();
    for name in names {
        let path = doctor.base.join(&name);
        let text = name.to_string_lossy();
        let locked = text.strip_prefix('.').and_then(|rest| rest.strip_suffix(".lock"));
        if text == SERVERS_LOCK || locked.is_some_and(|id| CameraId::new(id).is_ok()) {
            lock(doctor, base, &path);
        } else if let Ok(camera) = CameraId::new(&text) {
            cameras.extend(directory(doctor, base, camera));
        } else {
            let sentence = format!("{} is no camera's: the server did not make it", shown(&path));
            doctor.find(Fault::ForeignEntry, None, &path, sentence, remove(&path));
        }
    }
    cameras
}

fn lock(doctor: &mut Doctor, base: &Stat, path: &Path) {
    let Ok(found) = lstat(path) else { return };
    let at = shown(path);
    let trouble = if !FileType::from_raw_mode(found.st_mode).is_file() {
        format!("is a {}", kind(&found))
    } else if found.st_uid != base.st_uid {
        format!("belongs to {} and not to {}", user(found.st_uid), user(base.st_uid))
    } else if found.st_mode & 0o077 != 0 {
        format!("has mode {:04o}: others can hold it, and with it the camera", found.st_mode & 0o7777)
    } else {
        return;
    };
    let sentence = format!("{at} {trouble}; it is the server's lock, a plain file with mode 0600 of its own");
    doctor.find(Fault::SquattedLock, None, path, sentence, remove(path));
}

/// Looks at a camera's directory. The camera, if there is one to look into.
fn directory(doctor: &mut Doctor, base: &Stat, camera: CameraId) -> Option<CameraId> {
    let path = doctor.base.join(camera.as_str());
    let found = lstat(&path).ok()?;
    let at = shown(&path);
    let word = quoted(&path);
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        let sentence = format!("{at} is a {}, where the directory of camera {camera} belongs", kind(&found));
        doctor.find(Fault::SquattedCamera, Some(&camera), &path, sentence, format!("rm {word}"));
        return None;
    }
    let mode = found.st_mode & 0o7777;
    let inherited = base.st_mode & SET_GROUP_ID;
    owner(doctor, base, &camera, &path, &found);
    if mode & OTHERS_WRITE != 0 {
        let sentence = format!(
            "{at} has mode {mode:04o}: others than its owner may write in it, and the server refuses it"
        );
        doctor.find(Fault::DirectoryWritable, Some(&camera), &path, sentence, format!("chmod go-w {word}"));
    } else if mode & 0o007 != 0 || mode & inherited != inherited {
        let wanted = 0o750 | inherited;
        let sentence = format!(
            "{at} has mode {mode:04o} and not {wanted:04o}, which is who may read and which group new files get"
        );
        doctor.find(Fault::DirectoryMode, Some(&camera), &path, sentence, format!("chmod {wanted:o} {word}"));
    }
    wrong_group(doctor, base, &camera, &path, &found);
    match std::fs::read_dir(&path) {
        Ok(entries) => {
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            for name in names.iter().filter(|name| !OWN_NAMES.iter().any(|own| name == own)) {
                let path = path.join(name);
                let sentence = format!(
                    "{} is not the server's: it keeps the directory from being removed with the camera",
                    shown(&path)
                );
                doctor.find(Fault::ForeignEntry, Some(&camera), &path, sentence, remove(&path));
            }
        }
        Err(_) => {
            access_denied(doctor, &path.join(META_NAME), Some(&camera));
            return None;
        }
    }
    Some(camera)
}

/// Compares with the base directory's owner, whom the server insists on, and who is the one that was asked for: no look gets here
/// where he is not. Of what is his nothing is told to be removed.
fn owner(doctor: &mut Doctor, base: &Stat, camera: &CameraId, path: &Path, found: &Stat) {
    if found.st_uid == base.st_uid {
        return;
    }
    let sentence = format!(
        "{} belongs to {}, and not to {}, as the base directory does: somebody else made it, or the server's user has changed",
        shown(path),
        user(found.st_uid),
        user(base.st_uid)
    );
    let fix = if FileType::from_raw_mode(found.st_mode).is_dir() {
        // What else may be in it stays, and then it does too.
        let files = OWN_NAMES.map(|name| quoted(path.join(name)));
        format!("rm -f {} && rmdir {}", files.join(" "), quoted(path))
    } else {
        format!("rm -f {}", quoted(path))
    };
    doctor.find(Fault::ForeignOwner, Some(camera), path, sentence, fix);
}

/// The command that removes what does not belong there. Of a directory with something in it, it asks about each.
fn remove(path: &Path) -> String {
    let word = quoted(path);
    if !lstat(path).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir()) {
        return format!("rm {word}");
    }
    let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty { format!("rmdir {word}") } else { format!("rm -ri {word}") }
}

fn wrong_group(doctor: &mut Doctor, base: &Stat, camera: &CameraId, path: &Path, found: &Stat) {
    // Without the bit each server gives its own group, and no other is meant.
    if base.st_mode & SET_GROUP_ID != 0 && found.st_gid != base.st_gid {
        let wanted = group(base.st_gid);
        let sentence = format!(
            "{} has group {} and not {wanted}, whose members are to read it",
            shown(path),
            group(found.st_gid)
        );
        doctor.find(
            Fault::WrongGroup,
            Some(camera),
            path,
            sentence,
            format!("chgrp {wanted} {}", quoted(path)),
        );
    }
}

/// Looks at a camera's two files. Whether both are there, and are files.
fn files(doctor: &mut Doctor, base: &Stat, camera: &CameraId) -> bool {
    let directory = doctor.base.join(camera.as_str());
    let paths = [META_NAME, DATA_NAME].map(|name| directory.join(name));
    let began = Instant::now();
    let found = loop {
        let found = paths.each_ref().map(lstat);
        // A server that is just starting gives the one its name and then the other.
        if found[0].is_ok() == found[1].is_ok() || began.elapsed() >= SETTLING {
            break found;
        }
        std::thread::sleep(GLANCE);
    };
    let mut are_files = true;
    for (path, found) in paths.iter().zip(&found) {
        let Ok(found) = found else { continue };
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            are_files = false;
            let sentence =
                format!("{} is a {}, where a file of the server's belongs", shown(path), kind(found));
            doctor.find(Fault::SquattedFile, Some(camera), path, sentence, remove(path));
            continue;
        }
        owner(doctor, base, camera, path, found);
        let mode = found.st_mode & 0o7777;
        // A file that its group may not read is told when it cannot be opened: by who is kept out, and as an error.
        if mode != 0o640 && mode & 0o040 != 0 {
            let sentence = format!("{} has mode {mode:04o} and not 0640", shown(path));
            doctor.find(Fault::FileMode, Some(camera), path, sentence, format!("chmod 640 {}", quoted(path)));
        } else if mode & 0o040 == 0 {
            let sentence = format!("{} has mode {mode:04o}: its group may not read it", shown(path));
            doctor.find(
                Fault::NoGroupAccess,
                Some(camera),
                path,
                sentence,
                format!("chmod 640 {}", quoted(path)),
            );
        }
        wrong_group(doctor, base, camera, path, found);
    }
    match (found[0].is_ok(), found[1].is_ok()) {
        (true, true) => are_files,
        (false, false) => {
            let sentence = format!(
                "{}: no files; the camera has sent no picture since the server started, or it was stopped, or there was no room (the server's log says which)",
                shown(&directory)
            );
            doctor.find(
                Fault::CameraNotExported,
                Some(camera),
                &directory,
                sentence,
                "vas-ingest status".to_owned(),
            );
            false
        }
        (has_meta, _) => {
            let (there, missing) = if has_meta { (META_NAME, DATA_NAME) } else { (DATA_NAME, META_NAME) };
            let path = directory.join(there);
            let sentence = format!(
                "{} stands there without {missing}: somebody removed the other; a server that lives makes both anew within a second",
                shown(&path)
            );
            doctor.find(Fault::HalfPair, Some(camera), &path, sentence, format!("rm -f {}", quoted(&path)));
            false
        }
    }
}

fn living(doctor: &mut Doctor, camera: &CameraId, status: Status) {
    let path = doctor.base.join(camera.as_str());
    let at = shown(&path);
    match status {
        Status::Unproven | Status::ServerGone => match holder(&doctor.base, camera) {
            Some(process) => {
                let is_stopped = is_stopped(process);
                let how = if is_stopped {
                    "it was stopped by a signal"
                } else {
                    "it hangs, or gets no processor time"
                };
                let sentence =
                    format!("{at}: no sign of life for 3 s, and process {process} holds the camera: {how}");
                let fix = match (is_stopped, &doctor.unit) {
                    (true, _) => format!("kill -CONT {process}"),
                    (false, Some(_)) => doctor.restart(),
                    // Nothing else ends it, and as long as it is there it keeps the camera from its successor.
                    (false, None) => format!("kill -9 {process}; {}", doctor.restart()),
                };
                doctor.find(Fault::ServerHangs, Some(camera), &path, sentence, fix);
            }
            None if !sees_processes() => silent(doctor, camera, &path, "no sign of life for 3 s"),
            None => {
                let sentence = format!(
                    "{at}: no sign of life for 3 s; the server was killed, and what stands there is its last picture (its next start removes it)"
                );
                let fix = match doctor.unit {
                    Some(_) => doctor.restart(),
                    None => remove_pair(&path),
                };
                doctor.find(Fault::StalePair, Some(camera), &path, sentence, fix);
            }
        },
        Status::Stalled => {
            let sentence = format!("{at}: the server lives and has lost the camera; it tries to get it back");
            doctor.find(Fault::CameraStalled, Some(camera), &path, sentence, "vas-ingest status".to_owned());
        }
        _ => {}
    }
}

fn not_there(doctor: &mut Doctor, camera: &CameraId, why: Absent) {
    let began = Instant::now();
    let mut why = why;
    // What is just being exchanged, stopped or asked for leases passes by itself.
    while began.elapsed() < SETTLING {
        std::thread::sleep(GLANCE);
        match open(&doctor.base, camera, &Options::new()) {
            Opened::NotYet(still) => why = still,
            Opened::Ready(_) => return,
            Opened::Refused(why) => return refused(doctor, camera, &why),
        }
    }
    let path = doctor.base.join(camera.as_str());
    match &why {
        Absent::Header { why: NotYet::MixedPair { .. }, .. } => {
            let sentence = format!(
                "{why}; somebody replaced one of them: a server that lives makes both anew within a second"
            );
            doctor.find(Fault::MixedPair, Some(camera), &path, sentence, remove_pair(&path));
        }
        Absent::Header { .. } if !sees_processes() => silent(doctor, camera, &path, &why.to_string()),
        Absent::Header { .. } => {
            let sentence = format!(
                "{why}, and its files are still there: the server ended in between (its next start removes them)"
            );
            doctor.find(Fault::StalePair, Some(camera), &path, sentence, remove_pair(&path));
        }
        // The camera was stopped while this looked.
        _ => {
            doctor.find(
                Fault::CameraNotExported,
                Some(camera),
                &path,
                why.to_string(),
                "vas-ingest status".to_owned(),
            );
        }
    }
}

fn refused(doctor: &mut Doctor, camera: &CameraId, why: &Refused) {
    let directory = doctor.base.join(camera.as_str());
    match why {
        Refused::Header { path, why: field } => {
            let sentence = format!(
                "{why} (field {}): no server of this format wrote it, or somebody wrote over it",
                field.field()
            );
            doctor.find(Fault::HeaderRefused, Some(camera), path, sentence, remove_pair(&directory));
        }
        Refused::Access { path, .. } => access_denied(doctor, path, Some(camera)),
        Refused::NotRegular { path, .. } => {
            let sentence = why.to_string();
            doctor.find(Fault::SquattedFile, Some(camera), path, sentence, remove(path));
        }
        other => {
            let fix = format!("namei -l {}", quoted(directory.join(META_NAME)));
            doctor.find(Fault::CameraUnreadable, Some(camera), &directory, other.to_string(), fix);
        }
    }
}

/// The camera is held or not; it is for the host to say which.
fn silent(doctor: &mut Doctor, camera: &CameraId, path: &Path, what: &str) {
    let sentence = format!(
        "{}: gives no sign of life ({what}); who holds it cannot be seen from here, which has process numbers of its own",
        shown(path)
    );
    let fix = format!("vas-frames doctor --base {} {camera}   # on the host", quoted(&doctor.base));
    doctor.find(Fault::ServerSilent, Some(camera), path, sentence, fix);
}

/// Whether this is the first namespace of processes, from which all are seen: in any other, /proc/locks leaves out the locks of the
/// processes that are not in it.
fn sees_processes() -> bool {
    /// What the kernel always gives that one (include/linux/proc_ns.h, `PROC_PID_INIT_INO`).
    const FIRST: u64 = 0xEFFF_FFFC;
    // Where there is none the kernel has no such namespaces.
    std::fs::metadata("/proc/self/ns/pid").map_or(true, |found| found.ino() == FIRST)
}

/// A server that lives notices and makes new files; one that is gone leaves nothing behind then.
fn remove_pair(directory: &Path) -> String {
    let [meta, data]: [PathBuf; 2] = [META_NAME, DATA_NAME].map(|name| directory.join(name));
    format!("rm -f {} {}", quoted(&meta), quoted(&data))
}

/// The process that holds a camera's lock, as far as the kernel tells here: it says nothing of other process namespaces.
fn holder(base: &Path, camera: &CameraId) -> Option<u32> {
    let found = lstat(base.join(format!(".{camera}.lock"))).ok()?;
    let (major, minor) = (rustix::fs::major(found.st_dev), rustix::fs::minor(found.st_dev));
    let inode = format!("{major:02x}:{minor:02x}:{}", found.st_ino);
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let pid = held
        .filter(|words| words.get(1) == Some(&"FLOCK"))
        .find(|words| words.get(5) == Some(&inode.as_str()))?[4];
    pid.parse().ok().filter(|&pid| pid > 0)
}

fn is_stopped(process: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything but ends with the last parenthesis.
    let state = text.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}
