//! What happened in all executions of a scenario together: a model in which nothing is accepted proves nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Something that a scenario has to bring about in some execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A frame was found, read, checked, and all of it was that frame.
    Accepted,
    /// A frame was found, read, and turned down by the check.
    Rejected,
    /// A look found nothing new.
    NothingNew,
    /// A look found the slot of the newest frame taken away and began again.
    Retried,
    /// A look was lapped as often as there are slots.
    Overrun,
    /// A frame older than the newest was asked for and stood.
    OlderStood,
    /// A frame older than the newest was asked for and was gone.
    OlderGone,
    /// A reader saw the idle flag cleared after it had been set.
    Woken,
    /// A reader saw that the pair was over.
    Over,
    /// A word of pixels that had been given back was read.
    Emptied,
}

impl Event {
    /// Every event, in the order of the columns of a table.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Rejected,
        Self::NothingNew,
        Self::Retried,
        Self::Overrun,
        Self::OlderStood,
        Self::OlderGone,
        Self::Woken,
        Self::Over,
        Self::Emptied,
    ];

    /// The word for a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NothingNew => "nothing new",
            Self::Retried => "retried",
            Self::Overrun => "overrun",
            Self::OlderStood => "older stood",
            Self::OlderGone => "older gone",
            Self::Woken => "woken",
            Self::Over => "over",
            Self::Emptied => "emptied",
        }
    }
}

/// Counts over all executions. Its own atomics are those of the standard library: no checker sees them.
#[derive(Debug, Default)]
pub struct Tally {
    executions: AtomicU64,
    events: [AtomicU64; Event::ALL.len()],
    changes_applied: AtomicU64,
}

impl Tally {
    /// An execution began.
    pub fn execution(&self) {
        self.executions.fetch_add(1, Relaxed);
    }

    /// Something happened.
    pub fn saw(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }

    /// A change of the algorithm took effect: there was something to leave out or to replace.
    pub fn changed(&self) {
        self.changes_applied.fetch_add(1, Relaxed);
    }

    /// How many executions there were.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.executions.load(Relaxed)
    }

    /// How often something happened.
    #[must_use]
    pub fn count(&self, event: Event) -> u64 {
        self.events[event as usize].load(Relaxed)
    }

    /// How often a change took effect.
    #[must_use]
    pub fn changes_applied(&self) -> u64 {
        self.changes_applied.load(Relaxed)
    }
}
