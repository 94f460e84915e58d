/* `originca-server -c FILE reload`: has the running server reload, and waits for the outcome. */
#pragma once

#include "originca/config.h"

/* Exit status: 0 the new configuration is in force; 1 it is not, and the reason is printed. */
int reload_command(const char *config_path);
