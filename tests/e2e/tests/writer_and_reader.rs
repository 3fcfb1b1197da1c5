//! Writer and reader as separate processes, without cameras and without FFmpeg.

use serde::Deserialize;
use std::hash::{BuildHasher as _, RandomState};
use std::process::Command;
use std::time::Duration;
use vas_e2e::pattern;
use vas_e2e::process::{Ended, Process};
use vas_e2e::scene::Scene;
use vas_e2e::until;
use vas_shm_reader::{CameraId, Found, Opened, Options, open};

/// What the reader tells at its end.
#[derive(Debug, Deserialize)]
struct Told {
    accepted: u64,
    /// Handed out as whole, and was not.
    accepted_torn: u64,
    refused: u64,
    /// Not handed out, and was a mixture.
    refused_torn: u64,
    /// Known to be overwritten before they were copied; none of them may be accepted.
    overwritten: u64,
    generations: u64,
    ids_fell: u64,
}

fn writer(scene: &Scene, slots: u32, mode: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-e2e-writer"));
    command.arg(scene.base()).args(["front", &slots.to_string(), mode]);
    Process::start("vas-e2e-writer", &mut command)
}

/// Reads until there are enough of everything; the reader gives up before the test does.
fn read(scene: &Scene, pictures: u64, torn: u64, generations: u64) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-e2e-reader"));
    command.arg(scene.base()).arg("front");
    command.args([pictures, torn, generations, 45].map(|number| number.to_string()));
    let Ended { status, stdout, stderr } = Process::run("vas-e2e-reader", &mut command);
    assert!(status.success(), "{stderr}");
    let told: Told = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(told.accepted_torn, 0, "a torn picture was handed out as whole: {told:?}");
    assert_eq!(told.ids_fell, 0, "{told:?}");
    assert!(told.accepted >= pictures, "too few pictures for a verdict: {told:?}");
    assert!(told.generations >= generations, "too few generations for a verdict: {told:?}");
    assert!(told.refused_torn >= torn, "the test is blind: no torn picture was ever seen: {told:?}");
    told
}

fn stop(mut writer: Process, scene: &Scene) {
    writer.close();
    let ended = writer.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(scene.exported_files().is_empty(), "left behind: {:?}", scene.exported_files());
}

// Proves READ-4, READ-6, PIC-4, HEAD-5 and SYNC-1 to SYNC-3 as far as one machine can.
#[test]
fn no_torn_picture_is_accepted_from_three_slots_and_a_reader_that_does_not_check_gets_some() {
    let scene = Scene::new();
    let writer = writer(&scene, 3, "steady");
    let told = read(&scene, 3000, 3, 1);
    println!("{told:?}");
    assert!(told.overwritten >= 100, "the test is blind: nothing was overwritten: {told:?}");
    stop(writer, &scene);
}

// Proves READ-6 and HOLD-2.
#[test]
fn no_torn_picture_is_accepted_from_two_slots_and_a_reader_that_does_not_check_gets_some() {
    let scene = Scene::new();
    let writer = writer(&scene, 2, "steady");
    let told = read(&scene, 3000, 3, 1);
    println!("{told:?}");
    assert!(told.overwritten >= 100, "the test is blind: nothing was overwritten: {told:?}");
    stop(writer, &scene);
}

// Proves LIFE-5, LIFE-6 and OPEN-10.
#[test]
fn a_reader_follows_a_camera_whose_size_changes_all_the_time() {
    let scene = Scene::new();
    let writer = writer(&scene, 3, "sizes");
    let told = read(&scene, 1000, 0, 5);
    assert!(told.accepted + told.refused > 0);
    stop(writer, &scene);
}

// Proves LIFE-4, OPEN-2 and HEAD-10.
#[test]
fn a_reader_follows_a_camera_that_is_stopped_and_started_all_the_time() {
    let scene = Scene::new();
    let writer = writer(&scene, 3, "restarts");
    let _ = read(&scene, 1000, 0, 10);
    stop(writer, &scene);
}

// Proves PUB-1 to PUB-6 and HEAD-9.
#[test]
fn the_newest_picture_is_whole_after_the_server_was_killed_at_any_moment() {
    const ROUNDS: u64 = 10;
    let scene = Scene::new();
    let front = CameraId::new("front").expect("an id");
    let random = RandomState::new();
    let mut before: Option<(u64, u64)> = None;
    for round in 0..ROUNDS {
        let writer = writer(&scene, 2 + (round % 2) as u32, "steady");
        // From its first published picture on, and only from this writer.
        let reader = until("pictures of the new server", || {
            let Opened::Ready(reader) = open(&scene.base(), &front, &Options::new()) else { return None };
            let is_new = before.is_none_or(|(generation, _)| reader.header().generation() > generation);
            (is_new && matches!(reader.latest(None), Found::Frame(_))).then_some(reader)
        });
        // Not a wait for a state: the moment of death is meant to be any.
        std::thread::sleep(Duration::from_micros(random.hash_one(round) % 20_000));
        writer.kill();

        let frame = reader.last_picture().expect("the newest picture stands there");
        let (id, generation) = (frame.id().get(), frame.generation());
        assert_eq!(id, reader.observe().frame_id, "the newest one is the one that was published last");
        let packed = frame.to_packed().expect("nobody overwrites it any more");
        assert!(pattern::mark(&packed).is_some(), "round {round}: frame {id} is torn");
        if let Some((generation_before, id_before)) = before {
            assert!(generation > generation_before && id > id_before, "ids go on rising");
        }
        before = Some((generation, id));
    }
    // A server that ends well clears up after those that could not.
    let writer = writer(&scene, 3, "steady");
    let _ = read(&scene, 1, 0, 1);
    stop(writer, &scene);
}
