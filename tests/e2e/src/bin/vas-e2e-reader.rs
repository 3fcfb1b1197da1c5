//! A reader for the tests: takes pictures of `vas-e2e-writer` and says in JSON what it was handed.
//!
//! `vas-e2e-reader BASE CAMERA PICTURES TORN GENERATIONS SECONDS`: reads until it has accepted so many whole pictures from so
//! many generations, and has seen so many that only the check at the end told from whole ones; or until the time is up.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use vas_e2e::pattern::{self, SIZES};
use vas_shm_reader::{CameraId, Event, Frame, FrameId, FrameStream, Overwritten};

/// One in so many frames is read only once its slot is being overwritten, which nothing but the check at the end tells.
const WAITS_EACH: u64 = 8;
/// For so long at most: a server that left its pair overwrites nothing there.
const WAIT_LASTS: Duration = Duration::from_millis(100);
/// One in so many frames is followed by a look at the one before it, which has another time than the newest one.
const LOOKS_BACK_EACH: u64 = 4;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-e2e-reader: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [base, camera, numbers @ ..] = arguments else { return Err("give BASE CAMERA and numbers".into()) };
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u64>, _>>()?;
    let &[pictures, torn, generations, seconds] = numbers.as_slice() else {
        return Err("give PICTURES TORN GENERATIONS SECONDS".into());
    };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut stream = FrameStream::new(base, CameraId::new(camera)?);
    let mut witness = Witness::default();
    let (mut turn, mut ids_fell, mut last) = (0_u64, 0_u64, None);
    while Instant::now() < deadline
        && (witness.accepted < pictures
            || witness.refused_torn < torn
            || (witness.seen.len() as u64) < generations)
    {
        let Event::Frame(frame) = stream.next_event(Duration::from_millis(100)) else { continue };
        turn += 1;
        let id = frame.id().get();
        if witness.accepts(&frame, turn % WAITS_EACH == 0) {
            ids_fell += u64::from(last.replace(id).is_some_and(|last| last >= id));
        }
        if turn % LOOKS_BACK_EACH == 0 {
            let before = FrameId::new(id - 1);
            let before = before.and_then(|before| stream.reader().and_then(|reader| reader.at(before)));
            if let Some(frame) = before {
                let _ = witness.accepts(&frame, false);
            }
        }
    }
    let told = serde_json::json!({
        "accepted": witness.accepted,
        "accepted_torn": witness.accepted_torn,
        "refused": witness.refused,
        "refused_torn": witness.refused_torn,
        "overwritten": witness.overwritten,
        "generations": witness.seen.len(),
        "ids_fell": ids_fell,
    });
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}

/// What was handed out, and what the pictures say of it.
#[derive(Default)]
struct Witness {
    packed: Vec<u8>,
    /// Generation, and the distance between id and number in it.
    distance: Option<(u64, u64)>,
    seen: BTreeSet<u64>,
    accepted: u64,
    accepted_torn: u64,
    refused: u64,
    refused_torn: u64,
    overwritten: u64,
}

impl Witness {
    /// Copies a frame, perhaps only once it is being overwritten; says whether the copy was accepted.
    fn accepts(&mut self, frame: &Frame<'_>, waits: bool) -> bool {
        let size = (frame.picture().width(), frame.picture().height());
        self.packed.resize(frame.picture().packed_size() as usize, 0);
        let packed = &mut self.packed;
        let (mut overwritten, mut denied) = (false, false);
        // The copy is there whatever the check says: what a reader that never checks would have taken for the picture.
        let checked = frame.with(|nv12| {
            if waits {
                let row = &mut packed[..size.0 as usize];
                nv12.copy_luma_row(0, row);
                let (first, since) = (row[0], Instant::now());
                while !overwritten && since.elapsed() < WAIT_LASTS {
                    nv12.copy_luma_row(0, row);
                    overwritten = row[0] != first;
                }
                // Asked at once: by the end of the copy the writer may be so far ahead that a weaker question is answered well.
                denied = overwritten && frame.is_intact();
            }
            nv12.copy_packed_to(packed);
        });
        self.overwritten += u64::from(overwritten);
        self.accepted_torn += u64::from(denied);
        let mark = pattern::mark(packed);
        let (id, generation) = (frame.id().get(), frame.generation());
        if let Err(Overwritten) = checked {
            self.refused += 1;
            self.refused_torn += u64::from(mark.is_none());
            return false;
        }
        // The first one of a generation shows the distance; only an accepted one may.
        let shown = mark.map(|mark| (generation, id.wrapping_sub(mark.number)));
        if self.distance.is_none_or(|(of, _)| of != generation) {
            self.distance = shown;
        }
        let is_right = mark.is_some_and(|mark| {
            self.distance == shown
                && frame.timestamp_ns() == mark.timestamp_ns()
                && SIZES.get(usize::from(mark.size)) == Some(&size)
        });
        self.accepted += 1;
        self.accepted_torn += u64::from(!is_right || overwritten);
        self.seen.insert(generation);
        true
    }
}
