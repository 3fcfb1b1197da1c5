//! The log's way to stderr, on which nobody ever waits.
//!
//! Whoever reads stderr (a pager, a collector that hangs) may stop reading. A write to a full pipe then blocks, and would
//! block every camera and the stop with it. So one thread alone writes, others leave their lines in a bounded queue, and
//! what finds it full is lost.

use crate::logging::Format;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait for a slow reader; at most about a megabyte.
const QUEUE_LINES: usize = 4096;

/// How long the last lines have at the end. A reader that is there needs less than a millisecond, but this process may have to wait
/// for a processor; the last line is often the one that says why it ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes out what is in the queue when it is dropped, within a bound.
pub(crate) struct Stderr {
    writer: NonBlocking,
    guard: Option<WorkerGuard>,
    format: Format,
}

impl Stderr {
    pub(crate) fn start(format: Format) -> Self {
        let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUE_LINES).lossy(true);
        let (writer, guard) = queue.thread_name("vas-log").finish(std::io::stderr());
        Self { writer, guard: Some(guard), format }
    }

    /// For a subscriber.
    pub(crate) fn writer(&self) -> NonBlocking {
        self.writer.clone()
    }

    /// A sentence for the operator, in its order among the lines of the log.
    pub(crate) fn say(&self, text: &str) {
        let _ = self.writer.clone().write_all(self.format.sentence(text).as_bytes());
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // With a full queue the guard's own drop prints to stdout, which may be the same blocked pipe: so it is dropped by a
        // thread that can be left behind.
        let (done, end) = mpsc::channel();
        let guard = self.guard.take();
        let thread = std::thread::Builder::new().name("vas-log-end".into()).spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        if thread.is_ok() {
            let _ = end.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}
