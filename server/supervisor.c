/* The supervisor's loop: children in slots, restarts with back-off, reload, drain.
 *
 * A reload starts a second generation of workers on the same sockets; each old worker drains once its
 * successor says that it serves. So there is no moment at which nobody accepts. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "originca/log.h"
#include "originca/signer.h"
#include "originca/text.h"
#include "process.h"
#include "worker_main.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 10000
#define STEADY_MS 10000         /* a child that lived so long starts its back-off anew */
#define SUCCESSOR_WAIT_MS 10000 /* then the old worker drains, successor ready or not */
#define KILL_AFTER_MS 2000      /* beyond the drain time */

enum child_state { CHILD_NONE, CHILD_RUNNING, CHILD_DRAINING, CHILD_WAITING /* for its restart */ };

struct child {
    enum child_state state;
    bool is_signer;
    bool is_wanted; /* false: not started again */
    unsigned slot;
    pid_t pid;
    int ready_fd;
    bool is_ready;
    int64_t started_ms, restart_ms, kill_ms;
    unsigned failures;
};

struct supervisor {
    struct config *config, *retired; /* retired: of the former generation, until nobody uses it here */
    struct listeners listeners;
    struct metrics *metrics;
    struct metric *restarts;
    struct signer_sockets signer_sockets;
    int pid_fd;
    struct child *children;
    size_t count, capacity;
    int64_t drain_old_ms; /* when old workers drain at the latest; 0: no reload under way */
    bool is_stopping, has_notified;
};

static volatile sig_atomic_t got_hup, got_term, got_usr1, got_child;

static void on_signal(int number) {
    if (number == SIGHUP)
        got_hup = 1;
    else if (number == SIGUSR1)
        got_usr1 = 1;
    else if (number == SIGCHLD)
        got_child = 1;
    else
        got_term = 1;
}

/* Blocks the signals except inside ppoll, so none is missed between looking and sleeping. */
static void catch_signals(sigset_t *while_waiting) {
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGCHLD};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &blocked, while_waiting);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigdelset(while_waiting, numbers[i]);
}

static void forget_siblings(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].ready_fd >= 0)
            close(supervisor->children[i].ready_fd);
    close(supervisor->pid_fd);
}

static _Noreturn void run_signer(struct supervisor *supervisor) {
    struct error error;
    forget_siblings(supervisor);
    for (size_t i = 0; i < supervisor->listeners.count; i++)
        close(supervisor->listeners.items[i].fd);
    const char *user =
        supervisor->config->signer_user != NULL ? supervisor->config->signer_user : supervisor->config->user;
    if (!process_become("signer", user, &error)) {
        log_event(LOG_LEVEL_ERROR, "the signer cannot start", "reason", error.message, NULL);
        exit(1);
    }
    exit(signer_main(supervisor->config, &supervisor->signer_sockets, supervisor->metrics));
}

static void close_signer_sockets(const struct supervisor *supervisor) {
    for (int link = 0; link < SIGNER_LINKS; link++)
        close(supervisor->signer_sockets.fds[link]);
}

static _Noreturn void run_worker(struct supervisor *supervisor, unsigned slot, int ready_fd) {
    struct error error;
    char name[32];
    forget_siblings(supervisor);
    close_signer_sockets(supervisor);
    listeners_keep_slot(&supervisor->listeners, slot);
    snprintf(name, sizeof name, "worker-%u", slot);
    if (!process_become(name, supervisor->config->user, &error)) {
        log_event(LOG_LEVEL_ERROR, "a worker cannot start", "reason", error.message, NULL);
        exit(1);
    }
    exit(worker_main(supervisor->config, &supervisor->listeners, supervisor->metrics, slot, ready_fd));
}

static const char *kind_of(const struct child *child) {
    return child->is_signer ? "signer" : "worker";
}

static void schedule_restart(struct child *child) {
    int64_t now = clock_monotonic_ms();
    if (now - child->started_ms > STEADY_MS)
        child->failures = 0;
    int64_t pause = BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < child->failures && pause < BACKOFF_LAST_MS; i++)
        pause *= 2;
    /* The first restart after a steady life is at once: clients wait. */
    child->restart_ms = now + (child->failures == 0 ? 0 : pause < BACKOFF_LAST_MS ? pause : BACKOFF_LAST_MS);
    child->failures++;
    child->state = CHILD_WAITING;
    child->pid = 0;
}

static void start_child(struct supervisor *supervisor, struct child *child) {
    int ready[2] = {-1, -1};
    child->started_ms = clock_monotonic_ms();
    if (!child->is_signer && pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0) {
        schedule_restart(child);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (child->is_signer)
            run_signer(supervisor);
        close(ready[0]);
        run_worker(supervisor, child->slot, ready[1]);
    }
    if (ready[1] >= 0)
        close(ready[1]);
    if (pid < 0) {
        log_event(LOG_LEVEL_ERROR, "cannot fork", "child", kind_of(child), NULL);
        if (ready[0] >= 0)
            close(ready[0]);
        schedule_restart(child);
        return;
    }
    child->pid = pid;
    child->ready_fd = ready[0];
    child->state = CHILD_RUNNING;
    child->is_ready = child->is_signer;
    child->kill_ms = 0;
}

static struct child *add_child(struct supervisor *supervisor, bool is_signer, unsigned slot) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].state == CHILD_NONE) {
            supervisor->children[i] =
                (struct child){.is_signer = is_signer, .slot = slot, .is_wanted = true, .ready_fd = -1};
            return &supervisor->children[i];
        }
    if (supervisor->count == supervisor->capacity) {
        size_t capacity = supervisor->capacity == 0 ? 16 : supervisor->capacity * 2;
        struct child *larger = realloc(supervisor->children, capacity * sizeof *larger);
        if (larger == NULL)
            return NULL;
        supervisor->children = larger;
        supervisor->capacity = capacity;
    }
    struct child *child = &supervisor->children[supervisor->count++];
    *child = (struct child){.is_signer = is_signer, .slot = slot, .is_wanted = true, .ready_fd = -1};
    return child;
}

static bool start_workers(struct supervisor *supervisor) {
    for (unsigned slot = 0; slot < supervisor->config->workers; slot++) {
        struct child *child = add_child(supervisor, false, slot);
        if (child == NULL)
            return false;
        start_child(supervisor, child);
    }
    return true;
}

/* What it said of itself last is not true any more. */
static void retract_metrics(const struct supervisor *supervisor, const struct child *child) {
    if (child->is_signer)
        return;
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *other = &supervisor->children[i];
        if (other != child && !other->is_signer && other->is_wanted && other->slot == child->slot)
            return; /* a reload's successor speaks for the slot */
    }
    worker_retract_metrics(supervisor->metrics, child->slot, child->is_wanted);
}

static void drain_child(struct supervisor *supervisor, struct child *child) {
    child->is_wanted = false;
    if (child->state == CHILD_WAITING) {
        child->state = CHILD_NONE;
        retract_metrics(supervisor, child);
    }
    if (child->state == CHILD_DRAINING && supervisor->is_stopping && !child->is_signer)
        kill(child->pid, SIGTERM); /* retired by a reload and still there */
    if (child->state != CHILD_RUNNING)
        return;
    kill(child->pid, child->is_signer || supervisor->is_stopping ? SIGTERM : SIGUSR2);
    child->state = CHILD_DRAINING;
    child->kill_ms = clock_monotonic_ms() + (int64_t)supervisor->config->drain_seconds * 1000 + KILL_AFTER_MS;
}

/* Old workers are those that a reload marked as no longer wanted. */
static void drain_old_workers(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (!supervisor->children[i].is_wanted && !supervisor->children[i].is_signer)
            drain_child(supervisor, &supervisor->children[i]);
    supervisor->drain_old_ms = 0;
    listeners_close_unwanted(&supervisor->listeners);
    config_free(supervisor->retired);
    supervisor->retired = NULL;
    log_event(LOG_LEVEL_INFO, "reload complete", NULL);
}

static void restart_signer(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].is_signer && supervisor->children[i].state == CHILD_RUNNING) {
            /* It finishes what it has begun and is started again at once by reap(), with the new settings. */
            kill(supervisor->children[i].pid, SIGTERM);
            supervisor->children[i].failures = 0;
        }
}

static void reload(struct supervisor *supervisor) {
    struct error error;
    if (supervisor->drain_old_ms != 0)
        drain_old_workers(supervisor);
    struct config *config = config_load(supervisor->config->path, stderr, &error);
    if (config == NULL || !listeners_open(&supervisor->listeners, config, &error)) {
        log_event(LOG_LEVEL_ERROR, "reload refused, the former configuration stays in force", "reason",
                  error.message, NULL);
        config_free(config);
        for (size_t i = 0; i < supervisor->listeners.count; i++)
            supervisor->listeners.items[i].is_wanted = true;
        return;
    }
    log_event(LOG_LEVEL_INFO, "reloading", "config", config->path, NULL);
    bool is_new_signer = config_signer_differs(supervisor->config, config);
    supervisor->retired = supervisor->config;
    supervisor->config = config;
    enum log_level level;
    if (log_level_parse(config->log_level, &level))
        log_set_level(level);
    for (size_t i = 0; i < supervisor->count; i++)
        if (!supervisor->children[i].is_signer)
            supervisor->children[i].is_wanted = false;
    if (is_new_signer)
        restart_signer(supervisor);
    if (!start_workers(supervisor))
        log_event(LOG_LEVEL_ERROR, "out of memory while starting workers", NULL);
    supervisor->drain_old_ms = clock_monotonic_ms() + SUCCESSOR_WAIT_MS;
}

static void note_death(struct supervisor *supervisor, struct child *child, int status) {
    char text[64];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    bool is_expected = child->state == CHILD_DRAINING || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    log_event(is_expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, is_expected ? "a child ended" : "a child died",
              "child", kind_of(child), "how", text, NULL);
    if (child->ready_fd >= 0)
        close(child->ready_fd);
    child->ready_fd = -1;
    retract_metrics(supervisor, child);
    if (!child->is_wanted || supervisor->is_stopping) {
        child->state = CHILD_NONE;
        return;
    }
    if (!is_expected)
        metric_add(supervisor->restarts, 1);
    else
        child->failures = 0;
    schedule_restart(child);
}

static void reap(struct supervisor *supervisor) {
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG))
        for (size_t i = 0; i < supervisor->count; i++) {
            struct child *child = &supervisor->children[i];
            if (child->pid == pid && (child->state == CHILD_RUNNING || child->state == CHILD_DRAINING)) {
                note_death(supervisor, child, status);
                break;
            }
        }
}

static void note_ready(struct supervisor *supervisor) {
    bool are_all_ready = true;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        char byte;
        ssize_t got = child->ready_fd < 0 ? -1 : read(child->ready_fd, &byte, 1);
        if (got >= 0) {
            /* 0: it died before it was ready. An ended pipe would end every ppoll at once, and signals are
             * only delivered to one that waits. */
            child->is_ready = got == 1;
            close(child->ready_fd);
            child->ready_fd = -1;
        }
        if (child->is_wanted && child->state != CHILD_NONE && !child->is_ready)
            are_all_ready = false;
    }
    if (!are_all_ready)
        return;
    if (supervisor->drain_old_ms != 0)
        drain_old_workers(supervisor);
    if (!supervisor->has_notified)
        process_notify("READY=1");
    supervisor->has_notified = true;
}

/* Does what is due and returns how long to sleep. */
static int64_t run_timers(struct supervisor *supervisor) {
    int64_t now = clock_monotonic_ms(), next = now + 60000;
    if (supervisor->drain_old_ms != 0 && now >= supervisor->drain_old_ms)
        drain_old_workers(supervisor);
    if (supervisor->drain_old_ms != 0 && supervisor->drain_old_ms < next)
        next = supervisor->drain_old_ms;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->state == CHILD_WAITING && now >= child->restart_ms)
            start_child(supervisor, child);
        if (child->state == CHILD_DRAINING && now >= child->kill_ms)
            kill(child->pid, SIGKILL);
        if (child->state == CHILD_WAITING && child->restart_ms < next)
            next = child->restart_ms;
        if (child->state == CHILD_DRAINING && child->kill_ms < next)
            next = child->kill_ms > now ? child->kill_ms : now + 100;
    }
    return next > now ? next - now : 0;
}

static size_t count_living(const struct supervisor *supervisor, bool with_signer) {
    size_t living = 0;
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *child = &supervisor->children[i];
        if ((child->state == CHILD_RUNNING || child->state == CHILD_DRAINING) &&
            (with_signer || !child->is_signer))
            living++;
    }
    return living;
}

static void wait_for_event(struct supervisor *supervisor, int64_t sleep_ms, const sigset_t *while_waiting) {
    struct pollfd fds[512];
    nfds_t count = 0;
    for (size_t i = 0; i < supervisor->count && count < sizeof fds / sizeof fds[0]; i++)
        if (supervisor->children[i].ready_fd >= 0)
            fds[count++] = (struct pollfd){.fd = supervisor->children[i].ready_fd, .events = POLLIN};
    struct timespec timeout = {.tv_sec = sleep_ms / 1000, .tv_nsec = sleep_ms % 1000 * 1000000};
    if (ppoll(fds, count, &timeout, while_waiting) < 0 && errno != EINTR)
        log_event(LOG_LEVEL_ERROR, "ppoll failed", "reason", strerror(errno), NULL);
}

static void stop(struct supervisor *supervisor) {
    log_event(LOG_LEVEL_INFO, "stopping", NULL);
    process_notify("STOPPING=1");
    supervisor->is_stopping = true;
    /* Nobody accepts any more: who comes now is to be refused, not to wait in a queue and be reset. */
    listeners_close_all(&supervisor->listeners);
    for (size_t i = 0; i < supervisor->count; i++)
        if (!supervisor->children[i].is_signer)
            drain_child(supervisor, &supervisor->children[i]);
}

/* The signer goes last: draining workers still need it. */
static void stop_signer(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].is_signer && supervisor->children[i].is_wanted)
            drain_child(supervisor, &supervisor->children[i]);
}

static void handle_signals(struct supervisor *supervisor) {
    struct error error;
    if (got_child) {
        got_child = 0;
        reap(supervisor);
    }
    if (got_term && !supervisor->is_stopping)
        stop(supervisor);
    if (got_hup && !supervisor->is_stopping)
        reload(supervisor);
    got_hup = 0;
    if (got_usr1) {
        got_usr1 = 0;
        if (supervisor->config->log_file != NULL && !log_open_file(supervisor->config->log_file, &error))
            log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
        for (size_t i = 0; i < supervisor->count; i++)
            if (supervisor->children[i].state == CHILD_RUNNING)
                kill(supervisor->children[i].pid, SIGUSR1);
    }
}

static bool take_pid_file(struct supervisor *supervisor, struct error *error) {
    char path[256], text[32];
    const char *directory = supervisor->config->run_directory;
    if (mkdir(directory, 0755) != 0 && errno != EEXIST)
        return error_set(error, ERROR_UNAVAILABLE, "cannot make the run directory %s: %m", directory);
    snprintf(path, sizeof path, "%s/originca-server.pid", directory);
    supervisor->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (supervisor->pid_fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot open %s: %m", path);
    if (flock(supervisor->pid_fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(error, ERROR_CONFLICT, "another originca-server holds %s", path);
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(supervisor->pid_fd, 0) != 0 || write(supervisor->pid_fd, text, (size_t)length) != length)
        return error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
    return true;
}

static bool prepare(struct supervisor *supervisor, struct error *error) {
    enum log_level level = LOG_LEVEL_INFO;
    if (!log_level_parse(supervisor->config->log_level, &level))
        return error_set(error, ERROR_INVALID, "unknown log level");
    log_set_process("supervisor");
    log_set_level(level);
    if (supervisor->config->log_file != NULL && !log_open_file(supervisor->config->log_file, error))
        return false;
    process_raise_file_limit();
    supervisor->metrics = metrics_new(error);
    if (supervisor->metrics == NULL || !take_pid_file(supervisor, error))
        return false;
    supervisor->restarts = metrics_counter(supervisor->metrics, "originca_child_deaths_total",
                                           "Processes that died and were started again");
    if (!listeners_open(&supervisor->listeners, supervisor->config, error))
        return false;
    return listeners_open_signer(supervisor->config, &supervisor->signer_sockets, error);
}

int supervisor_run(struct config *config) {
    struct supervisor supervisor = {.config = config, .pid_fd = -1};
    struct error error;
    sigset_t while_waiting;
    catch_signals(&while_waiting);
    if (!prepare(&supervisor, &error)) {
        log_event(LOG_LEVEL_ERROR, "cannot start", "reason", error.message, NULL);
        listeners_close_all(&supervisor.listeners);
        config_free(supervisor.config);
        return 1;
    }
    log_event(LOG_LEVEL_INFO, "starting", "version", ORIGINCA_VERSION, "config", config->path, NULL);
    struct child *signer = add_child(&supervisor, true, 0);
    if (signer == NULL)
        return 1;
    start_child(&supervisor, signer);
    if (!start_workers(&supervisor))
        return 1;
    while (!supervisor.is_stopping || count_living(&supervisor, true) > 0) {
        if (supervisor.is_stopping && count_living(&supervisor, false) == 0)
            stop_signer(&supervisor);
        int64_t sleep_ms = run_timers(&supervisor);
        wait_for_event(&supervisor, sleep_ms, &while_waiting);
        handle_signals(&supervisor);
        note_ready(&supervisor);
    }
    listeners_close_all(&supervisor.listeners);
    close_signer_sockets(&supervisor);
    config_free(supervisor.retired);
    config_free(supervisor.config);
    free(supervisor.children);
    log_event(LOG_LEVEL_INFO, "stopped", NULL);
    return 0;
}
