//! Cameras: ours with faults on demand, GStreamer's, one that speaks HTTP, a TLS front, and a host that never answers.

use crate::process::{Process, program};
use crate::{Lacking, until};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our RTSP camera as a process.
#[derive(Debug)]
pub struct Camera {
    process: Process,
    url: String,
    answers: usize,
}

impl Camera {
    /// Plays the clips from their first picture on, once a client comes.
    #[must_use]
    pub fn start(clips: &[&Path]) -> Self {
        Self::start_with(clips, &["--port", "0"])
    }

    /// As [`Camera::start`], with further words for its command line.
    #[must_use]
    pub fn start_with(clips: &[&Path], arguments: &[&str]) -> Self {
        Self::try_start(clips, arguments, None).unwrap_or_else(|said| panic!("the camera ended: {said}"))
    }

    /// A camera in the network namespace of a process, where the port is nobody else's. Needs root.
    #[must_use]
    pub fn start_in_network_of(process: u32, clips: &[&Path], port: u16) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg(program("vas-test-camera"));
        Self::try_start_by(command, clips, &["--port", &port.to_string()], None)
            .unwrap_or_else(|said| panic!("the camera ended: {said}"))
    }

    /// A camera that asks for `user:password`, which it gets by its environment.
    #[must_use]
    pub fn start_with_password(clip: &Path, scheme: &str, user_and_password: &str) -> Self {
        let arguments = ["--port", "0", "--auth", scheme, "--user-env", "VAS_TEST_CAMERA_LOGIN"];
        Self::try_start(&[clip], &arguments, Some(user_and_password))
            .unwrap_or_else(|said| panic!("the camera ended: {said}"))
    }

    /// A camera on the very port of one that is gone. Somebody else may have the port for a moment.
    #[must_use]
    pub fn start_again(clips: &[&Path], port: u16) -> Self {
        until("the camera has its port again", || {
            Self::try_start(clips, &["--port", &port.to_string()], None).ok()
        })
    }

    fn try_start(clips: &[&Path], arguments: &[&str], login: Option<&str>) -> Result<Self, String> {
        Self::try_start_by(Command::new(program("vas-test-camera")), clips, arguments, login)
    }

    fn try_start_by(
        mut command: Command,
        clips: &[&Path],
        arguments: &[&str],
        login: Option<&str>,
    ) -> Result<Self, String> {
        command.args(["--pace-from", "first-play"]).args(arguments).args(clips);
        if let Some(login) = login {
            command.env("VAS_TEST_CAMERA_LOGIN", login);
        }
        let process = Process::start("vas-test-camera", &mut command);
        match process.stdout.line(0) {
            Some(line) => {
                let url = line.strip_prefix("READY ").expect("a camera says READY first").to_owned();
                Ok(Self { process, url, answers: 1 })
            }
            None => Err(process.wait().stderr),
        }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port on 127.0.0.1.
    ///
    /// # Panics
    /// Never: the URL is its own.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("the URL has a port")
    }

    /// A command, carried out when this returns.
    ///
    /// # Panics
    /// When the camera does not understand it.
    pub fn command(&mut self, line: &str) {
        let _ = self.ask(line);
    }

    fn ask(&mut self, line: &str) -> String {
        self.process.say(line);
        let answer = self.process.stdout.line(self.answers).expect("the camera answers");
        self.answers += 1;
        assert!(answer.starts_with("OK"), "{line}: {answer}");
        answer
    }

    /// Pictures that are out, and those that are just being sent.
    fn pictures(&mut self) -> (u64, u64) {
        // A command that changes nothing: none of these cameras loses packets.
        let answer = self.ask("loss 0");
        let number_before = |words: &str| {
            let before = answer.split(words).next().unwrap_or_default();
            before.rsplit(['(', ' ']).next().and_then(|number| number.parse().ok())
        };
        let counts = (number_before(" pictures sent so far"), number_before(" on their way"));
        let (Some(sent), Some(on_their_way)) = counts else { panic!("no numbers in: {answer}") };
        (sent, on_their_way)
    }

    /// Pictures sent so far.
    #[must_use]
    pub fn pictures_sent(&mut self) -> u64 {
        self.pictures().0
    }

    /// Waits until it has sent so many more pictures.
    pub fn until_sent(&mut self, more: u64) {
        let wanted = self.pictures_sent() + more;
        until("the camera sends pictures", || (self.pictures_sent() >= wanted).then_some(()));
    }

    /// Sends no more; how many pictures it has sent, all of the last one among them.
    #[must_use]
    pub fn freeze(&mut self) -> u64 {
        self.command("freeze");
        until("the last picture is out", || {
            let (sent, on_their_way) = self.pictures();
            (on_their_way == 0).then_some(sent)
        })
    }

    /// Sends no more, closes every connection once all of the last picture is out, and lets nobody in again; how many pictures
    /// it has sent.
    #[must_use]
    pub fn end(&mut self) -> u64 {
        let sent = self.freeze();
        self.command("refuse");
        self.command("drop");
        sent
    }

    /// Power off.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// GStreamer's gst-rtsp-server as the camera: a stack that nobody here wrote.
#[derive(Debug)]
pub struct GstreamerCamera {
    _process: Process,
    url: String,
}

/// Debian's own Python: the bindings are there for no other.
const PYTHON: &str = "/usr/bin/python3";

impl GstreamerCamera {
    /// Plays an mp4 file of `codec` (h264 or h265) once for each client.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn start(file: &Path, codec: &str) -> Result<Self, Lacking> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gst_camera.py");
        if !Path::new(PYTHON).exists() {
            return Err(format!("{PYTHON} is not there"));
        }
        let probe = Process::run("gst_camera.py", Command::new(PYTHON).arg(&script).arg("--probe"));
        if !probe.status.success() {
            let why = probe.stderr.lines().last().unwrap_or_default().to_owned();
            return Err(format!("GStreamer's RTSP server is not installed: {why}"));
        }
        let mut command = Command::new(PYTHON);
        command.arg(&script).arg("--codec").arg(codec).arg(file);
        let process = Process::start("gst_camera.py", &mut command);
        let ready = process.stdout.line(0).expect("the camera says READY");
        let url = ready.strip_prefix("READY ").expect("a camera says READY first").to_owned();
        Ok(Self { _process: process, url })
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A host that takes connections and never says a word.
#[derive(Debug)]
pub struct SilentHost {
    listener: TcpListener,
}

impl SilentHost {
    /// Listens on a free port; the system accepts for it, nobody answers.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    /// Where it would be found if it were a camera.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rtsp://{}/cam", self.listener.local_addr().expect("a bound socket"))
    }

    /// Waits until that many have connected. They stay connected for as long as what is returned.
    ///
    /// # Panics
    /// When they do not come in time.
    #[must_use]
    pub fn connections(&self, count: usize) -> Vec<TcpStream> {
        self.listener.set_nonblocking(true).expect("a listener that does not block");
        let deadline = Instant::now() + crate::DEADLINE;
        let mut connections = Vec::new();
        while connections.len() < count {
            match self.listener.accept() {
                Ok((connection, _)) => connections.push(connection),
                Err(_) => {
                    assert!(Instant::now() < deadline, "{} of {count} came", connections.len());
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        connections
    }
}

/// What a [`HoardingCamera`] never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endless {
    /// Its description, whose length it names as four gigabytes.
    Answer,
    /// Its first picture, in fragments of one unit of H.264.
    Picture,
}

/// A camera that makes its clients collect: as fast as they read, it sends them something that has no end.
#[derive(Debug)]
pub struct HoardingCamera {
    url: String,
}

impl HoardingCamera {
    /// It falls silent after so much: a client without a bound is not to take all of this machine's memory.
    pub const MOST_BYTES: usize = 256 << 20;

    /// Ends with the process.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start(endless: Endless) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("rtsp://{}/cam", listener.local_addr().expect("a bound socket"));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes is how each of them ends.
                std::thread::spawn(move || drop(hoard(&client, endless)));
            }
        });
        Self { url }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn hoard(client: &TcpStream, endless: Endless) -> std::io::Result<()> {
    const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                       a=rtpmap:96 H264/90000\r\na=control:track\r\n";
    const PIECE_BYTES: usize = 60_000;
    let mut out = client;
    let mut lines = BufReader::new(client).lines();
    loop {
        let (mut method, mut sequence) = (String::new(), String::new());
        for line in lines.by_ref() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix("CSeq: ") {
                number.clone_into(&mut sequence);
            }
            if method.is_empty() {
                line.split(' ').next().unwrap_or_default().clone_into(&mut method);
            }
        }
        let session = "Session: 1\r\n";
        let (headers, body, len) = match method.as_str() {
            "" => return Ok(()),
            "DESCRIBE" if endless == Endless::Answer => ("Content-Type: application/sdp\r\n", "", u32::MAX),
            "DESCRIBE" => ("Content-Type: application/sdp\r\n", SDP, SDP.len() as u32),
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", "", 0),
            _ => (session, "", 0),
        };
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}Content-Length: {len}\r\n\r\n");
        out.write_all((head + body).as_bytes())?;
        match (method.as_str(), endless) {
            ("DESCRIBE", Endless::Answer) => {
                let text = vec![b' '; PIECE_BYTES];
                for _ in 0..HoardingCamera::MOST_BYTES / PIECE_BYTES {
                    out.write_all(&text)?;
                }
            }
            ("PLAY", Endless::Picture) => {
                for number in 0..(HoardingCamera::MOST_BYTES / PIECE_BYTES) as u16 {
                    let [high, low] = number.to_be_bytes();
                    let fragment = if number == 0 { 0x85 } else { 0x05 };
                    // RTP: version 2, payload type 96, the number, one timestamp, one SSRC; then a fragment of an IDR slice.
                    let rtp = [0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 1, 0x7C, fragment];
                    let [high, low] = ((rtp.len() + PIECE_BYTES) as u16).to_be_bytes();
                    out.write_all(&[&[b'$', 0, high, low], &rtp[..], &[0xAA; PIECE_BYTES]].concat())?;
                }
            }
            _ => {}
        }
    }
}

/// A TLS connection before another camera, with a certificate that nobody has signed.
#[derive(Debug)]
pub struct TlsFront {
    _process: Process,
    port: u16,
}

impl TlsFront {
    /// Before the camera with that port; certificate and key come into `folder`.
    ///
    /// # Errors
    /// What this machine lacks for it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(camera_port: u16, folder: &Path) -> Result<Self, Lacking> {
        if !Path::new(PYTHON).exists() {
            return Err(format!("{PYTHON} is not there"));
        }
        if Command::new("openssl").arg("version").output().is_err() {
            return Err("the openssl program is not installed".into());
        }
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let made = Process::run("openssl", &mut command);
        assert!(made.status.success(), "{}", made.stderr);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tls_front.py");
        let mut command = Command::new(PYTHON);
        command.arg(script).arg(certificate).arg(key).arg(camera_port.to_string());
        let process = Process::start("tls_front.py", &mut command);
        let ready = process.stdout.line(0).expect("the front says READY");
        let port = ready.strip_prefix("READY ").and_then(|port| port.parse().ok()).expect("and its port");
        Ok(Self { _process: process, port })
    }

    /// Where TLS clients find it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// MJPEG over HTTP, as simple cameras send it: parts of one endless answer.
#[derive(Debug)]
pub struct HttpCamera {
    port: u16,
}

impl HttpCamera {
    /// Sends the pictures round and round at 25 a second, to whoever has the credentials (`user:password` in base64), if any are asked
    /// for. `/moved` redirects to `/video` of another host. Ends with the process.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start(pictures: Vec<Vec<u8>>, credentials: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let pictures = Arc::new(pictures);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (pictures, credentials) = (Arc::clone(&pictures), credentials.clone());
                // A client that goes is how each of them ends.
                std::thread::spawn(move || drop(serve_mjpeg(client, &pictures, credentials.as_deref())));
            }
        });
        Self { port }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn serve_mjpeg(
    mut client: TcpStream,
    pictures: &[Vec<u8>],
    credentials: Option<&str>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let mut request = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        request += &line;
        request.push('\n');
    }
    let is_allowed =
        credentials.is_none_or(|wanted| request.contains(&format!("Authorization: Basic {wanted}\n")));
    if !is_allowed {
        let challenge = "WWW-Authenticate: Basic realm=\"camera\"\r\nContent-Length: 0\r\nConnection: close";
        return write!(client, "HTTP/1.1 401 Unauthorized\r\n{challenge}\r\n\r\n");
    }
    if request.starts_with("GET /moved ") {
        return write!(
            client,
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/video\r\nContent-Length: 0\r\n\r\n"
        );
    }
    write!(client, "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=picture\r\n\r\n")?;
    let mut due = Instant::now();
    for picture in pictures.iter().cycle() {
        write!(client, "--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len())?;
        client.write_all(picture)?;
        write!(client, "\r\n")?;
        due += Duration::from_millis(40);
        // The camera's pace, not a wait for anything.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
