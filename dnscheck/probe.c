/* Is DNS there at all? The root's word about a zone that cannot exist: for /readyz, and a reload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define PROBE_DEADLINE_MS 3000

struct probe_call {
    struct dnscheck *dnscheck;
    struct arena *arena;
    struct event *later;
    void (*callback)(void *context, bool is_usable, const char *reason);
    void *context;
};

static void answer(struct probe_call *call) {
    struct dnscheck *dnscheck = call->dnscheck;
    struct probe_call copy = *call;
    if (call->later != NULL)
        event_free(call->later);
    free(call);
    copy.callback(copy.context, dnscheck->probe.is_usable, dnscheck->probe.reason);
    arena_free(copy.arena);
}

/* A zone that cannot exist: what matters is that the root says so. */
static void on_checked(void *context, const struct dnscheck_result *result) {
    struct probe_call *call = context;
    struct dnscheck *dnscheck = call->dnscheck;
    dnscheck->probe.at_ms = clock_monotonic_ms();
    dnscheck->probe.is_usable = result->verdict == DNSCHECK_REFUSED;
    snprintf(dnscheck->probe.reason, sizeof dnscheck->probe.reason, "%s",
             dnscheck->probe.is_usable || result->zone_count == 0 ? "" : result->zones[0].text);
    answer(call);
}

static void answer_later(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    answer(context);
}

static bool is_recent(const struct dnscheck *dnscheck, int64_t max_age_ms) {
    return dnscheck->probe.at_ms != 0 && clock_monotonic_ms() - dnscheck->probe.at_ms < max_age_ms;
}

void dnscheck_probe(struct dnscheck *dnscheck, int64_t max_age_ms,
                    void (*callback)(void *context, bool is_usable, const char *reason), void *context) {
    static const char *const no_servers[] = {"ns.invalid"};
    static const struct dnscheck_zone zone = {"originca-probe.invalid", no_servers, 1};
    static const struct dnscheck_request request = {
        .zones = &zone, .zone_count = 1, .deadline_ms = PROBE_DEADLINE_MS};
    struct probe_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        callback(context, false, "out of memory");
        return;
    }
    *call = (struct probe_call){.dnscheck = dnscheck, .callback = callback, .context = context};
    if (!is_recent(dnscheck, max_age_ms)) {
        call->arena = arena_new(0);
        if (call->arena != NULL &&
            dnscheck_start(dnscheck, call->arena, &request, on_checked, call, NULL) != NULL)
            return;
    }
    call->later = evtimer_new(dnscheck->base, answer_later, call);
    if (call->later != NULL)
        event_active(call->later, EV_TIMEOUT, 0);
    else
        answer(call);
}
