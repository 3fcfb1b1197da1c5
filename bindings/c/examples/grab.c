/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * grab CAMERA [BASE] > picture.ppm: the present picture of a camera, in its right colours.
 *
 *     cc -std=c11 -O2 -I bindings/c/include -o grab bindings/c/examples/grab.c
 *
 * "Present" is the point: the newest frame may be one that a server left behind when it was killed, and a stream hands out none
 * before the server has shown a sign of life. It gives up after ten seconds, with the reason. Exit code 0: a picture. 1: none.
 * 2: the command line is wrong.
 *
 * The conversion is the slow simple way: whole numbers, exact to the last bit of the formulas, some tens of nanoseconds a pixel.
 * Programs that convert every frame take a library for it; opencv.cpp shows one.
 */
#include "vas_frames.h"

#include "color.h"

#include <stdlib.h>

#define GIVE_UP_MS 10000

/* numerator / denominator, limited to 0..1, times 255, rounded (halves up). */
static unsigned char sample(int64_t numerator, int64_t denominator)
{
    if (numerator <= 0)
        return 0;
    if (numerator >= denominator)
        return 255;
    return (unsigned char)((2 * 255 * numerator + denominator) / (2 * denominator));
}

/* The formulas of section 5 over one common denominator, so that nothing is lost; the largest number has 52 bits. */
static void to_rgb(struct weights weights, bool is_full, int luma, int cb, int cr, unsigned char rgb[3])
{
    const int64_t one = 10000, kg = one - weights.kr - weights.kb;
    const int64_t luma_range = is_full ? 255 : 219, chroma_range = is_full ? 255 : 224;
    const int64_t unit = luma_range * chroma_range * one;
    const int64_t y = (luma - (is_full ? 0 : 16)) * chroma_range * one;
    const int64_t red = y + 2 * (one - weights.kr) * (cr - 128) * luma_range;
    const int64_t blue = y + 2 * (one - weights.kb) * (cb - 128) * luma_range;
    rgb[0] = sample(red, unit);
    rgb[1] = sample(one * y - weights.kr * red - weights.kb * blue, kg * unit);
    rgb[2] = sample(blue, unit);
}

/* Writes a packed copy of a frame as PPM; a chroma sample is repeated for its two by two pixels. */
static bool write_ppm(const struct vas_frame *frame, const unsigned char *packed, FILE *to)
{
    const struct weights weights = weights_of(frame);
    const bool is_full = is_full_range(frame);
    const size_t width = frame->width, chroma_row = (width + 1) / 2 * 2;
    const unsigned char *chroma = packed + width * frame->height;
    unsigned char *row = (unsigned char *)malloc(3 * width);
    bool is_written = row != NULL && fprintf(to, "P6\n%" PRIu32 " %" PRIu32 "\n255\n", frame->width, frame->height) > 0;
    for (size_t y = 0; is_written && y < frame->height; y++) {
        for (size_t x = 0; x < width; x++) {
            const unsigned char *pair = chroma + y / 2 * chroma_row + x / 2 * 2;
            to_rgb(weights, is_full, packed[y * width + x], pair[0], pair[1], row + 3 * x);
        }
        is_written = fwrite(row, 3, width, to) == width;
    }
    free(row);
    return fflush(to) == 0 && is_written;
}

/* The present frame and a copy of it; NULL, with the reason printed: there is none. */
static unsigned char *take(struct vas_stream *stream, struct vas_frame *frame)
{
    const uint64_t give_up_ns = vas_shm_monotonic_ns() + GIVE_UP_MS * UINT64_C(1000000);
    for (;;) {
        const uint64_t now_ns = vas_shm_monotonic_ns();
        const enum vas_event event = vas_stream_next(stream, now_ns < give_up_ns ? (int)((give_up_ns - now_ns) / 1000000u) : 0, frame);
        if (event == VAS_FRAME) {
            unsigned char *packed = (unsigned char *)malloc(frame->packed_size);
            if (packed == NULL) {
                fprintf(stderr, "grab: no memory for a picture of %zu bytes\n", frame->packed_size);
                return NULL;
            }
            if (vas_frame_copy(frame, packed, frame->packed_size) == VAS_SHM_COPY_INTACT)
                return packed;
            free(packed); /* overwritten meanwhile: the next one */
        } else if (vas_stream_status(stream) == VAS_STATUS_REFUSED) {
            fprintf(stderr, "grab: %s\n", vas_stream_sentence(stream));
            return NULL;
        }
        if (vas_shm_monotonic_ns() >= give_up_ns) {
            fprintf(stderr, "grab: no present picture within %d s: %s\n", GIVE_UP_MS / 1000,
                    vas_stream_status(stream) == VAS_STATUS_NONE ? "no sign of life from its server" : vas_stream_sentence(stream));
            return NULL;
        }
    }
}

int main(int argc, char **argv)
{
    static struct vas_stream stream;
    struct vas_frame frame;
    unsigned char *packed;
    bool is_written = false;
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: grab CAMERA [BASE] > picture.ppm\n");
        return 2;
    }
    /* What is wrong with the names is told as a refusal, with a sentence. */
    (void)vas_stream_init(&stream, argc > 2 ? argv[2] : NULL, argv[1], NULL);
    packed = take(&stream, &frame);
    if (packed != NULL) {
        is_written = write_ppm(&frame, packed, stdout);
        if (!is_written)
            fprintf(stderr, "grab: writing the picture failed\n");
    }
    free(packed);
    vas_stream_close(&stream);
    return is_written ? 0 : 1;
}
