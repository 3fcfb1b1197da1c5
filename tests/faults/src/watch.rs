//! A reader on a thread of its own that writes down every frame and every state it sees.

use md5::{Digest as _, Md5};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vas_e2e::reader::Frame;
use vas_shm_reader::{CameraId, Color, Event, FrameStream, Mode};

/// Between two looks at whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// A frame, and what the end-to-end tests' comparison does not need.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) frame: Frame,
    pub(crate) at: Instant,
    pub(crate) color: Color,
}

/// What was seen of one camera.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) frames: Vec<Seen>,
    /// States that were told, by name.
    pub(crate) states: Vec<(Instant, &'static str)>,
    /// Frames that were overwritten while they were copied: this reader was too slow for them.
    pub(crate) overwritten: u64,
}

/// A reader of one camera.
pub(crate) struct Watch {
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Reads from now on; the camera need not be there yet.
    pub(crate) fn start(base: &Path, camera: &str) -> Self {
        let notes = Arc::<Mutex<Notes>>::default();
        let stop = Arc::<AtomicBool>::default();
        let id = CameraId::new(camera).unwrap_or_else(|error| panic!("camera {camera}: {error}"));
        let stream = FrameStream::new(base, id).mode(Mode::Next);
        let (theirs, asked) = (Arc::clone(&notes), Arc::clone(&stop));
        let thread = std::thread::spawn(move || read(stream, &theirs, &asked));
        Self { notes, stop, thread: Some(thread) }
    }

    /// Takes the frames out that were seen since the last time.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.notes().frames)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn read(mut stream: FrameStream, notes: &Mutex<Notes>, stop: &AtomicBool) {
    let lock = || notes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut missed = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.next_event(TURN) {
            Event::Frame(frame) => {
                let Ok(picture) = frame.to_packed() else {
                    lock().overwritten += 1;
                    missed += frame.skipped() + 1;
                    continue;
                };
                let now = Instant::now();
                let seen = Seen {
                    frame: Frame {
                        frame_id: frame.id().get(),
                        timestamp_ns: frame.timestamp_ns(),
                        found_ns: vas_shm_reader::monotonic_ns(),
                        since_start_ns: 0,
                        skipped: frame.skipped() + std::mem::take(&mut missed),
                        damaged: frame.is_damaged(),
                        width: frame.picture().width(),
                        height: frame.picture().height(),
                        generation: frame.generation(),
                        md5: format!("{:x}", Md5::digest(&picture)),
                    },
                    at: now,
                    color: frame.color(),
                };
                lock().frames.push(seen);
            }
            Event::Status(status) => lock().states.push((Instant::now(), status.name())),
            Event::Timeout => {}
        }
    }
}
