/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Two translation units that include the reader, linked into one program: this one opens, units_other.c reads.
 *
 * Prints the answer of the one camera it is given, as a sentence.
 */
#include "vas_shm.h"

uint64_t newest(const struct vas_shm_reader *reader);

int main(int argc, char **argv)
{
    static struct vas_shm_reader reader;
    struct vas_shm_answer answer;
    struct vas_shm_options options;
    memset(&options, 0, sizeof options);
    options.populate = true;
    if (argc != 3 && argc != 4)
        return 2;
    if (argc == 4) {
        unsigned owner = 0;
        if (sscanf(argv[3], "%u", &owner) != 1)
            return 2;
        options.insists_on_owner = true;
        options.owner_uid = owner;
    }
    if (vas_shm_open(&reader, argv[1], argv[2], &options, &answer) != VAS_SHM_READY) {
        printf("%d %s\n", (int)answer.opened, answer.sentence);
        return 0;
    }
    printf("%d %" PRIu64 "\n", (int)answer.opened, newest(&reader));
    vas_shm_close(&reader);
    vas_shm_close(&reader);
    return 0;
}
