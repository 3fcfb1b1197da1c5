//! What the operator wants: a TOML file, the command line and the environment, checked before anything starts.
//!
//! Whatever is wrong gets one sentence with the file's name and line. Who has the word, the first of them first:
//!
//! 1. the command line (`--camera`, `--base`);
//! 2. the environment: a variable beats the key that it names ([`environment`]);
//! 3. a camera's own table, `[[camera]]`;
//! 4. `[defaults]`, of which each key may have been beaten by its variable `VAS_DEFAULTS_<KEY>`;
//! 5. what is built in (`keys`).
//!
//! Paths in the file are relative to the file's directory, all others to the working directory. Passwords go from here into a
//! type without a text form ([`secrecy::SecretString`]).
//!
//! | module | what it holds |
//! |---|---|
//! | `keys` | every key, once |
//! | `layers` | what one place says, and what holds in the end |
//! | `file`, [`environment`] | the two places that say most |
//! | `place`, `password` | a camera's address and its credentials |
//! | `print` | the configuration in effect, as `print-config` shows it |

pub mod environment;
mod file;
mod keys;
mod layers;
mod password;
mod place;
mod print;

use crate::address::{FileSource, Password, RtspSource, Skip, Source};
use crate::redact;
pub use environment::Environment;
use file::{File, Tables};
use keys::{Cameras, Table};
use layers::{Layer, Origin, Setting, Settings, Value};
use password::{Credentials, FromUrl, Places};
use place::{BAD_ARGUMENT, Place};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vas_shm_proto::{CameraId, SlotCount};

/// The variable that decides whether frames are exported (§13).
pub const EXPORT_ENABLED_VARIABLE: &str = "AI_FRAME_EXPORT_ENABLED";

/// Base directory of the export, for the server and for its readers alike.
pub const BASE_VARIABLE: &str = "VAS_SHM_BASE";

/// A configuration cannot be used; the text is one sentence for the operator.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

type Result<T> = std::result::Result<T, ConfigError>;

fn fail<T>(sentence: impl AsRef<str>) -> Result<T> {
    Err(ConfigError(redact::text(sentence.as_ref())))
}

/// Everything that [`crate::server::Server`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// None: frames are not exported, and nothing of the export exists.
    pub export: Option<ExportConfig>,
    /// What the server tells of itself.
    pub server: ServerConfig,
    /// At least one; ids differ.
    pub cameras: Vec<CameraConfig>,
    /// Things an operator should hear of although they stop nothing.
    pub warnings: Vec<String>,
}

/// What the server tells of itself, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerConfig {
    /// What `vas-ingest status` reads.
    pub status_file: Option<PathBuf>,
    /// The same as a text file for Prometheus' node_exporter.
    pub metrics_file: Option<PathBuf>,
}

/// Where a server writes its status whose configuration does not say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsualStatusFile {
    /// None: it writes none.
    pub path: Option<PathBuf>,
    /// Why there, or why not at all.
    pub because: String,
}

/// The export, when it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportConfig {
    /// The base directory.
    pub base: PathBuf,
    /// The group of those who may read.
    pub group: Option<u32>,
    /// Slots per camera.
    pub slots: SlotCount,
    /// When pixels are copied.
    pub when: ExportWhen,
}

/// When pixels are put into shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportWhen {
    /// While somebody has the camera's files open.
    #[default]
    Attached,
    /// Whether or not anybody looks.
    Always,
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    /// Its name for readers.
    pub id: CameraId,
    /// Where its video comes from.
    pub source: Source,
    /// Decoded frames that are kept.
    pub ring_frames: usize,
    /// How long connecting may take.
    pub open_timeout: Duration,
    /// How long a connected camera may go without a decoded frame.
    pub frame_timeout: Duration,
    /// Pictures with more pixels are not decoded.
    pub max_pixels: u64,
    /// Threads of its decoder. More than one adds latency.
    pub decoder_threads: u32,
    /// Which pictures are not decoded.
    pub skip: Skip,
    /// Why it cannot be opened as things are: the sentence about a file that it takes and that is not there, or cannot be read. The
    /// camera waits for that file, and no other one does.
    pub missing: Option<String>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--camera`, as given: `ID=URL_OR_FILE`.
    pub cameras: Vec<String>,
    /// `--base`.
    pub base: Option<PathBuf>,
}

impl Config {
    /// Reads the file that the request names, adds what the command line and the environment say, and checks all of it.
    ///
    /// # Errors
    /// One sentence about the first thing that is wrong.
    pub fn load(request: &Request, environment: &Environment) -> Result<Self> {
        Ok(load(request, environment)?.config)
    }

    /// The same, and its text as a configuration file that says where each value comes from. Passwords are not in it. `usual`: what
    /// holds of a status file that nobody names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_and_print(
        request: &Request,
        environment: &Environment,
        usual: &UsualStatusFile,
    ) -> Result<(Self, String)> {
        let loaded = load(request, environment)?;
        let text = print::text(&loaded, usual);
        Ok((loaded.config, text))
    }
}

/// Where the status file of a server with this configuration file is: what the variable says, or else the file, whatever else is
/// wrong with that. None: neither says.
///
/// # Errors
/// The file cannot be read, or the variable is none.
pub fn status_file(name: &Path, environment: &Environment) -> Result<Option<PathBuf>> {
    let variables = environment.layer(environment::prefix(Table::Server), Table::Server.keys())?;
    if let Some(Value::Path(path)) = variables.get(&keys::STATUS_FILE).map(|setting| &setting.value) {
        return Ok(Some(path.clone()));
    }
    match std::fs::read_to_string(name) {
        Ok(text) => Ok(File { name: Some(name), text: &text }.status_file()),
        Err(error) => fail(format!("read the configuration {}: {error}", name.display())),
    }
}

/// What the command line of `vas-ingest probe` says.
#[derive(Clone, Debug, Default)]
pub struct ProbeRequest {
    /// The address or the file.
    pub place: String,
    /// `--username`.
    pub username: Option<String>,
    /// `--password-file`.
    pub password_file: Option<PathBuf>,
    /// `--transport`.
    pub transport: Option<String>,
    /// `--rtsp-client`.
    pub rtsp_client: Option<String>,
    /// `--timeout-ms`, for connecting and for the first frame alike.
    pub timeout_ms: u64,
}

impl CameraConfig {
    /// Looks for the files that it takes: its video, or that with its password, which is read here if it could not be before.
    ///
    /// # Errors
    /// One of them is not there, or cannot be read; in a sentence without its place in the configuration.
    pub(crate) fn make_ready(&self) -> std::result::Result<(), String> {
        match &self.source {
            Source::File(file) => place::check_file(&file.path).map_err(|why| redact::text(&why)),
            Source::Rtsp(RtspSource { username, password: Some(Password::InFile(file)), .. }) => {
                let password = password::read_late(file).map_err(|why| redact::text(&why))?;
                redact::remember(username.as_deref(), password);
                Ok(())
            }
            Source::Rtsp(_) => Ok(()),
        }
    }

    /// The camera that `vas-ingest probe` asks. Each of its keys has a variable, `VAS_PROBE_<KEY>`; no file has a word.
    ///
    /// # Errors
    /// One sentence about the first thing that is wrong.
    pub fn of_probe(request: &ProbeRequest, environment: &Environment) -> Result<(Self, Vec<String>)> {
        if !redact::is_like_an_address(&request.place) && redact::holds_password(&request.place) {
            return fail(format!(
                "a password on the command line can be read by every user of this machine: put it into {}_PASSWORD, or \
                 into a file and give --password-file",
                environment::PROBE_PREFIX
            ));
        }
        let mut said = Layer::default();
        let mut say = |key: &keys::Key, argument: &str, value: Option<Value>| {
            if let Some(value) = value {
                said.set(key, value, Origin::Argument(argument.to_owned()));
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        say(&keys::URL, "probe", Some(Value::Text(request.place.clone())));
        say(&keys::USERNAME, "--username", text(&request.username));
        say(&keys::PASSWORD_FILE, "--password-file", request.password_file.clone().map(Value::Path));
        for (key, argument, text) in [
            (&keys::TRANSPORT, "--transport", &request.transport),
            (&keys::RTSP_CLIENT, "--rtsp-client", &request.rtsp_client),
        ] {
            let Some(text) = text else { continue };
            match layers::from_text(&key.kind, text.into()) {
                Some(value) => say(key, argument, Some(value)),
                None => return fail(format!("{argument}: {} is wanted here", key.kind.wanted())),
            }
        }
        let timeout_ms = i64::try_from(request.timeout_ms).unwrap_or(i64::MAX);
        layers::check_number(&keys::OPEN_TIMEOUT_MS, timeout_ms, &Origin::Argument("--timeout-ms".into()))?;
        say(&keys::OPEN_TIMEOUT_MS, "--timeout-ms", Some(Value::Number(timeout_ms)));
        let variables = environment.layer(environment::PROBE_PREFIX, Table::Camera.keys())?;
        let nothing = Layer::default();
        let mut build = Build {
            file: &File { name: None, text: "" },
            environment,
            environments_defaults: &nothing,
            defaults: &nothing,
            configs: Vec::new(),
            cameras: Vec::new(),
            warnings: Vec::new(),
        };
        let id = CameraId::new("probe").or_else(|_| fail("probe is no camera id"))?;
        build.camera_with(id, &said, &variables, &nothing, "probe")?;
        let warnings = build.warnings;
        let camera = build.configs.pop();
        if let Some(why) = camera.as_ref().and_then(|camera| camera.missing.as_ref()) {
            // Nothing is waited for here.
            return Err(ConfigError(why.clone()));
        }
        camera.map(|camera| (camera, warnings)).ok_or_else(|| ConfigError("there is no camera".into()))
    }
}

/// A configuration, and how it came about.
struct Loaded {
    config: Config,
    server: Settings,
    export: Settings,
    cameras: Vec<LoadedCamera>,
}

struct LoadedCamera {
    settings: Settings,
    /// Of streams.
    credentials: Option<Credentials>,
}

fn load(request: &Request, environment: &Environment) -> Result<Loaded> {
    let text = match &request.file {
        None => String::new(),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return fail(format!("read the configuration {}: {error}", path.display())),
        },
    };
    let file = File { name: request.file.as_deref(), text: &text };
    let tables = file.read()?;
    let mut warnings = Vec::new();
    if holds_password(&tables)
        && let Some(name) = request.file.as_deref().filter(|name| password::is_readable_by_everybody(name))
    {
        warnings.push(password::readable_by_everybody(name));
    }

    let defaults_keys: Vec<_> = environment::defaults_keys().cloned().collect();
    let environments_defaults = environment.layer(environment::prefix(Table::Defaults), &defaults_keys)?;
    let mut build = Build {
        file: &file,
        environment,
        environments_defaults: &environments_defaults,
        defaults: &tables.defaults,
        configs: Vec::new(),
        cameras: Vec::new(),
        warnings,
    };
    build.file_cameras(&tables)?;
    build.argument_cameras(&request.cameras)?;
    build.environment_cameras()?;
    if build.configs.is_empty() {
        return fail("no camera: give --camera ID=URL_OR_FILE, or --config with a file that has [[camera]]");
    }
    let Build { configs, cameras, mut warnings, .. } = build;
    let ids: Vec<CameraId> = configs.iter().map(|camera| camera.id).collect();
    environment.refuse_ambiguous(&ids)?;
    warnings.extend(environment.unknown(&ids));
    warnings.extend(password::unknown_credentials(&ids, environment));

    let settings = |table: Table, arguments: &Layer, layer: &Layer| -> Result<Settings> {
        let variables = environment.layer(environment::prefix(table), table.keys())?;
        Ok(Settings::of(table.keys(), &[arguments, &variables, layer]))
    };
    let mut arguments = Layer::default();
    if let Some(base) = &request.base {
        arguments.set(&keys::BASE, Value::Path(base.clone()), Origin::Argument("--base".into()));
    }
    let export = settings(Table::Export, &arguments, &tables.export)?;
    let server = settings(Table::Server, &Layer::default(), &tables.server)?;
    let config = Config {
        export: export_config(&export)?,
        server: server_config(&server)?,
        cameras: configs,
        warnings,
    };
    Ok(Loaded { config, server, export, cameras })
}

/// Does the file itself hold one?
fn holds_password(tables: &Tables) -> bool {
    let in_url = |layer: &Layer| {
        let url = layer.get(&keys::URL).and_then(Setting::text);
        url.is_some_and(|url| url.contains("://") && redact::holds_password(url))
    };
    let holds = |layer: &Layer| layer.get(&keys::PASSWORD).is_some() || in_url(layer);
    holds(&tables.defaults) || tables.cameras.iter().any(|camera| holds(&camera.keys))
}

fn server_config(server: &Settings) -> Result<ServerConfig> {
    let path = |key: &keys::Key| server.path(key).map(Path::to_owned);
    let config =
        ServerConfig { status_file: path(&keys::STATUS_FILE), metrics_file: path(&keys::METRICS_FILE) };
    if let (Some(setting), Some(metrics)) = (server.get(&keys::METRICS_FILE), &config.metrics_file) {
        // Each would overwrite the other every second.
        if config.status_file.as_ref() == Some(metrics) {
            return setting
                .refuse("metrics_file is the same as status_file: give it another name, such as vas.prom");
        }
        // node_exporter reads no other, and says nothing of it.
        if metrics.extension().is_none_or(|extension| extension != "prom") {
            return setting.refuse(format!(
                "metrics_file {} does not end with .prom, and node_exporter reads no other file",
                metrics.display()
            ));
        }
    }
    Ok(config)
}

fn export_config(export: &Settings) -> Result<Option<ExportConfig>> {
    let slots = u32::try_from(export.number(&keys::SLOTS)).ok();
    let Some(slots) = slots.and_then(|slots| SlotCount::new(slots).ok()) else {
        return fail("slots must be 2 to 8");
    };
    let when = export.choice(&keys::WHEN)?;
    if !export.switch(&keys::ENABLED) {
        return Ok(None);
    }
    let base = export.path(&keys::BASE).unwrap_or(Path::new("")).to_owned();
    if base.as_os_str().is_empty() {
        return fail("the base directory of the export is empty: give a path, such as /dev/shm/vas");
    }
    let group = match export.get(&keys::GROUP) {
        None => None,
        Some(setting) => match find_group(&setting.value) {
            Ok(group) => Some(group),
            Err(why) => return setting.refuse(format!("group: {why}")),
        },
    };
    Ok(Some(ExportConfig { base, group, slots, when }))
}

/// The cameras, one after the other.
struct Build<'a> {
    file: &'a File<'a>,
    environment: &'a Environment,
    environments_defaults: &'a Layer,
    defaults: &'a Layer,
    configs: Vec<CameraConfig>,
    cameras: Vec<LoadedCamera>,
    warnings: Vec<String>,
}

impl Build<'_> {
    fn has(&self, id: CameraId) -> bool {
        self.configs.iter().any(|camera| camera.id == id)
    }

    fn file_cameras(&mut self, tables: &Tables) -> Result<()> {
        for table in &tables.cameras {
            let Some(setting) = table.keys.get(&keys::ID) else {
                return fail(format!("{}: this camera has no id", table.at));
            };
            let name = setting.text().unwrap_or_default();
            let id = match CameraId::new(name) {
                Ok(id) => id,
                Err(why) => return setting.refuse(format!("id {name:?}: {why}")),
            };
            if self.has(id) {
                return fail(format!("{}: camera {id} is there already", table.at));
            }
            self.camera(id, &Layer::default(), &table.keys, &table.at)?;
        }
        Ok(())
    }

    fn argument_cameras(&mut self, arguments: &[String]) -> Result<()> {
        for argument in arguments {
            let (id, place) = split_argument(argument)?;
            let origin = format!("--camera {id}");
            if self.has(id) {
                return fail(format!("{origin}: a camera of that name is there already"));
            }
            let mut layer = Layer::default();
            layer.set(&keys::URL, Value::Text(place.to_owned()), Origin::Argument(origin.clone()));
            self.camera(id, &layer, &Layer::default(), &origin)?;
        }
        Ok(())
    }

    /// Those that only the environment has. Its word about the others counts as well, whether or not it names them.
    fn environment_cameras(&mut self) -> Result<()> {
        for id in self.environment.cameras()? {
            if !self.has(id) {
                self.camera(id, &Layer::default(), &Layer::default(), environment::CAMERAS_VARIABLE)?;
            }
        }
        Ok(())
    }

    /// A camera of which the command line says `argument` and the file `table`. `at`: where it is first heard of.
    fn camera(&mut self, id: CameraId, argument: &Layer, table: &Layer, at: &str) -> Result<()> {
        let variables = self.environment.layer(&environment::camera_prefix(id), Table::Camera.keys())?;
        self.camera_with(id, argument, &variables, table, at)
    }

    fn camera_with(
        &mut self,
        id: CameraId,
        argument: &Layer,
        variables: &Layer,
        table: &Layer,
        at: &str,
    ) -> Result<()> {
        let layers = [argument, variables, table, self.environments_defaults, self.defaults];
        let mut settings = Settings::of(Table::Camera.keys(), &layers);
        settings.set(&keys::ID, Value::Text(id.to_string()), Origin::File(at.to_owned()));
        let skip = settings.choice(&keys::SKIP)?;
        if skip == Skip::Keyframes {
            settings.set_default(&keys::FRAME_TIMEOUT_MS, Value::Number(keys::KEYFRAME_TIMEOUT_MS));
        }
        let Some(url) = settings.get(&keys::URL).cloned() else {
            return match at {
                environment::CAMERAS_VARIABLE => fail(format!(
                    "{at} has camera {id}, and {}_URL is not set",
                    environment::camera_prefix(id)
                )),
                at => fail(format!("{at}: camera {id} has no url")),
            };
        };
        // Whose relative paths are relative to what.
        let resolve = |path: &Path| match &url.origin {
            Origin::File(_) => self.file.path(path),
            _ => path.to_owned(),
        };
        let refuse = |why: String| match &url.origin {
            // The sentence has the camera's name already.
            Origin::Argument(_) => url.refuse(why),
            _ => url.refuse(format!("camera {id}: {why}")),
        };
        let place = match place::parse_place(url.text().unwrap_or_default(), resolve) {
            Ok(place) => place,
            Err(why) => return refuse(why),
        };
        let is_file = matches!(place, Place::File(_));
        refuse_useless(id, is_file, &[argument, variables, table])?;
        let mut credentials = None;
        let mut missing = None;
        let source = match place {
            Place::File(path) => {
                if let Err(why) = place::check_file(&path) {
                    let why = if at == "probe" { why } else { format!("camera {id}: {why}") };
                    missing = Some(url.missing(&why)?);
                }
                settings.set(&keys::URL, Value::Path(path.clone()), url.origin.clone());
                Source::File(FileSource { path, repeat: settings.switch(&keys::LOOP) })
            }
            Place::Rtsp { address, username, password } => {
                if password.is_some() {
                    self.warnings.push(format!(
                        "{}: the url of camera {id} has a password in it, which is taken out: write username and \
                         password_file beside it instead",
                        url.origin
                    ));
                }
                settings.set(&keys::URL, Value::Text(address.to_string()), url.origin.clone());
                let places = Places {
                    own: vec![argument, variables],
                    file: vec![table, self.environments_defaults, self.defaults],
                    url: &url,
                };
                let from_url = FromUrl { username, password };
                let found = places.credentials(id, from_url, self.environment, &mut self.warnings)?;
                let source = RtspSource {
                    address,
                    username: found.username.as_ref().map(|(name, _)| name.clone()),
                    password: found.password.as_ref().map(|found| found.password.clone()),
                    transport: settings.choice(&keys::TRANSPORT)?,
                    client: settings.choice(&keys::RTSP_CLIENT)?,
                    tls_verify: settings.switch(&keys::TLS_VERIFY),
                };
                if let Err(why) = place::check_way(&source) {
                    return refuse(why);
                }
                if source.is_encrypted() && !source.tls_verify {
                    self.warnings.push(format!(
                        "camera {id}: tls_verify is false: whoever answers in the camera's place gets its user name and password"
                    ));
                }
                missing = found.password.as_ref().and_then(|password| password.missing.clone());
                credentials = Some(found);
                Source::Rtsp(source)
            }
        };
        self.configs.push(CameraConfig {
            id,
            source,
            ring_frames: settings.number(&keys::RING_FRAMES) as usize,
            open_timeout: Duration::from_millis(settings.number(&keys::OPEN_TIMEOUT_MS)),
            frame_timeout: Duration::from_millis(settings.number(&keys::FRAME_TIMEOUT_MS)),
            max_pixels: settings.number(&keys::MAX_PIXELS),
            decoder_threads: u32::try_from(settings.number(&keys::DECODER_THREADS)).unwrap_or(1),
            skip,
            missing,
        });
        self.cameras.push(LoadedCamera { settings, credentials });
        Ok(())
    }
}

/// A key that means nothing for this camera was meant for another. In the defaults it is for those that it means something for.
fn refuse_useless(id: CameraId, is_file: bool, own: &[&Layer]) -> Result<()> {
    for key in Table::Camera.keys() {
        let (useless, what) = match key.cameras {
            Cameras::All => continue,
            Cameras::Files => (!is_file, format!("is for files, camera {id} is a stream")),
            Cameras::Streams => (is_file, format!("is for streams, camera {id} is a file")),
        };
        let said = own.iter().find_map(|layer| layer.get(key));
        // What is switched off already does no harm.
        let said = said.filter(|setting| !matches!(setting.value, Value::Switch(false)));
        if let Some(setting) = said.filter(|_| useless) {
            return setting.refuse(format!("{} {what}", key.name));
        }
    }
    Ok(())
}

/// `ID=URL_OR_FILE`, without a password.
fn split_argument(argument: &str) -> Result<(CameraId, &str)> {
    // What has no name before a = may be an address, and what looks like its name a part of it with a password.
    let may_hold_password = argument.contains('@');
    let Some((id, place)) = argument.split_once('=') else {
        if may_hold_password {
            return fail(BAD_ARGUMENT);
        }
        return fail(format!(
            "--camera {argument}: wanted is ID=URL_OR_FILE, such as front=rtsp://10.0.0.5/stream"
        ));
    };
    let id = match CameraId::new(id) {
        Ok(id) => id,
        Err(_) if may_hold_password => return fail(BAD_ARGUMENT),
        Err(why) => return fail(format!("--camera {id:?}: {why}")),
    };
    if !redact::is_like_an_address(place) && redact::holds_password(place) {
        return fail(format!(
            "--camera {id}: a password on the command line can be read by every user of this machine: \
             put it into {}_PASSWORD or into a configuration file",
            environment::camera_prefix(id)
        ));
    }
    Ok((id, place))
}

/// The known name that somebody may have meant.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distances = known.map(|known| (strsim::damerau_levenshtein(name, known), known));
    distances.min().filter(|(distance, known)| *distance <= known.len().div_ceil(2)).map(|(_, known)| known)
}

fn find_group(value: &Value) -> std::result::Result<u32, String> {
    match value {
        Value::Number(gid) => u32::try_from(*gid)
            .ok()
            .filter(|gid| *gid != u32::MAX)
            .ok_or_else(|| format!("{gid} is no group id")),
        Value::Text(name) => match nix::unistd::Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(format!("there is no group {name:?} on this machine")),
            Err(error) => Err(format!("look up group {name:?}: {error}")),
        },
        _ => Err("wanted is a group's name or its number".into()),
    }
}

#[cfg(test)]
mod tests;
