/* A zone's check, with the ledger in between: what it leads to is known to Redis alone, which says so first
 * and changes nothing; it is recorded, and then the check is written down with these records. Where the zone
 * has changed meanwhile this begins anew, a few times. */
#include <stdlib.h>

#include "originca/rights.h"

#define ROUNDS_MAX 3

struct recording { /* in the caller's arena */
    struct worker *worker;
    struct signer_client *signer;
    struct arena *arena;
    struct store_zone_check check;
    struct store_needed_rights needed;
    struct rights rights;
    struct store_zone *out;
    unsigned rounds;
    store_done *done;
    void *context;
};

static void record(struct recording *recording);

static void note_in_ledger(void *context, const struct error *error) {
    struct recording *recording = context;
    if (error != NULL) {
        recording->done(recording->context, error);
        return;
    }
    recording->check.rights = recording->rights.given;
    recording->check.right_count = recording->rights.count;
    record(recording);
}

static void write_needed(struct recording *recording) {
    const struct store_needed_rights *needed = &recording->needed;
    rights_clear(&recording->rights);
    for (size_t i = 0; i + 1 < needed->count; i += 2)
        (void)rights_add(&recording->rights, needed->words[i], needed->words[i + 1], "dns-check");
    rights_record(&recording->rights, recording->worker, recording->signer, note_in_ledger, recording);
}

static void note_recorded(void *context, const struct error *error) {
    struct recording *recording = context;
    const struct error busy = {ERROR_UNAVAILABLE, "the zone changes all the time; try again"};
    if (error != NULL || recording->needed.count == 0)
        recording->done(recording->context, error);
    else if (++recording->rounds > ROUNDS_MAX)
        recording->done(recording->context, &busy);
    else
        write_needed(recording);
}

static void record(struct recording *recording) {
    recording->needed.count = 0;
    store_record_zone_check(recording->worker->store, recording->arena, &recording->check, recording->out,
                            note_recorded, recording);
}

void rights_record_zone_check(struct worker *worker, struct signer_client *signer, struct arena *arena,
                              const struct store_zone_check *check, struct store_zone *out, store_done *done,
                              void *context) {
    struct recording *recording = arena_alloc(arena, sizeof *recording);
    if (recording == NULL) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        done(context, &error);
        return;
    }
    *recording = (struct recording){.worker = worker,
                                    .signer = signer,
                                    .arena = arena,
                                    .check = *check,
                                    .out = out,
                                    .done = done,
                                    .context = context};
    recording->check.needed = &recording->needed;
    record(recording);
}
