//! `cargo xtask msrv`: every crate is checked with the very Rust that its `rust-version` promises.
//!
//! A rustup toolchain of that version is used if one is installed; none is installed here. Otherwise Debian's packages of that
//! version are unpacked (not installed, so no root is needed) into `<target>/msrv`. Where there is neither, this is skipped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

/// The compiler, cargo and the standard library, in Debian's names for what it builds web browsers with.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev"];

/// Checks with every version that can be had; fails when there is none at all.
pub(crate) fn command(workspace: &Workspace) -> Outcome {
    match check(workspace)? {
        Verdict::Passed => Ok(()),
        Verdict::Skipped(reason) if reason.starts_with(PARTLY) => Ok(()),
        Verdict::Skipped(reason) => Err(Failure::new(format!("nothing was checked: {reason}"))),
    }
}

/// How the reason begins when some versions were checked and others were not.
const PARTLY: &str = "in part";

/// The same for CI, where a machine without such a Rust is no failure.
pub(crate) fn check(workspace: &Workspace) -> Outcome<Verdict> {
    ui::stage("The oldest Rust that each crate promises");
    let mut missing = Vec::new();
    let mut checked = Vec::new();
    for (version, members) in promises(workspace)? {
        match Toolchain::find(workspace, &version)? {
            Ok(toolchain) => {
                toolchain.check(workspace, &version, &members)?;
                ui::good(&format!("{} build with {}", members.join(", "), toolchain.name));
                checked.push(version);
            }
            Err(why) => {
                let reason = format!("no Rust {version} for {}: {why}", members.join(", "));
                ui::skipped(&reason);
                missing.push(reason);
            }
        }
    }
    Ok(match (missing.is_empty(), checked.is_empty()) {
        (true, _) => Verdict::Passed,
        (false, true) => Verdict::Skipped(missing.join("; ")),
        (false, false) => Verdict::Skipped(format!("{PARTLY}: {}", missing.join("; "))),
    })
}

/// The versions that members promise, each with the members that promise it.
fn promises(workspace: &Workspace) -> Outcome<BTreeMap<String, Vec<String>>> {
    let metadata = ["metadata", "--locked", "--no-deps", "--format-version", "1"];
    let text = run::output(workspace.cargo().args(metadata))?;
    let metadata: Value = serde_json::from_str(&text).context(|| "answer of cargo metadata".into())?;
    let mut promises = BTreeMap::<_, Vec<_>>::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| {
            let value = package[key].as_str().map(ToOwned::to_owned);
            value.ok_or_else(|| Failure::new(format!("{} states no {key}", package["name"])))
        };
        promises.entry(text("rust_version")?).or_default().push(text("name")?);
    }
    Ok(promises)
}

/// A cargo and a rustc of one version.
struct Toolchain {
    /// As the compiler calls itself.
    name: String,
    /// The program and its first arguments.
    cargo: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Toolchain {
    /// The toolchain, or why there is none.
    fn find(workspace: &Workspace, version: &str) -> Outcome<Result<Self, String>> {
        if let Some(toolchain) = Self::of_rustup(version) {
            return Ok(Ok(toolchain));
        }
        let programs = ["apt-get", "apt-cache", "dpkg-deb"];
        if let Some(missing) = programs.iter().find(|program| run::which(program).is_none()) {
            return Ok(Err(format!("rustup has none, and Debian's cannot be had without {missing}")));
        }
        let offered = run::output(Command::new("apt-cache").args(["madison", PACKAGES[0]]));
        let offered = offered.unwrap_or_default();
        let mut offered = offered.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim()));
        match offered.find(|full| is_of(full, version)) {
            Some(full) => Self::of_debian(workspace, version, full),
            None => Ok(Err(format!("rustup has none, and apt-get offers no {} {version}", PACKAGES[0]))),
        }
    }

    fn of_rustup(version: &str) -> Option<Self> {
        let list = run::output(Command::new("rustup").args(["toolchain", "list"])).ok()?;
        let name = list.lines().filter_map(|line| line.split_whitespace().next());
        let toolchain = name.into_iter().find(|name| is_of(name, version))?;
        let words = ["rustup", "run", toolchain, "cargo"];
        Some(Self {
            name: format!("rustup's {toolchain}"),
            cargo: words.into_iter().map(OsString::from).collect(),
            variables: Vec::new(),
        })
    }

    fn of_debian(workspace: &Workspace, version: &str, full: &str) -> Outcome<Result<Self, String>> {
        let folder = workspace.target.join("msrv");
        let root = folder.join(format!("debian-{}", full.replace([':', '/'], "_")));
        if !root.is_dir() {
            // No network, or lists of packages that are older than what the mirror has.
            if let Err(failure) = unpack(full, &folder, &root) {
                return Ok(Err(format!("Debian's could not be fetched: {failure}")));
            }
        }
        let libraries: Vec<_> = ["lib/*-linux-gnu", "usr/lib/*-linux-gnu"]
            .iter()
            .filter_map(|pattern| glob::glob(&root.join(pattern).to_string_lossy()).ok())
            .flatten()
            .filter_map(Result::ok)
            .collect();
        let libraries = std::env::join_paths(libraries).context(|| "name the libraries' folders".into())?;
        let rustc = root.join("usr/bin/rustc");
        let name = run::output(Command::new(&rustc).arg("--version").env("LD_LIBRARY_PATH", &libraries))?;
        if !name.strip_prefix("rustc ").is_some_and(|number| is_of(number, version)) {
            return Err(Failure::new(format!("{} is {}, not {version}", rustc.display(), name.trim())));
        }
        Ok(Ok(Self {
            name: format!("Debian's {}", name.trim()),
            cargo: vec![root.join("usr/bin/cargo").into()],
            variables: vec![("LD_LIBRARY_PATH", libraries), ("RUSTC", rustc.into())],
        }))
    }

    fn check(&self, workspace: &Workspace, version: &str, members: &[String]) -> Outcome {
        let mut command = Command::new(&self.cargo[0]);
        command.current_dir(&workspace.root).args(&self.cargo[1..]);
        // The outer cargo's own variables would bring its own compiler back.
        for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("CARGO_INCREMENTAL", "0");
        command.args(["check", "--locked", "--all-targets", "--target-dir"]);
        command.arg(workspace.target.join("msrv").join(version));
        command.args(members.iter().flat_map(|member| ["-p", member]));
        run::behind_ticker(&format!("checking {} crates with Rust {version}", members.len()), &mut command)
            .map(drop)
    }
}

/// Whether a name such as `1.85.0-x86_64-unknown-linux-gnu` or `1.85.0+dfsg3-1` belongs to a version such as `1.85`.
fn is_of(name: &str, version: &str) -> bool {
    name.strip_prefix(version).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Fetches what apt would install, and all that this machine lacks for it, and unpacks it into a folder.
fn unpack(full: &str, folder: &Path, root: &Path) -> Outcome {
    let fail = |what: &str| format!("{what} under {}", folder.display());
    fs::create_dir_all(folder).context(|| fail("make the folder"))?;
    // Renamed at the end, so that a run that was interrupted leaves nothing that looks whole.
    let work = tempfile::tempdir_in(folder).context(|| fail("make a folder"))?;
    let archives = work.path().join("archives");
    fs::create_dir_all(archives.join("partial")).context(|| fail("make a folder"))?;
    let mut option = OsString::from("Dir::Cache::archives=");
    option.push(&archives);
    let mut command = Command::new("apt-get");
    command.args(["install", "--download-only", "-y", "--no-install-recommends", "-o"]).arg(option);
    // Nothing is installed, so nobody needs to be kept out; as an ordinary user the lock could not be had anyway.
    command.args(["-o", "Debug::NoLocking=true"]);
    command.args(PACKAGES.map(|package| format!("{package}={full}")));
    run::behind_ticker(&format!("fetching Debian's Rust {full}"), &mut command)?;
    let unpacked = work.path().join("root");
    for package in glob::glob(&archives.join("*.deb").to_string_lossy()).into_iter().flatten() {
        let package: PathBuf = package.context(|| fail("list the packages"))?;
        run::output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    }
    fs::rename(&unpacked, root).context(|| fail("rename the unpacked packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_not_mistaken_for_a_longer_one() {
        assert!(is_of("1.85", "1.85"));
        assert!(is_of("1.85.1-x86_64-unknown-linux-gnu", "1.85"));
        assert!(is_of("1.85.0+dfsg3-1~deb12u3", "1.85"));
        assert!(!is_of("1.850.0", "1.85"));
        assert!(!is_of("1.96.0+dfsg1-1", "1.85"));
        assert!(!is_of("stable-x86_64-unknown-linux-gnu", "1.85"));
    }
}
