//! The algorithm as shipped under shuttle: long random schedules of a crowd that no search could go through, and the
//! mutants that show in them.
//!
//! Every load finds the newest store here (sequential consistency), so that fences and orders are invisible: this is about
//! the steps and their order, with many frames, two to eight slots and several readers. loom is for the rest.
//!
//! `VAS_MODEL_SEED` picks the schedules, `VAS_MODEL=long` a hundred times as many of them.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use vas_model::change::Change;
use vas_model::roles::violation::TORN;
use vas_model::scenario::{Stage, crowd};
use vas_model::tally::{Event, Tally};
use vas_model::{Panicked, panic_of};

vas_model::checker! {
    /// shuttle: random schedules, each load finding the newest store.
    Shuttle, shuttle
}

/// Schedules of each number of slots, by each way of choosing them.
const SCHEDULES: usize = 150;
const LONG: usize = 100;
/// How often PCT changes priorities: bugs that need so many interruptions at the right places are found with a known chance.
const PCT_DEPTH: usize = 4;

const EXPECTED: [Event; 6] = [
    Event::Accepted,
    Event::Rejected,
    Event::NothingNew,
    Event::Retried,
    Event::OlderStood,
    Event::OlderGone,
];

const MUTANTS: [(&str, Change); 7] = [
    ("claim_after_the_pixels", Change::ClaimAfterPixels),
    ("claim_left_out", Change::NoClaim),
    ("steps_4_and_6_before_the_pixels", Change::PublishBeforePixels),
    ("a_dropped_claim_puts_the_number_back", Change::DroppedClaimPutsNumberBack),
    ("check_6_left_out", Change::NoCheck6),
    ("check_6_before_the_pixels", Change::CheckBeforePixels),
    ("pixels_given_back_before_withdraw", Change::PixelsGivenBackFirst),
];

fn seed() -> u64 {
    std::env::var("VAS_MODEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn schedules() -> usize {
    let long = std::env::var_os("VAS_MODEL").is_some_and(|value| value == "long");
    if long { SCHEDULES * LONG } else { SCHEDULES }
}

fn run(change: Change, tally: &Arc<Tally>) -> Result<(), Panicked> {
    for variant in 0..7 {
        let body = || {
            let tally = Arc::clone(tally);
            move || crowd::<Shuttle>(&Stage { tally: Arc::clone(&tally), change, variant })
        };
        let config = || {
            let mut config = Config::new();
            config.failure_persistence = FailurePersistence::None;
            config.max_steps = MaxSteps::FailAfter(1_000_000);
            // That Relaxed is taken for SeqCst is what this file says at its top.
            config.silence_warnings = true;
            config
        };
        let seed = seed().wrapping_add(u64::from(variant));
        let (random, pct) = (body(), body());
        panic_of(move || {
            Runner::new(RandomScheduler::new_from_seed(seed, schedules()), config()).run(random);
            Runner::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules()), config()).run(pct);
        })?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    let said = Arc::clone(&lines);
    trials.push(Trial::test("as_shipped::a_crowd_is_never_handed_a_mixed_frame", move || {
        let tally = Arc::new(Tally::default());
        let started = Instant::now();
        run(Change::None, &tally).map_err(|Panicked(said)| format!("{said} (VAS_MODEL_SEED={})", seed()))?;
        let counts: Vec<_> =
            Event::ALL.iter().map(|&event| format!("{} {}", event.name(), tally.count(event))).collect();
        if let Some(missing) = EXPECTED.iter().find(|&&event| tally.count(event) == 0) {
            return Err(Failed::from(format!("in no schedule: {}", missing.name())));
        }
        said.lock().unwrap().push(format!(
            "  a crowd: {} schedules in {:.1} s, {}",
            tally.executions(),
            started.elapsed().as_secs_f64(),
            counts.join(", ")
        ));
        Ok(())
    }));
    for (name, change) in MUTANTS {
        let lines = Arc::clone(&lines);
        trials.push(Trial::test(format!("mutant::{name}_is_caught"), move || {
            let tally = Arc::new(Tally::default());
            match run(change, &tally) {
                Err(Panicked(said)) if said.contains(TORN) => {
                    let first = said.lines().next().unwrap_or_default();
                    lines
                        .lock()
                        .unwrap()
                        .push(format!("  {name:<50} caught in schedule {}: {first}", tally.executions()));
                    Ok(())
                }
                Err(Panicked(said)) => {
                    Err(format!("caught by another violation than {TORN:?}: {said}").into())
                }
                Ok(()) => Err(format!("SURVIVED all {} schedules", tally.executions()).into()),
            }
        }));
    }
    eprintln!("(shuttle prints a word about each schedule that fails; those of mutants have to)");
    let conclusion = libtest_mimic::run(&arguments, trials);
    println!("random schedules, seed {}", seed());
    for line in lines.lock().unwrap().iter() {
        println!("{line}");
    }
    conclusion.exit_code()
}
