//! What clients have done, counted: so that a test can say how often somebody came, when, and how they took their leave.

use std::time::Duration;

/// What clients have done since the camera's start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// When each connection was tried, from the camera's start on. While the port is closed nobody is there to count.
    pub attempts: Vec<Duration>,
    /// Of these, closed at once because of `refuse`.
    pub refused: u64,
    /// Requests without the right password.
    pub unauthorized: u64,
    /// Of these, requests that brought a password, and the wrong one: a camera that locks accounts counts them.
    pub wrong_passwords: u64,
    /// Requests with any credentials at all.
    pub with_credentials: u64,
    /// Sessions: from the first SETUP that was granted.
    pub opened: u64,
    /// Sessions that a client ended by TEARDOWN.
    pub torn_down: u64,
    /// Sessions whose client just closed the connection.
    pub abandoned: u64,
    /// Sessions that this camera ended by closing the connection.
    pub cut: u64,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    TornDown,
    Abandoned,
    Cut,
}

impl Stats {
    pub(crate) fn ended(&mut self, ending: Ending) {
        match ending {
            Ending::TornDown => self.torn_down += 1,
            Ending::Abandoned => self.abandoned += 1,
            Ending::Cut => self.cut += 1,
        }
    }

    /// Connections that were tried.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.attempts.len()
    }

    /// Sessions that have not ended.
    #[must_use]
    pub fn open_now(&self) -> u64 {
        self.opened.saturating_sub(self.torn_down + self.abandoned + self.cut)
    }

    /// All of it in one line.
    pub(crate) fn line(&self, pictures_sent: u64) -> String {
        let attempts: Vec<String> = self.attempts.iter().map(|at| at.as_millis().to_string()).collect();
        format!(
            "stats connections={} refused={} unauthorized={} wrong_passwords={} with_credentials={} opened={} torn_down={} \
             abandoned={} cut={} pictures={pictures_sent} attempts_ms={}",
            self.connections(),
            self.refused,
            self.unauthorized,
            self.wrong_passwords,
            self.with_credentials,
            self.opened,
            self.torn_down,
            self.abandoned,
            self.cut,
            attempts.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_one_line_of_names_and_numbers() {
        let mut stats = Stats { opened: 3, ..Stats::default() };
        stats.attempts = [5, 1005].map(Duration::from_millis).to_vec();
        stats.ended(Ending::TornDown);
        stats.ended(Ending::Cut);
        assert_eq!(stats.open_now(), 1);
        assert_eq!(
            stats.line(7),
            "stats connections=2 refused=0 unauthorized=0 wrong_passwords=0 with_credentials=0 opened=3 torn_down=1 \
             abandoned=0 cut=1 pictures=7 attempts_ms=5,1005"
        );
    }
}
