/* ROCA (CVE-2017-15361): Infineon's library made primes p = k*M + (65537^a mod M) with M the product of the
 * first primes, so the modulus of a vulnerable key is a power of 65537 modulo every one of them. A random
 * modulus passes that test for all of the primes below with a chance of about 2^-27. */
#include "rules_internal.h"

#include <stddef.h>

static const unsigned char primes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                       47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                       107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

static bool is_power_of_65537(unsigned long residue, unsigned prime) {
    unsigned long power = 1;
    do {
        if (power == residue)
            return true;
        power = power * 65537 % prime;
    } while (power != 1);
    return false;
}

bool key_has_roca_fingerprint(const mpz_t modulus) {
    for (size_t i = 0; i < sizeof primes; i++)
        if (!is_power_of_65537(mpz_fdiv_ui(modulus, primes[i]), primes[i]))
            return false;
    return true;
}
