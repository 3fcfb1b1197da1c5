//! `cargo xtask layout rehearse`: each rule is broken once, and a version 2 is appended as it should be, all on a copy.
//!
//! docs/testing.md has an edit of layout.rs for each rule, or of the file that stands beside the rule. `layout check` of the edited
//! copy has to fail and to name that rule first. Then version 1 counts as released in the copy, the golden table is edited to fit,
//! and the rule has to be named all the same, from what git has.
//!
//! The version 2 is that of PROTOCOL.md, section 13; `tests/interop/version-2.edits` appends it. It has to pass the check and
//! the tests of vas-shm-proto, and what its writer writes has to be read by the readers of this workspace, as they are.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::changelog::{self, DIGEST, HEADING, NOT_RELEASED, digest_of};
use super::copy::Copy;
use super::git::TAG;
use super::golden_name;
use super::rules::Rule;
use crate::failure::{Context, Failure, Outcome};
use crate::leftovers::SHARED_MEMORY;
use crate::process::Process;
use crate::workspace::Workspace;
use crate::{run, ui};

const LAYOUT: &str = "vas-shm-proto/src/layout.rs";
const EDITS: &str = "docs/testing.md";
/// A branch of the copy, whose commit is the release when there is one.
const RELEASE: &str = "release";
/// What stands before the rows of the table in [`EDITS`].
const TABLE: &str = "| rule | in layout.rs, replace | by |";
const VERSION_2: &str = "tests/interop/version-2.edits";

/// How long the writer of version 2 gets until its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(60);
/// What every reader has to accept, and how long it may take.
const PICTURES: u64 = 1000;
const TORN: u64 = 1;
const READER_SECONDS: u64 = 300;
/// A reader that does not stop by itself is stopped this much later.
const READER_GRACE: Duration = Duration::from_secs(60);

/// One edit of the table.
#[derive(Debug, PartialEq, Eq)]
struct Edit {
    rule: Rule,
    file: String,
    old: String,
    new: String,
}

impl Edit {
    /// Whether the rule is about what was released, and has nothing to say before.
    fn is_about_releases(&self) -> bool {
        matches!(self.rule, Rule::ReleasedTableNoEdit | Rule::ReleasedTextNoEdit)
    }
}

/// Rehearses all of it. Continuous integration names a directory in shared memory for what this run makes there.
pub(crate) fn command(workspace: &Workspace, ci: Option<&Path>) -> Outcome {
    let started = Instant::now();
    ui::stage("A copy of this workspace to edit");
    let path = workspace.root.join(EDITS);
    let text = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let edits = edits(&text)?;
    let copy = Copy::make(workspace)?;
    ui::note(&format!("{}", copy.workspace.root.display()));
    release_version_1(&copy)?;
    run::behind_ticker("build its xtask", copy.cargo().args(["build", "--locked", "--package", "xtask"]))?;

    ui::stage("Every rule, broken once");
    let mut failed = Vec::new();
    for edit in &edits {
        match broken(&copy, edit) {
            Ok(how) => ui::good(&format!("{:<26} {how}", edit.rule.name())),
            Err(failure) => {
                ui::bad(&format!("{:<26} {failure}", edit.rule.name()));
                failed.push(edit.rule.name());
            }
        }
    }
    copy.restore()?;
    if !failed.is_empty() {
        return Err(Failure::new(format!("the rehearsal failed for {}", failed.join(", "))));
    }

    ui::stage("A version 2, appended as it should be");
    append_version_2(&copy)?;
    let told = read_by_version_1(workspace, &copy, ci.unwrap_or_else(|| Path::new(SHARED_MEMORY)))?;
    copy.restore()?;
    ui::stage("Result");
    println!("{} rules broken and named, version 2 appended and read by:", Rule::ALL.len());
    told.iter().for_each(|line| println!("  {line}"));
    ui::note(&format!("after {}", ui::elapsed(started.elapsed())));
    Ok(())
}

/// The edits of the table in a text: at least one for each rule.
fn edits(text: &str) -> Outcome<Vec<Edit>> {
    let wrong = |what: &str| Failure::new(format!("{EDITS}: {what}"));
    let (_, rows) =
        text.split_once(TABLE).ok_or_else(|| wrong(&format!("no table begins with `{TABLE}`")))?;
    let mut edits = Vec::new();
    for row in rows.lines().skip(2).take_while(|line| line.starts_with('|')) {
        // Cells are code; what stands in it may hold anything but a backtick.
        let cells: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let (rule, file, old, new) = match cells[..] {
            [rule, old, new] => (rule, LAYOUT, old, new),
            [rule, file, old, new] => (rule, file, old, new),
            _ => return Err(wrong(&format!("a row has to have three cells of code: {row}"))),
        };
        let rule = Rule::ALL
            .iter()
            .find(|known| known.name() == rule)
            .ok_or_else(|| wrong(&format!("no rule is called {rule}")))?;
        edits.push(Edit { rule: *rule, file: file.to_owned(), old: old.to_owned(), new: new.to_owned() });
    }
    for rule in Rule::ALL {
        if edits.iter().all(|edit| edit.rule != *rule) {
            return Err(wrong(&format!("{} has no row", rule.name())));
        }
    }
    Ok(edits)
}

/// One edit that is part of version 2.
#[derive(Debug, PartialEq, Eq)]
struct Replacement {
    file: String,
    old: String,
    new: String,
}

/// Reads the edits that append version 2.
fn replacements(text: &str) -> Outcome<Vec<Replacement>> {
    let mut file = None;
    let mut found: Vec<Replacement> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong =
            || Failure::new(format!("{VERSION_2}:{}: this line makes no sense here: {line}", index + 1));
        match (line.split_at_checked(2), line) {
            (_, "" | "#") => {}
            (_, "+") => found.last_mut().ok_or_else(wrong)?.new.push('\n'),
            (Some(("# ", _)), _) => {}
            (Some(("in", name)), _) => file = Some(name.trim().to_owned()),
            (Some(("- ", old)), _) => {
                let file = file.clone().ok_or_else(wrong)?;
                found.push(Replacement { file, old: old.to_owned(), new: String::new() });
            }
            (Some(("+ ", new)), _) => {
                let text = &mut found.last_mut().ok_or_else(wrong)?.new;
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(new);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(found)
}

/// Makes a commit in which version 1 is released. It lies on a branch of its own, so that the history of the copy has no release
/// until a tag is wanted.
fn release_version_1(copy: &Copy) -> Outcome {
    copy.commit("version 1, as it stands here")?;
    announce_version_1(copy)?;
    copy.commit("version 1, released")?;
    copy.git(&["branch", RELEASE])?;
    copy.git(&["reset", "--quiet", "--soft", "HEAD~1"])?;
    copy.restore()
}

/// The changelog says that version 1 is released.
fn announce_version_1(copy: &Copy) -> Outcome {
    let digest = digest_of(&copy.read(&golden_name(1))?);
    copy.edit(
        changelog::NAME,
        &format!("{HEADING}1: {NOT_RELEASED}"),
        &format!("{HEADING}1: released for a rehearsal, {DIGEST}{digest}"),
    )
}

fn tag_version_1(copy: &Copy) -> Outcome {
    copy.git(&["tag", "--force", &format!("{TAG}1"), RELEASE])?;
    Ok(())
}

/// Carries an edit out; both before and after a release `layout check` has to name the rule.
fn broken(copy: &Copy, edit: &Edit) -> Outcome<String> {
    copy.restore()?;
    let tag = format!("{TAG}1");
    if !copy.git(&["tag", "--list", &tag])?.is_empty() {
        copy.git(&["tag", "--delete", &tag])?;
    }
    copy.edit(&edit.file, &edit.old, &edit.new)?;
    copy.build_xtask()?;
    if !edit.is_about_releases() {
        let named = named_by_check(copy)?;
        if named.first() != Some(&edit.rule) {
            return Err(Failure::new(format!("has to be named first, named was: {}", names(&named))));
        }
    }

    let text = run::output(&mut copy.xtask(&["layout", "print"]))?;
    let version = text.lines().find_map(|line| line.strip_prefix("version")?.trim().parse().ok());
    let version = version.ok_or_else(|| Failure::new("`layout print` says no version"))?;
    announce_version_1(copy)?;
    tag_version_1(copy)?;
    if edit.rule == Rule::ReleasedTableNoEdit {
        fails(copy, "bless", "a released table is never written again")?;
    }
    copy.write(&golden_name(version), &text)?;
    let named = named_by_check(copy)?;
    if !named.contains(&edit.rule) {
        return Err(Failure::new(format!(
            "is not named when the golden table of a released version is edited with layout.rs; named was: {}",
            names(&named)
        )));
    }
    Ok(match edit.is_about_releases() {
        true => format!("named after a release, for {}", edit.file),
        false => "named first; named after a release too, with the golden table edited to fit".to_owned(),
    })
}

fn names(rules: &[Rule]) -> String {
    let names: Vec<_> = rules.iter().map(|rule| rule.name()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// What a command about the copy's layout says when it fails. It has to.
fn failing(copy: &Copy, verb: &str) -> Outcome<String> {
    let mut command = copy.xtask(&["layout", verb]);
    let output = command.stdin(Stdio::null()).output().context(|| "start the copy's xtask".to_owned())?;
    if output.status.success() {
        return Err(Failure::new(format!("`layout {verb}` passes")));
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A command about the copy's layout has to fail and to say these words.
fn fails(copy: &Copy, verb: &str, words: &str) -> Outcome {
    let said = failing(copy, verb)?;
    if said.contains(words) {
        return Ok(());
    }
    Err(Failure::new(format!("`layout {verb}` has to say `{words}`, it says: {}", said.trim())))
}

/// The rules that `layout check` of the copy names, in its order. It has to fail.
fn named_by_check(copy: &Copy) -> Outcome<Vec<Rule>> {
    let said = failing(copy, "check")?;
    let named = |line: &str| {
        let (name, _) = line.trim().split_once(": ")?;
        Rule::ALL.iter().find(|rule| rule.name() == name).copied()
    };
    let mut rules: Vec<Rule> = said.lines().filter_map(named).collect();
    if rules.is_empty() {
        return Err(Failure::new(format!("`layout check` fails without naming a rule: {}", said.trim())));
    }
    let mut seen = Vec::new();
    rules.retain(|rule| {
        !seen.contains(rule) && {
            seen.push(*rule);
            true
        }
    });
    Ok(rules)
}

/// Appends the imagined version to the copy, in which version 1 is released, and has it checked and tested there.
fn append_version_2(copy: &Copy) -> Outcome {
    announce_version_1(copy)?;
    let released = format!("{HEADING}1: ");
    copy.edit(changelog::NAME, &released, &format!("{HEADING}2: {NOT_RELEASED}\n\nImagined.\n\n{released}"))?;
    tag_version_1(copy)?;
    for Replacement { file, old, new } in replacements(&copy.read(VERSION_2)?)? {
        copy.edit(&file, &old, &new).map_err(|failure| Failure::new(format!("{VERSION_2}: {failure}")))?;
    }
    copy.build_xtask()?;
    fails(copy, "check", "v2.txt is not there: `cargo xtask layout bless` writes it")?;
    run::step(&mut copy.xtask(&["layout", "bless"]))?;
    run::step(&mut copy.xtask(&["generate"]))?;
    run::step(&mut copy.xtask(&["layout", "check"]))?;
    ui::good("version 2 passes the check, with version 1 released");
    generated_files_work(copy)?;

    // The bytes in the document are those of the version that is written: each run writes one part of them anew.
    let test = ["test", "--locked", "--package", "vas-shm-proto"];
    let mut bless = copy.cargo();
    bless.args(test).args(["--quiet", "--test", "layout_is_frozen"]).env("BLESS_PROTOCOL", "1");
    let parts = 3;
    (0..parts).any(|_| run::output(&mut bless).is_ok());
    run::behind_ticker("the tests of vas-shm-proto, in version 2", copy.cargo().args(test))?;
    ui::good("what the tests of vas-shm-proto say of version 1 holds for version 2");
    Ok(())
}

/// What is generated from version 2 compiles, with its own assertions about offsets and sizes, and is imported.
fn generated_files_work(copy: &Copy) -> Outcome {
    let root = &copy.workspace.root;
    match c_compiler() {
        Some(compiler) => {
            let mut compile = Command::new(compiler);
            compile.args(["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-include"]);
            compile.arg(root.join("bindings/c/include/vas_shm_layout.h")).args(["-x", "c", "/dev/null"]);
            run::output(&mut compile)?;
            ui::good("the C header of version 2 compiles");
        }
        None => ui::skipped("the C header of version 2: there is no C compiler"),
    }
    let mut import = Command::new("python3");
    import.args(["-c", "import vas_shm_layout as v; assert v.FIELDS['connected_ns'] == (768, 8, '<Q')"]);
    import.current_dir(root.join("bindings/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    if run::which("python3").is_some() {
        run::output(&mut import)?;
        ui::good("the constants for Python of version 2 are imported");
    } else {
        ui::skipped("the constants for Python of version 2: there is no python3");
    }
    Ok(())
}

fn c_compiler() -> Option<PathBuf> {
    ["cc", "gcc", "clang"].into_iter().find_map(run::which)
}

/// A server of version 2 writes, the readers of this workspace read; gives a line for each of them.
fn read_by_version_1(workspace: &Workspace, copy: &Copy, shared_memory: &Path) -> Outcome<Vec<String>> {
    let build = ["build", "--locked", "--package", "vas-e2e", "--bin"];
    run::behind_ticker("build the writer of version 2", copy.cargo().args(build).arg("vas-e2e-writer"))?;
    run::behind_ticker("build the reader of version 1", workspace.cargo().args(build).arg("vas-e2e-reader"))?;

    let folder = tempfile::Builder::new()
        .prefix("vas-rehearsal-")
        .tempdir_in(shared_memory)
        .context(|| format!("make a folder in {}", shared_memory.display()))?;
    let base = folder.path().join("vas");
    let mut command = Command::new(copy.program("vas-e2e-writer"));
    let mut writer = Process::start("vas-e2e-writer", command.arg(&base).args(["front", "3", "steady"]))?;
    let meta = base.join("front/frame.meta");
    let seen = run::wait_for(FIRST_FRAME, || {
        let ended = writer.ended().ok().flatten().is_some();
        Appended::in_file(&meta).filter(Appended::is_filled).or(ended.then_some(Appended::default()))
    });
    let seen = seen.unwrap_or_default();
    if !seen.is_filled() {
        let said: Vec<_> = writer.stderr.try_iter().collect();
        return Err(Failure::new(format!(
            "the writer of version 2 did not fill its fields in {FIRST_FRAME:?}: {} has {seen} ({})",
            meta.display(),
            said.join(" ")
        )));
    }
    ui::good(&format!("frame.meta of a camera of that writer has {seen}"));

    let target = &copy.workspace.target;
    let files = tempfile::tempdir_in(target).context(|| format!("make a folder in {}", target.display()))?;
    let mut told = Vec::new();
    for Reader { name, program, more } in readers(workspace, files.path())? {
        told.push(match program {
            Ok(mut command) => {
                command.arg(&base).arg("front").args([PICTURES, TORN].map(|number| number.to_string()));
                let counts = read(name, command.args(more).arg(READER_SECONDS.to_string()))?;
                ui::good(&format!("{name}: {counts}"));
                format!("{name:<8} {counts}")
            }
            Err(why) => {
                ui::skipped(&format!("{name}: {why}"));
                format!("{name:<8} SKIPPED: {why}")
            }
        });
    }
    let ended = writer.close()?;
    if !ended.success() {
        let said: Vec<_> = writer.stderr.try_iter().collect();
        return Err(Failure::new(format!("the writer of version 2 ended with {ended}: {}", said.join(" "))));
    }
    Ok(told)
}

/// What the edits append, as it stands in the file: read by this program, which knows nothing else of version 2.
#[derive(Default)]
struct Appended {
    version: u32,
    header_size: u32,
    bitrate_kbps: u32,
    slot_0_flags: u64,
    slot_0_camera_time_ns: u64,
    connected_ns: u64,
}

impl Appended {
    fn in_file(meta: &Path) -> Option<Self> {
        let file = File::open(meta).ok()?;
        let u32_at = |offset| {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, offset).ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        let u64_at = |offset| Some(u64::from(u32_at(offset)?) | u64::from(u32_at(offset + 4)?) << 32);
        Some(Self {
            version: u32_at(0)?,
            header_size: u32_at(4)?,
            bitrate_kbps: u32_at(128)?,
            slot_0_flags: u64_at(280)?,
            slot_0_camera_time_ns: u64_at(288)?,
            connected_ns: u64_at(768)?,
        })
    }

    /// Version 2, with a value at each of the three cursors, and the bit that says so of the frame's.
    fn is_filled(&self) -> bool {
        self.version == 2
            && self.header_size == 776
            && self.connected_ns != 0
            && self.bitrate_kbps != 0
            && self.slot_0_flags & 2 != 0
            && self.slot_0_camera_time_ns != 0
    }
}

impl fmt::Display for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, header_size, bitrate_kbps, slot_0_flags, slot_0_camera_time_ns, connected_ns } =
            self;
        write!(
            f,
            "version {version}, header_size {header_size}, bitrate_kbps {bitrate_kbps}, slot[0].flags {slot_0_flags}, \
             slot[0].camera_time_ns {slot_0_camera_time_ns}, connected_ns {connected_ns}"
        )
    }
}

/// A reader of version 1: of this workspace, not of the copy.
struct Reader {
    name: &'static str,
    /// Its program, or why it cannot run here.
    program: Result<Command, String>,
    /// What it wants to be told between the pictures that it is to meet and the time that it may take.
    more: &'static [&'static str],
}

/// The readers that read version 2; what is built for them goes into `folder`.
fn readers(workspace: &Workspace, folder: &Path) -> Outcome<Vec<Reader>> {
    let rust = Command::new(workspace.target.join("debug/vas-e2e-reader"));
    Ok(vec![
        Reader { name: "Rust", program: Ok(rust), more: &["1"] },
        Reader { name: "C", program: c_reader(workspace, folder)?, more: &[] },
        Reader { name: "Python", program: python_reader(workspace), more: &[] },
    ])
}

fn c_reader(workspace: &Workspace, folder: &Path) -> Outcome<Result<Command, String>> {
    let Some(compiler) = c_compiler() else {
        return Ok(Err("there is no C compiler".to_owned()));
    };
    let program = folder.join("live");
    let mut compile = Command::new(compiler);
    compile.args(["-std=c11", "-O2", "-I"]).arg(workspace.root.join("bindings/c/include"));
    compile.arg(workspace.root.join("tests/interop/c/live.c")).arg("-o").arg(&program);
    run::output(&mut compile)?;
    Ok(Ok(Command::new(program)))
}

fn python_reader(workspace: &Workspace) -> Result<Command, String> {
    if !cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        return Err("pure Python has no fences, so this reader is right on x86-64 only (READ-13)".to_owned());
    }
    if !run::succeeds("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]) {
        return Err("there is no python3 of version 3.9 or newer".to_owned());
    }
    let mut command = Command::new("python3");
    command.arg(workspace.root.join("tests/interop/python/live.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Runs a reader to its end; gives its counts, in which nothing torn may be.
fn read(name: &'static str, command: &mut Command) -> Outcome<String> {
    let mut reader = Process::start(name, command)?;
    let limit = Duration::from_secs(READER_SECONDS) + READER_GRACE;
    let ended = run::wait_for(limit, || reader.ended().transpose());
    let ended =
        ended.ok_or_else(|| Failure::new(format!("the reader in {name} still runs after {limit:?}")))??;
    // Both pipes are closed, so these end.
    let said: Vec<_> = reader.stdout.iter().collect();
    let problems: Vec<_> = reader.stderr.iter().collect();
    if !ended.success() {
        return Err(Failure::new(format!("the reader in {name} ended with {ended}: {}", problems.join(" "))));
    }
    let counts = counts(&said.join(" "));
    let count = |name: &str| counts.iter().find(|(other, _)| other == name).map(|(_, count)| *count);
    let shown: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let shown = shown.join(", ");
    if count("accepted_torn") != Some(0) || count("accepted").is_none_or(|accepted| accepted < PICTURES) {
        return Err(Failure::new(format!(
            "the reader in {name} has to accept {PICTURES} pictures of version 2 and no torn one: {shown}"
        )));
    }
    Ok(shown)
}

/// What a reader counted: JSON, or names and numbers with `=` between them.
fn counts(said: &str) -> Vec<(String, u64)> {
    match serde_json::from_str::<Value>(said) {
        Ok(Value::Object(counts)) => {
            counts.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
        }
        _ => said
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_one_edit_for_each_rule() {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", EDITS].iter().collect();
        let text = fs::read_to_string(path).unwrap();
        let edits = edits(&text).unwrap();
        for Edit { rule, file, old, new } in edits {
            let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", &file].iter().collect();
            let text = fs::read_to_string(path).unwrap();
            assert_eq!(text.matches(&old).count(), 1, "{}: {old}", rule.name());
            assert_ne!(old, new);
        }
    }

    #[test]
    fn a_table_that_lacks_a_rule_or_names_an_unknown_one_is_refused() {
        let failure =
            edits(&format!("{TABLE}\n|---|---|---|\n| `NO_SUCH_RULE` | `a` | `b` |\n")).unwrap_err();
        assert!(failure.sentence.contains("no rule is called NO_SUCH_RULE"), "{failure}");
        let failure = edits(&format!("{TABLE}\n|---|---|---|\n| `FIELD_NO_GAP` | `a` |\n")).unwrap_err();
        assert!(failure.sentence.contains("three cells of code"), "{failure}");
        let failure =
            edits(&format!("{TABLE}\n|---|---|---|\n| `FIELD_NO_GAP` | `a` | `b` |\n")).unwrap_err();
        assert!(failure.sentence.contains("has no row"), "{failure}");
    }

    #[test]
    fn the_edits_of_version_2_are_read_and_fit_the_sources() {
        let text = "# why\nin a.rs\n- old\n+ new\n+\n+   more\n\n- other\n+ one\n";
        let replacement =
            |old: &str, new: &str| Replacement { file: "a.rs".into(), old: old.into(), new: new.into() };
        assert_eq!(
            replacements(text).unwrap(),
            [replacement("old", "new\n\n  more"), replacement("other", "one")]
        );
        for text in ["- old\n", "in a.rs\n+ new\n", "in a.rs\nold\n"] {
            assert!(replacements(text).unwrap_err().sentence.contains("makes no sense here"), "{text}");
        }
        let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
        let edits = replacements(&fs::read_to_string(root.join(VERSION_2)).unwrap()).unwrap();
        for Replacement { file, old, .. } in edits {
            let source = fs::read_to_string(root.join(&file)).unwrap();
            assert_eq!(source.matches(&old).count(), 1, "{file}: {old}");
        }
    }

    #[test]
    fn counts_are_read_as_the_readers_write_them() {
        let expected = [("accepted".to_owned(), 7), ("refused".to_owned(), 1)];
        assert_eq!(counts("accepted=7 refused=1"), expected);
        assert_eq!(counts(r#"{"accepted":7,"refused":1}"#), expected);
    }
}
