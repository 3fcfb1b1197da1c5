//! The stream against a model of it, turn by turn: real files, a clock of the test's own, random events.
#![allow(unreachable_pub, dead_code, reason = "what is included was made for other tests")]

use super::*;
use proptest::prelude::*;
use vas_shm_proto::State;

mod world {
    include!("../../tests/common/pair.rs");
}
use world::{Base, camera};

const MS: u64 = 1_000_000;
const SLOTS: u64 = 3;

/// What the server, or whoever has its directory, does; and what the clock does.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Beats,
    Publishes(u8),
    /// A writer that was killed in the middle of a frame.
    Claims,
    Stalls,
    Recovers,
    Stops,
    /// As a writer does it: the successor's names first, then the word.
    Replaces,
    /// The server was killed and another started: only the names tell.
    Restarts,
    Unlinks,
    /// A header that no reader takes.
    PutsNonsense,
    TimePasses(u64),
    /// The reader has a turn.
    Turns,
}

fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    prop_oneof![
        4 => Just(Beats),
        4 => (1..6u8).prop_map(Publishes),
        1 => Just(Claims),
        1 => Just(Stalls),
        1 => Just(Recovers),
        1 => Just(Stops),
        1 => Just(Replaces),
        1 => Just(Restarts),
        1 => Just(Unlinks),
        1 => Just(PutsNonsense),
        8 => prop_oneof![0..60 * MS, Just(100 * MS), Just(1000 * MS), Just(3000 * MS)].prop_map(TimePasses),
        16 => Just(Turns),
    ]
}

/// A pair of files, and what was ever stored into it.
struct Known {
    files: world::Pair,
    newest: u64,
    beat: u64,
    slots: [u64; SLOTS as usize],
    state: State,
    is_nonsense: bool,
}

impl Known {
    fn words(&self) -> (u64, u64) {
        (self.newest, self.beat)
    }

    fn stands(&self, id: u64) -> bool {
        id != 0 && self.slots[(id % SLOTS) as usize] == id
    }

    /// The frame that comes next for somebody who has seen `seen`.
    fn expected(&self, mode: Mode, seen: Option<u64>) -> Option<u64> {
        match (mode, seen) {
            (Mode::Next, Some(seen)) => {
                (seen + 1..=self.newest).find(|&id| id + SLOTS > self.newest && self.stands(id))
            }
            _ => Some(self.newest).filter(|&newest| Some(newest) != seen && self.stands(newest)),
        }
    }
}

/// The camera's directory through time.
struct World {
    base: Base,
    pairs: Vec<Known>,
    /// Which pair the names lead to.
    named: Option<usize>,
}

impl World {
    fn new() -> Self {
        Self { base: Base::new(), pairs: Vec::new(), named: None }
    }

    fn make(&mut self, is_nonsense: bool) {
        let generation = self.pairs.len() as u64 + 1;
        let files = world::Pair::make_with(&self.base, 16, 16, generation, |raw| {
            raw.stream.version.set(u32::from(!is_nonsense));
        });
        let (slots, state) = ([0; SLOTS as usize], State::Live);
        self.pairs.push(Known { files, newest: 0, beat: 1, slots, state, is_nonsense });
        self.named = Some(self.pairs.len() - 1);
    }

    fn set_state(&mut self, pair: usize, state: State) {
        self.pairs[pair].state = state;
        self.pairs[pair].files.store_state(state);
    }

    fn unlink(&mut self) {
        if self.named.take().is_some() {
            std::fs::remove_file(self.base.meta()).unwrap();
            std::fs::remove_file(self.base.data()).unwrap();
        }
    }

    fn happens(&mut self, event: Happens) {
        let live =
            self.named.filter(|&pair| !self.pairs[pair].is_nonsense && !self.pairs[pair].state.is_over());
        match event {
            Happens::Restarts => self.make(false),
            Happens::PutsNonsense => self.make(true),
            Happens::Unlinks => self.unlink(),
            Happens::Replaces => {
                self.make(false);
                live.into_iter().for_each(|old| self.set_state(old, State::Replaced));
            }
            Happens::Stalls => live.into_iter().for_each(|pair| self.set_state(pair, State::Stalled)),
            Happens::Recovers => live.into_iter().for_each(|pair| self.set_state(pair, State::Live)),
            Happens::Stops => {
                if let Some(pair) = live {
                    self.set_state(pair, State::Stopped);
                    self.unlink();
                }
            }
            Happens::Beats => {
                let Some(pair) = live.map(|pair| &mut self.pairs[pair]) else { return };
                pair.beat += 1;
                pair.files.beat(pair.beat);
            }
            Happens::Publishes(count) => {
                let Some(pair) = live.map(|pair| &mut self.pairs[pair]) else { return };
                for _ in 0..count {
                    pair.newest += 1;
                    pair.slots[(pair.newest % SLOTS) as usize] = pair.newest;
                    pair.files.publish(pair.newest, 7);
                }
            }
            Happens::Claims => {
                let Some(pair) = live.map(|pair| &mut self.pairs[pair]) else { return };
                pair.slots[((pair.newest + 1) % SLOTS) as usize] = 0;
                pair.files.claim(pair.newest + 1);
            }
            Happens::TimePasses(_) | Happens::Turns => {}
        }
    }
}

/// What the stream has to remember, said plainly.
#[derive(Default)]
struct Model {
    open: Option<Opened>,
    next_try_ns: u64,
    skipped_total: u64,
    told: Option<&'static str>,
}

struct Opened {
    pair: usize,
    at_open: (u64, u64),
    seen: Option<u64>,
    last_words: (u64, u64),
    changed_at_ns: u64,
    has_changed: bool,
    next_name_check_ns: u64,
}

/// What a turn is to bring.
#[derive(Debug, PartialEq)]
enum Expected {
    Frame(u64, u64),
    Status(&'static str),
    Sleep(u64),
    SleepAWhile,
}

impl Model {
    fn turn(&mut self, world: &World, mode: Mode, now_ns: u64) -> Expected {
        let Some(open) = &mut self.open else { return self.turn_closed(world, now_ns) };
        let pair = &world.pairs[open.pair];
        // LIVE-1: nothing before a sign of life.
        let next = pair.expected(mode, open.seen).filter(|_| pair.words() != open.at_open);
        if let Some(id) = next {
            // READ-10, HEAD-10.
            let skipped = open.seen.map_or(0, |seen| id - seen - 1);
            open.seen = Some(id);
            self.skipped_total += skipped;
            self.told = Some("live");
            return Expected::Frame(id, skipped);
        }
        if pair.words() != open.last_words {
            (open.last_words, open.changed_at_ns, open.has_changed) = (pair.words(), now_ns, true);
        }
        // LIVE-2, in its order; LIFE-6: a pair that is over is let go at once.
        if pair.state.is_over() {
            self.open = None;
            return Expected::Status(pair.state.name());
        }
        let is_gone = now_ns - open.changed_at_ns >= 3000 * MS;
        let status = match pair.state {
            _ if is_gone => "server_gone",
            _ if !open.has_changed => "unproven",
            State::Stalled => "stalled",
            _ => "live",
        };
        if now_ns >= open.next_name_check_ns {
            open.next_name_check_ns = now_ns + 100 * MS;
            if world.named != Some(open.pair) {
                self.open = None;
                return Expected::Sleep(0);
            }
        }
        if status == "unproven" || self.told == Some(status) {
            Expected::SleepAWhile
        } else {
            Expected::Status(status)
        }
    }

    fn turn_closed(&mut self, world: &World, now_ns: u64) -> Expected {
        // OPEN-19.
        if now_ns < self.next_try_ns {
            return Expected::Sleep(self.next_try_ns - now_ns);
        }
        self.next_try_ns = now_ns + 100 * MS;
        let Some(named) = world.named else { return Expected::Status("waiting") };
        let pair = &world.pairs[named];
        if pair.is_nonsense {
            self.next_try_ns = now_ns + 1000 * MS;
            return Expected::Status("refused");
        }
        assert!(!pair.state.is_over(), "the events above leave no pair that is over under the names");
        self.open = Some(Opened {
            pair: named,
            at_open: pair.words(),
            seen: None,
            last_words: pair.words(),
            changed_at_ns: now_ns,
            has_changed: false,
            next_name_check_ns: now_ns + 100 * MS,
        });
        Expected::Sleep(0)
    }
}

/// A step as `next_event` takes it.
fn turn(stream: &mut FrameStream, now_ns: u64) -> Expected {
    match stream.step(now_ns) {
        Step::Frame(snapshot, skipped) => Expected::Frame(snapshot.id().get(), skipped),
        Step::Status(status) => {
            let name = status.name();
            stream.told = Some(status);
            Expected::Status(name)
        }
        Step::Later(at_ns) if stream.open.is_some() => {
            assert!((now_ns + 1..=now_ns + 100 * MS).contains(&at_ns), "{at_ns} at {now_ns}");
            Expected::SleepAWhile
        }
        Step::Later(at_ns) => Expected::Sleep(at_ns - now_ns),
        Step::Again => Expected::Sleep(0),
    }
}

fn check(mode: Mode, events: &[Happens]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let mut stream = FrameStream::new(world.base.path(), camera()).mode(mode);
    let mut model = Model::default();
    let mut now_ns = 5000 * MS;
    let mut step = |world: &World, now_ns: u64| {
        let found = turn(&mut stream, now_ns);
        let expected = model.turn(world, mode, now_ns);
        if let Expected::Status(name) = expected {
            model.told = Some(name);
        }
        prop_assert_eq!(&found, &expected);
        let generation = stream.reader().map(|reader| reader.header().generation());
        prop_assert_eq!(generation, model.open.as_ref().map(|open| open.pair as u64 + 1));
        prop_assert_eq!(stream.skipped_total(), model.skipped_total);
        Ok(found)
    };
    for &event in events {
        world.happens(event);
        match event {
            Happens::TimePasses(ns) => now_ns += ns,
            Happens::Turns => {
                step(&world, now_ns)?;
            }
            _ => {}
        }
    }
    // Whatever came before: a server that lives is found again within a second and a bit, and its frames come.
    world.happens(Happens::Restarts);
    for _ in 0..30 {
        now_ns += 50 * MS;
        world.happens(Happens::Publishes(1));
        if let Expected::Frame(id, _) = step(&world, now_ns)? {
            let newest = &world.pairs.last().expect("just made").newest;
            if id == *newest {
                return Ok(());
            }
        }
    }
    prop_assert!(false, "no frame of the new server in a second and a half");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // Proves OPEN-19, LIVE-1, LIVE-2, LIVE-5, LIFE-6, READ-10 and HEAD-10.
    #[test]
    fn a_stream_does_turn_by_turn_what_its_model_does(
        wants_every_frame in any::<bool>(),
        events in prop::collection::vec(happens(), 0..80),
    ) {
        check(if wants_every_frame { Mode::Next } else { Mode::Latest }, &events)?;
    }
}
