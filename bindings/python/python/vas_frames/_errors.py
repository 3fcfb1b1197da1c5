"""What goes wrong while reading, as exceptions."""


class Error(Exception):
    """What this package raises; wrong arguments are a ValueError or a TypeError."""


class Timeout(Error, TimeoutError):
    """No frame came in the time given. The stream goes on: ask again."""


class Refused(Error, OSError):
    """The camera is there and cannot be read, and somebody has to act: the sentence says what was found on which file.

    The stream goes on: it tries again once a second while it is asked.
    """


class Overwritten(Error):
    """The frame was overwritten while it was being read: whatever was read of it means nothing. Take a newer one."""


class Cancelled(Error):
    """The stream was cancelled or closed, by another thread if this call was waiting."""


for _class in (Error, Timeout, Refused, Overwritten, Cancelled):
    _class.__module__ = "vas_frames"
del _class
