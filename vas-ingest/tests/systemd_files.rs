//! The unit, the users and the base directory of dist/, held to the program and to what systemd makes of them.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The values of a key of the unit, each time that it is there.
fn all(key: &str) -> Vec<String> {
    let unit = read(&dist("vas-ingest.service"));
    let settings = unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    settings.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
}

/// The value of a key that is there once.
fn one(key: &str) -> String {
    let values = all(key);
    assert_eq!(values.len(), 1, "{key}={values:?}");
    values.into_iter().next().unwrap()
}

/// The lines of a file of tmpfiles.d or sysusers.d, in words.
fn lines(name: &str) -> Vec<Vec<String>> {
    let text = read(&dist(name));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-ingest"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("VAS_") || text.starts_with("AI_FRAME_") || text.ends_with("_DIRECTORY") {
            command.env_remove(&name);
        }
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `print-config` of one camera, `front`, with these variables.
fn printed(variables: &[(&str, &Path)]) -> String {
    let mut command = program();
    command.args(["print-config", "--camera", "front=rtsp://127.0.0.1/s"]);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A program of systemd's; None, and the reason on stderr, if it cannot be started.
fn systemd(command: &mut Command) -> Option<Output> {
    let output = command.stdin(Stdio::null()).output();
    let why = |error| format!("{} cannot be started: {error}", command.get_program().display());
    output.map_err(|error| vas_test_support::skipped(&why(error))).ok()
}

#[test]
fn the_commands_of_the_unit_are_ones_that_the_program_takes() {
    let config = "/etc/vas/vas.toml";
    let manual = read(&dist("../../docs/operating.md"));
    for key in ["ExecStart", "ExecReload"] {
        let line = one(key);
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("/usr/bin/vas-ingest"));
        let mut arguments: Vec<&str> = words.collect();
        // Understood to the last word, they name a file that is not there.
        let place =
            arguments.iter().position(|word| *word == config).expect("the file that the manual installs");
        arguments[place] = "/nonexistent/vas.toml";
        let once = || program().args(&arguments).output().unwrap();
        // Its last words are lost where it gets no processor for longer than its end may take.
        let mut output = once();
        for _ in 0..4 {
            if output.stderr.is_empty() {
                output = once();
            }
        }
        assert_eq!(output.status.code(), Some(2), "{line}");
        let sentence = "vas-ingest: read the configuration /nonexistent/vas.toml: No such file";
        assert!(text(&output.stderr).starts_with(sentence), "{line}: {}", text(&output.stderr));
    }
    assert!(manual.contains(&format!(" vas.toml {config}\n")), "the manual installs it elsewhere");
}

#[test]
fn no_restart_follows_the_exit_codes_that_no_restart_puts_right_and_any_other() {
    // By their names in the program: what they are is tried elsewhere, and told by --help.
    let main = read(&dist("../src/main.rs"));
    let codes = main.lines().filter_map(|line| line.strip_prefix("const EXIT_")?.split_once(": u8 = "));
    let codes: Vec<(&str, &str)> = codes.map(|(name, code)| (name, code.trim_end_matches(';'))).collect();
    assert!(codes.len() >= 6, "the exit codes are elsewhere: {codes:?}");
    let is_lasting = |name: &&str| ["USAGE", "ANOTHER_RUNS"].contains(name);
    let lasting: BTreeSet<&str> =
        codes.iter().filter(|(name, _)| is_lasting(name)).map(|(_, code)| *code).collect();
    let prevent = one("RestartPreventExitStatus");
    assert_eq!(prevent.split_whitespace().collect::<BTreeSet<_>>(), lasting);
    assert_eq!((one("Restart").as_str(), one("StartLimitIntervalSec").as_str()), ("on-failure", "0"));
    // Waited for by systemd, and sent by the program (tests/running/notify.rs).
    assert_eq!(one("Type"), "notify");
}

#[test]
fn its_directories_and_variables_are_those_that_the_program_looks_for() {
    let runtime = format!("/run/{}", one("RuntimeDirectory"));
    let status_file = vas_ingest::status_file::DEFAULT_FILE;
    assert_eq!(Path::new(status_file).parent(), Some(Path::new(&runtime)));
    // Whoever is in the server's group may look, which is what the file's own mode says too.
    assert_eq!(one("RuntimeDirectoryMode"), "0750");
    let found = printed(&[("RUNTIME_DIRECTORY", Path::new(&runtime))]);
    assert!(found.contains(&format!("\nstatus_file = {status_file:?} ")), "{found}");

    // The export is on, in the directory that tmpfiles.d makes.
    let (name, value) =
        one("Environment").split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
    assert_eq!(name, vas_ingest::config::EXPORT_ENABLED_VARIABLE);
    let found = printed(&[(&name, Path::new(&value))]);
    let base = &lines("vas.tmpfiles")[0][1];
    assert!(found.contains("\nenabled = true ") && found.contains(&format!("\nbase = {base:?} ")), "{found}");

    // What the unit's comments offer for passwords.
    let unit = read(&dist("vas-ingest.service"));
    let offered = |begin: &str| -> String {
        let rest = unit.split(begin).nth(1).unwrap_or_else(|| panic!("no {begin}"));
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    };
    let credentials = tempfile::tempdir().unwrap();
    let credential = offered("#LoadCredential=");
    std::fs::write(credentials.path().join(&credential), "hunter2\n").unwrap();
    let found = printed(&[("CREDENTIALS_DIRECTORY", credentials.path())]);
    assert!(found.contains(&format!("# password: not shown; the credential {credential}")), "{found}");
    let variable = offered("file of variables (");
    let found = printed(&[(&variable, Path::new("hunter2"))]);
    assert!(found.contains(&format!("# password: not shown; {variable}")), "{found}");
}

#[test]
fn systemd_knows_every_key_of_the_unit_and_understands_its_value() {
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("vas-ingest.service");
    // Where the program is on this machine: systemd looks whether it can be started.
    let here =
        read(&dist("vas-ingest.service")).replace("/usr/bin/vas-ingest", env!("CARGO_BIN_EXE_vas-ingest"));
    std::fs::write(&unit, here).unwrap();
    let Some(output) = systemd(Command::new("systemd-analyze").arg("verify").arg(&unit)) else { return };
    // Of other units, of which this machine may have some, it speaks too.
    let said = text(&output.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("vas-ingest")).collect();
    assert!(output.status.success() && about_it.is_empty(), "{said}");
}

#[test]
fn the_users_and_the_base_directory_are_there_once_systemd_has_made_them() {
    let root = tempfile::tempdir().unwrap();
    for name in ["etc", "dev/shm"] {
        std::fs::create_dir_all(root.path().join(name)).unwrap();
    }
    // With --root, it looks for files of that name in there.
    let inside = root.path().join("usr/lib/sysusers.d");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::copy(dist("vas.sysusers"), inside.join("vas.conf")).unwrap();
    let mut users = Command::new("systemd-sysusers");
    let Some(output) = systemd(users.arg("--root").arg(root.path()).arg("vas.conf")) else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let entries = |name: &str| -> Vec<Vec<String>> {
        let text = read(&root.path().join("etc").join(name));
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let (people, groups) = (entries("passwd"), entries("group"));
    let (user, tmpfiles) = (one("User"), &lines("vas.tmpfiles")[0]);
    let [kind, base, mode, owner, group, ..] = tmpfiles.as_slice() else { panic!("{tmpfiles:?}") };
    assert_eq!((kind.as_str(), owner), ("d", &user));
    let server = people.iter().find(|entry| entry[0] == user).expect("the unit's user");
    let readers = groups.iter().find(|entry| entry[0] == *group).expect("the group of the base directory");
    assert_eq!(readers[3], user, "the server's user is in the readers' group");
    // The configuration is the group's to read that has the user's name.
    assert!(groups.iter().any(|entry| entry[0] == user && entry[2] == server[3]), "{groups:?}");
    // What is aged is aged file by file: the second line keeps all of it.
    assert_eq!(lines("vas.tmpfiles")[1], ["x", base.as_str()]);

    if !rustix::process::geteuid().is_root() {
        return vas_test_support::skipped("needs root to give a directory to a user");
    }
    let inside = root.path().join("usr/lib/tmpfiles.d");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::copy(dist("vas.tmpfiles"), inside.join("vas.conf")).unwrap();
    let mut files = Command::new("systemd-tmpfiles");
    let Some(output) = systemd(files.arg("--create").arg("--root").arg(root.path()).arg("vas.conf")) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made = std::fs::metadata(root.path().join(base.trim_start_matches('/'))).unwrap();
    assert_eq!(format!("{:o}", made.permissions().mode() & 0o7777), *mode);
    assert_eq!(mode, "2750", "as docs/operating.md has it, and as the server would make it");
    let ids = [made.uid(), made.gid()].map(|id| id.to_string());
    assert_eq!(ids, [server[2].clone(), readers[2].clone()]);
}
