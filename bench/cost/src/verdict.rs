//! The table, and what has to hold of it.

use crate::rows::{Kind, Row};
use crate::strace::Calls;
use std::fmt::Write as _;

/// How this program, and with it the server's path, was built. The writer is optimised in both.
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

/// With the flag off: instructions a frame beyond those of a loop that has no export compiled into it. A branch or two.
const OFF_LIMIT: u64 = 30;
/// With nobody attached: the same, so that nothing is done that a look at the format and three system calls do not need.
const IDLE_LIMIT: u64 = if cfg!(debug_assertions) { 1600 } else { 600 };
/// With nobody attached: how far two sizes of picture may be apart. A single pass over the smaller picture, 32 bytes at a time,
/// would be thousands.
const IDLE_SPREAD_LIMIT: u64 = 16;
/// With a reader: instructions for each further byte of picture. Sixteen bytes are a load and a store, and chroma is interleaved
/// on its way: about 0.3 for one pass, in each profile (the writer is optimised in both); a second pass is as much again.
const PASS_LIMITS: std::ops::RangeInclusive<f64> = 0.2..=0.4;
/// With a reader: instructions of libc's memcpy and the like for each further byte of picture. A pass by memcpy, which moves 32
/// bytes and more at a time, would be 0.03; the writer's one copy is not by it.
const MEMCPY_LIMIT: f64 = 0.002;

/// Calls of the probe for readers, for each frame of a camera that nobody is attached to.
const PROBE_CALLS: u64 = 3;

/// The counts, a frame.
pub(crate) fn table(rows: &[Row], mutant: bool) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    let frames = rows.first().map_or(0, |row| row.frames);
    let _ = writeln!(
        text,
        "A frame handed over, without its decoding, on average of {frames}; built with the profile {PROFILE}{}.",
        if mutant { ", WITH A MISTAKE ON PURPOSE" } else { "" }
    );
    text.push_str(
        "Instructions of the frames' thread by callgrind, without giving the oldest picture of the\n\
         ring back to FFmpeg; system calls of that thread by strace; allocations: of Rust by a counting allocator / of\n\
         libc by callgrind.\n\n",
    );
    let _ = writeln!(
        text,
        "{:<9}  {:<36}  {:>12}  {:>12}  {:<16}  {:>11}  {:>9}",
        "picture", "", "instructions", "more than", "system calls", "allocations", "published"
    );
    for row in rows {
        let base = baseline(rows, row);
        let more = base.map_or_else(String::new, |base| format!("{:+.1}", per_frame(row) - per_frame(base)));
        let _ = writeln!(
            text,
            "{:<9}  {:<36}  {:>12.1}  {:>12}  {:<16}  {:>11}  {:>9}",
            format!("{}x{}", row.size.0, row.size.1),
            row.kind.name(),
            per_frame(row),
            more,
            shown(&row.calls, row.frames),
            format!(
                "{} / {}",
                each(row.played.allocations, row.frames),
                each(row.counted.allocations, row.frames)
            ),
            each(row.played.exported, row.frames),
        );
    }
    text.push('\n');
    for row in rows {
        if let Some(whole) = row.whole_loop {
            let (width, height) = row.size;
            let each = whole as f64 / row.frames as f64;
            let _ = writeln!(
                text,
                "Decoding one frame of {width}x{height} and handing it over: {each:.0} instructions."
            );
        }
    }
    for kind in [Kind::Attached, Kind::WriterAttached] {
        if let Some((small, large)) = both(rows, kind) {
            let _ = writeln!(
                text,
                "{}: {:.3} instructions for each further byte of picture, {:.4} of them in libc's memcpy and its like.",
                kind.name(),
                slope(small, large, |row| row.counted.instructions),
                slope(small, large, |row| row.counted.moving),
            );
        }
    }
    text
}

/// What does not hold, a sentence each.
pub(crate) fn broken(rows: &[Row]) -> Vec<String> {
    let mut broken = Vec::new();
    for row in rows {
        let (width, height) = row.size;
        let mut say = |what: String| broken.push(format!("{width}x{height}, {}: {what}", row.kind.name()));
        let frames = row.frames;

        let (allocations, of_libc) = (row.played.allocations, row.counted.allocations);
        if allocations + of_libc > 0 {
            say(format!(
                "{allocations} allocations in Rust and {of_libc} of libc in {frames} frames, expected none"
            ));
        }
        let expected = match row.kind.is_idle() {
            true => Calls::from([("fcntl".to_owned(), PROBE_CALLS * frames)]),
            false => Calls::new(),
        };
        if row.calls != expected {
            let words = |calls: &Calls| match calls.is_empty() {
                true => "none".to_owned(),
                false => {
                    calls.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
                }
            };
            say(format!(
                "system calls in {frames} frames: {}; expected {}",
                words(&row.calls),
                words(&expected)
            ));
        }
        let exported = if row.kind.is_attached() { frames } else { 0 };
        let unwatched = if row.kind.is_idle() { frames } else { 0 };
        let played = row.played;
        if (played.exported, played.unwatched, played.not_exported) != (exported, unwatched, 0) {
            say(format!(
                "of {frames} frames {} were published, {} found nobody looking, {} were not exported for another \
                 reason; expected {exported}, {unwatched} and 0",
                played.exported, played.unwatched, played.not_exported
            ));
        }
        let limit = match row.kind {
            Kind::Off => OFF_LIMIT,
            Kind::Idle | Kind::WriterIdle => IDLE_LIMIT,
            _ => continue,
        };
        let base = baseline(rows, row).map_or(0.0, per_frame);
        let more = per_frame(row) - base;
        if more > limit as f64 {
            say(format!(
                "{more:.1} instructions a frame more than without an export, at most {limit} expected"
            ));
        }
    }
    for kind in [Kind::Idle, Kind::WriterIdle] {
        if let Some((small, large)) = both(rows, kind) {
            let spread = (per_frame(large) - per_frame(small)).abs();
            if spread > IDLE_SPREAD_LIMIT as f64 {
                broken.push(format!(
                    "{}: the cost of a frame depends on the size of its picture, by {spread:.1} instructions \
                     between the two sizes (at most {IDLE_SPREAD_LIMIT} expected): are its pixels touched?",
                    kind.name()
                ));
            }
        }
    }
    for kind in [Kind::Attached, Kind::WriterAttached] {
        if let Some((small, large)) = both(rows, kind) {
            let pass = slope(small, large, |row| row.counted.instructions);
            if !PASS_LIMITS.contains(&pass) {
                broken.push(format!(
                    "{}: {pass:.3} instructions for each further byte of picture, {PASS_LIMITS:?} expected: are \
                     its pixels copied once?",
                    kind.name()
                ));
            }
            let moved = slope(small, large, |row| row.counted.moving);
            if moved > MEMCPY_LIMIT {
                broken.push(format!(
                    "{}: {moved:.4} instructions of libc's memcpy and its like for each further byte of picture, at \
                     most {MEMCPY_LIMIT} expected: are its pixels copied a second time?",
                    kind.name()
                ));
            }
        }
    }
    broken
}

/// Instructions.
fn per_frame(row: &Row) -> f64 {
    row.counted.instructions as f64 / row.frames as f64
}

/// The loop of that size without an export; the writer alone has none.
fn baseline<'r>(rows: &'r [Row], row: &Row) -> Option<&'r Row> {
    let has_one = matches!(row.kind, Kind::Off | Kind::Idle | Kind::Attached);
    rows.iter().find(|other| has_one && other.kind == Kind::NotCompiledIn && other.size == row.size)
}

/// The rows of a kind, smaller picture first.
fn both(rows: &[Row], kind: Kind) -> Option<(&Row, &Row)> {
    let mut of_kind: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
    of_kind.sort_by_key(|row| row.picture_bytes());
    match of_kind[..] {
        [small, large] if small.picture_bytes() < large.picture_bytes() => Some((small, large)),
        _ => None,
    }
}

/// How much a count grows with each byte of picture.
fn slope(small: &Row, large: &Row, count: impl Fn(&Row) -> u64) -> f64 {
    let a_frame = |row: &Row| count(row) as f64 / row.frames as f64;
    (a_frame(large) - a_frame(small)) / (large.picture_bytes() - small.picture_bytes()) as f64
}

/// A count for each frame, as a whole number if it is one.
fn each(count: u64, frames: u64) -> String {
    if count.is_multiple_of(frames) {
        (count / frames).to_string()
    } else {
        format!("{:.2}", count as f64 / frames as f64)
    }
}

fn shown(calls: &Calls, frames: u64) -> String {
    match calls.is_empty() {
        true => "0".to_owned(),
        false => {
            let names = calls.iter().map(|(name, count)| format!("{} {name}", each(*count, frames)));
            names.collect::<Vec<_>>().join(", ")
        }
    }
}
