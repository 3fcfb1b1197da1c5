//! Both RTSP clients do the same with the same camera, and say the same of it.

use std::collections::HashSet;
use vas_e2e::camera::{Camera, Endless, HoardingCamera, SilentHost};
use vas_e2e::clips::{clip, hashes, intra_refresh, intra_refresh_h265};
use vas_e2e::compare::{Plays, assert_same, same};
use vas_e2e::process::Process;
use vas_e2e::reader::{Frame, Line, Watch};
use vas_e2e::relay::{Relay, Udp};
use vas_e2e::scene::Scene;
use vas_e2e::server::{CLIENTS, Server, camera, rtsp_camera};
use vas_e2e::{over_udp, require, until};
use vas_shm_reader::monotonic_ns;

/// Nobody listens there, and no port that a system hands out is that one: of a free port another test makes its own.
const CLOSED: &str = "rtsp://127.0.0.1:1/cam";

/// Far beyond what a stop takes on a busy machine, and a twentieth of the time for which a camera here may leave its server without an
/// answer.
const STOP_LIMIT_S: u64 = 30;

#[test]
fn a_size_that_changes_in_mid_stream_is_followed_by_both_clients() {
    let (small, wide) = (require!(clip("h264.h264")), require!(clip("bikes.h264")));
    let (small_pictures, wide_pictures) = (require!(hashes(&small)), require!(hashes(&wide)));
    let is_followed = |client: &str, transport: &str| -> Result<(), String> {
        let why = |why: String| format!("{client} over {transport}: {why}");
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&small, &wide]);
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, transport));
        let mut before = watch.frames(30);
        rtsp.command("clip 1");
        let next = loop {
            match watch.next_line().expect("the watch goes on") {
                Line::Frame(frame) if frame.height == 480 => before.push(frame),
                Line::Frame(frame) => break frame,
                Line::State(_) => {}
            }
        };
        same(&before, &small_pictures, Plays::RoundAndRound).map_err(why)?;
        assert_eq!((next.width, next.height), (640, 272), "{client} over {transport}");
        let mut after = vec![next];
        after.extend(watch.frames(30));
        same(&after, &wide_pictures, Plays::RoundAndRound).map_err(why)?;
        server.stop_well();
        Ok(())
    };
    for client in CLIENTS {
        if let Err(why) = is_followed(client, "tcp") {
            panic!("{why}");
        }
        over_udp(|| is_followed(client, "udp"));
    }
}

const EVERY_WAY: &[(&str, &str)] =
    &[("retina", "tcp"), ("ffmpeg", "tcp"), ("retina", "udp"), ("ffmpeg", "udp")];

/// Frames while packets are lost: each is a right picture, or says that it is damaged. A camera that loses packets on its way
/// into a TCP connection is one that has too much to do.
fn no_frame_is_damaged_in_silence(name: &str, ways: &[(&str, &str)]) {
    let clip = require!(clip(name));
    let pictures: HashSet<String> = require!(hashes(&clip)).into_iter().collect();
    for (client, transport) in ways {
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&clip]);
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, transport));
        let mut frames = watch.frames(10);
        rtsp.command("loss 10");
        frames.extend(watch.frames(150));
        rtsp.command("loss 0");
        // It heals with a keyframe; there is one each second.
        frames.push(watch.until_frame(|frame| !frame.damaged));
        frames.extend(watch.frames(10));
        let is_wrong = |frame: &&Frame| !pictures.contains(&frame.md5);
        let wrong = frames.iter().filter(is_wrong).count();
        let silent = frames.iter().filter(is_wrong).filter(|frame| !frame.damaged).count();
        let marked = frames.iter().filter(|frame| frame.damaged).count();
        println!("{name}, {client} over {transport}: {wrong} wrong, {marked} marked, {silent} silent");
        assert_eq!(silent, 0, "{name}, {client} over {transport}: damaged and not marked");
        assert!(wrong > 0, "{name}, {client} over {transport}: nothing was damaged, so nothing was tested");
        server.stop_well();
    }
}

#[test]
fn h264_that_lost_packets_is_right_or_marked_by_both_clients() {
    no_frame_is_damaged_in_silence("h264.h264", EVERY_WAY);
}

#[test]
fn h265_that_lost_packets_is_right_or_marked_by_both_clients() {
    no_frame_is_damaged_in_silence("h265.h265", EVERY_WAY);
}

#[test]
fn every_session_ends_with_a_teardown() {
    let clip = require!(clip("h264.h264"));
    let mut left_behind = 0;
    for client in CLIENTS {
        for transport in ["tcp", "udp"] {
            let scene = Scene::new();
            let mut rtsp = Camera::start(&[&clip]);
            let relay = Relay::start(rtsp.port(), Udp::Passes);
            let mut watch = Watch::start(&scene, "front");
            // So long that a machine which stands still for a while does not end a session by itself.
            let config = rtsp_camera("front", relay.url(), client, transport) + "frame_timeout_ms = 6000\n";
            let server = Server::start(&scene, &config);
            let _ = watch.frames(3);
            assert_eq!(relay.requests("TEARDOWN"), 0);
            // By the deadline of frames.
            rtsp.command("freeze");
            let told = server.stderr.line_with("trying again in");
            let lost_ns = monotonic_ns();
            rtsp.command("resume");
            assert!(told.contains("/cam over ") && told.contains("no frame for 6 s"), "{told}");
            until("the camera is told the end", || (relay.requests("TEARDOWN") == 1).then_some(()));
            // And by the stop.
            let _ = watch.frames_after(lost_ns, 3);
            let (ended, _) = server.stop();
            assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
            assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
            // A stop waits a second for a camera's thread. One that got no processor for as long takes its farewell with it.
            if ended.stderr.contains("its thread does not end") {
                left_behind += 1;
                continue;
            }
            until("the camera is told the end again", || (relay.requests("TEARDOWN") == 2).then_some(()));
            assert_eq!(relay.requests("PLAY"), 2, "{client} over {transport}");
        }
    }
    assert!(left_behind < 4, "none of four servers had the time to take leave of its camera");
}

#[test]
fn what_is_wrong_with_a_camera_reads_the_same_by_both_clients() {
    let clip = require!(clip("h264.h264"));
    let silent = SilentHost::start();
    let locked = Camera::start_with_password(&clip, "digest", "viewer:right one");
    let wrong_path = Camera::start(&[&clip]);
    let cases = [
        (silent.url(), "", "no answer within 1 s"),
        (CLOSED.to_owned(), "", "Connection refused"),
        ("rtsp://camera.invalid/cam".to_owned(), "", "the host name camera.invalid cannot be resolved: "),
        (wrong_path.url().replace("/cam", "/kamera"), "", "404"),
        (locked.url().to_owned(), "", "refuses without user name and password"),
        (locked.url().to_owned(), "username = \"viewer\"\n", "refuses user \"viewer\" without a password"),
        (
            locked.url().to_owned(),
            "username = \"viewer\"\npassword = \"wrong one\"\n",
            "refuses user \"viewer\" and its password: ",
        ),
    ];
    for client in CLIENTS {
        for (url, keys, words) in &cases {
            let scene = Scene::new();
            // Whoever answers may take any time for it.
            let open_timeout_ms = if *url == silent.url() { 1000 } else { 600_000 };
            let camera = rtsp_camera("front", url, client, "tcp");
            let config = format!("{camera}{keys}open_timeout_ms = {open_timeout_ms}\n");
            let server = Server::start(&scene, &config);
            let told = server.stderr.line_with("trying again in");
            assert!(told.contains(words), "{client}: {words:?} is not in: {told}");
            let (ended, took) = server.stop();
            assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
            assert!(took.as_secs() < STOP_LIMIT_S, "{client} at {url}: SIGTERM took {took:?}");
            assert!(
                !ended.stderr.contains("wrong one") && !ended.stderr.contains("panicked"),
                "{}",
                ended.stderr
            );
        }
    }
}

#[test]
fn a_camera_that_forbids_its_stream_is_not_told_as_a_wrong_password() {
    let clip = require!(clip("h264.h264"));
    let login = "username = \"viewer\"\npassword = \"right one\"\n";
    for client in CLIENTS {
        for (keys, who) in [
            (login, "forbids its stream to user \"viewer\" and its password: "),
            ("", "forbids its stream to whoever asks without user name and password: "),
        ] {
            let scene = Scene::new();
            let mut rtsp = match keys {
                "" => Camera::start(&[&clip]),
                _ => Camera::start_with_password(&clip, "digest", "viewer:right one"),
            };
            rtsp.command("answer 403");
            let server = Server::start(&scene, &(rtsp_camera("front", rtsp.url(), client, "tcp") + keys));
            let told = server.stderr.line_with("trying again in");
            for words in [who, "403", "filter of addresses"] {
                assert!(told.contains(words), "{client}: {words:?} is not in: {told}");
            }
            assert!(!told.contains("refuses") && !told.contains("correct username"), "{client}: {told}");
            // As seldom as after a wrong password: it may be one after all.
            let wait_s = told.rsplit("trying again in ").next().and_then(|rest| rest.split(' ').next());
            let wait_s: Option<f64> = wait_s.and_then(|wait| wait.parse().ok());
            assert!(wait_s.is_some_and(|wait_s| wait_s > 60.0), "{client}: {told}");
            server.stop_well();
        }
    }
}

#[test]
fn status_shows_the_transport_and_the_client_that_auto_has_come_to() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&clip]);
    let status_file = scene.files().join("status.json");
    let camera = rtsp_camera("front", rtsp.url(), "auto", "auto");
    let config = format!("[server]\nstatus_file = {status_file:?}\n{camera}frame_timeout_ms = 10000\n");
    let server = Server::start(&scene, &config);
    for (commands, way) in [
        (&[][..], "udp/ffmpeg"),
        (&["udp refuse", "drop"], "tcp/retina"),
        // Not a packet that comes now does retina take.
        (&["claim ssrc", "drop"], "tcp/ffmpeg"),
    ] {
        for command in commands {
            rtsp.command(command);
        }
        until(&format!("a row that says {way} of a live camera"), || {
            let mut command = vas_e2e::server::command(&scene);
            command.args(["status", "--file"]).arg(&status_file);
            let table = Process::run("vas-ingest", &mut command).stdout;
            let (head, row) = (table.lines().next()?, table.lines().find(|line| line.starts_with("front "))?);
            let via = row.get(head.find("VIA ")?..)?.split_whitespace().next()?;
            (via == way && row.contains(" live ")).then_some(())
        });
    }
    server.stop_well();
}

#[test]
fn a_stop_while_a_camera_is_silent_is_as_short_by_both_clients() {
    for client in CLIENTS {
        let scene = Scene::new();
        let silent = SilentHost::start();
        let cameras = [rtsp_camera("front", &silent.url(), client, "tcp"), camera("other", &silent.url())];
        // A server that waited for one of them would take ten minutes.
        let server =
            Server::start(&scene, &cameras.map(|camera| camera + "open_timeout_ms = 600000\n").concat());
        let _connections = silent.connections(2);
        let (ended, took) = server.stop();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(took.as_secs() < STOP_LIMIT_S, "{client}: SIGTERM took {took:?}");
    }
}

#[test]
fn auto_goes_from_udp_to_tcp_once_and_stays_there() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for (udp, client, words) in [
        (Udp::IsLost, "auto", "no packet within 5 s; from now on over tcp by retina"),
        (Udp::IsLost, "retina", "no packet within 5 s; from now on over tcp by retina"),
        (
            Udp::IsRefused,
            "auto",
            "461 Unsupported Transport); try another transport; from now on over tcp by retina",
        ),
        (
            Udp::IsRefused,
            "retina",
            "461 Unsupported Transport); try another transport; from now on over tcp by retina",
        ),
        (
            Udp::IsRefused,
            "ffmpeg",
            "461 Unsupported Transport); try another transport; from now on over tcp by ffmpeg",
        ),
    ] {
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&clip]);
        let relay = Relay::start(rtsp.port(), udp);
        let mut watch = Watch::start(&scene, "front");
        let config = rtsp_camera("front", relay.url(), client, "auto") + "frame_timeout_ms = 10000\n";
        let server = Server::start(&scene, &config);
        assert_same(&watch.frames(20), &pictures, Plays::RoundAndRound);
        // The next session begins where the last one ended up.
        rtsp.command("drop");
        let _ = server.stderr.line_with("trying again in");
        let lost_ns = monotonic_ns();
        let _ = watch.frames_after(lost_ns, 5);
        until("udp, tcp, and tcp again", || (relay.requests("SETUP") == 3).then_some(()));
        let (ended, _) = server.stop();
        assert_eq!(ended.stderr.matches(words).count(), 1, "{client}, {udp:?}: {}", ended.stderr);
        assert_eq!(relay.requests("SETUP"), 3, "udp, tcp, and tcp again: {}", ended.stderr);
    }
}

#[test]
fn auto_stays_with_udp_where_that_works() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    over_udp(|| {
        let scene = Scene::new();
        let rtsp = Camera::start(&[&clip]);
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), "auto", "auto"));
        same(&watch.frames(50), &pictures, Plays::RoundAndRound)?;
        let live = server.stderr.line_with("live:");
        assert!(live.contains("/cam over udp by ffmpeg, h264 640x480"), "{live}");
        server.stop_well();
        Ok(())
    });
}

/// The times of a frame as the server logs them, by their names.
fn logged(line: &str, name: &str) -> Option<i64> {
    line.split(&format!(" {name}=")).nth(1)?.split(' ').next()?.parse().ok()
}

/// The test camera's RTP timestamps wrap ten seconds after its start: the first jump goes over that.
#[test]
fn stream_time_jumps_and_wraps_and_frames_go_on_with_their_own_times() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        let scene = Scene::new();
        let mut rtsp = Camera::start_with(&[&clip], &["--port", "0", "--rtcp-interval-ms", "200"]);
        let mut watch = Watch::start(&scene, "front");
        let config = scene.file("vas.toml", &rtsp_camera("front", rtsp.url(), client, "tcp"));
        let mut command = vas_e2e::server::command(&scene);
        command.args(["run", "--config"]).arg(config).env("VAS_LOG", "info,vas_ingest::frames=trace");
        let server = Server::start_command(&mut command);
        let mut frames = watch.frames(25);
        for jump in ["jump 20000", "jump -7000"] {
            rtsp.command(jump);
            frames.extend(watch.frames(50));
        }
        // Rising times of their own, no picture missing, none damaged.
        assert_same(&frames, &pictures, Plays::RoundAndRound);
        let (ended, _) = server.stop();
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(" decoded_ns=")).collect();
        let pts: Vec<i64> = lines.iter().filter_map(|line| logged(line, "pts_ns")).collect();
        let steps_ms: Vec<i64> = pts.windows(2).map(|two| (two[1] - two[0]) / 1_000_000).collect();
        // What the camera says is kept as it says it: two jumps, the wrap in the first of them, and else a frame every 40 ms.
        let jumps: Vec<i64> = steps_ms.iter().copied().filter(|step| !(35..=45).contains(step)).collect();
        let [forwards, backwards] = jumps[..] else { panic!("{client}: {jumps:?}") };
        assert!((19_900..=20_200).contains(&forwards), "{client}: {jumps:?}");
        assert!((-7_100..=-6_800).contains(&backwards), "{client}: {jumps:?}");
        for line in &lines {
            let (decoded, received) = (logged(line, "decoded_ns"), logged(line, "received_ns"));
            assert!(received.is_some() && received <= decoded, "{client}: {line}");
        }
        // The camera's clock is this machine's: what it says of a frame is never later than the frame, however its stream time jumps.
        let dates: Vec<(i64, i64)> = lines
            .iter()
            .filter_map(|line| Some((logged(line, "camera_ns")?, logged(line, "decoded_ns")?)))
            .collect();
        // Frames have one from the camera's first report on, which comes late on a busy machine.
        assert!(
            dates.len() > lines.len() / 4,
            "{client}: {} of {} frames have a date",
            dates.len(),
            lines.len()
        );
        if client == "retina" {
            let offsets = dates.iter().map(|(camera_ns, decoded_ns)| camera_ns - decoded_ns);
            let (least, most) = (offsets.clone().min(), offsets.max());
            let spread_ms = most.zip(least).map(|(most, least)| (most - least) / 1_000_000);
            // Seven and twenty seconds would be a date taken over from before a jump; less is how long a frame waited for a processor.
            assert!(spread_ms.is_some_and(|spread_ms| spread_ms < 6500), "{spread_ms:?} ms");
        }
    }
}

#[test]
fn a_camera_without_keyframes_is_joined_in_its_midst_by_both_clients() {
    let folder = Scene::new();
    let clip = require!(intra_refresh(folder.files()));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        let scene = Scene::new();
        // So slow that the clip is far from its end, and from its keyframe, when the second session begins.
        let mut rtsp = Camera::start_with(&[&clip], &["--join", "mid", "--fps", "10"]);
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, "tcp"));
        let _ = watch.frames(40);
        // The next session begins behind the one keyframe.
        rtsp.command("drop");
        let _ = server.stderr.line_with("trying again in");
        let lost_ns = monotonic_ns();
        let frames = watch.frames_after(lost_ns, 60);
        let place = |frame: &Frame| pictures.iter().position(|picture| *picture == frame.md5);
        let silent = frames.iter().filter(|frame| !frame.damaged && place(frame).is_none()).count();
        assert_eq!(silent, 0, "{client}: not what the camera sent, and not marked");
        let right = frames.iter().find(|frame| !frame.damaged).and_then(place);
        assert!(right.is_some_and(|right| right > 40), "{client}: a refresh is enough, found {right:?}");
        server.stop_well();
    }
}

#[test]
fn a_new_sequence_of_packets_in_mid_stream_is_connected_to_anew_at_once() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for (client, words) in [
        ("retina", "wrong ssrc after "),
        ("ffmpeg", "the camera began a new sequence of packets in mid-stream"),
    ] {
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&clip]);
        let mut watch = Watch::start(&scene, "front");
        // By the packets, not by a deadline of frames, which is far off and has another sentence.
        let config = rtsp_camera("front", rtsp.url(), client, "tcp") + "frame_timeout_ms = 60000\n";
        let server = Server::start(&scene, &config);
        let _ = watch.frames(10);
        rtsp.command("ssrc");
        let told = server.stderr.line_with("trying again in");
        let lost_ns = monotonic_ns();
        assert!(told.contains(words), "{client}: {told}");
        assert_same(&watch.frames_after(lost_ns, 20), &pictures, Plays::RoundAndRound);
        server.stop_well();
    }
}

#[test]
fn a_camera_that_says_wrong_things_of_its_packets_is_played() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for (claim, client, plays) in
        [("seq", "retina", "retina"), ("seq", "auto", "retina"), ("ssrc", "auto", "ffmpeg")]
    {
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&clip]);
        rtsp.command(&format!("claim {claim}"));
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, "tcp"));
        assert_same(&watch.frames(20), &pictures, Plays::RoundAndRound);
        let live = server.stderr.line_with("live:");
        assert!(live.contains(&format!(" by {plays}, h264")), "{claim}, {client}: {live}");
        server.stop_well();
    }
}

#[test]
fn a_unit_that_breaks_off_is_told_as_that_and_not_as_the_camera_s_end() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    // Behind a tear, the rest of the unit is a bad packet while another error waits to be told: retina panics at that.
    for (command, words) in
        [("cut", "timestamp changed from "), ("tear", "a packet of the camera's made retina panic")]
    {
        let scene = Scene::new();
        let mut rtsp = Camera::start(&[&clip]);
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), "retina", "tcp"));
        let _ = watch.frames(10);
        rtsp.command(command);
        let told = server.stderr.line_with("trying again in");
        let lost_ns = monotonic_ns();
        assert!(told.contains(words), "{command}: {told}");
        assert_same(&watch.frames_after(lost_ns, 20), &pictures, Plays::RoundAndRound);
        let (ended, _) = server.stop();
        let panics: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("panicked at")).collect();
        assert_eq!(panics.len(), usize::from(command == "tear"), "{command}: {}", ended.stderr);
    }
}

#[test]
fn a_camera_that_ends_nothing_is_left_before_it_fills_the_memory() {
    if !std::fs::read_to_string("/proc/thread-self/io").is_ok_and(|io| io.contains("rchar: ")) {
        return vas_test_support::skipped("this kernel does not count what a thread reads");
    }
    for endless in [Endless::Answer, Endless::Picture] {
        let scene = Scene::new();
        let rtsp = HoardingCamera::start(endless);
        // Its amount ends it, and not a deadline, which is far off and has another sentence.
        let config = rtsp_camera("front", rtsp.url(), "auto", "tcp")
            + "open_timeout_ms = 60000\nframe_timeout_ms = 30000\n";
        let server = Server::start(&scene, &config);
        let told = server.stderr.line_with("trying again in");
        assert!(told.contains("the camera has sent 32 MiB since its last picture"), "{endless:?}: {told}");
        let (ended, _) = server.stop();
        assert!(!ended.stderr.contains(" by ffmpeg"), "no matter of the client: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[test]
fn a_nonce_that_became_stale_is_not_taken_for_a_refusal() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut rtsp = Camera::start_with_password(&clip, "digest", "viewer:right one");
    rtsp.command("nonces on");
    let mut watch = Watch::start(&scene, "front");
    let config =
        rtsp_camera("front", rtsp.url(), "auto", "tcp") + "username = \"viewer\"\npassword = \"right one\"\n";
    let server = Server::start(&scene, &config);
    assert_same(&watch.frames(20), &pictures, Plays::RoundAndRound);
    let (ended, _) = server.stop();
    assert!(ended.stderr.contains("to a password that it had taken before"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("refuses user"), "{}", ended.stderr);
}

#[test]
fn udp_that_has_worked_is_kept_when_a_camera_falls_silent() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&clip]);
    let mut watch = Watch::start(&scene, "front");
    let config = rtsp_camera("front", rtsp.url(), "auto", "auto") + "frame_timeout_ms = 6000\n";
    let server = Server::start(&scene, &config);
    let _ = watch.frames(5);
    rtsp.command("udp mute");
    rtsp.command("drop");
    let _ = server.stderr.line_with("no first frame within 12 s");
    let lost_ns = monotonic_ns();
    rtsp.command("udp on");
    let _ = watch.frames_after(lost_ns, 5);
    let (ended, _) = server.stop();
    assert!(!ended.stderr.contains("over tcp"), "{}", ended.stderr);
}

#[test]
fn h265_without_keyframes_is_joined_in_its_midst_by_retina() {
    let folder = Scene::new();
    let clip = require!(intra_refresh_h265(folder.files()));
    let scene = Scene::new();
    let mut rtsp = Camera::start_with(&[&clip], &["--join", "mid"]);
    let mut watch = Watch::start(&scene, "front");
    // A keyframe is waited for that long, which is less than what is left of the clip.
    let config = rtsp_camera("front", rtsp.url(), "retina", "tcp") + "frame_timeout_ms = 6000\n";
    let server = Server::start(&scene, &config);
    let _ = watch.frames(40);
    // The next session begins behind the one keyframe, and so behind the parameter sets in the stream.
    rtsp.command("drop");
    let _ = server.stderr.line_with("trying again in");
    let lost_ns = monotonic_ns();
    let _ = watch.frames_after(lost_ns, 10);
    let (ended, _) = server.stop();
    assert_eq!(ended.stderr.matches("trying again in").count(), 1, "{}", ended.stderr);
}

#[test]
fn what_retina_logs_is_never_in_the_log() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let mut watch = Watch::start(&scene, "front");
    let config = scene.file("vas.toml", &rtsp_camera("front", rtsp.url(), "retina", "tcp"));
    let mut command = vas_e2e::server::command(&scene);
    command.args(["run", "--config"]).arg(config).env("VAS_LOG", "trace");
    let server = Server::start_command(&mut command);
    let _ = watch.frames(5);
    let (ended, _) = server.stop();
    assert!(ended.stderr.contains(" decoded_ns="), "the finest level is on: {}", ended.stderr);
    // Of its lines at each connection, those that hold what the camera said.
    for words in ["PLAY with channel mappings", "DESCRIBE", "PLAY seq="] {
        assert!(!ended.stderr.contains(words), "{words:?} is in: {}", ended.stderr);
    }
}
