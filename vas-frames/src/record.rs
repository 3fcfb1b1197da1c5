//! `record`: a camera's frames with their times into a file.
//!
//! One thread reads the camera and copies, another one writes. Between them is a queue with a limit: what is written to may be slow,
//! which costs recorded frames and nothing else, and each is counted.

use crate::cli::{CameraArgument, OwnerArgument, seconds};
use crate::failure::Failure;
use crate::human;
use crate::watch::{REFUSAL_LIMIT, no_frame};
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vas_recording::{End, EndReason, FrameInfo, Section, Start, StreamState, StreamStateChange, Writer};
use vas_shm_reader::{CameraId, CopyError, Event, FrameStream, Mode, Status, StreamStatus, monotonic_ns};

/// How often signals and the writing thread are looked at while no frame comes.
const TICK: Duration = Duration::from_millis(100);
/// Changes of state that may wait for the writing thread; more are not told in the recording.
const STATES_LIMIT: usize = 1024;

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    camera: CameraArgument,
    /// Where to write the recording; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// End so long after the first frame
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    seconds: Option<Duration>,
    /// End after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End before the recording is larger than this
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    max_bytes: Option<u64>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// End when no frame came for so long (default: wait for ever)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// How much may wait to be written; more frames are dropped
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 20)]
    buffer_bytes: usize,
    /// Print what was recorded as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    owner: OwnerArgument,
}

/// What was recorded, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Report<'r> {
    file: String,
    camera: &'r str,
    ended: &'static str,
    frames: u64,
    overwritten: u64,
    dropped: u64,
    bytes: u64,
    seconds: f64,
}

pub(crate) fn run(base: &Path, arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let camera = arguments.camera.id()?;
    let mut target = Target::open(&arguments.output, arguments.force)?;
    let stop = listen().map_err(|error| Failure::System { what: "listen to signals".to_owned(), error })?;
    let queue = Queue::new(arguments.buffer_bytes);
    let stream = FrameStream::new(base, camera).mode(Mode::Next).options(arguments.owner.options());
    let began = Instant::now();
    let (read, written) = std::thread::scope(|scope| {
        let writing = std::thread::Builder::new()
            .name("vas-record".into())
            .spawn_scoped(scope, || write(&queue, &mut target, arguments.max_bytes, camera));
        let writing = match writing {
            Ok(writing) => writing,
            Err(error) => {
                let failure = Failure::System { what: "start a thread".to_owned(), error };
                return (Err(failure), Ok(Written::default()));
            }
        };
        let mut end = no_end();
        let read = read(stream, arguments, &queue, &stop, &mut end);
        if read.is_err() {
            end.reason = EndReason::Silence;
        }
        queue.close(end);
        (read.map(|()| end), writing.join())
    });
    // A panic of it was printed. Nothing is known of what it wrote, so it stays.
    let is_known = written.is_ok();
    let written = written.unwrap_or_default();
    if let Some(error) = written.error {
        return Err(match arguments.output.to_str() {
            Some("-") => Failure::Stdout(error),
            _ => Failure::Record { path: arguments.output.clone(), error, frames: written.frames },
        });
    }
    if written.frames == 0 && is_known {
        target.forget();
    }
    let end = read?;
    let (overwritten, dropped) = match written.is_full {
        true => (written.overwritten, written.dropped),
        false => (end.overwritten, end.dropped),
    };
    let report = Report {
        file: arguments.output.display().to_string(),
        camera: camera.as_str(),
        ended: if written.is_full { EndReason::Size.name() } else { end.reason.name() },
        frames: written.frames,
        overwritten,
        dropped,
        bytes: written.bytes,
        seconds: human::milliseconds(began.elapsed()) / 1e3,
    };
    if written.frames == 0 {
        return Err(Failure::NothingRecorded { ended: report.ended });
    }
    let text = if arguments.json {
        serde_json::to_string(&report)?
    } else {
        format!(
            "wrote {}: {} frames of camera {camera} in {:.1} s, {}; not in it: {} overwritten before they were copied, {} dropped as writing was too slow ({})",
            report.file,
            report.frames,
            report.seconds,
            human::bytes(report.bytes),
            report.overwritten,
            report.dropped,
            report.ended,
        )
    };
    if arguments.output == Path::new("-") {
        // Standard output has the recording.
        let _ = writeln!(io::stderr(), "{text}");
        return Ok(());
    }
    Ok(writeln!(out, "{text}")?)
}

/// The first of the signals that ask for the end sets a flag; the second one ends the program at once, should a disk hang.
fn listen() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

// ---- Reading ------------------------------------------------------------------------------------------------------------

fn no_end() -> End {
    End { frames: 0, overwritten: 0, dropped: 0, at_ns: monotonic_ns(), reason: EndReason::Asked }
}

/// Reads until it is enough; `end` is what there is to say of it, also when it fails. Waits for the camera and for nothing else.
fn read(
    mut stream: FrameStream,
    arguments: &Arguments,
    queue: &Queue,
    stop: &AtomicBool,
    end: &mut End,
) -> Result<(), Failure> {
    // Frames that are not recorded, since the last one that was.
    let (mut overwritten, mut dropped) = (0, 0);
    let mut section: Option<Section> = None;
    let mut recorded = 0;
    let mut first_at: Option<Instant> = None;
    let mut last_frame_at = Instant::now();
    let mut last_status: Option<StreamStatus> = None;
    let mut refused: Option<Instant> = None;
    loop {
        let mut copied = None;
        match stream.next_event(TICK) {
            Event::Frame(frame) => {
                last_frame_at = Instant::now();
                refused = None;
                overwritten += frame.skipped();
                end.overwritten += frame.skipped();
                let mut pixels = queue.buffer();
                pixels.resize(frame.picture().packed_size() as usize, 0);
                match frame.copy_to(&mut pixels) {
                    Ok(()) => {
                        let info = FrameInfo {
                            frame_id: frame.id().get(),
                            timestamp_ns: frame.timestamp_ns(),
                            flags: frame.flags(),
                            overwritten,
                            dropped,
                        };
                        copied = Some((info, pixels, frame.generation(), *frame.picture(), frame.color()));
                    }
                    Err(CopyError::Overwritten(_)) => {
                        overwritten += 1;
                        end.overwritten += 1;
                    }
                    Err(CopyError::BufferTooSmall { .. }) => {
                        unreachable!("the buffer has the packed size")
                    }
                }
            }
            Event::Status(status) => {
                if recorded > 0 {
                    queue.push_state(StreamStateChange { state: state(&status), at_ns: monotonic_ns() });
                }
                refused = match &status {
                    StreamStatus::Refused(_) => refused.or_else(|| Some(Instant::now())),
                    _ => None,
                };
                last_status = Some(status);
            }
            Event::Timeout => {}
        }
        if let Some((info, pixels, generation, picture, color)) = copied {
            let found_ns = stream.reader().map_or(0, vas_shm_reader::Reader::frame_period_ns);
            // Servers learn it late, and sharpen it; what is recorded is the first that was known.
            let known =
                section.filter(|known| known.generation() == generation && known.frame_period_ns() > 0);
            let period_ns = known.map_or(found_ns, |known| known.frame_period_ns());
            if let Ok(now) = Section::new(generation, picture.width(), picture.height(), color, period_ns) {
                section = Some(now);
                if queue.push_frame(now, info, pixels) {
                    first_at.get_or_insert_with(Instant::now);
                    recorded += 1;
                    (overwritten, dropped) = (0, 0);
                } else {
                    dropped += 1;
                    end.dropped += 1;
                }
            }
        }
        end.at_ns = monotonic_ns();
        if queue.has_failed() {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            end.reason = EndReason::Signal;
            return Ok(());
        }
        let is_over = arguments.seconds.zip(first_at).is_some_and(|(limit, first)| first.elapsed() >= limit);
        if is_over || arguments.count == Some(recorded) {
            return Ok(());
        }
        let timed_out = arguments.timeout.filter(|&timeout| last_frame_at.elapsed() >= timeout);
        match (&last_status, refused) {
            (Some(StreamStatus::Refused(why)), Some(since))
                if timed_out.is_some() || since.elapsed() >= REFUSAL_LIMIT =>
            {
                return Err(Failure::Refused(why.clone()));
            }
            _ => {}
        }
        match timed_out {
            Some(timeout) if recorded == 0 => {
                return Err(no_frame(stream.camera().as_str(), timeout, last_status.as_ref()));
            }
            Some(_) => {
                end.reason = EndReason::Silence;
                return Ok(());
            }
            None => {}
        }
    }
}

fn state(status: &StreamStatus) -> StreamState {
    match status {
        StreamStatus::Waiting(_) => StreamState::Waiting,
        StreamStatus::Refused(_) => StreamState::Refused,
        StreamStatus::Open(status) => match status {
            Status::Idle => StreamState::Idle,
            Status::Stalled => StreamState::Stalled,
            Status::Stopped => StreamState::Stopped,
            Status::Replaced => StreamState::Replaced,
            Status::ServerGone => StreamState::ServerGone,
            _ => StreamState::Live,
        },
    }
}

// ---- Between the two ----------------------------------------------------------------------------------------------------

enum Item {
    Frame { section: Section, info: FrameInfo, pixels: Vec<u8> },
    State(StreamStateChange),
}

/// What was read and is not written yet. Whoever reads never waits for whoever writes.
struct Queue {
    limit_bytes: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    states: usize,
    /// Memory of frames that were written.
    spare: Vec<Vec<u8>>,
    end: Option<End>,
    has_failed: bool,
}

impl Queue {
    fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, waiting: Mutex::default(), changed: Condvar::new() }
    }

    /// Consistent after every operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for a frame, used or new.
    fn buffer(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// False: there was no room for it. A frame always finds room where none is waiting.
    fn push_frame(&self, section: Section, info: FrameInfo, pixels: Vec<u8>) -> bool {
        let mut waiting = self.lock();
        let bytes = waiting.bytes.saturating_add(pixels.len());
        if waiting.has_failed || (waiting.bytes > 0 && bytes > self.limit_bytes) {
            waiting.spare.push(pixels);
            return false;
        }
        waiting.bytes = bytes;
        waiting.items.push_back(Item::Frame { section, info, pixels });
        self.changed.notify_one();
        true
    }

    fn push_state(&self, change: StreamStateChange) {
        let mut waiting = self.lock();
        if waiting.states < STATES_LIMIT {
            waiting.states += 1;
            waiting.items.push_back(Item::State(change));
            self.changed.notify_one();
        }
    }

    fn close(&self, end: End) {
        self.lock().end = Some(end);
        self.changed.notify_one();
    }

    fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// The next item, waited for; or the end.
    fn pop(&self) -> Result<Item, End> {
        let mut waiting = self.lock();
        loop {
            if let Some(item) = waiting.items.pop_front() {
                return Ok(item);
            }
            if let Some(end) = waiting.end {
                return Err(end);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts as waiting until it is written: so the limit is one of memory.
    fn written(&self, pixels: Option<Vec<u8>>) {
        let mut waiting = self.lock();
        match pixels {
            Some(pixels) => {
                waiting.bytes -= pixels.len();
                waiting.spare.push(pixels);
            }
            None => waiting.states -= 1,
        }
    }

    /// Nothing more is written.
    fn fail(&self) {
        let mut waiting = self.lock();
        waiting.has_failed = true;
        waiting.items.clear();
    }
}

// ---- Writing ------------------------------------------------------------------------------------------------------------

/// What the recording is written to.
struct Target {
    file: File,
    /// Where this is a file that was made here.
    made: Option<PathBuf>,
    is_regular: bool,
}

impl Target {
    fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                let sentence = "a recording is no text: -o - is for a pipe or a file".to_owned();
                return Err(Failure::Usage { sentence });
            }
            let file = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Self { file: file.into(), made: None, is_regular: false });
        }
        let mut options = OpenOptions::new();
        options.write(true);
        let opened = match options.clone().create_new(true).open(path) {
            Ok(file) => Ok((file, Some(path.to_owned()))),
            // Its old bytes stay until there is a frame to write.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && force => {
                options.open(path).map(|file| (file, None))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::Exists { path: path.to_owned() });
            }
            Err(error) => Err(error),
        };
        let (file, made) = opened.map_err(|error| Failure::Picture { path: path.to_owned(), error })?;
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(Self { file, made, is_regular })
    }

    /// Makes it as long as this; what is no regular file has no length.
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        if self.is_regular {
            self.file.set_len(bytes)?;
            self.file.seek(SeekFrom::Start(bytes))?;
        }
        Ok(())
    }

    /// Removes a file that nothing was written to.
    fn forget(&self) {
        if let Some(path) = &self.made {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[derive(Debug, Default)]
struct Written {
    frames: u64,
    bytes: u64,
    /// As the frames say that were written.
    overwritten: u64,
    dropped: u64,
    is_full: bool,
    error: Option<io::Error>,
}

/// Writes until the end, or until that is not possible any more. What is there then ends with its last whole record.
fn write(queue: &Queue, target: &mut Target, max_bytes: Option<u64>, camera: CameraId) -> Written {
    let mut written = Written::default();
    let mut writer = None;
    let done = write_all(queue, target, max_bytes, camera, &mut writer, &mut written);
    if let Some(writer) = &writer {
        (written.frames, written.bytes) = (writer.frames(), writer.whole_bytes());
    }
    // A disk that says only now that it could not write.
    let done = done.and_then(|()| if target.is_regular { target.file.sync_data() } else { Ok(()) });
    if let Err(error) = done {
        queue.fail();
        let whole = writer.map_or(0, |writer| writer.whole_bytes());
        // Were that not possible, a reader would find the place by itself.
        let _ = target.cut(whole);
        written.error = Some(error);
    }
    written
}

fn write_all(
    queue: &Queue,
    target: &mut Target,
    max_bytes: Option<u64>,
    camera: CameraId,
    writer: &mut Option<Writer<File>>,
    written: &mut Written,
) -> io::Result<()> {
    let mut section = None;
    loop {
        let item = match queue.pop() {
            Ok(item) => item,
            Err(end) => {
                return match writer {
                    Some(writer) => writer.end(&end),
                    None => Ok(()),
                };
            }
        };
        match item {
            Item::Frame { section: of_frame, info, pixels } => {
                let bytes = writer.as_ref().map_or(vas_recording::HEADER_SIZE as u64, Writer::whole_bytes)
                    + Writer::<File>::frame_record_bytes(pixels.len() as u64)
                    + Writer::<File>::other_record_bytes();
                if max_bytes.is_some_and(|limit| bytes > limit) {
                    written.is_full = true;
                    queue.fail();
                    let (overwritten, dropped) = (written.overwritten, written.dropped);
                    let end = End { overwritten, dropped, reason: EndReason::Size, ..no_end() };
                    return writer.as_mut().map_or(Ok(()), |writer| writer.end(&end));
                }
                let out = match writer {
                    Some(writer) => writer,
                    None => {
                        target.cut(0)?;
                        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                        let wall_ns = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
                        let start = Start { camera, wall_ns, monotonic_ns: monotonic_ns() };
                        writer.insert(Writer::new(target.file.try_clone()?, &start)?)
                    }
                };
                if section != Some(of_frame) {
                    out.section(&of_frame)?;
                    section = Some(of_frame);
                }
                out.frame(&info, &pixels)?;
                written.overwritten += info.overwritten;
                written.dropped += info.dropped;
                queue.written(Some(pixels));
            }
            Item::State(change) => {
                if let Some(writer) = writer {
                    writer.state(&change)?;
                }
                queue.written(None);
            }
        }
    }
}
