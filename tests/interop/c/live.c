/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `live BASE CAMERA PICTURES TORN SECONDS`: takes pictures of a writer that overwrites them flat out, until so many were accepted
 * and so many were seen that only the check at the end told from whole ones, or the time is up.
 *
 * The pictures say of themselves whether they are whole: each is the same eight bytes over and over, a number that rises by one
 * per published picture.
 */
#include "vas_shm.h"

#include <stdlib.h>

/* Whether a picture is whole, and then its eight bytes. */
static bool is_whole(const unsigned char *packed, size_t size, uint64_t *word)
{
    if (size < 2 * sizeof *word || size % sizeof *word != 0)
        return false;
    memcpy(word, packed, sizeof *word);
    /* Each byte equals the one eight places before it. */
    return memcmp(packed + sizeof *word, packed, size - sizeof *word) == 0;
}

static void pause_ns(uint64_t ns)
{
    struct timespec time;
    time.tv_sec = (time_t)(ns / 1000000000u);
    time.tv_nsec = (long)(ns % 1000000000u);
    (void)nanosleep(&time, NULL);
}

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    struct vas_shm_liveness liveness;
    uint64_t pictures, torn, deadline_ns;
    uint64_t accepted = 0, accepted_torn = 0, refused = 0, refused_torn = 0, overruns = 0;
    if (argc != 6) {
        fprintf(stderr, "usage: live BASE CAMERA PICTURES TORN SECONDS\n");
        return 2;
    }
    pictures = strtoull(argv[3], NULL, 10);
    torn = strtoull(argv[4], NULL, 10);
    deadline_ns = vas_shm_monotonic_ns() + strtoull(argv[5], NULL, 10) * 1000000000u;
    while (vas_shm_monotonic_ns() < deadline_ns && (accepted < pictures || refused_torn < torn)) {
        unsigned char *packed;
        size_t size;
        uint64_t seen = 0, distance = 0;
        bool knows_distance = false;
        if (vas_shm_open(&reader, argv[1], argv[2], NULL, &answer) != VAS_SHM_READY) {
            if (answer.opened != VAS_SHM_NOT_THERE_YET) {
                fprintf(stderr, "live: %s\n", answer.sentence);
                return 1;
            }
            pause_ns(vas_shm_retry_after_ns(&answer));
            continue;
        }
        size = vas_shm_packed_size(&reader);
        packed = (unsigned char *)malloc(size);
        if (packed == NULL) {
            fprintf(stderr, "live: no memory for a picture of %zu bytes\n", size);
            return 1;
        }
        vas_shm_liveness_start(&liveness, &reader, vas_shm_monotonic_ns());
        while (vas_shm_monotonic_ns() < deadline_ns && (accepted < pictures || refused_torn < torn)) {
            struct vas_shm_frame frame;
            uint64_t word = 0;
            bool whole, is_accepted;
            enum vas_shm_found found = vas_shm_latest(&reader, seen, &frame);
            if (found != VAS_SHM_FRAME) {
                overruns += found == VAS_SHM_OVERRUN;
                if (vas_shm_must_leave(vas_shm_liveness_look(&liveness, &reader, vas_shm_monotonic_ns())))
                    break;
                continue;
            }
            seen = frame.id;
            is_accepted = vas_shm_copy_packed(&reader, &frame, packed, size) == VAS_SHM_COPY_INTACT;
            /* The copy is there whatever the check says: what a reader that never checks would have taken for the picture. */
            whole = is_whole(packed, size, &word);
            if (is_accepted) {
                accepted++;
                /* Whole, but of another frame, is as wrong as torn. */
                accepted_torn += !whole || (knows_distance && frame.id - word != distance);
                distance = frame.id - word;
                knows_distance = true;
            } else {
                refused++;
                refused_torn += !whole;
            }
        }
        free(packed);
        vas_shm_close(&reader);
    }
    printf("accepted=%" PRIu64 " accepted_torn=%" PRIu64 " refused=%" PRIu64 " refused_torn=%" PRIu64 " overruns=%" PRIu64 "\n",
           accepted, accepted_torn, refused, refused_torn, overruns);
    return 0;
}
