//! The Python package of `bindings/python`, as a wheel in a virtual environment, and what to start with it.
//!
//! Environment and build stand below `<target>/python` and are used again: the environment until the list of what the tests need
//! changes, the build by cargo's own rules. The wheel is made anew each time. maturin, numpy and what the tests need besides come from
//! the package index that this machine's pip is set up for.

use crate::Lacking;
use crate::process::program;
use crate::scene::Scene;
use crate::server::clean;
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How long one step may take, in seconds: a first build on a loaded machine takes minutes.
const STEP_LIMIT: &str = "1200";

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("this crate stands two below")
}

/// A folder for what is built, beside cargo's profiles. maturin builds with other settings than the workspace: in one folder each
/// would have the other's crates built again.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn folder() -> PathBuf {
    let programs = program("vas-frames");
    let target = programs.parent().and_then(Path::parent).expect("<target>/<profile>/vas-frames");
    let folder = target.join("python");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
    folder
}

/// The interpreter of this machine, past wrappers that look for it anew at each start.
///
/// # Errors
/// There is none that is new enough, or it cannot make virtual environments.
pub fn interpreter() -> Result<PathBuf, Lacking> {
    const ASK: &str =
        "import sys, venv, ensurepip; print(sys.executable) if sys.version_info >= (3, 9) else sys.exit(1)";
    let output = Command::new("python3").args(["-c", ASK]).output().ok();
    let output = output.filter(|output| output.status.success());
    let output =
        output.ok_or("there is no python3 of version 3.9 or newer with venv (Debian: python3-venv)")?;
    Ok(PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii_end())))
}

/// The interpreter of the environment, with the package of this working tree in it.
///
/// # Errors
/// What this machine lacks for it.
///
/// # Panics
/// When the package does not build.
pub fn environment() -> Result<&'static Path, Lacking> {
    static ENVIRONMENT: OnceLock<Result<PathBuf, Lacking>> = OnceLock::new();
    ENVIRONMENT.get_or_init(make).as_deref().map_err(Clone::clone)
}

fn make() -> Result<PathBuf, Lacking> {
    let interpreter = interpreter()?;
    let folder = folder();
    // Several test programs may want it at once.
    let lock = File::create(folder.join("lock")).expect("make a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("lock the environment");

    let environment = folder.join("environment");
    let python = environment.join("bin/python");
    let package = root().join("bindings/python");
    let requirements = package.join("requirements-test.txt");
    let wanted = format!(
        "{}\n{}",
        interpreter.display(),
        fs::read_to_string(&requirements).expect("read the requirements")
    );
    // Written last, so that an environment that was left half way is made anew.
    let stamp = environment.join("made-of");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&environment);
        step(Command::new(&interpreter).args(["-m", "venv"]).arg(&environment))?;
        step(pip(&python).args(["install", "--only-binary", ":all:", "-r"]).arg(&requirements)).map_err(
            |why| format!("pip could not install what the tests of the Python package need: {why}"),
        )?;
        fs::write(&stamp, wanted).expect("write the stamp");
    }

    let wheels = folder.join("wheels");
    let _ = fs::remove_dir_all(&wheels);
    let mut maturin = Command::new(environment.join("bin/maturin"));
    maturin.args(["build", "--locked", "--manifest-path"]).arg(package.join("Cargo.toml"));
    maturin.arg("--interpreter").arg(&python).arg("--out").arg(&wheels);
    maturin.arg("--target-dir").arg(folder.join("build"));
    step(&mut maturin).unwrap_or_else(|why| panic!("{why}"));
    let wheel = fs::read_dir(&wheels).expect("a folder of wheels").flatten().next().expect("a wheel").path();
    step(pip(&python).args(["install", "--no-deps", "--no-index", "--force-reinstall"]).arg(wheel))
        .unwrap_or_else(|why| panic!("{why}"));
    Ok(python)
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--quiet"]);
    command
}

/// Runs a program to its end, for twenty minutes at most; gives its output, or what it was and what it said when it fails.
///
/// # Errors
/// It could not be started, or failed.
pub fn step(command: &mut Command) -> Result<String, String> {
    let mut limited = Command::new("timeout");
    limited.arg(STEP_LIMIT).arg(command.get_program()).args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // What cargo tells this test's process is not meant for the cargo that maturin starts.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_TARGET_DIR"
        {
            limited.env_remove(&name);
        }
    }
    let output = limited.output().map_err(|error| format!("start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?} ended with {}:\n{stdout}\n{stderr}", output.status))
}

/// A Python program of the repository, run by the interpreter of the environment in the surroundings of a scene.
///
/// # Errors
/// As [`environment`].
pub fn command(scene: &Scene, script: &str, arguments: &[&str]) -> Result<Command, Lacking> {
    let mut command = clean(Command::new(environment()?), scene);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(root().join(script)).args(arguments);
    Ok(command)
}
