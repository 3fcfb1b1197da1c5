//! Where a camera's video comes from, as the configuration says; [`crate::source`] opens it.
//!
//! Apart from that, so that `config/` and what it makes know nothing of FFmpeg.

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use url::Url;

/// How RTP comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Inside the RTSP connection: nothing is lost on the way.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// Datagrams, and inside the connection if none come.
    Auto,
}

/// Whose RTSP client talks to the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspClient {
    /// retina where it is the better one and can play the camera, else FFmpeg's.
    #[default]
    Auto,
    /// retina: whole frames at once, and loss told for each of them.
    Retina,
    /// FFmpeg's own.
    Ffmpeg,
}

impl RtspClient {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Retina => "retina",
            Self::Ffmpeg => "ffmpeg",
        }
    }
}

/// Which pictures are not decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Skip {
    /// All are decoded.
    #[default]
    None,
    /// Those that no other picture refers to are left out.
    Nonref,
    /// Only keyframes are decoded.
    Keyframes,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Auto => "auto",
        }
    }
}

/// A camera's password. It has no text form.
#[derive(Clone)]
pub(crate) enum Password {
    /// This one.
    Known(SecretString),
    /// That of a file which could not be read when the configuration was.
    InFile(PasswordFile),
}

/// A file with a password that is read once it can be. What is read then is the password of all clones.
#[derive(Clone)]
pub(crate) struct PasswordFile {
    /// What names the file, for a sentence: `password_file`, or `credential`.
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) found: Arc<OnceLock<SecretString>>,
}

impl Password {
    /// None: it could not be read so far.
    pub(crate) fn known(&self) -> Option<&SecretString> {
        match self {
            Self::Known(password) => Some(password),
            Self::InFile(file) => file.found.get(),
        }
    }
}

/// A camera at an address: RTSP, or MJPEG over HTTP, either of them encrypted or not. The password has no text form; the address has
/// no credentials before its host.
#[derive(Clone)]
pub struct RtspSource {
    pub(crate) address: Url,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) transport: Transport,
    pub(crate) client: RtspClient,
    /// For rtsps and https: the camera's certificate has to be one that this machine trusts.
    pub(crate) tls_verify: bool,
}

impl std::fmt::Debug for RtspSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Some cameras take a password in the path or the query.
        f.write_str(&crate::redact::text(self.address.as_str()))
    }
}

impl RtspSource {
    /// The password, if it has one and that is known.
    pub(crate) fn password(&self) -> Option<&SecretString> {
        self.password.as_ref().and_then(Password::known)
    }

    /// Is the connection to it encrypted?
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.address.scheme(), "rtsps" | "https")
    }

    /// Is it RTSP at all?
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.address.scheme(), "http" | "https")
    }

    /// For a log line: never with credentials, also those that stand in its path or query.
    pub(crate) fn describe(&self, transport: Transport) -> String {
        if self.is_http() {
            return crate::redact::text(self.address.as_str());
        }
        format!("{} over {}", crate::redact::text(self.address.as_str()), transport.name())
    }

    /// Host and port, for people.
    pub(crate) fn host(&self) -> String {
        let host = self.address.host_str().unwrap_or_default();
        self.address.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The URL with credentials, percent-encoded, for FFmpeg alone.
    pub(crate) fn url_with_credentials(&self) -> SecretString {
        let encode = |text: &str| utf8_percent_encode(text, crate::redact::USERINFO).to_string();
        let plain = self.address.as_str();
        let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned().into() };
        let userinfo = match (&self.username, self.password()) {
            (None, None) => return plain.to_owned().into(),
            (username, None) => encode(username.as_deref().unwrap_or_default()),
            (username, Some(password)) => {
                let username = encode(username.as_deref().unwrap_or_default());
                format!("{username}:{}", encode(password.expose_secret()))
            }
        };
        format!("{scheme}://{userinfo}@{rest}").into()
    }
}

/// A video file.
#[derive(Clone, Debug)]
pub struct FileSource {
    pub(crate) path: PathBuf,
    /// Begin again at the end.
    pub(crate) repeat: bool,
}

/// Where a camera's video comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A camera.
    Rtsp(RtspSource),
    /// A file, played at its own speed.
    File(FileSource),
}

impl Source {
    /// For a log line: never with credentials.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rtsp(rtsp) => rtsp.describe(rtsp.transport),
            Self::File(file) => file.path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(address: &str, username: Option<&str>, password: Option<&str>) -> RtspSource {
        RtspSource {
            address: Url::parse(address).unwrap(),
            username: username.map(str::to_owned),
            password: password.map(|password| Password::Known(SecretString::from(password.to_owned()))),
            transport: Transport::Tcp,
            client: RtspClient::default(),
            tls_verify: true,
        }
    }

    #[test]
    fn credentials_are_percent_encoded_for_the_call_only() {
        let source = camera("rtsp://10.0.0.5:554/s?x=1", Some("admin"), Some("p@ss:w/rd#%?"));
        let url = source.url_with_credentials();
        assert_eq!(url.expose_secret(), "rtsp://admin:p%40ss%3Aw%2Frd%23%25%3F@10.0.0.5:554/s?x=1");
        let described = Source::Rtsp(source.clone()).describe();
        assert_eq!(described, "rtsp://10.0.0.5:554/s?x=1 over tcp");
        assert!(!format!("{source:?}").contains("p@ss"));
    }

    #[test]
    fn credentials_may_be_half_or_missing() {
        let url = |username, password| {
            camera("rtsp://h/s", username, password).url_with_credentials().expose_secret().to_owned()
        };
        assert_eq!(url(None, None), "rtsp://h/s");
        assert_eq!(url(Some("u"), None), "rtsp://u@h/s");
        assert_eq!(url(None, Some("p")), "rtsp://:p@h/s");
    }

    #[test]
    fn hosts_are_named_with_their_port() {
        assert_eq!(camera("rtsp://10.0.0.5:8554/s", None, None).host(), "10.0.0.5:8554");
        assert_eq!(camera("rtsp://[fe80::1]:8554/s", None, None).host(), "[fe80::1]:8554");
        assert_eq!(camera("rtsp://cam.lan/s", None, None).host(), "cam.lan");
    }
}
