//! `cargo xtask clauses`: which tests and conformance files prove which clause of `PROTOCOL.md`, and which clause nothing proves.
//!
//! A test names its clauses in a comment, `Proves READ-1, OPEN-6 to OPEN-9 and HEAD-4.`; a conformance file in its JSON. A clause
//! without either has to stand in `docs/testing.md` with the reason, so that a gap is a decision and never an oversight.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{git, ui};

const PROTOCOL: &str = "vas-shm-proto/PROTOCOL.md";
const TESTING: &str = "docs/testing.md";
/// Heading in docs/testing.md under which each item begins with a clause in bold.
const UNPROVEN: &str = "## Clauses that no test proves";
const CONFORMANCE: &str = "vas-shm-proto/conformance/";
/// Sources in which tests stand.
const SOURCES: [&str; 4] = [".rs", ".c", ".h", ".py"];
/// What a test's claim begins with. (In a string this file does not find it: claims stand in comments.)
const PROVES: &str = "Proves ";

/// A clause such as READ-6, ordered by the document's order of areas and then by number.
type Clause = (String, u32);

pub(crate) fn command(workspace: &Workspace) -> Outcome {
    ui::stage("Clauses and what proves them");
    let read = |path: &str| {
        let path = workspace.root.join(path);
        fs::read_to_string(&path).context(|| format!("read {}", path.display()))
    };
    let clauses = defined(&read(PROTOCOL)?);
    let areas: Vec<&str> = in_order(clauses.iter().map(|(area, _)| area.as_str()));
    let known: BTreeSet<&Clause> = clauses.iter().collect();
    let unproven = unproven(&read(TESTING)?, &areas);

    let mut proofs: BTreeMap<Clause, Vec<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    for path in tracked(workspace)? {
        let found = if path.starts_with(CONFORMANCE) && path.ends_with(".json") {
            of_vector(&read(&path)?, &areas).context(|| format!("read {path}"))?
        } else if SOURCES.iter().any(|end| path.ends_with(end)) {
            let source = read(&path)?;
            let found = of_source(&source, &areas);
            if let Some((line, _)) = found.first().filter(|_| !holds_tests(&path, &source)) {
                problems.push(format!(
                    "{path}:{line} claims to prove a clause, and there is no test in that file"
                ));
            }
            found
        } else {
            continue;
        };
        for (line, clause) in found {
            let place = if line == 0 { path.clone() } else { format!("{path}:{line}") };
            if known.contains(&clause) {
                proofs.entry(clause).or_default().push(place);
            } else {
                problems.push(format!(
                    "{place} proves {}-{}, which PROTOCOL.md does not have",
                    clause.0, clause.1
                ));
            }
        }
    }

    for clause in &clauses {
        let name = format!("{}-{}", clause.0, clause.1);
        match (proofs.get(clause), unproven.get(clause)) {
            (Some(places), None) => println!("{name:<10} {}", summary(places)),
            (None, Some(reason)) => println!("{name:<10} no test: {reason}"),
            (Some(places), Some(_)) => problems.push(format!(
                "{name} is proved ({}), and {TESTING} says that nothing proves it: take it out there",
                summary(places)
            )),
            (None, None) => problems.push(format!(
                "nothing proves {name}: name it in the test that does, or say in {TESTING} why there is none"
            )),
        }
    }
    problems.extend(unproven.keys().filter(|clause| !known.contains(clause)).map(|(area, number)| {
        format!("{TESTING} speaks of {area}-{number}, which PROTOCOL.md does not have")
    }));
    problems.iter().for_each(|problem| ui::bad(problem));
    if !problems.is_empty() {
        return Err(Failure::new(format!("{} clauses need attention, see above", problems.len())));
    }
    ui::good(&format!(
        "{} clauses: {} proved by tests or conformance files, {} with a reason why not",
        clauses.len(),
        proofs.len(),
        unproven.len()
    ));
    Ok(())
}

/// Whether what a file claims can be true: it stands among tests, or has some.
fn holds_tests(path: &str, source: &str) -> bool {
    path.contains("tests/") || source.contains("#[test]")
}

/// Where a clause is proved, in one line.
fn summary(places: &[String]) -> String {
    let (vectors, tests): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.starts_with(CONFORMANCE));
    let mut parts = Vec::new();
    if let [first, rest @ ..] = tests.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        parts.push(format!("{first}{more}"));
    }
    if !vectors.is_empty() {
        parts.push(format!("{} conformance files", vectors.len()));
    }
    parts.join(", ")
}

/// Files that git knows, or would take in.
fn tracked(workspace: &Workspace) -> Outcome<Vec<String>> {
    let list = git::output(&workspace.root, &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut paths: Vec<_> = list.lines().map(str::to_owned).collect();
    paths.retain(|path| workspace.root.join(path).is_file());
    paths.sort_unstable();
    Ok(paths)
}

/// Clauses in the order of the document: `- **AREA-1** ...`.
fn defined(document: &str) -> Vec<Clause> {
    document.lines().filter_map(|line| bold_clause(line).map(|(clause, _)| clause)).collect()
}

/// `- **AREA-1** text` to the clause and the text.
fn bold_clause(line: &str) -> Option<(Clause, &str)> {
    let (clause, text) = line.strip_prefix("- **")?.split_once("**")?;
    let (area, number) = clause.split_once('-')?;
    Some(((area.to_owned(), number.parse().ok()?), text.trim()))
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// Clauses that docs/testing.md lists as unproven, with the reason. An item may name several: `- **A-1**, **A-2** reason`.
fn unproven(document: &str, areas: &[&str]) -> BTreeMap<Clause, String> {
    let Some((_, section)) = document.split_once(UNPROVEN) else { return BTreeMap::new() };
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut items: Vec<String> = Vec::new();
    for line in section.lines() {
        if line.starts_with("- ") {
            items.push(line.to_owned());
        } else if let (Some(item), false) = (items.last_mut(), line.trim().is_empty()) {
            item.push(' ');
            item.push_str(line.trim());
        }
    }
    items
        .iter()
        .filter_map(|item| item.rsplit_once("**"))
        .flat_map(|(clauses, reason)| {
            let reason = reason.trim_start_matches([':', ' ']).to_owned();
            listed(clauses, areas).into_iter().map(move |clause| (clause, reason.clone()))
        })
        .collect()
}

/// Clauses named in the comments of a source, with their lines. A comment may go on in the lines below it up to its full stop.
fn of_source(source: &str, areas: &[&str]) -> Vec<(usize, Clause)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if !["//", "/*", "*", "#"].iter().any(|leader| trimmed.starts_with(leader)) {
            continue;
        }
        let Some((_, claim)) = line.split_once(PROVES) else { continue };
        let mut claim = claim.to_owned();
        let mut below = lines[index + 1..].iter().map(|line| line.trim_start());
        while !ends(&claim) {
            let Some(more) =
                below.next().filter(|line| ["//", "*", "#"].iter().any(|leader| line.starts_with(leader)))
            else {
                break;
            };
            claim.push(' ');
            claim.push_str(more);
        }
        found.extend(listed(sentence(&claim), areas).into_iter().map(|clause| (index + 1, clause)));
    }
    found
}

fn ends(claim: &str) -> bool {
    claim.trim_end_matches(['*', '/', ' ']).ends_with('.') || claim.contains(". ") || claim.contains(": ")
}

/// Up to the full stop, or to the colon after which reasons follow.
fn sentence(claim: &str) -> &str {
    let end = [". ", ": "].iter().filter_map(|mark| claim.find(mark)).min();
    &claim[..end.unwrap_or(claim.len())]
}

fn of_vector(json: &str, areas: &[&str]) -> Result<Vec<(usize, Clause)>, serde_json::Error> {
    let json: Value = serde_json::from_str(json)?;
    let clauses = json["clauses"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(clauses.flat_map(|clause| listed(clause, areas)).map(|clause| (0, clause)).collect())
}

/// Every clause that a text names: `READ-6`, and all of `READ-1 to READ-6` or `READ-1 to 6`.
fn listed(text: &str, areas: &[&str]) -> Vec<Clause> {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .collect();
    let clause = |word: &str| -> Option<Clause> {
        let (area, number) = word.split_once('-')?;
        areas.contains(&area).then_some(())?;
        Some((area.to_owned(), number.parse().ok()?))
    };
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let Some((area, first)) = clause(word) else { continue };
        let last = match words.get(index + 1..index + 3) {
            Some(["to", end]) => match clause(end) {
                Some((to, last)) => (to == area).then_some(last),
                None => end.parse().ok(),
            },
            _ => None,
        };
        found.extend((first..=last.unwrap_or(first)).map(|number| (area.clone(), number)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREAS: &[&str] = &["READ", "OPEN", "HEAD"];

    fn names(clauses: &[Clause]) -> Vec<String> {
        clauses.iter().map(|(area, number)| format!("{area}-{number}")).collect()
    }

    #[test]
    fn lists_and_ranges_are_read_in_both_spellings() {
        assert_eq!(
            names(&listed("OPEN-3, READ-1 to READ-3 and HEAD-7; UTF-8 is none", AREAS)),
            ["HEAD-7", "OPEN-3", "READ-1", "READ-2", "READ-3"]
        );
        assert_eq!(names(&listed("READ-2 to 4", AREAS)), ["READ-2", "READ-3", "READ-4"]);
        assert_eq!(names(&listed("READ-1 to OPEN-3", AREAS)), ["OPEN-3", "READ-1"]);
    }

    #[test]
    fn a_claim_ends_with_its_sentence_and_may_take_two_lines() {
        let claim = PROVES.to_owned() + "READ-1,";
        let source = format!("// {claim}\n// OPEN-2. Not READ-9.\nlet x = \"{PROVES}READ-8\";\n");
        let found: Vec<_> =
            of_source(&source, AREAS).into_iter().map(|(line, clause)| (line, clause.1)).collect();
        assert_eq!(found, [(1, 2), (1, 1)]);
    }

    #[test]
    fn a_clause_without_a_proof_needs_its_reason() {
        let document = format!(
            "# x\n\n{UNPROVEN}\n\n- **READ-1**, **READ-2** because\n  it is so\n\n## y\n- **READ-3** no\n"
        );
        let unproven = unproven(&document, AREAS);
        assert_eq!(unproven.len(), 2);
        assert_eq!(unproven[&("READ".to_owned(), 1)], "because it is so");
    }

    #[test]
    fn clauses_are_those_that_begin_an_item_in_bold() {
        assert_eq!(names(&defined("- **READ-1** a\n- **b** c\ntext READ-2\n")), ["READ-1"]);
    }
}
