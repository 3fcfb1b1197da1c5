//! The configuration in effect, as a configuration file: read again, it means the same, but for the passwords that are not in it.

use super::keys::{self, Cameras, Key, Table};
use super::layers::{Settings, Value};
use super::{Loaded, LoadedCamera, UsualStatusFile};
use crate::redact;
use std::fmt::Write as _;
use std::path::Path;

/// Where the comments begin.
const COMMENT_COLUMN: usize = 44;

pub(super) fn text(loaded: &Loaded, usual: &UsualStatusFile) -> String {
    let mut out = String::from(
        "# The configuration in effect, and where each value comes from. Passwords are not in it.\n",
    );
    table(&mut out, Table::Server, &loaded.server, usual);
    table(&mut out, Table::Export, &loaded.export, usual);
    out.push_str("\n# [defaults]: every camera below is written out.\n");
    loaded.cameras.iter().for_each(|loaded| camera(&mut out, loaded));
    out
}

fn table(out: &mut String, table: Table, settings: &Settings, usual: &UsualStatusFile) {
    let _ = writeln!(out, "\n{}", table.heading());
    for key in table.keys() {
        if key.name == keys::STATUS_FILE.name
            && settings.path(key).is_none_or(|path| path.as_os_str().is_empty())
        {
            match &usual.path {
                Some(path) => {
                    line(out, key, &Value::Path(path.clone()), &format!("not set: {}", usual.because));
                }
                None => {
                    let _ = writeln!(out, "# {}: not set; {}", key.name, usual.because);
                }
            }
            continue;
        }
        match settings.get(key) {
            Some(setting) => line(out, key, &setting.value, &setting.origin.to_string()),
            None => {
                let _ = writeln!(out, "# {}: not set", key.name);
            }
        }
    }
}

fn camera(out: &mut String, camera: &LoadedCamera) {
    let _ = writeln!(out, "\n{}", Table::Camera.heading());
    let other = if camera.credentials.is_some() { Cameras::Files } else { Cameras::Streams };
    for key in Table::Camera.keys().iter().filter(|key| key.cameras != other) {
        let setting = camera.settings.get(key);
        match &camera.credentials {
            Some(found) if key.name == keys::USERNAME.name => match &found.username {
                Some((name, origin)) => line(out, key, &Value::Text(name.clone()), origin),
                None => {
                    let _ = writeln!(out, "# {}: not set", key.name);
                }
            },
            Some(found) if key.name == keys::PASSWORD.name => {
                let _ = match &found.password {
                    None => writeln!(out, "# password: not set"),
                    Some(found) if found.file.is_some() => writeln!(out, "# password: in password_file"),
                    Some(found) => writeln!(out, "# password: not shown; {}", redact::text(&found.origin)),
                };
            }
            Some(found) if key.name == keys::PASSWORD_FILE.name => {
                if let Some(found) = &found.password
                    && let Some(path) = &found.file
                {
                    line(out, key, &Value::Path(path.clone()), &found.origin);
                }
            }
            _ => {
                if let Some(setting) = setting {
                    line(out, key, &setting.value, &setting.origin.to_string());
                }
            }
        }
    }
}

fn line(out: &mut String, key: &Key, value: &Value, origin: &str) {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        // Some cameras take a password in the path or the query.
        Value::Text(text) if key.name == keys::URL.name => quoted(&redact::text(text)),
        Value::Text(text) => quoted(text),
        Value::Path(path) => quoted(&absolute(path)),
        // Not here: see above.
        Value::Secret(_) => return,
    };
    let line = format!("{} = {text}", key.name);
    let _ = writeln!(out, "{line:COMMENT_COLUMN$} # {}", redact::text(origin));
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A relative path would be relative to another file.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::layers::Origin;
    use super::*;

    #[test]
    fn text_of_any_kind_is_read_as_it_was() {
        for text in ["plain", "with \"quotes\"", "back\\slash", "tab\tand\nline", "it's", "\u{7f}", ""] {
            let document = format!("a = {}\n", quoted(text));
            let read: toml::Table = toml::from_str(&document).unwrap();
            assert_eq!(read["a"].as_str(), Some(text), "{document}");
        }
    }

    #[test]
    fn a_line_says_where_its_value_comes_from() {
        let mut out = String::new();
        line(&mut out, &keys::SLOTS, &Value::Number(3), &Origin::BuiltIn.to_string());
        assert_eq!(out, format!("{:44} # built-in\n", "slots = 3"));
    }
}
