/* Is every name of an order still its owner's? The check before a certificate is made, for finalize and for
 * the reconciler alike: who has the zones now, the limits of checks, DNS with CAA (perspective.h), and the
 * evidence recorded with the order. */
#pragma once

#include "originca/limits.h"
#include "originca/operation.h"
#include "originca/store.h"
#include "originca/worker.h"

enum recheck_failure {
    RECHECK_FAILED,    /* Redis is away, issuance is stopped, or the like: the error's code says it */
    RECHECK_NOT_YOURS, /* a zone is no longer the order's */
    RECHECK_LIMITED,   /* `limits` says which, and when it has room again */
    RECHECK_REFUSED,   /* DNS says no: trying again changes nothing; `result` has the findings */
    RECHECK_UNSURE,    /* DNS did not say; likewise */
};

typedef void recheck_done(void *context, const struct error *error);

struct recheck { /* lives in the arena */
    /* the caller's */
    struct worker *worker;
    struct arena *arena;
    const struct store_order *order;
    const char *const *names; /* canonical, as many as authorizations */
    const char *issuer;       /* that the certificate will come from */
    const char *checker;      /* whose checks count where the order has no customer (limits.h) */
    bool must_check;          /* also where the last check is younger than recheck_after_seconds */
    /* results */
    enum recheck_failure failure;
    struct limits limits;
    const struct dnscheck_result *result; /* NULL: none was made */
    const char *evidence;                 /* JSON; or NULL */
    time_t checked_at;                    /* of the oldest proof */
    /* recheck.c's own */
    struct limits_order asked;
    struct store_zone *zones;
    struct error error;
    recheck_done *done;
    void *context;
};

/* Runs `done` once, from the loop or at once: NULL, or the error with `failure`. */
void recheck_run(struct recheck *recheck, recheck_done *done, void *context);

/* The DNS check of a step, from all perspectives; `note` gets the operation. STEP_FAIL with
 * ERROR_UNAVAILABLE where none can be made now. */
enum step_result recheck_start_step(struct operation *operation, const struct dnscheck_request *request,
                                    dnscheck_callback *note);
