//! What a release says in words, and shows in files: the clauses of PROTOCOL.md and the conformance files.

use std::collections::{BTreeMap, BTreeSet};

use super::changelog::{self, Changelog};
use super::git::Release;
use super::rules::Finding;
use crate::failure::{Failure, Outcome};
use crate::git;
use crate::workspace::Workspace;

const PROTOCOL: &str = "vas-shm-proto/PROTOCOL.md";
const CONFORMANCE: &str = "vas-shm-proto/conformance";
/// So many files are asked about at once: the length of a command has a bound.
const FILES_AT_ONCE: usize = 500;

/// Where the work tree is not what a tag released.
pub(super) fn compare(workspace: &Workspace, release: &Release, now: &Changelog) -> Outcome<Vec<Finding>> {
    let of_tag =
        |name: &str| git::output(&workspace.root, &["show", &format!("{}:{name}", release.full_tag())]);
    let path = workspace.root.join(PROTOCOL);
    let document = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("read {}: {error}", path.display())))?;
    // What was corrected before the release is part of it: only corrections since then count.
    let before = Changelog::parse(of_tag(changelog::NAME)?).corrected();
    let corrected = now.corrected().difference(&before).cloned().collect();
    let mut findings = clauses_are_kept(&release.shown(), &of_tag(PROTOCOL)?, &document, &corrected);
    findings.extend(conformance_is_kept(workspace, release)?);
    Ok(findings)
}

/// Every clause of a released document stands in the new one, byte for byte unless it is named as corrected.
pub(super) fn clauses_are_kept(
    tag: &str,
    released: &str,
    now: &str,
    corrected: &BTreeSet<String>,
) -> Vec<Finding> {
    let now = clauses(now);
    let kept = |(clause, released): (String, String)| {
        let what = match now.get(&clause) {
            None => format!("{clause}, which {tag} released, is not in PROTOCOL.md any more"),
            Some(text) if *text == released || corrected.contains(&clause) => return None,
            Some(text) => {
                let line = released.lines().zip(text.lines()).find(|(released, now)| released != now);
                let line = match line {
                    Some((released, now)) => format!("\"{}\" was \"{}\"", now.trim(), released.trim()),
                    None => "it has more lines, or fewer".to_owned(),
                };
                format!(
                    "{clause} is not what {tag} released: {line} (if only the wording is better now, CHANGELOG.md has to say \
                     `corrected in wording: {clause}, why`)"
                )
            }
        };
        Some(Finding::released_text(what))
    };
    clauses(released).into_iter().filter_map(kept).collect()
}

/// The clauses of a document with their texts: an item `- **AREA-1** ...` with all that is indented below it, tables too. A
/// number that stands twice has both texts.
fn clauses(document: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, String>::new();
    let mut open: Option<String> = None;
    let mut after_blank = false;
    for line in document.lines() {
        let begins = line.strip_prefix("- **").and_then(|rest| Some(rest.split_once("**")?.0));
        let begins = begins
            .filter(|name| name.split_once('-').is_some_and(|(_, number)| number.parse::<u32>().is_ok()));
        let is_indented = line.starts_with([' ', '\t']);
        let ends = line.starts_with("- ") || line.starts_with('#') || (after_blank && !is_indented);
        after_blank = line.trim().is_empty();
        if let Some(clause) = begins {
            open = Some(clause.to_owned());
        } else if ends && !after_blank {
            open = None;
        }
        if let Some(clause) = &open {
            let text = found.entry(clause.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    // Blank lines behind an item belong to nobody.
    found.values_mut().for_each(|text| text.truncate(text.trim_end().len()));
    found
}

/// Every conformance file of a release is there, the same to the byte. New ones may come; the list and the README, which stand
/// beside the folders of the versions, may change.
fn conformance_is_kept(workspace: &Workspace, release: &Release) -> Outcome<Vec<Finding>> {
    let list = ["ls-tree", "-r", "-z", &release.full_tag(), &format!("{CONFORMANCE}/")];
    let list = git::output(&workspace.root, &list)?;
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for row in list.split('\0').filter(|row| !row.is_empty()) {
        let wrong = || Failure::new(format!("git ls-tree says `{row}`, which is no row of a tree"));
        let (about, name) = row.split_once('\t').ok_or_else(wrong)?;
        let object = about.split(' ').nth(2).ok_or_else(wrong)?;
        let below = name.strip_prefix(CONFORMANCE).and_then(|name| name.strip_prefix('/'));
        if !below.ok_or_else(wrong)?.contains('/') {
            continue;
        }
        if workspace.root.join(name).symlink_metadata().is_ok_and(|file| file.is_file()) {
            files.push((name, object));
        } else {
            let what = format!("{name}, which {} released, is not there any more", release.shown());
            findings.push(Finding::released_text(what));
        }
    }
    for files in files.chunks(FILES_AT_ONCE) {
        let mut arguments = vec!["hash-object", "--no-filters", "--"];
        arguments.extend(files.iter().map(|(name, _)| *name));
        let hashes = git::output(&workspace.root, &arguments)?;
        let changed = files.iter().zip(hashes.lines()).filter(|((_, released), now)| released != now);
        findings.extend(changed.map(|((name, _), _)| {
            Finding::released_text(format!("{name} is not what {} released", release.shown()))
        }));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# P\n\n- **A-1** one\n  and more\n\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n\n- **A-2** two\nlazily\n\nProse.\n\n\
                            ## Q\n- **B-1** three\n- an item\n";

    #[test]
    fn a_clause_ends_where_its_item_ends() {
        let clauses = clauses(DOCUMENT);
        assert_eq!(clauses.keys().collect::<Vec<_>>(), ["A-1", "A-2", "B-1"]);
        assert!(clauses["A-1"].ends_with("| 1 | 2 |"), "{}", clauses["A-1"]);
        assert_eq!(clauses["A-2"], "- **A-2** two\nlazily");
        assert_eq!(clauses["B-1"], "- **B-1** three");
    }

    fn found(now: &str, corrected: &[&str]) -> Vec<String> {
        let corrected = corrected.iter().map(|clause| (*clause).to_owned()).collect();
        let findings = clauses_are_kept("protocol-v1", DOCUMENT, now, &corrected);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_released_clause_stays_as_it_is_unless_the_changelog_names_it() {
        assert!(found(DOCUMENT, &[]).is_empty());
        let more =
            DOCUMENT.replace("- **B-1** three\n", "- **B-1** three\n- **B-2** four\n\nMore prose.\n\n");
        assert!(found(&more, &[]).is_empty());
        for (old, new, clause) in
            [("and more", "and less", "A-1"), ("| 1 | 2 |", "| 1 | 3 |", "A-1"), ("lazily", "eagerly", "A-2")]
        {
            let edited = DOCUMENT.replace(old, new);
            let found_now = found(&edited, &["B-1"]);
            assert_eq!(found_now.len(), 1, "{found_now:?}");
            assert!(
                found_now[0].contains(&format!("{clause} is not what protocol-v1 released")),
                "{found_now:?}"
            );
            assert!(found(&edited, &[clause]).is_empty());
        }
        let again = format!("{DOCUMENT}\n- **B-1** the contrary\n");
        assert_eq!(found(&again, &[]).len(), 1);
    }

    #[test]
    fn the_number_of_a_clause_never_vanishes() {
        let without = DOCUMENT.replace("- **A-2** two", "- **A-3** two");
        let found = found(&without, &["A-2"]);
        assert!(
            found[0].contains("A-2, which protocol-v1 released, is not in PROTOCOL.md any more"),
            "{found:?}"
        );
    }
}
