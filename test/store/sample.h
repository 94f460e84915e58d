/* Sample objects that most tests need: a customer with a zone and an account, an order, a certificate. */
#pragma once

#include "harness.h"

#define SPKI_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CSR sample_csr
#define SPKI_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TOKEN "0123456789012345678901234567890123456789012"
#define ATTEMPT_A "00112233445566778899aabbccddeeff-1"
#define ATTEMPT_B "00112233445566778899aabbccddeeff-2"
#define SERIAL_A "0123456789abcdef0123456789abcdef"
#define SERIAL_B "0223456789abcdef0123456789abcdef"
#define SERIAL_C "2123456789abcdef0123456789abcdef"
#define SAMPLE_LIST "http://crl.example/crl/e5"

struct sample {
    struct store_customer customer;
    struct store_zone zone;
    struct store_account account;
    struct store_authorization authorizations[128];
    struct store_order order;
};

#define REVOCATION(of, at, why, who)                                                                         \
    &(const struct store_revocation) {                                                                       \
        .serial = (of), .revoked_at = (at), .reason = (why), .by = (who)                                     \
    }

extern const struct store_delegation not_delegated;
extern const struct bytes sample_csr; /* not a real one */

time_t now_seconds(void);
/* Creates customer, zone (active) and account. */
void make_sample(struct fixture *f, struct sample *sample, const char *customer, const char *zone);
void make_zone(struct fixture *f, const char *name, const char *customer, struct store_zone *zone);
void activate_zone(struct fixture *f, struct store_zone *zone);
/* A distinct P-256 key (its coordinates are made up). */
struct store_account new_account(struct fixture *f, const char *customer);
/* Fills sample->order with `names` names below the zone, in this state; the caller stores it. */
void fill_order(struct fixture *f, struct sample *sample, enum store_order_status status, size_t names);
/* Stores a ready order and claims it. */
void make_claimed(struct fixture *f, struct sample *sample, const char *attempt);
struct store_certificate new_certificate(const struct sample *sample, const char *serial, const char *spki);
/* Ready, claimed, committed. */
void issue(struct fixture *f, struct sample *sample, const char *serial, const char *attempt,
           const char *spki);

/* Claims the change of an account's key and carries it out, as the server does around the ledger. */
enum error_code change_key(struct fixture *f, const char *account, const char *old_thumbprint,
                           const struct store_account *fresh, struct store_key_claim *claim);
