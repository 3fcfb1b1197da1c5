//! What is filmed here: pictures that carry their number in each of their bytes, and times and flags that follow from it.

use std::num::NonZeroU64;
use vas_e2e::pattern::{self, Mark};
use vas_shm_reader::Frame;
use vas_shm_writer::{Color, ColorRange, PictureFormat, Stamp};

/// Sizes and colours. The index stands in each picture, so that a picture in a pair of another format is noticed.
pub(crate) const FORMATS: [Format; 5] = [
    // Rows without padding: copied in one piece.
    Format { width: 192, height: 108, full_range: false },
    // Rows with padding: copied row by row.
    Format { width: 160, height: 120, full_range: false },
    // Other colours in the same size.
    Format { width: 192, height: 108, full_range: true },
    Format { width: 1920, height: 1080, full_range: false },
    Format { width: 1280, height: 720, full_range: true },
];
pub(crate) const SMALL: u8 = 0;
pub(crate) const PADDED: u8 = 1;
pub(crate) const RECOLORED: u8 = 2;
pub(crate) const LARGE: u8 = 3;
pub(crate) const MIDDLE: u8 = 4;

/// Numbers of servers are this far apart, so that no two servers of a run publish the same.
pub(crate) const NUMBERS_PER_SERVER: u64 = 1 << 32;
/// The low bits of a frame's time repeat those of its number; what is lost of the time is a millisecond.
const TIME_CARRIES: u64 = (1 << 20) - 1;
/// Every seventh frame says that it is damaged.
const DAMAGED_EACH: u64 = 7;

/// Size and colour of pictures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    full_range: bool,
}

impl Format {
    pub(crate) fn of(index: u8) -> Option<&'static Self> {
        FORMATS.get(usize::from(index))
    }

    pub(crate) fn color(&self) -> Color {
        let range = if self.full_range { ColorRange::Full } else { ColorRange::Limited };
        Color { range, ..Color::UNSPECIFIED }
    }

    pub(crate) fn to_picture_format(self) -> PictureFormat {
        PictureFormat::new(self.width, self.height, self.color())
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        (self.width * self.height * 3 / 2) as usize
    }

    /// Whether frames of this width are counted as those of large pictures: 1080p.
    pub(crate) fn is_large(width: u32) -> bool {
        width >= FORMATS[LARGE as usize].width
    }
}

/// The word that a picture is filled with.
pub(crate) fn word(format: u8, number: u64) -> u64 {
    Mark { size: format, number }.to_word()
}

/// Makes a picture: its word over and over in luma, the word's complement in chroma.
pub(crate) fn paint(format: u8, number: u64, packed: &mut [u8]) {
    let word = word(format, number);
    let (luma, chroma) = packed.split_at_mut(luma_bytes(packed));
    pattern::fill(word, luma);
    pattern::fill(!word, chroma);
}

/// The word of a packed picture that is whole.
pub(crate) fn read(packed: &[u8]) -> Result<u64, String> {
    let (luma, chroma) = packed.split_at(luma_bytes(packed));
    let luma = pattern::word(luma).ok_or_else(|| format!("luma {}", describe_mixture(luma)))?;
    let chroma = pattern::word(chroma).ok_or_else(|| format!("chroma {}", describe_mixture(chroma)))?;
    if chroma == !luma { Ok(luma) } else { Err(format!("luma is of {luma:#x}, chroma of {:#x}", !chroma)) }
}

/// Width and height are even here: a third of a packed picture is chroma.
fn luma_bytes(packed: &[u8]) -> usize {
    packed.len() / 3 * 2
}

/// Where bytes stop being all the same word.
pub(crate) fn describe_mixture(bytes: &[u8]) -> String {
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    let mut words = words.enumerate();
    let first = words.next().map_or(0, |(_, word)| word);
    match words.find(|(_, word)| *word != first) {
        Some((at, other)) => format!("begins with {first:#x}, and from byte {} on is {other:#x}", at * 8),
        None => format!("has {} bytes, all of them {first:#x}", bytes.len()),
    }
}

/// Time and flags that belong to a number.
pub(crate) fn stamp(number: u64) -> Stamp {
    let now = vas_shm_writer::monotonic_ns();
    Stamp::at(now & !TIME_CARRIES | number & TIME_CARRIES).damaged(is_damaged(number))
}

fn is_damaged(number: u64) -> bool {
    number % DAMAGED_EACH == 0
}

/// Why what was read of a frame is not that frame; `None` if all of it agrees.
///
/// `offset` is the frame's id minus the picture's number, the same for each frame of a pair.
pub(crate) fn contradiction(
    frame: &Frame<'_>,
    seen: Result<u64, String>,
    offset: Option<u64>,
) -> Result<Mark, String> {
    let mark = Mark::from_word(seen?);
    let Some(format) = Format::of(mark.size) else {
        return Err(format!("the picture says format {}, which there is not", mark.size));
    };
    let (found, said) = ((frame.picture().width(), frame.picture().height()), (format.width, format.height));
    if found != said || frame.color() != format.color() {
        return Err(format!(
            "a picture of {} x {}, {:?}, stands in a pair of {} x {}, {:?}",
            said.0,
            said.1,
            format.color().range,
            found.0,
            found.1,
            frame.color().range
        ));
    }
    if frame.timestamp_ns() & TIME_CARRIES != mark.number & TIME_CARRIES {
        return Err(format!(
            "picture {} has the time {} of another frame",
            mark.number,
            frame.timestamp_ns()
        ));
    }
    if frame.is_damaged() != is_damaged(mark.number) {
        return Err(format!("picture {} has the flags of another frame", mark.number));
    }
    let found = self::offset(frame, mark.number);
    match offset {
        Some(offset) if offset != found => Err(format!(
            "frame {} is picture {}, and should be picture {}",
            frame.id().get(),
            mark.number,
            frame.id().get().wrapping_sub(offset)
        )),
        _ => Ok(mark),
    }
}

/// What is added to a picture's number to get its frame's.
pub(crate) fn offset(frame: &Frame<'_>, number: u64) -> u64 {
    frame.id().get().wrapping_sub(number)
}

/// The first number of the server with this index in its scenario.
pub(crate) fn first_number(server: u64) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(server * NUMBERS_PER_SERVER)
}

/// Which server published a number.
pub(crate) fn server_of(number: u64) -> u64 {
    number.saturating_sub(1) / NUMBERS_PER_SERVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_server() {
        for server in [0, 1, 7, 100_000] {
            let first = first_number(server).get();
            assert_eq!(server_of(first), server);
            assert_eq!(server_of(first + NUMBERS_PER_SERVER - 1), server);
            let mark = Mark::from_word(word(LARGE, first));
            assert_eq!((mark.size, mark.number), (LARGE, first));
        }
    }

    #[test]
    fn a_picture_is_read_back_and_a_mixture_is_described_by_the_place_where_it_changes() {
        let mut packed = vec![0; FORMATS[0].packed_bytes()];
        paint(SMALL, 7, &mut packed);
        assert_eq!(read(&packed), Ok(word(SMALL, 7)));
        let mut other = packed.clone();
        paint(SMALL, 8, &mut other);
        packed[24..32].copy_from_slice(&other[24..32]);
        assert_eq!(read(&packed).unwrap_err(), "luma begins with 0x7, and from byte 24 on is 0x8");
        let (luma, chroma) = (other.len() / 3 * 2, other.len() / 3);
        paint(SMALL, 7, &mut packed);
        packed[luma..].copy_from_slice(&other[luma..]);
        assert_eq!(read(&packed).unwrap_err(), "luma is of 0x7, chroma of 0x8");
        packed.copy_within(..chroma, luma);
        assert!(read(&packed).is_err(), "luma in the place of chroma");
    }

    #[test]
    fn every_format_is_made_of_whole_words() {
        for format in FORMATS {
            assert_eq!(format.width % 8, 0);
            assert_eq!(format.height % 2, 0);
        }
    }
}
