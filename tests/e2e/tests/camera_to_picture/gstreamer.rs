//! GStreamer's RTSP server as the camera: a stack that nobody here wrote, for both RTSP clients.

use vas_e2e::camera::GstreamerCamera;
use vas_e2e::clips::{as_mp4, clip, hashes};
use vas_e2e::compare::{Plays, assert_same};
use vas_e2e::reader::Watch;
use vas_e2e::scene::Scene;
use vas_e2e::server::{CLIENTS, Server, rtsp_camera};
use vas_e2e::{Lacking, require};

const FRAMES: usize = 75;

/// The clip is four seconds long, and GStreamer plays a file once: three rounds are enough for a slow start.
const ROUNDS: usize = 3;

fn is_what_ffmpeg_decodes(name: &str, codec: &str, transport: &str) -> Result<(), Lacking> {
    let clip = clip(name)?;
    let pictures = hashes(&clip)?;
    // Over UDP retina has what the kernel's default buffer holds: on a machine that is busy with tests, that is not always enough.
    for client in CLIENTS.into_iter().filter(|client| (*client, transport) != ("retina", "udp")) {
        let scene = Scene::new();
        let rtsp = GstreamerCamera::start(&as_mp4(&clip, ROUNDS, scene.files())?, codec)?;
        let mut watch = Watch::start(&scene, "front");
        let server = Server::start(&scene, &rtsp_camera("front", rtsp.url(), client, transport));
        assert_same(&watch.frames(FRAMES), &pictures, Plays::RoundAndRound);
        server.stop_well();
    }
    Ok(())
}

#[test]
fn gstreamer_h264_over_tcp_is_what_ffmpeg_decodes() {
    require!(is_what_ffmpeg_decodes("h264.h264", "h264", "tcp"));
}

#[test]
fn gstreamer_h264_over_udp_is_what_ffmpeg_decodes() {
    require!(is_what_ffmpeg_decodes("h264.h264", "h264", "udp"));
}

#[test]
fn gstreamer_h265_over_tcp_is_what_ffmpeg_decodes() {
    require!(is_what_ffmpeg_decodes("h265.h265", "h265", "tcp"));
}

#[test]
fn gstreamer_h265_over_udp_is_what_ffmpeg_decodes() {
    require!(is_what_ffmpeg_decodes("h265.h265", "h265", "udp"));
}
