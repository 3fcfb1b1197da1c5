//! What a run leaves behind: files in shared memory, and processes of this build folder.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

const SHARED_MEMORY: &str = "/dev/shm";
/// Programs that were told to stop get this long before they count as left over.
const GRACE: Duration = Duration::from_secs(5);

/// What was there before the run.
pub(crate) struct Before {
    entries: BTreeSet<OsString>,
}

impl Before {
    pub(crate) fn look() -> Self {
        Self { entries: entries() }
    }

    /// Fails, naming each, when the run left anything.
    pub(crate) fn nothing_left(&self, workspace: &Workspace) -> Outcome {
        if run::wait_for(GRACE, || self.left(&workspace.target).is_empty().then_some(())).is_some() {
            ui::good("nothing new in /dev/shm, no process of this build folder is running");
            return Ok(());
        }
        Err(Failure::new(format!("left behind: {}", self.left(&workspace.target).join(", "))))
    }

    fn left(&self, target: &Path) -> Vec<String> {
        let files = entries().into_iter().filter(|name| !self.entries.contains(name));
        let files = files.map(|name| format!("{SHARED_MEMORY}/{}", name.to_string_lossy()));
        files.chain(processes(target)).collect()
    }
}

/// Names in shared memory that belong to this user.
fn entries() -> BTreeSet<OsString> {
    let ours = rustix::process::geteuid().as_raw();
    fs::read_dir(SHARED_MEMORY)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == ours))
        .map(|entry| entry.file_name())
        .collect()
}

/// Running programs that stand in the build folder, this one left out.
fn processes(target: &Path) -> Vec<String> {
    let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    let own = std::process::id().to_string();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let id = entry.file_name().to_string_lossy().into_owned();
            let is_other = id.bytes().all(|byte| byte.is_ascii_digit()) && id != own;
            // Fails for processes of others and for those that just ended: neither is ours to report.
            let program = is_other.then(|| fs::read_link(entry.path().join("exe")).ok())??;
            let program = PathBuf::from(program.to_string_lossy().trim_end_matches(" (deleted)"));
            let is_xtask = program.file_name().is_some_and(|name| name == "xtask");
            (program.starts_with(&target) && !is_xtask)
                .then(|| format!("process {id} ({})", program.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::Process;

    #[test]
    fn a_new_name_in_shared_memory_is_found() {
        let before = Before::look();
        let folder = tempfile::Builder::new().prefix("vas-xtask-").tempdir_in(SHARED_MEMORY).unwrap();
        let name = folder.path().display().to_string();
        assert!(before.left(Path::new("/nowhere")).contains(&name));
        drop(folder);
        assert!(!before.left(Path::new("/nowhere")).contains(&name));
    }

    #[test]
    fn a_program_of_the_build_folder_that_still_runs_is_found() {
        let target = tempfile::tempdir().unwrap();
        let program = target.path().join("vas-ingest");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut process = Process::start("sleep", Command::new(&program).arg("600")).unwrap();
        let found = run::wait_for(GRACE, || processes(target.path()).pop()).unwrap();
        assert!(found.ends_with("vas-ingest)"), "{found}");
        process.stop().unwrap();
        assert!(processes(target.path()).is_empty());
    }
}
