/* One function a command; the exit status is its result, customer->error its reason. */
#pragma once

#include "customer.h"

int getcert_command(struct customer *customer);
int renew_command(struct customer *customer);
int list_command(struct customer *customer);
int show_command(struct customer *customer);
int revoke_command(struct customer *customer);
int genkey_command(struct customer *customer);
int json_command(struct customer *customer);
int selfsign_command(struct customer *customer);
int certinfo_command(struct customer *customer);
