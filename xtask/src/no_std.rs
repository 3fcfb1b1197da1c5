//! The proof that vas-shm-proto needs neither std nor an allocator.
//!
//! `tests/no-std` is a static library with a panic handler of its own. If any crate in its tree linked std, there
//! would be two panic handlers (`duplicate lang item: panic_impl`); if one linked alloc, the allocator would be
//! missing. Both stop the build. Where a target without an operating system is installed it is built for that too.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Outcome;
use crate::workspace::Workspace;
use crate::{run, ui};

/// Targets that have no std at all; any that is installed is used.
const BARE_TARGETS: &[&str] = &["x86_64-unknown-none", "aarch64-unknown-none", "riscv64gc-unknown-none-elf"];

/// Builds `tests/no-std`.
pub(crate) fn prove(workspace: &Workspace) -> Outcome {
    ui::stage("vas-shm-proto without std");
    let build = |target: Option<&str>| {
        let mut command = workspace.cargo();
        command.args(["build", "--locked", "--manifest-path", "tests/no-std/Cargo.toml", "--target-dir"]);
        command.arg(workspace.target.join("no-std"));
        command.args(target.map(|target| format!("--target={target}")));
        run::step(&mut command)
    };
    build(None)?;
    ui::good("links with a panic handler of its own: nothing in its tree links std or alloc");
    let installed: Vec<_> = BARE_TARGETS.iter().filter(|target| is_installed(target)).collect();
    if installed.is_empty() {
        ui::note(
            "no target without std is installed (such as x86_64-unknown-none): the build above is the nearest proof",
        );
    }
    for target in installed {
        build(Some(target))?;
        ui::good(&format!("builds for {target}, which has no std"));
    }
    Ok(())
}

fn is_installed(target: &str) -> bool {
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    PathBuf::from(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir()
}
