//! A pair whose words and pixels change after the open, constants too: between two questions, where every answer is known, and
//! on a second thread at any moment, where the reader has to stay inside its mappings and end.
#![no_main]

use std::sync::atomic::{AtomicBool, Ordering};

use libfuzzer_sys::fuzz_target;
use vas_fuzz::input::{Case, Step};
use vas_fuzz::oracle;
use vas_fuzz::stage::{Asked, Shared, Stage, ask_blindly};
use vas_shm_reader::{Opened, Options, open};

thread_local! {
    static STAGE: Stage = Stage::new();
}

/// How often a reader asks while another thread stores.
const ROUNDS: usize = 6;

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::parse(input) else { return };
    STAGE.with(|stage| run(stage, &case));
});

fn run(stage: &Stage, case: &Case) {
    let (mut shared, files) = stage.put(case);
    let Ok(constants) = oracle::open(&shared.meta, &files) else { return };
    let Opened::Ready(reader) = open(stage.base(), &stage.camera, &Options::new()) else {
        panic!("refused, and ought not to be");
    };
    let header = reader.header().clone();
    let asked = Asked::new(&reader, constants, &shared);
    if case.has_second_thread {
        race(stage, case, &asked, &mut shared);
    } else {
        in_turns(stage, case, &asked, &mut shared);
    }
    assert_eq!(reader.header(), &header, "what was checked is what is used");
}

fn in_turns(stage: &Stage, case: &Case, asked: &Asked<'_>, shared: &mut Shared) {
    let mut seen = None;
    for &step in &case.program {
        match step {
            Step::Follow => {
                let found = if case.wants_every_frame {
                    asked.next(shared, seen)
                } else {
                    asked.latest(shared, seen)
                };
                seen = found.or(seen);
            }
            Step::Behind { by } => {
                asked.at(shared, oracle::large(&shared.meta, 8).wrapping_sub(u64::from(by)));
            }
            Step::AskAll => asked.everything(shared),
            writes => {
                // A frame that is held over this step is whole as long as its slot's number stands.
                let held = asked.reader.last_picture();
                let before = held.as_ref().and_then(|frame| frame.to_packed().ok());
                stage.write(shared, &asked.constants, writes);
                if let Some(frame) = held {
                    let stands = oracle::large(&shared.meta, asked.constants.record(frame.id().get()));
                    let is_intact = stands == frame.id().get();
                    assert_eq!(frame.is_intact(), is_intact);
                    assert_eq!(frame.to_packed().is_ok(), is_intact);
                    assert!(before.is_some(), "it stood before");
                }
            }
        }
    }
}

fn race(stage: &Stage, case: &Case, asked: &Asked<'_>, shared: &mut Shared) {
    let is_over = AtomicBool::new(false);
    let constants = &asked.constants;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The first round always, so that something changes even if this thread comes late.
            loop {
                for &step in &case.program {
                    stage.write(shared, constants, step);
                }
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut seen = None;
        for _ in 0..ROUNDS {
            seen = ask_blindly(asked.reader, seen).or(seen);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    asked.everything(shared);
}
