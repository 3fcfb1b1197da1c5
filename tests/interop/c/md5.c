/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `md5 COUNT`: the hash that the examples make of the first 0, 1, 2, ... bytes of 0, 7, 14, ..., each on a line.
 */
#include "../../../bindings/c/examples/md5.h"

#include <stdlib.h>

#define MOST 1024

int main(int argc, char **argv)
{
    static unsigned char bytes[MOST];
    const size_t count = argc == 2 ? (size_t)strtoul(argv[1], NULL, 10) : 0;
    char hex[33];
    size_t i;
    if (count == 0 || count > MOST)
        return 2;
    for (i = 0; i < MOST; i++)
        bytes[i] = (unsigned char)(7 * i);
    for (i = 0; i < count; i++) {
        md5_hex(bytes, i, hex);
        puts(hex);
    }
    return 0;
}
