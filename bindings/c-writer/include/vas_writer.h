/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * vas_writer.h: a video server shows its decoded frames to other processes on its host. C11, C++17, and whatever calls C.
 *
 * Generated from bindings/c-writer/src by `cargo xtask generate`: do not edit.
 *
 *     struct vas_exporter_config config = {.size = sizeof config, .base = "/dev/shm/vas"};
 *     struct vas_picture_format format = {.width = 640, .height = 480};
 *     struct vas_exporter *exporter;
 *     struct vas_camera *camera;
 *     struct vas_planes to;
 *     char message[VAS_MESSAGE_SIZE];
 *     if (vas_exporter_start(&config, &exporter, message, sizeof message) != VAS_OK)
 *         ...                                              // message says why, in a sentence
 *     if (vas_camera_add(exporter, "front", &camera, message, sizeof message) != VAS_OK)
 *         ...
 *     for (;;) {
 *         ...                                              // decode a frame, then:
 *         if (vas_camera_begin(camera, &format, &to) == VAS_OK) {
 *             ...                                          // somebody wants it: write its pixels to to.luma and to.chroma
 *             vas_camera_publish(camera, vas_writer_monotonic_ns(), 0, NULL);
 *         }
 *     }
 *     vas_camera_stop(&camera);
 *     vas_exporter_shutdown(&exporter);
 *
 * What is promised of the files, and to readers: vas-shm-proto/PROTOCOL.md. No call of the frame path waits: neither for a
 * reader nor for files, which the library's own thread makes, watches and removes.
 *
 * Pointers. Each has to be NULL or lead to what its type says, for as long as the call takes, and longer only where that is
 * said. NULL is answered by VAS_ERROR_NULL where it is not allowed. What cannot be known is not answered: a pointer to what was
 * freed, a plane shorter than its `size`, a write to planes whose slot was published, or source planes that are those of the
 * slot.
 *
 * Threads. vas_exporter_start, vas_exporter_beat, vas_camera_add, and what takes neither exporter nor camera may be called from
 * any thread at any time. A camera may be used by any thread, by one at a time: a second one gets VAS_ERROR_BUSY, or whatever
 * the order of the two makes of it. Different cameras do not know of each other. Worker threads may fill a slot together; those
 * that use non-temporal stores fence them (sfence) before they say that they are done.
 *
 * fork. A child must not touch the exporter and the cameras of its parent: their memory is not inherited. To stop or shut them
 * down there does nothing. A child that wants to export starts an exporter of its own. One that goes on without exec has its
 * parent's sole-writer locks open: if the parent is killed, no other server gets its cameras before the child ends too.
 *
 * Privileges. A server that gives them up does so before vas_exporter_start: files belong to the user who makes them, and the
 * kernel tells only their owner whether somebody has them open.
 *
 * Process-wide state. None: no signal handler, no signal mask but that of the library's own thread, no environment, no locale,
 * and no log but the function in the config. Two exporters with different base directories do not know of each other. After a
 * panic of the library, which is a defect, a call answers VAS_ERROR_PANIC, and the details are on standard error.
 *
 * Growth. Structs with a member `size` grow at their end; all others are as they are for ever. Results and constants are added,
 * never changed.
 */


#ifndef VAS_WRITER_H
#define VAS_WRITER_H

#include <stddef.h>
#include <stdint.h>

/** Room for every message that a call may give, its final zero included; longer paths are cut off. */
#define VAS_MESSAGE_SIZE 1024

/**
 * Pixels are copied while somebody has the camera's files open, and a few seconds longer: `when` of struct
 * vas_exporter_config.
 */
#define VAS_WHEN_ATTACHED 0

/** Pixels are copied always. */
#define VAS_WHEN_ALWAYS 1

/** The library's thread says twice a second that the server is alive: `heartbeat` of struct vas_exporter_config. */
#define VAS_HEARTBEAT_THREAD 0

/** The server says so itself, by vas_exporter_beat. */
#define VAS_HEARTBEAT_CALLER 1

/** Something is not exported, or was refused: the level of a message of vas_log. */
#define VAS_LOG_ERROR 1

/** Something is not as it should be, and the export goes on. */
#define VAS_LOG_WARN 2

/** Files were made or removed. */
#define VAS_LOG_INFO 3

/** Frames come: the state of a camera's source. */
#define VAS_SOURCE_LIVE 0

/** The source is lost; the server is trying to get it back. */
#define VAS_SOURCE_STALLED 1

/** Nothing is known of the range; readers take it for limited. */
#define VAS_COLOR_RANGE_UNKNOWN 0

/** 16 to 235 for luma, 16 to 240 for chroma. */
#define VAS_COLOR_RANGE_LIMITED 1

/** 0 to 255, as in JPEG. Say it rather than convert it. */
#define VAS_COLOR_RANGE_FULL 2

/** The decoder reported loss or concealment in this frame or in one that it refers to: a flag of vas_camera_publish. */
#define VAS_FRAME_DAMAGED 1

/**
 * What a call answers: 0 when it did what it says; positive when vas_camera_begin gives no slot, which is no fault of anybody;
 * negative when nothing was done because something is wrong with the call or with what it was made on. A later version may
 * answer what is not listed here: go by the sign.
 */
enum vas_result {
    /** Done. */
    VAS_OK = 0,
    /** No slot: nobody has the camera's files open. Do not make the picture. */
    VAS_IDLE = 1,
    /** No slot: the files for this format are being made. So the first frames of a camera, and of a new format, end. */
    VAS_PREPARING = 2,
    /** No slot: the file system has no room for the files. The log has the bytes; it is tried again every few seconds. */
    VAS_NO_ROOM = 3,
    /** No slot: another process exports this camera. It is tried again every second. */
    VAS_HELD_BY_ANOTHER = 4,
    /** No slot: the base directory, or something in it, cannot be used at the moment. The log has the reason. */
    VAS_UNAVAILABLE = 5,
    /** No slot: the exporter was shut down. */
    VAS_SHUT_DOWN = 6,
    /** No slot: a reason that this version of the interface has no name for. */
    VAS_NOT_EXPORTED = 7,
    /** A pointer is NULL that must not be. */
    VAS_ERROR_NULL = -1,
    /** A value is outside of what is allowed; for a picture's size that is 1 to 16384 in both directions. */
    VAS_ERROR_ARGUMENT = -2,
    /** There is no slot to fill, publish or abandon: vas_camera_begin was not called, or gave none. */
    VAS_ERROR_NO_SLOT = -3,
    /** The camera has a slot that is neither published nor abandoned: that comes first. */
    VAS_ERROR_SLOT_HELD = -4,
    /** Another thread is in a call with this camera. Nothing was done. */
    VAS_ERROR_BUSY = -5,
    /** The base directory cannot be trusted or used, or the library's thread cannot be started. */
    VAS_ERROR_BASE = -6,
    /** This exporter has a camera of that name already. */
    VAS_ERROR_DUPLICATE = -7,
    /** A plane does not hold the picture. Nothing was written; the slot is still there. */
    VAS_ERROR_PLANE = -8,
    /** A defect of the library: it has panicked. The camera can only be stopped or removed after that. */
    VAS_ERROR_PANIC = -9,
};

/** The frame path of one camera. */
struct vas_camera;

/** Exports the cameras of a process under one base directory. Has a thread, which makes, watches and removes the files. */
struct vas_exporter;

/**
 * Hears what the writer has to say: once per change of a situation, never per frame. `message` is text in UTF-8 that ends with
 * a zero, and gone after the call.
 *
 * It is called by the thread that is in vas_exporter_start, and then by the exporter's own thread until vas_exporter_shutdown
 * is done; never by one that is in another call. It must come back soon (cameras' files and heartbeats wait for it, frames do
 * not), must not call this library, and no C++ exception may leave it.
 */
typedef void (*vas_log)(void *context, uint32_t level, const char *message);

/**
 * Where and how to export. Set every byte to zero, then `size`, then what is to be other than the default:
 *
 *     struct vas_exporter_config config = {.size = sizeof config, .base = "/dev/shm/vas"};
 *
 * Later versions add members at the end; a program that was compiled with this one goes on as it is.
 */
struct vas_exporter_config {
    /** sizeof(struct vas_exporter_config). */
    size_t size;
    /** The base directory, on a tmpfs; NULL: /dev/shm/vas. It is made if missing, the directories above it are not. */
    const char *base;
    /** Slots per camera, 2 to 8; 0: 3. More give slow readers more time. */
    uint32_t slots;
    /** VAS_WHEN_ATTACHED or VAS_WHEN_ALWAYS. */
    uint32_t when;
    /** Not 0: the members of the group `group` may read. 0: those of whatever group the directory has. */
    uint32_t has_group;
    /** The number of that group. */
    uint32_t group;
    /** Hears what this exporter has to say; NULL: nobody. Other exporters of the process are not heard here. */
    vas_log log;
    /** Handed to `log`; has to live until vas_exporter_shutdown is done. */
    void *log_context;
    /** The least important level that is heard; 0: VAS_LOG_INFO. */
    uint32_t log_level;
    /** VAS_HEARTBEAT_THREAD or VAS_HEARTBEAT_CALLER. */
    uint32_t heartbeat;
};

/** What became of a camera's frames. Set `size`; later versions add members at the end. */
struct vas_camera_counters {
    /** sizeof(struct vas_camera_counters). */
    size_t size;
    /** Frames published. */
    uint64_t published;
    /** Frames for which vas_camera_begin gave no slot. */
    uint64_t not_exported;
};

/**
 * What the pictures of a camera look like. A change means new files, so a few frames that are not exported. All zero but the
 * size is a picture of unknown colours.
 */
struct vas_picture_format {
    /** Luma pixels per row, 1 to 16384. */
    uint32_t width;
    /** Luma rows, 1 to 16384. */
    uint32_t height;
    /** VAS_COLOR_RANGE_UNKNOWN, VAS_COLOR_RANGE_LIMITED or VAS_COLOR_RANGE_FULL. */
    uint8_t color_range;
    /** ITU-T H.273 ColourPrimaries (FFmpeg: color_primaries); 0 or 2: unspecified. */
    uint8_t color_primaries;
    /** ITU-T H.273 TransferCharacteristics (FFmpeg: color_trc); 0 or 2: unspecified. */
    uint8_t color_transfer;
    /** ITU-T H.273 MatrixCoefficients (FFmpeg: colorspace); 0 or 2: unspecified. */
    uint8_t color_matrix;
};

/**
 * The two planes of a slot that is being filled, NV12: for code that writes the picture where readers will see it. Write only:
 * what is there may be an older frame. Good until the slot is published or abandoned, or its camera stopped or removed; a
 * write after that spoils another frame.
 */
struct vas_planes {
    /** The luma plane: `luma_rows` rows of `luma_row_bytes` bytes. */
    uint8_t *luma;
    /** The chroma plane: `chroma_rows` rows of `chroma_row_bytes` bytes, Cb and Cr in turn. */
    uint8_t *chroma;
    /** From one row to the next, in both planes. What lies between a row's end and the next row may be written. */
    size_t stride_bytes;
    /** As many as the picture has. */
    size_t luma_rows;
    /** One for each pixel. */
    size_t luma_row_bytes;
    /** Half of `luma_rows`, rounded up. */
    size_t chroma_rows;
    /** Two for each two pixels, rounded up. */
    size_t chroma_row_bytes;
};

/** A plane of a picture in the server's own memory, to be copied from. */
struct vas_plane {
    /** The first byte of the first row. */
    const uint8_t *data;
    /** Bytes that may be read from there; the last row may end with its visible bytes. */
    size_t size;
    /**
     * Bytes from one row to the next, at least a row. (A picture that is stored from its bottom up has to be turned around
     * first.)
     */
    size_t stride_bytes;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Starts an exporter: checks the base directory, removes what killed servers left of cameras that nobody writes now, starts
 * the library's thread. One per process and base directory. `*exporter` is NULL unless this answers VAS_OK.
 *
 * `message` has room for `message_size` bytes, VAS_MESSAGE_SIZE are enough; it gets one sentence for a person when this fails,
 * and is empty otherwise. NULL: none is wanted.
 *
 * The library's thread blocks all signals but those of faults, so that the server's own threads get them; no handler is
 * installed and none is changed. (When a reader opens the files in the very moment in which the writer looks whether anybody
 * is attached, the kernel sends the process SIGURG, which is ignored unless the server asks for it.)
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_BASE, VAS_ERROR_PANIC. From any thread.
 */
enum vas_result vas_exporter_start(const struct vas_exporter_config *config,
                                   struct vas_exporter **exporter,
                                   char *message,
                                   size_t message_size);

/**
 * Says that the server is alive, if the config says that it does so itself (VAS_HEARTBEAT_CALLER); else nothing comes of it.
 * To be called at least four times a second, by any thread, for instance from the loop that watches the cameras: a server that
 * hangs is then seen to hang. Never waits: a look at the clock and a store.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_PANIC. From any thread, from several at once.
 */
enum vas_result vas_exporter_beat(const struct vas_exporter *exporter);

/**
 * Stops the export of every camera: readers are told, files removed, memory given back; ends the library's thread; sets
 * `*exporter` to NULL, so that doing it twice does no harm. Bounded: it waits for files that are just being made, and at most
 * half a second for readers and for slots that are being filled. Its cameras still have to be stopped; they answer
 * VAS_SHUT_DOWN. Hold no lock that the log's function takes: the library's thread may be in it, and is waited for.
 *
 * Answers: VAS_OK, VAS_ERROR_PANIC. From any thread, while no other call is made with this exporter.
 */
enum vas_result vas_exporter_shutdown(struct vas_exporter **exporter);

/**
 * A camera to export. `camera_id` is 1 to 64 letters, digits, '_' and '-', of which the first is a letter or a digit. Nothing
 * is made on disk before its first frame: only then is the format known. `*camera` is NULL unless this answers VAS_OK.
 *
 * `message` as with vas_exporter_start.
 *
 * Answers: VAS_OK, VAS_SHUT_DOWN, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_DUPLICATE, VAS_ERROR_PANIC. From any thread,
 * from several at once.
 */
enum vas_result vas_camera_add(const struct vas_exporter *exporter,
                               const char *camera_id,
                               struct vas_camera **camera,
                               char *message,
                               size_t message_size);

/**
 * Stops the camera: readers are told, its files removed (waited for at most a second), and the camera freed; sets `*camera` to
 * NULL, so that doing it twice does no harm. A slot that is being filled leaves nothing visible. The camera's directory stays,
 * so that a container may go on bind-mounting it. Before or after vas_exporter_shutdown.
 *
 * Answers: VAS_OK, VAS_ERROR_BUSY (the camera is as it was), VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_stop(struct vas_camera **camera);

/** As vas_camera_stop, and removes the camera's directory too: for a camera that leaves the configuration. */
enum vas_result vas_camera_remove(struct vas_camera **camera);

/**
 * Tells readers how far apart frames are expected, in nanoseconds; 0: unknown. Never waits; call it on each change.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_set_frame_period(const struct vas_camera *camera, uint64_t period_ns);

/**
 * Tells readers whether the source delivers: VAS_SOURCE_LIVE (as a camera begins) or VAS_SOURCE_STALLED. Never waits; call it
 * on each change, before the frame that follows. Do not hold a slot while you wait for the source, and repeat a call that
 * answered VAS_ERROR_SLOT_HELD or VAS_ERROR_BUSY: until then readers are not told.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_set_source_state(const struct vas_camera *camera, uint32_t state);

/**
 * What became of the camera's frames so far. `counters->size` has to be set; what a later library counts beyond that is left out, what
 * this one does not count is 0.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_get_counters(const struct vas_camera *camera,
                                        struct vas_camera_counters *counters);

/**
 * Takes a slot for a frame of this format, before its pixels are made: whatever this answers but VAS_OK, nothing needs to be
 * decoded further or converted. After VAS_OK fill the slot, through `*planes` or by vas_camera_write_nv12 or
 * vas_camera_write_yuv420p, then vas_camera_publish or vas_camera_abandon it. `planes` may be NULL if it is not wanted.
 *
 * Never waits. While somebody is attached it makes no system call; while nobody is, it makes three. For a format that has no
 * files yet these are asked for, and there is no slot until they are there; a format that comes back before its files were
 * replaced goes on in them.
 *
 * Answers: VAS_OK; no slot: VAS_IDLE, VAS_PREPARING, VAS_NO_ROOM, VAS_HELD_BY_ANOTHER, VAS_UNAVAILABLE, VAS_SHUT_DOWN,
 * VAS_NOT_EXPORTED; nothing was done: VAS_ERROR_NULL, VAS_ERROR_ARGUMENT (a size that cannot be exported, a colour range that
 * is none), VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_begin(const struct vas_camera *camera,
                                 const struct vas_picture_format *format,
                                 struct vas_planes *planes);

/**
 * Copies an NV12 picture into the slot: luma, then Cb and Cr in turn, with any strides. On a failure nothing was written.
 *
 * `message` as with vas_exporter_start.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_PLANE, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_write_nv12(const struct vas_camera *camera,
                                      const struct vas_plane *luma,
                                      const struct vas_plane *chroma,
                                      char *message,
                                      size_t message_size);

/**
 * Copies a planar 4:2:0 picture into the slot (FFmpeg: yuv420p, yuvj420p): luma as it is, Cb and Cr interleaved on their way,
 * with any strides. No value is changed, so full range stays full range. On a failure nothing was written.
 *
 * `message` as with vas_exporter_start.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_PLANE, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_write_yuv420p(const struct vas_camera *camera,
                                         const struct vas_plane *luma,
                                         const struct vas_plane *cb,
                                         const struct vas_plane *cr,
                                         char *message,
                                         size_t message_size);

/**
 * Hands the frame to the readers. `timestamp_ns` is CLOCK_MONOTONIC when the frame was decoded (vas_writer_monotonic_ns),
 * `flags` is 0 or VAS_FRAME_DAMAGED. `*frame_id` gets the frame's number; `frame_id` may be NULL. Never waits, calls nothing,
 * allocates nothing.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT (an unknown flag; the slot is still there), VAS_ERROR_NO_SLOT,
 * VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_publish(const struct vas_camera *camera, uint64_t timestamp_ns, uint32_t flags, uint64_t *frame_id);

/**
 * Gives the slot back and leaves nothing visible; the frame's number is for the next one.
 *
 * Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
 */
enum vas_result vas_camera_abandon(const struct vas_camera *camera);

/** This process's CLOCK_MONOTONIC in nanoseconds. From any thread. */
uint64_t vas_writer_monotonic_ns(void);

/**
 * The version of this library, such as "0.1.0"; of the bytes that it writes, the header of each camera says the version. For
 * ever.
 */
const char *vas_writer_version(void);

/** What a result means, for people: a text that stays for ever. For every number, also one that is no result. */
const char *vas_result_text(int32_t result);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VAS_WRITER_H */
