//! Starting other programs: shown with their whole command line, never through a shell.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::failure::{Context, Failure, Outcome};
use crate::ui;

/// Lines of a quiet program's output that are shown when it fails.
const LINES_KEPT: usize = 60;

/// The cargo that runs this xtask.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where a program stands on PATH, if it does.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_string_lossy(), value?)))
        // Addresses of the host's proxies and package indexes; there may be a password in one.
        .filter(|(name, _)| name != "HOST_ENVIRONMENT")
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    words.push(quoted(program));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("start {}", Path::new(command.get_program()).display())
}

/// Shows the command, lets it use this terminal, and fails with its exit code.
pub(crate) fn step(command: &mut Command) -> Outcome {
    ui::note(&format!("$ {}", shown(command)));
    let status = command.status().context(|| cannot_start(command))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::with_code(format!("`{}` ended with {status}", shown(command)), status.code()))
}

/// Runs the command and gives what it wrote to stdout; what it wrote to stderr is in the failure.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().context(|| cannot_start(command))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::with_code(
            format!("`{}` ended with {}: {}", shown(command), output.status, stderr.trim()),
            output.status.code(),
        ));
    }
    String::from_utf8(output.stdout).context(|| format!("output of `{}`", shown(command)))
}

/// Whether the program can be started and ends with success; nothing is shown.
pub(crate) fn succeeds<I: IntoIterator<Item = S>, S: Into<OsString>>(program: &str, args: I) -> bool {
    Command::new(program)
        .args(args.into_iter().map(Into::into))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a talkative program behind one moving line; gives its last lines, which are shown only when it fails.
pub(crate) fn behind_ticker(what: &str, command: &mut Command) -> Outcome<VecDeque<String>> {
    watched(what, command, |_| {})
}

/// The same, with a look at every line as it comes.
pub(crate) fn watched(
    what: &str,
    command: &mut Command,
    mut look: impl FnMut(&str),
) -> Outcome<VecDeque<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| cannot_start(command))?;
    let (lines, received) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for pipe in pipes.into_iter().flatten() {
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    drop(lines);

    let mut ticker = ui::Ticker::start(what);
    let mut kept = VecDeque::new();
    let mut newest = String::new();
    loop {
        match received.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                look(&line);
                newest.clone_from(&line);
                kept.push_back(line);
                if kept.len() > LINES_KEPT {
                    kept.pop_front();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        ticker.tick(&newest);
    }
    let status = child.wait().context(|| format!("wait for `{}`", shown(command)))?;
    if status.success() {
        ticker.end("done");
        return Ok(kept);
    }
    ticker.end("failed");
    for line in kept {
        ui::note(&format!("| {line}"));
    }
    Err(Failure::with_code(format!("`{}` ended with {status}", shown(command)), status.code()))
}

/// Asks again until the answer is there or the time is over.
pub(crate) fn wait_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "two words", "it's"]).env("VAS_CLIPS", "/clips");
        assert_eq!(shown(&command), r"VAS_CLIPS=/clips cargo test 'two words' 'it'\''s'");
    }

    #[test]
    fn a_failed_step_passes_its_exit_code_on() {
        let failure = output(Command::new("sh").args(["-c", "echo why >&2; exit 7"])).unwrap_err();
        assert_eq!(failure.code, 7);
        assert!(failure.sentence.contains("why"), "{failure}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let failure = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(failure.sentence.starts_with("start no-such-program-here: "), "{failure}");
    }
}
