//! The real program, told to read its configuration again while it runs.

use crate::scene::*;
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

pub(crate) const SERVER: &str = "[server]\nstatus_file = \"status.json\"\n";

/// A camera that refuses everybody; what it is sent as credentials comes out of the channel.
pub(crate) fn refusing_camera() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, credentials) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let requests = BufReader::new(connection.try_clone().unwrap());
            let mut sequence = String::new();
            for line in requests.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("CSeq:") {
                    sequence = number.trim().to_owned();
                }
                if let Some(found) = line.strip_prefix("Authorization: Basic ") {
                    let _ = sender.send(found.to_owned());
                }
                if line.is_empty() {
                    let answer = format!(
                        "RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n"
                    );
                    let _ = connection.write_all(answer.as_bytes());
                }
            }
        }
    });
    (address, credentials)
}

pub(crate) fn decoded(status: &serde_json::Value, id: &str) -> u64 {
    camera(status, id).unwrap()["counters"]["decoded"].as_u64().unwrap()
}

#[test]
fn only_cameras_that_changed_are_started_again() {
    let Some(scene) = Scene::new() else { return };
    let Ok(base) = tempfile::tempdir_in(vas_test_support::shared_memory()) else {
        return vas_test_support::skipped("no directory in shared memory");
    };
    let head = format!(
        "{SERVER}[export]\nenabled = true\nwhen = \"always\"\nbase = {:?}\n",
        base.path().join("vas")
    );
    scene.configure(&format!("{head}{}", looping(&["same", "changed", "gone"])));
    let mut server = Running::start(&mut scene.run());
    let before = scene.status_with("all are live, with a second of frames", |status| {
        ["same", "changed", "gone"]
            .iter()
            .all(|id| is_in_state(status, id, "live") && decoded(status, id) > 25)
    });
    let meta = |id: &str| base.path().join("vas").join(id).join("frame.meta");
    // Made by a thread beside the cameras, whenever it gets a processor.
    until("their files", || ["same", "changed", "gone"].iter().all(|id| meta(id).exists()).then_some(()));
    let pair = |id: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(meta(id)).unwrap());
    let pair_before = pair("same");

    let changed = looping(&["changed"]).replace("loop = true\n", "loop = true\nring_frames = 7\n");
    scene.configure(&format!("{head}{}{changed}{}", looping(&["new"]), looping(&["same"])));
    server.signal(Signal::HUP);
    server.wait_for_line(
        "reloaded; cameras: 1 started again (changed); 1 new (new); 1 removed (gone); 1 unchanged",
    );
    let after = scene.status_with("all are live again", |status| {
        camera(status, "gone").is_none()
            && ["new", "changed", "same"].iter().all(|id| is_in_state(status, id, "live"))
            && decoded(status, "same") > decoded(&before, "same") + 25
    });
    let names: Vec<_> = after["cameras"].as_array().unwrap().iter().map(|camera| &camera["id"]).collect();
    assert_eq!(names, ["new", "changed", "same"], "in the order of the configuration");
    assert_eq!(after["reload"]["ok"], true);
    // The one is as it was, of the other nothing is left.
    assert_eq!(pair("same"), pair_before);
    assert_eq!(camera(&after, "same").unwrap()["counters"]["reconnects"], 0);
    let gone = base.path().join("vas/gone");
    until("nothing is left of a camera that left the configuration", || (!gone.exists()).then_some(()));
    until("the files of a new one", || meta("new").exists().then_some(()));
    // Who looks is told, within the five seconds after which that is asked again.
    let watched = |status: &serde_json::Value| camera(status, "same").unwrap()["readers_attached"].clone();
    let reader = std::fs::File::open(meta("same")).unwrap();
    let status = scene.status_with("a reader", |status| watched(status) == true);
    assert!(camera(&status, "same").unwrap()["shared_memory_bytes"].as_u64() > Some(4096), "{status}");
    drop(reader);
    scene.status_with("no reader", |status| watched(status) == false);
    server.stop();
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing_and_is_told_of() {
    let Some(scene) = Scene::new() else { return };
    let good = format!("{SERVER}{}", looping(&["front"]));
    scene.configure(&good);
    let mut server = Running::start(&mut scene.run());
    scene.status_with("live", |status| is_in_state(status, "front", "live"));
    for (text, why) in [
        (
            format!("{good}ring_farmes = 3\n"),
            "vas.toml line 7: unknown key \"ring_farmes\"; did you mean \"ring_frames\"?",
        ),
        (
            format!("{good}[export]\nenabled = true\n"),
            "[export] has changed, which needs a restart of the server",
        ),
        (
            good.replace("status.json", "other.json"),
            "[server] has changed, which needs a restart of the server",
        ),
        (SERVER.to_owned(), "no camera: "),
    ] {
        scene.configure(&text);
        server.signal(Signal::HUP);
        let line = server.wait_for_line("the reload failed: ");
        assert!(line.contains(why) && line.ends_with("; the cameras go on as they were"), "{line}");
        let status = scene.status_with("it is told, and the camera is live", |status| {
            status["reload"]["sentence"].as_str().is_some_and(|sentence| sentence.contains(why))
                && is_in_state(status, "front", "live")
        });
        assert_eq!(status["reload"]["ok"], false);
    }
    scene.configure(&good);
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 1 unchanged");
    let status = scene.status_with("that is told", |status| status["reload"]["ok"] == true);
    assert_eq!(camera(&status, "front").unwrap()["counters"]["reconnects"], 0, "{status}");
    server.stop();
}

#[test]
fn a_corrected_password_is_tried_at_once_and_not_after_minutes() {
    let (address, credentials) = refusing_camera();
    let directory = tempfile::tempdir().unwrap();
    let (status_file, config) = (directory.path().join("status.json"), directory.path().join("vas.toml"));
    std::fs::write(directory.path().join("password"), "first-secret\n").unwrap();
    std::fs::write(
        &config,
        format!("{SERVER}[[camera]]\nid = \"a\"\nurl = \"rtsp://{address}/s\"\nusername = \"admin\"\npassword_file = \"password\"\n"),
    )
    .unwrap();
    let mut server = Running::start(program().args(["run", "--config"]).arg(&config));
    server.wait_for_line("trying again in 300 s");
    // So long ago that what is left of the wait reads as less.
    until("the state", || {
        let status: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&status_file).ok()?).unwrap();
        let left_ms = camera(&status, "a")?["retry_in_ms"].as_u64()?;
        (is_in_state(&status, "a", "auth_failed") && left_ms < 299_800).then_some(())
    });
    let first: Vec<String> = credentials.try_iter().collect();
    assert!(first.iter().any(|text| text == "YWRtaW46Zmlyc3Qtc2VjcmV0"), "{first:?}");
    // The same password is not tried once more, whether or not another key has changed: accounts are locked by tries.
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 1 unchanged");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}ring_frames = 7\n")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 1 started again (a)");
    server.wait_for_line("trying again in 2");
    std::fs::write(directory.path().join("password"), "second-secret\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 1 started again (a)");
    server.wait_for_line("trying again in 300 s");
    server.stop();
    // admin:first-secret and admin:second-secret.
    let sent: Vec<String> = credentials.try_iter().collect();
    assert!(!sent.iter().any(|text| text == "YWRtaW46Zmlyc3Qtc2VjcmV0"), "{sent:?}");
    assert!(sent.iter().any(|text| text == "YWRtaW46c2Vjb25kLXNlY3JldA=="), "{sent:?}");
    let log = server.log();
    assert!(!log.contains("-secret"), "{log}");
}

#[test]
fn a_server_that_waits_for_a_password_file_goes_on_and_stops_when_it_is_told_to() {
    let Some(scene) = Scene::new() else { return };
    let password = scene.path("password");
    std::fs::write(&password, "secret\n").unwrap();
    let camera = format!(
        "[[camera]]\nid = \"away\"\nurl = \"rtsp://{CLOSED}/s\"\nusername = \"u\"\npassword_file = \"password\"\n"
    );
    scene.configure(&format!("{SERVER}{}{camera}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    let before = scene.status_with("live", |status| is_in_state(status, "front", "live"));
    // Nobody writes to it: whoever opens it to read waits.
    std::fs::remove_file(&password).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &password, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // The second one finds the first at its reading.
    for _ in 0..2 {
        server.signal(Signal::HUP);
        server.wait_for_line("reading the configuration again");
    }
    scene.status_with("frames", |status| decoded(status, "front") > decoded(&before, "front") + 25);
    server.stop();
}

#[test]
fn the_directory_of_a_camera_that_was_played_to_the_end_goes_when_the_camera_does() {
    let Some(scene) = Scene::new() else { return };
    let Ok(base) = tempfile::tempdir_in(vas_test_support::shared_memory()) else {
        return vas_test_support::skipped("no directory in shared memory");
    };
    let base = base.path().join("vas");
    let head = format!("{SERVER}[export]\nenabled = true\nwhen = \"always\"\nbase = {base:?}\n");
    // So long that its files are made before its end, by a thread that may have to wait for a processor.
    scene.add_clip("long.mp4", 5);
    let once = "[[camera]]\nid = \"once\"\nurl = \"long.mp4\"\n";
    scene.configure(&format!("{head}{}{once}", looping(&["front"])));
    let mut server = Running::start(&mut scene.run());
    scene.status_with("its end", |status| is_in_state(status, "once", "finished"));
    // The server has heard of it too, and not only the camera's own thread.
    server.wait_for_line("camera{id=once}: ended; ");
    // It stays for who may have mounted it, as long as the camera is in the configuration.
    assert!(base.join("once").exists());
    scene.configure(&format!("{head}{}", looping(&["front"])));
    server.signal(Signal::HUP);
    server.wait_for_line("reloaded; cameras: 1 removed (once); 1 unchanged");
    until("its directory goes", || (!base.join("once").exists()).then_some(()));
    until("that of the other one is there", || base.join("front").exists().then_some(()));
    server.stop();
}
