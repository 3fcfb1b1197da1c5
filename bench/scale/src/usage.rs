//! What /proc says of a process.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// What a server takes.
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    /// Memory of its own: neither files nor what it shares.
    pub(crate) private_bytes: u64,
    /// What its files below the base directory take.
    pub(crate) shared_bytes: u64,
    /// Of all its threads, in processors.
    pub(crate) cpu: f64,
}

/// Processor time of each thread, by its number.
pub(crate) struct Cpu(BTreeMap<String, u64>);

impl Cpu {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // Nanoseconds on a processor; a thread may end while it is asked.
            let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let ns = text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
            threads.insert(task.file_name().to_string_lossy().into_owned(), ns);
        }
        Ok(Self(threads))
    }

    /// Of the threads that are there now, since then.
    fn since(&self, before: &Self) -> Duration {
        let ns = self.0.iter().map(|(id, now)| now.saturating_sub(before.0.get(id).copied().unwrap_or(0)));
        Duration::from_nanos(ns.sum())
    }
}

impl Usage {
    pub(crate) fn of(pid: u32, before: &Cpu, time: Duration, base: &Path) -> io::Result<Self> {
        let cpu = Cpu::of(pid)?.since(before).as_secs_f64() / time.as_secs_f64();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Self {
            threads: number("Threads:"),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            private_bytes: number("RssAnon:") * 1024,
            shared_bytes: below(base),
            cpu,
        })
    }
}

/// Blocks of the files below a directory.
fn below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => below(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
