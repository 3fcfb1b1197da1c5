//! In which order the pictures of a clip are shown.
//!
//! An Annex-B file carries no times, and with B-frames the order of transmission is not the order of presentation. RTP
//! timestamps are presentation times, so the order is worked out from the picture order counts in the slice headers
//! (H.264 8.2.1, H.265 8.3.1). Coded fields as pictures of their own (PAFF) and H.264's picture order count type 1 are
//! not handled: such clips are stamped in the order of transmission, which is right whenever they have no B-frames.

use crate::annexb::{Codec, NalRole};
use crate::bits::Bits;

/// For each picture, in the order of transmission: how many frame periods before its transmission it was taken, as a
/// number not above zero. All zero for a clip without reordering.
pub(crate) fn presentation_deltas<N: AsRef<[u8]>>(codec: Codec, pictures: &[Vec<N>]) -> Vec<i64> {
    let counts = match codec {
        Codec::H264 => h264_order_counts(pictures),
        Codec::H265 => h265_order_counts(pictures),
        Codec::Jpeg => None,
    };
    let Some(counts) = counts else { return vec![0; pictures.len()] };
    // Order counts start again with every coded video sequence, so the sequence goes first.
    let mut by_presentation: Vec<usize> = (0..pictures.len()).collect();
    by_presentation.sort_by_key(|&index| counts[index]);
    let mut deltas = vec![0; pictures.len()];
    for (rank, &index) in by_presentation.iter().enumerate() {
        deltas[index] = rank as i64 - index as i64;
    }
    // A picture is sent when it has been taken, not before: the whole clip is late by the deepest reordering.
    let lead = deltas.iter().copied().max().unwrap_or(0);
    deltas.iter().map(|delta| delta - lead).collect()
}

/// Number of the coded video sequence, picture order count within it.
type OrderCount = (u64, i64);

/// The most significant part of an order count, from the part that is coded (H.264 8-3, H.265 8-1).
struct Unwrap {
    previous_msb: i64,
    previous_lsb: i64,
}

impl Unwrap {
    fn new() -> Unwrap {
        Unwrap { previous_msb: 0, previous_lsb: 0 }
    }

    fn full(&mut self, lsb: u32, lsb_bits: u32, is_reference: bool) -> i64 {
        let (lsb, range) = (i64::from(lsb), 1i64 << lsb_bits);
        let msb = if lsb < self.previous_lsb && self.previous_lsb - lsb >= range / 2 {
            self.previous_msb + range
        } else if lsb > self.previous_lsb && lsb - self.previous_lsb > range / 2 {
            self.previous_msb - range
        } else {
            self.previous_msb
        };
        if is_reference {
            (self.previous_msb, self.previous_lsb) = (msb, lsb);
        }
        msb + lsb
    }
}

/// What of an H.264 SPS is needed to find a slice's order count.
struct H264Sps {
    separate_colour_plane: bool,
    frame_num_bits: u32,
    order_count_type: u32,
    order_count_bits: u32,
    frame_mbs_only: bool,
}

impl H264Sps {
    /// H.264 7.3.2.1.1.
    fn parse(nal: &[u8]) -> Option<H264Sps> {
        let mut bits = Bits::of_nal(nal, 1);
        let profile = bits.u(8)?;
        bits.skip(16)?;
        bits.ue()?;
        let mut separate_colour_plane = false;
        if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
            let chroma_format = bits.ue()?;
            if chroma_format == 3 {
                separate_colour_plane = bits.flag()?;
            }
            bits.ue()?;
            bits.ue()?;
            bits.flag()?;
            if bits.flag()? {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_num_bits = bits.ue()?.checked_add(4)?;
        let order_count_type = bits.ue()?;
        let mut order_count_bits = 0;
        match order_count_type {
            0 => order_count_bits = bits.ue()?.checked_add(4)?,
            2 => {}
            _ => return None,
        }
        bits.ue()?;
        bits.flag()?;
        bits.ue()?;
        bits.ue()?;
        let frame_mbs_only = bits.flag()?;
        (frame_num_bits <= 16 && order_count_bits <= 16).then_some(H264Sps {
            separate_colour_plane,
            frame_num_bits,
            order_count_type,
            order_count_bits,
            frame_mbs_only,
        })
    }

    /// `pic_order_cnt_lsb` of a slice (H.264 7.3.3).
    fn order_count_lsb(&self, slice: &[u8]) -> Option<u32> {
        let mut bits = Bits::of_nal(slice, 1);
        bits.ue()?;
        bits.ue()?;
        bits.ue()?;
        if self.separate_colour_plane {
            bits.u(2)?;
        }
        bits.u(self.frame_num_bits)?;
        if !self.frame_mbs_only && bits.flag()? {
            return None; // a coded field
        }
        if Codec::H264.is_random_access(slice) {
            bits.ue()?;
        }
        bits.u(self.order_count_bits)
    }
}

/// H.264 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits, len: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn h264_order_counts<N: AsRef<[u8]>>(pictures: &[Vec<N>]) -> Option<Vec<OrderCount>> {
    let mut sps = None;
    let (mut sequence, mut unwrap) = (0, Unwrap::new());
    pictures
        .iter()
        .enumerate()
        .map(|(index, nals)| {
            if let Some(found) = nals.iter().map(AsRef::as_ref).rfind(|nal| Codec::H264.nal_type(nal) == 7) {
                sps = Some(H264Sps::parse(found)?);
            }
            let (sps, slice) = (sps.as_ref()?, first_slice(Codec::H264, nals)?);
            if Codec::H264.is_random_access(slice) {
                (sequence, unwrap) = (sequence + 1, Unwrap::new());
            }
            if sps.order_count_type == 2 {
                return Some((sequence, index as i64)); // shown in the order of transmission, by definition
            }
            let is_reference = slice[0] & 0x60 != 0;
            let lsb = sps.order_count_lsb(slice)?;
            Some((sequence, unwrap.full(lsb, sps.order_count_bits, is_reference)))
        })
        .collect()
}

/// What of an H.265 SPS is needed to find a slice's order count.
struct H265Sps {
    separate_colour_plane: bool,
    order_count_bits: u32,
}

impl H265Sps {
    /// H.265 7.3.2.2.1 and, for the part that is passed over, 7.3.3.
    fn parse(nal: &[u8]) -> Option<H265Sps> {
        let mut bits = Bits::of_nal(nal, 2);
        bits.u(4)?;
        let sub_layers = bits.u(3)?;
        bits.flag()?;
        bits.skip(88 + 8)?;
        let mut present = Vec::new();
        for _ in 0..sub_layers {
            present.push((bits.flag()?, bits.flag()?));
        }
        if sub_layers > 0 {
            bits.skip(2 * (8 - sub_layers as usize))?;
        }
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        bits.ue()?;
        let separate_colour_plane = bits.ue()? == 3 && bits.flag()?;
        bits.ue()?;
        bits.ue()?;
        if bits.flag()? {
            for _ in 0..4 {
                bits.ue()?;
            }
        }
        bits.ue()?;
        bits.ue()?;
        let order_count_bits = bits.ue()?.checked_add(4)?;
        (order_count_bits <= 16).then_some(H265Sps { separate_colour_plane, order_count_bits })
    }
}

/// What of an H.265 PPS is needed to find a slice's order count.
struct H265Pps {
    output_flag_present: bool,
    extra_bits: usize,
}

impl H265Pps {
    /// H.265 7.3.2.3.1.
    fn parse(nal: &[u8]) -> Option<H265Pps> {
        let mut bits = Bits::of_nal(nal, 2);
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
        Some(H265Pps { output_flag_present: bits.flag()?, extra_bits: bits.u(3)? as usize })
    }
}

/// `slice_pic_order_cnt_lsb` of a picture's first slice (H.265 7.3.6.1).
fn h265_order_count_lsb(sps: &H265Sps, pps: &H265Pps, slice: &[u8]) -> Option<u32> {
    let mut bits = Bits::of_nal(slice, 2);
    let nal_type = Codec::H265.nal_type(slice);
    bits.flag()?;
    if (16..=23).contains(&nal_type) {
        bits.flag()?;
    }
    bits.ue()?;
    bits.skip(pps.extra_bits)?;
    bits.ue()?;
    if pps.output_flag_present {
        bits.flag()?;
    }
    if sps.separate_colour_plane {
        bits.u(2)?;
    }
    if matches!(nal_type, 19 | 20) { Some(0) } else { bits.u(sps.order_count_bits) }
}

fn h265_order_counts<N: AsRef<[u8]>>(pictures: &[Vec<N>]) -> Option<Vec<OrderCount>> {
    let (mut sps, mut pps) = (None, None);
    let (mut sequence, mut unwrap) = (0, Unwrap::new());
    pictures
        .iter()
        .map(|nals| {
            for nal in nals.iter().map(AsRef::as_ref) {
                match Codec::H265.nal_type(nal) {
                    33 => sps = Some(H265Sps::parse(nal)?),
                    34 => pps = Some(H265Pps::parse(nal)?),
                    _ => {}
                }
            }
            let slice = first_slice(Codec::H265, nals)?;
            let nal_type = Codec::H265.nal_type(slice);
            if (16..=20).contains(&nal_type) {
                (sequence, unwrap) = (sequence + 1, Unwrap::new()); // IDR and BLA; a CRA in the stream counts on
            }
            let (sps, pps) = (sps.as_ref()?, pps.as_ref()?);
            let lsb = h265_order_count_lsb(sps, pps, slice)?;
            let temporal_id = (slice[1] & 7).saturating_sub(1);
            let is_discardable = nal_type < 16 && (nal_type % 2 == 0 || (6..=9).contains(&nal_type));
            let is_anchor = temporal_id == 0 && !is_discardable;
            Some((sequence, unwrap.full(lsb, sps.order_count_bits, is_anchor)))
        })
        .collect()
}

fn first_slice<N: AsRef<[u8]>>(codec: Codec, nals: &[N]) -> Option<&[u8]> {
    nals.iter().map(AsRef::as_ref).find(|nal| codec.role(nal) == NalRole::Slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_counts_unwrap_in_both_directions() {
        let mut unwrap = Unwrap::new();
        let lsbs = [0, 6, 2, 4, 12, 8, 10, 2, 14, 0];
        let full: Vec<i64> =
            lsbs.iter().map(|&lsb| unwrap.full(lsb, 4, ![2, 4, 8, 10, 14].contains(&lsb))).collect();
        assert_eq!(full, [0, 6, 2, 4, 12, 8, 10, 18, 14, 16]);
    }

    #[test]
    fn a_clip_whose_headers_say_nothing_is_stamped_in_the_order_of_transmission() {
        let pictures = [vec![vec![0x65u8, 0x88]], vec![vec![0x41u8, 0x9A]]];
        assert_eq!(presentation_deltas(Codec::H264, &pictures), [0, 0]);
        assert_eq!(presentation_deltas(Codec::H265, &pictures), [0, 0]);
    }

    proptest! {
        #[test]
        fn any_headers_are_read_without_panic(nals in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..80), 1..12)) {
            for (codec, sps, pps) in [(Codec::H264, 0x67, 0x68), (Codec::H265, 33 << 1, 34 << 1)] {
                let pictures: Vec<Vec<Vec<u8>>> = nals.iter().map(|nal| {
                    let mut nal = nal.clone();
                    nal[0] &= 0x7F;
                    let with = |header: u8| [vec![header, 1], nal.clone()].concat();
                    vec![with(sps), with(pps), nal]
                }).collect();
                let deltas = presentation_deltas(codec, &pictures);
                prop_assert_eq!(deltas.len(), pictures.len());
                prop_assert!(deltas.iter().all(|delta| *delta <= 0));
            }
        }
    }
}
