/* Failures as people read them: who was asked, for which zone, what came, and what to change and who can.
 * "Try again later" only where time may mend it. */
#include "internal.h"

#include <string.h>

static const char error_answer[] = "error answer ";

static const char *or_no_memory(const char *text) {
    return text == NULL ? "out of memory" : text;
}

static const char *name_zone(const char *zone) {
    return *zone == '\0' ? "the root" : zone;
}

const char *failure_silence(struct arena *arena, const char *server, const char *zone, const char *why) {
    return or_no_memory(arena_printf(arena,
                                     "no usable answer from %s, a name server of %s (%s); try again later",
                                     server, name_zone(zone), why));
}

const char *failure_too_large(struct arena *arena, const char *server, const char *zone) {
    return or_no_memory(arena_printf(
        arena, "an answer with more than %d records from %s, a name server of %s; leave fewer records there",
        DNS_RECORDS_MAX, server, name_zone(zone)));
}

const char *failure_lame(struct arena *arena, const char *server, const char *zone) {
    return or_no_memory(
        arena_printf(arena,
                     "%s, a name server of %s, does not answer for it (lame); it must serve the zone, "
                     "or be no name server of it",
                     server, name_zone(zone)));
}

const char *failure_error_answer(struct arena *arena, const char *server, const char *zone, uint16_t rcode) {
    char name[16];
    bool has_no_zone = rcode == DNS_REFUSED || rcode == DNS_NOTAUTH;
    return or_no_memory(
        arena_printf(arena, "%s%s from %s, a name server of %s; %s", error_answer,
                     dns_rcode_name(rcode, name), server, name_zone(zone),
                     has_no_zone ? "it must serve the zone, or be no name server of it" : "try again later"));
}

bool is_error_answer(const char *failure) {
    return failure != NULL && strncmp(failure, error_answer, sizeof error_answer - 1) == 0;
}

bool is_bogus(const char *failure) {
    return failure != NULL && strncmp(failure, "DNSSEC: ", 8) == 0;
}

const char *bogus(struct dnscheck_job *job, const char *zone, const char *reason) {
    static const struct {
        const char *words, *before, *after; /* the zone */
    } table[] = {
        {"than a check", "leave fewer keys and signatures in ", ""},
        {"parent names", "the DS records of ", " must be those of its keys: change them at the registrar"},
        {"has expired", "whoever runs ", " must sign it again"},
        {"not valid yet", "whoever runs ", " must sign it by a clock that is right"},
        {"there is no signature", "whoever runs ", " must sign it, or have its DS records removed"},
        {"too many iterations", "whoever runs ", " must sign it with fewer (RFC 9276: none)"},
        {"", "whoever runs ", " must sign it anew, unless somebody on the way changes its answers"},
    };
    size_t i = 0;
    while (strstr(reason, table[i].words) == NULL)
        i++;
    const char *text =
        *zone == '\0'
            ? arena_printf(job->scratch, "DNSSEC: %s; is trust_anchor_file the root's?", reason)
            : arena_printf(job->scratch, "DNSSEC: %s; %s%s%s", reason, table[i].before, zone, table[i].after);
    return text == NULL ? "DNSSEC: out of memory" : text;
}

const char *no_address(struct dnscheck_job *job, const char *zone) {
    return or_no_memory(
        arena_printf(job->scratch,
                     "no name server of %s has an address; whoever runs it must name servers that "
                     "have one",
                     name_zone(zone)));
}

const char *no_glue(struct dnscheck_job *job, const char *zone) {
    return or_no_memory(
        arena_printf(job->scratch,
                     "the name servers of %s are inside it, and the zone above has no glue; add their "
                     "addresses to the delegation, at the registrar or whoever runs the zone above",
                     zone));
}

const char *no_such_server(struct dnscheck_job *job, const char *server, const char *zone) {
    return or_no_memory(
        arena_printf(job->scratch,
                     "the name server %s of %s does not exist; whoever runs the zone must name one "
                     "that does",
                     server, name_zone(zone)));
}
