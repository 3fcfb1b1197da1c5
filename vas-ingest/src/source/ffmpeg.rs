//! FFmpeg as the source: files, MJPEG over HTTP, and RTSP cameras by its own client.

use super::{Arrival, PacketSource, RTSP_CODECS, SourceError, redirected_host};
use crate::address::{FileSource, RtspSource, Transport};
use crate::av::AvError;
use crate::av::decoder::{Decoder, Decoding};
use crate::av::dictionary::Dictionary;
use crate::av::input::{Input, OpenError};
use crate::av::interrupt::Interrupt;
use crate::av::log;
use crate::av::packet::Packet;
use crate::clock;
use secrecy::ExposeSecret;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

/// The socket buffer for UDP. With the system's default, one keyframe of a megabyte overruns it and costs a whole group of
/// pictures. The kernel grants at most net.core.rmem_max.
const UDP_BUFFER_BYTES: &str = "4000000";

/// Over TCP packets come in their order. But only with a queue to put them in order does FFmpeg's client look at their numbers, and tell
/// of those that a camera left out (libavformat/rtpdec.c, `rtp_parse_one_packet`; a queue of one is none). Nothing waits in it while
/// none is missing.
const TCP_QUEUE_PACKETS: &str = "2";

/// Packets of an input that FFmpeg opened.
pub(crate) struct FfmpegSource {
    input: Input,
    /// The camera's clock as the packet before had it. FFmpeg's parser gives a picture the side data of the packet that ended it
    /// (libavformat/demux.c, `parse_packet`): the first one of the next picture.
    next_camera_ns: Option<i64>,
    /// Its packets have start codes, and parameter sets where these change.
    is_rtsp: bool,
}

impl FfmpegSource {
    fn new(input: Input, is_rtsp: bool) -> Self {
        Self { input, next_camera_ns: None, is_rtsp }
    }
}

impl PacketSource for FfmpegSource {
    fn decoder(&self, decoding: Decoding) -> Result<Decoder, AvError> {
        Decoder::open(&self.input, decoding)
    }

    fn fresh_decoder(&self, decoding: Decoding) -> Option<Result<Decoder, AvError>> {
        // Not with what the input knows: that is of the beginning.
        let name = CString::new(self.input.decoder_name()).ok().filter(|_| self.is_rtsp)?;
        Some(Decoder::by_name(&name, self.input.time_base(), decoding))
    }

    fn nominal_period(&self) -> Option<Duration> {
        self.input.frame_rates().into_iter().find_map(clock::plausible_period)
    }

    fn pts_ns(&self, pts: i64) -> Option<i64> {
        self.input.time_base().ticks_to_ns(pts)
    }

    fn next(&mut self, packet: &mut Packet) -> Result<Option<Arrival>, SourceError> {
        match self.input.read(packet) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(_) if self.input.is_out_of_step() => return Err(SourceError::OutOfStep),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Arrival {
            received_ns: clock::monotonic_ns(),
            camera_ns: std::mem::replace(&mut self.next_camera_ns, packet.producer_time_ns()),
            lost_packets: self.input.take_lost_packets(),
        }))
    }
}

pub(super) fn open_camera(
    rtsp: &RtspSource,
    transport: Transport,
    silence: Duration,
    interrupt: &Arc<Interrupt>,
) -> Result<FfmpegSource, SourceError> {
    let options = if rtsp.is_http() {
        http_options(rtsp, silence)?
    } else {
        let mut options = rtsp_options(transport, silence)?;
        if rtsp.is_encrypted() {
            verify(rtsp.tls_verify, &mut options)?;
        }
        options
    };
    let url = c_string(rtsp.url_with_credentials().expose_secret().as_bytes())?;
    let input = Input::open(&url, options, interrupt, false).map_err(|error| match error {
        OpenError::Call(call) if call.is_unsupported_transport() => {
            SourceError::TransportRefused(transport.name())
        }
        error => error.into(),
    })?;
    // FFmpeg follows a redirection by itself, and takes user name and password along; that cannot be turned off. What can
    // be done is to play nothing from there, and to say so.
    if let Some(host) = redirected_host(&rtsp.address, input.url().expose_secret()) {
        return Err(SourceError::Redirected { host });
    }
    let codec = input.decoder_name();
    if !RTSP_CODECS.split(',').any(|allowed| allowed == codec) {
        return Err(OpenError::CodecNotAllowed { codec, allowed: RTSP_CODECS }.into());
    }
    Ok(FfmpegSource::new(input, !rtsp.is_http()))
}

pub(super) fn open_file(file: &FileSource, interrupt: &Arc<Interrupt>) -> Result<FfmpegSource, OpenError> {
    let mut options = Dictionary::new();
    // A playlist must not lead to the network, and a name such as `concat:` is a file's name here.
    options.set(c"protocol_whitelist", "file")?;
    let url = c_string(&[b"file:", file.path.as_os_str().as_bytes()].concat())?;
    Ok(FfmpegSource::new(Input::open(&url, options, interrupt, true)?, false))
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
    } else if log::is_read() {
        // What it tells stands in the log alone, and so does that a camera has begun a new sequence, which a queue never gets over.
        options.set(c"reorder_queue_size", TCP_QUEUE_PACKETS)?;
    }
    Ok(options)
}

/// For rtsps. FFmpeg 5.1 opens the encrypted connection without passing any option on to it (libavformat/rtsp.c), and its default is
/// to check nothing; later ones have an option for it.
fn verify(tls_verify: bool, options: &mut Dictionary) -> Result<(), SourceError> {
    let can_verify = crate::av::has_rtsp_option(c"tls_verify");
    if can_verify {
        options.set(c"tls_verify", if tls_verify { "1" } else { "0" })?;
    } else if tls_verify {
        return Err(SourceError::CannotVerify(crate::av::version()));
    }
    Ok(())
}

/// MJPEG and nothing else, from that host and no other.
fn http_options(camera: &RtspSource, silence: Duration) -> Result<Dictionary, AvError> {
    let mut options = Dictionary::new();
    // Whatever the answer says that it is: FFmpeg has demuxers that lead to other places.
    options.set(c"format_whitelist", "mpjpeg")?;
    options.set(c"codec_whitelist", "mjpeg")?;
    options.set(c"max_redirects", "0")?;
    options.set(c"timeout", &silence.as_micros().to_string())?;
    if camera.is_encrypted() {
        options.set(c"protocol_whitelist", "https,tls,tcp")?;
        options.set(c"tls_verify", if camera.tls_verify { "1" } else { "0" })?;
    } else {
        options.set(c"protocol_whitelist", "http,tcp")?;
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
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    /// Agrees to all that a client asks for, and never sends a picture. For one client.
    fn agreeable_camera() -> SocketAddr {
        const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                           a=rtpmap:96 H264/90000\r\na=control:track\r\n";
        fn answer(client: &TcpStream) -> std::io::Result<()> {
            let (mut request, mut sequence) = (String::new(), String::new());
            for line in BufReader::new(client).lines() {
                let line = line?;
                if let Some(number) = line.strip_prefix("CSeq: ") {
                    number.clone_into(&mut sequence);
                }
                if request.is_empty() {
                    request = line;
                } else if line.is_empty() {
                    let method = std::mem::take(&mut request);
                    let (headers, body) = match method.split(' ').next() {
                        Some("DESCRIBE") => ("Content-Type: application/sdp\r\n", SDP),
                        Some("SETUP") => {
                            ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", "")
                        }
                        _ => ("Session: 1\r\n", ""),
                    };
                    let len = body.len();
                    let head =
                        format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}Content-Length: {len}");
                    let mut client = client;
                    client.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
                }
            }
            Ok(())
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (client, _) = listener.accept()?;
            answer(&client)
        });
        address
    }

    #[test]
    fn an_option_that_ffmpeg_does_not_take_is_an_error_at_the_start() {
        let open = |further: &[&std::ffi::CStr]| {
            let mut options = rtsp_options(Transport::Tcp, Duration::from_secs(60)).unwrap();
            for key in further {
                options.set(key, "5000000").unwrap();
            }
            let url = CString::new(format!("rtsp://{}/s", agreeable_camera())).unwrap();
            let interrupt = Interrupt::new(Arc::default());
            interrupt.arm(Duration::from_secs(60));
            Input::open(&url, options, &interrupt, false)
        };
        // What `timeout` was called before FFmpeg 5, and what it is called elsewhere: either was silently without effect for others.
        match open(&[c"stimeout", c"rw_timeout"]).map(drop) {
            Err(error @ OpenError::OptionsNotTaken(_)) => {
                assert_eq!(error.to_string(), "this FFmpeg does not know the option stimeout, rw_timeout");
            }
            other => panic!("{other:?}"),
        }
        // All of ours are taken, by name: a camera is opened with them.
        if let Err(error) = open(&[]) {
            panic!("{error}");
        }
    }

    #[test]
    fn udp_asks_for_a_socket_buffer_and_tcp_for_a_look_at_the_order() {
        let keys = |transport| rtsp_options(transport, Duration::from_secs(10)).unwrap().keys();
        assert!(!keys(Transport::Udp).contains(&"reorder_queue_size".to_owned()), "it has a larger one");
        assert_eq!(keys(Transport::Tcp).contains(&"reorder_queue_size".to_owned()), log::is_read());
        assert!(keys(Transport::Udp).contains(&"buffer_size".to_owned()));
        assert!(!keys(Transport::Tcp).contains(&"buffer_size".to_owned()));
    }
}
