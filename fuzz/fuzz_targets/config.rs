//! Any text as the configuration, with a password somewhere in it: an answer, never a panic, one sentence if it is a refusal,
//! and no piece of the password in anything that can be shown.
//!
//! ```text
//! 0   where the password stands: a key, a URL of several forms, an argument, a variable, a file
//! 1   which character the password has in its middle, as somebody might forget to encode it
//! 2   after how many of the text's lines that line comes
//! 3   the text
//! ```
#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use vas_fuzz::stage::directory;

// The real files of vas-ingest, which know nothing of FFmpeg.
#[allow(dead_code, reason = "vas-ingest uses the rest")]
#[path = "../../vas-ingest/src/address.rs"]
mod address;
#[allow(dead_code, reason = "vas-ingest uses the rest")]
#[path = "../../vas-ingest/src/config/mod.rs"]
mod config;
#[allow(dead_code, reason = "vas-ingest uses the rest")]
#[path = "../../vas-ingest/src/redact.rs"]
mod redact;

use config::{Config, Environment, Request, UsualStatusFile};

/// The two halves of every password: no text that the fuzzer makes up holds them, and no sentence does.
const HALVES: [&str; 2] = ["qzhunterqz", "qzsecretqz"];

thread_local! {
    static DIRECTORY: PathBuf = directory();
}

fuzz_target!(|input: &[u8]| {
    let Some((&[place, middle, line], text)) = input.split_first_chunk() else { return };
    let text = String::from_utf8_lossy(text).to_lowercase();
    // Where a string goes on over lines, the line with the password may be a part of anything, such as a camera's id.
    if HALVES.iter().any(|half| text.contains(half)) || text.contains("\"\"\"") || text.contains("'''") {
        return;
    }
    DIRECTORY.with(|directory| run(directory, place, middle, usize::from(line), &text));
});

fn run(directory: &Path, place: u8, middle: u8, line: usize, text: &str) {
    let middles = ["", "@", "/", ":", "?", "#", "%", " ", "=", "ü", "%40", "+", "@@", "//", "[", "\\\\"];
    let password = format!("{}{}{}", HALVES[0], middles[usize::from(middle) % middles.len()], HALVES[1]);
    let mut variable = None;
    let mut cameras = Vec::new();
    let inserted = match place % 13 {
        0 => format!("password = \"{password}\""),
        1 => format!("password = '{password}"),
        2 => format!("password = {password}"),
        3 => format!("password = [\"{password}\"]"),
        4 => format!("password = {{ \"{password}\" = 1 }}"),
        5 => format!("url = \"rtsp://admin:{password}@10.0.0.5/s\""),
        6 => format!("url = \"rtsp:/admin:{password}@10.0.0.5/s\""),
        7 => format!("url = \"rtsp://10.0.0.5/s?user=a&password={}\"", HALVES.concat()),
        8 => format!("url = \"admin:{password}@10.0.0.5/s\""),
        9 => format!("url = \"rtsps://:{password}@10.0.0.5/s"),
        10 => {
            cameras.push(format!("front=rtsp://admin:{password}@10.0.0.5/s"));
            String::new()
        }
        11 => {
            variable = Some(password.clone());
            String::new()
        }
        _ => {
            std::fs::write(directory.join("secret"), &password).expect("write");
            "password_file = \"secret\"".to_owned()
        }
    };
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.insert(line % (lines.len() + 1), &inserted);
    let file = directory.join("vas.toml");
    std::fs::write(&file, lines.join("\n")).expect("write");

    // Of the cameras that the corpus has, and of those that have none of their own.
    let names = ["VAS_CAMERA_FRONT_PASSWORD", "VAS_CAMERA_A_PASSWORD", "VAS_DEFAULTS_PASSWORD"];
    let environment: Environment =
        variable.iter().flat_map(|password| names.map(|name| (name, password.as_str()))).collect();
    let request = Request { file: Some(file), cameras: cameras.clone(), base: None };
    let shown = match Config::load_and_print(&request, &environment, &UsualStatusFile::default()) {
        Ok((config, printed)) => {
            assert!(!config.cameras.is_empty());
            for camera in &config.cameras {
                assert!((1..=64).contains(&camera.ring_frames));
                assert!((100..=600_000).contains(&camera.open_timeout.as_millis()));
                assert!((100..=600_000).contains(&camera.frame_timeout.as_millis()));
                assert!((1..=16384 * 16384).contains(&camera.max_pixels));
            }
            assert!(config.export.as_ref().is_none_or(|export| !export.base.as_os_str().is_empty()));
            format!("{config:?}\n{}\n{printed}", config.warnings.join("\n"))
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && !sentence.contains(['\r', '\x1b']), "{sentence:?}");
            format!("{sentence}\n{error:?}")
        }
    };
    let argument: String = cameras.iter().map(|argument| redact::argument(argument)).collect();
    let shown = format!("{shown}\n{argument}").to_lowercase();
    for half in HALVES {
        assert!(!shown.contains(half), "a piece of the password is shown");
    }
    // Taking passwords out ends whatever the text is, and what is gone stays gone. (Without control characters, which become
    // question marks: a URL may end at the one and not at the other.)
    let plain = redact::text(text).replace(char::is_control, " ");
    let once = redact::text(&plain);
    assert_eq!(redact::text(&once), once);
}
