//! The role of a reader, in many manners: some as they should be, some as nobody should be.

use crate::ledger::{Entry, Ledger, Word};
use crate::os;
use crate::witness::{Witness, nap};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vas_shm_reader::{
    CameraId, Event, Found, Frame, FrameId, FrameStream, Mode, Opened, Options, Reader, StreamStatus, open,
};

/// Between two tries to open, as clause OPEN-19 asks.
const OPEN_AGAIN: Duration = Duration::from_millis(100);
/// Between two looks at the name while nothing new comes.
const NAME_CHECK: Duration = Duration::from_millis(50);
/// Empty looks between two naps: a reader that only spins takes a processor from those it is to look at.
const SPINS: u32 = 64;
const SPIN_NAP: Duration = Duration::from_micros(100);
/// How long a stream is asked to wait, so that the end is noticed.
const PATIENCE: Duration = Duration::from_millis(20);
/// Replaced pairs that a hoarder goes on reading: no more than the server promises to look after.
const HOARD_READ: usize = 12;
/// Between two rounds of a hoarder: more than two heartbeats of the server, which then gives back what was filled again.
const HOARD_ROUND: Duration = Duration::from_millis(1500);
/// How long locks are held.
const LOCKS_HELD: Duration = Duration::from_millis(10);

/// What a reader does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReaderSpec {
    pub(crate) base: PathBuf,
    pub(crate) camera: String,
    pub(crate) manner: Manner,
    /// Accepts frames without the check.
    pub(crate) is_blind: bool,
    pub(crate) seed: u64,
}

/// How it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Manner {
    /// Looks again and again, copies every frame that it can get.
    Spin,
    /// As a stream: the newest frames, as most people read.
    Stream,
    /// As a stream of all frames.
    Every,
    /// Asks for frames that are older than the newest.
    Older,
    /// Reads in place and pauses in the middle of each frame.
    Hold { ms: u64 },
    /// Opens, takes one frame, closes, without a pause.
    Reopen,
    /// Never unmaps anything; reads old pairs on and on, or only keeps them.
    Hoard { reads: bool },
    /// Takes every lock and lease that it can.
    Lock,
    /// Only opens and closes the files.
    Poke,
    /// With too few descriptors and too little address space every other time.
    Starve,
}

/// Reads until it is asked to end.
pub(crate) fn run(spec: &ReaderSpec, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let camera = CameraId::new(&spec.camera)?;
    let place = Place { base: &spec.base, camera, ledger };
    let mut witness = Witness::new(ledger, spec.is_blind);
    let mut rng = fastrand::Rng::with_seed(spec.seed);
    ledger.set(Word::Clock, vas_shm_reader::monotonic_ns());
    ledger.set(Word::Ready, 1);
    match spec.manner {
        Manner::Spin => place.sessions(|reader, seen| {
            newest(reader, seen, ledger, |frame| {
                witness.copy(frame);
            })
        }),
        Manner::Older => place.sessions(|reader, seen| {
            let mut older = None;
            let look = newest(reader, seen, ledger, |frame| older = Some(frame.id()));
            let back = rng.u64(0..u64::from(reader.header().slots().get()));
            let older = older.and_then(|id| FrameId::new(id.get() - back));
            if let Some(frame) = older.and_then(|id| reader.at(id)) {
                witness.copy(&frame);
            }
            look
        }),
        Manner::Hold { ms } => place.sessions(|reader, seen| {
            newest(reader, seen, ledger, |frame| {
                witness.hold(frame, || nap(ledger, Duration::from_millis(ms)));
            })
        }),
        Manner::Stream => streamed(&place, Mode::Latest, &mut witness),
        Manner::Every => streamed(&place, Mode::Next, &mut witness),
        Manner::Reopen => reopen(&place, &mut witness),
        Manner::Hoard { reads } => hoard(&place, reads, &mut witness),
        Manner::Lock => lock(&place, &mut witness),
        Manner::Poke => poke(&place),
        Manner::Starve => starve(&place, &mut witness)?,
    }
    Ok(())
}

/// What a look at an open pair came to.
#[derive(PartialEq, Eq)]
enum Look {
    Worked,
    Nothing,
    Leave,
}

/// The camera that is looked at.
struct Place<'p> {
    base: &'p Path,
    camera: CameraId,
    ledger: &'p Ledger,
}

impl Place<'_> {
    fn open(&self) -> Option<Reader> {
        match open(self.base, &self.camera, &Options::new()) {
            Opened::Ready(reader) => {
                self.ledger.add(Word::Opened, 1);
                Some(reader)
            }
            Opened::NotYet(_) => {
                self.ledger.add(Word::NotYet, 1);
                None
            }
            Opened::Refused(why) => {
                self.ledger.add(Word::Refused, 1);
                self.ledger.note(format!("refused: {why}"));
                None
            }
        }
    }

    /// Opens again and again, and works on each pair until it is over.
    fn sessions(&self, mut work: impl FnMut(&Reader, &mut Option<FrameId>) -> Look) {
        while !self.ledger.is_to_end() {
            match self.open() {
                Some(reader) => {
                    let mut seen = None;
                    self.session(&reader, || work(&reader, &mut seen));
                }
                None => nap(self.ledger, OPEN_AGAIN),
            }
        }
    }

    /// Works on a pair until it is over.
    fn session(&self, reader: &Reader, mut work: impl FnMut() -> Look) {
        let mut empty = 0;
        let mut named_at = Instant::now();
        while !self.ledger.is_to_end() {
            match work() {
                Look::Worked => empty = 0,
                Look::Leave => return,
                Look::Nothing => {
                    empty += 1;
                    if reader.observe().state.is_over() {
                        return;
                    }
                    if empty % SPINS == 0 {
                        std::thread::sleep(SPIN_NAP);
                    }
                    if named_at.elapsed() > NAME_CHECK {
                        named_at = Instant::now();
                        if !reader.is_still_named() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn directory(&self) -> PathBuf {
        self.base.join(self.camera.as_str())
    }
}

/// Looks at the newest frame unless it was seen.
fn newest(
    reader: &Reader,
    seen: &mut Option<FrameId>,
    ledger: &Ledger,
    look: impl FnOnce(&Frame<'_>),
) -> Look {
    match reader.latest(*seen) {
        Found::Frame(frame) => {
            *seen = Some(frame.id());
            look(&frame);
            Look::Worked
        }
        Found::NothingNew => Look::Nothing,
        Found::Overrun => {
            ledger.add(Word::Overruns, 1);
            Look::Worked
        }
    }
}

fn streamed(place: &Place<'_>, mode: Mode, witness: &mut Witness<'_>) {
    let mut stream = FrameStream::new(place.base, place.camera).mode(mode);
    while !place.ledger.is_to_end() {
        match stream.next_event(PATIENCE) {
            Event::Frame(frame) => {
                witness.copy(&frame);
            }
            Event::Status(StreamStatus::Refused(why)) => {
                place.ledger.add(Word::Refused, 1);
                place.ledger.note(format!("refused: {why}"));
            }
            Event::Status(status) => place.ledger.note(status.to_string()),
            Event::Timeout => {}
        }
    }
}

fn reopen(place: &Place<'_>, witness: &mut Witness<'_>) {
    while !place.ledger.is_to_end() {
        let Some(reader) = place.open() else {
            // One that does not keep to OPEN-19.
            std::thread::sleep(Duration::from_micros(100));
            continue;
        };
        let mut seen = None;
        place.session(&reader, || {
            match newest(&reader, &mut seen, place.ledger, |frame| {
                witness.copy(frame);
            }) {
                Look::Worked => Look::Leave,
                other => other,
            }
        });
        witness.forget_time();
    }
}

fn hoard(place: &Place<'_>, reads: bool, witness: &mut Witness<'_>) {
    // Never unmapped means never: the mappings are given up with the process.
    let mut kept: Vec<Frame<'static>> = Vec::new();
    let mut round_at = Instant::now() + HOARD_ROUND;
    while !place.ledger.is_to_end() {
        let Some(reader) = place.open() else {
            nap(place.ledger, OPEN_AGAIN);
            continue;
        };
        let reader: &'static Reader = Box::leak(Box::new(reader));
        let mut seen = None;
        let mut is_kept = false;
        place.session(reader, || {
            if reads && Instant::now() >= round_at {
                round_at = Instant::now() + HOARD_ROUND;
                // These were replaced long ago: what is read there means nothing, and makes the kernel allocate it again.
                for frame in kept.iter().rev().take(HOARD_READ) {
                    if let Ok(_zeros) = frame.to_packed() {
                        // Whole, as its pair was not emptied yet.
                    }
                    place.ledger.add(Word::Attempts, 1);
                }
            }
            match reader.latest(seen) {
                Found::Frame(frame) => {
                    seen = Some(frame.id());
                    if !is_kept {
                        kept.push(frame);
                        is_kept = true;
                    }
                    witness.copy(&frame);
                    Look::Worked
                }
                Found::NothingNew => Look::Nothing,
                Found::Overrun => Look::Worked,
            }
        });
    }
}

/// Opens a file as a reader may; `None`: it is not there at the moment.
fn open_plainly(path: &Path) -> Option<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).ok()
}

fn lock(place: &Place<'_>, witness: &mut Witness<'_>) {
    let names = ["frame.meta", "frame.data"].map(|name| place.directory().join(name));
    let mut seen = None;
    let mut reader = None;
    while !place.ledger.is_to_end() {
        let files: Vec<File> = names.iter().filter_map(|name| open_plainly(name)).collect();
        let directory = File::open(place.directory());
        let tries = files.iter().flat_map(|file| {
            [
                flock(file, FlockOperation::NonBlockingLockShared).is_ok(),
                flock(file, FlockOperation::NonBlockingLockExclusive).is_ok(),
                fcntl_lock(file, FlockOperation::NonBlockingLockShared).is_ok(),
                os::take_description_lock(file, false).is_ok(),
                os::take_description_lock(file, true).is_ok(),
                os::take_read_lease(file).is_ok(),
            ]
        });
        let on_directory =
            directory.iter().map(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok());
        for is_taken in tries.chain(on_directory) {
            place.ledger.add(Word::Attempts, 1);
            place.ledger.add(Word::Successes, u64::from(is_taken));
        }
        // All of them are held while it reads, and a while longer.
        if reader.as_ref().is_none_or(|reader: &Reader| !reader.is_still_named()) {
            reader = place.open();
            seen = None;
        }
        if let Some(reader) = &reader {
            newest(reader, &mut seen, place.ledger, |frame| {
                witness.copy(frame);
            });
        }
        nap(place.ledger, LOCKS_HELD);
    }
}

fn poke(place: &Place<'_>) {
    let names = ["frame.meta", "frame.data"].map(|name| place.directory().join(name));
    while !place.ledger.is_to_end() {
        for name in &names {
            let opened = open_plainly(name);
            place.ledger.add(Word::Attempts, 1);
            place.ledger.add(Word::Successes, u64::from(opened.is_some()));
        }
    }
}

/// Descriptors that are open, by number: the next one gets this one or a lower.
fn open_descriptors() -> Result<u64, Box<dyn Error>> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count() as u64)
}

/// Address space in use, in bytes.
fn address_space() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

/// Lowers a limit to `limit` while `work` is done.
fn with_limit<R>(resource: Resource, limit: u64, work: impl FnOnce() -> R) -> Result<R, Box<dyn Error>> {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(limit), maximum: before.maximum })?;
    let result = work();
    setrlimit(resource, before)?;
    Ok(result)
}

fn starve(place: &Place<'_>, witness: &mut Witness<'_>) -> Result<(), Box<dyn Error>> {
    while !place.ledger.is_to_end() {
        let Some(reader) = place.open() else {
            nap(place.ledger, OPEN_AGAIN);
            continue;
        };
        // Room for one descriptor and not for two, then for none; for the header and not for the pixels, then for neither.
        let descriptors = open_descriptors()?;
        let space = address_space()?;
        let limits = [
            (Resource::Nofile, descriptors),
            (Resource::Nofile, descriptors - 1),
            (Resource::As, space + 64 * 1024),
            (Resource::As, space),
        ];
        for (resource, limit) in limits {
            let opened = with_limit(resource, limit, || {
                place.ledger.add(Word::Attempts, 1);
                matches!(open(place.base, &place.camera, &Options::new()), Opened::Ready(_))
            })?;
            place.ledger.add(Word::Successes, u64::from(opened));
        }
        // What was open before goes on under all of these limits.
        let mut seen = None;
        let (mut frames, until) = (0, Instant::now() + Duration::from_millis(20));
        with_limit(Resource::Nofile, descriptors - 1, || {
            place.session(&reader, || {
                let look = newest(&reader, &mut seen, place.ledger, |frame| {
                    frames += u32::from(witness.copy(frame));
                });
                if Instant::now() >= until { Look::Leave } else { look }
            });
        })?;
        if frames == 0 && reader.is_still_named() && !reader.observe().state.is_over() {
            place.ledger.note("no frame within 20 ms under a limit");
        }
        witness.forget_time();
    }
    Ok(())
}

/// Says that something was possible that must not be.
pub(crate) fn breach(ledger: &Ledger, what: impl Into<String>) {
    ledger.add(Word::Successes, 1);
    ledger.say(&Entry::Breach { what: what.into() });
}
