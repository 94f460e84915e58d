/* Between the files of the keeper: what it holds, making lists (keeper.c), copying what was published
 * (copy.c), telling of them (list_metrics.c). */
#pragma once

#include "compare.h"
#include "files.h"
#include "originca/crl_floors.h"
#include "originca/crl_proofs.h"
#include "originca/crl_service.h"
#include "originca/metrics.h"
#include "originca/signer.h"
#include "originca/store.h"

#define CRL_TICK_MS 1000
#define CRL_LISTS_MAX 10000
#define CRL_UNPROVEN_TELL_MS 60000

/* A published list that is not what it is said to be. */
struct crl_refused {
    char *issuer, *url;
    uint64_t number; /* as Redis says */
    bool is_found;   /* by the comparison that is under way */
};

struct crl_keeper {
    struct worker *worker;
    struct event *timer;
    struct crl_files files;
    struct crl_floors *floors;
    struct metric *made, *failed, *unsorted, *oldest, *entries, *lists, *refused_total, *refused_now,
        *failing, *missing_issuers, *wrong, *set_aside, *stale, *lacking_total, *damaged_total;
    struct arena *arena; /* of the step at work; NULL: idle */
    bool is_registered, is_adopted, is_floored;
    unsigned ticks; /* until all lists are compared */
    int64_t complained_ms, missed_issuer_ms;
    /* copying */
    uint64_t seen; /* sequence of the newest publication that was copied */
    bool compares_all;
    struct store_crl_list published;
    size_t next_published;
    size_t next_file; /* to be published again */
    bool has_published_again;
    struct store_crl_loaded loaded;
    struct crl_refused *refused;
    size_t refused_count;
    /* making */
    struct store_crl_claim claim;
    size_t next_unsorted;
    uint64_t told_aside; /* so many were set aside when that was told last */
    struct store_certificate certificate;
    struct arena *page_arena;
    struct store_crl_page page;
    struct crl_entry *rows;
    size_t row_count, row_capacity;
    size_t left_out, corrected; /* entries of the list at work that none can have as they are */
    enum error_code failure;    /* of the list that could not be made */
    bool lacks_entries;         /* that this host's ledger has: why it was not signed */
    struct signer_crl_request request;
    struct signer_crl made_list;
    struct store_crl made_crl;
    struct bytes republished;
    /* Putting back what Redis lost of the list that was claimed. */
    struct signer_revoked_list lost;
    uint64_t restored, restored_total;
    /* What is not as new as it has to be; the names are in the step's arena. */
    struct store_crl_name *overdue;
    size_t overdue_count;
    struct signer_crl_list recorded; /* a page of what the signer knows of lists */
    int64_t told_stale_ms, told_lacking_ms;
    struct crl_compare *compare;
    /* Which entries a ledger has. */
    struct crl_proofs *proofs;
    struct crl_watch *watches;
    size_t watch_count;
    struct metric *unproven;
    uint64_t told_unproven;
    int64_t told_unproven_ms;
    /* of the list at work */
    uint8_t *unknown;                     /* of each row: this host's ledger does not have it */
    size_t next_queued;                   /* row */
    bool are_many;                        /* unproven ones */
    int64_t queued_ms;                    /* clock of Redis; 0: there were none to be queued */
    struct event *linger;                 /* proofs may be under way */
    int64_t linger_until_ms, lingered_ms; /* of the list at work; when that was in vain last, 0: never */
    size_t unlisted;                      /* unproven entries that are left out */
};

/* keeper.c */
void crl_keeper_end_step(struct crl_keeper *keeper, int64_t pause_ms);
void crl_keeper_fail_step(struct crl_keeper *keeper, const char *what, const struct error *error);
void crl_keeper_complain(struct crl_keeper *keeper, const char *what, const struct error *error);
/* Redis is away, and all the rest fails too; else the fault is of the one thing at work. */
bool crl_keeper_is_passing(const struct error *error) MUST_CHECK;
/* Ends the step: everybody is told why there is no newer list. */
void crl_keeper_fail_making(struct crl_keeper *keeper, const char *what, const struct error *error);
/* Goes on with the list that the signer was given. */
void crl_keeper_sign_given(struct crl_keeper *keeper);
/* Goes on with what is due when all that was published is copied. */
void crl_keeper_claim_next(struct crl_keeper *keeper);
int64_t crl_keeper_lease_ms(const struct crl_keeper *keeper);
const struct config_issuer *crl_keeper_issuer(const struct crl_keeper *keeper, const char *name);
/* Nothing below it is made, published or served here: what this host's signer has signed, and `in_redis`,
 * what another's has, where that can be. */
uint64_t crl_keeper_floor(const struct crl_keeper *keeper, const char *issuer, const char *url,
                          uint64_t in_redis) MUST_CHECK;
/* Every list that a certificate issued from now on may name, in the step's arena; NULL: out of memory. */
struct store_crl_name *crl_keeper_names(const struct crl_keeper *keeper, size_t *count);

/* sort.c: sorts what the claim names, then ends the step. */
void crl_keeper_sort(struct crl_keeper *keeper);
void crl_keeper_tell_unsorted(struct crl_keeper *keeper);

/* copy.c: lists whose files are not what was written are not served any more, and are fetched again. */
void crl_keeper_drop_damaged(struct crl_keeper *keeper);
/* Takes `published` up; ends the step, or goes on to crl_keeper_claim_next. */
void crl_keeper_copy(struct crl_keeper *keeper);
/* Has this host found that the number which Redis names is none of ours? */
bool crl_keeper_has_refused(const struct crl_keeper *keeper, const char *issuer, const char *url,
                            uint64_t number) MUST_CHECK;
void crl_keeper_free_refused(struct crl_keeper *keeper);

/* Newer than what is served here, not older than what was signed, and of an issuer that is known here. */
bool crl_keeper_wants(const struct crl_keeper *keeper, const struct store_crl *crl) MUST_CHECK;

/* overdue.c: what is not as new as it has to be, whatever Redis says of when lists are due. */
/* Notes lists that were published and are not served here, though all were copied that could be. */
void crl_keeper_find_stale(struct crl_keeper *keeper);
/* Has lists made that should have been made long ago; ends the step, or goes on to crl_keeper_claim_next. */
void crl_keeper_renew_overdue(struct crl_keeper *keeper);

/* mend.c: puts back what the claimed list must have by the ledger; ends the step. */
void crl_keeper_mend(struct crl_keeper *keeper);
/* As the store takes them; NULL: out of memory. */
struct store_crl_lost *crl_lost_from(struct arena *arena, const struct signer_revoked *items, size_t count);

/* unproven.c: what becomes of the list that the signer was given; goes on to crl_keeper_sign_given. */
void crl_unproven_judge(struct crl_keeper *keeper);
void crl_unproven_publish(struct crl_keeper *keeper);
/* Of the lists that this process has made: did it leave out what is, or may be, proven
 * by now? Said once. */
size_t crl_unproven_count_watches(const struct crl_keeper *keeper);
bool crl_unproven_take_proven(struct crl_keeper *keeper, size_t at, struct store_crl_name *list) MUST_CHECK;
/* Redis may be another one. */
void crl_unproven_restart(struct crl_keeper *keeper);
void crl_unproven_free(struct crl_keeper *keeper);

/* list_metrics.c */
void crl_metrics_register(struct crl_keeper *keeper);
void crl_metrics_publish(struct crl_keeper *keeper);
void crl_metrics_count_signature(struct crl_keeper *keeper, const char *issuer, const char *url);
void crl_metrics_count_failure(struct crl_keeper *keeper, const char *issuer, const char *url);
/* Since reading its entries began, by its number. */
time_t crl_metrics_age(uint64_t number, time_t now);
