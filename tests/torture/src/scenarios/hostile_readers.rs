//! Readers that do on purpose what nobody should: hoard, lock, poke, pretend.

use crate::ledger::Word;
use crate::picture::{Format, LARGE, MIDDLE, PADDED, RECOLORED, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Actor, Circumstances, Played, Stage, Stop};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use vas_shm_writer::{Nv12, PairSize, SlotCount};

/// Descriptors that a server has besides those of the one camera's retired pairs, in the middle of making another: three standard
/// streams, two files and a pipe of this program's own; the base, the lock, the camera's directory twice, the two files
/// that readers see, and the two under construction.
const OTHER_DESCRIPTORS: usize = 3 + 2 + 1 + 8;
/// Retired pairs whose descriptors a server keeps (docs/decisions/0001).
const WATCHED_PAIRS: usize = 16;
/// What a server's private memory may grow by while readers come and go.
const GROWTH_BYTES: u64 = 16 << 20;
const OPENS: u64 = 1000;
/// A heartbeat and what a busy machine adds: once in this time a server has given back what readers made the kernel allocate again. They
/// do so all the time, so that one which never gives back is found as well.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(20);
/// The readers' group, and users who are in it, and one who is not.
const GROUP: u32 = 65_534;
const READER: u32 = 65_532;
const IMPOSTOR: u32 = 65_534;
const STRANGER: u32 = 65_533;

/// Bytes that the files of a camera take which a server has open: those with names, those without, those under construction.
fn shared_bytes(server: u32, base: &Path) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{server}/fd")).into_iter().flatten().flatten();
    let of_camera =
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(base)));
    // Through the link: whatever the file's name is by now. A block has 512 bytes, whatever the file system's are.
    of_camera.filter_map(|entry| fs::metadata(entry.path()).ok()).map(|file| file.blocks() * 512).sum()
}

/// What a server has open.
fn descriptors(server: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{server}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|to| to.display().to_string())
        .collect()
}

/// Private memory in use.
fn private_bytes(server: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{server}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The bytes of the largest pair that a server makes.
fn pair_bytes(formats: &[u8], slots: u32) -> Played<u64> {
    let slots = SlotCount::new(slots).map_err(|error| Stop::Failed(error.to_string()))?;
    let sizes = formats.iter().filter_map(|index| Format::of(*index)).map(|format| {
        let picture = Nv12::for_picture(format.width, format.height);
        picture.map_or(0, |picture| PairSize::new(&picture, slots).total_bytes())
    });
    Ok(sizes.max().unwrap_or(0))
}

/// Replaces pairs under readers that keep them all.
fn hoarded(stage: &mut Stage<'_>, reads: bool, check: impl Fn(&mut Stage<'_>, u32, u64) -> Played) -> Played {
    let formats = vec![LARGE, MIDDLE];
    let spec =
        ServerSpec { formats: formats.clone(), change_ms: 50, period_us: 5_000, ..stage.server_spec() };
    let most = pair_bytes(&formats, spec.slots)?;
    let server = stage.live_server(spec)?;
    // What is waited for here is another pair, not another frame.
    stage.tally.period_ns = 0;
    let pid = stage.pid(server);
    let mut hoarders = Vec::new();
    for _ in 0..2 {
        hoarders.push(stage.reader(Manner::Hoard { reads })?);
    }
    let bystander = stage.reader_in(
        Manner::Stream,
        &Circumstances { counts_switches: true, ..Circumstances::default() },
        None,
    )?;
    let mut pairs = 0;
    loop {
        check(stage, pid, most)?;
        let now = stage.get(server, Word::Pairs);
        stage.events(now - pairs);
        pairs = now;
        let found = descriptors(pid);
        if found.len() > WATCHED_PAIRS + OTHER_DESCRIPTORS {
            return stage.fail(format!(
                "the server has {} descriptors open after {pairs} pairs: {}",
                found.len(),
                found.join(", ")
            ));
        }
        if pairs >= 4 && !stage.has_time() {
            break;
        }
    }
    for reader in hoarders.into_iter().chain([bystander]) {
        stage.until_current(server, reader)?;
    }
    // Mappings are kept to the last: these do not end in good order.
    Ok(())
}

// Proves LIFE-7 and TRUST-4.
pub(crate) fn hoard(stage: &mut Stage<'_>) -> Played {
    let base = stage.base();
    hoarded(stage, false, |stage, server, most| {
        // Looked at as often as possible: what is there for a moment only counts as well.
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {
            let found = shared_bytes(server, &base);
            if found > 2 * most {
                return stage.fail(format!(
                    "{found} bytes of shared memory are in use, {:.2} of the largest pair of {most} bytes; two were promised",
                    found as f64 / most as f64
                ));
            }
        }
        stage.wait(Duration::ZERO)
    })
}

// Proves LIFE-7 and TRUST-4.
pub(crate) fn hoard_and_read(stage: &mut Stage<'_>) -> Played {
    let base = stage.base();
    hoarded(stage, true, |stage, server, most| {
        // What a reader makes the kernel allocate again stays until the next heartbeat; it must not stay longer.
        let mut least = u64::MAX;
        let until = Instant::now() + GIVEN_BACK_WITHIN;
        stage.until("the server gives back what readers fill again", |_| {
            least = least.min(shared_bytes(server, &base));
            (least <= 2 * most || Instant::now() > until).then_some(())
        })?;
        if least > 2 * most {
            return stage.fail(format!(
                "for {GIVEN_BACK_WITHIN:?} never less than {least} bytes of shared memory were in use; the largest pair has {most}"
            ));
        }
        stage.wait(Duration::from_millis(20))
    })
}

pub(crate) fn thousand_opens(stage: &mut Stage<'_>) -> Played {
    let formats = vec![SMALL, PADDED, RECOLORED];
    let spec = ServerSpec { formats, change_ms: 10, ..stage.server_spec() };
    let server = stage.live_server(spec)?;
    let pid = stage.pid(server);
    let openers = [stage.reader(Manner::Reopen)?, stage.reader(Manner::Reopen)?];
    for opener in openers {
        stage.until_reading(opener)?;
    }
    let (memory, files) = (private_bytes(pid), descriptors(pid).len());
    let mut done = 0;
    loop {
        let opens: u64 = openers.iter().map(|opener| stage.get(*opener, Word::Opened)).sum();
        stage.events(opens - done);
        done = opens;
        let (memory_now, files_now) = (private_bytes(pid), descriptors(pid).len());
        if memory_now > memory + GROWTH_BYTES {
            return stage.fail(format!(
                "after {opens} opens the server has {memory_now} bytes of private memory, {memory} before"
            ));
        }
        if files_now > files + WATCHED_PAIRS {
            return stage
                .fail(format!("after {opens} opens the server has {files_now} descriptors, {files} before"));
        }
        if opens >= OPENS && !stage.has_time() {
            return Ok(());
        }
        stage.until_published(server, 1)?;
        stage.wait(Duration::from_millis(20))?;
    }
}

// Proves TRUST-4 and PUB-9.
pub(crate) fn locks(stage: &mut Stage<'_>) -> Played {
    harassed(stage, Manner::Lock)
}

pub(crate) fn poke(stage: &mut Stage<'_>) -> Played {
    harassed(stage, Manner::Poke)
}

/// A server that replaces pairs, stops and starts, under readers of a manner.
fn harassed(stage: &mut Stage<'_>, manner: Manner) -> Played {
    let is_root = rustix::process::geteuid().is_root();
    // Root could open the guard too; a reader is another user, who cannot.
    let circumstances =
        Circumstances { user: is_root.then_some((READER, GROUP)), ..Circumstances::default() };
    let spec = ServerSpec {
        group: is_root.then_some(GROUP),
        formats: vec![SMALL, RECOLORED],
        change_ms: 300,
        restart_each_ms: 900,
        ..stage.server_spec()
    };
    let server = stage.live_server(spec)?;
    let harassers =
        [stage.reader_in(manner, &circumstances, None)?, stage.reader_in(manner, &circumstances, None)?];
    let bystander =
        stage.reader_in(Manner::Stream, &Circumstances { counts_switches: true, ..circumstances }, None)?;
    let mut done = 0;
    loop {
        let pairs = stage.get(server, Word::Pairs);
        stage.until("the server makes another pair", |stage| {
            (stage.get(server, Word::Pairs) > pairs).then_some(())
        })?;
        stage.until_current(server, bystander)?;
        let now: u64 = harassers.iter().map(|reader| stage.get(*reader, Word::Successes)).sum();
        stage.events(now - done);
        done = now;
        if done > 0 && !stage.has_time() {
            return Ok(());
        }
    }
}

// Proves FILE-5.
pub(crate) fn impostors(stage: &mut Stage<'_>) -> Played {
    super::need_root()?;
    let server = stage.live_server(ServerSpec { group: Some(GROUP), ..stage.server_spec() })?;
    let reader = stage.reader_in(
        Manner::Stream,
        &Circumstances { user: Some((READER, GROUP)), ..Circumstances::default() },
        None,
    )?;
    stage.until_reading(reader)?;
    let crowd: [Actor; 2] =
        [stage.impostor(server, (IMPOSTOR, GROUP))?, stage.impostor(server, (STRANGER, STRANGER))?];
    let mut done = 0;
    loop {
        let tries = |stage: &Stage<'_>| crowd.iter().map(|id| stage.get(*id, Word::Attempts)).sum::<u64>();
        let now = stage.until("the impostors try on", |stage| {
            let now = tries(stage);
            (now >= done + 200).then_some(now)
        })?;
        stage.events(now - done);
        done = now;
        stage.until_current(server, reader)?;
        if stage.get(server, Word::Pairs) != 1 {
            return stage.fail("an impostor made the server build another pair");
        }
        if !stage.has_time() {
            return Ok(());
        }
    }
}
