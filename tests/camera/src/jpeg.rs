//! JPEG pictures: where one ends, and what RTP carries of them (RFC 2435).
//!
//! A receiver puts the headers together again from what each packet says, so only pictures can be sent that have nothing of
//! their own in them: baseline, 4:2:2 or 4:2:0, sizes in whole blocks of eight, quantization tables of eight bits, and the Huffman
//! tables of ITU-T T.81 annex K. Whether it has those is not checked: `ffmpeg -huffman default` writes them.

/// The most payload bytes of a packet that are the picture's own, with room for the headers of RFC 2435 before them.
const MAX_SCAN_BYTES: usize = 1000;
/// Quantization tables follow in the first packet of each picture.
const OWN_TABLES: u8 = 255;
const TABLE_BYTES: usize = 64;

/// A picture taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Jpeg<'a> {
    /// All of it, from SOI to EOI.
    pub(crate) whole: &'a [u8],
    /// The type of RFC 2435 4.1: 0 is 4:2:2, 1 is 4:2:0.
    kind: u8,
    /// In blocks of eight pixels.
    width: u8,
    height: u8,
    tables: Vec<&'a [u8]>,
    /// The coded samples, without EOI.
    scan: &'a [u8],
}

impl<'a> Jpeg<'a> {
    /// The picture that these bytes begin with; `None` for what is no picture, or none that RTP carries.
    pub(crate) fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let mut at = 2;
        bytes.strip_prefix(&[0xFF, 0xD8])?;
        let (mut tables, mut size) = (Vec::new(), None);
        loop {
            let (&[0xFF, marker], length) = (bytes.get(at..at + 2)?, bytes.get(at + 2..at + 4)?) else {
                return None;
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            let segment = bytes.get(at + 4..end)?;
            at = end;
            match marker {
                0xDB => tables.extend(quantization_tables(segment)?),
                0xC0 => size = Some(kind_and_size(segment)?),
                // Other kinds of coding, and restart intervals, which need a header of their own.
                0xC1..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xDD => return None,
                0xDA => break,
                _ => {}
            }
        }
        // What looks like a marker within the scan is followed by a zero.
        let scan = bytes.get(at..)?;
        let len = scan.windows(2).position(|two| two == [0xFF, 0xD9])?;
        let (kind, width, height) = size.filter(|_| matches!(tables.len(), 1 | 2))?;
        Some(Self { whole: &bytes[..at + len + 2], kind, width, height, tables, scan: &scan[..len] })
    }

    /// The payloads of its packets (RFC 2435 3.1).
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let mut offset = 0_usize;
        let mut payloads = Vec::new();
        for chunk in self.scan.chunks(MAX_SCAN_BYTES) {
            let [_, .., high, middle, low] = offset.to_be_bytes();
            let mut payload = vec![0, high, middle, low, self.kind, OWN_TABLES, self.width, self.height];
            if offset == 0 {
                let len = (self.tables.len() * TABLE_BYTES) as u16; // one or two of them
                payload.extend([0, 0]);
                payload.extend(len.to_be_bytes());
                payload.extend(self.tables.concat());
            }
            payload.extend(chunk);
            payloads.push(payload);
            offset += chunk.len();
        }
        payloads
    }
}

/// DQT (ITU-T T.81 B.2.4.1): tables of eight bits alone.
fn quantization_tables(segment: &[u8]) -> Option<Vec<&[u8]>> {
    segment
        .chunks(TABLE_BYTES + 1)
        .map(|table| match table.split_first()? {
            (&precision_and_place, table) if precision_and_place < 0x10 && table.len() == TABLE_BYTES => {
                Some(table)
            }
            _ => None,
        })
        .collect()
}

/// SOF0 (ITU-T T.81 B.2.2) of three components, the first of them sampled twice as often as the others.
fn kind_and_size(segment: &[u8]) -> Option<(u8, u8, u8)> {
    let &[8, high, low, wide_high, wide_low, 3, _, luma, _, _, 0x11, _, _, 0x11, _] = segment else {
        return None;
    };
    let blocks = |pixels: [u8; 2]| {
        let pixels = u16::from_be_bytes(pixels);
        u8::try_from(pixels / 8).ok().filter(|_| pixels % 8 == 0 && pixels > 0)
    };
    let kind = match luma {
        0x21 => 0,
        0x22 => 1,
        _ => return None,
    };
    Some((kind, blocks([wide_high, wide_low])?, blocks([high, low])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of that many coded bytes, which are no picture really.
    fn picture(coded_bytes: usize) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
        bytes.extend([9; TABLE_BYTES]);
        bytes.extend([0xFF, 0xC0, 0, 17, 8, 0, 240, 1, 64, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 17, 3, 17, 0, 63, 0]);
        bytes.extend((0..coded_bytes).map(|at| (at % 251) as u8));
        bytes.extend([0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn a_picture_ends_at_its_end_and_the_next_one_begins_there() {
        let two = [picture(5), picture(2500)].concat();
        let first = Jpeg::first_of(&two).unwrap();
        assert_eq!(first.whole, picture(5));
        assert_eq!((first.kind, first.width, first.height), (1, 40, 30));
        let second = Jpeg::first_of(&two[first.whole.len()..]).unwrap();
        assert_eq!(second.scan.len(), 2500);
        for end in 0..picture(5).len() {
            assert_eq!(Jpeg::first_of(&picture(5)[..end]), None, "{end} bytes of it");
        }
    }

    #[test]
    fn packets_say_where_they_belong_and_the_first_has_the_tables() {
        let bytes = picture(2500);
        let payloads = Jpeg::first_of(&bytes).unwrap().payloads();
        let headers: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..8]).collect();
        assert_eq!(
            headers,
            [
                [0, 0, 0, 0, 1, 255, 40, 30],
                [0, 0, 0x03, 0xE8, 1, 255, 40, 30],
                [0, 0, 0x07, 0xD0, 1, 255, 40, 30]
            ]
        );
        assert_eq!(payloads[0][8..12], [0, 0, 0, 64]);
        assert_eq!(payloads[0][12..12 + TABLE_BYTES], [9; TABLE_BYTES]);
        let carried = [&payloads[0][12 + TABLE_BYTES..], &payloads[1][8..], &payloads[2][8..]].concat();
        assert_eq!(carried, bytes[bytes.len() - 2502..bytes.len() - 2]);
    }

    #[test]
    fn what_rtp_does_not_carry_is_no_picture() {
        let right = picture(9);
        let place = |bytes: &[u8]| right.windows(bytes.len()).position(|found| found == bytes).unwrap();
        let with = |at: usize, byte: u8| {
            let mut wrong = right.clone();
            wrong[at] = byte;
            wrong
        };
        let frame = place(&[0xFF, 0xC0]);
        assert!(Jpeg::first_of(&right).is_some());
        assert_eq!(Jpeg::first_of(&with(frame + 1, 0xC2)), None, "progressive");
        assert_eq!(Jpeg::first_of(&with(frame + 6, 241)), None, "half a block");
        assert_eq!(Jpeg::first_of(&with(frame + 11, 0x11)), None, "4:4:4");
        assert_eq!(Jpeg::first_of(&with(6, 0x10)), None, "tables of 16 bits");
        assert_eq!(Jpeg::first_of(b"no picture"), None);
    }
}
