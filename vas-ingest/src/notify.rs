//! What systemd is told, if it asks to be (sd_notify(3)): ready, how many cameras are live, alive, reloading, stopping.
//!
//! Signs of life come from the loop that looks after the cameras, so a server whose loop hangs is started again. A camera that
//! hangs is no reason for that: the others go on, and its state says what it does.

use sd_notify::NotifyState;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where it listens.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// A service manager that does not take what it is told for this long is not told: cameras are looked after by the thread that tells.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

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
    let Some(place) = std::env::var_os(SOCKET_VARIABLE).filter(|place| !place.is_empty()) else { return };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send_to(&place, text.as_bytes()) {
        tracing::debug!("systemd was not told {states:?}: {error}");
    }
}

/// sd-notify's own way to send waits for as long as the queue of the socket is full.
fn send_to(place: &OsStr, text: &[u8]) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.send_to_addr(text, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_that_does_not_listen_holds_nobody_up_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("notify");
        let manager = UnixDatagram::bind(&place).unwrap();
        send_to(place.as_os_str(), b"READY=1\n").unwrap();
        let mut bytes = [0; 64];
        let len = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"READY=1\n");
        // One socket may be out of room of its own before the manager's queue is full: another one goes on, until a new one has no room.
        let fill = || {
            let filling = UnixDatagram::unbound().unwrap();
            filling.set_nonblocking(true).unwrap();
            (0..).take_while(|_| filling.send_to(b"WATCHDOG=1\n", &place).is_ok()).count()
        };
        while fill() > 0 {}
        let why = send_to(place.as_os_str(), b"WATCHDOG=1\n").unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::WouldBlock);
    }
}
