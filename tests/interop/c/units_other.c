/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "vas_shm.h"

uint64_t newest(const struct vas_shm_reader *reader);

/* The number of the newest frame, 0 if there is none. */
uint64_t newest(const struct vas_shm_reader *reader)
{
    struct vas_shm_frame frame;
    if (vas_shm_latest(reader, 0, &frame) != VAS_SHM_FRAME || !vas_shm_is_intact(reader, &frame))
        return 0;
    return frame.id;
}
