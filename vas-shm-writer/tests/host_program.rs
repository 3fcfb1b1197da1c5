//! What the program that embeds the writer may rely on: its threads, its signals, its users, its log, its heart.

mod common;

use common::*;
use std::fs;
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Camera, ExportWhen, Exporter, ExporterConfig, Heartbeat, NotExported, PictureFormat, Plane, Slot, Stamp,
    monotonic_ns,
};

// Proves LIFE-8.
#[test]
fn a_heart_that_the_caller_lets_beat_stands_still_when_the_caller_does() {
    listen();
    let base = Base::new();
    let config = ExporterConfig::new(&base.0).when(ExportWhen::Always).heartbeat(Heartbeat::Caller);
    let exporter = Exporter::start(config).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    let at_start = word_u64(&meta, HEARTBEAT);
    assert!(at_start <= monotonic_ns(), "the start of the exporter is the first beat");
    // The library's thread is awake: it looks after the names at each of its own beats, and tells a successor the same.
    fs::remove_file(base.meta("front")).unwrap();
    publish_until(&mut camera, || base.meta("front").exists());
    let meta = open(&base.meta("front"));
    assert_eq!(word_u64(&meta, HEARTBEAT), at_start, "nobody has said that the program is alive");

    let before = monotonic_ns();
    exporter.beat();
    let after = monotonic_ns();
    until("the beat reaches the readers", || (word_u64(&meta, HEARTBEAT) != at_start).then_some(()));
    assert!((before..=after).contains(&word_u64(&meta, HEARTBEAT)));

    let silence = "has not said for 3 seconds that it is alive";
    until("the silence is said", || (!said_with(silence).is_empty()).then_some(()));
    exporter.beat();
    until("and its end", || (!said_with("says again that it is alive").is_empty()).then_some(()));
    assert_eq!(said_with(silence).len(), 1, "once, and not with each beat");
}

/// Frames until something has happened.
fn publish_until(camera: &mut Camera, mut happened: impl FnMut() -> bool) {
    until("what frames are waiting for", || {
        if let Ok(slot) = camera.slot(SMALL) {
            slot.publish(Stamp::now());
        }
        happened().then_some(())
    });
}

/// What the kernel says of this process's signals: pending, ignored, caught.
fn signals() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of_signals = ["ShdPnd:", "SigIgn:", "SigCgt:"];
    status
        .lines()
        .filter(|line| of_signals.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_signal_of_the_program_is_caught_ignored_or_raised() {
    let before = signals();
    assert_eq!(before.len(), 3);
    let base = Base::new();
    let exporter = Exporter::start(ExporterConfig::new(&base.0)).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("looks for readers", || (camera.slot(SMALL).err() == Some(NotExported::Idle)).then_some(()));
    assert_eq!(signals(), before);
    let reader = open(&base.meta("front"));
    camera.slot(SMALL).unwrap().publish(Stamp::now());
    drop((reader, camera));
    exporter.shutdown();
    assert_eq!(signals(), before);
}

#[test]
fn what_each_thread_may_have_is_a_promise() {
    fn may_move<T: Send + 'static>() {}
    fn may_be_shared<T: Sync>() {}
    may_move::<Exporter>();
    may_be_shared::<Exporter>();
    may_move::<Camera>();
    fn a_slot_stays_where_its_camera_is_borrowed<'c>(slot: Slot<'c>) -> Slot<'c> {
        slot
    }
    let _ = a_slot_stays_where_its_camera_is_borrowed;
}

#[test]
fn an_exporter_is_shared_by_the_threads_of_many_cameras_and_each_takes_its_camera_along() {
    let base = Base::new();
    let exporter = base.start();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (exporter, base) = (&exporter, &base);
            scope.spawn(move || {
                let name = format!("camera-{number}");
                let mut camera = exporter.camera(id(&name)).unwrap();
                publish(&mut camera, SMALL, number);
                exporter.beat();
                // And to another thread between two frames.
                let mut camera = std::thread::spawn(move || {
                    publish(&mut camera, SMALL, number);
                    camera
                })
                .join()
                .unwrap();
                let last = publish(&mut camera, SMALL, number);
                assert_eq!(word_u64(&open(&base.meta(&name)), FRAME_ID), last);
                assert_eq!(camera.counters().published, 3);
            });
        }
    });
}

#[test]
fn a_program_that_changes_its_user_after_the_start_exports_all_the_time_and_says_so_once() {
    const OTHER_USER: u32 = 60020;
    if !is_root() {
        return vas_test_support::skipped("needs root to become another user");
    }
    listen();
    let base = Base::new();
    let exporter = Exporter::start(ExporterConfig::new(&base.0)).unwrap();
    let mut camera = exporter.camera(id("changed-its-user")).unwrap();
    until("files", || (camera.slot(SMALL).err() == Some(NotExported::Idle)).then_some(()));
    // The frame path alone changes: the kernel gives leases to the owner of a file, and it is that no more.
    let said = || -> Vec<String> {
        let said = said_with("the kernel does not say whether anybody has the files open");
        said.into_iter().filter(|line| line.contains("changed-its-user")).collect()
    };
    let meta = open(&base.meta("changed-its-user"));
    std::thread::spawn(move || {
        let uid = rustix::process::Uid::from_raw(OTHER_USER);
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        let frame = |camera: &mut Camera| {
            camera.slot(SMALL).expect("nobody can be asked, so everybody is served").publish(Stamp::now());
        };
        (0..100).for_each(|_| frame(&mut camera));
        assert_eq!(camera.counters().published, 100);
        until("it is said", || (!said().is_empty()).then_some(()));
        let then = word_u64(&meta, HEARTBEAT);
        until("two heartbeats, with each of which it could be said again", || {
            frame(&mut camera);
            (word_u64(&meta, HEARTBEAT) > then + 600_000_000).then_some(())
        });
    })
    .join()
    .unwrap();
    let said = said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("Permission denied"), "{said:?}");
}

#[test]
fn trouble_is_said_when_it_begins_and_not_with_each_frame() {
    listen();
    let base = Base::new();
    let first = base.start();
    let mut owner = first.camera(id("held-twice")).unwrap();
    publish(&mut owner, SMALL, 1);
    let second = base.start();
    let mut camera = second.camera(id("held-twice")).unwrap();
    let since = Instant::now();
    let mut refused = 0;
    // Longer than two tries of the library's thread take.
    let deadline = since + Duration::from_secs(60);
    while since.elapsed() < Duration::from_millis(2500) || (refused <= 10 && Instant::now() < deadline) {
        refused += u32::from(camera.slot(SMALL).err() == Some(NotExported::HeldByAnother));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(refused > 10, "{refused}");
    // The answer is there a moment before it is said.
    let said: Vec<_> = until("it is said", || {
        let said = said_with("another process exports this camera").into_iter();
        let said: Vec<_> = said.filter(|line| line.contains("held-twice")).collect();
        (!said.is_empty()).then_some(said)
    });
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn the_frame_path_is_never_held_up_while_files_are_made() {
    let attempt = || {
        let base = Base::new();
        let exporter = base.start();
        let mut camera = exporter.camera(id("front")).unwrap();
        let since = Instant::now();
        publish(&mut camera, SMALL, 1);
        let before = camera.counters();
        // Each of these formats needs files of its own; a frame that would have to wait for them is counted and dropped.
        let mut given_up = 0;
        for width in [128, 256, 512] {
            let format = PictureFormat::new(width, 64, SMALL.color);
            given_up += u64::from(camera.slot(format).err() == Some(NotExported::Preparing));
        }
        let after = camera.counters();
        // And the format that has files goes on in them meanwhile.
        let slot = camera.slot(SMALL);
        // For the second that a pair lives at least.
        if since.elapsed() >= Duration::from_secs(1) {
            return false;
        }
        assert_eq!(given_up, 3, "files do not appear within a call");
        assert_eq!(after.not_exported - before.not_exported, 3);
        let mut slot = slot.unwrap();
        let pixels = vec![3; 64 * 48];
        slot.write_nv12(Plane::new(&pixels, 64), Plane::new(&pixels, 64)).unwrap();
        slot.publish(Stamp::now());
        true
    };
    assert!((0..20).any(|_| attempt()), "this machine stands still for a second each time");
}
