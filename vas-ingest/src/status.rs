//! What a camera has done, counted by its thread and told by the server.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A number that only rises. One thread adds, any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A camera's counters since the server's start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Frames that the decoder gave.
    pub(crate) decoded: Counter,
    /// Frames published to readers.
    pub(crate) exported: Counter,
    /// Frames that had left the ring, or were overtaken in it, before the export came for them.
    pub(crate) ring_dropped: Counter,
    /// Frames marked as damaged.
    pub(crate) damaged: Counter,
    /// Packets that the decoder refused.
    pub(crate) decode_errors: Counter,
    /// RTP packets that never came.
    pub(crate) packets_lost: Counter,
    /// Times the source was lost.
    pub(crate) reconnects: Counter,
    /// Frames that were not exported, by reason.
    not_exported: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    /// A frame was not exported, because of this.
    pub(crate) fn not_exported(&self, reason: &dyn fmt::Display) {
        let mut reasons = self.not_exported.lock().unwrap_or_else(PoisonError::into_inner);
        *reasons.entry(reason.to_string()).or_default() += 1;
    }

    /// The counters as they stand.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            decoded: self.decoded.get(),
            exported: self.exported.get(),
            ring_dropped: self.ring_dropped.get(),
            damaged: self.damaged.get(),
            decode_errors: self.decode_errors.get(),
            packets_lost: self.packets_lost.get(),
            reconnects: self.reconnects.get(),
            not_exported: self.not_exported.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The counters of one moment, or the difference between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) decoded: u64,
    pub(crate) exported: u64,
    pub(crate) ring_dropped: u64,
    pub(crate) damaged: u64,
    pub(crate) decode_errors: u64,
    pub(crate) packets_lost: u64,
    pub(crate) reconnects: u64,
    pub(crate) not_exported: BTreeMap<String, u64>,
}

impl Snapshot {
    /// What has happened since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let not_exported = self.not_exported.iter().filter_map(|(reason, count)| {
            let new = count - earlier.not_exported.get(reason).unwrap_or(&0);
            (new > 0).then(|| (reason.clone(), new))
        });
        Self {
            decoded: self.decoded - earlier.decoded,
            exported: self.exported - earlier.exported,
            ring_dropped: self.ring_dropped - earlier.ring_dropped,
            damaged: self.damaged - earlier.damaged,
            decode_errors: self.decode_errors - earlier.decode_errors,
            packets_lost: self.packets_lost - earlier.packets_lost,
            reconnects: self.reconnects - earlier.reconnects,
            not_exported: not_exported.collect(),
        }
    }

    /// One line for the log. `exporting`: whether there is an export to speak of.
    pub(crate) fn line(&self, time: Duration, exporting: bool) -> String {
        let rate = self.decoded as f64 / time.as_secs_f64().max(0.001);
        let mut line =
            format!("in {:.0} s: {} frames decoded ({rate:.1}/s)", time.as_secs_f64(), self.decoded);
        if exporting {
            // Writing to a String cannot fail.
            let _ = write!(line, ", {} exported, {} dropped by the ring", self.exported, self.ring_dropped);
            let total: u64 = self.not_exported.values().sum();
            let _ = write!(line, ", {total} not exported");
            if total > 0 {
                let reasons: Vec<String> =
                    self.not_exported.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
                let _ = write!(line, " ({})", reasons.join("; "));
            }
        }
        let _ = write!(
            line,
            ", {} damaged, {} packets not decodable, {} packets lost, {} reconnects",
            self.damaged, self.decode_errors, self.packets_lost, self.reconnects
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_happened_since_the_last_one() {
        let counters = Counters::default();
        counters.decoded.add(100);
        counters.not_exported(&"no room");
        let earlier = counters.snapshot();
        counters.decoded.add(1500);
        counters.exported.add(1497);
        counters.ring_dropped.add(1);
        counters.damaged.add(4);
        counters.not_exported(&"no room");
        counters.not_exported(&"too large");
        let line = counters.snapshot().since(&earlier).line(Duration::from_secs(60), true);
        assert_eq!(
            line,
            "in 60 s: 1500 frames decoded (25.0/s), 1497 exported, 1 dropped by the ring, 2 not exported \
             (no room: 1; too large: 1), 4 damaged, 0 packets not decodable, 0 packets lost, 0 reconnects"
        );
    }

    #[test]
    fn without_an_export_the_line_does_not_speak_of_it() {
        let line = Snapshot::default().line(Duration::ZERO, false);
        assert_eq!(
            line,
            "in 0 s: 0 frames decoded (0.0/s), 0 damaged, 0 packets not decodable, 0 packets lost, 0 reconnects"
        );
    }
}
