/* cfssl's csr.json (origin-ca-rest.md 3.2): CN, hosts, key, names, serialnumber. */
#pragma once

#include "keymaker.h"

struct csr_json {
    struct request_names names;
    struct key_choice key;
};

/* Reads and judges it; every complaint has file, line and column. Members are matched without case, as Go
 * does. Members it does not know are named in a warning on standard error. */
bool csr_json_read(struct arena *arena, const char *path, struct csr_json *out,
                   struct error *error) MUST_CHECK;
