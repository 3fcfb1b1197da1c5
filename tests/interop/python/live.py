#!/usr/bin/env python3
"""Reads self-describing pictures from a writer that overwrites them as fast as it can, and counts the torn ones.

`live.py BASE CAMERA PICTURES TORN SECONDS [--without-validation]`: until so many pictures were accepted and so many torn ones
met, or the time is up. A picture is whole if all of its 8-byte words are equal (tests/e2e/src/pattern.rs). Says in one line

    accepted=.. accepted_torn=.. refused=.. refused_torn=..

With validation a picture is accepted if READ-6 says that it is intact, and refused_torn are the torn pictures that only this
check told from whole ones. Without validation every picture is accepted, and accepted_torn is what such a reader falls for.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import itertools
import time

import vas_shm_reader as vas

# How many bytes are copied between two turns of the interpreter. The smaller, the longer a picture takes, and the likelier it
# is overwritten meanwhile. How fast the writer is here nobody knows, so all are tried until one kind of picture is enough.
_PIECE_SIZES = (1 << 20, 1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6)

_WAIT_S = 0.1


def _read_in_pieces(frame: vas.Frame, piece_size: int) -> bytes:
    """A packed copy, which may be torn. The test's pictures have no padding."""
    header = frame.pair.header
    size = header.width * header.height * 3 // 2
    if (header.stride, header.uv_offset) != (header.width, header.width * header.height):
        raise SystemExit(
            f"live.py: these are not the pictures of vas-e2e-writer: stride {header.stride} for {header.width}"
        )
    with frame.view() as view:
        return b"".join([bytes(view[at : min(at + piece_size, size)]) for at in range(0, size, piece_size)])


def _is_whole(picture: bytes) -> bool:
    """Each byte equals the one eight places before it."""
    return picture[8:] == picture[:-8]


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
    accepted = accepted_torn = refused = refused_torn = 0
    pair = _open(base, camera, deadline)
    if pair is not None:
        with pair:
            # Within a pair, a frame's number and the number in its picture stay the same distance apart.
            distance: int | None = None
            for piece_size in itertools.cycle(_PIECE_SIZES):
                enough_torn = (refused_torn if validates else accepted_torn) >= torn
                enough_pictures = accepted >= pictures
                if (enough_pictures and enough_torn) or time.monotonic() >= deadline:
                    break
                if enough_torn:
                    piece_size = _PIECE_SIZES[0]
                elif enough_pictures:
                    piece_size = _PIECE_SIZES[-1]
                frame = pair.latest()
                if not isinstance(frame, vas.Frame):
                    continue
                picture = _read_in_pieces(frame, piece_size)
                is_intact = frame.is_intact()
                is_whole = _is_whole(picture)
                if validates and not is_intact:
                    refused += 1
                    refused_torn += not is_whole
                    continue
                accepted += 1
                mark = int.from_bytes(picture[:8], "little")
                # Only a picture that was checked may say what the distance is.
                if distance is None and is_intact:
                    distance = frame.number - mark
                is_right = is_whole and (not validates or frame.number - mark == distance)
                accepted_torn += not is_right
    print(
        f"accepted={accepted} accepted_torn={accepted_torn} refused={refused} refused_torn={refused_torn}", flush=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
