//! How long a 1080p frame takes to RGB, BGR, grey and a model's input: by the reader, by swscale, and by OpenCV.
//!
//! Each way once in each round, so that what changes slowly on the machine is in all of them; times are what the thread itself took of
//! the processor; a ratio is the median over all rounds of the time beside the reader's in that round.
//!
//! Only `vas-ingest` may know FFmpeg: so the program is its benchmark, and this is all but what that adds. OpenCV is a process of its
//! own, from the Python package. Run it through `cargo xtask bench convert`.

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use vas_convert::{Nv12Picture, Scene};
use vas_shm_reader::RawNv12;
use vas_shm_reader::convert::{Converter, Filter, ModelInput, PixelLayout};
use vas_shm_writer::{Color, ColorRange};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
/// The picture inside a letterbox of 640 by 640.
const INSIDE: (u32, u32) = (640, 360);
const OPENCV: &str = include_str!("opencv.py");
/// Another picture than the reader's is further from it, in the mean over its bytes.
const SAME_PICTURE: f64 = 4.0;

/// What is made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// 1920 by 1080, RGB.
    Rgb,
    /// 1920 by 1080, BGR.
    Bgr,
    /// 1920 by 1080, grey of full scale.
    Grey,
    /// 640 by 640 RGB, the picture of 640 by 360 in its middle.
    Letterbox,
}

impl Task {
    const ALL: [Self; 4] = [Self::Rgb, Self::Bgr, Self::Grey, Self::Letterbox];

    fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Grey => "grey",
            Self::Letterbox => "letterbox",
        }
    }

    fn out_bytes(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => (WIDTH * HEIGHT * 3) as usize,
            Self::Grey => (WIDTH * HEIGHT) as usize,
            Self::Letterbox => 640 * 640 * 3,
        }
    }
}

/// A way that only `vas-ingest` can offer.
pub trait Foreign {
    /// In the table.
    fn name(&self) -> &str;
    /// Makes of the frame what the task says, rows without padding between them. Of a letterbox only the inside, at its place.
    fn convert(&mut self, frame: &RawNv12<'_>, out: &mut [u8]);
}

/// Makes the foreign ways of a task, for a picture of a size that fills as much.
pub type Ways = dyn Fn(Task, (u32, u32), (u32, u32)) -> Vec<Box<dyn Foreign>>;

/// Measures how long a frame takes to RGB, grey and a model's input, by several ways.
#[derive(Parser)]
#[command(name = "convert", version)]
struct Cli {
    /// Rounds of each task
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// The folder with bikes.mp4, whose first picture is converted
    #[arg(long)]
    clips: PathBuf,
    /// A Python that has cv2 and numpy
    #[arg(long)]
    python: Option<PathBuf>,
    /// What cargo hands to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The whole program.
#[must_use]
pub fn main(foreign: &Ways) -> ExitCode {
    match run(&Cli::parse(), foreign) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("convert: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Way {
    Ours(Converter, Filter),
    Foreign(Box<dyn Foreign>),
    OpenCv,
}

struct Row {
    name: String,
    way: Way,
    ns: Vec<u64>,
}

fn run(cli: &Cli, foreign: &Ways) -> Result<(), Box<dyn Error>> {
    let scene = vas_e2e::scene::Scene::new();
    let raw = scene.files().join("picture.nv12");
    let picture = picture(&cli.clips, &raw)?;
    let color = Color { range: ColorRange::Limited, matrix: 6, ..Color::UNSPECIFIED };
    let camera = Scene::new(&scene.base(), &picture, color);
    println!("{}", processor());
    let mut opencv = match cli.python.as_deref().map(|python| OpenCv::start(python, &raw)) {
        Some(Ok(opencv)) => Some(opencv),
        Some(Err(why)) => {
            println!("SKIPPED: OpenCV: {why}");
            None
        }
        None => {
            println!("SKIPPED: OpenCV: no --python that has it");
            None
        }
    };
    for task in Task::ALL {
        let row = |name: String, way| Row { name, way, ns: Vec::new() };
        let mut rows = vec![row("the reader".to_owned(), Way::Ours(Converter::new(), Filter::Triangle))];
        if task == Task::Letterbox {
            rows[0].name += ", over all pixels";
            rows.push(row("the reader, linear".to_owned(), Way::Ours(Converter::new(), Filter::Linear)));
        }
        let made = foreign(task, (WIDTH, HEIGHT), INSIDE);
        rows.extend(made.into_iter().map(|way| row(way.name().to_owned(), Way::Foreign(way))));
        if let Some(opencv) = &opencv {
            rows.push(row(format!("OpenCV {}", opencv.version), Way::OpenCv));
        }
        measure(task, &mut rows, &camera, opencv.as_mut(), cli.rounds)?;
        print(task, cli.rounds, &rows);
    }
    Ok(())
}

fn picture(clips: &Path, raw: &Path) -> Result<Nv12Picture, Box<dyn Error>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(clips.join("bikes.mp4"));
    command.args(["-frames:v", "1", "-vf", &format!("scale={WIDTH}:{HEIGHT}"), "-pix_fmt", "nv12"]);
    let ended = command.args(["-f", "rawvideo"]).arg(raw).status()?;
    if !ended.success() {
        return Err(format!("{command:?}: {ended}").into());
    }
    Ok(Nv12Picture { width: WIDTH, height: HEIGHT, bytes: std::fs::read(raw)? })
}

fn measure(
    task: Task,
    rows: &mut [Row],
    camera: &Scene,
    mut opencv: Option<&mut OpenCv>,
    rounds: u32,
) -> Result<(), Box<dyn Error>> {
    let mut outs = vec![vec![114; task.out_bytes()]; rows.len()];
    // Two rounds that do not count: buffers are made, files are read.
    for round in 0..rounds as usize + 2 {
        for turn in 0..rows.len() {
            // Each follows each other way.
            let at = if round % 2 == 0 { turn } else { rows.len() - 1 - turn };
            let ns = one(task, &mut rows[at].way, camera, opencv.as_deref_mut(), &mut outs[at])?;
            if round >= 2 {
                rows[at].ns.push(ns);
            }
        }
    }
    for (row, out) in rows.iter().zip(&outs).filter(|(row, _)| !matches!(row.way, Way::OpenCv)) {
        let sum: u64 = out.iter().zip(&outs[0]).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / out.len() as f64;
        if mean > SAME_PICTURE {
            return Err(
                format!("{}, {}: another picture, {mean:.1} off in the mean", task.name(), row.name).into()
            );
        }
    }
    Ok(())
}

fn one(
    task: Task,
    way: &mut Way,
    camera: &Scene,
    opencv: Option<&mut OpenCv>,
    out: &mut [u8],
) -> Result<u64, Box<dyn Error>> {
    let frame = camera.frame();
    Ok(match (way, opencv) {
        (Way::Ours(converter, filter), _) => {
            let width = WIDTH as usize;
            let mut done = Ok(());
            let ns = measured(|| {
                done = match task {
                    Task::Rgb => converter.convert(&frame, PixelLayout::Rgb, out, width * 3),
                    Task::Bgr => converter.convert(&frame, PixelLayout::Bgr, out, width * 3),
                    Task::Grey => converter.convert(&frame, PixelLayout::Gray, out, width),
                    Task::Letterbox => {
                        let input = ModelInput::new(640, 640).filter(*filter);
                        converter.fit(&frame, &input, out, input.stride_bytes()).map(drop)
                    }
                };
            });
            done?;
            ns
        }
        (Way::Foreign(way), _) => frame.with(|nv12| measured(|| way.convert(&nv12, out)))?,
        (Way::OpenCv, Some(opencv)) => opencv.one(task)?,
        (Way::OpenCv, None) => return Err("OpenCV is not there".into()),
    })
}

/// What this thread takes of the processor for the work, in nanoseconds.
fn measured(work: impl FnOnce()) -> u64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        // Neither is negative.
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let begin = now();
    work();
    now() - begin
}

fn print(task: Task, rounds: u32, rows: &[Row]) {
    println!("\n{}, {WIDTH}x{HEIGHT}, {rounds} rounds", task.name());
    println!("{:<34} {:>9} {:>9} {:>9} {:>7}", "", "median us", "10% us", "90% us", "ratio");
    for row in rows {
        let mut times: Vec<f64> = row.ns.iter().map(|&ns| ns as f64 / 1e3).collect();
        times.sort_by(f64::total_cmp);
        let part = |percent: usize| times[(times.len() - 1) * percent / 100];
        let mut ratios: Vec<f64> =
            row.ns.iter().zip(&rows[0].ns).map(|(&ns, &first)| ns as f64 / first.max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        println!("{:<34} {:>9.0} {:>9.0} {:>9.0} {ratio:>7.2}", row.name, part(50), part(10), part(90));
    }
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or(std::env::consts::ARCH, |name| name.trim_start_matches(['\t', ' ', ':'])).to_owned()
}

/// OpenCV in a process of its own.
struct OpenCv {
    version: String,
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OpenCv {
    fn start(python: &Path, raw: &Path) -> Result<Self, String> {
        let mut process = Command::new(python)
            .args(["-c", OPENCV])
            .arg(raw)
            .args([WIDTH.to_string(), HEIGHT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start {}: {error}", python.display()))?;
        let (Some(asks), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("its pipes are not there".into());
        };
        let mut opencv = Self { version: String::new(), process, asks, answers: BufReader::new(answers) };
        opencv.version =
            opencv.line().map_err(|error| format!("{} has no cv2: {error}", python.display()))?;
        Ok(opencv)
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("it ended, see above".into());
        }
        Ok(line.trim().to_owned())
    }

    fn one(&mut self, task: Task) -> Result<u64, Box<dyn Error>> {
        writeln!(self.asks, "{}", task.name())?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for OpenCv {
    fn drop(&mut self) {
        // It ends by itself with its standard input; this is for one that does not.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
