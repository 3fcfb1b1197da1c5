//! The rounds.

use crate::read::Seen;
use crate::report::{self, Row};
use clap::ValueEnum;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PERIOD_US: u64 = 33_333;
const JITTERS_US: [u64; 3] = [0, 2000, 10_000];
const WARM_UP: usize = 40;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds: each reader once a round
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Frames that each reader counts in a round
    #[arg(long, default_value_t = 300)]
    frames: usize,
    /// A program in another language: its name, and the command; called with the policy's name, the base directory, the camera, how many
    /// frames and how many before them
    #[arg(long = "program", value_name = "NAME=COMMAND")]
    programs: Vec<String>,
    /// Only these ways of waiting (poll-ms is always among them)
    #[arg(long, value_enum, value_delimiter = ',')]
    ways: Vec<crate::read::Way>,
    /// Write every figure as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A reader: how it is named in the table, and how it is started.
struct Reader {
    language: String,
    way: &'static str,
    command: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let readers = readers(options)?;
    let mut rows: Vec<Row> = Vec::new();
    for jitter_us in JITTERS_US {
        let mut of_this: Vec<Row> =
            readers.iter().map(|reader| Row::new(jitter_us, &reader.language, reader.way)).collect();
        let publisher = Publisher::start(jitter_us)?;
        for round in 0..options.rounds {
            for (reader, row) in readers.iter().zip(&mut of_this) {
                eprint!(
                    "\rjitter {jitter_us} us, round {} of {}: {} {}        ",
                    round + 1,
                    options.rounds,
                    reader.language,
                    reader.way
                );
                row.add(measure(reader, publisher.base.path(), options.frames)?);
            }
        }
        rows.append(&mut of_this);
    }
    eprintln!();
    report::print(&rows);
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(())
}

fn readers(options: &Options) -> Result<Vec<Reader>, Box<dyn std::error::Error>> {
    let ways = crate::read::Way::value_variants();
    let wanted = |way: &crate::read::Way| {
        *way == crate::read::Way::PollMs || options.ways.is_empty() || options.ways.contains(way)
    };
    let name = |way: &crate::read::Way| match way {
        crate::read::Way::PollMs => "poll-ms",
        crate::read::Way::LowLatency => "low-latency",
        crate::read::Way::Balanced => "balanced",
        crate::read::Way::Economy => "economy",
    };
    let me = std::env::current_exe()?.display().to_string();
    let mut readers: Vec<Reader> = ways
        .iter()
        .filter(|way| wanted(way))
        .map(|way| Reader {
            language: "Rust".to_owned(),
            way: name(way),
            command: vec![me.clone(), "read".into(), "--way".into(), name(way).into()],
        })
        .collect();
    for program in &options.programs {
        let (language, command) = program.split_once('=').ok_or("--program is NAME=COMMAND")?;
        for way in ways.iter().filter(|&way| wanted(way)) {
            if *way == crate::read::Way::PollMs {
                continue;
            }
            let mut command: Vec<String> = command.split_whitespace().map(ToOwned::to_owned).collect();
            command.extend(["--way".into(), name(way).into()]);
            readers.push(Reader { language: language.to_owned(), way: name(way), command });
        }
    }
    Ok(readers)
}

fn measure(
    reader: &Reader,
    base: &std::path::Path,
    frames: usize,
) -> Result<Seen, Box<dyn std::error::Error>> {
    let mut command = Command::new(&reader.command[0]);
    command.args(&reader.command[1..]).arg("--base").arg(base);
    command.args(["--frames", &frames.to_string(), "--warm-up", &WARM_UP.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} {} ended with {}", reader.language, reader.way, output.status).into());
    }
    let seen: Seen = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} {} printed no figures: {error}", reader.language, reader.way))?;
    if seen.latencies_ns.len() != frames {
        return Err(format!(
            "{} {} counted {} frames of {frames}",
            reader.language,
            reader.way,
            seen.latencies_ns.len()
        )
        .into());
    }
    Ok(seen)
}

/// A publisher with a base directory of its own: what a killed one leaves is no camera to wait for.
struct Publisher {
    process: Child,
    base: tempfile::TempDir,
}

impl Publisher {
    fn start(jitter_us: u64) -> io::Result<Self> {
        let base = tempfile::Builder::new().prefix("vas-waiting-").tempdir_in("/dev/shm")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("publish").arg("--base").arg(base.path());
        command.args(["--period-us", &PERIOD_US.to_string(), "--jitter-us", &jitter_us.to_string()]);
        let publisher = Self { process: command.stdin(Stdio::null()).spawn()?, base };
        let meta = publisher.base.path().join(crate::CAMERA).join("frame.meta");
        let begun = Instant::now();
        while !meta.exists() {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other("the publisher made no camera within twenty seconds"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(publisher)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
