/* What the files of the rules share. */
#pragma once

#include <gmp.h>

#include "originca/keys.h"

bool key_is_blocked(const uint8_t spki_sha256[SHA256_BYTES]);
/* The fingerprint of CVE-2017-15361: primes made as k * M + (65537^a mod M). */
bool key_has_roca_fingerprint(const mpz_t modulus);
