/* The signer's settings, tried by a process of the signer's user beside the one that runs: everything its
 * start reads but the ledger itself, which that one holds. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine_state.h"

static bool may_use(const char *path, int mode, struct error *error) {
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ||
           error_set(error, ERROR_INVALID,
                     "cannot read and write %s: %m; `originca-server ca init` makes it, and it must be the "
                     "signer's "
                     "user's",
                     path);
}

bool signer_try_ledger(const struct config *config, struct error *error) {
    char **paths = NULL;
    if (!may_use(config->ledger_directory, R_OK | W_OK | X_OK, error))
        return false;
    int count = ledger_list_segments(config->ledger_directory, &paths, error);
    bool is_good = count >= 0;
    for (int i = 0; i < count; i++) {
        is_good = is_good && may_use(paths[i], i == count - 1 ? R_OK | W_OK : R_OK, error);
        free(paths[i]);
    }
    free(paths);
    return is_good;
}

bool signer_try_issuer(const struct config_issuer *issuer, struct error *error) {
    struct issuer loaded;
    struct arena *arena = arena_new(0);
    bool is_good = arena != NULL && issuer_load(arena, issuer, &loaded, error);
    arena_free(arena);
    return is_good;
}

/* One that only its lists and answers are still signed with may have ended. */
static bool try_ends(const struct engine *engine, struct error *error) {
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        if (issuer->not_after <= time(NULL) && config_issues_with(engine->config, issuer->config->name))
            return error_set(error, ERROR_INVALID,
                             "the issuing certificate in %s has ended: nothing can be issued with it; put a "
                             "new one in its place",
                             issuer->config->certificate_file);
    }
    return true;
}

static const struct config_issuer *find_anothers(const struct issuer_names *names,
                                                 const struct config *config, struct error *error) {
    struct issuer issuer;
    const struct config_issuer *found = NULL;
    for (size_t i = 0; found == NULL && i < config->issuer_count; i++) {
        struct arena *arena = arena_new(0);
        struct error unread; /* told elsewhere */
        if (arena != NULL && issuer_load(arena, &config->issuers[i], &issuer, &unread) &&
            !issuer_names_judge(names, &issuer, error))
            found = &config->issuers[i];
        arena_free(arena);
    }
    return found;
}

bool signer_try_issuer_names(const struct config *config, const struct config_issuer **anothers,
                             struct error *error) {
    struct issuer_names *names = issuer_names_new();
    bool is_read = names != NULL ? issuer_names_load_ledger(names, config->ledger_directory, error)
                                 : error_set(error, ERROR_INTERNAL, "out of memory");
    *anothers = is_read ? find_anothers(names, config, error) : NULL;
    issuer_names_free(names);
    return is_read && *anothers == NULL;
}

bool signer_try_files(const struct config *config, struct error *error) {
    struct engine engine = {.config = config};
    const struct config_issuer *anothers;
    bool is_good = engine_load_rules(config, error) && engine_load_issuers(&engine, error) &&
                   try_ends(&engine, error) && signer_try_ledger(config, error) &&
                   signer_try_issuer_names(config, &anothers, error);
    free(engine.keys);
    arena_free(engine.arena);
    return is_good;
}

/* The key under which a refused PIN is remembered. One that cannot be read is not replaced: a start does
 * that. Who is not the signer's user leaves no file behind, and forgets. */
static bool get_key(struct engine *engine, struct error *error) {
    const char *directory = engine->config->ledger_directory;
    struct stat status;
    if (checkpoint_load_key(directory, engine->key, error))
        return true;
    bool is_ours = stat(directory, &status) == 0 && status.st_uid == geteuid();
    if (error->code == ERROR_NOT_FOUND && (!is_ours || checkpoint_make_key(directory, engine->key, error))) {
        if (!is_ours)
            random_bytes(engine->key, sizeof engine->key);
        return true;
    }
    error->code = ERROR_INVALID;
    return false;
}

bool signer_try_token(const struct config *config, struct metrics *metrics, struct error *error) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    engine->config = config;
    if (metrics != NULL)
        engine->login_total = metrics_counter(metrics, "originca_token_logins_total",
                                              "Times that the signer tried to log in to its token");
    bool is_good = get_key(engine, error) && engine_load_issuers(engine, error);
    engine->thread_count = 1; /* the keys are the same for each */
    is_good = is_good && engine_log_in_once(engine, error);
    engine_free_token(engine);
    arena_free(engine->arena);
    free(engine);
    return is_good;
}

bool signer_try_settings(const struct config *config, struct metrics *metrics, struct error *error) {
    return signer_try_files(config, error) && signer_try_token(config, metrics, error);
}
