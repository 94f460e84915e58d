/* The names of the states, as Redis, the APIs and the logs spell them. */
#include <string.h>

#include "call.h"

const char *const store_order_statuses[] = {"pending", "ready",   "processing", "valid",
                                            "invalid", "refused", NULL};
const char *const store_authorization_statuses[] = {"pending", "valid",   "invalid", "deactivated",
                                                    "expired", "revoked", NULL};
const char *const store_account_statuses[] = {"valid", "deactivated", "revoked", NULL};
const char *const store_zone_statuses[] = {"pending", "active", "moved", "paused", "deleted", NULL};
const char *const store_certificate_statuses[] = {"valid", "revoked", "void", "expired", NULL};

const char *store_order_status_name(enum store_order_status status) {
    return store_order_statuses[status];
}

const char *store_authorization_status_name(enum store_authorization_status status) {
    return store_authorization_statuses[status];
}

const char *store_account_status_name(enum store_account_status status) {
    return store_account_statuses[status];
}

const char *store_zone_status_name(enum store_zone_status status) {
    return store_zone_statuses[status];
}

const char *store_certificate_status_name(enum store_certificate_status status) {
    return store_certificate_statuses[status];
}

static bool parse(const char *const *names, const char *name, int *out) {
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0) {
            *out = i;
            return true;
        }
    return false;
}

bool store_order_status_parse(const char *name, int *out) {
    return parse(store_order_statuses, name, out);
}

bool store_account_status_parse(const char *name, int *out) {
    return parse(store_account_statuses, name, out);
}

bool store_zone_status_parse(const char *name, int *out) {
    return parse(store_zone_statuses, name, out);
}

bool store_certificate_status_parse(const char *name, int *out) {
    return parse(store_certificate_statuses, name, out);
}
