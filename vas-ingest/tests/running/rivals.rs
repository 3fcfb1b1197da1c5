//! Two servers with one base directory.

use crate::reload::decoded;
use crate::scene::*;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// A camera that is away: without a picture it has no files, and no guard of the writer's.
fn away(id: &str) -> String {
    format!("[[camera]]\nid = {id:?}\nurl = \"rtsp://{CLOSED}/s\"\n")
}

/// A server of that name, with a status file of its own, in the base that all of them have.
fn configure(scene: &Scene, base: &Path, name: &str, cameras: &str) {
    let head = format!(
        "[server]\nstatus_file = \"{name}.json\"\n[export]\nenabled = true\nwhen = \"always\"\nbase = {base:?}\n"
    );
    std::fs::write(scene.path(&format!("{name}.toml")), head + cameras).unwrap();
}

fn run(scene: &Scene, name: &str) -> Command {
    let mut command = program();
    command.args(["run", "--config"]).arg(scene.path(&format!("{name}.toml")));
    command
}

/// Its status, if it has written one.
fn status_of(scene: &Scene, name: &str, server: &Running) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(scene.path(&format!("{name}.json"))).ok()?;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    (status["server"]["pid"] == server.pid()).then_some(status)
}

/// Its status, once it fits.
fn status_with(
    scene: &Scene,
    name: &str,
    server: &Running,
    fits: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    until(&format!("the status of the {name} server"), || {
        status_of(scene, name, server).filter(|status| fits(status))
    })
}

fn base() -> Option<tempfile::TempDir> {
    let base = tempfile::tempdir_in(vas_test_support::shared_memory());
    base.map_err(|why| vas_test_support::skipped(&format!("no directory in shared memory: {why}"))).ok()
}

#[test]
fn a_second_server_of_a_camera_is_refused_before_that_has_a_picture_and_other_cameras_are_no_matter() {
    let (Some(scene), Some(base)) = (Scene::new(), base()) else { return };
    let base = base.path().join("vas");
    configure(&scene, &base, "first", &(away("front") + &away("gate")));
    let mut first = Running::start(&mut run(&scene, "first"));
    status_with(&scene, "first", &first, |status| is_in_state(status, "front", "backoff"));

    configure(&scene, &base, "second", &(away("yard") + &away("gate") + &away("front")));
    let (code, text) = ended_saying("vas-ingest: ", &mut run(&scene, "second"));
    assert_eq!(code, Some(5), "{text}");
    let sentence = text.lines().find(|line| line.starts_with("vas-ingest: ")).unwrap();
    assert_eq!(
        sentence,
        format!(
            "vas-ingest: another vas-ingest (pid {}) has cameras gate, front of the base directory {}: stop that one first, or \
             give this one another base (--base) or other cameras",
            first.pid(),
            base.display()
        )
    );

    configure(&scene, &base, "third", &away("yard"));
    let mut third = Running::start(&mut run(&scene, "third"));
    status_with(&scene, "third", &third, |status| is_in_state(status, "yard", "backoff"));
    // Without the export there is nothing that two could both have.
    let mut off = run(&scene, "second");
    let mut off = Running::start(off.env("AI_FRAME_EXPORT_ENABLED", "false"));
    status_with(&scene, "second", &off, |status| is_in_state(status, "front", "backoff"));
    off.stop();

    // The next one finds it in its last moments, and waits for its end: for three seconds, in which it is killed here, unless this
    // process gets no processor for as long. Then once more.
    configure(&scene, &base, "second", &(away("front") + &away("gate")));
    let mut second = (0..5).find_map(|_| {
        let mut second = Running::start(&mut run(&scene, "second"));
        second.wait_for_line("the export is switched on");
        first.signal(Signal::KILL);
        assert_eq!(first.wait(), None);
        let came = until("its start or its end", || match second.ended() {
            Some(code) => {
                assert_eq!(code, Some(5), "{}", second.log());
                Some(false)
            }
            None => status_of(&scene, "second", &second).map(|_| true),
        });
        if !came {
            first = Running::start(&mut run(&scene, "first"));
            status_with(&scene, "first", &first, |status| is_in_state(status, "front", "backoff"));
        }
        came.then_some(second)
    });
    let second = second.as_mut().expect("one that waited for the end of the first");
    status_with(&scene, "second", second, |status| is_in_state(status, "front", "backoff"));
    second.stop();
    third.stop();
}

#[test]
fn a_reload_that_cannot_start_a_camera_has_failed_says_why_and_leaves_the_others_alone() {
    let (Some(scene), Some(base)) = (Scene::new(), base()) else { return };
    let base = base.path().join("vas");
    configure(&scene, &base, "first", &(away("front") + &away("gate")));
    let mut first = Running::start(&mut run(&scene, "first"));
    status_with(&scene, "first", &first, |status| is_in_state(status, "front", "backoff"));
    configure(&scene, &base, "second", &looping(&["yard"]));
    let mut second = Running::start(&mut run(&scene, "second"));
    let before = status_with(&scene, "second", &second, |status| {
        is_in_state(status, "yard", "live") && decoded(status, "yard") > 25
    });

    let reload = |name: &str| {
        let config = scene.path(&format!("{name}.toml"));
        let output =
            program().args(["reload", "--timeout-ms", "60000", "--config"]).arg(config).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    configure(&scene, &base, "second", &(looping(&["yard"]) + &away("front")));
    let why = format!(
        "another vas-ingest (pid {}) has camera front of the base directory {}: stop that one first, or give this one another \
         base (--base) or other cameras",
        first.pid(),
        base.display()
    );
    let sentence = format!("cameras: 1 new (front); 1 unchanged; camera front was not started: {why}");
    let said = format!("vas-ingest: the reload failed: {sentence}\n");
    assert_eq!(reload("second"), (Some(1), String::new(), said));
    let line = second.wait_for_line(&format!("the reload failed: {sentence}"));
    assert!(line.contains("ERROR"), "{line}");
    let status = status_with(&scene, "second", &second, |status| {
        is_in_state(status, "front", "failed") && decoded(status, "yard") > decoded(&before, "yard") + 25
    });
    let front = camera(&status, "front").unwrap();
    assert_eq!((&front["reason"], &front["last_error"]), (&why.clone().into(), &why.into()));
    assert_eq!((&status["reload"]["ok"], &status["reload"]["sentence"]), (&false.into(), &sentence.into()));
    assert_eq!(camera(&status, "yard").unwrap()["counters"]["reconnects"], 0, "{status}");

    // The camera moves: the one server gives it up, the other takes it.
    configure(&scene, &base, "first", &away("gate"));
    assert_eq!(reload("first"), (Some(0), "cameras: 1 removed (front); 1 unchanged\n".into(), String::new()));
    status_with(&scene, "first", &first, |status| camera(status, "front").is_none());
    let moved = "cameras: 1 started again (front); 1 unchanged\n";
    assert_eq!(reload("second"), (Some(0), moved.into(), String::new()));
    status_with(&scene, "second", &second, |status| {
        is_in_state(status, "front", "backoff") && status["reload"]["ok"] == true
    });
    first.stop();
    second.stop();
}
