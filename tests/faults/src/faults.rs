//! What is done to a camera, and what has to come of it.
//!
//! Every row begins with three cameras whose frames come, unless it says otherwise, and ends with [`Stage::conclude`], which
//! checks what holds for every fault. Bounds are wide: they tell a server that comes back from one that does not, not a fast
//! machine from a slow one.

use crate::stage::{FAULTY, Played, Setup, Stage, failed, holds};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use vas_shm_reader::ColorRange;
use vas_test_camera::{Clip, Options, TestCamera};

/// From the loss of a camera that is there again to its frames: the first wait of a second, a connection, a keyframe. With room
/// for a machine on which ten other processes decode.
const SOON: Duration = Duration::from_secs(12);

/// The server waits minutes before it tries a refused password again; a camera that was merely lost is tried thrice in this
/// time.
const OBSERVED: Duration = Duration::from_secs(8);

/// A thing that a camera does.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Also in the short form.
    pub(crate) quick: bool,
    pub(crate) setup: fn() -> Setup,
    pub(crate) play: fn(&mut Stage<'_>) -> Played,
}

fn plain() -> Setup {
    Setup::default()
}

fn large() -> Setup {
    Setup { clips: &["h264.h264"], ..Setup::default() }
}

/// All of them, in the order of the table.
pub(crate) const ALL: &[Fault] = &[
    Fault { name: "drop", what: "closes the connection", quick: true, setup: plain, play: drop_connection },
    Fault {
        name: "freeze",
        what: "sends no more video; RTSP and RTCP stay alive",
        quick: true,
        setup: plain,
        play: freeze,
    },
    Fault { name: "hang", what: "sends nothing and answers nothing", quick: true, setup: plain, play: hang },
    Fault {
        name: "slow-answers",
        what: "answers later than the time given to connecting",
        quick: false,
        setup: plain,
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
        setup: plain,
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
        setup: plain,
        play: |stage| answers_wrongly(stage, "scramble on", "scramble off"),
    },
    Fault {
        name: "garbage-stream",
        what: "512 bytes of garbage between two packets on TCP",
        quick: false,
        setup: large,
        play: garbage_in_stream,
    },
    Fault {
        name: "resolution",
        what: "changes its resolution in mid-stream, there and back",
        quick: true,
        setup: || Setup { clips: &["yard.h264", "h264.h264"], ..Setup::default() },
        play: resolution,
    },
    Fault {
        name: "codec",
        what: "changes from H.264 to H.265 and back",
        quick: true,
        setup: || Setup { clips: &["h264.h264", "h265.h265"], ..Setup::default() },
        play: codec,
    },
    Fault {
        name: "colour",
        what: "changes from limited to full range in mid-stream",
        quick: false,
        setup: || Setup { clips: &["limited_range.h264", "full_range.h264"], ..Setup::default() },
        play: colour,
    },
    Fault {
        name: "too-large",
        what: "changes to a size beyond max_pixels, and back",
        quick: false,
        setup: || Setup {
            clips: &["yard.h264", "h264.h264"],
            keys: "max_pixels = 100000\n",
            ..Setup::default()
        },
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
        setup: || Setup { rtcp_interval_ms: 100, ..Setup::default() },
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
        setup: || Setup { clips: &["h265.h265"], transport: "udp", ..Setup::default() },
        play: |stage| is_damaged(stage, "loss 30", "loss 0"),
    },
    Fault {
        name: "loss-tcp",
        what: "3 % of its packets never reach the TCP connection (a camera that is overloaded)",
        quick: false,
        setup: || Setup {
            silent_with_ffmpeg: Some(
                "FFmpeg's client tells of no loss on TCP: wrong pictures cannot be flagged",
            ),
            ..large()
        },
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
        setup: || Setup { silent_percent: 5, ..plain() },
        play: nothing_decodable,
    },
    Fault {
        name: "udp-refused",
        what: "answers 461 to UDP, which the configuration wants",
        quick: false,
        setup: || Setup { transport: "udp", ..Setup::default() },
        play: |stage| answers_wrongly(stage, "udp refuse", "udp on"),
    },
    Fault {
        name: "udp-mute",
        what: "promises UDP and sends nothing by it",
        quick: false,
        setup: || Setup { transport: "udp", ..Setup::default() },
        play: |stage| answers_wrongly(stage, "udp mute", "udp on"),
    },
    Fault {
        name: "auto-refused",
        what: "answers 461 to UDP; transport = auto",
        quick: false,
        setup: || Setup { transport: "auto", before: &["udp refuse"], ..Setup::default() },
        play: switches_to_tcp,
    },
    Fault {
        name: "auto-mute",
        what: "promises UDP and sends nothing by it; transport = auto",
        quick: true,
        setup: || Setup { transport: "auto", before: &["udp mute"], ..Setup::default() },
        play: switches_to_tcp,
    },
    Fault {
        name: "nobody-there",
        what: "further cameras: a closed port, a host without a name, one that never answers",
        quick: true,
        setup: || Setup { others: nobodies, ..Setup::default() },
        play: nobody_there,
    },
    Fault {
        name: "stop-while-hanging",
        what: "the server is stopped while the camera hangs",
        quick: true,
        setup: plain,
        play: stop_while_hanging,
    },
    Fault {
        name: "stop-while-opening",
        what: "the server is stopped while it waits for an answer",
        quick: false,
        setup: plain,
        play: stop_while_opening,
    },
];

fn came_soon(stage: &Stage<'_>) -> Played {
    stage.status_says("live", |camera| camera["state"] == "live")?;
    let again = stage.told.again.unwrap_or(Duration::MAX);
    holds(again <= SOON, || format!("frames came again after {again:?}, and {SOON:?} are allowed"))
}

fn drop_connection(stage: &mut Stage<'_>) -> Played {
    stage.command("drop")?;
    stage.heal("")?;
    stage.is_stalled()?;
    came_soon(stage)?;
    holds(stage.tries() == 1, || format!("{} connections for one loss", stage.tries()))
}

fn freeze(stage: &mut Stage<'_>) -> Played {
    let torn_down = stage.stats().torn_down;
    stage.command("freeze")?;
    // The watchdog counts decoded frames: RTCP goes on, and answers too.
    stage.until_tries(1)?;
    stage.is_stalled()?;
    holds(stage.stats().torn_down > torn_down, || "the frozen session got no TEARDOWN".into())?;
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

/// The wait before try `number` (from 0) is about so many seconds, whatever the jitter.
fn is_about(number: usize, wait: Duration, expected_s: f64) -> Played {
    let seconds = wait.as_secs_f64();
    // Half of it by jitter, and a second for the try itself on a busy machine.
    holds(seconds >= 0.45 * expected_s && seconds <= 1.6 * expected_s + 1.5, || {
        format!("wait {number} was {seconds:.1} s, and about {expected_s} s are expected")
    })
}

fn backoff(stage: &mut Stage<'_>) -> Played {
    let started = stage.stats().attempts.len();
    stage.command("refuse")?;
    stage.command("drop")?;
    stage.until_tries(2)?;
    stage.command("accept")?;
    stage.heal("")?;
    let attempts = stage.stats().attempts[started..].to_vec();
    holds(attempts.len() == 3, || format!("{} tries, and three are expected", attempts.len()))?;
    let waits: Vec<Duration> = attempts.windows(2).map(|two| two[1] - two[0]).collect();
    is_about(2, waits[0], 2.0)?;
    is_about(3, waits[1], 4.0)?;

    // Lost again at once: a connection and a few frames are no reason to begin again with one second.
    let cut_at = stage.uptime();
    stage.command("drop")?;
    let cut = Instant::now();
    stage.again(cut)?;
    let attempts = stage.stats().attempts[started..].to_vec();
    holds(attempts.len() == 4, || format!("{} tries, and four are expected", attempts.len()))?;
    let fourth = attempts[3].saturating_sub(cut_at);
    is_about(4, fourth, 8.0)?;

    // Ten stable seconds are one.
    stage.until("eleven seconds of frames", |stage| stage.resumed().elapsed() > Duration::from_secs(11))?;
    let before = stage.stats().attempts.len();
    stage.command("drop")?;
    let cut = Instant::now();
    stage.until("the next try", |stage| stage.stats().attempts.len() > before)?;
    is_about(5, cut.elapsed(), 1.0)?;
    stage.again(cut)?;
    let shown: Vec<String> =
        waits.iter().chain([&fourth]).map(|wait| format!("{:.1}", wait.as_secs_f64())).collect();
    stage.told.note =
        format!("waits after the first: {} s; after stable frames one second again", shown.join(", "));
    Ok(())
}

/// Credentials that are refused are not tried again for minutes: trying them again and again locks accounts.
fn is_let_alone(stage: &mut Stage<'_>, line: &str) -> Played {
    let wrong = stage.stats().wrong_passwords;
    stage.command(line)?;
    stage.command("drop")?;
    stage.until_troubles(2)?;
    stage.is_stalled()?;
    let tries = stage.tries();
    holds(tries <= 2, || format!("{tries} connections until it was understood"))?;
    stage.status_says("auth_failed, with a reason", |camera| {
        camera["state"] == "auth_failed" && camera["reason"].is_string()
    })?;
    stage.observe(OBSERVED, "it was tried again within seconds", |stage| stage.tries() > tries)?;
    let wrong = stage.stats().wrong_passwords - wrong;
    holds(wrong <= 2, || format!("the wrong password was sent {wrong} times"))?;
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
    for line in ["clip 1", "clip 0"] {
        stage.command(line)?;
        let changed = Instant::now();
        stage.again(changed)?;
    }
    holds(stage.tries() == 2, || format!("{} connections for two changes", stage.tries()))
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
    stage.command(line)?;
    stage.until("a hundred frames", |stage| stage.frames().len() >= 100)?;
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
    let lines = stage.log();
    let told = lines
        .lines()
        .map(str::to_lowercase)
        .any(|line| [FAULTY, "udp", "tcp"].iter().all(|word| line.contains(word)));
    holds(told, || format!("the switch to TCP is not in the log: {lines}"))
}

/// Cameras that are not there.
fn nobodies() -> (String, Vec<TcpListener>) {
    let Ok(silent) = TcpListener::bind("127.0.0.1:0") else { return (String::new(), Vec::new()) };
    // A port where nobody listens any more.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = |address: std::io::Result<std::net::SocketAddr>| {
        address.map_or_else(|_| "127.0.0.1:1".into(), |a| a.to_string())
    };
    let camera = |id: &str, host: &str| {
        let (user, password) = (crate::canary::USER, crate::canary::in_url());
        format!(
            "[[camera]]\nid = {id:?}\nurl = \"rtsp://{user}:{password}@{host}/cam\"\nopen_timeout_ms = 1500\n"
        )
    };
    let text = [
        camera("silent", &address(silent.local_addr())),
        camera("closed", &address(closed)),
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
    stage.command("delay 600000")?;
    stage.command("drop")?;
    stage.until_tries(1)?;
    stage.stop_early()?;
    stage.command("delay 0")?;
    stage.command("drop")?;
    if stage.stats().opened != 1 {
        return failed("a session was opened though nothing was answered");
    }
    Ok(())
}
