//! The frames that a reader gets are, hash by hash, those that the `ffmpeg` program decodes from the same stream.

use std::path::Path;
use vas_e2e::camera::Camera;
use vas_e2e::clips::{clip, cropped, hashes, hashes_of_full_range, hashes_of_part};
use vas_e2e::compare::{Plays, assert_same, same};
use vas_e2e::reader::{Frame, Line, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{CLIENTS, Server, file_camera, rtsp_camera};
use vas_e2e::{over_udp, require};

/// Three seconds of each camera.
const FRAMES: usize = 75;

/// Reads frames of our RTSP camera; everything has ended well when this returns.
fn frames_over_rtsp(clip: &Path, client: &str, transport: &str) -> Vec<Frame> {
    let scene = Scene::new();
    let rtsp = Camera::start(&[clip]);
    let mut watch = Watch::start(&scene, "front");
    let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, transport));
    let frames = watch.frames(FRAMES);
    server.stop_well();
    frames
}

// Proves COLOR-4.
#[test]
fn h264_over_tcp_is_what_ffmpeg_decodes() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        assert_same(&frames_over_rtsp(&clip, client, "tcp"), &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn h265_over_tcp_is_what_ffmpeg_decodes() {
    let clip = require!(clip("h265.h265"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        assert_same(&frames_over_rtsp(&clip, client, "tcp"), &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn h264_over_udp_is_what_ffmpeg_decodes() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        over_udp(|| same(&frames_over_rtsp(&clip, client, "udp"), &pictures, Plays::RoundAndRound));
    }
}

#[test]
fn h265_over_udp_is_what_ffmpeg_decodes() {
    let clip = require!(clip("h265.h265"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        over_udp(|| same(&frames_over_rtsp(&clip, client, "udp"), &pictures, Plays::RoundAndRound));
    }
}

// Proves PIC-1 and PIC-4.
#[test]
fn an_odd_size_over_tcp_is_what_ffmpeg_decodes() {
    let clip = require!(clip("odd_641x479.h264"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        let frames = frames_over_rtsp(&clip, client, "tcp");
        assert_eq!((frames[0].width, frames[0].height), (641, 479));
        assert_same(&frames, &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn what_a_camera_wants_cut_off_is_cut_off_to_the_pixel() {
    let clip = require!(clip("h264.h264"));
    let folder = Scene::new();
    let cut = require!(cropped(&clip, [2, 6, 2, 4], folder.files()));
    let pictures = require!(hashes_of_part(&clip, (2, 2), (632, 474)));
    for client in CLIENTS {
        let frames = frames_over_rtsp(&cut, client, "tcp");
        assert_eq!((frames[0].width, frames[0].height), (632, 474));
        assert_same(&frames, &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn full_range_samples_are_kept_as_ffmpeg_decodes_them() {
    let clip = require!(clip("full_range.h264"));
    let pictures = require!(hashes_of_full_range(&clip));
    let squeezed = require!(hashes(&clip));
    assert_ne!(
        pictures[0], squeezed[0],
        "ffmpeg's default would squeeze them, so the comparison means something"
    );
    for client in CLIENTS {
        assert_same(&frames_over_rtsp(&clip, client, "tcp"), &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn bikes_with_b_frames_over_tcp_come_in_the_order_of_display() {
    let clip = require!(clip("bikes.h264"));
    let pictures = require!(hashes(&clip));
    for client in CLIENTS {
        assert_same(&frames_over_rtsp(&clip, client, "tcp"), &pictures, Plays::RoundAndRound);
    }
}

#[test]
fn a_file_that_is_played_round_and_round_has_every_picture_also_at_its_seam() {
    let clip = require!(clip("yard.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let frames = watch.frames(pictures.len() + 30);
    assert_same(&frames, &pictures, Plays::RoundAndRound);
    server.stop_well();
}

#[test]
fn an_odd_sized_file_is_what_ffmpeg_decodes() {
    let clip = require!(clip("odd_641x479.avi"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    assert_same(&watch.frames(FRAMES), &pictures, Plays::RoundAndRound);
    server.stop_well();
}

#[test]
fn a_file_that_is_played_once_ends_with_its_last_picture_and_so_does_the_server() {
    let clip = require!(clip("bikes.mp4"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let mut watch = Watch::start(&scene, "yard");
    // It looks for the camera before there is one: the file does not wait for its reader.
    assert_eq!(watch.until_any_state(&["waiting"]), "waiting");
    let server = Server::start(&scene, &file_camera("yard", &clip, false));
    let mut frames = vec![watch.frame()];
    // The files may be gone between two looks of the reader: then it waits, without having been told "stopped".
    let end = loop {
        match watch.next_line().expect("a watch goes on without its server") {
            Line::Frame(frame) => frames.push(frame),
            Line::State(state) => {
                if ["stopped", "waiting"].contains(&state.as_str()) {
                    break state;
                }
            }
        }
    };
    println!("told at the end: {end}");
    assert_same(&frames, &pictures, Plays::Once);
    assert!(frames.len() >= 10, "only {} of {} frames", frames.len(), pictures.len());

    let ended = server.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(scene.exported_files().is_empty(), "left behind: {:?}", scene.exported_files());
}
