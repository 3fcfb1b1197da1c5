/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The layout of frame.meta. Generated from vas-shm-proto/src/layout.rs by `cargo xtask generate`: do not edit.
 *
 * C11 and C++11. All numbers are unsigned and little-endian, all fields naturally aligned (PROTOCOL.md, section 3).
 * Kinds: C constant once the file is visible; A atomic, one aligned word that changes; - reserved, never looked at.
 *
 * The structs are for bytes that were copied out of the file once (HEAD-3). A fields of a live mapping are loaded one
 * by one, as atomics, at their offsets (HEAD-2): vas_shm.h does all of that.
 */
#ifndef VAS_SHM_LAYOUT_H
#define VAS_SHM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* SHA-256 of layout/v1.txt: the same digest stands in PROTOCOL.md. */
#define VAS_SHM_LAYOUT_SHA256 "b1871ec6157821d348c6c0ce7dfdaf8c7a4e7e41240f2d7366a05e4f99e6a8d1"

/* The version that this header knows; a reader accepts every version >= 1 (CHANGE-4). */
#define VAS_SHM_VERSION 1u

/* bytes of the header of version 1; later versions are never smaller */
#define VAS_SHM_HEADER_SIZE 768u
/* bytes from the start of frame.meta to the slot table, fixed for ever */
#define VAS_SHM_SLOT_TABLE_OFFSET 256u
/* bytes of one slot record, fixed for ever */
#define VAS_SHM_SLOT_RECORD_SIZE 64u
/* the fewest slots with which a reader can hold a frame while the next one is written */
#define VAS_SHM_MIN_SLOTS 2u
/* records that the slot table has room for; more slots need a new table in a new version */
#define VAS_SHM_MAX_SLOTS 8u
/* alignment of each slot in frame.data and, in version 1, size of frame.meta, in bytes */
#define VAS_SHM_PAGE_SIZE 4096u
/* largest width and height, in pixels */
#define VAS_SHM_MAX_DIMENSION 16384u
/* what stands at offset 120 */
#define VAS_SHM_MAGIC "VASFRAME" /* 8 bytes, no terminator */
/* pixel_format of NV12: the fourcc, first letter in the lowest byte */
#define VAS_SHM_PIXEL_FORMAT_NV12 842094158u
/* state: frames come, or would come if anybody were attached */
#define VAS_SHM_STATE_LIVE 1u
/* state: the source is lost, the server is reconnecting */
#define VAS_SHM_STATE_STALLED 2u
/* state: the camera was stopped, the files are gone */
#define VAS_SHM_STATE_STOPPED 3u
/* state: another pair took these names */
#define VAS_SHM_STATE_REPLACED 4u
/* mask of bit 0 in flags, idle: nobody attached, pixels are not being copied */
#define VAS_SHM_FLAG_IDLE 1u
/* mask of bit 0 in slot[i].flags, damaged: the decoder reported loss or concealment in this frame or in one that it refers to */
#define VAS_SHM_FRAME_FLAG_DAMAGED 1u
/* color_range: the source did not say */
#define VAS_SHM_COLOR_RANGE_UNKNOWN 0u
/* color_range: luma 16 to 235, chroma 16 to 240 */
#define VAS_SHM_COLOR_RANGE_LIMITED 1u
/* color_range: luma and chroma 0 to 255 */
#define VAS_SHM_COLOR_RANGE_FULL 2u
/* color_primaries, color_transfer, color_matrix: the source did not say (ITU-T H.273) */
#define VAS_SHM_COLOR_UNSPECIFIED 2u
/* name of the header file in a camera's directory */
#define VAS_SHM_META_NAME "frame.meta"
/* name of the pixel file in a camera's directory */
#define VAS_SHM_DATA_NAME "frame.data"
/* where the cameras' directories are unless an operator says otherwise */
#define VAS_SHM_DEFAULT_BASE "/dev/shm/vas"
/* bytes of the whole header of VAS_SHM_VERSION, and of one record of its slot table */
#define VAS_SHM_SIZEOF_HEADER 768u
#define VAS_SHM_SIZEOF_SLOT_RECORD 64u

/* Offsets in bytes from the start of frame.meta. */
#define VAS_SHM_OFFSET_VERSION 0u
#define VAS_SHM_OFFSET_HEADER_SIZE 4u
#define VAS_SHM_OFFSET_FRAME_ID 8u
#define VAS_SHM_OFFSET_TIMESTAMP_NS 16u
#define VAS_SHM_OFFSET_WIDTH 24u
#define VAS_SHM_OFFSET_HEIGHT 28u
#define VAS_SHM_OFFSET_PIXEL_FORMAT 32u
#define VAS_SHM_OFFSET_STRIDE 36u
#define VAS_SHM_OFFSET_DATA_SIZE 40u
#define VAS_SHM_OFFSET_UV_OFFSET 48u
#define VAS_SHM_OFFSET_STATE 56u
#define VAS_SHM_OFFSET_FLAGS 60u
#define VAS_SHM_OFFSET_SLOT_COUNT 64u
#define VAS_SHM_OFFSET_SLOT_RECORD_SIZE 68u
#define VAS_SHM_OFFSET_SLOT_TABLE_OFFSET 72u
#define VAS_SHM_OFFSET_COLOR_RANGE 76u
#define VAS_SHM_OFFSET_COLOR_PRIMARIES 77u
#define VAS_SHM_OFFSET_COLOR_TRANSFER 78u
#define VAS_SHM_OFFSET_COLOR_MATRIX 79u
#define VAS_SHM_OFFSET_DATA_FILE_SIZE 80u
#define VAS_SHM_OFFSET_DATA_INODE 88u
#define VAS_SHM_OFFSET_GENERATION 96u
#define VAS_SHM_OFFSET_HEARTBEAT_NS 104u
#define VAS_SHM_OFFSET_FRAME_PERIOD_NS 112u
#define VAS_SHM_OFFSET_MAGIC 120u
#define VAS_SHM_OFFSET_RESERVED 128u

/* Offsets in bytes from the start of a slot record. */
#define VAS_SHM_SLOT_OFFSET_FRAME_ID 0u
#define VAS_SHM_SLOT_OFFSET_TIMESTAMP_NS 8u
#define VAS_SHM_SLOT_OFFSET_DATA_OFFSET 16u
#define VAS_SHM_SLOT_OFFSET_FLAGS 24u
#define VAS_SHM_SLOT_OFFSET_RESERVED 32u

struct vas_shm_slot_record {
    uint64_t frame_id;           /* A, since 1: 0 = empty or being overwritten, else the frame that slot i holds */
    uint64_t timestamp_ns;       /* A, since 1: of that frame: CLOCK_MONOTONIC in nanoseconds when the server had it decoded */
    uint64_t data_offset;        /* C, since 1: bytes from the start of frame.data to the slot, a multiple of 4096 */
    uint64_t flags;              /* A, since 1: of that frame: bit 0 damaged (the decoder reported loss or concealment); unknown bits are ignored */
    uint8_t reserved[32];        /* -, since 1: written as zero, never inspected */
};

struct vas_shm_header {
    uint32_t version;            /* C, since 1: version of the layout that the writer wrote; a reader accepts every version >= 1 and uses the fields it knows */
    uint32_t header_size;        /* C, since 1: bytes of the header: 768 in version 1, never smaller later; readers test >= 768, never == */
    uint64_t frame_id;           /* A, since 1: the publish word: newest complete frame, 0 = none yet; +1 per exported frame; stored last */
    uint64_t timestamp_ns;       /* A, since 1: CLOCK_MONOTONIC of the newest frame, in nanoseconds (a mirror; the validated one is in the slot record) */
    uint32_t width;              /* C, since 1: luma pixels per row, 1 to 16384, any parity */
    uint32_t height;             /* C, since 1: luma rows, 1 to 16384, any parity */
    uint32_t pixel_format;       /* C, since 1: fourcc 'NV12' = 0x3231564E */
    uint32_t stride;             /* C, since 1: bytes from one row to the next, in both planes */
    uint64_t data_size;          /* C, since 1: bytes of one frame */
    uint64_t uv_offset;          /* C, since 1: bytes from a frame's first byte to its UV plane */
    uint32_t state;              /* A, since 1: 1 live, 2 stalled (source lost, the server is reconnecting), 3 stopped, 4 replaced; unknown values count as live */
    uint32_t flags;              /* A, since 1: bit 0 idle: nobody attached, pixels are not being copied; unknown bits are ignored */
    uint32_t slot_count;         /* C, since 1: number of slots S, 2 to 8 */
    uint32_t slot_record_size;   /* C, since 1: 64, fixed for ever */
    uint32_t slot_table_offset;  /* C, since 1: 256, fixed for ever */
    uint8_t color_range;         /* C, since 1: 0 unknown, 1 limited, 2 full */
    uint8_t color_primaries;     /* C, since 1: ITU-T H.273 code point, 2 = unspecified */
    uint8_t color_transfer;      /* C, since 1: ITU-T H.273 code point, 2 = unspecified */
    uint8_t color_matrix;        /* C, since 1: ITU-T H.273 code point, 2 = unspecified */
    uint64_t data_file_size;     /* C, since 1: bytes of frame.data */
    uint64_t data_inode;         /* C, since 1: st_ino of the frame.data this header belongs to */
    uint64_t generation;         /* C, since 1: CLOCK_MONOTONIC in nanoseconds when this pair was built, made to rise; differs for every pair of files */
    uint64_t heartbeat_ns;       /* A, since 1: CLOCK_MONOTONIC in nanoseconds, changed at least once a second while the server lives, idle or not; set before the files are visible */
    uint64_t frame_period_ns;    /* A, since 1: expected time between frames in nanoseconds, 0 = unknown; a hint for pollers */
    uint8_t magic[8];            /* C, since 1: VASFRAME in ASCII (the version has to come first, so the magic stands here) */
    uint8_t reserved[128];       /* -, since 1: written as zero, never inspected */
    struct vas_shm_slot_record slot[VAS_SHM_MAX_SLOTS];
};

#ifdef __cplusplus
#define VAS_SHM_STATIC_ASSERT(condition, sentence) static_assert(condition, sentence)
#else
#define VAS_SHM_STATIC_ASSERT(condition, sentence) _Static_assert(condition, sentence)
#endif

VAS_SHM_STATIC_ASSERT(sizeof(struct vas_shm_header) == 768u, "sizeof(struct vas_shm_header) == 768u");
VAS_SHM_STATIC_ASSERT(sizeof(struct vas_shm_slot_record) == 64u, "sizeof(struct vas_shm_slot_record) == 64u");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, slot) == 256u, "offsetof(struct vas_shm_header, slot) == 256u");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, version) == VAS_SHM_OFFSET_VERSION, "offsetof(struct vas_shm_header, version) == VAS_SHM_OFFSET_VERSION");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, header_size) == VAS_SHM_OFFSET_HEADER_SIZE, "offsetof(struct vas_shm_header, header_size) == VAS_SHM_OFFSET_HEADER_SIZE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, frame_id) == VAS_SHM_OFFSET_FRAME_ID, "offsetof(struct vas_shm_header, frame_id) == VAS_SHM_OFFSET_FRAME_ID");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, timestamp_ns) == VAS_SHM_OFFSET_TIMESTAMP_NS, "offsetof(struct vas_shm_header, timestamp_ns) == VAS_SHM_OFFSET_TIMESTAMP_NS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, width) == VAS_SHM_OFFSET_WIDTH, "offsetof(struct vas_shm_header, width) == VAS_SHM_OFFSET_WIDTH");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, height) == VAS_SHM_OFFSET_HEIGHT, "offsetof(struct vas_shm_header, height) == VAS_SHM_OFFSET_HEIGHT");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, pixel_format) == VAS_SHM_OFFSET_PIXEL_FORMAT, "offsetof(struct vas_shm_header, pixel_format) == VAS_SHM_OFFSET_PIXEL_FORMAT");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, stride) == VAS_SHM_OFFSET_STRIDE, "offsetof(struct vas_shm_header, stride) == VAS_SHM_OFFSET_STRIDE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, data_size) == VAS_SHM_OFFSET_DATA_SIZE, "offsetof(struct vas_shm_header, data_size) == VAS_SHM_OFFSET_DATA_SIZE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, uv_offset) == VAS_SHM_OFFSET_UV_OFFSET, "offsetof(struct vas_shm_header, uv_offset) == VAS_SHM_OFFSET_UV_OFFSET");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, state) == VAS_SHM_OFFSET_STATE, "offsetof(struct vas_shm_header, state) == VAS_SHM_OFFSET_STATE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, flags) == VAS_SHM_OFFSET_FLAGS, "offsetof(struct vas_shm_header, flags) == VAS_SHM_OFFSET_FLAGS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, slot_count) == VAS_SHM_OFFSET_SLOT_COUNT, "offsetof(struct vas_shm_header, slot_count) == VAS_SHM_OFFSET_SLOT_COUNT");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, slot_record_size) == VAS_SHM_OFFSET_SLOT_RECORD_SIZE, "offsetof(struct vas_shm_header, slot_record_size) == VAS_SHM_OFFSET_SLOT_RECORD_SIZE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, slot_table_offset) == VAS_SHM_OFFSET_SLOT_TABLE_OFFSET, "offsetof(struct vas_shm_header, slot_table_offset) == VAS_SHM_OFFSET_SLOT_TABLE_OFFSET");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, color_range) == VAS_SHM_OFFSET_COLOR_RANGE, "offsetof(struct vas_shm_header, color_range) == VAS_SHM_OFFSET_COLOR_RANGE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, color_primaries) == VAS_SHM_OFFSET_COLOR_PRIMARIES, "offsetof(struct vas_shm_header, color_primaries) == VAS_SHM_OFFSET_COLOR_PRIMARIES");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, color_transfer) == VAS_SHM_OFFSET_COLOR_TRANSFER, "offsetof(struct vas_shm_header, color_transfer) == VAS_SHM_OFFSET_COLOR_TRANSFER");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, color_matrix) == VAS_SHM_OFFSET_COLOR_MATRIX, "offsetof(struct vas_shm_header, color_matrix) == VAS_SHM_OFFSET_COLOR_MATRIX");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, data_file_size) == VAS_SHM_OFFSET_DATA_FILE_SIZE, "offsetof(struct vas_shm_header, data_file_size) == VAS_SHM_OFFSET_DATA_FILE_SIZE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, data_inode) == VAS_SHM_OFFSET_DATA_INODE, "offsetof(struct vas_shm_header, data_inode) == VAS_SHM_OFFSET_DATA_INODE");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, generation) == VAS_SHM_OFFSET_GENERATION, "offsetof(struct vas_shm_header, generation) == VAS_SHM_OFFSET_GENERATION");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, heartbeat_ns) == VAS_SHM_OFFSET_HEARTBEAT_NS, "offsetof(struct vas_shm_header, heartbeat_ns) == VAS_SHM_OFFSET_HEARTBEAT_NS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, frame_period_ns) == VAS_SHM_OFFSET_FRAME_PERIOD_NS, "offsetof(struct vas_shm_header, frame_period_ns) == VAS_SHM_OFFSET_FRAME_PERIOD_NS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, magic) == VAS_SHM_OFFSET_MAGIC, "offsetof(struct vas_shm_header, magic) == VAS_SHM_OFFSET_MAGIC");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_header, reserved) == VAS_SHM_OFFSET_RESERVED, "offsetof(struct vas_shm_header, reserved) == VAS_SHM_OFFSET_RESERVED");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_slot_record, frame_id) == VAS_SHM_SLOT_OFFSET_FRAME_ID, "offsetof(struct vas_shm_slot_record, frame_id) == VAS_SHM_SLOT_OFFSET_FRAME_ID");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_slot_record, timestamp_ns) == VAS_SHM_SLOT_OFFSET_TIMESTAMP_NS, "offsetof(struct vas_shm_slot_record, timestamp_ns) == VAS_SHM_SLOT_OFFSET_TIMESTAMP_NS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_slot_record, data_offset) == VAS_SHM_SLOT_OFFSET_DATA_OFFSET, "offsetof(struct vas_shm_slot_record, data_offset) == VAS_SHM_SLOT_OFFSET_DATA_OFFSET");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_slot_record, flags) == VAS_SHM_SLOT_OFFSET_FLAGS, "offsetof(struct vas_shm_slot_record, flags) == VAS_SHM_SLOT_OFFSET_FLAGS");
VAS_SHM_STATIC_ASSERT(offsetof(struct vas_shm_slot_record, reserved) == VAS_SHM_SLOT_OFFSET_RESERVED, "offsetof(struct vas_shm_slot_record, reserved) == VAS_SHM_SLOT_OFFSET_RESERVED");

#endif
