//! How everything that xtask prints looks: colours and moving lines on a terminal, plain lines anywhere else.
//!
//! Progress goes to stderr; what was asked for (paths, tables) goes to stdout.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Columns that a moving line may fill: longer lines would wrap and could not be drawn over.
const LINE_COLUMNS: usize = 100;
/// A file or a CI log gets a sign of life this often; more would bury what matters.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

fn styled() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn paint(code: &str, text: &str) -> String {
    if styled() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A new part of the work begins.
pub(crate) fn stage(text: &str) {
    eprintln!("{} {}", paint("1;36", "==>"), paint("1", text));
}

/// A detail of the current part.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// Something was proved or finished.
pub(crate) fn good(text: &str) {
    eprintln!("    {} {text}", paint("32", "ok"));
}

/// Something was left out, and why.
pub(crate) fn skipped(text: &str) {
    eprintln!("    {} {text}", paint("33", "SKIPPED"));
}

/// Something is wrong; the command goes on to look for more, and fails at its end.
pub(crate) fn bad(text: &str) {
    eprintln!("    {} {text}", paint("1;31", "FAILED"));
}

/// The last word of a command that failed.
pub(crate) fn failure(text: &str) {
    eprintln!("{} {text}", paint("1;31", "xtask:"));
}

/// `3.2 s`, `2 min 05 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// A sign of life during a long step: one line drawn over again on a terminal, a line now and then elsewhere.
pub(crate) struct Ticker {
    what: String,
    started: Instant,
    last: Instant,
    moving: bool,
    drawn: bool,
}

impl Ticker {
    pub(crate) fn start(what: &str) -> Self {
        let moving = std::io::stderr().is_terminal();
        let now = Instant::now();
        if !moving {
            note(&format!("{what} ..."));
        }
        Self { what: what.to_owned(), started: now, last: now, moving, drawn: false }
    }

    /// Shows the time spent and the newest detail, if it is time for that.
    pub(crate) fn tick(&mut self, detail: &str) {
        let interval = if self.moving { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        if self.last.elapsed() < interval {
            return;
        }
        self.last = Instant::now();
        let seconds = self.started.elapsed().as_secs();
        let line: String =
            format!("{} ... {seconds} s  {}", self.what, detail.trim()).chars().take(LINE_COLUMNS).collect();
        if self.moving {
            eprint!("\r\x1b[2K    {line}");
            // A line that cannot be drawn is no reason to stop the work.
            let _ = std::io::stderr().flush();
            self.drawn = true;
        } else {
            note(&line);
        }
    }

    /// Removes the moving line and says how it ended.
    pub(crate) fn end(self, outcome: &str) {
        if self.drawn {
            eprint!("\r\x1b[2K");
        }
        note(&format!("{}: {outcome} after {}", self.what, elapsed(self.started.elapsed())));
    }
}

/// The newest row of a table: drawn over again on a terminal until it is kept.
pub(crate) struct LiveRow {
    moving: bool,
    drawn: bool,
}

impl LiveRow {
    pub(crate) fn new() -> Self {
        Self { moving: std::io::stderr().is_terminal(), drawn: false }
    }

    /// Shows how the row stands, on a terminal only.
    pub(crate) fn draw(&mut self, text: &str) {
        if self.moving {
            eprint!("\r\x1b[2K    {text}");
            let _ = std::io::stderr().flush();
            self.drawn = true;
        }
    }

    /// Prints the row for good.
    pub(crate) fn keep(&mut self, text: &str) {
        self.clear();
        note(text);
    }

    /// Takes back what was only drawn.
    pub(crate) fn clear(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[2K");
            self.drawn = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_have_a_unit() {
        assert_eq!(elapsed(Duration::from_millis(3249)), "3.2 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
    }
}
