/* The token: opened when the ledger is read, and waited for while it cannot be used. A PIN that it refused is
 * not tried again, by this process or the next, until the PIN file or the token has changed or an operator
 * asks: real tokens lock after a few wrong ones. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "engine_state.h"
#include "originca/log.h"
#include "state_file.h"
#include "token.h"

#define REFUSED_FILE "pin-refused"
#define LOOK_FIRST_MS 500
#define LOOK_LAST_MS 10000
#define LOOK_PIN_MS 1000 /* the file is read, nobody logs in */
#define TURN_WAIT_MS 5000

/* Kept in a file, so that a restart is not another try. */
struct refused {
    uint8_t pin[SHA256_BYTES];   /* a MAC of it under the signer's key */
    uint8_t token[SHA256_BYTES]; /* token_describe */
    int64_t asked_at;            /* when an operator last had it tried again, seconds; 0: never */
};

bool engine_load_issuers(struct engine *engine, struct error *error) {
    const struct config *config = engine->config;
    engine->arena = arena_new(0);
    engine->issuer_count = config->issuer_count;
    engine->thread_count = config->signer_threads;
    engine->issuers = engine->arena == NULL
                          ? NULL
                          : arena_alloc(engine->arena, config->issuer_count * sizeof *engine->issuers);
    engine->keys = calloc(config->issuer_count * engine->thread_count, sizeof *engine->keys);
    if (engine->issuers == NULL || engine->keys == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < config->issuer_count; i++)
        if (!issuer_load(engine->arena, &config->issuers[i], &engine->issuers[i], error))
            return false;
    return true;
}

static void close_token(struct engine *engine) {
    for (size_t i = 0; engine->keys != NULL && i < engine->issuer_count * engine->thread_count; i++) {
        if (engine->keys[i] != NULL)
            gnutls_privkey_deinit(engine->keys[i]);
        engine->keys[i] = NULL;
    }
    token_close();
}

void engine_free_token(struct engine *engine) {
    close_token(engine);
    free(engine->keys);
}

static bool load_keys(struct engine *engine, struct error *error) {
    const struct config *config = engine->config;
    for (unsigned thread = 0; thread < engine->thread_count; thread++)
        for (size_t i = 0; i < config->issuer_count; i++)
            if (!token_load_key(config->issuers[i].key_uri, &engine->keys[thread * config->issuer_count + i],
                                error))
                return false;
    return true;
}

static bool does_not_belong(const struct issuer *issuer, const char *why, enum error_code code,
                            struct error *error) {
    return error_set(error, code, "the key of issuer \"%s\" does not sign for %s: %s", issuer->config->name,
                     issuer->config->certificate_file, why);
}

/* A key that does not fit its certificate would sign what nobody can verify: found at start, not by a
 * customer. */
static bool try_keys(struct engine *engine, struct error *error) {
    static const unsigned char text[] = "originca";
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)text, sizeof text};
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        gnutls_datum_t signature = {0};
        if (gnutls_privkey_get_pk_algorithm(engine->keys[i], NULL) !=
            gnutls_pubkey_get_pk_algorithm(issuer->public_key, NULL))
            return does_not_belong(issuer, "they are of different kinds", ERROR_INVALID, error);
        int outcome = gnutls_privkey_sign_data2(engine->keys[i], issuer->algorithm, 0, &data, &signature);
        bool is_signed = outcome >= 0;
        if (is_signed)
            outcome = gnutls_pubkey_verify_data2(issuer->public_key, issuer->algorithm, 0, &data, &signature);
        gnutls_free(signature.data);
        if (outcome < 0)
            return does_not_belong(issuer, gnutls_strerror(outcome),
                                   is_signed ? ERROR_INVALID : ERROR_UNAVAILABLE, error);
    }
    return true;
}

static bool read_refused(const struct engine *engine, struct refused *refused) {
    size_t length = 0;
    struct error ignored;
    uint8_t *bytes = state_file_read(engine->config->ledger_directory, REFUSED_FILE, &length, &ignored);
    bool is_there = bytes != NULL && length == sizeof *refused;
    if (is_there)
        memcpy(refused, bytes, sizeof *refused);
    free(bytes);
    return is_there;
}

static void write_refused(const struct engine *engine, const struct refused *refused) {
    struct error error;
    if (!state_file_write(engine->config->ledger_directory, REFUSED_FILE, refused, sizeof *refused, &error))
        log_event(LOG_LEVEL_ERROR, "a restart would try the refused PIN again", "reason", error.message,
                  NULL);
}

static void digest_pin(const struct engine *engine, uint8_t out[SHA256_BYTES]) {
    hmac_sha256(engine->key, sizeof engine->key, token_pin(), strlen(token_pin()), out);
}

static void note_usable(struct engine *engine) {
    engine->is_token_usable = true;
    engine->token = (struct token_wait){.failures = 0};
    state_file_remove(engine->config->ledger_directory, REFUSED_FILE);
    log_event(LOG_LEVEL_INFO, "the token is usable", NULL);
}

/* A token that fails in the middle of a login may name a refused PIN as nothing else does: after some tries
 * it is asked as rarely as an operator may have a refused PIN tried. */
static int64_t pause_of(const struct engine *engine) {
    int64_t last = token_was_pin_given() ? 1000 * (int64_t)engine->config->pin_retry_seconds : LOOK_LAST_MS;
    int64_t pause = LOOK_FIRST_MS;
    for (unsigned i = 0; i < engine->token.failures && pause < last; i++)
        pause *= 2;
    return pause < last ? pause : last;
}

static void note_away(struct engine *engine, bool is_pin_refused, const char *reason) {
    struct token_wait *wait = &engine->token;
    if (strcmp(wait->reason, reason) != 0) {
        log_event(LOG_LEVEL_ERROR, "the token cannot be used", "reason", reason, NULL);
        snprintf(wait->reason, sizeof wait->reason, "%s", reason);
    }
    wait->next_ms = clock_monotonic_ms() + (is_pin_refused ? LOOK_PIN_MS : pause_of(engine));
    wait->failures++;
    wait->is_pin_refused = is_pin_refused;
    close_token(engine);
}

static void describe_refused(const struct engine *engine, const char *why, char reason[512]) {
    snprintf(reason, 512,
             "the token refused the PIN (%.60s). Correct it in %s or see to the token: then it is tried "
             "again; the same "
             "PIN only by `originca admin token retry`",
             why, engine->config->pkcs11_pin_file);
}

/* SoftHSM empties its token's file before it locks and rewrites it, at each login: whoever reads it in
 * between is told that the PIN is wrong, which would be remembered, or that the key is not there. So the
 * signer and those who check its settings log in one after the other. Closing the result lets the next one
 * in; negative where the folder cannot be opened; where somebody hangs in the token it is tried all the same.
 */
static int await_turn(const struct engine *engine) {
    static const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int fd = open(engine->config->ledger_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t last = clock_monotonic_ms() + TURN_WAIT_MS;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && clock_monotonic_ms() < last)
        nanosleep(&pause, NULL);
    return fd;
}

/* One login at most. `is_known`: the token refused this PIN before, and unless an operator asks it is not
 * tried. */
static bool log_in_alone(struct engine *engine, bool is_asked, bool *is_known, struct error *error) {
    struct refused refused = {.asked_at = 0}, now = {.asked_at = 0};
    *is_known = false;
    if (!token_open(engine->config, error))
        return false;
    digest_pin(engine, now.pin);
    token_describe(now.token);
    *is_known = read_refused(engine, &refused) && memcmp(refused.pin, now.pin, sizeof now.pin) == 0 &&
                memcmp(refused.token, now.token, sizeof now.token) == 0;
    if (*is_known && !is_asked)
        return error_set(error, ERROR_REFUSED, "as before the restart");
    if (engine->login_total != NULL)
        metric_add(engine->login_total, 1);
    if (load_keys(engine, error) && try_keys(engine, error))
        return true;
    if (error->code == ERROR_REFUSED) {
        token_describe(now.token); /* this very try may have locked it */
        now.asked_at = is_asked ? clock_wall_ms() / 1000 : *is_known ? refused.asked_at : 0;
        write_refused(engine, &now);
    }
    return false;
}

static bool log_in(struct engine *engine, bool is_asked, bool *is_known, struct error *error) {
    int turn = await_turn(engine);
    bool is_in = log_in_alone(engine, is_asked, is_known, error);
    if (turn >= 0)
        close(turn);
    return is_in;
}

static void open_token(struct engine *engine, bool is_asked) {
    struct error error = {.message = ""};
    char reason[512];
    bool is_known;
    if (log_in(engine, is_asked, &is_known, &error)) {
        note_usable(engine);
    } else if (error.code != ERROR_REFUSED) {
        note_away(engine, false, error.message);
    } else if (is_known && !is_asked && engine->token.is_pin_refused) {
        note_away(engine, true, engine->token.reason);
    } else {
        describe_refused(engine, error.message, reason);
        note_away(engine, true, reason);
    }
}

bool engine_log_in_once(struct engine *engine, struct error *error) {
    char reason[512];
    bool is_known, is_in = log_in(engine, false, &is_known, error);
    if (!is_in && error->code == ERROR_REFUSED) {
        describe_refused(engine, is_known ? "it did so before" : error->message, reason);
        error_set(error, ERROR_REFUSED, "%s", reason);
    }
    return is_in;
}

void engine_try_token(struct engine *engine) {
    if (engine->phase != ENGINE_READING && !engine->is_token_usable &&
        clock_monotonic_ms() >= engine->token.next_ms)
        open_token(engine, false);
    metric_set(engine->token_gauge, engine->is_token_usable);
}

bool engine_retry_token(struct engine *engine, const char *by, struct error *error) {
    struct refused refused;
    int64_t now = clock_wall_ms() / 1000;
    if (engine->is_token_usable)
        return error_set(error, ERROR_CONFLICT, "the token is in use: there is nothing to try again");
    if (engine->token.is_pin_refused && read_refused(engine, &refused) && refused.asked_at != 0 &&
        now - refused.asked_at < (int64_t)engine->config->pin_retry_seconds)
        return error_set(
            error, ERROR_CONFLICT,
            "the token refused this PIN twice, and a token locks after a few wrong ones: correct %s, or ask "
            "again in %lld seconds (signer.pin_retry_seconds)",
            engine->config->pkcs11_pin_file,
            (long long)engine->config->pin_retry_seconds - (long long)(now - refused.asked_at));
    log_event(LOG_LEVEL_WARNING, "the token is tried again", "by", by, NULL);
    open_token(engine, true);
    metric_set(engine->token_gauge, engine->is_token_usable);
    return engine->is_token_usable || error_set(error, ERROR_CONFLICT, "%s", engine->token.reason);
}
