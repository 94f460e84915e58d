/* The files that a start reads, each tried as the user who will read it. */
#pragma once

#include <stdio.h>

#include "originca/config.h"

enum check_extent {
    CHECK_ALL,  /* --check-config: the token is tried as well, with one login at most */
    CHECK_START /* what a start cannot serve with; a file that its process waits for is a warning, and the
                   token is left to the signer */
};

/* Prints each mistake as config_load does, with the user in whose view it is one, and what a start would wait
 * for as a warning. Returns the number of mistakes. The views of other users need root; without it they are
 * those of the current user. `views` gets who looked: "workers as originca, signer as originca-signer". */
size_t check_files(const struct config *config, enum check_extent extent, FILE *out, char *views,
                   size_t size);
