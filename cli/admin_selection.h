/* The options of `originca admin` that say which certificates are meant, and the commands that take them. */
#pragma once

#include "admin_calls.h"

/* Is any of them there? Operands (serials) are not looked at. */
bool selection_is_given(const struct cli *cli) MUST_CHECK;
/* {"selection": {…}} from options and operands; the serials of a file go to the server first. NULL with the
 * error; EXIT_USAGE or another status in *status. */
json_t *selection_body(struct cli *cli, int *status);
/* Shows what a dry run found. */
void selection_print(const struct cli *cli, const json_t *dry_run);
/* A member of a job or replacement on a line of its own; nothing where it is not there. */
void selection_print_line(const char *label, const json_t *json, const char *key);
void selection_print_chosen(const json_t *json); /* its "selection", likewise */
/* The operator says yes: by --yes, or by typing the count on a terminal. Otherwise the exit status says why
 * not. */
bool selection_confirm(struct cli *cli, const char *what, json_int_t count, int *status);
bool selection_can_ask(void); /* is somebody at a terminal? */
/* A line of standard input is `wanted`; else the error. */
bool selection_is_typed(struct cli *cli, const char *wanted) MUST_CHECK;

/* The call that showed how many there are becomes the one that does it: to these, none that came since. */
void selection_set_confirmed(json_t *body, const json_t *dry_run);

int revoke_one(struct cli *cli); /* admin_revocation.c */
int revoke_many(struct cli *cli);
int revocation_list(struct cli *cli);
int revocation_show(struct cli *cli);
int revocation_wait(struct cli *cli);
int revocation_cancel(struct cli *cli);
int replace_certificates(struct cli *cli); /* admin_replacement.c */
int replacement_list(struct cli *cli);
int replacement_show(struct cli *cli);
int replacement_waiting(struct cli *cli);
int replacement_cancel(struct cli *cli);
