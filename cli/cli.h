/* What the commands of `originca` share. */
#pragma once

#include "client.h"

enum exit_status { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_SERVER = 3 };

#define OWN_ZONES_MAX 16
#define ANY_OPERANDS SIZE_MAX

struct cli {
    struct client client;
    bool as_json, has_colour;
    /* options that several commands take */
    const char *customer, *jwk_file, *status, *zone, *since, *reason, *expires_before, *limit;
    const char *kind, *name, *zones, *rights;                                              /* key add */
    const char *key, *account, *issuer, *profile, *issued_since, *issued_before, *serials; /* selections */
    const char *per_second, *over, *from, *url;
    bool is_sure; /* --yes */
    bool wants_all;
    bool wants_walk;               /* --explain */
    const char *format, *interval; /* import, top */
    bool is_dry_run, is_once, for_good;
    bool is_this_host;   /* signing */
    const char *eab_key; /* acme-account list */
    bool with_accounts, without_customer;
    size_t serial_count; /* different ones that were sent for a selection */
    struct {
        const char *name_servers, *edge_prefixes, *root_hints, *dns_port, *allow_addresses, *deny_addresses,
            *trust_anchor, *caa_mode, *caa_identities, *name_server_pool, *account_uri, *txt, *deadline,
            *timeout, *max_queries;
        const char *own_zones[OWN_ZONES_MAX];
        size_t own_zone_count;
    } check;
    const char *const *operands;
    size_t operand_count;
    struct error error;
};

struct command {
    const char *noun, *verb;
    const char *operands; /* for the usage line */
    size_t operand_count; /* or ANY_OPERANDS */
    const char *help;
    int (*run)(struct cli *cli);
};

extern const struct command admin_commands[];
extern const size_t admin_command_count;

/* print.c */
void print_json(const json_t *json);
/* Foreign text on a terminal: control characters, which would move its cursor, are '?'. */
void print_plain(FILE *out, const char *text);
/* The same in place. */
void text_make_plain(char *text);
void print_customer(const json_t *customer);
void print_zone(const struct cli *cli, const json_t *zone);
void print_order(const struct cli *cli, const json_t *order);
void print_certificate(const struct cli *cli, const json_t *certificate);
/* The verdicts of a DNS check, and every query of it as a person would note it down. */
void print_evidence(const struct cli *cli, const json_t *evidence, bool with_walk);
/* Aligned columns: `keys` are members of each item; lists are joined, everything else as text. */
void print_table(const json_t *items, const char *const *titles, const char *const *keys, size_t columns);
/* revocation_places.c: where its revocation is told, as the certificate names it; `crl` (url, number, listed)
 * is the server's word of a revoked one, or NULL. */
void print_revocation_places(const char *pem, const json_t *crl);
const char *json_text(const json_t *json, const char *key); /* "" where absent */

/* Their files say what they do. */
int admin_import(struct cli *cli);
int admin_search(struct cli *cli);
int admin_top(struct cli *cli);
int signing_stop(struct cli *cli);
int signing_allow(struct cli *cli);
int issuance_stop(struct cli *cli);
int issuance_allow(struct cli *cli);
int issuance_show(struct cli *cli);

/* serial_list.c: a serial as a person has it, in decimal for a URL; NULL with the error (serial_read). */
const char *serial_decimal(struct arena *arena, const char *text, struct error *error) MUST_CHECK;

/* check.c: `originca check NAME... --name-servers a,b` */
int check_command(struct cli *cli);

/* account_key.c: the public JWK of an account key: a JWK (private members are dropped) or a PEM key, private
 * or public. */
json_t *account_key_read(struct arena *arena, const char *path, struct error *error);
