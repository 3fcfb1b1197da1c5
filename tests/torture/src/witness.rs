//! Looks at frames as a reader does, accepts or rejects them, and writes down what it accepted.

use crate::ledger::{Entry, Ledger, Word};
use crate::picture::{self, Format};
use std::time::Duration;
use vas_e2e::pattern;
use vas_shm_reader::{Frame, RawNv12, monotonic_ns};

/// Torn frames that are described; all are counted.
const DESCRIBED: u64 = 20;

/// One reader's eyes.
#[derive(Debug)]
pub(crate) struct Witness<'l> {
    ledger: &'l Ledger,
    /// Accepts without asking whether the frame is intact.
    is_blind: bool,
    generation: u64,
    /// Of the open pair: a frame's id minus its picture's number.
    offset: Option<u64>,
    accepted_at_ns: u64,
    packed: Vec<u8>,
}

impl<'l> Witness<'l> {
    pub(crate) fn new(ledger: &'l Ledger, is_blind: bool) -> Self {
        Self { ledger, is_blind, generation: 0, offset: None, accepted_at_ns: 0, packed: Vec::new() }
    }

    /// Copies the frame out, then checks. `true`: accepted.
    pub(crate) fn copy(&mut self, frame: &Frame<'_>) -> bool {
        let mut packed = std::mem::take(&mut self.packed);
        packed.resize(frame.picture().packed_size() as usize, 0);
        let is_intact = frame.with(|nv12| nv12.copy_packed_to(&mut packed)).is_ok();
        let seen = picture::read(&packed);
        self.packed = packed;
        self.judge(frame, is_intact, seen)
    }

    /// Reads the frame where it is, with a pause in the middle, then checks. `true`: accepted.
    pub(crate) fn hold(&mut self, frame: &Frame<'_>, pause: impl FnOnce()) -> bool {
        let mut seen = Err("nothing was read".to_owned());
        let is_intact = frame.with(|nv12| seen = read_in_place(&nv12, pause)).is_ok();
        self.judge(frame, is_intact, seen)
    }

    fn judge(&mut self, frame: &Frame<'_>, is_intact: bool, seen: Result<u64, String>) -> bool {
        if !is_intact && !self.is_blind {
            self.ledger.add(Word::Overwritten, 1);
            return false;
        }
        let is_same_pair = self.generation == frame.generation();
        let offset = self.offset.filter(|_| is_same_pair);
        let size = frame.picture().width();
        self.ledger.add(if Format::is_large(size) { Word::AcceptedLarge } else { Word::AcceptedSmall }, 1);
        match picture::contradiction(frame, seen, offset) {
            Ok(mark) => {
                self.ledger.raise(Word::HighestNumber, mark.number);
                self.ledger.set(Word::Number, mark.number);
                if !is_same_pair {
                    self.first_of_pair(frame, mark.number);
                }
                self.accepted_at_ns = monotonic_ns();
            }
            Err(why) => {
                self.ledger.add(Word::Torn, 1);
                if self.ledger.get(Word::Torn) <= DESCRIBED {
                    let (frame, generation) = (frame.id().get(), frame.generation());
                    self.ledger.say(&Entry::Torn { frame, generation, why });
                }
            }
        }
        true
    }

    fn first_of_pair(&mut self, frame: &Frame<'_>, number: u64) {
        let offset = picture::offset(frame, number);
        self.ledger.say(&Entry::Accepted { offset, number });
        self.ledger.add(Word::Generations, 1);
        if self.accepted_at_ns > 0 {
            self.ledger.add(Word::Switches, 1);
            self.ledger.raise(Word::WorstSwitch, monotonic_ns().saturating_sub(self.accepted_at_ns));
        }
        self.generation = frame.generation();
        self.offset = Some(offset);
        self.ledger.set(Word::Generation, self.generation);
    }

    /// Between two pairs for other reasons than the server's: no switch is counted.
    pub(crate) fn forget_time(&mut self) {
        self.accepted_at_ns = 0;
    }
}

/// Row by row, with the pause in the middle.
fn read_in_place(nv12: &RawNv12<'_>, pause: impl FnOnce()) -> Result<u64, String> {
    let geometry = nv12.picture();
    let mut row = vec![0; geometry.width() as usize];
    let mut pause = Some(pause);
    let mut seen: Option<Result<u64, String>> = None;
    let rows = geometry.height() + geometry.chroma_rows();
    for y in 0..rows {
        if y == rows / 2 {
            if let Some(pause) = pause.take() {
                pause();
            }
        }
        let is_chroma = match y.checked_sub(geometry.height()) {
            None => {
                nv12.copy_luma_row(y, &mut row);
                false
            }
            Some(y) => {
                nv12.copy_chroma_row(y, &mut row);
                true
            }
        };
        let found = pattern::word(&row).map(|word| if is_chroma { !word } else { word });
        let found = found.ok_or_else(|| format!("row {y} {}", picture::describe_mixture(&row)));
        // The pause is not left out because of what was found before it.
        seen = Some(match (seen, found) {
            (Some(Ok(first)), Ok(found)) if first != found => {
                Err(format!("row {y} is of {found:#x}, the rows before it of {first:#x}"))
            }
            (None | Some(Ok(_)), found) => found,
            (Some(Err(why)), _) => Err(why),
        });
    }
    seen.unwrap_or_else(|| Err("there are no rows".into()))
}

/// Sleeps in small pieces, so that the end is not slept through.
pub(crate) fn nap(ledger: &Ledger, pause: Duration) {
    let until = monotonic_ns().saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
    while !ledger.is_to_end() {
        let left = until.saturating_sub(monotonic_ns());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left.min(20_000_000)));
    }
}
