//! What shells and man(1) get, read by bash and groff themselves.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What `vas-frames --help` lists.
fn verbs() -> Vec<String> {
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    let (_, rest) = text.split_once("Commands:\n").expect("a list of verbs");
    let lines = rest.lines().take_while(|line| !line.trim().is_empty());
    // A verb begins its line; what is said of it may go on in the next.
    let verbs = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    verbs.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-frames"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn bash(script: &str) -> String {
    let output = Command::new("bash").args(["--norc", "-c", script]).output().expect("bash starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What bash offers for the last of these words.
fn completed(script: &Path, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let asked = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={last}; function=$(complete -p vas-frames | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
         compopt() {{ :; }}; \"$function\" vas-frames \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        last - 1
    );
    bash(&asked).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_and_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("vas-frames.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).expect("written");
    assert_eq!(bash(&format!("bash -n '{}'", script.display())), "");
    assert_eq!(completed(&script, &["vas-frames", "doc"]), ["doctor"]);
    let offered = completed(&script, &["vas-frames", ""]);
    let verbs = verbs();
    assert!(verbs.len() >= 9, "{verbs:?}");
    for verb in verbs {
        assert!(offered.contains(&verb), "{verb}: {offered:?}");
    }
    assert_eq!(completed(&script, &["vas-frames", "watch", "--ti"]), ["--timeout"]);
    assert_eq!(completed(&script, &["vas-frames", "pipe", "--format", "n"]), ["nv12"]);
}

#[test]
fn zsh_and_fish_get_their_own() {
    for (shell, first) in [("zsh", "#compdef vas-frames"), ("fish", "complete -c vas-frames")] {
        let text = String::from_utf8(run(&["completions", shell]).stdout).expect("UTF-8");
        assert!(text.contains(first) && text.contains("doctor"), "{shell}: {text}");
    }
}

/// What groff says of a page, with every warning that it has.
fn warnings(page: &Path) -> Option<String> {
    let groff = Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(page).output().ok()?;
    Some(String::from_utf8_lossy(&groff.stderr).into_owned())
}

#[test]
fn there_is_a_page_for_each_verb_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(&["man", &folder.path().to_string_lossy()]).stdout.is_empty());
    let mut pages = vec!["vas-frames.1".to_owned()];
    // Of `help` there is nothing to say.
    pages.extend(verbs().iter().filter(|verb| *verb != "help").map(|verb| format!("vas-frames-{verb}.1")));
    for page in &pages {
        let path = folder.path().join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
        let Some(warnings) = warnings(&path) else {
            vas_test_support::skipped("groff is not installed (Debian: apt-get install groff)");
            return;
        };
        assert_eq!(warnings, "", "{page}");
    }
    assert!(run(&["man"]).stdout.starts_with(b".ie"), "the program's own page is printed");
}

#[test]
fn a_folder_that_is_not_there_is_one_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_vas-frames")).args(["man", "/no/such/folder"]).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "vas-frames: write /no/such/folder: No such file or directory (os error 2)\n");
}
