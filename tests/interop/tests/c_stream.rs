//! The stream in C: step by step, cancelled, over restarts and changes of size, with several cameras; its examples, and how it is
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest as _, Md5};
use rustix::process::Signal;
use serde::Deserialize;
use vas_e2e::follow::{CAMERA as FOLLOWED, restart_and_size_change};
use vas_e2e::pattern::{self, Mark, SIZES};
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{Lacking, require, until};
use vas_interop::compiler::{CXX20, Compiler, GCC, OPENCV, SANITIZED, Workshop, repository};
use vas_shm_writer::{
    CameraId, Color, ColorRange, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, Stamp,
};

const CXX: Compiler = Compiler { program: "g++", options: CXX20 };
/// It knows no fences, of which cancelling has none.
const THREADS: Compiler =
    Compiler { program: "gcc", options: &["-std=c11", "-g", "-fsanitize=thread", "-Wno-tsan"] };

fn workshop() -> Workshop {
    Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn example(workshop: &Workshop, compiler: Compiler, name: &str) -> PathBuf {
    compiler.build(&[repository(&format!("bindings/c/examples/{name}.c"))], &[], &workshop.path().join(name))
}

/// A server that publishes marked pictures flat out.
fn writer(scene: &Scene, camera: &str, mode: &str) -> Process {
    let mut command = Command::new(program("vas-e2e-writer"));
    command.arg(scene.base()).args([camera, "3", mode]);
    Process::start("vas-e2e-writer", &mut command)
}

fn stop(mut writer: Process) {
    writer.close();
    let ended = writer.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

fn takes_its_steps(compiler: Compiler) {
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let files = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(workshop.build_own(compiler, "stream"));
    let ended = Process::run("stream", command.arg(files.path()));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ok", ""));
}

// The clauses stand beside the steps, in stream.c.
#[test]
fn the_stream_in_c_does_step_by_step_what_the_one_in_rust_does() {
    takes_its_steps(SANITIZED);
}

#[test]
fn the_stream_in_cxx_does_step_by_step_what_the_one_in_rust_does() {
    takes_its_steps(CXX);
}

fn schedules_as_rust_does(compiler: Compiler) {
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let record = repository("vas-shm-reader/tests/schedule.txt");
    let naps = fs::read_to_string(&record)
        .expect("the record")
        .lines()
        .filter(|line| line.starts_with("nap"))
        .count();
    let mut command = Command::new(workshop.build_own(compiler, "schedule"));
    let ended = Process::run("schedule", command.arg(record));
    assert!(naps > 1000, "{naps}");
    assert_eq!((ended.stdout, ended.stderr), (format!("{naps} right"), String::new()));
}

// Proves HOLD-5.
#[test]
fn the_schedule_in_c_answers_as_the_one_in_rust_is_recorded() {
    schedules_as_rust_does(SANITIZED);
}

#[test]
fn the_schedule_in_cxx_answers_as_the_one_in_rust_is_recorded() {
    schedules_as_rust_does(CXX);
}

fn is_cancelled(compiler: Compiler) {
    let compiler = require!(compiler.is_there());
    let workshop = workshop();
    let ended = Process::run("cancel", &mut Command::new(workshop.build_own(compiler, "cancel")));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ok", ""));
}

#[test]
fn waiting_in_c_is_ended_by_another_thread_and_by_a_signal_handler() {
    is_cancelled(SANITIZED);
}

#[test]
fn waiting_in_cxx_is_ended_by_another_thread_and_by_a_signal_handler() {
    is_cancelled(CXX);
}

#[test]
fn cancelling_in_c_is_no_race_to_the_thread_sanitizer() {
    is_cancelled(THREADS);
}

/// A line of the watch example.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Frame {
        frame_id: u64,
        timestamp_ns: u64,
        skipped: u64,
        damaged: bool,
        width: u32,
        height: u32,
        generation: u64,
        md5: String,
    },
    State {
        state: String,
        camera: String,
        why: Option<String>,
    },
}

/// The watch example at work.
struct Watch {
    process: Process,
    read: usize,
    /// Of the frame before.
    last: Option<(u64, u64)>,
    generations: Vec<u64>,
}

impl Watch {
    fn start(workshop: &Workshop, compiler: Compiler, scene: &Scene) -> Self {
        let mut command = Command::new(example(workshop, compiler, "watch"));
        let process = Process::start("watch", command.arg("front").arg(scene.base()));
        Self { process, read: 0, last: None, generations: Vec::new() }
    }

    /// The next line; a frame is held against the picture that was published.
    fn line(&mut self) -> Line {
        let line = self.process.stdout.line(self.read);
        let line = line.unwrap_or_else(|| panic!("the watch has ended: {}", self.process.stderr.so_far()));
        self.read += 1;
        let line: Line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match &line {
            Line::Frame { frame_id, timestamp_ns, skipped, damaged, width, height, generation, md5 } => {
                let size = SIZES.iter().position(|&size| size == (*width, *height)).expect("a size");
                let mark = Mark { size: size as u8, number: timestamp_ns / 1000 };
                let expected = format!("{:x}", Md5::digest(pattern::picture(mark)));
                assert_eq!(*md5, expected, "frame {frame_id} is not the picture {mark:?}");
                assert!(!damaged);
                match self.last {
                    Some((id, same)) if same == *generation => {
                        assert_eq!(*skipped, frame_id - id - 1, "frame {frame_id} after {id}");
                    }
                    _ => self.generations.push(*generation),
                }
                self.last = Some((*frame_id, *generation));
            }
            Line::State { state, camera, why } => {
                assert_eq!(camera, "front");
                assert_eq!(why.is_some(), ["waiting", "refused"].contains(&state.as_str()), "{state}");
            }
        }
        line
    }

    fn state(&mut self, wanted: &str) {
        while !matches!(self.line(), Line::State { state, .. } if state == wanted) {}
    }

    /// So many frames of one generation that was not seen before.
    fn frames_of_another_pair(&mut self, count: usize) {
        let before = self.generations.len();
        while self.generations.len() == before {
            self.line();
        }
        let mut frames = 1;
        while frames < count {
            frames += usize::from(matches!(self.line(), Line::Frame { .. }));
        }
        assert!(self.generations.is_sorted(), "{:?}", self.generations);
    }

    /// SIGTERM: it ends well.
    fn end(self) {
        self.process.signal(Signal::TERM);
        let ended = self.process.wait();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}", ended.stderr);
    }
}

// The pictures of the tests below are whole blocks long; others are not.
#[test]
fn the_hash_of_the_watch_example_is_md5_at_any_length() {
    const COUNT: usize = 200;
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let mut command = Command::new(workshop.build_own(compiler, "md5"));
    let ended = Process::run("md5", command.arg(COUNT.to_string()));
    let bytes: Vec<u8> = (0..COUNT).map(|at| (7 * at) as u8).collect();
    let expected: Vec<String> = (0..COUNT).map(|len| format!("{:x}", Md5::digest(&bytes[..len]))).collect();
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
}

// Proves OPEN-19, LIVE-1, LIVE-3, LIVE-5, LIFE-6, READ-6 and HEAD-10 for the stream in C.
#[test]
fn the_watch_example_shows_every_picture_as_it_was_published_through_silence_death_restart_and_stop() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let mut watch = Watch::start(&workshop, compiler, &scene);
    watch.state("waiting");
    let first = writer(&scene, "front", "steady");
    watch.frames_of_another_pair(50);

    // Three seconds of silence are an observation, no verdict.
    first.signal(Signal::STOP);
    watch.state("server_gone");
    first.signal(Signal::CONT);
    while matches!(watch.line(), Line::State { .. }) {}
    first.kill();
    watch.state("server_gone");

    let second = writer(&scene, "front", "steady");
    watch.frames_of_another_pair(50);
    stop(second);
    watch.state("waiting");
    let third = writer(&scene, "front", "steady");
    watch.frames_of_another_pair(50);
    watch.end();
    stop(third);
}

// Proves LIFE-5 and LIFE-6 for the stream in C.
#[test]
fn the_watch_example_shows_every_picture_as_it_was_published_while_size_and_pair_change_all_the_time() {
    for (compiler, mode) in [(SANITIZED, "sizes"), (CXX, "restarts")] {
        let compiler = require!(compiler.is_there());
        let workshop = workshop();
        let scene = Scene::new();
        let writer = writer(&scene, "front", mode);
        let mut watch = Watch::start(&workshop, compiler, &scene);
        for _ in 0..5 {
            watch.frames_of_another_pair(5);
        }
        watch.end();
        stop(writer);
    }
}

#[test]
fn the_watch_example_shows_the_newest_frames_without_hashes_when_told_to_and_knows_its_options() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let watch = example(&workshop, compiler, "watch");
    let scene = Scene::new();
    let writer = writer(&scene, "front", "steady");
    let mut command = Command::new(&watch);
    let process = Process::start("watch", command.args(["-l", "-n", "front"]).arg(scene.base()));
    let line = process.stdout.line_with("frame_id");
    assert!(!line.contains("md5") && line.ends_with('}'), "{line}");
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
    stop(writer);
    for arguments in [&["-x", "front"][..], &[], &["a", "b", "c"]] {
        let ended = Process::run("watch", Command::new(&watch).args(arguments));
        assert_eq!(ended.code(), Some(2), "{arguments:?}");
        assert!(ended.stderr.ends_with("usage: watch [-l] [-n] CAMERA [BASE]"), "{}", ended.stderr);
    }
}

#[test]
fn a_reader_in_c_goes_on_through_a_servers_restart_and_a_change_of_size() {
    let gcc = require!(GCC.is_there());
    let workshop = workshop();
    require!(restart_and_size_change("watch.c", |scene| {
        let mut command = Command::new(example(&workshop, gcc, "watch"));
        command.arg(FOLLOWED).arg(scene.base());
        Ok(command)
    }));
}

#[test]
fn the_watch_example_ends_when_nobody_reads_what_it_says() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let watch = example(&workshop, compiler, "watch");
    let mut command = Command::new("sh");
    // Its first line, that it waits, and no other will come.
    command.args(["-c", "\"$0\" front \"$1\" | head -n 1"]).arg(watch).arg(scene.base());
    let ended = Process::run("watch", &mut command);
    assert!(ended.stdout.starts_with("{\"state\":\"waiting\""), "{}", ended.stdout);
}

#[test]
fn several_cameras_in_one_loop_keep_their_own_lives() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let scene = Scene::new();
    let mut command = Command::new(workshop.build_own(compiler, "cameras"));
    command.arg(scene.base()).args(["front", "yard", "attic"]);
    let mut cameras = Process::start("cameras", &mut command);
    for index in 0..3 {
        let _ = cameras.stdout.line_with(&format!("{index} state waiting"));
    }
    let (front, yard) = (writer(&scene, "front", "steady"), writer(&scene, "yard", "steady"));
    let _ = cameras.stdout.line_with("0 frames 100");
    let _ = cameras.stdout.line_with("1 frames 100");
    yard.kill();
    let _ = cameras.stdout.line_with("1 state server_gone");
    // The other goes on, and the third is still looked for.
    let seen = cameras.stdout.lines_so_far();
    cameras.stdout.line_with_from(seen, "0 frames ");
    let attic = writer(&scene, "attic", "steady");
    let _ = cameras.stdout.line_with("2 frames 100");
    cameras.close();
    let ended = cameras.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    stop(front);
    stop(attic);
}

/// What a program that writes a PPM makes of a picture: its pixels. The server publishes the picture until it is taken.
fn grabbed(program: &Path, format: PictureFormat, luma: &[u8], chroma: &[u8]) -> Vec<u8> {
    let scene = Scene::new();
    let exporter =
        Exporter::start(ExporterConfig::new(scene.base()).when(ExportWhen::Always)).expect("export");
    let mut camera = exporter.camera(CameraId::new("front").expect("an id")).expect("a camera");
    let picture = scene.files().join("picture.ppm");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" front \"$1\" > \"$2\""]).arg(program).arg(scene.base()).arg(&picture);
    let mut process = Process::start("grab", &mut command);
    until("a picture", || {
        // While files are being made there is no slot: a picture less.
        if let Ok(mut slot) = camera.slot(format) {
            let row = format.width.div_ceil(2) as usize * 2;
            let planes = (Plane::new(luma, format.width as usize), Plane::new(chroma, row));
            slot.write_nv12(planes.0, planes.1).expect("a picture of this format");
            slot.publish(Stamp::now());
        }
        (!process.is_running()).then_some(())
    });
    let ended = process.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    exporter.shutdown();
    let ppm = fs::read(&picture).expect("a picture");
    let head = format!("P6\n{} {}\n255\n", format.width, format.height);
    let pixels = ppm.strip_prefix(head.as_bytes()).expect("a PPM of this size");
    assert_eq!(pixels.len(), (format.width * format.height * 3) as usize);
    pixels.to_vec()
}

/// A picture of many colours, in planes without padding. Not of all: where a colour is far outside of what RGB can show, swscale's
/// exact path overflows (5.1: 0 for 255), and OpenCV takes luma below 16 for 16.
fn colours(width: u32, height: u32) -> (Vec<u8>, Vec<u8>) {
    let row = width.div_ceil(2) * 2;
    let luma = (0..width * height).map(|at| (16 + at * 7 % 220) as u8).collect();
    let chroma = (0..row * height.div_ceil(2)).map(|at| (68 + at * 37 / 3 % 121) as u8).collect();
    (luma, chroma)
}

/// The largest difference of two pictures.
fn worst(one: &[u8], other: &[u8]) -> u8 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| one.abs_diff(*other)).max().expect("pixels")
}

const fn color(range: ColorRange, matrix: u8) -> Color {
    let mut color = Color::UNSPECIFIED;
    color.range = range;
    color.matrix = matrix;
    color
}

/// The formulas of section 5 in floating point, before rounding.
fn rgb(kr: f64, kb: f64, is_full: bool, [y, cb, cr]: [u8; 3]) -> [f64; 3] {
    let (y, cb, cr) = (f64::from(y), f64::from(cb), f64::from(cr));
    let (y, b, r) = if is_full {
        (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0)
    } else {
        ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0)
    };
    let red = y + 2.0 * (1.0 - kr) * r;
    let blue = y + 2.0 * (1.0 - kb) * b;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|part| part.clamp(0.0, 1.0) * 255.0)
}

// Proves COLOR-1, COLOR-2, COLOR-3 and PIC-1.
#[test]
fn the_grab_example_shows_the_colours_of_the_document() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let program =
        compiler.build(&[repository("bindings/c/examples/grab.c")], &[], &workshop.path().join("grab"));

    // The four results that the document gives for Y = 100, Cb = 90, Cr = 180; then what is unspecified.
    let limited = ColorRange::Limited;
    for (color, height, expected) in [
        (color(limited, 6), 2_u32, [181, 70, 21]),
        (color(ColorRange::Full, 5), 2, [173, 76, 33]),
        (color(limited, 1), 2, [191, 78, 18]),
        (color(ColorRange::Full, 1), 2, [182, 83, 29]),
        (Color::UNSPECIFIED, 576, [181, 70, 21]),
        (Color::UNSPECIFIED, 577, [191, 78, 18]),
        (color(limited, 99), 577, [191, 78, 18]),
    ] {
        let luma = vec![100; 4 * height as usize];
        let chroma = [90, 180].repeat(2 * height.div_ceil(2) as usize);
        let pixels = grabbed(&program, PictureFormat::new(4, height, color), &luma, &chroma);
        assert!(pixels.chunks_exact(3).all(|pixel| pixel == expected), "{color:?}: {:?}", &pixels[..3]);
    }

    // An odd picture of all sorts of numbers, against the formulas.
    let (width, height) = (641_u32, 479_u32);
    let mut state = 1_u32;
    let mut bytes = |count: u32| -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(count as usize).collect()
    };
    let row = width.div_ceil(2) * 2;
    let (luma, chroma) = (bytes(width * height), bytes(row * height.div_ceil(2)));
    for (range, matrix, kr, kb) in [
        (limited, 9, 0.2627, 0.0593),
        (ColorRange::Full, 7, 0.212, 0.087),
        (ColorRange::Unknown, 4, 0.30, 0.11),
    ] {
        let format = PictureFormat::new(width, height, color(range, matrix));
        let pixels = grabbed(&program, format, &luma, &chroma);
        for (at, pixel) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = (at % width as usize, at / width as usize);
            let pair = y / 2 * row as usize + x / 2 * 2;
            let sample = [luma[at], chroma[pair], chroma[pair + 1]];
            let exact = rgb(kr, kb, range == ColorRange::Full, sample);
            let is_nearest =
                exact.iter().zip(pixel).all(|(exact, found)| (exact - f64::from(*found)).abs() < 0.5 + 1e-9);
            assert!(is_nearest, "matrix {matrix}, ({x}, {y}): {sample:?} is {exact:?}, not {pixel:?}");
        }
    }
}

#[test]
fn the_grab_example_says_why_there_is_no_picture() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let program =
        compiler.build(&[repository("bindings/c/examples/grab.c")], &[], &workshop.path().join("grab"));
    let run = |arguments: &[&str]| {
        let ended = Process::run("grab", Command::new(&program).args(arguments));
        (ended.code(), ended.stderr)
    };
    let (code, said) = run(&["../front"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("\"../front\" is no camera id"), "{said}");
    let (code, said) = run(&["front", "/nowhere"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("open /nowhere/front/frame.meta: not there yet"), "{said}");
    assert_eq!(run(&[]).0, Some(2));
}

#[test]
fn the_ten_lines_print_pictures_of_a_running_server() {
    let compiler = require!(SANITIZED.is_there());
    let workshop = workshop();
    let program = compiler.build(
        &[repository("bindings/c/examples/ten_lines.c")],
        &[],
        &workshop.path().join("ten_lines"),
    );
    let scene = Scene::new();
    let writer = writer(&scene, "front", "steady");
    until("files", || scene.base().join("front/frame.meta").exists().then_some(()));
    let ended = Process::run("ten_lines", Command::new(&program).arg("front").arg(scene.base()));
    assert!(ended.status.success(), "{}", ended.stderr);
    let is_right = |line: &str| line.starts_with("frame ") && line.contains("has luma");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.len() == 100 && lines.iter().all(|line| is_right(line)), "{lines:?}");
    stop(writer);
}

/// RGB of an NV12 picture by the ffmpeg program.
fn by_ffmpeg(
    files: &Path,
    format: PictureFormat,
    luma: &[u8],
    chroma: &[u8],
    space: &str,
) -> Result<Vec<u8>, Lacking> {
    let from = files.join("picture.nv12");
    fs::write(&from, [luma, chroma].concat()).expect("write");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "nv12", "-s"]);
    command.arg(format!("{}x{}", format.width, format.height)).arg("-i").arg(from);
    // A chroma sample for its two by two pixels, as the example has it, and all the precision there is.
    command.args(["-vf", &format!("scale={space}:flags=neighbor+accurate_rnd+full_chroma_int")]);
    let output = command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]).output();
    let output = output.map_err(|error| format!("there is no ffmpeg program: {error}"))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[test]
fn the_grab_example_has_the_colours_of_the_ffmpeg_program() {
    // Ours are the nearest numbers to the formulas; swscale's tables have fewer bits.
    const MOST: u8 = 1;
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let grab = example(&workshop, compiler, "grab");
    let (luma, chroma) = colours(256, 96);
    for (range, matrix, space) in [
        (ColorRange::Limited, 1, "in_color_matrix=bt709:in_range=tv"),
        (ColorRange::Full, 1, "in_color_matrix=bt709:in_range=pc"),
        (ColorRange::Limited, 6, "in_color_matrix=smpte170m:in_range=tv"),
        (ColorRange::Full, 5, "in_color_matrix=bt470:in_range=pc"),
        (ColorRange::Limited, 9, "in_color_matrix=bt2020:in_range=tv"),
        (ColorRange::Full, 9, "in_color_matrix=bt2020:in_range=pc"),
    ] {
        let format = PictureFormat::new(256, 96, color(range, matrix));
        let theirs = require!(by_ffmpeg(workshop.path(), format, &luma, &chroma, space));
        let found = worst(&grabbed(&grab, format, &luma, &chroma), &theirs);
        println!("{space}: {found} of 255 at worst");
        assert!(found <= MOST, "{space}: {found}");
    }
}

#[test]
fn the_opencv_example_has_the_colours_of_the_grab_example() {
    // cvtColor and transform round in their own ways.
    const MOST: u8 = 1;
    let compiler = require!(OPENCV.has_opencv());
    let workshop = workshop();
    let grab = example(&workshop, require!(GCC.is_there()), "grab");
    let opencv = compiler.build(
        &[repository("bindings/c/examples/opencv.cpp")],
        &["-lopencv_imgproc", "-lopencv_core"],
        &workshop.path().join("opencv"),
    );
    for (width, height, range, matrix) in [
        // What OpenCV knows, and what it does not.
        (256, 96, ColorRange::Limited, 6),
        (255, 95, ColorRange::Limited, 6),
        (256, 96, ColorRange::Full, 6),
        (256, 96, ColorRange::Limited, 1),
        (255, 95, ColorRange::Full, 9),
    ] {
        let (luma, chroma) = colours(width, height);
        let format = PictureFormat::new(width, height, color(range, matrix));
        let ours = grabbed(&grab, format, &luma, &chroma);
        let found = worst(&grabbed(&opencv, format, &luma, &chroma), &ours);
        println!("{width}x{height}, {range:?}, matrix {matrix}: {found} of 255 at worst");
        assert!(found <= MOST, "{width}x{height}, {range:?}, matrix {matrix}: {found}");
    }
}

/// What a program says; it has to end well, and to warn of nothing.
fn said(command: &mut Command) -> Result<String, Lacking> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("there is no {name}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{command:?}: {errors}");
    Ok(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn what_cmake_installs_is_found_by_cmake_and_by_pkg_config_also_after_it_was_moved() {
    let workshop = workshop();
    let at = |name: &str| workshop.path().join(name);
    let mut command = Command::new("cmake");
    command.arg("-S").arg(repository("bindings/c")).arg("-B").arg(at("build"));
    require!(said(command.arg(format!("-DCMAKE_INSTALL_PREFIX={}", at("installed").display()))));
    require!(said(Command::new("cmake").arg("--install").arg(at("build"))));
    fs::rename(at("installed"), at("moved")).expect("move");

    let mut command = Command::new("cmake");
    command.arg("-S").arg(repository("bindings/c/examples")).arg("-B").arg(at("examples"));
    require!(said(command.arg(format!("-DCMAKE_PREFIX_PATH={}", at("moved").display()))));
    require!(said(Command::new("cmake").arg("--build").arg(at("examples"))));
    let ended = Process::run("grab", Command::new(at("examples/grab")).args(["../front"]));
    assert!(ended.stderr.contains("\"../front\" is no camera id"), "{}", ended.stderr);

    for (folder, headers) in [
        (at("moved/share/pkgconfig"), at("moved/include")),
        (repository("bindings/c"), repository("bindings/c/include")),
    ] {
        let ask = |what: &str| {
            let mut command = Command::new("pkg-config");
            said(command.env("PKG_CONFIG_PATH", &folder).args([what, "vas-frames"]))
        };
        let flags = require!(ask("--cflags"));
        let include = flags.trim().strip_prefix("-I").expect("one folder");
        let canonical =
            |path: &Path| path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(canonical(Path::new(include)), canonical(&headers));
        // And of the right version: the crates', which stands in the header too.
        assert_eq!(require!(ask("--modversion")).trim(), env!("CARGO_PKG_VERSION"));
    }
    let header = fs::read_to_string(at("moved/include/vas_frames.h")).expect("the header");
    let version = format!("#define VAS_FRAMES_VERSION \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(header.contains(&version), "{version}");
    // What it includes stands beside it.
    let compiler = require!(GCC.is_there());
    let mut command = Command::new(compiler.program);
    command
        .args(compiler.options)
        .args(["-fsyntax-only", "-Wall", "-x", "c"])
        .arg(at("moved/include/vas_frames.h"));
    require!(said(&mut command));
}
