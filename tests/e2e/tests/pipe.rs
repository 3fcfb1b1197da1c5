//! `vas-frames pipe` into real programs: what `ffmpeg` decodes from the pipe is, hash by hash, what it decodes from the camera's clip.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use vas_e2e::clips::{clip, ffmpeg, hashes, hashes_of_full_range};
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::reader::{self, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, clean, file_camera};
use vas_e2e::{require, until};

/// `vas-frames pipe front WORDS | PROGRAM`, by a shell; the exit code is that of `vas-frames`.
fn piped(scene: &Scene, words: &str, into: &str) -> Command {
    let frames = program("vas-frames");
    let script = format!(
        "set -o pipefail; {{ '{}' pipe front {words}; echo \"code $?\" >&2; }} | {into}",
        frames.display()
    );
    let mut command = clean(Command::new("bash"), scene);
    command.args(["-c", &script]);
    command
}

const HASH: &str = "-fps_mode passthrough -pix_fmt nv12 -f framemd5 -";

fn hashes_in(ended: &Ended) -> Vec<String> {
    let frames = ended.stdout.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| line.rsplit(',').next()).map(|hash| hash.trim().to_owned()).collect()
}

/// What is said at the end: frames written, frames skipped.
fn counts(stderr: &str) -> (usize, usize) {
    let line =
        stderr.lines().find(|line| line.contains(" frames written, ")).unwrap_or_else(|| panic!("{stderr}"));
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// Each picture of the pipe is one of the clip's, in the clip's order, and no more of them are left out than were told.
#[track_caller]
fn assert_plays(found: &[String], pictures: &[String], skipped: usize) {
    let fits = |begin: usize| {
        let mut at = begin;
        let mut left_out = 0;
        for hash in found {
            while pictures[at % pictures.len()] != *hash {
                left_out += 1;
                at += 1;
                if left_out > skipped {
                    return false;
                }
            }
            at += 1;
        }
        true
    };
    assert!((0..pictures.len()).any(fits), "{} pictures with {skipped} skipped: {found:?}", found.len());
}

fn assert_ffmpeg_sees(
    name: &str,
    words: &str,
    into: &str,
    hashes: impl Fn(&std::path::Path) -> Result<Vec<String>, String>,
) -> Result<String, String> {
    let clip = clip(name)?;
    let pictures = hashes(&clip)?;
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let ended = Process::run("pipe", &mut piped(&scene, &format!("--count 60 {words}"), into));
    assert!(ended.stderr.contains("code 0\n") || ended.stderr.ends_with("code 0"), "{}", ended.stderr);
    let found = hashes_in(&ended);
    let (written, skipped) = counts(&ended.stderr);
    assert_eq!((found.len(), written), (60, 60), "{}", ended.stderr);
    assert_plays(&found, &pictures, skipped);
    server.stop_well();
    Ok(ended.stderr)
}

#[test]
fn ffmpeg_decodes_the_cameras_pictures_from_y4m() {
    let into = format!("ffmpeg -nostdin -v error -i - {HASH}");
    let _ = require!(assert_ffmpeg_sees("yard.mp4", "", &into, hashes));
}

#[test]
fn ffmpeg_decodes_the_cameras_pictures_from_raw_nv12_as_the_pipe_says() {
    let into =
        format!("ffmpeg -nostdin -v error -f rawvideo -pixel_format nv12 -video_size 320x240 -i - {HASH}");
    let said = require!(assert_ffmpeg_sees("yard.mp4", "--format nv12", &into, hashes));
    assert!(said.contains("ffmpeg -f rawvideo -pixel_format nv12 -video_size 320x240 -i -"), "{said}");
}

#[test]
fn a_picture_of_odd_size_keeps_its_last_column_and_row() {
    let into = format!("ffmpeg -nostdin -v error -i - {HASH}");
    let _ = require!(assert_ffmpeg_sees("odd_641x479.avi", "", &into, hashes));
}

#[test]
fn full_range_stays_full_range() {
    // Were the range not named, ffmpeg would take the samples for limited range and stretch them.
    let into = format!("ffmpeg -nostdin -v error -i - -vf scale=out_range=full {HASH}");
    let _ = require!(assert_ffmpeg_sees("full_range.h264", "", &into, hashes_of_full_range));
}

/// The line before the first picture.
fn header(scene: &Scene, words: &str) -> String {
    let ended = Process::run("pipe", &mut piped(scene, &format!("--count 1 {words}"), "head -n 1"));
    ended.stdout.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_header_names_size_rate_chroma_and_range() {
    let limited = require!(clip("limited_range.h264"));
    let full = require!(clip("full_range.h264"));
    for (clip, end) in
        [(limited, "Ip A0:0 C420mpeg2 XCOLORRANGE=LIMITED"), (full, "Ip A0:0 C420jpeg XCOLORRANGE=FULL")]
    {
        let scene = Scene::new();
        let server = Server::start(&scene, &file_camera("front", &clip, true));
        let of_camera = header(&scene, "");
        assert!(of_camera.starts_with("YUV4MPEG2 W") && of_camera.contains(" F25:1 "), "{of_camera}");
        assert!(of_camera.ends_with(end), "{of_camera}");
        assert!(header(&scene, "--rate 29.97").contains(" F30000:1001 "));
        server.stop_well();
    }
}

#[test]
fn each_verb_is_one_sentence_in_the_help() {
    let help = reader::run(&Scene::new(), &["-h"]).stdout;
    let verbs: Vec<_> =
        help.lines().skip_while(|line| *line != "Commands:").take_while(|line| !line.is_empty()).collect();
    assert!(verbs.len() > 10, "{help}");
    assert!(verbs.iter().all(|line| !line.contains(". ")), "{help}");
}

/// A pipe whose reader is this test.
fn read_by_us(scene: &Scene, words: &[&str]) -> Child {
    let mut command = clean(Command::new(program("vas-frames")), scene);
    command.args(["pipe", "front", "--format", "nv12"]).args(words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the pipe starts")
}

fn read_frames(child: &mut Child, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * 320 * 240 * 3 / 2];
    child.stdout.as_mut().expect("piped").read_exact(&mut bytes).expect("whole frames");
    bytes
}

fn end_of(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_restart_of_the_server_with_the_same_picture_goes_on() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let mut child = read_by_us(&scene, &["--count", "40"]);
    let _ = read_frames(&mut child, 10);
    server.kill();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let _ = read_frames(&mut child, 30);
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(counts(&said).0, 40, "{said}");
    server.stop_well();
}

#[test]
fn a_picture_of_another_size_ends_the_pipe_with_a_sentence_and_its_own_exit_code() {
    let (small, other) = (require!(clip("yard.mp4")), require!(clip("odd_641x479.avi")));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &small, true));
    let mut child = read_by_us(&scene, &["--count", "500"]);
    let _ = read_frames(&mut child, 10);
    server.stop_well();
    let server = Server::start(&scene, &file_camera("front", &other, true));
    let mut rest = Vec::new();
    child.stdout.as_mut().expect("piped").read_to_end(&mut rest).expect("its end");
    assert_eq!(rest.len() % (320 * 240 * 3 / 2), 0, "only whole pictures, and all of the first size");
    let (code, said) = end_of(child);
    assert_eq!(code, Some(4), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("the picture changed from 320x240") && last.contains("to 641x479"), "{said}");
    server.stop_well();
}

#[test]
fn whoever_reads_slowly_misses_frames_that_are_counted_and_keeps_nobody_waiting() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let mut child = read_by_us(&scene, &["--count", "10"]);
    let _ = read_frames(&mut child, 1);
    // Nothing is read for so long. The pipe between holds less than a picture.
    watch.skip_to_now();
    let _ = watch.frames(40);
    let _ = read_frames(&mut child, 9);
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    let (written, skipped) = counts(&said);
    assert!(written == 10 && skipped >= 20, "{said}");
    server.stop_well();
}

#[test]
fn the_timeout_is_the_cameras_and_not_that_of_whoever_reads_slowly() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let mut child = read_by_us(&scene, &["--count", "10", "--timeout", "2"]);
    let _ = read_frames(&mut child, 1);
    // The pipe between holds less than a picture, so the second one is being written all the while.
    std::thread::sleep(Duration::from_secs(4));
    let _ = read_frames(&mut child, 9);
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    server.stop_well();
}

#[test]
fn a_camera_that_gives_no_frame_ends_the_pipe_by_the_timeout() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let mut child = read_by_us(&scene, &["--timeout", "2"]);
    let _ = read_frames(&mut child, 3);
    server.stop_well();
    let mut rest = Vec::new();
    child.stdout.as_mut().expect("piped").read_to_end(&mut rest).expect("its end");
    let (code, said) = end_of(child);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_reader_that_leaves_ends_the_pipe_well() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let ended = Process::run("pipe", &mut piped(&scene, "", "head -c 300000 >/dev/null"));
    assert!(ended.stderr.lines().any(|line| line == "code 0"), "{}", ended.stderr);
    // Also while no frame comes.
    let mut child = read_by_us(&scene, &[]);
    let _ = read_frames(&mut child, 1);
    server.stop_well();
    drop(child.stdout.take());
    let status = until("the pipe ends", || child.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_terminal_gets_a_sentence_and_no_pictures() {
    let scene = Scene::new();
    let words = format!("'{}' pipe front", program("vas-frames").display());
    let mut command = clean(Command::new("script"), &scene);
    if Command::new("script").arg("--version").output().is_err() {
        vas_e2e::skip("the script program is not installed (Debian: apt-get install bsdutils)");
        return;
    }
    let ended = Process::run("script", command.args(["-qec", &words, "/dev/null"]));
    assert_eq!(ended.code(), Some(2), "{}", ended.stdout);
    assert!(ended.stdout.contains("vas-frames pipe front | ffplay -"), "{}", ended.stdout);
}

#[test]
fn ffmpeg_encodes_a_pipe_into_a_video_that_plays() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    let video = scene.files().join("front.mp4");
    let into = format!("ffmpeg -nostdin -v error -i - -c:v libx264 -preset ultrafast '{}'", video.display());
    let ended = Process::run("pipe", &mut piped(&scene, "--count 30", &into));
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let told = require!(ffmpeg(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(&video)
            .args(["-f", "framemd5", "-"])
    ));
    assert_eq!(told.lines().filter(|line| !line.starts_with('#')).count(), 30);
    server.stop_well();
}
