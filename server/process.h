/* What every process of the server does to itself: name, privileges, limits, signals. */
#pragma once

#include "originca/config.h"

/* Can every process become its user? The error names the setting and what to do. */
bool process_check_users(const struct config *config, struct error *error) MUST_CHECK;
/* Called first in a forked child: names it, ties its life to the supervisor's, forbids core dumps and ptrace
 * (they would show secrets), takes the given user, resets signals. */
bool process_become(const char *name, const struct config_user *user, struct error *error) MUST_CHECK;
/* What a child tells the supervisor, a line each on its own pipe. */
#define PROCESS_SERVES 'r'
#define PROCESS_WAITED 'w'   /* it accepts, and has waited long enough for what it needs */
#define PROCESS_LACKS 'n'    /* why it does not serve yet */
#define PROCESS_FAILED 'f'   /* why it cannot start */
#define PROCESS_DNS 'd'      /* of a reload: why DNS cannot be used; "": it can */
#define PROCESS_NO_TOKEN 't' /* a signer's check: all is well but the token */
/* Never waits; a `text` longer than an error's message is cut. */
void process_tell(int fd, char what, const char *text);
/* Raises the limit of open files to the hard limit. */
void process_raise_file_limit(void);
/* systemd's readiness protocol (sd_notify(3)): "READY=1", "STOPPING=1"; does nothing without NOTIFY_SOCKET.
 */
void process_notify(const char *state);
