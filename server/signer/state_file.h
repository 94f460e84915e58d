/* Small files of the signer beside its ledger: each whole and durable, or as it was before. */
#pragma once

#include "originca/text.h"

/* Readable by the signer's user alone. */
bool state_file_write(const char *directory, const char *name, const void *bytes, size_t length,
                      struct error *error) MUST_CHECK;
/* To be freed; NULL with ERROR_NOT_FOUND where there is none. */
uint8_t *state_file_read(const char *directory, const char *name, size_t *length, struct error *error);
void state_file_remove(const char *directory, const char *name);
/* Makes the names in it durable, new and gone ones alike. */
bool state_file_sync_directory(const char *directory) MUST_CHECK;
