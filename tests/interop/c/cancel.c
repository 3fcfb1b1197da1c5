/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `cancel`: waiting without a limit, ended by another thread, by a signal handler in the waiting thread and by a canceller that was
 * used before; and not ended by a signal that does nothing. Prints "ok", or the line number of what was wrong; hangs if the waiting
 * does not end.
 */
#include "vas_frames.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define IS(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static struct vas_canceller canceller;
static struct vas_stream streams[2];
/* Set by whoever waits, so that what ends the waiting comes after its beginning, or just before it. */
static struct vas_canceller waits;

static void *wait_for_ever(void *unused)
{
    struct vas_stream *both[2] = {&streams[0], &streams[1]};
    struct vas_frame frame;
    size_t index = 0;
    enum vas_event event;
    (void)unused;
    for (;;) {
        event = vas_streams_next(both, 2, -1, &frame, &index);
        if (event == VAS_CANCELLED)
            return NULL;
        IS(event == VAS_STATUS && vas_stream_status(&streams[index]) == VAS_STATUS_WAITING);
        if (index == 0)
            vas_cancel(&waits);
    }
}

static void *sleep_for_ever(void *unused)
{
    (void)unused;
    vas_cancel(&waits);
    while (!vas_is_cancelled(&canceller))
        vas_wait_until(&canceller, UINT64_MAX);
    return NULL;
}

static void on_alarm(int number)
{
    const int error = errno;
    IS(number == SIGALRM);
    errno = ELOOP;
    vas_cancel(&canceller);
    IS(errno == ELOOP);
    errno = error;
}

static void on_nothing(int number)
{
    (void)number;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    IS(sigaction(number, &action, NULL) == 0);
}

static void begin(void)
{
    static struct vas_stream_options options;
    options.canceller = &canceller;
    vas_uncancel(&canceller);
    vas_uncancel(&waits);
    IS(vas_stream_init(&streams[0], "/nowhere", "front", &options) == 0);
    IS(vas_stream_init(&streams[1], "/nowhere", "yard", &options) == 0);
}

int main(void)
{
    struct vas_frame frame;
    struct timespec moment = {0, 1000000};
    pthread_t thread;
    int turn;

    /* By another thread. The signals in between cut naps short, and the waiting goes on. */
    handle(SIGUSR1, on_nothing);
    for (turn = 0; turn < 20; turn++) {
        begin();
        IS(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
        while (!vas_is_cancelled(&waits))
            (void)nanosleep(&moment, NULL);
        IS(pthread_kill(thread, SIGUSR1) == 0);
        if (turn % 2 == 0)
            (void)nanosleep(&moment, NULL);
        vas_cancel(&canceller);
        IS(pthread_join(thread, NULL) == 0);
    }

    /* A sleep that nothing else would end: now before it has begun, now after. */
    for (turn = 0; turn < 20; turn++) {
        begin();
        IS(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
        while (!vas_is_cancelled(&waits))
            (void)nanosleep(&moment, NULL);
        if (turn % 2 == 0)
            (void)nanosleep(&moment, NULL);
        vas_cancel(&canceller);
        IS(pthread_join(thread, NULL) == 0);
    }

    /* By a signal handler, in the thread that waits. */
    handle(SIGALRM, on_alarm);
    begin();
    (void)alarm(1);
    (void)wait_for_ever(NULL);

    /* It stays cancelled, whatever there is, until it is taken back. */
    IS(vas_stream_next(&streams[0], -1, &frame) == VAS_CANCELLED);
    IS(vas_stream_next(&streams[0], 0, &frame) == VAS_CANCELLED);
    begin();
    IS(vas_stream_next(&streams[0], 0, &frame) == VAS_STATUS);
    IS(vas_stream_next(&streams[0], 0, &frame) == VAS_TIMEOUT);
    vas_cancel(&canceller);
    vas_wait_until(&canceller, UINT64_MAX);
    vas_wait_until(NULL, 0);
    puts("ok");
    return 0;
}
