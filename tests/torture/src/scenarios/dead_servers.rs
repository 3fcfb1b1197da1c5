//! Servers that are killed, stopped, doubled, forked.

use crate::ledger::Word;
use crate::picture::{self, LARGE, PADDED, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Actor, Played, Stage};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use vas_shm_reader::{Found, Frame, FrameId, Opened, Reader};

/// Servers that are killed one after the other before readers are waited for.
const KILLS_IN_A_ROW: u32 = 4;
/// How long a server lives at most before it is killed.
const LIFE: Duration = Duration::from_millis(60);
/// How long a dead server's pair is looked at for frames that somebody would take for current.
const WAKE: Duration = Duration::from_millis(5);
const SLOTS: [u32; 3] = [2, 3, 8];

pub(crate) fn kill_small(stage: &mut Stage<'_>) -> Played {
    kill(stage, SMALL)
}

pub(crate) fn kill_large(stage: &mut Stage<'_>) -> Played {
    kill(stage, LARGE)
}

// Proves READ-6 and LIVE-1.
fn kill(stage: &mut Stage<'_>, format: u8) -> Played {
    let mut readers = Vec::new();
    let (mut kills, mut in_copy) = (0, 0);
    loop {
        for _ in 0..KILLS_IN_A_ROW {
            let slots = SLOTS[stage.rng.usize(..SLOTS.len())];
            let spec = ServerSpec { slots, formats: vec![format], ..stage.server_spec() };
            let server = stage.live_server(spec)?;
            stage.wait_random(LIFE)?;
            stage.kill(server)?;
            stage.event();
            kills += 1;
            in_copy += u32::from(stage.get(server, Word::Promised) > stage.get(server, Word::Published));
            stage.note = Some(format!("{in_copy} of {kills} inside a copy"));
            examine_the_dead(stage, server, slots)?;
        }
        let spec = ServerSpec { formats: vec![format], ..stage.server_spec() };
        let server = stage.live_server(spec)?;
        if readers.is_empty() {
            for manner in [Manner::Stream, Manner::Spin] {
                readers.push(stage.reader(manner)?);
            }
        }
        for reader in &readers {
            stage.until_current(server, *reader)?;
        }
        // These were there all the time: killed under them, and taken over from.
        let old = stage.get(readers[0], Word::Generation);
        stage.wait_random(LIFE)?;
        stage.kill(server)?;
        let killed = Instant::now();
        stage.event();
        examine_the_dead(stage, server, 3)?;
        let spec = ServerSpec { formats: vec![format], ..stage.server_spec() };
        let next = stage.live_server(spec)?;
        for reader in &readers {
            stage.until_recovered(*reader, old, killed)?;
        }
        stage.kill(next)?;
        stage.event();
        if !stage.has_time() {
            return Ok(());
        }
    }
}

/// What a consumer finds that comes after a server was killed: nothing that passes for current; on request its last picture,
/// whole; whatever else still counts as a frame, whole; and nothing of the one that was being written.
fn examine_the_dead(stage: &mut Stage<'_>, server: Actor, slots: u32) -> Played {
    if stage.is_blind() {
        return Ok(());
    }
    let (published, promised) = (stage.get(server, Word::Published), stage.get(server, Word::Promised));
    let reader = match stage.open() {
        Opened::Ready(reader) => reader,
        other => return stage.fail(format!("the files of a killed server cannot be opened: {other:?}")),
    };
    let until = Instant::now() + WAKE;
    while Instant::now() < until {
        if let Found::Frame(frame) = reader.latest(None) {
            let id = frame.id().get();
            return stage.fail(format!("frame {id} of a dead server was handed out as current"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let Some(last) = reader.last_picture() else {
        return stage.fail("a server that had published was killed, and its newest frame is not there");
    };
    let Some(number) = look(stage, &last) else {
        return stage.fail(format!("the newest frame of a killed server, {}, is not whole", last.id().get()));
    };
    // Killed between the publication and its note, or before the publication of what it had promised.
    if number != published && number != promised {
        return stage.fail(format!(
            "the newest frame of a killed server is picture {number}; it had published {published} and promised {promised}"
        ));
    }
    let newest = last.id().get();
    let all = (newest + 1).saturating_sub(u64::from(slots))..=newest + u64::from(slots);
    for id in all.filter_map(FrameId::new) {
        look_at(stage, &reader, id);
    }
    Ok(())
}

fn look_at(stage: &mut Stage<'_>, reader: &Reader, id: FrameId) {
    if let Some(frame) = reader.at(id) {
        if frame.is_intact() {
            look(stage, &frame);
        }
    }
}

/// The number of a frame that has to be whole, if it is.
fn look(stage: &mut Stage<'_>, frame: &Frame<'_>) -> Option<u64> {
    let packed = frame.to_packed().ok()?;
    match picture::contradiction(frame, picture::read(&packed), None) {
        Ok(mark) => {
            stage.saw(frame, mark.number);
            Some(mark.number)
        }
        Err(why) => {
            stage.torn(format!("frame {} of a dead server is valid and not whole: {why}", frame.id().get()));
            None
        }
    }
}

pub(crate) fn other_slots(stage: &mut Stage<'_>) -> Played {
    let mut server = stage.live_server(ServerSpec { slots: SLOTS[0], ..stage.server_spec() })?;
    let mut readers = Vec::new();
    for manner in [Manner::Stream, Manner::Every, Manner::Spin] {
        let reader = stage.reader(manner)?;
        stage.until_reading(reader)?;
        readers.push(reader);
    }
    let mut round = 0;
    loop {
        round += 1;
        let old = stage.get(readers[0], Word::Generation);
        let is_killed = stage.rng.bool();
        let gone = Instant::now();
        if is_killed {
            stage.kill(server)?;
        } else {
            stage.end(server)?;
        }
        stage.event();
        let spec = ServerSpec { slots: SLOTS[round % SLOTS.len()], ..stage.server_spec() };
        server = stage.live_server(spec)?;
        for reader in &readers {
            stage.until_recovered(*reader, old, gone)?;
            stage.until_current(server, *reader)?;
        }
        if round >= SLOTS.len() && !stage.has_time() {
            return Ok(());
        }
    }
}

// Proves LIFE-10.
pub(crate) fn two_servers(stage: &mut Stage<'_>) -> Played {
    // At a camera's rate, so that the time until there are pictures again can be told in periods.
    let spec = ServerSpec { period_us: 33_333, ..stage.server_spec() };
    let mut first = stage.live_server(spec.clone())?;
    let reader = stage.reader(Manner::Stream)?;
    stage.until_current(first, reader)?;
    loop {
        let second = stage.server(spec.clone())?;
        stage.until("the second server is told that the first has the camera", |stage| {
            (stage.get(second, Word::HeldByAnother) > 0).then_some(())
        })?;
        stage.wait_random(Duration::from_millis(300))?;
        stage.until_current(first, reader)?;
        if stage.get(second, Word::Published) > 0 {
            return stage.fail("two servers published frames of one camera at the same time");
        }
        let old = stage.get(reader, Word::Generation);
        stage.kill(first)?;
        let killed = Instant::now();
        stage.event();
        stage.until("the second server takes over", |stage| {
            (stage.get(second, Word::Published) > 0).then_some(())
        })?;
        stage.until_recovered(reader, old, killed)?;
        first = second;
        if !stage.has_time() {
            return Ok(());
        }
    }
}

pub(crate) fn stop_server(stage: &mut Stage<'_>) -> Played {
    let spec = ServerSpec { formats: vec![LARGE], ..stage.server_spec() };
    let server = stage.live_server(spec)?;
    let mut readers = Vec::new();
    for manner in [Manner::Stream, Manner::Spin, Manner::Older] {
        let reader = stage.reader(manner)?;
        stage.until_reading(reader)?;
        readers.push(reader);
    }
    let mut round = 0;
    loop {
        stage.wait_random(Duration::from_millis(30))?;
        stage.signal(server, Signal::STOP)?;
        stage.event();
        // Every eighth time its heart stands still for so long that readers take it for gone (LIVE-3), and come back to it.
        let pause_ms = if round % 8 == 0 { 3300 } else { stage.rng.u64(1..60) };
        stage.wait(Duration::from_millis(pause_ms))?;
        let (before, stopped) = (stage.get(server, Word::Promised), Instant::now());
        stage.signal(server, Signal::CONT)?;
        for reader in &readers {
            stage.until("a reader goes on with the server", |stage| {
                (stage.get(*reader, Word::Number) > before).then_some(())
            })?;
            stage.tally.recovered(stopped.elapsed());
        }
        round += 1;
        if !stage.has_time() {
            return Ok(());
        }
    }
}

pub(crate) fn fork(stage: &mut Stage<'_>) -> Played {
    let reader = stage.reader(Manner::Stream)?;
    let spinner = stage.reader(Manner::Spin)?;
    loop {
        let spec = ServerSpec {
            formats: vec![SMALL, PADDED],
            change_ms: 200,
            fork_each_ms: 20,
            child_lives_ms: 30,
            ..stage.server_spec()
        };
        let server = stage.live_server(spec)?;
        stage.until("the server has forked some children", |stage| {
            (stage.get(server, Word::Forks) >= 20).then_some(())
        })?;
        stage.until_current(server, reader)?;
        stage.until_current(server, spinner)?;
        stage.events(stage.get(server, Word::Forks));
        stage.end(server)?;

        // A child that lives on has the guard's open file description: a killed server's camera stays taken until the child
        // ends or becomes another program.
        let spec = ServerSpec { fork_each_ms: 50, child_lives_ms: 400, ..stage.server_spec() };
        let server = stage.live_server(spec)?;
        stage.until("the server has forked a child", |stage| {
            (stage.get(server, Word::Forks) > 0).then_some(())
        })?;
        stage.until_current(server, reader)?;
        let old = stage.get(reader, Word::Generation);
        stage.kill(server)?;
        let killed = Instant::now();
        stage.event();
        let next = stage.live_server(stage.server_spec())?;
        stage.until_recovered(reader, old, killed)?;
        stage.end(next)?;
        if !stage.has_time() {
            return Ok(());
        }
    }
}
