//! Frames as pixels: compared with the formula of PROTOCOL.md, section 5, for each pixel.

mod common;

use common::*;
use proptest::prelude::*;
use vas_shm_reader::convert::{Conversion, ConvertError, Converter, Matrix, Picture, PixelLayout};
use vas_shm_reader::{ColorRange, FrameId, Nv12, Opened, Options, Reader, open};

const LAYOUTS: [PixelLayout; 5] =
    [PixelLayout::Rgb, PixelLayout::Bgr, PixelLayout::Rgba, PixelLayout::Bgra, PixelLayout::Gray];
/// Code point, Kr and Kb, as PROTOCOL.md has them.
const MATRICES: [(u8, f64, f64); 5] =
    [(1, 0.2126, 0.0722), (4, 0.30, 0.11), (6, 0.299, 0.114), (7, 0.212, 0.087), (9, 0.2627, 0.0593)];
/// What the numbers of 13 bits that the converter works with may be off by.
const NEAR: u8 = 1;
/// What stands between rows and behind a picture.
const AROUND: u8 = 0xA5;

/// A pair with one frame of a colour description, and the reader of it.
struct Scene {
    _base: Base,
    pair: Pair,
    reader: Reader,
    pixels: Vec<u8>,
}

impl Scene {
    fn new((width, height): (u32, u32), matrix: u8, range: u8, fill: impl FnMut() -> u8) -> Self {
        let base = Base::new();
        let pair = Pair::make_with(&base, width, height, 1, |raw| {
            raw.stream.color_matrix = matrix;
            raw.stream.color_range = range;
        });
        let size = pair.header.picture.data_size() as usize;
        let pixels: Vec<u8> = std::iter::repeat_with(fill).take(size).collect();
        pair.publish_bytes(1, &pixels);
        let reader = match open(base.path(), &camera(), &Options::new()) {
            Opened::Ready(reader) => reader,
            other => panic!("not ready: {other:?}"),
        };
        Self { _base: base, pair, reader, pixels }
    }

    fn frame(&self) -> vas_shm_reader::Frame<'_> {
        self.reader.at(FrameId::new(1).expect("not 0")).expect("the frame is there")
    }

    fn nv12(&self) -> Nv12 {
        self.pair.header.picture
    }

    /// Luma, Cb and Cr of a pixel.
    fn sample(&self, x: u32, y: u32) -> [u8; 3] {
        let picture = self.nv12();
        let stride = picture.stride_bytes() as usize;
        let chroma = picture.uv_offset() as usize + (y / 2) as usize * stride + (x / 2) as usize * 2;
        [self.pixels[y as usize * stride + x as usize], self.pixels[chroma], self.pixels[chroma + 1]]
    }
}

/// The formula of PROTOCOL.md.
fn exact([luma, cb, cr]: [u8; 3], (kr, kb): (f64, f64), is_full: bool, layout: PixelLayout) -> Vec<u8> {
    let [luma, cb, cr] = [luma, cb, cr].map(f64::from);
    let (y, b, r) = if is_full {
        (luma / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0)
    } else {
        ((luma - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0)
    };
    let red = y + 2.0 * (1.0 - kr) * r;
    let blue = y + 2.0 * (1.0 - kb) * b;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    let [red, green, blue, grey] =
        [red, green, blue, y].map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8);
    match layout {
        PixelLayout::Rgb => vec![red, green, blue],
        PixelLayout::Bgr => vec![blue, green, red],
        PixelLayout::Rgba => vec![red, green, blue, 255],
        PixelLayout::Bgra => vec![blue, green, red, 255],
        PixelLayout::Gray => vec![grey],
        other => panic!("{other}"),
    }
}

fn check(
    scene: &Scene,
    picture: &[u8],
    stride: usize,
    layout: PixelLayout,
    kr_kb: (f64, f64),
    is_full: bool,
) {
    let bytes = layout.bytes_per_pixel();
    for y in 0..scene.nv12().height() {
        for x in 0..scene.nv12().width() {
            let found = &picture[y as usize * stride + x as usize * bytes..][..bytes];
            let wanted = exact(scene.sample(x, y), kr_kb, is_full, layout);
            let near = found.iter().zip(&wanted).all(|(&found, &wanted)| found.abs_diff(wanted) <= NEAR);
            assert!(near, "{layout} {x},{y} of {:?}: {found:?}, wanted {wanted:?}", scene.nv12());
            assert!(layout != PixelLayout::Gray || found == wanted, "grey is exact: {found:?} {wanted:?}");
        }
    }
}

fn noise(seed: u32) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 16) as u8
    }
}

// Proves COLOR-1 and COLOR-2.
#[test]
fn every_matrix_range_and_layout_is_the_formulas_to_within_one() {
    for (matrix, kr, kb) in MATRICES {
        for range in [0, 1, 2] {
            let scene = Scene::new((258, 66), matrix, range, noise(u32::from(matrix) * 3 + u32::from(range)));
            for layout in LAYOUTS {
                let picture = Converter::new().to_picture(&scene.frame(), layout).expect("converts");
                check(&scene, &picture.bytes, picture.stride_bytes(), layout, (kr, kb), range == 2);
            }
        }
    }
}

#[test]
fn odd_sizes_have_the_colour_to_their_last_column_and_row() {
    // Widths around the vectors' lengths; heights around what fits the private buffer: 16 KiB are ten rows of 1000 pixels.
    let sizes = [(1, 1), (1, 2), (2, 1), (3, 3), (15, 4), (17, 2), (33, 5), (63, 7), (65, 3), (641, 47)];
    for size in sizes.into_iter().chain((7..=24).map(|height| (1001, height))) {
        let scene = Scene::new(size, 6, 1, noise(size.0 * 7919 + size.1));
        for layout in LAYOUTS {
            let row = size.0 as usize * layout.bytes_per_pixel();
            for stride in [row, row + 1, row + 64] {
                let need = stride * (size.1 as usize - 1) + row;
                // As short as allowed, with room for one row's padding, and with something behind the picture.
                for len in [need, need + stride - row, need + 1000] {
                    let mut out = vec![AROUND; len];
                    scene.frame().convert_to(layout, &mut out, stride).expect("converts");
                    check(&scene, &out, stride, layout, (0.299, 0.114), false);
                    assert!(
                        out[need..].iter().all(|&byte| byte == AROUND),
                        "{size:?} {layout}: written behind"
                    );

                    let picture = scene.nv12();
                    let packed = scene.frame().to_packed().expect("copied");
                    let mut of_copy = vec![AROUND; len];
                    Converter::new()
                        .convert_packed(
                            (&picture, scene.frame().color()),
                            &packed,
                            layout,
                            &mut of_copy,
                            stride,
                        )
                        .expect("converts");
                    check(&scene, &of_copy, stride, layout, (0.299, 0.114), false);
                }
            }
        }
    }
}

#[test]
fn rows_may_lie_apart_and_nothing_between_them_is_written() {
    let scene = Scene::new((50, 20), 1, 1, noise(5));
    for layout in LAYOUTS {
        let row = 50 * layout.bytes_per_pixel();
        let stride = row + 14;
        let mut out = vec![AROUND; stride * 20];
        scene.frame().convert_to(layout, &mut out, stride).expect("converts");
        for row_and_gap in out.chunks(stride) {
            assert!(row_and_gap[row..].iter().all(|&byte| byte == AROUND), "{layout}: written between rows");
        }
    }
}

#[test]
fn every_way_to_a_picture_has_its_layout() {
    let scene = Scene::new((20, 10), 1, 2, noise(11));
    let frame = scene.frame();
    let pictures: [Result<Picture, ConvertError>; 5] =
        [frame.to_rgb(), frame.to_bgr(), frame.to_rgba(), frame.to_bgra(), frame.to_gray()];
    for (picture, layout) in pictures.into_iter().zip(LAYOUTS) {
        let picture = picture.expect("converts");
        assert_eq!((picture.width, picture.height, picture.layout), (20, 10, layout));
        assert_eq!(picture.bytes.len(), 20 * 10 * layout.bytes_per_pixel());
        check(&scene, &picture.bytes, picture.stride_bytes(), layout, (0.2126, 0.0722), true);
    }
}

#[test]
fn a_buffer_that_is_too_small_is_refused_with_both_numbers_and_left_alone() {
    let scene = Scene::new((20, 10), 1, 1, noise(3));
    let frame = scene.frame();
    for layout in LAYOUTS {
        let row = 20 * layout.bytes_per_pixel();
        let need = (row + 5) * 9 + row;
        let mut out = vec![AROUND; need - 1];
        let refused = frame.convert_to(layout, &mut out, row + 5);
        assert_eq!(refused, Err(ConvertError::BufferTooSmall { have: need - 1, need }));
        let mut room = vec![AROUND; 4096];
        for have in [0, row - 1, 1 << 31, usize::MAX] {
            let refused = frame.convert_to(layout, &mut room, have);
            assert_eq!(refused, Err(ConvertError::Stride { have, need: row }), "{layout}");
        }
        let refused = frame.convert_to(layout, &mut room, (1 << 31) - 1);
        assert!(matches!(refused, Err(ConvertError::BufferTooSmall { have: 4096, .. })), "{refused:?}");
        let given = (&scene.nv12(), frame.color());
        let refused = Converter::new().convert_packed(given, &[0; 299], layout, &mut room, row);
        assert_eq!(refused, Err(ConvertError::PackedSize { have: 299, need: 300 }));
        assert!(out.iter().chain(&room).all(|&byte| byte == AROUND), "{layout}: written");
    }
    let sentence = ConvertError::BufferTooSmall { have: 1, need: 2 }.to_string();
    assert_eq!(sentence, "the buffer has 1 bytes, the converted picture needs 2");
}

// Proves COLOR-3.
#[test]
fn a_matrix_that_nothing_converts_is_named_and_may_be_insisted_on_and_grey_needs_none() {
    for code_point in [0, 8, 14, 200] {
        let scene = Scene::new((20, 10), code_point, 1, noise(2));
        let frame = scene.frame();
        assert_eq!(frame.to_rgb(), Err(ConvertError::UnsupportedMatrix { code_point }));
        let grey = frame.to_gray().expect("grey");
        check(&scene, &grey.bytes, 20, PixelLayout::Gray, (0.299, 0.114), false);
        // By the rule for what is not said: the picture is low.
        let mut insisting = Converter::new().with_conversion(frame.conversion());
        let picture = insisting.to_picture(&frame, PixelLayout::Rgb).expect("converts");
        check(&scene, &picture.bytes, 60, PixelLayout::Rgb, (0.299, 0.114), false);
        let chosen = Conversion::new(Matrix::Bt709, ColorRange::Full);
        let picture = Converter::new().with_conversion(chosen).to_picture(&frame, PixelLayout::Rgb);
        check(&scene, &picture.expect("converts").bytes, 60, PixelLayout::Rgb, (0.2126, 0.0722), true);
    }
    let sentence = ConvertError::UnsupportedMatrix { code_point: 8 }.to_string();
    assert!(sentence.contains("8, YCgCo, which is not converted"), "{sentence}");
}

#[test]
fn a_frame_that_is_overwritten_gives_no_picture_in_any_layout() {
    let scene = Scene::new((20, 10), 1, 1, noise(9));
    let frame = scene.frame();
    scene.pair.claim(1);
    for layout in LAYOUTS {
        let mut out = vec![0; 20 * 10 * 4];
        let overwritten = frame.convert_to(layout, &mut out, 80);
        assert!(matches!(overwritten, Err(ConvertError::Overwritten(_))), "{layout}: {overwritten:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_size_stride_and_content_is_the_formulas_to_within_one(
        width in 1_u32..200,
        height in 1_u32..60,
        gap in 0_usize..40,
        matrix in 0_usize..5,
        range in 0_u8..3,
        layout in 0_usize..5,
        seed: u32,
    ) {
        let (code_point, kr, kb) = MATRICES[matrix];
        let layout = LAYOUTS[layout];
        let scene = Scene::new((width, height), code_point, range, noise(seed));
        let row = width as usize * layout.bytes_per_pixel();
        let mut out = vec![AROUND; (row + gap) * (height as usize - 1) + row];
        scene.frame().convert_to(layout, &mut out, row + gap).expect("converts");
        check(&scene, &out, row + gap, layout, (kr, kb), range == 2);
    }
}
