/* Puts revoked certificates on the list that only they themselves name, and sets aside what cannot be read.
 */
#include <stdio.h>

#include "keeper.h"
#include "originca/der.h"
#include "originca/log.h"

static void sort_next(struct crl_keeper *keeper);

static const char *serial_at_work(const struct crl_keeper *keeper) {
    return keeper->claim.unsorted[keeper->next_unsorted - 1];
}

static void note_set_aside(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_step(keeper, "set aside", error);
    else
        sort_next(keeper);
}

/* One that cannot be read keeps no list waiting. */
static void fail_sorting(struct crl_keeper *keeper, const struct error *error) {
    if (crl_keeper_is_passing(error)) {
        crl_keeper_fail_step(keeper, "sort", error);
        return;
    }
    metric_add(keeper->failed, 1);
    log_event(LOG_LEVEL_ERROR,
              "Redis has a revoked certificate that cannot be read: it is missing on the list that it names",
              "serial", serial_at_work(keeper), "reason", error->message, NULL);
    store_set_aside_revocation(keeper->worker->store, serial_at_work(keeper), note_set_aside, keeper);
}

static void note_sorted(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        fail_sorting(keeper, error);
    else
        sort_next(keeper);
}

static bool is_certificate(struct bytes der) {
    struct der_item whole, tbs, algorithm, signature;
    return der_expect(&der, 0x30, &whole) && der.length == 0 && der_expect(&whole.content, 0x30, &tbs) &&
           der_expect(&whole.content, 0x30, &algorithm) && der_expect(&whole.content, 0x03, &signature) &&
           whole.content.length == 0;
}

static void note_certificate(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const char *serial = serial_at_work(keeper), *url = "";
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        fail_sorting(keeper, error);
        return;
    }
    if (error == NULL && keeper->certificate.der.length > 0 && !is_certificate(keeper->certificate.der)) {
        const struct error broken = {ERROR_INVALID, "its DER is no certificate"};
        fail_sorting(keeper, &broken);
        return;
    }
    if (error == NULL && keeper->certificate.der.length > 0)
        url = crl_url_of_certificate(keeper->arena, keeper->certificate.der);
    store_sort_revocation(keeper->worker->store, serial, url, note_sorted, keeper);
}

static void sort_next(struct crl_keeper *keeper) {
    if (keeper->next_unsorted == keeper->claim.unsorted_count) {
        crl_keeper_end_step(keeper, 0);
        return;
    }
    store_load_certificate(keeper->worker->store, keeper->arena,
                           keeper->claim.unsorted[keeper->next_unsorted++], &keeper->certificate,
                           note_certificate, keeper);
}

void crl_keeper_tell_unsorted(struct crl_keeper *keeper) {
    char count[24];
    uint64_t known = keeper->told_aside;
    keeper->told_aside = keeper->claim.set_aside;
    metric_set(keeper->unsorted, (int64_t)keeper->claim.unsorted_count);
    metric_set(keeper->set_aside, (int64_t)keeper->claim.set_aside);
    if (keeper->claim.set_aside <= known)
        return;
    snprintf(count, sizeof count, "%llu", (unsigned long long)keeper->claim.set_aside);
    log_event(LOG_LEVEL_ERROR, "Redis has revocations whose list cannot be read (crl-unreadable)", "count",
              count, NULL);
}

void crl_keeper_sort(struct crl_keeper *keeper) {
    keeper->next_unsorted = 0;
    sort_next(keeper);
}
