//! What CHANGELOG.md says about releases of the protocol: one heading for each version, written in one of two ways.

use std::collections::BTreeSet;
use std::fs;

use sha2::{Digest, Sha256};

use crate::failure::{Context, Outcome};
use crate::workspace::Workspace;

/// Name of the file, from the workspace's root.
pub(super) const NAME: &str = "CHANGELOG.md";
/// Headings of versions: this, the number, a colon, a blank and whether it is released.
pub(super) const HEADING: &str = "### Version ";
/// All that may stand there before the release.
pub(super) const NOT_RELEASED: &str = "not released";
/// What stands there first from the release on; the day follows, and the digest.
const RELEASED: &str = "released ";
/// What stands before the digest of the table that is released.
pub(super) const DIGEST: &str = "layout sha256 ";
/// What stands before the number of a clause whose wording is corrected after its release.
const CORRECTED: &str = "corrected in wording: ";

/// The heading of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) version: u32,
    pub(super) released: bool,
    /// The digest of its table, for a version that is released.
    pub(super) sha256: Option<String>,
}

/// The headings of a changelog, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Changelog {
    pub(super) text: String,
    pub(super) headings: Vec<Heading>,
    pub(super) problems: Vec<String>,
}

impl Changelog {
    /// Reads that of the work tree.
    pub(super) fn read(workspace: &Workspace) -> Outcome<Self> {
        let path = workspace.root.join(NAME);
        let text = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
        Ok(Self::parse(text))
    }

    pub(super) fn parse(text: String) -> Self {
        let (mut headings, mut problems) = (Vec::<Heading>::new(), Vec::new());
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_about_a_version(line)) {
            let Some(mut heading) = heading(line) else {
                problems.push(format!(
                    "{NAME}:{}: `{line}` is neither `{HEADING}N: {NOT_RELEASED}` nor `{HEADING}N: {RELEASED}DAY, {DIGEST}...`",
                    index + 1
                ));
                continue;
            };
            if headings.iter().any(|other| other.version == heading.version) {
                problems.push(format!(
                    "{NAME}:{}: a second heading of version {}",
                    index + 1,
                    heading.version
                ));
                continue;
            }
            let below = lines[index + 1..].iter().find(|line| !line.trim().is_empty());
            heading.sha256 = digest_in(line).or_else(|| digest_in(below?));
            headings.push(heading);
        }
        Self { text, headings, problems }
    }

    pub(super) fn heading(&self, version: u32) -> Option<&Heading> {
        self.headings.iter().find(|heading| heading.version == version)
    }

    /// The headings of released versions.
    pub(super) fn released(&self) -> impl Iterator<Item = &Heading> {
        self.headings.iter().filter(|heading| heading.released)
    }

    /// Clauses whose wording the part about the protocol says to be corrected, each with a reason behind it.
    pub(super) fn corrected(&self) -> BTreeSet<String> {
        let part = self.text.split_once("## Protocol").map_or("", |(_, part)| part);
        let part = part.split_once("\n## ").map_or(part, |(part, _)| part);
        let named = part.split(CORRECTED).skip(1).filter_map(|entry| {
            let (clause, why) = entry.split_once(", ")?;
            let why = why.lines().next().unwrap_or_default();
            (!why.trim().is_empty()).then(|| clause.to_owned())
        });
        named.collect()
    }
}

/// Whether a line is a heading about a version, however it is written.
fn is_about_a_version(line: &str) -> bool {
    let line = line.trim_start();
    let words = line.trim_start_matches(['#', ' ', '\t', '*', '_', '`', '[']);
    line.starts_with('#') && words.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("version"))
}

/// A heading that is written as it has to be.
fn heading(line: &str) -> Option<Heading> {
    let (number, status) = line.strip_prefix(HEADING)?.split_once(": ")?;
    let version = number_of(number)?;
    let released = status.strip_prefix(RELEASED).is_some_and(|day| !day.trim().is_empty());
    (released || status == NOT_RELEASED).then_some(Heading { version, released, sha256: None })
}

/// The version that a line of any changelog says to be released.
pub(super) fn released_by(line: &str) -> Option<u32> {
    heading(line).filter(|heading| heading.released).map(|heading| heading.version)
}

/// A version's number, in the one way to write it.
pub(super) fn number_of(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| *number >= 1 && number.to_string() == text)
}

/// The word of a line that can be a SHA-256 in hex.
fn digest_in(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let word = words.find(|word| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()))?;
    Some(word.to_ascii_lowercase())
}

/// SHA-256 of a table's text, in hex.
pub(crate) fn digest_of(table: &str) -> String {
    Sha256::digest(table).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Changelog {
        Changelog::parse(text.to_owned())
    }

    #[test]
    fn a_version_is_released_or_not_and_nothing_between() {
        let changelog = parsed(
            "### Version 2: not released\n\n### Version 1: released 2026-01-01 (version 2 is not released)\n",
        );
        assert!(changelog.problems.is_empty(), "{:?}", changelog.problems);
        let found: Vec<_> = changelog.headings.iter().map(|one| (one.version, one.released)).collect();
        assert_eq!(found, [(2, false), (1, true)]);
        for line in [
            "### Version 1: released",
            "### Version 1: released ",
            "### Version 1: not released yet",
            "### Version 1: Released 2026-01-01",
            "### Version 1: 2026-01-01, not released no more",
            "### Version 1 : not released",
            "### Version 01: not released",
            "### Version +1: not released",
            "### Version 0: not released",
            "#### Version 1: released 2026-01-01",
            "## Version 1: not released",
            "### version 1: not released",
            "  ### Version 1: not released",
            "### **Version 1**: released 2026-01-01",
        ] {
            let changelog = parsed(line);
            assert!(changelog.headings.is_empty(), "{line}");
            assert!(changelog.problems[0].contains("is neither"), "{line}: {:?}", changelog.problems);
        }
        let twice = parsed("### Version 1: not released\n### Version 1: released 2026-01-01\n");
        assert!(twice.problems[0].contains("a second heading of version 1"), "{:?}", twice.problems);
    }

    #[test]
    fn the_digest_stands_in_the_heading_or_in_the_line_below() {
        let digest = digest_of("a table");
        for text in [
            format!("### Version 1: released 2026-01-01, layout sha256 {digest}\n"),
            format!("### Version 1: released 2026-01-01\n\nThe table: layout sha256 `{digest}`.\n"),
        ] {
            assert_eq!(parsed(&text).headings[0].sha256.as_deref(), Some(digest.as_str()), "{text}");
        }
        let later = format!("### Version 1: released 2026-01-01\n\nWords.\n\n{digest}\n");
        assert_eq!(parsed(&later).headings[0].sha256, None);
    }

    #[test]
    fn a_corrected_clause_is_named_in_the_part_about_the_protocol_with_a_reason() {
        let text = "# C\n## Protocol\n- corrected in wording: READ-6, it said the contrary\n- corrected in wording: READ-7, \n\
                    ## Crates\n- corrected in wording: READ-8, elsewhere\n";
        assert_eq!(parsed(text).corrected().into_iter().collect::<Vec<_>>(), ["READ-6"]);
    }
}
