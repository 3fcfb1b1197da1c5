//! docs/operating.md tells operators what each sentence of the log and each counter means; this holds it against the sources.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// A source without its tests, and with strings that go over several lines put together.
fn source(path: &Path) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut parts = text.split("\\\n");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| joined.push_str(part.trim_start()));
    joined
}

/// Every source that can say something to an operator, by name.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("vas-ingest/src"), root().join("vas-shm-writer/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.display().to_string(), source(&path)));
            }
        }
    }
    assert!(found.len() > 20, "the sources are elsewhere");
    found
}

/// What the first column of the document's tables quotes, in the chapters about the log and the counters.
fn quotes(document: &str) -> Vec<String> {
    let chapters = document.split("\n## What the log says\n").nth(1).expect("the chapter about the log");
    let rows = chapters.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.filter_map(|row| row.trim_start_matches("| ").split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

/// The parts of a quote between what varies.
fn parts(quote: &str) -> impl Iterator<Item = &str> {
    quote.split("...").filter(|part| part.trim().len() > 1)
}

/// The string that begins after `at`, without its quotation marks.
fn literal(source: &str, at: usize) -> Option<&str> {
    let start = at + source[at..].find('"')? + 1;
    let bytes = source.as_bytes();
    let end = (start..bytes.len()).find(|&i| bytes[i] == b'"' && bytes[i - 1] != b'\\')?;
    Some(&source[start..end])
}

/// The sentences of a source that warn or report an error, and those of the writer's errors that come into such sentences.
fn sentences<'s>(name: &str, source: &'s str) -> Vec<&'s str> {
    let mut found = Vec::new();
    let mut marks = vec!["tracing::warn!(", "tracing::error!("];
    let is_errors = name.ends_with("vas-shm-writer/src/error.rs");
    if is_errors || name.ends_with("vas-shm-writer/src/keeper.rs") {
        marks.push("#[error(");
    }
    // What comes after it is about mistakes of the program that embeds the writer.
    let source = if is_errors {
        source.split("/// Why there is no [`crate::Camera`]").next().unwrap()
    } else {
        source
    };
    for mark in marks {
        for (at, _) in source.match_indices(mark) {
            let mut text = literal(source, at).expect("a string");
            if text == "ffmpeg" {
                text = literal(source, at + source[at..].find(text).unwrap() + text.len() + 1)
                    .expect("a string");
            }
            found.push(text);
        }
    }
    // One that is nothing but what varies is told of where that comes from.
    let constant = |text: &&str| {
        let pieces = text.split('{').map(|piece| piece.rsplit('}').next().unwrap_or_default());
        pieces.map(|piece| piece.trim_matches([' ', ':', ';']).len()).sum::<usize>() >= 8
    };
    found.into_iter().filter(constant).collect()
}

#[test]
fn every_sentence_and_counter_that_the_manual_quotes_is_in_the_sources() {
    let (document, sources) = (read(&root().join("docs/operating.md")), sources());
    let quotes = quotes(&document);
    assert!(quotes.len() > 50, "the tables are elsewhere: {quotes:#?}");
    let invented: Vec<_> = quotes
        .iter()
        .filter(|quote| {
            let is_in = |source: &str| parts(quote).all(|part| source.contains(part.trim()));
            !sources.iter().any(|(_, source)| is_in(source))
        })
        .collect();
    assert!(invented.is_empty(), "no source says: {invented:#?}");
}

#[test]
fn every_warning_and_error_that_the_server_can_log_is_in_the_manual() {
    let document = read(&root().join("docs/operating.md"));
    let quotes = quotes(&document);
    let mut told = 0;
    let mut missing = Vec::new();
    for (name, source) in sources() {
        for sentence in sentences(&name, &source) {
            told += 1;
            let is_quoted = |quote: &String| parts(quote).all(|part| sentence.contains(part.trim()));
            if !quotes.iter().any(is_quoted) {
                missing.push(format!("{name}: {sentence}"));
            }
        }
    }
    assert!(told > 25, "the test is blind: {told} sentences");
    assert!(missing.is_empty(), "docs/operating.md does not explain: {missing:#?}");
}

#[test]
fn every_reason_why_a_frame_is_not_exported_is_in_the_manual() {
    let document = read(&root().join("docs/operating.md"));
    let errors = source(&root().join("vas-shm-writer/src/error.rs"));
    let reasons =
        errors.split("pub enum NotExported").nth(1).expect("the reasons").split("\nimpl").next().unwrap();
    let reasons: Vec<_> =
        reasons.match_indices("#[error(").filter_map(|(at, _)| literal(reasons, at)).collect();
    assert!(reasons.len() >= 7, "{reasons:?}");
    // What the server tells by a counter of its own, in its own words.
    let is_told =
        |reason: &str| reason == "nobody is looking" || document.contains(&format!("| `{reason}` (`"));
    let missing: Vec<_> = reasons.iter().filter(|reason| !is_told(reason)).collect();
    assert!(missing.is_empty(), "docs/operating.md does not explain: {missing:#?}");
}
