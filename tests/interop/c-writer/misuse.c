/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `misuse BASE`: what the writer's C interface answers to wrong calls, and to right ones that come at a wrong time. Says "ok", or
 * the line that did not hold.
 */
#define _POSIX_C_SOURCE 200809L
#include "vas_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Answers, and what was said about them. */
#define SAYS(result, words)                                                                                            \
    do {                                                                                                               \
        message[0] = '#';                                                                                              \
        message[1] = '\0';                                                                                             \
        CHECK((result) == expected);                                                                                   \
        if (strstr(message, words) == NULL) {                                                                          \
            fprintf(stderr, "%s:%d: %s is not in %s\n", __FILE__, __LINE__, words, message);                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define WIDTH 65u
#define HEIGHT 47u

static const struct vas_picture_format FORMAT = {.width = WIDTH, .height = HEIGHT};

static void pause_ms(long milliseconds)
{
    const struct timespec time = {.tv_nsec = milliseconds * 1000000};
    (void)nanosleep(&time, NULL);
}

/* The first answer that is not "the files are being made". */
static enum vas_result begin_once_there_are_files(const struct vas_camera *camera, const struct vas_picture_format *format,
                                                  struct vas_planes *planes)
{
    enum vas_result result = VAS_PREPARING;
    for (int turn = 0; turn < 60000 && result == VAS_PREPARING; turn++) {
        result = vas_camera_begin(camera, format, planes);
        if (result == VAS_PREPARING)
            pause_ms(1);
    }
    return result;
}

static struct vas_exporter *start(const char *base, uint32_t when)
{
    struct vas_exporter_config config = {.size = sizeof config, .base = base, .when = when};
    struct vas_exporter *exporter;
    char message[VAS_MESSAGE_SIZE];
    enum vas_result result = vas_exporter_start(&config, &exporter, message, sizeof message);
    if (result != VAS_OK)
        fprintf(stderr, "%s\n", message);
    CHECK(result == VAS_OK && message[0] == '\0' && exporter != NULL);
    return exporter;
}

static struct vas_camera *add(const struct vas_exporter *exporter, const char *id)
{
    struct vas_camera *camera;
    CHECK(vas_camera_add(exporter, id, &camera, NULL, 0) == VAS_OK && camera != NULL);
    return camera;
}

static struct vas_camera_counters counters_of(const struct vas_camera *camera)
{
    struct vas_camera_counters counters = {.size = sizeof counters};
    CHECK(vas_camera_get_counters(camera, &counters) == VAS_OK);
    return counters;
}

static void a_config_that_cannot_be_kept_is_refused_in_words(const char *base)
{
    struct {
        struct vas_exporter_config config;
        unsigned char later[16];
    } wide;
    struct vas_exporter_config *config = &wide.config;
    struct vas_exporter *exporter = NULL;
    char message[VAS_MESSAGE_SIZE];
    enum vas_result expected = VAS_ERROR_ARGUMENT;

    memset(&wide, 0, sizeof wide);
    config->base = base;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "size is 0, it has to be sizeof(");
    CHECK(exporter == NULL);
    config->size = (size_t)-1; /* as of a config that was not cleared: nothing beyond it is looked at */
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "it has to be sizeof(");
    config->size = sizeof *config;
    config->when = 2;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "`when` is 2");
    config->when = 0;
    config->slots = 9;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "9");
    config->slots = 0;
    config->log_level = 4;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "`log_level` is 4");
    config->log_level = 0;
    config->heartbeat = 2;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "`heartbeat` is 2");
    config->heartbeat = 0;
    /* Of a later version: what is not used there does not matter, and what is used cannot be kept. */
    config->size = sizeof wide;
    wide.later[3] = 1;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "this library, version ");
    wide.later[3] = 0;
    CHECK(vas_exporter_start(config, &exporter, message, sizeof message) == VAS_OK && message[0] == '\0');
    CHECK(vas_exporter_shutdown(&exporter) == VAS_OK && exporter == NULL);

    config->base = "/proc/vas";
    expected = VAS_ERROR_BASE;
    SAYS(vas_exporter_start(config, &exporter, message, sizeof message), "/proc/vas");
    /* Cut off, and still a text. */
    memset(message, '#', sizeof message);
    CHECK(vas_exporter_start(config, &exporter, message, 6) == VAS_ERROR_BASE);
    CHECK(strcmp(message, "mkdir") == 0 || strlen(message) == 5);
    CHECK(message[6] == '#');
}

static void null_is_answered_and_never_followed(const char *base)
{
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS), *none = NULL;
    struct vas_camera *camera = add(exporter, "front"), *other = (struct vas_camera *)&other;
    struct vas_exporter_config config = {.size = sizeof config, .base = base};
    const struct vas_plane empty = {.data = NULL, .size = 0, .stride_bytes = WIDTH};
    CHECK(vas_exporter_start(NULL, &none, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_exporter_start(&config, NULL, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_exporter_beat(NULL) == VAS_ERROR_NULL && vas_exporter_beat(exporter) == VAS_OK);
    CHECK(vas_exporter_shutdown(NULL) == VAS_OK && vas_exporter_shutdown(&none) == VAS_OK);
    CHECK(vas_camera_add(NULL, "yard", &other, NULL, 0) == VAS_ERROR_NULL && other == NULL);
    CHECK(vas_camera_add(exporter, NULL, &other, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_add(exporter, "yard", NULL, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_stop(NULL) == VAS_OK && vas_camera_stop(&other) == VAS_OK && vas_camera_remove(&other) == VAS_OK);
    CHECK(vas_camera_set_frame_period(NULL, 1) == VAS_ERROR_NULL && vas_camera_set_source_state(NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_get_counters(NULL, NULL) == VAS_ERROR_NULL && vas_camera_get_counters(camera, NULL) == VAS_ERROR_NULL);
    CHECK(vas_camera_begin(NULL, &FORMAT, NULL) == VAS_ERROR_NULL && vas_camera_begin(camera, NULL, NULL) == VAS_ERROR_NULL);
    CHECK(vas_camera_publish(NULL, 1, 0, NULL) == VAS_ERROR_NULL && vas_camera_abandon(NULL) == VAS_ERROR_NULL);
    CHECK(begin_once_there_are_files(camera, &FORMAT, NULL) == VAS_OK);
    CHECK(vas_camera_write_nv12(NULL, &empty, &empty, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_write_nv12(camera, NULL, &empty, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_write_nv12(camera, &empty, &empty, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_write_yuv420p(camera, &empty, NULL, &empty, NULL, 0) == VAS_ERROR_NULL);
    CHECK(vas_camera_abandon(camera) == VAS_OK);
    CHECK(vas_camera_stop(&camera) == VAS_OK && camera == NULL && vas_camera_stop(&camera) == VAS_OK);
    CHECK(vas_exporter_shutdown(&exporter) == VAS_OK && exporter == NULL);
}

static void a_camera_has_a_name_of_its_own_and_one_at_a_time(const char *base)
{
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS);
    struct vas_camera *camera = add(exporter, "front"), *second = camera;
    char message[VAS_MESSAGE_SIZE];
    enum vas_result expected = VAS_ERROR_ARGUMENT;
    SAYS(vas_camera_add(exporter, "../front", &second, message, sizeof message), "\"../front\" is no camera's name");
    CHECK(second == NULL);
    SAYS(vas_camera_add(exporter, "\xff", &second, message, sizeof message), "is no camera's name");
    expected = VAS_ERROR_DUPLICATE;
    SAYS(vas_camera_add(exporter, "front", &second, message, sizeof message), "front");
    CHECK(vas_camera_stop(&camera) == VAS_OK);
    camera = add(exporter, "front");
    /* The exporter may go first: its cameras still are objects, and say what has become of them. */
    CHECK(vas_exporter_shutdown(&exporter) == VAS_OK);
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) != VAS_OK);
    CHECK(vas_camera_remove(&camera) == VAS_OK);
}

static void what_comes_at_a_wrong_time_is_answered_and_changes_nothing(const char *base)
{
    static unsigned char luma[WIDTH * HEIGHT], chroma[(WIDTH + 1) * ((HEIGHT + 1) / 2)];
    const struct vas_plane y = {luma, sizeof luma, WIDTH}, uv = {chroma, sizeof chroma, WIDTH + 1};
    const struct vas_plane u = {chroma, sizeof chroma / 2, (WIDTH + 1) / 2};
    const struct vas_picture_format other = {.width = 32, .height = 32}, empty = {.width = 0, .height = 32},
                                    huge = {.width = 16385, .height = 32},
                                    strange = {.width = 32, .height = 32, .color_range = 3};
    struct vas_plane wrong;
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS);
    struct vas_camera *camera = add(exporter, "front");
    struct vas_planes planes;
    uint64_t first = 0, second = 0;
    char message[VAS_MESSAGE_SIZE];
    enum vas_result expected = VAS_ERROR_NO_SLOT;

    CHECK(vas_camera_publish(camera, 1, 0, NULL) == VAS_ERROR_NO_SLOT && vas_camera_abandon(camera) == VAS_ERROR_NO_SLOT);
    SAYS(vas_camera_write_nv12(camera, &y, &uv, message, sizeof message), "vas_camera_begin comes first");
    CHECK(vas_camera_begin(camera, &empty, NULL) == VAS_ERROR_ARGUMENT);
    CHECK(vas_camera_begin(camera, &huge, NULL) == VAS_ERROR_ARGUMENT);
    CHECK(vas_camera_begin(camera, &strange, NULL) == VAS_ERROR_ARGUMENT);
    CHECK(vas_camera_set_source_state(camera, 2) == VAS_ERROR_ARGUMENT);

    CHECK(begin_once_there_are_files(camera, &FORMAT, &planes) == VAS_OK);
    CHECK(planes.luma_rows == HEIGHT && planes.luma_row_bytes == WIDTH && planes.stride_bytes >= WIDTH + 1);
    CHECK(planes.chroma_rows == (HEIGHT + 1) / 2 && planes.chroma_row_bytes == WIDTH + 1 && planes.chroma > planes.luma);
    /* The slot comes first, whatever is asked for. */
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_ERROR_SLOT_HELD);
    CHECK(vas_camera_begin(camera, &other, NULL) == VAS_ERROR_SLOT_HELD);
    CHECK(vas_camera_set_frame_period(camera, 1) == VAS_ERROR_SLOT_HELD);
    CHECK(vas_camera_set_source_state(camera, VAS_SOURCE_STALLED) == VAS_ERROR_SLOT_HELD);
    CHECK(counters_of(camera).published == 0);

    expected = VAS_ERROR_PLANE;
    wrong = y, wrong.stride_bytes = WIDTH - 1;
    SAYS(vas_camera_write_nv12(camera, &wrong, &uv, message, sizeof message), "luma: the stride is 64 bytes, a row has 65");
    wrong = uv, wrong.size -= 1;
    SAYS(vas_camera_write_nv12(camera, &y, &wrong, message, sizeof message), "chroma: has 1583 bytes");
    wrong = u, wrong.size -= 1;
    SAYS(vas_camera_write_yuv420p(camera, &y, &u, &wrong, message, sizeof message), "cr: has");
    wrong.size = (size_t)-1;
    SAYS(vas_camera_write_yuv420p(camera, &wrong, &u, &u, message, sizeof message), "negative");
    CHECK(vas_camera_write_nv12(camera, &y, &wrong, NULL, 0) == VAS_ERROR_PLANE);

    CHECK(vas_camera_write_yuv420p(camera, &y, &u, &u, message, sizeof message) == VAS_OK && message[0] == '\0');
    CHECK(vas_camera_publish(camera, 1, 2, &first) == VAS_ERROR_ARGUMENT && first == 0);
    CHECK(vas_camera_publish(camera, 1, VAS_FRAME_DAMAGED, &first) == VAS_OK && first != 0);
    CHECK(vas_camera_publish(camera, 1, 0, &second) == VAS_ERROR_NO_SLOT && vas_camera_abandon(camera) == VAS_ERROR_NO_SLOT);

    /* An abandoned frame leaves its number to the next. */
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_OK && vas_camera_abandon(camera) == VAS_OK);
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_OK && vas_camera_write_nv12(camera, &y, &uv, NULL, 0) == VAS_OK);
    CHECK(vas_camera_publish(camera, 2, 0, &second) == VAS_OK && second == first + 1);

    /* A change of format takes new files, and a slot of those. */
    CHECK(begin_once_there_are_files(camera, &other, &planes) == VAS_OK && planes.luma_rows == 32);
    CHECK(vas_camera_publish(camera, 3, 0, &second) == VAS_OK && second > first + 1);
    CHECK(counters_of(camera).published == 3 && counters_of(camera).not_exported > 0);

    /* With a slot in its hand: nothing of it is seen. */
    CHECK(vas_camera_begin(camera, &other, NULL) == VAS_OK);
    CHECK(vas_camera_remove(&camera) == VAS_OK && camera == NULL);
    CHECK(vas_exporter_shutdown(&exporter) == VAS_OK);
}

static void counters_of_another_size_are_refused_or_filled_in_as_far_as_known(const char *base)
{
    struct {
        struct vas_camera_counters counters;
        uint64_t later;
    } wide = {.counters = {.size = sizeof wide}, .later = 77};
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS);
    struct vas_camera *camera = add(exporter, "front");
    CHECK(vas_camera_get_counters(camera, &wide.counters) == VAS_OK && wide.counters.size == sizeof wide && wide.later == 0);
    wide.counters.size = (size_t)-1; /* as of counters that were not cleared */
    CHECK(vas_camera_get_counters(camera, &wide.counters) == VAS_ERROR_ARGUMENT);
    wide.counters.size = sizeof(size_t);
    CHECK(vas_camera_get_counters(camera, &wide.counters) == VAS_ERROR_ARGUMENT);
    CHECK(vas_camera_stop(&camera) == VAS_OK && vas_exporter_shutdown(&exporter) == VAS_OK);
}

static void while_nobody_is_attached_begin_says_so_and_gives_no_planes(const char *base)
{
    struct vas_exporter *exporter = start(base, VAS_WHEN_ATTACHED);
    struct vas_camera *camera = add(exporter, "front");
    struct vas_planes planes;
    char path[4096];
    int reader, turn;
    memset(&planes, 0x5a, sizeof planes);
    CHECK(begin_once_there_are_files(camera, &FORMAT, &planes) == VAS_IDLE);
    CHECK(planes.luma_rows == SIZE_MAX / 255 * 0x5a); /* untouched */
    CHECK(vas_camera_publish(camera, 1, 0, NULL) == VAS_ERROR_NO_SLOT);
    CHECK(counters_of(camera).published == 0);
    (void)snprintf(path, sizeof path, "%s/front/frame.meta", base);
    /* The look of the writer makes an open that does not wait fail for a moment; none is going on here. */
    reader = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    CHECK(vas_camera_begin(camera, &FORMAT, &planes) == VAS_OK && planes.luma_rows == HEIGHT);
    CHECK(vas_camera_publish(camera, 1, 0, NULL) == VAS_OK && counters_of(camera).published == 1);
    CHECK(close(reader) == 0);
    /* The last reader has gone; that is noticed within seconds. */
    for (turn = 0; turn < 3000 && vas_camera_begin(camera, &FORMAT, NULL) == VAS_OK; turn++) {
        CHECK(vas_camera_abandon(camera) == VAS_OK);
        pause_ms(10);
    }
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_IDLE);
    CHECK(vas_camera_stop(&camera) == VAS_OK && vas_exporter_shutdown(&exporter) == VAS_OK);
}

/* Threads that use one camera against the rule: each answer is one of those that the header lists. */
static void *against_the_rule(void *argument)
{
    const struct vas_camera *camera = argument;
    for (int turn = 0; turn < 20000; turn++) {
        enum vas_result begun = vas_camera_begin(camera, &FORMAT, NULL), published;
        CHECK(begun == VAS_OK || begun == VAS_PREPARING || begun == VAS_ERROR_SLOT_HELD || begun == VAS_ERROR_BUSY);
        published = vas_camera_publish(camera, 1, 0, NULL);
        CHECK(published == VAS_OK || published == VAS_ERROR_NO_SLOT || published == VAS_ERROR_BUSY);
    }
    return NULL;
}

static void two_threads_with_one_camera_get_answers(const char *base)
{
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS);
    struct vas_camera *camera = add(exporter, "front");
    pthread_t threads[2];
    CHECK(begin_once_there_are_files(camera, &FORMAT, NULL) == VAS_OK && vas_camera_abandon(camera) == VAS_OK);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, against_the_rule, camera) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(counters_of(camera).published > 0);
    CHECK(vas_camera_stop(&camera) == VAS_OK && vas_exporter_shutdown(&exporter) == VAS_OK);
}

/* The mask of blocked signals of the library's thread, 0 if there is no such thread. */
static unsigned long long blocked_in_the_librarys_thread(void)
{
    unsigned long long blocked = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[512], line[256];
        int is_it = 0;
        FILE *status;
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            is_it = is_it || strcmp(line, "Name:\tvas-export\n") == 0;
            if (is_it && strncmp(line, "SigBlk:", 7) == 0)
                blocked = strtoull(line + 7, NULL, 16);
        }
        if (status != NULL)
            (void)fclose(status);
    }
    (void)closedir(tasks);
    return blocked;
}

static void signals_are_left_to_the_server(const char *base)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE, SIGURG, SIGIO, SIGUSR1, SIGALRM};
    struct sigaction before[sizeof handled / sizeof *handled], after;
    sigset_t mask_before, mask_after;
    struct vas_exporter *exporter;
    unsigned long long blocked;
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        CHECK(sigaction(handled[i], NULL, &before[i]) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_before) == 0);
    exporter = start(base, VAS_WHEN_ATTACHED);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask_after) == 0);
    /* A thread names itself, so it may have none yet. */
    blocked = blocked_in_the_librarys_thread();
    for (int turn = 0; turn < 60000 && blocked == 0; turn++) {
        pause_ms(1);
        blocked = blocked_in_the_librarys_thread();
    }
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++) {
        CHECK(sigaction(handled[i], NULL, &after) == 0 && after.sa_handler == before[i].sa_handler);
        CHECK(sigismember(&mask_before, handled[i]) == sigismember(&mask_after, handled[i]));
        CHECK(blocked >> (handled[i] - 1) & 1);
    }
    CHECK((blocked >> (SIGSEGV - 1) & 1) == 0 && (blocked >> (SIGBUS - 1) & 1) == 0);
    CHECK(vas_exporter_shutdown(&exporter) == VAS_OK);
}

static void a_child_that_stops_what_it_inherited_changes_nothing_for_its_parent(const char *base)
{
    struct vas_exporter *exporter = start(base, VAS_WHEN_ALWAYS);
    struct vas_camera *camera = add(exporter, "front");
    uint64_t first = 0, second = 0;
    int status = -1;
    pid_t child;
    CHECK(begin_once_there_are_files(camera, &FORMAT, NULL) == VAS_OK && vas_camera_publish(camera, 1, 0, &first) == VAS_OK);
    /* With a slot in its hand, so that there is most to spoil. */
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_OK);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(vas_camera_remove(&camera) == VAS_OK && camera == NULL);
        CHECK(vas_exporter_shutdown(&exporter) == VAS_OK && exporter == NULL);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(vas_camera_publish(camera, 2, 0, &second) == VAS_OK && second == first + 1);
    CHECK(vas_camera_begin(camera, &FORMAT, NULL) == VAS_OK && vas_camera_abandon(camera) == VAS_OK);
    CHECK(vas_camera_remove(&camera) == VAS_OK && vas_exporter_shutdown(&exporter) == VAS_OK);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: misuse BASE\n");
        return 2;
    }
    a_config_that_cannot_be_kept_is_refused_in_words(argv[1]);
    null_is_answered_and_never_followed(argv[1]);
    a_camera_has_a_name_of_its_own_and_one_at_a_time(argv[1]);
    what_comes_at_a_wrong_time_is_answered_and_changes_nothing(argv[1]);
    counters_of_another_size_are_refused_or_filled_in_as_far_as_known(argv[1]);
    while_nobody_is_attached_begin_says_so_and_gives_no_planes(argv[1]);
    two_threads_with_one_camera_get_answers(argv[1]);
    signals_are_left_to_the_server(argv[1]);
    a_child_that_stops_what_it_inherited_changes_nothing_for_its_parent(argv[1]);
    CHECK(strcmp(vas_result_text(VAS_IDLE), "nobody is looking") == 0 && vas_result_text(4711)[0] != '\0');
    CHECK(vas_writer_version()[0] >= '0' && vas_writer_version()[0] <= '9');
    printf("ok\n");
    return 0;
}
