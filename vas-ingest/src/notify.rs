//! What systemd is told, if it asks to be (sd_notify(3)): ready, how many cameras are live, alive, reloading, stopping.
//!
//! Signs of life come from the loop that looks after the cameras, so a server whose loop hangs is started again. A camera that
//! hangs is no reason for that: the others go on, and its state says what it does.

use sd_notify::NotifyState;
use std::time::Duration;

/// Tells systemd; without it, does nothing.
#[derive(Debug)]
pub(crate) struct Notify {
    told: String,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self { told: String::new() }
    }

    /// How often it wants a sign of life: twice within the time after which it takes the server for dead.
    pub(crate) fn watchdog_interval() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|time| time / 2).filter(|time| !time.is_zero())
    }

    /// The export is set up and the cameras are started. Whether they are there is another matter: a server that waits for its
    /// cameras could not be started before the network.
    pub(crate) fn ready(&mut self) {
        send(&[NotifyState::Ready]);
    }

    /// How many cameras are live, if that has changed.
    pub(crate) fn status(&mut self, live: usize, cameras: usize) {
        let status = format!("{live} of {cameras} cameras live");
        if status != self.told {
            send(&[NotifyState::Status(&status)]);
            self.told = status;
        }
    }

    pub(crate) fn alive(&self) {
        send(&[NotifyState::Watchdog]);
    }

    /// To be followed by [`Notify::ready`], however it ends.
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            send(&[NotifyState::Reloading, now]);
        }
    }

    pub(crate) fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told {states:?}: {error}");
    }
}
