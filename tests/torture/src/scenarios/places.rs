//! Readers in namespaces of their own.

use super::need_root;
use crate::ledger::Word;
use crate::picture::{RECOLORED, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Actor, CAMERA, Circumstances, Played, Stage, Stop};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How far the clocks of readers are off, in seconds.
const AHEAD_S: u64 = 86_400;
const SECOND_NS: u64 = 1_000_000_000;

/// Mounts a directory read-only at another place, shows that it is, and becomes what follows.
const MOUNT: &str = r#"
set -e
mount --bind "$1" "$2"
mount -o remount,bind,ro "$2"
if touch "$2/touched" 2>/dev/null; then echo "the mount can be written to" >&2; exit 9; fi
shift 2
exec "$@"
"#;

// Proves LIVE-4 and CLOCK-2.
pub(crate) fn time_namespace(stage: &mut Stage<'_>) -> Played {
    need_root()?;
    need(&["unshare", "--time", "--fork", "true"])?;
    let server = stage.live_server(changing(stage))?;
    let mut readers = Vec::new();
    for (manner, offset) in [(Manner::Stream, AHEAD_S.to_string()), (Manner::Spin, other_offset())] {
        // Only a child is in the new namespace for certain.
        let wrapper = ["unshare", "--time", "--monotonic", &offset, "--kill-child", "--"];
        let circumstances = in_namespace(&wrapper);
        let reader = stage.reader_in(manner, &circumstances, None)?;
        stage.until_reading(reader)?;
        let (own, theirs) = (vas_shm_reader::monotonic_ns(), stage.get(reader, Word::Clock));
        if own.abs_diff(theirs) < 60 * SECOND_NS {
            return stage.fail("a reader that was to have a clock of its own has this one");
        }
        readers.push(reader);
    }
    follow(stage, server, &readers)
}

/// Behind, if this machine's clock allows it: it began at boot, and none can begin before that.
fn other_offset() -> String {
    match vas_shm_reader::monotonic_ns() / SECOND_NS / 2 {
        0..120 => (2 * AHEAD_S).to_string(),
        half => format!("-{}", half.min(AHEAD_S)),
    }
}

// Proves FILE-7.
pub(crate) fn read_only_mount(stage: &mut Stage<'_>) -> Played {
    need_root()?;
    need(&["unshare", "--mount", "true"])?;
    let server = stage.live_server(changing(stage))?;
    let base = stage.subfolder("container")?;
    let at = base.join(CAMERA);
    std::fs::create_dir(&at)?;
    let mut readers = Vec::new();
    for manner in [Manner::Stream, Manner::Spin] {
        let reader = reader_behind_mount(stage, manner, &at, &base)?;
        stage.until_reading(reader)?;
        readers.push(reader);
    }
    follow(stage, server, &readers)
}

fn reader_behind_mount(stage: &mut Stage<'_>, manner: Manner, at: &Path, base: &Path) -> Played<Actor> {
    let (from, at) = (stage.camera_directory().display().to_string(), at.display().to_string());
    let wrapper = ["unshare", "--mount", "sh", "-c", MOUNT, "sh", &from, &at];
    stage.reader_in(manner, &in_namespace(&wrapper), Some(PathBuf::from(base)))
}

fn in_namespace(wrapper: &[&str]) -> Circumstances {
    let wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    Circumstances { wrapper, counts_switches: true, ..Circumstances::default() }
}

/// A server whose pairs come and go.
fn changing(stage: &Stage<'_>) -> ServerSpec {
    ServerSpec {
        formats: vec![SMALL, RECOLORED],
        change_ms: 300,
        restart_each_ms: 800,
        ..stage.server_spec()
    }
}

/// Readers stay with the server through its stops, starts and changes.
fn follow(stage: &mut Stage<'_>, server: Actor, readers: &[Actor]) -> Played {
    loop {
        let before: Vec<u64> = readers.iter().map(|reader| stage.get(*reader, Word::Generations)).collect();
        for (reader, before) in readers.iter().zip(before) {
            stage.until("the reader follows to the next pair", |stage| {
                (stage.get(*reader, Word::Generations) > before).then_some(())
            })?;
            stage.until_current(server, *reader)?;
            stage.event();
        }
        if !stage.has_time() {
            return Ok(());
        }
    }
}

/// Skips the scenario unless this command works here.
fn need(command: &[&str]) -> Played {
    let works = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if works { Ok(()) } else { Err(Stop::Skipped(format!("`{}` does not work here", command.join(" ")))) }
}
