/* The supervisor: opens the sockets, starts signer and workers, watches them, passes on reload and stop. It
 * parses nothing from outside and holds no secret. Returns the exit status. */
#pragma once

#include "originca/config.h"

int supervisor_run(struct config *config);
