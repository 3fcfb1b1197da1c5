//! How a camera's video is opened.

use crate::av::AvError;
use crate::av::dictionary::Dictionary;
use crate::av::input::{Input, OpenError};
use crate::av::interrupt::Interrupt;
use secrecy::ExposeSecret;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

pub use crate::address::{FileSource, RtspSource, Source, Transport};

/// The socket buffer for UDP. With the system's default, one keyframe of a megabyte overruns it and costs a whole group of
/// pictures. The kernel grants at most net.core.rmem_max.
const UDP_BUFFER_BYTES: &str = "4000000";

/// The decoders that a camera may choose by its description. FFmpeg has hundreds more, old and little tested ones among them.
const RTSP_CODECS: &str = "h264,hevc,mjpeg,mpeg4";

/// Why a source was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// FFmpeg did not open it, or what it opened is of no use.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The camera sent us to another host.
    #[error(
        "the camera redirects to {host}, another host than the one in the configuration; if that is intended, put its \
         address into url; user name and password may have reached it already"
    )]
    Redirected {
        /// The other host.
        host: String,
    },
}

impl From<AvError> for SourceError {
    fn from(error: AvError) -> Self {
        Self::Open(error.into())
    }
}

/// The host of `opened`, if it is another one than that of `configured`.
fn redirected_host(configured: &Url, opened: &str) -> Option<String> {
    let opened = Url::parse(opened).ok();
    let host = opened.as_ref().and_then(Url::host_str).unwrap_or("an address without a host");
    let is_same = configured.host_str().is_some_and(|ours| ours.eq_ignore_ascii_case(host));
    (!is_same).then(|| crate::redact::text(host))
}

impl RtspSource {
    fn open(&self, silence: Duration, interrupt: &Arc<Interrupt>) -> Result<Input, SourceError> {
        let options = rtsp_options(self.transport, silence)?;
        let url = c_string(self.url_with_credentials().expose_secret().as_bytes())?;
        let input = Input::open(&url, options, interrupt, false)?;
        // FFmpeg follows a redirection by itself, and takes user name and password along; that cannot be turned off. What can
        // be done is to play nothing from there, and to say so.
        if let Some(host) = redirected_host(&self.address, input.url().expose_secret()) {
            return Err(SourceError::Redirected { host });
        }
        let codec = input.decoder_name();
        if !RTSP_CODECS.split(',').any(|allowed| allowed == codec) {
            return Err(OpenError::CodecNotAllowed { codec, allowed: RTSP_CODECS }.into());
        }
        Ok(input)
    }
}

impl Source {
    /// Opens it. A socket may be silent for `silence`; apart from that, blocking calls end as `interrupt` says. Name
    /// resolution alone cannot be interrupted.
    pub(crate) fn open(&self, silence: Duration, interrupt: &Arc<Interrupt>) -> Result<Input, SourceError> {
        match self {
            Self::Rtsp(rtsp) => rtsp.open(silence, interrupt),
            Self::File(file) => Ok(file.open(interrupt)?),
        }
    }
}

impl FileSource {
    /// Opens it at its beginning. It is probed each time: some formats tell of their streams only while packets are read.
    pub(crate) fn open(&self, interrupt: &Arc<Interrupt>) -> Result<Input, OpenError> {
        let mut options = Dictionary::new();
        // A playlist must not lead to the network, and a name such as `concat:` is a file's name here.
        options.set(c"protocol_whitelist", "file")?;
        let url = c_string(&[b"file:", self.path.as_os_str().as_bytes()].concat())?;
        Input::open(&url, options, interrupt, true)
    }
}

fn rtsp_options(transport: Transport, silence: Duration) -> Result<Dictionary, AvError> {
    let mut options = Dictionary::new();
    options.set(c"rtsp_transport", transport.name())?;
    // For what FFmpeg opens by itself; the decoder that we open is checked by its name.
    options.set(c"codec_whitelist", RTSP_CODECS)?;
    // One stream: with several, FFmpeg shifts timestamps at every RTCP report.
    options.set(c"allowed_media_types", "video")?;
    // The interrupt's deadline does more; this one also ends calls that do not ask it.
    options.set(c"timeout", &silence.as_micros().to_string())?;
    if transport == Transport::Udp {
        options.set(c"buffer_size", UDP_BUFFER_BYTES)?;
    }
    Ok(options)
}

fn c_string(bytes: &[u8]) -> Result<CString, AvError> {
    CString::new(bytes).map_err(|_| AvError {
        call: "avformat_open_input",
        code: ffmpeg_sys_next::AVERROR(ffmpeg_sys_next::EINVAL),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_is_one_if_the_host_changes() {
        let ours = Url::parse("rtsp://cam.lan:554/s").unwrap();
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@CAM.lan/other?x=1"), None);
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@cam.lan:8554/s"), None);
        assert_eq!(redirected_host(&ours, "rtsp://u:secret@evil.lan/s").as_deref(), Some("evil.lan"));
        assert_eq!(redirected_host(&ours, "rtsp://cam.lan@evil.lan/s").as_deref(), Some("evil.lan"));
        assert_eq!(redirected_host(&ours, "no address").as_deref(), Some("an address without a host"));
    }

    #[test]
    fn only_udp_asks_for_a_socket_buffer() {
        let keys = |transport| rtsp_options(transport, Duration::from_secs(10)).unwrap().keys();
        assert!(keys(Transport::Udp).contains(&"buffer_size".to_owned()));
        assert!(!keys(Transport::Tcp).contains(&"buffer_size".to_owned()));
    }
}
