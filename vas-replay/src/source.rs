//! The recording, read ahead on a thread of its own: what is read from may be slow, or a pipe that nobody writes to, and neither
//! keeps the heart from beating or a signal from being heard.

use crate::failure::Failure;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::Duration;
use vas_recording::{Ending, FrameInfo, ReadError, Reader, Record, Section, StreamStateChange};

/// Frames that are read ahead.
const AHEAD: usize = 4;
/// What a disk is read by; pictures go past it.
const BUFFER_BYTES: usize = 64 * 1024;

/// What comes next.
pub(crate) enum Item {
    /// A frame and the section it is in; give the pixels back.
    Frame {
        section: Section,
        info: FrameInfo,
        pixels: Vec<u8>,
    },
    State(StreamStateChange),
    /// The recording begins again.
    Again,
    /// Nothing more. `None`: the frames that were chosen were all there, and what follows them was not looked at.
    Ended(Option<Ending>),
    /// What was played was whole; here it is not.
    Failed(ReadError),
}

/// Which of the frames are played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// The first one, counted from 1.
    pub(crate) from: u64,
    pub(crate) count: Option<u64>,
    pub(crate) repeat: bool,
}

type Input = BufReader<Box<dyn Read + Send>>;

pub(crate) struct Source {
    items: Receiver<Item>,
    used: std::sync::mpsc::Sender<Vec<u8>>,
}

/// Opens a recording; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Reader<Input>, Failure> {
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::Open { path: path.to_owned(), error })?)
    };
    Reader::new(BufReader::with_capacity(BUFFER_BYTES, input))
        .map_err(|error| Failure::Recording { path: path.to_owned(), error })
}

impl Source {
    /// Reads on from here.
    pub(crate) fn start(reader: Reader<Input>, path: PathBuf, choice: Choice) -> Result<Self, Failure> {
        let (sender, items) = sync_channel(AHEAD);
        let (used, give_back) = channel();
        std::thread::Builder::new()
            .name("vas-replay-read".into())
            // Ends when nobody takes its items any more, or with the process.
            .spawn(move || {
                let _ = laps(reader, &path, choice, &sender, &give_back);
            })
            .map_err(|error| Failure::System { what: "start a thread", error })?;
        Ok(Self { items, used })
    }

    /// The next item, if it comes in time.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Item> {
        match self.items.recv_timeout(timeout) {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread says how it ends, unless it panicked.
            Err(RecvTimeoutError::Disconnected) => {
                let error = io::Error::other("the thread that reads it has ended");
                Some(Item::Failed(ReadError::Io { offset: 0, error }))
            }
        }
    }

    /// Pixels that were played, for the next frame.
    pub(crate) fn give_back(&self, pixels: Vec<u8>) {
        let _ = self.used.send(pixels);
    }
}

/// Nobody takes items any more.
struct Unwanted;

fn laps(
    mut reader: Reader<Input>,
    path: &Path,
    choice: Choice,
    sender: &SyncSender<Item>,
    give_back: &Receiver<Vec<u8>>,
) -> Result<(), Unwanted> {
    let send = |item| sender.send(item).map_err(|_| Unwanted);
    loop {
        let (played, ended) = lap(&mut reader, choice, give_back, &send)?;
        let goes_on = choice.repeat && played > 0 && matches!(ended, Item::Ended(_));
        if !goes_on {
            return send(ended);
        }
        send(Item::Again)?;
        reader = match open(path) {
            Ok(reader) => reader,
            Err(Failure::Recording { error, .. }) => return send(Item::Failed(error)),
            Err(Failure::Open { error, .. }) => {
                return send(Item::Failed(ReadError::Io { offset: 0, error }));
            }
            Err(_) => return Ok(()),
        };
    }
}

/// Once through the recording: how many frames that were, and how it ended.
fn lap(
    reader: &mut Reader<Input>,
    choice: Choice,
    give_back: &Receiver<Vec<u8>>,
    send: &impl Fn(Item) -> Result<(), Unwanted>,
) -> Result<(u64, Item), Unwanted> {
    let mut section = None;
    let (mut read, mut played) = (0, 0);
    let mut pixels = Vec::new();
    loop {
        if choice.count == Some(played) {
            return Ok((played, Item::Ended(None)));
        }
        match reader.next_record(&mut pixels) {
            Ok(Record::Section(found)) => section = Some(found),
            Ok(Record::Frame(info)) => {
                read += 1;
                // A reader gives no frame before a section.
                if let Some(section) = section.filter(|_| read >= choice.from) {
                    let empty = give_back.try_recv().unwrap_or_default();
                    let pixels = std::mem::replace(&mut pixels, empty);
                    send(Item::Frame { section, info, pixels })?;
                    played += 1;
                }
            }
            Ok(Record::State(change)) if played > 0 => send(Item::State(change))?,
            Ok(Record::State(_)) => {}
            Ok(Record::Ended(ending)) => return Ok((played, Item::Ended(Some(ending)))),
            Err(error) => return Ok((played, Item::Failed(error))),
        }
    }
}
