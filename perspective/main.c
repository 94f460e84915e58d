/* originca-perspective: runs an originca-server's DNS check from another place of the network. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "originca/log.h"
#include "server.h"

struct process {
    struct event_base *base;
    struct options options;
    struct server *server;
    struct event *on_term, *on_int, *on_hup, *drain_over;
};

static void leave(void *context) {
    struct process *process = context;
    event_base_loopexit(process->base, NULL);
}

static void give_up_draining(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    log_event(LOG_LEVEL_WARNING, "drain time is over, closing what is left", NULL);
    leave(context);
}

static void drain(evutil_socket_t number, short what, void *context) {
    (void)number;
    (void)what;
    struct process *process = context;
    const struct timeval limit = {.tv_sec = process->options.drain_seconds};
    log_event(LOG_LEVEL_INFO, "stopping", NULL);
    event_add(process->drain_over, &limit);
    server_drain(process->server, leave, process);
}

static void reload(evutil_socket_t number, short what, void *context) {
    (void)number;
    (void)what;
    struct process *process = context;
    struct error error;
    if (process->options.log_file != NULL && !log_open_file(process->options.log_file, &error))
        log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
    if (server_reload(process->server, &error))
        log_event(LOG_LEVEL_INFO, "certificates read again", NULL);
    else
        log_event(LOG_LEVEL_ERROR, "the old certificates stay", "reason", error.message, NULL);
}

static bool set_up(struct process *process, struct error *error) {
    enum log_level level = LOG_LEVEL_INFO;
    log_set_process("perspective");
    if (log_level_parse(process->options.log_level, &level))
        log_set_level(level);
    if (process->options.log_file != NULL && !log_open_file(process->options.log_file, error))
        return false;
    signal(SIGPIPE, SIG_IGN);
    process->base = event_base_new();
    if (process->base == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    process->on_term = evsignal_new(process->base, SIGTERM, drain, process);
    process->on_int = evsignal_new(process->base, SIGINT, drain, process);
    process->on_hup = evsignal_new(process->base, SIGHUP, reload, process);
    process->drain_over = evtimer_new(process->base, give_up_draining, process);
    if (process->on_term == NULL || process->on_int == NULL || process->on_hup == NULL ||
        process->drain_over == NULL || event_add(process->on_term, NULL) != 0 ||
        event_add(process->on_int, NULL) != 0 || event_add(process->on_hup, NULL) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot set up events");
    process->server = server_new(process->base, &process->options, error);
    return process->server != NULL;
}

static void tear_down(struct process *process) {
    struct event *const events[] = {process->on_term, process->on_int, process->on_hup, process->drain_over};
    server_free(process->server);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (process->base != NULL)
        event_base_free(process->base);
    options_free(&process->options);
}

int main(int argc, char **argv) {
    struct process process = {0};
    struct error error = {.message = ""};
    enum options_outcome outcome = options_read(argc, argv, &process.options);
    if (outcome != OPTIONS_RUN) {
        if (outcome == OPTIONS_CHECK)
            puts("no mistakes found");
        options_free(&process.options);
        return outcome == OPTIONS_WRONG ? 2 : 0;
    }
    bool is_up = set_up(&process, &error);
    if (is_up)
        event_base_dispatch(process.base);
    else
        log_event(LOG_LEVEL_ERROR, "cannot start", "reason", error.message, NULL);
    tear_down(&process);
    return is_up ? 0 : 1;
}
