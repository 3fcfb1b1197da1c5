//! The one clock of the format.

/// CLOCK_MONOTONIC in nanoseconds: the clock of `timestamp_ns`, the heartbeat and the generation.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Never negative, and 2^64 nanoseconds are 584 years after boot.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
