//! What one place says (a table of the file, the environment, the command line), and what holds when all have spoken.

use super::keys::{Default, Key, Kind};
use super::{ConfigError, Result, fail};
use crate::redact;
use secrecy::SecretString;
use serde::de::{Deserialize, IntoDeserializer, value::StrDeserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a key is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Secret(SecretString),
    Path(PathBuf),
    Number(i64),
    Switch(bool),
}

/// Who says so, in words for a sentence: `vas.toml line 3`, a variable's name, `--base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    BuiltIn,
    File(String),
    Variable(String),
    Argument(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(place) | Self::Variable(place) | Self::Argument(place) => f.write_str(place),
        }
    }
}

/// What a key is, and who says so.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl Setting {
    /// A sentence about this value.
    pub(crate) fn refuse<T>(&self, why: impl std::fmt::Display) -> Result<T> {
        fail(format!("{}: {why}", self.origin))
    }

    /// A sentence about a file that this value names and that is not there, or cannot be read. Whoever gave the command sees that he
    /// mistyped it; what a configuration names may be on a disk that comes later, and one camera's file is no other camera's matter.
    pub(crate) fn missing(&self, why: impl std::fmt::Display) -> Result<String> {
        match (&self.origin, self.refuse::<String>(why)) {
            (Origin::File(_) | Origin::Variable(_) | Origin::BuiltIn, Err(error)) => Ok(error.0),
            (_, refused) => refused,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<Default> for Value {
    fn from(default: Default) -> Self {
        match default {
            Default::Number(number) => Self::Number(number),
            Default::Switch(on) => Self::Switch(on),
            Default::Choice(name) => Self::Text(name.to_owned()),
            Default::Path(path) => Self::Path(path.into()),
        }
    }
}

/// Text becomes what the key is; None if it cannot. Never with the text in it: it may be a password in the wrong place.
pub(crate) fn from_text(kind: &Kind, text: Cow<'_, str>) -> Option<Value> {
    match kind {
        Kind::Text | Kind::Address | Kind::Group => Some(Value::Text(text.into_owned())),
        Kind::Secret => Some(Value::Secret(text.into_owned().into())),
        Kind::Path => Some(Value::Path(text.into_owned().into())),
        Kind::Choice(names) => names.contains(&&*text).then(|| Value::Text(text.into_owned())),
        Kind::Switch | Kind::Number(_) => None,
    }
}

/// A number within the bounds of its key.
pub(crate) fn check_number(key: &Key, number: i64, origin: &Origin) -> Result<()> {
    match &key.kind {
        Kind::Number(range) if !range.contains(&number) => fail(format!(
            "{origin}: {} is {number}, it can be {} to {}",
            key.name,
            range.start(),
            range.end()
        )),
        _ => Ok(()),
    }
}

/// What one place says.
#[derive(Clone, Debug, std::default::Default)]
pub(crate) struct Layer(BTreeMap<&'static str, Setting>);

impl Layer {
    pub(crate) fn set(&mut self, key: &Key, value: Value, origin: Origin) {
        self.0.insert(key.name, Setting { value, origin });
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Setting> {
        self.0.get(key.name)
    }
}

/// What holds when all have spoken: every key with a default is there.
#[derive(Clone, Debug)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    /// The first of the layers that says something of a key has the word.
    pub(crate) fn of(keys: &'static [Key], layers: &[&Layer]) -> Self {
        let setting = |key: &Key| {
            let said = layers.iter().find_map(|layer| layer.get(key)).cloned();
            said.or_else(|| {
                key.default.map(|default| Setting { value: default.into(), origin: Origin::BuiltIn })
            })
        };
        Self(keys.iter().filter_map(|key| setting(key).map(|setting| (key.name, setting))).collect())
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Setting> {
        self.0.get(key.name)
    }

    pub(crate) fn set(&mut self, key: &Key, value: Value, origin: Origin) {
        self.0.insert(key.name, Setting { value, origin });
    }

    /// Another default, because of what another key is.
    pub(crate) fn set_default(&mut self, key: &Key, value: Value) {
        if self.get(key).is_none_or(|setting| setting.origin == Origin::BuiltIn) {
            self.set(key, value, Origin::BuiltIn);
        }
    }

    /// Of a key that is a number and has a default.
    pub(crate) fn number(&self, key: &Key) -> u64 {
        match self.get(key).map(|setting| &setting.value) {
            Some(Value::Number(number)) => number.unsigned_abs(),
            _ => unreachable!("{} is a number and has a default", key.name),
        }
    }

    /// Of a key that is a switch and has a default.
    pub(crate) fn switch(&self, key: &Key) -> bool {
        match self.get(key).map(|setting| &setting.value) {
            Some(Value::Switch(on)) => *on,
            _ => unreachable!("{} is a switch and has a default", key.name),
        }
    }

    pub(crate) fn path(&self, key: &Key) -> Option<&Path> {
        match self.get(key).map(|setting| &setting.value) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// Of a key whose names are those of a type's variants.
    pub(crate) fn choice<T: for<'de> Deserialize<'de>>(&self, key: &Key) -> Result<T> {
        let name = self.get(key).and_then(Setting::text).unwrap_or_default();
        let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        T::deserialize(name)
            .map_err(|_| ConfigError(redact::text(&format!("{} is wanted here", key.kind.wanted()))))
    }
}
