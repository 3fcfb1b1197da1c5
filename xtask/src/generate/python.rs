//! The constants and offsets as a Python module that needs nothing but itself.

use std::fmt::Write as _;

use crate::layout::compiled::{CONSTANTS, FIELDS, Field, SIZES, SLOT_TABLE_OFFSET, VERSION, Value};

use super::slot_field;

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
        let _ = writeln!(text, "# bytes of struct {name}\nSIZEOF_{}: Final = {size}", name.to_uppercase());
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
        "u32" => "<I".to_owned(),
        "u64" => "<Q".to_owned(),
        _ => format!("{}s", field.size),
    };
    format!("    \"{name}\": ({offset}, {}, \"{format}\"),\n", field.size)
}
