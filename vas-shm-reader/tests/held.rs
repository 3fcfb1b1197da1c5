//! Frames that are kept beyond the stream's next call, streams that are waited for together, and waiting that is ended.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vas_shm_proto::State;
use vas_shm_reader::{CameraId, Event, FrameSet, FrameStream, HeldFrame, Mode, Turn};

/// A deadline far beyond what a loaded machine needs.
const LONG: Duration = Duration::from_secs(30);

fn hold(stream: &mut FrameStream) -> HeldFrame {
    loop {
        match stream.next_event(LONG) {
            Event::Frame(frame) => return frame.hold(),
            Event::Status(_) => {}
            Event::Timeout => panic!("no frame came"),
        }
    }
}

/// Whether this process has that file mapped.
fn is_mapped(inode: u64) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").expect("this process's maps");
    maps.lines().any(|line| line.split_whitespace().nth(4) == Some(&inode.to_string()))
}

/// A pair with one frame of `value`, and a stream that has it open and saw a sign of life.
fn opened(base: &Base, value: u8) -> (Pair, FrameStream) {
    let pair = Pair::make(base, 16, 16, 1);
    let mut stream = FrameStream::new(base.path(), camera()).mode(Mode::Next);
    assert!(matches!(stream.next_event(Duration::ZERO), Event::Timeout));
    pair.publish(1, value);
    (pair, stream)
}

#[test]
fn a_held_frame_stays_readable_after_it_was_overwritten_and_says_so() {
    let base = Base::new();
    let (pair, mut stream) = opened(&base, 7);
    let held = hold(&mut stream);
    assert_eq!(held.frame().to_packed().expect("whole"), [7; 16 * 24]);
    (2..=4).for_each(|id| pair.publish(id, 9));
    assert!(!held.frame().is_intact());
    let mut row = [0; 16];
    let overwritten = held.frame().with(|nv12| nv12.copy_luma_row(0, &mut row));
    assert!(overwritten.is_err());
    assert_eq!(row, [9; 16], "the memory is still that of the slot");
}

#[test]
fn a_held_frame_of_a_pair_that_is_over_keeps_no_shared_memory_and_reads_as_zeros() {
    let base = Base::new();
    let (pair, mut stream) = opened(&base, 7);
    let held = hold(&mut stream);
    let inodes = [&pair.meta, &pair.data].map(|file| file.metadata().expect("fstat").ino());
    assert!(inodes.iter().all(|&inode| is_mapped(inode)), "the test knows a mapping when it sees one");
    assert!(held.frame().is_intact());
    pair.store_state(State::Stopped);
    loop {
        match stream.next_event(LONG) {
            Event::Status(status) if status.name() == "stopped" => break,
            Event::Timeout => panic!("the stop was not told"),
            _ => {}
        }
    }
    assert!(inodes.iter().all(|&inode| !is_mapped(inode)));
    assert!(!held.frame().is_intact());
    let mut row = [1; 16];
    let _ = held.frame().with(|nv12| nv12.copy_luma_row(0, &mut row));
    assert_eq!(row, [0; 16]);
}

#[test]
fn a_held_frame_lets_go_of_a_pair_that_is_over_also_when_nobody_asks_its_stream() {
    for dropped in [false, true] {
        let base = Base::new();
        let (pair, mut stream) = opened(&base, 7);
        let held = hold(&mut stream);
        let stream = (!dropped).then_some(stream);
        let inodes = [&pair.meta, &pair.data].map(|file| file.metadata().expect("fstat").ino());
        assert!(held.frame().is_intact());
        pair.store_state(State::Replaced);
        let begun = Instant::now();
        while inodes.iter().any(|&inode| is_mapped(inode)) {
            assert!(begun.elapsed() < LONG, "the pair was kept");
            std::thread::yield_now();
        }
        assert!(!held.frame().is_intact());
        assert!(held.frame().to_packed().is_err());
        // The stream still says what became of its pair.
        let Some(mut stream) = stream else { continue };
        assert!(matches!(stream.next_event(LONG), Event::Status(status) if status.name() == "replaced"));
    }
}

#[test]
fn a_held_frame_outlives_its_stream() {
    let base = Base::new();
    let (pair, mut stream) = opened(&base, 7);
    let held = hold(&mut stream);
    drop(stream);
    assert_eq!(held.frame().to_packed().expect("whole"), [7; 16 * 24]);
    let inode = pair.data.metadata().expect("fstat").ino();
    assert!(is_mapped(inode));
    drop(held);
    assert!(!is_mapped(inode), "and takes the mapping with it");
}

#[test]
fn nothing_can_be_read_through_a_held_frame_after_the_last_look_that_said_intact() {
    // Another thread reads while the pair is left: whatever it read before it was told "intact" is the frame.
    for _ in 0..100 {
        let base = Base::new();
        let (pair, mut stream) = opened(&base, 7);
        let held = hold(&mut stream);
        let other = held.clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let (tell, told) = std::sync::mpsc::channel();
        let reads: JoinHandle<u64> = std::thread::spawn(move || {
            let mut whole = 0;
            while !until.load(Ordering::Relaxed) {
                let mut picture = [0; 16 * 24];
                if other.frame().copy_to(&mut picture).is_ok() {
                    assert_eq!(picture, [7; 16 * 24]);
                    whole += 1;
                    if whole == 1 {
                        tell.send(()).expect("somebody waits for it");
                    }
                }
            }
            whole
        });
        told.recv_timeout(LONG).expect("the other thread reads");
        pair.store_state(State::Stopped);
        let begun = Instant::now();
        while held.frame().is_intact() {
            let _ = stream.next_event(Duration::from_millis(1));
            assert!(begun.elapsed() < LONG, "the stop was not noticed");
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reads.join().expect("no zeros were taken for a picture") > 0);
    }
}

#[test]
fn a_set_serves_each_of_its_cameras() {
    let (one, two) = (Server::start(), Server::start());
    let mut set = FrameSet::new();
    for server in [&one, &two] {
        set.add(FrameStream::new(server.path(), camera()));
    }
    // Never there: it keeps nobody waiting.
    set.add(FrameStream::new(one.path(), CameraId::new("nobody").expect("an id")));
    let mut frames = [0; 3];
    while frames[..2].contains(&0) {
        let (index, event) = set.next_event(LONG).expect("both have a frame");
        frames[index] += usize::from(matches!(event, Event::Frame(_)));
    }
    assert_eq!(frames, [1, 1, 0], "the frame of each, once");
}

#[test]
fn a_set_is_fair_to_a_camera_beside_one_that_always_has_a_frame() {
    let (busy, calm) = (Base::new(), Base::new());
    let (busy_pair, mut busy_stream) = opened(&busy, 1);
    let (calm_pair, mut calm_stream) = opened(&calm, 1);
    hold(&mut busy_stream);
    hold(&mut calm_stream);
    let mut set = FrameSet::new();
    set.add(busy_stream);
    set.add(calm_stream);
    calm_pair.publish(2, 1);
    for id in 2..100 {
        busy_pair.publish(id, 1);
        if let Some((1, Event::Frame(frame))) = set.next_event(LONG) {
            assert_eq!(frame.id().get(), 2);
            return;
        }
    }
    panic!("the calm camera was never asked");
}

#[test]
fn an_empty_set_times_out() {
    assert!(FrameSet::new().next_event(Duration::from_millis(1)).is_none());
}

#[test]
fn cancelling_ends_the_waiting_of_streams_and_sets_until_it_is_reset() {
    let base = Base::new();
    let (pair, mut stream) = opened(&base, 7);
    let canceller = stream.canceller();
    let cancel = canceller.clone();
    let thread = std::thread::spawn(move || cancel.cancel());
    // Frames and news come still; then the waiting ends long before its time.
    while !matches!(stream.next_event(Duration::from_secs(3600)), Event::Timeout) {}
    thread.join().expect("cancelled");
    assert!(canceller.is_cancelled());
    pair.publish(2, 7);
    assert!(matches!(stream.next_event(Duration::from_secs(3600)), Event::Timeout));

    canceller.reset();
    assert!(matches!(stream.next_event(LONG), Event::Frame(frame) if frame.id().get() == 2));

    let mut set = FrameSet::new();
    set.add(stream);
    set.canceller().cancel();
    pair.publish(3, 7);
    assert!(set.next_event(Duration::from_secs(3600)).is_none());
}

#[test]
fn a_turn_that_finds_nothing_says_when_to_look_again() {
    let base = Base::new();
    let mut stream = FrameStream::new(base.path(), camera());
    assert!(matches!(stream.try_event(), Turn::Status(_)), "waiting");
    let Turn::Later(look) = stream.try_event() else { panic!("there is nothing") };
    assert!(look.at_ns() > 0);
    // At most a tenth of a second, so this ends by itself.
    stream.wait(look, LONG);
    let pair = Pair::make(&base, 16, 16, 1);
    pair.publish(1, 3);
    let begun = Instant::now();
    for beat in 2.. {
        pair.beat(beat);
        match stream.try_event() {
            Turn::Frame(frame) => {
                assert_eq!(frame.id().get(), 1);
                break;
            }
            Turn::Status(_) => {}
            Turn::Later(look) => stream.wait(look, Duration::from_millis(50)),
        }
        assert!(begun.elapsed() < LONG, "no frame came");
    }
}
