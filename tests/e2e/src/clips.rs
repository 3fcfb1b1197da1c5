//! Clips, and what the `ffmpeg` program decodes from them.

use crate::Lacking;
use crate::process::Process;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clip of the folder that `VAS_CLIPS` names.
///
/// # Errors
/// There is no such folder, or no such clip in it.
pub fn clip(name: &str) -> Result<PathBuf, Lacking> {
    let folder = std::env::var_os("VAS_CLIPS")
        .ok_or("VAS_CLIPS is not set: `cargo xtask test` makes the clips and sets it to their folder")?;
    let path = Path::new(&folder).join(name);
    if path.is_file() { Ok(path) } else { Err(format!("the clip {} is not there", path.display())) }
}

/// MD5 of each picture of a clip as NV12, in the order of display, by the `ffmpeg` program.
///
/// # Errors
/// The `ffmpeg` program is not installed.
///
/// # Panics
/// When it cannot decode the clip.
pub fn hashes(clip: &Path) -> Result<Vec<String>, Lacking> {
    hashes_with(clip, &[])
}

/// As [`hashes`], of a clip with full-range samples, which are kept. (By default ffmpeg squeezes them.)
///
/// # Errors
/// As [`hashes`].
pub fn hashes_of_full_range(clip: &Path) -> Result<Vec<String>, Lacking> {
    hashes_with(clip, &["-vf", "scale=out_range=full"])
}

/// As [`hashes`], of the part of each picture that begins at that place and has that size.
///
/// # Errors
/// As [`hashes`].
pub fn hashes_of_part(clip: &Path, place: (u32, u32), size: (u32, u32)) -> Result<Vec<String>, Lacking> {
    let ((x, y), (width, height)) = (place, size);
    hashes_with(clip, &["-vf", &format!("crop={width}:{height}:{x}:{y}:exact=1")])
}

/// An H.264 clip that has one keyframe, its first picture, and then renews each picture bit by bit within a second, as some cameras
/// do.
///
/// # Errors
/// The `ffmpeg` program is not installed.
pub fn intra_refresh(folder: &Path) -> Result<PathBuf, Lacking> {
    let path = folder.join("refresh.h264");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25"]);
    command.args(["-frames:v", "250", "-pix_fmt", "yuv420p", "-threads", "1", "-c:v", "libx264", "-bf", "0"]);
    command.args(["-x264-params", "aud=1:keyint=25:intra-refresh=1"]);
    ffmpeg(command.arg(&path))?;
    Ok(path)
}

/// As [`intra_refresh`], in H.265, where nothing but the first picture is a place to begin at.
///
/// # Errors
/// The `ffmpeg` program is not installed.
pub fn intra_refresh_h265(folder: &Path) -> Result<PathBuf, Lacking> {
    let path = folder.join("refresh.h265");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25"]);
    command.args(["-frames:v", "500", "-pix_fmt", "yuv420p", "-c:v", "libx265"]);
    command.args(["-x265-params", "log-level=error:intra-refresh=1:keyint=25:bframes=0:pools=1"]);
    ffmpeg(command.arg(&path))?;
    Ok(path)
}

/// Writes into an H.264 clip that so many pixels are to be cut off: left, right, top, bottom. The coded pictures stay as they are.
///
/// # Errors
/// The `ffmpeg` program is not installed.
pub fn cropped(clip: &Path, [left, right, top, bottom]: [u32; 4], folder: &Path) -> Result<PathBuf, Lacking> {
    let path = folder.join("cropped.h264");
    let crop =
        format!("h264_metadata=crop_left={left}:crop_right={right}:crop_top={top}:crop_bottom={bottom}");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(clip).args(["-c", "copy", "-bsf:v", &crop]);
    ffmpeg(command.arg(&path))?;
    Ok(path)
}

fn hashes_with(clip: &Path, words: &[&str]) -> Result<Vec<String>, Lacking> {
    let output = ffmpeg(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-threads", "1", "-noautorotate", "-i"])
            .arg(clip)
            .args(["-map", "0:v:0", "-fps_mode", "passthrough"])
            .args(words)
            .args(["-pix_fmt", "nv12", "-f", "framemd5", "-"]),
    )?;
    let frames = output.lines().filter(|line| !line.starts_with('#'));
    let hashes: Vec<String> =
        frames.filter_map(|line| line.rsplit(',').next()).map(|hash| hash.trim().to_owned()).collect();
    assert!(hashes.len() >= 25, "ffmpeg found {} pictures in {}", hashes.len(), clip.display());
    Ok(hashes)
}

/// Puts the coded pictures of an Annex-B clip into an mp4 file, `times` times one after the other.
///
/// # Errors
/// The `ffmpeg` program is not installed.
pub fn as_mp4(clip: &Path, times: usize, folder: &Path) -> Result<PathBuf, Lacking> {
    let path = folder.join("clip.mp4");
    // A stream, and not -stream_loop, which raw streams do not know: Annex-B may simply be put one behind the other.
    let bytes = std::fs::read(clip).map_err(|error| format!("read {}: {error}", clip.display()))?;
    let long = folder.join(clip.file_name().ok_or("a clip has a name")?);
    std::fs::write(&long, bytes.repeat(times))
        .map_err(|error| format!("write {}: {error}", long.display()))?;
    ffmpeg(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-framerate", "25", "-i"])
            .arg(&long)
            .args(["-c", "copy"])
            .arg(&path),
    )?;
    Ok(path)
}

/// Runs the `ffmpeg` program; gives its standard output.
///
/// # Errors
/// It is not installed.
///
/// # Panics
/// When it fails.
pub fn ffmpeg(command: &mut Command) -> Result<String, Lacking> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        return Err("the ffmpeg program is not installed (Debian: apt-get install ffmpeg)".into());
    }
    let ended = Process::run("ffmpeg", command);
    assert!(ended.status.success(), "{command:?}: {}", ended.stderr);
    Ok(ended.stdout)
}
