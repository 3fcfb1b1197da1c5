//! Colours: the names of ITU-T H.273, and what a picture is converted with.
//!
//! Only range and matrix decide how NV12 becomes RGB. Primaries and transfer say what those RGB numbers look like; they are
//! shown but not acted on, so the RGB of a BT.2020 camera is still meant for a BT.2020 screen.

use vas_shm_reader::{Color, ColorRange};
use yuv::{YuvRange, YuvStandardMatrix};

/// Above this height a picture that does not name its matrix is taken for BT.709 (clause COLOR-3 of PROTOCOL.md), as players
/// do: 576 rows are the tallest standard-definition picture.
const SD_HEIGHT: u32 = 576;

/// How NV12 becomes RGB, and whether the camera said so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Conversion {
    pub(crate) matrix: YuvStandardMatrix,
    pub(crate) matrix_name: &'static str,
    /// Why the matrix is an assumption, if it is one.
    pub(crate) matrix_assumed: Option<&'static str>,
    pub(crate) range: YuvRange,
    pub(crate) range_is_assumed: bool,
}

impl Conversion {
    /// Decides by what the header says, and by the height if it does not say.
    pub(crate) fn choose(color: Color, height: u32) -> Self {
        let (range, range_is_assumed) = match color.range {
            ColorRange::Full => (YuvRange::Full, false),
            ColorRange::Limited => (YuvRange::Limited, false),
            ColorRange::Unknown => (YuvRange::Limited, true),
        };
        let (matrix, matrix_name, matrix_assumed) = match color.matrix {
            1 => (YuvStandardMatrix::Bt709, "BT.709", None),
            4 => (YuvStandardMatrix::Fcc, "FCC", None),
            5 | 6 => (YuvStandardMatrix::Bt601, "BT.601", None),
            7 => (YuvStandardMatrix::Smpte240, "SMPTE 240M", None),
            9 => (YuvStandardMatrix::Bt2020, "BT.2020", None),
            10 => (
                YuvStandardMatrix::Bt2020,
                "BT.2020",
                Some("the camera says constant luminance, converted as non-constant"),
            ),
            other => {
                let why = match (other, height > SD_HEIGHT) {
                    (2, false) => "not said by the camera, height 576 or less",
                    (2, true) => "not said by the camera, height above 576",
                    (_, false) => {
                        "the camera names a matrix that this tool does not convert, height 576 or less"
                    }
                    (_, true) => {
                        "the camera names a matrix that this tool does not convert, height above 576"
                    }
                };
                if height > SD_HEIGHT {
                    (YuvStandardMatrix::Bt709, "BT.709", Some(why))
                } else {
                    (YuvStandardMatrix::Bt601, "BT.601", Some(why))
                }
            }
        };
        Self { matrix, matrix_name, matrix_assumed, range, range_is_assumed }
    }

    /// `matrix BT.709, range limited (not said by the camera)`.
    pub(crate) fn describe(&self) -> String {
        let range = match self.range {
            YuvRange::Limited => "limited",
            YuvRange::Full => "full",
        };
        let matrix_note = self.matrix_assumed.map(|why| format!(" ({why})")).unwrap_or_default();
        let range_note = if self.range_is_assumed { " (not said by the camera)" } else { "" };
        format!("matrix {}{matrix_note}, range {range}{range_note}", self.matrix_name)
    }
}

/// ColourPrimaries (H.273 table 2).
pub(crate) fn primaries_name(code_point: u8) -> &'static str {
    match code_point {
        1 => "BT.709",
        2 => "unspecified",
        4 => "BT.470 System M",
        5 => "BT.470 System B, G (BT.601 625 lines)",
        6 => "SMPTE 170M (BT.601 525 lines)",
        7 => "SMPTE 240M",
        8 => "generic film",
        9 => "BT.2020",
        10 => "SMPTE ST 428-1 (XYZ)",
        11 => "SMPTE RP 431-2 (DCI P3)",
        12 => "SMPTE EG 432-1 (Display P3)",
        22 => "EBU Tech. 3213-E",
        _ => "reserved",
    }
}

/// TransferCharacteristics (H.273 table 3).
pub(crate) fn transfer_name(code_point: u8) -> &'static str {
    match code_point {
        1 => "BT.709",
        2 => "unspecified",
        4 => "gamma 2.2 (BT.470 System M)",
        5 => "gamma 2.8 (BT.470 System B, G)",
        6 => "SMPTE 170M (BT.601)",
        7 => "SMPTE 240M",
        8 => "linear",
        9 => "logarithmic 100:1",
        10 => "logarithmic 316:1",
        11 => "IEC 61966-2-4 (xvYCC)",
        12 => "BT.1361 extended gamut",
        13 => "IEC 61966-2-1 (sRGB)",
        14 => "BT.2020 10 bit",
        15 => "BT.2020 12 bit",
        16 => "SMPTE ST 2084 (PQ)",
        17 => "SMPTE ST 428-1",
        18 => "ARIB STD-B67 (HLG)",
        _ => "reserved",
    }
}

/// MatrixCoefficients (H.273 table 4).
pub(crate) fn matrix_name(code_point: u8) -> &'static str {
    match code_point {
        0 => "identity (GBR)",
        1 => "BT.709",
        2 => "unspecified",
        4 => "FCC",
        5 => "BT.470 System B, G (BT.601 625 lines)",
        6 => "SMPTE 170M (BT.601 525 lines)",
        7 => "SMPTE 240M",
        8 => "YCgCo",
        9 => "BT.2020 non-constant luminance",
        10 => "BT.2020 constant luminance",
        11 => "SMPTE ST 2085 (Y'D'zD'x)",
        12 => "derived from primaries, non-constant luminance",
        13 => "derived from primaries, constant luminance",
        14 => "BT.2100 ICtCp",
        15 => "IPT-C2",
        16 => "YCgCo-Re",
        17 => "YCgCo-Ro",
        _ => "reserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(range: ColorRange, matrix: u8, height: u32) -> Conversion {
        Conversion::choose(Color { range, matrix, ..Color::UNSPECIFIED }, height)
    }

    // Proves COLOR-2.
    #[test]
    fn a_camera_that_names_its_matrix_is_believed_at_any_height() {
        for (code_point, matrix) in [
            (1, YuvStandardMatrix::Bt709),
            (4, YuvStandardMatrix::Fcc),
            (5, YuvStandardMatrix::Bt601),
            (6, YuvStandardMatrix::Bt601),
            (7, YuvStandardMatrix::Smpte240),
            (9, YuvStandardMatrix::Bt2020),
        ] {
            for height in [240, 2160] {
                let chosen = choose(ColorRange::Limited, code_point, height);
                assert_eq!((chosen.matrix, chosen.matrix_assumed), (matrix, None), "matrix {code_point}");
            }
        }
    }

    // Proves COLOR-3.
    #[test]
    fn an_unspecified_matrix_is_bt_601_up_to_576_lines_and_bt_709_above() {
        assert_eq!(choose(ColorRange::Limited, 2, 576).matrix, YuvStandardMatrix::Bt601);
        assert_eq!(choose(ColorRange::Limited, 2, 577).matrix, YuvStandardMatrix::Bt709);
        assert_eq!(
            choose(ColorRange::Limited, 2, 577).describe(),
            "matrix BT.709 (not said by the camera, height above 576), range limited"
        );
    }

    // Proves COLOR-3.
    #[test]
    fn a_matrix_that_cannot_be_converted_is_treated_as_unspecified_and_that_is_said() {
        for code_point in [0, 3, 8, 11, 12, 13, 14, 15, 255] {
            let chosen = choose(ColorRange::Limited, code_point, 1080);
            assert_eq!(chosen.matrix, YuvStandardMatrix::Bt709);
            assert!(chosen.describe().contains("does not convert"), "{}", chosen.describe());
        }
        assert!(choose(ColorRange::Full, 10, 1080).describe().contains("converted as non-constant"));
    }

    // Proves COLOR-1.
    #[test]
    fn an_unknown_range_is_limited_as_decoders_treat_it_and_that_is_said() {
        let chosen = choose(ColorRange::Unknown, 1, 1080);
        assert_eq!(chosen.range, YuvRange::Limited);
        assert_eq!(chosen.describe(), "matrix BT.709, range limited (not said by the camera)");
        assert_eq!(choose(ColorRange::Full, 1, 1080).describe(), "matrix BT.709, range full");
    }
}
