/* What an operator does to many certificates at once: which ones he means, jobs that revoke them, and mass
 * replacements that have them renewed (doc/revocation.md, "In bulk"). Like store.h, of which this is a part;
 * ids are 32 hex digits. */
#pragma once

#include "originca/store.h"

/* Which certificates: all that is set must fit; "" and 0 are not set. Those that are valid now and were known
 * to Redis when they were counted, also when the job goes on for days: `cut_off` is the number that the next
 * certificate to become known had then. */
struct store_selection {
    const char *customer, *zone, *account; /* ids */
    const char *issuer, *profile;
    const char *key;      /* hex SHA-256 of the SubjectPublicKeyInfo */
    time_t issued_since;  /* this second and later */
    time_t issued_before; /* before this second */
    const char *serials;  /* id of a list of serials */
    uint64_t cut_off;
};
#define STORE_SAMPLE_MAX 10

/* Adds serials (32 hex digits each) to the list `id`. A list that nothing uses within an hour is forgotten.
 * `total`: how many it has. ERROR_NOT_FOUND: it is not new and not there (any more); ERROR_CONFLICT: it was
 * counted, and what an operator confirms does not grow; ERROR_LIMIT: serial_list_max. */
void store_add_serials(struct store *, const char *id, bool is_new, const char *const *serials, size_t count,
                       uint64_t *total, store_done *, void *);
/* One page of counting what is selected: adds to `count`, raises `last_end`, appends to the sample until it
 * is full. Begin with all of it zero; go on while `cursor` is not NULL afterwards. Of a certificate of the
 * sample serial, names, customer, issuer and not_after are there. ERROR_NOT_FOUND: the list of serials is
 * gone; ERROR_CONFLICT: the selection's cut-off is none that this Redis gave since it was started or went
 * back. */
struct store_selected {
    uint64_t count;
    uint64_t cut_off; /* the selection's, or the one of this moment where it has none */
    time_t last_end;  /* the latest not_after */
    struct store_certificate sample[STORE_SAMPLE_MAX];
    size_t sample_count;
    const char *cursor;
    bool wants_serials;
    const char *serials; /* of this page, where they are wanted: 32 hex digits each, nothing between */
};
void store_count_selected(struct store *, struct arena *, const struct store_selection *,
                          struct store_selected *, store_done *, void *);

/* --- jobs (store/bulk.c) ---
 *
 * What a job revokes is a list of serials that was kept when they were counted, in pieces; `position` is a
 * place on it. Seals say whose word all that is (bulk_seal.h): the store only keeps them. */
#define STORE_BULK_PIECE 500   /* serials */
#define STORE_SERIAL_HEX 32    /* digits of one */
#define STORE_BULK_PLAN_MAX 33 /* its id */
#define STORE_BULK_CURSOR_MAX 160
/* Kept for ten minutes, unless a job is made. */
void store_add_bulk_piece(struct store *, const char *plan, uint64_t piece, const char *seal,
                          const char *serials, store_done *, void *);
enum store_bulk_state { BULK_RUNNING, BULK_DONE, BULK_CANCELLED, BULK_FAILED };
struct store_bulk {
    const char *id;
    struct store_selection selection;
    uint32_t reason, rate; /* revocations a second */
    const char *by;        /* of its revocations; holds the id, so that they can be told from others */
    enum store_bulk_state state;
    uint64_t total, done, failed; /* done: by this job, each certificate once whatever was interrupted */
    time_t created_at, ended_at;
    const char *owner;  /* host that works on it, or did last */
    const char *holder; /* process that works on it until then (ms since 1970), if it renews not; "" */
    int64_t leased_until_ms;
    const char *problem;  /* the last that kept a certificate from being revoked; "" */
    const char *ended_by; /* who cancelled it */
    uint64_t position;    /* how far it came: all before it is done */
    const char *plan;     /* id of its list */
    const char *seal, *progress_seal;
    bool is_unreadable; /* there is no job in what stands there: all but the id is empty */
};
/* `id`, `selection`, `reason`, `rate`, `by`, `total`, `created_at`, `plan` and the seals are the caller's.
 * May be repeated. ERROR_NOT_FOUND: its pieces are not there (any more). */
void store_create_bulk(struct store *, const struct store_bulk *, store_done *, void *);
/* Zones with certificates that were left, moved away or deleted, `hold_seconds` ago by what Redis says: up to
 * `limit` of them after the first `skip`. `looked` is less than `limit` where there are no more. */
struct store_left_zone {
    const char *id, *since; /* seconds since 1970 */
    const char *job;        /* the id of its job: the same whenever it is asked for */
};
struct store_left_zones {
    struct store_left_zone *items;
    size_t count, looked;
};
void store_left_zones(struct store *, struct arena *, int64_t hold_seconds, uint32_t skip, uint32_t limit,
                      struct store_left_zones *out, store_done *, void *);
/* Its job is made. */
void store_note_left_zone(struct store *, const struct store_left_zone *, store_done *, void *);
void store_load_bulk(struct store *, struct arena *, const char *id, struct store_bulk *out, store_done *,
                     void *);
struct store_bulk_list {
    struct store_bulk *items;
    size_t count;
    const char *next_cursor;
};
/* Newest first. */
void store_list_bulks(struct store *, struct arena *, const char *cursor, uint32_t limit,
                      struct store_bulk_list *out, store_done *, void *);
/* ERROR_CONFLICT: it has ended. */
void store_cancel_bulk(struct store *, struct arena *, const char *id, const char *by, struct store_bulk *out,
                       store_done *, void *);
/* The first job of the queue that nobody works on is this process's for so long: those with the reason
 * keyCompromise first, each by when it was made or last had its turn. out->id is NULL where there is none. */
struct store_bulk_lease {
    const char *holder; /* of this process alone, and of one job at a time */
    const char *host;
    uint32_t lease_ms;
};
void store_claim_bulk(struct store *, struct arena *, const struct store_bulk_lease *, struct store_bulk *out,
                      store_done *, void *);
/* It stays this process's. ERROR_CONFLICT: it is not, or was cancelled: begin nothing more of it. `problem`
 * ("" or NULL: as it was) is kept for operators. */
void store_renew_bulk(struct store *, const char *id, const struct store_bulk_lease *, const char *problem,
                      store_done *, void *);
/* It is not what it should be: it has failed, and `problem` is kept for operators. One that could not be read
 * is replaced by what can. ERROR_CONFLICT: it is another's. */
void store_fail_bulk(struct store *, const char *id, const struct store_bulk_lease *, const char *problem,
                     bool is_unreadable, store_done *, void *);
/* The certificates of the next `limit` serials from job->position on, of one piece: those to revoke, whole
 * ones, in the order of the piece. Renews. Those that the job has revoked before it was interrupted are
 * counted in `repeated`. ERROR_CONFLICT: as for renewing. */
struct store_bulk_page {
    size_t limit; /* in, at most STORE_BULK_PIECE */
    struct store_certificate *items;
    size_t count;
    uint64_t repeated;
    const char *piece, *piece_seal; /* all serials of the piece; "": it is not there */
    struct store_bulk job;          /* as Redis has it now */
    size_t span;                    /* how many serials the page is of (bulk_page_fault) */
};
void store_page_bulk(struct store *, struct arena *, const struct store_bulk *job,
                     const struct store_bulk_lease *, struct store_bulk_page *page, store_done *, void *);
/* The page is done, and how far the job is by that; `before` is where it began. ERROR_CONFLICT: the job is
 * another's by now, who does the page again. After the last page the job is done. `*waits`: it made room for
 * another and stands in the queue again. */
struct store_bulk_progress {
    uint64_t before, position, done, failed;
    bool is_last;
    const char *seal;
    const char *problem;
    bool may_wait; /* this process has no room for another job */
};
void store_note_bulk(struct store *, const char *id, const struct store_bulk_lease *,
                     const struct store_bulk_progress *, bool *waits, store_done *, void *);
const char *store_bulk_state_name(enum store_bulk_state);

/* --- mass replacements (store/replacement.c) --- */
struct store_replacement {
    const char *id;
    struct store_selection selection;
    time_t starts_at;
    uint32_t over_seconds;
    const char *explanation_url; /* "" */
    const char *by;
    uint64_t total;      /* when it was made */
    time_t created_at;   /* out */
    time_t ends_at;      /* the end of the last certificate */
    time_t cancelled_at; /* 0 */
    const char *cancelled_by;
};
#define STORE_REPLACEMENTS_MAX 20 /* at once: each renewal information looks at all of them */
/* ERROR_CONFLICT: there are STORE_REPLACEMENTS_MAX; ERROR_NOT_FOUND: the list of serials is gone. May be
 * repeated. */
void store_create_replacement(struct store *, const struct store_replacement *, store_done *, void *);
void store_load_replacement(struct store *, struct arena *, const char *id, struct store_replacement *out,
                            store_done *, void *);
struct store_replacement_list {
    struct store_replacement *items;
    size_t count;
    const char *next_cursor;
};
void store_list_replacements(struct store *, struct arena *, const char *cursor, uint32_t limit,
                             struct store_replacement_list *out, store_done *, void *);
/* ERROR_CONFLICT: it has ended. */
void store_cancel_replacement(struct store *, struct arena *, const char *id, const char *by,
                              struct store_replacement *out, store_done *, void *);
/* One page of its progress, adding to the counts; begin with zeros, go on while `cursor` is not NULL. */
struct store_replacement_progress {
    uint64_t replaced; /* by an order that named it, or there is a newer valid one for the same names */
    uint64_t ended;    /* not replaced: expired or revoked since */
    uint64_t waiting;
    const char *cursor;
    /* of this page; only where `wants_waiting` */
    struct store_certificate *items;
    size_t count;
};
void store_page_replacement(struct store *, struct arena *, const char *id, bool wants_waiting,
                            uint32_t limit, struct store_replacement_progress *, store_done *, void *);
/* A certificate with the replacement that asks for it first, `from` 0 where none does. */
struct store_renewal {
    time_t from;
    uint32_t over_seconds;
    const char *explanation_url; /* "" */
};
void store_load_renewal(struct store *, struct arena *, const char *serial_hex, struct store_certificate *out,
                        struct store_renewal *renewal, store_done *, void *);
