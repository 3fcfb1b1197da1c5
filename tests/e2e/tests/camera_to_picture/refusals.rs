//! Bad input gets one clear sentence and an exit code.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::process::{Ended, Process};
use vas_e2e::reader;
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, Server, camera};

/// Runs a server that does not come to run. Its last words are lost where it gets no processor for longer than its end may take: then it
/// is run again.
fn refused(command: &mut Command) -> Ended {
    let mut ended = Process::run("vas-ingest", command);
    for _ in 0..4 {
        if ended.stderr.lines().any(|line| !line.contains(" INFO ")) {
            break;
        }
        ended = Process::run("vas-ingest", command);
    }
    ended
}

/// The server ended with that code and one sentence, which holds the words.
fn assert_sentence(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code(), Some(code), "{}", ended.stderr);
    // What is told before at level INFO is the log of a server that was about to start.
    let sentences: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("not one sentence:\n{}", ended.stderr) };
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in: {sentence}");
    }
    for noise in ["panicked", "backtrace", "RUST_", "Error {", "Os {"] {
        assert!(!ended.stderr.contains(noise), "{}", ended.stderr);
    }
}

fn refused_config(text: &str) -> Ended {
    let scene = Scene::new();
    let config = scene.file("vas.toml", text);
    let check = refused(server::command(&scene).args(["check-config", "--config"]).arg(&config));
    let run = refused(server::command(&scene).args(["run", "--config"]).arg(&config));
    assert_eq!(check.code(), Some(2), "check-config: {}", check.stderr);
    assert_eq!(check.stderr, run.stderr, "check-config says what run would say");
    assert!(!scene.base().exists(), "a server that does not start makes no directory");
    run
}

#[test]
fn a_camera_id_that_leaves_its_directory_is_refused() {
    let ended = refused_config(&camera("../x", "rtsp://127.0.0.1/cam"));
    assert_sentence(&ended, 2, &["vas.toml line 2", "../x"]);
    let scene = Scene::new();
    let ended = refused(server::command(&scene).args(["run", "--camera", "../x=rtsp://127.0.0.1/cam"]));
    assert_sentence(&ended, 2, &["--camera", "../x"]);
    for verb in [&["watch", "../x"][..], &["inspect", "../x"], &["snapshot", "../x", "-o", "x.png"]] {
        let ended = reader::run(&scene, verb);
        assert_sentence(&ended, 2, &["../x"]);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let ended = refused_config(&format!("{}colour = \"blue\"\n", camera("front", "rtsp://127.0.0.1/cam")));
    assert_sentence(&ended, 2, &["vas.toml line 4", "colour"]);
}

#[test]
fn a_configuration_that_is_not_there_is_refused() {
    let scene = Scene::new();
    let ended = refused(server::command(&scene).args(["run", "--config", "/nowhere/vas.toml"]));
    assert_sentence(&ended, 2, &["/nowhere/vas.toml", "No such file"]);
}

#[test]
fn a_video_file_that_is_not_there_is_refused_where_somebody_is_there_to_read_it() {
    let scene = Scene::new();
    let words = ["yard", "/nowhere/yard.mp4", "No such file"];
    let ended = refused(server::command(&scene).args(["run", "--camera", "yard=/nowhere/yard.mp4"]));
    assert_sentence(&ended, 2, &words);
    // A server that is started from a file waits for it (vas-ingest/tests/running/missing.rs).
    let config = scene.file("vas.toml", &camera("yard", "/nowhere/yard.mp4"));
    let ended = refused(server::command(&scene).args(["check-config", "--config"]).arg(config));
    assert_sentence(&ended, 2, &words);
    assert!(!scene.base().exists(), "nobody made a directory");
}

#[test]
fn a_video_file_that_holds_no_video_fails_at_run_time() {
    let scene = Scene::new();
    let text = scene.file("yard.mp4", "This is not a film.");
    let ended =
        refused(server::command(&scene).args(["run", "--camera", &format!("yard={}", text.display())]));
    assert_sentence(&ended, 1, &["yard.mp4"]);
}

#[test]
fn no_camera_at_all_is_refused() {
    let scene = Scene::new();
    assert_sentence(&refused(server::command(&scene).arg("run")), 2, &["no camera"]);
}

#[test]
fn a_flag_that_is_neither_true_nor_false_is_refused() {
    let scene = Scene::new();
    let mut command = server::command(&scene);
    command.args(["run", "--camera", "front=rtsp://127.0.0.1/cam"]).env("AI_FRAME_EXPORT_ENABLED", "perhaps");
    assert_sentence(&refused(&mut command), 2, &["AI_FRAME_EXPORT_ENABLED", "perhaps"]);
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let scene = Scene::new();
    let argument = "front=rtsp://viewer:Kanarien7vogel@127.0.0.1/cam";
    let ended = refused(server::command(&scene).args(["run", "--camera", argument]));
    assert_sentence(&ended, 2, &["front", "VAS_CAMERA_FRONT_PASSWORD"]);
    assert!(!ended.stderr.contains("Kanarien7vogel"), "{}", ended.stderr);
}

#[test]
fn a_base_directory_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return vas_e2e::skip("only root can make a directory of another user");
    }
    let scene = Scene::new();
    let nobody = rustix::fs::Uid::from_raw(65534);
    std::fs::create_dir(scene.base()).expect("make the base directory");
    rustix::fs::chown(scene.base(), Some(nobody), None).expect("give it away");
    let mut command = server::command(&scene);
    let ended = refused(command.args(["run", "--camera", "front=rtsp://127.0.0.1/cam"]));
    assert_sentence(&ended, 3, &[scene.base().to_str().expect("text"), "65534"]);
}

#[test]
fn a_base_directory_that_others_may_write_is_refused() {
    let scene = Scene::new();
    std::fs::create_dir(scene.base()).expect("make the base directory");
    std::fs::set_permissions(scene.base(), PermissionsExt::from_mode(0o777)).expect("open it to everybody");
    let mut command = server::command(&scene);
    let ended = refused(command.args(["run", "--camera", "front=rtsp://127.0.0.1/cam"]));
    assert_sentence(&ended, 3, &[scene.base().to_str().expect("text"), "777"]);
}

#[test]
fn a_base_directory_that_would_survive_a_restart_is_refused() {
    let scene = Scene::new();
    let base = scene.files().join("vas");
    // A machine may have its temporary folder in memory.
    let filesystem = rustix::fs::statfs(scene.files()).expect("statfs").f_type;
    if filesystem == 0x0102_1994 {
        return vas_e2e::skip("the folder for temporary files is a tmpfs");
    }
    let mut command = server::command(&scene);
    command.args(["run", "--camera", "front=rtsp://127.0.0.1/cam", "--base"]).arg(&base);
    assert_sentence(&refused(&mut command), 3, &[base.to_str().expect("text"), "tmpfs"]);
}

#[test]
fn files_that_are_no_header_are_refused_by_readers_with_3() {
    let scene = Scene::new();
    let folder = scene.base().join("front");
    std::fs::create_dir_all(&folder).expect("make the camera's directory");
    std::fs::write(folder.join("frame.meta"), vec![0xff; 4096]).expect("write frame.meta");
    std::fs::write(folder.join("frame.data"), vec![0xff; 4096]).expect("write frame.data");
    for verb in [&["watch", "front"][..], &["snapshot", "front", "-o", "never.png"]] {
        let ended = reader::run(&scene, verb);
        assert_eq!(ended.code(), Some(3), "{verb:?}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("vas-frames: ") && last.contains("magic"), "{verb:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"));
    }
}

#[test]
fn a_wrong_password_is_told_once_without_it_and_the_server_goes_on() {
    let clip = require!(clip("h264.h264"));
    for scheme in ["basic", "digest"] {
        let scene = Scene::new();
        let rtsp = Camera::start_with_password(&clip, scheme, "viewer:right one");
        let config =
            format!("{}username = \"viewer\"\npassword = \"Kanarien7vogel\"\n", camera("front", rtsp.url()));
        let mut server = Server::start(&scene, &config);
        let sentence = server.stderr.line_with("refuses");
        let host = format!("127.0.0.1:{}", rtsp.port());
        for words in ["front", &host, "viewer"] {
            assert!(sentence.contains(words), "{words:?} is not in: {sentence}");
        }
        assert!(server.is_running(), "one camera's password is no reason to end");
        let (ended, _) = server.stop();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("Kanarien7vogel") && !ended.stdout.contains("Kanarien7vogel"));
        assert_eq!(ended.stderr.matches("refuses").count(), 1, "told once: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}
