/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "vas_shm.h"

int main(int argc, char **argv)
{
    struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    struct vas_shm_frame frame;
    if (vas_shm_open(&reader, argc > 2 ? argv[2] : VAS_SHM_DEFAULT_BASE, argc > 1 ? argv[1] : "front", NULL, &answer) != VAS_SHM_READY)
        return fprintf(stderr, "%s\n", answer.sentence), 1;
    for (uint64_t seen = 0, until_ns = vas_shm_monotonic_ns() + 2000000000u; vas_shm_monotonic_ns() < until_ns;) {
        if (vas_shm_latest(&reader, seen, &frame) != VAS_SHM_FRAME)
            continue; /* a real program sleeps here, and asks vas_shm_liveness_look whether the server still lives */
        unsigned char middle = vas_shm_luma(&reader, &frame)[reader.header.stride * (reader.header.height / 2) + reader.header.width / 2];
        if (vas_shm_is_intact(&reader, &frame)) /* only now is it what the camera saw */
            printf("frame %" PRIu64 ": the pixel in the middle has luma %u\n", frame.id, middle);
        seen = frame.id;
    }
    vas_shm_close(&reader);
    return 0;
}
