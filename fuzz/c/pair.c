/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The C reader under libFuzzer: the inputs of the targets `pair` and `changing` (fuzz/src/input.rs says what they are made of).
 * `cargo xtask fuzz --target c-pair` builds it by clang, with AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * mmap stands between two pages that nobody may touch, and what lies behind the end of a mapping on its last page is poisoned:
 * a reader that goes past a file is caught at the first byte. The rules of an opening are said once more in 128 bits, and both
 * have to agree.
 */
#define _DEFAULT_SOURCE 1
#include <assert.h>
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

static void *guarded_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    size_t pages = whole_pages(size);
    unsigned char *room = mmap(NULL, pages + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *mapped;
    (void)at;
    if (room == MAP_FAILED)
        return MAP_FAILED;
    mapped = mmap(room + PAGE, size, protection, flags | MAP_FIXED, fd, offset);
    if (mapped == MAP_FAILED)
        munmap(room, pages + 2 * PAGE);
    else
        ASAN_POISON_MEMORY_REGION(room + PAGE + size, pages - size);
    return mapped;
}

static int guarded_munmap(void *at, size_t size)
{
    size_t pages = whole_pages(size);
    ASAN_UNPOISON_MEMORY_REGION(at, pages);
    return munmap((unsigned char *)at - PAGE, pages + 2 * PAGE);
}

#define mmap guarded_mmap
#define munmap guarded_munmap
#include "vas_shm.h"
#undef mmap
#undef munmap

enum { MAX_META = 8192, MAX_DATA = 1 << 18, MAX_STEPS = 64 };

/* Unlike assert: there whatever the build defines. */
#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                              \
        }                                                                         \
    } while (0)

static char base[256], meta_path[512], data_path[512];
static int meta_fd, data_fd;
static ino_t inode;
/* What stands in the two files. */
static unsigned char meta[MAX_META], data[MAX_DATA];
/* What stands in frame.data before anybody fills it: each byte tells where it stands. */
static unsigned char pixels[MAX_DATA];
static size_t meta_size, data_size;

static void clean_up(void)
{
    char folder[300];
    unlink(meta_path);
    unlink(data_path);
    snprintf(folder, sizeof folder, "%s/front", base);
    rmdir(folder);
    rmdir(base);
}

int LLVMFuzzerInitialize(int *count, char ***words)
{
    const char *shm = getenv("VAS_TEST_SHM");
    char folder[300];
    struct stat found;
    size_t i;
    (void)count;
    (void)words;
    snprintf(base, sizeof base, "%s/vas-fuzz-%d", shm == NULL ? "/dev/shm" : shm, (int)getpid());
    snprintf(folder, sizeof folder, "%s/front", base);
    snprintf(meta_path, sizeof meta_path, "%s/frame.meta", folder);
    snprintf(data_path, sizeof data_path, "%s/frame.data", folder);
    CHECK(mkdir(base, 0750) == 0 && mkdir(folder, 0750) == 0);
    meta_fd = open(meta_path, O_RDWR | O_CREAT | O_EXCL, 0640);
    data_fd = open(data_path, O_RDWR | O_CREAT | O_EXCL, 0640);
    CHECK(meta_fd >= 0 && data_fd >= 0 && fstat(data_fd, &found) == 0);
    inode = found.st_ino;
    for (i = 0; i < sizeof pixels; i++)
        pixels[i] = (unsigned char)(((uint64_t)i * 0x9e3779b1u) >> 13);
    atexit(clean_up);
    return 0;
}

/* ---- The files, and a reader over plain bytes ------------------------------------------------------------------------------ */

static uint32_t small(size_t at)
{
    uint32_t value;
    memcpy(&value, meta + at, sizeof value);
    return value;
}

static uint64_t large(size_t at)
{
    uint64_t value;
    memcpy(&value, meta + at, sizeof value);
    return value;
}

static void store(size_t at, const void *bytes, size_t size)
{
    if (at + size > meta_size)
        return;
    memcpy(meta + at, bytes, size);
    CHECK(pwrite(meta_fd, bytes, size, (off_t)at) == (ssize_t)size);
}

static void store64(size_t at, uint64_t value)
{
    store(at, &value, sizeof value);
}

/* OPEN-6 to OPEN-17, in their order: NULL if the pair is ready, NOT_YET, or the field that is refused. */
static const char NOT_YET[] = "not yet";

static const char *expected_of_open(void)
{
    typedef unsigned __int128 wide;
    wide width, height, stride, size, uv_offset, chroma_end, file_size;
    uint32_t slots, i, k;
    if (meta_size < 768)
        return "frame.meta";
    width = small(24), height = small(28), stride = small(36), size = large(40), uv_offset = large(48), file_size = large(80);
    chroma_end = uv_offset + stride * ((height + 1) / 2);
    slots = small(64);
    if (small(0) == 0)
        return "version";
    if (memcmp(meta + 120, "VASFRAME", 8) != 0)
        return "magic";
    if (small(4) < 768 || small(4) > meta_size)
        return "header_size";
    if (large(88) != inode)
        return NOT_YET;
    if (small(32) != 0x3231564e)
        return "pixel_format";
    if (width < 1 || width > 16384)
        return "width";
    if (height < 1 || height > 16384)
        return "height";
    if (stride < 2 * ((width + 1) / 2))
        return "stride";
    if (uv_offset < stride * height || chroma_end > UINT64_MAX)
        return "uv_offset";
    if (size < chroma_end)
        return "data_size";
    if (slots < 2 || slots > 8)
        return "slot_count";
    if (small(68) != 64)
        return "slot_record_size";
    if (small(72) != 256)
        return "slot_table_offset";
    for (i = 0; i < slots; i++) {
        wide offset = large(272 + 64 * (size_t)i);
        if (offset % 4096 != 0 || offset + size > file_size)
            return "slot[i].data_offset";
        for (k = 0; k < i; k++) {
            wide other = large(272 + 64 * (size_t)k);
            if ((offset > other ? offset - other : other - offset) < size)
                return "slot[i].data_offset";
        }
    }
    if (file_size > data_size)
        return "data_file_size";
    return small(56) == 3 || small(56) == 4 ? NOT_YET : NULL;
}

static bool stands(uint64_t id, uint32_t slots)
{
    return id != 0 && large(256 + 64 * (size_t)(id % slots)) == id;
}

/* READ-9, where `seen` 0 is none. */
static uint64_t next_of(uint64_t seen, uint32_t slots)
{
    uint64_t newest = large(8), by;
    for (by = slots; by-- > 0;)
        if (newest > by && newest - by > seen && stands(newest - by, slots))
            return newest - by;
    return 0;
}

/* ---- Questions ------------------------------------------------------------------------------------------------------------- */

static void look_at(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame)
{
    const struct vas_shm_checked_header *h = &reader->header;
    uint32_t slot = (uint32_t)(frame->id % h->slot_count);
    size_t need = vas_shm_packed_size(reader), row, at = 0;
    unsigned char *copy = malloc(need);
    CHECK(copy != NULL);
    CHECK(frame->timestamp_ns == large(264 + 64 * (size_t)slot) && frame->flags == large(280 + 64 * (size_t)slot));
    CHECK(vas_shm_is_intact(reader, frame));
    CHECK(vas_shm_copy_packed(reader, frame, copy, need - 1) == VAS_SHM_COPY_NO_ROOM);
    CHECK(vas_shm_copy_packed(reader, frame, copy, need) == VAS_SHM_COPY_INTACT);
    for (row = 0; row < h->height; row++, at += h->width)
        CHECK(memcmp(copy + at, data + h->data_offset[slot] + row * h->stride, h->width) == 0);
    for (row = 0; row < vas_shm_chroma_rows(reader); row++, at += vas_shm_chroma_row_size(reader))
        CHECK(memcmp(copy + at, data + h->data_offset[slot] + h->uv_offset + row * h->stride, vas_shm_chroma_row_size(reader)) == 0);
    CHECK(at == need);
    (void)vas_shm_age_ns(frame, vas_shm_monotonic_ns());
    (void)vas_shm_is_damaged(frame);
    free(copy);
}

static uint64_t ask_next(const struct vas_shm_reader *reader, uint64_t seen)
{
    struct vas_shm_frame frame;
    uint64_t expected = next_of(seen, reader->header.slot_count);
    CHECK(vas_shm_next(reader, seen, &frame) == (expected == 0 ? VAS_SHM_NOTHING_NEW : VAS_SHM_FRAME));
    if (expected == 0)
        return seen;
    CHECK(frame.id == expected);
    look_at(reader, &frame);
    return expected;
}

static uint64_t ask_latest(const struct vas_shm_reader *reader, uint64_t seen)
{
    struct vas_shm_frame frame;
    uint64_t newest = large(8);
    bool is_there = newest != seen && stands(newest, reader->header.slot_count);
    CHECK(vas_shm_latest(reader, seen, &frame) == (is_there ? VAS_SHM_FRAME : VAS_SHM_NOTHING_NEW));
    if (!is_there)
        return seen;
    CHECK(frame.id == newest);
    look_at(reader, &frame);
    return newest;
}

static void ask_at(const struct vas_shm_reader *reader, uint64_t id)
{
    struct vas_shm_frame frame;
    uint64_t newest = large(8);
    bool is_there = id <= newest && newest - id < reader->header.slot_count && stands(id, reader->header.slot_count);
    CHECK(vas_shm_at(reader, id, &frame) == (is_there ? VAS_SHM_FRAME : VAS_SHM_FRAME_GONE));
    if (is_there)
        look_at(reader, &frame);
}

static void ask_everything(const struct vas_shm_reader *reader)
{
    struct vas_shm_observation seen = vas_shm_observe(reader);
    uint64_t newest = large(8), by;
    uint64_t ids[] = {0, 1, newest - 2, newest - 1, newest, newest + 1, UINT64_MAX};
    size_t i;
    for (i = 0; i < sizeof ids / sizeof *ids; i++) {
        (void)ask_next(reader, ids[i]);
        (void)ask_latest(reader, ids[i]);
    }
    for (by = 0; by <= 9; by++)
        ask_at(reader, newest + 1 - by);
    CHECK(seen.frame_id == newest && seen.heartbeat_ns == large(104) && seen.frame_period_ns == large(112));
    CHECK(seen.state >= VAS_SHM_STATE_LIVE && seen.state <= VAS_SHM_STATE_REPLACED && seen.is_idle == ((small(60) & 1) != 0));
    CHECK(vas_shm_name_is_ours(reader));
}

/* ---- The input ------------------------------------------------------------------------------------------------------------- */

static void run_program(const struct vas_shm_reader *reader, const uint8_t *at, size_t left)
{
    /* How many bytes each code takes. */
    static const size_t sizes[8] = {10, 3, 6, 4, 1, 1, 2, 1};
    struct vas_shm_liveness liveness;
    uint64_t now_ns = 0, seen = 0;
    int steps;
    vas_shm_liveness_start(&liveness, reader, now_ns);
    for (steps = 0; steps < MAX_STEPS && left > 0 && left >= sizes[*at % 8]; steps++) {
        size_t size = sizes[*at % 8];
        uint64_t newest = large(8);
        switch (*at % 8) {
        case 0:
            store(at[1] % 96u * 8u, at + 2, 8);
            break;
        case 1:
            store64(at[1] % 96u * 8u, newest + (uint64_t)(int64_t)(int8_t)at[2]);
            break;
        case 2:
            store(at[1] % 192u * 4u, at + 2, 4);
            break;
        case 3: {
            size_t place = ((size_t)at[1] | (size_t)at[2] << 8) * 64;
            if (place + 64 <= data_size) {
                memset(data + place, at[3], 64);
                CHECK(pwrite(data_fd, data + place, 64, (off_t)place) == 64);
            }
            break;
        }
        case 4: {
            uint64_t id = newest + 1;
            size_t record = 256 + 64 * (size_t)(id % reader->header.slot_count);
            store64(record, 0);
            store64(record + 8, id * 1000);
            store64(record + 24, id & 1);
            store64(record, id);
            store64(8, id);
            break;
        }
        case 5:
            seen = (large(104) & 1) != 0 ? ask_next(reader, seen) : ask_latest(reader, seen);
            break;
        case 6:
            ask_at(reader, newest - at[1]);
            break;
        default:
            ask_everything(reader);
            break;
        }
        now_ns += UINT64_C(70000000) * (*at / 8u);
        (void)vas_shm_liveness_look(&liveness, reader, now_ns);
        CHECK(liveness.status != VAS_SHM_LIVENESS_NAME_LOST);
        CHECK(!liveness.is_current || !vas_shm_must_leave(liveness.status));
        CHECK(strlen(vas_shm_liveness_name(liveness.status)) > 0);
        at += size;
        left -= size;
    }
}

/* FILE-2, with the bytes up to the first zero as a text. */
static void check_id(const uint8_t *bytes, size_t size)
{
    char text[100];
    size_t length, i;
    bool is_id;
    size = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, bytes, size);
    text[size] = '\0';
    length = strlen(text);
    is_id = length >= 1 && length <= 64 && text[0] != '_' && text[0] != '-';
    for (i = 0; i < length; i++)
        is_id = is_id && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", text[i]) != NULL;
    CHECK(vas_shm_camera_id_is_valid(text) == is_id);
    if (!is_id) {
        struct vas_shm_reader reader;
        struct vas_shm_answer answer;
        CHECK(vas_shm_open(&reader, base, text, NULL, &answer) == VAS_SHM_OWN_ERROR && answer.error == EINVAL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct vas_shm_options options;
    struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    size_t stored;
    bool is_stranger, is_ready;
    const char *expected;
    if (size < 9)
        return 0;
    stored = (size_t)input[1] | (size_t)input[2] << 8;
    meta_size = ((size_t)input[3] | (size_t)input[4] << 8) % (MAX_META + 1);
    data_size = ((size_t)input[5] | (size_t)input[6] << 8 | (size_t)input[7] << 16 | (size_t)input[8] << 24) % (MAX_DATA + 1);
    stored = stored < size - 9 ? stored : size - 9;
    stored = stored < MAX_META ? stored : MAX_META;
    memset(meta, 0, sizeof meta);
    memcpy(meta, input + 9, stored);
    if ((input[0] & 1) == 0 && meta_size >= 96) {
        uint64_t value = (uint64_t)inode;
        memcpy(meta + 88, &value, sizeof value);
    }
    memcpy(data, pixels, data_size);
    CHECK(ftruncate(meta_fd, (off_t)meta_size) == 0 && ftruncate(data_fd, (off_t)data_size) == 0);
    CHECK(pwrite(meta_fd, meta, meta_size, 0) == (ssize_t)meta_size);
    CHECK(pwrite(data_fd, data, data_size, 0) == (ssize_t)data_size);
    check_id(input + 9, size - 9);

    is_stranger = (input[0] & 4) != 0;
    memset(&options, 0, sizeof options);
    options.insists_on_owner = true;
    options.owner_uid = geteuid() + (is_stranger ? 1 : 0);
    options.populate = (input[0] & 2) != 0;
    expected = is_stranger ? "frame.meta" : expected_of_open();
    is_ready = expected == NULL;
    (void)vas_shm_open(&reader, base, "front", &options, &answer);
    CHECK((answer.opened == VAS_SHM_READY) == is_ready);
    CHECK(memchr(answer.sentence, 0, sizeof answer.sentence) != NULL);
    CHECK((answer.opened == VAS_SHM_REFUSED) == (answer.field != NULL));
    if (answer.opened == VAS_SHM_REFUSED)
        CHECK(expected != NULL && strcmp(answer.field, expected) == 0);
    else
        CHECK(is_ready || expected == NOT_YET);
    CHECK((answer.opened == VAS_SHM_NOT_THERE_YET) == (answer.reason != VAS_SHM_NO_REASON));
    CHECK(answer.opened != VAS_SHM_OWN_ERROR);
    CHECK((vas_shm_retry_after_ns(&answer) == 0) == is_ready);
    if (is_ready) {
        struct vas_shm_checked_header header = reader.header;
        ask_everything(&reader);
        run_program(&reader, input + 9 + stored, size - 9 - stored);
        CHECK(memcmp(&header, &reader.header, sizeof header) == 0);
    } else {
        CHECK(answer.sentence[0] != '\0');
    }
    vas_shm_close(&reader);
    vas_shm_close(&reader);
    return 0;
}
