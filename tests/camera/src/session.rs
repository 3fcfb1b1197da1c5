//! The RTSP conversation with one client (RFC 2326), or the answer to one who asks by HTTP.

use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope};
use std::time::Duration;

use crate::annexb::Codec;
use crate::auth::{Auth, fresh_nonce};
use crate::control::{Claim, ConnectionId, Control, Udp};
use crate::rtsp::{
    Message, MessageError, Request, Response, TransportRequest, parse_transport, read_message,
};
use crate::sdp::{self, TRACK};
use crate::server::{Options, PATH};
use crate::stats::Ending;
use crate::stream::{self, BOUNDARY, FIRST_SEQUENCE, Output};

/// What nobody sends by.
const WRONG_SSRC: u32 = 0xDEAD_0001;
/// So far ahead that every packet seems to be an old one.
const WRONG_SEQUENCE_STEP: u16 = 10_000;

const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN";
/// A client that does not read for so long is given up: a packet may be half written, so nothing else could follow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a client until either side ends it; its sender has ended, too, when this returns.
pub(crate) fn serve(control: &Control, options: &Options, id: ConnectionId, stream: TcpStream) {
    thread::scope(|scope| {
        // What a client does wrong was answered where it could be; what the connection suffered ends it.
        let (mut end, mut understood) = (None, true);
        if let Ok(mut session) = Session::new(control, options, id, stream) {
            // A message that cannot be read makes the camera hang up.
            understood = matches!(session.converse(scope), Ok(()) | Err(MessageError::Io(_)));
            end = session.is_open.then_some(session.torn_down);
        }
        // Also where the sender found it gone first.
        let ended_by_client = control.remove_connection(id) && understood;
        if let Some(torn_down) = end {
            control.session_ended(match (torn_down, ended_by_client) {
                (true, _) => Ending::TornDown,
                (false, true) => Ending::Abandoned,
                (false, false) => Ending::Cut,
            });
        }
    });
}

struct Session<'env> {
    control: &'env Control,
    options: &'env Options,
    id: ConnectionId,
    peer: IpAddr,
    reader: BufReader<TcpStream>,
    writer: Arc<Mutex<TcpStream>>,
    /// Of this connection alone: digests for another connection's nonce are answered with a fresh challenge.
    nonce: String,
    /// The one before, where each is good for one request.
    used_nonce: Option<String>,
    stage: Stage,
    /// There was a SETUP that was granted.
    is_open: bool,
    torn_down: bool,
}

enum Stage {
    Described,
    SetUp(Output),
    Playing,
}

enum Next {
    GoOn,
    Play(Output),
    End,
}

impl<'env> Session<'env> {
    fn new(
        control: &'env Control,
        options: &'env Options,
        id: ConnectionId,
        stream: TcpStream,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Session {
            control,
            options,
            id,
            peer: stream.peer_addr()?.ip(),
            reader: BufReader::new(stream.try_clone()?),
            writer: Arc::new(Mutex::new(stream)),
            nonce: fresh_nonce(),
            used_nonce: None,
            stage: Stage::Described,
            is_open: false,
            torn_down: false,
        })
    }

    fn converse<'scope>(&mut self, scope: &'scope Scope<'scope, 'env>) -> Result<(), MessageError> {
        loop {
            let request = match read_message(&mut self.reader) {
                Ok(Message::Request(request)) => request,
                Ok(Message::Interleaved) => continue,
                Ok(Message::End) => return Ok(()),
                Err(MessageError::Io(error)) => return Err(error.into()),
                Err(error) => {
                    self.send(Response::new("400 Bad Request", None))?;
                    return Err(error);
                }
            };
            // Asked for before anything is waited for: a client may be gone before it is answered.
            self.torn_down |= request.method == "TEARDOWN" && self.is_open;
            if !self.control.wait_while_hanging(self.id) || !self.control.wait_delay(self.id) {
                return Ok(());
            }
            if self.control.state().faults.scramble {
                stream::write_to(&self.writer, &stream::garbage())?;
                continue;
            }
            let (response, next) = match request.is_http {
                true => self.answer_http(&request),
                false => self.answer(&request),
            };
            self.send(response)?;
            match next {
                Next::GoOn => {}
                Next::End => return Ok(()),
                Next::Play(output) => {
                    self.control.played();
                    let (control, options, id) = (self.control, self.options, self.id);
                    thread::Builder::new()
                        .name(format!("send-{id}"))
                        .spawn_scoped(scope, move || stream::run(control, options, id, &output))?;
                }
            }
        }
    }

    fn send(&self, response: Response) -> io::Result<()> {
        stream::write_to(&self.writer, response.into_text().as_bytes())
    }

    fn answer(&mut self, request: &Request) -> (Response, Next) {
        let reply = |status: &str| Response::new(status, Some(request));
        let stay = |status: &str| (reply(status), Next::GoOn);
        if request.method == "OPTIONS" {
            return (reply("200 OK").header("Public", METHODS), Next::GoOn);
        }
        if let Some(challenge) = self.challenge(request) {
            return (reply("401 Unauthorized").header("WWW-Authenticate", &challenge), Next::GoOn);
        }
        let track_path = format!("{PATH}/{TRACK}");
        let is_known = request.path() == PATH || request.path() == track_path;
        if !is_known && request.path() != "*" {
            return stay("404 Not Found");
        }
        if request.header("Session").is_some_and(|given| !given.starts_with(&self.session_id())) {
            return stay("454 Session Not Found");
        }
        match request.method.as_str() {
            "DESCRIBE" => self.describe(request),
            "SETUP" if matches!(self.stage, Stage::Playing) => stay("455 Method Not Valid in This State"),
            "SETUP" => self.set_up(request),
            "PLAY" => {
                let sequence = match self.control.state().faults.claim {
                    Claim::Sequence => FIRST_SEQUENCE.wrapping_add(WRONG_SEQUENCE_STEP),
                    Claim::Nothing | Claim::Ssrc => FIRST_SEQUENCE,
                };
                let response = reply("200 OK")
                    .header("Session", &self.session_header())
                    .header("Range", "npt=now-")
                    .header("RTP-Info", &format!("url={};seq={sequence}", self.track_url(request)));
                match std::mem::replace(&mut self.stage, Stage::Playing) {
                    Stage::SetUp(output) => (response, Next::Play(output)),
                    Stage::Playing => (response, Next::GoOn),
                    Stage::Described => {
                        self.stage = Stage::Described;
                        stay("455 Method Not Valid in This State")
                    }
                }
            }
            "TEARDOWN" => (reply("200 OK").header("Session", &self.session_id()), Next::End),
            "GET_PARAMETER" | "SET_PARAMETER" => {
                (reply("200 OK").header("Session", &self.session_header()), Next::GoOn)
            }
            _ => (reply("405 Method Not Allowed").header("Allow", METHODS), Next::GoOn),
        }
    }

    /// Pictures, or why not; an answer without them ends with the connection.
    fn answer_http(&mut self, request: &Request) -> (Response, Next) {
        let reply = |status: &str| Response::new(status, Some(request));
        let end = |status: &str| (reply(status), Next::End);
        // Who is asked for a password comes back by another connection.
        self.nonce.clone_from(&self.control.nonce);
        if let Some(challenge) = self.challenge(request) {
            return (reply("401 Unauthorized").header("WWW-Authenticate", &challenge), Next::End);
        }
        let is_mjpeg = {
            let state = self.control.state();
            self.control.clips[state.clip].codec() == Codec::Jpeg
        };
        if request.method != "GET" || request.path() != PATH || !is_mjpeg {
            return end("404 Not Found");
        }
        if let Some(response) = self.refusal(request) {
            return (response, Next::End);
        }
        if matches!(self.stage, Stage::Playing) {
            return end("400 Bad Request");
        }
        self.stage = Stage::Playing;
        let content = format!("multipart/x-mixed-replace;boundary={BOUNDARY}");
        let connection = Arc::clone(&self.writer);
        (reply("200 OK").header("Content-Type", &content), Next::Play(Output::Http { connection }))
    }

    /// The challenge for a request that does not show the password, if one is asked for.
    fn challenge(&mut self, request: &Request) -> Option<String> {
        let mut state = self.control.state();
        let given = request.header("Authorization");
        state.stats.with_credentials += u64::from(given.is_some());
        let auth = state.auth.as_ref()?;
        let nonces = state.faults.nonces;
        if auth.accepts(given.unwrap_or_default(), &request.method, &self.nonce) {
            if nonces {
                self.used_nonce = Some(std::mem::replace(&mut self.nonce, fresh_nonce()));
            }
            return None;
        }
        let used = self.used_nonce.as_deref();
        let stale = used.is_some_and(|used| auth.accepts(given.unwrap_or_default(), &request.method, used));
        let mut challenge = auth.challenge(&self.nonce);
        if stale {
            challenge += ", stale=true";
        }
        state.stats.unauthorized += 1;
        state.stats.wrong_passwords += u64::from(given.is_some() && !stale);
        Some(challenge)
    }

    /// What is said, on command, instead of what was asked for.
    fn refusal(&self, request: &Request) -> Option<Response> {
        let (status, is_mirror, redirect, credentials) = {
            let mut state = self.control.state();
            let status = match std::mem::take(&mut state.faults.next_status) {
                0 => state.faults.status,
                once => once,
            };
            let credentials = state.auth.as_ref().map(Auth::credentials).unwrap_or_default();
            (status, state.faults.mirror, state.redirect.clone(), credentials)
        };
        if status != 0 {
            return Some(Response::new(&status_line(status), Some(request)));
        }
        if is_mirror {
            let sent = request.header("Authorization").unwrap_or_default();
            let password = credentials.split_once(':').map_or("", |(_, password)| password);
            let status = format!("404 No {sent} here, nor rtsp://{credentials}@here/ nor {password}");
            return Some(Response::new(&status, Some(request)));
        }
        redirect.map(|url| Response::new("302 Found", Some(request)).header("Location", &url))
    }

    fn describe(&self, request: &Request) -> (Response, Next) {
        if let Some(response) = self.refusal(request) {
            return (response, Next::GoOn);
        }
        let description = {
            let state = self.control.state();
            let clip = &self.control.clips[state.clip];
            let right = sdp::describe(clip, self.options.parameter_sets, state.clock.fps());
            let fault = state.faults.sdp;
            fault.map(|fault| sdp::describe_wrongly(fault, &right, clip.codec())).unwrap_or(right)
        };
        let base = format!("{}/", request.uri.trim_end_matches('/'));
        let response = Response::new("200 OK", Some(request)).header("Content-Base", &base);
        (response.body("application/sdp", description), Next::GoOn)
    }

    fn set_up(&mut self, request: &Request) -> (Response, Next) {
        let udp = self.control.state().faults.udp;
        let wanted = parse_transport(request.header("Transport").unwrap_or_default());
        let wanted = wanted
            .filter(|wanted| udp != Udp::Refused || matches!(wanted, TransportRequest::Interleaved { .. }));
        let transport = match wanted {
            Some(TransportRequest::Interleaved { rtp_channel }) => {
                let connection = Arc::clone(&self.writer);
                self.stage = Stage::SetUp(Output::Interleaved { connection, rtp_channel });
                format!("RTP/AVP/TCP;unicast;interleaved={rtp_channel}-{}", rtp_channel + 1)
            }
            Some(TransportRequest::Udp { rtp_port, rtcp_port }) => {
                let Ok((rtp, rtcp, server_port)) = port_pair(self.peer) else {
                    return (Response::new("500 Internal Server Error", Some(request)), Next::GoOn);
                };
                let (rtp_to, rtcp_to) =
                    (SocketAddr::new(self.peer, rtp_port), SocketAddr::new(self.peer, rtcp_port));
                self.stage = Stage::SetUp(Output::Udp { rtp, rtcp, rtp_to, rtcp_to });
                format!(
                    "RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port};server_port={server_port}-{}",
                    server_port + 1
                )
            }
            None => return (Response::new("461 Unsupported Transport", Some(request)), Next::GoOn),
        };
        if !std::mem::replace(&mut self.is_open, true) {
            self.control.state().stats.opened += 1;
        }
        let claim = self.control.state().faults.claim;
        let ssrc = if claim == Claim::Ssrc { format!(";ssrc={WRONG_SSRC:08X}") } else { String::new() };
        let response = Response::new("200 OK", Some(request))
            .header("Transport", &(transport + &ssrc))
            .header("Session", &self.session_header());
        (response, Next::GoOn)
    }

    fn session_id(&self) -> String {
        format!("{:08X}", self.id)
    }

    fn session_header(&self) -> String {
        format!("{};timeout=60", self.session_id())
    }

    fn track_url(&self, request: &Request) -> String {
        let base = request.uri.trim_end_matches('/').trim_end_matches(TRACK).trim_end_matches('/');
        format!("{base}/{TRACK}")
    }
}

/// Code and phrase, as far as the codes that cameras use have one here.
fn status_line(status: u16) -> String {
    let phrase = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Stream Not Found",
        453 => "Not Enough Bandwidth",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "As You Wished",
    };
    format!("{status} {phrase}")
}

/// Two UDP sockets, RTP on an even port and RTCP on the next, as RFC 3550 section 11 has it (some clients insist).
fn port_pair(local: IpAddr) -> io::Result<(UdpSocket, UdpSocket, u16)> {
    const ATTEMPTS: usize = 64;
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let one = UdpSocket::bind((local, 0))?;
        let port = one.local_addr()?.port();
        match UdpSocket::bind((local, port ^ 1)) {
            Ok(other) if port % 2 == 0 => return Ok((one, other, port)),
            Ok(other) => return Ok((other, one, port ^ 1)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
