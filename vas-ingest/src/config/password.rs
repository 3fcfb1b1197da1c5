//! Where a camera's user name and password come from. They never stay in its address.
//!
//! The first of these that says something has the word: `VAS_CAMERA_<ID>_PASSWORD` or `.._PASSWORD_FILE`; the systemd credential
//! `vas-camera-<id>-password`; the camera's table; `VAS_DEFAULTS_PASSWORD..`; `[defaults]`. A password in a URL counts as said where
//! that URL is.

use super::Result;
use super::environment::{CREDENTIALS_VARIABLE, Environment};
use super::keys;
use super::layers::{Layer, Setting, Value};
use crate::address::{Password, PasswordFile};
use crate::redact;
use secrecy::{ExposeSecret, SecretString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vas_shm_proto::CameraId;

/// What a camera's URL had before its host.
#[derive(Default)]
pub(super) struct FromUrl {
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretString>,
}

/// The user name and password of a camera, and who says so.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) username: Option<(String, String)>,
    pub(super) password: Option<FoundPassword>,
}

/// A password, or the file that it will be in.
pub(super) struct FoundPassword {
    pub(super) password: Password,
    /// Who says so.
    pub(super) origin: String,
    /// The file that it is in, if a key names it.
    pub(super) file: Option<PathBuf>,
    /// Why it could not be read.
    pub(super) missing: Option<String>,
}

impl FoundPassword {
    fn known(password: SecretString, origin: String) -> Self {
        Self { password: Password::Known(password), origin, file: None, missing: None }
    }

    fn in_file(what: &'static str, path: &Path, origin: String, missing: String) -> Self {
        let file = PasswordFile { what, path: path.to_owned(), found: Arc::default() };
        Self { password: Password::InFile(file), origin, file: None, missing: Some(missing) }
    }
}

/// What the places say of one camera, in the order of their right to speak.
pub(super) struct Places<'a> {
    /// The command line and the variables of this camera.
    pub(super) own: Vec<&'a Layer>,
    /// Its table, and then the defaults.
    pub(super) file: Vec<&'a Layer>,
    /// The setting that the URL comes from.
    pub(super) url: &'a Setting,
}

impl Places<'_> {
    /// Looks everywhere.
    pub(super) fn credentials(
        &self,
        id: CameraId,
        from_url: FromUrl,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Credentials> {
        for layer in self.own.iter().chain(&self.file) {
            self.refuse_two(id, layer, &from_url)?;
        }
        let mut found = Credentials::default();
        for layer in self.own.iter().chain(&self.file) {
            if found.username.is_none() {
                found.username = match &from_url.username {
                    Some(username) if self.has_url(layer) => {
                        Some((username.clone(), self.url.origin.to_string()))
                    }
                    _ => layer.get(&keys::USERNAME).and_then(|setting| {
                        setting.text().map(|text| (text.to_owned(), setting.origin.to_string()))
                    }),
                };
            }
        }
        for layer in &self.own {
            if self.look(layer, &from_url, &mut found, warnings)? {
                return Ok(found);
            }
        }
        found.password = systemd_credential(id, environment);
        if found.password.is_some() {
            return Ok(found);
        }
        for layer in &self.file {
            if self.look(layer, &from_url, &mut found, warnings)? {
                break;
            }
        }
        Ok(found)
    }

    fn has_url(&self, layer: &Layer) -> bool {
        layer.get(&keys::URL).is_some_and(|setting| setting.origin == self.url.origin)
    }

    /// One place names one password.
    fn refuse_two(&self, id: CameraId, layer: &Layer, from_url: &FromUrl) -> Result<()> {
        let (password, file) = (layer.get(&keys::PASSWORD), layer.get(&keys::PASSWORD_FILE));
        if let (Some(_), Some(file)) = (password, file) {
            return file.refuse("password and password_file are both there: keep one");
        }
        match password.or(file) {
            Some(setting) if from_url.password.is_some() && self.has_url(layer) => {
                setting.refuse(format!("the url of camera {id} has a password already: keep one"))
            }
            _ => Ok(()),
        }
    }

    fn look(
        &self,
        layer: &Layer,
        from_url: &FromUrl,
        found: &mut Credentials,
        warnings: &mut Vec<String>,
    ) -> Result<bool> {
        if let Some(password) = from_url.password.as_ref().filter(|_| self.has_url(layer)) {
            let origin = format!("the url, {}", self.url.origin);
            found.password = Some(FoundPassword::known(password.clone(), origin));
        } else if let Some(setting) = layer.get(&keys::PASSWORD)
            && let Value::Secret(password) = &setting.value
        {
            found.password = Some(FoundPassword::known(password.clone(), setting.origin.to_string()));
        } else if let Some(setting) = layer.get(&keys::PASSWORD_FILE)
            && let Value::Path(path) = &setting.value
        {
            const WHAT: &str = "password_file";
            let origin = setting.origin.to_string();
            let password = match read(path, warnings) {
                Ok(password) => FoundPassword::known(password, origin),
                Err(why) => {
                    let missing = setting.missing(sentence(WHAT, path, &why))?;
                    FoundPassword::in_file(WHAT, path, origin, missing)
                }
            };
            found.password = Some(FoundPassword { file: Some(path.clone()), ..password });
        }
        Ok(found.password.is_some())
    }
}

/// The name of the credential that a service manager may hand over for a camera.
pub(super) fn credential_name(id: CameraId) -> String {
    format!("vas-camera-{id}-password")
}

/// A sentence for each credential that is named as a camera's and that no camera asks for.
pub(super) fn unknown_credentials(ids: &[CameraId], environment: &Environment) -> Vec<String> {
    let entries = environment.get(CREDENTIALS_VARIABLE).map(std::fs::read_dir);
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut unknown: Vec<String> = names
        .filter(|name| name.starts_with("vas-camera-") && ids.iter().all(|id| credential_name(*id) != *name))
        .map(|name| {
            format!(
                "the credential {name} is for a camera that is not there; its name is vas-camera-ID-password"
            )
        })
        .collect();
    unknown.sort();
    unknown
}

/// What `LoadCredential=vas-camera-<id>-password:..`, or its encrypted sister, made of it.
fn systemd_credential(id: CameraId, environment: &Environment) -> Option<FoundPassword> {
    const WHAT: &str = "credential";
    let name = credential_name(id);
    let path = Path::new(environment.get(CREDENTIALS_VARIABLE)?).join(&name);
    let why = match std::fs::read_to_string(&path).map(only_line) {
        Ok(Ok(password)) => {
            return Some(FoundPassword::known(password, format!("the credential {name}")));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Ok(Err(why)) => why.to_owned(),
        Err(error) => error.to_string(),
    };
    let missing = redact::text(&sentence(WHAT, &path, &why));
    Some(FoundPassword::in_file(WHAT, &path, format!("the credential {name}"), missing))
}

fn sentence(what: &str, path: &Path, why: &str) -> String {
    format!("{what} {}: {why}", path.display())
}

/// Reads a password that could not be read when the configuration was, if it has not been read since.
///
/// # Errors
/// It cannot be read now either.
pub(super) fn read_late(file: &PasswordFile) -> std::result::Result<&SecretString, String> {
    if let Some(password) = file.found.get() {
        return Ok(password);
    }
    // Whoever waits here has a camera's thread, which has to be able to stop: of a pipe nobody knows when it is written to.
    let is_other = std::fs::metadata(&file.path).is_ok_and(|metadata| !metadata.is_file());
    let password =
        if is_other { Err("it is not a regular file".to_owned()) } else { read(&file.path, &mut Vec::new()) };
    let password = password.map_err(|why| sentence(file.what, &file.path, &why))?;
    Ok(file.found.get_or_init(|| password))
}

/// The first and only line of a file with a password.
pub(super) fn read(path: &Path, warnings: &mut Vec<String>) -> std::result::Result<SecretString, String> {
    if is_readable_by_everybody(path) {
        warnings.push(readable_by_everybody(path));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    only_line(text).map_err(str::to_owned)
}

/// Editors end files with a newline; passwords have none.
fn only_line(text: String) -> std::result::Result<SecretString, &'static str> {
    // In a type that wipes it from here on.
    let text = SecretString::from(text);
    let line = text.expose_secret();
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err("the file is empty");
    }
    if line.contains(['\n', '\r']) {
        return Err("the file has more than one line: a password is one line, and nothing stands behind it");
    }
    Ok(SecretString::from(line))
}

pub(super) fn is_readable_by_everybody(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

pub(super) fn readable_by_everybody(file: &Path) -> String {
    let name = file.display();
    format!(
        "{name} holds a password and everybody may read it: give it to the server's group, if the server is not its owner \
         (chgrp), and then chmod o= {name}"
    )
}
