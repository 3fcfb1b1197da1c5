//! How the numbers of a picture become colours: range and ITU-T H.273 code points.

use crate::layout;

/// Which numbers mean black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// The source did not say. Readers treat it as limited, as decoders do.
    #[default]
    Unknown,
    /// Luma 16 to 235, chroma 16 to 240 (also called MPEG or studio range).
    Limited,
    /// Luma and chroma 0 to 255 (also called JPEG or PC range).
    Full,
}

/// The colour description of a pair of files; constant for its lifetime.
///
/// `primaries`, `transfer` and `matrix` are code points of ITU-T H.273 (the numbers that H.264 and H.265 carry in their
/// video usability information); 2 means unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color {
    /// Which numbers mean black and white.
    pub range: ColorRange,
    /// H.273 ColourPrimaries.
    pub primaries: u8,
    /// H.273 TransferCharacteristics.
    pub transfer: u8,
    /// H.273 MatrixCoefficients.
    pub matrix: u8,
}

impl Color {
    /// Nothing is known of the colours: range unknown, code points 2.
    pub const UNSPECIFIED: Self = Self {
        range: ColorRange::Unknown,
        primaries: layout::COLOR_UNSPECIFIED,
        transfer: layout::COLOR_UNSPECIFIED,
        matrix: layout::COLOR_UNSPECIFIED,
    };
}

impl Default for Color {
    fn default() -> Self {
        Self::UNSPECIFIED
    }
}

impl ColorRange {
    /// The range behind the byte at offset 76; values of later versions count as unknown.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            layout::COLOR_RANGE_LIMITED => Self::Limited,
            layout::COLOR_RANGE_FULL => Self::Full,
            _ => Self::Unknown,
        }
    }

    /// The byte at offset 76.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Unknown => layout::COLOR_RANGE_UNKNOWN,
            Self::Limited => layout::COLOR_RANGE_LIMITED,
            Self::Full => layout::COLOR_RANGE_FULL,
        }
    }

    /// The name used in tools and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Limited => "limited",
            Self::Full => "full",
        }
    }
}
