//! `vas-frames doctor` on a real server: nothing is found where nothing is wrong, each planted fault is found by its name and by
//! no other, and the command that is told ends it.

use rustix::process::{Signal, geteuid};
use serde::Deserialize;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::mount::Mount;
use vas_e2e::process::program;
use vas_e2e::reader::Watch;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, clean, file_camera};
use vas_e2e::{Lacking, require, until};

/// A user and a group that no machine has.
const STRANGER: u32 = 54_321;

#[derive(Debug, Deserialize)]
struct Finding {
    name: String,
    severity: String,
    sentence: String,
    fix: String,
}

#[derive(Debug, Deserialize)]
struct Report {
    findings: Vec<Finding>,
    cameras: Vec<serde_json::Value>,
}

impl Report {
    fn of(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report: Self =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        assert_eq!(output.status.code(), Some(i32::from(!report.findings.is_empty())), "{stderr}");
        assert_eq!(stderr, "");
        for finding in &report.findings {
            assert!(["error", "warning"].contains(&finding.severity.as_str()), "{finding:?}");
            assert!(
                !finding.sentence.contains('\n') && !finding.fix.is_empty() && !finding.fix.contains('\n'),
                "{finding:?}"
            );
        }
        report
    }

    fn names(&self) -> Vec<&str> {
        self.findings.iter().map(|finding| finding.name.as_str()).collect()
    }

    /// The one thing that was found.
    #[track_caller]
    fn only(&self, name: &str) -> &Finding {
        assert_eq!(self.names(), [name], "{:#?}", self.findings);
        &self.findings[0]
    }
}

/// The doctor, with no unit of this machine's in sight.
fn command(scene: &Scene) -> Command {
    let mut command = clean(Command::new(program("vas-frames")), scene);
    command
        .args(["doctor", "--json"])
        .env("SYSTEMD_UNIT_PATH", scene.files().join("units"))
        .stdin(Stdio::null());
    command
}

fn ask(scene: &Scene) -> Report {
    Report::of(&command(scene).output().expect("the doctor starts"))
}

/// Carries out what the doctor says.
#[track_caller]
fn carry_out(finding: &Finding) {
    let output = Command::new("sh").args(["-c", &finding.fix]).output().expect("a shell");
    assert!(output.status.success(), "{finding:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A real server with one camera, which has shown a picture.
struct Ward {
    server: Server,
    // Before the scene, whose folder can be removed only once nothing is mounted in it.
    mount: Option<Mount>,
    scene: Scene,
}

impl Ward {
    fn new() -> Result<Self, Lacking> {
        Self::on(Scene::new())
    }

    fn on(scene: Scene) -> Result<Self, Lacking> {
        let server = Server::start(&scene, &file_camera("front", &clip("yard.mp4")?, true));
        let _ = Watch::start(&scene, "front").frame();
        Ok(Self { server, mount: None, scene })
    }

    /// As [`Ward::new`], on a small tmpfs of its own.
    fn mounted(options: &str) -> Result<Self, Lacking> {
        let scene = Scene::new();
        let mount = Mount::on(&scene.base(), options)?;
        let mut ward = Self::on(scene)?;
        ward.mount = Some(mount);
        Ok(ward)
    }

    /// What a server leaves that was killed.
    fn killed() -> Result<Scene, Lacking> {
        let Self { scene, server, .. } = Self::new()?;
        server.kill();
        Ok(scene)
    }

    /// One thing is found, of that name; once its command is carried out nothing is.
    #[track_caller]
    fn heals(self, name: &str) {
        let report = ask(&self.scene);
        carry_out(report.only(name));
        let mut last = Vec::new();
        until(&format!("nothing is found after the fix of {name}"), || {
            let report = ask(&self.scene);
            last = report.findings;
            last.is_empty().then_some(())
        });
        self.server.stop_well();
    }
}

/// One thing is found in what a dead server left, of that name; once its command is carried out the camera is not exported, as
/// is right without a server.
#[track_caller]
fn cleared(scene: &Scene, name: &str) {
    carry_out(ask(scene).only(name));
    ask(scene).only("camera-not-exported");
}

fn front(scene: &Scene, name: &str) -> PathBuf {
    scene.base().join("front").join(name)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn root() -> Result<(), Lacking> {
    if geteuid().is_root() { Ok(()) } else { Err("needs root to give files to another user".into()) }
}

// A machine on which nothing is wrong.

#[test]
fn nothing_is_found_about_a_healthy_server() {
    let ward = require!(Ward::new());
    let report = ask(&ward.scene);
    // A person's files go when his last session ends, and where logind runs that is true of this test's too.
    let found: Vec<_> = report.names().into_iter().filter(|name| *name != "logind-removes-base").collect();
    assert!(found.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.cameras[0]["camera"], "front");
    assert!(
        ["live", "idle"].contains(&report.cameras[0]["state"].as_str().expect("a state")),
        "{:?}",
        report.cameras
    );
    ward.server.stop_well();
}

#[test]
fn nothing_is_found_about_a_readers_group_that_is_set_up_as_the_manual_says() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    chown(scene.base(), None, Some(STRANGER)).expect("its group");
    mode(&scene.base(), 0o2750);
    let ward = require!(Ward::on(scene));
    assert_eq!(fs::metadata(front(&ward.scene, "frame.meta")).expect("a file").gid(), STRANGER);
    assert!(ask(&ward.scene).findings.is_empty(), "{:#?}", ask(&ward.scene).findings);
    ward.server.stop_well();
}

// The base directory.

#[test]
fn a_base_directory_that_is_not_there_is_found() {
    let scene = Scene::new();
    let output =
        command(&scene).arg("--base").arg(scene.files().join("vas")).output().expect("the doctor starts");
    let report = Report::of(&output);
    assert!(report.only("base-missing").sentence.contains("no server exports cameras under it"));
}

#[test]
fn a_base_directory_that_is_a_link_is_found() {
    let scene = Scene::new();
    symlink(scene.files(), scene.base()).expect("a link");
    carry_out(ask(&scene).only("base-not-directory"));
    assert!(fs::symlink_metadata(scene.base()).is_err(), "the link is gone");
    assert!(scene.files().is_dir(), "and what it led to is not");
}

#[test]
fn a_base_directory_that_is_not_on_a_tmpfs_is_found() {
    let scene = Scene::new();
    let disk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = Report::of(&command(&scene).arg("--base").arg(disk).output().expect("the doctor starts"));
    assert!(report.names().contains(&"base-not-tmpfs"), "{:?}", report.names());
}

#[test]
fn a_base_directory_in_which_everybody_may_write_is_found() {
    let ward = require!(Ward::new());
    mode(&ward.scene.base(), 0o777);
    let report = ask(&ward.scene);
    assert!(report.only("base-writable").sentence.contains("mode 0777"));
    carry_out(&report.findings[0]);
    assert_eq!(fs::metadata(ward.scene.base()).expect("a directory").mode() & 0o7777, 0o755);
    assert!(ask(&ward.scene).findings.is_empty());
    ward.server.stop_well();
}

#[test]
fn a_base_directory_that_does_not_hand_its_group_on_is_found() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    chown(scene.base(), None, Some(STRANGER)).expect("its group");
    mode(&scene.base(), 0o750);
    let report = ask(&scene);
    assert!(report.names().contains(&"base-not-setgid"), "{:?}", report.names());
    carry_out(report.findings.iter().find(|finding| finding.name == "base-not-setgid").expect("found above"));
    ask(&scene).only("no-cameras");
}

#[test]
fn a_base_directory_that_was_removed_beneath_its_mount_is_found() {
    require!(root());
    let scene = Scene::new();
    let doctor = command(&scene);
    let script = format!(
        "mkdir {0}/one {0}/two && mount --bind {0}/one {0}/two && rmdir {0}/one && exec {1} doctor --json --base {0}/two",
        scene.shared_memory().display(),
        doctor.get_program().to_string_lossy()
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().expect("unshare starts");
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no mount of one's own: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    Report::of(&output).only("base-removed");
}

// Who asks.

/// The doctor as another user without any group. The program is copied to where that user gets.
fn as_stranger(scene: &Scene, group: u32) -> Command {
    mode(scene.files(), 0o755);
    mode(scene.shared_memory(), 0o755);
    let copy = scene.files().join("vas-frames");
    if !copy.exists() {
        fs::copy(program("vas-frames"), &copy).expect("a copy of the program");
    }
    let mut command = clean(Command::new(copy), scene);
    command.args(["doctor", "--json"]).env("SYSTEMD_UNIT_PATH", scene.files().join("units"));
    // Without its groups too: the standard library drops them with the user.
    command.uid(STRANGER).gid(group).current_dir("/").stdin(Stdio::null());
    command
}

#[test]
fn a_caller_outside_the_readers_group_is_found_and_one_inside_is_not() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    chown(scene.base(), None, Some(STRANGER)).expect("its group");
    mode(&scene.base(), 0o2750);
    let ward = require!(Ward::on(scene));
    let outside = Report::of(&as_stranger(&ward.scene, STRANGER + 1).output().expect("the doctor starts"));
    let found = outside.only("caller-not-in-group");
    assert!(found.sentence.contains("54321") && found.fix.contains("54321"), "{found:?}");
    let inside = Report::of(&as_stranger(&ward.scene, STRANGER).output().expect("the doctor starts"));
    assert!(inside.findings.is_empty(), "{:#?}", inside.findings);
    ward.server.stop_well();
}

#[test]
fn a_caller_who_was_put_into_the_group_after_he_logged_in_is_found() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    chown(scene.base(), None, Some(STRANGER)).expect("its group");
    mode(&scene.base(), 0o2750);
    // Names for the two numbers, which this one process sees and no other.
    let passwd = scene.file(
        "passwd",
        &format!("root:x:0:0::/root:/bin/sh\neve:x:{STRANGER}:{}::/:/bin/sh\n", STRANGER + 1),
    );
    let group = scene.file("group", &format!("root:x:0:\nvas-frames:x:{STRANGER}:bob,eve\n"));
    let doctor = as_stranger(&scene, STRANGER + 1);
    let script = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/group && exec setpriv --reuid {STRANGER} --regid {} --clear-groups {} doctor --json --base {}",
        passwd.display(),
        group.display(),
        STRANGER + 1,
        doctor.get_program().to_string_lossy(),
        scene.base().display()
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().expect("unshare starts");
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no mount of one's own: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    let report = Report::of(&output);
    assert!(report.only("group-needs-login").fix.starts_with("newgrp vas-frames"), "{:?}", report.findings);
}

#[test]
fn a_caller_in_a_user_namespace_without_the_group_is_found() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    mode(&scene.base(), 0o750);
    let inner = as_stranger(&scene, STRANGER);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(inner.get_program()).args(["doctor", "--json", "--base"]);
    let output = command
        .arg(scene.base())
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir("/")
        .output()
        .expect("unshare starts");
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no user namespace here: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    Report::of(&output).only("container-user-namespace");
}

#[test]
fn a_file_that_its_group_may_not_read_is_found() {
    let ward = require!(Ward::new());
    mode(&front(&ward.scene, "frame.data"), 0o600);
    ward.heals("no-group-access");
}

// What is beneath the base directory.

#[test]
fn a_link_in_the_place_of_a_camera_is_found() {
    let ward = require!(Ward::new());
    symlink("/", ward.scene.base().join("yard")).expect("a link");
    ward.heals("squatted-camera");
}

#[test]
fn what_no_camera_could_be_is_found() {
    let ward = require!(Ward::new());
    fs::write(ward.scene.base().join("it's a note.txt"), "remember the milk").expect("a file");
    ward.heals("foreign-entry");
}

#[test]
fn a_strange_file_in_a_cameras_directory_is_found() {
    let ward = require!(Ward::new());
    fs::write(front(&ward.scene, "frame.meta~"), "an editor's").expect("a file");
    ward.heals("foreign-entry");
}

#[test]
fn a_cameras_directory_in_which_others_may_write_is_found() {
    let ward = require!(Ward::new());
    mode(&ward.scene.base().join("front"), 0o770);
    ward.heals("directory-writable");
}

#[test]
fn a_cameras_directory_that_lets_everybody_in_is_found() {
    let ward = require!(Ward::new());
    mode(&ward.scene.base().join("front"), 0o755);
    ward.heals("directory-mode");
}

#[test]
fn a_file_that_everybody_may_read_is_found() {
    let ward = require!(Ward::new());
    mode(&front(&ward.scene, "frame.data"), 0o644);
    ward.heals("file-mode");
}

#[test]
fn a_lock_that_others_may_hold_is_found() {
    let ward = require!(Ward::new());
    mode(&ward.scene.base().join(".front.lock"), 0o666);
    ward.heals("squatted-lock");
}

#[test]
fn a_file_of_another_owner_is_found() {
    require!(root());
    let ward = require!(Ward::new());
    chown(front(&ward.scene, "frame.meta"), Some(STRANGER), None).expect("another owner");
    ward.heals("foreign-owner");
}

#[test]
fn a_file_of_another_group_is_found() {
    require!(root());
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    chown(scene.base(), None, Some(STRANGER)).expect("its group");
    mode(&scene.base(), 0o2750);
    let ward = require!(Ward::on(scene));
    chown(front(&ward.scene, "frame.data"), None, Some(STRANGER + 1)).expect("another group");
    ward.heals("wrong-group");
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_found_and_nobody_waits_for_it() {
    let scene = require!(Ward::killed());
    let path = front(&scene, "frame.meta");
    fs::remove_file(&path).expect("removed");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "a FIFO");
    let report = ask(&scene);
    assert!(report.only("squatted-file").sentence.contains("is a FIFO"), "{:?}", report.findings);
    carry_out(&report.findings[0]);
    // The other file is left.
    cleared(&scene, "half-pair");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_found() {
    let scene = require!(Ward::killed());
    let path = front(&scene, "frame.data");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory");
    assert!(ask(&scene).only("squatted-file").sentence.contains("is a directory"));
}

#[test]
fn a_pair_of_which_one_file_was_removed_is_found() {
    let scene = require!(Ward::killed());
    fs::remove_file(front(&scene, "frame.meta")).expect("removed");
    cleared(&scene, "half-pair");
}

#[test]
fn a_pair_whose_files_do_not_belong_together_is_found() {
    let scene = require!(Ward::killed());
    let path = front(&scene, "frame.data");
    fs::copy(&path, front(&scene, ".frame.data.new")).expect("a copy");
    fs::rename(front(&scene, ".frame.data.new"), &path).expect("its name");
    cleared(&scene, "mixed-pair");
}

#[test]
fn a_header_that_is_out_of_bounds_is_found_with_its_field() {
    let scene = require!(Ward::killed());
    let meta = fs::OpenOptions::new().write(true).open(front(&scene, "frame.meta")).expect("the header");
    // The width, offset 24.
    meta.write_all_at(&0_u32.to_le_bytes(), 24).expect("written");
    assert!(ask(&scene).only("header-refused").sentence.contains("field width"));
    cleared(&scene, "header-refused");
}

// The server and its camera.

#[test]
fn what_a_server_left_that_was_killed_is_found() {
    let scene = require!(Ward::killed());
    cleared(&scene, "stale-pair");
}

#[test]
fn a_server_that_was_stopped_by_a_signal_is_found_and_woken() {
    let ward = require!(Ward::new());
    ward.server.signal(Signal::STOP);
    let path = format!("/proc/{}/stat", ward.server.id());
    until("the server stands still", || {
        fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") T ")).then_some(())
    });
    let report = ask(&ward.scene);
    if report.names() == ["stale-pair"] {
        // The pair looks the same; who holds the camera's lock is what tells them apart.
        ward.server.signal(Signal::CONT);
        vas_e2e::skip("this kernel does not show locks in /proc/locks");
        return;
    }
    assert!(report.only("server-hangs").fix.starts_with("kill -CONT "), "{:?}", report.findings);
    ward.heals("server-hangs");
}

#[test]
fn a_camera_that_its_server_has_lost_is_found() {
    let clip = require!(clip("h264.h264"));
    let scene = Scene::new();
    let mut rtsp = Camera::start(&[&clip]);
    let server = Server::start(&scene, &camera("front", rtsp.url()));
    let mut watch = Watch::start(&scene, "front");
    let _ = watch.frame();
    let _ = rtsp.freeze();
    let _ = watch.until_any_state(&["stalled"]);
    ask(&scene).only("camera-stalled");
    server.stop_well();
}

#[test]
fn a_camera_that_is_asked_for_and_not_there_is_found() {
    let ward = require!(Ward::new());
    let output = command(&ward.scene).arg("yard").output().expect("the doctor starts");
    Report::of(&output).only("camera-missing");
    ward.server.stop_well();
}

#[test]
fn a_base_directory_without_cameras_is_found() {
    let scene = Scene::new();
    fs::create_dir(scene.base()).expect("the base directory");
    mode(&scene.base(), 0o750);
    ask(&scene).only("no-cameras");
}

// Room.

#[test]
fn a_file_system_without_room_for_another_pair_is_found() {
    let ward = require!(Ward::mounted("size=64m"));
    assert!(ask(&ward.scene).findings.is_empty(), "64 MiB are enough for one small camera");
    let filler = ward.mount.as_ref().expect("mounted").fill();
    let report = ask(&ward.scene);
    let mut names = report.names();
    names.sort_unstable();
    // The file that fills it has a name that a camera could have.
    assert_eq!(names, ["shm-too-small", "squatted-camera"], "{:#?}", report.findings);
    report.findings.iter().for_each(carry_out);
    assert!(!filler.exists());
    assert!(ask(&ward.scene).findings.is_empty(), "{:#?}", ask(&ward.scene).findings);
    ward.server.stop_well();
}

#[test]
fn a_file_system_that_takes_no_further_file_is_found() {
    let ward = require!(Ward::mounted("size=64m,nr_inodes=8"));
    ward.heals("shm-no-inodes");
}

// Containers and systemd.

#[test]
fn a_container_with_a_shared_memory_of_its_own_is_found() {
    require!(root());
    let doctor = program("vas-frames");
    let script = format!(
        "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec env -u VAS_SHM_BASE container=test {} doctor --json",
        doctor.display()
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().expect("unshare starts");
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no mount of one's own: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    let report = Report::of(&output);
    let found = report.findings.iter().find(|finding| finding.name == "container-private-shm");
    assert!(
        found.is_some_and(|found| found.fix.contains("-v /dev/shm/vas:/dev/shm/vas:ro")),
        "{:#?}",
        report.findings
    );
}

/// The doctor, where systemd has our unit with a drop-in of that text behind it, and the usual base directory.
fn with_unit(scene: &Scene, drop_in: &str, base: &Path) -> Report {
    let units = scene.files().join("units");
    let folder = units.join("vas-ingest.service.d");
    fs::create_dir_all(&folder).expect("a folder");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vas-ingest/dist/vas-ingest.service");
    fs::copy(unit, units.join("vas-ingest.service")).expect("a copy of the unit");
    fs::write(folder.join("override.conf"), drop_in).expect("a drop-in");
    Report::of(&command(scene).arg("--base").arg(base).output().expect("the doctor starts"))
}

#[test]
fn options_of_the_servers_unit_that_stand_in_the_way_are_found() {
    let scene = Scene::new();
    let base = Path::new("/dev/shm/vas-no-such-base");
    let of_unit = |drop_in: &str, base: &Path| -> Vec<String> {
        let report = with_unit(&scene, drop_in, base);
        let of_unit = report.findings.into_iter().filter(|finding| finding.name.starts_with("unit-"));
        of_unit
            .map(|finding| {
                assert!(finding.fix.contains("systemctl restart vas-ingest.service"), "{}", finding.fix);
                finding.name
            })
            .collect()
    };
    // What the project ships is right, and so is what the manual says does not matter.
    for right in ["", "[Service]\nPrivateTmp=yes\nPrivateIPC=yes\nRemoveIPC=no\n"] {
        assert_eq!(of_unit(right, base), [""; 0], "{right}");
    }
    for (drop_in, name) in [
        ("[Service]\nRemoveIPC=yes\n", "unit-removes-base"),
        ("[Service]\nTemporaryFileSystem=/dev/shm:ro\n", "unit-hides-base"),
        ("[Service]\nInaccessiblePaths=-/dev/shm\n", "unit-hides-base"),
        ("[Service]\nPrivateUsers=true\n", "unit-private-users"),
        ("[Service]\nRestrictSUIDSGID=yes\n", "unit-restricts-setgid"),
        ("[Service]\nDynamicUser=yes\n", "unit-removes-base"),
    ] {
        assert_eq!(of_unit(drop_in, base), [name], "{drop_in}");
    }
    let elsewhere = Path::new("/run/vas-no-such-base/vas");
    assert_eq!(of_unit("", elsewhere), ["unit-read-only-base"]);
    assert_eq!(of_unit("[Service]\nReadWritePaths=/run/vas-no-such-base\n", elsewhere), [""; 0]);
}

// What it prints.

#[test]
fn a_finding_is_its_name_a_sentence_and_the_command() {
    let scene = require!(Ward::killed());
    let output = reader_text(&scene, &[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "error: stale-pair", "{text}");
    assert!(lines[1].starts_with("    ") && lines[1].contains("no sign of life for 3 s"), "{text}");
    assert!(lines[2].starts_with("    fix: rm -f "), "{text}");
    assert!(lines[4].contains("0 of 1 cameras live"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

fn reader_text(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = clean(Command::new(program("vas-frames")), scene);
    let units = scene.files().join("units");
    command.arg("doctor").args(arguments).env("SYSTEMD_UNIT_PATH", units).output().expect("the doctor starts")
}

#[test]
fn the_manual_has_every_name_that_can_be_found() {
    let scene = Scene::new();
    let output = reader_text(&scene, &["--names", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md"))
        .expect("the manual");
    let in_manual: Vec<&str> = manual
        .lines()
        .filter(|line| {
            line.starts_with("| `") && line.contains("` | error | ") || line.contains("` | warning | ")
        })
        .collect();
    let wanted: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().expect("text").to_owned();
            format!("| `{}` | {} | {} |", text("name"), text("severity"), text("meaning"))
        })
        .collect();
    assert_eq!(in_manual, wanted);
}

#[test]
fn the_server_is_neither_asked_nor_changed() {
    let ward = require!(Ward::new());
    let before = server_files(&ward.scene);
    let _ = ask(&ward.scene);
    assert_eq!(server_files(&ward.scene), before);
    ward.server.stop_well();
}

/// Names, inodes, owners and modes.
fn server_files(scene: &Scene) -> Vec<(PathBuf, u64, u32, u32)> {
    let mut found = scene.exported_files();
    found.sort();
    let stat = |path: PathBuf| fs::metadata(&path).map(|at| (path, at.ino(), at.uid(), at.mode()));
    found.into_iter().filter_map(|path| stat(path).ok()).collect()
}
