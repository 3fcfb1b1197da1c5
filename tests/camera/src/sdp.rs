//! The session description a camera answers DESCRIBE with (RFC 8866, RFC 6184 8.2, RFC 7798 7.2, RFC 2435).

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::annexb::Codec;
use crate::clip::Clip;
use crate::rtp::PAYLOAD_TYPE;

/// Where a client finds the parameter sets (VPS, SPS, PPS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ParameterSets {
    /// In the session description, and in the stream where the clip has them.
    #[default]
    Both,
    /// Only in the stream, where the clip has them.
    InBand,
    /// Only in the session description.
    OutOfBand,
}

/// A description of a stream that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SdpFault {
    /// It names the other codec.
    OtherCodec,
    /// It has sound and no video.
    AudioOnly,
    /// It has no media at all.
    Empty,
    /// It is no description.
    Garbage,
}

/// What is said instead of the description.
pub(crate) fn describe_wrongly(fault: SdpFault, right: &str, codec: Codec) -> String {
    let head = || right.split("m=video").next().unwrap_or_default();
    match fault {
        SdpFault::Empty => head().to_owned(),
        SdpFault::AudioOnly => {
            format!("{}m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:{TRACK}\r\n", head())
        }
        SdpFault::OtherCodec => {
            let other = if codec == Codec::H264 { Codec::H265 } else { Codec::H264 };
            let fits = |line: &&str| !line.starts_with("a=fmtp:");
            let text: String = right.split_inclusive("\r\n").filter(fits).collect();
            text.replace(codec.rtp_name(), other.rtp_name())
        }
        SdpFault::Garbage => "m=\r\nm=video\r\na=rtpmap:\r\n\u{1}\u{2}=%s%n\r\nv=999999999999999999999\r\nc=IN\r\nm=video 0 RTP/AVP 96 97\r\n\
             a=rtpmap:96 NOTHING/0\r\na=fmtp:96 ;;;==;sprop-parameter-sets=!!!\r\n"
            .to_owned(),
    }
}

/// The name of the one track in `SETUP` requests.
pub(crate) const TRACK: &str = "track1";

/// The description of a clip, played at a rate.
pub(crate) fn describe(clip: &Clip, parameter_sets: ParameterSets, fps: f64) -> String {
    let name = clip.codec().rtp_name();
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 127.0.0.1".to_owned(),
        "s=vas-test-camera".to_owned(),
        "c=IN IP4 0.0.0.0".to_owned(),
        "t=0 0".to_owned(),
        "a=control:*".to_owned(),
        "a=range:npt=now-".to_owned(),
        format!("m=video 0 RTP/AVP {PAYLOAD_TYPE}"),
        format!("a=rtpmap:{PAYLOAD_TYPE} {name}/90000"),
        format!("a=framerate:{fps}"),
    ];
    let format = format_parameters(clip, parameter_sets);
    if !format.is_empty() {
        lines.push(format!("a=fmtp:{PAYLOAD_TYPE} {format}"));
    }
    lines.push(format!("a=control:{TRACK}"));
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn format_parameters(clip: &Clip, parameter_sets: ParameterSets) -> String {
    let codec = clip.codec();
    let in_description = parameter_sets != ParameterSets::InBand;
    let sprop = |wanted: fn(u8) -> bool| -> String {
        let sets = clip.parameter_sets().filter(|nal| wanted(codec.nal_type(nal)));
        sets.map(|nal| BASE64_STANDARD.encode(nal)).collect::<Vec<_>>().join(",")
    };
    match codec {
        Codec::H264 => {
            let mut format = "packetization-mode=1".to_owned();
            if let Some(sps) = clip.parameter_sets().find(|nal| codec.nal_type(nal) == 7 && nal.len() >= 4) {
                format += &format!(";profile-level-id={:02X}{:02X}{:02X}", sps[1], sps[2], sps[3]);
            }
            if in_description {
                format += &format!(";sprop-parameter-sets={}", sprop(|_| true));
            }
            format
        }
        Codec::H265 if in_description => format!(
            "sprop-vps={};sprop-sps={};sprop-pps={}",
            sprop(|nal_type| nal_type == 32),
            sprop(|nal_type| nal_type == 33),
            sprop(|nal_type| nal_type == 34)
        ),
        Codec::H265 | Codec::Jpeg => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(name: &str, bytes: &[u8]) -> Clip {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Clip::load(&path).unwrap()
    }

    #[test]
    fn h264_is_described_with_profile_and_parameter_sets() {
        let clip = clip("a.h264", &[0, 0, 1, 0x67, 0x64, 0, 0x1E, 0, 0, 1, 0x68, 0xEB, 0, 0, 1, 0x65, 0x88]);
        let both = describe(&clip, ParameterSets::Both, 25.0);
        assert!(both.contains("a=rtpmap:96 H264/90000\r\n"), "{both}");
        assert!(both.contains("a=framerate:25\r\n"), "{both}");
        assert!(
            both.contains(
                "a=fmtp:96 packetization-mode=1;profile-level-id=64001E;sprop-parameter-sets=Z2QAHg==,aOs=\r\n"
            ),
            "{both}"
        );
        let in_band = describe(&clip, ParameterSets::InBand, 25.0);
        assert!(in_band.contains("a=fmtp:96 packetization-mode=1;profile-level-id=64001E\r\n"), "{in_band}");
    }

    #[test]
    fn a_wrong_description_is_wrong_in_one_way() {
        let clip = clip("a.h264", &[0, 0, 1, 0x67, 0x64, 0, 0x1E, 0, 0, 1, 0x68, 0xEB, 0, 0, 1, 0x65, 0x88]);
        let right = describe(&clip, ParameterSets::Both, 25.0);
        let wrong = |fault| describe_wrongly(fault, &right, Codec::H264);
        let other = wrong(SdpFault::OtherCodec);
        assert!(
            other.contains("H265/90000") && !other.contains("H264") && !other.contains("fmtp"),
            "{other}"
        );
        assert!(!wrong(SdpFault::Empty).contains("m="));
        let audio = wrong(SdpFault::AudioOnly);
        assert!(audio.contains("m=audio") && !audio.contains("video"), "{audio}");
        assert!(!wrong(SdpFault::Garbage).contains("v=0"));
    }

    #[test]
    fn h265_is_described_with_its_three_parameter_sets() {
        let sets = [0, 0, 1, 0x40, 1, 1, 0, 0, 1, 0x42, 1, 2, 9, 0, 0, 1, 0x44, 1, 3];
        let clip = clip("a.h265", &[&sets[..], &[0, 0, 1, 0x26, 1, 0x80]].concat());
        let both = describe(&clip, ParameterSets::OutOfBand, 12.5);
        assert!(both.contains("a=fmtp:96 sprop-vps=QAEB;sprop-sps=QgECCQ==;sprop-pps=RAED\r\n"), "{both}");
        assert!(both.contains("a=framerate:12.5\r\n"), "{both}");
        assert!(!describe(&clip, ParameterSets::InBand, 25.0).contains("fmtp"));
    }
}
