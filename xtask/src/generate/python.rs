//! The constants and offsets as a Python module that needs nothing but itself.

use std::fmt::Write as _;

use crate::layout::compiled::{CONSTANTS, FIELDS, Field, SIZES, SLOT_TABLE_OFFSET, VERSION, Value};

use super::{is_bytes, slot_field};

const HEAD: &str = r#"# SPDX-License-Identifier: MIT OR Apache-2.0
"""The layout of frame.meta. Generated from vas-shm-proto/src/layout.rs by `cargo xtask generate`: do not edit.

All numbers are unsigned and little-endian, all fields naturally aligned (PROTOCOL.md, section 3).
"""

from typing import Final

"#;

pub(super) fn text(digest: &str) -> String {
    let mut text = String::from(HEAD);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "# SHA-256 of layout/v{VERSION}.txt: the same digest stands in PROTOCOL.md.\n\
         LAYOUT_SHA256: Final = \"{digest}\"\n\n\
         # The version that this module knows; a reader accepts every version >= 1 (CHANGE-4).\n\
         VERSION: Final = {VERSION}\n"
    );
    for constant in CONSTANTS {
        let value = match constant.value {
            Value::Number(number) => number.to_string(),
            Value::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
            Value::Text(text) => format!("{text:?}"),
        };
        let _ = writeln!(text, "# {}\n{}: Final = {value}", constant.meaning, constant.name);
    }
    for (name, size) in SIZES {
        let _ = writeln!(
            text,
            "# bytes of a whole {name} of VERSION\nSIZEOF_{}: Final = {size}",
            name.to_uppercase()
        );
    }
    text.push_str("\n# name: (bytes from the start of frame.meta, size in bytes, format of struct)\nFIELDS: Final = {\n");
    for field in FIELDS.iter().filter(|field| slot_field(field).is_none()) {
        text.push_str(&row(field, field.name, field.offset));
    }
    text.push_str("}\n\n# name: (bytes from the start of a slot record, size in bytes, format of struct)\nSLOT_FIELDS: Final = {\n");
    for field in &FIELDS {
        if let Some(name) = slot_field(field) {
            text.push_str(&row(field, name, field.offset - SLOT_TABLE_OFFSET));
        }
    }
    text.push_str("}\n");
    text
}

fn row(field: &Field, name: &str, offset: usize) -> String {
    let format = match field.ty {
        "u8" => "<B".to_owned(),
        "u16" => "<H".to_owned(),
        "u32" => "<I".to_owned(),
        "u64" => "<Q".to_owned(),
        _ if is_bytes(field) => format!("{}s", field.size),
        other => panic!("{} is of the type {other}, which nobody has said how to read in Python", field.name),
    };
    format!("    \"{name}\": ({offset}, {}, \"{format}\"),\n", field.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::compiled::Kind;

    fn format_of(ty: &'static str, size: usize) -> String {
        let field = Field { name: "x", offset: 6, size, ty, kind: Kind::Constant, since: 1, meaning: "m" };
        row(&field, "x", 6)
    }

    #[test]
    fn every_type_of_the_table_has_its_format_in_python() {
        assert_eq!(format_of("u8", 1), "    \"x\": (6, 1, \"<B\"),\n");
        assert_eq!(format_of("u16", 2), "    \"x\": (6, 2, \"<H\"),\n");
        assert_eq!(format_of("u32", 4), "    \"x\": (6, 4, \"<I\"),\n");
        assert_eq!(format_of("u64", 8), "    \"x\": (6, 8, \"<Q\"),\n");
        assert_eq!(format_of("12 bytes", 12), "    \"x\": (6, 12, \"12s\"),\n");
    }

    #[test]
    #[should_panic(expected = "x is of the type i32, which nobody has said how to read in Python")]
    fn a_type_that_nobody_knows_is_not_taken_for_bytes() {
        format_of("i32", 4);
    }
}
