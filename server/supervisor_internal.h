/* What the supervisor's loop (supervisor.c) and its reload (reload.c) share. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "listeners.h"
#include "originca/metrics.h"
#include "originca/text.h"

enum child_state { CHILD_NONE, CHILD_RUNNING, CHILD_DRAINING, CHILD_WAITING /* for its restart */ };

enum child_dns { CHILD_DNS_UNKNOWN, CHILD_DNS_USABLE, CHILD_DNS_AWAY };

enum child_kind {
    CHILD_SIGNER,
    CHILD_SIGNER_CHECK, /* of a reload: tries the signer's new settings as the signer's user, and ends */
    CHILD_WORKER,
    CHILD_ADMIN
};

struct child {
    enum child_state state;
    enum child_kind kind;
    bool is_wanted; /* false: not started again */
    bool is_next;   /* of the configuration that a reload tries; not started again either */
    unsigned slot;
    pid_t pid;
    int ready_fd;
    bool is_ready, has_waited;         /* it serves; it only accepts, and has waited for what it lacks */
    bool has_failed;                   /* it says so itself, with the reason */
    char reason[ERROR_MESSAGE_MAX];    /* why it does not serve, or failed; "" */
    char heard[ERROR_MESSAGE_MAX + 2]; /* the beginning of its next line */
    size_t heard_length;
    enum child_dns dns; /* a worker's, as it said during this reload */
    char dns_reason[ERROR_MESSAGE_MAX];
    int64_t started_ms, restart_ms, kill_ms;
    unsigned failures;
};

enum reload_phase {
    RELOAD_NONE,
    RELOAD_CHECKING, /* the signer's new settings */
    RELOAD_STARTING  /* the new workers and admin process, beside those in force */
};

struct reload {
    enum reload_phase phase;
    bool is_asked; /* by SIGHUP, perhaps while another one is under way */
    struct config *next;
    bool is_new_signer;
    bool is_check_over, is_token_away;
    char failure[ERROR_MESSAGE_MAX]; /* of a process of the new generation; "" */
    int64_t begun_ms, deadline_ms;
    struct metric *failures_total, *success_gauge, *time_gauge;
};

struct supervisor {
    struct config *config; /* in force */
    struct listeners listeners;
    struct metrics *metrics;
    struct metric *restarts;
    struct signer_sockets signer_sockets;
    int pid_fd;
    uint8_t signer_files[SHA256_BYTES]; /* which ones the signer has read (reload_digest_files) */
    struct child *children;
    size_t count, capacity;
    struct reload reload;
    bool is_stopping, has_notified;
};

/* --- children.c --- */
/* NULL when memory is out. May move the others. */
struct child *supervisor_add_child(struct supervisor *supervisor, enum child_kind kind, unsigned slot);
void supervisor_start_child(struct supervisor *supervisor, struct child *child);
/* At once after a steady life, later after each death. */
void supervisor_schedule_restart(struct child *child);
/* Takes what it has told on its pipe. */
void supervisor_hear_child(struct child *child);
void supervisor_close_signer_sockets(const struct supervisor *supervisor);
const char *supervisor_kind_of(const struct child *child);
const char *supervisor_describe_child(const struct child *child); /* "worker-0"; until the next call */

/* --- supervisor.c --- */
/* Retires it: it finishes its requests. */
void supervisor_drain_child(struct supervisor *supervisor, struct child *child);

/* --- reload.c --- */
void reload_init(struct supervisor *supervisor);
/* One step, where one is due: called in each round of the loop. */
void reload_advance(struct supervisor *supervisor);
/* A process of the generation that is tried has ended. `how`: "exit 1", "signal 9". */
void reload_note_end(struct supervisor *supervisor, const struct child *child, const char *how);
/* The server stops: what was begun is given up. */
void reload_abandon(struct supervisor *supervisor);
/* When reload_advance is due at the latest; INT64_MAX: no reload is under way. */
int64_t reload_deadline(const struct supervisor *supervisor);
/* Digest of which files the signer reads once at its start: a reload restarts it where another one is there.
 */
void reload_digest_files(const struct config *config, uint8_t out[SHA256_BYTES]);
