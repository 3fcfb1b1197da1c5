//! The plugin as its users have it: a file that GStreamer's own programs, Python and a program in Rust load.

use md5::{Digest, Md5};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use vas_e2e::clips::ffmpeg;
use vas_e2e::follow::{CAMERA as FOLLOWED, restart_and_size_change};
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{Lacking, require};
use vas_gstreamer_tests::{CAMERA, Published, Server, launch, with_plugin};
use vas_shm_writer::{Color, ColorRange, PictureFormat};

fn ended_well(process: Process) -> String {
    let ended = process.wait();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Whether GStreamer has these elements here.
fn elements(scene: &Scene, names: &[&str]) -> Result<(), Lacking> {
    for name in names {
        let mut command = with_plugin(scene, "gst-inspect-1.0");
        let ended = Process::run("gst-inspect-1.0", command.args(["--exists", name]));
        if !ended.status.success() {
            return Err(format!(
                "GStreamer has no {name} here: `cargo xtask setup --level test` installs it"
            ));
        }
    }
    Ok(())
}

/// Whether these words of Python end well in the distribution's own, which is the one with GStreamer's bindings.
fn python(words: &str) -> Result<(), Lacking> {
    let ended = Process::run("python3", Command::new("/usr/bin/python3").args(["-c", words]));
    if ended.status.success() {
        Ok(())
    } else {
        Err(format!("/usr/bin/python3 cannot {words}: {}", ended.stderr))
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bindings/gstreamer/examples").join(name)
}

/// Publishes pictures at the camera's rate until the process has what it was started for.
fn publish_while_it_runs(
    mut process: Process,
    mut publish: impl FnMut() -> Published,
) -> (Vec<Published>, String) {
    let mut published = Vec::new();
    while process.is_running() {
        published.push(publish());
        std::thread::sleep(vas_gstreamer_tests::PERIOD);
    }
    (published, ended_well(process))
}

/// Whether all these pictures were published, in this order. A machine that is busy may skip some, so their numbers may have gaps.
fn assert_were_published(pictures: &[String], published: &[Published]) {
    let mut rest = published.iter();
    for (at, picture) in pictures.iter().enumerate() {
        assert!(
            rest.any(|published| published.md5 == *picture),
            "picture {at} was not published after the one before it"
        );
    }
}

#[test]
fn gst_inspect_shows_the_element_and_its_properties() {
    let scene = Scene::new();
    let told = |word: &str| {
        let mut command = with_plugin(&scene, "gst-inspect-1.0");
        ended_well(Process::start("gst-inspect-1.0", command.arg(word)))
    };
    let element = told("vasframesrc");
    for words in [
        "Klass                    Source/Video",
        "License                  MIT/X11",
        "+----GstPushSrc",
        "format: NV12",
        "width: [ 1, 16384 ]",
    ] {
        assert!(element.contains(words), "{words}: {element}");
    }
    let properties = [
        "camera",
        "base",
        "mode",
        "policy",
        "owner-uid",
        "timeout",
        "frames",
        "skipped",
        "generation",
        "status",
    ];
    for property in properties {
        assert!(
            element.lines().any(|line| line.trim_start().starts_with(&format!("{property} "))),
            "{property}: {element}"
        );
    }
    assert!(told("vasframes").contains("vasframesrc: VAS frame source"));
}

#[test]
fn what_is_encoded_without_loss_is_what_was_published_in_its_size_rate_and_colours() {
    const FRAMES: usize = 40;
    for (color, told) in [
        (
            Color { range: ColorRange::Limited, primaries: 1, transfer: 1, matrix: 1 },
            ["tv", "bt709", "bt709", "bt709"],
        ),
        (
            Color { range: ColorRange::Full, primaries: 6, transfer: 6, matrix: 6 },
            ["pc", "smpte170m", "smpte170m", "smpte170m"],
        ),
        (
            Color { range: ColorRange::Limited, primaries: 9, transfer: 14, matrix: 9 },
            ["tv", "bt2020nc", "bt2020-10", "bt2020"],
        ),
    ] {
        let scene = Scene::new();
        require!(elements(&scene, &["x264enc", "matroskamux"]));
        let mut server = Server::start(&scene);
        let file = scene.files().join("encoded.mkv");
        let words = format!(
            "-q vasframesrc camera={CAMERA} mode=next num-buffers={FRAMES} ! queue ! x264enc pass=quant quantizer=0 tune=zerolatency speed-preset=ultrafast ! matroskamux ! filesink location={}",
            file.display()
        );
        let format = PictureFormat::new(322, 242, color);
        let (published, _) =
            publish_while_it_runs(launch(&scene, &words), || server.publish_as(format, false));
        let hashes = require!(decoded(&file));
        assert_eq!(hashes.len(), FRAMES);
        assert_were_published(&hashes, &published);
        let stream = require!(probed(&file));
        assert_eq!((&stream["width"], &stream["height"]), (&322.into(), &242.into()), "{stream}");
        assert_eq!(stream["r_frame_rate"], "25/1", "{stream}");
        let colours = ["color_range", "color_space", "color_transfer", "color_primaries"]
            .map(|name| stream[name].clone());
        assert_eq!(colours, told.map(Value::from), "{stream}");
        server.stop();
    }
}

/// MD5 of each picture of a file as NV12, by the `ffmpeg` program, which is kept from changing the range.
fn decoded(file: &Path) -> Result<Vec<String>, Lacking> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    command.args([
        "-vf",
        "scale=in_range=full:out_range=full",
        "-fps_mode",
        "passthrough",
        "-pix_fmt",
        "nv12",
        "-f",
        "framemd5",
        "-",
    ]);
    let lines = ffmpeg(&mut command)?;
    let frames = lines.lines().filter(|line| !line.starts_with('#'));
    Ok(frames.filter_map(|line| line.rsplit(',').next()).map(|hash| hash.trim().to_owned()).collect())
}

fn probed(file: &Path) -> Result<Value, Lacking> {
    let mut command = Command::new("ffprobe");
    let told = ffmpeg(command.args(["-v", "error", "-show_streams", "-of", "json"]).arg(file))?;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    Ok(told["streams"][0].clone())
}

#[test]
fn raw_frames_in_a_file_are_the_bytes_that_were_published() {
    const FRAMES: usize = 20;
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let file = scene.files().join("frames.nv12");
    let words = format!(
        "-q vasframesrc camera={CAMERA} mode=next num-buffers={FRAMES} ! video/x-raw,format=NV12 ! filesink location={}",
        file.display()
    );
    let (published, _) = publish_while_it_runs(launch(&scene, &words), || server.publish(320, 240));
    let bytes = std::fs::read(&file).expect("the file");
    let packed = published[0].packed.len();
    assert_eq!(bytes.len(), FRAMES * packed);
    let pictures: Vec<String> =
        bytes.chunks(packed).map(|frame| format!("{:x}", Md5::digest(frame))).collect();
    assert_were_published(&pictures, &published);
    server.stop();
}

#[test]
fn a_reader_by_gstreamer_goes_on_through_a_servers_restart_and_a_change_of_size() {
    require!(restart_and_size_change("gst_watch", |scene| {
        let mut command = with_plugin(scene, program("examples/gst_watch"));
        command.arg(FOLLOWED);
        Ok(command)
    }));
}

/// A program that prints a JSON line per frame.
struct Watch {
    process: Process,
    next: usize,
}

impl Watch {
    fn start(scene: &Scene) -> Self {
        let mut command = with_plugin(scene, program("examples/gst_watch"));
        Self { process: Process::start("gst_watch", command.arg(CAMERA)), next: 0 }
    }

    fn line(&mut self) -> Value {
        let line = self
            .process
            .stdout
            .line(self.next)
            .unwrap_or_else(|| panic!("it ended: {}", self.process.stderr.so_far()));
        self.next += 1;
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{line}: {why}"))
    }

    /// Reads on until that state is told. No frame comes before it.
    fn until_state(&mut self, state: &str) {
        loop {
            let line = self.line();
            assert!(line["frame_id"].is_null(), "a frame that nobody published: {line}");
            if line["state"] == state {
                return;
            }
        }
    }

    /// The next frame, and the states that were told before it.
    fn frame(&mut self) -> (Value, Vec<String>) {
        let mut states = Vec::new();
        loop {
            let line = self.line();
            match line["state"].as_str() {
                Some(state) => {
                    assert_eq!(line["camera"], CAMERA);
                    states.push(state.to_owned());
                }
                None => return (line, states),
            }
        }
    }
}

#[test]
fn the_watch_program_tells_every_frame_through_a_change_of_size_and_a_restart_of_the_server() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let mut watch = Watch::start(&scene);
    let mut generations = Vec::new();
    for (width, height) in [(320, 240), (641, 479)] {
        for run in 0..2 {
            for number in 0..3 {
                let published = server.publish(width, height);
                let (frame, states) = watch.frame();
                assert_eq!(frame["frame_id"], published.id);
                assert_eq!(frame["timestamp_ns"], published.timestamp_ns);
                assert_eq!((&frame["width"], &frame["height"]), (&width.into(), &height.into()));
                assert_eq!(frame["md5"], *published.md5);
                assert_eq!((&frame["skipped"], &frame["damaged"]), (&0.into(), &false.into()));
                if run == 1 && number == 0 {
                    assert!(states.iter().any(|told| told == "live"), "live was not told: {states:?}");
                }
                generations.push(frame["generation"].as_u64().expect("a number"));
            }
            if run == 0 {
                server.stop();
                for state in ["stopped", "waiting"] {
                    watch.until_state(state);
                }
                server = Server::start(&scene);
            }
        }
    }
    generations.dedup();
    assert_eq!(generations.len(), 4, "{generations:?}");
    assert!(generations.is_sorted(), "{generations:?}");
    server.stop();
}

#[test]
fn the_program_in_python_on_the_page_prints_what_it_says() {
    let scene = Scene::new();
    require!(python(
        "import gi, numpy; [gi.require_version(name, '1.0') for name in ('GstApp', 'GstVideo')]"
    ));
    let mut server = Server::start(&scene);
    let mut command = with_plugin(&scene, "/usr/bin/python3");
    command.arg(example("appsink.py")).args([CAMERA, "5"]);
    let (published, told) =
        publish_while_it_runs(Process::start("appsink.py", &mut command), || server.publish(322, 242));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    for line in lines {
        let mut words = line.split_whitespace();
        let id: u64 = words.nth(1).and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        let published = published
            .iter()
            .find(|published| published.id == id)
            .unwrap_or_else(|| panic!("{line}: never published"));
        let luma = &published.packed[..322 * 242];
        let mean = luma.iter().map(|&luma| u64::from(luma)).sum::<u64>() as f64 / luma.len() as f64;
        assert_eq!(line, format!("frame {id} 322x242 mean luma {mean:.2}"));
    }
    server.stop();
}

#[test]
fn the_rtsp_server_on_the_page_serves_the_camera() {
    let scene = Scene::new();
    require!(elements(&scene, &["x264enc", "rtph264pay", "videoconvert"]));
    require!(python("import gi; gi.require_version('GstRtspServer', '1.0')"));
    let mut server = Server::start(&scene);
    let mut command = with_plugin(&scene, "/usr/bin/python3");
    let rtsp = Process::start("rtsp.py", command.arg(example("rtsp.py")).args([CAMERA, "0"]));
    let url = rtsp.stdout.line_with("rtsp://");
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", "tcp", "-show_streams", "-of", "json", &url]);
    let (_, told) =
        publish_while_it_runs(Process::start("ffprobe", &mut command), || server.publish(322, 242));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let stream = &told["streams"][0];
    assert_eq!((&stream["width"], &stream["height"]), (&322.into(), &242.into()), "{stream}");
    assert_eq!(stream["codec_name"], "h264", "{stream}");
    rtsp.kill();
    server.stop();
}

#[test]
fn the_page_shows_the_program_in_python_that_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bindings/gstreamer");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the binding");
    let page = text("README.md");
    let (_, shown) = page.split_once("```python\n").expect("the page has a program in Python");
    assert_eq!(shown.split_once("```").expect("it ends").0, text("examples/appsink.py"));
}
