/* The zones that the ledger has given to customers, which customers are suspended, which accounts have ended,
 * and whether an operator has stopped issuance, of all or of an issuer: what the signer asks before it signs
 * a name. Packed, so that a million zones take some tens of MiB (doc/ledger.md). Nothing leaves it: a zone
 * that has ended never comes back under its id.
 *
 * Words about one object can come out of order, those of another host late: each has its moment, and an older
 * one changes nothing (`at_ms`). The end of a zone is final whenever it comes. */
#pragma once

#include "originca/text.h"

#define ZONES_TIME_MAX (((int64_t)1 << 48) - 1) /* of moments in ms: 6 bytes */

struct zones;

struct zone_state {
    const char *id;              /* as long as the texts below */
    const char *name, *customer; /* until the next change; "" where the zone was only heard of */
    bool is_known;               /* added, with a name and a customer; also where it has ended */
    bool is_ended, is_paused, is_suspended /* its customer */;
    int64_t at_ms; /* of the newest word about it */
};

/* Of an issuer, or of all of them. */
struct stop_state {
    bool is_stopped;
    int64_t at_ms; /* 0: nothing was ever said of it */
};
#define ZONES_EVERY_ISSUER "*"

struct customer_state {
    bool is_suspended;
    int64_t at_ms; /* 0: nothing was ever said of it */
};

struct zones *zones_new(void);
void zones_free(struct zones *zones);

/* False where nothing was ever said of such a zone. */
bool zones_find(const struct zones *zones, const char *id, struct zone_state *out);
/* `issuer` may be ZONES_EVERY_ISSUER; each stands for itself alone. */
void zones_find_stop(const struct zones *zones, const char *issuer, struct stop_state *out);
void zones_find_customer(const struct zones *zones, const char *id, struct customer_state *out);
/* Are names on zones that are not here to be refused? */
bool zones_are_known(const struct zones *zones);
void zones_set_known(struct zones *zones);
size_t zones_count_living(const struct zones *zones);
/* Up to `max` living zones, in no order that means anything. `cursor` is where to go on: 0 at first, and 0
 * again when all were seen. A zone that is added meanwhile may be passed over until the next round. */
size_t zones_walk(const struct zones *zones, uint64_t *cursor, size_t max, struct zone_state *out);
/* Of entries, indexes and texts, allocated. */
size_t zones_memory(const struct zones *zones);

/* False when out of memory. A zone that is there keeps its name and customer. */
bool zones_add(struct zones *zones, const char *id, const char *name, const char *customer,
               int64_t at_ms) MUST_CHECK;
bool zones_end(struct zones *zones, const char *id, int64_t at_ms) MUST_CHECK;
bool zones_set_paused(struct zones *zones, const char *id, bool is_paused, int64_t at_ms) MUST_CHECK;
bool zones_set_suspended(struct zones *zones, const char *customer, bool is_suspended,
                         int64_t at_ms) MUST_CHECK;

/* Its delegation was seen to lead elsewhere, or here again: nothing that a signature is asked by. */
bool zones_set_moved(struct zones *zones, const char *id, bool has_moved, int64_t at_ms) MUST_CHECK;
struct left_state {
    bool has_left;   /* moved away, or ended */
    int64_t at_ms;   /* since when, at the earliest that is certain */
    int64_t word_ms; /* of the newest word about where it is delegated; 0: there was none */
};
void zones_find_left(const struct zones *zones, const char *id, struct left_state *out);

bool zones_set_stopped(struct zones *zones, const char *issuer, bool is_stopped, int64_t at_ms) MUST_CHECK;

/* Accounts that were deactivated; for good. */
bool zones_end_account(struct zones *zones, const char *id, int64_t at_ms) MUST_CHECK;
int64_t zones_account_end(const struct zones *zones, const char *id); /* when; 0: it did not */

/* For the checkpoint: all of it as bytes, and back. zones_load takes an empty memory and refuses what
 * zones_save does not write. */
size_t zones_saved_length(const struct zones *zones);
void zones_save(const struct zones *zones, uint8_t *out);
bool zones_load(struct zones *zones, const uint8_t *bytes, size_t length) MUST_CHECK;
