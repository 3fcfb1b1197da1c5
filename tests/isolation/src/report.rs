//! Tables for a person, JSON for a program.

use crate::Cli;
use crate::run::{All, Round};
use crate::server::{Block, Cost};
use serde::Serialize;
use std::fmt::Write as _;

/// A ratio above this is worth a sentence, if no round was below.
const WORTH_A_SENTENCE: f64 = 1.05;

/// With fewer rounds the spread says nothing.
const ROUNDS_TO_TELL: usize = 5;

/// What is published, and by which clock it is measured.
const MEASURES: [(&str, &str, Costs, Clock); 4] = [
    ("without pixels", "wall-clock time", |block| &block.words, |cost| cost.wall_ns),
    ("without pixels", "processor time", |block| &block.words, |cost| cost.processor_ns),
    ("1080p copied in", "wall-clock time", |block| &block.pictures, |cost| cost.wall_ns),
    ("1080p copied in", "processor time", |block| &block.pictures, |cost| cost.processor_ns),
];

/// Which block of a round.
type Side = fn(&Round) -> &Block;
type Costs = fn(&Block) -> &Vec<Cost>;
type Clock = fn(&Cost) -> u64;

/// How rounds are spread.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    least: f64,
    p10: f64,
    median: f64,
    p90: f64,
    most: f64,
}

impl Spread {
    /// Of one value at least.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        // The nearest rank.
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        Self { least: at(0.0), p10: at(0.1), median: at(0.5), p90: at(0.9), most: at(1.0) }
    }
}

/// One condition, by one measure.
#[derive(Debug, Serialize)]
struct Row {
    condition: &'static str,
    published: &'static str,
    clock: &'static str,
    rounds: usize,
    /// Medians of the rounds' medians.
    without_ns: f64,
    with_ns: f64,
    /// With readers over without, each round's own.
    ratio: Spread,
    longest_without_ns: u64,
    longest_with_ns: u64,
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seconds: f64,
    fps: u32,
    processors: usize,
    /// What looking at the clocks costs, which is taken off.
    clocks_wall_ns: u64,
    clocks_processor_ns: u64,
    frames: u64,
    frames_lost: u64,
    /// Frames that readers were given which lived to say so.
    frames_given: usize,
    rows: Vec<Row>,
    sentences: Vec<String>,
}

fn median(block: &Block, costs: Costs, clock: Clock) -> f64 {
    // A time below the clock's own cost counts as the least that can be told.
    Spread::of(costs(block).iter().map(|cost| clock(cost).max(1) as f64)).median
}

fn longest(blocks: impl Iterator<Item = u64>) -> u64 {
    blocks.max().unwrap_or(0)
}

impl Report {
    pub(crate) fn new(cli: &Cli, all: &All) -> Self {
        let mut rows = Vec::new();
        for (published, clock_name, costs, clock) in MEASURES {
            for measured in &all.conditions {
                let medians =
                    |of: Side| measured.rounds.iter().map(move |round| median(of(round), costs, clock));
                let longest = |of: Side| {
                    longest(measured.rounds.iter().flat_map(|round| costs(of(round)).iter().map(clock)))
                };
                let (without, with): (Side, Side) = (|round| &round.without, |round| &round.with);
                rows.push(Row {
                    condition: measured.condition,
                    published,
                    clock: clock_name,
                    rounds: measured.rounds.len(),
                    without_ns: Spread::of(medians(without)).median,
                    with_ns: Spread::of(medians(with)).median,
                    ratio: Spread::of(
                        medians(with).zip(medians(without)).map(|(with, without)| with / without),
                    ),
                    longest_without_ns: longest(without),
                    longest_with_ns: longest(with),
                });
            }
        }
        let sentences = sentences(&rows);
        Self {
            seconds: all.seconds,
            fps: cli.fps,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            clocks_wall_ns: all.clocks.wall_ns,
            clocks_processor_ns: all.clocks.processor_ns,
            frames: all.frames,
            frames_lost: all.lost,
            frames_given: all.conditions.iter().map(|measured| measured.given).sum(),
            rows,
            sentences,
        }
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn frames_lost(&self) -> u64 {
        self.frames_lost
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (published, clock, ..) in MEASURES {
            let rows = self.rows.iter().filter(|row| (row.published, row.clock) == (published, clock));
            table(&mut text, published, clock, rows);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} frames published at {} a second in {:.0} s on {} processors, {} lost; {} given to readers that lived to say so. Looking at the clocks takes {} ns (of this thread's processor time {} ns) and is taken off.",
            self.frames - self.frames_lost,
            self.fps,
            self.seconds,
            self.processors,
            self.frames_lost,
            self.frames_given,
            self.clocks_wall_ns,
            self.clocks_processor_ns,
        );
        for sentence in &self.sentences {
            let _ = writeln!(text, "{sentence}");
        }
        text
    }
}

fn table<'r>(text: &mut String, published: &str, clock: &str, rows: impl Iterator<Item = &'r Row>) {
    let _ = writeln!(
        text,
        "{:<28} rounds  0 readers       with  ratio    p10 to p90  least to most  longest without and with",
        format!("{published}, {clock}")
    );
    for row in rows {
        let Spread { least, p10, median, p90, most } = row.ratio;
        let _ = writeln!(
            text,
            "    {:<24} {:>6} {:>10} {:>10}  {median:>5.2}  {:>12}  {:>13}  {:>10} {:>10}",
            row.condition,
            row.rounds,
            shown(row.without_ns),
            shown(row.with_ns),
            format!("{p10:.2} to {p90:.2}"),
            format!("{least:.2} to {most:.2}"),
            shown(row.longest_without_ns as f64),
            shown(row.longest_with_ns as f64),
        );
    }
    let _ = writeln!(text);
}

fn shown(ns: f64) -> String {
    match ns {
        ns if ns < 10_000.0 => format!("{ns:.0} ns"),
        ns if ns < 10_000_000.0 => format!("{:.0} us", ns / 1e3),
        ns => format!("{:.0} ms", ns / 1e6),
    }
}

/// What the ratios say.
fn sentences(rows: &[Row]) -> Vec<String> {
    if let Some(row) = rows.iter().find(|row| row.rounds < ROUNDS_TO_TELL) {
        return vec![format!("Rounds: {}; fewer than {ROUNDS_TO_TELL} tell nothing.", row.rounds)];
    }
    let dearer: Vec<String> = rows
        .iter()
        .filter(|row| row.ratio.least > WORTH_A_SENTENCE)
        .map(|row| {
            format!(
                "{}: {}, {}: dearer in each of {} rounds, {:.2} to {:.2} times.",
                row.condition, row.published, row.clock, row.rounds, row.ratio.least, row.ratio.most
            )
        })
        .collect();
    if dearer.is_empty() {
        return vec![format!("No ratio's whole spread lies above {WORTH_A_SENTENCE}.")];
    }
    dearer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_made_of_values_that_were_there() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0].into_iter());
        assert_eq!(
            [spread.least, spread.p10, spread.median, spread.p90, spread.most],
            [1.0, 1.0, 3.0, 5.0, 5.0]
        );
        let ten = Spread::of((1..=10).map(f64::from));
        assert_eq!([ten.least, ten.p10, ten.median, ten.p90, ten.most], [1.0, 1.0, 5.0, 9.0, 10.0]);
    }

    fn row(least: f64, most: f64) -> Row {
        let ratio = Spread { least, p10: least, median: most, p90: most, most };
        Row {
            condition: "1 reader",
            published: "without pixels",
            clock: "processor time",
            rounds: 7,
            without_ns: 100.0,
            with_ns: 110.0,
            ratio,
            longest_without_ns: 0,
            longest_with_ns: 0,
        }
    }

    #[test]
    fn only_a_ratio_whose_every_round_is_above_the_limit_is_worth_a_sentence() {
        let said = sentences(&[row(1.04, 3.0), row(1.06, 1.2)]);
        assert_eq!(
            said,
            ["1 reader: without pixels, processor time: dearer in each of 7 rounds, 1.06 to 1.20 times."]
        );
        let few = Row { rounds: 1, ..row(2.0, 2.0) };
        assert_eq!(sentences(&[few]), ["Rounds: 1; fewer than 5 tell nothing."]);
        assert_eq!(sentences(&[row(0.9, 9.0)]), ["No ratio's whole spread lies above 1.05."]);
    }
}
