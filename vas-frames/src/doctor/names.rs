//! Users, groups and words for a shell.

use rustix::process::{getegid, geteuid, getgroups};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Who runs the doctor, by the numbers that count for files.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

impl Caller {
    pub(super) fn current() -> Self {
        let groups = getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups }
    }

    pub(super) fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    pub(super) fn name(&self) -> String {
        user(self.uid)
    }
}

/// A line of a database of names, through whatever this machine looks them up with. `None` where there is no such number, or
/// no such program, as in a small container.
fn entry(database: &str, key: &str) -> Option<Vec<String>> {
    let command =
        Command::new("getent").args([database, key]).stderr(Stdio::null()).stdin(Stdio::null()).output();
    let output = command.ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?;
    Some(line.lines().next()?.split(':').map(str::to_owned).collect())
}

/// The name of a user, or the number.
pub(super) fn user(uid: u32) -> String {
    entry("passwd", &uid.to_string()).map_or_else(|| uid.to_string(), |fields| fields[0].clone())
}

/// The number of a user, who may be given by a number too; `None` where nobody has that name.
pub(super) fn user_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| entry("passwd", name)?.get(2)?.parse().ok())
}

/// Whether a group has that name.
pub(super) fn is_group(name: &str) -> bool {
    entry("group", name).is_some()
}

/// The group that a user has of himself.
pub(super) fn primary_group(uid: u32) -> Option<u32> {
    entry("passwd", &uid.to_string())?.get(3)?.parse().ok()
}

/// The name of a group, or the number.
pub(super) fn group(gid: u32) -> String {
    entry("group", &gid.to_string()).map_or_else(|| gid.to_string(), |fields| fields[0].clone())
}

/// Whether the database of groups has the user in it, which counts from the next login on.
pub(super) fn is_member(user: &str, gid: u32) -> bool {
    let members = entry("group", &gid.to_string()).and_then(|fields| fields.get(3).cloned());
    members.is_some_and(|members| members.split(',').any(|member| member == user))
}

/// Whether a terminal would take it for something else than a letter: a control character, or one that turns the direction of what
/// stands around it.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text for a terminal: whoever names a file must not be able to write there what he likes.
pub(super) fn printable(text: &str) -> String {
    shown(text)
}

/// A path for a sentence: control characters, and bytes that are no UTF-8, as escapes.
pub(super) fn shown(path: impl AsRef<Path>) -> String {
    let mut shown = String::new();
    for chunk in path.as_ref().as_os_str().as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                _ if !is_unprintable(letter) => shown.push(letter),
                '\n' | '\t' | '\r' => shown.extend(letter.escape_default()),
                _ if letter.is_ascii() => push_byte(&mut shown, letter as u8),
                _ => shown.extend(letter.escape_unicode()),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut shown, byte));
    }
    shown
}

fn push_byte(text: &mut String, byte: u8) {
    // Writing into a string does not fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// A path as one word of a command. One that cannot be printed is written as bytes, in the quotes of bash, zsh, ksh and busybox: that
/// of a name is the file which is meant, whatever the terminal's encoding.
pub(super) fn quoted(path: impl AsRef<Path>) -> String {
    let bytes = path.as_ref().as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(is_plain) => text.to_owned(),
        Ok(text) if !text.chars().any(is_unprintable) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut word = String::from("$'");
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => word.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => word.push(char::from(byte)),
                    _ => push_byte(&mut word, byte),
                }
            }
            word + "'"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word_of_a_command() {
        assert_eq!(quoted(Path::new("/dev/shm/vas/front-1")), "/dev/shm/vas/front-1");
        for path in ["", "a b", "it's", "$(reboot)", "a;b", "~", "*"] {
            let echoed =
                Command::new("sh").args(["-c", &format!("printf %s {}", quoted(Path::new(path)))]).output();
            assert_eq!(echoed.expect("a shell").stdout, path.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_printed_is_one_word_of_printable_bytes() {
        for name in [&b"a\nb"[..], b"\x1b[2Jx", b"\xff'\\0", "gr\u{202e}en \u{fc}".as_bytes(), b"\x7f\xc3"] {
            let path = Path::new(std::ffi::OsStr::from_bytes(name));
            let word = quoted(path);
            assert!(word.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{word}");
            let echoed = Command::new("bash").args(["-c", &format!("printf %s {word}")]).output();
            assert_eq!(echoed.expect("bash").stdout, name, "{word}");
            assert!(!shown(path).chars().any(is_unprintable), "{}", shown(path));
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(b"a\nb\x1b[2J\xff \xc3\xbc"));
        assert_eq!(shown(path), "a\\nb\\x1b[2J\\xff \u{fc}");
    }

    #[test]
    fn root_has_a_name_and_a_group_and_an_unknown_number_stays_one() {
        assert_eq!((user(0).as_str(), group(0).as_str(), primary_group(0)), ("root", "root", Some(0)));
        assert_eq!((user(3_999_999_999), primary_group(3_999_999_999)), ("3999999999".to_owned(), None));
    }
}
