//! A camera's address, or its file's name.

use crate::address::{RtspClient, RtspSource, Transport};
use crate::redact;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use url::Url;

/// Where a camera's video is, before anything else is known of it.
pub(super) enum Place {
    Rtsp { address: Url, username: Option<String>, password: Option<SecretString> },
    File(PathBuf),
}

pub(super) const BAD_ARGUMENT: &str = "--camera: this looks like a camera's address, but not like a name before it: write \
                            ID=rtsp://HOST/PATH, such as front=rtsp://10.0.0.5/stream, and no password";

const BAD_ADDRESS: &str = "this looks like a camera's address: write rtsp://HOST/PATH";

const BAD_URL: &str = "special characters of a user name or password must be percent-encoded (@ is %40, / is %2F), \
                       or go into the keys username and password";

/// `rtsp://..` or a file's name. The sentences here never repeat the text: it may hold a password.
pub(super) fn parse_place(text: &str, resolve: impl Fn(&Path) -> PathBuf) -> Result<Place, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.is_empty() {
            return Err("the url is empty: give rtsp://HOST/PATH or the name of a video file".into());
        }
        let path = resolve(Path::new(text));
        if (redact::is_like_an_address(text) || begins_with_an_ip_address(text)) && !path.is_file() {
            return Err(BAD_ADDRESS.into());
        }
        return Ok(Place::File(path));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "rtsp" | "rtsps" | "http" | "https" => {}
        "file" => {
            let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
            return path
                .map(Place::File)
                .ok_or_else(|| "this file:// URL names no file of this machine".into());
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

/// `192.0.2.10/stream1`, with a port or without. As a file it would be waited for.
fn begins_with_an_ip_address(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    let host = first.split_once(':').map_or(first, |(host, _)| host);
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// What cannot be had together.
pub(super) fn check_way(rtsp: &RtspSource) -> Result<(), String> {
    let scheme = rtsp.address.scheme();
    if scheme != "rtsp" && rtsp.transport == Transport::Udp {
        return Err(format!("transport is \"udp\", but {scheme}:// sends everything inside one connection"));
    }
    if scheme != "rtsp" && rtsp.client == RtspClient::Retina {
        return Err(format!("rtsp_client is \"retina\", which cannot play {scheme}://: leave that key out"));
    }
    Ok(())
}

/// Can it be opened? Where it cannot, its camera waits for it.
pub(super) fn check_file(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("open {}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!(
            "{} is not a regular file: give a video file or rtsp://HOST/PATH",
            path.display()
        ));
    }
    std::fs::File::open(path).map(drop).map_err(|error| format!("open {}: {error}", path.display()))
}
