/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `steps`: the reader's steps of section 7 one by one. Atomic loads and fences are replaced by a script, which says what each load
 * is answered and which one has to come next. Prints "ok", or what came instead.
 *
 * A live writer cannot show this: on x86-64 a fence is no instruction, and whoever forgets one is right until a compiler moves a
 * load.
 */
#ifndef _GNU_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(int line, const char *what)
{
    printf("line %d: %s\n", line, what);
    exit(1);
}

static uint64_t scripted_load(const void *at, size_t size, bool is_relaxed);
static void scripted_fence(bool is_acquire);

#ifdef __cplusplus
#include <atomic>
/* The reader's own names lead here, behind the header that has the real ones. */
namespace std {
template <class T> struct scripted_atomic {
    T value;
    T load(memory_order order) const { return static_cast<T>(scripted_load(this, sizeof value, order == memory_order_relaxed)); }
};
inline void scripted_thread_fence(memory_order order) { scripted_fence(order == memory_order_acquire); }
}
#define atomic scripted_atomic
#define atomic_thread_fence scripted_thread_fence
#else
#include <stdatomic.h>
static uint64_t scripted_load64(const void *at, memory_order order) { return scripted_load(at, 8, order == memory_order_relaxed); }
static uint32_t scripted_load32(const void *at, memory_order order)
{
    return (uint32_t)scripted_load(at, 4, order == memory_order_relaxed);
}
#undef atomic_load_explicit
#define atomic_load_explicit(at, order) \
    _Generic((at), const _Atomic uint64_t *: scripted_load64, const _Atomic uint32_t *: scripted_load32)((at), (order))
#undef atomic_thread_fence
#define atomic_thread_fence(order) scripted_fence((order) == memory_order_acquire)
#endif

#include "vas_shm.h"

/* ---- The script ----------------------------------------------------------------------------------------------------------- */

enum kind { LOAD64, LOAD32, FENCE };

struct step {
    enum kind kind;
    uint64_t offset;
    uint64_t answer;
};

#define MAX_STEPS 64
static struct step script[MAX_STEPS];
static size_t scripted, done;
static int script_line;

/* frame.meta, of which only the place counts: what stands there is never loaded. */
static struct vas_shm_header meta;
/* Three slots of two pages; what comes to the reader is the frame in one of them. */
#define SLOT_SIZE ((size_t)2 * VAS_SHM_PAGE_SIZE)
static unsigned char data[3 * SLOT_SIZE];
static struct vas_shm_reader reader;
/* What a fence does to the pixels, as a writer might at that moment. */
static bool fence_overwrites;

static void next_step(enum kind kind, uint64_t offset)
{
    char text[160];
    if (done < scripted && script[done].kind == kind && script[done].offset == offset)
        return;
    (void)snprintf(text, sizeof text, "step %zu is %s at %" PRIu64 ", and has to be %s at %" PRIu64, done,
                   kind == FENCE ? "a fence" : "a load", offset,
                   done == scripted            ? "none"
                   : script[done].kind == FENCE ? "a fence"
                                                : "a load",
                   done == scripted ? 0 : script[done].offset);
    fail(script_line, text);
}

static uint64_t scripted_load(const void *at, size_t size, bool is_relaxed)
{
    if (!is_relaxed)
        fail(script_line, "a load is not relaxed (READ-12)");
    next_step(size == 4 ? LOAD32 : LOAD64, (uint64_t)((const unsigned char *)at - (const unsigned char *)&meta));
    return script[done++].answer;
}

static void scripted_fence(bool is_acquire)
{
    if (!is_acquire)
        fail(script_line, "a fence is no acquire fence");
    next_step(FENCE, 0);
    done++;
    if (fence_overwrites)
        memset(data, 0xee, sizeof data);
}

static void begin(int line)
{
    script_line = line;
    scripted = done = 0;
}

static void add(enum kind kind, uint64_t offset, uint64_t answer)
{
    if (scripted == MAX_STEPS)
        fail(script_line, "the script is too long");
    script[scripted].kind = kind;
    script[scripted].offset = offset;
    script[scripted].answer = answer;
    scripted++;
}

/* A script begins; each step is one of the table in section 3. */
#define SCRIPT begin(__LINE__)
#define PUBLISHED(answer) add(LOAD64, 8, (answer))
#define SLOT_ID(id, answer) add(LOAD64, 256 + 64 * ((id) % 3), (answer))
#define ACQUIRE add(FENCE, 0, 0)
/* READ-2 to READ-4 for a frame that stands. */
#define STANDS(id) \
    do { \
        SLOT_ID(id, id); \
        ACQUIRE; \
        add(LOAD64, 264 + 64 * ((id) % 3), (id) * 1000); \
        add(LOAD64, 280 + 64 * ((id) % 3), (id) % 2); \
    } while (0)
/* What was scripted happens, all of it, and gives this. */
#define GIVES(condition) \
    do { \
        if (!(condition)) \
            fail(__LINE__, #condition); \
        if (done != scripted) \
            fail(__LINE__, "it ends before all steps were done"); \
    } while (0)

/* ---- The steps ------------------------------------------------------------------------------------------------------------ */

static const struct vas_shm_frame none = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
static struct vas_shm_frame frame;

/* Whether the frame was filled in with its own numbers. */
static bool is_frame(uint64_t id)
{
    bool is_right = frame.id == id && frame.timestamp_ns == id * 1000 && frame.flags == id % 2;
    frame = none;
    return is_right;
}

static bool is_none(void)
{
    return frame.id == none.id && frame.timestamp_ns == none.timestamp_ns && frame.flags == none.flags;
}

/* Proves READ-1, READ-2, READ-7, and READ-3 with READ-4 in their order. */
static void the_newest(void)
{
    SCRIPT;
    PUBLISHED(7);
    STANDS(7);
    GIVES(vas_shm_latest(&reader, 6, &frame) == VAS_SHM_FRAME && is_frame(7));
    SCRIPT;
    PUBLISHED(0);
    GIVES(vas_shm_latest(&reader, 0, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    SCRIPT;
    PUBLISHED(7);
    GIVES(vas_shm_latest(&reader, 7, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    /* Taken back. */
    SCRIPT;
    PUBLISHED(7);
    SLOT_ID(7, 0);
    PUBLISHED(7);
    GIVES(vas_shm_latest(&reader, 0, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    /* Lapped, and then not. */
    SCRIPT;
    PUBLISHED(7);
    SLOT_ID(7, 0);
    PUBLISHED(9);
    SLOT_ID(9, 12);
    PUBLISHED(12);
    STANDS(12);
    GIVES(vas_shm_latest(&reader, 0, &frame) == VAS_SHM_FRAME && is_frame(12));
    /* Lapped to the end: three attempts of three slots. */
    SCRIPT;
    PUBLISHED(7);
    SLOT_ID(7, 10);
    PUBLISHED(10);
    SLOT_ID(10, 13);
    PUBLISHED(13);
    SLOT_ID(13, 16);
    PUBLISHED(16);
    GIVES(vas_shm_latest(&reader, 0, &frame) == VAS_SHM_OVERRUN && is_none());
}

/* Proves READ-9, every frame in order, and READ-7 for it. */
static void every_frame(void)
{
    SCRIPT;
    PUBLISHED(9);
    STANDS(8);
    GIVES(vas_shm_next(&reader, 7, &frame) == VAS_SHM_FRAME && is_frame(8));
    /* Behind by more than S, or nothing seen: from n - S + 1. */
    SCRIPT;
    PUBLISHED(9);
    STANDS(7);
    GIVES(vas_shm_next(&reader, 1, &frame) == VAS_SHM_FRAME && is_frame(7));
    SCRIPT;
    PUBLISHED(9);
    SLOT_ID(7, 10);
    STANDS(8);
    GIVES(vas_shm_next(&reader, 0, &frame) == VAS_SHM_FRAME && is_frame(8));
    /* 0 is no frame. */
    SCRIPT;
    PUBLISHED(2);
    STANDS(1);
    GIVES(vas_shm_next(&reader, 0, &frame) == VAS_SHM_FRAME && is_frame(1));
    SCRIPT;
    PUBLISHED(0);
    GIVES(vas_shm_next(&reader, 0, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    SCRIPT;
    PUBLISHED(9);
    GIVES(vas_shm_next(&reader, 9, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    SCRIPT;
    PUBLISHED(9);
    SLOT_ID(8, 0);
    SLOT_ID(9, 0);
    PUBLISHED(9);
    GIVES(vas_shm_next(&reader, 7, &frame) == VAS_SHM_NOTHING_NEW && is_none());
    SCRIPT;
    PUBLISHED(9);
    SLOT_ID(9, 12);
    PUBLISHED(12);
    SLOT_ID(10, 13);
    SLOT_ID(11, 14);
    SLOT_ID(12, 15);
    PUBLISHED(15);
    SLOT_ID(13, 16);
    SLOT_ID(14, 17);
    SLOT_ID(15, 18);
    PUBLISHED(18);
    GIVES(vas_shm_next(&reader, 8, &frame) == VAS_SHM_OVERRUN && is_none());
}

/* Proves READ-9, one particular frame. */
static void one_particular_frame(void)
{
    uint64_t id;
    for (id = 7; id <= 9; id++) {
        SCRIPT;
        PUBLISHED(9);
        STANDS(id);
        GIVES(vas_shm_at(&reader, id, &frame) == VAS_SHM_FRAME && is_frame(id));
    }
    SCRIPT;
    PUBLISHED(9);
    SLOT_ID(7, 10);
    GIVES(vas_shm_at(&reader, 7, &frame) == VAS_SHM_FRAME_GONE && is_none());
    for (id = 6; id <= 10; id += 4) {
        SCRIPT;
        PUBLISHED(9);
        GIVES(vas_shm_at(&reader, id, &frame) == VAS_SHM_FRAME_GONE && is_none());
    }
    SCRIPT;
    PUBLISHED(2);
    GIVES(vas_shm_at(&reader, 0, &frame) == VAS_SHM_FRAME_GONE && is_none());
}

/* Proves READ-5, READ-6 and READ-8. */
static void the_check_at_the_end(void)
{
    static const uint64_t others[] = {0, 4, 8, 10, UINT64_MAX};
    struct vas_shm_frame seven = {7, 7000, 1};
    size_t i;
    SCRIPT;
    ACQUIRE;
    SLOT_ID(7, 7);
    ACQUIRE;
    SLOT_ID(7, 7);
    GIVES(vas_shm_is_intact(&reader, &seven) && vas_shm_is_intact(&reader, &seven));
    for (i = 0; i < sizeof others / sizeof *others; i++) {
        SCRIPT;
        ACQUIRE;
        SLOT_ID(7, others[i]);
        GIVES(!vas_shm_is_intact(&reader, &seven));
    }
}

/* Proves PIC-4, HEAD-3, HEAD-5, and that a copy is made before READ-5: at the fence the pixels change. */
static void a_copy(void)
{
    struct vas_shm_frame seven = {7, 7000, 1};
    const unsigned char *slot = data + reader.header.data_offset[7 % 3];
    /* 5 x 3 pixels: three luma rows of five bytes, two chroma rows of six. */
    unsigned char packed[27], expected[27];
    size_t at = 0, row, column, i;
    uint64_t last;
    for (last = 7; last <= 10; last += 3) {
        /* Every byte of a slot says where it is, and in which slot. */
        for (i = 0; i < sizeof data; i++)
            data[i] = (unsigned char)(i * 7 + i / 256 + i / SLOT_SIZE * 100);
        for (at = 0, row = 0; row < 3; row++)
            for (column = 0; column < 5; column++)
                expected[at++] = slot[row * reader.header.stride + column];
        for (row = 0; row < 2; row++)
            for (column = 0; column < 6; column++)
                expected[at++] = slot[reader.header.uv_offset + row * reader.header.stride + column];
        SCRIPT;
        ACQUIRE;
        SLOT_ID(7, last);
        fence_overwrites = true;
        GIVES(vas_shm_copy_packed(&reader, &seven, packed, sizeof packed) ==
              (last == 7 ? VAS_SHM_COPY_INTACT : VAS_SHM_COPY_OVERWRITTEN));
        fence_overwrites = false;
        GIVES(at == sizeof packed && memcmp(packed, expected, sizeof packed) == 0);
    }
}

/* Proves HEAD-7 and HEAD-2: each word is loaded once, by its own size. */
static void an_observation(void)
{
    static const uint32_t states[][2] = {
        {0, VAS_SHM_STATE_LIVE},
        {VAS_SHM_STATE_LIVE, VAS_SHM_STATE_LIVE},
        {VAS_SHM_STATE_STALLED, VAS_SHM_STATE_STALLED},
        {VAS_SHM_STATE_STOPPED, VAS_SHM_STATE_STOPPED},
        {VAS_SHM_STATE_REPLACED, VAS_SHM_STATE_REPLACED},
        {5, VAS_SHM_STATE_LIVE},
        {UINT32_MAX, VAS_SHM_STATE_LIVE},
    };
    size_t i;
    for (i = 0; i < sizeof states / sizeof *states; i++) {
        struct vas_shm_observation seen;
        SCRIPT;
        add(LOAD32, 56, states[i][0]);
        /* Idle, or every other bit. */
        add(LOAD32, 60, i % 2 == 0 ? UINT32_MAX - 1 : 1);
        PUBLISHED(1);
        add(LOAD64, 16, 2);
        add(LOAD64, 104, 3);
        add(LOAD64, 112, 4);
        seen = vas_shm_observe(&reader);
        GIVES(seen.state == states[i][1] && seen.is_idle == (i % 2 == 1));
        GIVES(seen.frame_id == 1 && seen.timestamp_ns == 2 && seen.heartbeat_ns == 3 && seen.frame_period_ns == 4);
    }
}

int main(void)
{
    uint32_t slot;
    reader.meta_ = (const unsigned char *)&meta;
    reader.data_ = data;
    reader.header.slot_count = 3;
    reader.header.width = 5;
    reader.header.height = 3;
    reader.header.stride = 64;
    reader.header.uv_offset = 4096;
    reader.header.data_size = SLOT_SIZE;
    reader.header.data_file_size = sizeof data;
    /* In another order than their numbers. */
    for (slot = 0; slot < 3; slot++)
        reader.header.data_offset[slot] = (slot + 2) % 3 * SLOT_SIZE;
    frame = none;
    the_newest();
    every_frame();
    one_particular_frame();
    the_check_at_the_end();
    a_copy();
    an_observation();
    printf("ok\n");
    return 0;
}
