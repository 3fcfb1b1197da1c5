"""A reader of VAS frame export, version 1, in pure Python, made from vas-shm-proto/PROTOCOL.md and nothing else.

It shows that the document is enough, and it is the second opinion of the tests. Clause numbers such as READ-6 are that
document's. It needs Python 3.9 or newer and only its standard library.

    answer = open_pair("/dev/shm/vas", "front")
    if isinstance(answer, Pair):
        with answer as pair:
            frame = pair.latest()
            if isinstance(frame, Frame):
                picture = frame.copy()  # None: overwritten meanwhile, nothing of it may be used
"""

from __future__ import annotations

import enum
import errno
import math
import mmap
import os
import platform
import re
import stat
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Union

try:
    import vas_shm_layout as layout
except ModuleNotFoundError:
    # From a checkout, where the constants that are made from the layout stand apart from this reader.
    sys.path.append(str(Path(__file__).resolve().parents[3] / "bindings" / "python"))
    import vas_shm_layout as layout

PathLike = Union[str, "os.PathLike[str]"]

U64_MAX = 2**64 - 1
"""OPEN-12 bounds a sum by it; Python's own numbers have no bound."""

MIXED_PAIR_TRIES = 8
"""OPEN-10: 8 are plenty."""

SERVER_GONE_S = 3.0
"""LIVE-3: a heartbeat that is unchanged for so long, by this reader's own clock."""

TRY_AGAIN_S = 0.1
"""OPEN-19: least time between two tries after "not there yet" or after leaving a pair."""

TRY_AGAIN_AFTER_REFUSAL_S = 1.0
"""OPEN-19: least time between two tries after a refusal."""

BUSY_PAUSE_S = 0.001
"""OPEN-2, IDLE-4: the writer's look takes microseconds; a second open right behind the first could meet the same look."""

_CAMERA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


class UnsupportedMachine(RuntimeError):
    """This machine gives a Python program less order than the steps of section 7 need."""


def why_not_here(machine: str, byte_order: str, is_64_bit: bool) -> str | None:
    """The sentence that says why a reader without fences is wrong on such a machine, None where it is right (READ-13)."""
    if machine in ("x86_64", "AMD64") and byte_order == "little" and is_64_bit:
        return None
    width = "64-bit" if is_64_bit else "32-bit"
    return (
        f"read frames on {machine} ({width}, {byte_order}-endian): pure Python has no memory fences, and only on 64-bit "
        "x86-64 are loads kept in order and aligned 8-byte loads whole without them (READ-13); elsewhere torn frames would "
        "be taken for whole ones: use the C or the Rust reader"
    )


def check_machine() -> None:
    """READ-13: raises where this reader would be wrong."""
    why = why_not_here(platform.machine(), sys.byteorder, sys.maxsize > 2**32)
    if why is not None:
        raise UnsupportedMachine(why)


class Reason(enum.Enum):
    """Why a pair is not there yet (OPEN-2)."""

    MISSING = "missing"
    BUSY = "busy"
    MIXED_PAIR = "mixed_pair"
    STOPPED = "stopped"
    REPLACED = "replaced"


@dataclass(frozen=True)
class NotYet:
    """A state that passes (OPEN-2). Let 100 ms pass before the next try (OPEN-19)."""

    reason: Reason


@dataclass(frozen=True)
class Refused:
    """What was checked, the value found, and the bound (OPEN-3). Let a second pass before the next try (OPEN-19)."""

    field: str
    """A row of the table in section 3, or `frame.meta` or `frame.data` for the file itself."""
    value: str
    bound: str
    path: str
    slot: int | None = None
    """Which slot, for a field of a slot record."""

    def __str__(self) -> str:
        name = self.field if self.slot is None else self.field.replace("[i]", f"[{self.slot}]")
        return f"open {self.path}: {name} is {self.value}, must be {self.bound}"


class Unseen(enum.Enum):
    """Answers in place of a frame."""

    NOTHING = "nothing"
    """Nothing new (READ-1, READ-2)."""
    OVERRUN = "overrun"
    """Lapped S times in a row (READ-7): try again when it suits."""


@dataclass(frozen=True)
class Header:
    """The C fields (HEAD-3): read once, checked, and the only ones that are used from then on."""

    version: int
    header_size: int
    width: int
    height: int
    pixel_format: int
    stride: int
    data_size: int
    uv_offset: int
    slot_count: int
    color_range: int
    color_primaries: int
    color_transfer: int
    color_matrix: int
    data_file_size: int
    data_inode: int
    generation: int
    data_offsets: tuple[int, ...]

    @property
    def chroma_width(self) -> int:
        """Pairs of chroma bytes in a row: odd widths round up (PIC-1)."""
        return (self.width + 1) // 2

    @property
    def chroma_height(self) -> int:
        """Rows of the chroma plane: odd heights round up (PIC-1)."""
        return (self.height + 1) // 2


class Planes(NamedTuple):
    """A copied picture without padding: `height` rows of `width` bytes, ceil(h/2) rows of 2 ceil(w/2) bytes."""

    luma: bytes
    chroma: bytes


class Words(NamedTuple):
    """The A fields a reader looks at when nothing new comes (LIVE-2)."""

    state: str
    """`live`, `stalled`, `stopped` or `replaced`; an unknown state is live (HEAD-7)."""
    idle: bool
    frame_id: int
    heartbeat_ns: int
    frame_period_ns: int


_STATES = {layout.STATE_STALLED: "stalled", layout.STATE_STOPPED: "stopped", layout.STATE_REPLACED: "replaced"}


def _field(header: bytes, name: str) -> int:
    offset, _, form = layout.FIELDS[name]
    value: int = struct.unpack_from(form, header, offset)[0]
    return value


def _open_regular(path: str, name: str, owner_uid: int | None) -> int | NotYet | Refused:
    """OPEN-1, OPEN-2, OPEN-4 for one of the two names: a descriptor, or why there is none."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    tries = 0
    while True:
        try:
            descriptor = os.open(path, flags)
            break
        except OSError as error:
            if error.errno == errno.ENOENT:
                return NotYet(Reason.MISSING)
            if error.errno == errno.EAGAIN:
                tries += 1
                if tries == 2:
                    return NotYet(Reason.BUSY)
                time.sleep(BUSY_PAUSE_S)
                continue
            if error.errno == errno.ELOOP:
                return Refused(name, _kind_at(path) or "behind a loop of symbolic links", "a regular file", path)
            if error.errno == errno.EACCES:
                return Refused(name, _shown_permissions(path), "readable for this process", path)
            # A socket cannot be opened at all (ENXIO), a device perhaps neither.
            kind = _kind_at(path)
            if kind not in (None, "a regular file"):
                return Refused(name, str(kind), "a regular file", path)
            raise  # OPEN-4: the reader's own, and says nothing of the pair.
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return Refused(name, _kind(found.st_mode), "a regular file", path)
    if owner_uid is not None and found.st_uid != owner_uid:
        os.close(descriptor)
        return Refused(name, f"owned by uid {found.st_uid}", f"owned by uid {owner_uid}", path)  # TRUST-3
    return descriptor


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _kind_at(path: str) -> str | None:
    try:
        return _kind(os.lstat(path).st_mode)
    except OSError:
        return None


def _shown_permissions(path: str) -> str:
    """Owner, group and mode of what was found (OPEN-4): of the file, or of the folder in the way to it."""
    at = path
    while True:
        try:
            found = os.lstat(at)
        except OSError:
            above = os.path.dirname(at)
            if above in (at, ""):
                return "unreadable"
            at = above
            continue
        who = f"uid {found.st_uid}, gid {found.st_gid}, mode {stat.S_IMODE(found.st_mode):04o}"
        return who if at == path else f"behind {at} ({who})"


def _checked(
    header: bytes, state: int, meta: os.stat_result, data: os.stat_result, path: str
) -> Header | NotYet | Refused:
    """OPEN-7 to OPEN-17 over a copy of the header, in their order. The first that fails is the answer."""

    def refused(field: str, bound: str, value: str | None = None) -> Refused:
        return Refused(field, str(_field(header, field)) if value is None else value, bound, path)

    # OPEN-7
    version = _field(header, "version")
    if version == 0:
        return refused("version", "at least 1")
    # OPEN-8
    offset, size, _ = layout.FIELDS["magic"]
    magic = header[offset : offset + size]
    if magic != layout.MAGIC:
        return refused("magic", repr(layout.MAGIC), repr(magic))
    # OPEN-9
    header_size = _field(header, "header_size")
    if header_size < layout.HEADER_SIZE:
        return refused("header_size", f"at least {layout.HEADER_SIZE}")
    if header_size > meta.st_size:
        return refused("header_size", f"at most the size of frame.meta, {meta.st_size}")
    # OPEN-10
    data_inode = _field(header, "data_inode")
    if data_inode != data.st_ino:
        return NotYet(Reason.MIXED_PAIR)
    # OPEN-11
    pixel_format = _field(header, "pixel_format")
    if pixel_format != layout.PIXEL_FORMAT_NV12:
        return refused("pixel_format", f"{layout.PIXEL_FORMAT_NV12} (NV12)")
    # OPEN-12
    width, height, stride = (_field(header, name) for name in ("width", "height", "stride"))
    uv_offset, data_size = _field(header, "uv_offset"), _field(header, "data_size")
    if not 1 <= width <= layout.MAX_DIMENSION:
        return refused("width", f"1 to {layout.MAX_DIMENSION}")
    if not 1 <= height <= layout.MAX_DIMENSION:
        return refused("height", f"1 to {layout.MAX_DIMENSION}")
    row = 2 * ((width + 1) // 2)
    if stride < row:
        return refused("stride", f"at least {row}")
    if uv_offset < stride * height:
        return refused("uv_offset", f"at least {stride * height}")
    end = uv_offset + stride * ((height + 1) // 2)
    if end > U64_MAX:
        return refused("uv_offset", f"at most {U64_MAX - stride * ((height + 1) // 2)}")
    if data_size < end:
        return refused("data_size", f"at least {end}")
    # OPEN-13
    slot_count = _field(header, "slot_count")
    if not layout.MIN_SLOTS <= slot_count <= layout.MAX_SLOTS:
        return refused("slot_count", f"{layout.MIN_SLOTS} to {layout.MAX_SLOTS}")
    # OPEN-14
    for name, fixed in (("slot_record_size", layout.SLOT_RECORD_SIZE), ("slot_table_offset", layout.SLOT_TABLE_OFFSET)):
        if _field(header, name) != fixed:
            return refused(name, str(fixed))
    # OPEN-15
    data_file_size = _field(header, "data_file_size")
    offsets: list[int] = []
    for i in range(slot_count):
        at = layout.SLOT_TABLE_OFFSET + layout.SLOT_RECORD_SIZE * i + layout.SLOT_FIELDS["data_offset"][0]
        (data_offset,) = struct.unpack_from("<Q", header, at)
        slot = "slot[i].data_offset"
        if data_offset % layout.PAGE_SIZE != 0:
            return Refused(slot, str(data_offset), f"a multiple of {layout.PAGE_SIZE}", path, i)
        if data_offset + data_size > data_file_size:
            bound = f"at most data_file_size - data_size, {data_file_size} - {data_size}"
            return Refused(slot, str(data_offset), bound, path, i)
        offsets.append(data_offset)
    for i in range(slot_count):
        for j in range(i):
            if abs(offsets[i] - offsets[j]) < data_size:
                bound = f"at least data_size, {data_size}, away from slot[{j}].data_offset, {offsets[j]}"
                return Refused("slot[i].data_offset", str(offsets[i]), bound, path, i)
    # OPEN-16
    if data_file_size > data.st_size:
        return refused("data_file_size", f"at most the size of frame.data, {data.st_size}")
    # OPEN-17
    if state in (layout.STATE_STOPPED, layout.STATE_REPLACED):
        return NotYet(Reason.STOPPED if state == layout.STATE_STOPPED else Reason.REPLACED)
    color_range = _field(header, "color_range")
    return Header(
        version=version,
        header_size=header_size,
        width=width,
        height=height,
        pixel_format=pixel_format,
        stride=stride,
        data_size=data_size,
        uv_offset=uv_offset,
        slot_count=slot_count,
        # HEAD-7
        color_range=color_range if color_range in (layout.COLOR_RANGE_LIMITED, layout.COLOR_RANGE_FULL) else 0,
        color_primaries=_field(header, "color_primaries"),
        color_transfer=_field(header, "color_transfer"),
        color_matrix=_field(header, "color_matrix"),
        data_file_size=data_file_size,
        data_inode=data_inode,
        generation=_field(header, "generation"),
        data_offsets=tuple(offsets),
    )


def _open_once(meta_path: str, data_path: str, owner_uid: int | None) -> Pair | NotYet | Refused:
    """OPEN-1 to OPEN-18, without the repetition of OPEN-10."""
    meta = _open_regular(meta_path, layout.META_NAME, owner_uid)
    if not isinstance(meta, int):
        return meta
    try:
        data = _open_regular(data_path, layout.DATA_NAME, owner_uid)
        if not isinstance(data, int):
            return data
        try:
            meta_stat, data_stat = os.fstat(meta), os.fstat(data)
            # OPEN-6
            if meta_stat.st_size < layout.HEADER_SIZE:
                bound = f"at least {layout.HEADER_SIZE} bytes"
                return Refused(layout.META_NAME, f"{meta_stat.st_size} bytes", bound, meta_path)
            # OPEN-5
            meta_map = mmap.mmap(meta, layout.HEADER_SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
            words = _MetaWords(meta_map)
            kept = False
            try:
                # The state is an A field, so it is loaded as a word and not taken from the copy (HEAD-2).
                header = _checked(meta_map[:], words.state(), meta_stat, data_stat, meta_path)
                if not isinstance(header, Header):
                    return header
                # OPEN-18
                data_map = mmap.mmap(data, header.data_file_size, mmap.MAP_SHARED, mmap.PROT_READ)
                kept = True
            finally:
                if not kept:
                    words.release()
                    meta_map.close()
            return Pair(meta_path, header, meta_map, words, data_map, (meta_stat.st_dev, meta_stat.st_ino))
        finally:
            os.close(data)
    finally:
        os.close(meta)


def check_camera_id(camera: str) -> None:
    """Raises ValueError for what is no camera id, before a path is made of it (FILE-2)."""
    if _CAMERA_ID.fullmatch(camera) is None:
        raise ValueError(
            f"{camera!r} is no camera id: give 1 to 64 ASCII letters, digits, _ and -, the first a letter or digit"
        )


def open_pair(base: PathLike, camera: str, owner_uid: int | None = None) -> Pair | NotYet | Refused:
    """Opens a camera's two files (section 9): ready, not there yet, or refused.

    One try; how long to wait before the next one is the caller's part (OPEN-19). Insists on the files' owner when
    `owner_uid` is given (TRUST-3). Raises UnsupportedMachine (READ-13), ValueError for what is no camera id (FILE-2), and
    OSError for what says nothing of the pair (OPEN-4).
    """
    check_machine()
    check_camera_id(camera)
    folder = os.path.join(os.fspath(base), camera)
    answer: Pair | NotYet | Refused = NotYet(Reason.MIXED_PAIR)
    for _ in range(MIXED_PAIR_TRIES):
        answer = _open_once(os.path.join(folder, layout.META_NAME), os.path.join(folder, layout.DATA_NAME), owner_uid)
        if answer != NotYet(Reason.MIXED_PAIR):
            break
    return answer


class _MetaWords:
    """Loads of the A fields, each by one aligned access of its own size (HEAD-2).

    A memoryview that is cast to "Q" or "I" copies an item by a memcpy of constant size, which is a single load on x86-64
    (READ-13). A slice, or struct with ">" or at an unaligned offset, is none.
    """

    def __init__(self, meta: mmap.mmap) -> None:
        self._bytes = memoryview(meta)
        self._u64 = self._bytes.cast("Q")
        self._u32 = self._bytes.cast("I")

    def u64(self, offset: int) -> int:
        return self._u64[offset // 8]

    def u32(self, offset: int) -> int:
        return self._u32[offset // 4]

    def state(self) -> int:
        return self.u32(layout.FIELDS["state"][0])

    def release(self) -> None:
        for view in (self._u32, self._u64, self._bytes):
            view.release()


_FRAME_ID = layout.FIELDS["frame_id"][0]
_SLOT_FRAME_ID = layout.SLOT_FIELDS["frame_id"][0]
_SLOT_TIMESTAMP_NS = layout.SLOT_FIELDS["timestamp_ns"][0]
_SLOT_FLAGS = layout.SLOT_FIELDS["flags"][0]


class Pair:
    """An open pair of files. Made by `open_pair`; closing it gives both mappings back (LIFE-6)."""

    def __init__(
        self, path: str, header: Header, meta: mmap.mmap, words: _MetaWords, data: mmap.mmap, inode: tuple[int, int]
    ) -> None:
        self.header = header
        """The checked C fields."""
        self.seen = 0
        """The number of the frame that was handed out last, 0 before the first."""
        self._path = path
        self._meta = meta
        self._words = words
        self._data = data
        self._pixels = memoryview(data)
        self._inode = inode

    def __enter__(self) -> Pair:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmaps both files. Frames of this pair cannot be used any more; views of them must have been released."""
        self._words.release()
        self._pixels.release()
        self._meta.close()
        self._data.close()

    def _record(self, number: int) -> int:
        """HEAD-5."""
        return layout.SLOT_TABLE_OFFSET + layout.SLOT_RECORD_SIZE * (number % self.header.slot_count)

    def _take(self, number: int) -> Frame | None:
        """READ-2 without its repetition, READ-3, and the numbers of READ-4."""
        record = self._record(number)
        if self._words.u64(record + _SLOT_FRAME_ID) != number:
            return None
        # READ-3: no instruction on x86-64, and the interpreter does not reorder (READ-13).
        timestamp_ns = self._words.u64(record + _SLOT_TIMESTAMP_NS)
        flags = self._words.u64(record + _SLOT_FLAGS)
        self.seen = number
        return Frame(self, number, timestamp_ns, flags, self.header.data_offsets[number % self.header.slot_count])

    def latest(self) -> Frame | Unseen:
        """The newest frame unless it was handed out last (READ-1, READ-2, READ-7)."""
        number = self._words.u64(_FRAME_ID)
        for _ in range(self.header.slot_count):
            if number in (0, self.seen):
                return Unseen.NOTHING
            frame = self._take(number)
            if frame is not None:
                return frame
            again = self._words.u64(_FRAME_ID)
            if again == number:
                return Unseen.NOTHING
            number = again
        return Unseen.OVERRUN

    def next(self) -> Frame | Unseen:
        """The oldest frame after the one handed out last that still stands (READ-9)."""
        number = self._words.u64(_FRAME_ID)
        for _ in range(self.header.slot_count):
            if number <= self.seen:
                return Unseen.NOTHING
            # From 1: a slot that is empty holds 0, which is no frame.
            for older in range(max(self.seen + 1, number - self.header.slot_count + 1), number + 1):
                frame = self._take(older)
                if frame is not None:
                    return frame
            again = self._words.u64(_FRAME_ID)
            if again == number:
                return Unseen.NOTHING
            number = again
        return Unseen.OVERRUN

    def at(self, number: int) -> Frame | None:
        """Frame `number` if it is one of the newest S and still stands (READ-9)."""
        newest = self._words.u64(_FRAME_ID)
        if number < 1 or not newest - self.header.slot_count < number <= newest:
            return None
        return self._take(number)

    def observe(self) -> Words:
        """The words a reader looks at when nothing new comes (LIVE-2)."""
        words = self._words
        return Words(
            state=_STATES.get(words.state(), "live"),
            idle=words.u32(layout.FIELDS["flags"][0]) & layout.FLAG_IDLE != 0,
            frame_id=words.u64(_FRAME_ID),
            heartbeat_ns=words.u64(layout.FIELDS["heartbeat_ns"][0]),
            frame_period_ns=words.u64(layout.FIELDS["frame_period_ns"][0]),
        )

    def still_named(self) -> bool:
        """Whether the name `frame.meta` still leads to the file that is mapped (LIVE-5); if not, leave the pair."""
        try:
            found = os.lstat(self._path)
        except OSError:
            # Opening again tells what the matter is.
            return False
        return (found.st_dev, found.st_ino) == self._inode


@dataclass(frozen=True)
class Frame:
    """A frame where it lies. Whatever was read of it counts only if `is_intact` says so afterwards (READ-6)."""

    pair: Pair
    number: int
    timestamp_ns: int
    flags: int
    data_offset: int

    @property
    def is_damaged(self) -> bool:
        """HEAD-12: the decoder reported loss or concealment."""
        return self.flags & layout.FRAME_FLAG_DAMAGED != 0

    def view(self) -> memoryview:
        """The `data_size` bytes of the frame by reference, read-only; to be released before the pair is closed."""
        return self.pair._pixels[self.data_offset : self.data_offset + self.pair.header.data_size]

    def is_intact(self) -> bool:
        """READ-5, READ-6: whether all that was read of this frame until now is that frame and nothing else."""
        # READ-5: no instruction on x86-64, and the interpreter does not reorder (READ-13).
        return self.pair._words.u64(self.pair._record(self.number) + _SLOT_FRAME_ID) == self.number

    def unchecked_planes(self) -> Planes:
        """Both planes without padding (section 4), whatever `is_intact` would say."""
        header = self.pair.header
        with self.view() as view:
            luma = _packed(view, 0, header.height, header.width, header.stride)
            chroma = _packed(view, header.uv_offset, header.chroma_height, 2 * header.chroma_width, header.stride)
        return Planes(luma, chroma)

    def copy(self) -> Planes | None:
        """Both planes without padding, None if the frame was overwritten meanwhile."""
        planes = self.unchecked_planes()
        return planes if self.is_intact() else None


def _packed(view: memoryview, begin: int, rows: int, row_size: int, stride: int) -> bytes:
    return b"".join(view[at : at + row_size] for at in range(begin, begin + rows * stride, stride))


class Liveness:
    """Section 11 as a state machine: takes what was observed and this reader's own clock, says what to tell the user."""

    def __init__(self, now_s: float, words: Words) -> None:
        self._frame_id = words.frame_id
        self._heartbeat_ns = words.heartbeat_ns
        self._moved_s = now_s
        self.is_current = False
        """LIVE-1: nothing is current before `frame_id` or `heartbeat_ns` has changed once."""

    def silence_s(self, now_s: float) -> float:
        """For how long the heartbeat has not changed."""
        return now_s - self._moved_s

    def look(self, now_s: float, words: Words) -> str:
        """A row of LIVE-6: `live`, `idle`, `stalled`, `stopped`, `replaced` or `server gone`."""
        has_beaten = words.heartbeat_ns != self._heartbeat_ns
        if has_beaten or words.frame_id != self._frame_id:
            self.is_current = True
        self._frame_id = words.frame_id
        if has_beaten:
            self._heartbeat_ns = words.heartbeat_ns
            self._moved_s = now_s
        if words.state in ("stopped", "replaced"):
            return words.state
        if self.silence_s(now_s) >= SERVER_GONE_S:
            return "server gone"
        if words.state == "stalled":
            return words.state
        return "idle" if words.idle else "live"


_KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def to_rgb(y: int, cb: int, cr: int, color_range: int, color_matrix: int, height: int) -> tuple[int, int, int]:
    """One pixel in red, green and blue, 0 to 255 each (section 5)."""
    # COLOR-3
    kr, kb = _KR_KB.get(color_matrix, _KR_KB[1] if height > 576 else _KR_KB[6])
    kg = 1 - kr - kb
    # COLOR-1
    if color_range == layout.COLOR_RANGE_FULL:
        luma, blue_difference, red_difference = y / 255, (cb - 128) / 255, (cr - 128) / 255
    else:
        luma, blue_difference, red_difference = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red = luma + 2 * (1 - kr) * red_difference
    blue = luma + 2 * (1 - kb) * blue_difference
    green = (luma - kr * red - kb * blue) / kg

    def whole(value: float) -> int:
        return math.floor(min(max(value, 0.0), 1.0) * 255 + 0.5)

    return whole(red), whole(green), whole(blue)
