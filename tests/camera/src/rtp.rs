//! RTP packets of H.264 (RFC 6184, packetization-mode 1), H.265 (RFC 7798) and JPEG (RFC 2435), and RTCP sender reports (RFC 3550).

use std::time::{Duration, SystemTime};

use crate::annexb::Codec;
use crate::jpeg::Jpeg;

/// Payload bytes of an RTP packet: fits an Ethernet frame with room for tunnels, as cameras have it.
const MAX_PAYLOAD_BYTES: usize = 1200;
/// The dynamic payload type that the SDP announces.
pub(crate) const PAYLOAD_TYPE: u8 = 96;
/// RTP timestamps of video count at 90 kHz.
pub(crate) const CLOCK_HZ: f64 = 90_000.0;
/// Bytes of an RTP header as it is written here: no extension, no contributing sources.
pub(crate) const HEADER_BYTES: usize = 12;

/// Splits the NAL units of a picture into RTP payloads: single NAL unit packets, and fragmentation units (RFC 6184
/// 5.8, RFC 7798 4.4.3) for what is too long.
pub(crate) fn payloads<'a>(codec: Codec, nals: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    const START: u8 = 0x80;
    const END: u8 = 0x40;
    let mut payloads = Vec::new();
    for nal in nals {
        if codec == Codec::Jpeg {
            payloads.extend(Jpeg::first_of(nal).map(|jpeg| jpeg.payloads()).unwrap_or_default());
            continue;
        }
        if nal.len() <= MAX_PAYLOAD_BYTES {
            payloads.push(nal.to_vec());
            continue;
        }
        let (header, body) = nal.split_at(codec.header_len_bytes());
        let nal_type = codec.nal_type(nal);
        let fragment_header = match codec {
            Codec::H264 => vec![header[0] & 0xE0 | 28],
            Codec::H265 => vec![header[0] & 0x81 | 49 << 1, header[1]],
            Codec::Jpeg => Vec::new(),
        };
        let fragments = body.chunks(MAX_PAYLOAD_BYTES - fragment_header.len() - 1);
        let last = fragments.len() - 1;
        for (index, fragment) in fragments.enumerate() {
            let start = if index == 0 { START } else { 0 };
            let end = if index == last { END } else { 0 };
            payloads.push([&fragment_header[..], &[nal_type | start | end], fragment].concat());
        }
    }
    payloads
}

/// An RTP packet (RFC 3550 5.1).
pub(crate) fn packet(marker: bool, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER_BYTES + payload.len());
    packet.extend([0x80, PAYLOAD_TYPE | u8::from(marker) << 7]);
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// What a sender has sent so far, as its reports tell it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SentTotals {
    pub(crate) packets: u32,
    pub(crate) payload_bytes: u32,
}

/// A compound RTCP packet: a sender report (RFC 3550 6.4.1) and the canonical name (6.5.1).
pub(crate) fn sender_report(ssrc: u32, wall: SystemTime, timestamp: u32, sent: SentTotals) -> Vec<u8> {
    /// Seconds from 1900, where NTP begins, to 1970.
    const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;
    let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let ntp_seconds = (since_1970.as_secs() + NTP_TO_UNIX_SECONDS) as u32; // era 0 or 1: the field wraps in 2036
    let ntp_fraction = ((u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    let mut report = vec![0x80, 200, 0, 6];
    for word in [ssrc, ntp_seconds, ntp_fraction, timestamp, sent.packets, sent.payload_bytes] {
        report.extend(word.to_be_bytes());
    }
    let name = b"vas-test-camera";
    let mut description = ssrc.to_be_bytes().to_vec();
    description.extend([1, name.len() as u8]);
    description.extend(name);
    description.push(0); // the list's end, then up to a whole word
    description.resize(description.len().next_multiple_of(4), 0);
    report.extend([0x81, 202, 0, (description.len() / 4) as u8]);
    report.extend(description);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A receiver, written from the RFCs: payloads back to NAL units.
    fn reassemble(codec: Codec, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut nals: Vec<Vec<u8>> = Vec::new();
        for payload in payloads {
            let (is_fragment, at) = match codec {
                Codec::H264 => (payload[0] & 0x1F == 28, 1),
                Codec::H265 => (payload[0] >> 1 & 0x3F == 49, 2),
                Codec::Jpeg => unreachable!("not among those that are tried"),
            };
            if !is_fragment {
                nals.push(payload.clone());
                continue;
            }
            if payload[at] & 0x80 != 0 {
                nals.push(match codec {
                    Codec::H264 => vec![payload[0] & 0xE0 | payload[1] & 0x1F],
                    Codec::H265 => vec![payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]],
                    Codec::Jpeg => unreachable!("not among those that are tried"),
                });
            }
            nals.last_mut().unwrap().extend(&payload[at + 1..]);
        }
        nals
    }

    proptest! {
        #[test]
        fn a_receiver_gets_back_every_nal_unit(lens in prop::collection::vec(2usize..6000, 1..6), first: u8, second: u8) {
            for (codec, mask) in [(Codec::H264, 0x60), (Codec::H265, 0x01)] {
                let header = match codec {
                    Codec::H264 => [first & mask | 5, second],
                    _ => [first & mask | 19 << 1, second],
                };
                let nals: Vec<Vec<u8>> = lens.iter().map(|&len| {
                    let mut nal: Vec<u8> = (0..len).map(|at| at as u8).collect();
                    nal[..2].copy_from_slice(&header);
                    nal
                }).collect();
                let payloads = payloads(codec, nals.iter().map(Vec::as_slice));
                prop_assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD_BYTES));
                prop_assert_eq!(reassemble(codec, &payloads), nals);
            }
        }
    }

    #[test]
    fn only_the_first_and_the_last_fragment_are_marked() {
        let mut nal = vec![0x65; 3000];
        nal[1] = 0x88;
        let flags: Vec<u8> =
            payloads(Codec::H264, [&nal[..]]).iter().map(|payload| payload[1] & 0xE0).collect();
        assert_eq!(flags, [0x80, 0x00, 0x40]);
        assert_eq!(payloads(Codec::H264, [&nal[..1200]]), [&nal[..1200]]);
    }

    #[test]
    fn a_packet_has_the_header_of_rfc_3550() {
        let bytes = packet(true, 0x0102, 0x0304_0506, 0x0708_090A, &[0x65]);
        assert_eq!(bytes, [0x80, 0xE0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x65]);
        assert_eq!(packet(false, 0, 0, 0, &[])[1], 96);
    }

    #[test]
    fn a_sender_report_says_when_its_timestamp_was() {
        let wall = SystemTime::UNIX_EPOCH + Duration::new(1, 500_000_000);
        let report = sender_report(7, wall, 42, SentTotals { packets: 3, payload_bytes: 999 });
        let words: Vec<u32> =
            report.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words[..7], [0x80C8_0006, 7, 2_208_988_801, 0x8000_0000, 42, 3, 999]);
        assert_eq!(words[7] >> 16, 0x81CA, "a source description follows");
        assert_eq!(words.len(), 8 + (words[7] & 0xFFFF) as usize);
    }
}
