//! A reader for the tests that holds on to one frame: `vas-e2e-holder BASE CAMERA`.
//!
//! It takes a frame by reference, says `holding`, and looks at the pixels only once a line comes on its standard input, whatever
//! has become of the server meanwhile. Then it says in JSON whether the frame was still whole.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Event, FrameStream};

/// For so long it waits for a first frame.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-e2e-holder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [base, camera] = arguments else { return Err("give BASE CAMERA".into()) };
    let mut stream = FrameStream::new(base, CameraId::new(camera)?);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Event::Frame(frame) = stream.next_event(Duration::from_millis(100)) else { continue };
        let mut packed = vec![0; frame.picture().packed_size() as usize];
        let checked = frame.with(|pixels| {
            writeln!(std::io::stdout(), "holding")?;
            std::io::stdin().read_line(&mut String::new())?;
            pixels.copy_packed_to(&mut packed);
            std::io::Result::Ok(())
        });
        let is_whole = match checked {
            Ok(looked) => {
                looked?;
                true
            }
            Err(_) => false,
        };
        let told =
            serde_json::json!({ "is_whole": is_whole, "is_zero": packed.iter().all(|&byte| byte == 0) });
        writeln!(std::io::stdout(), "{told}")?;
        return Ok(());
    }
    Err("no frame came".into())
}
