//! The reader of the repository's front page.
//!
//! `cargo run -p vas-shm-reader --example ten_lines`

use std::time::Duration;
use vas_shm_reader::{CameraId, Event, FrameStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = FrameStream::new("/dev/shm/vas", CameraId::new("front")?);
    loop {
        match stream.next_event(Duration::from_secs(5)) {
            Event::Frame(frame) => match frame.to_packed() {
                Ok(nv12) => println!("frame {}: {} bytes, {:?} old", frame.id(), nv12.len(), frame.age()),
                Err(overwritten) => eprintln!("{overwritten}"), // too slow for this one: take the next
            },
            Event::Status(status) => eprintln!("{status}"), // live, stalled, stopped, waiting, ...
            Event::Timeout => eprintln!("nothing for five seconds"),
        }
    }
}
