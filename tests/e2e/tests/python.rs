//! The Python package: built as a wheel, installed into an environment, and used against real servers.

use std::path::PathBuf;
use std::process::Command;
use vas_e2e::clips::clip;
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, clean, file_camera};
use vas_e2e::{Lacking, python, require, skip};

/// Runs one file of the package's own tests.
fn passes(file: &str) -> Result<(), Lacking> {
    // Which also says whether there are clips.
    let clips = clip("yard.mp4")?;
    let clips = clips.parent().expect("a clip stands in a folder");
    let programs = program("vas-ingest");
    let _others = [program("vas-test-camera"), program("vas-frames"), program("vas-e2e-leash")];
    let mut command = Command::new(python::environment()?);
    // The folder of the sources is no place for caches, and the package is the one that is installed.
    command.args(["-m", "pytest", "-rs", "--color=no", "-p", "no:cacheprovider"]);
    command.arg(python::root().join("bindings/python/tests").join(file));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("VAS_CLIPS", clips);
    command.env("VAS_TEST_PROGRAMS", programs.parent().expect("a program stands in a folder"));
    // Each test has its own limit (pyproject.toml).
    let said = python::step(&mut command).unwrap_or_else(|why| panic!("{why}"));
    println!("{said}");
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        // No test of ours skips for want of anything that setup could bring: torch alone is looked for and not installed.
        assert!(line.contains("torch"), "{line}");
        eprintln!("{line}");
    }
    Ok(())
}

#[test]
fn frames_in_python_are_views_without_a_copy_that_say_whether_they_are_whole() {
    require!(passes("test_frames.py"));
}

#[test]
fn waiting_in_python_ends_by_ctrl_c_cancel_close_and_timeout_and_leaves_the_interpreter_to_others() {
    require!(passes("test_waiting.py"));
}

#[test]
fn a_loop_in_python_goes_on_through_restarts_and_changes_of_size_and_leaks_nothing() {
    require!(passes("test_life.py"));
}

#[test]
fn the_stubs_of_the_python_package_say_what_is_there() {
    require!(passes("test_typing.py"));
}

/// The block of commands on a page, from its first line that holds `words`.
fn commands(page: &str, words: &str) -> Vec<String> {
    let page = std::fs::read_to_string(python::root().join(page)).expect("read the page");
    let mut blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let block = blocks.find(|block| block.contains(words)).expect("the page has these commands");
    block.lines().map(str::to_owned).collect()
}

#[test]
fn the_three_commands_of_the_front_page_go_from_a_clone_to_frames_in_a_fresh_environment() {
    let clip = require!(clip("yard.mp4"));
    let _ = require!(python::interpreter());
    let shown = commands("README.md", "bindings/python");
    assert_eq!(shown, commands("bindings/python/README.md", "bindings/python"), "both pages show the same");
    let [environment, install, example] = &shown[..] else { panic!("three commands, not {shown:?}") };

    let scene = Scene::new();
    let home = tempfile::tempdir_in(python::folder()).expect("a home");
    let surroundings = |line: &str| {
        let mut command = clean(Command::new("sh"), &scene);
        command.args(["-euc", line]).current_dir(python::root());
        // The home of a person who starts from nothing, but for Rust and what was fetched already.
        let own = PathBuf::from(std::env::var_os("HOME").expect("a home of one's own"));
        for (name, folder) in
            [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("PIP_CACHE_DIR", ".cache/pip")]
        {
            command.env(name, std::env::var_os(name).unwrap_or_else(|| own.join(folder).into()));
        }
        command.env("HOME", home.path()).env("CARGO_TARGET_DIR", python::folder().join("from-clone"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("VIRTUAL_ENV");
        command
    };
    for line in [environment, install] {
        let output = surroundings(line).output().expect("start sh");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() && said.contains("No matching distribution found for maturin") {
            return skip("there is no package index to fetch maturin from");
        }
        assert!(output.status.success(), "{line}: {}\n{said}", String::from_utf8_lossy(&output.stdout));
    }
    let server = Server::start(&scene, &file_camera("front", &clip, true));
    // Shells start what runs in the background with SIGINT ignored, and children inherit that: a terminal would not.
    let example = format!("exec env --default-signal=INT {example}");
    let process = Process::start("ten_lines.py", surroundings(&example).env("PYTHONUNBUFFERED", "1"));
    for index in 0..5 {
        let line = process.stdout.line(index).unwrap_or_else(|| panic!("{}", process.stderr.so_far()));
        assert!(line.starts_with("frame ") && line.contains(", 3), mean "), "{line}");
    }
    process.signal(rustix::process::Signal::INT);
    let ended = process.wait();
    assert!(ended.stderr.contains("KeyboardInterrupt"), "{}", ended.stderr);
    server.stop_well();
}
