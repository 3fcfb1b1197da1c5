//! `cargo xtask test`: everything a proof needs, then every test of the workspace and the proof without std.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{clips, no_std, run, setup, ui};

/// Set-up, clips, build, tests; `args` go to `cargo test`.
///
/// Continuous integration names a directory in shared memory for what this run makes there. Root on a machine that was set up
/// can run every test, so there a test that is skipped is one that was lost, and fails.
pub(crate) fn command(workspace: &Workspace, args: &[String], ci: Option<&Path>) -> Outcome {
    setup::run(setup::Level::Test)?;
    let clips = clips::make(workspace, clips::Wanted::All)?;

    ui::stage("Programs and libraries that the tests start and link");
    run::step(workspace.cargo().args(["build", "--workspace", "--bins"]))?;
    run::step(workspace.cargo().args(["build", "-p", "vas-shm-writer-c", "--lib"]))?;
    run::step(workspace.cargo().args(["build", "-p", "vas-shm-writer", "--example", "test_pattern"]))?;
    run::step(workspace.cargo().args([
        "build",
        "-p",
        "gst-plugin-vasframes",
        "--lib",
        "--example",
        "gst_watch",
    ]))?;

    ui::stage("Tests of the workspace");
    let mut command = workspace.cargo();
    command.arg("test");
    // A selection of the person's own takes the place of "all".
    let selects = |arg: &String| arg == "-p" || arg == "--package" || arg.starts_with("--package=");
    if !args.iter().take_while(|arg| *arg != "--").any(selects) {
        command.arg("--workspace");
    }
    command.args(args).env("VAS_CLIPS", &clips);
    if let Some(shared_memory) = ci {
        command.env("VAS_TEST_SHM", shared_memory);
        if rustix::process::geteuid().is_root() {
            command.env("VAS_NO_SKIP", "1");
        }
    }
    let counts = counted(&mut command)?;

    no_std::prove(workspace)?;
    ui::stage("Result");
    // Stands alone on its line, so that a program can read it too.
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.ignored);
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty());
        let mut before = words.next().unwrap_or_default();
        for word in words {
            if let Ok(number) = before.parse::<u64>() {
                match word {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
            }
            before = word;
        }
    }
}

/// Runs `cargo test`, hands its output on line by line, and adds up the results.
fn counted(command: &mut Command) -> Outcome<Counts> {
    ui::note(&format!("$ {}", run::shown(command)));
    if std::io::stdout().is_terminal() {
        // cargo and the tests see a pipe; the person sees the terminal behind it.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child =
        command.stdout(Stdio::piped()).spawn().context(|| format!("start {}", run::shown(command)))?;
    let mut counts = Counts::default();
    let stdout = child.stdout.take().ok_or_else(|| Failure::new("cargo test has no output"))?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context(|| "read the output of cargo test".into())?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    let status = child.wait().context(|| "wait for cargo test".into())?;
    if status.success() {
        return Ok(counts);
    }
    Err(Failure::with_code(format!("`{}` ended with {status}", run::shown(command)), status.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_test_programs_are_added_up() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        counts.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.10s");
        assert_eq!(counts, Counts { passed: 5, failed: 1, ignored: 1 });
    }
}
