/* The table, the rates of workers, and the tale of what was refused. */
#include "access.h"

#include <stdio.h>
#include <string.h>

#include "originca/log.h"
#include "originca/revocation.h"

#define TELL_EVERY_MS 1000 /* whoever was taken over must not fill the log either */

/* What a message needs beyond this row is judged where its fields are read: a worker's revocation by whose
 * word it is, a change by its kind, and a worker's position opens nothing. */
static const struct {
    const char *name;
    bool is_for_workers;
} table[MESSAGE_TYPES] = {
    [MESSAGE_SIGN] = {"sign", true},
    [MESSAGE_REVOKE] = {"revoke", true},
    /* The reconciler alone asks; each id that is not known is struck off, and remembered for one that was. */
    [MESSAGE_ATTEMPT] = {"ask what became of an attempt", false},
    [MESSAGE_STATUS] = {"status", true},
    [MESSAGE_CHECK_POSITION] = {"check position", true},
    [MESSAGE_CHANGE_RIGHTS] = {"change rights", true},
    [MESSAGE_CRL_BEGIN] = {"begin a revocation list", false},
    [MESSAGE_CRL_ENTRIES] = {"give a revocation list's entries", false},
    [MESSAGE_CRL_SIGN] = {"sign a revocation list", false},
    [MESSAGE_SIGN_OCSP] = {"sign an OCSP response", true},
    [MESSAGE_READ] = {"read the ledger", false},
    [MESSAGE_SET_SIGNING] = {"stop or allow signing", false},
    [MESSAGE_CONFIRM_LOSS] = {"confirm a loss", false},
    [MESSAGE_RETRY_TOKEN] = {"try the token again", false},
    [MESSAGE_LIST_ZONES] = {"list zones", false},
    [MESSAGE_LIST_CRLS] = {"list revocation lists", false},
    [MESSAGE_FIND_LEFT] = {"ask which zones were left", false},
    [MESSAGE_LIST_REVOKED] = {"list what a revocation list must have", false},
    [MESSAGE_FIND_REVOKED] = {"ask which serials are revoked", false},
};

void access_begin(struct access *access, const struct config *config, struct metrics *metrics) {
    *access = (struct access){.config = config};
    access->refused_total = metrics_counter(metrics, "originca_signer_refused_total",
                                            "Messages to the signer that their sender may not send");
    access->slowed_total =
        metrics_counter(metrics, "originca_signer_slowed_total",
                        "Messages of workers that were put off: more of a kind than workers may ask for");
    access->day_is_full_total =
        metrics_counter(metrics, "originca_signer_revocations_day_full_total",
                        "Revocations of workers that were put off: more a day than workers may ask for");
    day_room_begin(&access->day, config->ledger_directory, config->signer_worker_revocations_per_day,
                   metrics);
    access->slowed_revocations_total =
        metrics_counter(metrics, "originca_signer_revocations_slowed_total",
                        "Revocations of workers that were put off: more a second than workers may ask for");
}

static void tell(struct access_tale *tale, const struct engine_call *call, const char *event,
                 const char *what) {
    int64_t now = clock_monotonic_ms();
    char count[24];
    tale->untold++;
    if (tale->told_ms != 0 && now - tale->told_ms < TELL_EVERY_MS)
        return;
    snprintf(count, sizeof count, "%llu", (unsigned long long)tale->untold);
    log_event(LOG_LEVEL_ERROR, event, "link", call->link == SIGNER_LINK_OPERATOR ? "operator" : "worker",
              "what", what, "times", count, NULL);
    tale->told_ms = now;
    tale->untold = 0;
}

bool access_refuse(struct access *access, const struct engine_call *call, const char *what,
                   struct error *error) {
    metric_add(access->refused_total, 1);
    tell(&access->refused, call, "the signer refused a message", what);
    return error_set(error, ERROR_REFUSED, "this connection to the signer may not do that: %s", what);
}

bool access_allows(struct access *access, const struct engine_call *call, struct error *error) {
    if (call->type >= MESSAGE_TYPES || table[call->type].name == NULL)
        return access_refuse(access, call, "a message of an unknown type", error);
    return call->link == SIGNER_LINK_OPERATOR || table[call->type].is_for_workers ||
           access_refuse(access, call, table[call->type].name, error);
}

static uint32_t limit_of(const struct access *access, enum access_rate rate) {
    switch (rate) {
    case RATE_SIGNATURES:
        return access->config->signer_worker_signatures_per_second;
    case RATE_REVOCATIONS:
    case RATE_RECOVERIES:
        return access->config->signer_worker_revocations_per_second;
    case RATE_OCSP:
        return access->config->signer_worker_ocsp_per_second;
    default:
        return access->config->signer_worker_changes_per_second;
    }
}

static bool take_of_day(struct access *access, const struct engine_call *call, struct error *error) {
    uint32_t limit = access->config->signer_worker_revocations_per_day;
    if (day_room_take(&access->day, limit))
        return true;
    metric_add(access->day_is_full_total, 1);
    tell(&access->day_is_full, call, "workers have had revoked what they may in a day",
         "signer_worker_revocations_per_day");
    return error_set(error, ERROR_UNAVAILABLE,
                     "workers ask the signer for more than %u revocations a day; try again later, or have an "
                     "administrator revoke",
                     limit);
}

/* A bucket that holds one second's worth. */
bool access_take(struct access *access, const struct engine_call *call, enum access_rate rate, size_t count,
                 struct error *error) {
    if ((call->link == SIGNER_LINK_OPERATOR && rate != RATE_RECOVERIES) || rate == RATE_NONE)
        return true;
    int64_t now = clock_monotonic_ms(), since = now - access->rates[rate].refilled_ms;
    uint64_t limit = limit_of(access, rate), full = limit * 1000;
    uint64_t *left = &access->rates[rate].thousandths;
    *left = since >= 1000 ? full : *left + (uint64_t)since * limit;
    if (*left > full)
        *left = full;
    access->rates[rate].refilled_ms = now;
    if (*left >= count * 1000) {
        if (rate == RATE_REVOCATIONS && !take_of_day(access, call, error))
            return false;
        *left -= count * 1000;
        return true;
    }
    metric_add(access->slowed_total, 1);
    if (rate == RATE_REVOCATIONS || rate == RATE_RECOVERIES) {
        metric_add(access->slowed_revocations_total, 1);
        tell(rate == RATE_REVOCATIONS ? &access->slowed : &access->recoveries, call,
             rate == RATE_REVOCATIONS ? "workers ask for more revocations than they may"
                                      : "a replay revokes more certificates than were ever left without a "
                                        "customer: find out who writes into Redis",
             "signer_worker_revocations_per_second");
    }
    return error_set(error, ERROR_UNAVAILABLE,
                     "%s the signer for more than %llu of this kind a second; try again",
                     rate == RATE_RECOVERIES ? "a replay asks" : "workers ask", (unsigned long long)limit);
}

/* Whoever can write Redis can have it lack what it likes. */
enum access_rate access_rate_of_revocation(const struct engine_call *call, const char *by) {
    return call->link == SIGNER_LINK_OPERATOR && strcmp(by, "recovery") == 0 ? RATE_RECOVERIES
                                                                             : RATE_REVOCATIONS;
}

bool access_is_workers_word(const char *by, uint32_t reason) {
    /* "recovery": a certificate that was just signed and that Redis did not take: nothing is said of its key.
     */
    return strcmp(by, "certificate-key") == 0 ||
           (strcmp(by, "recovery") == 0 && reason == REASON_CESSATION_OF_OPERATION) ||
           strncmp(by, "account:", 8) == 0 || strncmp(by, "api-key:", 8) == 0;
}
