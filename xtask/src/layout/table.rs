//! A layout as a table: what the compiler makes of layout.rs, and what a golden file says, in the same form.
//!
//! The text is made to be read and to be compared line by line. Every line stands for itself: its first word says what it
//! is, its cells are at least two blanks apart, and no cell has two blanks in a row. Lines that begin with `#` are headings.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::compiled::{self, Value};
use crate::failure::{Failure, Outcome};

/// Numbers from here on are easier to read as hexadecimal.
const HEXADECIMAL_FROM: u64 = 0x1_0000;

/// One layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) version: u32,
    /// Sizes of the structs in bytes.
    pub(crate) sizes: Vec<(String, u64)>,
    pub(crate) constants: Vec<Constant>,
    /// In order of offset.
    pub(crate) fields: Vec<Field>,
}

/// One constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constant {
    pub(crate) name: String,
    /// As it is printed.
    pub(crate) value: String,
    pub(crate) since: u32,
    pub(crate) meaning: String,
}

impl Constant {
    /// Its value, if that is a number.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => self.value.parse().ok(),
        }
    }
}

/// Whether a field may change while its file is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Constant,
    Atomic,
    Reserved,
}

/// One field, or reserved bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) ty: String,
    pub(crate) kind: Kind,
    pub(crate) since: u32,
    pub(crate) name: String,
    pub(crate) meaning: String,
}

impl Field {
    /// The first byte behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.kind == Kind::Reserved
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Constant => "constant",
            Self::Atomic => "atomic",
            Self::Reserved => "reserved",
        })
    }
}

impl Table {
    /// What the compiler makes of vas-shm-proto/src/layout.rs.
    pub(crate) fn compiled() -> Self {
        let constants = compiled::CONSTANTS.iter().map(|constant| Constant {
            name: constant.name.to_owned(),
            value: match constant.value {
                Value::Number(number) if number >= HEXADECIMAL_FROM => format!("{number:#x}"),
                Value::Number(number) => number.to_string(),
                Value::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
                Value::Text(text) => format!("\"{}\"", text.escape_default()),
            },
            since: constant.since,
            meaning: constant.meaning.to_owned(),
        });
        let fields = compiled::FIELDS.iter().map(|field| Field {
            offset: field.offset as u64,
            size: field.size as u64,
            ty: field.ty.to_owned(),
            kind: match field.kind {
                compiled::Kind::Constant => Kind::Constant,
                compiled::Kind::Atomic => Kind::Atomic,
                compiled::Kind::Reserved => Kind::Reserved,
            },
            since: field.since,
            name: field.name.to_owned(),
            meaning: field.meaning.to_owned(),
        });
        Self {
            version: compiled::VERSION,
            sizes: compiled::SIZES.iter().map(|&(name, size)| (name.to_owned(), size as u64)).collect(),
            constants: constants.collect(),
            fields: fields.collect(),
        }
    }

    /// The size of a struct, 0 if there is none of that name.
    pub(crate) fn size(&self, name: &str) -> u64 {
        self.sizes.iter().find(|(other, _)| other == name).map_or(0, |(_, size)| *size)
    }

    /// Reads what [`fmt::Display`] wrote; `place` is the file, for the sentence about a line that it cannot read.
    pub(crate) fn parse(place: &str, text: &str) -> Outcome<Self> {
        let mut version = None;
        let mut table = Self { version: 0, sizes: Vec::new(), constants: Vec::new(), fields: Vec::new() };
        let mut names = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| Failure::new(format!("{place}:{}: {what}: {line}", index + 1));
            let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            let name = match cells[..] {
                ["version", number] => {
                    let number = number.parse().map_err(|_| wrong("the version is no number"))?;
                    if version.replace(number).is_some() {
                        return Err(wrong("a second version"));
                    }
                    continue;
                }
                ["size", name, size] => {
                    let size = size.parse().map_err(|_| wrong("the size is no number"))?;
                    table.sizes.push((name.to_owned(), size));
                    name
                }
                ["constant", since, name, value, meaning] => {
                    table.constants.push(Constant {
                        name: name.to_owned(),
                        value: value.to_owned(),
                        since: since.parse().map_err(|_| wrong("`since` is no number"))?,
                        meaning: meaning.to_owned(),
                    });
                    name
                }
                ["field", since, offset, size, ty, kind, name, meaning] => {
                    table.fields.push(Field {
                        offset: offset.parse().map_err(|_| wrong("the offset is no number"))?,
                        size: size.parse().map_err(|_| wrong("the size is no number"))?,
                        ty: ty.to_owned(),
                        kind: match kind {
                            "constant" => Kind::Constant,
                            "atomic" => Kind::Atomic,
                            "reserved" => Kind::Reserved,
                            _ => return Err(wrong("the kind is not constant, atomic or reserved")),
                        },
                        since: since.parse().map_err(|_| wrong("`since` is no number"))?,
                        name: name.to_owned(),
                        meaning: meaning.to_owned(),
                    });
                    name
                }
                _ => return Err(wrong("this is no line of a layout table")),
            };
            if !names.insert((cells[0].to_owned(), name.to_owned())) {
                return Err(wrong("this name stands there already"));
            }
        }
        table.version = version.ok_or_else(|| Failure::new(format!("{place}: no line says the version")))?;
        Ok(table)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!(
            "# Layout of frame.meta, version {}: little-endian, naturally aligned. Written by `cargo xtask layout bless`.\n\
             # Rows of slot[i] give the offsets of record 0; record i lies SLOT_RECORD_SIZE * i further on.\n\n",
            self.version
        );
        writeln!(text, "version   {}", self.version)?;
        for (name, size) in &self.sizes {
            writeln!(text, "size      {name:<12}  {size}")?;
        }
        writeln!(text, "\n#         since  name                 value           meaning")?;
        for Constant { name, value, since, meaning } in &self.constants {
            writeln!(text, "constant  {since:>5}  {name:<19}  {value:<14}  {meaning}")?;
        }
        writeln!(
            text,
            "\n#         since  offset  size  type       kind      name                    meaning"
        )?;
        for Field { offset, size, ty, kind, since, name, meaning } in &self.fields {
            writeln!(
                text,
                "field     {since:>5}  {offset:>6}  {size:>4}  {ty:<9}  {kind:<8}  {name:<22}  {meaning}"
            )?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let table = Table::compiled();
        assert_eq!(Table::parse("print", &table.to_string()).unwrap(), table);
        assert_eq!(table.fields.len(), compiled::FIELDS.len());
        assert_eq!(table.constants.len(), compiled::CONSTANTS.len());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_with_its_place() {
        for (line, what) in [
            ("field  1  0  4  u32  constant  name", "this is no line of a layout table"),
            ("field  1  zero  4  u32  constant  name  meaning", "the offset is no number"),
            ("field  1  0  4  u32  variable  name  meaning", "the kind is not constant, atomic or reserved"),
            ("size  header  768", "this name stands there already"),
            ("version  2", "a second version"),
        ] {
            let failure =
                Table::parse("v1.txt", &format!("version  1\nsize  header  768\n{line}\n")).unwrap_err();
            assert_eq!(failure.sentence, format!("v1.txt:3: {what}: {line}"));
        }
        assert_eq!(
            Table::parse("v1.txt", "# nothing\n").unwrap_err().sentence,
            "v1.txt: no line says the version"
        );
    }
}
