//! What a camera has done, counted by its thread and told by the server.

use crate::report::CountersReport;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Why a frame was not exported though somebody may have wanted it.
///
/// Known when this is compiled, so that counting one on the frame path is one addition: no text is made there and no lock taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There are no files for it yet.
    Preparing,
    /// The file system has no room for them.
    NoRoom,
    /// Another process exports the camera.
    HeldByAnother,
    /// The base directory cannot be used.
    Unavailable,
    /// A size that the format cannot say.
    Size,
    /// The exporter was shut down.
    ShutDown,
    /// A reason that a later writer has and this server does not know.
    Unknown,
    /// Its pixels do not become NV12.
    NotConvertible,
}

impl Reason {
    /// In the order of their counters.
    pub(crate) const ALL: [Self; 8] = [
        Self::Preparing,
        Self::NoRoom,
        Self::HeldByAnother,
        Self::Unavailable,
        Self::Size,
        Self::ShutDown,
        Self::Unknown,
        Self::NotConvertible,
    ];

    /// For status and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::NoRoom => "no_room",
            Self::HeldByAnother => "held_by_another",
            Self::Unavailable => "unavailable",
            Self::Size => "size",
            Self::ShutDown => "shut_down",
            Self::Unknown => "unknown",
            Self::NotConvertible => "not_convertible",
        }
    }

    /// For the log.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Preparing => "the files are being made",
            Self::NoRoom => "there is no room for the files",
            Self::HeldByAnother => "another process exports this camera",
            Self::Unavailable => "the base directory cannot be used",
            Self::Size => "the picture has no size that can be exported",
            Self::ShutDown => "the exporter was shut down",
            Self::Unknown => "for a reason that this server has no words for",
            Self::NotConvertible => "the picture cannot be converted to NV12",
        }
    }
}

/// A number for each [`Reason`].
type ByReason = [u64; Reason::ALL.len()];

/// A camera's counters since the server's start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Coded pictures that came from the source.
    pub(crate) received: Counter,
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
    /// Times that frames stopped while the connection stood.
    pub(crate) stalls: Counter,
    /// Frames that nobody was there for. Nothing is wrong with those.
    pub(crate) unwatched: Counter,
    /// Frames that were not exported, by reason.
    not_exported: [Counter; Reason::ALL.len()],
}

impl Counters {
    /// A frame was not exported, because of this.
    pub(crate) fn not_exported(&self, reason: Reason) {
        self.not_exported[reason as usize].add(1);
    }

    /// The counters as they stand.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            // In this order: what was decoded was received before, so nobody is told of more frames than came.
            decoded: self.decoded.get(),
            received: self.received.get(),
            exported: self.exported.get(),
            ring_dropped: self.ring_dropped.get(),
            damaged: self.damaged.get(),
            decode_errors: self.decode_errors.get(),
            packets_lost: self.packets_lost.get(),
            reconnects: self.reconnects.get(),
            stalls: self.stalls.get(),
            unwatched: self.unwatched.get(),
            not_exported: std::array::from_fn(|reason| self.not_exported[reason].get()),
        }
    }
}

/// The counters of one moment, or the difference between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) received: u64,
    pub(crate) decoded: u64,
    pub(crate) exported: u64,
    pub(crate) ring_dropped: u64,
    pub(crate) damaged: u64,
    pub(crate) decode_errors: u64,
    pub(crate) packets_lost: u64,
    pub(crate) reconnects: u64,
    pub(crate) stalls: u64,
    pub(crate) unwatched: u64,
    pub(crate) not_exported: ByReason,
}

impl Snapshot {
    /// What has happened since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received - earlier.received,
            decoded: self.decoded - earlier.decoded,
            exported: self.exported - earlier.exported,
            ring_dropped: self.ring_dropped - earlier.ring_dropped,
            damaged: self.damaged - earlier.damaged,
            decode_errors: self.decode_errors - earlier.decode_errors,
            packets_lost: self.packets_lost - earlier.packets_lost,
            reconnects: self.reconnects - earlier.reconnects,
            stalls: self.stalls - earlier.stalls,
            unwatched: self.unwatched - earlier.unwatched,
            not_exported: std::array::from_fn(|reason| {
                self.not_exported[reason] - earlier.not_exported[reason]
            }),
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
            let total: u64 = self.not_exported.iter().sum();
            let _ = write!(line, ", {} while nobody was looking, {total} not exported", self.unwatched);
            if total > 0 {
                let reasons = Reason::ALL.into_iter().zip(self.not_exported);
                let reasons: Vec<String> = reasons
                    .filter(|(_, count)| *count > 0)
                    .map(|(reason, count)| format!("{}: {count}", reason.text()))
                    .collect();
                let _ = write!(line, " ({})", reasons.join("; "));
            }
        }
        let _ = write!(
            line,
            ", {} damaged, {} packets not decodable, {} packets lost, {} reconnects, {} stalls",
            self.damaged, self.decode_errors, self.packets_lost, self.reconnects, self.stalls
        );
        line
    }

    /// For the status file.
    pub(crate) fn report(&self) -> CountersReport {
        let reasons = Reason::ALL.into_iter().zip(self.not_exported);
        CountersReport {
            received: self.received,
            decoded: self.decoded,
            exported: self.exported,
            dropped_by_ring: self.ring_dropped,
            unwatched: self.unwatched,
            not_exported: reasons.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            damaged: self.damaged,
            decode_errors: self.decode_errors,
            packets_lost: self.packets_lost,
            reconnects: self.reconnects,
            stalls: self.stalls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_happened_since_the_last_one() {
        let counters = Counters::default();
        counters.decoded.add(100);
        counters.not_exported(Reason::NoRoom);
        counters.not_exported(Reason::Size);
        let earlier = counters.snapshot();
        counters.decoded.add(1500);
        counters.exported.add(1490);
        counters.ring_dropped.add(1);
        counters.damaged.add(4);
        counters.unwatched.add(7);
        counters.not_exported(Reason::NotConvertible);
        counters.not_exported(Reason::NoRoom);
        let line = counters.snapshot().since(&earlier).line(Duration::from_secs(60), true);
        assert_eq!(
            line,
            "in 60 s: 1500 frames decoded (25.0/s), 1490 exported, 1 dropped by the ring, \
             7 while nobody was looking, 2 not exported (there is no room for the files: 1; \
             the picture cannot be converted to NV12: 1), 4 damaged, 0 packets not decodable, 0 packets lost, 0 reconnects, 0 stalls"
        );
        let manual = include_str!("../../docs/operating.md");
        let in_one_line: Vec<&str> = manual.split_whitespace().collect();
        assert!(in_one_line.join(" ").contains(&line), "docs/operating.md shows another line");
    }

    #[test]
    fn every_reason_is_in_the_manual() {
        let manual = include_str!("../../docs/operating.md");
        for reason in Reason::ALL {
            let row = format!("\n| `{}` (`{}`) | ", reason.text(), reason.name());
            assert!(manual.contains(&row), "{reason:?}");
        }
        assert!(manual.contains("\n| `while nobody was looking` | "));
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
    }

    #[test]
    fn without_an_export_the_line_does_not_speak_of_it() {
        let line = Snapshot::default().line(Duration::ZERO, false);
        assert_eq!(
            line,
            "in 0 s: 0 frames decoded (0.0/s), 0 damaged, 0 packets not decodable, 0 packets lost, 0 reconnects, 0 stalls"
        );
    }
}
