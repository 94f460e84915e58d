/* A reload: the new configuration is tried beside the one in force, and takes over only when it serves.
 *
 * First a process of the signer's user checks the signer's new settings. Then a second generation of workers
 * and admin process starts on the same sockets. When all of it serve, the former ones drain, and the signer
 * is started again where its settings changed. Whatever fails before that ends the new generation and leaves
 * all as it was: nothing of the former one has been touched.
 *
 * A Redis that is away for both does not count against the new generation: where no worker in force serves
 * either, it is enough that the new ones accept. Likewise a token that the running signer cannot use, and a
 * DNS that no worker in force can use: each generation asks the root, with its own settings, while the new
 * one starts. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "originca/log.h"
#include "process.h"
#include "reload_outcome.h"
#include "supervisor_internal.h"
#include "worker_main.h"

#define TOKEN_OPENED_MS 5000

void reload_init(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    reload->failures_total = metrics_counter(supervisor->metrics, "originca_reload_failures_total",
                                             "Reloads that failed: the former configuration stayed in force");
    reload->success_gauge =
        metrics_gauge(supervisor->metrics, "originca_last_reload_successful",
                      "1: the newest configuration is in force; 0: the last reload failed");
    reload->time_gauge = metrics_gauge(supervisor->metrics, "originca_last_reload_timestamp_seconds",
                                       "When the last reload, or the start, was over");
    metric_set(reload->success_gauge, 1);
    metric_set(reload->time_gauge, clock_wall_ms() / 1000);
}

static void add_file(struct text *text, const char *path) {
    struct stat status = {0};
    if (path != NULL && stat(path, &status) == 0)
        text_printf(text, "%llu %llu %lld %lld.%09ld ", (unsigned long long)status.st_dev,
                    (unsigned long long)status.st_ino, (long long)status.st_size,
                    (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    text_printf(text, "%s\n", path == NULL ? "" : path);
}

void reload_digest_files(const struct config *config, uint8_t out[SHA256_BYTES]) {
    struct arena *arena = arena_new(0);
    struct text text;
    text_init(&text, arena);
    add_file(&text, config->public_suffix_file);
    add_file(&text, config->key_blocklist_file);
    for (size_t i = 0; i < config->issuer_count; i++)
        add_file(&text, config->issuers[i].certificate_file);
    sha256(text.data == NULL ? "" : text.data, text.length, out);
    arena_free(arena);
}

static void set_log_level(const struct config *config) {
    enum log_level level;
    if (log_level_parse(config->log_level, &level))
        log_set_level(level);
}

static bool open_log(const struct config *from, const struct config *to, struct error *error) {
    bool is_same =
        to->log_file == NULL || (from->log_file != NULL && strcmp(from->log_file, to->log_file) == 0);
    return is_same || log_open_file(to->log_file, error);
}

static void report(struct supervisor *supervisor, const char *failure) {
    struct reload *reload = &supervisor->reload;
    struct error error;
    metric_set(reload->success_gauge, failure == NULL);
    metric_set(reload->time_gauge, clock_wall_ms() / 1000);
    if (failure == NULL) {
        log_event(LOG_LEVEL_INFO, "reload complete", NULL);
    } else {
        metric_add(reload->failures_total, 1);
        log_event(LOG_LEVEL_ERROR, "reload refused, the former configuration stays in force", "reason",
                  failure, NULL);
    }
    const struct reload_outcome outcome = {.begun_ms = reload->begun_ms, .is_good = failure == NULL};
    if (!reload_outcome_write(supervisor->config->run_directory, &outcome, failure == NULL ? "" : failure,
                              &error))
        log_event(LOG_LEVEL_ERROR, "`originca-server reload` will not hear of this reload", "reason",
                  error.message, NULL);
    reload->phase = RELOAD_NONE;
}

/* What was tried goes; what is in force was never touched. */
static void give_up(struct supervisor *supervisor, const char *why) {
    struct reload *reload = &supervisor->reload;
    struct error error;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (!child->is_next || child->state == CHILD_NONE)
            continue;
        child->is_next = false;
        supervisor_drain_child(supervisor, child);
        if (child->kind == CHILD_SIGNER_CHECK && child->state == CHILD_DRAINING)
            kill(child->pid, SIGKILL);
    }
    listeners_drop_next(&supervisor->listeners);
    set_log_level(supervisor->config);
    if (reload->next != NULL && !open_log(reload->next, supervisor->config, &error))
        log_event(LOG_LEVEL_ERROR, "cannot go back to the former log", "reason", error.message, NULL);
    config_free(reload->next);
    reload->next = NULL;
    report(supervisor, why);
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What the running processes hold on to. */
static bool check_fixed(const struct config *now, const struct config *next, struct error *error) {
    const struct {
        const char *name, *now, *next;
    } fixed[] = {{"server.run_directory", now->run_directory, next->run_directory},
                 {"server.user", now->user, next->user},
                 {"server.admin_user", now->admin_user, next->admin_user},
                 {"server.signer_user", now->signer_user, next->signer_user},
                 {"signer.ledger_directory", now->ledger_directory, next->ledger_directory},
                 {"signer.host_name", now->host_name, next->host_name}};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!is_same_text(fixed[i].now, fixed[i].next))
            return error_set(error, ERROR_INVALID,
                             "%s cannot change while the server runs; change it back or restart the server",
                             fixed[i].name);
    return true;
}

static int64_t patience_ms(const struct reload *reload) {
    return 2 * (int64_t)reload->next->ready_wait_seconds * 1000;
}

static int64_t dns_deadline(const struct reload *reload) {
    return reload->deadline_ms - patience_ms(reload) / 2;
}

static bool start_next(struct supervisor *supervisor, enum child_kind kind, unsigned slot) {
    struct child *child = supervisor_add_child(supervisor, kind, slot);
    if (child == NULL)
        return false;
    child->is_next = true;
    supervisor_start_child(supervisor, child);
    return child->state == CHILD_RUNNING;
}

static void begin(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    struct error error;
    reload->is_asked = false;
    reload->is_check_over = reload->is_token_away = false;
    reload->failure[0] = '\0';
    reload->begun_ms = clock_monotonic_ms();
    reload->next = config_load(supervisor->config->path, stderr, &error);
    if (reload->next == NULL || !check_fixed(supervisor->config, reload->next, &error) ||
        !process_check_users(reload->next, &error)) {
        give_up(supervisor, error.message);
        return;
    }
    log_event(LOG_LEVEL_INFO, "reloading", "config", reload->next->path, NULL);
    reload->phase = RELOAD_CHECKING;
    reload->deadline_ms = reload->begun_ms + patience_ms(reload);
    if (!start_next(supervisor, CHILD_SIGNER_CHECK, 0))
        give_up(supervisor, "no process could be started to check the signer's settings");
}

static bool is_former_worker(const struct child *child) {
    return child->kind == CHILD_WORKER && child->state == CHILD_RUNNING && !child->is_next;
}

static void ask_former_for_dns(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (!is_former_worker(child))
            continue;
        child->dns = CHILD_DNS_UNKNOWN;
        kill(child->pid, SIGHUP);
    }
}

static void start_generation(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    struct error error;
    reload->phase = RELOAD_STARTING;
    reload->deadline_ms = clock_monotonic_ms() + patience_ms(reload);
    if (!open_log(supervisor->config, reload->next, &error) ||
        !listeners_open_next(&supervisor->listeners, reload->next, &error)) {
        give_up(supervisor, error.message);
        return;
    }
    set_log_level(reload->next);
    ask_former_for_dns(supervisor);
    for (unsigned slot = 0; slot < reload->next->workers; slot++)
        if (!start_next(supervisor, CHILD_WORKER, slot)) {
            give_up(supervisor, "a new worker could not be started");
            return;
        }
    if (!start_next(supervisor, CHILD_ADMIN, 0))
        give_up(supervisor, "a new admin process could not be started");
}

/* A successor says nothing of its slot before it serves, so these are the words of those in force. */
static bool is_anybody_serving(const struct supervisor *supervisor) {
    for (unsigned slot = 0; slot < supervisor->config->workers; slot++)
        if (worker_serves(supervisor->metrics, slot))
            return true;
    return false;
}

static const struct child *find_next_worker(const struct supervisor *supervisor, enum child_dns dns) {
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *child = &supervisor->children[i];
        if (child->is_next && child->kind == CHILD_WORKER && child->state == CHILD_RUNNING &&
            child->dns == dns)
            return child;
    }
    return NULL;
}

/* The best that one of them said; unknown where none can use it and one has not answered. A worker that has
 * just started does not listen for the question, so the answer is not awaited for ever. */
static enum child_dns dns_of_former(const struct supervisor *supervisor) {
    bool is_over = clock_monotonic_ms() >= dns_deadline(&supervisor->reload), is_unknown = false;
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *child = &supervisor->children[i];
        if (!is_former_worker(child))
            continue;
        if (child->dns == CHILD_DNS_USABLE)
            return CHILD_DNS_USABLE;
        is_unknown = is_unknown || child->dns == CHILD_DNS_UNKNOWN;
    }
    return is_unknown && !is_over ? CHILD_DNS_UNKNOWN : CHILD_DNS_AWAY;
}

static void restart_signer(struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->kind != CHILD_SIGNER || child->state != CHILD_RUNNING)
            continue;
        /* It finishes what it has begun and is started again at once, with the new settings. */
        kill(child->pid, SIGTERM);
        child->failures = 0;
    }
}

static bool needs_new_signer(const struct supervisor *supervisor) {
    uint8_t files[SHA256_BYTES];
    reload_digest_files(supervisor->reload.next, files);
    return config_signer_differs(supervisor->config, supervisor->reload.next) ||
           memcmp(files, supervisor->signer_files, sizeof files) != 0;
}

static void take_over(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    bool is_new_signer = needs_new_signer(supervisor);
    config_free(supervisor->config);
    supervisor->config = reload->next;
    reload->next = NULL;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        bool serves = child->kind == CHILD_WORKER || child->kind == CHILD_ADMIN;
        if (serves && child->state != CHILD_NONE && !child->is_next)
            supervisor_drain_child(supervisor, child);
        child->is_next = false;
    }
    listeners_take_next(&supervisor->listeners);
    if (is_new_signer)
        restart_signer(supervisor);
    report(supervisor, NULL);
}

/* A signer that has just started has not opened it yet. */
static bool was_token_away(const struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->children[i].kind == CHILD_SIGNER &&
            clock_monotonic_ms() - supervisor->children[i].started_ms < TOKEN_OPENED_MS)
            return false;
    return metrics_value(supervisor->metrics, "originca_token_usable") == 0;
}

static void judge_check(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    if (!reload->is_check_over)
        return;
    if (reload->failure[0] == '\0' || (reload->is_token_away && was_token_away(supervisor))) {
        reload->failure[0] = '\0';
        start_generation(supervisor);
    } else {
        give_up(supervisor, reload->failure);
    }
}

/* Everything else is good. */
static void judge_dns(struct supervisor *supervisor) {
    char why[2 * ERROR_MESSAGE_MAX];
    const struct child *lacking = find_next_worker(supervisor, CHILD_DNS_AWAY);
    if (lacking == NULL) {
        if (find_next_worker(supervisor, CHILD_DNS_UNKNOWN) == NULL)
            take_over(supervisor);
        return;
    }
    const enum child_dns former = dns_of_former(supervisor);
    if (former == CHILD_DNS_AWAY)
        take_over(supervisor);
    if (former != CHILD_DNS_USABLE)
        return;
    snprintf(why, sizeof why, "the new %s cannot use DNS, although the former ones can: %s",
             supervisor_describe_child(lacking), lacking->dns_reason);
    give_up(supervisor, why);
}

static void judge_workers(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    const struct child *lacking = NULL;
    char why[2 * ERROR_MESSAGE_MAX];
    if (reload->failure[0] != '\0') {
        give_up(supervisor, reload->failure);
        return;
    }
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *child = &supervisor->children[i];
        if (!child->is_next || child->state == CHILD_NONE || child->is_ready)
            continue;
        if (!child->has_waited)
            return;
        lacking = child;
    }
    if (lacking == NULL || !is_anybody_serving(supervisor)) {
        judge_dns(supervisor);
        return;
    }
    snprintf(why, sizeof why, "the new %s does not serve, although the former ones do: %s",
             supervisor_describe_child(lacking), lacking->reason);
    give_up(supervisor, why);
}

static void judge_delay(struct supervisor *supervisor) {
    char why[ERROR_MESSAGE_MAX];
    bool is_checking = supervisor->reload.phase == RELOAD_CHECKING;
    if (clock_monotonic_ms() < supervisor->reload.deadline_ms)
        return;
    snprintf(why, sizeof why, "%s in %lld seconds (twice server.ready_wait_seconds)",
             is_checking ? "the check of the signer's settings (its token, ...) did not end"
                         : "a new worker was not set up",
             (long long)patience_ms(&supervisor->reload) / 1000);
    give_up(supervisor, why);
}

void reload_advance(struct supervisor *supervisor) {
    struct reload *reload = &supervisor->reload;
    if (reload->phase == RELOAD_NONE && reload->is_asked && !supervisor->is_stopping)
        begin(supervisor);
    if (reload->phase == RELOAD_CHECKING)
        judge_check(supervisor);
    if (reload->phase == RELOAD_STARTING)
        judge_workers(supervisor);
    if (reload->phase != RELOAD_NONE)
        judge_delay(supervisor);
}

void reload_note_end(struct supervisor *supervisor, const struct child *child, const char *how) {
    struct reload *reload = &supervisor->reload;
    bool is_check = child->kind == CHILD_SIGNER_CHECK;
    if (is_check)
        reload->is_check_over = true;
    if (reload->failure[0] != '\0' || (is_check && child->is_ready))
        return;
    reload->is_token_away = is_check && child->has_waited;
    if (child->has_failed)
        snprintf(reload->failure, sizeof reload->failure, "%.40s: %.450s", supervisor_describe_child(child),
                 child->reason);
    else
        snprintf(reload->failure, sizeof reload->failure, "the new %s ended (%s)",
                 supervisor_describe_child(child), how);
}

void reload_abandon(struct supervisor *supervisor) {
    if (supervisor->reload.phase != RELOAD_NONE)
        give_up(supervisor, "the server is being stopped");
}

int64_t reload_deadline(const struct supervisor *supervisor) {
    const struct reload *reload = &supervisor->reload;
    if (reload->phase == RELOAD_NONE)
        return reload->is_asked ? 0 : INT64_MAX;
    bool awaits_dns = reload->phase == RELOAD_STARTING && clock_monotonic_ms() < dns_deadline(reload);
    return awaits_dns ? dns_deadline(reload) : reload->deadline_ms;
}
