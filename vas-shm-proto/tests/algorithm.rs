//! The two halves of the algorithm over plain atomics: what a reader finds after each thing a writer can do, then both at
//! full speed on two threads.
//!
//! x86-64 keeps more order than the algorithm asks for, so a green run there says nothing about the fences; that is what the
//! model checker is for. These tests are about the logic, and about whether the last check is really what keeps torn frames
//! out.

mod support;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::PlainWords;
use vas_shm_proto::publish::{FrameInfo, claim, publish, withdraw};
use vas_shm_proto::snapshot::{Found, Snapshot, at, is_intact, latest, next};
use vas_shm_proto::words::{PublishWords, SnapshotWords, Word32, Word64};
use vas_shm_proto::{FrameFlags, FrameId, SlotCount};

const SLOTS: SlotCount = SlotCount::DEFAULT;

fn id(number: u64) -> FrameId {
    FrameId::new(number).unwrap()
}

/// A frame whose numbers can be told from its id.
fn put(words: &impl PublishWords, number: u64) {
    let flags = if number % 2 == 1 { FrameFlags::DAMAGED } else { FrameFlags::default() };
    publish(words, claim(words, SLOTS, id(number)), FrameInfo { timestamp_ns: number * 1000, flags });
}

/// Words in which the frames `first..=last` were published.
fn after_frames(first: u64, last: u64) -> PlainWords {
    let words = PlainWords::zeroed();
    (first..=last).for_each(|number| put(&words, number));
    words
}

#[track_caller]
fn frame(found: Found) -> Snapshot {
    match found {
        Found::Frame(frame) => frame,
        other => panic!("expected a frame, got {other:?}"),
    }
}

/// Words that write down what is done to them. Its writer's half has nothing to load with, its reader's half nothing to store.
#[derive(Default)]
struct Diary(RefCell<Vec<String>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.borrow_mut().push(line);
    }

    fn lines(self) -> Vec<String> {
        self.0.into_inner()
    }
}

impl PublishWords for Diary {
    fn store_u64(&self, word: Word64, value: u64) {
        self.note(format!("{} = {value}", word.offset()));
    }

    fn store_u64_release(&self, word: Word64, value: u64) {
        self.note(format!("{} = {value}, release", word.offset()));
    }

    fn store_u32_release(&self, word: Word32, value: u32) {
        self.note(format!("{} = {value}, release", word.offset()));
    }

    fn fence_release(&self) {
        self.note("fence release".into());
    }

    fn fence_foreign_stores(&self) {
        self.note("foreign stores are done".into());
    }
}

/// The same of a reader, over a pair in which frame 7 of 3 slots is the newest.
impl SnapshotWords for Diary {
    fn load_u64(&self, word: Word64) -> u64 {
        self.note(format!("load {}", word.offset()));
        match word.offset() {
            8 | 320 => 7,
            328 => 7000,
            _ => 0,
        }
    }

    fn load_u32(&self, word: Word32) -> u32 {
        self.note(format!("load {}", word.offset()));
        0
    }

    fn fence_acquire(&self) {
        self.note("fence acquire".into());
    }
}

// Proves PUB-1 to PUB-6 and PUB-9: these stores in this order, and not one load.
#[test]
fn the_writer_stores_in_the_order_of_its_steps_and_loads_nothing() {
    let words = Diary::default();
    let claimed = claim(&words, SLOTS, id(7));
    publish(&words, claimed, FrameInfo { timestamp_ns: 7000, flags: FrameFlags::DAMAGED });
    assert_eq!(
        words.lines(),
        [
            "320 = 0",
            "fence release",
            "foreign stores are done",
            "328 = 7000",
            "344 = 1",
            "320 = 7, release",
            "16 = 7000",
            "8 = 7, release",
        ]
    );
}

// Proves READ-1 to READ-6 and READ-12: these loads and fences in this order.
#[test]
fn the_reader_loads_in_the_order_of_its_steps() {
    let words = Diary::default();
    let newest = frame(latest(&words, SLOTS, None));
    assert!(is_intact(&words, &newest));
    assert_eq!(
        words.lines(),
        ["load 8", "load 320", "fence acquire", "load 328", "load 344", "fence acquire", "load 320"]
    );
}

// Proves READ-9.
#[test]
fn a_frame_is_there_by_number_only_among_the_newest_that_were_published() {
    let words = after_frames(1, 7);
    for (number, stands) in [(4, false), (5, true), (6, true), (7, true), (8, false), (u64::MAX, false)] {
        assert_eq!(at(&words, SLOTS, id(number)).is_some(), stands, "{number}");
    }
    // Complete in its slot, and not announced yet; then a number that no slot can hold any more.
    words.store_u64(Word64::slot_frame_id(id(8).slot(SLOTS)), 8);
    assert_eq!(at(&words, SLOTS, id(8)), None);
    words.store_u64(Word64::slot_frame_id(id(7).slot(SLOTS)), 4);
    assert_eq!(at(&words, SLOTS, id(4)), None);
}

// Proves HEAD-8 and READ-1.
#[test]
fn before_the_first_frame_there_is_nothing_new() {
    let words = PlainWords::zeroed();
    assert_eq!(latest(&words, SLOTS, None), Found::NothingNew);
    assert_eq!(next(&words, SLOTS, None), Found::NothingNew);
    assert_eq!(at(&words, SLOTS, id(1)), None);
}

// Proves HEAD-5, HEAD-12, READ-4 and PUB-1 to PUB-6.
#[test]
fn the_latest_frame_comes_with_its_own_numbers() {
    let words = after_frames(1, 7);
    let newest = frame(latest(&words, SLOTS, None));
    assert_eq!((newest.id(), newest.slot().get()), (id(7), 1));
    assert_eq!((newest.timestamp_ns(), newest.flags().is_damaged()), (7000, true));
    assert!(is_intact(&words, &newest));
}

// Proves READ-1.
#[test]
fn a_frame_that_was_seen_is_not_new() {
    let words = after_frames(1, 7);
    assert_eq!(latest(&words, SLOTS, Some(id(7))), Found::NothingNew);
    assert_eq!(next(&words, SLOTS, Some(id(7))), Found::NothingNew);
    put(&words, 8);
    assert_eq!(frame(latest(&words, SLOTS, Some(id(7)))).id(), id(8));
}

// Proves READ-9.
#[test]
fn a_reader_that_keeps_up_gets_every_frame_in_order() {
    let words = PlainWords::zeroed();
    let mut seen = None;
    for number in 100..200 {
        put(&words, number);
        let frame = frame(next(&words, SLOTS, seen));
        assert_eq!(frame.id(), id(number));
        seen = Some(frame.id());
        assert_eq!(next(&words, SLOTS, seen), Found::NothingNew);
    }
}

// Proves READ-9 and READ-10.
#[test]
fn a_reader_that_falls_behind_gets_the_oldest_that_still_stands() {
    let words = after_frames(1, 10);
    let mut seen = Some(id(2));
    let mut got = Vec::new();
    while let Found::Frame(frame) = next(&words, SLOTS, seen) {
        got.push(frame.id().get());
        seen = Some(frame.id());
    }
    assert_eq!(got, [8, 9, 10], "3 to 7 were overwritten");
}

#[test]
fn next_passes_over_a_frame_that_is_being_overwritten() {
    let words = after_frames(1, 10);
    let _half_filled = claim(&words, SLOTS, id(11)); // takes the slot of frame 8
    assert_eq!(frame(next(&words, SLOTS, Some(id(2)))).id(), id(9));
    assert_eq!(frame(latest(&words, SLOTS, Some(id(2)))).id(), id(10));
}

#[test]
fn without_a_frame_seen_next_begins_with_the_latest() {
    assert_eq!(frame(next(&after_frames(1, 10), SLOTS, None)).id(), id(10));
}

// Proves READ-9.
#[test]
fn older_frames_stand_until_their_slot_is_claimed() {
    let words = after_frames(1, 10);
    let found: Vec<_> =
        (6..=12).map(|number| at(&words, SLOTS, id(number)).map(|f| f.timestamp_ns())).collect();
    assert_eq!(found, [None, None, Some(8000), Some(9000), Some(10_000), None, None]);
}

// Proves READ-6, READ-8 and HOLD-1.
#[test]
fn a_held_frame_is_intact_until_its_slot_is_claimed() {
    let words = after_frames(1, 7);
    let held = frame(latest(&words, SLOTS, None));
    put(&words, 8);
    put(&words, 9);
    assert!(is_intact(&words, &held), "two newer frames fit beside it");
    let claimed = claim(&words, SLOTS, id(10));
    assert!(!is_intact(&words, &held), "from the claim on, before any pixel changes");
    publish(&words, claimed, FrameInfo { timestamp_ns: 1, flags: FrameFlags::default() });
    assert!(!is_intact(&words, &held), "and for ever");
}

// Proves PUB-8.
#[test]
fn a_claim_that_is_dropped_leaves_the_newest_frame_readable() {
    let words = after_frames(1, 7);
    drop(claim(&words, SLOTS, id(8)));
    assert_eq!(frame(latest(&words, SLOTS, None)).id(), id(7));
    assert_eq!(latest(&words, SLOTS, Some(id(7))), Found::NothingNew);
    // The same number may be tried again.
    put(&words, 8);
    assert_eq!(frame(next(&words, SLOTS, Some(id(7)))).id(), id(8));
}

// Proves PUB-10 and READ-2.
#[test]
fn after_a_withdrawal_no_frame_is_handed_out_and_none_is_intact() {
    let words = after_frames(1, 7);
    let held = frame(latest(&words, SLOTS, None));
    withdraw(&words, SLOTS);
    assert!(!is_intact(&words, &held));
    assert_eq!(latest(&words, SLOTS, None), Found::NothingNew);
    assert_eq!(next(&words, SLOTS, Some(id(5))), Found::NothingNew);
    assert_eq!(at(&words, SLOTS, id(7)), None);
    // And it goes on with the next number.
    put(&words, 8);
    assert_eq!(frame(next(&words, SLOTS, Some(id(5)))).id(), id(8));
}

#[test]
fn a_writer_killed_between_complete_and_publish_has_not_published() {
    let words = after_frames(1, 7);
    drop(claim(&words, SLOTS, id(8)));
    words.store_u64_release(Word64::slot_frame_id(id(8).slot(SLOTS)), 8);
    assert_eq!(frame(latest(&words, SLOTS, None)).id(), id(7));
    assert_eq!(next(&words, SLOTS, Some(id(7))), Found::NothingNew);
}

#[test]
fn two_slots_are_enough() {
    let slots = SlotCount::new(2).unwrap();
    let words = PlainWords::zeroed();
    for number in 1..=9 {
        let claimed = claim(&words, slots, id(number));
        let newest = latest(&words, slots, None);
        if number > 1 {
            assert_eq!(frame(newest).id(), id(number - 1), "readable while the next one is written");
        }
        publish(&words, claimed, FrameInfo { timestamp_ns: 0, flags: FrameFlags::default() });
    }
}

// Proves HEAD-9.
#[test]
fn the_first_frame_of_a_pair_continues_the_numbers() {
    // No predecessor: microseconds of the boot, so that a server that starts again begins above where it was.
    assert_eq!(FrameId::first_of_pair(None, 5_000_000_000_000), id(5_000_000_000));
    assert_eq!(FrameId::first_of_pair(None, 999), id(1), "never 0");
    // A predecessor that is further on.
    assert_eq!(FrameId::first_of_pair(Some(id(6_000_000_000)), 5_000_000_000_000), id(6_000_000_001));
    assert_eq!(FrameId::first_of_pair(Some(id(3)), 5_000_000_000_000), id(5_000_000_000));
}

/// A writer that is always ahead: whenever the publish word was loaded, it claims that frame's slot for a newer one.
struct AlwaysLapped {
    words: PlainWords,
    looks: AtomicU64,
}

impl SnapshotWords for AlwaysLapped {
    fn load_u64(&self, word: Word64) -> u64 {
        if word == Word64::FRAME_ID {
            return 1000 + self.looks.fetch_add(1, Ordering::Relaxed);
        }
        self.words.load_u64(word)
    }

    fn load_u32(&self, word: Word32) -> u32 {
        self.words.load_u32(word)
    }

    fn fence_acquire(&self) {
        self.words.fence_acquire();
    }
}

// Proves READ-7.
#[test]
fn being_lapped_as_often_as_there_are_slots_is_an_answer() {
    for count in 2..=8 {
        let slots = SlotCount::new(count).unwrap();
        let lapped = || AlwaysLapped { words: PlainWords::zeroed(), looks: AtomicU64::new(0) };
        let words = lapped();
        assert_eq!(latest(&words, slots, None), Found::Overrun);
        assert_eq!(
            words.looks.into_inner(),
            u64::from(count) + 1,
            "looks at the publish word, {count} slots"
        );
        let words = lapped();
        assert_eq!(next(&words, slots, Some(id(1))), Found::Overrun);
        assert_eq!(
            words.looks.into_inner(),
            u64::from(count) + 1,
            "looks at the publish word, {count} slots"
        );
    }
}

/// Frames of data words in plain atomics beside the words of the header. Every data word of frame n is n.
struct Shared {
    words: PlainWords,
    data: Vec<Vec<AtomicU64>>,
    enough: AtomicBool,
}

const DATA_WORDS: usize = 512;

impl Shared {
    fn new(slots: SlotCount) -> Self {
        let slot = || (0..DATA_WORDS).map(|_| AtomicU64::new(0)).collect();
        let data = slots.indices().map(|_| slot()).collect();
        Self { words: PlainWords::zeroed(), data, enough: AtomicBool::new(false) }
    }

    fn write_until_enough(&self, slots: SlotCount) -> u64 {
        let mut number = 0;
        while !self.enough.load(Ordering::Relaxed) {
            number += 1;
            let claimed = claim(&self.words, slots, id(number));
            for word in &self.data[claimed.slot().get()] {
                word.store(number, Ordering::Relaxed);
            }
            publish(
                &self.words,
                claimed,
                FrameInfo { timestamp_ns: number * 3, flags: FrameFlags(number * 5) },
            );
            // Where both threads share one core the reader would otherwise wait for a whole time slice per frame.
            if number % 32 == 0 {
                std::thread::yield_now();
            }
        }
        number
    }

    /// Reads a frame as a consumer would; whether all of it belongs to the frame that it claims to be. All words are read
    /// rather than stopping at the first wrong one; `halfway` runs in the middle.
    fn is_whole(&self, frame: &Snapshot, halfway: impl FnOnce()) -> bool {
        let number = frame.id().get();
        let (first, second) = self.data[frame.slot().get()].split_at(DATA_WORDS / 2);
        let wrong_in =
            |half: &[AtomicU64]| half.iter().filter(|word| word.load(Ordering::Relaxed) != number).count();
        let wrong = wrong_in(first);
        halfway();
        let wrong = wrong + wrong_in(second);
        wrong == 0 && frame.timestamp_ns() == number * 3 && frame.flags().0 == number * 5
    }

    /// Until every slot has been written again since `frame`.
    fn wait_until_lapped(&self, frame: &Snapshot, slots: SlotCount, deadline: Instant) {
        let lapped_at = frame.id().get() + u64::from(slots.get());
        while self.words.load_u64(Word64::FRAME_ID) < lapped_at && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    accepted_torn: u64,
    refused: u64,
    refused_torn: u64,
    overruns: u64,
}

// Proves SYNC-1 and READ-6 as far as one machine can.
#[test]
fn at_full_speed_no_torn_frame_is_accepted() {
    for count in [2, 3, 8] {
        let slots = SlotCount::new(count).unwrap();
        let shared = Shared::new(slots);
        // Long enough for the slowest machine; usually over in a fraction of a second.
        let deadline = Instant::now() + Duration::from_secs(20);
        let (tally, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| shared.write_until_enough(slots));
            let reader = scope.spawn(|| {
                let mut tally = Tally::default();
                let mut seen = None;
                let mut turn = 0u64;
                while Instant::now() < deadline && (tally.accepted < 500 || tally.refused_torn < 50) {
                    // Turn about, so that both ways of asking meet the writer.
                    let found = if turn % 2 == 0 {
                        next(&shared.words, slots, seen)
                    } else {
                        latest(&shared.words, slots, seen)
                    };
                    let frame = match found {
                        Found::Frame(frame) => frame,
                        Found::NothingNew => {
                            // On a busy machine both threads may share one core.
                            std::thread::yield_now();
                            continue;
                        }
                        Found::Overrun => {
                            tally.overruns += 1;
                            continue;
                        }
                    };
                    assert!(Some(frame.id()) > seen, "{:?} after {seen:?}", frame.id());
                    seen = Some(frame.id());
                    // Every fifth time the reader is slow, and the writer comes round in the middle of its work.
                    turn += 1;
                    let whole = shared.is_whole(&frame, || {
                        if turn % 5 == 0 {
                            shared.wait_until_lapped(&frame, slots, deadline);
                        }
                    });
                    match (is_intact(&shared.words, &frame), whole) {
                        (true, true) => tally.accepted += 1,
                        (true, false) => tally.accepted_torn += 1,
                        (false, true) => tally.refused += 1,
                        (false, false) => tally.refused_torn += 1,
                    }
                }
                tally
            });
            let tally = reader.join();
            shared.enough.store(true, Ordering::Relaxed);
            let written = writer.join().unwrap();
            (tally.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), written)
        });
        println!("{count} slots, {written} frames written: {tally:?}");
        assert_eq!(tally.accepted_torn, 0, "{count} slots: {tally:?}");
        assert!(tally.accepted > 0, "{count} slots: nothing was accepted: {tally:?}");
        // Without the last check a reader would have taken these: the run was able to notice.
        assert!(tally.refused_torn > 0, "{count} slots: no torn frame came up: {tally:?}");
    }
}
