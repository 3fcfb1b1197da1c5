//! The format of the inputs that are a pair of files: the same for the targets `pair` and `changing` and for `c/pair.c`, so
//! that they share their corpus.
//!
//! ```text
//! 0      how: bit 0 the header keeps its data_inode (else it gets the real one), bit 1 a second thread stores,
//!        bit 2 the reader insists on an owner who is not the one, bit 3 every frame is wanted, not the newest
//! 1      u16: how many bytes of frame.meta stand in the input
//! 3      u16: size of frame.meta
//! 5      u32: size of frame.data
//! 9      those bytes of frame.meta; what is missing up to its size are zeros
//! then   the program: what the writer does after the open
//! ```
//!
//! The pixels are not in the input: a reader decides nothing by them. They are made so that each tells where it stands.

use std::sync::LazyLock;

/// The longest `frame.meta`: two pages.
pub const MAX_META: usize = 8192;
/// The longest `frame.data`: room for the longest row and the highest column of three slots.
pub const MAX_DATA: usize = 1 << 18;
/// More steps than a program of an ordinary length has.
const MAX_STEPS: usize = 64;

/// An input, taken apart.
pub struct Case {
    pub keeps_inode: bool,
    pub has_second_thread: bool,
    pub insists_on_stranger: bool,
    pub wants_every_frame: bool,
    pub meta: Vec<u8>,
    pub data: Vec<u8>,
    pub program: Vec<Step>,
}

/// What is done after the open: the writer's stores, and the questions between them.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Puts a word of 64 bits at an offset of `frame.meta`.
    Store64 { offset: usize, value: u64 },
    /// Puts the publish word, this much changed, at an offset of `frame.meta`.
    StoreNear { offset: usize, delta: i8 },
    /// Puts a word of 32 bits at an offset of `frame.meta`.
    Store32 { offset: usize, value: u32 },
    /// Sets 64 bytes of `frame.data`.
    Fill { block: u16, value: u8 },
    /// A frame as a writer publishes it.
    Publish,
    /// Asks for the next frame as a stream does, and remembers which it was.
    Follow,
    /// Asks for the frame that is this far behind the newest.
    Behind { by: u8 },
    /// Asks everything.
    AskAll,
}

impl Case {
    /// `None`: too short to be one.
    pub fn parse(input: &[u8]) -> Option<Self> {
        let (&[how, s0, s1, m0, m1, d0, d1, d2, d3], rest) = input.split_first_chunk()?;
        let stored = usize::from(u16::from_le_bytes([s0, s1])).min(rest.len()).min(MAX_META);
        let meta_size = usize::from(u16::from_le_bytes([m0, m1])) % (MAX_META + 1);
        let data_size = u32::from_le_bytes([d0, d1, d2, d3]) as usize % (MAX_DATA + 1);
        let (bytes, program) = rest.split_at(stored);
        let mut meta = bytes.to_vec();
        meta.resize(meta_size, 0);
        Some(Self {
            keeps_inode: how & 1 != 0,
            has_second_thread: how & 2 != 0,
            insists_on_stranger: how & 4 != 0,
            wants_every_frame: how & 8 != 0,
            meta,
            data: PIXELS[..data_size].to_vec(),
            program: parse_program(program),
        })
    }
}

/// What stands in `frame.data` before anybody fills it.
static PIXELS: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..MAX_DATA).map(|offset| (offset.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect());

fn parse_program(mut bytes: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((&code, rest)) = bytes.split_first() {
        let word64 = |index: u8| usize::from(index) % 96 * 8;
        let (step, rest) = match (code % 8, rest) {
            (0, &[index, a, b, c, d, e, f, g, h, ref rest @ ..]) => {
                let value = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                (Step::Store64 { offset: word64(index), value }, rest)
            }
            (1, &[index, delta, ref rest @ ..]) => {
                (Step::StoreNear { offset: word64(index), delta: delta as i8 }, rest)
            }
            (2, &[index, a, b, c, d, ref rest @ ..]) => {
                let value = u32::from_le_bytes([a, b, c, d]);
                (Step::Store32 { offset: usize::from(index) % 192 * 4, value }, rest)
            }
            (3, &[a, b, value, ref rest @ ..]) => {
                (Step::Fill { block: u16::from_le_bytes([a, b]), value }, rest)
            }
            (4, rest) => (Step::Publish, rest),
            (5, rest) => (Step::Follow, rest),
            (6, &[by, ref rest @ ..]) => (Step::Behind { by }, rest),
            (7, rest) => (Step::AskAll, rest),
            _ => break,
        };
        steps.push(step);
        bytes = rest;
        if steps.len() == MAX_STEPS {
            break;
        }
    }
    steps
}
