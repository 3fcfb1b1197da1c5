//! `vas-frames doctor` on a real server: nothing is found where nothing is wrong, and each planted fault is found by its name and by
//! no other. The command that is told is carried out, and ends the fault, where that concerns nothing but the test's own folders
//! (`heals`, `cleared`, `carry_out`); those for docker, systemctl, mount, users and groups are only read.

use rustix::process::{Signal, geteuid};
use serde::Deserialize;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
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

fn ask_about(scene: &Scene, base: &Path, arguments: &[&str]) -> Report {
    let output = command(scene).arg("--base").arg(base).args(arguments).output();
    Report::of(&output.expect("the doctor starts"))
}

/// Carries out what the doctor says.
#[track_caller]
fn carry_out(finding: &Finding) {
    let output = Command::new("bash").args(["-c", &finding.fix]).output().expect("a shell");
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

/// A look from a namespace of processes other than the first does not tell a dead server from one outside.
fn seen_processes() -> Result<(), Lacking> {
    let first = fs::metadata("/proc/self/ns/pid").is_ok_and(|found| found.ino() == 0xEFFF_FFFC);
    if first { Ok(()) } else { Err("needs the first namespace of processes".into()) }
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
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
    mode(disk.path(), 0o2755);
    let report = ask_about(&scene, disk.path(), &[]);
    let found = report.findings.iter().find(|finding| finding.name == "base-not-tmpfs");
    let found = found.unwrap_or_else(|| panic!("{:?}", report.names()));
    let gid = fs::metadata(disk.path()).expect("a folder").gid();
    assert!(found.fix.contains(&format!(",gid={gid},mode=2750 ")), "{found:?}");
}

/// What no command of the doctor's may do to what is not a server's.
#[track_caller]
fn harmless(finding: &Finding) {
    let changes = ["rm ", "rmdir ", "chmod ", "chown ", "chgrp ", "mount ", "setfacl "];
    assert!(!changes.iter().any(|command| finding.fix.contains(command)), "{finding:?}");
}

#[test]
fn a_directory_that_is_no_base_is_left_alone() {
    let ward = require!(Ward::new());
    let scene = &ward.scene;
    let shared = scene.shared_memory();
    fs::create_dir(shared.join("PostgreSQL.123")).expect("somebody's");
    // As /dev/shm: everybody may write, and the base directory is in it.
    mode(shared, 0o1777);
    let report = ask_about(scene, shared, &[]);
    let found = report.only("not-a-base");
    assert_eq!(found.fix, format!("vas-frames doctor --base {}", scene.base().display()));
    mode(shared, 0o777);
    harmless(ask_about(scene, shared, &[]).only("not-a-base"));
    // A camera's directory in place of the base directory's.
    let report = ask_about(scene, &scene.base().join("front"), &[]);
    assert_eq!(report.only("not-a-base").fix, found.fix);
    for (elsewhere, name) in [
        ("/dev/shm", "not-a-base"),
        ("/tmp", "not-a-base"),
        ("/", "not-a-base"),
        ("/etc", "not-a-base"),
        (env!("CARGO_MANIFEST_DIR"), "not-a-base"),
        ("/etc/passwd", "base-not-directory"),
        ("/proc/self", "base-not-directory"),
    ] {
        harmless(ask_about(scene, Path::new(elsewhere), &[]).only(name));
    }
    ward.server.stop_well();
}

#[test]
fn a_sticky_directory_is_not_changed_though_a_server_left_something_in_it() {
    let scene = require!(Ward::killed());
    mode(&scene.base(), 0o1777);
    harmless(ask(&scene).only("not-a-base"));
}

#[test]
fn an_owner_who_is_mistyped_costs_no_camera() {
    let ward = require!(Ward::new());
    let report = ask_about(&ward.scene, &ward.scene.base(), &["--owner", "54321"]);
    let found = report.only("foreign-owner");
    harmless(found);
    assert!(found.fix.contains(&format!(" --owner {}", geteuid().as_raw())), "{found:?}");
    ward.server.stop_well();
}

#[test]
fn a_base_directory_of_another_user_than_the_units_is_found() {
    let scene = require!(Ward::killed());
    let unit = |user: &str| {
        let lines = format!("[Service]\nUser={user}\nEnvironment=VAS_SHM_BASE={}\n", scene.base().display());
        with_unit(&scene, &lines, &scene.base())
    };
    let report = unit(&(geteuid().as_raw() + 1).to_string());
    let found = report.findings.iter().find(|finding| finding.name == "foreign-owner");
    assert!(found.is_some_and(|found| found.fix.contains("chown -R ")), "{:#?}", report.findings);
    assert!(!unit(&geteuid().as_raw().to_string()).names().contains(&"foreign-owner"));
    // Of a base directory that is not that unit's nothing is said.
    let report = with_unit(&scene, &format!("[Service]\nUser={STRANGER}\n"), &scene.base());
    assert!(!report.names().contains(&"foreign-owner"), "{:#?}", report.findings);
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
        "mkdir {0}/one {0}/two && mount --bind {0}/one {0}/two && rmdir {0}/one && exec env container=test {1} doctor --json --base {0}/two",
        scene.shared_memory().display(),
        doctor.get_program().to_string_lossy()
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().expect("unshare starts");
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no mount of one's own: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    let report = Report::of(&output);
    let fix = &report.only("base-removed").fix;
    assert!(fix.starts_with(&format!("docker restart {} ", name.trim())), "{fix}");
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
fn a_directory_above_the_base_that_keeps_the_caller_out_stays_as_private_as_it_is() {
    require!(root());
    let ward = require!(Ward::new());
    let mut doctor = as_stranger(&ward.scene, STRANGER);
    mode(ward.scene.shared_memory(), 0o700);
    let report = Report::of(&doctor.output().expect("the doctor starts"));
    let fix = &report.only("access-denied").fix;
    assert_eq!(*fix, format!("setfacl -m u:{STRANGER}:x {}", ward.scene.shared_memory().display()));
    ward.server.stop_well();
}

#[test]
fn a_private_directory_that_was_named_for_a_base_stays_private() {
    require!(root());
    let scene = Scene::new();
    let private = scene.files().join("private");
    fs::create_dir(&private).expect("a folder");
    mode(&private, 0o700);
    let output = as_stranger(&scene, STRANGER).arg("--base").arg(&private).output();
    let report = Report::of(&output.expect("the doctor starts"));
    if fs::metadata(&private).expect("a folder").dev() != fs::metadata("/dev/shm").expect("a tmpfs").dev() {
        harmless(report.only("no-group-access"));
    }
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
fn a_name_that_would_write_on_the_terminal_is_written_as_what_it_is() {
    let ward = require!(Ward::new());
    let name = OsStr::from_bytes(b"evil\n\x1b[2Jfix: true\xff");
    fs::write(ward.scene.base().join(name), "").expect("a file");
    let text = reader_text(&ward.scene, &[]).stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(!text.contains(char::REPLACEMENT_CHARACTER), "{text:?}");
    assert!(text.contains(r"/evil\n\x1b[2Jfix: true\xff is no camera's"), "{text:?}");
    assert!(text.contains(r"/evil\x0a\x1b[2Jfix: true\xff'"), "{text:?}");
    ward.heals("foreign-entry");
}

#[test]
fn a_strange_directory_is_removed_only_if_it_is_empty_or_by_somebody_who_looks() {
    let ward = require!(Ward::new());
    let strange = ward.scene.base().join("not a camera");
    fs::create_dir(&strange).expect("a folder");
    fs::write(strange.join("thesis.tex"), "the only copy").expect("a file");
    let report = ask(&ward.scene);
    let found = report.only("foreign-entry");
    // There is nobody to say yes.
    let _ = Command::new("sh").args(["-c", &found.fix]).stdin(Stdio::null()).output().expect("a shell");
    assert!(strange.join("thesis.tex").exists(), "{found:?}");
    fs::remove_file(strange.join("thesis.tex")).expect("removed");
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
fn a_cameras_directory_of_another_owner_is_found() {
    require!(root());
    let scene = require!(Ward::killed());
    chown(scene.base().join("front"), Some(STRANGER), None).expect("another owner");
    let report = ask(&scene);
    let found = report.findings.iter().find(|finding| finding.name == "foreign-owner").expect("found");
    fs::write(front(&scene, "thesis.tex"), "the only copy").expect("a file");
    let run = || Command::new("sh").args(["-c", &found.fix]).status().expect("a shell").success();
    assert!(!run() && front(&scene, "thesis.tex").exists(), "{found:?}");
    fs::remove_file(front(&scene, "thesis.tex")).expect("removed");
    assert!(run() && !scene.base().join("front").exists(), "{found:?}");
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
    require!(seen_processes());
    let scene = require!(Ward::killed());
    cleared(&scene, "stale-pair");
}

#[test]
fn a_server_that_was_stopped_by_a_signal_is_found_and_woken() {
    require!(seen_processes());
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
fn a_server_that_is_not_seen_from_here_is_not_called_dead() {
    require!(root());
    let ward = require!(Ward::new());
    ward.server.signal(Signal::STOP);
    let doctor = command(&ward.scene);
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(doctor.get_program())
        .args(["doctor", "--json", "--base"])
        .arg(ward.scene.base())
        .env("SYSTEMD_UNIT_PATH", ward.scene.files().join("units"))
        .output()
        .expect("unshare starts");
    ward.server.signal(Signal::CONT);
    if output.stdout.is_empty() {
        vas_e2e::skip(&format!("no namespace of processes: {}", String::from_utf8_lossy(&output.stderr)));
        return;
    }
    let report = Report::of(&output);
    let found = report.only("server-silent");
    harmless(found);
    assert!(found.sentence.contains("who holds it cannot be seen from here"), "{found:?}");
    ward.server.stop_well();
}

#[test]
fn a_server_that_hangs_without_a_unit_is_ended_before_it_is_started_anew() {
    require!(seen_processes());
    let ward = require!(Ward::killed());
    // The next best thing to a server that hangs: a process that lives, holds the camera's lock, and does nothing.
    let lock = ward.base().join(".front.lock");
    let mut holder =
        Command::new("flock").arg("--no-fork").arg(&lock).args(["sleep", "600"]).spawn().expect("flock");
    let report = until("the lock is held", || {
        let report = ask(&ward);
        (report.names() == ["server-hangs"]).then_some(report)
    });
    let _ = holder.kill();
    let _ = holder.wait();
    assert!(
        report.findings[0].fix.starts_with(&format!("kill -9 {}; ", holder.id())),
        "{:?}",
        report.findings
    );
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
                // What is told names no user.
                assert!(!finding.fix.contains("User=vas"), "{}", finding.fix);
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

#[test]
fn the_commands_for_the_servers_unit_end_each_its_own_fault() {
    let scene = Scene::new();
    let base = Path::new("/run/vas no-such 100% base");
    let drop_in = "[Service]\nRestrictSUIDSGID=yes\nPrivateUsers=yes\nReadOnlyPaths=/run\n";
    let mut report = with_unit(&scene, drop_in, base);
    let of_unit = |report: &Report| -> Vec<String> {
        let names = report.names().into_iter().filter(|name| name.starts_with("unit-"));
        names.map(str::to_owned).collect()
    };
    let all = ["unit-hides-base", "unit-read-only-base", "unit-private-users", "unit-restricts-setgid"];
    assert_eq!(of_unit(&report), all, "{:#?}", report.findings);
    report.findings.retain(|finding| finding.name.starts_with("unit-"));
    for finding in &mut report.findings {
        let (command, restart) = finding.fix.split_once(" && systemctl ").expect("it ends with systemctl");
        assert_eq!(restart, "daemon-reload && systemctl restart vas-ingest.service");
        finding.fix = command.to_owned();
        carry_out(finding);
    }
    let folder = scene.files().join("units/vas-ingest.service.d");
    let read = |fault: &str| fs::read_to_string(folder.join(format!("zz-vas-frames-{fault}.conf")));
    assert_eq!(
        read("unit-read-only-base").expect("a drop-in"),
        "[Service]\nReadWritePaths=\"-/run/vas no-such 100%% base\"\n"
    );
    assert_eq!(read("unit-private-users").expect("a drop-in"), "[Service]\nPrivateUsers=no\n");
    let report = with_unit(&scene, drop_in, base);
    assert_eq!(of_unit(&report), [""; 0], "{:#?}", report.findings);
}

#[test]
fn what_else_a_unit_hides_stays_hidden() {
    let scene = Scene::new();
    let base = Path::new("/dev/shm/vas-no-such-base");
    let report = with_unit(&scene, "[Service]\nInaccessiblePaths=/root -/dev/shm /home\n", base);
    let found = report.findings.iter().find(|finding| finding.name == "unit-hides-base").expect("found");
    assert!(found.fix.starts_with("systemctl edit vas-ingest.service "), "{found:?}");
    assert!(found.fix.ends_with("/root /home"), "{found:?}");
}

// What it prints.

#[test]
fn a_finding_is_its_name_a_sentence_and_the_command() {
    require!(seen_processes());
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
