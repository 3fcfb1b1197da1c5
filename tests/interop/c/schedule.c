/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `schedule FILE`: asks the schedule what vas-shm-reader/tests/schedule.txt asks. Prints how many answers were right, or the first
 * line whose answer was another.
 */
#include "vas_frames.h"

#include <stdlib.h>

static enum vas_policy policy_of(const char *name)
{
    if (strcmp(name, "low_latency") == 0)
        return VAS_POLICY_LOW_LATENCY;
    if (strcmp(name, "economy") == 0)
        return VAS_POLICY_ECONOMY;
    if (strcmp(name, "balanced") == 0)
        return VAS_POLICY_BALANCED;
    fprintf(stderr, "%s is no policy\n", name);
    exit(1);
}

int main(int argc, char **argv)
{
    static char line[256];
    struct vas_schedule schedule;
    unsigned number = 0, right = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL)
        return 2;
    vas_schedule_init(&schedule, 0, VAS_POLICY_BALANCED);
    while (fgets(line, (int)sizeof line, file) != NULL) {
        uint64_t a = 0, b = 0, c = 0;
        char name[32];
        number++;
        if (line[0] == '#')
            continue;
        if (sscanf(line, "new %" SCNu64 " %31s", &a, name) == 2) {
            vas_schedule_init(&schedule, a, policy_of(name));
        } else if (sscanf(line, "found %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c) == 3) {
            vas_schedule_frame_found(&schedule, a, b, c);
        } else if (sscanf(line, "nap %" SCNu64 " %" SCNu64, &a, &b) == 2) {
            if (vas_schedule_nap_ns(&schedule, a) != b) {
                printf("line %u: %" PRIu64 " instead of %" PRIu64 "\n", number, vas_schedule_nap_ns(&schedule, a), b);
                return 1;
            }
            right++;
        } else {
            printf("line %u says nothing: %s", number, line);
            return 1;
        }
    }
    (void)fclose(file);
    printf("%u right\n", right);
    return 0;
}
