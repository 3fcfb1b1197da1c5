//! `top`: all cameras as they are now, again and again.
//!
//! `watched` is what is known of the cameras, `readers` who looks at them, `screen` the terminal, `picture` a picture in it.
//! Without a terminal the same table is printed as text, once an interval.

mod picture;
mod readers;
mod screen;
mod watched;

use crate::cli::seconds;
use crate::failure::Failure;
use crate::human;
use crate::list::base_failure;
use crate::watch::is_output_closed;
use readers::Readers;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use watched::{Row, Watched};

/// Between two looks at all cameras: with three slots, frames of up to 200 a second are all seen.
const TURN: Duration = Duration::from_millis(10);

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the table is drawn or printed anew
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, allow_negative_numbers = true)]
    interval: Duration,
    /// End after this many tables
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print a JSON object per interval, one a line
    #[arg(long)]
    json: bool,
    /// Print the table as text, also to a terminal
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    /// How the picture of one camera is shown
    #[arg(long, value_name = "MEANS", default_value = "auto")]
    picture: picture::Means,
}

/// All cameras at one moment, as `--json` shows them.
#[derive(Debug, Serialize)]
struct Moment<'a> {
    monotonic_ns: u64,
    cameras: &'a [Row],
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let watched = Watched::new(base);
    // A terminal that takes no sequences is none for this.
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if io::stdout().is_terminal()
        && io::stdin().is_terminal()
        && !arguments.json
        && !arguments.plain
        && !is_dumb
    {
        return screen::run(base, watched, arguments);
    }
    print(base, watched, arguments, out)
}

fn print(
    base: &Path,
    mut watched: Watched,
    arguments: &Arguments,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut printed = 0;
    let mut next = Instant::now() + arguments.interval;
    loop {
        watched.turn().map_err(|error| base_failure(base, error))?;
        if Instant::now() < next {
            std::thread::sleep(TURN.min(next.saturating_duration_since(Instant::now())));
            if is_output_closed() {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            continue;
        }
        // Not from the moment of printing on: an interval is an interval.
        next = (next + arguments.interval).max(Instant::now());
        let rows = watched.rows();
        if arguments.json {
            let moment = Moment { monotonic_ns: vas_shm_reader::monotonic_ns(), cameras: &rows };
            serde_json::to_writer(&mut *out, &moment)?;
            writeln!(out)?;
        } else {
            if printed > 0 {
                writeln!(out)?;
            }
            let mut table = vec![HEADINGS.map(str::to_owned).to_vec()];
            table.extend(rows.iter().map(|row| cells(row).to_vec()));
            out.write_all(human::table(&table).as_bytes())?;
        }
        out.flush()?;
        printed += 1;
        if arguments.count == Some(printed) {
            return Ok(());
        }
    }
}

const HEADINGS: [&str; 11] =
    ["CAMERA", "STATE", "PICTURE", "FPS", "AGE", "JITTER", "SKIPPED", "DAMAGED", "READERS", "MEMORY", ""];

fn cells(row: &Row) -> [String; HEADINGS.len()] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let ms = |ms: f64| human::duration(Duration::from_secs_f64(ms / 1e3));
    [
        row.camera.to_string(),
        row.state.replace('_', " "),
        or_dash(row.width.zip(row.height).map(|(width, height)| format!("{width}x{height}"))),
        or_dash(row.fps.map(|fps| format!("{fps:.1}"))),
        or_dash(row.age_ms.map(ms)),
        or_dash(row.jitter_ms.map(ms)),
        row.skipped.to_string(),
        row.damaged.to_string(),
        Readers::describe(row.readers, row.readers_is_minimum),
        or_dash(row.memory_bytes.map(human::bytes)),
        row.why.clone().unwrap_or_default(),
    ]
}
