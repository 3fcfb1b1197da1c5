//! A real camera recorded through a real server, and played again through the writer: what a reader sees then is what was there.

use md5::{Digest as _, Md5};
use rustix::process::Signal;
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::mount::Mount;
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::reader::{self, Frame, Line, Watch};
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, clean, file_camera};
use vas_e2e::{require, until};
use vas_recording::{FrameInfo, StreamState, StreamStateChange, Writer};
use vas_shm_reader::{CameraId, Color, FrameFlags};

/// A frame, as `vas-frames recording --frames --json` prints it.
#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    frame_id: u64,
    timestamp_ns: u64,
    overwritten: u64,
    dropped: u64,
    damaged: bool,
    width: u32,
    height: u32,
    generation: u64,
    md5: String,
}

/// What `vas-frames recording --json` prints.
#[derive(Debug, Deserialize)]
struct Summary {
    camera: String,
    frames: u64,
    overwritten: u64,
    dropped: u64,
    bytes: u64,
    ended: String,
    sections: Vec<Section>,
    states: Vec<State>,
}

#[derive(Debug, Deserialize)]
struct Section {
    width: u32,
    height: u32,
    frames: u64,
}

#[derive(Debug, Deserialize)]
struct State {
    state: String,
}

/// What `vas-replay --json` prints.
#[derive(Debug, Deserialize)]
struct Played {
    ended: String,
    frames: u64,
    published: u64,
    unwatched: u64,
    lost: u64,
    shifted_ms: f64,
    new_pairs: u64,
    laps: u64,
}

fn path(scene: &Scene, name: &str) -> PathBuf {
    scene.files().join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Starts recording; the camera need not be there yet.
fn record(scene: &Scene, camera: &str, to: &Path, arguments: &[&str]) -> Process {
    let all = [&["record", camera, "-o", text(to)], arguments].concat();
    Process::start("vas-frames record", &mut reader::command(scene, &all))
}

fn ended_well(ended: &Ended) {
    assert_eq!(ended.code(), Some(0), "{:?}: {}{}", ended.status, ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// What is in a recording, which has to be whole up to its end; and it is as consistent as it can be.
fn look(scene: &Scene, recording: &Path) -> (Summary, Vec<Recorded>) {
    let ended = reader::run(scene, &["recording", text(recording), "--json"]);
    ended_well(&ended);
    let summary: Summary = serde_json::from_str(&ended.stdout).expect("JSON");
    let ended = reader::run(scene, &["recording", text(recording), "--json", "--frames"]);
    ended_well(&ended);
    let frames: Vec<Recorded> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(summary.frames, frames.len() as u64);
    assert_eq!(summary.sections.iter().map(|section| section.frames).sum::<u64>(), summary.frames);
    for pair in frames.windows(2).filter(|pair| pair[0].generation == pair[1].generation) {
        let missing = pair[1].frame_id - pair[0].frame_id - 1;
        assert_eq!(
            missing,
            pair[1].overwritten + pair[1].dropped,
            "every frame is there or counted: {pair:?}"
        );
    }
    (summary, frames)
}

fn replay(scene: &Scene, recording: &Path, arguments: &[&str]) -> Process {
    // By way of vas-frames, as users do.
    let all = [&["replay", text(recording), "--json"], arguments].concat();
    Process::start("vas-frames replay", &mut reader::command(scene, &all))
}

fn played(replay: Process) -> Played {
    let ended = replay.wait();
    ended_well(&ended);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

/// Where in its pair's frames this one stands, from 0: the first frame of a pair whose camera had none before has this number.
fn index(frame: &Frame) -> usize {
    (frame.frame_id - frame.generation / 1000) as usize
}

/// Everything that a watch prints until that state.
fn lines_until(watch: &mut Watch, state: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let line = watch.next_line().expect("the watch goes on");
        let is_last =
            matches!(&line, Line::State(told) if told == state || told == "waiting" && !lines.is_empty());
        lines.push(line);
        if is_last {
            return lines;
        }
    }
}

fn frames_of(lines: &[Line]) -> Vec<Frame> {
    let frames = lines.iter().filter_map(|line| match line {
        Line::Frame(frame) => Some(frame.clone()),
        Line::State(_) => None,
    });
    frames.collect()
}

fn exported(scene: &Scene) -> bool {
    !scene.exported_files().is_empty()
}

#[test]
fn a_replay_shows_the_recorded_pictures_in_their_order_with_their_spacing_and_marks_of_damage() {
    let clip = require!(clip("bikes.h264"));
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let mut live = Watch::start(&scene, "front");
    let file = path(&scene, "front.vasrec");
    let ended = record(&scene, "front", &file, &["--count", "60"]).wait();
    ended_well(&ended);
    assert!(ended.stdout.contains("60 frames of camera front"), "{}", ended.stdout);
    let (summary, recorded) = look(&scene, &file);
    assert_eq!((&*summary.camera, &*summary.ended, summary.frames), ("front", "asked", 60));
    assert_eq!((summary.sections[0].width, summary.sections[0].height), (640, 272));
    assert_eq!(summary.dropped, 0);
    assert_eq!(summary.bytes, std::fs::metadata(&file).expect("there").len());
    // What another reader saw of them at that time.
    let last = recorded.last().expect("frames").frame_id;
    let mut seen = 0;
    loop {
        let frame = live.frame();
        if let Some(same) = recorded.iter().find(|recorded| recorded.frame_id == frame.frame_id) {
            assert_eq!((&same.md5, same.timestamp_ns), (&frame.md5, frame.timestamp_ns));
            assert_eq!(same.damaged, frame.damaged);
            seen += 1;
        }
        if frame.frame_id >= last {
            break;
        }
    }
    assert!(seen >= 10, "the test is blind: {seen} of the recorded frames were seen by the other reader");
    live.kill();
    server.stop_well();

    // Without camera, without server, as another camera.
    let mut watch = Watch::start(&scene, "fake");
    let replay = replay(&scene, &file, &["--camera", "fake", "--wait", "--slots", "8"]);
    let frames = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!((&*played.ended, played.frames, played.published), ("end", 60, 60), "{played:?}");
    assert_eq!((played.unwatched, played.lost, played.new_pairs, played.laps), (0, 0, 0, 1), "{played:?}");
    // A reader that gets no processor misses some, and begins with the newest.
    assert!(frames.len() >= 15, "the test is blind: {} frames were seen", frames.len());
    assert!(frames.windows(2).all(|pair| pair[0].frame_id < pair[1].frame_id));
    for frame in &frames {
        let (from, first) = (&recorded[index(frame)], &recorded[index(&frames[0])]);
        assert_eq!((&frame.md5, frame.damaged), (&from.md5, from.damaged));
        assert_eq!((frame.width, frame.height), (from.width, from.height));
        // To the nanosecond, and never told before it was so late.
        let (now_ns, then_ns) =
            (frame.timestamp_ns - frames[0].timestamp_ns, from.timestamp_ns - first.timestamp_ns);
        assert_eq!(now_ns, then_ns, "frame {}", index(frame));
        assert!(frame.found_ns >= frame.timestamp_ns);
    }
    assert!(!exported(&scene), "left behind: {:?}", scene.exported_files());
    assert!(!scene.base().join("fake").exists(), "the directory was made for the replay alone");
}

#[test]
fn a_size_that_changed_changes_in_the_replay_too() {
    let (small, wide) = (require!(clip("h264.h264")), require!(clip("bikes.h264")));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&small, &wide]);
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let mut live = Watch::start(&scene, "front");
    let _ = live.frames(5);
    let file = path(&scene, "front.vasrec");
    let recorder = record(&scene, "front", &file, &[]);
    until("the recording has frames", || {
        std::fs::metadata(&file).ok().filter(|file| file.len() > 10 * 460_800)
    });
    rtsp.command("clip 1");
    let _ = live.until_frame(|frame| frame.width == 640 && frame.height == 272);
    let _ = live.frames(30);
    recorder.signal(Signal::INT);
    ended_well(&recorder.wait());
    server.stop_well();
    drop(live);
    let (summary, recorded) = look(&scene, &file);
    assert_eq!(summary.ended, "signal");
    let sizes: Vec<_> = summary.sections.iter().map(|section| (section.width, section.height)).collect();
    assert_eq!((sizes[0], sizes[sizes.len() - 1]), ((640, 480), (640, 272)), "{sizes:?}");

    let mut watch = Watch::start(&scene, "front");
    let replay = replay(&scene, &file, &["--wait", "--slots", "8"]);
    let played = played(replay);
    let mut lines = Vec::new();
    // While one pair replaces the other, a reader may find neither, and say so.
    while !frames_of(&lines).iter().any(|frame| frame.height == 272) {
        lines.extend(lines_until(&mut watch, "stopped"));
    }
    assert_eq!((played.frames, played.published), (summary.frames, summary.frames), "{played:?}");
    assert_eq!(played.new_pairs as usize, summary.sections.len() - 1, "{played:?}");
    let frames = frames_of(&lines);
    // In each size: those that were recorded, in their order.
    let mut from = recorded.iter();
    for frame in &frames {
        let same = from.find(|recorded| recorded.md5 == frame.md5 && recorded.height == frame.height);
        assert!(same.is_some(), "not recorded, or in another order: {frame:?}");
    }
    for height in [480, 272] {
        let seen = frames.iter().filter(|frame| frame.height == height).count();
        assert!(seen >= 3, "the test is blind: {seen} frames of height {height} were seen");
    }
    assert!(!exported(&scene));
}

#[test]
fn a_camera_that_stalled_and_a_server_that_came_again_do_so_in_the_replay() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&clip]);
    let config = camera("front", rtsp.url());
    let server = Server::start(&scene, &config);
    let mut live = Watch::start(&scene, "front");
    let _ = live.frames(5);
    let file = path(&scene, "front.vasrec");
    let recorder = record(&scene, "front", &file, &[]);
    until("the recording has frames", || {
        std::fs::metadata(&file).ok().filter(|file| file.len() > 10 * 460_800)
    });
    let _ = rtsp.freeze();
    let _ = live.frames_until_state("stalled");
    // A stall of this length, nothing to be waited for: one that is shorter than a reader's nap is seen by no reader, nor is its replay.
    std::thread::sleep(std::time::Duration::from_millis(300));
    rtsp.command("resume");
    let _ = live.frames(15);
    server.stop_well();
    let _ = live.frames_until_any_state(&["stopped", "waiting"]);
    let server = Server::start(&scene, &config);
    let _ = live.frames(15);
    recorder.signal(Signal::TERM);
    ended_well(&recorder.wait());
    server.stop_well();
    drop(live);
    let (summary, recorded) = look(&scene, &file);
    let states: Vec<_> = summary.states.iter().map(|state| &*state.state).collect();
    assert!(states.contains(&"stalled"), "{states:?}");
    assert_eq!(summary.sections.len(), 2, "{summary:?}");

    let mut watch = Watch::start(&scene, "front");
    let replay = replay(&scene, &file, &["--wait", "--slots", "8"]);
    let mut lines = lines_until(&mut watch, "stalled");
    assert!(matches!(lines.last(), Some(Line::State(told)) if told == "stalled"), "{lines:?}");
    let before = frames_of(&lines);
    lines = lines_until(&mut watch, "stopped");
    let between = frames_of(&lines);
    let after = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!(
        (played.frames, played.published, played.new_pairs),
        (summary.frames, summary.frames, 1),
        "{played:?}"
    );
    assert!(!between.is_empty() && !after.is_empty(), "frames come before and after the restart");
    assert_eq!(before[0].generation, between[0].generation, "a stall is no restart");
    assert!(after[0].generation > between[0].generation, "other files");
    let mut from = recorded.iter();
    for frame in before.iter().chain(&between).chain(&after) {
        assert!(
            from.any(|recorded| recorded.md5 == frame.md5),
            "not recorded, or in another order: {frame:?}"
        );
    }
    // The pause of the stall is as long as it was, but for what the files of the second pair took.
    let pause = |times: &[u64]| times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let then: Vec<_> = recorded
        .iter()
        .filter(|frame| frame.generation == recorded[0].generation)
        .map(|frame| frame.timestamp_ns)
        .collect();
    let now: Vec<_> = before.iter().chain(&between).map(|frame| frame.timestamp_ns).collect();
    assert!(pause(&now) >= pause(&then), "{} ns, and {} were recorded", pause(&now), pause(&then));
    assert!(played.shifted_ms >= 0.0);
    assert!(!exported(&scene));
}

#[test]
fn a_recorder_that_is_killed_leaves_every_frame_that_it_had_written() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let file = path(&scene, "yard.vasrec");
    let recorder = record(&scene, "yard", &file, &[]);
    let size = until("the recording has frames", || {
        std::fs::metadata(&file).ok().map(|file| file.len()).filter(|&bytes| bytes > 20 * 115_200)
    });
    recorder.kill();
    server.stop_well();
    let (summary, recorded) = look(&scene, &file);
    assert_eq!(summary.ended, "cut");
    assert!(summary.bytes + 115_264 > size, "all but the frame in work: {summary:?}, {size}");

    // It is played like any other, from frame 3 to frame 6.
    let mut watch = Watch::start(&scene, "yard");
    let replay = replay(&scene, &file, &["--wait", "--from", "3", "--count", "4", "--speed", "0.5"]);
    let frames = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!((&*played.ended, played.frames), ("end", 4), "{played:?}");
    for frame in &frames {
        let from = &recorded[2 + index(frame)];
        assert_eq!(frame.md5, from.md5);
        assert_eq!(
            frame.timestamp_ns - frames[0].timestamp_ns,
            2 * (from.timestamp_ns - recorded[2 + index(&frames[0])].timestamp_ns)
        );
    }
}

#[test]
fn a_disk_that_is_full_ends_the_recording_with_a_sentence_and_all_whole_frames_stay() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let disk = path(&scene, "disk");
    let _mount = require!(Mount::on(&disk, "size=1m"));
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let file = disk.join("yard.vasrec");
    let ended = record(&scene, "yard", &file, &[]).wait();
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    for words in [text(&file), "No space left on device", "what was recorded before stays, ", "--max-bytes"] {
        assert!(ended.stderr.contains(words), "{words:?} is not in: {}", ended.stderr);
    }
    let (summary, _) = look(&scene, &file);
    // 1 MiB holds nine of 115264 bytes, and no tenth.
    assert_eq!((summary.frames, &*summary.ended), (9, "cut"));
    assert!(ended.stderr.contains("stays, 9 frames"), "{}", ended.stderr);
    assert_eq!(
        summary.bytes,
        std::fs::metadata(&file).expect("there").len(),
        "what is not whole was cut off"
    );

    // With a limit below that it ends well.
    std::fs::remove_file(&file).expect("remove it");
    let ended = record(&scene, "yard", &file, &["--max-bytes", "1000000"]).wait();
    ended_well(&ended);
    let (summary, _) = look(&scene, &file);
    assert_eq!((summary.frames, &*summary.ended), (8, "size"));
    assert!(summary.bytes <= 1_000_000);
    server.stop_well();
}

#[test]
fn a_reader_of_the_recording_that_is_slow_costs_recorded_frames_which_are_counted_and_nothing_else() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let mut live = Watch::start(&scene, "yard");
    let mut command = clean(Command::new(program("vas-frames")), &scene);
    command.args(["record", "yard", "-o", "-", "--json", "--count", "40", "--buffer-bytes", "1"]);
    let mut recorder =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("vas-frames starts");
    let mut pipe = recorder.stdout.take().expect("a pipe");
    // The pipe holds half a frame; nobody reads more than the beginning while the camera shows 50.
    let mut bytes = vec![0; 1];
    pipe.read_exact(&mut bytes).expect("a recording begins");
    let _ = live.frames(1);
    live.skip_to_now();
    let frames = live.frames(50);
    assert!(frames.windows(2).all(|pair| pair[0].generation == pair[1].generation));
    pipe.read_to_end(&mut bytes).expect("the recording to its end");
    let ended = recorder.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let file = path(&scene, "yard.vasrec");
    std::fs::write(&file, &bytes).expect("write it");
    let (summary, _) = look(&scene, &file);
    assert_eq!((summary.frames, &*summary.ended), (40, "asked"));
    assert!(summary.dropped >= 20, "{summary:?}");
    assert!(said.contains(&format!("\"dropped\":{}", summary.dropped)), "{said}");
    assert!(summary.overwritten <= summary.dropped, "reading never waited for writing: {summary:?}");
    server.stop_well();
}

#[test]
fn a_camera_that_a_server_exports_is_not_played_over_and_the_writer_says_why() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let mut live = Watch::start(&scene, "yard");
    let first = live.frame();
    let file = path(&scene, "yard.vasrec");
    ended_well(&record(&scene, "yard", &file, &["--count", "5"]).wait());
    let ended = replay(&scene, &file, &[]).wait();
    assert_eq!(ended.code(), Some(3), "{}{}", ended.stdout, ended.stderr);
    println!("{}", ended.stderr);
    assert!(ended.stderr.contains("not exported: "), "the writer's own words: {}", ended.stderr);
    assert!(ended.stderr.contains("camera yard is not played: another process exports this camera"));
    live.skip_to_now();
    let frames = live.frames(10);
    assert!(frames.iter().all(|frame| frame.generation == first.generation), "the server noticed nothing");
    server.stop_well();
}

#[test]
fn a_replay_goes_round_until_it_is_asked_to_stop_and_leaves_no_file_behind() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let file = path(&scene, "yard.vasrec");
    ended_well(&record(&scene, "yard", &file, &["--count", "5"]).wait());
    server.stop_well();
    let (_, recorded) = look(&scene, &file);
    for signal in [Signal::TERM, Signal::INT] {
        let mut watch = Watch::start(&scene, "yard");
        let replay = replay(&scene, &file, &["--loop", "--wait", "--slots", "8"]);
        let frames = watch.frames(23);
        assert!(
            frames.windows(2).all(|pair| pair[0].generation == pair[1].generation),
            "one pair for all rounds"
        );
        for frame in &frames {
            assert_eq!(frame.md5, recorded[index(frame) % 5].md5);
        }
        replay.signal(signal);
        let played = played(replay);
        assert_eq!(played.ended, "signal");
        assert!(played.laps >= 4, "{played:?}");
        assert!(!exported(&scene), "left behind: {:?}", scene.exported_files());
        let _ = watch.until_any_state(&["stopped", "waiting"]);
    }
}

#[test]
fn a_damaged_recording_is_played_up_to_the_damage_and_then_refused_with_its_place() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let file = path(&scene, "yard.vasrec");
    ended_well(&record(&scene, "yard", &file, &["--count", "6"]).wait());
    server.stop_well();
    let mut bytes = std::fs::read(&file).expect("read it");
    // The header, a section, and records of 64 bytes and 115200 pixels: this is in the fourth frame.
    let offset = 128 + 48 + 3 * 115_264;
    bytes[offset + 50_000] ^= 1;
    std::fs::write(&file, &bytes).expect("write it");
    let sentence = format!("the recording is damaged at byte {offset}: the checksum of its body is ");
    let ended = reader::run(&scene, &["recording", text(&file)]);
    assert_eq!(ended.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains(&sentence), "{}", ended.stderr);

    let mut watch = Watch::start(&scene, "yard");
    let ended = replay(&scene, &file, &["--wait", "--slots", "8"]).wait();
    assert_eq!(ended.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains(&sentence), "{}", ended.stderr);
    let played: Played = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&*played.ended, played.published), ("damaged", 3), "{played:?}");
    assert!(!frames_of(&lines_until(&mut watch, "stopped")).is_empty());
}

#[test]
fn a_recording_goes_through_a_pipe_into_a_replay() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let mut command = clean(Command::new("sh"), &scene);
    let frames = program("vas-frames");
    command.args([
        "-c",
        "\"$0\" record yard -o - --count 30 | \"$0\" replay - --camera copy --wait --slots 8 --json",
    ]);
    command.arg(&frames);
    let mut watch = Watch::start(&scene, "copy");
    let replay = Process::start("record | replay", &mut command);
    let seen = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!((played.frames, &*played.ended), (30, "end"), "{played:?}");
    assert!(!seen.is_empty());
    server.stop_well();
}

const PERIOD_NS: u64 = 40_000_000;

/// A recording of two servers' frames, ten and ten of 5x3 pixels; every third one is damaged.
fn made_up(between: impl FnOnce(&mut Writer<Vec<u8>>), generations: [u64; 2], silence_ns: u64) -> Vec<u8> {
    let camera = CameraId::new("made-up").expect("an id");
    let start = vas_recording::Start { camera, wall_ns: 0, monotonic_ns: 0 };
    let mut writer = Writer::new(Vec::new(), &start).expect("a vector takes all");
    let mut between = Some(between);
    for (half, generation) in generations.into_iter().enumerate() {
        let section =
            vas_recording::Section::new(generation, 5, 3, Color::UNSPECIFIED, PERIOD_NS).expect("a size");
        if half == 0 || generations[0] != generation {
            writer.section(&section).expect("written");
        }
        for id in half as u64 * 10..half as u64 * 10 + 10 {
            let flags = if id % 3 == 0 { FrameFlags::DAMAGED } else { FrameFlags::default() };
            let timestamp_ns = id * PERIOD_NS + half as u64 * silence_ns;
            let info = FrameInfo { frame_id: id, timestamp_ns, flags, ..FrameInfo::default() };
            writer.frame(&info, &[id as u8; 27]).expect("written");
        }
        // After the first half.
        if let Some(between) = between.take() {
            between(&mut writer);
        }
    }
    writer.into_inner()
}

#[test]
fn damage_odd_sizes_and_a_server_that_falls_silent_are_played_too() {
    let scene = Scene::new();
    let gone = StreamStateChange { state: StreamState::ServerGone, at_ns: 9 * PERIOD_NS + 3_100_000_000 };
    let recording = made_up(|writer| writer.state(&gone).expect("written"), [1, 1], 5_000_000_000);
    let file = path(&scene, "made-up.vasrec");
    std::fs::write(&file, recording).expect("write it");

    let mut watch = Watch::start(&scene, "made-up");
    let replay = replay(&scene, &file, &["--wait", "--slots", "8"]);
    let before = frames_of(&lines_until(&mut watch, "server_gone"));
    let after = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!((played.frames, played.published, &*played.ended), (20, 20, "cut"), "{played:?}");
    assert!(before.iter().all(|frame| index(frame) < 10) && after.iter().all(|frame| index(frame) >= 10));
    for frames in [&before, &after] {
        assert!(frames.iter().any(|frame| frame.damaged) && frames.iter().any(|frame| !frame.damaged));
        assert!(frames.iter().all(|frame| frame.damaged == (index(frame) % 3 == 0)), "{frames:?}");
        assert!(frames.iter().all(|frame| (frame.width, frame.height) == (5, 3)));
    }
}

#[test]
fn a_restart_without_a_pause_has_files_of_its_own_and_what_follows_comes_later_by_what_they_took() {
    let scene = Scene::new();
    let file = path(&scene, "made-up.vasrec");
    std::fs::write(&file, made_up(|_| (), [1, 2], 0)).expect("write it");
    let mut watch = Watch::start(&scene, "made-up");
    let replay = replay(&scene, &file, &["--wait", "--slots", "8"]);
    let before = frames_of(&lines_until(&mut watch, "stopped"));
    let after = frames_of(&lines_until(&mut watch, "stopped"));
    let played = played(replay);
    assert_eq!((played.published, played.new_pairs), (20, 1), "{played:?}");
    assert!(
        played.shifted_ms > 0.0,
        "files take longer than a period with the wait for a reader: {played:?}"
    );
    assert!(after[0].generation > before[0].generation, "other files");
    let md5 = |luma: u8| format!("{:x}", Md5::digest([luma; 27]));
    let number =
        |frame: &Frame| (0..20).find(|&luma| frame.md5 == md5(luma)).map(u64::from).expect("one of the 20");
    for frame in &after {
        let distance_ns = (number(frame) - number(&before[0])) * PERIOD_NS;
        let shifted_ns = frame.timestamp_ns - before[0].timestamp_ns - distance_ns;
        assert_eq!(
            shifted_ns / 1000,
            (played.shifted_ms * 1000.0).round() as u64,
            "all that follows, by as much"
        );
    }
}
