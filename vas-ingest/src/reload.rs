//! What a new configuration means for the cameras that run.

use crate::address::{FileSource, Password, RtspSource, Source};
use crate::config::CameraConfig;
use secrecy::{ExposeSecret, SecretString};
use vas_shm_proto::CameraId;

/// Would a camera that runs with `a` do what it does with `b`, credentials and all? A password that cannot be read is no reason to take
/// from a camera the one that it has.
///
/// Every field is named, so that one which is added later is thought of here.
pub(crate) fn is_same(a: &CameraConfig, b: &CameraConfig) -> bool {
    let CameraConfig {
        id,
        source,
        ring_frames,
        open_timeout,
        frame_timeout,
        max_pixels,
        decoder_threads,
        skip,
        // Found out anew with each try.
        missing: _,
    } = a;
    *id == b.id
        && is_same_source(source, &b.source)
        && *ring_frames == b.ring_frames
        && *open_timeout == b.open_timeout
        && *frame_timeout == b.frame_timeout
        && *max_pixels == b.max_pixels
        && *decoder_threads == b.decoder_threads
        && *skip == b.skip
}

fn is_same_source(a: &Source, b: &Source) -> bool {
    match (a, b) {
        (Source::Rtsp(a), Source::Rtsp(b)) => {
            let RtspSource { address, username, password, transport, client, tls_verify } = a;
            *address == b.address
                && *username == b.username
                && is_same_password(password.as_ref(), b.password.as_ref())
                && *transport == b.transport
                && *client == b.client
                && *tls_verify == b.tls_verify
        }
        (Source::File(a), Source::File(b)) => {
            let FileSource { path, repeat } = a;
            *path == b.path && *repeat == b.repeat
        }
        (Source::Rtsp(_) | Source::File(_), _) => false,
    }
}

/// Would the one be let in, or refused, as the other is: the same address, user name and password?
pub(crate) fn is_same_login(a: &CameraConfig, b: &CameraConfig) -> bool {
    match (&a.source, &b.source) {
        (Source::Rtsp(a), Source::Rtsp(b)) => {
            a.address == b.address
                && a.username == b.username
                && b.password.is_none() == b.password().is_none()
                && is_same_secret(a.password(), b.password())
        }
        _ => false,
    }
}

fn is_same_password(a: Option<&Password>, b: Option<&Password>) -> bool {
    let known = a.and_then(Password::known);
    match (a, b) {
        (_, Some(Password::InFile(b))) if b.found.get().is_none() => match a {
            Some(Password::InFile(a)) if known.is_none() => a.path == b.path,
            _ => known.is_some(),
        },
        _ => is_same_secret(known, b.and_then(Password::known)),
    }
}

fn is_same_secret(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
}

/// What a reload did, for the log and the status.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) started: Vec<CameraId>,
    pub(crate) restarted: Vec<CameraId>,
    pub(crate) removed: Vec<CameraId>,
    pub(crate) unchanged: usize,
    /// Why cameras were not started, or wait for a file that they take.
    pub(crate) failed: Vec<String>,
}

impl Done {
    /// `2 cameras started again (a, b); 1 new (c); 1 unchanged`
    pub(crate) fn sentence(&self) -> String {
        let mut parts = Vec::new();
        for (what, cameras) in
            [("started again", &self.restarted), ("new", &self.started), ("removed", &self.removed)]
        {
            if !cameras.is_empty() {
                let names: Vec<&str> = cameras.iter().map(CameraId::as_str).collect();
                parts.push(format!("{} {what} ({})", cameras.len(), names.join(", ")));
            }
        }
        if self.unchanged > 0 || parts.is_empty() {
            parts.push(format!("{} unchanged", self.unchanged));
        }
        parts.extend(self.failed.iter().cloned());
        format!("cameras: {}", parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::RtspClient;
    use crate::config::{Config, Environment, Request};

    fn camera(text: &str) -> CameraConfig {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vas.toml");
        std::fs::write(&file, format!("[[camera]]\nid = \"a\"\n{text}")).unwrap();
        let mut config =
            Config::load(&Request { file: Some(file), ..Request::default() }, &Environment::default())
                .unwrap();
        config.cameras.remove(0)
    }

    #[test]
    fn each_key_of_a_camera_makes_another_camera_of_it_passwords_among_them() {
        const PLAIN: &str = "url = \"rtsp://192.0.2.1/s\"\nusername = \"u\"\npassword = \"p1\"\n";
        let plain = camera(PLAIN);
        assert!(is_same(&plain, &camera(PLAIN)));
        for other in [
            PLAIN.replace("/s", "/t"),
            PLAIN.replace("\"u\"", "\"v\""),
            PLAIN.replace("p1", "p2"),
            PLAIN.replace("password = \"p1\"\n", ""),
            format!("{PLAIN}transport = \"udp\"\n"),
            format!("{PLAIN}rtsp_client = \"{}\"\n", other_client()),
            format!("{PLAIN}tls_verify = false\n"),
            format!("{PLAIN}ring_frames = 7\n"),
            format!("{PLAIN}open_timeout_ms = 7000\n"),
            format!("{PLAIN}frame_timeout_ms = 7000\n"),
            format!("{PLAIN}max_pixels = 7000\n"),
            format!("{PLAIN}decoder_threads = 7\n"),
            format!("{PLAIN}skip = \"nonref\"\n"),
        ] {
            assert!(!is_same(&plain, &camera(&other)), "{other}");
        }
    }

    #[test]
    fn address_and_credentials_make_a_login_and_no_other_key_does() {
        const PLAIN: &str = "url = \"rtsp://192.0.2.1/s\"\nusername = \"u\"\npassword = \"p1\"\n";
        let plain = camera(PLAIN);
        assert!(is_same_login(&plain, &camera(&format!("{PLAIN}ring_frames = 7\ntransport = \"udp\"\n"))));
        for (part, other) in [("/s", "/t"), ("\"u\"", "\"v\""), ("p1", "p2")] {
            assert!(!is_same_login(&plain, &camera(&PLAIN.replace(part, other))), "{other}");
        }
    }

    #[test]
    fn a_password_that_cannot_be_read_is_another_one_only_for_a_camera_that_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let (late, other) = (directory.path().join("late"), directory.path().join("other"));
        let with = |keys: &str| camera(&format!("url = \"rtsp://192.0.2.1/s\"\nusername = \"u\"\n{keys}"));
        let in_file = |file: &std::path::Path| with(&format!("password_file = {file:?}\n"));
        let (unread, known, none) = (in_file(&late), with("password = \"p1\"\n"), with(""));
        assert!(is_same(&known, &unread), "it goes on with the one that it has");
        assert!(is_same(&unread, &in_file(&late)), "it waits for that one already");
        assert!(!is_same(&unread, &in_file(&other)) && !is_same(&none, &unread) && !is_same(&unread, &known));
        assert!(!is_same_login(&none, &unread), "nobody was refused with a password that nobody knows");
        // Once it is read it is a password as any other.
        std::fs::write(&late, "p1\n").unwrap();
        unread.make_ready().unwrap();
        assert!(
            is_same(&unread, &known) && is_same(&known, &in_file(&late)) && is_same_login(&unread, &known)
        );
        assert!(!is_same(&unread, &with("password = \"p2\"\n")));
    }

    /// The one that is not the default.
    fn other_client() -> &'static str {
        match RtspClient::default() {
            RtspClient::Auto | RtspClient::Retina => "ffmpeg",
            RtspClient::Ffmpeg => "retina",
        }
    }

    #[test]
    fn what_was_done_is_one_sentence() {
        let ids = |names: &[&str]| names.iter().map(|name| CameraId::new(name).unwrap()).collect();
        let done =
            Done { started: ids(&["c"]), restarted: ids(&["a", "b"]), unchanged: 1, ..Done::default() };
        assert_eq!(done.sentence(), "cameras: 2 started again (a, b); 1 new (c); 1 unchanged");
        let failed = Done { failed: vec!["camera d was not started: why".into()], ..done };
        assert!(
            failed.sentence().ends_with("; 1 unchanged; camera d was not started: why"),
            "{}",
            failed.sentence()
        );
        assert_eq!(Done::default().sentence(), "cameras: 0 unchanged");
    }
}
