/* Whether a published list is what it is said to be. Redis passes lists on and vouches for none: whoever can
 * write there must not have a host serve a foreign list, an older one, or one under another's URL. */
#pragma once

#include "originca/config.h"
#include "originca/text.h"

struct crl_facts { /* as the list itself says */
    uint64_t number, entry_count;
    time_t this_update, next_update;
};

/* Of this issuer by name and signature (its certificate is read each time), for this URL ("": the complete
 * list) and user certificates. ERROR_INVALID: it is no such list; ERROR_UNAVAILABLE: the issuer's certificate
 * cannot be read. Hashing takes the longest, of a million entries (39 MB) some tenths of a second. */
bool crl_verify(const struct config_issuer *issuer, const char *url, struct bytes der,
                struct crl_facts *facts, struct error *error) MUST_CHECK;
/* Could it have been made here and now? Its number is at most `crl_max_ahead_seconds` ahead of the clock,
 * its times are sane. */
bool crl_judge_facts(const struct config *config, const struct crl_facts *facts, int64_t now_ms,
                     struct error *error) MUST_CHECK;
