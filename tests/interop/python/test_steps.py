"""The reader's steps of section 7 one by one, with a script in place of the words of `frame.meta`.

`python3 test_steps.py`. The script says what each load is answered and which one has to come next. Fences cannot be seen here:
a Python program has none, and needs none where it is right (READ-13).
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import mmap
import os
import tempfile
import unittest
from typing import Callable, List, Optional, Tuple, cast

import vas_shm_reader as vas

Step = Tuple[int, int]

_SLOTS = 3
_SLOT_SIZE = 8192
_PUBLISH_WORD = 8


def _slot(number: int, answer: int) -> Step:
    """READ-2 or READ-6."""
    return 256 + 64 * (number % _SLOTS), answer


def _stands(number: int) -> List[Step]:
    """READ-2 to READ-4 for a frame that stands: its id, time and flags."""
    record = 256 + 64 * (number % _SLOTS)
    return [(record, number), (record + 8, number * 1000), (record + 24, number % 2)]


class _Script:
    """Stands in for the words of `frame.meta`."""

    def __init__(self) -> None:
        self.steps: List[Step] = []
        self.before_load: Callable[[], None] = lambda: None

    def u64(self, offset: int) -> int:
        self.before_load()
        if not self.steps:
            raise AssertionError(f"a load at {offset}, and no step is left")
        expected, answer = self.steps.pop(0)
        if offset != expected:
            raise AssertionError(f"a load at {offset}, and the next step is one at {expected}")
        return answer

    def u32(self, offset: int) -> int:
        return self.u64(offset)

    def state(self) -> int:
        return self.u32(56)

    def release(self) -> None:
        pass


class _Scripted(unittest.TestCase):
    def setUp(self) -> None:
        self.script = _Script()
        self.data = mmap.mmap(-1, _SLOTS * _SLOT_SIZE)
        header = vas.Header(
            version=1, header_size=768, width=5, height=3, pixel_format=0, stride=64, data_size=_SLOT_SIZE,
            uv_offset=4096, slot_count=_SLOTS, color_range=0, color_primaries=2, color_transfer=2, color_matrix=2,
            data_file_size=_SLOTS * _SLOT_SIZE, data_inode=1, generation=1,
            # In another order than their numbers.
            data_offsets=(2 * _SLOT_SIZE, 0, _SLOT_SIZE),
        )  # fmt: skip
        words = cast(vas._MetaWords, self.script)
        self.pair = vas.Pair("frame.meta", header, mmap.mmap(-1, 768), words, self.data, (0, 0))
        self.addCleanup(self.pair.close)

    def during(self, *steps: Step) -> None:
        """What the next call has to load, and is answered."""
        self.script.steps = list(steps)

    def gives(self, found: object, expected: object) -> None:
        """All that was scripted has happened, and gave this."""
        self.assertEqual(self.script.steps, [], "it ends before all steps were done")
        if isinstance(expected, int):
            assert isinstance(found, vas.Frame), found
            numbers = (found.number, found.timestamp_ns, found.flags)
            self.assertEqual(numbers, (expected, expected * 1000, expected % 2))
            self.assertEqual(self.pair.seen, expected)
        else:
            self.assertIs(found, expected)


class TheNewest(_Scripted):
    # Proves READ-1, READ-2, READ-4 and READ-12.
    def test_read_1_and_2_the_publish_word_then_the_slot_then_the_numbers(self) -> None:
        self.during((_PUBLISH_WORD, 0))
        self.gives(self.pair.latest(), vas.Unseen.NOTHING)
        self.during((_PUBLISH_WORD, 7), *_stands(7))
        self.gives(self.pair.latest(), 7)
        self.during((_PUBLISH_WORD, 7))
        self.gives(self.pair.latest(), vas.Unseen.NOTHING)
        # Taken back.
        self.during((_PUBLISH_WORD, 8), _slot(8, 0), (_PUBLISH_WORD, 8))
        self.gives(self.pair.latest(), vas.Unseen.NOTHING)
        # Lapped, and then not.
        again = [(_PUBLISH_WORD, 8), _slot(8, 0), (_PUBLISH_WORD, 9), _slot(9, 12), (_PUBLISH_WORD, 12)]
        self.during(*again, *_stands(12))
        self.gives(self.pair.latest(), 12)

    # Proves READ-7.
    def test_read_7_as_many_attempts_as_slots(self) -> None:
        steps = [(_PUBLISH_WORD, 7)]
        for number in (7, 10, 13):
            steps += [_slot(number, number + 3), (_PUBLISH_WORD, number + 3)]
        self.during(*steps)
        self.gives(self.pair.latest(), vas.Unseen.OVERRUN)
        self.assertEqual(self.pair.seen, 0)


class EveryFrame(_Scripted):
    # Proves READ-9, every frame in order.
    def test_read_9_from_the_oldest_that_can_stand(self) -> None:
        self.during((_PUBLISH_WORD, 0))
        self.gives(self.pair.next(), vas.Unseen.NOTHING)
        # 0 is no frame.
        self.during((_PUBLISH_WORD, 2), *_stands(1))
        self.gives(self.pair.next(), 1)
        self.during((_PUBLISH_WORD, 9), *_stands(7))
        self.gives(self.pair.next(), 7)
        self.during((_PUBLISH_WORD, 9), *_stands(8))
        self.gives(self.pair.next(), 8)
        self.during((_PUBLISH_WORD, 10), _slot(9, 12), *_stands(10))
        self.gives(self.pair.next(), 10)
        self.during((_PUBLISH_WORD, 12), _slot(11, 0), _slot(12, 0), (_PUBLISH_WORD, 12))
        self.gives(self.pair.next(), vas.Unseen.NOTHING)

    # Proves READ-7 and READ-9.
    def test_read_7_as_many_rounds_as_slots(self) -> None:
        steps = [(_PUBLISH_WORD, 9)]
        for newest in (9, 12, 15):
            steps += [_slot(number, number + 3) for number in range(newest - 2, newest + 1)]
            steps.append((_PUBLISH_WORD, newest + 3))
        self.during(*steps)
        self.gives(self.pair.next(), vas.Unseen.OVERRUN)


class OneParticularFrame(_Scripted):
    # Proves READ-9, one particular frame.
    def test_read_9_one_of_the_newest_as_many_as_there_are_slots(self) -> None:
        for number in (7, 8, 9):
            self.during((_PUBLISH_WORD, 9), *_stands(number))
            self.gives(self.pair.at(number), number)
        for number in (0, 6, 10):
            self.during((_PUBLISH_WORD, 9))
            self.gives(self.pair.at(number), None)
        self.during((_PUBLISH_WORD, 2))
        self.gives(self.pair.at(0), None)
        self.during((_PUBLISH_WORD, 9), _slot(7, 10))
        self.gives(self.pair.at(7), None)


class TheCheckAtTheEnd(_Scripted):
    def _seven(self) -> vas.Frame:
        self.during((_PUBLISH_WORD, 7), *_stands(7))
        frame = self.pair.latest()
        assert isinstance(frame, vas.Frame)
        return frame

    # Proves READ-6 and READ-8.
    def test_read_6_is_one_load_of_the_slots_id_each_time(self) -> None:
        frame = self._seven()
        for found, is_intact in ((7, True), (7, True), (0, False), (4, False), (8, False), (10, False)):
            self.during(_slot(7, found))
            self.assertIs(frame.is_intact(), is_intact)
            self.assertEqual(self.script.steps, [])

    # Proves PIC-4, HEAD-3, HEAD-5, and that the copy is made before READ-6: at that load the pixels change.
    def test_a_copy_is_the_slots_pixels_as_they_were_before_the_check(self) -> None:
        frame = self._seven()
        pixels = bytes((at * 7 + at // 256 + at // _SLOT_SIZE * 100) % 256 for at in range(_SLOTS * _SLOT_SIZE))
        slot = pixels[self.pair.header.data_offsets[7 % _SLOTS] :]
        luma = b"".join(slot[row * 64 : row * 64 + 5] for row in range(3))
        chroma = b"".join(slot[4096 + row * 64 : 4096 + row * 64 + 6] for row in range(2))
        for found, expected in ((7, vas.Planes(luma, chroma)), (10, None)):
            self.data[:] = pixels

            def overwrite() -> None:
                self.data[:] = bytes([0xEE]) * len(pixels)

            self.script.before_load = overwrite
            self.during(_slot(7, found))
            copied: Optional[vas.Planes] = frame.copy()
            self.assertEqual(copied, expected)
            self.assertEqual(self.script.steps, [])


class WhatTheServerSays(_Scripted):
    # Proves HEAD-7.
    def test_head_7_unknown_states_and_flags(self) -> None:
        states = {0: "live", 1: "live", 2: "stalled", 3: "stopped", 4: "replaced", 5: "live", 2**32 - 1: "live"}
        for word, name in states.items():
            for flags, idle in ((0, False), (1, True), (2**32 - 1, True), (2**32 - 2, False)):
                self.during((56, word), (60, flags), (8, 1), (104, 3), (112, 4))
                self.assertEqual(self.pair.observe(), vas.Words(name, idle, 1, 3, 4))


class TheName(unittest.TestCase):
    # Proves LIVE-5.
    def test_live_5_a_name_that_cannot_be_looked_at_is_lost(self) -> None:
        with tempfile.TemporaryDirectory(prefix="vas-interop-python-") as folder:
            meta = os.path.join(folder, "front", "frame.meta")
            os.mkdir(os.path.dirname(meta))
            with open(meta, "xb") as file:
                found = os.fstat(file.fileno())
            pair = vas.Pair.__new__(vas.Pair)
            pair._path, pair._inode = meta, (found.st_dev, found.st_ino)
            self.assertTrue(pair.still_named())
            os.rename(meta, os.path.join(folder, "other"))
            self.assertFalse(pair.still_named(), "gone")
            os.rmdir(os.path.dirname(meta))
            with open(os.path.dirname(meta), "xb"):
                pass
            self.assertFalse(pair.still_named(), "behind a file")
            os.remove(os.path.dirname(meta))
            os.symlink("front", os.path.dirname(meta))
            self.assertFalse(pair.still_named(), "behind a loop")


if __name__ == "__main__":
    unittest.main()
