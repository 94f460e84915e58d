/* The settings of originca-perspective: the command line, then the file, then the default. */
#pragma once

#include <stdio.h>

#include "originca/config.h"

struct options {
    struct config_address *listen;
    size_t listen_count;
    char *certificate_file, *key_file, *client_ca_file;
    struct config_strings client_names; /* empty: any certificate of that CA */
    char *root_hints_file, *trust_anchor_file;
    struct address_rules address_rules;
    uint32_t dns_port, socket_mode;
    uint32_t max_connections, max_checks, max_frame_bytes;
    uint32_t handshake_timeout_ms, frame_timeout_ms, write_timeout_ms, idle_timeout_ms, max_deadline_ms;
    uint32_t query_timeout_ms, max_queries, tries, max_cname, max_per_server;
    uint32_t referral_cache_entries, referral_max_ttl;
    uint32_t drain_seconds;
    char *log_file, *log_level;
};

enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* help or version were printed */
    OPTIONS_CHECK, /* no mistakes: say so and end */
    OPTIONS_WRONG, /* the mistake was printed */
};
enum options_outcome options_read(int argc, char **argv, struct options *out);
void options_free(struct options *options);
