//! File systems without room, and file systems that lose it at the worst moment. Every store into a page that is not there would
//! be a SIGBUS, which ends this test program: that it goes on is a part of each verdict.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Color, ExportWhen, Exporter, ExporterConfig, NotExported, Nv12, PairSize, PictureFormat, Plane,
    SlotCount, Stamp,
};

/// 96 x 72 pixels take three slots of 16384 bytes and a page; 64 x 48 take three of 8192 and a page.
const LARGER: PictureFormat = PictureFormat::new(96, 72, Color::UNSPECIFIED);
const SMALL_BYTES: u64 = 3 * 8192 + 4096;
const LARGER_BYTES: u64 = 3 * 16384 + 4096;

fn no_mount() {
    vas_test_support::skipped("needs root to mount a tmpfs");
}

/// The one line of the library about this base that holds the words, waited for.
fn sentence(base: &Path, words: &str) -> String {
    until(words, || said_of(base).into_iter().find(|line| line.contains(words)))
}

/// Every byte of the newest frame.
fn newest_pixels(base: &Base) -> Vec<u8> {
    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    let header = header_of(&meta, &data).unwrap();
    let newest = vas_shm_proto::FrameId::new(word_u64(&meta, FRAME_ID)).unwrap();
    let mut pixels = vec![0; header.picture().data_size() as usize];
    data.read_exact_at(&mut pixels, header.slot_offset(newest.slot(header.slots()))).unwrap();
    pixels
}

// Proves LIFE-11 and LIFE-2.
#[test]
fn a_live_pair_goes_on_untouched_when_another_program_takes_every_byte() {
    let Some(mount) = Mount::of_size("256k") else { return no_mount() };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    // Not even all of its slots were written to before.
    let first = publish(&mut camera, SMALL, 1);
    let (meta, data) = (open(&mount.0.meta("front")), open(&mount.0.data("front")));
    let pages = (blocks(&meta), blocks(&data));
    mount.fill();
    assert_eq!(mount.free_bytes(), 0);
    let heart = word_u64(&meta, HEARTBEAT);
    let mut last = first;
    until("three heartbeats over a full file system", || {
        for value in 0..100 {
            last = publish(&mut camera, SMALL, value);
        }
        (word_u64(&meta, HEARTBEAT) > heart + 1_000_000_000).then_some(())
    });
    assert_eq!(mount.free_bytes(), 0);
    assert_eq!(camera.counters().published, last - first + 1, "not one frame was left out");
    assert!(newest_pixels(&mount.0).iter().all(|&byte| byte == 99), "the newest frame is whole");
    assert_eq!((blocks(&meta), blocks(&data)), pages);
    assert_eq!(fs::metadata(mount.0.meta("front")).unwrap().ino(), meta.metadata().unwrap().ino());
    assert_eq!(word_u32(&meta, STATE), LIVE);
    println!("{} frames into a file system with 0 bytes free", last - first);
}

// Proves LIFE-11.
#[test]
fn the_sentence_has_the_bytes_needed_the_bytes_free_and_what_to_do_and_is_said_once() {
    let Some(mount) = Mount::of_size("16k") else { return no_mount() };
    listen();
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("no room", || (camera.slot(SMALL).unwrap_err() == NotExported::NoRoom).then_some(()));
    let base = mount.0.0.display();
    let expected = format!(
        "no room in {base}: {SMALL_BYTES} bytes are needed, 16384 are free; make room or mount a larger tmpfs there"
    );
    let said = sentence(&mount.0.0, "no room in");
    assert!(said.contains(&expected), "{said}");
    // A little more is no news, and still too little.
    mount.resize("20k");
    // The option of the sentence, to the letter.
    let told = format!("mount -o remount,size=1m {base}");
    assert!(said.contains(&format!("(`{told}`; in a container: `--shm-size=1m`")), "{said}");
    let status = Command::new("sh").args(["-c", &told]).status().unwrap();
    assert!(status.success(), "{told}");
    until("exported", || camera.slot(SMALL).ok().map(drop));
    let told = said_of(&mount.0.0).iter().filter(|line| line.contains("no room in")).count();
    assert_eq!(told, 1);
}

// Proves LIFE-5 and LIFE-11.
#[test]
fn room_that_is_gone_at_a_change_of_geometry_costs_the_export_and_nothing_else() {
    let Some(mount) = Mount::of_size("64k") else { return no_mount() };
    listen();
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let (meta, data) = (open(&mount.0.meta("front")), look(&mount.0.data("front")));
    let filler = mount.fill();
    // What the old pair gives back is not enough for the new one.
    until("no room", || (camera.slot(LARGER).unwrap_err() == NotExported::NoRoom).then_some(()));
    assert_eq!(word_u32(&meta, STATE), STOPPED, "its readers are told");
    assert_eq!(blocks(&data), 0, "its memory is given back");
    let said = sentence(&mount.0.0, &format!("{LARGER_BYTES} bytes are needed"));
    assert!(said.contains(&format!("{} are free", mount.free_bytes())), "{said}");
    drop((meta, data));
    // The geometry that still has room is exported again, and the other one as soon as there is room.
    until("exported again", || match camera.slot(SMALL) {
        Ok(_) => Some(()),
        Err(NotExported::NoRoom | NotExported::Preparing) => None,
        Err(other) => panic!("{other}"),
    });
    fs::remove_file(filler).unwrap();
    until("the larger one", || camera.slot(LARGER).ok().map(drop));
}

// Proves LIFE-7 and TRUST-4.
#[test]
fn a_reader_that_fills_the_holes_of_what_is_over_without_end_keeps_no_camera_from_being_exported() {
    let (small, larger) =
        (PictureFormat::new(640, 480, Color::UNSPECIFIED), PictureFormat::new(800, 600, Color::UNSPECIFIED));
    // Room for the larger pair, and for no more than a page of what the smaller one had.
    let picture = Nv12::for_picture(larger.width, larger.height).unwrap();
    let room_bytes = PairSize::new(&picture, SlotCount::DEFAULT).total_bytes() + 4096;
    let Some(mount) = Mount::of_size(&room_bytes.to_string()) else { return no_mount() };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, small, 1);
    let data = open(&mount.0.data("front"));
    let map = memmap2::MmapOptions::new().map_raw_read_only(&data).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Where the kernel has no page it says so to this call, instead of sending SIGBUS.
                while !over.load(Relaxed) {
                    let _ = map.advise(memmap2::Advice::PopulateRead);
                }
            });
        }
        let _ends = Over(&over);
        until("the larger one", || camera.slot(larger).ok().map(drop));
    });
}

// Proves LIFE-11.
#[test]
fn room_that_is_taken_and_given_back_all_the_time_never_costs_a_signal() {
    let Some(mount) = Mount::of_size("96k") else { return no_mount() };
    let over = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        // The other program: as large as it can be, gone, as large as it can be. What it meets are the moments between the
        // question how much is free and the allocation.
        let filler = scope.spawn(|| {
            let mut rounds = 0_u64;
            while !over.load(Relaxed) {
                fs::remove_file(mount.fill()).unwrap();
                rounds += 1;
            }
            rounds
        });
        let ends = Over(&over);
        let exporter = mount.0.start();
        let mut published = 0;
        let mut no_room = 0_u64;
        for round in 0..600 {
            // A camera that is new builds at once; one that exists builds once a second at most.
            let mut camera = exporter.camera(id("front")).unwrap();
            let format = if round % 2 == 0 { SMALL } else { LARGER };
            let (width, height) = (format.width as usize, format.height as usize);
            let pixels = vec![round as u8; width * height];
            let found = until("an answer", || match camera.slot(format) {
                Ok(mut slot) => {
                    slot.write_nv12(Plane::new(&pixels, width), Plane::new(&pixels, width)).unwrap();
                    Some(Ok(slot.publish(Stamp::now())))
                }
                Err(NotExported::Preparing) => None,
                Err(why) => Some(Err(why)),
            });
            match found {
                Ok(_) => published += 1,
                Err(NotExported::NoRoom) => no_room += 1,
                Err(other) => panic!("{other}"),
            }
        }
        drop(ends);
        let rounds = filler.join().unwrap();
        println!(
            "600 births while the room came and went {rounds} times: {published} exported, {no_room} without room"
        );
        exporter.shutdown();
        published
    });
    assert!(published > 0, "the test is blind: there never was room");
    let left: Vec<_> = fs::read_dir(mount.0.path("front")).unwrap().collect();
    assert!(left.is_empty(), "nothing half-made stays: {left:?}");
}

// Proves LIFE-11.
#[test]
fn a_file_system_without_inodes_says_so_and_the_camera_comes_back_when_there_are_some() {
    // The root of the mount, then the lock, the camera's directory and two files.
    let needed = 5;
    let mounts: Vec<_> = (1..=needed)
        .map_while(|inodes| Mount::with_options(&format!("size=1m,nr_inodes={inodes}")))
        .collect();
    if mounts.len() < needed {
        return no_mount();
    }
    listen();
    let mut running: Vec<_> = mounts
        .iter()
        .map(|mount| {
            let exporter = mount.0.start();
            let camera = exporter.camera(id("front")).unwrap();
            (mount, exporter, camera)
        })
        .collect();
    let enough = running.pop();
    for ((mount, _, camera), lacks) in
        running.iter_mut().zip([".front.lock", "front", ".frame.data.new", ".frame.meta.new"])
    {
        until("no room", || (camera.slot(SMALL).unwrap_err() == NotExported::NoRoom).then_some(()));
        let said = sentence(&mount.0.0, "inodes of the file system are in use");
        assert!(said.contains(&format!("/{lacks}: cannot be made")), "{said}");
        assert!(said.contains("mount it with a larger nr_inodes"), "{said}");
        if mount.0.path("front").exists() {
            assert_eq!(fs::read_dir(mount.0.path("front")).unwrap().count(), 0, "nothing half-made stays");
        }
        mount.remount("nr_inodes=10");
    }
    let (mount, _exporter, mut camera) = enough.unwrap();
    publish(&mut camera, SMALL, 1);
    assert!(said_of(&mount.0.0).iter().all(|line| !line.contains("inodes")));
    for (_, _, camera) in &mut running {
        until("exported", || camera.slot(SMALL).ok().map(drop));
    }
}

// Proves LIFE-11 and LIFE-5.
#[test]
fn a_live_pair_goes_on_without_inodes_and_its_successor_comes_when_there_are_some() {
    let Some(mount) = Mount::with_options("size=1m,nr_inodes=5") else { return no_mount() };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    until("no room", || (camera.slot(LARGER).unwrap_err() == NotExported::NoRoom).then_some(()));
    publish(&mut camera, SMALL, 2);
    mount.remount("nr_inodes=10");
    until("the larger one", || camera.slot(LARGER).ok().map(drop));
}

// Proves LIFE-11.
#[test]
fn a_camera_that_cannot_fit_takes_nobodys_room_not_even_for_a_moment() {
    let Some(mount) = Mount::of_size("48m") else {
        return no_mount();
    };
    // More than there is at all would be refused by the kernel before the first page.
    fs::write(mount.0.path("another-programs-file"), vec![7; 16 << 20]).unwrap();
    let exporter =
        Exporter::start(ExporterConfig::new(mount.0.path("vas")).when(ExportWhen::Always)).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    let before = mount.free_bytes();
    let mut least = before;
    // A pair of 37 MB: a try to allocate it would fill the file system page by page before it fails.
    let large = PictureFormat::new(3840, 2160, Color::UNSPECIFIED);
    let deadline = Instant::now() + Duration::from_secs(30);
    while camera.slot(large).map(drop) != Err(NotExported::NoRoom) {
        assert!(Instant::now() < deadline, "no answer");
        least = least.min(mount.free_bytes());
    }
    // The directory and the lock take a page each at most.
    assert!(before - least <= 64 * 1024, "{least} of {before} bytes were left for others");
}
