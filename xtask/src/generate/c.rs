//! The C header: constants, offsets, structs, and static assertions that hold the compiler to both.

use std::fmt::Write as _;

use crate::layout::compiled::{
    CONSTANTS, FIELDS, Field, HEADER_SIZE, Kind, SIZES, SLOT_RECORD_SIZE, SLOT_TABLE_OFFSET, VERSION, Value,
};

use super::{is_bytes, slot_field};

const HEAD: &str = "\
/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The layout of frame.meta. Generated from vas-shm-proto/src/layout.rs by `cargo xtask generate`: do not edit.
 *
 * C11 and C++11. All numbers are unsigned and little-endian, all fields naturally aligned (PROTOCOL.md, section 3).
 * Kinds: C constant once the file is visible; A atomic, one aligned word that changes; - reserved, never looked at.
 *
 * The structs are for bytes that were copied out of the file once (HEAD-3). A fields of a live mapping are loaded one
 * by one, as atomics, at their offsets (HEAD-2): vas_shm.h does all of that.
 */
#ifndef VAS_SHM_LAYOUT_H
#define VAS_SHM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

";

pub(super) fn text(digest: &str) -> String {
    let mut text = String::from(HEAD);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "/* SHA-256 of layout/v{VERSION}.txt: the same digest stands in PROTOCOL.md. */\n\
         #define VAS_SHM_LAYOUT_SHA256 \"{digest}\"\n\n\
         /* The version that this header knows; a reader accepts every version >= 1 (CHANGE-4). */\n\
         #define VAS_SHM_VERSION {VERSION}u\n"
    );
    for constant in CONSTANTS {
        let value = match constant.value {
            Value::Number(number) => number_literal(number),
            Value::Bytes(bytes) => {
                format!("\"{}\" /* {} bytes, no terminator */", bytes.escape_ascii(), bytes.len())
            }
            Value::Text(text) => format!("{text:?}"),
        };
        let _ = writeln!(text, "/* {} */\n#define VAS_SHM_{} {value}", constant.meaning, constant.name);
    }

    text.push_str(
        "/* bytes of the whole header of VAS_SHM_VERSION, and of one record of its slot table */\n",
    );
    for (name, size) in SIZES {
        let _ = writeln!(text, "#define VAS_SHM_SIZEOF_{} {size}u", name.to_uppercase());
    }
    text.push_str("\n/* Offsets in bytes from the start of frame.meta. */\n");
    for field in stream() {
        let _ = writeln!(text, "#define VAS_SHM_OFFSET_{} {}u", field.name.to_uppercase(), field.offset);
    }
    text.push_str("\n/* Offsets in bytes from the start of a slot record. */\n");
    for (field, name) in slot() {
        let offset = field.offset - SLOT_TABLE_OFFSET;
        let _ = writeln!(text, "#define VAS_SHM_SLOT_OFFSET_{} {offset}u", name.to_uppercase());
    }

    text.push_str("\nstruct vas_shm_slot_record {\n");
    slot().for_each(|(field, name)| text.push_str(&member(field, name)));
    text.push_str("};\n\nstruct vas_shm_header {\n");
    stream()
        .filter(|field| field.offset < SLOT_TABLE_OFFSET)
        .for_each(|field| text.push_str(&member(field, field.name)));
    text.push_str("    struct vas_shm_slot_record slot[VAS_SHM_MAX_SLOTS];\n};\n\n");
    if tail().next().is_some() {
        let _ = writeln!(text, "/* What follows the header of version 1, from offset {HEADER_SIZE} on. */");
        text.push_str("struct vas_shm_tail {\n");
        tail().for_each(|field| text.push_str(&member(field, field.name)));
        text.push_str("};\n\n");
    }

    text.push_str(
        "#ifdef __cplusplus\n#define VAS_SHM_STATIC_ASSERT(condition, sentence) static_assert(condition, sentence)\n\
         #else\n#define VAS_SHM_STATIC_ASSERT(condition, sentence) _Static_assert(condition, sentence)\n#endif\n\n",
    );
    assert_that(&mut text, &format!("sizeof(struct vas_shm_header) == {HEADER_SIZE}u"));
    assert_that(&mut text, &format!("sizeof(struct vas_shm_slot_record) == {SLOT_RECORD_SIZE}u"));
    assert_that(&mut text, &format!("offsetof(struct vas_shm_header, slot) == {SLOT_TABLE_OFFSET}u"));
    for field in stream().filter(|field| field.offset < HEADER_SIZE) {
        let offset = format!("VAS_SHM_OFFSET_{}", field.name.to_uppercase());
        assert_that(&mut text, &format!("offsetof(struct vas_shm_header, {}) == {offset}", field.name));
    }
    for field in tail() {
        let offset = format!("VAS_SHM_OFFSET_{} - {HEADER_SIZE}u", field.name.to_uppercase());
        assert_that(&mut text, &format!("offsetof(struct vas_shm_tail, {}) == {offset}", field.name));
    }
    for (_, name) in slot() {
        let offset = format!("VAS_SHM_SLOT_OFFSET_{}", name.to_uppercase());
        assert_that(&mut text, &format!("offsetof(struct vas_shm_slot_record, {name}) == {offset}"));
    }
    text.push_str("\n#endif\n");
    text
}

fn stream() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| slot_field(field).is_none())
}

/// Stream fields behind the header of version 1.
fn tail() -> impl Iterator<Item = &'static Field> {
    stream().filter(|field| field.offset >= HEADER_SIZE)
}

fn slot() -> impl Iterator<Item = (&'static Field, &'static str)> {
    FIELDS.iter().filter_map(|field| Some((field, slot_field(field)?)))
}

/// What does not fit an `unsigned int` gets the macro of <stdint.h>.
fn number_literal(number: u64) -> String {
    match u32::try_from(number) {
        Ok(number) => format!("{number}u"),
        Err(_) => format!("UINT64_C({number})"),
    }
}

fn member(field: &Field, name: &str) -> String {
    let kind = match field.kind {
        Kind::Constant => 'C',
        Kind::Atomic => 'A',
        Kind::Reserved => '-',
    };
    let declaration = match field.ty {
        "u8" => format!("uint8_t {name};"),
        "u16" => format!("uint16_t {name};"),
        "u32" => format!("uint32_t {name};"),
        "u64" => format!("uint64_t {name};"),
        _ if is_bytes(field) => format!("uint8_t {name}[{}];", field.size),
        other => panic!("{} is of the type {other}, which nobody has said how to write in C", field.name),
    };
    format!("    {declaration:<28} /* {kind}, since {}: {} */\n", field.since, field.meaning)
}

fn assert_that(text: &mut String, condition: &str) {
    let _ = writeln!(text, "VAS_SHM_STATIC_ASSERT({condition}, \"{condition}\");");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(ty: &'static str, size: usize) -> String {
        let field = Field { name: "x", offset: 0, size, ty, kind: Kind::Constant, since: 1, meaning: "m" };
        member(&field, "x").split(';').next().unwrap().trim().to_owned()
    }

    #[test]
    fn every_type_of_the_table_has_its_own_in_c() {
        assert_eq!(declared("u8", 1), "uint8_t x");
        assert_eq!(declared("u16", 2), "uint16_t x");
        assert_eq!(declared("u32", 4), "uint32_t x");
        assert_eq!(declared("u64", 8), "uint64_t x");
        assert_eq!(declared("12 bytes", 12), "uint8_t x[12]");
    }

    #[test]
    #[should_panic(expected = "x is of the type i32, which nobody has said how to write in C")]
    fn a_type_that_nobody_knows_is_not_taken_for_bytes() {
        declared("i32", 4);
    }
}
