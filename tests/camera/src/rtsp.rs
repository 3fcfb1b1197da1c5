//! RTSP messages (RFC 2326), and those of HTTP, as text: requests in, responses out. Every length a client can choose has a bound.

use std::io::{self, BufRead, Read as _};

/// A request without its body, which no method here has a use for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) uri: String,
    /// By HTTP, and not by RTSP.
    pub(crate) is_http: bool,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path of the URI: `/cam` of `rtsp://host:554/cam?x`, `*` as it stands.
    pub(crate) fn path(&self) -> &str {
        let rest = match self.uri.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => &self.uri,
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        if rest.len() > 1 { rest.trim_end_matches('/') } else { rest }
    }
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Something to answer.
    Request(Request),
    /// RTCP or the like on an interleaved channel: read and dropped.
    Interleaved,
    /// The client has closed its side.
    End,
}

/// Why a message cannot be read. The connection is of no use afterwards: nobody knows where the next one begins.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("read from the client: {0}")]
    Io(#[from] io::Error),
    #[error("the client sent a line of more than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    #[error("the client sent more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    #[error("the client announced a body of {0:?}; the largest taken is {MAX_BODY_BYTES} bytes")]
    Body(String),
    #[error("the client sent a line that is no RTSP: {0:?}")]
    NotRtsp(String),
}

const MAX_LINE_BYTES: u64 = 8192;
const MAX_HEADERS: usize = 64;
const MAX_BODY_BYTES: u64 = 65536;

/// Reads the next message.
pub(crate) fn read_message(reader: &mut impl BufRead) -> Result<Message, MessageError> {
    let first_byte = reader.fill_buf()?.first().copied();
    if first_byte == Some(b'$') {
        let mut prefix = [0; 4];
        reader.read_exact(&mut prefix)?;
        skip(reader, u64::from(u16::from_be_bytes([prefix[2], prefix[3]])))?;
        return Ok(Message::Interleaved);
    }
    let first_line = loop {
        match read_line(reader)? {
            None => return Ok(Message::End),
            Some(line) if line.is_empty() => {} // some clients send an empty line as a sign of life
            Some(line) => break line,
        }
    };
    let mut words = first_line.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(MessageError::NotRtsp(first_line));
    };
    let is_http = version.starts_with("HTTP/1.");
    if !(is_http || version.starts_with("RTSP/1.")) || method.is_empty() || uri.is_empty() {
        return Err(MessageError::NotRtsp(first_line));
    }
    let (method, uri) = (method.to_owned(), uri.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if headers.len() == MAX_HEADERS {
            return Err(MessageError::TooManyHeaders);
        }
        let Some((name, value)) = line.split_once(':') else { return Err(MessageError::NotRtsp(line)) };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let request = Request { method, uri, is_http, headers };
    if let Some(length) = request.header("Content-Length") {
        match length.parse::<u64>() {
            Ok(bytes) if bytes <= MAX_BODY_BYTES => skip(reader, bytes)?,
            _ => return Err(MessageError::Body(length.to_owned())),
        }
    }
    Ok(Message::Request(request))
}

/// A line without its end, or `None` at the end of the stream. What is no UTF-8 is replaced: it is only compared.
fn read_line(reader: &mut impl BufRead) -> Result<Option<String>, MessageError> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES {
        return Err(MessageError::LineTooLong);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> Result<(), MessageError> {
    let skipped = io::copy(&mut reader.by_ref().take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    text: String,
    body: String,
}

impl Response {
    /// `status` is code and phrase, such as `200 OK`. `CSeq` is repeated from the request.
    pub(crate) fn new(status: &str, request: Option<&Request>) -> Response {
        let version = if request.is_some_and(|request| request.is_http) { "HTTP/1.1" } else { "RTSP/1.0" };
        let response = Response { text: format!("{version} {status}\r\n"), body: String::new() };
        match request.and_then(|request| request.header("CSeq")) {
            Some(sequence) => response.header("CSeq", sequence),
            None => response,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Response {
        self.text += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: String) -> Response {
        self = self.header("Content-Type", content_type).header("Content-Length", &body.len().to_string());
        self.body = body;
        self
    }

    pub(crate) fn into_text(self) -> String {
        format!("{}\r\n{}", self.text, self.body)
    }
}

/// How a client wants its packets (RFC 2326 12.39).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TransportRequest {
    /// On the RTSP connection, RTP on this channel and RTCP on the next.
    Interleaved { rtp_channel: u8 },
    /// To these two ports of the client.
    Udp { rtp_port: u16, rtcp_port: u16 },
}

/// The first transport in the header that can be served, if any is.
pub(crate) fn parse_transport(header: &str) -> Option<TransportRequest> {
    header.split(',').find_map(|spec| {
        let mut parts = spec.split(';').map(str::trim);
        let protocol = parts.next()?;
        let parameters: Vec<&str> = parts.collect();
        if parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case("multicast")) {
            return None;
        }
        let pair = |name: &str| -> Option<(u16, u16)> {
            let value = parameters.iter().find_map(|parameter| parameter.strip_prefix(name))?;
            let (first, second) = value.split_once('-').unwrap_or((value, ""));
            let first: u16 = first.parse().ok()?;
            let second = if second.is_empty() { first.checked_add(1)? } else { second.parse().ok()? };
            Some((first, second))
        };
        if protocol.eq_ignore_ascii_case("RTP/AVP/TCP") {
            let (rtp, rtcp) = pair("interleaved=").unwrap_or((0, 1));
            let rtp_channel = u8::try_from(rtp).ok()?;
            (rtp.checked_add(1) == Some(rtcp) && rtcp <= 255)
                .then_some(TransportRequest::Interleaved { rtp_channel })
        } else if protocol.eq_ignore_ascii_case("RTP/AVP") || protocol.eq_ignore_ascii_case("RTP/AVP/UDP") {
            let (rtp_port, rtcp_port) = pair("client_port=")?;
            (rtp_port != 0 && rtcp_port != 0).then_some(TransportRequest::Udp { rtp_port, rtcp_port })
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        match read_message(&mut text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_with_its_headers_and_its_body_is_passed_over() {
        let text = "\r\nSET_PARAMETER rtsp://h:1/cam/ RTSP/1.0\r\ncseq: 7\r\nContent-Length: 3\r\n\r\nabcOPTIONS * RTSP/1.0\r\n\r\n";
        let mut reader = text.as_bytes();
        let Ok(Message::Request(first)) = read_message(&mut reader) else { panic!() };
        assert_eq!((first.method.as_str(), first.path()), ("SET_PARAMETER", "/cam"));
        assert_eq!(first.header("CSeq"), Some("7"));
        let Ok(Message::Request(second)) = read_message(&mut reader) else { panic!() };
        assert_eq!((second.method.as_str(), second.path()), ("OPTIONS", "*"));
        assert_eq!(read_message(&mut reader).unwrap(), Message::End);
    }

    #[test]
    fn the_path_is_what_follows_the_host() {
        let path = |uri: &str| request(&format!("DESCRIBE {uri} RTSP/1.0\r\n\r\n")).path().to_owned();
        assert_eq!(path("rtsp://h"), "/");
        assert_eq!(path("rtsp://h/cam?token=1"), "/cam");
        assert_eq!(path("/cam/track1"), "/cam/track1");
    }

    #[test]
    fn rtcp_on_the_connection_is_passed_over() {
        let bytes = b"$\x01\x00\x04abcdTEARDOWN /cam RTSP/1.0\r\n\r\n";
        let mut reader = &bytes[..];
        assert_eq!(read_message(&mut reader).unwrap(), Message::Interleaved);
        assert!(matches!(read_message(&mut reader), Ok(Message::Request(_))));
    }

    #[test]
    fn what_a_client_can_make_long_has_a_bound() {
        let sentence = |text: &str| read_message(&mut text.as_bytes()).unwrap_err().to_string();
        assert!(sentence(&"x".repeat(10_000)).contains("more than 8192 bytes"));
        let headers = "a: b\r\n".repeat(65);
        assert!(sentence(&format!("PLAY /cam RTSP/1.0\r\n{headers}\r\n")).contains("more than 64 headers"));
        for length in ["65537", "-1", "x"] {
            let text = format!("PLAY /cam RTSP/1.0\r\nContent-Length: {length}\r\n\r\n");
            assert!(sentence(&text).contains(&format!("{length:?}")));
        }
        assert!(sentence("GET / HTTP/2\r\n\r\n").contains("no RTSP"));
        assert!(sentence("PLAY /cam RTSP/1.0\r\nno colon\r\n\r\n").contains("no RTSP"));
        assert!(
            sentence("PLAY /cam RTSP/1.0\r\nContent-Length: 9\r\n\r\nabc").contains("read from the client")
        );
    }

    #[test]
    fn the_first_transport_that_can_be_served_is_taken() {
        use TransportRequest::{Interleaved, Udp};
        let cases = [
            ("RTP/AVP/TCP;unicast;interleaved=2-3", Some(Interleaved { rtp_channel: 2 })),
            ("RTP/AVP/TCP", Some(Interleaved { rtp_channel: 0 })),
            ("RTP/AVP/UDP;unicast;client_port=5000-5001", Some(Udp { rtp_port: 5000, rtcp_port: 5001 })),
            (
                "RTP/AVP;multicast, RTP/AVP;unicast;client_port=7000",
                Some(Udp { rtp_port: 7000, rtcp_port: 7001 }),
            ),
            ("RTP/AVP;unicast;client_port=65535", None),
            ("RTP/AVP/TCP;interleaved=255-256", None),
            ("RTP/AVP/TCP;interleaved=5-9", None),
            ("RTP/SAVP;unicast;client_port=5000-5001", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(parse_transport(header), expected, "{header}");
        }
    }

    #[test]
    fn a_response_repeats_the_sequence_number_and_counts_its_body() {
        let request = request("DESCRIBE /cam RTSP/1.0\r\nCSeq: 3\r\n\r\n");
        let text =
            Response::new("200 OK", Some(&request)).body("application/sdp", "v=0\r\n".to_owned()).into_text();
        assert_eq!(
            text,
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[A-Z]{1,6} \\PC{0,20} RTSP/1.0\r\n(\\PC{0,20}\r\n){0,4}\r\n") {
            for input in [&bytes[..], text.as_bytes()] {
                let mut reader = input;
                while let Ok(Message::Request(_) | Message::Interleaved) = read_message(&mut reader) {}
                parse_transport(&String::from_utf8_lossy(input));
            }
        }
    }
}
