//! The released tables, as git has them: what was released cannot be edited out of the work tree.

use std::fs;
use std::process::Command;

use super::{FOLDER, golden_name};
use crate::failure::{Context, Failure, Outcome};
use crate::run;
use crate::workspace::Workspace;

/// Tags of released versions are this and the number.
pub(super) const TAG: &str = "protocol-v";
/// Headings of versions in CHANGELOG.md: this, the number, a colon and whether it is released.
pub(super) const HEADING: &str = "### Version ";
pub(super) const NOT_RELEASED: &str = "not released";

/// The tables of one release tag.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) tag: String,
    pub(super) version: u32,
    /// Version and text of every table that was released until then.
    pub(super) tables: Vec<(u32, String)>,
}

/// What git says about releases.
#[derive(Debug)]
pub(super) enum Released {
    /// Why there is nothing to compare with.
    Nothing(String),
    /// Release tags of this history, lowest version first; at least one.
    Tags(Vec<Release>),
}

/// Reads the released tables; fails if CHANGELOG.md speaks of releases that git does not show.
pub(super) fn released(workspace: &Workspace) -> Outcome<Released> {
    let announced = announced(workspace)?;
    let wanted =
        announced.last().map(|version| format!("CHANGELOG.md says that version {version} is released"));
    let nothing = |problem: &str, remedy: &str| match &wanted {
        Some(wanted) => Err(Failure::new(format!(
            "{wanted}, but {problem}, so nobody can say what was released: {remedy}"
        ))),
        None => Ok(Released::Nothing(format!(
            "no version is released yet (CHANGELOG.md), and {problem}: there is no older layout to keep"
        ))),
    };
    let Ok(top) = git(workspace, &["rev-parse", "--show-toplevel"]) else {
        return nothing("git finds no repository here", "run this in a clone, with git installed");
    };
    let real = |path: &std::path::Path| path.canonicalize().context(|| format!("resolve {}", path.display()));
    if real(top.trim_end().as_ref())? != real(&workspace.root)? {
        return nothing("this folder only lies in another repository", "run this in a clone");
    }
    if git(workspace, &["rev-parse", "--is-shallow-repository"])?.trim() == "true" {
        return nothing(
            "this clone is shallow and does not show every tag",
            "`git fetch --unshallow --tags`",
        );
    }
    let tags = git(workspace, &["tag", "--list", &format!("{TAG}*"), "--merged", "HEAD"]).unwrap_or_default();
    let mut releases = tags.lines().map(|tag| release(workspace, tag)).collect::<Outcome<Vec<_>>>()?;
    releases.sort_by_key(|release| release.version);
    if let Some(missing) =
        announced.iter().find(|version| releases.iter().all(|tag| tag.version != **version))
    {
        return Err(Failure::new(format!(
            "CHANGELOG.md says that version {missing} is released, and this history has no tag {TAG}{missing}: \
             `git fetch --tags`, or tag the release"
        )));
    }
    if releases.is_empty() {
        return nothing("no tag says otherwise", "`git fetch --tags`");
    }
    Ok(Released::Tags(releases))
}

fn release(workspace: &Workspace, tag: &str) -> Outcome<Release> {
    let number = |text: &str, before: &str, after: &str| {
        text.strip_prefix(before)?.strip_suffix(after)?.parse::<u32>().ok()
    };
    let version = number(tag, TAG, "").ok_or_else(|| {
        Failure::new(format!("the tag {tag} is no release of the protocol: these are {TAG} and a number"))
    })?;
    let names = git(workspace, &["ls-tree", "--name-only", tag, &format!("{FOLDER}/")])?;
    let mut tables = Vec::new();
    for name in names.lines() {
        // A table of a version that comes later was only being worked on.
        let of = number(name, &format!("{FOLDER}/v"), ".txt").filter(|of| *of <= version);
        if let Some(of) = of {
            tables.push((of, git(workspace, &["show", &format!("{tag}:{name}")])?));
        }
    }
    tables.sort_by_key(|(of, _)| *of);
    if tables.last().is_none_or(|(newest, _)| *newest != version) {
        return Err(Failure::new(format!(
            "the tag {tag} has no {}: a release holds the table of its version",
            golden_name(version)
        )));
    }
    Ok(Release { tag: tag.to_owned(), version, tables })
}

/// The versions that CHANGELOG.md calls released, lowest first.
fn announced(workspace: &Workspace) -> Outcome<Vec<u32>> {
    let path = workspace.root.join("CHANGELOG.md");
    let text = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    announced_in(&text)
}

fn announced_in(changelog: &str) -> Outcome<Vec<u32>> {
    let mut known = false;
    let mut released = Vec::new();
    for heading in changelog.lines().filter_map(|line| line.strip_prefix(HEADING)) {
        let (number, status) = heading.split_once(':').unwrap_or((heading, ""));
        let version =
            number.trim().parse().context(|| format!("CHANGELOG.md: heading `{HEADING}{heading}`"))?;
        known = true;
        if !status.contains(NOT_RELEASED) {
            released.push(version);
        }
    }
    released.sort_unstable();
    // Without it a release would go unnoticed.
    if known {
        Ok(released)
    } else {
        Err(Failure::new(format!("CHANGELOG.md has no heading `{HEADING}1: ...`")))
    }
}

/// What git says, asked about this workspace whatever the environment points it to.
fn git(workspace: &Workspace, args: &[&str]) -> Outcome<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(&workspace.root).args(args);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    run::output(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A workspace with a changelog, and a repository if `init` says so.
    struct Scratch {
        folder: tempfile::TempDir,
        workspace: Workspace,
    }

    impl Scratch {
        fn new(changelog: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().to_owned();
            let scratch = Self { folder, workspace: Workspace { target: root.join("target"), root } };
            scratch.write("CHANGELOG.md", changelog);
            scratch
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn git(&self, args: &[&str]) {
            let identity =
                ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
            git(&self.workspace, &[&identity, args].concat()).unwrap();
        }

        fn commit(&self) {
            self.git(&["init", "--quiet"]);
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "--message", "all"]);
        }

        fn released(&self) -> Outcome<Released> {
            released(&self.workspace)
        }

        #[track_caller]
        fn refuses(&self, words: &str) {
            let failure = self.released().unwrap_err();
            assert!(failure.sentence.contains(words), "{failure}");
        }
    }

    const RELEASED: &str = "## Protocol\n\n### Version 2: not released\n\n### Version 1: released\n";
    const NOT_YET: &str = "### Version 1: not released\n";

    #[test]
    fn the_changelog_says_which_versions_are_released() {
        assert_eq!(announced_in(RELEASED).unwrap(), [1]);
        assert_eq!(announced_in(NOT_YET).unwrap(), [0; 0]);
        assert!(announced_in("# Changelog\n").unwrap_err().sentence.contains("no heading"));
    }

    #[test]
    fn a_released_table_comes_from_the_tag_and_not_from_the_work_tree() {
        let scratch = Scratch::new(RELEASED);
        scratch.write("vas-shm-proto/layout/v1.txt", "released");
        scratch.write("vas-shm-proto/layout/v2.txt", "being worked on");
        scratch.commit();
        scratch.git(&["tag", "protocol-v1"]);
        scratch.write("vas-shm-proto/layout/v1.txt", "edited");
        let Released::Tags(tags) = scratch.released().unwrap() else { panic!("there is a tag") };
        assert_eq!(tags.len(), 1);
        assert_eq!(tags[0].tables, [(1, "released".to_owned())]);
    }

    #[test]
    fn a_release_without_its_tag_or_its_table_is_refused() {
        let scratch = Scratch::new(RELEASED);
        scratch.refuses("git finds no repository here");
        scratch.commit();
        scratch.refuses("this history has no tag protocol-v1: `git fetch --tags`");
        scratch.git(&["tag", "protocol-v1"]);
        scratch.refuses("the tag protocol-v1 has no vas-shm-proto/layout/v1.txt");
        scratch.git(&["tag", "--delete", "protocol-v1"]);
        scratch.git(&["tag", "protocol-vfirst"]);
        scratch.refuses("the tag protocol-vfirst is no release of the protocol");
    }

    #[test]
    fn a_shallow_clone_is_refused_once_something_is_released() {
        let scratch = Scratch::new(RELEASED);
        scratch.commit();
        let clone = Scratch::new("");
        fs::remove_file(clone.folder.path().join("CHANGELOG.md")).unwrap();
        let from = format!("file://{}", scratch.folder.path().display());
        let to = clone.folder.path().to_str().unwrap();
        assert!(run::succeeds("git", ["clone", "--quiet", "--depth=1", &from, to]));
        clone.refuses("`git fetch --unshallow --tags`");
    }

    #[test]
    fn before_the_first_release_there_is_nothing_to_keep() {
        let scratch = Scratch::new(NOT_YET);
        assert!(matches!(scratch.released().unwrap(), Released::Nothing(_)));
        scratch.commit();
        assert!(matches!(scratch.released().unwrap(), Released::Nothing(_)));
    }

    #[test]
    fn a_folder_inside_another_repository_has_none_of_its_own() {
        let outer = Scratch::new(RELEASED);
        outer.commit();
        outer.write("copy/CHANGELOG.md", RELEASED);
        let root = outer.folder.path().join("copy");
        let workspace = Workspace { target: Path::new("/nowhere").to_owned(), root };
        let failure = released(&workspace).unwrap_err();
        assert!(failure.sentence.contains("only lies in another repository"), "{failure}");
    }
}
