/* Unit tests of the signer's own judgement: one request that it accepts, and that request with one thing
 * wrong at a time, each refused for what is wrong. The clock is an argument, so nothing here depends on the
 * time of day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../server/signer/policy.h"
#include "der_edit.h"
#include "kit.h"

#include <string.h>

#include "originca/keys.h"
#include "originca/names.h"

#define NOW 1780272000 /* 2026-06-01T00:00:00Z */
#define NOW_MS ((int64_t)NOW * 1000)
#define DAY 86400
#define ISSUER_END ((time_t)NOW + 1000 * DAY)
#define BACKDATE 3600
#define EVIDENCE_AGE 300
#define CLAIM_AGE 10
#define AHEAD_HOURS 24
#define MANY 1001

struct fixture {
    struct arena *arena;
    const char *folder;
    struct kit_key keys[KIT_KEY_KINDS];
    struct config_issuer issuer_configs[2];
    struct issuer issuers[2];
    struct config_profile profiles[3];
    struct config config;
};

/* A request that a case may change in any place. */
struct sample {
    struct fixture *fixture;
    struct arena *arena;
    struct signer_certificate_request *request; /* of the job */
    const struct zones *given;                  /* what the ledger gave to whom; NULL: it is not known */
    const char *names[MANY], *zones[MANY];
    struct signer_evidence evidence[MANY];
    struct sign_job job;
};

static int set_up(void **state) {
    static struct fixture fixture;
    struct error error = {0};
    if (!names_load_suffixes(NULL, &error))
        fail_msg("%s", error.message);
    fixture.arena = arena_new(0);
    fixture.folder = kit_make_folder(fixture.arena);
    for (size_t i = 0; i < KIT_KEY_KINDS; i++)
        kit_make_key(fixture.arena, (enum kit_key_kind)i, &fixture.keys[i]);
    kit_make_issuer(fixture.arena, fixture.folder, "ecc", &fixture.keys[KIT_P256], NOW - 1000 * DAY,
                    ISSUER_END, &fixture.issuer_configs[0], &fixture.issuers[0]);
    kit_make_issuer(fixture.arena, fixture.folder, "rsa", &fixture.keys[KIT_RSA], NOW - 1000 * DAY,
                    ISSUER_END, &fixture.issuer_configs[1], &fixture.issuers[1]);
    fixture.profiles[0] = (struct config_profile){
        .name = "origin", .template_name = "origin", .default_days = 90, .max_days = 5475};
    fixture.profiles[1] = (struct config_profile){.name = "short", .template_name = "compact", .max_days = 7};
    fixture.profiles[2] = (struct config_profile){.name = "odd", .template_name = "baroque", .max_days = 7};
    fixture.config = (struct config){.profiles = fixture.profiles,
                                     .profile_count = 3,
                                     .issuers = fixture.issuer_configs,
                                     .issuer_count = 2,
                                     .backdate_seconds = BACKDATE,
                                     .evidence_max_age_seconds = EVIDENCE_AGE,
                                     .claim_timeout_seconds = CLAIM_AGE,
                                     /* The worker's bound is none of the signer's business. */
                                     .not_before_max_ahead_hours = 8760,
                                     .signer_not_before_max_ahead_hours = AHEAD_HOURS};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    kit_remove_folder(fixture->folder);
    arena_free(fixture->arena);
    return 0;
}

static struct sample *make_sample(struct fixture *fixture, struct arena *arena) {
    struct sample *sample = arena_alloc(arena, sizeof *sample);
    assert_non_null(sample);
    sample->fixture = fixture;
    sample->arena = arena;
    sample->request = &sample->job.request;
    sample->names[0] = "www.example.com";
    sample->names[1] = "*.example.com";
    sample->zones[0] = "zone-1";
    sample->evidence[0] = (struct signer_evidence){"www.example.com", NOW - 1, "dns-delegation"};
    sample->evidence[1] = (struct signer_evidence){"*.example.com", NOW - 1, "dns-01"};
    *sample->request = (struct signer_certificate_request){.attempt = "attempt-1",
                                                           .order = "order_1",
                                                           .account = "account1",
                                                           .customer = "customer1",
                                                           .names = sample->names,
                                                           .name_count = 2,
                                                           .zones = sample->zones,
                                                           .zone_count = 1,
                                                           .spki = fixture->keys[KIT_P384].spki,
                                                           .profile = "origin",
                                                           .issuer = "ecc",
                                                           .validity_seconds = 90 * DAY,
                                                           .claimed_at_ms = NOW_MS - 100,
                                                           .evidence = sample->evidence,
                                                           .evidence_count = 2,
                                                           .request_id = "r1"};
    return sample;
}

static bool judge(struct sample *sample, struct error *error) {
    struct fixture *fixture = sample->fixture;
    return policy_judge(sample->arena, &fixture->config, sample->given, fixture->issuers, 2, NOW_MS,
                        &sample->job, error);
}

/* `count` names, each with its evidence. */
static void set_names(struct sample *sample, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sample->names[i] = arena_printf(sample->arena, "n%zu.example.com", i);
        sample->evidence[i] = (struct signer_evidence){sample->names[i], NOW, "dns-01"};
    }
    sample->request->name_count = sample->request->evidence_count = count;
}

static void set_name(struct sample *sample, const char *name) {
    sample->names[0] = sample->evidence[0].name = name;
}

/* --- changes: each makes one thing wrong, or goes to a bound --- */

#define CHANGE(name, statement)                                                                              \
    static void name(struct sample *sample) {                                                                \
        statement;                                                                                           \
    }
#define LONG_ID_64 "0123456789abcdef0123456789ABCDEF0123456789-_-_-_0123456789abcdef"

CHANGE(nothing, (void)sample)
CHANGE(unknown_profile, sample->request->profile = "classic")
CHANGE(empty_profile, sample->request->profile = "")
CHANGE(unknown_template, sample->request->profile = "odd")
CHANGE(unknown_issuer, sample->request->issuer = "dsa")
CHANGE(empty_issuer, sample->request->issuer = "")
CHANGE(rsa_issuer, sample->request->issuer = "rsa")
CHANGE(old_claim, sample->request->claimed_at_ms = NOW_MS - CLAIM_AGE * 1000 - 1)
CHANGE(oldest_claim, sample->request->claimed_at_ms = NOW_MS - CLAIM_AGE * 1000)
CHANGE(future_claim, sample->request->claimed_at_ms = NOW_MS + 5001)
CHANGE(latest_claim, sample->request->claimed_at_ms = NOW_MS + 5000)
CHANGE(no_claim, sample->request->claimed_at_ms = 0)
CHANGE(least_claim, sample->request->claimed_at_ms = INT64_MIN)
CHANGE(greatest_claim, sample->request->claimed_at_ms = INT64_MAX)
CHANGE(no_attempt, sample->request->attempt = "")
CHANGE(long_attempt, sample->request->attempt = LONG_ID_64 LONG_ID_64 "x")
CHANGE(longest_attempt, sample->request->attempt = LONG_ID_64 LONG_ID_64)
CHANGE(attempt_with_space, sample->request->attempt = "attempt 1")
CHANGE(no_order, sample->request->order = "")
CHANGE(order_with_slash, sample->request->order = "../order")
CHANGE(account_with_newline, sample->request->account = "a\n")
CHANGE(no_account, sample->request->account = "")
CHANGE(customer_with_quote, sample->request->customer = "a\"")
CHANGE(customer_not_ascii, sample->request->customer = "\xC3\xBC")
CHANGE(no_customer, sample->request->customer = "")
CHANGE(request_id_with_equals, sample->request->request_id = "a=b")
CHANGE(no_request_id, sample->request->request_id = "")
CHANGE(no_zones, sample->request->zone_count = 0)
CHANGE(empty_zone, sample->zones[0] = "")
CHANGE(zone_with_colon, sample->zones[0] = "zone:1")
CHANGE(second_zone_bad, sample->zones[1] = "a.b"; sample->request->zone_count = 2)
CHANGE(two_zones, sample->zones[1] = "zone-2"; sample->request->zone_count = 2)
CHANGE(more_zones_than_names, sample->zones[1] = "z2"; sample->zones[2] = "z3";
       sample->request->zone_count = 3)
CHANGE(no_names, set_names(sample, 0))
CHANGE(thousand_names, set_names(sample, 1000))
CHANGE(thousand_and_one_names, set_names(sample, 1001))
CHANGE(bad_name, set_name(sample, "www_.example.com"))
CHANGE(address, set_name(sample, "192.0.2.1"))
CHANGE(public_suffix, set_name(sample, "co.uk"))
CHANGE(reserved_name, set_name(sample, "www.localhost"))
CHANGE(empty_name, set_name(sample, ""))
CHANGE(upper_case, set_name(sample, "WWW.example.com"))
CHANGE(second_name_bad, sample->names[1] = sample->evidence[1].name = "*.*.example.com")
CHANGE(name_twice, sample->names[1] = sample->evidence[1].name = sample->names[0])
CHANGE(proof_missing, sample->request->evidence_count = 1)
CHANGE(proof_too_many, sample->evidence[2] = sample->evidence[1]; sample->request->evidence_count = 3)
CHANGE(no_proof, sample->request->evidence_count = 0)
CHANGE(one_proof_twice, sample->evidence[1] = sample->evidence[0])
CHANGE(proofs_in_other_order, sample->evidence[0].name = sample->names[1];
       sample->evidence[1].name = sample->names[0])
CHANGE(proof_of_the_zone, sample->evidence[0].name = "example.com")
CHANGE(old_proof, sample->evidence[0].checked_at = NOW - EVIDENCE_AGE - 1)
CHANGE(second_proof_old, sample->evidence[1].checked_at = NOW - EVIDENCE_AGE - 1)
CHANGE(oldest_proof, sample->evidence[1].checked_at = NOW - EVIDENCE_AGE)
CHANGE(future_proof, sample->evidence[1].checked_at = NOW + 6)
CHANGE(latest_proof, sample->evidence[1].checked_at = NOW + 5)
CHANGE(least_proof, sample->evidence[1].checked_at = INT64_MIN)
CHANGE(greatest_proof, sample->evidence[1].checked_at = INT64_MAX)
CHANGE(other_method, sample->evidence[1].method = "http-01")
CHANGE(no_method, sample->evidence[0].method = "")
CHANGE(no_key, sample->request->spki.length = 0)
CHANGE(no_spki, sample->request->spki = (struct bytes)LITERAL("no key at all"))
CHANGE(half_a_key, sample->request->spki.length--)
CHANGE(ed25519_key, sample->request->spki = sample->fixture->keys[KIT_ED25519].spki)
CHANGE(rsa_1024_key, sample->request->spki = sample->fixture->keys[KIT_RSA_1024].spki)
CHANGE(rsa_key, sample->request->spki = sample->fixture->keys[KIT_RSA].spki)
CHANGE(p521_key, sample->request->spki = sample->fixture->keys[KIT_P521].spki)
CHANGE(short_life, sample->request->validity_seconds = 3599)
CHANGE(no_life, sample->request->profile = "short"; sample->request->validity_seconds = 0)
CHANGE(shortest_life, sample->request->not_before = NOW; sample->request->validity_seconds = 3600)
CHANGE(longest_life, sample->request->profile = "short"; sample->request->validity_seconds = 7 * DAY)
CHANGE(long_life, sample->request->profile = "short"; sample->request->validity_seconds = 7 * DAY + 1)
CHANGE(endless_life, sample->request->validity_seconds = UINT32_MAX)
CHANGE(early, sample->request->not_before = NOW - 2 * DAY - 1)
CHANGE(earliest, sample->request->not_before = NOW - 2 * DAY)
CHANGE(negative_begin, sample->request->not_before = -1)
CHANGE(least_begin, sample->request->not_before = INT64_MIN)
CHANGE(greatest_begin, sample->request->not_before = INT64_MAX)
CHANGE(late, sample->request->not_before = NOW + AHEAD_HOURS * 3600 + 1)
CHANGE(latest, sample->request->not_before = NOW + AHEAD_HOURS * 3600)
CHANGE(of_the_far_future, sample->request->not_before = NOW + 365 * DAY)
CHANGE(expired, sample->request->not_before = NOW - DAY; sample->request->validity_seconds = DAY)
CHANGE(expires_soon, sample->request->not_before = NOW - DAY; sample->request->validity_seconds = DAY + 1)
CHANGE(expired_by_backdate, sample->request->validity_seconds = BACKDATE)
CHANGE(outlives_issuer, sample->request->not_before = NOW; sample->request->validity_seconds = 1000 * DAY + 1)
CHANGE(ends_with_issuer, sample->request->not_before = NOW; sample->request->validity_seconds = 1000 * DAY)

/* A key of this size is refused before anybody computes with it. */
static void large_key(struct sample *sample) {
    uint8_t *bytes = arena_alloc(sample->arena, 2049);
    sample->request->spki = (struct bytes){bytes, 2049};
}

static void point_beside_the_curve(struct sample *sample) {
    struct bytes good = sample->request->spki;
    uint8_t *copy = arena_copy(sample->arena, good.data, good.length);
    copy[good.length - 1] ^= 1;
    sample->request->spki.data = copy;
}

/* RSA with the public exponent 3: SEQUENCE { modulus, exponent } inside of the BIT STRING. */
static void exponent_3(struct sample *sample) {
    struct der_node *spki = der_read(sample->arena, sample->fixture->keys[KIT_RSA].spki);
    struct bytes bits = spki->parts[1]->content;
    struct der_node *key =
        der_read(sample->arena, (struct bytes){bits.data + 1, bits.length - 1}); /* no unused bits */
    struct text text;
    key->parts[1]->content = (struct bytes)LITERAL("\x03");
    struct bytes changed = der_write(sample->arena, key);
    text_init(&text, sample->arena);
    text_append_bytes(&text, "", 1);
    text_append_bytes(&text, changed.data, changed.length);
    spki->parts[1]->content = (struct bytes){(const uint8_t *)text.data, text.length};
    sample->request->spki = der_write(sample->arena, spki);
}

struct policy_case {
    const char *fact;
    void (*change)(struct sample *sample);
    const char *complaint; /* a piece of the message; NULL: it is accepted */
};

static const struct policy_case refusals[] = {
    {"a profile that is not configured", unknown_profile, "the profile is unknown"},
    {"an empty profile", empty_profile, "the profile is unknown"},
    {"a profile with a template that does not exist", unknown_template, "the profile is unknown"},
    {"an issuer that is not configured", unknown_issuer, "the issuer is unknown"},
    {"an empty issuer", empty_issuer, "the issuer is unknown"},
    {"a claim that is too old", old_claim, "the claim of the order is 10001 ms old"},
    {"a claim of the future", future_claim, "the claim of the order is -5001 ms old"},
    {"no claim", no_claim, "the claim of the order"},
    {"a claim of the least time there is", least_claim, "the claim of the order"},
    {"a claim of the greatest time there is", greatest_claim, "the claim of the order"},
    {"no attempt", no_attempt, "an id of the request"},
    {"an attempt of 129 characters", long_attempt, "an id of the request"},
    {"an attempt with a space", attempt_with_space, "an id of the request"},
    {"no order", no_order, "an id of the request"},
    {"an order with a slash", order_with_slash, "an id of the request"},
    {"an account with a newline", account_with_newline, "an id of the request"},
    {"a customer with a quote", customer_with_quote, "an id of the request"},
    {"a customer that is not ASCII", customer_not_ascii, "an id of the request"},
    {"a request id with =", request_id_with_equals, "an id of the request"},
    {"no zone", no_zones, "an id of the request"},
    {"an empty zone", empty_zone, "an id of the request"},
    {"a zone with a colon", zone_with_colon, "an id of the request"},
    {"a second zone that is bad", second_zone_bad, "an id of the request"},
    {"more zones than names", more_zones_than_names, "zones"},
    {"no names", no_names, "a certificate has 1 to 1000 names, not 0"},
    {"1001 names", thousand_and_one_names, "a certificate has 1 to 1000 names, not 1001"},
    {"a name with an underscore", bad_name, "character"},
    {"an address for a name", address, "IP address"},
    {"a public suffix", public_suffix, "public suffix"},
    {"a reserved name", reserved_name, "reserved"},
    {"an empty name", empty_name, "the name is empty"},
    {"a name in upper case", upper_case, "not in its canonical form"},
    {"a second name that is bad", second_name_bad, "more than one wildcard"},
    {"a name twice", name_twice, "is there twice"},
    {"a proof too few", proof_missing, "there are 1 proofs of ownership for 2 names"},
    {"a proof too many", proof_too_many, "there are 3 proofs of ownership for 2 names"},
    {"no proof", no_proof, "there are 0 proofs of ownership for 2 names"},
    {"one proof twice", one_proof_twice, "no proof of ownership for *.example.com"},
    {"the proofs in another order", proofs_in_other_order, "no proof of ownership for www.example.com"},
    {"a proof for a name above", proof_of_the_zone, "no proof of ownership for www.example.com"},
    {"a proof that is too old", old_proof, "for www.example.com is 301 seconds old; at most 300"},
    {"a second proof that is too old", second_proof_old, "for *.example.com is 301 seconds old"},
    {"a proof of the future", future_proof, "for *.example.com is -6 seconds old"},
    {"a proof of the least time there is", least_proof, "seconds old"},
    {"a proof of the greatest time there is", greatest_proof, "seconds old"},
    {"another method", other_method, "the method of proof for *.example.com is unknown"},
    {"no method", no_method, "the method of proof for www.example.com is unknown"},
    {"no key", no_key, "no SubjectPublicKeyInfo"},
    {"bytes that are no key", no_spki, "no SubjectPublicKeyInfo"},
    {"a key without its end", half_a_key, "no SubjectPublicKeyInfo"},
    {"a key of 2049 bytes", large_key, "larger than 2048 bytes"},
    {"an Ed25519 key", ed25519_key, "not supported"},
    {"RSA with 1024 bits", rsa_1024_key, "has 1024 bits"},
    {"RSA with the exponent 3", exponent_3, "exponent must be 65537"},
    {"a point beside its curve", point_beside_the_curve, "curve"},
    {"a second less than an hour", short_life, "a lifetime of 3599 seconds"},
    {"no lifetime", no_life, "a lifetime of 0 seconds"},
    {"a second more than the profile allows", long_life, "outside the profile's bounds (1 hour to 7 days)"},
    {"the longest lifetime a number can say", endless_life, "a lifetime of 4294967295 seconds"},
    {"notBefore more than two days back", early, "notBefore is"},
    {"notBefore before 1970", negative_begin, "notBefore is"},
    {"the least notBefore there is", least_begin, "notBefore is"},
    {"the greatest notBefore there is", greatest_begin, "notBefore is"},
    {"notBefore a second too far ahead", late, "notBefore is more than two days back or 24 hours ahead"},
    {"notBefore a year ahead, inside the profile's longest life", of_the_far_future, "24 hours ahead"},
    {"an end that is now", expired, "would have expired already"},
    {"an end that is now through the back-date", expired_by_backdate, "would have expired already"},
    {"an end a second after the issuer's", outlives_issuer, "outlive its issuer"},
};

static const struct policy_case acceptances[] = {
    {"the sample", nothing, NULL},
    {"the other issuer", rsa_issuer, NULL},
    {"the oldest claim", oldest_claim, NULL},
    {"the latest claim", latest_claim, NULL},
    {"an attempt of 128 characters", longest_attempt, NULL},
    {"no account", no_account, NULL},
    {"no customer", no_customer, NULL},
    {"no request id", no_request_id, NULL},
    {"a zone for each name", two_zones, NULL},
    {"1000 names", thousand_names, NULL},
    {"the oldest proof", oldest_proof, NULL},
    {"the latest proof", latest_proof, NULL},
    {"an RSA key", rsa_key, NULL},
    {"a P-521 key", p521_key, NULL},
    {"the shortest lifetime", shortest_life, NULL},
    {"the longest lifetime", longest_life, NULL},
    {"the earliest notBefore", earliest, NULL},
    {"the latest notBefore", latest, NULL},
    {"an end that is a second away", expires_soon, NULL},
    {"the issuer's end", ends_with_issuer, NULL},
};

/* What is too old is refused for now alone: a fresh check or claim will do. */
static enum error_code expected_code(const struct error *error) {
    bool may_change =
        strstr(error->message, " old") != NULL || strstr(error->message, "unknown to the signer") != NULL;
    return may_change ? ERROR_UNAVAILABLE : ERROR_REFUSED;
}

static size_t run_case(struct fixture *fixture, const struct policy_case *one) {
    struct arena *arena = arena_new(0);
    struct sample *sample = make_sample(fixture, arena);
    struct error error = {0};
    one->change(sample);
    bool is_accepted = judge(sample, &error);
    bool is_right = one->complaint == NULL ? is_accepted
                                           : !is_accepted && error.code == expected_code(&error) &&
                                                 strstr(error.message, one->complaint) != NULL;
    if (!is_right)
        print_error("%s: expected %s, found %s: %s: %s\n", one->fact,
                    one->complaint == NULL ? "acceptance" : one->complaint,
                    is_accepted ? "acceptance" : "refusal", error_code_name(error.code), error.message);
    arena_free(arena);
    return !is_right;
}

static void what_is_within_the_bounds_is_accepted(void **state) {
    size_t failures = 0;
    for (size_t i = 0; i < sizeof acceptances / sizeof acceptances[0]; i++)
        failures += run_case(*state, &acceptances[i]);
    assert_int_equal(failures, 0);
}

static void each_thing_that_is_wrong_is_refused_by_its_name(void **state) {
    size_t failures = 0;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        failures += run_case(*state, &refusals[i]);
    assert_int_equal(failures, 0);
}

static void an_accepted_request_becomes_the_contents_it_asked_for(void **state) {
    struct fixture *fixture = *state;
    struct arena *arena = arena_new(0);
    struct sample *sample = make_sample(fixture, arena);
    struct error error = {0};
    assert_true(judge(sample, &error));
    const struct certificate_contents *contents = &sample->job.contents;
    assert_ptr_equal(sample->job.profile, &fixture->profiles[0]);
    assert_ptr_equal(sample->job.issuer, &fixture->issuers[0]);
    assert_ptr_equal(contents->issuer, &fixture->issuers[0]);
    assert_int_equal(contents->shape, TEMPLATE_ORIGIN);
    assert_ptr_equal(contents->names, sample->names);
    assert_int_equal(contents->name_count, 2);
    assert_ptr_equal(contents->serial, sample->job.serial);
    assert_false(contents->is_rsa);
    assert_int_equal(contents->spki.length, fixture->keys[KIT_P384].spki.length);
    assert_memory_equal(contents->spki.data, fixture->keys[KIT_P384].spki.data, contents->spki.length);
    /* no notBefore was asked for: now less the back-date, and the lifetime is exact from there */
    assert_int_equal(contents->not_before, NOW - BACKDATE);
    assert_int_equal(contents->not_after, NOW - BACKDATE + 90 * DAY);

    sample->request->profile = "short";
    sample->request->issuer = "rsa";
    sample->request->not_before = NOW + 17;
    sample->request->validity_seconds = 4000;
    sample->request->spki = fixture->keys[KIT_RSA].spki;
    assert_true(judge(sample, &error));
    assert_ptr_equal(contents->issuer, &fixture->issuers[1]);
    assert_int_equal(contents->shape, TEMPLATE_COMPACT);
    assert_true(contents->is_rsa);
    assert_int_equal(contents->not_before, NOW + 17);
    assert_int_equal(contents->not_after, NOW + 4017);

    /* A start without an end: the default lifetime from there, inside the issuer's. */
    sample->request->profile = "origin";
    sample->request->validity_seconds = SIGNER_DEFAULT_VALIDITY;
    assert_true(judge(sample, &error));
    assert_int_equal(contents->not_after, NOW + 17 + 90 * DAY);
    fixture->issuers[1].not_after = NOW + 10 * DAY;
    assert_true(judge(sample, &error));
    assert_int_equal(contents->not_after, NOW + 10 * DAY);
    sample->request->validity_seconds = 90 * DAY;
    assert_false(judge(sample, &error)); /* one that was asked for is exact, or refused */
    fixture->issuers[1].not_after = NOW + 10;
    sample->request->validity_seconds = SIGNER_DEFAULT_VALIDITY;
    assert_false(judge(sample, &error));
    fixture->issuers[1].not_after = NOW + 1000 * DAY;
    arena_free(arena);
}

/* GnuTLS reads an RSA key whose algorithm lacks its NULL; RFC 3279 2.3.1 wants the NULL in certificates. */
static void a_key_in_another_form_is_written_in_its_one_form(void **state) {
    struct fixture *fixture = *state;
    struct arena *arena = arena_new(0);
    struct sample *sample = make_sample(fixture, arena);
    struct bytes good = fixture->keys[KIT_RSA].spki;
    struct der_node *spki = der_read(arena, good);
    struct error error = {0};
    der_remove(spki->parts[0], 1);
    sample->request->spki = der_write(arena, spki);
    assert_int_equal(sample->request->spki.length, good.length - 2);
    if (!judge(sample, &error))
        fail_msg("%s", error.message);
    assert_int_equal(sample->job.contents.spki.length, good.length);
    assert_memory_equal(sample->job.contents.spki.data, good.data, good.length);
    arena_free(arena);
}

static void a_key_on_the_block_list_is_refused(void **state) {
    struct fixture *fixture = *state;
    struct arena *arena = arena_new(0);
    struct sample *sample = make_sample(fixture, arena);
    struct error error = {0};
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    sha256(sample->request->spki.data, sample->request->spki.length, digest);
    hex_encode(digest, sizeof digest, hex);
    const char *path = arena_printf(arena, "%s/blocked", fixture->folder);
    const char *list = arena_printf(arena, "# known to all\n%s\n", hex);
    kit_write_file(path, list, strlen(list));
    assert_true(keys_load_blocklist(path, &error));
    assert_false(judge(sample, &error));
    assert_int_equal(error.code, ERROR_REFUSED);
    assert_non_null(strstr(error.message, "compromised"));
    assert_true(keys_load_blocklist(NULL, &error));
    assert_true(judge(sample, &error));
    arena_free(arena);
}

/* What the policy lets through is what the builder can build. */
static void what_was_accepted_can_be_built(void **state) {
    for (size_t i = 0; i < sizeof acceptances / sizeof acceptances[0]; i++) {
        struct arena *arena = arena_new(0);
        struct sample *sample = make_sample(*state, arena);
        struct error error = {0};
        struct bytes tbs;
        acceptances[i].change(sample);
        assert_true(judge(sample, &error));
        certificate_make_serial(sample->job.serial);
        if (!certificate_build_tbs(arena, &sample->job.contents, &tbs, &error))
            fail_msg("%s: %s", acceptances[i].fact, error.message);
        assert_true(tbs.length > 0);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_within_the_bounds_is_accepted),
        cmocka_unit_test(each_thing_that_is_wrong_is_refused_by_its_name),
        cmocka_unit_test(an_accepted_request_becomes_the_contents_it_asked_for),
        cmocka_unit_test(a_key_in_another_form_is_written_in_its_one_form),
        cmocka_unit_test(a_key_on_the_block_list_is_refused),
        cmocka_unit_test(what_was_accepted_can_be_built),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
