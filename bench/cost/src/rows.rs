//! Which rows there are, and how each is measured.

use crate::player::{CAMERA, FILES, Played, ROLE};
use crate::strace::Calls;
use crate::{Cli, Mutant, callgrind, strace};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vas_e2e::process::Process;
use vas_e2e::reader;
use vas_e2e::scene::Scene;

/// What a tool says of itself stands beside what it wrote, under this extension.
pub(crate) const LOG: &str = "log";

/// How a frame comes about, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Decoded by `vas-ingest`, whose loop has no export compiled into it.
    NotCompiledIn,
    /// Decoded, and the flag is off.
    Off,
    /// Decoded, the flag is on, nobody is attached.
    Idle,
    /// Decoded, the flag is on, one reader is attached.
    Attached,
    /// The writer alone, nobody attached.
    WriterIdle,
    /// The writer alone, one reader attached.
    WriterAttached,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::NotCompiledIn, Self::Off, Self::Idle, Self::Attached, Self::WriterIdle, Self::WriterAttached];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotCompiledIn => "vas-ingest, export not compiled in",
            Self::Off => "vas-ingest, export off",
            Self::Idle => "vas-ingest, on, nobody attached",
            Self::Attached => "vas-ingest, on, one reader",
            Self::WriterIdle => "the writer alone, nobody attached",
            Self::WriterAttached => "the writer alone, one reader",
        }
    }

    pub(crate) fn is_attached(self) -> bool {
        matches!(self, Self::Attached | Self::WriterAttached)
    }

    pub(crate) fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::WriterIdle)
    }

    fn is_writer(self) -> bool {
        matches!(self, Self::WriterIdle | Self::WriterAttached)
    }

    /// The player's word for it.
    fn word(self, mutant: Option<Mutant>) -> &'static str {
        match (self, mutant) {
            (Self::NotCompiledIn, _) => "not-compiled-in",
            (Self::Off, _) => "off",
            (Self::Idle | Self::Attached, None) => "on",
            (Self::Idle | Self::Attached, Some(Mutant::CopyFirst)) => "on-after-a-copy",
            (Self::WriterIdle | Self::WriterAttached, _) => "writer",
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// Width and height.
    pub(crate) size: (u32, u32),
    pub(crate) frames: u64,
    pub(crate) played: Played,
    pub(crate) counted: callgrind::Counted,
    pub(crate) calls: Calls,
    /// Instructions of the whole loop, decoding with it; only of the loop without an export.
    pub(crate) whole_loop: Option<u64>,
}

impl Row {
    /// Bytes of one picture as NV12.
    pub(crate) fn picture_bytes(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1) * 3 / 2
    }
}

/// Every row, for both sizes; with a mistake, those that have to show it.
pub(crate) fn measure(cli: &Cli) -> Result<Vec<Row>, Box<dyn Error>> {
    // Counts do not mind what else the machine does, so both sizes at once.
    let of_clip = |clip| rows_of(cli, clip).map_err(|error| error.to_string());
    let rows = std::thread::scope(|scope| {
        let clips: Vec<_> = cli.clips.iter().map(|clip| scope.spawn(move || of_clip(clip))).collect();
        let ended =
            clips.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?);
        ended.collect::<Result<Vec<_>, String>>()
    })?;
    Ok(rows.into_iter().flatten().collect())
}

fn rows_of(cli: &Cli, clip: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let size = size(clip)?;
    let kinds: &[Kind] = match cli.mutant {
        None => &Kind::ALL,
        Some(_) => &[Kind::NotCompiledIn, Kind::Idle],
    };
    let mut rows = Vec::new();
    for &kind in kinds {
        eprintln!("    {}x{}, {} ...", size.0, size.1, kind.name());
        let source =
            if kind.is_writer() { format!("{}x{}", size.0, size.1) } else { clip.display().to_string() };
        let words = [kind.word(cli.mutant), &source];
        let collected = |what| run(kind, words, cli.frames, &|output| callgrind::command(what, output));
        let counted = callgrind::counted(&collected(callgrind::What::HandingOver)?.1, cli.frames)?;
        let whole_loop = match (kind, cli.mutant) {
            (Kind::NotCompiledIn, None) => Some(callgrind::whole_loop(&collected(callgrind::What::Loop)?.1)?),
            _ => None,
        };
        let (played, text) = run(kind, words, cli.frames, &strace::command)?;
        let calls = strace::counted(&text, cli.frames)?;
        rows.push(Row { kind, size, frames: cli.frames, played, counted, calls, whole_loop });
    }
    Ok(rows)
}

/// The size of a clip's pictures, by FFmpeg's own program.
fn size(clip: &Path) -> Result<(u32, u32), Box<dyn Error>> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height"]);
    let output = command.args(["-of", "csv=p=0:s=x"]).arg(clip).output();
    let output = output.map_err(|error| format!("start ffprobe: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.trim().split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    found.ok_or_else(|| format!("ffprobe finds no picture size in {}", clip.display()).into())
}

/// A player that ends with its owner.
struct Player(Child);

impl Drop for Player {
    fn drop(&mut self) {
        // Both fail if it has ended, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the player beneath a tool; what it said, and what the tool wrote.
fn run(
    kind: Kind,
    [word, source]: [&str; 2],
    frames: u64,
    tool: &dyn Fn(&Path) -> Command,
) -> Result<(Played, String), Box<dyn Error>> {
    let scene = Scene::new();
    let output = scene.files().join("counts");
    let mut command = tool(&output);
    command.arg(std::env::current_exe()?).args([ROLE, word, source]);
    command.arg(scene.base()).arg(frames.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let shown = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|error| format!("start {shown}: {error}"))?;
    let mut player = Player(child);
    let mut stdin = player.0.stdin.take().ok_or("the player has no input")?;
    let stdout = player.0.stdout.take().ok_or("the player has no output")?;
    let mut reader = None;
    let mut played = None;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line == FILES {
            if kind.is_attached() {
                reader = Some(attach(&scene)?);
            }
            writeln!(stdin)?;
        } else {
            played = Some(serde_json::from_str(&line).map_err(|error| format!("{shown}: {line}: {error}"))?);
        }
    }
    let status = player.0.wait()?;
    drop(reader);
    let played = played.filter(|_| status.success());
    let played = played.ok_or_else(|| {
        let log = std::fs::read_to_string(output.with_extension(LOG)).unwrap_or_default();
        format!("the player beneath {shown} ended with {status} {log}")
    })?;
    Ok((played, std::fs::read_to_string(&output)?))
}

/// How long a reader may take to open the camera's files.
const PATIENCE: Duration = Duration::from_secs(120);

/// A real reader that has the camera's files open.
fn attach(scene: &Scene) -> Result<Process, Box<dyn Error>> {
    let mut command = reader::command(scene, &["watch", CAMERA, "--json"]);
    let reader = Process::start("vas-frames watch", &mut command);
    let maps = format!("/proc/{}/maps", reader.id());
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&maps).is_ok_and(|text| text.contains("/frame.meta")) {
        if Instant::now() >= deadline {
            return Err(
                format!("vas-frames watch did not open the camera's files within {PATIENCE:?}").into()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(reader)
}
