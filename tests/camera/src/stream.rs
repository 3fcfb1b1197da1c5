//! The sender of one client: takes pictures from the clip when they are due and sends them, faults included.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::annexb::{Codec, NalRole};
use crate::clip::{Clip, Picture};
use crate::control::{ConnectionId, Control, Faults, State, Udp};
use crate::rtp::{self, SentTotals};
use crate::sdp::ParameterSets;
use crate::server::{Join, Options};

/// The first RTP sequence number of a session: 16 bits overflow within the first seconds, as they do with any camera
/// some day.
pub(crate) const FIRST_SEQUENCE: u16 = u16::MAX - 100;
/// The RTP timestamp when the clock begins: 32 bits overflow after ten seconds, for the same reason.
const FIRST_TIMESTAMP: u32 = u32::MAX - 10 * 90_000;
/// How far sequence numbers go back when they begin anew: so far that no loss can be meant.
const NEW_SEQUENCE_STEP: u16 = 20_000;
/// A picture of more bytes than this has several packets.
const LARGE_BYTES: usize = 1500;
/// Bytes of one helping of garbage.
const GARBAGE_BYTES: usize = 512;

/// Where the packets of a client go.
pub(crate) enum Output {
    /// On the RTSP connection.
    Interleaved { connection: Arc<Mutex<TcpStream>>, rtp_channel: u8 },
    /// Pictures as parts of one endless answer.
    Http { connection: Arc<Mutex<TcpStream>> },
    /// To two ports of the client's.
    Udp { rtp: UdpSocket, rtcp: UdpSocket, rtp_to: SocketAddr, rtcp_to: SocketAddr },
}

impl Output {
    fn is_udp(&self) -> bool {
        matches!(self, Output::Udp { .. })
    }

    /// As they go over the connection; nothing by UDP.
    fn framed(&self, packets: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Output::Interleaved { rtp_channel, .. } => {
                packets.iter().flat_map(|packet| interleaved(*rtp_channel, packet)).collect()
            }
            Output::Http { .. } => packets.iter().flat_map(|picture| part(picture)).collect(),
            Output::Udp { .. } => Vec::new(),
        }
    }

    fn send_rtp(&self, packets: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Output::Interleaved { connection, .. } | Output::Http { connection } => {
                write_to(connection, &self.framed(packets))
            }
            Output::Udp { rtp, rtp_to, .. } => {
                for packet in packets {
                    rtp.send_to(packet, rtp_to).ok(); // what a network does not deliver, no sender hears of
                }
                Ok(())
            }
        }
    }

    /// The first half of what they are, and nothing more.
    fn send_half(&self, packets: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Output::Interleaved { connection, .. } | Output::Http { connection } => {
                let framed = self.framed(packets);
                write_to(connection, &framed[..framed.len() / 2])
            }
            Output::Udp { .. } => Ok(()),
        }
    }

    fn send_rtcp(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Output::Http { .. } => Ok(()),
            Output::Interleaved { connection, rtp_channel } => {
                write_to(connection, &interleaved(rtp_channel + 1, packet))
            }
            Output::Udp { rtcp, rtcp_to, .. } => {
                rtcp.send_to(packet, rtcp_to).ok();
                Ok(())
            }
        }
    }

    fn send_garbage(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Interleaved { connection, .. } | Output::Http { connection } => {
                write_to(connection, bytes)
            }
            Output::Udp { rtp, rtp_to, .. } => {
                rtp.send_to(bytes, rtp_to).ok();
                Ok(())
            }
        }
    }
}

/// A packet on the RTSP connection (RFC 2326 10.12). Packets here are far below 64 KiB.
fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let len = packet.len() as u16;
    [&[b'$', channel], &len.to_be_bytes()[..], packet].concat()
}

/// The words between two pictures of an answer by HTTP.
pub(crate) const BOUNDARY: &str = "picture";

/// A picture as a part of an endless answer (RFC 2046 5.1), as cameras send it.
fn part(picture: &[u8]) -> Vec<u8> {
    let header =
        format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    [header.as_bytes(), picture, b"\r\n"].concat()
}

/// Writes a message to the RTSP connection without another thread's in between.
pub(crate) fn write_to(connection: &Mutex<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    connection.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
}

/// Sends to one client until its connection ends.
pub(crate) fn run(control: &Control, options: &Options, id: ConnectionId, output: &Output) {
    let interval = Duration::from_millis(options.rtcp_interval_ms);
    let mut next_report = (!interval.is_zero()).then(Instant::now);
    let (mut sender, mut next_tick) = {
        let state = control.state();
        let tick = state.clock.tick_at(Instant::now());
        (Sender::new(&state, control, options, id, tick), tick + 1)
    };
    loop {
        let has_more = options.frames.is_none_or(|frames| sender.pictures < frames);
        let Some(mut state) = control.wait_until_due(id, |state| {
            let picture = has_more.then(|| state.clock.instant_of(next_tick));
            [picture, next_report].into_iter().flatten().min()
        }) else {
            return;
        };
        let (now, faults) = (Instant::now(), state.faults);
        let report = next_report.is_some_and(|due| due <= now).then(|| {
            next_report = Some(now + interval);
            let timestamp = wire_timestamp(state.clock.media_at(now), faults);
            rtp::sender_report(sender.ssrc, wall_clock(faults), timestamp, sender.totals)
        });
        let mut picture = None;
        if has_more && state.clock.instant_of(next_tick) <= now {
            picture = sender.next_picture(&mut state, control, next_tick);
            next_tick += 1;
        }
        drop(state); // a client that does not read must not keep the others waiting

        let mut is_severed = false;
        let has_picture = picture.is_some();
        let garbage = sender.next_garbage(faults);
        if faults.hang {
            continue; // without a picture: a camera that hangs takes none
        }
        if faults.udp == Udp::Mute && output.is_udp() {
            control.state().pictures_on_their_way -= u64::from(has_picture);
            continue;
        }
        let sent = report
            .map_or(Ok(()), |report| output.send_rtcp(&report))
            .and_then(|()| garbage.map_or(Ok(()), |garbage| output.send_garbage(&garbage)))
            .and_then(|()| match picture {
                Some((codec, picture, timestamp)) => {
                    let is_last = options.frames.is_some_and(|frames| sender.pictures >= frames);
                    let out_of_band = options.parameter_sets == ParameterSets::OutOfBand;
                    let nals = picture.nals.iter().map(Vec::as_slice);
                    let nals = nals.filter(|nal| !out_of_band || codec.role(nal) != NalRole::ParameterSet);
                    let packets = match output {
                        Output::Http { .. } => nals.map(<[u8]>::to_vec).collect(),
                        _ => {
                            let payloads = rtp::payloads(codec, nals);
                            sender.packets(&payloads, timestamp, faults, output.is_udp(), is_last)
                        }
                    };
                    is_severed = !output.is_udp()
                        && sender.severs_done != faults.severs
                        && packets.iter().map(Vec::len).sum::<usize>() > LARGE_BYTES;
                    if is_severed {
                        return output.send_half(&packets);
                    }
                    output.send_rtp(&packets)
                }
                None => Ok(()),
            });
        if has_picture {
            let mut state = control.state();
            state.pictures_on_their_way -= 1;
            state.pictures_sent += u64::from(sent.is_ok());
        }
        if is_severed && sent.is_ok() {
            control.remove_connection(id);
            return;
        }
        if let Err(error) = sent {
            // Half a packet may be out: nothing behind it would be understood.
            match error.kind() {
                // A client that closes with packets unread says so here first, and only then to whoever reads from it.
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => control.client_left(id),
                _ => {
                    control.remove_connection(id);
                }
            }
            return;
        }
    }
}

/// What this camera takes for the time.
fn wall_clock(faults: Faults) -> SystemTime {
    let error = Duration::from_secs(faults.clock_seconds.unsigned_abs());
    let now = SystemTime::now();
    let wrong = if faults.clock_seconds < 0 { now.checked_sub(error) } else { now.checked_add(error) };
    wrong.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Bytes that are neither a packet nor a message, the same in every run.
pub(crate) fn garbage() -> Vec<u8> {
    Random::new().garbage()
}

fn wire_timestamp(media: f64, faults: Faults) -> u32 {
    FIRST_TIMESTAMP.wrapping_add((media.round() as i64 + faults.jump_ms * 90) as u32) // modulo 2^32, as RTP counts
}

/// Where a client is in the clip, and the state of its RTP session.
struct Sender {
    ssrc: u32,
    sequence: u16,
    totals: SentTotals,
    pictures: u64,
    clip: usize,
    /// Counts the pictures of this session and never goes back; the clip began at `clip_start`.
    index: u64,
    clip_start: u64,
    has_begun: bool,
    timeline: Timeline,
    last_timestamp: Option<u32>,
    dups_done: u64,
    garbage_done: u64,
    ssrcs_done: u64,
    cuts_done: u64,
    tears_done: u64,
    severs_done: u64,
    /// A packet that goes out after the next one.
    held: Option<Vec<u8>>,
    random: Random,
}

impl Sender {
    fn new(state: &State, control: &Control, options: &Options, id: ConnectionId, tick: u64) -> Sender {
        let count = control.clips[state.clip].picture_count() as u64;
        Sender {
            ssrc: 0x5641_5300 + id as u32,
            sequence: FIRST_SEQUENCE,
            totals: SentTotals::default(),
            pictures: 0,
            clip: state.clip,
            index: if options.join == Join::Start { 0 } else { tick % count },
            clip_start: 0,
            has_begun: options.join != Join::Idr,
            timeline: Timeline::default(),
            last_timestamp: None,
            dups_done: state.faults.dups,
            garbage_done: state.faults.garbage,
            ssrcs_done: state.faults.ssrcs,
            cuts_done: state.faults.cuts,
            tears_done: state.faults.tears,
            severs_done: state.faults.severs,
            held: None,
            random: Random::new(),
        }
    }

    /// The picture to send at this tick with its timestamp, if there is one to send.
    fn next_picture<'a>(
        &mut self,
        state: &mut State,
        control: &'a Control,
        tick: u64,
    ) -> Option<(Codec, &'a Picture, u32)> {
        if state.faults.freeze || state.faults.hang {
            return None;
        }
        if self.clip != state.clip {
            self.clip = state.clip;
            self.clip_start = self.index;
            self.has_begun = true; // a clip's first picture is a key picture
        }
        let clip: &Clip = &control.clips[self.clip];
        let picture = clip.picture(self.index - self.clip_start);
        let index = self.index;
        if !self.has_begun && !picture.is_random_access {
            self.index += 1;
            return None;
        }
        self.has_begun = true;
        self.index += 1;
        self.pictures += 1;
        state.pictures_on_their_way += 1;
        let taken = self.timeline.taken_at(index as i64, picture.presentation_delta, tick as i64);
        let mut timestamp = wire_timestamp(state.clock.media_of(taken), state.faults);
        if let (true, Some(last)) = (self.dups_done < state.faults.dups, self.last_timestamp) {
            self.dups_done = state.faults.dups;
            timestamp = last;
        }
        self.last_timestamp = Some(timestamp);
        Some((clip.codec(), picture, timestamp))
    }

    fn next_garbage(&mut self, faults: Faults) -> Option<Vec<u8>> {
        if self.garbage_done == faults.garbage {
            return None;
        }
        self.garbage_done = faults.garbage;
        Some(self.random.garbage())
    }

    /// The packets of a picture that reach the wire, in the order in which they do.
    fn packets(
        &mut self,
        payloads: &[Vec<u8>],
        timestamp: u32,
        faults: Faults,
        may_reorder: bool,
        is_last_picture: bool,
    ) -> Vec<Vec<u8>> {
        if self.ssrcs_done != faults.ssrcs {
            self.ssrcs_done = faults.ssrcs;
            self.ssrc ^= 0xFFFF;
            self.sequence = self.sequence.wrapping_sub(NEW_SEQUENCE_STEP);
        }
        let (mut count, mut torn_behind) = (payloads.len(), payloads.len());
        if let Some(first) = payloads.iter().position(|payload| begins_fragments(payload)) {
            if self.cuts_done != faults.cuts {
                self.cuts_done = faults.cuts;
                count = first + 1;
            }
            if self.tears_done != faults.tears {
                self.tears_done = faults.tears;
                torn_behind = first;
            }
        }
        let mut out = Vec::new();
        for (index, payload) in payloads.iter().enumerate().take(count) {
            let marker = index + 1 == payloads.len();
            let timestamp = timestamp.wrapping_add(u32::from(index > torn_behind));
            let mut packet = rtp::packet(marker, self.sequence, timestamp, self.ssrc, payload);
            self.sequence = self.sequence.wrapping_add(1);
            // All three are drawn for every packet, so that which packets one fault hits does not depend on the others.
            let [lost, corrupted, reordered] = [(); 3].map(|()| self.random.permille());
            if lost < faults.loss_permille {
                continue;
            }
            if corrupted < faults.corrupt_permille {
                let middle = rtp::HEADER_BYTES + payload.len() / 2;
                packet[middle] ^= 0x55;
            }
            self.totals.packets = self.totals.packets.wrapping_add(1);
            self.totals.payload_bytes = self.totals.payload_bytes.wrapping_add(payload.len() as u32);
            if may_reorder && self.held.is_none() && reordered < faults.reorder_permille {
                self.held = Some(packet);
                continue;
            }
            out.push(packet);
            out.extend(self.held.take());
        }
        if is_last_picture {
            out.extend(self.held.take());
        }
        out
    }
}

/// Is it the first fragment of a unit, of H.264 (RFC 6184 5.8) or H.265 (RFC 7798 4.4.3)?
fn begins_fragments(payload: &[u8]) -> bool {
    const START: u8 = 0x80;
    let has_start = |at: usize| payload.get(at).is_some_and(|byte| byte & START != 0);
    match payload.first() {
        Some(byte) if byte & 0x1F == 28 => has_start(1),
        Some(byte) if byte >> 1 & 0x3F == 49 => has_start(2),
        _ => false,
    }
}

/// Turns places in the session's sequence of pictures into ticks of the clock.
///
/// A freeze moves the rest of the sequence to later ticks. Pictures that are shown before one already sent (B-frames)
/// stay with the time before the freeze: timestamps always rise in the order of presentation.
#[derive(Debug, Default)]
struct Timeline {
    offset: Option<i64>,
    offset_before: i64,
    moved_after: i64,
    last_shown: i64,
}

impl Timeline {
    /// The tick at which picture `index`, sent at `tick`, was taken.
    fn taken_at(&mut self, index: i64, presentation_delta: i64, tick: i64) -> i64 {
        let offset = tick - index;
        let place = index + presentation_delta;
        match self.offset {
            None => (self.offset_before, self.moved_after, self.last_shown) = (offset, place - 1, place),
            Some(before) if before != offset => {
                (self.offset_before, self.moved_after) = (before, self.last_shown);
            }
            Some(_) => {}
        }
        self.offset = Some(offset);
        self.last_shown = self.last_shown.max(place);
        place + if place <= self.moved_after { self.offset_before } else { offset }
    }
}

/// Marsaglia's xorshift64: the same faults in every run.
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut garbage: Vec<u8> = (0..GARBAGE_BYTES).map(|_| self.next() as u8).collect();
        garbage[0] = 0xFF; // begins neither a packet ('$') nor a message (a letter)
        garbage
    }

    fn permille(&mut self) -> u32 {
        (self.next() % 1000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender {
            ssrc: 1,
            sequence: FIRST_SEQUENCE,
            totals: SentTotals::default(),
            pictures: 0,
            clip: 0,
            index: 0,
            clip_start: 0,
            has_begun: true,
            timeline: Timeline::default(),
            last_timestamp: None,
            dups_done: 0,
            garbage_done: 0,
            ssrcs_done: 0,
            cuts_done: 0,
            tears_done: 0,
            severs_done: 0,
            held: None,
            random: Random::new(),
        }
    }

    fn sequence(packet: &[u8]) -> u16 {
        u16::from_be_bytes([packet[2], packet[3]]).wrapping_sub(FIRST_SEQUENCE)
    }

    #[test]
    fn lost_packets_leave_a_gap_in_the_sequence_and_runs_lose_the_same() {
        let faults = Faults { loss_permille: 100, ..Faults::default() };
        let run = || sender().packets(&vec![vec![5; 40]; 1000], 0, faults, false, false);
        let packets = run();
        assert!((50..150).contains(&(1000 - packets.len())), "{} of 1000 sent", packets.len());
        assert!(packets.windows(2).all(|two| sequence(&two[0]) < sequence(&two[1])));
        assert_eq!(packets, run());
    }

    #[test]
    fn corruption_changes_one_byte_of_the_payload_and_nothing_else() {
        let payloads = vec![vec![5; 40]; 10];
        let right = sender().packets(&payloads, 0, Faults::default(), false, false);
        let faults = Faults { corrupt_permille: 1000, ..Faults::default() };
        for (right, wrong) in right.iter().zip(sender().packets(&payloads, 0, faults, false, false)) {
            let different: Vec<usize> = (0..right.len()).filter(|&at| right[at] != wrong[at]).collect();
            assert_eq!(different, [rtp::HEADER_BYTES + 20]);
        }
    }

    #[test]
    fn reordering_loses_nothing_and_holds_nothing_back_at_the_end() {
        let faults = Faults { reorder_permille: 200, ..Faults::default() };
        let packets = sender().packets(&vec![vec![5; 40]; 500], 0, faults, true, true);
        let mut order: Vec<u16> = packets.iter().map(|packet| sequence(packet)).collect();
        assert!(order.windows(2).any(|two| two[0] > two[1]));
        order.sort_unstable();
        assert_eq!(order, (0..500).collect::<Vec<u16>>());
        let packets = sender().packets(&vec![vec![5; 40]; 500], 0, faults, false, true);
        assert!(
            packets.windows(2).all(|two| sequence(&two[0]) < sequence(&two[1])),
            "never on a TCP connection"
        );
    }

    #[test]
    fn a_new_sequence_begins_with_a_packet_and_goes_on() {
        let (mut sender, faults) = (sender(), Faults { ssrcs: 1, ..Faults::default() });
        let payloads = vec![vec![5; 40]; 2];
        let mut packets = sender.packets(&payloads, 0, Faults::default(), false, false);
        packets.extend(sender.packets(&payloads, 0, faults, false, false));
        let order: Vec<u16> = packets.iter().map(|packet| sequence(packet)).collect();
        let new = 2_u16.wrapping_sub(NEW_SEQUENCE_STEP);
        assert_eq!(order, [0, 1, new, new + 1]);
        let ssrcs: Vec<&[u8]> = packets.iter().map(|packet| &packet[8..12]).collect();
        assert!(ssrcs[0] == ssrcs[1] && ssrcs[1] != ssrcs[2] && ssrcs[2] == ssrcs[3]);
    }

    #[test]
    fn a_picture_is_cut_or_torn_behind_its_first_fragment_and_only_once() {
        let unit = [[0x65_u8].as_slice(), &[7; 3000]].concat();
        let payloads = rtp::payloads(Codec::H264, [&[9, 0xF0][..], &unit]);
        assert_eq!(payloads.len(), 4);
        let mut cut = sender();
        let faults = Faults { cuts: 1, ..Faults::default() };
        let small = cut.packets(&vec![vec![0x41; 40]; 2], 7, faults, false, false);
        assert_eq!(small.len(), 2, "it waits for a picture that is large enough");
        let packets = cut.packets(&payloads, 7, faults, false, false);
        assert_eq!(packets.iter().map(|packet| packet[1] >> 7).collect::<Vec<_>>(), [0, 0], "and no marker");
        let after = cut.packets(&payloads, 7, faults, false, false);
        assert_eq!((after.len(), sequence(&after[0])), (4, 4), "and no gap");
        let mut torn = sender();
        let faults = Faults { tears: 1, ..Faults::default() };
        let stamps = |packets: Vec<Vec<u8>>| packets.iter().map(|packet| packet[7]).collect::<Vec<_>>();
        assert_eq!(stamps(torn.packets(&payloads, 7, faults, false, false)), [7, 7, 8, 8]);
        assert_eq!(stamps(torn.packets(&payloads, 7, faults, false, false)), [7; 4]);
    }

    #[test]
    fn only_the_last_packet_of_a_picture_has_the_marker() {
        let packets = sender().packets(&vec![vec![5; 40]; 3], 7, Faults::default(), false, false);
        assert_eq!(packets.iter().map(|packet| packet[1] >> 7).collect::<Vec<_>>(), [0, 0, 1]);
    }

    #[test]
    fn timestamps_rise_in_the_order_of_presentation_across_a_freeze() {
        // I P B B P B B with two pictures of reordering, frozen for 100 ticks in the middle of the first group.
        let deltas = [-1, 1, -2, -2, 1, -2, -2].map(|delta| delta - 1);
        let mut timeline = Timeline::default();
        let mut taken: Vec<(i64, i64)> = (0..deltas.len() as i64)
            .map(|index| {
                let tick = 10 + index + if index >= 3 { 100 } else { 0 };
                (index + deltas[index as usize], timeline.taken_at(index, deltas[index as usize], tick))
            })
            .collect();
        taken.sort_unstable();
        let ticks: Vec<i64> = taken.iter().map(|(_, tick)| *tick).collect();
        assert_eq!(ticks, [8, 9, 10, 11, 112, 113, 114]);
    }
}
