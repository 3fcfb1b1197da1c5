//! `cargo xtask layout`: the layout of the format as text, and the rules that keep every released reader working.
//!
//! `vas-shm-proto/layout/v<N>.txt` is the golden table of version N. `check` compares, by rules with names ([`rules`]):
//!
//! 1. what the compiler makes of `vas-shm-proto/src/layout.rs` with the golden table of its version,
//! 2. each golden table with the one before it, which it may only extend,
//! 3. every released table, as the release tags in git have it, with the golden table of that version; and the newest of
//!    them with what the compiler makes. So editing layout.rs and its golden table together does not get round it. CHANGELOG.md,
//!    its history and the tags have to agree about what was released ([`git`]),
//! 4. the clauses and the conformance files with those of the newest release ([`text`]).
//!
//! `rehearse` proves that each rule bites: it carries out the edits of docs/testing.md on a copy, and appends an imagined
//! version that the readers of version 1 then read.

mod changelog;
mod copy;
mod git;
mod rehearse;
mod rules;
mod table;
mod text;

#[path = "../../../vas-shm-proto/src/layout.rs"]
#[allow(dead_code, reason = "the crate uses what is not used here")]
#[allow(unreachable_pub, reason = "public in the crate that it belongs to")]
#[allow(rustdoc::broken_intra_doc_links, reason = "its links lead into the crate that it belongs to")]
pub(crate) mod compiled;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::ui;
use crate::workspace::Workspace;
use changelog::Changelog;
pub(crate) use changelog::digest_of;
use git::Released;
pub(crate) use rehearse::command as rehearse;
use rules::{Finding, Rule, Step};
use table::Table;

/// What can be done about the layout.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Print it as it is now
    Print,
    /// Compare it with the golden table of its version, that one with those before it, and all with what was released;
    /// clauses and conformance files with those of the newest release
    Check,
    /// Write it into the golden table of its version, vas-shm-proto/layout/v1.txt and so on
    Bless,
    /// Break every rule on a copy as docs/testing.md says; append a version 2 and have today's readers read it
    Rehearse,
    /// Print the rules of `check`, and what a breach of each would break for whom
    Rules,
}

/// Carries one of them out. The workspace is looked for only where it is needed.
pub(crate) fn command(workspace: impl Fn() -> Outcome<Workspace>, verb: &Verb) -> Outcome {
    match verb {
        Verb::Print => print!("{}", current_text()),
        Verb::Check => {
            check(&workspace()?)?;
        }
        Verb::Bless => bless(&workspace()?)?,
        Verb::Rehearse => rehearse(&workspace()?, None)?,
        Verb::Rules => Rule::ALL.iter().for_each(|rule| println!("{:<28}{}", rule.name(), rule.why())),
    }
    Ok(())
}

/// The folder of the golden tables.
const FOLDER: &str = "vas-shm-proto/layout";

/// The table of the layout as the compiler makes it: the text of its golden file.
pub(crate) fn current_text() -> String {
    Table::compiled().to_string()
}

/// Name of the golden table of a version, from the workspace's root.
fn golden_name(version: u32) -> String {
    format!("{FOLDER}/v{version}.txt")
}

/// Writes the layout as it is now into the golden file of its version, unless that is released and says something else.
pub(crate) fn bless(workspace: &Workspace) -> Outcome {
    let name = golden_name(compiled::VERSION);
    let text = current_text();
    let released = git::released(workspace, &Changelog::read(workspace)?, &golden_tables(workspace)?)?;
    let mut is_as_released = false;
    for tag in &released.tags {
        let Some((_, table)) = tag.tables.iter().find(|(version, _)| *version == compiled::VERSION) else {
            continue;
        };
        is_as_released = *table == text;
        if !is_as_released {
            return Err(Failure::new(format!(
                "{} released {name}, and a released table is never written again: append under a new VERSION, or undo the change",
                tag.shown()
            )));
        }
    }
    // A golden file that was edited after its release may be made what it was.
    if !is_as_released && !released.problems.is_empty() {
        return Err(Failure::new(format!(
            "what was released is not clear: {}",
            released.problems.join("; ")
        )));
    }
    let path = workspace.root.join(&name);
    fs::create_dir_all(workspace.root.join(FOLDER)).context(|| format!("make the folder {FOLDER}"))?;
    fs::write(&path, text).context(|| format!("write {}", path.display()))?;
    ui::good(&format!("wrote {name}: look at it with `git diff` before you commit it"));
    Ok(())
}

/// Compares the layout with its golden table, the golden tables with each other, and both with what was released. What this
/// clone cannot show of releases is the reason of a verdict that says so.
pub(crate) fn check(workspace: &Workspace) -> Outcome<Verdict> {
    ui::stage("Layout of the format");
    let golden = golden_tables(workspace)?;
    let mut report = Report::default();
    report.compiled(&golden)?;
    report.one_after_the_other(&golden)?;
    let changelog = Changelog::read(workspace)?;
    let released = git::released(workspace, &changelog, &golden)?;
    report.released(workspace, &released, &changelog, &golden)?;
    report.end()?;
    Ok(released.unseen.map_or(Verdict::Passed, Verdict::Skipped))
}

/// Text of each golden table, by version.
fn golden_tables(workspace: &Workspace) -> Outcome<BTreeMap<u32, String>> {
    let folder = workspace.root.join(FOLDER);
    let mut tables = BTreeMap::new();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(tables),
        Err(error) => return Err(Failure::new(format!("list {}: {error}", folder.display()))),
    };
    for entry in entries {
        let path = entry.context(|| format!("list {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let version = name.strip_prefix('v').and_then(|name| name.strip_suffix(".txt")?.parse().ok());
        let version = version.filter(|version| name == format!("v{version}.txt")).ok_or_else(|| {
            Failure::new(format!(
                "{FOLDER}/{name} is no table of a version: these are v1.txt, v2.txt and so on"
            ))
        })?;
        tables.insert(version, fs::read_to_string(&path).context(|| format!("read {}", path.display()))?);
    }
    Ok(tables)
}

/// A golden table as its text says it.
fn parsed(version: u32, text: &str) -> Outcome<Table> {
    let name = golden_name(version);
    let table = Table::parse(&name, text)?;
    if table.version != version {
        return Err(Failure::new(format!("{name} says that it is of version {}", table.version)));
    }
    Ok(table)
}

/// What the three comparisons found.
#[derive(Default)]
struct Report {
    broken: Vec<Rule>,
    /// What is to be done about it.
    remedies: Vec<String>,
}

impl Report {
    /// Says what was compared and how it ended.
    fn add(&mut self, what: &str, findings: &[Finding], remedy: &str) {
        if findings.is_empty() {
            ui::good(what);
            return;
        }
        ui::bad(&format!("not so: {what}"));
        for finding in findings {
            ui::note(&format!("   {finding}"));
            if !self.broken.contains(&finding.rule) {
                ui::note(&format!("      ({})", finding.rule.why()));
                self.broken.push(finding.rule);
            }
        }
        self.remedy(remedy.to_owned());
    }

    /// Something is wrong that no rule is about.
    fn problem(&mut self, what: String) {
        ui::bad(&what);
        self.remedy(what);
    }

    fn remedy(&mut self, remedy: String) {
        if !self.remedies.contains(&remedy) {
            self.remedies.push(remedy);
        }
    }

    /// The structs against the golden table of their version, or the newest if their version has none yet.
    fn compiled(&mut self, golden: &BTreeMap<u32, String>) -> Outcome {
        let version = compiled::VERSION;
        let name = golden_name(version);
        let now = Table::compiled();
        let Some((&newest, text)) = golden.get_key_value(&version).or_else(|| golden.last_key_value()) else {
            self.problem(format!("{name} is not there: `cargo xtask layout bless` writes it"));
            return Ok(());
        };
        let old = parsed(newest, text)?;
        let mut findings = rules::compare(&old, &now, Step::Next);
        if newest == version {
            if findings.is_empty() && *text != now.to_string() {
                findings.push(Finding::other_text(&name));
            }
            let remedy = format!(
                "undo the change, or, if it is meant and version {version} is not released, `cargo xtask layout bless`"
            );
            self.add(&format!("layout.rs is what {name} says"), &findings, &remedy);
        } else {
            let what = format!("layout.rs, version {version}, only extends {}", golden_name(newest));
            self.add(&what, &findings, "undo the change");
            if findings.is_empty() {
                self.problem(format!("{name} is not there: `cargo xtask layout bless` writes it"));
            }
        }
        Ok(())
    }

    /// Each golden table against the one before it.
    fn one_after_the_other(&mut self, golden: &BTreeMap<u32, String>) -> Outcome {
        let mut before: Option<Table> = None;
        for (&version, text) in golden {
            let table = parsed(version, text)?;
            let name = golden_name(version);
            let (what, mut findings) = match &before {
                Some(before) => (
                    format!("{name} only extends {}", golden_name(before.version)),
                    rules::compare(before, &table, Step::Next),
                ),
                None => {
                    if version != 1 {
                        let first = golden_name(1);
                        self.problem(format!("{name} is there, and {first} is not: versions begin with 1"));
                    }
                    (format!("{name} is written as it has to be"), Vec::new())
                }
            };
            if *text != table.to_string() {
                findings.push(Finding::other_text(&name));
            }
            if before.is_some() || !findings.is_empty() {
                self.add(&what, &findings, &format!("undo the change of {name}"));
            }
            before = Some(table);
        }
        Ok(())
    }

    /// The released tables against the golden ones, and the newest against the structs.
    fn released(
        &mut self,
        workspace: &Workspace,
        released: &Released,
        changelog: &Changelog,
        golden: &BTreeMap<u32, String>,
    ) -> Outcome {
        if let Some(unseen) = &released.unseen {
            ui::skipped(&format!("what was released: {unseen}"));
        }
        released.problems.iter().for_each(|problem| self.problem(problem.clone()));
        if released.tags.is_empty() && released.problems.is_empty() {
            ui::note(
                "no version is released yet, as far as this clone shows: there is no older layout to keep",
            );
        }
        for tag in &released.tags {
            let findings: Vec<_> = tag
                .tables
                .iter()
                .filter_map(|(version, text)| {
                    let now = golden.get(version).map(String::as_str);
                    rules::released_is_kept(&golden_name(*version), &tag.shown(), text, now)
                })
                .collect();
            let remedy = format!("`git checkout {} -- {}`", tag.tag, golden_name(tag.version));
            self.add(
                &format!("the tables that {} released are as they were", tag.shown()),
                &findings,
                &remedy,
            );
        }
        if let Some(tag) = released.tags.last() {
            let findings = text::compare(workspace, tag, changelog)?;
            let what = format!("clauses and conformance files are as {} released them", tag.shown());
            self.add(
                &what,
                &findings,
                "undo the change, and say in a clause with a new number what is to be said",
            );
            if let Some((version, text)) = tag.tables.last() {
                let old = parsed(*version, text)?;
                let findings = rules::compare(&old, &Table::compiled(), Step::Any);
                let remedy = "append under a new VERSION, or undo the change";
                self.add(&format!("layout.rs only extends what {} released", tag.shown()), &findings, remedy);
            }
        }
        Ok(())
    }

    fn end(self) -> Outcome {
        if self.remedies.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.broken.iter().map(|rule| rule.name()).collect();
        let remedies = self.remedies.join("; ");
        Err(Failure::new(match names.is_empty() {
            true => remedies,
            false => format!("the layout breaks {}: {remedies}", names.join(", ")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_first_table_is_named_and_nothing_is_said_twice() {
        let text =
            current_text().replace("version   1", "version   2").replace(", version 1:", ", version 2:");
        let mut report = Report::default();
        report.one_after_the_other(&BTreeMap::from([(2, text)])).unwrap();
        let missing = "vas-shm-proto/layout/v2.txt is there, and vas-shm-proto/layout/v1.txt is not: versions begin with 1";
        assert_eq!(report.remedies, [missing]);
        for what in ["undo the change", "bless", "undo the change", missing] {
            report.remedy(what.to_owned());
        }
        let failure = report.end().unwrap_err();
        assert_eq!(failure.sentence, format!("{missing}; undo the change; bless"));
    }

    #[test]
    fn a_table_that_is_not_there_is_a_failure_with_a_sentence() {
        let mut report = Report::default();
        report.compiled(&BTreeMap::new()).unwrap();
        let failure = report.end().unwrap_err();
        assert!(failure.sentence.starts_with("vas-shm-proto/layout/v1.txt is not there"), "{failure}");
    }
}
