//! What the header says of a picture, in GStreamer's words, and its pixels in a GStreamer buffer.

use gst_video::prelude::*;
use gst_video::{
    VideoChromaSite, VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoFormat,
    VideoFrameRef, VideoInfo, VideoTransferFunction,
};
use vas_shm_reader::{Color, ColorRange, Nv12, RawNv12};

/// Above this height a picture that does not name its matrix is taken for BT.709 (clause COLOR-3 of PROTOCOL.md).
const SD_HEIGHT: u32 = 576;
/// H.273 MatrixCoefficients for BT.2020 with constant luminance, which GStreamer has no name for.
const MATRIX_BT2020_CONSTANT: u8 = 10;

/// The caps of a camera's pictures: NV12, size, rate, colours. A period of 0 ns is an unknown one, and then the rate is "variable".
pub(crate) fn caps(picture: &Nv12, color: Color, period_ns: u64) -> Result<gst::Caps, gst::glib::BoolError> {
    let info = VideoInfo::builder(VideoFormat::Nv12, picture.width(), picture.height())
        .fps(frame_rate(period_ns))
        .par(gst::Fraction::new(1, 1))
        .colorimetry(&colorimetry(color, picture.height()))
        // The header does not say where the chroma samples lie.
        .chroma_site(VideoChromaSite::empty())
        .build()?;
    let mut caps = info.to_caps()?;
    if let Some(structure) = caps.make_mut().structure_mut(0) {
        // GStreamer fills in what is usual for a size; nobody said so of this camera.
        structure.remove_field("chroma-site");
    }
    Ok(caps)
}

/// The period of a header that is one; 0, which is "unknown", for more than an hour: GStreamer computes with it, and its times end.
pub(crate) fn known_period(period_ns: u64) -> u64 {
    const HOUR_NS: u64 = 3_600_000_000_000;
    if period_ns > HOUR_NS { 0 } else { period_ns }
}

/// The rate as people say it: 40 ms are 25/1, 33.366 ms are 30000/1001. The period is none (0) or a sane one ([`known_period`]).
pub(crate) fn frame_rate(period_ns: u64) -> gst::Fraction {
    const VARIABLE: (i32, i32) = (0, 1);
    if period_ns == 0 {
        return VARIABLE.into();
    }
    gst_video::guess_framerate(gst::ClockTime::from_nseconds(period_ns)).unwrap_or_else(|| VARIABLE.into())
}

/// Range and matrix have to be something, since nothing can be shown without them: where the camera does not say, they are what every
/// reader takes them for (COLOR-1, COLOR-3). Transfer and primaries stay unknown then.
pub(crate) fn colorimetry(color: Color, height: u32) -> VideoColorimetry {
    let range = match color.range {
        ColorRange::Full => VideoColorRange::Range0_255,
        ColorRange::Limited | ColorRange::Unknown => VideoColorRange::Range16_235,
    };
    let matrix = match color.matrix {
        MATRIX_BT2020_CONSTANT => VideoColorMatrix::Bt2020,
        code_point => VideoColorMatrix::from_iso(code_point.into()),
    };
    let matrix = match matrix {
        // "Identity" is for planes of green, blue and red, which NV12 has none of.
        VideoColorMatrix::Unknown | VideoColorMatrix::Rgb if height > SD_HEIGHT => VideoColorMatrix::Bt709,
        VideoColorMatrix::Unknown | VideoColorMatrix::Rgb => VideoColorMatrix::Bt601,
        named => named,
    };
    let transfer = VideoTransferFunction::from_iso(color.transfer.into());
    let primaries = VideoColorPrimaries::from_iso(color.primaries.into());
    VideoColorimetry::new(range, matrix, transfer, primaries)
}

/// Copies the visible rows of both planes to where a buffer has them; `row` fills one: plane, row of the plane, its visible bytes.
fn fill_rows(
    out: &mut VideoFrameRef<&mut gst::BufferRef>,
    picture: &Nv12,
    mut row: impl FnMut(u32, u32, &mut [u8]),
) -> Result<(), gst::glib::BoolError> {
    let planes = [(picture.width(), picture.height()), (picture.chroma_row_bytes(), picture.chroma_rows())];
    for (plane, (row_bytes, rows)) in (0..).zip(planes) {
        let too_small = || {
            gst::glib::bool_error!(
                "a buffer has no room for plane {plane} of a picture of {}x{}",
                picture.width(),
                picture.height()
            )
        };
        let stride = out.plane_stride().get(plane as usize).and_then(|stride| usize::try_from(*stride).ok());
        let stride = stride.filter(|stride| *stride >= row_bytes as usize).ok_or_else(too_small)?;
        let bytes = out.plane_data_mut(plane)?;
        for y in 0..rows {
            let place =
                bytes.get_mut(y as usize * stride..).and_then(|rest| rest.get_mut(..row_bytes as usize));
            row(plane, y, place.ok_or_else(too_small)?);
        }
    }
    Ok(())
}

/// Copies a picture out of shared memory, row by row, to wherever the buffer has its rows.
pub(crate) fn copy_from_shared(
    nv12: RawNv12<'_>,
    out: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), gst::glib::BoolError> {
    fill_rows(out, nv12.picture(), |plane, y, row| match plane {
        0 => nv12.copy_luma_row(y, row),
        _ => nv12.copy_chroma_row(y, row),
    })
}

/// The same from a copy without padding.
pub(crate) fn copy_from_packed(
    packed: &[u8],
    picture: &Nv12,
    out: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), gst::glib::BoolError> {
    let mut rest = packed;
    fill_rows(out, picture, |_, _, row| {
        let (begin, behind) = rest.split_at(row.len());
        row.copy_from_slice(begin);
        rest = behind;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(range: ColorRange, primaries: u8, transfer: u8, matrix: u8, height: u32) -> String {
        gst::init().expect("GStreamer");
        let color = Color { range, primaries, transfer, matrix };
        let picture = Nv12::for_picture(640, height).expect("a size");
        let caps = caps(&picture, color, 40_000_000).expect("caps");
        caps.structure(0).and_then(|s| s.get::<String>("colorimetry").ok()).expect("colorimetry")
    }

    // The words are range:matrix:transfer:primaries in the numbers of GstVideo, or a name for a set of them.
    #[test]
    fn each_colour_description_has_its_colorimetry() {
        use ColorRange::{Full, Limited, Unknown};
        for (range, [primaries, transfer, matrix], height, colorimetry) in [
            // BT.601 of 525 lines, BT.709, BT.2020 (10 bit and PQ and HLG), limited
            (Limited, [6, 6, 6], 480, "bt601"),
            (Limited, [1, 1, 1], 1080, "bt709"),
            (Limited, [9, 14, 9], 2160, "bt2020-10"),
            (Limited, [9, 16, 9], 2160, "bt2100-pq"),
            (Limited, [9, 18, 9], 2160, "bt2100-hlg"),
            // of 625 lines
            (Limited, [5, 6, 5], 576, "2:4:16:3"),
            // full
            (Full, [6, 6, 6], 480, "1:4:16:4"),
            (Full, [1, 1, 1], 1080, "1:3:5:1"),
            (Full, [9, 14, 9], 2160, "1:6:13:7"),
            (Full, [1, 13, 6], 480, "1:4:7:1"),
            (Limited, [7, 7, 7], 480, "smpte240m"),
            // A JPEG camera says its range and its matrix and nothing else.
            (Full, [2, 2, 5], 480, "1:4:0:0"),
            // Nobody says anything: by the height.
            (Unknown, [2, 2, 2], 576, "2:4:0:0"),
            (Unknown, [2, 2, 2], 577, "2:3:0:0"),
            (Full, [2, 2, 2], 577, "1:3:0:0"),
            // What GStreamer has no name for, or NV12 cannot be: as if unsaid. Constant luminance as non-constant.
            (Limited, [1, 1, 8], 1080, "bt709"),
            (Limited, [1, 1, 0], 1080, "bt709"),
            (Limited, [1, 1, 255], 480, "2:4:5:1"),
            (Limited, [9, 14, 10], 2160, "bt2020-10"),
        ] {
            assert_eq!(
                said(range, primaries, transfer, matrix, height),
                colorimetry,
                "range {range:?}, primaries {primaries}, transfer {transfer}, matrix {matrix}, height {height}"
            );
        }
    }

    #[test]
    fn the_rate_is_the_one_that_people_say_and_variable_when_nobody_knows() {
        gst::init().expect("GStreamer");
        for (period_ns, rate) in [
            (40_000_000, (25, 1)),
            (33_333_333, (30, 1)),
            (33_366_667, (30000, 1001)),
            (80_000_000, (25, 2)),
            (1_000_000_000, (1, 1)),
            (0, (0, 1)),
        ] {
            assert_eq!(frame_rate(period_ns), rate.into(), "{period_ns} ns");
        }
    }

    #[test]
    fn caps_say_nothing_that_nobody_said() {
        gst::init().expect("GStreamer");
        let picture = Nv12::for_picture(641, 479).expect("a size");
        let caps = caps(&picture, Color::UNSPECIFIED, 0).expect("caps");
        let said = caps.structure(0).expect("one structure");
        assert_eq!((said.get("width"), said.get("height")), (Ok(641), Ok(479)));
        assert_eq!(said.get::<gst::Fraction>("framerate"), Ok((0, 1).into()));
        assert_eq!(said.get::<gst::Fraction>("pixel-aspect-ratio"), Ok((1, 1).into()));
        assert!(!said.has_field("chroma-site"), "{caps}");
        assert!(caps.is_fixed(), "{caps}");
    }

    #[test]
    fn rows_land_where_the_buffer_has_them_and_the_padding_is_left_alone() {
        gst::init().expect("GStreamer");
        const AROUND: u8 = 0xA5;
        let picture = Nv12::for_picture(5, 3).expect("a size");
        let packed: Vec<u8> = (0..picture.packed_size() as u8).collect();
        // Rows of 5 and 6 bytes, 16 apart; chroma begins behind a gap.
        let info =
            VideoInfo::builder(VideoFormat::Nv12, 5, 3).stride(&[16, 16]).offset(&[0, 64]).size(96).build();
        let mut buffer = gst::Buffer::from_mut_slice(vec![AROUND; 96]);
        let info = info.expect("a layout");
        let writable = buffer.get_mut().expect("just made");
        let mut out = VideoFrameRef::from_buffer_ref_writable(writable, &info).expect("map");
        copy_from_packed(&packed, &picture, &mut out).expect("room");
        drop(out);
        let mut expected = vec![AROUND; 96];
        for (place, row) in [(0, 0..5), (16, 5..10), (32, 10..15), (64, 15..21), (80, 21..27)] {
            expected[place..place + row.len()].copy_from_slice(&packed[row]);
        }
        assert_eq!(*buffer.map_readable().expect("map"), *expected);
    }

    #[test]
    fn a_buffer_whose_rows_are_too_short_is_refused() {
        gst::init().expect("GStreamer");
        let picture = Nv12::for_picture(64, 4).expect("a size");
        let info = VideoInfo::builder(VideoFormat::Nv12, 32, 4).build().expect("a layout");
        let mut buffer = gst::Buffer::with_size(info.size()).expect("memory");
        let writable = buffer.get_mut().expect("just made");
        let mut out = VideoFrameRef::from_buffer_ref_writable(writable, &info).expect("map");
        let packed = vec![0; picture.packed_size() as usize];
        assert!(copy_from_packed(&packed, &picture, &mut out).is_err());
    }
}
