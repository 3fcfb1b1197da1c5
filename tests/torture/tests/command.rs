//! The command itself: what it answers, and that it leaves nothing behind, however it ends.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(120);

/// A folder in shared memory of this test alone.
fn shared_memory() -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("vas-test-torture-").tempdir_in(vas_test_support::shared_memory());
    let folder = folder.expect("a folder in shared memory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("open to other users");
    folder
}

fn torture(shared_memory: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-torture"));
    command.args(words).env("VAS_TEST_SHM", shared_memory.path()).env_remove("VAS_NO_SKIP");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Processes that were told of this folder.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.to_string_lossy().into_owned();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&folder)).count()
}

fn nothing_is_left(folder: &TempDir) {
    until("no process is left", || (processes_of(folder.path()) == 0).then_some(()));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

// Proves READ-6.
#[test]
fn readers_that_check_accept_no_torn_frame_and_readers_that_do_not_accept_many() {
    let folder = shared_memory();
    // Until the count is not zero: on a slow machine a short round may overtake no reader.
    let played = |manner: &[&str], counted: &str| {
        for seconds in ["1", "15", "60"] {
            let scenario = ["--seconds", seconds, "--seed", "3", "--scenario", "hold-full-rate", "--json"];
            let output = torture(&folder, &scenario).args(manner).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            nothing_is_left(&folder);
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            if report["total"][counted].as_u64() > Some(0) {
                return report;
            }
        }
        panic!("nothing was put to the test: no frame was {counted}");
    };
    let report = played(&[], "overwritten");
    assert_eq!(report["total"]["torn"], 0, "{report}");
    // What those that do not check accept.
    let _ = played(&["--blind"], "torn");
}

/// Starts a scenario and waits until its processes run.
fn started(folder: &TempDir) -> Child {
    let scenario = ["--seconds", "600", "--scenario", "stop-reader", "--scenario", "replacement"];
    let child = torture(folder, &scenario).spawn().unwrap();
    until("servers and readers run", || (processes_of(folder.path()) >= 6).then_some(()));
    child
}

#[test]
fn an_interrupted_run_takes_its_processes_and_files_with_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = shared_memory();
        let mut child = started(&folder);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = until("the run ends", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(130));
        nothing_is_left(&folder);
    }
}

#[test]
fn the_processes_of_a_killed_run_die_with_it_and_its_files_go_with_a_later_one() {
    let folder = shared_memory();
    let mut child = started(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    until("its processes die", || (processes_of(folder.path()) == 0).then_some(()));
    let left = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    // As if it had happened an hour ago.
    let an_hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&left).unwrap().set_modified(an_hour_ago).unwrap();
    let short = torture(&folder, &["--seconds", "1", "--scenario", "other-slots"]).output().unwrap();
    assert!(short.status.success(), "{}", said(&short));
    nothing_is_left(&folder);
}

#[test]
fn an_unknown_scenario_is_answered_with_those_there_are() {
    let folder = shared_memory();
    let output = torture(&folder, &["--scenario", "earthquake"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("there is no scenario \"earthquake\"") && said.contains("kill-server"), "{said}");
    let list = torture(&folder, &["--list"]).output().unwrap();
    assert!(list.status.success() && String::from_utf8_lossy(&list.stdout).lines().count() > 20);
}
