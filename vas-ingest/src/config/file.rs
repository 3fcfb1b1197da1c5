//! The TOML file: which of its keys are known where, and on which line they stand.

use super::keys::{Key, Kind, STATUS_FILE, Table};
use super::layers::{self, Layer, Origin, Value};
use super::{ConfigError, Result, fail, nearest};
use crate::redact;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The configuration file, for paths and for lines in sentences.
pub(super) struct File<'a> {
    /// None: there is none.
    pub(super) name: Option<&'a Path>,
    pub(super) text: &'a str,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) server: Layer,
    pub(super) export: Layer,
    pub(super) defaults: Layer,
    pub(super) cameras: Vec<CameraTable>,
}

/// One `[[camera]]`, and where it begins.
#[derive(Debug)]
pub(super) struct CameraTable {
    pub(super) keys: Layer,
    pub(super) at: String,
}

impl File<'_> {
    /// Everything in it. Unknown keys, wrong types and numbers out of their bounds are refused.
    pub(super) fn read(&self) -> Result<Tables> {
        let document = DeTable::parse(self.text).map_err(|error| self.explain(&error))?;
        let mut tables = Tables::default();
        for (name, value) in in_order(document.get_ref()) {
            let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name.get_ref()) else {
                return fail(format!("{}: {}", self.at(name), unknown_table(name.get_ref())));
            };
            match (table, value.get_ref()) {
                (Table::Server, DeValue::Table(keys)) => tables.server = self.layer(table, keys)?,
                (Table::Export, DeValue::Table(keys)) => tables.export = self.layer(table, keys)?,
                (Table::Defaults, DeValue::Table(keys)) => tables.defaults = self.layer(table, keys)?,
                (Table::Camera, DeValue::Array(cameras)) => {
                    for camera in cameras {
                        let DeValue::Table(keys) = camera.get_ref() else {
                            return fail(format!("{}: a camera begins with [[camera]]", self.at(camera)));
                        };
                        let keys = self.layer(table, keys)?;
                        tables.cameras.push(CameraTable { keys, at: self.at(camera) });
                    }
                }
                (Table::Camera, _) => {
                    return fail(format!(
                        "{}: a camera begins with [[camera]], in two brackets",
                        self.at(value)
                    ));
                }
                (table, _) => {
                    let heading = table.heading();
                    return fail(format!("{}: this is a table, it begins with {heading}", self.at(value)));
                }
            }
        }
        Ok(tables)
    }

    /// The status file that it names. Whatever else is wrong with the file: somebody may be editing it.
    pub(super) fn status_file(&self) -> Option<PathBuf> {
        let (document, _mistakes) = DeTable::parse_recoverable(self.text);
        let tables = in_order(document.get_ref());
        let server = tables.into_iter().find(|(name, _)| Table::Server.name() == name.get_ref());
        let Some(DeValue::Table(keys)) = server.map(|(_, keys)| keys.get_ref()) else { return None };
        let key = in_order(keys).into_iter().find(|(name, _)| STATUS_FILE.name == name.get_ref());
        match key.map(|(_, value)| value.get_ref()) {
            Some(DeValue::String(path)) if !path.is_empty() => Some(self.path(Path::new(&**path))),
            _ => None,
        }
    }

    fn layer(&self, table: Table, keys: &DeTable<'_>) -> Result<Layer> {
        let mut layer = Layer::default();
        for (name, value) in in_order(keys) {
            let Some(key) = table.keys().iter().find(|key| key.name == name.get_ref()) else {
                return fail(format!("{}: {}", self.at(name), unknown_key(table, name.get_ref())));
            };
            if table == Table::Defaults && key.is_of_one {
                return fail(format!(
                    "{}: id and url belong to a [[camera]], not to [defaults]",
                    self.at(name)
                ));
            }
            let origin = Origin::File(self.at(value));
            let value = self.value(key, value.get_ref(), &origin)?;
            layer.set(key, value, origin);
        }
        Ok(layer)
    }

    fn value(&self, key: &Key, value: &DeValue<'_>, origin: &Origin) -> Result<Value> {
        let found = match (&key.kind, value) {
            (Kind::Number(_) | Kind::Group, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number)
            }
            (Kind::Switch, DeValue::Boolean(on)) => Some(Value::Switch(*on)),
            (kind, DeValue::String(text)) => layers::from_text(kind, Cow::Borrowed(text)),
            _ => None,
        };
        match found {
            Some(Value::Number(number)) => {
                layers::check_number(key, number, origin)?;
                Ok(Value::Number(number))
            }
            Some(Value::Path(path)) => Ok(Value::Path(self.path(&path))),
            Some(value) => Ok(value),
            None => {
                let wanted = key.kind.wanted();
                match (&key.kind, value) {
                    (Kind::Choice(_), DeValue::String(_)) | (Kind::Number(_), DeValue::Integer(_)) => {
                        fail(format!("{origin}: {wanted} is wanted here"))
                    }
                    (_, value) => {
                        fail(format!("{origin}: this is {}, but {wanted} is wanted here", kind_of(value)))
                    }
                }
            }
        }
    }

    fn line(&self, offset: usize) -> String {
        let line = self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1;
        let name = self.name.map_or_else(|| "configuration".into(), Path::to_string_lossy);
        format!("{name} line {line}")
    }

    fn at<T>(&self, value: &Spanned<T>) -> String {
        self.line(value.span().start)
    }

    /// Paths in the file are relative to its directory.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.name.and_then(Path::parent).map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// What the parser found, without values: they may be passwords.
    fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let at = self.line(span.start);
        let message = error.message();
        let sentence = if message == "duplicate key" {
            // Of what a key may be, only a plain one: anything else may be a mistyped value.
            let key = self.text.get(span).filter(|key| is_bare(key));
            key.map_or_else(
                || "this key is there already: keep one".to_owned(),
                |key| format!("{key} is there already: keep one"),
            )
        } else {
            message.lines().collect::<Vec<_>>().join(", ")
        };
        ConfigError(redact::text(&format!("{at}: {sentence}")))
    }
}

fn is_bare(key: &str) -> bool {
    Table::ALL.iter().any(|table| table.name() == key || table.keys().iter().any(|known| known.name == key))
}

/// As they stand in the file: the first mistake is the first that is told.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The tables that know a key.
fn owners(key: &str) -> Vec<&'static str> {
    let knows = |table: &Table| {
        let found = table.keys().iter().find(|known| known.name == key);
        found.is_some_and(|known| !(known.is_of_one && *table == Table::Defaults))
    };
    Table::ALL.iter().filter(|table| knows(table)).map(|table| table.heading()).collect()
}

fn unknown_key(table: Table, key: &str) -> String {
    let known: Vec<&str> = table.keys().iter().map(|key| key.name).collect();
    unknown(key, &known)
}

fn unknown_table(key: &str) -> String {
    unknown(key, &Table::ALL.map(Table::name))
}

fn unknown(key: &str, known: &[&str]) -> String {
    let owners = owners(key);
    if !owners.is_empty() {
        return format!("unknown key {key:?} here; it belongs to {}", owners.join(" or "));
    }
    match nearest(key, known.iter().copied()) {
        Some(name) => format!("unknown key {key:?}; did you mean {name:?}?"),
        None => format!("unknown key {key:?}; known here: {}", known.join(", ")),
    }
}
