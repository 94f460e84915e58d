/* The supervisor's loop: children in slots, restarts with back-off, drain. A reload is reload.c's. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "originca/ledger_writer.h"
#include "originca/log.h"
#include "originca/signer.h"
#include "originca/text.h"
#include "process.h"
#include "supervisor_internal.h"
#include "worker_main.h"

#define KILL_AFTER_MS 2000 /* beyond the drain time */

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

static bool start_new(struct supervisor *supervisor, enum child_kind kind, unsigned slot) {
    struct child *child = supervisor_add_child(supervisor, kind, slot);
    if (child != NULL)
        supervisor_start_child(supervisor, child);
    return child != NULL;
}

static bool start_all(struct supervisor *supervisor) {
    if (!start_new(supervisor, CHILD_SIGNER, 0))
        return false;
    for (unsigned slot = 0; slot < supervisor->config->workers; slot++)
        if (!start_new(supervisor, CHILD_WORKER, slot))
            return false;
    return start_new(supervisor, CHILD_ADMIN, 0);
}

/* What it said of itself last is not true any more. */
static void retract_metrics(const struct supervisor *supervisor, const struct child *child) {
    char who[16] = "admin";
    if (child->kind != CHILD_WORKER && child->kind != CHILD_ADMIN)
        return;
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *other = &supervisor->children[i];
        if (other != child && other->kind == child->kind && other->state != CHILD_NONE && other->is_wanted &&
            other->slot == child->slot)
            return; /* a successor, or whom it was to succeed, speaks for the slot */
    }
    if (child->kind == CHILD_WORKER)
        snprintf(who, sizeof who, "%u", child->slot);
    worker_retract_metrics(supervisor->metrics, who, child->is_wanted && !child->is_next);
}

void supervisor_drain_child(struct supervisor *supervisor, struct child *child) {
    child->is_wanted = false;
    if (child->state == CHILD_WAITING) {
        child->state = CHILD_NONE;
        retract_metrics(supervisor, child);
    }
    if (child->state == CHILD_DRAINING && supervisor->is_stopping && child->kind != CHILD_SIGNER)
        kill(child->pid, SIGTERM); /* retired by a reload and still there */
    if (child->state != CHILD_RUNNING)
        return;
    kill(child->pid, child->kind == CHILD_SIGNER || supervisor->is_stopping ? SIGTERM : SIGUSR2);
    child->state = CHILD_DRAINING;
    child->kill_ms = clock_monotonic_ms() + (int64_t)supervisor->config->drain_seconds * 1000 + KILL_AFTER_MS;
}

static void note_death(struct supervisor *supervisor, struct child *child, int status) {
    char text[64];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    bool was_next = child->is_next;
    bool is_expected =
        child->state == CHILD_DRAINING || (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || was_next));
    log_event(is_expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, is_expected ? "a child ended" : "a child died",
              "child", supervisor_kind_of(child), "how", text, NULL);
    supervisor_hear_child(child);
    if (was_next)
        reload_note_end(supervisor, child, text);
    if (child->ready_fd >= 0)
        close(child->ready_fd);
    child->ready_fd = -1;
    retract_metrics(supervisor, child);
    child->is_next = false;
    if (!child->is_wanted || was_next || supervisor->is_stopping) {
        child->state = CHILD_NONE;
        return;
    }
    if (!is_expected)
        metric_add(supervisor->restarts, 1);
    else
        child->failures = 0;
    supervisor_schedule_restart(child);
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
        supervisor_hear_child(child);
        if (child->is_wanted && child->state != CHILD_NONE && !child->is_next && !child->is_ready &&
            !child->has_waited)
            are_all_ready = false;
    }
    if (!are_all_ready)
        return;
    if (!supervisor->has_notified)
        process_notify("READY=1");
    supervisor->has_notified = true;
}

/* Does what is due and returns how long to sleep. */
static int64_t run_timers(struct supervisor *supervisor) {
    int64_t now = clock_monotonic_ms(), next = now + 60000;
    if (reload_deadline(supervisor) < next)
        next = reload_deadline(supervisor);
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->state == CHILD_WAITING && now >= child->restart_ms)
            supervisor_start_child(supervisor, child);
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
            (with_signer || child->kind != CHILD_SIGNER))
            living++;
    }
    return living;
}

static void wait_for_event(struct supervisor *supervisor, int64_t sleep_ms, const sigset_t *while_waiting) {
    struct pollfd fds[2048];
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
    reload_abandon(supervisor);
    supervisor->reload.is_asked = false;
    supervisor->is_stopping = true;
    /* Nobody accepts any more: who comes now is to be refused, not to wait in a queue and be reset. */
    listeners_close_all(&supervisor->listeners);
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].kind != CHILD_SIGNER)
            supervisor_drain_child(supervisor, &supervisor->children[i]);
}

/* The signer goes last: draining workers still need it. */
static void stop_signer(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].kind == CHILD_SIGNER && supervisor->children[i].is_wanted)
            supervisor_drain_child(supervisor, &supervisor->children[i]);
}

static void handle_signals(struct supervisor *supervisor) {
    struct error error;
    if (got_child) {
        got_child = 0;
        reap(supervisor);
    }
    if (got_term && !supervisor->is_stopping)
        stop(supervisor);
    if (got_hup) {
        got_hup = 0;
        supervisor->reload.is_asked = !supervisor->is_stopping;
    }
    if (got_usr1) {
        got_usr1 = 0;
        if (supervisor->config->log_file != NULL && !log_open_file(supervisor->config->log_file, &error))
            log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
        for (size_t i = 0; i < supervisor->count; i++)
            if (supervisor->children[i].state == CHILD_RUNNING &&
                supervisor->children[i].kind != CHILD_SIGNER_CHECK)
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
    /* Of the open file, not of the process: `originca-server reload` asks for its holder without taking it.
     */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(supervisor->pid_fd, F_OFD_SETLK, &lock) != 0)
        return error_set(error, ERROR_CONFLICT, "another originca-server holds %s", path);
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(supervisor->pid_fd, 0) != 0 || write(supervisor->pid_fd, text, (size_t)length) != length)
        return error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
    return true;
}

/* Where the admin process puts revocation lists for the workers. */
static bool make_list_folder(const struct config *config, struct error *error) {
    char path[256];
    const struct config_user *owner = &config->run_as[CONFIG_ADMIN];
    snprintf(path, sizeof path, "%s/crl", config->run_directory);
    /* Its mode before its owner: root in a unit may give files away and not change those of others. */
    if (mkdir(path, 0755) == 0 ? chmod(path, 0755) != 0 : errno != EEXIST)
        return error_set(error, ERROR_UNAVAILABLE, "cannot make %s: %m", path);
    return owner->name == NULL || lchown(path, owner->uid, owner->gid) == 0 ||
           error_set(error, ERROR_UNAVAILABLE, "cannot give %s to user %s: %m", path, owner->name);
}

static bool prepare(struct supervisor *supervisor, struct error *error) {
    enum log_level level = LOG_LEVEL_INFO;
    if (!log_level_parse(supervisor->config->log_level, &level))
        return error_set(error, ERROR_INVALID, "unknown log level");
    log_set_process("supervisor");
    log_set_level(level);
    if (supervisor->config->log_file != NULL && !log_open_file(supervisor->config->log_file, error))
        return false;
    if (!process_check_users(supervisor->config, error))
        return false;
    for (size_t i = 0; i < CONFIG_PROCESSES; i++)
        if (supervisor->config->run_as[i].uid == 0) {
            log_event(LOG_LEVEL_WARNING, "processes run as root: set server.user, admin_user and signer_user",
                      NULL);
            break;
        }
    process_raise_file_limit();
    supervisor->metrics = metrics_new(error);
    if (supervisor->metrics == NULL || !take_pid_file(supervisor, error) ||
        !make_list_folder(supervisor->config, error))
        return false;
    supervisor->restarts = metrics_counter(supervisor->metrics, "originca_child_deaths_total",
                                           "Processes that died and were started again");
    reload_init(supervisor);
    if (!listeners_open(&supervisor->listeners, supervisor->config, error))
        return false;
    return listeners_open_signer(supervisor->config, &supervisor->signer_sockets, error);
}

int supervisor_run(struct config *config) {
    struct supervisor supervisor = {.config = config, .pid_fd = -1};
    struct error error;
    sigset_t while_waiting;
    catch_signals(&while_waiting);
    ledger_writer_begin(config);
    if (!prepare(&supervisor, &error)) {
        log_event(LOG_LEVEL_ERROR, "cannot start", "reason", error.message, NULL);
        listeners_close_all(&supervisor.listeners);
        config_free(supervisor.config);
        return 1;
    }
    log_event(LOG_LEVEL_INFO, "starting", "version", ORIGINCA_VERSION, "config", config->path, NULL);
    if (!start_all(&supervisor))
        return 1;
    while (!supervisor.is_stopping || count_living(&supervisor, true) > 0) {
        if (supervisor.is_stopping && count_living(&supervisor, false) == 0)
            stop_signer(&supervisor);
        int64_t sleep_ms = run_timers(&supervisor);
        wait_for_event(&supervisor, sleep_ms, &while_waiting);
        handle_signals(&supervisor);
        note_ready(&supervisor);
        reload_advance(&supervisor);
    }
    listeners_close_all(&supervisor.listeners);
    supervisor_close_signer_sockets(&supervisor);
    config_free(supervisor.config);
    free(supervisor.children);
    log_event(LOG_LEVEL_INFO, "stopped", NULL);
    return 0;
}
