//! The three answers of an open, and what a reader may be given.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::process::Command;
use vas_shm_proto::{NotYet, Refusal, State};
use vas_shm_reader::{Absent, Found, FrameId, Opened, Options, Reader, Refused, cameras, open};

fn ready(base: &Base) -> Reader {
    match open(base.path(), &camera(), &Options::new()) {
        Opened::Ready(reader) => reader,
        other => panic!("not ready: {other:?}"),
    }
}

fn refused(base: &Base, options: &Options) -> Refused {
    match open(base.path(), &camera(), options) {
        Opened::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn absent(base: &Base) -> Absent {
    match open(base.path(), &camera(), &Options::new()) {
        Opened::NotYet(why) => why,
        other => panic!("there: {other:?}"),
    }
}

fn frame(found: Found<'_>) -> Option<u64> {
    match found {
        Found::Frame(frame) => Some(frame.id().get()),
        Found::NothingNew => None,
        Found::Overrun => panic!("overrun"),
    }
}

// Proves OPEN-2.
#[test]
fn a_camera_without_files_is_not_there_yet() {
    let base = Base::new();
    assert_eq!(absent(&base), Absent::NoFile { path: base.meta() });
    fs::remove_dir(base.path().join("front")).unwrap();
    assert_eq!(absent(&base), Absent::NoFile { path: base.meta() });
}

// Proves OPEN-2.
#[test]
fn a_header_whose_data_file_has_gone_is_not_there_yet() {
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    fs::remove_file(base.data()).unwrap();
    assert_eq!(absent(&base), Absent::NoFile { path: base.data() });
}

// Proves OPEN-10.
#[test]
fn two_files_of_different_pairs_are_not_there_yet() {
    let base = Base::new();
    Pair::make_with(&base, 16, 16, 1, |raw| raw.stream.data_inode.set(1));
    assert!(matches!(absent(&base), Absent::Header { why: NotYet::MixedPair { expected: 1, .. }, .. }));
}

// Proves OPEN-17.
#[test]
fn a_pair_that_was_stopped_or_replaced_is_not_there() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.store_state(State::Stopped);
    assert_eq!(absent(&base), Absent::Header { path: base.meta(), why: NotYet::Stopped });
    pair.store_state(State::Replaced);
    assert_eq!(absent(&base), Absent::Header { path: base.meta(), why: NotYet::Replaced });
}

// Proves OPEN-4 and OPEN-1.
#[test]
fn names_that_are_no_regular_files_are_refused() {
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    let elsewhere = base.path().join("elsewhere");
    for name in [base.meta(), base.data()] {
        let refused_as = |found| Refused::NotRegular { path: name.clone(), found };
        fs::rename(&name, &elsewhere).unwrap();
        symlink(&elsewhere, &name).unwrap();
        assert_eq!(refused(&base, &Options::new()), refused_as("symbolic link"));
        fs::remove_file(&name).unwrap();
        fs::create_dir(&name).unwrap();
        assert_eq!(refused(&base, &Options::new()), refused_as("directory"));
        fs::remove_dir(&name).unwrap();
        assert!(Command::new("mkfifo").arg(&name).status().unwrap().success());
        // Opening a FIFO for reading would wait for a writer; this does not.
        assert_eq!(refused(&base, &Options::new()), refused_as("FIFO"));
        fs::remove_file(&name).unwrap();
        fs::rename(&elsewhere, &name).unwrap();
    }
    ready(&base);
}

// Proves OPEN-3.
#[test]
fn a_header_out_of_bounds_is_refused_with_the_path_the_field_and_the_bound() {
    let base = Base::new();
    Pair::make_with(&base, 16, 16, 1, |raw| raw.stream.header_size.set(512));
    let why = refused(&base, &Options::new());
    assert_eq!(
        why,
        Refused::Header { path: base.meta(), why: Refusal::HeaderSizeTooSmall { header_size: 512 } }
    );
    let text = format!("{}: header_size is 512, version 1 needs 768", base.meta().display());
    assert_eq!(why.to_string(), text);
}

// Proves OPEN-6.
#[test]
fn a_header_file_that_is_too_short_is_refused() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.meta.set_len(767).unwrap();
    assert_eq!(
        refused(&base, &Options::new()),
        Refused::Header { path: base.meta(), why: Refusal::MetaSize { size: 767 } }
    );
    pair.meta.set_len(0).unwrap();
    assert!(matches!(
        refused(&base, &Options::new()),
        Refused::Header { why: Refusal::MetaSize { size: 0 }, .. }
    ));
}

// Proves OPEN-16 and OPEN-18.
#[test]
fn a_data_file_that_is_too_short_is_refused_before_anything_is_mapped() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.data.set_len(4096).unwrap();
    assert!(matches!(
        refused(&base, &Options::new()),
        Refused::Header { why: Refusal::DataFileSize { data_file_size: 12288, file_size: 4096 }, .. }
    ));
}

// Proves TRUST-3.
#[test]
fn a_reader_may_insist_on_the_owner() {
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    let me = rustix::process::geteuid().as_raw();
    assert!(matches!(open(base.path(), &camera(), &Options::new().owner_uid(me)), Opened::Ready(_)));
    assert_eq!(
        refused(&base, &Options::new().owner_uid(me + 1)),
        Refused::Owner { path: base.meta(), found: me, wanted: me + 1 }
    );
}

// Proves OPEN-4 and FILE-5.
#[test]
fn nobody_but_the_group_gets_in_and_is_told_whose_it_is() {
    if !rustix::process::geteuid().is_root() {
        vas_test_support::skipped("needs root to become another user");
        return;
    }
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(base.path().join("front"), fs::Permissions::from_mode(0o750)).unwrap();
    // Another thread becomes another user: on Linux the system call itself changes the calling thread alone.
    let path = base.path().to_owned();
    let why = std::thread::spawn(move || {
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(
            rustix::process::Gid::from_raw(65534),
            rustix::process::Gid::from_raw(65534),
            rustix::process::Gid::from_raw(65534),
        )
        .unwrap();
        rustix::thread::set_thread_res_uid(
            rustix::process::Uid::from_raw(65534),
            rustix::process::Uid::from_raw(65534),
            rustix::process::Uid::from_raw(65534),
        )
        .unwrap();
        match open(&path, &camera(), &Options::new()) {
            Opened::Refused(why) => why,
            other => panic!("not refused: {other:?}"),
        }
    })
    .join()
    .unwrap();
    let text = why.to_string();
    assert!(text.contains("permission denied"), "{text}");
    assert!(
        text.contains(&format!("{} belongs to uid 0, gid 0, mode 0750", base.path().join("front").display())),
        "{text}"
    );
}

// Proves LIVE-1.
#[test]
fn nothing_is_current_before_something_changed_after_the_open() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.publish(41, 1);
    let reader = ready(&base);
    assert_eq!(frame(reader.latest(None)), None, "it may be the last picture of a dead server");
    assert_eq!(reader.last_picture().map(|frame| frame.id().get()), Some(41));
    pair.beat(2);
    assert_eq!(frame(reader.latest(None)), Some(41));
}

// Proves LIVE-1.
#[test]
fn a_new_frame_is_a_sign_of_life_too() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    pair.publish(41, 1);
    let reader = ready(&base);
    pair.publish(42, 2);
    assert_eq!(frame(reader.latest(None)), Some(42));
    assert_eq!(frame(reader.next(FrameId::new(40))), Some(41));
}

// Proves READ-6 and READ-8.
#[test]
fn frames_are_handed_out_whole_or_not_at_all() {
    let base = Base::new();
    let pair = Pair::make(&base, 17, 15, 1);
    pair.publish(1, 5);
    let reader = ready(&base);
    pair.publish(2, 13);
    let Found::Frame(found) = reader.latest(None) else { panic!("no frame") };
    assert_eq!((found.timestamp_ns(), found.is_damaged()), (2000, true));
    let mut packed = vec![0; 17 * 15 + 18 * 8];
    found.copy_to(&mut packed).unwrap();
    assert_eq!(packed, vec![13; 17 * 15 + 18 * 8]);
    assert_eq!(
        found.copy_to(&mut packed[1..]).unwrap_err().to_string(),
        "the buffer has 398 bytes, the picture needs 399"
    );
    assert!(found.is_intact());
    assert!(
        found.with(|_| pair.claim(5)).is_err(),
        "frame 5 takes the slot of frame 2 while it is looked at"
    );
    assert!(found.to_packed().is_err());
    assert!(!found.is_intact());
}

// Proves HEAD-3: the offsets that were checked are used, whatever the mapping says later.
#[test]
fn constants_that_change_after_the_open_change_nothing() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let reader = ready(&base);
    pair.publish(4, 9);
    for (word, value) in [(24_u64, u64::MAX), (40, u64::MAX), (64, u64::MAX), (256 + 64 + 16, 1 << 40)] {
        pair.meta.write_all_at(&value.to_le_bytes(), word).unwrap();
    }
    let Found::Frame(found) = reader.latest(None) else { panic!("no frame") };
    assert_eq!(found.to_packed().unwrap(), vec![9; 16 * 16 + 16 * 8]);
}

// Proves TRUST-1 and OPEN-18.
#[test]
fn a_reader_maps_both_files_shared_and_read_only() {
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    let _reader = ready(&base);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for file in [base.meta(), base.data()] {
        let path = file.to_str().unwrap();
        let modes: Vec<_> = maps
            .lines()
            .filter(|line| line.ends_with(path))
            .map(|line| line.split_whitespace().nth(1).unwrap())
            .collect();
        assert_eq!(modes, ["r--s"], "{path}");
    }
}

// Proves CLOCK-2: a time ahead of this clock is no age, and no panic.
#[test]
fn a_frame_from_a_clock_that_is_ahead_has_no_age() {
    let base = Base::new();
    let pair = Pair::make(&base, 16, 16, 1);
    let reader = ready(&base);
    pair.publish(u64::MAX / 1000, 1);
    let Found::Frame(found) = reader.latest(None) else { panic!("no frame") };
    assert!(found.timestamp_ns() > 1 << 62);
    assert_eq!(found.age(), std::time::Duration::ZERO);
}

// Proves LIVE-5.
#[test]
fn a_pair_that_lost_its_name_is_known() {
    let base = Base::new();
    Pair::make(&base, 16, 16, 1);
    let reader = ready(&base);
    assert!(reader.is_still_named());
    Pair::make(&base, 16, 16, 2);
    assert!(!reader.is_still_named());
    fs::remove_file(base.meta()).unwrap();
    assert!(!reader.is_still_named());
}

// Proves FILE-3.
#[test]
fn cameras_are_listed_by_their_directories_and_nothing_else_is() {
    let base = Base::new();
    fs::create_dir(base.path().join("yard")).unwrap();
    fs::create_dir(base.path().join(".hidden")).unwrap();
    fs::write(base.path().join("file"), b"").unwrap();
    let found: Vec<_> = cameras(base.path()).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, ["front", "yard"]);
    assert!(cameras(&base.path().join("none")).is_err());
}
