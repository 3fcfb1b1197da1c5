//! What the system says of a running process.

/// Memory, descriptors and threads of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Resident, without what is shared memory: that is the export's, and has bounds of its own.
    pub(crate) rss_kb: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
}

impl Figures {
    /// As they are now; zeroes of a process that is gone.
    pub(crate) fn of(id: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
                .and_then(|word| word.parse().ok())
                .unwrap_or(0)
        };
        let fds = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, |entries| entries.count() as u64);
        Self { rss_kb: number("RssAnon:") + number("RssFile:"), fds, threads: number("Threads:") }
    }
}

/// The soft limit for core files, as /proc has it.
pub(crate) fn core_limit(id: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_figures_and_one_that_is_gone_has_none() {
        let own = Figures::of(std::process::id());
        assert!(own.rss_kb > 100 && own.fds > 2 && own.threads > 0, "{own:?}");
        assert_eq!(Figures::of(u32::MAX), Figures::default());
        assert_ne!(core_limit(std::process::id()), "unknown");
    }
}
