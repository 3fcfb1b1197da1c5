//! A way to a camera that can be listened to, and that some networks are like.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What the way does to UDP. RTSP itself passes unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Udp {
    /// Passes.
    Passes,
    /// Agreed on, and never arrives: a firewall.
    IsLost,
    /// The camera is asked for a transport that it does not have, and says so (461).
    IsRefused,
}

/// Passes RTSP connections on to a camera of this machine, and keeps what clients said. Ends with the process.
#[derive(Debug)]
pub struct Relay {
    url: String,
    said: Arc<Mutex<String>>,
}

impl Relay {
    /// Stands before the camera with that port.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start(camera_port: u16, udp: Udp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("rtsp://{}/cam", listener.local_addr().expect("a bound socket"));
        let said = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(camera) = TcpStream::connect(("127.0.0.1", camera_port)) else { continue };
                let (Ok(from_camera), Ok(to_client)) = (camera.try_clone(), client.try_clone()) else {
                    continue;
                };
                let heard = Arc::clone(&heard);
                thread::spawn(move || pass(client, camera, |bytes| hear(&heard, udp, bytes)));
                thread::spawn(move || pass(from_camera, to_client, <[u8]>::to_vec));
            }
        });
        Self { url, said }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often clients have asked for that.
    #[must_use]
    pub fn requests(&self, method: &str) -> usize {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines().filter(|line| line.starts_with(method) && line.ends_with("RTSP/1.0")).count()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&change(&buffer[..len])).is_err() {
            break;
        }
    }
    // Whichever side ended: the other one is told. It may know already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn hear(said: &Mutex<String>, udp: Udp, bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    let Some((before, after)) = text.split_once("client_port=") else { return bytes.to_vec() };
    let behind = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    match udp {
        Udp::Passes => bytes.to_vec(),
        // Nobody listens there.
        Udp::IsLost => format!("{before}client_port=1-2{behind}").into_bytes(),
        Udp::IsRefused => text.replace("RTP/AVP", "RAW/RAW").into_bytes(),
    }
}
