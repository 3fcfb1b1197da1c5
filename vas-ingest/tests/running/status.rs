//! The real program: what it tells of itself in files, and that it is alone in doing so.

use crate::scene::*;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server with a looping file, and with a camera that is not there.
fn two_cameras(scene: &Scene) -> String {
    // A port that was free a moment ago.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scene.configure(&format!(
        "[server]\nstatus_file = \"status.json\"\nmetrics_file = \"vas.prom\"\n{}[[camera]]\nid = \"away\"\nurl = \"rtsp://{away}/s\"\n\
         username = \"admin\"\npassword = \"hunter2\"\n",
        looping(&["front"])
    ));
    format!("rtsp://{away}/s")
}

#[test]
fn status_has_a_row_for_each_camera_and_says_by_its_exit_code_whether_all_are_live() {
    let Some(scene) = Scene::new() else { return };
    let none = scene.status(&[]);
    assert_eq!(none.status.code(), Some(4));
    assert!(stderr(&none).starts_with("vas-ingest: no server: "), "{}", stderr(&none));

    let away = two_cameras(&scene);
    let mut server = Running::start(&mut scene.run());
    let status = scene.status_with("a rate, and a camera that is away", |status| {
        camera(status, "front").is_some_and(|front| front["decoded_per_s"].as_f64() > Some(10.0))
            && is_in_state(status, "away", "backoff")
    });
    assert_eq!((&status["version"], &status["export"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(status["server"]["pid"], server.pid());
    let front = camera(&status, "front").unwrap();
    assert_eq!((&front["state"], &front["last_error"]), (&"live".into(), &serde_json::Value::Null));
    assert!(front["counters"]["received"].as_u64() >= front["counters"]["decoded"].as_u64(), "{front}");
    assert!(front["newest_frame_age_ms"].as_u64() < Some(1000), "{front}");
    let behind = camera(&status, "away").unwrap();
    assert!(behind["reason"].as_str().unwrap().contains(&away), "{behind}");
    assert!(behind["retry_in_ms"].as_u64() <= Some(60_000) && behind["cpu_ms"].is_u64(), "{behind}");

    let table = scene.status(&[]);
    assert_eq!(table.status.code(), Some(1), "{}", stderr(&table));
    let rows: Vec<_> = stdout(&table).lines().map(str::to_owned).collect();
    assert!(
        rows[0].starts_with("CAMERA ") && rows[1].starts_with("front ") && rows[2].starts_with("away "),
        "{rows:?}"
    );
    assert!(rows[3].starts_with("1 of 2 live; "), "{rows:?}");
    let by_config =
        program().args(["status", "--json", "--config"]).arg(scene.path("vas.toml")).output().unwrap();
    let json: serde_json::Value = serde_json::from_str(&stdout(&by_config)).unwrap();
    assert_eq!(json["server"], status["server"]);
    assert_eq!(std::fs::metadata(scene.status_file()).unwrap().permissions().mode() & 0o7777, 0o640);
    let metrics = std::fs::read_to_string(scene.path("vas.prom")).unwrap();
    assert!(metrics.contains("\nvas_camera_state{camera=\"away\",state=\"backoff\"} 1\n"), "{metrics}");
    for name in ["status.json", "vas.prom"] {
        assert!(!std::fs::read_to_string(scene.path(name)).unwrap().contains("hunter2"), "{name}");
    }

    server.stop();
    // Nothing is left but the lock, which nobody holds.
    assert_eq!(names(&scene.path("")), ["clip.mp4", "status.json.lock", "vas.prom.lock", "vas.toml"]);
    assert_eq!(scene.status(&[]).status.code(), Some(4));
}

#[test]
fn status_can_be_watched_until_its_reader_goes() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    assert_eq!(scene.status(&[]).status.code(), Some(0));
    let mut watching = program();
    watching.args(["status", "--watch", "--file"]).arg(scene.status_file()).stderr(Stdio::null());
    let mut watching = watching.spawn().unwrap();
    let mut rows = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    let mut tables = 0;
    while tables < 3 {
        tables += usize::from(rows.next().unwrap().unwrap().starts_with("CAMERA "));
    }
    drop(rows);
    let ended = until("its end", || watching.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    server.stop();
}

#[test]
fn a_second_server_with_the_same_status_file_is_refused_and_one_that_was_killed_is_in_nobodys_way() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut first = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    let mut second = Running::start(&mut scene.run());
    assert_eq!(second.wait(), Some(5));
    let text = second.log();
    let sentence = text.lines().find(|line| !line.contains(" INFO ")).unwrap();
    let status_file = scene.status_file();
    assert_eq!(
        sentence,
        format!(
            "vas-ingest: another vas-ingest (pid {}) runs with the status file {}: stop that one first, or give this one a \
             status_file of its own in [server]",
            first.pid(),
            status_file.display()
        )
    );
    first.signal(Signal::KILL);
    assert_eq!(first.wait(), None);
    let gone = scene.status(&[]);
    assert_eq!(gone.status.code(), Some(4));
    assert!(stderr(&gone).contains(&format!("(pid {}) is gone", first.pid())), "{}", stderr(&gone));
    // As old as it is, it is not taken for the status of the next one.
    let mut third = Running::start(&mut scene.run());
    scene.status_with("the next one's", |status| status["server"]["pid"] == third.pid());
    third.stop();
}

#[test]
fn a_server_that_is_stopped_as_a_whole_is_told_from_one_that_works() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    server.signal(Signal::STOP);
    let output = until("an old file", || {
        let output = scene.status(&[]);
        (output.status.code() == Some(4)).then_some(output)
    });
    assert!(stderr(&output).contains("has not written for "), "{}", stderr(&output));
    server.signal(Signal::CONT);
    until("a new one", || (scene.status(&[]).status.code() == Some(0)).then_some(()));
    server.stop();
}

#[test]
fn the_directory_of_systemd_is_the_place_of_the_status_and_a_missing_one_is_refused() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&looping(&["front"]));
    let mut server = Running::start(scene.run().env("RUNTIME_DIRECTORY", scene.path("")));
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    server.stop();
    scene.configure(&format!("[server]\nstatus_file = \"none/status.json\"\n{}", looping(&["front"])));
    let refused = scene.run().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("make that directory, or choose another status_file"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn metrics_that_cannot_be_written_are_told_once_and_the_cameras_go_on() {
    let Some(scene) = Scene::new() else { return };
    let text = "[server]\nstatus_file = \"status.json\"\nmetrics_file = \"none/vas.prom\"\n";
    scene.configure(&format!("{text}{}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    server.wait_for_line("none/vas.prom cannot be written: No such file or directory");
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    std::fs::create_dir(scene.path("none")).unwrap();
    server.wait_for_line("none/vas.prom is written again");
    server.stop();
    let log = server.log();
    assert_eq!(log.lines().filter(|line| line.contains("cannot be written")).count(), 1, "{log}");
}

#[test]
fn many_cameras_that_never_answer_do_not_hold_up_the_end() {
    // Accepts nobody: connections are made by the kernel, and stay without an answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let status_file = directory.path().join("status.json");
    let cameras: String =
        (0..32).map(|n| format!("[[camera]]\nid = \"c{n}\"\nurl = \"rtsp://{address}/s\"\n")).collect();
    let config = directory.path().join("vas.toml");
    std::fs::write(&config, format!("[server]\nstatus_file = \"status.json\"\n{cameras}")).unwrap();
    let mut server = Running::start(program().args(["run", "--config"]).arg(config));
    until("all are connecting", || {
        let status: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&status_file).ok()?).unwrap();
        (0..32).all(|n| is_in_state(&status, &format!("c{n}"), "connecting")).then_some(())
    });
    let asked = std::time::Instant::now();
    server.stop();
    // Two seconds for the cameras, one for the log, and what a busy machine adds.
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(server.log().matches("ended; ").count(), 32);
}

#[test]
fn a_status_is_shown_while_somebody_edits_the_configuration() {
    let Some(scene) = Scene::new() else { return };
    let text = format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"]));
    scene.configure(&text);
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    scene.configure(&format!("{text}[[camera]]\nid = \"yard\"\nurl = \"rts"));
    let shown = program().args(["status", "--config"]).arg(scene.path("vas.toml")).output().unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("\nfront "), "{}", stdout(&shown));
    server.stop();
    // Without that key it is the usual place, and not a word about the file.
    scene.configure(&looping(&["front"]));
    let usual = program()
        .args(["status", "--config"])
        .arg(scene.path("vas.toml"))
        .env("RUNTIME_DIRECTORY", scene.path(""))
        .output()
        .unwrap();
    assert_eq!(usual.status.code(), Some(4));
    assert!(stderr(&usual).contains("status.json is not there"), "{}", stderr(&usual));
}

#[test]
fn a_status_of_another_version_is_not_told_as_a_server_that_does_not_run() {
    let Some(scene) = Scene::new() else { return };
    std::fs::write(scene.status_file(), "{\"version\": 2}\n").unwrap();
    let output = scene.status(&[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).contains("has version 2 and this program knows version 1: use "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_camera_that_is_tried_again_and_again_is_away_since_the_start() {
    let Some(scene) = Scene::new() else { return };
    two_cameras(&scene);
    let mut server = Running::start(&mut scene.run());
    let tries =
        |status: &serde_json::Value| camera(status, "away").unwrap()["counters"]["reconnects"].as_u64();
    let since = |status: &serde_json::Value| camera(status, "away").unwrap()["since_unix_ms"].as_u64();
    let error_at =
        |status: &serde_json::Value| camera(status, "away").unwrap()["last_error_unix_ms"].as_u64();
    let first = scene.status_with("a try", |status| tries(status) >= Some(1));
    let third = scene.status_with("three", |status| tries(status) >= Some(3));
    assert_eq!(since(&first), since(&third));
    assert!(error_at(&first) < error_at(&third), "{third}");
    server.stop();
}

#[test]
fn a_server_leaves_no_core_with_its_passwords() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    server.stop();
}
