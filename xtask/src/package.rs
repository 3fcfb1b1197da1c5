//! `cargo xtask package`: the crates that are for publication, packed, looked into, and built from what was packed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

/// The crates that are for publication, each after those that it needs.
pub(crate) const PUBLISHED: [&str; 3] = ["vas-shm-proto", "vas-shm-reader", "vas-shm-writer"];

/// crates.io takes no larger file.
const SIZE_LIMIT_BYTES: u64 = 10 * 1024 * 1024;

/// What every package holds at its top: cargo's own files, and those that a crate is not published without.
const IN_EVERY_PACKAGE: [&str; 8] = [
    "Cargo.toml",
    "Cargo.toml.orig",
    "Cargo.lock",
    ".cargo_vcs_info.json",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
];
/// What one holds besides. What is not named here does not get into a package by mistake.
const BESIDES: [(&str, &[&str]); 3] = [
    ("vas-shm-proto", &["PROTOCOL.md", "layout", "conformance", "tests"]),
    ("vas-shm-reader", &["examples", "tests"]),
    ("vas-shm-writer", &["examples"]),
];

/// What cargo warns of, and why that is known. Any other warning fails.
const KNOWN_WARNINGS: [(&str, &str); 3] = [
    (
        "manifest has no documentation, homepage or repository",
        "where it will be published from is not decided: `repository` is for whoever publishes to set (CONTRIBUTING.md)",
    ),
    ("spurious network error", "the registry did not answer at once, and cargo asks again"),
    ("ignoring test ", "tests that need the whole repository are left out on purpose"),
];

/// Whether files may have changes that are not committed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    Clean,
    AsItStands,
}

/// A package that was made.
struct Package {
    name: &'static str,
    version: String,
    /// What was packed, unpacked again.
    folder: PathBuf,
    file: PathBuf,
}

/// Packs, has cargo build each from its package, and looks into them.
pub(crate) fn command(workspace: &Workspace, tree: Tree) -> Outcome {
    ui::stage("Packages");
    // A place that no run before had: cargo keeps what it unpacks of a package under the name of that place, and takes it for up
    // to date ever after. In the same place, a crate would be built against what its neighbour was an hour or a commit ago.
    fs::create_dir_all(&workspace.target).context(|| format!("make {}", workspace.target.display()))?;
    let place = tempfile::Builder::new().prefix("package-").tempdir_in(&workspace.target);
    let place = place.context(|| format!("make a folder in {}", workspace.target.display()))?;
    let packed = pack(workspace, tree, place.path());
    forget_unpacked(place.path());
    packed?;
    // Where cargo itself would have put them.
    let usual = workspace.target.join("package");
    if usual.exists() {
        fs::remove_dir_all(&usual).context(|| format!("remove {}", usual.display()))?;
    }
    fs::rename(place.path().join("package"), &usual)
        .context(|| format!("move the packages to {}", usual.display()))
}

fn pack(workspace: &Workspace, tree: Tree, place: &Path) -> Outcome {
    let mut command = workspace.cargo();
    command.args(["package", "--locked", "--target-dir"]).arg(place);
    command.args(PUBLISHED.iter().flat_map(|name| ["-p", name]));
    if tree == Tree::AsItStands {
        command.arg("--allow-dirty");
    }
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    // Packed twice: first for its warnings, every one of them, then with the builds, which take long and say much.
    let output = workspace.cargo().args(&words).arg("--no-verify").output();
    let output = output.context(|| "start cargo package".into())?;
    let mut problems = if output.status.success() {
        warnings(&String::from_utf8_lossy(&output.stderr))
    } else {
        // The second run says why.
        Vec::new()
    };
    run::behind_ticker("packing, and building from the packages", &mut command)?;
    for package in packages(workspace, &place.join("package"))? {
        let found = look_into(workspace, &package)?;
        if found.is_empty() {
            let size = fs::metadata(&package.file).map_or(0, |metadata| metadata.len());
            ui::good(&format!(
                "{} {}: {} KiB, builds from its package",
                package.name,
                package.version,
                size / 1024
            ));
        }
        problems.extend(found);
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter().for_each(|problem| ui::bad(problem));
    Err(Failure::new(format!("{} things are wrong with the packages, see above", problems.len())))
}

/// Warnings that nobody has accepted; says which of the accepted ones there were.
fn warnings(text: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut known = BTreeSet::new();
    for warning in text.lines().filter_map(|line| line.strip_prefix("warning: ")) {
        match KNOWN_WARNINGS.iter().find(|(begin, _)| warning.starts_with(begin)) {
            Some(found) => drop(known.insert(*found)),
            None => unknown.push(format!("cargo package warns: {warning}")),
        }
    }
    for (warning, reason) in known {
        ui::note(&format!("known: cargo warns `{}`: {reason}", warning.trim()));
    }
    unknown
}

/// Removes what cargo unpacked of the packages while it built them in `place`, out of its own folder: nobody would look there again.
/// Where that is, is told by the lists of sources that the compiler leaves.
fn forget_unpacked(place: &Path) {
    let lists = fs::read_dir(place.join("debug/deps")).into_iter().flatten().flatten();
    let lists =
        lists.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "d"));
    for list in lists {
        let text = fs::read_to_string(list).unwrap_or_default();
        for source in text.split_whitespace().map(Path::new) {
            // Sources of a registry that is a folder stand under a name without a host.
            let local = source.ancestors().find(|folder| {
                folder.parent().is_some_and(|parent| parent.ends_with("registry/src"))
                    && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('-'))
            });
            if let Some(folder) = local {
                // Not there any more: removed by way of another list.
                let _ = fs::remove_dir_all(folder);
            }
        }
    }
}

fn packages(workspace: &Workspace, folder: &Path) -> Outcome<Vec<Package>> {
    PUBLISHED
        .iter()
        .map(|name| {
            let version = version(workspace, name)?;
            let stem = format!("{name}-{version}");
            let file = folder.join(format!("{stem}.crate"));
            Ok(Package { name, version, folder: folder.join(stem), file })
        })
        .collect()
}

/// The version of a member.
pub(crate) fn version(workspace: &Workspace, name: &str) -> Outcome<String> {
    let id = run::output(workspace.cargo().args(["pkgid", "-p", name]))?;
    let version = id.trim().rsplit(['#', '@']).next().unwrap_or_default();
    Ok(version.to_owned())
}

fn look_into(workspace: &Workspace, package: &Package) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    let size = fs::metadata(&package.file).context(|| format!("look at {}", package.file.display()))?.len();
    if size > SIZE_LIMIT_BYTES {
        problems.push(format!("{}: {size} bytes, crates.io takes {SIZE_LIMIT_BYTES}", package.name));
    }
    let mut files = Vec::new();
    list(&package.folder, &mut files)?;
    let names: Vec<_> = files.iter().filter_map(|file| file.strip_prefix(&package.folder).ok()).collect();
    let besides =
        BESIDES.iter().find(|(name, _)| *name == package.name).map_or(&[][..], |(_, besides)| besides);
    problems.extend(contents(package.name, &names, besides));
    // Nothing of the machine that it was packed on.
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
    let private: Vec<_> = [Some(workspace.root.clone()), Some(workspace.target.clone()), home]
        .into_iter()
        .flatten()
        .map(|path| format!("{}/", path.display()))
        .collect();
    for file in &files {
        let bytes = fs::read(file).context(|| format!("read {}", file.display()))?;
        let shown = file.strip_prefix(&package.folder).unwrap_or(file).display();
        for path in &private {
            if bytes.windows(path.len()).any(|window| window == path.as_bytes()) {
                problems.push(format!("{}: {shown} names {path} of this machine", package.name));
            }
        }
    }
    Ok(problems)
}

/// What is missing at the top of a package, and what does not belong there.
fn contents(name: &str, files: &[&Path], besides: &[&str]) -> Vec<String> {
    let tops: BTreeSet<_> = files
        .iter()
        .filter_map(|file| Some(file.components().next()?.as_os_str().to_string_lossy().into_owned()))
        .collect();
    let expected: BTreeSet<_> =
        IN_EVERY_PACKAGE.iter().chain(besides).map(|name| (*name).to_owned()).collect();
    let missing = expected.difference(&tops).map(|top| format!("{name}: {top} is missing in the package"));
    let foreign =
        tops.difference(&expected).map(|top| format!("{name}: {top} does not belong into the package"));
    missing.chain(foreign).collect()
}

/// Every file below a folder, without cargo's build folder.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder).context(|| format!("list {}", folder.display()))? {
        let entry = entry.context(|| format!("list {}", folder.display()))?;
        let kind = entry.file_type().context(|| format!("look at {}", entry.path().display()))?;
        if !kind.is_dir() {
            found.push(entry.path());
        } else if entry.file_name() != "target" {
            list(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Runs the tests and the examples that are in the packages, outside the workspace, each against the packages of the others: what
/// somebody has who got them from the registry.
pub(crate) fn test(workspace: &Workspace) -> Outcome {
    ui::stage("Tests and examples of the packages");
    let packages = packages(workspace, &workspace.target.join("package"))?;
    // cargo looks for a workspace in every folder above; outside all of them it finds none.
    let place = tempfile::tempdir().context(|| "make a temporary folder".into())?;
    for package in &packages {
        // -m: every file is of now. cargo packs all with one date of long ago, by which it would take the tests that an earlier
        // run has built for up to date.
        let archive =
            Command::new("tar").arg("-xzmf").arg(&package.file).arg("-C").arg(place.path()).output();
        let output = archive.context(|| "start tar".into())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("unpack {}: {}", package.file.display(), stderr.trim())));
        }
    }
    let folder = |package: &Package| place.path().join(format!("{}-{}", package.name, package.version));
    for package in &packages {
        let mut command = workspace.cargo();
        command.args(["test", "--all-targets", "--target-dir"]).arg(workspace.target.join("release-check"));
        command.arg("--manifest-path").arg(folder(package).join("Cargo.toml"));
        for other in packages.iter().filter(|other| other.name != package.name) {
            let path = folder(other);
            command.arg("--config").arg(format!("patch.crates-io.{}.path='{}'", other.name, path.display()));
        }
        run::behind_ticker(
            &format!("tests and examples of {} from its package", package.name),
            &mut command,
        )?;
        // Examples in the documentation are no target, so they are asked for by themselves.
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut command = workspace.cargo();
        command
            .args(words.into_iter().map(|word| if word == "--all-targets" { "--doc".into() } else { word }));
        run::behind_ticker(&format!("documentation's examples of {}", package.name), &mut command)?;
        ui::good(&format!("{} passes its tests and examples from its package", package.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_foreign_is_named() {
        let all: Vec<_> = IN_EVERY_PACKAGE.iter().map(Path::new).collect();
        assert!(contents("x", &all, &[]).is_empty());
        assert_eq!(contents("x", &all[..7], &[]), ["x: src is missing in the package"]);
        assert_eq!(contents("x", &all, &["layout"]), ["x: layout is missing in the package"]);
        let more: Vec<_> = all.iter().copied().chain([Path::new("notes/todo.txt")]).collect();
        assert_eq!(contents("x", &more, &[]), ["x: notes does not belong into the package"]);
    }

    #[test]
    fn only_known_warnings_pass() {
        let text = "warning: manifest has no documentation, homepage or repository\n  |\nwarning: ignoring test `a` as `tests/a.rs` is not included\nwarning: something new\n";
        assert_eq!(warnings(text), ["cargo package warns: something new"]);
    }
}
