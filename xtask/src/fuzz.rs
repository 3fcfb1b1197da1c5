//! `cargo xtask fuzz`: the fuzz targets under `fuzz/`, those in Rust by cargo-fuzz on a nightly toolchain, that in C by clang.
//!
//! cargo-fuzz is installed once into `<target>/tools`. Coverage instrumentation exists on nightly only, so without one
//! this is skipped, and says so. Seeds are made of the conformance files at each run, into `<target>/fuzz/seeds`; what the
//! fuzzers find worth keeping goes to `<target>/fuzz/corpus`, where the next run goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ci::Verdict;
use crate::failure::{Context, Failure, Outcome};
use crate::leftovers::Folder;
use crate::workspace::Workspace;
use crate::{run, setup, ui};

const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// One fuzz target.
struct Target {
    name: &'static str,
    language: Language,
    /// Which inputs it takes: targets of one format share their seeds and their corpus.
    format: &'static str,
    /// Longer inputs are not tried.
    max_len: u32,
    about: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    C,
}

const TARGETS: &[Target] = &[
    Target {
        name: "header",
        language: Language::Rust,
        format: "header",
        max_len: 1024,
        about: "any bytes as a header",
    },
    Target {
        name: "pair",
        language: Language::Rust,
        format: "files",
        max_len: 1536,
        about: "any two files as a pair",
    },
    Target {
        name: "changing",
        language: Language::Rust,
        format: "files",
        max_len: 1536,
        about: "a pair that changes while it is read",
    },
    Target {
        name: "c-pair",
        language: Language::C,
        format: "files",
        max_len: 1536,
        about: "both, for the reader in C",
    },
    Target {
        name: "cameras",
        language: Language::Rust,
        format: "cameras",
        max_len: 1024,
        about: "any names in a base directory",
    },
    Target {
        name: "config",
        language: Language::Rust,
        format: "config",
        max_len: 2048,
        about: "any configuration with a password in it",
    },
    Target {
        name: "recording",
        language: Language::Rust,
        format: "recording",
        max_len: 4096,
        about: "any bytes as a recording",
    },
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how long, each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this target; may be given several times
    #[arg(long = "target", value_parser = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>())]
    targets: Vec<String>,
    /// Fuzz nothing: take a finding of pair, changing or c-pair apart, into two files beside it
    #[arg(long, value_name = "INPUT", conflicts_with_all = ["seconds", "targets"])]
    unpack: Option<PathBuf>,
}

/// Whether a target has this name.
pub(crate) fn is_target(name: &str) -> bool {
    TARGETS.iter().any(|target| target.name == name)
}

/// Fuzzes each target for this long; fails when nightly is missing.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    if let Some(input) = &options.unpack {
        return unpack(input);
    }
    let folder = Folder::make()?;
    match fuzz(workspace, options.seconds, &options.targets, folder.path())? {
        Verdict::Passed => Ok(()),
        Verdict::Skipped(reason) => Err(Failure::new(format!("fuzzing is not possible here: {reason}"))),
    }
}

/// The same for CI, where a machine without nightly is no failure.
pub(crate) fn quick(workspace: &Workspace, seconds: u64, shared_memory: &Path) -> Outcome<Verdict> {
    fuzz(workspace, seconds, &[], shared_memory)
}

fn fuzz(workspace: &Workspace, seconds: u64, only: &[String], shared_memory: &Path) -> Outcome<Verdict> {
    ui::stage("Fuzzing");
    if !nightly_is_there() {
        let reason = "no nightly toolchain is installed (`rustup toolchain install nightly`)";
        ui::skipped(reason);
        return Ok(Verdict::Skipped(reason.to_owned()));
    }
    setup::run(setup::Level::Fuzz)?;
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| only.is_empty() || only.iter().any(|name| name == target.name))
        .collect();
    build(workspace, &targets)?;
    seeds(workspace)?;

    let mut rows = Vec::new();
    for target in targets {
        let result = run_target(workspace, target, seconds, shared_memory);
        if let Err(failure) = &result {
            ui::bad(&failure.sentence);
        }
        rows.push((target, result));
    }
    table(&rows);
    let failed: Vec<_> =
        rows.iter().filter(|(_, result)| result.is_err()).map(|(target, _)| target.name).collect();
    if failed.is_empty() {
        return Ok(Verdict::Passed);
    }
    Err(Failure::new(format!("fuzzing found something: {} (above is the input of each)", failed.join(", "))))
}

/// All of the Rust targets at once, as they share what is behind them.
fn build(workspace: &Workspace, targets: &[&Target]) -> Outcome {
    let out = workspace.target.join("fuzz");
    if targets.iter().any(|target| target.language == Language::Rust) {
        let mut command = Command::new("rustup");
        command.current_dir(&workspace.root);
        // The outer cargo's own variables would make this one a stable cargo again.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO_TARGET_DIR");
        command
            .args(["run", "nightly"])
            .arg(cargo_fuzz(workspace)?)
            .args(["build", "--target-dir"])
            .arg(&out);
        ui::note(&format!("$ {}", run::shown(&command)));
        run::behind_ticker("building the fuzz targets in Rust", &mut command)?;
    }
    if targets.iter().any(|target| target.language == Language::C) {
        fs::create_dir_all(&out).context(|| format!("make {}", out.display()))?;
        let mut command = Command::new("clang");
        command.current_dir(&workspace.root).args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]);
        command.args([
            "-fsanitize=fuzzer,address,undefined",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
        ]);
        command.args(["-I", "bindings/c/include", "fuzz/c/pair.c", "-o"]).arg(out.join("c-pair"));
        run::step(&mut command)?;
    }
    Ok(())
}

/// What libFuzzer says at its end.
struct Figures {
    executions: u64,
    coverage: String,
    features: String,
    corpus: String,
}

fn run_target(
    workspace: &Workspace,
    target: &Target,
    seconds: u64,
    shared_memory: &Path,
) -> Outcome<Figures> {
    let out = workspace.target.join("fuzz");
    let program = match target.language {
        Language::C => out.join(target.name),
        Language::Rust => {
            let pattern = format!("{}/*/release/{}", out.display(), target.name);
            let mut found = glob::glob(&pattern).context(|| pattern.clone())?.filter_map(Result::ok);
            found.next().ok_or_else(|| Failure::new(format!("cargo-fuzz built no {pattern}")))?
        }
    };
    let corpus = out.join("corpus").join(target.format);
    let artifacts = out.join("artifacts").join(target.name);
    // Of its own, so that nothing stays in shared memory whichever way the fuzzer ends.
    let shm = shared_memory.join(format!("fuzz-{}", target.name));
    for folder in [&corpus, &artifacts, &shm] {
        fs::create_dir_all(folder).context(|| format!("make {}", folder.display()))?;
    }
    let before = files_in(&artifacts);

    let seeds = out.join("seeds");
    let mut command = Command::new(&program);
    command.current_dir(&workspace.root).env("VAS_TEST_SHM", &shm).env("RUST_BACKTRACE", "0");
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={}", target.max_len));
    command.args(["-print_final_stats=1", "-timeout=120", "-rss_limit_mb=2048"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    let dictionary = seeds.join(format!("{}.dict", target.format));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.arg(&corpus).arg(seeds.join(target.format));
    ui::note(&format!("$ {}", run::shown(&command)));
    // `#8192 DONE cov: 300 ft: 700 corp: 50/20Kb ...`; much may come after it.
    let mut progress = String::new();
    let what = format!("{}: {} for {seconds} s", target.name, target.about);
    let mut why = String::new();
    let mut is_after_panic = false;
    let ended = run::watched(&what, &mut command, |line| {
        if line.contains(" cov: ") {
            line.clone_into(&mut progress);
        }
        let is_reason =
            is_after_panic || line.contains(": not so: ") || line.contains("ERROR: AddressSanitizer");
        if is_reason && why.is_empty() {
            line.trim().clone_into(&mut why);
        }
        is_after_panic = line.contains(" panicked at ");
    });
    // Not a reason to fail: the folder above it goes too.
    let _ = fs::remove_dir_all(&shm);
    let lines = ended.map_err(|failure| {
        let found: Vec<_> = files_in(&artifacts).difference(&before).cloned().collect();
        let Some(input) = found.first() else { return failure };
        let unpack = match target.format {
            "files" => format!(", taken apart by `cargo xtask fuzz --unpack {}`", input.display()),
            _ => String::new(),
        };
        Failure::new(format!(
            "{}: {why}: seen again by `{} {}`{unpack}. How it becomes a test for good: docs/testing.md, Fuzzing",
            target.name,
            program.display(),
            input.display()
        ))
    })?;

    let behind = |key: &str| {
        let mut words = progress.split_whitespace().skip_while(|word| *word != key);
        words.nth(1).unwrap_or("?").to_owned()
    };
    let executions = lines
        .iter()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    // libFuzzer ends with success although it did nothing when a folder of its is missing.
    let executions = executions.filter(|&count| count > 0).ok_or_else(|| {
        Failure::new(format!("{}: it ended without having run anything: {:?}", target.name, lines.back()))
    })?;
    Ok(Figures { executions, coverage: behind("cov:"), features: behind("ft:"), corpus: behind("corp:") })
}

fn table(rows: &[(&Target, Outcome<Figures>)]) {
    ui::stage("What was fuzzed");
    println!("{:<10} {:>12} {:>7} {:>8} {:>14}  what", "target", "executions", "edges", "features", "corpus");
    for (target, result) in rows {
        match result {
            Ok(Figures { executions, coverage, features, corpus }) => println!(
                "{:<10} {executions:>12} {coverage:>7} {features:>8} {corpus:>14}  {}: no finding",
                target.name, target.about
            ),
            Err(_) => println!(
                "{:<10} {:>12} {:>7} {:>8} {:>14}  {}: FAILED",
                target.name, "", "", "", "", target.about
            ),
        }
    }
}

fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

// ---- Seeds --------------------------------------------------------------------------------------------------------------

/// Sizes and flags before the bytes of frame.meta: fuzz/src/input.rs.
const PREFIX: usize = 9;

/// What a server goes on to do: it lives, publishes, is asked about it.
const PROGRAM: &[u8] = &[7, 1, 13, 1, 7, 4, 5, 4, 4, 5, 7, 6, 1, 3, 0, 0, 9, 4, 4, 4, 4, 5, 7];

/// Makes the seeds of all targets, most of them of the conformance files.
fn seeds(workspace: &Workspace) -> Outcome {
    let out = workspace.target.join("fuzz/seeds");
    if out.exists() {
        fs::remove_dir_all(&out).context(|| format!("remove {}", out.display()))?;
    }
    let write = |format: &str, name: &str, bytes: &[u8]| {
        let folder = out.join(format);
        let path = folder.join(name);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, bytes))
            .context(|| format!("write {}", path.display()))
    };
    let pattern = workspace.root.join("vas-shm-proto/conformance/v1/*/*.json");
    let vectors: Vec<PathBuf> = glob::glob(&pattern.to_string_lossy())
        .context(|| "look for conformance files".into())?
        .filter_map(Result::ok)
        .collect();
    for path in &vectors {
        let read = |path: &Path| fs::read(path).context(|| format!("read {}", path.display()));
        let vector: Value =
            serde_json::from_slice(&read(path)?).context(|| format!("read {}", path.display()))?;
        let name = vector["name"].as_str().unwrap_or_default().replace('/', "-");
        let (Some(meta_size), Some(data_size)) =
            (vector["meta"]["size"].as_u64(), vector["data"]["size"].as_u64())
        else {
            // One of the two is no file with bytes.
            continue;
        };
        let meta = read(&path.with_extension("meta"))?;
        let keeps_inode = u8::from(vector.get("data_inode_xor").is_some());
        let mut program = PROGRAM.to_vec();
        program.extend(steps(&vector));
        program.push(7);
        write("files", &name, &files_input(keeps_inode, &meta, meta_size, data_size, &program))?;
        if vector["open"]["answer"] == "ready" {
            // Once more with a second thread, and by a reader that wants every frame.
            write(
                "files",
                &format!("{name}-raced"),
                &files_input(2 | 8, &meta, meta_size, data_size, &program),
            )?;
        }
        let inode =
            vector["data_inode"].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let mut header = vec![0; 4];
        for number in [meta_size, data_size, inode] {
            header.extend(number.to_le_bytes());
        }
        header.extend(&meta);
        write("header", &name, &header)?;
    }
    if vectors.is_empty() {
        return Err(Failure::new(format!("there is no conformance file: {}", pattern.display())));
    }
    // The first byte of each name says what stands there: a directory, a file, a link.
    write(
        "cameras",
        "names",
        b"\x30front/\x30..\0\x31a/\x32b/\x30-x/\x30\xff\xfe/\x30c_2-/\x30.front.lock/\x33d",
    )?;
    write("cameras", "long", format!("0{}/0{}/0a b", "x".repeat(64), "y".repeat(65)).as_bytes())?;
    write("recording", "document", &recording(workspace)?)?;
    let example = workspace.root.join("vas-ingest/dist/vas.toml");
    let example = fs::read(&example).context(|| format!("read {}", example.display()))?;
    for place in 0..CONFIG_PLACES {
        // Alone with what a camera needs, with each character that a password may have in its middle.
        for middle in 0..CONFIG_MIDDLES {
            let url = if CONFIG_URLS.contains(&place) { "" } else { "url = \"rtsp://10.0.0.5/s\"\n" };
            let text = format!("[[camera]]\n{url}id = \"front\"\n");
            let line = if url.is_empty() { 2 } else { 3 };
            write(
                "config",
                &format!("camera-{place}-{middle}"),
                &[&[place, middle, line], text.as_bytes()].concat(),
            )?;
        }
        write("config", &format!("example-{place}"), &[&[place, place, 200], &*example].concat())?;
        write("config", &format!("every-key-{place}"), &[&[place, place, 9], EVERY_KEY].concat())?;
    }
    let words = KEYS.iter().map(|word| format!("\"{word}\"\n")).collect::<String>();
    let path = out.join("config.dict");
    fs::write(&path, words).context(|| format!("write {}", path.display()))
}

/// The recording that stands in FORMAT.md in hex.
fn recording(workspace: &Workspace) -> Outcome<Vec<u8>> {
    let path = workspace.root.join("vas-recording/FORMAT.md");
    let document = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let example = document.split_once("```hex\n").and_then(|(_, rest)| rest.split_once("```"));
    let (example, _) = example.ok_or_else(|| Failure::new(format!("{} has no example", path.display())))?;
    let bytes = example.lines().flat_map(|line| line.split_whitespace().skip(1));
    bytes.map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().context(|| "read hex".into())
}

/// fuzz_targets/config.rs: the places of a password, those of them that are a URL, and the characters in its middle.
const CONFIG_PLACES: u8 = 13;
const CONFIG_URLS: [u8; 5] = [5, 6, 7, 8, 9];
const CONFIG_MIDDLES: u8 = 16;

const EVERY_KEY: &[u8] = b"[export]
enabled = true
base = \"vas\"
group = 0
slots = 4
when = \"always\"
[server]
status_file = \"status.json\"
metrics_file = \"vas.prom\"
[defaults]
ring_frames = 8
rtsp_client = \"retina\"
tls_verify = false
decoder_threads = 2
skip = \"keyframes\"
[[camera]]
id = \"front\"
url = \"rtsp://10.0.0.5:554/s\"
username = \"admin\"
transport = \"udp\"
loop = false
open_timeout_ms = 5000
frame_timeout_ms = 5000
max_pixels = 2073600
";

/// The words of the format, for the fuzzer's dictionary.
const KEYS: &[&str] = &[
    "[server]",
    "[export]",
    "[defaults]",
    "[[camera]]",
    "enabled = ",
    "base = ",
    "group = ",
    "slots = ",
    "when = ",
    "id = ",
    "url = ",
    "username = ",
    "password = ",
    "password_file = ",
    "transport = ",
    "loop = ",
    "ring_frames = ",
    "open_timeout_ms = ",
    "frame_timeout_ms = ",
    "max_pixels = ",
    "rtsp_client = ",
    "tls_verify = ",
    "decoder_threads = ",
    "skip = ",
    "status_file = ",
    "metrics_file = ",
    "rtsp://",
    "rtsps://",
    "file://",
    "true",
    "false",
    "tcp",
    "udp",
    "\\\"",
    "'",
    "{ ",
    " }",
    "= [",
    "#",
    "@",
    "://",
    "\\x0a",
];

/// An input of the format that `fuzz/src/input.rs` describes.
fn files_input(how: u8, meta: &[u8], meta_size: u64, data_size: u64, program: &[u8]) -> Vec<u8> {
    // Zeros at the end come by themselves.
    let stored = meta.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let mut input = vec![how];
    input.extend((stored as u16).to_le_bytes());
    input.extend(u16::try_from(meta_size).unwrap_or(u16::MAX).to_le_bytes());
    input.extend(u32::try_from(data_size).unwrap_or(u32::MAX).to_le_bytes());
    input.extend(&meta[..stored]);
    input.extend(program);
    input
}

/// What the writer of a vector stores while it is read.
fn steps(vector: &Value) -> Vec<u8> {
    let mut program = Vec::new();
    for step in vector["steps"].as_array().into_iter().flatten() {
        let Some(offset) = step["store"]["offset"].as_u64() else { continue };
        let number = |key: &str| {
            let value = &step["store"][key];
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        };
        if let Some(value) = number("u64") {
            program.extend([0, (offset / 8) as u8]);
            program.extend(value.to_le_bytes());
        } else if let Some(value) = number("u32") {
            program.extend([2, (offset / 4) as u8]);
            program.extend((value as u32).to_le_bytes());
        }
        program.push(7);
    }
    program
}

/// Writes `INPUT.meta` and says what else a conformance file is made of.
fn unpack(input: &Path) -> Outcome {
    let bytes = fs::read(input).context(|| format!("read {}", input.display()))?;
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(Failure::new(format!("{} is too short to be a pair of files", input.display())));
    };
    let &[how, s0, s1, m0, m1, d0, d1, d2, d3] = prefix;
    let stored = usize::from(u16::from_le_bytes([s0, s1])).min(rest.len()).min(8192);
    let meta_size = usize::from(u16::from_le_bytes([m0, m1])) % 8193;
    let data_size = u32::from_le_bytes([d0, d1, d2, d3]) % ((1 << 18) + 1);
    let mut meta = rest[..stored].to_vec();
    meta.resize(meta_size, 0);
    let path = PathBuf::from(format!("{}.meta", input.display()));
    fs::write(&path, &meta).context(|| format!("write {}", path.display()))?;
    ui::good(&format!("{}: the {meta_size} bytes of frame.meta", path.display()));
    let inode = if how & 1 == 0 {
        "the inode of frame.data (put there when it is staged)"
    } else {
        "what stands there"
    };
    ui::note(&format!(
        "frame.data has {data_size} bytes; data_inode is {inode}; flags of the input {how:#04x}"
    ));
    ui::note(&format!("after the open, {} bytes of steps: {:02x?}", rest.len() - stored, &rest[stored..]));
    Ok(())
}

fn nightly_is_there() -> bool {
    // rustup would otherwise install what it is asked for.
    let list = run::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    list.lines().any(|line| line.starts_with("nightly"))
}

/// Installs cargo-fuzz if it is not there; gives the program.
fn cargo_fuzz(workspace: &Workspace) -> Outcome<PathBuf> {
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.is_file() {
        let mut command = workspace.cargo();
        command
            .args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION, "--root"])
            .arg(&tools);
        ui::note(&format!("$ {}", run::shown(&command)));
        run::behind_ticker("building cargo-fuzz, once", &mut command)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_its_sizes_before_its_bytes_and_ends_with_the_program() {
        let input = files_input(1, &[7, 8, 0, 0], 4096, 12288, &[5]);
        assert_eq!(input, [1, 2, 0, 0, 16, 0, 48, 0, 0, 7, 8, 5]);
        assert_eq!(input.len(), PREFIX + 2 + 1);
    }

    #[test]
    fn the_stores_of_a_vector_become_steps() {
        let vector: Value = serde_json::from_str(
            r#"{"steps": [{"do": "open", "expect": "ready"}, {"store": {"offset": 56, "u32": 3}},
                          {"store": {"offset": 104, "u64": "258"}}]}"#,
        )
        .unwrap();
        assert_eq!(steps(&vector), [2, 14, 3, 0, 0, 0, 7, 0, 13, 2, 1, 0, 0, 0, 0, 0, 0, 7]);
    }
}
