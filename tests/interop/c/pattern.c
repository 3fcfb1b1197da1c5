/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `pattern BASE CAMERA PICTURES SECONDS`: takes pictures of the test pattern that the writer's examples export, until so many
 * were accepted or the time is up, and compares every pixel. Says in one line
 *
 *     accepted=.. wrong=.. steps=..
 *
 * accepted are those of which READ-6 says that they are intact; wrong, those of them that are not the pattern; steps, how often
 * the pattern stood elsewhere than in the picture before.
 */
#include "vas_shm.h"

#include <stdlib.h>

#define WIDTH 640u
#define HEIGHT 480u
/* 4 pixels to the left at each step, on a ramp of 256. */
#define STEP 4u
#define POLL_NS 1000000

/* Whether it is the pattern, and then where its ramp begins. */
static bool is_pattern(const struct vas_shm_checked_header *header, const unsigned char *packed, unsigned *begin)
{
    const unsigned char *chroma = packed + (size_t)WIDTH * HEIGHT;
    if (header->width != WIDTH || header->height != HEIGHT || header->color_range != VAS_SHM_COLOR_RANGE_FULL)
        return false;
    *begin = packed[0];
    if (*begin % STEP != 0)
        return false;
    for (unsigned y = 0; y < HEIGHT; y++)
        for (unsigned x = 0; x < WIDTH; x++)
            if (packed[(size_t)y * WIDTH + x] != (unsigned char)(x + *begin))
                return false;
    for (unsigned y = 0; y < HEIGHT / 2; y++)
        for (unsigned x = 0; x < WIDTH / 2; x++) {
            const unsigned char *pair = chroma + (size_t)y * WIDTH + 2 * (size_t)x;
            if (pair[0] != x * 255 / (WIDTH / 2) || pair[1] != y * 255 / (HEIGHT / 2))
                return false;
        }
    return true;
}

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader;
    static unsigned char packed[WIDTH * HEIGHT * 3 / 2];
    const struct timespec pause = {0, POLL_NS};
    struct vas_shm_answer answer;
    struct vas_shm_frame frame;
    unsigned long accepted = 0, wrong = 0, steps = 0, pictures;
    unsigned begin = 0, before = 0;
    uint64_t until_ns, seen = 0;
    if (argc != 5) {
        fprintf(stderr, "usage: pattern BASE CAMERA PICTURES SECONDS\n");
        return 2;
    }
    pictures = strtoul(argv[3], NULL, 10);
    until_ns = vas_shm_monotonic_ns() + strtoull(argv[4], NULL, 10) * UINT64_C(1000000000);
    while (vas_shm_open(&reader, argv[1], argv[2], NULL, &answer) != VAS_SHM_READY) {
        if (answer.opened != VAS_SHM_NOT_THERE_YET || vas_shm_monotonic_ns() >= until_ns) {
            fprintf(stderr, "pattern: %s\n", answer.sentence);
            return 1;
        }
        (void)nanosleep(&pause, NULL);
    }
    while (accepted < pictures && vas_shm_monotonic_ns() < until_ns) {
        (void)nanosleep(&pause, NULL);
        if (vas_shm_latest(&reader, seen, &frame) != VAS_SHM_FRAME)
            continue;
        seen = frame.id;
        if (vas_shm_copy_packed(&reader, &frame, packed, sizeof packed) != VAS_SHM_COPY_INTACT)
            continue;
        wrong += !is_pattern(&reader.header, packed, &begin);
        steps += accepted > 0 && begin != before;
        accepted++;
        before = begin;
    }
    vas_shm_close(&reader);
    printf("accepted=%lu wrong=%lu steps=%lu\n", accepted, wrong, steps);
    return 0;
}
