//! What the operator wants: a TOML file, the command line and the environment, checked before anything starts.
//!
//! Whatever is wrong gets one sentence with the file's name and line. The rules:
//!
//! - `AI_FRAME_EXPORT_ENABLED` beats `[export] enabled`; a base directory from the command line beats the file's.
//! - `VAS_CAMERA_<ID>_USERNAME` and `VAS_CAMERA_<ID>_PASSWORD` beat the file's (the id in capitals, `-` as `_`).
//! - Paths in the file are relative to the file's directory.
//! - Passwords go from here into a type without a text form ([`secrecy::SecretString`]).

use crate::address::{FileSource, RtspClient, RtspSource, Skip, Source, Transport};
use crate::redact;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde::Deserialize;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use url::Url;
use vas_shm_proto::{CameraId, SlotCount};

/// The variable that decides whether frames are exported (§13).
pub const EXPORT_ENABLED_VARIABLE: &str = "AI_FRAME_EXPORT_ENABLED";

const DEFAULT_RING_FRAMES: usize = 4;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// 8192 x 4320: every camera of today, and no more than 100 MB a frame whatever a stream claims to be.
const DEFAULT_MAX_PIXELS: u64 = 8192 * 4320;
const DEFAULT_SLOTS: i64 = 3;

const RING_FRAMES: RangeInclusive<i64> = 1..=64;
const TIMEOUT_MS: RangeInclusive<i64> = 100..=600_000;
const MAX_PIXELS: RangeInclusive<i64> = 1..=16_384 * 16_384;
const SLOTS: RangeInclusive<i64> = 2..=8;
const DECODER_THREADS: RangeInclusive<i64> = 1..=16;

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
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--camera`, as given: `ID=URL_OR_FILE`.
    pub cameras: Vec<String>,
    /// `--base`, or its variable.
    pub base: Option<PathBuf>,
}

/// Looks a variable of the environment up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    server: RawServer,
    #[serde(default)]
    export: RawExport,
    #[serde(default)]
    defaults: RawCamera,
    #[serde(default)]
    camera: Vec<Spanned<RawCamera>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    status_file: Option<PathBuf>,
    metrics_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExport {
    enabled: Option<bool>,
    base: Option<PathBuf>,
    group: Option<Spanned<toml::Value>>,
    slots: Option<Spanned<i64>>,
    when: Option<ExportWhen>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCamera {
    id: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    username: Option<String>,
    password: Option<Spanned<SecretString>>,
    password_file: Option<Spanned<PathBuf>>,
    transport: Option<Transport>,
    rtsp_client: Option<RtspClient>,
    tls_verify: Option<bool>,
    r#loop: Option<Spanned<bool>>,
    ring_frames: Option<Spanned<i64>>,
    open_timeout_ms: Option<Spanned<i64>>,
    frame_timeout_ms: Option<Spanned<i64>>,
    max_pixels: Option<Spanned<i64>>,
    decoder_threads: Option<Spanned<i64>>,
    skip: Option<Skip>,
}

impl RawConfig {
    fn holds_password(&self) -> bool {
        let in_url = |camera: &RawCamera| {
            let url = camera.url.as_ref().map(Spanned::get_ref);
            url.is_some_and(|url| url.contains("://") && redact::holds_password(url))
        };
        self.defaults.password.is_some()
            || self
                .camera
                .iter()
                .map(Spanned::get_ref)
                .any(|camera| camera.password.is_some() || in_url(camera))
    }
}

impl Config {
    /// Reads the file that the request names, adds what the command line and the environment say, and checks all of it.
    ///
    /// # Errors
    /// One sentence about the first thing that is wrong.
    pub fn load(request: &Request, environment: Environment<'_>) -> Result<Self> {
        let text = match &request.file {
            None => String::new(),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => return fail(format!("read the configuration {}: {error}", path.display())),
            },
        };
        let file = File { name: request.file.as_deref(), text: &text };
        let raw: RawConfig = toml::from_str(&text).map_err(|error| file.explain(&error))?;

        let mut warnings = Vec::new();
        if raw.holds_password()
            && let Some(name) = request.file.as_deref().filter(|name| is_readable_by_everybody(name))
        {
            let name = name.display();
            warnings.push(format!("{name} holds a password and everybody may read it: chmod o= {name}"));
        }
        let mut cameras: Vec<CameraConfig> = Vec::new();
        for raw_camera in &raw.camera {
            let camera = file.camera(raw_camera, &raw.defaults, environment, &mut warnings)?;
            if cameras.iter().any(|other| other.id == camera.id) {
                return fail(format!("{}: camera {} is there already", file.at(raw_camera), camera.id));
            }
            cameras.push(camera);
        }
        for argument in &request.cameras {
            let camera = file.camera_argument(argument, &raw.defaults, environment, &mut warnings)?;
            if cameras.iter().any(|other| other.id == camera.id) {
                return fail(format!("--camera {}: a camera of that name is there already", camera.id));
            }
            cameras.push(camera);
        }
        if cameras.is_empty() {
            return fail(
                "no camera: give --camera ID=URL_OR_FILE, or --config with a file that has [[camera]]",
            );
        }
        refuse_ambiguous_variables(&cameras, environment)?;
        let export = file.export(&raw.export, request.base.as_deref(), environment)?;
        let server = ServerConfig {
            status_file: raw.server.status_file.as_deref().map(|path| file.path(path)),
            metrics_file: raw.server.metrics_file.as_deref().map(|path| file.path(path)),
        };
        Ok(Self { export, server, cameras, warnings })
    }
}

/// The configuration file, for paths and for lines in sentences.
struct File<'a> {
    /// None: there is none.
    name: Option<&'a Path>,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> String {
        let line = self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1;
        let name = self.name.map_or_else(|| "configuration".into(), Path::to_string_lossy);
        format!("{name} line {line}")
    }

    fn at<T>(&self, value: &Spanned<T>) -> String {
        self.line(value.span().start)
    }

    /// Paths in the file are relative to its directory.
    fn path(&self, path: &Path) -> PathBuf {
        self.name.and_then(Path::parent).map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// What the TOML parser or serde found, without values: they may be passwords.
    fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let at = self.line(error.span().map_or(0, |span| span.start));
        let message = error.message();
        let quoted = || message.split('`').skip(1).step_by(2);
        let sentence = if message.starts_with("unknown field") {
            let mut names = quoted();
            let key = names.next().unwrap_or_default();
            let nearest = names
                .map(|name| (strsim::damerau_levenshtein(key, name), name))
                .min()
                .filter(|(distance, name)| *distance <= name.len().div_ceil(2));
            match nearest {
                Some((_, name)) => format!("unknown key {key:?}; did you mean {name:?}?"),
                None => {
                    let known: Vec<&str> = quoted().skip(1).collect();
                    format!("unknown key {key:?}; known here: {}", known.join(", "))
                }
            }
        } else if let Some(found) = message.strip_prefix("invalid type: ") {
            let kind = found.split([' ', ',']).next().unwrap_or_default();
            let wanted = found.rsplit_once("expected ").map_or("something else", |(_, wanted)| wanted);
            format!("this is of type {kind}, but {wanted} is wanted here")
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            let wanted = rest.rsplit_once("expected ").map_or("something else", |(_, wanted)| wanted);
            format!("{wanted} is wanted here").replace('`', "\"")
        } else if message.starts_with("invalid value") {
            "this value cannot be used here".to_owned()
        } else {
            message.lines().collect::<Vec<_>>().join(", ")
        };
        ConfigError(redact::text(&format!("{at}: {sentence}")))
    }

    fn export(
        &self,
        raw: &RawExport,
        base: Option<&Path>,
        environment: Environment<'_>,
    ) -> Result<Option<ExportConfig>> {
        let slots = self.number("slots", raw.slots.as_ref(), DEFAULT_SLOTS, &SLOTS)?;
        let slots = u32::try_from(slots).ok().and_then(|slots| SlotCount::new(slots).ok());
        let Some(slots) = slots else { return fail("slots must be 2 to 8") };
        let enabled = match environment(EXPORT_ENABLED_VARIABLE) {
            Some(value) => parse_switch(&value)?,
            None => raw.enabled.unwrap_or(false),
        };
        if !enabled {
            return Ok(None);
        }
        let base = match (base, &raw.base) {
            (Some(base), _) => base.to_owned(),
            (None, Some(base)) => self.path(base),
            (None, None) => PathBuf::from(vas_shm_proto::DEFAULT_BASE),
        };
        if base.as_os_str().is_empty() {
            return fail("the base directory of the export is empty: give a path, such as /dev/shm/vas");
        }
        let group = match &raw.group {
            None => None,
            Some(value) => Some(
                find_group(value.get_ref())
                    .map_err(|why| ConfigError(redact::text(&format!("{}: group: {why}", self.at(value)))))?,
            ),
        };
        Ok(Some(ExportConfig { base, group, slots, when: raw.when.unwrap_or_default() }))
    }

    fn camera(
        &self,
        raw: &Spanned<RawCamera>,
        defaults: &RawCamera,
        environment: Environment<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<CameraConfig> {
        let keys = raw.get_ref();
        let Some(id) = &keys.id else { return fail(format!("{}: this camera has no id", self.at(raw))) };
        let parsed = CameraId::new(id.get_ref());
        let id = match parsed {
            Ok(parsed) => parsed,
            Err(why) => return fail(format!("{}: id {:?}: {why}", self.at(id), id.get_ref())),
        };
        let Some(url) = &keys.url else {
            return fail(format!("{}: camera {id} has no url", self.at(raw)));
        };
        let origin = self.at(url);
        let place = parse_place(url.get_ref(), |path| self.path(path));
        let place = match place {
            Ok(place) => place,
            Err(why) => return fail(format!("{origin}: camera {id}: {why}")),
        };
        self.build(id, place, keys, defaults, &origin, environment, warnings)
    }

    fn camera_argument(
        &self,
        argument: &str,
        defaults: &RawCamera,
        environment: Environment<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<CameraConfig> {
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
                 put it into {} or into a configuration file",
                variable(id, "PASSWORD")
            ));
        }
        let origin = format!("--camera {id}");
        let place = match parse_place(place, Path::to_owned) {
            Ok(place) => place,
            Err(why) => return fail(format!("{origin}: {why}")),
        };
        self.build(id, place, &RawCamera::default(), defaults, &origin, environment, warnings)
    }

    #[expect(clippy::too_many_arguments, reason = "the two callers above are all that ever give them")]
    fn build(
        &self,
        id: CameraId,
        place: Place,
        keys: &RawCamera,
        defaults: &RawCamera,
        origin: &str,
        environment: Environment<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<CameraConfig> {
        if let Some(key) = defaults.id.as_ref().or(defaults.url.as_ref()) {
            return fail(format!("{}: id and url belong to a [[camera]], not to [defaults]", self.at(key)));
        }
        macro_rules! key {
            ($name:ident) => {
                keys.$name.as_ref().or(defaults.$name.as_ref())
            };
        }
        let source = match place {
            Place::File(path) => {
                check_file(&path).map_err(|why| ConfigError(format!("{origin}: camera {id}: {why}")))?;
                Source::File(FileSource { path, repeat: key!(r#loop).is_some_and(|value| *value.get_ref()) })
            }
            Place::Rtsp { address, username, password } => {
                if let Some(value) = keys.r#loop.as_ref().filter(|value| *value.get_ref()) {
                    return fail(format!("{}: loop is for files, camera {id} is a stream", self.at(value)));
                }
                let password = self.password(id, password, keys, defaults, warnings)?;
                let username = username.or_else(|| key!(username).cloned());
                let username = environment_text(id, "USERNAME", environment)?.or(username);
                let from_environment = environment_text(id, "PASSWORD", environment)?;
                let password = from_environment.map(SecretString::from).or(password);
                let transport = key!(transport).copied().unwrap_or_default();
                let client = key!(rtsp_client).copied().unwrap_or_default();
                let tls_verify = key!(tls_verify).copied().unwrap_or(true);
                Source::Rtsp(RtspSource { address, username, password, transport, client, tls_verify })
            }
        };
        let default_timeout_ms = DEFAULT_TIMEOUT.as_millis() as i64;
        let millis = |value: i64| Duration::from_millis(value.unsigned_abs());
        let ring_frames =
            self.number("ring_frames", key!(ring_frames), DEFAULT_RING_FRAMES as i64, &RING_FRAMES)?;
        let open_timeout_ms =
            self.number("open_timeout_ms", key!(open_timeout_ms), default_timeout_ms, &TIMEOUT_MS)?;
        let frame_timeout_ms =
            self.number("frame_timeout_ms", key!(frame_timeout_ms), default_timeout_ms, &TIMEOUT_MS)?;
        let max_pixels =
            self.number("max_pixels", key!(max_pixels), DEFAULT_MAX_PIXELS as i64, &MAX_PIXELS)?;
        let decoder_threads = self.number("decoder_threads", key!(decoder_threads), 1, &DECODER_THREADS)?;
        Ok(CameraConfig {
            decoder_threads: u32::try_from(decoder_threads).unwrap_or(1),
            skip: key!(skip).copied().unwrap_or_default(),
            id,
            source,
            ring_frames: ring_frames.unsigned_abs() as usize,
            open_timeout: millis(open_timeout_ms),
            frame_timeout: millis(frame_timeout_ms),
            max_pixels: max_pixels.unsigned_abs(),
        })
    }

    /// A camera's password comes from one place: its URL, or its keys, or else the defaults.
    fn password(
        &self,
        id: CameraId,
        from_url: Option<SecretString>,
        keys: &RawCamera,
        defaults: &RawCamera,
        warnings: &mut Vec<String>,
    ) -> Result<Option<SecretString>> {
        for level in [keys, defaults] {
            if let (Some(_), Some(file)) = (&level.password, &level.password_file) {
                return fail(format!(
                    "{}: password and password_file are both there: keep one",
                    self.at(file)
                ));
            }
        }
        if let Some(at) = keys
            .password
            .as_ref()
            .map(|value| self.at(value))
            .or(keys.password_file.as_ref().map(|value| self.at(value)))
            && from_url.is_some()
        {
            return fail(format!("{at}: the url of camera {id} has a password already: keep one"));
        }
        if from_url.is_some() {
            return Ok(from_url);
        }
        for level in [keys, defaults] {
            if let Some(password) = &level.password {
                return Ok(Some(password.get_ref().clone()));
            }
            if let Some(file) = &level.password_file {
                let path = self.path(file.get_ref());
                return match read_password(&path, warnings) {
                    Ok(password) => Ok(Some(password)),
                    Err(why) => fail(format!("{}: password_file {}: {why}", self.at(file), path.display())),
                };
            }
        }
        Ok(None)
    }

    fn number(
        &self,
        name: &str,
        value: Option<&Spanned<i64>>,
        default: i64,
        allowed: &RangeInclusive<i64>,
    ) -> Result<i64> {
        match value {
            None => Ok(default),
            Some(value) if allowed.contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => fail(format!(
                "{}: {name} is {}, it can be {} to {}",
                self.at(value),
                value.get_ref(),
                allowed.start(),
                allowed.end()
            )),
        }
    }
}

fn is_readable_by_everybody(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Where a camera's video is, before anything else is known of it.
enum Place {
    Rtsp { address: Url, username: Option<String>, password: Option<SecretString> },
    File(PathBuf),
}

const BAD_ARGUMENT: &str = "--camera: this looks like a camera's address, but not like a name before it: write \
                            ID=rtsp://HOST/PATH, such as front=rtsp://10.0.0.5/stream, and no password";

const BAD_ADDRESS: &str = "this looks like a camera's address: write rtsp://HOST/PATH";

const BAD_URL: &str = "special characters of a user name or password must be percent-encoded (@ is %40, / is %2F), \
                       or go into the keys username and password";

/// `rtsp://..` or a file's name. The sentences here never repeat the text: it may hold a password.
fn parse_place(text: &str, resolve: impl Fn(&Path) -> PathBuf) -> std::result::Result<Place, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.is_empty() {
            return Err("the url is empty: give rtsp://HOST/PATH or the name of a video file".into());
        }
        let path = resolve(Path::new(text));
        if redact::is_like_an_address(text) && !path.is_file() {
            return Err(BAD_ADDRESS.into());
        }
        return Ok(Place::File(path));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "rtsp" => {}
        "file" => {
            let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
            return path
                .map(Place::File)
                .ok_or_else(|| "this file:// URL names no file of this machine".into());
        }
        "rtsps" => {
            return Err(
                "rtsps:// is not supported: this FFmpeg would not check the camera's certificate".into()
            );
        }
        other if !other.chars().all(|c| c.is_ascii_alphanumeric()) => return Err(BAD_ADDRESS.into()),
        other => {
            return Err(format!(
                "{other}:// is not supported: give rtsp://HOST/PATH or the name of a video file"
            ));
        }
    }
    let mut address =
        Url::parse(text).map_err(|why| format!("this URL cannot be read ({why}); {BAD_URL}"))?;
    if address.host_str().is_none_or(str::is_empty) {
        return Err(format!("this URL has no host; {BAD_URL}"));
    }
    // `rtsp://admin:12/34@host/` is a valid URL of the host `admin`. Nobody means that.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest[authority.len()..].contains('@') {
        return Err(format!("this URL has an @ behind its host; {BAD_URL}"));
    }
    let decode = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "the user name or password in this URL is not UTF-8".to_owned())
    };
    let username = Some(address.username()).filter(|name| !name.is_empty()).map(decode).transpose()?;
    let password = address.password().map(decode).transpose()?.map(SecretString::from);
    let stripped = address.set_username("").and_then(|()| address.set_password(None));
    if stripped.is_err() {
        return Err(format!("this URL has no host; {BAD_URL}"));
    }
    Ok(Place::Rtsp { address, username, password })
}

/// A missing file is a mistake in the configuration, found before anything starts.
fn check_file(path: &Path) -> std::result::Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("open {}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!(
            "{} is not a regular file: give a video file or rtsp://HOST/PATH",
            path.display()
        ));
    }
    std::fs::File::open(path).map(drop).map_err(|error| format!("open {}: {error}", path.display()))
}

fn read_password(path: &Path, warnings: &mut Vec<String>) -> std::result::Result<SecretString, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o004 != 0 {
        let name = path.display();
        warnings.push(format!("{name} holds a password and everybody may read it: chmod o= {name}"));
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // Editors end files with a newline; passwords do not.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err("the file is empty".into());
    }
    Ok(SecretString::from(text))
}

/// `VAS_CAMERA_<ID>_<WHAT>`.
fn variable(id: CameraId, what: &str) -> String {
    format!("VAS_CAMERA_{}_{what}", id.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// `a-b` and `a_b`, or `a` and `A`, have the same variables: set, they would hand one camera's password to the other.
fn refuse_ambiguous_variables(cameras: &[CameraConfig], environment: Environment<'_>) -> Result<()> {
    let mut streams: Vec<CameraId> = Vec::new();
    for camera in cameras.iter().filter(|camera| matches!(camera.source, Source::Rtsp(_))) {
        for what in ["USERNAME", "PASSWORD"] {
            let name = variable(camera.id, what);
            if let Some(other) = streams.iter().find(|other| variable(**other, what) == name)
                && environment_text(camera.id, what, environment)?.is_some()
            {
                return fail(format!(
                    "{name} is set, and means camera {other} as well as camera {}: give one of them another id, or use \
                     the configuration file instead of the variable",
                    camera.id
                ));
            }
        }
        streams.push(camera.id);
    }
    Ok(())
}

/// An empty variable is one that is not set: some ways to start a program cannot leave a variable out.
fn environment_text(id: CameraId, what: &str, environment: Environment<'_>) -> Result<Option<String>> {
    let name = variable(id, what);
    match environment(&name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Err(_)) => fail(format!("{name} is not UTF-8")),
    }
}

fn parse_switch(value: &OsString) -> Result<bool> {
    match value.to_string_lossy().trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => fail(format!(
            "{EXPORT_ENABLED_VARIABLE} is {other:?}: use 1, true, yes or on to export frames, 0, false, no or off not to"
        )),
    }
}

fn find_group(value: &toml::Value) -> std::result::Result<u32, String> {
    match value {
        toml::Value::Integer(gid) => u32::try_from(*gid)
            .ok()
            .filter(|gid| *gid != u32::MAX)
            .ok_or_else(|| format!("{gid} is no group id")),
        toml::Value::String(name) => match nix::unistd::Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(format!("there is no group {name:?} on this machine")),
            Err(error) => Err(format!("look up group {name:?}: {error}")),
        },
        _ => Err("wanted is a group's name or its number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    /// Loads `text` as vas.toml in a directory of its own that has a file clip.mp4 and a file password.
    fn load_with(
        text: &str,
        cameras: &[&str],
        environment: Environment<'_>,
    ) -> std::result::Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vas.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(directory.path().join("clip.mp4"), "no video").unwrap();
        std::fs::write(directory.path().join("password"), "from file\n").unwrap();
        let cameras = cameras.iter().map(|&camera| camera.to_owned()).collect();
        let request = Request { file: Some(file), cameras, base: None };
        let prefix = format!("{}/", directory.path().display());
        Config::load(&request, environment).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    fn load(text: &str) -> std::result::Result<Config, String> {
        load_with(text, &[], &nothing)
    }

    fn refusal(text: &str) -> String {
        load(text).unwrap_err()
    }

    fn rtsp(config: &Config) -> &RtspSource {
        match &config.cameras[0].source {
            Source::Rtsp(rtsp) => rtsp,
            Source::File(_) => panic!("a file"),
        }
    }

    fn password(config: &Config) -> Option<&str> {
        rtsp(config).password.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn a_camera_needs_a_name_and_a_place_and_has_defaults_for_the_rest() {
        let config = load("[[camera]]\nid = \"front\"\nurl = \"rtsp://10.0.0.5/s\"\n").unwrap();
        assert!(config.export.is_none());
        let camera = &config.cameras[0];
        assert_eq!(camera.id.as_str(), "front");
        assert_eq!(camera.ring_frames, 4);
        assert_eq!(camera.open_timeout, Duration::from_secs(10));
        assert_eq!(camera.frame_timeout, Duration::from_secs(10));
        assert_eq!(rtsp(&config).transport, Transport::Tcp);
        assert!(rtsp(&config).username.is_none() && rtsp(&config).password.is_none());
    }

    #[test]
    fn defaults_hold_for_every_camera_that_says_nothing_else() {
        let config = load(
            "[defaults]\ntransport = \"udp\"\nring_frames = 8\nusername = \"admin\"\npassword_file = \"password\"\n\
             [[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nring_frames = 2\n",
        )
        .unwrap();
        assert_eq!(config.cameras[0].ring_frames, 2);
        assert_eq!(rtsp(&config).transport, Transport::Udp);
        assert_eq!(rtsp(&config).username.as_deref(), Some("admin"));
        assert_eq!(password(&config), Some("from file"));
    }

    #[test]
    fn credentials_leave_the_url_and_have_no_text_form() {
        let config =
            load("[[camera]]\nid = \"a\"\nurl = \"rtsp://ad%40min:p%40ss@10.0.0.5:554/s\"\n").unwrap();
        assert_eq!(rtsp(&config).address.as_str(), "rtsp://10.0.0.5:554/s");
        assert_eq!(rtsp(&config).username.as_deref(), Some("ad@min"));
        assert_eq!(password(&config), Some("p@ss"));
        let debug = format!("{config:?}");
        assert!(!debug.contains("p@ss") && !debug.contains("p%40ss"), "{debug}");
    }

    #[test]
    fn the_environment_has_the_last_word_on_credentials() {
        let environment = |name: &str| match name {
            "VAS_CAMERA_BACK_DOOR_USERNAME" => Some("eve".into()),
            "VAS_CAMERA_BACK_DOOR_PASSWORD" => Some("of the environment".into()),
            _ => None,
        };
        let text = "[[camera]]\nid = \"back-door\"\nurl = \"rtsp://h/s\"\npassword = \"of the file\"\n";
        let config = load_with(text, &[], &environment).unwrap();
        assert_eq!(rtsp(&config).username.as_deref(), Some("eve"));
        assert_eq!(password(&config), Some("of the environment"));
    }

    #[test]
    fn the_export_is_off_unless_somebody_says_on() {
        let text = |export: &str| format!("{export}\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n");
        let exported = |export: &str, variable: Option<&'static str>| {
            load_with(&text(export), &[], &|name| {
                variable.filter(|_| name == EXPORT_ENABLED_VARIABLE).map(OsString::from)
            })
            .map(|config| config.export.is_some())
        };
        assert_eq!(exported("", None), Ok(false));
        assert_eq!(exported("[export]\nenabled = true", None), Ok(true));
        assert_eq!(exported("[export]\nenabled = true", Some("off")), Ok(false));
        for on in ["1", "true", "yes", "on", "TRUE", "On"] {
            assert_eq!(exported("", Some(on)), Ok(true), "{on}");
        }
        for off in ["0", "false", "no", "off", "False"] {
            assert_eq!(exported("[export]\nenabled = true", Some(off)), Ok(false), "{off}");
        }
        for neither in ["", "2", "enabled", "ja"] {
            let refusal = exported("", Some(neither)).unwrap_err();
            assert!(
                refusal.starts_with(&format!("AI_FRAME_EXPORT_ENABLED is {neither:?}: use 1")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_export_has_its_own_keys() {
        let config = load(
            "[export]\nenabled = true\nbase = \"/dev/shm/other\"\ngroup = 0\nslots = 5\nwhen = \"always\"\n\
             [[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
        )
        .unwrap();
        let export = config.export.unwrap();
        assert_eq!(export.base, Path::new("/dev/shm/other"));
        assert_eq!(export.group, Some(0));
        assert_eq!(export.slots, SlotCount::new(5).unwrap());
        assert_eq!(export.when, ExportWhen::Always);
        let by_name =
            "[export]\nenabled = true\ngroup = \"root\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n";
        let export = load(by_name).unwrap().export.unwrap();
        assert_eq!((export.group, export.when), (Some(0), ExportWhen::Attached));
    }

    #[test]
    fn mistakes_are_told_with_line_and_what_to_do() {
        for (text, sentence) in [
            (
                "[[camera]]\nid = \"a\"\ntransprt = \"udp\"\nurl = \"clip.mp4\"\n",
                "vas.toml line 3: unknown key \"transprt\"; did you mean \"transport\"?",
            ),
            (
                "[exports]\nenabled = true\n",
                "vas.toml line 1: unknown key \"exports\"; did you mean \"export\"?",
            ),
            (
                "[export]\nqqqqqqqqqqqq = true\n",
                "vas.toml line 2: unknown key \"qqqqqqqqqqqq\"; known here: enabled, base, group, slots, when",
            ),
            (
                "[[camera]]\nid = \"../x\"\nurl = \"clip.mp4\"\n",
                "vas.toml line 2: id \"../x\": a camera id has only letters, digits, '_' and '-' (ASCII) and begins with \
                 a letter or digit; found '.' at position 0",
            ),
            ("[[camera]]\nurl = \"clip.mp4\"\n", "vas.toml line 1: this camera has no id"),
            ("\n[[camera]]\nid = \"a\"\n", "vas.toml line 2: camera a has no url"),
            (
                "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
                "vas.toml line 4: camera a is there already",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"none.mp4\"\n",
                "vas.toml line 3: camera a: open none.mp4: No such file or directory (os error 2)",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \".\"\n",
                "vas.toml line 3: camera a: . is not a regular file: give a video file or rtsp://HOST/PATH",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"http://h/s\"\n",
                "vas.toml line 3: camera a: http:// is not supported: give rtsp://HOST/PATH or the name of a video file",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\nring_frames = 0\n",
                "vas.toml line 4: ring_frames is 0, it can be 1 to 64",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nloop = true\n",
                "vas.toml line 4: loop is for files, camera a is a stream",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\ntransport = \"tpc\"\n",
                "vas.toml line 4: \"tcp\" or \"udp\" is wanted here",
            ),
            (
                "[defaults]\nid = \"a\"\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n",
                "vas.toml line 2: id and url belong to a [[camera]], not to [defaults]",
            ),
            (
                "[export]\nenabled = true\ngroup = \"no such group\"\n[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n",
                "vas.toml line 3: group: there is no group \"no such group\" on this machine",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword = \"x\"\npassword_file = \"password\"\n",
                "vas.toml line 5: password and password_file are both there: keep one",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"rtsp://u:p@h/s\"\npassword_file = \"password\"\n",
                "vas.toml line 4: the url of camera a has a password already: keep one",
            ),
            (
                "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword_file = \"none\"\n",
                "vas.toml line 4: password_file none: No such file or directory (os error 2)",
            ),
            ("", "no camera: give --camera ID=URL_OR_FILE, or --config with a file that has [[camera]]"),
        ] {
            assert_eq!(refusal(text), sentence, "{text}");
        }
    }

    #[test]
    fn a_mistake_beside_a_password_does_not_print_it() {
        for line in [
            "password = 12345678",
            "password = hunter2secret",
            "password = \"hunter2secret",
            "password = ['hunter2secret']",
            "password_file = { path = \"hunter2secret\" }",
            "url = \"rtsp://admin:hunter2secret@\"",
            "url = \"rtsp://admin:hunter2/secret@h/s\"",
            "url = \"rtsp://admin:12/34hunter2secret@h/s\"",
            "url = \"rtsp:/admin:hunter2secret@h/s\"",
            "url = \"rtsp:admin:hunter2 secret@h/s\"",
            "url = \"admin:hunter2secret@h/s\"",
            "url = \"admin:hunter2 secret@rtsp://h/s\"",
            "url = \"rtsps://admin:hunter2secret@h/s\"",
            "transport = \"rtsp://admin:hunter2secret@h/s\"",
            "loop = \"hunter2secret\"",
            "ring_frames = \"hunter2secret\"",
        ] {
            let sentence = refusal(&format!("[[camera]]\nid = \"a\"\n{line}\n"));
            assert!(!sentence.contains("hunter2") && !sentence.contains("1234"), "{line}: {sentence}");
            assert!(sentence.contains("vas.toml line 3"), "{line}: {sentence}");
        }
    }

    #[test]
    fn the_command_line_adds_cameras_and_never_takes_a_password() {
        let clip = tempfile::NamedTempFile::new().unwrap();
        let argument = format!("yard={}", clip.path().display());
        let config =
            load_with("[defaults]\nring_frames = 9\n", &[&argument, "b=rtsp://bob@h/s"], &nothing).unwrap();
        assert_eq!(config.cameras.len(), 2);
        assert_eq!(config.cameras[1].ring_frames, 9);

        let refusal = |argument: &str| load_with("", &[argument], &nothing).unwrap_err();
        assert_eq!(
            refusal("front-door=rtsp://admin:hunter2secret@h/s"),
            "--camera front-door: a password on the command line can be read by every user of this machine: put it into \
             VAS_CAMERA_FRONT_DOOR_PASSWORD or into a configuration file"
        );
        assert!(refusal("a=rtsp://h/s?password=hunter2secret").starts_with("--camera a: a password"));
        assert!(refusal("../x=clip.mp4").starts_with("--camera \"../x\": a camera id has only"));
        assert!(refusal("clip.mp4").starts_with("--camera clip.mp4: wanted is ID=URL_OR_FILE"));
        assert_eq!(refusal("rtsp://u:hunter2secret@h/s"), BAD_ARGUMENT);
        assert_eq!(refusal("admin:hunter2secret@h/s"), BAD_ARGUMENT);
        assert_eq!(refusal("admin:hunter2=secret@h/s"), BAD_ARGUMENT);
        for place in ["rtsp:/admin:hunter2@h/s", "admin:hunter2@h/s", "rtsp:admin:hun ter2@h/s", "rtsp:/h/s"]
        {
            let sentence = "--camera a: this looks like a camera's address: write rtsp://HOST/PATH";
            assert_eq!(refusal(&format!("a={place}")), sentence, "{place}");
        }
        for password in ["hun'ter2", "hun ter2", "hun\"ter2", "hun/ter2"] {
            let sentence = refusal(&format!("a=rtsp://admin:{password}@h/s"));
            assert!(sentence.starts_with("--camera a: a password on the command line"), "{sentence}");
        }
        assert_eq!(
            load_with("", &["a=rtsp://h/s", "a=rtsp://h/t"], &nothing).unwrap_err(),
            "--camera a: a camera of that name is there already"
        );
    }

    #[test]
    fn a_password_that_everybody_may_read_is_warned_of() {
        let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword_file = \"password\"\n";
        assert!(
            load(text).unwrap().warnings[0].contains("password holds a password and everybody may read it")
        );
        let text = "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n";
        assert!(load(text).unwrap().warnings.is_empty());
    }

    #[test]
    fn a_configuration_with_a_password_that_everybody_may_read_is_warned_of() {
        // The file is made with what the umask leaves, so its mode is set here.
        let warnings = |text: &str, mode: u32| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let request = Request { file: Some(file.path().to_owned()), ..Request::default() };
            Config::load(&request, &nothing).unwrap().warnings.len()
        };
        for text in [
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\npassword = \"x\"\n",
            "[defaults]\npassword = \"x\"\n[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\n",
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://u:x@h/s\"\n",
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s?password=x\"\n",
        ] {
            assert_eq!((warnings(text, 0o644), warnings(text, 0o640)), (1, 0), "{text}");
        }
        assert_eq!(warnings("[[camera]]\nid = \"a\"\nurl = \"rtsp://u@h/s\"\n", 0o644), 0);
    }

    #[test]
    fn a_variable_that_means_two_cameras_is_refused() {
        let text = "[[camera]]\nid = \"a-b\"\nurl = \"rtsp://h/s\"\n[[camera]]\nid = \"A_b\"\nurl = \"rtsp://h/t\"\n";
        assert!(load(text).is_ok());
        let set = |value: &'static str| {
            move |name: &str| Some(OsString::from(value)).filter(|_| name == "VAS_CAMERA_A_B_PASSWORD")
        };
        assert!(load_with(text, &[], &set("")).is_ok());
        let sentence = load_with(text, &[], &set("hunter2")).unwrap_err();
        assert!(
            sentence.starts_with("VAS_CAMERA_A_B_PASSWORD is set, and means camera a-b as well as"),
            "{sentence}"
        );
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let empty = |name: &str| Some(OsString::new()).filter(|_| name.starts_with("VAS_CAMERA_"));
        let text =
            "[[camera]]\nid = \"a\"\nurl = \"rtsp://h/s\"\nusername = \"u\"\npassword = \"of the file\"\n";
        let config = load_with(text, &[], &empty).unwrap();
        assert_eq!((rtsp(&config).username.as_deref(), password(&config)), (Some("u"), Some("of the file")));
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let request = Request { file: Some("/nonexistent/vas.toml".into()), ..Request::default() };
        assert_eq!(
            Config::load(&request, &nothing).unwrap_err().to_string(),
            "read the configuration /nonexistent/vas.toml: No such file or directory (os error 2)"
        );
    }
}
