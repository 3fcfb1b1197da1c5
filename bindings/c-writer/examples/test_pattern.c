/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * test_pattern [BASE [CAMERA [FRAMES]]]: a server in thirty lines. Exports a moving test pattern until it is interrupted, or
 * until so many frames were published: while nobody looks, none is. The picture is that of the writer's example in Rust.
 */
#define _POSIX_C_SOURCE 199309L /* nanosleep(2) */
#include "vas_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct vas_exporter_config config = {.size = sizeof config, .base = argc > 1 ? argv[1] : NULL};
    const struct vas_picture_format format = {.width = 640, .height = 480, .color_range = VAS_COLOR_RANGE_FULL};
    const struct timespec period = {.tv_nsec = 40000000};
    const unsigned long frames = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    struct vas_exporter *exporter;
    struct vas_camera *camera;
    char message[VAS_MESSAGE_SIZE];
    if (vas_exporter_start(&config, &exporter, message, sizeof message) != VAS_OK ||
        vas_camera_add(exporter, argc > 2 ? argv[2] : "pattern", &camera, message, sizeof message) != VAS_OK)
        return fprintf(stderr, "test_pattern: %s\n", message), 1;
    vas_camera_set_frame_period(camera, (uint64_t)period.tv_nsec);
    for (unsigned long tick = 0, published = 0; frames == 0 || published < frames; tick++) {
        struct vas_planes to;
        if (vas_camera_begin(camera, &format, &to) == VAS_OK) {
            /* A grey ramp that moves to the left, and two colour ramps that stand still: straight to where readers see them. */
            for (size_t y = 0; y < to.luma_rows; y++)
                for (size_t x = 0; x < to.luma_row_bytes; x++)
                    to.luma[y * to.stride_bytes + x] = (uint8_t)(x + 4 * tick);
            for (size_t y = 0; y < to.chroma_rows; y++)
                for (size_t x = 0; x < to.chroma_row_bytes; x += 2) {
                    to.chroma[y * to.stride_bytes + x] = (uint8_t)(x * 255 / to.chroma_row_bytes);
                    to.chroma[y * to.stride_bytes + x + 1] = (uint8_t)(y * 255 / to.chroma_rows);
                }
            published += vas_camera_publish(camera, vas_writer_monotonic_ns(), 0, NULL) == VAS_OK;
        }
        nanosleep(&period, NULL);
    }
    vas_camera_stop(&camera);
    vas_exporter_shutdown(&exporter);
    return 0;
}
