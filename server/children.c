/* The supervisor's children: how each kind starts, what it tells, and when it is started again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "originca/log.h"
#include "originca/signer.h"
#include "process.h"
#include "supervisor_internal.h"
#include "worker_main.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 10000
#define STEADY_MS 10000 /* a child that lived so long starts its back-off anew */

static void forget_siblings(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].ready_fd >= 0)
            close(supervisor->children[i].ready_fd);
    close(supervisor->pid_fd);
}

static const struct config *config_of(const struct supervisor *supervisor, const struct child *child) {
    return child->is_next ? supervisor->reload.next : supervisor->config;
}

static void close_listeners(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->listeners.count; i++)
        close(supervisor->listeners.items[i].fd);
}

void supervisor_close_signer_sockets(const struct supervisor *supervisor) {
    for (int link = 0; link < SIGNER_LINKS; link++)
        close(supervisor->signer_sockets.fds[link]);
}

static _Noreturn void fail_to_start(int ready_fd, const struct error *error) {
    log_event(LOG_LEVEL_ERROR, "the process cannot start", "reason", error->message, NULL);
    if (ready_fd >= 0)
        process_tell(ready_fd, PROCESS_FAILED, error->message);
    exit(1);
}

static _Noreturn void run_signer(struct supervisor *supervisor) {
    struct error error;
    forget_siblings(supervisor);
    close_listeners(supervisor);
    if (!process_become("signer", &supervisor->config->run_as[CONFIG_SIGNER], &error))
        fail_to_start(-1, &error);
    exit(signer_main(supervisor->config, &supervisor->signer_sockets, supervisor->metrics));
}

static _Noreturn void run_signer_check(struct supervisor *supervisor, int ready_fd) {
    struct error error;
    const struct config *config = supervisor->reload.next;
    forget_siblings(supervisor);
    close_listeners(supervisor);
    supervisor_close_signer_sockets(supervisor);
    if (!process_become("check", &config->run_as[CONFIG_SIGNER], &error))
        fail_to_start(ready_fd, &error);
    bool is_good = signer_try_settings(config, supervisor->metrics, &error);
    bool is_token_away = !is_good && (error.code == ERROR_UNAVAILABLE || error.code == ERROR_REFUSED ||
                                      error.code == ERROR_NOT_FOUND);
    process_tell(ready_fd,
                 is_good         ? PROCESS_SERVES
                 : is_token_away ? PROCESS_NO_TOKEN
                                 : PROCESS_FAILED,
                 is_good ? "" : error.message);
    _exit(is_good ? 0 : 1); /* the module's own end is not awaited */
}

static _Noreturn void run_worker(struct supervisor *supervisor, const struct child *child, int ready_fd) {
    struct error error;
    char name[32];
    const struct config *config = config_of(supervisor, child);
    forget_siblings(supervisor);
    supervisor_close_signer_sockets(supervisor);
    listeners_keep_worker(&supervisor->listeners, child->slot, child->is_next);
    snprintf(name, sizeof name, "worker-%u", child->slot);
    if (!process_become(name, &config->run_as[CONFIG_WORKERS], &error))
        fail_to_start(ready_fd, &error);
    exit(worker_main(config, &supervisor->listeners, supervisor->metrics, child->slot, ready_fd,
                     child->is_next));
}

static _Noreturn void run_admin(struct supervisor *supervisor, const struct child *child, int ready_fd) {
    struct error error;
    const struct config *config = config_of(supervisor, child);
    forget_siblings(supervisor);
    supervisor_close_signer_sockets(supervisor);
    listeners_keep_admin(&supervisor->listeners, child->is_next);
    if (!process_become("admin", &config->run_as[CONFIG_ADMIN], &error))
        fail_to_start(ready_fd, &error);
    exit(admin_main(config, &supervisor->listeners, supervisor->metrics, ready_fd, child->is_next));
}

static _Noreturn void run_child(struct supervisor *supervisor, const struct child *child, int ready_fd) {
    switch (child->kind) {
    case CHILD_SIGNER:
        run_signer(supervisor);
    case CHILD_SIGNER_CHECK:
        run_signer_check(supervisor, ready_fd);
    case CHILD_WORKER:
        run_worker(supervisor, child, ready_fd);
    case CHILD_ADMIN:
        run_admin(supervisor, child, ready_fd);
    }
    abort();
}

const char *supervisor_kind_of(const struct child *child) {
    static const char *const names[] = {[CHILD_SIGNER] = "signer",
                                        [CHILD_SIGNER_CHECK] = "check of the signer's settings",
                                        [CHILD_WORKER] = "worker",
                                        [CHILD_ADMIN] = "admin process"};
    return names[child->kind];
}

const char *supervisor_describe_child(const struct child *child) {
    static char text[32];
    if (child->kind != CHILD_WORKER)
        return supervisor_kind_of(child);
    snprintf(text, sizeof text, "worker-%u", child->slot);
    return text;
}

void supervisor_schedule_restart(struct child *child) {
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

static void could_not_start(struct child *child) {
    log_event(LOG_LEVEL_ERROR, "cannot start a process", "child", supervisor_kind_of(child), "reason",
              strerror(errno), NULL);
    if (child->is_next)
        child->state = CHILD_NONE; /* the reload is given up */
    else
        supervisor_schedule_restart(child);
}

void supervisor_start_child(struct supervisor *supervisor, struct child *child) {
    int ready[2] = {-1, -1};
    child->started_ms = clock_monotonic_ms();
    if (child->kind != CHILD_SIGNER && pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0) {
        could_not_start(child);
        return;
    }
    if (child->kind == CHILD_SIGNER)
        reload_digest_files(supervisor->config, supervisor->signer_files);
    pid_t pid = fork();
    if (pid == 0) {
        if (ready[0] >= 0)
            close(ready[0]);
        run_child(supervisor, child, ready[1]);
    }
    if (ready[1] >= 0)
        close(ready[1]);
    if (pid < 0) {
        if (ready[0] >= 0)
            close(ready[0]);
        could_not_start(child);
        return;
    }
    child->pid = pid;
    child->ready_fd = ready[0];
    child->state = CHILD_RUNNING;
    child->is_ready = child->kind == CHILD_SIGNER;
    child->has_waited = child->has_failed = false;
    child->reason[0] = '\0';
    child->dns = CHILD_DNS_UNKNOWN;
    child->heard_length = 0;
    child->kill_ms = 0;
}

struct child *supervisor_add_child(struct supervisor *supervisor, enum child_kind kind, unsigned slot) {
    struct child *child = NULL;
    for (size_t i = 0; child == NULL && i < supervisor->count; i++)
        if (supervisor->children[i].state == CHILD_NONE)
            child = &supervisor->children[i];
    if (child == NULL && supervisor->count == supervisor->capacity) {
        size_t capacity = supervisor->capacity == 0 ? 16 : supervisor->capacity * 2;
        struct child *larger = realloc(supervisor->children, capacity * sizeof *larger);
        if (larger == NULL)
            return NULL;
        supervisor->children = larger;
        supervisor->capacity = capacity;
    }
    if (child == NULL)
        child = &supervisor->children[supervisor->count++];
    *child = (struct child){.kind = kind, .slot = slot, .is_wanted = true, .ready_fd = -1};
    return child;
}

static void hear_line(struct child *child, const char *line) {
    switch (line[0]) {
    case PROCESS_SERVES:
        child->is_ready = true;
        return;
    case PROCESS_WAITED:
        child->has_waited = true;
        return;
    case PROCESS_DNS:
        child->dns = line[1] == '\0' ? CHILD_DNS_USABLE : CHILD_DNS_AWAY;
        snprintf(child->dns_reason, sizeof child->dns_reason, "%s", line + 1);
        return;
    case PROCESS_NO_TOKEN:
        child->has_waited = child->has_failed = true;
        break;
    case PROCESS_FAILED:
        child->has_failed = true;
        break;
    default:
        break;
    }
    snprintf(child->reason, sizeof child->reason, "%s", line + 1);
}

/* A line may come in pieces; one that does not end is no line of ours. */
void supervisor_hear_child(struct child *child) {
    ssize_t got;
    while (child->ready_fd >= 0 && (got = read(child->ready_fd, child->heard + child->heard_length,
                                               sizeof child->heard - child->heard_length)) >= 0) {
        child->heard_length += (size_t)got;
        for (char *end; (end = memchr(child->heard, '\n', child->heard_length)) != NULL;) {
            *end = '\0';
            hear_line(child, child->heard);
            child->heard_length -= (size_t)(end + 1 - child->heard);
            memmove(child->heard, end + 1, child->heard_length);
        }
        if (got > 0 && child->heard_length < sizeof child->heard)
            continue;
        /* An ended pipe would end every ppoll at once, and signals are only delivered to one that waits. */
        close(child->ready_fd);
        child->ready_fd = -1;
    }
}
