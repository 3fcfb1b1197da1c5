//! Which numbers turn a picture's NV12 into RGB.
//!
//! Only range and matrix decide how NV12 becomes RGB. Primaries and transfer say what those RGB numbers look like; they are
//! not acted on, so the RGB of a BT.2020 camera is still meant for a BT.2020 screen.

use std::fmt;
use vas_shm_proto::{Color, ColorRange};
use yuv::{YuvRange, YuvStandardMatrix};

/// Above this height a picture that does not name its matrix is taken for BT.709 (clause COLOR-3 of PROTOCOL.md), as players
/// do: 576 rows are the tallest standard-definition picture.
const SD_HEIGHT: u32 = 576;

/// How Y, Cb and Cr were made of red, green and blue: the matrices that are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Matrix {
    /// H.273 code points 5 and 6.
    Bt601,
    /// H.273 code point 1.
    Bt709,
    /// H.273 code point 9: BT.2020 with non-constant luminance.
    Bt2020,
    /// H.273 code point 4.
    Fcc,
    /// H.273 code point 7.
    Smpte240m,
}

impl Matrix {
    /// As it is written in text: `BT.709`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bt601 => "BT.601",
            Self::Bt709 => "BT.709",
            Self::Bt2020 => "BT.2020",
            Self::Fcc => "FCC",
            Self::Smpte240m => "SMPTE 240M",
        }
    }

    /// Kr and Kb, as PROTOCOL.md has them.
    pub(super) const fn kr_kb(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Fcc => (0.30, 0.11),
            Self::Smpte240m => (0.212, 0.087),
        }
    }

    /// By its two numbers: the table of the crate has others than H.273 for SMPTE 240M.
    pub(super) fn of_yuv(self) -> YuvStandardMatrix {
        let (kr, kb) = self.kr_kb();
        YuvStandardMatrix::Custom(kr as f32, kb as f32)
    }
}

/// Why a matrix is not just what the camera said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Unspecified { is_tall: bool },
    Unsupported { code_point: u8, is_tall: bool },
    ConstantLuminance,
}

/// How NV12 becomes RGB, and whether the camera said so.
///
/// ```
/// use vas_shm_reader::convert::{Conversion, Matrix};
/// use vas_shm_reader::{Color, ColorRange};
///
/// let chosen = Conversion::choose(Color::UNSPECIFIED, 1080);
/// assert_eq!((chosen.matrix(), chosen.range()), (Matrix::Bt709, ColorRange::Limited));
/// assert!(chosen.is_assumed());
/// assert_eq!(Conversion::new(Matrix::Bt601, ColorRange::Full).to_string(), "matrix BT.601, range full");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    matrix: Matrix,
    note: Option<Note>,
    is_full_range: bool,
    range_is_assumed: bool,
}

impl Conversion {
    /// What the caller knows better than the camera. A range of [`ColorRange::Unknown`] is taken for limited.
    #[must_use]
    pub fn new(matrix: Matrix, range: ColorRange) -> Self {
        Self { matrix, note: None, is_full_range: range == ColorRange::Full, range_is_assumed: false }
    }

    /// Decides by what the header says, and by the height in rows if it does not say: a matrix that is unspecified, or one that
    /// is not converted here, is taken for BT.601 up to 576 rows and for BT.709 above (clause COLOR-3); an unknown range for
    /// limited (COLOR-1). BT.2020 with constant luminance is converted as with non-constant.
    #[must_use]
    pub fn choose(color: Color, height: u32) -> Self {
        let is_tall = height > SD_HEIGHT;
        let by_height = if is_tall { Matrix::Bt709 } else { Matrix::Bt601 };
        let (matrix, note) = match color.matrix {
            1 => (Matrix::Bt709, None),
            4 => (Matrix::Fcc, None),
            5 | 6 => (Matrix::Bt601, None),
            7 => (Matrix::Smpte240m, None),
            9 => (Matrix::Bt2020, None),
            10 => (Matrix::Bt2020, Some(Note::ConstantLuminance)),
            2 => (by_height, Some(Note::Unspecified { is_tall })),
            code_point => (by_height, Some(Note::Unsupported { code_point, is_tall })),
        };
        Self {
            matrix,
            note,
            is_full_range: color.range == ColorRange::Full,
            range_is_assumed: color.range == ColorRange::Unknown,
        }
    }

    /// The matrix that is converted with.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        self.matrix
    }

    /// [`ColorRange::Limited`] or [`ColorRange::Full`].
    #[must_use]
    pub fn range(&self) -> ColorRange {
        if self.is_full_range { ColorRange::Full } else { ColorRange::Limited }
    }

    /// Whether matrix or range are assumptions; the text of this value says which and why.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.note.is_some() || self.range_is_assumed
    }

    /// The H.273 code point of a matrix that the camera names and nothing here converts: colours come out wrong with any
    /// other, so that a picture in colour is refused unless the caller chooses one ([`super::Converter::with_conversion`]).
    #[must_use]
    pub fn unsupported_matrix(&self) -> Option<u8> {
        match self.note {
            Some(Note::Unsupported { code_point, .. }) => Some(code_point),
            _ => None,
        }
    }

    /// The same numbers, as the caller's own choice: converts also what [`Self::unsupported_matrix`] names.
    #[must_use]
    pub fn insisted_on(self) -> Self {
        Self { note: None, range_is_assumed: false, ..self }
    }

    pub(super) fn is_full_range(&self) -> bool {
        self.is_full_range
    }

    pub(super) fn yuv_range(&self) -> YuvRange {
        if self.is_full_range { YuvRange::Full } else { YuvRange::Limited }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = |is_tall| if is_tall { "height above 576" } else { "height 576 or less" };
        match *self {
            Self::Unspecified { is_tall } => write!(f, "not said by the camera, {}", height(is_tall)),
            Self::Unsupported { code_point, is_tall } => write!(
                f,
                "the camera names matrix {code_point}, {}, which this does not convert, {}",
                matrix_name(code_point),
                height(is_tall)
            ),
            Self::ConstantLuminance => {
                f.write_str("the camera says constant luminance, converted as non-constant")
            }
        }
    }
}

/// `matrix BT.709, range limited (not said by the camera)`.
impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "matrix {}", self.matrix.name())?;
        if let Some(note) = self.note {
            write!(f, " ({note})")?;
        }
        write!(f, ", range {}", if self.is_full_range { "full" } else { "limited" })?;
        if self.range_is_assumed {
            f.write_str(" (not said by the camera)")?;
        }
        Ok(())
    }
}

/// What a code point of H.273, table 4 (MatrixCoefficients), stands for.
#[must_use]
pub const fn matrix_name(code_point: u8) -> &'static str {
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
            (1, Matrix::Bt709),
            (4, Matrix::Fcc),
            (5, Matrix::Bt601),
            (6, Matrix::Bt601),
            (7, Matrix::Smpte240m),
            (9, Matrix::Bt2020),
        ] {
            for height in [240, 2160] {
                let chosen = choose(ColorRange::Limited, code_point, height);
                assert_eq!((chosen.matrix(), chosen.is_assumed()), (matrix, false), "matrix {code_point}");
            }
        }
    }

    // Proves COLOR-3.
    #[test]
    fn an_unspecified_matrix_is_bt_601_up_to_576_lines_and_bt_709_above() {
        assert_eq!(choose(ColorRange::Limited, 2, 576).matrix(), Matrix::Bt601);
        assert_eq!(choose(ColorRange::Limited, 2, 577).matrix(), Matrix::Bt709);
        assert_eq!(
            choose(ColorRange::Limited, 2, 577).to_string(),
            "matrix BT.709 (not said by the camera, height above 576), range limited"
        );
    }

    // Proves COLOR-3.
    #[test]
    fn a_matrix_that_cannot_be_converted_is_treated_as_unspecified_and_that_is_said() {
        for code_point in [0, 3, 8, 11, 12, 13, 14, 15, 255] {
            let chosen = choose(ColorRange::Limited, code_point, 1080);
            assert_eq!((chosen.matrix(), chosen.unsupported_matrix()), (Matrix::Bt709, Some(code_point)));
            assert!(chosen.to_string().contains("does not convert"), "{chosen}");
            assert_eq!(chosen.insisted_on(), Conversion::new(Matrix::Bt709, ColorRange::Limited));
        }
        let constant = choose(ColorRange::Full, 10, 1080);
        assert!(constant.to_string().contains("converted as non-constant"), "{constant}");
        assert_eq!((constant.matrix(), constant.unsupported_matrix()), (Matrix::Bt2020, None));
    }

    // Proves COLOR-1.
    #[test]
    fn an_unknown_range_is_limited_as_decoders_treat_it_and_that_is_said() {
        let chosen = choose(ColorRange::Unknown, 1, 1080);
        assert_eq!(chosen.range(), ColorRange::Limited);
        assert_eq!(chosen.to_string(), "matrix BT.709, range limited (not said by the camera)");
        assert_eq!(choose(ColorRange::Full, 1, 1080).to_string(), "matrix BT.709, range full");
    }
}
