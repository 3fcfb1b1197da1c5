//! The server as a process on file systems that are full, become full, or have no inodes; and in a memory cgroup that is too small.
//! It decodes on, says what it needs, and is never ended by SIGBUS.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use vas_e2e::clips::clip;
use vas_e2e::mount::Mount;
use vas_e2e::process::{Ended, Process, program};
use vas_e2e::reader::Watch;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, file_camera};
use vas_e2e::{Lacking, require, until};

/// Three seconds of a camera with 25 frames a second.
const LONG_ENOUGH: usize = 75;

/// The number before some words.
fn number_before(line: &str, words: &str) -> u64 {
    let before = line.split(words).next().unwrap_or_default();
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number before {words:?} in: {line}"))
}

/// The end of a server that was asked to stop: by itself, without a panic.
fn stopped_well(server: Server) -> Ended {
    let (ended, _) = server.stop();
    assert_eq!(ended.status.signal(), None, "{:?}", ended.status);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

/// The last words about a camera.
fn summary<'e>(ended: &'e Ended, camera: &str) -> &'e str {
    let mut lines = ended.stderr.lines().chain(ended.stdout.lines());
    lines.find(|line| line.contains("ended;") && line.contains(camera)).expect("a summary")
}

// Proves LIFE-11.
#[test]
fn a_camera_without_room_is_decoded_all_the_same_disturbs_nobody_and_is_exported_when_there_is_room() {
    let (large, small) = (require!(clip("bikes.mp4")), require!(clip("yard.mp4")));
    let scene = Scene::new();
    // 320 x 240 takes 3 slots of 118784 bytes, 640 x 272 takes 3 of 262144: more than there is, whoever comes first.
    let mount = require!(Mount::on(&scene.base(), "size=640k"));
    let config = [file_camera("bikes", &large, true), file_camera("yard", &small, true)].concat();
    let mut yard = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &config);
    let sentence = server.stderr.line_with("no room in");
    let base = scene.base().display().to_string();
    for words in ["bikes", &base, "make room or mount a larger tmpfs there", "the camera goes on"] {
        assert!(sentence.contains(words), "{words:?} is not in: {sentence}");
    }
    let (needed, free) =
        (number_before(&sentence, " bytes are needed"), number_before(&sentence, " are free"));
    assert_eq!(needed, 3 * 262_144 + 4096, "{sentence}");
    assert!(free < needed && free <= 640 << 10, "{sentence}");
    let frames = yard.frames(LONG_ENOUGH);
    assert!(frames.windows(2).all(|pair| pair[0].generation == pair[1].generation));

    let mut bikes = Watch::start(&scene, "bikes");
    mount.remount("size=8m");
    let frames = bikes.frames(LONG_ENOUGH);
    assert!(frames.iter().all(|frame| (frame.width, frame.height) == (640, 272)));
    let taken: u64 = ["frame.meta", "frame.data"]
        .iter()
        .map(|name| fs::metadata(scene.base().join("bikes").join(name)).expect("exported").len())
        .sum();
    assert_eq!(taken, needed, "the sentence had told the truth");

    let ended = stopped_well(server);
    assert_eq!(ended.stderr.matches("no room in").count(), 1, "said once: {}", ended.stderr);
    let (of_yard, of_bikes) = (summary(&ended, "yard"), summary(&ended, "bikes"));
    println!("{of_yard}\n{of_bikes}");
    // It was decoded all the time, although for at least three seconds there was no room. (Half leaves room for a busy machine.)
    assert!(of_bikes.contains("there is no room for the files"), "{of_bikes}");
    assert!(number_before(of_bikes, " not exported") >= LONG_ENOUGH as u64 / 2, "{of_bikes}");
    let decoded = |line| number_before(line, " frames decoded");
    assert!(decoded(of_bikes) * 2 >= decoded(of_yard), "{of_yard}\n{of_bikes}");
}

#[test]
fn a_tmpfs_as_small_as_a_containers_is_told_with_the_size_that_is_enough_before_any_camera_connects() {
    let scene = Scene::new();
    let mount = require!(Mount::on(&scene.base(), "size=64m"));
    // Nothing listens there, and nothing has to.
    let cameras: String = (1..=8).map(|n| camera(&format!("c{n}"), "rtsp://127.0.0.1:9/none")).collect();
    let server = Server::start(&scene, &cameras);
    let _ = server.stderr.line_with("trying again in");
    let warning = server.stderr.line_with("too little room for 8 cameras of 1920x1080: ");
    // Eight pairs, and a ninth for the time in which one replaces another.
    let pair = 3 * 3_112_960 + 4096;
    let enough = (9 * pair as u64).div_ceil(1 << 20);
    for words in [
        &format!("{} bytes are needed, {} are free", 8 * pair, mount.free_bytes()),
        "64 MiB is what a container gets",
        &format!("`docker run --shm-size={enough}m`"),
    ] {
        assert!(warning.contains(words), "{words:?} is not in: {warning}");
    }
    let log = server.stderr.so_far();
    let place = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words:?} is not in: {log}"));
    assert!(
        place("shared memory: a camera of 1920x1080 takes 8.9 MiB (3 slots)") < place("too little room for")
    );
    assert!(place("too little room for") < place("camera{id="), "{log}");
    stopped_well(server);
}

// Proves LIFE-11 and LIFE-2.
#[test]
fn a_server_whose_file_system_is_filled_by_another_program_goes_on_with_the_same_pair() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    let mount = require!(Mount::on(&scene.base(), "size=4m"));
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let first = watch.frame();
    let filler = mount.fill();
    watch.skip_to_now();
    let frames = watch.frames(LONG_ENOUGH);
    assert_eq!(mount.free_bytes(), 0);
    assert!(frames.iter().all(|frame| frame.generation == first.generation));
    let skipped: u64 = frames.iter().skip(1).map(|frame| frame.skipped).sum();
    println!("{LONG_ENOUGH} frames with 0 bytes free, {skipped} skipped by the reader");
    fs::remove_file(filler).expect("remove the filler");
    let ended = stopped_well(server);
    assert!(!ended.stderr.contains("no room"), "{}", ended.stderr);
    assert!(scene.exported_files().is_empty());
}

// Proves LIFE-11.
#[test]
fn a_server_without_inodes_says_what_is_missing_and_exports_when_there_are_some() {
    let clip = require!(clip("yard.mp4"));
    let scene = Scene::new();
    // Room in plenty; the root, the lock, the file of the server's cameras, the camera's directory and one of the two files.
    let mount = require!(Mount::on(&scene.base(), "size=64m,nr_inodes=5"));
    let mut watch = Watch::start(&scene, "yard");
    let server = Server::start(&scene, &file_camera("yard", &clip, true));
    let warning = server.stderr.line_with("too few inodes for 1 camera: 8 are needed, 3 are free in ");
    assert!(warning.contains("mount it with a larger nr_inodes"), "{warning}");
    let sentence = server.stderr.line_with("inodes of the file system are in use");
    for words in
        ["yard", ".frame.meta.new: cannot be made, all 5 inodes of the file system are in use", "nr_inodes"]
    {
        assert!(sentence.contains(words), "{words:?} is not in: {sentence}");
    }
    mount.remount("nr_inodes=16");
    let _ = watch.frames(10);
    let ended = stopped_well(server);
    assert!(summary(&ended, "yard").contains("there is no room for the files"), "{}", ended.stderr);
}

/// A memory cgroup of this test's own.
struct Cgroup {
    folder: PathBuf,
    limit: &'static str,
}

impl Cgroup {
    fn with_limit(bytes: u64) -> Result<Self, Lacking> {
        let name = format!("vas-e2e-{}", std::process::id());
        let mut why = "no memory cgroup can be made here".to_owned();
        for (root, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let folder = Path::new(root).join(&name);
            if !Path::new(root).is_dir() {
                continue;
            }
            let made = fs::create_dir(&folder).and_then(|()| {
                // Dropped, and so removed, if it turns out to have no such limit.
                let cgroup = Self { folder: folder.clone(), limit };
                fs::write(folder.join(limit), bytes.to_string())?;
                Ok(cgroup)
            });
            match made {
                Ok(cgroup) => {
                    // Where swap is counted too; that it may not be is fine.
                    let _ = fs::write(cgroup.folder.join("memory.swap.max"), "0");
                    return Ok(cgroup);
                }
                Err(error) => why = format!("make the memory cgroup {}: {error}", folder.display()),
            }
        }
        Err(why)
    }

    fn set_limit(&self, bytes: u64) {
        fs::write(self.folder.join(self.limit), bytes.to_string()).expect("set the limit");
    }

    /// A program that is in the group before its first instruction.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        let procs = self.folder.join("cgroup.procs");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(procs).arg(program);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel needs a moment to forget the last process.
        let empty = until("the cgroup is empty", || {
            fs::read_to_string(self.folder.join("cgroup.procs"))
                .ok()
                .map(|text| text.is_empty())
                .filter(|empty| *empty)
        });
        assert!(empty);
        let _ = fs::remove_dir(&self.folder);
    }
}

// Proves LIFE-11 and LIFE-12.
#[test]
fn a_server_in_a_memory_cgroup_that_is_too_small_lives_on_shows_nothing_and_exports_once_the_limit_is_raised()
{
    if !rustix::process::geteuid().is_root() {
        return vas_e2e::skip("needs root to make a memory cgroup");
    }
    let scene = Scene::new();
    // Eight slots of 312 x 240 take 917504 bytes, and the program's own pages and what is kept back do not fit beside them.
    let cgroup = require!(Cgroup::with_limit(1 << 20));
    let mut command = cgroup.command(&program("vas-e2e-writer"));
    command.arg(scene.base()).args(["front", "8", "steady"]);
    let mut server = Process::start("vas-e2e-writer", &mut command);
    let _ = server.stderr.line_with("not exported: there is no room for the files");
    assert!(scene.exported_files().is_empty(), "nothing is visible, nothing half-made stays");
    assert!(server.is_running(), "the kernel had nobody to end");
    cgroup.set_limit(64 << 20);
    until("a pair", || {
        fs::metadata(scene.base().join("front/frame.meta")).ok().filter(|meta| meta.len() == 4096)
    });
    assert!(fs::metadata(scene.base().join("front/frame.data")).expect("exported").blocks() > 0);
    server.close();
    let ended = server.wait();
    assert_eq!(ended.code(), Some(0), "{:?}: {}", ended.status, ended.stderr);
}
