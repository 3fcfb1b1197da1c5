//! The reader in pure Python, written from PROTOCOL.md alone, against a real writer and every conformance file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use rustix::process::Signal;
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_interop::harness;
use vas_interop::python::script;

/// The reader gives up before the test does.
const READER_SECONDS: u64 = 150;

/// A server that publishes marked pictures flat out.
fn writer(scene: &Scene, slots: u32) -> Process {
    let mut command = Command::new(program("vas-e2e-writer"));
    command.arg(scene.base()).args(["front", &slots.to_string(), "steady"]);
    Process::start("vas-e2e-writer", &mut command)
}

fn stop(mut writer: Process) {
    writer.close();
    let ended = writer.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// What live.py counted.
fn live(
    mut command: Command,
    scene: &Scene,
    pictures: u64,
    torn: u64,
    more: &[&str],
) -> BTreeMap<String, u64> {
    command.arg(scene.base()).arg("front");
    command.args([pictures, torn, READER_SECONDS].map(|number| number.to_string())).args(more);
    let Ended { status, stdout, stderr } = Process::run("live.py", &mut command);
    assert!(status.success(), "{stderr}");
    stdout
        .split_whitespace()
        .map(|word| {
            let (name, number) = word.split_once('=').expect("name=number");
            (name.to_owned(), number.parse().expect("a number"))
        })
        .collect()
}

/// With validation nothing torn is accepted; with validation switched off torn pictures are, or the test would be blind.
fn live_with(slots: u32) {
    const PICTURES: u64 = 500;
    const TORN: u64 = 3;
    const OVERWRITTEN: u64 = 30;
    let (checked, unchecked) = (require!(script("live.py")), require!(script("live.py")));
    let scene = Scene::new();
    let writer = writer(&scene, slots);
    let told = live(checked, &scene, PICTURES, TORN, &[]);
    println!("python, {slots} slots, with validation: {told:?}");
    assert_eq!(told["accepted_torn"], 0, "a torn picture was taken for whole: {told:?}");
    assert!(told["accepted"] >= PICTURES, "too few pictures for a verdict: {told:?}");
    assert!(told["refused_torn"] >= TORN, "the test is blind: nothing torn was there to refuse: {told:?}");
    // Of these, known to be overwritten before they were copied, not one was accepted: it would count as torn.
    assert!(told["overwritten"] >= OVERWRITTEN, "the test is blind: nothing was overwritten: {told:?}");

    let told = live(unchecked, &scene, PICTURES, TORN, &["--without-validation"]);
    println!("python, {slots} slots, without validation: {told:?}");
    assert!(told["accepted_torn"] >= TORN, "the test is blind: no torn picture was ever seen: {told:?}");
    stop(writer);
}

// Proves READ-4, READ-6, READ-13, PIC-4, HEAD-5 and HOLD-2 as far as one machine can: what was overwritten is never accepted, by
// none of the three ways to a frame; times, planes and padding are those of the picture. What a live writer cannot show, the order
// of the loads and the bound on attempts, test_steps.py does.
#[test]
fn python_accepts_no_torn_picture_from_two_slots_and_without_the_check_it_does() {
    live_with(2);
}

// Proves READ-4, READ-6, READ-13, PIC-4 and HEAD-5, as above.
#[test]
fn python_accepts_no_torn_picture_from_three_slots_and_without_the_check_it_does() {
    live_with(3);
}

#[test]
fn python_passes_every_conformance_file() {
    let probe = require!(script("probe.py"));
    let program: Vec<OsString> =
        std::iter::once(probe.get_program()).chain(probe.get_args()).map(OsStr::to_owned).collect();
    let report = harness::run_all(&program);
    println!("python: {}", report.text());
    assert!(report.failed.is_empty(), "{}", report.text());
    assert!(!report.passed.is_empty(), "{}", report.text());
    for (name, why) in &report.skipped {
        vas_test_support::skipped(&format!("{name}: {why}"));
    }
}

// The clauses stand beside the steps, in test_steps.py.
#[test]
fn python_loads_words_in_the_order_of_its_steps_and_gives_up_after_as_many_attempts_as_slots() {
    let mut command = require!(script("test_steps.py"));
    let ended = Process::run("test_steps.py", &mut command);
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn python_agrees_with_the_tables_formulas_and_worked_bytes_of_the_document() {
    let mut command = require!(script("test_document.py"));
    let ended = Process::run("test_document.py", &mut command);
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// The first line from number `from` on that begins with `words`, and its number; waited for.
fn line_with(follower: &Process, from: usize, words: &str) -> (usize, String) {
    (from..)
        .map_while(|number| follower.stdout.line(number).map(|line| (number, line)))
        .find(|(_, line)| line.starts_with(words))
        .unwrap_or_else(|| panic!("ended without {words:?}: {}", follower.stderr.so_far()))
}

fn number_in(line: &str) -> u64 {
    line.split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number in {line:?}"))
}

// Proves LIVE-1, LIVE-2, LIVE-3, LIVE-5, LIFE-6, OPEN-2 and OPEN-19.
#[test]
fn python_notices_a_server_that_is_stopped_killed_and_started_again() {
    let mut command = require!(script("follow.py"));
    let scene = Scene::new();
    command.arg(scene.base()).arg("front");
    let mut follower = Process::start("follow.py", &mut command);
    let (at, _) = line_with(&follower, 0, "not there yet missing");

    let first = writer(&scene, 3);
    let (at, opened) = line_with(&follower, at, "opened");
    let (_, frame) = line_with(&follower, at, "frame");
    let _ = line_with(&follower, at, "current");
    let (at, _) = line_with(&follower, at, "live");

    // Suspended and resumed: gone is an observation, not a verdict.
    first.signal(Signal::STOP);
    let (at, gone) = line_with(&follower, at, "server gone");
    assert!(number_in(&gone) >= 3000, "too early: {gone}");
    first.signal(Signal::CONT);
    let (at, _) = line_with(&follower, at, "live");

    first.kill();
    let (at, gone) = line_with(&follower, at, "server gone");
    assert!(number_in(&gone) >= 3000, "too early: {gone}");

    let second = writer(&scene, 3);
    let (at, _) = line_with(&follower, at, "left");
    let (at, successor) = line_with(&follower, at, "opened");
    let (_, later) = line_with(&follower, at, "frame");
    assert!(number_in(&successor) > number_in(&opened), "{successor} after {opened}");
    assert!(number_in(&later) > number_in(&frame), "{later} after {frame}");

    stop(second);
    let (at, _) = line_with(&follower, at, "left");
    let _ = line_with(&follower, at, "not there yet missing");
    follower.close();
    let ended = follower.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn python_probe_says_how_it_wants_to_be_called() {
    let mut command = require!(script("probe.py"));
    let ended = Process::run("probe.py", &mut command);
    assert_eq!(ended.code(), Some(2));
    assert_eq!(ended.stderr, "probe.py: give BASE CAMERA");
}
