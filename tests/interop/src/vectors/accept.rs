//! Pairs that every reader accepts: each bound from its inner side, every odd geometry, and what a reader must not mind.

use super::draft::{Draft, NEWEST, pair, record_offset, timestamp_ns};
use crate::harness::Vector;

/// The first number of the vector `accept/successor`.
const SUCCESSOR: u64 = 5_000_100_000;

/// A pair, changed, with a frame in every slot.
fn full(change: impl FnOnce(&mut Draft)) -> Draft {
    let mut draft = Draft::new();
    change(&mut draft);
    draft.publish_all(NEWEST);
    draft
}

pub(super) fn all() -> Vec<Vector> {
    let mut all = pictures();
    all.extend(slots());
    all.extend(headers());
    all.extend(later_versions());
    all.extend(words());
    all.extend(numbers());
    all.extend(conversations());
    all.extend(cameras());
    all
}

/// Ids at the inner side of their bounds (FILE-2).
fn cameras() -> Vec<Vector> {
    let longest = "Camera_at-the-front-door_0123456789_abcdefghijklmnopqrstuvwxyz-Z";
    assert_eq!(longest.len(), 64, "the longest id there can be");
    [
        ("longest", longest, "An id of 64 letters, digits, _ and -: the longest there can be."),
        ("one-letter", "Z", "An id of one letter."),
        ("digit-first", "0-_", "An id that begins with a digit and ends with an underscore."),
    ]
    .into_iter()
    .map(|(name, camera, about)| {
        pair(|d| camera.clone_into(&mut d.camera)).ready(
            &format!("accept/camera-id-{name}"),
            about,
            &["FILE-2"],
        )
    })
    .collect()
}

fn pictures() -> Vec<Vector> {
    // Width, height, stride.
    let sizes = [
        (1, 1, 2),
        (1, 2, 2),
        (2, 1, 2),
        (2, 2, 2),
        (1, 3, 64),
        (3, 1, 4),
        (3, 3, 4),
        (4, 5, 4),
        (5, 4, 64),
        (17, 2, 18),
        (31, 7, 45),
        (33, 17, 64),
        (64, 48, 64),
        (101, 77, 128),
    ];
    let mut all: Vec<_> = sizes
        .into_iter()
        .map(|(width, height, stride): (u32, u32, u32)| {
            let parity = |number| if number % 2 == 0 { "even" } else { "odd" };
            let least = 2 * width.div_ceil(2);
            let rows = match stride - least {
                0 => "the smallest stride there is".to_owned(),
                more => format!("{more} bytes after each chroma row"),
            };
            let about = format!(
                "{width} x {height} pixels: {} width, {} height, {rows}.",
                parity(width),
                parity(height)
            );
            let name = format!("accept/picture-{width}x{height}");
            full(|d| d.shape(width, height, stride)).ready(
                &name,
                &about,
                &["PIC-1", "PIC-2", "PIC-4", "OPEN-12"],
            )
        })
        .collect();
    let clauses = &["PIC-2", "PIC-4", "OPEN-12"];
    all.push(full(|d| d.spread(7, 5, 19, 0, 0)).ready(
        "accept/stride-odd",
        "An odd stride: every other row begins at an odd byte.",
        clauses,
    ));
    all.push(full(|d| d.shape(5, 3, 1000)).ready(
        "accept/stride-wide",
        "A stride of 1000 for 5 pixels.",
        clauses,
    ));
    all.push(full(|d| d.spread(9, 9, 16, 101, 0)).ready(
        "accept/uv-gap",
        "101 bytes between the planes.",
        clauses,
    ));
    all.push(full(|d| d.spread(9, 9, 16, 0, 777)).ready(
        "accept/data-size-larger",
        "777 bytes of the frame after its chroma plane.",
        clauses,
    ));
    all.push(
        full(|d| {
            d.lay_out(5);
            d.spread(33, 17, 67, 13, 5);
            d.place(&[40960, 8192, 24576, 0, 57344], 57344 + d.data_size);
        })
        .ready(
            "accept/everything-odd",
            "Odd sizes, an odd stride, an odd gap, bytes after the planes, five slots in no order with gaps between them, and a file that ends with its last frame.",
            &["PIC-1", "PIC-2", "PIC-4", "HEAD-5", "OPEN-12", "OPEN-15", "FILE-6"],
        ),
    );
    let two = |width, height, stride| {
        let mut d = Draft::new();
        d.lay_out(2);
        d.shape(width, height, stride);
        d.publish(NEWEST);
        d
    };
    all.push(two(16384, 1, 16384).ready("accept/width-16384", "The largest width.", &["OPEN-12"]));
    all.push(two(16383, 1, 16384).ready(
        "accept/width-16383",
        "The largest odd width, with the smallest stride for it.",
        &["OPEN-12", "PIC-1"],
    ));
    all.push(two(1, 16384, 2).ready("accept/height-16384", "The largest height.", &["OPEN-12"]));
    all.push(two(1, 16383, 2).ready("accept/height-16383", "The largest odd height.", &["OPEN-12", "PIC-1"]));
    all
}

fn slots() -> Vec<Vector> {
    let mut all: Vec<_> = (2..=8)
        .map(|count| {
            full(|d| {
                d.lay_out(count);
                d.shape(6, 4, 6);
            })
            .ready(
                &format!("accept/slots-{count}"),
                &format!("{count} slots, a frame in each."),
                &["HEAD-5", "OPEN-13", "READ-9"],
            )
        })
        .collect();
    let clauses = &["OPEN-15", "HEAD-5", "PIC-4"];
    all.push(full(|d| d.spread(64, 42, 64, 0, 64)).ready(
        "accept/slots-touching",
        "A frame of 4096 bytes exactly: each slot begins where the one before it ends.",
        clauses,
    ));
    all.push(full(|d| d.place(&[8192, 4096, 0], 12288)).ready(
        "accept/slots-in-reverse",
        "The slots in reverse order.",
        clauses,
    ));
    all.push(full(|d| d.place(&[20480, 4096, 12288], 32768)).ready(
        "accept/slots-with-gaps",
        "Unused pages before, between and after the slots.",
        clauses,
    ));
    all.push(full(|d| d.place(&[0, 4096, 8192], 8192 + d.data_size)).ready(
        "accept/file-ends-with-the-last-slot",
        "data_file_size is the end of the last frame to the byte, no multiple of a page.",
        &["OPEN-15", "OPEN-16"],
    ));
    all.push(full(|d| d.data_bytes += 1).ready(
        "accept/data-file-one-byte-larger",
        "frame.data has one byte more than data_file_size says.",
        &["OPEN-16"],
    ));
    all.push(full(|d| d.data_bytes += 40960).ready(
        "accept/data-file-ten-pages-larger",
        "frame.data has ten pages more than data_file_size says.",
        &["OPEN-16"],
    ));
    all
}

fn headers() -> Vec<Vector> {
    let mut all = Vec::new();
    all.push(pair(|d| d.meta_bytes = 768).ready(
        "accept/meta-768",
        "frame.meta has the 768 bytes of the header and no more.",
        &["OPEN-6", "OPEN-9"],
    ));
    for bytes in [769, 4095, 4097] {
        all.push(pair(|d| d.meta_bytes = bytes).ready(
            &format!("accept/meta-{bytes}"),
            "A frame.meta whose size is a multiple of nothing.",
            &["OPEN-6", "OPEN-9"],
        ));
    }
    all.push(pair(|d| d.meta_bytes = 12288).ready(
        "accept/meta-three-pages",
        "frame.meta of three pages.",
        &["OPEN-6", "FILE-6"],
    ));
    for (size, file, about) in [
        (769, 4096, "A header that is one byte longer than that of version 1."),
        (4096, 4096, "A header as long as its file."),
        (4097, 8192, "A header longer than a page, in a file of two."),
        (8192, 8192, "A header of two pages, as long as its file."),
    ] {
        all.push(pair(|d| (d.header_size, d.meta_bytes) = (size, file)).ready(
            &format!("accept/header-size-{size}"),
            about,
            &["OPEN-9", "CHANGE-4"],
        ));
    }
    all.push(
        full(|d| {
            for (from, to) in [(128, 256), (288, 320), (352, 384), (416, 448), (768, 4096)] {
                d.pokes.push((from, vec![0xff; to - from]));
            }
        })
        .ready(
            "accept/reserved-bytes-set",
            "Every reserved byte and every byte past the header is 0xff.",
            &["HEAD-4", "CHANGE-4"],
        ),
    );
    all.push(
        full(|d| {
            // Three of five: misaligned, past the file, and over slot 0 with the newest frame's number.
            for (slot, words) in [
                (3, [NEWEST + 1, 1, 1, 1]),
                (4, [NEWEST + 2, 2, u64::MAX, u64::MAX]),
                (5, [NEWEST, 3, 0, 0]),
                (6, [u64::MAX; 4]),
                (7, [NEWEST, 4, 4096, 1]),
            ] {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                d.pokes.push((record_offset(slot), bytes));
            }
        })
        .ready(
            "accept/unused-records-full-of-rubbish",
            "The records past slot_count are misaligned, past the file, over other slots and numbered like the newest frame.",
            &["HEAD-6", "HEAD-5", "OPEN-15"],
        ),
    );
    for (range, about) in [
        (0, "The source did not say which range its numbers have."),
        (1, "Limited range."),
        (2, "Full range."),
        (3, "A range of a later version, which counts as unknown."),
        (255, "The last value of a range, which counts as unknown."),
    ] {
        all.push(pair(|d| d.color[0] = range).ready(
            &format!("accept/color-range-{range}"),
            about,
            if range < 3 { &["COLOR-1"] } else { &["COLOR-1", "HEAD-7"] },
        ));
    }
    for (name, codes, about) in [
        ("unspecified", [2, 2, 2], "Code points 2: the source did not say."),
        (
            "bt2020-pq",
            [9, 16, 9],
            "BT.2020 with PQ: three code points that differ from each other and from version 1's example.",
        ),
        ("of-later-standards", [22, 18, 14], "Code points that this document does not list."),
        ("highest", [253, 254, 255], "The highest code points: no reader refuses a colour."),
    ] {
        all.push(pair(|d| d.color[1..].copy_from_slice(&codes)).ready(
            &format!("accept/color-{name}"),
            about,
            &["COLOR-2"],
        ));
    }
    all.push(pair(|d| d.generation = u64::MAX).ready(
        "accept/generation-highest",
        "The highest generation: a number of 64 bits, to be shown as one.",
        &["HEAD-10"],
    ));
    all
}

fn later_versions() -> Vec<Vector> {
    let mut all = Vec::new();
    for (version, about) in [
        (2, "Version 2 without anything that is new."),
        (10, "Version 10."),
        (65536, "Version 65536, whose lower half is 0."),
        (1 << 31, "A version that is negative where numbers are signed."),
        (u32::MAX, "The highest version there can be."),
    ] {
        all.push(full(|d| d.version = version).ready(
            &format!("accept/version-{version}"),
            about,
            &["OPEN-7", "CHANGE-4"],
        ));
    }
    all.push(
        full(|d| {
            d.version = 2;
            // bitrate_kbps, then camera_time_ns of every frame.
            d.pokes.push((128, 4000_u32.to_le_bytes().to_vec()));
            for slot in 0..3 {
                let time = 1_700_000_000_000_000_000 + slot as u64 * 40_000_000;
                d.pokes.push((record_offset(slot) + 32, time.to_le_bytes().to_vec()));
                // Bit 1 of the frame's flags says that it has a camera time.
                d.records[slot].flags = 2;
            }
            let flags = d.records.map(|record| record.flags);
            d.ask(
                "latest",
                &format!("frame {NEWEST} {} {}", timestamp_ns(NEWEST), flags[(NEWEST % 3) as usize]),
            );
        })
        .ready(
            "accept/version-2-of-section-13",
            "The imagined version 2 of section 13: a bit rate at 128, a camera time at 288 of each record, and its bit in the flags.",
            &["OPEN-7", "CHANGE-2", "CHANGE-4", "CHANGE-6", "HEAD-4", "HEAD-7"],
        ),
    );
    all.push(
        full(|d| {
            (d.version, d.header_size) = (3, 832);
            d.pokes.push((128, vec![0x33; 128]));
            d.pokes.push((768, vec![0x44; 64]));
        })
        .ready(
            "accept/version-3-header-832",
            "An imagined version 3 that has used up 128 to 255 and appended 64 bytes from 768 on.",
            &["OPEN-7", "OPEN-9", "CHANGE-2", "CHANGE-4"],
        ),
    );
    all.push(
        full(|d| {
            (d.version, d.header_size, d.meta_bytes) = (9, 6000, 8192);
            d.pokes.push((768, vec![0x55; 6000 - 768]));
        })
        .ready(
            "accept/version-9-two-pages",
            "An imagined version 9 whose header needs a second page.",
            &["OPEN-7", "OPEN-9", "CHANGE-2", "CHANGE-4", "FILE-6"],
        ),
    );
    all
}

/// The words that change: states, flags, times.
fn words() -> Vec<Vector> {
    let mut all = Vec::new();
    for (state, name, about) in [
        (0, "live", "State 0 is none that there is: it counts as live."),
        (1, "live", "State 1, live."),
        (2, "stalled", "State 2, stalled: the newest frame stays readable."),
        (5, "live", "A state of a later version counts as live."),
        (7, "live", "A state with every bit of stopped and replaced counts as live."),
        (259, "live", "A state whose lowest byte is that of stopped counts as live."),
        (65540, "live", "A state whose lower half is that of replaced counts as live."),
        (u32::MAX, "live", "The highest state counts as live."),
    ] {
        all.push(
            pair(|d| {
                d.state = state;
                d.observe(name, false);
            })
            .ready(&format!("accept/state-{state}"), about, &["HEAD-7", "OPEN-17", "LIVE-6"]),
        );
    }
    all.push(
        pair(|d| {
            (d.state, d.flags) = (2, 1);
            d.observe("stalled", true);
        })
        .ready(
            "accept/stalled-and-idle",
            "State 2 with the flag idle: a reader says both, for neither hides the other.",
            &["HEAD-7", "LIVE-6"],
        ),
    );
    for (name, flags, idle, about) in [
        ("idle", 1, true, "The flag idle while a frame stands, as in the moment before it is cleared."),
        ("unknown", u32::MAX - 1, false, "Every bit of flags but idle."),
        ("all", u32::MAX, true, "Every bit of flags."),
    ] {
        all.push(
            pair(|d| {
                d.flags = flags;
                d.observe("live", idle);
            })
            .ready(&format!("accept/flags-{name}"), about, &["HEAD-7", "LIVE-6"]),
        );
    }
    all.push(
        pair(|d| {
            (d.heartbeat_ns, d.frame_period_ns) = (u64::MAX, 0);
            d.observe("live", false);
        })
        .ready(
            "accept/heartbeat-highest",
            "The highest heartbeat, which is compared with no clock, and an unknown frame period.",
            &["LIVE-4", "HOLD-5"],
        ),
    );
    all.push(
        pair(|d| {
            d.frame_period_ns = u64::MAX;
            d.observe("live", false);
        })
        .ready(
            "accept/frame-period-highest",
            "The highest frame period, a number of 64 bits that no clock will see.",
            &["HOLD-5"],
        ),
    );
    let slot = (NEWEST % 3) as usize;
    for (name, flags, about) in [
        ("damaged", 1, "The decoder reported loss in this frame."),
        ("unknown", u64::MAX - 1, "Every bit of the frame's flags but damaged."),
        ("all", u64::MAX, "Every bit of the frame's flags."),
    ] {
        all.push(pair(|d| d.records[slot].flags = flags).ready(
            &format!("accept/frame-flags-{name}"),
            about,
            &["HEAD-7", "HEAD-12"],
        ));
    }
    all.push(pair(|d| d.timestamp_ns = 1).ready(
        "accept/mirrored-time-differs",
        "The time at offset 16 is another than that of the newest frame's record, which is the one to be read.",
        &["READ-4"],
    ));
    all.push(pair(|d| d.records[slot].timestamp_ns = u64::MAX).ready(
        "accept/frame-time-highest",
        "The highest time of a frame.",
        &["READ-4"],
    ));
    all
}

/// The numbers of frames, from the first there can be to the last.
fn numbers() -> Vec<Vector> {
    let mut all = Vec::new();
    for (name, newest, about) in [
        ("one", 1, "The frame 1, as the only one."),
        ("two", 2, "The frames 1 and 2 in three slots."),
        ("above-32-bits", (1 << 32) + 1, "Numbers on both sides of 2^32."),
        ("above-53-bits", (1 << 53) + 1, "Numbers around 2^53, where a double ends."),
        ("above-63-bits", (1 << 63) + 1, "Numbers around 2^63, where a signed number ends."),
        ("highest", u64::MAX, "The highest number there can be."),
    ] {
        let mut d = Draft::new();
        d.shape(6, 4, 6);
        d.publish_all(newest);
        let oldest = newest.saturating_sub(2).max(1);
        for id in oldest..=newest {
            d.ask_frame("next", id);
        }
        d.ask("next", "nothing");
        d.ask("latest", "nothing");
        d.ask("at 0", "gone");
        all.push(d.ready(
            &format!("accept/frame-id-{name}"),
            about,
            &["HEAD-5", "READ-1", "READ-9", "READ-14"],
        ));
    }

    let mut d = Draft::new();
    d.lay_out(4);
    d.publish_all(NEWEST);
    let claimed = d.slot(NEWEST - 2);
    d.records[claimed].frame_id = 0;
    d.ask_frame("next", NEWEST - 3);
    d.ask_frame("next", NEWEST - 1);
    d.ask_frame("next", NEWEST);
    d.ask("next", "nothing");
    d.ask(&format!("at {}", NEWEST - 2), "gone");
    all.push(d.ready(
        "accept/one-slot-claimed",
        "The slot of an older frame is claimed: the frame is skipped, its neighbours stand.",
        &["READ-2", "READ-9"],
    ));

    let mut d = Draft::new();
    d.lay_out(4);
    d.publish_all(NEWEST);
    let oldest = d.slot(NEWEST - 3);
    // PUB-4 is done, PUB-6 is not.
    d.records[oldest].frame_id = NEWEST + 1;
    d.ask_frame("next", NEWEST - 2);
    d.ask(&format!("at {}", NEWEST - 3), "gone");
    d.ask_frame("latest", NEWEST);
    d.ask("next", "nothing");
    all.push(d.ready(
        "accept/next-frame-complete-but-unpublished",
        "The slot of the oldest frame holds the next one already, which is not published: the newest is what the publish word says.",
        &["READ-1", "READ-2", "READ-9"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.ask(&format!("at {}", NEWEST - 3), "gone");
    d.ask(&format!("at {}", NEWEST + 1), "gone");
    d.ask("at 0", "gone");
    d.ask(&format!("at {}", u64::MAX), "gone");
    d.ask_frame(&format!("at {}", NEWEST - 1), NEWEST - 1);
    d.ask(&format!("at {}", NEWEST - 3), "gone");
    d.ask("intact", "yes");
    d.expect_planes(NEWEST - 1);
    d.ask_frame("next", NEWEST);
    d.ask("next", "nothing");
    d.ask("intact", "yes");
    d.expect_planes(NEWEST);
    all.push(d.ready(
        "accept/frames-that-are-gone",
        "Older, newer and impossible numbers do not stand; what stands can be asked for by its number, and `next` goes on from there. An answer without a frame leaves the held one as it was.",
        &["READ-2", "READ-9", "READ-14"],
    ));

    // Found by the fuzzer: 1 minus this number, in 64 bits, is 2.
    let mut d = Draft::new();
    d.publish_all(1);
    let other = d.slot(u64::MAX);
    d.records[other].frame_id = u64::MAX;
    d.ask(&format!("at {}", u64::MAX), "gone");
    d.ask_frame("at 1", 1);
    d.ask("next", "nothing");
    all.push(d.ready(
        "accept/frame-id-that-wraps",
        "Frame 1 is the newest, and another slot holds the highest number there is, which is no older one.",
        &["READ-9", "READ-14"],
    ));
    all
}

/// What a reader says while a writer goes on.
fn conversations() -> Vec<Vector> {
    let mut all = Vec::new();

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    let record = record_offset(d.slot(NEWEST));
    d.ask_frame("latest", NEWEST);
    d.ask("intact", "yes");
    d.expect_planes(NEWEST);
    d.ask("intact", "yes");
    d.store_u64(record, 0);
    d.ask("intact", "no");
    d.store_u64(record, NEWEST + 3);
    d.ask("intact", "no");
    all.push(d.ready(
        "accept/overwritten-while-held",
        "A held frame is claimed, then replaced by the one S later: it is whole until the first of these, and never again.",
        &["READ-6", "READ-8", "HEAD-5"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.ask_frame("latest", NEWEST);
    d.write_frame(NEWEST + 1, 77);
    d.ask("intact", "yes");
    d.expect_planes(NEWEST);
    d.write_frame(NEWEST + 2, 88);
    d.ask("intact", "yes");
    d.write_frame(NEWEST + 3, 99);
    d.ask("intact", "no");
    all.push(d.ready(
        "accept/held-for-s-frames",
        "A held frame stands while S - 1 newer ones come, and not when the S-th has come.",
        &["READ-6", "HOLD-1", "HEAD-5"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.ask_frame("latest", NEWEST);
    d.ask("latest", "nothing");
    d.write_frame(NEWEST + 1, 77);
    d.ask_frame("latest", NEWEST + 1);
    d.expect_planes_of(77);
    d.ask("intact", "yes");
    d.ask("latest", "nothing");
    d.write_frame(NEWEST + 2, 88);
    d.write_frame(NEWEST + 3, 99);
    d.ask_frame("latest", NEWEST + 3);
    d.expect_planes_of(99);
    d.ask("intact", "yes");
    all.push(d.ready(
        "accept/published-while-open",
        "Frames that come while the pair is open are found, each once, with their own pixels.",
        &["READ-1", "READ-4", "HEAD-2"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.ask_frame("next", NEWEST - 2);
    d.ask_frame("next", NEWEST - 1);
    for id in 1..=4 {
        d.write_frame(NEWEST + id, 70 + id as u8);
    }
    for id in 2..=4 {
        d.ask_frame("next", NEWEST + id);
        d.expect_planes_of(70 + id as u8);
        d.ask("intact", "yes");
    }
    d.ask("next", "nothing");
    d.write_frame(NEWEST + 5, 75);
    d.ask_frame("next", NEWEST + 5);
    d.ask("next", "nothing");
    all.push(d.ready(
        "accept/next-skips-what-was-overwritten",
        "A reader of every frame falls behind by two frames: it goes on with the oldest that stands.",
        &["READ-9"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    let record = record_offset(d.slot(NEWEST + 1));
    d.ask_frame("latest", NEWEST);
    // PUB-1 to PUB-4 of the next frame, and the writer dies.
    d.store_u64(record, 0);
    d.ask("latest", "nothing");
    d.ask_frame(&format!("at {NEWEST}"), NEWEST);
    d.ask(&format!("at {}", NEWEST - 2), "gone");
    d.store_u64(record, NEWEST + 1);
    d.ask("latest", "nothing");
    d.ask_frame(&format!("at {NEWEST}"), NEWEST);
    d.expect_planes(NEWEST);
    d.ask("intact", "yes");
    all.push(d.ready(
        "accept/writer-dies-between-its-steps",
        "A writer that stops in the middle of the next frame leaves the newest published one readable.",
        &["READ-1", "READ-2"],
    ));

    let mut d = Draft::new();
    d.publish(NEWEST);
    let mut now = d.clone();
    now.observe("live", false);
    now.heartbeat_ns += 1_000_000_000;
    now.store_u64(104, now.heartbeat_ns);
    now.observe("live", false);
    now.frame_period_ns = 0;
    now.store_u64(112, 0);
    now.store_u32(60, 1);
    now.observe("live", true);
    now.store_u32(60, u32::MAX - 1);
    now.observe("live", false);
    for (state, name) in [(2, "stalled"), (1, "live"), (77, "live"), (0, "live"), (2, "stalled")] {
        now.store_u32(56, state);
        now.observe(name, false);
    }
    d.steps = now.steps;
    all.push(d.ready(
        "accept/words-that-change",
        "Heartbeat, period, flags and state change while the pair is open, the state to unknown ones too: each look sees them as they are.",
        &["HEAD-2", "HEAD-7", "LIVE-2", "LIVE-6"],
    ));

    let mut d = Draft::new();
    (d.generation, d.color) = (5_000_100_000_000, [2, 9, 16, 9]);
    d.heartbeat_ns = d.generation;
    d.lay_out(2);
    d.shape(6, 4, 6);
    d.publish(SUCCESSOR);
    d.publish(SUCCESSOR + 1);
    all.push(d.ready(
        "accept/successor",
        "A later pair of the same camera, of another geometry: the generation is higher, the numbers go on from generation / 1000.",
        &["HEAD-5", "HEAD-10", "OPEN-12"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.ask("named", "yes");
    d.ask_frame("latest", NEWEST);
    d.steps.push(crate::schema::Step::RenamePair { rename_pair: "accept/successor".to_owned() });
    d.ask("named", "no");
    d.ask("intact", "yes");
    d.expect_planes(NEWEST);
    d.ask("close", "ok");
    d.ask("open", "ready");
    d.steps.push(crate::schema::Step::Header { header_of: "accept/successor".to_owned() });
    d.ask("named", "yes");
    d.ask(&format!("at {NEWEST}"), "gone");
    d.ask_frame("next", SUCCESSOR);
    d.ask_frame("next", SUCCESSOR + 1);
    d.ask("next", "nothing");
    d.ask("latest", "nothing");
    all.push(d.ready(
        "accept/another-pair-takes-the-names",
        "The successor takes the names, and the writer is about to store state 4 into the old pair: that one stays readable and its name leads elsewhere. After another open every constant is the successor's, and every frame is new.",
        &["LIVE-5", "HEAD-3", "HEAD-10"],
    ));

    let mut d = Draft::new();
    d.publish(NEWEST);
    d.ask("named", "yes");
    d.steps.push(crate::schema::Step::Unlink { unlink: "meta".to_owned() });
    d.steps.push(crate::schema::Step::Unlink { unlink: "data".to_owned() });
    d.ask("named", "no");
    d.ask_frame("latest", NEWEST);
    d.expect_planes(NEWEST);
    d.ask("close", "ok");
    d.ask("open", "not_there_yet missing");
    all.push(d.ready(
        "accept/names-go-away",
        "The files are unlinked while the pair is open.",
        &["LIVE-5", "OPEN-2"],
    ));

    let mut d = Draft::new();
    d.publish(NEWEST);
    d.store_u32(56, 3);
    d.observe("stopped", false);
    d.ask("close", "ok");
    d.ask("open", "not_there_yet stopped");
    d.steps.push(crate::schema::Step::Unlink { unlink: "meta".to_owned() });
    d.steps.push(crate::schema::Step::Unlink { unlink: "data".to_owned() });
    d.ask("open", "not_there_yet missing");
    all.push(d.ready(
        "accept/stopped-while-open",
        "The camera is stopped while the pair is open: the state says so, an open a moment later finds it, and then the names are gone.",
        &["OPEN-2", "OPEN-17", "LIFE-6"],
    ));

    let mut d = Draft::new();
    d.publish(NEWEST);
    d.store_u32(56, 4);
    d.observe("replaced", false);
    // Without a `close` in between: `open` closes what was open.
    d.ask("open", "not_there_yet replaced");
    d.steps.push(crate::schema::Step::RenamePair { rename_pair: "accept/successor".to_owned() });
    d.ask("open", "ready");
    d.steps.push(crate::schema::Step::Header { header_of: "accept/successor".to_owned() });
    d.ask_frame("latest", SUCCESSOR + 1);
    d.ask("open", "ready");
    d.ask_frame("latest", SUCCESSOR + 1);
    all.push(d.ready(
        "accept/replaced-while-open",
        "State 4 while the pair is open, and in a file that stands under the name once more, as no writer leaves it: not there yet. Then the successor takes the names.",
        &["OPEN-2", "OPEN-17", "LIFE-6", "HEAD-10"],
    ));

    let mut d = Draft::new();
    d.spread(33, 17, 67, 13, 5);
    d.publish_all(NEWEST);
    d.ask_frame("latest", NEWEST);
    for (offset, word) in
        [(24, 16384), (28, 16384), (32, 0), (36, u32::MAX), (64, 8), (68, 0), (72, 0), (0, 0), (4, 0)]
    {
        d.store_u32(offset, word);
    }
    for offset in [40, 48, 80, 88, 120, 272, 336, 400] {
        d.store_u64(offset, u64::MAX);
    }
    d.expect_planes(NEWEST);
    d.ask("intact", "yes");
    d.ask_frame(&format!("at {}", NEWEST - 1), NEWEST - 1);
    d.expect_planes(NEWEST - 1);
    d.ask("intact", "yes");
    d.ask("next", &format!("frame {NEWEST} {} 0", timestamp_ns(NEWEST)));
    d.expect_planes(NEWEST);
    all.push(d.ready(
        "accept/constants-are-read-once",
        "Every constant of the header changes while the pair is open, which no writer does: a reader uses what it checked.",
        &["HEAD-3", "READ-11", "TRUST-2"],
    ));
    all
}
