//! When to try a lost camera again: a pure schedule, without a clock.

use std::time::Duration;

/// First wait after a loss; every further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait after a loss.
const LONGEST: Duration = Duration::from_secs(60);
/// Wait after a refusal. Trying wrong credentials again and again locks accounts.
const REFUSED: Duration = Duration::from_secs(300);

/// A camera whose frames came for this long was not a flash in the pan: the next loss starts from the first wait again.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// What kind of trouble ended the last try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Unreachable, silent, broken off.
    Lost,
    /// It does not accept the credentials.
    Refused,
}

/// How often in a row a camera was lost.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    losses: u32,
}

impl Backoff {
    /// The time to wait after one more failure.
    pub(crate) fn after(&mut self, trouble: Trouble) -> Duration {
        match trouble {
            Trouble::Refused => REFUSED,
            Trouble::Lost => {
                let factor = 1_u32.checked_shl(self.losses).unwrap_or(u32::MAX);
                self.losses = self.losses.saturating_add(1);
                FIRST.saturating_mul(factor).min(LONGEST)
            }
        }
    }

    /// Frames have come for [`STABLE_AFTER`].
    pub(crate) fn stable(&mut self) {
        self.losses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_one_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after(Trouble::Lost).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_thousand_losses_still_wait_one_minute() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            backoff.after(Trouble::Lost);
        }
        assert_eq!(backoff.after(Trouble::Lost), LONGEST);
    }

    #[test]
    fn stable_frames_start_the_schedule_again() {
        let mut backoff = Backoff::default();
        backoff.after(Trouble::Lost);
        backoff.after(Trouble::Lost);
        backoff.stable();
        assert_eq!(backoff.after(Trouble::Lost), FIRST);
    }

    #[test]
    fn a_refusal_waits_five_minutes_and_leaves_the_schedule_alone() {
        let mut backoff = Backoff::default();
        backoff.after(Trouble::Lost);
        assert_eq!(backoff.after(Trouble::Refused).as_secs(), 300);
        assert_eq!(backoff.after(Trouble::Lost).as_secs(), 2);
    }
}
