//! Alone in its file: the mask belongs to the whole process.

mod common;

use common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn modes_come_out_as_written_whatever_the_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let base = Base::new();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    publish(&mut camera, SMALL, 1);
    let mode = |path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(base.0.clone()), 0o750);
    assert_eq!(mode(base.path("front")), 0o750);
    assert_eq!(mode(base.meta("front")), 0o640);
    assert_eq!(mode(base.data("front")), 0o640);
}
