//! `cargo xtask unsafe`: docs/unsafe.md lists every `unsafe` of this repository, and every test that it, SECURITY.md or
//! docs/testing.md names is there.
//!
//! An `unsafe` is known by its file, the function (or impl, or macro) around it, and how many there are: so a moved line
//! changes nothing, and a new block, a block that went away or a renamed function fails until somebody has looked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{deps, fuzz, ui};

const INVENTORY: &str = "docs/unsafe.md";
/// Documents whose tests are looked for besides.
const NAMING: [&str; 2] = ["SECURITY.md", "docs/testing.md"];
/// In a document, a name in backquotes that has this many underscores is a test: test names are sentences.
const UNDERSCORES: usize = 3;
/// What stands before the name of a file under which its table follows.
const FILE_HEADING: &str = "### `";
const TORTURE: &str = "tests/torture/src/";
const MODEL: &str = "tests/model/";

/// Compares the sources with the inventory, and what the documents name with the tests that exist.
pub(crate) fn command(workspace: &Workspace) -> Outcome {
    ui::stage("Unsafe code, and the tests that documents name");
    let mut found = BTreeMap::new();
    let mut names = Names::default();
    for path in deps::sources(&workspace.root)? {
        let source = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
        let file = path.strip_prefix(&workspace.root).unwrap_or(&path).to_string_lossy().into_owned();
        let code = code_only(&source);
        names.tests.extend(tests(&code));
        if file.starts_with(TORTURE) {
            names.torture.push_str(&source);
        } else if file.starts_with(MODEL) {
            names.model.push_str(&source);
        }
        found.extend(inventory(&code).into_iter().map(|(item, count)| ((file.clone(), item), count)));
    }
    let read = |name: &str| {
        let path = workspace.root.join(name);
        fs::read_to_string(&path).context(|| format!("read {}", path.display()))
    };
    let document = read(INVENTORY)?;
    let (rows, mut problems) = rows(&document);
    problems.extend(compare(&found, &rows));
    for name in NAMING.into_iter().chain([INVENTORY]) {
        problems.extend(names.lacking(&read(name)?).into_iter().map(|what| format!("{name} names {what}")));
    }
    problems.iter().for_each(|problem| ui::bad(problem));
    if !problems.is_empty() {
        return Err(Failure::new(format!(
            "{} things are not as the documents say, see above",
            problems.len()
        )));
    }
    let mut total = Count::default();
    found.values().for_each(|count| total.add(*count));
    let files: BTreeSet<_> = found.keys().map(|(file, _)| file).collect();
    ui::good(&format!("{total} in {} files: each is in {INVENTORY}, with a test that exists", files.len()));
    ui::good(&format!("every test that {} name is there", NAMING.join(" and ")));
    Ok(())
}

/// How many there are of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    blocks: usize,
    functions: usize,
    impls: usize,
    externs: usize,
    attributes: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.functions += other.functions;
        self.impls += other.impls;
        self.externs += other.externs;
        self.attributes += other.attributes;
    }
}

/// `1 fn, 2 blocks`, which is also how docs/unsafe.md writes it.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.attributes, "attribute", "attributes"),
            (self.externs, "extern", "externs"),
            (self.impls, "impl", "impls"),
            (self.functions, "fn", "fns"),
            (self.blocks, "block", "blocks"),
        ];
        let parts: Vec<_> = kinds
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, one, many)| format!("{number} {}", if *number == 1 { one } else { many }))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// A row of the inventory: the items that it speaks of, and how many `unsafe` they have together.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    file: String,
    items: Vec<String>,
    count: String,
}

fn backquoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows below headings that name a file, and what is wrong with their form.
fn rows(document: &str) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut file: Option<&str> = None;
    for line in document.lines() {
        if line.starts_with('#') {
            file = line.strip_prefix(FILE_HEADING).and_then(|rest| rest.split('`').next());
        }
        let (Some(file), Some(row)) = (file, line.strip_prefix("| `")) else { continue };
        let row = format!("`{row}");
        let cells: Vec<&str> = row.trim_end_matches([' ', '|']).split(" | ").collect();
        let [items, count, .., proof] = cells.as_slice() else {
            problems.push(format!("{INVENTORY}: this row is too short: {line}"));
            continue;
        };
        if !backquoted(proof).iter().any(|name| is_test_name(name)) && !proof.contains("none:") {
            problems
                .push(format!("{INVENTORY}: {items} of {file} has no test, and no `none:` with the reason"));
        }
        rows.push(Row {
            file: file.to_owned(),
            items: backquoted(items).into_iter().map(str::to_owned).collect(),
            count: (*count).to_owned(),
        });
    }
    (rows, problems)
}

fn compare(found: &BTreeMap<(String, String), Count>, rows: &[Row]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed = BTreeSet::new();
    for row in rows {
        let mut total = Count::default();
        for item in &row.items {
            let key = (row.file.clone(), item.clone());
            match found.get(&key) {
                Some(count) => total.add(*count),
                None => problems
                    .push(format!("{INVENTORY} lists {item} of {}, where there is no unsafe", row.file)),
            }
            if !listed.insert(key) {
                problems.push(format!("{INVENTORY} lists {item} of {} twice", row.file));
            }
        }
        if total.to_string() != row.count && total != Count::default() {
            problems.push(format!(
                "{INVENTORY} says {} for {} of {}, and there is {total}: what is new, and does its row still hold?",
                row.count,
                row.items.join(", "),
                row.file
            ));
        }
    }
    let missing = found.iter().filter(|(key, _)| !listed.contains(*key));
    problems.extend(
        missing.map(|((file, item), count)| {
            format!("{file}: {item} has {count}, which {INVENTORY} does not list")
        }),
    );
    problems
}

/// What a document may name.
#[derive(Default)]
struct Names {
    tests: BTreeSet<String>,
    /// The sources of the torture, in which its scenarios have their names.
    torture: String,
    /// The sources of the model, whose tests are made when they run: scenarios, and mutants that are caught.
    model: String,
}

impl Names {
    /// What the text names that is not there.
    fn lacking(&self, document: &str) -> Vec<String> {
        let mut lacking = Vec::new();
        for name in backquoted(document) {
            let test = name.rsplit("::").next().unwrap_or(name);
            let is_of_model = || self.model.contains(&format!("\"{}\"", test.trim_end_matches("_is_caught")));
            if is_test_name(test) && !self.tests.contains(test) && !is_of_model() {
                lacking.push(format!("the test {name}, which is not there"));
            }
            let mut words = name.split(' ');
            while let Some(word) = words.next() {
                let value = match word {
                    "--scenario" | "--target" => words.next().unwrap_or_default(),
                    _ => continue,
                };
                // NAME stands for any.
                if value.chars().all(|c| c.is_ascii_uppercase()) {
                    continue;
                }
                let is_there = match word {
                    "--scenario" => self.torture.contains(&format!("\"{value}\"")),
                    _ => fuzz::is_target(value),
                };
                if !is_there {
                    lacking.push(format!("`{word} {value}`, which is not there"));
                }
            }
        }
        lacking
    }
}

/// Names that begin with `vas_` are functions of the C interfaces.
fn is_test_name(text: &str) -> bool {
    !text.starts_with("vas_")
        && text.chars().filter(|&c| c == '_').count() >= UNDERSCORES
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The names of functions with `#[test]` before them, in `proptest!` too.
fn tests(code: &str) -> Vec<String> {
    let after = code.split("#[test]").skip(1);
    after
        .filter_map(|rest| {
            let (_, rest) = rest.split_once("fn ")?;
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
            Some(rest[..end].to_owned())
        })
        .collect()
}

/// The source with comments and the insides of strings and characters as blanks; lines stay lines.
fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let rest = &chars[at..];
        let before = at.checked_sub(1).map_or(' ', |at| chars[at]);
        let skip = if rest.starts_with(&['/', '/']) {
            rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if rest[0] == '"' {
            string(rest)
        } else if rest[0] == 'r' && !(before.is_alphanumeric() || before == '_')
            || rest.starts_with(&['b', 'r'])
        {
            raw_string(rest)
        } else if rest[0] == '\'' {
            character(rest)
        } else {
            0
        };
        if skip == 0 {
            out.push(rest[0]);
            at += 1;
        } else {
            out.extend(rest[..skip].iter().map(|&c| blank(c)));
            at += skip;
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// 0 if it is none: `r` may begin a name.
fn raw_string(rest: &[char]) -> usize {
    let begin = usize::from(rest[0] == 'b') + 1;
    let hashes = rest[begin..].iter().take_while(|&&c| c == '#').count();
    if rest.get(begin + hashes) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let inside = begin + hashes + 1;
    let length = rest[inside..].windows(end.len()).position(|window| window == end);
    length.map_or(rest.len(), |length| inside + length + end.len())
}

/// 0 if it is a lifetime.
fn character(rest: &[char]) -> usize {
    match rest.get(1) {
        Some('\\') => rest[2..].iter().skip(1).position(|&c| c == '\'').map_or(0, |at| at + 4),
        Some(_) if rest.get(2) == Some(&'\'') => 3,
        _ => 0,
    }
}

/// Every `unsafe` by the item around it.
fn inventory(code: &str) -> BTreeMap<String, Count> {
    let tokens = tokens(code);
    let mut found: BTreeMap<String, Count> = BTreeMap::new();
    // What each open brace belongs to; None for those without a name.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut pending: Option<String> = None;
    // Of round and square brackets: a semicolon in `[u8; 4]` ends nothing.
    let mut brackets = 0_i32;
    for (index, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(index + ahead).copied().unwrap_or_default();
        match *token {
            "fn" if is_name(next(1)) => {
                let of = open.iter().rev().flatten().next().filter(|name| name.starts_with("impl "));
                let of = of.map_or(String::new(), |name| format!("{}::", type_of(name)));
                pending = Some(format!("{of}{}", next(1)));
            }
            "macro_rules" => pending = Some(format!("{}!", next(2))),
            "impl" if pending.is_none() => pending = Some(header(&tokens[index..])),
            "{" => open.push(pending.take()),
            "}" => drop(open.pop()),
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            ";" if brackets == 0 => pending = None,
            "unsafe" => {
                let (item, count) = match next(1) {
                    // `#[unsafe(no_mangle)]`: one row for all of a file's.
                    "(" => (format!("#[unsafe({})]", next(2)), Count { attributes: 1, ..Count::default() }),
                    // The type of a C function: a promise of whoever calls one, and that is an unsafe block.
                    "fn" if next(2) == "(" => continue,
                    "extern" if next(2) == "fn" && next(3) == "(" => continue,
                    "{" => (within(&open), Count { blocks: 1, ..Count::default() }),
                    "impl" => (header(&tokens[index + 1..]), Count { impls: 1, ..Count::default() }),
                    // `unsafe extern "C" {`: the string is blank here.
                    "extern" if next(2) == "{" => {
                        ("extern".to_owned(), Count { externs: 1, ..Count::default() })
                    }
                    // `unsafe fn(u8)`, a type: whoever makes or calls such a thing is counted.
                    "fn" if next(2) == "(" => continue,
                    "fn" | "extern" => {
                        let ahead = if next(1) == "fn" { 2 } else { 3 };
                        let of = open.iter().rev().flatten().next().filter(|name| name.starts_with("impl "));
                        let of = of.map_or(String::new(), |name| format!("{}::", type_of(name)));
                        (format!("{of}{}", next(ahead)), Count { functions: 1, ..Count::default() })
                    }
                    other => (format!("unsafe {other}"), Count { blocks: 1, ..Count::default() }),
                };
                found.entry(item).or_default().add(count);
            }
            _ => {}
        }
    }
    found
}

fn within(open: &[Option<String>]) -> String {
    open.iter().rev().flatten().next().cloned().unwrap_or_else(|| "the file".to_owned())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// `impl Send for RawNv12`, without generic parameters and paths.
fn header(tokens: &[&str]) -> String {
    let mut words = vec!["impl"];
    let mut depth = 0_usize;
    for token in tokens.iter().skip(1) {
        match *token {
            "{" | "where" => break,
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            // Of a path, the last part.
            ":" if words.last().is_some_and(|word| !["for", "impl"].contains(word)) => drop(words.pop()),
            word if depth == 0 && is_name(word) => words.push(word),
            _ => {}
        }
    }
    words.join(" ")
}

/// The type of `impl Send for RawNv12` or `impl RawNv12`.
fn type_of(header: &str) -> &str {
    header.rsplit(' ').next().unwrap_or(header)
}

/// Names and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(String, String)> {
        inventory(&code_only(source)).into_iter().map(|(item, count)| (item, count.to_string())).collect()
    }

    fn pair(item: &str, count: &str) -> (String, String) {
        (item.to_owned(), count.to_owned())
    }

    // The word is put in later, so that this file does not find itself in its own strings when they are looked at.
    fn with_word(source: &str) -> String {
        source.replace("RISKY", "unsafe")
    }

    #[test]
    fn each_unsafe_is_counted_under_the_item_around_it() {
        let source = with_word(
            "RISKY extern \"C\" { fn c(); }\n\
             impl<'m> a::Map<'m> {\n fn get(&self) -> [u8; 2] { let f = |x| RISKY { x }; RISKY { f(1) } }\n \
             pub(super) RISKY extern \"C\" fn back(p: *mut u8) { RISKY { *p } }\n}\n\
             RISKY impl Send for Map<'_> {}\n\
             macro_rules! field { ($a:expr) => {{ RISKY { $a } }}; }\n\
             RISKY fn free() {}\nstruct Table { f: RISKY fn(*const u8) }\n\
             #[RISKY(no_mangle)]\npub extern \"C\" fn named() {}\n\
             #[RISKY(no_mangle)]\npub RISKY extern \"C\" fn called(f: RISKY extern \"C\" fn(x: u8), g: RISKY fn()) {}\n",
        );
        assert_eq!(
            found(&source),
            [
                pair(&with_word("#[RISKY(no_mangle)]"), "2 attributes"),
                pair("Map::back", "1 fn, 1 block"),
                pair("Map::get", "2 blocks"),
                pair("called", "1 fn"),
                pair("extern", "1 extern"),
                pair("field!", "1 block"),
                pair("free", "1 fn"),
                pair("impl Send for Map", "1 impl"),
            ]
        );
    }

    #[test]
    fn words_in_comments_strings_and_characters_are_no_code() {
        let source = with_word(
            "// RISKY { }\n/* RISKY /* { */ RISKY { */ fn f<'a>(x: &'a str) -> char {\n let _ = \"RISKY { \\\" {\";\n \
             let _ = r#\"RISKY \" { \"#; let _ = ['{', '\\'', '\\u{7b}']; '}' }\n#![allow(RISKY_code)]\nfn g() { RISKY { h() } }",
        );
        assert_eq!(found(&source), [pair("g", "1 block")]);
    }

    #[test]
    fn what_is_not_listed_and_what_is_listed_wrongly_is_told() {
        let document = "### `a.rs`\n\n| item | unsafe | what | test |\n|---|---|---|---|\n\
                        | `f`, `g` | 2 blocks | x | `a_test_with_many_words` |\n\
                        | `gone` | 1 block | x | none: it is gone |\n| `h` | 1 fn | x | no idea |\n";
        let (rows, problems) = rows(document);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("`h` of a.rs has no test"), "{problems:?}");
        let key = |item: &str| ("a.rs".to_owned(), item.to_owned());
        let one = Count { blocks: 1, ..Count::default() };
        let found = BTreeMap::from([
            (key("f"), one),
            (key("g"), Count { blocks: 2, ..one }),
            (key("h"), Count { blocks: 0, functions: 1, ..one }),
            (key("new"), one),
        ]);
        let problems = compare(&found, &rows);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems[0].contains("says 2 blocks for f, g of a.rs, and there is 3 blocks"),
            "{problems:?}"
        );
        assert!(problems[1].contains("lists gone of a.rs"), "{problems:?}");
        assert!(problems[2].contains("a.rs: new has 1 block"), "{problems:?}");
    }

    #[test]
    fn names_that_no_test_bears_are_told() {
        let names = Names {
            tests: tests("#[test]\nfn a_test_that_is_there() {}\n#[test]\n#[ignore]\npub fn b_test_that_is(x in 0..1) {}")
                .into_iter()
                .collect(),
            torture: "name: \"kill-server\"".to_owned(),
            model: "\"fence_3_left_out\" \"none_of_them_is_mixed\"".to_owned(),
        };
        let lacking = names.lacking(
            "`a_test_that_is_there`, `m::b_test_that_is`, `O_NOFOLLOW`, `is_attached`, `x_test_that_is_gone`, \
             `mutant::fence_3_left_out_is_caught`, \
             `none_of_them_is_mixed`, `cargo xtask torture --scenario kill-server`, `--scenario no-such --seconds 5`, `cargo xtask fuzz --target pair`, `--target NAME`",
        );
        assert_eq!(
            lacking,
            ["the test x_test_that_is_gone, which is not there", "`--scenario no-such`, which is not there"]
        );
    }
}
