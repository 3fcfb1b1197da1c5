//! The litmus files: what they expect, and, where herd7 is installed, what it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file says in its second line what herd7 has to observe, and under which models.
struct Litmus {
    path: PathBuf,
    name: String,
    verdict: String,
    models: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("litmus")
}

fn all() -> Vec<Litmus> {
    let mut found: Vec<_> = fs::read_dir(folder())
        .expect("the litmus files are beside this crate")
        .map(|entry| entry.expect("an entry of a folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "litmus"))
        .map(|path| read(&path))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(path: &Path) -> Litmus {
    let text = fs::read_to_string(path).expect("a litmus file is text");
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("its name is text").to_owned();
    let mut lines = text.lines();
    let (_, inside) =
        lines.next().and_then(|line| line.split_once(' ')).expect("it begins with language and name");
    assert_eq!(inside, name, "the name inside is the name of the file");
    let (_, expected) = lines
        .next()
        .and_then(|line| line.split_once("Expected: "))
        .expect("its second line says what is expected");
    let (verdict, models) = expected.split_once(" (").expect("models follow the verdict");
    let models = models.trim_end_matches(['"', ')']).split(", ").map(str::to_owned).collect();
    Litmus { path: path.to_owned(), name, verdict: verdict.to_owned(), models }
}

#[test]
fn every_litmus_file_says_what_is_expected_and_stands_in_the_table() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the files have a README");
    let rows: BTreeMap<&str, &str> =
        readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).collect();
    let files = all();
    assert!(files.iter().any(|file| file.name == "protocol" && file.verdict == "Never"));
    for file in &files {
        assert!(["Never", "Sometimes"].contains(&file.verdict.as_str()), "{}: {}", file.name, file.verdict);
        let row =
            rows.get(file.name.as_str()).unwrap_or_else(|| panic!("README.md has no row for {}", file.name));
        assert!(row.contains(&file.verdict), "README.md says another verdict of {}: {row}", file.name);
    }
    assert_eq!(rows.len(), files.len(), "README.md has rows for files that are gone");
}

#[test]
#[ignore = "needs herd7 on PATH, or named by HERD7; `cargo xtask model --long` runs it where it is"]
fn herd7_says_what_each_file_expects() {
    let herd = std::env::var_os("HERD7").unwrap_or_else(|| "herd7".into());
    let mut wrong = Vec::new();
    for file in all() {
        for model in &file.models {
            let mut command = Command::new(&herd);
            if let Some(libraries) = std::env::var_os("HERDLIB") {
                command.arg("-set-libdir").arg(libraries);
            }
            let output = command
                .arg("-model")
                .arg(format!("{model}.cat"))
                .arg(&file.path)
                .output()
                .unwrap_or_else(|error| panic!("start {}: {error}", herd.display()));
            let text = String::from_utf8_lossy(&output.stdout);
            let observation =
                text.lines().find_map(|line| line.strip_prefix("Observation ")).unwrap_or("nothing");
            println!("{:<40} {model:<10} {observation}", file.name);
            if observation.split(' ').nth(1) != Some(file.verdict.as_str()) {
                let complaint = String::from_utf8_lossy(&output.stderr);
                wrong.push(format!("{} under {model}: {observation} {}", file.name, complaint.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "herd7 differs: {wrong:#?}");
}
