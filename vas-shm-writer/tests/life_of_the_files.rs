//! Start, publication, replacement, retirement, stop, and what a killed server leaves (`PROTOCOL.md`, life of the files).

mod common;

use common::*;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_shm_writer::{
    Color, ColorRange, FillError, NotExported, PictureFormat, Plane, SlotCount, SourceState, Stamp,
};

// Proves FILE-7.
#[test]
fn nothing_but_the_base_is_made_before_the_first_frame() {
    let base = Base::new();
    let exporter = base.start();
    let _camera = exporter.camera(id("front")).unwrap();
    assert_eq!(fs::read_dir(&base.0).unwrap().count(), 0);
}

// Proves LIFE-1, LIFE-11 and FILE-6.
#[test]
fn the_first_frame_makes_a_pair_that_passes_every_check_of_a_reader() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let color = Color { range: ColorRange::Full, primaries: 1, transfer: 1, matrix: 1 };
    let format = PictureFormat::new(641, 479, color);
    let first = publish(&mut camera, format, 7);
    let second = publish(&mut camera, format, 8);
    assert_eq!(second, first + 1);

    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    let header = header_of(&meta, &data).unwrap();
    assert_eq!((header.picture().width(), header.picture().height()), (641, 479));
    assert_eq!(header.color(), color);
    assert_eq!(header.at_copy().frame_id, second);
    assert_eq!(meta.metadata().unwrap().len(), 4096);
    // Every page is there: no store can find the file system full.
    assert!(blocks(&data) * 512 >= header.data_file_size());

    let slot = vas_shm_proto::FrameId::new(second).unwrap().slot(header.slots());
    let mut row = [0; 642];
    let offset = header.slot_offset(slot);
    data.read_exact_at(&mut row[..641], offset + 478 * u64::from(header.picture().stride_bytes())).unwrap();
    assert_eq!(row[..641], [8; 641]);
    data.read_exact_at(&mut row, offset + header.picture().uv_offset()).unwrap();
    assert_eq!(row, [8; 642]);
}

// Proves FILE-5.
#[test]
fn directories_and_files_have_the_modes_of_the_contract() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let mode = |path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(base.0.clone()), 0o750);
    assert_eq!(mode(base.path("front")), 0o750);
    assert_eq!(mode(base.meta("front")), 0o640);
    assert_eq!(mode(base.data("front")), 0o640);
    assert_eq!(mode(base.path(".front.lock")), 0o600);
    // Only the two files ever have a visible name.
    let names: Vec<_> = fs::read_dir(base.path("front")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

// Proves PUB-8.
#[test]
fn a_slot_that_is_dropped_leaves_nothing_visible_and_its_number_for_the_next() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let first = publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    drop(camera.slot(SMALL).unwrap());
    assert_eq!(word_u64(&meta, FRAME_ID), first);
    let held: Vec<u64> = (0..3).map(|slot| word_u64(&meta, SLOT_TABLE + 64 * slot)).collect();
    assert!(held.contains(&first) && !held.contains(&(first + 1)), "{held:?}");
    assert_eq!(publish(&mut camera, SMALL, 2), first + 1);
}

// Proves PUB-8.
#[test]
fn a_slot_that_owns_its_camera_is_published_abandoned_and_dropped_as_one_that_borrows_it() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let first = publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));

    let camera = camera.into_slot(SMALL).unwrap().abandon();
    assert_eq!(word_u64(&meta, FRAME_ID), first);
    // Another thread's business by now: nothing of it is borrowed.
    let slot = camera.into_slot(SMALL).unwrap();
    let (camera, second) = std::thread::spawn(move || {
        let mut slot = slot;
        slot.write_nv12(Plane::new(&[2; 64 * 48], 64), Plane::new(&[2; 64 * 24], 64)).unwrap();
        slot.publish(Stamp::at(5))
    })
    .join()
    .unwrap();
    assert_eq!((second.get(), word_u64(&meta, FRAME_ID)), (first + 1, first + 1));
    assert_eq!(camera.counters().published, 2);

    let (camera, why) = camera.into_slot(PictureFormat::new(0, 48, Color::UNSPECIFIED)).unwrap_err();
    assert_eq!(why, NotExported::Size);
    let slot = camera.into_slot(SMALL).unwrap();
    let since = Instant::now();
    drop(slot);
    base.await_end("front", since);
    assert_eq!(word_u64(&meta, FRAME_ID), first + 1);
    assert!(!base.meta("front").exists(), "a camera that was dropped with its slot is stopped");
    assert!(exporter.camera(id("front")).is_ok());
}

#[test]
fn planar_pictures_are_interleaved_on_their_way_in_whatever_their_strides() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let format = PictureFormat::new(5, 3, Color::UNSPECIFIED);
    publish(&mut camera, format, 0);
    let luma: Vec<u8> = (0..21).collect();
    let (cb, cr): (Vec<u8>, Vec<u8>) = ((100..109).collect(), (200..209).collect());
    let mut slot = camera.slot(format).unwrap();
    slot.write_yuv420p(Plane::new(&luma, 8), Plane::new(&cb, 6), Plane::new(&cr, 6)).unwrap();
    let published = slot.publish(Stamp::at(1).damaged(true));

    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    let header = header_of(&meta, &data).unwrap();
    let slot = published.slot(header.slots());
    let row = |offset: u64, len: usize| {
        let mut bytes = vec![0; len];
        data.read_exact_at(&mut bytes, header.slot_offset(slot) + offset).unwrap();
        bytes
    };
    assert_eq!(row(0, 5), [0, 1, 2, 3, 4]);
    assert_eq!(row(2 * 64, 5), [16, 17, 18, 19, 20]);
    assert_eq!(row(3 * 64, 6), [100, 200, 101, 201, 102, 202]);
    assert_eq!(row(4 * 64, 6), [106, 206, 107, 207, 108, 208]);
    assert_eq!(word_u64(&meta, SLOT_TABLE + 64 * slot.get() as u64 + 24), 1, "the damaged flag");
}

#[test]
fn planes_that_do_not_hold_the_picture_are_refused_and_nothing_is_published() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let first = publish(&mut camera, SMALL, 1);
    let mut slot = camera.slot(SMALL).unwrap();
    let short = vec![0; 64 * 48 - 1];
    let chroma = vec![0; 64 * 24];
    assert_eq!(
        slot.write_nv12(Plane::new(&short, 64), Plane::new(&chroma, 64)),
        Err(FillError::Length { plane: "luma", have: 3071, need: 3072, rows: 48, stride_bytes: 64 })
    );
    assert_eq!(
        slot.write_nv12(Plane::new(&chroma, 63), Plane::new(&chroma, 64)),
        Err(FillError::Stride { plane: "luma", stride_bytes: 63, row_bytes: 64 })
    );
    drop(slot);
    assert_eq!(word_u64(&open(&base.meta("front")), FRAME_ID), first);
}

#[test]
fn a_picture_without_an_exportable_size_is_refused() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    for (width, height) in [(0, 10), (10, 0), (16385, 10), (10, 16385)] {
        let format = PictureFormat::new(width, height, Color::UNSPECIFIED);
        assert_eq!(camera.slot(format).unwrap_err(), NotExported::Size);
    }
    assert_eq!(camera.counters().not_exported, 4);
}

// Proves LIFE-5, PIC-3 and HEAD-10.
#[test]
fn a_new_geometry_gets_a_new_pair_and_the_old_one_says_replaced() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let last_of_old = publish(&mut camera, SMALL, 1);
    let (old_meta, old_data) = (open(&base.meta("front")), open(&base.data("front")));
    let old = header_of(&old_meta, &old_data).unwrap();

    let first_of_new = publish(&mut camera, OTHER, 2);
    assert_eq!(word_u32(&old_meta, STATE), REPLACED);
    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    let new = header_of(&meta, &data).unwrap();
    assert_eq!((new.picture().width(), new.picture().height()), (32, 24));
    assert!(new.generation() > old.generation());
    assert!(first_of_new > last_of_old);
    // The courtesy: whoever works on the last frame of the old pair still finds it.
    assert!(blocks(&old_data) > 0);
}

#[test]
fn a_geometry_that_comes_back_before_its_pair_was_replaced_goes_on_in_it() {
    let attempt = || {
        let base = Base::new();
        let exporter = base.start();
        let mut camera = exporter.camera(id("front")).unwrap();
        let since = Instant::now();
        let first = publish(&mut camera, SMALL, 1);
        let inode = fs::metadata(base.meta("front")).unwrap().ino();
        // Within the second that a pair lives at least, so the files cannot have been exchanged yet.
        let why = camera.slot(OTHER).err();
        let second = publish(&mut camera, SMALL, 2);
        let found = (why, second, fs::metadata(base.meta("front")).map(|meta| meta.ino()).ok());
        let is_within = since.elapsed() < Duration::from_secs(1);
        if is_within {
            assert_eq!(found, (Some(NotExported::Preparing), first + 1, Some(inode)));
        }
        is_within
    };
    assert!((0..20).any(|_| attempt()), "this machine stands still for a second each time");
}

fn no_frame_validates(meta: &File, slots: SlotCount) -> bool {
    slots.indices().all(|slot| word_u64(meta, SLOT_TABLE + 64 * slot.get() as u64) == 0)
}

// Proves LIFE-7, PUB-10 and TRUST-4.
#[test]
fn a_replaced_pair_that_nobody_has_open_is_given_back_before_the_next_one_is_made() {
    // Large, so that making a pair takes long enough to be looked at.
    let large = PictureFormat::new(3840, 2160, Color::UNSPECIFIED);
    let larger = PictureFormat::new(3840, 2176, Color::UNSPECIFIED);
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, large, 1);
    // The header alone shows nobody a pixel.
    let meta = open(&base.meta("front"));
    let first = look(&base.data("front"));
    publish(&mut camera, larger, 2);

    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let under_construction = base.path("front/.frame.data.new");
            let deadline = Instant::now() + Duration::from_secs(60);
            while !is_done.load(Ordering::Relaxed) && Instant::now() < deadline {
                // In this order: once there is anything of the third, there must be nothing of the first.
                if fs::metadata(&under_construction).is_ok_and(|third| third.blocks() > 0) {
                    assert_eq!(blocks(&first), 0, "three pairs take memory at the same time");
                }
            }
        });
        publish(&mut camera, large, 3);
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(blocks(&first), 0);
    assert!(no_frame_validates(&meta, SlotCount::DEFAULT));
}

// Proves LIFE-7, PUB-10 and TRUST-4.
#[test]
fn a_pair_that_a_reader_keeps_is_emptied_ten_seconds_after_its_end_and_again_when_the_reader_fills_its_holes()
{
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    let header = header_of(&meta, &data).unwrap();
    let map = memmap2::MmapOptions::new().map_raw_read_only(&data).unwrap();
    let lasts = Instant::now();
    publish(&mut camera, OTHER, 2);
    until("the replaced pair is emptied", || (blocks(&data) == 0).then_some(()));
    assert!(lasts.elapsed() >= Duration::from_secs(10), "{:?}", lasts.elapsed());
    assert!(no_frame_validates(&meta, header.slots()));
    // Looking at a hole through a mapping makes the kernel allocate it again; a mapping that is filled at once looks at all.
    // The next heartbeat may have come before this test looks.
    let again = until("what is looked at takes memory", || {
        let again = memmap2::MmapOptions::new().populate().map_raw_read_only(&data).unwrap();
        (blocks(&data) > 0).then_some(again)
    });
    until("the holes are made again", || (blocks(&data) == 0).then_some(()));
    drop((map, again));
}

// Proves LIFE-7 and TRUST-4.
#[test]
fn a_reader_that_keeps_every_pair_delays_no_change_where_there_is_room_and_memory_stays_at_two_pairs() {
    listen();
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("kept")).unwrap();
    let mut kept = Vec::new();
    for round in 0..4 {
        publish(&mut camera, if round % 2 == 0 { SMALL } else { OTHER }, round);
        kept.push(open(&base.data("kept")));
        let taking_memory = kept.iter().filter(|data| blocks(data) > 0).count();
        assert!(taking_memory <= 2, "{taking_memory} pairs take memory in round {round}");
    }
    let said = said_with("camera=kept");
    assert!(!said.iter().any(|line| line.contains("not exported")), "a change was delayed: {said:?}");
}

// Proves LIFE-7 and LIFE-9.
#[test]
fn files_that_are_removed_again_and_again_while_a_reader_keeps_each_take_the_memory_of_two_pairs_at_most() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let mut kept = Vec::new();
    for round in 0..4 {
        // A slot of the last pair may be had until the end that was just told has been carried out.
        until("a pair of this round", || {
            publish(&mut camera, SMALL, round);
            base.meta("front").exists().then_some(())
        });
        let meta = open(&base.meta("front"));
        kept.push(open(&base.data("front")));
        let taking_memory = kept.iter().filter(|data| blocks(data) > 0).count();
        assert!(taking_memory <= 2, "{taking_memory} pairs take memory in round {round}");
        fs::remove_file(base.meta("front")).unwrap();
        until("the pair is given up", || (word_u32(&meta, STATE) == STOPPED).then_some(()));
    }
}

// Proves LIFE-4 and FILE-7.
#[test]
fn a_camera_that_stops_says_so_removes_its_files_and_keeps_its_directory() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    let since = Instant::now();
    drop(camera);
    base.await_end("front", since);
    assert_eq!(word_u32(&meta, STATE), STOPPED);
    assert_eq!(fs::read_dir(base.path("front")).unwrap().count(), 0);
    // And may be started again.
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let since = Instant::now();
    camera.remove();
    base.await_end("front", since);
    if since.elapsed() >= STOP_TIMEOUT {
        until("the directory goes", || (!base.path("front").exists()).then_some(()));
    }
    assert!(!base.path("front").exists());
}

// Proves LIFE-4 and LIFE-7.
#[test]
fn an_exporter_that_shuts_down_removes_everything_and_gives_the_memory_back_whoever_keeps_it_open() {
    let base = Base::new();
    let exporter = base.start();
    let mut cameras = Vec::new();
    for name in ["front", "yard"] {
        let mut camera = exporter.camera(id(name)).unwrap();
        publish(&mut camera, SMALL, 1);
        cameras.push(camera);
    }
    let (meta, data) = (open(&base.meta("yard")), open(&base.data("yard")));
    let since = Instant::now();
    exporter.shutdown();
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(500), "a reader has half a second to let go, and had {took:?}");
    assert!(took < Duration::from_secs(9), "the end of a server does not wait as a live one does: {took:?}");
    assert_eq!(word_u32(&meta, STATE), STOPPED);
    assert_eq!(blocks(&data), 0);
    assert!(!base.meta("front").exists() && !base.data("yard").exists());
    assert_eq!(cameras[0].slot(SMALL).unwrap_err(), NotExported::ShutDown);
}

#[test]
fn an_id_is_exported_once_and_free_again_after_a_stop() {
    let base = Base::new();
    let exporter = base.start();
    let camera = exporter.camera(id("front")).unwrap();
    let error = exporter.camera(id("front")).unwrap_err();
    assert_eq!(error.to_string(), "camera front is exported already");
    drop(camera);
    exporter.camera(id("front")).unwrap();
}

// Proves LIFE-12.
#[test]
fn what_a_killed_server_left_is_ended_and_removed_before_anything_is_exported_and_its_memory_given_back() {
    let base = Base::new();
    {
        let exporter = base.start();
        let mut camera = exporter.camera(id("front")).unwrap();
        publish(&mut camera, SMALL, 1);
        // A copy stands for the files of a server that was killed; its lock is there and nobody holds it.
        fs::create_dir(base.path("left")).unwrap();
        fs::write(base.path(".left.lock"), b"").unwrap();
        fs::copy(base.data("front"), base.data("left")).unwrap();
        fs::copy(base.meta("front"), base.meta("left")).unwrap();
        let meta = fs::OpenOptions::new().write(true).open(base.meta("left")).unwrap();
        let inode = fs::metadata(base.data("left")).unwrap().ino();
        meta.write_all_at(&inode.to_le_bytes(), DATA_INODE).unwrap();
    }
    fs::write(base.path("left").join(".frame.meta.new"), b"half a header").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", base.path("left").join(".frame.data.new")).unwrap();
    let (meta, data) = (open(&base.meta("left")), open(&base.data("left")));
    let seen = look(&base.data("left"));
    assert_eq!(word_u32(&meta, STATE), LIVE);
    let _exporter = base.start();
    assert_eq!(fs::read_dir(base.path("left")).unwrap().count(), 0);
    assert_eq!(word_u32(&meta, STATE), STOPPED, "a reader that still has it mapped is told");
    assert!(no_frame_validates(&meta, SlotCount::DEFAULT));
    assert!(blocks(&data) > 0, "and may go on with the pixels that it works on");
    assert!(fs::metadata("/etc/passwd").unwrap().len() > 0);
    drop(data);
    until("the memory is given back once the reader lets go", || (blocks(&seen) == 0).then_some(()));
}

// Proves LIFE-10.
#[test]
fn a_second_server_waits_for_the_first_without_touching_its_files() {
    let base = Base::new();
    let first = base.start();
    let mut camera = first.camera(id("front")).unwrap();
    let id_of_first = publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));

    let second = base.start();
    let mut rival = second.camera(id("front")).unwrap();
    until("the rival is told", || {
        (rival.slot(SMALL).unwrap_err() == NotExported::HeldByAnother).then_some(())
    });
    assert_eq!(word_u32(&meta, STATE), LIVE);
    assert_eq!(publish(&mut camera, SMALL, 2), id_of_first + 1);

    drop(camera);
    let id_of_second =
        until("the rival takes over", || rival.slot(SMALL).ok().map(|slot| slot.publish(Stamp::now())));
    assert!(id_of_second.get() > id_of_first + 1, "numbers go on rising from one server to the next");
}

// Proves LIFE-9.
#[test]
fn files_that_are_taken_away_come_back_by_themselves() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    for what in [base.meta("front"), base.path("front"), base.path(".front.lock"), base.0.clone()] {
        let meta = open(&base.meta("front"));
        until("it is removed", || match fs::metadata(&what).map(|what| what.is_dir()) {
            // What was removed may be made again before the whole is gone.
            Ok(true) => match fs::remove_dir_all(&what) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => None,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(()),
                removed => {
                    removed.unwrap();
                    Some(())
                }
            },
            Ok(false) => {
                fs::remove_file(&what).unwrap();
                Some(())
            }
            Err(error) => panic!("{}: {error}", what.display()),
        });
        until("the old pair says stopped", || {
            publish_if_possible(&mut camera);
            (word_u32(&meta, STATE) == STOPPED).then_some(())
        });
        until("a new pair is there", || {
            publish_if_possible(&mut camera);
            fs::metadata(base.meta("front"))
                .is_ok_and(|new| new.ino() != meta.metadata().unwrap().ino())
                .then_some(())
        });
    }
    publish(&mut camera, SMALL, 2);
}

fn publish_if_possible(camera: &mut vas_shm_writer::Camera) {
    if let Ok(slot) = camera.slot(SMALL) {
        slot.publish(Stamp::now());
    }
}

// Proves CLOCK-1 and HEAD-11.
#[test]
fn all_times_are_of_the_monotonic_clock() {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    };
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let before = now();
    let frame = publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    let record = 256 + 64 * (frame % 3);
    let (newest, of_frame, heartbeat, generation) =
        (word_u64(&meta, 16), word_u64(&meta, record + 8), word_u64(&meta, HEARTBEAT), word_u64(&meta, 96));
    let after = now();
    assert_eq!(newest, of_frame, "the mirror shows the newest frame's time");
    for time in [of_frame, heartbeat, generation] {
        assert!((before..=after).contains(&time), "{before} <= {time} <= {after}");
    }
}

// Proves HEAD-9.
#[test]
fn the_first_number_of_a_pair_is_that_of_its_birth_also_after_a_change_of_geometry() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let mut previous = 0;
    for format in [SMALL, OTHER] {
        let first = publish(&mut camera, format, 1);
        let header = header_of(&open(&base.meta("front")), &open(&base.data("front"))).unwrap();
        assert_eq!(first, (header.generation() / 1000).max(previous + 1));
        previous = publish(&mut camera, format, 2);
    }
}

// Proves LIFE-10.
#[test]
fn a_child_that_the_embedding_program_forks_inherits_no_mapping_of_the_files() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let ours = base.path("front").display().to_string();
    let mut flags = Vec::new();
    let mut lines = smaps.lines();
    while lines.any(|line| line.contains(&ours)) {
        flags.extend(lines.find_map(|line| line.strip_prefix("VmFlags:")));
    }
    assert_eq!(flags.len(), 2, "frame.meta and frame.data are mapped once each");
    for flags in flags {
        assert!(flags.split_whitespace().any(|flag| flag == "dc"), "do not copy on fork: {flags}");
    }
}

// Proves LIFE-4 and LIFE-9.
#[test]
fn a_server_whose_lock_was_taken_over_leaves_the_files_of_its_successor_alone() {
    let base = Base::new();
    let (first, second) = (base.start(), base.start());
    let (mut loser, mut winner) = (first.camera(id("front")).unwrap(), second.camera(id("front")).unwrap());
    publish(&mut loser, SMALL, 1);
    // Whoever makes the lock anew is the writer; the first one may be so again before the second one asks.
    until("the second server has the camera", || {
        let _ = fs::remove_file(base.path(".front.lock"));
        // It asks once a second; until it has, its answer is that of the lock before this one, and the next removal could take its own.
        let removed_at = Instant::now();
        until("an answer", || match winner.slot(SMALL) {
            Ok(slot) => Some(Some(slot.publish(Stamp::now()))),
            Err(NotExported::Preparing) => None,
            Err(NotExported::HeldByAnother) => {
                (removed_at.elapsed() > Duration::from_secs(3)).then_some(None)
            }
            Err(other) => panic!("{other}"),
        })
    });
    let (meta, data) = (open(&base.meta("front")), open(&base.data("front")));
    until("the first server has noticed", || {
        (loser.slot(SMALL).map(drop) == Err(NotExported::HeldByAnother)).then_some(())
    });
    for (file, name) in [(&meta, base.meta("front")), (&data, base.data("front"))] {
        let named = fs::metadata(&name).map(|named| named.ino()).ok();
        assert_eq!(named, Some(file.metadata().unwrap().ino()), "{}", name.display());
    }
    assert_eq!(word_u32(&meta, STATE), LIVE);
    assert!(winner.slot(SMALL).is_ok());
}

// Proves LIFE-5.
#[test]
fn a_geometry_that_changes_all_the_time_gets_one_pair_a_second_at_most() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let since = Instant::now();
    for format in [SMALL, OTHER, SMALL] {
        publish(&mut camera, format, 1);
    }
    assert!(since.elapsed() >= Duration::from_secs(2), "three pairs in {:?}", since.elapsed());
}

// Proves LIFE-3 and LIFE-8.
#[test]
fn the_heart_beats_without_frames_and_the_state_follows_the_source() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    camera.set_frame_period(Some(Duration::from_millis(40)));
    publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    assert_eq!(word_u64(&meta, 112), 40_000_000);
    let first = word_u64(&meta, HEARTBEAT);
    assert!(first > 0, "it is set before the files are visible");
    camera.set_source_state(SourceState::Stalled);
    until("stalled", || (word_u32(&meta, STATE) == STALLED).then_some(()));
    until("a heartbeat", || (word_u64(&meta, HEARTBEAT) > first).then_some(()));
    camera.set_source_state(SourceState::Live);
    until("live", || (word_u32(&meta, STATE) == LIVE).then_some(()));
}

#[test]
fn another_thread_tells_readers_of_a_stall_and_knows_who_is_there_and_what_the_files_take() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let monitor = camera.monitor();
    assert_eq!((monitor.file_bytes(), monitor.is_watched()), (0, false));
    publish(&mut camera, SMALL, 1);
    let meta = open(&base.meta("front"));
    std::thread::scope(|scope| {
        // The camera's own thread waits for a frame all the time.
        let watchdog = scope.spawn(|| {
            monitor.set_source_state(SourceState::Stalled);
            until("stalled", || (word_u32(&meta, STATE) == STALLED).then_some(()));
        });
        watchdog.join().unwrap();
    });
    camera.set_source_state(SourceState::Live);
    until("live", || (word_u32(&meta, STATE) == LIVE).then_some(()));
    // Two heartbeats later, at which the library's thread tells the state again.
    for _ in 0..2 {
        let beat = word_u64(&meta, HEARTBEAT);
        until("a heartbeat", || (word_u64(&meta, HEARTBEAT) > beat).then_some(()));
    }
    until("live", || (word_u32(&meta, STATE) == LIVE).then_some(()));

    let pair_bytes = [base.meta("front"), base.data("front")].map(|path| fs::metadata(path).unwrap().len());
    until("its size", || (monitor.file_bytes() == pair_bytes.iter().sum::<u64>()).then_some(()));
    assert!(monitor.is_watched());
    drop(meta);
    until("nobody is there", || (!monitor.is_watched()).then_some(()));
    drop(camera);
    // A camera that has ended hears nothing.
    monitor.set_source_state(SourceState::Stalled);
}

// Proves LIFE-9 and PUB-7.
#[test]
fn a_lock_that_is_removed_under_a_frame_does_not_empty_what_is_being_filled() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    // Nobody has the pixels open, so only the slot stands between them and their end.
    let (meta, data) = (open(&base.meta("front")), look(&base.data("front")));
    let header = header_of(&meta, &data).unwrap();
    let mut slot = camera.slot(SMALL).unwrap();
    slot.write_nv12(Plane::new(&[7; 64 * 48], 64), Plane::new(&[7; 64 * 24], 64)).unwrap();
    fs::remove_file(base.path(".front.lock")).unwrap();
    until("the pair is given up and another is there", || {
        fs::metadata(base.meta("front"))
            .is_ok_and(|new| new.ino() != meta.metadata().unwrap().ino())
            .then_some(())
    });
    // Opened before the slot is done: from here on somebody has them open.
    let data = open(&PathBuf::from(format!("/proc/self/fd/{}", data.as_raw_fd())));
    let published = slot.publish(Stamp::now());
    let mut pixels = vec![0; 64 * 72];
    data.read_exact_at(&mut pixels, header.slot_offset(published.slot(header.slots()))).unwrap();
    assert!(pixels.iter().all(|&byte| byte == 7), "the frame that was published is not whole");
    drop(camera);
}

// Proves LIFE-12 and LIFE-2.
#[test]
fn leftover_pixels_stay_as_they_are_where_readers_cannot_be_told() {
    let base = Base::new();
    {
        let exporter = base.start();
        let mut camera = exporter.camera(id("front")).unwrap();
        publish(&mut camera, SMALL, 1);
        for name in ["alone", "mixed", "unguarded", "ended"] {
            fs::create_dir(base.path(name)).unwrap();
            fs::copy(base.data("front"), base.data(name)).unwrap();
            // A lock that an earlier server has had: to get it proves that server's end.
            fs::write(base.path(&format!(".{name}.lock")), b"").unwrap();
        }
        // Names another data file than the one that lies beside it.
        fs::copy(base.meta("front"), base.meta("mixed")).unwrap();
        for name in ["unguarded", "ended"] {
            fs::copy(base.meta("front"), base.meta(name)).unwrap();
            let meta = fs::OpenOptions::new().write(true).open(base.meta(name)).unwrap();
            let inode = fs::metadata(base.data(name)).unwrap().ino();
            meta.write_all_at(&inode.to_le_bytes(), DATA_INODE).unwrap();
        }
        // Somebody removed the lock, perhaps under a server that still writes.
        fs::remove_file(base.path(".unguarded.lock")).unwrap();
    }
    // Nobody has them open, so it is not for readers' sake that they stay.
    let kept = ["alone", "mixed", "unguarded", "ended"].map(|name| (name, look(&base.data(name))));
    let exporter = base.start();
    // Says when it is done with what it found.
    exporter.shutdown();
    for (name, data) in &kept {
        assert!(!base.data(name).exists());
        if *name == "ended" {
            assert_eq!(blocks(data), 0, "the control: its readers were told");
        } else {
            assert!(blocks(data) > 0, "{name}: a reader may still take these pixels for a whole frame");
        }
    }
}

#[test]
fn nothing_is_published_after_a_shutdown_even_by_a_frame_path_that_is_always_inside() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let frames = scope.spawn(|| {
            let mut published_after = 0;
            loop {
                let was_over = over.load(Ordering::SeqCst);
                match camera.slot(SMALL) {
                    Ok(slot) => {
                        std::thread::sleep(Duration::from_millis(30));
                        slot.publish(Stamp::now());
                        published_after += u32::from(was_over);
                    }
                    Err(NotExported::ShutDown) => return published_after,
                    // Its pair is closed, and why is just being written down.
                    Err(NotExported::Preparing) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        exporter.shutdown();
        over.store(true, Ordering::SeqCst);
        assert_eq!(frames.join().unwrap(), 0);
    });
}

#[test]
fn a_slot_that_is_forgotten_costs_nothing_but_itself() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    let first = publish(&mut camera, SMALL, 1);
    std::mem::forget(camera.slot(SMALL).unwrap());
    assert_eq!(publish(&mut camera, SMALL, 2), first + 1);
}

// Proves LIFE-7 and TRUST-4.
#[test]
fn a_slot_that_is_forgotten_does_not_keep_its_pairs_memory_when_the_picture_changes_or_the_camera_stops() {
    let base = Base::new();
    let exporter = base.start();
    let mut seen = Vec::new();
    for round in 0..3 {
        let mut camera = exporter.camera(id("front")).unwrap();
        for format in [SMALL, OTHER] {
            publish(&mut camera, format, round);
            std::mem::forget(camera.slot(format).unwrap());
            seen.push(look(&base.data("front")));
        }
    }
    until("the memory is given back", || seen.iter().all(|data| blocks(data) == 0).then_some(()));
}

// Proves FILE-3.
#[test]
fn files_that_could_not_be_named_are_removed_again() {
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    fs::create_dir_all(base.meta("front")).unwrap();
    until("the camera is not exported", || {
        (camera.slot(SMALL).unwrap_err() == NotExported::Unavailable).then_some(())
    });
    let names: Vec<_> = fs::read_dir(base.path("front")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["frame.meta"]);
}

#[test]
fn a_base_is_found_again_after_the_working_directory_changed() {
    // In a process of its own: the working directory belongs to the whole process.
    let base = Base::new();
    let program = std::env::current_exe().unwrap();
    let status = std::process::Command::new(program)
        .args(["--exact", "helper_with_a_relative_base"])
        .current_dir(vas_test_support::shared_memory())
        .env("VAS_TEST_BASE", base.0.file_name().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(!base.meta("front").exists() && !base.data("front").exists());
}

/// The other side of the test above; does nothing unless that calls it.
#[test]
fn helper_with_a_relative_base() {
    let Ok(name) = std::env::var("VAS_TEST_BASE") else {
        return;
    };
    let exporter = vas_shm_writer::Exporter::start(
        vas_shm_writer::ExporterConfig::new(&name).when(vas_shm_writer::ExportWhen::Always),
    )
    .unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let meta = open(&vas_test_support::shared_memory().join(&name).join("front/frame.meta"));
    std::env::set_current_dir("/").unwrap();
    let first = word_u64(&meta, HEARTBEAT);
    until("two heartbeats, after each of which the names were looked at", || {
        (word_u64(&meta, HEARTBEAT) > first + 600_000_000).then_some(())
    });
    assert_eq!(word_u32(&meta, STATE), LIVE);
}
