//! An idle camera wakes with the first picture after somebody came, and is idle again once nobody is left.

use serde_json::Value;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use vas_e2e::camera::Camera;
use vas_e2e::clips::{clip, hashes};
use vas_e2e::reader::{self, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, file_camera};
use vas_e2e::{require, until};

/// What readers and operators are promised: an idle camera is so again this long after its last reader, at the latest.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// So slow that a reader on a busy machine is not overtaken before it has looked, nor the server by the camera.
const FPS: &str = "4";

/// The header's flags at the moment of this open, whose few microseconds count as a reader's.
fn is_idle(meta: &Path) -> bool {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut header = [0; 64];
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(meta);
    // An open in the middle of the server's own look is turned away: the next one is not.
    opened.is_ok_and(|mut file| file.read_exact(&mut header).is_ok() && header[60] & 1 != 0)
}

// Proves IDLE-3.
#[test]
fn a_reader_that_comes_to_an_idle_camera_gets_the_next_picture_that_is_decoded() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut rtsp = Camera::start_with(&[&clip], &["--port", "0", "--fps", FPS]);
    // The camera is silent while the reader starts.
    let config = camera("front", rtsp.url()) + "frame_timeout_ms = 120000\n";
    let server = Server::start(&scene, &config);
    let meta = scene.base().join("front/frame.meta");
    until("the camera's files", || meta.exists().then_some(()));
    rtsp.until_sent(5);
    let sent = usize::try_from(rtsp.freeze()).expect("a small number");
    // From here on five seconds lie between two pictures: a reader on a busy machine is not overtaken before it has looked.
    rtsp.command("fps 0.2");

    let mut watch = Watch::start(&scene, "front");
    until("the reader has the camera's files open", || watch.has_mapped("/frame.meta").then_some(()));
    rtsp.command("resume");
    let first = watch.frame();
    assert!(first.timestamp_ns > first.found_ns - first.since_start_ns, "decoded before the reader came");
    let place = pictures.iter().position(|picture| *picture == first.md5).expect("a picture of the clip");
    let next = sent % pictures.len();
    let behind = (next + pictures.len() - place) % pictures.len();
    // Some may have been on their way between the camera's socket and the server's decoder when the camera fell silent: as many as a busy
    // machine did not come to.
    assert!(
        (0..=sent.min(pictures.len() / 2)).contains(&behind),
        "picture {place} of the clip came first, and {next} was the next to be sent: one was missed"
    );

    let (ended, _) = server.stop();
    let line = ended.stderr.lines().find(|line| line.contains("ended; in")).expect("the server's last words");
    assert!(!line.contains(" 0 while nobody was looking"), "it was not idle before: {line}");
    assert!(line.contains(" while nobody was looking"), "{line}");
}

// Proves IDLE-2.
#[test]
fn a_camera_whose_last_reader_was_killed_is_idle_again_within_ten_seconds_and_inspect_shows_it() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let meta = scene.base().join("yard/frame.meta");
    // One of this test's looks may fall into the server's own and count as a reader, or the processor not come for a while: one good
    // round proves the promise, and a server that is always late fails each.
    let mut took = Vec::new();
    while took.len() < 3 {
        let mut watch = Watch::start(&scene, "yard");
        // Longer than until the server's first look, so that it is the regular one that finds nobody.
        let _ = watch.frames(20);
        assert!(!is_idle(&meta), "frames come, so it is not idle");
        watch.kill();
        let killed_at = Instant::now();
        until("idle again", || {
            // Each look is an open: few of them, so that hardly one falls into the server's own look.
            std::thread::sleep(Duration::from_millis(500));
            is_idle(&meta).then_some(())
        });
        took.push(killed_at.elapsed());
        if took.last().is_some_and(|took| *took < IDLE_LIMIT) {
            break;
        }
    }
    println!("idle so long after the kill: {took:?}");
    assert!(took.last().is_some_and(|took| *took < IDLE_LIMIT), "idle only so long after the kill: {took:?}");

    // A look, this test's or that of inspect, is an open and may be what wakes the camera: then once more, when it is idle again.
    let report: Value = until("inspect shows an idle camera", || {
        if !is_idle(&meta) {
            std::thread::sleep(Duration::from_millis(500));
            return None;
        }
        let inspected = reader::run(&scene, &["inspect", "yard", "--json"]);
        let report: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
        let is_flagged = |field: &Value| field["name"] == "flags" && field["raw"] == 1;
        report["fields"].as_array()?.iter().any(is_flagged).then_some(report)
    });
    // Nobody is handed a picture of before as the current one.
    for slot in report["slots"].as_array().expect("slots") {
        let id = &slot["fields"].as_array().expect("fields")[0];
        assert_eq!((&id["name"], &id["raw"]), (&Value::from("slot[i].frame_id"), &Value::from(0)), "{slot}");
    }

    // And the next reader wakes it.
    let mut watch = Watch::start(&scene, "yard");
    let _ = watch.frames(5);
    assert!(!is_idle(&meta));
    server.stop_well();
}
