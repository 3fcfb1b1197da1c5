//! The real program's log in its three forms.

use crate::scene::*;
use std::os::unix::fs::MetadataExt;

/// A file that plays to its end, and one that cannot be played.
fn two_files(scene: &Scene) -> std::process::Command {
    std::fs::write(scene.path("empty.mp4"), "").unwrap();
    scene.configure(
        "[[camera]]\nid = \"a\"\nurl = \"clip.mp4\"\n[[camera]]\nid = \"b\"\nurl = \"empty.mp4\"\n",
    );
    scene.run()
}

#[test]
fn in_json_each_line_is_an_object_with_its_camera() {
    let Some(scene) = Scene::new() else { return };
    let (code, text) = ended_saying("ended; ", two_files(&scene).env("VAS_LOG_FORMAT", "json"));
    assert_eq!(code, Some(1), "{text}");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |part: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().unwrap().contains(part));
        found.unwrap_or_else(|| panic!("no line with {part:?}: {text}"))
    };
    let live = with("live: ");
    assert_eq!((&live["level"], &live["camera"]), (&"INFO".into(), &"a".into()));
    assert!(
        live["timestamp"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
        "{live}"
    );
    assert_eq!(with("the file is empty")["camera"], "b");
    // What the server's own thread says of a camera.
    assert_eq!(with("ended; ")["camera"].as_str().map(str::len), Some(1));
    assert_eq!(with("2 cameras; ")["camera"], serde_json::Value::Null);

    scene.configure("camera = 1\n");
    let (code, text) = ended_saying("vas.toml", scene.run().env("VAS_LOG_FORMAT", "json"));
    assert_eq!(code, Some(2), "{text}");
    let refusal: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(refusal["message"].as_str().unwrap().contains("vas.toml line 1"), "{refusal}");
}

#[test]
fn in_the_journal_each_line_has_its_level_and_no_time() {
    let Some(scene) = Scene::new() else { return };
    let log = std::fs::File::create(scene.path("log")).unwrap();
    let metadata = log.metadata().unwrap();
    let journal = format!("{}:{}", metadata.dev(), metadata.ino());
    let (code, _) = ended(two_files(&scene).stderr(log).env("JOURNAL_STREAM", &journal));
    assert_eq!(code, Some(1));
    let text = std::fs::read_to_string(scene.path("log")).unwrap();
    // A warning is that a camera is stalled, on a machine that stands still.
    let has_level = |line: &str| ["<6>", "<4>", "<3>"].iter().any(|level| line.starts_with(level));
    assert!(text.lines().all(has_level), "{text}");
    assert!(text.contains("\n<6>camera{id=a}: live: ") && text.contains("\n<3>camera{id=b}: "), "{text}");
    assert!(!text.contains("Z ") && !text.contains(" INFO "), "{text}");
    // The journal of another: this stderr goes elsewhere.
    let (_, text) = ended(two_files(&scene).env("JOURNAL_STREAM", &journal));
    assert!(text.contains(" INFO camera{id=a}: live: ") && !text.contains('<'), "{text}");
    // And a wish is a wish.
    let (_, text) = ended(two_files(&scene).env("VAS_LOG_FORMAT", "journald"));
    assert!(text.starts_with("<6>2 cameras; "), "{text}");
}

#[test]
fn a_format_that_is_none_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let (code, text) = ended(two_files(&scene).env("VAS_LOG_FORMAT", "syslog"));
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(text, "vas-ingest: VAS_LOG_FORMAT is \"syslog\": use text, json or journald");
}
