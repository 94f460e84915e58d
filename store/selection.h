/* Which certificates an operator means, as scripts/lib/selection.lua reads it (store_bulk.h). */
#pragma once

#include "call.h"
#include "originca/store_bulk.h"

void selection_add(struct store_call *call, const struct store_selection *selection);
/* The fields of a struct that holds a selection at `offset`; ten rows of a table for reply_read_fields. */
#define SELECTION_FIELDS(type, member)                                                                       \
    {"customer", FIELD_TEXT, offsetof(type, member.customer), NULL},                                         \
        {"zone", FIELD_TEXT, offsetof(type, member.zone), NULL},                                             \
        {"account", FIELD_TEXT, offsetof(type, member.account), NULL},                                       \
        {"issuer", FIELD_TEXT, offsetof(type, member.issuer), NULL},                                         \
        {"profile", FIELD_TEXT, offsetof(type, member.profile), NULL},                                       \
        {"key", FIELD_TEXT, offsetof(type, member.key), NULL},                                               \
        {"issued_since", FIELD_TIME, offsetof(type, member.issued_since), NULL},                             \
        {"issued_before", FIELD_TIME, offsetof(type, member.issued_before), NULL},                           \
        {"serials", FIELD_TEXT, offsetof(type, member.serials), NULL}, {                                     \
        "cut_off", FIELD_INT64, offsetof(type, member.cut_off), NULL                                         \
    }
