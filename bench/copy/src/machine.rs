//! What the measurements were made on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// The processors that this program may use.
pub(crate) fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect()
}

/// Keeps the calling thread on one processor.
pub(crate) fn stay_on(processor: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set)
}

/// The processor in a line: its maker's name for it, family and model, and whether its string instructions are fast.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let flags = value("flags").unwrap_or_default();
    let has = |flag| if flags.split(' ').any(|it| it == flag) { "yes" } else { "no" };
    format!(
        "{}, family {}, model {}; erms {}, fsrm {}, avx2 {}",
        value("model name").unwrap_or(std::env::consts::ARCH),
        value("cpu family").unwrap_or("?"),
        value("model").unwrap_or("?"),
        has("erms"),
        has("fsrm"),
        has("avx2"),
    )
}

/// How long a word takes to another processor and back, in nanoseconds: less than two hundred or so where the two share a
/// cache. On a virtual machine that may change from one minute to the next.
pub(crate) fn round_trip_ns(there: usize) -> u64 {
    const TRIPS: u32 = 2000;
    let ball = AtomicU32::new(0);
    let until = |value| {
        while ball.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Where it stays: what is measured then says less, and nothing is wrong with it.
            let _ = stay_on(there);
            for trip in 0..TRIPS {
                until(2 * trip + 1);
                ball.store(2 * trip + 2, Ordering::Release);
            }
        });
        let mut times_ns: Vec<_> = (0..TRIPS)
            .map(|trip| {
                let begin = Instant::now();
                ball.store(2 * trip + 1, Ordering::Release);
                until(2 * trip + 2);
                begin.elapsed().as_nanos() as u64
            })
            .collect();
        times_ns.sort_unstable();
        times_ns[times_ns.len() / 2]
    })
}
