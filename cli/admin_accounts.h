/* The commands of admin_accounts.c. */
#pragma once

#include "admin_calls.h"

int eab_add(struct cli *cli);
int eab_list(struct cli *cli);
int eab_delete(struct cli *cli);
int acme_account_add(struct cli *cli);
int acme_account_list(struct cli *cli);
int acme_account_show(struct cli *cli);
int acme_account_deactivate(struct cli *cli);
