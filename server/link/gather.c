/* A question to every worker at once, with one time for all of them. */
#include "internal.h"

#include <stdlib.h>

struct link_gather {
    TAILQ_ENTRY(link_gather) entry;
    struct worker_link *link;
    struct event *timer;
    const char *ask;
    /* NULL: the answers say nothing, so nobody waits for a worker that is just being started. */
    struct link_readiness *out;
    link_done *done;
    void *context;
    size_t open;
    struct link_call calls[]; /* one for each slot */
};

static void free_gather(struct link_gather *gather) {
    for (size_t i = 0; i < gather->link->count; i++)
        link_forget(&gather->calls[i], false);
    TAILQ_REMOVE(&gather->link->gathers, gather, entry);
    event_free(gather->timer);
    free(gather);
}

static void finish(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link_gather *gather = context;
    link_done *done = gather->done;
    void *done_context = gather->context;
    free_gather(gather);
    done(done_context);
}

static void count_answer(struct link_gather *gather) {
    if (--gather->open == 0)
        event_active(gather->timer, EV_TIMEOUT, 0);
}

static void note_reply(struct link_call *call, const json_t *reply) {
    struct link_gather *gather = call->context;
    size_t slot = (size_t)(call - gather->calls);
    if (reply == NULL && gather->out != NULL) { /* it ended: its successor has what is left of the time */
        link_ask(&gather->link->peers[slot], call);
        return;
    }
    if (gather->out != NULL && link_read_error(reply) == ERROR_NONE &&
        !link_read_readiness(reply, &gather->out[slot]))
        gather->out[slot] = (struct link_readiness){.has_answered = false};
    count_answer(gather);
}

static json_t *write_question(const struct link_call *call) {
    const struct link_gather *gather = call->context;
    return link_write_question(call->id, gather->ask);
}

static bool start(struct worker_link *link, const char *ask, struct link_readiness *out, link_done *done,
                  void *context, struct error *error) {
    struct link_gather *gather = calloc(1, sizeof *gather + link->count * sizeof gather->calls[0]);
    if (gather != NULL)
        gather->timer = evtimer_new(link->base, finish, gather);
    if (gather == NULL || gather->timer == NULL) {
        free(gather);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    uint32_t limit = link->config->readiness_timeout_ms;
    const struct timeval delay = {.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};
    gather->link = link;
    gather->ask = ask;
    gather->out = out;
    gather->done = done;
    gather->context = context;
    gather->open = link->count;
    TAILQ_INSERT_TAIL(&link->gathers, gather, entry);
    event_add(gather->timer, &delay);
    for (size_t i = 0; i < link->count; i++) {
        if (out != NULL)
            out[i] = (struct link_readiness){.has_answered = false};
        gather->calls[i] =
            (struct link_call){.write = write_question, .replied = note_reply, .context = gather};
        if (out != NULL || link->peers[i].is_proven)
            link_ask(&link->peers[i], &gather->calls[i]);
        else
            count_answer(gather);
    }
    return true;
}

bool worker_link_ask_readiness(struct worker_link *link, struct link_readiness *out, link_done *done,
                               void *context, struct error *error) {
    return start(link, "readiness", out, done, context, error);
}

bool worker_link_publish(struct worker_link *link, link_done *done, void *context, struct error *error) {
    return start(link, "publish", NULL, done, context, error);
}

void link_gathers_free(struct worker_link *link) {
    while (!TAILQ_EMPTY(&link->gathers))
        free_gather(TAILQ_FIRST(&link->gathers));
}
