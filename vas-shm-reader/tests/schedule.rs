//! The recorded answers of the schedule, which a port to another language is held to.

use std::fmt::Write;
use vas_shm_reader::{Policy, Schedule};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schedule.txt");
const HEAD: &str = "\
# What vas-shm-reader's Schedule answers. Nanoseconds; numbers are unsigned 64-bit integers.
# new PERIOD POLICY           a new schedule (policy: low_latency, balanced, economy)
# found NOW TIMESTAMP FRAMES  a frame was found
# nap NOW ANSWER              how long to sleep when a look found nothing
# Written by: VAS_BLESS=1 cargo test -p vas-shm-reader --test schedule
";

/// Marsaglia's xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn recorded() -> String {
    let mut text = HEAD.to_owned();
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let policies =
        [(Policy::LowLatency, "low_latency"), (Policy::Balanced, "balanced"), (Policy::Economy, "economy")];
    for (policy, name) in policies {
        // No jitter, some, more than an interval; a period that is known, unknown, nonsense; clocks that agree or do not.
        for (interval_ns, jitter_ns, period_ns, offset_ns) in [
            (40_000_000, 1, 40_000_000, 0),
            (33_333_333, 2_000_000, 0, 7_000_000_000_000),
            (40_000_000, 60_000_000, u64::MAX, 0),
            (16_666_667, 300_000, 16_666_667, u64::MAX - 5_000_000_000),
            (2_000_000_000, 1_000_000, 1, 0),
        ] {
            let mut schedule = Schedule::new(period_ns).policy(policy);
            let _ = writeln!(text, "new {period_ns} {name}");
            let mut timestamp_ns = 1_000_000_000_u64;
            for _ in 0..24 {
                let frames = 1 + chance.below(8) / 7;
                timestamp_ns += frames * interval_ns + chance.below(jitter_ns);
                let found_ns =
                    timestamp_ns.wrapping_add(offset_ns).wrapping_add(50_000 + chance.below(1_000_000));
                schedule.frame_found(found_ns, timestamp_ns, frames);
                let _ = writeln!(text, "found {found_ns} {timestamp_ns} {frames}");
                for after_ns in [
                    0,
                    interval_ns - 600_000,
                    interval_ns,
                    interval_ns + chance.below(9_000_000),
                    9 * interval_ns,
                ] {
                    let now_ns = found_ns.saturating_add(after_ns);
                    let _ = writeln!(text, "nap {now_ns} {}", schedule.nap(now_ns).as_nanos());
                }
                // At the edges of what counts as due and late, as far as they can be seen from here.
                let begins_ns = found_ns.saturating_add(schedule.nap(found_ns).as_nanos() as u64);
                for over_ns in [0, 3_999_999, 4_000_000, 99_999_999, 100_000_000] {
                    let now_ns = begins_ns.saturating_add(over_ns);
                    let _ = writeln!(text, "nap {now_ns} {}", schedule.nap(now_ns).as_nanos());
                }
            }
        }
    }
    text
}

#[test]
fn the_schedule_answers_as_it_is_recorded() {
    let now = recorded();
    if std::env::var_os("VAS_BLESS").is_some() {
        std::fs::write(FILE, &now).expect("write the record");
    }
    let kept = std::fs::read_to_string(FILE).expect("read the record");
    let differs = now.lines().zip(kept.lines()).enumerate().find(|(_, (now, kept))| now != kept);
    assert_eq!(differs, None, "line of the record, the schedule's answer, the record's");
    assert_eq!(now.len(), kept.len(), "the record has other lines");
}
