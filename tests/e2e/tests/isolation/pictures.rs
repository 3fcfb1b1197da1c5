//! The server decodes every picture that its camera sends, and its ring loses none, with any readers and without.
//!
//! The export pulls from the ring as streaming and recording do (§1): a consumer in the server's process, with a cursor of its
//! own. What it did not get in time is "dropped by the ring" in the server's last words.

use crate::readers::Reader;
use std::fs;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::require;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};

/// Readers of a crowd.
const MANY: usize = 16;
/// Twice as fast as most cameras.
const FPS: &str = "50";
/// Pictures that come after whatever happens to the readers: three seconds.
const PICTURES: u64 = 150;

/// Why frames are not exported before there are files for them; readers have nothing to do with it.
const NO_FILES_YET: &str = "the files are being made";

#[derive(Debug, Clone, Copy)]
enum Fate {
    Polling,
    Stopped,
    KilledAtOnce,
}

/// What a server said of a camera at its end.
#[derive(Debug)]
struct Summary {
    decoded: u64,
    exported: u64,
    ring_dropped: u64,
    not_exported: u64,
    /// Not exported for other reasons than that there were no files yet.
    other_reasons: Vec<String>,
    damaged: u64,
    not_decodable: u64,
    packets_lost: u64,
}

impl Summary {
    fn of(line: &str) -> Self {
        let number_before = |words: &str| {
            let before = line.split(words).next().unwrap_or_default();
            let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            digits.parse().unwrap_or_else(|_| panic!("no number before {words:?} in: {line}"))
        };
        let reasons = line.split(" not exported (").nth(1).and_then(|rest| rest.split(')').next());
        let other_reasons = reasons
            .into_iter()
            .flat_map(|reasons| reasons.split("; "))
            .filter(|reason| !reason.starts_with(NO_FILES_YET))
            .map(str::to_owned)
            .collect();
        Self {
            decoded: number_before(" frames decoded"),
            exported: number_before(" exported, "),
            ring_dropped: number_before(" dropped by the ring"),
            not_exported: number_before(" not exported"),
            other_reasons,
            damaged: number_before(" damaged"),
            not_decodable: number_before(" packets not decodable"),
            packets_lost: number_before(" packets lost"),
        }
    }
}

/// Processor time of all threads of a process, without those that have ended.
fn processor_ms(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let ns: u64 = times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum();
    ns as f64 / 1e6
}

/// Plays a camera to a server and a crowd of readers, to which something happens while pictures come.
fn play(count: usize, fate: Fate) {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start_with(&[&clip], &["--port", "0", "--fps", FPS]);
    let server =
        Server::start(&scene, &format!("[export]\nwhen = \"always\"\n{}", camera("front", rtsp.url())));
    let _ = server.stderr.line_with("exporting to");
    let mut readers = Reader::crowd(&scene, count);

    let (before, used_before) = (rtsp.pictures_sent(), processor_ms(server.id()));
    match fate {
        Fate::Polling => {}
        Fate::Stopped => {
            readers.iter().for_each(Reader::stop);
            readers.iter().for_each(Reader::until_stopped);
        }
        // One signal after the other, and no wait between: they die together.
        Fate::KilledAtOnce => readers.iter().for_each(Reader::kill),
    }
    rtsp.until_sent(PICTURES);
    let used = processor_ms(server.id()) - used_before;
    let per_picture = used / (rtsp.pictures_sent() - before) as f64;
    if let Fate::Polling = fate {
        // They were there to the end.
        readers.iter_mut().for_each(|reader| reader.until_given(1));
    }

    let sent = rtsp.end();
    let _ = server.stderr.line_with("the camera ended the stream");
    let given: usize = readers.iter_mut().map(Reader::frames).sum();
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let line = ended.stderr.lines().find(|line| line.contains("ended; in")).expect("the server's last words");
    println!(
        "{count} readers, {fate:?}: {sent} pictures sent, {given} given to readers, {per_picture:.2} ms of processor time a picture; {line}"
    );
    let summary = Summary::of(line);
    assert_eq!(summary.decoded, sent, "the camera sent {sent} pictures: {line}");
    assert_eq!(summary.ring_dropped, 0, "{line}");
    assert_eq!(summary.exported + summary.not_exported, sent, "{line}");
    assert!(summary.other_reasons.is_empty(), "{:?}: {line}", summary.other_reasons);
    assert_eq!((summary.damaged, summary.not_decodable, summary.packets_lost), (0, 0, 0), "{line}");
}

#[test]
fn without_readers_every_picture_of_a_camera_is_decoded_and_exported() {
    play(0, Fate::Polling);
}

#[test]
fn with_one_reader_every_picture_of_a_camera_is_decoded_and_exported() {
    play(1, Fate::Polling);
}

#[test]
fn with_16_readers_every_picture_of_a_camera_is_decoded_and_exported() {
    play(MANY, Fate::Polling);
}

#[test]
fn with_16_stopped_readers_every_picture_of_a_camera_is_decoded_and_exported() {
    play(MANY, Fate::Stopped);
}

#[test]
fn when_16_readers_are_killed_at_once_every_picture_of_a_camera_is_decoded_and_exported() {
    play(MANY, Fate::KilledAtOnce);
}
