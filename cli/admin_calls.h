/* What the files of `originca admin` share (admin.c). */
#pragma once

#include "cli.h"
#include "originca/text.h"

/* `pattern` holds one "%s", which is where the operand goes, percent-encoded. */
const char *admin_path(struct cli *cli, const char *pattern, const char *operand);
void admin_add_parameter(struct cli *cli, struct text *url, const char *name,
                         const char *value);      /* nothing where it is NULL */
json_t *admin_own(struct cli *cli, json_t *json); /* it lives as long as the program's arena */
/* The exit status for what a call gave; prints it as JSON with --json or without a `print`. */
int admin_finish(struct cli *cli, const json_t *json,
                 void (*print)(const struct cli *cli, const json_t *json));
/* The pages of a list: one, or all of them with --all; NULL with the error. */
json_t *admin_fetch_list(struct cli *cli, const char *first);
int admin_finish_list(struct cli *cli, const json_t *items, const char *const *titles,
                      const char *const *keys, size_t columns);
/* The same for a call that ended one stop of issuance: who thinks that issuing goes on now is told, on
 * standard error, what is still stopped (admin_issuance.c). */
int admin_finish_allowed(struct cli *cli, const json_t *reply,
                         void (*print)(const struct cli *cli, const json_t *json));
bool admin_need(struct cli *cli, const char *value, const char *option) MUST_CHECK;
