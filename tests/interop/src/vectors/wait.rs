//! Pairs that are not there yet, and pairs that are open but have no picture now.

use super::draft::{Draft, NEWEST, pair, record_offset, timestamp_ns};
use crate::harness::Vector;
use crate::schema::{Directory, Kind};

pub(super) fn all() -> Vec<Vector> {
    let mut all = missing();
    all.extend(busy());
    all.extend(mixed());
    all.extend(over());
    all.extend(nothing());
    all
}

fn missing() -> Vec<Vector> {
    vec![
        pair(|d| {
            d.directory = Directory::Missing;
            d.meta_kind = Kind::Missing;
            d.data_kind = Kind::Missing;
        })
        .not_yet(
            "wait/missing-directory",
            "A camera that has no directory yet.",
            &["OPEN-2"],
            "missing",
        ),
        pair(|d| {
            d.meta_kind = Kind::Missing;
            d.data_kind = Kind::Missing;
        })
        .not_yet(
            "wait/missing-both",
            "A directory without files, as of a camera whose source was never found.",
            &["OPEN-2"],
            "missing",
        ),
        pair(|d| d.meta_kind = Kind::Missing).not_yet(
            "wait/missing-meta",
            "Only frame.data: the writer is between its two renames.",
            &["OPEN-2"],
            "missing",
        ),
        pair(|d| d.data_kind = Kind::Missing).not_yet(
            "wait/missing-data",
            "Only frame.meta: the writer is between its two unlinks, or was killed there.",
            &["OPEN-2"],
            "missing",
        ),
        pair(|d| (d.data_kind, d.version) = (Kind::Missing, 0)).not_yet(
            "wait/missing-data-and-version-0",
            "Only frame.meta, and a header that would be refused: contents are judged after both opens.",
            &["OPEN-1", "OPEN-2", "OPEN-5"],
            "missing",
        ),
        pair(|d| (d.data_kind, d.meta_bytes) = (Kind::Missing, 0)).not_yet(
            "wait/missing-data-and-meta-empty",
            "Only frame.meta, and it is empty: sizes are judged after both opens.",
            &["OPEN-1", "OPEN-2", "OPEN-6"],
            "missing",
        ),
        pair(|d| (d.data_kind, d.meta_bytes) = (Kind::Missing, 512)).not_yet(
            "wait/missing-data-before-the-size-of-meta",
            "frame.meta is too short, and frame.data is missing: sizes come after both are open.",
            &["OPEN-1", "OPEN-2", "OPEN-6"],
            "missing",
        ),
        pair(|d| (d.meta_kind, d.data_kind) = (Kind::Missing, Kind::Symlink)).not_yet(
            "wait/missing-meta-before-data-symlink",
            "frame.meta is missing, and frame.data would be refused: frame.meta is opened and judged first.",
            &["OPEN-1", "OPEN-2"],
            "missing",
        ),
        pair(|d| (d.meta_kind, d.data_kind) = (Kind::Missing, Kind::Fifo)).not_yet(
            "wait/missing-meta-and-data-fifo",
            "frame.data is a FIFO, and there is no frame.meta: the first name that is opened is the answer.",
            &["OPEN-1", "OPEN-2"],
            "missing",
        ),
    ]
}

fn busy() -> Vec<Vector> {
    vec![pair(|d| d.meta_kind = Kind::Leased).not_yet(
        "wait/busy",
        "The writer is looking whether anybody is attached: an open that does not wait gets EAGAIN each time.",
        &["OPEN-1", "OPEN-2"],
        "busy",
    )]
}

fn mixed() -> Vec<Vector> {
    let about = "The header names another frame.data than the one that was opened; the inodes differ in one bit only.";
    let mut all: Vec<_> = [("low", 1), ("middle", 1 << 32), ("high", 1 << 63)]
        .into_iter()
        .map(|(name, xor)| {
            pair(|d| d.inode_xor = xor).not_yet(
                &format!("wait/mixed-pair-{name}-bit"),
                about,
                &["OPEN-2", "OPEN-10"],
                "mixed_pair",
            )
        })
        .collect();
    all.push(
        pair(|d| {
            d.inode_xor = 1;
            d.data_bytes = 4096;
        })
        .not_yet(
            "wait/mixed-pair-other-size",
            "The other frame.data is too small for this header, which says nothing of this pair.",
            &["OPEN-10"],
            "mixed_pair",
        ),
    );
    all.push(
        pair(|d| {
            (d.inode_xor, d.pixel_format, d.slot_count, d.state) = (1, 0, 0, 3);
            (d.slot_record_size, d.slot_table_offset, d.data_bytes) = (0, 0, 4096);
        })
        .not_yet(
            "wait/mixed-pair-before-later-checks",
            "A mixed pair that fails later checks too: the inode is looked at before them.",
            &["OPEN-5", "OPEN-10"],
            "mixed_pair",
        ),
    );
    all.push(pair(|d| (d.inode_xor, d.state) = (1, 4)).not_yet(
        "wait/mixed-pair-replaced",
        "A mixed pair whose header says replaced: the inode is looked at first.",
        &["OPEN-5", "OPEN-10", "OPEN-17"],
        "mixed_pair",
    ));
    all
}

fn over() -> Vec<Vector> {
    vec![
        pair(|d| d.state = 3).not_yet(
            "wait/stopped",
            "State 3: the camera was stopped, and this reader found the names a moment before they went.",
            &["OPEN-2", "OPEN-17"],
            "stopped",
        ),
        pair(|d| d.state = 4).not_yet(
            "wait/replaced",
            "State 4: a successor has taken the names.",
            &["OPEN-2", "OPEN-17"],
            "replaced",
        ),
        pair(|d| (d.state, d.flags) = (3, 1)).not_yet(
            "wait/stopped-and-idle",
            "State 3 with the flag idle, which says nothing about it.",
            &["OPEN-17", "LIVE-6"],
            "stopped",
        ),
    ]
}

/// Open, and no picture to be had at the moment.
fn nothing() -> Vec<Vector> {
    let mut all = Vec::new();

    let mut d = Draft::new();
    d.ask("latest", "nothing");
    d.ask("next", "nothing");
    d.ask("at 0", "gone");
    d.ask("at 1", "gone");
    all.push(d.ready(
        "wait/no-frame-yet",
        "A new pair: publish word 0, every slot empty. A slot's 0 is no frame 0.",
        &["READ-1", "READ-9", "READ-14"],
    ));

    let mut d = Draft::new();
    (NEWEST - 2..=NEWEST).for_each(|id| d.stand(id));
    d.ask("latest", "nothing");
    d.ask("next", "nothing");
    all.push(d.ready(
        "wait/publish-word-zero",
        "Slots that hold frames while the publish word is 0: nothing is published.",
        &["READ-1", "READ-9"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.records = d.records.map(|record| super::draft::Record { frame_id: 0, ..record });
    d.flags = 1;
    d.observe("live", true);
    d.ask("latest", "nothing");
    d.ask("next", "nothing");
    d.write_frame(NEWEST + 1, 77);
    d.store_u32(60, 0);
    d.ask_frame("next", NEWEST + 1);
    d.expect_planes_of(77);
    all.push(d.ready(
        "wait/idle",
        "Nobody was attached: the flag idle, the last number published, every slot taken back; then the first frame comes.",
        &["READ-2", "LIVE-6"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    let newest = d.slot(NEWEST);
    d.records[newest].frame_id = 0;
    d.ask("latest", "nothing");
    d.ask_frame("next", NEWEST - 2);
    d.ask_frame("next", NEWEST - 1);
    d.ask("next", "nothing");
    all.push(d.ready(
        "wait/newest-claimed",
        "The newest frame was taken back; the two before it still stand and can be asked for.",
        &["READ-2", "READ-9"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.records[newest].frame_id = NEWEST + 3;
    d.records[newest].timestamp_ns = timestamp_ns(NEWEST + 3);
    d.ask("latest", "nothing");
    d.ask_frame("next", NEWEST - 2);
    d.store_u64(8, NEWEST + 3);
    d.ask_frame("latest", NEWEST + 3);
    all.push(d.ready(
        "wait/lapped",
        "The newest frame's slot holds the one S later, complete while the two before it are not there, which no writer does; then it is published. A word other than n is not n.",
        &["READ-2", "HEAD-5"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.records[newest].frame_id = NEWEST - 3;
    d.ask("latest", "nothing");
    d.ask(&format!("at {NEWEST}"), "gone");
    d.ask(&format!("at {}", NEWEST - 3), "gone");
    d.ask_frame("next", NEWEST - 2);
    d.ask_frame("next", NEWEST - 1);
    d.ask("next", "nothing");
    all.push(d.ready(
        "wait/slot-holds-an-older-frame",
        "The newest frame's slot holds the one S before it, which no writer leaves there: a word other than n is not n, whichever it is, and n - S is too old to be asked for.",
        &["READ-2", "READ-9", "HEAD-5"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    d.records[newest].frame_id = NEWEST - (1 << 32);
    d.ask("latest", "nothing");
    d.ask(&format!("at {NEWEST}"), "gone");
    d.ask_frame("next", NEWEST - 2);
    d.store_u64(record_offset(d.slot(NEWEST - 2)), NEWEST - 2 + (1 << 32));
    d.ask("intact", "no");
    all.push(d.ready(
        "wait/slot-differs-above-32-bits",
        "Words of slots that differ from the frame asked for, or held, in their upper halves only.",
        &["READ-2", "READ-6", "READ-14"],
    ));

    let mut d = Draft::new();
    d.publish_all(NEWEST);
    for slot in 0..3 {
        d.store_u64(record_offset(slot), 0);
    }
    d.ask("latest", "nothing");
    d.ask("next", "nothing");
    d.ask(&format!("at {NEWEST}"), "gone");
    all.push(d.ready(
        "wait/emptied-while-open",
        "The writer takes back every frame while a reader has the pair open.",
        &["READ-2"],
    ));
    all
}
