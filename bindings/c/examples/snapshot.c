/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * snapshot CAMERA [BASE] > picture.ppm: the present picture of a camera, in its right colours.
 *
 *     cc -std=c11 -O2 -I bindings/c/include -o snapshot bindings/c/examples/snapshot.c
 *
 * "Present" is the point: the newest frame may be one that a server left behind when it was killed, so that this waits until the
 * server has shown a sign of life (LIVE-1). It gives up after ten seconds, with the reason. Exit code 0: a picture. 1: none. 2: the
 * command line is wrong.
 */
#include "vas_shm.h"

#include <stdlib.h>

#define GIVE_UP_NS UINT64_C(10000000000)
/* Between two looks: half a frame period at any rate that a camera has, and next to no load. */
#define POLL_NS UINT64_C(1000000)

static void pause_ns(uint64_t ns)
{
    struct timespec time;
    time.tv_sec = (time_t)(ns / 1000000000u);
    time.tv_nsec = (long)(ns % 1000000000u);
    (void)nanosleep(&time, NULL);
}

/* Kr and Kb of a matrix, times 10000 (section 5). */
struct weights {
    int64_t kr, kb;
};

static struct weights weights_of(const struct vas_shm_checked_header *header)
{
    static const struct weights bt709 = {2126, 722}, fcc = {3000, 1100}, bt601 = {2990, 1140}, smpte240m = {2120, 870},
                                bt2020 = {2627, 593};
    switch (header->color_matrix) {
    case 1:
        return bt709;
    case 4:
        return fcc;
    case 5:
    case 6:
        return bt601;
    case 7:
        return smpte240m;
    case 9:
        return bt2020;
    default:
        return header->height > 576 ? bt709 : bt601; /* COLOR-3 */
    }
}

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

/* Writes a packed picture as PPM; a chroma sample is repeated for its two by two pixels. */
static bool write_ppm(const struct vas_shm_reader *reader, const unsigned char *packed, FILE *to)
{
    const struct vas_shm_checked_header *header = &reader->header;
    const struct weights weights = weights_of(header);
    const bool is_full = header->color_range == VAS_SHM_COLOR_RANGE_FULL; /* COLOR-1: unknown is limited */
    const size_t luma_row = vas_shm_luma_row_size(reader), chroma_row = vas_shm_chroma_row_size(reader);
    const unsigned char *chroma = packed + luma_row * header->height;
    unsigned char *row = (unsigned char *)malloc(3 * luma_row);
    bool is_written = row != NULL && fprintf(to, "P6\n%" PRIu32 " %" PRIu32 "\n255\n", header->width, header->height) > 0;
    for (uint32_t y = 0; is_written && y < header->height; y++) {
        for (uint32_t x = 0; x < header->width; x++) {
            const unsigned char *pair = chroma + (y / 2) * chroma_row + 2 * (size_t)(x / 2);
            to_rgb(weights, is_full, packed[y * luma_row + x], pair[0], pair[1], row + 3 * (size_t)x);
        }
        is_written = fwrite(row, 3, luma_row, to) == luma_row;
    }
    free(row);
    return fflush(to) == 0 && is_written;
}

/* Waits for a current frame and copies it. NULL, with the reason printed: there is none, or the pair is to be left. */
static unsigned char *take(const struct vas_shm_reader *reader, uint64_t give_up_ns, bool *is_over)
{
    const size_t size = vas_shm_packed_size(reader);
    unsigned char *packed = (unsigned char *)malloc(size);
    struct vas_shm_liveness liveness;
    struct vas_shm_frame frame;
    *is_over = false;
    if (packed == NULL) {
        fprintf(stderr, "snapshot: no memory for a picture of %zu bytes\n", size);
        return NULL;
    }
    vas_shm_liveness_start(&liveness, reader, vas_shm_monotonic_ns());
    for (;;) {
        const uint64_t now_ns = vas_shm_monotonic_ns();
        const enum vas_shm_liveness_status status = vas_shm_liveness_look(&liveness, reader, now_ns);
        if (liveness.is_current && vas_shm_latest(reader, 0, &frame) == VAS_SHM_FRAME &&
            vas_shm_copy_packed(reader, &frame, packed, size) == VAS_SHM_COPY_INTACT)
            return packed;
        *is_over = vas_shm_must_leave(status) && now_ns < give_up_ns;
        if (*is_over || now_ns >= give_up_ns)
            break;
        pause_ns(POLL_NS);
    }
    if (!*is_over)
        fprintf(stderr, "snapshot: no present picture within %" PRIu64 " s: the camera is %s\n", GIVE_UP_NS / 1000000000u,
                vas_shm_liveness_name(liveness.status));
    free(packed);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    const uint64_t give_up_ns = vas_shm_monotonic_ns() + GIVE_UP_NS;
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: snapshot CAMERA [BASE] > picture.ppm\n");
        return 2;
    }
    for (;;) {
        uint64_t wait_ns = VAS_SHM_RETRY_NS; /* also after leaving a pair (OPEN-19) */
        if (vas_shm_open(&reader, argc > 2 ? argv[2] : VAS_SHM_DEFAULT_BASE, argv[1], NULL, &answer) == VAS_SHM_READY) {
            bool is_over;
            unsigned char *packed = take(&reader, give_up_ns, &is_over);
            const bool is_written = packed != NULL && write_ppm(&reader, packed, stdout);
            if (packed != NULL && !is_written)
                fprintf(stderr, "snapshot: writing the picture failed\n");
            free(packed);
            vas_shm_close(&reader);
            if (!is_over)
                return is_written ? 0 : 1;
        } else {
            wait_ns = vas_shm_retry_after_ns(&answer);
            if (answer.opened != VAS_SHM_NOT_THERE_YET || vas_shm_monotonic_ns() + wait_ns >= give_up_ns) {
                fprintf(stderr, "snapshot: %s\n", answer.sentence);
                return 1;
            }
        }
        pause_ns(wait_ns);
    }
}
