/* What every process of the server does to itself: name, privileges, limits, signals. */
#pragma once

#include "originca/error.h"

/* Called first in a forked child: names it, ties its life to the supervisor's, forbids core dumps and ptrace
 * (they would show secrets), takes the given user when started as root, resets signals. */
bool process_become(const char *name, const char *user, struct error *error) MUST_CHECK;
/* Raises the limit of open files to the hard limit. */
void process_raise_file_limit(void);
/* systemd's readiness protocol (sd_notify(3)): "READY=1", "STOPPING=1"; does nothing without NOTIFY_SOCKET.
 */
void process_notify(const char *state);
