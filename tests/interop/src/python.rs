//! The reader in pure Python, as a program.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use vas_e2e::Lacking;

/// A script of this crate, to be run by the Python that is there.
///
/// # Errors
/// There is none that is new enough, or this machine is one on which pure Python is no reader.
pub fn script(name: &str) -> Result<Command, Lacking> {
    if !cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        return Err(
            "pure Python has no memory fences; without them it is right on x86-64 only (READ-13)".into()
        );
    }
    // The interpreter itself, past wrappers that look for it anew at each start.
    let mut found = Command::new("python3");
    found.args(["-c", "import sys; print(sys.executable) if sys.version_info >= (3, 9) else sys.exit(1)"]);
    let found = found.output().ok().filter(|output| output.status.success());
    let Some(found) = found else { return Err("there is no python3 of version 3.9 or newer".into()) };
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "python", name].iter().collect();
    let mut command = Command::new(OsStr::from_bytes(found.stdout.trim_ascii_end()));
    // No bytecode, so that the source tree stays as it is; no environment and no installed packages, as it needs none.
    command.args(["-B", "-E", "-S"]).arg(path);
    Ok(command)
}
