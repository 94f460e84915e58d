/* A set of serials, 16 bytes each and some for finding them: a million takes 32 MB at most. */
#pragma once

#include <stddef.h>

#include "originca/text.h"

struct serial_set;

struct serial_set *serial_set_new(void);
void serial_set_free(struct serial_set *set);
/* False: out of memory. */
bool serial_set_add(struct serial_set *set, const uint8_t serial[SERIAL_BYTES]) MUST_CHECK;
bool serial_set_has(const struct serial_set *set, const uint8_t serial[SERIAL_BYTES]) MUST_CHECK;
size_t serial_set_count(const struct serial_set *set);
/* By place, from 0 on, in no order; NULL where the place is free. `places` are so many. */
size_t serial_set_places(const struct serial_set *set);
const uint8_t *serial_set_get(const struct serial_set *set, size_t place);
