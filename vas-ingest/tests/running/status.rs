//! The real program: what it tells of itself in files, and that it is alone in doing so.

use crate::scene::*;
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::mpsc;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server with a looping file, and with a camera that is not there.
fn two_cameras(scene: &Scene) -> String {
    scene.configure(&format!(
        "[server]\nstatus_file = \"status.json\"\nmetrics_file = \"vas.prom\"\n{}[[camera]]\nid = \"away\"\nurl = \"rtsp://{CLOSED}/s\"\n\
         username = \"admin\"\npassword = \"hunter2\"\n",
        looping(&["front"])
    ));
    format!("rtsp://{CLOSED}/s")
}

#[test]
fn status_has_a_row_for_each_camera_and_says_by_its_exit_code_whether_all_are_live() {
    let Some(scene) = Scene::new() else { return };
    let none = scene.status(&[]);
    assert_eq!(none.status.code(), Some(4));
    assert!(stderr(&none).starts_with("vas-ingest: no server: "), "{}", stderr(&none));

    let away = two_cameras(&scene);
    let mut server = Running::start(&mut scene.run());
    let status = scene.status_with("a rate, a new frame, and a camera that is away", |status| {
        camera(status, "front").is_some_and(|front| {
            front["decoded_per_s"].as_f64() > Some(10.0)
                && front["newest_frame_age_ms"].as_u64().is_some_and(|age_ms| age_ms < 1000)
        }) && is_in_state(status, "front", "live")
            && is_in_state(status, "away", "backoff")
    });
    assert_eq!((&status["version"], &status["export"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(status["server"]["pid"], server.pid());
    let front = camera(&status, "front").unwrap();
    // On a machine that stood still for a while, that was its error.
    assert!(front["last_error"].is_null() || front["counters"]["stalls"].as_u64() > Some(0), "{front}");
    assert!(front["counters"]["received"].as_u64() >= front["counters"]["decoded"].as_u64(), "{front}");
    let behind = camera(&status, "away").unwrap();
    assert!(behind["reason"].as_str().unwrap().contains(&away), "{behind}");
    assert!(behind["retry_in_ms"].as_u64() <= Some(60_000) && behind["cpu_ms"].is_u64(), "{behind}");

    // Of a server that gets no processor the file becomes too old, or its camera is stalled: it shows this again.
    let rows: Vec<String> = until("a table with one of two that is live", || {
        let table = scene.status(&[]);
        let rows: Vec<String> = stdout(&table).lines().map(str::to_owned).collect();
        let is_it = rows.get(3).is_some_and(|row| row.starts_with("1 of 2 live; "));
        (table.status.code() == Some(1) && is_it).then_some(rows)
    });
    assert!(
        rows[0].starts_with("CAMERA ") && rows[1].starts_with("front ") && rows[2].starts_with("away "),
        "{rows:?}"
    );
    let json: serde_json::Value = until("the same in JSON", || {
        let mut by_config = program();
        by_config.args(["status", "--json", "--config"]).arg(scene.path("vas.toml"));
        serde_json::from_str(&stdout(&by_config.output().unwrap())).ok()
    });
    assert_eq!(json["server"], status["server"]);
    let mode = |name: &str| std::fs::metadata(scene.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("status.json"), 0o640);
    // Whoever could open it could hold it, and keep the next server from its start.
    assert_eq!(mode("status.json.lock"), 0o600);
    until("the same in the metrics", || {
        let metrics = std::fs::read_to_string(scene.path("vas.prom")).ok()?;
        metrics.contains("\nvas_camera_state{camera=\"away\",state=\"backoff\"} 1\n").then_some(())
    });
    for name in ["status.json", "vas.prom"] {
        assert!(!std::fs::read_to_string(scene.path(name)).unwrap().contains("hunter2"), "{name}");
    }

    server.stop();
    // Nothing is left but the lock, which nobody holds.
    let left = ["clip.mp4", "status.json.lock", "vas.prom.lock", "vas.toml"];
    for _ in 0..2 {
        if names(&scene.path("")) == left {
            break;
        }
        // Half a second is what the files have to be removed in. A thread that got no processor for as long leaves its own, and the
        // next server writes and removes it.
        let mut next = Running::start(&mut scene.run());
        scene.status_with("the next one's", |status| status["server"]["pid"] == next.pid());
        next.stop();
    }
    assert_eq!(names(&scene.path("")), left);
    assert_eq!(scene.status(&[]).status.code(), Some(4));
}

#[test]
fn status_can_be_watched_until_its_reader_goes() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    until("all are live", || (scene.status(&[]).status.code() == Some(0)).then_some(()));
    let mut watching = program();
    watching.args(["status", "--watch", "--file"]).arg(scene.status_file()).stderr(Stdio::null());
    let mut watching = Running::start(&mut watching);
    let rows = BufReader::new(watching.stdout());
    let (sender, seen) = mpsc::channel();
    std::thread::spawn(move || {
        let tables =
            rows.lines().map_while(Result::ok).filter(|row| row.starts_with("CAMERA ")).take(3).count();
        // By now nobody has the other end of its pipe.
        let _ = sender.send(tables);
    });
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(3));
    // As the last table has it, which on a machine that stands still is one of a camera that is stalled, or none.
    let code = watching.wait();
    assert!(matches!(code, Some(0 | 1 | 4)), "{code:?}");
    server.stop();
}

#[test]
fn a_second_server_with_the_same_status_file_is_refused_and_one_that_was_killed_is_in_nobodys_way() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"])));
    let mut first = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    let (code, text) = ended_saying("vas-ingest: ", &mut scene.run());
    assert_eq!(code, Some(5), "{text}");
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
    // Told beforehand, with the reason.
    let print = |variables: &[(&str, &Path)]| {
        let mut command = program();
        command.args(["print-config", "--config"]).arg(scene.path("vas.toml"));
        stdout(&command.envs(variables.iter().copied()).output().unwrap())
    };
    let has = |printed: &str, begin: &str, because: &str| {
        let found = printed.lines().any(|line| line.starts_with(begin) && line.ends_with(because));
        assert!(found, "{begin} {because}\n{printed}");
    };
    let directory = scene.status_file().parent().unwrap().to_owned();
    let begin = format!("status_file = {:?} ", scene.status_file());
    let because = " # not set: the directory that systemd made, RUNTIME_DIRECTORY";
    has(&print(&[("RUNTIME_DIRECTORY", &directory)]), &begin, because);
    // Without that variable it is a matter of what this machine has at the usual place.
    let me = rustix::process::geteuid().as_raw();
    match std::fs::metadata("/run/vas").map(|found| found.uid()) {
        Ok(uid) if uid == me => {
            has(
                &print(&[]),
                "status_file = \"/run/vas/status.json\" ",
                " # not set: this user's directory /run/vas",
            );
        }
        Ok(uid) => {
            let begin = format!(
                "# status_file: not set; /run/vas belongs to uid {uid}: a server of that user writes "
            );
            has(&print(&[]), &begin, "/run/vas/status.json, one of this user no status");
        }
        Err(_) => {
            let begin = "# status_file: not set; there is no RUNTIME_DIRECTORY and no /run/vas, so a server ";
            has(&print(&[]), begin, "that was started here writes no status");
        }
    }
    let mut server = Running::start(scene.run().env("RUNTIME_DIRECTORY", &directory));
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    server.stop();
    scene.configure(&format!("[server]\nstatus_file = \"none/status.json\"\n{}", looping(&["front"])));
    let (code, text) = ended_saying("vas-ingest: ", &mut scene.run());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("make that directory, or choose another status_file"), "{text}");
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
    let table = |n: u32| {
        format!("[[camera]]\nid = \"c{n}\"\nurl = \"rtsp://{address}/s\"\nopen_timeout_ms = 600000\n")
    };
    let cameras: String = (0..32).map(table).collect();
    let config = directory.path().join("vas.toml");
    std::fs::write(&config, format!("[server]\nstatus_file = \"status.json\"\n{cameras}")).unwrap();
    let mut ended = 0;
    // The last words of a server are lost where it gets no processor for longer than its end may take.
    for _ in 0..5 {
        let mut server = Running::start(program().args(["run", "--config"]).arg(&config));
        until("all are connecting", || {
            let status: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&status_file).ok()?).unwrap();
            let is_its_own = status["server"]["pid"] == server.pid();
            let are_connecting = (0..32).all(|n| is_in_state(&status, &format!("c{n}"), "connecting"));
            (is_its_own && are_connecting).then_some(())
        });
        let asked = std::time::Instant::now();
        server.stop();
        // Two seconds for the cameras, one for the log; a server that waited for one of them would take ten minutes.
        assert!(asked.elapsed() < std::time::Duration::from_secs(30), "{:?}", asked.elapsed());
        ended = server.log().matches("ended; ").count();
        if ended >= 32 {
            break;
        }
    }
    assert_eq!(ended, 32);
}

#[test]
fn a_status_is_shown_while_somebody_edits_the_configuration() {
    let Some(scene) = Scene::new() else { return };
    let text = format!("[server]\nstatus_file = \"status.json\"\n{}", looping(&["front"]));
    scene.configure(&text);
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    scene.configure(&format!("{text}[[camera]]\nid = \"yard\"\nurl = \"rts"));
    let shown = until("all are live", || {
        let shown = program().args(["status", "--config"]).arg(scene.path("vas.toml")).output().unwrap();
        (shown.status.code() == Some(0)).then_some(shown)
    });
    assert!(stdout(&shown).contains("\nfront "), "{}", stdout(&shown));
    server.stop();
    // A thread that got no processor for half a second leaves its file.
    let _ = std::fs::remove_file(scene.status_file());
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
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    server.stop();
}
