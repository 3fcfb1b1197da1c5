#!/usr/bin/env python3
"""Reads self-describing pictures from a writer that overwrites them as fast as it can, and counts the torn ones.

`live.py BASE CAMERA PICTURES TORN SECONDS [--without-validation]`: until so many pictures were accepted and so many torn ones
met, or the time is up. Luma is the same eight bytes over and over, a number that rises by one per published picture, and chroma
is their complement; the time is 1000 times the number (tests/e2e/src/pattern.rs). Says in one line

    accepted=.. accepted_torn=.. refused=.. refused_torn=.. overwritten=..

With validation a picture is accepted if READ-6 says that it is intact, and refused_torn are the torn pictures that only this
check told from whole ones. Without validation every picture is accepted, and accepted_torn is what such a reader falls for.
overwritten are those of which it was known before they were copied; each of these that is accepted counts as torn.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import time

import vas_shm_reader as vas

_WAIT_S = 0.1

# One in so many frames is read only once its slot is being overwritten, which nothing but the check at the end tells.
_WAITS_EACH = 8
# For so long at most: a server that left its pair overwrites nothing there.
_OVERWRITTEN_WITHIN_S = 2.0

# The number's bits of the eight bytes; above them stands which size it is.
_NUMBER_MASK = 2**56 - 1
_NS_PER_NUMBER = 1000


def _is_overwritten(frame: vas.Frame) -> bool:
    """Waits until the frame's first byte changes."""
    until = time.monotonic() + _OVERWRITTEN_WITHIN_S
    with frame.view() as view:
        first = view[0]
        while view[0] == first:
            if time.monotonic() >= until:
                return False
    return True


def _number(planes: vas.Planes) -> int | None:
    """Which picture it is, None for a mixture."""
    for plane in planes:
        # Each byte equals the one eight places before it.
        if plane[8:] != plane[:-8]:
            return None
    if int.from_bytes(planes.luma[:8], "little") ^ int.from_bytes(planes.chroma[:8], "little") != vas.U64_MAX:
        return None
    return int.from_bytes(planes.luma[:8], "little") & _NUMBER_MASK


def _look(pair: vas.Pair, turn: int) -> vas.Frame | vas.Unseen | None:
    """The newest; every fourth time the oldest that was not seen, or the one before the newest, which has another time."""
    if turn % 4 == 1:
        return pair.next()
    if turn % 4 == 3:
        return pair.at(pair.observe().frame_id - 1)
    return pair.latest()


def _open(base: str, camera: str, deadline: float) -> vas.Pair | None:
    while True:
        answer = vas.open_pair(base, camera)
        if isinstance(answer, vas.Pair):
            return answer
        if isinstance(answer, vas.Refused):
            raise SystemExit(f"live.py: {answer}")
        if time.monotonic() >= deadline:
            return None
        time.sleep(_WAIT_S)


def main() -> int:
    """Reads until enough was seen or the time is up; the judgement is the caller's."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--without-validation"]
    validates = len(arguments) == len(sys.argv) - 1
    if len(arguments) != 5:
        print("live.py: give BASE CAMERA PICTURES TORN SECONDS [--without-validation]", file=sys.stderr)
        return 2
    base, camera = arguments[:2]
    pictures, torn, seconds = (int(argument) for argument in arguments[2:])
    deadline = time.monotonic() + seconds
    accepted = accepted_torn = refused = refused_torn = overwritten = turn = 0
    pair = _open(base, camera, deadline)
    if pair is not None:
        with pair:
            # Within a pair, a frame's number and the number in its picture stay the same distance apart.
            distance: int | None = None
            while time.monotonic() < deadline:
                if accepted >= pictures and (refused_torn if validates else accepted_torn) >= torn:
                    break
                turn += 1
                frame = _look(pair, turn)
                if not isinstance(frame, vas.Frame):
                    continue
                is_overwritten = (accepted + refused) % _WAITS_EACH == 0 and _is_overwritten(frame)
                overwritten += is_overwritten
                # Asked at once: by the end of the copy the writer may be so far ahead that a weaker question is answered well.
                accepted_torn += validates and is_overwritten and frame.is_intact()
                # There whatever the check says: what a reader that never checks would have taken for the picture.
                planes = frame.unchecked_planes()
                is_intact = frame.is_intact()
                number = _number(planes)
                if validates and not is_intact:
                    refused += 1
                    refused_torn += number is None
                    continue
                accepted += 1
                if not validates:
                    accepted_torn += number is None
                    continue
                # Whole, but of another frame, is as wrong as torn.
                if distance is None and number is not None:
                    distance = frame.number - number
                is_right = (
                    number is not None
                    and not is_overwritten
                    and frame.number - number == distance
                    and frame.timestamp_ns == number * _NS_PER_NUMBER
                )
                accepted_torn += not is_right
    print(
        f"accepted={accepted} accepted_torn={accepted_torn} refused={refused} refused_torn={refused_torn} "
        f"overwritten={overwritten}",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
