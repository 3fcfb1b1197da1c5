//! Pictures that say of themselves whether they are whole: the same eight bytes over and over, and their complement in chroma.

/// What the eight bytes of a picture say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which of [`SIZES`] the picture has.
    pub size: u8,
    /// Rises by one per published picture.
    pub number: u64,
}

/// Width and height of the pictures. Rows are whole multiples of eight bytes, but not of the 64 to which a writer rounds them up:
/// whoever forgets the padding reads a mixture.
pub const SIZES: [(u32, u32); 2] = [(312, 240), (248, 144)];

const SIZE_SHIFT: u32 = 56;

impl Mark {
    /// The eight bytes, as a little-endian number.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        (self.size as u64) << SIZE_SHIFT | self.number
    }

    /// What eight bytes say.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self { size: (word >> SIZE_SHIFT) as u8, number: word & ((1 << SIZE_SHIFT) - 1) }
    }

    /// The time with which the picture is published. It follows from the number, so that another picture's is noticed.
    #[must_use]
    pub const fn timestamp_ns(self) -> u64 {
        self.number * 1000
    }
}

/// Fills a picture, or a part of one, with one word over and over.
pub fn fill(word: u64, packed: &mut [u8]) {
    let bytes = word.to_le_bytes();
    let mut filled = packed.len().min(bytes.len());
    packed[..filled].copy_from_slice(&bytes[..filled]);
    // What is there is doubled: a few large copies, which are fast however this crate is built.
    while filled < packed.len() {
        let more = filled.min(packed.len() - filled);
        packed.copy_within(..more, filled);
        filled += more;
    }
}

/// The one word that a picture, or a part of one, is made of; `None` for a mixture.
#[must_use]
pub fn word(packed: &[u8]) -> Option<u64> {
    let (first, _) = packed.split_first_chunk::<8>()?;
    // Each byte equals the one eight places before it.
    let is_whole = packed[8..] == packed[..packed.len() - 8];
    is_whole.then_some(u64::from_le_bytes(*first))
}

/// A picture as NV12 without padding: luma made of its mark, chroma of the mark's complement.
#[must_use]
pub fn picture(mark: Mark) -> Vec<u8> {
    let (width, height) = SIZES[usize::from(mark.size)];
    let mut packed = vec![0; (width * height * 3 / 2) as usize];
    let (luma, chroma) = packed.split_at_mut((width * height) as usize);
    fill(mark.to_word(), luma);
    fill(!mark.to_word(), chroma);
    packed
}

/// The mark of a picture that is whole; `None` for a mixture.
#[must_use]
pub fn mark(packed: &[u8]) -> Option<Mark> {
    // Width and height are even: a third of the picture is chroma.
    let (luma, chroma) = packed.split_at(packed.len() / 3 * 2);
    let (luma, chroma) = (word(luma)?, word(chroma)?);
    (chroma == !luma).then_some(Mark::from_word(luma))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_whole_until_one_byte_changes() {
        let made = Mark { size: 1, number: 0x0102_0304_0506 };
        let mut packed = picture(made);
        assert_eq!(packed.len(), 248 * 144 * 3 / 2);
        assert_eq!(mark(&packed), Some(made));
        for place in [0, 7, 8, packed.len() / 2, packed.len() - 1] {
            packed[place] ^= 1;
            assert_eq!(mark(&packed), None, "byte {place}");
            packed[place] ^= 1;
        }
    }

    #[test]
    fn a_picture_with_the_chroma_of_another_or_with_luma_in_its_place_is_a_mixture() {
        let packed = picture(Mark { size: 0, number: 1 });
        let (luma, chroma) = packed.split_at(312 * 240);
        let other = picture(Mark { size: 0, number: 2 });
        assert_eq!(mark(&[luma, chroma].concat()), Some(Mark { size: 0, number: 1 }));
        assert_eq!(mark(&[luma, &other[312 * 240..]].concat()), None);
        assert_eq!(mark(&[luma, &luma[..chroma.len()]].concat()), None);
    }

    #[test]
    fn two_halves_of_two_pictures_are_a_mixture() {
        let mut packed = picture(Mark { size: 0, number: 1 });
        let half = packed.len() / 2;
        packed[half..].copy_from_slice(&picture(Mark { size: 0, number: 2 })[half..]);
        assert_eq!(mark(&packed), None);
    }
}
