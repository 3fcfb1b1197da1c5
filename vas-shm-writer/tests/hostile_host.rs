//! Base directories that cannot be trusted, file systems without room, unusual masks.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use vas_shm_writer::{BaseError, ExportWhen, Exporter, ExporterConfig, NotExported};

fn refusal(base: &Base) -> BaseError {
    Exporter::start(ExporterConfig::new(&base.0)).expect_err("the base directory is refused")
}

// Proves TRUST-5.
#[test]
fn a_symbolic_link_in_place_of_the_base_is_refused() {
    let (real, base) = (Base::new(), Base::new());
    fs::create_dir(&real.0).unwrap();
    symlink(&real.0, &base.0).unwrap();
    assert!(matches!(refusal(&base), BaseError::NotDirectory { .. }), "{}", refusal(&base));
}

#[test]
fn a_slash_after_a_symbolic_link_does_not_make_it_a_directory() {
    let (real, base) = (Base::new(), Base::new());
    fs::create_dir(&real.0).unwrap();
    symlink(&real.0, &base.0).unwrap();
    let with_slash = Base(format!("{}/", base.0.display()).into());
    assert!(matches!(refusal(&with_slash), BaseError::NotDirectory { .. }));
}

#[test]
fn a_file_in_place_of_the_base_is_refused() {
    let base = Base::new();
    fs::write(&base.0, b"").unwrap();
    assert!(matches!(refusal(&base), BaseError::NotDirectory { .. }));
}

// Proves TRUST-5.
#[test]
fn a_base_that_others_may_write_in_is_refused_with_the_command_that_helps() {
    let base = Base::new();
    fs::create_dir(&base.0).unwrap();
    for mode in [0o770, 0o757, 0o777] {
        fs::set_permissions(&base.0, fs::Permissions::from_mode(mode)).unwrap();
        let refused = refusal(&base);
        assert!(matches!(refused, BaseError::Mode { mode: found, .. } if found == mode));
        assert!(refused.to_string().contains("chmod go-w"), "{refused}");
    }
}

// Proves FILE-4.
#[test]
fn a_base_on_a_disk_is_refused() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let statfs = rustix::fs::statfs(folder).unwrap();
    if statfs.f_type == 0x0102_1994 {
        vas_test_support::skipped("the target directory is itself on a tmpfs");
        return;
    }
    let base = Base(folder.join(format!("base-{}", std::process::id())));
    assert!(matches!(refusal(&base), BaseError::NotTmpfs { .. }));
    assert!(!base.0.exists(), "what was made to be looked at is removed again");
}

#[test]
fn only_the_base_itself_is_made_not_what_is_above_it() {
    let base = Base::new();
    let below = Base(base.path("missing/base"));
    assert!(matches!(refusal(&below), BaseError::NoParent { .. }));
    assert!(!base.0.exists());
}

// Proves TRUST-5.
#[test]
fn a_base_of_another_user_is_refused_with_both_uids() {
    if !is_root() {
        vas_test_support::skipped("needs root to make a directory of another user");
        return;
    }
    let base = Base::new();
    fs::create_dir(&base.0).unwrap();
    chown(&base.0, Some(65534), Some(65534)).unwrap();
    let refused = refusal(&base).to_string();
    assert!(refused.contains("belongs to uid 65534, this server runs as uid 0"), "{refused}");
    assert_eq!(fs::read_dir(&base.0).unwrap().count(), 0);
}

#[test]
fn a_camera_directory_that_is_a_link_is_not_followed() {
    let base = Base::new();
    let elsewhere = Base::new();
    fs::create_dir(&elsewhere.0).unwrap();
    let exporter = base.start();
    symlink(&elsewhere.0, base.path("front")).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("the camera is not exported", || {
        (camera.slot(SMALL).unwrap_err() == NotExported::Unavailable).then_some(())
    });
    assert_eq!(fs::read_dir(&elsewhere.0).unwrap().count(), 0);
}

// Proves FILE-5.
#[test]
fn the_configured_group_gets_the_directories_and_the_files() {
    if !is_root() {
        vas_test_support::skipped("needs root to choose a group");
        return;
    }
    let base = Base::new();
    let config = ExporterConfig::new(&base.0).group(Some(65533)).when(ExportWhen::Always);
    let exporter = Exporter::start(config).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let look = |path| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).unwrap();
        (metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(look(base.0.clone()), (65533, 0o2750));
    assert_eq!(look(base.path("front")), (65533, 0o2750));
    assert_eq!(look(base.meta("front")), (65533, 0o640));
    assert_eq!(look(base.data("front")), (65533, 0o640));
    assert_eq!(look(base.path(".front.lock")).1, 0o600);
}

// Proves LIFE-11.
#[test]
fn without_room_the_camera_is_not_exported_and_comes_back_when_there_is_room() {
    let Some(mount) = Mount::of_size("16k") else {
        vas_test_support::skipped("needs root to mount a tmpfs");
        return;
    };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    until("told that there is no room", || {
        (camera.slot(SMALL).unwrap_err() == NotExported::NoRoom).then_some(())
    });
    // Nothing half-made is left that would take what little room there is.
    assert_eq!(fs::read_dir(mount.0.path("front")).unwrap().count(), 0);
    mount.resize("1m");
    until("exported", || camera.slot(SMALL).ok().map(drop));
}

// Proves LIFE-5.
#[test]
fn a_new_pair_that_does_not_fit_beside_the_old_takes_its_place() {
    // 64 x 48 takes 3 slots of 8192 bytes and a page, 96 x 72 takes 3 of 16384 and a page: both together do not fit.
    let Some(mount) = Mount::of_size("72k") else {
        vas_test_support::skipped("needs root to mount a tmpfs");
        return;
    };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let (old_meta, old_data) = (open(&mount.0.meta("front")), open(&mount.0.data("front")));
    let larger = vas_shm_writer::PictureFormat::new(96, 72, SMALL.color);
    publish(&mut camera, larger, 2);
    assert_eq!(word_u32(&old_meta, STATE), STOPPED);
    assert_eq!(blocks(&old_data), 0);
    let (meta, data) = (open(&mount.0.meta("front")), open(&mount.0.data("front")));
    assert_eq!(header_of(&meta, &data).unwrap().picture().width(), 96);
}

#[test]
fn a_file_system_without_a_limit_has_room() {
    let Some(mount) = Mount::of_size("0") else {
        vas_test_support::skipped("needs root to mount a tmpfs");
        return;
    };
    let exporter = mount.0.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
}

// Proves LIFE-10.
#[test]
fn a_lock_that_others_could_open_is_made_private() {
    let base = Base::new();
    let exporter = base.start();
    fs::write(base.path(".front.lock"), b"").unwrap();
    fs::set_permissions(base.path(".front.lock"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let mode = fs::metadata(base.path(".front.lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}
