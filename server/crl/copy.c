/* Copies what was published into files, each list verified before it is served, and puts Redis right where it
 * has forgotten a list or has a foreign one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "originca/log.h"
#include "verify.h"

#define COMPLAIN_MS 3600000 /* about the same thing */

static void copy_next(struct crl_keeper *keeper);

/* --- lists that are none of ours --- */

static struct crl_refused *find_refused(const struct crl_keeper *keeper, const char *issuer,
                                        const char *url) {
    for (size_t i = 0; i < keeper->refused_count; i++)
        if (strcmp(keeper->refused[i].url, url) == 0 && strcmp(keeper->refused[i].issuer, issuer) == 0)
            return &keeper->refused[i];
    return NULL;
}

bool crl_keeper_has_refused(const struct crl_keeper *keeper, const char *issuer, const char *url,
                            uint64_t number) {
    const struct crl_refused *found = find_refused(keeper, issuer, url);
    return found != NULL && found->number == number;
}

static void drop_refused(struct crl_keeper *keeper, struct crl_refused *refused) {
    free(refused->issuer);
    free(refused->url);
    *refused = keeper->refused[--keeper->refused_count];
}

void crl_keeper_free_refused(struct crl_keeper *keeper) {
    while (keeper->refused_count > 0)
        drop_refused(keeper, keeper->refused);
    free(keeper->refused);
    keeper->refused = NULL;
}

static struct crl_refused *add_refused(struct crl_keeper *keeper, const struct store_crl *crl) {
    struct crl_refused *larger = realloc(keeper->refused, (keeper->refused_count + 1) * sizeof *larger);
    if (larger == NULL)
        return NULL;
    keeper->refused = larger;
    struct crl_refused fresh = {.issuer = strdup(crl->issuer), .url = strdup(crl->url)};
    if (fresh.issuer == NULL || fresh.url == NULL) {
        free(fresh.issuer);
        free(fresh.url);
        return NULL;
    }
    larger[keeper->refused_count] = fresh;
    return &larger[keeper->refused_count++];
}

/* Said once for each. What is served goes on being served. */
static void refuse(struct crl_keeper *keeper, const struct store_crl *crl, const struct error *why) {
    char number[24];
    struct crl_refused *known = find_refused(keeper, crl->issuer, crl->url);
    bool is_news = known == NULL || known->number != crl->number;
    if (known == NULL)
        known = add_refused(keeper, crl);
    if (known != NULL) {
        known->number = crl->number;
        known->is_found = true;
    }
    if (!is_news)
        return;
    metric_add(keeper->refused_total, 1);
    snprintf(number, sizeof number, "%llu", (unsigned long long)crl->number);
    log_event(
        LOG_LEVEL_ERROR,
        "Redis has a revocation list that is refused: somebody has changed it there, or a clock is wrong",
        "issuer", crl->issuer, "list", crl->url, "number", number, "reason", why->message, NULL);
}

static void begin_comparison(struct crl_keeper *keeper) {
    for (size_t i = 0; i < keeper->refused_count; i++)
        keeper->refused[i].is_found = false;
}

static void end_comparison(struct crl_keeper *keeper) {
    for (size_t i = keeper->refused_count; i-- > 0;)
        if (!keeper->refused[i].is_found)
            drop_refused(keeper, &keeper->refused[i]);
}

/* --- from Redis to files --- */

static bool put_file(struct crl_keeper *keeper, const struct store_crl *crl, const struct crl_facts *facts,
                     struct error *error) {
    const struct crl_file file = {.issuer = (char *)(uintptr_t)crl->issuer,
                                  .url = (char *)(uintptr_t)crl->url,
                                  .number = facts->number,
                                  .entry_count = facts->entry_count,
                                  .this_update = facts->this_update,
                                  .next_update = facts->next_update};
    return crl_files_put(&keeper->files, &file, keeper->loaded.der, error);
}

/* ERROR_INVALID: what Redis has is no list to serve here. */
static bool take_list(struct crl_keeper *keeper, struct store_crl *crl, struct error *error) {
    struct crl_facts facts;
    crl->number = keeper->loaded.number; /* a newer one may have come since the listing */
    if (!crl_verify(crl_keeper_issuer(keeper, crl->issuer), crl->url, keeper->loaded.der, &facts, error) ||
        !crl_judge_facts(keeper->worker->config, &facts, clock_wall_ms(), error))
        return false;
    if (facts.number != crl->number)
        return error_set(error, ERROR_INVALID, "its own number is %llu", (unsigned long long)facts.number);
    uint64_t floor = crl_keeper_floor(keeper, crl->issuer, crl->url, crl->floor);
    if (facts.number < floor)
        return error_set(error, ERROR_INVALID, "a newer one, %llu, was signed", (unsigned long long)floor);
    return put_file(keeper, crl, &facts, error);
}

static void note_loaded(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    struct store_crl *crl = &keeper->published.items[keeper->next_published - 1];
    struct error problem;
    bool is_taken = error == NULL && take_list(keeper, crl, &problem);
    if (error != NULL)
        problem = *error;
    if (error != NULL && crl_keeper_is_passing(error)) {
        crl_keeper_fail_step(keeper, "copy", error);
        return;
    }
    if (!is_taken && problem.code != ERROR_INVALID && problem.code != ERROR_NOT_FOUND)
        crl_keeper_complain(keeper, "copy", &problem); /* the others go on */
    else if (!is_taken)
        refuse(keeper, crl, &problem);
    copy_next(keeper);
}

bool crl_keeper_wants(const struct crl_keeper *keeper, const struct store_crl *crl) {
    const struct crl_file *file = crl_files_find(&keeper->files, crl->issuer, crl->url);
    return crl->number > 0 && (*crl->url != '\0' || keeper->worker->config->crl_complete) &&
           crl->number >= crl_keeper_floor(keeper, crl->issuer, crl->url, crl->floor) &&
           crl_keeper_issuer(keeper, crl->issuer) != NULL && (file == NULL || file->number < crl->number);
}

/* A number that none of ours has is refused before the list is fetched. */
static bool is_possible(const struct crl_keeper *keeper, const struct store_crl *crl, struct error *error) {
    const time_t now = time(NULL);
    const struct crl_facts claimed = {.number = crl->number, .this_update = now, .next_update = now + 1};
    return crl_judge_facts(keeper->worker->config, &claimed, clock_wall_ms(), error);
}

/* --- from files to Redis --- */

static bool read_whole(struct crl_keeper *keeper, const struct crl_file *file, struct bytes *der) {
    char path[320];
    uint8_t *data = arena_alloc(keeper->arena, file->bytes + 1);
    snprintf(path, sizeof path, "%s/%s", keeper->files.directory, file->name);
    FILE *stream = data == NULL ? NULL : fopen(path, "re");
    *der = (struct bytes){data, stream == NULL ? 0 : fread(data, 1, file->bytes + 1, stream)};
    if (stream != NULL)
        fclose(stream);
    return stream != NULL && der->length == file->bytes;
}

/* NULL: Redis does not know it. */
static const struct store_crl *find_published(const struct crl_keeper *keeper, const struct crl_file *file) {
    for (size_t i = 0; i < keeper->published.count; i++)
        if (strcmp(keeper->published.items[i].url, file->url) == 0 &&
            strcmp(keeper->published.items[i].issuer, file->issuer) == 0)
            return &keeper->published.items[i];
    return NULL;
}

static void publish_next_again(struct crl_keeper *keeper);

/* One that Redis does not take keeps no other from it. */
static void note_published_again(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL && crl_keeper_is_passing(error)) {
        crl_keeper_fail_step(keeper, "publish again", error);
        return;
    }
    if (error != NULL && error->code != ERROR_CONFLICT)
        crl_keeper_complain(keeper, "publish again", error);
    if (error != NULL && error->code == ERROR_CONFLICT)
        keeper->ticks = 0; /* looked at again with the next tick */
    keeper->has_published_again = keeper->has_published_again || error == NULL;
    publish_next_again(keeper);
}

/* A Redis that went back has forgotten the newest lists that were served here, and one that somebody has
 * changed has none of ours: numbers must not come again, and other hosts must not fall behind. */
static bool publish_again(struct crl_keeper *keeper) {
    while (keeper->next_file < keeper->files.count) {
        const struct crl_file *file = &keeper->files.items[keeper->next_file++];
        const struct store_crl *published = find_published(keeper, file);
        uint64_t known = published == NULL ? 0 : published->number,
                 floor = crl_keeper_floor(keeper, file->issuer, file->url,
                                          published == NULL ? 0 : published->floor);
        bool is_refused = crl_keeper_has_refused(keeper, file->issuer, file->url, known);
        /* Below the floor it is not published: it is due to be made anew. */
        if ((known >= file->number && !is_refused) || file->number < floor ||
            !read_whole(keeper, file, &keeper->republished))
            continue;
        keeper->made_crl = (struct store_crl){.issuer = file->issuer,
                                              .url = file->url,
                                              .number = file->number,
                                              .this_update = file->this_update,
                                              .next_update = file->next_update,
                                              .entry_count = file->entry_count};
        store_publish_crl(keeper->worker->store, &keeper->made_crl, keeper->republished, "", "",
                          is_refused ? known : 0, crl_number_ceiling(keeper->worker->config), NULL,
                          note_published_again, keeper);
        return true;
    }
    return false;
}

/* Then all are compared anew, where Redis took any. */
static void publish_next_again(struct crl_keeper *keeper) {
    if (publish_again(keeper))
        return;
    if (!keeper->has_published_again) {
        crl_keeper_renew_overdue(keeper);
        return;
    }
    keeper->ticks = 0;
    crl_keeper_end_step(keeper, 0);
}

/* --- all of it --- */

/* It takes its lists and OCSP answers with it while certificates live that name them. */
static void miss_issuer(const struct store_crl *crl) {
    char end[TIME_TEXT_MAX];
    time_format(crl->issuer_end, end);
    log_event(
        LOG_LEVEL_ERROR,
        "an issuer that has certificates is not in the configuration: its revocation lists run out and "
        "OCSP knows it no more; keep its section until they have ended, acme_*_issuer and rest_*_issuer "
        "say which issuers issue",
        "issuer", crl->issuer, "certificates_until", end, NULL);
}

static void look_for_missing_issuers(struct crl_keeper *keeper) {
    int64_t now_ms = clock_monotonic_ms(), missing = 0;
    time_t now = time(NULL);
    bool is_told = keeper->missed_issuer_ms != 0 && now_ms - keeper->missed_issuer_ms < COMPLAIN_MS;
    for (size_t i = 0; i < keeper->published.count; i++) {
        const struct store_crl *crl = &keeper->published.items[i];
        if (*crl->url != '\0' || crl->issuer_end <= now || crl_keeper_issuer(keeper, crl->issuer) != NULL)
            continue;
        missing++;
        if (!is_told) {
            miss_issuer(crl);
            keeper->missed_issuer_ms = now_ms;
        }
    }
    metric_set(keeper->missing_issuers, missing);
}

static void count_problems(struct crl_keeper *keeper) {
    int64_t failing = 0;
    for (size_t i = 0; i < keeper->published.count; i++)
        failing += *keeper->published.items[i].problem != '\0';
    metric_set(keeper->failing, failing);
    metric_set(keeper->refused_now, (int64_t)keeper->refused_count);
}

static void end_copying(struct crl_keeper *keeper) {
    crl_metrics_publish(keeper);
    if (!keeper->compares_all) {
        crl_keeper_claim_next(keeper);
        return;
    }
    keeper->compares_all = keeper->is_adopted = false; /* what Redis lost of the latter is found again */
    end_comparison(keeper);
    count_problems(keeper);
    crl_keeper_find_stale(keeper);
    look_for_missing_issuers(keeper);
    keeper->next_file = 0;
    keeper->has_published_again = false;
    publish_next_again(keeper);
}

static void copy_next(struct crl_keeper *keeper) {
    struct error why;
    while (keeper->next_published < keeper->published.count) {
        const struct store_crl *crl = &keeper->published.items[keeper->next_published++];
        if (crl->sequence > keeper->seen)
            keeper->seen = crl->sequence;
        if (!crl_keeper_wants(keeper, crl))
            continue;
        if (!is_possible(keeper, crl, &why)) {
            refuse(keeper, crl, &why);
            continue;
        }
        store_load_crl(keeper->worker->store, keeper->arena, crl->id, &keeper->loaded, note_loaded, keeper);
        return;
    }
    end_copying(keeper);
}

/* Nobody makes them any more: they would go on saying that nothing has been revoked since. */
static void drop_complete(struct crl_keeper *keeper) {
    struct error error;
    for (size_t i = keeper->files.count; i-- > 0;)
        if (*keeper->files.items[i].url == '\0' &&
            !crl_files_drop(&keeper->files, &keeper->files.items[i], &error))
            crl_keeper_complain(keeper, "drop", &error);
}

void crl_keeper_drop_damaged(struct crl_keeper *keeper) {
    const struct crl_file *file;
    struct error error;
    if (!keeper->worker->config->crl_complete)
        drop_complete(keeper);
    while ((file = crl_files_find_damaged(&keeper->files)) != NULL) {
        metric_add(keeper->damaged_total, 1);
        log_event(LOG_LEVEL_ERROR,
                  "the file of a revocation list is damaged or gone: it is fetched from Redis again",
                  "issuer", file->issuer, "list", file->url, "file", file->name, NULL);
        if (!crl_files_drop(&keeper->files, file, &error))
            crl_keeper_complain(keeper, "drop", &error);
    }
}

void crl_keeper_copy(struct crl_keeper *keeper) {
    keeper->next_published = 0;
    if (keeper->compares_all) {
        crl_keeper_drop_damaged(keeper);
        begin_comparison(keeper);
    }
    copy_next(keeper);
}
