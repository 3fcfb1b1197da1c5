//! A server that exports frames and a client that reads them and judges what it accepted.
//!
//! What they do to shared words is done by the production code; they are its words. So a change of the algorithm is made
//! by a word that behaves otherwise, or by calling the production code in another order.

use std::cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};

use crate::change::Change;
use crate::checker::{Cell, Checker};
use crate::memory::{Memory, PIXEL_WORDS};
use crate::tally::{Event, Tally};
use vas_shm_proto::publish::{self, FrameInfo};
use vas_shm_proto::snapshot::{self, Found, Snapshot};
use vas_shm_proto::words::{PublishWords, SnapshotWords, Word32, Word64};
use vas_shm_proto::{FrameFlags, FrameId, SlotIndex, State, StreamFlags};

/// What a violation says.
pub mod violation {
    /// Words of two frames, or of none, were handed out as one frame.
    pub const TORN: &str = "torn frame accepted";
    /// A reader was handed a frame that is not newer than one it had.
    pub const OLDER: &str = "a frame that is not newer than one seen was handed out";
    /// A frame was not intact at first and then was.
    pub const INTACT_AGAIN: &str = "a frame that was not intact became intact";
    /// The publish word names a frame that is not there.
    pub const NOT_READABLE: &str = "the newest published frame is not readable";
    /// A picture from before the idle time was handed out.
    pub const BEFORE_IDLE: &str = "a picture from before the idle time was handed out";
    /// The idle flag is cleared and no new frame is there.
    pub const AWAKE_WITHOUT_FRAME: &str = "the pair is not idle any more, and no new frame is there";
    /// A reader that was told `replaced` found the old pair under the name.
    pub const NO_SUCCESSOR: &str = "told replaced, and the name still leads to the old pair";
    /// A frame was published in a pair that was over.
    pub const FRAME_AFTER_END: &str = "a frame came after a reader was told that the pair is over";
}

fn id(number: u64) -> FrameId {
    FrameId::new(number).expect("frames are numbered from 1")
}

/// What stands in each word of a frame: different for each word, each frame, and each picture that a number was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content(u64);

impl Content {
    fn of(number: u64, revision: u64) -> Self {
        Self((number * 10 + revision) * 100)
    }

    fn timestamp_ns(self) -> u64 {
        self.0 + 1
    }

    fn flags(self) -> u64 {
        self.0 + 2
    }

    fn pixel(self, index: usize) -> u64 {
        self.0 + 10 + index as u64
    }
}

/// Stands in pixels that a writer stored before it gave up.
const HALF_FILLED: u64 = 66;

/// The writer.
pub struct Server<C: Checker> {
    memory: Arc<Memory<C>>,
    tally: Arc<Tally>,
    change: Change,
    /// Stores until it is killed.
    stores_left: cell::Cell<u32>,
    withdrawing: cell::Cell<bool>,
    /// A store that a change of the order made wait.
    held_back: cell::Cell<Option<(Word64, u64)>>,
}

impl<C: Checker> Server<C> {
    /// A server that nobody kills.
    pub fn new(memory: &Arc<Memory<C>>, tally: &Arc<Tally>, change: Change) -> Self {
        Self {
            memory: Arc::clone(memory),
            tally: Arc::clone(tally),
            change,
            stores_left: cell::Cell::new(u32::MAX),
            withdrawing: cell::Cell::new(false),
            held_back: cell::Cell::new(None),
        }
    }

    /// From now on it stores so many words and is then killed.
    pub fn kill_after(&self, stores: u32) {
        self.stores_left.set(stores);
    }

    /// Exports a frame: PUB-1 to PUB-6, with the pixels in between.
    pub fn export(&self, number: u64) {
        let number = match (self.change, number) {
            (Change::NumbersGoBack, 2 | 3) => {
                self.tally.changed();
                5 - number
            }
            _ => number,
        };
        self.export_picture(number, 0);
        if self.change == Change::NumberUsedTwice {
            self.tally.changed();
            self.export_picture(number, 1);
        }
    }

    fn export_picture(&self, number: u64, revision: u64) {
        let slots = self.memory.slots();
        let content = Content::of(number, revision);
        let info = FrameInfo { timestamp_ns: content.timestamp_ns(), flags: FrameFlags(content.flags()) };
        match self.change {
            Change::ClaimAfterPixels => {
                self.tally.changed();
                self.fill(id(number).slot(slots), content);
                publish::publish(self, publish::claim(self, slots, id(number)), info);
            }
            Change::PublishBeforePixels => {
                self.tally.changed();
                let claim = publish::claim(self, slots, id(number));
                let slot = claim.slot();
                publish::publish(self, claim, info);
                self.fill(slot, content);
            }
            _ => {
                let claim = publish::claim(self, slots, id(number));
                self.fill(claim.slot(), content);
                publish::publish(self, claim, info);
            }
        }
    }

    /// Claims a slot, stores a word of pixels and gives up (PUB-8).
    pub fn give_up(&self, number: u64) {
        let slots = self.memory.slots();
        let claim = publish::claim(self, slots, id(number));
        let slot = claim.slot();
        self.store_pixel(slot, 0, HALF_FILLED);
        drop(claim);
        if self.change == Change::DroppedClaimPutsNumberBack {
            self.tally.changed();
            self.store_u64_release(Word64::slot_frame_id(slot), number - u64::from(slots.get()));
        }
    }

    /// Sets the idle flag and takes every frame back (IDLE-2).
    pub fn go_idle(&self) {
        self.withdrawing.set(true);
        publish::go_idle(self, self.memory.slots());
        self.withdrawing.set(false);
    }

    /// Exports the first new frame and clears the flag (IDLE-3).
    pub fn wake(&self, number: u64) {
        if self.change == Change::IdleClearedFirst {
            self.tally.changed();
            publish::wake(self);
            self.export(number);
        } else {
            self.export(number);
            publish::wake(self);
        }
    }

    /// Says what has become of the pair.
    pub fn set_state(&self, state: State) {
        self.store_u32_release(Word32::STATE, state.to_word());
    }

    /// Takes every frame back (PUB-10).
    pub fn withdraw(&self) {
        self.withdrawing.set(true);
        publish::withdraw(self, self.memory.slots());
        self.withdrawing.set(false);
    }

    /// Empties a retired pair: takes every frame back, then gives the pixels back, after which they read as zeros (LIFE-7).
    pub fn empty(&self) {
        let zeros = || {
            for slot in self.memory.slots().indices() {
                (0..PIXEL_WORDS).for_each(|index| self.store_pixel(slot, index, 0));
            }
        };
        if self.change == Change::PixelsGivenBackFirst {
            self.tally.changed();
            zeros();
            self.withdraw();
        } else {
            self.withdraw();
            zeros();
        }
    }

    fn fill(&self, slot: SlotIndex, content: Content) {
        (0..PIXEL_WORDS).for_each(|index| self.store_pixel(slot, index, content.pixel(index)));
    }

    fn store_pixel(&self, slot: SlotIndex, index: usize, value: u64) {
        self.store(self.memory.pixel(slot, index), value, Relaxed);
    }

    /// Every store goes through here: a dead server makes none.
    fn store(&self, cell: &C::Cell, value: u64, order: Ordering) {
        let Some(left) = self.stores_left.get().checked_sub(1) else { return };
        if self.stores_left.get() != u32::MAX {
            self.stores_left.set(left);
        }
        cell.store(value, order);
    }

    /// The order of an access: as asked for, or as the change has it.
    fn order(&self, asked: Ordering, changed: Option<Ordering>) -> Ordering {
        changed.inspect(|_| self.tally.changed()).unwrap_or(asked)
    }
}

impl<C: Checker> PublishWords for Server<C> {
    fn store_u64(&self, word: Word64, value: u64) {
        let claims = value == 0 && self.memory.is_slot_frame_id(word) && !self.withdrawing.get();
        let order = match self.change {
            Change::NoClaim if claims => {
                self.tally.changed();
                return;
            }
            Change::IdleWithoutWithdraw if self.withdrawing.get() => {
                self.tally.changed();
                return;
            }
            Change::MirrorLast if word == Word64::TIMESTAMP_NS => {
                self.held_back.set(Some((word, value)));
                return;
            }
            Change::ClaimByReleaseStore if claims => self.order(Relaxed, Some(Release)),
            Change::AcquireReleaseNoFences => self.order(Relaxed, Some(Release)),
            _ => Relaxed,
        };
        self.store(self.memory.word64(word), value, order);
    }

    fn store_u64_release(&self, word: Word64, value: u64) {
        let completes = self.memory.is_slot_frame_id(word);
        let changed = match self.change {
            Change::PublishBeforeComplete if completes => {
                self.held_back.set(Some((word, value)));
                return;
            }
            Change::CompleteAndPublishRelaxed => Some(Relaxed),
            Change::CompleteRelaxed if completes => Some(Relaxed),
            Change::PublishRelaxed if !completes => Some(Relaxed),
            _ => None,
        };
        let order = self.order(Release, changed);
        self.store(self.memory.word64(word), value, order);
        if word == Word64::FRAME_ID
            && let Some((late, value)) = self.held_back.take()
        {
            self.tally.changed();
            self.store(self.memory.word64(late), value, Release);
        }
    }

    fn store_u32_release(&self, word: Word32, value: u32) {
        let changed = match self.change {
            Change::StateRelaxed if word == Word32::STATE => Some(Relaxed),
            _ => None,
        };
        let order = self.order(Release, changed);
        self.store(self.memory.word32(word), value.into(), order);
    }

    fn fence_release(&self) {
        let left_out = match self.change {
            Change::NoFence2 | Change::ClaimByReleaseStore => !self.withdrawing.get(),
            Change::WithdrawWithoutFence => self.withdrawing.get(),
            Change::AcquireReleaseNoFences => true,
            _ => false,
        };
        if left_out {
            self.tally.changed();
        } else {
            let changed = (self.change == Change::SeqCstFences).then_some(SeqCst);
            C::fence(self.order(Release, changed));
        }
    }

    fn fence_foreign_stores(&self) {
        // Orders non-temporal stores, which no checker knows: the pixels here are ordinary ones.
    }
}

/// Which part of its work a client is in: both have a fence, and each is left out alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// READ-1 to READ-4.
    Finding,
    /// READ-5 and READ-6, of this frame.
    Checking(FrameId),
}

/// How a client looks for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The newest (READ-1).
    Latest,
    /// The oldest that stands after the one seen (READ-9).
    Next,
}

/// When a client checks what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// After all of it.
    Once,
    /// After each word (READ-8).
    AfterEachWord,
}

/// A reader.
pub struct Client<C: Checker> {
    memory: Arc<Memory<C>>,
    tally: Arc<Tally>,
    change: Change,
    seen: cell::Cell<Option<FrameId>>,
    part: cell::Cell<Part>,
    loads_of_publish_word: cell::Cell<u32>,
}

impl<C: Checker> Client<C> {
    /// A reader that has seen nothing.
    pub fn new(memory: &Arc<Memory<C>>, tally: &Arc<Tally>, change: Change) -> Self {
        Self {
            memory: Arc::clone(memory),
            tally: Arc::clone(tally),
            change,
            seen: cell::Cell::new(None),
            part: cell::Cell::new(Part::Finding),
            loads_of_publish_word: cell::Cell::new(0),
        }
    }

    /// The newest frame that was accepted.
    pub fn seen(&self) -> Option<u64> {
        self.seen.get().map(FrameId::get)
    }

    /// As if this frame had been handed out.
    pub fn has_seen(&self, number: u64) {
        self.seen.set(Some(id(number)));
    }

    /// Looks for a frame.
    pub fn look(&self, look: Look) -> Found {
        self.part.set(Part::Finding);
        self.loads_of_publish_word.set(0);
        let (slots, seen) = (self.memory.slots(), self.seen.get());
        let found = match look {
            Look::Latest => snapshot::latest(self, slots, seen),
            Look::Next => snapshot::next(self, slots, seen),
        };
        let loads = self.loads_of_publish_word.get();
        assert!(loads <= slots.get() + 1, "a look loaded the publish word {loads} times: it is not bounded");
        match &found {
            Found::NothingNew => self.tally.saw(Event::NothingNew),
            Found::Overrun => self.tally.saw(Event::Overrun),
            Found::Frame(frame) => {
                let number = frame.id();
                let newer = seen.is_none_or(|seen| number > seen);
                assert!(newer, "{}: {number} after {seen:?}", violation::OLDER);
                if loads > 1 {
                    self.tally.saw(Event::Retried);
                }
            }
        }
        found
    }

    /// Looks for a frame and, if there is one, reads it. Its number if it was accepted.
    pub fn look_and_take(&self, look: Look, checks: Checks) -> Option<FrameId> {
        match self.look(look) {
            Found::Frame(frame) => self.take(&frame, checks).then(|| frame.id()),
            Found::NothingNew | Found::Overrun => None,
        }
    }

    /// Asks for one particular frame (READ-9) and, if it stands, reads it. Whether it was accepted.
    pub fn take_at(&self, number: u64) -> bool {
        self.part.set(Part::Finding);
        match snapshot::at(self, self.memory.slots(), id(number)) {
            Some(frame) => {
                self.tally.saw(Event::OlderStood);
                self.take(&frame, Checks::Once)
            }
            None => {
                self.tally.saw(Event::OlderGone);
                false
            }
        }
    }

    /// READ-4 for the pixels, READ-5, READ-6, and the judgement of what was accepted.
    pub fn take(&self, frame: &Snapshot, checks: Checks) -> bool {
        let mut pixels = [0; PIXEL_WORDS];
        let mut intact_before = true;
        let checked_first = (self.change == Change::CheckBeforePixels).then(|| {
            self.tally.changed();
            self.is_intact(frame)
        });
        for (index, pixel) in pixels.iter_mut().enumerate() {
            *pixel = self.memory.pixel(frame.slot(), index).load(Relaxed);
            if *pixel == 0 {
                self.tally.saw(Event::Emptied);
            }
            if checks == Checks::AfterEachWord && index + 1 < PIXEL_WORDS && checked_first.is_none() {
                intact_before = self.is_intact(frame);
            }
        }
        let intact = checked_first.unwrap_or_else(|| self.is_intact(frame));
        assert!(intact_before || !intact, "{}: frame {}", violation::INTACT_AGAIN, frame.id());
        // Early checks cover what was read before them, whatever the last one says.
        if checks == Checks::AfterEachWord && intact_before && checked_first.is_none() {
            judge(frame, &pixels[..PIXEL_WORDS - 1]);
        }
        if intact {
            judge(frame, &pixels);
            self.tally.saw(Event::Accepted);
            self.seen.set(self.seen.get().max(Some(frame.id())));
        } else {
            self.tally.saw(Event::Rejected);
        }
        intact
    }

    fn is_intact(&self, frame: &Snapshot) -> bool {
        self.part.set(Part::Checking(frame.id()));
        snapshot::is_intact(self, frame)
    }

    /// The publish word, and everything that was stored before it (SYNC C).
    pub fn newest_published(&self) -> u64 {
        let newest = self.memory.word64(Word64::FRAME_ID).load(Relaxed);
        C::fence(Acquire);
        newest
    }

    /// The state, and everything that was stored before it.
    pub fn state(&self) -> State {
        let word = self.load_u32(Word32::STATE);
        C::fence(Acquire);
        State::from_word(word)
    }

    /// Whether the idle flag is set, and everything that was stored before it was or was not.
    pub fn is_idle(&self) -> bool {
        let word = self.load_u32(Word32::FLAGS);
        C::fence(Acquire);
        StreamFlags(word).is_idle()
    }

    /// Says that something was seen.
    pub fn saw(&self, event: Event) {
        self.tally.saw(event);
    }
}

/// Everything of an accepted frame has to be of one picture, and that picture has to have this number.
fn judge(frame: &Snapshot, pixels: &[u64]) {
    let content = Content(frame.timestamp_ns() / 100 * 100);
    let one_picture = content.0 / 1000 == frame.id().get()
        && frame.timestamp_ns() == content.timestamp_ns()
        && frame.flags().0 == content.flags()
        && pixels.iter().enumerate().all(|(index, &pixel)| pixel == content.pixel(index));
    assert!(
        one_picture,
        "{}: number {}, time {}, flags {}, pixels {pixels:?}",
        violation::TORN,
        frame.id(),
        frame.timestamp_ns(),
        frame.flags().0
    );
}

impl<C: Checker> SnapshotWords for Client<C> {
    fn load_u64(&self, word: Word64) -> u64 {
        if word == Word64::FRAME_ID {
            self.loads_of_publish_word.set(self.loads_of_publish_word.get() + 1);
        }
        let slot_id = self.memory.is_slot_frame_id(word);
        let order = match (self.change, self.part.get()) {
            (Change::NoCheck6, Part::Checking(id)) if slot_id => {
                self.tally.changed();
                return id.get();
            }
            (Change::TimeFromMirror, _) if self.memory.is_slot_timestamp(word) => {
                self.tally.changed();
                return self.memory.word64(Word64::TIMESTAMP_NS).load(Relaxed);
            }
            (Change::Check6ByAcquireLoad, Part::Checking(_)) if slot_id => Acquire,
            (Change::FindByAcquireLoads, Part::Finding) if slot_id || word == Word64::FRAME_ID => Acquire,
            (Change::AcquireReleaseNoFences, _) => Acquire,
            _ => Relaxed,
        };
        self.memory.word64(word).load(order)
    }

    fn load_u32(&self, word: Word32) -> u32 {
        u32::try_from(self.memory.word32(word).load(Relaxed)).expect("32 bits were stored")
    }

    fn fence_acquire(&self) {
        let left_out = matches!(
            (self.change, self.part.get()),
            (Change::NoFence3 | Change::FindByAcquireLoads, Part::Finding)
                | (Change::NoFence5 | Change::Check6ByAcquireLoad, Part::Checking(_))
                | (Change::AcquireReleaseNoFences, _)
        );
        if left_out {
            self.tally.changed();
        } else if self.change == Change::SeqCstFences {
            self.tally.changed();
            C::fence(SeqCst);
        } else {
            C::fence(Acquire);
        }
    }
}
