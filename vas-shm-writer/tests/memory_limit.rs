//! A memory limit smaller than what is wanted: the kernel would end the server as soon as it allocates, so it must not try.

mod common;

use common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vas_shm_writer::{CameraMemory, Color, NotExported, PictureFormat, Plane, Room, SlotCount, Stamp};

const MIB: u64 = 1 << 20;
const FULL_HD: PictureFormat = PictureFormat::new(1920, 1080, Color::UNSPECIFIED);
/// What is left for a pair of 8.9 MiB, beside what is kept back.
const SPARE_BYTES: u64 = 4 * MIB;
/// The group, the name of the file with its limit and the base directory, for the test that runs in it.
const GROUP: &str = "VAS_TEST_MEMORY_GROUP";
const LIMIT: &str = "VAS_TEST_MEMORY_LIMIT";
const BASE: &str = "VAS_TEST_MEMORY_BASE";

/// A memory control group of this test's own, of whichever version the machine has.
struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    fn make() -> Option<Self> {
        let hierarchies =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        hierarchies.into_iter().find_map(|(root, limit)| {
            let folder = Path::new(root).join(format!("vas-test-writer-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            // Removed again if it has no such limit.
            let group = Self { folder, limit };
            group.folder.join(limit).exists().then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel needs a moment to forget the last process.
        until("the group is empty", || fs::remove_dir(&self.folder).ok());
    }
}

// Proves LIFE-11.
#[test]
fn a_pair_that_exceeds_the_memory_limit_is_refused_before_it_is_allocated_and_made_when_the_limit_is_raised_as_told()
 {
    let Some(group) = Group::make() else {
        return vas_test_support::skipped("needs root and a memory control group of its own");
    };
    // Removed here, should the kernel end the other process.
    let base = Base::new();
    let command = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", command])
        .arg(&group.folder)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_the_group", "--ignored", "--nocapture"])
        // A backtrace takes more memory than there is, and then nobody hears why it failed.
        .env("RUST_BACKTRACE", "0")
        .env(GROUP, &group.folder)
        .env(LIMIT, group.limit)
        .env(BASE, &base.0)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{:?}: {text}", output.status);
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "a part of the test above, which runs it in a group of its own"]
fn inside_the_group() {
    let group = PathBuf::from(std::env::var_os(GROUP).expect("the group"));
    let limit = group.join(std::env::var(LIMIT).expect("its limit"));
    let base = Base(std::env::var_os(BASE).expect("the base").into());
    listen();
    let exporter = base.start();
    let mut camera = exporter.camera(id("front")).unwrap();
    // The process is as large as it will be, and something was exported. (Below a sanitizer memory that was given back is kept.)
    let (luma, chroma) = (vec![1; 1920 * 1080], vec![1; 1920 * 540]);
    publish(&mut camera, SMALL, 1);
    // A file that nobody reads again is page cache that the kernel takes back when it wants.
    let set = |bytes: u64| fs::write(&limit, bytes.to_string()).expect("set the limit");
    set(1 << 30);
    let tightest = Room::at(&base.0).unwrap().memory_limit.expect("the limit is seen");
    assert!(
        tightest.path.starts_with(&group),
        "a group above this one has less than a gigabyte left: {tightest:?}"
    );
    let used_bytes = tightest.used_bytes;
    // A sixteenth is kept back.
    set((used_bytes + SPARE_BYTES) * 16 / 15);
    let memory = CameraMemory::new(FULL_HD, SlotCount::DEFAULT).unwrap();
    let spare_bytes = Room::at(&base.0).unwrap().spare_bytes();
    assert!(spare_bytes < memory.pair_bytes, "{spare_bytes}");
    until("no room", || (camera.slot(FULL_HD).unwrap_err() == NotExported::NoRoom).then_some(()));
    let said =
        until("the sentence", || said_of(&base.0).into_iter().find(|line| line.contains("no room in")));
    println!("{said}");
    assert!(said.contains(&format!("{} bytes are needed", memory.pair_bytes)), "{said}");
    assert!(said.contains(&limit.display().to_string()), "{said}");
    assert!(said.contains("the camera goes on"), "{said}");
    // What had room goes on.
    until("the small one again", || camera.slot(SMALL).ok().map(drop));
    // As the sentence says, to the letter.
    let mib: u64 = said.split("MemoryMax=").nth(1).unwrap().split('M').next().unwrap().parse().unwrap();
    set(mib * MIB);
    let mut export = |format: PictureFormat| {
        let width = format.width as usize;
        until("a slot", || match camera.slot(format) {
            Ok(mut slot) => {
                slot.write_nv12(Plane::new(&luma, width), Plane::new(&chroma, width))
                    .expect("the planes fit");
                slot.publish(Stamp::now());
                Some(())
            }
            Err(NotExported::Preparing) => None,
            Err(other) => panic!("{other}, with {:?}; said: {:#?}", Room::at(&base.0), said_of(&base.0)),
        });
    };
    export(FULL_HD);
    // And a successor has room beside it.
    export(PictureFormat::new(1080, 1920, Color::UNSPECIFIED));
    println!("exported with a limit of {mib} MiB, {used_bytes} bytes were used before");
}
