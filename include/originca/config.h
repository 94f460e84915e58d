/* The configuration: one file (libConfuse syntax), read whole, checked whole, then never changed: a reload
 * makes a new one.
 *
 * Every limit of the program is a setting here with its default. `originca-server --check-config` prints each
 * mistake as "file:line: key: what is wrong and what is expected". doc/configuration.md and originca.conf(5)
 * list the settings. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "originca/error.h"

struct config_address {
    struct sockaddr_storage address; /* AF_INET, AF_INET6 or AF_UNIX */
    socklen_t length;
    char text[128]; /* as written */
};

struct config_prefix { /* a CIDR block */
    int family;
    uint8_t bytes[16];
    unsigned bits;
};
/* "203.0.113.0/24"; ERROR_INVALID says what is wrong. */
bool config_parse_prefix(const char *text, struct config_prefix *out, struct error *error) MUST_CHECK;
/* Byte by byte: an IPv6 block holds ::ffff:a.b.c.d if it lies in it. */
bool config_prefix_holds_address(const struct config_prefix *prefix, int family,
                                 const uint8_t *address) MUST_CHECK;
/* Is the address, 4 bytes of AF_INET or 16 of AF_INET6, inside one of the blocks? ::ffff:a.b.c.d (RFC 4291
 * 2.5.5.2) is the IPv4 address a.b.c.d here: only IPv4 blocks hold it. */
bool config_prefixes_hold_address(const struct config_prefix *prefixes, size_t count, int family,
                                  const uint8_t *address) MUST_CHECK;

struct address_rules { /* include/originca/addresses.h */
    struct config_prefix *allowed, *denied;
    size_t allowed_count, denied_count;
};

/* "127.0.0.1:443", "[::1]:443" or "unix:/path". */
bool config_parse_address(const char *text, struct config_address *out, struct error *error) MUST_CHECK;

struct config_strings {
    char **items;
    size_t count;
};

/* An entry of `perspectives` (doc/perspectives.md). */
#define CONFIG_PERSPECTIVES_MAX 16
enum config_perspective_kind {
    CONFIG_PERSPECTIVE_LOCAL,    /* this host's own check */
    CONFIG_PERSPECTIVE_RESOLVER, /* udp://ADDRESS:PORT: a recursive resolver */
    CONFIG_PERSPECTIVE_TLS,      /* tls://HOST:PORT[#NAME]: originca-perspective */
    CONFIG_PERSPECTIVE_UNIX,     /* unix:/PATH[#NAME]: likewise */
};
struct config_perspective {
    enum config_perspective_kind kind;
    struct config_address address; /* length 0: `host` is a name that must be looked up */
    char host[256];
    uint16_t port;              /* of a host that is a name */
    char certificate_name[256]; /* what its certificate must be for */
    char text[576];             /* as written */
};
bool config_parse_perspective(const char *text, struct config_perspective *out,
                              struct error *error) MUST_CHECK;

/* Certificate profiles, doc/certificates.md. What the profile's extensions are is fixed in the signer. */
struct config_profile {
    char *name;          /* "origin", "compact", "classic" or an operator's own name */
    char *template_name; /* which of the three built-in shapes */
    char *description;   /* for ACME meta.profiles */
    uint32_t default_days;
    uint32_t max_days;
};

struct config_issuer {
    char *name;             /* "ecc", "rsa": in ledger and logs */
    char *key_uri;          /* PKCS#11 URI of the private key */
    char *certificate_file; /* PEM */
    char *crl_url;          /* template of the CRL distribution point of leaves (crl.h), or NULL */
    uint32_t crl_shards;    /* of a template that has a place for them */
    char *ocsp_url;         /* or NULL */
};

struct config_line { /* where a setting is written */
    const char *section, *key;
    char *title; /* of an issuer or profile, else "" */
    int line;
};

/* Which processes have a user of their own. */
enum config_process { CONFIG_WORKERS, CONFIG_ADMIN, CONFIG_SIGNER, CONFIG_PROCESSES };
/* Who such a process is once it runs. Without a name: who the server was started as. */
struct config_user {
    const char *name; /* NULL: nobody else */
    bool is_known;    /* else there is no such user, and uid and gid are -1: nobody's */
    uid_t uid;
    gid_t gid;
};

struct config {
    char *path;
    struct config_line *lines;
    size_t line_count;
    /* server */
    struct config_address *https_listen;
    size_t https_listen_count;
    struct config_address *http_listen;
    size_t http_listen_count;
    struct config_address admin_listen; /* unix socket */
    uint32_t admin_socket_mode;
    char
        *base_url; /* external origin of every URL we hand out: "https://ca.example"; never the Host header */
    char *tls_certificate_file, *tls_key_file;
    char *secret_file; /* 32 bytes as 64 hex digits; EAB keys, nonces and TLS tickets derive from it */
    char *operator_secret_file;                  /* seals what hosts tell each other of rights; or NULL */
    char *run_directory;                         /* sockets between the processes, pid file */
    char *user, *admin_user, *signer_user;       /* NULL: as `user`, and that: whoever started the server */
    struct config_user run_as[CONFIG_PROCESSES]; /* what these three come to */
    char *log_file, *log_level;
    uint32_t workers;            /* 0: one a core */
    uint32_t drain_seconds;      /* how long a stopping worker may finish its requests */
    uint32_t ready_wait_seconds; /* how long a start or reload waits for Redis and the signer */
    uint32_t accept_wait_ms;     /* for Redis, before the first connection is accepted */
    uint32_t readiness_timeout_ms, worker_answer_max_bytes;         /* worker_link.h */
    uint32_t outage_wait_ms, outage_max_requests;                   /* operation_await_ready */
    uint32_t bulk_revocations_per_second, bulk_revocations_at_once; /* server/bulk.c */
    uint32_t bulk_jobs_at_once, serial_list_max;
    uint32_t retire_idle_seconds; /* how long idle connections to a worker that a reload retired stay */
    /* http limits */
    uint32_t max_connections;             /* per worker */
    uint32_t max_connections_per_address; /* per worker; IPv6 by /64 */
    uint32_t crowd_connections;           /* unfinished ones of an address that go first */
    uint32_t reserved_descriptors;        /* kept free of connections */
    uint32_t handshake_timeout_ms, request_timeout_ms, idle_timeout_ms, write_timeout_ms,
        min_write_bytes_per_second;
    uint32_t max_header_bytes, max_body_bytes, max_requests_per_connection;
    uint32_t max_request_memory_bytes;
    /* acme */
    bool external_account_required;
    char *terms_of_service, *website;
    struct config_strings caa_identities;
    uint32_t max_names; /* per order */
    uint32_t not_before_max_ahead_hours;
    uint32_t nonce_lifetime_seconds, order_lifetime_seconds, authorization_lifetime_seconds;
    uint32_t revocation_proof_seconds;
    uint32_t refused_retention_seconds, account_idle_seconds, key_change_seconds,
        certificate_retention_seconds, evidence_retention_seconds;
    uint32_t orders_page_size, max_contacts;
    uint32_t max_refused_per_customer; /* kept attempts; the oldest goes */
    char *default_profile;             /* for ACME */
    char *acme_rsa_issuer;             /* issuer name for RSA leaves; default "ecc" for all */
    char *acme_ecc_issuer;
    struct config_profile *profiles;
    size_t profile_count;
    char *public_suffix_file;
    struct config_strings allowed_special_names;
    char *key_blocklist_file;
    uint32_t ari_retry_after_seconds;
    /* ocsp */
    uint32_t ocsp_max_requests, ocsp_max_request_bytes, ocsp_max_age_seconds, ocsp_max_signing,
        ocsp_kept_bytes;
    /* limits; 0: none */
    uint32_t accounts_per_address, accounts_window_seconds;
    uint32_t orders_per_customer, orders_window_seconds;
    uint32_t names_per_zone, names_window_seconds;
    uint32_t requests_per_key, requests_window_seconds;
    uint32_t checks_per_name, name_checks_window_seconds;
    uint32_t checks_per_customer, checks_per_zone, checks_window_seconds;
    uint32_t failed_checks_per_customer, failed_checks_window_seconds;
    uint32_t failed_check_pause_seconds, failed_check_longest_pause_seconds;
    uint32_t ocsp_signed_per_address, ocsp_signed_window_seconds;
    uint32_t revocations_per_customer, revocations_window_seconds, revocations_per_customer_day;
    /* rest */
    uint32_t rest_max_hostnames, rest_page_size, rest_retry_window_seconds;
    char *rest_profile, *rest_ecc_issuer, *rest_rsa_issuer;
    bool rest_rfc3339_dates;
    /* redis */
    char *redis_socket; /* unix socket, or host:port below */
    char *redis_host;
    uint32_t redis_port;
    char *redis_user, *redis_password_file;
    uint32_t redis_database;
    uint32_t redis_connect_timeout_ms, redis_command_timeout_ms;
    uint32_t redis_reconnect_min_ms, redis_reconnect_max_ms;
    uint32_t redis_max_clock_difference_ms;
    uint32_t redis_check_seconds;                        /* 0, in tests: never */
    uint32_t redis_compare_zones, redis_compare_records; /* a pass of the fence; 0: none */
    uint32_t redis_max_pending;                          /* commands in flight per worker before 503 */
    uint32_t redis_wait_replicas, redis_wait_timeout_ms; /* WAIT after each commit; 0 off */
    bool redis_allow_unsafe_durability;                  /* start although appendfsync is not always */
    /* dns */
    char *root_hints_file;
    uint32_t dns_port;
    struct config_strings name_server_pool; /* the provider's name servers */
    uint32_t name_servers_per_zone;
    struct config_strings reserved_zones; /* the provider's own names: at, above and below no customer's */
    /* of a zone that went: how long its name servers stay taken, after how long elsewhere they are given up,
     * and how often the name is looked at meanwhile */
    uint32_t name_server_hold_seconds, name_server_release_seconds, name_server_look_seconds;
    struct config_prefix *edge_prefixes;
    size_t edge_prefix_count;
    struct address_rules address_rules; /* allow_addresses, deny_addresses */
    uint32_t dns_deadline_ms, dns_query_timeout_ms, dns_max_queries, dns_tries;
    uint32_t dns_max_cname, dns_referral_cache_entries, dns_referral_max_ttl;
    uint32_t dns_max_concurrent_checks, dns_max_per_server;
    uint32_t recheck_after_seconds;
    uint32_t stop_retry_after_seconds; /* told while issuance is stopped */
    uint32_t resume_first_seconds, resume_longest_seconds, resume_max_orders; /* server/resume.c */
    uint32_t zone_sweep_interval_seconds, zone_pending_interval_seconds, zone_moved_after;
    uint32_t zone_checks_per_second, dns_share_ms, left_zone_revoke_after_seconds;
    char *moved_zone_certificates; /* "keep", "withdraw" */
    char *caa_mode;                /* "off", "named", "strict" */
    char *trust_anchor_file;       /* NULL: no DNSSEC */
    struct config_strings perspectives;
    char *perspective_disagreements; /* "rule" or a number */
    char *perspective_ca_file, *perspective_certificate_file, *perspective_key_file;
    uint32_t perspective_timeout_ms;
    /* signer */
    char *pkcs11_module, *pkcs11_pin_file;
    /* revocation lists */
    uint32_t crl_delay_ms, crl_lease_seconds, crl_lifetime_hours, crl_max_age_seconds, crl_compare_seconds,
        crl_metric_lists, crl_max_unproven;
    bool crl_complete;
    struct config_issuer *issuers;
    size_t issuer_count;
    char *ledger_directory;
    char *host_name; /* this host's ledger in Redis; default the system's host name */
    uint32_t signer_threads, ledger_segment_bytes, ledger_reserve_bytes;
    uint32_t checkpoint_records, checkpoint_seconds, position_wait_seconds, pin_retry_seconds;
    uint32_t signer_worker_signatures_per_second, signer_worker_revocations_per_second,
        signer_worker_revocations_per_day, signer_worker_changes_per_second, signer_worker_ocsp_per_second;
    uint32_t ocsp_validity_seconds;
    uint32_t crl_max_entries, crl_max_lists, crl_max_foreign_lists, crl_max_days, crl_max_ahead_seconds,
        crl_settle_seconds;
    uint32_t signer_connections, signer_connections_per_process, signer_unread_bytes, signer_unread_seconds;
    uint32_t claim_timeout_seconds, signer_timeout_ms;
    uint32_t backdate_seconds, clock_jump_seconds, evidence_max_age_seconds;
    uint32_t signer_not_before_max_ahead_hours;
};

/* Where it fails, every mistake has been printed to `complaints`, one a line; NULL drops them. */
struct config *config_load(const char *path, FILE *complaints, struct error *error);
/* The same, but mistakes are only printed: for a command that needs no more than where things are. */
struct config *config_load_with_mistakes(const char *path, FILE *complaints, struct error *error);
void config_free(struct config *config);
/* 0: it is not written. */
int config_line_of(const struct config *config, const char *section, const char *title, const char *key);
/* Does ACME or the REST API issue with it? */
bool config_issues_with(const struct config *config, const char *issuer);
const struct config_profile *config_find_profile(const struct config *config, const char *name);
/* Does what the signer goes by (sections signer, issuer, profile; the rules on names and keys; the log)
 * differ? Then a reload restarts the signer too. */
bool config_signer_differs(const struct config *a, const struct config *b);
/* Every setting with its default, range and meaning, as the Markdown of doc/configuration.md. */
void config_print_settings(FILE *out);
/* Reads a file of at most `max` bytes with restricted mode (warns where group or others may read it), without
 * its final newline, into malloc'd NUL-terminated memory that the caller wipes and frees. */
char *config_read_secret(const char *path, size_t max, struct error *error);
