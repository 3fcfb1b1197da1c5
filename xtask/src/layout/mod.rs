//! `cargo xtask layout`: the layout of the format as text, and the rules that keep every released reader working.
//!
//! `vas-shm-proto/layout/v<N>.txt` is the golden table of version N.

mod rules;
mod table;

#[path = "../../../vas-shm-proto/src/layout.rs"]
#[allow(dead_code, reason = "the crate uses what is not used here")]
#[allow(unreachable_pub, reason = "public in the crate that it belongs to")]
#[allow(rustdoc::broken_intra_doc_links, reason = "its links lead into the crate that it belongs to")]
pub(crate) mod compiled;

use std::fs;
use std::path::PathBuf;

use crate::failure::{Context, Failure, Outcome};
use crate::ui;
use crate::workspace::Workspace;
use table::Table;

/// The folder of the golden tables.
const FOLDER: &str = "vas-shm-proto/layout";

/// The table of the layout as the compiler makes it: the text of its golden file.
pub(crate) fn current_text() -> String {
    Table::compiled().to_string()
}

/// Prints the layout as it is now.
pub(crate) fn print() {
    print!("{}", current_text());
}

/// Name of the golden table of a version, from the workspace's root.
fn golden_name(version: u32) -> String {
    format!("{FOLDER}/v{version}.txt")
}

fn golden(workspace: &Workspace, version: u32) -> PathBuf {
    workspace.root.join(golden_name(version))
}

/// Writes the layout as it is now into the golden file.
pub(crate) fn bless(workspace: &Workspace) -> Outcome {
    let path = golden(workspace, compiled::VERSION);
    let folder = path.parent().unwrap_or(&workspace.root);
    fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    fs::write(&path, current_text()).context(|| format!("write {}", path.display()))?;
    ui::good(&format!(
        "wrote {}: look at it with `git diff` before you commit it",
        golden_name(compiled::VERSION)
    ));
    Ok(())
}

/// Compares with the golden file.
pub(crate) fn check(workspace: &Workspace) -> Outcome {
    ui::stage("Layout");
    let name = golden_name(compiled::VERSION);
    let path = golden(workspace, compiled::VERSION);
    let text = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let golden = Table::parse(&name, &text)?;
    if golden != Table::compiled() {
        return Err(Failure::new(format!(
            "the structs are not what {name} says: undo the change, or, if it is meant, `cargo xtask layout bless`"
        )));
    }
    ui::good(&format!("the structs are what {name} says"));
    Ok(())
}
