//! Where this workspace and its build folder stand.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::{Context, Failure, Outcome};
use crate::run;

/// The two folders that every command needs.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// Holds the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's build folder, wherever CARGO_TARGET_DIR or a configuration puts it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which knows about every way to move the build folder.
    pub(crate) fn find() -> Outcome<Self> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let text = run::output(
            run::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(&manifest_dir),
        )?;
        let metadata: Value = serde_json::from_str(&text).context(|| "answer of cargo metadata".into())?;
        let folder = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .ok_or_else(|| Failure::new(format!("cargo metadata says nothing about {key}")))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// A command of the cargo that runs this, in the workspace's root.
    pub(crate) fn cargo(&self) -> std::process::Command {
        let mut command = run::cargo();
        command.current_dir(&self.root);
        command
    }
}
