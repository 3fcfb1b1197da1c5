//! The writer that the README of the conformance files prints is a writer, and tears frames before a reader's eyes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vas_e2e::process::Process;
use vas_e2e::scene::Scene;
use vas_e2e::{Lacking, require, until};
use vas_interop::harness;
use vas_shm_reader::{CameraId, Found, Opened, Options};

/// Long enough for a machine that is busy with other tests; the writer itself ends after a minute.
const DEADLINE: Duration = Duration::from_secs(45);
const OPTIONS: [&str; 6] = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The listing, compiled as it stands there.
fn writer(workshop: &Path) -> Result<PathBuf, Lacking> {
    if !Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Err("there is no C compiler".into());
    }
    let readme = fs::read_to_string(harness::directory().join("README.md")).expect("read the README");
    let listing = readme.split_once("```c\n").and_then(|(_, rest)| rest.split_once("```"));
    let (listing, _) = listing.expect("the README has a listing in C");
    let (source, program) = (workshop.join("flat_out.c"), workshop.join("flat_out"));
    fs::write(&source, listing).expect("write the listing");
    let output = Command::new("cc").args(OPTIONS).arg(source).arg("-o").arg(&program).output();
    let said = String::from_utf8_lossy(&output.as_ref().expect("start cc").stderr).into_owned();
    assert!(output.is_ok_and(|output| output.status.success()) && said.is_empty(), "{said}");
    Ok(program)
}

// Proves READ-6.
#[test]
fn the_writer_of_the_readme_shows_torn_frames_to_a_reader_that_accepts_none() {
    const ACCEPTED: u64 = 300;
    const REJECTED_TORN: u64 = 3;
    let workshop = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for what is compiled");
    let mut command = Command::new(require!(writer(workshop.path())));
    let scene = Scene::new();
    let directory = scene.base().join("front");
    fs::create_dir_all(&directory).expect("make the camera's directory");
    let mut writer = Process::start("flat_out", command.arg(&directory));

    let camera = CameraId::new("front").expect("a camera id");
    let reader = until("the writer's files are open", || {
        assert!(writer.is_running(), "the writer has ended");
        match vas_shm_reader::open(&scene.base(), &camera, &Options::new()) {
            Opened::Ready(reader) => Some(reader),
            Opened::NotYet(_) => None,
            Opened::Refused(why) => panic!("{why}"),
        }
    });
    let mut packed = vec![0; reader.header().picture().packed_size() as usize];
    // READ-6 yes or no, by torn or not.
    let mut counted = [[0_u64; 2]; 2];
    let mut seen = None;
    let deadline = Instant::now() + DEADLINE;
    while counted[1][0] < ACCEPTED || counted[0][1] < REJECTED_TORN {
        if Instant::now() > deadline {
            break;
        }
        let Found::Frame(frame) = reader.latest(seen) else { continue };
        seen = Some(frame.id());
        let is_intact = frame.with(|nv12| nv12.copy_packed_to(&mut packed)).is_ok();
        let byte = (31 * (frame.id().get() % 7)) as u8;
        let is_torn = packed != vec![byte; packed.len()];
        counted[usize::from(is_intact)][usize::from(is_torn)] += 1;
    }
    writer.kill();
    let [[_, rejected_torn], [accepted, accepted_torn]] = counted;
    println!("{accepted} accepted, {accepted_torn} of them torn; {rejected_torn} torn ones rejected");
    assert_eq!(accepted_torn, 0, "a torn frame was taken for whole: {counted:?}");
    assert!(accepted >= ACCEPTED, "too few frames for a verdict: {counted:?}");
    assert!(rejected_torn >= REJECTED_TORN, "the test is blind: no torn frame was ever seen: {counted:?}");
}
