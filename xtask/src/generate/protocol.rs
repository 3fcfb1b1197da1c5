//! The generated parts of `PROTOCOL.md`: the table and the digest, between their markers. (The worked header in hex is made by
//! the code of the crate itself, in its test `layout_is_frozen`.)

use std::fmt::Write as _;

use crate::failure::{Failure, Outcome};
use crate::layout::compiled::{CONSTANTS, FIELDS, Kind, VERSION, Value};

use super::slot_field;

pub(super) fn text(digest: &str, now: &str) -> Outcome<String> {
    let digest = format!(
        "Digest of this layout: SHA-256 `{digest}`\nof [layout/v{VERSION}.txt](layout/v{VERSION}.txt). Whatever is generated from the layout carries it.\n"
    );
    let mut document = replaced(now, "table", &table())?;
    document = replaced(&document, "constants", &constants())?;
    replaced(&document, "digest", &digest)
}

fn table() -> String {
    let mut table = String::from(
        "| offset | size | type | name | kind | since | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for field in &FIELDS {
        let each = if slot_field(field).is_some() { " + 64 i" } else { "" };
        let kind = match field.kind {
            Kind::Constant => "C",
            Kind::Atomic => "A",
            Kind::Reserved => "-",
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| {}{each} | {} | {} | {} | {kind} | {} | {} |",
            field.offset, field.size, field.ty, field.name, field.since, field.meaning
        );
    }
    table
}

fn constants() -> String {
    let mut table = String::from("| name | value | since | meaning |\n|---|---|---|---|\n");
    for constant in CONSTANTS {
        let value = match constant.value {
            Value::Number(number) => number.to_string(),
            Value::Bytes(bytes) => format!("`{}`", bytes.escape_ascii()),
            Value::Text(text) => format!("`{text}`"),
        };
        // Writing to a String does not fail.
        let _ =
            writeln!(table, "| {} | {value} | {} | {} |", constant.name, constant.since, constant.meaning);
    }
    table
}

/// The document with another text between `<!-- begin NAME ... -->` and `<!-- end NAME -->`.
fn replaced(document: &str, name: &str, text: &str) -> Outcome<String> {
    let parts = || {
        let (before, rest) = document.split_once(&format!("<!-- begin {name}"))?;
        let (comment, rest) = rest.split_once("-->")?;
        let (_, after) = rest.split_once(&format!("<!-- end {name} -->"))?;
        Some(format!("{before}<!-- begin {name}{comment}-->\n\n{text}\n<!-- end {name} -->{after}"))
    };
    parts().ok_or_else(|| {
        Failure::new(format!(
            "PROTOCOL.md has no part between `<!-- begin {name} -->` and `<!-- end {name} -->`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let document = "a\n<!-- begin x, by hand -->\n\nold\n<!-- end x -->\nb\n";
        assert_eq!(
            replaced(document, "x", "new\n").ok().as_deref(),
            Some("a\n<!-- begin x, by hand -->\n\nnew\n\n<!-- end x -->\nb\n")
        );
        assert!(replaced(document, "y", "").is_err());
    }
}
