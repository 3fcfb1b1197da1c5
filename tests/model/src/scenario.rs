//! What a server and its readers do beside each other, and what has to hold in every execution.
//!
//! The cases are as small as they can be with every kind of step in them: two slots, two words of pixels, and numbers that
//! come round to a slot again while a reader is at it.

use std::sync::Arc;

use crate::change::Change;
use crate::checker::{Cell, Checker};
use crate::memory::Memory;
use crate::roles::{Checks, Client, Look, Server, violation};
use crate::tally::{Event, Tally};
use std::sync::atomic::Ordering::Relaxed;
use vas_shm_proto::snapshot::Found;
use vas_shm_proto::{FrameId, SlotCount, State};

/// What one execution of a scenario is given.
pub struct Stage {
    /// Shared by all executions.
    pub tally: Arc<Tally>,
    /// What is different from the algorithm as shipped.
    pub change: Change,
    /// Which of the scenario's variants.
    pub variant: u32,
}

impl Stage {
    fn pair<C: Checker>(&self) -> Arc<Memory<C>> {
        self.tally.execution();
        Arc::new(Memory::new(SlotCount::new(2).expect("two slots are allowed")))
    }

    fn server<C: Checker>(&self, memory: &Arc<Memory<C>>) -> Server<C> {
        Server::new(memory, &self.tally, self.change)
    }

    fn client<C: Checker>(&self, memory: &Arc<Memory<C>>) -> Client<C> {
        Client::new(memory, &self.tally, self.change)
    }
}

/// What a full search of a scenario takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds: always searched in full.
    Small,
    /// A minute: the quick form explores all executions with so many preemptions, the long form all.
    Large {
        /// How often a thread may be interrupted where it could have gone on.
        quick_preemptions: usize,
    },
    /// Minutes: in the long form only.
    LongOnly,
}

/// A small case.
pub struct Scenario {
    /// A sentence: the name of the test.
    pub name: &'static str,
    /// Each is explored on its own.
    pub variants: u32,
    /// What a full search of it takes.
    pub size: Size,
    /// What has to come about in some execution, so that the scenario is not vacuous.
    pub expects: &'static [Event],
    /// One execution, under loom.
    pub run: fn(&Stage),
}

impl Scenario {
    /// Up to how many preemptions the quick form explores it; `None`: all executions.
    #[must_use]
    pub fn quick_preemptions(&self) -> Option<usize> {
        match self.size {
            Size::Large { quick_preemptions } => Some(quick_preemptions),
            Size::Small | Size::LongOnly => None,
        }
    }
}

// Proves SYNC-1 to 3 and READ-3 to READ-6.
/// From the first frame on: the pair is empty, frame 3 comes round to the slot of frame 1.
pub fn from_the_first_frame<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    let thread = C::spawn(move || (1..=3).for_each(|number| server.export(number)));
    stage.client(&pair).look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

/// Two frames stand, and both slots are used again.
pub fn latest<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || (3..=4).for_each(|number| server.export(number)));
    stage.client(&pair).look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

/// A reader that looks twice never goes back.
pub fn latest_twice<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    server.export(1);
    let thread = C::spawn(move || (2..=3).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    if let Found::Frame(frame) = client.look(Look::Latest) {
        client.has_seen(frame.id().get());
    }
    client.look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

// Proves READ-8.
/// A reader that checks after each word.
pub fn checked_after_each_word<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || (3..=4).for_each(|number| server.export(number)));
    stage.client(&pair).look_and_take(Look::Latest, Checks::AfterEachWord);
    C::join(thread);
}

// Proves READ-2 and READ-7.
/// The slot of the newest frame is taken away between READ-1 and READ-2, once or as often as there are slots.
pub fn lapped<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || (3..=5).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    client.look(Look::Latest);
    C::join(thread);
}

// Proves READ-9.
/// A reader of frame n - 1, whose slot is the next to be taken.
pub fn the_frame_before<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || (3..=4).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    let newest = client.newest_published();
    client.take_at(newest - 1);
    C::join(thread);
}

/// A reader that wants every frame in order.
pub fn every_frame<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || (3..=4).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    client.has_seen(1);
    client.look_and_take(Look::Next, Checks::Once);
    C::join(thread);
}

/// Two readers, one of the newest frame and one of the frame before it, in whose slot the next is written.
pub fn two_readers<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let writer = C::spawn(move || server.export(3));
    let second = stage.client(&pair);
    let reader = C::spawn(move || {
        second.take_at(1);
    });
    stage.client(&pair).look_and_take(Look::Latest, Checks::Once);
    C::join(reader);
    C::join(writer);
}

// Proves PUB-8.
/// A writer that gives up after a part of the pixels and claims the slot again for the same number.
pub fn a_dropped_claim<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || {
        server.give_up(3);
        server.export(3);
    });
    let client = stage.client(&pair);
    // The slot that is claimed twice: as that of an older frame, and as that of the newest.
    if stage.variant == 0 {
        client.take_at(1);
    } else {
        client.look_and_take(Look::Latest, Checks::Once);
    }
    C::join(thread);
}

/// The same with a reader that does both, one after the other.
pub fn a_dropped_claim_and_a_reader_of_both<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || {
        server.give_up(3);
        server.export(3);
    });
    let client = stage.client(&pair);
    client.take_at(1);
    client.look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

/// Two frames beside a reader that reads two in a row.
pub fn two_frames_in_a_row<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    server.export(1);
    let thread = C::spawn(move || (2..=3).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    client.look_and_take(Look::Latest, Checks::Once);
    client.look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

/// From the first frame on, with each slot used twice.
pub fn four_frames<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    let thread = C::spawn(move || (1..=4).for_each(|number| server.export(number)));
    stage.client(&pair).look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
}

/// What a whole export stores: claim, two words of pixels, time, flags, complete, mirror, publish.
const STORES_OF_A_FRAME: u32 = 8;

// Proves PUB-6.
/// A server killed after any of its stores: whoever looks then reads the newest published frame.
pub fn killed_anywhere<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    server.kill_after(stage.variant);
    let thread = C::spawn(move || server.export(3));
    let beside = stage.client(&pair);
    beside.take_at(1);
    C::join(thread);

    let after = stage.client(&pair);
    let newest = after.newest_published();
    assert!(newest == 3 || stage.variant < STORES_OF_A_FRAME, "a frame takes {STORES_OF_A_FRAME} stores");
    let read = after.look_and_take(Look::Latest, Checks::Once);
    assert_eq!(read.map(FrameId::get), Some(newest), "{}", violation::NOT_READABLE);
}

/// Whoever sees a number in the publish word, and passes an acquire fence, finds that frame whole.
pub fn what_is_published_stands<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    let thread = C::spawn(move || (1..=2).for_each(|number| server.export(number)));
    let client = stage.client(&pair);
    let newest = client.newest_published();
    // No slot is used a second time, so nothing takes the frame away again. (A look for the newest may still say that there
    // is nothing new: it may find a publish word newer than the one above before it can see that frame's slot.)
    let stands = newest == 0 || client.take_at(newest);
    assert!(stands, "{}", violation::NOT_READABLE);
    C::join(thread);
}

/// Idle: every frame is taken back, so that nobody is handed an old picture as current.
pub fn idle<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    (1..=2).for_each(|number| server.export(number));
    let thread = C::spawn(move || server.go_idle());
    stage.client(&pair).look_and_take(Look::Latest, Checks::Once);
    C::join(thread);

    let after = stage.client(&pair);
    assert!(after.is_idle());
    assert_eq!(after.look(Look::Latest), Found::NothingNew, "{}", violation::BEFORE_IDLE);
    assert!(!after.take_at(1), "{}", violation::BEFORE_IDLE);
}

/// Idle and awake again. Whoever sees the flag cleared finds the first new frame and none from before.
pub fn idle_and_awake<C: Checker>(stage: &Stage) {
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    server.export(1);
    let thread = C::spawn(move || {
        server.go_idle();
        server.wake(2);
    });
    let client = stage.client(&pair);
    client.look_and_take(Look::Latest, Checks::Once);
    let was_idle = client.is_idle();
    if was_idle && !client.is_idle() {
        client.saw(Event::Woken);
        let old = client.take_at(1);
        assert!(!old, "{}", violation::BEFORE_IDLE);
        client.look_and_take(Look::Latest, Checks::Once);
        assert_eq!(client.seen(), Some(2), "{}", violation::AWAKE_WITHOUT_FRAME);
    }
    C::join(thread);
}

// Proves LIFE-5 and LIFE-7.
/// New geometry: the successor gets the name, the old pair says so and is emptied.
pub fn replaced<C: Checker>(stage: &Stage) {
    const OLD: u64 = 0;
    const NEW: u64 = 1;
    let old = stage.pair::<C>();
    let name = Arc::new(C::Cell::new(OLD));
    let server = stage.server(&old);
    server.export(1);
    let thread = {
        let name = Arc::clone(&name);
        let tally = Arc::clone(&stage.tally);
        let change = stage.change;
        C::spawn(move || {
            if change == Change::ReplacedBeforeSuccessor {
                tally.changed();
                server.set_state(State::Replaced);
                name.store(NEW, Relaxed);
            } else {
                // A rename orders far more than this; the state has to be enough.
                name.store(NEW, Relaxed);
                server.set_state(State::Replaced);
            }
            server.empty();
        })
    };
    let client = stage.client(&old);
    client.look_and_take(Look::Latest, Checks::Once);
    if client.state().is_over() {
        client.saw(Event::Over);
        assert_eq!(name.load(Relaxed), NEW, "{}", violation::NO_SUCCESSOR);
    }
    C::join(thread);
    assert_eq!(client.look(Look::Latest), Found::NothingNew, "a retired pair hands out nothing");
}

// Proves LIFE-4 and LIFE-6.
/// Stop: whoever sees it has seen, or can still read, the last frame there is. Then the pair is emptied.
pub fn stopped<C: Checker>(stage: &Stage) {
    const LAST: u64 = 2;
    let pair = stage.pair::<C>();
    let server = stage.server(&pair);
    server.export(1);
    let thread = {
        let tally = Arc::clone(&stage.tally);
        let change = stage.change;
        C::spawn(move || {
            if change == Change::PublishAfterStop {
                tally.changed();
                server.set_state(State::Stopped);
                server.export(LAST);
            } else {
                server.export(LAST);
                server.set_state(State::Stopped);
            }
            server.empty();
        })
    };
    let client = stage.client(&pair);
    if client.state().is_over() {
        client.saw(Event::Over);
        assert_eq!(client.newest_published(), LAST, "{}", violation::FRAME_AFTER_END);
    }
    client.look_and_take(Look::Latest, Checks::Once);
    C::join(thread);
    assert_eq!(client.look(Look::Latest), Found::NothingNew, "a retired pair hands out nothing");
}

/// Many frames, more slots, four readers with habits of their own: too large to be searched, good for random schedules. The
/// server stalls nobody, gives up now and then, goes idle, wakes, and stops in the end.
pub fn crowd<C: Checker>(stage: &Stage) {
    const FRAMES: u64 = 24;
    let slots = SlotCount::new(2 + stage.variant % 7).expect("two to eight slots");
    stage.tally.execution();
    let pair = Arc::new(Memory::<C>::new(slots));
    let server = stage.server(&pair);
    let habits =
        [(Look::Latest, Checks::Once), (Look::Next, Checks::Once), (Look::Latest, Checks::AfterEachWord)];
    let mut threads: Vec<_> = habits
        .into_iter()
        .map(|(look, checks)| {
            let client = stage.client(&pair);
            C::spawn(move || {
                for _ in 0..FRAMES {
                    client.look_and_take(look, checks);
                }
            })
        })
        .collect();
    let older = stage.client(&pair);
    threads.push(C::spawn(move || {
        for _ in 0..FRAMES {
            let newest = older.newest_published();
            if newest > 1 {
                older.take_at(newest - 1);
            }
        }
    }));
    for number in 1..=FRAMES {
        if number > u64::from(slots.get()) && number % 5 == 0 {
            server.give_up(number);
        }
        if number % 11 == 0 {
            server.go_idle();
            server.wake(number);
        } else {
            server.export(number);
        }
    }
    server.set_state(State::Stopped);
    server.empty();
    threads.into_iter().for_each(C::join);
}

macro_rules! scenarios {
    ($checker:ty; $($name:literal, $run:ident, $variants:expr, $size:expr, [$($event:ident),*];)*) => {
        vec![$(Scenario {
            name: $name,
            variants: $variants,
            size: $size,
            expects: &[$(Event::$event),*],
            run: $run::<$checker>,
        }),*]
    };
}

/// Every scenario, under one checker.
#[must_use]
pub fn all<C: Checker>() -> Vec<Scenario> {
    use Size::{Large, LongOnly, Small};
    scenarios! { C;
        "from_the_first_frame_on_none_is_mixed", from_the_first_frame, 1, Small,
            [Accepted, Rejected, NothingNew];
        "the_latest_frame_is_never_mixed_with_another", latest, 1, Small, [Accepted, Rejected, Retried];
        "a_reader_never_goes_back_to_an_older_frame", latest_twice, 1, Small, [Accepted, NothingNew];
        "each_of_several_checks_covers_what_was_read_before_it", checked_after_each_word, 1, Small,
            [Accepted, Rejected];
        "a_reader_that_is_lapped_gets_an_answer", lapped, 1, Small, [Retried, Overrun];
        "the_frame_before_the_newest_is_whole_or_gone", the_frame_before, 1, Small,
            [Accepted, Rejected, OlderStood, OlderGone];
        "every_frame_in_order_is_whole_or_passed_over", every_frame, 1, Small, [Accepted, Rejected];
        "two_readers_do_not_mislead_each_other", two_readers, 1, Large { quick_preemptions: 3 },
            [Accepted, Rejected, OlderGone];
        "a_dropped_claim_leaves_nothing_behind", a_dropped_claim, 2, Small, [Accepted, Rejected, OlderGone];
        "a_server_killed_anywhere_leaves_the_newest_frame", killed_anywhere, STORES_OF_A_FRAME + 1, Small,
            [Accepted, Rejected, OlderGone];
        "what_is_published_stands", what_is_published_stands, 1, Small, [Accepted];
        "while_idle_no_old_picture_is_handed_out", idle, 1, Small, [Accepted, Rejected, NothingNew];
        "the_idle_flag_is_cleared_after_the_first_new_frame", idle_and_awake, 1, Small,
            [Accepted, Rejected, Woken];
        "told_replaced_a_reader_finds_the_successor", replaced, 1, Small, [Accepted, Rejected, Over, Emptied];
        "told_stopped_a_reader_knows_the_last_frame", stopped, 1, Small, [Accepted, Rejected, Over, Emptied];
        "a_dropped_claim_and_a_reader_of_both_frames", a_dropped_claim_and_a_reader_of_both, 1, LongOnly,
            [Accepted, Rejected, OlderGone];
        "two_frames_in_a_row_are_both_whole", two_frames_in_a_row, 1, LongOnly, [Accepted, NothingNew];
        "four_frames_from_the_first_on", four_frames, 1, LongOnly, [Accepted, Rejected, NothingNew];
    }
}
