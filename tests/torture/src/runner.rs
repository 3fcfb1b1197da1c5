//! Divides the time among the scenarios, plays them, and says what came of it.

use crate::Cli;
use crate::report::{Report, Row, Tally, Verdict};
use crate::scenarios::{ALL, Scenario};
use crate::stage::{Played, Run, Stage, Stop};
use rustix::fs::{FlockOperation, flock};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::VecDeque;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vas_test_support::shared_memory;

const PREFIX: &str = "vas-torture-";
/// A folder that is younger may just not be locked yet.
const SETTLED: Duration = Duration::from_secs(60);
/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Plays what was asked for.
pub(crate) fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    if cli.list {
        for scenario in ALL {
            println!("{:<20}  {}", scenario.name, scenario.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let scenarios = chosen(cli)?;
    if cli.nice > 0 {
        rustix::process::nice(cli.nice)?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    remove_abandoned();
    let folder = Folder::make()?;
    let run = Run {
        seed: cli.seed,
        is_blind: cli.blind,
        interrupted: Arc::clone(&interrupted),
        folder: folder.path.path().to_owned(),
    };
    let started = Instant::now();
    let rows = play_all(cli, &run, &scenarios);
    let report = Report::new(cli.seed, started.elapsed().as_secs_f64(), cli.blind, rows);
    if cli.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    eprintln!("seed {}, {:.0} s: {}", report.seed, report.seconds, report.sentence());
    for row in &report.rows {
        if let Verdict::Failed(why) = &row.verdict {
            eprintln!("\nFAILED {}: {why}\n    run it again: {}", row.scenario, again(cli, row.scenario));
        }
    }
    Ok(match (interrupted.load(Ordering::Relaxed), report.holds) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn again(cli: &Cli, scenario: &str) -> String {
    let blind = if cli.blind { " --blind" } else { "" };
    format!("cargo xtask torture --seconds {} --seed {}{blind} --scenario {scenario}", cli.seconds, cli.seed)
}

fn chosen(cli: &Cli) -> Result<Vec<&'static Scenario>, String> {
    let known = |name: &String| ALL.iter().find(|scenario| scenario.name == name);
    if let Some(unknown) = cli.scenarios.iter().find(|name| known(name).is_none()) {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        return Err(format!("there is no scenario {unknown:?}; there are: {}", names.join(", ")));
    }
    Ok(ALL
        .iter()
        .filter(|scenario| match &cli.scenarios[..] {
            // Readers that are not told apart from their rivals by time see no tears: those are left out.
            [] => !cli.blind || scenario.shows_tears,
            names => names.iter().any(|name| name == scenario.name),
        })
        .collect())
}

/// Plays scenarios beside each other, each for its share of the time.
fn play_all(cli: &Cli, run: &Run, scenarios: &[&'static Scenario]) -> Vec<Row> {
    let lanes = cli.lanes.clamp(1, scenarios.len().max(1));
    let weights: u64 = scenarios.iter().map(|scenario| scenario.weight).sum();
    let share = |weight: u64| {
        Duration::from_secs(cli.seconds).mul_f64(weight as f64 * lanes as f64 / weights.max(1) as f64)
    };
    let waiting: Mutex<VecDeque<&Scenario>> = Mutex::new(scenarios.iter().copied().collect());
    let rows: Mutex<Vec<Row>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(scenario) = next else { return };
                    // One scenario at a time where only one lane is left would make the run longer than it was to be.
                    let row =
                        play(run, scenario, share(scenario.weight).min(Duration::from_secs(cli.seconds)));
                    eprintln!(
                        "{:<20}  {:>5.1} s  {}",
                        row.scenario,
                        row.seconds,
                        row.verdict.short(cli.blind, row.tally.torn)
                    );
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |row: &Row| scenarios.iter().position(|scenario| scenario.name == row.scenario);
    rows.sort_by_key(place);
    rows
}

fn play(run: &Run, scenario: &'static Scenario, time: Duration) -> Row {
    let started = Instant::now();
    let (mut tally, mut note) = (Tally::default(), None);
    let end = if run.interrupted.load(Ordering::Relaxed) {
        Err(Stop::Interrupted)
    } else {
        Stage::new(run, scenario.name, time).and_then(|mut stage| {
            let end = play_on(&mut stage, scenario);
            tally = stage.tally;
            note = stage.note.take();
            end
        })
    };
    let mut verdict = Verdict::new(end);
    if let Verdict::Skipped(why) = &verdict {
        // Set where everything has to run: in continuous integration as root.
        if std::env::var_os("VAS_NO_SKIP").is_some_and(|value| value == "1") {
            verdict = Verdict::Failed(format!("cannot be played here: {why}"));
        }
    }
    Row { scenario: scenario.name, seconds: started.elapsed().as_secs_f64(), tally, note, verdict }
}

fn play_on(stage: &mut Stage<'_>, scenario: &Scenario) -> Played {
    let played = (scenario.play)(stage).and_then(|()| stage.end_all());
    match played {
        Ok(()) => stage.conclude(true),
        Err(Stop::Failed(why)) => {
            // What readers accepted until then matters more than what came to an end.
            stage.kill_all();
            match stage.conclude(false) {
                Err(Stop::Failed(more)) => Err(Stop::Failed(format!("{more}; and {why}"))),
                _ => Err(Stop::Failed(why)),
            }
        }
        Err(other) => Err(other),
    }
}

/// The run's folder in shared memory, removed with everything in it at the end.
struct Folder {
    path: TempDir,
    /// Says to other runs that it is in use. Gone with the process, however that ends.
    _lock: File,
}

impl Folder {
    fn make() -> std::io::Result<Self> {
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(shared_memory())?;
        // Some readers are other users.
        fs::set_permissions(path.path(), fs::Permissions::from_mode(0o755))?;
        let lock = File::open(path.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _lock: lock })
    }
}

/// Removes what runs left that were killed.
fn remove_abandoned() {
    for entry in fs::read_dir(shared_memory()).into_iter().flatten().flatten() {
        let is_settled = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SETTLED));
        if !is_settled || !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Another user's, or removed by another run at this moment: not ours to remove.
        let Ok(folder) = File::open(entry.path()) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
