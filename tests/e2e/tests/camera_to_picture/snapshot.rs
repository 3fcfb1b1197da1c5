//! A picture file that a person can look at has the camera's colours.

use std::path::Path;
use std::process::Command;
use vas_e2e::camera::Camera;
use vas_e2e::clips::ffmpeg;
use vas_e2e::reader;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};
use vas_e2e::{Lacking, require};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;
/// Red, green and blue of the bars, from left to right.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [200, 200, 0],
    [0, 200, 200],
    [0, 200, 0],
    [200, 0, 200],
    [200, 0, 0],
    [0, 0, 200],
    [0, 0, 0],
];
/// What coding and two conversions may cost. The wrong matrix or range costs more than twice that in at least one bar.
const TOLERANCE: u8 = 6;

/// Colour bars as H.264, described in the stream as asked for.
fn bars(folder: &Path, matrix: &str, range: &str) -> Result<std::path::PathBuf, Lacking> {
    let path = folder.join("bars.h264");
    let boxes: Vec<String> = BARS
        .iter()
        .enumerate()
        .map(|(index, [red, green, blue])| {
            let (width, at) = (WIDTH / 8, WIDTH / 8 * index as u32);
            format!("drawbox=x={at}:y=0:w={width}:h={HEIGHT}:c=0x{red:02x}{green:02x}{blue:02x}:t=fill")
        })
        .collect();
    let size = format!("color=s={WIDTH}x{HEIGHT}:r=25");
    let filter = format!(
        "{size},format=gbrp,{},scale=out_color_matrix={matrix}:out_range={range},format=yuv420p",
        boxes.join(",")
    );
    let (color, full) = match matrix {
        "bt709" => ("bt709", range == "full"),
        _ => ("smpte170m", range == "full"),
    };
    ffmpeg(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-filter_complex", &filter, "-t", "1"])
            .args(["-c:v", "libx264", "-preset", "veryfast", "-qp", "10", "-g", "25", "-bf", "0"])
            .args(["-x264-params", "aud=1:threads=1:scenecut=0"])
            .args(["-colorspace", color, "-color_range", if full { "pc" } else { "tv" }, "-f", "h264"])
            .arg(&path),
    )?;
    Ok(path)
}

fn snapshot_has_the_colours(matrix: &str, range: &str) -> Result<(), Lacking> {
    let scene = Scene::new();
    let rtsp = Camera::start(&[&bars(scene.files(), matrix, range)?]);
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let path = scene.files().join("front.png");
    // The server may still be starting.
    let ended = reader::run(&scene, &["snapshot", "front", "-o", &path.to_string_lossy(), "--timeout", "60"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    server.stop_well();

    let picture = image::open(&path).expect("a PNG").into_rgb8();
    assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
    for (index, expected) in BARS.iter().enumerate() {
        // Away from the edges, where chroma of two bars meets.
        let x = WIDTH / 8 * index as u32 + WIDTH / 16;
        for y in [20, HEIGHT / 2, HEIGHT - 20] {
            let found = picture.get_pixel(x, y).0;
            let is_near =
                found.iter().zip(expected).all(|(found, wanted)| found.abs_diff(*wanted) <= TOLERANCE);
            assert!(is_near, "{matrix} {range}: {found:?} at {x},{y} and not {expected:?}");
        }
    }
    Ok(())
}

#[test]
fn a_snapshot_of_bt709_limited_range_has_the_right_colours() {
    require!(snapshot_has_the_colours("bt709", "tv"));
}

#[test]
fn a_snapshot_of_bt601_limited_range_has_the_right_colours() {
    require!(snapshot_has_the_colours("bt601", "tv"));
}

#[test]
fn a_snapshot_of_full_range_has_the_right_colours() {
    require!(snapshot_has_the_colours("bt709", "full"));
}
