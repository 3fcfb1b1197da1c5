//! `cargo xtask release --dry-run`: everything that has to hold before the crates are published and the protocol is tagged.
//!
//! It publishes nothing and tags nothing, and there is no way to have it do so: what leaves the house is done by a person.

use std::fs;

use clap::Args;

use crate::ci::{Step, passes, run_all};
use crate::failure::{Context, Failure, Outcome};
use crate::layout::compiled::VERSION;
use crate::package::{self, PUBLISHED, Tree};
use crate::workspace::Workspace;
use crate::{api, clauses, deny, generate, git, layout, msrv, run, ui, vectors};

#[derive(Args)]
pub(crate) struct Options {
    /// Go through the list and change nothing; the only way there is
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    if !options.dry_run {
        return Err(Failure {
            sentence: "publishing is done by a person: run `cargo xtask release --dry-run`, which ends with what to type"
                .into(),
            code: 2,
        });
    }
    let steps: Vec<Step<'_>> = vec![
        passes("clean tree", || clean_tree(workspace)),
        passes("versions", || versions(workspace)),
        ("layout", Box::new(|| layout::check(workspace))),
        passes("generate", || generate::command(workspace, true)),
        passes("clauses", || clauses::command(workspace)),
        passes("vectors", || vectors::command(workspace, &vectors::Verb::Check)),
        ("api", Box::new(|| api::check(workspace))),
        ("msrv", Box::new(|| msrv::check(workspace))),
        ("deny", Box::new(|| deny::command(workspace))),
        passes("doc", || doc(workspace)),
        passes("package", || package::command(workspace, Tree::Clean)),
        passes("from package", || package::test(workspace)),
    ];
    run_all("release --dry-run", steps)?;
    what_is_left(workspace)
}

/// The documentation of the crates, as the registry's readers get it.
pub(crate) fn doc(workspace: &Workspace) -> Outcome {
    ui::stage("Documentation of the crates");
    let mut command = workspace.cargo();
    command.args(["doc", "--locked", "--no-deps"]).args(PUBLISHED.iter().flat_map(|name| ["-p", name]));
    run::step(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn clean_tree(workspace: &Workspace) -> Outcome {
    ui::stage("Is everything committed?");
    let changed = git::output(&workspace.root, &["status", "--porcelain"])?;
    if changed.is_empty() {
        ui::good("nothing is changed, nothing is untracked");
        return Ok(());
    }
    changed.lines().for_each(ui::note);
    Err(Failure::new(format!(
        "{} files are changed or untracked, see above: commit or remove them",
        changed.lines().count()
    )))
}

/// The crates have one version, and CHANGELOG.md has a heading for it and one for the protocol's.
fn versions(workspace: &Workspace) -> Outcome {
    ui::stage("Versions");
    let path = workspace.root.join("CHANGELOG.md");
    let changelog = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let mut found = Vec::new();
    for name in PUBLISHED {
        found.push((name, package::version(workspace, name)?));
    }
    let problems = disagreements(&found, VERSION, &changelog);
    if problems.is_empty() {
        ui::good(&format!("the crates are at {}, the protocol is at {}", found[0].1, VERSION));
        return Ok(());
    }
    Err(Failure::new(problems.join("; ")))
}

fn disagreements(crates: &[(&str, String)], protocol: u32, changelog: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let has = |heading: String| changelog.lines().any(|line| line.starts_with(&heading));
    for (name, version) in crates {
        if *version != crates[0].1 {
            problems.push(format!("{name} is at {version}, {} at {}", crates[0].0, crates[0].1));
        }
        if !has(format!("### {version}:")) {
            problems.push(format!(
                "{name} is at {version}, and CHANGELOG.md has no heading `### {version}: ...`"
            ));
        }
    }
    if !has(format!("### Version {protocol}:")) {
        problems.push(format!(
            "the protocol is at version {protocol}, and CHANGELOG.md has no heading `### Version {protocol}: ...`"
        ));
    }
    problems
}

/// What a person does now.
fn what_is_left(workspace: &Workspace) -> Outcome {
    let version = package::version(workspace, PUBLISHED[0])?;
    let protocol = VERSION;
    println!("\nNothing was published. A release is made by hand, from this commit:\n");
    println!("  1. set `repository` in the manifests of {}", PUBLISHED.join(", "));
    println!(
        "  2. in CHANGELOG.md write the day instead of \"unreleased\" after {version}; if the protocol is to be"
    );
    println!("     frozen, make its heading");
    println!(
        "       ### Version {protocol}: released <day>, layout sha256 {}",
        layout::digest_of(&layout::current_text())
    );
    println!("     and take \"not released\" out of PROTOCOL.md's status; commit");
    println!(
        "  3. git tag -a v{version}, and with the protocol: git tag -a protocol-v{protocol}; run this list again,"
    );
    println!("     which compares with that tag from now on");
    println!("  4. in this order, each once the one before can be found in the registry:");
    for name in PUBLISHED {
        println!("     cargo publish --locked -p {name}");
    }
    println!("  5. push the commit and the tags");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str =
        "## Protocol\n\n### Version 1: not released\n\n## Crates\n\n### 0.1.0: unreleased\n";

    fn at(versions: [&str; 2]) -> Vec<(&'static str, String)> {
        ["a", "b"].into_iter().zip(versions.map(str::to_owned)).collect()
    }

    #[test]
    fn versions_that_agree_with_the_changelog_pass() {
        assert!(disagreements(&at(["0.1.0", "0.1.0"]), 1, CHANGELOG).is_empty());
    }

    #[test]
    fn crates_that_differ_and_versions_without_a_heading_are_named() {
        let problems = disagreements(&at(["0.1.0", "0.2.0"]), 2, CHANGELOG);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("b is at 0.2.0, a at 0.1.0"), "{problems:?}");
        assert!(problems[1].contains("`### 0.2.0: ...`"), "{problems:?}");
        assert!(problems[2].contains("`### Version 2: ...`"), "{problems:?}");
    }
}
