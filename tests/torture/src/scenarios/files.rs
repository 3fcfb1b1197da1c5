//! Files that are replaced by their server, and files that somebody takes away.

use crate::ledger::Word;
use crate::picture::{PADDED, RECOLORED, SMALL};
use crate::reader::Manner;
use crate::server::ServerSpec;
use crate::stage::{Circumstances, Played, Stage};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

// Proves OPEN-10 and HEAD-10.
pub(crate) fn replacement(stage: &mut Stage<'_>) -> Played {
    let spec = ServerSpec {
        formats: vec![SMALL, RECOLORED, PADDED],
        change_ms: 20,
        restart_each_ms: 1700,
        ..stage.server_spec()
    };
    let server = stage.live_server(spec)?;
    let circumstances = Circumstances { counts_switches: true, ..Circumstances::default() };
    let mut readers = Vec::new();
    for manner in [Manner::Spin, Manner::Stream, Manner::Every, Manner::Older] {
        readers.push(stage.reader_in(manner, &circumstances, None)?);
    }
    loop {
        let pairs = stage.get(server, Word::Pairs);
        stage.until("the server makes another pair", |stage| {
            (stage.get(server, Word::Pairs) > pairs).then_some(())
        })?;
        stage.event();
        for reader in &readers {
            stage.until_current(server, *reader)?;
        }
        if stage.get(server, Word::Pairs) >= 4 && !stage.has_time() {
            return Ok(());
        }
    }
}

/// What is taken away.
#[derive(Clone, Copy, Debug)]
enum Loss {
    CameraRemoved,
    CameraMoved,
    BaseRemoved,
    BaseMoved,
    MetaUnlinked,
    DataUnlinked,
    GuardUnlinked,
    MetaReplaced,
}

const LOSSES: [Loss; 8] = [
    Loss::CameraRemoved,
    Loss::BaseMoved,
    Loss::MetaUnlinked,
    Loss::BaseRemoved,
    Loss::DataUnlinked,
    Loss::CameraMoved,
    Loss::GuardUnlinked,
    Loss::MetaReplaced,
];

// Proves LIFE-9 and LIVE-5.
pub(crate) fn names_removed(stage: &mut Stage<'_>) -> Played {
    let server = stage.live_server(stage.server_spec())?;
    let mut readers = Vec::new();
    for manner in [Manner::Stream, Manner::Spin] {
        let reader = stage.reader(manner)?;
        stage.until_reading(reader)?;
        readers.push(reader);
    }
    let mut order = LOSSES;
    loop {
        stage.rng.shuffle(&mut order);
        for loss in order {
            let old = stage.open_ready()?.header().generation();
            for reader in &readers {
                stage.until("the reader is at the newest pair", |stage| {
                    (stage.get(*reader, Word::Generation) == old).then_some(())
                })?;
            }
            stage.wait_random(Duration::from_millis(100))?;
            let aside = stage.subfolder("aside")?;
            let lost = Instant::now();
            if let Err(error) = lose(loss, &stage.base(), &stage.camera_directory(), &aside) {
                return stage.fail(format!("{loss:?}: {error}"));
            }
            stage.event();
            stage.until_served(old)?;
            stage.tally.recovered(lost.elapsed());
            for reader in &readers {
                stage.until_recovered(*reader, old, lost)?;
                stage.until_current(server, *reader)?;
            }
            fs::remove_dir_all(&aside)?;
            if !stage.has_time() {
                return Ok(());
            }
        }
    }
}

fn lose(loss: Loss, base: &Path, camera: &Path, aside: &Path) -> io::Result<()> {
    match loss {
        Loss::CameraRemoved => remove_all(camera),
        Loss::BaseRemoved => remove_all(base),
        Loss::CameraMoved => fs::rename(camera, aside.join("camera")),
        Loss::BaseMoved => fs::rename(base, aside.join("base")),
        Loss::MetaUnlinked => fs::remove_file(camera.join("frame.meta")),
        Loss::DataUnlinked => fs::remove_file(camera.join("frame.data")),
        Loss::GuardUnlinked => fs::remove_file(base.join(".front.lock")),
        Loss::MetaReplaced => {
            // Something else of the same content, which was never the server's.
            let other = aside.join("frame.meta");
            fs::copy(camera.join("frame.meta"), &other)?;
            fs::rename(other, camera.join("frame.meta"))
        }
    }
}

/// Removes a directory while its server may be putting things into it.
fn remove_all(directory: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}
