/* Failures as people read them: who was asked, for which zone, what came, and what to change and who can.
 * "Try again later" only where time may mend it. */
#include "internal.h"

#include <string.h>

static const char error_answer[] = "error answer ";
static const char silence[] = "no usable answer from ";
static const char lame[] =
    "does not answer for it (lame); it must serve the zone, or be no name server of it";
static const char has_no_address[] = "has an address; whoever runs it must name servers that have one";
static const char lacks_glue[] = "are inside it, and the zone above has no glue; add their addresses to the "
                                 "delegation, at the registrar or whoever runs the zone above";
static const char is_not_asked[] =
    "is one that is not asked: special-purpose, or denied by the provider; give "
    "it a public one";
static const char does_not_exist[] = "does not exist; whoever runs the zone must name one that does";

static const char *or_no_memory(const char *text) {
    return text == NULL ? "out of memory" : text;
}

static const char *name_zone(const char *zone) {
    return *zone == '\0' ? "the root" : zone;
}

const char *failure_silence(struct arena *arena, const char *server, const char *zone, const char *why) {
    return or_no_memory(arena_printf(arena, "%s%s, a name server of %s (%s); try again later", silence,
                                     server, name_zone(zone), why));
}

const char *failure_too_large(struct arena *arena, const char *server, const char *zone) {
    return or_no_memory(arena_printf(
        arena, "an answer with more than %d records from %s, a name server of %s; leave fewer records there",
        DNS_RECORDS_MAX, server, name_zone(zone)));
}

const char *failure_lame(struct arena *arena, const char *server, const char *zone) {
    return or_no_memory(arena_printf(arena, "%s, a name server of %s, %s", server, name_zone(zone), lame));
}

const char *failure_error_answer(struct arena *arena, const char *server, const char *zone, uint16_t rcode) {
    char name[16];
    bool has_no_zone = rcode == DNS_REFUSED || rcode == DNS_NOTAUTH;
    return or_no_memory(
        arena_printf(arena, "%s%s from %s, a name server of %s; %s", error_answer,
                     dns_rcode_name(rcode, name), server, name_zone(zone),
                     has_no_zone ? "it must serve the zone, or be no name server of it" : "try again later"));
}

const char *failure_not_asked(struct arena *arena, const char *address, const char *server) {
    return or_no_memory(arena_printf(arena, "%s, the address of %s, %s", address, server, is_not_asked));
}

bool is_error_answer(const char *failure) {
    return failure != NULL && strncmp(failure, error_answer, sizeof error_answer - 1) == 0;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

bool is_silence(const char *failure) {
    return is_error_answer(failure) || strncmp(failure, silence, sizeof silence - 1) == 0 ||
           ends_with(failure, lame) || ends_with(failure, has_no_address) || ends_with(failure, lacks_glue) ||
           ends_with(failure, is_not_asked) || ends_with(failure, does_not_exist);
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
        arena_printf(job->scratch, "no name server of %s %s", name_zone(zone), has_no_address));
}

const char *no_glue(struct dnscheck_job *job, const char *zone) {
    return or_no_memory(arena_printf(job->scratch, "the name servers of %s %s", zone, lacks_glue));
}

const char *no_such_server(struct dnscheck_job *job, const char *server, const char *zone) {
    return or_no_memory(
        arena_printf(job->scratch, "the name server %s of %s %s", server, name_zone(zone), does_not_exist));
}
