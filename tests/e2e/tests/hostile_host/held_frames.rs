//! A reader that works on a frame while the server that made it dies, stops or needs the room, on a file system without a free byte.
//!
//! A hole of a full tmpfs has no page, not even of zeros: who touches one through a mapping is ended by SIGBUS. So what a reader
//! has open is not given back for ten seconds, however much the room is wanted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};
use vas_e2e::mount::Mount;
use vas_e2e::pattern::SIZES;
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{require, until};
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, Stamp,
};

/// Room for one pair of either size, but not for two.
const ONE_PAIR: &str = "size=400k";
const GRACE: Duration = Duration::from_secs(10);

fn holder(scene: &Scene) -> Process {
    let mut command = Command::new(program("vas-e2e-holder"));
    Process::start("vas-e2e-holder", command.arg(scene.base()).arg("front"))
}

/// Lets it look at the pixels, and waits for what it says.
fn let_look(mut holder: Process) -> Ended {
    holder.say("look");
    holder.wait()
}

fn assert_lives(ended: &Ended) -> &str {
    assert_eq!(ended.status.signal(), None, "the reader was ended by a signal: {:?}", ended.status);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    ended.stdout.lines().last().expect("it said what it found")
}

fn writer(scene: &Scene) -> Process {
    let mut command = Command::new(program("vas-e2e-writer"));
    Process::start("vas-e2e-writer", command.arg(scene.base()).args(["front", "3", "steady"]))
}

fn publish(camera: &mut Camera, size: usize) -> Result<(), NotExported> {
    let (width, height) = SIZES[size];
    let pixels = vec![7; (width * height) as usize];
    let mut slot = camera.slot(PictureFormat::new(width, height, Color::UNSPECIFIED))?;
    let plane = Plane::new(&pixels, width as usize);
    slot.write_nv12(plane, plane).expect("the planes fit");
    slot.publish(Stamp::now());
    Ok(())
}

/// A server with one frame of the first size, and a reader that has it in its hands: from the heartbeat after it opened on, it knows
/// that the frame is current.
fn with_a_frame_in_hand(scene: &Scene) -> (Exporter, Camera, Process) {
    let config = ExporterConfig::new(scene.base()).when(ExportWhen::Always);
    let exporter = Exporter::start(config).expect("start");
    let mut camera = exporter.camera(CameraId::new("front").expect("an id")).expect("a camera");
    let holder = holder(scene);
    until("files", || publish(&mut camera, 0).ok());
    assert_eq!(holder.stdout.line(0).as_deref(), Some("holding"));
    (exporter, camera, holder)
}

// Proves LIFE-12, LIFE-7 and TRUST-2.
#[test]
fn a_reader_that_works_on_a_frame_of_a_killed_server_outlives_its_successor_on_a_full_file_system() {
    let scene = Scene::new();
    let mount = require!(Mount::on(&scene.base(), ONE_PAIR));
    let killed = writer(&scene);
    let holder = holder(&scene);
    assert_eq!(holder.stdout.line(0).as_deref(), Some("holding"));
    killed.kill();
    let meta = scene.base().join("front/frame.meta");
    let inode = fs::metadata(&meta).expect("what a killed server leaves").ino();
    let successor = writer(&scene);
    until("what was left is removed", || {
        fs::metadata(&meta).ok().is_none_or(|new| new.ino() != inode).then_some(())
    });
    let filler = mount.fill();
    let told = let_look(holder);
    println!("{}", assert_lives(&told));
    fs::remove_file(filler).expect("remove the filler");
    until("the successor exports", || meta.exists().then_some(()));
    drop(successor);
}

// Proves LIFE-7, LIFE-5 and TRUST-2.
#[test]
fn a_reader_that_works_on_a_frame_keeps_its_pixels_while_the_room_is_wanted_and_new_files_come_when_it_lets_go()
 {
    let scene = Scene::new();
    let mount = require!(Mount::on(&scene.base(), ONE_PAIR));
    let (exporter, mut camera, holder) = with_a_frame_in_hand(&scene);
    let meta = scene.base().join("front/frame.meta");
    assert!(meta.exists());
    // The other size does not fit beside what is there, so that goes first: its names at once, its pixels not.
    until("the names are gone", || {
        assert_eq!(publish(&mut camera, 1), Err(NotExported::Preparing));
        (!meta.exists()).then_some(())
    });
    let filler = mount.fill();
    let told = let_look(holder);
    assert_eq!(assert_lives(&told), r#"{"is_whole":true,"is_zero":false}"#, "nobody had touched its frame");
    fs::remove_file(filler).expect("remove the filler");
    until("new files", || publish(&mut camera, 1).ok());
    exporter.shutdown();
    assert!(scene.exported_files().is_empty());
}

// Proves LIFE-7 and TRUST-2.
#[test]
fn a_third_pair_waits_for_a_reader_that_works_on_the_first_where_there_is_no_room_beside_it() {
    let scene = Scene::new();
    // Room for two pairs.
    let mount = require!(Mount::on(&scene.base(), "size=800k"));
    let (exporter, mut camera, holder) = with_a_frame_in_hand(&scene);
    until("the second pair", || publish(&mut camera, 1).ok());
    let filler = mount.fill();
    // Three times as long as a pair lives at least before the next one is made.
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(3) {
        assert_eq!(publish(&mut camera, 0), Err(NotExported::Preparing));
    }
    let told = let_look(holder);
    assert_eq!(assert_lives(&told), r#"{"is_whole":true,"is_zero":false}"#);
    fs::remove_file(filler).expect("remove the filler");
    until("the third pair", || publish(&mut camera, 0).ok());
    exporter.shutdown();
}

// Proves LIFE-7 and TRUST-2.
#[test]
fn a_reader_that_works_on_a_frame_finds_zeros_and_lives_where_its_memory_was_wanted_and_there_is_room() {
    let scene = Scene::new();
    // Three pairs: the third takes the first one's place, and what that leaves is room for the zeros.
    let _mount = require!(Mount::on(&scene.base(), "size=1200k"));
    let (exporter, mut camera, holder) = with_a_frame_in_hand(&scene);
    for size in [1, 0] {
        until("the other size", || publish(&mut camera, size).ok());
    }
    let told = let_look(holder);
    assert_eq!(assert_lives(&told), r#"{"is_whole":false,"is_zero":true}"#);
    exporter.shutdown();
}

// Proves LIFE-7 and TRUST-2.
#[test]
fn a_reader_that_never_lets_go_delays_new_files_by_ten_seconds_and_is_told_what_a_hole_of_a_full_file_system_is()
 {
    let scene = Scene::new();
    let mount = require!(Mount::on(&scene.base(), ONE_PAIR));
    let (exporter, mut camera, holder) = with_a_frame_in_hand(&scene);
    let since = Instant::now();
    until("new files beside a reader that holds the old ones", || publish(&mut camera, 1).ok());
    assert!(since.elapsed() >= GRACE, "the pixels were taken after {:?}", since.elapsed());
    // The control for the tests above: they would see a reader that is ended.
    let _filler = mount.fill();
    let told = let_look(holder);
    assert_eq!(
        told.status.signal(),
        Some(7),
        "SIGBUS, as PROTOCOL.md says: {:?} {}",
        told.status,
        told.stdout
    );
    assert!(publish(&mut camera, 1).is_ok(), "which is no matter to the server");
    exporter.shutdown();
}
