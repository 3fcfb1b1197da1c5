//! The reader's conversion against FFmpeg's swscale, and against the formula of PROTOCOL.md that both should be.
//!
//! `cargo xtask test -p vas-convert --test swscale -- --nocapture` prints the table that docs/testing.md has.
//!
//! swscale is asked for what the reader does: each chroma sample for its two by two pixels (`neighbor`, at full resolution), matrix and
//! range said and not guessed, sums that are rounded.

use std::path::Path;
use std::process::{Command, Stdio};
use vas_convert::{Nv12Picture, Scene};
use vas_e2e::clips::clip;
use vas_shm_reader::convert::{Converter, Filter, ModelInput, PixelLayout};
use vas_shm_writer::{Color, ColorRange};

/// ffmpeg's name, the code point of H.273, Kr and Kb.
const MATRICES: [(&str, u8, f64, f64); 5] = [
    ("bt601", 6, 0.299, 0.114),
    ("bt709", 1, 0.2126, 0.0722),
    ("bt2020", 9, 0.2627, 0.0593),
    ("fcc", 4, 0.30, 0.11),
    ("smpte240m", 7, 0.212, 0.087),
];
/// Where red, green and blue are.
const COLOURS: [(PixelLayout, [usize; 3]); 4] = [
    (PixelLayout::Rgb, [0, 1, 2]),
    (PixelLayout::Bgr, [2, 1, 0]),
    (PixelLayout::Rgba, [0, 1, 2]),
    (PixelLayout::Bgra, [2, 1, 0]),
];
const SAME_AS_OURS: &str = "neighbor+full_chroma_int+full_chroma_inp+accurate_rnd";

/// What may lie between the reader and the formula: it works with 13 bits behind the point, whose sum is rounded once.
const WORST_TO_FORMULA: u8 = 1;
/// Between the reader and swscale: each may be one off, to the other side.
const WORST_TO_SWSCALE: u8 = 2;
/// A wrong matrix or range is off by several in the mean over a real picture; rounding by half at most.
const MEAN_TO_SWSCALE: f64 = 0.35;

/// Of a model's input. A filter, a place or a plane that is wrong changes the mean of a real picture by several.
const MEAN_OF_INPUT: f64 = 1.0;
/// At an edge, where swscale's other place of chroma and other end of a box show.
const WORST_OF_INPUT: u8 = 32;

/// Differences of parts of pixels.
#[derive(Default)]
struct Difference {
    worst: u8,
    sum: u64,
    count: u64,
}

impl Difference {
    fn add(&mut self, one: u8, other: u8) {
        let difference = one.abs_diff(other);
        self.worst = self.worst.max(difference);
        self.sum += u64::from(difference);
        self.count += 1;
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

/// Red, green, blue and grey of the formula, 1.0 for white, before they are limited to 0..1.
fn exact([luma, cb, cr]: [u8; 3], (kr, kb): (f64, f64), range: ColorRange) -> [f64; 4] {
    let [luma, cb, cr] = [luma, cb, cr].map(f64::from);
    let (y, b, r) = if range == ColorRange::Full {
        (luma / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0)
    } else {
        ((luma - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0)
    };
    let red = y + 2.0 * (1.0 - kr) * r;
    let blue = y + 2.0 * (1.0 - kb) * b;
    [red, (y - kr * red - kb * blue) / (1.0 - kr - kb), blue, y]
}

fn rounded(part: f64) -> u8 {
    (part.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

/// What the `ffmpeg` program makes of a picture.
fn swscale(files: &Path, picture: &Nv12Picture, scale: &str, pixel_format: &str) -> Vec<u8> {
    let raw = files.join("picture.nv12");
    std::fs::write(&raw, &picture.bytes).expect("write a file");
    let size = format!("{}x{}", picture.width, picture.height);
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "nv12", "-s", &size, "-i"])
        .arg(raw);
    command.args(["-vf", &format!("scale={scale}"), "-pix_fmt", pixel_format, "-f", "rawvideo", "-"]);
    output(&mut command)
}

fn output(command: &mut Command) -> Vec<u8> {
    let ended = command.stdin(Stdio::null()).output().expect("the ffmpeg program runs");
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

fn noise(mut state: u32) -> impl FnMut() -> u8 {
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 16) as u8
    }
}

/// Nothing but the ends of ranges and what lies beside them.
fn extremes(state: u32) -> impl FnMut() -> u8 {
    const VALUES: [u8; 16] = [0, 1, 15, 16, 17, 127, 128, 129, 234, 235, 236, 239, 240, 241, 254, 255];
    let mut noise = noise(state);
    move || VALUES[usize::from(noise() & 15)]
}

/// The pictures, or why they cannot be had here.
fn pictures() -> Result<Vec<(&'static str, Nv12Picture)>, String> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        return Err("the ffmpeg program is not installed (Debian: apt-get install ffmpeg)".into());
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(clip("bikes.mp4")?);
    command.args(["-frames:v", "1", "-pix_fmt", "nv12", "-f", "rawvideo", "-"]);
    let (width, height) = (640, 272);
    let bytes = output(&mut command);
    assert_eq!(bytes.len(), Nv12Picture::len_bytes(width, height), "the clip's first picture");
    Ok(vec![
        ("street", Nv12Picture { width, height, bytes }),
        // Even: of an odd side swscale spreads the chroma samples anew. The reader's own tests hold those to the formula.
        ("noise", Nv12Picture::of(400, 300, noise(1))),
        ("extremes", Nv12Picture::of(256, 256, extremes(2))),
    ])
}

#[test]
fn every_matrix_range_and_layout_is_what_swscale_makes_of_it() {
    let pictures = match pictures() {
        Ok(pictures) => pictures,
        Err(why) => return vas_e2e::skip(&why),
    };
    println!("                                    to swscale      to the formula   swscale to the formula");
    println!("picture   matrix     range          worst   mean    worst   mean    worst   mean");
    for (name, picture) in &pictures {
        for (matrix, code_point, kr, kb) in MATRICES {
            for (range, range_name) in [(ColorRange::Limited, "tv"), (ColorRange::Full, "pc")] {
                let scene = vas_e2e::scene::Scene::new();
                let color = Color { range, matrix: code_point, ..Color::UNSPECIFIED };
                let camera = Scene::new(&scene.base(), picture, color);
                let scale = format!(
                    "in_color_matrix={matrix}:in_range={range_name}:out_range=pc:flags={SAME_AS_OURS}"
                );
                let what = format!("{name:<9} {matrix:<10} {range_name}");
                let theirs = swscale(scene.files(), picture, &scale, "rgb24");
                let all = colours(&camera, picture, (kr, kb), range, &theirs);
                report(&format!("{what} colours"), &all);
                if code_point == 1 {
                    let gray = camera.frame().to_gray().expect("converts");
                    let mut all = Differences::default();
                    let theirs = swscale(scene.files(), picture, &scale, "gray");
                    for (at, (&ours, &theirs)) in gray.bytes.iter().zip(&theirs).enumerate() {
                        let width = picture.width as usize;
                        let sample = picture.sample(at % width, at / width);
                        all.add(ours, theirs, rounded(exact(sample, (kr, kb), range)[3]));
                    }
                    assert_eq!(gray.bytes.len(), theirs.len());
                    report(&format!("{what} grey   "), &all);
                    assert_eq!(all.to_formula.worst, 0, "{what} grey");
                }
            }
        }
    }
}

#[derive(Default)]
struct Differences {
    to_swscale: Difference,
    to_formula: Difference,
    of_swscale: Difference,
}

impl Differences {
    fn add(&mut self, ours: u8, theirs: u8, formula: u8) {
        self.to_swscale.add(ours, theirs);
        self.to_formula.add(ours, formula);
        self.of_swscale.add(theirs, formula);
    }
}

/// All layouts with colour, against swscale's RGB.
fn colours(
    camera: &Scene,
    picture: &Nv12Picture,
    kr_kb: (f64, f64),
    range: ColorRange,
    theirs: &[u8],
) -> Differences {
    /// In parts that are more than twice as bright as white, swscale's sum leaves its 31 bits and comes out black.
    const SWSCALE_OVERFLOWS: f64 = 511.0 / 255.0;
    let width = picture.width as usize;
    let mut all = Differences::default();
    for (layout, places) in COLOURS {
        let ours = Converter::new().to_picture(&camera.frame(), layout).expect("converts");
        assert_eq!(ours.bytes.len() / layout.bytes_per_pixel(), theirs.len() / 3, "{layout}");
        let ours = ours.bytes.chunks_exact(layout.bytes_per_pixel());
        for (at, (ours, theirs)) in ours.zip(theirs.chunks_exact(3)).enumerate() {
            let exact = exact(picture.sample(at % width, at / width), kr_kb, range);
            for (part, place) in places.into_iter().enumerate() {
                if exact[part] < SWSCALE_OVERFLOWS {
                    all.add(ours[place], theirs[part], rounded(exact[part]));
                } else {
                    assert_eq!(ours[place], u8::MAX, "{layout}: twice as bright as white is white");
                }
            }
            assert!(ours.get(3).is_none_or(|&alpha| alpha == u8::MAX), "{layout}: alpha");
        }
    }
    all
}

fn report(what: &str, all: &Differences) {
    let of = |difference: &Difference| format!("{:>5} {:>7.4}", difference.worst, difference.mean());
    println!("{what:<34} {}  {}  {}", of(&all.to_swscale), of(&all.to_formula), of(&all.of_swscale));
    assert!(all.to_formula.worst <= WORST_TO_FORMULA, "{what}: {} to the formula", all.to_formula.worst);
    assert!(all.to_swscale.worst <= WORST_TO_SWSCALE, "{what}: {} to swscale", all.to_swscale.worst);
    assert!(all.to_swscale.mean() <= MEAN_TO_SWSCALE, "{what}: {} in the mean", all.to_swscale.mean());
}

/// Not the same numbers: swscale weighs with other roundings, and has chroma at the left of its two columns.
#[test]
fn a_models_input_is_what_swscale_makes_of_it_but_for_a_few_at_edges() {
    let pictures = match pictures() {
        Ok(pictures) => pictures,
        Err(why) => return vas_e2e::skip(&why),
    };
    let (_, picture) = &pictures[0];
    let scene = vas_e2e::scene::Scene::new();
    let color = Color { range: ColorRange::Limited, matrix: 1, ..Color::UNSPECIFIED };
    let camera = Scene::new(&scene.base(), picture, color);
    println!("street to 320x320, stretched        worst   mean");
    for (filter, flags) in [
        (Filter::Nearest, "neighbor"),
        (Filter::Triangle, "bilinear"),
        (Filter::Box, "area"),
        (Filter::CatmullRom, "bicubic:param0=0:param1=0.5"),
        (Filter::Lanczos3, "lanczos"),
    ] {
        let input = ModelInput::new(320, 320).stretch().filter(filter);
        let (ours, _) = camera.frame().to_model_input(&input).expect("fits");
        let (flags, rest) = flags.split_once(':').unwrap_or((flags, ""));
        let scale = format!(
            "320:320:in_color_matrix=bt709:in_range=tv:out_range=pc:flags={flags}+full_chroma_int+full_chroma_inp+accurate_rnd:{rest}"
        );
        let theirs = swscale(scene.files(), picture, scale.trim_end_matches(':'), "rgb24");
        assert_eq!(ours.bytes.len(), theirs.len());
        let mut all = Difference::default();
        ours.bytes.iter().zip(&theirs).for_each(|(&ours, &theirs)| all.add(ours, theirs));
        println!("{:<34} {:>5} {:>7.4}", format!("{filter:?}"), all.worst, all.mean());
        assert!(all.mean() < MEAN_OF_INPUT && all.worst <= WORST_OF_INPUT, "{filter:?}");
    }
}
