//! Passwords reach the camera and nothing else.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::reader::{self, Watch};
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, Server, camera};

/// Characters that have to be encoded in URLs: whoever encodes and forgets to mask that form is found too.
const PASSWORD: &str = "Kanarien7/vogel@#%";
const PASSWORD_IN_URL: &str = "Kanarien7%2Fvogel%40%23%25";
const WRONG: &str = "Falsch7er-Vogel";

/// What the server's process shows to others. Its environment is not among it: only its own user reads that.
fn shown_by_the_system(id: u32) -> String {
    let mut shown = String::new();
    let mut add = |path: String| {
        // Threads come and go; what is gone shows nothing.
        shown.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()));
    };
    add(format!("/proc/{id}/cmdline"));
    add(format!("/proc/{id}/comm"));
    for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
        add(task.path().join("comm").display().to_string());
    }
    shown
}

fn passwords_stay_secret(scheme: &str) {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let rtsp = Camera::start_with_password(&clip, scheme, &format!("viewer:{PASSWORD}"));
    let url = rtsp.url();
    let url_with = |password: &str| url.replace("//", &format!("//viewer:{password}@"));
    let file = scene.file("password", &format!("{PASSWORD}\n"));
    let config = [
        // In each place where a password may stand, and a wrong one too.
        camera("by-url", &url_with(PASSWORD_IN_URL)),
        format!("{}username = \"viewer\"\npassword = {PASSWORD:?}\n", camera("by-key", url)),
        format!("{}username = \"viewer\"\npassword_file = {file:?}\n", camera("by-file", url)),
        camera("by-env", url),
        camera("refused", &url_with(WRONG)),
    ]
    .concat();
    let config = scene.file("vas.toml", &config);
    let mut command = server::command(&scene);
    command
        .args(["run", "--config"])
        .arg(config)
        .env("VAS_CAMERA_BY_ENV_USERNAME", "viewer")
        .env("VAS_CAMERA_BY_ENV_PASSWORD", PASSWORD)
        // The most that it can be made to say.
        .env("VAS_LOG", "trace");
    let server = Server::start_command(&mut command);
    let mut told = String::new();
    for id in ["by-url", "by-key", "by-file", "by-env"] {
        let mut watch = Watch::start(&scene, id);
        let _ = watch.frames(3);
        told += &reader::run(&scene, &["inspect", id, "--json"]).stdout;
    }
    let _ = server.stderr.line_with("refuses");
    told += &shown_by_the_system(server.id());
    for path in scene.exported_files() {
        // Pixels are no text, but frame.meta could hold some.
        told += &String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default());
    }
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    told += &ended.stdout;
    told += &ended.stderr;
    assert!(told.contains("by-url") && told.contains("live:"), "the test is blind");

    for secret in [PASSWORD, PASSWORD_IN_URL, WRONG] {
        let as_basic = BASE64_STANDARD.encode(format!("viewer:{secret}"));
        for form in [secret, &as_basic] {
            let line = told.lines().find(|line| line.contains(form)).unwrap_or_default();
            assert!(!told.contains(form), "{form} is in: {line}");
        }
    }
}

#[test]
fn passwords_for_basic_authentication_appear_nowhere() {
    passwords_stay_secret("basic");
}

#[test]
fn passwords_for_digest_authentication_appear_nowhere() {
    passwords_stay_secret("digest");
}
