/* Which certificates a call means: the "selection" of its body, read, looked up and counted. */
#pragma once

#include "internal.h"
#include "originca/store_bulk.h"

#define SERIALS_MAX 1000 /* of one call; a list takes several */

struct selection_call { /* the state of an operation begins with it */
    struct admin_call call;
    struct store_selection selection;
    const char *customer, *zone_name; /* as given, or NULL */
    const char **serials;             /* hex */
    size_t serial_count;
    uint64_t list_total;
    struct store_zone zone;
    struct store_selected selected;
};

/* Copies what the body says of certificates; ERROR_INVALID for what is no selection, or one of everything. */
bool admin_read_selection(struct operation *operation) MUST_CHECK;
/* The serials of an array, as hex, into state->serials. */
bool admin_read_serials(struct operation *operation, const json_t *array) MUST_CHECK;
/* Steps: customer and zone become ids; serials a list; all is counted, with a sample. */
enum step_result admin_find_selected_customer(struct operation *operation);
enum step_result admin_find_selected_zone(struct operation *operation);
enum step_result admin_keep_serials(struct operation *operation);
enum step_result admin_count_selected(struct operation *operation);
/* After the count: what is made of it holds what was counted, and only where it is as many as confirmed. */
enum step_result admin_confirm_count(struct operation *operation, uint32_t confirmed);
enum step_result admin_reply_dry_run(struct operation *operation);
json_t *admin_selection_json(const struct store_selection *selection);
json_t *admin_sample_json(const struct store_certificate *items, size_t count);
/* Times and numbers of a body; absent leaves the value as it is. */
bool admin_read_time(struct operation *operation, const json_t *object, const char *key,
                     time_t *out) MUST_CHECK;
bool admin_read_number(struct operation *operation, const char *key, uint32_t least, uint32_t most,
                       uint32_t *out) MUST_CHECK;
