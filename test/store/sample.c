/* Making the sample objects. */
#include "sample.h"

#include <string.h>

static const char *const name_servers[] = {"ns1.provider.test", "ns2.provider.test", "ns3.provider.test"};
static const struct store_name_server_pool pool = {name_servers, 3, 2};
const struct bytes sample_csr = {(const uint8_t *)"0\0csr", 5};
const struct store_delegation not_delegated = {.is_known = true};

time_t now_seconds(void) {
    return (time_t)(clock_wall_ms() / 1000);
}

void make_zone(struct fixture *f, const char *name, const char *customer, struct store_zone *zone) {
    assert_ok(CALL(f, store_create_zone, f->arena, name, customer, &pool, &not_delegated, zone, NULL));
}

void activate_zone(struct fixture *f, struct store_zone *zone) {
    const struct store_zone_check check = {.zone_id = zone->id,
                                           .is_ok = true,
                                           .reason = "delegated",
                                           .evidence = "{\"ok\":1}",
                                           .checked_at = now_seconds(),
                                           .moved_after = 3};
    assert_ok(CALL(f, store_record_zone_check, f->arena, &check, zone));
    assert_int_equal(zone->status, ZONE_ACTIVE);
}

struct store_account new_account(struct fixture *f, const char *customer) {
    uint8_t random[64];
    random_bytes(random, sizeof random);
    char *x = base64url_encode(f->arena, random, 32), *y = base64url_encode(f->arena, random + 32, 32);
    uint8_t digest[SHA256_BYTES];
    sha256(random, sizeof random, digest);
    return (struct store_account){
        .customer = customer,
        .jwk = arena_printf(f->arena, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y),
        .thumbprint = base64url_encode(f->arena, digest, sizeof digest),
        .contacts = "[\"mailto:admin@shop.test\"]",
        .eab_kid = "",
        .has_agreed_terms = true,
        .created_at = now_seconds(),
    };
}

void make_sample(struct fixture *f, struct sample *sample, const char *customer, const char *zone) {
    bool was_created = false;
    *sample = (struct sample){.order = {.id = NULL}};
    assert_ok(CALL(f, store_create_customer, f->arena, customer, &sample->customer));
    make_zone(f, zone, sample->customer.id, &sample->zone);
    activate_zone(f, &sample->zone);
    const struct store_account account = new_account(f, sample->customer.id);
    assert_ok(CALL(f, store_create_account, f->arena, &account, &sample->account, &was_created));
    assert_true(was_created);
}

void fill_order(struct fixture *f, struct sample *sample, enum store_order_status status, size_t names) {
    bool is_open = status == ORDER_PENDING || status == ORDER_REFUSED;
    for (size_t i = 0; i < names; i++) {
        const char *name =
            i == 0 ? sample->zone.name : arena_printf(f->arena, "host%zu.%s", i, sample->zone.name);
        sample->authorizations[i] =
            (struct store_authorization){.identifier = name,
                                         .name = name,
                                         .zone = sample->zone.id,
                                         .token = TOKEN,
                                         .status = is_open ? AUTHORIZATION_PENDING : AUTHORIZATION_VALID,
                                         .validated_at = is_open ? 0 : now_seconds(),
                                         .expires_at = now_seconds() + 86400};
    }
    sample->order = (struct store_order){.id = random_id(f->arena),
                                         .account = sample->account.id,
                                         .customer = sample->customer.id,
                                         .status = status,
                                         .authorizations = sample->authorizations,
                                         .authorization_count = names,
                                         .profile = "origin",
                                         .origin = "acme",
                                         .created_at = now_seconds(),
                                         .expires_at = now_seconds() + 3600,
                                         .checked_at = is_open ? 0 : now_seconds()};
}

void make_claimed(struct fixture *f, struct sample *sample, const char *attempt) {
    struct store_order order;
    fill_order(f, sample, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &sample->order, "{\"evidence\":1}"));
    assert_ok(CALL(f, store_claim_order, f->arena, sample->order.id, attempt, clock_wall_ms(), SPKI_A, SPKI_A,
                   CSR, "ecc", &order));
    assert_int_equal(order.status, ORDER_PROCESSING);
}

struct store_certificate new_certificate(const struct sample *sample, const char *serial, const char *spki) {
    static uint8_t der[400];
    static const char *names[1], *zones[1];
    for (size_t i = 0; i < sizeof der; i++)
        der[i] = (uint8_t)(i * 7);
    names[0] = sample->zone.name;
    zones[0] = sample->zone.id;
    return (struct store_certificate){.serial = serial,
                                      .der = {der, sizeof der},
                                      .order = sample->order.id == NULL ? "" : sample->order.id,
                                      .account = sample->account.id,
                                      .customer = sample->customer.id,
                                      .profile = "origin",
                                      .issuer = "ecc",
                                      .names = names,
                                      .name_count = 1,
                                      .zones = zones,
                                      .zone_count = 1,
                                      .spki_sha256 = spki,
                                      .crl_url = SAMPLE_LIST,
                                      .not_before = now_seconds() - 3600,
                                      .not_after = now_seconds() - 3600 + 90 * 86400,
                                      .issued_at = now_seconds()};
}

void issue(struct fixture *f, struct sample *sample, const char *serial, const char *attempt,
           const char *spki) {
    make_claimed(f, sample, attempt);
    const struct store_certificate certificate = new_certificate(sample, serial, spki);
    assert_ok(CALL(f, store_commit_certificate, &certificate, attempt, NULL));
}

enum error_code change_key(struct fixture *f, const char *account, const char *old_thumbprint,
                           const struct store_account *fresh, struct store_key_claim *claim) {
    enum error_code code = CALL(f, store_claim_account_key, f->arena, account, old_thumbprint,
                                fresh->thumbprint, fresh->jwk, claim);
    return code != ERROR_NONE ? code
                              : CALL(f, store_change_account_key, account, old_thumbprint, fresh->thumbprint,
                                     fresh->jwk, NULL);
}
