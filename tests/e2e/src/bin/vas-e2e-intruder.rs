//! A hostile reader for the tests: becomes another user and tries whatever might change, empty, withhold or stop what a server
//! exports.
//!
//! `vas-e2e-intruder FOLDER UID GID SERVER_PID`, started as root; the base directory is `vas` in FOLDER, the camera `front`, and
//! `own` in FOLDER a directory of that user. Says what it is, then a line `call<TAB>errno` per attempt (0: allowed), then `that is all`,
//! and keeps every lock, watch and mapping that it got until its standard input ends.

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, Timestamps, UTIME_OMIT, XattrFlags, inotify,
};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Signal, Uid};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use vas_e2e::attempt::{self, Page};

const META: &str = "vas/front/frame.meta";
const DATA: &str = "vas/front/frame.data";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-e2e-intruder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [folder, numbers @ ..] = arguments else { return Err("give FOLDER UID GID SERVER_PID".into()) };
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u32>, _>>()?;
    let &[uid, gid, server] = numbers.as_slice() else { return Err("give UID GID SERVER_PID".into()) };
    // The directories above may let only root in, as on a build machine.
    std::env::set_current_dir(folder)?;
    become_user(uid, gid)?;

    let mut told = Told(std::io::stdout());
    let status = std::fs::read_to_string("/proc/self/status")?;
    for name in ["Uid:", "Gid:", "Groups:", "CapEff:"] {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or(name);
        writeln!(told.0, "{}", line.split_whitespace().collect::<Vec<_>>().join(" "))?;
    }
    by_name(&mut told, server)?;
    let kept = by_descriptor(&mut told)?;
    writeln!(told.0, "that is all")?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(kept);
    Ok(())
}

/// For good: this process has one thread.
fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    // Both are lost with the user. Without the first, /proc/self is root's, and what is tried there would fail for that reason.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

struct Told(std::io::Stdout);

impl Told {
    /// Says how a call ended; gives what it gave.
    fn attempt<T>(&mut self, call: &str, result: Result<T, Errno>) -> std::io::Result<Option<T>> {
        let errno = result.as_ref().err().map_or(0, |errno| errno.raw_os_error());
        writeln!(self.0, "{call}\t{errno}")?;
        Ok(result.ok())
    }
}

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR)
}

fn by_name(told: &mut Told, server: u32) -> std::io::Result<()> {
    for (call, path, flags) in [
        ("open(base, O_RDONLY)", "vas", OFlags::RDONLY),
        ("open(camera, O_RDONLY)", "vas/front", OFlags::RDONLY),
        ("open(frame.meta, O_RDONLY)", META, OFlags::RDONLY),
        ("open(frame.data, O_RDONLY)", DATA, OFlags::RDONLY),
        ("open(frame.meta, O_RDWR)", META, OFlags::RDWR),
        ("open(frame.data, O_RDWR)", DATA, OFlags::RDWR),
        ("open(frame.meta, O_WRONLY|O_TRUNC)", META, OFlags::WRONLY | OFlags::TRUNC),
        ("open(frame.data, O_RDONLY|O_TRUNC)", DATA, OFlags::RDONLY | OFlags::TRUNC),
        ("open(frame.data, O_WRONLY|O_APPEND)", DATA, OFlags::WRONLY | OFlags::APPEND),
        ("open(.front.lock, O_RDONLY)", "vas/.front.lock", OFlags::RDONLY),
        ("open(.front.lock, O_RDWR)", "vas/.front.lock", OFlags::RDWR),
        ("open(camera/new, O_CREAT)", "vas/front/new", OFlags::WRONLY | OFlags::CREATE),
        (
            "open(camera/.frame.meta.new, O_CREAT)",
            "vas/front/.frame.meta.new",
            OFlags::WRONLY | OFlags::CREATE,
        ),
        ("open(base/.yard.lock, O_CREAT)", "vas/.yard.lock", OFlags::WRONLY | OFlags::CREATE),
        ("open(camera, O_TMPFILE)", "vas/front", OFlags::WRONLY | OFlags::TMPFILE),
    ] {
        told.attempt(call, open(path, flags))?;
    }
    told.attempt("truncate(frame.data, 0)", attempt::truncate(c"vas/front/frame.data", 0))?;
    told.attempt("truncate(frame.meta, 0)", attempt::truncate(c"vas/front/frame.meta", 0))?;
    told.attempt("mkdir(base/yard)", rustix::fs::mkdir("vas/yard", Mode::RWXU))?;
    told.attempt("symlink(camera/new)", rustix::fs::symlink("/etc/passwd", "vas/front/new"))?;
    told.attempt("unlink(frame.meta)", rustix::fs::unlink(META))?;
    told.attempt("unlink(.front.lock)", rustix::fs::unlink("vas/.front.lock"))?;
    told.attempt("rmdir(camera)", rustix::fs::rmdir("vas/front"))?;
    told.attempt("rename(frame.meta, frame.data)", rustix::fs::rename(META, DATA))?;
    told.attempt("rename(frame.data, own/data)", rustix::fs::rename(DATA, "own/data"))?;
    told.attempt("rename(camera, own/camera)", rustix::fs::rename("vas/front", "own/camera"))?;
    told.attempt("rename(base, own/base)", rustix::fs::rename("vas", "own/base"))?;
    File::create("own/forged")?;
    told.attempt("rename(own/forged, frame.meta)", rustix::fs::rename("own/forged", META))?;
    told.attempt("link(own/forged, camera/new)", rustix::fs::link("own/forged", "vas/front/new"))?;
    told.attempt("link(frame.data, own/data)", rustix::fs::link(DATA, "own/data"))?;
    told.attempt("chmod(frame.meta, 0666)", rustix::fs::chmod(META, Mode::from_raw_mode(0o666)))?;
    told.attempt("chmod(camera, 0777)", rustix::fs::chmod("vas/front", Mode::from_raw_mode(0o777)))?;
    let me = Some(rustix::process::geteuid());
    told.attempt("chown(frame.data, self)", rustix::fs::chown(DATA, me, None))?;
    let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    let omitted = rustix::time::Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access: omitted, last_modification: time };
    told.attempt("utimensat(frame.meta)", rustix::fs::utimensat(CWD, META, &times, AtFlags::empty()))?;
    let no_flags = XattrFlags::empty();
    told.attempt("setxattr(frame.meta, user.)", rustix::fs::setxattr(META, "user.vas", b"1", no_flags))?;
    told.attempt(
        "setxattr(frame.meta, trusted.)",
        rustix::fs::setxattr(META, "trusted.vas", b"1", no_flags),
    )?;
    // Fits no process: a number beyond what a pid can be would say something else.
    let pid = i32::try_from(server).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    told.attempt("kill(server, SIGSTOP)", rustix::process::kill_process(pid, Signal::STOP))?;
    told.attempt("kill(server, SIGURG)", rustix::process::kill_process(pid, Signal::URG))?;
    told.attempt("open(/proc/server/mem, O_RDWR)", open(&format!("/proc/{server}/mem"), OFlags::RDWR))?;
    Ok(())
}

/// What was got, to be held.
type Kept = (Vec<OwnedFd>, Vec<Page>);

/// Through descriptors that a reader has by right.
fn by_descriptor(told: &mut Told) -> std::io::Result<Option<Kept>> {
    let (Ok(meta), Ok(data)) = (open(META, OFlags::RDONLY), open(DATA, OFlags::RDONLY)) else {
        return Ok(None);
    };
    let mut pages = Vec::new();
    for (name, fd) in [("frame.meta", &meta), ("frame.data", &data)] {
        let mut tell = |call: &str, result| told.attempt(&format!("{call} of {name}"), result);
        tell("ftruncate(0)", rustix::fs::ftruncate(fd, 0))?;
        tell("fallocate(1 GiB)", rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, 1 << 30))?;
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        tell("fallocate(FALLOC_FL_PUNCH_HOLE)", rustix::fs::fallocate(fd, punch, 0, 4096))?;
        tell("pwrite()", rustix::io::pwrite(fd, b"torn", 0).map(drop))?;
        let forged = open("own/forged", OFlags::RDONLY)?;
        tell("copy_file_range() into it", rustix::fs::copy_file_range(&forged, None, fd, None, 1).map(drop))?;
        tell("fchmod(0666)", rustix::fs::fchmod(fd, Mode::from_raw_mode(0o666)))?;
        tell("fchown(self)", rustix::fs::fchown(fd, Some(rustix::process::geteuid()), None))?;
        let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
        tell("open(/proc/self/fd/N, O_RDONLY)", open(&again, OFlags::RDONLY).map(drop))?;
        tell("open(/proc/self/fd/N, O_RDWR)", open(&again, OFlags::RDWR).map(drop))?;
        let (read, write) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
        tell("mmap(PROT_WRITE, MAP_SHARED)", Page::map(fd, write, libc::MAP_SHARED).map(drop))?;
        let page = Page::map(fd, read, libc::MAP_SHARED)?;
        tell("mprotect(PROT_WRITE) of a mapping", page.protect(write))?;
        tell("madvise(MADV_REMOVE) of a mapping", page.advise(libc::MADV_REMOVE))?;
        tell("mmap(PROT_WRITE, MAP_PRIVATE), a copy", Page::map(fd, write, libc::MAP_PRIVATE).map(drop))?;
        tell("fcntl(F_ADD_SEALS, F_SEAL_WRITE)", attempt::seal(fd, libc::F_SEAL_WRITE))?;
        tell("fcntl(F_SETLEASE, F_RDLCK)", attempt::lease(fd, libc::F_RDLCK))?;
        tell("fcntl(F_SETLEASE, F_WRLCK)", attempt::lease(fd, libc::F_WRLCK))?;
        tell("fcntl(F_SETLK, F_WRLCK)", attempt::record_lock(fd, libc::F_SETLK, libc::F_WRLCK))?;
        tell("fcntl(F_OFD_SETLK, F_WRLCK)", attempt::record_lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK))?;
        tell(
            "fcntl(F_OFD_SETLK, F_RDLCK), held",
            attempt::record_lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK),
        )?;
        tell("flock(LOCK_EX), held", rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive))?;
        pages.push(page);
    }
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    for path in [META, DATA, "vas/front", "vas"] {
        let call = format!("inotify_add_watch({path}), held");
        told.attempt(&call, inotify::add_watch(&watch, path, inotify::WatchFlags::ALL_EVENTS))?;
    }
    // Directories can be locked too, and the server might have thought of it.
    let folders = [open("vas", OFlags::RDONLY)?, open("vas/front", OFlags::RDONLY)?];
    for (name, fd) in ["base", "camera"].iter().zip(&folders) {
        let locked = rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive);
        told.attempt(&format!("flock(LOCK_EX) of {name}, held"), locked)?;
    }
    let [base, camera] = folders;
    Ok(Some((vec![meta, data, watch, base, camera], pages)))
}
