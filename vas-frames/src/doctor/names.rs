//! Users, groups and words for a shell.

use rustix::process::{getegid, geteuid, getgroups};
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

/// A path as one word of a command.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
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
    fn root_has_a_name_and_a_group_and_an_unknown_number_stays_one() {
        assert_eq!((user(0).as_str(), group(0).as_str(), primary_group(0)), ("root", "root", Some(0)));
        assert_eq!((user(3_999_999_999), primary_group(3_999_999_999)), ("3999999999".to_owned(), None));
    }
}
