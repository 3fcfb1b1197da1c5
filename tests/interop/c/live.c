/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `live BASE CAMERA PICTURES TORN SECONDS`: takes pictures of a writer that overwrites them flat out, until so many were accepted
 * and so many were seen that only the check at the end told from whole ones, or the time is up.
 *
 * The pictures say of themselves whether they are whole, and which they are: luma is the same eight bytes over and over, a number
 * that rises by one per published picture; chroma is their complement; the time is 1000 times the number.
 */
#include "vas_shm.h"

#include <stdlib.h>

/* One in so many frames is read only once its slot is being overwritten, which nothing but the check at the end tells. */
#define WAITS_EACH 8
/* For so long at most: a server that left its pair overwrites nothing there. */
#define WAIT_NS UINT64_C(2000000000)
/* The number's bits of the eight bytes; above them stands which size it is. */
#define NUMBER_MASK ((UINT64_C(1) << 56) - 1)
#define NS_PER_NUMBER 1000

/* Whether a plane is the same eight bytes over and over, and then these. */
static bool is_of_one_word(const unsigned char *plane, size_t size, uint64_t *word)
{
    if (size < 2 * sizeof *word || size % sizeof *word != 0)
        return false;
    memcpy(word, plane, sizeof *word);
    /* Each byte equals the one eight places before it. */
    return memcmp(plane + sizeof *word, plane, size - sizeof *word) == 0;
}

/* Whether a picture is whole, and then its number. */
static bool is_whole(const struct vas_shm_reader *reader, const unsigned char *packed, size_t size, uint64_t *number)
{
    size_t luma_size = (size_t)reader->header.width * reader->header.height;
    uint64_t luma = 0, chroma = 0;
    bool is_made_of_words = is_of_one_word(packed, luma_size, &luma) && is_of_one_word(packed + luma_size, size - luma_size, &chroma);
    *number = luma & NUMBER_MASK;
    return is_made_of_words && chroma == ~luma;
}

/* Waits until the frame's slot is being overwritten: its first byte changes. */
static bool waits_until_overwritten(const struct vas_shm_reader *reader, const struct vas_shm_frame *frame)
{
    const volatile unsigned char *first = vas_shm_luma(reader, frame);
    unsigned char before = *first;
    uint64_t since_ns = vas_shm_monotonic_ns();
    while (*first == before)
        if (vas_shm_monotonic_ns() - since_ns >= WAIT_NS)
            return false;
    return true;
}

/* The newest frame; every fourth time the oldest that was not seen, or the one before the newest, which has another time. */
static enum vas_shm_found look(const struct vas_shm_reader *reader, uint64_t turn, uint64_t seen, struct vas_shm_frame *frame)
{
    switch (turn % 4) {
    case 1:
        return vas_shm_next(reader, seen, frame);
    case 3:
        return vas_shm_at(reader, vas_shm_observe(reader).frame_id - 1, frame);
    default:
        return vas_shm_latest(reader, seen, frame);
    }
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
    uint64_t accepted = 0, accepted_torn = 0, refused = 0, refused_torn = 0, overwritten = 0, overruns = 0;
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
        uint64_t seen = 0, distance = 0, turn = 0;
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
            uint64_t number = 0;
            bool whole, is_accepted, is_overwritten = false;
            enum vas_shm_found found = look(&reader, turn++, seen, &frame);
            if (found != VAS_SHM_FRAME) {
                overruns += found == VAS_SHM_OVERRUN;
                if (vas_shm_must_leave(vas_shm_liveness_look(&liveness, &reader, vas_shm_monotonic_ns())))
                    break;
                continue;
            }
            seen = frame.id;
            if ((accepted + refused) % WAITS_EACH == WAITS_EACH - 1)
                is_overwritten = waits_until_overwritten(&reader, &frame);
            is_accepted = vas_shm_copy_packed(&reader, &frame, packed, size) == VAS_SHM_COPY_INTACT;
            overwritten += is_overwritten;
            /* The copy is there whatever the check says: what a reader that never checks would have taken for the picture. */
            whole = is_whole(&reader, packed, size, &number);
            if (is_accepted) {
                accepted++;
                /* Within a pair, a frame's number and its picture's stay the same distance apart. */
                if (!knows_distance)
                    distance = frame.id - number;
                knows_distance = true;
                /* Whole, but of another frame, is as wrong as torn. */
                accepted_torn += !whole || is_overwritten || frame.id - number != distance ||
                    frame.timestamp_ns != number * NS_PER_NUMBER;
            } else {
                refused++;
                refused_torn += !whole;
            }
        }
        free(packed);
        vas_shm_close(&reader);
    }
    printf("accepted=%" PRIu64 " accepted_torn=%" PRIu64 " refused=%" PRIu64 " refused_torn=%" PRIu64 " overwritten=%" PRIu64
           " overruns=%" PRIu64 "\n",
           accepted, accepted_torn, refused, refused_torn, overwritten, overruns);
    return 0;
}
