//! What a run leaves behind: files in shared memory, and processes of this build folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{run, ui};

pub(crate) const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "vas-ci-";
/// Programs that were told to stop get this long before they count as left over.
const GRACE: Duration = Duration::from_secs(60);

/// A directory in shared memory that belongs to this run, so that a run beside it is no matter. Dropping it removes it.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn make() -> Outcome<Self> {
        sweep(PREFIX);
        let path = Path::new(SHARED_MEMORY).join(format!("{PREFIX}{}", std::process::id()));
        let make = || -> std::io::Result<()> {
            fs::create_dir(&path)?;
            // As /dev/shm itself: some tests become another user.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))
        };
        make().context(|| format!("make the directory {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where tests make their base directories: the value of `VAS_TEST_SHM`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails, naming each, when the run left anything.
    pub(crate) fn nothing_left(&self, workspace: &Workspace) -> Outcome {
        if run::wait_for(GRACE, || self.left(&workspace.target).is_empty().then_some(())).is_some() {
            ui::good("nothing is left in shared memory, no process of this build folder is running");
            return Ok(());
        }
        Err(Failure::new(format!("left behind: {}", self.left(&workspace.target).join(", "))))
    }

    fn left(&self, target: &Path) -> Vec<String> {
        let files = fs::read_dir(&self.path).into_iter().flatten().filter_map(Result::ok);
        files.map(|entry| entry.path().display().to_string()).chain(processes(target)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            ui::bad(&format!("remove {}: {error}", self.path.display()));
        }
    }
}

/// Removes what runs that were killed left in shared memory: the directories `prefix<process id>` of no living process.
pub(crate) fn sweep(prefix: &str) {
    for entry in fs::read_dir(SHARED_MEMORY).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if is_id && !Path::new("/proc").join(id).exists() {
            // One of another user stays; it is theirs to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
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
    fn what_a_run_leaves_in_its_folder_is_found_and_the_folder_goes_with_it() {
        let folder = Folder::make().unwrap();
        let path = folder.path().to_owned();
        let target = Path::new("/nowhere");
        assert_eq!(folder.left(target), Vec::<String>::new());
        fs::write(path.join("forgotten"), b"").unwrap();
        assert_eq!(folder.left(target), [path.join("forgotten").display().to_string()]);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_program_of_the_build_folder_that_still_runs_is_found() {
        let target = tempfile::tempdir().unwrap();
        let program = target.path().join("vas-ingest");
        // By a program of its own: what this one has open for writing, a child that another test is just starting has too, and nobody
        // can start it meanwhile.
        assert!(run::succeeds("cp", [Path::new("/bin/sleep"), &program]));
        let mut process = Process::start("sleep", Command::new(&program).arg("600")).unwrap();
        let found = run::wait_for(GRACE, || processes(target.path()).pop()).unwrap();
        assert!(found.ends_with("vas-ingest)"), "{found}");
        process.stop().unwrap();
        assert!(processes(target.path()).is_empty());
    }
}
