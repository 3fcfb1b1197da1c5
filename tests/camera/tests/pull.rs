//! The camera as a program, pulled with the real `ffmpeg` program: what it decodes from the stream is what it decodes
//! from the file. Skipped, with a line that says so, where ffmpeg is not installed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const WATCHDOG: Duration = Duration::from_secs(60);
const PICTURES: usize = 30;

/// Whether to go on; says why not.
fn ffmpeg_is_there() -> bool {
    let there = Command::new("ffmpeg").arg("-version").output().is_ok_and(|output| output.status.success());
    if !there {
        vas_test_support::skipped("the ffmpeg program is not installed (Debian: apt-get install ffmpeg)");
    }
    there
}

struct Output {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, or kills it when the watchdog barks.
fn run(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let stderr = thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = wait(&mut child);
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a program did not end within {WATCHDOG:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Makes a small moving clip in `folder`.
fn clip(folder: &Path, name: &str, size: &str, encoder: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let made = run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &format!("testsrc2=size={size}:rate=25")])
        .args(["-frames:v", &PICTURES.to_string(), "-pix_fmt", "yuv420p", "-threads", "1"])
        .args(encoder)
        .arg(&path));
    assert!(made.status.success(), "{}", made.stderr);
    path
}

const H264: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "aud=1:keyint=12:bframes=0"];
const H264_B: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-x264-params", "aud=1:keyint=12:b-adapt=0"];
const H264_INTRA_REFRESH: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "aud=1:keyint=12:bframes=0:intra-refresh=1"];
const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "keyint=12:bframes=0:aud=1:repeat-headers=1:pools=none:log-level=error",
];
const H265_B: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "keyint=12:bframes=3:b-adapt=0:aud=1:repeat-headers=1:pools=none:log-level=error",
];

/// The camera's process.
struct Camera {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    url: String,
}

impl Camera {
    fn start(clips: &[&Path], arguments: &[&str]) -> Camera {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vas-test-camera"))
            .args(arguments)
            .args(clips)
            .env("CAMERA_LOGIN", "watcher:s3cret: word")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let ready = lines.recv_timeout(WATCHDOG).unwrap();
        let url = ready.strip_prefix("READY ").expect(&ready).to_owned();
        Camera { stdin: child.stdin.take(), child, lines, url }
    }

    fn command(&mut self, line: &str) -> String {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.lines.recv_timeout(WATCHDOG).unwrap()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stdin.take();
        let status = wait(&mut self.child);
        if !thread::panicking() {
            assert!(status.success(), "the camera ended with {status}");
        }
    }
}

fn framemd5(input: &[&str], frames: usize) -> Output {
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning"])
        .args(input)
        .args(["-frames:v", &frames.to_string(), "-pix_fmt", "nv12", "-fps_mode", "passthrough"])
        .args(["-f", "framemd5", "-"]))
}

fn hashes(output: &Output) -> Vec<&str> {
    let frames = output.stdout.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| line.rsplit(", ").next()).map(str::trim).collect()
}

fn pull(url: &str, transport: &str, frames: usize) -> Output {
    // FFmpeg's `timeout` of RTSP is in microseconds.
    framemd5(&["-rtsp_transport", transport, "-timeout", "10000000", "-i", url], frames)
}

#[track_caller]
fn assert_stream_is_file(url: &str, transport: &str, file: &Path) {
    let expected = framemd5(&["-i", file.to_str().unwrap()], PICTURES);
    let got = pull(url, transport, PICTURES);
    assert_eq!(hashes(&expected).len(), PICTURES, "{}", expected.stderr);
    assert_eq!(hashes(&got), hashes(&expected), "{}", got.stderr);
}

#[track_caller]
fn check(name: &str, encoder: &[&str], transport: &str, arguments: &[&str]) {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), name, "320x240", encoder);
    let camera = Camera::start(&[&clip], &[&["--fps", "100"], arguments].concat());
    assert_stream_is_file(&camera.url, transport, &clip);
}

#[test]
fn h264_over_tcp_is_the_file() {
    check("clip.h264", H264, "tcp", &[]);
}

#[test]
fn h264_over_udp_is_the_file() {
    check("clip.h264", H264, "udp", &[]);
}

#[test]
fn h264_with_b_frames_over_tcp_is_the_file() {
    check("clip.h264", H264_B, "tcp", &[]);
}

#[test]
fn h264_with_intra_refresh_over_tcp_is_the_file() {
    check("clip.h264", H264_INTRA_REFRESH, "tcp", &[]);
}

#[test]
fn h265_over_tcp_is_the_file() {
    check("clip.h265", H265, "tcp", &[]);
}

#[test]
fn h265_over_udp_is_the_file() {
    check("clip.h265", H265, "udp", &[]);
}

#[test]
fn h265_with_b_frames_over_tcp_is_the_file() {
    check("clip.h265", H265_B, "tcp", &[]);
}

#[test]
fn parameter_sets_only_in_the_description_are_enough() {
    check("clip.h264", H264, "tcp", &["--parameter-sets", "out-of-band"]);
    check("clip.h265", H265, "tcp", &["--parameter-sets", "out-of-band"]);
}

#[test]
fn parameter_sets_only_in_the_stream_are_enough() {
    check("clip.h264", H264, "tcp", &["--parameter-sets", "in-band"]);
    check("clip.h265", H265, "tcp", &["--parameter-sets", "in-band"]);
}

#[test]
fn packets_out_of_order_are_put_in_order_by_the_client() {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.h264", "320x240", H264);
    let mut camera = Camera::start(&[&clip], &["--fps", "100"]);
    assert!(camera.command("reorder 100").starts_with("OK reorder 100"));
    assert_stream_is_file(&camera.url, "udp", &clip);
}

#[test]
fn lost_packets_are_missed_by_the_client() {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.h264", "320x240", H264);
    let mut camera = Camera::start(&[&clip], &["--fps", "100"]);
    assert!(camera.command("loss 100").starts_with("OK loss 100"));
    let got = pull(&camera.url, "udp", PICTURES);
    assert!(got.stderr.contains("RTP: missed"), "{}", got.stderr);
}

#[test]
fn timestamps_are_presentation_times_for_b_frames_too() {
    if !ffmpeg_is_there() {
        return;
    }
    for (name, encoder) in [("clip.h264", H264_B), ("clip.h265", H265_B)] {
        let folder = tempfile::tempdir().unwrap();
        let clip = clip(folder.path(), name, "320x240", encoder);
        let camera = Camera::start(&[&clip], &["--fps", "50"]);
        let shown = run(Command::new("ffprobe").args(["-v", "error", "-rtsp_transport", "tcp"]).args([
            "-read_intervals",
            "%+#30",
            "-show_entries",
            "frame=pts",
            "-of",
            "csv=p=0",
            &camera.url,
        ]));
        // The first packet after PLAY has no time in FFmpeg, whatever the camera.
        let times: Vec<i64> =
            shown.stdout.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
        assert!(times.len() > 20, "{}", shown.stderr);
        assert!(times.windows(2).all(|two| two[1] - two[0] == 1800), "{name}: {times:?}");
    }
}

#[test]
fn the_picture_changes_its_size_in_mid_stream() {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let small = clip(folder.path(), "small.h264", "320x240", H264);
    let large = clip(folder.path(), "large.h264", "640x480", H264);
    let mut camera = Camera::start(&[&small, &large], &["--fps", "100"]);
    // Decode in the background, sizes as they come; switch once the first picture has been decoded.
    let mut decoder = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "info", "-rtsp_transport", "tcp", "-timeout", "10000000", "-i", &camera.url])
        .args(["-autoscale", "0", "-vf", "showinfo", "-f", "null", "-"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, sizes) = mpsc::channel();
    let stderr = BufReader::new(decoder.stderr.take().unwrap());
    let reader = thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let size = line.split_once(" s:").and_then(|(_, rest)| rest.split(' ').next().map(str::to_owned));
            if size.is_some_and(|size| sender.send(size).is_err()) {
                break;
            }
        }
    });
    assert_eq!(sizes.recv_timeout(WATCHDOG).unwrap(), "320x240");
    assert!(camera.command("clip 1").starts_with("OK clip 1"));
    let deadline = Instant::now() + WATCHDOG;
    while sizes.recv_timeout(WATCHDOG).unwrap() != "640x480" {
        assert!(Instant::now() < deadline, "the size did not change");
    }
    drop(sizes);
    drop(camera); // and the decoder ends with it
    wait(&mut decoder);
    reader.join().unwrap();
}

fn with_login(url: &str, login: &str) -> String {
    url.replace("rtsp://", &format!("rtsp://{login}@"))
}

#[test]
fn the_right_password_opens_and_a_wrong_one_does_not() {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.h264", "320x240", H264);
    for scheme in ["basic", "digest"] {
        let camera =
            Camera::start(&[&clip], &["--fps", "100", "--auth", scheme, "--user-env", "CAMERA_LOGIN"]);
        assert_stream_is_file(&with_login(&camera.url, "watcher:s3cret%3A%20word"), "tcp", &clip);
        for wrong in [camera.url.clone(), with_login(&camera.url, "watcher:wrong")] {
            let got = pull(&wrong, "tcp", 1);
            assert!(got.stderr.contains("401 Unauthorized"), "{scheme}: {}", got.stderr);
            assert!(hashes(&got).is_empty() && !got.status.success());
        }
    }
}

#[test]
fn the_program_ends_with_its_input_and_when_told_to() {
    if !ffmpeg_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.h264", "160x120", H264);
    drop(Camera::start(&[&clip], &[])); // asserts that it ends well when its input ends
    let mut camera = Camera::start(&[&clip], &["--user", "u:p"]);
    assert!(camera.command("explode").starts_with("ERROR command \"explode\" is not known"));
    assert_eq!(camera.command("quit"), "OK quit");
    assert!(wait(&mut camera.child).success());
}

#[test]
fn what_cannot_be_started_is_said_in_a_sentence() {
    let program = || Command::new(env!("CARGO_BIN_EXE_vas-test-camera"));
    let missing = run(program().arg("no/such.h264"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(missing.stderr.starts_with("vas-test-camera: read clip no/such.h264: "), "{}", missing.stderr);

    let unset = run(program().args(["--user-env", "NO_SUCH_VARIABLE", "x.h264"]));
    assert_eq!(unset.status.code(), Some(2));
    assert!(
        unset.stderr.contains("--user-env NO_SUCH_VARIABLE: the variable is not set"),
        "{}",
        unset.stderr
    );

    let no_colon = run(program().args(["--user", "hunter2", "x.h264"]));
    assert_eq!(no_colon.status.code(), Some(2));
    assert!(no_colon.stderr.contains("USER:PASSWORD"), "{}", no_colon.stderr);
    assert!(!no_colon.stderr.contains("hunter2"), "{}", no_colon.stderr);

    let no_user = run(program().args(["--auth", "basic", "x.h264"]));
    assert_eq!(no_user.status.code(), Some(2));
    assert_eq!(run(&mut program()).status.code(), Some(2));
}
