//! What each process saw, in files that outlive it: a page of counters and a log that is only ever appended to.

use crate::os::Page;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The counters of a page, whoever stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Word {
    /// Stored by the parent: end, please.
    End,
    /// 1 once the role does what it is there for.
    Ready,
    // Of a server.
    /// The number of the frame that it is about to publish.
    Promised,
    /// The number of the newest frame whose publication returned.
    Published,
    /// Pairs that its frames were in.
    Pairs,
    /// Frames that were not exported because another process exports this camera.
    HeldByAnother,
    /// Frames that were not exported for any reason.
    NotExported,
    /// Children that it forked.
    Forks,
    // Of a reader.
    /// Frames accepted, of small and of large pictures.
    AcceptedSmall,
    /// As above.
    AcceptedLarge,
    /// Of the accepted: those that are not one whole frame.
    Torn,
    /// Frames that turned out to be overwritten when they were checked.
    Overwritten,
    /// Looks that found each frame overwritten, several times in a row.
    Overruns,
    /// Opens that were ready, not there yet, refused.
    Opened,
    /// As above.
    NotYet,
    /// As above.
    Refused,
    /// Pairs that frames were accepted from.
    Generations,
    /// The pair of the frame accepted last.
    Generation,
    /// The number of the picture accepted last, and the highest ever.
    Number,
    /// As above.
    HighestNumber,
    /// The longest time from the last frame of one pair to the first of the next, in nanoseconds.
    WorstSwitch,
    /// How often that was.
    Switches,
    /// Things that it tried to do to others, and that the kernel let it do.
    Attempts,
    /// As above.
    Successes,
    /// CLOCK_MONOTONIC of a role that has a clock of its own.
    Clock,
}

const WORDS: usize = Word::Clock as usize + 1;

/// Counters and log of one process.
#[derive(Debug)]
pub(crate) struct Ledger {
    page: Page,
    log: File,
}

/// What is worth a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A server: frames of a pair have their picture's number plus this.
    Pair { offset: u64 },
    /// A reader: it accepted a frame of another pair, and this is its number minus its picture's.
    Accepted { offset: u64, number: u64 },
    /// A reader: it accepted what was not one whole frame.
    Torn { frame: u64, generation: u64, why: String },
    /// Anything else that ought not to be.
    Breach { what: String },
    /// For whoever looks into a failure.
    Note { what: String },
}

/// Where the files of a process are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LedgerPaths {
    pub(crate) page: PathBuf,
    pub(crate) log: PathBuf,
}

impl LedgerPaths {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { page: folder.join(format!("{name}.page")), log: folder.join(format!("{name}.log")) }
    }

    /// Makes both files; gives the page.
    pub(crate) fn make(&self) -> io::Result<Page> {
        File::options().append(true).create_new(true).open(&self.log)?;
        Page::make(&self.page)
    }

    /// The lines so far. The last one may have been cut off by the death of its writer.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        entries(&std::fs::read_to_string(&self.log)?)
    }

    pub(crate) fn remove(&self) {
        // Gone with the run's folder otherwise.
        let _ = std::fs::remove_file(&self.page);
        let _ = std::fs::remove_file(&self.log);
    }
}

fn entries(text: &str) -> io::Result<Vec<Entry>> {
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

impl Ledger {
    pub(crate) fn open(paths: &LedgerPaths) -> io::Result<Self> {
        Ok(Self { page: Page::open(&paths.page)?, log: File::options().append(true).open(&paths.log)? })
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.page.get(word)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.page.set(word, value);
    }

    pub(crate) fn add(&self, word: Word, more: u64) {
        self.page.word(word as usize).fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn raise(&self, word: Word, value: u64) {
        self.page.word(word as usize).fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn is_to_end(&self) -> bool {
        self.get(Word::End) != 0
    }

    /// Appends a line with one call, so that a death leaves it out or whole (or cut off at the very end).
    pub(crate) fn say(&self, entry: &Entry) {
        let mut line = serde_json::to_string(entry).expect("an entry is plain data");
        line.push('\n');
        (&self.log).write_all(line.as_bytes()).expect("append to the ledger");
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.say(&Entry::Note { what: what.into() });
    }
}

impl Page {
    /// All counters as they stand, by the number of their [`Word`].
    pub(crate) fn words(&self) -> Vec<u64> {
        (0..WORDS).map(|index| self.word(index).load(Ordering::Acquire)).collect()
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.word(word as usize).load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.word(word as usize).store(value, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_back_up_to_the_line_in_which_its_writer_died() {
        let folder = tempfile::tempdir().unwrap();
        let paths = LedgerPaths::new(folder.path(), "reader");
        let page = paths.make().unwrap();
        let ledger = Ledger::open(&paths).unwrap();
        ledger.add(Word::Torn, 2);
        ledger.raise(Word::HighestNumber, 7);
        ledger.raise(Word::HighestNumber, 5);
        ledger.say(&Entry::Pair { offset: 9 });
        (&ledger.log).write_all(b"{\"pair\":{\"off").unwrap();
        assert_eq!((page.get(Word::Torn), page.get(Word::HighestNumber)), (2, 7));
        assert!(matches!(paths.entries().unwrap()[..], [Entry::Pair { offset: 9 }]));
        assert!(!ledger.is_to_end());
        page.set(Word::End, 1);
        assert!(ledger.is_to_end());
    }
}
