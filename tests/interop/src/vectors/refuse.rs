//! Pairs that every reader refuses, each for one reason, and headers with two faults, of which the first is to be named.

use super::draft::{Draft, pair};
use crate::harness::Vector;
use crate::schema::{Directory, Kind};

pub(super) fn all() -> Vec<Vector> {
    let mut all = files();
    all.extend(identity());
    all.extend(geometry());
    all.extend(table());
    all.extend(slots());
    all.extend(two_faults());
    all.extend(no_camera_ids());
    all
}

/// What is no camera id (FILE-2).
fn no_camera_ids() -> Vec<Vector> {
    let too_long = "x".repeat(65);
    [
        ("empty", "", "An empty id."),
        ("too-long", &too_long, "65 letters."),
        ("dot", ".", "The base directory itself."),
        ("dots", "..", "The directory above the base."),
        ("slash", "vector/vector", "A path of two components."),
        ("absolute", "/vector", "An absolute path."),
        ("dot-first", ".vector", "A name of the writer's own."),
        ("dash-first", "-vector", "A dash may not come first."),
        ("underscore-first", "_vector", "An underscore may not come first."),
        ("dot-inside", "vec.tor", "A dot is none of the characters of an id."),
        ("space-inside", "vec tor", "A space is none of the characters of an id."),
        (
            "line-feed-last",
            "vector\n",
            "A line feed at the end, which a `$` of some regular expressions lets through.",
        ),
        ("letter-of-latin-1", "v\u{e9}ctor", "A letter that is not ASCII."),
        ("digit-of-arabic", "\u{663}", "A digit that is not ASCII."),
    ]
    .into_iter()
    .map(|(name, camera, about)| {
        pair(|d| {
            (d.meta_kind, d.data_kind, d.directory) = (Kind::Missing, Kind::Missing, Directory::Missing);
            camera.clone_into(&mut d.camera);
        })
        .no_camera_id(&format!("refuse/no-camera-id-{name}"), about)
    })
    .collect()
}

fn files() -> Vec<Vector> {
    let mut all = Vec::new();
    for (kind, name, found) in [
        (Kind::Fifo, "fifo", "a FIFO"),
        (Kind::Symlink, "symlink", "a symbolic link"),
        (Kind::Directory, "directory", "a directory"),
        (Kind::Unreadable, "unreadable", "mode 0000"),
    ] {
        let (bound, clauses): (_, &[&str]) = match kind {
            Kind::Unreadable => ("may be read by this reader", &["OPEN-4"]),
            _ => ("a regular file", &["OPEN-1", "OPEN-4"]),
        };
        all.push(pair(|d| d.meta_kind = kind).refused(
            &format!("refuse/meta-{name}"),
            &format!("frame.meta is {found}; everything else is as it should be."),
            clauses,
            ["frame.meta", found, bound],
        ));
        all.push(pair(|d| d.data_kind = kind).refused(
            &format!("refuse/data-{name}"),
            &format!("frame.data is {found}; everything else is as it should be."),
            clauses,
            ["frame.data", found, bound],
        ));
    }
    all.push(pair(|d| (d.data_kind, d.meta_bytes) = (Kind::Fifo, 512)).refused(
        "refuse/data-fifo-and-meta-too-short",
        "frame.data is a FIFO and frame.meta too short: what the names lead to is judged before sizes.",
        &["OPEN-1", "OPEN-4", "OPEN-6"],
        ["frame.data", "a FIFO", "a regular file"],
    ));
    all.push(pair(|d| (d.meta_kind, d.data_kind) = (Kind::Fifo, Kind::Missing)).refused(
        "refuse/meta-fifo-and-data-missing",
        "frame.meta is a FIFO, and there is no frame.data: the first name is judged before the second is opened.",
        &["OPEN-1", "OPEN-4"],
        ["frame.meta", "a FIFO", "a regular file"],
    ));
    for size in [0, 1, 512, 767] {
        all.push(pair(|d| d.meta_bytes = size).refused(
            &format!("refuse/meta-size-{size}"),
            &format!("frame.meta has {size} bytes."),
            &["OPEN-6"],
            ["frame.meta", &size.to_string(), "at least 768 bytes"],
        ));
    }
    all
}

fn identity() -> Vec<Vector> {
    let mut all = vec![pair(|d| d.version = 0).refused(
        "refuse/version-0",
        "Version 0, as in a file of zeros.",
        &["OPEN-7"],
        ["version", "0", "at least 1"],
    )];
    all.push(pair(|d| d.pokes.push((0, vec![0; 4096]))).refused(
        "refuse/all-zeros",
        "A page of zeros: what a file has before anything is written.",
        &["OPEN-5", "OPEN-7"],
        ["version", "0", "at least 1"],
    ));
    for (name, magic) in [
        ("zeros", *b"\0\0\0\0\0\0\0\0"),
        ("first-byte", *b"vASFRAME"),
        ("last-byte", *b"VASFRAMF"),
        ("middle-byte", *b"VASFrAME"),
        ("fourth-and-fifth-byte", *b"VASfrAME"),
        ("reversed", *b"EMARFSAV"),
    ] {
        all.push(pair(|d| d.magic = magic).refused(
            &format!("refuse/magic-{name}"),
            "Another magic: all eight bytes have to be right, in this order.",
            &["OPEN-8"],
            ["magic", &magic.escape_ascii().to_string(), "VASFRAME"],
        ));
    }
    for size in [0, 256, 767] {
        all.push(pair(|d| d.header_size = size).refused(
            &format!("refuse/header-size-{size}"),
            "A header that is shorter than that of version 1.",
            &["OPEN-9"],
            ["header_size", &size.to_string(), "at least 768"],
        ));
    }
    for (size, file) in [(4097, 4096), (u32::MAX, 4096), (769, 768)] {
        all.push(pair(|d| (d.header_size, d.meta_bytes) = (size, file)).refused(
            &format!("refuse/header-size-{size}-in-{file}"),
            "A header that is longer than its file.",
            &["OPEN-9"],
            ["header_size", &size.to_string(), &format!("at most {file}, the size of frame.meta")],
        ));
    }
    for (name, format) in [("0", [0; 4]), ("nv21", *b"NV21"), ("i420", *b"I420"), ("reversed", *b"21VN")] {
        let word = u32::from_le_bytes(format);
        all.push(pair(|d| d.pixel_format = word).refused(
            &format!("refuse/pixel-format-{name}"),
            "A pixel format that version 1 does not have.",
            &["OPEN-11"],
            ["pixel_format", &word.to_string(), "842094158, NV12"],
        ));
    }
    all
}

fn geometry() -> Vec<Vector> {
    let clauses = &["OPEN-12"];
    let mut all = Vec::new();
    for value in [0, 16385, u32::MAX] {
        let text = value.to_string();
        // Everything else is as large as it has to be, where that is possible.
        let around = |d: &mut Draft| {
            if value == 16385 {
                (d.stride, d.uv_offset, d.data_size) = (16386, 16386 * 16385, 16386 * 16385 * 2);
            }
        };
        all.push(
            pair(|d| {
                around(d);
                (d.width, d.height) = (value, 1);
            })
            .refused(
                &format!("refuse/width-{value}"),
                "A width out of bounds.",
                clauses,
                ["width", &text, "1 to 16384"],
            ),
        );
        all.push(
            pair(|d| {
                around(d);
                (d.width, d.height) = (1, value);
            })
            .refused(
                &format!("refuse/height-{value}"),
                "A height out of bounds.",
                clauses,
                ["height", &text, "1 to 16384"],
            ),
        );
    }
    for (width, stride) in [(32, 31), (32, 0), (31, 31), (1, 1), (16384, 16383), (16383, 16383)] {
        let least = 2 * u32::div_ceil(width, 2);
        all.push(
            pair(|d| {
                d.shape(width, 1, least);
                d.stride = stride;
            })
            .refused(
                &format!("refuse/stride-{stride}-for-{width}"),
                "A stride that a chroma row does not fit into.",
                clauses,
                ["stride", &stride.to_string(), &format!("at least {least}")],
            ),
        );
    }
    // The pair has stride 64 and 16 rows.
    for uv_offset in [1023, 0] {
        all.push(pair(|d| d.uv_offset = uv_offset).refused(
            &format!("refuse/uv-offset-{uv_offset}"),
            "A chroma plane that begins inside the luma plane.",
            clauses,
            ["uv_offset", &uv_offset.to_string(), "at least 1024"],
        ));
    }
    all.push(
        pair(|d| {
            d.stride = 1 << 31;
            d.height = 2;
        })
        .refused(
            "refuse/uv-offset-below-2-to-the-32",
            "A stride of 2^31 with two rows: their product is 2^32, which 32 bits take for 0.",
            &["OPEN-5", "OPEN-12"],
            ["uv_offset", "1024", "at least 4294967296"],
        ),
    );
    all.push(
        pair(|d| {
            (d.stride, d.height) = (1 << 31, 4);
            (d.uv_offset, d.data_size) = (1 << 33, (1 << 33) + 512);
        })
        .refused(
            "refuse/chroma-plane-of-2-to-the-32",
            "A stride of 2^31 with two chroma rows: their product is 2^32, which 32 bits take for 0.",
            &["OPEN-5", "OPEN-12"],
            ["data_size", "8589935104", "at least 12884901888"],
        ),
    );
    all.push(
        pair(|d| {
            (d.stride, d.height) = (1 << 31, 1);
            (d.uv_offset, d.data_size) = (1 << 31, 1 << 32);
        })
        .refused(
            "refuse/stride-of-2-to-the-31",
            "A stride of 2^31, negative where numbers are signed: the geometry is right, but no file has room for it.",
            &["OPEN-12", "OPEN-15", "READ-14"],
            ["slot[i].data_offset", "0", "data_offset + data_size at most data_file_size 12288"],
        ),
    );
    all.push(pair(|d| d.uv_offset += 64).refused(
        "refuse/data-size-without-the-gap",
        "A frame with room for both planes, but not for the gap between them.",
        clauses,
        ["data_size", "1536", "at least 1600"],
    ));
    // The chroma plane has 512 bytes.
    let wraps = u64::MAX - 511;
    all.push(
        pair(|d| {
            d.uv_offset = wraps;
            d.data_size = u64::MAX;
        })
        .refused(
            "refuse/uv-offset-wraps",
            "The chroma plane would end at 2^64, which 64 bits take for 0.",
            &["OPEN-5", "OPEN-12"],
            [
                "uv_offset",
                &wraps.to_string(),
                "at most 18446744073709551103, so that the chroma plane ends within 2^64 - 1",
            ],
        ),
    );
    all.push(
        pair(|d| {
            d.uv_offset = u64::MAX;
            d.data_size = 1024;
        })
        .refused(
            "refuse/uv-offset-highest",
            "The highest uv_offset there is.",
            &["OPEN-5", "OPEN-12"],
            [
                "uv_offset",
                "18446744073709551615",
                "at most 18446744073709551103, so that the chroma plane ends within 2^64 - 1",
            ],
        ),
    );
    all.push(
        pair(|d| {
            d.uv_offset = wraps - 1;
            d.data_size = u64::MAX;
        })
        .refused(
            "refuse/uv-offset-highest-that-fits",
            "A chroma plane that ends at 2^64 - 1 is a geometry, but no file has room for it.",
            &["OPEN-12", "OPEN-15"],
            ["slot[i].data_offset", "0", "data_offset + data_size at most data_file_size 12288"],
        ),
    );
    for (value, about) in [
        (1535, "A frame that ends one byte before its chroma plane does."),
        (1024, "A frame without room for its chroma plane."),
        (0, "A frame of no bytes."),
    ] {
        all.push(pair(|d| d.data_size = value).refused(
            &format!("refuse/data-size-{value}"),
            about,
            clauses,
            ["data_size", &value.to_string(), "at least 1536"],
        ));
    }
    all.push(
        pair(|d| {
            // Odd height: the last chroma row belongs to one luma row.
            d.shape(32, 15, 64);
            d.data_size -= 64;
        })
        .refused(
            "refuse/data-size-without-the-last-chroma-row",
            "An odd height rounded down: there is no room for the last chroma row.",
            &["OPEN-12", "PIC-1"],
            ["data_size", "1408", "at least 1472"],
        ),
    );
    all
}

fn table() -> Vec<Vector> {
    let mut all = Vec::new();
    for value in [0, 1, 9, u32::MAX] {
        all.push(pair(|d| d.slot_count = value).refused(
            &format!("refuse/slot-count-{value}"),
            "A number of slots out of bounds.",
            &["OPEN-13"],
            ["slot_count", &value.to_string(), "2 to 8"],
        ));
    }
    for value in [0, 63, 65, 128] {
        all.push(pair(|d| d.slot_record_size = value).refused(
            &format!("refuse/slot-record-size-{value}"),
            "Records of another size.",
            &["OPEN-14", "CHANGE-7"],
            ["slot_record_size", &value.to_string(), "64"],
        ));
    }
    for value in [0, 255, 257, 320, 768] {
        all.push(pair(|d| d.slot_table_offset = value).refused(
            &format!("refuse/slot-table-offset-{value}"),
            "A slot table in another place.",
            &["OPEN-14", "CHANGE-7"],
            ["slot_table_offset", &value.to_string(), "256"],
        ));
    }
    all
}

fn slots() -> Vec<Vector> {
    const FIELD: &str = "slot[i].data_offset";
    let mut all = Vec::new();
    for (slot, value) in [(0, 1), (1, 4096 + 2048), (2, 8191), (2, 8193)] {
        all.push(pair(|d| d.records[slot].data_offset = value).refused(
            &format!("refuse/slot-{slot}-at-{value}"),
            "A slot that does not begin at a page.",
            &["OPEN-15"],
            [FIELD, &value.to_string(), "a multiple of 4096"],
        ));
    }
    let beyond = "data_offset + data_size at most data_file_size";
    for (slot, offsets) in [(0, [8192, 4096, 0]), (1, [0, 8192, 4096]), (2, [0, 4096, 8192])] {
        all.push(
            pair(|d| {
                d.place(&offsets, 8192 + 1536);
                d.data_file_size -= 1;
            })
            .refused(
                &format!("refuse/slot-{slot}-ends-past-data-file-size"),
                "A slot whose frame ends one byte past data_file_size; frame.data itself has that byte.",
                &["OPEN-15"],
                [FIELD, "8192", &format!("{beyond} 9727")],
            ),
        );
    }
    for (name, offset, data_size, about) in [
        ("to-zero", u64::MAX - 4095, 4096, "data_offset + data_size is 2^64, which 64 bits take for 0."),
        (
            "past-zero",
            u64::MAX - 4095,
            8192,
            "data_offset + data_size is 2^64 + 4096, which 64 bits take for 4096.",
        ),
        ("to-the-end", u64::MAX - 4095, 1536, "A slot in the last page of 2^64 bytes."),
        ("far", 1 << 63, 1536, "A slot at 2^63, which is negative where numbers are signed."),
        ("at-4-gib", 1 << 32, 1536, "A slot at 2^32, which 32 bits take for 0."),
    ] {
        all.push(
            pair(|d| {
                d.data_size = data_size;
                d.lay_out(3);
                d.records[2].data_offset = offset;
            })
            .refused(
                &format!("refuse/slot-{name}"),
                about,
                &["OPEN-5", "OPEN-15"],
                [FIELD, &offset.to_string(), &format!("{beyond} {}", 3 * data_size.next_multiple_of(4096))],
            ),
        );
    }
    let overlap = "slots lie at least data_size apart";
    for (name, data_size, offsets, which, about) in [
        ("by-a-byte", 4097, [0, 4096, 12288], 4096, "Slots 0 and 1 share one byte."),
        ("by-a-page", 8192, [0, 12288, 16384], 16384, "Slots 1 and 2 share a page."),
        (
            "first-and-last",
            8192,
            [4096, 16384, 0],
            0,
            "Slots 0 and 2 share a page, slot 2 lies before slot 0.",
        ),
        ("twice-the-same", 1536, [0, 4096, 4096], 4096, "Slots 1 and 2 are the same."),
        ("all-the-same", 1536, [0, 0, 0], 0, "All slots are the same, as in a table of zeros."),
    ] {
        all.push(
            pair(|d| {
                d.data_size = data_size;
                d.place(&offsets, 32768);
            })
            .refused(
                &format!("refuse/slots-overlap-{name}"),
                about,
                &["OPEN-15"],
                [FIELD, &which.to_string(), overlap],
            ),
        );
    }
    for (name, bytes, about) in [
        (
            "one-byte-short",
            12287,
            "frame.data is one byte shorter than data_file_size says: its last page is there all the same.",
        ),
        (
            "one-page-short",
            8192,
            "frame.data lacks its last page: whoever maps it and reads there dies of SIGBUS.",
        ),
        ("empty", 0, "frame.data is empty."),
    ] {
        all.push(pair(|d| d.data_bytes = bytes).refused(
            &format!("refuse/data-file-{name}"),
            about,
            &["OPEN-16"],
            ["data_file_size", "12288", &format!("at most {bytes}, the size of frame.data")],
        ));
    }
    all.push(pair(|d| d.data_file_size += 1 << 32).refused(
        "refuse/data-file-size-above-32-bits",
        "A data_file_size 2^32 too large, which 32 bits take for the right one.",
        &["OPEN-5", "OPEN-16"],
        ["data_file_size", "4294979584", "at most 12288, the size of frame.data"],
    ));
    all.push(pair(|d| d.data_file_size = u64::MAX).refused(
        "refuse/data-file-size-highest",
        "The highest data_file_size there is.",
        &["OPEN-5", "OPEN-16"],
        ["data_file_size", "18446744073709551615", "at most 12288, the size of frame.data"],
    ));
    all.push(pair(|d| d.data_file_size = 0).refused(
        "refuse/data-file-size-0",
        "A data_file_size of 0: the slots do not fit in.",
        &["OPEN-15"],
        [FIELD, "0", &format!("{beyond} 0")],
    ));
    all
}

/// A check of section 9: what to break, and what is said then.
type Check = (&'static str, fn(&mut Draft), Option<[&'static str; 3]>, &'static str);

/// Headers with two faults that follow on each other in section 9: the first is the answer.
fn two_faults() -> Vec<Vector> {
    let checks: [Check; 15] = [
        ("version", |d| d.version = 0, Some(["version", "0", "at least 1"]), "OPEN-7"),
        (
            "magic",
            |d| d.magic = [0; 8],
            Some(["magic", "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00", "VASFRAME"]),
            "OPEN-8",
        ),
        ("header-size", |d| d.header_size = 0, Some(["header_size", "0", "at least 768"]), "OPEN-9"),
        ("inode", |d| d.inode_xor = 1, None, "OPEN-10"),
        ("pixel-format", |d| d.pixel_format = 0, Some(["pixel_format", "0", "842094158, NV12"]), "OPEN-11"),
        ("width", |d| d.width = 0, Some(["width", "0", "1 to 16384"]), "OPEN-12"),
        ("height", |d| d.height = 0, Some(["height", "0", "1 to 16384"]), "OPEN-12"),
        ("stride", |d| d.stride = 1, Some(["stride", "1", "at least 32"]), "OPEN-12"),
        ("uv-offset", |d| d.uv_offset = 1, Some(["uv_offset", "1", "at least 1024"]), "OPEN-12"),
        ("data-size", |d| d.data_size = 1, Some(["data_size", "1", "at least 1536"]), "OPEN-12"),
        ("slot-count", |d| d.slot_count = 9, Some(["slot_count", "9", "2 to 8"]), "OPEN-13"),
        ("slot-record-size", |d| d.slot_record_size = 63, Some(["slot_record_size", "63", "64"]), "OPEN-14"),
        (
            "slot-table-offset",
            |d| d.slot_table_offset = 255,
            Some(["slot_table_offset", "255", "256"]),
            "OPEN-14",
        ),
        (
            "slots",
            |d| d.records[0].data_offset = 1,
            Some(["slot[i].data_offset", "1", "a multiple of 4096"]),
            "OPEN-15",
        ),
        (
            "data-file-size",
            |d| d.data_bytes = 4096,
            Some(["data_file_size", "12288", "at most 4096, the size of frame.data"]),
            "OPEN-16",
        ),
    ];
    let mut all = Vec::new();
    for (at, &(name, fault, says, clause)) in checks.iter().enumerate() {
        // The last check before the state is the size of the file; the state comes after all of them.
        let state: Check = ("state", |d| d.state = 3, None, "OPEN-17");
        let &(next_name, next_fault, _, next_clause) = checks.get(at + 1).unwrap_or(&state);
        let Some(says) = says else { continue };
        let draft = pair(|d| {
            next_fault(d);
            fault(d);
        });
        let mut clauses = vec!["OPEN-5", clause];
        if clause != next_clause {
            clauses.push(next_clause);
        }
        all.push(draft.refused(
            &format!("refuse/order-{name}-before-{next_name}"),
            "Two faults: the first in the order of section 9 is named.",
            &clauses,
            says,
        ));
    }
    // From the first on everything is wrong that can be.
    all.push(
        pair(|d| {
            d.state = 3;
            checks.iter().rev().for_each(|(_, fault, ..)| fault(d));
        })
        .refused(
            "refuse/order-everything-wrong",
            "Every check of the header would fail: the first is named.",
            &["OPEN-5", "OPEN-7"],
            ["version", "0", "at least 1"],
        ),
    );
    all
}
