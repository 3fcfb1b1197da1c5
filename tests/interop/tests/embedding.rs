//! Servers that embed the writer, in Rust and through its C interface, against the readers in Rust, C and Python.
//!
//! `cargo xtask test -p vas-interop --test embedding -- --nocapture` shows what each reader made of each example.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{Lacking, require, until};
use vas_interop::compiler::{C11, CXX20, Compiler, GCC, SANITIZED, Workshop, repository};
use vas_interop::python;
use vas_shm_reader::{CameraId, ColorRange, Found, Opened, Options};

/// What each reader takes of each example: a second.
const PICTURES: u64 = 25;
/// A reader gives up before the test does.
const READER_SECONDS: u64 = 150;

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

fn workshop() -> Workshop {
    Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// The options that link the writer's library, as bindings/c-writer/README.md says.
fn shared_library() -> Vec<String> {
    let library = program("libvas_writer.so");
    let folder = library.parent().expect("a library stands in a folder").display().to_string();
    vec![
        format!("-L{folder}"),
        "-lvas_writer".to_owned(),
        format!("-Wl,-rpath,{folder}"),
        "-pthread".to_owned(),
    ]
}

fn static_library() -> Vec<String> {
    let library = program("libvas_writer.a").display().to_string();
    [&library, "-pthread", "-ldl", "-lm"].map(str::to_owned).to_vec()
}

fn linked(compiler: Compiler, source: &str, libraries: &[String], to: &Path) -> PathBuf {
    let libraries: Vec<&str> = libraries.iter().map(String::as_str).collect();
    compiler.build(&[repository(source)], &libraries, to)
}

const C_EXAMPLE: &str = "bindings/c-writer/examples/test_pattern.c";

/// A program of tests/interop/c-writer under the eyes of sanitizers.
fn sanitized(workshop: &Workshop, name: &str) -> Result<PathBuf, Lacking> {
    let compiler = SANITIZED.is_there()?;
    let source = format!("tests/interop/c-writer/{name}.c");
    Ok(linked(compiler, &source, &shared_library(), &workshop.path().join(name)))
}

/// `accepted=25 wrong=0 steps=24`
fn told(line: &str) -> BTreeMap<String, u64> {
    line.split_whitespace()
        .map(|word| {
            let (name, number) = word.split_once('=').expect("name=number");
            (name.to_owned(), number.parse().expect("a number"))
        })
        .collect()
}

/// Luma, then chroma, as the examples draw them; where the ramp begins is in the first byte.
fn pattern(begin: u8) -> Vec<u8> {
    let luma = (0..HEIGHT).flat_map(|_| (0..WIDTH).map(|x| begin.wrapping_add(x as u8)));
    let chroma = (0..HEIGHT / 2).flat_map(|y| {
        (0..WIDTH).map(move |x| {
            if x % 2 == 0 { (x / 2 * 255 / (WIDTH / 2)) as u8 } else { (y * 255 / (HEIGHT / 2)) as u8 }
        })
    });
    luma.chain(chroma).collect()
}

/// What the reader in Rust takes, told as the other two do.
fn read_in_rust(base: &Path, camera: &str) -> String {
    let camera = CameraId::new(camera).expect("a camera id");
    let reader =
        until("the example's files", || match vas_shm_reader::open(base, &camera, &Options::new()) {
            Opened::Ready(reader) => Some(reader),
            Opened::NotYet(_) => None,
            Opened::Refused(why) => panic!("{why}"),
        });
    let is_full = reader.header().color().range == ColorRange::Full;
    let mut packed = vec![0; reader.header().picture().packed_size() as usize];
    let (mut accepted, mut wrong, mut steps) = (0_u64, 0_u64, 0_u64);
    let (mut seen, mut before) = (None, None);
    let deadline = Instant::now() + Duration::from_secs(READER_SECONDS);
    while accepted < PICTURES && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
        let Found::Frame(frame) = reader.latest(seen) else { continue };
        seen = Some(frame.id());
        if frame.with(|nv12| nv12.copy_packed_to(&mut packed)).is_err() {
            continue;
        }
        let begin = packed[0];
        wrong += u64::from(!is_full || begin % 4 != 0 || packed != pattern(begin));
        steps += u64::from(before.is_some_and(|before| before != begin));
        before = Some(begin);
        accepted += 1;
    }
    format!("accepted={accepted} wrong={wrong} steps={steps}")
}

/// Three readers at once, each of which takes the example's frames and compares every pixel.
fn is_accepted_by_every_reader(example: &str, mut server: Command) {
    let compiler = require!(GCC.is_there());
    let mut in_python = require!(python::script("pattern.py"));
    let workshop = workshop();
    let mut in_c = Command::new(workshop.build_own(compiler, "pattern"));
    let scene = Scene::new();
    let mut server = Process::start("test_pattern", server.arg(scene.base()).arg("pattern"));
    let numbers = [PICTURES, READER_SECONDS].map(|number| number.to_string());
    let readers = [("C", &mut in_c), ("Python", &mut in_python)].map(|(language, command)| {
        command.arg(scene.base()).arg("pattern").args(&numbers);
        (language, Process::start("pattern", command))
    });
    let mut lines = vec![("Rust", read_in_rust(&scene.base(), "pattern"))];
    for (language, reader) in readers {
        let ended = reader.wait();
        assert!(ended.status.success(), "the reader in {language}: {}", ended.stderr);
        lines.push((language, ended.stdout));
    }
    assert!(server.is_running(), "the server has ended: {}", server.stderr.so_far());
    for (language, line) in &lines {
        println!("{example:<24} read in {language:<7} {line}");
    }
    for (language, line) in lines {
        let told = told(&line);
        assert_eq!(told["wrong"], 0, "{language}: {line}");
        assert_eq!(told["accepted"], PICTURES, "{language}: {line}");
        assert!(told["steps"] > 0, "the pattern stands still, {language}: {line}");
    }
    // As whoever stops a service does. (SIGINT may be ignored: what runs in a shell's background inherits that.)
    server.signal(Signal::TERM);
    let _ = server.wait();
}

#[test]
fn frames_of_the_example_in_rust_are_accepted_by_the_readers_in_rust_c_and_python() {
    let example = program("examples/test_pattern");
    is_accepted_by_every_reader("example in Rust", Command::new(example));
}

#[test]
fn frames_of_the_example_in_c_are_accepted_by_the_readers_in_rust_c_and_python() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let example = linked(compiler, C_EXAMPLE, &shared_library(), &workshop.path().join("test_pattern"));
    is_accepted_by_every_reader("example in C, shared", Command::new(example));
}

#[test]
fn frames_of_the_example_in_c_that_has_the_library_in_it_are_accepted_too() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let example = linked(compiler, C_EXAMPLE, &static_library(), &workshop.path().join("test_pattern"));
    is_accepted_by_every_reader("example in C, static", Command::new(example));
}

/// With a number of frames the examples end by themselves, and in order: nothing but the empty directory stays.
fn ends_in_order(mut server: Command) {
    let scene = Scene::new();
    let server = Process::start("test_pattern", server.arg(scene.base()).args(["pattern", "3"]));
    // Somebody who looks, or nothing would be published.
    let meta = scene.base().join("pattern/frame.meta");
    let reader = until("files to open", || fs::File::open(&meta).ok());
    let ended = server.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    drop(reader);
    assert_eq!(scene.exported_files(), Vec::<PathBuf>::new());
    assert!(scene.base().join("pattern").is_dir(), "the camera's directory stays");
}

#[test]
fn the_examples_end_in_order_after_as_many_frames_as_they_are_told() {
    ends_in_order(Command::new(program("examples/test_pattern")));
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    ends_in_order(Command::new(linked(
        compiler,
        C_EXAMPLE,
        &shared_library(),
        &workshop.path().join("test_pattern"),
    )));
}

#[test]
fn the_example_in_c_says_in_words_why_it_exports_nothing() {
    let compiler = require!(GCC.is_there());
    let workshop = workshop();
    let example = linked(compiler, C_EXAMPLE, &shared_library(), &workshop.path().join("test_pattern"));
    let run = |arguments: &[&str]| {
        let ended = Process::run("test_pattern", Command::new(&example).args(arguments));
        (ended.code(), ended.stderr)
    };
    let (code, said) = run(&["/nowhere/vas"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere/vas: cannot be made, /nowhere does not exist"), "{said}");
    let scene = Scene::new();
    let (code, said) = run(&[&scene.base().display().to_string(), "a b"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("\"a b\" is no camera's name"), "{said}");
}

/// Both headers in one program, in either order, with every warning there is.
#[test]
fn the_header_is_c11_and_cxx17_and_stands_beside_the_readers() {
    let workshop = workshop();
    let (source, to) = (workshop.path().join("both.c"), workshop.path().join("both.o"));
    let alone = "#include \"vas_writer.h\"\n";
    let both = "#include \"vas_shm.h\"\n#include \"vas_writer.h\"\n";
    let body = "size_t sizes(void);\nsize_t sizes(void) { return sizeof(struct vas_exporter_config) + VAS_MESSAGE_SIZE; }\n";
    let cxx17: &[&str] = &["-std=c++17", "-x", "c++"];
    for (program, options, text) in [
        ("gcc", C11, alone),
        ("gcc", C11, both),
        ("clang", C11, both),
        ("g++", cxx17, alone),
        ("clang++", cxx17, alone),
        ("g++", CXX20, both),
    ] {
        let compiler = require!(Compiler { program, options }.is_there());
        fs::write(&source, format!("{text}{body}")).expect("write");
        compiler.build(std::slice::from_ref(&source), &["-c"], &to);
    }
}

/// Whoever loads it into a server gets these names and no others.
#[test]
fn the_shared_library_exports_its_own_names_and_nothing_else() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(program("libvas_writer.so")).output();
    let output = require!(output.map_err(|error| format!("there is no nm: {error}")));
    let text = String::from_utf8(output.stdout).expect("text");
    let exported: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next_back()).collect();
    let header =
        fs::read_to_string(repository("bindings/c-writer/include/vas_writer.h")).expect("the header");
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.trim_start().starts_with('*'))
        .filter_map(|line| line.split_once('(').and_then(|(before, _)| before.split([' ', '*']).next_back()))
        .filter(|name| name.starts_with("vas_"))
        .collect();
    declared.sort_unstable();
    assert!(declared.len() > 10, "{declared:?}");
    assert_eq!(exported, declared);
}

#[test]
fn misuse_from_c_is_answered_by_a_code_and_never_by_a_crash() {
    let workshop = workshop();
    let program = require!(sanitized(&workshop, "misuse"));
    let scene = Scene::new();
    let ended = Process::run("misuse", Command::new(program).arg(scene.base()));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("ok", ""));
    assert_eq!(scene.exported_files(), Vec::<PathBuf>::new());
}

fn serve(program: &Path, scene: &Scene) -> Process {
    Process::start("serve", Command::new(program).arg(scene.base()).arg("front"))
}

fn follow(workshop: &Workshop, scene: &Scene) -> Process {
    let mut command = Command::new(workshop.build_own(GCC, "follow"));
    Process::start("follow", command.arg(scene.base()).arg("front"))
}

/// The next line after the first `seen` that begins with `words`.
fn next_with(process: &Process, seen: &mut usize, words: &str) -> String {
    loop {
        let line = process.stdout.line(*seen);
        let line = line.unwrap_or_else(|| panic!("ended without {words:?}: {}", process.stderr.so_far()));
        *seen += 1;
        if line.starts_with(words) {
            return line;
        }
    }
}

// Proves LIFE-3, LIFE-4, LIFE-5 and LIFE-12 for a server in C, as a reader in C sees it.
#[test]
fn a_server_in_c_that_is_suspended_hangs_is_killed_started_again_and_stopped_leaves_what_the_contract_says() {
    let workshop = workshop();
    let program = require!(sanitized(&workshop, "serve"));
    let scene = Scene::new();
    let mut follower = follow(&workshop, &scene);
    let mut seen = 0;

    let mut first = serve(&program, &scene);
    let mut current = next_with(&follower, &mut seen, "opened generation");
    next_with(&follower, &mut seen, "status live");
    first.say("stalled");
    next_with(&follower, &mut seen, "status stalled");
    first.say("live");
    next_with(&follower, &mut seen, "status live");
    // The names change before the word does (LIFE-5), and whoever looks at the name in between leaves for that (LIVE-5).
    let is_told = ["size 32 32", "size 64 48"].into_iter().cycle().take(20).any(|size| {
        first.say(size);
        let left = next_with(&follower, &mut seen, "left");
        let successor = next_with(&follower, &mut seen, "opened generation");
        assert_ne!(successor, current);
        current = successor;
        next_with(&follower, &mut seen, "status live");
        assert!(left.starts_with("left replaced") || left.starts_with("left name lost"), "{left}");
        left.starts_with("left replaced")
    });
    assert!(is_told, "no reader was ever told that its pair is replaced");
    first.signal(Signal::STOP);
    next_with(&follower, &mut seen, "status server gone");
    first.signal(Signal::CONT);
    next_with(&follower, &mut seen, "status live");
    // The library's thread goes on, and says nothing of a heart that the server lets beat itself.
    // (What it said of the time when it was suspended does not count.)
    let said = first.stdout.lines_so_far();
    first.say("hang");
    next_with(&follower, &mut seen, "status server gone");
    let _ =
        first.stdout.line_with_from(said, "log 2 the program has not said for 3 seconds that it is alive");
    first.say("live");
    let _ = first.stdout.line_with_from(said, "log 3 the program says again that it is alive");
    next_with(&follower, &mut seen, "status live");
    first.kill();
    assert_eq!(scene.exported_files().len(), 2, "what a killed server leaves is for its successor to remove");
    next_with(&follower, &mut seen, "status server gone");

    let mut second = serve(&program, &scene);
    next_with(&follower, &mut seen, "left");
    next_with(&follower, &mut seen, "opened generation");
    next_with(&follower, &mut seen, "status live");
    second.close();
    let ended = second.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("log 3 removed the files that an earlier server left behind"),
        "{}",
        ended.stdout
    );
    assert_eq!(scene.exported_files(), Vec::<PathBuf>::new());
    assert!(scene.base().join("front").is_dir(), "the directory of a camera that is stopped stays");
    next_with(&follower, &mut seen, "left");
    follower.close();
    assert!(follower.wait().status.success());

    let mut third = serve(&program, &scene);
    let _ = third.stdout.line_with("result done");
    third.say("remove");
    let ended = third.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!scene.base().join("front").exists(), "the directory of a camera that is removed goes");
}

#[test]
fn a_server_in_c_hears_the_log_of_its_own_exporter_and_why_a_camera_is_not_exported() {
    let workshop = workshop();
    let program = require!(sanitized(&workshop, "serve"));
    let scene = Scene::new();
    let mut first = serve(&program, &scene);
    let _ = first.stdout.line_with("result done");
    // Said by the library's thread, to the function that this exporter was given, with the context that goes with it.
    let said = first.stdout.line_with("log 3 exporting to ");
    assert!(said.contains("camera=front") && said.contains("width=64"), "{said}");

    let mut second = serve(&program, &scene);
    let _ = second.stdout.line_with("result another process exports this camera");
    let said = second.stdout.line_with("log 1 not exported: another process exports this camera");
    assert!(said.contains(".front.lock is locked"), "{said}");
    first.close();
    assert!(first.wait().status.success());
    let _ = second.stdout.line_with("result done");
    second.close();
    assert!(second.wait().status.success());
}
