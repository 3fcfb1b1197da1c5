//! A clip: the pictures of an Annex-B file, or JPEG pictures one behind the other, ready to be sent.

use std::path::{Path, PathBuf};

use crate::annexb::{Codec, NalRole, access_units, nal_units};
use crate::jpeg::Jpeg;
use crate::order::presentation_deltas;

/// A video clip in memory.
#[derive(Debug, Clone)]
pub struct Clip {
    codec: Codec,
    pictures: Vec<Picture>,
    parameter_sets: Vec<Vec<u8>>,
}

/// One picture (access unit) in the order of transmission.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// NAL units without start codes and without the delimiter; or the one JPEG picture.
    pub(crate) nals: Vec<Vec<u8>>,
    /// A decoder can begin here.
    pub(crate) is_random_access: bool,
    /// When it was taken, in frame periods relative to its transmission; not above zero.
    pub(crate) presentation_delta: i64,
}

/// Why a file is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The name does not tell the codec.
    #[error("clip {}: the name must end in .h264, .h265 or .mjpeg, which is how the codec is known", .path.display())]
    UnknownCodec {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("read clip {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no picture in it.
    #[error(
        "clip {}: no {} picture found; it must be an Annex-B file (ffmpeg -i VIDEO -c copy -bsf:v {}_mp4toannexb {0})",
        .path.display(), .codec.rtp_name(), if *.codec == Codec::H264 { "h264" } else { "hevc" }
    )]
    NoPicture {
        /// The file.
        path: PathBuf,
        /// What its name promised.
        codec: Codec,
    },
    /// There is something in it that is no JPEG picture, or none that RTP carries.
    #[error(
        "clip {}: picture {picture} is no JPEG that RTP carries (ffmpeg -i VIDEO -c:v mjpeg -pix_fmt yuvj420p -huffman default)",
        .path.display()
    )]
    NotJpeg {
        /// The file.
        path: PathBuf,
        /// Which one, from 0.
        picture: usize,
    },
    /// A client could not decode its beginning.
    #[error("clip {}: it must begin with parameter sets and a key picture (IDR), so that it can be decoded from its start", .path.display())]
    NoKeyAtStart {
        /// The file.
        path: PathBuf,
    },
}

impl Clip {
    /// Reads a clip from a file ending in `.h264`, `.h265` or `.mjpeg`.
    pub fn load(path: &Path) -> Result<Clip, ClipError> {
        let codec =
            Codec::of_path(path).ok_or_else(|| ClipError::UnknownCodec { path: path.to_path_buf() })?;
        let bytes =
            std::fs::read(path).map_err(|source| ClipError::Read { path: path.to_path_buf(), source })?;
        match codec {
            Codec::Jpeg => Clip::parse_jpeg(&bytes, path),
            Codec::H264 | Codec::H265 => Clip::parse(codec, &bytes, path),
        }
    }

    fn parse_jpeg(bytes: &[u8], path: &Path) -> Result<Clip, ClipError> {
        let (codec, mut pictures, mut rest) = (Codec::Jpeg, Vec::new(), bytes);
        while !rest.is_empty() {
            let Some(jpeg) = Jpeg::first_of(rest) else {
                return Err(ClipError::NotJpeg { path: path.to_path_buf(), picture: pictures.len() });
            };
            let nals = vec![jpeg.whole.to_vec()];
            pictures.push(Picture { nals, is_random_access: true, presentation_delta: 0 });
            rest = &rest[jpeg.whole.len()..];
        }
        if pictures.is_empty() {
            return Err(ClipError::NoPicture { path: path.to_path_buf(), codec });
        }
        Ok(Clip { codec, pictures, parameter_sets: Vec::new() })
    }

    fn parse(codec: Codec, bytes: &[u8], path: &Path) -> Result<Clip, ClipError> {
        let nals = nal_units(codec, bytes);
        let units = access_units(codec, &nals);
        let deltas = presentation_deltas(codec, &units);
        let mut parameter_sets: Vec<Vec<u8>> = Vec::new();
        for nal in units.iter().flatten().filter(|nal| codec.role(nal) == NalRole::ParameterSet) {
            if !parameter_sets.iter().any(|known| known == nal) {
                parameter_sets.push(nal.to_vec());
            }
        }
        let pictures: Vec<Picture> = units
            .iter()
            .zip(deltas)
            .map(|(unit, presentation_delta)| Picture {
                nals: unit.iter().map(|nal| nal.to_vec()).collect(),
                is_random_access: unit.iter().any(|nal| codec.is_random_access(nal)),
                presentation_delta,
            })
            .collect();
        let Some(first) = pictures.first() else {
            return Err(ClipError::NoPicture { path: path.to_path_buf(), codec });
        };
        let has_sps = first.nals.iter().any(|nal| is_sps(codec, nal));
        if !first.is_random_access || !has_sps {
            return Err(ClipError::NoKeyAtStart { path: path.to_path_buf() });
        }
        Ok(Clip { codec, pictures, parameter_sets })
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// How many pictures it has before it begins again.
    pub fn picture_count(&self) -> usize {
        self.pictures.len()
    }

    /// The picture at a position that may lie beyond the end: clips go round.
    pub(crate) fn picture(&self, position: u64) -> &Picture {
        let count = self.pictures.len() as u64; // never zero: `parse` refuses a clip without pictures
        &self.pictures[(position % count) as usize]
    }

    /// Each different VPS, SPS and PPS, in the order of the clip.
    pub(crate) fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        self.parameter_sets.iter().map(Vec::as_slice)
    }
}

fn is_sps(codec: Codec, nal: &[u8]) -> bool {
    // An H.264 SPS shorter than profile and level could not be described to a client.
    codec.nal_type(nal) == if codec == Codec::H264 { 7 } else { 33 } && nal.len() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Clip, ClipError> {
        Clip::parse(Codec::H264, bytes, "x.h264".as_ref())
    }

    #[test]
    fn each_parameter_set_is_listed_once() {
        let key = [0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 0x88];
        let clip = parse(&[key, key].concat()).unwrap();
        assert_eq!(clip.picture_count(), 2);
        assert_eq!(clip.parameter_sets().collect::<Vec<_>>(), [&[0x67, 66, 0, 30][..], &[0x68, 1]]);
        assert!(std::ptr::eq(clip.picture(0), clip.picture(2)), "the clip goes round");
    }

    #[test]
    fn what_is_no_clip_is_refused_with_a_sentence() {
        let sentence = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        assert!(sentence(b"").contains("no H264 picture found"));
        assert!(
            sentence(&[0, 0, 1, 0x41, 0x9A, 5]).contains("must begin with parameter sets and a key picture")
        );
        let missing = Clip::load("no/such/clip.h265".as_ref()).unwrap_err().to_string();
        assert!(missing.starts_with("read clip no/such/clip.h265: "), "{missing}");
        assert!(Clip::load("clip.mp4".as_ref()).unwrap_err().to_string().contains(".h264, .h265 or .mjpeg"));
        let path = Path::new("x.mjpeg");
        let none = Clip::parse_jpeg(b"no picture", path).unwrap_err().to_string();
        assert!(none.starts_with("clip x.mjpeg: picture 0 is no JPEG that RTP carries"), "{none}");
        assert!(matches!(Clip::parse_jpeg(&[], path), Err(ClipError::NoPicture { .. })));
    }
}
