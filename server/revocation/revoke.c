/* Ledger first: once it has the record, nothing undoes the revocation. Then Redis, which every host reads:
 * where that does not say that it has it, whoever asked is told to come again, not that it is done. */
#include "originca/revoke.h"

#include <string.h>

#include "originca/crl.h"
#include "originca/log.h"

/* Together a little longer than a pass of the fence. */
#define RECORD_TRIES 5
#define RECORD_PAUSE_MS 500

static void ignore(void *context, const struct error *error) {
    (void)context;
    (void)error; /* then the same request is answered as the first time once more */
}

static void succeed(struct revoke *revoke) {
    if (revoke->request_id != NULL) {
        log_event(LOG_LEVEL_INFO, "certificate revoked", "request", revoke->request_id, "serial",
                  revoke->certificate->serial, "reason", revocation_reason_name(revoke->known_reason), "by",
                  revoke->by, NULL);
        store_note_told(revoke->worker->store, revoke->certificate->serial, ignore, NULL);
    }
    revoke->done(revoke->context, NULL);
}

static void fail(struct revoke *revoke, const struct error *error) {
    struct error pending;
    log_event(LOG_LEVEL_WARNING, "the ledger holds a revocation that Redis did not take yet", "serial",
              revoke->certificate->serial, "reason", error->message, NULL);
    error_set(&pending, ERROR_PENDING,
              "the revocation is in the ledger and will take effect, but Redis did not take it yet (%.200s), "
              "so other hosts may still tell the certificate as good: send it again until it is confirmed",
              error->message);
    revoke->done(revoke->context, &pending);
}

static void record(struct revoke *revoke);

static void record_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    record(context);
}

/* A connection that broke, a fail-over, a script that runs too long: most are over in that time. */
static bool try_again(struct revoke *revoke) {
    const struct timeval pause = {.tv_usec = RECORD_PAUSE_MS * 1000};
    return revoke->tries++ < RECORD_TRIES && !revoke->worker->is_draining &&
           event_base_once(revoke->worker->base, -1, EV_TIMEOUT, record_again, revoke, &pause) == 0;
}

static void note_recorded(void *context, const struct error *error) {
    struct revoke *revoke = context;
    revoke->store_code = error == NULL ? ERROR_NONE : error->code;
    if (error != NULL && (error->code == ERROR_UNKNOWN || error->code == ERROR_UNAVAILABLE) &&
        try_again(revoke))
        return;
    if (error != NULL)
        fail(revoke, error);
    else
        succeed(revoke);
}

static void add_mark(struct revoke *revoke, uint64_t sequence, const uint8_t *hash) {
    size_t at = revoke->mark.count++;
    revoke->marked[at] = sequence;
    memcpy(revoke->marked_hashes[at], hash, SHA256_BYTES);
}

static void record(struct revoke *revoke) {
    const struct signer_revocation *word = &revoke->word;
    /* The reason with who said it: what the ledger knows beyond that comes with its own record. */
    const struct store_revocation revocation = {.serial = revoke->certificate->serial,
                                                .by = revoke->by,
                                                .reason = revoke->reason,
                                                .revoked_at = word->revoked_at,
                                                .not_after = word->not_after,
                                                .crl_url = word->crl_url};
    store_revoke_certificate(revoke->worker->store, &revocation, &revoke->mark, note_recorded, revoke);
}

static void note_in_ledger(void *context, const struct error *error) {
    struct revoke *revoke = context;
    const struct signer_revocation *word = &revoke->word;
    if (error != NULL) {
        revoke->done(revoke->context, error);
        return;
    }
    revoke->revoked_at = word->revoked_at;
    revoke->was_revoked_before = word->was_revoked_before;
    revoke->known_reason = word->known_reason;
    revoke->mark = (struct store_ledger_mark){.host = revoke->worker->config->host_name,
                                              .sequences = revoke->marked,
                                              .hashes = revoke->marked_hashes[0]};
    for (size_t i = 0; i < revoke->sequence_count; i++)
        add_mark(revoke, revoke->sequences[i], revoke->hashes + i * SHA256_BYTES);
    add_mark(revoke, word->sequence, word->hash);
    record(revoke);
}

bool revoke_is_repetition(const struct store_certificate *certificate, uint32_t reason, const char *by) {
    return certificate->status == CERTIFICATE_REVOKED && !certificate->is_told &&
           certificate->reason == reason && strcmp(certificate->by, by) == 0;
}

void revoke_start(struct revoke *revoke, signer_done *done, void *context) {
    revoke->done = done;
    revoke->context = context;
    const char *url = crl_url_of_certificate(revoke->arena, revoke->certificate->der);
    revoke->word = (struct signer_revocation){.issuer = revoke->certificate->issuer,
                                              .reason = revoke->reason,
                                              .by = revoke->by,
                                              .not_after = revoke->certificate->not_after,
                                              .crl_url = url == NULL ? "" : url};
    if (revoke->sequence_count > REVOKE_MARKS_MAX ||
        !hex_decode(revoke->certificate->serial, revoke->word.serial, SERIAL_BYTES)) {
        const struct error broken = {ERROR_INTERNAL, "a serial cannot be read back"};
        done(context, &broken);
        return;
    }
    signer_revoke(revoke->worker->signer, &revoke->word, note_in_ledger, revoke);
}
