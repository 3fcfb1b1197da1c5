//! From NV12 to pixels, a few rows at a time.
//!
//! Rows of a frame in shared memory are copied into a small private buffer, by the code that every copy is made by, and
//! converted from there while they are in the processor's cache. So what the converter reads is memory that nobody writes, and
//! no slice of shared memory comes into being (docs/decisions/0017 has what that costs).

use super::color::{Conversion, Matrix};
use super::{ConvertError, PixelLayout, Target};
use crate::error::Overwritten;
use crate::frame::Frame;
use crate::map::RawNv12;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvError, YuvRange, YuvStandardMatrix, yuv_nv12_to_bgr,
    yuv_nv12_to_bgra, yuv_nv12_to_rgb, yuv_nv12_to_rgba, yuv_nv24_to_bgr, yuv_nv24_to_bgra, yuv_nv24_to_rgb,
    yuv_nv24_to_rgba,
};

/// Of the private buffer: small enough for a first-level cache beside the pixels that are made of it, large enough that setting
/// out on a band is nothing beside it.
const BAND_BYTES: usize = 16 * 1024;

/// NV12 in private memory, rows without padding between them.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    pub(super) width: u32,
    pub(super) luma: &'a [u8],
    pub(super) chroma: &'a [u8],
    /// Whether chroma has half as many rows and pairs as luma (NV12), or as many (NV24).
    pub(super) is_halved: bool,
}

impl<'a> Planes<'a> {
    /// Two planes behind each other; `packed` has the size that NV12 of `width` and `height` has.
    pub(super) fn packed(width: u32, height: u32, packed: &'a [u8]) -> Self {
        let (luma, chroma) = packed.split_at(width as usize * height as usize);
        Self { width, luma, chroma, is_halved: true }
    }

    fn chroma_row_bytes(&self) -> usize {
        let pairs = if self.is_halved { self.width.div_ceil(2) } else { self.width };
        2 * pairs as usize
    }

    fn rows(&self) -> usize {
        self.luma.len() / self.width as usize
    }

    /// `count` rows from `first` on, which is even if chroma is halved.
    fn part(&self, first: usize, count: usize) -> Self {
        let width = self.width as usize;
        let chroma_rows = |rows: usize| if self.is_halved { rows.div_ceil(2) } else { rows };
        let row_bytes = self.chroma_row_bytes();
        Self {
            luma: &self.luma[first * width..][..count * width],
            chroma: &self.chroma[chroma_rows(first) * row_bytes..][..chroma_rows(count) * row_bytes],
            ..*self
        }
    }
}

/// A whole frame. In colours it looks after each band whether the frame is still there, and stops when it is not; grey, which is hardly
/// more than a copy, is looked at once behind the last row.
pub(super) fn frame(
    frame: &Frame<'_>,
    conversion: &Conversion,
    layout: PixelLayout,
    band: &mut Vec<u8>,
    target: &mut Target<'_>,
) -> Result<(), ConvertError> {
    let shared = frame.raw();
    let (width, height) = (frame.picture().width(), frame.picture().height());
    if layout == PixelLayout::Gray {
        for y in 0..height {
            let row = target.row(y as usize);
            shared.copy_luma_row(y, row);
            stretch(row, conversion);
        }
    } else {
        let pair_bytes = 2 * width as usize + frame.picture().chroma_row_bytes() as usize;
        let band_rows = 2 * (BAND_BYTES / pair_bytes).max(1) as u32;
        band.resize(band_rows as usize / 2 * pair_bytes, 0);
        for first in (0..height).step_by(band_rows as usize) {
            let rows = band_rows.min(height - first);
            let planes = copy_band(&shared, first, rows, band);
            color(planes, conversion, layout, &mut target.part(first as usize, rows as usize));
            if !frame.is_intact() {
                return Err(Overwritten.into());
            }
        }
    }
    if frame.is_intact() { Ok(()) } else { Err(Overwritten.into()) }
}

fn copy_band<'b>(shared: &RawNv12<'_>, first: u32, rows: u32, band: &'b mut [u8]) -> Planes<'b> {
    let picture = shared.picture();
    let (width, pair_bytes) = (picture.width() as usize, picture.chroma_row_bytes() as usize);
    let (luma, rest) = band.split_at_mut(rows as usize * width);
    let chroma = &mut rest[..rows.div_ceil(2) as usize * pair_bytes];
    for (y, row) in (first..).zip(luma.chunks_exact_mut(width)) {
        shared.copy_luma_row(y, row);
    }
    for (y, row) in (first / 2..).zip(chroma.chunks_exact_mut(pair_bytes)) {
        shared.copy_chroma_row(y, row);
    }
    Planes { width: picture.width(), luma, chroma, is_halved: true }
}

/// A picture, or a part of one, that lies in private memory.
pub(super) fn planes(
    planes: Planes<'_>,
    conversion: &Conversion,
    layout: PixelLayout,
    target: &mut Target<'_>,
) {
    if layout == PixelLayout::Gray {
        for (y, luma) in planes.luma.chunks_exact(planes.width as usize).enumerate() {
            let row = target.row(y);
            row.copy_from_slice(luma);
            stretch(row, conversion);
        }
    } else {
        color(planes, conversion, layout, target);
    }
}

fn color(planes: Planes<'_>, conversion: &Conversion, layout: PixelLayout, target: &mut Target<'_>) {
    // The converter takes what it is given for whole rows of `stride` bytes, and leaves the last pair of rows as it is if the last
    // row has no padding behind it. So those are converted by themselves, each a picture of one row.
    let rows = planes.rows();
    let in_one = if target.is_padded() { rows } else { rows.saturating_sub(1) & !1 };
    if in_one > 0 {
        let stride_bytes = target.stride_bytes;
        let out = &mut target.bytes[..in_one * stride_bytes];
        convert(planes.part(0, in_one), in_one, conversion, layout, out, stride_bytes);
    }
    let width = planes.width as usize;
    for y in in_one..rows {
        let with_chroma = if planes.is_halved { y & !1 } else { y };
        let row = Planes { luma: &planes.luma[y * width..][..width], ..planes.part(with_chroma, 1) };
        let row_bytes = target.row_bytes;
        convert(row, 1, conversion, layout, target.row(y), row_bytes);
    }
    if !conversion.is_full_range() {
        mend_below_black(planes, &Limited::of(conversion.matrix()), layout, target);
    }
}

/// The converter takes limited luma below 16 for 16, though only where it works on many pixels at once: in colours that is as
/// much as 19 of 255 too bright. Overshoot of a codec is seldom below black, so those pixels are looked for and made again.
fn mend_below_black(planes: Planes<'_>, numbers: &Limited, layout: PixelLayout, target: &mut Target<'_>) {
    /// Pixels that are looked at together: as many as processors compare at once, or a few times that.
    const AT_ONCE: usize = 64;
    let (width, row_bytes) = (planes.width as usize, planes.chroma_row_bytes());
    let (pixel_bytes, shift) = (layout.bytes_per_pixel(), usize::from(planes.is_halved));
    let is_red_first = matches!(layout, PixelLayout::Rgb | PixelLayout::Rgba);
    for (y, luma) in planes.luma.chunks_exact(width).enumerate() {
        let chroma = &planes.chroma[(y >> shift) * row_bytes..][..row_bytes];
        for (part, values) in luma.chunks(AT_ONCE).enumerate() {
            if values.iter().fold(u8::MAX, |least, &value| least.min(value)) >= BLACK {
                continue;
            }
            for (x, &value) in (part * AT_ONCE..).zip(values).filter(|&(_, &value)| value < BLACK) {
                let pair = (x >> shift) * 2;
                let [red, green, blue] = numbers.pixel([value, chroma[pair], chroma[pair + 1]]);
                let pixel = &mut target.row(y)[x * pixel_bytes..][..3];
                pixel.copy_from_slice(&if is_red_first { [red, green, blue] } else { [blue, green, red] });
            }
        }
    }
}

/// Black, in limited range.
const BLACK: u8 = 16;

/// The formula of PROTOCOL.md for limited range, in numbers of 16 bits behind the point.
struct Limited {
    luma: i32,
    red_of_cr: i32,
    green_of_cb: i32,
    green_of_cr: i32,
    blue_of_cb: i32,
}

impl Limited {
    const BITS: u32 = 16;

    fn of(matrix: Matrix) -> Self {
        let (kr, kb) = matrix.kr_kb();
        let kg = 1.0 - kr - kb;
        let number = |number: f64| (number * f64::from(1 << Self::BITS)).round() as i32;
        let of_chroma = |part: f64| number(part * 2.0 * 255.0 / 224.0);
        Self {
            luma: number(255.0 / 219.0),
            red_of_cr: of_chroma(1.0 - kr),
            green_of_cb: of_chroma(-kb * (1.0 - kb) / kg),
            green_of_cr: of_chroma(-kr * (1.0 - kr) / kg),
            blue_of_cb: of_chroma(1.0 - kb),
        }
    }

    fn pixel(&self, [luma, cb, cr]: [u8; 3]) -> [u8; 3] {
        let luma = (i32::from(luma) - i32::from(BLACK)) * self.luma;
        let [cb, cr] = [cb, cr].map(|value| i32::from(value) - 128);
        let parts =
            [cr * self.red_of_cr, cb * self.green_of_cb + cr * self.green_of_cr, cb * self.blue_of_cb];
        let half = 1 << (Self::BITS - 1);
        parts.map(|part| ((luma + part + half) >> Self::BITS).clamp(0, 255) as u8)
    }
}

type Function = fn(
    &YuvBiPlanarImage<'_, u8>,
    &mut [u8],
    u32,
    YuvRange,
    YuvStandardMatrix,
    YuvConversionMode,
) -> Result<(), YuvError>;

fn convert(
    planes: Planes<'_>,
    rows: usize,
    conversion: &Conversion,
    layout: PixelLayout,
    out: &mut [u8],
    stride_bytes: usize,
) {
    let image = YuvBiPlanarImage {
        y_plane: planes.luma,
        y_stride: planes.width,
        uv_plane: planes.chroma,
        uv_stride: planes.chroma_row_bytes() as u32,
        width: planes.width,
        height: rows as u32,
    };
    let function: Function = match (layout, planes.is_halved) {
        (PixelLayout::Rgb, true) => yuv_nv12_to_rgb,
        (PixelLayout::Rgb, false) => yuv_nv24_to_rgb,
        (PixelLayout::Bgr, true) => yuv_nv12_to_bgr,
        (PixelLayout::Bgr, false) => yuv_nv24_to_bgr,
        (PixelLayout::Rgba, true) => yuv_nv12_to_rgba,
        (PixelLayout::Rgba, false) => yuv_nv24_to_rgba,
        (PixelLayout::Bgra, true) => yuv_nv12_to_bgra,
        (PixelLayout::Bgra, false) => yuv_nv24_to_bgra,
        (PixelLayout::Gray, _) => unreachable!("grey needs no chroma"),
    };
    let (range, matrix) = (conversion.yuv_range(), conversion.matrix().of_yuv());
    // Target::new saw to it that strides fit.
    function(&image, out, stride_bytes as u32, range, matrix, YuvConversionMode::Balanced)
        .expect("planes and target have the sizes that were checked before");
}

/// Luma to grey of full scale, in place: `round((Y - 16) * 255 / 219)`, limited to 0..=255, or what is there if the range is full.
fn stretch(row: &mut [u8], conversion: &Conversion) {
    if conversion.is_full_range() {
        return;
    }
    for value in row {
        *value = stretched(*value);
    }
}

/// In 16 bits, which processors do eight or sixteen at a time; a test compares it with the division for every value.
fn stretched(luma: u8) -> u8 {
    let above_black = u16::from(luma.saturating_sub(16)).min(219);
    let more = (u32::from(above_black + 3) * 10774) >> 16;
    (above_black + more as u16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_of_limited_range_is_the_nearest_of_full_scale_for_every_value() {
        for luma in 0..=255_u8 {
            let exact = (f64::from(luma) - 16.0) * 255.0 / 219.0;
            assert_eq!(f64::from(stretched(luma)), exact.round().clamp(0.0, 255.0), "luma {luma}");
        }
    }
}
