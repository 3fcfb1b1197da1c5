//! Any two files as a pair: the reader opens exactly those that PROTOCOL.md says, and answers every question as a reader over
//! plain bytes does.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vas_fuzz::input::Case;
use vas_fuzz::oracle::{self, NotReady};
use vas_fuzz::stage::{Asked, Stage};
use vas_shm_reader::{Event, FrameStream, Mode, Opened, Refused, open};

thread_local! {
    static STAGE: Stage = Stage::new();
}

fuzz_target!(|input: &[u8]| {
    let Some(case) = Case::parse(input) else { return };
    STAGE.with(|stage| run(stage, &case));
});

fn run(stage: &Stage, case: &Case) {
    let (mut shared, files) = stage.put(case);
    let expected = oracle::open(&shared.meta, &files);
    let opened = open(stage.base(), &stage.camera, &stage.options(case));
    match (&opened, expected) {
        (Opened::Ready(reader), Ok(constants)) if !case.insists_on_stranger => {
            let asked = Asked::new(reader, constants, &shared);
            // A server that has not been seen to live: only its last picture is to be had.
            asked.everything(&shared);
            let heartbeat = oracle::large(&shared.meta, 104).wrapping_add(1);
            stage.store(&mut shared, 104, &heartbeat.to_le_bytes());
            asked.everything(&shared);
        }
        (Opened::Refused(why @ Refused::Owner { .. }), _) if case.insists_on_stranger => {
            assert!(!why.to_string().is_empty());
        }
        (Opened::Refused(Refused::Header { why, .. }), Err(expected)) => {
            assert!(!why.to_string().is_empty());
            assert_eq!(NotReady::Refused(why.field()), expected, "{why}");
        }
        (Opened::NotYet(why), Err(NotReady::NotYet)) => assert!(!why.to_string().is_empty()),
        (_, expected) => panic!("{opened:?} where {expected:?} was right"),
    }
    drop(opened);

    let mode = if case.wants_every_frame { Mode::Next } else { Mode::Latest };
    let mut stream = FrameStream::new(stage.base(), stage.camera).mode(mode).options(stage.options(case));
    for _ in 0..3 {
        match stream.next_event(Duration::ZERO) {
            Event::Status(status) => assert!(!status.to_string().is_empty()),
            Event::Frame(_) => panic!("a frame of a server that was not seen to live"),
            Event::Timeout => {}
        }
    }
}
