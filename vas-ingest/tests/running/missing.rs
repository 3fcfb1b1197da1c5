//! The real program, and files that its cameras take and that are not there.

use crate::reload::{SERVER, decoded, refusing_camera};
use crate::scene::*;
use rustix::process::Signal;
use std::process::Output;

/// Basic credentials of `admin:first-secret`.
const FIRST: &str = "YWRtaW46Zmlyc3Qtc2VjcmV0";

/// A camera with a password in a file.
fn with_password_file(id: &str, address: &impl std::fmt::Display) -> String {
    format!(
        "[[camera]]\nid = {id:?}\nurl = \"rtsp://{address}/s\"\nusername = \"admin\"\npassword_file = \"password\"\n"
    )
}

fn played_once(id: &str) -> String {
    format!("[[camera]]\nid = {id:?}\nurl = \"late.mp4\"\n")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn reason(status: &serde_json::Value, id: &str) -> String {
    camera(status, id).unwrap()["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_camera_whose_file_is_not_there_waits_for_it_and_no_other_camera_does() {
    let Some(scene) = Scene::new() else { return };
    let (address, credentials) = refusing_camera();
    scene.configure(&format!(
        "{SERVER}{}{}{}",
        looping(&["front"]),
        with_password_file("locked", &address),
        played_once("late")
    ));
    // Asked beforehand, it is a mistake, and each of them is told.
    let (password, clip) = (scene.path("password"), scene.path("late.mp4"));
    let not_there = |what: &str, path: &std::path::Path| {
        format!("{what} {}: No such file or directory (os error 2)", path.display())
    };
    for command in ["check-config", "print-config"] {
        let asked = program().arg(command).arg("--config").arg(scene.path("vas.toml")).output().unwrap();
        assert_eq!(asked.status.code(), Some(2), "{}", said(&asked));
        for (line, sentence) in [
            (11, not_there("password_file", &password)),
            (14, format!("camera late: {}", not_there("open", &clip))),
        ] {
            let sentence =
                format!("vas-ingest: {} line {line}: {sentence}\n", scene.path("vas.toml").display());
            assert!(said(&asked).contains(&sentence), "{sentence}{}", said(&asked));
        }
    }

    let mut server = Running::start(&mut scene.run());
    let status = scene.status_with("one is live, and two wait", |status| {
        is_in_state(status, "front", "live")
            && decoded(status, "front") > 25
            && is_in_state(status, "locked", "backoff")
            && is_in_state(status, "late", "backoff")
    });
    assert_eq!(reason(&status, "locked"), not_there("password_file", &password));
    assert_eq!(reason(&status, "late"), not_there("open", &clip));
    assert_eq!(credentials.try_iter().count(), 0, "without its password the camera is not asked");

    // What it needs comes, and nobody has to tell the server.
    std::fs::write(&password, "first-secret\n").unwrap();
    scene.add_clip("once.mp4", 1);
    // A file that is still being copied is none yet, and no reason to give it up.
    std::fs::write(&clip, b"").unwrap();
    scene.status_with("half a file", |status| reason(status, "late").ends_with("the file is empty"));
    std::fs::rename(scene.path("once.mp4"), &clip).unwrap();
    assert_eq!(credentials.recv_timeout(PATIENCE).unwrap(), FIRST);
    scene.status_with("the other one's end", |status| is_in_state(status, "late", "finished"));
    scene.status_with("refused", |status| is_in_state(status, "locked", "auth_failed"));
    // What it has read by now is what the configuration says: nothing has changed.
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 3 unchanged");
    server.stop();
    assert_eq!(credentials.try_iter().filter(|sent| sent != FIRST).count(), 0);
    let log = server.log();
    for (id, sentence) in
        [("locked", not_there("password_file", &password)), ("late", not_there("open", &clip))]
    {
        let is_it = |line: &&str| {
            line.contains("ERROR")
                && line.contains(&format!("camera{{id={id}}}: {sentence}; trying again in "))
        };
        assert!(log.lines().any(|line| is_it(&line)), "{sentence}\n{log}");
    }
    assert!(!log.contains("-secret"), "{log}");
}

#[test]
fn a_reload_that_finds_no_password_file_takes_no_password_from_a_camera_that_runs() {
    let Some(scene) = Scene::new() else { return };
    let (address, credentials) = refusing_camera();
    let password = scene.path("password");
    std::fs::write(&password, "first-secret\n").unwrap();
    let locked = with_password_file("locked", &address);
    scene.configure(&format!("{SERVER}{}{locked}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    let before = scene.status_with("one is live, the other refuses", |status| {
        is_in_state(status, "front", "live") && is_in_state(status, "locked", "auth_failed")
    });
    assert_eq!(credentials.recv_timeout(PATIENCE).unwrap(), FIRST);

    std::fs::remove_file(&password).unwrap();
    scene.configure(&format!(
        "{SERVER}{}{locked}{}",
        looping(&["front"]),
        with_password_file("new", &address)
    ));
    let mut reload = program();
    reload.args(["reload", "--timeout-ms", "60000", "--config"]).arg(scene.path("vas.toml"));
    let reload = reload.output().unwrap();
    let why = |line: usize| {
        let file = scene.path("vas.toml");
        let (file, password) = (file.display(), password.display());
        format!("{file} line {line}: password_file {password}: No such file or directory (os error 2)")
    };
    let sentence = format!(
        "cameras: 1 new (new); 2 unchanged; camera locked goes on as it was: {}; camera new waits: {}",
        why(11),
        why(16)
    );
    assert_eq!(said(&reload), format!("vas-ingest: the reload failed: {sentence}\n"));
    assert_eq!(reload.status.code(), Some(1));
    server.wait_for_line(&format!("the reload failed: {sentence}"));
    let status = scene.status_with("the new one waits", |status| is_in_state(status, "new", "backoff"));
    assert_eq!(camera(&status, "front").unwrap()["counters"]["reconnects"], 0, "{status}");
    // It was not tried once more either.
    assert!(is_in_state(&status, "locked", "auth_failed"), "{status}");
    let tries =
        |status: &serde_json::Value| camera(status, "locked").unwrap()["counters"]["reconnects"].clone();
    assert_eq!(tries(&status), tries(&before));

    std::fs::write(&password, "first-secret\n").unwrap();
    server.signal(Signal::HUP);
    // The one that waited may have found its password a moment before.
    let line = server.wait_for_line("reloaded; cameras: ");
    assert!(
        line.ends_with("cameras: 3 unchanged")
            || line.ends_with("cameras: 1 started again (new); 2 unchanged"),
        "{line}"
    );
    assert_eq!(credentials.recv_timeout(PATIENCE).unwrap(), FIRST);
    server.stop();
}
