//! The reader in C, written from PROTOCOL.md alone: every compiler, every conformance file, a live writer, a server that dies. What
//! stands on it is in c_stream.rs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{require, until};
use vas_interop::compiler::{C11, CXX20, Compiler, GCC, SANITIZED, Workshop, repository};
use vas_interop::harness;

/// The reader gives up before the test does.
const READER_SECONDS: u64 = 150;
/// Whoever gets no bits of a mode but the last three.
const NOBODY: u32 = 65534;

fn workshop() -> Workshop {
    Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A server that publishes marked pictures flat out.
fn writer(scene: &Scene, slots: u32, mode: &str) -> Process {
    let mut command = Command::new(program("vas-e2e-writer"));
    command.arg(scene.base()).args(["front", &slots.to_string(), mode]);
    Process::start("vas-e2e-writer", &mut command)
}

fn stop(mut writer: Process) {
    writer.close();
    let ended = writer.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// Every program that includes the reader, and two translation units in one program.
fn compiles_without_a_warning(compiler: Compiler) {
    let workshop = workshop();
    let to = workshop.path().join("program");
    let sources = ["tests/interop/c", "bindings/c/examples", "bench/waiting/c"].map(|folder| {
        let entries =
            fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("list {folder}: {error}"));
        entries.map(|entry| entry.expect("an entry").path())
    });
    let (units, alone): (Vec<PathBuf>, Vec<PathBuf>) = sources
        .into_iter()
        .flatten()
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .partition(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("units_")));
    assert!(units.len() == 2 && alone.len() >= 6, "{units:?} {alone:?}");
    for source in alone {
        compiler.build(&[source], &[], &to);
    }

    compiler.build(&units, &[], &to);
    let output = Command::new(&to).args(["/nowhere", "front"]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "1 open /nowhere/front/frame.meta: not there yet: no such file or directory\n");
}

#[test]
fn gcc_takes_the_reader_as_c11_gnu11_and_c17() {
    for options in [C11, &["-std=gnu11"], &["-std=c17"]] {
        compiles_without_a_warning(require!(Compiler { program: "gcc", options }.is_there()));
    }
}

#[test]
fn clang_takes_the_reader_as_c11_gnu11_and_c17() {
    for options in [C11, &["-std=gnu11"], &["-std=c17"]] {
        compiles_without_a_warning(require!(Compiler { program: "clang", options }.is_there()));
    }
}

#[test]
fn a_cxx_compiler_takes_the_reader_as_cxx20() {
    compiles_without_a_warning(require!(Compiler { program: "g++", options: CXX20 }.is_there()));
}

#[test]
fn clang_takes_the_reader_as_cxx20() {
    compiles_without_a_warning(require!(Compiler { program: "clang++", options: CXX20 }.is_there()));
}

#[test]
fn included_too_late_for_its_feature_macro_the_reader_says_which_one_it_needs() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let (source, to) = (workshop.path().join("late.c"), workshop.path().join("late"));
    let text = "#include <stdio.h>\n#include \"vas_shm.h\"\nint main(void) { return 0; }\n";
    fs::write(&source, text).expect("write");
    let refused = compiler.run(std::slice::from_ref(&source), &[], &to);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("vas_shm.h needs POSIX.1-2008: include it before any header"), "{said}");
    for macro_of_its_own in ["-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-D_GNU_SOURCE"] {
        let output = compiler.run(std::slice::from_ref(&source), &[macro_of_its_own], &to);
        assert!(output.status.success(), "{macro_of_its_own}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Every conformance file, shown to the probe.
fn conforms(compiler: Compiler) {
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let probe = workshop.build_own(compiler, "probe");
    let report = harness::run_all(&[OsString::from(probe)]);
    assert!(report.failed.is_empty(), "{}", report.text());
    let (passed, skipped) = (report.passed.len(), report.skipped.len());
    println!("{} {:?}: {passed} vectors passed, {skipped} skipped", compiler.program, compiler.options);
    if skipped > 0 {
        vas_e2e::skip(&format!("some conformance files: {}", report.text()));
    }
    assert!(passed > 0, "no vector was shown");
}

#[test]
fn c_reads_every_conformance_file_as_it_says() {
    conforms(GCC);
}

#[test]
fn c_reads_every_conformance_file_under_the_eyes_of_sanitizers() {
    conforms(SANITIZED);
}

#[test]
fn cxx_reads_every_conformance_file_as_it_says() {
    conforms(Compiler { program: "g++", options: CXX20 });
}

/// steps.c: atomic loads and fences by a script.
fn takes_its_steps(compiler: Compiler) {
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let ended = Process::run("steps", &mut Command::new(workshop.build_own(compiler, "steps")));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ok", ""));
}

// Proves READ-1 to READ-9 and READ-12; clause by clause beside the steps, in steps.c.
#[test]
fn c_loads_and_fences_in_the_order_of_its_steps_and_gives_up_after_as_many_attempts_as_slots() {
    takes_its_steps(SANITIZED);
}

// Proves READ-1 to READ-9 and READ-12 for the other language's atomics.
#[test]
fn cxx_loads_and_fences_in_the_order_of_its_steps_and_gives_up_after_as_many_attempts_as_slots() {
    takes_its_steps(Compiler { program: "g++", options: CXX20 });
}

/// What live.c counted.
fn live(compiler: Compiler, slots: u32) {
    const PICTURES: u64 = 3000;
    const TORN: u64 = 3;
    const OVERWRITTEN: u64 = 100;
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let mut command = Command::new(workshop.build_own(compiler, "live"));
    let scene = Scene::new();
    let writer = writer(&scene, slots, "steady");
    command.arg(scene.base()).arg("front");
    command.args([PICTURES, TORN, READER_SECONDS].map(|number| number.to_string()));
    let Ended { status, stdout, stderr } = Process::run("live", &mut command);
    assert!(status.success(), "{stderr}");
    println!("{} {:?}, {slots} slots: {stdout}", compiler.program, compiler.options);
    let told: BTreeMap<&str, u64> = stdout
        .split_whitespace()
        .map(|word| {
            let (name, number) = word.split_once('=').expect("name=number");
            (name, number.parse().expect("a number"))
        })
        .collect();
    assert_eq!(told["accepted_torn"], 0, "a torn picture was taken for whole: {told:?}");
    assert!(told["accepted"] >= PICTURES, "too few pictures for a verdict: {told:?}");
    assert!(told["refused_torn"] >= TORN, "the test is blind: no torn picture was ever seen: {told:?}");
    // Of these, known to be overwritten before they were copied, not one was accepted: it would count as torn.
    assert!(told["overwritten"] >= OVERWRITTEN, "the test is blind: nothing was overwritten: {told:?}");
    stop(writer);
}

// Proves READ-4, READ-6, PIC-4, HEAD-5, HOLD-2 and SYNC-1 as far as one machine can: what was overwritten is never accepted, by
// none of the three ways to a frame; times, planes and padding are those of the picture. What a live writer cannot show, the order
// of loads and fences and the bound on attempts, steps.c does.
#[test]
fn c_accepts_no_torn_picture_from_two_slots_and_without_the_check_it_would() {
    live(GCC, 2);
}

// Proves READ-4, READ-6, PIC-4, HEAD-5 and SYNC-1, as above.
#[test]
fn c_accepts_no_torn_picture_from_three_slots_and_without_the_check_it_would() {
    live(GCC, 3);
}

#[test]
fn clang_accepts_no_torn_picture_from_two_slots_and_without_the_check_it_would() {
    live(Compiler { program: "clang", options: C11 }, 2);
}

#[test]
fn cxx_accepts_no_torn_picture_from_three_slots_and_without_the_check_it_would() {
    live(Compiler { program: "g++", options: CXX20 }, 3);
}

// The clauses stand beside the steps, in liveness.c.
#[test]
fn c_says_of_a_server_what_the_words_say_step_by_step() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let files = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(workshop.build_own(compiler, "liveness"));
    let ended = Process::run("liveness", command.arg(files.path()));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ok", ""));
}

/// The next line after the first `seen` that begins with `words`, and the number at its end.
fn next_with(follower: &Process, seen: &mut usize, words: &str) -> u64 {
    loop {
        let line = follower.stdout.line(*seen);
        let line = line.unwrap_or_else(|| panic!("ended without {words:?}: {}", follower.stderr.so_far()));
        *seen += 1;
        if line.starts_with(words) {
            let number = line.rsplit(' ').next().and_then(|word| word.parse().ok());
            return number.unwrap_or_else(|| panic!("no number at the end of {line:?}"));
        }
    }
}

// Proves LIVE-1, LIVE-2, LIVE-3, LIVE-5, LIVE-6, LIFE-6, OPEN-2, OPEN-19 and HEAD-10.
#[test]
fn c_notices_a_server_that_is_suspended_killed_stopped_and_started_again() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let mut command = Command::new(workshop.build_own(compiler, "follow"));
    command.arg(scene.base()).arg("front");
    let mut follower = Process::start("follow", &mut command);
    let mut seen = 0;
    next_with(&follower, &mut seen, "waiting missing");

    let first = writer(&scene, 3, "steady");
    let generation = next_with(&follower, &mut seen, "opened generation");
    next_with(&follower, &mut seen, "status live");
    let frame = next_with(&follower, &mut seen, "current frame");

    // Gone is an observation, not a verdict.
    first.signal(Signal::STOP);
    let silence_ms = next_with(&follower, &mut seen, "status server gone");
    assert!(silence_ms >= 2999, "the server was taken for gone after {silence_ms} ms of silence");
    first.signal(Signal::CONT);
    next_with(&follower, &mut seen, "status live");

    first.kill();
    let silence_ms = next_with(&follower, &mut seen, "status server gone");
    assert!(silence_ms >= 2999, "the server was taken for gone after {silence_ms} ms of silence");

    let second = writer(&scene, 3, "steady");
    next_with(&follower, &mut seen, "left");
    let successor = next_with(&follower, &mut seen, "opened generation");
    let later = next_with(&follower, &mut seen, "current frame");
    assert!(successor > generation, "generation {successor} after {generation}");
    assert!(later > frame, "frame {later} after {frame}");

    stop(second);
    // Whether it sees the word or the missing name first is chance.
    next_with(&follower, &mut seen, "left");
    next_with(&follower, &mut seen, "waiting missing");
    follower.close();
    let ended = follower.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

// Proves LIVE-1: what a dead server left is opened, and none of it is shown as current.
#[test]
fn c_shows_nothing_of_a_server_that_was_dead_before_the_files_were_opened() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let dead = writer(&scene, 3, "steady");
    until("files", || scene.base().join("front/frame.meta").exists().then_some(()));
    dead.kill();

    let mut command = Command::new(workshop.build_own(compiler, "follow"));
    command.arg(scene.base()).arg("front");
    let mut follower = Process::start("follow", &mut command);
    let mut seen = 0;
    next_with(&follower, &mut seen, "opened generation");
    next_with(&follower, &mut seen, "status server gone");
    let said = follower.stdout.so_far();
    assert!(!said.contains("current") && !said.contains("live"), "{said}");
    follower.close();
    let ended = follower.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

// Proves LIFE-5 and OPEN-10 from the reader's side: pairs are exchanged all the time, and each is opened.
#[test]
fn c_follows_a_camera_whose_size_changes_all_the_time() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let writer = writer(&scene, 3, "sizes");
    let mut command = Command::new(workshop.build_own(compiler, "follow"));
    command.arg(scene.base()).arg("front");
    let mut follower = Process::start("follow", &mut command);
    let (mut seen, mut before) = (0, 0);
    for _ in 0..4 {
        let generation = next_with(&follower, &mut seen, "opened generation");
        assert!(generation > before, "generation {generation} after {before}");
        before = generation;
        next_with(&follower, &mut seen, "left");
    }
    stop(writer);
    follower.close();
    let ended = follower.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// `units_main BASE front [UID]`: the answer's number and the sentence, or the newest frame.
fn units(workshop: &Workshop) -> PathBuf {
    let sources = ["units_main", "units_other"].map(|name| repository(&format!("tests/interop/c/{name}.c")));
    SANITIZED.build(&sources, &[], &workshop.path().join("units"))
}

// Proves TRUST-3.
#[test]
fn c_refuses_files_of_another_owner_than_the_one_it_insists_on() {
    let _ = require!(SANITIZED.is_there());
    let workshop = workshop();
    let program = units(&workshop);
    let scene = Scene::new();
    let writer = writer(&scene, 3, "steady");
    until("files", || scene.base().join("front/frame.meta").exists().then_some(()));
    let own = rustix::process::geteuid().as_raw();
    let run = |uid: u32| {
        let mut command = Command::new(&program);
        Process::run("units", command.arg(scene.base()).args(["front", &uid.to_string()])).stdout
    };
    assert!(run(own).starts_with("0 "), "{}", run(own));
    let meta = scene.base().join("front/frame.meta");
    let expected =
        format!("2 open {}: its owner is uid {own}, this reader insists on uid 4711", meta.display());
    assert_eq!(run(4711), expected);
    stop(writer);
}

// Proves OPEN-4: whose file it is, or the directory above it that lets nobody through.
#[test]
fn c_says_owner_group_and_mode_of_what_it_may_not_open() {
    let _ = require!(SANITIZED.is_there());
    // Built where others can reach it, and not copied there: what this process has open for writing, a child that another test is just
    // starting has too, and nobody can start it meanwhile.
    let workshop = Workshop::new(&std::env::temp_dir());
    let program = units(&workshop);
    let scene = Scene::new();
    let camera = scene.base().join("front");
    let meta = camera.join("frame.meta");
    fs::create_dir_all(&camera).expect("folders");
    fs::write(&meta, [0; 768]).expect("write");
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    // Root passes by every mode: there the reader is somebody else, who has to reach program and files.
    let is_root = rustix::process::geteuid().is_root();
    chmod(workshop.path(), 0o755);
    chmod(scene.base().parent().expect("the scene's own folder"), 0o755);
    let run = || {
        let mut command = Command::new(&program);
        command.arg(scene.base()).arg("front");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().expect("run");
        String::from_utf8(output.stdout).expect("text")
    };
    let denied = |path: &Path, mode: &str| {
        let (own, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        format!(
            "2 open {}: permission denied (EACCES): {} has owner {own}, group {group} and mode {mode}; this process is user ",
            meta.display(),
            path.display()
        )
    };

    chmod(&meta, 0o000);
    chmod(&camera, 0o755);
    chmod(&scene.base(), 0o755);
    let said = run();
    assert!(said.starts_with(&denied(&meta, "0000")), "{said}");

    chmod(&camera, 0o000);
    let said = run();
    assert!(said.starts_with(&denied(&camera, "0000")), "{said}");

    chmod(&scene.base(), 0o000);
    let said = run();
    assert!(said.starts_with(&denied(&scene.base(), "0000")), "{said}");
    // So that the scene can be removed.
    chmod(&scene.base(), 0o755);
    chmod(&camera, 0o755);
}
