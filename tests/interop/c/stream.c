/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `stream FOLDER`: a stream step by step, over files and with a clock of this program's own. Prints "ok", or the line number of what
 * was wrong. What each step is to bring is what the Rust reader's stream does (vas-shm-reader/src/stream.rs).
 */
#include "vas_frames.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)
#define SLOTS 3u
#define IS(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static struct vas_stream stream;
static struct vas_frame frame;
static struct vas_shm_header *header; /* of the pair that was made last, as its server sees it */
static uint64_t now_ns = 5000 * MS;
static unsigned char packed[384];

/* A pair under the names; one that was there before stays, without a name. */
static void make(uint64_t generation, uint32_t version)
{
    static const char magic[] = VAS_SHM_MAGIC;
    struct stat found;
    int meta, data;
    void *mapped;
    uint32_t i;
    (void)unlink("front/frame.meta");
    (void)unlink("front/frame.data");
    meta = open("front/frame.meta", O_RDWR | O_CREAT | O_EXCL, 0600);
    data = open("front/frame.data", O_RDWR | O_CREAT | O_EXCL, 0600);
    IS(meta >= 0 && data >= 0 && ftruncate(meta, 4096) == 0 && ftruncate(data, 4096 * (off_t)SLOTS) == 0);
    IS(fstat(data, &found) == 0);
    mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, meta, 0);
    IS(mapped != MAP_FAILED && close(meta) == 0 && close(data) == 0);
    header = (struct vas_shm_header *)mapped;
    header->version = version;
    header->header_size = VAS_SHM_HEADER_SIZE;
    header->width = 16;
    header->height = 16;
    header->pixel_format = VAS_SHM_PIXEL_FORMAT_NV12;
    header->stride = 64;
    header->data_size = 64 * 24;
    header->uv_offset = 64 * 16;
    header->state = VAS_SHM_STATE_LIVE;
    header->slot_count = SLOTS;
    header->slot_record_size = VAS_SHM_SLOT_RECORD_SIZE;
    header->slot_table_offset = VAS_SHM_SLOT_TABLE_OFFSET;
    header->data_file_size = 4096 * (uint64_t)SLOTS;
    header->data_inode = found.st_ino;
    header->generation = generation;
    header->heartbeat_ns = 1;
    header->frame_period_ns = 40 * MS;
    memcpy(header->magic, magic, sizeof header->magic);
    for (i = 0; i < SLOTS; i++)
        header->slot[i].data_offset = 4096 * (uint64_t)i;
}

static void publish(uint64_t id)
{
    header->slot[id % SLOTS].timestamp_ns = 7 * id;
    header->slot[id % SLOTS].flags = id % 2;
    header->slot[id % SLOTS].frame_id = id;
    header->frame_id = id;
}

static enum vas_step_ after(uint64_t ns)
{
    now_ns += ns;
    return vas_stream_steps_(&stream, now_ns, &frame);
}

static void begin(enum vas_mode mode)
{
    struct vas_stream_options options;
    vas_stream_close(&stream);
    memset(&options, 0, sizeof options);
    options.mode = mode;
    IS(vas_stream_init(&stream, ".", "front", &options) == 0);
}

static bool tells(enum vas_step_ step, enum vas_status status)
{
    return step == VAS_STEP_STATUS_ && vas_stream_status(&stream) == status;
}

static void opens_and_comes_back(void)
{
    begin(VAS_MODE_NEXT);
    /* Proves OPEN-19: every 100 ms, and every second after a refusal. Told once. */
    IS(tells(after(0), VAS_STATUS_WAITING) && vas_stream_look_at_ns(&stream) == now_ns + 100 * MS);
    IS(strstr(vas_stream_sentence(&stream), "waiting: open /") == vas_stream_sentence(&stream));
    IS(after(100 * MS) == VAS_STEP_LATER_);
    make(1, 0);
    IS(after(100 * MS - 1) == VAS_STEP_LATER_);
    IS(tells(after(1), VAS_STATUS_REFUSED) && strstr(vas_stream_sentence(&stream), "refused: open /") != NULL);
    IS(strcmp(vas_stream_answer(&stream)->field, "version") == 0);
    make(2, 1);
    publish(10);
    IS(after(1000 * MS - 1) == VAS_STEP_LATER_ && vas_stream_reader(&stream) == NULL);

    /* Proves LIVE-1: open, and nothing is said or shown before a sign of life. The newest is the first in either mode. */
    IS(after(1) == VAS_STEP_LATER_ && vas_stream_reader(&stream) != NULL && vas_stream_status(&stream) == VAS_STATUS_REFUSED);
    IS(after(50 * MS) == VAS_STEP_LATER_);
    header->heartbeat_ns++;
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 10 && frame.skipped == 0 && frame.generation == 2 && frame.timestamp_ns == 70);
    IS(vas_stream_status(&stream) == VAS_STATUS_LIVE && vas_frame_is_intact(&frame) && !vas_frame_is_damaged(&frame));
    IS(frame.width == 16 && frame.height == 16 && frame.stride == 64 && frame.packed_size == 384);
    IS(frame.chroma == frame.luma + 64 * 16 && frame.color_range == VAS_SHM_COLOR_RANGE_UNKNOWN);
    IS(after(0) == VAS_STEP_LATER_);

    /* Proves READ-10: oldest first, and what was overwritten is counted. */
    publish(11);
    publish(12);
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 11 && frame.skipped == 0 && vas_frame_is_damaged(&frame));
    for (uint64_t id = 13; id <= 20; id++)
        publish(id);
    IS(!vas_frame_is_intact(&frame));
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 18 && frame.skipped == 6 && vas_stream_skipped_total(&stream) == 6);
    IS(after(0) == VAS_STEP_FRAME_ && after(0) == VAS_STEP_FRAME_ && frame.id == 20 && after(0) == VAS_STEP_LATER_);

    /* Proves LIVE-6: told once each; a frame is live by itself. */
    header->state = VAS_SHM_STATE_STALLED;
    IS(tells(after(0), VAS_STATUS_STALLED) && after(0) == VAS_STEP_LATER_);
    header->state = VAS_SHM_STATE_LIVE;
    header->flags = VAS_SHM_FLAG_IDLE;
    IS(tells(after(0), VAS_STATUS_IDLE) && after(0) == VAS_STEP_LATER_);
    header->flags = 0;
    publish(21);
    IS(after(0) == VAS_STEP_FRAME_ && vas_stream_status(&stream) == VAS_STATUS_LIVE && after(0) == VAS_STEP_LATER_);

    /* Proves LIVE-3: to the nanosecond, and back. */
    IS(after(3000 * MS - 1) == VAS_STEP_LATER_);
    IS(tells(after(1), VAS_STATUS_SERVER_GONE) && vas_frame_is_intact(&frame));
    header->heartbeat_ns++;
    IS(tells(after(1), VAS_STATUS_LIVE));

    /* Proves LIFE-6: a pair that is over is unmapped at once, and its frame is none any more. */
    header->state = VAS_SHM_STATE_REPLACED;
    IS(tells(after(0), VAS_STATUS_REPLACED));
    IS(vas_stream_reader(&stream) == NULL && stream.reader_.meta_ == NULL && stream.reader_.data_ == NULL);
    IS(!vas_frame_is_intact(&frame) && vas_frame_copy(&frame, packed, sizeof packed) == VAS_SHM_COPY_OVERWRITTEN);

    /* Proves HEAD-10: the successor's first frame skips none, however far its number. */
    make(3, 1);
    publish(5000);
    IS(after(0) == VAS_STEP_LATER_ && vas_stream_reader(&stream) != NULL);
    publish(5001);
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 5001 && frame.skipped == 0 && frame.generation == 3);
    header->state = VAS_SHM_STATE_STOPPED;
    IS(tells(after(100 * MS), VAS_STATUS_STOPPED));
    IS(unlink("front/frame.meta") == 0 && unlink("front/frame.data") == 0);
    IS(tells(after(0), VAS_STATUS_WAITING));
}

static void leaves_what_has_lost_its_name(void)
{
    begin(VAS_MODE_LATEST);
    make(4, 1);
    IS(after(0) == VAS_STEP_LATER_);
    publish(1);
    publish(2);
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 2 && frame.skipped == 0);
    for (uint64_t id = 3; id <= 9; id++)
        publish(id);
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 9 && frame.skipped == 6);

    /* Proves LIVE-5: its server was killed, and another took the name; the stream looks 100 ms after the opening. */
    make(5, 1);
    header->heartbeat_ns = 8;
    IS(after(100 * MS - 1) == VAS_STEP_LATER_ && vas_stream_reader(&stream)->header.generation == 4);
    IS(after(1) == VAS_STEP_LATER_ && vas_stream_reader(&stream)->header.generation == 5);
    IS(vas_stream_status(&stream) == VAS_STATUS_LIVE);
    publish(3);
    IS(after(0) == VAS_STEP_FRAME_ && frame.id == 3 && frame.skipped == 0 && frame.generation == 5);

    /* A pair that is over soon after it was opened: the next is not looked for before 100 ms are over. */
    header->state = VAS_SHM_STATE_REPLACED;
    IS(tells(after(0), VAS_STATUS_REPLACED));
    make(6, 1);
    IS(after(0) == VAS_STEP_LATER_ && vas_stream_reader(&stream) == NULL);
    IS(after(99 * MS) == VAS_STEP_LATER_ && vas_stream_reader(&stream) == NULL);
    IS(after(MS) == VAS_STEP_LATER_ && vas_stream_reader(&stream)->header.generation == 6);

    /* A server that was dead before the opening: gone, and its picture is never shown. */
    vas_stream_close(&stream);
    publish(4);
    begin(VAS_MODE_LATEST);
    IS(after(0) == VAS_STEP_LATER_ && tells(after(3000 * MS), VAS_STATUS_SERVER_GONE) && frame.id != 4);
}

/* What a call with a wrong name, or with no room, says. */
static void says_what_is_wrong(void)
{
    static char longer[VAS_SHM_PATH_SIZE + 1];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    vas_stream_close(&stream);
    IS(vas_stream_init(&stream, NULL, "../front", NULL) == EINVAL);
    IS(vas_stream_next(&stream, 0, &frame) == VAS_STATUS && vas_stream_status(&stream) == VAS_STATUS_REFUSED);
    IS(strstr(vas_stream_sentence(&stream), "refused: open /dev/shm/vas: \"../front\" is no camera id") != NULL);
    IS(vas_stream_next(&stream, 0, &frame) == VAS_TIMEOUT && !vas_frame_is_intact(&frame));
    IS(vas_stream_init(&stream, longer, "front", NULL) == ENAMETOOLONG);
    IS(vas_stream_next(&stream, 0, &frame) == VAS_STATUS && vas_stream_answer(&stream)->error == ENAMETOOLONG);
    IS(vas_stream_init(&stream, longer + 1, "front", NULL) == ENAMETOOLONG);

    begin(VAS_MODE_LATEST);
    make(7, 1);
    IS(vas_stream_next(&stream, 0, &frame) == VAS_TIMEOUT);
    header->slot[1].frame_id = 1;
    header->frame_id = 1;
    IS(vas_stream_next(&stream, 0, &frame) == VAS_FRAME && frame.id == 1);
    IS(vas_frame_copy(&frame, packed, sizeof packed - 1) == VAS_SHM_COPY_NO_ROOM);
    IS(vas_frame_copy(&frame, packed, sizeof packed) == VAS_SHM_COPY_INTACT);
    header->slot[1].frame_id = 0;
    IS(vas_frame_copy(&frame, packed, sizeof packed) == VAS_SHM_COPY_OVERWRITTEN);
    /* A frame ends with the next call, whatever that says. */
    IS(vas_stream_next(&stream, 0, &frame) == VAS_TIMEOUT && frame.luma == NULL);
    vas_stream_close(&stream);
    vas_stream_close(&stream);
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) != 0 || mkdir("front", 0700) != 0)
        return 2;
    opens_and_comes_back();
    leaves_what_has_lost_its_name();
    says_what_is_wrong();
    puts("ok");
    return 0;
}
