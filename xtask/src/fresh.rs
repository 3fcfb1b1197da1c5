//! `cargo xtask fresh`: the README's two commands in a clean Debian, the only proof that no install step is missing.
//!
//! debootstrap makes a root with nothing but git and a C compiler. The Rust toolchain is bound into it read-only, the
//! current commit is cloned into it, and `cargo xtask demo` and `cargo xtask test` run there in a chroot. Needs root; run
//! by hand, not in CI. Mounts and processes live in namespaces of their own, so they end whatever happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::failure::{Context, Failure, Outcome};
use crate::workspace::Workspace;
use crate::{git, run, setup, ui};

#[derive(Args)]
pub(crate) struct Options {
    /// Debian release, by its code name
    #[arg(long, default_value = "bookworm", value_parser = code_name)]
    suite: String,
    /// Keep the folder, to look around in it
    #[arg(long)]
    keep: bool,
}

fn code_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_name { Ok(text.to_owned()) } else { Err("a code name such as bookworm is needed".into()) }
}

/// All that is in the root beforehand: what a person who clones a Rust project has. libc6-dev belongs to the compiler.
const INSTALLED_BEFOREHAND: &str = "git,gcc,libc6-dev";
const COMMANDS: [&[&str]; 2] = [&["cargo", "xtask", "demo"], &["cargo", "xtask", "test"]];
/// Variables of this machine without which its network may not be reachable; never anything else.
const NETWORK_VARIABLES: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
];

pub(crate) fn command(workspace: &Workspace, options: &Options) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("fresh needs root, for debootstrap, chroot and mounts: run it as root"));
    }
    setup::debootstrap()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context(|| "watch for Ctrl-C".into())?;
    }
    let root = Root::make()?;
    let tried = try_in(workspace, options, &root, &interrupted);
    let removed = root.leave(options.keep);
    let times = tried?;
    removed?;
    for (command, time) in times {
        println!("{command}: {}", ui::elapsed(time));
    }
    Ok(())
}

fn try_in(
    workspace: &Workspace,
    options: &Options,
    root: &Root,
    interrupted: &AtomicBool,
) -> Outcome<Vec<(String, Duration)>> {
    ui::stage(&format!("A clean Debian {}", options.suite));
    let sources = Sources::of_this_machine(&options.suite)?;
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={INSTALLED_BEFOREHAND}"), &options.suite]);
    command.arg(&root.path).arg(&sources.mirror);
    run::behind_ticker(&format!("debootstrap with {INSTALLED_BEFOREHAND} and nothing else"), &mut command)?;
    root.write("etc/apt/sources.list", &sources.list)?;
    root.write("etc/apt/apt.conf.d/90host", &apt_proxies())?;
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        if let Ok(text) = fs::read_to_string(file) {
            root.write(&file[1..], &text)?;
        }
    }
    clone(workspace, root)?;
    let toolchain = run::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    if let Some(config) = home.and_then(|home| fs::read_to_string(home.join("config.toml")).ok()) {
        root.write("opt/cargo-home/config.toml", &config)?;
    }

    let mut times = Vec::new();
    for words in COMMANDS {
        let name = words.join(" ");
        ui::stage(&format!("In the clean root: {name}"));
        let started = Instant::now();
        run::step(&mut inside(root, Path::new(toolchain.trim()), words))?;
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure { sentence: "interrupted".into(), code: 130 });
        }
        ui::good(&format!("{name} after {}", ui::elapsed(started.elapsed())));
        times.push((name, started.elapsed()));
    }
    let picture = workspace.target.join("fresh-demo.png");
    fs::copy(root.path.join("src/target/demo.png"), &picture)
        .context(|| "take the demo's picture out of the clean root".into())?;
    println!("{}", picture.display());
    Ok(times)
}

/// The command, in namespaces of its own, chrooted, with an environment from nothing.
fn inside(root: &Root, toolchain: &Path, words: &[&str]) -> Command {
    let certificates = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let certificates = certificates.unwrap_or_else(|| "/etc/ssl/certs/ca-certificates.crt".into());
    let certificates = if certificates.is_file() { certificates } else { PathBuf::new() };
    let environment: Vec<_> = NETWORK_VARIABLES
        .iter()
        .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)))
        .filter(|pair| !pair.contains(char::is_whitespace))
        .collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh"]);
    command.arg(root.script()).arg(&root.path).arg(toolchain).arg(certificates).args(words);
    if !environment.is_empty() {
        command.env("HOST_ENVIRONMENT", environment.join(" "));
    }
    command
}

fn clone(workspace: &Workspace, root: &Root) -> Outcome {
    let head = git::output(&workspace.root, &["rev-parse", "--short", "HEAD"])?;
    if !git::output(&workspace.root, &["status", "--porcelain"])?.trim().is_empty() {
        ui::note("this work tree has changes that are not committed: they are not in the clone");
    }
    run::output(
        git::command(&workspace.root)
            .args(["clone", "--quiet", "--no-hardlinks"])
            .arg(&workspace.root)
            .arg(root.path.join("src")),
    )?;
    ui::good(&format!("cloned {}", head.trim()));
    Ok(())
}

/// Where the clean root gets its packages: from where this machine gets its own.
struct Sources {
    mirror: String,
    list: String,
}

impl Sources {
    fn of_this_machine(suite: &str) -> Outcome<Self> {
        let format = "$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)";
        let targets = run::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
        ]))?;
        Self::from_targets(&targets, suite).ok_or_else(|| {
            Failure::new("this machine's apt knows no Debian mirror: run `apt-get update` and look at /etc/apt/sources.list")
        })
    }

    /// From lines of origin, address, code name and component.
    fn from_targets(targets: &str, suite: &str) -> Option<Self> {
        let rows: Vec<[&str; 4]> = targets
            .lines()
            .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
            .filter(|row: &[&str; 4]| row[0] == "Debian" && row[3] == "main")
            .collect();
        // The main archive's code name has no dash; its updates' and its security's do.
        let mirror = rows.iter().find(|row| !row[2].contains('-'))?[1].to_owned();
        let ours =
            |name: &str| name == suite || name.strip_prefix(suite).is_some_and(|rest| rest.starts_with('-'));
        let mut list: String = rows
            .iter()
            .filter(|row| ours(row[2]))
            .map(|row| format!("deb {} {} main\n", row[1], row[2]))
            .collect();
        if list.is_empty() {
            list = format!("deb {mirror} {suite} main\n");
        }
        Some(Self { mirror, list })
    }
}

/// apt's own proxy settings, if it has any.
fn apt_proxies() -> String {
    let dump = run::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    dump.lines()
        .filter(|line| line.starts_with("Acquire::http") && line.contains("Proxy"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The folder of the clean root, and beside it the script that enters it.
struct Root {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Root {
    fn make() -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("vas-fresh-")
            .tempdir()
            .context(|| format!("make a folder in {}", std::env::temp_dir().display()))?;
        let path = folder.path().join("root");
        fs::create_dir(&path).context(|| format!("make the folder {}", path.display()))?;
        let root = Self { folder, path };
        let script = root.script();
        fs::write(&script, include_str!("fresh.sh")).context(|| format!("write {}", script.display()))?;
        Ok(root)
    }

    fn script(&self) -> PathBuf {
        self.folder.path().join("fresh.sh")
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
        }
        // A link in the root may point at a file of this machine.
        if path.is_symlink() {
            fs::remove_file(&path).context(|| format!("remove the link {}", path.display()))?;
        }
        fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    /// Removes the folder, but never while something of this machine is mounted in it.
    fn leave(self, keep: bool) -> Outcome {
        let place = self.folder.path().to_owned();
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo".into())?;
        let is_mounted = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .any(|point| Path::new(point).starts_with(&place));
        if keep || is_mounted {
            let _ = self.folder.keep();
            if is_mounted {
                return Err(Failure::new(format!(
                    "something is still mounted in {}: unmount it, then remove the folder",
                    place.display()
                )));
            }
            ui::note(&format!("kept {}", place.display()));
            return Ok(());
        }
        self.folder.close().context(|| format!("remove {}", place.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "Debian http://mirror/debian/ bookworm main\nDebian http://mirror/debian/ bookworm-updates main\n\
        Debian http://mirror/security/ bookworm-security main\nOther http://other/ bookworm main\n";

    #[test]
    fn the_machines_own_mirror_is_used_with_its_updates() {
        let sources = Sources::from_targets(TARGETS, "bookworm").unwrap();
        assert_eq!(sources.mirror, "http://mirror/debian/");
        assert_eq!(sources.list.lines().count(), 3);
        assert!(!sources.list.contains("other"));
    }

    #[test]
    fn another_release_comes_from_the_same_mirror() {
        let sources = Sources::from_targets(TARGETS, "trixie").unwrap();
        assert_eq!(sources.list, "deb http://mirror/debian/ trixie main\n");
    }

    #[test]
    fn a_suite_is_a_code_name_and_nothing_else() {
        assert!(code_name("bookworm").is_ok());
        assert!(code_name("--help").is_err());
        assert!(code_name("../x").is_err());
    }
}
