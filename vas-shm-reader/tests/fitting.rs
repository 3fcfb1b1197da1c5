//! Frames as a model's input: where they lie in it, what fills the rest, and the way back.

mod common;

use common::*;
use vas_shm_reader::convert::{ConvertError, Converter, Filter, ModelInput, PixelLayout, Placement};
use vas_shm_reader::{Frame, FrameId, Nv12, Opened, Options, Reader, open};

const LAYOUTS: [PixelLayout; 5] =
    [PixelLayout::Rgb, PixelLayout::Bgr, PixelLayout::Rgba, PixelLayout::Bgra, PixelLayout::Gray];
const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Linear, Filter::Triangle, Filter::Box, Filter::CatmullRom, Filter::Lanczos3];

/// A pair with one frame of BT.709, and the reader of it.
struct Scene {
    _base: Base,
    pair: Pair,
    reader: Reader,
}

impl Scene {
    /// Luma, Cb and Cr by column and row.
    fn new(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Self {
        Self::of_color(width, height, 1, 1, pixel)
    }

    /// The same with the header's words for matrix and range.
    fn of_color(width: u32, height: u32, matrix: u8, range: u8, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Self {
        let base = Base::new();
        let pair = Pair::make_with(&base, width, height, 1, |raw| {
            raw.stream.color_matrix = matrix;
            raw.stream.color_range = range;
        });
        let picture: Nv12 = pair.header.picture;
        let stride = picture.stride_bytes() as usize;
        let mut pixels = vec![0xA5; picture.data_size() as usize];
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let [luma, cb, cr] = pixel(x, y);
            pixels[y as usize * stride + x as usize] = luma;
            let pair = picture.uv_offset() as usize + (y / 2) as usize * stride + (x / 2) as usize * 2;
            pixels[pair..][..2].copy_from_slice(&[cb, cr]);
        }
        pair.publish_bytes(1, &pixels);
        let reader = match open(base.path(), &camera(), &Options::new()) {
            Opened::Ready(reader) => reader,
            other => panic!("not ready: {other:?}"),
        };
        Self { _base: base, pair, reader }
    }

    fn frame(&self) -> Frame<'_> {
        self.reader.at(FrameId::new(1).expect("not 0")).expect("the frame is there")
    }
}

/// Red of the BT.709 colour bars.
const RED: [u8; 3] = [63, 102, 240];

fn in_layout([red, green, blue]: [u8; 3], layout: PixelLayout) -> Vec<u8> {
    match layout {
        PixelLayout::Rgb => vec![red, green, blue],
        PixelLayout::Bgr => vec![blue, green, red],
        PixelLayout::Rgba => vec![red, green, blue, 255],
        PixelLayout::Bgra => vec![blue, green, red, 255],
        other => panic!("{other}"),
    }
}

#[test]
fn a_picture_of_one_colour_keeps_it_at_any_size_in_any_layout_with_any_filter_and_bars_have_theirs() {
    let scenes = [(64, 48), (1, 1), (33, 77), (200, 3)].map(|(w, h)| Scene::new(w, h, |_, _| RED));
    let mut converter = Converter::new();
    for scene in &scenes {
        for (layout, filter) in LAYOUTS.iter().flat_map(|&layout| FILTERS.map(|filter| (layout, filter))) {
            for (width, height) in [(64, 64), (100, 7), (1, 1), (31, 65), (64, 48)] {
                for input in [
                    ModelInput::new(width, height).letterbox([10, 20, 33]),
                    ModelInput::new(width, height).stretch(),
                ] {
                    let input = input.layout(layout).filter(filter);
                    let stride = input.stride_bytes() + 5;
                    let mut out = vec![0xEE; stride * height as usize];
                    let placement = converter.fit(&scene.frame(), &input, &mut out, stride).expect("fits");
                    let inside = |x: u32, y: u32| {
                        (placement.x..placement.x + placement.width).contains(&x)
                            && (placement.y..placement.y + placement.height).contains(&y)
                    };
                    let bytes = layout.bytes_per_pixel();
                    for (y, row) in (0..).zip(out.chunks_exact(stride)) {
                        assert_eq!(row[input.stride_bytes()..], [0xEE; 5], "written between rows");
                        for (x, found) in (0..width).zip(row.chunks_exact(bytes)) {
                            let what = format!("{input:?}, {x},{y}: {found:?}");
                            let wanted = match (layout, inside(x, y)) {
                                (PixelLayout::Gray, true) => vec![55],
                                (PixelLayout::Gray, false) => vec![21],
                                (_, true) => in_layout([255, 0, 0], layout),
                                (_, false) => in_layout([10, 20, 33], layout),
                            };
                            let near = |(&found, &wanted): (&u8, &u8)| found.abs_diff(wanted) <= 1;
                            if inside(x, y) {
                                assert!(found.iter().zip(&wanted).all(near), "{what}, wanted {wanted:?}");
                            } else {
                                assert_eq!(found, wanted, "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_matrix_and_range_is_the_same_for_an_input_as_for_the_frame_also_below_black() {
    // BT.709, FCC, BT.601, SMPTE 240M, BT.2020, by H.273; limited and full range.
    let mut different = std::collections::HashSet::new();
    for (matrix, range) in [1, 4, 6, 7, 9].into_iter().flat_map(|matrix| [(matrix, 1), (matrix, 2)]) {
        for sample in [[5, 128, 128], [12, 90, 200], [16, 240, 16], [130, 60, 180], [250, 140, 110]] {
            let scene = Scene::of_color(64, 48, matrix, range, |_, _| sample);
            let frame = scene.frame().to_rgb().expect("converts").bytes;
            different.insert(frame[..3].to_vec());
            for filter in FILTERS {
                let input = ModelInput::new(40, 56).stretch().filter(filter);
                let (fitted, _) = scene.frame().to_model_input(&input).expect("fits");
                for pixel in fitted.bytes.chunks_exact(3) {
                    let near = pixel.iter().zip(&frame).all(|(a, b)| a.abs_diff(*b) <= 1);
                    assert!(near, "{matrix}, {range}, {filter:?}, {sample:?}: {pixel:?}, {:?}", &frame[..3]);
                }
            }
        }
    }
    assert!(different.len() > 30, "the test is blind: {} colours", different.len());
}

#[test]
fn an_input_of_the_frames_own_size_is_the_frame() {
    let scene = Scene::new(65, 33, |x, y| [(x * 3 + y) as u8, (x * 2) as u8, (y * 5) as u8]);
    for layout in LAYOUTS {
        let picture = Converter::new().to_picture(&scene.frame(), layout).expect("converts");
        for filter in FILTERS {
            let input = ModelInput::new(65, 33).layout(layout).filter(filter);
            let (fitted, _) = scene.frame().to_model_input(&input).expect("fits");
            assert!(fitted == picture, "{layout} {filter:?}");
        }
    }
}

#[test]
fn bars_stand_where_yolos_tools_have_them_and_boxes_find_the_way_back() {
    let check = |(width, height), input: ModelInput, place: (u32, u32, u32, u32)| -> Placement {
        let at = input.placement(width, height);
        assert_eq!((at.x, at.y, at.width, at.height), place, "{width}x{height} in {input:?}");
        let (x, y, w, h) = (f64::from(at.x), f64::from(at.y), f64::from(at.width), f64::from(at.height));
        let whole = at.box_to_frame([x, y, x + w, y + h]);
        let near = whole.iter().zip([0.0, 0.0, f64::from(width), f64::from(height)]);
        assert!(near.into_iter().all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{whole:?}");
        at
    };
    // As ultralytics' LetterBox computes them: round(side * ratio), half of the rest before, rounded down.
    check((1920, 1080), ModelInput::new(640, 640), (0, 140, 640, 360));
    check((1080, 1920), ModelInput::new(640, 640), (140, 0, 360, 640));
    check((641, 479), ModelInput::new(640, 640), (0, 81, 640, 478));
    check((100, 50), ModelInput::new(640, 640), (0, 160, 640, 320));
    check((16384, 1), ModelInput::new(640, 640), (0, 319, 640, 1));
    check((1920, 1080), ModelInput::new(224, 224).stretch(), (0, 0, 224, 224));
    let at = check((1280, 720), ModelInput::new(416, 416), (0, 91, 416, 234));
    assert_eq!(at.box_to_frame([-50.0, 0.0, 500.0, 416.0]), [0.0, 0.0, 1280.0, 720.0], "cut to the frame");
    assert_eq!(at.to_frame(0.0, 91.0), (0.0, 0.0));
}

#[test]
fn an_edge_of_the_frame_lies_where_the_placement_says_for_luma_and_for_chroma() {
    // The right third is white, and the lower half red where it is not white.
    let scene = Scene::new(300, 200, |x, y| match (x >= 200, y >= 100) {
        (true, _) => [235, 128, 128],
        (false, true) => RED,
        (false, false) => [16, 128, 128],
    });
    for filter in FILTERS {
        let input = ModelInput::new(150, 150).filter(filter);
        let (picture, at) = scene.frame().to_model_input(&input).expect("fits");
        assert_eq!((at.x, at.y, at.width, at.height), (0, 25, 150, 100));
        let pixel = |x: usize, y: usize| &picture.bytes[(y * 150 + x) * 3..][..3];
        // Three pixels from an edge no filter reaches over it.
        for (x, y, wanted) in [
            (104, 30, [255, 255, 255]),
            (96, 30, [0, 0, 0]),
            (96, 71, [0, 0, 0]),
            (96, 79, [255, 0, 0]),
            (104, 79, [255, 255, 255]),
            (96, 24, [114, 114, 114]),
            (96, 125, [114, 114, 114]),
            (0, 124, [255, 0, 0]),
        ] {
            let near = pixel(x, y).iter().zip(wanted).all(|(&found, wanted)| found.abs_diff(wanted) <= 8);
            assert!(near, "{filter:?} {x},{y}: {:?}, wanted {wanted:?}", pixel(x, y));
        }
    }
}

#[test]
fn inputs_without_a_size_and_buffers_without_room_are_refused_and_nothing_is_written() {
    let scene = Scene::new(64, 48, |_, _| RED);
    let mut converter = Converter::new();
    for (width, height) in [(0, 640), (640, 0), (16385, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
        // Before any memory is asked for: this would be exabytes.
        let refused = scene.frame().to_model_input(&ModelInput::new(width, height).layout(PixelLayout::Rgba));
        assert_eq!(refused.err(), Some(ConvertError::InputSize { width, height }));
        let refused = converter.fit(&scene.frame(), &ModelInput::new(width, height), &mut [], 0);
        assert_eq!(refused, Err(ConvertError::InputSize { width, height }));
    }
    let input = ModelInput::new(32, 32);
    let mut out = vec![0xEE; 32 * 32 * 3 - 1];
    let refused = converter.fit(&scene.frame(), &input, &mut out, 96);
    assert_eq!(refused, Err(ConvertError::BufferTooSmall { have: 3071, need: 3072 }));
    let refused = converter.fit(&scene.frame(), &input, &mut out, 95);
    assert_eq!(refused, Err(ConvertError::Stride { have: 95, need: 96 }));
    assert!(out.iter().all(|&byte| byte == 0xEE));
}

#[test]
fn a_frame_that_is_overwritten_is_no_models_input() {
    let scene = Scene::new(64, 48, |_, _| RED);
    let frame = scene.frame();
    scene.pair.claim(1);
    for (width, height) in [(32, 32), (64, 64), (64, 48)] {
        for layout in LAYOUTS {
            let overwritten = frame.to_model_input(&ModelInput::new(width, height).layout(layout));
            assert!(matches!(overwritten, Err(ConvertError::Overwritten(_))), "{layout}: {overwritten:?}");
        }
    }
}
