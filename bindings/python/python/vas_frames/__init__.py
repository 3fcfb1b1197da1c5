"""Live camera frames of a VAS video server on this host, as numpy arrays without a copy.

    import vas_frames

    for frame in vas_frames.open("front"):
        rgb = frame.to_rgb()  # (height, width, 3), uint8, your own
        print(frame.id, frame.captured_at, rgb.mean())

Reading never waits for the server and never delays it: the frames lie in shared memory, which this package maps read-only. The
server goes on writing, so what lies in ``frame.luma`` and ``frame.chroma`` counts only if ``frame.intact`` is true *after* it
was read. ``frame.to_rgb()`` and its like look for themselves, and raise ``Overwritten``.

A stream recovers by itself when the server restarts or the picture changes its size.
"""

from ._errors import Cancelled, Error, Overwritten, Refused, Timeout
from ._native import Color, Events, Frame, Placement, Status, Stream, __version__, cameras, open

__all__ = [
    "Cancelled",
    "Color",
    "Error",
    "Events",
    "Frame",
    "Overwritten",
    "Placement",
    "Refused",
    "Status",
    "Stream",
    "Timeout",
    "__version__",
    "cameras",
    "open",
]
