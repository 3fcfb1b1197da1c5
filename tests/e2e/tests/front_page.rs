//! The front page shows what is compiled.

use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(page: &str, language: &str) -> String {
    let page = text(page);
    let (_, shown) = page.split_once(&format!("```{language}\n")).expect("the page has a reader");
    shown.split_once("```").expect("it ends").0.to_owned()
}

#[test]
fn the_reader_on_the_front_page_is_the_example_that_is_compiled() {
    let example = text("vas-shm-reader/examples/ten_lines.rs");
    let code: String = example
        .lines()
        .skip_while(|line| line.starts_with("//!") || line.is_empty())
        .map(|line| line.to_owned() + "\n")
        .collect();
    assert_eq!(shown("README.md", "rust"), code);
}

#[test]
fn the_reader_in_c_on_the_front_page_is_the_example_that_is_compiled() {
    let example = text("bindings/c/examples/ten_lines.c");
    let (_, code) = example.split_once('\n').expect("a line with the licence");
    assert_eq!(shown("README.md", "c"), code);
}

#[test]
fn the_reader_in_python_on_the_front_page_is_the_example_that_is_run() {
    let example = text("bindings/python/examples/ten_lines.py");
    let (_, code) = example.split_once('\n').expect("a line with the licence");
    assert_eq!(shown("README.md", "python"), code);
    assert_eq!(shown("bindings/python/README.md", "python"), code);
}
