//! Many cameras for long, a fault every few seconds on one of them: memory, descriptors and threads stay what they were.
//!
//! What cameras do follows from a seed. Passwords are not changed here: that is a wait of minutes, which `faults` shows.

use crate::canary::{self, Search};
use crate::figures::Figures;
use crate::runner::{INTERRUPTED, interruption};
use crate::stage::{Library, Why};
use crate::watch::Watch;
use rustix::process::Signal;
use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, Server};
use vas_test_camera::{Auth, AuthScheme, Clip, Options as CameraOptions, TestCamera};

/// A low rate of small pictures: sixteen of these leave a machine of two processors something to do besides.
const FPS: f64 = 12.5;
const CLIPS: [&str; 3] = ["yard.h264", "h264.h264", "h265.h265"];
const SLOTS: u32 = 8;
/// Between two looks at everything.
const TURN: Duration = Duration::from_millis(200);
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// The part of the time in which memory is taken for the first time: decoders, buffers of each size, threads' stacks.
const WARM_UP: f64 = 0.2;
/// The longest wait of a camera that was lost again and again is a minute; and then it has to connect.
const LIVE_AGAIN: Duration = Duration::from_secs(150);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What "flat" means: resident memory may grow by a tenth and by what a heap of many threads moves, descriptors by the files of
/// a reader or two, threads not at all.
const RSS_PERCENT: u64 = 10;
const RSS_MOVES_KB: u64 = 8 * 1024;
const FDS_MOVE: u64 = 4;
/// What a session of retina's has open beyond one of FFmpeg's: a camera that may have either is not counted at the same one twice.
const FDS_OF_RETINA: u64 = 4;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    cameras: u16,
    /// What is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is done to a camera, and what ends it. Both may be several commands.
const FAULTS: &[(&str, &[&str], &[&str])] = &[
    ("drop", &["drop"], &[]),
    ("freeze", &["freeze"], &["resume"]),
    ("hang", &["hang"], &["resume"]),
    ("slow answers", &["delay 3000", "drop"], &["delay 0"]),
    ("no power", &["power off"], &["power on"]),
    ("refuse", &["refuse", "drop"], &["accept"]),
    ("503", &["answer 503", "drop"], &["answer 200"]),
    ("nonsense described", &["sdp garbage", "drop"], &["sdp right"]),
    ("garbage answered", &["scramble on", "drop"], &["scramble off"]),
    ("garbage in the stream", &["garbage"], &[]),
    ("another size", &["clip 1"], &["clip 0"]),
    ("another codec", &["clip 2"], &["clip 0"]),
    ("slow", &["fps 5"], &["fps 12.5"]),
    ("leap back", &["jump -10000"], &[]),
    ("leap ahead", &["jump 3600000"], &[]),
    ("wrong clock", &["clock 1000000000"], &["clock 0"]),
    ("one time twice", &["dup"], &[]),
    // Only where the camera sends by UDP: on TCP nothing is lost on the way.
    ("loss", &["loss 50"], &["loss 0"]),
    ("reordered", &["reorder 100"], &["reorder 0"]),
];

/// Whose client the camera of this place is talked with: all three, ...
fn client(index: usize) -> &'static str {
    ["ffmpeg", "retina", "auto"][index % 3]
}

/// ... each of them both ways.
fn is_udp(index: usize) -> bool {
    index % 4 >= 2
}

struct Camera {
    id: String,
    camera: TestCamera,
    /// The fault that it has, by its place, and until when.
    fault: Option<(usize, Instant)>,
    watch: Option<Watch>,
}

impl Camera {
    fn heal(&mut self) -> Result<(), Box<dyn Error>> {
        let Some((fault, _)) = self.fault.take() else { return Ok(()) };
        for line in FAULTS[fault].2 {
            self.camera.command(line)?;
        }
        Ok(())
    }
}

/// What readers and cameras have counted.
#[derive(Default)]
struct Counts {
    seen: u64,
    flagged: u64,
    wrong: u64,
    backwards: u64,
    faults: u64,
    readers: u64,
}

struct Soak<'i> {
    interrupted: &'i AtomicBool,
    cameras: Vec<Camera>,
    right: HashSet<String>,
    last: Vec<u64>,
    counts: Counts,
    random: fastrand::Rng,
    server: Server,
    scene: Scene,
    started: Instant,
    told: Instant,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let interrupted = interruption()?;
    let library = Library::default();
    let wanted = |why: Why| match why {
        Why::Failed(why) | Why::Late(why) | Why::Skipped(why) => why,
        Why::Interrupted => "interrupted".into(),
    };
    let mut clips: Vec<Clip> = Vec::new();
    let mut right = HashSet::new();
    for name in CLIPS {
        clips.push(library.clip(name).map_err(wanted)?);
        right.extend(library.pictures(name).map_err(wanted)?.iter().cloned());
    }
    let scene = Scene::new();
    let mut config =
        format!("[export]\nslots = {SLOTS}\n[defaults]\nopen_timeout_ms = 2000\nframe_timeout_ms = 2000\n");
    let mut cameras = Vec::new();
    let (user, password) = (canary::USER, canary::password());
    for index in 0..usize::from(options.cameras) {
        let id = format!("soak-{index:02}");
        let scheme = if index % 2 == 0 { AuthScheme::Digest } else { AuthScheme::Basic };
        let auth = Some(Auth::new(scheme, &format!("{user}:{password}"))?);
        let camera = TestCamera::start(
            clips.clone(),
            CameraOptions { fps: FPS, rtcp_interval_ms: 500, auth, ..CameraOptions::default() },
        )?;
        // Readers at every other camera.
        let (client, transport) = (client(index), if is_udp(index) { "udp" } else { "tcp" });
        config += &server::camera(&id, &camera.url());
        config += &format!("rtsp_client = {client:?}\ntransport = {transport:?}\n");
        config += &format!("username = {user:?}\npassword = {password:?}\n");
        let watch = (index / 2 % 2 == 0).then(|| Watch::start(&scene.base(), &id));
        cameras.push(Camera { id, camera, fault: None, watch });
    }
    let server = Server::start(&scene, &config);
    let mut soak = Soak {
        interrupted: &interrupted,
        last: vec![0; cameras.len()],
        cameras,
        right,
        counts: Counts::default(),
        random: fastrand::Rng::with_seed(options.seed),
        server,
        scene,
        started: Instant::now(),
        told: Instant::now(),
    };
    println!("{} cameras, {} minutes, seed {}", options.cameras, options.minutes, options.seed);
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let mut problems = Vec::new();
    let mut at_start = None;
    let mut at_end = None;
    for (part, end) in [(&mut at_start, WARM_UP), (&mut at_end, 1.0)] {
        soak.play_until(soak.started + time.mul_f64(end))?;
        match soak.all_live()? {
            Some(figures) => *part = Some(figures),
            None if interrupted.load(Ordering::Relaxed) => break,
            None => problems.push(format!("not every camera came back within {LIVE_AGAIN:?}")),
        }
    }
    let was_interrupted = interrupted.load(Ordering::Relaxed);
    problems.extend(soak.finish(at_start, at_end)?);
    for problem in &problems {
        eprintln!("broken: {problem}");
    }
    Ok(match (problems.is_empty(), was_interrupted) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

impl Soak<'_> {
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Faults at random until then.
    fn play_until(&mut self, end: Instant) -> Result<(), Box<dyn Error>> {
        let mut next = Instant::now();
        while Instant::now() < end && !self.is_interrupted() {
            if Instant::now() >= next {
                self.begin_one()?;
                next = Instant::now() + Duration::from_millis(self.random.u64(1000..4000));
            }
            for camera in &mut self.cameras {
                if camera.fault.is_some_and(|(_, until)| until <= Instant::now()) {
                    camera.heal()?;
                }
            }
            self.look()?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Something happens to a camera that is well; and now and then a reader comes and goes.
    fn begin_one(&mut self) -> Result<(), Box<dyn Error>> {
        let index = self.random.usize(0..self.cameras.len());
        let fault = self.random.usize(0..FAULTS.len());
        let seconds = self.random.f64() * 7.0 + 1.0;
        if !is_udp(index) && matches!(FAULTS[fault].0, "loss" | "reordered") {
            return Ok(());
        }
        if index / 2 % 2 == 1 {
            // Short-lived readers at the cameras that have none for ever.
            let base = self.scene.base();
            let camera = &mut self.cameras[index];
            camera.watch = match camera.watch.take() {
                Some(_) => None,
                None => {
                    // It begins with the newest frame, which the reader before it may have seen.
                    self.last[index] = 0;
                    Some(Watch::start(&base, &camera.id))
                }
            };
            self.counts.readers += 1;
        }
        let camera = &mut self.cameras[index];
        if camera.fault.is_some() {
            return Ok(());
        }
        for line in FAULTS[fault].1 {
            camera.camera.command(line)?;
        }
        camera.fault = Some((fault, Instant::now() + Duration::from_secs_f64(seconds)));
        self.counts.faults += 1;
        Ok(())
    }

    /// What readers saw since the last look, and a line a minute.
    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        for (camera, last) in self.cameras.iter().zip(&mut self.last) {
            for seen in camera.watch.iter().flat_map(Watch::take) {
                let frame = &seen.frame;
                self.counts.seen += 1;
                self.counts.backwards += u64::from(frame.frame_id <= *last);
                *last = frame.frame_id;
                if frame.damaged {
                    self.counts.flagged += 1;
                } else if !self.right.contains(&frame.md5) {
                    self.counts.wrong += 1;
                }
            }
        }
        if !self.server.is_running() {
            return Err(format!("the server is gone:\n{}", self.server.stderr.so_far()).into());
        }
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            self.tell(Figures::of(self.server.id()));
        }
        Ok(())
    }

    fn reconnects(&self) -> u64 {
        self.cameras.iter().map(|camera| camera.camera.stats().opened.saturating_sub(1)).sum()
    }

    fn tell(&self, figures: Figures) {
        let counts = &self.counts;
        println!(
            "{:>5.1} min  {} faults, {} reconnects, {} frames seen ({} flagged, {} wrong), {} kB, \
             {} descriptors, {} threads",
            self.started.elapsed().as_secs_f64() / 60.0,
            counts.faults,
            self.reconnects(),
            counts.seen,
            counts.flagged,
            counts.wrong,
            figures.rss_kb,
            figures.fds,
            figures.threads,
        );
    }

    /// Takes every fault away and waits until every camera has been live for a while; the figures then. None: that did not come.
    fn all_live(&mut self) -> Result<Option<Figures>, Box<dyn Error>> {
        for camera in &mut self.cameras {
            camera.heal()?;
        }
        let deadline = Instant::now() + LIVE_AGAIN;
        let mut since: Option<Instant> = None;
        let mut sent: Vec<u64> = self.cameras.iter().map(|camera| camera.camera.pictures_sent()).collect();
        let mut tries: Vec<usize> = Vec::new();
        while Instant::now() < deadline && !self.is_interrupted() {
            std::thread::sleep(Duration::from_secs(1));
            self.look()?;
            let now: Vec<u64> = self.cameras.iter().map(|camera| camera.camera.pictures_sent()).collect();
            let now_tries: Vec<usize> =
                self.cameras.iter().map(|camera| camera.camera.stats().connections()).collect();
            let all = now.iter().zip(&sent).all(|(now, before)| now > before) && now_tries == tries;
            (sent, tries) = (now, now_tries);
            since = if all { since.or(Some(Instant::now())) } else { None };
            if since.is_some_and(|since| since.elapsed() >= Duration::from_secs(6)) {
                return Ok(Some(Figures::of(self.server.id())));
            }
        }
        Ok(None)
    }

    /// Stops the server; the table, and what broke a bound.
    fn finish(
        mut self,
        at_start: Option<Figures>,
        at_end: Option<Figures>,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        for camera in &mut self.cameras {
            camera.heal()?;
        }
        self.look()?;
        self.tell(Figures::of(self.server.id()));
        let minutes = self.started.elapsed().as_secs_f64() / 60.0;
        let reconnects = self.reconnects();
        let Self { server, scene, cameras, counts, .. } = self;
        let mut search = Search::default();
        search.process(server.id());
        search.folder(&scene.base(), &[]);
        let asked = Instant::now();
        server.signal(Signal::TERM);
        let ended = server.wait();
        let took = asked.elapsed();
        // Its last words may still be on their way.
        let deadline = Instant::now() + Duration::from_secs(10);
        while cameras.iter().any(|camera| camera.camera.stats().open_now() > 0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let stats: Vec<_> = cameras.iter().map(|camera| camera.camera.stats()).collect();
        let sum = |number: fn(&vas_test_camera::Stats) -> u64| stats.iter().map(number).sum::<u64>();
        let sent: u64 = cameras.iter().map(|camera| camera.camera.pictures_sent()).sum();
        let left = scene.exported_files().len();
        let abandoned = sum(|stats| stats.abandoned);
        let panics = ended.stderr.matches("panicked").count();
        search.bytes("standard output", ended.stdout.as_bytes());
        search.bytes("standard error", ended.stderr.as_bytes());
        println!("after {minutes:.1} minutes:");
        println!("  faults                 {}", counts.faults);
        println!("  reconnects             {reconnects}");
        println!(
            "  sessions               {} opened, {} ended by TEARDOWN, {} cut by the camera, {abandoned} abandoned",
            sum(|s| s.opened),
            sum(|s| s.torn_down),
            sum(|s| s.cut)
        );
        println!("  pictures sent          {sent}");
        println!(
            "  frames decoded         {}",
            decoded(&ended.stderr).map_or_else(|| "not told".into(), |count| count.to_string())
        );
        println!("  frames seen by readers {}, {} of them flagged as damaged", counts.seen, counts.flagged);
        println!("  readers came or went   {}", counts.readers);
        println!("  torn or wrong frames   {}, not rising: {}", counts.wrong, counts.backwards);
        println!("  lines in the log       {}", ended.stderr.lines().count());
        println!("  files left             {left}");
        let (files, bytes, hits) = (search.files, search.bytes, &search.hits);
        println!("  canary                 searched {files} files, {bytes} bytes: {} hits", hits.len());
        println!("  SIGTERM to the end     {:.2} s", took.as_secs_f64());
        let mut problems = Vec::new();
        if let (Some(start), Some(end)) = (at_start, at_end) {
            let may_change = (0..cameras.len()).filter(|&at| client(at) == "auto" && !is_udp(at)).count();
            let most_fds = start.fds + FDS_MOVE + may_change as u64 * FDS_OF_RETINA;
            let most_kb = start.rss_kb + start.rss_kb * RSS_PERCENT / 100 + RSS_MOVES_KB;
            println!("                         start      end    bound");
            println!("  resident, kB        {:>8} {:>8} {most_kb:>8}", start.rss_kb, end.rss_kb);
            println!("  descriptors         {:>8} {:>8} {most_fds:>8}", start.fds, end.fds);
            println!("  threads             {:>8} {:>8} {:>8}", start.threads, end.threads, start.threads);
            problems.extend([
                (end.rss_kb > most_kb)
                    .then(|| format!("memory grew from {} kB to {}", start.rss_kb, end.rss_kb)),
                (end.fds > most_fds).then(|| format!("descriptors grew from {} to {}", start.fds, end.fds)),
                (end.threads > start.threads)
                    .then(|| format!("threads grew from {} to {}", start.threads, end.threads)),
            ]);
        } else {
            println!("  memory, descriptors and threads: it ended too early for a comparison");
        }
        problems.extend([
            (counts.wrong > 0).then(|| format!("{} wrong frames without the flag", counts.wrong)),
            (counts.backwards > 0).then(|| format!("{} frames whose number did not rise", counts.backwards)),
            (counts.seen == 0).then(|| "readers saw no frame at all".to_owned()),
            (left > 0).then(|| format!("{left} files are left")),
            (!hits.is_empty()).then(|| format!("the password is shown: {}", hits.join(", "))),
            (abandoned > 0).then(|| format!("{abandoned} sessions got no TEARDOWN")),
            (ended.code() != Some(0))
                .then(|| format!("the server ended with {}: {}", ended.status, ended.stderr)),
            (took > STOP_LIMIT).then(|| format!("SIGTERM took {took:?}")),
            (panics > 0).then(|| format!("{panics} panics: {}", ended.stderr)),
        ]);
        Ok(problems.into_iter().flatten().collect())
    }
}

/// The sum over all cameras, as the server tells it at its end.
fn decoded(log: &str) -> Option<u64> {
    let counts: Vec<u64> = log
        .lines()
        .filter(|line| line.contains("ended; in "))
        .filter_map(|line| line.split(" frames decoded").next()?.rsplit(' ').next()?.parse().ok())
        .collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_last_lines_are_added_up() {
        let log = "INFO ended; in 60 s: 1500 frames decoded (25.0/s), 2 reconnects camera=a\n\
                   INFO in 60 s: 9 frames decoded\nINFO ended; in 60 s: 20 frames decoded (1/s) camera=b";
        assert_eq!(decoded(log), Some(1520));
        assert_eq!(decoded("nothing"), None);
    }

    #[test]
    fn every_fault_is_made_of_commands_that_a_camera_takes() {
        let bytes = [0, 0, 1, 0x67, 66, 1, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 0x88, 7, 1];
        let scene = std::env::temp_dir().join(format!("vas-soak-{}.h264", std::process::id()));
        std::fs::write(&scene, bytes).unwrap();
        let clip = Clip::load(&scene).unwrap();
        std::fs::remove_file(&scene).unwrap();
        let camera = TestCamera::start(vec![clip; 3], CameraOptions::default()).unwrap();
        for (name, begin, end) in FAULTS {
            for line in begin.iter().chain(*end) {
                assert!(camera.command(line).is_ok(), "{name}: {line}");
            }
        }
    }
}
