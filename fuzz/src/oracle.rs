//! PROTOCOL.md sections 7 and 9 over plain bytes: by offset, in arithmetic that cannot overflow.

use vas_shm_proto::Files;
use vas_shm_proto::layout::HEADER_SIZE;

/// The 32-bit number at an offset of `frame.meta`.
pub fn small(meta: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(meta[at..at + 4].try_into().expect("four bytes"))
}

/// The 64-bit number at an offset of `frame.meta`.
pub fn large(meta: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(meta[at..at + 8].try_into().expect("eight bytes"))
}

/// The constants of a pair as a reader keeps them from its opening on, whatever becomes of the file.
#[derive(Clone, Debug)]
pub struct Constants {
    pub width: usize,
    pub height: usize,
    pub stride: usize,
    pub uv_offset: u64,
    pub slots: u64,
    pub offsets: Vec<u64>,
}

/// Why a pair is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// Mixed, stopped or replaced.
    NotYet,
    /// The first field that breaks a rule, or `frame.meta` itself.
    Refused(&'static str),
}

/// OPEN-6 to OPEN-17, in their order: the constants of a pair that is ready, or what is to be said of it.
pub fn open(meta: &[u8], files: &Files) -> Result<Constants, NotReady> {
    const SLOT: &str = "slot[i].data_offset";
    let must = |is_so: bool, field| if is_so { Ok(()) } else { Err(NotReady::Refused(field)) };
    must(meta.len() >= HEADER_SIZE && files.meta_size_bytes >= HEADER_SIZE as u64, "frame.meta")?;
    let small = |at| u128::from(small(meta, at));
    let large = |at| u128::from(large(meta, at));
    let (width, height, stride) = (small(24), small(28), small(36));
    let (data_size, uv_offset, slots) = (large(40), large(48), small(64));
    let chroma_end = uv_offset + stride * height.div_ceil(2);
    let file_size = large(80);

    must(small(0) >= 1, "version")?;
    must(&meta[120..128] == b"VASFRAME", "magic")?;
    must((768..=u128::from(files.meta_size_bytes)).contains(&small(4)), "header_size")?;
    if large(88) != u128::from(files.data_inode) {
        return Err(NotReady::NotYet);
    }
    must(small(32) == 0x3231_564E, "pixel_format")?;
    must((1..=16384).contains(&width), "width")?;
    must((1..=16384).contains(&height), "height")?;
    must(stride >= 2 * width.div_ceil(2), "stride")?;
    must(uv_offset >= stride * height && chroma_end < 1 << 64, "uv_offset")?;
    must(data_size >= chroma_end, "data_size")?;
    must((2..=8).contains(&slots), "slot_count")?;
    must(small(68) == 64, "slot_record_size")?;
    must(small(72) == 256, "slot_table_offset")?;
    let offsets: Vec<u128> = (0..slots as usize).map(|slot| large(272 + 64 * slot)).collect();
    must(offsets.iter().all(|offset| offset % 4096 == 0 && offset + data_size <= file_size), SLOT)?;
    for (index, one) in offsets.iter().enumerate() {
        must(offsets[..index].iter().all(|other| one.abs_diff(*other) >= data_size), SLOT)?;
    }
    must(file_size <= u128::from(files.data_size_bytes), "data_file_size")?;
    if matches!(small(56), 3 | 4) {
        return Err(NotReady::NotYet);
    }
    Ok(Constants {
        width: width as usize,
        height: height as usize,
        stride: stride as usize,
        uv_offset: uv_offset as u64,
        slots: slots as u64,
        offsets: offsets.into_iter().map(|offset| offset as u64).collect(),
    })
}

impl Constants {
    /// READ-2: whether the slot of this frame holds it.
    fn stands(&self, meta: &[u8], id: u64) -> bool {
        id != 0 && large(meta, self.record(id)) == id
    }

    /// Where the record of a frame begins.
    pub fn record(&self, id: u64) -> usize {
        256 + 64 * (id % self.slots) as usize
    }

    /// READ-1: the newest frame, unless it is the one seen.
    pub fn latest(&self, meta: &[u8], seen: Option<u64>) -> Option<u64> {
        Some(large(meta, 8)).filter(|&newest| Some(newest) != seen && self.stands(meta, newest))
    }

    /// READ-9: the oldest frame after the one seen that stands; without one, the newest.
    pub fn next(&self, meta: &[u8], seen: Option<u64>) -> Option<u64> {
        let Some(seen) = seen else { return self.latest(meta, None) };
        let newest = large(meta, 8);
        let behind = (0..self.slots).rev().filter_map(|by| newest.checked_sub(by));
        behind.filter(|&id| id > seen).find(|&id| self.stands(meta, id))
    }

    /// READ-9: one particular frame.
    pub fn at(&self, meta: &[u8], id: u64) -> bool {
        let newest = large(meta, 8);
        id <= newest && newest - id < self.slots && self.stands(meta, id)
    }

    /// PIC-1, PIC-2: the picture of a frame without padding.
    pub fn packed(&self, data: &[u8], id: u64) -> Vec<u8> {
        let start = self.offsets[(id % self.slots) as usize] as usize;
        let mut out = Vec::new();
        let mut plane = |from: usize, rows: usize, bytes: usize| {
            for row in 0..rows {
                let at = from + row * self.stride;
                out.extend_from_slice(&data[at..at + bytes]);
            }
        };
        plane(start, self.height, self.width);
        plane(start + self.uv_offset as usize, self.height.div_ceil(2), 2 * self.width.div_ceil(2));
        out
    }
}
