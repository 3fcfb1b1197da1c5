//! Cameras and servers come and go; readers find their way by themselves.

use rustix::process::Signal;
use std::path::PathBuf;
use std::time::Duration;
use vas_e2e::camera::{Camera, SilentHost};
use vas_e2e::clips::{clip, hashes};
use vas_e2e::compare::{Plays, assert_same};
use vas_e2e::reader::{self, Line, Watch};
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, file_camera};
use vas_e2e::until;

/// Less than any of the ten seconds that a server which waited for a camera or a reader would take, and more than a busy machine adds to
/// the two that are promised (`vas-ingest/src/server.rs` holds that sum).
const STOP_LIMIT: Duration = Duration::from_secs(8);

#[test]
fn a_camera_that_loses_power_is_stalled_and_comes_back_by_itself() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let port = rtsp.port();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let mut before = watch.frames(30);

    rtsp.kill();
    before.extend(watch.frames_until_state("stalled"));
    // Killed in the midst of a picture that the server was late to take, the camera leaves half of it.
    while before.last().is_some_and(|frame| frame.damaged) {
        before.pop();
    }
    assert_same(&before, &pictures, Plays::RoundAndRound);

    let _rtsp = Camera::start_again(&[&clip], port);
    let after = watch.frames(30);
    assert_same(&after, &pictures, Plays::RoundAndRound);
    let last = before.last().expect("frames");
    assert!(after[0].frame_id > last.frame_id, "ids go on rising");
    assert_eq!(after[0].generation, last.generation, "the files stayed where they were");
    server.stop_well();
}

#[test]
fn a_camera_that_freezes_is_stalled_for_its_readers_while_its_connection_stands() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&clip]);
    let mut watch = Watch::start(&scene, "front");
    let front = camera("front", rtsp.url());
    let config = format!("[server]\nstatus_file = \"status.json\"\n{front}frame_timeout_ms = 120000\n");
    let server = Server::start(&scene, &config);
    let _ = watch.frames(30);

    // RTSP and RTCP stay alive, and the connection is given up after two minutes only.
    let _ = rtsp.freeze();
    let _ = watch.frames_until_state("stalled");
    let told = server.stderr.line_with("connected, but no frame for");
    assert!(told.contains("WARN camera{id=front}: ") && told.ends_with("s: stalled"), "{told}");
    // A server that has no processor may not have come to write it yet.
    let status = || std::fs::read_to_string(scene.files().join("status.json")).unwrap_or_default();
    until("the status says so", || {
        status().contains("\"reason\": \"connected, but no frame for ").then_some(())
    });
    rtsp.command("resume");
    let _ = watch.frames(30);
    let _ = server.stderr.line_with("frames come again, after ");
    let counters = until("the stall is counted", || {
        let status: serde_json::Value = serde_json::from_str(&status()).ok()?;
        let counters = &status["cameras"][0]["counters"];
        // More than one where the machine stood still too.
        (counters["stalls"].as_u64() > Some(0)).then(|| counters.clone())
    });
    assert_eq!(counters["reconnects"], 0, "{counters}");
    let (ended, _) = server.stop();
    // A server's last words are lost where it gets no processor for longer than its end may take.
    if let Some(total) = ended.stderr.lines().find(|line| line.contains("ended; ")) {
        assert!(total.contains(" 0 reconnects, ") && !total.contains(" 0 stalls"), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("trying again in"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("live: ").count(), 1, "it was connected once: {}", ended.stderr);
}

#[test]
fn a_camera_that_changes_its_codec_is_connected_again_and_that_is_told() {
    let clips = [require!(clip("h264.h264")), require!(clip("h265.h265"))];
    let scene = Scene::new();
    let mut rtsp = Camera::start(&clips.each_ref().map(PathBuf::as_path));
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let _ = watch.frames(30);
    let first = server.stderr.line_with("live: ");
    let seen = server.stderr.lines_so_far();
    rtsp.command("clip 1");
    let mut lines = server.stderr.line_with_from(seen, "trying again in");
    let _ = watch.frames(30);
    lines.push_str(&server.stderr.line_with_from(seen, "live: "));
    assert!(first.contains(", h264 ") && lines.contains(", hevc "), "{first} {lines}");
    server.stop_well();
}

#[test]
fn a_server_that_gets_sigterm_removes_its_files_and_readers_follow_the_next_one() {
    a_server_that_is_asked_to_stop_removes_its_files_and_readers_follow_the_next_one(Signal::TERM);
}

#[test]
fn a_server_that_gets_sigint_removes_its_files_and_readers_follow_the_next_one() {
    a_server_that_is_asked_to_stop_removes_its_files_and_readers_follow_the_next_one(Signal::INT);
}

fn a_server_that_is_asked_to_stop_removes_its_files_and_readers_follow_the_next_one(signal: Signal) {
    let clip = require!(clip("yard.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let config = file_camera("yard", &clip, true);
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &config);
    let mut before = watch.frames(20);

    let (ended, took) = server.stop_by(signal);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(took <= STOP_LIMIT, "{signal:?} took {took:?}");
    assert!(scene.exported_files().is_empty(), "left behind: {:?}", scene.exported_files());
    // The files may be gone between two looks of the reader: then it waits, without having been told "stopped".
    before.extend(watch.frames_until_any_state(&["stopped", "waiting"]));
    assert_same(&before, &pictures, Plays::RoundAndRound);

    let server = Server::start(&scene, &config);
    let after = watch.frames(30);
    assert_same(&after, &pictures, Plays::RoundAndRound);
    let last = before.last().expect("frames");
    assert!(after[0].frame_id > last.frame_id, "ids go on rising");
    assert!(after[0].generation > last.generation, "other files");
    server.stop_well();
}

#[test]
fn after_kill_9_of_the_server_a_running_watch_goes_on_with_the_next_one() {
    let clip = require!(clip("yard.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let config = file_camera("yard", &clip, true);
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &config);
    let mut frames = watch.frames(20);
    let first_generation = frames[0].generation;

    // At once started again: readers look at the name and find other files.
    server.kill();
    let server = Server::start(&scene, &config);
    let next = loop {
        let frame = watch.frame();
        if frame.generation != first_generation {
            break frame;
        }
        frames.push(frame);
    };
    assert_same(&frames, &pictures, Plays::RoundAndRound);
    assert!(next.frame_id > frames.last().expect("frames").frame_id, "ids go on rising");
    assert!(next.generation > first_generation);
    let mut frames = vec![next];
    frames.extend(watch.frames(20));

    // Not started again for a while: readers see the heartbeat stand still.
    server.kill();
    frames.extend(watch.frames_until_state("server_gone"));
    assert_same(&frames, &pictures, Plays::RoundAndRound);
    let server = Server::start(&scene, &config);
    let after = watch.frames(20);
    assert_same(&after, &pictures, Plays::RoundAndRound);
    assert!(after[0].frame_id > frames.last().expect("frames").frame_id, "ids go on rising");
    server.stop_well();
    assert!(scene.exported_files().is_empty(), "left behind: {:?}", scene.exported_files());
}

#[test]
fn a_dead_camera_does_not_disturb_the_one_beside_it() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let silent = SilentHost::start();
    // A port where nobody listens, and that no system hands out: of a free one another test may make its camera's.
    let closed = "rtsp://127.0.0.1:1/cam";
    // A server that waited for the silent one would wait ten minutes.
    let silent = camera("silent", &silent.url()) + "open_timeout_ms = 600000\n";
    let config = [camera("front", rtsp.url()), silent, camera("closed", closed)].concat();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &config);
    assert_same(&watch.frames(75), &pictures, Plays::RoundAndRound);

    // A look at a server that has no processor just then cannot prove that it is alive.
    until("front is listed as live", || {
        let listed = reader::run(&scene, &["list", "--json"]);
        assert_eq!(listed.code(), Some(0), "{}", listed.stderr);
        let rows: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
        let live: Vec<&str> = rows
            .as_array()
            .into_iter()
            .flatten()
            .filter(|row| row["state"] == "live")
            .filter_map(|row| row["camera"].as_str())
            .collect();
        assert!(live.iter().all(|id| *id == "front"), "{}", listed.stdout);
        (live == ["front"]).then_some(())
    });

    // Not even one that is stuck in a connection keeps the server from its end.
    let (ended, took) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(took <= STOP_LIMIT, "SIGTERM took {took:?}");
}

#[test]
fn a_size_that_changes_in_mid_stream_reaches_the_reader_by_itself() {
    let (small, wide) = (require!(clip("h264.h264")), require!(clip("bikes.h264")));
    let (small_pictures, wide_pictures) = (require!(hashes(&small)), require!(hashes(&wide)));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&small, &wide]);
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let mut before = watch.frames(30);
    assert_eq!((before[0].width, before[0].height), (640, 480));

    rtsp.command("clip 1");
    let mut states = Vec::new();
    let next = loop {
        match watch.next_line().expect("the watch goes on") {
            Line::Frame(frame) if frame.width == 640 && frame.height == 480 => before.push(frame),
            Line::Frame(frame) => break frame,
            Line::State(state) => states.push(state),
        }
    };
    // The names lead to the new files a moment before the old ones say "replaced" (LIFE-5): a reader that looks at the name in between
    // goes on with the next pair without having been told. That it is told is proved with the reader's own tests.
    println!("told meanwhile: {states:?}");
    assert_same(&before, &small_pictures, Plays::RoundAndRound);
    assert_eq!((next.width, next.height), (640, 272));
    let last = before.last().expect("frames");
    assert!(next.frame_id > last.frame_id && next.generation > last.generation);
    let mut after = vec![next];
    after.extend(watch.frames(30));
    assert_same(&after, &wide_pictures, Plays::RoundAndRound);
    server.stop_well();
}
