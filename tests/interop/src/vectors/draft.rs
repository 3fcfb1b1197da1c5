//! A pair of files under construction, and its painted pictures.

use vas_shm_proto::layout::{FIELDS, SLOT_RECORD_SIZE};

use crate::harness::{Vector, sha256};
use crate::schema::{self, Big, Case, Directory, Fields, File, Fill, Frame, Kind, Latest, Open, Step, Store};

/// The newest frame of most vectors: numbers begin in the billions (HEAD-9). Its remainder by 2, 4, 5 and 8 is 0, by 3 it is 2.
pub(super) const NEWEST: u64 = 5_000_000_000;
/// What `fstat` would say of every `frame.data`.
const INODE: u64 = 42;
/// What stands in a frame outside of its picture. No pixel has this value.
const PADDING: u8 = 165;

/// More than any vector's `frame.data` has; headers that are refused claim much more.
const MOST_BYTES: u64 = 1 << 20;

/// A pair with one frame, changed.
pub(super) fn pair(change: impl FnOnce(&mut Draft)) -> Draft {
    let mut draft = Draft::new();
    draft.publish(NEWEST);
    change(&mut draft);
    draft
}

/// One record of the slot table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    pub(super) frame_id: u64,
    pub(super) timestamp_ns: u64,
    pub(super) data_offset: u64,
    pub(super) flags: u64,
}

/// A pair of files, field by field. Begins as a pair that every reader accepts.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) version: u32,
    pub(super) header_size: u32,
    pub(super) frame_id: u64,
    pub(super) timestamp_ns: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixel_format: u32,
    pub(super) stride: u32,
    pub(super) data_size: u64,
    pub(super) uv_offset: u64,
    pub(super) state: u32,
    pub(super) flags: u32,
    pub(super) slot_count: u32,
    pub(super) slot_record_size: u32,
    pub(super) slot_table_offset: u32,
    /// Range, primaries, transfer, matrix.
    pub(super) color: [u8; 4],
    pub(super) data_file_size: u64,
    pub(super) generation: u64,
    pub(super) heartbeat_ns: u64,
    pub(super) frame_period_ns: u64,
    pub(super) magic: [u8; 8],
    pub(super) records: [Record; 8],
    /// `st_size` of the two files.
    pub(super) meta_bytes: u32,
    pub(super) data_bytes: u64,
    pub(super) meta_kind: Kind,
    pub(super) data_kind: Kind,
    pub(super) directory: Directory,
    pub(super) camera: String,
    pub(super) inode_xor: u64,
    /// Bytes that are put over everything else at the end.
    pub(super) pokes: Vec<(usize, Vec<u8>)>,
    pub(super) steps: Vec<Step>,
    /// Painted frames: where, and with which number.
    pictures: Vec<(u64, u64)>,
}

impl Draft {
    /// 32 x 16 pixels, three slots, no frame.
    pub(super) fn new() -> Self {
        let mut draft = Self {
            version: 1,
            header_size: 768,
            frame_id: 0,
            timestamp_ns: 0,
            width: 0,
            height: 0,
            pixel_format: u32::from_le_bytes(*b"NV12"),
            stride: 0,
            data_size: 0,
            uv_offset: 0,
            state: 1,
            flags: 0,
            slot_count: 3,
            slot_record_size: 64,
            slot_table_offset: 256,
            color: [1, 1, 1, 1],
            data_file_size: 0,
            // The first number is generation / 1000 (HEAD-9), which leaves room for 100 frames up to the newest.
            generation: 4_999_999_900_000,
            heartbeat_ns: 5_000_000_000_000,
            frame_period_ns: 40_000_000,
            magic: *b"VASFRAME",
            records: [Record::default(); 8],
            meta_bytes: 4096,
            data_bytes: 0,
            meta_kind: Kind::Regular,
            data_kind: Kind::Regular,
            directory: Directory::Present,
            camera: schema::vector(),
            inode_xor: 0,
            pokes: Vec::new(),
            steps: Vec::new(),
            pictures: Vec::new(),
        };
        draft.shape(32, 16, 64);
        draft
    }

    /// Gives the picture a size and a stride, the planes back to back.
    pub(super) fn shape(&mut self, width: u32, height: u32, stride: u32) {
        self.spread(width, height, stride, 0, 0);
    }

    /// As [`Draft::shape`], with a gap between the planes and bytes after the last one.
    pub(super) fn spread(&mut self, width: u32, height: u32, stride: u32, gap: u64, after: u64) {
        (self.width, self.height, self.stride) = (width, height, stride);
        self.uv_offset = u64::from(stride) * u64::from(height) + gap;
        self.data_size = self.uv_offset + u64::from(stride) * u64::from(height.div_ceil(2)) + after;
        self.lay_out(self.slot_count);
    }

    /// Puts so many slots into `frame.data`, back to back, each from a page on.
    pub(super) fn lay_out(&mut self, slot_count: u32) {
        self.slot_count = slot_count;
        let slot_bytes = self.data_size.next_multiple_of(4096);
        let offsets: Vec<u64> = (0..u64::from(slot_count)).map(|slot| slot * slot_bytes).collect();
        self.place(&offsets, slot_bytes * u64::from(slot_count));
    }

    /// Puts the slots at these offsets.
    pub(super) fn place(&mut self, offsets: &[u64], data_file_size: u64) {
        self.slot_count = offsets.len() as u32;
        self.records = [Record::default(); 8];
        for (record, &offset) in self.records.iter_mut().zip(offsets) {
            record.data_offset = offset;
        }
        self.data_file_size = data_file_size;
        self.data_bytes = data_file_size;
    }

    /// The index of the slot of a frame.
    pub(super) fn slot(&self, id: u64) -> usize {
        (id % u64::from(self.slot_count)) as usize
    }

    /// Puts a frame into its slot.
    pub(super) fn stand(&mut self, id: u64) {
        let record = &mut self.records[(id % u64::from(self.slot_count)) as usize];
        record.frame_id = id;
        record.timestamp_ns = timestamp_ns(id);
        self.pictures.push((record.data_offset, id));
    }

    /// Makes a frame the newest: puts it into its slot and publishes it.
    pub(super) fn publish(&mut self, id: u64) {
        self.stand(id);
        self.frame_id = id;
        self.timestamp_ns = timestamp_ns(id);
    }

    /// Publishes the frames up to `newest`, as many as there are slots.
    pub(super) fn publish_all(&mut self, newest: u64) {
        let oldest = newest.saturating_sub(u64::from(self.slot_count) - 1).max(1);
        (oldest..=newest).for_each(|id| self.publish(id));
    }

    /// A command for the reader, and its answer.
    pub(super) fn ask(&mut self, command: &str, expect: &str) {
        self.steps.push(Step::Do { command: command.to_owned(), expect: expect.to_owned() });
    }

    /// A command to which the reader hands out the frame `id`.
    pub(super) fn ask_frame(&mut self, command: &str, id: u64) {
        self.ask(command, &format!("frame {id} {} 0", timestamp_ns(id)));
    }

    pub(super) fn store_u64(&mut self, offset: usize, word: u64) {
        let store = Store { offset: offset as u32, u32: None, u64: Some(Big(word)) };
        self.steps.push(Step::Store { store });
    }

    pub(super) fn store_u32(&mut self, offset: usize, word: u32) {
        self.steps.push(Step::Store { store: Store { offset: offset as u32, u32: Some(word), u64: None } });
    }

    /// The writer's steps PUB-1 to PUB-6 for a frame of this one byte.
    pub(super) fn write_frame(&mut self, id: u64, byte: u8) {
        let record = record_offset(self.slot(id));
        self.store_u64(record, 0);
        let offset = self.records[self.slot(id)].data_offset as u32;
        self.steps.push(Step::Fill { fill: Fill { offset, bytes: self.data_size as u32, byte } });
        self.store_u64(record + 8, timestamp_ns(id));
        self.store_u64(record + 24, 0);
        self.store_u64(record, id);
        self.store_u64(16, timestamp_ns(id));
        self.store_u64(8, id);
    }

    /// What the words are now.
    pub(super) fn observe(&mut self, state: &str, is_idle: bool) {
        let (idle, id) = (u8::from(is_idle), self.frame_id);
        let (heartbeat, period) = (self.heartbeat_ns, self.frame_period_ns);
        self.ask(
            "observe",
            &format!(
                "state={state} idle={idle} frame_id={id} heartbeat_ns={heartbeat} frame_period_ns={period}"
            ),
        );
    }

    /// The held frame has this one byte everywhere.
    pub(super) fn expect_planes_of(&mut self, byte: u8) {
        let luma = vec![byte; self.width as usize * self.height as usize];
        let chroma = vec![byte; 2 * self.width.div_ceil(2) as usize * self.height.div_ceil(2) as usize];
        self.steps.push(Step::Planes { luma_sha256: sha256(&luma), chroma_sha256: sha256(&chroma) });
    }

    /// The held frame is the painted one of this number.
    pub(super) fn expect_planes(&mut self, id: u64) {
        let (luma, chroma) = self.planes(id);
        self.steps.push(Step::Planes { luma_sha256: sha256(&luma), chroma_sha256: sha256(&chroma) });
    }

    /// The packed planes of the frame with this number.
    fn planes(&self, id: u64) -> (Vec<u8>, Vec<u8>) {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        let luma = (0..height).flat_map(|y| (0..width).map(move |x| luma(id, x, y))).collect();
        let chroma = (0..height.div_ceil(2))
            .flat_map(|y| (0..width.div_ceil(2)).flat_map(move |x| chroma(id, x, y)))
            .collect();
        (luma, chroma)
    }

    fn paint(&self, data: &mut [u8], offset: u64, id: u64) {
        let (luma, chroma) = self.planes(id);
        let frame = &mut data[offset as usize..][..self.data_size as usize];
        frame.fill(PADDING);
        let rows = |plane: &mut [u8], packed: &[u8], row_bytes: usize| {
            for (y, row) in packed.chunks_exact(row_bytes).enumerate() {
                plane[y * self.stride as usize..][..row_bytes].copy_from_slice(row);
            }
        };
        rows(frame, &luma, self.width as usize);
        rows(&mut frame[self.uv_offset as usize..], &chroma, 2 * self.width.div_ceil(2) as usize);
    }

    fn meta(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4096.max(self.meta_bytes as usize)];
        let mut put = |name: &str, record: usize, value: &[u8]| {
            let field = FIELDS.iter().find(|field| field.name == name).expect("the table has this row");
            let offset = field.offset + record * SLOT_RECORD_SIZE;
            assert_eq!(field.size, value.len(), "{name}");
            bytes[offset..][..value.len()].copy_from_slice(value);
        };
        put("version", 0, &self.version.to_le_bytes());
        put("header_size", 0, &self.header_size.to_le_bytes());
        put("frame_id", 0, &self.frame_id.to_le_bytes());
        put("timestamp_ns", 0, &self.timestamp_ns.to_le_bytes());
        put("width", 0, &self.width.to_le_bytes());
        put("height", 0, &self.height.to_le_bytes());
        put("pixel_format", 0, &self.pixel_format.to_le_bytes());
        put("stride", 0, &self.stride.to_le_bytes());
        put("data_size", 0, &self.data_size.to_le_bytes());
        put("uv_offset", 0, &self.uv_offset.to_le_bytes());
        put("state", 0, &self.state.to_le_bytes());
        put("flags", 0, &self.flags.to_le_bytes());
        put("slot_count", 0, &self.slot_count.to_le_bytes());
        put("slot_record_size", 0, &self.slot_record_size.to_le_bytes());
        put("slot_table_offset", 0, &self.slot_table_offset.to_le_bytes());
        put("color_range", 0, &self.color[..1]);
        put("color_primaries", 0, &self.color[1..2]);
        put("color_transfer", 0, &self.color[2..3]);
        put("color_matrix", 0, &self.color[3..]);
        put("data_file_size", 0, &self.data_file_size.to_le_bytes());
        put("data_inode", 0, &(INODE ^ self.inode_xor).to_le_bytes());
        put("generation", 0, &self.generation.to_le_bytes());
        put("heartbeat_ns", 0, &self.heartbeat_ns.to_le_bytes());
        put("frame_period_ns", 0, &self.frame_period_ns.to_le_bytes());
        put("magic", 0, &self.magic);
        for (i, record) in self.records.iter().enumerate() {
            put("slot[i].frame_id", i, &record.frame_id.to_le_bytes());
            put("slot[i].timestamp_ns", i, &record.timestamp_ns.to_le_bytes());
            put("slot[i].data_offset", i, &record.data_offset.to_le_bytes());
            put("slot[i].flags", i, &record.flags.to_le_bytes());
        }
        for (offset, poke) in &self.pokes {
            bytes[*offset..][..poke.len()].copy_from_slice(poke);
        }
        bytes.truncate(self.meta_bytes as usize);
        bytes
    }

    /// The vector of a pair that is open for reading.
    pub(super) fn ready(self, name: &str, about: &str, clauses: &[&str]) -> Vector {
        let fields = Fields {
            version: self.version,
            header_size: self.header_size,
            width: self.width,
            height: self.height,
            pixel_format: self.pixel_format,
            stride: self.stride,
            data_size: Big(self.data_size),
            uv_offset: Big(self.uv_offset),
            slot_count: self.slot_count,
            color_range: if self.color[0] > 2 { 0 } else { self.color[0] },
            color_primaries: self.color[1],
            color_transfer: self.color[2],
            color_matrix: self.color[3],
            data_file_size: Big(self.data_file_size),
            data_inode: Big(INODE),
            generation: Big(self.generation),
        };
        // Those that READ-9 lets a reader ask for.
        let oldest = self.frame_id.saturating_sub(u64::from(self.slot_count) - 1).max(1);
        let frames: Vec<_> = (oldest..=self.frame_id)
            .filter(|&id| self.records[self.slot(id)].frame_id == id)
            .map(|id| {
                let record = &self.records[self.slot(id)];
                let (luma, chroma) = self.planes(id);
                Frame {
                    id: Big(id),
                    slot: self.slot(id) as u32,
                    timestamp_ns: Big(record.timestamp_ns),
                    flags: Big(record.flags),
                    luma_sha256: sha256(&luma),
                    chroma_sha256: sha256(&chroma),
                }
            })
            .collect();
        let latest = match frames.last() {
            Some(frame) if frame.id.0 == self.frame_id => Latest::Frame(frame.id),
            _ => Latest::Nothing,
        };
        self.finish(name, about, clauses, Open::Ready, Some(fields), frames, Some(latest))
    }

    /// The vector of a pair that is refused.
    pub(super) fn refused(
        self,
        name: &str,
        about: &str,
        clauses: &[&str],
        [field, value, bound]: [&str; 3],
    ) -> Vector {
        let [field, value, bound] = [field, value, bound].map(str::to_owned);
        self.finish(name, about, clauses, Open::Refused { field, value, bound }, None, Vec::new(), None)
    }

    /// The vector of something that is no camera id.
    pub(super) fn no_camera_id(self, name: &str, about: &str) -> Vector {
        self.finish(name, about, &["FILE-2"], Open::NoCameraId, None, Vec::new(), None)
    }

    /// The vector of a pair that is not there yet.
    pub(super) fn not_yet(self, name: &str, about: &str, clauses: &[&str], reason: &str) -> Vector {
        let open = Open::NotThereYet { reason: reason.to_owned() };
        self.finish(name, about, clauses, open, None, Vec::new(), None)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a vector, from the three functions above")]
    fn finish(
        self,
        name: &str,
        about: &str,
        clauses: &[&str],
        open: Open,
        header: Option<Fields>,
        frames: Vec<Frame>,
        latest: Option<Latest>,
    ) -> Vector {
        let mut data = vec![0; self.data_file_size.max(self.data_bytes).min(MOST_BYTES) as usize];
        // Nobody looks at the pixels of a pair that is refused.
        if !matches!(open, Open::Refused { .. }) {
            for &(offset, id) in &self.pictures {
                self.paint(&mut data, offset, id);
            }
        }
        data.truncate(self.data_bytes as usize);
        let file = |kind: Kind, size| File { kind, size: kind.has_bytes().then_some(size) };
        let case = Case {
            name: name.to_owned(),
            about: about.to_owned(),
            clauses: clauses.iter().map(|&clause| clause.to_owned()).collect(),
            camera: self.camera.clone(),
            directory: self.directory,
            meta: file(self.meta_kind, self.meta_bytes),
            data: file(self.data_kind, self.data_bytes as u32),
            data_inode: Big(INODE),
            data_inode_xor: Big(self.inode_xor),
            open,
            header,
            frames,
            latest,
            steps: self.steps.clone(),
        };
        // The header is stored whole, whatever it says; only zeros are left out.
        let meta = if self.meta_kind.has_bytes() { without_zeros(self.meta(), 768) } else { Vec::new() };
        let data = if self.data_kind.has_bytes() { without_zeros(data, 0) } else { Vec::new() };
        Vector { case, meta, data }
    }
}

/// Leaves out the zeros at the end, but keeps `least` bytes if there are so many.
fn without_zeros(mut bytes: Vec<u8>, least: usize) -> Vec<u8> {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used.max(least));
    bytes
}

/// Where a record begins.
pub(super) fn record_offset(slot: usize) -> usize {
    256 + 64 * slot
}

/// The time of a frame: 25 a second.
pub(super) fn timestamp_ns(id: u64) -> u64 {
    5_000_020_000_000 + 40_000_000 * (id % 1024)
}

/// 16 to 143.
fn luma(id: u64, x: u64, y: u64) -> u8 {
    16 + ((3 * x + 5 * y + 11 * (id % 128)) % 128) as u8
}

/// Cb 176 to 207, Cr 208 to 239, for the chroma sample (x, y).
fn chroma(id: u64, x: u64, y: u64) -> [u8; 2] {
    let id = 11 * (id % 32);
    [176 + ((3 * x + 7 * y + id) % 32) as u8, 208 + ((5 * x + 3 * y + id) % 32) as u8]
}
