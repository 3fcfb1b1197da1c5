//! What is done to a camera, and what has to come of it.
//!
//! Every row begins with three cameras whose frames come, unless it says otherwise, and ends with [`Stage::conclude`], which
//! checks what holds for every fault. Bounds are wide: they tell a server that comes back from one that does not, not a fast
//! machine from a slow one. What a machine that stands still for some seconds can bring about by itself is asked by [`in_time`], and
//! such a row is played again; all else is asked by [`holds`].

use crate::stage::{Client, FAULTY, Played, Scheme, Setup, Stage, holds, in_time};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use vas_shm_reader::ColorRange;
use vas_test_camera::{AuthScheme, Clip, Options, TestCamera};

/// From the loss of a camera that is there again to its frames: the first wait of a second, a connection, a keyframe. With room
/// for a machine on which ten other processes decode.
const SOON: Duration = Duration::from_secs(40);

/// The server waits minutes before it tries a refused password again; a camera that was merely lost is tried thrice in this
/// time.
const OBSERVED: Duration = Duration::from_secs(8);

/// The time given to the camera where its fault is no silence. A server that was itself kept from running for as long as a time-out
/// takes the camera for silent.
const PATIENT_MS: u64 = 20_000;
/// The longest that a configuration may give: whatever ends within a test did not wait for it.
const ENDLESS_MS: u64 = 600_000;

/// After ten seconds of frames the next loss counts as the first one: a connection of less than this is far from it, ...
const NOT_YET_STABLE: Duration = Duration::from_secs(9);
/// ... and frames for so long without a pause are beyond it.
const SURELY_STABLE: Duration = Duration::from_secs(15);

/// A thing that a camera does.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Also in the short form.
    pub(crate) quick: bool,
    pub(crate) setup: fn() -> Setup,
    pub(crate) play: fn(&mut Stage<'_>) -> Played,
}

/// The camera says or does something: it is not waited for.
fn plain() -> Setup {
    Setup { timeout_ms: PATIENT_MS, ..Setup::default() }
}

fn large() -> Setup {
    Setup { clips: &["h264.h264"], ..plain() }
}

/// The camera says nothing, or nothing that can be used: the server has to find out by its time-outs, which are short.
fn silent() -> Setup {
    Setup::default()
}

/// MJPEG is not left to retina, whatever the configuration says.
const WITHOUT_RETINA: &[Client] = &[Client::Ffmpeg, Client::Auto];
/// What is not RTSP over a bare connection is FFmpeg's alone, and no configuration may say otherwise.
const FFMPEG_ALONE: &[Client] = &[Client::Ffmpeg];

fn mjpeg() -> Setup {
    Setup { clips: &["yard.mjpeg"], clients: WITHOUT_RETINA, ..plain() }
}

/// MJPEG over HTTP.
fn http() -> Setup {
    Setup { clips: &["yard.mjpeg"], clients: FFMPEG_ALONE, scheme: Scheme::Http, ..plain() }
}

/// RTSP within TLS.
fn rtsps() -> Setup {
    Setup {
        clients: FFMPEG_ALONE,
        scheme: Scheme::Rtsps,
        without_farewell: Some("FFmpeg's TLS is of no use any more once a read was interrupted"),
        ..plain()
    }
}

/// The clip of whose pictures half are such as no other refers to.
const BIKES: &str = "bikes.h264";
/// The clip of whose pictures every so many-th is a keyframe.
const YARD: (&str, usize) = ("yard.h264", 25);
/// So fast that there are four keyframes a second.
const FAST_FPS: f64 = 100.0;

/// All of them, in the order of the table.
pub(crate) const ALL: &[Fault] = &[
    Fault { name: "drop", what: "closes the connection", quick: true, setup: plain, play: drop_connection },
    Fault {
        name: "freeze",
        what: "sends no more video; RTSP and RTCP stay alive",
        quick: true,
        setup: silent,
        play: freeze,
    },
    Fault { name: "hang", what: "sends nothing and answers nothing", quick: true, setup: silent, play: hang },
    Fault {
        name: "slow-answers",
        what: "answers later than the time given to connecting",
        quick: false,
        setup: silent,
        play: slow_answers,
    },
    Fault { name: "reboot", what: "its port is closed for a while", quick: true, setup: plain, play: reboot },
    Fault {
        name: "backoff",
        what: "refuses, comes back, is lost again before and after ten stable seconds",
        quick: true,
        setup: plain,
        play: backoff,
    },
    Fault {
        name: "password-changed",
        what: "answers 401 to the password that was good",
        quick: true,
        setup: plain,
        play: |stage| is_let_alone(stage, "auth digest viewer:another"),
    },
    Fault {
        name: "password-changed-basic",
        what: "the same, and asks for it in base64",
        quick: false,
        setup: plain,
        play: |stage| is_let_alone(stage, "auth basic viewer:another"),
    },
    Fault {
        name: "forbidden",
        what: "answers 403",
        quick: false,
        setup: plain,
        play: |stage| is_let_alone(stage, "answer 403"),
    },
    Fault {
        name: "not-found",
        what: "answers 404 for a while",
        quick: false,
        setup: plain,
        play: |stage| answers_wrongly(stage, "answer 404", "answer 200"),
    },
    Fault {
        name: "unavailable",
        what: "answers 503 for a while",
        quick: false,
        setup: plain,
        play: |stage| answers_wrongly(stage, "answer 503", "answer 200"),
    },
    Fault {
        name: "mirror",
        what: "answers with the user name and password that it was sent",
        quick: true,
        setup: plain,
        play: |stage| answers_wrongly(stage, "mirror on", "mirror off"),
    },
    Fault {
        name: "redirect",
        what: "sends whoever asks to another host",
        quick: true,
        setup: plain,
        play: redirect,
    },
    Fault {
        name: "sdp-codec",
        what: "describes H.265 and sends H.264",
        quick: false,
        setup: silent,
        play: |stage| answers_wrongly(stage, "sdp codec", "sdp right"),
    },
    Fault {
        name: "sdp-audio",
        what: "describes sound and no video",
        quick: false,
        setup: plain,
        play: |stage| answers_wrongly(stage, "sdp audio", "sdp right"),
    },
    Fault {
        name: "sdp-empty",
        what: "describes nothing",
        quick: false,
        setup: plain,
        play: |stage| answers_wrongly(stage, "sdp empty", "sdp right"),
    },
    Fault {
        name: "sdp-garbage",
        what: "describes nonsense",
        quick: true,
        setup: plain,
        play: |stage| answers_wrongly(stage, "sdp garbage", "sdp right"),
    },
    Fault {
        name: "garbage-answers",
        what: "answers with bytes that are no RTSP",
        quick: true,
        setup: silent,
        play: |stage| answers_wrongly(stage, "scramble on", "scramble off"),
    },
    Fault {
        name: "garbage-stream",
        what: "512 bytes of garbage between two packets on TCP",
        quick: false,
        setup: || Setup { clips: &["h264.h264"], ..silent() },
        play: garbage_in_stream,
    },
    Fault {
        name: "resolution",
        what: "changes its resolution in mid-stream, there and back",
        quick: true,
        setup: || Setup { clips: &["yard.h264", "h264.h264"], ..plain() },
        play: resolution,
    },
    Fault {
        name: "codec",
        what: "changes from H.264 to H.265 and back",
        quick: true,
        setup: || Setup { clips: &["h264.h264", "h265.h265"], ..plain() },
        play: codec,
    },
    Fault {
        name: "colour",
        what: "changes from limited to full range in mid-stream",
        quick: false,
        setup: || Setup { clips: &["limited_range.h264", "full_range.h264"], ..plain() },
        play: colour,
    },
    Fault {
        name: "too-large",
        what: "changes to a size beyond max_pixels, and back",
        quick: false,
        setup: || Setup { clips: &["yard.h264", "h264.h264"], keys: "max_pixels = 100000\n", ..silent() },
        play: too_large,
    },
    Fault {
        name: "slow-fps",
        what: "goes from 25 to 5 fps and back",
        quick: false,
        setup: plain,
        play: slow_fps,
    },
    Fault {
        name: "jump",
        what: "its timestamps leap ten seconds back and an hour ahead",
        quick: true,
        setup: plain,
        play: |stage| goes_on(stage, &["jump -10000", "jump 3600000"]),
    },
    Fault {
        name: "same-time",
        what: "sends the same timestamp twice",
        quick: false,
        setup: plain,
        play: |stage| goes_on(stage, &["dup", "dup"]),
    },
    Fault {
        name: "wrong-clock",
        what: "its wall clock is decades wrong, and then corrected",
        quick: true,
        setup: || Setup { rtcp_interval_ms: 100, ..plain() },
        play: |stage| goes_on(stage, &["clock -1500000000", "clock 1000000000", "clock 0"]),
    },
    Fault {
        name: "loss-h264",
        what: "3 % of its UDP packets are lost",
        quick: true,
        setup: || Setup { transport: "udp", ..large() },
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "loss-h265",
        what: "the same with H.265, whose decoder marks nothing",
        quick: false,
        setup: || Setup { clips: &["h265.h265"], transport: "udp", ..plain() },
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "loss-tcp",
        what: "3 % of its packets never reach the TCP connection (a camera that is overloaded)",
        quick: false,
        setup: large,
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "corrupt-h264",
        what: "a byte is wrong in 3 % of its packets",
        quick: true,
        // A changed byte may well decode, and then nothing tells: neither H.264 nor TCP between two healthy hosts looks twice.
        setup: || Setup { silent_percent: 5, ..large() },
        play: |stage| is_damaged(stage, "corrupt 30", "corrupt 0"),
    },
    Fault {
        name: "reorder",
        what: "10 % of its UDP packets come after the next one",
        quick: false,
        setup: || Setup { transport: "udp", ..large() },
        play: |stage| goes_on(stage, &["reorder 100"]),
    },
    Fault {
        name: "nothing-decodable",
        what: "a byte is wrong in every packet",
        quick: true,
        setup: || Setup { silent_percent: 5, ..silent() },
        play: nothing_decodable,
    },
    Fault {
        name: "udp-refused",
        what: "answers 461 to UDP, which the configuration wants",
        quick: false,
        setup: || Setup { transport: "udp", ..plain() },
        play: |stage| answers_wrongly(stage, "udp refuse", "udp on"),
    },
    Fault {
        name: "udp-mute",
        what: "promises UDP and sends nothing by it",
        quick: false,
        setup: || Setup { transport: "udp", ..silent() },
        play: |stage| answers_wrongly(stage, "udp mute", "udp on"),
    },
    Fault {
        name: "auto-refused",
        what: "answers 461 to UDP; transport = auto",
        quick: false,
        setup: || Setup { transport: "auto", before: &["udp refuse"], ..plain() },
        play: switches_to_tcp,
    },
    Fault {
        name: "auto-mute",
        what: "promises UDP and sends nothing by it; transport = auto",
        quick: true,
        setup: || Setup { transport: "auto", before: &["udp mute"], ..silent() },
        play: switches_to_tcp,
    },
    Fault {
        name: "nobody-there",
        what: "further cameras: a closed port, a host without a name, one that never answers",
        quick: true,
        setup: || Setup { others: nobodies, ..plain() },
        play: nobody_there,
    },
    Fault {
        name: "stop-while-hanging",
        what: "the server is stopped while the camera hangs",
        quick: true,
        setup: || Setup { timeout_ms: ENDLESS_MS, ..plain() },
        play: stop_while_hanging,
    },
    Fault {
        name: "stop-while-opening",
        what: "the server is stopped while it waits for an answer",
        quick: false,
        setup: || Setup { timeout_ms: ENDLESS_MS, ..plain() },
        play: stop_while_opening,
    },
    Fault {
        name: "one-bad-answer",
        what: "answers 400 once; rtsp_client = auto",
        quick: true,
        setup: || Setup { clients: &[Client::Auto], ..plain() },
        play: one_bad_answer,
    },
    Fault {
        name: "ssrc",
        what: "begins another sequence of packets, with another SSRC, in mid-stream",
        quick: true,
        setup: plain,
        play: new_sequence,
    },
    Fault {
        name: "cut",
        what: "a picture breaks off in the midst of a unit, and no sequence number is missing",
        quick: false,
        setup: large,
        play: |stage| breaks_off(stage, "cut", "timestamp changed from "),
    },
    Fault {
        name: "tear",
        what: "the parts of a unit have two timestamps",
        quick: false,
        setup: || Setup { panics_of_retina: 1, ..large() },
        play: |stage| breaks_off(stage, "tear", "made retina panic"),
    },
    Fault {
        name: "sever",
        what: "closes the connection in the midst of a packet",
        quick: true,
        setup: large,
        play: severed,
    },
    Fault {
        name: "claim-ssrc",
        what: "names an SSRC that none of its packets has",
        quick: false,
        setup: || Setup { clients: &Client::ALL, ..plain() },
        play: wrong_ssrc,
    },
    Fault {
        name: "claim-sequence",
        what: "names a sequence number that is far from its first one",
        quick: false,
        setup: || Setup { clients: &Client::ALL, ..plain() },
        play: wrong_sequence,
    },
    Fault {
        name: "nonces",
        what: "its nonces are good for one request, and then stale",
        quick: false,
        setup: || Setup { clients: &Client::ALL, auth: Some(AuthScheme::Digest), ..plain() },
        play: stale_nonces,
    },
    Fault {
        name: "codec-mjpeg",
        what: "changes from H.264 to MJPEG and back",
        quick: false,
        setup: || Setup { clips: &["yard.h264", "yard.mjpeg"], clients: &Client::ALL, ..plain() },
        play: codec_mjpeg,
    },
    Fault {
        name: "mjpeg-drop",
        what: "sends MJPEG by RTSP, and closes the connection",
        quick: false,
        setup: mjpeg,
        play: drop_connection,
    },
    Fault {
        name: "mjpeg-loss",
        what: "sends MJPEG by RTSP, and 3 % of its UDP packets are lost",
        quick: false,
        setup: || Setup { clients: FFMPEG_ALONE, transport: "udp", ..mjpeg() },
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "mjpeg-loss-tcp",
        what: "sends MJPEG by RTSP, and 3 % of its packets never reach the TCP connection",
        quick: false,
        setup: mjpeg,
        play: mjpeg_loss_tcp,
    },
    Fault {
        name: "http-drop",
        what: "sends MJPEG by HTTP, and closes the connection",
        quick: true,
        setup: http,
        play: |stage| {
            is_lost_and_back(stage)?;
            in_time(stage.was_stalled(), || "readers were not told \"stalled\"".into())?;
            came_soon(stage)
        },
    },
    Fault {
        name: "http-hang",
        what: "sends MJPEG by HTTP, then nothing, and answers nothing",
        quick: false,
        setup: || Setup { timeout_ms: silent().timeout_ms, ..http() },
        play: hang,
    },
    Fault {
        name: "http-sever",
        what: "sends MJPEG by HTTP, and closes the connection in the midst of a picture",
        quick: false,
        setup: http,
        play: severed,
    },
    Fault {
        name: "http-garbage",
        what: "sends MJPEG by HTTP, and 512 bytes of garbage between two pictures",
        quick: false,
        setup: || Setup { timeout_ms: silent().timeout_ms, ..http() },
        play: garbage_in_stream,
    },
    Fault {
        name: "http-unavailable",
        what: "answers 503 to HTTP for a while",
        quick: false,
        setup: http,
        play: |stage| answers_wrongly(stage, "answer 503", "answer 200"),
    },
    Fault {
        name: "http-mirror",
        what: "answers HTTP with the user name and password that it was sent",
        quick: false,
        setup: http,
        play: |stage| answers_wrongly(stage, "mirror on", "mirror off"),
    },
    Fault {
        name: "http-password",
        what: "answers 401 by HTTP to the password that was good",
        quick: false,
        setup: http,
        play: |stage| is_let_alone(stage, "auth basic viewer:another"),
    },
    Fault {
        name: "https-sever",
        what: "sends MJPEG by HTTPS, and closes the connection in the midst of a picture",
        quick: false,
        setup: || Setup { scheme: Scheme::Https, ..http() },
        play: severed,
    },
    Fault {
        name: "rtsps-drop",
        what: "encrypted RTSP: closes the connection",
        quick: false,
        setup: rtsps,
        play: drop_connection,
    },
    Fault {
        name: "rtsps-hang",
        what: "encrypted RTSP: sends nothing and answers nothing",
        quick: false,
        setup: || Setup { timeout_ms: silent().timeout_ms, ..rtsps() },
        play: hang,
    },
    Fault {
        name: "rtsps-password",
        what: "encrypted RTSP: answers 401 to the password that was good",
        quick: false,
        setup: rtsps,
        play: |stage| is_let_alone(stage, "auth digest viewer:another"),
    },
    Fault {
        name: "threads-drop",
        what: "decoder_threads = 4: closes the connection",
        quick: false,
        setup: || Setup { keys: "decoder_threads = 4\n", ..plain() },
        play: drop_connection,
    },
    Fault {
        name: "threads-loss",
        what: "decoder_threads = 4: 3 % of its UDP packets are lost",
        quick: false,
        setup: || Setup { keys: "decoder_threads = 4\n", transport: "udp", ..large() },
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "threads-resolution",
        what: "decoder_threads = 4: changes its resolution in mid-stream, there and back",
        quick: false,
        setup: || Setup { clips: &["yard.h264", "h264.h264"], keys: "decoder_threads = 4\n", ..plain() },
        play: resolution,
    },
    Fault {
        name: "skip-nonref-drop",
        what: "skip = nonref: closes the connection",
        quick: false,
        setup: || Setup { clips: &[BIKES], keys: "skip = \"nonref\"\n", ..plain() },
        play: |stage| {
            drop_connection(stage)?;
            leaves_some_out(stage)
        },
    },
    Fault {
        name: "skip-nonref-loss",
        what: "skip = nonref: 3 % of its UDP packets are lost",
        quick: false,
        setup: || Setup { clips: &[BIKES], keys: "skip = \"nonref\"\n", transport: "udp", ..plain() },
        play: |stage| {
            is_damaged(stage, "loss 30", "loss 0")?;
            leaves_some_out(stage)
        },
    },
    Fault {
        name: "skip-keyframes-drop",
        what: "skip = keyframes: closes the connection",
        quick: false,
        setup: || Setup { clips: &[YARD.0], keys: "skip = \"keyframes\"\n", fps: FAST_FPS, ..plain() },
        play: |stage| {
            drop_connection(stage)?;
            has_keyframes_alone(stage)
        },
    },
    Fault {
        name: "skip-keyframes-loss",
        what: "skip = keyframes: 3 % of its UDP packets are lost",
        quick: false,
        setup: || Setup {
            clips: &[YARD.0],
            keys: "skip = \"keyframes\"\n",
            transport: "udp",
            fps: FAST_FPS,
            ..plain()
        },
        play: |stage| {
            is_damaged_among(stage, 20, "loss 30", "loss 0")?;
            has_keyframes_alone(stage)
        },
    },
];

fn came_soon(stage: &Stage<'_>) -> Played {
    stage.status_says("live", |camera| camera["state"] == "live")?;
    let again = stage.told.again.unwrap_or(Duration::MAX);
    in_time(again <= SOON, || format!("frames came again after {again:?}, and {SOON:?} are allowed"))
}

/// The camera closes the connection and can be called again. Counted are the frames behind the next try: readers may still have
/// some of the time before the loss in front of them.
fn is_lost_and_back(stage: &mut Stage<'_>) -> Played {
    let (lost, tries) = (Instant::now(), stage.tries());
    stage.command("drop")?;
    stage.until_tries(tries + 1)?;
    let tried = lost.elapsed();
    stage.heal("")?;
    stage.told.again = stage.told.again.map(|again| tried + again);
    Ok(())
}

fn drop_connection(stage: &mut Stage<'_>) -> Played {
    is_lost_and_back(stage)?;
    // It was away for a second. A reader that stood still for all of it was told nothing.
    in_time(stage.was_stalled(), || "readers were not told \"stalled\"".into())?;
    came_soon(stage)?;
    in_time(stage.tries() == 1, || format!("{} connections for one loss", stage.tries()))
}

fn freeze(stage: &mut Stage<'_>) -> Played {
    let torn_down = stage.stats().torn_down;
    stage.command("freeze")?;
    // The watchdog counts decoded frames: RTCP goes on, and answers too.
    stage.until_tries(1)?;
    stage.is_stalled()?;
    stage.until("the frozen session gets its TEARDOWN", |stage| stage.stats().torn_down > torn_down)?;
    stage.is_told_away()?;
    stage.until_tries(2)?;
    stage.heal("resume")?;
    came_soon(stage)
}

fn hang(stage: &mut Stage<'_>) -> Played {
    stage.command("hang")?;
    stage.until_tries(2)?;
    stage.is_stalled()?;
    stage.is_told_away()?;
    stage.heal("resume")?;
    came_soon(stage)
}

fn slow_answers(stage: &mut Stage<'_>) -> Played {
    stage.command("delay 600000")?;
    stage.command("drop")?;
    stage.until_tries(2)?;
    stage.is_stalled()?;
    stage.command("delay 0")?;
    stage.heal("drop")?;
    came_soon(stage)
}

fn reboot(stage: &mut Stage<'_>) -> Played {
    stage.command("power off")?;
    stage.until_troubles(2)?;
    stage.is_stalled()?;
    stage.is_told_away()?;
    stage.heal("power on")?;
    came_soon(stage)
}

/// The waits before the next tries, in seconds, as the server's lines have them.
fn waits_said(lines: &[String]) -> Vec<f64> {
    let wait = |line: &String| line.rsplit_once("trying again in ")?.1.split(' ').next()?.parse::<f64>().ok();
    lines.iter().filter_map(wait).collect()
}

/// The same, once there are so many.
fn until_said(stage: &Stage<'_>, count: usize) -> Played<Vec<f64>> {
    stage.until(&format!("the server says that it waits, {count} times"), |stage| {
        waits_said(&stage.lines()).len() >= count
    })?;
    Ok(waits_said(&stage.lines()))
}

/// The wait before try `number` (from 0) is said to be so many seconds, less the quarter that its jitter may take.
fn is_said(number: usize, said_s: f64, full_s: f64) -> Played {
    holds(said_s >= 0.75 * full_s && said_s <= full_s, || {
        format!("wait {number} is said to be {said_s} s, and about {full_s} s are expected")
    })
}

/// The try did not come before its time; tenths are rounded up where they are said. How much later it came is the machine's doing.
fn is_kept(number: usize, waited: Duration, said_s: f64) -> Played {
    in_time(waited.as_secs_f64() >= said_s - 0.1, || {
        format!("try {number} came after {waited:?}, and {said_s} s were said")
    })
}

fn backoff(stage: &mut Stage<'_>) -> Played {
    let started = stage.stats().attempts.len();
    stage.command("refuse")?;
    let mut lost_at = stage.uptime();
    stage.command("drop")?;
    stage.until_tries(2)?;
    stage.command("accept")?;
    stage.heal("")?;
    let attempts = stage.stats().attempts[started..].to_vec();
    in_time(attempts.len() == 3, || format!("{} tries, and three are expected", attempts.len()))?;
    let said = until_said(stage, 3)?;
    for (number, full_s) in [1.0, 2.0, 4.0].into_iter().enumerate() {
        is_said(number, said[number], full_s)?;
        is_kept(number, attempts[number].saturating_sub(lost_at), said[number])?;
        lost_at = attempts[number];
    }

    // Lost again at once: a connection and a few frames are no reason to begin again with one second.
    let (connected_at, cut_at) = (attempts[2], stage.uptime());
    stage.command("drop")?;
    let said = until_said(stage, 4)?;
    let lasted = stage.uptime().saturating_sub(connected_at);
    in_time(lasted < NOT_YET_STABLE, || format!("it lasted for {lasted:?}, which may count as stable"))?;
    is_said(3, said[3], 8.0)?;
    stage.until_tries(4)?;
    stage.heal("")?;
    let attempts = stage.stats().attempts[started..].to_vec();
    in_time(attempts.len() == 4, || format!("{} tries, and four are expected", attempts.len()))?;
    is_kept(3, attempts[3].saturating_sub(cut_at), said[3])?;

    // Ten stable seconds are one.
    stage.until(&format!("{SURELY_STABLE:?} of frames without a pause"), |stage| {
        stage.steady() >= SURELY_STABLE
    })?;
    let (number, cut_at) = (stage.tries(), stage.uptime());
    stage.command("drop")?;
    let said = until_said(stage, number + 1)?;
    is_said(number, said[number], 1.0)?;
    stage.until_tries(number + 1)?;
    stage.heal("")?;
    let tried_at = stage.stats().attempts.last().copied().unwrap_or_default();
    is_kept(number, tried_at.saturating_sub(cut_at), said[number])?;
    let shown: Vec<String> = said[..number].iter().map(f64::to_string).collect();
    stage.told.note = format!("waits: {} s; after stable frames {} s again", shown.join(", "), said[number]);
    Ok(())
}

/// Credentials that are refused are not tried again for minutes: trying them again and again locks accounts.
fn is_let_alone(stage: &mut Stage<'_>, line: &str) -> Played {
    let wrong = stage.stats().wrong_passwords;
    stage.command(line)?;
    stage.command("drop")?;
    stage.until_troubles(2)?;
    stage.is_stalled()?;
    // From then on there is no try under way.
    stage.status_says("auth_failed, with a reason", |camera| {
        camera["state"] == "auth_failed" && camera["reason"].is_string()
    })?;
    let tries = stage.tries();
    in_time(tries <= 2, || format!("{tries} connections until it was understood"))?;
    stage.observe(OBSERVED, "it was tried again within seconds", |stage| stage.tries() > tries)?;
    let wrong = stage.stats().wrong_passwords - wrong;
    in_time(wrong <= 2, || format!("the wrong password was sent {wrong} times"))?;
    stage.told.note = format!("no try in {} s; wrong password sent {wrong} times", OBSERVED.as_secs());
    Ok(())
}

/// It answers wrongly after a loss, twice, and then rightly.
fn answers_wrongly(stage: &mut Stage<'_>, wrong: &str, right: &str) -> Played {
    stage.command(wrong)?;
    stage.command("drop")?;
    // The loss, and what came of the first try.
    stage.until_troubles(2)?;
    stage.is_stalled()?;
    stage.is_told_away()?;
    stage.heal(right)?;
    came_soon(stage)
}

fn redirect(stage: &mut Stage<'_>) -> Played {
    let clip = Clip::load(&vas_e2e::clips::clip("h264.h264").map_err(crate::stage::Why::Skipped)?);
    let clip = clip.map_err(|error| crate::stage::Why::Failed(error.to_string()))?;
    let elsewhere = TestCamera::start(vec![clip], Options::default());
    let elsewhere = elsewhere.map_err(|error| crate::stage::Why::Failed(error.to_string()))?;
    // Another host by its name, and the same machine.
    let (user, password) = (crate::canary::USER, crate::canary::in_url());
    let url = elsewhere.url().replace("127.0.0.1", &format!("{user}:{password}@localhost"));
    stage.command(&format!("redirect {url}"))?;
    stage.command("drop")?;
    stage.until_troubles(2)?;
    stage.is_stalled()?;
    stage.heal("redirect off")?;
    came_soon(stage)?;
    let foreign = stage.frames().into_iter().filter(|seen| seen.frame.width != 320).count();
    holds(foreign == 0, || format!("{foreign} frames of another host were shown"))?;
    let seen = elsewhere.stats();
    stage.told.note = match seen.with_credentials {
        0 => format!("the other host saw {} connections and no password", seen.connections()),
        count => format!("the other host saw credentials in {count} requests"),
    };
    Ok(())
}

fn garbage_in_stream(stage: &mut Stage<'_>) -> Played {
    stage.command("garbage")?;
    stage.heal("")?;
    stage.command("garbage")?;
    let last = Instant::now();
    stage.again(last)
}

fn resolution(stage: &mut Stage<'_>) -> Played {
    stage.command("clip 1")?;
    stage.until_frame("frames of 640x480", |seen| seen.frame.width == 640)?;
    stage.command("clip 0")?;
    let back = Instant::now();
    stage.until_frame("frames of 320x240 again", |seen| seen.at > back && seen.frame.width == 320)?;
    stage.heal("")?;
    stage.has_kept_its_connection()?;
    let generations: std::collections::BTreeSet<u64> =
        stage.notes().frames.iter().map(|seen| seen.frame.generation).collect();
    holds(generations.len() == 3, || format!("{} pairs of files for two changes", generations.len()))
}

fn codec(stage: &mut Stage<'_>) -> Played {
    for (done, line) in ["clip 1", "clip 0"].into_iter().enumerate() {
        stage.command(line)?;
        stage.until_tries(done + 1)?;
        stage.again(Instant::now())?;
    }
    in_time(stage.tries() == 2, || format!("{} connections for two changes", stage.tries()))
}

fn colour(stage: &mut Stage<'_>) -> Played {
    let is_full = |range: ColorRange| range == ColorRange::Full;
    stage.command("clip 1")?;
    stage.until_frame("frames of full range", |seen| is_full(seen.color.range))?;
    stage.command("clip 0")?;
    let back = Instant::now();
    let limited = |seen: &crate::watch::Seen| seen.at > back && !is_full(seen.color.range);
    stage.until_frame("frames of limited range again", limited)?;
    stage.heal("")?;
    stage.has_kept_its_connection()
}

fn too_large(stage: &mut Stage<'_>) -> Played {
    stage.command("clip 1")?;
    // Nothing of it is decoded, so the watchdog barks.
    stage.is_stalled()?;
    stage.heal("clip 0")?;
    came_soon(stage)?;
    let large = stage.frames().iter().filter(|seen| seen.frame.width > 320).count();
    holds(large == 0, || format!("{large} frames beyond max_pixels"))
}

fn slow_fps(stage: &mut Stage<'_>) -> Played {
    stage.command("fps 5")?;
    let slow = Instant::now();
    stage.again(slow)?;
    stage.heal("fps 25")?;
    stage.has_kept_its_connection()
}

/// Nothing comes of it: frames go on, in the same connection.
fn goes_on(stage: &mut Stage<'_>, lines: &[&str]) -> Played {
    for line in lines {
        stage.command(line)?;
        let now = Instant::now();
        stage.again(now)?;
    }
    stage.heal("")?;
    stage.has_kept_its_connection()
}

/// Damaged frames carry the flag, and once nothing is wrong any more frames have none.
fn is_damaged(stage: &mut Stage<'_>, line: &str, end: &str) -> Played {
    is_damaged_among(stage, 100, line, end)
}

/// The same, where frames are few.
fn is_damaged_among(stage: &mut Stage<'_>, frames: usize, line: &str, end: &str) -> Played {
    stage.command(line)?;
    stage.until(&format!("{frames} frames"), |stage| stage.frames().len() >= frames)?;
    stage.until_frame("a frame with the flag", |seen| seen.frame.damaged)?;
    stage.status_says("damaged frames", |camera| camera["counters"]["damaged"].as_u64() > Some(0))?;
    stage.heal(end)?;
    let healed = Instant::now();
    stage.until_frame("frames without the flag again", |seen| seen.at > healed && !seen.frame.damaged)?;
    stage.has_kept_its_connection()
}

fn nothing_decodable(stage: &mut Stage<'_>) -> Played {
    stage.command("corrupt 1000")?;
    // Ten seconds of it at the least: hundreds of packets that cannot be decoded, and no line for each.
    stage.observe(Duration::from_secs(6), "more than forty lines about one camera", |stage| {
        stage.troubles().len() > 40
    })?;
    stage.status_says("packets that were refused, or damaged frames", |camera| {
        let count = |name: &str| camera["counters"][name].as_u64().unwrap_or(0);
        count("decode_errors") + count("damaged") > 0
    })?;
    stage.heal("corrupt 0")?;
    let healed = Instant::now();
    stage.until_frame("frames without the flag again", |seen| seen.at > healed && !seen.frame.damaged)?;
    stage.told.note = format!("{} lines", stage.troubles().len());
    Ok(())
}

/// The stage began with UDP that does not work.
fn switches_to_tcp(stage: &mut Stage<'_>) -> Played {
    let started = Instant::now();
    stage.until("frames by TCP", |stage| stage.notes().frames.len() >= 10)?;
    stage.told.again = Some(started.elapsed());
    stage.until("the switch to TCP is in the log", |stage| {
        let is_told = |line: String| [FAULTY, "udp", "tcp"].iter().all(|word| line.contains(word));
        stage.log().lines().map(str::to_lowercase).any(is_told)
    })
}

/// What the server said each time that frames of the faulty camera began to come.
fn lives(stage: &Stage<'_>) -> Vec<String> {
    let log = stage.log();
    let lines = log.lines().filter(|line| line.contains(FAULTY) && line.contains(" live: "));
    lines.map(str::to_owned).collect()
}

/// One answer that retina makes nothing of: another client may have that session, and retina has the next one again. A camera
/// that is just starting says such things, and the months after it are long.
fn one_bad_answer(stage: &mut Stage<'_>) -> Played {
    stage.command("once 400")?;
    is_lost_and_back(stage)?;
    came_soon(stage)?;
    stage.until("the answer is in the log", |stage| {
        stage.lines().iter().any(|line| ["400", "DESCRIBE"].iter().all(|words| line.contains(words)))
    })?;
    stage.until("it is live a second time", |stage| lives(stage).len() >= 2)?;
    let before = lives(stage);
    is_lost_and_back(stage)?;
    came_soon(stage)?;
    stage.until("it is live once more", |stage| lives(stage).len() > before.len())?;
    let after = lives(stage);
    let is_by_retina = |line: &String| line.contains(" by retina");
    holds(after[before.len()..].iter().all(is_by_retina), || {
        format!("after one bad answer retina does not have it again: {after:?}")
    })?;
    let between = if before.last().is_some_and(is_by_retina) { "retina" } else { "ffmpeg" };
    stage.told.note = format!("the session behind the bad answer was by {between}, the next one by retina");
    Ok(())
}

/// The server has said so since the fault began.
fn is_told(stage: &Stage<'_>, words: &str) -> Played {
    stage.until(&format!("the server says: {words:?}"), |stage| {
        stage.lines().iter().any(|line| line.contains(words))
    })
}

/// The status says that the camera is away, and why; so does the log.
fn is_away_because(stage: &Stage<'_>, words: &str) -> Played {
    stage.status_says(&format!("not live, and {words:?}"), |camera| {
        camera["state"] != "live" && camera["reason"].as_str().is_some_and(|reason| reason.contains(words))
    })?;
    is_told(stage, words)
}

/// Frames come by that client, as the newest session was told: by another way than the frames themselves, and perhaps later.
fn is_live_by(stage: &Stage<'_>, words: &str) -> Played {
    stage.until(&format!("the newest session is by {words}"), |stage| {
        lives(stage).pop().is_some_and(|live| live.contains(&format!(" by {words}")))
    })
}

/// Packets of a sequence that nobody has announced, with lower numbers. Neither client takes any of them, so the camera is connected to
/// anew at once, and not by a deadline, which is far away here.
fn new_sequence(stage: &mut Stage<'_>) -> Played {
    stage.command("ssrc")?;
    stage.until_tries(1)?;
    is_told(
        stage,
        match stage.client {
            Client::Ffmpeg => "began a new sequence of packets in mid-stream",
            _ => "wrong ssrc after ",
        },
    )?;
    stage.heal("")?;
    in_time(stage.was_stalled(), || "readers were not told \"stalled\"".into())?;
    came_soon(stage)?;
    in_time(stage.tries() == 1, || format!("{} connections for one new sequence", stage.tries()))
}

/// A unit that does not go on as it began: retina ends the session with what it found, which is not the camera's end.
fn breaks_off(stage: &mut Stage<'_>, line: &str, words: &str) -> Played {
    stage.command(line)?;
    if stage.client == Client::Ffmpeg {
        stage.heal("")?;
        return stage.has_kept_its_connection();
    }
    stage.until_tries(1)?;
    is_told(stage, words)?;
    stage.heal("")?;
    came_soon(stage)
}

/// The connection ends within a picture: what is left of it is not shown as if it were whole.
fn severed(stage: &mut Stage<'_>) -> Played {
    stage.command("sever")?;
    stage.until_tries(1)?;
    stage.heal("")?;
    in_time(stage.was_stalled(), || "readers were not told \"stalled\"".into())?;
    came_soon(stage)
}

/// FFmpeg's client bears it and retina does not. With retina alone the camera is away for as long as that lasts, and the status says
/// why; left to itself the server takes the other client.
fn wrong_ssrc(stage: &mut Stage<'_>) -> Played {
    stage.command("claim ssrc")?;
    if stage.client == Client::Retina {
        stage.command("drop")?;
        stage.is_stalled()?;
        is_away_because(stage, "wrong ssrc after ")?;
        stage.heal("claim nothing")?;
        return came_soon(stage);
    }
    is_lost_and_back(stage)?;
    came_soon(stage)?;
    is_live_by(stage, "ffmpeg")
}

fn wrong_sequence(stage: &mut Stage<'_>) -> Played {
    stage.command("claim seq")?;
    is_lost_and_back(stage)?;
    came_soon(stage)?;
    in_time(stage.tries() == 1, || format!("{} connections for one loss", stage.tries()))?;
    is_live_by(stage, if stage.client == Client::Ffmpeg { "ffmpeg" } else { "retina" })
}

/// FFmpeg's client asks again with the next nonce. retina cannot, and where it may not be replaced the camera's account comes
/// first: the camera is let alone, though its password was never wrong.
fn stale_nonces(stage: &mut Stage<'_>) -> Played {
    if stage.client == Client::Retina {
        return is_let_alone(stage, "nonces on");
    }
    let wrong = stage.stats().wrong_passwords;
    stage.command("nonces on")?;
    is_lost_and_back(stage)?;
    came_soon(stage)?;
    is_live_by(stage, "ffmpeg")?;
    let wrong = stage.stats().wrong_passwords - wrong;
    holds(wrong == 0, || format!("{wrong} wrong passwords were sent"))
}

fn codec_mjpeg(stage: &mut Stage<'_>) -> Played {
    if stage.client == Client::Retina {
        stage.command("clip 1")?;
        stage.is_stalled()?;
        is_away_because(stage, "rtsp_client = \"ffmpeg\" may play it")?;
        stage.heal("clip 0")?;
        return came_soon(stage);
    }
    stage.command("clip 1")?;
    let is_full = |seen: &crate::watch::Seen| seen.color.range == ColorRange::Full;
    stage.until_frame("frames of full range", is_full)?;
    is_live_by(stage, "ffmpeg, mjpeg 320x240")?;
    let (tries, back) = (stage.tries(), Instant::now());
    stage.command("clip 0")?;
    stage.until_tries(tries + 1)?;
    stage.until_frame("H.264 again", |seen| seen.at > back && !is_full(seen))?;
    stage.heal("")?;
    came_soon(stage)?;
    is_live_by(stage, if stage.client == Client::Ffmpeg { "ffmpeg, h264" } else { "retina, h264" })
}

/// Pictures of which something is missing are left out by FFmpeg's client: none is wrong, and there are fewer.
fn mjpeg_loss_tcp(stage: &mut Stage<'_>) -> Played {
    stage.command("loss 30")?;
    stage.until("a hundred frames", |stage| stage.frames().len() >= 100)?;
    stage.heal("loss 0")?;
    let frames = stage.notes().frames.clone();
    let left_out =
        frames.windows(2).filter(|two| two[1].frame.timestamp_ns - two[0].frame.timestamp_ns > 60_000_000);
    stage.told.note = format!("{} gaps in {} frames", left_out.count(), frames.len());
    stage.has_kept_its_connection()
}

/// Fewer frames came than pictures were sent: `skip` does something.
fn leaves_some_out(stage: &mut Stage<'_>) -> Played {
    let (frames, sent) = (stage.notes().frames.len() as u64, stage.faulty.pictures_sent());
    stage.told.note = format!("{frames} frames of {sent} pictures");
    holds(frames * 4 < sent * 3, || format!("{frames} frames of {sent} pictures: nothing was left out"))
}

/// No frame but keyframes.
fn has_keyframes_alone(stage: &mut Stage<'_>) -> Played {
    let (name, group) = YARD;
    let pictures = stage.pictures(name)?;
    let is_key = |md5: &String| pictures.iter().step_by(group).any(|key| key == md5);
    let others =
        stage.notes().frames.iter().filter(|seen| !seen.frame.damaged && !is_key(&seen.frame.md5)).count();
    stage.told.note =
        format!("{} frames of {} pictures", stage.notes().frames.len(), stage.faulty.pictures_sent());
    holds(others == 0, || format!("{others} frames are no keyframes"))
}

/// Cameras that are not there.
fn nobodies() -> (String, Vec<TcpListener>) {
    let Ok(silent) = TcpListener::bind("127.0.0.1:0") else { return (String::new(), Vec::new()) };
    let Ok(silent_at) = silent.local_addr() else { return (String::new(), Vec::new()) };
    let camera = |id: &str, host: &str| {
        let (user, password) = (crate::canary::USER, crate::canary::in_url());
        format!(
            "[[camera]]\nid = {id:?}\nurl = \"rtsp://{user}:{password}@{host}/cam\"\nopen_timeout_ms = 1500\n"
        )
    };
    let text = [
        camera("silent", &silent_at.to_string()),
        // Where nobody listens; a port that was free a moment ago may be somebody's by now.
        camera("closed", "127.0.0.1:1"),
        camera("nameless", "no-such-camera.invalid"),
    ];
    (text.concat(), vec![silent])
}

fn nobody_there(stage: &mut Stage<'_>) -> Played {
    let told = |stage: &Stage<'_>, id: &str| {
        let about = stage.log();
        about.lines().filter(|line| line.contains(id) && line.contains("WARN")).count()
    };
    for id in ["silent", "closed", "nameless"] {
        stage.until(&format!("the server tells of camera {id} twice"), |stage| told(stage, id) >= 2)?;
    }
    stage.heal("")?;
    stage.has_kept_its_connection()
}

fn stop_while_hanging(stage: &mut Stage<'_>) -> Played {
    stage.command("hang")?;
    stage.stop_early()?;
    // Only now can the camera read what the server said last.
    stage.command("resume")
}

fn stop_while_opening(stage: &mut Stage<'_>) -> Played {
    let opened = stage.stats().opened;
    stage.command("delay 600000")?;
    stage.command("drop")?;
    stage.until_tries(1)?;
    stage.stop_early()?;
    stage.command("delay 0")?;
    stage.command("drop")?;
    let since = stage.stats().opened - opened;
    holds(since == 0, || "a session was opened though nothing was answered".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_from_the_lines_that_tell_of_them() {
        let lines = [
            "WARN camera{id=bad}: rtsp://127.0.0.1:1/cam over tcp: gone; trying again in 0.8 s",
            "INFO camera{id=bad}: live: rtsp://127.0.0.1:1/cam over tcp by retina",
            "WARN camera{id=bad}: trying again at once; trying again in 2 s",
        ];
        assert_eq!(waits_said(&lines.map(str::to_owned)), [0.8, 2.0]);
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_client() {
        for (index, fault) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != fault.name), "{}", fault.name);
            assert!(!(fault.setup)().clients.is_empty(), "{}", fault.name);
        }
    }
}
