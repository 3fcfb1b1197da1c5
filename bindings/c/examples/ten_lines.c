/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "vas_frames.h"

int main(int argc, char **argv)
{
    static struct vas_stream stream;
    struct vas_frame frame;
    vas_stream_init(&stream, argc > 2 ? argv[2] : VAS_SHM_DEFAULT_BASE, argc > 1 ? argv[1] : "front", NULL);
    for (int frames = 0; frames < 100;) {
        switch (vas_stream_next(&stream, 5000, &frame)) {
        case VAS_FRAME: {
            unsigned char middle = frame.luma[frame.stride * (frame.height / 2) + frame.width / 2];
            if (vas_frame_is_intact(&frame)) /* only now is it what the camera saw */
                printf("frame %" PRIu64 ": the pixel in the middle has luma %u\n", frame.id, middle), frames++;
            break;
        }
        case VAS_STATUS: /* live, stalled, stopped, waiting: ... */
            fprintf(stderr, "%s\n", vas_stream_sentence(&stream));
            break;
        case VAS_TIMEOUT:
        case VAS_CANCELLED:
            return fprintf(stderr, "nothing for five seconds\n"), 1;
        }
    }
    vas_stream_close(&stream);
}
