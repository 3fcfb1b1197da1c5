//! This program as one of the others: what it is told, and how it begins.

use crate::impostor::{self, ImpostorSpec};
use crate::ledger::{Ledger, LedgerPaths};
use crate::reader::{self, ReaderSpec};
use crate::server::{self, ServerSpec};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The first argument of a role; the second is a [`Call`].
pub(crate) const ROLE: &str = "role";
/// The first argument of a leash; the others are a command.
pub(crate) const LEASH: &str = "leash";

/// What a process is told, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Who starts it; 0: somebody in between.
    pub(crate) parent: u32,
    pub(crate) ledger: LedgerPaths,
    pub(crate) role: Role,
}

/// What a process is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Server(ServerSpec),
    Reader(ReaderSpec),
    Impostor(ImpostorSpec),
}

/// Plays a role.
pub(crate) fn play(call: &str) -> Result<(), Box<dyn Error>> {
    let call: Call = serde_json::from_str(call)?;
    die_with_parent(call.parent)?;
    // What the library has to say is evidence, should something go wrong.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let ledger = Ledger::open(&call.ledger)?;
    match &call.role {
        Role::Server(spec) => server::run(spec, &ledger),
        Role::Reader(spec) => reader::run(spec, &ledger),
        Role::Impostor(spec) => {
            impostor::run(spec, &ledger);
            Ok(())
        }
    }
}

/// Becomes another program, which dies with the one that started this one.
pub(crate) fn leash(mut words: impl Iterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let program = words.next().ok_or("give a program")?;
    die_with_parent(0)?;
    Err(Command::new(program).args(words).exec().into())
}

fn die_with_parent(parent: u32) -> Result<(), Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that was said.
    let is_orphan = parent != 0 && getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok();
    if is_orphan { Err("the torture that started this is gone".into()) } else { Ok(()) }
}
