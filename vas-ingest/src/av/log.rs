//! FFmpeg's log: its lines into ours, and the packet loss that nothing else tells of.
//!
//! libavformat reports lost RTP packets only as a log line, `RTP: missed %d packets`, on the `AVFormatContext`, and likewise those that
//! it does not take (`RTP: PT=%02x: bad cseq %04x`). So the one callback that a process can have finds the camera by that pointer and
//! counts for it.
//!
//! What a decoder says on threads of its own is said for the camera whose decoder it is, and counts against the same budget: its context
//! carries an address by which the callback finds it ([`Voice`]).
//!
//! Everything above WARNING is dropped before it is even formatted: at TRACE, FFmpeg prints the Authorization header.

use super::interrupt::Interrupt;
use crate::clock;
use crate::redact;
use ffmpeg_sys_next as ff;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// How the format string of the line about lost packets begins (libavformat/rtpdec.c, the same from 5.1 to 7.1).
const LOSS_PREFIX: &str = "RTP: missed ";
/// What the line has in it about a packet that is not taken, because its number is far from those before it (the same place, the same
/// versions): the first one of a sequence that began anew. The ones behind it are.
const DROPPED: &str = ": bad cseq ";

/// The line about a packet whose number is below that of the one before (the same file, from 5.1 to 7.1). FFmpeg drops it.
const LATE_PREFIX: &str = "RTP: dropping old packet received too late";

/// After so many of those, and so long, without a picture, the camera has begun a new sequence of packets, and FFmpeg would drop all of
/// it until its numbers have come round. What merely came twice, or late, has pictures in between.
const MOST_LATE_PACKETS: u64 = 100;
const OUT_OF_STEP_AFTER_NS: u64 = 1_000_000_000;

/// More cannot be missing: FFmpeg refuses a packet that is further ahead (`MAX_DROPOUT`), and says so. Packets of other kinds among the
/// video's, with numbers of their own, make it tell of such gaps.
const MOST_MISSED_PACKETS: u64 = 3000;

/// At most this many lines a camera thread, its decoder's own threads included, in [`BUDGET_TIME`]: a broken stream has one for each slice.
const BUDGET_LINES: u32 = 5;
const BUDGET_TIME: Duration = Duration::from_secs(60);

/// Longest line that is kept.
const LINE_LEN: usize = 1024;

struct Watched {
    /// Address of an `AVFormatContext`, compared and never followed.
    ctx: usize,
    counts: Arc<Counts>,
}

struct Counts {
    lost: AtomicU64,
    /// Since the last picture, which came at that time (CLOCK_MONOTONIC).
    late: AtomicU64,
    picture_ns: AtomicU64,
    interrupt: Arc<Interrupt>,
}

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

/// Counts the RTP packets that one context loses, until it is dropped, and gives its calls up when all that comes is dropped.
pub(super) struct LossWatch {
    counts: Arc<Counts>,
}

impl LossWatch {
    /// Packets lost since the last call.
    pub(super) fn take(&self) -> u64 {
        self.counts.lost.swap(0, Ordering::Relaxed)
    }

    /// A picture came.
    pub(super) fn picture(&self) {
        self.counts.late.store(0, Ordering::Relaxed);
        self.counts.picture_ns.store(clock::monotonic_ns(), Ordering::Relaxed);
    }
}

impl Drop for LossWatch {
    fn drop(&mut self) {
        // By identity, not by address: a freed context's address may already be another's.
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|entry| !Arc::ptr_eq(&entry.counts, &self.counts));
    }
}

/// Is FFmpeg's log read at all? Where it is not, nothing that only it tells is known.
pub(crate) const fn is_read() -> bool {
    cfg!(target_arch = "x86_64")
}

/// From now on, loss that FFmpeg reports on `ctx` is counted. `interrupt` is that of its calls.
pub(super) fn watch_loss(ctx: NonNull<ff::AVFormatContext>, interrupt: &Arc<Interrupt>) -> LossWatch {
    install();
    let counts = Arc::new(Counts {
        lost: AtomicU64::new(0),
        late: AtomicU64::new(0),
        picture_ns: AtomicU64::new(clock::monotonic_ns()),
        interrupt: Arc::clone(interrupt),
    });
    let entry = Watched { ctx: ctx.as_ptr() as usize, counts: Arc::clone(&counts) };
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    LossWatch { counts }
}

/// Takes what a line tells of packets, if it does.
fn count_packets(ctx: usize, line: &str) {
    let lost = match line.strip_prefix(LOSS_PREFIX) {
        Some(rest) => rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(1),
        None if line.starts_with("RTP: ") && line.contains(DROPPED) => 1,
        None if line.starts_with(LATE_PREFIX) => 0,
        None => return,
    };
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    // The newest first: an older entry with this address belongs to a context that is freed already.
    let Some(entry) = watched.iter().rev().find(|entry| entry.ctx == ctx) else { return };
    let counts = &entry.counts;
    if lost >= MOST_MISSED_PACKETS {
        return;
    }
    if lost > 0 {
        counts.lost.fetch_add(lost, Ordering::Relaxed);
        return;
    }
    let late = counts.late.fetch_add(1, Ordering::Relaxed) + 1;
    let time_ns = clock::monotonic_ns().saturating_sub(counts.picture_ns.load(Ordering::Relaxed));
    if late >= MOST_LATE_PACKETS && time_ns >= OUT_OF_STEP_AFTER_NS {
        // FFmpeg hands out what it has of a picture, whose rest was dropped.
        counts.lost.fetch_add(1, Ordering::Relaxed);
        counts.interrupt.give_up();
    }
}

/// For whom a decoder speaks on threads of its own: the camera of the thread that made it.
struct Speaker {
    camera: tracing::Span,
    budget: Arc<Budget>,
    /// Where it was made. What is said there is said within the camera's span already.
    thread: ThreadId,
}

static SPEAKERS: Mutex<Vec<Arc<Speaker>>> = Mutex::new(Vec::new());

/// Lines that FFmpeg says on a context with this address in its `opaque` belong to the camera of the thread that made it, until it is
/// dropped.
pub(super) struct Voice(Arc<Speaker>);

impl Voice {
    /// That of this thread's camera.
    pub(super) fn of_this_thread() -> Self {
        install();
        let speaker = Arc::new(Speaker {
            camera: tracing::Span::current(),
            budget: LINES.with(Arc::clone),
            thread: std::thread::current().id(),
        });
        SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&speaker));
        Self(speaker)
    }

    /// What `opaque` has to be. Compared and never followed.
    pub(super) fn address(&self) -> *mut c_void {
        Arc::as_ptr(&self.0).cast_mut().cast()
    }

    /// Whose address this is, unless what is said on this thread needs no other camera than its own.
    fn behind(address: usize) -> Option<Arc<Speaker>> {
        let speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
        let speaker = speakers.iter().find(|speaker| Arc::as_ptr(speaker) as usize == address)?;
        (speaker.thread != std::thread::current().id()).then(|| Arc::clone(speaker))
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let mut speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
        speakers.retain(|speaker| !Arc::ptr_eq(speaker, &self.0));
    }
}

/// Takes FFmpeg's log over, once per process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the callback has the type that FFmpeg calls, never unwinds, and is a static function.
        unsafe {
            ff::av_log_set_callback(Some(on_line));
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            // The type of va_list differs from machine to machine, and only this one was tried.
            tracing::warn!(
                "FFmpeg's log is not read on this architecture: packet loss that FFmpeg's client meets is noticed by the decoder only"
            );
            // SAFETY: sets an integer of the library's.
            unsafe { ff::av_log_set_level(ff::AV_LOG_QUIET) };
        }
    });
}

/// `av_log_set_callback`'s function. `level` above WARNING never comes past the first line.
///
/// # Safety
/// Called by FFmpeg: `avcl` is null or points to a struct that begins with an `AVClass` pointer, `format` and `arguments`
/// belong together as in `vprintf`.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn on_line(
    avcl: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: *mut ff::__va_list_tag,
) {
    if level > ff::AV_LOG_WARNING || format.is_null() {
        return;
    }
    let mut line: [c_char; LINE_LEN] = [0; LINE_LEN];
    let mut print_prefix: c_int = 1;
    // SAFETY: FFmpeg's own arguments are passed on, once; the line is as long as is said and comes back terminated.
    unsafe {
        ff::av_log_format_line2(
            avcl,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            LINE_LEN as c_int,
            &raw mut print_prefix,
        )
    };
    // SAFETY: zeroed before, and terminated by the call.
    let line = unsafe { CStr::from_ptr(line.as_ptr()) };
    // SAFETY: FFmpeg's own, and alive while it speaks about it.
    let voice = unsafe { voice_of(avcl) };
    // Nothing may unwind into C. A subscriber that panics has nobody left to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        handle_line_of(avcl as usize, voice, level, &line.to_string_lossy());
    }));
}

/// The `opaque` of a codec's context; 0 where FFmpeg speaks about anything else.
///
/// # Safety
/// `avcl` is null or points to a live struct that begins with an `AVClass` pointer, which says what struct it is.
#[cfg(target_arch = "x86_64")]
unsafe fn voice_of(avcl: *const c_void) -> usize {
    if avcl.is_null() {
        return 0;
    }
    // SAFETY: the pointer that each such struct begins with.
    let class = unsafe { avcl.cast::<*const ff::AVClass>().read() };
    // SAFETY: gives the address of a static object.
    if class != unsafe { ff::avcodec_get_class() } {
        return 0;
    }
    // SAFETY: of this class are `AVCodecContext`s alone; the field is set before the codec is opened, and never again.
    unsafe { (*avcl.cast::<ff::AVCodecContext>()).opaque as usize }
}

/// As [`handle_line`], within the span and the budget of the camera that the voice belongs to.
fn handle_line_of(ctx: usize, voice: usize, level: c_int, line: &str) {
    match Voice::behind(voice) {
        None => handle_line(ctx, level, line),
        Some(speaker) => speaker.camera.in_scope(|| told(ctx, level, line, &speaker.budget)),
    }
}

fn handle_line(ctx: usize, level: c_int, line: &str) {
    LINES.with(|budget| told(ctx, level, line, budget));
}

fn told(ctx: usize, level: c_int, line: &str, budget: &Budget) {
    let (component, text) = split_prefix(line.trim_end());
    count_packets(ctx, text);
    if text.is_empty() {
        return;
    }
    if level <= ff::AV_LOG_ERROR && hold(text) {
        return;
    }
    // What FFmpeg calls an error (a slice it could not decode) stops no camera: a warning here. What it calls a warning is a
    // detail.
    if level > ff::AV_LOG_ERROR {
        tracing::debug!(target: "ffmpeg", "{component}: {}", redact::text(text));
        return;
    }
    match budget.take(Instant::now()) {
        Spent::Line { left_out: 0 } => {
            tracing::warn!(target: "ffmpeg", "{component}: {}", redact::text(text));
        }
        Spent::Line { left_out } => {
            tracing::warn!(target: "ffmpeg", "{component}: {} ({left_out} lines before it were left out)", redact::text(text));
        }
        Spent::Nothing => tracing::debug!(target: "ffmpeg", "{component}: {}", redact::text(text)),
    }
}

/// `[h264 @ 0x55d0c0ffee00] text` into `h264` and `text`; contexts within contexts lead to several prefixes.
fn split_prefix(line: &str) -> (&str, &str) {
    let mut component = "ffmpeg";
    let mut text = line;
    while let Some((prefix, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        let Some((name, _address)) = prefix.split_once(" @ ") else { break };
        component = name;
        text = rest;
    }
    (component, text)
}

thread_local! {
    static LINES: Arc<Budget> = Arc::default();
}

thread_local! {
    /// Some: FFmpeg's errors are kept here; the first one of them is.
    static HELD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `call` with FFmpeg's errors held back, and returns the first one: the reason behind a call's bare error code. So a
/// failure is told in one line, and by whoever knows which camera it is.
pub(crate) fn with_errors_held<T>(call: impl FnOnce() -> T) -> (T, Option<String>) {
    /// Also when `call` panics: errors of the thread's next session would be held for nobody otherwise.
    struct LetGo;
    impl Drop for LetGo {
        fn drop(&mut self) {
            HELD.with(RefCell::take);
        }
    }
    HELD.with(|held| held.replace(Some(String::new())));
    let let_go = LetGo;
    let result = call();
    let held = HELD.with(RefCell::take);
    drop(let_go);
    (result, held.filter(|text| !text.is_empty()).map(|text| redact::text(&text)))
}

fn hold(text: &str) -> bool {
    HELD.with(|held| match &mut *held.borrow_mut() {
        None => false,
        Some(first) => {
            if first.is_empty() {
                first.push_str(text);
            }
            true
        }
    })
}

/// Of the camera's own thread and those of its decoder.
#[derive(Default)]
struct Budget(Mutex<Spending>);

#[derive(Default)]
struct Spending {
    since: Option<Instant>,
    used: u32,
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Spent {
    Line { left_out: u64 },
    Nothing,
}

impl Budget {
    fn take(&self, now: Instant) -> Spent {
        let mut spending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spending.since.is_none_or(|since| now.duration_since(since) >= BUDGET_TIME) {
            spending.since = Some(now);
            spending.used = 0;
        }
        if spending.used == BUDGET_LINES {
            spending.left_out += 1;
            return Spent::Nothing;
        }
        spending.used += 1;
        Spent::Line { left_out: std::mem::take(&mut spending.left_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_component_and_text() {
        assert_eq!(
            split_prefix("[h264 @ 0x55d0] error while decoding MB 1 2"),
            ("h264", "error while decoding MB 1 2")
        );
        assert_eq!(split_prefix("[rtsp @ 0x1] [tcp @ 0x2] refused"), ("tcp", "refused"));
        assert_eq!(split_prefix("no prefix"), ("ffmpeg", "no prefix"));
        assert_eq!(split_prefix("[1, 2] is text"), ("ffmpeg", "[1, 2] is text"));
    }

    #[test]
    fn loss_is_counted_for_the_context_that_it_was_reported_on() {
        let (one, other) = (NonNull::<ff::AVFormatContext>::dangling(), 0x1234);
        let watch = watch_loss(one, &Interrupt::new(Arc::default()));
        let ctx = one.as_ptr() as usize;
        handle_line(ctx, ff::AV_LOG_WARNING, "[rtsp @ 0x1] RTP: missed 5 packets\n");
        handle_line(ctx, ff::AV_LOG_WARNING, "[rtsp @ 0x1] RTP: missed 2 packets\n");
        handle_line(other, ff::AV_LOG_WARNING, "[rtsp @ 0x1] RTP: missed 100 packets\n");
        handle_line(ctx, ff::AV_LOG_WARNING, "[rtsp @ 0x1] max delay reached. need to consume packet\n");
        assert_eq!(watch.take(), 7);
        assert_eq!(watch.take(), 0);
        handle_line(ctx, ff::AV_LOG_ERROR, "[rtsp @ 0x1] RTP: PT=60: bad cseq b197 expected=ffb7\n");
        assert_eq!(watch.take(), 1, "a packet that was not taken");
        handle_line(ctx, ff::AV_LOG_WARNING, "[rtsp @ 0x1] RTP: missed 31000 packets\n");
        assert_eq!(watch.take(), 0, "of a packet of another kind, which is skipped");
    }

    #[test]
    fn a_context_at_the_address_of_a_freed_one_gets_its_own_loss() {
        let ctx = NonNull::new(0x4320 as *mut ff::AVFormatContext).unwrap();
        let interrupt = Interrupt::new(Arc::default());
        let old = watch_loss(ctx, &interrupt);
        let new = watch_loss(ctx, &interrupt);
        handle_line(0x4320, ff::AV_LOG_WARNING, "RTP: missed 3 packets\n");
        assert_eq!((old.take(), new.take()), (0, 3));
        drop(old);
        handle_line(0x4320, ff::AV_LOG_WARNING, "RTP: missed 1 packets\n");
        assert_eq!(new.take(), 1);
    }

    #[test]
    fn packets_that_are_all_too_late_give_the_call_up_and_a_picture_in_between_does_not() {
        let interrupt = Interrupt::new(Arc::default());
        let ctx = NonNull::new(0x8640 as *mut ff::AVFormatContext).unwrap();
        let watch = watch_loss(ctx, &interrupt);
        let line = "[rtsp @ 0x1] RTP: dropping old packet received too late\n";
        let say = |count| (0..count).for_each(|_| handle_line(0x8640, ff::AV_LOG_WARNING, line));
        let long_ago = || watch.counts.picture_ns.store(0, Ordering::Relaxed);
        long_ago();
        say(MOST_LATE_PACKETS - 1);
        watch.picture();
        // Each packet twice, in a large picture: within a second that may be any number.
        watch.counts.picture_ns.store(u64::MAX, Ordering::Relaxed);
        say(10 * MOST_LATE_PACKETS);
        watch.picture();
        long_ago();
        say(MOST_LATE_PACKETS - 1);
        assert!(!interrupt.was_given_up());
        assert_eq!(watch.take(), 0, "late is not lost");
        say(1);
        assert!(interrupt.was_given_up());
        assert_eq!(
            (watch.take(), interrupt.cause()),
            (1, None),
            "what is left of a picture is none, and no deadline passed"
        );
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let budget = Budget::default();
        let start = Instant::now();
        for _ in 0..BUDGET_LINES {
            assert_eq!(budget.take(start), Spent::Line { left_out: 0 });
        }
        for _ in 0..7 {
            assert_eq!(budget.take(start), Spent::Nothing);
        }
        assert_eq!(budget.take(start + BUDGET_TIME), Spent::Line { left_out: 7 });
    }

    #[test]
    fn a_voice_is_known_on_other_threads_while_it_lasts_and_spends_the_budget_of_its_own() {
        let voice = Voice::of_this_thread();
        let address = voice.address() as usize;
        assert!(Voice::behind(address).is_none(), "this thread speaks for itself");
        let budget = LINES.with(Arc::clone);
        std::thread::spawn(move || {
            let speaker = Voice::behind(address).unwrap();
            assert!(Arc::ptr_eq(&speaker.budget, &budget));
        })
        .join()
        .unwrap();
        drop(voice);
        assert!(std::thread::spawn(move || Voice::behind(address).is_none()).join().unwrap());
    }

    #[test]
    fn errors_after_a_panic_are_not_held() {
        let panicking = AssertUnwindSafe(|| with_errors_held(|| panic!("on purpose")).1);
        assert!(catch_unwind(panicking).is_err());
        assert!(!hold("an error"), "nobody would ever ask for it");
    }

    #[test]
    fn errors_of_a_call_are_held_and_the_first_one_is_told() {
        let (result, held) = with_errors_held(|| {
            handle_line(0, ff::AV_LOG_ERROR, "[mov @ 0x1] moov atom not found\n");
            handle_line(0, ff::AV_LOG_ERROR, "[mov @ 0x1] something that follows from it\n");
            7
        });
        assert_eq!((result, held.as_deref()), (7, Some("moov atom not found")));
        assert_eq!(with_errors_held(|| ()).1, None);
        let (_, held) = with_errors_held(|| handle_line(0, ff::AV_LOG_ERROR, "//u:secret@cam\n"));
        assert_eq!(held.as_deref(), Some("//***@cam"));
    }
}
