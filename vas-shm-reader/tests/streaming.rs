//! The stream: it waits, tells what changes, comes back, and counts.

mod common;

use common::*;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_shm_proto::State;
use vas_shm_proto::words::Word64;
use vas_shm_reader::{Event, FrameStream, Mode, Status, StreamStatus};

/// A deadline far beyond what a loaded machine needs.
const LONG: Duration = Duration::from_secs(30);

fn stream(base: &Base) -> FrameStream {
    FrameStream::new(base.path(), camera())
}

fn frame(stream: &mut FrameStream) -> (u64, u64) {
    loop {
        match stream.next_event(LONG) {
            Event::Frame(frame) => return (frame.id().get(), frame.skipped()),
            Event::Status(_) => {}
            Event::Timeout => panic!("no frame came"),
        }
    }
}

/// Beats until the work is done: however late the stream opens the pair, a sign of life comes after that.
fn beating<T>(pair: &Pair, pause: Duration, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + LONG;
            for beat in 100.. {
                std::thread::sleep(pause);
                if is_over.load(Ordering::Relaxed) || Instant::now() > end {
                    break;
                }
                pair.beat(beat);
            }
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

fn status(stream: &mut FrameStream) -> StreamStatus {
    match stream.next_event(LONG) {
        Event::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn a_stream_may_begin_before_its_camera_exists() {
    let base = Base::new();
    let mut stream = stream(&base);
    assert_eq!(status(&mut stream).name(), "waiting");
    let pair = Pair::make(&base, 16, 16, 1);
    pair.publish(7, 1);
    assert_eq!(beating(&pair, Duration::from_millis(150), || frame(&mut stream)), (7, 0));
}

// Proves READ-10.
#[test]
fn frames_that_were_overwritten_unseen_are_counted() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base).mode(Mode::Next);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    (1..=2).for_each(|id| pair.publish(id, 1));
    assert_eq!(frame(&mut stream), (2, 0), "the first frame of a generation skips none");
    (3..=9).for_each(|id| pair.publish(id, 1));
    assert_eq!(frame(&mut stream), (7, 4));
    assert_eq!(frame(&mut stream), (8, 0));
    assert_eq!(frame(&mut stream), (9, 0));
    assert_eq!(stream.skipped_total(), 4);
}

// Proves READ-9.
#[test]
fn the_newest_frame_comes_first_unless_every_frame_is_wanted() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    pair.publish(1, 1);
    assert_eq!(frame(&mut stream), (1, 0));
    (2..=4).for_each(|id| pair.publish(id, 1));
    assert_eq!(frame(&mut stream), (4, 2));
}

// Proves HEAD-10 and LIFE-6.
#[test]
fn a_stream_goes_on_in_the_next_pair_and_the_jump_counts_nothing() {
    let base = Base::new();
    let old = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    old.publish(1, 1);
    assert_eq!(frame(&mut stream), (1, 0));
    let new = Pair::make(&base, 32, 32, 2);
    old.store_state(State::Replaced);
    assert_eq!(status(&mut stream), StreamStatus::Open(Status::Replaced));
    let deadline = Instant::now() + LONG;
    while stream.reader().is_none() {
        assert!(Instant::now() < deadline, "the new pair was not opened");
        assert!(!matches!(stream.next_event(Duration::from_millis(10)), Event::Frame(_)));
    }
    new.publish(1000, 1);
    assert_eq!(frame(&mut stream), (1000, 0));
    assert_eq!(stream.reader().unwrap().header().picture().width(), 32);
}

// Proves LIFE-6 and OPEN-19.
#[test]
fn a_camera_that_stops_is_told_once_and_waited_for() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    pair.publish(1, 1);
    frame(&mut stream);
    pair.store_state(State::Stopped);
    fs::remove_file(base.meta()).unwrap();
    fs::remove_file(base.data()).unwrap();
    assert_eq!(status(&mut stream), StreamStatus::Open(Status::Stopped));
    assert!(stream.reader().is_none(), "the dead pair's memory is let go");
    assert_eq!(status(&mut stream).name(), "waiting");
    assert_eq!(stream.next_event(Duration::from_millis(300)).name(), "timeout");
}

// Proves LIVE-2 and LIVE-5.
#[test]
fn a_server_that_was_killed_and_came_back_is_found_by_the_name_of_its_files() {
    let base = Base::new();
    let killed = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    killed.publish(1, 1);
    frame(&mut stream);
    // Nobody says "stopped"; the name merely leads to another file.
    let new = Pair::make(&base, 16, 16, 2);
    new.publish(5, 1);
    assert_eq!(beating(&new, Duration::from_millis(300), || frame(&mut stream)), (5, 0));
}

// Proves LIVE-6.
#[test]
fn a_stall_is_told_and_so_is_its_end() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    pair.publish(1, 1);
    frame(&mut stream);
    pair.store_state(State::Stalled);
    pair.beat(2);
    assert_eq!(status(&mut stream), StreamStatus::Open(Status::Stalled));
    pair.store_state(State::Live);
    pair.beat(3);
    assert_eq!(status(&mut stream), StreamStatus::Open(Status::Live));
}

// Proves OPEN-19.
#[test]
fn a_camera_that_cannot_be_read_is_refused_once_and_found_when_it_can() {
    let base = Base::new();
    let spoiled = Pair::make_with(&base, 16, 16, 1, |raw| raw.stream.slot_count.set(9));
    let mut stream = stream(&base);
    let refused = status(&mut stream);
    assert_eq!(refused.name(), "refused");
    assert!(refused.to_string().ends_with("slot_count is 9, it has to be 2 to 8"), "{refused}");
    drop(spoiled);
    let pair = Pair::make(&base, 16, 16, 2);
    pair.publish(3, 1);
    assert_eq!(beating(&pair, Duration::from_millis(300), || frame(&mut stream)), (3, 0));
}

#[test]
fn waiting_ends_at_its_deadline_and_never_before() {
    let base = Base::new();
    let mut stream = stream(&base);
    assert_eq!(status(&mut stream).name(), "waiting");
    let begun = Instant::now();
    assert_eq!(stream.next_event(Duration::from_millis(250)).name(), "timeout");
    assert!(begun.elapsed() >= Duration::from_millis(250));
}

/// For assertions that read well.
trait Name {
    fn name(&self) -> &'static str;
}

impl Name for Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Event::Frame(_) => "frame",
            Event::Status(_) => "status",
            Event::Timeout => "timeout",
        }
    }
}

// Proves READ-11 and TRUST-2.
#[test]
fn a_header_whose_words_go_wild_is_survived() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.store(Word64::FRAME_PERIOD_NS, u64::MAX);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    for id in [1, u64::MAX, 5, u64::MAX - 1, u64::MAX] {
        pair.publish(id, 1);
        assert_eq!(frame(&mut stream).0, id);
    }
}

#[test]
fn the_end_of_a_pair_is_noticed_soon_however_seldom_its_frames_come() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.store(Word64::FRAME_PERIOD_NS, 3_600_000_000_000);
    let mut stream = stream(&base);
    assert_eq!(stream.next_event(Duration::ZERO).name(), "timeout");
    pair.publish(1, 1);
    frame(&mut stream);
    pair.store_state(State::Stopped);
    // Far below the hour for which no frame is expected, far above what a loaded machine needs.
    match stream.next_event(LONG) {
        Event::Status(status) => assert_eq!(status, StreamStatus::Open(Status::Stopped)),
        other => panic!("{}", other.name()),
    }
}
