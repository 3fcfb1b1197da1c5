/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * vas_frames.h: the frames of a camera, through restarts of its server and changes of its picture. Header only, C11 and C++20.
 *
 *     static struct vas_stream stream;
 *     struct vas_frame frame;
 *     vas_stream_init(&stream, "/dev/shm/vas", "front", NULL);
 *     for (;;) {
 *         switch (vas_stream_next(&stream, 5000, &frame)) {
 *         case VAS_FRAME:     // frame.luma, frame.chroma, frame.stride: read by reference, or vas_frame_copy
 *             ...
 *             if (vas_frame_is_intact(&frame))
 *                 ...         // only now is what was read a whole frame
 *             break;
 *         case VAS_STATUS:    // vas_stream_status(&stream), vas_stream_sentence(&stream): waiting, live, stalled, stopped, ...
 *         case VAS_TIMEOUT:   // nothing for 5 s
 *         case VAS_CANCELLED: // vas_cancel was called
 *         }
 *     }
 *     vas_stream_close(&stream);
 *
 * This file is policy: when to open, wait, leave and look again. What the bytes mean and how a frame is proven is vas_shm.h,
 * which stands beside it, was written from PROTOCOL.md alone, and is what to use in a loop of one's own.
 *
 * What the caller ensures: as in vas_shm.h. And: a frame, its pointers among it, ends with the next call for the same stream,
 * which may unmap its memory. To keep a picture, copy it.
 *
 * Memory: nothing is allocated, and there is no state outside the structs. A struct vas_stream has about 11 KB, so that it is
 * better static or allocated than on a small stack; it must stay where it is while a frame of it is used. At most one pair of
 * files is mapped per stream; no descriptor stays open.
 *
 * System calls: none while frames come but the one that sleeps. Nothing waits for the server; no call sleeps longer than asked,
 * but for the pause of 1 ms within an opening that vas_shm.h tells of.
 *
 * Threads: a stream belongs to one thread at a time. Other threads may read its current frame (vas_frame_*) as long as none is in
 * a call for its stream. vas_cancel may be called by any thread and by signal handlers. Several streams share nothing.
 *
 * Signals: none is touched. One that is handled cuts the present nap short and no call: a handler that is to end the waiting calls
 * vas_cancel.
 *
 * Names that end in an underscore are this file's own.
 */
#ifndef VAS_FRAMES_H
#define VAS_FRAMES_H

#include "vas_shm.h"

#include <sys/syscall.h>

#if !defined(__linux__) || !defined(SYS_futex)
#error "vas_frames.h waits with futex(2) of Linux"
#endif

/* Of this file and of vas_shm.h; that of the bytes is VAS_SHM_VERSION. */
#define VAS_FRAMES_VERSION "0.1.0"

/* ---- Types ---------------------------------------------------------------------------------------------------------------- */

/* Which frame comes next. */
enum vas_mode {
    VAS_MODE_LATEST, /* the newest one: for displays and detectors */
    VAS_MODE_NEXT    /* the oldest one that was not seen yet, while it stands: for recorders. What was overwritten is counted */
};

/* What a reader would rather save: time, or the processor's. */
enum vas_policy {
    VAS_POLICY_BALANCED,    /* looks often while a frame is due, the oftener the more regular the camera is */
    VAS_POLICY_LOW_LATENCY, /* looks without a pause while a frame is due, for at most an eighth of the camera's interval: found
                               within microseconds, at some percent of a processor for each camera. For one camera a thread */
    VAS_POLICY_ECONOMY      /* looks when the frame should be there, and then every millisecond: a frame a little later */
};

/* Ends the waiting of the streams that know it. Zeros are a good start: `static struct vas_canceller canceller;`. */
struct vas_canceller {
    vas_shm_word32_ word_;
};

/* What a caller may choose. Zeros are the defaults. */
struct vas_stream_options {
    enum vas_mode mode;
    enum vas_policy policy;
    struct vas_canceller *canceller; /* NULL: nothing ends the waiting but time. Has to outlive the stream */
    bool insists_on_owner;           /* as in struct vas_shm_options */
    uid_t owner_uid;
    bool populate;
};

/* What a stream has to say. */
enum vas_event {
    VAS_FRAME,    /* the frame was filled in */
    VAS_STATUS,   /* vas_stream_status has changed; the stream goes on by itself whatever it is */
    VAS_TIMEOUT,  /* nothing happened in the time given */
    VAS_CANCELLED /* vas_cancel was called */
};

/* The state of a stream. */
enum vas_status {
    VAS_STATUS_NONE,       /* nothing was told yet */
    VAS_STATUS_WAITING,    /* the camera is not there (yet, or any more); it is looked for every 100 ms */
    VAS_STATUS_REFUSED,    /* the camera cannot be read; it is tried again every second */
    VAS_STATUS_LIVE,       /* frames come */
    VAS_STATUS_IDLE,       /* the server lives; none until it has noticed this reader, within one frame period */
    VAS_STATUS_STALLED,    /* the server lives, and has lost its source */
    VAS_STATUS_STOPPED,    /* the camera was stopped */
    VAS_STATUS_REPLACED,   /* another pair takes this one's place, with another geometry for one */
    VAS_STATUS_SERVER_GONE /* no sign of life for three seconds; the last frame still stands, and the server may come back */
};

/*
 * One frame, by reference: its pixels stay in the shared memory until the server overwrites them, at a steady rate after at least
 * slot_count - 1 frame periods (HOLD-1). None of it counts, its numbers no more than its pixels, before vas_frame_is_intact.
 */
struct vas_frame {
    uint64_t id;           /* rises by one per exported frame; to be compared within one generation only */
    uint64_t skipped;      /* frames between the one handed out before and this one; 0 for the first of a generation */
    uint64_t timestamp_ns; /* CLOCK_MONOTONIC of the server when it had the frame decoded */
    uint64_t flags;        /* VAS_SHM_FRAME_FLAG_DAMAGED; unknown bits are to be ignored */
    uint64_t generation;   /* of the pair of files: another one is another geometry, or another run of the server */
    uint32_t width;        /* luma pixels per row */
    uint32_t height;       /* luma rows */
    size_t stride;         /* bytes from one row to the next, in both planes */
    size_t packed_size;    /* bytes of the picture without padding: the room that vas_frame_copy needs */
    const unsigned char *luma;   /* height rows of width bytes */
    const unsigned char *chroma; /* ceil(height / 2) rows of 2 * ceil(width / 2) bytes, Cb and Cr in turn */
    uint8_t color_range;     /* VAS_SHM_COLOR_RANGE_LIMITED, _FULL or _UNKNOWN, which counts as limited (COLOR-1) */
    uint8_t color_primaries; /* these three: code points of ITU-T H.273, 2 is unspecified (COLOR-2, COLOR-3) */
    uint8_t color_transfer;
    uint8_t color_matrix;
    struct vas_shm_frame frame_;
    const struct vas_shm_reader *reader_;
};

/* Frames whose rhythm is remembered. */
#define VAS_SCHEDULE_REMEMBERED_ 8

/* Predicts when to look for the next frame. A value, and a pure function of what it was told; vas_stream_next does the sleeping. */
struct vas_schedule {
    uint64_t intervals_ns_[VAS_SCHEDULE_REMEMBERED_];
    int64_t delays_ns_[VAS_SCHEDULE_REMEMBERED_]; /* the reader's clock when a frame was found less its timestamp */
    uint64_t last_timestamp_ns_;
    unsigned intervals_, delays_;                   /* how many are kept */
    unsigned interval_at_, delay_at_;               /* where the next one goes */
    enum vas_policy policy_;
    bool has_last_;
};

/* The frames of one camera. Its members are this file's own. */
struct vas_stream {
    struct vas_shm_reader reader_;
    struct vas_shm_answer answer_; /* of the last opening */
    struct vas_shm_liveness liveness_;
    struct vas_schedule schedule_;
    struct vas_stream_options options_;
    enum vas_status told_;
    bool is_open_;
    bool is_proven_;
    int error_;           /* of vas_stream_init: why there is no base */
    uint64_t seen_;       /* in this pair; 0: none */
    uint64_t name_at_ns_; /* when the name is to be looked at again */
    uint64_t open_at_ns_; /* not to be opened before */
    uint64_t look_at_ns_;
    uint64_t skipped_total_;
    char base_[VAS_SHM_PATH_SIZE];
    char camera_[VAS_SHM_CAMERA_ID_MAX + 2];
    char sentence_[VAS_SHM_SENTENCE_SIZE + 16];
};

/* ---- Cancelling ----------------------------------------------------------------------------------------------------------- */

/* futex(2): FUTEX_WAIT_BITSET takes a moment of CLOCK_MONOTONIC, FUTEX_WAIT a length of time that a signal would make vague. */
#define VAS_FUTEX_WAKE_PRIVATE_ (1 | 128)
#define VAS_FUTEX_WAIT_BITSET_PRIVATE_ (9 | 128)
#define VAS_FUTEX_ANY_ 0xffffffffu

#if !defined(__cplusplus) && !defined(_DEFAULT_SOURCE) && !defined(_GNU_SOURCE)
extern long syscall(long number, ...); /* hidden where only POSIX was asked for */
#endif

static inline uint32_t vas_canceller_load_(const struct vas_canceller *canceller)
{
#ifdef __cplusplus
    return canceller->word_.load();
#else
    return atomic_load(&canceller->word_);
#endif
}

static inline void vas_canceller_store_(struct vas_canceller *canceller, uint32_t value)
{
#ifdef __cplusplus
    canceller->word_.store(value);
#else
    atomic_store(&canceller->word_, value);
#endif
}

/*
 * Ends the waiting of every stream that has this canceller, now and from now on, until vas_uncancel: each call for one says
 * VAS_CANCELLED, whatever else there may be. May be called by any thread and by a signal handler: it stores one word, makes one
 * system call and leaves errno alone.
 */
static inline void vas_cancel(struct vas_canceller *canceller)
{
    const int error = errno;
    vas_canceller_store_(canceller, 1);
    /* Waking nobody is no failure. */
    (void)syscall(SYS_futex, (void *)&canceller->word_, VAS_FUTEX_WAKE_PRIVATE_, INT32_MAX, NULL, NULL, 0);
    errno = error;
}

/* Whether vas_cancel was called. */
static inline bool vas_is_cancelled(const struct vas_canceller *canceller)
{
    return vas_canceller_load_(canceller) != 0;
}

/* Lets the streams wait again. */
static inline void vas_uncancel(struct vas_canceller *canceller)
{
    vas_canceller_store_(canceller, 0);
}

/*
 * Sleeps until a moment of CLOCK_MONOTONIC in nanoseconds, or until cancelled (canceller may be NULL), or less if a signal came.
 * Returns at once for a moment that is over. To be called with vas_stream_look_at_ns, in loops of one's own.
 */
static inline void vas_wait_until(struct vas_canceller *canceller, uint64_t at_ns)
{
    struct timespec at;
    if (at_ns <= vas_shm_monotonic_ns())
        return;
    if (at_ns > (uint64_t)INT64_MAX)
        at_ns = (uint64_t)INT64_MAX; /* 292 years after the start of the machine */
    at.tv_sec = (time_t)(at_ns / 1000000000u);
    at.tv_nsec = (long)(at_ns % 1000000000u);
    /* Whatever ends it (time, cancel, a signal, a word that is set already): the caller looks again. */
    if (canceller == NULL)
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    else
        (void)syscall(SYS_futex, (void *)&canceller->word_, VAS_FUTEX_WAIT_BITSET_PRIVATE_, 0, &at, NULL, VAS_FUTEX_ANY_);
}

/* ---- When to look again --------------------------------------------------------------------------------------------------- */

/*
 * The rule of the Rust reader's vas-shm-reader/src/wait.rs, number by number: both are held to vas-shm-reader/tests/schedule.txt. A
 * camera is nearly regular. The next frame cannot come much before the last one plus the shortest of the recent intervals, so
 * that one sleeps until shortly before that moment and then looks often; the longer nothing comes, the more seldom. How far the
 * recent intervals lie apart is the camera's jitter: where there is hardly any, fewer looks find the frame as soon. All is taken from
 * the frames' own timestamps, not from when they were found: a frame that was found late must not make the next ones late too. The
 * server's clock may be another than the reader's, so a timestamp is brought to the reader's by the shortest of the recent delays.
 */

/* Intervals that must be known before their spread says anything. */
#define VAS_SCHEDULE_ENOUGH_ 4
/* Longer intervals are pauses, which say nothing of the rhythm. */
#define VAS_SCHEDULE_LONGEST_INTERVAL_NS_ UINT64_C(1000000000)
/* No nap is longer: the state, the heartbeat and the file's name want to be looked at too. */
#define VAS_SCHEDULE_LONGEST_NAP_NS_ UINT64_C(100000000)
/* How long before the earliest expected moment the looking begins: at most, and where there is no jitter. */
#define VAS_SCHEDULE_MARGIN_NS_ UINT64_C(500000)
#define VAS_SCHEDULE_LEAST_MARGIN_NS_ UINT64_C(150000)
/* How much after the expected moment who saves wake-ups looks: a look a hair too early costs a whole nap more. */
#define VAS_SCHEDULE_ECONOMY_LATE_NS_ UINT64_C(100000)
/* Between two looks while a frame is due: while nothing is known of the jitter, and where there is none; how often it is looked through
 * the spread of the intervals; and how long beyond that spread a frame counts as due. */
#define VAS_SCHEDULE_DUE_NAP_NS_ UINT64_C(100000)
#define VAS_SCHEDULE_LEAST_DUE_NAP_NS_ UINT64_C(10000)
#define VAS_SCHEDULE_LOOKS_A_SPREAD_ 40
#define VAS_SCHEDULE_DUE_NS_ UINT64_C(4000000)
/* Between two looks when it is late, or nothing is known yet, and how long it counts as late. */
#define VAS_SCHEDULE_LATE_NAP_NS_ UINT64_C(1000000)
#define VAS_SCHEDULE_LATE_NS_ UINT64_C(100000000)
/* Between two looks when nothing has come for long. */
#define VAS_SCHEDULE_LONG_NAP_NS_ UINT64_C(5000000)
/* Before the next look when the server was faster than this reader: an overrun is an answer, not a reason to spin. */
#define VAS_AFTER_OVERRUN_NS_ UINT64_C(100000)

static inline uint64_t vas_add_(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline uint64_t vas_subtract_(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static inline uint64_t vas_clamp_(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static inline void vas_schedule_push_(struct vas_schedule *schedule, uint64_t interval_ns)
{
    schedule->intervals_ns_[schedule->interval_at_] = vas_clamp_(interval_ns, 0, VAS_SCHEDULE_LONGEST_INTERVAL_NS_);
    schedule->interval_at_ = (schedule->interval_at_ + 1) % VAS_SCHEDULE_REMEMBERED_;
    if (schedule->intervals_ < VAS_SCHEDULE_REMEMBERED_)
        schedule->intervals_++;
}

/* A schedule that knows the server's own expectation, in nanoseconds; 0 = unknown. */
static inline void vas_schedule_init(struct vas_schedule *schedule, uint64_t frame_period_ns, enum vas_policy policy)
{
    memset(schedule, 0, sizeof *schedule);
    schedule->policy_ = policy;
    if (frame_period_ns > 0)
        vas_schedule_push_(schedule, frame_period_ns);
}

/* A frame with this timestamp was found at now_ns, `frames` after the one found before (1 = none skipped). */
static inline void vas_schedule_frame_found(struct vas_schedule *schedule, uint64_t now_ns, uint64_t timestamp_ns, uint64_t frames)
{
    if (schedule->has_last_)
        vas_schedule_push_(schedule, vas_subtract_(timestamp_ns, schedule->last_timestamp_ns_) / (frames > 0 ? frames : 1));
    schedule->last_timestamp_ns_ = timestamp_ns;
    schedule->has_last_ = true;
    /* Wraps where the two clocks have nothing to do with each other, and wraps back below. */
    schedule->delays_ns_[schedule->delay_at_] = (int64_t)(now_ns - timestamp_ns);
    schedule->delay_at_ = (schedule->delay_at_ + 1) % VAS_SCHEDULE_REMEMBERED_;
    if (schedule->delays_ < VAS_SCHEDULE_REMEMBERED_)
        schedule->delays_++;
}

/* From the last frame to the first look for the next. */
static inline uint64_t vas_schedule_begin_ns_(const struct vas_schedule *schedule, enum vas_policy policy, uint64_t shortest_ns,
                                              uint64_t spread_ns)
{
    if (schedule->intervals_ < VAS_SCHEDULE_ENOUGH_)
        return vas_subtract_(shortest_ns, VAS_SCHEDULE_MARGIN_NS_);
    switch (policy) {
    case VAS_POLICY_LOW_LATENCY:
        return vas_subtract_(shortest_ns, VAS_SCHEDULE_LEAST_MARGIN_NS_);
    case VAS_POLICY_ECONOMY:
        /* Where the frame should be: three quarters through the spread, and a little later than early. Never so late that the next
         * one comes: a pause, and a header that is wrong, are a spread too. */
        return shortest_ns + vas_clamp_(spread_ns / 4 * 3, 0, shortest_ns / 4) + VAS_SCHEDULE_ECONOMY_LATE_NS_;
    case VAS_POLICY_BALANCED:
        break;
    }
    return vas_subtract_(shortest_ns, vas_clamp_(spread_ns / 2, VAS_SCHEDULE_LEAST_MARGIN_NS_, VAS_SCHEDULE_MARGIN_NS_));
}

/* Between two looks, so long after the first. */
static inline uint64_t vas_schedule_due_nap_ns_(const struct vas_schedule *schedule, enum vas_policy policy, uint64_t shortest_ns,
                                                uint64_t spread_ns, uint64_t over_ns)
{
    /* Without a pause through the spread and twice the margin, but never for more than an eighth of the interval, whatever the
     * header or the camera says. */
    const uint64_t spin_ns = vas_clamp_(spread_ns + 2 * VAS_SCHEDULE_MARGIN_NS_, 0, shortest_ns / 8);
    if (policy == VAS_POLICY_LOW_LATENCY && over_ns < spin_ns)
        return 0;
    if (policy != VAS_POLICY_ECONOMY) {
        const bool is_known = schedule->intervals_ >= VAS_SCHEDULE_ENOUGH_;
        const uint64_t due_ns = vas_clamp_(vas_add_(is_known ? spread_ns : 0, VAS_SCHEDULE_DUE_NS_), 0, VAS_SCHEDULE_LATE_NS_);
        const uint64_t most_ns =
            policy == VAS_POLICY_LOW_LATENCY ? VAS_SCHEDULE_DUE_NAP_NS_ : VAS_SCHEDULE_LATE_NAP_NS_;
        if (over_ns < due_ns)
            return is_known ? vas_clamp_(spread_ns / VAS_SCHEDULE_LOOKS_A_SPREAD_, VAS_SCHEDULE_LEAST_DUE_NAP_NS_, most_ns)
                            : VAS_SCHEDULE_DUE_NAP_NS_;
    }
    return over_ns < VAS_SCHEDULE_LATE_NS_ ? VAS_SCHEDULE_LATE_NAP_NS_ : VAS_SCHEDULE_LONG_NAP_NS_;
}

/*
 * How long to sleep before the next look, in nanoseconds, when a look at now_ns found nothing. At most 100 ms; 0: look again at
 * once.
 */
static inline uint64_t vas_schedule_nap_ns(const struct vas_schedule *schedule, uint64_t now_ns)
{
    uint64_t shortest = UINT64_MAX, longest = 0, due;
    int64_t delay = INT64_MAX;
    /* Who always looks late never sees how soon a frame can be found: the shortest delay would be a little longer each time, and the
     * looks later and later. One early look among those that are remembered keeps it true. */
    const enum vas_policy policy =
        schedule->policy_ == VAS_POLICY_ECONOMY && schedule->delay_at_ == 0 ? VAS_POLICY_BALANCED : schedule->policy_;
    unsigned i;
    if (schedule->intervals_ == 0 || schedule->delays_ == 0)
        return VAS_SCHEDULE_LATE_NAP_NS_;
    for (i = 0; i < schedule->intervals_; i++) {
        shortest = schedule->intervals_ns_[i] < shortest ? schedule->intervals_ns_[i] : shortest;
        longest = schedule->intervals_ns_[i] > longest ? schedule->intervals_ns_[i] : longest;
    }
    for (i = 0; i < schedule->delays_; i++)
        delay = schedule->delays_ns_[i] < delay ? schedule->delays_ns_[i] : delay;
    due = vas_add_(schedule->last_timestamp_ns_ + (uint64_t)delay, vas_schedule_begin_ns_(schedule, policy, shortest, longest - shortest));
    if (now_ns < due)
        return vas_clamp_(due - now_ns, 0, VAS_SCHEDULE_LONGEST_NAP_NS_);
    return vas_schedule_due_nap_ns_(schedule, policy, shortest, longest - shortest, now_ns - due);
}

/* ---- Statuses ------------------------------------------------------------------------------------------------------------- */

/* The name of a status, as the other tools print it: "waiting", "server_gone". */
static inline const char *vas_status_name(enum vas_status status)
{
    switch (status) {
    case VAS_STATUS_NONE:
        return "none";
    case VAS_STATUS_WAITING:
        return "waiting";
    case VAS_STATUS_REFUSED:
        return "refused";
    case VAS_STATUS_LIVE:
        return "live";
    case VAS_STATUS_IDLE:
        return "idle";
    case VAS_STATUS_STALLED:
        return "stalled";
    case VAS_STATUS_STOPPED:
        return "stopped";
    case VAS_STATUS_REPLACED:
        return "replaced";
    case VAS_STATUS_SERVER_GONE:
        return "server_gone";
    }
    return "unknown";
}

/* The status that was told last; VAS_STATUS_LIVE once a frame was handed out. */
static inline enum vas_status vas_stream_status(const struct vas_stream *stream)
{
    return stream->told_;
}

/* The same as a sentence for a person, such as "waiting: open /dev/shm/vas/front/frame.meta: ...". Ends with the next call. */
static inline const char *vas_stream_sentence(const struct vas_stream *stream)
{
    if (stream->told_ == VAS_STATUS_WAITING || stream->told_ == VAS_STATUS_REFUSED)
        return stream->sentence_;
    if (stream->told_ == VAS_STATUS_SERVER_GONE)
        return "server gone: no sign of life for three seconds (waiting for it to come back)";
    return vas_status_name(stream->told_);
}

/* What the last opening found: which field was refused, its value, errno. */
static inline const struct vas_shm_answer *vas_stream_answer(const struct vas_stream *stream)
{
    return &stream->answer_;
}

/* The pair that is open, NULL if none is: for header fields, vas_shm_observe and whatever else vas_shm.h has. */
static inline const struct vas_shm_reader *vas_stream_reader(const struct vas_stream *stream)
{
    return stream->is_open_ ? &stream->reader_ : NULL;
}

/* Frames that were overwritten unseen, over all generations. */
static inline uint64_t vas_stream_skipped_total(const struct vas_stream *stream)
{
    return stream->skipped_total_;
}

/*
 * The moment of CLOCK_MONOTONIC, in nanoseconds, before which there will hardly be anything new: never more than a second away. One
 * that is over means: look at once. For loops of one's own: vas_stream_next with a timeout of 0, then this.
 */
static inline uint64_t vas_stream_look_at_ns(const struct vas_stream *stream)
{
    return stream->look_at_ns_;
}

/* ---- The stream ----------------------------------------------------------------------------------------------------------- */

/* What one step found. */
enum vas_step_ {
    VAS_STEP_FRAME_,
    VAS_STEP_STATUS_,
    VAS_STEP_LATER_, /* look_at_ns_ says when */
    VAS_STEP_AGAIN_  /* something was opened or closed: take the next step at once */
};

/*
 * Begins a stream. Nothing is opened yet, and nothing need be there: a stream may be made before its server starts. base NULL is
 * VAS_SHM_DEFAULT_BASE, options NULL are the defaults. The stream need not be initialised before; both strings are copied.
 *
 * 0, or an errno: EINVAL (camera is no camera id), ENAMETOOLONG (of base), or whatever getcwd(3) says, which is asked when base is
 * relative. Such a stream may be used all the same: it tells VAS_STATUS_REFUSED, with a sentence.
 */
static inline int vas_stream_init(struct vas_stream *stream, const char *base, const char *camera,
                                  const struct vas_stream_options *options)
{
    size_t length = 0;
    memset(stream, 0, sizeof *stream);
    if (options != NULL)
        stream->options_ = *options;
    if (base == NULL)
        base = VAS_SHM_DEFAULT_BASE;
    (void)snprintf(stream->camera_, sizeof stream->camera_, "%s", camera == NULL ? "" : camera);
    /* The name is looked at again and again; the working directory may have changed by then. */
    if (base[0] != '/') {
        if (getcwd(stream->base_, sizeof stream->base_ - 1) == NULL)
            return stream->error_ = errno == ERANGE ? ENAMETOOLONG : errno;
        length = strlen(stream->base_);
        stream->base_[length++] = '/';
    }
    if (strlen(base) >= sizeof stream->base_ - length)
        return stream->error_ = ENAMETOOLONG;
    memcpy(stream->base_ + length, base, strlen(base) + 1);
    return vas_shm_camera_id_is_valid(camera) ? 0 : EINVAL;
}

static inline void vas_stream_leave_(struct vas_stream *stream)
{
    if (stream->is_open_)
        vas_shm_close(&stream->reader_);
    stream->is_open_ = false;
}

/* Ends a stream and unmaps what it has open. It may be closed again, or begun again by vas_stream_init. */
static inline void vas_stream_close(struct vas_stream *stream)
{
    vas_stream_leave_(stream);
}

/* A status, unless it was told before. What exactly is missing while waiting is no news; another refusal is. */
static inline enum vas_step_ vas_stream_tell_(struct vas_stream *stream, enum vas_status status)
{
    char sentence[sizeof stream->sentence_];
    const bool has_reason = status == VAS_STATUS_WAITING || status == VAS_STATUS_REFUSED;
    sentence[0] = '\0';
    if (has_reason)
        (void)snprintf(sentence, sizeof sentence, "%s: %s", vas_status_name(status), stream->answer_.sentence);
    if (status == stream->told_ && (status != VAS_STATUS_REFUSED || strcmp(sentence, stream->sentence_) == 0))
        return VAS_STEP_AGAIN_;
    stream->told_ = status;
    memcpy(stream->sentence_, sentence, sizeof sentence);
    return VAS_STEP_STATUS_;
}

/* A step with nothing open. */
static inline enum vas_step_ vas_stream_step_closed_(struct vas_stream *stream, uint64_t now_ns)
{
    struct vas_shm_options options;
    if (now_ns < stream->open_at_ns_) {
        stream->look_at_ns_ = stream->open_at_ns_;
        return VAS_STEP_LATER_;
    }
    stream->open_at_ns_ = now_ns + VAS_SHM_RETRY_NS; /* also should this pair be over soon */
    stream->look_at_ns_ = stream->open_at_ns_;
    if (stream->error_ != 0) {
        (void)vas_shm_own_error_(&stream->answer_, "the base directory", "its absolute path cannot be told", stream->error_);
    } else {
        memset(&options, 0, sizeof options);
        options.insists_on_owner = stream->options_.insists_on_owner;
        options.owner_uid = stream->options_.owner_uid;
        options.populate = stream->options_.populate;
        (void)vas_shm_open(&stream->reader_, stream->base_, stream->camera_, &options, &stream->answer_);
    }
    switch (stream->answer_.opened) {
    case VAS_SHM_READY:
        stream->is_open_ = true;
        stream->is_proven_ = false;
        stream->seen_ = 0; /* numbers are compared within one generation only (HEAD-10) */
        stream->name_at_ns_ = now_ns + VAS_SHM_NAME_CHECK_NS;
        vas_shm_liveness_start(&stream->liveness_, &stream->reader_, now_ns);
        vas_schedule_init(&stream->schedule_, vas_shm_observe(&stream->reader_).frame_period_ns, stream->options_.policy);
        return VAS_STEP_AGAIN_;
    case VAS_SHM_NOT_THERE_YET:
        return vas_stream_tell_(stream, VAS_STATUS_WAITING);
    case VAS_SHM_REFUSED:
    case VAS_SHM_OWN_ERROR:
        break;
    }
    stream->open_at_ns_ = now_ns + VAS_SHM_RETRY_AFTER_REFUSAL_NS;
    stream->look_at_ns_ = stream->open_at_ns_;
    return vas_stream_tell_(stream, VAS_STATUS_REFUSED);
}

/* The next frame of the pair that is open, and none before the server has shown a sign of life (LIVE-1). */
static inline enum vas_shm_found vas_stream_find_(struct vas_stream *stream, struct vas_shm_frame *found)
{
    const struct vas_shm_reader *reader = &stream->reader_;
    /* Frame numbers and heartbeats only rise: what differs from the opening never becomes the same again. */
    stream->is_proven_ = stream->is_proven_ ||
        vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID) != reader->first_frame_id_ ||
        vas_shm_load64_(reader, VAS_SHM_OFFSET_HEARTBEAT_NS) != reader->first_heartbeat_ns_;
    if (!stream->is_proven_)
        return VAS_SHM_NOTHING_NEW;
    /* A stream begins with the newest in both modes. */
    if (stream->options_.mode == VAS_MODE_NEXT && stream->seen_ != 0)
        return vas_shm_next(reader, stream->seen_, found);
    return vas_shm_latest(reader, stream->seen_, found);
}

static inline void vas_stream_fill_(const struct vas_stream *stream, const struct vas_shm_frame *found, uint64_t skipped,
                                    struct vas_frame *frame)
{
    const struct vas_shm_checked_header *header = &stream->reader_.header;
    frame->id = found->id;
    frame->skipped = skipped;
    frame->timestamp_ns = found->timestamp_ns;
    frame->flags = found->flags;
    frame->generation = header->generation;
    frame->width = header->width;
    frame->height = header->height;
    frame->stride = header->stride;
    frame->packed_size = vas_shm_packed_size(&stream->reader_);
    frame->luma = vas_shm_luma(&stream->reader_, found);
    frame->chroma = vas_shm_chroma(&stream->reader_, found);
    frame->color_range = header->color_range;
    frame->color_primaries = header->color_primaries;
    frame->color_transfer = header->color_transfer;
    frame->color_matrix = header->color_matrix;
    frame->frame_ = *found;
    frame->reader_ = &stream->reader_;
}

/* One step at a moment of CLOCK_MONOTONIC. Never sleeps. */
static inline enum vas_step_ vas_stream_step_(struct vas_stream *stream, uint64_t now_ns, struct vas_frame *frame)
{
    struct vas_shm_frame found;
    enum vas_shm_found answer;
    enum vas_status status = VAS_STATUS_NONE;
    if (!stream->is_open_)
        return vas_stream_step_closed_(stream, now_ns);
    memset(&found, 0, sizeof found);
    answer = vas_stream_find_(stream, &found);
    if (answer == VAS_SHM_FRAME) {
        /* READ-10 */
        uint64_t skipped = stream->seen_ == 0 ? 0 : vas_subtract_(vas_subtract_(found.id, stream->seen_), 1);
        stream->seen_ = found.id;
        vas_schedule_frame_found(&stream->schedule_, now_ns, found.timestamp_ns, vas_add_(skipped, 1));
        stream->skipped_total_ = vas_add_(stream->skipped_total_, skipped);
        stream->look_at_ns_ = now_ns;
        /* Frames say "live" by themselves; a later stall or stop is news again. */
        stream->told_ = VAS_STATUS_LIVE;
        vas_stream_fill_(stream, &found, skipped, frame);
        return VAS_STEP_FRAME_;
    }
    switch (vas_shm_liveness_words_(&stream->liveness_, &stream->reader_, now_ns)) {
    case VAS_SHM_LIVENESS_STOPPED:
        /* Unmapped at once, so that the dead pair's memory can go (LIFE-6). */
        vas_stream_leave_(stream);
        return vas_stream_tell_(stream, VAS_STATUS_STOPPED);
    case VAS_SHM_LIVENESS_REPLACED:
        vas_stream_leave_(stream);
        return vas_stream_tell_(stream, VAS_STATUS_REPLACED);
    case VAS_SHM_LIVENESS_SERVER_GONE:
        status = VAS_STATUS_SERVER_GONE;
        break;
    case VAS_SHM_LIVENESS_STALLED:
        status = VAS_STATUS_STALLED;
        break;
    case VAS_SHM_LIVENESS_IDLE:
        status = VAS_STATUS_IDLE;
        break;
    case VAS_SHM_LIVENESS_LIVE:
        status = VAS_STATUS_LIVE;
        break;
    case VAS_SHM_LIVENESS_UNPROVEN: /* for a heartbeat or a frame at most, or it ends as "server gone": no news */
    case VAS_SHM_LIVENESS_NAME_LOST:
        break;
    }
    if (now_ns >= stream->name_at_ns_) { /* LIVE-5: a server that was killed cannot say "stopped" */
        stream->name_at_ns_ = now_ns + VAS_SHM_NAME_CHECK_NS;
        if (!vas_shm_name_is_ours(&stream->reader_)) {
            vas_stream_leave_(stream);
            return VAS_STEP_AGAIN_;
        }
    }
    stream->look_at_ns_ = vas_add_(now_ns, answer == VAS_SHM_OVERRUN ? VAS_AFTER_OVERRUN_NS_
                                                                    : vas_schedule_nap_ns(&stream->schedule_, now_ns));
    if (status != VAS_STATUS_NONE && vas_stream_tell_(stream, status) == VAS_STEP_STATUS_)
        return VAS_STEP_STATUS_;
    return VAS_STEP_LATER_;
}

/*
 * Steps until there is a frame, news, or a moment to wait for. Leaving a pair and opening the next are two steps; after them there
 * is one of the three.
 */
static inline enum vas_step_ vas_stream_steps_(struct vas_stream *stream, uint64_t now_ns, struct vas_frame *frame)
{
    enum vas_step_ step = VAS_STEP_AGAIN_;
    int i;
    for (i = 0; i < 4 && step == VAS_STEP_AGAIN_; i++)
        step = vas_stream_step_(stream, now_ns, frame);
    return step;
}

/* The moment at which a timeout is over. */
static inline uint64_t vas_deadline_ns_(int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : vas_shm_monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
}

/*
 * The next event of several streams: waits for a frame or a change of state of any of them, at most for timeout_ms milliseconds
 * (0: looks and does not wait, below 0: no limit). *index is the stream it is of, and is left alone with VAS_TIMEOUT and
 * VAS_CANCELLED. Each camera keeps its own rhythm, and the one after *index is asked first, so that a fast one keeps none waiting:
 * begin with 0 and hand in what came out. Give all of them the same canceller: the first one's ends a nap.
 */
static inline enum vas_event vas_streams_next(struct vas_stream *const *streams, size_t count, int timeout_ms,
                                              struct vas_frame *frame, size_t *index)
{
    const uint64_t deadline_ns = vas_deadline_ns_(timeout_ms);
    struct vas_canceller *canceller = count > 0 ? streams[0]->options_.canceller : NULL;
    const size_t first = *index;
    memset(frame, 0, sizeof *frame);
    for (;;) {
        const uint64_t now_ns = vas_shm_monotonic_ns();
        uint64_t look_at_ns = UINT64_MAX;
        size_t turn;
        if (canceller != NULL && vas_is_cancelled(canceller))
            return VAS_CANCELLED;
        for (turn = 1; turn <= count; turn++) {
            const size_t at = (first % count + turn) % count;
            if (streams[at]->look_at_ns_ <= now_ns) {
                /* The stream before may have opened files, which takes time. */
                const enum vas_step_ step = vas_stream_steps_(streams[at], vas_shm_monotonic_ns(), frame);
                if (step == VAS_STEP_FRAME_ || step == VAS_STEP_STATUS_) {
                    *index = at;
                    streams[at]->look_at_ns_ = now_ns; /* there may be more */
                    return step == VAS_STEP_FRAME_ ? VAS_FRAME : VAS_STATUS;
                }
            }
            if (streams[at]->look_at_ns_ < look_at_ns)
                look_at_ns = streams[at]->look_at_ns_;
        }
        if (now_ns >= deadline_ns)
            return VAS_TIMEOUT;
        vas_wait_until(canceller, look_at_ns < deadline_ns ? look_at_ns : deadline_ns);
    }
}

/*
 * Waits for the next frame or the next change of state, at most for timeout_ms milliseconds (0: looks and does not wait, below 0:
 * no limit). *frame is filled in with VAS_FRAME and zero otherwise; the frame before it ends with this call.
 */
static inline enum vas_event vas_stream_next(struct vas_stream *stream, int timeout_ms, struct vas_frame *frame)
{
    size_t index = 0;
    /* Whoever calls wants it looked at now. */
    stream->look_at_ns_ = 0;
    return vas_streams_next(&stream, 1, timeout_ms, frame, &index);
}

/* ---- Frames --------------------------------------------------------------------------------------------------------------- */

/*
 * Whether everything read of the frame so far, its numbers and its pixels, is that frame and nothing else (READ-5, READ-6). After
 * a no, all of it has to be treated as never read. Costs a fence and a load; may be asked in the middle of long work. A frame whose
 * stream has left the pair is not intact, and its pointers lead nowhere any more; one that is zero is not intact either.
 */
static inline bool vas_frame_is_intact(const struct vas_frame *frame)
{
    /* The same pair opened again is elsewhere in memory, or where it was. */
    return frame->reader_ != NULL && frame->reader_->meta_ != NULL && frame->reader_->header.generation == frame->generation &&
        frame->luma == vas_shm_luma(frame->reader_, &frame->frame_) && vas_shm_is_intact(frame->reader_, &frame->frame_);
}

/* Whether the decoder reported loss or concealment: good to look at, not to measure by (HEAD-12). */
static inline bool vas_frame_is_damaged(const struct vas_frame *frame)
{
    return (frame->flags & VAS_SHM_FRAME_FLAG_DAMAGED) != 0;
}

/* How long ago the server had the frame decoded, in nanoseconds; 0 if this process has a clock of its own that says otherwise. */
static inline uint64_t vas_frame_age_ns(const struct vas_frame *frame)
{
    return vas_subtract_(vas_shm_monotonic_ns(), frame->timestamp_ns);
}

/*
 * Copies the picture without padding, luma then chroma, and proves the copy. It is the frame only with VAS_SHM_COPY_INTACT. `size`
 * is the room at `to` in bytes, at least frame->packed_size, which another generation may change.
 */
static inline enum vas_shm_copied vas_frame_copy(const struct vas_frame *frame, unsigned char *to, size_t size)
{
    if (size < frame->packed_size)
        return VAS_SHM_COPY_NO_ROOM;
    if (!vas_frame_is_intact(frame))
        return VAS_SHM_COPY_OVERWRITTEN;
    return vas_shm_copy_packed(frame->reader_, &frame->frame_, to, size);
}

#ifdef __cplusplus
namespace vas {

/* A stream that closes itself. The functions above do the rest: vas_stream_next(stream, 1000, &frame). */
class stream {
public:
    stream(const char *base, const char *camera, const vas_stream_options *options = nullptr)
    {
        (void)vas_stream_init(&stream_, base, camera, options);
    }
    ~stream() { vas_stream_close(&stream_); }
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    operator vas_stream *() { return &stream_; }

private:
    vas_stream stream_;
};

} // namespace vas
#endif

#endif /* VAS_FRAMES_H */
