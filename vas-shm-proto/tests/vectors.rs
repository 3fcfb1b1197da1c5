//! The conformance files beside this crate, against its own checks and its own half of the algorithm.
//!
//! Files as files (symbolic links, FIFOs, permissions) and conversations are for harnesses that stage them; here the stored
//! bytes are judged, with what `fstat` is to say of them from the JSON.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::PlainWords;
use vas_shm_proto::header::{Files, Header, NotYet, Problem};
use vas_shm_proto::layout::{HEADER_SIZE, RawHeader};
use vas_shm_proto::snapshot::{self, Found};
use vas_shm_proto::{FrameId, Nv12};
use zerocopy::FromBytes;

/// A vector whose two files are regular.
struct Vector {
    json: Value,
    meta: Vec<u8>,
    data: PathBuf,
    files: Files,
}

/// All of them.
fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/v1");
    let mut vectors = Vec::new();
    for verdict in ["accept", "refuse", "wait"] {
        for entry in fs::read_dir(folder.join(verdict)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                if json["meta"]["kind"] == "regular" && json["data"]["kind"] == "regular" {
                    vectors.push(load(&path, json));
                }
            }
        }
    }
    assert!(vectors.len() > 150, "only {} vectors have regular files", vectors.len());
    vectors
}

fn load(path: &Path, json: Value) -> Vector {
    let size = |file: &Value| file["size"].as_u64().unwrap();
    let mut meta = fs::read(path.with_extension("meta")).unwrap();
    meta.resize(size(&json["meta"]) as usize, 0);
    let files = Files {
        meta_size_bytes: size(&json["meta"]),
        data_size_bytes: size(&json["data"]),
        data_inode: big(&json["data_inode"]),
    };
    Vector { json, meta, data: path.with_extension("data"), files }
}

/// A number of 64 bits: a decimal string.
fn big(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

impl Vector {
    fn name(&self) -> &str {
        self.json["name"].as_str().unwrap()
    }

    fn check(&self) -> Result<Header, Problem> {
        Header::check(&self.meta, &self.files)
    }
}

// Proves OPEN-5 to OPEN-17, CHANGE-4 and HEAD-7.
#[test]
fn every_conformance_file_gets_the_verdict_it_names() {
    for vector in vectors() {
        let (name, open) = (vector.name(), &vector.json["open"]);
        match (vector.check(), open["answer"].as_str().unwrap()) {
            (Ok(header), "ready") => assert_fields(name, &header, &vector.json["header"]),
            (Err(Problem::NotYet(why)), "not_there_yet") => {
                let found = match why {
                    NotYet::MixedPair { .. } => "mixed_pair",
                    NotYet::Stopped => "stopped",
                    NotYet::Replaced => "replaced",
                };
                assert_eq!(open["reason"], found, "{name}");
            }
            (Err(Problem::Refused(why)), "refused") => {
                assert_eq!(open["field"], why.field(), "{name}: {why}");
                // The sentence has the value that the vector names; of a pixel format in hex.
                let value = open["value"].as_str().unwrap();
                let hex =
                    value.parse::<u32>().map_or_else(|_| value.to_owned(), |value| format!("{value:#010x}"));
                let text = why.to_string();
                assert!(text.contains(value) || text.contains(&hex), "{name}: {value} is not in: {text}");
            }
            (found, expected) => panic!("{name}: expected {expected}, found {found:?}"),
        }
    }
}

fn assert_fields(name: &str, header: &Header, expected: &Value) {
    let picture: &Nv12 = header.picture();
    let color = header.color();
    for (field, found) in [
        ("version", header.version()),
        ("header_size", header.header_size()),
        ("width", picture.width()),
        ("height", picture.height()),
        ("stride", picture.stride_bytes()),
        ("slot_count", header.slots().get()),
        ("color_range", color.range.to_byte().into()),
        ("color_primaries", color.primaries.into()),
        ("color_transfer", color.transfer.into()),
        ("color_matrix", color.matrix.into()),
    ] {
        assert_eq!(expected[field].as_u64(), Some(found.into()), "{name}: {field}");
    }
    for (field, found) in [
        ("data_size", picture.data_size()),
        ("uv_offset", picture.uv_offset()),
        ("data_file_size", header.data_file_size()),
        ("data_inode", header.data_inode()),
        ("generation", header.generation()),
    ] {
        assert_eq!(big(&expected[field]), found, "{name}: {field}");
    }
}

// Proves READ-1, READ-2, READ-4, READ-6 and READ-9.
#[test]
fn every_frame_that_a_conformance_file_names_is_found_and_none_besides() {
    let mut frames = 0;
    for vector in vectors() {
        let Ok(header) = vector.check() else { continue };
        let (name, slots) = (vector.name(), header.slots());
        let words = PlainWords::of(&RawHeader::read_from_bytes(&vector.meta[..HEADER_SIZE]).unwrap());
        let expected: Vec<_> = vector.json["frames"].as_array().cloned().unwrap_or_default();

        let newest = match snapshot::latest(&words, slots, None) {
            Found::Frame(frame) => Some(frame.id()),
            Found::NothingNew => None,
            Found::Overrun => panic!("{name}: nobody writes, so nobody overruns"),
        };
        let expected_newest = &vector.json["latest"]["frame"];
        assert_eq!(newest.map(|id| id.to_string()).as_deref(), expected_newest.as_str(), "{name}");

        for frame in &expected {
            let id = FrameId::new(big(&frame["id"])).unwrap();
            let found =
                snapshot::at(&words, slots, id).unwrap_or_else(|| panic!("{name}: {id} does not stand"));
            assert_eq!(frame["slot"].as_u64(), Some(found.slot().get() as u64), "{name}");
            assert_eq!(big(&frame["timestamp_ns"]), found.timestamp_ns(), "{name}");
            assert_eq!(big(&frame["flags"]), found.flags().0, "{name}");
            assert!(snapshot::is_intact(&words, &found), "{name}");
            // The stored data may leave out zeros at its end, but no picture has one.
            let end = header.slot_offset(found.slot()) + header.picture().uv_offset();
            assert!(fs::metadata(&vector.data).unwrap().len() > end, "{name}: frame {id} has no pixels");
            frames += 1;
        }
        // What may be asked for and is not named does not stand.
        let published = header.at_copy().frame_id;
        let oldest = published.saturating_sub(u64::from(slots.get()) - 1);
        let standing = (oldest..=published)
            .filter_map(FrameId::new)
            .filter(|&id| snapshot::at(&words, slots, id).is_some())
            .count();
        assert_eq!(standing, expected.len(), "{name}");
    }
    assert!(frames > 200, "only {frames} frames were looked at");
}
