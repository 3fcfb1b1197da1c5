#!/usr/bin/env python3
"""Follows a camera through the life of its pairs, and says what it is told (section 11).

`follow.py BASE CAMERA`: a line for each change, until standard input ends:

    not there yet REASON | refused SENTENCE
    opened GENERATION    current    frame NUMBER (the first of a pair)    left stopped|replaced|renamed
    live | idle | stalled | stopped | replaced | server gone after MILLISECONDS ms
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import select
import time

import vas_shm_reader as vas

_LOOK_S = 0.01
_LOOK_AT_NAME_S = 0.1
"""LIVE-2: about every 100 ms."""


def _is_over(wait_s: float) -> bool:
    """Waits; whether standard input has ended meanwhile."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable) and not sys.stdin.readline()


def _tell(line: str) -> None:
    print(line, flush=True)


class Follower:
    """Opens, watches, leaves, and opens again."""

    def __init__(self, base: str, camera: str) -> None:
        self._base = base
        self._camera = camera

    def run(self) -> None:
        """Until standard input ends."""
        wait_s = 0.0
        told = ""
        while not _is_over(wait_s):
            # OPEN-19
            wait_s = vas.TRY_AGAIN_S
            answer = vas.open_pair(self._base, self._camera)
            if isinstance(answer, vas.Pair):
                with answer as pair:
                    why = self._watch(pair)
                if why is None:
                    return
                told = ""
                _tell(f"left {why}")
                continue
            if isinstance(answer, vas.Refused):
                wait_s = vas.TRY_AGAIN_AFTER_REFUSAL_S
                line = f"refused {answer}"
            else:
                line = f"not there yet {answer.reason.value}"
            if line != told:
                told = line
                _tell(line)

    def _watch(self, pair: vas.Pair) -> str | None:
        """Why the pair was left; None when standard input ended."""
        _tell(f"opened {pair.header.generation}")
        liveness = vas.Liveness(time.monotonic(), pair.observe())
        named_s = time.monotonic()
        was_current = has_frame = False
        told = ""
        while not _is_over(_LOOK_S):
            frame = pair.latest()
            if not has_frame and isinstance(frame, vas.Frame) and frame.copy() is not None:
                has_frame = True
                _tell(f"frame {frame.number}")
            # The clock first: silence is then never overstated.
            now_s = time.monotonic()
            state = liveness.look(now_s, pair.observe())
            if liveness.is_current and not was_current:
                was_current = True
                _tell("current")
            if state != told:
                told = state
                is_gone = state == "server gone"
                _tell(f"{state} after {liveness.silence_s(now_s) * 1000:.0f} ms" if is_gone else state)
            if state in ("stopped", "replaced"):
                return state
            if now_s - named_s >= _LOOK_AT_NAME_S:
                named_s = now_s
                if not pair.still_named():
                    return "renamed"
        return None


def main() -> int:
    """Follows until standard input ends."""
    if len(sys.argv) != 3:
        print("follow.py: give BASE CAMERA", file=sys.stderr)
        return 2
    Follower(sys.argv[1], sys.argv[2]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
