//! Servers at full rate and at a camera's, readers of all speeds.

use crate::ledger::Word;
use crate::picture::{LARGE, PADDED, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Played, Stage};
use std::time::Duration;

const SLOTS: [u32; 3] = [2, 3, 8];
/// How long one number of slots is played.
const ROUND: Duration = Duration::from_secs(1);
/// Longer rounds would be cut short where there is little time.
const LONG_ROUND: Duration = Duration::from_secs(5);
const PERIOD_US: u64 = 33_333;

pub(crate) fn full_rate_small(stage: &mut Stage<'_>) -> Played {
    let manners = [Manner::Spin, Manner::Every, Manner::Older];
    full_rate(stage, &[SMALL, PADDED], &manners)
}

pub(crate) fn full_rate_large(stage: &mut Stage<'_>) -> Played {
    full_rate(stage, &[LARGE], &[Manner::Spin, Manner::Stream])
}

// Proves READ-6 and READ-9.
fn full_rate(stage: &mut Stage<'_>, formats: &[u8], manners: &[Manner]) -> Played {
    let mut round = 0;
    loop {
        let spec = stage.server_spec();
        let format = formats[round / SLOTS.len() % formats.len()];
        let slots = SLOTS[round % SLOTS.len()];
        let server = stage.live_server(ServerSpec { slots, formats: vec![format], ..spec })?;
        for manner in manners {
            let reader = stage.reader(*manner)?;
            stage.until_reading(reader)?;
        }
        stage.wait(ROUND)?;
        stage.events(1);
        stage.end_all()?;
        if stage.get(server, Word::Pairs) != 1 {
            return stage.fail("a server whose pictures do not change made more than one pair");
        }
        round += 1;
        if !stage.has_time() {
            return Ok(());
        }
    }
}

/// What a reader that follows MXL's documentation met: it holds a frame for longer than the writer lets it stand.
pub(crate) fn hold_at_a_rate(stage: &mut Stage<'_>) -> Played {
    hold(stage, PERIOD_US)
}

pub(crate) fn hold_at_full_rate(stage: &mut Stage<'_>) -> Played {
    hold(stage, 0)
}

// Proves READ-6 and HOLD-2.
fn hold(stage: &mut Stage<'_>, period_us: u64) -> Played {
    let mut round = 0;
    loop {
        let spec = stage.server_spec();
        let slots = SLOTS[(round + 1) % SLOTS.len()];
        let server = stage.live_server(ServerSpec { slots, formats: vec![LARGE], period_us, ..spec })?;
        let mut holders = Vec::new();
        for ms in [40, 40, 250, 250] {
            holders.push(stage.reader(Manner::Hold { ms })?);
        }
        // One that holds nothing, to see that it is not kept from anything by those that do.
        let bystander = stage.reader(Manner::Stream)?;
        stage.until_reading(bystander)?;
        stage.wait(LONG_ROUND.min(ROUND * (1 + round as u32)))?;
        for holder in &holders {
            stage.until("each holder has held a frame", |stage| {
                let held = stage.accepted(*holder) + stage.get(*holder, Word::Overwritten);
                (held > 0).then_some(())
            })?;
        }
        stage.until_current(server, bystander)?;
        let held: u64 =
            holders.iter().map(|id| stage.accepted(*id) + stage.get(*id, Word::Overwritten)).sum();
        stage.events(held);
        stage.end_all()?;
        round += 1;
        if !stage.has_time() {
            return Ok(());
        }
    }
}
