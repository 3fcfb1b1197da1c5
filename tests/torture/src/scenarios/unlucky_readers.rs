//! Readers that are killed, stopped, starved. None of it may show in the server or in another reader.

use crate::ledger::Word;
use crate::picture::{LARGE, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Actor, Played, Stage};
use rustix::process::Signal;
use std::time::Duration;

/// A server goes on if it publishes this many frames more: more than one lap of the most slots there are.
const GOES_ON: u64 = 20;

// Proves TRUST-4.
pub(crate) fn kill(stage: &mut Stage<'_>) -> Played {
    let (server, bystander) = server_and_bystander(stage)?;
    let manners = [Manner::Spin, Manner::Hold { ms: 5 }, Manner::Reopen, Manner::Every, Manner::Lock];
    let mut round = 0;
    loop {
        // Two at a time, and every so often all there are at once.
        let count = if round % 8 == 7 { 6 } else { 2 };
        let mut victims = Vec::new();
        for _ in 0..count {
            let manner = manners[stage.rng.usize(..manners.len())];
            victims.push(stage.reader(manner)?);
        }
        for victim in &victims {
            stage.until("the victim has opened the camera", |stage| {
                (stage.accepted(*victim) + stage.get(*victim, Word::Overwritten) > 0).then_some(())
            })?;
        }
        stage.wait_random(Duration::from_millis(10))?;
        for victim in victims {
            stage.kill(victim)?;
            stage.event();
        }
        stage.until_published(server, GOES_ON)?;
        stage.until_current(server, bystander)?;
        round += 1;
        if !stage.has_time() {
            return one_pair(stage, server);
        }
    }
}

// Proves READ-6 and TRUST-4.
pub(crate) fn stop(stage: &mut Stage<'_>) -> Played {
    let (server, bystander) = server_and_bystander(stage)?;
    let mut victims = Vec::new();
    for manner in [Manner::Spin, Manner::Stream, Manner::Older, Manner::Hold { ms: 1 }] {
        let victim = stage.reader(manner)?;
        stage.until("the victim has opened the camera", |stage| {
            (stage.accepted(victim) + stage.get(victim, Word::Overwritten) > 0).then_some(())
        })?;
        victims.push(victim);
    }
    loop {
        stage.wait_random(Duration::from_millis(10))?;
        for victim in &victims {
            stage.signal(*victim, Signal::STOP)?;
            stage.event();
        }
        // Longer than a lap of the slots, whatever their number.
        stage.until_published(server, GOES_ON)?;
        stage.until_current(server, bystander)?;
        stage.wait_random(Duration::from_millis(50))?;
        for victim in &victims {
            stage.signal(*victim, Signal::CONT)?;
        }
        for victim in &victims {
            let looked = |stage: &Stage<'_>| {
                stage.accepted(*victim)
                    + stage.get(*victim, Word::Overwritten)
                    + stage.get(*victim, Word::Overruns)
            };
            let before = looked(stage);
            stage.until("the victim goes on looking", |stage| (looked(stage) > before).then_some(()))?;
        }
        if !stage.has_time() {
            return one_pair(stage, server);
        }
    }
}

pub(crate) fn starve(stage: &mut Stage<'_>) -> Played {
    let (server, bystander) = server_and_bystander(stage)?;
    let starved = stage.reader(Manner::Starve)?;
    loop {
        let (tried, opened) = (stage.get(starved, Word::Attempts), stage.get(starved, Word::Successes));
        let (now_tried, now_opened) =
            stage.until("the starved reader has gone through its limits", |stage| {
                let now = stage.get(starved, Word::Attempts);
                (now >= tried + 8).then(|| (now, stage.get(starved, Word::Successes)))
            })?;
        stage.until_reading(starved)?;
        let (tries, opens) = (now_tried - tried, now_opened - opened);
        stage.events(tries);
        stage.tally.refused += tries - opens;
        if opens == tries {
            return stage
                .fail("a reader opened a camera with too few descriptors and too little address space");
        }
        stage.until_published(server, GOES_ON)?;
        stage.until_current(server, bystander)?;
        if !stage.has_time() {
            return one_pair(stage, server);
        }
    }
}

/// A server at full rate, and a reader that must not notice what becomes of the others.
fn server_and_bystander(stage: &mut Stage<'_>) -> Played<(Actor, Actor)> {
    let format = if stage.rng.bool() { SMALL } else { LARGE };
    let server = stage.live_server(ServerSpec { formats: vec![format], ..stage.server_spec() })?;
    let bystander = stage.reader(Manner::Stream)?;
    stage.until_reading(bystander)?;
    Ok((server, bystander))
}

/// Whatever happened, the server was not moved to make another pair.
fn one_pair(stage: &Stage<'_>, server: Actor) -> Played {
    match stage.get(server, Word::Pairs) {
        1 => Ok(()),
        pairs => stage.fail(format!("what readers did made the server build {pairs} pairs")),
    }
}
