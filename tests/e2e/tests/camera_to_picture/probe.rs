//! `vas-ingest probe` against real cameras.

use serde_json::Value;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::process::{Ended, Process};
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server;

fn probe(scene: &Scene, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = server::command(scene);
    command.arg("probe").args(arguments).envs(variables.iter().copied());
    Process::run("vas-ingest", &mut command)
}

#[test]
fn a_camera_is_described_by_each_transport_that_works() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let camera = Camera::start(&[&clip]);
    let ended = probe(&scene, &[camera.url(), "--json"], &[]);
    assert_eq!(ended.code(), Some(0), "{} {}", ended.stdout, ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let ways = found["ways"].as_array().expect("ways");
    let transports: Vec<_> = ways.iter().map(|way| way["transport"].as_str()).collect();
    assert_eq!(transports, [Some("tcp"), Some("udp")], "{found}");
    assert!(ways.iter().all(|way| way["first_frame_ms"].is_u64() && way["trouble"].is_null()), "{found}");
    let video = &found["video"];
    assert_eq!(video["codec"], "h264", "{found}");
    assert_eq!(video["damaged"], 0, "{found}");
    let fps = video["fps"].as_f64().expect("a rate");
    assert!((24.0..26.0).contains(&fps), "{found}");
    assert!(video["bits_per_s"].as_u64().is_some_and(|bits| bits > 1000), "{found}");
    assert!(!scene.base().exists(), "a probe exports nothing");
}

#[test]
fn a_password_reaches_the_camera_and_a_wrong_one_is_told_without_it() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let camera = Camera::start_with_password(&clip, "digest", "viewer:Kanarien7");
    let tcp = [camera.url(), "--transport", "tcp"];
    let wrong = [("VAS_PROBE_USERNAME", "viewer"), ("VAS_PROBE_PASSWORD", "Falsch7er")];
    for variables in [&wrong[..], &[]] {
        let ended = probe(&scene, &tcp, variables);
        assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("does not work: ") && said.contains("401"), "{said}");
        assert!(!said.contains("Falsch7er"), "{said}");
    }
    let right = [("VAS_PROBE_USERNAME", "viewer"), ("VAS_PROBE_PASSWORD", "Kanarien7")];
    let ended = probe(&scene, &tcp, &right);
    assert_eq!(ended.code(), Some(0), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("tcp        works;") && !ended.stdout.contains("Kanarien7"),
        "{}",
        ended.stdout
    );
    let file = scene.file("password", "Kanarien7\n");
    let file = file.to_str().expect("a path that is UTF-8");
    let arguments = [&tcp[..], &["--username", "viewer", "--password-file", file]].concat();
    assert_eq!(probe(&scene, &arguments, &[]).code(), Some(0));
}
