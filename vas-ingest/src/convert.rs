//! How a decoded picture becomes NV12, and what its colours are called afterwards.
//!
//! | decoded as | becomes NV12 by |
//! |---|---|
//! | yuv420p, yuvj420p | copying luma and interleaving chroma, straight into the slot |
//! | nv12 | copying both planes |
//! | gray | copying luma; chroma is 128 throughout |
//! | everything else | swscale, writing into the slot |
//!
//! Formats whose name has a J are their plain twins with full range: the numbers are kept as they are and the range is
//! told to readers. swscale, asked to convert a J format, would squeeze the numbers and take about ten times as long. Grey of any depth keeps its numbers and its range in
//! the same way. What else a stream may want done with its pictures (cropping, rotation, interlace): decision 9.

use crate::av::frame::{Frame, RawColor, is_rgb};
use ffmpeg_sys_next::AVPixelFormat::{self, *};
use std::ffi::c_int;
use vas_shm_proto::{Color, ColorRange};

/// J formats and their plain twins.
const TWINS: [(AVPixelFormat, AVPixelFormat); 5] = [
    (AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P),
    (AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P),
    (AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P),
    (AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P),
    (AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P),
];

/// `AVCOL_RANGE_MPEG` and `AVCOL_RANGE_JPEG`.
const RANGE_LIMITED: c_int = 1;
const RANGE_FULL: c_int = 2;

/// H.273: BT.601 with 525 lines, the matrix that swscale turns RGB into luma and chroma with.
const MATRIX_BT601: u8 = 6;
/// H.273: unspecified.
const UNSPECIFIED: u8 = 2;

/// The way into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Luma, then two planes of quartered chroma.
    Yuv420p,
    /// As it is wanted.
    Nv12,
    /// Luma alone.
    Grey,
    /// Through swscale, from this format (never a J format).
    Scale(c_int),
}

/// The way for a pixel format.
pub(crate) fn way(pixel_format: c_int) -> Way {
    let plain = plain_twin(pixel_format);
    if plain == AV_PIX_FMT_YUV420P as c_int {
        Way::Yuv420p
    } else if plain == AV_PIX_FMT_NV12 as c_int {
        Way::Nv12
    } else if plain == AV_PIX_FMT_GRAY8 as c_int {
        Way::Grey
    } else {
        Way::Scale(plain)
    }
}

/// A J format's plain twin; every other format as it is.
pub(crate) fn plain_twin(pixel_format: c_int) -> c_int {
    TWINS.iter().find(|(j, _)| *j as c_int == pixel_format).map_or(pixel_format, |(_, plain)| *plain as c_int)
}

/// The colours of a frame, once it is NV12.
pub(crate) fn color(frame: &Frame) -> Color {
    describe(frame.pixel_format(), frame.color())
}

fn describe(pixel_format: c_int, raw: RawColor) -> Color {
    // Code points are bytes; FFmpeg's own numbers beyond H.273 say nothing to a reader.
    let code_point = |value| u8::try_from(value).unwrap_or(UNSPECIFIED);
    let (primaries, transfer) = (code_point(raw.primaries), code_point(raw.transfer));
    if is_rgb(pixel_format) {
        // What swscale makes of RGB, whatever the RGB was.
        return Color { range: ColorRange::Limited, primaries, transfer, matrix: MATRIX_BT601 };
    }
    let is_j = plain_twin(pixel_format) != pixel_format;
    let range = match raw.range {
        RANGE_FULL => ColorRange::Full,
        _ if is_j => ColorRange::Full,
        RANGE_LIMITED => ColorRange::Limited,
        _ => ColorRange::Unknown,
    };
    Color { range, primaries, transfer, matrix: code_point(raw.matrix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BT709: RawColor = RawColor { range: RANGE_LIMITED, primaries: 1, transfer: 1, matrix: 1 };

    #[test]
    fn j_formats_are_their_plain_twins_with_full_range() {
        assert_eq!(way(AV_PIX_FMT_YUVJ420P as c_int), Way::Yuv420p);
        assert_eq!(way(AV_PIX_FMT_YUVJ422P as c_int), Way::Scale(AV_PIX_FMT_YUV422P as c_int));
        let unknown = RawColor { range: 0, ..BT709 };
        assert_eq!(describe(AV_PIX_FMT_YUVJ422P as c_int, unknown).range, ColorRange::Full);
        assert_eq!(describe(AV_PIX_FMT_YUV422P as c_int, unknown).range, ColorRange::Unknown);
    }

    #[test]
    fn common_formats_are_copied_and_others_scaled() {
        assert_eq!(way(AV_PIX_FMT_YUV420P as c_int), Way::Yuv420p);
        assert_eq!(way(AV_PIX_FMT_NV12 as c_int), Way::Nv12);
        assert_eq!(way(AV_PIX_FMT_GRAY8 as c_int), Way::Grey);
        assert_eq!(way(AV_PIX_FMT_GRAY10LE as c_int), Way::Scale(AV_PIX_FMT_GRAY10LE as c_int));
        assert_eq!(way(AV_PIX_FMT_YUV420P10LE as c_int), Way::Scale(AV_PIX_FMT_YUV420P10LE as c_int));
        assert_eq!(way(123_456), Way::Scale(123_456));
    }

    // Proves COLOR-2 and COLOR-4.
    #[test]
    fn colours_are_passed_on_as_code_points() {
        let color = describe(AV_PIX_FMT_YUV420P as c_int, BT709);
        assert_eq!(color, Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 });
        let strange = RawColor { range: 99, primaries: -1, transfer: 256, matrix: 9 };
        let color = describe(AV_PIX_FMT_YUV420P as c_int, strange);
        assert_eq!(color, Color { range: ColorRange::Unknown, primaries: 2, transfer: 2, matrix: 9 });
    }

    #[test]
    fn rgb_becomes_limited_bt601() {
        let rgb = RawColor { range: RANGE_FULL, primaries: 1, transfer: 13, matrix: 0 };
        let color = describe(AV_PIX_FMT_RGB24 as c_int, rgb);
        assert_eq!(color, Color { range: ColorRange::Limited, primaries: 1, transfer: 13, matrix: 6 });
    }
}
