//! Reading the bits of a NAL unit's payload: fixed-length fields and Exp-Golomb codes (H.264 9.1, H.265 9.2).

/// A reader over the payload of a NAL unit, emulation prevention bytes taken out.
///
/// Every read returns `None` at the end: a short or odd header ends the parse, never the program.
pub(crate) struct Bits {
    bytes: Vec<u8>,
    at_bit: usize,
}

impl Bits {
    /// Reads the NAL unit behind its header of `header_len_bytes`. Slice headers and the part of a parameter set that
    /// matters here lie in the first bytes; the rest of a large slice is not copied.
    pub(crate) fn of_nal(nal: &[u8], header_len_bytes: usize) -> Bits {
        const LOOKED_AT_BYTES: usize = 1024;
        let mut bytes = Vec::new();
        let mut zeros = 0;
        for &byte in nal.iter().skip(header_len_bytes).take(LOOKED_AT_BYTES) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Bits { bytes, at_bit: 0 }
    }

    /// One bit as a flag.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at_bit / 8)?;
        let bit = byte >> (7 - self.at_bit % 8) & 1;
        self.at_bit += 1;
        Some(bit == 1)
    }

    /// u(n), at most 32 bits.
    pub(crate) fn u(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// Passes over bits of no interest.
    pub(crate) fn skip(&mut self, bits: usize) -> Option<()> {
        self.at_bit = self.at_bit.checked_add(bits)?;
        (self.at_bit <= self.bytes.len() * 8).then_some(())
    }

    /// ue(v).
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1u32 << zeros) - 1 + self.u(zeros)?)
    }

    /// se(v).
    pub(crate) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_the_standards_table() {
        // 1, 010, 011, 00100, 00101 are 0, 1, 2, 3, 4
        let mut bits = Bits::of_nal(&[0xFF, 0b1010_0110, 0b0100_0010, 0b1000_0000], 1);
        assert_eq!([(); 5].map(|()| bits.ue()), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        let mut bits = Bits::of_nal(&[0b1010_0110, 0b0100_0010, 0b1000_0000], 0);
        assert_eq!([(); 5].map(|()| bits.se()), [Some(0), Some(1), Some(-1), Some(2), Some(-2)]);
    }

    #[test]
    fn emulation_prevention_bytes_are_not_part_of_the_payload() {
        let mut bits = Bits::of_nal(&[0x67, 0, 0, 3, 1], 1);
        assert_eq!(bits.u(24), Some(1));
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn a_run_of_zeros_is_no_number() {
        assert_eq!(Bits::of_nal(&[0; 3], 0).ue(), None);
        assert_eq!(Bits::of_nal(&[0, 0, 1, 0, 0, 0, 0, 0, 0xFF], 0).ue().map(|_| ()), Some(()));
        assert_eq!(Bits::of_nal(&[0, 0, 1, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 0).skip(89), None);
    }
}
