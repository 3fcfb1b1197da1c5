//! The files that tell of the server, written by a thread of their own: a disk that hangs holds up nobody who looks after cameras.

use crate::metrics;
use crate::report::Report;
use crate::status_file::{self, Lock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// Everybody may read the metrics: node_exporter is a user of its own.
const METRICS_MODE: u32 = 0o644;

/// How long the files have to be removed at the end.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes what it is told.
pub(crate) struct Telling {
    reports: Option<SyncSender<Report>>,
    ended: Receiver<()>,
    /// Held until the files are gone.
    _lock: Option<Lock>,
}

impl Telling {
    /// Starts the thread; None: nobody wants to be told.
    pub(crate) fn start(
        status_file: Option<PathBuf>,
        metrics_file: Option<PathBuf>,
        lock: Option<Lock>,
    ) -> io::Result<Option<Self>> {
        if status_file.is_none() && metrics_file.is_none() {
            return Ok(None);
        }
        let (reports, to_write) = mpsc::sync_channel::<Report>(1);
        let (done, ended) = mpsc::channel();
        let mut files = Vec::new();
        files.extend(status_file.map(|path| Told { path, what: What::Status, is_in_trouble: false }));
        files.extend(metrics_file.map(|path| Told { path, what: What::Metrics, is_in_trouble: false }));
        std::thread::Builder::new().name("vas-status".into()).spawn(move || {
            for report in to_write {
                files.iter_mut().for_each(|file| file.tell(&report));
            }
            // The end in order: what is left would be of no server.
            for file in &files {
                let _ = std::fs::remove_file(&file.path);
            }
            let _ = done.send(());
        })?;
        Ok(Some(Self { reports: Some(reports), ended, _lock: lock }))
    }

    /// Never waits: if the last one is still being written, this one is left out.
    pub(crate) fn tell(&self, report: Report) {
        if let Some(reports) = &self.reports {
            let _ = reports.try_send(report);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        drop(self.reports.take());
        let _ = self.ended.recv_timeout(END_TIMEOUT);
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
