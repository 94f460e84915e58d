/* The fence and the replay: what a crash at each moment, a lost tail or a restored backup of Redis must come
 * back to. */
#include <stdlib.h>
#include <string.h>

#include "originca/json.h"
#include "sample.h"

#define HOST "host-1"
#define FRESH 180

static json_t *parse(struct fixture *f, const char *text) {
    struct error error;
    json_t *record = json_parse(f->arena, text, strlen(text), &error);
    if (record == NULL)
        fail_msg("%s: %s", error.message, text);
    return record;
}

static const char *timestamp(struct fixture *f, time_t when) {
    char *text = arena_alloc(f->arena, TIME_TEXT_MAX);
    time_format(when, text);
    return text;
}

/* A record as the signer writes it; `age` is that of the evidence. */
static json_t *record_of(struct fixture *f, const char *type, unsigned long long sequence,
                         const char *attempt, const struct store_certificate *c, int age) {
    char *record = arena_printf(
        f->arena,
        "{\"seq\":%llu,\"time\":\"%s\",\"type\":\"%s\",\"serial\":\"%s\",\"attempt\":\"%s\",\"order\":\"%s\","
        "\"account\":\"%s\","
        "\"customer\":\"%s\",\"names\":[\"%s\"],\"zones\":[\"%s\"],\"profile\":\"%s\",\"issuer\":\"%s\","
        "\"spki_sha256\":\"%s\",\"crl\":\"" SAMPLE_LIST "\","
        "\"not_before\":\"%s\",\"not_after\":\"%s\",\"evidence\":[{\"name\":\"%s\",\"checked_at\":\"%s\","
        "\"method\":"
        "\"dns-delegation\"}]%s%s%s}",
        sequence, timestamp(f, c->issued_at), type, c->serial, attempt, c->order, c->account, c->customer,
        c->names[0], c->zones[0], c->profile, c->issuer, c->spki_sha256, timestamp(f, c->not_before),
        timestamp(f, c->not_after), c->names[0], timestamp(f, now_seconds() - age),
        strcmp(type, "issued") == 0 ? ",\"certificate\":\"" : "",
        strcmp(type, "issued") == 0 ? base64_encode(f->arena, c->der.data, c->der.length) : "",
        strcmp(type, "issued") == 0 ? "\"" : "");
    return parse(f, record);
}

static json_t *revocation_by(struct fixture *f, unsigned long long sequence, const char *serial, int reason,
                             time_t when, const char *by) {
    return parse(
        f, arena_printf(
               f->arena,
               "{\"seq\":%llu,\"time\":\"%s\",\"type\":\"revoked\",\"serial\":\"%s\",\"issuer\":\"ecc\","
               "\"reason\":%d,\"revoked_at\":\"%s\",\"by\":\"%s\"}",
               sequence, timestamp(f, when), serial, reason, timestamp(f, when), by));
}

static json_t *revocation(struct fixture *f, unsigned long long sequence, const char *serial, int reason,
                          time_t when) {
    return revocation_by(f, sequence, serial, reason, when, "admin");
}

static enum error_code apply(struct fixture *f, const json_t *record) {
    return CALL(f, store_apply_ledger_record, HOST, record, FRESH);
}

static struct store_ledger_state ledger_state(struct fixture *f) {
    struct store_ledger_state state;
    assert_ok(CALL(f, store_load_ledger_state, f->arena, HOST, &state));
    return state;
}

static enum store_certificate_status certificate_status(struct fixture *f, const char *serial) {
    struct store_certificate certificate;
    assert_ok(CALL(f, store_load_certificate, f->arena, serial, &certificate));
    return certificate.status;
}

static enum store_order_status order_status(struct fixture *f, const char *id) {
    struct store_order order;
    assert_ok(CALL(f, store_load_order, f->arena, id, &order));
    return order.status;
}

static void watermark_moves_over_contiguous_records_only(void **state) {
    struct fixture *f = *state;
    struct store_ledger_state fence = ledger_state(f);
    assert_string_equal(fence.ledger_id, "");
    assert_int_equal(fence.applied, 0);
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-a", 0));
    static const struct {
        unsigned long long sequence, applied, highest, ahead;
    } steps[] = {{1, 1, 1, 0}, {3, 1, 3, 1}, {5, 1, 5, 2}, {3, 1, 5, 2},
                 {2, 3, 5, 1}, {1, 3, 5, 1}, {4, 5, 5, 0}, {6, 6, 6, 0}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_ok(apply(
            f, parse(f, arena_printf(f->arena, "{\"seq\":%llu,\"type\":\"signing\"}", steps[i].sequence))));
        fence = ledger_state(f);
        assert_int_equal(fence.applied, steps[i].applied);
        assert_int_equal(fence.highest, steps[i].highest);
        assert_int_equal(fence.ahead, steps[i].ahead);
    }
    assert_string_equal(fence.ledger_id, "ledger-a");
    assert_int_equal(ask_number(f, "EXISTS ledger-ahead:" HOST), 0);
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-b", 4));
    fence = ledger_state(f);
    assert_int_equal(fence.applied, 4);
    assert_string_equal(fence.ledger_id, "ledger-b");
}

/* A record with its hash, as the signer gives it back. */
static json_t *hashed(struct fixture *f, unsigned long long sequence, char digit) {
    char hash[2 * SHA256_BYTES + 1];
    memset(hash, digit, sizeof hash - 1);
    hash[sizeof hash - 1] = '\0';
    return parse(
        f, arena_printf(f->arena, "{\"hash\":\"%s\",\"seq\":%llu,\"type\":\"signing\"}", hash, sequence));
}

static void assert_hashes(struct fixture *f, const char *applied, const char *highest) {
    struct store_ledger_state fence = ledger_state(f);
    assert_true(*applied == '\0' ? *fence.applied_hash == '\0' : fence.applied_hash[0] == *applied);
    assert_true(*highest == '\0' ? *fence.highest_hash == '\0' : fence.highest_hash[0] == *highest);
    assert_true(*applied == '\0' || strlen(fence.applied_hash) == 2 * SHA256_BYTES);
}

/* The hash is that of the watermark's record, whichever was applied last; those ahead keep theirs. */
static void the_watermark_carries_the_hash_of_its_record(void **state) {
    struct fixture *f = *state;
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-a", 0));
    assert_hashes(f, "", "");
    static const struct {
        unsigned long long sequence;
        char digit;
        const char *applied, *highest;
    } steps[] = {{1, 'a', "a", "a"}, {3, 'c', "a", "c"}, {5, 'e', "a", "e"}, {3, 'c', "a", "e"},
                 {2, 'b', "c", "e"}, {1, 'f', "c", "e"}, {4, 'd', "e", "e"}, {6, '1', "1", "1"}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_ok(apply(f, hashed(f, steps[i].sequence, steps[i].digit)));
        assert_hashes(f, steps[i].applied, steps[i].highest);
    }
    /* one that is marked by somebody who does not know its hash, and by one who does, in either order */
    for (int is_known_first = 0; is_known_first < 2; is_known_first++) {
        unsigned long long at = 8 + 2ull * (unsigned)is_known_first;
        json_t *bare = parse(f, arena_printf(f->arena, "{\"seq\":%llu,\"type\":\"signing\"}", at));
        assert_ok(apply(f, is_known_first ? hashed(f, at, '8') : bare));
        assert_ok(apply(f, is_known_first ? bare : hashed(f, at, '8')));
        assert_ok(apply(f, hashed(f, at - 1, '7')));
        assert_int_equal(ledger_state(f).applied, at);
        assert_hashes(f, "8", "8");
    }
}

static void a_hash_is_adopted_only_where_none_is_known(void **state) {
    struct fixture *f = *state;
    char a[2 * SHA256_BYTES + 1] = "", b[2 * SHA256_BYTES + 1] = "";
    memset(a, 'a', sizeof a - 1);
    memset(b, 'b', sizeof b - 1);
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-a", 4));
    assert_ok(CALL(f, store_adopt_ledger_hash, HOST, "ledger-b", 4, b)); /* another ledger's */
    assert_hashes(f, "", "");
    assert_ok(CALL(f, store_adopt_ledger_hash, HOST, "ledger-a", 3, b)); /* another record's */
    assert_hashes(f, "", "");
    assert_ok(CALL(f, store_adopt_ledger_hash, HOST, "ledger-a", 4, a));
    assert_ok(CALL(f, store_adopt_ledger_hash, HOST, "ledger-a", 4, b)); /* too late */
    assert_hashes(f, "a", "a");
    assert_int_equal(ledger_state(f).format, STORE_FORMAT);
}

/* What an accepted loss left out of the ledger does not hold up a rebuilt Redis for ever. */
static void a_replay_goes_on_behind_records_that_the_ledger_lacks(void **state) {
    struct fixture *f = *state;
    json_t *records = arena_own_json(f->arena, json_array());
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-a", 0));
    json_array_append(records, hashed(f, 1, 'a'));
    json_array_append(records, hashed(f, 2, 'b'));
    json_array_append(records, hashed(f, 50, 'c'));
    json_array_append(records, hashed(f, 51, 'd'));
    struct store_replay replay = {.host = HOST, .records = records, .after = 0, .fresh_seconds = FRESH};
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    assert_int_equal(ledger_state(f).applied, 51);
    assert_hashes(f, "d", "d");
    /* behind a record that is not applied nothing jumps */
    records = arena_own_json(f->arena, json_array());
    json_array_append(records, hashed(f, 90, 'e'));
    replay = (struct store_replay){.host = HOST, .records = records, .after = 53, .fresh_seconds = FRESH};
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    assert_int_equal(ledger_state(f).applied, 51);
    assert_int_equal(ledger_state(f).highest, 90);
}

/* One conflict among many: the rest is applied, and it is told which. */
static void a_batch_tells_its_conflicts_and_applies_the_rest(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    struct store_certificate stale = new_certificate(&s, SERIAL_A, SPKI_A), lost = stale;
    lost.serial = SERIAL_B;
    lost.order = "AAAAAAAAAAAAAAAAAAAAAA";
    json_t *records = arena_own_json(f->arena, json_array());
    json_array_append(records, record_of(f, "intent", 1, ATTEMPT_A, &stale, FRESH + 5));
    json_array_append(records, record_of(f, "issued", 2, ATTEMPT_A, &stale, FRESH + 5));
    json_array_append(records, record_of(f, "intent", 3, ATTEMPT_B, &lost, 5));
    json_array_append(records, record_of(f, "issued", 4, ATTEMPT_B, &lost, 5));
    json_array_append(records, revocation(f, 5, SERIAL_B, 4, 1700000000));
    struct store_replay replay = {.host = HOST, .records = records, .after = 0, .fresh_seconds = FRESH};
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    assert_int_equal(replay.conflict_count, 1);
    assert_string_equal(json_string_value(json_object_get(replay.conflicts[0], "serial")), SERIAL_A);
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VOID);
    assert_int_equal(certificate_status(f, SERIAL_B), CERTIFICATE_REVOKED);
    assert_int_equal(ledger_state(f).applied, 0);
    assert_int_equal(ledger_state(f).highest, 5);
}

static void a_batch_meets_a_redis_that_lost_its_scripts_and_comes_again(void **state) {
    struct fixture *f = *state;
    json_t *records = arena_own_json(f->arena, json_array());
    json_array_append(records, revocation(f, 1, SERIAL_A, 4, 1700000000));
    json_array_append(records, revocation(f, 2, SERIAL_B, 4, 1700000000));
    struct store_replay replay = {.host = HOST, .records = records, .after = 0, .fresh_seconds = FRESH};
    ask_text(f, "SCRIPT FLUSH");
    assert_code(CALL(f, store_replay, f->arena, &replay), ERROR_UNAVAILABLE);
    wait_ready(f, true);
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    assert_int_equal(ledger_state(f).applied, 2);
    assert_int_equal(certificate_status(f, SERIAL_B), CERTIFICATE_REVOKED);
}

static void commit_and_revocation_mark_their_records(void **state) {
    struct fixture *f = *state;
    struct sample s;
    const uint64_t issued[] = {1, 2}, revoked[] = {3};
    const struct store_ledger_mark first = {HOST, issued, 2, NULL}, second = {HOST, revoked, 1, NULL};
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, &first));
    assert_int_equal(ledger_state(f).applied, 2);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 4, "admin"), &second));
    assert_int_equal(ledger_state(f).applied, 3);
}

static void fresh_issue_without_commit_is_rolled_forward(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(apply(f, record_of(f, "intent", 1, ATTEMPT_A, &certificate, 5)));
    for (int i = 0; i < 2; i++) {
        assert_ok(apply(f, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 5)));
        assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
        assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
        assert_int_equal(ask_number(f, "XLEN edge-events"), 1);
        assert_int_equal(ledger_state(f).applied, 2);
    }
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A,
                   NULL)); /* the slow worker comes after all */
}

/* Conflict, not marked, known as void; then the revocation through the signer settles it, and the order waits
 * for another attempt.
 */
static void check_given_up(struct fixture *f, struct sample *s, const json_t *record) {
    const uint64_t sequences[] = {3, 2, 1};
    const struct store_ledger_mark mark = {HOST, sequences, 3};
    for (int i = 0; i < 2; i++) {
        assert_code(apply(f, record), ERROR_CONFLICT); /* for good, even if the reason goes away */
        assert_ok(CALL(f, store_set_zone_paused, f->arena, s->zone.id, false, &s->zone, NULL));
        assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VOID);
        assert_int_equal(ledger_state(f).applied, 0);
        assert_int_equal(ask_number(f, "XLEN edge-events"), 0);
    }
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 5, "recovery"), &mark));
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_REVOKED);
    assert_int_equal(ledger_state(f).applied, 3);
    assert_ok(apply(f, record)); /* revoked stays revoked */
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_REVOKED);
    assert_int_equal(order_status(f, s->order.id), ORDER_PROCESSING); /* for the reconciler */
    assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 1);
}

static void stale_issue_without_commit_is_given_up(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    check_given_up(f, &s, record_of(f, "issued", 2, ATTEMPT_A, &certificate, FRESH + 5));
}

static void issue_for_a_paused_zone_is_given_up(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    check_given_up(f, &s, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 5));
}

static void issue_of_a_released_attempt_is_given_up(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_A, NULL));
    check_given_up(f, &s, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 5));
}

static void second_certificate_of_an_order_is_given_up(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    const struct store_certificate second = new_certificate(&s, SERIAL_B, SPKI_A);
    assert_code(apply(f, record_of(f, "issued", 2, ATTEMPT_B, &second, 5)), ERROR_CONFLICT);
    assert_int_equal(certificate_status(f, SERIAL_B), CERTIFICATE_VOID);
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
}

/* Redis has forgotten the claim, so it may have forgotten the commit: the certificate may be in use. */
static void issue_whose_claim_is_lost_is_recorded(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(apply(f, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 100000)));
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
    assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
}

/* An older copy of Redis: the claim is there and its commit is not. The certificate was given out, whatever
 * has become of the proof and of the zone since. */
static void over_a_redis_that_went_back_a_claim_may_have_been_committed(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    json_t *records = json_array();
    json_array_append(records, record_of(f, "issued", 1, ATTEMPT_A, &certificate, FRESH + 5));
    struct store_replay replay = {
        .host = HOST, .records = records, .fresh_seconds = FRESH, .may_have_lost_commits = true};
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    json_decref(records);
    assert_int_equal(replay.conflict_count, 0);
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
    assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
    assert_int_equal(ledger_state(f).applied, 1);
}

/* The same where another host's ledger, which says that the zone was deleted since, was replayed first. */
static void over_a_redis_that_went_back_an_order_may_have_ended_after_its_commit(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    assert_int_equal(order_status(f, s.order.id), ORDER_INVALID);
    json_t *records = json_array();
    json_array_append(records, record_of(f, "issued", 1, ATTEMPT_A, &certificate, FRESH + 5));
    struct store_replay replay = {
        .host = HOST, .records = records, .fresh_seconds = FRESH, .may_have_lost_commits = true};
    assert_ok(CALL(f, store_replay, f->arena, &replay));
    json_decref(records);
    assert_int_equal(replay.conflict_count, 0);
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
    assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
}

/* The first attempt was revoked before anybody had it, the second was given out. Redis has lost all of that:
 * the first is rolled forward, until its revocation comes, and must not cost the second. */
static void an_orphan_that_a_replay_rolled_forward_leaves_its_order(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    const struct store_certificate first = new_certificate(&s, SERIAL_A, SPKI_A),
                                   second = new_certificate(&s, SERIAL_B, SPKI_A);
    assert_ok(apply(f, record_of(f, "issued", 1, ATTEMPT_A, &first, 5)));
    assert_ok(apply(f, revocation_by(f, 2, SERIAL_A, 5, now_seconds(), "recovery")));
    assert_int_equal(order_status(f, s.order.id), ORDER_PROCESSING);
    assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 1);
    assert_ok(apply(f, record_of(f, "issued", 3, ATTEMPT_B, &second, 5)));
    assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_REVOKED);
    assert_int_equal(certificate_status(f, SERIAL_B), CERTIFICATE_VALID);
    assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 0);
    /* Its owner's revocation leaves the order as it is. */
    assert_ok(apply(f, revocation_by(f, 4, SERIAL_B, 4, now_seconds(), "account:x customer:y")));
    assert_int_equal(order_status(f, s.order.id), ORDER_VALID);
}

static void issue_whose_order_is_lost_is_recorded(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    s.order.id = "AAAAAAAAAAAAAAAAAAAAAA";
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(apply(f, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 100000)));
    assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VALID);
    assert_int_equal(ask_number(f, "ZCARD zone-certificates:%s", s.zone.id), 1);
}

static void void_record_leaves_the_order_to_the_reconciler(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    struct store_certificate intent = new_certificate(&s, SERIAL_A, SPKI_A);
    for (int i = 0; i < 2; i++) {
        assert_ok(apply(f, record_of(f, "void", 2, ATTEMPT_A, &intent, 0)));
        assert_int_equal(order_status(f, s.order.id), ORDER_PROCESSING);
        assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 1);
        assert_int_equal(certificate_status(f, SERIAL_A), CERTIFICATE_VOID);
    }
    assert_int_equal(ask_number(f, "ZCARD certificates:void"), 1);
}

static void revocation_known_before_the_certificate_holds(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate out;
    bool is_blocked, is_account_key;
    make_sample(f, &s, "a", "shop.test");
    s.order.id = "AAAAAAAAAAAAAAAAAAAAAA";
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    for (int i = 0; i < 2; i++)
        assert_ok(apply(f, revocation(f, 1, SERIAL_A, 1, 1700000000)));
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_REVOKED);
    assert_true(ask_number(f, "TTL certificate:" SERIAL_A) > 0);
    assert_ok(apply(f, record_of(f, "issued", 2, ATTEMPT_A, &certificate, 5)));
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_REVOKED);
    assert_int_equal(out.revoked_at, 1700000000);
    assert_string_equal(out.names[0], "shop.test");
    assert_ok(CALL(f, store_key_status, SPKI_A, s.customer.id, s.account.id, &is_blocked, &is_account_key));
    assert_true(is_blocked);
    assert_int_equal(ledger_state(f).applied, 2);
}

static bool is_blocked_for(struct fixture *f, const char *customer, const char *account) {
    bool is_blocked, is_account_key;
    assert_ok(CALL(f, store_key_status, SPKI_A, customer, account, &is_blocked, &is_account_key));
    return is_blocked;
}

/* keyCompromise said by two of the certificate's past and present holders, then proven; the certificate is
 * known first or last. */
static void apply_compromise(struct fixture *f, bool certificate_is_first, bool is_proven) {
    struct sample s = {.customer = {.id = "customer-a"}, .account = {.id = "account-a"}};
    s.zone = (struct store_zone){.name = "shop.test", .id = "zone-a"};
    s.order.id = "AAAAAAAAAAAAAAAAAAAAAA";
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    json_t *issued = record_of(f, "issued", 1, ATTEMPT_A, &certificate, 5);
    if (certificate_is_first)
        assert_ok(apply(f, issued));
    assert_ok(
        apply(f, revocation_by(f, 2, SERIAL_A, 1, 1700000000, "account:account-a customer:customer-a")));
    assert_ok(apply(f, revocation_by(f, 3, SERIAL_A, 1, 1700000000, "account:account-b")));
    if (is_proven)
        assert_ok(apply(f, revocation_by(f, 4, SERIAL_A, 1, 1700000000, "certificate-key")));
    if (!certificate_is_first)
        assert_ok(apply(f, issued));
}

static void compromise_blocks_the_key_for_those_it_speaks_for_in_any_order_of_replay(void **state) {
    struct fixture *f = *state;
    for (int is_first = 0; is_first < 2; is_first++) {
        ask_text(f, "FLUSHALL");
        apply_compromise(f, is_first, false);
        assert_true(is_blocked_for(f, "customer-a", "account-a"));
        assert_true(is_blocked_for(f, "customer-a", "")); /* its other accounts and the REST API */
        assert_true(is_blocked_for(f, "", "account-b"));
        assert_false(is_blocked_for(f, "customer-b", "account-b"));
        assert_false(is_blocked_for(f, "", "account-a"));
        assert_false(is_blocked_for(f, "", ""));
        assert_int_equal(ask_number(f, "EXISTS blocked-keys"), 0);
        apply_compromise(f, is_first, true);
        assert_true(is_blocked_for(f, "customer-b", "account-b"));
        assert_true(is_blocked_for(f, "", ""));
        assert_string_equal(ask_text(f, "HGET certificate:" SERIAL_A " by"), "certificate-key");
    }
}

static void who_revokes_without_keyCompromise_blocks_no_key(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_ok(apply(f, revocation_by(f, 1, SERIAL_A, 4, 1700000000, "certificate-key")));
    assert_ok(apply(f, revocation_by(f, 2, SERIAL_A, 5, 1700000000, "recovery")));
    assert_false(is_blocked_for(f, s.customer.id, s.account.id));
    assert_ok(apply(f, revocation_by(f, 3, SERIAL_A, 1, 1700000000, "api-key:0123456789ab")));
    assert_int_equal(ask_number(f, "EXISTS blocked-keys blocked-keys:0123456789ab"), 0);
}

static void long_expired_certificates_are_not_brought_back(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate out;
    make_sample(f, &s, "a", "shop.test");
    s.order.id = "AAAAAAAAAAAAAAAAAAAAAA";
    struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    certificate.not_after = now_seconds() - f->config.certificate_retention_seconds - 60;
    assert_ok(apply(f, record_of(f, "issued", 1, ATTEMPT_A, &certificate, 5)));
    certificate.serial = SERIAL_B;
    assert_ok(apply(f, record_of(f, "void", 2, ATTEMPT_A, &certificate, 5)));
    assert_code(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out), ERROR_NOT_FOUND);
    assert_code(CALL(f, store_load_certificate, f->arena, SERIAL_B, &out), ERROR_NOT_FOUND);
    assert_int_equal(ledger_state(f).applied, 2);
}

/* Told as broken, and marked: they keep no other record from Redis. Without a number nothing can be marked.
 */
static void broken_records_are_passed_over(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {
        "{}",
        "{\"seq\":1}",
        "{\"seq\":0,\"type\":\"signing\"}",
        "{\"seq\":\"1\",\"type\":\"signing\"}",
        "{\"seq\":1,\"type\":\"issued\"}",
        "{\"seq\":1,\"type\":\"issued\",\"serial\":\"" SERIAL_A "\"}",
        "{\"seq\":1,\"type\":\"issued\",\"serial\":\"" SERIAL_A "\",\"certificate\":\"!!!\"}",
        "{\"seq\":1,\"type\":\"issued\",\"serial\":\"" SERIAL_A "\",\"certificate\":\"AAAA\",\"names\":[1]}",
        "{\"seq\":1,\"type\":\"issued\",\"serial\":\"" SERIAL_A
        "\",\"certificate\":\"AAAA\",\"not_after\":\"never\"}",
        "{\"seq\":1,\"type\":\"revoked\",\"serial\":\"xyz\",\"reason\":1}",
        "{\"seq\":1,\"type\":\"revoked\",\"serial\":\"" SERIAL_A "\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_code(apply(f, parse(f, bad[i])), ERROR_INVALID);
    assert_int_equal(ledger_state(f).applied, 1);
    assert_ok(apply(f, revocation(f, 2, SERIAL_A, 1, now_seconds())));
    assert_int_equal(ledger_state(f).applied, 2);
}

/* All but since when this Redis has had them on its lists. */
static char *dump_certificates(struct fixture *f) {
    redisReply *keys = redisCommand(f->admin, "KEYS certificate:*");
    for (size_t i = 0; i < keys->elements; i++)
        freeReplyObject(redisCommand(f->admin, "HDEL %s listed_ms", keys->element[i]->str));
    freeReplyObject(keys);
    return dump_keys(f, "certificate:*");
}

static void restart_from(struct fixture *f, const char *backup) {
    redisFree(f->admin);
    f->admin = NULL;
    server_kill(&f->server);
    copy_directory(backup, f->server.directory);
    server_start(&f->server, NULL);
    f->admin = redisConnectUnix(f->server.socket);
    wait_ready(f, false);
    wait_ready(f, true);
}

static void restored_backup_and_replay_give_the_same_state(void **state) {
    struct fixture *f = *state;
    struct sample a, b;
    struct store_certificate certificates[3];
    json_t *records[8];
    char backup[96];
    const uint64_t marks[3][2] = {{2, 3}, {4, 6}, {5, 7}};
    make_sample(f, &a, "a", "shop.test");
    make_sample(f, &b, "b", "other.test");
    assert_ok(CALL(f, store_reset_ledger_state, HOST, "ledger-a", 1));
    fill_order(f, &a, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &a.order, "{}"));
    make_claimed(f, &b, ATTEMPT_B);
    snprintf(backup, sizeof backup, "%s-backup", f->server.directory);
    copy_directory(f->server.directory, backup);

    /* After the backup: one order claimed and issued, one issued, both workers' records interleaved; one
     * revoked. */
    struct store_order out;
    assert_ok(CALL(f, store_claim_order, f->arena, a.order.id, ATTEMPT_A, clock_wall_ms(), SPKI_B, SPKI_A,
                   CSR, "ecc", &out));
    certificates[0] = new_certificate(&a, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_commit_certificate, &certificates[0], ATTEMPT_A,
                   (&(struct store_ledger_mark){HOST, marks[0], 2})));
    records[0] = record_of(f, "intent", 2, ATTEMPT_A, &certificates[0], 1000);
    records[1] = record_of(f, "issued", 3, ATTEMPT_A, &certificates[0], 1000);
    certificates[1] = new_certificate(&b, SERIAL_B, SPKI_B);
    records[2] = record_of(f, "intent", 4, ATTEMPT_B, &certificates[1], 5);
    records[4] = record_of(f, "issued", 6, ATTEMPT_B, &certificates[1], 5);
    assert_ok(CALL(f, store_commit_certificate, &certificates[1], ATTEMPT_B,
                   (&(struct store_ledger_mark){HOST, marks[1], 2})));
    assert_int_equal(ledger_state(f).applied, 4);
    assert_int_equal(ledger_state(f).highest, 6);
    time_t revoked_at = now_seconds() - 1;
    records[3] = revocation(f, 5, SERIAL_A, 4, revoked_at);
    records[5] = parse(f, "{\"seq\":7,\"type\":\"signing\"}");
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, revoked_at, 4, "admin"),
                   (&(struct store_ledger_mark){HOST, marks[2], 2})));
    assert_int_equal(ledger_state(f).applied, 7);
    char *before = dump_certificates(f);

    restart_from(f, backup);
    assert_int_equal(ledger_state(f).applied, 1);
    assert_int_equal(order_status(f, a.order.id), ORDER_READY);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 6; i++)
            assert_ok(apply(f, records[i]));
        char *after = dump_certificates(f);
        assert_string_equal(before, after);
        free(after);
        assert_int_equal(ledger_state(f).applied, 7);
        assert_int_equal(ledger_state(f).highest, 7);
        assert_int_equal(order_status(f, a.order.id), ORDER_VALID);
        assert_int_equal(order_status(f, b.order.id), ORDER_VALID);
    }
    free(before);
    remove_directory(backup);
}

static void emptied_redis_is_rebuilt_from_the_ledger(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    json_t *issued = record_of(f, "issued", 2, ATTEMPT_A, &certificate, 5);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000000, 4, "admin"), NULL));
    char *before = dump_certificates(f);
    ask_text(f, "FLUSHALL");
    assert_ok(apply(f, record_of(f, "intent", 1, ATTEMPT_A, &certificate, 5)));
    assert_ok(apply(f, issued));
    assert_ok(apply(f, revocation(f, 3, SERIAL_A, 4, 1700000000)));
    char *after = dump_certificates(f);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(watermark_moves_over_contiguous_records_only),
        test_case(the_watermark_carries_the_hash_of_its_record),
        test_case(a_hash_is_adopted_only_where_none_is_known),
        test_case(a_replay_goes_on_behind_records_that_the_ledger_lacks),
        test_case(a_batch_tells_its_conflicts_and_applies_the_rest),
        test_case(a_batch_meets_a_redis_that_lost_its_scripts_and_comes_again),
        test_case(commit_and_revocation_mark_their_records),
        test_case(fresh_issue_without_commit_is_rolled_forward),
        test_case(stale_issue_without_commit_is_given_up),
        test_case(issue_for_a_paused_zone_is_given_up),
        test_case(issue_of_a_released_attempt_is_given_up),
        test_case(second_certificate_of_an_order_is_given_up),
        test_case(issue_whose_claim_is_lost_is_recorded),
        test_case(over_a_redis_that_went_back_a_claim_may_have_been_committed),
        test_case(over_a_redis_that_went_back_an_order_may_have_ended_after_its_commit),
        test_case(an_orphan_that_a_replay_rolled_forward_leaves_its_order),
        test_case(issue_whose_order_is_lost_is_recorded),
        test_case(void_record_leaves_the_order_to_the_reconciler),
        test_case(revocation_known_before_the_certificate_holds),
        test_case(compromise_blocks_the_key_for_those_it_speaks_for_in_any_order_of_replay),
        test_case(who_revokes_without_keyCompromise_blocks_no_key),
        test_case(long_expired_certificates_are_not_brought_back),
        test_case(broken_records_are_passed_over),
        test_case(restored_backup_and_replay_give_the_same_state),
        test_case(emptied_redis_is_rebuilt_from_the_ledger),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
