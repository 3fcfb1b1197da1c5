#!/usr/bin/env python3
"""Takes pictures of the test pattern that the writer's examples export, and compares every pixel.

`pattern.py BASE CAMERA PICTURES SECONDS`: until so many were accepted or the time is up. Says in one line

    accepted=.. wrong=.. steps=..

accepted are those of which READ-6 says that they are intact; wrong, those of them that are not the pattern; steps, how often
the pattern stood elsewhere than in the picture before.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import time

import vas_shm_reader as vas

_POLL_S = 0.001
_WIDTH = 640
_HEIGHT = 480
_COLOR_RANGE_FULL = 2
# 4 pixels to the left at each step, on a ramp of 256.
_STEP = 4


def _patterns() -> dict[int, vas.Planes]:
    """The picture at each step, by the first byte of its luma."""
    pairs, rows = _WIDTH // 2, _HEIGHT // 2
    chroma = bytes(value for y in range(rows) for x in range(pairs) for value in (x * 255 // pairs, y * 255 // rows))
    return {
        begin: vas.Planes(bytes((x + begin) % 256 for x in range(_WIDTH)) * _HEIGHT, chroma)
        for begin in range(0, 256, _STEP)
    }


def main() -> int:
    """Looks until enough was seen or the time is up; the judgement is the caller's."""
    if len(sys.argv) != 5:
        print("pattern.py: give BASE CAMERA PICTURES SECONDS", file=sys.stderr)
        return 2
    base, camera = sys.argv[1:3]
    pictures, seconds = (int(argument) for argument in sys.argv[3:])
    deadline = time.monotonic() + seconds
    expected = _patterns()
    accepted = wrong = steps = 0
    before: int | None = None
    pair = vas.open_pair(base, camera)
    while isinstance(pair, vas.NotYet) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        pair = vas.open_pair(base, camera)
    if not isinstance(pair, vas.Pair):
        print(f"pattern.py: {pair}", file=sys.stderr)
        return 1
    with pair:
        is_full = pair.header.color_range == _COLOR_RANGE_FULL
        while accepted < pictures and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            frame = pair.latest()
            if not isinstance(frame, vas.Frame):
                continue
            planes = frame.copy()
            if planes is None:
                continue
            begin = planes.luma[0]
            wrong += not is_full or expected.get(begin) != planes
            steps += before is not None and before != begin
            accepted += 1
            before = begin
    print(f"accepted={accepted} wrong={wrong} steps={steps}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
