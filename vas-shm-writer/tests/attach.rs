//! Is anybody there? Pixels are copied while somebody is, and not otherwise (`PROTOCOL.md`, section 11). The kernel says so: whoever
//! has `frame.meta` open or mapped counts, whatever it is and wherever it runs.

mod common;

use common::*;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Camera, ExportWhen, Exporter, ExporterConfig, NotExported, PictureFormat, Plane, SlotCount, Stamp,
};

const FLAGS: u64 = 60;
const IDLE: u32 = 1;

fn start(base: &Base) -> Exporter {
    // The default: while somebody is attached.
    Exporter::start(ExporterConfig::new(&base.0)).expect("the exporter starts")
}

/// A frame of the camera, as a server would do it. `Ok`: published.
fn frame(camera: &mut Camera, value: u8) -> Result<u64, NotExported> {
    frame_of(camera, SMALL, value)
}

fn frame_of(camera: &mut Camera, format: PictureFormat, value: u8) -> Result<u64, NotExported> {
    let (width, height) = (format.width as usize, format.height as usize);
    let mut slot = camera.slot(format)?;
    let pixels = vec![value; width * height];
    slot.write_nv12(Plane::new(&pixels, width), Plane::new(&pixels, width)).expect("the planes fit");
    Ok(slot.publish(Stamp::now()).get())
}

/// Frames until the camera's files are there. Nobody is attached yet.
fn until_idle(camera: &mut Camera) {
    until("files that nobody has open", || match frame(camera, 1) {
        Err(NotExported::Idle) => Some(()),
        Err(NotExported::Preparing) => None,
        other => panic!("{other:?}"),
    });
}

fn is_idle(meta: &File) -> bool {
    word_u32(meta, FLAGS) & IDLE != 0
}

/// Frames until the camera finds that nobody is there; a look every five seconds and a heartbeat, so well within the deadline.
fn until_deserted(camera: &mut Camera) {
    until("nobody is attached", || (frame(camera, 2) == Err(NotExported::Idle)).then_some(()));
}

/// Another process that has a file open as its descriptor 3. It has said so.
fn holder(script: &str, file: &Path) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start sh");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "holds\n");
    child
}

fn kill(mut child: Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
}

const HOLD: &str = "exec 3<\"$0\"; echo holds; exec cat";

// Proves IDLE-2.
#[test]
fn while_nobody_is_attached_no_pixel_is_written_no_number_is_spent_and_the_header_says_idle() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    for _ in 0..100 {
        assert_eq!(frame(&mut camera, 9), Err(NotExported::Idle));
    }
    assert_eq!(camera.counters().published, 0);
    let (meta, data) = (open(&base.meta("front")), fs::read(base.data("front")).unwrap());
    assert!(is_idle(&meta));
    assert_eq!(word_u64(&meta, FRAME_ID), 0);
    assert!(data.iter().all(|&byte| byte == 0), "a pixel was written");
}

// Proves IDLE-1, IDLE-3 and IDLE-4.
#[test]
fn whoever_opens_the_header_gets_the_very_next_frame_and_the_flag_is_cleared_after_it() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    for round in 0..50 {
        let meta = open(&base.meta("front"));
        assert!(is_idle(&meta));
        // The slot is there; until it is published the flag stays.
        let slot = camera.slot(SMALL).unwrap_or_else(|why| panic!("round {round}: {why}"));
        assert!(is_idle(&meta));
        let number = slot.publish(Stamp::now()).get();
        assert_eq!(word_u64(&meta, FRAME_ID), number);
        assert!(!is_idle(&meta));
        // Back to idle, without waiting for the five seconds.
        drop(meta);
        drop(camera);
        camera = exporter.camera(id("front")).unwrap();
        until_idle(&mut camera);
    }
}

// Proves IDLE-2 and PUB-10.
#[test]
fn a_camera_whose_last_reader_has_gone_is_idle_within_seconds_and_hands_out_no_old_picture() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let meta = open(&base.meta("front"));
    let last = until("a frame", || frame(&mut camera, 1).ok());
    drop(meta);
    until_deserted(&mut camera);
    let meta = open(&base.meta("front"));
    assert!(is_idle(&meta));
    assert!(
        SlotCount::DEFAULT.indices().all(|slot| word_u64(&meta, SLOT_TABLE + 64 * slot.get() as u64) == 0)
    );
    let next = frame(&mut camera, 3).unwrap();
    assert!(next > last, "numbers rise over an idle time");
}

// Proves IDLE-1.
#[test]
fn a_reader_that_closed_its_descriptor_and_kept_its_mapping_is_attached() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let map = memmap2::MmapOptions::new().map_raw_read_only(&open(&base.meta("front"))).unwrap();
    assert!(frame(&mut camera, 1).is_ok());
    drop(map);
    assert_eq!(idle_again(&exporter, camera), Err(NotExported::Idle));
}

/// What a camera that begins anew says of its first frame with files.
fn idle_again(exporter: &Exporter, camera: Camera) -> Result<u64, NotExported> {
    let id = *camera.id();
    drop(camera);
    let mut camera = exporter.camera(id).unwrap();
    until("files", || match frame(&mut camera, 1) {
        Err(NotExported::Preparing) => None,
        other => Some(other),
    })
}

// Proves IDLE-1.
#[test]
fn a_descriptor_that_can_only_name_the_file_is_nobody() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let named = look(&base.meta("front"));
    let _pixels_alone = open(&base.data("front"));
    for _ in 0..10 {
        assert_eq!(frame(&mut camera, 1), Err(NotExported::Idle));
    }
    drop(named);
}

// Proves IDLE-1.
#[test]
fn a_reader_that_is_killed_is_detached_by_the_kernel() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let reader = holder(HOLD, &base.meta("front"));
    assert!(frame(&mut camera, 1).is_ok());
    kill(reader);
    until_deserted(&mut camera);
}

// Proves IDLE-1.
#[test]
fn a_child_that_a_reader_forked_keeps_the_camera_awake_until_it_ends_too() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    // The shell ends; what it forked has its descriptor and reads standard input until that ends.
    let mut reader = holder("exec 3<\"$0\"; exec 4<&0; cat <&4 & echo holds", &base.meta("front"));
    let input = reader.stdin.take().expect("its standard input");
    reader.wait().expect("the end of the shell");
    // Longer than the look for readers takes.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) {
        frame(&mut camera, 1).expect("somebody is attached");
        std::thread::sleep(Duration::from_millis(40));
    }
    drop(input);
    until_deserted(&mut camera);
}

// Proves IDLE-1.
#[test]
fn a_program_that_is_no_reader_costs_pixels_and_nothing_else() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    // As a backup does: everything is opened and read, some of it for long.
    let backup = holder("exec 3<\"$0\"; cat \"$0\" > /dev/null; echo holds; exec cat", &base.meta("front"));
    let before = fs::read(base.meta("front")).unwrap();
    assert!(frame(&mut camera, 1).is_ok());
    kill(backup);
    until_deserted(&mut camera);
    let after = fs::read(base.meta("front")).unwrap();
    assert_eq!(before.len(), after.len());
    assert_eq!(before[64..104], after[64..104], "the constants are what they were");
}

// Proves IDLE-1.
#[test]
fn a_reader_in_a_mount_namespace_of_its_own_is_seen_through_a_read_only_bind_of_one_camera() {
    if !is_root() {
        return vas_test_support::skipped("needs root to make a mount namespace");
    }
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let inside = tempfile::tempdir().unwrap();
    let script = "mount --bind \"$0\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec 3<\"$1/frame.meta\" && echo holds && exec cat";
    let mut reader = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(base.path("front"))
        .arg(inside.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start unshare");
    let mut line = String::new();
    BufReader::new(reader.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line != "holds\n" {
        let _ = reader.wait();
        return vas_test_support::skipped("this system lets nobody make a mount namespace");
    }
    assert!(frame(&mut camera, 1).is_ok());
    kill(reader);
    until_deserted(&mut camera);
}

// Proves IDLE-1 and IDLE-4.
#[test]
fn a_server_that_is_not_root_is_told_of_readers_of_other_users_too() {
    const SERVER: u32 = 60010;
    if !is_root() {
        return vas_test_support::skipped("needs root to become another user");
    }
    let base = Base::new();
    fs::create_dir(&base.0).unwrap();
    std::os::unix::fs::chown(&base.0, Some(SERVER), Some(SERVER)).unwrap();
    fs::set_permissions(&base.0, fs::Permissions::from_mode(0o750)).unwrap();
    let path = base.0.clone();
    let (idle, is_idle) = std::sync::mpsc::channel();
    let (attached, is_attached) = std::sync::mpsc::channel();
    // This thread and the library's, which it starts, are the server.
    let server = std::thread::spawn(move || {
        let (uid, gid) = (rustix::process::Uid::from_raw(SERVER), rustix::process::Gid::from_raw(SERVER));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        let exporter = Exporter::start(ExporterConfig::new(&path)).unwrap();
        let mut camera = exporter.camera(id("front")).unwrap();
        until_idle(&mut camera);
        idle.send(()).unwrap();
        is_attached.recv().unwrap();
        assert!(frame(&mut camera, 1).is_ok());
        until_deserted(&mut camera);
        exporter.shutdown();
    });
    is_idle.recv().unwrap();
    // Of root's.
    let reader = holder(HOLD, &base.meta("front"));
    attached.send(()).unwrap();
    until("it was seen", || (word_u64(&open(&base.meta("front")), FRAME_ID) > 0).then_some(()));
    kill(reader);
    server.join().unwrap();
}

// Proves IDLE-3 and LIFE-5.
#[test]
fn a_successor_inherits_the_readers_of_its_predecessor() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let _old = open(&base.meta("front"));
    assert!(frame(&mut camera, 1).is_ok());
    // Nobody has the new files open yet: whoever has the old ones open is about to.
    until("the successor's first frame", || match frame_of(&mut camera, OTHER, 2) {
        Ok(_) => Some(()),
        Err(NotExported::Preparing) => None,
        Err(other) => panic!("{other}"),
    });
    let new = open(&base.meta("front"));
    assert!(!is_idle(&new));
    assert!(word_u64(&new, FRAME_ID) > 0);
    drop(new);
    // If nobody comes after all, it is noticed.
    until("nobody came", || (frame_of(&mut camera, OTHER, 3) == Err(NotExported::Idle)).then_some(()));
}

// Proves IDLE-5.
#[test]
fn who_opens_reads_and_closes_again_and_again_always_finds_the_next_frame() {
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let mut last = 0;
    for _ in 0..100 {
        let meta = open(&base.meta("front"));
        let number = frame(&mut camera, 1).expect("somebody is attached");
        assert!(number > last);
        last = number;
        assert_eq!(word_u64(&meta, FRAME_ID), number);
    }
}

// Proves IDLE-4 and TRUST-4.
#[test]
fn a_hundred_thousand_looks_beside_readers_that_open_and_close_all_the_time_end_nobody_and_refuse_no_plain_open()
 {
    const LOOKS: u64 = 100_000;
    let base = Base::new();
    let exporter = start(&base);
    let mut camera = exporter.camera(id("front")).unwrap();
    until_idle(&mut camera);
    let over = AtomicBool::new(false);
    let (opened, refused, waited) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for nonblocking in [false, true] {
            let (path, over) = (base.meta("front"), &over);
            let (opened, refused, waited) = (&opened, &refused, &waited);
            scope.spawn(move || {
                let flags = if nonblocking { rustix::fs::OFlags::NONBLOCK.bits() as i32 } else { 0 };
                while !over.load(Ordering::Relaxed) {
                    let since = Instant::now();
                    match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
                        Ok(_) => opened.fetch_add(1, Ordering::Relaxed),
                        Err(error) if nonblocking && error.kind() == std::io::ErrorKind::WouldBlock => {
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("{error}"),
                    };
                    if !nonblocking {
                        waited.fetch_max(since.elapsed().as_micros() as u64, Ordering::Relaxed);
                    }
                }
            });
        }
        let _ends = Over(&over);
        let mut looks = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        // On a busy machine no open may meet a look for long; until one has, nothing is proved.
        while looks < LOOKS || (refused.load(Ordering::Relaxed) == 0 && Instant::now() < deadline) {
            // Every one of them is a look while the camera is idle; one that finds somebody gives up its slot.
            match camera.slot(SMALL) {
                Ok(_) | Err(NotExported::Idle) => looks += 1,
                Err(other) => panic!("{other}"),
            }
        }
    });
    let [opened, refused, waited] = [opened, refused, waited].map(|counter| counter.load(Ordering::Relaxed));
    println!(
        "{LOOKS} looks and more, {opened} opens, {refused} told to come again, the longest plain open took {waited} us"
    );
    assert!(opened > 0 && refused > 0, "no open met a look: the test is blind");
}

#[test]
fn who_asks_for_it_exports_always() {
    let base = Base::new();
    let exporter = Exporter::start(ExporterConfig::new(&base.0).when(ExportWhen::Always)).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("a frame for nobody", || frame(&mut camera, 1).ok());
    assert!(!is_idle(&open(&base.meta("front"))));
}
