//! `vas-test-camera`: the test camera as a program, its faults switched by lines on standard input.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, error::ErrorKind};
use vas_test_camera::{Auth, AuthScheme, COMMANDS, Clip, Join, Options, PaceFrom, ParameterSets, TestCamera};

/// An RTSP camera for tests: plays H.264, H.265 and MJPEG clips round and round on 127.0.0.1, with faults on demand.
///
/// Prints `READY rtsp://127.0.0.1:PORT/cam` when clients may come. Takes commands on standard input, one a line, and
/// answers each with a line that begins with OK or ERROR. Ends when standard input ends.
#[derive(Parser)]
#[command(version, after_help = format!("Commands on standard input:\n{COMMANDS}"))]
struct Cli {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Pictures a second, from 0.1 to 1000
    #[arg(long, default_value_t = 25.0)]
    fps: f64,
    /// With which picture a client begins: the clip's first, the next key picture of the clip that plays all the time,
    /// or whichever is next
    #[arg(long, value_enum, default_value_t)]
    join: Join,
    /// When the clip that plays all the time begins
    #[arg(long, value_enum, default_value_t)]
    pace_from: PaceFrom,
    /// Send so many pictures to each client, then no more; the connection stays. A client shows the last ones only when
    /// it ends: its parser and decoder wait for what follows
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Where clients find VPS, SPS and PPS: in the session description, in the stream (where the clip has them)
    #[arg(long, value_enum, default_value_t)]
    parameter_sets: ParameterSets,
    /// Time between RTCP sender reports; 0 for none
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    rtcp_interval_ms: u64,
    /// Ask for a password [default, when a user is given: digest]
    #[arg(long, value_enum, requires = "Credentials")]
    auth: Option<AuthScheme>,
    #[command(flatten)]
    credentials: Credentials,
    /// Annex-B files, .h264 or .h265, or JPEG pictures one behind the other, .mjpeg; the first one is played
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
}

#[derive(Args)]
#[group(multiple = false)]
struct Credentials {
    /// User and password; the list of processes shows them to everybody on this machine
    #[arg(long, value_name = "USER:PASSWORD")]
    user: Option<String>,
    /// Environment variable that holds USER:PASSWORD
    #[arg(long, value_name = "NAME")]
    user_env: Option<String>,
}

impl Cli {
    /// The password to ask for, or a sentence about what is wrong with the arguments.
    fn auth(&self) -> Result<Option<Auth>, String> {
        let text = match (&self.credentials.user, &self.credentials.user_env) {
            (Some(text), _) => text.clone(),
            (None, Some(name)) => std::env::var(name).map_err(|_| {
                format!("--user-env {name}: the variable is not set, or is not text; set it to USER:PASSWORD")
            })?,
            (None, None) => return Ok(None),
        };
        let scheme = self.auth.unwrap_or(AuthScheme::Digest);
        Auth::new(scheme, &text).map(Some).map_err(|error| error.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let auth = match cli.auth() {
        Ok(auth) => auth,
        Err(sentence) => Cli::command().error(ErrorKind::ValueValidation, sentence).exit(),
    };
    let options = Options {
        port: cli.port,
        fps: cli.fps,
        join: cli.join,
        pace_from: cli.pace_from,
        frames: cli.frames,
        auth,
        parameter_sets: cli.parameter_sets,
        rtcp_interval_ms: cli.rtcp_interval_ms,
    };
    match run(&cli.clips, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vas-test-camera: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(paths: &[PathBuf], options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let clips = paths.iter().map(|path| Clip::load(path)).collect::<Result<Vec<_>, _>>()?;
    let camera = TestCamera::start(clips, options)?;
    // Standard output may be closed by a caller that needs no answers; the camera goes on.
    writeln!(io::stdout(), "READY {}", camera.url()).ok();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match line.trim() {
            "" => {}
            "quit" => {
                writeln!(io::stdout(), "OK quit").ok();
                break;
            }
            command => {
                match camera.command(command) {
                    Ok(done) => writeln!(io::stdout(), "OK {done}"),
                    Err(error) => writeln!(io::stdout(), "ERROR {error}"),
                }
                .ok();
            }
        }
    }
    Ok(())
}
