//! Divides the faults among threads, plays them, and says what came of it.

use crate::canary::Search;
use crate::faults::{ALL, Fault};
use crate::stage::{Client, Library, Stage, Told, Variant, Why};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vas_e2e::process::{Process, program};

/// The exit code after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// So often a row is played that came too late: a machine that stands still does so now and then, a server that is slow always is.
const TRIES: usize = 3;

/// How many characters of the server's sentence the table shows.
const SENTENCE: usize = 150;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Whose RTSP client the server uses
    #[arg(long, value_enum, default_value_t = Clients::All)]
    client: Clients,
    /// Only this fault; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Fewer faults, as continuous integration plays them
    #[arg(long)]
    quick: bool,
    /// Faults that are played at the same time
    #[arg(long, value_name = "N", default_value_t = 5)]
    lanes: usize,
    /// Names the faults and what they are
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Clients {
    Retina,
    Ffmpeg,
    /// The server chooses: few faults are played so
    Auto,
    All,
}

impl Clients {
    fn has(self, client: Client) -> bool {
        match self {
            Self::Retina => client == Client::Retina,
            Self::Ffmpeg => client == Client::Ffmpeg,
            Self::Auto => client == Client::Auto,
            Self::All => true,
        }
    }
}

/// A signal asks for the end; everything that was started ends with this program.
pub(crate) fn interruption() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

struct Row {
    place: usize,
    fault: &'static Fault,
    client: Client,
    seconds: f64,
    told: Told,
    search: Search,
    verdict: Result<(), Why>,
    log: String,
}

/// Plays what was asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.list {
        for fault in ALL {
            println!("{:<24}  {}{}", fault.name, fault.what, if fault.quick { "  (quick)" } else { "" });
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(options)?;
    // Without clips nothing would be played, and nothing would fail.
    vas_e2e::clips::clip("yard.h264")?;
    let interrupted = interruption()?;
    // A row's panic is told in its verdict, with what the processes said.
    let started = Instant::now();
    let rows = play_all(options, &chosen, &interrupted);
    print!("{}", table(&rows));
    let mut search = Search::default();
    let mut core_limits: Vec<String> = Vec::new();
    let mut broken = Vec::new();
    for row in rows {
        let name = format!("{} ({})", row.fault.name, row.client.name());
        match &row.verdict {
            Err(Why::Failed(why) | Why::Late(why)) => {
                eprintln!("\nFAILED {name}: {why}");
                for line in row.log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev() {
                    eprintln!("    | {line}");
                }
                eprintln!(
                    "    run it again: cargo xtask faults --client {} --only {}",
                    row.client.name(),
                    row.fault.name
                );
                broken.push(name.clone());
            }
            Err(Why::Skipped(why)) => {
                eprintln!("SKIPPED {name}: {why}");
                if std::env::var_os("VAS_NO_SKIP").is_some_and(|value| value == "1") {
                    broken.push(name.clone());
                }
            }
            _ => {}
        }
        if !row.told.core_limit.is_empty() && !core_limits.contains(&row.told.core_limit) {
            core_limits.push(row.told.core_limit.clone());
        }
        let mut found = row.search;
        found.hits.iter_mut().for_each(|hit| *hit = format!("{name}: {hit}"));
        search.add(found);
    }
    println!("canary: searched {} files, {} bytes: {} hits", search.files, search.bytes, search.hits.len());
    for hit in &search.hits {
        println!("    {hit}");
    }
    println!("core files: the server's soft limit was {}", core_limits.join(", "));
    println!("{:.0} s", started.elapsed().as_secs_f64());
    if interrupted.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !broken.is_empty() {
        eprintln!("broken: {}", broken.join(", "));
    }
    Ok(if broken.is_empty() && search.hits.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each fault by each client with which it is wanted and played.
fn chosen(options: &Options) -> Result<Vec<(&'static Fault, Client)>, String> {
    let known = |name: &String| ALL.iter().any(|fault| fault.name == name);
    if let Some(unknown) = options.only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = ALL.iter().map(|fault| fault.name).collect();
        return Err(format!("there is no fault {unknown:?}; there are: {}", names.join(", ")));
    }
    let is_wanted = |fault: &&Fault| match &options.only[..] {
        [] => fault.quick || !options.quick,
        names => names.iter().any(|name| name == fault.name),
    };
    let clients = Client::ALL.into_iter().filter(|client| options.client.has(*client));
    let chosen: Vec<_> = clients
        .flat_map(|client| ALL.iter().filter(is_wanted).map(move |fault| (fault, client)))
        .filter(|(fault, client)| (fault.setup)().clients.contains(client))
        .collect();
    if chosen.is_empty() {
        return Err("none of these faults is played with this client".into());
    }
    Ok(chosen)
}

fn play_all(options: &Options, chosen: &[(&'static Fault, Client)], interrupted: &AtomicBool) -> Vec<Row> {
    // Asked of the server itself: one that says it has the command is held to its file.
    let mut asked = Command::new(program("vas-ingest"));
    let has_status =
        Process::run("vas-ingest status --help", asked.args(["status", "--help"])).status.success();
    let library = Library::new(has_status);
    let mut all: Vec<(usize, &'static Fault, Client)> =
        chosen.iter().enumerate().map(|(place, &(fault, client))| (place, fault, client)).collect();
    // The longest first, so that no lane ends with it alone.
    all.sort_by_key(|(_, fault, _)| fault.name != "backoff");
    let waiting: Mutex<VecDeque<_>> = Mutex::new(all.into());
    let rows: Mutex<Vec<Row>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.lanes.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((place, fault, client)) = next else { return };
                    let row = play(&library, interrupted, place, fault, client);
                    eprintln!(
                        "{:<24} {:<7} {:>5.1} s  {}",
                        fault.name,
                        client.name(),
                        row.seconds,
                        short(&row.verdict)
                    );
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| row.place);
    rows
}

/// Plays a row, and once more if it came too late. What was searched counts of each try: a password that was shown was shown.
fn play(
    library: &Library,
    interrupted: &AtomicBool,
    place: usize,
    fault: &'static Fault,
    client: Client,
) -> Row {
    let started = Instant::now();
    let mut searched = Search::default();
    let mut tries = 1;
    loop {
        let mut row = play_once(library, interrupted, place, fault, client);
        searched.add(std::mem::take(&mut row.search));
        match &row.verdict {
            Err(Why::Late(why)) if tries < TRIES => {
                eprintln!("{:<24} {:<7} too late, once more: {why}", fault.name, client.name());
                tries += 1;
            }
            _ => return Row { seconds: started.elapsed().as_secs_f64(), search: searched, ..row },
        }
    }
}

fn play_once(
    library: &Library,
    interrupted: &AtomicBool,
    place: usize,
    fault: &'static Fault,
    client: Client,
) -> Row {
    let started = Instant::now();
    let setup = (fault.setup)();
    let (mut told, mut search, mut log) = (Told::default(), Search::default(), String::new());
    // By its place among all faults, so that a row that is played again is the same.
    let number = ALL.iter().position(|other| other.name == fault.name).unwrap_or(0);
    let variant = Variant::new(number + usize::from(client == Client::Retina));
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Why::Interrupted);
        }
        let mut stage = Stage::new(library, interrupted, &setup, variant, client)?;
        let played = match (fault.play)(&mut stage) {
            Err(Why::Late(why)) => stage.conclude_late(why),
            played => played.and_then(|()| stage.conclude()),
        };
        log = stage.log();
        told = stage.told.clone();
        search = std::mem::take(&mut stage.search);
        played
    }));
    let verdict = verdict.unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Why::Failed(text.unwrap_or("it panicked").to_owned()))
    });
    Row { place, fault, client, seconds: started.elapsed().as_secs_f64(), told, search, verdict, log }
}

fn short(verdict: &Result<(), Why>) -> String {
    match verdict {
        Ok(()) => "holds".into(),
        Err(Why::Failed(why) | Why::Late(why)) => {
            format!("FAILED: {}", why.lines().next().unwrap_or_default())
        }
        Err(Why::Skipped(_)) => "SKIPPED".into(),
        Err(Why::Interrupted) => "interrupted".into(),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<22} {:<7} {:>8} {:>8} {:>6} {:>6} {:>7} {:>6} {:>6}  verdict",
        "fault", "client", "outage", "again", "tries", "right", "flagged", "silent", "unseen"
    );
    for row in rows {
        let told = &row.told;
        let verdict = match &row.verdict {
            Err(Why::Failed(_) | Why::Late(_)) => "FAILED".into(),
            other => short(other),
        };
        let _ = writeln!(
            text,
            "{:<22} {:<7} {:>8} {:>8} {:>6} {:>6} {:>7} {:>6} {:>6}  {verdict}",
            row.fault.name,
            row.client.name(),
            seconds(told.outage),
            told.again.map_or_else(|| "-".into(), seconds),
            told.connections,
            told.right,
            told.flagged,
            told.silent,
            told.others_unseen,
        );
        for line in [&told.sentence, &told.note] {
            if !line.is_empty() {
                let _ = writeln!(text, "    {}", line.chars().take(SENTENCE).collect::<String>());
            }
        }
    }
    text
}
