//! The player beneath strace: every system call of the frames' thread while frames are handed over.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Calls by name.
pub(crate) type Calls = BTreeMap<String, u64>;

/// The call that stands before and behind each frame that is handed over.
const MARK: &str = "getppid";

/// strace's words before the player's. Without -f it follows the thread that the program began with, which has the frames.
pub(crate) fn command(output: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(output);
    command
}

/// The calls between the two marks of each of the last `frames` frames: those before them are warm-up.
pub(crate) fn counted(text: &str, frames: u64) -> Result<Calls, String> {
    let names: Vec<&str> = text
        .lines()
        .map(|line| line.split('(').next().unwrap_or_default())
        // Signals and the end are no calls.
        .filter(|name| !name.starts_with(['-', '+']))
        .collect();
    // Before the first mark, between the first two, and so on: what has an odd place is inside of a frame.
    let parts: Vec<&[&str]> = names.split(|name| *name == MARK).collect();
    let marked = parts.len() as u64 / 2;
    if parts.len().is_multiple_of(2) || marked < frames {
        return Err(format!("strace shows {} marks, which is not two for each frame", parts.len() - 1));
    }
    let inside = parts.iter().skip(1).step_by(2).skip((marked - frames) as usize);
    let mut calls = Calls::new();
    for name in inside.copied().flatten() {
        *calls.entry((*name).to_owned()).or_default() += 1;
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "read(3, \"\") = 0\ngetppid() = 7\nwrite(1, \"\") = 0\ngetppid() = 7\nread(3, \"\") = 0\n\
        getppid() = 7\nfcntl(4, F_SETSIG, SIGURG) = 0\n--- SIGURG ---\n\
        fcntl(4, F_SETLEASE, F_WRLCK) = 0\ngetppid() = 7\nread(3, \"\") = 0\n";

    #[test]
    fn calls_inside_of_the_frames_that_count_are_counted_by_name() {
        assert_eq!(counted(WRITTEN, 1), Ok(Calls::from([("fcntl".to_owned(), 2)])));
        assert_eq!(counted(WRITTEN, 2).map(|calls| calls.len()), Ok(2));
    }

    #[test]
    fn a_run_whose_marks_are_not_two_a_frame_is_an_error() {
        assert!(counted("read(3, \"\") = 0\n", 1).is_err());
        assert!(counted(WRITTEN, 3).is_err());
        assert!(counted("getppid() = 7\n", 0).is_err());
    }
}
