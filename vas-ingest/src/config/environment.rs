//! The environment: one rule gives every key its variable.
//!
//! `VAS_SERVER_<KEY>`, `VAS_EXPORT_<KEY>`, `VAS_DEFAULTS_<KEY>` and `VAS_CAMERA_<ID>_<KEY>`, all in capitals, `-` of an id as `_`.
//! A variable beats the key of the file that it names, and no other: `VAS_DEFAULTS_TRANSPORT` is `[defaults] transport`.

use super::keys::{Key, Kind, Table};
use super::layers::{self, Layer, Origin, Value};
use super::{EXPORT_ENABLED_VARIABLE, Result, fail, nearest};
use crate::redact;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use vas_shm_proto::CameraId;

/// Names cameras that no file has: `front,yard`.
pub const CAMERAS_VARIABLE: &str = "VAS_CAMERAS";

/// What the variables of the camera begin with that `vas-ingest probe` asks: it is a camera as any other.
pub(super) const PROBE_PREFIX: &str = "VAS_PROBE";

/// What systemd's `LoadCredential=` and its like are read from.
pub(super) const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// What begins like this is meant for this program.
const OURS: [&str; 2] = ["VAS_", "AI_FRAME_EXPORT"];

/// Variables of this program that name no key.
const OTHERS: [&str; 3] = [CAMERAS_VARIABLE, "VAS_LOG", "VAS_LOG_FORMAT"];

/// Variables of this project's tests and tools; a server that one of them starts has nothing to say about them.
const OF_TOOLS: [&str; 4] = ["VAS_TEST_", "VAS_CLIPS", "VAS_MODEL", "VAS_NO_SKIP"];

/// Variables, looked up by name. Without a text form: passwords are among them.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// This process's.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// One of them. Empty is not set: some ways to start a program cannot leave a variable out.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        // Whoever sets the switch to nothing may have meant either.
        let value = self.0.get(OsStr::new(name)).map(OsString::as_os_str);
        value.filter(|value| !value.is_empty() || name == EXPORT_ENABLED_VARIABLE)
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name).map(OsStr::to_str) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => fail(format!("{name} is not UTF-8")),
        }
    }

    /// What it says of a table's keys.
    pub(super) fn layer(&self, prefix: &str, keys: &[Key]) -> Result<Layer> {
        let mut layer = Layer::default();
        for key in keys {
            let name = key.variables(prefix).find(|name| self.get(name).is_some());
            if let Some(name) = name.filter(|_| key.name != super::keys::ID.name)
                && let Some(value) = self.get(&name)
            {
                let value = parse(key, &name, value)?;
                layer.set(key, value, Origin::Variable(name));
            }
        }
        Ok(layer)
    }

    /// The ids in `VAS_CAMERAS`.
    pub(super) fn cameras(&self) -> Result<Vec<CameraId>> {
        let mut ids = Vec::new();
        let names = self.text(CAMERAS_VARIABLE)?.unwrap_or_default();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match CameraId::new(name) {
                Ok(id) if ids.contains(&id) => {
                    return fail(format!("{CAMERAS_VARIABLE} has camera {id} twice"));
                }
                Ok(id) => ids.push(id),
                Err(why) => return fail(format!("{CAMERAS_VARIABLE}: id {name:?}: {why}")),
            }
        }
        Ok(ids)
    }

    /// `a-b` and `a_b`, or `a` and `A`, have the same variables: set, they would hand one camera's password to the other.
    pub(super) fn refuse_ambiguous(&self, cameras: &[CameraId]) -> Result<()> {
        for (n, id) in cameras.iter().enumerate() {
            let prefix = camera_prefix(*id);
            let Some(other) = cameras[..n].iter().find(|other| camera_prefix(**other) == prefix) else {
                continue;
            };
            let names = camera_keys().flat_map(|key| key.variables(&prefix));
            if let Some(name) = names.into_iter().find(|name| self.get(name).is_some()) {
                return fail(format!(
                    "{name} is set, and means camera {other} as well as camera {id}: give one of them another id, or use \
                     the configuration file instead of the variable"
                ));
            }
        }
        Ok(())
    }

    /// A sentence for each variable that was meant for this program and that nothing reads.
    pub(super) fn unknown(&self, cameras: &[CameraId]) -> Vec<String> {
        let mut known: Vec<String> = OTHERS.map(str::to_owned).into();
        for table in [Table::Server, Table::Export] {
            known.extend(table.keys().iter().flat_map(|key| key.variables(prefix(table))));
        }
        known.extend(defaults_keys().flat_map(|key| key.variables(prefix(Table::Defaults))));
        known.extend(camera_keys().flat_map(|key| key.variables(PROBE_PREFIX)));
        for id in cameras {
            known.extend(camera_keys().flat_map(|key| key.variables(&camera_prefix(*id))));
        }
        let names = self.0.keys().filter_map(|name| name.to_str());
        let names = names.filter(|name| OURS.iter().any(|ours| name.starts_with(ours)));
        let names = names.filter(|name| !OF_TOOLS.iter().any(|tool| name.starts_with(tool)));
        let unknown = names.filter(|name| known.iter().all(|known| known != name));
        let sentence = |name: &str| match (
            is_url_of_nobody(name),
            nearest(name, known.iter().map(String::as_str)),
        ) {
            (true, _) => format!(
                "the variable {name} is for a camera that is not there; {CAMERAS_VARIABLE} names cameras that no file has"
            ),
            (false, Some(near)) => format!("the variable {name} means nothing here; did you mean {near}?"),
            (false, None) => format!("the variable {name} means nothing here"),
        };
        unknown.map(|name| redact::text(&sentence(name))).collect()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the variables of a table begin with; of a camera: [`camera_prefix`].
pub(super) fn prefix(table: Table) -> &'static str {
    match table {
        Table::Server => "VAS_SERVER",
        Table::Export => "VAS_EXPORT",
        Table::Defaults => "VAS_DEFAULTS",
        Table::Camera => "VAS_CAMERA",
    }
}

/// `VAS_CAMERA_<ID>`.
pub(super) fn camera_prefix(id: CameraId) -> String {
    format!("{}_{}", prefix(Table::Camera), id.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// The keys of a camera that a variable can be.
pub(super) fn camera_keys() -> impl Iterator<Item = &'static Key> {
    Table::Camera.keys().iter().filter(|key| key.name != super::keys::ID.name)
}

/// The keys of `[defaults]`.
pub(super) fn defaults_keys() -> impl Iterator<Item = &'static Key> {
    Table::Defaults.keys().iter().filter(|key| !key.is_of_one)
}

fn is_url_of_nobody(name: &str) -> bool {
    let begin = format!("{}_", prefix(Table::Camera));
    name.strip_prefix(&begin).is_some_and(|rest| rest.len() > "_URL".len() && rest.ends_with("_URL"))
}

fn parse(key: &Key, name: &str, value: &OsStr) -> Result<Value> {
    if matches!(key.kind, Kind::Path) {
        return Ok(Value::Path(value.into()));
    }
    let Some(text) = value.to_str() else { return fail(format!("{name} is not UTF-8")) };
    let number = text.trim().parse::<i64>().ok();
    let found = match (&key.kind, number) {
        (Kind::Switch, _) => return parse_switch(name, text).map(Value::Switch),
        (Kind::Number(_) | Kind::Group, Some(number)) => {
            layers::check_number(key, number, &Origin::Variable(name.to_owned()))?;
            Some(Value::Number(number))
        }
        (kind, _) => layers::from_text(kind, Cow::Borrowed(text)),
    };
    found.map_or_else(
        || {
            let wanted = key.kind.wanted().replace(" in quotation marks", "");
            fail(format!("{name}: {wanted} is wanted here"))
        },
        Ok,
    )
}

fn parse_switch(name: &str, text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => {
            let what = if name == EXPORT_ENABLED_VARIABLE { "to export frames" } else { "to switch it on" };
            fail(format!("{name} is {other:?}: use 1, true, yes or on {what}, 0, false, no or off not to"))
        }
    }
}
