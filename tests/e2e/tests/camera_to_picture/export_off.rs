//! With the flag unset nothing of the export exists (§13), and with it set nothing of it is on a network (§3).

use std::collections::BTreeSet;
use std::process::Command;
use vas_e2e::camera::Camera;
use vas_e2e::clips::clip;
use vas_e2e::process::Process;
use vas_e2e::scene::Scene;
use vas_e2e::server::{self, Server, camera};
use vas_e2e::{Lacking, require, until};

/// Every system call of a server with a camera that plays, as strace shows it.
fn system_calls(scene: &Scene, url: &str, flag: Option<&str>) -> Result<String, Lacking> {
    let config = scene.file("vas.toml", &camera("front", url));
    let log = scene.files().join("strace.log");
    // -D: the tracer is the grandchild, so that signals and the exit code are the server's own. -y: descriptors show the path
    // behind them. Long strings, or a path could be cut off.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-y", "-s", "4096", "-o"]).arg(&log);
    command.arg(vas_e2e::process::program("vas-ingest")).args(["run", "--config"]).arg(&config);
    let mut command = server::clean(command, scene);
    command.env_remove("AI_FRAME_EXPORT_ENABLED");
    if let Some(flag) = flag {
        command.env("AI_FRAME_EXPORT_ENABLED", flag);
    }
    let server = Server::start_command(&mut command);
    let _ = server.stderr.line_with("live:");
    if flag == Some("true") {
        until("the files are there", || scene.base().join("front/frame.meta").exists().then_some(()));
    }
    let (ended, _) = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let calls = || std::fs::read_to_string(&log).ok().filter(|calls| calls.ends_with("+++\n"));
    Ok(until("strace wrote everything", calls))
}

fn strace_works() -> Result<(), Lacking> {
    if Command::new("strace").arg("-V").output().is_err() {
        return Err("strace is not installed (Debian: apt-get install strace)".into());
    }
    let probe = Process::run("strace", Command::new("strace").args(["-D", "-f", "-o", "/dev/null", "true"]));
    if probe.status.success() {
        Ok(())
    } else {
        Err(format!("strace may not trace here: {}", probe.stderr.trim()))
    }
}

#[test]
fn with_the_flag_unset_no_system_call_names_the_base_directory() {
    let clip = require!(clip("h264.h264"));
    require!(strace_works());
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let base = scene.base();
    let base_name = base.to_str().expect("text");

    for flag in [None, Some("false"), Some("0")] {
        let calls = require!(system_calls(&scene, rtsp.url(), flag));
        assert!(calls.contains("recv") || calls.contains("read("), "the camera was played");
        let naming: Vec<&str> =
            calls.lines().filter(|call| call.contains(base_name) || call.contains("/dev/shm")).collect();
        assert!(naming.is_empty(), "with the flag {flag:?}:\n{}", naming.join("\n"));
        assert!(!base.exists(), "with the flag {flag:?} the directory was made");
    }

    // The same look does see a server that exports.
    let calls = require!(system_calls(&scene, rtsp.url(), Some("true")));
    assert!(calls.lines().any(|call| call.contains(base_name)), "the test is blind");
}

/// The calls that make sockets and give them addresses, without numbers of descriptors and ports.
fn sockets(calls: &str) -> BTreeSet<String> {
    let of = |call: &str| {
        let name = ["socket(", "bind(", "listen(", "accept(", "accept4("]
            .iter()
            .find(|name| call.contains(**name))?;
        let family = call.split("AF_").nth(1).unwrap_or_default();
        Some(format!("{name}{}", family.split([',', ')', '}']).next().unwrap_or_default()))
    };
    calls.lines().filter_map(of).collect()
}

#[test]
fn the_export_opens_no_socket() {
    let clip = require!(clip("h264.h264"));
    require!(strace_works());
    let scene = Scene::new();
    let rtsp = Camera::start(&[&clip]);
    let without = sockets(&require!(system_calls(&scene, rtsp.url(), None)));
    assert!(without.contains("socket(INET"), "the test is blind to the camera's own socket: {without:?}");
    let with = sockets(&require!(system_calls(&scene, rtsp.url(), Some("true"))));
    assert_eq!(with, without, "what the export opens or binds besides");
    assert!(!with.iter().any(|call| call.starts_with("listen(") || call.starts_with("accept")), "{with:?}");
}
