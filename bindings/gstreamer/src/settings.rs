//! The element's properties that are set before it starts.

use gst::glib;
use gst::prelude::*;
use std::path::PathBuf;
use std::sync::LazyLock;
use vas_shm_reader::{CameraId, FrameStream, Options};

/// Where the server exports its cameras, unless the property or the environment says otherwise.
const DEFAULT_BASE: &str = "/dev/shm/vas";
/// The environment's word for it, as the other programs of this project have it.
const BASE_VARIABLE: &str = "VAS_SHM_BASE";

/// Which frame comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVasFrameSrcMode")]
pub(crate) enum Mode {
    #[default]
    #[enum_value(name = "The newest frame; what came meanwhile is skipped", nick = "latest")]
    Latest,
    #[enum_value(name = "The oldest frame that still stands there and was not seen", nick = "next")]
    Next,
}

/// What waiting costs, and how soon a frame is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstVasFrameSrcPolicy")]
pub(crate) enum Policy {
    #[enum_value(name = "As soon as can be, at the cost of processor time", nick = "low-latency")]
    LowLatency,
    #[default]
    #[enum_value(name = "Soon, at little cost", nick = "balanced")]
    Balanced,
    #[enum_value(name = "At the least cost, some milliseconds later", nick = "economy")]
    Economy,
}

impl From<Mode> for vas_shm_reader::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Latest => Self::Latest,
            Mode::Next => Self::Next,
        }
    }
}

impl From<Policy> for vas_shm_reader::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::LowLatency => Self::LowLatency,
            Policy::Balanced => Self::Balanced,
            Policy::Economy => Self::Economy,
        }
    }
}

/// What the application asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    camera: Option<String>,
    base: Option<String>,
    mode: Mode,
    policy: Policy,
    owner_uid: Option<u32>,
    /// How long no frame may come before that is an error; zero is for ever.
    timeout: gst::ClockTime,
}

/// Anybody.
const NO_OWNER: i64 = -1;

impl Settings {
    /// The properties, as `gst-inspect-1.0` shows them.
    pub(crate) fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("camera")
                    .nick("Camera")
                    .blurb("Id of the camera: the name of its directory beneath base")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("base")
                    .nick("Base directory")
                    .blurb("Directory under which the server exports its cameras (null: VAS_SHM_BASE of the environment, or else /dev/shm/vas)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("mode", Mode::default())
                    .nick("Mode")
                    .blurb("Which frame comes next")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("policy", Policy::default())
                    .nick("Policy")
                    .blurb("What waiting for a frame costs, and how soon it is found")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecInt64::builder("owner-uid")
                    .nick("Owner")
                    .blurb("Insist that the camera's files belong to this user (-1: anybody)")
                    .minimum(NO_OWNER)
                    .maximum(i64::from(u32::MAX))
                    .default_value(NO_OWNER)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("timeout")
                    .nick("Timeout")
                    .blurb("End with an error when no frame came for so many nanoseconds, the time in a pause not counted (0: wait for ever)")
                    .default_value(0)
                    // The largest number is GStreamer's word for "no time", which 0 says here.
                    .maximum(u64::MAX - 1)
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    /// Sets the property of that name, if it is one of these.
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "camera" => self.camera = value.get().unwrap_or_default(),
            "base" => self.base = value.get().unwrap_or_default(),
            "mode" => self.mode = value.get().unwrap_or_default(),
            "policy" => self.policy = value.get().unwrap_or_default(),
            "owner-uid" => self.owner_uid = value.get::<i64>().ok().and_then(|uid| u32::try_from(uid).ok()),
            "timeout" => self.timeout = gst::ClockTime::from_nseconds(value.get().unwrap_or_default()),
            _ => {}
        }
    }

    /// The value of the property of that name; none if it is not one of these.
    pub(crate) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "camera" => self.camera.to_value(),
            "base" => self.base.to_value(),
            "mode" => self.mode.to_value(),
            "policy" => self.policy.to_value(),
            "owner-uid" => self.owner_uid.map_or(NO_OWNER, i64::from).to_value(),
            "timeout" => self.timeout.nseconds().to_value(),
            _ => return None,
        })
    }

    /// How long no frame may come.
    pub(crate) fn timeout(&self) -> Option<std::time::Duration> {
        (!self.timeout.is_zero()).then(|| self.timeout.into())
    }

    /// The stream that is asked for, or a sentence that says why there can be none.
    pub(crate) fn stream(&self) -> Result<FrameStream, String> {
        let camera = self.camera.as_deref().filter(|camera| !camera.is_empty());
        let camera = camera.ok_or("vasframesrc: no camera is named: set the property camera to the id of one, as `vas-frames list` shows them")?;
        let id = CameraId::new(camera)
            .map_err(|why| format!("vasframesrc: camera {camera:?} cannot be the id of a camera: {why}"))?;
        let options = self.owner_uid.map_or_else(Options::new, |uid| Options::new().owner_uid(uid));
        Ok(FrameStream::new(self.base(), id)
            .mode(self.mode.into())
            .policy(self.policy.into())
            .options(options))
    }

    fn base(&self) -> PathBuf {
        if let Some(base) = self.base.as_deref().filter(|base| !base.is_empty()) {
            return base.into();
        }
        // An empty variable is one that is not set.
        let base = std::env::var_os(BASE_VARIABLE).filter(|base| !base.is_empty());
        base.map_or_else(|| PathBuf::from(DEFAULT_BASE), PathBuf::from)
    }
}
