//! What came of it: a table for a person, JSON for a program.

use crate::stage::Stop;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// What was counted in a scenario.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Things that were done to somebody.
    pub(crate) events: u64,
    /// Frames that readers accepted, of small pictures and of 1080p.
    pub(crate) accepted_small: u64,
    pub(crate) accepted_large: u64,
    /// Of these: not one whole frame.
    pub(crate) torn: u64,
    /// Frames that readers rejected because they were overwritten meanwhile.
    pub(crate) overwritten: u64,
    /// Looks that found each frame overwritten, several times in a row.
    pub(crate) overruns: u64,
    /// Opens that were refused.
    pub(crate) refused: u64,
    pub(crate) recoveries: u64,
    pub(crate) worst_recovery_ns: u64,
    /// Between two frames, where the server keeps a rate.
    pub(crate) period_ns: u64,
}

impl Tally {
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted_small + self.accepted_large
    }

    pub(crate) fn recovered(&mut self, after: Duration) {
        self.recoveries += 1;
        let after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.worst_recovery_ns = self.worst_recovery_ns.max(after_ns);
    }

    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.accepted_small += other.accepted_small;
        self.accepted_large += other.accepted_large;
        self.torn += other.torn;
        self.overwritten += other.overwritten;
        self.overruns += other.overruns;
        self.refused += other.refused;
        self.recoveries += other.recoveries;
        self.worst_recovery_ns = self.worst_recovery_ns.max(other.worst_recovery_ns);
    }

    fn worst_recovery(&self) -> String {
        if self.recoveries == 0 {
            return "-".into();
        }
        let ms = self.worst_recovery_ns as f64 / 1e6;
        match self.period_ns {
            0 => format!("{ms:.0} ms"),
            period_ns => {
                format!("{ms:.0} ms = {:.1} periods", self.worst_recovery_ns as f64 / period_ns as f64)
            }
        }
    }
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub(crate) enum Verdict {
    Holds,
    Failed(String),
    Skipped(String),
    Interrupted,
}

impl Verdict {
    pub(crate) fn new(end: Result<(), Stop>) -> Self {
        match end {
            Ok(()) => Self::Holds,
            Err(Stop::Failed(why)) => Self::Failed(why),
            Err(Stop::Skipped(why)) => Self::Skipped(why),
            Err(Stop::Interrupted) => Self::Interrupted,
        }
    }

    /// One word, or the beginning of a sentence that is told in full below the table.
    pub(crate) fn short(&self, is_blind: bool, torn: u64) -> String {
        match self {
            Self::Holds if is_blind => (if torn > 0 { "saw tears" } else { "saw none" }).into(),
            Self::Holds => "holds".into(),
            Self::Failed(why) => format!("FAILED: {}", beginning(why)),
            Self::Skipped(why) => format!("SKIPPED: {}", beginning(why)),
            Self::Interrupted => "interrupted".into(),
        }
    }
}

fn beginning(text: &str) -> String {
    const COLUMNS: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(COLUMNS) {
        Some((end, _)) => format!("{} ...", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// One scenario's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// What else is worth knowing of it.
    pub(crate) note: Option<String>,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) is_blind: bool,
    pub(crate) holds: bool,
    pub(crate) total: Tally,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(seed: u64, seconds: f64, is_blind: bool, rows: Vec<Row>) -> Self {
        let mut total = Tally::default();
        rows.iter().for_each(|row| total.add(&row.tally));
        let all_well = rows.iter().all(|row| matches!(row.verdict, Verdict::Holds | Verdict::Skipped(_)));
        // Without the check there have to be torn pictures, or the torture would not notice any.
        let holds = all_well && (total.torn > 0) == is_blind;
        Self { seed, seconds, is_blind, holds, total, rows }
    }

    pub(crate) fn table(&self) -> String {
        let head = [
            "scenario",
            "events",
            "accepted",
            "of 1080p",
            "torn",
            "overwritten",
            "overruns",
            "refused",
            "recovered",
            "worst recovery",
            "verdict",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.rows {
            let mut verdict = row.verdict.short(self.is_blind, row.tally.torn);
            if let Some(note) = &row.note {
                verdict += &format!(" ({note})");
            }
            lines.push(cells(row.scenario, &row.tally, verdict));
        }
        lines.push(cells("total", &self.total, String::new()));
        let widths: Vec<usize> = (0..head.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in lines {
            let mut columns = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(columns, "{cell:<width$}"),
                    // The verdict may be a sentence.
                    10 => write!(columns, "  {cell}"),
                    _ => write!(columns, "  {cell:>width$}"),
                };
            }
            text += columns.trim_end();
            text.push('\n');
        }
        text
    }

    /// What the table says, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let Tally { accepted_small, accepted_large, torn, .. } = self.total;
        let frames = format!(
            "{} frames accepted ({} of small pictures, {} of 1080p)",
            grouped(accepted_small + accepted_large),
            grouped(accepted_small),
            grouped(accepted_large)
        );
        match (self.is_blind, torn) {
            (true, 0) => {
                format!("blind: {frames} without a check and none was torn, so the torture would see nothing")
            }
            (true, _) => {
                format!("blind: {frames} without a check, {} of them torn: the torture sees", grouped(torn))
            }
            (false, _) => format!("{frames}, {} torn", grouped(torn)),
        }
    }
}

fn cells(name: &str, tally: &Tally, verdict: String) -> [String; 11] {
    [
        name.into(),
        grouped(tally.events),
        grouped(tally.accepted()),
        grouped(tally.accepted_large),
        grouped(tally.torn),
        grouped(tally.overwritten),
        grouped(tally.overruns),
        grouped(tally.refused),
        grouped(tally.recoveries),
        tally.worst_recovery(),
        verdict,
    ]
}

/// `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(is_blind: bool, torn: u64, verdict: Verdict) -> Report {
        let tally = Tally {
            accepted_small: 1_234_567,
            torn,
            recoveries: 1,
            worst_recovery_ns: 66_000_000,
            period_ns: 33_000_000,
            ..Tally::default()
        };
        Report::new(
            1,
            2.0,
            is_blind,
            vec![Row { scenario: "kill-server", seconds: 2.0, tally, note: Some("in vain".into()), verdict }],
        )
    }

    #[test]
    fn the_table_has_a_row_for_each_scenario_and_one_for_all() {
        let table = report(false, 0, Verdict::Holds).table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[1].starts_with("kill-server"), "{table}");
        assert!(
            lines[1].contains("1 234 567") && lines[1].ends_with("66 ms = 2.0 periods  holds (in vain)"),
            "{table}"
        );
        assert!(lines[2].starts_with("total"), "{table}");
    }

    #[test]
    fn a_torn_frame_fails_a_run_and_its_absence_fails_a_blind_one() {
        assert!(report(false, 0, Verdict::Holds).holds);
        assert!(!report(false, 1, Verdict::Holds).holds);
        assert!(!report(true, 0, Verdict::Holds).holds);
        assert!(report(true, 1, Verdict::Holds).holds);
    }

    #[test]
    fn what_was_skipped_fails_nothing_and_what_failed_does() {
        assert!(report(false, 0, Verdict::Skipped("needs root".into())).holds);
        assert!(!report(false, 0, Verdict::Failed("a reader died".into())).holds);
        assert!(!report(false, 0, Verdict::Interrupted).holds);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(["7", "70", "700", "7 000", "7 000 000"], [7, 70, 700, 7_000, 7_000_000].map(grouped)[..]);
    }
}
