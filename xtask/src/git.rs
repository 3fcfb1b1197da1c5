//! Git about one repository: that of the folder given, whatever the environment of whoever started this points it to.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::failure::Outcome;
use crate::run;

/// The variables that move git to another repository, in case git itself cannot be asked for them.
const KNOWN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_SHALLOW_FILE",
    "GIT_PREFIX",
];

/// A command of git in this folder, of which only the arguments are missing. A hook, for one, runs with variables that point
/// git to another repository or another index: they are removed. Objects are those that were committed, not what `git replace`
/// shows in their place.
pub(crate) fn command(root: &Path) -> Command {
    static LOCAL: OnceLock<Vec<String>> = OnceLock::new();
    let local = LOCAL.get_or_init(|| {
        let listed = run::output(Command::new("git").args(["rev-parse", "--local-env-vars"]));
        let listed = listed.unwrap_or_default();
        listed.lines().chain(KNOWN).map(str::to_owned).collect()
    });
    let mut command = Command::new("git");
    command.arg("-C").arg(root).arg("--no-replace-objects");
    for name in local {
        command.env_remove(name);
    }
    command
}

/// What git says in this folder.
pub(crate) fn output(root: &Path, args: &[&str]) -> Outcome<String> {
    run::output(command(root).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn no_variable_points_git_to_another_repository() {
        let command = command(Path::new("/somewhere"));
        let removed = |name: &str| command.get_envs().any(|env| env == (OsStr::new(name), None));
        for name in KNOWN.into_iter().chain(["GIT_CONFIG_COUNT", "GIT_GRAFT_FILE"]) {
            assert!(removed(name), "{name}");
        }
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, ["-C", "/somewhere", "--no-replace-objects"]);
    }
}
