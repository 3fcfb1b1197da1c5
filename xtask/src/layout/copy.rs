//! A copy of this workspace in its build folder, with a repository of its own, in which anything may be edited.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{git, run, ui};

/// The copy, and the build folder that is kept from one rehearsal to the next.
pub(super) struct Copy {
    pub(super) workspace: Workspace,
    /// Held as long as the copy is in use. Gone with the process, however that ends.
    _lock: File,
    /// Every file as it was when the copy was made, by its name from the root: the workspace may change meanwhile.
    files: BTreeMap<String, Vec<u8>>,
}

impl Copy {
    /// Copies every file that git knows or would add; what an earlier copy had besides is removed.
    pub(super) fn make(of: &Workspace) -> Outcome<Self> {
        let folder = of.target.join("rehearsal");
        let root = folder.join("copy");
        fs::create_dir_all(&folder).context(|| format!("make the folder {}", folder.display()))?;
        let lock = File::open(&folder).context(|| format!("open {}", folder.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            ui::note("waiting for a rehearsal in the same build folder to end");
            flock(&lock, FlockOperation::LockExclusive).context(|| format!("lock {}", folder.display()))?;
        }
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let names = git::output(&of.root, &list).map_err(|failure| {
            Failure::new(format!("the copy is made of the files that git knows, in a clone: {failure}"))
        })?;
        let names = names.split('\0').filter(|name| !name.is_empty() && of.root.join(name).is_file());
        let mut files = BTreeMap::new();
        for name in names {
            let path = of.root.join(name);
            let bytes = fs::read(&path).context(|| format!("read {}", path.display()))?;
            files.insert(name.to_owned(), bytes);
        }
        let copy = Self { workspace: Workspace { root, target: folder.join("target") }, _lock: lock, files };
        copy.restore()?;
        // Made anew each time: tags and commits of an earlier rehearsal mean nothing to this one.
        let repository = copy.workspace.root.join(".git");
        if repository.exists() {
            fs::remove_dir_all(&repository).context(|| format!("remove {}", repository.display()))?;
        }
        copy.git(&["init", "--quiet"])?;
        Ok(copy)
    }

    /// Makes every file what it was again. A file that is so already keeps its time, so that cargo builds only what was
    /// edited.
    pub(super) fn restore(&self) -> Outcome {
        let root = &self.workspace.root;
        fs::create_dir_all(root).context(|| format!("make the folder {}", root.display()))?;
        for name in files_below(root)?.iter().filter(|name| !self.files.contains_key(*name)) {
            fs::remove_file(root.join(name)).context(|| format!("remove {name} from {}", root.display()))?;
        }
        for (name, bytes) in &self.files {
            let path = root.join(name);
            if fs::read(&path).is_ok_and(|there| there == *bytes) {
                continue;
            }
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
            }
            fs::write(&path, bytes).context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn read(&self, name: &str) -> Outcome<String> {
        let path = self.workspace.root.join(name);
        fs::read_to_string(&path).context(|| format!("read {}", path.display()))
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.workspace.root.join(name);
        fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    /// Replaces what stands in a file exactly once.
    pub(super) fn edit(&self, name: &str, old: &str, new: &str) -> Outcome {
        let text = self.read(name)?;
        let found = text.matches(old).count();
        if found != 1 {
            return Err(Failure::new(format!("`{old}` stands in {name} {found} times, it has to be once")));
        }
        self.write(name, &text.replacen(old, new, 1))
    }

    pub(super) fn git(&self, args: &[&str]) -> Outcome<String> {
        let identity = ["user.name=rehearsal", "user.email=rehearsal@localhost", "commit.gpgsign=false"];
        let mut command = git::command(&self.workspace.root);
        identity.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        run::output(command.args(args))
    }

    /// Commits every file as it is now.
    pub(super) fn commit(&self, message: &str) -> Outcome {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(())
    }

    /// A command of cargo in the copy, with the build folder of the copies.
    pub(super) fn cargo(&self) -> Command {
        let mut command = self.workspace.cargo();
        command.env("CARGO_TARGET_DIR", &self.workspace.target);
        command
    }

    /// A program that was built from the copy.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.workspace.target.join("debug").join(name)
    }

    /// Builds the copy's xtask; fails with what the compiler said.
    pub(super) fn build_xtask(&self) -> Outcome {
        run::output(self.cargo().args(["build", "--quiet", "--locked", "--package", "xtask"]))?;
        Ok(())
    }

    /// The copy's xtask, as `cargo xtask` would start it there.
    pub(super) fn xtask(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program("xtask"));
        command.args(args).current_dir(&self.workspace.root);
        command.env("CARGO_MANIFEST_DIR", self.workspace.root.join("xtask"));
        command.env("CARGO_TARGET_DIR", &self.workspace.target);
        command
    }
}

/// Names of all files below a folder, its repository left out.
fn files_below(root: &Path) -> Outcome<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let cannot = || format!("list {}", folder.display());
        for entry in fs::read_dir(&folder).context(cannot)? {
            let entry = entry.context(cannot)?;
            let path = entry.path();
            if entry.file_type().context(cannot)?.is_dir() {
                if path != root.join(".git") {
                    folders.push(path);
                }
            } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                found.insert(name.to_owned());
            }
        }
    }
    Ok(found)
}
