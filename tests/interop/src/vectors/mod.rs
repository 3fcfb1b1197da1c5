//! The program that makes the conformance files, byte for byte the same each time.

mod accept;
mod draft;
mod refuse;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::{Vector, sha256};

/// Name of the list of all files.
pub const MANIFEST: &str = "MANIFEST";
/// What is written by hand and stands beside the files that are made.
const BY_HAND: &str = "README.md";
const PROTOCOL: &str = include_str!("../../../../vas-shm-proto/PROTOCOL.md");

/// One sentence if it went well, one for each thing that did not.
pub type Outcome = Result<String, Vec<String>>;

/// Every vector, in order of name.
#[must_use]
pub fn all() -> Vec<Vector> {
    let mut vectors = accept::all();
    vectors.extend(refuse::all());
    vectors.extend(wait::all());
    vectors.sort_by(|a, b| a.case.name.cmp(&b.case.name));
    vectors
}

/// Every file that is made: path below the directory, and bytes.
fn files(vectors: &[Vector]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for vector in vectors {
        let path = format!("v1/{}", vector.case.name);
        if vector.case.meta.kind.has_bytes() {
            files.insert(format!("{path}.meta"), vector.meta.clone());
        }
        if vector.case.data.kind.has_bytes() {
            files.insert(format!("{path}.data"), vector.data.clone());
        }
        files.insert(format!("{path}.json"), vector.case.to_json().into_bytes());
    }
    files.insert(MANIFEST.to_owned(), manifest(vectors, &files).into_bytes());
    files
}

fn manifest(vectors: &[Vector], files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut text = format!(
        "# The conformance files of VAS frame export, version 1: {} vectors. README.md says what they are.\n\
         # `sha256sum --check MANIFEST` proves the files; the lines with a # have the vector's clauses and the files' sizes.\n",
        vectors.len()
    );
    for vector in vectors {
        text += &format!("# {}: {}", vector.case.name, vector.case.clauses.join(" "));
        let parts: Vec<_> = ["meta", "data", "json"]
            .iter()
            .filter_map(|part| Some((part, files.get_key_value(&format!("v1/{}.{part}", vector.case.name))?)))
            .collect();
        let sizes: Vec<_> =
            parts.iter().map(|(part, (_, bytes))| format!("{part} {}", bytes.len())).collect();
        text += &format!("; bytes: {}\n", sizes.join(", "));
        for (_, (path, bytes)) in parts {
            text += &format!("{}  {path}\n", sha256(bytes));
        }
    }
    text
}

/// What is wrong with the vectors themselves, before any file is looked at.
fn faults(vectors: &[Vector]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    let of_writers = clauses_of_writers();
    for case in vectors.iter().map(|vector| &vector.case) {
        if !names.insert(&case.name) {
            faults.push(format!("there are two vectors {}", case.name));
        }
        if case.clauses.is_empty() {
            faults.push(format!("{} proves no clause", case.name));
        }
        for clause in &case.clauses {
            if !PROTOCOL.contains(&format!("- **{clause}** ")) {
                faults.push(format!("{} proves {clause}, which is no clause of PROTOCOL.md", case.name));
            }
            if of_writers.contains(clause) {
                faults.push(format!(
                    "{} proves {clause}, which is about writers; files prove readers",
                    case.name
                ));
            }
        }
    }
    faults
}

/// The clauses that the last table of PROTOCOL.md gives to writers alone.
fn clauses_of_writers() -> BTreeSet<String> {
    let row = PROTOCOL.lines().find_map(|line| line.strip_prefix("| writer |")).unwrap_or_default();
    let mut clauses = BTreeSet::new();
    for part in row.trim_end_matches('|').split(',') {
        // `PUB-1 to 10` or `COLOR-4`.
        let Some((area, numbers)) = part.trim().split_once('-') else { continue };
        let (first, last) = numbers.split_once(" to ").unwrap_or((numbers, numbers));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            clauses.extend((first..=last).map(|number| format!("{area}-{number}")));
        }
    }
    clauses
}

/// The files that stand in a directory, by path below it.
fn standing(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, Vec<String>> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{path}/"), found)?;
            } else if path != BY_HAND {
                found.insert(path, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    if directory.exists() {
        walk(directory, "", &mut found)
            .map_err(|error| vec![format!("read {}: {error}", directory.display())])?;
    }
    Ok(found)
}

/// Writes every file, and removes what is none of them.
///
/// # Errors
/// A vector names a clause that there is not, or a file cannot be written.
pub fn make(directory: &Path) -> Outcome {
    let vectors = all();
    let faults = faults(&vectors);
    if !faults.is_empty() {
        return Err(faults);
    }
    let files = files(&vectors);
    let failed = |path: &str| {
        let path = directory.join(path);
        move |error| vec![format!("write {}: {error}", path.display())]
    };
    for path in standing(directory)?.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(directory.join(path)).map_err(failed(path))?;
    }
    for (path, bytes) in &files {
        let whole = directory.join(path);
        fs::create_dir_all(whole.parent().unwrap_or(directory)).map_err(failed(path))?;
        fs::write(whole, bytes).map_err(failed(path))?;
    }
    Ok(said("wrote", &vectors, &files))
}

/// Makes every file in memory and compares with those that stand there.
///
/// # Errors
/// A sentence for each difference.
pub fn check(directory: &Path) -> Outcome {
    let vectors = all();
    let mut wrong = faults(&vectors);
    let files = files(&vectors);
    let standing = standing(directory)?;
    for (path, bytes) in &files {
        match standing.get(path) {
            None => wrong.push(format!("{path} is missing")),
            Some(found) if found != bytes => {
                let at = found.iter().zip(bytes).position(|(a, b)| a != b);
                let at = at.unwrap_or_else(|| found.len().min(bytes.len()));
                wrong.push(format!(
                    "{path} differs from byte {at} on ({} bytes, the program makes {})",
                    found.len(),
                    bytes.len()
                ));
            }
            Some(_) => {}
        }
    }
    for path in standing.keys().filter(|path| !files.contains_key(*path)) {
        wrong.push(format!("{path} is none of the files that the program makes"));
    }
    if wrong.is_empty() {
        return Ok(said("compared", &vectors, &files));
    }
    wrong.push("make them anew with `cargo xtask vectors make` if the change is meant".to_owned());
    Err(wrong)
}

fn said(done: &str, vectors: &[Vector], files: &BTreeMap<String, Vec<u8>>) -> String {
    let bytes: usize = files.values().map(Vec::len).sum();
    let digest = files.get(MANIFEST).map(|manifest| sha256(manifest)).unwrap_or_default();
    format!(
        "{done} {} vectors, {} files, {bytes} bytes; MANIFEST has SHA-256 {digest}",
        vectors.len(),
        files.len()
    )
}
