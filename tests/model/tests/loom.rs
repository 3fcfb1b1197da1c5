//! The algorithm as shipped under loom: every execution of each scenario, then every mutant, which has to be caught.
//!
//! `VAS_MODEL=long` explores in full what the quick form bounds, and what it leaves out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use vas_model::change::Change;
use vas_model::roles::violation::{
    AWAKE_WITHOUT_FRAME, BEFORE_IDLE, FRAME_AFTER_END, NO_SUCCESSOR, NOT_READABLE, OLDER, TORN,
};
use vas_model::scenario::{self, Scenario, Size, Stage};
use vas_model::tally::{Event, Tally};
use vas_model::{Panicked, panic_of};

vas_model::checker! {
    /// loom: every execution that the C11 memory model allows, load buffering and the finer points of SeqCst apart.
    Loom, loom
}

/// A mutant: its name, what it changes, the scenario in which it shows, and what is then said.
struct Mutant {
    name: &'static str,
    change: Change,
    scenario: &'static str,
    says: &'static str,
}

const FROM_FIRST: &str = "from_the_first_frame_on_none_is_mixed";
const NEVER_BACK: &str = "a_reader_never_goes_back_to_an_older_frame";
const BEFORE: &str = "the_frame_before_the_newest_is_whole_or_gone";
const DROPPED: &str = "a_dropped_claim_leaves_nothing_behind";
const STANDS: &str = "what_is_published_stands";
const KILLED: &str = "a_server_killed_anywhere_leaves_the_newest_frame";
const IDLE: &str = "while_idle_no_old_picture_is_handed_out";
const AWAKE: &str = "the_idle_flag_is_cleared_after_the_first_new_frame";
const REPLACED: &str = "told_replaced_a_reader_finds_the_successor";
const STOPPED: &str = "told_stopped_a_reader_knows_the_last_frame";

const fn mutant(name: &'static str, change: Change, scenario: &'static str, says: &'static str) -> Mutant {
    Mutant { name, change, scenario, says }
}

const MUTANTS: &[Mutant] = &[
    mutant("fence_2_left_out", Change::NoFence2, BEFORE, TORN),
    mutant("fence_2_replaced_by_a_release_store", Change::ClaimByReleaseStore, BEFORE, TORN),
    mutant("claim_after_the_pixels", Change::ClaimAfterPixels, BEFORE, TORN),
    mutant("claim_left_out", Change::NoClaim, BEFORE, TORN),
    mutant("steps_4_and_6_both_relaxed", Change::CompleteAndPublishRelaxed, FROM_FIRST, TORN),
    mutant("steps_4_and_6_before_the_pixels", Change::PublishBeforePixels, FROM_FIRST, TORN),
    mutant("step_6_relaxed", Change::PublishRelaxed, STANDS, NOT_READABLE),
    mutant("publish_before_complete", Change::PublishBeforeComplete, STANDS, NOT_READABLE),
    mutant("publish_before_complete_and_killed", Change::PublishBeforeComplete, KILLED, NOT_READABLE),
    mutant("a_dropped_claim_puts_the_number_back", Change::DroppedClaimPutsNumberBack, DROPPED, TORN),
    mutant("a_number_used_twice", Change::NumberUsedTwice, FROM_FIRST, TORN),
    mutant("numbers_that_go_back", Change::NumbersGoBack, NEVER_BACK, OLDER),
    mutant("fence_3_left_out", Change::NoFence3, FROM_FIRST, TORN),
    mutant("fence_5_left_out", Change::NoFence5, BEFORE, TORN),
    mutant("fence_5_replaced_by_an_acquire_load", Change::Check6ByAcquireLoad, BEFORE, TORN),
    mutant("check_6_left_out", Change::NoCheck6, BEFORE, TORN),
    mutant("check_6_before_the_pixels", Change::CheckBeforePixels, BEFORE, TORN),
    mutant(
        "release_stores_and_acquire_loads_in_place_of_all_fences",
        Change::AcquireReleaseNoFences,
        BEFORE,
        TORN,
    ),
    mutant("the_time_taken_from_the_mirror", Change::TimeFromMirror, FROM_FIRST, TORN),
    mutant("withdraw_without_its_fence", Change::WithdrawWithoutFence, STOPPED, TORN),
    mutant("pixels_given_back_before_withdraw", Change::PixelsGivenBackFirst, STOPPED, TORN),
    mutant("idle_without_withdraw", Change::IdleWithoutWithdraw, IDLE, BEFORE_IDLE),
    mutant(
        "idle_flag_cleared_before_the_first_new_frame",
        Change::IdleClearedFirst,
        AWAKE,
        AWAKE_WITHOUT_FRAME,
    ),
    mutant(
        "replaced_before_the_successor_is_visible",
        Change::ReplacedBeforeSuccessor,
        REPLACED,
        NO_SUCCESSOR,
    ),
    mutant("state_stored_relaxed_at_replacement", Change::StateRelaxed, REPLACED, NO_SUCCESSOR),
    mutant("state_stored_relaxed_at_stop", Change::StateRelaxed, STOPPED, FRAME_AFTER_END),
    mutant("a_frame_published_after_stop", Change::PublishAfterStop, STOPPED, FRAME_AFTER_END),
];

/// Changes with which a frame that is accepted is whole all the same. (With step 6 relaxed a reader may see the publish
/// word before the frame that it names; so that one is a mutant, too.)
const EQUIVALENTS: &[(&str, Change)] = &[
    ("step_4_relaxed_and_step_6_released", Change::CompleteRelaxed),
    ("step_6_relaxed_and_step_4_released", Change::PublishRelaxed),
    ("acquire_loads_in_place_of_fence_3", Change::FindByAcquireLoads),
    ("sequentially_consistent_fences", Change::SeqCstFences),
    ("the_mirror_after_the_publish_word", Change::MirrorLast),
];

/// Enough to notice a scenario that fails for no good reason; the long form goes through all executions of these, too.
const EQUIVALENTS_QUICK_PREEMPTIONS: usize = 3;

fn is_long() -> bool {
    std::env::var_os("VAS_MODEL").is_some_and(|value| value == "long")
}

/// Explores a scenario under a change, the quick form up to a number of preemptions if there is one; the message of the first violation if there is one.
fn explore(
    scenario: &Scenario,
    change: Change,
    quick_preemptions: Option<usize>,
    tally: &Arc<Tally>,
) -> Result<(), Panicked> {
    for variant in 0..scenario.variants {
        let mut model = loom::model::Builder::new();
        // Set here so that no environment variable makes the search smaller than it says.
        model.max_permutations = None;
        model.max_duration = None;
        model.checkpoint_file = None;
        model.preemption_bound = quick_preemptions.filter(|_| !is_long());
        model.max_branches = 10_000;
        model.max_threads = 4;
        let run = scenario.run;
        let tally = Arc::clone(tally);
        panic_of(move || model.check(move || run(&Stage { tally: Arc::clone(&tally), change, variant })))?;
    }
    Ok(())
}

#[derive(Default)]
struct Report {
    explored: Mutex<BTreeMap<String, (u64, Duration, String)>>,
    mutants: Mutex<BTreeMap<String, (&'static str, u64, String)>>,
    equivalents: Mutex<BTreeMap<String, u64>>,
}

fn counts(tally: &Tally) -> String {
    let mut text = String::new();
    for event in Event::ALL {
        let count = tally.count(event);
        if count > 0 {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{} {count}", event.name());
        }
    }
    text
}

fn scenario_trial(index: usize, report: &Arc<Report>) -> Trial {
    let report = Arc::clone(report);
    let name = scenario::all::<Loom>()[index].name;
    let size = scenario::all::<Loom>()[index].size;
    let trial = Trial::test(format!("as_shipped::{name}"), move || {
        let scenario = &scenario::all::<Loom>()[index];
        let tally = Arc::new(Tally::default());
        let started = Instant::now();
        explore(scenario, Change::None, scenario.quick_preemptions(), &tally)
            .map_err(|Panicked(said)| format!("{said}; found in execution {} by loom", tally.executions()))?;
        for &event in scenario.expects {
            if tally.count(event) == 0 {
                return Err(Failed::from(format!(
                    "in none of {} executions: {}. The model is vacuous",
                    tally.executions(),
                    event.name()
                )));
            }
        }
        let row = (tally.executions(), started.elapsed(), counts(&tally));
        report.explored.lock().unwrap().insert(name.to_owned(), row);
        Ok(())
    });
    trial.with_ignored_flag(size == Size::LongOnly && !is_long())
}

fn find(name: &str) -> Scenario {
    scenario::all::<Loom>()
        .into_iter()
        .find(|scenario| scenario.name == name)
        .expect("a scenario has this name")
}

fn mutant_trial(mutant: &'static Mutant, report: &Arc<Report>) -> Trial {
    let report = Arc::clone(report);
    Trial::test(format!("mutant::{}_is_caught", mutant.name), move || {
        let tally = Arc::new(Tally::default());
        let scenario = find(mutant.scenario);
        let outcome = explore(&scenario, mutant.change, scenario.quick_preemptions(), &tally);
        let executions = tally.executions();
        if tally.changes_applied() == 0 {
            return Err(Failed::from(format!(
                "{}: nothing was left out or replaced, so what this mutant lacks is lacking in the production code",
                mutant.name
            )));
        }
        match outcome {
            Err(Panicked(said)) if said.contains(mutant.says) => {
                report
                    .mutants
                    .lock()
                    .unwrap()
                    .insert(mutant.name.to_owned(), (mutant.scenario, executions, said));
                Ok(())
            }
            Err(Panicked(said)) => {
                Err(format!("caught by another violation than {:?}: {said}", mutant.says).into())
            }
            Ok(()) => Err(format!("SURVIVED all {executions} executions of {}", mutant.scenario).into()),
        }
    })
}

fn equivalent_trial(name: &'static str, change: Change, report: &Arc<Report>) -> Trial {
    let report = Arc::clone(report);
    Trial::test(format!("equivalent::{name}"), move || {
        let tally = Arc::new(Tally::default());
        explore(&find(FROM_FIRST), change, Some(EQUIVALENTS_QUICK_PREEMPTIONS), &tally)
            .map_err(|Panicked(said)| format!("{FROM_FIRST}: {said}"))?;
        if tally.changes_applied() == 0 {
            return Err("nothing was changed".into());
        }
        report.equivalents.lock().unwrap().insert(name.to_owned(), tally.executions());
        Ok(())
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // Two at a time, whatever the machine: each holds a few megabytes of stacks and is bound by its processor.
        arguments.test_threads = Some(2);
    }
    let report = Arc::new(Report::default());
    let mut trials: Vec<Trial> =
        (0..scenario::all::<Loom>().len()).map(|index| scenario_trial(index, &report)).collect();
    trials.extend(MUTANTS.iter().map(|mutant| mutant_trial(mutant, &report)));
    trials.extend(EQUIVALENTS.iter().map(|&(name, change)| equivalent_trial(name, change, &report)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    print(&report);
    conclusion.exit_code()
}

fn print(report: &Report) {
    let explored = report.explored.lock().unwrap();
    if !explored.is_empty() {
        println!("as shipped: executions, time, what was seen in them");
        for (name, (executions, time, counts)) in &*explored {
            let bounded = match find(name).quick_preemptions() {
                Some(bound) if !is_long() => format!("  (at most {bound} preemptions)"),
                _ => String::new(),
            };
            println!("  {name:<56} {executions:>9} {:>7.1} s  {counts}{bounded}", time.as_secs_f64());
        }
    }
    let mutants = report.mutants.lock().unwrap();
    if !mutants.is_empty() {
        println!("mutants");
        for mutant in MUTANTS {
            if let Some((_, executions, said)) = mutants.get(mutant.name) {
                println!(
                    "  {:<50} caught in execution {executions}: {}",
                    mutant.name,
                    said.lines().next().unwrap_or_default()
                );
            }
        }
        println!("  {} of {} caught", mutants.len(), MUTANTS.len());
    }
    for (name, executions) in &*report.equivalents.lock().unwrap() {
        println!("  equivalent {name:<50} passed, {executions} executions");
    }
}
