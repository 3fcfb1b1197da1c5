//! `cargo xtask ci`: everything that has to hold before a change lands, with a table at the end.
//!
//! A failed step does not hide the others: all run, and the exit code is that of the first that failed.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::leftovers::Folder;
use crate::workspace::Workspace;
use crate::{
    api, clauses, cost, deny, deps, faults, fuzz, generate, isolation, layout, msrv, package, run, sanitize,
    setup, test, torture, ui, unsafe_code, vectors,
};

/// How long CI fuzzes each target: long enough to go through every seed and notice a target that falls over.
const FUZZ_SECONDS: u64 = 40;

/// How a step ended when it did not fail.
pub(crate) enum Verdict {
    Passed,
    Skipped(String),
}

pub(crate) type Step<'a> = (&'static str, Box<dyn Fn() -> Outcome<Verdict> + 'a>);

pub(crate) fn passes<'a>(name: &'static str, step: impl Fn() -> Outcome + 'a) -> Step<'a> {
    (name, Box::new(move || step().map(|()| Verdict::Passed)))
}

pub(crate) fn command(workspace: &Workspace) -> Outcome {
    let folder = Folder::make()?;
    // Without this nothing builds, so its failure is the end.
    setup::run(setup::Level::Test)?;

    let cargo = |words: &str| run::step(workspace.cargo().args(words.split(' ')));
    let steps: Vec<Step<'_>> = vec![
        passes("fmt", || {
            ui::stage("Formatting");
            cargo("fmt --all --check")?;
            cargo("fmt --manifest-path tests/no-std/Cargo.toml --check")?;
            cargo("fmt --manifest-path xtask/api/Cargo.toml --check")?;
            cargo("fmt --manifest-path xtask/header/Cargo.toml --check")?;
            cargo("fmt --manifest-path fuzz/Cargo.toml --check")
        }),
        passes("clippy", || {
            ui::stage("Lints");
            cargo("clippy --locked --workspace --all-targets -- -D warnings")
        }),
        passes("test", || test::command(workspace, &["--locked".to_owned()], Some(folder.path()))),
        passes("deps", || deps::command(workspace)),
        passes("licences", || deny::quick(workspace)),
        passes("generate", || generate::command(workspace, true)),
        passes("clauses", || clauses::command(workspace)),
        passes("unsafe", || unsafe_code::command(workspace)),
        ("layout", Box::new(|| layout::check(workspace))),
        passes("rehearsal", || layout::rehearse(workspace, Some(folder.path()))),
        passes("vectors", || vectors::command(workspace, &vectors::Verb::Check)),
        passes("doc", || {
            ui::stage("Documentation without warnings");
            let mut command = workspace.cargo();
            command.args(["doc", "--locked", "--workspace", "--no-deps"]);
            run::step(command.env("RUSTDOCFLAGS", "-D warnings"))
        }),
        ("api", Box::new(|| api::check(workspace))),
        passes("package", || package::command(workspace, package::Tree::AsItStands)),
        ("msrv", Box::new(|| msrv::check(workspace))),
        ("fuzz", Box::new(|| fuzz::quick(workspace, FUZZ_SECONDS, folder.path()))),
        ("sanitize", Box::new(|| sanitize::quick(workspace, folder.path()))),
        passes("torture", || torture::quick(workspace, folder.path())),
        passes("faults", || faults::quick(workspace, folder.path())),
        passes("cost", || cost::quick(workspace, folder.path())),
        passes("isolation", || isolation::quick(workspace, folder.path())),
        passes("left behind", || {
            ui::stage("What this run left behind");
            folder.nothing_left(workspace)
        }),
    ];
    run_all("ci", steps)
}

/// Runs every step, whatever the ones before it said, and ends with a table of them.
pub(crate) fn run_all(what: &str, steps: Vec<Step<'_>>) -> Outcome {
    let mut rows = Vec::new();
    for (name, step) in steps {
        let started = Instant::now();
        let outcome = step();
        if let Err(failure) = &outcome {
            ui::bad(&failure.sentence);
        }
        rows.push((name, started.elapsed(), outcome));
    }
    table(&rows);

    let failed: Vec<_> =
        rows.iter().filter(|(_, _, outcome)| outcome.is_err()).map(|(name, ..)| *name).collect();
    match rows.into_iter().find_map(|(_, _, outcome)| outcome.err()) {
        Some(first) => {
            Err(Failure { sentence: format!("{what} failed at: {}", failed.join(", ")), code: first.code })
        }
        None => Ok(()),
    }
}

fn table(rows: &[(&str, Duration, Outcome<Verdict>)]) {
    ui::stage("Results");
    for (name, time, outcome) in rows {
        let verdict = match outcome {
            Ok(Verdict::Passed) => "passed".to_owned(),
            Ok(Verdict::Skipped(reason)) => format!("SKIPPED: {reason}"),
            Err(failure) => format!("FAILED: {failure}"),
        };
        println!("{name:<12} {:>14}  {verdict}", ui::elapsed(*time));
    }
    let total = rows.iter().map(|(_, time, _)| *time).sum();
    println!("{:<12} {:>14}", "total", ui::elapsed(total));
}
