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
const README: &str = include_str!("../../../../vas-shm-proto/conformance/README.md");
/// Between these README.md names the clauses of readers that no vector proves.
const UNPROVEN: [&str; 2] = ["<!-- begin unproven", "<!-- end unproven -->"];

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
    let of_writers = clauses_of("writer");
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
    let proven: BTreeSet<_> =
        vectors.iter().flat_map(|vector| &vector.case.clauses).map(String::as_str).collect();
    faults.extend(unproven_faults(&proven, README));
    faults
}

/// Whether README.md names those clauses of readers that no vector proves, all of them and no other.
fn unproven_faults(proven: &BTreeSet<&str>, readme: &str) -> Vec<String> {
    let of_readers = clauses_of("reader");
    let section = readme.split_once(UNPROVEN[0]).and_then(|(_, rest)| rest.split_once(UNPROVEN[1]));
    let Some((section, _)) = section else {
        return vec![format!("README.md has no section between {} and {}", UNPROVEN[0], UNPROVEN[1])];
    };
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let named: BTreeSet<_> = rows.flat_map(|(clauses, _)| clauses_in(clauses)).collect();
    let is_proven = |clause: &&String| proven.contains(clause.as_str());
    let mut faults = Vec::new();
    for clause in of_readers.iter().filter(|clause| !is_proven(clause) && !named.contains(*clause)) {
        faults.push(format!(
            "no vector proves {clause}, and README.md does not say so under \"What is not here\""
        ));
    }
    for clause in named.iter().filter(is_proven) {
        faults.push(format!("README.md says that no vector proves {clause}, and one does"));
    }
    for clause in named.difference(&of_readers) {
        faults.push(format!(
            "README.md says that no vector proves {clause}, which PROTOCOL.md gives to no reader"
        ));
    }
    faults
}

/// The clauses that the last table of PROTOCOL.md gives to one role alone.
fn clauses_of(role: &str) -> BTreeSet<String> {
    let row = PROTOCOL.lines().find_map(|line| line.strip_prefix(&format!("| {role} |")));
    let row = row.expect("the last table of PROTOCOL.md has a row for each role");
    clauses_in(row.trim_end_matches('|'))
}

/// Every clause of a list such as `PUB-1 to 10, COLOR-4`.
fn clauses_in(list: &str) -> BTreeSet<String> {
    let mut clauses = BTreeSet::new();
    for part in list.split(',') {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_what_no_vector_proves_is_held_to_the_truth() {
        let of_readers = clauses_of("reader");
        assert!(of_readers.len() > 50, "{of_readers:?}");
        let mut proven: BTreeSet<_> = of_readers.iter().map(String::as_str).collect();
        let readme =
            |rows| format!("{} -->\n| clauses | why |\n|---|---|\n{rows}{}", UNPROVEN[0], UNPROVEN[1]);
        assert_eq!(unproven_faults(&proven, &readme("")), Vec::<String>::new());
        assert_eq!(unproven_faults(&proven, "nothing").len(), 1);
        assert_eq!(unproven_faults(&proven, &readme("| LIVE-2 to 3, PUB-1 | x |\n")).len(), 3);
        proven.remove("LIVE-3");
        assert_eq!(unproven_faults(&proven, &readme("")).len(), 1);
        assert_eq!(unproven_faults(&proven, &readme("| LIVE-3 | x |\n")), Vec::<String>::new());
    }
}
