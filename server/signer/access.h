/* Who may ask the signer for what, and how much of it: one table (doc/ledger.md, "Who may write what"). A
 * worker parses everything that comes from outside and may be taken over; the operator's link is held by a
 * process that no network reaches. */
#pragma once

#include "day_room.h"
#include "engine.h"

/* Recoveries: revocations of what was never given out, on the operators' link, which follow from what Redis
 * lacks and not from an operator's word. */
enum access_rate {
    RATE_NONE,
    RATE_SIGNATURES,
    RATE_REVOCATIONS,
    RATE_RECOVERIES,
    RATE_CHANGES,
    RATE_OCSP,
    RATE_KINDS
};

struct access_tale {
    int64_t told_ms; /* when it was last logged */
    uint64_t untold;
};

struct access {
    const struct config *config;
    struct metric *refused_total, *slowed_total, *slowed_revocations_total, *day_is_full_total;
    struct {
        int64_t refilled_ms;
        uint64_t thousandths; /* of a record that workers may still write */
    } rates[RATE_KINDS];
    struct day_room day;                                         /* of workers' revocations */
    struct access_tale refused, slowed, day_is_full, recoveries; /* slowed: revocations */
};

void access_begin(struct access *access, const struct config *config, struct metrics *metrics);
/* May that link send such a message at all? Refusals are counted and logged. */
bool access_allows(struct access *access, const struct engine_call *call, struct error *error) MUST_CHECK;
/* Takes `count` records from what the workers of this host together may write in this second; of operators
 * recoveries alone are counted. */
bool access_take(struct access *access, const struct engine_call *call, enum access_rate rate, size_t count,
                 struct error *error) MUST_CHECK;
/* For what only the message's fields show: counts, logs and returns false. */
bool access_refuse(struct access *access, const struct engine_call *call, const char *what,
                   struct error *error);
/* Which rate a revocation goes by. */
enum access_rate access_rate_of_revocation(const struct engine_call *call, const char *by);
/* May a worker say that it revokes for whom, and why? */
bool access_is_workers_word(const char *by, uint32_t reason) MUST_CHECK;
