/* The signer's settings, tried by a process of the signer's user beside the one that runs: everything its
 * start reads but the ledger itself, which that one holds. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine_state.h"

static bool check_ledger_directory(const char *directory, struct error *error) {
    return faccessat(AT_FDCWD, directory, R_OK | W_OK | X_OK, AT_EACCESS) == 0 ||
           error_set(
               error, ERROR_INVALID,
               "signer.ledger_directory: cannot read and write the folder %s: %m; `originca-server ca init` "
               "makes it, its owner must be the signer's user",
               directory);
}

bool signer_try_files(const struct config *config, struct error *error) {
    struct engine engine = {.config = config};
    bool is_good = engine_load_rules(config, error) && engine_load_issuers(&engine, error) &&
                   check_ledger_directory(config->ledger_directory, error);
    free(engine.keys);
    arena_free(engine.arena);
    return is_good;
}

/* The key under which a refused PIN is remembered. One that cannot be read is not replaced: a start does
 * that. */
static bool get_key(struct engine *engine, struct error *error) {
    const char *directory = engine->config->ledger_directory;
    if (checkpoint_load_key(directory, engine->key, error))
        return true;
    if (error->code == ERROR_NOT_FOUND && checkpoint_make_key(directory, engine->key, error))
        return true;
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
