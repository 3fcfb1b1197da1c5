//! `vas-frames top` as a user sees it: in a real terminal (tmux's), through keys and signals, and as text without one.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use vas_e2e::clips::clip;
use vas_e2e::process::{Process, program};
use vas_e2e::reader::{self, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, clean, file_camera};
use vas_e2e::{Lacking, require, until};

/// A terminal of tmux's, 100 by 30 characters, in which a shell runs `vas-frames top`.
struct Terminal {
    socket: PathBuf,
    folder: PathBuf,
}

impl Terminal {
    fn start(scene: &Scene, words: &str) -> Result<Self, Lacking> {
        if Command::new("tmux").arg("-V").output().is_err() {
            return Err("the tmux program is not installed (Debian: apt-get install tmux)".into());
        }
        let folder = scene.files().to_owned();
        let terminal = Self { socket: folder.join("tmux"), folder };
        // The shell says what the terminal is like before and after, and waits to be ended.
        let script = format!(
            "cd '{}'; stty -g > before; sh -c 'echo $$ > pid; exec \"{}\" top {words}'; echo \"code $?\" > code; stty -g > after; echo done; cat",
            terminal.folder.display(),
            program("vas-frames").display()
        );
        let mut command = clean(Command::new("tmux"), scene);
        command.arg("-S").arg(&terminal.socket).args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
        ]);
        // Its raw output, which tmux itself would not show.
        command.arg(script).args([
            ";",
            "pipe-pane",
            &format!("cat > '{}'", terminal.folder.join("raw").display()),
        ]);
        let ended = command.env("TERM", "xterm-256color").output().expect("tmux starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output =
            Command::new("tmux").arg("-S").arg(&self.socket).args(words).output().expect("tmux starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted; gives it.
    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        until(what, || Some(self.screen()).filter(|screen| wanted(screen)))
    }

    fn press(&self, key: &str) {
        let _ = self.tmux(&["send-keys", key]);
    }

    fn file(&self, name: &str) -> String {
        until(&format!("the file {name}"), || {
            std::fs::read_to_string(self.folder.join(name)).ok().filter(|text| text.ends_with('\n'))
        })
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("raw")).unwrap_or_default()).into_owned()
    }

    /// The exit code; the terminal is then as it was before.
    #[track_caller]
    fn end(&self) -> String {
        let code = self.file("code");
        assert_eq!(self.file("before"), self.file("after"), "what stty says");
        let screen = self.until("the shell goes on", |screen| screen.contains("done"));
        assert!(!screen.contains("CAMERA"), "the table is gone with its screen: {screen}");
        let state = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(state.trim(), "0 1", "the first screen is back, with its cursor");
        code.trim().trim_start_matches("code ").to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn server(scene: &Scene) -> Result<Server, Lacking> {
    let (front, yard) = (clip("bikes.mp4")?, clip("yard.mp4")?);
    Ok(Server::start(scene, &(file_camera("front", &front, true) + &file_camera("yard", &yard, true))))
}

#[test]
fn a_terminal_shows_the_table_then_one_camera_with_its_picture_and_q_gives_it_back() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let terminal = require!(Terminal::start(&scene, "--picture auto --interval 0.2"));
    let screen = terminal.until("both cameras are live", |screen| screen.matches(" live ").count() == 2);
    assert!(screen.contains(": 2 of 2 cameras live, ") || screen.contains("CAMERA"), "{screen}");
    assert!(screen.contains("640x272") && screen.contains("320x240"), "{screen}");

    terminal.press("Down");
    terminal.press("Enter");
    let screen = terminal.until("the picture of the second", |screen| {
        screen.contains('\u{2580}') && screen.contains("esc back")
    });
    assert!(screen.starts_with("yard  live"), "{screen}");
    // 4 to 3, in 25 lines of two pixels a character.
    assert!(screen.lines().filter(|line| line.contains('\u{2580}')).count() == 25, "{screen}");
    terminal.press("Up");
    let _ = terminal.until("the picture of the first", |screen| {
        screen.starts_with("front  live") && screen.contains('\u{2580}')
    });
    terminal.press("Escape");
    let _ =
        terminal.until("the table again", |screen| screen.contains("CAMERA") && !screen.contains('\u{2580}'));
    terminal.press("q");
    assert_eq!(terminal.end(), "0");
    server.stop_well();
}

#[test]
fn a_signal_ends_it_as_a_signal_does_and_the_terminal_is_given_back() {
    for (signal, code) in [("TERM", "143"), ("INT", "130"), ("HUP", "129"), ("QUIT", "131")] {
        let scene = Scene::new();
        let terminal = require!(Terminal::start(&scene, ""));
        let _ = terminal.until("it is drawn", |screen| screen.contains("CAMERA"));
        let killed = Command::new("kill").args([&format!("-{signal}"), terminal.file("pid").trim()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        assert_eq!(terminal.end(), code, "SIG{signal}");
    }
}

#[test]
fn control_c_ends_it_as_everywhere() {
    let scene = Scene::new();
    let terminal = require!(Terminal::start(&scene, ""));
    let _ = terminal.until("it is drawn", |screen| screen.contains("CAMERA"));
    terminal.press("C-c");
    assert_eq!(terminal.end(), "130");
}

#[test]
fn a_terminal_that_closes_ends_it() {
    let scene = Scene::new();
    let terminal = require!(Terminal::start(&scene, ""));
    let _ = terminal.until("it is drawn", |screen| screen.contains("CAMERA"));
    let process = terminal.file("pid").trim().to_owned();
    drop(terminal);
    until_ended(&process);
}

fn until_ended(process: &str) {
    until("the process ends", || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn graphics_of_kitty_and_sixel_are_sent_where_they_are_chosen() {
    for (means, begin) in [("kitty", "\x1b_Ga=T,f=24,s="), ("sixel", "\x1bPq\"1;1;")] {
        let scene = Scene::new();
        let server = require!(server(&scene));
        let terminal = require!(Terminal::start(&scene, &format!("--picture {means}")));
        let _ = terminal.until("a camera is live", |screen| screen.contains(" live "));
        terminal.press("Enter");
        until(&format!("a picture by {means}"), || terminal.raw().contains(begin).then_some(()));
        terminal.press("q");
        assert_eq!(terminal.end(), "0");
        server.stop_well();
    }
}

/// What takes a picture of these graphics off the screen again.
const TAKEN_AWAY: [(&str, &str); 2] = [("kitty", "\x1b_Ga=d,d=I,i="), ("sixel", "\x1b[2J")];

#[test]
fn a_picture_does_not_stay_under_the_name_of_a_camera_that_has_none() {
    for (means, taken_away) in TAKEN_AWAY {
        let begin = if means == "kitty" { "\x1b_Ga=T," } else { "\x1bPq" };
        let scene = Scene::new();
        let server = require!(server(&scene));
        let terminal = require!(Terminal::start(&scene, &format!("--picture {means} --interval 0.2")));
        let _ = terminal.until("both cameras are live", |screen| screen.matches(" live ").count() == 2);
        std::fs::create_dir(scene.base().join("gate")).expect("a camera without files");
        let _ = terminal.until("the third waits", |screen| screen.contains("gate"));
        terminal.press("Enter");
        let _ = terminal.until("the first", |screen| screen.starts_with("front  live"));
        until(&format!("a picture by {means}"), || terminal.raw().contains(begin).then_some(()));
        terminal.press("Down");
        let _ = terminal.until("the one without a picture", |screen| screen.starts_with("gate  waiting"));
        until("the picture is taken away", || {
            let raw = terminal.raw();
            let last = raw.rfind(begin).expect("a picture");
            raw[last..].contains(taken_away).then_some(())
        });
        terminal.press("q");
        assert_eq!(terminal.end(), "0");
        server.stop_well();
    }
}

#[test]
fn a_picture_of_another_size_does_not_stand_on_what_is_left_of_the_one_before() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let terminal = require!(Terminal::start(&scene, "--picture sixel --interval 0.2"));
    let _ = terminal.until("both cameras are live", |screen| screen.matches(" live ").count() == 2);
    terminal.press("Enter");
    until("a picture of the wide one", || terminal.raw().contains("\x1bPq\"1;1;640;272").then_some(()));
    terminal.press("Down");
    let narrow = "\x1bPq\"1;1;320;240";
    let raw = until("one of the narrow one", || Some(terminal.raw()).filter(|raw| raw.contains(narrow)));
    let before = raw.find(narrow).expect("it is there");
    let wide = raw[..before].rfind("\x1bPq\"1;1;640;272").expect("it was there");
    assert!(raw[wide..before].contains("\x1b[2J"), "the screen was cleared between them");
    terminal.press("q");
    assert_eq!(terminal.end(), "0");
    server.stop_well();
}

#[test]
fn the_camera_that_is_shown_stays_the_same_when_others_come_and_when_it_goes_itself() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let terminal = require!(Terminal::start(&scene, "--picture none --interval 0.2"));
    let _ = terminal.until("both cameras are live", |screen| screen.matches(" live ").count() == 2);
    let folder = scene.base().join("gate");
    std::fs::create_dir(&folder).expect("a camera without files");
    let _ = terminal.until("the third waits", |screen| screen.contains("gate"));
    terminal.press("Down");
    terminal.press("Enter");
    let _ = terminal.until("the second", |screen| screen.starts_with("gate  waiting"));
    // One before it comes, and it goes.
    let before = scene.base().join("attic");
    std::fs::create_dir(&before).expect("a camera before it");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let screen = terminal.screen();
    assert!(screen.starts_with("gate  waiting"), "{screen}");
    std::fs::remove_dir(&folder).expect("it goes");
    let _ = terminal.until("it is gone", |screen| screen.starts_with("gate  gone"));
    std::fs::create_dir(&folder).expect("it comes back");
    let _ = terminal.until("it is back", |screen| screen.starts_with("gate  waiting"));
    // The neighbours are those of now.
    terminal.press("Up");
    let _ = terminal.until("the one before", |screen| screen.starts_with("front  live"));
    terminal.press("Up");
    let _ = terminal.until("the new one", |screen| screen.starts_with("attic  waiting"));
    terminal.press("q");
    assert_eq!(terminal.end(), "0");
    server.stop_well();
}

/// Tmux's server, stopped: it takes nothing from its terminal, until this is dropped.
struct Stopped(String);

impl Stopped {
    fn new(terminal: &Terminal) -> Self {
        let stopped = Self(terminal.tmux(&["display-message", "-p", "#{pid}"]).trim().to_owned());
        signal(&stopped.0, "STOP");
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(&self.0, "CONT");
    }
}

fn signal(process: &str, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), process]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{signal} to {process}");
}

#[test]
fn a_signal_ends_it_also_where_the_terminal_takes_no_bytes() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let terminal = require!(Terminal::start(&scene, "--picture kitty"));
    let _ = terminal.until("a camera is live", |screen| screen.contains(" live "));
    terminal.press("Enter");
    until("a picture", || terminal.raw().contains("\x1b_Ga=T,").then_some(()));
    let process = terminal.file("pid").trim().to_owned();
    let stopped = Stopped::new(&terminal);
    // A picture is more than the terminal's buffer holds: it waits in its write.
    let written = || {
        let counts = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
        counts.lines().find(|line| line.starts_with("wchar")).map(str::to_owned)
    };
    until("it is caught in its terminal", || {
        let before = written();
        std::thread::sleep(std::time::Duration::from_secs(1));
        (before == written()).then_some(())
    });
    signal(&process, "TERM");
    until_ended(&process);
    // The shell has a word to say of it before it goes on.
    drop(stopped);
    assert_eq!(terminal.file("code").trim(), "code 143");
    assert_eq!(terminal.file("before"), terminal.file("after"), "what stty says");
    server.stop_well();
}

#[test]
fn a_base_directory_that_comes_later_is_waited_for() {
    let scene = Scene::new();
    let terminal = require!(Terminal::start(&scene, "--interval 0.2"));
    let _ = terminal.until("no camera is there", |screen| screen.contains("0 of 0 cameras live"));
    let server = require!(server(&scene));
    let _ = terminal.until("both are", |screen| screen.contains("2 of 2 cameras live"));
    server.stop_well();
    let _ = terminal.until("they are waited for", |screen| {
        screen.matches(" waiting ").count() == 2 || screen.contains("0 of 0")
    });
    terminal.press("q");
    assert_eq!(terminal.end(), "0");
}

#[test]
fn without_a_terminal_the_table_is_text_and_a_reader_is_counted() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let mut watch = Watch::start(&scene, "yard");
    let _ = watch.frame();
    let ended = reader::run(&scene, &["top", "--count", "2", "--interval", "1.5"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let tables: Vec<&str> = ended.stdout.split("\n\n").collect();
    assert_eq!(tables.len(), 2, "{}", ended.stdout);
    let lines: Vec<&str> = tables[1].lines().collect();
    assert!(lines[0].starts_with("CAMERA  STATE  PICTURE"), "{}", ended.stdout);
    assert!(lines[1].starts_with("front   live   640x272"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'));
    // Whether there may be more depends on what this machine lets its user see.
    assert!(lines[2].split("  ").any(|cell| ["1", "1+"].contains(&cell.trim())), "{}", ended.stdout);
    server.stop_well();
}

#[test]
fn json_is_an_object_a_line_for_every_interval() {
    let scene = Scene::new();
    let server = require!(server(&scene));
    let mut watch = Watch::start(&scene, "front");
    let _ = watch.frame();
    let ended = Process::run(
        "top",
        &mut reader::command(&scene, &["top", "--json", "--count", "2", "--interval", "1"]),
    );
    let moments: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(moments.len(), 2, "{}", ended.stdout);
    let front = &moments[1]["cameras"][0];
    assert_eq!((front["camera"].as_str(), front["state"].as_str()), (Some("front"), Some("live")));
    assert!(front["frames"].as_u64() > moments[0]["cameras"][0]["frames"].as_u64(), "{front}");
    assert_eq!(front["readers"], 1, "{front}");
    assert!(front["fps"].is_f64() && front["jitter_ms"].is_number() && front["age_ms"].is_f64(), "{front}");
    server.stop_well();
}
