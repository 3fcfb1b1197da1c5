//! What may be changed while the camera runs, and the one lock that guards it.

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::{Auth, AuthScheme, fresh_nonce};
use crate::clip::Clip;
use crate::clock::Clock;
use crate::sdp::SdpFault;
use crate::server::{Options, PaceFrom, fps_is_sane};
use crate::stats::{Ending, Stats};

/// The commands, one a line, as a help text shows them.
pub const COMMANDS: &str = "\
  drop              close every connection
  freeze            send no more RTP; RTSP and RTCP stay alive
  hang              send nothing and answer nothing; connections stay open
  resume            end freeze and hang; the clip goes on where it stopped
  loss PERMILLE     do not send so many of a thousand RTP packets (0 ends it)
  corrupt PERMILLE  change one byte in so many of a thousand RTP packets
  reorder PERMILLE  send so many of a thousand RTP packets after the next one (UDP)
  clip N            go on with clip N (from 0), from its beginning; when it has another codec, connections are closed
  fps N             so many pictures a second from now on
  jump MS           RTP timestamps leap by so many milliseconds, negative for backwards
  clock SECONDS     the wall clock in RTCP sender reports is wrong by so much, negative for slow
  dup               the next picture carries the RTP timestamp of the one before it
  ssrc              every playing client gets another SSRC and other sequence numbers from now on
  cut               the next large picture ends in the midst of a fragmented unit, with no gap in the sequence numbers
  tear              the next large picture has another RTP timestamp behind its first fragment
  sever             the bytes of the next large picture end halfway, and the connection with them (not by UDP)
  garbage           send 512 bytes that mean nothing to every playing client
  refuse            close new connections as soon as they are accepted
  accept            end refuse
  power off         close every connection and the port
  power on          listen on the same port again
  auth HOW          ask for another password from now on: basic USER:PASSWORD, digest USER:PASSWORD, or none
  answer STATUS     answer DESCRIBE with this status, such as 403; 200 ends it
  once STATUS       answer the next DESCRIBE with this status, and only that one; 200 ends it
  redirect URL      send whoever asks DESCRIBE to this address; off ends it
  sdp FAULT         describe a stream that is not there: codec (the other one), audio (no video), empty, garbage; right ends it
  udp HOW           refuse (461) a client that wants UDP, or mute: promise UDP and send nothing by it; on ends both
  delay MS          answer every request so much later
  scramble SWITCH   on: answer every request with 512 bytes that mean nothing; off ends it
  claim WHAT        ssrc: SETUP names an SSRC that no packet has; seq: PLAY names a wrong sequence number; nothing ends both
  nonces SWITCH     on: a digest's nonce is good for one request, then stale; off ends it
  mirror SWITCH     on: refuse DESCRIBE (404) with the user name and password in the answer; off ends it
  stats             connections and sessions so far, and when connections were tried
  quit              end";

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("command {0:?} is not known; known are {known}", known = known().join(", "))]
    Unknown(String),
    /// The number behind it is missing or of no use.
    #[error("command {command:?} needs {needs}, found {found:?}")]
    Argument {
        /// The command.
        command: String,
        /// What it needs.
        needs: String,
        /// What stood there.
        found: String,
    },
}

/// The names of all commands, as the help text has them.
fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = COMMANDS.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.dedup();
    names
}

#[derive(Debug, Clone, PartialEq)]
enum Command {
    Drop,
    Freeze,
    Hang,
    Resume,
    Loss(u32),
    Corrupt(u32),
    Reorder(u32),
    Clip(usize),
    Fps(f64),
    Jump(i64),
    Dup,
    Garbage,
    Ssrc,
    Cut,
    Tear,
    Sever,
    Claim(Claim),
    Nonces(bool),
    Refuse(bool),
    Power(bool),
    Clock(i64),
    Auth(Option<Auth>),
    Answer(u16),
    Once(u16),
    Redirect(Option<String>),
    Sdp(Option<SdpFault>),
    Udp(Udp),
    Delay(u32),
    Scramble(bool),
    Mirror(bool),
    Stats,
}

/// What becomes of clients that want UDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Udp {
    /// They are served.
    #[default]
    On,
    /// 461 Unsupported Transport.
    Refused,
    /// Promised, and nothing is ever sent.
    Mute,
}

/// What the camera says of its packets that is not so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Claim {
    /// All is as it says.
    #[default]
    Nothing,
    /// In SETUP.
    Ssrc,
    /// In PLAY.
    Sequence,
}

impl Command {
    fn parse(line: &str, clip_count: usize) -> Result<Command, CommandError> {
        let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let argument = argument.trim();
        let error = |needs: &str| CommandError::Argument {
            command: command.to_owned(),
            needs: needs.to_owned(),
            found: argument.to_owned(),
        };
        let permille = || match argument.parse::<u32>() {
            Ok(permille) if permille <= 1000 => Ok(permille),
            _ => Err(error("a number from 0 to 1000")),
        };
        let status = || match argument.parse::<u16>() {
            Ok(status) if (200..=599).contains(&status) => Ok(status),
            _ => Err(error("a status from 200 to 599")),
        };
        let parsed = match command {
            "loss" => Command::Loss(permille()?),
            "corrupt" => Command::Corrupt(permille()?),
            "reorder" => Command::Reorder(permille()?),
            "clip" => match argument.parse() {
                Ok(clip) if clip < clip_count => Command::Clip(clip),
                _ => return Err(error(&format!("the number of a clip, from 0 to {}", clip_count - 1))),
            },
            "fps" => match argument.parse() {
                Ok(fps) if fps_is_sane(fps) => Command::Fps(fps),
                _ => return Err(error("a number from 0.1 to 1000")),
            },
            "jump" => Command::Jump(argument.parse::<i32>().map_err(|_| error("milliseconds"))?.into()),
            "clock" => Command::Clock(argument.parse::<i32>().map_err(|_| error("seconds"))?.into()),
            "delay" => match argument.parse() {
                Ok(ms) if ms <= LONGEST_DELAY_MS => Command::Delay(ms),
                _ => return Err(error("milliseconds, from 0 to 600000")),
            },
            "answer" => Command::Answer(status()?),
            "once" => Command::Once(status()?),
            "redirect" if argument.starts_with("rtsp://") => Command::Redirect(Some(argument.to_owned())),
            "redirect" if argument == "off" => Command::Redirect(None),
            "redirect" => return Err(error("an address that begins with rtsp://, or off")),
            "sdp" => Command::Sdp(match argument {
                "right" => None,
                "codec" => Some(SdpFault::OtherCodec),
                "audio" => Some(SdpFault::AudioOnly),
                "empty" => Some(SdpFault::Empty),
                "garbage" => Some(SdpFault::Garbage),
                _ => return Err(error("right, codec, audio, empty or garbage")),
            }),
            "udp" => Command::Udp(match argument {
                "on" => Udp::On,
                "refuse" => Udp::Refused,
                "mute" => Udp::Mute,
                _ => return Err(error("on, refuse or mute")),
            }),
            "claim" => Command::Claim(match argument {
                "nothing" => Claim::Nothing,
                "ssrc" => Claim::Ssrc,
                "seq" => Claim::Sequence,
                _ => return Err(error("ssrc, seq or nothing")),
            }),
            "power" | "scramble" | "mirror" | "nonces" => match (command, argument) {
                ("power", "on" | "off") => Command::Power(argument == "on"),
                ("nonces", "on" | "off") => Command::Nonces(argument == "on"),
                ("mirror", "on" | "off") => Command::Mirror(argument == "on"),
                (_, "on" | "off") => Command::Scramble(argument == "on"),
                _ => return Err(error("on or off")),
            },
            "auth" => Command::Auth(parse_auth(argument).ok_or_else(|| CommandError::Argument {
                command: command.to_owned(),
                needs: "basic USER:PASSWORD, digest USER:PASSWORD, or none".to_owned(),
                // It may hold a password.
                found: "something else".to_owned(),
            })?),
            _ if !argument.is_empty() && Self::without_argument(command).is_some() => {
                return Err(error("no argument"));
            }
            _ => Self::without_argument(command).ok_or_else(|| CommandError::Unknown(command.to_owned()))?,
        };
        Ok(parsed)
    }

    fn without_argument(command: &str) -> Option<Command> {
        Some(match command {
            "drop" => Command::Drop,
            "freeze" => Command::Freeze,
            "hang" => Command::Hang,
            "resume" => Command::Resume,
            "dup" => Command::Dup,
            "garbage" => Command::Garbage,
            "ssrc" => Command::Ssrc,
            "cut" => Command::Cut,
            "tear" => Command::Tear,
            "sever" => Command::Sever,
            "refuse" => Command::Refuse(true),
            "accept" => Command::Refuse(false),
            "stats" => Command::Stats,
            _ => return None,
        })
    }
}

/// The longest that answers can be held back, as the help text has it.
const LONGEST_DELAY_MS: u32 = 600_000;

/// `none`, `basic USER:PASSWORD` or `digest USER:PASSWORD`.
fn parse_auth(text: &str) -> Option<Option<Auth>> {
    let (scheme, credentials) = match text.split_once(' ') {
        None => return (text == "none").then_some(None),
        Some(("basic", credentials)) => (AuthScheme::Basic, credentials),
        Some(("digest", credentials)) => (AuthScheme::Digest, credentials),
        Some(_) => return None,
    };
    Auth::new(scheme, credentials).ok().map(Some)
}

/// The faults that are switched on. Counters stand for things that happen once: a sender acts when one has risen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) freeze: bool,
    pub(crate) hang: bool,
    pub(crate) refuse: bool,
    pub(crate) loss_permille: u32,
    pub(crate) corrupt_permille: u32,
    pub(crate) reorder_permille: u32,
    pub(crate) jump_ms: i64,
    pub(crate) clock_seconds: i64,
    pub(crate) dups: u64,
    pub(crate) garbage: u64,
    pub(crate) ssrcs: u64,
    pub(crate) cuts: u64,
    pub(crate) tears: u64,
    pub(crate) severs: u64,
    pub(crate) claim: Claim,
    pub(crate) nonces: bool,
    pub(crate) udp: Udp,
    pub(crate) sdp: Option<SdpFault>,
    pub(crate) delay_ms: u32,
    pub(crate) scramble: bool,
    pub(crate) mirror: bool,
    /// What DESCRIBE is answered with; 0 as it should be.
    pub(crate) status: u16,
    /// What the next DESCRIBE is answered with, whatever the others are; 0 as they are.
    pub(crate) next_status: u16,
}

/// Names a connection.
pub(crate) type ConnectionId = u64;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) faults: Faults,
    pub(crate) clip: usize,
    pub(crate) clock: Clock,
    /// Counted when its last packet is out.
    pub(crate) pictures_sent: u64,
    /// Taken from the clip, not yet out.
    pub(crate) pictures_on_their_way: u64,
    /// The password that is asked for now.
    pub(crate) auth: Option<Auth>,
    /// Where whoever asks DESCRIBE is sent.
    pub(crate) redirect: Option<String>,
    pub(crate) stats: Stats,
    started: Instant,
    has_played: bool,
    connections: HashMap<ConnectionId, TcpStream>,
    /// Connections whose client was found to be gone, until whoever serves them has heard of it.
    left: HashSet<ConnectionId>,
    connections_so_far: ConnectionId,
    powered_off: bool,
    /// Nobody listens: `power off` is carried out.
    port_closed: bool,
    stopping: bool,
}

/// What all threads of a camera share.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) clips: Vec<Clip>,
    /// Of all who ask by HTTP.
    pub(crate) nonce: String,
    state: Mutex<State>,
    changed: Condvar,
}

impl Control {
    /// `clips` is not empty.
    pub(crate) fn new(clips: Vec<Clip>, options: &Options) -> Control {
        let state = State {
            faults: Faults::default(),
            clip: 0,
            clock: Clock::new(Instant::now(), options.fps),
            pictures_sent: 0,
            pictures_on_their_way: 0,
            auth: options.auth.clone(),
            redirect: None,
            stats: Stats::default(),
            started: Instant::now(),
            powered_off: false,
            port_closed: false,
            has_played: options.pace_from == PaceFrom::Start,
            connections: HashMap::new(),
            left: HashSet::new(),
            connections_so_far: 0,
            stopping: false,
        };
        Control { clips, nonce: fresh_nonce(), state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has left whole values behind: none is changed in more than one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a command and says what was done.
    pub(crate) fn command(&self, line: &str) -> Result<String, CommandError> {
        let command = Command::parse(line, self.clips.len())?;
        let mut state = self.state();
        let mut note = String::new();
        let mut said = line.trim();
        match command {
            Command::Stats => return Ok(state.stats.line(state.pictures_sent)),
            Command::Auth(auth) => {
                state.auth = auth;
                said = "auth"; // and not the password
            }
            Command::Answer(status) => state.faults.status = if status == 200 { 0 } else { status },
            Command::Once(status) => state.faults.next_status = if status == 200 { 0 } else { status },
            Command::Redirect(url) => {
                state.redirect = url;
                said = "redirect"; // an address may hold a password, too
            }
            Command::Sdp(fault) => state.faults.sdp = fault,
            Command::Udp(udp) => state.faults.udp = udp,
            Command::Delay(ms) => state.faults.delay_ms = ms,
            Command::Scramble(on) => state.faults.scramble = on,
            Command::Mirror(on) => state.faults.mirror = on,
            Command::Clock(seconds) => state.faults.clock_seconds = seconds,
            Command::Power(on) => {
                state.powered_off = !on;
                if !on {
                    note = format!(": {} connections closed", state.close_connections());
                }
            }
            Command::Drop => note = format!(": {} connections closed", state.close_connections()),
            Command::Freeze => state.faults.freeze = true,
            Command::Hang => state.faults.hang = true,
            Command::Resume => (state.faults.freeze, state.faults.hang) = (false, false),
            Command::Loss(permille) => state.faults.loss_permille = permille,
            Command::Corrupt(permille) => state.faults.corrupt_permille = permille,
            Command::Reorder(permille) => state.faults.reorder_permille = permille,
            Command::Jump(ms) => state.faults.jump_ms += ms,
            Command::Dup => state.faults.dups += 1,
            Command::Garbage => state.faults.garbage += 1,
            Command::Ssrc => state.faults.ssrcs += 1,
            Command::Cut => state.faults.cuts += 1,
            Command::Tear => state.faults.tears += 1,
            Command::Sever => state.faults.severs += 1,
            Command::Claim(claim) => state.faults.claim = claim,
            Command::Nonces(on) => state.faults.nonces = on,
            Command::Refuse(refuse) => state.faults.refuse = refuse,
            Command::Fps(fps) => state.clock.set_fps(Instant::now(), fps),
            Command::Clip(clip) => {
                let codec_changes = self.clips[clip].codec() != self.clips[state.clip].codec();
                state.clip = clip;
                if codec_changes {
                    // What a session was set up for has ended: a camera closes it, and the client asks again.
                    note = format!(": another codec, {} connections closed", state.close_connections());
                }
            }
        }
        let (sent, on_their_way) = (state.pictures_sent, state.pictures_on_their_way);
        drop(state);
        self.changed.notify_all();
        Ok(format!("{said}{note} ({sent} pictures sent so far, {on_their_way} on their way)"))
    }

    /// Takes a new connection in, or refuses it (`None`): on command, and at the end.
    pub(crate) fn add_connection(&self, stream: &TcpStream) -> Option<ConnectionId> {
        let mut state = self.state();
        if state.stopping || state.powered_off {
            return None; // whoever calls now is this camera itself, to be woken
        }
        let since_start = state.started.elapsed();
        state.stats.attempts.push(since_start);
        if state.faults.refuse {
            state.stats.refused += 1;
            return None;
        }
        let own = stream.try_clone().ok()?;
        state.connections_so_far += 1;
        let id = state.connections_so_far;
        state.connections.insert(id, own);
        Some(id)
    }

    /// Ends a connection; whoever works for it is woken. False: this camera had ended it before, and its client had not.
    pub(crate) fn remove_connection(&self, id: ConnectionId) -> bool {
        let mut state = self.state();
        let had_left = state.left.remove(&id);
        let removed = state.connections.remove(&id);
        drop(state);
        if let Some(stream) = &removed {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.changed.notify_all();
        removed.is_some() || had_left
    }

    /// What was sent to a client found it gone. Whoever reads from it may hear of that only now, by the end of the connection, which
    /// this camera seems to have ended then: so it is remembered who did.
    pub(crate) fn client_left(&self, id: ConnectionId) {
        let mut state = self.state();
        if let Some(stream) = state.connections.remove(&id) {
            state.left.insert(id);
            stream.shutdown(Shutdown::Both).ok();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// A client's session is over, in this way.
    pub(crate) fn session_ended(&self, ending: Ending) {
        self.state().stats.ended(ending);
        self.changed.notify_all();
    }

    /// Time since the camera's start.
    pub(crate) fn uptime(&self) -> Duration {
        self.state().started.elapsed()
    }

    /// Waits for the time by which answers are held back; false when the connection ended meanwhile.
    pub(crate) fn wait_delay(&self, id: ConnectionId) -> bool {
        let delay = Duration::from_millis(self.state().faults.delay_ms.into());
        let due = Instant::now() + delay;
        delay.is_zero() || self.wait_until_due(id, |_| Some(due)).is_some()
    }

    /// Whether the port is to be open.
    pub(crate) fn is_powered(&self) -> bool {
        !self.state().powered_off
    }

    /// The listener's side of `power`: the port is closed, or open again.
    pub(crate) fn port_is(&self, closed: bool) {
        self.state().port_closed = closed;
        self.changed.notify_all();
    }

    /// The commander's side of `power`: waits until the port is as it is to be.
    pub(crate) fn wait_for_port(&self, closed: bool, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.state();
        while state.port_closed != closed && !state.stopping {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the port is to be open, or the camera stops.
    pub(crate) fn wait_for_power(&self) {
        let mut state = self.state();
        while state.powered_off && !state.stopping {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all connections for good.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        state.close_connections();
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// A client begins to play: the clock begins with the first of them, if it was told to.
    pub(crate) fn played(&self) {
        let mut state = self.state();
        if !state.has_played {
            state.has_played = true;
            state.clock = Clock::new(Instant::now(), state.clock.fps());
        }
    }

    /// Waits while the camera hangs; false when the connection ended meanwhile.
    pub(crate) fn wait_while_hanging(&self, id: ConnectionId) -> bool {
        let mut state = self.state();
        while state.faults.hang && state.is_connected(id) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_connected(id)
    }

    /// Waits for the instant that `due` names, asking again after every change; `None` when the connection ended.
    pub(crate) fn wait_until_due(
        &self,
        id: ConnectionId,
        due: impl Fn(&State) -> Option<Instant>,
    ) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state();
        while state.is_connected(id) {
            let wait = match due(&state) {
                Some(due) => match due.checked_duration_since(Instant::now()) {
                    Some(wait) if !wait.is_zero() => wait,
                    _ => return Some(state),
                },
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            (state, _) = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl State {
    fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    fn close_connections(&mut self) -> usize {
        let count = self.connections.len();
        for (_, stream) in self.connections.drain() {
            stream.shutdown(Shutdown::Both).ok();
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A line that each command of the help text takes.
    fn example(command: &str, argument: Option<&str>) -> String {
        let argument = match (command, argument) {
            ("auth", _) => "digest user:password",
            ("answer" | "once", _) => "403",
            ("redirect", _) => "rtsp://127.0.0.1/other",
            ("sdp", _) => "codec",
            ("udp", _) => "mute",
            ("power", Some(word)) => word,
            ("claim", _) => "ssrc",
            ("scramble" | "mirror" | "nonces", _) => "on",
            (_, Some(word)) if word.chars().all(char::is_uppercase) => "1",
            _ => "",
        };
        format!("{command} {argument}")
    }

    #[test]
    fn every_command_of_the_help_text_is_known() {
        for line in COMMANDS.lines() {
            let mut words = line.split_whitespace();
            let command = words.next().unwrap();
            if command == "quit" {
                continue; // the program's, not the camera's
            }
            let line = example(command, words.next());
            assert!(Command::parse(&line, 2).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = Command::parse("auth plain user:s3cret", 1).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(!format!("{:?}", Command::parse("auth basic user:s3cret", 1).unwrap()).contains("s3cret"));
        let control = Control::new(Vec::new(), &Options::default());
        for line in ["auth digest user:s3cret", "redirect rtsp://user:s3cret@127.0.0.1/x"] {
            let said = control.command(line).unwrap();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_client_that_was_found_gone_by_its_sender_has_left_and_one_that_was_cut_has_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let control = Control::new(Vec::new(), &Options::default());
        let id = control.add_connection(&stream).unwrap();
        control.client_left(id);
        assert!(control.remove_connection(id), "by the client");
        assert!(!control.remove_connection(id), "that is told once");
        let id = control.add_connection(&stream).unwrap();
        control.command("drop").unwrap();
        control.client_left(id);
        assert!(!control.remove_connection(id), "by the camera, and then nothing could be sent");
    }

    #[test]
    fn a_command_that_cannot_be_carried_out_says_what_it_needs() {
        let sentence = |line: &str| Command::parse(line, 2).unwrap_err().to_string();
        assert_eq!(sentence("loss 1001"), "command \"loss\" needs a number from 0 to 1000, found \"1001\"");
        assert_eq!(
            sentence("clip 2"),
            "command \"clip\" needs the number of a clip, from 0 to 1, found \"2\""
        );
        assert_eq!(sentence("fps 0"), "command \"fps\" needs a number from 0.1 to 1000, found \"0\"");
        assert_eq!(sentence("freeze now"), "command \"freeze\" needs no argument, found \"now\"");
        let unknown = sentence("explode");
        assert!(
            unknown.starts_with("command \"explode\" is not known; known are drop, freeze, "),
            "{unknown}"
        );
        assert_eq!(sentence("power maybe"), "command \"power\" needs on or off, found \"maybe\"");
        assert_eq!(sentence("answer 99"), "command \"answer\" needs a status from 200 to 599, found \"99\"");
        assert_eq!(sentence("once x"), "command \"once\" needs a status from 200 to 599, found \"x\"");
        assert_eq!(Command::parse("once 400", 1).unwrap(), Command::Once(400));
        assert_eq!(Command::parse(" jump  -500 ", 1).unwrap(), Command::Jump(-500));
    }
}
