//! Cameras over HTTP, and behind TLS.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::path::Path;
use std::process::Command;
use vas_e2e::camera::{Camera, HttpCamera, TlsFront};
use vas_e2e::clips::{clip, ffmpeg, hashes, hashes_of_full_range};
use vas_e2e::compare::{Plays, assert_same};
use vas_e2e::reader::Watch;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};
use vas_e2e::{Lacking, require};

/// A second of pictures as JPEG, and the hashes of what is in them.
fn pictures(folder: &Path) -> Result<(Vec<Vec<u8>>, Vec<String>), Lacking> {
    let clip = clip("h264.h264")?;
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(clip);
    command.args(["-frames:v", "25", "-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"]);
    ffmpeg(command.arg(folder.join("%02d.jpg")))?;
    let path = |n: usize| folder.join(format!("{n:02}.jpg"));
    let jpegs: Vec<Vec<u8>> = (1..=25).map(|n| std::fs::read(path(n)).expect("a picture")).collect();
    let all = folder.join("all.mjpeg");
    std::fs::write(&all, jpegs.concat()).expect("write all pictures");
    Ok((jpegs, hashes_of_full_range(&all)?))
}

#[test]
fn mjpeg_over_http_is_what_ffmpeg_decodes() {
    let scene = Scene::new();
    let (jpegs, right) = require!(pictures(scene.files()));
    let http = HttpCamera::start(jpegs, None);
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &camera("front", &format!("http://127.0.0.1:{}/video", http.port())));
    assert_same(&watch.frames(60), &right, Plays::RoundAndRound);
    let live = server.stderr.line_with("live:");
    assert!(live.contains("/video by ffmpeg, mjpeg 640x480 yuvj420p"), "{live}");
    server.stop_well();
}

#[test]
fn an_http_camera_gets_its_password_and_a_wrong_one_is_told_without_it() {
    let scene = Scene::new();
    let (jpegs, right) = require!(pictures(scene.files()));
    let http = HttpCamera::start(jpegs, Some(BASE64_STANDARD.encode("viewer:Kanarien7@vogel")));
    let url = format!("http://127.0.0.1:{}/video", http.port());
    let login = |password: &str| format!("username = \"viewer\"\npassword = {password:?}\n");
    let config =
        [camera("front", &url), login("Kanarien7@vogel"), camera("other", &url), login("Falsch7er")].concat();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &config);
    assert_same(&watch.frames(20), &right, Plays::RoundAndRound);
    let told = server.stderr.line_with("refuses user \"viewer\" and its password");
    assert!(told.contains("camera other at 127.0.0.1"), "{told}");
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Falsch7er") && !ended.stderr.contains("Kanarien7"), "{}", ended.stderr);
}

#[test]
fn an_http_camera_that_redirects_is_not_followed() {
    let scene = Scene::new();
    let http = HttpCamera::start(Vec::new(), None);
    let server = Server::start(&scene, &camera("front", &format!("http://127.0.0.1:{}/moved", http.port())));
    let told = server.stderr.line_with("trying again in");
    assert!(told.contains("/moved: its answer redirects to another address"), "{told}");
    server.stop_well();
}

#[test]
fn https_with_a_certificate_that_nobody_signed_is_played_only_where_that_was_said() {
    let scene = Scene::new();
    let (jpegs, right) = require!(pictures(scene.files()));
    let http = HttpCamera::start(jpegs, None);
    let front = require!(TlsFront::start(http.port(), scene.files()));
    let url = format!("https://127.0.0.1:{}/video", front.port());
    let config = [camera("strict", &url), camera("front", &url), "tls_verify = false\n".to_owned()].concat();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &config);
    assert_same(&watch.frames(20), &right, Plays::RoundAndRound);
    // Of the other one too, should it be lost on a busy machine.
    let told = server.stderr.line_with_all(&["camera{id=strict}", "trying again in"]);
    assert!(told.to_lowercase().contains("certificate"), "{told}");
    let warned = server.stderr.line_with("tls_verify is false");
    assert!(warned.contains("camera front: "), "{warned}");
    server.stop_well();
}

#[test]
fn rtsps_is_played_where_it_was_said_that_nobody_checks_the_certificate() {
    let clip = require!(clip("h264.h264"));
    let right = require!(hashes(&clip));
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let front = require!(TlsFront::start(rtsp.port(), scene.files()));
    let url = format!("rtsps://127.0.0.1:{}/cam", front.port());
    let config = [camera("strict", &url), camera("front", &url), "tls_verify = false\n".to_owned()].concat();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &config);
    assert_same(&watch.frames(40), &right, Plays::RoundAndRound);
    // This FFmpeg cannot check it, and says so; a newer one checks it, and finds that nobody has signed it.
    let told = server.stderr.line_with_all(&["camera{id=strict}", "trying again in"]);
    assert!(told.contains("certificate"), "{told}");
    server.stop_well();
}
