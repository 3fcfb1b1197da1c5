//! `cargo xtask sanitize`: the Rust tests under AddressSanitizer with LeakSanitizer, the C reader under valgrind.
//!
//! The sanitizers' runtimes come with every Rust toolchain for Linux; the option that switches them on asks for a nightly one,
//! or for a stable one that is told to behave as such, which is what happens here: tests are built so, nothing that is
//! shipped. Each tool is shown a bug first: one that does not notice it proves nothing by its silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::leftovers::Folder;
use crate::process::Process;
use crate::workspace::Workspace;
use crate::{run, setup, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// What continuous integration runs: without FFmpeg's side, and the C reader with a part of the conformance files
    #[arg(long)]
    quick: bool,
    /// Only this one; may be given again
    #[arg(long = "tool", value_enum)]
    tools: Vec<Tool>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// AddressSanitizer and LeakSanitizer, for the tests in Rust
    Asan,
    /// valgrind's memcheck, for the reader in C
    Valgrind,
    /// Miri, for the contract, where a toolchain has it
    Miri,
    /// ThreadSanitizer: says why not
    Tsan,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Asan => "asan",
            Self::Valgrind => "valgrind",
            Self::Miri => "miri",
            Self::Tsan => "tsan",
        }
    }
}

/// Crates without C code, whose tests take a minute.
const QUICK: &[&str] = &["vas-shm-proto", "vas-shm-writer", "vas-shm-reader"];
/// With FFmpeg, of which only what is called from here is looked at, and what it leaves allocated.
const FULL: &[&str] = &["vas-ingest"];

/// How the tests begin that leak on purpose (`mem::forget` of a slot, and so of its share in the pair): they run by themselves,
/// without a look at leaks.
const LEAKS: (&str, &str, &str) = ("vas-shm-writer", "life_of_the_files", "a_slot_that_is_forgotten_");

const VALGRIND: &[&str] =
    &["-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible"];

pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    let folder = Folder::make()?;
    sanitize(workspace, options, folder.path()).map(drop)
}

/// The short form, for CI. What a machine lacks is in the verdict.
pub(crate) fn quick(workspace: &Workspace, shared_memory: &Path) -> Outcome<Verdict> {
    let options = Options { quick: true, tools: vec![Tool::Asan, Tool::Valgrind] };
    sanitize(workspace, &options, shared_memory)
}

fn sanitize(workspace: &Workspace, options: &Options, shared_memory: &Path) -> Outcome<Verdict> {
    ui::stage("Sanitizers");
    let tools = match options.tools.as_slice() {
        [] if options.quick => vec![Tool::Asan, Tool::Valgrind],
        [] => vec![Tool::Asan, Tool::Valgrind, Tool::Miri, Tool::Tsan],
        some => some.to_vec(),
    };
    let mut rows = Vec::new();
    for tool in tools {
        let started = Instant::now();
        let outcome = match tool {
            Tool::Asan => asan(workspace, options.quick, shared_memory),
            Tool::Valgrind => valgrind(workspace, options.quick, shared_memory),
            Tool::Miri => miri(workspace),
            Tool::Tsan => Ok(Verdict::Skipped(
                "std is not built with ThreadSanitizer, and that knows no fences: docs/testing.md, Sanitizers".to_owned(),
            )),
        };
        if let Err(failure) = &outcome {
            ui::bad(&failure.sentence);
        }
        rows.push((tool, started.elapsed(), outcome));
    }
    ui::stage("What the sanitizers said");
    for (tool, time, outcome) in &rows {
        let verdict = match outcome {
            Ok(Verdict::Passed) => "no finding".to_owned(),
            Ok(Verdict::Skipped(why)) => format!("SKIPPED: {why}"),
            Err(failure) => format!("FAILED: {failure}"),
        };
        println!("{:<10} {:>14}  {verdict}", tool.name(), ui::elapsed(*time));
    }
    let mut skipped = Vec::new();
    for (tool, _, outcome) in rows {
        if let Verdict::Skipped(why) = outcome? {
            skipped.push(format!("{}: {why}", tool.name()));
        }
    }
    Ok(if skipped.is_empty() { Verdict::Passed } else { Verdict::Skipped(skipped.join("; ")) })
}

// ---- Rust ---------------------------------------------------------------------------------------------------------------

const ASAN_FLAGS: &str = "-Zsanitizer=address";

/// Reads behind the end of what it allocated; leaks; does neither. The exit codes say which it was.
const RUST_BUG: &str = r#"
fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    let bytes = vec![7_u8; 64];
    if what == "read" {
        let byte = unsafe { std::ptr::read_volatile(bytes.as_ptr().add(std::hint::black_box(64))) };
        println!("{byte}");
    }
    if what == "leak" {
        std::hint::black_box(Box::leak(vec![9_u8; 4096].into_boxed_slice()).len());
    }
}
"#;

fn asan(workspace: &Workspace, quick: bool, shared_memory: &Path) -> Outcome<Verdict> {
    let rustc = |arguments: &[&str]| {
        let mut command = Command::new("rustc");
        command.current_dir(&workspace.root).args(arguments);
        run::output(&mut command)
    };
    let libraries = rustc(&["--print", "target-libdir"])?;
    let pattern = format!("{}/librustc-*_rt.asan.a", libraries.trim());
    if !glob::glob(&pattern).is_ok_and(|mut found| found.any(|path| path.is_ok())) {
        return Ok(Verdict::Skipped("this Rust toolchain comes without AddressSanitizer".to_owned()));
    }
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("rustc -vV names no host"))?;
    setup::run(setup::Level::Demo)?;

    let target = workspace.target.join("sanitize/asan");
    asan_is_awake(&target)?;
    let mut runs = vec![QUICK];
    if !quick {
        runs.push(FULL);
    }
    let (package, file, test) = LEAKS;
    let cargo = || {
        let mut command = workspace.cargo();
        // A folder of its own: other flags would build everything anew each time. With a target named, flags are for the tests alone, and not for build scripts and macros.
        command.args(["test", "--locked", "--target", host, "--target-dir"]).arg(&target);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", ASAN_FLAGS).env("VAS_TEST_SHM", shared_memory);
        command
    };
    for packages in runs {
        let mut command = cargo();
        command.args(["--no-fail-fast", "--quiet", "--lib", "--bins", "--tests"]);
        command.args(packages.iter().flat_map(|package| ["--package", package])).args(["--", "--skip", test]);
        run::step(&mut command)?;
    }
    let mut command = cargo();
    command.args(["--quiet", "--package", package, "--test", file, "--", test]);
    run::step(command.env("ASAN_OPTIONS", "detect_leaks=0"))?;
    Ok(Verdict::Passed)
}

/// A sanitizer that is not switched on finds nothing either.
fn asan_is_awake(target: &Path) -> Outcome {
    let workshop = target.join("bugs");
    let source = workshop.join("bug.rs");
    fs::create_dir_all(&workshop)
        .and_then(|()| fs::write(&source, RUST_BUG))
        .context(|| format!("write {}", source.display()))?;
    let program = workshop.join("bug-rs");
    let mut command = Command::new("rustc");
    command.args(["--edition", "2024", ASAN_FLAGS, "-o"]).arg(&program).arg(&source);
    run::output(command.env("RUSTC_BOOTSTRAP", "1"))?;
    notices("AddressSanitizer", || Command::new(&program), "heap-buffer-overflow", "detected memory leaks")
}

/// Shows three programs in one to a tool: a bad read and a leak that it has to name, and one without a bug.
fn notices(tool: &str, program: impl Fn() -> Command, bad_read: &str, leak: &str) -> Outcome {
    for (bug, words) in [("read", Some(bad_read)), ("leak", Some(leak)), ("none", None)] {
        let mut command = program();
        let output = command.arg(bug).stdin(Stdio::null()).output();
        let output = output.context(|| format!("start `{}`", run::shown(&command)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_right = match words {
            Some(words) => !output.status.success() && said.contains(words),
            None => output.status.success(),
        };
        if !is_right {
            return Err(Failure::new(format!(
                "{tool} was shown a planted bug ({bug}) and ended with {}, saying: {}",
                output.status,
                said.trim()
            )));
        }
    }
    ui::good(&format!("{tool} notices a planted bad read and a planted leak"));
    Ok(())
}

fn miri(workspace: &Workspace) -> Outcome<Verdict> {
    if !run::succeeds("rustup", ["run", "nightly", "cargo", "miri", "--version"]) {
        return Ok(Verdict::Skipped(
            "no nightly toolchain with Miri is installed (`rustup component add miri --toolchain nightly`)"
                .to_owned(),
        ));
    }
    let mut command = Command::new("rustup");
    command.current_dir(&workspace.root);
    // The outer cargo's own variables would make this one a stable cargo again.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO_TARGET_DIR");
    command.args(["run", "nightly", "cargo", "miri", "test", "--locked", "--package", "vas-shm-proto"]);
    // The others need files, or hundreds of thousands of cases.
    command.args(["--lib", "--test", "header_checks", "--test", "algorithm", "--target-dir"]);
    command.arg(workspace.target.join("sanitize/miri"));
    run::step(&mut command)?;
    Ok(Verdict::Passed)
}

// ---- C ------------------------------------------------------------------------------------------------------------------

const C_BUG: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char *volatile bytes = malloc(64);
    if (!bytes)
        return 1;
    memset(bytes, 7, 64);
    if (strcmp(what, "read") == 0)
        printf("%d\n", bytes[64]);
    if (strcmp(what, "leak") != 0)
        free(bytes);
    bytes = NULL;
    return 0;
}
"#;

/// How long a server may take to make its files.
const FILES_LIMIT: Duration = Duration::from_secs(60);

fn valgrind(workspace: &Workspace, quick: bool, shared_memory: &Path) -> Outcome<Verdict> {
    if let Err(failure) = setup::run(setup::Level::Sanitize) {
        return Ok(Verdict::Skipped(format!("there is no valgrind: {failure}")));
    }
    let workshop = workspace.target.join("sanitize/bugs");
    fs::create_dir_all(&workshop).context(|| format!("make {}", workshop.display()))?;
    let bug = workshop.join("bug.c");
    fs::write(&bug, C_BUG).context(|| format!("write {}", bug.display()))?;
    let compile = |source: PathBuf, name: &str| -> Outcome<PathBuf> {
        let to = workshop.join(name);
        let mut command = Command::new("gcc");
        command.current_dir(&workspace.root).args(["-std=c11", "-g", "-O1", "-I", "bindings/c/include"]);
        run::output(command.arg(source).arg("-o").arg(&to))?;
        Ok(to)
    };
    let under = |program: &Path| {
        let mut command = Command::new("valgrind");
        command.current_dir(&workspace.root).args(VALGRIND).arg(program);
        command
    };
    let bug = compile(bug, "bug-c")?;
    notices("valgrind", || under(&bug), "Invalid read of size 1", "definitely lost")?;

    let cargo = |words: &[&str]| run::step(workspace.cargo().args(words));
    cargo(&["build", "--locked", "--quiet", "--package", "vas-interop", "--bin", "vas-vectors"])?;
    cargo(&["build", "--locked", "--quiet", "--package", "vas-e2e", "--bin", "vas-e2e-writer"])?;
    let built = workspace.target.join("debug");

    // The examples, at a server that publishes flat out.
    let base = shared_memory.join("valgrind");
    let mut command = Command::new(built.join("vas-e2e-writer"));
    let mut server = Process::start("vas-e2e-writer", command.arg(&base).args(["front", "8", "steady"]))?;
    let files = base.join("front/frame.meta");
    run::wait_for(FILES_LIMIT, || files.exists().then_some(()))
        .ok_or_else(|| Failure::new(format!("vas-e2e-writer made no {}", files.display())))?;
    for example in ["ten_lines", "grab"] {
        let program = compile(format!("bindings/c/examples/{example}.c").into(), example)?;
        let mut command = under(&program);
        command.arg("front").arg(&base).stdout(Stdio::null());
        run::step(&mut command)?;
    }
    server.close()?;
    // Not a reason to fail: the folder above it goes too.
    let _ = fs::remove_dir_all(&base);

    // The probe, with a process of its own for each conformance file.
    let probe = compile("tests/interop/c/probe.c".into(), "probe")?;
    let mut command = Command::new(built.join("vas-vectors"));
    command.current_dir(&workspace.root).env("VAS_TEST_SHM", shared_memory).arg("run");
    if quick {
        command.args(["--only", QUICK_VECTORS]);
    }
    command.arg("--").arg("valgrind").args(VALGRIND).arg(probe);
    run::step(&mut command)?;
    Ok(Verdict::Passed)
}

/// Of the conformance files, those that change while they are read: they go through every function of the reader.
const QUICK_VECTORS: &str = "wait/";
