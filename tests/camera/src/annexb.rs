//! Annex-B byte streams: start codes, NAL units, and where one picture ends and the next begins.
//!
//! Sections: H.264 (ITU-T H.264) 7.3.1, 7.4.1.2.3 and annex B; H.265 (ITU-T H.265) 7.3.1, 7.4.2.4.4 and annex B.

use std::path::Path;

/// The video codec of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264, also called AVC.
    H264,
    /// H.265, also called HEVC.
    H265,
    /// JPEG pictures, one behind the other: no Annex-B, and each of them is its own only unit.
    Jpeg,
}

impl Codec {
    /// The codec that a file's name promises: an Annex-B file does not say it itself.
    pub fn of_path(path: &Path) -> Option<Codec> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "h264" | "264" | "avc" => Some(Codec::H264),
            "h265" | "265" | "hevc" => Some(Codec::H265),
            "mjpeg" => Some(Codec::Jpeg),
            _ => None,
        }
    }

    /// How RTP names it (the encoding name of RFC 6184, RFC 7798 and RFC 2435).
    pub fn rtp_name(self) -> &'static str {
        match self {
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Jpeg => "JPEG",
        }
    }

    /// Bytes of a NAL unit's header.
    pub(crate) fn header_len_bytes(self) -> usize {
        match self {
            Codec::H264 => 1,
            Codec::H265 => 2,
            Codec::Jpeg => 0,
        }
    }

    /// `nal_unit_type` of a NAL unit; the caller has checked that it is not shorter than its header.
    pub(crate) fn nal_type(self, nal: &[u8]) -> u8 {
        match self {
            Codec::H264 => nal[0] & 0x1F,
            Codec::H265 => (nal[0] >> 1) & 0x3F,
            Codec::Jpeg => 0,
        }
    }

    /// What a NAL unit is for, as far as a sender must know.
    pub(crate) fn role(self, nal: &[u8]) -> NalRole {
        match (self, self.nal_type(nal)) {
            (Codec::H264, 9) | (Codec::H265, 35) => NalRole::Delimiter,
            (Codec::H264, 7 | 8) | (Codec::H265, 32..=34) => NalRole::ParameterSet,
            (Codec::H264, 1..=5) | (Codec::H265, 0..=31) | (Codec::Jpeg, _) => NalRole::Slice,
            (Codec::H264, 6 | 14..=18) | (Codec::H265, 39 | 41..=44 | 48..=55) => NalRole::BeforeSlices,
            _ => NalRole::AfterSlices,
        }
    }

    /// Whether a decoder can begin with the picture of this slice.
    pub(crate) fn is_random_access(self, nal: &[u8]) -> bool {
        match self {
            Codec::H264 => self.nal_type(nal) == 5,
            Codec::H265 => (16..=21).contains(&self.nal_type(nal)),
            Codec::Jpeg => true,
        }
    }

    /// Whether a slice is the first of its picture: `first_mb_in_slice` is ue(v) and zero is coded as a single one bit;
    /// `first_slice_segment_in_pic_flag` is that bit itself.
    pub(crate) fn is_first_slice(self, nal: &[u8]) -> bool {
        nal.get(self.header_len_bytes()).is_some_and(|byte| byte & 0x80 != 0)
    }
}

/// What a NAL unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NalRole {
    /// Marks the beginning of a picture, and is not sent: cameras rarely do.
    Delimiter,
    /// VPS, SPS or PPS.
    ParameterSet,
    /// Belongs to the picture whose slices follow (SEI and its like).
    BeforeSlices,
    /// A slice of a picture.
    Slice,
    /// Belongs to the picture whose slices came before.
    AfterSlices,
}

/// The NAL units of an Annex-B byte stream, without start codes and trailing zero bytes.
///
/// Units shorter than the codec's header are left out: they say nothing.
pub(crate) fn nal_units(codec: Codec, bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(3).position(|three| three == [0, 0, 1]) {
        starts.push(at + found + 3);
        at += found + 3;
    }
    let ends = starts.iter().skip(1).map(|next| next - 3).chain([bytes.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| trim_zeros(&bytes[start..end]))
        .filter(|nal| nal.len() >= codec.header_len_bytes())
        .collect()
}

/// A NAL unit never ends with a zero byte; zeros there belong to the next start code or are padding.
fn trim_zeros(nal: &[u8]) -> &[u8] {
    let len = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &nal[..len]
}

/// Groups NAL units into pictures (access units). Delimiters are used and left out.
pub(crate) fn access_units<'a>(codec: Codec, nals: &[&'a [u8]]) -> Vec<Vec<&'a [u8]>> {
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    let mut has_slice = true; // so that the first unit of the stream opens a picture
    for &nal in nals {
        let role = codec.role(nal);
        let begins = match role {
            NalRole::Delimiter | NalRole::ParameterSet | NalRole::BeforeSlices => has_slice,
            NalRole::Slice => has_slice && codec.is_first_slice(nal),
            NalRole::AfterSlices => false,
        };
        if begins {
            units.push(Vec::new());
            has_slice = false;
        }
        let Some(unit) = units.last_mut() else { continue }; // a stream cannot begin in the middle of a picture
        has_slice |= role == NalRole::Slice;
        if role != NalRole::Delimiter {
            unit.push(nal);
        }
    }
    units.retain(|unit| unit.iter().any(|nal| codec.role(nal) == NalRole::Slice));
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn start_codes_of_three_and_four_bytes_split_and_trailing_zeros_go() {
        let stream = [9, 9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 0x88, 0, 0];
        let nals = nal_units(Codec::H264, &stream);
        assert_eq!(nals, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0x88]]);
    }

    #[test]
    fn a_unit_shorter_than_its_header_is_left_out() {
        assert_eq!(nal_units(Codec::H264, &[0, 0, 1, 0, 0, 1, 0x65]), [&[0x65][..]]);
        assert_eq!(nal_units(Codec::H265, &[0, 0, 1, 0x26, 0, 0, 1, 0x26, 1]), [&[0x26, 1][..]]);
        assert!(nal_units(Codec::H264, b"no start code").is_empty());
        assert!(nal_units(Codec::H264, b"").is_empty());
    }

    #[test]
    fn delimiters_part_pictures_and_are_left_out() {
        let (aud, sps, idr, slice) = ([9, 0xF0], [0x67, 1], [0x65, 0x88], [0x41, 0x9A]);
        let nals: [&[u8]; 5] = [&aud, &sps, &idr, &aud, &slice];
        assert_eq!(access_units(Codec::H264, &nals), [vec![&sps[..], &idr], vec![&slice[..]]]);
    }

    #[test]
    fn without_delimiters_the_first_slice_of_a_picture_parts_them() {
        let (first, second) = ([0x41, 0x9A], [0x41, 0x3A]); // first_mb_in_slice 0, then another
        let sei = [0x06, 1];
        let nals: [&[u8]; 5] = [&first, &second, &first, &sei, &first];
        assert_eq!(
            access_units(Codec::H264, &nals),
            [vec![&first[..], &second], vec![&first[..]], vec![&sei[..], &first]]
        );
        let (first, second, suffix_sei) = ([0x02, 1, 0x80], [0x02, 1, 0x20], [40 << 1, 1]);
        let nals: [&[u8]; 4] = [&first, &second, &suffix_sei, &first];
        assert_eq!(
            access_units(Codec::H265, &nals),
            [vec![&first[..], &second, &suffix_sei], vec![&first[..]]]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..400)) {
            for codec in [Codec::H264, Codec::H265] {
                let nals = nal_units(codec, &bytes);
                access_units(codec, &nals);
            }
        }
    }
}
