//! Which client and which transport a camera is tried with, and what one try teaches for the next ones. Pure.

use crate::address::{RtspClient, RtspSource, Transport};

/// How a camera is talked with. Neither of them is `Auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) client: RtspClient,
    pub(crate) transport: Transport,
}

/// Why a way led nowhere, where another one may lead somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The camera does not have this transport.
    TransportRefused,
    /// It agreed, and no packet came.
    NoPacket,
    /// retina does not know the codec, or does not understand what the camera says.
    NotForRetina,
    /// Pictures came from retina, and none could be decoded: parameter sets of a kind that it does not keep, for one.
    NothingDecoded,
}

/// What was found out about a camera, for as long as its thread lives.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    tcp_only: bool,
    /// Frames came over UDP: when nothing comes some day, UDP is not why.
    udp_works: bool,
    ffmpeg_only: bool,
    /// Frames came from FFmpeg, since it was found to be needed.
    ffmpeg_plays: bool,
    /// Frames came from retina, some day.
    retina_plays: bool,
    /// Sessions in a row in which FFmpeg did what retina could not.
    doubts: u32,
}

/// Where retina has played, so many sessions in a row have to need FFmpeg before it has the camera for good: one answer of a camera
/// that is just starting says nothing of the next months.
const DOUBTS_LIMIT: u32 = 3;

impl Choice {
    /// Another session begins.
    pub(crate) fn begin(&mut self) {
        if self.retina_plays && self.doubts < DOUBTS_LIMIT {
            self.ffmpeg_only = false;
            self.ffmpeg_plays = false;
        }
    }

    /// How to try it next.
    pub(crate) fn way(&self, rtsp: &RtspSource) -> Way {
        // retina has no TLS, and no HTTP; both come in one connection.
        if rtsp.is_encrypted() || rtsp.is_http() {
            return Way { client: RtspClient::Ffmpeg, transport: Transport::Tcp };
        }
        let transport = match rtsp.transport {
            Transport::Auto if self.tcp_only => Transport::Tcp,
            Transport::Auto => Transport::Udp,
            named => named,
        };
        let client = match rtsp.client {
            // Over UDP retina has what the kernel's default buffer holds, and puts no packets in order.
            RtspClient::Auto if self.ffmpeg_only || transport == Transport::Udp => RtspClient::Ffmpeg,
            RtspClient::Auto => RtspClient::Retina,
            named => named,
        };
        Way { client, transport }
    }

    /// Takes what a try has shown. Some: there is another way, which is remembered.
    pub(crate) fn learn(&mut self, rtsp: &RtspSource, tried: Way, hint: Hint) -> Option<Way> {
        match hint {
            Hint::NoPacket if self.udp_works => {}
            Hint::TransportRefused | Hint::NoPacket if tried.transport == Transport::Udp => {
                self.tcp_only = true;
            }
            Hint::NotForRetina | Hint::NothingDecoded if tried.client == RtspClient::Retina => {
                self.ffmpeg_only = true;
            }
            _ => {}
        }
        Some(self.way(rtsp)).filter(|way| *way != tried)
    }

    /// Is it known that packets come over UDP?
    pub(crate) fn udp_works(&self) -> bool {
        self.udp_works
    }

    /// The first frame of a session came this way.
    pub(crate) fn had_frame(&mut self, way: Way) {
        self.udp_works |= way.transport == Transport::Udp;
        match way.client {
            RtspClient::Retina => {
                self.retina_plays = true;
                self.doubts = 0;
            }
            _ if self.ffmpeg_only && !self.ffmpeg_plays => {
                self.ffmpeg_plays = true;
                self.doubts += 1;
            }
            _ => {}
        }
    }

    /// A session ended without a frame. Where FFmpeg, which was to do better, has not shown a frame either, the camera was at
    /// fault and not retina: the next session begins with retina again.
    pub(crate) fn had_no_frame(&mut self, way: Way) {
        if way.client == RtspClient::Ffmpeg && !self.ffmpeg_plays {
            self.ffmpeg_only = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(address: &str, client: RtspClient, transport: Transport) -> RtspSource {
        RtspSource {
            address: url::Url::parse(address).unwrap(),
            username: None,
            password: None,
            transport,
            client,
            tls_verify: false,
        }
    }

    const RETINA_TCP: Way = Way { client: RtspClient::Retina, transport: Transport::Tcp };
    const FFMPEG_TCP: Way = Way { client: RtspClient::Ffmpeg, transport: Transport::Tcp };
    const FFMPEG_UDP: Way = Way { client: RtspClient::Ffmpeg, transport: Transport::Udp };

    #[test]
    fn left_to_itself_retina_plays_tcp_and_ffmpeg_the_rest() {
        let way = |address, transport| Choice::default().way(&camera(address, RtspClient::Auto, transport));
        assert_eq!(way("rtsp://h/s", Transport::Tcp), RETINA_TCP);
        assert_eq!(way("rtsp://h/s", Transport::Udp), FFMPEG_UDP);
        for address in ["rtsps://h/s", "http://h/s", "https://h/s"] {
            assert_eq!(way(address, Transport::Auto), FFMPEG_TCP);
        }
    }

    #[test]
    fn udp_comes_first_and_tcp_stays_once_it_was_needed() {
        for hint in [Hint::NoPacket, Hint::TransportRefused] {
            let mut choice = Choice::default();
            let rtsp = camera("rtsp://h/s", RtspClient::Auto, Transport::Auto);
            assert_eq!(choice.way(&rtsp), FFMPEG_UDP);
            assert_eq!(choice.learn(&rtsp, FFMPEG_UDP, hint), Some(RETINA_TCP));
            assert_eq!(choice.way(&rtsp), RETINA_TCP);
            assert_eq!(choice.learn(&rtsp, RETINA_TCP, hint), None, "there is no third way");
        }
    }

    #[test]
    fn what_retina_cannot_play_goes_to_ffmpeg_for_good() {
        for hint in [Hint::NotForRetina, Hint::NothingDecoded] {
            let mut choice = Choice::default();
            let rtsp = camera("rtsp://h/s", RtspClient::Auto, Transport::Tcp);
            assert_eq!(choice.learn(&rtsp, RETINA_TCP, hint), Some(FFMPEG_TCP));
            assert_eq!(choice.learn(&rtsp, FFMPEG_TCP, hint), None);
        }
    }

    #[test]
    fn udp_that_has_worked_is_not_given_up_for_a_silence() {
        let mut choice = Choice::default();
        let rtsp = camera("rtsp://h/s", RtspClient::Auto, Transport::Auto);
        choice.had_frame(FFMPEG_UDP);
        assert!(choice.udp_works());
        assert_eq!(choice.learn(&rtsp, FFMPEG_UDP, Hint::NoPacket), None);
        assert_eq!(choice.way(&rtsp), FFMPEG_UDP);
        // A camera that says that it has it no more is believed.
        assert_eq!(choice.learn(&rtsp, FFMPEG_UDP, Hint::TransportRefused), Some(RETINA_TCP));
    }

    #[test]
    fn ffmpeg_that_plays_no_better_is_forgotten_and_one_that_plays_is_kept() {
        let mut choice = Choice::default();
        let rtsp = camera("rtsp://h/s", RtspClient::Auto, Transport::Tcp);
        assert_eq!(choice.learn(&rtsp, RETINA_TCP, Hint::NothingDecoded), Some(FFMPEG_TCP));
        choice.had_no_frame(FFMPEG_TCP);
        assert_eq!(choice.way(&rtsp), RETINA_TCP);
        assert_eq!(choice.learn(&rtsp, RETINA_TCP, Hint::NothingDecoded), Some(FFMPEG_TCP));
        choice.had_frame(FFMPEG_TCP);
        choice.had_no_frame(FFMPEG_TCP);
        assert_eq!(choice.way(&rtsp), FFMPEG_TCP, "the camera was away, that is all");
    }

    #[test]
    fn where_retina_has_played_one_bad_answer_takes_nothing_from_it_and_three_sessions_do() {
        let mut choice = Choice::default();
        let rtsp = camera("rtsp://h/s", RtspClient::Auto, Transport::Tcp);
        choice.begin();
        choice.had_frame(RETINA_TCP);
        for _ in 0..DOUBTS_LIMIT {
            choice.begin();
            assert_eq!(choice.way(&rtsp), RETINA_TCP);
            assert_eq!(choice.learn(&rtsp, RETINA_TCP, Hint::NotForRetina), Some(FFMPEG_TCP));
            choice.had_frame(FFMPEG_TCP);
        }
        choice.begin();
        assert_eq!(choice.way(&rtsp), FFMPEG_TCP, "it is another camera now");

        // One that merely started: the next session is retina's, and forgets the doubt.
        let mut choice = Choice::default();
        for _ in 0..10 {
            choice.begin();
            choice.had_frame(RETINA_TCP);
            choice.begin();
            assert_eq!(choice.learn(&rtsp, RETINA_TCP, Hint::NotForRetina), Some(FFMPEG_TCP));
            choice.had_frame(FFMPEG_TCP);
        }
        choice.begin();
        assert_eq!(choice.way(&rtsp), RETINA_TCP);
    }

    #[test]
    fn what_the_operator_named_is_never_changed() {
        for client in [RtspClient::Retina, RtspClient::Ffmpeg] {
            for transport in [Transport::Tcp, Transport::Udp] {
                let rtsp = camera("rtsp://h/s", client, transport);
                let mut choice = Choice::default();
                let way = Way { client, transport };
                for hint in [Hint::TransportRefused, Hint::NoPacket, Hint::NotForRetina, Hint::NothingDecoded]
                {
                    assert_eq!(choice.learn(&rtsp, way, hint), None);
                    assert_eq!(choice.way(&rtsp), way);
                }
            }
        }
    }
}
