/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * watch [-l] [-n] CAMERA [BASE]: a line of JSON for each frame, with the hash of its picture, and for each change of state. They are
 * those of `vas-frames watch --json --hash md5`, comparable with `ffmpeg -pix_fmt nv12 -f framemd5`.
 *
 *     cc -std=c11 -O2 -I bindings/c/include -o watch bindings/c/examples/watch.c
 *
 * -l: the newest frame each time, not every frame that still stands. -n: no hash.
 *
 * It stays through restarts of the server and changes of the picture, until Ctrl-C or SIGTERM, or until nobody reads what it says:
 * exit code 0. 1: no memory. 2: the command line is wrong.
 */
#include "vas_frames.h"

#include "md5.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

/* How often the output is looked at while no frame comes: whoever read it may have left. */
#define TICK_MS 250

static struct vas_canceller canceller;
/* Before anything was opened. */
static uint64_t started_ns;

static void on_signal(int number)
{
    (void)number;
    vas_cancel(&canceller); /* safe in a signal handler */
}

static void print_string(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    (void)putchar('"');
}

static void print_state(const struct vas_stream *stream, const char *camera)
{
    const enum vas_status status = vas_stream_status(stream);
    printf("{\"state\":\"%s\",\"camera\":", vas_status_name(status));
    print_string(camera);
    if (status == VAS_STATUS_WAITING || status == VAS_STATUS_REFUSED) {
        printf(",\"why\":");
        print_string(vas_stream_answer(stream)->sentence);
    }
    puts("}");
}

/* `lost`: frames that were found but overwritten before they were hashed. */
static void print_frame(const struct vas_frame *frame, uint64_t found_ns, uint64_t lost, const char *md5)
{
    const uint64_t age_ns = found_ns > frame->timestamp_ns ? found_ns - frame->timestamp_ns : 0;
    printf("{\"frame_id\":%" PRIu64 ",\"timestamp_ns\":%" PRIu64 ",\"age_ms\":%.3f,\"found_ns\":%" PRIu64
           ",\"since_start_ns\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"damaged\":%s,\"width\":%" PRIu32 ",\"height\":%" PRIu32
           ",\"generation\":%" PRIu64,
           frame->id, frame->timestamp_ns, (double)age_ns / 1e6, found_ns, found_ns - started_ns, frame->skipped + lost,
           vas_frame_is_damaged(frame) ? "true" : "false", frame->width, frame->height, frame->generation);
    if (md5 != NULL)
        printf(",\"md5\":\"%s\"", md5);
    puts("}");
}

static bool is_output_closed(void)
{
    struct pollfd output;
    output.fd = STDOUT_FILENO;
    output.events = 0;
    output.revents = 0;
    return poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

/* Until cancelled, or nobody listens; the exit code. */
static int watch(struct vas_stream *stream, const char *camera, bool hashes)
{
    unsigned char *packed = NULL;
    size_t room = 0;
    uint64_t lost = 0;
    struct vas_frame frame;
    for (;;) {
        switch (vas_stream_next(stream, TICK_MS, &frame)) {
        case VAS_FRAME: {
            const uint64_t found_ns = vas_shm_monotonic_ns();
            char md5[33];
            bool is_whole;
            if (hashes && frame.packed_size > room) {
                unsigned char *more = (unsigned char *)realloc(packed, frame.packed_size);
                if (more == NULL) {
                    fprintf(stderr, "watch: no memory for a picture of %zu bytes\n", frame.packed_size);
                    free(packed);
                    return 1;
                }
                packed = more;
                room = frame.packed_size;
            }
            /* Copied first, since hashing takes many times as long: most frames would be overwritten meanwhile. */
            is_whole = hashes ? vas_frame_copy(&frame, packed, room) == VAS_SHM_COPY_INTACT : vas_frame_is_intact(&frame);
            if (!is_whole) {
                lost += frame.skipped + 1;
                break;
            }
            if (hashes)
                md5_hex(packed, frame.packed_size, md5);
            print_frame(&frame, found_ns, lost, hashes ? md5 : NULL);
            lost = 0;
            break;
        }
        case VAS_STATUS:
            print_state(stream, camera);
            break;
        case VAS_TIMEOUT:
            break;
        case VAS_CANCELLED:
            free(packed);
            return 0;
        }
        if (fflush(stdout) != 0 || is_output_closed()) {
            free(packed);
            return 0;
        }
    }
}

int main(int argc, char **argv)
{
    static struct vas_stream stream;
    static struct vas_stream_options options;
    struct sigaction action;
    bool hashes = true;
    int option, code;
    options.mode = VAS_MODE_NEXT;
    options.canceller = &canceller;
    while ((option = getopt(argc, argv, "ln")) != -1) {
        if (option == 'l')
            options.mode = VAS_MODE_LATEST;
        else if (option == 'n')
            hashes = false;
        else
            argc = 0; /* getopt has said what is wrong */
    }
    if (argc - optind != 1 && argc - optind != 2) {
        fprintf(stderr, "usage: watch [-l] [-n] CAMERA [BASE]\n");
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL); /* a closed pipe is an end like another */
    started_ns = vas_shm_monotonic_ns();
    /* What is wrong with the names is told as a refusal, with a sentence. */
    (void)vas_stream_init(&stream, argc - optind > 1 ? argv[optind + 1] : NULL, argv[optind], &options);
    code = watch(&stream, argv[optind], hashes);
    vas_stream_close(&stream);
    return code;
}
