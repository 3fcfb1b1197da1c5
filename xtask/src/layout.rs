//! `cargo xtask layout`: the layout of version 1 as text, so that a change to it is seen by eye and by git.
//!
//! `vas-shm-proto/layout/v1.txt` is the golden print. `check` compares it with what the compiler makes of the structs;
//! once version 1 is released, also with the print of that release: fields may then only be appended (§15.2).

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use vas_shm_proto::layout::{self, Field, Kind};

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

const GOLDEN: &str = "vas-shm-proto/layout/v1.txt";
/// Heading of version 1 in CHANGELOG.md; what follows it says whether it is released.
const HEADING: &str = "### Version 1:";
const NOT_RELEASED: &str = "not released";
/// Tags of released protocol versions begin with this.
const RELEASE_TAGS: &str = "protocol-v*";

/// The text of the golden file, made from the structs.
fn text() -> String {
    let mut text = String::from(
        "# Layout of frame.meta, version 1: little-endian, naturally aligned. Written by `cargo xtask layout bless`.\n\
         # Rows of slot[i] give the offsets of record 0; record i lies SLOT_RECORD_SIZE * i further on.\n\n",
    );
    let constants: [(&str, u64); 8] = [
        ("VERSION", vas_shm_proto::version::VERSION.into()),
        ("HEADER_SIZE", layout::HEADER_SIZE as u64),
        ("SLOT_TABLE_OFFSET", layout::SLOT_TABLE_OFFSET as u64),
        ("SLOT_RECORD_SIZE", layout::SLOT_RECORD_SIZE as u64),
        ("MIN_SLOTS", layout::MIN_SLOTS as u64),
        ("MAX_SLOTS", layout::MAX_SLOTS as u64),
        ("PAGE_SIZE", layout::PAGE_SIZE as u64),
        ("MAX_DIMENSION", layout::MAX_DIMENSION.into()),
    ];
    // Writing to a String does not fail.
    for (name, value) in constants {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    let _ = writeln!(text, "{:<18} {:#010x}", "PIXEL_FORMAT_NV12", layout::PIXEL_FORMAT_NV12);
    let _ = writeln!(text, "{:<18} {}", "MAGIC", layout::MAGIC.escape_ascii());
    for (name, value) in [
        ("META_NAME", layout::META_NAME),
        ("DATA_NAME", layout::DATA_NAME),
        ("DEFAULT_BASE", layout::DEFAULT_BASE),
    ] {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    let _ = writeln!(text, "\noffset  size  type       kind      since  name");
    for field in &layout::FIELDS {
        text.push_str(&row(field));
    }
    text
}

fn row(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Constant => "constant",
        Kind::Atomic => "atomic",
        Kind::Reserved => "reserved",
    };
    format!(
        "{:>6}  {:>4}  {:<9}  {kind:<8}  {:>5}  {}: {}\n",
        field.offset, field.size, field.ty, field.since, field.name, field.meaning
    )
}

/// Prints the layout as it is now.
pub(crate) fn print() {
    print!("{}", text());
}

fn golden(workspace: &Workspace) -> PathBuf {
    workspace.root.join(GOLDEN)
}

/// Writes the layout as it is now into the golden file.
pub(crate) fn bless(workspace: &Workspace) -> Outcome {
    let path = golden(workspace);
    let folder = path.parent().unwrap_or(&workspace.root);
    fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    fs::write(&path, text()).context(|| format!("write {}", path.display()))?;
    ui::good(&format!("wrote {GOLDEN}: look at it with `git diff` before you commit it"));
    Ok(())
}

/// Compares with the golden file, and after the release with the released one.
pub(crate) fn check(workspace: &Workspace) -> Outcome {
    ui::stage("Layout of version 1");
    let path = golden(workspace);
    let golden = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let differences = differences(&golden, &text());
    if !differences.is_empty() {
        differences.iter().for_each(|line| ui::note(line));
        return Err(Failure::new(format!(
            "the structs are not what {GOLDEN} says: undo the change, or, if it is meant, `cargo xtask layout bless`"
        )));
    }
    ui::good(&format!("the structs are what {GOLDEN} says"));

    if is_released(workspace)? {
        let describe = ["describe", "--tags", "--abbrev=0", "--match", RELEASE_TAGS];
        let tag = run::output(workspace_git(workspace).args(describe)).map_err(|failure| {
            Failure::new(format!(
                "CHANGELOG.md says that version 1 is released, and no tag {RELEASE_TAGS} is there to compare with: `git fetch --tags`, or tag the release ({failure})"
            ))
        })?;
        let released =
            run::output(workspace_git(workspace).args(["show", &format!("{}:{GOLDEN}", tag.trim())]))?;
        let broken = broken(&released, &golden);
        if !broken.is_empty() {
            broken.iter().for_each(|line| ui::note(line));
            return Err(Failure::new(format!(
                "the layout breaks what {} released: fields may only be appended",
                tag.trim()
            )));
        }
        ui::good(&format!("every field of {} stands where it stood and means what it meant", tag.trim()));
    } else {
        ui::note("version 1 is not released yet (CHANGELOG.md): there is no older layout to keep");
    }
    Ok(())
}

fn workspace_git(workspace: &Workspace) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(&workspace.root);
    command
}

fn is_released(workspace: &Workspace) -> Outcome<bool> {
    let path = workspace.root.join("CHANGELOG.md");
    let changelog = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let status = changelog
        .lines()
        .find_map(|line| line.strip_prefix(HEADING))
        .ok_or_else(|| Failure::new(format!("CHANGELOG.md has no heading `{HEADING} ...`")))?;
    Ok(!status.contains(NOT_RELEASED))
}

/// Lines of one text that the other lacks.
fn differences(old: &str, new: &str) -> Vec<String> {
    let lacks = |text: &str, line: &str| !text.lines().any(|other| other == line);
    let mut found: Vec<_> =
        old.lines().filter(|line| lacks(new, line)).map(|line| format!("- {line}")).collect();
    found.extend(new.lines().filter(|line| lacks(old, line)).map(|line| format!("+ {line}")));
    if found.is_empty() && old != new {
        found.push("the same lines in another order".into());
    }
    found
}

/// Lines of a released layout that are no longer there. Reserved space may become fields; nothing else may go.
fn broken(released: &str, now: &str) -> Vec<String> {
    let kept = |line: &str| {
        line.starts_with('#')
            || line.split_whitespace().any(|word| word == "reserved")
            || now.lines().any(|other| other == line)
    };
    released.lines().filter(|line| !kept(line)).map(|line| format!("gone or changed: {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &str = "# comment\nHEADER_SIZE        768\n     0     4  u32  constant  1  version: v\n   128   128  bytes  reserved  1  reserved: r\n";

    #[test]
    fn fields_may_take_reserved_space() {
        let now = "HEADER_SIZE        768\n     0     4  u32  constant  1  version: v\n   128     8  u64  atomic  2  more: m\n   136   120  bytes  reserved  1  reserved: r\n";
        assert!(broken(RELEASED, now).is_empty());
    }

    #[test]
    fn a_field_that_moves_or_means_something_else_is_named() {
        let moved = RELEASED.replace("     0     4  u32", "     4     4  u32");
        assert_eq!(broken(RELEASED, &moved).len(), 1);
        let other_meaning = RELEASED.replace("version: v", "version: w");
        assert_eq!(broken(RELEASED, &other_meaning).len(), 1);
    }

    #[test]
    fn the_print_has_a_row_for_every_field() {
        let text = text();
        for field in &layout::FIELDS {
            assert!(text.contains(&format!("  {}: ", field.name)), "{}", field.name);
        }
    }
}
