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
