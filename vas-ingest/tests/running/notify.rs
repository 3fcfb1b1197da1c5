//! The real program and what it tells systemd: the test is systemd, with a socket of its own.

use crate::scene::*;
use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

/// The receiving end of NOTIFY_SOCKET.
struct Systemd {
    socket: UnixDatagram,
    seen: Vec<String>,
}

impl Systemd {
    fn new(scene: &Scene) -> Self {
        let socket = UnixDatagram::bind(scene.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, seen: Vec::new() }
    }

    fn next(&mut self) -> String {
        let mut bytes = [0; 4096];
        let len = match self.socket.recv(&mut bytes) {
            Ok(len) => len,
            Err(why) => panic!("nothing more comes ({why}) after {:#?}", self.seen),
        };
        let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
        self.seen.push(text.clone());
        text
    }

    /// Everything up to the message that has this line.
    fn until(&mut self, line: &str) -> Vec<String> {
        let mut found = Vec::new();
        // Signs of life go on for ever.
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no {line} among {:#?}", self.seen);
            let message = self.next();
            let is_it = message.lines().any(|found| found == line);
            found.push(message);
            if is_it {
                return found;
            }
        }
    }
}

#[test]
fn systemd_hears_that_it_is_ready_alive_reloading_and_stopping() {
    let Some(scene) = Scene::new() else { return };
    // A camera that is away keeps nobody waiting.
    let away = format!("[[camera]]\nid = \"away\"\nurl = \"rtsp://{CLOSED}/s\"\n");
    let cameras = looping(&["front"]) + &away;
    scene.configure(&cameras);
    let mut systemd = Systemd::new(&scene);
    let mut command = scene.run();
    // A sign of life every second: the queue of a socket may hold no more than ten, and what finds it full is lost.
    command.env("NOTIFY_SOCKET", scene.path("notify")).env("WATCHDOG_USEC", "2000000");
    let mut server = Running::start(&mut command);
    assert_eq!(systemd.next(), "READY=1\n");
    systemd.until("STATUS=1 of 2 cameras live");
    for _ in 0..3 {
        systemd.until("WATCHDOG=1");
    }

    scene.configure(&cameras.replace("front", "yard"));
    server.signal(Signal::HUP);
    let reload = systemd.until("RELOADING=1").pop().unwrap();
    let since = reload.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("its time");
    assert!(since.parse::<u64>().is_ok_and(|since| since > 0), "{reload}");
    systemd.until("READY=1");
    scene.configure("this is none");
    server.signal(Signal::HUP);
    systemd.until("RELOADING=1");
    systemd.until("READY=1");
    systemd.until("WATCHDOG=1");

    server.signal(Signal::TERM);
    systemd.until("STOPPING=1");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_watchdog_of_another_process_is_not_served() {
    let Some(scene) = Scene::new() else { return };
    scene.configure(&looping(&["front"]));
    let mut systemd = Systemd::new(&scene);
    let mut command = scene.run();
    command
        .env("NOTIFY_SOCKET", scene.path("notify"))
        .env("WATCHDOG_USEC", "100000")
        .env("WATCHDOG_PID", "1");
    let mut server = Running::start(&mut command);
    systemd.until("STATUS=1 of 1 cameras live");
    server.stop();
    let all = systemd.until("STOPPING=1");
    assert!(
        !systemd.seen.iter().chain(&all).any(|message| message.contains("WATCHDOG=1")),
        "{:?}",
        systemd.seen
    );
}
