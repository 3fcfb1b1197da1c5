/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `read --way POLICY --base BASE --frames COUNT --warm-up COUNT`: a reader in C for the bench of waiting, as read.rs is one in Rust.
 * Prints from when on it had each frame, and what that cost, as JSON.
 */
#include "vas_frames.h"

#include <stdlib.h>

#define CAMERA "waiting"

static uint64_t cpu_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static enum vas_policy policy_of(const char *name)
{
    if (strcmp(name, "low-latency") == 0)
        return VAS_POLICY_LOW_LATENCY;
    if (strcmp(name, "economy") == 0)
        return VAS_POLICY_ECONOMY;
    if (strcmp(name, "balanced") == 0)
        return VAS_POLICY_BALANCED;
    fprintf(stderr, "read: %s is no policy\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct vas_stream stream;
    static struct vas_stream_options options;
    struct vas_frame frame;
    const char *base = NULL;
    size_t frames = 0, warm_up = 0, counted = 0, i;
    uint64_t begun_ns = 0, cpu_begun_ns = 0, skipped = 0, *latencies_ns;
    for (i = 1; i + 1 < (size_t)argc; i += 2) {
        if (strcmp(argv[i], "--way") == 0)
            options.policy = policy_of(argv[i + 1]);
        else if (strcmp(argv[i], "--base") == 0)
            base = argv[i + 1];
        else if (strcmp(argv[i], "--frames") == 0)
            frames = (size_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--warm-up") == 0)
            warm_up = (size_t)strtoul(argv[i + 1], NULL, 10);
    }
    latencies_ns = (uint64_t *)calloc(frames, sizeof *latencies_ns);
    if (base == NULL || frames == 0 || warm_up == 0 || latencies_ns == NULL) {
        fprintf(stderr, "usage: read --way POLICY --base BASE --frames COUNT --warm-up COUNT\n");
        return 2;
    }
    (void)vas_stream_init(&stream, base, CAMERA, &options);
    while (counted < frames) {
        switch (vas_stream_next(&stream, 10000, &frame)) {
        case VAS_FRAME: {
            const uint64_t found_ns = vas_shm_monotonic_ns();
            if (warm_up > 0) {
                if (--warm_up == 0) {
                    begun_ns = vas_shm_monotonic_ns();
                    cpu_begun_ns = cpu_ns();
                }
                break;
            }
            latencies_ns[counted++] = found_ns > frame.timestamp_ns ? found_ns - frame.timestamp_ns : 0;
            skipped += frame.skipped;
            break;
        }
        case VAS_STATUS:
            break;
        case VAS_TIMEOUT:
        case VAS_CANCELLED:
            fprintf(stderr, "read: no frame for ten seconds: %s\n", vas_stream_sentence(&stream));
            return 1;
        }
    }
    printf("{\"cpu_ns\":%" PRIu64 ",\"wall_ns\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"latencies_ns\":[", cpu_ns() - cpu_begun_ns,
           vas_shm_monotonic_ns() - begun_ns, skipped);
    for (i = 0; i < frames; i++)
        printf(i == 0 ? "%" PRIu64 : ",%" PRIu64, latencies_ns[i]);
    puts("]}");
    free(latencies_ns);
    vas_stream_close(&stream);
    return 0;
}
