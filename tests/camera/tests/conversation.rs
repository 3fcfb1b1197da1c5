//! What a client written from the RFCs hears from the camera: no FFmpeg here, and the clips hold no real pictures.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vas_test_camera::{Auth, AuthScheme, Clip, Join, Options, Stats, TestCamera};

/// When something counts as never, on the slowest machine.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A clip of so many pictures, key pictures every `gop`. Each slice says the picture's number in its last bytes.
fn clip_as(name: &str, pictures: u8, gop: u8) -> Clip {
    let h265 = name.ends_with("h265");
    let mut bytes = Vec::new();
    let mut unit = |header: &[u8], rest: &[u8]| {
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(header);
        bytes.extend(rest);
    };
    for picture in 0..pictures {
        let is_key = picture % gop == 0;
        match (h265, is_key) {
            (false, true) => {
                unit(&[0x67], &[66, 1, 30]);
                unit(&[0x68], &[1]);
                unit(&[0x65], &[0x88, 7, picture, 1]);
            }
            (false, false) => unit(&[0x41], &[0x9A, 7, picture, 1]),
            (true, true) => {
                unit(&[33 << 1, 1], &[1, 2]);
                unit(&[19 << 1, 1], &[0x80, 7, picture, 1]);
            }
            (true, false) => unit(&[1 << 1, 1], &[0x80, 7, picture, 1]),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Clip::load(&path).unwrap()
}

/// A clip of so many JPEG pictures of 2500 bytes and some, which are no pictures really. Each says its number in its first coded byte.
fn jpegs(pictures: u8) -> Clip {
    let picture = |number: u8| {
        let mut bytes = [&[0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0][..], &[9; 64]].concat();
        bytes.extend([0xFF, 0xC0, 0, 17, 8, 0, 240, 1, 64, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 17, 3, 17, 0, 63, 0, number]);
        [&bytes[..], &[7; 2499], &[0xFF, 0xD9]].concat()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mjpeg");
    std::fs::write(&path, (0..pictures).flat_map(picture).collect::<Vec<u8>>()).unwrap();
    Clip::load(&path).unwrap()
}

fn clip(pictures: u8, gop: u8) -> Clip {
    clip_as("clip.h264", pictures, gop)
}

fn fast() -> Options {
    Options { fps: 500.0, rtcp_interval_ms: 0, ..Options::default() }
}

struct Client {
    url: String,
    reader: BufReader<TcpStream>,
    sequence: u32,
}

/// An RTP packet as a client sees it.
#[derive(Debug)]
struct Rtp {
    marker: bool,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

impl Rtp {
    /// The number that the clip's maker put into a slice.
    fn picture(&self) -> u8 {
        self.payload[self.payload.len() - 2]
    }
}

impl Client {
    fn connect(camera: &TestCamera) -> Client {
        let url = camera.url();
        let address = url.trim_start_matches("rtsp://").trim_end_matches("/cam");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        Client { url, reader: BufReader::new(stream), sequence: 0 }
    }

    fn send(&mut self, method: &str, url: &str, headers: &str) {
        self.sequence += 1;
        let text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.sequence);
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next response, packets before it passed over.
    fn response(&mut self) -> String {
        while self.reader.fill_buf().unwrap().first() == Some(&b'$') {
            self.interleaved().unwrap();
        }
        let (mut text, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "closed after {text:?}");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            text += &line;
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        text + std::str::from_utf8(&body).unwrap()
    }

    fn ask(&mut self, method: &str, headers: &str) -> String {
        let url = self.url.clone();
        self.send(method, &url, headers);
        self.response()
    }

    fn play(camera: &TestCamera) -> Client {
        let mut client = Client::connect(camera);
        let set_up = client.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n");
        assert!(set_up.contains("interleaved=4-5"), "{set_up}");
        let play = client.ask("PLAY", "");
        assert!(play.starts_with("RTSP/1.0 200 OK"), "{play}");
        client
    }

    /// Channel and bytes of the next packet; `None` when the camera has closed.
    fn interleaved(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut prefix = [0; 4];
        self.reader.read_exact(&mut prefix).ok()?;
        assert_eq!(prefix[0], b'$', "not a packet");
        let mut packet = vec![0; u16::from_be_bytes([prefix[2], prefix[3]]).into()];
        self.reader.read_exact(&mut packet).ok()?;
        Some((prefix[1], packet))
    }

    fn rtp(&mut self) -> Option<Rtp> {
        let (mut channel, mut packet) = self.interleaved()?;
        while channel == 5 {
            (channel, packet) = self.interleaved()?; // reports are passed over
        }
        assert_eq!((channel, packet[0], packet[1] & 0x7F), (4, 0x80, 96));
        Some(Rtp {
            marker: packet[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: u32::from_be_bytes(packet[4..8].try_into().unwrap()),
            payload: packet[12..].to_vec(),
        })
    }

    /// The next picture's last packet.
    fn picture(&mut self) -> Option<Rtp> {
        loop {
            let packet = self.rtp()?;
            if packet.marker {
                return Some(packet);
            }
        }
    }

    fn pictures(&mut self, count: usize) -> Vec<Rtp> {
        (0..count).map(|_| self.picture().expect("the camera closed")).collect()
    }
}

fn numbers(pictures: &[Rtp]) -> Vec<u8> {
    pictures.iter().map(Rtp::picture).collect()
}

fn step(two: &[Rtp]) -> i32 {
    two[1].timestamp.wrapping_sub(two[0].timestamp) as i32
}

#[test]
fn every_client_gets_the_clip_from_its_first_picture_and_again_when_it_ends() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    for _ in 0..2 {
        let pictures = Client::play(&camera).pictures(12);
        assert_eq!(numbers(&pictures), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
        assert!(pictures.windows(2).all(|two| step(two) == 180), "90 kHz by 500 pictures a second");
    }
}

#[test]
fn sequence_numbers_have_no_gap_and_go_round() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    let packets: Vec<Rtp> = (0..300).map(|_| client.rtp().unwrap()).collect();
    assert!(packets.windows(2).all(|two| two[1].sequence == two[0].sequence.wrapping_add(1)));
    assert!(packets.windows(2).any(|two| two[1].sequence < two[0].sequence), "16 bits have overflowed");
}

#[test]
fn pictures_are_paced_by_absolute_deadlines() {
    let options = Options { fps: 50.0, ..fast() };
    let camera = TestCamera::start(vec![clip(5, 5)], options).unwrap();
    let start = Instant::now();
    let mut client = Client::play(&camera);
    client.pictures(26);
    // The first is due after PLAY and the last 25 periods later, however late anybody is.
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
}

#[test]
fn a_live_join_waits_for_a_key_picture_and_a_mid_join_does_not() {
    let options = Options { join: Join::Idr, ..fast() };
    let camera = TestCamera::start(vec![clip(250, 50)], options).unwrap();
    assert_eq!(Client::play(&camera).picture().unwrap().picture() % 50, 0);

    // So slow that the clip does not begin anew between two joins.
    let options = Options { join: Join::Mid, fps: 10.0, ..fast() };
    let camera = TestCamera::start(vec![clip(250, 50)], options).unwrap();
    let firsts: Vec<u8> = (0..3).map(|_| Client::play(&camera).picture().unwrap().picture()).collect();
    assert!(firsts.windows(2).all(|two| two[0] < two[1]), "the clip plays all the time: {firsts:?}");
}

#[test]
fn after_the_asked_number_of_pictures_only_reports_come() {
    let options = Options { frames: Some(3), rtcp_interval_ms: 20, ..fast() };
    let camera = TestCamera::start(vec![clip(5, 5)], options).unwrap();
    let mut client = Client::play(&camera);
    let (mut pictures, mut reports_since) = (0, 0);
    while reports_since < 5 {
        let (channel, packet) = client.interleaved().unwrap();
        match channel {
            4 => (pictures, reports_since) = (pictures + u32::from(packet[1] >> 7), 0),
            5 => {
                assert_eq!(packet[..2], [0x80, 200], "a sender report");
                reports_since += 1;
            }
            other => panic!("channel {other}"),
        }
    }
    assert_eq!(pictures, 3);
    assert!(client.ask("GET_PARAMETER", "").starts_with("RTSP/1.0 200 OK"), "the connection stays");
}

#[test]
fn a_freeze_stops_pictures_but_not_answers_and_nothing_of_the_clip_is_lost() {
    let options = Options { rtcp_interval_ms: 10, ..fast() };
    let camera = TestCamera::start(vec![clip(200, 200)], options).unwrap();
    let mut client = Client::play(&camera);
    let mut before = client.pictures(3);
    assert!(camera.command("freeze").unwrap().starts_with("freeze ("));
    // A picture that was begun before the freeze is still being written, and is counted when it is.
    let deadline = Instant::now() + WATCHDOG;
    let said = loop {
        let said = camera.command("freeze").unwrap();
        if said.contains(" 0 on their way") {
            break said;
        }
        assert!(Instant::now() < deadline, "a picture stays on its way: {said}");
        std::thread::yield_now();
    };
    let sent: usize = said.split(['(', ' ']).find_map(|word| word.parse().ok()).unwrap();
    before.extend(client.pictures(sent - 3));
    for _ in 0..5 {
        assert_eq!(client.interleaved().unwrap().0, 5, "frozen, only reports come");
    }
    assert!(client.ask("GET_PARAMETER", "").starts_with("RTSP/1.0 200 OK"));
    camera.command("resume").unwrap();
    let mut after = client.pictures(2);
    assert_eq!(usize::from(after[0].picture()), sent % 200);
    assert!(step(&[before.pop().unwrap(), after.swap_remove(0)]) > 180, "time has passed");
}

#[test]
fn a_hanging_camera_answers_when_it_is_resumed() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::connect(&camera);
    camera.command("hang").unwrap();
    client.send("OPTIONS", "*", "");
    client.reader.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(client.reader.fill_buf().is_err(), "no answer while it hangs");
    client.reader.get_ref().set_read_timeout(Some(WATCHDOG)).unwrap();
    camera.command("resume").unwrap();
    assert!(client.response().contains("Public: OPTIONS, DESCRIBE"));
}

#[test]
fn drop_closes_connections_and_refuse_closes_new_ones() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    assert!(camera.command("drop").unwrap().starts_with("drop: 1 connections closed"));
    while client.rtp().is_some() {}

    camera.command("refuse").unwrap();
    let mut refused = Client::connect(&camera);
    assert!(refused.interleaved().is_none());
    camera.command("accept").unwrap();
    assert_eq!(Client::play(&camera).picture().unwrap().picture(), 0);
}

#[test]
fn timestamps_leap_and_repeat_on_command() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    let mut pictures = client.pictures(2);
    camera.command("jump -10000").unwrap();
    camera.command("dup").unwrap();
    // Some that were sent before the commands may come first.
    let deadline = Instant::now() + WATCHDOG;
    let (mut has_leapt, mut has_repeated) = (false, false);
    while !(has_leapt && has_repeated) {
        assert!(
            Instant::now() < deadline,
            "ten seconds back: {has_leapt}; one timestamp twice: {has_repeated}"
        );
        pictures.extend(client.pictures(1));
        let step = step(&pictures[pictures.len() - 2..]);
        has_leapt |= step < -800_000;
        has_repeated |= step == 0;
    }
}

#[test]
fn a_change_of_the_rate_keeps_timestamps_true() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    client.pictures(2);
    camera.command("fps 50").unwrap();
    while step(&client.pictures(2)) != 1800 {}
    assert!(client.ask("DESCRIBE", "").contains("a=framerate:50\r\n"));
}

#[test]
fn a_switch_of_clips_begins_at_the_new_ones_first_picture() {
    let camera = TestCamera::start(vec![clip(100, 100), clip(3, 3)], fast()).unwrap();
    let mut client = Client::play(&camera);
    client.pictures(5);
    camera.command("clip 1").unwrap();
    let mut last = 4;
    let first = loop {
        let number = client.picture().unwrap().picture();
        if number != (last + 1) % 100 {
            break number;
        }
        last = number;
    };
    assert_eq!(first, 0);
    assert_eq!(numbers(&client.pictures(4)), [1, 2, 0, 1]);
}

#[test]
fn a_switch_to_another_codec_closes_connections() {
    let clips = vec![clip(5, 5), clip_as("clip.h265", 5, 5)];
    let camera = TestCamera::start(clips, fast()).unwrap();
    let mut client = Client::play(&camera);
    let done = camera.command("clip 1").unwrap();
    assert!(done.starts_with("clip 1: another codec, 1 connections closed"), "{done}");
    while client.rtp().is_some() {}
    assert!(Client::connect(&camera).ask("DESCRIBE", "").contains("H265/90000"));
    assert_eq!(Client::play(&camera).picture().unwrap().picture(), 0);
}

#[test]
fn garbage_breaks_the_framing_of_the_connection() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    client.pictures(2);
    camera.command("garbage").unwrap();
    let deadline = Instant::now() + WATCHDOG;
    while client.reader.fill_buf().unwrap()[0] == b'$' {
        client.interleaved().unwrap();
        assert!(Instant::now() < deadline, "no garbage came");
    }
}

/// Asks by HTTP, and gives the answer without its body.
fn get(camera: &TestCamera, path: &str, headers: &str) -> (Client, String) {
    let mut client = Client::connect(camera);
    let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
    client.reader.get_mut().write_all(request.as_bytes()).unwrap();
    let answer = client.response();
    (client, answer)
}

/// The next picture of an answer by HTTP; `None` if it breaks off.
fn part(client: &mut Client) -> Option<Vec<u8>> {
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        client.reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut picture = vec![0; length + 2];
    client.reader.read_exact(&mut picture).ok()?;
    assert_eq!(picture.split_off(length), *b"\r\n");
    Some(picture)
}

#[test]
fn jpeg_pictures_are_parts_of_an_endless_answer_to_whoever_asks_by_http() {
    let camera = TestCamera::start(vec![jpegs(3), clip(5, 5)], fast()).unwrap();
    let (mut client, answer) = get(&camera, "/cam", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;"), "{answer}");
    let pictures: Vec<Vec<u8>> = (0..6).map(|_| part(&mut client).expect("the camera closed")).collect();
    let numbers: Vec<u8> = pictures.iter().map(|picture| picture[picture.len() - 2502]).collect();
    assert_eq!(numbers, [0, 1, 2, 0, 1, 2]);
    assert!(get(&camera, "/other", "").1.starts_with("HTTP/1.1 404 "));
    camera.command("answer 503").unwrap();
    assert!(get(&camera, "/cam", "").1.starts_with("HTTP/1.1 503 "));
    camera.command("answer 200").unwrap();
    camera.command("auth basic u:p").unwrap();
    let (mut client, answer) = get(&camera, "/cam", "");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("WWW-Authenticate: Basic"), "{answer}");
    assert_eq!(part(&mut client), None, "closed behind an answer without pictures");
    assert!(get(&camera, "/cam", "Authorization: Basic dTpw\r\n").1.starts_with("HTTP/1.1 200 "));
    camera.command("auth none").unwrap();
    camera.command("clip 1").unwrap();
    assert!(get(&camera, "/cam", "").1.starts_with("HTTP/1.1 404 "), "H.264 is not sent by HTTP");
}

#[test]
fn a_digest_for_http_is_good_for_the_next_connection() {
    let camera = TestCamera::start(vec![jpegs(3)], fast()).unwrap();
    camera.command("auth digest u:p").unwrap();
    let nonce = || get(&camera, "/cam", "").1.split("nonce=").nth(1).map(|rest| rest[..18].to_owned());
    assert!(nonce().is_some() && nonce() == nonce());
}

#[test]
fn a_picture_ends_halfway_on_command_and_the_connection_with_it() {
    let camera = TestCamera::start(vec![jpegs(3)], fast()).unwrap();
    let (mut by_http, _) = get(&camera, "/cam", "");
    assert!(part(&mut by_http).is_some());
    let mut by_rtsp = Client::play(&camera);
    assert!(by_rtsp.picture().is_some());
    camera.command("sever").unwrap();
    while part(&mut by_http).is_some() {}
    let mut last = Vec::new();
    while let Some(packet) = by_rtsp.rtp() {
        last = packet.payload;
    }
    // Three packets a picture: the second one is cut.
    assert_eq!(last[1..4], [0, 0, 0]);
    until(&camera, "a session that the camera ended", |stats| stats.cut == 1);
}

#[test]
fn one_bad_answer_is_given_once() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::connect(&camera);
    camera.command("once 400").unwrap();
    assert!(client.ask("DESCRIBE", "").starts_with("RTSP/1.0 400 "));
    assert!(client.ask("DESCRIBE", "").starts_with("RTSP/1.0 200 OK"));
}

#[test]
fn what_a_client_does_wrong_is_answered_with_the_code_of_the_standard() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::connect(&camera);
    let other = client.url.replace("/cam", "/other");
    client.send("DESCRIBE", &other, "");
    assert!(client.response().starts_with("RTSP/1.0 404 "));
    assert!(client.ask("PLAY", "").starts_with("RTSP/1.0 455 "));
    assert!(client.ask("SETUP", "Transport: RTP/AVP;multicast\r\n").starts_with("RTSP/1.0 461 "));
    assert!(client.ask("SETUP", "").starts_with("RTSP/1.0 461 "));
    assert!(client.ask("GET_PARAMETER", "Session: 0815\r\n").starts_with("RTSP/1.0 454 "));
    assert!(client.ask("RECORD", "").starts_with("RTSP/1.0 405 "));
    assert!(client.ask("TEARDOWN", "").starts_with("RTSP/1.0 200 "));
    assert!(client.interleaved().is_none(), "closed after TEARDOWN");

    let mut client = Client::connect(&camera);
    client.reader.get_mut().write_all(b"GET / FTP/1.1\r\n\r\n").unwrap();
    assert!(client.response().starts_with("RTSP/1.0 400 "));
    assert!(client.interleaved().is_none(), "closed after what cannot be read");
}

#[test]
fn without_the_password_only_options_is_answered() {
    let auth = Some(Auth::new(AuthScheme::Basic, "u:p").unwrap());
    let camera = TestCamera::start(vec![clip(5, 5)], Options { auth, ..fast() }).unwrap();
    let mut client = Client::connect(&camera);
    assert!(client.ask("OPTIONS", "").starts_with("RTSP/1.0 200 "));
    for method in ["DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER", "TEARDOWN"] {
        let answer = client.ask(method, "Authorization: Basic dTpx\r\n");
        assert!(answer.starts_with("RTSP/1.0 401 "), "{method}: {answer}");
        assert!(answer.contains("WWW-Authenticate: Basic realm="), "{method}: {answer}");
    }
    assert!(client.ask("DESCRIBE", "Authorization: Basic dTpw\r\n").starts_with("RTSP/1.0 200 "));
}

#[test]
fn a_client_that_reads_nothing_hinders_neither_others_nor_the_end() {
    let big = {
        let mut bytes = vec![0, 0, 1, 0x67, 66, 1, 30, 0, 0, 1, 0x65, 0x88];
        bytes.resize(1_000_000, 0x55);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.h264");
        std::fs::write(&path, bytes).unwrap();
        Clip::load(&path).unwrap()
    };
    let camera = TestCamera::start(vec![big], fast()).unwrap();
    let _deaf = Client::play(&camera);
    Client::play(&camera).pictures(30);
    let start = Instant::now();
    drop(camera);
    // After thirty seconds a client that reads nothing is given up: the end has not waited for that.
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

/// Waits until the camera has counted what a client did last.
fn until(camera: &TestCamera, what: &str, holds: impl Fn(&Stats) -> bool) -> Stats {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        let stats = camera.stats();
        if holds(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{what}: {stats:?}");
        std::thread::yield_now();
    }
}

#[test]
fn each_way_to_leave_a_session_is_counted_as_what_it_is() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    // Without a session there is nothing to take leave of.
    drop(Client::connect(&camera));
    assert!(Client::play(&camera).ask("TEARDOWN", "").starts_with("RTSP/1.0 200 "));
    until(&camera, "a TEARDOWN", |stats| stats.torn_down == 1);
    drop(Client::play(&camera));
    until(&camera, "a client that just goes", |stats| stats.abandoned == 1);
    let mut client = Client::play(&camera);
    camera.command("drop").unwrap();
    while client.rtp().is_some() {}
    let stats = until(&camera, "a connection that the camera closed", |stats| stats.cut == 1);
    assert_eq!((stats.connections(), stats.opened, stats.open_now()), (4, 3, 0));
    assert!(stats.attempts.windows(2).all(|two| two[0] <= two[1]));
    let line = camera.command("stats").unwrap();
    assert!(line.contains(" opened=3 torn_down=1 abandoned=1 cut=1 "), "{line}");
}

#[test]
fn a_farewell_that_a_hanging_camera_does_not_answer_is_counted_when_it_wakes() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    camera.command("hang").unwrap();
    let url = client.url.clone();
    client.send("TEARDOWN", &url, "");
    drop(client);
    camera.command("resume").unwrap();
    until(&camera, "the TEARDOWN", |stats| stats.torn_down == 1);
}

#[test]
fn connections_that_are_refused_are_counted_too() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    camera.command("refuse").unwrap();
    for _ in 0..2 {
        assert!(Client::connect(&camera).interleaved().is_none());
    }
    let stats = camera.stats();
    assert_eq!((stats.connections(), stats.refused, stats.opened), (2, 2, 0));
}

#[test]
fn without_power_nobody_listens_and_with_it_the_port_is_the_same() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let mut client = Client::play(&camera);
    let address = client.url.trim_start_matches("rtsp://").trim_end_matches("/cam").to_owned();
    for _ in 0..3 {
        assert!(camera.command("power off").unwrap().starts_with("power off: 1 connections closed"));
        while client.rtp().is_some() {}
        let refused = TcpStream::connect(&address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        camera.command("power on").unwrap();
        client = Client::play(&camera);
        assert_eq!(client.picture().unwrap().picture(), 0);
    }
    assert_eq!(camera.stats().connections(), 4, "what the camera did to wake itself is not counted");
    camera.command("power off").unwrap();
    drop(camera); // ends, though nobody can be called any more
}

#[test]
fn a_password_is_changed_while_the_camera_runs_and_wrong_ones_are_counted() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    assert!(Client::connect(&camera).ask("DESCRIBE", "").starts_with("RTSP/1.0 200 "));
    camera.command("auth basic u:p").unwrap();
    let mut client = Client::connect(&camera);
    assert!(client.ask("DESCRIBE", "").starts_with("RTSP/1.0 401 "));
    assert!(client.ask("DESCRIBE", "Authorization: Basic dTpx\r\n").starts_with("RTSP/1.0 401 "));
    assert!(client.ask("DESCRIBE", "Authorization: Basic dTpw\r\n").starts_with("RTSP/1.0 200 "));
    let stats = camera.stats();
    assert_eq!((stats.unauthorized, stats.wrong_passwords, stats.with_credentials), (2, 1, 2));
    camera.command("auth none").unwrap();
    assert!(Client::connect(&camera).ask("DESCRIBE", "").starts_with("RTSP/1.0 200 "));
}

#[test]
fn what_is_said_of_packets_is_wrong_on_command() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let said = |client: &mut Client| {
        let set_up = client.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
        let play = client.ask("PLAY", "");
        let sequence = play.split(";seq=").nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
        (set_up.contains(";ssrc="), sequence.expect("a sequence number"))
    };
    let (named, right) = said(&mut Client::connect(&camera));
    assert!(!named);
    camera.command("claim ssrc").unwrap();
    assert_eq!(said(&mut Client::connect(&camera)), (true, right.clone()));
    camera.command("claim seq").unwrap();
    let (named, wrong) = said(&mut Client::connect(&camera));
    assert!(!named && wrong != right, "{wrong}");
    camera.command("claim nothing").unwrap();
    assert!(camera.command("claim all").is_err());
}

#[test]
fn a_nonce_is_good_for_one_request_on_command_and_said_to_be_stale() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    camera.command("auth basic u:p").unwrap();
    camera.command("nonces on").unwrap();
    let mut client = Client::connect(&camera);
    for _ in 0..3 {
        // Without a nonce in it, there is none to be used up.
        assert!(client.ask("DESCRIBE", "Authorization: Basic dTpw\r\n").starts_with("RTSP/1.0 200 "));
    }
    camera.command("auth digest u:p").unwrap();
    let challenge = client.ask("DESCRIBE", "");
    assert!(challenge.starts_with("RTSP/1.0 401 ") && !challenge.contains("stale"), "{challenge}");
    camera.command("nonces off").unwrap();
}

#[test]
fn describe_is_answered_with_a_status_another_address_or_a_wrong_description_on_command() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let describe = |command: &str| {
        camera.command(command).unwrap();
        Client::connect(&camera).ask("DESCRIBE", "")
    };
    assert!(describe("answer 403").starts_with("RTSP/1.0 403 Forbidden\r\n"));
    assert!(describe("answer 200").starts_with("RTSP/1.0 200 "));
    let sent_on = describe("redirect rtsp://127.0.0.1:9/cam");
    assert!(sent_on.starts_with("RTSP/1.0 302 "), "{sent_on}");
    assert!(sent_on.contains("\r\nLocation: rtsp://127.0.0.1:9/cam\r\n"), "{sent_on}");
    camera.command("auth basic u:p").unwrap();
    camera.command("mirror on").unwrap();
    let mirrored = Client::connect(&camera).ask("DESCRIBE", "Authorization: Basic dTpw\r\n");
    assert!(
        mirrored.starts_with("RTSP/1.0 404 No Basic dTpw here, nor rtsp://u:p@here/ nor p\r\n"),
        "{mirrored}"
    );
    camera.command("mirror off").unwrap();
    camera.command("auth none").unwrap();
    assert!(describe("redirect off").starts_with("RTSP/1.0 200 "));
    assert!(describe("sdp codec").contains("H265/90000"));
    assert!(!describe("sdp empty").contains("\r\nm="));
    assert!(describe("sdp audio").contains("\r\nm=audio"));
    assert!(describe("sdp garbage").contains("sprop-parameter-sets=!!!"));
    assert!(describe("sdp right").contains("H264/90000"));
}

#[test]
fn udp_is_refused_or_promised_and_not_kept() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let transport = format!("Transport: RTP/AVP;unicast;client_port={port}-{port}\r\n");
    camera.command("udp refuse").unwrap();
    assert!(Client::connect(&camera).ask("SETUP", &transport).starts_with("RTSP/1.0 461 "));
    assert_eq!(camera.stats().opened, 0);
    assert_eq!(Client::play(&camera).picture().unwrap().picture(), 0, "by TCP it is served");

    camera.command("udp mute").unwrap();
    let mut client = Client::connect(&camera);
    assert!(client.ask("SETUP", &transport).starts_with("RTSP/1.0 200 "));
    assert!(client.ask("PLAY", "").starts_with("RTSP/1.0 200 "));
    Client::play(&camera).pictures(20); // meanwhile as many would have come by UDP
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 2000]).is_err());
    camera.command("udp on").unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(WATCHDOG)).unwrap();
    assert!(socket.recv(&mut [0; 2000]).is_ok());
}

#[test]
fn answers_come_late_or_mean_nothing_on_command() {
    let camera = TestCamera::start(vec![clip(5, 5)], fast()).unwrap();
    camera.command("delay 150").unwrap();
    let asked = Instant::now();
    Client::connect(&camera).ask("OPTIONS", "");
    assert!(asked.elapsed() >= Duration::from_millis(150));
    camera.command("delay 0").unwrap();
    camera.command("scramble on").unwrap();
    let mut client = Client::connect(&camera);
    client.send("OPTIONS", "*", "");
    let mut said = [0; 512];
    client.reader.read_exact(&mut said).unwrap();
    assert_eq!(said[0], 0xFF);
    camera.command("scramble off").unwrap();
    assert!(client.ask("OPTIONS", "").starts_with("RTSP/1.0 200 "), "the connection stays");
}

#[test]
fn the_clock_of_the_reports_is_wrong_by_what_was_asked() {
    let options = Options { rtcp_interval_ms: 5, ..fast() };
    let camera = TestCamera::start(vec![clip(5, 5)], options).unwrap();
    let report_seconds = |client: &mut Client| loop {
        let (channel, packet) = client.interleaved().unwrap();
        if channel == 5 {
            break i64::from(u32::from_be_bytes(packet[8..12].try_into().unwrap()));
        }
    };
    let right = report_seconds(&mut Client::play(&camera));
    camera.command("clock -100000").unwrap();
    let wrong = report_seconds(&mut Client::play(&camera));
    assert!((-100_000..-99_900).contains(&(wrong - right)), "{right} {wrong}");
}
