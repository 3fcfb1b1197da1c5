//! Any names in a base directory, and any text as a camera's id: what is listed are the directories whose name is an id, and
//! nothing that is no id becomes a path.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use vas_fuzz::stage::directory;
use vas_shm_reader::{CameraId, Opened, Options, cameras, open};

thread_local! {
    static BASE: PathBuf = directory();
}

/// FILE-2.
fn is_id(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    (1..=64).contains(&name.len())
        && plain(&name[0])
        && name.iter().all(|byte| plain(byte) || matches!(byte, b'_' | b'-'))
}

fuzz_target!(|input: &[u8]| {
    BASE.with(|base| {
        // Names are told apart by what no name can hold. The first byte of each says what stands there.
        let mut expected = Vec::new();
        for piece in input.split(|byte| matches!(byte, b'/' | 0)).take(24) {
            let Some((kind, name)) = piece.split_first() else { continue };
            id(name);
            if put(base, *kind, name) && kind % 4 == 0 && is_id(name) {
                expected.push(std::str::from_utf8(name).expect("ASCII").to_owned());
            }
        }
        expected.sort();
        let listed = cameras(base).expect("the directory is there");
        let names: Vec<_> = listed.iter().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(names, expected);
        for camera in listed {
            assert!(matches!(open(base, &camera, &Options::new()), Opened::NotYet(_)));
        }
        for entry in std::fs::read_dir(base).expect("the directory is there") {
            let path = entry.expect("an entry").path();
            let is_directory = path.symlink_metadata().expect("lstat").is_dir();
            let removed = if is_directory { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
            removed.expect("what was made can be removed");
        }
    });
});

/// A text is an id exactly if it fits the pattern; and then it is one component of a path, and reads back.
fn id(name: &[u8]) {
    let Ok(text) = std::str::from_utf8(name) else { return };
    match CameraId::new(text) {
        Ok(id) => {
            assert!(is_id(name), "{text:?}");
            assert_eq!(id.as_str(), text);
            assert_eq!(text.parse(), Ok(id));
            let path = Path::new("/base").join(id.as_str());
            assert_eq!(path.parent(), Some(Path::new("/base")));
        }
        Err(why) => {
            assert!(!is_id(name), "{text:?}");
            // It goes into a log: one line, whatever the text holds.
            assert!(!why.to_string().contains(char::is_control), "{why}");
        }
    }
}

/// A directory, a file, a link to a directory or one to nothing. False if the system takes no such name, or has it already.
fn put(base: &Path, kind: u8, name: &[u8]) -> bool {
    let path = base.join(OsStr::from_bytes(name));
    if name.is_empty() || path.file_name() != Some(OsStr::from_bytes(name)) {
        return false;
    }
    match kind % 4 {
        0 => std::fs::create_dir(&path),
        1 => std::fs::File::create_new(&path).map(drop),
        2 => symlink(base, &path),
        _ => symlink("nowhere", &path),
    }
    .is_ok()
}
