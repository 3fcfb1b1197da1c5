//! A reader for the tests: takes pictures of `vas-e2e-writer` and says in JSON what it was handed.
//!
//! `vas-e2e-reader BASE CAMERA PICTURES TORN GENERATIONS SECONDS`: reads until it has accepted so many whole pictures from so
//! many generations, and has seen so many that only the check at the end told from whole ones; or until the time is up.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use vas_e2e::pattern::{self, SIZES};
use vas_shm_reader::{CameraId, Event, FrameStream, Overwritten};

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
    let mut packed = Vec::new();
    let mut seen = BTreeSet::new();
    // Generation, and the distance between id and number in it.
    let mut distance: Option<(u64, u64)> = None;
    let (mut accepted, mut accepted_torn, mut refused, mut refused_torn) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut ids_fell = 0_u64;
    let mut last = None;
    while Instant::now() < deadline
        && (accepted < pictures || refused_torn < torn || (seen.len() as u64) < generations)
    {
        let Event::Frame(frame) = stream.next_event(Duration::from_millis(100)) else { continue };
        let size = (frame.picture().width(), frame.picture().height());
        packed.resize(frame.picture().packed_size() as usize, 0);
        // The copy is there whatever the check says: what a reader that never checks would have taken for the picture.
        let checked = frame.with(|nv12| nv12.copy_packed_to(&mut packed));
        let mark = pattern::mark(&packed);
        let (id, generation) = (frame.id().get(), frame.generation());
        let is_right = mark.is_some_and(|mark| {
            let is_of_id = match distance {
                Some((of, distance)) if of == generation => id - mark.number == distance,
                // The first one of a generation shows the distance; only an accepted one may.
                _ => checked.is_ok(),
            };
            is_of_id && SIZES.get(usize::from(mark.size)) == Some(&size)
        });
        match checked {
            Ok(()) => {
                accepted += 1;
                accepted_torn += u64::from(!is_right);
                if let Some(mark) = mark {
                    distance = Some((generation, id - mark.number));
                }
                seen.insert(generation);
                ids_fell += u64::from(last.replace(id).is_some_and(|last| last >= id));
            }
            Err(Overwritten) => {
                refused += 1;
                refused_torn += u64::from(mark.is_none());
            }
        }
    }
    let told = serde_json::json!({
        "accepted": accepted,
        "accepted_torn": accepted_torn,
        "refused": refused,
        "refused_torn": refused_torn,
        "generations": seen.len(),
        "ids_fell": ids_fell,
    });
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}
