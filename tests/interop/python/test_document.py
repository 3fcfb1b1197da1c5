"""What PROTOCOL.md prints, against the reader and the generated constants: tables, formulas and worked bytes.

`python3 test_document.py`; PROTOCOL.md is found beside it in the checkout.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # The source tree stays as it is.

import os
import re
import struct
import tempfile
import unittest
from pathlib import Path

import vas_shm_reader as vas
import vas_shm_layout as layout  # found by the reader's import, hence below it

PROTOCOL = Path(__file__).resolve().parents[3] / "vas-shm-proto" / "PROTOCOL.md"

Row = tuple[int, int, str, str]


def _text_between(begin: str, end: str) -> str:
    text = PROTOCOL.read_text(encoding="utf-8")
    found = re.search(f"{begin}[^\n]*\n(.*?)\n[^\n]*{end}", text, re.DOTALL)
    if found is None:
        raise AssertionError(f"{PROTOCOL} has no text between {begin!r} and {end!r}")
    return found.group(1)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _header_table() -> dict[str, Row]:
    """Name to offset (in record 0 for fields of a slot), size, type and meaning."""
    rows = {}
    for line in _text_between("<!-- begin table", "<!-- end table").splitlines():
        if not re.match(r"\| *\d", line):
            continue
        place, size, kind, name, _, _, meaning = _cells(line)
        offset, _, step = place.partition(" + ")
        if bool(step) != name.startswith("slot[i].") or step not in ("", "64 i"):
            raise AssertionError(f"the table's row of {name} lies at {place}")
        rows[name] = (int(offset), int(size), kind, meaning)
    return rows


def _hex_dump(name: str) -> dict[int, bytes]:
    """The lines of a dump of section 17 by offset, those behind `*` included."""
    lines: dict[int, bytes] = {}
    is_repeated, last = False, b""
    for line in _text_between(f"<!-- begin {name} -->", f"<!-- end {name} -->").splitlines():
        words = line.split("|")[0].split()
        if words == ["*"]:
            is_repeated = True
        elif words:
            at = int(words[0], 16)
            if is_repeated:
                lines.update(dict.fromkeys(range(max(lines) + 16, at, 16), last))
                is_repeated = False
            if len(words) > 1:
                last = bytes.fromhex("".join(words[1:]))
                lines[at] = last
    return lines


class TheTable(unittest.TestCase):
    """Section 3 and bindings/python/vas_shm_layout.py."""

    def test_every_row_has_its_place_in_the_generated_constants_and_the_other_way_round(self) -> None:
        formats = {"u8": "<B", "u32": "<I", "u64": "<Q"}
        fields, slot_fields = {}, {}
        for name, (offset, size, kind, _) in _header_table().items():
            form = formats.get(kind, f"{size}s")
            self.assertEqual(struct.calcsize(form), size, name)
            if name.startswith("slot[i]."):
                slot_fields[name[len("slot[i].") :]] = (offset - 256, size, form)
            else:
                fields[name] = (offset, size, form)
        self.assertEqual(dict(layout.FIELDS), fields)
        self.assertEqual(dict(layout.SLOT_FIELDS), slot_fields)

    def test_the_constants_were_made_from_the_layout_that_the_document_describes(self) -> None:
        digest = re.search(r"SHA-256 `([0-9a-f]{64})`", PROTOCOL.read_text(encoding="utf-8"))
        assert digest is not None, f"{PROTOCOL} has no digest of its layout"
        self.assertEqual(layout.LAYOUT_SHA256, digest.group(1))

    def test_constants_are_those_that_the_rows_speak_of(self) -> None:
        rows = _header_table()
        self.assertTrue(rows["header_size"][3].startswith(f"bytes of the header: {layout.HEADER_SIZE} in version 1"))
        self.assertEqual(rows["slot_record_size"][3], f"{layout.SLOT_RECORD_SIZE}, fixed for ever")
        self.assertEqual(rows["slot_table_offset"][3], f"{layout.SLOT_TABLE_OFFSET}, fixed for ever")
        self.assertEqual(rows["slot_count"][3], f"number of slots S, {layout.MIN_SLOTS} to {layout.MAX_SLOTS}")
        self.assertEqual(rows["pixel_format"][3], f"fourcc 'NV12' = 0x{layout.PIXEL_FORMAT_NV12:08X}")
        self.assertEqual(struct.pack("<I", layout.PIXEL_FORMAT_NV12), b"NV12")
        self.assertTrue(rows["width"][3].endswith(f"1 to {layout.MAX_DIMENSION}, any parity"))
        self.assertTrue(rows["height"][3].endswith(f"1 to {layout.MAX_DIMENSION}, any parity"))
        self.assertTrue(rows["slot[i].data_offset"][3].endswith(f"a multiple of {layout.PAGE_SIZE}"))
        self.assertTrue(rows["magic"][3].startswith(f"{layout.MAGIC.decode()} in ASCII"))
        state = rows["state"][3]
        for number, word in (
            (layout.STATE_LIVE, "live"),
            (layout.STATE_STALLED, "stalled"),
            (layout.STATE_STOPPED, "stopped"),
            (layout.STATE_REPLACED, "replaced"),
        ):
            self.assertIn(f"{number} {word}", state)
        # Bit 0 in both cases.
        self.assertTrue(rows["flags"][3].startswith("bit 0 idle"))
        self.assertEqual(layout.FLAG_IDLE, 1 << 0)
        self.assertIn("bit 0 damaged", rows["slot[i].flags"][3])
        self.assertEqual(layout.FRAME_FLAG_DAMAGED, 1 << 0)
        ranges = (layout.COLOR_RANGE_UNKNOWN, layout.COLOR_RANGE_LIMITED, layout.COLOR_RANGE_FULL)
        self.assertEqual("{} unknown, {} limited, {} full".format(*ranges), rows["color_range"][3])


class TheColours(unittest.TestCase):
    """Section 5."""

    # Proves COLOR-1 and COLOR-2.
    def test_the_example_pixel_has_the_colours_of_its_table(self) -> None:
        text = _text_between("and limit each of R, G and B", "Version 1 does not say where")
        found = {}
        for line in text.splitlines():
            if line.startswith("| BT."):
                name, *columns = _cells(line)
                found[name] = [tuple(int(part) for part in column.split(",")) for column in columns]
        self.assertEqual(sorted(found), ["BT.601", "BT.709"])
        for name, matrices in (("BT.601", (5, 6)), ("BT.709", (1,))):
            for matrix in matrices:
                converted = [vas.to_rgb(100, 90, 180, color_range, matrix, height=1080) for color_range in (1, 2)]
                self.assertEqual(converted, found[name])

    # Proves COLOR-1.
    def test_color_1_an_unknown_range_is_taken_for_limited(self) -> None:
        self.assertEqual(vas.to_rgb(100, 90, 180, 0, 1, 1080), (191, 78, 18))

    # Proves COLOR-3.
    def test_color_3_an_unspecified_or_unknown_matrix_goes_by_the_height(self) -> None:
        for matrix in (2, 3, 255):
            self.assertEqual(vas.to_rgb(100, 90, 180, 1, matrix, height=577), (191, 78, 18))
            self.assertEqual(vas.to_rgb(100, 90, 180, 1, matrix, height=576), (181, 70, 21))

    def test_black_white_and_what_lies_outside_are_limited_to_what_there_is(self) -> None:
        for matrix in (1, 4, 5, 7, 9):
            self.assertEqual(vas.to_rgb(16, 128, 128, 1, matrix, 480), (0, 0, 0))
            self.assertEqual(vas.to_rgb(235, 128, 128, 1, matrix, 480), (255, 255, 255))
            self.assertEqual(vas.to_rgb(0, 128, 128, 1, matrix, 480), (0, 0, 0))
            self.assertEqual(vas.to_rgb(255, 128, 128, 2, matrix, 480), (255, 255, 255))


class TheWorkedHeader(unittest.TestCase):
    """Section 17: the bytes, given to the reader as files."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="vas-interop-python-")
        self.addCleanup(folder.cleanup)
        self.base = Path(folder.name)
        (self.base / "front").mkdir()

    def _write(self, lines: dict[int, bytes]) -> None:
        with open(self.base / "front" / "frame.data", "wb") as data:
            data.truncate(9338880)
            inode = os.fstat(data.fileno()).st_ino
        header = bytearray(4096)
        for at, line in lines.items():
            header[at : at + 16] = line
        self.assertEqual(header[88:96], struct.pack("<Q", 0x2A))
        # The one thing that a copy cannot have: the number of the data file beside it (OPEN-10).
        header[88:96] = struct.pack("<Q", inode)
        (self.base / "front" / "frame.meta").write_bytes(header)

    def _opened(self) -> vas.Pair:
        answer = vas.open_pair(self.base, "front")
        assert isinstance(answer, vas.Pair), str(answer)
        self.addCleanup(answer.close)
        return answer

    # Proves HEAD-1, OPEN-5, OPEN-18 and READ-1.
    def test_before_the_first_frame(self) -> None:
        self._write(_hex_dump("new header"))
        pair = self._opened()
        header = pair.header
        self.assertEqual((header.version, header.header_size), (1, 768))
        self.assertEqual((header.width, header.height, header.stride), (1920, 1080, 1920))
        self.assertEqual((header.data_size, header.uv_offset), (3110400, 2073600))
        self.assertEqual(header.data_offsets, (0, 3112960, 6225920))
        self.assertEqual(header.generation, 5000000000000)
        colors = (header.color_range, header.color_primaries, header.color_transfer, header.color_matrix)
        self.assertEqual(colors, (1, 1, 1, 1))
        words = vas.Words("live", idle=False, frame_id=0, heartbeat_ns=5000000000000, frame_period_ns=40000000)
        self.assertEqual(pair.observe(), words)
        self.assertIs(pair.latest(), vas.Unseen.NOTHING)
        self.assertIs(pair.next(), vas.Unseen.NOTHING)
        # An empty slot's 0 is no frame number.
        self.assertIsNone(pair.at(0))

    # Proves HEAD-5, HEAD-9, HEAD-12 and READ-4.
    def test_after_one_frame(self) -> None:
        self._write({**_hex_dump("new header"), **_hex_dump("after one frame")})
        pair = self._opened()
        frame = pair.latest()
        assert isinstance(frame, vas.Frame)
        self.assertEqual((frame.number, frame.timestamp_ns, frame.flags), (5000000000, 5000020000000, 1))
        self.assertTrue(frame.is_damaged and frame.is_intact())
        planes = frame.copy()
        assert planes is not None
        self.assertEqual((len(planes.luma), len(planes.chroma)), (1920 * 1080, 1920 * 540))
        self.assertIs(pair.latest(), vas.Unseen.NOTHING)

    # Proves READ-6.
    def test_read_6_a_slot_taken_back_takes_its_frame_along(self) -> None:
        self._write({**_hex_dump("new header"), **_hex_dump("after one frame")})
        pair = self._opened()
        frame = pair.latest()
        assert isinstance(frame, vas.Frame)
        with open(self.base / "front" / "frame.meta", "r+b") as meta:
            meta.seek(256 + 64 * 2)
            meta.write(bytes(8))
        self.assertFalse(frame.is_intact())
        self.assertIsNone(frame.copy())

    # Proves CHANGE-4, HEAD-4 and HEAD-7.
    def test_change_4_the_imagined_version_2_of_section_13_is_read_as_before(self) -> None:
        lines = {**_hex_dump("new header"), **_hex_dump("after one frame")}
        header = bytearray(4096)
        for at, line in lines.items():
            header[at : at + 16] = line
        for header_size in (768, 832, 4096):
            struct.pack_into("<II", header, 0, 2, header_size)
            struct.pack_into("<I", header, 128, 4000)  # bitrate_kbps
            struct.pack_into("<Q", header, 288 + 64 * 2, 1234567890)  # slot[2].camera_time_ns
            struct.pack_into("<Q", header, 280 + 64 * 2, 0b11)  # damaged, and with a camera time
            header[768:4096] = bytes([0xA5]) * (4096 - 768)
            self._write({at: bytes(header[at : at + 16]) for at in range(0, 4096, 16)})
            pair = self._opened()
            self.assertEqual((pair.header.version, pair.header.header_size), (2, header_size))
            frame = pair.latest()
            assert isinstance(frame, vas.Frame)
            self.assertEqual((frame.number, frame.timestamp_ns, frame.flags), (5000000000, 5000020000000, 3))
            self.assertTrue(frame.is_damaged and frame.copy() is not None)


class TheMachine(unittest.TestCase):
    """READ-13."""

    # Proves READ-13.
    def test_read_13_other_machines_are_refused_with_the_reason(self) -> None:
        self.assertIsNone(vas.why_not_here("x86_64", "little", True))
        for machine, byte_order, is_64_bit in (
            ("aarch64", "little", True),
            ("i686", "little", False),
            ("x86_64", "little", False),
            ("s390x", "big", True),
        ):
            why = vas.why_not_here(machine, byte_order, is_64_bit)
            assert why is not None
            self.assertIn(machine, why)
            self.assertIn("no memory fences", why)


class Liveness(unittest.TestCase):
    """Section 11, with a clock of the test's own."""

    @staticmethod
    def _words(state: str = "live", idle: bool = False, frame_id: int = 7, heartbeat_ns: int = 100) -> vas.Words:
        return vas.Words(state, idle, frame_id, heartbeat_ns, 0)

    # Proves LIVE-1.
    def test_live_1_nothing_is_current_before_one_of_the_two_has_changed(self) -> None:
        for changed in (self._words(frame_id=8), self._words(heartbeat_ns=101)):
            liveness = vas.Liveness(0.0, self._words())
            liveness.look(0.5, self._words())
            self.assertFalse(liveness.is_current)
            liveness.look(1.0, changed)
            self.assertTrue(liveness.is_current)

    # Proves LIVE-3 and LIVE-4.
    def test_live_3_a_silent_server_is_gone_after_three_seconds_and_may_come_back(self) -> None:
        liveness = vas.Liveness(10.0, self._words())
        self.assertEqual(liveness.look(12.999, self._words()), "live")
        self.assertEqual(liveness.look(13.0, self._words()), "server gone")
        self.assertEqual(liveness.look(14.0, self._words(state="stalled")), "server gone")
        # LIVE-4: only that it changed counts, not which way.
        self.assertEqual(liveness.look(15.0, self._words(heartbeat_ns=99)), "live")

    # Proves LIVE-6.
    def test_live_6_every_row(self) -> None:
        liveness = vas.Liveness(0.0, self._words())
        self.assertEqual(liveness.look(1.0, self._words()), "live")
        self.assertEqual(liveness.look(1.0, self._words(idle=True)), "idle")
        for idle in (False, True):
            self.assertEqual(liveness.look(1.0, self._words("stalled", idle)), "stalled")
            for state in ("stopped", "replaced"):
                self.assertEqual(liveness.look(1.0, self._words(state, idle)), state)
                self.assertEqual(liveness.look(9.0, self._words(state, idle)), state)


if __name__ == "__main__":
    unittest.main()
