/* What monitoring sees of the lists that this host serves: all together, and each of the first
 * `crl_metric_lists` by itself. */
#include <stdio.h>
#include <string.h>

#include "keeper.h"

void crl_metrics_register(struct crl_keeper *keeper) {
    struct metrics *metrics = keeper->worker->metrics;
    keeper->made = metrics_counter(metrics, "originca_crls_published_total", "Revocation lists published");
    keeper->failed = metrics_counter(metrics, "originca_crl_failures_total",
                                     "Times that a revocation list could not be made, copied or published");
    keeper->unsorted = metrics_gauge(metrics, "originca_crl_unsorted",
                                     "Revocations whose list is not known yet; none is made meanwhile");
    keeper->set_aside =
        metrics_gauge(metrics, "originca_crl_unreadable",
                      "Revocations in Redis of which nobody can read which list they belong to");
    keeper->oldest =
        metrics_gauge(metrics, "originca_crl_age_seconds", "Age of the oldest revocation list served here");
    keeper->entries = metrics_gauge(metrics, "originca_crl_entries", "Entries of all revocation lists");
    keeper->lists = metrics_gauge(metrics, "originca_crls", "Revocation lists served here");
    keeper->failing = metrics_gauge(metrics, "originca_crls_failing",
                                    "Revocation lists that could not be made when that was tried last");
    keeper->damaged_total =
        metrics_counter(metrics, "originca_crl_files_damaged_total",
                        "Files of revocation lists that were found damaged or gone, and fetched again");
    keeper->stale =
        metrics_gauge(metrics, "originca_crls_stale",
                      "Revocation lists of which this host serves an older one than was published");
    keeper->lacking_total = metrics_counter(
        metrics, "originca_crl_lacking_total",
        "Revocation lists that had long lacked a revocation of this host's ledger, and were made anew");
    keeper->unproven = metrics_gauge(
        metrics, "originca_crl_unproven_entries",
        "Entries of revocation lists that no host's ledger is known to have, for two minutes or longer");
    keeper->wrong = metrics_gauge(metrics, "originca_crl_wrong_entries",
                                  "Entries in Redis that no list can have, of the lists that this host made");
    keeper->refused_now = metrics_gauge(metrics, "originca_crls_refused",
                                        "Lists in Redis that are not what they are said to be");
    keeper->missing_issuers = metrics_gauge(
        metrics, "originca_crl_missing_issuers",
        "Issuers that have certificates and are not in the configuration: nobody makes their lists");
    keeper->refused_total = metrics_counter(metrics, "originca_crl_refused_total",
                                            "Times that such a list was found and not served");
}

time_t crl_metrics_age(uint64_t number, time_t now) {
    time_t made = (time_t)(number / 1000);
    return made < now ? now - made : 0;
}

/* The complete list is "all". A URL that leaves no room for itself is told by its end. */
static bool name_metric(const char *family, const char *issuer, const char *url, char *name, size_t size) {
    const char *list = *url == '\0' ? "all" : url;
    size_t others = strlen(family) + strlen(issuer) + strlen("{issuer=\"\",list=\"\"}");
    if (others >= size || strpbrk(list, "{}") != NULL)
        return false;
    size_t room = size - 1 - others, length = strlen(list);
    return (size_t)snprintf(name, size, "%s{issuer=\"%s\",list=\"%s\"}", family, issuer,
                            list + (length > room ? length - room : 0)) < size;
}

static void set(struct crl_keeper *keeper, const struct crl_file *file, const char *family, const char *help,
                int64_t value) {
    char name[METRIC_NAME_MAX];
    if (name_metric(family, file->issuer, file->url, name, sizeof name))
        metric_set(metrics_gauge(keeper->worker->metrics, name, help), value);
}

static void publish_list(struct crl_keeper *keeper, const struct crl_file *file, time_t now) {
    set(keeper, file, "originca_crl_list_age_seconds", "Age of a revocation list",
        (int64_t)crl_metrics_age(file->number, now));
    set(keeper, file, "originca_crl_list_entries", "Entries of a revocation list",
        (int64_t)file->entry_count);
    set(keeper, file, "originca_crl_list_bytes", "Size of a revocation list", (int64_t)file->bytes);
    set(keeper, file, "originca_crl_list_number", "cRLNumber of a revocation list", (int64_t)file->number);
    set(keeper, file, "originca_crl_list_next_update_timestamp_seconds", "nextUpdate of a revocation list",
        (int64_t)file->next_update);
}

void crl_metrics_publish(struct crl_keeper *keeper) {
    time_t now = time(NULL), oldest = 0;
    uint64_t entries = 0, wrong = 0;
    for (size_t i = 0; i < keeper->files.count; i++) {
        const struct crl_file *file = &keeper->files.items[i];
        time_t age = crl_metrics_age(file->number, now);
        oldest = age > oldest ? age : oldest;
        entries += file->entry_count;
        wrong += file->wrong_entries;
        if (i < keeper->worker->config->crl_metric_lists)
            publish_list(keeper, file, now);
    }
    metric_set(keeper->lists, (int64_t)keeper->files.count);
    metric_set(keeper->wrong, (int64_t)wrong);
    metric_set(keeper->entries, (int64_t)entries);
    metric_set(keeper->oldest, (int64_t)oldest);
}

/* One that is not served yet counts as the next that will be. */
static void count(struct crl_keeper *keeper, const char *issuer, const char *url, const char *family,
                  const char *help) {
    char name[METRIC_NAME_MAX];
    const struct crl_file *file = crl_files_find(&keeper->files, issuer, url);
    size_t place = file == NULL ? keeper->files.count : (size_t)(file - keeper->files.items);
    if (place < keeper->worker->config->crl_metric_lists &&
        name_metric(family, issuer, url, name, sizeof name))
        metric_add(metrics_counter(keeper->worker->metrics, name, help), 1);
}

void crl_metrics_count_signature(struct crl_keeper *keeper, const char *issuer, const char *url) {
    count(keeper, issuer, url, "originca_crl_list_signatures_total",
          "Signatures of a revocation list by this host");
}

void crl_metrics_count_failure(struct crl_keeper *keeper, const char *issuer, const char *url) {
    count(keeper, issuer, url, "originca_crl_list_failures_total",
          "Times that this host could not make a revocation list");
}
