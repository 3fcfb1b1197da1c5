//! What a server takes of the machine stays within what its configuration says, however often the picture changes its size and
//! whatever readers keep open.

use crate::readers::Reader;
use std::fs;
use std::path::Path;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::mount::Mount;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera};
use vas_e2e::{require, until};
use vas_shm_writer::{Nv12, PairSize, SlotCount};

/// The camera's two sizes.
const CLIPS: [(&str, u32, u32); 2] = [("street.h264", 1280, 720), ("h264.h264", 640, 480)];
const SLOTS: u32 = 3;
const RING_FRAMES: u64 = 4;
/// Other numbers of replacements than the default: a long run.
const REPLACEMENTS_ENV: &str = "VAS_TEST_REPLACEMENTS";
const REPLACEMENTS: u64 = 10;
/// Both sizes were decoded and exported once more, and the first pair has been given back: what comes later comes again and
/// again.
const WARM_UP: u64 = 3;
/// One in so many readers that come stays for good, stopped; the others are killed. (A pair that a stopped reader has open is
/// given back after ten seconds, so each of these takes that long.)
const STOPPED_EACH: u64 = 4;

/// What is open for a moment while a pair is built: two directories, two files, a lock; and the camera's connection.
const OPEN_FOR_A_MOMENT: u64 = 6;
/// Pairs of one camera that are watched for readers which fill them again (docs/decisions/0001): a descriptor each.
const WATCHED_PAIRS: u64 = 16;
/// What an allocator keeps that is not a picture.
const ALLOCATOR_BYTES: u64 = 4 << 20;

/// What a server has of the machine at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    /// Of the file system on which the cameras' files lie.
    tmpfs_bytes: u64,
    /// Resident pages of shared memory.
    shared_bytes: u64,
    /// Resident pages of its own.
    private_bytes: u64,
    descriptors: u64,
}

impl Usage {
    fn of(server: u32, base: &Path, mount: Option<&Mount>) -> Self {
        let status = fs::read_to_string(format!("/proc/{server}/status")).expect("the server runs");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("memory in the status");
            line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("kB") * 1024
        };
        let descriptors = fs::read_dir(format!("/proc/{server}/fd")).expect("the server runs").count();
        Self {
            tmpfs_bytes: if mount.is_some() { used_bytes(base) } else { open_bytes(server, base) },
            shared_bytes: bytes("RssShmem:"),
            private_bytes: bytes("RssAnon:"),
            descriptors: descriptors as u64,
        }
    }

    /// The most of each.
    fn max(self, other: Self) -> Self {
        Self {
            tmpfs_bytes: self.tmpfs_bytes.max(other.tmpfs_bytes),
            shared_bytes: self.shared_bytes.max(other.shared_bytes),
            private_bytes: self.private_bytes.max(other.private_bytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// What is taken of a file system that nobody else uses.
fn used_bytes(base: &Path) -> u64 {
    let stat = rustix::fs::statvfs(base).expect("statvfs");
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

/// What is allocated of the cameras' files that a server has open, with names or without.
fn open_bytes(server: u32, base: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let descriptors = fs::read_dir(format!("/proc/{server}/fd")).into_iter().flatten().flatten();
    let of_cameras =
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(base)));
    of_cameras.filter_map(|entry| fs::metadata(entry.path()).ok()).map(|file| file.blocks() * 512).sum()
}

/// What smaps_rollup says, for people who look at that.
fn rollup(server: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{server}/smaps_rollup")).unwrap_or_default();
    let wanted = ["Rss:", "Pss:", "Pss_Shmem:"];
    let lines = text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

// Proves LIFE-7 and TRUST-4.
#[test]
fn memory_and_descriptors_stay_within_what_the_configuration_says_over_many_replacements() {
    let [(large, ..), (small, ..)] = CLIPS;
    let (large, small) = (require!(clip(large)), require!(clip(small)));
    let replacements = std::env::var(REPLACEMENTS_ENV)
        .map_or(REPLACEMENTS, |text| text.parse().unwrap_or_else(|_| panic!("{REPLACEMENTS_ENV}: {text}")));
    assert!(
        replacements > WARM_UP + STOPPED_EACH,
        "{REPLACEMENTS_ENV}: more than {}",
        WARM_UP + STOPPED_EACH
    );

    let slots = SlotCount::new(SLOTS).expect("2 to 8");
    let pictures = CLIPS.map(|(_, width, height)| Nv12::for_picture(width, height).expect("a size"));
    let size_of = |picture: &Nv12| PairSize::new(picture, slots);
    // PROTOCOL.md, LIFE-7: the pair that is live, and the one before it, which has the other size.
    let two_pairs: u64 = pictures.iter().map(|picture| size_of(picture).total_bytes()).sum();
    let meta_page = size_of(&pictures[0]).meta_bytes;
    let largest_picture = pictures.iter().map(Nv12::data_size).max().expect("two sizes");

    let scene = Scene::new();
    // A file system of its own shows every byte; without the right to mount one the server's descriptors have to do.
    let mount = Mount::on(&scene.base(), "size=256m").ok();
    let mut rtsp = Camera::start(&[&large, &small]);
    let config = format!(
        "[export]\nslots = {SLOTS}\nwhen = \"always\"\n[defaults]\nring_frames = {RING_FRAMES}\n{}",
        camera("front", rtsp.url())
    );
    let server = Server::start(&scene, &config);
    let mut steady = Reader::attached(&scene);
    let usage = || Usage::of(server.id(), &scene.base(), mount.as_ref());

    let (mut settled, mut most, mut stopped) = (Usage::default(), Usage::default(), Vec::new());
    let mut first_rollup = String::new();
    for replacement in 1..=replacements {
        let visitor = Reader::attached(&scene);
        if replacement % STOPPED_EACH == 0 {
            visitor.stop();
            visitor.until_stopped();
            stopped.push(visitor);
        } else {
            visitor.kill_and_wait();
        }
        let before = steady.generation();
        rtsp.command(&format!("clip {}", replacement % CLIPS.len() as u64));
        // Looked at all the time: what is there for a moment only counts as well.
        until("the reader is given a frame of the other size", || {
            most = most.max(usage());
            (steady.generation() != before).then_some(())
        });
        if replacement == WARM_UP {
            steady.until_given(RING_FRAMES as usize * 2);
            (settled, first_rollup) = (usage(), rollup(server.id()));
            most = settled;
        }
        // Each but the last stopped reader's pair, and one that is just over.
        let over = (stopped.len() as u64 + 1).min(WATCHED_PAIRS) + 1;
        let tmpfs_bound = two_pairs + over * meta_page;
        assert!(
            most.tmpfs_bytes <= tmpfs_bound && most.shared_bytes <= tmpfs_bound,
            "after {replacement} replacements with {} stopped readers: {most:?}; two pairs have {two_pairs} bytes, {tmpfs_bound} with the headers of those that readers keep",
            stopped.len()
        );
        if replacement <= WARM_UP {
            continue;
        }
        // A ring of each size: the allocator may keep the one that is over.
        let private_bound =
            settled.private_bytes + CLIPS.len() as u64 * RING_FRAMES * largest_picture + ALLOCATOR_BYTES;
        assert!(
            most.private_bytes <= private_bound,
            "after {replacement} replacements: {most:?}; {settled:?} after {WARM_UP}, {private_bound} bytes of private memory are the bound"
        );
        let descriptors_bound = settled.descriptors + over + OPEN_FOR_A_MOMENT;
        assert!(
            most.descriptors <= descriptors_bound,
            "after {replacement} replacements: {most:?}; {settled:?} after {WARM_UP}, {descriptors_bound} descriptors are the bound"
        );
    }
    println!(
        "{replacements} replacements, {} stopped readers; two pairs have {two_pairs} bytes\nafter {WARM_UP}: {settled:?} ({first_rollup})\nat most: {most:?}\nat the end: {:?} ({})",
        stopped.len(),
        usage(),
        rollup(server.id())
    );
    steady.until_given(1);
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    stopped.into_iter().for_each(Reader::kill_and_wait);
    steady.kill_and_wait();
    assert!(scene.exported_files().is_empty(), "{:?}", scene.exported_files());
    if mount.is_some() {
        assert_eq!(used_bytes(&scene.base()), 0, "nothing is left when the last reader has gone");
    }
}
