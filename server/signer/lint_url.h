/* A rule on the URL of a certificate's revocation list, written without the code that fills templates. */
#pragma once

#include "originca/text.h"

/* Is `url` the template with the shard of this serial in the place of its mark: the number of the serial's
 * last two bytes modulo `shards`, in lower-case hex digits without leading zeros? */
bool lint_url_is_filled(struct bytes url, const char *url_template, uint32_t shards,
                        const uint8_t serial[SERIAL_BYTES]) MUST_CHECK;
