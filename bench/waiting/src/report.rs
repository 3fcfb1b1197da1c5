//! The table.

use crate::read::Seen;
use serde::Serialize;

/// One reader under one jitter: its rounds.
#[derive(Serialize)]
pub(crate) struct Row {
    jitter_us: u64,
    language: String,
    way: String,
    rounds: Vec<Seen>,
}

impl Row {
    pub(crate) fn new(jitter_us: u64, language: &str, way: &str) -> Self {
        Self { jitter_us, language: language.to_owned(), way: way.to_owned(), rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, seen: Seen) {
        self.rounds.push(seen);
    }

    /// One figure of each round: their median, and how far they lie apart.
    fn over_rounds(&self, figure: impl Fn(&Seen) -> f64) -> Spread {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        Spread { least: figures[0], median: figures[figures.len() / 2], most: figures[figures.len() - 1] }
    }

    fn latency_us(&self, percent: usize) -> Spread {
        self.over_rounds(|seen| {
            let mut sorted = seen.latencies_ns.clone();
            sorted.sort_unstable();
            sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)] as f64 / 1000.0
        })
    }

    fn cpu_percent(&self) -> Spread {
        self.over_rounds(|seen| seen.cpu_ns as f64 * 100.0 / seen.wall_ns as f64)
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:<9} {:<10} {:<12} {:>24} {:>26} {:>22} {:>8} {:>8} {:>8}",
        "jitter",
        "language",
        "waiting",
        "p50 us (least..most)",
        "p99 us (least..most)",
        "CPU % (least..most)",
        "p50/poll",
        "CPU/poll",
        "skipped"
    );
    for row in rows {
        let poller = rows.iter().find(|other| other.jitter_us == row.jitter_us && other.way == "poll-ms");
        let (p50, p99, cpu) = (row.latency_us(50), row.latency_us(99), row.cpu_percent());
        let ratio = |mine: f64, of: fn(&Row) -> f64| {
            poller.map_or_else(|| "-".to_owned(), |poller| format!("{:.2}", mine / of(poller)))
        };
        let spread = |it: &Spread, digits: usize| {
            format!("{:.digits$} ({:.digits$}..{:.digits$})", it.median, it.least, it.most)
        };
        println!(
            "{:<9} {:<10} {:<12} {:>24} {:>26} {:>22} {:>8} {:>8} {:>8}",
            format!("{} us", row.jitter_us),
            row.language,
            row.way,
            spread(&p50, 1),
            spread(&p99, 1),
            spread(&cpu, 2),
            ratio(p50.median, |row| row.latency_us(50).median),
            ratio(cpu.median, |row| row.cpu_percent().median),
            row.rounds.iter().map(|seen| seen.skipped).sum::<u64>(),
        );
    }
}
