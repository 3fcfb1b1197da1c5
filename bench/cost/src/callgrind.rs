//! The player beneath callgrind: every instruction of the frames' thread while frames are handed over.

use crate::rows::LOG;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// Functions of libc that give memory. (Those that one of them calls are not here, so that nothing counts twice.)
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];
/// What libc's functions that move or set bytes have in their names, whichever it chooses for the processor.
const MOVERS: [&str; 4] = ["memcpy", "memmove", "mempcpy", "memset"];
/// The oldest picture of the full ring goes back to FFmpeg while the newest is handed over. What that costs depends on the state of
/// the heap and has nothing to do with the export.
const GIVING_BACK: &str = "av_frame_free";

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Handing frames over.
    HandingOver,
    /// The whole loop, decoding with it.
    Loop,
}

/// What callgrind counted, over all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Instructions, without those of giving the oldest picture back.
    pub(crate) instructions: u64,
    /// Instructions of libc's functions that move or set bytes.
    pub(crate) moving: u64,
    /// Calls of libc's allocating functions.
    pub(crate) allocations: u64,
}

/// valgrind's words before the player's.
pub(crate) fn command(what: What, output: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    match what {
        // What the warm-up handed over goes into a file of its own. (--zero-before would forget costs and keep calls.)
        What::HandingOver => {
            command.args(["--toggle-collect=*::hand_over*", "--dump-before=*::player::measured*"])
        }
        // (For one pattern callgrind takes one of the two.)
        What::Loop => command.arg("--toggle-collect=*::player::measured*"),
    };
    command.arg(format!("--callgrind-out-file={}", output.display()));
    command.arg(format!("--log-file={}", output.with_extension(LOG).display()));
    command
}

/// Reads what callgrind wrote of [`What::HandingOver`] (its format: <https://valgrind.org/docs/manual/cl-format.html>).
pub(crate) fn counted(text: &str, frames: u64) -> Result<Counted, String> {
    let mut frames_seen = 0;
    let mut handing_over = 0;
    let mut giving_back = 0;
    let mut counted = Counted::default();
    for call in calls(text)? {
        let Call { callee, count, cost } = call;
        if callee.contains("::hand_over") {
            frames_seen += count;
            handing_over += cost;
        } else if callee == GIVING_BACK {
            giving_back += cost;
        } else if MOVERS.iter().any(|name| callee.contains(name)) {
            counted.moving += cost;
        } else if ALLOCATORS.contains(&callee) {
            counted.allocations += count;
        }
    }
    counted.instructions = handing_over - giving_back;
    // None: it did not find the functions by their names.
    if frames_seen != frames {
        return Err(format!("callgrind saw {frames_seen} frames handed over, {frames} were"));
    }
    Ok(counted)
}

/// Reads how many instructions the whole loop took, from what callgrind wrote of [`What::Loop`].
pub(crate) fn whole_loop(text: &str) -> Result<u64, String> {
    match number(text.lines().find_map(|line| line.strip_prefix("summary: ")))? {
        0 => Err("callgrind saw no loop: it did not find the function by its name".into()),
        instructions => Ok(instructions),
    }
}

/// Calls from one place: with everything that was called in turn.
#[derive(Clone, Copy, Debug)]
struct Call<'t> {
    callee: &'t str,
    count: u64,
    cost: u64,
}

fn calls(text: &str) -> Result<Vec<Call<'_>>, String> {
    let mut found = Vec::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut callee = "";
    let mut calls = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name stands beside its number once, and from then on the number alone.
            let (key, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                // A function that is on the stack twice has its depth behind the name.
                names.insert(key, name.split('\'').next().unwrap_or(name));
            }
            if line.starts_with('c') {
                callee = names.get(key).copied().unwrap_or_default();
            }
        } else if let Some(words) = line.strip_prefix("calls=") {
            calls = Some(number(words.split(' ').next())?);
        } else if let Some(count) = calls.take() {
            // The line after a call: where it was made, and what it cost.
            found.push(Call { callee, count, cost: number(line.split(' ').nth(1))? });
        }
    }
    Ok(found)
}

fn number(word: Option<&str>) -> Result<u64, String> {
    let word = word.unwrap_or_default();
    word.parse().map_err(|_| format!("callgrind wrote {word:?} where a number belongs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "events: Ir\nfn=(1) vas_cost::player::measured\n12 5\ncfi=(3) x.rs\n\
        cfn=(2) vas_ingest::bench::hand_over\ncalls=3 40\n13 700\n\
        fn=(2)\n40 90\ncfn=(7) malloc\ncalls=2 0\n41 60\n+1 4\ncfn=(7)\ncalls=1 0\n42 30\n\
        cfn=(8) av_frame_free\ncalls=1 0\n42 100\ncfn=(9) __memcpy_avx_unaligned_erms\ncalls=1 0\n42 33\n\
        summary: 1000\ntotals: 1000\n";

    #[test]
    fn inclusive_costs_and_calls_are_read_by_name() {
        assert_eq!(counted(WRITTEN, 3), Ok(Counted { instructions: 600, moving: 33, allocations: 3 }));
    }

    #[test]
    fn a_run_in_which_nothing_was_collected_is_an_error_and_not_a_row_of_zeros() {
        assert!(counted("events: Ir\nsummary: 0\ntotals: 0\n", 3).is_err());
        assert!(counted(WRITTEN, 4).is_err());
        assert!(whole_loop("events: Ir\nsummary: 0\ntotals: 0\n").is_err());
        assert_eq!(whole_loop(WRITTEN), Ok(1000));
    }
}
