//! Alone in its file: the mask belongs to the whole process.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn modes_come_out_as_written_whatever_the_umask() {
    if is_root() {
        // Root is let in whatever the modes say, which would hide the worst of it. The tests of this file share their process
        // with nobody, so it may become somebody else for good.
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
    }
    for mask in [0o077, 0o277, 0o777] {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
        let base = Base::new();
        for _ in 0..2 {
            let exporter = base.start();
            let mut camera = exporter.camera(id("front")).unwrap();
            publish(&mut camera, SMALL, 1);
            let mode = |path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode(base.0.clone()), 0o750);
            assert_eq!(mode(base.path("front")), 0o750);
            assert_eq!(mode(base.meta("front")), 0o640);
            assert_eq!(mode(base.data("front")), 0o640);
            assert_eq!(mode(base.path(".front.lock")), 0o600);
        }
    }
}
