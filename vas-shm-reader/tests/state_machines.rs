//! The pure state machines against reference models that remember everything and compute each answer anew.

use proptest::prelude::*;
use std::time::Duration;
use vas_shm_reader::{
    HEARTBEAT_LIMIT_NS, Liveness, Observation, Policy, Schedule, State, Status, StreamFlags,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

// ---- Is the server alive? -----------------------------------------------------------------------------------------------

/// What happens to a pair, as far as its words show it.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Beats,
    Publishes,
    /// A server that was suspended and came back, or a word that somebody spoilt.
    WordsBecome(u64, u64),
    StateBecomes(u32),
    FlagsBecome(u32),
    TimePasses(u64),
}

fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, Just(u64::MAX), any::<u64>()]
}

fn any_time() -> impl Strategy<Value = u64> {
    // Around the limit, and anything up to centuries.
    prop_oneof![
        0..2 * SECOND,
        (HEARTBEAT_LIMIT_NS - 2)..=(HEARTBEAT_LIMIT_NS + 2),
        Just(SECOND),
        any::<u64>().prop_map(|time| time >> 2)
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => Just(Happens::Beats),
        3 => Just(Happens::Publishes),
        1 => (any_word(), any_word()).prop_map(|(beat, id)| Happens::WordsBecome(beat, id)),
        2 => prop_oneof![0..6u32, any::<u32>()].prop_map(Happens::StateBecomes),
        1 => any::<u32>().prop_map(Happens::FlagsBecome),
        6 => any_time().prop_map(Happens::TimePasses),
    ]
}

/// LIVE-1 to LIVE-3 and LIVE-6 over everything that was ever seen, the opening first.
fn status_of(history: &[(u64, Observation)]) -> Status {
    let words = |&(_, seen): &(u64, Observation)| (seen.heartbeat_ns, seen.frame_id);
    let (now, last) = *history.last().expect("the opening at least");
    // The last look that found other words than the look before it; without one, the opening.
    let changed = (1..history.len()).rev().find(|&at| words(&history[at]) != words(&history[at - 1]));
    let since = now - history[changed.unwrap_or(0)].0;
    match (last.state.to_word(), last.flags.0 & 1) {
        (3, _) => Status::Stopped,
        (4, _) => Status::Replaced,
        _ if since >= 3 * SECOND => Status::ServerGone,
        _ if changed.is_none() => Status::Unproven,
        (2, _) => Status::Stalled,
        (_, 1) => Status::Idle,
        _ => Status::Live,
    }
}

// ---- When to look again? ------------------------------------------------------------------------------------------------

/// A frame: how long after the one before it was stamped and how late it was found, both by its own clock, and how many it counts for.
#[derive(Clone, Copy, Debug)]
struct FrameCame {
    interval_ns: u64,
    late_ns: u64,
    frames: u64,
    look_after_ns: u64,
}

fn frame_came() -> impl Strategy<Value = FrameCame> {
    let any_interval = prop_oneof![Just(40 * MS), 0..3 * SECOND, 30 * MS..50 * MS];
    (any_interval, 0..30 * MS, 1..5u64, prop_oneof![0..50 * MS, 0..SECOND]).prop_map(
        |(interval_ns, late_ns, frames, look_after_ns)| FrameCame {
            interval_ns,
            late_ns,
            frames,
            look_after_ns,
        },
    )
}

/// What `wait.rs` promises, over all frames that ever came: (found at, stamped, counts for).
fn nap_of(policy: Policy, period_ns: u64, frames: &[(u64, u64, u64)], now_ns: u64) -> u64 {
    let mut intervals: Vec<u64> = Vec::new();
    if period_ns > 0 {
        intervals.push(period_ns);
    }
    intervals.extend(frames.windows(2).map(|two| (two[1].1 - two[0].1) / two[1].2));
    let last_eight = |values: &[i128]| values.iter().rev().take(8).min().copied();
    let intervals: Vec<i128> = intervals.into_iter().map(|interval| interval.min(SECOND).into()).collect();
    let delays: Vec<i128> =
        frames.iter().map(|&(found, stamped, _)| i128::from(found) - i128::from(stamped)).collect();
    let (Some(shortest), Some(delay)) = (last_eight(&intervals), last_eight(&delays)) else { return MS };
    let recent: Vec<i128> = intervals.iter().rev().take(8).copied().collect();
    let spread = recent.iter().max().expect("there is one") - shortest;
    // Of fewer than four intervals nobody can say how far they lie apart.
    let spread_known = (recent.len() >= 4).then_some(spread);
    // Each eighth frame is looked for early, so that the delay is known.
    let policy = if policy == Policy::Economy && frames.len() % 8 == 0 { Policy::Balanced } else { policy };
    let begins = match (policy, spread_known) {
        (_, None) => -500_000,
        (Policy::LowLatency, Some(_)) => -150_000,
        // At most a quarter of the interval after the moment.
        (Policy::Economy, Some(spread)) => (spread / 4 * 3).min(shortest / 4) + 100_000,
        (_, Some(spread)) => -(spread / 2).clamp(150_000, 500_000),
    };
    let often = match (policy, spread_known) {
        (_, None) => 100_000,
        (Policy::LowLatency, Some(spread)) => (spread / 40).clamp(10_000, 100_000) as u64,
        (_, Some(spread)) => (spread / 40).clamp(10_000, 1_000_000) as u64,
    };
    // Due for the spread and 4 ms more, late until 100 ms have passed.
    let due = (spread_known.unwrap_or(0) + 4_000_000).min(100_000_000);
    let stamped = i128::from(frames.last().expect("a delay is a frame's").1);
    let until_due = stamped + delay + (shortest + begins).max(0) - i128::from(now_ns);
    match (until_due, policy) {
        (1.., _) => until_due.min(i128::from(100 * MS)) as u64,
        (_, Policy::LowLatency) if -until_due < (spread + i128::from(MS)).min(shortest / 8) => 0,
        (-99_999_999..=0, Policy::Economy) => MS,
        (-99_999_999..=0, _) if -until_due < due => often,
        (-99_999_999..=0, _) => MS,
        _ => 5 * MS,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    // Proves LIVE-1, LIVE-2, LIVE-3, LIVE-4 and LIVE-6.
    #[test]
    fn liveness_says_what_its_whole_history_says(
        at_open in (any_word(), any_word(), 0..6u32, any::<u32>()),
        opened_at_ns in prop_oneof![Just(0), 0..1_000_000 * SECOND],
        events in prop::collection::vec(happens(), 0..60),
    ) {
        let (heartbeat_ns, frame_id, state, flags) = at_open;
        let mut seen =
            Observation { state: State::from_word(state), flags: StreamFlags(flags), heartbeat_ns, frame_id };
        let mut now_ns: u64 = opened_at_ns;
        let mut liveness = Liveness::new(seen, now_ns);
        let mut history = vec![(now_ns, seen)];
        for event in events {
            match event {
                Happens::Beats => seen.heartbeat_ns = seen.heartbeat_ns.wrapping_add(SECOND),
                Happens::Publishes => seen.frame_id = seen.frame_id.wrapping_add(1),
                Happens::WordsBecome(beat, id) => (seen.heartbeat_ns, seen.frame_id) = (beat, id),
                Happens::StateBecomes(word) => seen.state = State::from_word(word),
                Happens::FlagsBecome(word) => seen.flags = StreamFlags(word),
                Happens::TimePasses(time) => now_ns = now_ns.saturating_add(time),
            }
            history.push((now_ns, seen));
            let status = liveness.observe(seen, now_ns);
            prop_assert_eq!(status, status_of(&history), "{:?}", history);
            prop_assert_eq!(status.is_over(), matches!(seen.state, State::Stopped | State::Replaced));
        }
    }

    // The machine forgets, the model does not. Proves HOLD-5 and CLOCK-3.
    #[test]
    fn the_schedule_sleeps_as_all_frames_that_ever_came_say(
        policy in prop_oneof![Just(Policy::LowLatency), Just(Policy::Balanced), Just(Policy::Economy)],
        period_ns in prop_oneof![Just(0), Just(40 * MS), 0..3 * SECOND, any::<u64>()],
        // The server's clock against the reader's: another boot, another time namespace.
        clocks_apart_ns in prop_oneof![Just(0), 0..1_000_000 * SECOND],
        came in prop::collection::vec(frame_came(), 0..30),
    ) {
        let mut schedule = Schedule::new(period_ns).policy(policy);
        let mut frames: Vec<(u64, u64, u64)> = Vec::new();
        let mut stamped_ns = SECOND;
        prop_assert_eq!(schedule.nap(5), Duration::from_nanos(MS));
        for FrameCame { interval_ns, late_ns, frames: counts, look_after_ns } in came {
            stamped_ns += interval_ns;
            // The reader's clock may be ahead of the server's or behind it.
            let found_ns = stamped_ns + clocks_apart_ns + late_ns;
            schedule.frame_found(found_ns, stamped_ns, counts);
            frames.push((found_ns, stamped_ns, counts));
            let now_ns = found_ns + look_after_ns;
            let nap = schedule.nap(now_ns);
            prop_assert_eq!(nap, Duration::from_nanos(nap_of(policy, period_ns, &frames, now_ns)), "{:?}", frames);
        }
    }

    // Whatever a header and two clocks say: it never spins and never sleeps for long.
    #[test]
    fn no_numbers_make_the_schedule_spin_or_oversleep(
        period_ns in any_word(),
        frames in prop::collection::vec((any_word(), any_word(), any_word(), any_word()), 0..20),
    ) {
        let mut schedule = Schedule::new(period_ns);
        for (found_ns, stamped_ns, counts, now_ns) in frames {
            schedule.frame_found(found_ns, stamped_ns, counts);
            let nap = schedule.nap(now_ns);
            prop_assert!(nap > Duration::ZERO && nap <= Duration::from_millis(100), "{:?}", nap);
        }
    }
}
