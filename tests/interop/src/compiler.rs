//! The C and C++ compilers of this machine, and programs that are made for one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use vas_e2e::Lacking;

const WARNINGS: [&str; 8] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wsign-conversion",
    "-Wcast-align",
    "-Werror",
];
/// Where the headers stand.
const INCLUDE: [&str; 2] = ["bindings/c/include", "bindings/c-writer/include"];

/// A path of this repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A compiler with the options that make a language of it.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    /// Its name.
    pub program: &'static str,
    /// What makes the language.
    pub options: &'static [&'static str],
}

/// The options of C11.
pub const C11: &[&str] = &["-std=c11"];
/// Those of C++20.
pub const CXX20: &[&str] = &["-std=c++20", "-x", "c++"];
/// The compiler of the system.
pub const GCC: Compiler = Compiler { program: "gcc", options: C11 };
/// What a sanitizer finds ends the program.
pub const SANITIZED: Compiler = Compiler {
    program: "gcc",
    options: &["-std=c11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
};

/// OpenCV's own headers are not held to our warnings.
pub const OPENCV: Compiler =
    Compiler { program: "g++", options: &["-std=c++20", "-isystem", OPENCV_HEADERS] };
const OPENCV_HEADERS: &str = "/usr/include/opencv4";

impl Compiler {
    /// Itself, if OpenCV is there too.
    ///
    /// # Errors
    /// This machine has no such compiler, or no OpenCV for it.
    pub fn has_opencv(self) -> Result<Self, Lacking> {
        let header = Path::new(OPENCV_HEADERS).join("opencv2/imgproc.hpp");
        if header.is_file() { self.is_there() } else { Err(format!("{} is not there", header.display())) }
    }

    /// Itself, if it is there.
    ///
    /// # Errors
    /// This machine has no such compiler, or not its sanitizers.
    pub fn is_there(self) -> Result<Self, Lacking> {
        let output = Command::new(self.program).arg("-print-file-name=libasan.so").output();
        let output = match output {
            Ok(output) if output.status.success() => output,
            _ => return Err(format!("there is no {}", self.program)),
        };
        // Of a library that is not there only the name comes back.
        let has_sanitizers = output.stdout.starts_with(b"/");
        if self.options.iter().any(|option| option.starts_with("-fsanitize")) && !has_sanitizers {
            return Err(format!("{} has no sanitizers here", self.program));
        }
        Ok(self)
    }

    /// What it says about some sources; `more` stands after them, where libraries belong.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(self, sources: &[PathBuf], more: &[&str], to: &Path) -> Output {
        let mut command = Command::new(self.program);
        command.args(self.options).args(WARNINGS).arg("-O2");
        for folder in INCLUDE {
            command.arg("-I").arg(repository(folder));
        }
        command.args(sources).args(more).arg("-o").arg(to);
        command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"))
    }

    /// Builds one program, without a single warning.
    ///
    /// # Panics
    /// When there is one.
    pub fn build(self, sources: &[PathBuf], more: &[&str], to: &Path) -> PathBuf {
        let output = self.run(sources, more, to);
        let said = String::from_utf8_lossy(&output.stderr);
        let (name, options) = (self.program, self.options);
        assert!(output.status.success() && said.is_empty(), "{name} {options:?} {sources:?}:\n{said}");
        to.to_owned()
    }
}

/// Programs that were compiled for one test; gone with it.
#[derive(Debug)]
pub struct Workshop(TempDir);

impl Workshop {
    /// A folder for them in another, from which programs can be started.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(tempfile::tempdir_in(folder).expect("a folder for what is compiled"))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// One program of tests/interop/c.
    #[must_use]
    pub fn build_own(&self, compiler: Compiler, name: &str) -> PathBuf {
        compiler.build(&[repository(&format!("tests/interop/c/{name}.c"))], &[], &self.path().join(name))
    }
}
