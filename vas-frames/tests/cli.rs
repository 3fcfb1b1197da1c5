//! The program itself, on pairs of files made by hand. With a real server it is tested in `tests/e2e`.

mod pair;

use md5::{Digest, Md5};
use pair::Pair;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vas_shm_proto::{Color, ColorRange, FrameFlags, META_NAME, StreamFlags};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(60);

fn base() -> TempDir {
    tempfile::tempdir().expect("a base directory")
}

fn program(base: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vas-frames"));
    command.arg("--base").arg(base).env_remove("VAS_SHM_BASE").stdin(Stdio::null());
    command
}

fn run(base: &Path, arguments: &[&str]) -> Output {
    program(base).args(arguments).output().expect("the program starts")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// What an operator reads: one line, in the program's name, with no trace of a panic.
#[track_caller]
fn assert_fails(output: &Output, code: i32, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("vas-frames: ") && stderr.contains(part), "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    let last = stderr.trim_end().lines().last().expect("a sentence");
    assert!(last.starts_with("vas-frames: "), "{stderr}");
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

/// A program whose lines are read one by one, and that is killed if it outlives its test.
struct Lines {
    child: Child,
    lines: Receiver<String>,
}

impl Lines {
    fn of(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line for which `wanted` holds.
    #[track_caller]
    fn find(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("a line that is waited for");
            let value: Value = serde_json::from_str(&line).expect("JSON");
            if wanted(&value) {
                return value;
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it can be killed");
    panic!("the program did not end in time");
}

// Usage.

#[test]
fn a_bad_camera_id_is_one_sentence_and_exit_code_2() {
    let base = base();
    for verb in [&["inspect"][..], &["watch"], &["snapshot", "-o", "x.png"]] {
        for id in ["../x", "", ".hidden", "a/b"] {
            let output = run(base.path(), &[verb, &["--", id]].concat());
            assert_fails(&output, 2, "is no camera id: a camera id");
            assert_eq!(output.stderr.iter().filter(|&&byte| byte == b'\n').count(), 1);
        }
    }
}

#[test]
fn wrong_usage_is_one_sentence_and_exit_code_2() {
    let base = base();
    for (arguments, part) in [
        (&[][..], "a verb is missing"),
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["watch"], "required arguments were not provided: <CAMERA>"),
        (&["snapshot", "front"], "--output <FILE>"),
        (&["snapshot", "-o", "x.png"], "<CAMERA>"),
        (&["snapshot", "front", "--all", "-o", "x"], "cannot be used with"),
        (&["watch", "front", "--count", "0"], "invalid value '0' for '--count <N>'"),
        (&["watch", "front", "--timeout", "-1"], "a number of seconds above 0"),
        (&["watch", "front", "--timeout", "0"], "a number of seconds above 0"),
        (&["watch", "front", "--timeout", "NaN"], "a number of seconds above 0"),
        (&["watch", "front", "--hash", "sha1"], "md5"),
        (&["snapshot", "front", "-o", "picture.gif"], "picture.gif: a picture is written as .png, .jpg"),
    ] {
        let output = run(base.path(), arguments);
        assert_fails(&output, 2, part);
        assert_eq!(output.stderr.iter().filter(|&&byte| byte == b'\n').count(), 1, "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_output_and_say_the_exit_codes() {
    let base = base();
    let help = run(base.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes: 0 done"));
    assert!(stdout(&run(base.path(), &["--version"])).starts_with("vas-frames "));
}

#[test]
fn the_base_directory_may_come_from_the_environment() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let output = Command::new(env!("CARGO_BIN_EXE_vas-frames"))
        .env("VAS_SHM_BASE", base.path())
        .args(["watch", "front", "--count", "1", "--timeout", "60"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let output = Command::new(env!("CARGO_BIN_EXE_vas-frames"))
        .env("VAS_SHM_BASE", "")
        .args(["inspect", "no-camera-of-this-name"])
        .output()
        .expect("the program starts");
    assert_fails(&output, 1, "/dev/shm/vas/no-camera-of-this-name/frame.meta: not there");
}

// Not there, refused.

#[test]
fn a_base_directory_or_camera_that_is_not_there_is_exit_code_1() {
    let base = base();
    let missing = base.path().join("missing");
    assert_fails(&run(&missing, &["list"]), 1, "not there; no server exports cameras under it");
    assert_fails(&run(base.path(), &["inspect", "front"]), 1, "front/frame.meta: not there");
    let watch = run(base.path(), &["watch", "front", "--timeout", "0.2"]);
    assert_fails(&watch, 1, "camera front: no current frame for 0.2 s (waiting: ");
    let snapshot = run(base.path(), &["snapshot", "front", "-o", "never.png", "--timeout", "0.2"]);
    assert_fails(&snapshot, 1, "camera front: no current frame for 0.2 s (waiting: ");
    assert!(!Path::new("never.png").exists());
}

#[test]
fn a_base_directory_that_cannot_be_read_is_exit_code_3() {
    let base = base();
    let file = base.path().join("file");
    File::create(&file).expect("a file");
    let output = run(&file, &["list"]);
    assert_fails(&output, 3, "file: not a directory; --base is the directory");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("permission"), "{output:?}");

    let closed = base.path().join("closed");
    fs::create_dir(&closed).expect("a directory");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("its mode");
    // Whoever runs the tests as root may read it all the same.
    if fs::read_dir(&closed).is_err() {
        assert_fails(&run(&closed, &["list"]), 3, "cannot be listed without read permission");
    }
}

#[test]
fn a_header_that_is_refused_is_exit_code_3_in_every_verb_with_the_field_its_value_and_the_bound() {
    let base = base();
    Pair::with_header(base.path(), "front", 64, 48, Color::UNSPECIFIED, StreamFlags(0), |raw| {
        raw.stream.stride.set(63);
    });
    let why = "stride is 63, rows of this width need 64";
    assert_fails(&run(base.path(), &["watch", "front"]), 3, why);
    assert_fails(&run(base.path(), &["watch", "front", "--json"]), 3, why);
    assert_fails(&run(base.path(), &["snapshot", "front", "-o", "never.png"]), 3, why);

    let text = run(base.path(), &["inspect", "front"]);
    assert_fails(&text, 3, why);
    let marked = stdout(&text).lines().find(|line| line.ends_with("<- refused")).expect("a mark");
    assert_eq!(marked.split_whitespace().collect::<Vec<_>>()[..3], ["36", "stride", "63"]);

    let output = run(base.path(), &["inspect", "front", "--json"]);
    assert_fails(&output, 3, why);
    let report = json(&output);
    assert_eq!((&report["verdict"], &report["refused_field"]), (&"refused".into(), &"stride".into()));
    assert!(report["why"].as_str().is_some_and(|text| text.contains(why)));

    let rows = json(&run(base.path(), &["list", "--json"]));
    assert_eq!(rows[0]["state"], "refused");
    assert!(rows[0]["why"].as_str().is_some_and(|text| text.contains(why)));
}

#[test]
fn bytes_of_any_kind_are_shown_and_refused_without_a_panic() {
    let base = base();
    let directory = base.path().join("front");
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("frame.data"), b"").expect("a file");
    for (bytes, part) in [
        (vec![], "frame.meta has 0 bytes"),
        (vec![1; 5], "frame.meta has 5 bytes"),
        (vec![0; 768], "version is 0"),
        (vec![0xFF; 4096], "magic is"),
    ] {
        fs::write(directory.join(META_NAME), &bytes).expect("a file");
        assert_fails(&run(base.path(), &["inspect", "front"]), 3, part);
        let output = run(base.path(), &["inspect", "front", "--json"]);
        assert_fails(&output, 3, part);
        assert_eq!(json(&output)["verdict"], "refused");
    }
    fs::remove_file(directory.join(META_NAME)).expect("it goes");
    std::os::unix::fs::symlink("/etc/hostname", directory.join(META_NAME)).expect("a link");
    assert_fails(&run(base.path(), &["inspect", "front"]), 3, "is a symbolic link, not a regular file");
}

#[test]
fn a_reader_that_insists_on_an_owner_refuses_every_other() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let why = "this reader insists on uid 4294967294";
    assert_fails(&run(base.path(), &["watch", "front", "--owner", "4294967294"]), 3, why);
    let picture = base.path().join("x.png");
    let picture = picture.to_str().expect("UTF-8");
    assert_fails(&run(base.path(), &["snapshot", "front", "--owner", "4294967294", "-o", picture]), 3, why);
}

// Closed outputs.

/// A socket whose other end is gone: every write to it is a broken pipe.
fn closed_pipe() -> Stdio {
    let (ours, _) = UnixStream::pair().expect("a pair of sockets");
    Stdio::from(OwnedFd::from(ours))
}

#[test]
fn a_closed_pipe_is_success_and_says_nothing() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let picture = base.path().join("x.png");
    let picture = picture.to_str().expect("UTF-8");
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help", "watch"],
        &["list"],
        &["list", "--json"],
        &["inspect", "front"],
        &["inspect", "front", "--json"],
        &["watch", "front"],
        &["watch", "front", "--json"],
        &["watch", "missing", "--json"],
        &["snapshot", "front", "-o", picture, "--timeout", "60"],
    ] {
        let output = program(base.path()).args(arguments).stdout(closed_pipe()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        // A heartbeat may have been seen before the first frame.
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut said = stderr.lines().filter(|line| !line.starts_with("vas-frames: camera front: "));
        assert_eq!(said.next(), None, "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_watch_whose_reader_left_ends_although_no_frame_comes() {
    let base = base();
    let mut child = program(base.path())
        .args(["watch", "missing"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It is at work once it says what it waits for.
    let mut first = [0];
    child.stderr.as_mut().expect("piped").read_exact(&mut first).expect("a state");
    drop(child.stdout.take());
    assert_eq!(wait(&mut child), Some(0));
}

#[test]
fn nobody_to_hear_a_failure_changes_nothing_about_its_exit_code() {
    let base = base();
    let status = program(base.path())
        .args(["inspect", "front"])
        .stdout(Stdio::null())
        .stderr(closed_pipe())
        .status()
        .expect("the program starts");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn an_output_that_takes_no_bytes_is_exit_code_1() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("/dev/full"));
    for arguments in [&["list"][..], &["watch", "front"], &["--help"]] {
        let output = program(base.path()).args(arguments).stdout(full()).output().expect("it starts");
        assert_fails(&output, 1, "write to standard output: No space left on device");
    }
}

// list.

// Proves LIVE-6.
#[test]
fn the_list_tells_live_idle_dead_refused_and_absent_cameras_apart() {
    let base = base();
    let mut live = Pair::new(base.path(), "a-live", 640, 480, Color::UNSPECIFIED);
    live.publish_grey(9);
    let _live = live.run(false);
    let idle =
        Pair::with_header(base.path(), "b-idle", 64, 48, Color::UNSPECIFIED, StreamFlags::IDLE, |_| {});
    let _idle = idle.run(false);
    let mut dead = Pair::new(base.path(), "c-dead", 64, 48, Color::UNSPECIFIED);
    dead.publish_grey(9);
    Pair::with_header(base.path(), "d-refused", 64, 48, Color::UNSPECIFIED, StreamFlags(0), |raw| {
        raw.stream.version.set(0);
    });
    fs::create_dir(base.path().join("e-absent")).expect("a directory");
    File::create(base.path().join(".a-live.lock")).expect("what is no camera is not listed");

    let deadline = Instant::now() + DEADLINE;
    let rows = loop {
        let output = run(base.path(), &["list", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let rows = json(&output);
        // A server, or the look itself, that was held up for longer than the look lasts: then once more.
        let is_late = rows[0]["state"] == "unproven"
            || rows[1]["state"] == "unproven"
            || rows[2]["state"] == "server_gone";
        if !is_late || Instant::now() > deadline {
            break rows;
        }
    };
    let states: Vec<_> = rows.as_array().expect("an array").iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["live", "idle", "unproven", "refused", "not_there"]);
    let live = &rows[0];
    assert_eq!((&live["camera"], &live["why"]), (&"a-live".into(), &Value::Null));
    assert_eq!((&live["width"], &live["height"], &live["slots"]), (&640.into(), &480.into(), &3.into()));
    assert_eq!((&live["fps"], &live["frame_period_ns"]), (&25.0.into(), &40_000_000.into()));
    assert!(live["memory_bytes"].as_u64() > Some(0));
    assert!(live["newest_frame_age_ms"].as_f64() > Some(0.0));
    assert_eq!(rows[1]["newest_frame_age_ms"], Value::Null);
    assert!(rows[2]["why"].as_str().is_some_and(|why| why.contains("no sign of life")));
    assert_eq!(rows[4]["width"], Value::Null);

    let text = run(base.path(), &["list"]);
    let lines: Vec<&str> = stdout(&text).lines().collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(lines[1].contains("640x480") && lines[1].contains(" ago"), "{}", lines[1]);
    assert!(lines[5].contains("not there"), "{}", lines[5]);
}

#[test]
fn a_base_directory_without_cameras_is_an_empty_list() {
    let base = base();
    assert_eq!(json(&run(base.path(), &["list", "--json"])), Value::Array(vec![]));
    let text = run(base.path(), &["list"]);
    assert_eq!((text.status.code(), stdout(&text)), (Some(0), ""));
}

// inspect.

#[test]
fn inspect_shows_every_field_of_the_layout_raw_and_decoded() {
    let base = base();
    let color = Color { range: ColorRange::Full, primaries: 9, transfer: 16, matrix: 9 };
    let mut pair = Pair::new(base.path(), "front", 641, 479, color);
    let id = pair.publish_grey(9).get();
    let _running = pair.run(false);
    let deadline = Instant::now() + DEADLINE;
    let report = loop {
        let output = run(base.path(), &["inspect", "front", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = json(&output);
        // A server that was held up for longer than the look lasts: then once more.
        if report["state"] != "unproven" || Instant::now() > deadline {
            break report;
        }
    };
    assert_eq!((&report["verdict"], &report["state"]), (&"ready".into(), &"live".into()));

    let fields = report["fields"].as_array().expect("fields");
    let slots = report["slots"].as_array().expect("slots");
    assert_eq!(slots.len(), 3);
    let in_slot = slots[0]["fields"].as_array().expect("fields");
    let shown: Vec<&str> =
        fields.iter().chain(in_slot).map(|field| field["name"].as_str().expect("a name")).collect();
    let layout: Vec<&str> = vas_shm_proto::layout::FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(shown, layout);

    let field = |name: &str| fields.iter().find(|field| field["name"] == name).expect("a field");
    for (name, raw, decoded) in [
        ("version", 1.into(), ""),
        ("width", 641.into(), "641 pixels"),
        ("pixel_format", 0x3231_564E.into(), "'NV12'"),
        ("state", 1.into(), "live"),
        ("flags", 0.into(), "none"),
        ("color_range", 2.into(), "full"),
        ("color_primaries", 9.into(), "BT.2020"),
        ("color_transfer", 16.into(), "SMPTE ST 2084 (PQ)"),
        ("color_matrix", 9.into(), "BT.2020 non-constant luminance"),
        ("frame_period_ns", 40_000_000.into(), "40.0 ms, 25 frames a second"),
        ("magic", "5641534652414d45".into(), "\"VASFRAME\""),
        ("frame_id", Value::from(id), &*format!("in slot {}", id % 3)),
    ] {
        assert_eq!(field(name)["raw"], raw, "{name}");
        assert_eq!(field(name)["decoded"], decoded, "{name}");
    }
    assert_eq!(slots[(id % 3) as usize]["fields"][0]["raw"], id);
    assert_eq!(slots[1]["fields"][0]["offset"], 320);
    let meta = &report["files"][0];
    assert!(meta["path"].as_str().is_some_and(|path| path.ends_with("front/frame.meta")));
    assert_eq!(meta["size_bytes"], 4096);
    assert_eq!(report["files"][1]["inode"], field("data_inode")["raw"]);

    let text = run(base.path(), &["inspect", "front"]);
    for name in vas_shm_proto::layout::FIELDS.iter().map(|field| field.name) {
        let is_slot_padding = name == "slot[i].reserved";
        assert!(is_slot_padding || stdout(&text).contains(name.trim_start_matches("slot[i].")), "{name}");
    }
}

// watch.

#[test]
fn a_watch_prints_every_frame_with_the_hash_of_its_visible_picture() {
    let base = base();
    // Odd, so that both planes have padding.
    let pair = Pair::new(base.path(), "front", 65, 47, Color::UNSPECIFIED);
    let grey = pair.grey(0);
    let luma_bytes = 65 * 47;
    let _running = pair.run(true);
    let output =
        run(base.path(), &["watch", "front", "--json", "--hash", "md5", "--count", "5", "--timeout", "60"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let frames: Vec<&Value> = lines.iter().filter(|line| line["frame_id"].is_u64()).collect();
    assert_eq!(frames.len(), 5);
    let mut previous = None;
    for frame in frames {
        let id = frame["frame_id"].as_u64().expect("an id");
        let mut packed = grey.clone();
        packed[..luma_bytes].fill(id as u8);
        assert_eq!(frame["md5"], format!("{:x}", Md5::digest(&packed)), "frame {id}");
        assert_eq!((&frame["width"], &frame["height"]), (&65.into(), &47.into()));
        assert_eq!(frame["damaged"], false);
        assert!(frame["age_ms"].is_f64() && frame["timestamp_ns"].is_u64() && frame["generation"].is_u64());
        let skipped = frame["skipped"].as_u64().expect("a number");
        if let Some(previous) = previous {
            assert_eq!(id, previous + 1 + skipped, "skipped frames are counted");
        }
        previous = Some(id);
    }
}

#[test]
fn a_line_of_text_says_that_a_frame_is_damaged() {
    let base = base();
    let mut pair = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED);
    let packed = pair.grey(5);
    let id = pair.publish(&packed, FrameFlags::DAMAGED);
    let _running = pair.run(false);
    let output = run(base.path(), &["watch", "front", "--count", "1", "--timeout", "60", "--mode", "latest"]);
    let line = stdout(&output);
    assert!(line.starts_with(&format!("frame {id} timestamp_ns ")), "{output:?}");
    assert!(line.ends_with(" skipped 0 64x48 damaged\n"), "{line}");
}

#[test]
fn a_watch_goes_on_by_itself_through_a_stop_and_a_new_start_with_another_size() {
    let base = base();
    let mut command = program(base.path());
    command.args(["watch", "front", "--json"]);
    let watch = Lines::of(command);
    let waiting = watch.find(|line| line["state"] == "waiting");
    assert_eq!(waiting["camera"], "front");
    assert!(waiting["why"].as_str().is_some_and(|why| why.contains("not there")));

    let running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let first = watch.find(|line| line["width"] == 64);
    running.halt().stop();
    watch.find(|line| line["state"] == "stopped");

    // This one is killed: its files stay, without any sign of life.
    let running = Pair::new(base.path(), "front", 128, 96, Color::UNSPECIFIED).run(true);
    let second = watch.find(|line| line["width"] == 128);
    // Some may be that were overwritten while they were looked at. The ids jumped by microseconds since boot.
    assert!(second["skipped"].as_u64() < Some(1000), "nothing is skipped between two generations: {second}");
    drop(running);
    watch.find(|line| line["state"] == "server_gone");

    let _running = Pair::new(base.path(), "front", 32, 32, Color::UNSPECIFIED).run(true);
    let third = watch.find(|line| line["width"] == 32);
    let ids = [first, second, third].map(|line| line["frame_id"].as_u64());
    assert!(ids.is_sorted() && ids[0] < ids[2], "ids rise: {ids:?}");
}

#[test]
fn a_watch_with_a_timeout_ends_when_the_frames_do() {
    let base = base();
    let mut pair = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED);
    pair.publish_grey(1);
    let _running = pair.run(false);
    let output = run(base.path(), &["watch", "front", "--timeout", "8"]);
    assert_eq!(stdout(&output).lines().count(), 1);
    assert_fails(&output, 1, "camera front: no current frame for 8 s (live)");
}

// snapshot.

const COLORS: [[u8; 3]; 9] = [
    [0, 0, 0],
    [255, 255, 255],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [0, 255, 255],
    [255, 0, 255],
    [200, 120, 40],
];
/// Odd on both sides; the last column of patches is one pixel narrower.
const PATCHES: (u32, u32) = (9 * 16 - 1, 17);

/// Nine patches side by side as packed NV12, by the formulas of H.273 in floating point.
fn patches([kr, kb]: [f64; 2], range: ColorRange) -> Vec<u8> {
    let ycbcr = COLORS.map(|rgb| {
        let [r, g, b] = rgb.map(|value| f64::from(value) / 255.0);
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (cb, cr) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
        match range {
            ColorRange::Full => [255.0 * y, 255.0 * cb + 128.0, 255.0 * cr + 128.0],
            _ => [219.0 * y + 16.0, 224.0 * cb + 128.0, 224.0 * cr + 128.0],
        }
        .map(|value| value.round() as u8)
    });
    let (width, height) = PATCHES;
    let at = |x: u32| ycbcr[(x / 16) as usize];
    let luma = (0..height).flat_map(|_| (0..width).map(|x| at(x)[0]));
    let chroma = (0..height.div_ceil(2))
        .flat_map(|_| (0..width.div_ceil(2)).flat_map(|pair| [at(2 * pair)[1], at(2 * pair)[2]]));
    luma.chain(chroma).collect()
}

/// The centre of each patch, and the largest difference to what it should be.
fn worst_difference(picture: &Path) -> u8 {
    let image = image::open(picture).expect("a picture").into_rgb8();
    assert_eq!(image.dimensions(), PATCHES);
    let mut worst = 0;
    for (patch, wanted) in COLORS.iter().enumerate() {
        for y in [0, 8, PATCHES.1 - 1] {
            let found = image.get_pixel(patch as u32 * 16 + 8, y).0;
            worst = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).fold(worst, u8::max);
        }
    }
    worst
}

fn camera_with_patches(base: &Path, camera: &str, coefficients: [f64; 2], color: Color) -> Pair {
    let mut pair = Pair::new(base, camera, PATCHES.0, PATCHES.1, color);
    pair.publish(&patches(coefficients, color.range), FrameFlags(0));
    pair
}

const BT_601: [f64; 2] = [0.299, 0.114];
const BT_709: [f64; 2] = [0.2126, 0.0722];
const BT_2020: [f64; 2] = [0.2627, 0.0593];

// Proves COLOR-1 and COLOR-2.
#[test]
fn a_snapshot_has_the_right_colours_for_every_matrix_and_range() {
    let base = base();
    for (matrix, coefficients, name) in
        [(6, BT_601, "BT.601"), (5, BT_601, "BT.601"), (1, BT_709, "BT.709"), (9, BT_2020, "BT.2020")]
    {
        for range in [ColorRange::Limited, ColorRange::Full] {
            let color = Color { range, matrix, ..Color::UNSPECIFIED };
            let camera = format!("m{matrix}-{}", range.name());
            let _running = camera_with_patches(base.path(), &camera, coefficients, color).run(false);
            let picture = base.path().join(format!("{camera}.png"));
            let output = run(
                base.path(),
                &["snapshot", &camera, "-o", picture.to_str().expect("UTF-8"), "--timeout", "60"],
            );
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let said = format!("matrix {name}, range {}\n", range.name());
            assert!(stdout(&output).ends_with(&said), "{output:?}");
            let worst = worst_difference(&picture);
            assert!(worst <= 2, "matrix {matrix}, range {range:?}: off by {worst}");
        }
    }
}

/// The test above can fail.
#[test]
fn colours_made_with_one_matrix_and_read_with_another_are_far_off() {
    let base = base();
    let color = Color { range: ColorRange::Limited, matrix: 1, ..Color::UNSPECIFIED };
    let _running = camera_with_patches(base.path(), "front", BT_601, color).run(false);
    let picture = base.path().join("front.png");
    run(base.path(), &["snapshot", "front", "-o", picture.to_str().expect("UTF-8"), "--timeout", "60"]);
    assert!(worst_difference(&picture) > 20);
}

#[test]
fn a_camera_that_says_nothing_of_its_colours_is_taken_as_players_do_and_the_snapshot_says_so() {
    let base = base();
    let _running = camera_with_patches(base.path(), "front", BT_601, Color::UNSPECIFIED).run(false);
    let picture = base.path().join("front.png");
    let output =
        run(base.path(), &["snapshot", "front", "-o", picture.to_str().expect("UTF-8"), "--timeout", "60"]);
    let said = "matrix BT.601 (not said by the camera, height 576 or less), range limited (not said by the camera)\n";
    assert!(stdout(&output).ends_with(said), "{output:?}");
    assert!(worst_difference(&picture) <= 2);
}

#[test]
fn a_snapshot_as_jpeg_shows_the_same_picture() {
    let base = base();
    let color = Color { range: ColorRange::Limited, matrix: 1, ..Color::UNSPECIFIED };
    let _running = camera_with_patches(base.path(), "front", BT_709, color).run(false);
    let picture = base.path().join("front.jpg");
    let output =
        run(base.path(), &["snapshot", "front", "-o", picture.to_str().expect("UTF-8"), "--timeout", "60"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read(&picture).expect("a file").starts_with(&[0xFF, 0xD8]));
    let worst = worst_difference(&picture);
    assert!(worst <= 12, "off by {worst}");
}

// Proves LIVE-1.
#[test]
fn the_last_picture_of_a_dead_server_comes_only_on_request_and_with_its_age() {
    let base = base();
    let color = Color { range: ColorRange::Limited, matrix: 1, ..Color::UNSPECIFIED };
    camera_with_patches(base.path(), "front", BT_709, color);
    let picture = base.path().join("front.png");
    let path = picture.to_str().expect("UTF-8");
    let output = run(base.path(), &["snapshot", "front", "-o", path, "--timeout", "0.3"]);
    assert_fails(&output, 1, "no current frame for 0.3 s (");
    // The latter if 3 seconds went by somewhere.
    let why = ["(no sign of life from its server)", "(server gone"];
    assert!(why.iter().any(|why| String::from_utf8_lossy(&output.stderr).contains(why)), "{output:?}");
    assert!(!picture.exists());

    let output = run(base.path(), &["snapshot", "front", "-o", path, "--old", "--timeout", "0.3"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains(" old, matrix BT.709"), "{output:?}");
    assert!(worst_difference(&picture) <= 2);
}

#[test]
fn a_snapshot_of_all_has_a_picture_and_a_line_of_each_camera_and_says_which_gave_none() {
    let (base, elsewhere) = (base(), base());
    let pictures = elsewhere.path().join("pictures");
    let _front = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let _yard = Pair::new(base.path(), "yard", 33, 17, Color::UNSPECIFIED).run(true);
    let all = |directory: &Path, more: &[&str]| {
        let directory = directory.to_string_lossy();
        run(base.path(), &[&["snapshot", "--all", "-o", &directory, "--timeout", "1"], more].concat())
    };
    let output = all(&pictures.join("deeper"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("front.png: 64x48") && lines[1].contains("yard.png: 33x17"),
        "{lines:?}"
    );
    let size = |name: &str| image::image_dimensions(pictures.join("deeper").join(name)).expect("a picture");
    assert_eq!((size("front.png"), size("yard.png")), ((64, 48), (33, 17)));

    fs::create_dir(base.path().join("gate")).expect("a camera that has no files");
    let output = all(&pictures, &["--format", "jpg"]);
    assert_fails(&output, 1, "1 of 3 cameras gave no picture");
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(pictures.join("front.jpg").exists() && !pictures.join("gate.jpg").exists());

    let output = all(&pictures, &["--json"]);
    let rows: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((rows[0]["camera"].as_str(), rows[0]["width"].as_u64()), (Some("front"), Some(64)));
    assert!(
        rows[1]["camera"] == "gate" && rows[1]["error"].as_str().is_some_and(|why| why.contains("gate")),
        "{rows:?}"
    );
}

#[test]
fn a_picture_that_cannot_be_written_is_one_sentence_and_leaves_nothing() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let target = base.path().join("no/such/directory/x.png");
    let output =
        run(base.path(), &["snapshot", "front", "-o", target.to_str().expect("UTF-8"), "--timeout", "60"]);
    assert_fails(&output, 1, "no/such/directory/x.png: No such file or directory");
    let taken = base.path().join("taken.png");
    fs::create_dir(&taken).expect("a directory in the way");
    let output =
        run(base.path(), &["snapshot", "front", "-o", taken.to_str().expect("UTF-8"), "--timeout", "60"]);
    assert_fails(&output, 1, "taken.png: Is a directory");
    let mut names: Vec<_> =
        fs::read_dir(base.path()).expect("readable").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["front", "taken.png"]);
}

// record, recording, replay. With a real server and the real player: tests/e2e.

#[test]
fn a_recording_has_the_frames_with_their_flags_and_hashes() {
    let base = base();
    let mut pair = Pair::new(base.path(), "front", 65, 47, Color::UNSPECIFIED);
    let file = base.path().join("front.vasrec");
    let file = file.to_str().expect("UTF-8");
    let mut command = program(base.path());
    command.args(["record", "front", "-o", file, "--count", "12", "--json"]).stdout(Stdio::piped());
    let mut recorder = command.spawn().expect("the program starts");
    let mut hashes = Vec::new();
    while recorder.try_wait().expect("it can be waited for").is_none() {
        let number = hashes.len() as u8;
        let packed = pair.grey(number);
        let flags = if number.is_multiple_of(3) { FrameFlags::DAMAGED } else { FrameFlags(0) };
        let id = pair.publish(&packed, flags).get();
        hashes.push((id, format!("{:x}", Md5::digest(&packed)), flags.is_damaged()));
        pair.beat();
        std::thread::sleep(Duration::from_millis(5));
        assert!(hashes.len() < 200 * 60, "the recorder did not end");
    }
    let said = json(&recorder.wait_with_output().expect("its output"));
    assert_eq!((&said["ended"], &said["frames"], &said["dropped"]), (&"asked".into(), &12.into(), &0.into()));

    let output = run(base.path(), &["recording", file, "--frames", "--json"]);
    let frames: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(frames.len(), 12);
    for frame in &frames {
        let (_, md5, is_damaged) =
            hashes.iter().find(|(id, ..)| frame["frame_id"] == *id).expect("a frame that was published");
        assert_eq!((&frame["md5"], &frame["damaged"]), (&md5.as_str().into(), &(*is_damaged).into()));
    }
    let output = run(base.path(), &["recording", file]);
    let first = stdout(&output).lines().next().expect("a line");
    assert!(
        first.starts_with("camera front, recorded from 20") && first.contains(": 12 frames in "),
        "{first}"
    );
    assert!(stdout(&output).ends_with("ended: asked\n"), "{output:?}");
    let sections = json(&run(base.path(), &["recording", file, "--json"]))["sections"].clone();
    assert_eq!((&sections[0]["width"], &sections[0]["frames_per_second"]), (&65.into(), &25.0.into()));
}

#[test]
fn a_file_that_is_there_is_written_over_when_that_is_asked_for_and_a_frame_has_come() {
    let base = base();
    let file = base.path().join("kept");
    fs::write(&file, "somebody's own").expect("a file");
    let path = file.to_str().expect("UTF-8");
    let arguments = ["record", "front", "-o", path, "--count", "2", "--timeout", "60"];
    assert_fails(&run(base.path(), &arguments), 1, "kept: there is a file already; --force writes over it");
    // There is no camera.
    let output = run(base.path(), &["record", "front", "-o", path, "--force", "--timeout", "0.2"]);
    assert_fails(&output, 1, "camera front: no current frame for 0.2 s (waiting: ");
    assert_eq!(fs::read(&file).expect("still there"), b"somebody's own");

    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let output = run(base.path(), &[&arguments[..], &["--force"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read(&file).expect("a recording").starts_with(b"VASREC\r\n"));
}

#[test]
fn a_recording_of_no_frame_leaves_no_file() {
    let base = base();
    let file = base.path().join("never.vasrec");
    let path = file.to_str().expect("UTF-8");
    let output = run(base.path(), &["record", "front", "-o", path, "--timeout", "0.2"]);
    assert_fails(&output, 1, "camera front: no current frame for 0.2 s (waiting: ");
    assert!(!file.exists());
    let output = run(base.path(), &["record", "front", "-o", "no/such/directory/x", "--timeout", "0.2"]);
    assert_fails(&output, 1, "write no/such/directory/x: No such file or directory");
    // A limit that no frame fits in.
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let output = run(base.path(), &["record", "front", "-o", path, "--max-bytes", "4000", "--timeout", "60"]);
    assert_fails(&output, 1, "no frame came, and no recording was written (size)");
    assert!(!file.exists());
}

#[test]
fn what_is_no_recording_is_refused_and_what_is_not_there_is_exit_code_1() {
    let base = base();
    let other = base.path().join("other");
    fs::write(&other, [b'x'; 300]).expect("a file");
    let path = other.to_str().expect("UTF-8");
    assert_fails(
        &run(base.path(), &["recording", path]),
        3,
        "other: this is no recording: it begins with xxxxxxxx",
    );
    fs::write(&other, b"VASREC\r\n\x01").expect("a file");
    assert_fails(&run(base.path(), &["recording", path]), 3, "other: the recording ends after 9 bytes");
    assert_fails(&run(base.path(), &["recording", "nothing-here"]), 1, "open nothing-here: No such file");
    assert_fails(&run(base.path(), &["recording", "/"]), 1, "/: read at byte 0: Is a directory");
}

#[test]
fn a_recording_for_a_pipe_that_is_closed_ends_quietly() {
    let base = base();
    let _running = Pair::new(base.path(), "front", 64, 48, Color::UNSPECIFIED).run(true);
    let mut command = program(base.path());
    command.args(["record", "front", "-o", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut recorder = command.spawn().expect("the program starts");
    let mut pipe = recorder.stdout.take().expect("piped");
    let mut magic = [0; 8];
    pipe.read_exact(&mut magic).expect("it begins");
    assert_eq!(&magic, b"VASREC\r\n");
    drop(pipe);
    assert_eq!(wait(&mut recorder), Some(0));
    let mut said = String::new();
    recorder.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
}

#[test]
fn replay_hands_over_to_the_program_beside_it_or_says_that_there_is_none() {
    // Links and no copies: nobody can have a file open for writing that is about to be started.
    let real = Path::new(env!("CARGO_BIN_EXE_vas-frames"));
    let folder = tempfile::tempdir_in(real.parent().expect("a folder")).expect("a folder beside it");
    let own = folder.path().join("vas-frames");
    fs::hard_link(real, &own).expect("a link");
    let on_path = folder.path().join("bin");
    fs::create_dir(&on_path).expect("a folder");
    let replay = |arguments: &[&str]| {
        let mut command = Command::new(&own);
        command.env("PATH", &on_path).env_remove("VAS_SHM_BASE").args(arguments);
        command.output().expect("the program starts")
    };
    let output = replay(&["replay", "x.vasrec"]);
    assert_fails(&output, 1, "vas-replay, which plays recordings, is neither beside this program (");

    // Whatever follows is that program's business, --help too.
    std::os::unix::fs::symlink("/bin/echo", on_path.join("vas-replay")).expect("a link");
    let output = replay(&["--base", "/some/where", "replay", "--speed", "2", "x.vasrec", "--help"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "--base /some/where --speed 2 x.vasrec --help\n");

    // The one beside comes first.
    std::os::unix::fs::symlink("/bin/false", folder.path().join("vas-replay")).expect("a link");
    let output = replay(&["replay", "x.vasrec"]);
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(1), &b""[..], &b""[..]));
}
