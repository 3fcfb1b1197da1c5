//! The conformance files are what the program makes, the Rust reader reads them all, and a harness shown a wrong reader says so.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use vas_interop::{harness, vectors};

fn probe(faults: &[&str]) -> Vec<OsString> {
    let mut program = vec![OsString::from(env!("CARGO_BIN_EXE_vas-probe"))];
    program.extend(faults.iter().flat_map(|fault| ["--fault", fault]).map(OsString::from));
    program
}

#[test]
fn the_rust_reader_reads_every_conformance_file() {
    let report = harness::run_all(&probe(&[]));
    assert!(report.failed.is_empty(), "{}", report.text());
    assert!(report.passed.len() > 200, "{}", report.text());
    for (name, why) in &report.skipped {
        vas_test_support::skipped(&format!("{name}: {why}"));
    }
}

#[test]
fn a_reader_that_is_wrong_in_one_thing_fails_where_that_thing_is_asked_for() {
    // The fault, a vector that has to notice it, and what is said then.
    let faults = [
        ("camera", "refuse/no-camera-id-dots", "exit code 2, as \"..\" is no camera id"),
        ("refuse", "refuse/stride-31-for-31", "`refused stride`, the reader says `not_there_yet missing`"),
        ("field", "refuse/stride-31-for-31", "`refused stride`, the reader says `refused generation`"),
        ("wait", "wait/stopped", "`not_there_yet stopped`, the reader says `refused frame.meta`"),
        ("header", "accept/color-bt2020-pq", "color_primaries=9"),
        ("header", "accept/another-pair-takes-the-names", "step 9: `header` has to be answered with"),
        ("intact", "accept/overwritten-while-held", "`intact` has to be answered with `no`"),
        ("planes", "accept/picture-3x3", "the chroma plane has SHA-256"),
        ("latest", "wait/newest-claimed", "`latest` has to be answered with `nothing`"),
        ("next", "accept/next-skips-what-was-overwritten", "`next` has to be answered with `frame"),
        ("at", "wait/no-frame-yet", "`at 0` has to be answered with `gone`"),
        ("observe", "accept/words-that-change", "`observe` has to be answered with `state="),
        ("named", "accept/names-go-away", "`named` has to be answered with `no`"),
        // Whether it is seen before the next question or taken for the answer to it depends on who is faster.
        ("chatter", "accept/picture-3x3", "`and how it shines`"),
        ("crash", "accept/picture-3x3", "the reader ended without an answer to `latest`"),
        ("exit-code", "accept/picture-3x3", "the reader ended with exit status: 3"),
        (
            "write",
            "accept/picture-3x3",
            "wrote into vector/frame.meta, which differs from byte 200 on (TRUST-1)",
        ),
        ("write", "accept/names-go-away", "step 2: the reader wrote into vector/frame.meta"),
        ("create", "accept/picture-3x3", "the reader made vector/reader (FILE-1)"),
        ("create-in-base", "accept/picture-3x3", "the reader made reader (FILE-1)"),
        ("keep-mappings", "accept/picture-3x3", "after `close` the reader still has a mapping of"),
        (
            "keep-mappings",
            "accept/stopped-while-open",
            "step 4: after `open`, answered with `not_there_yet stopped`,",
        ),
        (
            "keep-descriptor",
            "wait/stopped",
            "after an open that was not ready the reader still has descriptor",
        ),
        ("inherit", "accept/picture-3x3", "frame.meta: it was opened without O_CLOEXEC (OPEN-1)"),
        ("read-write", "accept/picture-3x3", "frame.meta: it is open for writing (OPEN-1, TRUST-1)"),
        ("map-writable", "accept/picture-3x3", "frame.meta: it is mapped for writing (TRUST-1)"),
        (
            "open-writable",
            "accept/picture-3x3",
            "frame.meta: the file was open for writing when it was mapped",
        ),
    ];
    let all = harness::load(&harness::directory()).unwrap();
    for (fault, name, sentence) in faults {
        let chosen: Vec<_> = all.iter().filter(|vector| vector.case.name == name).cloned().collect();
        assert_eq!(chosen.len(), 1, "there is no vector {name}");
        let report = harness::run(&all, &chosen, &probe(&[fault]));
        assert_eq!(report.failed.len(), 1, "{fault} passes {name}");
        let text = report.text();
        assert!(text.contains(sentence), "{fault}: {sentence:?} is not in {text}");
    }
}

#[test]
fn a_reader_that_does_not_start_is_no_reader_that_passes() {
    let program = ["/nowhere/at/all".into()];
    let all = harness::load(&harness::directory()).unwrap();
    let report = harness::run(&all, &all[..1], &program);
    assert_eq!(report.failed.len(), 1, "{}", report.text());
    assert!(report.text().contains("start /nowhere/at/all"), "{}", report.text());
}

#[test]
fn a_run_in_which_no_vector_can_be_staged_makes_no_claim() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vas-vectors"));
        command.arg("run").args(arguments).arg("--").args(probe(&[]));
        let output = command.env("VAS_TEST_SHM", "/nowhere/at/all").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("conformance v1"), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = run(&["--only", "picture-3x3"]);
    assert!(said.contains("make a directory in /nowhere/at/all"), "{said}");
    assert!(said.contains("1 of 1 vectors failed"), "{said}");
    let said = run(&["--only", "of-no-vector"]);
    assert!(said.contains("no vector has \"of-no-vector\" in its name"), "{said}");
}

#[test]
fn the_committed_files_are_what_the_program_makes() {
    if let Err(differences) = vectors::check(&harness::directory()) {
        panic!("{}", differences.join("\n"));
    }
}

#[test]
fn a_changed_a_missing_and_a_stray_file_are_each_named() {
    let copy = tempfile::tempdir().unwrap();
    let path = |name: &str| copy.path().join("v1").join(name);
    vectors::make(copy.path()).unwrap();
    vectors::check(copy.path()).unwrap();

    let meta = path("accept/slots-3.meta");
    let mut bytes = fs::read(&meta).unwrap();
    bytes[36] ^= 1;
    fs::write(&meta, bytes).unwrap();
    fs::remove_file(path("refuse/version-0.json")).unwrap();
    fs::write(path("wait/of-somebody-else.json"), "{}").unwrap();

    let differences = vectors::check(copy.path()).unwrap_err();
    for sentence in [
        "v1/accept/slots-3.meta differs from byte 36 on",
        "v1/refuse/version-0.json is missing",
        "v1/wait/of-somebody-else.json is none of the files",
    ] {
        assert!(differences.iter().any(|said| said.contains(sentence)), "{sentence}: {differences:?}");
    }
    vectors::make(copy.path()).unwrap();
    vectors::check(copy.path()).unwrap();
}

#[test]
fn the_readme_names_what_it_describes() {
    let readme = fs::read_to_string(harness::directory().join("README.md")).unwrap();
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema.rs")).unwrap();
    let fields = schema.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    for (field, _) in fields {
        let name = if field == "command" { "do" } else { field };
        assert!(readme.contains(&format!("`{name}`")), "README.md says nothing of `{name}`");
    }
}
