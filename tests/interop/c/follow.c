/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `follow BASE CAMERA`: stays with a camera until its stdin ends, over the death and the return of its server, and says each
 * change on a line of its own:
 *
 *     waiting missing                  not there yet, and why
 *     opened GENERATION
 *     current ID                       the first frame that may be shown as the present one
 *     status live|idle|stalled|server gone|...     of the liveness helper; "server gone" with the milliseconds of silence
 *     left stopped|replaced|name lost
 */
#include "vas_shm.h"

#include <poll.h>
#include <stdlib.h>

/* Waits; whether stdin has ended, which is how this program is told to go. */
static bool is_told_to_end(uint64_t wait_ns)
{
    struct pollfd input;
    input.fd = STDIN_FILENO;
    input.events = POLLIN;
    input.revents = 0;
    return poll(&input, 1, (int)(wait_ns / 1000000u)) > 0;
}

static void say(const char *verb, const char *what, uint64_t number)
{
    printf("%s %s %" PRIu64 "\n", verb, what, number);
    if (fflush(stdout) != 0)
        exit(1);
}

/* One pair, from its opening to its end; false when told to end. */
static bool follow(const struct vas_shm_reader *reader)
{
    struct vas_shm_liveness liveness;
    struct vas_shm_frame frame;
    enum vas_shm_liveness_status status, before = VAS_SHM_LIVENESS_UNPROVEN;
    uint64_t seen = 0, moved_ns = vas_shm_monotonic_ns();
    struct vas_shm_observation last = vas_shm_observe(reader);
    bool has_shown = false;
    vas_shm_liveness_start(&liveness, reader, moved_ns);
    while (!is_told_to_end(1000000u)) {
        uint64_t now_ns = vas_shm_monotonic_ns();
        struct vas_shm_observation words;
        status = vas_shm_liveness_look(&liveness, reader, now_ns);
        /* After the helper's look, which then cannot have seen a later change than this program. */
        words = vas_shm_observe(reader);
        if (words.heartbeat_ns != last.heartbeat_ns || words.frame_id != last.frame_id)
            moved_ns = now_ns;
        last = words;
        if (status != before)
            say(vas_shm_must_leave(status) ? "left" : "status", vas_shm_liveness_name(status), (now_ns - moved_ns) / 1000000u);
        before = status;
        if (vas_shm_must_leave(status))
            return true;
        if (vas_shm_latest(reader, seen, &frame) == VAS_SHM_FRAME && vas_shm_is_intact(reader, &frame)) {
            seen = frame.id;
            if (liveness.is_current && !has_shown)
                say("current", "frame", frame.id);
            has_shown = has_shown || liveness.is_current;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    enum vas_shm_reason before = VAS_SHM_NO_REASON;
    if (argc != 3) {
        fprintf(stderr, "usage: follow BASE CAMERA\n");
        return 2;
    }
    for (;;) {
        switch (vas_shm_open(&reader, argv[1], argv[2], NULL, &answer)) {
        case VAS_SHM_READY:
            say("opened", "generation", reader.header.generation);
            before = VAS_SHM_NO_REASON;
            if (!follow(&reader)) {
                vas_shm_close(&reader);
                return 0;
            }
            vas_shm_close(&reader);
            break;
        case VAS_SHM_NOT_THERE_YET:
            if (answer.reason != before)
                say("waiting", answer.reason == VAS_SHM_MISSING ? "missing" : "over", 0);
            before = answer.reason;
            break;
        case VAS_SHM_REFUSED:
        case VAS_SHM_OWN_ERROR:
            fprintf(stderr, "follow: %s\n", answer.sentence);
            return 1;
        }
        /* OPEN-19, and at least as long after leaving a pair. */
        if (is_told_to_end(answer.opened == VAS_SHM_READY ? VAS_SHM_RETRY_NS : vas_shm_retry_after_ns(&answer)))
            return 0;
    }
}
