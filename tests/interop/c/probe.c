/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The C reader as a probe: `probe BASE CAMERA` takes commands from stdin and answers each with one line, as the README of the
 * conformance files says. Compiles as C11 and as C++20.
 */
#include "vas_shm.h"

#include <stdlib.h>

/* One line of answer; whoever asked reads a pipe. */
static void say(const char *line)
{
    if (puts(line) < 0 || fflush(stdout) != 0)
        exit(1);
}

static const char *reason_name(enum vas_shm_reason reason)
{
    switch (reason) {
    case VAS_SHM_MISSING:
        return "missing";
    case VAS_SHM_BUSY:
        return "busy";
    case VAS_SHM_MIXED_PAIR:
        return "mixed_pair";
    case VAS_SHM_STOPPED:
        return "stopped";
    case VAS_SHM_REPLACED:
        return "replaced";
    case VAS_SHM_NO_REASON:
        break;
    }
    return "no_reason";
}

static const char *state_name(uint32_t state)
{
    /* That an unknown word means live is for vas_shm_observe to know (HEAD-7). */
    return state == VAS_SHM_STATE_LIVE    ? "live"
        : state == VAS_SHM_STATE_STALLED  ? "stalled"
        : state == VAS_SHM_STATE_STOPPED  ? "stopped"
        : state == VAS_SHM_STATE_REPLACED ? "replaced"
                                          : "unknown";
}

static void answer_open(const struct vas_shm_answer *answer)
{
    char line[VAS_SHM_SENTENCE_SIZE + 32];
    int written = 0;
    switch (answer->opened) {
    case VAS_SHM_READY:
        written = snprintf(line, sizeof line, "ready");
        break;
    case VAS_SHM_NOT_THERE_YET:
        written = snprintf(line, sizeof line, "not_there_yet %s", reason_name(answer->reason));
        break;
    case VAS_SHM_REFUSED:
        written = snprintf(line, sizeof line, "refused %s", answer->field);
        break;
    case VAS_SHM_OWN_ERROR:
        written = snprintf(line, sizeof line, "error %s", answer->sentence);
        break;
    }
    if (answer->opened != VAS_SHM_READY)
        fprintf(stderr, "%s\n", answer->sentence);
    say(written < 0 ? "error cannot be said" : line);
}

static void answer_header(const struct vas_shm_checked_header *header)
{
    char line[1024];
    int written = snprintf(
        line, sizeof line,
        "version=%" PRIu32 " header_size=%" PRIu32 " width=%" PRIu32 " height=%" PRIu32 " pixel_format=%" PRIu32 " stride=%" PRIu32
        " data_size=%" PRIu64 " uv_offset=%" PRIu64 " slot_count=%" PRIu32 " color_range=%u color_primaries=%u color_transfer=%u"
        " color_matrix=%u data_file_size=%" PRIu64 " data_inode=%" PRIu64 " generation=%" PRIu64,
        header->version, header->header_size, header->width, header->height, header->pixel_format, header->stride,
        header->data_size, header->uv_offset, header->slot_count, header->color_range, header->color_primaries,
        header->color_transfer, header->color_matrix, header->data_file_size, header->data_inode, header->generation);
    say(written < 0 ? "error cannot be said" : line);
}

static void answer_observation(const struct vas_shm_observation *seen)
{
    char line[256];
    int written = snprintf(line, sizeof line,
                           "state=%s idle=%d frame_id=%" PRIu64 " heartbeat_ns=%" PRIu64 " frame_period_ns=%" PRIu64,
                           state_name(seen->state), seen->is_idle ? 1 : 0, seen->frame_id, seen->heartbeat_ns,
                           seen->frame_period_ns);
    say(written < 0 ? "error cannot be said" : line);
}

static bool write_plane(const char *prefix, const char *plane, const unsigned char *from, size_t rows, size_t row_size,
                        size_t stride)
{
    char path[VAS_SHM_PATH_SIZE];
    FILE *file;
    size_t row;
    bool is_written = true;
    int length = snprintf(path, sizeof path, "%s.%s", prefix, plane);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    file = fopen(path, "wb");
    if (file == NULL)
        return false;
    for (row = 0; row < rows; row++)
        is_written = fwrite(from + row * stride, 1, row_size, file) == row_size && is_written;
    return fclose(file) == 0 && is_written;
}

/* By the pointers; what vas_shm_copy_packed makes of the same frame has to be the same while the frame stands. */
static const char *answer_planes(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame, const char *prefix)
{
    const unsigned char *luma = vas_shm_luma(reader, frame);
    const unsigned char *chroma = vas_shm_chroma(reader, frame);
    size_t size = vas_shm_packed_size(reader), row, rows = reader->header.height, stride = reader->header.stride;
    unsigned char *packed = (unsigned char *)malloc(size);
    const unsigned char *at = packed;
    enum vas_shm_copied copied;
    bool is_same = true;
    if (packed == NULL)
        return "error no memory for a copy";
    if (vas_shm_copy_packed(reader, frame, packed, size - 1) != VAS_SHM_COPY_NO_ROOM) {
        free(packed);
        return "error a copy went into too little room";
    }
    copied = vas_shm_copy_packed(reader, frame, packed, size);
    for (row = 0; row < rows; row++, at += vas_shm_luma_row_size(reader))
        is_same = memcmp(at, luma + row * stride, vas_shm_luma_row_size(reader)) == 0 && is_same;
    for (row = 0; row < vas_shm_chroma_rows(reader); row++, at += vas_shm_chroma_row_size(reader))
        is_same = memcmp(at, chroma + row * stride, vas_shm_chroma_row_size(reader)) == 0 && is_same;
    is_same = is_same && at == packed + size;
    free(packed);
    if (copied == VAS_SHM_COPY_INTACT && !is_same)
        return "error the packed copy is another picture than the planes";
    if (!write_plane(prefix, "luma", luma, rows, vas_shm_luma_row_size(reader), stride) ||
        !write_plane(prefix, "chroma", chroma, vas_shm_chroma_rows(reader), vas_shm_chroma_row_size(reader), stride))
        return "error a plane cannot be written";
    return "ok";
}

/* The answer to a search; a frame that was found is the held one from now on. */
static void answer_found(enum vas_shm_found found, const struct vas_shm_frame *frame)
{
    char line[128];
    switch (found) {
    case VAS_SHM_FRAME:
        if (snprintf(line, sizeof line, "frame %" PRIu64 " %" PRIu64 " %" PRIu64, frame->id, frame->timestamp_ns, frame->flags) > 0)
            say(line);
        return;
    case VAS_SHM_NOTHING_NEW:
        say("nothing");
        return;
    case VAS_SHM_OVERRUN:
        say("overrun");
        return;
    case VAS_SHM_FRAME_GONE:
        say("gone");
        return;
    }
}

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader; /* zeros: closed */
    struct vas_shm_answer answer;
    struct vas_shm_frame frame;
    char line[VAS_SHM_PATH_SIZE + 32];
    bool is_open = false;
    uint64_t seen = 0; /* the held frame too: no frame has the number 0 */
    if (argc != 3) {
        fprintf(stderr, "usage: probe BASE CAMERA < commands\n");
        return 2;
    }
    if (!vas_shm_camera_id_is_valid(argv[2])) { /* FILE-2 */
        fprintf(stderr, "probe: \"%s\" is no camera id\n", argv[2]);
        return 2;
    }
    memset(&frame, 0, sizeof frame);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "open") == 0) {
            vas_shm_close(&reader);
            seen = 0;
            is_open = vas_shm_open(&reader, argv[1], argv[2], NULL, &answer) == VAS_SHM_READY;
            answer_open(&answer);
        } else if (strcmp(line, "close") == 0) {
            vas_shm_close(&reader);
            is_open = false;
            say("ok");
        } else if (!is_open) {
            say("error nothing is open, or the command is unknown");
        } else if (strcmp(line, "header") == 0) {
            answer_header(&reader.header);
        } else if (strcmp(line, "latest") == 0 || strcmp(line, "next") == 0 || strncmp(line, "at ", 3) == 0) {
            struct vas_shm_frame newer;
            enum vas_shm_found found = line[0] == 'l' ? vas_shm_latest(&reader, seen, &newer)
                : line[0] == 'n'                      ? vas_shm_next(&reader, seen, &newer)
                                                      : vas_shm_at(&reader, strtoull(line + 3, NULL, 10), &newer);
            if (found == VAS_SHM_FRAME) {
                frame = newer;
                seen = frame.id;
            }
            answer_found(found, &frame);
        } else if (strcmp(line, "observe") == 0) {
            struct vas_shm_observation observation = vas_shm_observe(&reader);
            answer_observation(&observation);
        } else if (strcmp(line, "named") == 0) {
            say(vas_shm_name_is_ours(&reader) ? "yes" : "no");
        } else if (seen == 0) {
            say("error no frame is held, or the command is unknown");
        } else if (strcmp(line, "intact") == 0) {
            say(vas_shm_is_intact(&reader, &frame) ? "yes" : "no");
        } else if (strncmp(line, "planes ", 7) == 0) {
            say(answer_planes(&reader, &frame, line + 7));
        } else {
            say("error there is no such command");
        }
    }
    vas_shm_close(&reader);
    return 0;
}
