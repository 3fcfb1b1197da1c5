//! The camera as a whole: options, listening, stopping.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::auth::Auth;
use crate::clip::Clip;
use crate::control::{CommandError, Control};
use crate::sdp::ParameterSets;
use crate::session;
use crate::stats::Stats;

/// How long closing the port, or having it again, may take.
const POWER_LIMIT: Duration = Duration::from_secs(10);

/// The path of the one stream.
pub(crate) const PATH: &str = "/cam";

/// With which picture a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Join {
    /// The first of the clip, whenever the client comes: every client sees the same sequence.
    #[default]
    Start,
    /// The next key picture from now of the clip that plays all the time.
    Idr,
    /// The next picture from now, which most often cannot be decoded alone.
    Mid,
}

/// When the clock begins, which decides where the clip is when a client joins live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PaceFrom {
    /// With the camera.
    #[default]
    Start,
    /// With the first client that plays.
    FirstPlay,
}

/// How a camera behaves from the start.
#[derive(Clone)]
pub struct Options {
    /// TCP port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// Pictures a second, from 0.1 to 1000.
    pub fps: f64,
    /// With which picture a client begins.
    pub join: Join,
    /// When the clock begins.
    pub pace_from: PaceFrom,
    /// Send so many pictures to each client, then only RTCP. What a client's parser and decoder hold back until more
    /// comes (a picture or two, with B-frames more) it shows only when the connection ends.
    pub frames: Option<u64>,
    /// Ask for a password.
    pub auth: Option<Auth>,
    /// Where clients find the parameter sets.
    pub parameter_sets: ParameterSets,
    /// Time between RTCP sender reports; 0 for none.
    pub rtcp_interval_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            fps: 25.0,
            join: Join::default(),
            pace_from: PaceFrom::default(),
            frames: None,
            auth: None,
            parameter_sets: ParameterSets::default(),
            rtcp_interval_ms: 5000,
        }
    }
}

/// Whether a rate can be paced and stamped.
pub(crate) fn fps_is_sane(fps: f64) -> bool {
    (0.1..=1000.0).contains(&fps)
}

/// Why a camera did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to play.
    #[error("no clip was given; a camera needs at least one")]
    NoClip,
    /// The rate is out of range.
    #[error("{0} pictures a second cannot be played; the rate must be from 0.1 to 1000")]
    Fps(f64),
    /// The port cannot be had.
    #[error("listen on 127.0.0.1 port {port}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("start the camera's thread: {0}")]
    Thread(io::Error),
}

/// A running camera. It stops when dropped.
#[derive(Debug)]
pub struct TestCamera {
    address: SocketAddr,
    control: Arc<Control>,
    listening: Option<JoinHandle<()>>,
}

impl TestCamera {
    /// Starts a camera that plays the first of these clips.
    pub fn start(clips: Vec<Clip>, options: Options) -> Result<TestCamera, StartError> {
        if clips.is_empty() {
            return Err(StartError::NoClip);
        }
        if !fps_is_sane(options.fps) {
            return Err(StartError::Fps(options.fps));
        }
        let listen_error = |source| StartError::Listen { port: options.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let control = Arc::new(Control::new(clips, &options));
        let shared = Arc::clone(&control);
        let listening = thread::Builder::new()
            .name("listen".to_owned())
            .spawn(move || listen(listener, &shared, &options))
            .map_err(StartError::Thread)?;
        Ok(TestCamera { address, control, listening: Some(listening) })
    }

    /// Where clients find it: `rtsp://127.0.0.1:PORT/cam`.
    pub fn url(&self) -> String {
        format!("rtsp://{}{PATH}", self.address)
    }

    /// Carries out one of [`COMMANDS`](crate::COMMANDS) (except `quit`) and says in a few words what was done.
    pub fn command(&self, line: &str) -> Result<String, CommandError> {
        let said = self.control.command(line)?;
        let powered = self.control.is_powered();
        if !powered {
            self.wake();
        }
        self.control.wait_for_port(!powered, POWER_LIMIT);
        Ok(said)
    }

    /// What clients have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.control.state().stats.clone()
    }

    /// How long it has been there, by the clock of [`Stats::attempts`].
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.control.uptime()
    }

    /// Pictures whose last packet is out.
    #[must_use]
    pub fn pictures_sent(&self) -> u64 {
        self.control.state().pictures_sent
    }

    /// `accept` returns only for a client, so be one.
    fn wake(&self) -> bool {
        TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
    }
}

impl Drop for TestCamera {
    fn drop(&mut self) {
        let powered = self.control.is_powered();
        self.control.stop();
        // Without power nobody accepts, and the thread was woken by the stop.
        if !powered || self.wake() {
            self.listening.take().map(JoinHandle::join);
        }
    }
}

fn listen(listener: TcpListener, control: &Control, options: &Options) {
    let Ok(address) = listener.local_addr() else { return };
    let mut open = Some(listener);
    thread::scope(|scope| {
        while !control.is_stopping() {
            if !control.is_powered() {
                open = None;
                control.port_is(true);
                control.wait_for_power();
                continue;
            }
            let Some(listener) = &open else {
                match TcpListener::bind(address) {
                    Ok(listener) => {
                        open = Some(listener);
                        control.port_is(false);
                    }
                    // Somebody else has it for a moment.
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
                continue;
            };
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(10)); // out of descriptors, most likely: let some be closed
                continue;
            };
            let Some(id) = control.add_connection(&stream) else { continue };
            let serving = thread::Builder::new()
                .name(format!("serve-{id}"))
                .spawn_scoped(scope, move || session::serve(control, options, id, stream));
            if serving.is_err() {
                control.remove_connection(id);
            }
        }
    });
}
