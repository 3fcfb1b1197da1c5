//! What is compared, and how often.

use crate::Cli;
use crate::crowd::{Crowd, DEADLINE, Manner};
use crate::server::{Block, CAMERA, Cost, OTHER_CAMERA, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use vas_e2e::scene::Scene;
use vas_shm_reader::CameraId;

/// Frames of each kind in a block.
const FRAMES: usize = 10;
/// Frames before a block that are not measured: what was before has passed by then.
const SETTLE: usize = 2;
const MANY: usize = 16;

/// What becomes of the readers before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Live,
    Stopped,
    /// As the block begins: they die while frames flow.
    Killed,
}

/// Whom a server is measured with.
#[derive(Debug, Clone, Copy)]
struct Condition {
    name: &'static str,
    readers: usize,
    manner: Manner,
    camera: &'static str,
    fate: Fate,
}

const fn polling(name: &'static str, readers: usize) -> Condition {
    Condition { name, readers, manner: Manner::Polls, camera: CAMERA, fate: Fate::Live }
}

const CONDITIONS: [Condition; 7] = [
    // What the machine does by itself.
    polling("0 readers, again", 0),
    polling("1 reader", 1),
    Condition { manner: Manner::Copies, ..polling("1 reader that copies", 1) },
    polling("16 readers", MANY),
    // The same processes as before, awake at the same moments, which have nothing to do with the camera: what they take of the
    // processor.
    Condition { camera: OTHER_CAMERA, ..polling("16 of another camera", MANY) },
    Condition { fate: Fate::Stopped, ..polling("16 readers, stopped", MANY) },
    Condition { fate: Fate::Killed, ..polling("16 readers, killed", MANY) },
];

/// Two blocks beside each other.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) without: Block,
    pub(crate) with: Block,
}

/// All rounds of a condition.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) condition: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// Frames that readers were given which lived to say so.
    pub(crate) given: usize,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct All {
    pub(crate) seconds: f64,
    pub(crate) clocks: Cost,
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    pub(crate) conditions: Vec<Measured>,
}

/// Measures until the time is over; `None`: it was interrupted.
pub(crate) fn run(cli: &Cli) -> Result<Option<All>, Box<dyn Error>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let scene = Scene::new();
    let started = Instant::now();
    let mut server = Server::start(&scene.base(), cli.fps, interrupted)?;
    let mut conditions =
        CONDITIONS.map(|condition| Measured { condition: condition.name, rounds: Vec::new(), given: 0 });
    let mut number = 0;
    while number == 0 || started.elapsed() < Duration::from_secs(cli.seconds) {
        for (condition, measured) in CONDITIONS.iter().zip(&mut conditions) {
            // Whoever comes second finds the machine as the first has left it.
            let (without, with) = if number % 2 == 0 {
                let without = without_readers(&mut server);
                (without, with_readers(&mut server, &scene.base(), condition, &mut measured.given)?)
            } else {
                let with = with_readers(&mut server, &scene.base(), condition, &mut measured.given)?;
                (without_readers(&mut server), with)
            };
            if server.is_interrupted() {
                return Ok(None);
            }
            measured.rounds.push(Round { without, with });
        }
        number += 1;
    }
    Ok(Some(All {
        seconds: started.elapsed().as_secs_f64(),
        clocks: server.clocks(),
        frames: server.frames(),
        lost: server.lost(),
        conditions: conditions.into(),
    }))
}

fn without_readers(server: &mut Server) -> Block {
    drop(server.block(SETTLE));
    server.block(FRAMES)
}

fn with_readers(
    server: &mut Server,
    base: &Path,
    condition: &Condition,
    given: &mut usize,
) -> Result<Block, Box<dyn Error>> {
    let crowd = Crowd::start(base, CameraId::new(condition.camera)?, condition.readers, condition.manner)?;
    let happens = |server: &mut Server, what: &str, look: &dyn Fn() -> bool| {
        if server.publish_until(DEADLINE, look) || server.is_interrupted() {
            return Ok(());
        }
        Err(format!("never happened within {DEADLINE:?}: {what}"))
    };
    happens(server, "every reader is given a frame", &|| crowd.is_attached())?;
    if condition.fate == Fate::Stopped {
        crowd.stop()?;
        happens(server, "every reader is stopped", &|| crowd.is_stopped())?;
    }
    drop(server.block(SETTLE));
    if condition.fate == Fate::Killed {
        crowd.kill()?;
    }
    let block = server.block(FRAMES);
    if condition.fate == Fate::Live {
        *given += crowd.end()?;
    }
    Ok(block)
}
