//! The files that tell of the server, each written by a thread of its own: a disk that hangs holds up neither who looks after
//! cameras nor the other file, which may be on another one.

use crate::metrics;
use crate::report::Report;
use crate::status_file::{self, Lock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// Everybody may read the metrics: node_exporter is a user of its own.
const METRICS_MODE: u32 = 0o644;

/// How long the files have to be removed at the end.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes what it is told.
pub(crate) struct Telling {
    files: Vec<Thread>,
    /// Held until the files are gone.
    _locks: Vec<Lock>,
}

/// The thread of one file.
struct Thread {
    reports: Option<SyncSender<Arc<Report>>>,
    ended: Receiver<()>,
}

impl Telling {
    /// Starts the threads; None: nobody wants to be told.
    pub(crate) fn start(
        status_file: Option<PathBuf>,
        metrics_file: Option<PathBuf>,
        locks: Vec<Lock>,
    ) -> io::Result<Option<Self>> {
        let status = status_file.map(|path| ("vas-status", path, What::Status));
        let metrics = metrics_file.map(|path| ("vas-metrics", path, What::Metrics));
        let files = status.into_iter().chain(metrics).map(|(name, path, what)| -> io::Result<Thread> {
            let mut file = Told { path, what, is_in_trouble: false };
            let (reports, to_write) = mpsc::sync_channel::<Arc<Report>>(1);
            let (done, ended) = mpsc::channel();
            std::thread::Builder::new().name(name.into()).spawn(move || {
                to_write.into_iter().for_each(|report| file.tell(&report));
                // The end in order: what is left would be of no server.
                let _ = std::fs::remove_file(&file.path);
                let _ = done.send(());
            })?;
            Ok(Thread { reports: Some(reports), ended })
        });
        let files = files.collect::<io::Result<Vec<_>>>()?;
        Ok((!files.is_empty()).then_some(Self { files, _locks: locks }))
    }

    /// Never waits: where the last one is still being written, this one is left out. False: a thread has ended, which none does.
    pub(crate) fn tell(&self, report: Report) -> bool {
        let report = Arc::new(report);
        let mut are_all_there = true;
        for reports in self.files.iter().filter_map(|file| file.reports.as_ref()) {
            let told = reports.try_send(Arc::clone(&report));
            are_all_there &= !matches!(told, Err(TrySendError::Disconnected(_)));
        }
        are_all_there
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        // All of them first: they end beside each other.
        self.files.iter_mut().for_each(|file| drop(file.reports.take()));
        let deadline = Instant::now() + END_TIMEOUT;
        for file in &self.files {
            let _ = file.ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

enum What {
    Status,
    Metrics,
}

struct Told {
    path: PathBuf,
    what: What,
    /// Said once when it begins.
    is_in_trouble: bool,
}

impl Told {
    fn tell(&mut self, report: &Report) {
        let told = match self.what {
            What::Status => write_status(&self.path, report),
            What::Metrics => status_file::replace(&self.path, METRICS_MODE, metrics::text(report).as_bytes()),
        };
        let path = self.path.display();
        match &told {
            Ok(()) if self.is_in_trouble => tracing::info!("{path} is written again"),
            Err(error) if !self.is_in_trouble => {
                tracing::warn!(
                    "{path} cannot be written: {error}; trying again every second, the cameras go on"
                );
            }
            _ => {}
        }
        self.is_in_trouble = told.is_err();
    }
}

fn write_status(path: &Path, report: &Report) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    status_file::replace(path, status_file::MODE, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    /// Looks until it is so.
    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_metrics_file_that_hangs_does_not_keep_the_status_from_being_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let (status, metrics) = (place("status.json"), place("vas.prom"));
        let mut telling = Telling::start(Some(status.clone()), Some(metrics), Vec::new()).unwrap().unwrap();
        // As a thread that hangs: its queue is full and nobody takes anything out of it.
        let (stuck, _kept) = mpsc::sync_channel(0);
        telling.files[1].reports = Some(stuck);
        for pid in [11, 12] {
            let mut report = example();
            report.server.pid = pid;
            until("its turn", || {
                assert!(telling.tell(report.clone()), "none of them has ended");
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                text.contains(&format!("\"pid\": {pid}"))
            });
        }
    }

    #[test]
    fn a_thread_that_has_ended_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut telling =
            Telling::start(Some(directory.path().join("status.json")), None, Vec::new()).unwrap().unwrap();
        assert!(telling.tell(example()));
        let (gone, nobody) = mpsc::sync_channel(1);
        drop(nobody);
        telling.files[0].reports = Some(gone);
        assert!(!telling.tell(example()));
    }
}
