//! Readers as processes: polling, copying, stopped, killed.

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Event, FrameStream};

/// The first argument of a reader.
pub(crate) const ROLE: &str = "reader";
/// What a reader says once it was given a frame.
const ATTACHED: &str = "attached";
/// How long a reader waits for a frame before it looks whether it is to end.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Far beyond what a loaded machine needs; what has not happened until then counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// What a reader does with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes note of it.
    Polls,
    /// Copies the whole picture.
    Copies,
}

/// `reader BASE CAMERA PARENT polls|copies`: is given frames at the pace that the library has by default until its standard
/// input ends, then says how many.
pub(crate) fn read(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [base, camera, parent, manner] = words else {
        return Err("give BASE CAMERA PARENT polls|copies".into());
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that was said.
    if getppid().map(Pid::as_raw_pid) != parent.parse().ok() {
        return Err("the server that started this is gone".into());
    }
    let ended = Arc::new(AtomicBool::new(false));
    let ours = Arc::clone(&ended);
    std::thread::spawn(move || {
        // Whatever comes: it has ended.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ours.store(true, Ordering::Relaxed);
    });
    let mut stream = FrameStream::new(base, CameraId::new(camera)?);
    let (mut frames, mut picture) = (0_u64, Vec::new());
    while !ended.load(Ordering::Relaxed) {
        let Event::Frame(frame) = stream.next_event(LOOK_AGAIN) else { continue };
        if manner == "copies" {
            picture.resize(frame.picture().packed_size() as usize, 0);
            // Overwritten meanwhile: what a reader makes of that is not what is measured here.
            let _ = frame.copy_to(&mut picture);
        }
        if frames == 0 {
            println!("{ATTACHED}");
        }
        frames += 1;
    }
    writeln!(std::io::stdout(), "{frames}")?;
    Ok(())
}

/// Readers of one camera. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Crowd {
    readers: Vec<Child>,
    attached: Arc<AtomicUsize>,
    frames: Arc<AtomicUsize>,
}

impl Crowd {
    /// Starts so many; they attach by and by.
    pub(crate) fn start(
        base: &Path,
        camera: CameraId,
        count: usize,
        manner: Manner,
    ) -> std::io::Result<Self> {
        let mut crowd = Self { readers: Vec::new(), attached: Arc::default(), frames: Arc::default() };
        let (own, manner) =
            (std::process::id().to_string(), if manner == Manner::Copies { "copies" } else { "polls" });
        for _ in 0..count {
            let mut command = Command::new("/proc/self/exe");
            command.arg(ROLE).arg(base).args([camera.as_str(), &own, manner]);
            // Ctrl-C is for the server, which ends its readers itself.
            command.process_group(0);
            let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let said = reader.stdout.take();
            let (attached, frames) = (Arc::clone(&crowd.attached), Arc::clone(&crowd.frames));
            std::thread::spawn(move || {
                for line in
                    said.into_iter().flat_map(|said| BufReader::new(said).lines()).map_while(Result::ok)
                {
                    if line == ATTACHED {
                        attached.fetch_add(1, Ordering::Relaxed);
                    } else {
                        frames.fetch_add(line.parse().unwrap_or(0), Ordering::Relaxed);
                    }
                }
            });
            crowd.readers.push(reader);
        }
        Ok(crowd)
    }

    /// Whether each was given a frame.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed) == self.readers.len()
    }

    /// SIGSTOP to all.
    pub(crate) fn stop(&self) -> std::io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Whether the kernel says that all stand still.
    pub(crate) fn is_stopped(&self) -> bool {
        self.readers.iter().all(|reader| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", reader.id())).unwrap_or_default();
            // Behind the name, which may have anything in it.
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        })
    }

    /// SIGKILL to all, one after the other without a wait between.
    pub(crate) fn kill(&self) -> std::io::Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> std::io::Result<()> {
        for reader in &self.readers {
            kill_process(Pid::from_child(reader), signal)?;
        }
        Ok(())
    }

    /// Ends readers that live, and says how many frames they were given.
    pub(crate) fn end(mut self) -> Result<usize, Box<dyn Error>> {
        for reader in &mut self.readers {
            if let Some(status) = reader.try_wait()? {
                return Err(format!("a reader ended by itself: {status}").into());
            }
            drop(reader.stdin.take());
        }
        let deadline = Instant::now() + DEADLINE;
        for reader in &mut self.readers {
            loop {
                match reader.try_wait()? {
                    Some(status) if status.success() => break,
                    Some(status) => return Err(format!("a reader ended by itself: {status}").into()),
                    None if Instant::now() > deadline => {
                        return Err(
                            format!("a reader was asked to end, and had not {DEADLINE:?} later").into()
                        );
                    }
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }
        Ok(self.frames.load(Ordering::Relaxed))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for reader in &mut self.readers {
            // Those that were reaped have left their number to nobody: the standard library knows.
            let _ = reader.kill();
            let _ = reader.wait();
        }
    }
}
