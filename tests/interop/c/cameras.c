/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `cameras BASE CAMERA...`: several cameras in one loop until stdin ends. A line for each change of state and for every hundredth
 * frame of each: "INDEX state NAME", "INDEX frames COUNT".
 */
#include "vas_frames.h"

#include <poll.h>
#include <stdlib.h>

#define MOST 8
#define TICK_MS 20
#define EACH 100

static bool is_told_to_end(void)
{
    struct pollfd input;
    input.fd = STDIN_FILENO;
    input.events = POLLIN;
    input.revents = 0;
    return poll(&input, 1, 0) > 0;
}

int main(int argc, char **argv)
{
    static struct vas_stream streams[MOST];
    struct vas_stream *all[MOST];
    uint64_t frames[MOST] = {0};
    struct vas_frame frame;
    size_t index = 0, at, count = argc > 2 ? (size_t)argc - 2 : 0;
    if (count == 0 || count > MOST)
        return 2;
    for (at = 0; at < count; at++) {
        all[at] = &streams[at];
        (void)vas_stream_init(all[at], argv[1], argv[at + 2], NULL);
    }
    while (!is_told_to_end()) {
        switch (vas_streams_next(all, count, TICK_MS, &frame, &index)) {
        case VAS_FRAME:
            if (vas_frame_is_intact(&frame) && ++frames[index] % EACH == 0)
                printf("%zu frames %" PRIu64 "\n", index, frames[index]);
            break;
        case VAS_STATUS:
            printf("%zu state %s\n", index, vas_status_name(vas_stream_status(all[index])));
            break;
        case VAS_TIMEOUT:
        case VAS_CANCELLED:
            break;
        }
        if (fflush(stdout) != 0)
            return 1;
    }
    for (at = 0; at < count; at++)
        vas_stream_close(all[at]);
    return 0;
}
