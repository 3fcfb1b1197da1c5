import datetime
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NoReturn, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

_Bytes = npt.NDArray[np.uint8]
_Layout = Literal["rgb", "bgr", "rgba", "gray"]
_Filter = Literal["nearest", "linear", "triangle", "box", "catmull_rom", "lanczos3"]
_Time = float | datetime.timedelta

__all__ = ["Placement", "Color", "Frame", "Events", "Status", "Stream", "cameras", "open", "__version__"]

__version__: str

def open(
    camera: str,
    *,
    base: str | os.PathLike[str] | None = None,
    mode: Literal["latest", "next"] = "latest",
    timeout: _Time | None = None,
    policy: Literal["low_latency", "balanced", "economy"] = "balanced",
    owner_uid: int | None = None,
    on_status: Callable[[Status], object] | None = None,
    raise_on_refused: bool = True,
) -> Stream:
    """Opens a camera, which need not be there yet: the stream waits for it, and comes back after every restart of the server.

    base: the base directory; default: the variable VAS_SHM_BASE, else /dev/shm/vas.
    mode: "latest" for the newest frame (displays, detectors), "next" for the oldest that was not seen yet (recorders).
    timeout: seconds or a timedelta; a wait for a frame that takes longer raises Timeout. Default: wait for as long as it takes.
    policy: how a frame is waited for: "low_latency", "balanced" or "economy" of processor time.
    owner_uid: insist that the files belong to this user.
    on_status: called with each Status while a frame is waited for, in the thread that waits. The same is logged by the logger
    "vas_frames".
    raise_on_refused: a camera that is there and cannot be read (permissions, a header that makes no sense) raises Refused when it
    stays so for a second and a half. False: it is waited for as one that is not there.

    Raises ValueError for arguments that mean nothing.
    """
def cameras(base: str | os.PathLike[str] | None = None) -> list[str]:
    """The ids of the cameras that have a directory under the base directory, sorted; open says whether one can be read.

    base: as that of open. Raises an OSError when it cannot be read, FileNotFoundError when no server ever made it.
    """
@final
class Stream:
    """The frames of one camera, through restarts of the server and changes of the picture: what vas_frames.open gives.

    An iterator of frames and a context manager. It may be used by several threads; each frame goes to one of them. Waiting leaves
    the interpreter to other threads, and Ctrl-C ends it.
    """

    @property
    def camera(self) -> str:
        """The camera's id."""
    @property
    def base(self) -> pathlib.Path:
        """The base directory."""
    @property
    def status(self) -> str:
        """The state that was told last: "opening" before anything is known, "waiting" (not there yet, or any more), "refused", "live",
        "idle", "stalled" (the server has lost its source and is reconnecting), "stopped", "replaced" or "server_gone".
        """
    @property
    def skipped_total(self) -> int:
        """Frames that were overwritten unseen."""
    @property
    def closed(self) -> bool:
        """Whether it was closed."""
    def next(self, timeout: _Time | None = None) -> Frame:
        """The next frame, waited for.

        timeout: seconds or a timedelta, math.inf for as long as it takes; without one, that of vas_frames.open.

        Raises Timeout when none came in that time, Refused as vas_frames.open says, Cancelled once it was cancelled or closed.
        """
    def read(self, timeout: _Time | None = 0.0) -> Frame | None:
        """The next frame, or None when none came within the timeout: by default a look that does not wait (and finds nothing while another
        thread has its turn).

        Raises Refused as vas_frames.open says, Cancelled once it was cancelled or closed.
        """
    def events(self) -> Events:
        """An iterator of frames and changes of state (Status), as they come. The timeout is that of vas_frames.open, for either."""
    def cancel(self) -> None:
        """Ends the stream for whoever waits for it: iterators end, next() and read() raise Cancelled. Never waits itself; from any thread."""
    def close(self) -> None:
        """As cancel(), and lets go of the camera. Frames that are held stay readable. From any thread, any number of times."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Frame: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_args: object) -> None: ...
    def __reduce_ex__(self, _protocol: int, /) -> NoReturn: ...  # type: ignore[override]

@final
class Events(Iterator[Frame | Status]):
    """Frames and changes of state, as they come: what Stream.events gives."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Frame | Status: ...

@final
class Status:
    """A change of a camera's state, told once. str() of it is a sentence."""

    @property
    def camera(self) -> str:
        """The camera's id."""
    @property
    def state(self) -> str:
        """Its state, as Stream.status names them."""
    @property
    def why(self) -> str | None:
        """What is missing or was refused, as a sentence; None in other states."""

@final
class Frame:
    """A frame in shared memory, as it stood complete when it was found. Nothing was copied.

    The server goes on writing: at a steady rate a frame stays for two frame periods (with three slots, the default). A frame and its
    planes may be held longer: the memory stays mapped, intact says that it was overwritten. Holding is free, except that the memory
    of a camera that was stopped or changed its size goes only when the stream is asked again, or closed.
    """

    @property
    def camera(self) -> str:
        """The camera's id."""
    @property
    def id(self) -> int:
        """The frame's number: rises by one per exported frame, comparable inside one generation only."""
    @property
    def timestamp_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds when the server had the frame decoded: the clock of time.monotonic_ns()."""
    @property
    def captured_at(self) -> datetime.datetime:
        """The same moment by the wall clock, as a datetime with its zone (UTC). The two clocks were compared when the frame was found."""
    @property
    def age(self) -> datetime.timedelta:
        """How long ago that was, as a timedelta; it grows."""
    @property
    def skipped(self) -> int:
        """Frames between the one handed out before and this one. The first frame of a generation skips none."""
    @property
    def damaged(self) -> bool:
        """Whether the decoder reported loss: good to look at, not to measure by."""
    @property
    def generation(self) -> int:
        """Which pair of files the frame is from: another one after each restart of the server and each change of the picture."""
    @property
    def width(self) -> int:
        """Luma pixels per row."""
    @property
    def height(self) -> int:
        """Luma rows."""
    @property
    def stride_bytes(self) -> int:
        """Bytes from one row to the next in shared memory, in both planes."""
    @property
    def color(self) -> Color:
        """How the numbers become colours."""
    @property
    def intact(self) -> bool:
        """Whether everything that was read of this frame so far, through luma and chroma, is this frame and nothing else.

        Ask after reading: once it is false it stays false, and what was read means nothing. Costs next to nothing.
        """
    @property
    def luma(self) -> _Bytes:
        """The luma plane where it lies: a read-only array (height, width) of uint8, not copied.

        The server goes on writing. What was read of it counts if intact is true afterwards. The array may be kept: its memory stays mapped.
        """
    @property
    def chroma(self) -> _Bytes:
        """The chroma plane where it lies: a read-only array (ceil(height / 2), ceil(width / 2), 2) of uint8, Cb and Cr. As luma."""
    def copy(self) -> _Bytes:
        """A copy of the picture as NV12 without padding: a writable array of your own.

        Its shape is (height * 3 / 2, width), as cv2.cvtColor(..., cv2.COLOR_YUV2BGR_NV12) wants it. With an odd width or height there is no
        such rectangle: then it is flat, luma rows before chroma rows of 2 * ceil(width / 2) bytes.

        Raises Overwritten.
        """
    def to_rgb(self) -> _Bytes:
        """The picture as red, green, blue: as Pillow, torch and most models take it: a writable array (height, width, 3) of uint8, your own.

        By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
        """
    def to_bgr(self) -> _Bytes:
        """The picture as blue, green, red: as OpenCV takes it: a writable array (height, width, 3) of uint8, your own.

        By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
        """
    def to_rgba(self) -> _Bytes:
        """The picture as red, green, blue, alpha, which is 255: a writable array (height, width, 4) of uint8, your own.

        By the matrix and the range that the camera names. Raises Overwritten, and ValueError for a matrix that is not converted here.
        """
    def to_gray(self) -> _Bytes:
        """The picture as grey, from 0 for black to 255 for white whatever the camera's range: a writable array (height, width) of uint8, your own.

        Raises Overwritten.
        """
    def resize(self, width: int, height: int, *, layout: _Layout = "rgb", filter: _Filter = "triangle") -> _Bytes:
        """The picture at this size in pixels, stretched: a writable array (height, width, channels) of uint8, your own.

        layout: "rgb", "bgr", "rgba" or "gray", which is (height, width).
        filter: "nearest", "linear" (as OpenCV's INTER_LINEAR), "triangle" (as Pillow's BILINEAR, the default), "box" (as INTER_AREA),
        "catmull_rom" or "lanczos3".

        Raises as to_rgb, and ValueError for arguments that mean nothing.
        """
    def letterbox(
        self,
        width: int,
        height: int,
        *,
        layout: _Layout = "rgb",
        filter: _Filter = "triangle",
        pad: Sequence[int] = (114, 114, 114),
    ) -> tuple[_Bytes, Placement]:
        """The picture in its own proportion in the middle of an array of this size, as detectors want it, and its Placement there: the
        way back for what a detector finds.

        pad: red, green and blue of the bars; in grey their mean. layout and filter: as those of resize. Raises as resize.
        """
    def __reduce_ex__(self, _protocol: int, /) -> NoReturn: ...  # type: ignore[override]

@final
class Color:
    """How the numbers of a picture become colours. Conversions here go by it."""

    @property
    def range(self) -> Literal["limited", "full", "unknown"]:
        """"limited" (luma 16 to 235), "full" (0 to 255), or "unknown": taken for limited."""
    @property
    def primaries(self) -> int:
        """ColourPrimaries of ITU-T H.273; 2 is unspecified."""
    @property
    def transfer(self) -> int:
        """TransferCharacteristics of ITU-T H.273; 2 is unspecified."""
    @property
    def matrix(self) -> int:
        """MatrixCoefficients of ITU-T H.273; 2 is unspecified."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Placement:
    """Where a frame lies in a model's input, and the way back for what the model found: what Frame.letterbox gives."""

    @property
    def x(self) -> int:
        """Column of the input that the frame's first column begins at."""
    @property
    def y(self) -> int:
        """Row of the input that the frame's first row begins at."""
    @property
    def width(self) -> int:
        """Columns of the input that the frame fills."""
    @property
    def height(self) -> int:
        """Rows of the input that the frame fills."""
    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """From a place in the input to that in the frame, in pixels from the top left corner; it may lie outside the frame."""
    def box_to_frame(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """From a box in the input (left, top, right, bottom, in pixels) to that in the frame, cut to the frame."""
