# SPDX-License-Identifier: MIT OR Apache-2.0
"""The layout of frame.meta. Generated from vas-shm-proto/src/layout.rs by `cargo xtask generate`: do not edit.

All numbers are unsigned and little-endian, all fields naturally aligned (PROTOCOL.md, section 3).
"""

from typing import Final

# SHA-256 of layout/v1.txt: the same digest stands in PROTOCOL.md.
LAYOUT_SHA256: Final = "b1871ec6157821d348c6c0ce7dfdaf8c7a4e7e41240f2d7366a05e4f99e6a8d1"

# The version that this module knows; a reader accepts every version >= 1 (CHANGE-4).
VERSION: Final = 1

# bytes of the header of version 1; later versions are never smaller
HEADER_SIZE: Final = 768
# bytes from the start of frame.meta to the slot table, fixed for ever
SLOT_TABLE_OFFSET: Final = 256
# bytes of one slot record, fixed for ever
SLOT_RECORD_SIZE: Final = 64
# the fewest slots with which a reader can hold a frame while the next one is written
MIN_SLOTS: Final = 2
# records that the slot table has room for; more slots need a new table in a new version
MAX_SLOTS: Final = 8
# alignment of each slot in frame.data and, in version 1, size of frame.meta, in bytes
PAGE_SIZE: Final = 4096
# largest width and height, in pixels
MAX_DIMENSION: Final = 16384
# what stands at offset 120
MAGIC: Final = b"VASFRAME"
# pixel_format of NV12: the fourcc, first letter in the lowest byte
PIXEL_FORMAT_NV12: Final = 842094158
# state: frames come, or would come if anybody were attached
STATE_LIVE: Final = 1
# state: the source is lost, the server is reconnecting
STATE_STALLED: Final = 2
# state: the camera was stopped, the files are gone
STATE_STOPPED: Final = 3
# state: another pair took these names
STATE_REPLACED: Final = 4
# mask of bit 0 in flags, idle: nobody attached, pixels are not being copied
FLAG_IDLE: Final = 1
# mask of bit 0 in slot[i].flags, damaged: the decoder reported loss or concealment in this frame or in one that it refers to
FRAME_FLAG_DAMAGED: Final = 1
# color_range: the source did not say
COLOR_RANGE_UNKNOWN: Final = 0
# color_range: luma 16 to 235, chroma 16 to 240
COLOR_RANGE_LIMITED: Final = 1
# color_range: luma and chroma 0 to 255
COLOR_RANGE_FULL: Final = 2
# color_primaries, color_transfer, color_matrix: the source did not say (ITU-T H.273)
COLOR_UNSPECIFIED: Final = 2
# name of the header file in a camera's directory
META_NAME: Final = "frame.meta"
# name of the pixel file in a camera's directory
DATA_NAME: Final = "frame.data"
# where the cameras' directories are unless an operator says otherwise
DEFAULT_BASE: Final = "/dev/shm/vas"
# bytes of a whole header of VERSION
SIZEOF_HEADER: Final = 768
# bytes of a whole slot_record of VERSION
SIZEOF_SLOT_RECORD: Final = 64

# name: (bytes from the start of frame.meta, size in bytes, format of struct)
FIELDS: Final = {
    "version": (0, 4, "<I"),
    "header_size": (4, 4, "<I"),
    "frame_id": (8, 8, "<Q"),
    "timestamp_ns": (16, 8, "<Q"),
    "width": (24, 4, "<I"),
    "height": (28, 4, "<I"),
    "pixel_format": (32, 4, "<I"),
    "stride": (36, 4, "<I"),
    "data_size": (40, 8, "<Q"),
    "uv_offset": (48, 8, "<Q"),
    "state": (56, 4, "<I"),
    "flags": (60, 4, "<I"),
    "slot_count": (64, 4, "<I"),
    "slot_record_size": (68, 4, "<I"),
    "slot_table_offset": (72, 4, "<I"),
    "color_range": (76, 1, "<B"),
    "color_primaries": (77, 1, "<B"),
    "color_transfer": (78, 1, "<B"),
    "color_matrix": (79, 1, "<B"),
    "data_file_size": (80, 8, "<Q"),
    "data_inode": (88, 8, "<Q"),
    "generation": (96, 8, "<Q"),
    "heartbeat_ns": (104, 8, "<Q"),
    "frame_period_ns": (112, 8, "<Q"),
    "magic": (120, 8, "8s"),
    "reserved": (128, 128, "128s"),
}

# name: (bytes from the start of a slot record, size in bytes, format of struct)
SLOT_FIELDS: Final = {
    "frame_id": (0, 8, "<Q"),
    "timestamp_ns": (8, 8, "<Q"),
    "data_offset": (16, 8, "<Q"),
    "flags": (24, 8, "<Q"),
    "reserved": (32, 32, "32s"),
}
