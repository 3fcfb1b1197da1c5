//! `cargo xtask api`: the public interfaces of the crates that are for publication, as text under `docs/api`, so that a break
//! of one is seen in review.
//!
//! rustdoc writes an interface as JSON, which is a feature of nightly toolchains that `RUSTC_BOOTSTRAP` opens on a stable one
//! too; `xtask/api` (a crate of its own, so that nothing here has to wait for it) makes lines of it. The JSON has a version
//! that changes every few releases of Rust: where the toolchain writes another than `xtask/api` reads, this is skipped.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Subcommand;
use serde_json::Value;

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::package::PUBLISHED;
use crate::workspace::Workspace;
use crate::{run, ui};

/// Where the listings stand.
const FOLDER: &str = "docs/api";
/// The version of rustdoc's JSON that `xtask/api` reads; to be changed with the version of `public-api` in its Cargo.toml.
const JSON_VERSION: u64 = 57;
/// Lines of a difference that are shown; `git diff` after a bless shows all.
const LINES_SHOWN: usize = 40;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Compare the public interfaces with docs/api
    Check,
    /// Write them there
    Bless,
}

/// One verb; fails where nothing can be said because the toolchain does not fit.
pub(crate) fn command(workspace: &Workspace, verb: &Verb) -> Outcome {
    match apply(workspace, verb)? {
        Verdict::Passed => Ok(()),
        Verdict::Skipped(reason) => {
            Err(Failure::new(format!("the interfaces cannot be listed here: {reason}")))
        }
    }
}

/// The same check for CI, where a toolchain that does not fit is no failure.
pub(crate) fn check(workspace: &Workspace) -> Outcome<Verdict> {
    apply(workspace, &Verb::Check)
}

fn apply(workspace: &Workspace, verb: &Verb) -> Outcome<Verdict> {
    ui::stage("Public interfaces");
    let target = workspace.target.join("api");
    let mut files = Vec::new();
    for name in PUBLISHED {
        files.push((name, json(workspace, name, &target)?));
    }
    for (_, file) in &files {
        let found = json_version(file)?;
        if found != JSON_VERSION {
            let reason = format!(
                "this toolchain writes version {found} of rustdoc's JSON, xtask/api reads version {JSON_VERSION}"
            );
            ui::skipped(&reason);
            return Ok(Verdict::Skipped(reason));
        }
    }
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--manifest-path", "xtask/api/Cargo.toml", "--target-dir"]).arg(&target);
    run::behind_ticker("building what lists an interface", &mut build)?;
    let mut changed = Vec::new();
    for (name, file) in &files {
        let listing = run::output(Command::new(target.join("debug/vas-api-listing")).arg(file))?;
        let shown = format!("{FOLDER}/{name}.txt");
        let path = workspace.root.join(&shown);
        match verb {
            Verb::Bless => {
                fs::create_dir_all(workspace.root.join(FOLDER)).context(|| format!("make {FOLDER}"))?;
                fs::write(&path, listing).context(|| format!("write {}", path.display()))?;
                ui::good(&format!("wrote {shown}: look at it with `git diff` before you commit it"));
            }
            Verb::Check => {
                let golden = match fs::read_to_string(&path) {
                    Ok(text) => text,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                    Err(error) => return Err(error).context(|| format!("read {}", path.display())),
                };
                let difference = Difference::between(&golden, &listing);
                if difference.is_empty() {
                    ui::good(&format!("{name}: {} lines, as in {shown}", listing.lines().count()));
                } else {
                    ui::bad(&format!("{name} is not what {shown} says"));
                    difference.show();
                    changed.push(difference.sentence(name));
                }
            }
        }
    }
    if changed.is_empty() {
        return Ok(Verdict::Passed);
    }
    Err(Failure::new(format!(
        "{}: undo the change, or, if it is meant, `cargo xtask api bless` and say it in CHANGELOG.md",
        changed.join("; ")
    )))
}

/// Has rustdoc write the interface of one crate; gives the file.
fn json(workspace: &Workspace, name: &str, target: &std::path::Path) -> Outcome<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["rustdoc", "--locked", "--lib", "--all-features", "-p", name, "--target-dir"]).arg(target);
    command.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    command.env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO_BUILD_TARGET");
    run::behind_ticker(&format!("writing the interface of {name} as JSON"), &mut command)?;
    Ok(target.join("doc").join(format!("{}.json", name.replace('-', "_"))))
}

fn json_version(file: &PathBuf) -> Outcome<u64> {
    let text = fs::read_to_string(file).context(|| format!("read {}", file.display()))?;
    let json: Value = serde_json::from_str(&text).context(|| format!("read {}", file.display()))?;
    json["format_version"]
        .as_u64()
        .ok_or_else(|| Failure::new(format!("{} does not say which version it is", file.display())))
}

/// What an interface lost and gained, against its listing.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    gone: Vec<&'a str>,
    new: Vec<&'a str>,
}

impl<'a> Difference<'a> {
    fn between(golden: &'a str, listing: &'a str) -> Self {
        // Counted, not merely looked for: two equal lines are two items.
        let less = |these: &'a str, those: &str| {
            let mut others: Vec<&str> = those.lines().collect();
            these
                .lines()
                .filter(|line| match others.iter().position(|other| other == line) {
                    Some(place) => {
                        others.swap_remove(place);
                        false
                    }
                    None => true,
                })
                .collect()
        };
        Self { gone: less(golden, listing), new: less(listing, golden) }
    }

    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    fn show(&self) {
        let lines = self.gone.iter().map(|line| format!("- {line}"));
        let lines: Vec<_> = lines.chain(self.new.iter().map(|line| format!("+ {line}"))).collect();
        lines.iter().take(LINES_SHOWN).for_each(|line| ui::note(line));
        if lines.len() > LINES_SHOWN {
            ui::note(&format!("... and {} lines more", lines.len() - LINES_SHOWN));
        }
    }

    fn sentence(&self, name: &str) -> String {
        if self.gone.is_empty() {
            format!("{name} gained {} items, which is compatible", self.new.len())
        } else {
            format!(
                "{name} lost or changed {} items, which breaks who uses them and asks for a new incompatible version",
                self.gone.len()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_told_apart_from_what_is_new() {
        let golden = "pub fn a()\npub fn b()\npub fn b()\n";
        assert!(Difference::between(golden, golden).is_empty());
        let gained = Difference::between(golden, "pub fn a()\npub fn b()\npub fn b()\npub fn c()\n");
        assert_eq!(gained, Difference { gone: vec![], new: vec!["pub fn c()"] });
        assert!(gained.sentence("x").contains("compatible"), "{gained:?}");
        let lost = Difference::between(golden, "pub fn a()\npub fn b()\n");
        assert_eq!(lost, Difference { gone: vec!["pub fn b()"], new: vec![] });
        assert!(lost.sentence("x").contains("breaks"), "{lost:?}");
    }
}
