//! Readers come, leave, die and hang; neither the others nor the server notice.

use rustix::process::Signal;
use vas_e2e::clips::{clip, hashes};
use vas_e2e::compare::{Plays, assert_same};
use vas_e2e::reader::{self, Watch};
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, file_camera};

#[test]
fn four_readers_and_a_late_one_get_the_same_pictures() {
    let clip = require!(clip("yard.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut watches: Vec<Watch> = (0..4).map(|_| Watch::start(&scene, "yard")).collect();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let newest = watches[0].frames(40).last().expect("40 frames").frame_id;

    let mut late = Watch::start(&scene, "yard");
    let frames = late.frames(40);
    // It may have been overtaken while it copied the first one that it found.
    let begun = frames[0].frame_id - frames[0].skipped;
    assert!(
        begun + 3 > newest,
        "a late reader begins with what is current, and what was before its time was not skipped"
    );
    assert_same(&frames, &pictures, Plays::RoundAndRound);

    for mut watch in watches {
        // The first 40 frames of the first one were looked at only for their ids.
        assert_same(&watch.frames(60), &pictures, Plays::RoundAndRound);
    }
    server.stop_well();
}

#[test]
fn a_reader_that_is_killed_and_one_that_hangs_disturb_nobody() {
    let clip = require!(clip("yard.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut steady = Watch::start(&scene, "yard");
    let mut killed = Watch::start(&scene, "yard");
    let mut hanging = Watch::start(&scene, "yard");
    let mut server = Server::start(&scene, &file_camera("yard", &clip, true));
    let mut frames = steady.frames(10);
    let _ = killed.frames(5);
    let mut frames_before = hanging.frames(5);

    killed.kill();
    hanging.signal(Signal::STOP);
    // What was decoded before the stop may still stand in the pipe, and says nothing of the time after it.
    let stopped_ns = vas_shm_reader::monotonic_ns();
    while frames.last().is_none_or(|frame| frame.timestamp_ns <= stopped_ns) {
        frames.push(steady.frame());
    }
    frames.extend(steady.frames(60));
    assert_same(&frames, &pictures, Plays::RoundAndRound);
    assert!(server.is_running());

    // Whoever wakes up again has missed frames, knows how many, and goes on.
    hanging.signal(Signal::CONT);
    let woken = hanging.until_frame(|frame| frame.skipped > 10);
    frames_before.clear();
    frames_before.push(woken);
    frames_before.extend(hanging.frames(20));
    assert_same(&frames_before, &pictures, Plays::RoundAndRound);

    // The server is as able to end as ever.
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_reader_of_a_camera_that_is_not_there_says_so_and_ends_with_1() {
    let scene = Scene::new();
    for arguments in [
        &["watch", "front", "--timeout", "0.3"][..],
        &["inspect", "front"],
        &["snapshot", "front", "-o", "never.png", "--timeout", "0.3"],
        &["list"],
    ] {
        let ended = reader::run(&scene, arguments);
        assert_eq!(ended.code(), Some(1), "{arguments:?}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("vas-frames: ") && last.contains("not there"), "{arguments:?}: {last}");
    }
}
