//! A server that is started before the network is there, as after a night's reboot.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use vas_e2e::camera::Camera;
use vas_e2e::clips::{clip, hashes};
use vas_e2e::compare::{Plays, assert_same};
use vas_e2e::process::{Process, program};
use vas_e2e::reader::Watch;
use vas_e2e::scene::Scene;
use vas_e2e::server::{Server, camera, clean};
use vas_e2e::{DEADLINE, Lacking, require};

/// In a network of its own no port is anybody else's.
const PORT: u16 = 8554;

/// A name that no name server of this world knows (RFC 6761).
const HOST: &str = "camera.test";

/// `vas-ingest` in a network namespace without any network, and with a file of host names of the test's.
fn command_without_network(scene: &Scene, hosts: &Path) -> Result<Command, Lacking> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root for a network namespace".into());
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]);
    let tried =
        Process::run("unshare", Command::new("unshare").args(["--net", "--mount", "--", "ip", "link"]));
    if tried.code() != Some(0) {
        return Err(format!("a network namespace cannot be had: {}", tried.stderr.trim()));
    }
    command.args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(hosts);
    command.arg(program("vas-ingest"));
    Ok(clean(command, scene))
}

#[test]
fn a_server_that_is_started_before_the_network_is_ready_at_once_and_has_its_cameras_once_that_is_there() {
    let clip = require!(clip("h264.h264"));
    let pictures = require!(hashes(&clip));
    let scene = Scene::new();
    let hosts = scene.file("hosts", "");
    let mut command = require!(command_without_network(&scene, &hosts));
    let notified = UnixDatagram::bind(scene.files().join("notify")).expect("a socket of the test's");
    notified.set_read_timeout(Some(DEADLINE)).expect("a time limit");

    let named = camera("named", &format!("rtsp://{HOST}:{PORT}/cam"));
    let numbered = camera("numbered", &format!("rtsp://127.0.0.1:{PORT}/cam"));
    let config = scene.file("vas.toml", &format!("{named}{numbered}"));
    command.args(["run", "--config"]).arg(config).env("NOTIFY_SOCKET", scene.files().join("notify"));
    let server = Server::start_command(&mut command);
    let mut message = [0; 4096];
    let len = notified.recv(&mut message).expect("the server says that it is ready");
    assert_eq!(&message[..len], b"READY=1\n");
    let unresolved = format!("the host name {HOST}:{PORT} cannot be resolved: ");
    let _ = server.stderr.line_with_all(&["WARN camera{id=named}: ", &unresolved, "; trying again in "]);
    let unreachable = ["WARN camera{id=numbered}: ", "Network is unreachable", "; trying again in "];
    let _ = server.stderr.line_with_all(&unreachable);

    let up = ["ip", "link", "set", "lo", "up"];
    let network = format!("--net=/proc/{}/ns/net", server.id());
    let up = Process::run("ip", Command::new("nsenter").arg(network).args(up));
    assert_eq!(up.code(), Some(0), "{}", up.stderr);
    let mut watches = ["named", "numbered"].map(|id| Watch::start(&scene, id));
    let _camera = Camera::start_in_network_of(server.id(), &[&clip], PORT);
    // In its place: another file would not be the one that the server sees.
    std::fs::write(&hosts, format!("127.0.0.1 {HOST}\n")).expect("write the host's name");
    for watch in &mut watches {
        assert_same(&watch.frames(10), &pictures, Plays::RoundAndRound);
    }
    for id in ["named", "numbered"] {
        let _ = server.stderr.line_with(&format!("camera{{id={id}}}: live: "));
    }
    server.stop_well();
}
