#!/usr/bin/env python3
"""The pure-Python reader as a probe: `probe.py BASE CAMERA` takes commands from standard input, a line each.

The commands and their answers are described in vas-shm-proto/conformance/README.md.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

from pathlib import Path

import vas_shm_reader as vas

_HEADER_FIELDS = (
    "version",
    "header_size",
    "width",
    "height",
    "pixel_format",
    "stride",
    "data_size",
    "uv_offset",
    "slot_count",
    "color_range",
    "color_primaries",
    "color_transfer",
    "color_matrix",
    "data_file_size",
    "data_inode",
    "generation",
)


class _Misused(Exception):
    """A command that makes no sense now."""


class Probe:
    """At most one open pair and one held frame."""

    def __init__(self, base: str, camera: str) -> None:
        self._base = base
        self._camera = camera
        self._pair: vas.Pair | None = None
        self._held: vas.Frame | None = None

    def answer(self, line: str) -> str:
        """The one line that answers a command."""
        command, _, argument = line.partition(" ")
        try:
            if command == "open" and not argument:
                return self._open()
            if command == "header" and not argument:
                header = self._opened().header
                return " ".join(f"{name}={getattr(header, name)}" for name in _HEADER_FIELDS)
            if command == "latest" and not argument:
                return self._frame(self._opened().latest(), "nothing")
            if command == "next" and not argument:
                return self._frame(self._opened().next(), "nothing")
            if command == "at" and argument.isascii() and argument.isdigit():
                return self._frame(self._opened().at(int(argument)), "gone")
            if command == "intact" and not argument:
                return _yes(self._frame_held().is_intact())
            if command == "planes" and argument:
                planes = self._frame_held().unchecked_planes()
                Path(f"{argument}.luma").write_bytes(planes.luma)
                Path(f"{argument}.chroma").write_bytes(planes.chroma)
                return "ok"
            if command == "observe" and not argument:
                words = self._opened().observe()
                return (
                    f"state={words.state} idle={int(words.idle)} frame_id={words.frame_id} "
                    f"heartbeat_ns={words.heartbeat_ns} frame_period_ns={words.frame_period_ns}"
                )
            if command == "named" and not argument:
                return _yes(self._opened().still_named())
            if command == "close" and not argument:
                self.close()
                return "ok"
            return f"error {line!r} is no command of a probe"
        except (OSError, ValueError, vas.UnsupportedMachine, _Misused) as error:
            return "error " + " ".join(str(error).split())

    def close(self) -> None:
        """Gives the pair back, if one is open."""
        self._held = None
        if self._pair is not None:
            self._pair.close()
            self._pair = None

    def _open(self) -> str:
        self.close()
        answer = vas.open_pair(self._base, self._camera)
        if isinstance(answer, vas.NotYet):
            return f"not_there_yet {answer.reason.value}"
        if isinstance(answer, vas.Refused):
            # A probe's answer is the field alone; a person gets the sentence.
            print(answer, file=sys.stderr)
            return f"refused {answer.field}"
        self._pair = answer
        return "ready"

    def _opened(self) -> vas.Pair:
        if self._pair is None:
            raise _Misused("nothing is open: say open first")
        return self._pair

    def _frame_held(self) -> vas.Frame:
        if self._held is None:
            raise _Misused("no frame is held: say latest, next or at first")
        return self._held

    def _frame(self, found: vas.Frame | vas.Unseen | None, none: str) -> str:
        if isinstance(found, vas.Unseen):
            return found.value
        if found is None:
            return none
        self._held = found
        return f"frame {found.number} {found.timestamp_ns} {found.flags}"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def main() -> int:
    """Answers until standard input ends."""
    if len(sys.argv) != 3:
        print("probe.py: give BASE CAMERA", file=sys.stderr)
        return 2
    try:
        vas.check_camera_id(sys.argv[2])
    except ValueError as error:
        print(f"probe.py: {error}", file=sys.stderr)
        return 2
    probe = Probe(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        print(probe.answer(line.rstrip("\n")), flush=True)
    probe.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
