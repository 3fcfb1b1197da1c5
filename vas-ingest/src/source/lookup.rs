//! Asks the system for a host's address, before retina or FFmpeg does: a name server that does not answer blocks a thread that nobody can
//! end, so each camera has one such thread at most, however often it is tried.

use super::SourceError;
use crate::av::interrupt::Interrupt;
use std::cell::RefCell;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;
use url::{Host, Url};

/// How the standard library begins when the system has no address for a name.
pub(super) const UNRESOLVED: &str = "failed to lookup address information: ";

/// How often a call that blocks looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where no port is named.
const RTSP_PORT: u16 = 554;

thread_local! {
    /// Of this camera's thread, for longer than one connection.
    static LOOKUP: RefCell<Lookup> = RefCell::default();
}

/// Ok: the host has an address, or is one.
pub(super) fn resolve(address: &Url, interrupt: &Interrupt) -> Result<(), SourceError> {
    // In an address that does not begin with http, the numbers of an IPv4 address are a name to the crate `url`.
    let Some(Host::Domain(name)) = address.host().filter(|host| host.to_string().parse::<IpAddr>().is_err())
    else {
        return Ok(());
    };
    let (name, port) = (name.to_owned(), address.port().unwrap_or(RTSP_PORT));
    let ask = move || match (name.as_str(), port).to_socket_addrs() {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            Err(text.strip_prefix(UNRESOLVED).unwrap_or(&text).to_owned())
        }
    };
    LOOKUP.with_borrow_mut(|lookup| lookup.ask(ask, interrupt))
}

/// One question at a time.
#[derive(Default)]
struct Lookup {
    /// A question whose answer was not waited for.
    asked: Option<Receiver<Result<(), String>>>,
}

impl Lookup {
    fn ask(
        &mut self,
        ask: impl FnOnce() -> Result<(), String> + Send + 'static,
        interrupt: &Interrupt,
    ) -> Result<(), SourceError> {
        if let Some(asked) = &self.asked
            && asked.try_recv() == Err(TryRecvError::Empty)
        {
            let why = "the system still owes an answer to the question before, which nothing can end";
            return Err(SourceError::Unresolved(why.to_owned()));
        }
        self.asked = None;
        let (answer, asked) = sync_channel(1);
        let spawned = std::thread::Builder::new().name("vas-resolve".into()).spawn(move || {
            // Nobody may be there any more to hear it.
            let _ = answer.send(ask());
        });
        spawned.map_err(|error| SourceError::Unresolved(format!("start a thread for that: {error}")))?;
        loop {
            match asked.recv_timeout(LOOK_EVERY) {
                Ok(answer) => return answer.map_err(SourceError::Unresolved),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(SourceError::Unresolved("the question was not asked to its end".into()));
                }
                Err(RecvTimeoutError::Timeout) if interrupt.cause().is_some() => {
                    self.asked = Some(asked);
                    return Err(SourceError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    #[test]
    fn a_question_that_hangs_has_one_thread_however_often_it_is_asked() {
        let mut lookup = Lookup::default();
        let passed = Interrupt::new(Arc::default());
        passed.arm(Duration::ZERO);
        let (release, held) = channel::<()>();
        let (tell, ended) = channel::<()>();
        let hang = move || {
            let _ = held.recv();
            drop(tell);
            Ok(())
        };
        assert!(matches!(lookup.ask(hang, &passed), Err(SourceError::Interrupted)));
        for _ in 0..3 {
            let never = || panic!("a second thread");
            let error = lookup.ask(never, &passed);
            assert!(
                matches!(&error, Err(SourceError::Unresolved(why)) if why.contains("still owes")),
                "{error:?}"
            );
        }
        release.send(()).unwrap();
        assert!(ended.recv().is_err(), "it is answered");
        // The answer is sent right behind that, and it is over when its thread has let go of the way to tell it.
        let patient = Interrupt::new(Arc::default());
        patient.arm(Duration::from_secs(60));
        while lookup.asked.as_ref().is_some_and(|asked| asked.try_recv() != Err(TryRecvError::Disconnected)) {
            std::thread::yield_now();
        }
        assert!(lookup.ask(|| Ok(()), &patient).is_ok());
        let error = lookup.ask(|| Err("no such name".to_owned()), &patient);
        assert!(matches!(&error, Err(SourceError::Unresolved(why)) if why == "no such name"), "{error:?}");
    }

    #[test]
    fn an_address_is_asked_for_nowhere() {
        let passed = Interrupt::new(Arc::default());
        passed.arm(Duration::ZERO);
        for url in ["rtsp://127.0.0.1:8554/s", "rtsp://[::1]/s"] {
            assert!(resolve(&Url::parse(url).unwrap(), &passed).is_ok(), "{url}");
        }
    }
}
