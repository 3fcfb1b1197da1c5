/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `liveness`: the liveness helper with a clock and a header of this program's own, step by step. Prints "ok", or the line number of
 * what was wrong.
 */
#include "vas_shm.h"

#include <stdlib.h>

static struct vas_shm_header *header;
static struct vas_shm_reader reader;
static struct vas_shm_liveness liveness;
/* Near the end of what 64 bits count, and not from 0: the helper is to compare differences. */
static uint64_t now_ns = UINT64_C(1) << 62;

#define SECOND UINT64_C(1000000000)
#define IS(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static enum vas_shm_liveness_status after(uint64_t ns)
{
    now_ns += ns;
    return vas_shm_liveness_look(&liveness, &reader, now_ns);
}

static void begin(uint32_t state, uint32_t flags)
{
    header->state = state;
    header->flags = flags;
    reader.first_frame_id_ = header->frame_id;
    reader.first_heartbeat_ns_ = header->heartbeat_ns;
    vas_shm_liveness_start(&liveness, &reader, now_ns);
}

int main(int argc, char **argv)
{
    char name[] = "frame.meta";
    struct stat found;
    FILE *file;
    /* A name to look at: its folder is the one argument. */
    if (argc != 2 || chdir(argv[1]) != 0 || (file = fopen(name, "wb")) == NULL || fclose(file) != 0 || stat(name, &found) != 0)
        return 2;
    header = (struct vas_shm_header *)calloc(1, sizeof *header);
    if (header == NULL)
        return 2;
    header->frame_id = 7;
    header->heartbeat_ns = 1000;
    reader.meta_ = (const unsigned char *)header;
    reader.meta_inode_ = found.st_ino;
    reader.meta_device_ = found.st_dev;
    memcpy(reader.meta_path_, name, sizeof name);

    /* Proves LIVE-1: unproven until one of the two words changes, and never current before. */
    begin(VAS_SHM_STATE_LIVE, 0);
    IS(after(0) == VAS_SHM_LIVENESS_UNPROVEN && !liveness.is_current);
    IS(after(2 * SECOND) == VAS_SHM_LIVENESS_UNPROVEN && !liveness.is_current);
    header->heartbeat_ns = 999; /* another value is a change: there is no before and after between clocks (LIVE-4) */
    IS(after(0) == VAS_SHM_LIVENESS_LIVE && liveness.is_current);
    begin(VAS_SHM_STATE_LIVE, 0);
    header->frame_id++;
    IS(after(0) == VAS_SHM_LIVENESS_LIVE && liveness.is_current);

    /* Proves LIVE-3: 3 s without a change, not a nanosecond less; and one that moves again lives again. */
    IS(after(3 * SECOND - 1) == VAS_SHM_LIVENESS_LIVE);
    IS(after(1) == VAS_SHM_LIVENESS_SERVER_GONE && !liveness.is_current);
    header->heartbeat_ns++;
    IS(after(1) == VAS_SHM_LIVENESS_LIVE && liveness.is_current);
    begin(VAS_SHM_STATE_LIVE, 0);
    IS(after(3 * SECOND) == VAS_SHM_LIVENESS_SERVER_GONE && !liveness.is_current);

    /* Proves LIVE-6, HEAD-7: which status which words are. */
    header->heartbeat_ns++;
    header->state = VAS_SHM_STATE_STALLED;
    IS(after(1) == VAS_SHM_LIVENESS_STALLED);
    header->flags = VAS_SHM_FLAG_IDLE;
    IS(after(1) == VAS_SHM_LIVENESS_STALLED);
    header->state = 0;
    IS(after(1) == VAS_SHM_LIVENESS_IDLE);
    header->state = 5;
    header->flags = 0xfffffffe;
    IS(after(1) == VAS_SHM_LIVENESS_LIVE);
    IS(after(3 * SECOND) == VAS_SHM_LIVENESS_SERVER_GONE);

    /* Proves LIFE-6: 3 and 4 are final, whatever the word says later. */
    begin(VAS_SHM_STATE_LIVE, 0);
    header->heartbeat_ns++;
    header->state = VAS_SHM_STATE_STOPPED;
    IS(after(1) == VAS_SHM_LIVENESS_STOPPED && !liveness.is_current && vas_shm_must_leave(liveness.status));
    header->state = VAS_SHM_STATE_LIVE;
    IS(after(1) == VAS_SHM_LIVENESS_STOPPED);
    begin(VAS_SHM_STATE_REPLACED, 0);
    IS(after(9 * SECOND) == VAS_SHM_LIVENESS_REPLACED && vas_shm_must_leave(liveness.status));

    /* Proves LIVE-2, LIVE-5: the name is looked at every 100 ms while nothing comes, and not while frames do. */
    begin(VAS_SHM_STATE_LIVE, 0);
    header->heartbeat_ns++;
    IS(rename(name, "elsewhere") == 0);
    IS(after(VAS_SHM_NAME_CHECK_NS - 1) == VAS_SHM_LIVENESS_LIVE);
    header->frame_id++;
    IS(after(1) == VAS_SHM_LIVENESS_LIVE);
    IS(after(VAS_SHM_NAME_CHECK_NS) == VAS_SHM_LIVENESS_NAME_LOST && !liveness.is_current);
    IS(rename("elsewhere", name) == 0);
    IS(after(VAS_SHM_NAME_CHECK_NS) == VAS_SHM_LIVENESS_NAME_LOST && vas_shm_must_leave(liveness.status));
    begin(VAS_SHM_STATE_LIVE, 0);
    header->heartbeat_ns++;
    IS(after(VAS_SHM_NAME_CHECK_NS) == VAS_SHM_LIVENESS_LIVE);
    /* Another file under the name. */
    IS((file = fopen("other", "wb")) != NULL && fclose(file) == 0 && rename("other", name) == 0);
    IS(after(VAS_SHM_NAME_CHECK_NS) == VAS_SHM_LIVENESS_NAME_LOST);

    /* Proves FILE-2. */
    IS(vas_shm_camera_id_is_valid("a") && vas_shm_camera_id_is_valid("0") && vas_shm_camera_id_is_valid("Front_door-2"));
    IS(vas_shm_camera_id_is_valid("0123456789012345678901234567890123456789012345678901234567890123"));
    IS(!vas_shm_camera_id_is_valid("01234567890123456789012345678901234567890123456789012345678901234"));
    IS(!vas_shm_camera_id_is_valid("") && !vas_shm_camera_id_is_valid(NULL) && !vas_shm_camera_id_is_valid("_a"));
    IS(!vas_shm_camera_id_is_valid("-a") && !vas_shm_camera_id_is_valid("..") && !vas_shm_camera_id_is_valid("a/b"));
    IS(!vas_shm_camera_id_is_valid("a.b") && !vas_shm_camera_id_is_valid("a ") && !vas_shm_camera_id_is_valid("\xc3\xa4"));

    free(header);
    puts("ok");
    return 0;
}
