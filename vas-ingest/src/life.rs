//! A camera's life as a pure state machine: what happened goes in with its time, what to do comes out. It has no clock, no
//! thread and no randomness, so all of it can be tried in a test.
//!
//! ```text
//!                 Connect                first frame
//!   (start) ---> connecting ------------------------------> live <------.
//!                  ^   |                                     |  no frame | a frame
//!      time, Retry |   | failed                              v  for long |
//!                  |   v                 failed            stalled ------'
//!               backoff  <----------------------------------'
//!               auth failed <- the same, if the camera refuses the credentials
//!
//!   from everywhere: stopped; of files also finished (played to the end) and failed (cannot be played)
//! ```
//!
//! `stalled` is what a look finds while the connection still stands; the connection is given up by its own deadline
//! (`frame_timeout_ms`).

use std::time::Duration;

/// A moment: CLOCK_MONOTONIC, as a frame's `timestamp_ns` is.
pub(crate) type Time = Duration;

/// First wait after a loss; every further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait after a loss.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// First wait after a refusal, twice as long after each further one. Trying wrong credentials again and again locks accounts.
const FIRST_REFUSED_WAIT: Duration = Duration::from_secs(300);
/// Longest wait after a refusal.
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(1800);

/// A camera whose frames came for this long was not a flash in the pan: the next loss starts from the first wait again.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Frames have to be late by at least this much before a camera is called stalled, ...
const SHORTEST_STALL: Duration = Duration::from_secs(2);
/// ... and by this many of their periods.
const STALL_PERIODS: u32 = 2;

/// Where a camera's life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its source is being opened, or was and has not given a frame yet.
    Connecting,
    /// Frames are decoded.
    Live,
    /// The connection stands, and no frame comes out of it.
    Stalled,
    /// Lost; it is tried again after a wait.
    Backoff,
    /// It refuses the credentials; it is tried again after a longer wait.
    AuthFailed,
    /// The server stops, or the camera left the configuration.
    Stopped,
    /// Its file was played to the end.
    Finished,
    /// Its file cannot be played.
    Failed,
}

impl State {
    /// In the order in which they are told.
    pub(crate) const ALL: [Self; 8] = [
        Self::Connecting,
        Self::Live,
        Self::Stalled,
        Self::Backoff,
        Self::AuthFailed,
        Self::Stopped,
        Self::Finished,
        Self::Failed,
    ];

    /// For status and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::Backoff => "backoff",
            Self::AuthFailed => "auth_failed",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Nothing comes after it.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Finished | Self::Failed)
    }
}

/// What kind of trouble ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Unreachable, silent, broken off.
    Lost,
    /// It does not accept the credentials.
    Refused,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The camera's thread begins to open the source.
    Connect,
    /// The newest decoded frame is of this time. May be told more than once, and late.
    Frame(Time),
    /// How far apart frames are to be.
    FramePeriod(Duration),
    /// How far apart they come.
    FrameInterval(Duration),
    /// Time passes.
    Look,
    /// The connection, or the try to make one, ended; the sentence says why and is fit for a log.
    Failed(Trouble, String),
    /// The operator wants it tried now, if it was lost.
    Retry,
    /// A file was played to its end.
    Finished,
    /// A file cannot be played.
    GaveUp(String),
    /// The end.
    Stop,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Nothing,
    /// Frames come: for the first time on this connection, or again after a pause of this length.
    Live(Option<Duration>),
    /// Frames have stopped for this long.
    Stalled(Duration),
    /// Wait for this long, then connect.
    Wait(Duration),
    /// Do not wait any longer.
    Connect,
}

/// One camera's life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// What makes this camera's waits differ from those of others.
    seed: u64,
    state: State,
    since: Time,
    /// Since when it has had no picture, through all its tries; None while it has.
    away_since: Option<Time>,
    /// Why it is in this state.
    reason: Option<String>,
    /// The last trouble, also after it is over.
    last_error: Option<String>,
    last_error_at: Option<Time>,
    retry_at: Option<Time>,
    /// Losses in a row, refusals in a row.
    losses: u32,
    refusals: u32,
    newest_frame: Option<Time>,
    /// Since when frames have come without a stall.
    steady_since: Time,
    frame_period: Duration,
    frame_interval: Duration,
}

impl Life {
    /// A camera that is about to connect. `name`: its id.
    pub(crate) fn new(name: &str, now: Time) -> Self {
        Self {
            // FNV-1a.
            seed: name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
            state: State::Connecting,
            since: now,
            away_since: Some(now),
            reason: None,
            last_error: None,
            last_error_at: None,
            retry_at: None,
            losses: 0,
            refusals: 0,
            newest_frame: None,
            steady_since: now,
            frame_period: Duration::ZERO,
            frame_interval: Duration::ZERO,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// When the state began. Of a camera that is tried again and again: when it was lost, and not when the last try was.
    pub(crate) fn since(&self) -> Time {
        match self.state {
            State::Connecting | State::Backoff | State::AuthFailed => self.away_since.unwrap_or(self.since),
            _ => self.since,
        }
    }

    /// Why it is not live.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The last trouble that it had.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// When that was.
    pub(crate) fn last_error_at(&self) -> Option<Time> {
        self.last_error_at
    }

    /// A camera that is started again at the address and with the credentials with which the one before it was refused: it is
    /// not tried before the other would have been. Each try with a wrong password is one towards a locked account.
    pub(crate) fn inherit_refusals(&mut self, before: &Self) {
        if before.refusals == 0 || before.state.is_over() {
            return;
        }
        self.refusals = before.refusals;
        if before.state == State::AuthFailed {
            self.state = before.state;
            self.reason.clone_from(&before.reason);
            self.last_error.clone_from(&before.last_error);
            (self.since, self.away_since) = (before.since, before.away_since);
            (self.last_error_at, self.retry_at) = (before.last_error_at, before.retry_at);
        }
    }

    /// When it is tried again, while it waits for that.
    pub(crate) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// The newest frame's time.
    #[cfg(test)]
    fn newest_frame(&self) -> Option<Time> {
        self.newest_frame
    }

    /// Without a frame for this long, a live camera is stalled.
    fn stall_after(&self) -> Duration {
        self.frame_period.max(self.frame_interval).saturating_mul(STALL_PERIODS).max(SHORTEST_STALL)
    }

    /// Something happened.
    pub(crate) fn on(&mut self, now: Time, event: Event) -> Effect {
        if self.state.is_over() {
            return Effect::Nothing;
        }
        match event {
            Event::Connect => {
                if matches!(self.state, State::Backoff | State::AuthFailed) {
                    // The reason stays: it says why there is no picture yet.
                    self.enter(State::Connecting, now);
                }
                (self.frame_period, self.frame_interval) = (Duration::ZERO, Duration::ZERO);
                Effect::Nothing
            }
            Event::Frame(at) => self.frame(now, at),
            Event::FramePeriod(period) => {
                self.frame_period = period;
                Effect::Nothing
            }
            Event::FrameInterval(interval) => {
                self.frame_interval = interval;
                Effect::Nothing
            }
            Event::Look => match self.newest_frame {
                Some(newest)
                    if self.state == State::Live && now >= newest.saturating_add(self.stall_after()) =>
                {
                    let silence = now.saturating_sub(newest);
                    self.enter(State::Stalled, now);
                    self.trouble(now, format!("connected, but no frame for {}", seconds(silence)));
                    Effect::Stalled(silence)
                }
                _ => Effect::Nothing,
            },
            Event::Failed(trouble, sentence) => {
                let wait = self.wait_after(trouble);
                self.enter(
                    match trouble {
                        Trouble::Lost => State::Backoff,
                        Trouble::Refused => State::AuthFailed,
                    },
                    now,
                );
                self.trouble(now, sentence);
                self.retry_at = Some(now.saturating_add(wait));
                Effect::Wait(wait)
            }
            Event::Retry => {
                // Not of one that was refused: the same password once more is one try less before the account is locked.
                if self.state != State::Backoff {
                    return Effect::Nothing;
                }
                self.losses = 0;
                self.enter(State::Connecting, now);
                Effect::Connect
            }
            Event::Finished => {
                self.enter(State::Finished, now);
                self.reason = None;
                Effect::Nothing
            }
            Event::GaveUp(sentence) => {
                self.enter(State::Failed, now);
                self.trouble(now, sentence);
                Effect::Nothing
            }
            Event::Stop => {
                self.enter(State::Stopped, now);
                self.reason = None;
                Effect::Nothing
            }
        }
    }

    fn enter(&mut self, state: State, now: Time) {
        match state {
            State::Live => self.away_since = None,
            _ if self.away_since.is_none() => self.away_since = Some(now),
            _ => {}
        }
        self.state = state;
        self.since = now;
        self.retry_at = None;
    }

    fn trouble(&mut self, now: Time, sentence: String) {
        self.reason = Some(sentence.clone());
        self.last_error = Some(sentence);
        self.last_error_at = Some(now);
    }

    fn frame(&mut self, now: Time, at: Time) -> Effect {
        // One of an earlier connection says nothing of this one.
        let is_new = at >= self.since;
        let effect = match self.state {
            State::Connecting if is_new => {
                // It let us in.
                self.refusals = 0;
                Effect::Live(None)
            }
            State::Stalled if is_new => {
                Effect::Live(Some(at.saturating_sub(self.newest_frame.unwrap_or(self.since))))
            }
            State::Live => Effect::Nothing,
            _ => return Effect::Nothing,
        };
        if effect != Effect::Nothing {
            self.enter(State::Live, now);
            self.reason = None;
            self.steady_since = at;
        }
        self.newest_frame = self.newest_frame.max(Some(at));
        if at.saturating_sub(self.steady_since) >= STABLE_AFTER {
            self.losses = 0;
        }
        effect
    }

    /// The wait after one more failure.
    fn wait_after(&mut self, trouble: Trouble) -> Duration {
        let double = |first: Duration, times: u32, longest: Duration| {
            first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(longest)
        };
        match trouble {
            Trouble::Refused => {
                self.refusals = self.refusals.saturating_add(1);
                // Without jitter: what locks an account is the number of tries, not their moment.
                double(FIRST_REFUSED_WAIT, self.refusals - 1, LONGEST_REFUSED_WAIT)
            }
            Trouble::Lost => {
                self.losses = self.losses.saturating_add(1);
                let wait = double(FIRST_WAIT, self.losses - 1, LONGEST_WAIT);
                wait - wait.mul_f64(jitter(self.seed, self.losses) / 4.0)
            }
        }
    }
}

/// A number from 0 up to 1 for a camera's n-th wait.
///
/// Up to a quarter is taken off each wait, so that cameras which were lost together (a switch, a recorder with many channels) do
/// not come back together for ever after. What keeps them apart is that their names differ; it need not be a secret and not
/// change from run to run. So it is made of the name and the number of the try (splitmix64), and a test knows what to expect. Off
/// and not on, so that no wait exceeds what is promised; a quarter and not all of it, so that a camera that is just booting is not
/// hammered.
fn jitter(seed: u64, attempt: u32) -> f64 {
    let mut word = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    // 53 bits fit into an f64.
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// For a sentence.
pub(crate) fn seconds(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lost() -> Event {
        Event::Failed(Trouble::Lost, "it is gone".into())
    }

    fn refused() -> Event {
        Event::Failed(Trouble::Refused, "wrong password".into())
    }

    /// A camera that is live since the tenth second.
    fn live() -> Life {
        let mut life = Life::new("front", s(0));
        assert_eq!(life.on(s(1), Event::Connect), Effect::Nothing);
        assert_eq!(life.on(s(10), Event::Frame(s(10))), Effect::Live(None));
        assert_eq!((life.state(), life.since(), life.reason()), (State::Live, s(10), None));
        life
    }

    /// Full waits, and how much of each is left by the jitter.
    fn waits(life: &mut Life, event: &Event, count: usize) -> Vec<Duration> {
        let mut next = || match life.on(s(1), event.clone()) {
            Effect::Wait(wait) => wait,
            other => panic!("{other:?}"),
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn waits_double_from_one_second_to_one_minute_less_a_quarter_at_most() {
        let found = waits(&mut Life::new("front", s(0)), &lost(), 9);
        for (found, full) in found.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
            assert!(*found <= s(full) && *found > s(full).mul_f64(0.75), "{found:?} of {full} s");
        }
        assert_ne!(found[7], found[8]);
    }

    #[test]
    fn the_jitter_of_a_camera_is_always_the_same_and_keeps_cameras_apart() {
        let of = |name: &str| waits(&mut Life::new(name, s(0)), &lost(), 7);
        assert_eq!(of("front"), of("front"));
        // All of 64 cameras that were lost together come back at moments of their own.
        let mut sums: Vec<_> =
            (0..64).map(|n| of(&format!("cam{n}")).iter().sum::<Duration>().as_millis()).collect();
        sums.sort_unstable();
        sums.dedup();
        assert!(sums.len() >= 62, "{sums:?}");
    }

    #[test]
    fn a_thousand_losses_still_wait_one_minute_at_most() {
        let found = waits(&mut Life::new("front", s(0)), &lost(), 1000);
        assert!(found[6..].iter().all(|wait| (s(45)..=s(60)).contains(wait)));
    }

    #[test]
    fn only_frames_without_a_pause_for_ten_seconds_start_the_waits_again() {
        let mut life = live();
        waits(&mut life, &lost(), 4);
        let fifth = |life: &Life| waits(&mut life.clone(), &lost(), 1)[0];
        // A frame, and nothing more.
        life.on(s(20), Event::Connect);
        life.on(s(21), Event::Frame(s(21)));
        assert!(fifth(&life) > s(8));
        // Two halves of ten seconds with a stall between them.
        life.on(s(30), Event::Frame(s(30)));
        assert_eq!(life.on(s(33), Event::Look), Effect::Stalled(s(3)));
        assert_eq!(life.on(s(34), Event::Frame(s(34))), Effect::Live(Some(s(4))));
        life.on(s(43), Event::Frame(s(43)));
        assert!(fifth(&life) > s(8));
        life.on(s(44), Event::Frame(s(44)));
        assert!(fifth(&life) <= s(1));
    }

    #[test]
    fn refusals_wait_minutes_and_longer_each_time_and_leave_the_other_waits_alone() {
        let mut life = Life::new("front", s(0));
        waits(&mut life, &lost(), 1);
        assert_eq!(waits(&mut life, &refused(), 5), [s(300), s(600), s(1200), s(1800), s(1800)]);
        assert_eq!((life.state(), life.reason()), (State::AuthFailed, Some("wrong password")));
        assert_eq!(life.retry_at(), Some(s(1) + s(1800)));
        let second = waits(&mut life, &lost(), 1)[0];
        assert!(second > s(1) && second <= s(2), "{second:?}");
        // It let us in: the credentials are right by now.
        life.on(s(2), Event::Connect);
        life.on(s(3), Event::Frame(s(3)));
        assert_eq!(waits(&mut life, &refused(), 1), [s(300)]);
    }

    #[test]
    fn a_wish_to_retry_ends_a_wait_after_a_loss_and_none_after_a_refusal() {
        let mut life = live();
        assert_eq!(life.on(s(20), Event::Retry), Effect::Nothing, "nothing to retry");
        waits(&mut life, &lost(), 5);
        assert_eq!(life.on(s(21), Event::Retry), Effect::Connect);
        assert_eq!((life.state(), life.retry_at()), (State::Connecting, None));
        assert!(waits(&mut life, &lost(), 1)[0] <= s(1));
        waits(&mut life, &refused(), 1);
        let before = life.retry_at();
        assert_eq!(life.on(s(22), Event::Retry), Effect::Nothing);
        assert_eq!((life.state(), life.retry_at()), (State::AuthFailed, before));
    }

    #[test]
    fn who_is_away_is_so_since_the_last_picture_whatever_was_tried_meanwhile() {
        let mut life = Life::new("front", s(3));
        // Never seen: since the start.
        for n in 0..60 {
            life.on(s(10 + 20 * n), Event::Connect);
            assert_eq!((life.state(), life.since()), (State::Connecting, s(3)));
            life.on(s(20 + 20 * n), if n % 2 == 0 { lost() } else { refused() });
            assert_eq!(life.since(), s(3));
            assert_eq!(life.last_error_at(), Some(s(20 + 20 * n)));
        }
        life.on(s(3000), Event::Connect);
        life.on(s(3001), Event::Frame(s(3001)));
        assert_eq!((life.state(), life.since()), (State::Live, s(3001)));
        // Seen: since it was lost, the time of a stall included.
        life.on(s(3010), Event::Look);
        assert_eq!((life.state(), life.since()), (State::Stalled, s(3010)));
        life.on(s(3020), lost());
        life.on(s(3021), Event::Connect);
        life.on(s(3040), lost());
        assert_eq!((life.state(), life.since()), (State::Backoff, s(3010)));
        assert_eq!(life.last_error_at(), Some(s(3040)));
    }

    #[test]
    fn a_camera_that_is_started_again_with_the_same_credentials_waits_on_after_a_refusal() {
        let mut before = live();
        waits(&mut before, &refused(), 2);
        let mut life = Life::new("front", s(50));
        life.inherit_refusals(&before);
        assert_eq!((life.state(), life.retry_at()), (State::AuthFailed, before.retry_at()));
        assert_eq!((life.reason(), life.last_error()), (Some("wrong password"), Some("wrong password")));
        assert_eq!(waits(&mut life, &refused(), 1), [s(1200)]);
        // One whose try was on its way: it is tried, and counted with the others.
        before.on(s(60), Event::Connect);
        let mut life = Life::new("front", s(61));
        life.inherit_refusals(&before);
        assert_eq!((life.state(), life.retry_at()), (State::Connecting, None));
        assert_eq!(waits(&mut life, &refused(), 1), [s(1200)]);
        // One that was not refused hands nothing on.
        let mut life = Life::new("front", s(50));
        life.inherit_refusals(&live());
        assert_eq!((life.state(), waits(&mut life, &refused(), 1)), (State::Connecting, vec![s(300)]));
    }

    #[test]
    fn frames_that_stop_are_a_stall_after_two_seconds_or_two_periods_and_end_with_the_next_one() {
        let mut life = live();
        assert_eq!(life.on(s(12) - Duration::from_millis(1), Event::Look), Effect::Nothing);
        assert_eq!(life.on(s(12), Event::Look), Effect::Stalled(s(2)));
        assert_eq!((life.state(), life.reason()), (State::Stalled, Some("connected, but no frame for 2 s")));
        assert_eq!(life.on(s(13), Event::Look), Effect::Nothing, "said once");
        assert_eq!(life.on(s(13), Event::Frame(s(10))), Effect::Nothing, "the same old frame");
        assert_eq!(life.on(s(14), Event::Frame(s(14))), Effect::Live(Some(s(4))));
        assert_eq!((life.state(), life.reason()), (State::Live, None));
        assert_eq!(life.last_error(), Some("connected, but no frame for 2 s"));
        // A camera with a picture every five seconds.
        life.on(s(14), Event::FramePeriod(s(5)));
        assert_eq!(life.on(s(23), Event::Look), Effect::Nothing);
        assert_eq!(life.on(s(24), Event::Look), Effect::Stalled(s(10)));
    }

    #[test]
    fn a_connection_without_a_frame_is_neither_live_nor_stalled() {
        let mut life = live();
        life.on(s(20), lost());
        life.on(s(21), Event::Connect);
        // What a look finds is the frame of the connection before.
        assert_eq!(life.on(s(22), Event::Frame(s(19))), Effect::Nothing);
        assert_eq!(life.on(s(40), Event::Look), Effect::Nothing);
        assert_eq!((life.state(), life.reason()), (State::Connecting, Some("it is gone")));
    }

    #[test]
    fn sentences_have_seconds_as_people_write_them() {
        assert_eq!(seconds(Duration::from_millis(750)), "0.8 s");
        assert_eq!(seconds(Duration::from_millis(1900)), "1.9 s");
        assert_eq!(seconds(s(300)), "300 s");
    }

    /// Events as they may come from two threads in any order, a camera's own and the one that looks.
    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let event = prop_oneof![
            4 => Just(Event::Connect),
            // Filled in below: frames are of now, or older.
            8 => (0_u64..5000).prop_map(|ago| Event::Frame(Duration::from_millis(ago))),
            2 => (0_u64..100_000).prop_map(|ms| Event::FramePeriod(Duration::from_millis(ms))),
            2 => (0_u64..100_000).prop_map(|ms| Event::FrameInterval(Duration::from_millis(ms))),
            8 => Just(Event::Look),
            4 => Just(lost()),
            2 => Just(refused()),
            1 => Just(Event::Retry),
            1 => Just(Event::Finished),
            1 => Just(Event::GaveUp("no video".into())),
            1 => Just(Event::Stop),
        ];
        prop::collection::vec((0_u64..20_000, event), 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_promises_hold(events in events()) {
            let mut life = Life::new("front", s(5));
            let mut now = s(5);
            // A frame of this connection was told.
            let mut has_frame = false;
            let mut connected_at = now;
            for (pause_ms, event) in events {
                now += Duration::from_millis(pause_ms);
                let event = match event {
                    Event::Frame(ago) => Event::Frame(now.saturating_sub(ago)),
                    event => event,
                };
                let before = life.clone();
                let effect = life.on(now, event.clone());
                if let Event::Frame(at) = event {
                    has_frame |= at >= connected_at;
                }
                if life.state() == State::Connecting && before.state() != State::Connecting {
                    (has_frame, connected_at) = (false, now);
                }
                // Never live without a decoded frame, and never for longer than frames may be late.
                prop_assert!(!matches!(life.state(), State::Live | State::Stalled) || has_frame);
                if event == Event::Look && life.state() == State::Live {
                    prop_assert!(now < life.newest_frame().unwrap() + life.stall_after());
                }
                // Every failure leads to a wait, and each wait has an end that is told.
                if before.state().is_over() {
                    prop_assert_eq!(effect, Effect::Nothing);
                    prop_assert_eq!(life.state(), before.state());
                    prop_assert_eq!(life.since(), before.since());
                } else if let Event::Failed(trouble, _) = &event {
                    let Effect::Wait(wait) = effect else { panic!("{effect:?}") };
                    let bounds = match trouble {
                        Trouble::Lost => FIRST_WAIT.mul_f64(0.75)..=LONGEST_WAIT,
                        Trouble::Refused => FIRST_REFUSED_WAIT..=LONGEST_REFUSED_WAIT,
                    };
                    prop_assert!(bounds.contains(&wait), "{:?}", wait);
                    prop_assert_eq!(life.retry_at(), Some(now + wait));
                }
                let waits = matches!(life.state(), State::Backoff | State::AuthFailed);
                prop_assert_eq!(life.retry_at().is_some(), waits);
                // Whoever waits, stalls or failed says why.
                if waits || matches!(life.state(), State::Stalled | State::Failed) {
                    prop_assert!(life.reason().is_some_and(|reason| !reason.is_empty()));
                }
                if life.state() == State::Live {
                    prop_assert_eq!(life.reason(), None);
                }
                // A change of the state is when it was, and who is away is so since he was last seen.
                if life.state() != before.state() {
                    let is_away = |state| matches!(state, State::Connecting | State::Backoff | State::AuthFailed);
                    match (before.state(), life.state()) {
                        (State::Stalled, to) if is_away(to) => prop_assert_eq!(life.since(), before.since()),
                        (from, to) if is_away(from) && is_away(to) => {
                            prop_assert_eq!(life.since(), before.since());
                        }
                        _ => prop_assert_eq!(life.since(), now),
                    }
                }
                // And from everywhere there is a way out.
                let mut stopped = life.clone();
                stopped.on(now, Event::Stop);
                prop_assert!(stopped.state().is_over());
            }
        }
    }
}
