//! `cargo xtask generate`: everything that is made from the one table in `vas-shm-proto/src/layout.rs`, so that no copy of it
//! is kept by hand: the C header, the constants for Python, and the table and the digest in `PROTOCOL.md`; and the header of the
//! writer's C interface, from its Rust source (`writer.rs`).
//!
//! The files are committed: people who never run this get them. `--check` makes all of them in memory and compares.

mod c;
mod protocol;
mod python;
mod writer;

use std::fs;
use std::path::Path;

use crate::failure::{Context, Failure, Outcome};
use crate::layout;
use crate::layout::compiled::{CONSTANTS, FIELDS, Field, Value};
use crate::ui;
use crate::workspace::Workspace;

/// Prefix of the names of fields that every slot record has.
const SLOT_PREFIX: &str = "slot[i].";

/// A file that is made from the table: where it stands, and its text as a function of the digest and of what stands there now.
struct Generated {
    path: &'static str,
    text: fn(digest: &str, now: &str) -> Outcome<String>,
}

const ALL: &[Generated] = &[
    Generated { path: "bindings/c/include/vas_shm_layout.h", text: |digest, _| Ok(c::text(digest)) },
    Generated { path: "bindings/python/vas_shm_layout.py", text: |digest, _| Ok(python::text(digest)) },
    Generated { path: "vas-shm-proto/PROTOCOL.md", text: protocol::text },
];

/// Writes every file that is not what the table makes of it; with `check`, fails instead.
pub(crate) fn command(workspace: &Workspace, check: bool) -> Outcome {
    ui::stage("Generated files");
    printable()?;
    let digest = digest();
    let mut stale = Vec::new();
    let mut compare = |path: &'static str, source: &str, text: &dyn Fn(&str) -> Outcome<String>| -> Outcome {
        let file = workspace.root.join(path);
        let now = match fs::read_to_string(&file) {
            Ok(now) => now,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context(|| format!("read {}", file.display())),
        };
        let made = text(&now)?;
        if made == now {
            ui::good(&format!("{path} is what {source} makes of it"));
        } else if check {
            ui::bad(&format!("{path} is not what {source} makes of it: {}", first_difference(&now, &made)));
            stale.push(path);
        } else {
            write(&file, &made)?;
            ui::good(&format!("wrote {path}"));
        }
        Ok(())
    };
    for Generated { path, text } in ALL {
        compare(path, "layout.rs", &|now| text(&digest, now))?;
    }
    compare(writer::PATH, writer::FOLDER, &|_| writer::text(workspace))?;
    if stale.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} not made from the source as it is now: run `cargo xtask generate` and look at what changed",
            stale.join(", ")
        )))
    }
}

/// Whether every text of the table can be written into all of the files as it is.
fn printable() -> Outcome {
    let fields = FIELDS.iter().map(|field| (field.name, field.meaning));
    let constants = CONSTANTS.iter().map(|constant| (constant.name, constant.meaning));
    let texts = CONSTANTS.iter().filter_map(|constant| match constant.value {
        Value::Text(text) => Some((constant.name, text)),
        Value::Number(_) | Value::Bytes(_) => None,
    });
    let problem = fields.chain(constants).chain(texts).find_map(|(name, text)| not_printable(name, text));
    problem.map_or(Ok(()), |problem| Err(Failure::new(problem)))
}

/// What a text must not hold: it becomes a comment in C and in Python, a cell of a table, and a string between quotes.
fn not_printable(name: &str, text: &str) -> Option<String> {
    let refused = ["*/", "|", "\\", "\""].into_iter().find(|mark| text.contains(mark));
    let what = match refused {
        Some("\"") => "a double quote, which would end a string".to_owned(),
        Some(mark) => format!("`{mark}`, which would end a comment, a cell or a string"),
        None if text.chars().any(char::is_control) => "a line break or another control character".to_owned(),
        None => return None,
    };
    Some(format!(
        "layout.rs: the text of {name} has {what} in a generated file: write it in other words: {text:?}"
    ))
}

/// Whether the field's type is so many bytes, rather than a number.
fn is_bytes(field: &Field) -> bool {
    field.ty == format!("{} bytes", field.size)
}

fn write(file: &Path, text: &str) -> Outcome {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    }
    fs::write(file, text).context(|| format!("write {}", file.display()))
}

/// SHA-256 of the printed table, in hex. It changes with every offset, size, constant and meaning, and with nothing else.
fn digest() -> String {
    layout::digest_of(&layout::current_text())
}

/// Where two texts begin to differ, in one line.
fn first_difference(now: &str, made: &str) -> String {
    if now.is_empty() {
        return "it is not there".into();
    }
    let mut lines = now.lines().zip(made.lines()).enumerate();
    match lines.find(|(_, (now, made))| now != made) {
        Some((index, (now, made))) => format!("line {} is {now:?}, it has to be {made:?}", index + 1),
        None => format!("it has {} lines, it has to have {}", now.lines().count(), made.lines().count()),
    }
}

/// The field's name inside its record, for a field of the slot record.
fn slot_field(field: &Field) -> Option<&'static str> {
    field.name.strip_prefix(SLOT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), "line 2 is \"b\", it has to be \"c\"");
        assert_eq!(first_difference("a\n", "a\nc\n"), "it has 1 lines, it has to have 2");
        assert_eq!(first_difference("", "a\n"), "it is not there");
    }

    #[test]
    fn a_text_that_would_end_its_comment_its_cell_or_its_string_is_refused() {
        for (text, what) in [
            ("one */ two", "`*/`, which would end"),
            ("one | two", "`|`, which would end"),
            ("one \\ two", "`\\`, which would end"),
            ("one \" two", "a double quote"),
            ("one\ntwo", "a line break"),
        ] {
            let problem = not_printable("width", text).unwrap();
            assert!(problem.contains("the text of width has") && problem.contains(what), "{problem}");
        }
        assert_eq!(not_printable("width", "pixels per row, 1 to 16384 (§3) / 2 * 'x'"), None);
        assert!(printable().is_ok());
    }

    #[test]
    fn every_field_and_every_constant_reaches_every_language() {
        let (c, python) = (c::text("0"), python::text("0"));
        for field in &FIELDS {
            let (name, record) = match slot_field(field) {
                Some(name) => (name, "SLOT_"),
                None => (field.name, ""),
            };
            let line = format!("#define VAS_SHM_{record}OFFSET_{} ", name.to_uppercase());
            assert!(c.contains(&line), "{line}");
            assert!(python.contains(&format!("    \"{name}\": (")), "{name}");
        }
        for constant in CONSTANTS {
            assert!(c.contains(&format!("#define VAS_SHM_{} ", constant.name)), "{}", constant.name);
            assert!(python.contains(&format!("\n{}: Final = ", constant.name)), "{}", constant.name);
        }
    }
}
