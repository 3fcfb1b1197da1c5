//! Every key of the configuration, once: its table, what it may be, its default, and the variables that beat it.
//!
//! The file, the environment, `print-config` and the tests that hold vas.toml to all of them walk these tables. A new key is a row
//! here, and a line in [`super::Config`] that uses it: a test fails until changing the key changes the configuration.

use std::ops::RangeInclusive;

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// None: without the key there is nothing.
    pub(crate) default: Option<Default>,
    /// A variable of another name than the rule gives it, which was there before the rule and comes first.
    pub(crate) first_variable: Option<&'static str>,
    /// Which cameras it means something for.
    pub(crate) cameras: Cameras,
    /// It belongs to one camera, and cannot stand in `[defaults]`.
    pub(crate) is_of_one: bool,
}

/// What a key may be.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Text,
    /// Text that is shown nowhere.
    Secret,
    /// A file's name, relative to the directory of the configuration file.
    Path,
    /// An address, or a file's name.
    Address,
    Switch,
    Number(RangeInclusive<i64>),
    Choice(&'static [&'static str]),
    /// A group's name or number.
    Group,
}

/// What holds where nobody says anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    Number(i64),
    Switch(bool),
    Choice(&'static str),
    Path(&'static str),
}

/// Which cameras a key means something for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cameras {
    All,
    Streams,
    Files,
}

/// The tables of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Server,
    Export,
    Defaults,
    Camera,
}

impl Table {
    pub(crate) const ALL: [Self; 4] = [Self::Server, Self::Export, Self::Defaults, Self::Camera];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Export => "export",
            Self::Defaults => "defaults",
            Self::Camera => "camera",
        }
    }

    /// As it stands in a file.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Server => "[server]",
            Self::Export => "[export]",
            Self::Defaults => "[defaults]",
            Self::Camera => "[[camera]]",
        }
    }

    /// The keys that the table knows; [`Key::is_of_one`] are known in `[defaults]` too, where a sentence of their own refuses them.
    pub(crate) fn keys(self) -> &'static [Key] {
        match self {
            Self::Server => SERVER,
            Self::Export => EXPORT,
            Self::Defaults | Self::Camera => CAMERA,
        }
    }
}

impl Key {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, first_variable: None, cameras: Cameras::All, is_of_one: false }
    }

    const fn number(name: &'static str, range: RangeInclusive<i64>, default: i64) -> Self {
        Self { default: Some(Default::Number(default)), ..Self::new(name, Kind::Number(range)) }
    }

    const fn switch(name: &'static str, default: bool) -> Self {
        Self { default: Some(Default::Switch(default)), ..Self::new(name, Kind::Switch) }
    }

    /// The first of them is the default.
    const fn choice(name: &'static str, names: &'static [&'static str]) -> Self {
        Self { default: Some(Default::Choice(names[0])), ..Self::new(name, Kind::Choice(names)) }
    }

    const fn of(self, cameras: Cameras) -> Self {
        Self { cameras, ..self }
    }

    /// The variables that beat it, the first of them first: `<PREFIX>_<KEY>`, in capitals.
    pub(crate) fn variables(&self, prefix: &str) -> impl Iterator<Item = String> + use<> {
        let by_rule = format!("{prefix}_{}", self.name.to_ascii_uppercase());
        self.first_variable.map(str::to_owned).into_iter().chain([by_rule])
    }
}

/// Is not shown, and may come from elsewhere: see [`super::password`].
pub(crate) const PASSWORD: Key = Key::new("password", Kind::Secret).of(Cameras::Streams);
pub(crate) const PASSWORD_FILE: Key = Key::new("password_file", Kind::Path).of(Cameras::Streams);
pub(crate) const USERNAME: Key = Key::new("username", Kind::Text).of(Cameras::Streams);

pub(crate) const STATUS_FILE: Key = Key::new("status_file", Kind::Path);
pub(crate) const METRICS_FILE: Key = Key::new("metrics_file", Kind::Path);

pub(crate) const ENABLED: Key =
    Key { first_variable: Some(super::EXPORT_ENABLED_VARIABLE), ..Key::switch("enabled", false) };
pub(crate) const BASE: Key = Key {
    default: Some(Default::Path(vas_shm_proto::DEFAULT_BASE)),
    first_variable: Some(super::BASE_VARIABLE),
    ..Key::new("base", Kind::Path)
};
pub(crate) const GROUP: Key = Key::new("group", Kind::Group);
pub(crate) const SLOTS: Key = Key::number("slots", 2..=8, 3);
pub(crate) const WHEN: Key = Key::choice("when", &["attached", "always"]);

pub(crate) const ID: Key = Key { is_of_one: true, ..Key::new("id", Kind::Text) };
pub(crate) const URL: Key = Key { is_of_one: true, ..Key::new("url", Kind::Address) };
pub(crate) const TRANSPORT: Key = Key::choice("transport", &["tcp", "udp", "auto"]).of(Cameras::Streams);
pub(crate) const RTSP_CLIENT: Key =
    Key::choice("rtsp_client", &["auto", "retina", "ffmpeg"]).of(Cameras::Streams);
pub(crate) const TLS_VERIFY: Key = Key::switch("tls_verify", true).of(Cameras::Streams);
pub(crate) const LOOP: Key = Key::switch("loop", false).of(Cameras::Files);
pub(crate) const RING_FRAMES: Key = Key::number("ring_frames", 1..=64, 4);
pub(crate) const OPEN_TIMEOUT_MS: Key = Key::number("open_timeout_ms", 100..=600_000, 10_000);
pub(crate) const FRAME_TIMEOUT_MS: Key = Key::number("frame_timeout_ms", 100..=600_000, 10_000);
/// 8192 x 4320: every camera of today, and no more than 100 MB a frame whatever a stream claims to be.
pub(crate) const MAX_PIXELS: Key = Key::number("max_pixels", 1..=16_384 * 16_384, 8192 * 4320);
/// The default of [`FRAME_TIMEOUT_MS`] where only keyframes are decoded: a whole group of pictures lies between two of them, and cameras
/// that save bandwidth make it many seconds long.
pub(crate) const KEYFRAME_TIMEOUT_MS: i64 = 60_000;
pub(crate) const DECODER_THREADS: Key = Key::number("decoder_threads", 1..=16, 1);
pub(crate) const SKIP: Key = Key::choice("skip", &["none", "nonref", "keyframes"]);

const SERVER: &[Key] = &[STATUS_FILE, METRICS_FILE];
const EXPORT: &[Key] = &[ENABLED, BASE, GROUP, SLOTS, WHEN];
const CAMERA: &[Key] = &[
    ID,
    URL,
    USERNAME,
    PASSWORD,
    PASSWORD_FILE,
    TRANSPORT,
    RTSP_CLIENT,
    TLS_VERIFY,
    LOOP,
    RING_FRAMES,
    OPEN_TIMEOUT_MS,
    FRAME_TIMEOUT_MS,
    MAX_PIXELS,
    DECODER_THREADS,
    SKIP,
];

impl Kind {
    /// What a value has to be, for a sentence.
    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Text | Self::Secret => "text in quotation marks".to_owned(),
            Self::Path => "a file's name in quotation marks".to_owned(),
            Self::Address => "an address or a file's name in quotation marks".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Number(range) => format!("a number from {} to {}", range.start(), range.end()),
            Self::Choice(names) => {
                let (last, others) = names.split_last().unwrap_or((&"", &[]));
                let others: Vec<_> = others.iter().map(|name| format!("\"{name}\"")).collect();
                format!("{} or \"{last}\"", others.join(", "))
            }
            Self::Group => "a group's name or its number".to_owned(),
        }
    }
}
