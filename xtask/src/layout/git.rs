//! The releases, as git has them: what was released cannot be edited out of the work tree.
//!
//! Three things say that a version is released, and each is held against the others: the tag `protocol-vN`, the heading in
//! CHANGELOG.md with the digest of the table, and the history of CHANGELOG.md. So neither a tag that is missing or was moved nor
//! a heading that was taken back lets a released table change unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::changelog::{self, Changelog, DIGEST, HEADING, NOT_RELEASED, digest_of, number_of};
use super::{FOLDER, golden_name};
use crate::failure::{Context, Outcome};
use crate::git;
use crate::workspace::Workspace;

/// Tags of released versions are this and the number.
pub(super) const TAG: &str = "protocol-v";

/// The tables of one release tag.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) tag: String,
    pub(super) version: u32,
    /// Whether the commit that is checked out comes after it.
    pub(super) merged: bool,
    /// Version and text of every table that was released until then.
    pub(super) tables: Vec<(u32, String)>,
}

impl Release {
    /// Its name for git, which no branch can have.
    pub(super) fn full_tag(&self) -> String {
        format!("refs/tags/{}", self.tag)
    }

    /// Its name for people.
    pub(super) fn shown(&self) -> String {
        match self.merged {
            true => self.tag.clone(),
            false => format!("{} (a tag that is not part of this history)", self.tag),
        }
    }
}

/// What can be said about releases.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Every release tag of the repository, lowest version first, whether it is part of this history or not.
    pub(super) tags: Vec<Release>,
    /// Where tags, CHANGELOG.md and its history contradict each other.
    pub(super) problems: Vec<String>,
    /// Why a release could go unnoticed here.
    pub(super) unseen: Option<String>,
}

/// Reads the released tables and holds what speaks of releases against each other; `golden` are the tables of the work tree.
pub(super) fn released(
    workspace: &Workspace,
    changelog: &Changelog,
    golden: &BTreeMap<u32, String>,
) -> Outcome<Released> {
    let mut released = Released { problems: changelog.problems.clone(), ..Released::default() };
    released.problems.extend(golden.keys().filter(|version| changelog.heading(**version).is_none()).map(
        |version| {
            format!(
                "{} is there, and CHANGELOG.md has no heading `{HEADING}{version}: {NOT_RELEASED}`",
                golden_name(*version)
            )
        },
    ));
    match outside(workspace)? {
        Some(place) => {
            released.problems.extend(changelog.released().map(|heading| {
                format!(
                    "CHANGELOG.md says that version {} is released, but {place}, so nobody can say what was released: run this in a \
                     clone, with git installed",
                    heading.version
                )
            }));
            released.unseen = Some(format!("{place}, so nobody can say whether anything was released"));
        }
        None => in_repository(workspace, changelog, &mut released)?,
    }
    digests_agree(changelog, golden, &mut released);
    Ok(released)
}

/// Why this folder has no repository of its own, if it has none.
fn outside(workspace: &Workspace) -> Outcome<Option<String>> {
    let root = &workspace.root;
    let top = match git::output(root, &["rev-parse", "--show-toplevel"]) {
        Ok(top) => top,
        // A repository that git cannot read, or does not want to, may hold releases.
        Err(failure) if root.join(".git").exists() => return Err(failure),
        Err(_) => return Ok(Some("git finds no repository here".to_owned())),
    };
    let real = |path: &Path| path.canonicalize().context(|| format!("resolve {}", path.display()));
    let is_other = real(top.trim_end_matches('\n').as_ref())? != real(root)?;
    Ok(is_other.then(|| "this folder only lies in another repository".to_owned()))
}

fn in_repository(workspace: &Workspace, changelog: &Changelog, released: &mut Released) -> Outcome {
    let root = &workspace.root;
    let is_shallow = git::output(root, &["rev-parse", "--is-shallow-repository"])?.trim() == "true";
    // Before the first commit there is neither a tag nor a history.
    let has_commits = !git::output(root, &["rev-list", "--max-count=1", "--all"])?.trim().is_empty();
    if has_commits {
        tags(root, released)?;
    }
    if is_shallow {
        released.unseen = Some(
            "this clone is shallow: a release whose tag was not fetched would go unnoticed, and so would a heading of CHANGELOG.md that \
             was taken back; `git fetch --unshallow --tags` shows them"
                .to_owned(),
        );
    } else if has_commits {
        for version in once_released(root)? {
            if !changelog.heading(version).is_some_and(|heading| heading.released) {
                released.problems.push(format!(
                    "CHANGELOG.md said once that version {version} is released (`git log -S'{HEADING}{version}: released' -- \
                     CHANGELOG.md`) and does not say it any more: a release cannot be taken back, put the heading there again"
                ));
            }
        }
    }
    let fetch = if is_shallow { "`git fetch --unshallow --tags`" } else { "`git fetch --tags`" };
    for heading in changelog.released() {
        if released.tags.iter().all(|tag| tag.version != heading.version) {
            released.problems.push(format!(
                "CHANGELOG.md says that version {version} is released, and there is no tag {TAG}{version}: {fetch}, or tag the release",
                version = heading.version
            ));
        }
    }
    for tag in released.tags.iter().filter(|tag| tag.merged) {
        if !changelog.heading(tag.version).is_some_and(|heading| heading.released) {
            released.problems.push(format!(
                "the tag {} released version {version}, and CHANGELOG.md has no heading `{HEADING}{version}: released DAY, {DIGEST}...`",
                tag.tag,
                version = tag.version
            ));
        }
    }
    Ok(())
}

/// Reads every release tag.
fn tags(root: &Path, released: &mut Released) -> Outcome {
    let list = |more: &[&str]| {
        let mut args = vec!["for-each-ref", "--format=%(refname:strip=2)"];
        args.extend(more);
        let pattern = format!("refs/tags/{TAG}*");
        args.push(&pattern);
        git::output(root, &args)
    };
    let all = list(&[])?;
    if all.trim().is_empty() {
        return Ok(());
    }
    let merged = list(&["--merged=HEAD"])?;
    let merged: BTreeSet<&str> = merged.lines().collect();
    for tag in all.lines() {
        let Some(version) = tag.strip_prefix(TAG).and_then(number_of) else {
            released.problems.push(format!(
                "the tag {tag} is no release of the protocol: these are {TAG} and a number, written in one way"
            ));
            continue;
        };
        let mut release =
            Release { tag: tag.to_owned(), version, merged: merged.contains(tag), tables: Vec::new() };
        release.tables = tables(root, &release)?;
        if release.tables.last().is_none_or(|(newest, _)| *newest != version) {
            released.problems.push(format!(
                "the tag {tag} has no {}: a release holds the table of its version",
                golden_name(version)
            ));
        }
        released.tags.push(release);
    }
    released.tags.sort_by_key(|release| release.version);
    Ok(())
}

/// The tables that a tag holds, up to that of its version: a table of a version that comes later was only being worked on.
fn tables(root: &Path, release: &Release) -> Outcome<Vec<(u32, String)>> {
    let tag = release.full_tag();
    let names = git::output(root, &["ls-tree", "--name-only", "-z", &tag, &format!("{FOLDER}/")])?;
    let mut tables = Vec::new();
    for name in names.split('\0') {
        let file = name.strip_prefix(FOLDER).and_then(|name| name.strip_prefix('/'));
        let version = file.and_then(|file| number_of(file.strip_prefix('v')?.strip_suffix(".txt")?));
        if let Some(version) = version.filter(|version| *version <= release.version) {
            tables.push((version, git::output(root, &["show", &format!("{tag}:{name}")])?));
        }
    }
    tables.sort_by_key(|(of, _)| *of);
    Ok(tables)
}

/// The versions that CHANGELOG.md called released in any commit that leads to the one that is checked out.
fn once_released(root: &Path) -> Outcome<BTreeSet<u32>> {
    // Every commit and every side of a merge, whatever this machine's configuration would leave out of a log.
    let log = [
        "-c",
        "log.showRoot=true",
        "-c",
        "log.follow=false",
        "log",
        "--full-history",
        "-m",
        "--patch",
        "--unified=0",
        "--format=",
        "--text",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--no-show-signature",
        "HEAD",
        "--",
        changelog::NAME,
    ];
    let patches = git::output(root, &log)?;
    let added = patches.lines().filter_map(|line| line.strip_prefix('+'));
    Ok(added.filter_map(changelog::released_by).collect())
}

/// A released table has one digest: in its heading, in the golden file and in the tag. So a tag that is moved to another table
/// needs an edit of CHANGELOG.md that a review sees.
fn digests_agree(changelog: &Changelog, golden: &BTreeMap<u32, String>, released: &mut Released) {
    for heading in changelog.released() {
        let version = heading.version;
        let name = golden_name(version);
        let tag = released.tags.iter().find(|tag| tag.version == version);
        let of_tag = tag.and_then(|tag| tag.tables.iter().find(|(of, _)| *of == version));
        let of_tag = of_tag.map(|(_, table)| digest_of(table));
        let of_golden = golden.get(&version).map(|table| digest_of(table));
        let Some(said) = &heading.sha256 else {
            let digest = of_tag.or(of_golden).unwrap_or_else(|| format!("and the digest of {name}"));
            released.problems.push(format!(
                "CHANGELOG.md says that version {version} is released, and not what was: write `{DIGEST}{digest}` behind the day"
            ));
            continue;
        };
        let mut differs = |what: String, digest: Option<String>| {
            if let Some(digest) = digest.filter(|digest| digest != said) {
                released.problems.push(format!(
                    "CHANGELOG.md says that version {version} was released with {DIGEST}{said}, and {what} has {digest}"
                ));
            }
        };
        differs(format!("the table of the tag {TAG}{version} (was it moved?)"), of_tag);
        differs(name, of_golden);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace with a changelog, and a repository once something is committed.
    struct Scratch {
        folder: tempfile::TempDir,
        workspace: Workspace,
    }

    const TABLE: &str = "the table of version 1";
    const NOT_YET: &str = "### Version 1: not released\n";

    /// A heading that is written as it has to be.
    fn heading(table: &str) -> String {
        format!("### Version 1: released 2026-01-01, layout sha256 {}\n", digest_of(table))
    }

    impl Scratch {
        fn new(changelog: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().to_owned();
            let scratch = Self { folder, workspace: Workspace { target: root.join("target"), root } };
            scratch.write("CHANGELOG.md", changelog);
            scratch.write("vas-shm-proto/layout/v1.txt", TABLE);
            scratch
        }

        /// One in which version 1 was released by a commit and its tag, and something else came behind it.
        fn with_release() -> Self {
            let scratch = Self::new(NOT_YET);
            scratch.commit();
            scratch.write("CHANGELOG.md", &heading(TABLE));
            scratch.commit();
            scratch.git(&["tag", "protocol-v1"]);
            scratch.write("other", "work");
            scratch.commit();
            scratch
        }

        fn clone_of(other: &Self, how: &[&str]) -> Self {
            let clone = Self::new("");
            fs::remove_dir_all(clone.folder.path().join("vas-shm-proto")).unwrap();
            fs::remove_file(clone.folder.path().join("CHANGELOG.md")).unwrap();
            let from = format!("file://{}", other.folder.path().display());
            let to = clone.folder.path().to_str().unwrap();
            other.git(&[&["clone", "--quiet"], how, &[&from, to]].concat());
            clone
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn git(&self, args: &[&str]) {
            let identity =
                ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
            git::output(&self.workspace.root, &[&identity, args].concat()).unwrap();
        }

        fn commit(&self) {
            self.git(&["init", "--quiet"]);
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "--allow-empty", "--message", "all"]);
        }

        fn released(&self) -> Released {
            let changelog = Changelog::read(&self.workspace).unwrap();
            let golden = crate::layout::golden_tables(&self.workspace).unwrap();
            released(&self.workspace, &changelog, &golden).unwrap()
        }

        #[track_caller]
        fn refuses(&self, words: &str) {
            let problems = self.released().problems.join("\n");
            assert!(problems.contains(words), "{problems}");
        }

        #[track_caller]
        fn passes(&self) -> Released {
            let released = self.released();
            assert!(released.problems.is_empty(), "{:?}", released.problems);
            released
        }
    }

    #[test]
    fn a_released_table_comes_from_the_tag_and_not_from_the_work_tree() {
        let scratch = Scratch::new(&format!("### Version 2: not released\n\n{}", heading(TABLE)));
        scratch.write("vas-shm-proto/layout/v2.txt", "being worked on");
        scratch.commit();
        scratch.git(&["tag", "protocol-v1"]);
        let released = scratch.passes();
        assert_eq!((released.tags.len(), released.unseen), (1, None));
        assert_eq!(released.tags[0].tables, [(1, TABLE.to_owned())]);
        assert!(released.tags[0].merged);
        scratch.write("vas-shm-proto/layout/v1.txt", "edited");
        assert_eq!(scratch.released().tags[0].tables, [(1, TABLE.to_owned())]);
    }

    #[test]
    fn a_release_without_its_tag_or_its_table_is_refused() {
        let scratch = Scratch::new(&heading(TABLE));
        scratch.refuses("git finds no repository here");
        scratch.commit();
        scratch.refuses("there is no tag protocol-v1: `git fetch --tags`");
        scratch.git(&["tag", "protocol-v1"]);
        scratch.passes();
        scratch.git(&["rm", "--quiet", "vas-shm-proto/layout/v1.txt"]);
        scratch.commit();
        scratch.git(&["tag", "--force", "protocol-v1"]);
        scratch.refuses("the tag protocol-v1 has no vas-shm-proto/layout/v1.txt");
    }

    #[test]
    fn a_tag_whose_number_is_written_in_another_way_is_refused() {
        for tag in ["protocol-vfirst", "protocol-v01", "protocol-v+1", "protocol-v0", "protocol-v1-rc"] {
            let scratch = Scratch::with_release();
            scratch.git(&["tag", tag]);
            scratch.refuses(&format!("the tag {tag} is no release of the protocol"));
        }
    }

    #[test]
    fn a_release_is_not_taken_back_by_its_heading() {
        let scratch = Scratch::with_release();
        scratch.passes();
        scratch.write("CHANGELOG.md", NOT_YET);
        scratch.refuses("the tag protocol-v1 released version 1, and CHANGELOG.md has no heading");
        scratch.refuses("CHANGELOG.md said once that version 1 is released");
        scratch.commit();
        scratch.refuses("CHANGELOG.md said once that version 1 is released");
        scratch.git(&["tag", "--delete", "protocol-v1"]);
        scratch.refuses("CHANGELOG.md said once that version 1 is released");
        let clone = Scratch::clone_of(&scratch, &["--no-tags"]);
        clone.refuses("CHANGELOG.md said once that version 1 is released");
    }

    #[test]
    fn a_release_that_only_a_merge_brought_is_seen_in_history() {
        let scratch = Scratch::new(NOT_YET);
        scratch.commit();
        scratch.git(&["checkout", "--quiet", "-b", "side"]);
        scratch.write("CHANGELOG.md", &heading(TABLE));
        scratch.commit();
        scratch.write("CHANGELOG.md", NOT_YET);
        scratch.commit();
        scratch.git(&["checkout", "--quiet", "-"]);
        scratch.write("other", "work");
        scratch.commit();
        scratch.passes();
        scratch.git(&["merge", "--quiet", "--no-edit", "side"]);
        scratch.refuses("CHANGELOG.md said once that version 1 is released");
    }

    #[test]
    fn a_tag_of_another_branch_guards_its_tables_too() {
        let scratch = Scratch::new(NOT_YET);
        scratch.commit();
        scratch.git(&["checkout", "--quiet", "-b", "release"]);
        scratch.write("CHANGELOG.md", &heading(TABLE));
        scratch.commit();
        scratch.git(&["tag", "protocol-v1"]);
        scratch.git(&["checkout", "--quiet", "-"]);
        scratch.write("vas-shm-proto/layout/v1.txt", "edited");
        scratch.commit();
        let released = scratch.released();
        assert_eq!(released.tags[0].tables, [(1, TABLE.to_owned())]);
        assert_eq!(released.tags[0].shown(), "protocol-v1 (a tag that is not part of this history)");
    }

    #[test]
    fn a_tag_that_is_moved_to_another_table_contradicts_the_heading() {
        let scratch = Scratch::with_release();
        scratch.write("vas-shm-proto/layout/v1.txt", "another table");
        scratch.refuses("and vas-shm-proto/layout/v1.txt has");
        scratch.commit();
        scratch.git(&["tag", "--force", "protocol-v1"]);
        scratch.refuses("the table of the tag protocol-v1 (was it moved?) has");
    }

    #[test]
    fn a_released_heading_without_the_digest_says_what_to_write() {
        let scratch = Scratch::with_release();
        scratch.write("CHANGELOG.md", "### Version 1: released 2026-01-01\n\nWords.\n");
        scratch.refuses(&format!("write `layout sha256 {}` behind the day", digest_of(TABLE)));
    }

    #[test]
    fn every_golden_table_has_its_own_heading() {
        let scratch = Scratch::new("### Version 2: not released\n");
        scratch.commit();
        scratch.refuses("v1.txt is there, and CHANGELOG.md has no heading `### Version 1: not released`");
        scratch.write("CHANGELOG.md", "#### Version 1: released 2026-01-01\n");
        scratch.refuses("`#### Version 1: released 2026-01-01` is neither");
    }

    #[test]
    fn a_shallow_clone_says_what_it_cannot_see_and_refuses_a_release_without_its_tag() {
        let scratch = Scratch::with_release();
        let clone = Scratch::clone_of(&scratch, &["--depth=1", "--no-tags"]);
        clone.refuses("there is no tag protocol-v1: `git fetch --unshallow --tags`");
        clone.git(&["fetch", "--quiet", "--depth=1", "origin", "tag", "protocol-v1"]);
        assert!(clone.passes().unseen.unwrap().contains("this clone is shallow"));

        let scratch = Scratch::new(NOT_YET);
        scratch.commit();
        scratch.commit();
        let clone = Scratch::clone_of(&scratch, &["--depth=1"]);
        assert!(clone.passes().unseen.unwrap().contains("this clone is shallow"));
    }

    #[test]
    fn before_the_first_release_there_is_nothing_to_keep() {
        let scratch = Scratch::new(NOT_YET);
        assert!(scratch.passes().unseen.unwrap().contains("git finds no repository here"));
        scratch.git(&["init", "--quiet"]);
        assert_eq!(scratch.passes().unseen, None);
        scratch.commit();
        let released = scratch.passes();
        assert!(released.tags.is_empty());
        assert_eq!(released.unseen, None);
    }

    #[test]
    fn a_repository_that_git_cannot_read_is_no_reason_to_pass() {
        let scratch = Scratch::new(NOT_YET);
        scratch.write(".git/HEAD", "nothing that git knows");
        let changelog = Changelog::read(&scratch.workspace).unwrap();
        let failure = released(&scratch.workspace, &changelog, &BTreeMap::new()).unwrap_err();
        assert!(failure.sentence.contains("git"), "{failure}");
    }

    #[test]
    fn a_folder_inside_another_repository_has_none_of_its_own() {
        let outer = Scratch::new(&heading(TABLE));
        outer.commit();
        outer.write("copy/CHANGELOG.md", &heading(TABLE));
        let root = outer.folder.path().join("copy");
        let workspace = Workspace { target: root.join("target"), root };
        let changelog = Changelog::read(&workspace).unwrap();
        let found = released(&workspace, &changelog, &BTreeMap::new()).unwrap();
        assert!(found.problems[0].contains("only lies in another repository"), "{:?}", found.problems);
    }
}
