/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `serve BASE CAMERA`: a server in C that does what its standard input says, a line each, and ends in order when that ends:
 *
 *     stalled | live        what it tells readers of its source
 *     size WIDTH HEIGHT     of the pictures from now on
 *     hang                  waits for the next line and does nothing else
 *     remove                ends, and removes the camera's directory too
 *
 * It publishes a grey picture every few milliseconds whether or not anybody looks, and lets its heart beat as often. Each change
 * of what vas_camera_begin answers is a line on standard output, and so is what the log says: "result TEXT", "log LEVEL TEXT".
 */
#define _POSIX_C_SOURCE 200809L
#include "vas_writer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PERIOD_MS 5

/* One write each: two threads may have something to say. */
static void say(const char *verb, unsigned level, const char *text)
{
    char line[2 * VAS_MESSAGE_SIZE];
    int length = level > 0 ? snprintf(line, sizeof line, "%s %u %s\n", verb, level, text)
                           : snprintf(line, sizeof line, "%s %s\n", verb, text);
    if (length < 0 || (size_t)length >= sizeof line || write(STDOUT_FILENO, line, (size_t)length) != length)
        abort();
}

static void hear(void *context, uint32_t level, const char *message)
{
    say((const char *)context, level, message);
}

static void check(enum vas_result result, const char *call, const char *message)
{
    if (result == VAS_OK)
        return;
    fprintf(stderr, "serve: %s: %s: %s\n", call, vas_result_text((int32_t)result), message);
    exit(1);
}

/* Waits for a line; NULL when standard input has ended, "" when the time is up. */
static const char *command(int wait_ms)
{
    static char line[64];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t length = 0;
    if (poll(&input, 1, wait_ms) == 0)
        return "";
    while (length + 1 < sizeof line) {
        if (read(STDIN_FILENO, line + length, 1) != 1)
            return NULL;
        if (line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
    return line;
}

int main(int argc, char **argv)
{
    static char prefix[] = "log";
    struct vas_exporter_config config = {
        .size = sizeof config, .when = VAS_WHEN_ALWAYS, .log = hear, .log_context = prefix, .log_level = VAS_LOG_INFO,
        .heartbeat = VAS_HEARTBEAT_CALLER};
    struct vas_picture_format format = {.width = 64, .height = 48};
    struct vas_exporter *exporter;
    struct vas_camera *camera;
    struct vas_planes to;
    char message[VAS_MESSAGE_SIZE];
    enum vas_result before = VAS_ERROR_PANIC, result;
    const char *line;
    int removes = 0, wait_ms = PERIOD_MS;
    if (argc != 3) {
        fprintf(stderr, "usage: serve BASE CAMERA\n");
        return 2;
    }
    config.base = argv[1];
    check(vas_exporter_start(&config, &exporter, message, sizeof message), "vas_exporter_start", message);
    check(vas_camera_add(exporter, argv[2], &camera, message, sizeof message), "vas_camera_add", message);
    check(vas_camera_set_frame_period(camera, PERIOD_MS * UINT64_C(1000000)), "vas_camera_set_frame_period", "");
    while (!removes && (line = command(wait_ms)) != NULL) {
        wait_ms = strcmp(line, "hang") == 0 ? -1 : PERIOD_MS;
        if (wait_ms < 0)
            continue;
        check(vas_exporter_beat(exporter), "vas_exporter_beat", "");
        if (strcmp(line, "stalled") == 0)
            check(vas_camera_set_source_state(camera, VAS_SOURCE_STALLED), line, "");
        else if (strcmp(line, "live") == 0)
            check(vas_camera_set_source_state(camera, VAS_SOURCE_LIVE), line, "");
        else if (strcmp(line, "remove") == 0)
            removes = 1;
        else if (strncmp(line, "size ", 5) == 0) {
            char *end;
            format.width = (uint32_t)strtoul(line + 5, &end, 10);
            format.height = (uint32_t)strtoul(end, NULL, 10);
        }
        result = vas_camera_begin(camera, &format, &to);
        if (result != before)
            say("result", 0, vas_result_text((int32_t)result));
        before = result;
        if (result != VAS_OK)
            continue;
        for (size_t y = 0; y < to.luma_rows; y++)
            memset(to.luma + y * to.stride_bytes, 100, to.luma_row_bytes);
        for (size_t y = 0; y < to.chroma_rows; y++)
            memset(to.chroma + y * to.stride_bytes, 128, to.chroma_row_bytes);
        check(vas_camera_publish(camera, vas_writer_monotonic_ns(), 0, NULL), "vas_camera_publish", "");
    }
    check(removes ? vas_camera_remove(&camera) : vas_camera_stop(&camera), "the camera's end", "");
    check(vas_exporter_shutdown(&exporter), "vas_exporter_shutdown", "");
    return 0;
}
