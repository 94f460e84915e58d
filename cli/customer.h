/* The customer's side of `originca`: what its commands share.
 *
 * A value of a setting comes from a flag, else from the environment, else from ~/.config/originca/config,
 * else from /etc/originca/client.conf, else from the program. The rules (customer_options.c) name each one
 * once. */
#pragma once

#include <gnutls/x509.h>

#include "cli.h"

/* Goes on where enum exit_status ends. */
enum { EXIT_FILES = 4, EXIT_HOOK = 5 };

#define DAYS_DEFAULT "5475"

struct options {
    /* settings: the same name as a flag, in the environment and in a configuration file */
    const char *api_url, *ca_file, *api_token, *api_token_file, *service_key, *service_key_file, *api_key,
        *api_email;
    const char *days, *key_type, *key_size, *request_type, *format, *key_format, *key_group, *out_dir,
        *reload_hook, *state_dir, *issuer_file;
    /* flags of single commands */
    const char *hostnames, *from_file, *csr, *key_out, *certificate_out, *name, *zone, *input, *certificate,
        *reason;
    bool as_json, may_overwrite, has_no_state, is_forced, wants_all, is_dry_run, is_sure, is_bare, to_stdout,
        shows_requests, keeps_key, wants_help, only_unrevocable;
};

/* The REST API (origin-ca-rest.md): one connection, the credentials, and what the last answer said. */
struct rest {
    void *curl;
    const char *base;       /* .../client/v4 without a final slash */
    const char *origin;     /* https://host:port */
    const char *headers[4]; /* the credentials, each a whole header line */
    size_t header_count;
    long status;
    int code; /* errors[0].code of a refusal, else 0 */
    json_t *result_info;
};

struct customer {
    struct arena *arena;
    struct error error;
    struct options options;
    struct rest rest;
    const char *const *operands;
    size_t operand_count;
    const char *program; /* "originca" or "cfca" */
    bool has_colour;
    bool has_log_lines; /* what it does as cfca said it: time, [INFO], sentence */
};

struct customer_command {
    const char *name;
    unsigned bit; /* which options it takes */
    const char *usage, *help;
    int (*run)(struct customer *customer);
};

enum {
    FOR_GETCERT = 1,
    FOR_RENEW = 2,
    FOR_LIST = 4,
    FOR_SHOW = 8,
    FOR_REVOKE = 16,
    FOR_GENKEY = 32,
    FOR_JSON = 64,
    FOR_SELFSIGN = 128,
    FOR_CERTINFO = 256,
    FOR_SERVER = FOR_GETCERT | FOR_RENEW | FOR_LIST | FOR_SHOW | FOR_REVOKE,
    FOR_ALL = 511
};

/* customer.c. True where the words are a customer's command (or argv[0] is cfca): it has then run. */
bool customer_main(int argc, char **argv, int *status);
void customer_print_help(FILE *out);
/* The exit status that belongs to customer->error. */
int customer_exit(const struct customer *customer);
/* One line on standard error: "2016/04/25 19:47:23 [INFO] ..." with has_log_lines, else nothing. */
void customer_log(const struct customer *customer, const char *format, ...) PRINTF_LIKE(2, 3);
extern const struct customer_command customer_commands[];
extern const size_t customer_command_count;

/* customer_options.c */
bool options_read(struct customer *customer, const struct customer_command *command, int argc, char **argv);
void options_print_help(const struct customer_command *command, FILE *out);

/* customer_settings.c: environment and files, under the flags that are already in `options`. */
bool settings_load(struct customer *customer, struct options *options) MUST_CHECK;
struct rule {
    const char *name; /* of the flag; a setting has it with '_' in files and as ORIGINCA_NAME outside */
    size_t offset;    /* in struct options */
    bool is_flag;     /* bool without value, else text */
    bool is_setting;
    unsigned commands;
    const char *value, *help; /* for --help */
};
extern const struct rule option_rules[];
extern const size_t option_rule_count;

/* rest.c. `result` of the answer, which may be JSON null; NULL with customer->error otherwise. */
bool rest_open(struct customer *customer) MUST_CHECK;
void rest_close(struct customer *customer);
json_t *rest_call(struct customer *customer, const char *method, const char *path, const json_t *body);
/* GET of a document beside the API ("/issuer/ecc.pem") without credentials; NULL where it cannot be had. */
char *rest_get_plain(struct customer *customer, const char *path);
const char *rest_escape(struct customer *customer, const char *text);
/* The hook's and everybody else's environment without our credentials. */
void settings_hide_secrets(void);

/* files.c: a file is written beside its place, synced, then put there in one step. */
struct output {
    char *path, *temporary;
    bool may_replace;
};
/* Is there something at `path` that must not be replaced? */
bool output_check(const char *path, bool may_replace, struct error *error) MUST_CHECK;
bool output_stage(struct arena *arena, struct output *output, const char *path, const void *bytes,
                  size_t length, mode_t mode, const char *group, bool may_replace,
                  struct error *error) MUST_CHECK;
bool output_place(struct output *output, struct error *error) MUST_CHECK;
void output_discard(struct output *output); /* harmless after output_place */
bool file_make_directory(struct arena *arena, const char *path, mode_t mode, struct error *error) MUST_CHECK;
/* A whole file, or standard input for "-"; wiped when the arena goes. */
bool file_read(struct arena *arena, const char *path, struct bytes *out, struct error *error) MUST_CHECK;

/* progress.c: a bar on a terminal's last line, one line a step elsewhere. */
void progress_show(const char *what, size_t done, size_t count);
void progress_end(void);
