//! `cargo xtask deny`: licences, sources, doubled versions and known weaknesses of what this workspace depends on.
//!
//! cargo-deny does the work, by the rules in `deny.toml`; it is installed once into `<target>/tools`. That takes minutes, so CI
//! asks [`quick`] instead: licences and sources, from what cargo itself knows, by the same rules.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

const RULES: &str = "deny.toml";
const CARGO_DENY_VERSION: &str = "0.20.2";
/// What cargo-deny says when the list of weaknesses, a git repository on the network, cannot be fetched.
const NO_LIST: &str = "failed to fetch advisory database";
/// Where everything has to come from; the name of crates.io's index, whatever mirror a machine may use.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Everything; only the list of weaknesses may be out of reach.
pub(crate) fn command(workspace: &Workspace) -> Outcome<Verdict> {
    ui::stage("Licences, sources and known weaknesses of dependencies");
    let cargo_deny = cargo_deny(workspace)?;
    let check = |options: &[&str], what: &[&str]| {
        let mut command = std::process::Command::new(&cargo_deny);
        // It asks the cargo that runs this for the dependencies.
        command.current_dir(&workspace.root).args(["--locked", "--color", "never"]).args(options);
        command.args(["--config", RULES, "check", "--hide-inclusion-graph"]).args(what);
        command
    };
    run::step(&mut check(&["--offline"], &["licenses", "bans", "sources"]))?;
    ui::good("licences, doubled versions and sources are as deny.toml says");
    match run::output(&mut check(&[], &["advisories"])) {
        Ok(_) => {
            ui::good("no known weakness (RustSec)");
            Ok(Verdict::Passed)
        }
        Err(failure) if failure.sentence.contains(NO_LIST) => {
            let reason = "in part: RustSec's list of weaknesses cannot be fetched from here; licences, doubled versions and sources passed";
            ui::skipped(reason);
            Ok(Verdict::Skipped(reason.to_owned()))
        }
        Err(failure) => Err(failure),
    }
}

/// Installs cargo-deny if it is not there; gives the program.
fn cargo_deny(workspace: &Workspace) -> Outcome<PathBuf> {
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        let mut command = workspace.cargo();
        command
            .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY_VERSION, "--root"])
            .arg(&tools);
        ui::note(&format!("$ {}", run::shown(&command)));
        run::behind_ticker("building cargo-deny, once", &mut command)?;
    }
    Ok(program)
}

/// Licences and sources of every dependency, in a second.
pub(crate) fn quick(workspace: &Workspace) -> Outcome {
    ui::stage("Licences and sources of dependencies");
    let path = workspace.root.join(RULES);
    let rules = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let allowed = allowed(&rules);
    if allowed.is_empty() {
        return Err(Failure::new(format!("{RULES} has no list `allow = [` of licences")));
    }
    let metadata = ["metadata", "--locked", "--format-version", "1"];
    let text = run::output(workspace.cargo().args(metadata))?;
    let metadata: Value = serde_json::from_str(&text).context(|| "answer of cargo metadata".into())?;
    let mut problems = Vec::new();
    let mut number = 0;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        number += 1;
        let text = |key: &str| package[key].as_str();
        let name = format!("{} {}", text("name").unwrap_or("?"), text("version").unwrap_or("?"));
        match text("license") {
            Some(licence) if is_allowed(licence, &allowed) => {}
            Some(licence) => problems.push(format!("{name} is licensed {licence}")),
            None => problems.push(format!("{name} names no licence")),
        }
        // A member has no source.
        if let Some(source) = text("source").filter(|source| *source != CRATES_IO) {
            problems.push(format!("{name} comes from {source}"));
        }
    }
    if problems.is_empty() {
        ui::good(&format!("{number} packages have a licence that {RULES} allows and come from crates.io"));
        return Ok(());
    }
    problems.iter().for_each(|problem| ui::bad(problem));
    Err(Failure::new(format!("{} dependencies are not as {RULES} says, see above", problems.len())))
}

/// The licences of the list `allow = [` in the rules.
fn allowed(rules: &str) -> Vec<&str> {
    let list = rules.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether a licence expression can be met: each part joined by AND has one alternative that is allowed.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    // Older manifests write a slash for OR.
    let licence = licence.replace('/', " OR ");
    licence.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|name| allowed.contains(&name.trim_matches(|c| c == '(' || c == ')' || c == ' ')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_weighed_as_their_expressions_say() {
        let allowed =
            allowed("[licenses]\nallow = [\n    \"MIT\",\n    \"Unicode-3.0\",\n]\nx = [\"GPL-3.0\"]\n");
        assert_eq!(allowed, ["MIT", "Unicode-3.0"]);
        for licence in ["MIT", "Apache-2.0 OR MIT", "GPL-3.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(is_allowed(licence, &allowed), "{licence}");
        }
        for licence in ["GPL-3.0", "Apache-2.0 AND MIT", "(Apache-2.0 OR Zlib) AND Unicode-3.0", ""] {
            assert!(!is_allowed(licence, &allowed), "{licence}");
        }
    }
}
