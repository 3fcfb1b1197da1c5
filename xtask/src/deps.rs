//! `cargo xtask deps`: the walls between the crates, proved from what cargo resolves and from the sources.
//!
//! Readers never link a writer or FFmpeg, the contract needs no std, `unsafe` stands only in the named modules, and
//! no crate needs a newer Rust than it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{no_std, run, ui};

/// A crate, and what must not be anywhere in what it links or builds with.
const WALLS: &[(&str, &[&str])] = &[
    (PROTO, &["vas-shm-writer", C_WRITER, "vas-shm-reader", "vas-ingest", "rustix", "memmap2", FFMPEG]),
    ("vas-shm-reader", &["vas-shm-writer", C_WRITER, "vas-ingest", FFMPEG]),
    ("vas-shm-writer", &["vas-shm-reader", "vas-ingest", FFMPEG]),
    (C_WRITER, &["vas-shm-reader", "vas-ingest", FFMPEG]),
    ("vas-frames", &["vas-shm-writer", C_WRITER, "vas-ingest", "vas-replay", FFMPEG]),
    // The file format that both sides know, so that neither has to know the other.
    (
        "vas-recording",
        &["vas-shm-writer", C_WRITER, "vas-shm-reader", "vas-ingest", "rustix", "memmap2", FFMPEG],
    ),
    ("vas-replay", &["vas-shm-reader", "vas-frames", C_WRITER, "vas-ingest", FFMPEG]),
    (GSTREAMER, &["vas-shm-writer", C_WRITER, "vas-ingest", FFMPEG]),
    ("vas-frames-python", &["vas-shm-writer", C_WRITER, "vas-ingest", "vas-replay", FFMPEG]),
];
const PROTO: &str = "vas-shm-proto";
const C_WRITER: &str = "vas-shm-writer-c";
const GSTREAMER: &str = "gst-plugin-vasframes";
const FFMPEG: &str = "ffmpeg-sys-next";
/// The only member that may know FFmpeg.
const FFMPEG_OWNER: &str = "vas-ingest";
/// Members that may have that one in their tree, and FFmpeg by it: they measure its path of a frame.
const FFMPEG_BY_OWNER: &[&str] = &["vas-cost"];

/// Files (or folders, with a slash at the end) in which unsafe code may stand.
const UNSAFE_PLACES: &[&str] = &[
    "vas-shm-writer/src/map.rs",
    "vas-shm-reader/src/map.rs",
    "vas-ingest/src/av/",
    "vas-ingest/benches/convert/swscale.rs",
    "vas-ingest/benches/copy/swscale.rs",
    "bench/copy/src/kernels.rs",
    "bindings/c-writer/src/ffi.rs",
    "tests/e2e/src/attempt.rs",
    "tests/interop/src/lease.rs",
    "tests/torture/src/os.rs",
];
/// The lint's name, apart from the word that would switch it off, so that this file does not find itself.
const LINT: &str = "unsafe_code";

/// Runs every check, says how each ended, and fails if any did.
pub(crate) fn command(workspace: &Workspace) -> Outcome {
    ui::stage("Walls between the crates");
    let metadata = metadata(workspace)?;
    let members = members(&metadata);
    let checks: [(&str, Outcome<Vec<String>>); 5] = [
        ("nobody links what stands behind a wall", walls(workspace)),
        ("only vas-ingest knows FFmpeg", ffmpeg(workspace, &metadata, &members)),
        (
            "no dependency needs a newer Rust than the crate that uses it promises",
            rust_versions(&metadata, &members),
        ),
        ("vas-shm-proto forbids unsafe code and never names std or alloc", proto_source(workspace)),
        ("unsafe code stands only in the named modules", unsafe_places(workspace, &members)),
    ];
    let mut found = 0;
    for (name, outcome) in checks {
        let problems = outcome?;
        if problems.is_empty() {
            ui::good(name);
        } else {
            ui::bad(name);
            problems.iter().for_each(|problem| ui::note(&format!("   {problem}")));
        }
        found += problems.len();
    }
    no_std::prove(workspace)?;
    if found == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!("{found} dependency checks failed, see above")))
    }
}

struct Member {
    id: String,
    name: String,
    folder: PathBuf,
}

fn metadata(workspace: &Workspace) -> Outcome<Value> {
    let text = run::output(workspace.cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    serde_json::from_str(&text).context(|| "answer of cargo metadata".into())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn members(metadata: &Value) -> Vec<Member> {
    let ids: BTreeSet<_> =
        metadata["workspace_members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    packages(metadata)
        .filter(|package| package["id"].as_str().is_some_and(|id| ids.contains(id)))
        .filter_map(|package| {
            Some(Member {
                id: package["id"].as_str()?.to_owned(),
                name: package["name"].as_str()?.to_owned(),
                folder: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
            })
        })
        .collect()
}

/// Names of all crates that a member links or builds with, on every platform.
fn tree(workspace: &Workspace, member: &str) -> Outcome<BTreeSet<String>> {
    let text = run::output(workspace.cargo().args([
        "tree",
        "--locked",
        "-p",
        member,
        "-e",
        "normal,build",
        "--target",
        "all",
        "--prefix",
        "none",
    ]))?;
    Ok(text.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect())
}

fn walls(workspace: &Workspace) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    for (member, forbidden) in WALLS {
        let tree = tree(workspace, member)?;
        problems.extend(
            forbidden
                .iter()
                .filter(|name| tree.contains(**name))
                .map(|name| format!("{member} has {name} in its tree: `cargo tree -p {member} -e normal,build -i {name}` shows how")),
        );
    }
    Ok(problems)
}

fn ffmpeg(workspace: &Workspace, metadata: &Value, members: &[Member]) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    for member in members {
        let name = &*member.name;
        let declared = packages(metadata).find(|package| package["id"] == *member.id);
        let names_it = declared
            .and_then(|package| package["dependencies"].as_array())
            .is_some_and(|all| all.iter().any(|dependency| dependency["name"] == FFMPEG));
        let links = tree(workspace, name)?.contains(FFMPEG);
        if names_it && name != FFMPEG_OWNER {
            problems.push(format!("{name} names {FFMPEG} in its manifest"));
        }
        if links && name != FFMPEG_OWNER && !FFMPEG_BY_OWNER.contains(&name) {
            problems.push(format!("{name} has {FFMPEG} in its tree"));
        }
        if !links && name == FFMPEG_OWNER {
            problems
                .push(format!("{FFMPEG_OWNER} does not link {FFMPEG}: this check looks for the wrong name"));
        }
    }
    Ok(problems)
}

/// `1.85` and `1.85.0` are the same.
fn parsed_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next().unwrap_or(Some(0))?, numbers.next().unwrap_or(Some(0))?))
}

/// Each member against everything that it links, builds or is tested with.
fn rust_versions(metadata: &Value, members: &[Member]) -> Outcome<Vec<String>> {
    let packages: BTreeMap<&str, &Value> =
        packages(metadata).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut problems = Vec::new();
    for member in members {
        let ours = packages.get(&*member.id).and_then(|package| package["rust_version"].as_str());
        let limit = ours.and_then(parsed_version);
        let (Some(ours), Some(limit)) = (ours, limit) else {
            problems.push(format!("{} states no rust-version", member.name));
            continue;
        };
        let mut seen = BTreeSet::new();
        let mut open = vec![&*member.id];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            // Tests of the member itself count; those of another member are that one's business.
            let counts = |dependency: &&Value| {
                let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
                id == member.id || kinds.any(|kind| kind["kind"] != "dev")
            };
            let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten();
            open.extend(dependencies.filter(counts).filter_map(|dependency| dependency["pkg"].as_str()));
        }
        for package in seen.into_iter().filter_map(|id| packages.get(id)) {
            let Some(needs) = package["rust_version"].as_str() else { continue };
            if parsed_version(needs).is_none_or(|needs| needs > limit) {
                let name = |key: &str| package[key].as_str().unwrap_or("?").to_owned();
                problems.push(format!(
                    "{} promises Rust {ours}, but {} {} needs {needs}",
                    member.name,
                    name("name"),
                    name("version")
                ));
            }
        }
    }
    Ok(problems)
}

/// Every `.rs` file below a folder, build folders left out.
pub(crate) fn sources(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).context(|| format!("list {}", folder.display()))? {
            let entry = entry.context(|| format!("list {}", folder.display()))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type().context(|| format!("look at {}", entry.path().display()))?;
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(entry.path());
            } else if kind.is_file() && name.ends_with(".rs") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).context(|| format!("read {}", path.display()))
}

fn proto_source(workspace: &Workspace) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    let root = workspace.root.join(PROTO).join("src");
    let lib = text(&root.join("lib.rs"))?;
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        if !lib.lines().any(|line| line == attribute) {
            problems.push(format!("{PROTO}/src/lib.rs has no line {attribute}"));
        }
    }
    for path in sources(&root)? {
        for (number, line) in text(&path)?.lines().enumerate() {
            let code = line.trim_start();
            let names_std = ["extern crate std", "extern crate alloc", "use std::", "use alloc::"];
            if names_std.iter().any(|begin| code.trim_start_matches("pub ").starts_with(begin)) {
                problems.push(format!("{}:{}: {code}", shown(workspace, &path), number + 1));
            }
        }
    }
    Ok(problems)
}

fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).to_string_lossy().into_owned()
}

/// Whether some attribute in this source switches the lint off.
fn switches_lint_off(source: &str) -> bool {
    // rustfmt may spread an attribute over lines, so spaces do not count.
    let dense: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    dense.match_indices(LINT).any(|(place, _)| {
        let begin = dense[..place].rfind("#[").max(dense[..place].rfind("#!["));
        let attribute = &dense[begin.unwrap_or(place)..place];
        let open = ["allow(", "expect(", "warn("].iter().any(|word| attribute.contains(word));
        open && !attribute.contains(']')
    })
}

fn unsafe_places(workspace: &Workspace, members: &[Member]) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    for path in sources(&workspace.root)? {
        let name = shown(workspace, &path);
        let named = UNSAFE_PLACES
            .iter()
            .any(|place| name == *place || place.ends_with('/') && name.starts_with(place));
        if !named && switches_lint_off(&text(&path)?) {
            problems.push(format!("{name} switches {LINT} off"));
        }
    }
    // The lint is denied once, at the root; a member that does not inherit it would have no wall.
    let root: String = text(&workspace.root.join("Cargo.toml"))?;
    if !root.lines().any(|line| line.starts_with(LINT) && line.contains("\"deny\"")) {
        problems.push(format!("Cargo.toml does not deny {LINT}"));
    }
    for member in members {
        let manifest = text(&member.folder.join("Cargo.toml"))?;
        let inherits = manifest
            .split_once("[lints]")
            .is_some_and(|(_, rest)| rest.trim_start().starts_with("workspace = true"));
        if !inherits {
            problems.push(format!("{}: Cargo.toml does not inherit the workspace's lints", member.name));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parsed_version("1.85"), parsed_version("1.85.0"));
        assert!(parsed_version("1.9") < parsed_version("1.85"));
        assert_eq!(parsed_version("nightly"), None);
    }

    #[test]
    fn an_attribute_that_switches_the_lint_off_is_found_however_it_is_written() {
        for attribute in [
            "#![allow(LINT, reason = \"mapping\")]",
            "#[allow(\n    dead_code,\n    LINT,\n)]\nfn f() {}",
            "#[expect(LINT)]",
            "#![cfg_attr(test, allow(LINT))]",
        ] {
            assert!(switches_lint_off(&attribute.replace("LINT", LINT)), "{attribute}");
        }
        for attribute in ["#![forbid(LINT)]", "#![deny(LINT)]", "#[allow(dead_code)]\n// LINT is denied here"]
        {
            assert!(!switches_lint_off(&attribute.replace("LINT", LINT)), "{attribute}");
        }
    }
}
