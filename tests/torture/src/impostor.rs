//! The role of an impostor: another user, in the readers' group or not, who tries to change what the server shows.

use crate::ledger::{Ledger, Word};
use crate::os;
use crate::reader::breach;
use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// What an impostor goes for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImpostorSpec {
    pub(crate) base: PathBuf,
    pub(crate) camera: String,
    /// The process id of the server.
    pub(crate) server: u32,
    /// A folder of its own.
    pub(crate) own: PathBuf,
    pub(crate) seed: u64,
}

/// Tries everything, in another order each time, until it is asked to end.
pub(crate) fn run(spec: &ImpostorSpec, ledger: &Ledger) {
    let mut rng = fastrand::Rng::with_seed(spec.seed);
    let mut attempts = attempts(spec);
    ledger.set(Word::Ready, 1);
    while !ledger.is_to_end() {
        rng.shuffle(&mut attempts);
        for attempt in &attempts {
            ledger.add(Word::Attempts, 1);
            // A failure is what there has to be; errno by errno it is tested beside the writer.
            if (attempt.act)().is_ok() {
                breach(ledger, format!("uid {} could {}", own_uid(), attempt.what));
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(rng.u64(0..2000)));
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

struct Attempt {
    what: String,
    act: Box<dyn Fn() -> io::Result<()>>,
}

fn attempts(spec: &ImpostorSpec) -> Vec<Attempt> {
    let mut all: Vec<Attempt> = Vec::new();
    let mut add = |what: String, act: Box<dyn Fn() -> io::Result<()>>| all.push(Attempt { what, act });
    let base = spec.base.clone();
    let camera = base.join(&spec.camera);
    let guard = base.join(format!(".{}.lock", spec.camera));
    let files = [camera.join("frame.meta"), camera.join("frame.data"), guard];

    let own = spec.own.join("mine");
    for file in &files {
        let shown = file.display();
        let path = || file.clone();
        for (how, options) in ways_to_open_for_writing() {
            let path = path();
            add(format!("open {shown} {how}"), Box::new(move || options.open(&path).map(drop)));
        }
        let (a, b, c, d, e, f) = (path(), path(), path(), path(), path(), path());
        let own = own.clone();
        add(format!("unlink {shown}"), Box::new(move || fs::remove_file(&a)));
        add(format!("rename {shown}"), Box::new(move || fs::rename(&b, b.with_extension("mine"))));
        add(
            format!("chmod {shown}"),
            Box::new(move || fs::set_permissions(&c, Permissions::from_mode(0o666))),
        );
        add(format!("chown {shown}"), Box::new(move || chown(&d, Some(own_uid()), None)));
        add(format!("link beside {shown}"), Box::new(move || fs::hard_link(&e, e.with_extension("link"))));
        add(
            format!("rename something over {shown}"),
            Box::new(move || {
                fs::write(&own, b"mine")?;
                fs::rename(&own, &f)
            }),
        );
    }
    for file in &files[..2] {
        let shown = file.display();
        let path = || file.clone();
        let (a, b, c, d, e) = (path(), path(), path(), path(), path());
        add(format!("map {shown} for writing"), Box::new(move || map_for_writing(&a)));
        add(
            format!("truncate {shown} through a descriptor"),
            Box::new(move || Ok(ftruncate(File::open(&b)?, 0)?)),
        );
        add(
            format!("punch {shown} through a descriptor"),
            Box::new(move || {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                Ok(fallocate(File::open(&c)?, flags, 0, 4096)?)
            }),
        );
        add(
            format!("open {shown} for writing through /proc/self/fd"),
            Box::new(move || {
                let file = File::open(&d)?;
                File::options().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(drop)
            }),
        );
        add(
            format!("take an exclusive lock of the description of {shown}"),
            Box::new(move || os::take_description_lock(&File::open(&e)?, true)),
        );
    }
    for directory in [&base, &camera] {
        let shown = directory.display();
        let path = || directory.clone();
        let (a, b, c, d, e, f) = (path(), path(), path(), path(), path(), path());
        add(format!("make a file in {shown}"), Box::new(move || File::create_new(a.join(".mine")).map(drop)));
        add(format!("make a link in {shown}"), Box::new(move || symlink("/etc", b.join("mine"))));
        add(format!("make a directory in {shown}"), Box::new(move || fs::create_dir(c.join("mine"))));
        add(format!("rename {shown}"), Box::new(move || fs::rename(&d, d.with_extension("mine"))));
        add(
            format!("chmod {shown}"),
            Box::new(move || fs::set_permissions(&e, Permissions::from_mode(0o777))),
        );
        add(format!("remove {shown}"), Box::new(move || fs::remove_dir_all(&f)));
    }
    let memory = format!("/proc/{}/mem", spec.server);
    add(format!("open {memory}"), Box::new(move || File::options().write(true).open(&memory).map(drop)));
    all
}

fn ways_to_open_for_writing() -> Vec<(&'static str, OpenOptions)> {
    let mut read_write = File::options();
    read_write.read(true).write(true);
    let mut write = File::options();
    write.write(true).custom_flags(libc::O_NONBLOCK);
    let mut truncate = File::options();
    truncate.write(true).truncate(true);
    let mut append = File::options();
    append.append(true);
    vec![("O_RDWR", read_write), ("O_WRONLY", write), ("O_TRUNC", truncate), ("O_APPEND", append)]
}

fn map_for_writing(path: &Path) -> io::Result<()> {
    MmapOptions::new().len(4096).map_raw(&File::open(path)?).map(drop)
}
