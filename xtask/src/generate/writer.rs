//! The header of the writer's C interface, from the Rust that it declares, by cbindgen.
//!
//! cbindgen stands in `xtask/header`, a crate of its own: nothing else has to wait until it is built, and its licence stays outside
//! of what is shipped.

use crate::failure::Outcome;
use crate::run;
use crate::workspace::Workspace;

pub(super) const PATH: &str = "bindings/c-writer/include/vas_writer.h";
pub(super) const FOLDER: &str = "bindings/c-writer/src";
/// Where it takes its constants, structs and functions from.
const SOURCES: [&str; 2] = ["types.rs", "ffi.rs"];
const CONFIG: &str = "bindings/c-writer/cbindgen.toml";

pub(super) fn text(workspace: &Workspace) -> Outcome<String> {
    let target = workspace.target.join("header");
    let mut build = workspace.cargo();
    build
        .args(["build", "--locked", "--manifest-path", "xtask/header/Cargo.toml", "--target-dir"])
        .arg(&target);
    run::behind_ticker("building what makes a C header", &mut build)?;
    let mut make = std::process::Command::new(target.join("debug/vas-c-header"));
    make.arg(workspace.root.join(CONFIG));
    make.args(SOURCES.map(|source| workspace.root.join(FOLDER).join(source)));
    run::output(&mut make)
}
