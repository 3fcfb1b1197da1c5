//! What a reader in any language has to bear: a server that is killed and started again, then a picture of another size.

use crate::Lacking;
use crate::camera::Camera;
use crate::clips::{clip, hashes};
use crate::compare::{Plays, assert_same};
use crate::reader::{Frame, Watch};
use crate::scene::Scene;
use crate::server::{self, Server};
use std::process::Command;

/// The camera's id, for the program that is made of [`restart_and_size_change`]'s command.
pub const CAMERA: &str = "front";

/// Runs a program beside a real camera and server and sees that every picture it tells of is what FFmpeg decodes, before and after
/// the server's death, and after the picture's size has changed. The program prints a line for each frame, as `vas-frames watch
/// --json --hash md5` does, from [`CAMERA`] below the scene's base directory, until it is killed; it needs no more fields of them than
/// [`Frame`] insists on.
///
/// # Errors
/// What this machine lacks.
///
/// # Panics
/// When a picture is wrong, missing without being told of, or none comes.
pub fn restart_and_size_change(
    name: &str,
    program: impl FnOnce(&Scene) -> Result<Command, Lacking>,
) -> Result<(), Lacking> {
    let (small, wide) = (clip("h264.h264")?, clip("bikes.h264")?);
    let (small_pictures, wide_pictures) = (hashes(&small)?, hashes(&wide)?);
    let scene = Scene::new();
    let mut camera = Camera::start(&[&small, &wide]);
    let config = server::camera(CAMERA, camera.url());
    let mut program = program(&scene)?;
    // Before the server: a reader may begin before its camera exists.
    let mut watch = Watch::of(name, &mut program);
    let server = Server::start(&scene, &config);
    let mut frames = watch.frames(30);
    assert_eq!((frames[0].width, frames[0].height), (640, 480));

    server.kill();
    let server = Server::start(&scene, &config);
    let next = read_while(&mut watch, &mut frames, |last, frame| last.generation == frame.generation);
    assert_same(&frames, &small_pictures, Plays::RoundAndRound);
    assert!(next.frame_id > frames.last().expect("frames").frame_id, "ids go on rising");
    let mut frames = vec![next];
    frames.extend(watch.frames(20));

    camera.command("clip 1");
    let next = read_while(&mut watch, &mut frames, |last, frame| {
        last.width == frame.width && last.height == frame.height
    });
    assert_same(&frames, &small_pictures, Plays::RoundAndRound);
    assert_eq!((next.width, next.height), (640, 272));
    let mut frames = vec![next];
    frames.extend(watch.frames(30));
    assert_same(&frames, &wide_pictures, Plays::RoundAndRound);
    assert!(watch.is_running(), "the reader ended");
    server.stop_well();
    println!("{name}: a restart and a change of size, every picture as FFmpeg decodes it");
    Ok(())
}

/// Reads on while frames go with the one before; gives the first that does not.
fn read_while(watch: &mut Watch, frames: &mut Vec<Frame>, goes_on: impl Fn(&Frame, &Frame) -> bool) -> Frame {
    loop {
        let frame = watch.frame();
        if !goes_on(frames.last().expect("there were frames"), &frame) {
            return frame;
        }
        frames.push(frame);
    }
}
