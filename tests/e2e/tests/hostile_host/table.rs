//! The table in docs/testing.md says which test showed what; this shows that it names all of them and none that is not there.

use std::collections::BTreeSet;
use std::path::Path;

/// Files whose tests all stand in the table.
const FILES: [&str; 7] = [
    "vas-shm-writer/tests/full_disk.rs",
    "vas-shm-writer/tests/hostile_host.rs",
    "vas-shm-writer/tests/memory_limit.rs",
    "vas-shm-writer/tests/planted_names.rs",
    "tests/e2e/tests/hostile_host/full_disk.rs",
    "tests/e2e/tests/hostile_host/held_frames.rs",
    "tests/e2e/tests/hostile_host/readers.rs",
];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Every function under `#[test]`.
fn tests_of(source: &str) -> impl Iterator<Item = &str> {
    source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next())
}

#[test]
fn the_table_of_the_hostile_host_names_every_test_and_only_tests_that_are_there() {
    let document = text("docs/testing.md");
    let section = document.split("\n## The hostile host\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    // The last column of each row; a row may name several tests.
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect();
    let sources: Vec<String> = FILES.iter().map(|path| text(path)).collect();
    let there: BTreeSet<String> =
        sources.iter().flat_map(|source| tests_of(source)).map(str::to_owned).collect();
    let missing: Vec<_> = there.difference(&named).collect();
    let invented: Vec<_> = named.difference(&there).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not in the table: {missing:#?}; no such test: {invented:#?}"
    );
}
