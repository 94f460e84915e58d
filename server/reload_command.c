/* `originca-server reload`: SIGHUP to whoever holds the pid file, then the outcome of the first reload that
 * began afterwards. A signal says nothing of whom it is from, so the clock tells which outcome is ours: the
 * server notes the time before it reads the configuration. */
#include "reload_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check_files.h"
#include "originca/text.h"
#include "reload_outcome.h"

#define LOOK_MS 50
/* Ours may have to wait for one under way, and each of its two parts takes 2 * ready_wait_seconds at most. */
#define WAITS 8
#define WAIT_MORE_MS 10000

/* Nobody's when it is not locked: the number in it may be anybody's by now. */
static bool is_held(int fd) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static pid_t read_pid(int fd) {
    char text[32] = "";
    long pid = 0;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    return length > 0 && sscanf(text, "%ld", &pid) == 1 && pid > 1 ? (pid_t)pid : 0;
}

static void pause_ms(unsigned ms) {
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

/* What --check-config warns of. Only root sees the files as their users do. */
static void warn(const struct config *config) {
    char views[256];
    if (geteuid() == 0 || (config->user == NULL && config->signer_user == NULL))
        (void)check_files(config, CHECK_START, stderr, views, sizeof views);
}

static int tell(const struct config *config, const struct reload_outcome *outcome) {
    if (outcome->is_good) {
        printf("reloaded: the new configuration is in force\n");
        warn(config);
        return 0;
    }
    fprintf(stderr, "originca-server: reload failed, the former configuration stays in force: %s\n",
            outcome->reason);
    return 1;
}

static int await_outcome(const struct config *config, int pid_fd, int64_t asked_ms) {
    int64_t give_up_ms = asked_ms + WAITS * (int64_t)config->ready_wait_seconds * 1000 + WAIT_MORE_MS;
    struct reload_outcome outcome;
    while (clock_monotonic_ms() < give_up_ms) {
        if (reload_outcome_read(config->run_directory, &outcome) && outcome.begun_ms >= asked_ms)
            return tell(config, &outcome);
        if (!is_held(pid_fd)) {
            fprintf(stderr, "originca-server: the server ended before the reload was over\n");
            return 1;
        }
        pause_ms(LOOK_MS);
    }
    fprintf(stderr, "originca-server: no outcome of the reload after %lld s; see the log of the server\n",
            (long long)(give_up_ms - asked_ms) / 1000);
    return 1;
}

static int ask(const struct config *config, const char *pid_path, int pid_fd) {
    int64_t asked_ms = clock_monotonic_ms();
    pid_t pid = is_held(pid_fd) ? read_pid(pid_fd) : 0;
    if (pid == 0) {
        fprintf(stderr, "originca-server: no server runs: nobody holds %s\n", pid_path);
        return 1;
    }
    if (kill(pid, SIGHUP) != 0) {
        fprintf(stderr,
                "originca-server: cannot signal the server (pid %d): %s; run this as its user or root\n",
                (int)pid, strerror(errno));
        return 1;
    }
    return await_outcome(config, pid_fd, asked_ms);
}

int reload_command(const char *config_path) {
    struct error error;
    char path[256];
    /* With mistakes too: the server is to say and count that it refused them. */
    struct config *config = config_load_with_mistakes(config_path, stderr, &error);
    if (config == NULL) {
        fprintf(stderr, "originca-server: %s\n", error.message);
        return 1;
    }
    snprintf(path, sizeof path, "%s/originca-server.pid", config->run_directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = 1;
    if (fd < 0) {
        fprintf(stderr, "originca-server: no server runs: cannot open %s: %s\n", path, strerror(errno));
    } else {
        status = ask(config, path, fd);
        close(fd);
    }
    config_free(config);
    return status;
}
