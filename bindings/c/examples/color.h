/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the numbers of a frame mean as colours (PROTOCOL.md, section 5), for the examples that show them.
 */
#ifndef COLOR_H
#define COLOR_H

#include "vas_frames.h"

/* Kr and Kb of a matrix, times 10000. */
struct weights {
    int64_t kr, kb;
};

static inline struct weights weights_of(const struct vas_frame *frame)
{
    static const struct weights bt709 = {2126, 722}, fcc = {3000, 1100}, bt601 = {2990, 1140}, smpte240m = {2120, 870},
                                bt2020 = {2627, 593};
    switch (frame->color_matrix) {
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
        return frame->height > 576 ? bt709 : bt601; /* COLOR-3 */
    }
}

/* COLOR-1: unknown is limited. */
static inline bool is_full_range(const struct vas_frame *frame)
{
    return frame->color_range == VAS_SHM_COLOR_RANGE_FULL;
}

#endif /* COLOR_H */
