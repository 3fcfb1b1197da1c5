/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * vas_shm.h: reads the frames that a video server shows to other processes on its host. Header only, C11 and C++20.
 *
 * The protocol is vas-shm-proto/PROTOCOL.md; its clause numbers (READ-6) stand beside the code that keeps them. The layout is
 * vas_shm_layout.h, generated from the same table as the Rust crates' and found beside this file.
 *
 *     struct vas_shm_reader reader;
 *     struct vas_shm_answer answer;
 *     struct vas_shm_frame frame;
 *     if (vas_shm_open(&reader, "/dev/shm/vas", "front", NULL, &answer) != VAS_SHM_READY)
 *         ...                                     // answer.sentence says why; vas_shm_retry_after_ns(&answer) when to try again
 *     if (vas_shm_latest(&reader, 0, &frame) == VAS_SHM_FRAME) {
 *         const unsigned char *luma = vas_shm_luma(&reader, &frame);
 *         ...                                     // read by reference
 *         if (vas_shm_is_intact(&reader, &frame))
 *             ...                                 // only now is what was read a whole frame
 *     }
 *     vas_shm_close(&reader);
 *
 * What the caller ensures: that nothing decides by a pixel what must not be decided wrongly before vas_shm_is_intact has said yes
 * (READ-6). And that a pair that is over is not read for long: half a second after the server ended, ten seconds after it put
 * another pair in its place, the pixels may be taken back, and on a file system without a free byte the kernel ends who reads
 * there by SIGBUS (LIFE-7). Work of that length copies the picture first. The server is trusted not to shrink a visible file,
 * which is SIGBUS too (TRUST-2); everything else is checked.
 *
 * Memory and signals: nothing is allocated, there is no state outside the structs that the caller owns, and no signal is touched.
 * Opening and vas_shm_name_is_ours make system calls, everything else loads words. No call waits for the server, with one
 * exception: an opening that meets the server's look at who is attached pauses once for VAS_SHM_BUSY_PAUSE_NS (OPEN-2).
 *
 * Threads: an open reader is never changed by a function that takes it as const, so threads may share it. Frames, observations
 * and liveness are values; a struct vas_shm_liveness belongs to one thread at a time. vas_shm_open and vas_shm_close need the
 * reader for themselves. Pointers into a frame end with vas_shm_close.
 *
 * Names that end in an underscore are this file's own.
 */
#ifndef VAS_SHM_H
#define VAS_SHM_H

/*
 * open(2) with O_NOFOLLOW and O_CLOEXEC, mmap(2) and clock_gettime(2) are POSIX.1-2008, which -std=c11 hides. Included before
 * any header of the system, this file asks for them itself; later than that it is too late to ask.
 */
#if !defined(_FEATURES_H) && !defined(_POSIX_C_SOURCE) && !defined(_XOPEN_SOURCE) && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if !defined(O_NOFOLLOW) || !defined(O_CLOEXEC) || !defined(CLOCK_MONOTONIC) || !defined(MAP_SHARED)
#error "vas_shm.h needs POSIX.1-2008: include it before any header of the system, or compile with -D_POSIX_C_SOURCE=200809L or -D_DEFAULT_SOURCE"
#endif

#ifdef __cplusplus
#include <atomic> /* C++ has no <stdatomic.h> before C++23 */
#else
#include <stdatomic.h>
#include <stdbool.h>
#endif

#include "vas_shm_layout.h"

/* HEAD-1, HEAD-2: 64-bit little-endian programs; whole words are loaded by one access, without a hidden lock. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vas_shm.h: readers are 64-bit little-endian programs (HEAD-1)"
#endif
#if ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LONG_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2
#error "vas_shm.h needs atomic words of 4 and 8 bytes that are always free of locks (HEAD-2)"
#endif
#ifdef __cplusplus
typedef std::atomic<std::uint64_t> vas_shm_word64_;
typedef std::atomic<std::uint32_t> vas_shm_word32_;
#else
typedef _Atomic uint64_t vas_shm_word64_;
typedef _Atomic uint32_t vas_shm_word32_;
#endif
VAS_SHM_STATIC_ASSERT(sizeof(void *) == 8 && sizeof(size_t) == 8, "readers are 64-bit programs (HEAD-1)");
VAS_SHM_STATIC_ASSERT(sizeof(off_t) == 8 && sizeof(ino_t) == 8, "sizes and inode numbers of files have 64 bits (OPEN-10, OPEN-16)");
VAS_SHM_STATIC_ASSERT(sizeof(vas_shm_word64_) == 8 && sizeof(vas_shm_word32_) == 4, "an atomic word is a plain word (HEAD-2)");

/* ---- Sizes and times ------------------------------------------------------------------------------------------------------ */

/* Bytes of the longest path that is opened, its final zero included. */
#define VAS_SHM_PATH_SIZE 4096
/* Bytes of the longest sentence, its final zero included. */
#define VAS_SHM_SENTENCE_SIZE 1024
/* Longest camera id in bytes (FILE-2). */
#define VAS_SHM_CAMERA_ID_MAX 64
/* Attempts within one opening when the pair was exchanged meanwhile (OPEN-10). */
#define VAS_SHM_MIXED_PAIR_ATTEMPTS 8
/* From an EAGAIN to the second try within one opening; the server's look takes microseconds (OPEN-2). */
#define VAS_SHM_BUSY_PAUSE_NS 1000000
/* From "not there yet", or from leaving a pair, to the next opening (OPEN-19). */
#define VAS_SHM_RETRY_NS UINT64_C(100000000)
/* From a refusal to the next opening (OPEN-19). */
#define VAS_SHM_RETRY_AFTER_REFUSAL_NS UINT64_C(1000000000)
/* A heartbeat that stands still for this long is a server that is gone (LIVE-3). */
#define VAS_SHM_SERVER_GONE_NS UINT64_C(3000000000)
/* Between two looks at the name while nothing comes (LIVE-2). */
#define VAS_SHM_NAME_CHECK_NS UINT64_C(100000000)

/* ---- Types ---------------------------------------------------------------------------------------------------------------- */

/* What opening says (section 9). */
enum vas_shm_opened {
    VAS_SHM_READY,         /* the reader is open */
    VAS_SHM_NOT_THERE_YET, /* a state that passes: try again after VAS_SHM_RETRY_NS (OPEN-2) */
    VAS_SHM_REFUSED,       /* the files are not what they have to be: answer.field, answer.value and answer.sentence (OPEN-3) */
    VAS_SHM_OWN_ERROR      /* of this process, and says nothing of the files: answer.error, such as EMFILE (OPEN-4) */
};

/* Why a pair is not there yet (OPEN-2). */
enum vas_shm_reason {
    VAS_SHM_NO_REASON,  /* it is there, or the answer is another */
    VAS_SHM_MISSING,    /* no such name, or no such directory */
    VAS_SHM_BUSY,       /* EAGAIN twice: the server is looking whether anybody is attached */
    VAS_SHM_MIXED_PAIR, /* the two files belonged to different pairs at every attempt (OPEN-10) */
    VAS_SHM_STOPPED,    /* the camera was stopped (OPEN-17) */
    VAS_SHM_REPLACED    /* the names had not been seen to lead to the successor yet (OPEN-17) */
};

/* What vas_shm_open found. */
struct vas_shm_answer {
    enum vas_shm_opened opened;
    enum vas_shm_reason reason; /* with VAS_SHM_NOT_THERE_YET */
    const char *field;          /* with VAS_SHM_REFUSED: the row of the table, or "frame.meta" or "frame.data"; else NULL */
    uint64_t value;             /* with VAS_SHM_REFUSED: what was found there */
    int error;                  /* errno where the kernel said no, else 0 */
    char sentence[VAS_SHM_SENTENCE_SIZE]; /* one sentence for a person; empty when ready */
};

/* What a caller may insist on. Zeros are the defaults. */
struct vas_shm_options {
    bool insists_on_owner; /* refuse files that do not belong to owner_uid (TRUST-3) */
    uid_t owner_uid;
    bool populate; /* map all pixels at once, so that the first frames need no page faults (OPEN-18) */
};

/* The C fields of a header that was checked (HEAD-3). Offsets and sizes are in bytes. */
struct vas_shm_checked_header {
    uint32_t version;
    uint32_t header_size;
    uint32_t width;  /* luma pixels per row */
    uint32_t height; /* luma rows */
    uint32_t pixel_format;
    uint32_t stride; /* from one row to the next, in both planes */
    uint64_t data_size;
    uint64_t uv_offset;
    uint32_t slot_count;
    uint8_t color_range; /* an unknown one is VAS_SHM_COLOR_RANGE_UNKNOWN (HEAD-7) */
    uint8_t color_primaries;
    uint8_t color_transfer;
    uint8_t color_matrix;
    uint64_t data_file_size;
    uint64_t data_inode;
    uint64_t generation; /* numbers of frames may be compared only within one (HEAD-10) */
    uint64_t data_offset[VAS_SHM_MAX_SLOTS];
};

/* One open pair. Its members are for reading only; header is the one of interest. */
struct vas_shm_reader {
    struct vas_shm_checked_header header;
    const unsigned char *meta_;
    const unsigned char *data_;
    uint64_t first_frame_id_;
    uint64_t first_heartbeat_ns_;
    dev_t meta_device_;
    ino_t meta_inode_;
    char meta_path_[VAS_SHM_PATH_SIZE];
};

/* One frame, by reference: its pixels stay in the shared memory until it is overwritten (HOLD-1). */
struct vas_shm_frame {
    uint64_t id;
    uint64_t timestamp_ns; /* CLOCK_MONOTONIC of the server when it had the frame decoded (HOLD-4) */
    uint64_t flags;        /* VAS_SHM_FRAME_FLAG_DAMAGED; unknown bits are to be ignored (HEAD-7, HEAD-12) */
};

/* What looking for a frame says (section 7). */
enum vas_shm_found {
    VAS_SHM_NOTHING_NEW, /* none yet, none since the one that was seen, or all were taken back */
    VAS_SHM_FRAME,       /* the frame was filled in */
    VAS_SHM_OVERRUN,     /* lapped S times in a row: try again when it suits (READ-7) */
    VAS_SHM_FRAME_GONE   /* the frame that was asked for is not there, or not any more (READ-9) */
};

/* What became of a copy. */
enum vas_shm_copied {
    VAS_SHM_COPY_INTACT,      /* the copy is the frame and nothing else (READ-6) */
    VAS_SHM_COPY_OVERWRITTEN, /* to be treated as never made: pixels, time and flags (READ-6) */
    VAS_SHM_COPY_NO_ROOM      /* nothing was copied: less room than vas_shm_packed_size() */
};

/* The words that say how the server is (section 11), each loaded once; they need not belong to one moment. */
struct vas_shm_observation {
    uint32_t state; /* VAS_SHM_STATE_LIVE, _STALLED, _STOPPED or _REPLACED; an unknown one is live (HEAD-7) */
    bool is_idle;   /* nobody was attached: no pixels are being copied */
    uint64_t frame_id;
    uint64_t timestamp_ns; /* for display only: not proven to belong to frame_id (HEAD-11) */
    uint64_t heartbeat_ns; /* to be compared with an earlier one only, never with a clock (LIVE-4) */
    uint64_t frame_period_ns; /* expected, 0 if unknown (HOLD-5) */
};

/* What a reader tells its user (LIVE-6). */
enum vas_shm_liveness_status {
    VAS_SHM_LIVENESS_UNPROVEN,    /* nothing has changed since the opening: maybe a server that was killed (LIVE-1) */
    VAS_SHM_LIVENESS_LIVE,        /* frames come */
    VAS_SHM_LIVENESS_IDLE,        /* none until the server has noticed this reader, within one frame period */
    VAS_SHM_LIVENESS_STALLED,     /* the source is lost, the server is looking for it again */
    VAS_SHM_LIVENESS_SERVER_GONE, /* nothing moves any more; an observation, it may move again (LIVE-3) */
    VAS_SHM_LIVENESS_STOPPED,     /* final: leave the pair (LIFE-6) */
    VAS_SHM_LIVENESS_REPLACED,    /* final: leave the pair, open the successor (LIFE-6) */
    VAS_SHM_LIVENESS_NAME_LOST    /* the name leads elsewhere or nowhere: leave the pair (LIVE-5) */
};

/* What was seen of the server so far, for vas_shm_liveness_look. */
struct vas_shm_liveness {
    enum vas_shm_liveness_status status; /* of the last look */
    bool is_current;       /* whether the newest frame may be shown as the present one (LIVE-1) */
    bool has_changed_;
    uint64_t frame_id_;
    uint64_t heartbeat_ns_;
    uint64_t changed_at_ns_; /* of the caller's clock */
    uint64_t name_due_at_ns_;
};

/* ---- Words of the shared header ------------------------------------------------------------------------------------------- */

/*
 * READ-12: loads are relaxed and all order comes from the fences. Both languages want an atomic object where only a mapping is;
 * the asserts above say that the compilers at hand make a plain aligned load of it.
 */
static inline uint64_t vas_shm_load64_(const struct vas_shm_reader *reader, uint64_t offset)
{
    const void *at = reader->meta_ + offset;
#ifdef __cplusplus
    return static_cast<const vas_shm_word64_ *>(at)->load(std::memory_order_relaxed);
#else
    return atomic_load_explicit((const vas_shm_word64_ *)at, memory_order_relaxed);
#endif
}

static inline uint32_t vas_shm_load32_(const struct vas_shm_reader *reader, uint64_t offset)
{
    const void *at = reader->meta_ + offset;
#ifdef __cplusplus
    return static_cast<const vas_shm_word32_ *>(at)->load(std::memory_order_relaxed);
#else
    return atomic_load_explicit((const vas_shm_word32_ *)at, memory_order_relaxed);
#endif
}

static inline void vas_shm_fence_acquire_(void)
{
#ifdef __cplusplus
    std::atomic_thread_fence(std::memory_order_acquire);
#else
    atomic_thread_fence(memory_order_acquire);
#endif
}

/* Where the record of a frame begins (HEAD-5). */
static inline uint64_t vas_shm_record_(const struct vas_shm_reader *reader, uint64_t id)
{
    return VAS_SHM_SLOT_TABLE_OFFSET + VAS_SHM_SLOT_RECORD_SIZE * (id % reader->header.slot_count);
}

/* ---- Answers -------------------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define VAS_SHM_PRINTF_(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define VAS_SHM_PRINTF_(format_index, first_argument)
#endif

VAS_SHM_PRINTF_(2, 3)
static inline void vas_shm_append_(struct vas_shm_answer *answer, const char *format, ...)
{
    size_t length = strlen(answer->sentence);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(answer->sentence + length, sizeof answer->sentence - length, format, arguments) < 0)
        answer->sentence[length] = '\0';
    va_end(arguments);
}

/* Begins a sentence with what was tried, on what. */
static inline void vas_shm_answer_(struct vas_shm_answer *answer, enum vas_shm_opened opened, const char *path)
{
    answer->opened = opened;
    answer->reason = VAS_SHM_NO_REASON;
    answer->field = NULL;
    answer->value = 0;
    answer->error = 0;
    answer->sentence[0] = '\0';
    if (opened != VAS_SHM_READY)
        vas_shm_append_(answer, "open %s: ", path);
}

static inline enum vas_shm_opened vas_shm_wait_(struct vas_shm_answer *answer, const char *path, enum vas_shm_reason reason,
                                                const char *sentence)
{
    vas_shm_answer_(answer, VAS_SHM_NOT_THERE_YET, path);
    answer->reason = reason;
    vas_shm_append_(answer, "%s", sentence);
    return VAS_SHM_NOT_THERE_YET;
}

/* OPEN-3: a field of the header, the value found, and the bound. */
VAS_SHM_PRINTF_(5, 6)
static inline enum vas_shm_opened vas_shm_refuse_(struct vas_shm_answer *answer, const char *path, const char *field,
                                                  uint64_t value, const char *format, ...)
{
    size_t length;
    va_list arguments;
    vas_shm_answer_(answer, VAS_SHM_REFUSED, path);
    answer->field = field;
    answer->value = value;
    length = strlen(answer->sentence);
    va_start(arguments, format);
    if (vsnprintf(answer->sentence + length, sizeof answer->sentence - length, format, arguments) < 0)
        answer->sentence[length] = '\0';
    va_end(arguments);
    return VAS_SHM_REFUSED;
}

static inline enum vas_shm_opened vas_shm_own_error_(struct vas_shm_answer *answer, const char *path, const char *what, int error)
{
    /* strerror is not for threads, and strerror_r is two different functions; these are the ones that happen. */
    const char *name = error == EMFILE ? " (EMFILE: this process has too many files open)"
        : error == ENFILE              ? " (ENFILE: this system has too many files open)"
        : error == ENOMEM              ? " (ENOMEM: no memory for the mapping)"
        : error == ENOTDIR             ? " (ENOTDIR: a directory of this path is another kind of file)"
        : error == ENAMETOOLONG        ? " (ENAMETOOLONG: the path is too long)"
        : error == EINVAL              ? " (EINVAL)"
                                       : "";
    vas_shm_answer_(answer, VAS_SHM_OWN_ERROR, path);
    answer->error = error;
    vas_shm_append_(answer, "%s: errno %d%s", what, error, name);
    return VAS_SHM_OWN_ERROR;
}

/* OPEN-4, EACCES: whose file it is. What denies is the file, or the nearest directory above it that can still be seen. */
static inline enum vas_shm_opened vas_shm_refuse_access_(struct vas_shm_answer *answer, const char *path, const char *field)
{
    char seen[VAS_SHM_PATH_SIZE];
    struct stat found;
    size_t length = strlen(path);
    memset(&found, 0, sizeof found);
    memcpy(seen, path, length + 1);
    while (lstat(seen, &found) != 0) {
        while (length > 0 && seen[length - 1] != '/')
            length--;
        while (length > 1 && seen[length - 1] == '/')
            length--;
        if (length <= 1) {
            (void)vas_shm_refuse_(answer, path, field, 0, "permission denied (EACCES), and nothing above it can be looked at");
            answer->error = EACCES;
            return VAS_SHM_REFUSED;
        }
        seen[length] = '\0';
    }
    (void)vas_shm_refuse_(answer, path, field, (uint64_t)(found.st_mode & 07777u),
                          "permission denied (EACCES): %s has owner %ju, group %ju and mode %04o; "
                          "this process is user %ju: it has to be in that group, and the mode has to let the group in",
                          seen, (uintmax_t)found.st_uid, (uintmax_t)found.st_gid, (unsigned)(found.st_mode & 07777u),
                          (uintmax_t)geteuid());
    answer->error = EACCES;
    return VAS_SHM_REFUSED;
}

/* ---- Opening (section 9) -------------------------------------------------------------------------------------------------- */

/* Whether this is a camera id: [A-Za-z0-9][A-Za-z0-9_-]{0,63} (FILE-2). NULL is none. */
static inline bool vas_shm_camera_id_is_valid(const char *camera_id)
{
    size_t length = 0;
    if (camera_id == NULL)
        return false;
    for (; camera_id[length] != '\0'; length++) {
        char c = camera_id[length];
        bool is_alphanumeric = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (length >= VAS_SHM_CAMERA_ID_MAX || !(is_alphanumeric || (length > 0 && (c == '_' || c == '-'))))
            return false;
    }
    return length > 0;
}

/* One name: OPEN-1, OPEN-2, OPEN-4, TRUST-3. With VAS_SHM_READY the descriptor is the caller's to close. */
static inline enum vas_shm_opened vas_shm_open_name_(const char *path, const char *field, const struct vas_shm_options *options,
                                                     struct vas_shm_answer *answer, int *descriptor, struct stat *found)
{
    int error;
    enum vas_shm_opened opened = VAS_SHM_READY;
    int fd = -1;
    int busy = 0;
    int interrupted = 0;
    for (;;) {
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW); /* OPEN-1 */
        if (fd >= 0)
            break;
        error = errno;
        if (error == EAGAIN && ++busy < 2) { /* OPEN-2: right behind the first, the second could meet the same look */
            struct timespec pause = {0, VAS_SHM_BUSY_PAUSE_NS};
            (void)nanosleep(&pause, NULL); /* cut short by a signal, it is just a shorter pause */
            continue;
        }
        if (error == EINTR && ++interrupted < 8)
            continue;
        if (error == ENOENT)
            return vas_shm_wait_(answer, path, VAS_SHM_MISSING, "not there yet: no such file or directory");
        if (error == EAGAIN)
            return vas_shm_wait_(answer, path, VAS_SHM_BUSY, "not there yet: the server is looking whether anybody is attached");
        if (error == ELOOP)
            return vas_shm_refuse_(answer, path, field, 0, "it is a symbolic link, and has to be a regular file");
        if (error == EACCES)
            return vas_shm_refuse_access_(answer, path, field);
        /* A socket or a device without a driver cannot even be opened. */
        if ((error == ENXIO || error == ENODEV) && lstat(path, found) == 0 && !S_ISREG(found->st_mode))
            return vas_shm_refuse_(answer, path, field, (uint64_t)found->st_mode, "it is not a regular file, and has to be one");
        return vas_shm_own_error_(answer, path, "failed", error);
    }
    if (fstat(fd, found) != 0)
        opened = vas_shm_own_error_(answer, path, "fstat failed", errno);
    else if (!S_ISREG(found->st_mode))
        opened = vas_shm_refuse_(answer, path, field, (uint64_t)found->st_mode, "it is %s, and has to be a regular file",
                                 S_ISDIR(found->st_mode)    ? "a directory"
                                 : S_ISFIFO(found->st_mode) ? "a FIFO"
                                                            : "no regular file");
    else if (options != NULL && options->insists_on_owner && found->st_uid != options->owner_uid)
        opened = vas_shm_refuse_(answer, path, field, (uint64_t)found->st_uid, "its owner is uid %ju, this reader insists on uid %ju",
                                 (uintmax_t)found->st_uid, (uintmax_t)options->owner_uid);
    if (opened != VAS_SHM_READY) {
        (void)close(fd);
        return opened;
    }
    *descriptor = fd;
    return VAS_SHM_READY;
}

/*
 * OPEN-7 to OPEN-16 for a copied header; the first check that fails is the answer. VAS_SHM_NOT_THERE_YET means a mixed pair.
 * No step can overflow: widths, heights and strides have 32 bits, so that their products have 64, and sums are compared by
 * subtraction.
 */
static inline enum vas_shm_opened vas_shm_check_(const struct vas_shm_header *copy, const char *path, const struct stat *meta,
                                                 const struct stat *data, struct vas_shm_checked_header *header,
                                                 struct vas_shm_answer *answer)
{
    struct vas_shm_checked_header h;
    uint64_t chroma_row, luma_plane, chroma_plane;
    uint32_t i, k;
    memset(&h, 0, sizeof h);

    h.version = copy->version;
    if (h.version == 0) /* OPEN-7 */
        return vas_shm_refuse_(answer, path, "version", h.version, "version is 0, must be at least 1");
    if (memcmp(copy->magic, VAS_SHM_MAGIC, sizeof copy->magic) != 0) { /* OPEN-8 */
        uint64_t magic;
        memcpy(&magic, copy->magic, sizeof magic);
        return vas_shm_refuse_(answer, path, "magic", magic,
                               "magic is 0x%016" PRIx64 " (read as a little-endian number), must be the bytes " VAS_SHM_MAGIC, magic);
    }
    h.header_size = copy->header_size;
    if (h.header_size < VAS_SHM_HEADER_SIZE) /* OPEN-9 */
        return vas_shm_refuse_(answer, path, "header_size", h.header_size, "header_size is %" PRIu32 ", must be at least %u",
                               h.header_size, VAS_SHM_HEADER_SIZE);
    if (h.header_size > (uint64_t)meta->st_size)
        return vas_shm_refuse_(answer, path, "header_size", h.header_size,
                               "header_size is %" PRIu32 ", must be at most the file's %ju bytes", h.header_size,
                               (uintmax_t)meta->st_size);

    h.data_inode = copy->data_inode;
    if (h.data_inode != (uint64_t)data->st_ino) /* OPEN-10 */
        return vas_shm_wait_(answer, path, VAS_SHM_MIXED_PAIR,
                             "not there yet: it belongs to another frame.data, the server is exchanging the pair");

    h.pixel_format = copy->pixel_format;
    if (h.pixel_format != VAS_SHM_PIXEL_FORMAT_NV12) /* OPEN-11 */
        return vas_shm_refuse_(answer, path, "pixel_format", h.pixel_format,
                               "pixel_format is 0x%08" PRIx32 ", must be 0x%08x (NV12)", h.pixel_format,
                               VAS_SHM_PIXEL_FORMAT_NV12);

    h.width = copy->width; /* OPEN-12 */
    if (h.width < 1 || h.width > VAS_SHM_MAX_DIMENSION)
        return vas_shm_refuse_(answer, path, "width", h.width, "width is %" PRIu32 ", must be 1 to %u", h.width,
                               VAS_SHM_MAX_DIMENSION);
    h.height = copy->height;
    if (h.height < 1 || h.height > VAS_SHM_MAX_DIMENSION)
        return vas_shm_refuse_(answer, path, "height", h.height, "height is %" PRIu32 ", must be 1 to %u", h.height,
                               VAS_SHM_MAX_DIMENSION);
    h.stride = copy->stride;
    chroma_row = 2 * (((uint64_t)h.width + 1) / 2); /* PIC-1 */
    if (h.stride < chroma_row)
        return vas_shm_refuse_(answer, path, "stride", h.stride,
                               "stride is %" PRIu32 ", must be at least %" PRIu64 " for a width of %" PRIu32, h.stride, chroma_row,
                               h.width);
    luma_plane = (uint64_t)h.stride * h.height;
    chroma_plane = (uint64_t)h.stride * (((uint64_t)h.height + 1) / 2);
    h.uv_offset = copy->uv_offset;
    if (h.uv_offset < luma_plane)
        return vas_shm_refuse_(answer, path, "uv_offset", h.uv_offset,
                               "uv_offset is %" PRIu64 ", must be at least stride * height = %" PRIu64, h.uv_offset, luma_plane);
    if (h.uv_offset > UINT64_MAX - chroma_plane)
        return vas_shm_refuse_(answer, path, "uv_offset", h.uv_offset,
                               "uv_offset is %" PRIu64 ", must be at most %" PRIu64 " so that a UV plane fits behind it",
                               h.uv_offset, UINT64_MAX - chroma_plane);
    h.data_size = copy->data_size;
    if (h.data_size < h.uv_offset + chroma_plane)
        return vas_shm_refuse_(answer, path, "data_size", h.data_size,
                               "data_size is %" PRIu64 ", must be at least uv_offset + stride * ceil(height / 2) = %" PRIu64,
                               h.data_size, h.uv_offset + chroma_plane);

    h.slot_count = copy->slot_count;
    if (h.slot_count < VAS_SHM_MIN_SLOTS || h.slot_count > VAS_SHM_MAX_SLOTS) /* OPEN-13 */
        return vas_shm_refuse_(answer, path, "slot_count", h.slot_count, "slot_count is %" PRIu32 ", must be %u to %u",
                               h.slot_count, VAS_SHM_MIN_SLOTS, VAS_SHM_MAX_SLOTS);
    if (copy->slot_record_size != VAS_SHM_SLOT_RECORD_SIZE) /* OPEN-14 */
        return vas_shm_refuse_(answer, path, "slot_record_size", copy->slot_record_size,
                               "slot_record_size is %" PRIu32 ", must be %u", copy->slot_record_size, VAS_SHM_SLOT_RECORD_SIZE);
    if (copy->slot_table_offset != VAS_SHM_SLOT_TABLE_OFFSET)
        return vas_shm_refuse_(answer, path, "slot_table_offset", copy->slot_table_offset,
                               "slot_table_offset is %" PRIu32 ", must be %u", copy->slot_table_offset, VAS_SHM_SLOT_TABLE_OFFSET);

    h.data_file_size = copy->data_file_size;
    for (i = 0; i < h.slot_count; i++) { /* OPEN-15; records from slot_count on are not looked at (HEAD-6) */
        uint64_t offset = copy->slot[i].data_offset;
        h.data_offset[i] = offset;
        if (offset % VAS_SHM_PAGE_SIZE != 0)
            return vas_shm_refuse_(answer, path, "slot[i].data_offset", offset,
                                   "slot[%" PRIu32 "].data_offset is %" PRIu64 ", must be a multiple of %u", i, offset,
                                   VAS_SHM_PAGE_SIZE);
        if (offset > h.data_file_size || h.data_size > h.data_file_size - offset)
            return vas_shm_refuse_(answer, path, "slot[i].data_offset", offset,
                                   "slot[%" PRIu32 "].data_offset is %" PRIu64 ", with data_size %" PRIu64
                                   " it must end within data_file_size %" PRIu64,
                                   i, offset, h.data_size, h.data_file_size);
    }
    for (i = 1; i < h.slot_count; i++) {
        for (k = 0; k < i; k++) {
            uint64_t low = h.data_offset[k] < h.data_offset[i] ? h.data_offset[k] : h.data_offset[i];
            uint64_t high = h.data_offset[k] < h.data_offset[i] ? h.data_offset[i] : h.data_offset[k];
            if (high - low < h.data_size)
                return vas_shm_refuse_(answer, path, "slot[i].data_offset", h.data_offset[i],
                                       "slot[%" PRIu32 "].data_offset is %" PRIu64 ", must be at least data_size %" PRIu64
                                       " away from slot[%" PRIu32 "].data_offset %" PRIu64,
                                       i, h.data_offset[i], h.data_size, k, h.data_offset[k]);
        }
    }
    if (h.data_file_size > (uint64_t)data->st_size) /* OPEN-16 */
        return vas_shm_refuse_(answer, path, "data_file_size", h.data_file_size,
                               "data_file_size is %" PRIu64 ", must be at most the %ju bytes that frame.data has", h.data_file_size,
                               (uintmax_t)data->st_size);

    h.color_range = copy->color_range;
    if (h.color_range != VAS_SHM_COLOR_RANGE_LIMITED && h.color_range != VAS_SHM_COLOR_RANGE_FULL)
        h.color_range = VAS_SHM_COLOR_RANGE_UNKNOWN; /* HEAD-7 */
    h.color_primaries = copy->color_primaries;
    h.color_transfer = copy->color_transfer;
    h.color_matrix = copy->color_matrix;
    h.generation = copy->generation;
    *header = h;
    return VAS_SHM_READY;
}

/* Lets go of a pair (LIFE-6): unmaps both files. Frames and plane pointers of it end here. A closed reader may be closed again. */
static inline void vas_shm_close(struct vas_shm_reader *reader)
{
    /* munmap takes a plain pointer and writes nothing through it. */
    if (reader->meta_ != NULL)
        (void)munmap((void *)(uintptr_t)reader->meta_, VAS_SHM_HEADER_SIZE);
    if (reader->data_ != NULL)
        (void)munmap((void *)(uintptr_t)reader->data_, (size_t)reader->header.data_file_size);
    reader->meta_ = NULL;
    reader->data_ = NULL;
}

/* OPEN-5 to OPEN-18 for two open files. What it has mapped when it fails is vas_shm_close's to unmap. */
static inline enum vas_shm_opened vas_shm_map_(struct vas_shm_reader *reader, int meta_fd, const struct stat *meta, int data_fd,
                                               const struct stat *data, const struct vas_shm_options *options,
                                               struct vas_shm_answer *answer)
{
    struct vas_shm_header copy;
    unsigned char *bytes = (unsigned char *)&copy;
    const volatile unsigned char *shared;
    const char *path = reader->meta_path_;
    enum vas_shm_opened opened;
    uint32_t state;
    int flags = MAP_SHARED;
    size_t i;
    void *mapped;
    if (meta->st_size < (off_t)VAS_SHM_HEADER_SIZE) /* OPEN-6 */
        return vas_shm_refuse_(answer, path, "frame.meta", (uint64_t)meta->st_size, "it has %ju bytes, must have at least %u",
                               (uintmax_t)meta->st_size, VAS_SHM_HEADER_SIZE);
    mapped = mmap(NULL, VAS_SHM_HEADER_SIZE, PROT_READ, MAP_SHARED, meta_fd, 0); /* OPEN-5, TRUST-1 */
    if (mapped == MAP_FAILED)
        return vas_shm_own_error_(answer, path, "mmap failed", errno);
    reader->meta_ = (const unsigned char *)mapped;
    /* LIVE-1 counts changes from here on. */
    reader->first_frame_id_ = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
    reader->first_heartbeat_ns_ = vas_shm_load64_(reader, VAS_SHM_OFFSET_HEARTBEAT_NS);
    /* Each byte once (HEAD-3). What comes out of the A fields is not used. */
    shared = reader->meta_;
    for (i = 0; i < sizeof copy; i++)
        bytes[i] = shared[i];
    opened = vas_shm_check_(&copy, path, meta, data, &reader->header, answer);
    if (opened != VAS_SHM_READY)
        return opened;
    state = vas_shm_load32_(reader, VAS_SHM_OFFSET_STATE); /* OPEN-17; an A field, so loaded whole (HEAD-2) */
    if (state == VAS_SHM_STATE_STOPPED)
        return vas_shm_wait_(answer, path, VAS_SHM_STOPPED, "not there yet: the camera was stopped");
    if (state == VAS_SHM_STATE_REPLACED)
        return vas_shm_wait_(answer, path, VAS_SHM_REPLACED, "not there yet: another pair is taking its place");
#ifdef MAP_POPULATE
    if (options != NULL && options->populate)
        flags |= MAP_POPULATE;
#else
    (void)options;
#endif
    mapped = mmap(NULL, (size_t)reader->header.data_file_size, PROT_READ, flags, data_fd, 0); /* OPEN-18 */
    if (mapped == MAP_FAILED)
        return vas_shm_own_error_(answer, path, "mmap of frame.data failed", errno);
    reader->data_ = (const unsigned char *)mapped;
    reader->meta_device_ = meta->st_dev;
    reader->meta_inode_ = meta->st_ino;
    return VAS_SHM_READY;
}

static inline enum vas_shm_opened vas_shm_open_once_(struct vas_shm_reader *reader, const char *data_path,
                                                     const struct vas_shm_options *options, struct vas_shm_answer *answer)
{
    struct stat meta, data;
    int meta_fd = -1, data_fd = -1;
    enum vas_shm_opened opened;
    opened = vas_shm_open_name_(reader->meta_path_, VAS_SHM_META_NAME, options, answer, &meta_fd, &meta);
    if (opened != VAS_SHM_READY)
        return opened;
    opened = vas_shm_open_name_(data_path, VAS_SHM_DATA_NAME, options, answer, &data_fd, &data);
    if (opened == VAS_SHM_READY) {
        opened = vas_shm_map_(reader, meta_fd, &meta, data_fd, &data, options, answer);
        (void)close(data_fd);
    }
    /* The mapping alone keeps a reader attached (IDLE-1). */
    (void)close(meta_fd);
    if (opened != VAS_SHM_READY)
        vas_shm_close(reader);
    return opened;
}

/*
 * Opens the pair of a camera in a base directory (VAS_SHM_DEFAULT_BASE unless the operator says otherwise): OPEN-1 to OPEN-18.
 *
 * The reader need not be initialised, and is left closed unless the answer is VAS_SHM_READY; then it is the caller's to close. A
 * relative base is looked up again by vas_shm_name_is_ours, so do not change the working directory under it. options may be NULL.
 * answer must not be NULL; the return value is answer->opened. Let vas_shm_retry_after_ns(answer) pass before trying again.
 *
 * VAS_SHM_OWN_ERROR with EINVAL: camera_id is no camera id (FILE-2). ENAMETOOLONG: a path of VAS_SHM_PATH_SIZE bytes or more.
 */
static inline enum vas_shm_opened vas_shm_open(struct vas_shm_reader *reader, const char *base, const char *camera_id,
                                               const struct vas_shm_options *options, struct vas_shm_answer *answer)
{
    char data_path[VAS_SHM_PATH_SIZE];
    enum vas_shm_opened opened = VAS_SHM_NOT_THERE_YET;
    int attempt, meta_length, data_length;
    memset(reader, 0, sizeof *reader);
    if (!vas_shm_camera_id_is_valid(camera_id)) {
        vas_shm_answer_(answer, VAS_SHM_OWN_ERROR, base);
        answer->error = EINVAL;
        vas_shm_append_(answer, "\"%s\" is no camera id: 1 to %d letters, digits, _ and -, the first a letter or digit",
                        camera_id == NULL ? "" : camera_id, (int)VAS_SHM_CAMERA_ID_MAX);
        return VAS_SHM_OWN_ERROR;
    }
    meta_length = snprintf(reader->meta_path_, sizeof reader->meta_path_, "%s/%s/%s", base, camera_id, VAS_SHM_META_NAME);
    data_length = snprintf(data_path, sizeof data_path, "%s/%s/%s", base, camera_id, VAS_SHM_DATA_NAME);
    if (meta_length < 0 || data_length < 0 || meta_length >= VAS_SHM_PATH_SIZE || data_length >= VAS_SHM_PATH_SIZE)
        return vas_shm_own_error_(answer, base, "failed", ENAMETOOLONG);
    vas_shm_answer_(answer, VAS_SHM_READY, reader->meta_path_);
    for (attempt = 0; attempt < VAS_SHM_MIXED_PAIR_ATTEMPTS; attempt++) { /* OPEN-10 */
        opened = vas_shm_open_once_(reader, data_path, options, answer);
        if (opened != VAS_SHM_NOT_THERE_YET || answer->reason != VAS_SHM_MIXED_PAIR)
            break;
    }
    if (opened == VAS_SHM_READY)
        vas_shm_answer_(answer, VAS_SHM_READY, reader->meta_path_);
    return opened;
}

/* Nanoseconds to let pass before the next vas_shm_open (OPEN-19); 0 after VAS_SHM_READY. */
static inline uint64_t vas_shm_retry_after_ns(const struct vas_shm_answer *answer)
{
    switch (answer->opened) {
    case VAS_SHM_READY:
        return 0;
    case VAS_SHM_NOT_THERE_YET:
        return VAS_SHM_RETRY_NS;
    case VAS_SHM_REFUSED:
    case VAS_SHM_OWN_ERROR:
        break;
    }
    return VAS_SHM_RETRY_AFTER_REFUSAL_NS;
}

/* ---- Reading (section 7) -------------------------------------------------------------------------------------------------- */

/* READ-2 to READ-4 for one frame: whether the slot holds it, and then its numbers. */
static inline bool vas_shm_take_(const struct vas_shm_reader *reader, uint64_t id, struct vas_shm_frame *frame)
{
    uint64_t record = vas_shm_record_(reader, id);
    if (vas_shm_load64_(reader, record + VAS_SHM_SLOT_OFFSET_FRAME_ID) != id) /* READ-2 */
        return false;
    vas_shm_fence_acquire_(); /* READ-3, SYNC-2, SYNC-3 */
    frame->id = id;           /* READ-4; the caller reads the pixels */
    frame->timestamp_ns = vas_shm_load64_(reader, record + VAS_SHM_SLOT_OFFSET_TIMESTAMP_NS);
    frame->flags = vas_shm_load64_(reader, record + VAS_SHM_SLOT_OFFSET_FLAGS);
    return true;
}

/*
 * The newest frame, unless it is the one with number `seen` (0: none was seen in this pair). READ-1 to READ-4, READ-7.
 * VAS_SHM_FRAME fills *frame in; VAS_SHM_NOTHING_NEW and VAS_SHM_OVERRUN leave it alone. Right after an opening the frame may be
 * that of a server that was killed: see vas_shm_liveness_look (LIVE-1).
 */
static inline enum vas_shm_found vas_shm_latest(const struct vas_shm_reader *reader, uint64_t seen, struct vas_shm_frame *frame)
{
    uint64_t newest = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID); /* READ-1 */
    uint64_t again;
    uint32_t lapped;
    for (lapped = 0; lapped < reader->header.slot_count; lapped++) { /* READ-7 */
        if (newest == 0 || newest == seen)
            return VAS_SHM_NOTHING_NEW;
        if (vas_shm_take_(reader, newest, frame))
            return VAS_SHM_FRAME;
        again = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
        if (again == newest)
            return VAS_SHM_NOTHING_NEW; /* the slots were taken back */
        newest = again;
    }
    return VAS_SHM_OVERRUN;
}

/*
 * The oldest frame newer than `seen` that still stands (0: none was seen in this pair), to get all of them in order as long as
 * the caller keeps up. READ-9. frame->id - seen - 1 frames were skipped if one was seen in this pair (READ-10, HEAD-10).
 */
static inline enum vas_shm_found vas_shm_next(const struct vas_shm_reader *reader, uint64_t seen, struct vas_shm_frame *frame)
{
    uint64_t slots = reader->header.slot_count;
    uint64_t newest = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
    uint64_t again, id;
    uint32_t lapped;
    for (lapped = 0; lapped < slots; lapped++) {
        if (newest == 0 || newest <= seen)
            return VAS_SHM_NOTHING_NEW;
        /* From max(seen + 1, newest - S + 1), and never 0, which an empty slot holds. */
        id = newest >= slots ? newest - slots + 1 : 1;
        if (id <= seen)
            id = seen + 1;
        for (;; id++) {
            if (vas_shm_take_(reader, id, frame))
                return VAS_SHM_FRAME;
            if (id == newest)
                break;
        }
        again = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
        if (again == newest)
            return VAS_SHM_NOTHING_NEW;
        newest = again;
    }
    return VAS_SHM_OVERRUN;
}

/* The frame with this number, while it stands: VAS_SHM_FRAME or VAS_SHM_FRAME_GONE. READ-9. */
static inline enum vas_shm_found vas_shm_at(const struct vas_shm_reader *reader, uint64_t id, struct vas_shm_frame *frame)
{
    uint64_t newest = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
    if (id == 0 || id > newest || newest - id >= reader->header.slot_count)
        return VAS_SHM_FRAME_GONE;
    return vas_shm_take_(reader, id, frame) ? VAS_SHM_FRAME : VAS_SHM_FRAME_GONE;
}

/*
 * Whether everything that was read of the frame until now, its numbers and its pixels, is that frame and nothing else: READ-5,
 * READ-6. After a no, all of it has to be treated as never read. May be asked again and again during long work (READ-8).
 */
static inline bool vas_shm_is_intact(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame)
{
    vas_shm_fence_acquire_(); /* READ-5, SYNC-1 */
    return vas_shm_load64_(reader, vas_shm_record_(reader, frame->id) + VAS_SHM_SLOT_OFFSET_FRAME_ID) == frame->id; /* READ-6 */
}

/* Whether the decoder reported loss or concealment: the picture may show blocks or smears (HEAD-12). */
static inline bool vas_shm_is_damaged(const struct vas_shm_frame *frame)
{
    return (frame->flags & VAS_SHM_FRAME_FLAG_DAMAGED) != 0;
}

/*
 * The luma plane by reference: header.height rows of header.width bytes, header.stride bytes apart (section 4).
 *
 * What C promises: the server may overwrite these bytes at any moment, and reading them then is a data race by the letter of the
 * standard, volatile or not. Compilers move no such read across the fence in vas_shm_is_intact, any byte is a valid sample, and
 * a torn picture is rejected there. So the pointer is a plain one, fit for memcpy and vector code; but a value read twice may
 * differ, and nothing may be indexed by one before vas_shm_is_intact has said yes.
 */
static inline const unsigned char *vas_shm_luma(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame)
{
    return reader->data_ + reader->header.data_offset[frame->id % reader->header.slot_count]; /* HEAD-3, READ-11 */
}

/* The chroma plane, likewise: ceil(height / 2) rows of 2 * ceil(width / 2) bytes, Cb and Cr in turn, header.stride bytes apart. */
static inline const unsigned char *vas_shm_chroma(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame)
{
    return vas_shm_luma(reader, frame) + reader->header.uv_offset;
}

/* Bytes of a luma row without padding. */
static inline size_t vas_shm_luma_row_size(const struct vas_shm_reader *reader)
{
    return reader->header.width;
}

/* Bytes of a chroma row without padding: one more than the width if that is odd (PIC-1). */
static inline size_t vas_shm_chroma_row_size(const struct vas_shm_reader *reader)
{
    return 2 * (((size_t)reader->header.width + 1) / 2);
}

/* Rows of the chroma plane. */
static inline size_t vas_shm_chroma_rows(const struct vas_shm_reader *reader)
{
    return ((size_t)reader->header.height + 1) / 2;
}

/* Bytes of a frame without padding: the luma rows, then the chroma rows. */
static inline size_t vas_shm_packed_size(const struct vas_shm_reader *reader)
{
    return vas_shm_luma_row_size(reader) * reader->header.height + vas_shm_chroma_row_size(reader) * vas_shm_chroma_rows(reader);
}

/*
 * Copies a frame without padding, luma then chroma, and proves the copy: READ-4 to READ-6. The frame is the caller's only with
 * VAS_SHM_COPY_INTACT. `size` is the room at `to` in bytes, at least vas_shm_packed_size(reader).
 */
static inline enum vas_shm_copied vas_shm_copy_packed(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame,
                                                      unsigned char *to, size_t size)
{
    const unsigned char *from = vas_shm_luma(reader, frame);
    size_t row, rows = reader->header.height, row_size = vas_shm_luma_row_size(reader);
    if (size < vas_shm_packed_size(reader))
        return VAS_SHM_COPY_NO_ROOM;
    for (row = 0; row < rows; row++, to += row_size)
        memcpy(to, from + row * reader->header.stride, row_size); /* PIC-4 */
    from = vas_shm_chroma(reader, frame);
    rows = vas_shm_chroma_rows(reader);
    row_size = vas_shm_chroma_row_size(reader);
    for (row = 0; row < rows; row++, to += row_size)
        memcpy(to, from + row * reader->header.stride, row_size);
    return vas_shm_is_intact(reader, frame) ? VAS_SHM_COPY_INTACT : VAS_SHM_COPY_OVERWRITTEN;
}

/* ---- Is the server there (section 11) ------------------------------------------------------------------------------------- */

/* This process's CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t vas_shm_monotonic_ns(void)
{
    struct timespec now;
    /* Cannot fail for a clock that the system has, which POSIX.1-2008 demands of this one. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Age of a frame in nanoseconds, 0 if negative. Means something only in the server's time namespace (CLOCK-2). */
static inline uint64_t vas_shm_age_ns(const struct vas_shm_frame *frame, uint64_t now_ns)
{
    return now_ns > frame->timestamp_ns ? now_ns - frame->timestamp_ns : 0;
}

/* Loads the words that say how the server is. */
static inline struct vas_shm_observation vas_shm_observe(const struct vas_shm_reader *reader)
{
    struct vas_shm_observation seen;
    seen.state = vas_shm_load32_(reader, VAS_SHM_OFFSET_STATE);
    if (seen.state != VAS_SHM_STATE_STALLED && seen.state != VAS_SHM_STATE_STOPPED && seen.state != VAS_SHM_STATE_REPLACED)
        seen.state = VAS_SHM_STATE_LIVE; /* HEAD-7 */
    seen.is_idle = (vas_shm_load32_(reader, VAS_SHM_OFFSET_FLAGS) & VAS_SHM_FLAG_IDLE) != 0;
    seen.frame_id = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_ID);
    seen.timestamp_ns = vas_shm_load64_(reader, VAS_SHM_OFFSET_TIMESTAMP_NS);
    seen.heartbeat_ns = vas_shm_load64_(reader, VAS_SHM_OFFSET_HEARTBEAT_NS);
    seen.frame_period_ns = vas_shm_load64_(reader, VAS_SHM_OFFSET_FRAME_PERIOD_NS);
    return seen;
}

/*
 * Whether the name frame.meta still leads to the file that is open (LIVE-5). One system call. A name that cannot be looked at
 * counts as no: opening again says what is the matter.
 */
static inline bool vas_shm_name_is_ours(const struct vas_shm_reader *reader)
{
    struct stat found;
    return lstat(reader->meta_path_, &found) == 0 && found.st_ino == reader->meta_inode_ && found.st_dev == reader->meta_device_;
}

/* Whether a pair with this status is over: close it, and open again after VAS_SHM_RETRY_NS (LIFE-6, LIVE-5, OPEN-19). */
static inline bool vas_shm_must_leave(enum vas_shm_liveness_status status)
{
    return status == VAS_SHM_LIVENESS_STOPPED || status == VAS_SHM_LIVENESS_REPLACED || status == VAS_SHM_LIVENESS_NAME_LOST;
}

/* Begins to watch a pair that was just opened. now_ns is the caller's monotonic clock in nanoseconds. */
static inline void vas_shm_liveness_start(struct vas_shm_liveness *liveness, const struct vas_shm_reader *reader, uint64_t now_ns)
{
    memset(liveness, 0, sizeof *liveness);
    liveness->status = VAS_SHM_LIVENESS_UNPROVEN;
    liveness->frame_id_ = reader->first_frame_id_;
    liveness->heartbeat_ns_ = reader->first_heartbeat_ns_;
    liveness->changed_at_ns_ = now_ns;
    liveness->name_due_at_ns_ = now_ns + VAS_SHM_NAME_CHECK_NS;
}

/* What the words say, in the order of LIVE-2 and without the name: the first half of vas_shm_liveness_look. */
static inline enum vas_shm_liveness_status vas_shm_liveness_words_(struct vas_shm_liveness *liveness,
                                                                   const struct vas_shm_reader *reader, uint64_t now_ns)
{
    struct vas_shm_observation seen = vas_shm_observe(reader);
    bool has_new_frame = seen.frame_id != liveness->frame_id_;
    if (has_new_frame || seen.heartbeat_ns != liveness->heartbeat_ns_) { /* LIVE-4: compared with its earlier value only */
        liveness->has_changed_ = true;
        liveness->changed_at_ns_ = now_ns;
        liveness->frame_id_ = seen.frame_id;
        liveness->heartbeat_ns_ = seen.heartbeat_ns;
    }
    if (has_new_frame)
        liveness->name_due_at_ns_ = now_ns + VAS_SHM_NAME_CHECK_NS;

    if (vas_shm_must_leave(liveness->status)) /* final (LIFE-6), and a name that was lost is not ours again */
        return liveness->status;
    if (seen.state == VAS_SHM_STATE_STOPPED)
        return VAS_SHM_LIVENESS_STOPPED;
    if (seen.state == VAS_SHM_STATE_REPLACED)
        return VAS_SHM_LIVENESS_REPLACED;
    if (now_ns > liveness->changed_at_ns_ && now_ns - liveness->changed_at_ns_ >= VAS_SHM_SERVER_GONE_NS)
        return VAS_SHM_LIVENESS_SERVER_GONE; /* LIVE-3 */
    if (!liveness->has_changed_)
        return VAS_SHM_LIVENESS_UNPROVEN; /* LIVE-1 */
    if (seen.state == VAS_SHM_STATE_STALLED)
        return VAS_SHM_LIVENESS_STALLED;
    return seen.is_idle ? VAS_SHM_LIVENESS_IDLE : VAS_SHM_LIVENESS_LIVE;
}

/*
 * Looks how the server is, in the order of LIVE-2, and says it as LIVE-6 does. To be called whenever nothing new comes, as often
 * as one polls: it loads words, and about every 100 ms while nothing comes it asks for the name (one system call).
 *
 * liveness->is_current tells whether the newest frame may be shown as the present one (LIVE-1): something has changed since the
 * opening, and the server has neither gone nor left the pair. For which statuses a pair is to be left, see vas_shm_must_leave.
 */
static inline enum vas_shm_liveness_status vas_shm_liveness_look(struct vas_shm_liveness *liveness,
                                                                 const struct vas_shm_reader *reader, uint64_t now_ns)
{
    enum vas_shm_liveness_status status = vas_shm_liveness_words_(liveness, reader, now_ns);
    if (now_ns >= liveness->name_due_at_ns_ && !vas_shm_must_leave(status)) { /* LIVE-5 */
        liveness->name_due_at_ns_ = now_ns + VAS_SHM_NAME_CHECK_NS;
        if (!vas_shm_name_is_ours(reader))
            status = VAS_SHM_LIVENESS_NAME_LOST;
    }
    liveness->status = status;
    liveness->is_current = liveness->has_changed_ && status != VAS_SHM_LIVENESS_SERVER_GONE && !vas_shm_must_leave(status);
    return status;
}

/* What a status is called, for people. */
static inline const char *vas_shm_liveness_name(enum vas_shm_liveness_status status)
{
    switch (status) {
    case VAS_SHM_LIVENESS_UNPROVEN:
        return "unproven";
    case VAS_SHM_LIVENESS_LIVE:
        return "live";
    case VAS_SHM_LIVENESS_IDLE:
        return "idle";
    case VAS_SHM_LIVENESS_STALLED:
        return "stalled";
    case VAS_SHM_LIVENESS_SERVER_GONE:
        return "server gone";
    case VAS_SHM_LIVENESS_STOPPED:
        return "stopped";
    case VAS_SHM_LIVENESS_REPLACED:
        return "replaced";
    case VAS_SHM_LIVENESS_NAME_LOST:
        return "name lost";
    }
    return "unknown";
}

#endif /* VAS_SHM_H */
