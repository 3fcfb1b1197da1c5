//! What conversion asks of the allocator from frame to frame.

use allocation_counter::measure;
use vas_convert::{Nv12Picture, Scene};
use vas_shm_reader::convert::{Converter, ModelInput, PixelLayout};
use vas_shm_writer::Color;

#[test]
fn after_the_first_frame_conversion_allocates_nothing_and_a_models_input_only_its_filters_weights() {
    let scene = vas_e2e::scene::Scene::new();
    let picture = Nv12Picture::of(1280, 720, || 100);
    let camera = Scene::new(&scene.base(), &picture, Color::UNSPECIFIED);
    let frame = camera.frame();
    let mut converter = Converter::new();
    let mut out = vec![0; 1280 * 720 * 4];
    for layout in
        [PixelLayout::Rgb, PixelLayout::Bgr, PixelLayout::Rgba, PixelLayout::Bgra, PixelLayout::Gray]
    {
        let stride = 1280 * layout.bytes_per_pixel();
        let mut convert = || converter.convert(&frame, layout, &mut out, stride).expect("converts");
        convert();
        assert_eq!(measure(convert).count_total, 0, "{layout}");
    }
    let input = ModelInput::new(640, 640);
    let mut fit = || {
        converter.fit(&frame, &input, &mut out, input.stride_bytes()).expect("fits");
    };
    fit();
    let second = measure(fit);
    println!("a model's input: {} allocations, {} bytes", second.count_total, second.bytes_total);
    // A plane of the frame has a megabyte.
    assert!(second.bytes_total < 200_000, "{} bytes", second.bytes_total);
}
